"""Residual terms: their Jacobians against differences, what is robust, what is free."""

import numpy as np
import pytest

from dexhot.fitting.terms import (
    NEIGHBOURS,
    POINTS,
    FingersApart,
    JointLimits,
    KeypointDepth,
    Keypoints2D,
    Keypoints3D,
    LikelyPose,
    NearPose,
    RelativeDepth,
)
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose

RNG = np.random.default_rng(5)
HAND = open_hand()
TABLE = HAND.table("mano")
PERSON = HAND.shaped(RNG.normal(size=10))
POSE = HandPose.from_vector(np.concatenate([[0.4, -0.9, 0.3], [0.05, 0.1, 0.7], 0.5 * RNG.normal(size=45)]))
OTHER = POSE.plus(0.03 * RNG.normal(size=51))
CAMERA = np.array([600.0, 610.0, 320.0, 240.0])
SEEN = PERSON.posed(OTHER).keypoints(TABLE)
PIXELS = SEEN[:, :2] / SEEN[:, 2:] * CAMERA[:2] + CAMERA[2:]
CONFIDENCE = RNG.uniform(0.1, 1.0, 21)
GUESS = (SEEN[:, 2] / SEEN[0, 2] - 1.0) * CAMERA[0]

TERMS = {
    "3D": Keypoints3D(TABLE, SEEN, CONFIDENCE),
    "2D": Keypoints2D(TABLE, CAMERA, PIXELS, CONFIDENCE),
    "depth": KeypointDepth(TABLE, SEEN[:, 2], CONFIDENCE),
    "relative depth": RelativeDepth(TABLE, CAMERA, GUESS, CONFIDENCE),
    "likely": LikelyPose(HAND.prior),
    "limits": JointLimits(HAND.prior),
}


@pytest.mark.parametrize("name", TERMS)
def test_jacobians_are_exact(name):
    term, h = TERMS[name], 1e-6
    rows = term.rows(PERSON.posed(POSE))
    numeric = np.zeros_like(rows.jacobian)
    for i, step in enumerate(h * np.eye(51)):
        ahead, behind = (term.rows(PERSON.posed(POSE.plus(s))).residual for s in (step, -step))
        numeric[:, i] = (ahead - behind) / (2 * h)
    assert np.abs(rows.jacobian - numeric).max() < 1e-5 * max(1.0, np.abs(numeric).max())


@pytest.mark.parametrize("name", ["3D", "2D", "depth", "relative depth"])
def test_jacobians_of_the_shape_are_exact(name):
    term, h = TERMS[name], 1e-4
    rows = term.rows(PERSON.posed(POSE), with_shape=True)
    assert rows.jacobian.shape[1] == 61
    for i, step in enumerate(h * np.eye(10)):
        ahead, behind = (term.rows(HAND.shaped(PERSON.shape + s).posed(POSE)).residual for s in (step, -step))
        assert np.allclose((ahead - behind) / (2 * h), rows.jacobian[:, 51 + i], atol=1e-4)


@pytest.mark.parametrize("name", TERMS)
def test_the_gradient_of_the_cost_is_that_of_its_rows(name):
    """Weights of robust terms are those of the cost's own derivative."""
    term, h = TERMS[name], 1e-6
    rows = term.rows(PERSON.posed(POSE))
    gradient = 2.0 * rows.jacobian.T @ (rows.weight * rows.residual)
    for i in range(0, 51, 5):
        step = h * np.eye(51)[i]
        numeric = (term.rows(PERSON.posed(POSE.plus(step))).cost - term.rows(PERSON.posed(POSE.plus(-step))).cost) / (
            2 * h
        )
        assert numeric == pytest.approx(gradient[i], rel=1e-3, abs=1e-3)


def test_nearness_vanishes_at_the_pose_and_grows_by_its_scales():
    term = NearPose(POSE, turn=0.2, shift=0.03, bend=0.25)
    assert term.rows(PERSON.posed(POSE)).cost < 1e-12
    step = np.zeros(51)
    step[3] = 0.03
    assert term.rows(PERSON.posed(POSE.plus(step))).cost == pytest.approx(1.0)
    step = np.zeros(51)
    step[1] = 0.2
    assert term.rows(PERSON.posed(POSE.plus(step))).cost == pytest.approx(1.0)


