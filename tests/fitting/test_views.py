"""Several calibrated cameras: terms in another camera's frame, one view given twice, two cameras against one."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fitting import test_batch_terms as batch
from tests.fitting import test_scene_terms as scenes
from tests.tiny_clip import ASSET, CAMERA, HAND, MODEL, SHAPE, tiny_clip

from dexhot.errors import ClipError
from dexhot.fitting.batch_terms import FromCamera
from dexhot.fitting.frames import frames_of
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.tracker import HandObjectTracker
from dexhot.fitting.viewpoint import Viewpoint
from dexhot.fitting.views import APART, frames_by_all, recorded_views
from dexhot.geometry.poses import IDENTITY, inverse, make_pose
from dexhot.geometry.rotations import rotvec_to_quat

RECIPE = load_recipe("default")
SEEING = ("joints_2d", "joint_depth", "hand_mask", "object_mask", "surface", "sdf", "free_space")
TURNED = make_pose([0.1, -0.2, 0.3], rotvec_to_quat(np.array([0.4, 1.2, -0.3])))
BESIDE = make_pose([0.6, 0.0, 0.6], rotvec_to_quat(np.array([0.0, -np.pi / 2, 0.0])))  # 90 degrees about the hand


@pytest.mark.parametrize("name", [name for name in scenes.TERMS if name != "temporal"])
def test_rows_of_another_camera_are_those_of_steps_in_the_scene(name):
    """The term's values in the camera's frame, as the state of the scene moves, against its rows turned back."""
    term, at, h = scenes.TERMS[name], Viewpoint(CAMERA, TURNED), 1e-7
    wrist = scenes.PERSON.joints[0]
    state = Viewpoint(CAMERA, inverse(TURNED)).state_there(scenes.STATE, wrist)  # STATE is what the camera sees

    def rows(step: np.ndarray):
        return term.rows(scenes.scene_at(at.state_there(state.plus(step), wrist)))

    here = rows(np.zeros(57))
    full = np.zeros((len(here.residual), 57))
    full[:, here.first : here.first + here.jacobian.shape[1]] = here.jacobian
    found, numeric = full @ at.steps, np.zeros_like(full)
    for i in range(57):
        ahead, behind = (rows(s * h * np.eye(57)[i]) for s in (1.0, -1.0))
        numeric[:, i] = (ahead.residual - behind.residual) / (2 * h)
    same = np.abs(found - numeric) < 1e-4 * np.abs(numeric).max()
    assert same.all(axis=1).mean() > 0.98
    assert not np.allclose(full, found, atol=1e-3 * np.abs(full).max()) or name == "prior"  # as they were, they are not


@pytest.mark.parametrize(
    "name", ["joints 2D", "vertices 2D", "mask rendering", "silhouette", "image", "surface", "sdf"]
)
def test_gradients_of_another_camera_are_those_of_the_scene(name):
    """Of the same bodies in the two frames the values are one, and the gradients by places and 6D turns are turned."""
    term, at = batch.TERMS[name], Viewpoint(batch.CAMERA, TURNED)
    there = batch.scene_at(batch.APART)
    value = term.add(there)
    wanted = there.pull_back()
    moved = dict(batch.APART)
    for body in (*batch.HANDS, "object"):
        moved[f"{body}.place"] = at.points_back(batch.APART[f"{body}.place"])
        six = batch.APART[f"{body}.turn"].reshape(-1, 2, 3)
        moved[f"{body}.turn"] = (six @ at.rotation).reshape(-1, 6)
    scene = batch.scene_at(moved)
    assert np.allclose(FromCamera(at, batch.SMALL, [term]).add(scene), value, rtol=1e-4)
    for unknown, gradient in scene.pull_back().items():
        expected = wanted[unknown]
        if unknown.endswith(("place", "turn")):
            expected = (expected.reshape(-1, 3) @ at.rotation).reshape(expected.shape)
        assert np.allclose(gradient, expected, atol=2e-3 * max(np.abs(expected).max(), 1e-6)), unknown


def test_one_view_given_twice_is_one_view_of_twice_the_weight():
    """Views are summed, not averaged: two cameras know more than one."""
    recording, evidence, _ = tiny_clip(3)
    frame = frames_of(recording, evidence, "right", False)[0]
    double = RECIPE.changed([f"{name}.weight={2 * RECIPE.terms[name]['weight']}" for name in SEEING])
    again = Viewpoint(CAMERA, make_pose([1e-12, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]))
    one = HandObjectTracker(HAND, MODEL, CAMERA, double, shape=SHAPE)
    two = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE, others=[again])
    both = replace(frame, others=(frame,))
    state = one.step(frame).state
    for near, widest in ((None, 4.0), (state, RECIPE.solver["widest"])):
        a, b = one.solve(state, one.view(frame), near, 4, widest), two.solve(state, two.view(both), near, 4, widest)
        assert np.allclose(a[0].hand.vector(), b[0].hand.vector(), atol=1e-7)
        assert np.allclose(a[0].object_pose(), b[0].object_pose(), atol=1e-7)
        assert np.allclose(a[1], b[1], rtol=1e-6, atol=1e-3) and a[2] == pytest.approx(b[2])
    once = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    assert not np.allclose(once.solve(state, once.view(frame), state, 4, 4.0)[1], a[1], rtol=0.1)
    assert two.cost(state, two.view(both)) == pytest.approx(one.cost(state, one.view(frame)))


@pytest.fixture(scope="module")
def cameras():
    """The clip by two cameras 90 degrees apart, in the world of the first."""
    first, evidence, points = tiny_clip()
    second, beside, _ = tiny_clip(seed=1, at=BESIDE)
    return [replace(first, world_T_camera=IDENTITY), replace(second, name="beside")], [evidence, beside], points


def fitted(recordings, evidences):
    return fit_recording(recordings, evidences, ASSET, RECIPE, HAND, with_pose=False)


def test_two_cameras_know_the_hands_depth_better_than_either(cameras):
    """Along each camera's own axis, and the keypoints over all."""
    recordings, evidences, points = cameras
    both = fitted(recordings, evidences)
    assert both.trajectory.provenance["fit"]["views"] == ["tiny", "beside"]
    off = both.trajectory.hands["right"].keypoints - points
    for k, axis in ((0, 2), (1, 0)):  # the second camera looks along the first one's x
        alone = fitted(recordings[k], evidences[k]).trajectory.hands["right"].keypoints - points
        assert np.abs(off[..., axis]).mean() < 0.8 * np.abs(alone[..., axis]).mean()  # 0.7 of 2.2 mm, 0.7 of 1.1 mm
        assert np.linalg.norm(off, axis=-1).mean() < 0.9 * np.linalg.norm(alone, axis=-1).mean()


