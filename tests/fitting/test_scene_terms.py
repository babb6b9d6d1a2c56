"""Terms of hand and object: Jacobians against differences, gates, what occlusion and visibility leave out."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.fitting import kernels
from dexhot.fitting.scene import HandObjectScene, SceneState, object_model
from dexhot.fitting.scene_terms import (
    Attraction,
    CloudToObject,
    FrameView,
    FreeSpace,
    Ground,
    HandMask,
    HandOnly,
    ObjectMask,
    Penetration,
    Surface,
    Temporal,
)
from dexhot.fitting.terms import LikelyPose
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.humans.zones import contact_zones
from dexhot.objects.shapes import named_shape, shape_asset

RNG = np.random.default_rng(3)
HAND = open_hand()
PERSON = HAND.shaped(0.5 * RNG.normal(size=10))
FINGERS = HAND.prior.mean + 0.1 * RNG.normal(size=45)
POSE = HandPose.from_vector(np.concatenate([[0.3, 2.6, 0.4], [0.0, 0.02, 0.6], FINGERS]))
MODEL = object_model(shape_asset(named_shape("parametric/box-40x60x90")))
GRASP = PERSON.posed(POSE).vertices[contact_zones(HAND)["middle"]].mean(axis=0)
STATE = SceneState(POSE, quat_to_matrix(rotvec_to_quat(np.array([0.5, 0.2, -0.7]))), GRASP + [0.0, 0.02, 0.01])
OTHER = STATE.plus(np.concatenate([0.02 * RNG.normal(size=51), [0.05, -0.04, 0.06], [0.004, 0.003, -0.004]]))
CAMERA = np.array([600.0, 600.0, 320.0, 240.0])
SMALL, SIZE = CAMERA / 4, (120, 160)


def scene_at(state: SceneState) -> HandObjectScene:
    """With the vertices that are seen there."""
    seen = HandObjectScene(PERSON, MODEL, STATE).look(SMALL, SIZE)
    return HandObjectScene(PERSON, MODEL, state, seen)


def seen_view() -> FrameView:
    """Of the scene at OTHER, masks as if by a perfect segmentation."""
    scene = HandObjectScene(PERSON, MODEL, OTHER)
    hand, thing = np.full(SIZE, 1e3), np.full(SIZE, 1e3)
    draw_depth(scene.hand.vertices, HAND.faces, SMALL, hand)
    draw_depth(MODEL.vertices @ OTHER.rotation.T + OTHER.position, MODEL.faces, SMALL, thing)
    labels = np.where(np.minimum(hand, thing) > 100, 0, np.where(hand < thing, 1, 2)).astype(np.uint8)
    depth = (1e3 * np.minimum(hand, thing) * (labels > 0)).astype(np.uint16)
    none = np.zeros((0, 2))
    return FrameView(
        CAMERA,
        SMALL,
        labels,
        kernels.cloud(labels, depth, 1, 1, SMALL, none, 0.0),
        kernels.cloud(labels, depth, 2, 1, SMALL, none, 0.0),
        kernels.distance_image(labels == 0),
        kernels.distance_image(labels == 0),
        np.zeros((21, 2)),
        np.zeros(21),
        np.zeros(21),
        1e-3 * depth,
    )


VIEW = seen_view()
PADS = [zone for name, zone in contact_zones(HAND).items() if name != "palm"]
TERMS = {
    "hand mask": HandMask(VIEW),
    "object mask": ObjectMask(VIEW),
    "sdf": CloudToObject(VIEW),
    "free space": FreeSpace(replace(VIEW, measured=VIEW.measured + 0.02)),
    "penetration": Penetration(),
    "attraction": Attraction(PADS, reach=0.1),
    "temporal": Temporal(OTHER),
    "ground": Ground(np.array([0.0, -1.0, 0.0, 0.02])),
    "prior": HandOnly(LikelyPose(HAND.prior), 2.0),
}


@pytest.mark.parametrize("name", TERMS)
def test_jacobians_and_gradients_are_those_of_the_values(name):
    """J against differences of the residual; 2 J^T W r against differences of the cost (robust weights included)."""
    term, h = TERMS[name], 1e-7
    rows = term.rows(scene_at(STATE))
    assert len(rows.residual) > 0
    columns = rows.jacobian.shape[1]
    numeric, slope = np.zeros_like(rows.jacobian), np.zeros(columns)
    for i in range(columns):
        step = np.zeros(57)
        step[rows.first + i] = h
        ahead, behind = (term.rows(scene_at(STATE.plus(s))) for s in (step, -step))
        assert len(ahead.residual) == len(behind.residual) == len(rows.residual)
        numeric[:, i] = (ahead.residual - behind.residual) / (2 * h)
        slope[i] = (ahead.cost - behind.cost) / (2 * h)
    if name != "temporal":  # its rotation rows are those of small turns
        same = np.abs(rows.jacobian - numeric) < 1e-4 * np.abs(numeric).max()
        assert same.all(axis=1).mean() > 0.98  # a point on the edge of a pixel or a cell has a kink
        gradient = 2.0 * rows.jacobian.T @ (rows.weight * rows.residual)
        assert np.allclose(slope, gradient, atol=2e-3 * max(1.0, np.abs(gradient).max()))
    else:
        assert np.abs(rows.jacobian - numeric).max() < 0.05


def test_the_surface_is_measured_along_its_normals_which_count_as_fixed():
    """Within one step correspondences and normals are constant, so only the point's motion is in the rows."""
    here, term = scene_at(STATE), Surface(VIEW)
    rows = term.rows(here)
    step = np.zeros(57)
    step[3:6] = 1e-6 * np.array([1.0, 2.0, -1.0])  # normals stay
    moved = term.rows(scene_at(STATE.plus(step)))
    assert len(moved.residual) == len(rows.residual) > 300
    same = np.abs(moved.residual - rows.residual) < 1e-5
    assert same.mean() > 0.99
    assert np.allclose((moved.residual - rows.residual)[same], (rows.jacobian @ step[:51])[same], atol=1e-9)


