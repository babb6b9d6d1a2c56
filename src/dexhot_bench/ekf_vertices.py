"""HandyPriors' eq. 9 as published, beside ours: an object carried by the hand's vertices in contact, or by keypoints.

The hand is the open hand, fitted to the true keypoints of the moment at which the object is hidden. Its vertices within
TOUCH of the object carry it from then on; each moves with its bone: with the palm, and then by the smallest turn to the
bone's direction. That is more than a filter could know, so what is gained by vertices is not underestimated.
"""

import time
from typing import Any

import numpy as np

from dexhot.datasets.library import load_clip
from dexhot.fitting.clip import convention_of
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.geometry import single
from dexhot.humans.open_hand import open_hand
from dexhot.objects.library import load_object
from dexhot.objects.volume import object_volume
from dexhot.tracking.contact_dynamics import Carried, carry, skew
from dexhot.tracking.hand_object_filter import HandObjectFilter, _State
from dexhot.tracking.observations import Observation
from dexhot_bench.ekf_motions import HIDDEN, RealMotion, lifts, pose_error, sighted

TOUCH = 0.006  # m; the fitted hand's keypoints are 2.4 mm off
FEWEST = 6  # vertices in contact
BEFORE, FITTED = 20, 6  # frames before it is hidden, and how many of them, from which the hand's shape is fitted
FINGERS = np.array([(4 * f + j, 4 * f + j + 1) for f in range(5) for j in (1, 2, 3)])  # bones: (from, to)
PALM = np.array([0, 5, 17])  # wrist, knuckles of index and little finger


