"""A hand's box and mask as observations of the hand-object filter: derivatives, the forearm, gates; and its bones."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.data.keypoints import wrist_axes
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.cameras import pinhole
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import transform
from dexhot.humans.flesh import flesh
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.synthesis.person import arm_faces, backward, draw_person, forearm
from dexhot.tracking.bones import bone_lengths, bone_rows
from dexhot.tracking.hand_object_filter import HandObjectFilter, HandObjectOptions
from dexhot.tracking.observations import SeenKeypoints, SeenPixels, SeenPose
from dexhot.tracking.silhouettes import SIDES, OfHand, OfObject, SeenBox, SeenMask, seen_mask

CAMERA = pinhole(320, 240, 42.0)
FREE = np.zeros((240, 320), bool)
SIDES_OF_HANDS = ("right", "left")
TABLE = "mediapipe"
SHOWN = 0.16  # m; the sleeve hides the rest
BODY = {side: OfHand(*flesh(open_hand(side), TABLE)) for side in SIDES_OF_HANDS}


class Scene:
    """A person's hand `away` m before a camera, its fingers up, and SHOWN m of its forearm; `turn`: from there, in the
    camera's frame."""

    def __init__(
        self, side: str = "right", seed: int = 0, turn: tuple[float, ...] = (0.3, 0.2, 0.2), away: float = 0.6
    ):
        person = draw_person(np.random.default_rng(seed), side)
        assert open_hand(side).prior is not None
        fingers = open_hand(side).prior.fingers(np.random.default_rng(seed).normal(0, 0.5, 4))
        self.posed = person.hand.shaped().posed(HandPose(fingers=fingers))
        self.keypoints = self.posed.keypoints(person.hand.table(TABLE)).copy()
        self.hand, self.hand_faces = self.posed.vertices, person.hand.faces
        self.arm = forearm(person, self.posed, backward(self.posed))
        near = np.linalg.norm(self.arm - self.keypoints[0], axis=1) < SHOWN
        self.arm_faces = arm_faces()[near[arm_faces()].all(axis=1)]
        up = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # of the wrist's axes
        upright = single.from_matrix(up @ wrist_axes(self.keypoints, side).T)
        self.turn = single.multiply(single.exp(list(turn)), upright)
        self.view = np.array([*([0.0, 0.0, away] - self.in_view(self.keypoints.mean(axis=0))), *self.turn])
        self.body = BODY[side]

    def in_view(self, direction: np.ndarray) -> np.ndarray:
        """A direction (3,) of the world in the camera's frame."""
        return np.array(single.rotate(self.turn, direction))

    def in_world(self, direction: list[float]) -> np.ndarray:
        """And back."""
        return np.array(single.rotate(single.conjugate(self.turn), direction))

    def mask(self, arm: bool = True, view: np.ndarray | None = None) -> np.ndarray:
        z, view = np.full(FREE.shape, np.inf), self.view if view is None else view
        for points, faces in ((self.hand, self.hand_faces), *([(self.arm, self.arm_faces)] if arm else [])):
            draw_depth(transform(view, points), faces, CAMERA.pinhole, z)
        return np.isfinite(z)

    def seen(self, what: str, arm: bool = True, body: OfHand | None = None) -> SeenBox | SeenMask:
        mask, body = self.mask(arm), body or self.body
        return box(mask, body, self.view) if what == "box" else masked(mask, body, self.view)

    def started(self, off: np.ndarray | float = 0.0, sigma: float = 0.005) -> HandObjectFilter:
        f = HandObjectFilter()
        for k in range(5):
            f.observe(k / 30, SeenKeypoints(self.keypoints + off, sigma))
        return f

    def off(self, f: HandObjectFilter) -> np.ndarray:
        """(2,) px of the hand's centre."""
        found, true = (CAMERA.project(transform(self.view, x)) for x in (f.estimate().keypoints, self.keypoints))
        return (found - true).mean(axis=0)


def box(mask: np.ndarray, body: OfHand, view: np.ndarray) -> SeenBox:
    v, u = np.nonzero(mask)
    sides = np.array([u.min() - 0.5, v.min() - 0.5, u.max() + 0.5, v.max() + 0.5])
    ends = [0, 0, CAMERA.width - 1, CAMERA.height - 1]
    inside = [u.min() > ends[0], v.min() > ends[1], u.max() < ends[2], v.max() < ends[3]]
    return SeenBox(np.where(inside, sides, np.nan), body, CAMERA, view)


