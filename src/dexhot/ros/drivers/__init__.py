"""Driver nodes of arm and hand: joint states out, validated commands in."""
