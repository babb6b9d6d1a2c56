"""Where the object starts: poses that look alike are told apart by a finer measure, and ties go to continuity."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from dexhot.fitting import kernels, object_start
from dexhot.fitting.frames import nearest_depth
from dexhot.fitting.scene import ObjectModel, object_model
from dexhot.fitting.scene_terms import FrameView
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat
from dexhot.objects.asset import Symmetry
from dexhot.objects.shapes import named_shape, shape_asset

CAMERA = np.array([300.0, 300.0, 79.5, 59.5])
SIZE = (120, 160)
AWAY = np.array([0.01, 0.0, 0.5])


def model_of(mesh: trimesh.Trimesh) -> ObjectModel:
    asset = SimpleNamespace(
        name="user/mug", vertices=np.asarray(mesh.vertices), faces=np.asarray(mesh.faces), symmetry=Symmetry()
    )
    return object_model(asset)


@pytest.fixture(scope="module")
def mug() -> ObjectModel:
    """A cylinder with a handle."""
    handle = trimesh.creation.box((0.03, 0.012, 0.06))
    handle.apply_translation([0.055, 0.0, 0.0])
    return model_of(trimesh.util.concatenate([trimesh.creation.cylinder(0.042, 0.1, sections=40), handle]))


def view_of(model: ObjectModel, placed: object_start.Placed) -> FrameView:
    """Labels and cloud of the object alone."""
    R, t = placed
    image = np.full(SIZE, 1e3)
    draw_depth(model.vertices @ R.T + t, model.faces, CAMERA, image)
    labels = np.where(image < 100, 2, 0).astype(np.uint8)
    depth = np.where(image < 100, np.round(1e3 * image), 0).astype(np.uint16)
    cloud = kernels.cloud(labels, depth, 2, 1, CAMERA, np.zeros((0, 2)), 0.0)
    far = kernels.distance_image(labels == 0)
    none = np.zeros((21, 2)), np.zeros(21), np.zeros(21), nearest_depth(depth, 1)
    return FrameView(CAMERA, CAMERA, labels, np.zeros((0, 3)), cloud[::8], far, far, *none)


def turned(x: float, y: float, z: float) -> np.ndarray:
    return quat_to_matrix(rotvec_to_quat(np.array([x, y, z])))


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))))


def test_a_mug_can_be_mistaken_for_one_with_its_handle_elsewhere(mug):
    ways = object_start.rivals(mug)
    assert len(ways) >= 12
    for R, t in ways:  # about the mug's axis, which stays where it is
        assert abs(R[2, 2]) > 0.99 and np.linalg.norm(R @ [0, 0, 0] + t) < 0.01


def test_what_looks_the_same_is_no_rival():
    """A cylinder about its axis, upside down: symmetric; across: nothing like it."""
    assert object_start.rivals(object_model(shape_asset(named_shape("parametric/cylinder-60x100")))) == []


def test_what_the_declared_symmetry_allows_is_no_rival(mug):
    around = Symmetry(kind="axis", axis=[0.0, 0.0, 1.0], rotations=[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    assert object_start.rivals(replace(mug, symmetry=around)) == []


def test_a_handle_on_the_wrong_side_is_found_out(mug):
    """Its score is high, so that it does not count as lost; the misfit against its rivals tells."""
    true = turned(1.3, 0.0, 0.0) @ turned(0.0, 0.0, 0.4), AWAY
    wrong = true[0] @ turned(0.0, 0.0, 2.6), AWAY
    view, ways = view_of(mug, true), object_start.rivals(mug)
    assert object_start.score(mug, view, wrong) > 0.7
    gains, poses = object_start.rival_gains(mug, view, wrong, ways, np.zeros(len(ways)))
    R, t = poses[int(np.argmax(gains))]
    assert gains.max() > 0.02 and angle(R, true[0]) < 6.0 and np.linalg.norm(t - AWAY) < 0.004
    assert object_start.rival_gains(mug, view, true, ways, np.zeros(len(ways)))[0].max() < 0.02


def test_a_handle_before_the_mug_would_have_been_seen(mug):
    """Hidden behind the mug, and turned to the camera: masks agree, and all of the cloud lies on either pose's surface.
    Only that nothing was measured where the handle would be tells them apart."""
    upright = turned(np.pi / 2, 0.0, 0.0)
    hidden, shown = (upright @ turned(0.0, 0.0, side * np.pi / 2) for side in (1.0, -1.0))
    if (shown @ [1.0, 0.0, 0.0])[2] > 0.0:
        hidden, shown = shown, hidden
    view = view_of(mug, (hidden, AWAY))
    right, wrong = (object_start.misfit(mug, view, (R, AWAY)) for R in (hidden, shown))
    blind = replace(view, measured=np.zeros(SIZE))
    assert wrong > right + 0.05
    assert object_start.misfit(mug, blind, (shown, AWAY)) < right + 0.02


def test_among_equals_the_first_candidate_is_taken(mug):
    """A mug whose handle is out of view fits at any angle: it stays where the motion says."""
    predicted = turned(1.5, 0.0, 0.0) @ turned(0.0, 0.0, np.pi / 2 + 0.02), AWAY
    view = view_of(mug, predicted)
    other = predicted[0] @ turned(0.0, 0.0, 0.15), AWAY
    chosen, first = object_start.best_of(mug, view, [predicted, other])
    second = object_start.best_of(mug, view, [other, predicted])[1]
    assert chosen == 0
    assert angle(first[0], predicted[0]) < 2.0
    assert object_start.misfit(mug, view, first) <= object_start.misfit(mug, view, second) + object_start.ALIKE


def test_hypotheses_that_look_the_same_are_one():
    """Turns of a box by its symmetry leave room for poses that differ."""
    model = object_model(shape_asset(named_shape("parametric/box-40x60x90")))
    flip = turned(np.pi, 0.0, 0.0)
    ranked = [(0.9, (np.eye(3), AWAY)), (0.9, (flip, AWAY)), (0.8, (turned(0.0, 0.9, 0.0), AWAY))]
    kept = list(object_start._unlike(model, ranked, 3))
    assert [value for value, _ in kept] == [0.9, 0.8]
