"""What a policy observes: named features, computed by the same functions for one live tick and for a batch of worlds.

A layout is a list of names; `name@6` is a feature of the reference six frames ahead. DexTrack's features (eq. 8 and 9,
DexTrack) are in the demonstration's frame, that is without the reference's placement; the egocentric ones in the frame
of the palm that the reference has in the next frame. So an observation does not depend on where a clip was placed.

Features that show the hand's own state, the last command or the residual are not for students that imitate: they learn
to continue what they did, and drift (MEASURED lists them).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dexhot.data.types import RATE, Reference
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.equivalents import smallest_turns
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_rotate, quat_to_rotvec
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.encoder import OBJECT_FEATURE, ObjectEncoder
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import RobotHand, load_hand

AHEAD = (1, 6, 12, 24)  # frames at which the egocentric layouts see the reference
FAR = 48  # frames: further ahead nothing is observed
NEAR = (-0.03, 0.05)  # m: distances to the object's surface are clipped to this
WAVES = 8  # of the time features
DOWN = np.array([0.0, 0.0, -1.0])


@dataclass
class Observed:
    """What is known at a tick, of one hand or, with any leading dimensions (...), of many; the world's frame.

    None: not known; a layout that needs it is refused.
    """

    frame: np.ndarray  # (...) int, of the reference
    object_pose: np.ndarray  # (..., 7) world_T_mesh
    object_twist: np.ndarray | None = None  # (..., 6) m/s, rad/s
    q: np.ndarray | None = None  # (..., 6+n) measured hand vector
    qd: np.ndarray | None = None  # (..., 6+n) its velocity by finite differences, `joint_velocity`
    command: np.ndarray | None = None  # (..., 6+n) position targets of the last tick
    residual: np.ndarray | None = None  # (..., 6+n) their running sum of residuals
    tips: np.ndarray | None = None  # (..., k, 3) measured fingertips; None: by the hand's kinematics, slower
    clip: np.ndarray | int = 0  # (...) int, index among the Observer's clips


@dataclass
class ClipToTrack:
    """A reference with its object; arrays that an observation may show beside them."""

    reference: Reference
    asset: ObjectAsset
    baseline: np.ndarray | None = None  # (T, 6+n) trajectory that residuals are added to; None: the reference's q
    object_feature: np.ndarray | None = None  # (OBJECT_FEATURE,) of an encoder


def clip_to_track(reference: Reference, asset: ObjectAsset, encoder: ObjectEncoder | None) -> ClipToTrack:
    """A clip with its object's feature, where there is an encoder."""
    return ClipToTrack(reference, asset, object_feature=encoder.of(asset) if encoder else None)


