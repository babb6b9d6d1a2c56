"""The panel: its five worlds are what they are called, and what it takes to count."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.controllers import Kinematic, Playback
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, UnreachableError
from dexhot.evaluation import score
from dexhot.evaluation.panel import (
    NEEDED,
    PANEL,
    Light,
    Panel,
    PanelMotion,
    of_controller,
    of_demonstration,
    play_panel,
)
from dexhot.objects.library import save_object
from dexhot.paths import share_dir
from dexhot.retargeting.placement import with_arm_path
from dexhot.rollouts import arm
from dexhot.rollouts.arm import run_offline
from dexhot.rollouts.floating import floating_simulator, run_controller, run_floating
from dexhot.simulation.perturbation import variant
from dexhot.simulation.setup import Setup, load_setup

ARM_WORLDS = ("arm", "arm, palm 2 mm off")


@pytest.fixture(scope="module")
def shipped() -> Demonstration:
    """The shipped lift, with the arm's path."""
    found = load(share_dir() / "policies" / "lift_box.npz", Demonstration)
    return replace(found, reference=with_arm_path(found.reference))


@pytest.fixture(scope="module")
def setup(shipped) -> Setup:
    return load_setup(shipped.reference)


@pytest.fixture(scope="module")
def nominal(shipped, setup):
    """Its rollout on the floating hand, a strict success."""
    return of_demonstration(shipped, setup).floating(setup, setup.physics)


class Recorded:
    """A player that records its worlds, and fails in the chosen ones."""

    def __init__(self, rollout, fails=lambda physics, palm: False):
        self.rollout, self.fails, self.physics, self.palms = rollout, fails, [], []

    def floating(self, setup, physics):
        self.physics.append(physics)
        return self.play(physics, None)

    def arm(self, setup, palm):
        self.palms.append(tuple(palm))
        return self.play(setup.physics, palm)

    def play(self, physics, palm):
        if not self.fails(physics, palm):
            return self.rollout
        return replace(self.rollout, object_pose=np.repeat(self.rollout.object_pose[:1], len(self.rollout.q), axis=0))

    def player(self) -> PanelMotion:
        return PanelMotion(self.floating, self.arm)


def test_the_worlds_differ_as_they_are_called(nominal, setup):
    assert [world.name for world in PANEL] == [
        *("1/960 s elliptic", "MuJoCo default contacts", "friction 0.6", *ARM_WORLDS)
    ]
    recorded, counted = Recorded(nominal), []

    def track(worlds):
        for world in worlds:
            yield world
            counted.append(world[0])

    assert play_panel(recorded.player(), setup, track).success
    assert counted == ["nominal", *(world.name for world in PANEL)]
    own, fine, default, slippery = recorded.physics
    assert own == setup.physics
    assert (fine.timestep, fine.cone) == (pytest.approx(1 / 960), "elliptic") and fine.friction == own.friction
    assert (default.timestep, default.cone) == (pytest.approx(1 / 480), "pyramidal")
    assert (default.solref, default.impratio, default.noslip_iterations) == ((0.02, 1.0), 1.0, 0)
    assert slippery.friction[0] == 0.6 and replace(slippery, friction=own.friction, version=own.version) == own
    assert recorded.palms[0] == (0.0, 0.0, 0.0)
    off = {(0.002, 0, 0), (-0.002, 0, 0), (0, 0.002, 0), (0, -0.002, 0), (0, 0, 0.002), (0, 0, -0.002)}
    assert set(recorded.palms[1:]) == off and len(recorded.palms) == 7


@pytest.mark.parametrize("worst", range(6))
def test_of_six_palms_the_worst_decides(nominal, setup, worst):
    palm = PANEL[4].palms[worst]
    found = play_panel(Recorded(nominal, lambda _, p: p is not None and tuple(p) == palm).player(), setup)
    assert [light.passed for light in found.lights] == [True, True, True, True, False] and found.success
    axis, sign = "xyz"[np.flatnonzero(palm)[0]], "+" if sum(palm) > 0 else "-"
    assert f"palm {sign}2 mm in {axis}: judged position error, largest 9" in found.lights[4].why


def lights(*passed: bool) -> tuple[Light, ...]:
    return tuple(Light(world.name, p, "") for world, p in zip(PANEL, passed, strict=True))


@pytest.mark.parametrize(
    ("nominal", "others", "success"),
    [(True, 5, True), (True, 4, True), (True, 3, False), (False, 5, False), (True, 0, False)],
)
def test_the_nominal_world_and_four_of_five_are_needed(nominal, others, success):
    found = Panel(Light("nominal", nominal, ""), lights(*[k < others for k in range(5)]))
    assert found.success is success and NEEDED == 4


def test_out_of_reach_fails_both_worlds_of_the_arm(shipped, setup, monkeypatch):
    def unreachable(reference):
        raise UnreachableError("the palm stays 300 mm off")

    monkeypatch.setattr(score, "with_arm_path", unreachable)
    found = play_panel(of_demonstration(shipped, setup), setup)
    assert [light.passed for light in found.lights] == [True, True, True, False, False] and not found.success
    assert all("out of the arm's reach" in light.why for light in found.lights[3:])


