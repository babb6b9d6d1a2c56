"""A clip in the arm's time: the same path, with what mining has added to it, and the servos' own lag."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.control.controllers import Kinematic
from dexhot.control.time_warp import for_arm, frames_at, warp_demonstration, warp_reference
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.retargeting.placement import with_arm_path
from dexhot.simulation.physics import load_physics

PHYSICS = load_physics()
SHIPPED = share_dir() / "policies" / "lift_box.npz"


@pytest.fixture(scope="module")
def demonstration() -> Demonstration:
    found = load(SHIPPED, Demonstration)
    return replace(found, reference=replace(found.reference, arm_frames=np.zeros(0)))


@pytest.fixture
def reference(demonstration) -> Reference:
    return demonstration.reference


def at_speed(reference: Reference, speed: float) -> Reference:
    return warp_reference(reference, frames_at(reference, speed))


def test_a_tenth_of_the_speed_takes_ten_times_as_long(reference):
    slow = at_speed(reference, 0.1)
    slow.validate()
    assert len(slow.q) == 10 * (len(reference.q) - 1) + 1
    assert slow.time[-1] == pytest.approx(10 * reference.time[-1])


def test_the_path_is_the_same(reference):
    slow = at_speed(reference, 0.1)
    for name in ("q", "target", "contact", "object_pose"):
        np.testing.assert_allclose(getattr(slow, name)[::10], getattr(reference, name), atol=1e-9)


def test_velocities_stay_continuous(reference):
    """Between straight lines the velocity would jump at every frame of the clip."""
    slow = at_speed(reference, 0.1)
    bend, path = (np.abs(np.diff(x, n=2, axis=0)).max() for x in (slow.q, reference.q))
    assert bend < 1.6 * path / 100


def test_the_grasp_is_at_the_same_place(reference):
    slow = at_speed(reference, 0.1)
    assert (slow.grasp_start, slow.grasp_end) == (10 * reference.grasp_start, 10 * reference.grasp_end)


def test_every_row_says_which_frame_of_the_clip_it_shows(reference):
    slow = at_speed(at_speed(reference, 0.5), 0.5)
    assert not len(slow.arm_frames)
    np.testing.assert_allclose(slow.clip_frames, np.arange(len(slow.q)) / 4)


def test_what_mining_added_stays_and_the_lead_is_the_slow_motions(demonstration):
    slow = warp_demonstration(demonstration, frames_at(demonstration.reference, 0.1), PHYSICS)
    slow.validate()
    added = demonstration.actions - Kinematic(demonstration.reference, PHYSICS).targets
    np.testing.assert_allclose(slow.actions[::10] - Kinematic(slow.reference, PHYSICS).targets[::10], added, atol=1e-9)


def test_a_speed_is_a_fraction_of_the_planned_one(demonstration):
    T = len(demonstration.reference.q)
    planned = np.linspace(0, T - 1, 2 * T - 1)
    slowed = replace(demonstration, reference=replace(demonstration.reference, arm_frames=planned))
    assert slowed.reference.speed_factor == pytest.approx(2.0)
    assert len(frames_at(slowed.reference, 0.5)) == 4 * (T - 1) + 1
    assert len(for_arm(slowed, PHYSICS).actions) == len(planned)
    assert for_arm(demonstration, PHYSICS) is demonstration


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.01, 1.5, float("nan")])
def test_other_speeds_are_refused(reference, speed):
    with pytest.raises(DexhotError, match="speed is a fraction"):
        frames_at(reference, speed)


def test_the_graph_tracks_and_approaches_slowly(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path))
    made = {speed: plan(load_graph("real_track"), {"speed": speed}, {}) for speed in ("1", "0.1")}
    frames = {speed: len(load(run.folder / "reference.npz", Reference).q) for speed, run in made.items()}
    assert frames["0.1"] == 10 * (frames["1"] - 1) + 1
    slow = made["0.1"]
    assert len(load(slow.folder / "demonstration.npz", Demonstration).actions) == frames["0.1"]
    assert slow.parameters["controller"]["ramp"] == pytest.approx(5.0)
    assert slow.parameters["supervisor"]["lead_in"] == pytest.approx(10.0)


def test_a_reference_alone_is_slowed_too(tmp_path, monkeypatch, reference):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path))
    T, planned = len(reference.q), with_arm_path(reference)
    path = save(replace(planned, arm_frames=np.linspace(0, T - 1, 3 * T - 2)), tmp_path / "reference.npz")
    made = plan(load_graph("real_track"), {"speed": "0.5", "controller": "kinematic", "reference": str(path)}, {})
    assert len(load(made.folder / "reference.npz", Reference).q) == 6 * T - 5
