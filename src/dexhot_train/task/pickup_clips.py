"""The three pick-up tasks of pose trajectory following (TF-HOT, section 4.4), each with a single demonstration.

The demonstration is a person's, retargeted: mocap, or what a fit recovered from a video. It is cut from where the hand
is beside the object to where the object has been lifted. Its first frame is the robot's start pose, for every method;
the object's last pose is the goal.
"""

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from dexhot.data.files import load
from dexhot.data.types import HandObjectTrajectory
from dexhot.datasets.human_clip import human_clip
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.geometry.rotations import matrix_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import Scene
from dexhot.simulation.setup import Setup
from dexhot_train.task.clips import TaskClip, task_clip

HANDS = ("leap_right", "six_motor_right")  # the second like the paper's Inspire hand: 6 motors, 5 fingers
LIFT = 0.10  # m, rise of the object at the goal
CLEAR = 0.03  # m, smallest distance from the start pose's fingertips to an object displaced by the noise


@dataclass(frozen=True)
class PickupTaskKind:
    """A task of the paper."""

    clip: str
    noise: float  # m, half width of the object's placement in x and y
    paper: dict[str, str]  # method -> what section 4.4.2 says of it; the paper has curves, no numbers


BETTER, AS_PPO = "solves; fewer samples", "similar to PPO"
TASKS = {
    "banana": PickupTaskKind(
        "grab/banana_pass1", 0.05, {"ptf": BETTER, "sparse": "fails", "dense": "fails", "imitation": AS_PPO}
    ),
    "elephant": PickupTaskKind(
        "grab/elephant_lift", 0.01, {"ptf": BETTER, "sparse": "fails", "dense": "above sparse", "imitation": AS_PPO}
    ),
    "can": PickupTaskKind(
        "parametric/lift-cylinder-0", 0.01, {"ptf": BETTER, "dense": "above sparse", "imitation": AS_PPO}
    ),
}


@dataclass(frozen=True)
class Pickup:
    """A task with a hand: its world, and the demonstration at 60 Hz, n frames."""

    name: str
    clip: TaskClip
    noise: float  # m
    q: np.ndarray  # (n, 6+m) hand vectors; the first is the start pose
    object_pose: np.ndarray  # (n, 7) world_T_mesh; the last is the goal
    tips: np.ndarray  # (n, k, 7) fingertips in the object's frame

    @property
    def center(self) -> np.ndarray:
        """(3,) the object's centre of symmetry in its mesh frame."""
        return np.asarray(self.clip.asset.symmetry.center, float)


def load_pickup(task: str, hand: str = HANDS[0], file: Path | None = None, profile: str | None = None) -> Pickup:
    """A task with its clip's demonstration, or with that of `file`: a HandObjectTrajectory with the task's object.

    Raises NotFoundError for an unknown task, hand or a clip that is not there; DexhotError for a demonstration that
    does not lift the task's object.
    """
    if task not in TASKS:
        raise NotFoundError("pick-up task", task, TASKS)
    kind = TASKS[task]
    trajectory, asset = human_clip(kind.clip)
    if file is not None:
        given = load(file, HandObjectTrajectory)
        if given.object_name != asset.name:
            raise DexhotError(
                f"{file} has a demonstration with {given.object_name}; the task {task} needs one with {asset.name}."
            )
        trajectory = given
    robot = load_hand(hand)
    setup = Setup(robot, asset, load_physics(profile=profile))
    return make_pickup(task, task_clip(retarget(trajectory, robot, asset), setup), kind.noise)


def make_pickup(name: str, clip: TaskClip, noise: float) -> Pickup:
    """Cut the clip's reference to a pick-up. Raises DexhotError where its object is not lifted by LIFT."""
    r = clip.reference
    rise = r.object_pose[:, 2] - r.object_pose[0, 2]
    if rise.max() < LIFT:
        raise DexhotError(
            f"{r.name} lifts its object by {100 * rise.max():.1f} cm; a pick-up's demonstration needs {100 * LIFT:.0f}."
        )
    goal = int(np.argmax(rise >= LIFT))
    tips = TipFrames(clip.scene)(r.q)
    local = tips_on_object(tips, r.object_pose)
    clear = CLEAR + noise * np.sqrt(2.0)
    apart = ConvexUnion(clip.asset.pieces).distance(local[: r.grasp_start + 1, :, :3])[0].min(axis=1)
    away = np.flatnonzero(apart - clip.setup.hand.tip_radius > clear)
    frames = np.arange(away[-1] if len(away) else 0, goal + 1)
    return Pickup(name, clip, noise, r.q[frames], r.object_pose[frames], local[frames])


class TipFrames:
    """Poses of a hand's fingertips, by the scene's kinematics."""

    def __init__(self, scene: Scene):
        assert scene.hand is not None
        self.scene, self.data = scene, mujoco.MjData(scene.model)
        self.sites = [scene.model.site(name).id for name in scene.hand.tip_sites]

    def __call__(self, q: np.ndarray) -> np.ndarray:
        """Hand vectors (N, 6+n) -> (N, k, 7) world."""
        position = np.empty((len(q), len(self.sites), 3))
        turn = np.empty((len(q), len(self.sites), 9))
        for row, joints in enumerate(q):
            self.scene.set_joints(self.data, joints)
            mujoco.mj_kinematics(self.scene.model, self.data)
            position[row], turn[row] = self.data.site_xpos[self.sites], self.data.site_xmat[self.sites]
        quat = matrix_to_quat(turn.reshape(-1, 3, 3)).reshape(*position.shape[:2], 4)
        return np.concatenate([position, quat], axis=-1)


def tips_on_object(tips: np.ndarray, object_pose: np.ndarray) -> np.ndarray:
    """Fingertips (N, k, 7), world, in the frames of objects (N, 7)."""
    local: np.ndarray = compose(inverse(object_pose)[:, None], tips)
    return local


def centers(pickup: Pickup, object_pose: np.ndarray) -> np.ndarray:
    """(N, 3) world, of objects (N, 7)."""
    found: np.ndarray = transform(object_pose, np.broadcast_to(pickup.center, (len(object_pose), 3)))
    return found
