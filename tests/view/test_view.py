"""The viewer: triangles of geoms, and what is sent to the browser for each kind of file."""

import json
import urllib.request
from collections.abc import Callable

import mujoco
import numpy as np
import pytest
import trimesh

from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, HandObjectTrajectory, HandTrack, PolicyCard
from dexhot.errors import FileFormatError
from dexhot.simulation.geom_meshes import body_parts, geom_mesh
from dexhot.view.live import LiveView, Snapshot
from dexhot.view.player import Player, new_server
from dexhot.view.shows import demonstration_rollout, make_show, reference_rollout
from report_samples import box_asset, lift_reference, lift_rollout

GEOMS = {
    "box": ('type="box" size=".1 .2 .3"', 8 * 0.1 * 0.2 * 0.3),
    "sphere": ('type="sphere" size=".1"', 4 / 3 * np.pi * 0.1**3),
    "cylinder": ('type="cylinder" size=".1 .2"', np.pi * 0.1**2 * 0.4),
    "capsule": ('type="capsule" size=".1 .2"', np.pi * 0.1**2 * 0.4 + 4 / 3 * np.pi * 0.1**3),
    "ellipsoid": ('type="ellipsoid" size=".1 .2 .3"', 4 / 3 * np.pi * 0.1 * 0.2 * 0.3),
}


@pytest.fixture
def asset(cache):
    return box_asset()


@pytest.fixture
def server():
    server = new_server("127.0.0.1", 18080)
    yield server
    server.stop()


def model_of(geoms: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geoms}</worldbody></mujoco>")


@pytest.mark.parametrize("kind", GEOMS)
def test_triangles_enclose_the_geoms_volume_about_its_origin(kind):
    attributes, volume = GEOMS[kind]
    shape = trimesh.Trimesh(*geom_mesh(model_of(f"<geom {attributes}/>"), 0))
    assert shape.volume == pytest.approx(volume, rel=0.03)
    assert shape.bounds.sum(axis=0) == pytest.approx(0, abs=1e-6)


def test_mesh_geoms_keep_their_place_in_the_body(asset):
    spec = mujoco.MjSpec()
    mesh = spec.add_mesh(name="m")
    moved = asset.vertices + (0.3, 0.0, 0.0)
    mesh.uservert, mesh.userface = moved.ravel(), np.asarray(asset.faces, np.int32).ravel()
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="m")
    (part,) = body_parts(spec.compile(), np.array([0]))
    assert part.vertices.min(axis=0) == pytest.approx(moved.min(axis=0), abs=1e-6)


def test_parts_are_merged_per_body_and_colour():
    red, blue = 'rgba="1 0 0 1"', 'rgba="0 0 1 1"'
    box = '<geom type="box" size=".1 .1 .1" {}/>'
    model = model_of(f"<body>{box.format(red)}{box.format(red)}{box.format(blue)}</body>")
    parts = body_parts(model, np.arange(3))
    assert sorted(len(p.faces) for p in parts) == [12, 24]
    assert all(p.faces.max() < len(p.vertices) for p in parts)


def test_a_plane_is_left_out():
    assert body_parts(model_of('<geom type="plane" size="1 1 1"/>'), np.array([0])) == []


def test_rollout_puts_robot_object_and_ghost_into_place(asset, server):
    rollout = lift_rollout()
    show = make_show(server, rollout)
    show.draw(50)
    ghost = next(h for _, h in show.layers["ghost"][0].handles if "ghost/object" in h.name)
    assert ghost.position == pytest.approx(rollout.reference.object_pose[50, :3])
    assert show.layers["frames"][1].position == pytest.approx(rollout.object_pose[50, :3])
    assert "0.40 cm" in show.text(50)


def test_fingertips_light_up_in_contact(asset, server):
    show = make_show(server, lift_rollout())
    colors = []
    for frame in (0, 59):
        show.draw(frame)
        colors.append(tuple(show.layers["contacts"][0].color))
    assert colors[0] != colors[1]


def test_trajectory_shows_its_hand(asset, server):
    keypoints = np.random.default_rng(0).normal(0, 0.1, (5, 21, 3))
    pose = np.tile([0.0, 0, 0.1, 1, 0, 0, 0], (5, 1))
    hand = HandTrack(keypoints, pose, np.ones((5, 21)))
    clip = HandObjectTrajectory("clip", np.arange(5) / 25, {"right": hand}, "user/box", pose)
    show = make_show(server, clip)
    show.draw(3)
    points = server.scene.get_handle_by_name("/right/joints").points
    assert points == pytest.approx(keypoints[3], abs=1e-6)