def test_a_pixel_far_off_counts_for_little():
    far = PIXELS.copy()
    far[8] += 200.0
    near = Keypoints2D(TABLE, CAMERA, PIXELS, np.ones(21)).rows(PERSON.posed(OTHER))
    off = Keypoints2D(TABLE, CAMERA, far, np.ones(21)).rows(PERSON.posed(OTHER))
    assert off.weight[16] < 1e-3 * near.weight[16] and off.weight[18] == near.weight[18]
    assert off.cost < 9.01  # bounded: one keypoint, ROBUST


def test_confidence_zero_is_no_measurement():
    blind = Keypoints3D(TABLE, SEEN + 1.0, np.zeros(21)).rows(PERSON.posed(POSE))
    assert blind.cost == 0.0 and not blind.weight.any()


@pytest.mark.parametrize("end, beyond", [("upper", 0.1), ("lower", -0.1)])
def test_limits_are_free_inside_and_pull_back_outside(end, beyond):
    middle = HandPose(fingers=(0.5 * (HAND.prior.lower + HAND.prior.upper)).reshape(15, 3))
    term = JointLimits(HAND.prior)
    assert term.rows(PERSON.posed(middle)).cost == 0.0
    out = middle.plus(np.zeros(51))
    out.fingers[4, 1] = getattr(HAND.prior, end).reshape(15, 3)[4, 1] + beyond
    rows = term.rows(PERSON.posed(out))
    assert rows.residual[13] == pytest.approx(beyond) and rows.cost == pytest.approx(4.0)


def test_the_mean_pose_is_the_likeliest():
    mean = PERSON.posed(HandPose(fingers=HAND.prior.mean.reshape(15, 3)))
    assert LikelyPose(HAND.prior).rows(mean).cost < 1e-12
    along = HandPose(fingers=HAND.prior.fingers([1.0]))
    assert LikelyPose(HAND.prior, strength=1.0).rows(PERSON.posed(along)).cost == pytest.approx(1.0, rel=0.02)


def test_a_joint_behind_the_measured_surface_may_be_hidden():
    """It weighs less than one as far before it, where no joint can be."""
    depth, away = SEEN[:, 2] - 0.01, np.array([0.0, 0.0, 0.02])
    behind, before = (
        KeypointDepth(TABLE, depth + sign * away[2], np.ones(21), 0.01, 0.01, 2.0).rows(PERSON.posed(OTHER))
        for sign in (-1.0, 1.0)
    )
    assert np.allclose(behind.residual, 0.02) and np.allclose(before.residual, -0.02)
    assert (behind.weight < 0.6 * before.weight).all() and behind.cost < 0.5 * before.cost


def test_a_guessed_shape_says_nothing_of_where_the_hand_is():
    """The same pixels are of the same shape at any distance, but for the perspective in it."""
    away = HandPose(OTHER.rotation, OTHER.translation + [0.0, 0.0, 0.3], OTHER.fingers)
    term = RelativeDepth(TABLE, CAMERA, (SEEN[:, 2] - SEEN[0, 2]) / SEEN[:, 2].mean() * CAMERA[0], np.ones(21))
    assert term.rows(PERSON.posed(OTHER)).cost < 1e-9
    nearer = RelativeDepth(TABLE, CAMERA, term.relative * SEEN[:, 2].mean() / (SEEN[:, 2].mean() + 0.3), np.ones(21))
    assert nearer.rows(PERSON.posed(away)).cost < 1e-9
    some = np.where(np.arange(21) < 17, term.relative, np.nan)  # none of the little finger
    assert np.flatnonzero(
        RelativeDepth(TABLE, CAMERA, some, np.ones(21)).rows(PERSON.posed(POSE)).weight == 0.0
    ).tolist() == [17, 18, 19, 20]
    wrong = term.relative + 60.0 * (np.arange(21) == 20)
    rows = RelativeDepth(TABLE, CAMERA, wrong, np.ones(21)).rows(PERSON.posed(OTHER))
    assert rows.weight[20] < 0.2 * rows.weight[:17].min()


