"""Whole bodies: exact gradients, depth is never read, terms do what they are for."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.data.labels import LABELS
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.fitting.batch import BatchScene, Bodies, GivenSurface
from dexhot.fitting.batch_view import view_of
from dexhot.fitting.body import (
    PHYSICS,
    SIDE,
    BodyState,
    body_loss,
    fit_body,
    mean_color,
    perturbed_body,
    terms_of,
    unknowns_of,
)
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.scene import object_model
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import transform
from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat
from dexhot.humans.body import open_body
from dexhot.objects.shapes import named_shape, shape_asset

CAMERA = Intrinsics(96, 96, 110.0, 110.0, 47.5, 47.5)
BODY = open_body()
ASSET = shape_asset(named_shape("parametric/box-400x300x350"))
MODEL = object_model(ASSET)
TRUE = BodyState(
    np.diag([1.0, -1.0, -1.0])[None],  # upright before a camera whose y is down, facing it
    np.array([[0.0, 0.1, 2.6]]),
    np.zeros((1, 23, 3)),
    np.zeros((1, 10)),
    np.concatenate([[[0.05, 0.0, 2.3]], rotvec_to_quat(np.array([[0.2, 0.5, 0.1]]))], axis=1),
)
RECIPE = load_recipe("body").changed(["solver.pixels=64", "solver.steps=30"])


def seen(state: BodyState = TRUE) -> tuple[Recording, Evidence]:
    """The scene in labels."""
    near, far = (np.full((CAMERA.height, CAMERA.width), 1e3) for _ in range(2))
    f = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    draw_depth(state.posed(BODY)[0].vertices, BODY.faces, f, near)
    draw_depth(transform(state.object_pose[0], ASSET.vertices), np.asarray(ASSET.faces, np.int64), f, far)
    labels = np.where(np.minimum(near, far) > 100, 0, np.where(near < far, LABELS["right"], LABELS["object"]))
    color = np.where((labels == LABELS["object"])[..., None], [40, 90, 170], 120).astype(np.uint8)
    recording = Recording("body", np.zeros(1), color[None], np.zeros((1, *labels.shape), np.uint16), CAMERA)
    return recording, Evidence("body", np.zeros(1), labels[None].astype(np.uint8), {}, {}, np.full((1, 7), np.nan))


def test_the_gradient_is_that_of_the_loss():
    """By finite differences along random directions, without the rendered terms, whose gradient is approximate."""
    rng = np.random.default_rng(0)
    recipe = RECIPE.without(["image", "mask"])
    view = view_of(*seen(), [SIDE], 64)
    bodies = Bodies({}, MODEL, "", surfaces={SIDE: GivenSurface(len(BODY.vertices), BODY.faces)})
    inside = replace(TRUE, object_pose=TRUE.object_pose + [0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0])
    start = perturbed_body(inside, RECIPE.solver, 2, rng)
    loss = body_loss(bodies, BODY, terms_of(recipe, view), recipe, view, TRUE)
    now = unknowns_of(bodies, start)
    now["body.shape"] = now["body.shape"] + 0.3
    value, gradient = loss(now)
    assert value.min() > 0.1  # they do overlap
    for name, x in now.items():
        way = rng.normal(size=x.shape)
        step = 1e-5
        ahead, behind = (loss({**now, name: x + sign * step * way})[0].sum() for sign in (1.0, -1.0))
        slope = float((gradient[name] * way).sum())
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=0.03, abs=2e-3), name


def test_object_and_body_come_nearer_to_the_masks_and_apart():
    start = perturbed_body(TRUE, RECIPE.solver, 2, np.random.default_rng(3))
    recording, evidence = seen()
    first = fit_body(recording, evidence, BODY, MODEL, RECIPE.without(RECIPE.terms), start)
    rendered = fit_body(recording, evidence, BODY, MODEL, RECIPE.without(PHYSICS), start)
    assert len(first.losses) == 0 and np.array_equal(first.state.position, start.position)
    assert (rendered.object_iou > first.object_iou).all() and rendered.human_iou.mean() > first.human_iou.mean()
    assert (rendered.losses[-1] < rendered.losses[0]).all()


def test_penetration_pushes_object_and_body_apart():
    inside = replace(TRUE, object_pose=TRUE.object_pose + [0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0])
    recording, evidence = seen(inside)

    def overlap(terms_without: list[str]) -> float:
        recipe = RECIPE.without(terms_without)
        state = fit_body(recording, evidence, BODY, MODEL, recipe, inside).state
        vertices = state.posed(BODY)[0].vertices
        bodies = Bodies({}, MODEL, "", surfaces={SIDE: GivenSurface(len(BODY.vertices), BODY.faces)})
        off = BatchScene(bodies, bodies.object_unknowns(*_object(state)), None).distances(0, vertices)[0]
        return -float(off[off < 0].sum())

    assert overlap([]) < 0.7 * overlap(["penetration"])


def _object(state: BodyState) -> tuple[np.ndarray, np.ndarray]:
    return quat_to_matrix(state.object_pose[:, 3:]), state.object_pose[:, :3]


def test_depth_is_never_read():
    recording, evidence = seen()
    start = perturbed_body(TRUE, RECIPE.solver, 1, np.random.default_rng(1))
    recipe = RECIPE.changed(["solver.steps=3"])
    deep = replace(recording, depth=np.full_like(recording.depth, 500))
    told = replace(evidence, object_pose=TRUE.object_pose)
    found = [fit_body(r, e, BODY, MODEL, recipe, start).state for r, e in ((recording, evidence), (deep, told))]
    assert np.array_equal(found[0].position, found[1].position)
    assert np.array_equal(found[0].object_pose, found[1].object_pose)


def test_the_objects_colour_is_that_of_its_mask_alone():
    view = view_of(*seen(), [SIDE], 96)
    assert mean_color(view, 3) == pytest.approx(np.tile(np.array([40, 90, 170]) / 255, (3, 1)), abs=0.01)


def test_several_images_are_refused():
    recording, evidence = seen()
    two = replace(recording, time=np.arange(2.0))
    with pytest.raises(DexhotError, match="single"):
        fit_body(two, evidence, BODY, MODEL, RECIPE, TRUE)