class Observer:
    """Computes observations of one layout over one or several clips of the same hand."""

    def __init__(self, clips: Sequence[ClipToTrack], layout: Sequence[str], hand: RobotHand | None = None):
        """Raises NotFoundError for an unknown feature, DexhotError for clips of several hands."""
        names = {clip.reference.hand for clip in clips}
        if len(names) != 1:
            raise DexhotError(f"an observer needs clips of one hand, not of {', '.join(sorted(names)) or 'none'}.")
        self.hand = hand or load_hand(clips[0].reference.hand)
        self.layout = list(layout)
        self.features = [parse(name) for name in layout]
        self.size = sum(f.size(self.hand) for f, _ in self.features)
        self.clips = list(clips)
        tables = [_table(clip, self.hand) for clip in clips]
        self.table = {key: np.concatenate([t[key] for t in tables]) for key in tables[0]}  # rows of all clips
        self.length = np.array([len(clip.reference.q) for clip in clips])
        self.first = np.concatenate([[0], np.cumsum(self.length)[:-1]])
        self.each = {key: np.stack([_constants(clip)[key] for clip in clips]) for key in _constants(clips[0])}
        ends = np.cumsum([f.size(self.hand) for f, _ in self.features])
        self.places = [slice(end - f.size(self.hand), end) for (f, _), end in zip(self.features, ends)]
        self.planned = self._planned()

    def __call__(self, tick: Observed) -> np.ndarray:
        """(..., size) float32. Raises DexhotError where the layout needs what the tick does not know."""
        view = ObservedClip(self, tick)
        seen: np.ndarray = self.planned[view.rows()]
        for (feature, ahead), place in zip(self.features, self.places):
            if feature.observed:
                seen[..., place] = feature.of(view, ahead)
        return seen

    def _planned(self) -> np.ndarray:
        """(rows, size) float32, a row per frame of the clips: the features that the reference alone decides."""
        frame = np.concatenate([np.arange(length) for length in self.length])
        clip = np.repeat(np.arange(len(self.clips)), self.length)
        view = ObservedClip(self, Observed(frame, self.table["object"], clip=clip))
        planned = np.zeros((len(frame), self.size), np.float32)
        for (feature, ahead), place in zip(self.features, self.places):
            if not feature.observed:
                planned[:, place] = feature.of(view, ahead)
        return planned

    @cached_property
    def kinematics(self) -> list[HandModel]:
        """The hand's, per clip."""
        return [HandModel(self.hand, (), clip.reference.base_quat) for clip in self.clips]

    @cached_property
    def solids(self) -> list[ConvexUnion]:
        """Each clip's object; built once per object."""
        known: dict[str, ConvexUnion] = {}
        for clip in self.clips:
            if clip.asset.name not in known:
                known[clip.asset.name] = ConvexUnion(clip.asset.pieces)
        return [known[clip.asset.name] for clip in self.clips]


def joint_velocity(q: np.ndarray, before: np.ndarray, dt: float = 1.0 / RATE) -> np.ndarray:
    """(..., 6+n) finite difference of hand vectors `dt` seconds apart (DexTrack, appendix B.2)."""
    velocity: np.ndarray = (q - before) / dt
    return velocity


def pose_velocity(pose: np.ndarray, before: np.ndarray, dt: float = 1.0 / RATE) -> np.ndarray:
    """(..., 6) m/s and rad/s, world axes: the finite difference of poses (..., 7) `dt` seconds apart."""
    turn = quat_to_rotvec(quat_multiply(pose[..., 3:], quat_conjugate(before[..., 3:])))
    return np.concatenate([pose[..., :3] - before[..., :3], turn], axis=-1) / dt


