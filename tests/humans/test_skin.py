"""The skinned hand: Jacobians against differences, mirroring, shape, conventions and contact zones."""

import numpy as np
import pytest

from dexhot.errors import FileFormatError, NotFoundError
from dexhot.geometry.rotations import matrix_from_6d, matrix_to_6d, quat_to_matrix, rotvec_to_quat
from dexhot.geometry.triangles import vertex_normals
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import JOINTS, HandPose, KeypointTable

RNG = np.random.default_rng(3)
POSE = HandPose.from_vector(0.4 * RNG.normal(size=51))
SHAPE = RNG.normal(size=10)


@pytest.fixture(scope="module", params=["plain", "with pose corrections"])
def person(request):
    """A person's hand, as the open one has no pose-dependent corrections with some that MANO could have."""
    from dataclasses import replace

    hand = open_hand()
    if request.param != "plain":
        hand = replace(hand, pose_directions=1e-3 * RNG.normal(size=(len(hand.vertices), 3, 135)))
    return hand.shaped(SHAPE)


@pytest.mark.parametrize("convention", ["open", "mano"])
def test_keypoint_jacobians_are_exact(person, convention):
    table, h = person.hand.table(convention), 1e-6
    numeric = np.zeros((21, 3, 51))
    for i, step in enumerate(h * np.eye(51)):
        ahead, behind = (person.posed(POSE.plus(s)).keypoints(table) for s in (step, -step))
        numeric[..., i] = (ahead - behind) / (2 * h)
    assert np.abs(person.posed(POSE).keypoint_jacobians(table) - numeric).max() < 1e-8


def test_vertex_jacobians_are_exact(person):
    ids, h = JOINTS + np.arange(0, len(person.hand.vertices), 37), 1e-6
    numeric = np.zeros((len(ids), 3, 51))
    for i, step in enumerate(h * np.eye(51)):
        ahead, behind = (person.posed(POSE.plus(s)).points[ids] for s in (step, -step))
        numeric[..., i] = (ahead - behind) / (2 * h)
    assert np.abs(person.posed(POSE).point_jacobians(ids) - numeric).max() < 1e-8


def test_shape_jacobians_are_exact():
    hand, h = open_hand(), 1e-4
    table = hand.table("mano")
    numeric = np.zeros((21, 3, 10))
    for i, step in enumerate(h * np.eye(10)):
        ahead, behind = (hand.shaped(SHAPE + s).posed(POSE).keypoints(table) for s in (step, -step))
        numeric[..., i] = (ahead - behind) / (2 * h)
    assert np.abs(hand.shaped(SHAPE).posed(POSE).shape_jacobians(table) - numeric).max() < 1e-9


def test_pulled_back_gradients_are_those_of_the_jacobians(person):
    """Of a sum of forces on all points: by the pose with the exact rows, by the shape against differences."""
    posed = person.posed(POSE)
    force = RNG.normal(size=posed.points.shape)
    pose, shape = posed.pull_back(force)
    rows = posed.point_jacobians(np.arange(len(force)))
    assert np.allclose(pose, np.einsum("ka,kap->p", force, rows), atol=1e-8)
    h, numeric = 1e-5, np.zeros(10)
    for i, step in enumerate(h * np.eye(10)):
        ahead, behind = (person.hand.shaped(SHAPE + s).posed(POSE).points for s in (step, -step))
        numeric[i] = (force * (ahead - behind)).sum() / (2 * h)
    assert np.allclose(shape, numeric, atol=1e-6)


def test_the_rest_pose_is_the_template():
    hand = open_hand()
    posed = hand.shaped().posed(HandPose())
    assert np.abs(posed.vertices - hand.vertices).max() < 1e-9
    assert np.abs(posed.joints - hand.joints).max() < 1e-9


def test_the_wrist_s_rotation_turns_the_hand_about_its_joint():
    person = open_hand().shaped(SHAPE)
    R = quat_to_matrix(rotvec_to_quat([0.3, -0.8, 0.5]))
    rest = person.posed(HandPose()).vertices - person.joints[0]
    turned = person.posed(HandPose(R, np.array([0.1, 0.2, 0.3]))).vertices
    assert np.abs(turned - (rest @ R.T + person.joints[0] + [0.1, 0.2, 0.3])).max() < 1e-9


def test_the_left_hand_is_the_right_one_in_a_mirror():
    right, left = open_hand("right"), open_hand("left")
    for convention in right.tables:
        there = right.shaped(SHAPE).posed(POSE).keypoints(right.table(convention))
        here = left.shaped(SHAPE).posed(POSE.mirrored()).keypoints(left.table(convention))
        assert np.abs(there * [-1.0, 1.0, 1.0] - here).max() < 1e-9
    normals = vertex_normals(left.vertices, left.faces)
    assert np.abs(normals - vertex_normals(right.vertices, right.faces) * [-1.0, 1.0, 1.0]).max() < 1e-9


def test_pose_corrections_are_mirrored_too(person):
    right = person.hand
    there = right.shaped(SHAPE).posed(POSE).vertices
    here = right.mirrored().shaped(SHAPE).posed(POSE.mirrored()).vertices
    assert np.abs(there * [-1.0, 1.0, 1.0] - here).max() < 1e-9


def test_a_pose_and_its_vector_are_one():
    x = 0.5 * RNG.normal(size=51)
    assert np.abs(HandPose.from_vector(x).vector() - x).max() < 1e-9


def test_a_rotation_is_read_from_any_two_columns_that_span_it():
    R = quat_to_matrix(rotvec_to_quat(0.5 * RNG.normal(size=(16, 3))))
    skewed = matrix_to_6d(R) * 2.0  # any two independent columns stand for their rotation
    skewed[:, 3:] += 0.3 * skewed[:, :3]
    assert np.abs(matrix_from_6d(skewed) - R).max() < 1e-9


def test_components_of_the_prior_span_its_covariance():
    prior = open_hand().prior
    assert prior.components.shape == (16, 45)
    kept = prior.components.T @ prior.components
    assert np.trace(kept) > 0.9 * np.trace(prior.covariance)
    assert np.abs(prior.fingers(np.zeros(5)).ravel() - prior.mean).max() == 0.0
    one = prior.fingers([0.0, 2.0]).ravel() - prior.mean
    assert np.abs(one - 2.0 * prior.components[1]).max() < 1e-12
    assert (prior.lower < prior.mean).all() and (prior.mean < prior.upper).all()


def test_an_unknown_convention_and_side_name_the_ones_there_are():
    with pytest.raises(NotFoundError, match="mano, mediapipe"):
        open_hand().table("smpl")
    with pytest.raises(NotFoundError, match="left, right"):
        open_hand("up")


def test_a_table_whose_weights_do_not_sum_to_one_is_refused():
    with pytest.raises(FileFormatError, match="summing to 1"):
        KeypointTable("bad", np.arange(3), np.full((21, 3), 0.3))


@pytest.mark.parametrize("shape", [np.zeros(11), np.full(10, np.nan), np.zeros((2, 5))])
def test_a_shape_that_does_not_fit_is_refused(shape):
    with pytest.raises(FileFormatError, match="up to 10 finite numbers"):
        open_hand().shaped(shape)
