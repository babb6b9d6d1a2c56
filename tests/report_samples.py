"""A small object and a rollout of it, made up, for the tests of what a person sees. Not measured by any physics."""

import numpy as np
import trimesh

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import WRIST_JOINTS, HandObjectTrajectory, HandTrack, Reference, Rollout
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import save_object
from dexhot.robots.robot_hand import load_hand

FRAMES = 60


def box_asset() -> ObjectAsset:
    """A box of 5 x 4 x 8 cm, saved in the cache."""
    mesh = trimesh.creation.box((0.05, 0.04, 0.08))
    pieces = [(mesh.vertices, mesh.faces)]
    asset = ObjectAsset("user/box", mesh.vertices, mesh.faces, pieces, 0.1, np.zeros(3), 1e-4 * np.eye(3))
    save_object(asset)
    return asset


def lift_reference() -> Reference:
    """The LEAP hand comes down on the box, lifts it 10 cm and turns it."""
    hand = load_hand("leap_right")
    s = np.clip(np.linspace(-0.5, 1.5, FRAMES), 0, 1)
    pose = np.zeros((FRAMES, 7))
    pose[:, 2], pose[:, 3:] = 0.04 + 0.1 * s, rotvec_to_quat(np.outer(s, [0, 0, 0.3]))
    q = np.zeros((FRAMES, 6 + len(hand.joints)))
    q[:, :3], q[:, 6:] = pose[:, :3] + (0, 0, 0.09), hand.nominal
    contact = np.repeat((s > 0)[:, None].astype(float), len(hand.tip_sites), axis=1)
    names = [*WRIST_JOINTS, *hand.joint_names]
    down = np.array([0.5, 0.5, 0.5, -0.5])
    first, last = int(np.argmax(s > 0)), FRAMES - 1
    return Reference("box_lift", hand.name, names, down, q, q + 0.02, contact, "user/box", pose, first, last)


def lift_rollout(dropped: bool = False) -> Rollout:
    """The reference tracked with 4 mm error; `dropped`: the object lies on the table from frame 45 on."""
    ref = lift_reference()
    pose = ref.object_pose.copy()
    pose[:, 0] += 0.004
    tips = ref.contact > 0.5
    if dropped:
        pose[45:, 2] = 0.04
        tips[45:] = False
    return Rollout(
        name="box_lift",
        reference=ref,
        kind="floating",
        time=ref.time,
        q=ref.q + 0.01,
        command=ref.target,
        object_pose=pose,
        penetration=0.001 * tips.any(axis=1),
        table_contact=pose[:, 2] < 0.041,
        tip_contact=tips,
    )


def human_clip() -> HandObjectTrajectory:
    """The clip that the reference could have been made from: a flat hand that goes with the box, at 60 Hz."""
    reference = lift_reference()
    flat = np.stack([0.01 * np.arange(21), 0.005 * (np.arange(21) % 4), np.full(21, 0.06)], axis=1)
    keypoints = reference.object_pose[:, None, :3] + flat
    hand = HandTrack(keypoints, wrist_pose(keypoints, "right"), np.ones((FRAMES, 21)))
    return HandObjectTrajectory("user/box_lift", reference.time, {"right": hand}, "user/box", reference.object_pose)
