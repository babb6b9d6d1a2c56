"""The LEAP hand on mined demonstrations, with a user whose hand is estimated, as a task for the learners.

An episode replays a demonstration's actions as the user's input, with the errors of an estimate (user_input.py); the
agent subtracts a correction of at most 20 % of each joint's range, 2 cm and 0.2 rad at the wrist. It knows the clip's
reference, hand included, as the tracking task's policies do, and all inputs of the user so far.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.known_motion import AGO, observation, observed_offsets, turned
from dexhot.data.files import load
from dexhot.data.types import Demonstration
from dexhot.datasets import split_clips, splits
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import quat_conjugate
from dexhot.paths import cache_dir
from dexhot_train.assist.assisted_worlds import AssistedWorlds
from dexhot_train.assist.user_input import EstimateError
from dexhot_train.task.clips import TaskClip, load_task_clip
from dexhot_train.task.vector import Observations, Step

FAR, FINAL = 0.05, 0.03  # m: an episode of the training is `tracked` within these; judged is by success_strict


def demonstrations_dir(split: str) -> Path:
    """Where the demonstrations of a split, train or test, are looked for by default: `dexhot bench mine` leaves them
    there."""
    return cache_dir() / "mined" / split / "leap"


def load_leap_experts(split: str, folder: Path | None = None) -> list[TaskClip]:
    """The demonstrations of GRAB's train or test clips (of both test splits) that are strict successes.

    folder: of CLIP.npz files; default: `demonstrations_dir`. Raises DexhotError where there are none.
    """
    folder = folder or demonstrations_dir(split)
    names = split_clips(split, splits("grab"))
    found = [path for name in names if (path := folder / f"{name}.npz").is_file()]
    experts = [load_task_clip(str(path)) for path in found if succeeds(load(path, Demonstration))]
    if not experts:
        raise DexhotError(
            f"{folder} has no successful demonstration of GRAB's {split} clips: make them with "
            f"`dexhot bench mine --split {split}`, or name a folder of them."
        )
    return experts


def succeeds(demonstration: Demonstration) -> bool:
    """Whether its mining found it a strict success in the nominal world; one without a record of that counts."""
    made = demonstration.provenance
    tried = {row["name"]: row for row in made.get("candidates", [])}
    return bool(tried.get(made.get("chosen"), {}).get("success_strict", True))


class LeapHands(AssistedWorlds):
    """`size` worlds of the clips, in the nominal physics, each from its clip's start; `assigned` (N, 2), where it is
    given, are the clip and the number of each world's error in place of draws."""

    def __init__(
        self,
        clips: Sequence[TaskClip],
        size: int,
        error: EstimateError | None = None,
        seed: int = 0,
        threads: int = 1,
        assigned: np.ndarray | None = None,
    ):
        """Raises DexhotError for a clip without a demonstration, or clips of several hands."""
        if alone := [clip.name for clip in clips if clip.demonstration is None]:
            raise DexhotError(f"{alone[0]} has no demonstration, so there is no user to assist: mine it.")
        super().__init__(clips, size, threads)
        self.error, self.seed, self.assigned = error or EstimateError(), seed, assigned
        self.policy_size = self.critic_size = sum(part["size"] for part in observed_offsets(self.hand))
        self.state_size = self.policy_size
        longest = self.table.q.shape[1]
        self.inputs = np.zeros((size, longest, self.action_size))  # of the user
        self.offsets = np.zeros((size, longest, self.action_size))  # of these from the reference, by frame
        self.far = np.zeros(size)  # m, largest `away` of the episode
        self._all = np.arange(size)
        self._begin(self._all)

    def reset(self) -> Observations:
        """New episodes in all worlds, which then end at different times: a batch sees all phases."""
        self.episode += 1
        self._begin(self._all)
        return self.observed()

    def step(self, actions: np.ndarray) -> Step:
        """One control step with outputs (N, 6+n): -1 to 1, in units of the bound, the wrist's position in the palm's
        frame. Worlds at their clip's end begin anew."""
        applied = self.advance(self.corrected(actions))
        truncated = self.frame >= self.last()
        done = np.flatnonzero(truncated)
        last = self.observed().critic if len(done) else np.zeros((self.size, self.critic_size), np.float32)
        tracked = (self.far < FAR) & (self.away < FINAL)
        finished = [{"success": float(tracked[n]), "clip": float(self.clip[n])} for n in done]
        self.episode[done] += 1
        self._begin(done)
        never = np.zeros(self.size, bool)
        return Step(self.observed(), -self.away, never, truncated, last, applied.astype(np.float32), finished)

    def advance(self, targets: np.ndarray) -> np.ndarray:
        """Simulate one control step with position targets (N, 6+n), without beginning anew; returns them."""
        super().advance(targets)
        self.far = np.maximum(self.far, self.away)
        return targets

    def user(self) -> np.ndarray:
        """The user's present input (N, 6+n), m and rad."""
        found: np.ndarray = self.inputs[self._all, self.frames()]
        return found

    def outputs(self, targets: np.ndarray) -> np.ndarray:
        """The agent's outputs (N, 6+n) that come nearest to applying `targets`."""
        off = turned(self.user() - targets, quat_conjugate(self.palm()))
        output: np.ndarray = np.clip(off / self.bound, -1.0, 1.0)
        return output

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        """The output that comes nearest to the demonstration's own action, and that all worlds have one."""
        return self.outputs(self.table.expert[self.clip, self.frames()]), np.ones(self.size, bool)

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name).copy() for name in ("episode", "frame", "far", "away")}
        return {"task": kept, "simulator": self.simulator.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.episode = snapshot["task"]["episode"].copy()
        self._begin(self._all)
        for name, value in snapshot["task"].items():
            setattr(self, name, value.copy())
        self.simulator.restore(snapshot["simulator"])

    def _begin(self, rows: np.ndarray) -> None:
        """Start the present episodes of worlds `rows`; they depend on seed, world and the episode's number alone."""
        table = self.table
        for n in rows:
            key = [self.seed, int(n), int(self.episode[n])] if self.assigned is None else [self.seed, *self.assigned[n]]
            rng = np.random.default_rng(key)
            k = int(rng.integers(len(table.clips)) if self.assigned is None else self.assigned[n][0])
            self.clip[n], length = k, table.length[k]
            self.inputs[n] = table.expert[k]
            self.inputs[n, :length] += self.error.draw(length, self.action_size, rng)
            self.inputs[n, length:] = self.inputs[n, length - 1]
            palm = table.palm_pose[k, np.minimum(np.arange(1, len(self.inputs[n]) + 1), length - 1), 3:]
            self.offsets[n] = turned(self.inputs[n] - table.baseline[k], quat_conjugate(palm)) / self.bound
        self.put_at_start(rows)
        self.far[rows] = 0.0

    def offset(self, ago: int = 0) -> np.ndarray:
        """(N, 6+n) the user's input from the reference's targets, in units of the bound, the position in the palm's
        frame: the output that applies the reference alone, where it is within -1 to 1. `ago`: frames before now."""
        found: np.ndarray = self.offsets[self._all, np.maximum(self.frames() - ago, 0)]
        return found

    def palm(self) -> np.ndarray:
        """(N, 4) world rotation of the reference's next palm."""
        found: np.ndarray = self.table.palm_pose[self.clip, np.minimum(self.frame + 1, self.last()), 3:]
        return found

    def observed(self) -> Observations:
        """What `observed_offsets` says; actor and critic see the same."""
        now, frame = self.offset(), self.frames()
        mean = np.stack([self.offsets[n, : t + 1].mean(axis=0) for n, t in enumerate(frame)])
        seen = observation(now, [self.offset(k) for k in AGO], mean, frame, self.table.grasp_start[self.clip])
        return Observations(seen, seen)
