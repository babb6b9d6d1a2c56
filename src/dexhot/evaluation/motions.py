"""What a controller plays on a clip, and what it simulated for it before the start.

It is asked once per clip, with the object where the reference has it; what it then plays, object-relative in the
perturbed worlds, was planned without seeing them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.data.files import load
from dexhot.data.types import RATE, Demonstration, Reference
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.placed_panel import carried
from dexhot.geometry.poses import compose, inverse
from dexhot.geometry.rotations import quat_angle
from dexhot.metrics.tracking_errors import position_error
from dexhot.planning.planned import Planned, PlannedOptions
from dexhot.planning.prior import load_prior
from dexhot.planning.structured import StructuredPlans
from dexhot.retargeting.placement import POSITION_TOLERANCE, ROTATION_TOLERANCE
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.simulation.setup import Setup

SUBSEQUENCE = SamplingOptions(samples=40, iterations=4, horizon=10 / RATE, replan=10 / RATE, knot=5 / RATE)


@dataclass(frozen=True)
class PlayedMotion:
    """What a controller plays on one clip, and what it simulated for it before the start."""

    targets: np.ndarray  # (T, 6+n)
    relative: bool  # moved with the object's observed offset
    seconds_cpu: float = 0.0
    rollouts: int = 0
    expected: float | None = None
    refused: str = ""
    steps: int = 0  # control steps
    absent: str = ""  # why there is nothing to play
    tries: int = 0  # of the prior until the first that was strict in the nominal world; 0: none was, or nothing tried


def _planned(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    """One refusing nothing, so that the table has what it would have done; `refused` says whether it would."""
    prior = load_prior(options.prior, reference, setup.asset)
    budget = PlannedOptions(options.seconds, options.rollouts, 0.0, seed=options.seed)
    before = time.process_time()
    plan = Planned(reference, setup, prior, budget, threads=1).plan(reference.object_pose[0])
    spent, limit = time.process_time() - before, PlannedOptions().planning_limit
    refused = f"expects {plan.expected:.2f}" if plan.expected < limit else ""
    return PlayedMotion(
        plan.targets, True, spent, plan.rollouts, plan.expected, refused, plan.control_steps, tries=plan.found.tries
    )


def _constant(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    mean = load_prior(options.prior, reference, setup.asset).mean
    if not mean.any():  # its targets are the row replay's
        return PlayedMotion(reference.q, True, absent="there is no fitted prior (--prior)")
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    return PlayedMotion(space.targets(mean)[0], True)


def _subsequences(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    """Each 10 frames planned from where the last ones ended (Christen et al. 2022, as DexTrack's section 4.1 adapts
    it), with sampling in place of its learner."""
    simulator, before = floating_simulator(reference, setup), time.process_time()
    planner = SamplingPlanner(reference, simulator, SUBSEQUENCE, seed=options.seed)
    state = start_state(reference, simulator)
    for t in range(0, len(reference.q) - 1, planner.stride):
        planner.plan(state, t)
        state = planner.predict(state, t).states[0, -1]
    spent = time.process_time() - before
    actions, steps = planner.actions(0, len(reference.q)), planner.control_steps
    return PlayedMotion(actions, True, spent, round(steps / len(reference.q)), steps=steps)


def _mined(reference: Reference, options: EvaluationOptions, relative: bool) -> PlayedMotion:
    """The mined demonstration of the clip, if the folder has it, with what its mining simulated."""
    clip = reference.name.rpartition("/")[2]
    for path in demonstration_files(options.demonstrations, clip):
        if path.is_file():
            mined = load(path, Demonstration)
            here_T_there = compose(reference.placement, inverse(mined.reference.placement))
            q, actions = (carried(here_T_there, x) for x in (mined.reference.q, mined.actions))
            if not _same(reference, q, compose(here_T_there, mined.reference.object_pose)):
                return PlayedMotion(reference.q, relative, absent=f"{path} is of another reference")
            spent, steps = mined.provenance.get("seconds_cpu", 0.0), mined.provenance.get("control_steps", 0)
            return PlayedMotion(actions, relative, spent, round(steps / len(reference.q)), steps=steps)
    return PlayedMotion(reference.q, relative, absent=f"no demonstration of {clip}")


def _same(reference: Reference, q: np.ndarray, object_pose: np.ndarray, close: float = 1e-4) -> bool:
    """Whether hand (T, 6+n) and object (T, 7) move as the reference's do, the palm within the tolerances in which the
    placement puts it on the arm's path."""
    if q.shape != reference.q.shape or not np.allclose(object_pose, reference.object_pose, atol=close):
        return False
    palm, wanted = palm_poses(reference.base_quat, q), palm_poses(reference.base_quat, reference.q)
    off, turned = position_error(palm, wanted).max(), quat_angle(palm[:, 3:], wanted[:, 3:]).max()
    near = off < POSITION_TOLERANCE + close and turned < ROTATION_TOLERANCE + close
    return bool(near and np.allclose(q[:, 6:], reference.q[:, 6:], atol=close))


def demonstration_files(folder: str, clip: str) -> list[Path]:
    """Where a folder may have the clip's demonstration; none without a folder."""
    return [Path(folder) / f"{clip}{end}" for end in (".npz", ".demonstration.npz")] if folder else []


MOTIONS: dict[str, Callable[[Reference, Setup, EvaluationOptions], PlayedMotion]] = {
    "frozen": lambda r, s, o: PlayedMotion(np.repeat(r.q[:1], len(r.q), axis=0), False),
    "kinematic": lambda r, s, o: PlayedMotion(base_actions(r, s.physics), False),
    "replay": lambda r, s, o: PlayedMotion(base_actions(r, s.physics), True),
    "constant": _constant,
    "planned": _planned,
    "subsequences": _subsequences,
    "demonstration": lambda r, s, o: _mined(r, o, False),
    "playback": lambda r, s, o: _mined(r, o, True),
}
