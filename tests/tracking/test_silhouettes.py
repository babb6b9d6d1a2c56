"""The object's box and mask as observations of the hand-object filter: derivatives, what is hidden, and gates."""

import itertools

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import transform
from dexhot.tracking.hand_object_filter import HandObjectFilter
from dexhot.tracking.observations import SeenKeypoints, SeenPose
from dexhot.tracking.silhouettes import SIDES, OfObject, SeenBox, SeenMask, hull_of, seen_mask

CAMERA, VIEW = pinhole(320, 240, 42.0), np.array([0.05, -0.1, 0.3, *single.exp([0.2, -0.3, 0.1])])
BOX = np.array(list(itertools.product((-0.03, 0.03), (-0.05, 0.05), (-0.04, 0.04))))
PENTAGON = [(np.cos(a), np.sin(a)) for a in 2 * np.pi * np.arange(5) / 5]
PRISM = np.array([[0.04 * x, 0.05 * y, z] for x, y in PENTAGON for z in (-0.06, 0.03)])
POSE = np.array([0.1, 0.05, 0.4, *single.exp([0.3, -0.2, 0.5])])
SURE = np.diag([0.002**2] * 3 + [0.03**2] * 3)
FREE = np.zeros((240, 320), bool)


def drawn(pose: np.ndarray, hull: np.ndarray = BOX, view: np.ndarray = VIEW) -> np.ndarray:
    """(H, W) bool: the pixels whose centres the convex object covers."""
    pixels = CAMERA.project(transform(view, transform(pose, hull)))
    lines = ConvexHull(pixels).equations
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    return (np.stack([u, v], -1) @ lines[:, :2].T + lines[:, 2] <= 0).all(-1)


def box_of(mask: np.ndarray) -> np.ndarray:
    v, u = np.nonzero(mask)
    return np.array([u.min() - 0.5, v.min() - 0.5, u.max() + 0.5, v.max() + 0.5])


def started(pose: np.ndarray = POSE, keypoints: int = 0, sure: float = 1.0) -> HandObjectFilter:
    f = HandObjectFilter(keypoints=keypoints)
    for k in range(5):
        f.observe(k / 30, SeenPose(pose, sure * SURE))
    return f


def whole(mask: np.ndarray, hidden: np.ndarray = FREE, hull: np.ndarray = BOX, view: np.ndarray = VIEW) -> SeenMask:
    seen = seen_mask(mask, hidden, OfObject(hull), CAMERA, view)
    assert seen is not None
    return seen


@pytest.mark.parametrize("what", ["box", "mask"])
def test_derivatives_of_box_and_mask(what):
    f = started(keypoints=3)
    f.observe(0.2, SeenKeypoints(np.eye(3) * 0.1, 0.003))
    s, step = f._state.copy(), 1e-6
    mask = drawn(POSE, PRISM)
    seen = SeenBox(box_of(mask), OfObject(PRISM), CAMERA, VIEW) if what == "box" else whole(mask, hull=PRISM)
    rows = seen.rows(s)
    assert len(rows.residual) == (4 if what == "box" else 16) and rows.columns == slice(18, 24)
    assert rows.jacobian is not None
    for k in range(6):
        sides = []
        for sign in (step, -step):
            dx, other = np.zeros(6), s.copy()
            dx[k] = sign
            other.p, other.q = s.p + dx[:3], single.multiply(single.exp(dx[3:]), s.q)
            sides.append(seen.rows(other).residual)
        np.testing.assert_allclose(-(sides[0] - sides[1]) / (2 * step), rows.jacobian[:, k], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [BOX, PRISM])
def test_the_mask_of_an_object_where_it_is_agrees_to_half_a_pixel(shape):
    """Over many poses, so that no rounding of one decides."""
    found, rng = [], np.random.default_rng(0)
    for _ in range(40):
        pose = np.concatenate([POSE[:3] + rng.uniform(-0.01, 0.01, 3), single.exp(rng.normal(size=3))])
        mask, s = drawn(pose, shape), started(pose)._state
        found.append(whole(mask, hull=shape).rows(s).residual)
        box = SeenBox(box_of(mask), OfObject(shape), CAMERA, VIEW).rows(s).residual * SIDES.sum(axis=1)
        assert np.abs(box).max() < 1.1
    assert abs(np.mean(found)) < 0.5 and np.abs(found).max() < 1.5


