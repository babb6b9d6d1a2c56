"""Data of a run's bag in addition to the motion: torques, safety states, loop latency, diagnostics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.diagnostics import by_node
from dexhot.data.topics import DIAGNOSTICS, FRANKA_STATES, LEAP_COMMAND, LEAP_STATES, SAFETY_STATE
from dexhot.data.types import RATE, Reference
from dexhot.robots.arm import FR3_JOINTS
from dexhot.rollouts.live import TICK_NS


@dataclass(frozen=True)
class SafetyState:
    """The supervisor's state from `time` (s from the clip's first frame) on."""

    time: float
    state: str
    reason: str


@dataclass(frozen=True)
class RunRecording:
    """The recording of one clip; times in s from its first frame."""

    safety: list[SafetyState]  # of the whole run, one entry per change
    diagnostics: dict[str, dict[str, str]]  # node -> its last values while it was active
    joint_names: list[str]  # the arm's, then the fingers'
    torque: np.ndarray  # (T, 7+n) N m, the effort of the joint states; NaN where none was recorded
    latency: np.ndarray  # (N, 2) s, ms: from a hand state to the command based on it, as received by the recorder
    rate: float  # Hz, rate of hand states at the recorder; NaN for fewer than two
    unanswered: int  # hand states of the clip without a command of the same stamp
    missing: int  # frames of the clip without a hand state
    longest_gap: float  # ms between two hand states


def read_recording(bag: str | Path, reference: Reference, t0: int) -> RunRecording:
    """Read the clip whose frame 0 is stamped `t0` (ns); `reference` is cut to the tracked part."""
    fingers, count = reference.joint_names[6:], len(reference.q)
    names = {FRANKA_STATES: list(FR3_JOINTS), LEAP_STATES: fingers}
    efforts: dict[str, dict[int, np.ndarray]] = {topic: {} for topic in names}
    states: dict[int, int] = {}  # stamp -> receive time at the recorder, ns
    commands: dict[int, int] = {}
    safety: list[SafetyState] = []
    newest: dict[str, dict[str, str]] = {}
    for topic, received, message in bags.messages(Path(bag), {*names, LEAP_COMMAND, SAFETY_STATE, DIAGNOSTICS}):
        if topic == DIAGNOSTICS:
            newest |= active(message)
        elif topic == SAFETY_STATE:
            _follow(safety, message, t0)
        elif topic == LEAP_COMMAND:
            commands.setdefault(bags.stamp_ns(message), received)
        else:
            stamp = bags.stamp_ns(message)
            efforts[topic][stamp] = _efforts(message, names[topic])
            if topic == LEAP_STATES:
                states.setdefault(stamp, received)
    end = t0 + round((count - 0.5) * TICK_NS)
    clip = sorted(stamp for stamp in states if t0 - TICK_NS / 2 <= stamp < end)
    taken = [states[stamp] for stamp in clip]
    answered = [stamp for stamp in clip if stamp in commands]
    return RunRecording(
        safety=safety,
        diagnostics=dict(sorted(newest.items())),
        joint_names=[*FR3_JOINTS, *fingers],
        torque=np.concatenate([at_frames(rows, t0, count, len(names[t])) for t, rows in efforts.items()], axis=1),
        latency=np.array([((s - t0) / 1e9, (commands[s] - states[s]) / 1e6) for s in answered]).reshape(-1, 2),
        rate=1e9 * (len(taken) - 1) / (taken[-1] - taken[0]) if len(taken) > 1 else float("nan"),
        unanswered=len(clip) - len(answered) if commands else 0,
        missing=max(0, count - len(clip)),
        longest_gap=float(np.diff(clip).max(initial=0)) / 1e6,
    )


def active(message: Any) -> dict[str, dict[str, str]]:
    """node -> diagnostic values, of the nodes that are active."""
    return {node: s.values for node, s in by_node(message).items() if s.values.get("state") == "active"}


def at_frames(rows: dict[int, np.ndarray], t0: int, count: int, width: int) -> np.ndarray:
    """(count, width) the row with the stamp nearest to each frame; NaN if none is within a frame."""
    out = np.full((count, width), np.nan)
    stamps = sorted(rows)
    if stamps:
        off = np.abs(np.array([stamp - t0 for stamp in stamps])[:, None] - np.arange(count) * TICK_NS)
        for frame, k in enumerate(off.argmin(axis=0)):
            if off[k, frame] <= TICK_NS:
                out[frame] = rows[stamps[k]]
    return out


def _efforts(message: Any, names: list[str]) -> np.ndarray:
    effort = dict(zip(message.name, message.effort))
    return np.array([effort.get(name, np.nan) for name in names])


def _follow(safety: list[SafetyState], message: Any, t0: int) -> None:
    """Add the state if it or its reason changed; among successive waiting reasons keep only the last."""
    for status in message.status:
        if status.name == "safety":
            reason = next((v.value for v in status.values if v.key == "reason"), "")
            if safety and (safety[-1].state, safety[-1].reason) == (status.message, reason):
                continue
            if safety and safety[-1].state == status.message == "inactive":
                safety.pop()
            safety.append(SafetyState((bags.stamp_ns(message) - t0) / 1e9, status.message, reason))


def within(safety: list[SafetyState], seconds: float) -> list[SafetyState]:
    """The states of the clip itself: the initial one, and those entered before its last frame."""
    before = [s for s in safety if s.time <= 0][-1:]
    return before + [s for s in safety if 0 < s.time <= seconds + 1.0 / RATE]
