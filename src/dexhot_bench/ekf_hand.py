"""A hand whose keypoints are not found for a moment, as detectors miss it: rows of `dexhot bench ekf`.

GRAB's lifts. The open hand is fitted to a clip's keypoints; another person of that shape, with other bones, an uneven
skin and a forearm (`synthesis/person.py`), makes its motion before a camera, with the object before or behind the hand.
For KNOWN seconds the filter has noisy keypoints in space, from the moment of the lift on, for GAP seconds, only

none      nothing
box       a detector's box of the hand, without the forearm
mask      a segmenter's mask of hand and forearm
pixels    the keypoints' pixels

Errors are of the keypoints at the end, and of their centre in the image.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from dexhot.data.keypoints import NAMES
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.geometry.cameras import pinhole
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import inverse, transform
from dexhot.humans.flesh import flesh
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.objects.library import load_object
from dexhot.synthesis.person import arm_faces, backward, draw_person, forearm
from dexhot.synthesis.view import look_at
from dexhot.tracking.hand_object_filter import HandObjectFilter
from dexhot.tracking.observations import SeenKeypoints, SeenPixels, Single
from dexhot.tracking.silhouettes import OfHand, seen_box, seen_mask
from dexhot_bench.ekf_motions import KEYPOINT, RealMotion, lifts

ROWS = ("none", "box", "mask", "pixels")
KNOWN, GAP = 1.0, 0.2  # s; the gap is the mean one of synthesis.yaml's middle level
PIXEL = 3.0  # px, sigma of a keypoint in the image
CAMERA, AWAY = pinhole(320, 240, 42.0), 0.6  # the live graph's images; m from the hand
TABLE = "mediapipe"


def hand_rows(motions: list[RealMotion], clips: int) -> dict[str, Any]:
    """Metrics `missed_hand_ROW_mm`, `_px` and `_update_ms` (CPU time, a mask's with what is made of its image), medians
    over at most `clips` lifts."""
    held = lifts(motions, clips)
    out: dict[str, Any] = {"missed_hand_clips": len(held)}
    scenes = [MissedHand(m, seed) for seed, m in enumerate(held)]
    for row in ROWS if held else ():
        found = np.array([follow_missed(scene, seed, row) for seed, scene in enumerate(scenes)])
        for name, value in zip(("mm", "px", "update_ms"), np.median(found, axis=0)):
            out[f"missed_hand_{row}_{name}"] = float(value)
    return out


class MissedHand:
    """A person's keypoints (T, 21, 3) m from KNOWN s before a lift to GAP s after it, and masks of what is after it."""

    def __init__(self, motion: RealMotion, seed: int):
        first = motion.lifted()
        assert first is not None
        chosen = (motion.time >= motion.time[first] - KNOWN) & (motion.time <= motion.time[first] + GAP)
        self.time, self.gap = motion.time[chosen], motion.time[chosen] > motion.time[first]
        hand = open_hand("right")
        seen = [Sighting(np.ones(len(NAMES)), points=points) for points in motion.keypoints[chosen]]
        fit, rng = fit_hand(hand, hand.table(motion.convention), seen), np.random.default_rng(seed)
        person = draw_person(rng, "right", fit.shape)
        posed = [person.hand.shaped().posed(HandPose.from_vector(pose)) for pose in fit.poses]
        self.keypoints = np.array([p.keypoints(person.hand.table(TABLE)) for p in posed])
        turn, centre = rng.uniform(0.0, 2.0 * np.pi), self.keypoints[~self.gap][-1].mean(axis=0)
        eye = centre + AWAY * np.array([0.8 * np.cos(turn), 0.8 * np.sin(turn), 0.6])
        self.view = inverse(look_at(eye, centre))
        thing = load_object(motion.object_name)
        self.body = OfHand(*flesh(hand, TABLE))
        self.hands, self.masks, self.hidden = [], [], []  # (H, W) bool of each image: hand, with forearm, and object
        for p, pose in zip(np.array(posed)[self.gap], motion.pose[chosen][self.gap]):
            alone = self.drawn(p.vertices, person.hand.faces)
            both = np.minimum(alone, self.drawn(forearm(person, p, backward(p)), arm_faces()))
            other = self.drawn(transform(pose, thing.vertices), thing.faces)
            self.hands.append(np.isfinite(alone) & (alone <= other))
            self.masks.append(np.isfinite(both) & (both <= other))
            self.hidden.append(other < both)

    def drawn(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """(H, W) m depth of a mesh in the world; inf where it is not."""
        depth = np.full((CAMERA.height, CAMERA.width), np.inf)
        draw_depth(transform(self.view, vertices), faces, CAMERA.pinhole, depth)
        return depth


def follow_missed(scene: MissedHand, seed: int, row: str) -> tuple[float, float, float]:
    """The error at the end of the gap, mm and px, and the time of an update in it, ms."""
    f, rng, spent = HandObjectFilter(), np.random.default_rng(seed), []
    for stamp, points in zip(scene.time[~scene.gap], scene.keypoints[~scene.gap]):
        f.observe(stamp, SeenKeypoints(points + rng.normal(0, KEYPOINT, points.shape), KEYPOINT))
    for k, stamp in enumerate(scene.time[scene.gap]):
        began = time.thread_time()
        seen = observed_in_image(scene, k, row, rng)
        if seen is not None:
            f.observe(stamp, seen)
        spent.append(time.thread_time() - began)
    true, found = scene.keypoints[-1], f.estimate(scene.time[-1]).keypoints
    off = [CAMERA.project(transform(scene.view, points)).mean(axis=0) for points in (true, found)]
    error = np.linalg.norm(found - true, axis=1).mean()
    return 1e3 * float(error), float(np.linalg.norm(off[1] - off[0])), 1e3 * float(np.median(spent))


def observed_in_image(scene: MissedHand, k: int, row: str, rng: np.random.Generator) -> Single | None:
    """What of the gap's k-th image the row takes."""
    if row == "box":
        return seen_box(scene.hands[k], scene.hidden[k], replace(scene.body, forearm=False), CAMERA, scene.view)
    if row == "mask":
        return seen_mask(scene.masks[k], scene.hidden[k], scene.body, CAMERA, scene.view)
    if row == "pixels":
        pixels = CAMERA.project(transform(scene.view, scene.keypoints[scene.gap][k]))
        return SeenPixels(pixels + rng.normal(0, PIXEL, pixels.shape), CAMERA, scene.view, PIXEL)
    return None
