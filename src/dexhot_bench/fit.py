"""`dexhot bench fit`: every recipe on rendered RGB-D clips, against their truth.

The clips are those of `dexhot synth` at the middle level of noise: real motion, another hand than the fitted one, masks
and keypoints with errors. Neither the truth nor an estimator's object pose is used; the first frame starts from
nothing. A run can be stopped: each cell (a row on a clip) is kept, and the next run goes on with what is missing.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.datasets.contactpose import grasp_folders
from dexhot.errors import ClipError, DexhotError, NotFoundError
from dexhot.fitting.recipe import Recipe, load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.humans.open_hand import open_hand
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir
from dexhot.progress import progress
from dexhot_bench import fit_body, fit_contact, fit_robot
from dexhot_bench.fit_clips import CLIPS, PARAMETRIC, TURN, Clip, Sight, has_grab, rendered
from dexhot_bench.fit_errors import Metrics, errors
from dexhot_bench.fit_rows import (
    FEW_CLIPS,
    FEW_FRAMES,
    FRAMES,
    OTHERS,
    QUICK_FRAMES,
    TableRow,
    chosen,
    names_of,
    printed,
    published,
    quick_rows,
    rows_of,
)
from dexhot_bench.kept import NOT_RUN, Deadline, Kept, code_key

CHEAP_FIRST = ("tracking", "contact", "robot_hand", "body", "homan", "handypriors", "tfhot")  # methods
MARGINS = {  # metric -> by how much joint fitting lowers it in the paper (HOMan, table 1)
    "hand": ("mpjpe_mm", 0.67), "object": ("object_vertex_reduced_mm", 0.34), "object_add_s": ("add_s_mm", 0.51),
}  # fmt: skip


def run(
    quick: bool = False,
    ablate: bool = False,
    minutes: float | None = None,
    recipes: Sequence[str] = (),
    contactpose: Path | None = None,
    frames: int | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Errors and times of every recipe, or of those named; with `ablate` also of each recipe without each of its terms,
    on fewer clips and frames (`frames`; default 30). Stops after so many `minutes`: what is missing then is "not run",
    and the next run goes on. `contactpose`: a copy of ContactPose, on which contact refinement is measured too."""
    began = time.perf_counter()
    rows = chosen(quick_rows() if quick else rows_of(ablate, frames or FEW_FRAMES), recipes)
    contact = any(row.recipe.method == "contact" for row in rows)
    if contactpose is not None and not contact:
        raise DexhotError("ContactPose is for recipe contact, which --recipes leaves out.")
    if contactpose is not None:
        grasp_folders(contactpose)  # refused before the other cells
    code = code_key(("fitting", "synthesis"), mining=False)
    cells, late = Kept(None if quick else cache_dir() / "bench" / "fit.json", code), Deadline(minutes)
    clips = Clips(QUICK_FRAMES if quick else FRAMES)
    left_out: list[str] = []
    names = {row.name: names_of(row) for row in rows}
    jobs = [(k, row, name) for row in rows for k, name in enumerate(names[row.name])]
    jobs.sort(key=lambda job: (slow(job[1]), CHEAP_FIRST.index(job[1].recipe.method), job[0]))
    with progress("fitting, cells", len(jobs), counted=True) as job:
        for done, (k, row, name) in enumerate(jobs):
            job(done, len(jobs))
            if late.over or cells.get(cell(row, name)) or any(said.startswith(f"{name}:") for said in left_out):
                continue
            try:
                made = measured(row, k) if row.recipe.method in OTHERS else fit_one(clips, row, k)
                cells.put(cell(row, name), made)
            except UnrenderedError as e:
                left_out.append(f"{name}: {e}")
            except DexhotError as e:
                left_out.append(f"{name}, {row.name}: {str(e).splitlines()[0]}")
    found = {row.name: summary_of(cells, row, names[row.name]) for row in rows}
    first = rows[0]
    notes = ["evidence at the middle level of noise; no object pose from an estimator"]
    if quick:
        notes.append("quick: the papers' recipes with far fewer steps than published, on 4 frames")
    other: dict[str, Any] = {}
    if contactpose is not None:
        other["contactpose"] = fit_contact.contactpose(contactpose, load_recipe("contact"), 1 if quick else None)
    if not quick:
        other["printed"] = printed(found, published(rows))
    return other | {
        "metrics": cells_of(found[first.name]) | comparison(cells, rows),
        "rows": found,
        "published": published(rows),
        "subset": found[first.name]["clips"],
        "by_clip": {name: cells.get(cell(first, name)) or NOT_RUN for name in names[first.name]},
        "left_out": left_out,
        "notes": notes,
        "seconds": time.perf_counter() - began,
    }


class UnrenderedError(DexhotError):
    """A clip that no row can be measured on."""


@dataclass
class Clips:
    """Rendered clips; the last few are kept, for rows that want the same ones."""

    frames: int
    kept: dict[tuple[int, int, float], Clip] = field(default_factory=dict)

    def get(self, k: int, hands: int, turn: float = 0.0) -> Clip:
        """The k-th clip of one or two hands, by a camera that went round by `turn` degrees. Raises UnrenderedError
        where it cannot be rendered."""
        if (hands, k, turn) not in self.kept:
            if len(self.kept) == FEW_CLIPS:
                self.kept.pop(next(iter(self.kept)))
            try:
                clip = rendered(k, self.frames, hands, turn)
            except (ClipError, NotFoundError) as e:
                raise UnrenderedError(str(e).splitlines()[0]) from e
            if not self.kept:
                with suppress(ClipError):
                    fitted(clip.middle(3), load_recipe("default"), Sight())  # compiles
            self.kept[hands, k, turn] = clip
        return self.kept[hands, k, turn]