class ObservedClip:
    """A tick beside its clip's reference: what the features are computed from, each at most once."""

    def __init__(self, observer: Observer, tick: Observed):
        self.observer, self.tick = observer, tick
        self.clip = np.broadcast_to(np.asarray(tick.clip, int), np.shape(tick.frame))
        self._last = observer.length[self.clip] - 1
        self._first = observer.first[self.clip]
        self._near: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def rows(self, ahead: int = 0) -> np.ndarray:
        """(...) rows of the tables `ahead` frames from now; the last frame's after the end."""
        rows: np.ndarray = self._first + np.clip(np.asarray(self.tick.frame) + ahead, 0, self._last)
        return rows

    def row(self, key: str, ahead: int = 0) -> np.ndarray:
        """The reference's `key` `ahead` frames from now."""
        found: np.ndarray = self.observer.table[key][self.rows(ahead)]
        return found

    def constant(self, key: str) -> np.ndarray:
        """`key` of the tick's clip."""
        found: np.ndarray = self.observer.each[key][self.clip]
        return found

    def known(self, name: str) -> np.ndarray:
        """`name` of the tick."""
        value = getattr(self.tick, name)
        if value is None:
            raise DexhotError(f"the observation needs {name}, which is not known here.")
        found: np.ndarray = np.asarray(value)
        return found

    @cached_property
    def placement(self) -> np.ndarray:
        """(..., 7) demonstration_T_world."""
        return inverse(self.constant("placement"))

    def in_demonstration(self, vectors: np.ndarray) -> np.ndarray:
        """World vectors (..., 3) in the demonstration's frame."""
        return quat_rotate(self.placement[..., 3:], vectors)

    def hand_in_demonstration(self, q: np.ndarray) -> np.ndarray:
        """Hand vectors (..., 6+n) without the placement, which turns their base, not their angles."""
        return np.concatenate([transform(self.placement, q[..., :3]), q[..., 3:]], axis=-1)

    @cached_property
    def palm(self) -> np.ndarray:
        """(..., 7) the reference's palm in the next frame: the egocentric frame."""
        return self.row("palm", 1)

    def ego(self, vectors: np.ndarray) -> np.ndarray:
        """World vectors (..., 3), or (..., k, 3), in the palm's frame."""
        to_palm = quat_conjugate(self.palm[..., 3:])
        return quat_rotate(to_palm if vectors.ndim == to_palm.ndim else to_palm[..., None, :], vectors)

    def ego_points(self, points: np.ndarray) -> np.ndarray:
        """World points (..., k, 3) in the palm's frame."""
        return self.ego(points - self.palm[..., None, :3])

    @cached_property
    def object_error(self) -> np.ndarray:
        """(..., 6) world: from the reference's object to the observed one, of the centre of symmetry m, and the
        smallest turn rad."""
        wanted, seen = self.row("object"), np.asarray(self.tick.object_pose)
        center = self.constant("center")
        shift = transform(seen, center) - transform(wanted, center)
        turn = np.zeros_like(shift)
        for k in np.unique(self.clip):
            here = self.clip == k
            symmetry = self.observer.clips[k].asset.symmetry
            turn[here] = smallest_turns(symmetry, wanted[here][..., 3:], seen[here][..., 3:])
        return np.concatenate([shift, turn], axis=-1)

    @cached_property
    def tips(self) -> np.ndarray:
        """(..., k, 3) measured fingertips."""
        if self.tick.tips is not None:
            return np.asarray(self.tick.tips)
        q = self.known("q").reshape(-1, self.observer.table["q"].shape[1])
        out = []
        for k, joints in zip(self.clip.ravel(), q):
            model = self.observer.kinematics[k]
            model.move(joints)
            out.append(model.points()[: model.tips].copy())
        return np.array(out).reshape(*self.clip.shape, -1, 3)

    def beside(self, ahead: int) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (..., k) m and outward normal (..., k, 3), world, of the reference's fingertips `ahead`
        frames from now beside the object, as the reference would carry it on from where it is observed."""
        if ahead not in self._near:
            moved = compose(np.asarray(self.tick.object_pose), inverse(self.row("object")))
            carried = compose(moved, self.row("object", ahead))
            local = transform(inverse(carried)[..., None, :], self.row("tips", ahead))
            distance, normal = np.zeros(local.shape[:-1]), np.zeros(local.shape)
            for k in np.unique(self.clip):
                here = self.clip == k
                distance[here], normal[here] = self.observer.solids[k].distance(local[here])
            distance = np.clip(distance - self.observer.hand.tip_radius, *NEAR)
            self._near[ahead] = distance, quat_rotate(carried[..., None, 3:], normal)
        return self._near[ahead]


@dataclass(frozen=True)
class Feature:
    """A named part of an observation."""

    what: str
    size: Callable[[RobotHand], int]
    of: Callable[[ObservedClip, int], np.ndarray]  # (..., size) from a view and the frames ahead
    ahead: bool = False  # whether `name@6` exists; `name` alone is the next frame, 1
    observed: bool = False  # whether it depends on more than the reference
    measured: bool = False  # of the hand's own state, command or residual


def parse(name: str) -> tuple[Feature, int]:
    """The feature of a layout's name, and how many frames ahead it is. Raises NotFoundError, DexhotError."""
    base, _, ahead = name.partition("@")
    if base not in FEATURES:
        raise NotFoundError("feature of an observation", base, FEATURES)
    feature = FEATURES[base]
    if not ahead and "@" not in name:
        return feature, 1
    if not feature.ahead or not ahead.isdigit() or not 0 <= int(ahead) <= FAR:
        raise DexhotError(f"feature {name!r}: only features of the reference have @0 to @{FAR}, such as contact@6.")
    return feature, int(ahead)


