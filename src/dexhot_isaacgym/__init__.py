"""The tracking task in Isaac Gym, in Python 3.8: an exported folder, 8,192 environments, rl_games.

It shares three files with dexhot_train.task (wire.py, rewards.py, termination.py) and needs NumPy and torch besides.
"""
