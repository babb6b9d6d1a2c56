"""The curve of all that is judged in a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import jsonable, load, write_text
from dexhot.data.types import PolicyCard
from dexhot.datasets import splits, unseen_halves
from dexhot.errors import DexhotError
from dexhot.evaluation.summary import interval, summarise
from dexhot.versions import versions
from dexhot_train.curriculum.data_engine import EngineOptions
from dexhot_train.curriculum.ledger import figures
from dexhot_train.scaling.judging import HELD_OUT, REPLAY, TEST, Judging, grab_test_clips
from dexhot_train.scaling.options import ScalingOptions, SetOfDemonstrations
from dexhot_train.scaling.subsets import COUNTINGS, LABELS, MIXED, Drawn, how_of

CURVE = "curve.json"


def written(
    source: SetOfDemonstrations, drawn: Drawn, absent: Mapping[str, str], folder: Path, o: ScalingOptions
) -> dict[str, Any]:
    """Write CURVE, with every row that is judged in the folder; what it has. Raises DexhotError where none is."""
    told: dict[str, Any] = {"left_out": dict(absent), "held_out": drawn.held_out, "trials": o.trials}
    told |= {"worlds": o.worlds, "seed": o.seed, "versions": versions()}
    told["set"] = {"name": source.folder.name, "drawn_from": len(drawn.orders[MIXED]), **figures(source.rows)}
    found: list[dict[str, Any]] = []
    for path in sorted((folder / "networks").glob("*.json")):
        how, count = how_of(path.stem), path.stem.rpartition("-")[2]
        card = load(path, PolicyCard)
        facts = {n: v for n, v in card.provenance.items() if n not in ("command", "options", "versions")}
        found.append({"row": path.stem, "how": how, "count": int(count), **facts})
    found.sort(key=lambda entry: ([*COUNTINGS, *LABELS].index(entry["how"]), entry["count"]))
    replay: dict[str, Any] = {}
    for split, clips in ((HELD_OUT, drawn.held_out), (TEST, grab_test_clips())):
        beside = _verdicts(folder, split, REPLAY, clips)
        halves = unseen_halves(splits("grab")) if split == TEST else {}
        halves = {half: [f"grab/{clip}" for clip in those] for half, those in halves.items()}
        for entry in found:
            own = _verdicts(folder, split, entry["row"], clips)
            if not beside or set(own) != set(beside):
                continue
            means = summarise([{"clip": c, REPLAY: beside[c], "network": own[c]} for c in own], halves)
            replay[split] = means[REPLAY]
            entry[split] = means["network"] | {"clips": {c: own[c]["perturbed"] for c in own}}
        judged_here = [entry for entry in found if split in entry]
        for entry in judged_here:
            entry[split] |= _beside(entry, judged_here, split)
    told |= {"rows": [entry for entry in found if HELD_OUT in entry], REPLAY: replay}
    if HELD_OUT not in replay:
        raise DexhotError(
            f"none of the clips held out ({', '.join(drawn.held_out)}) can be judged; give another --seed."
        )
    write_text(folder / CURVE, json.dumps(told, default=jsonable, indent=1) + "\n")
    return told


def _verdicts(folder: Path, split: str, row: str, clips: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Clip -> what is judged, without clips that cannot be; {} where a clip is missing."""
    found = {}
    for clip in clips:
        path = Judging(row, split, clip, EngineOptions(), 0, folder).out
        if not path.is_file():
            return {}
        if "absent" not in (verdict := json.loads(path.read_text())):
            found[clip] = verdict
    return found


def _beside(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], split: str) -> dict[str, Any]:
    """What it has over the fewest demonstrations of its counting, or labels over the mixed row of as many, paired by
    clip, with 95 % intervals."""
    if row["how"] in LABELS:
        name, others = "over_mixed", [r for r in rows if r["how"] == MIXED and r["count"] == row["count"]]
    else:
        name, others = "over_fewest", [r for r in rows if r["how"] == row["how"]]
    if not others:
        return {}
    other = min(others, key=lambda r: r["count"])
    margin = np.array([row[split]["clips"][c] - other[split]["clips"][c] for c in row[split]["clips"]])
    return {name: float(margin.mean()), f"{name}_interval": interval(margin)}
