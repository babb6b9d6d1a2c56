"""An object's poses over a clip from its masks alone, as HOMan starts.

Candidate rotations in the first frame, each with its depth from the diagonal of the mask's box, refined by the rendered
silhouette and carried from frame to frame; the candidate whose masks overlap best over the clip is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexhot.errors import ClipError
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, Unknowns
from dexhot.fitting.batch_terms import HAND_CHANNELS, Silhouette
from dexhot.fitting.batch_view import BatchView, coverage_overlap
from dexhot.fitting.descent import loss_of
from dexhot.fitting.hand_fit import rotations_over_so3
from dexhot.geometry.boxes import box_around
from dexhot.geometry.cameras import Intrinsics, pinhole_rays, project_pinhole
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.raster.channels import CHANNELS
from dexhot.geometry.rotations import matrix_from_6d, matrix_to_6d, matrix_to_quat
from dexhot.progress import Report, unreported

BOX_ROUNDS = 10  # depth and place by turns, until they agree
LEAST_PIXELS = 12  # of the window that a mask must cover to count
WEIGHT = 100.0  # of the silhouette; Adam does not mind it
APART = np.radians(25.0)  # between two rotations that are not the same
ALIKE = 0.02  # of the overlap: less tells nothing, for masks err by as much
SEARCH = "silhouette search"  # what a start is called that was found here


@dataclass(frozen=True)
class ObjectStart:
    """The poses that an object starts from, and how well its masks tell them from others."""

    unknowns: Unknowns  # "object.turn" (T, 6) and "object.place" (T, 3) of the whole clip
    overlap: float  # with the masks, mean over the frames
    rival: float | None  # of the best candidate whose rotation is another, 0 without any; None: not sought
    by: str = SEARCH

    @property
    def ambiguous(self) -> bool:
        """Whether another rotation, such as the back in place of the front, overlaps as well."""
        return self.rival is not None and self.rival > self.overlap - ALIKE

    def figures(self) -> dict[str, Any]:
        """For people."""
        found: dict[str, Any] = {"object_start": self.by, "object_overlap": round(self.overlap, 3)}
        if self.rival is not None:
            found |= {"object_rival_overlap": round(self.rival, 3), "object_ambiguous": self.ambiguous}
        return found


def search_object(
    bodies: Bodies, view: BatchView, settings: Mapping[str, Any], progress: Report = unreported
) -> ObjectStart:
    """The poses of the whole clip. Raises ClipError without any mask.

    Frames without a mask keep the pose of the frame before, those at the start of the first that has one.
    """
    alone = Bodies({}, bodies.model, bodies.table)
    covered = view.masks[..., CHANNELS["object"]].sum(axis=(1, 2))
    seen = np.flatnonzero(covered >= LEAST_PIXELS)
    if not len(seen):
        raise ClipError("no frame shows the object's mask, which a recipe without depth starts from.")
    rates = {"turn": settings["search_turn_rate"], "place": settings["search_place_rate"]}
    rotations = rotations_over_so3(settings["rotations"])
    box = view.boxes("object")[seen[0]]
    now = {
        "object.turn": matrix_to_6d(rotations),
        "object.place": np.stack([place_by_box(bodies, R, box, view.small) for R in rotations]),
    }
    turns, places, overlaps = [], [], []
    behind = 1.0  # by which other rotations overlapped less before pruning left them out
    for k, t in enumerate(seen):
        here = view.frame(int(t))
        if k == 0:
            now = _refined(alone, now, here, rates, settings["search_steps"], progress)
        else:
            now = _refined(alone, now, here, rates, settings["follow_steps"])
            progress(k, len(seen) - 1, "the object by its masks, frames")
        turns.append(now["object.turn"])
        places.append(now["object.place"])
        overlaps.append(overlap(BatchScene(alone, now, here.small), here))
        if k + 1 == settings["pruned_after"]:
            means = np.mean(overlaps, axis=0)
            behind = means.max() - rival(bodies, means, now["object.turn"])
            kept = np.argsort(-means)[: settings["pruned_to"]]
            now = {name: x[kept] for name, x in now.items()}
            turns, places, overlaps = [[x[kept] for x in rows] for rows in (turns, places, overlaps)]
    means = np.mean(overlaps, axis=0)
    best = int(np.argmax(means))
    owner = last_known(seen, len(view))
    found = {
        "object.turn": np.stack([x[best] for x in turns])[owner],
        "object.place": np.stack([x[best] for x in places])[owner],
    }
    other = max(rival(bodies, means, now["object.turn"]), means[best] - behind)
    return ObjectStart(found, float(means[best]), float(other))


def last_known(known: np.ndarray, count: int) -> np.ndarray:
    """(count,) for each frame, which of the `known` frames (K,) comes last up to it, else the first of them."""
    rows: np.ndarray = np.clip(np.searchsorted(known, np.arange(count), side="right") - 1, 0, None)
    return rows


def rival(bodies: Bodies, overlaps: np.ndarray, turns: np.ndarray) -> float:
    """The largest overlap (B,) among candidates (B, 6) whose rotation differs from the best one's; 0 without any."""
    assert bodies.model is not None
    quats = matrix_to_quat(matrix_from_6d(turns))
    best = int(np.argmax(overlaps))
    other = reduced_angle(bodies.model.symmetry, quats[best], quats) > APART
    return float(overlaps[other].max()) if other.any() else 0.0


def _refined(
    bodies: Bodies,
    start: Unknowns,
    view: BatchView,
    rates: Mapping[str, float],
    steps: int,
    progress: Report = unreported,
) -> Unknowns:
    """After some steps on the silhouette's loss; candidates do not depend on each other."""
    loss = loss_of(bodies, [Silhouette(view, WEIGHT)], view.small)
    return adam(start, loss, rates, steps, progress=progress, stage="rotations of the object, steps").unknowns


def overlap(scene: BatchScene, view: BatchView) -> np.ndarray:
    """(B,) intersection over union of the object's rendered and seen masks, where no hand is."""
    free = 1.0 - view.masks[..., list(HAND_CHANNELS.values())].sum(axis=-1)
    drawn = free * scene.drawn("object").mask[..., CHANNELS["object"]]
    seen = free * view.masks[..., CHANNELS["object"]]
    return coverage_overlap(drawn, seen)


def place_by_box(bodies: Bodies, rotation: np.ndarray, box: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """(3,) m, the object's centre at which the box of its projection has the diagonal and middle of `box` (4,) px."""
    assert bodies.model is not None
    points = (bodies.model.samples - bodies.model.centre) @ rotation.T
    diagonal, middle = np.hypot(*(box[2:] - box[:2])), 0.5 * (box[:2] + box[2:])
    z = 2.0 * bodies.model.radius * camera.fx / max(diagonal, 1.0)
    place = np.append(pinhole_rays(middle, camera.pinhole) * z, z)
    for _ in range(BOX_ROUNDS):
        placed = points + place
        placed[:, 2] = np.maximum(placed[:, 2], 0.02)
        own = box_around(project_pinhole(placed, camera.pinhole))
        z = float(place[2] * np.hypot(*(own[2:] - own[:2])) / max(diagonal, 1.0))
        place[:2] = (place[:2] / place[2] + (middle - 0.5 * (own[:2] + own[2:])) / camera.pinhole[:2]) * z
        place[2] = z
    return place
