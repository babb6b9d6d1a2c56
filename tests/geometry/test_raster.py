"""The rasteriser against closed forms, supersampled coverage and finite differences."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics, pinhole
from dexhot.geometry.raster.channels import CHANNELS

wp = pytest.importorskip("warp")
from dexhot.geometry.raster.pyramid import pyramid, pyramid_backward  # noqa: E402
from dexhot.geometry.raster.rasterizer import Rasterizer, neighbours  # noqa: E402

BACKGROUND, LEFT, RIGHT, OBJECT = range(4)
SPHERE = trimesh.creation.icosphere(subdivisions=2, radius=0.04)
V = len(SPHERE.vertices)
CAMERA = pinhole(96, 72, 15.0)
FACES = np.concatenate([SPHERE.faces, SPHERE.faces + V])
FACE_LABELS = np.repeat([RIGHT, OBJECT], len(SPHERE.faces))
SCENES = {  # centre of the object's sphere from the hand's, m
    "apart": (0.09, 0.01, 0.0),
    "occluding": (0.05, 0.02, 0.12),
    "touching": (0.0764, 0.0, 0.0236),
    "intersecting": (0.05, 0.02, 0.02),
}


@pytest.fixture(scope="module")
def rasterizer():
    return Rasterizer(CAMERA, FACES, FACE_LABELS)


def spheres(scene):
    offset = np.array(SCENES[scene]) / 2
    return np.concatenate([SPHERE.vertices - offset, SPHERE.vertices + offset]) + [0.0013, 0.0007, 0.6]


def cosine(a, b):
    return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)


def difference(loss, points, step=1e-5):
    """Central differences of loss (B, V, 3) -> (B,) by each coordinate of points (V, 3)."""
    moves = step * np.eye(points.size).reshape(-1, *points.shape)
    losses = [loss(points + sign * moves[k : k + 64]) for sign in (1, -1) for k in range(0, points.size, 64)]
    plus, minus = np.split(np.concatenate(losses), 2)
    return ((plus - minus) / (2 * step)).reshape(points.shape)


def squared(images, target):
    return 0.5 * ((images.astype(float) - target) ** 2).reshape(len(images), -1).sum(1)


def polygon(corners, z=1.0, label=OBJECT, camera=None):
    """A fan of faces with corners (n, 2) in pixels at depth z: its rasteriser and points (n, 3)."""
    camera = camera or Intrinsics(24, 20, 50.0, 50.0, 0.0, 0.0)
    faces = [[0, k, k + 1] for k in range(1, len(corners) - 1)]
    points = camera.backproject(np.array(corners, float), np.broadcast_to(z, len(corners)))
    return Rasterizer(camera, faces, [label] * len(faces)), points


def test_a_pixel_is_covered_as_far_as_the_edge_reaches_into_it():
    rasterizer, points = polygon([(3.6, -9), (10.3, -9), (10.3, 40), (3.6, 40)])
    mask = rasterizer.forward(points[None]).mask[0, 5]
    np.testing.assert_allclose(mask[:12, OBJECT], [0] * 3 + [0, 0.9] + [1] * 5 + [0.8, 0], atol=1e-4)
    np.testing.assert_allclose(mask.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("turn", np.radians([0, 20, 40, 50, 70, 90, 130, 200, 290]))
def test_each_edge_counts_once_at_any_angle(turn):
    """The area and its derivative by the size: with both pair directions they would double."""
    c, s = np.cos(turn), np.sin(turn)
    corners = np.array([(-5, -4), (5, -4), (5, 4), (-5, 4)]) @ [[c, s], [-s, c]]
    rasterizer, points = polygon(corners + [11.2, 10.3])
    render = rasterizer.forward(points[None])
    assert render.mask[..., OBJECT].sum() == pytest.approx(80, rel=0.02)
    grad = np.zeros_like(render.mask)
    grad[..., OBJECT] = 1.0
    by_points, _ = rasterizer.backward(render, mask=grad)
    growth = (by_points[0, :, :2] * corners / 50.0).sum()
    assert growth == pytest.approx(160, rel=0.06)  # d(area s^2) / ds at s = 1


@pytest.mark.parametrize("scene", SCENES)
def test_gradient_is_the_difference_quotient_of_each_vertex(rasterizer, scene):
    points = spheres(scene)
    target = rasterizer.forward((points + [0.004, 0.003, 0.01])[None]).mask
    render = rasterizer.forward(points[None])
    grad, none = rasterizer.backward(render, mask=render.mask - target)
    expected = difference(lambda p: squared(rasterizer.forward(p).mask, target), points)
    assert cosine(grad[0], expected) > (0.98 if scene != "intersecting" else 0.8) and none is None
    assert np.linalg.norm(grad) == pytest.approx(np.linalg.norm(expected), rel=0.1)


@pytest.mark.parametrize("scene", SCENES)
def test_mask_and_gradient_are_those_of_the_true_coverage(rasterizer, scene):
    """Of 64 samples a pixel; the gradient by the motion of each body."""
    n = 8
    wide = replace(
        CAMERA,
        width=n * CAMERA.width,
        height=n * CAMERA.height,
        fx=n * CAMERA.fx,
        fy=n * CAMERA.fy,
        cx=n * (CAMERA.cx + 0.5) - 0.5,
        cy=n * (CAMERA.cy + 0.5) - 0.5,
    )
    fine = Rasterizer(wide, FACES, FACE_LABELS)

    def coverage(p):
        one_hot = np.eye(4)[np.append(FACE_LABELS, BACKGROUND)[fine.forward(p[None]).faces[0]]]
        return one_hot.reshape(CAMERA.height, n, CAMERA.width, n, 4).mean((1, 3))

    points = spheres(scene)
    target = rasterizer.forward((points + [0.004, 0.003, 0.01])[None]).mask
    render = rasterizer.forward(points[None])
    hard = np.eye(4)[np.append(FACE_LABELS, BACKGROUND)[render.faces[0]]]
    truth = coverage(points)
    assert np.abs(render.mask[0] - truth).mean() < 0.2 * np.abs(hard - truth).mean()
    grad, _ = rasterizer.backward(render, mask=render.mask - target)
    step, ours, expected = 1e-3, [], []
    for body in (slice(0, V), slice(V, 2 * V)):
        arms = points[body] - points[body].mean(0)
        twists = [np.tile(axis, (V, 1)) for axis in np.eye(3)] + [np.cross([0.3, 0.5, 0.8], arms), arms]
        for twist in twists:
            move = np.zeros_like(points)
            move[body] = step * twist / np.abs(twist).max()
            quotient = squared(np.stack([coverage(points + move), coverage(points - move)]), target)
            expected.append((quotient[0] - quotient[1]) / 2)
            ours.append((grad[0] * move).sum())
    assert cosine(np.array(ours), np.array(expected)) > 0.98


def test_where_meshes_intersect_the_border_moves_with_depth():
    """A tilted face through an upright one: they meet where their depths are equal."""
    camera = Intrinsics(24, 20, 50.0, 50.0, 11.5, 9.5)
    square = np.array([(-2, -3), (26, -3), (26, 23), (-2, 23)], float)
    z = np.concatenate([np.full(4, 1.0), 1.0 / (1.0 - 0.01 * (square[:, 0] - 12.2))])  # equal at u = 12.2
    points = camera.backproject(np.tile(square, (2, 1)), z)
    faces = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    rasterizer = Rasterizer(camera, faces, [RIGHT, RIGHT, OBJECT, OBJECT])
    render = rasterizer.forward(points[None])
    np.testing.assert_allclose(render.mask[0, 10, 11:14, RIGHT], [0, 0.3, 1], atol=1e-3)
    grad = np.zeros_like(render.mask)
    grad[..., RIGHT] = 1.0
    by_points, _ = rasterizer.backward(render, mask=grad)
    away = points[:4] / points[:4, 2:]  # moved along their rays: 1 / z falls by 1 per metre, the border by 1 / 0.01
    assert (by_points[0, :4] * away).sum() == pytest.approx(-100 * camera.height, rel=1e-3)


def test_a_border_may_be_the_silhouette_of_what_is_farther_at_the_pixels_centres():
    """A slanted face comes in front one pixel beyond the upright one's end at u = 10.3, which hides it until there."""
    camera = Intrinsics(24, 20, 50.0, 50.0, 11.5, 9.5)
    upright = np.array([(-2, -3), (10.3, -3), (10.3, 23), (-2, 23)])
    slanted = np.array([(9.2, -3), (26, -3), (26, 23), (9.2, 23)])
    z = np.concatenate([np.ones(4), 1.0 / (1.0 + 0.1 * (slanted[:, 0] - 10.6))])
    points = camera.backproject(np.concatenate([upright, slanted]), z)
    faces = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    render = Rasterizer(camera, faces, [OBJECT, OBJECT, RIGHT, RIGHT]).forward(points[None])
    np.testing.assert_allclose(render.mask[0, 10, 9:12, OBJECT], [1, 0.8, 0], atol=1e-3)


