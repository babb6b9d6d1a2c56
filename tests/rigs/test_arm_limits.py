"""A clip that a person does faster than the arm can: with its time map the arm's limits are kept, on either rig."""

import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.controllers import Kinematic
from dexhot.control.shaper import CommandShaper
from dexhot.control.time_warp import frames_at, warp_reference
from dexhot.data.types import RATE
from dexhot.hardware.franka.limits import ACCELERATION, JERK, STEP, fr3_limits
from dexhot.retargeting.placement import place
from dexhot.rigs.embedded import ARM
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts import arm as arm_rollout
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup

HAND, PHYSICS = load_hand("leap_right"), load_physics()
TABLE = joint_table("fr3")
TORQUE = np.array([joint.effort for joint in TABLE])
LOWER, UPPER, VELOCITY = (np.array([getattr(j, name) for j in TABLE]) for name in ("lower", "upper", "velocity"))


@pytest.fixture(scope="module")
def hurried(_lift_reference):
    """Four times as fast as it was generated; the arm needs a tenth longer at least."""
    r = _lift_reference
    rows = {name: getattr(r, name)[::4] for name in ("q", "target", "contact", "object_pose")}
    placed = place(replace(r, **rows, grasp_start=r.grasp_start // 4, grasp_end=r.grasp_end // 4), HAND)
    assert placed.speed_factor > 1.1
    return placed


@pytest.fixture
def watched(monkeypatch):
    """Every step of every setpoint, 1 ms each: q, v, a."""
    rows: list[tuple[np.ndarray, ...]] = []

    def watch(setpoint):
        walk = setpoint._walk

        def taken(paths):
            for there in zip(*paths):
                walk([[goal] for goal in there])
                rows.append((setpoint.q, setpoint.v, setpoint.a))

        monkeypatch.setattr(setpoint, "_walk", taken)
        return rows

    return watch


def within_limits(rows) -> dict[str, float]:
    """The largest fraction of each limit that the setpoint has used."""
    q, v, a = np.array(rows).transpose(1, 0, 2)
    limits = fr3_limits()
    assert (q >= limits.lower - 1e-9).all() and (q <= limits.upper + 1e-9).all()
    used = {"velocity": np.abs(v) / limits.velocity, "acceleration": np.abs(a) / ACCELERATION}
    used["jerk"] = np.abs(np.diff(a, axis=0)) / STEP / JERK
    return {kind: float(fraction.max()) for kind, fraction in used.items()}


def test_on_the_embedded_rig(hurried, lift, watched, monkeypatch):
    torques, watches = [], []

    class Watched(arm_rollout.EmbeddedWorld):
        def __init__(self, scene):
            super().__init__(scene)
            watches.append(watched(self.setpoint))

        def step(self):
            super().step()
            torques.append(self.joints()[2][:ARM].copy())

    monkeypatch.setattr(arm_rollout, "EmbeddedWorld", Watched)
    slow = warp_reference(hurried, frames_at(hurried))
    setup = Setup(HAND, lift[1], PHYSICS)
    rollout = arm_rollout.run_offline(slow, Kinematic(slow, PHYSICS), setup)
    used = within_limits(watches[0])
    assert all(fraction <= 1.0 + 1e-9 for fraction in used.values()) and used["acceleration"] > 0.5
    assert (np.abs(torques) <= TORQUE + 1e-9).all() and np.abs(torques).max() > 1.0
    assert (rollout.arm_q > LOWER).all() and (rollout.arm_q < UPPER).all()


def test_at_the_persons_speed_the_path_is_lost(hurried, lift):
    """What the time map is for."""
    setup = Setup(HAND, lift[1], PHYSICS)
    slow = warp_reference(hurried, frames_at(hurried))
    rollouts = [arm_rollout.run_offline(r, Kinematic(r, PHYSICS), setup) for r in (hurried, slow)]
    lost, kept = (np.linalg.norm(r.q[:, :3] - r.reference.q[:, :3], axis=1).max() for r in rollouts)
    assert lost > 0.02 and kept < 0.4 * lost, (lost, kept)


def test_on_the_wire(hurried, lift, watched, tmp_path):
    """The torques are those that franky sends, at 1 kHz; the motion is the simulated robot's."""
    pytest.importorskip("franky")
    pytest.importorskip("franky_sim")
    from dexhot.hardware.franka.arm import FrankaArm
    from dexhot.hardware.franka.settings import ArmSettings
    from dexhot.rigs.wire_world import WireWorld, wire_scene

    slow = warp_reference(hurried, frames_at(hurried))
    world = WireWorld(wire_scene(HAND, lift[1], PHYSICS), address(), tmp_path / "bus", scale=1.0)
    world.reset(np.concatenate([slow.arm_q[0], slow.q[0, 6:]]), slow.object_pose[0], hold_object=True)
    asked, moved, rows, stop = [], [], [], threading.Event()
    begin, walked, written = np.inf, 0, 0  # the cycle of the first command; setpoint's steps before it; commands

    def ahead() -> bool:
        """Whether the world must wait for its client: for a command that is due, or for a poll."""
        since = world.cycles - begin
        return since > 1000 * written / RATE or since - (len(rows) - walked) > 20

    def run() -> None:
        while not stop.is_set():
            if ahead():
                time.sleep(0.0005)
                continue
            world.cycle()
            asked.append(world.arm.torque.copy())
            moved.append(np.concatenate([x[:ARM] for x in world.joints()[:2]]))

    settings = ArmSettings(realtime=False, frozen_timeout=1.0, command_timeout=1.0)
    shaper = CommandShaper(HAND, slow.base_quat, slow.arm_q, PHYSICS, lead=0.05, wrist_lead=0.0)
    shaper.reset(slow.q[0], slow.arm_q[0])
    actions = Kinematic(slow, PHYSICS).targets
    with world:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            with FrankaArm(world.address, settings) as arm:
                arm.hold()
                rows = watched(arm.setpoint)
                while not rows:
                    time.sleep(0.001)
                walked, begin = len(rows), world.cycles
                for k, target in enumerate(actions):
                    while world.cycles - begin < 1000 * k / RATE:
                        time.sleep(0.001)
                    command = shaper.step(target, k)
                    arm.write(command.arm_q, command.arm_qd, command.arm_torque)
                    written += 1
                begin = np.inf
                assert not arm.fault and "behind" not in arm.warnings, (arm.fault, arm.warnings)
        finally:
            stop.set()
            thread.join()
    used = within_limits(rows)
    assert all(fraction <= 1.0 + 1e-9 for fraction in used.values()) and used["acceleration"] > 0.5
    assert (np.abs(asked) <= TORQUE).all() and np.abs(asked).max() > 1.0
    q, v = np.array(moved)[:, :ARM], np.array(moved)[:, ARM:]
    assert (q > LOWER).all() and (q < UPPER).all() and (np.abs(v) < VELOCITY).all()
    assert np.abs(q - slow.arm_q[0]).max() > 0.1


def address() -> str:
    """A loopback address of the test's own."""
    return f"127.3.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
