"""The pick-up tasks of pose trajectory following: the demonstration's cut, the common start, steps, snapshots."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.data.files import save
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import DexhotError, NotFoundError
from dexhot_train.task.clips import task_clip
from dexhot_train.task.pickup import METHODS, PickupOptions, PickupTask
from dexhot_train.task.pickup_clips import CLEAR, LIFT, TASKS, Pickup, load_pickup, make_pickup

SHORT = PickupOptions(length=4)


@pytest.fixture
def pickup(lift_reference, lift_setup) -> Pickup:
    return make_pickup("box", task_clip(lift_reference, lift_setup), 0.01)


def begun(pickup: Pickup, method: str, **options) -> PickupTask:
    return PickupTask(pickup, 3, method, replace(SHORT, **options), seed=4, staggered=False)


def test_the_demonstration_begins_beside_the_object_and_ends_with_it_lifted(pickup):
    rise = pickup.object_pose[:, 2] - pickup.object_pose[0, 2]
    assert rise[-1] >= LIFT > rise[-2]
    reference = pickup.clip.reference
    first = int(np.flatnonzero((reference.q == pickup.q[0]).all(axis=1))[0])
    assert 0 < first < reference.grasp_start
    half = np.abs(pickup.clip.asset.vertices).max(axis=0)
    outside = np.maximum(np.abs(pickup.tips[0, :, :3]) - half, 0.0)
    assert np.linalg.norm(outside, axis=1).min() > CLEAR


def test_more_noise_begins_further_away(pickup):
    farther = make_pickup("box", pickup.clip, 0.03)
    assert len(farther.q) > len(pickup.q)


def test_a_demonstration_that_does_not_lift_is_refused(lift_reference, lift_setup):
    flat = lift_reference.object_pose.copy()
    flat[:, 2] = flat[0, 2]
    with pytest.raises(DexhotError, match=r"0\.0 cm"):
        make_pickup("box", task_clip(replace(lift_reference, object_pose=flat), lift_setup), 0.01)


def test_tasks_have_the_papers_noise_and_known_names():
    assert {name: kind.noise for name, kind in TASKS.items()} == {"banana": 0.05, "elephant": 0.01, "can": 0.01}
    with pytest.raises(NotFoundError, match="banana"):
        load_pickup("phone")


def test_a_file_with_another_object_is_refused(lift_clip, tmp_path):
    path = save(lift_clip, tmp_path / "box.npz")
    with pytest.raises(DexhotError, match="parametric/cylinder"):
        load_pickup("can", file=path)


def test_a_given_trajectory_is_the_demonstration(tmp_path, monkeypatch):
    """A fit of a video stands in the mocap clip's place."""
    from dexhot.datasets.parametric import generate
    from dexhot_train.task import pickup_clips

    class SeenError(Exception):
        pass

    def retargeting(trajectory: HandObjectTrajectory, *_):
        raise SeenError(trajectory.name)

    monkeypatch.setattr(pickup_clips, "retarget", retargeting)
    fitted = replace(generate("lift", "cylinder", 0)[0], name="fitted")
    with pytest.raises(SeenError, match="fitted"):
        load_pickup("can", file=save(fitted, tmp_path / "fitted.npz"))


def test_all_methods_have_the_same_starts_and_observations(pickup):
    seen = [begun(pickup, method) for method in METHODS]
    for task in seen[1:]:
        np.testing.assert_array_equal(task.simulator.reading().q, seen[0].simulator.reading().q)
        np.testing.assert_array_equal(task.simulator.reading().object_pose, seen[0].simulator.reading().object_pose)
    steps = [task.step(np.full((3, task.action_size), 0.3)).observations for task in seen]
    for step in steps[1:]:
        np.testing.assert_array_equal(step.policy, steps[0].policy)
        np.testing.assert_array_equal(step.critic, steps[0].critic)


def test_starts_are_the_first_frame_with_noise_and_the_object_displaced(pickup):
    still = begun(pickup, "ptf", noise_palm=0.0, noise_finger=0.0)
    np.testing.assert_allclose(still.simulator.reading().q, np.repeat(pickup.q[:1], 3, axis=0))
    noisy = PickupTask(pickup, 200, "ptf", SHORT, staggered=False).simulator.reading()
    spread = (noisy.q - pickup.q[0]).std(axis=0)
    assert 0.001 < spread[0] < 0.003 and 0.015 < spread[3] < 0.025 and 0.015 < spread[6:].max() < 0.025
    moved = np.abs(noisy.object_pose - pickup.object_pose[0]).max(axis=0)
    assert (moved[:2] < pickup.noise).all() and (moved[:2] > 0.8 * pickup.noise).all() and (moved[2:] == 0).all()


