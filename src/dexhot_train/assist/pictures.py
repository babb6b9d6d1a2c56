"""A person's hand in given poses, drawn, and what the embedded keypoint estimator makes of the pictures."""

from collections.abc import Iterable

import numpy as np

from dexhot.data.keypoints import MIDDLE_MCP, WRIST
from dexhot.datasets.hand_poses import palm_size, viewpoints
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.geometry.cameras import Intrinsics, pinhole
from dexhot.geometry.poses import inverse, transform
from dexhot.humans.skin import HandPose
from dexhot.perception.hand_landmarks import LandmarkHands
from dexhot.perception.live import LiveEyes
from dexhot.synthesis.person import draw_person
from dexhot.synthesis.scene import SceneRenderer, draw_look
from dexhot.synthesis.view import HEIGHTS, place

CAMERA = pinhole(640, 480, 42.0)
SIDES = 8  # random ones that are compared
TABLE = -0.8  # m: far below the hand, which is in mid-air
SIGMA = 0.003  # m, of the keypoints that a person's hand is fitted to
UNKNOWN = np.full((21, 3), np.nan)
PERIOD = 0.03  # s between pictures of a film


def virtual_camera(keypoints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(7,) world_T_camera that sees all of keypoints (T, 21, 3) m: of some random sides the one to which the hand turns
    its back or its palm most, as a user would put the camera."""
    points = keypoints.reshape(-1, 3)
    centre = 0.5 * (points.min(axis=0) + points.max(axis=0))
    best, most = np.zeros(7), -1.0
    for _ in range(SIDES):
        turn, tilt = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*HEIGHTS))
        camera = place(CAMERA, centre, turn, tilt, keypoints, 0.0).world_T_camera
        flat = float(np.abs(viewpoints(in_camera(camera, keypoints))[:, 2]).mean())
        if flat > most:
            best, most = camera, flat
    return best


def estimated(
    keypoints: np.ndarray, world_T_camera: np.ndarray, rng: np.random.Generator, continuous: bool = True
) -> np.ndarray:
    """Estimates (T, 21, 3) m, world, of hands at keypoints (T, 21, 3) m, NaN where no right hand was found.

    A random person's hand takes the poses about the same wrists, at the palm size of the keypoints; the estimator knows
    the length of that palm, as from a calibration. continuous: the pictures are one film, and the hand is followed.
    """
    person = draw_person(rng, "right")
    table = person.hand.table(person.hand.own_convention)
    neutral = person.hand.shaped()
    rest = neutral.posed(HandPose()).keypoints(table)
    wrists = keypoints[:, [WRIST]]
    size = (palm_size(rest) / palm_size(keypoints))[:, None, None]
    own = wrists + size * (keypoints - wrists)
    sightings = [Sighting(np.ones(21), points=points) for points in own]
    fit = fit_hand(person.hand, table, sightings, SIGMA, shape=np.zeros(person.hand.shape_size), continuous=continuous)
    length = float(np.linalg.norm(rest[MIDDLE_MCP] - rest[WRIST]))
    centre = keypoints.reshape(-1, 3).mean(axis=0)
    eyes, out = live_eyes(CAMERA, length), np.empty_like(keypoints)
    with SceneRenderer(CAMERA, {"right": person}, None, draw_look(rng), TABLE, centre) as renderer:
        renderer.aim(world_T_camera)
        for t, pose in enumerate(fit.poses):
            renderer.pose({"right": HandPose.from_vector(pose)})
            if not continuous:
                eyes = live_eyes(CAMERA, length)
            depth = np.round(1e3 * renderer.depth()).astype(np.uint16)
            seen = sighted(eyes, renderer.color(), depth, PERIOD * t)
            out[t] = wrists[t] + (transform(world_T_camera, seen) - wrists[t]) / size[t]
    return out


def estimated_on(
    images: Iterable[np.ndarray], camera: Intrinsics, keypoints: np.ndarray, mirrored: bool = False
) -> np.ndarray:
    """Estimates (N, 21, 3) m in the camera's frame on colour images (H, W, 3) that are no film, NaN for misses; the
    lengths of the palms of the true keypoints (N, 21, 3) are known. mirrored: the images show left hands; camera and
    keypoints are those of the mirrored images."""
    out, none = np.empty_like(keypoints), np.zeros((camera.height, camera.width), np.uint16)
    for k, image in enumerate(images):
        length = float(np.linalg.norm(keypoints[k, MIDDLE_MCP] - keypoints[k, WRIST]))
        shown = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
        out[k] = sighted(live_eyes(camera, length), shown, none, 0.0)
    return out


def live_eyes(camera: Intrinsics, palm: float) -> LiveEyes:
    """The perception of the live graph, of one right hand; palm: wrist to middle knuckle, m."""
    return LiveEyes(camera, None, LandmarkHands(), ("right",), palm_length=palm)


def sighted(eyes: LiveEyes, color: np.ndarray, depth: np.ndarray, time: float) -> np.ndarray:
    """(21, 3) m in the camera's frame, of the right hand in an image (depth in mm, 0 unknown); NaN without one."""
    seen = eyes.look(color, depth, time).keypoints
    points: np.ndarray = seen["right"][:, :3] if "right" in seen else UNKNOWN
    return points


def in_camera(world_T_camera: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """World keypoints (..., 21, 3) in the camera's frame."""
    seen: np.ndarray = transform(inverse(world_T_camera), keypoints)
    return seen
