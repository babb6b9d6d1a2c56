"""Fits of the open hand: to itself, to disturbed sightings, and to real people's hands."""

import numpy as np
import pytest

from dexhot.errors import ClipError
from dexhot.fitting.hand_fit import Sighting, check_hand, fit_hand, rotations_over_so3
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose

RNG = np.random.default_rng(11)
CAMERA = np.array([600.0, 600.0, 320.0, 240.0])
FRAMES = 30
SHAPE = np.array([1.0, -0.8, 0.6, 0.0, 0.5, 0.0, -0.5, 0.0, 0.0, 0.3])


def motion(side: str = "right") -> np.ndarray:
    """(T, 21, 3) true keypoints of a hand that turns, moves and closes, 0.7 m before a camera."""
    hand = open_hand(side)
    person, closing = hand.shaped(SHAPE), np.linspace(-1.0, 1.0, FRAMES)
    poses = [
        HandPose.from_vector(
            np.concatenate([[0.5 + 0.3 * c, 2.0, 0.4 * c], [0.05 * c, 0.1, 0.7], hand.prior.fingers([c, 0.5]).ravel()])
        )
        for c in closing
    ]
    return np.stack([person.posed(pose).keypoints(hand.table("open")) for pose in poses])


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_finds_itself_and_its_shape(side):
    truth = motion(side)
    hand = open_hand(side)
    seen = [Sighting(np.ones(21), points=points) for points in truth]
    fit = fit_hand(hand, hand.table("open"), seen, sigma=0.0005)
    assert 1e3 * np.linalg.norm(fit.keypoints - truth, axis=-1).mean() < 0.5
    wanted, found = hand.shaped(SHAPE).rest, hand.shaped(fit.shape).rest
    mean = hand.shaped().rest
    assert np.abs(found - wanted).mean() < 0.35 * np.abs(mean - wanted).mean()


def test_parameters_give_the_fit_again():
    truth, hand = motion(), open_hand()
    fit = fit_hand(hand, hand.table("open"), [Sighting(np.ones(21), points=p) for p in truth])
    for row, keypoints in zip(fit.parameters, fit.keypoints):
        again = hand.shaped(row[51:]).posed(HandPose.from_vector(row[:51])).keypoints(hand.table("open"))
        assert np.abs(again - keypoints).max() < 1e-9


def test_a_frame_without_a_hand_keeps_the_pose_before():
    truth, hand = motion(), open_hand()
    seen = [Sighting(np.ones(21), points=p) for p in truth]
    seen[10] = Sighting(np.zeros(21), points=np.zeros((21, 3)))
    seen[0] = Sighting(np.zeros(21), points=np.zeros((21, 3)))
    fit = fit_hand(hand, hand.table("open"), seen)
    assert np.array_equal(fit.poses[10], fit.poses[9]) and not np.array_equal(fit.poses[11], fit.poses[10])
    assert np.linalg.norm(fit.keypoints[0] - truth[1], axis=-1).mean() < 0.01


def test_pixels_and_depth_with_outliers_and_gaps():
    truth, hand = motion(), open_hand()
    pixels = truth[..., :2] / truth[..., 2:] * CAMERA[:2] + CAMERA[2:] + 2.0 * RNG.normal(size=(FRAMES, 21, 2))
    wrong = RNG.random((FRAMES, 21)) < 0.04
    pixels[wrong] += RNG.uniform(40, 80, (wrong.sum(), 2))
    depth = truth[..., 2] - 0.008 + 0.003 * RNG.normal(size=(FRAMES, 21))
    depth[RNG.random((FRAMES, 21)) < 0.2] = 0.0
    confidence = (RNG.random((FRAMES, 21)) > 0.2).astype(float)
    seen = [Sighting(c, None, uv, z, CAMERA) for c, uv, z in zip(confidence, pixels, depth)]
    fit = fit_hand(hand, hand.table("open"), seen)
    assert 1e3 * np.linalg.norm(fit.keypoints - truth, axis=-1).mean() < 8.0


