"""ContactPose in its published layout: MANO's components, three frames of reference, heat as contact."""

import json

import numpy as np
import pytest
import trimesh
from layouts import OFFSET, write_mano

from dexhot.datasets.contactpose import grasp_folders, read_grasps, touched_by
from dexhot.errors import ClipError, FileFormatError
from dexhot.fitting.recipe import load_recipe
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot_bench import fit_contact

H_T_O = make_pose([0.02, -0.01, 0.03], rotvec_to_quat([0.1, 0.2, -0.3]))
M_T_H = make_pose([-0.05, 0.02, 0.01], rotvec_to_quat([-0.3, 0.1, 0.2]))
TURN = np.array([0.2, -0.1, 0.4])


def written(folder, moving=True, far=0.0, heat=True):
    """A recording of a right hand on a cube, and where the keypoints truly are on it."""
    parts = write_mano()
    rng = np.random.default_rng(1)
    coefficients = 0.2 * rng.normal(size=15)
    fingers = parts["hands_mean"] + coefficients @ parts["hands_components"][:15]
    hand = open_hand()
    pose = HandPose(quat_to_matrix(rotvec_to_quat(TURN)), OFFSET, fingers.reshape(15, 3))
    posed = hand.shaped().posed(pose)  # in MANO's frame
    o_T_m = compose(inverse(H_T_O) if moving else make_pose(np.zeros(3), np.array([1.0, 0, 0, 0])), inverse(M_T_H))
    vertices = transform(o_T_m, posed.vertices)
    truth = transform(o_T_m, posed.keypoints(hand.table("open")))
    tip = vertices[hand.tips[1]]
    palm = vertices[np.argmax(np.linalg.norm(vertices - tip, axis=1))]
    mesh = trimesh.creation.icosphere(3, 0.035)
    mesh.apply_translation(0.5 * (tip + palm) + [far, 0, 0])  # about the middle of the hand: it is inside
    colors = np.full((len(mesh.vertices), 4), 255, np.uint8)
    colors[:, 0] = np.where(mesh.vertices[:, 0] > mesh.vertices[:, 0].mean(), 200, 30) if heat else 0
    mesh.visual.vertex_colors = colors
    place = folder / "contactpose_data" / "full7_use" / "cube"
    place.mkdir(parents=True)
    mesh.export(place / "cube.ply")

    def said(x):
        return {"translation": x[:3].tolist(), "rotation": x[3:].tolist()}

    hands = [{"valid": False}, {"valid": True, "moving": moving, "joints": np.zeros((21, 3)).tolist()}]
    frames = [{"hTo": [None, said(H_T_O)], "oTw": said(H_T_O), "object_pose_optimized": True}]
    (place / "annotations.json").write_text(json.dumps({"hands": hands, "frames": frames, "cameras": {}}))
    fit = {"valid": True, "pose": [*TURN, *coefficients], "betas": [0.0] * 10, "mTc": said(M_T_H)}
    (place / "mano_fits_15.json").write_text(json.dumps([{"valid": False}, fit]))
    return place, truth


@pytest.fixture
def user(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize("moving", [True, False])
def test_a_grasp_is_read_into_the_object_s_frame(user, moving):
    place, truth = written(user / "data", moving)
    assert grasp_folders(user / "data") == grasp_folders(user / "data" / "contactpose_data") == [place]
    [grasp] = read_grasps(place)
    assert grasp.name == "full7_use/cube/right" and grasp.hand.side == "right"
    assert np.allclose(grasp.keypoints, truth, atol=1e-6)
    posed = grasp.hand.shaped(grasp.shape).posed(grasp.pose)
    assert np.allclose(posed.vertices, grasp.vertices, atol=1e-9)  # the pose is that of the refined model
    assert (grasp.contact.values == 1.0).sum() > 10 and grasp.model.name == "contactpose/cube"


def test_measured_contact_counts_beyond_the_annotated_distance(user):
    """A vertex 3 mm or less before a warm point was in contact; before a cold one its distance counts."""
    place, _ = written(user / "warm")
    other, _ = written(user / "cold", heat=False)
    [warm], [cold] = read_grasps(place), read_grasps(other)
    more = warm.contact.values > cold.contact.values
    assert (
        more.any() and (warm.contact.values[more] == 1.0).all() and (warm.contact.values >= cold.contact.values).all()
    )


def test_heat_is_contact_by_the_authors_sigmoid():
    found = touched_by(np.array([0.0, 0.2, 0.5, 0.8]))
    assert np.allclose(found, [0.0, 0.05, 0.5, 0.95])
    assert not touched_by(np.zeros(3)).any() and not touched_by(np.full(3, 0.4)).any()


def test_a_copy_is_measured_beside_its_starts(user):
    place, _ = written(user / "data")
    far = written(user / "other", far=1.0)[0]
    far.rename(place.parent / "cup")
    (place.parent / "cup" / "cube.ply").rename(place.parent / "cup" / "cup.ply")
    recipe = load_recipe("contact").changed(["solver.steps=2"])
    found = fit_contact.contactpose(user / "data", recipe)
    assert found["grasps"] == 1 and set(found["rows"]) == {"start", "contact"}
    assert found["rows"]["start"]["hand_joints_mm"] > 5.0
    assert len(found["left_out"]) == 1 and found["left_out"][0].startswith("full7_use/cup: 0 vertices")


def test_bad_files_are_named(user):
    with pytest.raises(FileFormatError, match="is not ContactPose"):
        grasp_folders(user)
    place, _ = written(user / "data")
    fits = place / "mano_fits_15.json"
    text = fits.read_text()
    fits.write_text(text.replace('"betas"', '"beta"'))
    with pytest.raises(FileFormatError, match="betas"):
        list(read_grasps(place))
    fits.write_text(text[:40])
    with pytest.raises(FileFormatError, match="cannot be read"):
        list(read_grasps(place))
    fits.write_text(text)
    (place / "cube.ply").write_bytes(b"ply\nnonsense")
    with pytest.raises(FileFormatError, match="download it again"):
        list(read_grasps(place))
    (place / "cube.ply").unlink()
    with pytest.raises(FileFormatError, match="contact maps"):
        list(read_grasps(place))
    place, _ = written(user / "far", far=1.0)
    with pytest.raises(ClipError, match="within 4 mm"):
        list(read_grasps(place))
