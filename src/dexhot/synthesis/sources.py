"""Names on the command line to clips: of the cache, of one of its splits, generated, or files."""

from collections.abc import Iterable

from dexhot.datasets.library import splits
from dexhot.errors import DexhotError, NotFoundError


def expanded(names: Iterable[str]) -> list[str]:
    """Names with "<dataset>:<split>" replaced by that split's clips, each once. Raises NotFoundError, and DexhotError
    without any name."""
    found: list[str] = []
    for name in names:
        dataset, colon, split = name.partition(":")
        if not colon or name.endswith(".npz"):
            found.append(name)
            continue
        known = splits(dataset)
        if split not in known:
            raise NotFoundError(f"split of {dataset}", split, known, "Splits are in config/splits.")
        found += [f"{dataset}/{clip}" for clip in known[split]]
    if not found:
        raise DexhotError("name at least one clip, such as grab/duck_lift, parametric/lift-box-0 or a file (.npz).")
    return list(dict.fromkeys(found))
