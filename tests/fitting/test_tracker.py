"""The tracker on tiny drawn clips: starts from nothing, follows, tells what is lost, takes it up again."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny_clip import ASSET, CAMERA, HAND, MODEL, SHAPE, tiny_clip

from dexhot.data.labels import LABELS
from dexhot.data.types import Evidence
from dexhot.errors import ClipError
from dexhot.fitting import object_start
from dexhot.fitting.frames import frames_of
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording, leaps, mend
from dexhot.fitting.scene import HandObjectScene, SceneState
from dexhot.fitting.scene_terms import Ground
from dexhot.fitting.summary import summarise_recording_fit, turn_notes, unseen_notes
from dexhot.fitting.terms import Keypoints2D
from dexhot.fitting.tracker import RULED_OUT, HandObjectTracker, normal_equations
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.planes import Plane
from dexhot.geometry.poses import compose, make_pose, transform
from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat

RECIPE = load_recipe("default")


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def fit(clip):
    recording, evidence, _ = clip
    return fit_recording(recording, evidence, ASSET, RECIPE, HAND, with_pose=False)


def test_hand_and_object_are_found_and_followed_without_truth(clip, fit):
    _, evidence, points = clip
    found = fit.trajectory
    assert 1e3 * np.linalg.norm(found.hands["right"].keypoints - points, axis=-1).mean() < 8.0
    off = transform(found.object_pose, MODEL.centre) - transform(evidence.object_pose, MODEL.centre)
    assert 1e3 * np.linalg.norm(off, axis=1).mean() < 3.0
    angle = reduced_angle(ASSET.symmetry, found.object_pose[:, 3:], evidence.object_pose[:, 3:])
    assert np.degrees(angle).mean() < 4.0
    assert not any(one.hand_lost or one.object_lost for one in fit.tracked)


def test_evidence_that_never_shows_the_object_is_told(clip, fit):
    recording, evidence, _ = clip
    assert unseen_notes(fit, evidence) == [] and "notes" not in summarise_recording_fit(fit, evidence)
    labels = np.where(evidence.labels == LABELS["object"], 0, evidence.labels).astype(np.uint8)
    none = replace(evidence, labels=labels, object_pose=np.full_like(evidence.object_pose, np.nan))
    blind = fit_recording(recording, none, ASSET, RECIPE, HAND)
    figures = summarise_recording_fit(blind, none)
    assert figures["frames_with_object"] == 0 and figures["object_lost_frames"] == len(recording)
    assert f"no frame of the evidence shows {ASSET.name}" in figures["notes"][0]
    alone = fit_recording(recording, none, None, RECIPE, HAND)
    assert "notes" not in summarise_recording_fit(alone, none)


def test_the_trajectory_is_in_the_world_and_knows_how_well(clip, fit):
    recording, evidence, _ = clip
    pose = make_pose([0.5, -0.2, 0.8], [0.0, 1.0, 0.0, 0.0])
    world = fit_recording(
        replace(recording, world_T_camera=pose), evidence, ASSET, RECIPE, HAND, with_pose=False
    ).trajectory
    assert np.allclose(transform(pose, fit.trajectory.hands["right"].keypoints), world.hands["right"].keypoints)
    spread = world.hands["right"].keypoint_covariance
    assert np.linalg.eigvalsh(spread).min() > 0 and np.sqrt(np.trace(spread, axis1=2, axis2=3)).mean() < 0.02
    assert world.object_covariance.shape == (len(recording), 6, 6)
    assert np.sqrt(world.object_covariance[:, :3, :3].trace(axis1=1, axis2=2)).max() < 0.01
    assert fit.trajectory.provenance["frame"] == "camera" and world.provenance["frame"] == "world"


def test_an_object_that_turns_over_between_two_frames_is_told(fit):
    found = fit.trajectory
    assert turn_notes(found, ASSET.symmetry) == []
    pose = found.object_pose.copy()
    for turn in ([0.0, 0.0, np.pi], [0.0, 0.0, np.pi / 2]):
        pose[5:] = compose(found.object_pose[5:], make_pose([0, 0, 0], rotvec_to_quat(turn)))
        told = turn_notes(replace(found, object_pose=pose), ASSET.symmetry)
        like_it = reduced_angle(ASSET.symmetry, rotvec_to_quat(turn), np.array([1.0, 0, 0, 0])) < 0.1
        assert not told if like_it else "degrees from frame 4 to 5, the first of 1" in told[0]


def test_a_hidden_object_is_carried_by_the_hand(clip):
    """No mask and no depth of it for the last frames, in which it moves on."""
    recording, evidence, _ = clip
    labels = evidence.labels.copy()
    labels[10:][labels[10:] == 2] = 0
    hidden = fit_recording(recording, replace(evidence, labels=labels), ASSET, RECIPE, HAND, with_pose=False)
    moved = np.linalg.norm(evidence.object_pose[-1, :3] - evidence.object_pose[9, :3])
    off = np.linalg.norm(hidden.trajectory.object_pose[-1, :3] - evidence.object_pose[-1, :3])
    assert off < 0.4 * moved
    assert not hidden.tracked[-1].object_seen


@pytest.mark.parametrize("smooth", [0, 10])
def test_a_hidden_hand_is_carried_by_what_it_holds(clip, smooth):
    """No keypoints and no mask of it for the last frames, in which it moves on with the object."""
    recording, evidence, points = clip
    labels, seen = evidence.labels.copy(), evidence.keypoints["right"].copy()
    labels[10:][labels[10:] == LABELS["right"]] = 0
    seen[10:, :, 3:5], seen[10:, :, 5] = np.nan, 0.0
    blind = replace(evidence, labels=labels, keypoints={"right": seen})
    recipe = RECIPE.changed([f"solver.smooth={smooth}"])
    hidden = fit_recording(recording, blind, ASSET, recipe, HAND, with_pose=False)
    moved = np.linalg.norm(points[-1] - points[9], axis=1).mean()
    off = np.linalg.norm(hidden.trajectory.hands["right"].keypoints[-1] - points[-1], axis=1).mean()
    assert off < 0.4 * moved and not hidden.tracked[-1].hand_seen


def test_a_jump_is_noticed_and_taken_up_again(clip):
    """The object turned by 90 degrees about the view from one frame to the next, far from any candidate."""
    recording, evidence, _ = clip
    start, jump = frames_of(recording, evidence, "right", False)[:4], tiny_clip(12, seed=7)
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    for frame in start:
        tracker.step(frame)
    state = tracker.hypotheses[0].state
    turned = state.rotation @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    tracker.hypotheses = [
        replace(tracker.hypotheses[0], state=state.with_object(turned, state.position + [0, 0.15, 0]))
    ]
    tracker.young = 0
    last = [tracker.step(frame) for frame in frames_of(jump[0], jump[1], "right", False)][-1]
    off = transform(last.state.object_pose(), MODEL.centre) - transform(jump[1].object_pose[-1], MODEL.centre)
    assert np.linalg.norm(off) < 0.005 and not last.object_lost


def test_a_measured_pose_is_where_the_object_starts(clip):
    recording, evidence, _ = clip
    frame = frames_of(recording, evidence, "right")[0]
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    [(_, x)] = tracker._objects(tracker.view(frame), frame)
    assert np.allclose(x, evidence.object_pose[0, :3])


def test_a_frame_that_nothing_changed_in_takes_fewer_steps(clip, monkeypatch):
    frames, linearised = frames_of(*clip[:2], "right", False), []
    monkeypatch.setattr(
        "dexhot.fitting.tracker.normal_equations", lambda *a: linearised.append(a[2]) or normal_equations(*a)
    )
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    for frame in [frames[0]] * 15:
        linearised.clear()
        tracker.step(frame)
    still = len(linearised)
    assert linearised[-1] == 1.0 and 2 <= still < RECIPE.solver["iterations"]  # at the narrow scale
    linearised.clear()
    tracker.step(frames[-1])
    assert still < len(linearised) <= RECIPE.solver["iterations"]


def test_the_shape_is_learnt_once_after_a_second(clip):
    recording, evidence, _ = clip
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE)
    shapes = []
    for t, frame in enumerate(frames_of(recording, evidence, "right", False)[:15]):
        tracker.step(replace(frame, time=0.1 * t))
        shapes.append(tracker.person.shape)
    assert not shapes[8].any() and shapes[12].any() and np.array_equal(shapes[12], shapes[14])


def test_no_hand_no_state_and_a_later_hand_is_found(clip):
    recording, evidence, points = clip
    unseen = replace(frames_of(recording, evidence, "right", False)[0], confidence=np.zeros(21))
    assert HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE).step(unseen) is None
    seen = evidence.keypoints["right"].copy()
    seen[:3, :, 3:5], seen[:3, :, 5] = np.nan, 0.0
    late = fit_recording(recording, replace(evidence, keypoints={"right": seen}), ASSET, RECIPE, HAND, with_pose=False)
    assert not late.trajectory.hands["right"].confidence[:3].any()
    assert np.linalg.norm(late.trajectory.hands["right"].keypoints[0] - points[0], axis=1).mean() < 0.015  # backward
    assert np.linalg.norm(late.trajectory.hands["right"].keypoints[8] - points[8], axis=1).mean() < 0.012
    none = replace(evidence, keypoints={"right": np.full_like(seen, np.nan)})
    with pytest.raises(ClipError, match="no frame of tiny shows"):
        fit_recording(recording, none, ASSET, RECIPE, HAND)


def test_a_guess_of_relative_depth_shapes_a_hand_that_pixels_leave_open(clip):
    """Of the keypoints alone, without depth or masks, with and without the guess, and with none of its term."""
    recording, evidence, points = clip
    blind = replace(recording, depth=np.zeros_like(recording.depth))
    plain = replace(evidence, labels=np.zeros_like(evidence.labels))
    z = evidence.keypoints["right"][..., 2]
    guess = replace(plain, relative_depth={"right": (z / z[:, :1] - 1.0) * CAMERA.fx})

    def shape_error(given, recipe=RECIPE):
        found = fit_recording(blind, given, None, recipe, HAND).trajectory.hands["right"].keypoints
        z, true = found[..., 2], points[..., 2]
        return np.abs((z - z.mean(1, keepdims=True)) - (true - true.mean(1, keepdims=True))).mean()

    without = shape_error(plain)
    assert shape_error(guess) < 0.7 * without
    assert shape_error(guess, RECIPE.without(["relative_depth"])) == without


def test_without_depth_a_keypoint_far_off_is_no_outlier(clip):
    """A finger that moves fast in a video; beside depth, which shows where it is, such a keypoint counts little."""
    recording, evidence, _ = clip
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    frame = frames_of(recording, evidence, "right", False)[0]
    tracker.step(frame)
    state = tracker.hypotheses[0].state
    scene, pulls = HandObjectScene(HAND.shaped(SHAPE), MODEL, state), []
    pixels = CAMERA.project(scene.hand.keypoints(tracker.table))
    for depth in (frame.depth, np.zeros_like(frame.depth)):
        view = replace(tracker.view(replace(frame, depth=depth)), confidence=np.ones(21))
        for far in (0.5, 60.0):
            view.pixels = pixels + far
            [term] = [t for t in all_terms(tracker, view, state) if isinstance(getattr(t, "term", None), Keypoints2D)]
            rows = term.rows(scene)
            pulls.append(np.abs(rows.weight * rows.residual).max())
    near, outlier, alone, fast = pulls
    assert fast > 8 * outlier and 1.5 * near < alone < 3 * near


def test_evidence_of_some_frames_says_so(clip):
    recording, evidence, _ = clip
    pose, time, labels = evidence.object_pose[:4], evidence.time[:4], evidence.labels[:4]
    hands = {side: seen[:4] for side, seen in evidence.keypoints.items()}
    few = Evidence(evidence.name, time, labels, hands, {}, pose)
    with pytest.raises(ClipError, match=f"has 4 of the {len(recording)} frames of the recording"):
        frames_of(recording, few, "right")


def test_evidence_of_another_recording_or_side_is_refused(clip):
    recording, evidence, _ = clip
    with pytest.raises(ClipError, match="not of the recording"):
        frames_of(recording, replace(evidence, labels=evidence.labels[:, ::2]), "right")
    with pytest.raises(ClipError, match="no keypoints of a left hand"):
        frames_of(recording, evidence, "left")


def test_zero_depth_leaves_the_hand_to_its_pixels(clip):
    recording, evidence, points = clip
    blind = replace(recording, depth=np.zeros_like(recording.depth))
    found = fit_recording(blind, evidence, None, RECIPE, HAND, with_pose=False).trajectory
    x = found.hands["right"].keypoints
    assert np.isfinite(x).all() and found.object_name == "none"
    assert np.linalg.norm(CAMERA.project(x) - CAMERA.project(points), axis=-1).mean() < 6.0


def test_the_forearm_is_left_out(clip):
    """A label of the hand that goes on behind the wrist gives no points there."""
    recording, evidence, points = clip
    labels, depth = evidence.labels.copy(), recording.depth.copy()
    wrist, knuckle = CAMERA.project(points[0, 0]), CAMERA.project(points[0, 9])
    along = (wrist - knuckle) / np.linalg.norm(wrist - knuckle)
    for s in range(10, 70):
        u, v = np.round(wrist + s * along).astype(int)
        if 12 <= u < 308 and 12 <= v < 228:
            labels[0, v - 8 : v + 8, u - 8 : u + 8], depth[0, v - 8 : v + 8, u - 8 : u + 8] = 1, 600
    frame = frames_of(replace(recording, depth=depth), replace(evidence, labels=labels), "right", False)[0]
    frame.confidence[:] = 1.0
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    cloud = CAMERA.project(tracker.view(frame).hand_cloud)
    assert ((labels[0] == 1).sum() > (evidence.labels[0] == 1).sum() + 300) and len(cloud) > 50
    assert ((cloud - wrist) @ along).max() < 25


def all_terms(tracker: HandObjectTracker, view, near) -> list:
    """What the recipe asks for in a frame of the first camera."""
    return tracker.terms_of(tracker.cameras[0], view, near) + tracker.unseen_terms(view, near)


def turned_over(state: SceneState, angle: float = np.pi / 2) -> SceneState:
    """The object turned about its middle to where it does not belong."""
    turn = quat_to_matrix(rotvec_to_quat(np.array([0.0, 0.0, angle])))
    shift = state.rotation @ (MODEL.centre - turn @ MODEL.centre)
    return state.with_object(state.rotation @ turn, state.position + shift)


@pytest.mark.parametrize("name", RECIPE.terms)
def test_each_term_of_the_recipe_is_minimised(clip, name):
    """A name that nothing is built for would be dropped without a word."""
    recording, evidence, _ = clip
    frame = frames_of(recording, evidence, "right", False)[0]
    whole, without = (
        HandObjectTracker(HAND, MODEL, CAMERA, recipe, shape=SHAPE) for recipe in (RECIPE, RECIPE.without([name]))
    )
    whole.step(frame)
    table, flat = np.array([0.0, -1.0, 0.0, 0.5]), np.zeros(21)
    near, view = whole.hypotheses[0].state, replace(whole.view(frame), ground=table, relative_depth=flat)
    assert len(all_terms(whole, view, near)) == len(all_terms(without, view, near)) + 1 == len(RECIPE.terms)


def test_a_fast_hand_starts_at_its_keypoints(clip):
    """12 cm from one frame to the next: the surface is out of reach, the measured keypoints are not."""
    recording, evidence, _ = clip
    frame = frames_of(recording, evidence, "right", False)[0]
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    tracker.step(frame)
    hand, view = tracker.hypotheses[0].state.hand, tracker.view(frame)
    far = replace(hand, translation=hand.translation + [0.1, -0.05, 0.04])
    started = tracker._hand_start(far, view)
    assert np.linalg.norm(started.translation - hand.translation) < 0.02  # hidden joints lie behind what is measured
    assert tracker._hand_start(hand, view) is hand  # noise moves nothing


def test_what_the_cloud_does_not_tell_stays_with_the_hand(clip, monkeypatch):
    """A touched object's temporal term keeps to where the hand carries it, not to where steps onto the cloud ended."""
    recording, evidence, _ = clip
    frames = frames_of(recording, evidence, "right", False)
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    for frame in frames[:10]:
        tracker.step(frame)
    one, view = tracker.hypotheses[0], tracker.view(frames[10])
    carried = object_start.carried(one.state, tracker._predicted(one), tracker.person.joints[0])
    given, solve = [], tracker.solve
    monkeypatch.setattr(tracker, "solve", lambda *args: given.append(args) or solve(*args))
    tracker._advance(one, view, frames[10], True)
    [(start, _, near, *_)] = given
    assert np.array_equal(near.rotation, carried[0]) and np.array_equal(near.position, carried[1])
    assert not np.array_equal(start.rotation, near.rotation)


