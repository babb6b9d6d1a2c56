"""References as DexTrack describes and disturbs them: difficulty (table 15), "quality" (eq. 22-25), and copies with
noise or with unreasonable states (figure 3), on which controllers are tried."""

from dataclasses import replace

import mujoco
import numpy as np
import trimesh
from scipy.ndimage import gaussian_filter1d

from dexhot.data.types import Reference
from dexhot.errors import NotFoundError
from dexhot.geometry.meshes import surface_samples
from dexhot.geometry.poses import inverse, make_pose, transform
from dexhot.geometry.rotations import quat_multiply, rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.metrics.reference_quality import contact_velocity, object_smoothness, quality, shape_score
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.scene import Scene
from dexhot.simulation.setup import Setup

TOUCH, POINTS = 0.005, 1000  # m: a point of the hand's surface so near touches the object; number of points
KINDS = ("noisy", "unreasonable")
DIFFICULTY = ("s_smooth", "v_contact", "s_shape")
# The paper tells neither the noise nor the states. noisy: errors as of an estimator, correlated over SMOOTH; white ones
# would be accelerations of 80 m/s2, which a servo cannot follow anyway.
PALM, PALM_TURN, FINGER, OBJECT = 0.003, 0.03, 0.03, 0.003  # m, rad, rad, m: standard deviations
SMOOTH = 6.0  # frames
# unreasonable: hand and object, each by itself, jump away and back.
JUMPS, JUMP_FRAMES, JUMP, JUMP_TURN = 3, 6, 0.05, 0.5  # number, frames (0.1 s), m, rad
SEED = 7


def difficulty(reference: Reference, setup: Setup, simulator: MujocoSimulator) -> dict[str, float]:
    """Table 15 of one reference: `s_smooth` (m/s2), `v_contact` (1/s), `s_shape` (1/cm)."""
    return {
        "s_smooth": object_smoothness(reference),
        "v_contact": contact_velocity(contact_map(reference, setup, simulator.scene), reference.rate),
        "s_shape": shape_score(setup.asset, reference.object_pose[0]),
    }


def reference_quality(reference: Reference, simulator: MujocoSimulator) -> float:
    """Eq. 25 of one reference, larger for a worse one."""
    states = [simulator.initial_state(q, pose) for q, pose in zip(reference.q, reference.object_pose)]
    return quality(reference, simulator.contacts(np.stack(states)).penetration)


def contact_map(reference: Reference, setup: Setup, scene: Scene) -> np.ndarray:
    """(T, POINTS) bool: points on the hand's surface within TOUCH of the object."""
    geoms, local = hand_points(scene)
    model, data = scene.contact_model, mujoco.MjData(scene.contact_model)
    solid, corners = ConvexUnion(setup.asset.pieces), setup.asset.corners
    low, high = corners.min(axis=0) - TOUCH, corners.max(axis=0) + TOUCH
    contact = np.zeros((len(reference.q), len(local)), bool)
    for t, (q, pose) in enumerate(zip(reference.q, reference.object_pose)):
        scene.set_joints(data, q)
        mujoco.mj_kinematics(model, data)
        rotation = data.geom_xmat[geoms].reshape(-1, 3, 3)
        world = data.geom_xpos[geoms] + np.einsum("pij,pj->pi", rotation, local)
        mesh = transform(inverse(pose), world)
        near = np.flatnonzero(((mesh > low) & (mesh < high)).all(axis=1))
        if len(near):
            contact[t, near] = solid.distance(mesh[near])[0] < TOUCH
    return contact


def hand_points(scene: Scene, count: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly over the hand's collision shapes: the geom of each (P,), and its place there (P, 3) m."""
    model, meshes = scene.contact_model, []
    for geom in scene.hand_geoms:
        mesh = _geom_mesh(model, geom)
        meshes.append((mesh.vertices, mesh.faces, np.full(len(mesh.faces), geom)))
    offsets = np.cumsum([0, *(len(vertices) for vertices, _, _ in meshes)])
    faces = np.concatenate([f + offset for (_, f, _), offset in zip(meshes, offsets)])
    points, _, face = surface_samples(np.concatenate([v for v, _, _ in meshes]), faces, count)
    return np.concatenate([owner for _, _, owner in meshes])[face], points


def _geom_mesh(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh:
    """The surface of a geom in its own frame."""
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    mesh: trimesh.Trimesh
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        mesh = trimesh.creation.box(2 * size)
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        mesh = trimesh.creation.icosphere(2, size[0])
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        mesh = trimesh.creation.cylinder(size[0], 2 * size[1])
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        mesh = trimesh.creation.capsule(2 * size[1], size[0])
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
    else:
        assert kind == mujoco.mjtGeom.mjGEOM_MESH, f"a hand's geom is a {kind}"
        data = model.geom_dataid[geom]
        vertices = model.mesh_vert[model.mesh_vertadr[data] :][: model.mesh_vertnum[data]]
        mesh = trimesh.convex.convex_hull(np.asarray(vertices, float))
    return mesh


def disturbed(reference: Reference, hand: RobotHand, kind: str) -> Reference:
    """A copy whose first frame alone is the same, the same one each time. kind: one of KINDS. Raises NotFoundError."""
    if kind not in KINDS:
        raise NotFoundError("kind of disturbed reference", kind, KINDS)
    rng, (T, width) = np.random.default_rng(SEED), reference.q.shape
    if kind == "noisy":
        deviation = np.r_[[PALM] * 3, [PALM_TURN] * 3, [FINGER] * (width - 6), [OBJECT] * 3]
        noise = deviation * _smooth_noise(rng, T, width + 3)
        hand_moved, shift, turn = noise[:, :width], noise[:, width:], np.zeros((T, 3))
    else:
        hand_moved, shift, turn = np.zeros((T, width)), np.zeros((T, 3)), np.zeros((T, 3))
        for middle in np.linspace(0, T, JUMPS + 2)[1:-1].astype(int):
            rows = slice(max(1, middle - JUMP_FRAMES // 2), middle + JUMP_FRAMES // 2)
            for part, size in (
                (hand_moved[:, :3], JUMP),
                (hand_moved[:, 3:6], JUMP_TURN),
                (shift, JUMP),
                (turn, JUMP_TURN),
            ):
                part[rows] = size * _direction(rng)
    q, target = reference.q + hand_moved, reference.target + hand_moved
    for joints in (q, target):
        joints[:, 6:] = np.clip(joints[:, 6:], hand.lower, hand.upper)
    pose = reference.object_pose
    pose = make_pose(pose[:, :3] + shift, quat_multiply(rotvec_to_quat(turn), pose[:, 3:]))
    q[0], target[0], pose[0] = reference.q[0], reference.target[0], reference.object_pose[0]
    named = f"{reference.name} ({kind})"
    return replace(reference, name=named, q=q, target=target, object_pose=pose, arm_q=np.zeros((0, 7)))


def _smooth_noise(rng: np.random.Generator, frames: int, width: int) -> np.ndarray:
    """(frames, width) of unit variance, correlated over SMOOTH frames."""
    pad = int(4 * SMOOTH)
    white = rng.standard_normal((frames + 2 * pad, width))
    smooth = gaussian_filter1d(white, SMOOTH, axis=0)[pad:-pad]
    out: np.ndarray = smooth * np.sqrt(2 * SMOOTH * np.sqrt(np.pi))  # the filter's gain for white noise
    return out


def _direction(rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal(3)
    direction: np.ndarray = x / np.linalg.norm(x)
    return direction
