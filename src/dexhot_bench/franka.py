"""`dexhot bench franka`: tracking of streamed joint targets by the arm, compared with franky's JointMotion.

Ours: targets through the driver, with velocity and feed-forward torque, as sent by the shaper. The baseline: franky's
JointMotion with positions, each preempting the last one. Both track the same sine on the same simulated robot in the
same run, paced and timed by the robot's own clock, so that a simulation slower than real time gives the same result.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dexhot.hardware.franka.arm import FrankaArm
from dexhot.hardware.franka.settings import ArmSettings
from dexhot.hardware.franka.simulator import ArmProcess
from dexhot.progress import progress

RATES = (60, 100)  # Hz
AMPLITUDE, FREQUENCY = 0.1, 0.5  # rad, Hz
WARM_UP = 0.5  # s at the start of each run that are not evaluated
POLL = 0.001  # s
PATIENCE = 1.0  # s, allowed pause of the simulation under load; franky fails after that

Send = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # position, velocity, acceleration (7,)


def run(quick: bool) -> dict[str, Any]:
    """The metrics and their conditions. Raises MissingExtraError."""
    seconds = 2.5 if quick else 8.5
    metrics: dict[str, float] = {}
    peer: dict[str, float] = {}
    scales = []
    with ArmProcess() as process, progress("driving the arm", 2 * len(RATES) * seconds, by_clock=True):
        for rate in RATES:
            suffix = "" if rate == RATES[0] else f"_{rate}hz"
            ours, scale = _ours(process.address, rate, seconds)
            theirs, peer_scale = _joint_motion(process.address, rate, seconds)
            scales += [scale, peer_scale]
            metrics[f"mean_error_rad{suffix}"] = float(ours.mean())
            metrics[f"max_error_rad{suffix}"] = float(ours.max())
            metrics[f"error_ratio{suffix}"] = float(theirs.mean() / ours.mean())
            peer[f"mean_error_rad{suffix}"], peer[f"max_error_rad{suffix}"] = float(theirs.mean()), float(theirs.max())
    return {"metrics": metrics, "joint_motion": peer, "seconds": seconds, "robot_time_per_real_time": scales}


def _ours(address: str, rate: int, seconds: float) -> tuple[np.ndarray, float]:
    with FrankaArm(
        address, ArmSettings(hand="", realtime=False, command_timeout=PATIENCE, frozen_timeout=PATIENCE)
    ) as arm:
        arm.hold()

        def send(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> None:
            arm.write(q, qd, arm.link.robot.model.mass(arm.link.state()) @ qdd)

        return _stream(arm.link.robot, send, rate, seconds)


def _joint_motion(address: str, rate: int, seconds: float) -> tuple[np.ndarray, float]:
    from dexhot.hardware.franka.sdk import franky

    robot = franky.Robot(address, realtime_config=franky.RealtimeConfig.Ignore)

    def send(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> None:
        robot.move(franky.JointMotion(q.tolist()), asynchronous=True)

    try:
        return _stream(robot, send, rate, seconds)
    finally:
        robot.join_motion()


def _stream(robot: Any, send: Send, rate: int, seconds: float) -> tuple[np.ndarray, float]:
    """Send the sine for `seconds` at `rate`, both on the robot's clock.

    Returns the largest joint error (k,) rad at every poll, and the real-time factor.
    """
    start = robot.state
    begin, real = start.time.to_msec(), time.monotonic()
    phase, sent = 2 * np.pi * FREQUENCY, -1
    errors: list[float] = []
    while True:
        state = robot.state
        t = (state.time.to_msec() - begin) / 1e3
        if t >= seconds:
            return np.array(errors), t / (time.monotonic() - real)
        goal, speed, acceleration = (
            start.q * (order == 0) + AMPLITUDE * phase**order * shape * np.ones(7)
            for order, shape in enumerate((1 - np.cos(phase * t), np.sin(phase * t), np.cos(phase * t)))
        )
        if t > WARM_UP:
            errors.append(np.abs(state.q - goal).max())
        if int(t * rate) > sent:
            sent = int(t * rate)
            send(goal, speed, acceleration)
        time.sleep(POLL)