@pytest.mark.parametrize("with_depth", [True, False])
def test_the_first_frame_is_found_from_any_side(with_depth):
    """Relative to the hand's middle: how far away it is, pixels alone tell to some centimetres only."""
    hand, rng = open_hand(), np.random.default_rng(0)
    table, found = hand.table("open"), []
    for R in rotations_over_so3(30):
        pose = HandPose(R, np.array([0.0, 0, 0.7]), hand.prior.fingers(0.8 * rng.normal(size=4)))
        truth = hand.shaped().posed(pose).keypoints(table)
        pixels = truth[:, :2] / truth[:, 2:] * CAMERA[:2] + CAMERA[2:] + 3.0 * rng.normal(size=(21, 2))
        pixels[rng.random(21) < 0.1] += rng.uniform(-60, 60, 2)
        confidence = (rng.random(21) > 0.3).astype(float)
        depth = truth[:, 2] - 0.008 if with_depth else None
        fit = fit_hand(hand, table, [Sighting(confidence, None, pixels, depth, CAMERA)], shape=np.zeros(10))
        off = fit.keypoints[0] - truth
        found.append(np.linalg.norm(off - off.mean(axis=0), axis=1).mean() < 0.015)
    assert np.mean(found) >= 0.95


def test_the_covariance_is_that_of_the_errors():
    """With white noise of the sigma that is stated, and the shape known; where nothing is seen it grows."""
    truth, hand, rng = motion(), open_hand(), np.random.default_rng(1)
    seen = [Sighting(np.ones(21), points=p + 0.004 * rng.normal(size=(21, 3))) for p in truth]
    for t in (12, 13):
        seen[t] = Sighting(np.zeros(21), points=np.zeros((21, 3)))
    fit = fit_hand(hand, hand.table("open"), seen, sigma=0.004, shape=SHAPE)
    known = np.delete(np.arange(FRAMES), [12, 13])
    off = (fit.keypoints - truth)[known]
    squares = np.einsum("tki,tkij,tkj->tk", off, np.linalg.inv(fit.covariance[known]), off)
    assert 1.5 < squares.mean() < 4.5  # 3 for each keypoint
    size = np.sqrt(np.trace(fit.covariance, axis1=2, axis2=3)).mean(axis=1)
    assert size[11] < 0.01 < size[12] < size[13] and size[14] < 0.01


def test_a_known_shape_is_kept():
    hand, truth = open_hand(), motion()
    seen, done = [Sighting(np.ones(21), points=p) for p in truth], []
    fit = fit_hand(hand, hand.table("open"), seen, shape=SHAPE, progress=lambda *counts: done.append(counts))
    assert np.array_equal(fit.shape, SHAPE)
    assert done == [(k + 1, len(seen)) for k in range(len(seen))]


def test_no_hand_at_all_is_refused():
    hand = open_hand()
    with pytest.raises(ClipError, match="no frame shows 6 keypoints"):
        fit_hand(hand, hand.table("open"), [Sighting(np.zeros(21), points=np.zeros((21, 3)))] * 3)


def test_keypoints_in_millimetres_are_refused(lift_clip):
    right, points = open_hand("right"), 1e3 * lift_clip.hands["right"].keypoints[::10]
    with pytest.raises(ClipError, match="in millimetres: convert it to metres"):
        check_hand(right, right.table("parametric"), [Sighting(np.ones(21), points=p) for p in points])
    wristless = np.where(np.arange(21) == 0, 0.0, 1.0)
    check_hand(right, right.table("parametric"), [Sighting(wristless, points=1e-3 * p) for p in points])


def test_a_left_hand_called_right_is_told(lift_clip):
    points = lift_clip.hands["right"].keypoints[::10]
    seen = [Sighting(np.ones(21), points=p) for p in points]
    right, left = open_hand("right"), open_hand("left")
    check_hand(right, right.table("parametric"), seen)
    with pytest.raises(ClipError, match="keypoints of a right hand"):
        check_hand(left, left.table("parametric"), seen)
    pixels = [Sighting(np.ones(21), pixels=p[:, :2], camera=CAMERA) for p in points]
    check_hand(left, left.table("parametric"), pixels)  # nothing to tell it by


def residual_mm(frames: np.ndarray, convention: str, side: str = "right", step: int = 1) -> float:
    """Mean distance of the fitted open hand's keypoints from a real person's."""
    hand = open_hand(side)
    fit = fit_hand(hand, hand.table(convention), [Sighting(np.ones(21), points=p) for p in frames[::step]])
    return 1e3 * float(np.linalg.norm(fit.keypoints - frames[::step], axis=-1).mean())


