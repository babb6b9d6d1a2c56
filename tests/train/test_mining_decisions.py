"""What mining decides without simulating anything: which worlds, which candidate, which job."""

from dataclasses import replace
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from dexhot.data.files import save
from dexhot.data.types import Demonstration
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_rotvec
from dexhot.retargeting.placement import place
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.rollouts.with_arm import WithArm
from dexhot.simulation.backend import Batch
from dexhot.simulation.perturbation import Perturbation
from dexhot.simulation.perturbation import worlds as worlds_named
from dexhot.simulation.physics import load_physics
from dexhot_train.mining.clip_job import ClipJob, load_reference
from dexhot_train.mining.mine import MineOptions, placed, rank, succeeds, with_samples
from dexhot_train.mining.search import SearchOptions
from dexhot_train.mining.worlds import draw_worlds, object_relative, planned_worlds, success_rate

PHYSICS = load_physics()


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def scored(**scores) -> Demonstration:
    given = {"success_strict": False, "robustness": 0.0, "success_10cm_20deg": False, "judged_T_cm": 1.0}
    return SimpleNamespace(scores=given | scores)  # type: ignore[return-value]


def test_candidates_rank_by_success_before_robustness_before_error():
    worst_to_best = [
        scored(judged_T_cm=2.0),
        scored(judged_T_cm=1.0),
        scored(success_10cm_20deg=True, judged_T_cm=9.0),
        scored(robustness=0.1, judged_T_cm=9.0),
        scored(success_strict=True, success_strict_arm=False, judged_T_cm=9.0),
        scored(success_strict=True, success_strict_arm=False, robustness=0.5, judged_T_cm=9.0),
        scored(success_strict=True, success_strict_arm=True, judged_T_cm=9.0),
        scored(success_strict=True, robustness=0.5, judged_T_cm=9.0),
        scored(success_strict=True, robustness=0.5, success_10cm_20deg=True, judged_T_cm=9.0),
    ]
    ranks = [rank(candidate) for candidate in worst_to_best]
    assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks)


@pytest.mark.parametrize(
    ("scores", "success"),
    [
        ({"success_strict": True}, True),
        ({"success_strict": True, "success_strict_arm": True}, True),
        ({"success_strict": True, "success_strict_arm": False}, False),
        ({"success_strict": False, "success_strict_arm": True}, False),
    ],
)
def test_a_success_is_one_on_the_arm_too_where_it_was_tried_there(scores, success):
    assert succeeds(scored(**scores)) is success


def test_a_success_rate_is_a_share_of_the_worlds():
    assert success_rate([{"success_strict": s} for s in (True, False, False, True, True)]) == pytest.approx(0.6)


def test_a_reference_is_placed_once_it_has_a_path_for_the_arm(lift_reference, tmp_path):
    assert not placed(lift_reference)
    there = place(lift_reference)
    assert placed(there)
    without = replace(there, arm_q=np.zeros((0, 7)), arm_frames=np.zeros(0))
    assert placed(load_reference(save(without, tmp_path / "of_0_1"))), "what dexhot 0.1 placed has none yet"
    assert not placed(load_reference(save(lift_reference, tmp_path / "recorded")))


@pytest.mark.parametrize(
    ("samples", "rounds"), [(24, ((24, 3), (48, 5))), (96, ((96, 3), (192, 5))), (1, ((4, 3), (4, 5)))]
)
def test_rounds_scale_with_the_samples_and_never_below_four(samples, rounds):
    scaled = with_samples(MineOptions(repair=SearchOptions(rounds=((48, 3), (96, 5)))), samples)
    assert scaled.repair.rounds == rounds
    assert scaled.robust.rounds[0][0] == max(4, samples)


def test_worlds_fill_their_bounds_in_place_turn_friction_and_mass(lift_reference, simulator):
    how = Perturbation()
    assert how == worlds_named("worlds_v1") and how.offset == 0.005 and how.yaw == pytest.approx(np.radians(10))
    assert how.friction == how.mass == (0.8, 1.2)
    worlds, start = draw_worlds(lift_reference, simulator, 60, seed=0, how=how), lift_reference.object_pose[0]
    poses = np.array([simulator.object_pose(world.state) for world in worlds])
    offset = poses[:, :2] - start[:2]
    turn = quat_to_rotvec(quat_multiply(poses[:, 3:], quat_conjugate(start[3:])))
    friction = np.array([w.model.geom_friction[0, 0] for w in worlds]) / simulator.model.geom_friction[0, 0]
    mass = np.array([w.model.body("object").mass[0] for w in worlds]) / simulator.model.body("object").mass[0]
    for drawn, half, middle in (
        (offset[:, 0], 0.005, 0.0),
        (offset[:, 1], 0.005, 0.0),
        (turn[:, 2], np.radians(10), 0.0),
        (friction, 0.2, 1.0),
        (mass, 0.2, 1.0),
    ):
        off = drawn - middle
        assert np.abs(off).max() <= half + 1e-9 and off.min() < -0.7 * half and off.max() > 0.7 * half
    drawn = np.stack([offset[:, 0], offset[:, 1], turn[:, 2], friction, mass])
    assert np.abs(np.corrcoef(drawn) - np.eye(5)).max() < 0.5  # each by itself
    np.testing.assert_allclose(turn[:, :2], 0.0, atol=1e-9)


