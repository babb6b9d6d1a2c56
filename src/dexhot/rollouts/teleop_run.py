"""A teleoperated run: saved as a Demonstration where it is a good one, and its latencies."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dexhot.data import bags
from dexhot.data.diagnostics import by_node
from dexhot.data.run import is_run, read_run
from dexhot.data.topics import DIAGNOSTICS, HAND_KEYPOINTS, JOURNAL, LEAP_COMMAND, OBJECT_STATE, TELEOP_STATE
from dexhot.data.types import RATE, Demonstration, Rollout
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.poses import lowest
from dexhot.metrics.tracking_errors import lifted
from dexhot.objects.asset import ObjectAsset
from dexhot.rollouts.live import live_rollout
from dexhot.simulation.setup import Setup, load_setup

GRAPH = "teleop"
SHORTEST = 1.0  # s of engaged motion
HELD = 0.9  # fraction of the lifted frames in which a fingertip touches the object
MOVED = 0.005  # m, object's motion from which the grasp begins
STAGES = ("perceive", "wait", "command")
LEAD = RATE // 2  # frames before the first one in which the clutch may engage: the node's first targets
MEASURED = {  # the node's diagnostic values -> figures
    "retarget.p50_ms": "retarget_ms_p50",
    "retarget.p99_ms": "retarget_ms_p99",
    "keypoint_rate_hz": "keypoint_rate_hz",
}
STOPPED = ("stop requested", "the clip has ended", " ends: ")  # in reasons why tracking ended that are no failure


def demonstration_of(run: str | Path, name: str = "", setup: Setup | None = None) -> Demonstration:
    """The engaged part of a run's last tracking as a Demonstration. Raises DexhotError with the reason of a bad run:
    not of the graph teleop, damaged, ended by a fault, too short, never lifted, or dropped."""
    folder = _folder(run)
    rollout = live_rollout(folder, episode=0, part=True, setup=setup)
    setup = setup or load_setup(rollout.reference)
    bad = f"{folder.name} is not saved"
    if damage := rollout.provenance.get("bag_damage"):
        raise DexhotError(f"{bad}: its recording is damaged ({'; '.join(damage)}).")
    stopped = str(rollout.provenance.get("stopped", ""))
    if stopped and not ended_well(stopped):
        raise DexhotError(f"{bad}: tracking ended by itself ({stopped}).")
    begin, end = engaged_part(folder, rollout)
    if (end - begin) / RATE < SHORTEST:
        raise DexhotError(
            f"{bad}: the clutch was engaged for {max(end - begin, 0) / RATE:.1f} s; at least 1 s is needed."
        )
    part = slice(begin, end)
    check_grasp(f"{bad}: ", rollout, part, setup.asset)
    return _demonstration(name or folder.name, rollout, part, setup)


def ended_well(stopped: str) -> bool:
    """Whether the reason why tracking ended is that a person, or the recorded operator, was done."""
    return stopped.startswith("the recording ends") or any(end in stopped for end in STOPPED)


def _folder(run: str | Path) -> Path:
    """Raises FileFormatError for what is no run, DexhotError for one of another graph."""
    folder = bags.run_folder(run, holds="reference.npz")
    if folder is None or not is_run(folder):
        raise FileFormatError(f"{run} is not the folder of a run, as `dexhot up teleop` makes.")
    if (graph := read_run(folder)["graph"]) != GRAPH:
        raise DexhotError(f"{run} is a run of {graph}, not of teleop: it plays a demonstration that exists already.")
    return folder


def engaged_part(folder: Path, rollout: Rollout) -> tuple[int, int]:
    """Frames from the clutch's first engagement to its last release within the tracked part; (0, 0) without any."""
    t0, count = rollout.provenance["t0_ns"], len(rollout.q)
    changes = []
    for _, _, message in bags.messages(bags.locate(folder), {TELEOP_STATE}):
        values = {v.key: v.value for status in message.status for v in status.values}
        frame = round((bags.stamp_ns(message) - t0) * 1e-9 * RATE)
        changes.append((frame, values.get("engaged") == "1"))
    here = [(max(frame, 0), on) for frame, on in changes if -LEAD <= frame < count]
    first = next((frame for frame, on in here if on), None)
    if first is None:
        return 0, 0
    last, on = here[-1]
    return first, count if on else last


