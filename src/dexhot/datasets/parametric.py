"""Parametric demonstrations: a simple human hand approaches an object from above, grasps it across and moves it.

Seeded, so tests and the demo's fallback need no download. The world is z-up with the table at z = 0; 60 Hz.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.interpolate import interp1d

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import RATE, HandObjectTrajectory, HandTrack
from dexhot.datasets.human_hand import RELAXED, keypoints, reach
from dexhot.errors import NotFoundError
from dexhot.geometry.poses import compose, make_pose, transform
from dexhot.geometry.rotations import rotvec_to_quat, slerp
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.shapes import SHAPES, Shape, random_shape, shape_asset

KINDS = ("reach", "grasp", "lift", "carry", "regrasp", "rotate", "inhand")
SIDES = ("right", "left")
NAME = re.compile(r"parametric/([a-z]+)-(.+)-(\d+)(-left)?")  # kind, shape, seed
PITCH = 0.2  # rad, downward pitch of the fingers at the grasp
OPENING = 0.025  # m, distance of each fingertip from the surface before closing
SPANNED = 0.003  # m, tolerance of a fingertip's position
REACH_TIME, CLOSE_TIME, HOLD_TIME = 1.2, 0.5, 0.3  # s


@dataclass
class HumanGrasp:
    """A right hand around an object: its open and closed angles, and the contacts that they were solved for.

    In the object's grasp frame: z up, x from the thumb to the fingers, the origin at half its height. A shape's is its
    mesh frame.
    """

    wrist: np.ndarray  # (7,) grasp_T_wrist
    open: np.ndarray  # (15,)
    closed: np.ndarray  # (15,)
    contacts: dict[int, np.ndarray]  # digit -> (3,) grasp frame, m
    miss: float = 0.0  # m, largest fingertip error, open or closed


def generate_named(name: str) -> tuple[HandObjectTrajectory, ObjectAsset] | None:
    """The demonstration "parametric/KIND-SHAPE-SEED", or with "-left" at its end, and its object; None for another
    name. Raises NotFoundError for another kind or shape."""
    if (found := NAME.fullmatch(name)) is None:
        return None
    return generate(found[1], found[2], int(found[3]), "left" if found[4] else "right")


def generate(kind: str, shape: str, seed: int = 0, side: str = "right") -> tuple[HandObjectTrajectory, ObjectAsset]:
    """A demonstration of `kind` with an object of `shape` (sizes, position, heights and durations sampled from `seed`).

    reach: to the open hand around the object; grasp: closes on it; lift: raises it by 10 to 16 cm; carry: puts it down
    again 12 to 20 cm away and lets go; regrasp: then grasps it again and carries it on; rotate: turns it by 30 to 50
    degrees in the air with the wrist; inhand: turns it by 15 to 25 degrees between the fingertips with the wrist at
    rest. Left-hand demonstrations are mirrored right-hand ones. Raises NotFoundError for another kind, shape or side.
    """
    require_choice("kind of demonstration", kind, KINDS)
    require_choice("shape", shape, SHAPES)
    require_choice("side", side, SIDES)
    rng = np.random.default_rng(seed)
    body = random_shape(shape, rng)
    trajectory = demonstrate(kind, plan_grasp(body), body.height, rng)
    trajectory.name, trajectory.object_name = f"parametric/{kind}-{shape}-{seed}", body.name
    trajectory.provenance = {"generator": "parametric", "kind": kind, "seed": seed}
    return trajectory if side == "right" else mirrored(trajectory), shape_asset(body)


def require_choice(what: str, name: str, valid: tuple[str, ...]) -> None:
    """Raise NotFoundError unless `name` is among the valid ones."""
    if name not in valid:
        raise NotFoundError(what, name, valid)


def demonstrate(kind: str, grasp: HumanGrasp, height: float, rng: np.random.Generator) -> HandObjectTrajectory:
    """A right-hand demonstration of `kind` with an object `height` m high, posed by its grasp frame; without a name
    yet."""
    place, yaw = rng.uniform(-0.05, 0.05, 2), rng.uniform(-0.4, 0.4)
    start = make_pose([*place, height / 2], rotvec_to_quat(np.array([0.0, 0.0, yaw])))
    motion = Motion(start, grasp)
    motion.approach(rng.uniform(0.08, 0.14))
    if kind != "reach":
        motion.close()
    if kind in ("lift", "carry", "regrasp", "rotate", "inhand"):
        height = rng.uniform(0.10, 0.16)
        motion.move(np.array([0.0, 0.0, height]), 0.0, rng.uniform(0.9, 1.3))
    if kind in ("carry", "regrasp"):
        _put_down(motion, height, rng)
    if kind == "regrasp":
        motion.hold(HOLD_TIME)
        motion.approach_again()
        motion.close()
        motion.move(np.array([0.0, 0.0, height]), 0.0, rng.uniform(0.9, 1.3))
        _put_down(motion, height, rng)
    sign = rng.choice([-1.0, 1.0])
    if kind == "rotate":
        motion.move(np.zeros(3), sign * rng.uniform(0.5, 0.85), rng.uniform(1.0, 1.4))
    if kind == "inhand":
        motion.turn_in_hand(sign * rng.uniform(0.26, 0.44), rng.uniform(1.0, 1.4))
    motion.hold(HOLD_TIME)
    return motion.trajectory()


def _put_down(motion: "Motion", height: float, rng: np.random.Generator) -> None:
    """Carry the object, raised by `height` (m), sideways, put it down and let go."""
    heading, distance = rng.uniform(-np.pi, np.pi), rng.uniform(0.12, 0.20)
    motion.move(distance * np.array([np.cos(heading), np.sin(heading), 0.0]), 0.0, rng.uniform(1.0, 1.4))
    motion.move(np.array([0.0, 0.0, -height]), 0.0, rng.uniform(0.9, 1.3))
    motion.release()


def mirrored(trajectory: HandObjectTrajectory) -> HandObjectTrajectory:
    """The same for the left hand, mirrored in y: every shape is mirror-symmetric."""
    right = trajectory.hands["right"]
    points = right.keypoints * [1.0, -1.0, 1.0]
    left = replace(right, keypoints=points, wrist_pose=wrist_pose(points, "left"))
    object_pose = trajectory.object_pose * [1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0]
    return replace(trajectory, name=f"{trajectory.name}-left", hands={"left": left}, object_pose=object_pose)


@cache
def plan_grasp(shape: Shape) -> HumanGrasp:
    """Thumb against index, middle and ring across the x axis, the palm above; the little finger does not touch."""
    spread = 0.022 if shape.kind in ("box", "composite") else 0.018
    z = -0.005 if shape.kind == "sphere" else shape.height / 2 - 0.036  # below the top

    def tips(gap: float) -> dict[int, np.ndarray]:
        places = {0: (-1, 0.0), 1: (1, spread), 2: (1, 0.0), 3: (1, -spread)}
        return {d: np.array([side * (shape.half_width(y, z) + gap), y, z]) for d, (side, y) in places.items()}

    return reach_around(tips, shape.height / 2 + 0.050)


def reach_around(
    tips: Callable[[float], dict[int, np.ndarray]], above: float, openings: tuple[float, ...] = (OPENING,)
) -> HumanGrasp:
    """The grasp with fingertips at `tips(gap)` {digit: (3,)}, closed at a gap of 0 and open at the first of the
    `openings` (m) within the hand's reach, with the wrist near `above` (m) the grasp frame's origin."""
    behind = make_pose([-0.09, 0.0, above], rotvec_to_quat(np.array([0.0, PITCH, 0.0])))
    wrist, closed, miss = reach(tips(0.0), behind, RELAXED, wrist_freedom=0.1)
    for opening in openings:
        _, opened, open_miss = reach(tips(opening), wrist, closed)
        if open_miss < SPANNED:
            break
    return HumanGrasp(wrist, opened, closed, tips(0.0), max(miss, open_miss))


class Motion:
    """Builder of a demonstration's frames, phase by phase."""

    def __init__(self, start: np.ndarray, grasp: HumanGrasp):
        self.grasp, self.object, self.angles = grasp, start, grasp.open
        self.frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # wrist, angles, object
        self.wrist = compose(start, grasp.wrist)

    def approach(self, height: float) -> None:
        """Approach from above and behind, with a relaxed hand that opens during the motion."""
        goal = self.wrist
        away = make_pose(goal[:3] + [0.0, 0.0, height], goal[3:])
        away = compose(away, make_pose([-0.04, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]))
        for s in _min_jerk(REACH_TIME):
            self._add(_blend(away, goal, s), RELAXED + (self.grasp.open - RELAXED) * min(1.0, 1.5 * s), self.object)

    def approach_again(self) -> None:
        """From where the hand is, open, back to the object."""
        start, goal = self.wrist, compose(self.object, self.grasp.wrist)
        for s in _min_jerk(REACH_TIME):
            self._add(_blend(start, goal, s), self.angles, self.object)

    def close(self) -> None:
        """Close the fingers onto their contacts and hold for HOLD_TIME."""
        self._fingers(self.grasp.closed)
        self.hold(HOLD_TIME)

    def release(self) -> None:
        """Open, then retreat up and away; the object stays."""
        self._fingers(self.grasp.open)
        start = self.wrist
        for s in _min_jerk(0.8):
            self._add(make_pose(start[:3] + [0.0, 0.0, 0.10 * s], start[3:]), self.angles, self.object)

    def move(self, by: np.ndarray, turn: float, duration: float) -> None:
        """Move object and hand as one body by `by` (m, world) and `turn` (rad) about the vertical through the
        object."""
        start = self.object
        held = self.grasp.wrist
        for s in _min_jerk(duration):
            spin = rotvec_to_quat(np.array([0.0, 0.0, s * turn]))
            pose = make_pose(start[:3] + s * by, compose(make_pose(np.zeros(3), spin), start)[3:])
            self._add(compose(pose, held), self.angles, pose)

    def turn_in_hand(self, angle: float, duration: float) -> None:
        """Turn the object about its vertical axis with the fingertips while the wrist rests."""
        start, steps = self.object, np.linspace(0.0, 1.0, 9)

        def turned(s: float) -> np.ndarray:
            return compose(start, make_pose(np.zeros(3), rotvec_to_quat(np.array([0.0, 0.0, s * angle]))))

        solved = [self.angles]
        for s in steps[1:]:
            goals = {digit: transform(turned(s), point) for digit, point in self.grasp.contacts.items()}
            solved.append(reach(goals, self.wrist, solved[-1])[1])
        angles = interp1d(steps, solved, axis=0)
        for s in _min_jerk(duration):
            self._add(self.wrist, angles(s), turned(s))

    def hold(self, duration: float) -> None:
        """Hold still for `duration` s."""
        for _ in range(round(duration * RATE)):
            self._add(self.wrist, self.angles, self.object)

    def trajectory(self) -> HandObjectTrajectory:
        """The frames so far as a right hand with its object, at RATE from 0 s on; without a name yet."""
        wrist, angles, object_pose = (np.array(x) for x in zip(*self.frames))
        points = keypoints(wrist, angles)
        confidence = np.ones(points.shape[:2])
        hand = HandTrack(points, wrist_pose(points, "right"), confidence, "dexhot-human-hand", angles)
        return HandObjectTrajectory("", np.arange(len(points)) / RATE, {"right": hand}, "", object_pose)

    def _fingers(self, goal: np.ndarray) -> None:
        start = self.angles
        for s in _min_jerk(CLOSE_TIME):
            self._add(self.wrist, start + s * (goal - start), self.object)

    def _add(self, wrist: np.ndarray, angles: np.ndarray, object_pose: np.ndarray) -> None:
        self.wrist, self.angles, self.object = wrist, angles, object_pose
        self.frames.append((wrist, angles, object_pose))


def _min_jerk(duration: float) -> np.ndarray:
    """Minimum-jerk profile from 0 to 1 (Flash and Hogan 1985), one value per frame, excluding 0."""
    s = np.arange(1, round(duration * RATE) + 1) / round(duration * RATE)
    return s**3 * (10 - 15 * s + 6 * s**2)


def _blend(a: np.ndarray, b: np.ndarray, s: float) -> np.ndarray:
    """Interpolated pose between a (s = 0) and b (s = 1)."""
    return make_pose(a[:3] + s * (b[:3] - a[:3]), slerp([0.0, 1.0], np.stack([a[3:], b[3:]]), [s])[0])
