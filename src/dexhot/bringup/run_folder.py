"""The folder of a run: runs/<time>-<graph>-<reference>/ with bag/, run.json, parameters.yaml and the tracked files."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import files
from dexhot.data.disk import check_folder
from dexhot.data.run import RUN_FILE, SCHEMA, VERSION
from dexhot.data.types import Demonstration, PolicyCard, Reference
from dexhot.errors import DexhotError, FileFormatError
from dexhot.paths import runs_dir, share_dir
from dexhot.versions import versions


@dataclass(frozen=True)
class Task:
    """What a run tracks: the reference, and the demonstration where the controller plays one."""

    reference: Reference
    demonstration: Demonstration | None
    sources: dict[str, str]  # argument -> the file it came from
    policy: Path | None = None  # a network's .onnx file, its card beside it
    feedback: Path | None = None  # one on the playback of `planned`

    def doubts(self) -> list[str]:
        """Reasons, from the demonstration's own scores, why it may fail; a sentence each."""
        return doubts(self.demonstration) if self.demonstration is not None else []

    def too_fast(self) -> list[str]:
        """Planning limits of arm and fingers that the reference exceeds, a sentence each."""
        from dexhot.retargeting.placement import demanded
        from dexhot.robots.robot_hand import load_hand

        found = demanded(self.reference, load_hand(self.reference.hand)).too_fast
        cure = "retarget with `--speed auto`, or give a lower speed:="
        return (
            [f"{self.reference.name} is too fast for the robot, which will lag; {found[0]}: {cure}."] if found else []
        )

    def at_speed(self, speed: float) -> "Task":
        """The motion for the arm, at this fraction of the speed planned for it. Raises DexhotError, also where the
        policy is not for the motion in that time."""
        from dexhot.control.time_warp import frames_at, warp_demonstration, warp_reference
        from dexhot.retargeting.placement import with_arm_path
        from dexhot.simulation.setup import physics_of

        reference, played = with_arm_path(self.reference), self.demonstration
        frames = frames_at(reference, speed)
        warped = warp_reference(reference, frames)
        self._require_networks(warped, timed=True)
        return replace(
            self,
            reference=warped,
            demonstration=played and warp_demonstration(played, frames, physics_of(played.reference)),
        )

    def with_profile(self, profile: str) -> "Task":
        """The same motion for another profile of the finger servos. Raises NotFoundError, DexhotError where the policy
        is not for it."""
        from dexhot.retargeting.retarget import with_profile

        reference, played = with_profile(self.reference, profile), self.demonstration
        self._require_networks(reference)
        return replace(self, reference=reference, demonstration=played and replace(played, reference=reference))

    def shaper_lead(self, lead: float, feedback: str) -> float:
        """The lead of the run's shaper, see control.shaper. Raises DexhotError for one of another training."""
        from dexhot.control.onnx_file import load_card
        from dexhot.control.shaper import shaper_lead

        card = load_card(self.policy, self.policy.with_suffix(".json"), PolicyCard) if self.policy else None
        return shaper_lead(card, lead, feedback)

    def _require_networks(self, reference: Reference, timed: bool = False) -> None:
        for network in (self.policy, self.feedback):
            if network is not None:
                _require_fit(network, reference, timed, on_plan=network is self.feedback)

    def write(self, folder: Path) -> dict[str, Any]:
        """Copies in `folder`; returns the parameters `reference`, `policy` and `feedback` that name them."""
        values: dict[str, Any] = {"reference": str(files.save(self.reference, folder / "reference.npz"))}
        values |= {"policy": "", "feedback": ""}
        if self.demonstration is not None:
            values["policy"] = str(files.save(self.demonstration, folder / "demonstration.npz"))
        for name, network in (("policy", self.policy), ("feedback", self.feedback)):
            if network is None:
                continue
            for suffix in (".onnx", ".json", ".encoder.npz"):
                if (beside := network.with_suffix(suffix)).is_file():  # not each has an object encoder
                    with files.replacing(folder / f"{name}{suffix}") as temporary:
                        shutil.copyfile(beside, temporary)
            values[name] = str(folder / f"{name}.onnx")
        return values


def load_task(reference: str, policy: str, controller: str, feedback: str = "") -> Task:
    """The files of a run; without a reference, the shipped demonstration. Raises FileFormatError or DexhotError."""
    if feedback and controller != "planned":
        raise DexhotError(f"feedback:=FILE is for controller:=planned, not {controller}: omit it.")
    reference = reference or str(share_dir() / "policies" / "lift_box.npz")
    tracked: Any = files.load(reference)
    if not isinstance(tracked, Reference | Demonstration):
        raise FileFormatError(
            f"{reference} holds {files.a(type(tracked))}, but a Reference or Demonstration is needed."
        )
    demonstration = tracked if isinstance(tracked, Demonstration) else None
    sources = {"reference": str(Path(reference).resolve())}
    if controller == "policy":
        return _policy_task(tracked, policy, sources)
    if policy:
        demonstration = files.load(policy, Demonstration)
        reference_of = tracked.reference if isinstance(tracked, Demonstration) else tracked
        check_fit(policy, demonstration.reference, reference, reference_of)
        sources["policy"] = str(Path(policy).resolve())
    if controller == "playback" and demonstration is None:
        raise DexhotError("controller:=playback needs a Demonstration: give policy:=FILE, made by `dexhot mine`.")
    task = Task(tracked.reference if isinstance(tracked, Demonstration) else tracked, demonstration, sources)
    if not feedback:
        return task
    network = _require_fit(feedback, task.reference, on_plan=True)
    return replace(task, feedback=network, sources=sources | {"feedback": str(network.resolve())})