def masked(mask: np.ndarray, body: OfHand, view: np.ndarray, hidden: np.ndarray = FREE) -> SeenMask:
    seen = seen_mask(mask, hidden, body, CAMERA, view)
    assert seen is not None
    return seen


TURNS = ((0, (0.3, 0.2, 0.2)), (1, (-0.3, 0.4, 1.2)), (2, (0.0, 2.9, 0.0)))  # two backs of hands, a palm
SCENES = [Scene(side, seed, turn) for side in SIDES_OF_HANDS for seed, turn in TURNS]


@pytest.mark.parametrize("side", SIDES_OF_HANDS)
@pytest.mark.parametrize("what", ["box", "mask"])
def test_derivatives_of_box_and_mask(what, side):
    scene, step = Scene(side), 1e-6
    s = scene.started()._state.copy()
    seen = scene.seen(what)
    rows = seen.rows(s)
    assert len(rows.residual) >= (2 if what == "box" else 7) and rows.columns == slice(0, 63)
    for k in range(63):
        ends = []
        for sign in (step, -step):
            other = s.copy()
            other.keypoints = s.keypoints + sign * np.eye(63)[k].reshape(21, 3)
            ends.append(seen.rows(other).residual)
        np.testing.assert_allclose(-(ends[0] - ends[1]) / (2 * step), rows.jacobian[:, k], rtol=5e-3, atol=0.5)
    assert np.abs(rows.jacobian).max() > 300.0, "px/m"


def test_the_mask_of_a_hand_where_it_is_agrees_to_some_pixels():
    """Of other people than the one whose flesh is known; 3 mm are 1.6 px."""
    found = [scene.seen("mask").rows(scene.started()._state).residual for scene in SCENES]
    assert min(len(r) for r in found) >= 5
    every = np.concatenate(found)
    assert abs(every.mean()) < 1.5 and every.std() < 2.5 and np.abs(every).max() < 9.0


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("what", "most"), [("box", 7.5), ("mask", 4.0)])
def test_a_hand_that_is_elsewhere_is_brought_to_its_outline(what, most, scene):
    """Its keypoints were off by 2 cm across and along, and uncertain. The box is a detector's, of the hand alone."""
    f, alone = scene.started(scene.in_world([0.02, 0.02, 0.0]), 0.03), replace(scene.body, forearm=False)
    seen = scene.seen("mask") if what == "mask" else scene.seen("box", arm=False, body=alone)
    before = scene.off(f)
    for k in range(8):
        assert f.observe(0.2 + k / 30, seen)
    assert np.abs(before).min() > 9.0 and np.abs(scene.off(f)).max() < most


@pytest.mark.parametrize("what", ["box", "mask"])
def test_another_hands_outline_is_rejected_whole(what):
    scene = Scene()
    f, away = scene.started(), scene.view + [0.11, -0.06, 0.0, 0, 0, 0, 0]
    other = scene.mask(view=away)
    before = f.estimate(0.2).keypoints
    body = scene.body
    assert not f.observe(0.2, box(other, body, scene.view) if what == "box" else masked(other, body, scene.view))
    np.testing.assert_allclose(f.estimate().keypoints, before, atol=2e-3)


@pytest.mark.parametrize("scene", SCENES)
def test_a_forearm_does_not_pull_the_hand(scene):
    """Its pixels are left out, and the directions towards it; of a mask that ends at the wrist nothing else is used."""
    f, bare, pulled = scene.started(0.0, 0.02), scene.started(0.0, 0.02), scene.started(0.0, 0.02)
    without = replace(scene.body, forearm=False)
    for k in range(5):
        f.observe(0.2 + k / 30, scene.seen("mask"))
        bare.observe(0.2 + k / 30, scene.seen("mask", arm=False))
        pulled.observe(0.2 + k / 30, scene.seen("mask", body=without))
    apart = np.linalg.norm(scene.off(f) - scene.off(bare))
    assert np.linalg.norm(scene.off(f)) < 5.0 and apart < 2.0
    assert np.linalg.norm(scene.off(pulled) - scene.off(bare)) > apart, "if it is not known that there is one"