def test_a_start_matches_the_first_frame_wherever_the_noise_puts_it(pickup):
    """Else nothing is paid until a hand happens to be near a frame."""
    assert (PickupTask(pickup, 200, "ptf", SHORT, staggered=False).progress.hand >= 1).mean() > 0.95


def test_targets_go_where_an_action_says_at_a_limited_rate(pickup):
    task = begun(pickup, "sparse", noise_palm=0.0, noise_finger=0.0, length=50)
    start = pickup.q[0, :3]
    for _ in range(3):  # within a step: there at once, and no farther
        task.step(np.full((3, task.action_size), 0.02))
        np.testing.assert_allclose(task.target[:, :3] - start, np.tile(0.02 * (task.upper[:3] - start), (3, 1)))
    task.step(np.full((3, task.action_size), -0.02))
    np.testing.assert_allclose(task.target[:, :3] - start, np.tile(-0.02 * (start - task.lower[:3]), (3, 1)))
    before = task.target.copy()
    task.step(np.full((3, task.action_size), 1.0))
    np.testing.assert_allclose(task.target[:, :3] - before[:, :3], SHORT.step_position)
    for _ in range(30):
        task.step(np.full((3, task.action_size), 9.0))
    room = pickup.q[:, :3].max(axis=0) + SHORT.room_position
    assert (task.target[:, :3] <= room + 1e-9).all()
    ahead = np.abs(task.target - task.simulator.reading().q)[:, 6:]
    assert ahead.max() < SHORT.lag_finger + SHORT.step_finger


def test_the_reward_has_the_scales_of_table_4(pickup, monkeypatch):
    """0.01 (5 r_environment + r_following), the following term for one method alone."""
    paid = {}
    for method in METHODS:
        task = begun(pickup, method)
        monkeypatch.setattr(task.progress, "reward", lambda tips, pose: np.full(3, 7.0))
        monkeypatch.setattr("dexhot_train.task.pickup.sparse", lambda *a: np.full(3, 0.4))
        monkeypatch.setattr("dexhot_train.task.pickup.dense", lambda *a: np.full(3, 0.6))
        paid[method] = task.step(np.zeros((3, task.action_size))).reward[0]
    assert paid == pytest.approx({"ptf": 0.09, "sparse": 0.02, "dense": 0.03, "imitation": 0.03})


def test_success_is_at_the_goal_in_the_last_step(pickup, monkeypatch):
    task = begun(pickup, "ptf")
    for n in range(4):
        step = task.step(np.zeros((3, task.action_size)))
        assert step.truncated.all() == (n == 3) and not step.terminated.any()
    assert [row["success"] for row in step.finished] == [0.0] * 3 and not any(row["lifted"] for row in step.finished)
    task = begun(pickup, "ptf", length=1)
    at = task.simulator.reading()
    poses = np.repeat(pickup.object_pose[-1:], 3, axis=0)
    poses[2, :2] += 0.2
    at.object_pose[:] = poses
    monkeypatch.setattr(task, "_move", lambda applied: at)
    rows = task.step(np.zeros((3, task.action_size))).finished
    assert [row["success"] for row in rows] == [1.0, 1.0, 0.0] and [row["lifted"] for row in rows] == [1.0] * 3
    assert rows[0]["progress_object"] == 1.0


def test_first_episodes_end_at_different_steps_and_are_not_counted(pickup):
    task = PickupTask(pickup, 12, "sparse", SHORT)
    assert len(set(task.steps)) > 1
    early = task.steps > 0
    counted = [task.step(np.zeros((12, task.action_size))) for _ in range(4)]
    assert sum(len(step.finished) for step in counted) == (~early).sum()


def test_a_snapshot_goes_on_exactly(pickup):
    actions = np.random.default_rng(0).uniform(-1, 1, (7, 3, pickup.q.shape[1]))
    task, other = (PickupTask(pickup, 3, "ptf", SHORT, seed=s) for s in (0, 1))
    for action in actions[:3]:
        task.step(action)
    other.restore(task.snapshot())
    for action in actions[3:]:
        a, b = task.step(action), other.step(action)
        np.testing.assert_array_equal(a.observations.critic, b.observations.critic)
        np.testing.assert_array_equal(a.reward, b.reward)
    with pytest.raises(DexhotError, match="another task"):
        PickupTask(pickup, 2, "ptf", SHORT).restore(task.snapshot())


def test_an_unknown_method_is_refused(pickup):
    with pytest.raises(NotFoundError, match="imitation"):
        PickupTask(pickup, 1, "soil")
