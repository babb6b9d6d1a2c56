"""The rendered clips of `dexhot bench fit`, and what a row of its tables sees of them."""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.labels import LABELS, label_boxes
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence, HandObjectTrajectory
from dexhot.datasets.library import load_clip
from dexhot.errors import ClipError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import inverse, make_pose, transform
from dexhot.geometry.rotations import quat_multiply, rotvec_to_quat
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.synthesis.clip import Options, Truth, render
from dexhot.synthesis.noise import MaskNoise, noise_level
from dexhot_bench.stand_in import stand_in

CLIPS = [
    ("cubesmall_lift", 1), ("duck_lift", 2), ("mug_lift", 6), ("cylindermedium_lift", 8), ("apple_lift", 3),
    ("elephant_lift", 5), ("knife_lift", 7), ("airplane_lift", 9), ("flashlight_lift", 10), ("mouse_lift", 11),
    ("alarmclock_lift", 12), ("cylindersmall_lift", 13), ("banana_pass1", 14), ("bowl_drink2", 15),
    ("camera_pass1", 16),
    ("cup_drink1", 17), ("duck_inspect1", 18), ("hammer_pass1", 19), ("apple_pass1", 20), ("cubemedium_inspect1", 21),
    ("elephant_lift", 22), ("duck_lift", 23), ("mug_lift", 24), ("cubesmall_lift", 25),
]  # fmt: skip
TWO_HANDS = [("duck_lift", 31), ("cubelarge_pass1", 32), ("headphones_pass1", 33), ("piggybank_use1", 34)]
PARAMETRIC = [("lift", "box", 0), ("carry", "cylinder", 1)]  # where GRAB is not in the cache
TURN = 90.0  # degrees between two cameras
PAPER_IOU = 0.66  # of HOMan's object masks on HO-3D (its table A.2)
PATCH = 16  # px, over which the error of such a mask's border is alike
APART = 0.012  # m between the keypoints of two hands: fingers are 15 mm thick


@dataclass
class Clip:
    """A rendered clip with its truth."""

    name: str
    recording: Recording
    evidence: Evidence
    truth: Truth

    def middle(self, frames: int) -> "Clip":
        """Its middle frames alone."""
        T = len(self.recording)
        start = max(0, (T - frames) // 2)
        stop = min(T, start + frames)
        truth = Truth(self.truth.trajectory.cut(start, stop), self.truth.evidence.cut(start, stop))
        return Clip(self.name, self.recording.frames(start, stop), self.evidence.cut(start, stop), truth)


@dataclass(frozen=True)
class Sight:
    """What a row sees of a clip; by default one hand, the middle level's evidence and the object's own mesh."""

    hands: int = 1
    views: int = 1  # 2: by a second camera too, TURN degrees round the motion
    exact: tuple[str, ...] = ()  # "masks", "keypoints": without errors (HOMan's figure 4)
    start: tuple[float, float] | None = None  # deg and mm that the object's first pose is off (TF-HOT's figure 3)
    mask_iou: float | None = None  # of the object's masks, with errors of their own in each frame (HOMan's table A.2)
    stand_in: bool = False  # another shape in place of the object's own mesh (stand_in.py)

    def evidence(self, clip: Clip, seed: int = 0) -> Evidence:
        """Of a clip; object poses only of the first frame, and only with `start`."""
        seen, true = clip.evidence, clip.truth.evidence
        seen = replace(seen, object_pose=np.full_like(seen.object_pose, np.nan))
        if "masks" in self.exact:
            seen = replace(seen, labels=true.labels, boxes=true.boxes)
        if self.mask_iou is not None:
            labels = masks_at(self.mask_iou, true.labels, clip.recording.intrinsics, seed)
            seen = replace(seen, labels=labels, boxes=label_boxes(labels, seen.boxes))
        if "keypoints" in self.exact:
            seen = replace(seen, keypoints=true.keypoints)
        if self.start is not None:
            seen.object_pose[0] = moved(true.object_pose[0], *self.start, np.random.default_rng(seed))
        return seen

    def asset(self, clip: Clip, own: ObjectAsset) -> ObjectAsset:
        """The mesh that is fitted."""
        return stand_in(own, zlib.crc32(clip.name.encode())) if self.stand_in else own


def masks_at(iou: float, true: np.ndarray, camera: Intrinsics, seed: int) -> np.ndarray:
    """Labels (T, H, W) whose object has about this overlap with the true one's: borders displaced anew in each frame,
    as by a network that sees single images."""
    middle = noise_level("middle")

    def noisy(pixels: float) -> np.ndarray:
        level = replace(middle, mask={"boundary": pixels, "patch": PATCH, "memory": 0.0, "missing": 0.0})
        noise = MaskNoise(camera, level, np.random.default_rng(seed))
        return np.stack([noise(labels) for labels in true])

    low, high = 0.0, 40.0  # px of a picture 640 wide
    for _ in range(7):
        boundary = 0.5 * (low + high)
        found = mean_iou(noisy(boundary), true, LABELS["object"])
        low, high = (boundary, high) if found > iou else (low, boundary)
    return noisy(boundary)


def mean_iou(found: np.ndarray, true: np.ndarray, label: int) -> float:
    """Intersection over union of a label in masks (T, H, W), the mean over frames in which the truth has it; a frame in
    which it is not found counts 0. NaN where no frame has it."""
    both = [(a == label, b == label) for a, b in zip(found, true) if (b == label).any()]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in both])) if both else np.nan