def test_a_pose_that_looks_alike_must_fit_better_several_times(clip, monkeypatch):
    """One noisy look turns nothing over; several do. What never fits better is ruled out, and no doubt remains."""
    recording, evidence, _ = clip
    frame = frames_of(recording, evidence, "right", False)[0]
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    tracker.rivals = [(np.eye(3), np.zeros(3))]
    assert tracker.step(frame).object_ambiguous  # nothing is known yet
    view, tracker.frames, tracker.young = tracker.view(frame), 0, 0
    tracker.hypotheses = tracker.hypotheses[:1]
    gain = 0.04
    wrong = turned_over(tracker.hypotheses[0].state)
    pose = wrong.rotation, wrong.position
    monkeypatch.setattr(object_start, "rival_gains", lambda *_: (np.array([gain]), [pose]))
    tracker.hypotheses[0].doubts = np.zeros(1)
    for looks in range(1, 4):
        tracker._mistaken(view)
        assert (tracker.young > 0) == (looks == 3)
    gain, tracker.young, tracker.hypotheses[0].doubts = -0.03, 0, np.zeros(1)
    for _ in range(3):
        tracker._mistaken(view)
    assert tracker.hypotheses[0].doubts[0] < RULED_OUT


def test_frames_before_a_change_of_mind_are_fitted_again_if_that_explains_them(clip, fit):
    """The right pose, found late, goes back to the first frame; a wrong one, taken late, does not."""
    recording, evidence, _ = clip
    frames = frames_of(recording, evidence, "right", False)

    def new():
        return HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)

    def errors(tracked):
        truth = evidence.object_pose[:, 3:]
        q = np.stack([one.state.object_pose()[3:] for one in tracked])
        return np.degrees(reduced_angle(ASSET.symmetry, q, truth))

    late = [replace(one, state=turned_over(one.state)) if t < 6 else one for t, one in enumerate(fit.tracked)]
    mend(late, frames, new, MODEL)  # told by the flip from frame 5 to 6
    assert errors(late).max() < 6.0 and late[0].seconds > fit.tracked[0].seconds
    wrong = [replace(one, state=turned_over(one.state)) if t > 9 else one for t, one in enumerate(fit.tracked)]
    wrong[10] = replace(wrong[10], switched=True, settled=True)
    mend(wrong, frames, new, MODEL)
    assert errors(wrong)[:8].max() < 6.0


