"""An importer for your own dataset: python examples/own_dataset.py FOLDER

FOLDER has one <clip>.json per clip, and the meshes that these name. It writes the clips to the cache, where every
command finds them: `dexhot datasets list mine`, `dexhot retarget mine/CLIP`. docs/add_a_dataset.md explains it.
"""

import json
import sys
from pathlib import Path

import numpy as np

from dexhot.data.files import save
from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.datasets.library import trajectories_dir
from dexhot.geometry.poses import compose, make_pose
from dexhot.objects.library import list_objects, save_object
from dexhot.simulation.scans import object_from_file

DATASET = "mine"
# This dataset is y up, in mm; dexhot is z up, in m: the same rotation for every point and pose.
WORLD_T_SOURCE = make_pose(np.zeros(3), np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]))
TO_WORLD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the same rotation as a matrix


def read_clip(path: Path) -> HandObjectTrajectory:
    """Read one clip and convert units, axes and names."""
    source = json.loads(path.read_text())
    keypoints = np.array(source["keypoints_mm"]) / 1000 @ TO_WORLD.T  # (T, 21, 3)
    pose = np.array(source["object_pose"], float)  # (T, 7): x y z in mm, then qx qy qz qw
    pose = np.concatenate([pose[:, :3] / 1000, pose[:, [6, 3, 4, 5]]], axis=1)
    hand = HandTrack(keypoints, wrist_pose(keypoints, "right"), np.ones(keypoints.shape[:2]))
    time = np.arange(len(keypoints)) / source["fps"]
    name, object_name = f"{DATASET}/{path.stem}", f"{DATASET}/{Path(source['mesh']).stem}"
    provenance = {"dataset": DATASET, "file": path.name}
    object_pose = compose(WORLD_T_SOURCE, pose)
    return HandObjectTrajectory(name, time, {"right": hand}, object_name, object_pose, provenance=provenance)


def main(folder: Path) -> list[str]:
    """Import every clip of `folder`; returns their names."""
    names = []
    for path in sorted(folder.glob("*.json")):
        clip = read_clip(path)
        if clip.object_name not in list_objects():
            mesh = folder / json.loads(path.read_text())["mesh"]
            save_object(object_from_file(mesh, clip.object_name, unit="mm"))
        save(clip, trajectories_dir(DATASET) / f"{path.stem}.npz")  # checked: shapes, gaps, quaternions
        names.append(clip.name)
    print(f"{len(names)} clips: dexhot datasets list {DATASET}")
    return names


if __name__ == "__main__":
    main(Path(sys.argv[1]))
