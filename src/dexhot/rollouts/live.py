"""A run's bag -> Rollout of kind "live": states of arm, hand and object at the reference's frames.

Frame i is the tick stamped t0 + i / 60, with t0 from /safety/state. Contacts and penetration are not recorded: they are
computed by the arm scene's collision detection at the recorded joint positions and object pose.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.files import load
from dexhot.data.run import is_run, read_run
from dexhot.data.topics import (
    FRANKA_STATES,
    LEAP_STATES,
    OBJECT_POSE,
    OBJECT_STATE,
    RIG_OBJECT,
    SAFETY_STATE,
    TARGET,
)
from dexhot.data.types import RATE, Reference, Rollout
from dexhot.errors import FileFormatError
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.scene import arm_scene
from dexhot.simulation.setup import Setup, load_setup

JOINTS = "sensor_msgs/msg/JointState"
NEEDED = {
    SAFETY_STATE: "diagnostic_msgs/msg/DiagnosticArray",
    OBJECT_POSE: "geometry_msgs/msg/PoseWithCovarianceStamped",
    FRANKA_STATES: JOINTS,
    LEAP_STATES: JOINTS,
    TARGET: JOINTS,
}
OBJECT = (RIG_OBJECT, OBJECT_POSE, OBJECT_STATE)  # where the object is, the first that is known in the world
WORLD = "world"  # the frame, after a robot's prefix
TICK_NS = 1e9 / RATE
TOLERANCE = 0.25  # ticks: a stamp further from its frame belongs to no frame
FREE_TOLERANCE = 1.5  # ticks, on a real rig: sensors are not synchronized, the nearest row counts
SERIES = ("q", "target", "contact", "object_pose", "arm_q", "clip_frames")  # a reference's rows; empty ones stay so
ALLOWED_GAP = 3  # consecutive frames that may be missing from a bag


@dataclass
class StampedRows:
    """Stamped rows of one topic, sorted by stamp."""

    stamps: list[int]  # ns
    rows: list[np.ndarray]


@dataclass
class Episode:
    """One clip of a run: the stamp of frame 0, and how tracking ended."""

    t0: int  # ns
    end: int  # ns, of the state that followed; where none did, half a tick after the last row
    reason: str


def run_reference(run: str | Path) -> Reference:
    """The reference tracked in a run. Raises FileFormatError if `run` is not a recorded run."""
    return load(_folder(run) / "reference.npz", Reference)


def live_rollout(run: str | Path, episode: int = 0, part: bool = False, setup: Setup | None = None) -> Rollout:
    """The rollout of the `episode`-th completely tracked clip (from 0), metrics not yet computed.

    `run`: a run's folder with bag/ and reference.npz, or that bag, or its file; provenance["bag_damage"] lists what a
    damaged bag has lost. `part`: without a complete clip, return the tracked part of the last one with the same part of
    its reference; provenance["stopped"] is then the reason why it ended. `setup`: that of the reference, if loaded.
    Raises FileFormatError when the bag lacks topics or frames, or has no such clip (why tracking ended).
    """
    bag, run = bags.locate(run), _folder(run)
    reference = load(run / "reference.npz", Reference)
    series, episodes, damage = read_bag(bag, reference)
    complete = [e for e in episodes if frames_tracked(e) >= len(reference.q)]
    stopped, partial = {}, part and bool(episodes) and not complete
    count = len(complete) or int(partial)
    if count and not 0 <= episode < count:
        what = "the tracked part of one clip" if partial else f"{count} clip{'s' * (count > 1)} tracked to the end"
        choices = f"0 to {count - 1}" if count > 1 else "0"
        raise FileFormatError(
            f"{run} has no episode {episode}, it holds {what}: choose {choices}.{bags.because(damage)}"
        )
    if partial:
        reference, stopped = until(reference, frames_tracked(episodes[-1]), run), {"stopped": episodes[-1].reason}
        chosen, episode = episodes[-1], len(episodes) - 1
    elif not complete:
        why = "; ".join(e.reason for e in episodes) or "tracking never started"
        hint = " `dexhot report` shows the tracked part." if episodes else ""
        raise FileFormatError(f"{run} holds no clip tracked to the end: {why}.{hint}{bags.because(damage)}")
    else:
        chosen = complete[episode]
    tolerance = FREE_TOLERANCE if of_real_rig(run) else TOLERANCE
    known = next((topic for topic in OBJECT if series[topic].stamps), OBJECT_POSE)
    rows = {
        topic: frames(s, chosen.t0, len(reference.q), topic, tolerance)
        for topic, s in series.items()
        if topic not in OBJECT or topic == known
    }
    pose = rows[known]
    setup = setup or load_setup(reference)
    rollout = rebuild(reference, setup, rows[FRANKA_STATES], rows[LEAP_STATES], pose, rows[TARGET])
    rollout.provenance = {
        "run": run.name,
        "servo": setup.physics.profile(setup.hand),
        "episode": episode,
        "clips": len(complete),
        "t0_ns": chosen.t0,
        **stopped,
    }
    if damage:
        rollout.provenance["bag_damage"] = damage
    return rollout


def _folder(run: str | Path) -> Path:
    folder = bags.run_folder(run, holds="reference.npz")
    if folder is None:
        raise FileFormatError(
            f"{run} is not a recorded run: it has no bag/ beside reference.npz, as `dexhot up real_track` makes. A bag "
            "alone has no reference: `dexhot replay` plays it, `dexhot bag info` describes it."
        )
    return folder


def frames_tracked(episode: Episode) -> int:
    """Number of a clip's frames due before it ended."""
    return max(0, int(np.ceil((episode.end - episode.t0) / TICK_NS)))


