"""What `dexhot view` is given, and what the browser gets of it."""

import numpy as np
import pytest
import yaml
from PIL import Image

from dexhot.data.files import save
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.library import trajectories_dir
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.view.player import FOV, Player, look_at, new_server
from dexhot.view.shows import make_show
from dexhot.view.sources import find_item, points_of
from report_samples import box_asset, lift_rollout


@pytest.fixture
def server():
    server = new_server("127.0.0.1", 18200)
    yield server
    server.stop()


@pytest.fixture
def clip(cache):
    box_asset()
    pose = np.tile([0.0, 0, 0.1, 1, 0, 0, 0], (5, 1))
    hand = HandTrack(np.zeros((5, 21, 3)), pose, np.ones((5, 21)))
    made = HandObjectTrajectory("lab/box_lift", np.arange(5) / 25, {"right": hand}, "user/box", pose)
    trajectories_dir("lab").mkdir(parents=True)
    save(made, trajectories_dir("lab") / "box_lift.npz")
    return made


@pytest.fixture
def images(tmp_path):
    """Three frames of a wall 0.5 m away, of whose pixels the left half has no depth."""
    folder = tmp_path / "wall"
    for k in range(3):
        for name, image in (
            ("color", np.full((48, 64, 3), 80 * k, np.uint8)),
            ("depth", np.full((48, 64), 500, np.uint16)),
        ):
            if name == "depth":
                image[:, :32] = 0
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f"{k}.png")
    (folder / "camera.yaml").write_text(yaml.safe_dump({"fx": 60.0, "fy": 60.0, "cx": 31.5, "cy": 23.5}))
    return folder


@pytest.mark.parametrize("name", ["lab/box_lift", "lab:box_lift"])
def test_a_clip_is_found_by_name(clip, name):
    assert find_item(name).name == clip.name


def test_an_object_is_found_by_name_and_drawn(clip, server):
    show = make_show(server, find_item("user/box"))
    assert show.kind == "object"
    assert np.ptp(show.points, axis=0) == pytest.approx(np.ptp(box_asset().vertices, axis=0), abs=1e-6)
    Player(server, show)  # one frame: nothing to play


def test_a_wrong_name_names_what_is_there(clip):
    with pytest.raises(NotFoundError, match="lab/box_lift"):
        find_item("lab/box_lit")


def test_a_mistyped_file_names_its_neighbour(tmp_path):
    (tmp_path / "duck_mined.npz").touch()
    with pytest.raises(DexhotError, match=r"duck_mined\.npz"):
        find_item(str(tmp_path / "duck_mind.npz"))


def test_a_capture_plays_its_images_and_depth(images, server):
    show = make_show(server, find_item(str(images)))
    assert len(show.time) == 3 and show.kind == "capture"
    show.draw(2)
    cloud = server.scene.get_handle_by_name("/camera/points")
    assert len(cloud.points) == 48 * 32 and cloud.colors[0] == pytest.approx(160)
    assert cloud.points[:, 2] == pytest.approx(0.5, abs=1e-3)


def test_a_pixel_at_the_principal_point_lies_on_the_optical_axis():
    depth = np.zeros((3, 5), np.uint16)
    depth[1, 3] = 2000
    points, _ = points_of(np.zeros((3, 5, 3), np.uint8), depth, Intrinsics(5, 3, 10.0, 10.0, 2.0, 1.0))
    assert points == pytest.approx(np.array([[0.2, 0.0, 2.0]]))


def test_the_first_view_holds_every_point(server):
    points = np.random.default_rng(0).uniform(-0.3, 0.5, (200, 3))
    look_at(server, points, np.array([1.0, 0.2, 0.0]))
    eye = np.array(server.initial_camera.position)
    ahead = np.array(server.initial_camera.look_at) - eye
    ways = points - eye
    cosine = ways @ ahead / np.linalg.norm(ways, axis=1) / np.linalg.norm(ahead)
    assert np.arccos(cosine).max() < FOV / 2


def test_steps_pause_and_stay_in_the_clip_and_the_cursor_follows(cache, server):
    box_asset()
    player = Player(server, make_show(server, lift_rollout()))
    last = len(player.show.time) - 1
    player.toggle()
    player.step(7)
    assert not player.playing and player.shown == 7
    x, _, cursor = player.plot.handle.data
    assert x[np.argmax(cursor)] == pytest.approx(player.show.time[7])
    player.step(10 * last)
    assert player.shown == last
    player.change_speed(-1)
    assert player.speed.value == "0.5x"