def slow(row: TableRow) -> bool:
    """The papers' recipes on all clips."""
    return row.clips > FEW_CLIPS and row.frames == FRAMES and row.name != "default"


def measured(row: TableRow, k: int) -> Metrics:
    """A cell of `other_rows`. Raises ClipError or NotFoundError where it cannot be measured."""
    if row.recipe.method == "body":
        return fit_body.measure(fit_body.body_scene(*fit_body.SCENES[k]), row.recipe, row.frames)
    source: Sequence[Any] = (f"grab/{CLIPS[k][0]}", CLIPS[k][1]) if has_grab() else PARAMETRIC[k]
    if row.recipe.method == "robot_hand":
        clip = (fit_robot.grab_clip if has_grab() else fit_robot.parametric_clip)(*source, row.frames, row.hand)
        return fit_robot.measure(clip, row.recipe)
    grasps = (fit_contact.clip_grasps if has_grab() else fit_contact.parametric_grasps)(*source, row.frames)
    return fit_contact.measure(grasps, row.recipe)


def cell(row: TableRow, clip: str) -> str:
    """Name of a cell, with the recipe's settings and what it sees: a changed row is measured again."""
    recipe, sight = row.recipe, asdict(row.sight)
    what: list[Any] = [recipe.method, recipe.terms, recipe.solver, row.frames, sight]
    if row.hand not in ("", fit_robot.HANDS[""]):
        what.append(row.hand)  # measured cells of the first hand stay
    said = json.dumps(what, sort_keys=True)
    return f"{clip} {hashlib.sha256(said.encode()).hexdigest()[:16]}"


def fit_one(clips: Clips, row: TableRow, k: int) -> Metrics:
    """A cell of a recipe on a rendered clip. Raises ClipError where it cannot be measured."""
    turns = [TURN] if row.sight.views == 2 else []
    clip, *beside = (clips.get(k, row.sight.hands, turn).middle(row.frames) for turn in (0.0, *turns))
    return fitted(clip, row.recipe, row.sight, beside)


def fitted(clip: Clip, recipe: Recipe, sight: Sight, beside: Sequence[Clip] = ()) -> Metrics:
    """Metrics of one clip, in its camera's frame; `beside`: the same moments by other cameras."""
    own = load_object(clip.truth.trajectory.object_name)
    hands = [open_hand(side) for side in clip.truth.trajectory.hands][: sight.hands]
    views = (clip, *beside)
    recordings, evidence = [one.recording for one in views], [sight.evidence(one) for one in views]
    fit = fit_recording(recordings, evidence, sight.asset(clip, own), recipe, hands, with_pose=sight.start is not None)
    return errors(fit, clip.recording, clip.truth, own)


def summary_of(cells: Kept, row: TableRow, names: Sequence[str]) -> dict[str, Any]:
    """Means over the clips that were run; of the time per frame the median, and frames per second of one core, the pass
    over the whole clip counted in."""
    rows = {name: found for name in names if (found := cells.get(cell(row, name)))}
    made = {"clips": list(rows), "frames": row.frames, NOT_RUN: len(names) - len(rows)}
    if not rows:
        return made | {"metrics": NOT_RUN}
    metrics = {name: float(np.mean([found[name] for found in rows.values() if name in found])) for name in _names(rows)}
    if row.recipe.method in OTHERS:
        return made | {"metrics": metrics}
    metrics["fit_ms_p50"] = float(np.median([found["fit_ms_p50"] for found in rows.values()]))
    metrics["smooth_ms"] = float(np.median([found["smooth_ms"] for found in rows.values()]))
    return made | {"metrics": metrics | {"fps": 1e3 / (metrics["fit_ms_p50"] + metrics["smooth_ms"])}}


def cells_of(row: dict[str, Any]) -> Metrics:
    """A row's metrics, none where it was not run."""
    return row["metrics"] if isinstance(row["metrics"], dict) else {}


def _names(rows: dict[str, Metrics]) -> Iterator[str]:
    return iter(dict.fromkeys(name for cell in rows.values() for name in cell))


def comparison(cells: Kept, rows: Sequence[TableRow]) -> dict[str, float]:
    """How much lower HOMan's errors are than those of independent composition, with one hand and with two, also with
    masks as good as the paper's; of means over the clips that have both."""
    found: dict[str, float] = {}
    by_name = {row.name: row for row in rows}
    for joint, apart, what in (
        (f"homan ({FEW_CLIPS} clips)", "homan, independent", "homan"),
        ("homan, two hands", "homan, independent, two hands", "homan_two_hands"),
        ("homan, masks of IoU 0.66", "homan, independent, masks of IoU 0.66", "homan_paper_masks"),
        (
            "homan, two hands, masks of IoU 0.66",
            "homan, independent, two hands, masks of IoU 0.66",
            "homan_two_hands_paper_masks",
        ),
    ):
        if joint not in by_name or apart not in by_name:
            continue
        names = names_of(by_name[joint])
        pairs = [tuple(cells.get(cell(by_name[row], name)) for row in (joint, apart)) for name in names]
        both = [(a, b) for a, b in pairs if a and b]
        for part, (metric, _) in MARGINS.items() if both else ():
            a, b = (sum(pair[k][metric] for pair in both) for k in (0, 1))
            found[f"{what}_{part}_lower"] = 1.0 - a / b
    return found
