"""Keypoint tables of the open hand: where other conventions put the 21 points, as regressors over joints and vertices.

    python -m tools.open_hand.conventions DATA [NAME ...]

DATA holds recordings that are not shipped: dexycb_motion (MANO), hot3d_quest3 (UmeTrack), hand_video (MediaPipe).
Only the regressors' weights go into the hand's file. For each convention the open hand is fitted to the training part
(shape per person, pose per frame), then each keypoint is regressed from the joints and vertices around it by
non-negative least squares; the two steps are repeated. Errors are of the test part: people or hands not trained on.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from dexhot.datasets.hot3d import read_sequence
from dexhot.datasets.library import load_clip, splits
from dexhot.datasets.parametric import KINDS, generate
from dexhot.datasets.umetrack import UmeTrackHand
from dexhot.fitting.hand_fit import HandFit, Sighting, fit_hand
from dexhot.humans.model_files import OPEN_HAND
from dexhot.humans.open_hand import ONE_TABLE, read_open_hand
from dexhot.humans.skin import JOINTS, KEYPOINT_ORDER, KeypointTable, SkinnedHand
from dexhot.objects.shapes import SHAPES

ROUNDS, AROUND = 8, 40  # vertices that a keypoint may be regressed from: the nearest
FEWER = (16, 6)  # points that a keypoint keeps, the strongest, step by step
SUM_WEIGHT = 10.0  # m: how hard the weights of a row are held to a sum of one
RIDGE = 1e-3
Persons = list[np.ndarray]  # one (T, 21, 3) of right-hand keypoints, m, per person


def mano(data: Path, subjects: tuple[str, ...], clips: int = 8, stride: int = 12) -> Persons:
    """DexYCB's left hands in a mirror; a person per subject, whose shape is one."""
    sequences = np.load(data / "dexycb_motion" / "sequences.npz")
    names = sorted(key.removesuffix("/keypoints") for key in sequences if key.endswith("/keypoints"))
    persons = []
    for subject in subjects:
        own = [name for name in names if subject in name.split("_")[0]]
        chosen = own[:: max(1, len(own) // clips)][:clips]
        frames = np.concatenate([sequences[f"{name}/keypoints"][5::stride] for name in chosen])
        persons.append(frames * [-1.0, 1.0, 1.0])
    return persons


def umetrack(data: Path, side: str) -> Persons:
    """HOT3D's one person; the left hand in a mirror."""
    sequence = read_sequence(data / "hot3d_quest3")
    track = sequence.hands[side]
    points = UmeTrackHand(sequence.profile).keypoints(track["angles"], track["wrist"], side)
    return [points * ([-1.0, 1.0, 1.0] if side == "left" else 1.0)]


def mediapipe(data: Path, first: int, stop: int, stride: int = 6) -> Persons:
    """The right hand of a video, in its authors' keypoints."""
    return [np.load(data / "hand_video" / "human_joint_right.npy")[first:stop:stride].astype(float)]


def fit_table(hand: SkinnedHand, name: str, persons: Persons) -> KeypointTable:
    """The table with which the hand explains these keypoints best."""
    table = start_table(hand, name)
    for _ in range(ROUNDS):
        fits = [fit_person(hand, table, frames) for frames in persons]
        table = regress(hand, table, fits, persons)
        print(f"  {name}: {1e3 * error(fits, persons):.2f} mm", flush=True)
    return table


def start_table(hand: SkinnedHand, name: str) -> KeypointTable:
    """The model's own joints and tips, over all the points that a keypoint of the new table may use."""
    rest, own = hand.shaped().rest, hand.table("open")
    places = own.weights @ rest[own.ids]
    near = [np.argsort(np.linalg.norm(rest[JOINTS:] - place, axis=1))[:AROUND] + JOINTS for place in places]
    ids = np.unique(np.concatenate([np.arange(JOINTS), *near, JOINTS + hand.tips]))
    weights = np.zeros((21, len(ids)))
    for k in range(21):
        weights[k, np.searchsorted(ids, own.ids[KEYPOINT_ORDER[k]])] = 1.0
    return KeypointTable(name, ids, weights)


def fit_person(hand: SkinnedHand, table: KeypointTable, frames: np.ndarray) -> HandFit:
    """Frames that do not follow one another."""
    return fit_hand(hand, table, [Sighting(np.ones(21), points=points) for points in frames], continuous=False)


def error(fits: list[HandFit], persons: Persons) -> float:
    """Mean distance, m."""
    return float(np.mean([np.linalg.norm(f.keypoints - p, axis=-1).mean() for f, p in zip(fits, persons)]))


def regress(hand: SkinnedHand, table: KeypointTable, fits: list[HandFit], persons: Persons) -> KeypointTable:
    """Each keypoint anew, as a convex combination of the joints and vertices near it."""
    points = np.concatenate([np.stack([f.posed(t).points[table.ids] for t in range(len(f.poses))]) for f in fits])
    goals = np.concatenate(persons)
    rest = hand.shaped().rest[table.ids]
    weights = np.zeros_like(table.weights)
    for k in range(21):
        at = table.weights[k] @ rest
        near = np.argsort(np.linalg.norm(rest - at, axis=1))[: AROUND + 4]
        A = np.moveaxis(points[:, near], 1, 2).reshape(-1, len(near)) - goals[:, k].reshape(-1, 1)
        A = np.vstack([A / np.sqrt(len(A)), np.full(len(near), SUM_WEIGHT), RIDGE * np.eye(len(near))])
        b = np.concatenate([np.zeros(len(A) - len(near) - 1), [SUM_WEIGHT], np.zeros(len(near))])
        kept = np.arange(len(near))
        for count in (*FEWER, 0):
            found = nnls(A[:, kept], b)[0]
            if count:
                kept = kept[np.argsort(-found, kind="stable")[:count]]
        weights[k, near[kept]] = found
    weights /= weights.sum(axis=1, keepdims=True)
    return replace(table, weights=weights)


def trimmed(table: KeypointTable) -> KeypointTable:
    """Without the points that no keypoint uses."""
    used = np.flatnonzero(table.weights.any(axis=0))
    return KeypointTable(table.name, table.ids[used], table.weights[:, used])


def mocap(part: str, clips: int) -> Persons:
    """GRAB's hands as this project reads them (MyoHand's joints); a person per clip."""
    persons = []
    for name in splits("grab")[part][:clips]:
        hands = load_clip(f"grab/{name}").hands
        if "right" in hands:
            keypoints = hands["right"].keypoints
            persons.append(keypoints[:: max(1, len(keypoints) // 20)])
    return persons


def parametric(seeds: range, stride: int = 25) -> Persons:
    """This project's own demonstrations (`dexhot generate`): one hand, for all seeds."""
    clips = [generate(kind, shape, seed)[0] for kind in KINDS for shape in SHAPES for seed in seeds]
    return [np.concatenate([clip.hands["right"].keypoints[::stride] for clip in clips])]


@dataclass
class Convention:
    """Where a table is fitted and where it is tested."""

    train: Callable[[Path], Persons]
    test: Callable[[Path], Persons]


CONVENTIONS = {
    "mano": Convention(
        lambda data: mano(data, ("subject-01", "subject-02", "subject-03", "subject-04", "subject-05")),
        lambda data: mano(data, ("subject-06", "subject-07")),
    ),
    "umetrack": Convention(lambda data: umetrack(data, "left"), lambda data: umetrack(data, "right")),
    "mediapipe": Convention(lambda data: mediapipe(data, 0, 400), lambda data: mediapipe(data, 420, 621)),
    "mocap": Convention(lambda _: mocap("train", 8), lambda _: mocap("test_unseen_clip", 8)),
    "parametric": Convention(lambda _: parametric(range(1)), lambda _: parametric(range(10, 11))),
}


def main(data: Path, names: list[str]) -> None:
    """Fit, test and write the tables named."""
    hand = read_open_hand(OPEN_HAND)
    for name in names:
        convention = CONVENTIONS[name]
        table = trimmed(fit_table(hand, name, convention.train(data)))
        test = convention.test(data)
        after = error([fit_person(hand, table, frames) for frames in test], test)
        before = error([fit_person(hand, hand.table("open"), frames) for frames in test], test)
        print(f"{name}: test {1e3 * after:.2f} mm ({1e3 * before:.2f} with the open table), {table.ids.size} points")
        kept = dict(np.load(OPEN_HAND))
        kept[ONE_TABLE.format(name=name, part="ids")] = table.ids.astype(np.int32)
        kept[ONE_TABLE.format(name=name, part="weights")] = table.weights.astype(np.float32)
        np.savez_compressed(OPEN_HAND, **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(CONVENTIONS))
