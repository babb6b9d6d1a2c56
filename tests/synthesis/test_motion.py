"""The terms and steps that make a motion physical."""

import numpy as np
import pytest
import trimesh

from dexhot.fitting.solver import solve_pose
from dexhot.fitting.terms import NearPose
from dexhot.geometry.poses import IDENTITY
from dexhot.geometry.sdf_volume import sdf_volume
from dexhot.humans.skin import HandPose
from dexhot.humans.zones import contact_zones
from dexhot.synthesis.motion import CLEARANCE, Obstacles, Touch, changed, difference
from dexhot.synthesis.person import draw_person


@pytest.fixture(scope="module")
def ball():
    """A person's hand at rest above the table, its index fingertip's pad, and a ball of 3 cm."""
    person = draw_person(np.random.default_rng(0), "right")
    pose = HandPose(translation=np.array([0.0, 0.0, 0.4]) - person.hand.joints[0])
    sphere = trimesh.creation.icosphere(3, 0.03)
    return person, pose, sdf_volume(sphere.vertices, sphere.faces, 0.002)


def beside(ball, gap):
    """Obstacles with the ball `gap` m from the index fingertip's vertex, and the fingertips' zones."""
    person, pose, volume = ball
    zones = [zone for name, zone in contact_zones(person.hand).items() if name != "palm"]
    posed = person.hand.shaped().posed(pose)
    tip = posed.vertices[person.hand.tips[1]]
    way = tip - posed.joints[3]
    place = IDENTITY.copy()
    place[:3] = tip + way / np.linalg.norm(way) * (0.03 + gap)
    return Obstacles(volume, place, 0.0, person.subdivision[0]), zones


def gap_after(ball, obstacles, zones, term):
    person, pose, _ = ball
    posed = solve_pose(person.hand.shaped(), pose, [NearPose(pose), term], 20).posed
    skin = obstacles.object_distances(person.surface(posed))[0].min()
    return skin, obstacles.object_distances(posed.vertices[zones[1]])[0].min()


def test_a_fingertip_that_touches_is_drawn_to_the_surface(ball):
    obstacles, zones = beside(ball, 0.004)
    on = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    assert abs(gap_after(ball, obstacles, zones, Touch(obstacles, zones, on))[1] - CLEARANCE) < 0.0005
    assert gap_after(ball, obstacles, zones, Touch(obstacles, zones, 0 * on))[1] > 0.003


def test_skin_inside_is_pushed_out(ball):
    obstacles, zones = beside(ball, -0.006)
    person, pose, _ = ball
    skin = person.surface(person.hand.shaped().posed(pose))
    assert obstacles.distances(skin)[0].min() < -0.004
    assert gap_after(ball, obstacles, zones, obstacles)[0] > -0.0005


def test_the_table_is_an_obstacle(ball):
    obstacles, _ = beside(ball, 0.2)
    value, slope = obstacles.distances(np.array([[0.5, 0.5, -0.01], [0.5, 0.5, 0.02]]))
    assert np.allclose(value, [-0.01, 0.02]) and np.allclose(slope, [[0, 0, 1], [0, 0, 1]])


def test_a_change_is_carried_along_with_the_hand():
    rng = np.random.default_rng(3)
    a, b = (HandPose.from_vector(np.r_[rng.normal(size=3), 0.1 * rng.normal(size=48)]) for _ in range(2))
    by = 0.1 * rng.normal(size=51)
    assert np.allclose(difference(a, changed(a, by)), by)
    assert np.allclose(a.rotation.T @ (changed(a, by).translation - a.translation), by[3:6])
    assert np.allclose(b.rotation.T @ (changed(b, by).translation - b.translation), by[3:6])
