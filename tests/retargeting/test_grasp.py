"""What a grasp costs, term by term, and what each term decides."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.grasp import GraspOptions, GraspSpace, _Choice, _finger_choices, balanced_forces, choose_grasps

RADIUS, THUMB = 0.0115, 3
SIDES = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
OPPOSED = np.array([[0.0415, 0.02, 0], [0.0415, 0.0, 0], [0.0415, -0.02, 0], [-0.0415, 0.0, 0]])
OUTWARD = np.array([[1.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]])


@pytest.fixture(scope="module")
def box():
    """60 x 100 x 80 mm about the origin."""
    return ConvexUnion([(SIDES * [0.03, 0.05, 0.04], None)])


def space(box, **changes) -> GraspSpace:
    return GraspSpace(box, RADIUS, THUMB, lambda x: np.ones(len(x), bool), replace(GraspOptions(), **changes))


def choice(box, weight=(1.0, 1.0, 1.0, 1.0), **changes) -> _Choice:
    """Each tip has one candidate: opposed on the box's long sides."""
    candidates = [(OPPOSED[[k]], OUTWARD[[k]]) for k in range(4)]
    return _Choice(space(box, **changes), OPPOSED, np.array(weight), candidates)


def cost(made: _Choice, k: int, point, normal, near=None, chosen=(-1, -1, -1, -1)) -> float:
    near = point if near is None else near
    point, normal = np.array([point], float), np.array([normal], float)
    return float(made.tip_cost(k, np.array(near, float), point, normal, OPPOSED, np.array(chosen))[0])


def test_fingers_that_were_measured_side_by_side_are_spread(box):
    """Without the cost of crowding the two would stay 6 mm apart, one inside the other."""
    tips = np.array([[0.04, 0.003, 0.0], [0.04, -0.003, 0.0], [0.04, 0.2, 0.0], [-0.04, 0.0, 0.0]])
    weight = np.array([1.0, 1.0, 0.0, 1.0])
    apart = {
        crowding: np.linalg.norm(np.diff(choose_grasps(space(box, crowding=crowding), tips, weight)[0].centre[:2].T))
        for crowding in (0.0, 4.0)
    }
    assert apart[4.0] > 0.014 > 0.010 > apart[0.0]


def test_crowding_costs_by_the_square_of_what_is_missing(box):
    made = choice(box)
    alone = cost(made, 0, [0.0415, 0.2, 0.0], OUTWARD[0])
    assert alone == pytest.approx(20.0 * (1 - 0.083 / np.hypot(0.083, 0.2)))  # misaligned with the thumb, no more
    crowded = cost(made, 0, [0.0415, 0.0, 0.012], OUTWARD[0])  # 12 mm from finger 1, 23 mm from finger 2
    gaps = np.array([0.012, np.hypot(0.02, 0.012)]) / 0.024
    aligned = 20.0 * (1 - 0.083 / np.hypot(0.083, 0.012))
    assert crowded == pytest.approx(aligned + 4.0 * ((1 - gaps) ** 2).sum())


def test_a_move_costs_one_per_displacement_and_counts_by_weight(box):
    far = [0.0415, 0.2, 0.0]
    moved = cost(choice(box), 0, far, OUTWARD[0], near=np.add(far, [0, 0, 0.024])) - cost(
        choice(box), 0, far, OUTWARD[0]
    )
    assert moved == pytest.approx(4.0)
    half = choice(box, weight=(0.5, 1, 1, 1))
    assert cost(half, 0, far, OUTWARD[0]) == pytest.approx(0.5 * cost(choice(box), 0, far, OUTWARD[0]))


def test_the_thumb_opposes_the_middle_of_the_weighted_fingers(box):
    made = choice(box, weight=(1.0, 0.0, 0.0, 1.0))
    # across from finger 0 alone, which counts; before any finger has chosen there is no other term
    assert cost(made, THUMB, [-0.0415, 0.02, 0.0], OUTWARD[THUMB]) == pytest.approx(0.0, abs=1e-12)
    even = choice(box)
    assert cost(even, THUMB, OPPOSED[THUMB], OUTWARD[THUMB]) == pytest.approx(0.0, abs=1e-12)
    tilted = cost(even, THUMB, OPPOSED[THUMB], [0.0, -1.0, 0.0])
    assert tilted == pytest.approx(20.0)  # at right angles to the opposition


def test_each_finger_that_has_chosen_wants_the_thumb_before_it(box):
    found = cost(choice(box, weight=(0.5, 1, 1, 1)), THUMB, OPPOSED[THUMB], OUTWARD[THUMB], chosen=(0, -1, -1, -1))
    middle = np.array([0.0415, 0.01 - 0.02, 0.0]) / [1, 2.5, 1]
    aside = OPPOSED[THUMB] - middle
    expected = 20.0 * (1 + aside @ [1, 0, 0] / np.linalg.norm(aside))
    expected += 20.0 * 0.5 * (1 - 0.083 / np.hypot(0.083, 0.02))
    assert found == pytest.approx(expected)


