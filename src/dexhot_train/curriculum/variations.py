"""Variations of clips, from which the data engine makes demonstrations.

The same parent, kind and seed always give the same variation. Where the hand moves about the object as the parent's
does (KEEP_GRASP), its reference follows from the parent's; the others are human demonstrations again, retargeted anew:
a stretched object gets fingers that fit it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dexhot.control.time_warp import warp_reference
from dexhot.data.files import load
from dexhot.data.types import HandObjectTrajectory, HandTrack, PolicyCard, Reference
from dexhot.datasets import split_clips, splits
from dexhot.datasets.human_clip import human_clip
from dexhot.datasets.library import clip_names, recorded_split
from dexhot.datasets.scanned import generate_grasp
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.poses import compose, inverse, lowest, transform
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.stretched import keeps_symmetry, stretched
from dexhot.retargeting.regrasp import moved_about

CLIP, SYNTHETIC = "clip", "synthetic"  # the parent itself; a grasp drawn around its object
KINDS = ("stretched", "warped", "regrasped", "loaded", SYNTHETIC)
KEEP_GRASP = ("warped", "loaded")
SIZE, ASPECT, MASS = (0.85, 1.15), (0.92, 1.08), (0.8, 1.2)  # factors of a stretched object
TEMPO, RHYTHM = (0.75, 1.2), 0.1  # duration's factor; depth of a slow modulation of the speed
SHIFT, TURN = 0.006, 0.12  # m, rad: half widths of another grasp: the hand moved about the object
LOAD, FRICTION = (0.6, 1.4), (0.6, 0.9)  # factors: of the mass; of a world that a plan must survive besides
LIFTS = ("lift", "carry", "rotate")  # motions of a synthetic grasp


@dataclass(frozen=True)
class Variation:
    """One variation of a parent clip."""

    parent: str  # grab/NAME, another clip of the cache, or parametric/KIND-SHAPE-SEED
    kind: str = CLIP
    seed: int = 0

    @property
    def name(self) -> str:
        """Unique in a set, and a file's name."""
        stem = self.parent.replace("/", "_")
        return stem if self.kind == CLIP else f"{stem}-{self.kind}-{self.seed}"


@dataclass(frozen=True)
class VariedClip:
    """A human demonstration, and the world that its plan must survive besides the nominal one."""

    trajectory: HandObjectTrajectory
    asset: ObjectAsset
    friction: float = 1.0  # factor
    pace: tuple[float, float] = (1.0, 0.0)  # tempo and rhythm (warped_time) of the parent's reference
    drawn: dict[str, object] | None = None  # what was drawn, for the ledger


def training_clips(names: Sequence[str]) -> list[str]:
    """Names of clips, with a dataset's name ("grab", "parametric", "grab-full") for its train split, or for all its
    clips where it has no splits ("dexycb"). Raises DexhotError where that is no clip."""
    found = [clip for name in names for clip in _train_split(name)]
    if not found:
        raise DexhotError("there is no clip to train on: name clips, or a set of them (grab, parametric).")
    return list(dict.fromkeys(found))


def _train_split(name: str) -> list[str]:
    """Of a dataset; all of one without splits, such as DexYCB's motions; [name] for the name of a clip, or a file."""
    dataset = name.replace("-", "_")
    if "/" in name or name.endswith(".npz"):
        return [name]
    if not any((named := splits(dataset)).values()):
        return clip_names(dataset) or [name]
    return [f"{dataset}/{clip}" for clip in split_clips("train", named)]


def parent_clip(name: str) -> tuple[HandObjectTrajectory, ObjectAsset]:
    """A clip by name, and its object. Raises NotFoundError; DexhotError for a clip of a test split, which nothing may
    be trained on."""
    require_training(name)
    return human_clip(name)


def require_training(name: str, reference: Reference | None = None) -> None:
    """Raise DexhotError for a clip of a test split (`held_out_split`)."""
    if split := held_out_split(name, reference):
        raise DexhotError(f"{name} is in the split {split}: nothing may be trained on it; choose a train clip.")


def held_out_split(name: str, reference: Reference | None = None) -> str:
    """The test split that a clip is in, or that a task was made from ("NAME, easier by ..."); "" for none. A
    `reference` also says itself what its clip's importer recorded, where the clip is not in the cache or the name is a
    variation's."""
    dataset, _, clip = name.partition(",")[0].partition("/")
    found = [split for split, clips in splits(dataset).items() if clip in clips]
    found += [recorded_split(reference.provenance.get("trajectory", {}))] if reference else []
    return next((split for split in found if split.startswith("test")), "")


def seen_test_clips(policy: str, clips: Sequence[str]) -> list[str]:
    """The test clips among `clips` that a network was trained on by its card beside the .onnx file `policy`; none
    without a network ("")."""
    data = load(Path(policy).with_suffix(".json"), PolicyCard).training_data if policy else ()
    return sorted({clip for clip in clips if held_out_split(clip)} & set(data))