def until(reference: Reference, count: int, run: Path) -> Reference:
    """The first `count` frames. Raises FileFormatError when they are too few."""
    if count < 2:
        raise FileFormatError(f"{run}: tracking ended before the clip's first frame; there is nothing to show.")
    rows = {name: getattr(reference, name)[:count] for name in SERIES}
    start, end = (min(frame, count - 1) for frame in (reference.grasp_start, reference.grasp_end))
    return replace(reference, **rows, grasp_start=start, grasp_end=end)


def read_bag(bag: Path, reference: Reference) -> tuple[dict[str, StampedRows], list[Episode], list[str]]:
    """The stamped series of a rollout, the episodes, and a description of the bag's damage."""
    bags.require_topics(bag, NEEDED, "an evaluation")
    names = {FRANKA_STATES: list(FR3_JOINTS), LEAP_STATES: reference.joint_names[6:], TARGET: reference.joint_names}
    series = {topic: StampedRows([], []) for topic in (*OBJECT, FRANKA_STATES, LEAP_STATES, TARGET)}
    episodes: list[Episode] = []
    with bags.open_bag(bag) as reader:
        for connection, _, data in reader.messages(c for c in reader.connections if c.topic in {*NEEDED, *OBJECT}):
            topic, message = connection.topic, bags.decode(connection, data)
            if topic == SAFETY_STATE:
                follow_safety(episodes, message)
                continue
            if topic in OBJECT and not message.header.frame_id.endswith(WORLD):
                continue  # of a camera or a motion capture system: the filter's state is in the world
            row = pose_row(message) if topic in OBJECT else joint_row(message, names[topic], topic)
            series[topic].stamps.append(bags.stamp_ns(message))
            series[topic].rows.append(row)
        damage = reader.damage
    if episodes and episodes[-1].end == np.iinfo(np.int64).max:
        episodes[-1].end = max(max(s.stamps, default=0) for s in series.values()) + round(TICK_NS / 2)
    for s in series.values():
        order = np.argsort(s.stamps, kind="stable")
        s.stamps, s.rows = [s.stamps[i] for i in order], [s.rows[i] for i in order]
    return series, episodes, damage


