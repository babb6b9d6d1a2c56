"""Demonstrations for scanned objects: fingertips on opposite sides, from a resting pose, or a refusal with numbers."""

import json

import numpy as np
import pytest
import trimesh

from dexhot.cli import main
from dexhot.data.files import load
from dexhot.data.keypoints import TIPS
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.parametric import KINDS
from dexhot.datasets.scanned import generate_with
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.poses import inverse, lowest, transform
from dexhot.geometry.rotations import quat_angle, quat_rotate, rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.library import save_object
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scans import resting_object
from dexhot.simulation.scene import object_scene
from dexhot.simulation.settle import require_rest

TURN = rotvec_to_quat([0.4, -0.7, 0.2])


def scanned(*bodies: trimesh.Trimesh, name="user/scan"):
    """An object of convex bodies in a mesh frame of no special kind: turned, and far from its middle."""
    pieces = [(quat_rotate(TURN, body.vertices) + [0.3, 0.1, -0.2], body.faces) for body in bodies]
    whole = trimesh.util.concatenate([trimesh.Trimesh(*piece, process=False) for piece in pieces])
    return resting_object(name, whole.vertices, whole.faces, pieces=pieces)


def box(*size, at=(0, 0, 0)) -> trimesh.Trimesh:
    found = trimesh.creation.box(size)
    found.apply_translation(at)
    return found


@pytest.fixture(scope="module")
def wedge():
    """An L on its back: nothing of it is its own mirror image in the grasp frame."""
    return scanned(box(0.05, 0.12, 0.03), box(0.03, 0.03, 0.04, at=(0.01, 0.045, 0.03)))


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_fingertips_of_a_lift_are_on_opposite_sides_and_stay_there(wedge, side):
    made = generate_with("lift", wedge, seed=3, side=side)
    made.validate()
    assert made.object_name == wedge.name and list(made.hands) == [side]
    solid, held = ConvexUnion(wedge.pieces), []
    for frame in (-1, len(made.time) // 2 + 40):
        tips = transform(inverse(made.object_pose[frame]), made.hands[side].keypoints[frame, list(TIPS[:3])])
        assert np.abs(solid.distance(tips)[0]).max() < 1.5e-3
        held.append(tips)
    assert held[0] == pytest.approx(held[1], abs=1e-6)
    outward = solid.distance(held[0])[1]
    assert outward[0] @ outward[1] < -0.9 and outward[0] @ outward[2] < -0.9


def test_it_begins_at_rest_on_the_table_and_is_lifted(wedge):
    pose = generate_with("lift", wedge, seed=1).object_pose
    assert lowest(pose[0], wedge.corners) == pytest.approx(0.0, abs=1e-3)
    require_rest(object_scene(wedge, load_physics()), pose[0])
    assert 0.10 <= pose[-1, 2] - pose[0, 2] <= 0.16
    assert quat_angle(pose[0, 3:], pose[-1, 3:]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_valid_and_clear_of_the_table(wedge, kind):
    made = generate_with(kind, wedge)
    made.validate()
    assert made.hands["right"].keypoints[..., 2].min() > 0.0


def test_rotate_turns_about_the_object_and_not_about_the_frame_of_its_file(wedge):
    made = generate_with("rotate", wedge, seed=2)
    middle = np.array([transform(pose, wedge.center_of_mass) for pose in made.object_pose])
    assert quat_angle(made.object_pose[0, 3:], made.object_pose[-1, 3:]) > 0.5
    assert np.ptp(middle[:, :2], axis=0).max() < 1e-6


def test_the_open_hand_is_off_the_object_before_it_closes(wedge):
    made = generate_with("reach", wedge)
    tips = transform(inverse(made.object_pose[-1]), made.hands["right"].keypoints[-1, list(TIPS[:3])])
    assert ConvexUnion(wedge.pieces).distance(tips)[0].min() > 0.005


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((0.2, 0.18, 0.12), "at least 12.0 cm wide at rest, and a hand spans 1.5 to 8.0 cm"),
        ((0.012, 0.012, 0.012), "it rests 1.2 cm high, and fingertips need 2 cm"),
        ((0.012, 0.1, 0.1), "1.2 cm wide at rest, and a hand spans 1.5"),
    ],
    ids=["a crate", "a dice", "a slat"],
)
def test_what_a_hand_cannot_grasp_is_refused_with_the_numbers(size, reason):
    with pytest.raises(DexhotError, match=reason):
        generate_with("lift", scanned(box(*size)))


def test_an_object_that_lies_flat_and_too_wide_is_grasped_as_it_stands():
    """The likeliest pose offers nothing: the next one does."""
    made = generate_with("grasp", scanned(box(0.16, 0.14, 0.05)))
    top = max(transform(made.object_pose[0], made_corner)[2] for made_corner in scanned(box(0.16, 0.14, 0.05)).corners)
    assert top > 0.13


def test_an_invalid_side_or_kind_lists_the_choices(wedge):
    with pytest.raises(NotFoundError, match="available: carry, grasp"):
        generate_with("throw", wedge)
    with pytest.raises(NotFoundError, match="available: left, right"):
        generate_with("lift", wedge, side="both")


def test_what_is_generated_can_be_retargeted(wedge):
    reference = retarget(generate_with("lift", wedge), load_hand("leap_right"), wedge)
    reference.validate()
    assert reference.object_name == wedge.name


def test_the_command_takes_an_object_of_the_cache(cache, wedge, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_object(wedge)
    assert main(["generate", "lift", "--object", "scan", "--seed", "4", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["object"] == "user/scan" and facts["file"] == "lift-user_scan-4.npz"
    assert load(tmp_path / facts["file"], HandObjectTrajectory).object_name == "user/scan"
    assert main(["generate", "lift", "--object", "scan", "--shape", "box"]) == 1
    assert "only one of them" in capsys.readouterr().err
    assert main(["generate", "lift", "--object", "user/scam"]) == 1
    assert "user/scan" in capsys.readouterr().err
