"""From a person's hand to the Adroit hand's action, k(x): by streaming retargeting.

Fingers are solved in the wrist's own frame with a fixed palm, as in live teleoperation. Arm and wrist are the expert's,
moved by the error of the person's wrist: a picture of a hand says nothing about where the task's arm should be.
"""

from functools import cache
from pathlib import Path

import numpy as np

from dexhot.data.keypoints import WRIST, wrist_axes
from dexhot.data.yaml_file import load_yaml
from dexhot.datasets.hand_poses import palm_normalised, palm_size
from dexhot.errors import MissingExtraError
from dexhot.geometry.rotations import matrix_to_quat, quat_to_rotvec
from dexhot.paths import share_dir
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.robots.robot_hand import RobotHand, hand_from_config
from dexhot_train.assist.virtual_hand import VirtualHand

POSTURE, CHANGE = 0.0005, 0.005  # per rad: less than for other hands, since this one has a person's joints


@cache
def adroit_hand() -> RobotHand:
    """The Adroit hand without its arm: config/adroit_hand.yaml and the model of gymnasium-robotics."""
    try:
        import gymnasium_robotics
    except ModuleNotFoundError as error:
        raise MissingExtraError("the Adroit hand", "assist") from error
    assert gymnasium_robotics.__file__
    folder = Path(gymnasium_robotics.__file__).parent / "envs" / "assets" / "adroit_hand"
    return hand_from_config(folder / "hand.yaml", load_yaml(share_dir() / "config" / "adroit_hand.yaml"))


class Retargeting:
    """Maps the hands of one user and task; frames in order."""

    def __init__(self, virtual: VirtualHand):
        self.virtual = virtual
        open_hand = virtual.keypoints(virtual.resting)
        self.size = float(palm_size(open_hand))  # m, of the Adroit's palm
        palm = virtual.data.xmat[virtual.palm].reshape(3, 3) @ ADROIT_R_PALM
        wrist_R_palm = wrist_axes(open_hand, "right").T @ palm
        self.solver = StreamingRetargeter(
            adroit_hand(), matrix_to_quat(wrist_R_palm), posture=POSTURE, change=CHANGE, fixed_wrist=np.zeros(6)
        )
        self.fingers = [virtual.names.index(joint) for joint in adroit_hand().joint_names]

    def action(self, expert: np.ndarray, true: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The user input (A,) for a hand seen at keypoints (21, 3) m, world, where the expert's action (A,) asks for
        the hand at `true` (21, 3)."""
        turn = wrist_axes(seen, "right") @ wrist_axes(true, "right").T
        moved = self.virtual.follow(expert, seen[WRIST] - true[WRIST], quat_to_rotvec(matrix_to_quat(turn)))
        own = self.size * palm_normalised(seen)
        joints = np.zeros(len(moved))
        joints[self.fingers] = self.solver.solve(self.solver.targets(own))[6:]
        mapped = self.virtual.action(joints)
        mapped[self.virtual.arm] = moved[self.virtual.arm]
        user: np.ndarray = np.clip(mapped, -1.0, 1.0)
        return user


def engaged(true: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Seen hands (T, 21, 3) m, world, as live teleoperation takes them: the wrist moves from where it engaged, at the
    first frame that shows the hand, so that constant errors of place and rotation are gone."""
    first = int(np.argmax(np.isfinite(seen[:, 0, 0])))
    if not np.isfinite(seen[first]).all():
        return seen
    back = wrist_axes(true[first], "right") @ wrist_axes(seen[first], "right").T  # true_R_seen at the start
    shift = true[first, WRIST] - seen[first, WRIST]
    wrists = seen[:, [WRIST]]
    moved: np.ndarray = (seen - wrists) @ back.T + wrists + shift
    return moved


# The palm frame of config/adroit_hand.yaml in the body's: +x along the fingers (z), +z dorsal (y)
ADROIT_R_PALM = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