@pytest.mark.parametrize("what", ["box", "mask"])
def test_boxes_and_masks_hold_an_object_without_a_pose(what):
    """It flies on, and turns off from where its last pose would have brought it; two cameras see it."""
    f, views = HandObjectFilter(keypoints=0), (VIEW, np.array([0.3, 0.0, 0.5, *single.exp([0.0, -0.8, 0.0])]))
    path = [POSE + np.array([0.02 * k - 0.25, 0.0, 0.0004 * k**2, 0, 0, 0, 0]) for k in range(20)]
    for k, pose in enumerate(path):
        if k < 10:
            f.observe(k / 30, SeenPose(pose, SURE))
            continue
        for view in views:
            mask = drawn(pose, view=view)
            seen = SeenBox(box_of(mask), OfObject(BOX), CAMERA, view) if what == "box" else whole(mask, view=view)
            assert f.observe(k / 30, seen)
    e = f.estimate()
    assert e.object == "tracked" and np.linalg.norm(e.object_pose[:3] - pose[:3]) < 0.008
    assert np.linalg.norm(pose[:3] - path[9][:3] - 10 * (path[9] - path[8])[:3]) > 0.04


def test_one_camera_knows_the_depth_worse_than_the_place_across():
    f = started()
    for k in range(1, 31):
        f.observe(4 / 30 + k / 30, whole(drawn(POSE)))
    R = single.matrix(VIEW[3:])
    sigma = np.sqrt((R @ f.estimate().object_covariance()[:3, :3] @ R.T).diagonal())
    assert sigma[2] > 1.5 * max(sigma[:2])


def test_a_hand_before_the_object_costs_the_directions_towards_it():
    """A strip on the left is the hand's: the rest of the mask does not move the object."""
    mask, hidden = drawn(POSE), FREE.copy()
    hidden[:, : np.nonzero(mask)[1].min() + 12] = True
    seen = whole(mask & ~hidden, hidden)
    left, right = seen.extent()[8], seen.extent()[0]
    assert np.isnan(left) and np.isfinite(right) and 9 <= np.isfinite(seen.extent()).sum() < 16
    f = started(sure=25.0)
    before = f.estimate().object_pose
    assert f.observe(0.2, seen)
    assert np.linalg.norm(f.estimate().object_pose[:3] - before[:3]) < 0.002
    blind = started(sure=25.0)
    blind.observe(0.2, whole(mask & ~hidden))
    assert np.linalg.norm(blind.estimate().object_pose[:3] - before[:3]) > 0.003, "unless it is not known as hidden"


def test_a_hand_elsewhere_costs_nothing():
    mask, hidden = drawn(POSE), FREE.copy()
    hidden[:, :20] = True
    assert np.nonzero(mask)[1].min() > 70 and np.isfinite(whole(mask, hidden).extent()).all()


def test_where_the_image_ends_at_the_object_it_is_not_known():
    v, u = np.nonzero(drawn(POSE))
    mask = np.zeros_like(FREE)
    mask[v, u - u.min()] = True
    extent = whole(mask).extent()
    assert np.isnan(extent[8]) and np.isfinite(extent[[0, 4, 12]]).all()


def test_a_side_that_is_not_known_is_left_out():
    box = box_of(drawn(POSE))
    box[0] = np.nan
    f = started()
    before = f.estimate().object_pose
    assert f.observe(0.2, SeenBox(box, OfObject(BOX), CAMERA, VIEW))
    assert np.linalg.norm(f.estimate().object_pose[:3] - before[:3]) < 0.002
    assert not started().observe(0.2, SeenBox(np.full(4, np.nan), OfObject(BOX), CAMERA, VIEW))


@pytest.mark.parametrize("what", ["box", "mask"])
def test_another_objects_outline_is_rejected_whole(what):
    """Far to the right and smaller: three in sixteen directions would agree by chance."""
    other = drawn(POSE + [0.12, 0.0, 0.0, 0, 0, 0, 0], 0.7 * BOX)
    f = started()
    before = f.estimate(0.2).object_pose
    assert not f.observe(0.2, SeenBox(box_of(other), OfObject(BOX), CAMERA, VIEW) if what == "box" else whole(other))
    np.testing.assert_allclose(f.estimate().object_pose, before, atol=1e-9)


def test_an_object_behind_the_camera_has_no_outline():
    f = started(np.array([0.0, 0.0, -2.0, 1.0, 0, 0, 0]))
    assert not f.observe(0.2, whole(drawn(POSE)))


def test_an_empty_mask_is_none():
    assert seen_mask(FREE, FREE, OfObject(BOX), CAMERA, VIEW) is None


def test_the_hull_is_the_meshs_outermost_vertices():
    inner = np.concatenate([BOX, 0.5 * BOX])
    assert {tuple(v) for v in hull_of(inner)} == {tuple(v) for v in BOX}


def test_noise_is_checked():
    with pytest.raises(DexhotError, match="box or mask"):
        started().observe(0.2, SeenBox(box_of(drawn(POSE)), OfObject(BOX), CAMERA, VIEW, noise=0.0))
