"""References described and disturbed: contact maps, noise, unreasonable states."""

import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.evaluation.references import (
    JUMP,
    JUMP_FRAMES,
    JUMPS,
    KINDS,
    OBJECT,
    contact_map,
    difficulty,
    disturbed,
    hand_points,
    reference_quality,
)
from dexhot.rollouts.floating import floating_simulator


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def test_points_are_spread_over_every_link_of_the_hand(simulator):
    geoms, points = hand_points(simulator.scene)
    assert len(geoms) == len(points) == 1000 and set(geoms) <= set(simulator.scene.hand_geoms)
    assert len(set(geoms)) > 0.8 * len(simulator.scene.hand_geoms)
    reach = simulator.scene.contact_model.geom_rbound[geoms]
    assert (np.linalg.norm(points, axis=1) < reach * 1.01).all()


def test_the_hand_touches_the_object_while_it_is_lifted(lift_reference, lift_setup, simulator):
    contact = contact_map(lift_reference, lift_setup, simulator.scene)
    held = slice(lift_reference.grasp_start + 5, lift_reference.grasp_end - 5)
    assert not contact[0].any() and contact[held].any(axis=1).all()
    found = difficulty(lift_reference, lift_setup, simulator)
    assert found["v_contact"] > 0 and found["s_smooth"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbed_reference_begins_as_the_clip_is_within_limits_and_always_the_same(
    lift_reference, lift_setup, simulator, kind
):
    found = disturbed(lift_reference, lift_setup.hand, kind)
    found.validate()
    for name in ("q", "target", "object_pose"):
        np.testing.assert_array_equal(getattr(found, name)[0], getattr(lift_reference, name)[0])
        assert not np.array_equal(getattr(found, name), getattr(lift_reference, name))
        np.testing.assert_array_equal(
            getattr(found, name), getattr(disturbed(lift_reference, lift_setup.hand, kind), name)
        )
    assert (found.q[:, 6:] >= lift_setup.hand.lower).all() and (found.q[:, 6:] <= lift_setup.hand.upper).all()
    assert reference_quality(found, simulator) > 2 * reference_quality(lift_reference, simulator)


def test_noise_is_in_every_frame_and_jumps_are_short(lift_reference, lift_setup):
    noisy, jumping = (disturbed(lift_reference, lift_setup.hand, kind) for kind in KINDS)
    off = noisy.object_pose[:, :3] - lift_reference.object_pose[:, :3]
    assert off[1:].std() == pytest.approx(OBJECT, rel=0.3) and (np.abs(off[1:]).max(axis=1) > 0).all()
    off = np.linalg.norm(jumping.object_pose[:, :3] - lift_reference.object_pose[:, :3], axis=1)
    assert np.isclose(off, JUMP).sum() == JUMPS * JUMP_FRAMES and np.isclose(off, 0).sum() == len(off) - 18


def test_an_unknown_kind_is_named(lift_reference, lift_setup):
    with pytest.raises(NotFoundError, match="noisy"):
        disturbed(lift_reference, lift_setup.hand, "loud")
