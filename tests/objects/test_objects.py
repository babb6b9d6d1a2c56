"""From a mesh to an object: mass, pieces, refusals, resting poses, and `dexhot object`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from dexhot.cli import main
from dexhot.errors import FileFormatError, MeshError, NotFoundError
from dexhot.geometry.meshes import check_arrays, mass_properties, read_mesh, repair
from dexhot.geometry.poses import lowest
from dexhot.geometry.rotations import quat_rotate
from dexhot.objects.library import load_object, load_symmetry, save_object
from dexhot.simulation.physics import load_physics
from dexhot.simulation.renderer import NoRendererError
from dexhot.simulation.scans import make_object, object_from_file, resting_poses, thumbnail
from dexhot.simulation.scene import object_scene
from dexhot.simulation.settle import require_rest

PHYSICS = load_physics()
BOX = trimesh.creation.box((0.04, 0.06, 0.10))
CUP = trimesh.creation.annulus(r_min=0.036, r_max=0.04, height=0.09)


def own_piece(mesh):
    return [(mesh.vertices, mesh.faces)]


@pytest.fixture
def brick():
    return make_object("user/brick", BOX.vertices, BOX.faces, pieces=own_piece(BOX))


def test_mass_and_inertia_of_a_box(brick):
    x, y, z = 0.04, 0.06, 0.10
    assert brick.mass == pytest.approx(x * y * z * PHYSICS.object_density)
    expected = brick.mass / 12 * np.diag([y * y + z * z, x * x + z * z, x * x + y * y])
    assert np.allclose(brick.inertia, expected)


def test_mass_properties_of_two_pieces_are_those_of_the_whole():
    halves = [trimesh.creation.box((0.04, 0.06, 0.05)), trimesh.creation.box((0.04, 0.06, 0.05))]
    halves[0].apply_translation((0.1, 0, 0.025))
    halves[1].apply_translation((0.1, 0, -0.025))
    volume, center, inertia = mass_properties([(h.vertices, h.faces) for h in halves])
    assert volume == pytest.approx(BOX.volume)
    assert np.allclose(center, [0.1, 0, 0])
    assert np.allclose(inertia * BOX.volume, BOX.moment_inertia)


@pytest.mark.parametrize(("size", "mass"), [(0.02, 0.05), (0.2, 0.3)])
def test_guessed_mass_is_clipped_to_the_benchmarks_range(size, mass):
    cube = trimesh.creation.box((size, size, size))
    assert make_object("user/cube", cube.vertices, cube.faces, pieces=own_piece(cube)).mass == pytest.approx(mass)


def test_a_stated_mass_is_not_clipped():
    made = make_object("user/brick", BOX.vertices, BOX.faces, pieces=own_piece(BOX), mass=0.7)
    assert made.mass == 0.7


def test_scale_scales_mesh_and_pieces():
    made = make_object(
        "user/brick", 1000 * BOX.vertices, BOX.faces, pieces=own_piece(BOX.copy().apply_scale(1000)), scale=1e-3
    )
    assert np.allclose(made.vertices, BOX.vertices)
    assert np.allclose(made.pieces[0][0], BOX.vertices)


def test_pieces_keep_a_cup_hollow():
    made = make_object("user/cup", CUP.vertices, CUP.faces)
    volume, _, _ = mass_properties(made.pieces)
    assert len(made.pieces) > 3
    assert volume < 0.5 * CUP.convex_hull.volume
    assert made.symmetry.kind == "axis"


@pytest.mark.parametrize(
    ("vertices", "faces", "reason"),
    [
        (BOX.vertices, np.zeros((0, 3), int), "no faces"),
        (BOX.vertices * [1, 1, 0], BOX.faces, "no volume"),
        (np.where(np.arange(24).reshape(8, 3) == 5, np.nan, BOX.vertices), BOX.faces, "vertex 1 is not finite"),
        (BOX.vertices * 1000, BOX.faces, "--unit mm makes it 10 cm, cm 100 cm: measure"),
        (BOX.vertices * 100, BOX.faces, "--unit mm makes it 1 cm, cm 10 cm, in 25.4 cm: measure"),
        (BOX.vertices * 1e-4, BOX.faces, "--scale"),
        (BOX.vertices, BOX.faces + 4, "refers to vertex"),
    ],
    ids=["no faces", "flat", "nan", "mm", "cm", "tiny", "bad index"],
)
def test_a_mesh_that_cannot_serve_is_refused_with_the_reason(vertices, faces, reason):
    with pytest.raises(MeshError, match=reason):
        make_object("user/bad", vertices, faces)


def test_a_file_that_is_no_mesh_is_refused(tmp_path):
    path = tmp_path / "broken.stl"
    path.write_bytes(b"\x00" * 90)
    with pytest.raises(MeshError):
        check_arrays("broken", *read_mesh(path))
    with pytest.raises(MeshError, match="not a mesh format"):
        (tmp_path / "a.txt").write_text("x")
        read_mesh(tmp_path / "a.txt")


@pytest.mark.parametrize("keep", [0, 300], ids=["empty", "truncated"])
def test_a_file_without_a_surface_is_refused(tmp_path, keep):
    path = tmp_path / "scan.stl"
    BOX.export(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MeshError, match=r"scan\.stl"):
        read_mesh(path)


def test_a_point_cloud_is_refused(tmp_path):
    trimesh.PointCloud(BOX.vertices).export(tmp_path / "scan.ply")
    with pytest.raises(MeshError, match="point cloud"):
        read_mesh(tmp_path / "scan.ply")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_would_flatten_or_mirror_is_refused(tmp_path, scale):
    BOX.export(tmp_path / "brick.stl")
    with pytest.raises(MeshError, match="positive"):
        object_from_file(tmp_path / "brick.stl", "user/brick", scale=scale)


def test_repair_merges_a_triangle_soup():
    soup = BOX.triangles.reshape(-1, 3)
    vertices, faces = repair(soup, np.arange(len(soup)).reshape(-1, 3))
    assert len(vertices) == 8
    assert trimesh.Trimesh(vertices, faces).is_watertight


def test_resting_poses_are_at_rest_on_the_table(brick):
    poses = resting_poses(brick, PHYSICS)
    scene = object_scene(brick, PHYSICS)
    assert len(poses) == 6
    for pose in poses:
        assert lowest(pose, brick.corners) == pytest.approx(0.0, abs=1e-3)
        require_rest(scene, pose)


def test_a_cylinder_rests_on_its_two_ends_and_on_its_side():
    can = trimesh.creation.cylinder(0.03, 0.1, sections=24)
    made = make_object("user/can", can.vertices, can.faces, pieces=own_piece(can))
    assert len(resting_poses(made, PHYSICS)) == 3


def test_likeliest_resting_pose_lies_on_the_largest_face(brick):
    up = quat_rotate(resting_poses(brick, PHYSICS)[0][3:], np.array([1.0, 0, 0]))
    assert abs(up[2]) > 0.99


def test_thumbnail_shows_the_object(brick):
    try:
        picture = thumbnail(brick, size=(60, 80)).astype(int)
    except NoRendererError as e:
        pytest.skip(str(e))
    orange = (picture[..., 0] > picture[..., 2] + 60).mean()
    assert picture.shape == (60, 80, 3)
    assert 0.03 < orange < 0.6


def test_object_from_file_in_millimetres(tmp_path):
    path = tmp_path / "brick.stl"
    BOX.copy().apply_scale(1000).export(path)
    made = object_from_file(path, "user/brick", unit="mm", mass=0.2)
    assert np.allclose(np.ptp(made.vertices, axis=0), [0.04, 0.06, 0.10])
    assert made.provenance["repairs"]["closed"]
    assert made.provenance["mass_from"] == "given"
    assert len(made.resting_poses) >= 3


def test_object_add_and_list(cache, tmp_path, capsys):
    path = tmp_path / "my brick.obj"
    BOX.export(path)
    assert main(["object", "add", str(path), "--friction", "0.5", "--json"]) == 0
    added = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert added["name"] == "user/my_brick" and added["friction"] == load_object("user/my_brick").friction == 0.5
    assert len(load_object("user/my_brick").resting_poses) == added["resting"]
    assert main(["object", "list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])["objects"]) == {"user/my_brick"}


def test_a_plain_name_is_one_of_your_own_objects(cache, brick):
    for name in ("user/brick", "user/cup", "cup"):
        save_object(replace(brick, name=name))
    assert load_object("brick").name == "user/brick" and load_symmetry("brick") == brick.symmetry
    assert load_object("cup").name == "cup"  # it is there as it was named
    with pytest.raises(NotFoundError, match=r"no object named 'spoon'.*user/brick"):
        load_object("spoon")


def test_a_friction_of_its_own_is_kept_and_checked_before_the_work(cache, tmp_path, capsys, brick):
    from dexhot.objects.library import save_object

    save_object(brick)
    assert load_object(brick.name).friction is None
    save_object(replace(brick, friction=0.4))
    assert load_object(brick.name).friction == 0.4
    header = cache / "objects" / brick.name / "object.json"
    old = {key: value for key, value in json.loads(header.read_text()).items() if key != "friction"}
    header.write_text(json.dumps(old))  # as dexhot 0.1 writes it
    assert load_object(brick.name).friction is None
    with pytest.raises(FileFormatError, match="friction"):
        save_object(replace(brick, friction=-0.1))
    path = tmp_path / "brick.obj"
    BOX.export(path)
    assert main(["object", "add", str(path), "--name", "other", "--friction", "0"]) == 1
    assert "--friction 0 must be above 0" in capsys.readouterr().err and not (cache / "objects/user/other").exists()


def test_object_add_says_which_unit_fits(cache, tmp_path, capsys):
    path = tmp_path / "brick.obj"
    BOX.copy().apply_scale(1000).export(path)
    assert main(["object", "add", str(path)]) == 1
    assert "--unit mm makes it 10 cm" in capsys.readouterr().err
    assert not (cache / "objects").exists()


def test_object_add_does_not_overwrite_unasked(cache, tmp_path, capsys, brick):
    from dexhot.objects.library import save_object

    save_object(brick)
    path = tmp_path / "brick.obj"
    BOX.export(path)
    assert main(["object", "add", str(path)]) == 1
    assert "--replace" in capsys.readouterr().err
