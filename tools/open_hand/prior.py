"""The open hand's pose prior and joint limits, from parametric motions alone, which may be shipped.

    python -m tools.open_hand.prior [OUT]

Half of the poses are frames of generated demonstrations (`dexhot generate`), half are drawn: a hand closed by some
degree, each finger a little more or less, every angle within `human_hand`'s limits. Each is laid on the open hand bone
by bone, by the smallest rotation.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dexhot.data.keypoints import wrist_pose
from dexhot.datasets.human_hand import LOWER, RELAXED, UPPER, keypoints
from dexhot.datasets.parametric import KINDS, generate
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.humans.model_files import OPEN_HAND
from dexhot.humans.open_hand import PRIOR, read_open_hand
from dexhot.humans.skin import DIGITS, KEYPOINT_ORDER, PARENTS, SkinnedHand
from dexhot.objects.shapes import SHAPES

SEEDS, STRIDE, COMPONENTS = 6, 12, 16
FLOOR = 0.06  # rad, added to every angle's deviation: axes and lengths of real hands differ from the parametric one's
THUMB_FLOOR = 0.15  # rad: its base also twists, which directions of bones do not show
MARGIN = 0.2  # rad beyond the range that was drawn


def demonstrated() -> np.ndarray:
    """(N, 21, 3) keypoints of generated right hands."""
    frames = []
    for kind in KINDS:
        for shape in SHAPES:
            for seed in range(SEEDS):
                frames.append(generate(kind, shape, seed)[0].hands["right"].keypoints[::STRIDE])
    return np.concatenate(frames)


def drawn(count: int) -> np.ndarray:
    """(count, 21, 3) keypoints of hands closed by some degree."""
    rng = np.random.default_rng(0)
    closing = rng.uniform(-0.15, 0.9, (count, 1)) + 0.15 * rng.normal(size=(count, 5))
    angles = np.tile(RELAXED, (count, 1))
    for finger in range(1, 5):
        angles[:, 3 * finger] = 0.12 * rng.normal(size=count)
        for joint in (1, 2):
            angle = closing[:, finger] + 0.12 * rng.normal(size=count)
            angles[:, 3 * finger + joint] = angle * UPPER[3 * finger + joint]
    angles[:, :3] += np.array([0.35, 0.35, 0.4]) * rng.normal(size=(count, 3))
    wrist = np.tile([0.0, 0, 0, 1, 0, 0, 0], (count, 1))
    return keypoints(wrist, np.clip(angles, LOWER, UPPER))


def on_the_hand(hand: SkinnedHand, points: np.ndarray) -> np.ndarray:
    """Keypoints (N, 21, 3) -> finger angles (N, 45): each bone turned into its direction, its parents turned before."""
    rest = hand.shaped().rest
    own = np.concatenate([rest[:16], rest[16 + hand.tips]])[list(KEYPOINT_ORDER)]
    palm = quat_to_matrix(wrist_pose(points, "right")[:, 3:]) @ quat_to_matrix(wrist_pose(own, "right")[3:]).T
    angles = np.zeros((len(points), 15, 3))
    for digit, joints in enumerate(DIGITS.values()):
        world = palm
        for step, joint in enumerate(joints):
            first = 1 + 4 * digit + step
            bone = own[first + 1] - own[first]
            goal = np.einsum("nji,nj->ni", world, points[:, first + 1] - points[:, first])
            turn = smallest_turn(bone, goal)
            angles[:, joint - 1] = turn.as_rotvec()
            world = world @ turn.as_matrix()
            assert PARENTS[joint] == (joints[step - 1] if step else 0)
    return angles.reshape(len(points), 45)


def smallest_turn(a: np.ndarray, b: np.ndarray) -> Rotation:
    """Rotations that turn the direction a (3,) into the directions b (N, 3)."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b, axis=1, keepdims=True)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine[:, 0], b @ a)
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-9) * angle[:, None])


def main(out: Path) -> None:
    """Add the prior to the npz."""
    hand = read_open_hand(out)
    shown = demonstrated()
    poses = on_the_hand(hand, np.concatenate([shown, drawn(len(shown))]))
    floor = np.repeat([FLOOR, THUMB_FLOOR], [36, 9])
    covariance = np.cov(poses.T) + np.diag(floor**2)
    values, vectors = np.linalg.eigh(covariance)
    components = (vectors[:, ::-1] * np.sqrt(values[::-1])).T[:COMPONENTS]
    for component in components:
        component *= np.sign(component[np.abs(component).argmax()])
    margin = MARGIN + 2 * floor
    parts = {
        "mean": poses.mean(axis=0),
        "covariance": covariance,
        "components": components,
        "lower": np.percentile(poses, 0.2, axis=0) - margin,
        "upper": np.percentile(poses, 99.8, axis=0) + margin,
    }
    kept = dict(np.load(out)) | {PRIOR + name: part.astype(np.float32) for name, part in parts.items()}
    np.savez_compressed(out, **kept)
    held = values[::-1][:COMPONENTS].sum() / values.sum()
    print(f"{out}: prior of {len(poses)} poses; {COMPONENTS} components hold {100 * held:.1f} % of the variance")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else OPEN_HAND)
