"""The arm's height above the table: closed forms against MuJoCo's collision detection."""

import mujoco
import numpy as np
import pytest

from dexhot.robots.arm import fr3_spec
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_table import STANDING, ArmTable
from dexhot.robots.robot_hand import load_hand

TABLE = ArmTable(ArmChain(load_hand("leap_right")))


def configurations(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(TABLE.chain.lower, TABLE.chain.upper, (count, 7))


@pytest.fixture(scope="module")
def plane():
    """The arm's shapes and the plane of the table, in MuJoCo."""
    spec = fr3_spec(visual=False)
    for geom in spec.geoms:
        geom.contype, geom.conaffinity = (1, 0) if geom.contype and geom.parent.name not in STANDING else (0, 0)
    table = spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1])
    table.contype, table.conaffinity = 0, 1
    return spec.compile()


def test_it_touches_where_mujoco_finds_a_contact_as_deep(plane):
    q, data = configurations(300), mujoco.MjData(plane)
    height = TABLE.heights(q).min(axis=1)
    for row, lowest in zip(q, height):
        data.qpos[:] = row
        mujoco.mj_kinematics(plane, data)
        mujoco.mj_collision(plane, data)
        assert min(data.contact.dist, default=1.0) == pytest.approx(min(lowest, 0.0) or 1.0, abs=2e-4) or lowest > -2e-4
    np.testing.assert_array_equal(TABLE.touches(q), height < 0)
    assert 15 < (height < 0).sum() < 285


def test_its_jacobian_is_that_of_the_heights():
    q, step = configurations(20, seed=1), 1e-6
    found = TABLE.jacobian(q)
    for j in range(7):
        aside = step * np.eye(7)[j]
        wanted = (TABLE.heights(q + aside) - TABLE.heights(q - aside)) / (2 * step)
        np.testing.assert_allclose(found[..., j], wanted, atol=1e-5)
