"""Receding-horizon search along a whole clip: plan, execute a part, replan; rewind when the object is lost.

Effort goes where it is needed: a plan that already keeps the object close is not improved, a round of few samples comes
before one of many, and when the object is lost the search rewinds to before it slipped, with other noise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dexhot.control.sampling import SamplingPlanner
from dexhot.geometry.equivalents import reduced_angle
from dexhot.metrics.tracking_errors import position_error
from dexhot.simulation.backend import Batch


@dataclass(frozen=True)
class SearchOptions:
    """Effort and patience of a search."""

    rounds: tuple[tuple[int, int], ...] = ((48, 3), (96, 4))  # (samples, iterations) of each round of a plan
    good: tuple[float, float] = (0.01, np.radians(12))  # m, rad: a plan within these errors may be skipped
    keep: bool = False  # skip every good plan (to repair a clip), instead of every second one
    fair: tuple[float, float] = (0.025, np.radians(25))  # m, rad: a plan within these errors needs no further round
    lost: tuple[float, float] = (0.035, np.radians(32))  # m, rad: beyond these errors the object is lost
    dropped: float = 0.1  # m: an object further off cannot be recovered
    rewinds: int = 6
    rewind: int = 3  # plans to rewind the first time; later rewinds go further
    budget: int = 200_000  # simulated control steps after which there are no further rounds or rewinds


def search(
    planner: SamplingPlanner,
    states: np.ndarray,
    options: SearchOptions,
    progress: Callable[[float, int], object] | None = None,
    decisive: int = 1,
) -> np.ndarray:
    """(T, 6+n) actions from the reference's first frame, found in the planner's worlds, which start in states (W, ns).

    A plan is good if it is good in every world; whether it is fair, and whether the object is lost, depends on the
    first `decisive` worlds. Any other world that loses the object is ignored from then on.
    progress: called with the furthest fraction of the clip so far, which a rewind leaves as it is, and the number of
    rewinds.
    """
    states, models = np.atleast_2d(states), planner.models
    here = {0: (states, planner.residual.copy(), np.ones(len(states), bool))}
    t, rewinds, first, furthest = 0, 0, slice(decisive), 0
    while t < planner.frames - 1:
        states, _, alive = here[t]
        planner.models = models and [model for model, counts in zip(models, alive) if counts]
        ahead = planner.predict(states[alive], t)
        fresh = not options.keep and (t == 0 or (t // planner.stride) % 2 == 1)
        for samples, iterations in options.rounds if fresh or not within(planner, ahead, t, options.good) else ():
            planner.plan(states[alive], t, samples, iterations)
            ahead = planner.predict(states[alive], t)
            if planner.control_steps > options.budget or within(planner, ahead, t, options.fair, first):
                break
        soon = slice(planner.steps // 2)
        rich = planner.control_steps < options.budget
        if rich and rewinds < options.rewinds and not within(planner, ahead, t, options.lost, first, soon):
            t = max(0, t - (options.rewind + rewinds // 2) * planner.stride)
            planner.residual[:] = here[t][1]
            rewinds += 1
            if progress:
                progress(min(1.0, furthest / planner.frames), rewinds)
            continue
        states, alive = states.copy(), alive.copy()
        error = tracking_error(planner, ahead, t)[0][:, planner.stride - 1]
        states[alive] = ahead.states[:, planner.stride - 1]
        alive[np.flatnonzero(alive)] = (error < 2 * options.lost[0]) & ~ahead.diverged
        alive[first] = True
        t += planner.stride
        here[t] = states, planner.residual.copy(), alive
        if (error[first] > options.dropped).all():
            break
        furthest = max(furthest, t)
        if progress:
            progress(min(1.0, furthest / planner.frames), rewinds)
    planner.models = models
    return planner.actions(0, planner.frames)


def tracking_error(planner: SamplingPlanner, ahead: Batch, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Object position (m) and symmetry-reduced rotation (rad) errors (W, h) of rollouts from frame t on."""
    frames = np.minimum(np.arange(t + 1, t + 1 + ahead.states.shape[1]), planner.frames - 1)
    pose, wanted = planner.simulator.object_pose(ahead.states), planner.reference.object_pose[frames]
    symmetry = planner.scene.object.symmetry  # type: ignore[union-attr]
    return position_error(pose, wanted), reduced_angle(symmetry, wanted[:, 3:], pose[..., 3:])


def within(
    planner: SamplingPlanner,
    ahead: Batch,
    t: int,
    limits: tuple[float, float],
    worlds: slice = slice(None),
    steps: slice = slice(None),
) -> bool:
    """Whether `worlds` stay within `limits` (m, rad) over these `steps` of `ahead`."""
    position, angle = (error[worlds, steps] for error in tracking_error(planner, ahead, t))
    return not ahead.diverged[worlds].any() and bool((position < limits[0]).all() and (angle < limits[1]).all())