def _policy_task(tracked: Reference | Demonstration, policy: str, sources: dict[str, str]) -> Task:
    if not policy:
        raise DexhotError("controller:=policy needs a network: give policy:=FILE.onnx, made by `dexhot train`.")
    reference = tracked.reference if isinstance(tracked, Demonstration) else tracked
    path = _require_fit(policy, reference)
    return Task(reference, None, sources | {"policy": str(path.resolve())}, path)


def _require_fit(policy: str | Path, reference: Reference, timed: bool = False, on_plan: bool = False) -> Path:
    """The policy's .onnx file. Raises FileFormatError for a damaged one, DexhotError for one of another rig."""
    from dexhot.control.policy import OnnxNetwork, check_card
    from dexhot.simulation.setup import physics_of

    network = OnnxNetwork(policy)
    check_card(network.card, reference, physics_of(reference), timed, on_plan)
    return network.path


def check_fit(policy: str, mined: Reference, reference: str, tracked: Reference) -> None:
    """Raise DexhotError if a policy's own reference `mined` differs from the `tracked` one, naming the differences."""
    pairs = {
        "clip": (mined.name, tracked.name),
        "object": (mined.object_name, tracked.object_name),
        "hand": (mined.hand, tracked.hand),
        "rate, Hz": (mined.rate, tracked.rate),
        "joints": (", ".join(mined.joint_names), ", ".join(tracked.joint_names)),
        "frames": (len(mined.q), len(tracked.q)),
    }
    differ = [f"{what}: {a}, not {b}" for what, (a, b) in pairs.items() if a != b]
    if not differ and not np.allclose(mined.base_quat, tracked.base_quat, atol=1e-6):
        differ = ["wrist joints: relative to another base rotation, because the clip was retargeted again"]
    if differ:
        raise DexhotError(
            f"policy {policy} is not for reference {reference} ({'; '.join(differ)}): give the demonstration that was "
            "mined from this reference, or omit reference:=, since a demonstration contains its own."
        )


def doubts(demonstration: Demonstration) -> list[str]:
    """Reasons, from the scores in its file, why it may fail, a sentence each; none for one that should succeed."""
    scores, name = demonstration.scores, demonstration.name
    if "success_strict" not in scores:
        return [f"{name}: the demonstration has no scores, so it is unknown whether it works: run `dexhot evaluate`."]
    found = []
    if scores.get("reference_lifted_frames") and not scores.get("lifted_frames"):
        found.append(f"{name}: the demonstration never lifts the object, although the clip does.")
    if not scores["success_strict"]:
        worst = scores.get("judged_T_max_cm")
        off = f": the object is up to {worst:.1f} cm off" if worst is not None else ""
        found.append(f"{name}: the demonstration is not a strict success in simulation{off}.")
    if not scores.get("success_strict_arm", True):
        found.append(f"{name}: the demonstration is known to fail on the arm, though it works for the hand alone.")
    return found


def records(record: str, min_free: float) -> bool:
    """Whether a run with record:=`record` ("true", "false" or a folder) is kept. Raises DexhotError, before the run's
    inputs are loaded, where its folder exists or has less than `min_free` (GB) of room."""
    if record == "false":
        return False
    _require_new(record)
    check_folder(runs_dir() if record == "true" else record, "record:=FOLDER", min_free)
    return True


def _require_new(record: str) -> None:
    """Raise DexhotError if the folder to record to exists; "true" is not a folder."""
    if record != "true" and Path(record).exists():
        raise DexhotError(
            f"{record} exists, and recordings are never overwritten: give a new folder, or none (named by time)."
        )


def new_run_folder(graph: str, name: str, record: str) -> Path:
    """A new folder: `record` itself, or for "true" one named after the time, in $DEXHOT_RUNS."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = runs_dir() / f"{stamp}-{graph}-{name.replace('/', '_')}" if record == "true" else Path(record)
    _require_new(record)
    folder, k = base, 1
    while folder.exists():
        k += 1
        folder = base.with_name(f"{base.name}-{k}")
    folder.mkdir(parents=True)
    return folder.resolve()


def write_run(folder: Path, graph: str, arguments: dict[str, Any], task: Task, warnings: Sequence[str] = ()) -> None:
    """Write run.json: the inputs of this run, and the warnings before its start."""
    entries = {
        "schema": SCHEMA,
        "version": VERSION,
        "graph": graph,
        "arguments": {name: _named(value, folder) for name, value in arguments.items()},
        "started": datetime.now(UTC).isoformat(),
        "name": task.reference.name,
        "hand": _named(task.reference.hand, folder),
        "object": task.reference.object_name,
        "sources": {name: _named(source, folder) for name, source in task.sources.items()},
        "warnings": list(warnings),
        "servo": task.reference.provenance.get("servo"),
        "provenance": task.reference.provenance,
        "versions": versions(),
    }
    files.write_text(folder / RUN_FILE, json.dumps(entries, indent=2, default=str) + "\n")


def write_description(folder: Path, hand: str) -> Path:
    """Write robot/robot.urdf, the arm with this hand, for viewers of the run; with its meshes and an SRDF."""
    from dexhot.robots.description import describe  # MuJoCo, which the other graphs do without
    from dexhot.robots.robot_hand import load_hand

    urdf = folder / "robot" / "robot.urdf"
    describe(load_hand(hand)).write(urdf, urdf.with_suffix(".srdf"))
    return urdf


def _named(value: Any, folder: Path) -> Any:
    """A path as stored in run.json: relative to the run's folder, so that it stays valid when both are moved."""
    return os.path.relpath(value, folder) if isinstance(value, str) and os.path.isabs(value) else value
