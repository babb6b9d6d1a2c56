"""The demonstration-scaling curve (DexTrack, figure 5 and table 6): generalists of nested subsets of one set.

Each is judged on the same clips, of which none of them was shown anything, beside object-relative replay in the same
worlds.

1. What to show is drawn once (subsets.py) and kept: a set that grows meanwhile changes nothing.
2. Labels that the set does not keep are made: of attempts without success for "at-once", of several searches for
   "averaged".
3. Each demonstration is shown once, in parallel; the frames are shared by all subsets.
4. A network per row is cloned and exported; "dagger" adds the expert's answers in the states that the one of
   "averaged" visits.
5. Each is judged clip by clip.

Every step leaves a file in the folder, so a run that was stopped goes on.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dexhot.data.files import load, write_text
from dexhot.data.types import Demonstration, PolicyCard
from dexhot.errors import DexhotError, FileFormatError
from dexhot_train.learners.folder import claim
from dexhot_train.learners.generalist import card_for
from dexhot_train.mining.executor import Run, succeeded
from dexhot_train.scaling.cloning import cloned, cloning, network_file
from dexhot_train.scaling.figures import written
from dexhot_train.scaling.frames import Shown, ask_all, demonstrations_of, show_all
from dexhot_train.scaling.judging import HELD_OUT, TEST, grab_test_clips, judge
from dexhot_train.scaling.options import ScalingOptions, SetOfDemonstrations
from dexhot_train.scaling.subsets import ASKED, LABELS, MEANS, MIXED, Drawn, draw, how_of

DRAWN = "drawn.json"


def run_scaling(
    source: SetOfDemonstrations,
    options: ScalingOptions,
    folder: Path,
    run: Run,
    split: str = HELD_OUT,
    command: str = "",
    report: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Train and judge what is missing of the curve; what CURVE then has. `split`: TEST judges on GRAB's test clips too.

    Raises DexhotError for a folder of other settings, a set that is too small, or a worker that was killed.
    """
    older = {f"options.{name}": getattr(options, name) for name in ("searches", "asked")}
    claim(
        folder, {"options": asdict(options)}, command, ("options.counts", "options.countings", "options.labels"), older
    )
    drawn = _drawn(source, options, folder)
    subsets, absent = subsets_of(drawn, options)
    for name, why in absent.items():
        report(f"{name} is left out: {why}")
    if not subsets:
        raise DexhotError(
            "the set is too small for any of the counts; make more demonstrations, or give other --counts."
        )
    shown = demonstrations_of(source, subsets, options, folder, run, report)
    card = card_for([load(source.folder / f"{name}.npz", Demonstration) for name in drawn.orders[MIXED]])
    show_all(shown, card, options, folder, run, report)
    asked = {name: f"{MEANS}-{len(shown[name])}" for name in subsets if how_of(name) == ASKED}
    _clone([name for name in subsets if name not in asked], shown, card, options, folder, run, command, report)
    for name, averaged in asked.items():
        ask_all(name, shown[name], network_file(folder, averaged), options, folder, run, report)
    _clone(list(asked), shown, card, options, folder, run, command, report)
    where = {HELD_OUT: drawn.held_out} | ({TEST: grab_test_clips()} if split == TEST else {})
    for name, clips in where.items():
        judge(name, clips, list(subsets), source.options, options, folder, run, report)
    return written(source, drawn, absent, folder, options)


def _clone(
    rows: Sequence[str],
    shown: Shown,
    card: PolicyCard,
    o: ScalingOptions,
    folder: Path,
    run: Run,
    command: str,
    report: Callable[[str], None],
) -> None:
    """Leave a network of each row."""
    missing = [row for row in rows if not network_file(folder, row).with_suffix(".json").is_file()]
    report(f"{len(missing)} networks to clone")
    jobs = [cloning(row, shown[row], card, o, folder, command) for row in missing]
    for job, _ in succeeded(run, cloned, jobs):
        report(f"{job.out.stem} is cloned")


def subsets_of(drawn: Drawn, o: ScalingOptions) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Row -> names of what it is trained on, and row -> why it is left out. All labels have equally many, and the mixed
    row beside them as many."""
    wanted = [(how, count) for how in o.countings for count in sorted(set(o.counts))]
    if o.labels:
        wanted += [(how, o.labels) for how in (MIXED, *LABELS)]
    subsets, absent = {}, {}
    for how, count in dict.fromkeys(wanted):
        try:
            subsets[f"{how}-{count}"] = drawn.subset(how, count)
        except DexhotError as e:
            absent[f"{how}-{count}"] = str(e)
    return subsets, absent


def _drawn(source: SetOfDemonstrations, o: ScalingOptions, folder: Path) -> Drawn:
    path = folder / DRAWN
    if path.is_file():
        try:
            return Drawn(**json.loads(path.read_text()))
        except (ValueError, TypeError) as e:
            raise FileFormatError(f"{path} is damaged ({e}); choose another folder with --out.") from e
    drawn = draw(source.rows, o.held_out, o.seed)
    write_text(path, json.dumps(asdict(drawn), indent=1) + "\n")
    return drawn