def test_depth_and_colour_are_in_perspective():
    """A tilted square: at a pixel's centre colours that are coordinates are those of the point that is seen."""
    rasterizer, points = polygon([(-4, -4), (30, -4), (30, 30), (-4, 30)], z=[1.0, 2.0, 2.0, 1.0])
    points[:, 2] = [1.0, 2.0, 2.0, 1.0]
    render = rasterizer.forward(points[None], points)
    seen = rasterizer.camera.backproject(np.stack(np.meshgrid(np.arange(24), np.arange(20)), -1), render.depth[0])
    assert (render.faces >= 0).all()
    np.testing.assert_allclose(render.image[0], seen, atol=2e-5)
    np.testing.assert_allclose(1 / render.depth[0, 7, ::8], 1 - 0.5 * (np.array([0, 8, 16]) + 4) / 34, atol=1e-5)


def test_gradients_of_the_image_by_points_and_colours(rasterizer):
    points = spheres("occluding")
    colors = 0.5 + 0.5 * np.sin(40 * points)
    target = rasterizer.forward((points + [0.004, 0.003, 0.01])[None], colors).image
    render = rasterizer.forward(points[None], colors)
    by_points, by_colors = rasterizer.backward(render, image=render.image - target)
    expected = difference(lambda p: squared(rasterizer.forward(p, colors).image, target), points)
    assert cosine(by_points[0], expected) > 0.98
    repeated = np.broadcast_to(points, (64, *points.shape))

    def by_color(c):
        return squared(rasterizer.forward(repeated[: len(c)], c).image, target)

    np.testing.assert_allclose(by_colors[0], difference(by_color, colors, 1e-2), atol=2e-3)


