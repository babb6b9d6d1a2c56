"""Of the grasps the one that this hand can take: what a posed grasp costs, and which is taken."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting import reachable_grasp
from dexhot.retargeting.clip_solver import ClipProblem
from dexhot.retargeting.grasp import Grasp, GraspOptions, GraspSpace
from dexhot.retargeting.load_margin import Load, load_margin
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")
POSE = np.array([0.05, -0.02, 0.3, np.cos(0.2), 0.0, 0.0, np.sin(0.2)])
FRAME = 1


SPACE = SimpleNamespace(options=GraspOptions(), radius=HAND.tip_radius)
LOAD = Load(1.0, np.zeros(3), np.array([[0, 0, -1.0]]), 0.5, 0.01, np.full(16, 0.2))


@pytest.fixture(scope="module")
def model(lift):
    return HandModel(HAND, asset=lift[1])


@pytest.fixture
def problem(model):
    T, n, k = 3, model.size, model.tips
    poses = np.tile([9.0, 9, 9, 1, 0, 0, 0], (T, 1))
    poses[FRAME] = POSE
    prior = np.zeros((T, n))
    prior[FRAME] = np.concatenate([[-0.1, 0.0, 0.6, 0, 0, 0], HAND.nominal])
    return ClipProblem(
        goal=np.zeros((T, k, 3)),
        goal_weight=np.ones((T, k)),
        palm=np.tile(np.eye(3), (T, 1, 1)),
        palm_weight=0.03,
        prior=prior,
        prior_weight=np.ones(n),
        velocity_weight=np.ones(n),
        acceleration_weight=np.ones(n),
        object_pose=poses,
        gap_weight=4.0,
    )


def grasp(centre, weight=(1.0, 0.5, 0.0, 1.0), cost=2.0) -> Grasp:
    return Grasp(np.array(centre), np.zeros((4, 3)), np.array(weight), np.zeros((4, 3)), cost)


def where_it_is(model, problem):
    """The fingertips of the prior's pose, in the mesh frame."""
    model.move(problem.prior[FRAME], POSE)
    return transform(inverse(POSE), model.points()[: model.tips].copy())


@pytest.mark.parametrize("inside", [0.0, 0.25])
def test_a_posed_grasp_costs_what_it_misses_by_and_overlaps(model, problem, monkeypatch, inside):
    monkeypatch.setattr(reachable_grasp, "solve_clip", lambda model, trial, start, iterations: start)
    problem.prior[FRAME, 2] -= inside
    tips = where_it_is(model, problem)
    missed = np.array([[0.003, 0, 0], [0, 0.0015, 0], [9.0, 0, 0], [0, 0, 0.0]])
    measured = tips + missed + [[0, 0, 0.012], [0, 0, 0.024], [0, 9, 0], [0.012, 0, 0]]
    costs, reached, q = reachable_grasp.pose_costs(
        model, problem, FRAME, [grasp(tips + missed), grasp(tips, cost=0.5)], measured, 5.0, SPACE
    )
    deepest = min(0.0, model.gaps().distance.min(initial=0.0))
    assert bool(deepest < -0.002) == bool(inside)
    away = (((tips + missed - measured) ** 2).sum(1) / 0.012**2) @ [1.0, 0.5, 0.0, 1.0]
    assert away == pytest.approx(1 + 2 + 1)
    assert costs[0] == pytest.approx(2.0 + (4.0 + 0.5) + away + (deepest / 0.002) ** 2)
    other = (((tips - measured) ** 2).sum(1) / 0.012**2) @ [1.0, 0.5, 0.0, 1.0]
    assert costs[1] == pytest.approx(0.5 + other + (deepest / 0.002) ** 2)
    np.testing.assert_allclose(reached, [tips, tips], atol=1e-12)
    np.testing.assert_array_equal(q, problem.prior[[FRAME, FRAME]])


def test_a_grasp_that_cannot_hold_the_load_costs_more(model, problem, monkeypatch):
    monkeypatch.setattr(reachable_grasp, "solve_clip", lambda model, trial, start, iterations: start)
    margins = iter([0.5, 0.0, 1.0, 3.0])
    monkeypatch.setattr(reachable_grasp, "posed_margin", lambda *_: next(margins))
    tips = where_it_is(model, problem)
    given = model, problem, FRAME, [grasp(tips)] * 4, tips, 5.0, SPACE
    costs, _, _ = reachable_grasp.pose_costs(*given, LOAD)
    unasked, _, _ = reachable_grasp.pose_costs(*given)
    assert costs - unasked == pytest.approx([10.0, 40.0, 0.0, 0.0])


