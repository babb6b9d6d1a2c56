"""Observations: one function for a live tick and a batch, independent of the placement, and blind for students."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.observation import (
    DEXTRACK,
    EGOCENTRIC,
    FEATURES,
    LAYOUTS,
    OBJECT_FEATURE,
    SPECIALIST,
    ClipToTrack,
    Observed,
    Observer,
    check_student,
    joint_velocity,
    layout_of,
    parse,
    pose_velocity,
)
from dexhot.datasets.parametric import generate
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.poses import compose
from dexhot.geometry.rotations import quat_rotate, rotvec_to_quat
from dexhot.retargeting.placement import moved
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")
EVERYTHING = [name for name in FEATURES if name != "object_feature"] + ["contact@6", "tip_distance@12"]


@pytest.fixture(scope="module")
def clips():
    out = []
    for shape in ("box", "cylinder"):
        trajectory, asset = generate("lift", shape, 3)
        out.append(ClipToTrack(retarget(trajectory, HAND, asset), asset))
    return out


def ticks(clip: ClipToTrack, frames, rng, index=0) -> Observed:
    """Ticks near the reference."""
    r, frames = clip.reference, np.asarray(frames)
    pose = r.object_pose[frames].copy()
    pose[..., :3] += rng.normal(0, 0.01, pose[..., :3].shape)
    q = r.q[frames] + rng.normal(0, 0.02, r.q[frames].shape)
    return Observed(
        frames,
        pose,
        rng.normal(size=(*frames.shape, 6)),
        q,
        0.1 * q,
        q + 0.01,
        0.01 * q,
        None,
        np.full(frames.shape, index),
    )


def test_a_batch_is_its_ticks_one_by_one(clips):
    rng = np.random.default_rng(0)
    observer = Observer(clips, EVERYTHING)
    batches = [ticks(clip, np.arange(0, 60, 7), rng, k) for k, clip in enumerate(clips)]
    both = Observed(
        *(
            np.stack([getattr(b, f) for b in batches])
            for f in ("frame", "object_pose", "object_twist", "q", "qd", "command", "residual")
        ),
        clip=np.stack([b.clip for b in batches]),
    )
    seen = observer(both)
    assert seen.shape == (2, 9, observer.size) and seen.dtype == np.float32
    for k, batch in enumerate(batches):
        for t in range(9):
            one = Observed(
                *(
                    getattr(batch, f)[t]
                    for f in ("frame", "object_pose", "object_twist", "q", "qd", "command", "residual")
                ),
                clip=k,
            )
            np.testing.assert_allclose(observer(one), seen[k, t], atol=1e-5)


def test_an_observation_does_not_depend_on_the_placement(clips):
    clip, rng = clips[0], np.random.default_rng(1)
    here = ticks(clip, np.arange(10, 90, 11), rng)
    world_T_old = np.r_[0.4, -0.2, 0.1, rotvec_to_quat([0, 0, 0.7])]
    placed = ClipToTrack(moved(clip.reference, world_T_old), clip.asset)

    def carried(vectors):
        return np.concatenate([quat_rotate(world_T_old[3:], vectors[..., :3]), vectors[..., 3:]], axis=-1)

    def carried_hand(q):
        return carried(q) + np.r_[world_T_old[:3], np.zeros(q.shape[-1] - 3)]

    twist = np.concatenate([quat_rotate(world_T_old[3:], here.object_twist[:, k : k + 3]) for k in (0, 3)], axis=1)
    there = Observed(
        here.frame,
        compose(world_T_old, here.object_pose),
        twist,
        carried_hand(here.q),
        carried(here.qd),
        carried_hand(here.command),
        carried(here.residual),
    )
    np.testing.assert_allclose(Observer([placed], EVERYTHING)(there), Observer([clip], EVERYTHING)(here), atol=2e-5)


def test_an_object_that_moves_on_its_reference_has_no_error_and_the_tips_touch(clips):
    clip = clips[0]
    r = clip.reference
    t = (r.grasp_start + r.grasp_end) // 2
    seen = Observer([clip], ["object_error", "tip_distance@0", "contact@0"])(Observed(np.array(t), r.object_pose[t]))
    error, distance, contact = seen[:6], seen[6:10], seen[10:]
    assert np.abs(error).max() < 1e-6
    touching = contact > 0.9
    assert touching.any() and np.abs(distance[touching]).max() < 0.006


def test_the_error_of_a_symmetric_object_leaves_its_free_turn_out(clips):
    cylinder = clips[1]
    axis = np.asarray(cylinder.asset.symmetry.axis)
    pose = cylinder.reference.object_pose[0]
    spun = np.r_[pose[:3], compose(pose, np.r_[0, 0, 0, rotvec_to_quat(1.0 * axis)])[3:]]
    seen = Observer([cylinder], ["object_error", "goal_minus_object@0"])(Observed(np.array(0), spun))
    assert np.abs(seen[3:6]).max() < 1e-5 and np.linalg.norm(seen[9:12]) == pytest.approx(1.0, abs=1e-4)


def test_ahead_features_end_with_the_clip(clips):
    clip = clips[0]
    last = len(clip.reference.q) - 1
    observer = Observer([clip], ["goal_hand@24", "goal_hand@3"])
    seen = observer(Observed(np.array(last - 10), clip.reference.object_pose[-1]))
    np.testing.assert_allclose(seen[:22], clip.reference.q[-1], atol=1e-5)
    np.testing.assert_allclose(seen[22:], clip.reference.q[last - 7], atol=1e-5)


def test_velocities_are_finite_differences():
    before, turn = np.array([0.0, 0, 0, 1, 0, 0, 0]), rotvec_to_quat([0, 0, 0.02])
    twist = pose_velocity(np.r_[0.01, 0, 0, turn], before)
    np.testing.assert_allclose(twist, [0.6, 0, 0, 0, 0, 1.2], atol=1e-9)
    np.testing.assert_allclose(joint_velocity(np.ones(3), np.zeros(3), 0.5), [2, 2, 2])


def test_sizes_are_those_of_the_card(clips):
    clips = [replace(clip, object_feature=np.zeros(OBJECT_FEATURE)) for clip in clips]
    for layout in LAYOUTS.values():
        assert sum(f["size"] for f in layout_of(HAND, layout)) == Observer(clips, layout).size


def test_students_see_neither_the_hand_nor_what_it_was_told():
    check_student(EGOCENTRIC)
    check_student(SPECIALIST)
    with pytest.raises(DexhotError, match="must not observe hand, hand_velocity, last_command"):
        check_student(DEXTRACK)


@pytest.mark.parametrize("name", ["contact@99", "gravity@6", "contact@", "contact@-1"])
def test_wrong_frames_are_refused(name):
    with pytest.raises(DexhotError, match="@0 to @48"):
        parse(name)


def test_unknown_features_and_unknown_values_are_named(clips):
    with pytest.raises(NotFoundError, match="feature of an observation named 'hands'"):
        Observer(clips, ["hands"])
    with pytest.raises(DexhotError, match="needs q"):
        Observer(clips, ["hand"])(Observed(np.array(0), clips[0].reference.object_pose[0]))
    with pytest.raises(DexhotError, match="object_feature"):
        Observer(clips, ["object_feature"])(Observed(np.array(0), clips[0].reference.object_pose[0]))


def test_a_learnt_object_feature_is_shown(clips):
    feature = np.linspace(0, 1, 256)
    clip = ClipToTrack(clips[0].reference, clips[0].asset, None, feature)
    seen = Observer([clip], ["object_feature"])(Observed(np.array(0), clip.reference.object_pose[0]))
    np.testing.assert_allclose(seen, feature, atol=1e-6)


def test_a_reference_shorter_than_the_horizon_is_seen_to_its_end(clips):
    short = replace(
        clips[0].reference,
        **{f: getattr(clips[0].reference, f)[:8] for f in ("q", "target", "contact", "object_pose")},
        grasp_start=2,
        grasp_end=5,
    )
    observer = Observer([ClipToTrack(short, clips[0].asset)], [*SPECIALIST, "goal_object@48"])
    seen = observer(Observed(np.arange(8), short.object_pose))
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(seen[0, -7:-4], short.object_pose[-1, :3], atol=1e-6)
