"""The terms that what is trained carries from its data."""

from collections.abc import Iterable

from dexhot.data.types import Demonstration, Reference
from dexhot.datasets.library import DATASETS
from dexhot.objects.stretched import PREFIX

FREE = "none: made from generated demonstrations alone"
GRAB = ("grab", "grab_full")


def grab_terms(what: str) -> str:
    """GRAB's, for `what` was trained on it ("policy")."""
    return f"GRAB's: for non-commercial scientific research; the {what} carries them (dexhot datasets get grab)"


def carried_terms(names: Iterable[str], what: str) -> str:
    """Of `what`, trained on the clips or objects `names`; "" where none is of a recorded dataset."""
    whole = {name.removeprefix(PREFIX) for name in names}
    datasets = sorted({name.partition("/")[0] for name in whole if "/" in name} & set(DATASETS))
    if datasets and set(datasets) <= set(GRAB):
        return grab_terms(what)
    return f"those of {', '.join(datasets)}; the {what} carries them" if datasets else ""


def parent_of(item: Reference | Demonstration) -> str:
    """The clip that it is of, or that it is a variation of."""
    name = item.reference.name if isinstance(item, Demonstration) else item.name
    parent: str = item.provenance.get("parent", name)
    return parent


def sources(items: Iterable[Reference | Demonstration]) -> set[str]:
    """The clips and objects that these are made from: a variation's own name does not tell its dataset."""
    found = set[str]()
    for item in items:
        reference = item.reference if isinstance(item, Demonstration) else item
        found |= {parent_of(item), reference.object_name}
    return found
