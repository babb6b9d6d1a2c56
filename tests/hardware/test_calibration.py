"""When a measured hand is calibrated, and who is named when it is not."""

import re

import numpy as np
import pytest
import yaml

from dexhot.errors import DexhotError, FileFormatError
from dexhot.hardware.leap.calibration import CREDIBLE, find_offsets, load_offsets, offsets_file, save_offsets
from dexhot.robots.joint_table import joint_table

JOINTS = joint_table("leap_right")
NAMES = [j.name for j in JOINTS]
FLAT = np.array([j.to_motor(0.0) for j in JOINTS])


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))


def test_offsets_are_the_mean_motor_angles_less_the_tables():
    angles = FLAT + np.linspace(-0.3, 0.3, 16) + np.deg2rad([[-0.4], [0.0], [0.4]])
    np.testing.assert_allclose(find_offsets(JOINTS, angles), np.linspace(-0.3, 0.3, 16))


def test_a_hand_that_rests_bent_is_measured_against_its_pose():
    q = np.linspace(0.0, 0.4, 16)
    bent = np.array([[j.to_motor(value) for j, value in zip(JOINTS, q)]])
    np.testing.assert_allclose(find_offsets(JOINTS, bent + 0.05, q), 0.05)


@pytest.mark.parametrize(("degrees", "still"), [(0.99, True), (1.01, False)])
def test_a_hand_that_moved_by_a_degree_is_not_measured(degrees, still):
    angles = np.stack([FLAT, FLAT])
    angles[1, 4] += np.deg2rad(degrees)
    if still:
        find_offsets(JOINTS, angles)
    else:
        with pytest.raises(DexhotError, match=re.escape(f"({NAMES[4]})")):
            find_offsets(JOINTS, angles)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_only_joints_that_are_not_credible_are_named(sign):
    angles = FLAT[None].copy()
    angles[0, 4] += sign * (CREDIBLE - 0.001)
    find_offsets(JOINTS, angles)
    angles[0, 7] += sign * (CREDIBLE + 0.001)
    with pytest.raises(DexhotError, match=re.escape(f"teeth off): {NAMES[7]} {sign * 34:+.0f} deg.")):
        find_offsets(JOINTS, angles)


@pytest.mark.parametrize(("offset", "good"), [(CREDIBLE, True), (-CREDIBLE, True), (0.61, False), (-0.61, False)])
def test_a_file_with_offsets_beyond_what_is_credible_is_refused(offset, good):
    save_offsets("leap_right", np.where(np.arange(16) == 3, offset, 0.1))
    if good:
        assert load_offsets("leap_right")[3] == offset
    else:
        with pytest.raises(FileFormatError, match="beyond"):
            load_offsets("leap_right")


def test_a_hand_never_calibrated_has_no_offsets_and_a_file_that_lacks_a_joint_is_refused():
    np.testing.assert_array_equal(load_offsets("leap_right"), np.zeros(16))
    path = save_offsets("leap_right", np.zeros(16))
    assert path == offsets_file("leap_right")
    content = yaml.safe_load(path.read_text())
    assert list(content["offsets"]) == NAMES and content["unit"] == "rad"
    del content["offsets"][NAMES[2]]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(FileFormatError, match=NAMES[2]):
        load_offsets("leap_right")