def moved(pose: np.ndarray, degrees: float, mm: float, rng: np.random.Generator) -> np.ndarray:
    """A pose (7,) turned and shifted by so much, in random directions."""
    axis, way = (x / np.linalg.norm(x) for x in rng.normal(size=(2, 3)))
    turn = rotvec_to_quat(np.radians(degrees) * axis)
    return make_pose(pose[:3] + 1e-3 * mm * way, quat_multiply(pose[3:], turn))


def has_grab() -> bool:
    """Whether GRAB's clips are in the cache."""
    try:
        load_clip(f"grab/{CLIPS[0][0]}")
    except NotFoundError:
        return False
    return True


def clip_names(hands: int = 1) -> list[str]:
    """Of the clips that can be had here, in their order."""
    if not has_grab():
        return [f"{kind}-{shape}-{seed}" for kind, shape, seed in PARAMETRIC]
    return [f"{name}-{seed}" for name, seed in (TWO_HANDS if hands == 2 else CLIPS)]


def rendered(k: int, frames: int, hands: int = 1, turn: float = 0.0) -> Clip:
    """The k-th clip, `turn`: by a camera so many degrees round the motion. Raises ClipError or NotFoundError where it
    cannot be rendered."""
    from dexhot.datasets.parametric import generate

    if has_grab():
        name, seed = (TWO_HANDS if hands == 2 else CLIPS)[k]
        trajectory = load_clip(f"grab/{name}")
        asset, name = load_object(trajectory.object_name), f"{name}-{seed}"
    else:
        kind, shape, seed = PARAMETRIC[k]
        (trajectory, asset), name = generate(kind, shape, seed)[:2], f"{kind}-{shape}-{seed}"
    if hands == 2:
        trajectory = with_other_hand(trajectory, asset)
    return Clip(name, *render(trajectory, asset, Options(seed=seed, turn=turn), frames))


def with_other_hand(clip: HandObjectTrajectory, asset: ObjectAsset) -> HandObjectTrajectory:
    """The clip of a right hand with a left one that is its mirror image on the object's other side. The mirror, through
    the middle of the object's box, is the plane that keeps the hands farthest apart. Raises ClipError where that is
    less than APART."""
    track = clip.hands["right"]
    middle = 0.5 * (asset.vertices.min(axis=0) + asset.vertices.max(axis=0))
    local = transform(inverse(clip.object_pose)[:, None], track.keypoints) - middle  # (T, 21, 3)
    held = np.linalg.norm(local.mean(axis=1), axis=1) < 1.5 * np.linalg.norm(local.mean(axis=1), axis=1).min()
    gaps = np.abs(local[held]).min(axis=(0, 1))
    axis = int(gaps.argmax())
    if 2.0 * gaps[axis] < APART:
        raise ClipError(f"{clip.name}: a second hand has no room on {asset.name}.")
    mirror = np.where(np.arange(3) == axis, -1.0, 1.0)
    points = transform(clip.object_pose[:, None], middle + mirror * local)
    other = replace(
        track, keypoints=points, wrist_pose=wrist_pose(points, "left"), parameters=np.zeros((0, 0)), model="",
        keypoint_covariance=np.zeros((0, 21, 3, 3)),
    )  # fmt: skip
    return replace(clip, name=f"{clip.name}-two-hands", hands={"right": track, "left": other})
