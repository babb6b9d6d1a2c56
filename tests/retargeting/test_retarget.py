"""The pieces of retargeting a clip: the carried palm, the squeeze, and what the solver is asked for."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.geometry.poses import compose, inverse
from dexhot.geometry.rotations import (
    mean_quat,
    quat_angle,
    quat_conjugate,
    quat_multiply,
    rotvec_to_quat,
    xyz_angles_to_quat,
)
from dexhot.retargeting import retarget as module
from dexhot.retargeting.contact_plan import ContactOptions, ContactPlan, motion_interval
from dexhot.retargeting.resampling import resample
from dexhot.retargeting.retarget import (
    RetargetOptions,
    _load,
    carried_palm,
    plain_options,
    reference_kind,
    retarget,
    squeeze,
)
from dexhot.retargeting.summary import tip_positions
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import load_hand
from dexhot.robots.servos import servo

HAND = load_hand("leap_right")
SERVO = servo("leap", HAND.joint_names)


@pytest.fixture(scope="module")
def solved(lift):
    """The last problem that the solver was given, and the reference."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        solve = module.solve_clip
        patch.setattr(module, "solve_clip", lambda m, problem, *rest: asked.append(problem) or solve(m, problem, *rest))
        reference = retarget(lift[0], HAND, lift[1])
    return asked[-1], reference


def test_while_the_object_moves_the_palm_turns_with_it_at_the_mean_angle():
    frames, start, end = 120, 60, 80
    turn = np.zeros((frames, 3))
    turn[start : end + 1, 2] = np.linspace(0, 0.8, end + 1 - start)
    turn[end + 1 :, 2] = 0.8
    pose = np.concatenate([np.zeros((frames, 3)), rotvec_to_quat(turn)], axis=1)
    palm = np.tile(rotvec_to_quat([0.3, 0.0, 0.0]), (frames, 1))  # measured: it does not turn at all
    options = ContactOptions(early=14, fade=30)
    found = carried_palm(palm, pose, start, end, options)
    relative = quat_multiply(quat_conjugate(pose[:, 3:]), found)
    assert quat_angle(relative[start - 14 : end + 1], relative[start]).max() < 1e-9
    middle = quat_multiply(quat_conjugate(pose[start + 10, 3:]), palm[0])  # the mean of a steady turn
    assert quat_angle(relative[start], middle) < 1e-9
    assert quat_angle(found[: start - 14 - 30 + 1], palm[0]).max() < 1e-9
    share = quat_angle(found[start - 14 - 15], palm[0]) / quat_angle(found[start - 14], palm[0])
    assert share == pytest.approx(0.5)
    after = quat_angle(found[end + 10], palm[0]) / quat_angle(found[end], palm[0])
    assert after == pytest.approx(2 / 3) and quat_angle(found[end + 30], palm[0]) < 1e-9


@pytest.fixture(scope="module")
def model():
    return HandModel(HAND)


def pressing(force, frames=3) -> ContactPlan:
    forces = np.zeros((frames, 4, 3))
    forces[1] = force
    empty = np.zeros((frames, 4))
    return ContactPlan(np.zeros((frames, 4, 3)), forces, empty, empty.astype(bool), 0, 0, 0)