def test_sides_of_a_box_towards_the_forearm_are_left_out():
    scene = Scene()
    line = scene.body.wrist_line(scene.started()._state, CAMERA, scene.view)
    back = -line.toward / np.linalg.norm(line.toward)
    assert np.sort(SIDES @ back)[-1] > 0.9, "the arm comes straight from one side"
    used = scene.seen("box").rows(scene.started()._state)
    towards = used.jacobian.reshape(-1, 21, 3).sum(axis=1) @ single.matrix(scene.view[3:]).T[:, :2]
    assert len(used.residual) >= 2 and (towards @ back < 0.2 * np.linalg.norm(towards, axis=1)).all()
    whole = replace(scene.body, forearm=False)
    assert len(scene.seen("box", arm=False, body=whole).rows(scene.started()._state).residual) == 4


def test_a_forearm_ahead_of_the_wrist_that_is_expected_is_not_taken_for_the_hand():
    """Where the hand is turned over in the image, its forearm is where the fingers are expected."""
    scene, far = Scene(), 0
    for angle in (-2.2, 2.2):
        s, wrist = scene.started()._state.copy(), scene.keypoints[0]
        turn = single.matrix(single.exp(list(angle * scene.in_world([0.0, 0.0, 1.0]))))
        s.keypoints = wrist + (scene.keypoints - wrist) @ turn.T
        rows = scene.seen("mask").rows(s)
        used = np.isfinite(rows.residual)
        assert (rows.residual[used] < 0.061 * np.linalg.norm(rows.jacobian[used], axis=1)).all()
        far += (~used).sum()
    assert far > 0, "these count as outside of their gates"


def test_a_palm_in_the_line_of_sight_hides_where_its_forearm_begins():
    for scene in (Scene(turn=(1.5, 0.0, 0.0)), Scene(turn=(-1.5, 0.0, 0.0))):
        f = scene.started()
        for what in ("box", "mask"):
            assert len(scene.seen(what).rows(f._state).residual) == 0 and not f.observe(0.2, scene.seen(what))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", ["box", "mask"])
def test_a_hand_behind_the_camera_has_no_outline(what):
    scene = Scene()
    seen = scene.seen(what)
    to_the_lens = scene.in_world(list(-transform(scene.view, scene.keypoints[:1])[0]))
    for off in (scene.in_world([0.0, 0.0, -1.3]), to_the_lens):
        assert not scene.started(off).observe(0.2, seen)


def test_an_object_before_the_hand_costs_the_directions_towards_it():
    scene = Scene()
    mask, hidden = scene.mask(), FREE.copy()
    left = np.nonzero(scene.mask(arm=False))[1].min()
    hidden[:, : left + 12] = True
    seen = masked(mask & ~hidden, scene.body, scene.view, hidden)
    s = scene.started()._state
    rows, open_ = seen.rows(s), masked(mask & ~hidden, scene.body, scene.view).rows(s)
    assert 0 < len(rows.residual) < len(open_.residual)
    assert np.abs(rows.residual).max() < 8.0 < np.abs(open_.residual).max()


def test_a_robots_points_have_no_forearm_and_their_own_number():
    few = OfHand(np.full(5, 0.01), np.full(5, 0.002), forearm=False)
    f, points = HandObjectFilter(keypoints=5), np.random.default_rng(0).normal(0, 0.04, (5, 3)) + [0, 0, 0.6]
    view = np.array([0.0, 0, 0, 1, 0, 0, 0])
    for k in range(3):
        f.observe(k / 30, SeenKeypoints(points, 0.003))
    pixels = CAMERA.project(points)
    sides = np.concatenate([pixels.min(axis=0) - 5, pixels.max(axis=0) + 5])
    assert f.observe(0.1, SeenBox(sides, few, CAMERA, view))
    with pytest.raises(DexhotError, match="21 keypoints, not 5"):
        OfHand(np.full(5, 0.01), np.full(5, 0.002))
    with pytest.raises(DexhotError, match="5 radii of keypoints, but the filter tracks 21"):
        Scene().started().observe(0.2, SeenBox(sides, few, CAMERA, view))
    with pytest.raises(DexhotError, match="finite"):
        OfHand(np.full(21, np.nan), np.full(21, 0.002))


def test_a_hands_outline_says_nothing_of_the_object_and_does_not_start_a_hand():
    scene = Scene()
    assert not HandObjectFilter().observe(0.0, scene.seen("mask"))
    f = scene.started()
    pose = np.array([0.5, 0.0, 0.0, 1.0, 0, 0, 0])
    f.observe(0.15, SeenPose(pose, np.diag([1e-5] * 3 + [1e-3] * 3)))
    for k in range(5):
        f.observe(0.2 + k / 30, scene.seen("mask"))
    assert f.estimate().hand == "tracked" and f.estimate().object == "hidden"
    np.testing.assert_allclose(f.estimate().object_pose, pose, atol=1e-3)
    assert OfObject(np.eye(3)).what == "object"


