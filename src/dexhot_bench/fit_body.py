"""`dexhot bench fit`, bodies: people at boxes, cylinders and balls in single rendered images, from perturbed starts.

The rendered person is not the fitted one (another shape, 4 % taller or smaller, bumps); the masks have the middle
level's errors. The object touches the person: it was moved until they just do.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from dexhot.data.labels import LABELS
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import ClipError
from dexhot.fitting.body import BodyState, fit_body, perturbed_body
from dexhot.fitting.kernels import distances_beyond
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.scene import ObjectModel, object_model
from dexhot.geometry.cameras import pinhole
from dexhot.geometry.distance_kernels import signed_distances
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat, quat_angle, quat_to_matrix, rotvec_to_quat
from dexhot.geometry.triangles import vertex_normals
from dexhot.humans.body import NAMES, SkinnedBody, open_body
from dexhot.humans.skin import HandPose
from dexhot.metrics.add_s import add_s
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.simulation.renderer import new_renderer
from dexhot.synthesis.noise import MaskNoise, noise_level
from dexhot.synthesis.scene import OPTICAL
from dexhot.synthesis.view import look_at

# what the person does with which object, and the seed
SCENES = [
    ("hold", "parametric/box-400x250x300", 1), ("sit", "parametric/box-450x450x430", 2),
    ("hold", "parametric/sphere-350", 3), ("sit", "parametric/cylinder-380x450", 4),
]  # fmt: skip
PUBLISHED = {  # table V, on COCO: IoU of the masks, and the shared volume (cm3)
    "PHOSA": {"human_iou": 0.45, "object_iou": 0.51, "collision_cm3": 6818.18},
    "+ L_render": {"human_iou": 0.64, "object_iou": 0.59, "collision_cm3": 8742.63},
    "+ L_physics": {"human_iou": 0.68, "object_iou": 0.64, "collision_cm3": 666.67},
}
STARTS = 4  # of each scene
SIZE, FOVY, AWAY = (320, 240), 45.0, 2.8  # px, degrees, m
POSES = {  # rotation vectors (rad) by joint, in SMPL's T pose
    "hold": {
        "left_shoulder": (0.3, -0.6, -0.9), "right_shoulder": (0.3, 0.6, 0.9), "left_elbow": (0.0, -1.3, 0.0),
        "right_elbow": (0.0, 1.3, 0.0),
    },
    "sit": {
        "left_hip": (-1.45, 0.15, 0.1), "right_hip": (-1.45, -0.15, -0.1), "left_knee": (1.45, 0.0, 0.0),
        "right_knee": (1.45, 0.0, 0.0), "left_shoulder": (0.2, 0.0, -1.1), "right_shoulder": (0.2, 0.0, 1.1),
    },
}  # fmt: skip
PLACES = {"hold": ((0.0, 0.15, 0.9), (0.0, 0.0, -1.0)), "sit": ((0.0, -1.2, -0.05), (0.0, 1.0, 0.0))}
# from the pelvis (SMPL's axes): where the object starts, and where it goes until it touches the person
UPRIGHT = rotvec_to_quat(np.array([-0.5 * np.pi, 0.0, 0.0]))  # an object's z to SMPL's y
TALLER, BUMP = 0.04, 0.006  # standard deviations: of the size, and of the skin (m)
JITTER = 0.08  # rad, of every joint
TOUCHING = 0.004  # m, how deep the person may be in the object
STEP = 0.004  # m
VOXEL = 0.015  # m


@dataclass(frozen=True)
class BodyScene:
    """A rendered image with its truth."""

    recording: Recording
    evidence: Evidence
    state: BodyState  # one row
    joints: np.ndarray  # (24, 3) m
    asset: ObjectAsset


def names() -> list[str]:
    """Of the scenes."""
    return [f"{kind}-{shape.partition('/')[2]}-{seed}" for kind, shape, seed in SCENES]


@lru_cache(maxsize=4)
def body_scene(kind: str, shape: str, seed: int) -> BodyScene:
    """A person and an object, rendered. Raises ClipError where they do not meet."""
    rng, body, asset = np.random.default_rng(seed), open_body(), load_object(shape)
    model = object_model(asset)
    pose = JITTER * rng.normal(size=(len(NAMES) - 1, 3))
    for name, bend in POSES[kind].items():
        pose[NAMES.index(name) - 1] += bend
    person = body.shaped(0.7 * rng.normal(size=body.shape_size), 1.0 + TALLER * rng.normal())
    state = BodyState(np.eye(3)[None], np.zeros((1, 3)), pose[None], person.shape[None], np.zeros((1, 7)))
    posed = person.posed(HandPose(np.eye(3), -person.joints[0], pose))
    skin = posed.vertices + bumps(posed.vertices, rng)[:, None] * vertex_normals(posed.vertices, body.faces)
    placed = touching(model, skin, kind, rng)
    middle = 0.5 * (skin.min(axis=0) + skin.max(axis=0))
    turn = rng.uniform(-0.9, 0.9)
    eye = middle + AWAY * np.array([np.sin(turn), 0.15, np.cos(turn)])
    upright = make_pose(np.zeros(3), UPRIGHT)  # drawn in a world with z up
    view = look_at(transform(inverse(upright), eye), transform(inverse(upright), middle))
    color, labels = draw(transform(inverse(upright), skin), body.faces, asset, compose(inverse(upright), placed), view)
    noise = MaskNoise(pinhole(*SIZE, FOVY), noise_level("middle"), np.random.default_rng(seed))
    labels = noise(labels)
    if not all((labels == LABELS[what]).any() for what in ("right", "object")):
        raise ClipError("person or object is hidden.")
    name, camera_T_body = f"{kind}-{seed}", compose(inverse(view), inverse(upright))
    recording = Recording(name, np.zeros(1), color[None], np.zeros((1, *labels.shape), np.uint16), pinhole(*SIZE, FOVY))
    evidence = Evidence(name, np.zeros(1), labels[None], {}, {}, np.full((1, 7), np.nan))
    R = quat_to_matrix(camera_T_body[3:])
    state = BodyState(R[None], camera_T_body[None, :3], state.pose, state.shape, compose(camera_T_body, placed)[None])
    return BodyScene(recording, evidence, state, transform(camera_T_body, posed.joints), asset)


def bumps(vertices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(V,) m, smooth over about 10 cm."""
    waves = rng.normal(scale=2.0 * np.pi / 0.3, size=(8, 3))
    found: np.ndarray = BUMP * 0.5 * np.sin(vertices @ waves.T + rng.uniform(0, 2 * np.pi, 8)).sum(axis=1)
    return found