def test_the_squeeze_is_the_force_through_the_jacobian_over_the_stiffness(model):
    q = np.tile(np.concatenate([np.zeros(6), HAND.nominal]), (3, 1))
    force = np.array([[0.1, 0.2, -0.3], [0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [-0.1, 0.0, 0.2]])
    target = squeeze(model, pressing(force), q, SERVO)
    model.move(q[1])
    torque = np.einsum("kij,ki->j", model.point_jacobian()[:4], force)[6:]
    np.testing.assert_allclose((target - q)[1, 6:], torque / SERVO.kp, atol=1e-12)
    np.testing.assert_array_equal((target - q)[[0, 2]], 0.0)
    np.testing.assert_array_equal((target - q)[:, :6], 0.0)


def test_a_squeeze_beyond_the_motors_is_scaled_as_a_whole(model):
    q = np.tile(np.concatenate([np.zeros(6), 0.5 * (HAND.lower + HAND.upper)]), (3, 1))
    force = np.array([[1.0, 2.0, -3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 2.0]])
    gentle, strong = (squeeze(model, pressing(f * force), q, SERVO)[1, 6:] - q[1, 6:] for f in (0.01, 100.0))
    assert (np.abs(strong) * SERVO.kp).max() == pytest.approx(0.9 * SERVO.torque)
    strong, gentle = strong * SERVO.kp, gentle * SERVO.kp
    np.testing.assert_allclose(strong / np.linalg.norm(strong), gentle / np.linalg.norm(gentle), atol=1e-9)


def test_tips_weigh_five_times_on_their_contacts_from_closing_to_the_end_of_the_motion(solved):
    problem, reference = solved
    start, end = motion_interval(reference.object_pose)
    tasks = reference.contact[start] > 0.2
    assert (reference.grasp_start, reference.grasp_end) == (start, end)
    closed = start - 14
    weight = problem.goal_weight[:, :4]
    np.testing.assert_array_equal(weight[:closed], 1.0)
    np.testing.assert_array_equal(weight[closed : end + 1], np.where(tasks, 5.0, 0.3)[None].repeat(end + 1 - closed, 0))
    np.testing.assert_array_equal(weight[end + 1 :], 1.0)
    assert problem.touching[closed : end + 1, tasks].all() and not problem.touching[:closed].any()


def test_the_prior_is_the_grasp_carried_with_the_object(solved):
    problem, reference = solved
    start, end = reference.grasp_start, reference.grasp_end
    palms = np.concatenate(
        [
            problem.prior[:, :3],
            quat_multiply(reference.base_quat, xyz_angles_to_quat(problem.prior[:, 3:6])),
        ],
        axis=1,
    )
    beside = compose(inverse(reference.object_pose), palms)[start - 14 : end + 1]
    np.testing.assert_allclose(beside[:, :3], np.tile(beside[0, :3], (len(beside), 1)), atol=1e-9)
    assert quat_angle(beside[:, 3:], beside[0, 3:]).max() < 1e-6
    fingers = problem.prior[start - 14 : end + 1, 6:]
    np.testing.assert_array_equal(fingers, np.tile(fingers[0], (len(fingers), 1)))
    np.testing.assert_array_equal(problem.prior[: start - 14, 6:], np.tile(HAND.nominal, (start - 14, 1)))


def test_links_and_far_tips_are_wanted_where_the_human_has_them(solved, lift):
    problem, _ = solved
    keypoints, *_ = resample(lift[0], "right")
    match = module.correspondence(HAND)
    np.testing.assert_allclose(problem.goal[:, 4:], keypoints[:, match.keypoints])
    np.testing.assert_array_equal(problem.goal_weight[:, 4:], match.link_weight)
    assert np.linalg.norm(problem.goal[0, :4] - match.tips(keypoints)[0], axis=1).max() < 0.02


def test_the_weights_of_the_options_reach_the_solver(lift, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "solve_clip", lambda m, problem, q, *rest: asked.append((problem, rest)) or q)
    options = RetargetOptions(palm=0.1, posture=0.2, velocity=0.3, acceleration=0.4, gap=5.0, iterations=7)
    reference = retarget(lift[0], HAND, lift[1], options)
    problem, (iterations, _) = asked[-1]
    np.testing.assert_allclose(problem.prior_weight, [0.0] * 6 + [0.2] * 16)
    np.testing.assert_allclose(problem.velocity_weight, [0.0] * 6 + [0.3] * 16)
    np.testing.assert_allclose(problem.acceleration_weight, [0.4] * 22)
    assert (problem.palm_weight, problem.gap_weight, iterations) == (0.1, 5.0, 7)
    assert reference.joint_names[:6] == ["tx", "ty", "tz", "rx", "ry", "rz"]


def test_without_contacts_the_weights_are_loose(lift, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "smooth_motion", lambda model, q, H, g, *weights: asked.append((q, H, weights)) or q)
    options = RetargetOptions(contact=False, palm=0.1, posture=0.2, velocity=0.3, acceleration=0.4)
    reference = retarget(lift[0], HAND, None, options)
    q, H, (velocity, acceleration) = asked[-1]
    loose = module.LOOSE  # nothing is held
    np.testing.assert_allclose(velocity, [0.0] * 6 + [0.3 * loose] * 16)
    np.testing.assert_allclose(acceleration, [0.4 * loose] * 22)
    stream = module.keypoint_tracker(HAND, reference.base_quat, options)
    assert stream.palm == 0.1 and (stream._change == module.KEPT**2).all()
    np.testing.assert_allclose(stream._posture, [0.0] * 6 + [(0.2 * loose) ** 2] * 16)
    assert q.shape == reference.q.shape and H.shape == (*q.shape, q.shape[1])


def test_without_contacts_a_clip_is_solved_to_a_millimetre(lift):
    keypoints, *_ = resample(lift[0], "right")
    reference = retarget(lift[0], HAND, None, RetargetOptions(contact=False))
    wanted = module.correspondence(HAND).tips(keypoints)
    assert np.linalg.norm(tip_positions(reference, HAND) - wanted, axis=-1).mean() < 0.001


def test_without_contacts_frames_are_smoothed_together_from_one_pass_over_them(lift, monkeypatch):
    keypoints, palm, _ = resample(lift[0], "right")
    shaky = keypoints + np.random.default_rng(0).normal(0.0, 5e-4, keypoints.shape)
    stream, iterations = module.keypoint_tracker(HAND, mean_quat(palm)), []
    iterate = stream._iterate
    monkeypatch.setattr(stream, "_iterate", lambda *a: iterations.append(1) or iterate(*a))
    clip = module.track_keypoints(stream, shaky, palm)
    assert len(iterations) < len(clip) + 70  # one linearisation of each frame, and the first frame's start
    wrist = np.concatenate([keypoints[:, 0], palm], axis=1)
    stream.reset()
    frames = np.array([stream.step(*frame) for frame in zip(shaky, wrist)])
    jerk = [np.diff(q[1:, 6:], n=3, axis=0).std() for q in (clip, frames)]
    assert jerk[0] < 0.2 * jerk[1]


def test_plain_retargeting_is_keypoints_onto_keypoints_alone(lift):
    """DexTrack's eq. 5-7: no other retargeting has a smaller sum of squares over all keypoints, equally weighted."""
    clip, asset = lift
    keypoints, *_ = resample(clip, "right")
    match = module.correspondence(HAND)
    wanted = np.concatenate([match.tips(keypoints), keypoints[:, match.keypoints]], axis=1)

    def residual(reference):
        model = HandModel(HAND, match.links, reference.base_quat)
        points = []
        for q in reference.q:
            model.move(q)
            points.append(model.points().copy())
        return np.square(np.array(points) - wanted).sum(axis=(1, 2))

    plain = retarget(clip, HAND, asset, plain_options())
    tips_first = retarget(clip, HAND, None, RetargetOptions(contact=False))
    assert reference_kind(plain) == "plain" and reference_kind(tips_first) == "keypoints"
    assert (residual(plain) < residual(tips_first)).mean() > 0.95 and not plain.contact.any()
    np.testing.assert_array_equal(plain.target, plain.q)
    worse = plain.q + 1e-3 * np.random.default_rng(0).normal(size=plain.q.shape)
    assert residual(replace(plain, q=worse)).mean() > residual(plain).mean()


def test_plain_retargeting_mends_nothing(lift):
    clip, asset = lift
    pose = clip.object_pose.copy()
    pose[:, 2] += 0.012  # in the air
    floating = replace(clip, object_pose=pose)
    assert retarget(floating, HAND, asset).provenance["mended"]
    plain = retarget(floating, HAND, asset, plain_options("dextrack"))
    assert plain.provenance["mended"] == [] and plain.provenance["servo"] == "dextrack"
    np.testing.assert_allclose(plain.object_pose[0, 2], pose[0, 2], atol=1e-9)


def test_every_kind_of_reference_has_a_name(solved):
    assert reference_kind(solved[1]) == "contacts"
    assert reference_kind(replace(solved[1], provenance={})) == "", "older than the entry"
    turned = {"retarget": solved[1].provenance["retarget"] | {"in_hand": True}}
    assert reference_kind(replace(solved[1], provenance=turned)) == "in-hand"


def test_the_palm_starts_where_the_nominal_fingertips_are_about_the_wanted_ones(lift, model):
    keypoints, *_ = resample(lift[0], "right")
    match = module.correspondence(HAND)
    prior = np.zeros((2, 22))
    prior[:, 6:] = HAND.nominal
    tips = match.tips(keypoints)[:2]
    start = module._palm_start(model, prior, tips)
    for t in range(2):
        model.move(np.concatenate([start[t], prior[t, 3:]]))
        np.testing.assert_allclose(model.points()[:4].mean(0), tips[t].mean(0), atol=1e-12)


def test_the_load_of_a_grasp_is_the_worst_that_worlds_v2_draws(lift):
    """Friction 0.5, 30 % more mass, servos 15 % weaker; gravity in the object's frame over the hold."""
    upside_down = np.array([0, 0, 0, 0, 1.0, 0, 0])
    held = np.array([[0, 0, 0, 1.0, 0, 0, 0], upside_down, upside_down])
    load = _load(lift[1], held, SERVO)
    assert load.weight == pytest.approx(9.81 * 1.3 * lift[1].mass) and load.friction == 0.5
    assert load.torque == pytest.approx(np.full(16, 0.9 * 0.85 * 0.2842), rel=1e-3)
    np.testing.assert_allclose(load.directions, [[0, 0, -1], [0, 0, 1], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(load.centre, lift[1].center_of_mass)
    assert _load(replace(lift[1], friction=0.4), held, SERVO).friction == pytest.approx(0.25)  # half of nominal