def test_a_search_plans_for_the_lowest_friction_and_for_what_else_worlds_v2_draws(lift_reference, simulator):
    slippery, creeping, *others = planned_worlds(lift_reference, simulator, 13, seed=0)
    option, nominal = creeping.model.opt, start_state(lift_reference, simulator)
    assert (option.cone, option.noslip_iterations) == (mujoco.mjtCone.mjCONE_PYRAMIDAL, 0)
    assert option.timestep == simulator.scene.model.opt.timestep and (creeping.model.geom_solref[:, 0] == 0.02).all()
    np.testing.assert_array_equal(creeping.state, nominal)
    friction = [world.model.geom_friction[simulator.scene.table_geom, 0] for world in (slippery, *others)]
    assert 0.5 <= friction[0] <= 0.6 and np.ptp(friction[1:]) > 0.3
    palm = np.stack([world.model.body("palm").pos for world in (slippery, *others)])
    assert (np.ptp(palm, axis=0) > 1e-3).all()
    states = np.stack([world.state for world in (slippery, *others)])
    assert len(np.unique(states, axis=0)) == 12
    assert [len(planned_worlds(lift_reference, simulator, count, 0)) for count in (0, 1, 2, 3)] == [0, 1, 2, 3]


def test_worlds_of_another_seed_are_others(lift_reference, simulator):
    one, other = (draw_worlds(lift_reference, simulator, 2, seed)[0].state for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_actions_relative_to_the_object_begin_with_its_offset(lift_reference):
    r = lift_reference
    demonstration = Demonstration("d", r, r.target.copy(), r.q, r.object_pose, PHYSICS.version)
    seen = r.object_pose[0] + [0.01, -0.02, 0, 0, 0, 0, 0]
    found = object_relative(demonstration, seen)
    moved = found - r.target
    np.testing.assert_allclose(moved[0, :3], [0.01, -0.02, 0.0], atol=1e-9)
    np.testing.assert_allclose(moved[-1], 0.0, atol=1e-9)
    assert found.shape == r.target.shape


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.q.__setitem__((3, 4), r.q[3, 4] + 1e-9),
        lambda r: r.target.__setitem__((3, 4), 0.5),
        lambda r: r.contact.__setitem__((3, 1), 0.123),
        lambda r: r.object_pose.__setitem__((3, 0), 0.123),
        lambda r: setattr(r, "base_quat", np.array([0.0, 1.0, 0.0, 0.0])),
        lambda r: setattr(r, "object_name", "parametric/box-50x70x100"),
    ],
)
def test_a_changed_reference_is_another_job(cache, lift_reference, tmp_path, change):
    job = ClipJob(tmp_path / "r.npz", tmp_path / "out.npz")
    save(lift_reference, job.reference)
    before = job.key()
    assert job.key() == before and not job.done()
    change(lift_reference)
    save(lift_reference, job.reference)
    assert job.key() != before
    assert replace(job, options=MineOptions(seed=1)).key() != job.key()


class Rolls(ArmSimulator):
    """A simulator that returns its worlds' first states and controls, and what it was asked."""

    def __init__(self, size: int, mark: float):
        self.state_size, self.mark, self.asked = size, mark, []
        self.scene = "scene"

    def rollout(self, states, controls, models=None):
        self.asked.append((np.array(states), models))
        rows = np.full((len(controls), controls.shape[1], self.state_size), self.mark)
        rows[..., 0] = controls[:, :1, 0]  # which world it was
        return Batch(rows, rows[..., :1], rows[:, 0, 0] == 3.0)


def test_worlds_go_to_their_own_simulators_and_come_back_in_order():
    floating, arm = Rolls(4, 1.0), Rolls(6, 2.0)
    other = Rolls(6, 7.0)
    states = np.arange(30.0).reshape(5, 6)
    controls = np.arange(5.0)[:, None, None] * np.ones((5, 2, 5))
    batch = WithArm(floating, 6).rollout(states, controls, ["a", arm, "b", arm, other])
    np.testing.assert_array_equal(batch.sensors[:, 0, 0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(batch.diverged, [False, False, False, True, False])
    np.testing.assert_array_equal(batch.states[:, 0, 1], [1, 2, 1, 2, 7])
    np.testing.assert_array_equal(batch.states[:, 0, 4:], [[0, 0], [2, 2], [0, 0], [2, 2], [7, 7]])  # filled up
    np.testing.assert_array_equal(floating.asked[0][0], states[[0, 2], :4])
    assert floating.asked[0][1] == ["a", "b"]
    np.testing.assert_array_equal(arm.asked[0][0], states[1])
    np.testing.assert_array_equal(other.asked[0][0], states[4])


def test_worlds_may_all_be_on_one_kind():
    floating, arm = Rolls(4, 1.0), Rolls(6, 2.0)
    batch = WithArm(floating, 6).rollout(np.zeros(6), np.zeros((3, 2, 5)), [arm] * 3)
    assert batch.states.shape == (3, 2, 6) and not floating.asked
    one = WithArm(floating, 6).rollout(np.zeros((2, 6)), np.zeros((2, 5)), ["a", "b"])
    assert one.states.shape == (2, 2, 6) and len(arm.asked) == 1
