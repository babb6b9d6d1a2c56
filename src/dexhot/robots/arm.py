"""The FR3 arm, and the arm with a hand on its flange. World frame: the arm's base, z up."""

import mujoco
import numpy as np

from dexhot.geometry.poses import compose, make_pose
from dexhot.paths import share_dir
from dexhot.robots.joints import shipped_joints
from dexhot.robots.mjcf import to_spec
from dexhot.robots.model import RobotModel, read_model
from dexhot.robots.robot_hand import RobotHand

FR3_JOINTS = tuple(f"fr3_joint{i}" for i in range(1, 8))
FR3_HOME = np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4])  # (7,) rad, flange down
FLANGE_SITE = "fr3_flange"


def fr3_model() -> RobotModel:
    """The model in urdf/fr3/fr3.yaml; link 0 is fixed to the world frame."""
    return read_model(share_dir() / "urdf" / "fr3" / "fr3.yaml")


def fr3_spec(detailed: bool = False, visual: bool = True) -> mujoco.MjSpec:
    """A new spec of the bare arm: root body "fr3_link0", joints FR3_JOINTS, site "fr3_flange"."""
    return to_spec(fr3_model(), shipped_joints("fr3"), detailed, visual)


def arm_hand_spec(hand: RobotHand, detailed: bool = False, visual: bool = True) -> mujoco.MjSpec:
    """A new spec of the arm with `hand` on its flange, where `hand.mount` places the palm. Names stay unchanged."""
    spec = fr3_spec(detailed, visual)
    hand.add_to(spec, spec.site(FLANGE_SITE).parent, link_T_palm(spec, hand), detailed, visual)
    return spec


def link_T_palm(spec: mujoco.MjSpec, hand: RobotHand) -> np.ndarray:
    """Pose (7,) of a mounted hand's palm in the arm's last link, the flange's parent."""
    flange = spec.site(FLANGE_SITE)
    return compose(make_pose(flange.pos, flange.quat), hand.mount)
