"""Where the camera stands: 0.5 to 0.9 m away, so that the scene is in view and neither hand nor object is hidden."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat, quat_rotate, rotvec_to_quat
from dexhot.synthesis.motion import PhysicalMotion
from dexhot.synthesis.scene import SceneRenderer

NEAREST, FARTHEST, STEP = 0.5, 0.9, 0.02  # m
HEIGHTS = (20.0, 55.0)  # degrees of the camera above the horizontal through what it looks at
SPARE = 0.3  # largest fraction of the way from the nearest distance to the farthest that is taken
CANDIDATES, MOMENTS = 16, 3
BORDER = 0.04  # fraction of the picture's height, kept free
ENOUGH = 0.025  # fraction of the picture that hand and object should each cover at least
SHOWN = 0.6  # fraction of a hand's keypoints that should be seen at least: below it, hands are rarely found in pictures
SKIN = 0.022  # m, largest depth of a joint below the skin in front of it


@dataclass(frozen=True)
class View:
    """A camera at rest, and the frames in which all is in its view."""

    world_T_camera: np.ndarray  # (7,)
    distance: float  # m, to the middle of the motion
    frames: slice


def choose_view(
    renderer: SceneRenderer,
    camera: Intrinsics,
    motion: PhysicalMotion,
    points: np.ndarray,
    keypoints: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> View:
    """The best of CANDIDATES random directions: all frames in view, hand and object seen. `points` (T, P, 3) m: what
    must be in view; `keypoints`: of each hand, (T, 21, 3) m."""
    low, high = points.reshape(-1, 3).min(axis=0), points.reshape(-1, 3).max(axis=0)
    best, best_score = None, -1.0
    for _ in range(CANDIDATES):
        turn, tilt = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*HEIGHTS))
        spare = rng.uniform()
        view = place(camera, 0.5 * (low + high), turn, tilt, points, spare)
        if view.frames.stop - view.frames.start < len(points):  # too long a way: aim at the part that is in view
            part = points[view.frames].reshape(-1, 3)
            again = place(camera, part.mean(axis=0), turn, tilt, points, spare) if len(part) else view
            view = max(view, again, key=lambda v: v.frames.stop - v.frames.start)
        score = (view.frames.stop - view.frames.start) / len(points)
        score *= _seen(renderer, camera, motion, keypoints, view)
        if score > best_score:
            best, best_score = view, score
    assert best is not None
    return best


def place(camera: Intrinsics, centre: np.ndarray, turn: float, tilt: float, points: np.ndarray, spare: float) -> View:
    """A view from one direction: `spare` in [0, 1] is how much farther than necessary it stands, up to SPARE."""
    away = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])
    distances = np.arange(NEAREST, FARTHEST + 1e-9, STEP)
    shown = [in_view(camera, look_at(centre + d * away, centre), points) for d in distances]
    fits = [k for k, seen in enumerate(shown) if seen.all()]
    k = fits[int(spare * SPARE * (len(fits) - 1))] if fits else len(distances) - 1
    return View(look_at(centre + distances[k] * away, centre), float(distances[k]), longest_run(shown[k]))


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(7,) world_T_camera of an optical frame (x right, y down) at `eye`, upright."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return make_pose(eye, matrix_to_quat(np.stack([x, np.cross(z, x), z], axis=1)))


def around(world_T_camera: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """(7,) world_T_camera after going round the vertical axis through `centre`."""
    turn = rotvec_to_quat(np.array([0.0, 0.0, np.radians(degrees)]))
    return compose(make_pose(centre - quat_rotate(turn, centre), turn), world_T_camera)


def in_view(camera: Intrinsics, world_T_camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(T,) bool: all points (T, P, 3) are in the picture, BORDER from its edge."""
    seen: np.ndarray = transform(inverse(world_T_camera), points)
    pixels = camera.project(np.where(seen[..., 2:] > 0.05, seen, [0.0, 0.0, 1.0]))
    edge = BORDER * camera.height
    inside = (pixels >= edge) & (pixels <= np.array([camera.width, camera.height]) - 1 - edge)
    found: np.ndarray = np.all(inside.all(axis=-1) & (seen[..., 2] > 0.05), axis=-1)
    return found


def longest_run(good: np.ndarray) -> slice:
    """The longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(int), [0]])))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return slice(0, 0)
    k = int(np.argmax(ends - starts))
    return slice(int(starts[k]), int(ends[k]))


def shown(
    camera: Intrinsics, world_T_camera: np.ndarray, points: np.ndarray, depth: np.ndarray, hand: np.ndarray
) -> float:
    """Fraction of a hand's keypoints (K, 3) m that are seen: their pixel shows the hand, `hand` (H, W) bool, at most
    SKIN before them, `depth` (H, W) m."""
    seen = transform(inverse(world_T_camera), points)
    u, v = np.round(camera.project(seen)).astype(int).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    at = np.where(inside, v, 0), np.where(inside, u, 0)
    return float((inside & hand[at] & (seen[:, 2] - depth[at] < SKIN)).mean())


def _seen(
    renderer: SceneRenderer, camera: Intrinsics, motion: PhysicalMotion, keypoints: dict[str, np.ndarray], view: View
) -> float:
    """How well hands and object are seen in some frames, in [0, 1]: 1 where each is large enough, and where enough of
    each hand faces the camera."""
    if view.frames.stop == view.frames.start:
        return 0.0
    renderer.aim(view.world_T_camera)
    large, facing = [], []
    for t in np.linspace(view.frames.start, view.frames.stop - 1, MOMENTS + 2).astype(int)[1:-1]:
        renderer.pose({side: poses[t] for side, poses in motion.poses.items()}, motion.object_pose[t])
        labels, depth = renderer.labels(), renderer.depth()
        wanted = [LABELS["object"], *(LABELS[side] for side in motion.poses)]
        large.append(min(min((labels == k).mean() / ENOUGH, 1.0) for k in wanted))
        faces = (
            shown(camera, view.world_T_camera, points[t], depth, labels == LABELS[side])
            for side, points in keypoints.items()
        )
        facing.append(min(1.0, *(face / SHOWN for face in faces)))
    return float(np.mean(large) * np.mean(facing))