def follow_safety(episodes: list[Episode], message: Any) -> None:
    """Begin an episode at a new t0, end the running one when tracking stops."""
    if [status.name for status in message.status] != ["safety"]:
        return  # another publisher's
    status = message.status[0]
    values = {v.key: v.value for v in status.values}
    whole, _, part = values["t0"].partition(".")
    t0 = int(whole) * 1_000_000_000 + int(part)
    if status.message == "tracking":
        if not episodes or episodes[-1].t0 != t0:
            episodes.append(Episode(t0, np.iinfo(np.int64).max, "the recording ends before the clip does"))
    elif episodes and episodes[-1].end == np.iinfo(np.int64).max:
        episodes[-1].end, episodes[-1].reason = bags.stamp_ns(message), f"{status.message}: {values['reason']}"


def of_real_rig(run: Path) -> bool:
    """Whether a run was tracked on a real rig, by its run folder."""
    return is_run(run) and read_run(run)["arguments"].get("rig") == "real"


def frames(series: StampedRows, t0: int, count: int, topic: str, tolerance: float = TOLERANCE) -> np.ndarray:
    """(count, ...) the nearest row of each frame within `tolerance` ticks; `t0` in ns. A short gap is filled with the
    previous row. Raises FileFormatError for a long one.
    """
    rows: list[np.ndarray] = []
    missing = 0
    for i in range(count):
        due = t0 + i * TICK_NS
        near = slice(
            bisect_left(series.stamps, due - tolerance * TICK_NS),
            bisect_right(series.stamps, due + tolerance * TICK_NS),
        )
        found = near.start < near.stop
        missing = 0 if found else missing + 1
        if missing > ALLOWED_GAP or (not found and not rows):
            raise FileFormatError(
                f"{topic} was not recorded at frame {i} of {count} ({i / RATE:.2f} s); record the run again."
            )
        if found:
            offsets = [abs(stamp - due) for stamp in series.stamps[near]]
            rows.append(series.rows[near][int(np.argmin(offsets))])
        else:
            rows.append(rows[-1])
    return np.stack(rows)


def rebuild(
    reference: Reference,
    setup: Setup,
    arm_q: np.ndarray,
    hand_q: np.ndarray,
    object_pose: np.ndarray,
    command: np.ndarray,
) -> Rollout:
    """A Rollout from joint positions arm_q (T, 7), hand_q (T, n), object poses (T, 7) and targets (T, 6+n)."""
    scene = arm_scene(setup.hand, setup.asset, setup.physics, table_height=reference.table_height)
    simulator, kinematics = MujocoSimulator(scene), ArmKinematics(setup.hand)
    joints, base = np.concatenate([arm_q, hand_q], axis=1), [reference.base_quat] * len(arm_q)
    states = np.stack([simulator.initial_state(q, pose) for q, pose in zip(joints, object_pose)])
    contacts = simulator.contacts(states)
    return Rollout(
        name=f"{reference.name} live",
        reference=reference,
        kind="live",
        time=reference.time,
        q=np.stack([kinematics.hand_vector(*row) for row in zip(arm_q, hand_q, base, reference.q)]),
        command=command,
        object_pose=object_pose,
        penetration=contacts.penetration,
        self_penetration=contacts.self_penetration,
        table_contact=contacts.table_contact,
        tip_contact=contacts.tip_contact,
        arm_q=arm_q,
    )


def pose_row(message: Any) -> np.ndarray:
    """(7,) pose of a PoseWithCovarianceStamped or an Odometry."""
    p, q = message.pose.pose.position, message.pose.pose.orientation
    return np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])


def joint_row(message: Any, names: list[str], topic: str) -> np.ndarray:
    """Positions in the order of `names`, rad. Raises FileFormatError when one is missing."""
    position = dict(zip(message.name, message.position))
    if missing := [name for name in names if name not in position]:
        raise FileFormatError(f"{topic} has no joint {', '.join(missing)}; the bag is from another robot.")
    return np.array([position[name] for name in names])
