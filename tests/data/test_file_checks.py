"""What a file's values must be: the frame that is named, and values at their limits."""

import dataclasses
import re

import numpy as np
import pytest

from dexhot.data.types import PolicyCard, Reference, Rollout
from dexhot.errors import FileFormatError


def refused(item, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        item.validate()


@pytest.mark.parametrize("frame", [0, 7, 40])
def test_the_frame_from_which_time_does_not_increase_is_named(lift_clip, frame):
    lift_clip.time[frame + 1] = lift_clip.time[frame]
    refused(lift_clip, f"not from frame {frame} to the next")


@pytest.mark.parametrize("frame", [0, 7])
def test_the_first_frame_with_a_gap_is_named(lift_reference, frame):
    lift_reference.object_pose[[frame, frame + 5], 2] = np.inf
    refused(lift_reference, f"object_pose has a non-finite value, first at frame {frame};")


@pytest.mark.parametrize(("frames", "message"), [(1, "at least 2 frames, this one has 1"), (2, None)])
def test_a_reference_has_two_frames(lift_reference, frames, message):
    cut = {name: getattr(lift_reference, name)[:frames] for name in ("q", "target", "contact", "object_pose")}
    short = dataclasses.replace(lift_reference, **cut, grasp_start=0, grasp_end=0)
    if message:
        refused(short, message)
    else:
        short.validate()


@pytest.mark.parametrize("frames", [1, 2])
def test_a_clip_has_two_frames(lift_clip, frames):
    hand = lift_clip.hands["right"]
    rows = {f.name: getattr(hand, f.name)[:frames] for f in dataclasses.fields(hand) if f.name not in ("model",)}
    hand = dataclasses.replace(hand, **rows)
    short = dataclasses.replace(
        lift_clip, time=lift_clip.time[:frames], object_pose=lift_clip.object_pose[:frames], hands={"right": hand}
    )
    if frames == 1:
        refused(short, "at least 2 frames, this one has 1")
    else:
        short.validate()


@pytest.mark.parametrize(
    ("start", "end", "good"),
    [(0, 0, True), (0, -1, False), (-1, 3, False), (4, 3, False), (3, "last", True), (3, "T", False)],
)
def test_a_grasp_lies_in_the_clip(lift_reference, start, end, good):
    frames = len(lift_reference.q)
    end = {"last": frames - 1, "T": frames}.get(end, end)
    changed = dataclasses.replace(lift_reference, grasp_start=start, grasp_end=end)
    if good:
        changed.validate()
    else:
        refused(changed, re.escape(f"frames in order, 0 to {frames - 1}"))


@pytest.mark.parametrize("field", ["object_pose", "base_quat", "placement"])
@pytest.mark.parametrize(("norm", "good"), [(1.0009, True), (0.9991, True), (1.0011, False), (0.9989, False)])
def test_quaternions_are_of_unit_norm_within_a_thousandth(lift_reference, field, norm, good):
    value = getattr(lift_reference, field)
    value[..., -4:] *= norm
    if good:
        lift_reference.validate()
    else:
        refused(lift_reference, f"{field} has a quaternion of norm 1")


@pytest.mark.parametrize(("contact", "good"), [(0.0, True), (1.0, True), (-1e-6, False), (1.000001, False)])
def test_contact_is_a_share(lift_reference, contact, good):
    lift_reference.contact[3, 1] = contact
    if good:
        lift_reference.validate()
    else:
        refused(lift_reference, "contact spans")


def test_numbers_are_numbers(lift_reference):
    refused(dataclasses.replace(lift_reference, q=lift_reference.q.astype(complex)), "q must be an array of numbers")
    refused(dataclasses.replace(lift_reference, q=lift_reference.q.tolist()), "must be an array of numbers")


@pytest.mark.parametrize("name", ["table_height"])
def test_a_table_is_somewhere(lift_clip, name):
    setattr(lift_clip, name, np.nan)
    refused(lift_clip, "table_height must be finite")


@pytest.mark.parametrize("shape", ["parameters", "keypoint_covariance"])
def test_what_a_hand_may_lack_must_fit_where_it_is_there(lift_clip, shape):
    track = lift_clip.hands["right"]
    frames = len(lift_clip.time)
    setattr(track, shape, np.zeros((0, 0)) if shape == "parameters" else np.zeros((0, 21, 3, 3)))
    lift_clip.validate()
    setattr(track, shape, np.zeros((frames - 1, 4)) if shape == "parameters" else np.zeros((frames - 1, 21, 3, 3)))
    refused(lift_clip, rf"hands\.right\.{shape} has shape")


def test_a_rollouts_rows_are_the_references_frames(lift_reference):
    r, still = lift_reference, np.zeros(len(lift_reference.q))
    touch = np.zeros((len(r.q), 4), bool)
    good = Rollout(r.name, r, "arm", r.time, r.q, r.q, r.object_pose, still, touch[:, 0], touch)
    good.validate()
    for name in ("time", "q", "command", "object_pose", "penetration", "table_contact", "tip_contact"):
        refused(dataclasses.replace(good, **{name: getattr(good, name)[:-1]}), f"{name} has shape")
    refused(dataclasses.replace(good, arm_q=np.zeros((3, 7))), "arm_q has shape")
    refused(dataclasses.replace(good, kind="real"), "'real' is unknown, one of floating, arm, live")


def test_time_of_a_reference_is_counted_at_its_rate(lift_reference: Reference):
    np.testing.assert_allclose(np.diff(lift_reference.time), 1 / 60)
    assert lift_reference.time[0] == 0.0


@pytest.mark.parametrize(("rate", "digits", "good"), [(60.0, 64, True), (0.0, 64, False), (60.0, 63, False)])
def test_a_policy_card_has_a_rate_and_a_hash(rate, digits, good):
    card = PolicyCard("p", "leap_right", ["a"], rate, [], "residual", "0" * digits, "targets", [1.0], [1.0])
    if good:
        card.validate()
    else:
        refused(card, "must be")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("action", "torque", "one of residual, cumulative"),
        ("baseline", "zero", "one of targets, object_relative"),
        ("residual_limit", [1.0, 2.0], "residual_limit must have a positive number per joint, 1 of them"),
        ("residual_step", [0.0], "residual_step must have a positive number"),
        ("residual_step", [float("nan")], "residual_step must have a positive number"),
        ("observation", [{"name": "contact"}], "which is not {name, size}"),
        ("onnx_sha256", "x" * 64, "64 hex digits"),
    ],
)
def test_a_policy_card_states_what_its_network_does(field, value, message):
    card = PolicyCard("p", "leap_right", ["a"], 60.0, [], "residual", "0" * 64, "targets", [1.0], [1.0])
    setattr(card, field, value)
    refused(card, message)