@pytest.mark.parametrize("frames", [6, 18])
def test_a_jammed_finger_that_the_supervisor_would_stop_fails_on_the_arm(nominal, setup, frames):
    command = nominal.command.copy()
    command[30 : 30 + frames, -1] = nominal.q[30 : 30 + frames, -1] - 1.25
    jammed = replace(nominal, command=command, kind="arm")
    found = play_panel(PanelMotion(lambda *_: nominal, lambda *_: jammed), setup)
    assert [light.passed for light in found.lights[3:]] == [frames < 12] * 2, "0.2 s"
    if frames > 12:
        assert found.lights[3].why == "the supervisor would stop it: thumb_dip has a tracking error of 1.25 rad"


def test_the_palm_is_where_the_world_has_it(shipped, setup, monkeypatch):
    """The rig's own kinematics do not know of it: they place the palm as if it were at its mount."""
    worlds, build = [], arm.EmbeddedWorld
    monkeypatch.setattr(arm, "EmbeddedWorld", lambda scene: worlds.append(build(scene)) or worlds[-1])
    playback, reference = Playback(shipped), shipped.reference
    at, off = (run_offline(reference, playback, setup, palm=np.array(p)) for p in ((0.0, 0, 0), (0.0, 0.002, 0)))
    shift = [world.scene.model.body("palm").pos for world in worlds]
    np.testing.assert_allclose(shift[1] - shift[0], [0, 0.002, 0], atol=1e-12)
    assert 1e-4 < np.abs(at.object_pose[-1, :3] - off.object_pose[-1, :3]).max() < 0.02


def test_a_controller_that_does_not_look_does_what_its_targets_do(shipped, setup):
    simulator = floating_simulator(shipped.reference, setup)
    seen = run_controller(Playback(shipped, object_relative=False), simulator)
    blind = run_floating(shipped.reference, shipped.actions, simulator)
    for name in ("q", "object_pose", "command", "penetration", "self_penetration"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(blind, name))


def test_a_controller_sees_where_hand_and_object_are(shipped, setup):
    class Watching(Kinematic):
        def start(self, observed):
            self.started, self.seen = observed.pose, []

        def step(self, index, observed, hand):
            self.seen.append((observed.stamp, observed.pose, hand.q))
            return super().step(index, observed, hand)

    watching = Watching(shipped.reference, setup.physics)
    rollout = run_controller(watching, floating_simulator(shipped.reference, setup))
    stamps, poses, q = map(np.array, zip(*watching.seen))
    np.testing.assert_allclose(stamps, rollout.time)
    np.testing.assert_array_equal(poses, rollout.object_pose)
    np.testing.assert_array_equal(q, rollout.q)
    np.testing.assert_array_equal(watching.started, rollout.object_pose[0])


def test_any_controller_is_judged_on_both_hands(shipped, setup):
    player = of_controller(lambda reference: Kinematic(reference, setup.physics), shipped.reference)
    assert player.floating(setup, setup.physics).kind == "floating" and player.arm(setup, np.zeros(3)).kind == "arm"


def test_a_demonstration_of_another_physics_is_refused(shipped, setup):
    with pytest.raises(DexhotError, match="physics version 1"):
        of_demonstration(replace(shipped, physics="1"), setup)


@pytest.mark.parametrize("world", [world for world in PANEL if world.variant], ids=lambda world: world.name)
def test_a_demonstration_is_simulated_in_the_worlds_physics(shipped, setup, nominal, world):
    rollout = of_demonstration(shipped, setup).floating(setup, variant(setup.physics, world.variant))
    assert rollout.provenance["physics"] == f"2, {world.variant}"
    assert np.abs(rollout.object_pose - nominal.object_pose).max() > 1e-5


def test_an_object_that_rocks_in_softer_contacts_is_judged_there_and_not_refused(shipped, setup):
    """Where it rests is asked of the nominal physics alone."""
    restless = variant(setup.physics, "MuJoCo default contacts")
    restless = replace(restless, rest_speed=(0.0, 0.0))
    motion = of_demonstration(shipped, setup)
    assert motion.floating(setup, restless).metrics == {}
    with pytest.raises(DexhotError, match="not at rest"):
        motion.floating(replace(setup, physics=restless), restless)


def test_evaluate_prints_the_panel(shipped, tmp_path, capsys, retarget_once, monkeypatch):
    monkeypatch.setattr("dexhot.evaluation.verify.retarget", retarget_once)
    assert main(["evaluate", str(save(shipped, tmp_path / "d.npz")), "--panel", "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out.splitlines()[-1])
    assert told["success_panel"] is True and told["panel"] == {"nominal": True} | {w.name: True for w in PANEL}
    assert "success_panel" in printed.err and "MuJoCo default contacts" in printed.err
    assert "not run" not in printed.err


def test_what_was_recorded_has_no_panel(nominal, tmp_path, capsys, setup, retarget_once, monkeypatch):
    monkeypatch.setattr("dexhot.evaluation.verify.retarget", retarget_once)
    save_object(setup.asset)
    assert main(["evaluate", str(save(nominal, tmp_path / "r.npz")), "--panel"]) == 1
    assert "--panel" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "r.npz")]) == 0
    assert re.search(r"success_panel\W+not run", capsys.readouterr().out)
