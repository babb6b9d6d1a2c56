"""Where the models of hands and bodies lie: the shipped one, and those that a user brings. Needs no extra."""

from pathlib import Path

from dexhot.paths import config_dir

SIDES = ("right", "left")
OPEN_HAND = Path(__file__).parent / "data" / "open_hand.npz"
MANO = {"right": "MANO_RIGHT.pkl", "left": "MANO_LEFT.pkl"}


def mano_file(side: str) -> Path:
    """Path for the user's MANO file of a side."""
    return config_dir() / "mano" / MANO[side]


def missing_mano() -> str:
    """Instructions for a user without a MANO file."""
    return (
        f"put {MANO['right']} (and {MANO['left']}) of https://mano.is.tue.mpg.de (registration, non-commercial "
        f"licence) into {mano_file('right').parent}; the open hand needs no file."
    )


def smpl_file() -> Path:
    """Path for the user's SMPL file."""
    return config_dir() / "smpl" / "SMPL_NEUTRAL.pkl"