@pytest.mark.data
@pytest.mark.parametrize("subject", ["subject-06", "subject-07"])
def test_keypoints_of_mano_on_people_that_the_table_has_not_seen(shared_data, subject):
    """DexYCB's left hands in a mirror, and as they are."""
    sequences = np.load(shared_data / "dexycb_motion" / "sequences.npz")
    names = sorted(key for key in sequences if subject in key and key.endswith("/keypoints"))
    frames = np.concatenate([sequences[name] for name in names[1::12]])
    assert residual_mm(frames * [-1.0, 1.0, 1.0], "mano", step=3) < 3.0
    assert residual_mm(frames, "mano", "left", step=3) < 3.0
    assert residual_mm(frames, "open", "left", step=3) > 3.0  # what the table is for


@pytest.mark.data
@pytest.mark.parametrize("side", ["right", "left"])
def test_keypoints_of_umetrack(shared_data, side):
    """The table was fitted to the left hand; the right one is its test."""
    from dexhot.datasets.hot3d import read_sequence
    from dexhot.datasets.umetrack import UmeTrackHand

    sequence = read_sequence(shared_data / "hot3d_quest3")
    track = sequence.hands[side]
    frames = UmeTrackHand(sequence.profile).keypoints(track["angles"], track["wrist"], side)
    assert residual_mm(frames, "umetrack", side) < 3.0
    assert residual_mm(frames, "open", side) > 3.0


@pytest.mark.data
def test_keypoints_of_mediapipe(shared_data):
    """A detector's 3D estimate is no rigid skeleton; the table was fitted to the first 400 frames."""
    frames = np.load(shared_data / "hand_video" / "human_joint_right.npy")[420:]
    left = open_hand("left")
    with pytest.raises(ClipError, match="keypoints of a right hand"):
        check_hand(left, left.table("mediapipe"), [Sighting(np.ones(21), points=p) for p in frames[::20]])
    assert residual_mm(frames, "mediapipe", step=4) < residual_mm(frames, "open", step=4) - 1.0


@pytest.mark.data
def test_a_real_hand_before_a_depth_camera(shared_data):
    """Real depth at people's keypoints. Before frame 20 the hand moves so fast that the truth's eight cameras, which
    are not synchronised, disagree with the depth by up to 16 cm; the pixels are those of the 3D truth."""
    from PIL import Image

    folder = shared_data / "realsense_block"
    truth, K = np.load(folder / "truth.npz"), np.load(folder / "truth.npz")["K"][0]
    camera = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    R, t = truth["camera_T_world"][0, :3, :3], truth["camera_T_world"][0, :3, 3]
    sightings, goals = [], []
    for frame in range(20, 76):
        x = truth["keypoints_3d"][frame] @ R.T + t
        known = np.isfinite(x).all(axis=1) & (truth["views_used"][frame] >= 2)
        x = np.where(known[:, None], x, 1.0)
        uv = x[:, :2] / x[:, 2:] * camera[:2] + camera[2:]
        [file] = (folder / str(truth["views"][0]) / "depth").glob(f"{frame:06d}.png")
        depth = surface(1e-3 * np.asarray(Image.open(file)).astype(float), uv, known)
        sightings.append(Sighting(known.astype(float), None, uv, depth, camera))
        goals.append(np.where(known[:, None], x, np.nan))
    hand = open_hand()
    fit = fit_hand(hand, hand.table("mano"), sightings)
    assert 1e3 * np.nanmean(np.linalg.norm(fit.keypoints - np.stack(goals), axis=-1)) < 15.0


def surface(depth: np.ndarray, uv: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(21,) median depth around each keypoint, m; 0 where there is none."""
    found = np.zeros(21)
    for k, (i, j) in enumerate(np.round(uv).astype(int)):
        patch = depth[max(j - 3, 0) : j + 4 : 2, max(i - 3, 0) : i + 4 : 2]
        if known[k] and (patch > 0).sum() > 3:
            found[k] = np.median(patch[patch > 0])
    return found
