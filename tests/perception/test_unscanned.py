"""Objects that nobody scanned: primitives from what a camera sees on a table, fused meshes, meshes without a scale."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from tests import lab_estimators

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, MeshError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat, quat_rotate, rotvec_to_quat
from dexhot.geometry.sdf_volume import sdf_volume
from dexhot.hardware.camera.recording import open_recording
from dexhot.objects import load_object
from dexhot.perception.fitted_shape import fit_shape
from dexhot.perception.unscanned import fused_mesh, generated_mesh, resting_points, scale_by_depth
from dexhot.synthesis.files import write_bag

CAMERA = Intrinsics(320, 240, 307.0, 307.0, 159.5, 119.5)


def looking_down() -> np.ndarray:
    """(7,) world_T_camera, 0.6 m from the origin."""
    eye = np.array([0.3, -0.35, 0.4])
    z = -eye / np.linalg.norm(eye)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    return make_pose(eye, matrix_to_quat(np.stack([x, np.cross(z, x), z], axis=1)))


def filmed(mesh: trimesh.Trimesh, poses: np.ndarray, noise: float = 0.0007) -> tuple[Recording, Evidence]:
    """A recording of a mesh at world poses (T, 7) on a table, and its evidence with true masks and poses."""
    rng = np.random.default_rng(0)
    world_T_camera = looking_down()
    pinhole = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = quat_rotate(world_T_camera[3:], CAMERA.backproject(np.stack([u, v], -1).astype(float), np.ones(u.shape)))
    table = -world_T_camera[2] / rays[..., 2]
    depth, labels, seen = [], [], []
    for pose in poses:
        image = np.full(u.shape, 1e3)
        seen.append(compose(inverse(world_T_camera), pose))
        placed = transform(seen[-1], np.asarray(mesh.vertices))
        draw_depth(placed, np.asarray(mesh.faces, np.int64), pinhole, image)
        labels.append(np.where(image < table, 2, 0).astype(np.uint8))
        depth.append(np.round(1e3 * (np.minimum(image, table) + noise * rng.normal(size=u.shape))).astype(np.uint16))
    time = np.arange(len(poses)) / 30.0
    size = (len(poses), CAMERA.height, CAMERA.width)
    recording = Recording("unscanned", time, np.zeros((*size, 3), np.uint8), np.stack(depth), CAMERA)
    return recording, Evidence("unscanned", time, np.stack(labels), {}, {}, np.stack(seen))


def standing(mesh: trimesh.Trimesh, yaw: float = 0.4, frames: int = 3) -> np.ndarray:
    return np.tile(make_pose([0.01, 0.02, -mesh.bounds[0, 2]], rotvec_to_quat([0, 0, yaw])), (frames, 1))


def lying(height: float, radius: float) -> trimesh.Trimesh:
    mesh = trimesh.creation.cylinder(radius, height)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    return mesh


@pytest.mark.parametrize(
    ("size", "alike"), [((0.03, 0.06, 0.03), 2), ((0.05, 0.05, 0.08), 2), ((0.045, 0.07, 0.035), 1)]
)
def test_sides_that_are_nearly_alike_are_the_same(size, alike):
    """Else a fit of the block goes from one quarter turn to the next."""
    mesh = trimesh.creation.box(size)
    for yaw in (0.4, 1.0):
        points, plane = resting_points(filmed(mesh, standing(mesh, yaw))[0])
        found = np.ptp(fit_shape(points, plane, ("box",)).vertices, axis=0)
        assert max(np.count_nonzero(np.isclose(found, side)) for side in found) == alike
        assert np.sort(found) == pytest.approx(sorted(size), abs=0.006)


def test_of_two_things_on_the_table_the_user_says_which():
    box, ball = trimesh.creation.box((0.06, 0.05, 0.08)), trimesh.creation.icosphere(2, 0.03)
    box.apply_translation([0.0, 0.0, 0.04])
    ball.apply_translation([0.0, 0.16, 0.03])
    recording, _ = filmed(trimesh.util.concatenate([box, ball]), np.tile(make_pose([0, 0, 0], [1, 0, 0, 0]), (3, 1)))
    with pytest.raises(DexhotError, match=r"more than one thing .* at u,v \d+,\d+ and \d+,\d+; .*--prompt") as e:
        resting_points(recording)
    places = [np.array(place.split(","), float) for place in str(e.value).split("u,v ")[1].split(";")[0].split(" and ")]
    for place in places:
        points, plane = resting_points(recording, place)
        assert fit_shape(points, plane).residual < 0.004


@pytest.mark.parametrize(
    ("mesh", "kind", "sides"),
    [
        (trimesh.creation.box([0.05, 0.08, 0.11]), "box", (0.05, 0.08, 0.11)),
        (trimesh.creation.cylinder(0.035, 0.1), "cylinder", (0.07, 0.07, 0.1)),
        (lying(0.12, 0.03), "lying-cylinder", (0.06, 0.06, 0.12)),
        (trimesh.creation.icosphere(3, 0.04), "sphere", (0.08, 0.08, 0.08)),
    ],
)
def test_a_primitive_is_named_and_sized(mesh, kind, sides):
    recording, evidence = filmed(mesh, standing(mesh))
    fitted = fit_shape(*resting_points(recording))
    assert fitted.kind == kind, fitted.residuals
    assert np.sort(np.ptp(fitted.vertices, axis=0)) == pytest.approx(sorted(sides), abs=0.007)
    found, true = fitted.camera_T_mesh[:3], evidence.object_pose[0, :3]
    assert np.linalg.norm(found - true) < 0.006  # both frames are at the middle
    placed = transform(fitted.camera_T_mesh, fitted.vertices)
    local = transform(inverse(evidence.object_pose[0]), placed)
    assert np.abs(sdf_volume(mesh.vertices, mesh.faces).distance(local)[0]).max() < 0.009


def test_the_marked_object_is_taken():
    both = trimesh.util.concatenate([
        trimesh.creation.box([0.05, 0.08, 0.11]).apply_translation([0.1, 0.0, 0.055]),
        trimesh.creation.box([0.04, 0.04, 0.04]).apply_translation([-0.1, 0.0, 0.02]),
    ])  # fmt: skip
    recording, evidence = filmed(both, np.tile(make_pose(np.zeros(3), [1.0, 0, 0, 0]), (2, 1)))
    for middle, sides in (((0.1, 0.0, 0.1), (0.05, 0.08, 0.11)), ((-0.1, 0.0, 0.04), (0.04, 0.04, 0.04))):
        click = np.round(CAMERA.project(transform(evidence.object_pose[0], np.array(middle))))
        fitted = fit_shape(*resting_points(recording, click), kinds=("box",))
        assert np.sort(np.ptp(fitted.vertices, axis=0)) == pytest.approx(sides, abs=0.006)


def test_frames_from_all_sides_are_fused_into_a_closed_mesh():
    mesh = trimesh.creation.annulus(0.02, 0.045, 0.05)  # a hole that no primitive has
    turns = ([0, 0, 0], [0, 0, 2], [0.6, 0, 4], [-0.6, 0, 1], [np.pi, 0, 0], [2.5, 0, 3])
    turn = [make_pose([0, 0, 0.06], rotvec_to_quat(v)) for v in turns]
    recording, evidence = filmed(mesh, np.stack(turn))
    start = trimesh.creation.cylinder(0.045, 0.05)
    vertices, faces = fused_mesh(recording, evidence, start.vertices, start.faces)
    fused = trimesh.Trimesh(vertices, faces)
    assert fused.is_watertight and fused.volume == pytest.approx(mesh.volume, rel=0.15)
    off = np.abs(sdf_volume(mesh.vertices, mesh.faces).distance(fused.sample(2000, seed=0))[0])
    assert off.mean() < 0.0015 and np.percentile(off, 95) < 0.007
    assert start.volume > 1.2 * mesh.volume  # the primitive has no hole


def test_hands_on_the_object_do_not_become_a_part_of_it():
    mesh = trimesh.creation.box([0.05, 0.08, 0.11])
    recording, evidence = filmed(mesh, standing(mesh))
    depth, labels = recording.depth.copy(), evidence.labels.copy()
    v, u = np.argwhere(labels[0] == 2).mean(axis=0).astype(int)
    depth[:, v - 8 : v + 8, u - 8 : u + 8] -= 8  # mm
    labels[:, v - 8 : v + 8, u - 8 : u + 8] = 1
    start = mesh.vertices, mesh.faces
    vertices, _ = fused_mesh(replace(recording, depth=depth), replace(evidence, labels=labels), *start)
    outside = sdf_volume(mesh.vertices, mesh.faces).distance(vertices)[0].max()
    assert outside < 0.006  # the hand is 8 mm off the surface


def test_a_mesh_without_a_scale_is_scaled_by_depth():
    mesh = trimesh.creation.cylinder(0.035, 0.1)
    recording, _ = filmed(mesh, standing(mesh))
    points, plane = resting_points(recording)
    turned = trimesh.transform_points(
        mesh.vertices * 12.5, trimesh.transformations.rotation_matrix(1.1, [0.1, 0.5, 0.7])
    )
    scale, differ = scale_by_depth(turned, points, plane)
    assert scale == pytest.approx(1 / 12.5, rel=0.09) and differ < 1.2
    with pytest.raises(MeshError, match="other proportions"):
        scale_by_depth(mesh.vertices * [1, 1, 4], points, plane)


def test_nothing_on_the_table_and_no_depth_are_said():
    mesh = trimesh.creation.box([0.05, 0.08, 0.11])
    away = standing(mesh) + np.array([0, 5.0, 0, 0, 0, 0, 0])
    recording, _ = filmed(mesh, away)
    with pytest.raises(DexhotError, match=r"nothing stands on the table; .*--prompt"):
        resting_points(recording)
    with pytest.raises(DexhotError, match="has no depth"):
        resting_points(replace(recording, depth=np.zeros_like(recording.depth)))


def test_the_command_adds_the_object_and_says_how(cache, tmp_path, capsys):
    mesh = trimesh.creation.box([0.05, 0.08, 0.11])
    recording, evidence = filmed(mesh, standing(mesh))
    write_bag(tmp_path / "film", recording)
    assert main(["object", "add", "--from", str(tmp_path / "film"), "--name", "thing"]) == 0
    assert "a box, 0." in capsys.readouterr().err.replace("\n", " ")
    asset = load_object("user/thing")
    assert np.sort(np.ptp(asset.vertices, axis=0)) == pytest.approx([0.05, 0.08, 0.11], abs=0.006)
    assert len(asset.pieces) == 1 and len(asset.resting_poses) and asset.provenance["seen"]["shape"] == "box"
    mesh.apply_scale(300.0)
    mesh.export(tmp_path / "generated.obj")
    command = ["object", "add", str(tmp_path / "generated.obj"), "--from", str(tmp_path / "film")]
    assert main(command) == 0
    assert np.sort(np.ptp(load_object("user/generated").vertices, axis=0)) == pytest.approx(
        [0.05, 0.08, 0.11], abs=0.008
    )
    assert main(["object", "add", "--from", str(tmp_path / "film"), "--shape", "fused", "--name", "f"]) == 1
    assert "--evidence" in capsys.readouterr().err
    save(replace(evidence, provenance={"object": "user/thing"}), tmp_path / "e.npz")
    assert main(["object", "add"]) == 1
    assert "--from RECORDING" in capsys.readouterr().err


def test_a_labs_image_to_mesh_model_gets_the_object_and_its_mesh_is_scaled(cache, tmp_path, capsys):
    mesh = trimesh.creation.box([0.05, 0.08, 0.11])
    recording, evidence = filmed(mesh, standing(mesh))
    write_bag(tmp_path / "film", recording)
    given = []

    def model(color, mask):
        given.append((color.shape, (mask & (evidence.labels[0] == 2)).sum() / (mask | (evidence.labels[0] == 2)).sum()))
        return 40.0 * mesh.vertices, mesh.faces

    lab_estimators.MESHES_OF_IMAGES.append(model)
    words = [
        "object",
        "add",
        "--from",
        str(tmp_path / "film"),
        "--mesher",
        "tests.lab_estimators:mesher",
        "--name",
        "m",
    ]
    assert main(words) == 0
    [(shape, overlap)] = given
    assert shape == (240, 320, 3) and overlap > 0.9
    asset = load_object("user/m")
    assert np.sort(np.ptp(asset.vertices, axis=0)) == pytest.approx([0.05, 0.08, 0.11], abs=0.008)
    assert asset.provenance["seen"]["mesher"] == "tests.lab_estimators:mesher"
    for wrong, told in (
        ((np.full((4, 3), np.nan), mesh.faces), "gave vertices of shape"),
        ((mesh.vertices[:4], mesh.faces), "gave faces of shape"),
    ):
        with pytest.raises(MeshError, match=told):
            generated_mesh(lambda color, mask, wrong=wrong: wrong, recording.color[0], evidence.labels[0] == 2)
    capsys.readouterr()
    for more, told in ((["--shape", "box"], "leave out FILE and --shape"), (["--mesher", "none"], "MODULE:FUNCTION")):
        assert main([*words[:-1], "n", *more]) == 1
        assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.data
def test_a_real_block_is_a_box_of_its_size(shared_data):
    """60 x 30 x 30 mm, seen from 0.75 m by a RealSense."""
    recording = open_recording(shared_data / "realsense_block" / "140122073562", 0, 10)
    fitted = fit_shape(*resting_points(recording, np.array([184.0, 291.0])))
    assert fitted.kind == "box"
    assert np.sort(1e3 * np.ptp(fitted.vertices, axis=0)) == pytest.approx([30, 30, 60], abs=6)
