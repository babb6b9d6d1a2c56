"""Perturbed worlds and variants differ from the nominal one as their names say."""

import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.perturbation import VARIANTS, variant, worlds
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import floating_scene

HAND, PHYSICS = load_hand("leap_right"), load_physics()


@pytest.fixture(scope="module")
def scene(lift):
    return floating_scene(HAND, lift[1], [1.0, 0, 0, 0], PHYSICS)


def drawn(name: str, count: int = 300):
    rng = np.random.default_rng(0)
    return [worlds(name).draw(rng) for _ in range(count)]


def test_worlds_v1_are_those_of_the_first_benchmark():
    rng, found = np.random.default_rng(3), drawn("worlds_v1", 1)
    assert (found[0].gain, found[0].palm, found[0].time_constant, found[0].sliding) == (1.0, None, None, None)
    draw = worlds("worlds_v1").draw(np.random.default_rng(3))
    offset, yaw = rng.uniform(-0.005, 0.005, 2), rng.uniform(-np.radians(10), np.radians(10))
    friction, mass = rng.uniform(0.8, 1.2, 2)
    np.testing.assert_array_equal(draw.offset, offset)
    assert (draw.yaw, draw.friction, draw.mass) == (yaw, friction, mass)


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [("sliding", 0.5, 1.2), ("mass", 0.7, 1.3), ("time_constant", 0.0085, 0.02), ("gain", 0.85, 1.15)],
)
def test_worlds_v2_fill_their_bounds(field, low, high):
    values = np.array([getattr(draw, field) for draw in drawn("worlds_v2")])
    width = high - low
    assert low <= values.min() < low + 0.05 * width and high - 0.05 * width < values.max() <= high


def test_the_palm_of_worlds_v2_is_up_to_2_mm_off_in_every_direction():
    palm = np.stack([draw.palm for draw in drawn("worlds_v2")])
    distance = np.linalg.norm(palm, axis=1)
    assert 0.0019 < distance.max() <= 0.002
    assert np.abs(palm.mean(0)).max() < 2e-4


def test_a_drawn_world_is_what_its_numbers_say(scene):
    draw = worlds("worlds_v2").draw(np.random.default_rng(1))
    model, nominal = draw.model(scene), scene.model
    geoms = np.r_[scene.object_geoms, scene.hand_geoms, scene.table_geom]
    np.testing.assert_allclose(model.geom_friction[geoms, 0], draw.sliding)
    np.testing.assert_allclose(model.geom_solref[geoms, 0], draw.time_constant)
    np.testing.assert_allclose(model.body("object").mass, draw.mass * nominal.body("object").mass)
    np.testing.assert_allclose(model.body("palm").pos - nominal.body("palm").pos, draw.palm)
    a = model.actuator("index_pip").id
    np.testing.assert_allclose(model.actuator_gainprm[a, [4, 6]], draw.gain * nominal.actuator_gainprm[a, [4, 6]])
    assert nominal.geom_friction[geoms, 0] == pytest.approx(PHYSICS.friction[0])  # the scene's own stays


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_runs_at_60_hz_and_is_named(name):
    found = variant(PHYSICS, name)
    assert found.control_dt == pytest.approx(1 / 60) and found.version == f"2, {name}"


def test_variants_differ_as_named():
    fine, default, slippery = (
        variant(PHYSICS, n) for n in ("1/960 s elliptic", "MuJoCo default contacts", "friction 0.6")
    )
    assert fine.timestep == pytest.approx(1 / 960) and fine.cone == "elliptic" and fine.solref == PHYSICS.solref
    assert default.timestep == pytest.approx(1 / 480) and default.solref == (0.02, 1.0)
    assert (default.cone, default.noslip_iterations) == ("pyramidal", 0)
    assert slippery.friction[0] == 0.6 and slippery.timestep == PHYSICS.timestep


def test_finer_steps_of_physics_1_keep_the_contacts_that_mujoco_made_of_it():
    assert variant(load_physics("1"), "1/960 s elliptic").solref[0] == pytest.approx(2 / 240)


def test_an_unknown_set_or_variant_lists_the_known_ones():
    with pytest.raises(NotFoundError, match="worlds_v2"):
        worlds("worlds_v3")
    with pytest.raises(NotFoundError, match=r"friction 0\.6"):
        variant(PHYSICS, "moon")
