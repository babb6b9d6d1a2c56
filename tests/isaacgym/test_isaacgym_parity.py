"""The task in Isaac Gym beside the one in MuJoCo: observations, rewards and ends of the same states are the same.

Isaac Gym itself is a stand-in (tests/gymapi_stub.py) that is fed the states that MuJoCo went through.
"""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gymapi_stub  # noqa: E402
from dexhot.geometry.poses import make_pose  # noqa: E402
from dexhot.geometry.rotations import to_xyzw  # noqa: E402
from dexhot.objects.asset import Symmetry  # noqa: E402
from dexhot.retargeting.placement import moved  # noqa: E402
from dexhot.robots.robot_hand import load_hand  # noqa: E402
from dexhot.simulation.physics import load_physics  # noqa: E402
from dexhot.simulation.setup import Setup  # noqa: E402
from dexhot_isaacgym.bundle import Bundle  # noqa: E402
from dexhot_isaacgym.tracking import TorchTrackingTask as IsaacTask  # noqa: E402
from dexhot_train.isaacgym_export import RANDOMISATION, export_isaacgym  # noqa: E402
from dexhot_train.task.clips import task_clip  # noqa: E402
from dexhot_train.task.simulators import ThreadedMujoco  # noqa: E402
from dexhot_train.task.starts import StartOptions  # noqa: E402
from dexhot_train.task.tracking import TaskOptions, TrackingTask  # noqa: E402

N, STEPS = 6, 25
PHYSICS = replace(RANDOMISATION, worlds="worlds_v1")  # without a displaced palm, which Isaac Gym's hand does not have
OPTIONS = TaskOptions(randomisation=PHYSICS, worlds=2, references=1, starts=StartOptions(plans=4))


class ExactTips(ThreadedMujoco):
    """Fingertips of the state itself, not of the last substep's begin."""

    def reading(self):
        found = super().reading()
        for row, (clip, world) in enumerate(zip(self.clip, self.world)):
            found.tips[row] = self._tips(self.models[clip][world], self.clips[clip].scene, self.states[row])
        return found

    def step(self, controls):
        self.after = super().step(controls)  # before those that ended begin anew
        return self.after


@pytest.fixture(scope="module")
def clips(_lift_reference, lift):
    """One without symmetry that is placed and turned, one whose object counts as one with an axis."""
    setup = Setup(load_hand("leap_right"), lift[1], load_physics())
    placed = moved(_lift_reference, make_pose([0.4, -0.1, 0.0], [np.cos(0.4), 0, 0, np.sin(0.4)]))
    round_asset = replace(setup.asset, name="parametric/round", symmetry=Symmetry("axis", [0.0, 0.6, 0.8]))
    return [task_clip(placed, setup), task_clip(_lift_reference, replace(setup, asset=round_asset))]


@pytest.fixture(scope="module")
def folder(clips, tmp_path_factory):
    return export_isaacgym(clips, tmp_path_factory.mktemp("isaac") / "task", OPTIONS)