@pytest.mark.parametrize(("worse", "mended"), [(5.0, True), (30.0, False)])
def test_no_leap_is_left_for_a_slightly_better_fit(clip, fit, monkeypatch, worse, mended):
    """Six frames that are turned over cost less each, by `worse`: that they are followed by a leap counts as well."""
    recording, evidence, _ = clip
    frames = frames_of(recording, evidence, "right", False)
    right = fit.tracked[0].state.object_pose()[None, 3:]

    def cost(tracker, state, view):
        return worse if reduced_angle(ASSET.symmetry, state.object_pose()[None, 3:], right)[0] < 1.0 else 0.0

    monkeypatch.setattr(HandObjectTracker, "cost", cost)
    late = [replace(one, state=turned_over(one.state)) if t < 6 else one for t, one in enumerate(fit.tracked)]
    mend(late, frames, lambda: HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE), MODEL)
    assert (cost(None, late[0].state, None) > 0.0) == mended


@pytest.mark.parametrize(("rate", "distance", "leapt"), [(30, 0.12, {1}), (15, 0.12, set()), (60, 0.06, {1})])
def test_a_leap_is_a_speed_at_any_frame_rate(clip, fit, rate, distance, leapt):
    recording, evidence, _ = clip
    frames = [replace(one, time=t / rate) for t, one in enumerate(frames_of(recording, evidence, "right", False)[:2])]
    first = fit.tracked[0]
    state = first.state.with_object(first.state.rotation, first.state.position + [distance, 0.0, 0.0])
    assert leaps([first, replace(first, state=state)], frames, MODEL) == leapt