def make(variation: Variation) -> VariedClip:
    """The varied demonstration. Raises DexhotError where the parent has none of this kind."""
    trajectory, asset = parent_clip(variation.parent)
    rng = np.random.default_rng([variation.seed, *variation.name.encode()])
    if variation.kind == CLIP:
        made = VariedClip(trajectory, asset)
    elif variation.kind == "stretched":
        factors, mass = _factors(asset, rng)
        made = _stretched(trajectory, asset, factors, mass)
    elif variation.kind == "warped":
        tempo, rhythm = rng.uniform(*TEMPO), rng.uniform(-RHYTHM, RHYTHM)
        drawn: dict[str, object] = {"tempo": tempo, "rhythm": rhythm}
        made = VariedClip(trajectory, asset, pace=(tempo, rhythm), drawn=drawn)
    elif variation.kind == "regrasped":
        shift, turn = rng.uniform(-SHIFT, SHIFT, 3), rng.uniform(-TURN, TURN, 3)
        drawn = {"shift_mm": (1e3 * shift).tolist(), "turn_deg": np.degrees(turn).tolist()}
        made = VariedClip(regrasped(trajectory, asset, shift, turn), asset, drawn=drawn)
    elif variation.kind == "loaded":
        mass, friction = round(float(rng.uniform(*LOAD)), 3), float(rng.uniform(*FRICTION))
        made = replace(_stretched(trajectory, asset, np.ones(3), mass), friction=friction)
        made = replace(made, drawn={"mass": mass, "friction": friction})
    elif variation.kind == SYNTHETIC:
        motion = LIFTS[int(rng.integers(len(LIFTS)))]
        made = VariedClip(generate_grasp(motion, asset, int(rng.integers(2**31))), asset, drawn={"motion": motion})
    else:
        raise NotFoundError("kind of variation", variation.kind, (CLIP, *KINDS))
    return replace(made, trajectory=replace(made.trajectory, name=f"varied/{variation.name}"))


def of_parent(parent: Reference, varied: VariedClip) -> Reference:
    """The reference of a variation of a kind in KEEP_GRASP: the parent's, at another pace and with another mass."""
    stamps = warped_time(np.arange(len(parent.q)) / parent.rate, *varied.pace)
    ticks = np.linspace(0.0, stamps[-1], 1 + round(stamps[-1] * parent.rate))
    made = warp_reference(parent, np.interp(ticks, stamps, np.arange(len(parent.q))))
    name, own = varied.trajectory.name, varied.asset.name
    return replace(made, name=name, object_name=own, clip_frames=np.zeros(0))  # a clip of its own, in its own time


def warped_time(time: np.ndarray, tempo: float, rhythm: float) -> np.ndarray:
    """Stamps (T,) s of the same path in `tempo` times the duration, its speed modulated by up to pi `rhythm`."""
    s = (time - time[0]) / (time[-1] - time[0])
    stamps: np.ndarray = time[0] + tempo * (time[-1] - time[0]) * (s + rhythm * np.sin(2 * np.pi * s) / 2)
    return stamps


def regrasped(
    trajectory: HandObjectTrajectory, asset: ObjectAsset, shift: np.ndarray, turn: np.ndarray
) -> HandObjectTrajectory:
    """The same motion with the hands shifted (m) and turned (rad) in the object's frame, about its centre of mass."""
    world = moved_about(trajectory.object_pose, np.asarray(asset.center_of_mass, float), shift, turn)
    hands = {
        side: replace(h, keypoints=transform(world[:, None], h.keypoints), wrist_pose=compose(world, h.wrist_pose))
        for side, h in trajectory.hands.items()
    }
    return replace(trajectory, hands={side: _alone(h) for side, h in hands.items()})


def _factors(asset: ObjectAsset, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Factors (3,) of the object's axes, equal ones where its symmetry needs them, and of its mass: that of its volume
    and a random one."""
    size, mass = np.full(3, rng.uniform(*SIZE)), rng.uniform(*MASS)
    factors = np.round(size * rng.uniform(*ASPECT, 3), 3)
    if not keeps_symmetry(asset.symmetry, factors):
        factors = np.round(size, 3)
    return factors, round(float(mass * np.prod(factors)), 3)


def _stretched(trajectory: HandObjectTrajectory, asset: ObjectAsset, factors: np.ndarray, mass: float) -> VariedClip:
    """The clip with its object stretched on the table, and the hands as much in the object's frame."""
    new = stretched(asset, factors, mass)
    pose = trajectory.object_pose.copy()
    pose[:, 2] += lowest(pose[0], asset.corners) - lowest(pose[0], new.corners)
    back = inverse(trajectory.object_pose)

    def moved(points: np.ndarray) -> np.ndarray:  # (T, K, 3)
        return transform(pose[:, None], transform(back[:, None], points) * factors)

    hands = {}
    for side, hand in trajectory.hands.items():
        wrist = hand.wrist_pose.copy()
        wrist[:, :3] = moved(wrist[:, None, :3])[:, 0]
        hands[side] = _alone(replace(hand, keypoints=moved(hand.keypoints), wrist_pose=wrist))
    varied = replace(trajectory, object_name=new.name, object_pose=pose, hands=hands)
    return VariedClip(varied, new, drawn={"factors": factors.tolist(), "mass": mass})


def _alone(hand: HandTrack) -> HandTrack:
    """Without the parameters of a hand model, which no longer hold."""
    return replace(hand, model="", parameters=np.zeros((0, 0)), keypoint_covariance=np.zeros((0, 21, 3, 3)))