class Sides:
    """Both tasks after a reset to the same starts, and what steps them together."""

    def __init__(self, clips, folder, monkeypatch, terminations=None):
        self.gym = gymapi_stub.install(monkeypatch)
        from dexhot_isaacgym.gym_worlds import GymWorlds

        self.bundle = Bundle(folder, dtype=torch.float64)
        self.worlds = GymWorlds(self.bundle, N, -1)
        self.isaac = IsaacTask(self.bundle, self.worlds)
        draws = TrackingTask(clips, 1, OPTIONS).worlds
        simulator = ExactTips(clips, N, draws)
        given = {} if terminations is None else {"terminations": terminations}
        self.mujoco = TrackingTask(clips, N, replace(OPTIONS), simulator=simulator, **given)
        self.mujoco.offset = self.mujoco.yaw = 0.0
        self.mujoco.assigned = torch.stack([self.worlds.clip, self.worlds.world], 1).numpy()
        if terminations == {}:
            self.isaac.terminations = {}
        self.first = self.mujoco.reset()
        self.gym.feed = self.feed
        self.isaac._drawn = lambda rows: self.starts()[rows]
        self.second = self.isaac.reset()

    def starts(self):
        """Rows (N,) of the exported table that MuJoCo's task drew; 0 for worlds that are under way."""
        table, at = self.bundle, self.mujoco.simulator.reading()
        rows = []
        for i in range(N):
            same = (table.start_q.numpy() == at.q[i]).all(1) & (table.start_clip.numpy() == self.mujoco.clip[i])
            found = np.flatnonzero(same & (table.start_frame.numpy() == self.mujoco.frame[i]))
            rows.append(found[0] if len(found) else 0)
        return torch.tensor(np.array(rows))

    def feed(self, gym, steps):
        """MuJoCo's state after the control step that Isaac Gym has just simulated."""
        if steps % self.bundle["substeps"]:
            return
        order = self.worlds._order.numpy()
        gym.dofs[:] = torch.as_tensor(np.stack([self.now.q, self.now.qd], axis=-1)[:, order])
        pose, twist = self.now.object_pose, self.now.object_twist
        root = np.concatenate([pose[:, :3], to_xyzw(pose[:, 3:]), twist], axis=1)
        gym.roots[:, 1] = torch.as_tensor(root)
        gym.forces.zero_()
        gym.forces[:, self.worlds._tip_bodies, 2] = torch.as_tensor(1.0 * self.now.tip_contact).float()

    def step(self, u):
        done = self.mujoco.step(u)
        self.now = self.mujoco.simulator.after
        return done, self.isaac.step(torch.as_tensor(u))


def close(ours, theirs, atol=2e-5):
    np.testing.assert_allclose(np.asarray(ours, float), theirs.double().numpy(), atol=atol, rtol=1e-5)


def test_observations_and_rewards_of_recorded_states_are_the_same(clips, folder, monkeypatch):
    sides = Sides(clips, folder, monkeypatch, terminations={})
    close(sides.first.policy, sides.second[0])
    close(sides.first.critic, sides.second[1])
    assert len(set(sides.mujoco.kind)) >= 2
    rng, paid, ended = np.random.default_rng(2), 0.0, 0
    for _ in range(STEPS):
        u = 0.5 * rng.standard_normal((N, sides.mujoco.action_size))
        ours, theirs = sides.step(u)
        ended += (ours.terminated | ours.truncated).sum()
        np.testing.assert_array_equal(ours.truncated, theirs.truncated.numpy())
        close(ours.observations.policy, theirs.policy, atol=2e-4)  # single precision of the stand-in's tensors
        close(ours.observations.critic, theirs.critic, atol=2e-4)
        close(ours.reward, theirs.reward)
        close(sides.mujoco.command, sides.isaac.command)
        on = ~(ours.terminated | ours.truncated)
        close(sides.mujoco.command[on][:, sides.worlds._order.numpy()], sides.gym.targets[on])
        paid = max(paid, np.abs(ours.reward).max())
    assert ended  # resets too
    ours = sides.mujoco.summed_parts
    assert set(sides.isaac.rewards) == set(sides.mujoco.rewards) and paid > 1.0
    assert (np.abs(ours).max(axis=0) > 0).all()  # every term was at work


def test_ends_are_the_same(clips, folder, monkeypatch):
    """A hand that is driven away ends, in the same step, and begins anew."""
    sides = Sides(clips, folder, monkeypatch)
    causes = np.zeros(2, int)
    for _ in range(30):
        ours, theirs = sides.step(np.full((N, sides.mujoco.action_size), 1.0))
        np.testing.assert_array_equal(ours.terminated, theirs.terminated.numpy())
        np.testing.assert_array_equal(ours.truncated, theirs.truncated.numpy())
        np.testing.assert_array_equal(sides.mujoco.steps, sides.isaac.steps.numpy())
        close(ours.observations.critic, theirs.critic, atol=5e-4)
        causes += [ours.terminated.sum(), ours.truncated.sum()]
    assert causes[0] > 0


