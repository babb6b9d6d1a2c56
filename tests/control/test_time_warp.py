"""A clip at a tenth of its speed: the same path, with what mining has added to it, and the servos' own lag."""

import numpy as np
import pytest

from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.control.controllers import Kinematic
from dexhot.control.slow_motion import slow_demonstration, slow_reference
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.simulation.physics import load_physics

PHYSICS = load_physics()
SHIPPED = share_dir() / "policies" / "lift_box.npz"


@pytest.fixture(scope="module")
def demonstration() -> Demonstration:
    return load(SHIPPED, Demonstration)


def test_a_tenth_of_the_speed_takes_ten_times_as_long(demonstration):
    reference = demonstration.reference
    slow = slow_reference(reference, 0.1)
    slow.validate()
    assert len(slow.q) == 10 * (len(reference.q) - 1) + 1
    assert slow.time[-1] == pytest.approx(10 * reference.time[-1])


def test_the_path_is_the_same(demonstration):
    reference = demonstration.reference
    slow = slow_reference(reference, 0.1)
    for name in ("q", "target", "contact", "object_pose"):
        np.testing.assert_allclose(getattr(slow, name)[::10], getattr(reference, name), atol=1e-9)


def test_no_joint_is_faster_than_its_share(demonstration):
    reference = demonstration.reference
    fastest = np.abs(np.diff(reference.q, axis=0)).max(0)
    assert (np.abs(np.diff(slow_reference(reference, 0.25).q, axis=0)).max(0) <= 0.25 * fastest + 1e-12).all()


def test_the_grasp_is_at_the_same_place(demonstration):
    reference = demonstration.reference
    slow = slow_reference(reference, 0.1)
    assert (slow.grasp_start, slow.grasp_end) == (10 * reference.grasp_start, 10 * reference.grasp_end)


def test_what_mining_added_stays_and_the_lead_is_the_slow_motions(demonstration):
    slow = slow_demonstration(demonstration, 0.1, PHYSICS)
    slow.validate()
    added = demonstration.actions - Kinematic(demonstration.reference, PHYSICS).targets
    np.testing.assert_allclose(slow.actions[::10] - Kinematic(slow.reference, PHYSICS).targets[::10], added, atol=1e-9)


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.01, 1.5, float("nan")])
def test_other_speeds_are_refused(demonstration, speed):
    with pytest.raises(DexhotError, match="speed is a share"):
        slow_reference(demonstration.reference, speed)


def test_the_graph_tracks_and_approaches_slowly(tmp_path, monkeypatch, demonstration):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path))
    made = plan(load_graph("real_track"), {"speed": "0.1"}, {})
    frames = 10 * (len(demonstration.reference.q) - 1) + 1
    assert len(load(made.folder / "reference.npz", Reference).q) == frames
    assert len(load(made.folder / "demonstration.npz", Demonstration).actions) == frames
    assert made.parameters["controller"]["ramp"] == pytest.approx(5.0)
    assert made.parameters["supervisor"]["lead_in"] == pytest.approx(10.0)


def test_a_reference_alone_is_slowed_too(tmp_path, monkeypatch, demonstration):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path))
    path = save(demonstration.reference, tmp_path / "reference.npz")
    made = plan(load_graph("real_track"), {"speed": "0.5", "controller": "kinematic", "reference": str(path)}, {})
    assert len(load(made.folder / "reference.npz", Reference).q) == 2 * len(demonstration.reference.q) - 1
