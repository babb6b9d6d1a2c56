"""A rendered person before a live camera: drawn where the motion says, in real time, to and fro."""

import numpy as np
import pytest

pytest.importorskip("numba")

from dexhot.data.files import load, save
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.parametric import generate
from dexhot.geometry.poses import inverse, transform
from dexhot.simulation.renderer import NoRendererError
from dexhot.synthesis import Options, rendered_camera
from dexhot.synthesis.rendered_camera import RenderedCamera, camera_of, frame_at, stage

FRAMES = 24  # at 60 Hz


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The file of a short clip, made by another hand than its own."""
    clip, asset = generate("lift", "box", 0)
    try:
        made = stage(clip.cut(60, 60 + FRAMES), asset, "left", 0, 160, 120)
    except NoRendererError as e:
        pytest.skip(str(e))
    return save(made, tmp_path_factory.mktemp("staged") / "staged.npz"), asset


@pytest.fixture
def camera(staged, monkeypatch):
    file, asset = staged
    monkeypatch.setattr(rendered_camera, "load_object", lambda name: asset)
    made = RenderedCamera(file, 160, 120, 1000.0)
    yield made
    made.close()


def test_what_is_staged_is_drawn_where_it_is(camera, staged):
    made = load(staged[0], HandObjectTrajectory)
    for k in (0, len(made.time) - 1):
        color, depth = camera.draw(k / Options.rate)
        points = transform(inverse(camera_of(made)), made.hands["left"].keypoints[k])
        u, v = np.round(camera.intrinsics.project(points)).astype(int).T
        behind = points[:, 2] - 1e-3 * depth[v, u]
        assert color.shape == (120, 160, 3) and (np.abs(behind[depth[v, u] > 0]) < 0.03).mean() > 0.6


def test_frames_come_in_real_time_with_growing_numbers(camera):
    first = camera.read(1.0)
    second = camera.read(1.0)
    assert first.depth.any() and not np.array_equal(first.depth, second.depth)  # noise
    assert second.number > first.number and second.stamp - first.stamp == pytest.approx(
        (second.number - first.number) / 1000.0, abs=1e-6
    )


def test_the_motion_goes_forward_and_back_without_a_jump():
    shown = [frame_at(k / 30.0, 4) for k in range(13)]
    assert shown == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_a_hand_that_is_asked_for_is_drawn_by_a_mirrored_clip(staged):
    made = load(staged[0], HandObjectTrajectory)
    assert list(made.hands) == ["left"] and made.hands["left"].parameters.shape == (len(made.time), 51)
