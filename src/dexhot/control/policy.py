"""The controller `policy`: a network in an ONNX file, on CPU, checked against the rig before anything moves.

Its output is the running sum of residuals on a baseline's targets (DexTrack, section 3.1), which is also its input: so
it is zero at the start, stands still in a hold, is limited per joint, and is recorded and replayed exactly. An output
that is not finite, or that jumps, ends the clip: no target is published, and the supervisor holds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dexhot.control.controllers import HandState, following_object
from dexhot.control.observation import (
    MEASURED,
    Observed,
    Observer,
    clip_to_track,
    joint_velocity,
    layout_of,
    pose_velocity,
)
from dexhot.control.onnx_file import check_sizes, load_card, onnx_files, open_onnx
from dexhot.control.sampling import base_actions
from dexhot.data.types import PolicyCard, Reference
from dexhot.errors import DexhotError, FileFormatError, UnsafePolicyError
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.encoder import ObjectEncoder, file_hash, load_encoder
from dexhot.objects.object_offset import object_offset
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import Physics
from dexhot.tracking.object_state import ObjectState

SAME = 2e-3  # rad, of mean finger joints
RUNS_AS = {  # baseline of a card -> graph arguments
    "targets": "controller:=policy policy:=FILE",
    "object_relative": "controller:=policy policy:=FILE",
    "planned": "controller:=planned feedback:=FILE",
    "user_input": "policy:=FILE of the graph teleop",
}
SLACK = 1.01  # an output beyond its limits by more than this is no rounding


class ResidualNetwork(Protocol):
    """A policy's network: ONNX in the graph, torch while it is trained."""

    card: PolicyCard

    def __call__(self, observation: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """observation (N, F) float32, residual (N, 6+n) -> the next residual (N, 6+n)."""


class OnnxNetwork:
    """An ONNX file beside its card, run by onnxruntime on one CPU thread."""

    def __init__(self, path: str | Path):
        """path: of the .onnx file or of its card, which have the same name. Raises FileFormatError for a damaged file,
        or one that is not its card's; MissingExtraError without onnxruntime."""
        self.path, card = policy_files(path)
        self.card = load_card(self.path, card, PolicyCard)
        self.session = open_onnx(self.path, self.card.name, self.card.onnx_sha256)
        size, joints = sum(int(part["size"]) for part in self.card.observation), len(self.card.joint_names)
        check_sizes(self.path, self.session, {"observation": size, "residual": joints}, {"next_residual": joints})
        self.encoder = self._load_encoder()

    def _load_encoder(self) -> ObjectEncoder | None:
        """The object encoder beside the network, where its observation needs one."""
        if not any(part["name"] == "object_feature" for part in self.card.observation):
            return None
        path, wanted = encoder_file(self.path), self.card.provenance.get("object_encoder")
        encoder = load_encoder(path)
        if (found := file_hash(path)) != wanted:
            raise FileFormatError(
                f"{path} is not the object encoder of {self.card.name}: its sha256 is {found[:12]}..., the card has "
                f"{str(wanted)[:12]}...; restore the files together."
            )
        return encoder

    def __call__(self, observation: np.ndarray, residual: np.ndarray) -> np.ndarray:
        fed = {"observation": observation.astype(np.float32), "residual": residual.astype(np.float32)}
        found: np.ndarray = self.session.run(None, fed)[0]
        return found.astype(float)


def encoder_of(network: ResidualNetwork) -> ObjectEncoder | None:
    """The object encoder that came with a network's file, if it has one."""
    return getattr(network, "encoder", None)


def encoder_file(policy: Path) -> Path:
    """Where the object encoder of a policy lies, if it has one."""
    return policy.with_suffix(".encoder.npz")


def policy_files(path: str | Path) -> tuple[Path, Path]:
    """(.onnx, .json) of a policy named by either. Raises FileFormatError where one of them is missing."""
    return onnx_files(path, "policy")


def check_card(
    card: PolicyCard, reference: Reference, physics: Physics, timed: bool = True, on_plan: bool = False
) -> None:
    """Raise DexhotError, naming every difference, unless the card fits what is tracked, and how it is simulated.
    Without `timed` the reference is not yet in the time in which it is played: its frames are not compared. `on_plan`:
    it is to be the feedback on a plan's playback, which must not observe the hand's own state or last command."""
    hand = load_hand(reference.hand)
    known = _known_layout(card, hand)
    pairs: dict[str, tuple[Any, Any]] = {
        "hand": (card.hand, reference.hand),
        "joint order": (card.joint_names, list(reference.joint_names)),
        "rate, Hz": (card.rate, reference.rate),
        "observation layout": (card.observation, known),
        "servo profile": (card.servo, physics.profile(hand)),
        "physics version": (card.physics, physics.version),
        "gravity on the hand": (card.hand_gravity, False),  # the robots compensate it, in every physics
    }
    if card.clip:
        pairs["clip"] = card.clip, reference.name
        pairs |= {"frames": (card.frames, len(reference.q))} if timed else {}
    advice = "use a policy that was trained for it, or change the rig"
    if on_plan != (card.baseline == "planned"):
        pairs["baseline"] = card.baseline, "planned" if on_plan else "targets or object_relative"
        advice = f"it runs as {RUNS_AS[card.baseline]}"
        advice += "; `dexhot train generalist --feedback` makes feedback" if on_plan else ""
    differ = [_difference(what, a, b) for what, (a, b) in pairs.items() if a != b]
    if on_plan and (own := [p["name"] for p in card.observation if p["name"].partition("@")[0] in MEASURED]):
        differ.append(f"observation: {', '.join(own)}, which feedback must not see")
    if card.clip and timed and not differ and not np.allclose(card.fingers, reference.q[:, 6:].mean(axis=0), atol=SAME):
        differ = ["fingers: the clip was retargeted again since the policy was trained"]
    if differ:
        what = "feedback" if on_plan else "policy"
        raise DexhotError(f"{what} {card.name} does not fit {reference.name} ({'; '.join(differ)}): {advice}.")


def _known_layout(card: PolicyCard, hand: Any) -> list[dict[str, Any]]:
    """The card's layout with the sizes of this version; unknown features are left out."""
    found = []
    for part in card.observation:
        try:
            found += layout_of(hand, [part["name"]])
        except DexhotError:
            continue
    return found


def _difference(what: str, a: Any, b: Any) -> str:
    if isinstance(a, list):
        k = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        one, other = (x[k] if k < len(x) else "nothing" for x in (a, b))
        return f"{what}: {one} at place {k}, not {other}"
    return f"{what}: {a}, not {b}"


def baseline_targets(
    card: PolicyCard,
    reference: Reference,
    physics: Physics,
    asset: ObjectAsset,
    observed: np.ndarray,
    plan: np.ndarray | None = None,
) -> np.ndarray:
    """(T, 6+n) what the residual is added to, for the object first observed at pose `observed` (7,); plan: the targets
    (T, 6+n) that are played back, for feedback on them."""
    targets = base_actions(reference, physics) if plan is None else plan
    if card.baseline in ("object_relative", "planned"):
        offset = object_offset(asset.symmetry, reference.object_pose[0], observed)
        return following_object(reference, targets, offset)
    return targets


def checked(card: PolicyCard, residual: np.ndarray, proposed: np.ndarray) -> np.ndarray:
    """The next residual (..., 6+n) within the card's limits. Raises UnsafePolicyError."""
    if not np.isfinite(proposed).all():
        raise UnsafePolicyError(f"policy {card.name}: the network's output is not finite.")
    limit, step = np.asarray(card.residual_limit), np.asarray(card.residual_step)
    jump = np.abs(proposed - residual) / step
    if (jump > SLACK).any():
        joint = card.joint_names[int(np.argmax(jump.reshape(-1, len(step)).max(axis=0)))]
        raise UnsafePolicyError(
            f"policy {card.name}: its output for {joint} jumps by {jump.max():.1f} times the card's residual_step."
        )
    out: np.ndarray = np.clip(proposed, -limit, limit)
    return out


def with_residual(reference: Reference, targets: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Targets (..., 6+n) plus residuals, whose translation is in the demonstration's frame (the reference's placement
    undone)."""
    out: np.ndarray = targets + turned(residual, turn_of(reference.placement))
    return out


def turn_of(placement: np.ndarray) -> np.ndarray:
    """(..., 2) cosine and sine of the angle by which placements (..., 7) turn, which is about the vertical only."""
    w, z = placement[..., 3], placement[..., 6]
    return np.stack([w * w - z * z, 2 * w * z], axis=-1)


def turned(residual: np.ndarray, turn: np.ndarray, back: bool = False) -> np.ndarray:
    """Residuals (..., 6+n) whose translation is turned as placements are, or back: `turn` (..., 2) of `turn_of`."""
    cosine, sine = turn[..., 0], -turn[..., 1] if back else turn[..., 1]
    out, x, y = residual.copy(), residual[..., 0], residual[..., 1]
    out[..., 0], out[..., 1] = cosine * x - sine * y, sine * x + cosine * y
    return out


class Policy:
    """The network as a controller of one reference, or as the feedback on what another one plays back."""

    def __init__(
        self,
        reference: Reference,
        network: ResidualNetwork,
        asset: ObjectAsset,
        physics: Physics,
        on_plan: bool = False,
    ):
        """on_plan: feedback; its clip begins with `follow`, not `start`. Raises DexhotError when the network's card
        does not fit."""
        check_card(network.card, reference, physics, on_plan=on_plan)
        self.reference, self.network, self.card, self.physics = reference, network, network.card, physics
        clip = clip_to_track(reference, asset, encoder_of(network))
        self.observer = Observer([clip], [part["name"] for part in self.card.observation])
        self.asset = asset
        self.base = base_actions(reference, physics)
        self.reset()

    def reset(self) -> None:
        """Forget the clip: the sum of residuals is zero."""
        self.residual = np.zeros(len(self.card.joint_names))
        self.index = -1
        self.before: tuple[ObjectState, HandState] | None = None
        self.command: np.ndarray = self.base[0]

    def start(self, observed: ObjectState) -> None:
        self.follow(baseline_targets(self.card, self.reference, self.physics, self.asset, observed.pose))

    def follow(self, base: np.ndarray) -> None:
        """Start a clip on the targets `base` (T, 6+n)."""
        self.reset()
        self.base, self.command = base, base[0]

    def step(self, index: int, observed: ObjectState, hand: HandState) -> np.ndarray:
        """Raises UnsafePolicyError; then the sum of residuals is unchanged."""
        if index == self.index:  # the clip has ended: the last target is held, and the sum stands still
            return self.command.copy()
        first = self.before is None or index <= 0
        pose_before, q_before = (observed.pose, hand.q) if first else (self.before[0].pose, self.before[1].q)  # type: ignore[index]
        tick = Observed(
            np.array(index),
            observed.pose,
            pose_velocity(observed.pose, pose_before),
            hand.q,
            joint_velocity(hand.q, q_before),
            self.command,
            self.residual,
        )
        proposed = self.network(self.observer(tick)[None], self.residual[None])[0]
        self.residual = checked(self.card, self.residual, proposed)
        self.before, self.index = (observed, hand), index
        self.command = with_residual(self.reference, self.base[index], self.residual)
        return self.command.copy()


def limits(fingers: int, position: float, rotation: float, finger: float) -> list[float]:
    """(6+n,) per joint, m and rad, as a card has them."""
    return [position] * 3 + [rotation] * 3 + [finger] * fingers


RESIDUAL_LIMIT = (0.04, 0.4, 0.8)  # m, rad, rad: of a policy that is trained here
RESIDUAL_STEP = (0.004, 0.04, 0.08)  # per tick
FEEDBACK_LIMIT = (0.01, 0.1, 0.25)  # of one on a plan, whose corrections are those of a grasp already
FEEDBACK_STEP = (0.002, 0.02, 0.05)


def make_card(
    name: str,
    reference: Reference,
    physics: Physics,
    layout: Sequence[str],
    action: str = "residual",
    baseline: str = "object_relative",
    alone: bool = False,
) -> PolicyCard:
    """A card for the rig of `reference` and `physics`, for this reference `alone` or for any; the export fills in the
    hash of its network."""
    hand = load_hand(reference.hand)
    fingers, feedback = len(hand.joint_names), baseline == "planned"
    return PolicyCard(
        name=name,
        hand=reference.hand,
        joint_names=list(reference.joint_names),
        rate=reference.rate,
        observation=layout_of(hand, layout),
        action=action,
        onnx_sha256="0" * 64,
        baseline=baseline,
        residual_limit=limits(fingers, *(FEEDBACK_LIMIT if feedback else RESIDUAL_LIMIT)),
        residual_step=limits(fingers, *(FEEDBACK_STEP if feedback else RESIDUAL_STEP)),
        servo=physics.profile(hand),
        physics=physics.version,
        clip=reference.name if alone else "",
        frames=len(reference.q) if alone else 0,
        fingers=[float(x) for x in reference.q[:, 6:].mean(axis=0)] if alone else [],
    )
