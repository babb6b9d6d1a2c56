"""Tools for those who develop dexhot; nothing here is installed."""
