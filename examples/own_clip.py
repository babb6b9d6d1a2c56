"""From your own arrays and mesh to a demonstration in physics simulation: python examples/own_clip.py FOLDER

Inputs: the 21 hand keypoints (MediaPipe's order) and the object's pose over time, in m, in a z-up frame with z = 0 at
the table's top, and the object's mesh. Here a generated lift of a box replaces them.
"""

import sys
from pathlib import Path

import numpy as np
import trimesh

from dexhot.data.files import save
from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import Demonstration, HandObjectTrajectory, HandTrack
from dexhot.datasets.parametric import generate
from dexhot.objects.library import save_object
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.scans import object_from_file
from dexhot.simulation.setup import load_setup
from dexhot_train.mining.mine import MineOptions, make_worlds, mine


def main(folder: Path) -> Demonstration:
    """Write box.stl, clip.npz, reference.npz and demonstration.npz into `folder`."""
    # 1. Your arrays. Replace these four lines with your own.
    clip, box = generate("lift", "box", seed=0)
    time, keypoints = clip.time, clip.hands["right"].keypoints  # (T,) s, (T, 21, 3) m
    object_pose = clip.object_pose  # (T, 7) x y z qw qx qy qz, world_T_mesh
    trimesh.Trimesh(box.vertices, box.faces).export(folder / "box.stl")

    # 2. The object, from its mesh: convex pieces, mass, symmetry, resting poses. It is saved to the object library.
    asset = object_from_file(folder / "box.stl", "user/example_box", unit="m", mass=box.mass)
    save_object(asset)

    # 3. The clip, with a confidence of 0 to 1 per keypoint. `save` checks shapes, units and gaps.
    hand_track = HandTrack(keypoints, wrist_pose(keypoints, "right"), np.ones(keypoints.shape[:2]))
    trajectory = HandObjectTrajectory("user/example", time, {"right": hand_track}, asset.name, object_pose)
    save(trajectory, folder / "clip.npz")

    # 4. Retarget it to a robot hand, and place it within the arm's reach.
    hand = load_hand("leap_right")
    reference = place(retarget(trajectory, hand, asset), hand)
    save(reference, folder / "reference.npz")

    # 5. Search for the actions that reproduce it in physics: with a small budget here; MineOptions() searches longer.
    small = MineOptions(worlds=1, attempts=0, trials=2)
    demonstration = mine(reference, make_worlds(reference, load_setup(reference), small), small)
    save(demonstration, folder / "demonstration.npz")
    print(f"strict success: {demonstration.scores['success_strict']}; dexhot view {folder / 'demonstration.npz'}")
    return demonstration


if __name__ == "__main__":
    main(Path(sys.argv[1]))