def layout_of(hand: RobotHand, names: Sequence[str]) -> list[dict[str, Any]]:
    """[{"name", "size"}] of a layout, as a PolicyCard has it."""
    return [{"name": name, "size": parse(name)[0].size(hand)} for name in names]


def check_student(names: Sequence[str]) -> None:
    """Raise DexhotError for a layout that shows a student its own state."""
    if own := [name for name in names if parse(name)[0].measured]:
        raise DexhotError(
            f"a student that imitates must not observe {', '.join(own)}: it would learn to continue what it did."
        )


def _table(clip: ClipToTrack, hand: RobotHand) -> dict[str, np.ndarray]:
    """What the reference alone says, a row per frame."""
    r = clip.reference
    model = HandModel(hand, (), r.base_quat)
    tips = np.empty((len(r.q), model.tips, 3))
    for row, q in zip(tips, r.q):
        model.move(q)
        row[:] = model.points()[: model.tips]
    velocity, twist = np.zeros_like(r.q), np.zeros((len(r.q), 6))
    velocity[1:] = joint_velocity(r.q[1:], r.q[:-1])
    twist[1:] = pose_velocity(r.object_pose[1:], r.object_pose[:-1])
    t, last = np.arange(len(r.q)), len(r.q) - 1
    waves = np.pi * np.arange(1, WAVES + 1) * t[:, None] / last
    return {
        "q": r.q,
        "velocity": velocity,
        "squeeze": r.target[:, 6:] - r.q[:, 6:],
        "contact": r.contact,
        "object": r.object_pose,
        "twist": twist,
        "palm": palm_poses(r.base_quat, r.q),
        "tips": tips,
        "baseline": r.q if clip.baseline is None else clip.baseline,
        "phase": np.stack([t - r.grasp_start, r.grasp_end - t], axis=1) / RATE,
        "time": np.concatenate([np.sin(waves), np.cos(waves)], axis=1),
    }


def _constants(clip: ClipToTrack) -> dict[str, np.ndarray]:
    asset, feature = clip.asset, clip.object_feature
    return {
        "placement": np.asarray(clip.reference.placement, float),
        "table": np.array([clip.reference.table_height]),
        "center": np.asarray(asset.symmetry.center, float),
        "center_of_mass": np.asarray(asset.center_of_mass, float),
        "mass": np.array([asset.mass]),
        "extent": np.sort(np.ptp(asset.vertices, axis=0)),
        "feature": np.full(OBJECT_FEATURE, np.nan) if feature is None else np.asarray(feature, float),
    }


def _joints(hand: RobotHand) -> int:
    return 6 + len(hand.joint_names)


def _fingers(hand: RobotHand) -> int:
    return len(hand.joint_names)


def _tips(hand: RobotHand) -> int:
    return len(hand.tip_sites)


def _points(hand: RobotHand) -> int:
    return 3 * len(hand.tip_sites)


def _fixed(size: int) -> Callable[[RobotHand], int]:
    return lambda hand: size


def _flat(x: np.ndarray) -> np.ndarray:
    """(..., k, 3) -> (..., 3k)."""
    return x.reshape(*x.shape[:-2], -1)


def _object_pose(v: ObservedClip, pose: np.ndarray) -> np.ndarray:
    """In the demonstration's frame, the quaternion with w >= 0."""
    pose = compose(v.placement, pose)
    sign = np.where(pose[..., 3:4] < 0, -1.0, 1.0)
    return np.concatenate([pose[..., :3], sign * pose[..., 3:]], axis=-1)


def _twist(v: ObservedClip) -> np.ndarray:
    twist = v.known("object_twist")
    return np.concatenate([v.in_demonstration(twist[..., :3]), v.in_demonstration(twist[..., 3:])], axis=-1)


