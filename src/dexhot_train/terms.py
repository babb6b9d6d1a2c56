"""The terms that what is trained carries from its data."""

from collections.abc import Iterable

FREE = "none: made from generated demonstrations alone"
GRAB = ("grab", "grab_full")
RECORDED = (*GRAB, "taco", "dexycb", "ho3d", "hot3d", "fphab")  # datasets of people, with terms


def grab_terms(what: str) -> str:
    """GRAB's, for `what` was trained on it ("policy")."""
    return f"GRAB's: for non-commercial scientific research; the {what} carries them (dexhot datasets get grab)"


def carried_terms(names: Iterable[str], what: str) -> str:
    """Of `what`, trained on the clips or objects `names`; "" where none is of a recorded dataset."""
    datasets = sorted({name.partition("/")[0] for name in names if "/" in name} & set(RECORDED))
    if datasets and set(datasets) <= set(GRAB):
        return grab_terms(what)
    return f"those of {', '.join(datasets)}; the {what} carries them" if datasets else ""