@pytest.mark.parametrize("bone", [0.003, 1.0])
def test_bones_keep_a_hand_that_is_seen_in_an_image_at_its_size_and_distance(bone):
    """Half a second of pixels; without lengths of its bones it grows and recedes."""
    scene, rng = Scene(), np.random.default_rng(0)
    f = HandObjectFilter(HandObjectOptions(bone=bone))
    for k in range(30):
        f.observe(k / 30, SeenKeypoints(scene.keypoints + rng.normal(0, 0.004, (21, 3))))
    pixels = CAMERA.project(transform(scene.view, scene.keypoints))
    for k in range(30, 45):
        assert f.observe(k / 30, SeenPixels(pixels + rng.normal(0, 3, (21, 2)), CAMERA, scene.view))
    size = bone_lengths(f.estimate().keypoints).sum() / bone_lengths(scene.keypoints).sum()
    depth = transform(scene.view, f.estimate().keypoints)[:, 2].mean() - 0.6
    if bone == 0.003:
        assert abs(size - 1.0) < 0.05 and abs(depth) < 0.12
    else:
        assert size > 1.3 and depth > 0.2


def test_bones_are_measured_where_most_of_the_hand_is_seen():
    scene = Scene()
    f, tips = scene.started(), np.full((21, 3), np.nan)
    bones, tips[4::4] = f._state.bones, scene.keypoints[4::4] + [0.0, 0.0, 0.01]
    assert f.observe(0.2, SeenKeypoints(tips)) and f._state.bones is bones
    f.observe(0.25, SeenKeypoints(scene.keypoints))
    assert f._state.measured == 5 and (f._state.bones != bones).all()


def test_an_error_of_the_flesh_is_that_of_all_directions_in_which_it_is_outermost():
    scene = Scene()
    s, seen = scene.started()._state, scene.seen("mask")
    noise, J = seen.rows(s).noise, seen.rows(s).jacobian.reshape(-1, 21, 3)
    which = np.abs(J).sum(axis=2).argmax(axis=1)
    same, apart = which[:, None] == which, np.eye(len(which)) == 0
    assert (same & apart).any() and (noise[same & apart] > seen.swell**2 + 0.5).all()
    np.testing.assert_allclose(noise[~same], seen.swell**2)
    assert (noise.diagonal() > seen.noise**2 + seen.swell**2 + 0.5).all()


def test_derivatives_of_bones():
    x, step = Scene().keypoints, 1e-6
    rows = bone_rows(x, bone_lengths(x) + 0.001, 0.003)
    np.testing.assert_allclose(rows.residual, 0.001, atol=1e-12)
    for k in range(63):
        moved = step * np.eye(63)[k].reshape(21, 3)
        numeric = (bone_lengths(x + moved) - bone_lengths(x - moved)) / (2 * step)
        np.testing.assert_allclose(rows.jacobian[:, k], numeric, atol=1e-6)


def test_a_hand_that_was_lost_may_be_another_persons():
    scene = Scene()
    f = scene.started()
    small = 0.7 * scene.keypoints + [0.4, 0.0, 0.0]
    assert f._state.measured == 4
    for k in range(10):
        f.observe(1.0 + k / 30, SeenKeypoints(small))
    assert f.restarts[0] == 1
    np.testing.assert_allclose(f._state.bones, bone_lengths(small), rtol=0.05)


def test_the_flesh_is_that_of_others_too_and_of_both_sides():
    right, left = (flesh(open_hand(side), TABLE) for side in SIDES_OF_HANDS)
    np.testing.assert_allclose(left.radii, right.radii, atol=0.002)
    assert (right.radii > 0.001).all() and (right.radii < 0.03).all() and right.sigma[0] > 0.005
    for scene in SCENES:
        d = np.random.default_rng(0).normal(size=(100, 3))
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        reach = scene.keypoints @ d.T + right.radii[:, None]
        off = (scene.hand @ d.T).max(axis=0) - reach.max(axis=0)
        off = off[reach.argmax(axis=0) != 0]
        assert abs(off.mean()) < 0.003 and off.std() < 0.005