def test_colours_are_smoothed_at_folds_within_one_label_too(rasterizer):
    points = spheres("occluding")[None]
    colors = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], V, axis=0)
    one_label = Rasterizer(CAMERA, FACES, np.full(len(FACES), OBJECT)).forward(points, colors).image
    np.testing.assert_allclose(one_label, rasterizer.forward(points, colors).image, atol=1e-5)
    assert ((one_label > 0.05) & (one_label < 0.95)).sum() > 100


def test_gradient_of_the_depth_of_what_is_seen(rasterizer):
    points, weight = spheres("apart"), np.random.default_rng(0).uniform(size=(1, CAMERA.height, CAMERA.width))
    weight[:, :, 1:] *= np.diff(rasterizer.forward(points[None]).faces < 0, axis=2) == 0  # away from the borders
    render = rasterizer.forward(points[None])
    inner = weight * (render.depth > 0) * (render.depth < 0.59)
    grad, _ = rasterizer.backward(render, depth=inner)
    expected = difference(lambda p: (rasterizer.forward(p).depth * inner).astype(float).sum((1, 2)), points, 1e-4)
    assert cosine(grad[0], expected) > 0.999


def test_poses_of_a_batch_do_not_mix(rasterizer):
    batch = np.stack([spheres(scene) for scene in SCENES])
    together = rasterizer.forward(batch)
    grad, _ = rasterizer.backward(together, mask=together.mask**2)
    for k, points in enumerate(batch):
        alone = rasterizer.forward(points[None])
        np.testing.assert_array_equal(together.faces[k], alone.faces[0])
        np.testing.assert_allclose(together.mask[k], alone.mask[0], atol=1e-6)
        np.testing.assert_allclose(grad[k], rasterizer.backward(alone, mask=alone.mask**2)[0][0], rtol=1e-3, atol=1e-2)