def test_a_posed_grasps_margin_is_that_of_its_active_contacts_in_the_mesh_frame(model, problem):
    tips = where_it_is(model, problem)
    model.move(problem.prior[FRAME], POSE)
    outward = np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    found = Grasp(tips, outward, np.array([1.0, 0.0, 0.0, 1.0]), np.zeros((4, 3)), 0.0)
    jacobian = np.einsum("ji,kjn->kin", quat_to_matrix(POSE[3:]), model.point_jacobian()[[0, 3]][:, :, 6:])
    wanted = load_margin(LOAD, (tips - HAND.tip_radius * outward)[[0, 3]], outward[[0, 3]], jacobian)
    assert reachable_grasp.posed_margin(model, found, POSE, SPACE, LOAD) == pytest.approx(wanted, abs=1e-9)
    alone = replace(found, weight=np.array([0.0, 0, 0, 1]))
    assert reachable_grasp.posed_margin(model, alone, POSE, SPACE, LOAD) == 0.0


def test_the_hand_is_posed_on_the_contacts_in_that_frame(model, problem, monkeypatch):
    seen = []
    monkeypatch.setattr(reachable_grasp, "solve_clip", lambda m, trial, start, n: seen.append((trial, n)) or start)
    tips = where_it_is(model, problem)
    weight = (1.0, 0.21, 0.2, 1.0)
    reachable_grasp.pose_costs(model, problem, FRAME, [grasp(tips, weight)] * 2, tips, 5.0, SPACE)
    trial, iterations = seen[0]
    assert iterations == reachable_grasp.ITERATIONS
    np.testing.assert_allclose(trial.goal, np.tile(transform(POSE, tips), (2, 1, 1)))
    np.testing.assert_array_equal(trial.goal_weight, [[5.0, 5.0, 0.3, 5.0]] * 2)
    np.testing.assert_array_equal(trial.touching, [[True, True, False, True]] * 2)
    np.testing.assert_array_equal(trial.object_pose, [POSE, POSE])
    assert not trial.velocity_weight.any() and not trial.acceleration_weight.any()


def test_the_cheapest_of_both_searches_is_taken(model, problem, monkeypatch):
    first, second = [grasp(np.zeros((4, 3))) for _ in range(20)], [grasp(np.ones((4, 3))) for _ in range(2)]
    searched, posed = [], []

    def choose(space, measured, weight):
        searched.append(measured)
        return list(first) if len(searched) == 1 else list(second)

    def costs(model, problem, frame, grasps, *rest):
        posed.append(len(grasps))
        n = len(grasps)
        value = 20.0 - np.arange(n) if len(posed) == 1 else 5.0 - np.arange(n) - len(posed)
        return (
            value,
            np.full((n, 4, 3), float(len(posed))),
            np.full((n, 22), 100.0 * len(posed)) + np.arange(n)[:, None],
        )

    monkeypatch.setattr(reachable_grasp, "choose_grasps", choose)
    monkeypatch.setattr(reachable_grasp, "pose_costs", costs)
    measured, space = np.full((4, 3), 7.0), SimpleNamespace(options=GraspOptions())
    found, q = reachable_grasp.find_grasp(model, problem, FRAME, space, measured, np.ones(4), 5.0)
    assert posed == [12, 2, 2, 2]  # of the first search the 12 cheapest, then around the three best poses
    assert len(searched) == 4
    np.testing.assert_array_equal(searched[1], [[1.0] * 3, [1.0] * 3, [7.0] * 3, [1.0] * 3])
    assert any(found is g for g in second) and q[0] == 401.0


def test_where_nothing_can_be_touched_the_error_gives_the_remedy(model, problem, lift):
    space = GraspSpace(ConvexUnion(lift[1].pieces), HAND.tip_radius, 3, lambda x: np.ones(len(x), bool))
    with pytest.raises(DexhotError, match="does not hold the object"):
        reachable_grasp.find_grasp(model, problem, FRAME, space, np.full((4, 3), 5.0), np.ones(4), 5.0)