def test_the_table_that_a_camera_fills_in_is_not_the_hand(clip):
    """Where a hand is too bright to be measured, cameras fill its pixels in with what is around it."""
    recording, evidence, points = clip
    frame = frames_of(recording, evidence, "right", False)[0]
    tracker = HandObjectTracker(HAND, MODEL, CAMERA, RECIPE, shape=SHAPE)
    far = float(points[0, :, 2].max()) + 0.05
    tracker.cameras[0].desk.plane, tracker.cameras[0].desk.found = Plane(np.array([0.0, 0.0, -1.0]), -far), 0
    filled = replace(frame, depth=np.where(frame.labels == 1, np.uint16(1e3 * far - 4), frame.depth))
    whole, seen = tracker.view(frame), tracker.view(filled)
    assert len(whole.hand_cloud) > 100 and (whole.depth > 0).sum() > 10
    assert not len(seen.hand_cloud) and not seen.depth.any() and len(seen.object_cloud) == len(whole.object_cloud)
    assert not seen.measured[seen.labels == 1].any() or seen.measured[seen.labels == 1].min() < far - 0.02
    assert seen.ground == pytest.approx([0.0, 0.0, -1.0, far])  # a height of 0 at its depth, more before it
    tracker.step(filled)
    [ground] = [term for term in all_terms(tracker, seen, tracker.hypotheses[0].state) if isinstance(term, Ground)]
    assert ground.plane is seen.ground
    keypoints = tracker.person.posed(tracker.hypotheses[0].state.hand).keypoints(tracker.table)
    assert keypoints[:, 2].max() < far + 0.005  # the ground holds it above the table
