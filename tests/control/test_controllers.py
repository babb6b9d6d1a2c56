import copy
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.control.controllers import HandState, Kinematic, Playback, Tracker
from dexhot.data.types import WRIST_JOINTS, Demonstration, Reference
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry import single
from dexhot.planning.choose import make_controller
from dexhot.robots.kinematics.wrist import palm_to_wrist, wrist_to_palm
from dexhot.simulation.physics import load_physics
from dexhot.tracking.object_state import ObjectState

PHYSICS = load_physics()
T = 120


def make_reference() -> Reference:
    """A wrist that moves along x at 0.3 m/s; the object stands at (0.4, 0, 0.05)."""
    q = np.zeros((T, 22))
    q[:, 0] = 0.3 * np.arange(T) / 60
    q[:, 5] = 0.5
    pose = np.tile([0.4, 0.0, 0.05, 1.0, 0, 0, 0], (T, 1))
    names = [*WRIST_JOINTS, *(f"f{i}" for i in range(16))]
    base = np.array([1.0, 0, 0, 0])
    return Reference("r", "leap_right", names, base, q, q.copy(), np.zeros((T, 4)), "o", pose, 30, T - 1)


def make_demonstration() -> Demonstration:
    r = make_reference()
    return Demonstration("d", r, Kinematic(r, PHYSICS).targets, r.q, r.object_pose, "1")


def seen(offset=(0.0, 0.0, 0.0), yaw: float = 0.0, stamp: float = 0.0) -> ObjectState:
    pose = np.concatenate([np.add([0.4, 0.0, 0.05], offset), single.exp((0.0, 0.0, yaw))])
    return ObjectState(stamp, pose, np.zeros(6), np.zeros((12, 12)))


HAND = HandState(0.0, np.zeros(22))


def test_wrist_joints_and_palm_pose_are_inverse():
    base = np.array(single.exp((0.3, -0.2, 1.0)))
    wrist = np.array([0.1, 0.2, 0.3, 0.4, -0.5, 7.0])
    np.testing.assert_allclose(palm_to_wrist(wrist_to_palm(wrist, base), base, near=wrist), wrist, atol=1e-12)


def test_kinematic_leads_a_moving_target_by_its_servo_lag():
    targets = Kinematic(make_reference(), PHYSICS).targets
    lag = PHYSICS.wrist.translation.kv / PHYSICS.wrist.translation.kp
    np.testing.assert_allclose(targets[50, 0], 0.3 * (51 / 60 + lag), atol=1e-9)


def test_the_servos_lag_is_kv_over_kp():
    servo = PHYSICS.finger("leap_right")
    np.testing.assert_allclose(PHYSICS.servo_lag("leap_right")[6:], servo.kv / servo.kp)
    np.testing.assert_allclose(load_physics("1").servo_lag("leap_right")[6:], 0.05)


def test_playback_gives_the_actions_when_the_object_is_where_it_was():
    controller = Playback(make_demonstration())
    controller.start(seen())
    np.testing.assert_allclose(controller.step(10, seen(), HAND), controller.targets[10], atol=1e-12)


def test_playback_moves_the_wrist_with_the_object_before_the_grasp():
    controller = Playback(make_demonstration())
    controller.start(seen((0.01, -0.02, 0.0)))
    moved = controller.step(10, seen(), HAND) - controller.targets[10]
    np.testing.assert_allclose(moved[:3], [0.01, -0.02, 0.0], atol=1e-12)
    np.testing.assert_allclose(moved[3:], 0.0, atol=1e-12)


def test_playback_turns_the_wrist_about_the_object():
    controller = Playback(make_demonstration())
    controller.start(seen(yaw=0.2))
    before = wrist_to_palm(controller.targets[10][:6], controller.reference.base_quat)
    after = wrist_to_palm(controller.step(10, seen(), HAND)[:6], controller.reference.base_quat)
    origin = np.array([0.4, 0.0, 0.05])
    turn = single.exp((0.0, 0.0, 0.2))
    np.testing.assert_allclose(after[:3] - origin, single.rotate(turn, before[:3] - origin), atol=1e-12)
    np.testing.assert_allclose(after[3:], single.multiply(turn, before[3:]), atol=1e-12)