def test_what_one_camera_does_not_see_another_one_does(cameras):
    """The first camera sees neither hand nor object for some frames: they are followed, and judged, by the second."""
    recordings, (evidence, beside), points = cameras
    labels, keypoints = evidence.labels.copy(), evidence.keypoints["right"].copy()
    labels[6:], keypoints[6:, :, 5] = 0, 0.0
    blind = replace(evidence, labels=labels, keypoints={"right": keypoints})
    found = fitted(recordings, [blind, beside])
    error = np.linalg.norm(found.trajectory.hands["right"].keypoints - points, axis=-1)[6:]
    assert error.mean() < 0.004
    assert all(one.hand_seen and one.object_seen and not one.hand_lost for one in found.tracked)
    alone = fitted(recordings[0], blind).trajectory.hands["right"].keypoints - points
    assert np.linalg.norm(alone, axis=-1)[6:].mean() > 2.0 * error.mean()


def test_an_object_pose_of_another_cameras_estimator_is_brought_into_the_scene(cameras):
    recordings, (evidence, beside), _ = cameras
    unmeasured = replace(evidence, object_pose=np.full_like(evidence.object_pose, np.nan))
    frames = frames_by_all(recorded_views(recordings, [unmeasured, beside]), "right")
    assert np.allclose([frame.object_pose for frame in frames], evidence.object_pose, atol=1e-9)


def test_views_that_do_not_belong_together_are_refused(cameras):
    (first, second), evidences, _ = cameras
    for recordings, said in (
        ([replace(first, world_T_camera=None), second], "tiny has no world_T_camera"),
        ([first, replace(second, world_T_camera=None)], "beside has no world_T_camera"),
    ):
        with pytest.raises(ClipError, match=said):
            recorded_views(recordings, evidences)
    late = second.time + 2.0
    with pytest.raises(ClipError, match=r"beside has no frame within 10 ms of frame 0 of tiny, at 0.000 s .*2000 ms"):
        recorded_views([first, replace(second, time=late)], [evidences[0], replace(evidences[1], time=late)])
    with pytest.raises(ClipError, match="frame 12 of tiny"):
        recorded_views([first, second.frames(0, 12)], [evidences[0], evidences[1].cut(0, 12)])
    with pytest.raises(ClipError, match="2 recordings, but evidence of 1"):
        recorded_views([first, second], evidences[:1])
    with pytest.raises(ClipError, match="has 12 of the 16 frames of the recording beside"):
        recorded_views([first, second], [evidences[0], evidences[1].cut(0, 12)])


def test_the_frames_of_other_stamps_are_those_nearest_in_time(cameras):
    """The second camera started earlier, and its clock is a few ms off."""
    (first, second), (evidence, beside), _ = cameras
    part, seen = first.frames(5, 9), evidence.cut(5, 9)
    off = second.time + 0.6 * APART
    one, two = recorded_views([part, replace(second, time=off)], [seen, replace(beside, time=off)])
    assert np.array_equal(two.recording.depth, second.depth[5:9]) and np.array_equal(two.recording.time, part.time)
    assert np.array_equal(two.evidence.labels, beside.labels[5:9]) and np.array_equal(two.evidence.time, part.time)
    assert one.at.camera_T_scene is None and np.allclose(two.at.camera_T_scene, BESIDE)