def test_only_the_visible_surface_is_drawn_to_the_cloud():
    """Eq. 5 against the vanilla loss: the back of the hand must not be pulled to the front's points."""
    scene = scene_at(OTHER)
    shift = np.zeros(57)
    shift[5] = 0.012  # the hand away from the camera: its back comes no nearer to the cloud
    back = scene_at(OTHER.plus(shift))
    seen, vanilla = Surface(VIEW), Surface(VIEW, visible_only=False)
    assert seen.rows(back).cost > seen.rows(scene).cost
    hidden = np.setdiff1d(np.arange(len(HAND.vertices)), scene.seen)
    assert len(vanilla.rows(scene).residual) > len(seen.rows(scene).residual) + 0.2 * len(hidden)


def test_nothing_is_before_what_the_camera_measured():
    """Hand and object toward the camera cost, away from it they do not: something else may hide them."""
    term, nearer = FreeSpace(VIEW), np.zeros(57)
    for columns in ([5], [56]):
        nearer[:] = 0.0
        nearer[columns] = -0.04
        before, behind = (term.rows(scene_at(OTHER.plus(sign * nearer))).cost for sign in (1.0, -1.0))
        assert before > max(20.0, 3.0 * behind) and before > 10.0 * term.rows(scene_at(OTHER)).cost
    unknown = replace(VIEW, measured=np.zeros(SIZE))
    assert FreeSpace(unknown).rows(scene_at(OTHER.plus(nearer))).cost == 0.0


def test_a_mask_is_free_where_something_may_hide():
    """The hand over the object's mask costs nothing, over the background it does."""
    away = STATE.plus(np.concatenate([np.zeros(3), [0.08, 0.0, 0.0], np.zeros(51)]))
    assert HandMask(VIEW).rows(scene_at(away)).cost > 10 * HandMask(VIEW).rows(scene_at(OTHER)).cost > 0
    covered = replace(VIEW, hand_distances=np.zeros(SIZE))
    assert HandMask(covered).rows(scene_at(away)).cost == 0.0


def test_attraction_waits_for_contact():
    """Its gate (eq. 8): a hand that touches nothing is not drawn to the object."""
    term = Attraction(PADS, reach=0.1, gate=0.001)
    assert term.rows(scene_at(STATE)).cost > 0.0
    deepest = -HandObjectScene(PERSON, MODEL, STATE).distances(scene_at(STATE).hand.vertices)[0].min()
    assert Attraction(PADS, reach=0.1, gate=deepest + 1e-4).rows(scene_at(STATE)).cost == 0.0


def test_small_changes_are_free_below_the_threshold():
    """Eq. 9's thresholds, of hand and object apart."""
    step = np.zeros(57)
    step[3], step[54] = 0.01, 0.02
    moved = scene_at(STATE.plus(step))
    free = Temporal(STATE, threshold=0.02, object_threshold=0.03).rows(moved)
    assert free.cost < 1e-9
    bound = Temporal(STATE, threshold=0.005, object_threshold=0.03).rows(moved)
    assert bound.cost == pytest.approx((0.01 / 0.012) ** 2)


def test_wide_scales_reach_farther():
    """Narrowing: a residual of many sigmas pulls in the first iterations and is an outlier in the last."""
    step = np.zeros(57)
    step[56] = 0.015
    away = scene_at(OTHER.plus(step))
    term = CloudToObject(VIEW)
    wide, last = term.rows(away, 4.0), term.rows(away)
    far, near = np.abs(last.residual).argmax(), np.abs(last.residual).argmin()
    assert wide.weight[far] > last.weight[far] and wide.weight[near] < last.weight[near]


def test_distance_image_is_exact():
    from scipy.ndimage import distance_transform_edt

    free = RNG.random((40, 53)) > 0.02
    assert np.allclose(kernels.distance_image(free), distance_transform_edt(free))
    assert kernels.distance_image(np.ones((5, 6), bool)).min() > 1e3  # no mask at all


def test_distances_agree_with_the_volume():
    from dexhot.geometry.sdf_volume import SdfVolume

    volume = SdfVolume(MODEL.values, MODEL.origin, MODEL.spacing)
    points = STATE.position + RNG.uniform(-0.012, 0.012, (50, 3))
    found, _, by_point = HandObjectScene(PERSON, MODEL, STATE).distances(points)
    wanted, gradient = volume.distance((points - STATE.position) @ STATE.rotation)
    assert np.allclose(found, wanted) and np.allclose(by_point @ STATE.rotation, gradient, atol=1e-6)