def _hand_velocity(v: ObservedClip) -> np.ndarray:
    qd = v.known("qd")
    return np.concatenate([v.in_demonstration(qd[..., :3]), qd[..., 3:]], axis=-1)


def _goal_minus_object(v: ObservedClip, ahead: int) -> np.ndarray:
    goal, seen = _object_pose(v, v.row("object", ahead)), _object_pose(v, np.asarray(v.tick.object_pose))
    turn = quat_to_rotvec(quat_multiply(goal[..., 3:], quat_conjugate(seen[..., 3:])))
    return np.concatenate([goal[..., :3] - seen[..., :3], turn], axis=-1)


def _residual(v: ObservedClip) -> np.ndarray:
    residual = v.known("residual")
    return np.concatenate([v.in_demonstration(residual[..., :3]), residual[..., 3:]], axis=-1)


def _object_feature(v: ObservedClip) -> np.ndarray:
    feature = v.constant("feature")
    if np.isnan(feature).any():
        raise DexhotError("the observation needs object_feature, which needs an object encoder: give its file.")
    return feature


def _two(v: ObservedClip, vectors: np.ndarray) -> np.ndarray:
    """World (..., 6) of two vectors -> the palm's frame."""
    return np.concatenate([v.ego(vectors[..., :3]), v.ego(vectors[..., 3:])], axis=-1)


def _palm_ahead(v: ObservedClip, ahead: int) -> np.ndarray:
    there = v.row("palm", ahead)
    turn = quat_to_rotvec(quat_multiply(there[..., 3:], quat_conjugate(v.palm[..., 3:])))
    return _two(v, np.concatenate([there[..., :3] - v.palm[..., :3], turn], axis=-1))


def _center_of_mass(v: ObservedClip) -> np.ndarray:
    return v.ego(transform(np.asarray(v.tick.object_pose), v.constant("center_of_mass")) - v.palm[..., :3])


