"""Joint torques with their limits, and the force of each fingertip on the object.

For a rollout of the floating hand they are computed by simulating its commands again. A live run has recorded torques;
the fingertip forces are estimated from them, f = (J^T)+ tau, while a fingertip touches the object.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from dexhot.data.types import Rollout
from dexhot.report.recording import RunRecording
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.joint_table import joint_table
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import RobotHand
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.simulation.backend import STATE, MujocoSimulator
from dexhot.simulation.setup import Setup

SAME = 1e-6  # m and rad: a larger difference means that the rollout is not from the benchmark's world
SINGULAR = 0.1  # of the largest singular value: below it, a finger's force cannot be determined from its torques


@dataclass(frozen=True)
class Forces:
    """Row t belongs to the reference's frame t."""

    joint_names: list[str]  # the arm's if it has one, then the fingers'
    torque: np.ndarray  # (T, joints) N m
    limit: np.ndarray  # (joints,) N m
    tip_force: np.ndarray  # (T, tips) N
    source: str  # how the values were obtained


def forces(rollout: Rollout, setup: Setup, recording: RunRecording | None = None) -> Forces | None:
    """None if unknown: for a rollout of the arm rig, or one that its commands do not reproduce."""
    if recording is not None and np.isfinite(recording.torque).any():
        return _recorded(rollout, setup, recording)
    if rollout.kind == "floating":
        return _simulated(rollout, setup)
    return None


def _recorded(rollout: Rollout, setup: Setup, recording: RunRecording) -> Forces:
    arm = [joint.effort for joint in joint_table("fr3")]
    torque = recording.torque
    return Forces(
        joint_names=recording.joint_names,
        torque=torque,
        limit=np.concatenate([arm, setup.hand.effort]),
        tip_force=estimated(rollout, setup, np.nan_to_num(torque[:, len(FR3_JOINTS) :])),
        source="Torques: as recorded in the joint states. Forces: estimated from them (Jᵀ) where a tip touches.",
    )


def estimated(rollout: Rollout, setup: Setup, torque: np.ndarray) -> np.ndarray:
    """Quasi-static tip forces (T, tips) N of finger torques (T, n); 0 where a tip does not touch."""
    model = HandModel(setup.hand, (), rollout.reference.base_quat)
    out = np.zeros(rollout.tip_contact.shape)
    for t in np.flatnonzero(rollout.tip_contact.any(axis=1)):
        model.move(rollout.q[t])
        jacobian = model.point_jacobian()[:, :, 6:]
        for tip in np.flatnonzero(rollout.tip_contact[t]):
            own = np.abs(jacobian[tip]).max(axis=0) > 1e-9  # the joints of this finger
            force = np.linalg.lstsq(jacobian[tip][:, own].T, torque[t, own], rcond=SINGULAR)[0]
            out[t, tip] = np.linalg.norm(force)
    return out


def _simulated(rollout: Rollout, setup: Setup) -> Forces | None:
    reference = rollout.reference
    simulator = floating_simulator(reference, setup)
    start = start_state(reference, simulator)
    states = np.concatenate([start[None], simulator.rollout(start, rollout.command[:-1]).states[0]])
    again = simulator.joint_positions(states), simulator.object_pose(states)
    if max(np.abs(x - y).max() for x, y in zip(again, (rollout.q, rollout.object_pose))) > SAME:
        return None
    torque, tip_force = measured(simulator, states, rollout.command)
    return Forces(
        joint_names=list(setup.hand.joint_names),
        torque=torque[:, 6:],
        limit=np.full(len(setup.hand.joints), setup.physics.finger(setup.hand).torque),
        tip_force=tip_force,
        source="Simulated again in the benchmark physics.",
    )


def measured(simulator: MujocoSimulator, states: np.ndarray, command: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint torques (T, 6+n), and the force (T, tips) N of each fingertip's link on the object, in the `states` (T, ns)
    that result from `command` (T, 6+n): row t is the state after command t - 1."""
    scene, model, data = simulator.scene, simulator.model, mujoco.MjData(simulator.model)
    tip = np.full(model.ngeom, -1)
    for k, geoms in enumerate(scene.tip_geoms):
        tip[geoms] = k
    is_object = np.zeros(model.ngeom, bool)
    is_object[scene.object_geoms] = True
    torque, pressed = np.zeros(command.shape), np.zeros((len(states), len(scene.tip_geoms), 3))
    wrench = np.zeros(6)
    for t, state in enumerate(states):
        mujoco.mj_setState(model, data, state, STATE)
        data.ctrl[:] = np.clip(command[max(t - 1, 0)], scene.lower, scene.upper)
        mujoco.mj_forward(model, data)
        torque[t] = data.qfrc_actuator[scene.v_address]
        for i, pair in enumerate(data.contact.geom):
            if is_object[pair].any() and tip[pair].max() >= 0:
                mujoco.mj_contactForce(model, data, i, wrench)
                world = data.contact.frame[i].reshape(3, 3).T @ wrench[:3]  # force of the first geom on the second
                pressed[t, tip[pair].max()] += world if is_object[pair[1]] else -world
    return torque, np.linalg.norm(pressed, axis=2)


def finger_of_joints(hand: RobotHand) -> list[int]:
    """Of each finger joint (n,), the index of the fingertip that it moves, -1 if it moves none or several."""
    model = HandModel(hand)
    model.move(np.concatenate([np.zeros(6), hand.nominal]))
    moves = np.abs(model.point_jacobian()[:, :, 6:]).max(axis=1) > 1e-9  # (tips, n)
    return [int(np.argmax(tips)) if tips.sum() == 1 else -1 for tips in moves.T]
