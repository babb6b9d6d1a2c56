"""The assistance `grasp`, without learning: it leads the hand into the grasp that the scene's reference has.

    far      the operator's palm is away from the grasp's: the user input is not changed
    near     the palm is drawn to the grasp's place at the object, the fingers to the reference's approach
    closing  the robot's palm is there: the fingers close to the grasp's targets, which press the object
    held     the fingers keep them, and the palm its correction, until the object is set down or the hand opens
    let go   the fingers are the operator's again, the palm keeps its correction; until the palm is away

Estimated fingertips say little of when a hand opens; the object that stands on the table again does.
Estimated fingertips are off by a centimetre or two, and where they touch a surface they do not press it: a robot that
repeats them drops the object. All of this stays within the bounds of every residual agent (assistance.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dexhot.control.assistance import AssistState
from dexhot.data.types import RATE, Reference
from dexhot.geometry import single
from dexhot.geometry.poses import compose, inverse
from dexhot.retargeting.correspondence import correspondence
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.kinematics.wrist import palm_poses, palm_to_wrist, wrist_to_palm
from dexhot.robots.robot_hand import RobotHand

EVERY = 3  # frames of the approach that are kept


@dataclass(frozen=True)
class HeldGrasp:
    """A grasp of one object, relative to it."""

    palm: np.ndarray  # (7,) object_T_palm while it is held
    fingers: np.ndarray  # (n,) rad, targets that press it
    approach_palms: np.ndarray  # (A, 3) positions of the palm in the object's frame until the grasp, m
    approach: np.ndarray  # (A, n) rad, the fingers there

    @classmethod
    def of(cls, reference: Reference, targets: np.ndarray) -> "HeldGrasp":
        """The grasp of a reference, with the targets (T, 6+n) of its fingers; its middle is the one that lasts."""
        start, middle = reference.grasp_start, (reference.grasp_start + reference.grasp_end) // 2
        relative = compose(inverse(reference.object_pose), palm_poses(reference.base_quat, reference.q))
        kept = slice(0, start + 1, EVERY)
        return cls(relative[middle], targets[middle, 6:], relative[kept, :3], reference.q[kept, 6:])

    def as_dict(self) -> dict[str, Any]:
        """For a reference's provenance."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "HeldGrasp":
        """Inverts `as_dict`."""
        return cls(**{name: np.array(values[name], float) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class LeadOptions:
    """Distances are the palm's from the grasp's."""

    near: tuple[float, float] = (0.12, 0.7)  # m, rad: where it begins to lead, before a fingertip is beside the object
    there: tuple[float, float] = (0.012, 0.2)  # m, rad of the robot's palm, where the fingers close
    closing: float = 0.4  # s
    opened: float = 0.03  # m by which the operator's pinch is wider than where it closed: let go
    lifted: float = 0.02  # m above where it stood from which the object counts as lifted
    down: float = 0.008  # m above where it stood at which a lifted object counts as set down: let go
    lasting: float = 0.12  # s that either lasts
    leading: float = 0.25  # s in which a correction grows to its bound
    ending: float = 0.5  # s in which it ends


class GraspAssist:
    """A residual agent (assistance.Agent) for one grasp. Call it once per tick."""

    def __init__(
        self,
        hand: RobotHand,
        base_quat: np.ndarray,
        grasp: HeldGrasp,
        bound: np.ndarray,
        options: LeadOptions | None = None,
    ):
        """`bound` (6+n,): of the correction."""
        self.grasp, self.bound, self.options = grasp, bound, options or LeadOptions()
        self.base_quat, self.model = base_quat, HandModel(hand, (), base_quat)
        self.thumb = correspondence(hand).thumb
        self.reset()

    def reset(self) -> None:
        """The hand is far from the object."""
        self.state, self.closed = "far", 0.0  # fraction of the way from the approach to the grasp
        self.added = np.zeros_like(self.bound)  # to the user input
        self.finger, self.width = 0, np.inf  # that the operator pinches with, and its distance where the grip closed
        self.stood, self.lifted = 0.0, False  # m, the object's height where it was grasped; whether it left it
        self.ending = 0  # ticks in which there was a reason to let go

    def __call__(self, state: AssistState, user: np.ndarray) -> np.ndarray:
        """The correction (6+n,), to be subtracted from the user input (6+n,)."""
        palm = compose(state.object_pose, self.grasp.palm)
        if self.state == "held":
            wrist, fingers = user[:6] + self.added[:6], self.grasp.fingers
            if self._ends(state, user):
                self.state, self.closed = "let go", 0.0
        elif self.state == "let go":
            wrist, fingers = user[:6] + self.added[:6], user[6:]
            if self._nearness(user, palm) <= 0.0:
                self.state = "far"
        else:
            wrist, fingers = self._led(state, user, palm)
        if self.state == "far":
            wanted = np.zeros_like(self.bound)
        else:
            wanted = np.clip(np.concatenate([wrist, fingers]) - user, -self.bound, self.bound)
        ends = self.state in ("far", "let go")
        step = self.bound / (RATE * (self.options.ending if ends else self.options.leading))
        quick = np.ones(len(step), bool)
        quick[6:] = self.state in ("closing", "held")
        quick &= self.state != "far"
        self.added = np.where(quick, wanted, self.added + np.clip(wanted - self.added, -step, step))
        return -self.added

    def _ends(self, state: AssistState, user: np.ndarray) -> bool:
        """Whether the held object has been set down, or the operator's hand has opened, for a while."""
        o, raised = self.options, float(state.object_pose[2]) - self.stood
        self.lifted |= raised > o.lifted
        opened = self.pinches(user)[self.finger] > self.width + o.opened
        self.ending = self.ending + 1 if opened or (self.lifted and raised < o.down) else 0
        return self.ending >= o.lasting * RATE

    def _nearness(self, user: np.ndarray, palm: np.ndarray) -> float:
        """1 where the operator's palm is at the grasp's, 0 where it begins to lead, negative farther away."""
        away, turned = apart(wrist_to_palm(user[:6], self.base_quat), palm)
        return 1.0 - max(away / self.options.near[0], turned / self.options.near[1])

    def _led(self, state: AssistState, user: np.ndarray, palm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wrist (6,) and fingers (n,) before the object is held."""
        o = self.options
        near = self._nearness(user, palm)
        if near <= 0.0:
            self.state, self.closed = "far", 0.0
            return user[:6], user[6:]
        if self.state == "far":
            self.state = "near"
        off, twisted = apart(wrist_to_palm(state.q[:6], self.base_quat), palm)
        if self.state == "near" and off < o.there[0] and twisted < o.there[1]:
            self.state = "closing"
        weight = min(1.0, 2.0 * near)
        wrist = user[:6] + weight * (palm_to_wrist(palm, self.base_quat, user[:6]) - user[:6])
        here = compose(inverse(state.object_pose), wrist_to_palm(user[:6], self.base_quat))[:3]
        approach = self.grasp.approach[int(np.argmin(np.linalg.norm(self.grasp.approach_palms - here, axis=1)))]
        if self.state == "closing":
            self.closed = min(self.closed + 1.0 / (o.closing * RATE), 1.0)
        fingers = approach + self.closed * (self.grasp.fingers - approach)
        if self.closed == 1.0:
            self.state, pinches = "held", self.pinches(user)
            self.finger = int(pinches.argmin())
            self.width = pinches[self.finger]
            self.stood, self.lifted, self.ending = float(state.object_pose[2]), False, 0
        return wrist, user[6:] + max(weight, self.closed) * (fingers - user[6:])

    def pinches(self, q: np.ndarray) -> np.ndarray:
        """(k-1,) m, from the thumb's tip to the others."""
        self.model.move(q)
        tips = self.model.points()[: self.model.tips]
        apart: np.ndarray = np.linalg.norm(np.delete(tips, self.thumb, axis=0) - tips[self.thumb], axis=1)
        return apart


def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """m and rad between two poses (7,)."""
    turn = single.log(single.multiply(a[3:], single.conjugate(b[3:])))
    return float(np.linalg.norm(a[:3] - b[:3])), float(np.linalg.norm(turn))
