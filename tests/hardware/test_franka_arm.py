"""The arm's driver over the robot's own protocol, on a simulated FR3 in another process, and what can befall it."""

import os
import queue
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.errors import DexhotError, MissingExtraError
from dexhot.hardware.franka.arm import FrankaArm
from dexhot.hardware.franka.clock_watch import ClockWatch
from dexhot.hardware.franka.limits import fr3_limits
from dexhot.hardware.franka.load import hand_load
from dexhot.hardware.franka.settings import ArmError, ArmSettings
from dexhot.hardware.franka.simulator import ArmProcess, Torques, _quit_on_ctrl_c
from dexhot.robots.robot_hand import load_hand

STILL = np.zeros(7)
PATIENT = {"realtime": False, "command_timeout": 0.5, "frozen_timeout": 0.9}  # a machine that does other things too


def eventually(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    return bool(condition())


def drive(arm: FrankaArm, goal: np.ndarray, tolerance: float = 0.02, seconds: float = 60.0) -> bool:
    """Command `goal` until the arm is there."""

    def there() -> bool:
        arm.write(goal, STILL, STILL)
        return np.abs(arm.read().q - goal).max() < tolerance

    return eventually(there, seconds)


@pytest.fixture(scope="module")
def process():
    with ArmProcess() as running:
        yield running


@pytest.fixture
def simulated(process):
    """A robot that runs, whatever the last test did to it."""
    yield process
    process.thaw()
    if process.lines.popen.poll() is not None:
        process.start()


@pytest.fixture
def arm(simulated):
    with FrankaArm(simulated.address, ArmSettings(hand="", **PATIENT)) as connected:
        yield connected


def test_connecting_sets_load_and_thresholds_and_moves_nothing(simulated):
    load = hand_load(load_hand("leap_right"))
    with FrankaArm(simulated.address, ArmSettings(**PATIENT)) as arm:
        assert np.isfinite(arm.read().q).all()
        state = simulated.state()
    assert state["motion"] == 0
    assert state["load"] == pytest.approx(0.746)
    assert state["com"] == pytest.approx(load.com)
    assert np.reshape(state["inertia"], (3, 3)) == pytest.approx(load.inertia)
    assert state["collision"] == {
        "torque": list(ArmSettings.collision_torque),
        "force": list(ArmSettings.collision_force),
    }


def test_the_hands_inertia_is_a_rigid_bodys():
    load = hand_load(load_hand("leap_right"))
    smallest, middle, largest = np.linalg.eigvalsh(load.inertia)
    assert smallest > 0 and largest < smallest + middle
    assert 0.0 < load.com[2] < 0.15  # in front of the flange


def test_commands_move_the_arm(arm):
    arm.hold()
    goal = arm.read().q + 0.1
    assert drive(arm, goal), arm.read().q - goal
    assert arm.counts["commands"] > 0


def test_the_unchanged_franky_sim_is_driven_too():
    address = f"127.3.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    command = [Path(sysconfig.get_path("scripts")) / "franky-sim", "--simulator", "mujoco", "--hostname", address]
    stock = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert any("Connect to" in line for line in stock.stdout)
        with FrankaArm(address, ArmSettings(hand="", **PATIENT)) as arm:
            arm.hold()
            assert drive(arm, arm.read().q - 0.1)
    finally:
        stock.kill()
        stock.communicate()


def test_commands_need_a_hold_before_them(arm):
    with pytest.raises(ArmError, match="hold"):
        arm.write(arm.read().q, STILL, STILL)


def test_a_hold_stays_where_the_arm_is(arm):
    before = arm.read().q
    arm.hold()
    begin = arm.link.state().time.to_msec()
    assert eventually(lambda: arm.link.state().time.to_msec() > begin + 500)
    assert np.abs(arm.read().q - before).max() < 0.02


def test_when_commands_stop_the_arm_comes_to_rest(arm):
    arm.hold()
    arm.write(arm.read().q, np.full(7, 0.3), STILL)
    assert eventually(lambda: arm.counts["silences"] == 1)
    assert eventually(lambda: np.abs(arm.read().qd).max() < 0.01 and np.abs(arm.setpoint.v).max() < 1e-3)
    assert arm.fault == ""


def test_a_command_that_is_not_finite_is_refused_and_the_arm_goes_on(arm):
    arm.hold()
    goal = arm.read().q.copy()
    for place in range(3):
        command = [goal, STILL.copy(), STILL.copy()]
        command[place] = np.full(7, np.nan)
        with pytest.raises(DexhotError, match="not finite"):
            arm.write(*command)
    assert arm.read().q == pytest.approx(goal, abs=0.02)


def test_commands_beyond_the_arm_s_limits_are_reported(arm):
    arm.hold()
    goal = arm.read().q + 0.3 * (np.arange(7) == 5)

    def told() -> bool:
        arm.write(goal, STILL, STILL)
        return "behind" in arm.warnings

    assert eventually(told)
    assert "fr3_joint6 lagged its commands by" in arm.warnings["behind"] and "speed:=" in arm.warnings["behind"]


def test_no_reference_beyond_the_limits_goes_to_the_robot(simulated, monkeypatch):
    sent = []
    with FrankaArm(simulated.address, ArmSettings(hand="", divergence=10.0, **PATIENT)) as arm:
        arm.hold()
        send = arm.link.send
        monkeypatch.setattr(arm.link, "send", lambda q, qd, effort: (sent.append((q, qd)), send(q, qd, effort)))
        middle = arm.read().q
        for sign in (1, -1, 1):
            for _ in range(20):
                arm.write(middle + sign * 20.0, sign * np.full(7, 50.0), STILL)
                time.sleep(0.016)
    q, v = (np.array(values) for values in zip(*sent))
    limits = fr3_limits()
    assert len(q) > 10
    assert (q >= limits.lower).all() and (q <= limits.upper).all()
    assert (np.abs(v) <= limits.velocity + 1e-9).all()
    assert min(arm.setpoint.limited[kind] for kind in ("position", "velocity")) > 0


def test_a_reflex_is_a_fault_that_only_recover_ends(arm, simulated):
    arm.hold()
    goal = arm.read().q
    simulated.reflex()
    assert eventually(lambda: arm.fault)
    assert "reflex" in arm.fault
    arm.hold()
    for call in (arm.read, lambda: arm.write(goal, STILL, STILL)):
        with pytest.raises(ArmError, match="reflex"):
            call()
    assert simulated.state()["motion"] == 0
    arm.recover()
    arm.hold()
    assert drive(arm, goal - 0.05)


def test_a_reflex_is_named_though_the_mode_shows_it_first(arm, simulated, monkeypatch):
    arm.hold()
    monkeypatch.setattr(type(arm.link), "in_control", True)  # franky has not yet received the end of the motion
    simulated.reflex()
    assert eventually(lambda: arm.fault)
    assert "is in mode Idle" in arm.fault and "reflex" in arm.fault


def test_an_arm_that_does_not_let_itself_be_controlled_is_a_fault_that_recover_ends(arm, monkeypatch):
    def refused(q):
        raise ArmError("the arm is in mode Reflex")

    with monkeypatch.context() as patched:
        patched.setattr(arm.link, "start", refused)
        with pytest.raises(ArmError, match="mode Reflex"):
            arm.hold()
    assert "mode Reflex" in arm.fault
    arm.recover()
    arm.hold()
    assert drive(arm, arm.read().q - 0.05)


def test_a_frozen_controller_is_a_fault_by_the_robots_own_time(simulated):
    settings = ArmSettings(hand="", realtime=False, frozen_timeout=0.1, connect_timeout=1.0)
    with FrankaArm(simulated.address, settings) as arm:
        while True:
            arm.hold()
            if eventually(lambda: arm.counts["silences"] or arm.link.state().time.to_msec() > 500, 5) and not arm.fault:
                break
            arm.recover()  # the simulation itself was starved for 100 ms
        simulated.freeze()
        assert eventually(lambda: arm.fault)
        assert "clock has not advanced" in arm.fault
        with pytest.raises(ArmError, match="does not respond"):
            arm.recover()
        assert arm.fault
        simulated.thaw()
        assert eventually(lambda: recovers(arm))
        assert np.isfinite(arm.read().q).all()


def recovers(arm: FrankaArm) -> bool:
    try:
        arm.recover()
    except ArmError:
        return False
    return True


def test_a_robot_that_goes_is_a_fault_and_one_that_comes_back_is_a_new_connection(arm, simulated):
    arm.hold()
    simulated.kill()
    assert eventually(lambda: arm.fault)
    with pytest.raises(ArmError, match="no Franka arm at"):
        arm.recover()
    assert arm.fault
    old = arm._link
    simulated.start()
    arm.recover()
    assert arm.link is not old
    arm.hold()
    assert drive(arm, arm.read().q + 0.05)


def test_an_arm_that_does_not_follow_is_let_go(simulated):
    with FrankaArm(simulated.address, ArmSettings(hand="", divergence=0.01, **PATIENT)) as arm:
        arm.hold()
        goal = arm.read().q + 1.0

        def fails() -> bool:
            if not arm.fault:
                try:
                    arm.write(goal, STILL, np.full(7, -20.0))
                except ArmError:
                    return True
            return bool(arm.fault)

        assert eventually(fails)
        assert "has a tracking error of" in arm.fault
        assert eventually(lambda: not arm.link.in_control)


def test_a_thread_that_fails_does_not_leave_the_tracker_running(arm, monkeypatch):
    arm.hold()

    def broken(*reference):
        raise ValueError("surprise")

    monkeypatch.setattr(arm.link, "send", broken)
    assert eventually(lambda: arm.fault)
    assert "surprise" in arm.fault
    assert eventually(lambda: not arm.link.in_control)


def test_no_more_torque_is_asked_for_than_the_joints_have():
    arm, rng = FrankaArm("somewhere"), np.random.default_rng(0)
    for scale in (0.01, 0.1, 0.35):
        arm.setpoint.reset(rng.uniform(-1, 1, 7))
        q, qd = arm.setpoint.q + rng.uniform(-scale, scale, 7), rng.uniform(-2, 2, 7)
        arm._effort = rng.uniform(-1, 1, 7) * arm.torque
        asked = arm.stiffness * (arm._bearable(q, qd) - q) + arm.damping * (arm.setpoint.v - qd) + arm._effort
        assert (np.abs(asked) <= 0.8 * arm.torque + 1e-9).all()
    arm._effort = STILL
    assert arm._bearable(arm.setpoint.q - 0.01, STILL) == pytest.approx(arm.setpoint.q)


def test_a_bad_network_is_reported_once_the_fraction_is_meaningful():
    arm = FrankaArm("somewhere")
    arm._link = SimpleNamespace(obeys=lambda state: True)
    arm.setpoint.reset(STILL)
    told = []
    for cycles, share in ((10, 0.1), (500, 0.5), (500, 1.0)):  # a robot begins to count with the first command
        arm._controlled = cycles
        arm._judge(SimpleNamespace(q=STILL, control_command_success_rate=share))
        told.append(arm.warnings.get("network"))
    assert told == [None, "only 50 % of the control commands reach the arm in time", None]


def test_a_simulated_arm_remembers_the_worst_it_was_asked_for():
    heard = Torques()
    for number, value in ((1, 5.0), (2, 5.5), (4, 3.5), (100, -60.0)):  # 100: another motion
        heard.see(number, (value, *STILL[1:]))
    assert heard.largest.tolist() == [60.0, *STILL[1:]]
    assert heard.steep.tolist() == [1.0, *STILL[1:]]
    heard.see(101, (float("nan"), *STILL[1:]))
    assert heard.largest[0] == heard.steep[0] == float("inf")


def test_an_arm_that_is_not_there_is_reported(simulated):
    with pytest.raises(ArmError, match=r"no Franka arm at 127\.0\.250\.1"):
        FrankaArm("127.0.250.1", ArmSettings(realtime=False)).connect()
    with pytest.raises(ArmError, match="not connected"):
        FrankaArm("127.0.250.1").read()


@pytest.mark.parametrize("realtime", [True, False])
def test_a_real_time_kernel_is_required_unless_disabled(monkeypatch, realtime):
    from dexhot.hardware.franka import link

    asked = []

    def robot(address, realtime_config):
        asked.append(realtime_config)
        raise link.franky.RealtimeException("no real-time kernel")

    monkeypatch.setattr(link.franky, "Robot", robot)
    with pytest.raises(ArmError, match="real-time"):
        FrankaArm("somewhere", ArmSettings(realtime=realtime)).connect()
    config = link.franky.RealtimeConfig
    assert asked == [config.Enforce if realtime else config.Ignore]


def test_without_franky_the_extra_is_named(monkeypatch):
    for name in ("dexhot.hardware.franka.link", "dexhot.hardware.franka.sdk"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "franky", None)
    with pytest.raises(MissingExtraError, match="hardware"):
        FrankaArm("somewhere").connect()


def test_a_robot_that_leaves_its_mode_is_not_obeyed_any_more():
    """The control loop of franky may still run then."""
    from dexhot.hardware.franka.link import ArmLink, franky

    arm = FrankaArm("somewhere")
    arm._link = SimpleNamespace(obeys=ArmLink.obeys, join=lambda timeout: "")
    arm.setpoint.reset(STILL)
    for mode in franky.RobotMode.__members__.values():
        state = SimpleNamespace(q=STILL, control_command_success_rate=1.0, robot_mode=mode)
        if mode == franky.RobotMode.Move:
            arm._judge(state)
            continue
        with pytest.raises(ArmError, match=f"in mode {mode.name}"):
            arm._judge(state)


def test_commands_that_stop_bring_the_setpoint_to_rest_by_the_robots_own_time():
    arm, sent = FrankaArm("somewhere"), []
    home = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])
    clock = SimpleNamespace(to_msec=lambda: ms)
    state = SimpleNamespace(q=home, dq=STILL, control_command_success_rate=1.0, time=clock)
    arm._link = SimpleNamespace(
        in_control=True, obeys=lambda _: True, state=lambda: state, send=lambda q, qd, effort: sent.append(qd)
    )
    arm.setpoint.reset(home)
    arm._thread, watch = object(), ClockWatch(1.0)
    arm.write(home + 0.3, np.full(7, 0.2), STILL)
    moving = 0
    for ms in range(0, 1000, 4):
        state.q = arm.setpoint.q
        arm._poll(watch)
        moving += bool(np.abs(arm.setpoint.v).max() > 0.01)
        if ms < 1000 * arm.settings.command_timeout:
            assert arm.counts["silences"] == 0
    assert arm.counts["silences"] == 1 and moving > 20
    assert np.abs(sent[-1]).max() < 1e-3
    assert (arm.setpoint.q - home).max() < 0.2  # not where it was commanded to


def test_a_user_stop_is_a_fault_until_it_is_released(arm, simulated):
    arm.hold()
    simulated.stop()
    assert eventually(lambda: arm.fault)
    assert "User Stop" in arm.fault or "UserStopped" in arm.fault
    simulated.stop(False)
    arm.recover()
    arm.hold()


def test_a_robot_of_another_version_is_reported():
    with ArmProcess(version=3) as process, pytest.raises(ArmError) as caught:
        FrankaArm(process.address, ArmSettings(realtime=False, connect_timeout=30.0)).connect()
    for words in ("server version is 3", "of libfranka in franky-control", "older franky-control", "https://"):
        assert words in str(caught.value)


def test_ctrl_c_ends_the_simulated_arm_even_where_it_is_swallowed():
    lines, before = queue.SimpleQueue(), signal.getsignal(signal.SIGINT)
    try:
        _quit_on_ctrl_c(lines)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert lines.get_nowait() == "quit"