def test_starts_are_drawn_by_their_fractions(clips, folder, monkeypatch):
    sides = Sides(clips, folder, monkeypatch)
    rows = torch.zeros(20_000, dtype=torch.long)
    drawn = IsaacTask._drawn(sides.isaac, rows)
    assert (sides.bundle.start_clip[drawn] == sides.isaac.clip[0]).all()
    there = {int(k) for k in sides.bundle.start_kind[sides.bundle.start_clip == 0]}
    fractions = OPTIONS.starts.fractions()
    for kind in there - {0}:
        assert float((sides.bundle.start_kind[drawn] == kind).double().mean()) == pytest.approx(
            fractions[kind], abs=0.02
        )


def test_a_quaternion_and_its_negative_are_observed_the_same(clips, folder, monkeypatch):
    isaac = Sides(clips, folder, monkeypatch).isaac
    state = isaac.simulator.state()
    first = isaac._observe(state)[0]
    isaac.object_pose = torch.cat([isaac.object_pose[:, :3], -isaac.object_pose[:, 3:]], 1)
    torch.testing.assert_close(isaac._observe(state)[0], first)


def test_environments_have_the_exported_physics_and_servos(clips, folder, monkeypatch):
    gym, bundle = gymapi_stub.install(monkeypatch), Bundle(folder, dtype=torch.float64)
    from dexhot_isaacgym.gym_worlds import GymWorlds

    bundle.arrays["physics"][:, 1, 2] = 1.1  # the servos' gain, which worlds_v1 does not vary
    worlds = GymWorlds(bundle, N, -1)
    assert gym.parameters.dt == pytest.approx(1 / 240) and gym.parameters.gravity.z == -9.81
    for i, (hand, body) in enumerate(gym.environments):
        friction, mass, gain, inertia, _ = bundle.physics[worlds.clip[i], worlds.world[i]].tolist()
        assert hand.group == body.group == i and (hand.mask, body.mask) == (1, 0)
        assert body.shapes[0].friction == hand.shapes[0].friction == pytest.approx(0.8 * friction)
        assert body.links[0].mass == pytest.approx(mass) and body.links[0].inertia.y.y == pytest.approx(mass * inertia)
        servo = clips[0].setup.physics.finger(clips[0].setup.hand)
        finger = hand.asset.joints.index(bundle["joints"][6])
        assert hand.dofs["stiffness"][finger] == pytest.approx(gain * servo.stiffness[0])
        assert hand.dofs["stiffness"][hand.asset.joints.index("tx")] == 2000.0
        assert hand.dofs["effort"][finger] == pytest.approx(servo.torque)
        assert hand.asset.options.fix_base_link and hand.asset.options.disable_gravity
    assert {int(w) for w in worlds.world} == {0, 1}


def test_a_touch_is_a_force_on_a_fingertips_link(clips, folder, monkeypatch):
    sides = Sides(clips, folder, monkeypatch)
    bodies = sides.gym.environments[0][0].asset.bodies
    assert [bodies[k] for k in sides.worlds._tip_bodies] == sides.bundle["tip_links"]
    sides.gym.feed = lambda gym, steps: None
    sides.gym.forces[2, sides.worlds._tip_bodies[1], 0] = 0.2
    sides.gym.forces[3, sides.worlds._tip_bodies[1], 0] = 0.05
    sides.worlds.step(sides.isaac.command)
    touched = sides.worlds.state().tip_contact
    assert touched.sum() == 1 and touched[2, 1]


def test_a_bundle_is_read_in_single_precision_by_default(folder):
    bundle = Bundle(folder)
    assert bundle.q.dtype == torch.float32 and bundle.start_frame.dtype == torch.long