def check_grasp(whose: str, rollout: Rollout, part: slice, asset: ObjectAsset) -> None:
    """Raise DexhotError, whose text begins with `whose`, unless the object was lifted and stayed in the hand while it
    was up."""
    pose = rollout.object_pose[part]
    up = lifted(asset, pose)
    if not up.any():
        height = lowest(pose, asset.vertices)
        raise DexhotError(f"{whose}the object was never lifted (at most {1e3 * (height - height[0]).max():.0f} mm).")
    held = rollout.tip_contact[part][up].any(axis=1).mean()
    if held < HELD:
        raise DexhotError(f"{whose}a finger touches the lifted object in {100 * held:.0f} % of the time only: it fell.")


@dataclass(frozen=True)
class Lift:
    """What became of the object in a run."""

    rollout: Rollout
    begin: int  # frame of the first engagement
    end: int  # of the last release
    height: float  # m, the most that its lowest point rose
    held: bool  # whether `check_grasp` accepts it
    why: str = ""  # what was wrong


def lift_of(run: str | Path, setup: Setup | None = None) -> Lift:
    """The engaged part of a run's last tracking; raises as `live_rollout`."""
    folder = _folder(run)
    rollout = live_rollout(folder, episode=0, part=True, setup=setup)
    setup = setup or load_setup(rollout.reference)
    begin, end = engaged_part(folder, rollout)
    if end <= begin:
        return Lift(rollout, 0, 0, 0.0, False, "the clutch never engaged")
    part, low = slice(begin, end), lowest(rollout.object_pose, setup.asset.vertices)
    height = float((low[part] - low[begin]).max())
    try:
        check_grasp("", rollout, part, setup.asset)
    except DexhotError as e:
        return Lift(rollout, begin, end, height, False, str(e))
    return Lift(rollout, begin, end, height, True)


def _demonstration(name: str, rollout: Rollout, part: slice, setup: Setup) -> Demonstration:
    old, pose = rollout.reference, rollout.object_pose[part]
    moved = np.flatnonzero(np.linalg.norm(pose[:, :3] - pose[0, :3], axis=1) > MOVED)
    made = {k: v for k, v in old.provenance.items() if k != "source"}  # of the scene's clip, whose motion it is not
    reference = replace(
        old,
        name=name,
        q=rollout.q[part],
        target=rollout.command[part],
        contact=rollout.tip_contact[part].astype(float),
        object_pose=pose,
        arm_q=rollout.arm_q[part],
        grasp_start=int(moved[0]),
        grasp_end=int(moved[-1]),
        provenance={**made, "teleoperated": {**rollout.provenance, "frames": [part.start, part.stop]}},
    )
    achieved = np.minimum(np.arange(1, len(pose) + 1), len(pose) - 1)  # the state after each action
    found = Demonstration(
        name=name,
        reference=reference,
        actions=rollout.command[part],
        q=rollout.q[part][achieved],
        object_pose=pose[achieved],
        physics=setup.physics.version,
        provenance={"teleoperated": rollout.provenance["run"]},
        servo=setup.physics.profile(setup.hand),
    )
    found.validate()
    return found


def latencies(run: str | Path) -> dict[str, float]:
    """Figures of a run, ms; empty without engaged motion.

    `glass_to_motor_ms_*`: from an image's stamp to the recorder's receipt of the first hand command that its keypoints
    had a part in, and its stages: `perceive` until the keypoints are at the controller, `wait` for the robot's next
    tick, `command` until the command; `retarget_ms_p50`: of the node's own measurement.
    """
    folder = _folder(run)
    wanted = {JOURNAL, LEAP_COMMAND, DIAGNOSTICS}
    first: dict[int, list[int]] = {}  # stamp of a tick -> of the image that it is the first to use; arrivals of both
    received: dict[int, int] = {}
    found: dict[str, float] = {}
    image: list[int] | None = None
    for topic, at, message in bags.messages(bags.locate(folder), wanted):
        if topic == LEAP_COMMAND:
            received.setdefault(bags.stamp_ns(message), at)
        elif topic == JOURNAL and message.source in HAND_KEYPOINTS.values():
            image = [bags.stamp_ns(message), at]
        elif topic == JOURNAL and message.source == OBJECT_STATE and image is not None:
            first[bags.stamp_ns(message)], image = [*image, at], None
        elif topic == DIAGNOSTICS and (status := by_node(message).get("controller")):
            found |= {name: float(status.values[key]) for key, name in MEASURED.items() if key in status.values}
    moments = np.array([[*seen, received[tick]] for tick, seen in first.items() if tick in received])
    if len(moments):
        stages = dict(zip(STAGES, np.diff(moments, axis=1).T)) | {"glass_to_motor": moments[:, -1] - moments[:, 0]}
        for stage, delays in stages.items():
            for percent in (50, 99):
                found[f"{stage}_ms_p{percent}"] = 1e-6 * float(np.percentile(delays, percent))
        found["images"] = len(moments)
    return found