class ContactVertices:
    """Vertices (N, 3) on a hand of keypoints (21, 3), and how they move with them."""

    def __init__(self, keypoints: np.ndarray, vertices: np.ndarray):
        self.keypoints, self.vertices = keypoints, vertices
        a, b = keypoints[FINGERS[:, 0]], keypoints[FINGERS[:, 1]]
        along = np.clip(((vertices[:, None] - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(-1), 0.0, 1.0)
        away = np.linalg.norm(vertices[:, None] - (a + along[..., None] * (b - a)), axis=-1)
        middle = keypoints[[0, 1, 5, 9, 13, 17]].mean(axis=0)
        near_palm = 0.5 * np.linalg.norm(vertices - middle, axis=-1)  # the palm is as wide as four fingers
        self.bone = np.where(away.min(axis=1) < near_palm, away.argmin(axis=1), -1)
        self.directions = (b - a) / np.linalg.norm(b - a, axis=1, keepdims=True)
        self.frame = palm_frame(keypoints[PALM])

    def at(self, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vertices (N, 3) of other keypoints, and their derivative (3N, 63); by the palm's points, which turn all
        of them, from differences."""
        moved, J = self.placed(keypoints), np.zeros((len(self.vertices), 3, 21, 3))
        for bone in np.unique(self.bone[self.bone >= 0]):
            which, (i, j) = self.bone == bone, FINGERS[bone]
            along = keypoints[j] - keypoints[i]
            by_end = -skew(moved[which] - keypoints[i]) @ skew(along) / (along @ along)
            J[which, :, j], J[which, :, i] = by_end, np.eye(3) - by_end
        for k, axis in np.ndindex(3, 3):
            other = keypoints.copy()
            other[PALM[k], axis] += 1e-5
            J[:, :, PALM[k], axis] = (self.placed(other) - moved) / 1e-5
        return moved, J.reshape(-1, 63)

    def placed(self, keypoints: np.ndarray) -> np.ndarray:
        """(N, 3) of other keypoints."""
        frame, moved = palm_frame(keypoints[PALM]), np.empty_like(self.vertices)
        with_palm = frame @ self.frame.T
        for bone in np.unique(self.bone):
            which = self.bone == bone
            if bone < 0:
                start, end, turn = self.keypoints[PALM].mean(axis=0), keypoints[PALM].mean(axis=0), with_palm
            else:
                i, j = FINGERS[bone]
                start, end, along = self.keypoints[i], keypoints[i], keypoints[j] - keypoints[i]
                turn = smallest_turn(with_palm @ self.directions[bone], along / np.linalg.norm(along)) @ with_palm
            moved[which] = (self.vertices[which] - start) @ turn.T + end
        return moved


class VertexFilter(HandObjectFilter):
    """Carries by vertices once it has them."""

    contact: ContactVertices | None = None

    def _carry(self, before: np.ndarray, after: np.ndarray, s: _State, position: np.ndarray | None = None) -> Carried:
        if self.contact is None:
            return super()._carry(before, after, s, position)
        (v0, J0), (v1, J1) = self.contact.at(before), self.contact.at(after)
        c = carry(v0, v1, np.ones(len(v0)), s.p if position is None else position)
        return c._replace(by_before=c.by_before @ J0, by_after=c.by_after @ J1)


def beside(motions: list[RealMotion], clips: int) -> dict[str, Any]:
    """Median drift while hidden, and CPU time of a frame, of the same lifts with keypoints and with vertices."""
    held = lifts(motions, clips)
    rows = [hide(m, seed) for seed, m in enumerate(held)]
    found = [row for row in rows if row is not None]
    out: dict[str, Any] = {"contact_clips": len(found)}
    for k, name in enumerate(("keypoints", "vertices") if found else ()):
        cm, deg, ms = np.median([row[k] for row in found], axis=0)
        out |= {f"by_{name}_drift_cm": cm, f"by_{name}_drift_deg": deg, f"by_{name}_hidden_ms": ms}
    return out


def hide(motion: RealMotion, seed: int) -> list[tuple[float, float, float]] | None:
    """cm, deg and ms, with keypoints and with vertices; None where too few vertices touch the object."""
    first = motion.lifted()
    assert first is not None
    touching = contact_of(motion, first)
    if len(touching) < FEWEST:
        return None
    last = int(np.searchsorted(motion.time, motion.time[first] + HIDDEN - 1e-6))
    out = []
    for by_vertices in (False, True):
        f, spent = VertexFilter(symmetry=motion.symmetry), []
        for k, seen in enumerate(sighted(motion, seed)[: last + 1]):
            now: list[Observation] = [seen.hand] if k > first or seen.object is None else [seen.hand, seen.object]
            began = time.thread_time()
            f.observe(seen.stamp, *now)
            if k > first:
                spent.append(time.thread_time() - began)
            if k == first and by_vertices:
                f.contact = ContactVertices(motion.keypoints[k], touching)
        error = pose_error(f.estimate().object_pose, motion.pose[last], motion.symmetry)
        drift = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
        out.append((100 * drift[0], float(np.degrees(drift[1])), 1e3 * float(np.median(spent))))
    return out


def contact_of(motion: RealMotion, frame: int) -> np.ndarray:
    """(N, 3) m: vertices of the fitted hand at the object."""
    clip, hand = load_clip(motion.name), open_hand("right")
    frames = np.unique(np.linspace(max(frame - BEFORE, 0), frame, FITTED).astype(int))
    seen = [Sighting(np.ones(21), points=motion.keypoints[t]) for t in frames]
    vertices = fit_hand(hand, hand.table(convention_of(clip, "right")), seen).posed(len(frames) - 1).vertices
    volume = object_volume(load_object(motion.object_name))
    local = single.transform(single.inverse(motion.pose[frame]), vertices)
    touching: np.ndarray = vertices[volume.distance(local)[0] < TOUCH]
    return touching


def palm_frame(palm: np.ndarray) -> np.ndarray:
    """(3, 3) axes of wrist and two knuckles (3, 3)."""
    x = palm[1] - palm[0]
    x = x / np.linalg.norm(x)
    z = np.cross(x, palm[2] - palm[0])
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def smallest_turn(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of one unit vector into another."""
    K = skew(np.cross(before, after))
    turn: np.ndarray = np.eye(3) + K + K @ K / (1.0 + before @ after)
    return turn