def touching(model: ObjectModel, skin: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """(7,) pelvis_T_mesh of the object, moved from afar until the person is TOUCHING deep in it."""
    start, way = (np.array(x) for x in PLACES[kind])
    quat = matrix_to_quat(
        quat_to_matrix(rotvec_to_quat(np.array([0.0, rng.uniform(-0.4, 0.4), 0.0]))) @ quat_to_matrix(UPRIGHT)
    )
    for k in range(int(2.0 / STEP)):
        pose = make_pose(start + k * STEP * way, quat)
        if depth_in(model, pose, skin) > TOUCHING:
            return pose
    raise ClipError("person and object do not meet.")


def depth_in(model: ObjectModel, pose: np.ndarray, points: np.ndarray) -> float:
    """m, of the deepest point (N, 3) in the object at (7,)."""
    local = np.ascontiguousarray(transform(inverse(pose), points))
    found, slopes = np.empty(len(points)), np.empty_like(points)
    distances_beyond(local, *model.volume, found, slopes)
    return -float(found.min())


def draw(
    skin: np.ndarray, faces: np.ndarray, asset: ObjectAsset, placed: np.ndarray, view: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 and labels (H, W) as a camera at world_T_camera (7,) sees them; the person stands on a floor."""
    spec = mujoco.MjSpec()
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    world = spec.worldbody
    world.add_light(pos=[1.0, -2.0, 3.0], dir=[-0.3, 0.6, -1.0], castshadow=True)
    floor = min(float(skin[:, 2].min()), float(transform(placed, asset.vertices)[:, 2].min())) - 0.01
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 0.1], pos=[0, 0, floor], rgba=[0.6, 0.58, 0.55, 1]
    )
    for name, points, triangles, rgba in (
        ("right", skin, faces, [0.75, 0.55, 0.45, 1.0]),
        ("object", transform(placed, asset.vertices), np.asarray(asset.faces), [0.2, 0.4, 0.7, 1.0]),
    ):
        mesh = spec.add_mesh(name=name, uservert=points.ravel(), userface=triangles.ravel().astype(np.int32))
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
        world.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, rgba=rgba)
    pose = compose(view, OPTICAL)
    world.add_camera(name="eye", pos=pose[:3], quat=pose[3:], fovy=FOVY)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = new_renderer(model, *SIZE)
    try:
        renderer.update_scene(data, "eye")
        color = renderer.render().copy()
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, "eye")
        ids = renderer.render()[..., 0]
    finally:
        renderer.close()
    labels = np.zeros(ids.shape, np.uint8)
    for name in ("right", "object"):
        labels[ids == model.geom(name).id] = LABELS[name]
    return color, labels


def measure(scene: BodyScene, recipe: Recipe, count: int = STARTS) -> dict[str, float]:
    """Errors from perturbed starts, means over them."""
    body, model = open_body(), object_model(scene.asset)
    start = perturbed_body(scene.state, recipe.solver, count, np.random.default_rng(7))
    began = time.thread_time()
    fit = fit_body(scene.recording, scene.evidence, body, model, recipe, start)
    seconds = (time.thread_time() - began) / count
    posed = fit.state.posed(body)
    true = np.tile(scene.state.object_pose, (count, 1))
    off = transform(fit.state.object_pose, model.centre) - transform(true, model.centre)
    quats = fit.state.object_pose[:, 3:], true[:, 3:]
    joints = [np.linalg.norm(one.joints - scene.joints, axis=1).mean() for one in posed]
    return {
        "human_iou": float(fit.human_iou.mean()),
        "object_iou": float(fit.object_iou.mean()),
        "collision_cm3": float(
            np.mean([shared_cm3(body, one.vertices, model, pose) for one, pose in zip(posed, fit.state.object_pose)])
        ),
        "body_joint_mm": 1e3 * float(np.mean(joints)),
        "t_err_mm": 1e3 * float(np.linalg.norm(off, axis=1).mean()),
        "r_err_deg": float(np.degrees(reduced_angle(scene.asset.symmetry, *quats)).mean()),
        "r_err_raw_deg": float(np.degrees(quat_angle(*quats)).mean()),
        "add_s_mm": 1e3 * float(add_s(scene.asset, fit.state.object_pose, true).mean()),
        "s_per_start": seconds,
    }


def shared_cm3(body: SkinnedBody, skin: np.ndarray, model: ObjectModel, pose: np.ndarray) -> float:
    """Volume that person and object share, by cubes of VOXEL."""
    placed = transform(pose, model.samples)
    low = np.maximum(skin.min(axis=0), placed.min(axis=0))
    high = np.minimum(skin.max(axis=0), placed.max(axis=0))
    if (low >= high).any():
        return 0.0
    axes = [np.arange(a + 0.5 * VOXEL, b, VOXEL) for a, b in zip(low, high)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    found, slopes = np.empty(len(nodes)), np.empty_like(nodes)
    distances_beyond(np.ascontiguousarray(transform(inverse(pose), nodes)), *model.volume, found, slopes)
    nodes = nodes[found < 0.0]
    inside = signed_distances(skin, body.faces, nodes) < 0.0 if len(nodes) else np.zeros(0, bool)
    return 1e6 * VOXEL**3 * float(inside.sum())
