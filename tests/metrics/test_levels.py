"""DexTrack's levels on the robot, from rollouts made by hand."""

import numpy as np
import pytest

from dexhot.data.types import Rollout
from dexhot.geometry.rotations import quat_multiply, rotvec_to_quat
from dexhot.metrics import levels
from dexhot.metrics.levels import TRACKED
from dexhot.metrics.tracking_errors import lifted, object_errors
from dexhot.objects.asset import ObjectAsset

ROWS = ("q", "target", "object_pose", "contact")  # of a reference


def level(rollout: Rollout, asset: ObjectAsset) -> int:
    errors = object_errors(asset, rollout.object_pose, rollout.reference.object_pose)
    return levels.level(rollout, asset, errors.judged_distance)


@pytest.fixture
def perfect(lift_reference, lift_object) -> Rollout:
    """A rollout that repeats its reference, which is held up for more than 100 frames, with the fingers on it."""
    for name in ROWS:
        rows = getattr(lift_reference, name)
        setattr(lift_reference, name, np.concatenate([rows, np.repeat(rows[-1:], 60, axis=0)]))
    r, T = lift_reference, len(lift_reference.q)
    up = lifted(lift_object, r.object_pose)
    assert T - np.flatnonzero(up)[0] > TRACKED
    tips = np.repeat(up[:, None], 4, axis=1)
    series = r.q.copy(), r.target.copy(), r.object_pose.copy(), np.zeros(T), ~up, tips
    return Rollout(r.name, r, "live", r.time, *series)


def test_a_tracked_clip_reaches_level_three(perfect, lift_object):
    assert level(perfect, lift_object) == 3


def test_an_object_that_stays_reaches_none(perfect, lift_object):
    perfect.object_pose[:] = perfect.object_pose[0]
    perfect.tip_contact[:] = True
    assert level(perfect, lift_object) == 0


def tilt(rollout, degrees: float) -> None:
    """The object on its edge, from frame 60 on."""
    turn = rotvec_to_quat(np.array([np.radians(degrees), 0.0, 0.0]))
    rollout.object_pose[:] = rollout.object_pose[0]
    rollout.object_pose[60:, 3:] = quat_multiply(turn, rollout.object_pose[0, 3:])
    rollout.table_contact[:], rollout.tip_contact[:] = True, False


def test_one_side_lifted_by_the_hand_is_level_one(perfect, lift_object):
    tilt(perfect, 35.0)
    assert level(perfect, lift_object) == 0  # nothing touches it: it was knocked over
    perfect.tip_contact[60:] = True
    assert level(perfect, lift_object) == 1
    tilt(perfect, 15.0)  # its edge by 11 mm
    perfect.tip_contact[60:] = True
    assert level(perfect, lift_object) == 0


def test_an_object_lifted_and_lost_is_level_two(perfect, lift_object):
    first = int(np.flatnonzero(lifted(lift_object, perfect.object_pose))[0])
    perfect.object_pose[first + 30 :, :3] += [0.2, 0.0, 0.0]  # within 100 frames
    assert level(perfect, lift_object) == 2
    perfect.table_contact[first:] = True  # higher than it was, but on the table
    assert level(perfect, lift_object) == 1


def test_it_must_be_tracked_for_more_than_a_hundred_frames_in_a_row(perfect, lift_object):
    first = int(np.flatnonzero(lifted(lift_object, perfect.object_pose) & ~perfect.table_contact)[0])
    perfect.object_pose[first + TRACKED + 1 :, :3] += [0.2, 0.0, 0.0]
    assert level(perfect, lift_object) == 3
    perfect.object_pose[first + TRACKED, :3] += [0.2, 0.0, 0.0]
    assert level(perfect, lift_object) == 2


def test_two_runs_of_tracked_frames_are_not_one(perfect, lift_object):
    first = int(np.flatnonzero(lifted(lift_object, perfect.object_pose))[0])
    perfect.object_pose[first + 50, :3] += [0.2, 0.0, 0.0]
    assert level(perfect, lift_object) == 2


def test_an_object_put_down_as_the_reference_does_is_tracked_there_too(perfect, lift_object):
    reference = perfect.reference.object_pose
    reference[-60:] = perfect.object_pose[-60:] = reference[0]
    perfect.table_contact[-60:] = True
    assert level(perfect, lift_object) == 3
    lying = perfect.object_pose.copy()
    perfect.object_pose[-60:, 0] += 0.2  # put down elsewhere
    assert level(perfect, lift_object) == 2
    perfect.object_pose[:] = lying
    perfect.table_contact[-80:] = True  # and 20 frames too early, 5 cm below where it should be
    assert level(perfect, lift_object) == 2


def cut(rollout, frames: int) -> None:
    for name in ("q", "command", "object_pose", "penetration", "table_contact", "tip_contact"):
        setattr(rollout, name, getattr(rollout, name)[:frames])
    for name in ROWS:
        setattr(rollout.reference, name, getattr(rollout.reference, name)[:frames])


def test_a_shorter_clip_counts_to_its_end_but_an_interrupted_one_does_not(perfect, lift_object):
    cut(perfect, int(np.flatnonzero(lifted(lift_object, perfect.object_pose))[0]) + 40)
    assert level(perfect, lift_object) == 3
    perfect.provenance["stopped"] = "holding: the object was lost"
    assert level(perfect, lift_object) == 2
    del perfect.provenance["stopped"]
    perfect.object_pose[-1, :3] += [0.2, 0.0, 0.0]
    assert level(perfect, lift_object) == 2
