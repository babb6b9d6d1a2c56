"""A residual agent that knows the motion which its user repeats: the LEAP hand's of `dexhot train assist leap`.

It sees how the user input differs from the targets of a reference, in units of the correction's bound, and how that
difference has changed; not the hand, nor the object. The same functions make its observation in training, for many
worlds at once.

A person does not repeat a motion in its own time, so the frame of the reference is found from the path of the inputs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dexhot.control.assistance import AssistState, correction_bound
from dexhot.control.policy import ResidualNetwork, check_card, checked
from dexhot.control.sampling import base_actions
from dexhot.data.types import RATE, PolicyCard, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import quat_conjugate, quat_rotate
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.simulation.physics import Physics

OFFSET = "user offset"  # the layout's first part
AGO = (1, 2, 4, 6, 9, 12, 18, 24, 36, 48, 72)  # frames over which the change of the user's offset is seen
PHASE = (-1.0, 2.0)  # s, to which times are clipped
FASTEST, MEMORY = 2, 0.99  # frames that the user may move on in a tick; of the past's cost, per tick


def observed_offsets(hand: RobotHand) -> list[dict[str, Any]]:
    """The card's layout: the user's offset from the reference's targets (units of the bound, the wrist's position in
    the palm's frame), its changes, its deviation from its mean so far; time since the grasp's and the clip's start."""
    joints = 6 + len(hand.joint_names)
    names = (OFFSET, *(f"its change over {k} frames" for k in AGO), "its deviation from its mean")
    return [{"name": name, "size": joints} for name in names] + [{"name": "time since grasp and start, s", "size": 2}]


def observation(
    now: np.ndarray, ago: Sequence[np.ndarray], mean: np.ndarray, frame: np.ndarray, grasp_start: np.ndarray
) -> np.ndarray:
    """(N, F) float32 of offsets (N, 6+n) now and each of AGO frames before, their mean so far, and frames (N,)."""
    time = np.stack([frame - grasp_start, frame], axis=1) / RATE
    parts = [now, *(now - before for before in ago), now - mean, np.clip(time, *PHASE)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def turned(hand: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """Differences of hand vectors (..., 6+n), their position turned by quat (..., 4)."""
    found = hand.copy()
    found[..., :3] = quat_rotate(quat, hand[..., :3])
    return found


def next_palms(reference: Reference) -> np.ndarray:
    """(T, 4) world rotation of the palm in the frame after each."""
    following = np.minimum(np.arange(1, len(reference.q) + 1), len(reference.q) - 1)
    found: np.ndarray = palm_poses(reference.base_quat, reference.q)[following, 3:]
    return found


def knows_motion(card: PolicyCard) -> bool:
    """Whether an agent's observation is of a known motion."""
    return bool(card.observation) and card.observation[0]["name"] == OFFSET


def check_motion_agent(card: PolicyCard, motion: Reference, physics: Physics) -> None:
    """Raise DexhotError, naming every difference, unless the agent's card is for the hand and physics of the motion."""
    hand = load_hand(motion.hand)
    check_card(replace(card, observation=[]), motion, physics, timed=False)
    if card.observation != observed_offsets(hand):
        sizes = [part["size"] for part in card.observation]
        raise DexhotError(
            f"policy {card.name} observes {sum(sizes)} numbers, for {motion.hand} it would be "
            f"{sum(part['size'] for part in observed_offsets(hand))}: train it again with this version."
        )


class KnownMotionAgent:
    """The network as an assistance.Agent, for a user who repeats `motion`."""

    def __init__(self, network: ResidualNetwork, motion: Reference, physics: Physics):
        """Raises DexhotError when the network's card does not fit."""
        check_motion_agent(network.card, motion, physics)
        self.network, self.card = network, network.card
        self.targets, self.palms = base_actions(motion, physics), next_palms(motion)
        self.grasp_start, self.bound = np.array([motion.grasp_start]), correction_bound(load_hand(motion.hand))
        self.reset()

    def reset(self) -> None:
        """The user may be anywhere in the motion."""
        self.paths: np.ndarray | None = None  # (T,) least cost of a path that ends at each frame
        self.frame = 0
        self.offsets: list[np.ndarray] = []  # (6+n,) of the last max(AGO) + 1 ticks
        self.sum, self.count = np.zeros_like(self.bound), 0
        self.residual = np.zeros_like(self.bound)

    def __call__(self, state: AssistState, user: np.ndarray) -> np.ndarray:
        """The correction (6+n,). Raises UnsafePolicyError for an output that is not finite."""
        frame = self.frame = self.follow(user)
        palm = self.palms[frame]
        now = turned(self.apart(user, frame), quat_conjugate(palm)) / self.bound
        self.offsets = [*self.offsets[-max(AGO) :], now]
        self.sum, self.count = self.sum + now, self.count + 1
        before = [self.offsets[max(-1 - k, -len(self.offsets))][None] for k in AGO]
        seen = observation(now[None], before, self.sum[None] / self.count, np.array([frame]), self.grasp_start)
        proposed = self.network(seen, self.residual[None])[0]
        self.residual = checked(self.card, self.residual, proposed)
        return turned(-self.residual, palm)

    def apart(self, user: np.ndarray, frames: int | slice) -> np.ndarray:
        """(..., 6+n) the user input from the targets at `frames`, the wrist's angles the short way round."""
        off: np.ndarray = user - self.targets[frames]
        off[..., 3:6] = np.mod(off[..., 3:6] + np.pi, 2.0 * np.pi) - np.pi
        return off

    def follow(self, user: np.ndarray) -> int:
        """The frame of the motion that the user is at: where the path through it ends that explains the inputs so far
        best, with 0 to FASTEST frames per tick. The nearest frame alone is not it: a motion passes places twice."""
        cost = ((self.apart(user, slice(None)) / self.bound) ** 2).sum(axis=1)
        if self.paths is not None:
            before = self.paths - self.paths.min()
            best = before.copy()
            for d in range(1, FASTEST + 1):
                best[d:] = np.minimum(best[d:], before[:-d])
            cost += MEMORY * best
        self.paths = cost
        return int(cost.argmin())
