"""Which demonstrations of a set a generalist is trained on: nested subsets, counted in three ways, and sets of labels
by how they were made.

Every order is drawn once by the seed, and a subset is its beginning. Clips that are held out are in none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot_train.curriculum.ledger import MADE, REFUSED, REPLAY
from dexhot_train.curriculum.variations import CLIP

MIXED, CLIPS, VARIATIONS = "mixed", "clips", "variations"
REPLAYED, PLANNED, MEANS, ASKED, AT_ONCE = "replay", "plans", "averaged", "dagger", "at-once"
COUNTINGS = {
    MIXED: "demonstrations of all clips, mixed",
    CLIPS: "many clips: one demonstration of each, then a second of each",
    VARIATIONS: "few clips: all variations of one, then those of the next",
}
LABELS = {
    REPLAYED: "only those that the bare reference makes",
    PLANNED: "only those that need a structured plan",
    MEANS: "the same ones, each plan the mean of several searches",
    ASKED: "these, and the sampling controller's answers in the states that their network visits",
    AT_ONCE: "every attempt is labelled, also where nothing succeeds",
}


def how_of(row: str) -> str:
    """Counting or labels of a row, such as "plans" of "plans-64"."""
    return row.rpartition("-")[0]


@dataclass(frozen=True)
class Drawn:
    """What is held out, and the orders; labels that are made anew have the order of those that they are made of."""

    held_out: list[str]  # clips
    orders: dict[str, list[str]]  # counting or labels -> names of attempts

    def subset(self, how: str, count: int) -> list[str]:
        """The first `count` names. Raises DexhotError where there are fewer."""
        names = self.orders[PLANNED if how in (MEANS, ASKED) else how]
        if count > len(names):
            raise DexhotError(f"there are {len(names)} {how} demonstrations, not {count}.")
        return names[:count]


def draw(rows: Sequence[Mapping[str, Any]], held_out: float, seed: int) -> Drawn:
    """From a ledger's rows; `held_out` is the fraction of the clips, solved or not, of which nothing is shown, at least
    one. Raises DexhotError where that leaves demonstrations of fewer than two clips."""
    clips = sorted({row["parent"] for row in rows})
    rng = np.random.default_rng(seed)
    count = max(1, round(held_out * len(clips)))
    out = sorted(str(clip) for clip in rng.permutation(clips)[:count])
    known = {row["name"]: row for row in sorted(rows, key=lambda row: row["name"]) if row["parent"] not in out}
    made = {name: row for name, row in known.items() if row["verdict"] == MADE}
    if len({row["parent"] for row in made.values()}) < 2:
        raise DexhotError(f"with {count} of {len(clips)} clips held out, fewer than two have demonstrations to show.")
    mixed = [str(name) for name in rng.permutation(list(made))]
    shown = [str(clip) for clip in rng.permutation(sorted({row["parent"] for row in made.values()}))]
    of_clip = [_clip_first([name for name in mixed if made[name]["parent"] == clip], made) for clip in shown]
    attempts = [str(name) for name in rng.permutation([n for n, row in known.items() if row["verdict"] != REFUSED])]
    orders = {
        MIXED: mixed,
        CLIPS: [name for turn in zip_longest(*of_clip) for name in turn if name is not None],
        VARIATIONS: [name for names in of_clip for name in names],
        REPLAYED: [name for name in mixed if made[name]["by"] == REPLAY],
        PLANNED: [name for name in mixed if made[name]["by"] != REPLAY],
        AT_ONCE: attempts,
    }
    return Drawn(out, orders)


def _clip_first(names: list[str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted(names, key=lambda name: rows[name]["kind"] != CLIP)  # stable
