"""`dexhot bench fit`, robot hands: the object's pose from colour and masks, the hand's joints known.

Clips of GRAB, retargeted to a LEAP or an Allegro hand, are simulated with the reference's targets and drawn as a camera
sees them; the masks have the middle level's errors. The object is where the simulation brought it, held or dropped.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from dexhot.data.labels import LABELS
from dexhot.data.recording import Recording
from dexhot.data.types import RATE, Evidence, HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.robot_hand import RobotMotion, fit_robot_hand
from dexhot.fitting.scene import object_model
from dexhot.geometry.cameras import Intrinsics, pinhole
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.metrics.add_s import add_s
from dexhot.metrics.pose_errors import chamfer
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import Scene, floating_scene
from dexhot.synthesis.noise import MaskNoise, noise_level
from dexhot.synthesis.rig_pictures import FOVY, RigPictures
from dexhot.synthesis.scene import OPTICAL
from dexhot.synthesis.view import look_at

HANDS = {"": "leap_right", ", Allegro": "allegro_right"}  # suffix of a row -> hand; the paper's is an Allegro
SIZE = 320, 240  # px
FRAMES, EVERY = 16, 6  # of a clip, and 60 Hz frames from one to the next
BEFORE = 12  # 60 Hz frames before the object moves at which a clip begins
AWAY = 0.55  # m from the camera to the object
TURNS, TILTS = 8, (0.35, 0.8)  # directions that are tried: about the vertical, and rad down onto the table


@dataclass(frozen=True)
class RobotClip:
    """A drawn clip with its truth."""

    recording: Recording
    evidence: Evidence
    motion: RobotMotion
    object_pose: np.ndarray  # (T, 7) world_T_mesh
    asset: ObjectAsset


@lru_cache(maxsize=2)
def grab_clip(name: str, seed: int, frames: int, hand: str) -> RobotClip:
    """A clip of the cache as a robot's hand does it."""
    from dexhot.datasets.library import load_clip
    from dexhot.objects.library import load_object

    trajectory = load_clip(name)
    return simulated(trajectory, load_object(trajectory.object_name), seed, frames, hand)


@lru_cache(maxsize=2)
def parametric_clip(kind: str, shape: str, seed: int, frames: int, hand: str) -> RobotClip:
    """A parametric clip, where GRAB is not in the cache."""
    from dexhot.datasets.parametric import generate

    trajectory, asset = generate(kind, shape, seed)[:2]
    return simulated(trajectory, asset, seed, frames, hand)


def simulated(trajectory: HandObjectTrajectory, asset: ObjectAsset, seed: int, frames: int, name: str) -> RobotClip:
    """Retargeted, simulated with the reference's targets, and drawn."""
    from dexhot.retargeting.retarget import retarget
    from dexhot.rollouts.floating import floating_simulator, run_floating
    from dexhot.simulation.setup import Setup, physics_of

    hand = load_hand(name)
    reference = retarget(trajectory, hand, asset)
    rollout = run_floating(
        reference, reference.target, floating_simulator(reference, Setup(hand, asset, physics_of(reference)))
    )
    first = max(0, reference.grasp_start - BEFORE)
    chosen = np.arange(first, len(rollout.q), EVERY)[:frames]
    scene = floating_scene(hand, asset, reference.base_quat, load_physics(), reference.table_height)
    clip = f"{trajectory.name}-{seed}"
    return draw(clip, scene, hand, reference.base_quat, rollout.q[chosen], rollout.object_pose[chosen], seed)


def draw(
    name: str, scene: Scene, hand: RobotHand, base_quat: np.ndarray, q: np.ndarray, object_pose: np.ndarray, seed: int
) -> RobotClip:
    """Pictures and noisy masks of a floating hand at q (T, 6+n) and the object at (T, 7). Raises ClipError where the
    object is hidden from everywhere."""
    assert scene.object is not None
    camera = pinhole(*SIZE, FOVY)
    middle = object_pose[:, :3].mean(axis=0)
    pictures = RigPictures(scene, camera, look_at(middle + [AWAY, 0.0, 0.3], middle), "none", seed)
    try:
        view = _best_view(pictures, q, object_pose, middle)
        drawn = [pictures.draw(*row) + (_labels(pictures),) for row in zip(q, object_pose)]
    finally:
        pictures.close()
    color, depth, exact = (np.stack(x) for x in zip(*drawn))
    noise = MaskNoise(camera, noise_level("middle"), np.random.default_rng(seed))
    labels = np.stack([noise(picture) for picture in exact])
    stamps = np.arange(len(q)) * EVERY / RATE
    recording = Recording(name, stamps, color, depth, camera, view)
    seen = np.full((len(q), 7), np.nan)
    motion = RobotMotion(hand.name, stamps, q[:, 6:], palm_poses(base_quat, q))
    return RobotClip(recording, Evidence(name, stamps, labels, {}, {}, seen), motion, object_pose, scene.object)


