"""A campaign of trials on a rig (DexTrack, appendix B.2): its ledger, and the tables 2, 7, 8 and 13 that it fills."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.policy import OnnxNetwork
from dexhot.data.json_lines import add_line, read_lines
from dexhot.data.types import Demonstration, Reference
from dexhot.metrics.levels import TRACKED
from dexhot.metrics.task_scores import adaptivity
from dexhot.metrics.tracking_errors import lifted
from dexhot.objects.asset import ObjectAsset
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.rollouts.network import run_network
from dexhot.simulation.setup import load_setup

RESULT, CONTROLLER = "result", "controller"  # a tracking result of the simulation, replayed; a controller in the loop
KINDS = {RESULT: "replayed tracking results", CONTROLLER: "transferred controllers"}
OURS, BASELINE = "ours", "PPO"
TABLES = {(CONTROLLER, "grab"): "table 2", (RESULT, "grab"): "table 7", (RESULT, "taco"): "table 8"}
LEVELS = (1, 2, 3)


@dataclass(frozen=True)
class Trial:
    """One counted trial."""

    clip: str
    object: str
    kind: str  # of KINDS
    method: str  # OURS or BASELINE
    number: int  # from 1
    level: int  # metrics.levels
    strict: bool
    why: str  # it ended early, or never began; else ""
    short: bool  # the clip has too few frames after its lift for level 3's count
    run: str  # folder of the recording, relative to the campaign's

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is tried once."""
        return self.clip, self.kind, self.method, self.number


def read_trials(ledger: Path) -> list[Trial]:
    """The counted trials. Raises FileFormatError for a damaged ledger."""
    return read_lines(ledger, lambda row: Trial(**row), "remove the line, its trial is repeated")


def add_trial(trial: Trial, ledger: Path) -> None:
    """Append it."""
    add_line(ledger, asdict(trial))


def is_short(reference: Reference, asset: ObjectAsset) -> bool:
    """Whether the reference has no more than 100 frames after its lift."""
    up = np.flatnonzero(lifted(asset, reference.object_pose))
    return bool(not len(up) or len(reference.q) - up[0] <= TRACKED)


def result_of_policy(policy: Path, reference: Reference) -> Demonstration:
    """The tracking result of a network: what it commands in the nominal world of the simulation, for replay."""
    setup, network = load_setup(reference), OnnxNetwork(policy)
    simulator = floating_simulator(reference, setup)
    starts = start_state(reference, simulator)[None]
    run = run_network(network, reference, setup, simulator, starts, [simulator.model])
    q, pose = simulator.joint_positions(run.states[0]), simulator.object_pose(run.states[0])
    made = {"policy": policy.name, "stopped": run.unsafe[0]}
    name, physics = f"{reference.name} by {policy.stem}", setup.physics
    servo = physics.profile(setup.hand)
    return Demonstration(name, reference, run.commands[0], q, pose, physics.version, {}, made, servo)


def tables(trials: Iterable[Trial]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Title -> method -> object -> percent of trials that reach level 1, 2, 3, averaged over the object's clips; and
    with it "adaptivity" (table 13), as a fraction averaged over clips."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    by_table: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        by_table.setdefault((trial.kind, trial.clip.partition("/")[0]), []).append(trial)
    for (kind, dataset), rows in sorted(by_table.items()):
        named = f"{table}: " if (table := TABLES.get((kind, dataset))) else ""
        found[f"{named}{KINDS[kind]}, {dataset}"] = {
            method: _by_object([t for t in rows if t.method == method])
            for method in dict.fromkeys(t.method for t in rows)
        }
    return found


def _by_object(rows: Sequence[Trial]) -> dict[str, list[float]]:
    levels: dict[str, dict[str, list[int]]] = {}  # object -> clip -> level of each trial
    for trial in rows:
        levels.setdefault(trial.object.rpartition("/")[2], {}).setdefault(trial.clip, []).append(trial.level)
    of_objects = {name: [100 * x for x in adaptivity(clips)] for name, clips in sorted(levels.items())}
    every = {clip: found for clips in levels.values() for clip, found in clips.items()}
    return of_objects | {"adaptivity": adaptivity(every)}


def as_json(trials: Sequence[Trial]) -> dict[str, Any]:
    """Tables and trials."""
    return {"tables": tables(trials), "trials": [asdict(trial) for trial in trials]}