def test_visible_faces_are_those_in_front(rasterizer):
    visible = rasterizer.forward(spheres("occluding")[None]).visible(len(FACES))[0]
    front = (SPHERE.face_normals * (SPHERE.triangles_center - [0, 0, -0.6])).sum(1) < 0
    hand, far = visible[: len(SPHERE.faces)], visible[len(SPHERE.faces) :]
    assert not hand[~front & (SPHERE.triangles_center[:, 2] > 0.01)].any() and hand[front].mean() > 0.9
    assert 0.2 < far[front].mean() < 0.8  # the nearer sphere hides some


def test_labels_are_the_channels_and_nothing_is_drawn_behind_the_camera_or_too_near():
    rasterizer, points = polygon([(3, 3), (20, 3), (20, 16), (3, 16)], label=LEFT)
    assert CHANNELS["left"] == LEFT and rasterizer.forward(points[None]).mask[0, 10, 10].tolist() == [0, 1, 0, 0]
    for z in (-1.0, 0.009):
        assert (rasterizer.forward(points[None] * z).mask[..., BACKGROUND] == 1).all()


def test_a_closed_surface_has_no_holes():
    rng, dense = np.random.default_rng(0), trimesh.creation.icosphere(subdivisions=4, radius=0.05)
    rasterizer = Rasterizer(CAMERA, dense.faces, np.full(len(dense.faces), OBJECT))
    turns = np.linalg.qr(rng.normal(size=(20, 3, 3)))[0]
    faces = rasterizer.forward(dense.vertices @ turns + [0, 0, 0.6]).faces >= 0
    spans = [np.ptp(np.flatnonzero(row)) + 1 - row.sum() for image in faces for row in image if row.any()]
    assert len(spans) > 700 and not any(spans)


def test_neighbours_share_an_edge_of_two_faces_only():
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6], [4, 5, 7], [4, 5, 8]])
    assert neighbours(faces).tolist() == [[-1, 1, -1], [0, -1, -1], *[[-1] * 3] * 3]


@pytest.mark.parametrize("device", ["cuda:0"])
def test_the_gpu_draws_the_same(rasterizer, device):
    if not wp.is_cuda_available():
        pytest.skip("no GPU")
    other, points = Rasterizer(CAMERA, FACES, FACE_LABELS, device), spheres("intersecting")
    colors = 0.5 + 0.5 * np.sin(40 * points)
    one, two = rasterizer.forward(points[None], colors), other.forward(points[None], colors)
    assert (one.faces != two.faces).mean() < 1e-3 and np.abs(one.mask - two.mask).mean() < 1e-4
    grads = [r.backward(x, mask=one.mask**2, image=one.image)[0] for r, x in ((rasterizer, one), (other, two))]
    assert cosine(*grads) > 0.999


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"faces": np.zeros((0, 3), int)}, "F at least 1"),
        ({"labels": FACE_LABELS[1:]}, "1 left, 2 right, 3 object"),
        ({"labels": 0 * FACE_LABELS}, "1 left, 2 right, 3 object"),
        ({"device": "tpu"}, "one of cpu"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, words):
    with pytest.raises(DexhotError, match=words):
        Rasterizer(CAMERA, **({"faces": FACES, "labels": FACE_LABELS} | change))


def test_arrays_of_another_shape_are_refused(rasterizer):
    points = spheres("apart")[None]
    with pytest.raises(DexhotError, match=r"expected \(B, 324, 3\)"):
        rasterizer.forward(points[0])
    with pytest.raises(DexhotError, match="colors have shape"):
        rasterizer.forward(points, np.zeros((5, 3)))
    render = rasterizer.forward(points)
    with pytest.raises(DexhotError, match="needs a render with colours"):
        rasterizer.backward(render, image=np.zeros((1, 72, 96, 3)))
    with pytest.raises(DexhotError, match="gradient by mask has shape"):
        rasterizer.backward(render, mask=np.zeros((1, 72, 96)))


