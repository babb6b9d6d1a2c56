"""The panel: one verdict from the nominal world and five others, so that no success depends on one contact model.

A motion succeeds when it is strict in the nominal world and in at least `NEEDED` of the five worlds of `PANEL`. On the
arm rig it fails too where the live graph's supervisor would stop it: a jammed finger, a joint beyond its limit.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dexhot.control.controllers import Controller
from dexhot.control.time_warp import frames_at, warp_reference
from dexhot.data.types import Demonstration, Reference, Rollout
from dexhot.errors import UnreachableError
from dexhot.evaluation.score import require_physics, run_on_arm
from dexhot.metrics.judge import STRICT, judge, with_unit
from dexhot.metrics.rollout import compute
from dexhot.retargeting.placement import with_arm_path
from dexhot.rollouts.arm import run_offline
from dexhot.rollouts.floating import floating_simulator, run_controller, run_floating
from dexhot.safety.joint_watch import finger_problem
from dexhot.simulation.perturbation import variant
from dexhot.simulation.physics import Physics
from dexhot.simulation.setup import Setup

PALM_OFF = 0.002  # m
NEEDED = 4
NOMINAL, ARM = "nominal", "arm"
Run = tuple[str, Callable[[], Rollout]]  # its label within its world, and the simulation
World = tuple[str, Iterable[Run]]  # its name, and its runs
Track = Callable[[list[World]], Iterable[World]]


@dataclass(frozen=True)
class PanelWorld:
    """One of the five worlds: the floating hand in another physics, or the arm rig."""

    name: str
    variant: str | None = None  # of the physics (simulation.perturbation); None: the nominal one
    palms: tuple[tuple[float, float, float], ...] = ()  # arm rig: palm offsets, m, in the mount's frame


AT_PLACE = ((0.0, 0.0, 0.0),)
AROUND = tuple((*np.roll([sign * PALM_OFF, 0.0, 0.0], axis),) for axis in range(3) for sign in (1.0, -1.0))
PANEL = (
    PanelWorld("1/960 s elliptic", "1/960 s elliptic"),
    PanelWorld("MuJoCo default contacts", "MuJoCo default contacts"),
    PanelWorld("friction 0.6", "friction 0.6"),
    PanelWorld(ARM, palms=AT_PLACE),
    PanelWorld("arm, palm 2 mm off", palms=AROUND),
)


@dataclass(frozen=True)
class PanelMotion:
    """A motion to be scored: how to simulate it on the floating hand and on the arm."""

    floating: Callable[[Setup, Physics], Rollout]  # on the floating hand, in this physics
    arm: Callable[[Setup, np.ndarray], Rollout]  # on the arm rig, palm offset (3,) m; raises UnreachableError


@dataclass(frozen=True)
class Light:
    """The verdict in one world."""

    name: str
    passed: bool
    why: str  # it is not strict


@dataclass(frozen=True)
class Panel:
    """The verdicts in the nominal world, and in the five others in the order of PANEL."""

    nominal: Light
    lights: tuple[Light, ...]

    @property
    def success(self) -> bool:
        """Whether the motion succeeds."""
        return self.nominal.passed and sum(light.passed for light in self.lights) >= NEEDED

    def as_json(self) -> dict[str, bool]:
        """World -> whether it is strict there."""
        return {light.name: light.passed for light in (self.nominal, *self.lights)}


def play_panel(motion: PanelMotion, setup: Setup, track: Track = iter) -> Panel:
    """Simulate the motion in all six worlds. `track` iterates over them and may show the progress."""
    worlds: list[World] = [(NOMINAL, [("", lambda: motion.floating(setup, setup.physics))])]
    worlds += [(world.name, _runs(motion, setup, world)) for world in PANEL]
    nominal, *others = [_light(name, _failures(runs, setup)) for name, runs in track(worlds)]
    return Panel(nominal, tuple(others))


def of_demonstration(demonstration: Demonstration, setup: Setup) -> PanelMotion:
    """The motion of the saved actions, on the arm rig in the arm's time. Raises DexhotError when they were made with
    another physics version."""
    require_physics(demonstration, setup)
    reference = demonstration.reference

    def floating(setup: Setup, physics: Physics) -> Rollout:
        return run_floating(reference, demonstration.actions, floating_simulator(reference, setup, physics))

    def arm(setup: Setup, palm: np.ndarray) -> Rollout:
        return run_on_arm(demonstration, setup, palm)

    return PanelMotion(floating, arm)


def of_controller(make: Callable[[Reference], Controller], reference: Reference) -> PanelMotion:
    """The motion of a controller; `make` creates it for a reference, in the person's time or in the arm's."""

    def floating(setup: Setup, physics: Physics) -> Rollout:
        return run_controller(make(reference), floating_simulator(reference, setup, physics))

    def arm(setup: Setup, palm: np.ndarray) -> Rollout:
        placed = with_arm_path(reference)
        controller = make(warp_reference(placed, frames_at(placed)))
        return run_offline(controller.reference, controller, setup, palm=palm)

    return PanelMotion(floating, arm)


def _runs(motion: PanelMotion, setup: Setup, world: PanelWorld) -> Iterator[Run]:
    """All runs of a world."""
    if not world.palms:
        assert world.variant is not None, "a world differs from the nominal one"
        other = variant(setup.physics, world.variant)
        yield "", lambda: motion.floating(setup, other)
    for palm in world.palms:
        told = " ".join(f"{1e3 * m:+.0f} mm in {axis}" for m, axis in zip(palm, "xyz") if m)
        yield told, lambda palm=palm: motion.arm(setup, np.array(palm))  # type: ignore[misc]


def _failures(runs: Iterable[Run], setup: Setup) -> Iterator[str]:
    """The reason for each run that is not strict, lazily: the first one decides."""
    for told, run in runs:
        try:
            rollout = run()
        except UnreachableError as unreachable:
            yield f"out of the arm's reach: {unreachable}"
            continue
        where = f"palm {told}: " if told else ""
        metrics = compute(rollout, setup.asset, setup.hand)
        if not metrics["success_strict"]:
            failed = [v for v in judge(metrics) if v.id in STRICT and v.passed is False]
            yield where + ", ".join(
                f"{v.name.lower()} {with_unit(v.text, v.unit)} (limit {v.limit_text})" for v in failed
            )
        elif rollout.kind == ARM and (problem := _stopped(rollout, setup)):
            yield f"{where}the supervisor would stop it: {problem}"


def _stopped(rollout: Rollout, setup: Setup) -> str:
    """Why the supervisor of the live graph would interrupt a run on the arm, "" if it would not."""
    return finger_problem(setup.hand.name, rollout.time, rollout.q[:, 6:], rollout.command[:, 6:])


def _light(name: str, failures: Iterator[str]) -> Light:
    why = next(failures, None)
    return Light(name, why is None, why or "")