def _best_view(pictures: RigPictures, q: np.ndarray, object_pose: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(7,) world_T_camera from which most of the object is seen at the worst of three moments; the camera is put
    there."""
    moments = np.linspace(0, len(q) - 1, 3).astype(int)
    best, found = 0, None
    for turn in np.linspace(0.0, 2.0 * np.pi, TURNS, endpoint=False):
        for tilt in TILTS:
            away = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])
            view = look_at(middle + AWAY * away, middle)
            _aim(pictures, view)
            seen = []
            for t in moments:
                pictures.place(q[t], object_pose[t])
                seen.append(int((_labels(pictures) == LABELS["object"]).sum()))
            if min(seen) > best:
                best, found = min(seen), view
    if found is None:
        raise ClipError("the object is hidden from every side.")
    _aim(pictures, found)
    return found


def _aim(pictures: RigPictures, world_T_camera: np.ndarray) -> None:
    pose = compose(world_T_camera, inverse(OPTICAL))
    fixed = pictures.scene.model.camera("workspace")
    fixed.pos, fixed.quat = pose[:3], pose[3:]


def _labels(pictures: RigPictures) -> np.ndarray:
    """(H, W) uint8 of what was last drawn or placed: the robot's hand has the label of a right one."""
    model, renderer = pictures.scene.model, pictures.renderer
    renderer.enable_segmentation_rendering()
    renderer.update_scene(pictures.data, camera="workspace")
    ids, kinds = np.moveaxis(renderer.render(), -1, 0)
    renderer.disable_segmentation_rendering()
    geom = int(mujoco.mjtObj.mjOBJ_GEOM)  # with the enum itself, numpy compares objects, which takes 0.1 s
    body = np.where(kinds == geom, model.geom_bodyid[np.maximum(ids, 0)], 0)
    thing = model.body("object").id
    return np.select([body == thing, body > 0], [LABELS["object"], LABELS["right"]], 0).astype(np.uint8)


def measure(clip: RobotClip, recipe: Recipe) -> dict[str, float]:
    """Errors of the object's pose, mean over the frames."""
    model = object_model(clip.asset)
    began = time.thread_time()
    found = fit_robot_hand(clip.recording, clip.evidence, model, recipe, clip.motion).object_pose
    seconds = (time.thread_time() - began) / len(found)
    assert clip.recording.world_T_camera is not None
    world, true = compose(clip.recording.world_T_camera, found), clip.object_pose
    camera_T_world = inverse(clip.recording.world_T_camera)
    off = transform(world, model.centre) - transform(true, model.centre)
    quats = world[:, 3:], true[:, 3:]
    surfaces = [(transform(a, model.samples), transform(b, model.samples)) for a, b in zip(world, true)]
    camera: Intrinsics = clip.recording.intrinsics
    images = [tuple(camera.project(transform(camera_T_world, x)) for x in pair) for pair in surfaces]
    return {
        "t_err_mm": 1e3 * float(np.linalg.norm(off, axis=1).mean()),
        "r_err_deg": float(np.degrees(reduced_angle(clip.asset.symmetry, *quats)).mean()),
        "r_err_raw_deg": float(np.degrees(quat_angle(*quats)).mean()),
        "add_s_mm": 1e3 * float(add_s(clip.asset, world, true).mean()),
        "chamfer_3d_mm": 1e3 * float(np.mean([chamfer(*pair) for pair in surfaces])),
        "chamfer_2d_px": float(np.mean([chamfer(*pair) for pair in images])),
        "s_per_frame": seconds,
    }