def test_a_pyramid_keeps_coverage_and_its_backward_is_its_transpose():
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(2, 13, 18, 4)).astype(np.float32)
    levels = pyramid(mask, 3)
    assert [level.shape[1:3] for level in levels] == [(13, 18), (7, 9), (4, 5)]
    np.testing.assert_allclose(pyramid(np.ones_like(mask), 3)[2], 1, atol=1e-6)
    grads = [rng.normal(size=level.shape).astype(np.float32) for level in levels]
    kept = [grad.copy() for grad in grads]
    back = pyramid_backward(grads)
    forward = sum((level.astype(float) * grad).sum() for level, grad in zip(levels, grads))
    assert (back.astype(float) * mask).sum() == pytest.approx(forward, rel=1e-4)
    assert all((a == b).all() for a, b in zip(grads, kept))
    with pytest.raises(DexhotError, match=r"expected \(B, H, W, 4\)"):
        pyramid(mask[0], 2)


def test_a_pyramid_pulls_masks_together_that_do_not_overlap():
    camera = pinhole(96, 72, 15.0)
    rasterizer = Rasterizer(camera, SPHERE.faces, np.full(len(SPHERE.faces), OBJECT))
    points, target = 0.3 * SPHERE.vertices + [0, 0, 0.6], np.array([0.035, 0.01, 0])  # a disc 11 pixels wide, 16 aside
    goal = pyramid(rasterizer.forward((points + target)[None]).mask, 5)

    def gap_after_descent(levels):
        place = np.zeros(3)
        for step in np.geomspace(2e-3, 1e-4, 100):
            render = rasterizer.forward((points + place)[None])
            errors = [4**k * (a - b) for k, (a, b) in enumerate(zip(pyramid(render.mask, levels), goal))]  # by area
            grad = rasterizer.backward(render, mask=pyramid_backward(errors))[0][0].sum(0) * [1, 1, 0]
            place -= step * grad / (np.linalg.norm(grad) + 1e-9)
        return np.linalg.norm(place - target)

    assert gap_after_descent(5) < 3e-4 and gap_after_descent(1) > 0.02


def test_warp_and_torch_are_loaded_by_those_who_need_them():
    program = "import sys, dexhot.cli, {}; print(*({{'warp', 'torch'}} & set(sys.modules)))"
    for module, expected in (("dexhot.geometry.cameras", ""), ("dexhot.geometry.raster.rasterizer", "warp")):
        loaded = subprocess.run(
            [sys.executable, "-c", program.format(module)], capture_output=True, text=True, check=True
        )
        assert loaded.stdout.strip() == expected


def test_torch_gets_the_same_gradients(rasterizer):
    torch = pytest.importorskip("torch")
    from dexhot.geometry.raster.autograd import rasterize, soft_pyramid

    points, colors = spheres("occluding")[None].astype(np.float32), np.sin(40 * spheres("apart"))[None]
    ours, paint = (torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (points, colors))
    mask, image, depth, faces = rasterize(rasterizer, ours, paint)
    loss = sum((level**2).sum() for level in soft_pyramid(mask, 3)) + (image**2).sum() + depth.sum()
    loss.backward()
    render = rasterizer.forward(points, colors)
    by_mask = pyramid_backward([2 * level for level in pyramid(render.mask, 3)])
    grads = rasterizer.backward(render, mask=by_mask, image=2 * render.image, depth=np.ones_like(render.depth))
    for found, expected in zip((ours.grad, paint.grad), grads):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-2)
    assert not faces.requires_grad and (faces.numpy() == render.faces).all()

    plain, none, *_ = rasterize(rasterizer, ours)
    assert none.numel() == 0 and (plain.detach().numpy() == render.mask).all()
    with pytest.raises(DexhotError, match="expected float32"):
        rasterize(rasterizer, ours.double())