FEATURES: dict[str, Feature] = {
    # DexTrack eq. 8 and 9; state s = hand vector and object pose
    "hand": Feature(
        "s_n: hand vector", _joints, lambda v, a: v.hand_in_demonstration(v.known("q")), measured=True, observed=True
    ),
    "hand_velocity": Feature(
        "its finite difference", _joints, lambda v, a: _hand_velocity(v), measured=True, observed=True
    ),
    "object": Feature(
        "s_n: object pose", _fixed(7), lambda v, a: _object_pose(v, np.asarray(v.tick.object_pose)), observed=True
    ),
    "object_velocity": Feature("its twist", _fixed(6), lambda v, a: _twist(v), observed=True),
    "goal_hand": Feature(
        "s^_{n+1}: hand vector", _joints, lambda v, a: v.hand_in_demonstration(v.row("q", a)), ahead=True
    ),
    "goal_object": Feature(
        "s^_{n+1}: object pose", _fixed(7), lambda v, a: _object_pose(v, v.row("object", a)), ahead=True
    ),
    "baseline": Feature(
        "s^b: hand vector of the baseline trajectory",
        _joints,
        lambda v, a: v.hand_in_demonstration(v.row("baseline", a)),
        ahead=True,
    ),
    "last_command": Feature(
        "a_n: position targets of the last tick",
        _joints,
        lambda v, a: v.hand_in_demonstration(v.known("command")),
        measured=True,
        observed=True,
    ),
    "residual": Feature("running sum of residuals", _joints, lambda v, a: _residual(v), measured=True, observed=True),
    "object_feature": Feature("an encoder's", _fixed(OBJECT_FEATURE), lambda v, a: _object_feature(v)),
    "fingertips": Feature(
        "f_n: measured fingertips",
        _points,
        lambda v, a: _flat(transform(v.placement[..., None, :], v.tips)),
        measured=True,
        observed=True,
    ),
    "goal_minus_hand": Feature(
        "s^_{n+1} minus s_n: hand vector",
        _joints,
        lambda v, a: v.hand_in_demonstration(v.row("q", a)) - v.hand_in_demonstration(v.known("q")),
        ahead=True,
        measured=True,
        observed=True,
    ),
    "goal_minus_object": Feature(
        "s^_{n+1} minus s_n: object's shift and turn", _fixed(6), _goal_minus_object, ahead=True, observed=True
    ),
    # egocentric: in the frame of the reference's next palm
    "object_error": Feature(
        "observed object beside the reference's, up to its symmetry",
        _fixed(6),
        lambda v, a: _two(v, v.object_error),
        observed=True,
    ),
    "object_twist": Feature("observed", _fixed(6), lambda v, a: _two(v, v.known("object_twist")), observed=True),
    "gravity": Feature("its direction", _fixed(3), lambda v, a: v.ego(np.broadcast_to(DOWN, (*v.clip.shape, 3)))),
    "center_of_mass": Feature("of the observed object", _fixed(3), lambda v, a: _center_of_mass(v), observed=True),
    "tip_distance": Feature(
        "of the reference's fingertips to the object, from where it is observed",
        _tips,
        lambda v, a: v.beside(a)[0],
        ahead=True,
        observed=True,
    ),
    "tip_normal": Feature(
        "outward normals there", _points, lambda v, a: _flat(v.ego(v.beside(a)[1])), ahead=True, observed=True
    ),
    "tips": Feature(
        "the reference's fingertips", _points, lambda v, a: _flat(v.ego_points(v.row("tips", a))), ahead=True
    ),
    "palm": Feature("the reference's palm from the next one", _fixed(6), _palm_ahead, ahead=True),
    "contact": Feature("contact plan", _tips, lambda v, a: v.row("contact", a), ahead=True),
    "object_motion": Feature(
        "the reference's object twist", _fixed(6), lambda v, a: _two(v, v.row("twist", a)), ahead=True
    ),
    "fingers": Feature("the reference's finger joints", _fingers, lambda v, a: v.row("q", a)[..., 6:], ahead=True),
    "squeeze": Feature("its targets beyond them", _fingers, lambda v, a: v.row("squeeze", a), ahead=True),
    "phase": Feature("s since the grasp's start, s until its end", _fixed(2), lambda v, a: v.row("phase", 0)),
    "time": Feature(
        "waves along the clip: for a network of one clip", _fixed(2 * WAVES), lambda v, a: v.row("time", 0)
    ),
    "object_size": Feature("mass and sorted extents", _fixed(4), lambda v, a: _size(v)),
    "height": Feature("of the palm above the table", _fixed(1), lambda v, a: v.palm[..., 2:3] - v.constant("table")),
}


def _size(v: ObservedClip) -> np.ndarray:
    return np.concatenate([v.constant("mass"), v.constant("extent")], axis=-1)


def _ahead(*names: str, frames: Sequence[int] = AHEAD) -> list[str]:
    return [f"{name}@{a}" for name in names for a in frames]


DEXTRACK = [
    "hand",
    "object",
    "hand_velocity",
    "object_velocity",
    "goal_hand",
    "goal_object",
    "baseline",
    "last_command",
    "fingertips",
    "goal_minus_hand",
    "goal_minus_object",
]  # eq. 8 and 9; object_feature comes with an encoder
EGOCENTRIC = [
    "object_error",
    "gravity",
    "center_of_mass",
    "object_size",
    "height",
    "fingers",
    "squeeze",
    *_ahead("contact", "object_motion", "palm"),
    *_ahead("tip_distance", "tip_normal", "tips", frames=(1, 12)),
]
SPECIALIST = [*EGOCENTRIC, "phase", "time"]  # of one clip, which may learn its time
ENCODED = [*DEXTRACK, "object_feature"]  # as the paper has it
LAYOUTS = {"dextrack": DEXTRACK, "encoded": ENCODED, "egocentric": EGOCENTRIC, "specialist": SPECIALIST}
MEASURED = [name for name, feature in FEATURES.items() if feature.measured]