def test_playback_fades_the_offset_out_one_second_after_the_grasp():
    controller = Playback(make_demonstration(), fade=1.0)
    controller.start(seen((0.01, 0.0, 0.0)))
    shares = [(controller.step(i, seen(), HAND) - controller.targets[i])[0] / 0.01 for i in (30, 60, 90, 100)]
    np.testing.assert_allclose(shares, [1.0, 0.5, 0.0, 0.0], atol=1e-9)


def test_playback_forgets_the_offset_of_an_earlier_clip():
    controller = Playback(make_demonstration())
    controller.start(seen((0.01, 0.0, 0.0)))
    controller.start(seen())
    np.testing.assert_allclose(controller.step(10, seen(), HAND), controller.targets[10], atol=1e-12)


def make_tracker(ramp: float = 0.5, look_ahead: int = 0) -> Tracker:
    tracker = Tracker(Playback(make_demonstration()), PHYSICS, ramp, look_ahead)
    tracker.begin(100.0)
    return tracker


def test_a_tracker_is_silent_before_the_ramp_and_without_a_start():
    tracker = make_tracker(ramp=0.5)
    assert tracker.step(99.4, seen(), HAND) is None
    tracker.stop()
    assert tracker.step(100.0, seen(), HAND) is None


def test_frame_zero_is_at_t0():
    tracker = make_tracker()
    np.testing.assert_allclose(tracker.step(100.0, seen(), HAND), tracker.controller.targets[0])


def test_the_frame_follows_the_stamp_and_not_the_calls():
    tracker = make_tracker()
    tracker.step(100.0, seen(), HAND)
    np.testing.assert_allclose(tracker.step(100.0 + 40.2 / 60, seen(), HAND), tracker.controller.targets[40])


def test_look_ahead_leads_the_index():
    tracker = make_tracker(look_ahead=3)
    np.testing.assert_allclose(tracker.step(100.0, seen(), HAND), tracker.controller.targets[3])


def test_the_last_target_stays():
    tracker = make_tracker()
    np.testing.assert_allclose(tracker.step(200.0, seen(), HAND), tracker.controller.targets[-1])


def test_the_ramp_goes_from_the_measured_pose_to_the_reference():
    hand = HandState(0.0, np.full(22, 0.1))
    tracker = make_tracker(ramp=1.0)
    targets = np.array([tracker.step(99.0 + k / 60, seen(), hand) for k in range(61)])
    lead = PHYSICS.servo_lag("leap_right")
    velocity = np.array([0.3] + [0.0] * 21)
    assert np.abs(targets[0] - hand.q).max() < 0.01
    np.testing.assert_allclose(targets[59], tracker.controller.reference.q[0] + lead * velocity, atol=1e-9)
    assert np.abs(np.diff(targets, axis=0)).max() < 0.05


def test_a_ramp_of_no_time_is_refused():
    with pytest.raises(DexhotError, match="ramp > 0"):
        Tracker(Playback(make_demonstration()), PHYSICS, ramp=0.0, look_ahead=0)


def test_same_inputs_give_the_same_targets():
    def play() -> np.ndarray:
        tracker = make_tracker()
        return np.array([tracker.step(99.5 + k / 60, seen((0.004, 0, 0), 0.1), HAND) for k in range(100)])

    assert (play() == play()).all()


def test_an_unknown_controller_lists_the_known_ones():
    with pytest.raises(NotFoundError, match="kinematic, mpc, planned, playback"):
        make_controller("best", make_reference(), "", PHYSICS, SimpleNamespace())


def test_a_controller_does_not_change_its_demonstration():
    demonstration = make_demonstration()
    actions = copy.deepcopy(demonstration.actions)
    controller = Playback(demonstration)
    controller.start(seen((0.01, 0, 0)))
    for i in range(T):
        controller.step(i, seen(), HAND)
    assert (demonstration.actions == actions).all()