def test_a_grasp_leaves_out_what_its_contacts_are_off(box):
    made = choice(box)
    made.measured = OPPOSED + 0.01
    grasp = made.grasp(np.zeros(4, int))
    _, imbalance = balanced_forces(OPPOSED, OUTWARD, np.ones(4), THUMB, 0.1)
    terms = [made.tip_cost(k, OPPOSED[k], OPPOSED[[k]], OUTWARD[[k]], OPPOSED, np.zeros(4, int))[0] for k in range(4)]
    assert grasp.cost == pytest.approx(30.0 * imbalance + sum(terms))
    np.testing.assert_array_equal(grasp.centre, OPPOSED)


def test_a_tip_without_a_candidate_stays_where_it_was_measured(box):
    made = choice(box, weight=(1.0, 0.0, 1.0, 1.0))
    chosen = made.descend(OPPOSED)
    assert chosen.tolist() == [0, -1, 0, 0]
    grasp = made.grasp(chosen)
    assert grasp.weight.tolist() == [1, 0, 1, 1] and not grasp.normal[1].any() and not grasp.force[1].any()


def test_a_finger_left_out_costs_its_weight(box):
    few = choose_grasps(space(box, omitted=0.0), OPPOSED, np.ones(4))
    many = choose_grasps(space(box, omitted=14.0), OPPOSED, np.ones(4))
    assert (few[0].weight > 0).sum() < (many[0].weight > 0).sum()
    assert [grasp.cost for grasp in many] == sorted(grasp.cost for grasp in many)


def test_every_choice_of_fingers_that_may_touch_has_the_thumb():
    chosen = {tuple(used) for used in _finger_choices(np.array([1.0, 0.2, 0.3, 0.1]), THUMB)}
    assert chosen == {(True, False, True, True), (True, False, False, True), (False, False, True, True)}
    assert list(_finger_choices(np.array([0.1, 0.2, 0.0, 1.0]), THUMB)) == []


def test_contacts_lie_in_the_ball_that_is_searched(box):
    points, normals = space(box).contacts_near(np.array([0.05, 0.0, 0.0]))
    distance, outward = box.distance(points)
    np.testing.assert_allclose(distance, RADIUS, atol=3e-4)
    np.testing.assert_allclose(normals, outward, atol=1e-6)
    reach = np.linalg.norm(points - [0.05, 0, 0], axis=1)
    assert 0.030 < reach.max() < 0.036 + 0.004 + 1e-9 and len(points) > 100
    none, _ = space(box).contacts_near(np.array([0.2, 0.0, 0.0]))
    assert len(none) == 0


def test_forces_of_an_opposed_grasp_balance(box):
    force, imbalance = balanced_forces(OPPOSED, OUTWARD, np.ones(4), THUMB, 0.5)
    np.testing.assert_allclose(force.sum(0), 0.0, atol=0.05)
    np.testing.assert_allclose(np.cross(OPPOSED, force).sum(0), 0.0, atol=1e-3)
    assert -force[THUMB] @ OUTWARD[THUMB] == pytest.approx(1.0) and imbalance < 0.1
    assert (force[:THUMB, 0] < -0.2).all()  # each finger presses: the force is spread


@pytest.mark.parametrize("weight", [[1, 1, 1, 0.2], [0.2, 0.2, 0.1, 1.0]])
def test_without_the_thumb_or_without_a_finger_nothing_balances(weight):
    force, imbalance = balanced_forces(OPPOSED, OUTWARD, np.array(weight, float), THUMB, 0.5)
    assert imbalance == 1.0 and not force.any()


def test_what_a_torque_leaves_over_is_the_imbalance():
    """Two tips that press past each other by 20 mm, without friction: the torque cannot cancel."""
    centre, normal = np.array([[0.04, 0.01, 0], [-0.04, -0.01, 0]]), np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    _, sliding = balanced_forces(centre, normal, np.ones(2), 1, 1e-6)
    _, gripping = balanced_forces(centre, normal, np.ones(2), 1, 0.5)
    assert sliding > 0.3 > 0.1 > gripping


@pytest.mark.parametrize("direction", np.arange(8) * np.pi / 4)
def test_friction_holds_in_every_direction_alike(direction):
    """Two tips press past each other by 6 mm: tangential forces of 0.075 cancel the torque, whichever way it is."""
    aside = 0.003 * np.array([0.0, np.cos(direction), np.sin(direction)])
    centre = np.array([[0.04, 0, 0] + aside, [-0.04, 0, 0] - aside])
    force, imbalance = balanced_forces(centre, np.array([[1.0, 0, 0], [-1.0, 0, 0]]), np.ones(2), 1, 0.094)
    assert imbalance < 0.03
    np.testing.assert_allclose(force[1], [1.0, *(0.075 * aside[1:] / 0.003)], atol=0.03)
