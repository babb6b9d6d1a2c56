"""The files that bags are made of, each read as far as it goes and never written: MCAP, sqlite3, ROS 1."""