def test_reference_shows_its_targets_as_ghost():
    ref = lift_reference()
    shown = reference_rollout(ref)
    assert np.array_equal(shown.q, ref.q) and np.array_equal(shown.reference.q, ref.target)


def test_demonstration_starts_at_the_references_first_frame():
    ref = lift_reference()
    demo = Demonstration("d", ref, ref.target, ref.q + 0.01, ref.object_pose, "1")
    shown = demonstration_rollout(demo)
    assert np.array_equal(shown.q[0], ref.q[0]) and np.array_equal(shown.q[1], demo.q[0])


def test_a_policy_card_has_nothing_to_draw(server):
    with pytest.raises(FileFormatError, match="cannot be viewed"):
        make_show(server, PolicyCard("p", "leap_right", [], 60.0, [], "residual", "0" * 64))


def test_player_plays_at_the_chosen_speed_and_starts_again(asset, server):
    player = Player(server, make_show(server, lift_rollout()))
    player.tick(0.5)
    assert player.shown == 0  # not playing yet
    player.toggle()
    player.tick(0.5)
    assert player.shown == 30
    player.speed.value = "2x"
    player.tick(0.3)
    assert player.shown < 30


def test_ghost_can_be_hidden(asset, server):
    show = make_show(server, lift_rollout())
    show.layers["ghost"][0].visible = False
    assert server.scene.get_handle_by_name("/ghost").visible is False


def test_live_view_shows_state_and_ghost_of_the_current_frame(asset, server):
    ref = lift_reference()
    live = LiveView(server, ref)
    live.show(Snapshot(np.zeros(7), ref.q[40, 6:], ref.object_pose[40], ref.target[40], 40, "tracking"))
    assert live.stage.data.body("ghost/object").xpos == pytest.approx(ref.object_pose[40, :3])
    assert live.target.position == pytest.approx(ref.target[40, :3])
    assert "tracking" in live.state.content and "0.00 cm" in live.text.content and "sigma" not in live.text.content
    live.show(Snapshot(np.zeros(7), ref.q[40, 6:], ref.object_pose[40], object_sigma=0.0031))
    assert "object: known to 3.1 mm (sigma)" in live.text.content


def test_the_page_is_served_on_this_machine_only(server):
    assert server.get_host() == "127.0.0.1"
    page = urllib.request.urlopen(f"http://127.0.0.1:{server.get_port()}", timeout=60).read()
    assert b"<html" in page.lower()


def test_command_shows_where_the_file_is_shown(asset, tmp_path, capsys, monkeypatch):
    def look(player: Player, ended: Callable[[], bool]) -> None:
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["kind"] == player.show.kind and told["file"] == str(path)
        assert urllib.request.urlopen(told["url"], timeout=60).status == 200

    path = save(lift_rollout(), tmp_path / "lift.npz")
    monkeypatch.setattr(Player, "run", look)
    assert main(["view", str(path), "--port", "18085", "--json"]) == 0


def test_command_refuses_an_invalid_file(tmp_path, capsys):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    assert main(["view", str(tmp_path / "x.npz")]) == 1
    assert "not a dexhot file" in capsys.readouterr().err


def test_command_names_the_kinds_it_shows(cache, tmp_path, capsys):
    card = save(PolicyCard("p", "leap_right", [], 60.0, [], "residual", "0" * 64), tmp_path / "card")
    assert main(["view", str(card), "--port", "18090"]) == 1
    assert "HandObjectTrajectory, Reference, Demonstration, Rollout" in capsys.readouterr().err


def test_a_real_clip_is_drawn_with_its_object(grab, server):
    clip = load(grab / "duck_lift.npz", HandObjectTrajectory)
    show = make_show(server, clip)
    show.draw(len(clip.time) - 1)
    duck = server.scene.get_handle_by_name("/object")
    assert duck.position == pytest.approx(clip.object_pose[-1, :3])
    assert len(duck.faces) > 500 and show.layers["frames"]


def test_command_refuses_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["view", str(tmp_path)]) == 1
    assert "dexhot: error:" in capsys.readouterr().err