def test_a_finger_leaves_its_neighbours_place():
    """The ring finger bent sideways into the middle finger, where a camera that sees the middle one sees no fault."""
    at = FingersApart(TABLE, room=0.012)
    assert not len(at.rows(PERSON.posed(HandPose(POSE.rotation, POSE.translation, np.zeros((15, 3))))).residual)
    bones = {axis: HandPose(POSE.rotation, POSE.translation, np.zeros((15, 3))) for axis in range(6)}
    for axis, pose in bones.items():  # some direction of the ring finger's knuckle leads to the middle finger
        pose.fingers[9, axis // 2] = 0.4 if axis % 2 else -0.4
    bent = max(bones.values(), key=lambda pose: at.rows(PERSON.posed(pose)).cost)
    rows = at.rows(PERSON.posed(bent))
    assert len(rows.residual) >= 2 and (rows.residual < 0).all()
    for _ in range(8):
        A = rows.jacobian.T @ (rows.weight[:, None] * rows.jacobian) + 10.0 * np.eye(51)
        bent = bent.plus(-np.linalg.solve(A, rows.jacobian.T @ (rows.weight * rows.residual)))
        rows = at.rows(PERSON.posed(bent))
    assert rows.cost < 1.0


class StraightFingers:
    """Four fingers along y, 30 mm bones, from the index (x = 90 mm) to the little finger (0), with room between."""

    def __init__(self):
        self.points = np.zeros((21, 3))
        for k, knuckle in enumerate(NEIGHBOURS):
            self.points[knuckle : knuckle + 4] = np.outer(range(4), [0.0, 0.03, 0.0]) + [0.09 - 0.03 * k, 0.0, 0.0]

    def keypoints(self, table):
        return self.points

    def keypoint_jacobians(self, table):
        return np.zeros((21, 3, 51))


def gaps(hand) -> np.ndarray:
    return FingersApart(TABLE, room=0.015, sigma=0.002).rows(hand).residual


def test_two_fingers_have_a_rods_room_between_their_axes():
    hand = StraightFingers()
    assert not len(gaps(hand))
    hand.points[13:17, 0] = 0.06 - 0.009  # the ring finger 9 mm beside the middle one, and 5 mm behind it
    hand.points[13:17, 2] = 0.005
    np.testing.assert_allclose(gaps(hand), np.full(POINTS, 0.009 - np.sqrt(0.015**2 - 0.005**2)), atol=1e-9)
    hand.points[13:17, 2] = 0.016  # behind it by more than the room: bent, wherever it is sideways
    assert not len(gaps(hand))
    hand.points[13:17, 0] = 0.06 + 0.002
    assert not len(gaps(hand))


def test_knuckles_may_be_nearer_than_the_room():
    """Fingers that part from 12 mm at the knuckle to 18 mm at its first joint."""
    hand = StraightFingers()
    hand.points[13:17, 0] = 0.06 - np.array([0.012, 0.0181, 0.022, 0.026])
    assert not len(gaps(hand))


def test_the_rows_of_fingers_lead_apart_and_not_the_hand_away():
    """The Jacobian is that of the sideways gap, about; the hand as a whole moves nothing."""
    term, h = FingersApart(TABLE, room=0.05, sigma=0.002), 1e-6
    posed = PERSON.posed(HandPose(POSE.rotation, POSE.translation, np.zeros((15, 3))))
    rows = term.rows(posed)
    assert len(rows.residual) and (rows.weight == 0.002**-2).all()
    assert np.abs(rows.jacobian[:, 3:6]).max() < 1e-6
    numeric = np.empty_like(rows.jacobian)
    for i, step in enumerate(h * np.eye(51)):
        ahead, behind = (term.rows(PERSON.posed(posed.pose.plus(s))).residual for s in (step, -step))
        numeric[:, i] = (ahead - behind) / (2 * h)
    along = (numeric * rows.jacobian)[:, 6:].sum(axis=1)
    assert (along > 0.8 * np.linalg.norm(numeric[:, 6:], axis=1) * np.linalg.norm(rows.jacobian[:, 6:], axis=1)).all()
