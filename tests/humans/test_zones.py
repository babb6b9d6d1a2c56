"""Contact zones: which skin touches things, by one rule for all models."""

import numpy as np
import pytest
from tests.mano_file import TIPS, write_mano

from dexhot.geometry.triangles import vertex_normals
from dexhot.humans.mano import mano
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import DIGITS, JOINTS, HandPose
from dexhot.humans.zones import ZONES, contact_zones


@pytest.mark.parametrize("side", ["right", "left"])
def test_each_zone_is_skin_of_its_own_that_faces_what_is_grasped(side):
    hand = open_hand(side)
    zones = contact_zones(hand)
    assert tuple(zones) == ZONES and min(len(ids) for ids in zones.values()) >= 5
    assert len(np.concatenate(list(zones.values()))) == len(set(np.concatenate(list(zones.values()))))
    posed = hand.shaped().posed(HandPose(fingers=hand.prior.mean.reshape(15, 3)))
    centre = hand_centre(posed.points)
    normals = vertex_normals(posed.vertices, hand.faces)
    for name in ("thumb", "index", "middle", "palm"):  # of a relaxed hand, toward what it would hold
        toward = centre - posed.vertices[zones[name]]
        assert (normals[zones[name]] * toward).sum(axis=1).mean() > 0.0, name


def hand_centre(points: np.ndarray) -> np.ndarray:
    """Between the thumb's tip joint and the fingers' tip joints."""
    return 0.5 * (points[DIGITS["thumb"][2]] + points[DIGITS["middle"][2]])


def test_fingertips_are_at_the_tips():
    hand = open_hand()
    for tip, name in enumerate(DIGITS):
        zone = hand.vertices[contact_zones(hand)[name]]
        assert np.linalg.norm(zone - hand.vertices[hand.tips[tip]], axis=1).max() < 0.025
        assert (np.linalg.norm(zone - hand.joints[DIGITS[name][2]], axis=1) > 0.005).all()


def test_zones_of_both_sides_mirror_each_other():
    right, left = contact_zones(open_hand("right")), contact_zones(open_hand("left"))
    assert all(np.array_equal(right[name], left[name]) for name in ZONES)


def test_zones_of_a_mano_file_are_the_same_skin(tmp_path):
    """Of a file with the open hand, whose vertices have other numbers."""
    hand, theirs = open_hand(), mano("right", write_mano(tmp_path))
    zones, found = contact_zones(hand), contact_zones(theirs)
    assert tuple(found) == ZONES and theirs.tips.tolist() == list(TIPS)
    for name in ZONES:
        here, there = hand.vertices[zones[name]], theirs.vertices[found[name]]
        assert len(here) == len(there) and np.allclose(np.unique(here, axis=0), np.unique(there, axis=0)), name


def test_tables_name_points_that_are_there():
    hand = open_hand()
    for table in hand.tables.values():
        assert table.ids.max() < JOINTS + len(hand.vertices) and (table.weights >= 0).all()
