"""The tracking task: starts, steps, ends, randomisation, snapshots."""

from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest

from dexhot.control.controllers import following_object
from dexhot.control.policy import OnnxNetwork
from dexhot.control.sampling import base_actions
from dexhot.control.shaper import LEAD
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError
from dexhot.objects.object_offset import object_offset
from dexhot.rollouts.floating import run_floating
from dexhot.rollouts.network import run_network
from dexhot_train.task.card import task_card
from dexhot_train.task.clips import PREGRASP, ClipTable, TaskClip, load_task_clip, task_clip
from dexhot_train.task.randomisation import NOTHING, Randomisation
from dexhot_train.task.simulators import Start, ThreadedMujoco, largest_model
from dexhot_train.task.starts import HOLD, KINDS, StartOptions, find_starts
from dexhot_train.task.tracking import TaskOptions, TrackingTask
from tiny_policy import write_policy

FIRST = StartOptions(1.0, 0.0, 0.0, 0.0, plans=1)
QUIET = TaskOptions(randomisation=NOTHING, starts=FIRST, worlds=1, references=1)


@pytest.fixture
def clip(lift_reference, lift_setup) -> TaskClip:
    return task_clip(lift_reference, lift_setup)


@pytest.fixture
def mined(clip) -> TaskClip:
    """The clip with its own replay, which lifts it, as the demonstration."""
    simulator = ThreadedMujoco([clip], 1, [[None]]).simulator
    actions = base_actions(clip.reference, clip.setup.physics)
    done = run_floating(clip.reference, actions, simulator)
    made = Demonstration("lift", clip.reference, actions, done.q, done.object_pose, "2", servo="leap")
    return replace(clip, demonstration=made)


def other_clip() -> TaskClip:
    return load_task_clip("parametric/grasp-cylinder-1")


def test_zero_actions_are_the_replay(clip):
    """The task's physics is the benchmark's: the same states as one rollout of the baseline."""
    task = TrackingTask([clip], 2, QUIET)
    task.reset()
    steps = 60
    for _ in range(steps):
        task.step(np.zeros((2, task.action_size)))
    simulator = ThreadedMujoco([clip], 1, [[None]]).simulator
    state = simulator.initial_state(clip.reference.q[0], clip.reference.object_pose[0])
    batch = simulator.rollout(state, base_actions(clip.reference, clip.setup.physics)[None, :steps])
    at = task.simulator.reading()
    np.testing.assert_allclose(at.q[1], simulator.joint_positions(batch.states[0, -1]), atol=1e-5)
    np.testing.assert_allclose(at.object_pose[1], simulator.object_pose(batch.states[0, -1]), atol=1e-5)


def test_sizes_are_what_the_task_says(clip):
    task = TrackingTask([clip], 3, QUIET)
    seen = task.reset()
    assert seen.policy.shape == (3, task.policy_size) and seen.critic.shape == (3, task.critic_size)
    step = task.step(np.full((3, task.action_size), 9.0))
    assert task.critic_size > task.policy_size and step.applied.max() == 1.0
    assert step.observations.policy.dtype == np.float32 and np.isfinite(step.observations.critic).all()


def test_the_critic_sees_what_the_policy_does_not(clip):
    """Two worlds that differ in their physics alone look the same to the policy."""
    task = TrackingTask([clip], 2, replace(QUIET, randomisation=replace(NOTHING, worlds="worlds_v2"), worlds=2))
    task.offset = task.yaw = 0.0
    task.reset()
    task.world[:] = [0, 1]
    at = task.simulator.reading()
    start = Start(at.q, at.qd, at.object_pose, at.object_twist)
    task.simulator.reset(np.arange(2), np.zeros(2, int), task.world, start)
    policy, critic = task._observe(np.arange(2), task.simulator.reading())
    np.testing.assert_allclose(policy[0], policy[1], atol=1e-6)
    assert np.abs(critic[0] - critic[1]).max() > 0.01


def test_a_clips_end_is_no_failure(clip):
    task = TrackingTask([clip], 2, QUIET, terminations={})
    task.reset()
    task.frame[0] = task.table.length[0] - 2
    step = task.step(np.zeros((2, task.action_size)))
    assert step.truncated[0] and not step.terminated[0] and not step.truncated[1]
    assert step.finished[0]["completed"] == 1.0 and task.frame[0] == 0 and task.steps[0] == 0
    assert not np.array_equal(step.last_critic[0], step.observations.critic[0])


def test_a_lost_object_is_a_failure(clip):
    task = TrackingTask([clip], 2, QUIET)
    task.reset()
    at = task.simulator.reading().at(np.array([0]))
    moved = Start(at.q, at.qd, at.object_pose + np.r_[0.2, np.zeros(6)], at.object_twist)
    task.simulator.reset(np.array([0]), np.array([0]), np.array([0]), moved)
    step = task.step(np.zeros((2, task.action_size)))
    assert step.terminated.tolist() == [True, False] and step.finished[0]["ended/object_lost"] == 1.0
    assert step.finished[0]["tracked"] == 0.0


def test_a_diverged_world_ends_without_reward(clip, monkeypatch):
    task = TrackingTask([clip], 2, QUIET)
    task.reset()
    inner = task.simulator.step

    def diverging(controls):
        reading = inner(controls)
        reading.diverged[1] = True
        return reading

    monkeypatch.setattr(task.simulator, "step", diverging)
    step = task.step(np.zeros((2, task.action_size)))
    assert step.terminated.tolist() == [False, True] and step.reward[1] == 0.0 and step.reward[0] > 1.0


def test_the_longest_episode_is_truncated(clip):
    task = TrackingTask([clip], 1, replace(QUIET, longest=3))
    task.reset()
    ends = [bool(task.step(np.zeros((1, task.action_size))).truncated[0]) for _ in range(6)]
    assert ends == [False, False, True] * 2


def test_starts_are_at_rest(mined):
    """Also with the object held: a snapshot before any step, and 0.2 s later nothing has moved."""
    table = find_starts(mined, base_actions(mined.reference, mined.setup.physics), StartOptions(plans=1), 0)
    kinds = {name: table.of_kind(k) for k, name in enumerate(KINDS)}
    assert all(len(rows) > 1 for name, rows in kinds.items() if name != "first")
    resting = table.kind != KINDS.index("visited")
    assert not table.start.qd[resting].any() and not table.start.object_twist[resting].any()
    held, r = kinds["held"], mined.reference
    assert (table.start.object_pose[held, 2] > r.object_pose[0, 2] + 0.01).all()
    simulator = ThreadedMujoco([mined], len(held), [[None]])
    start = Start(*(getattr(table.start, f.name)[held] for f in fields(Start)))
    zeros = np.zeros(len(held), int)
    simulator.reset(np.arange(len(held)), zeros, zeros, start)
    target = base_actions(r, mined.setup.physics)[table.frame[held]] + table.residual[held]
    for _ in range(12):
        reading = simulator.step(np.repeat(target[:, None], simulator.substeps, axis=1))
    assert np.linalg.norm(reading.object_pose[:, :3] - start.object_pose[:, :3], axis=1).max() < 0.005
    assert np.linalg.norm(reading.object_twist[:, :3], axis=1).max() < 0.02
    assert HOLD >= 12


def test_visited_states_are_near_the_reference(mined):
    table = find_starts(mined, base_actions(mined.reference, mined.setup.physics), StartOptions(plans=4), 0)
    visited = table.kind == KINDS.index("visited")
    wanted = mined.reference.object_pose[table.frame[visited]]
    away = np.linalg.norm(table.start.object_pose[visited, :3] - wanted[:, :3], axis=1)
    assert away.max() < 0.03 and table.start.qd[visited].any()
    assert (table.frame[visited] > mined.reference.grasp_start - 11).all()


def test_each_kind_of_start_is_chosen(mined):
    for k, name in enumerate(KINDS):
        only = StartOptions(**{n: float(n == name) for n in KINDS}, plans=1)
        task = TrackingTask([mined], 4, replace(QUIET, starts=only))
        task.reset()
        assert (task.kind == k).all() and (name == "first") == (task.frame == 0).all()


def test_a_visited_start_has_the_plans_residual(mined):
    options = replace(QUIET, starts=StartOptions(0.0, 0.0, 1.0, 0.0, plans=4))
    task = TrackingTask([mined], 8, options)
    task.reset()
    assert task.residual.any() and (np.abs(task.residual) <= task.space.limit + 1e-12).all()


def spread(clip: TaskClip, **changes) -> tuple[TrackingTask, TrackingTask]:
    """The quiet task and one with a single thing randomised, both after their reset."""
    noisy = replace(QUIET, randomisation=replace(NOTHING, **changes), worlds=4, references=3)
    tasks = TrackingTask([clip], 16, QUIET), TrackingTask([clip], 16, noisy)
    for task in tasks:
        task.reset()
    return tasks


def test_physics_differ_from_world_to_world(clip):
    _, task = spread(clip, worlds="worlds_v2", inertia=(0.5, 1.5))
    models = task.simulator.models[0]
    body = models[0].body("object").id
    assert len(models) == 4 and len({m.geom_friction[0, 0] for m in models}) == 4
    assert len({m.body_mass[body] for m in models}) == 4
    ratio = [m.body_inertia[body, 0] / m.body_mass[body] for m in models]
    assert len(set(np.round(ratio, 9))) == 4  # besides that of the mass
    assert len({m.actuator_gainprm[-1, 4] for m in models}) == 4
    assert len({tuple(m.body_pos[m.body("palm").id]) for m in models}) == 4
    assert len(set(task.world)) > 1
    np.testing.assert_allclose(task.physics[0, 0], 1.0)


def test_the_object_starts_elsewhere_and_the_baseline_follows(clip):
    quiet, task = spread(clip, worlds="worlds_v2", inertia=(1.0, 1.0))
    at = task.simulator.reading().object_pose
    offset = np.linalg.norm(at[:, :2] - clip.reference.object_pose[0, :2], axis=1)
    assert 0.001 < offset.max() <= 0.005 * np.sqrt(2)
    moved = object_offset(clip.asset.symmetry, clip.reference.object_pose[0], task.object_pose[0])
    wanted = following_object(clip.reference, base_actions(clip.reference, clip.setup.physics), moved)
    np.testing.assert_allclose(task.baseline[0], wanted)
    np.testing.assert_allclose(quiet.baseline[0], base_actions(clip.reference, clip.setup.physics))


def test_the_hand_starts_elsewhere(clip):
    quiet, task = spread(clip, start_palm=0.003, start_finger=0.03)
    off = task.simulator.reading().q - quiet.simulator.reading().q
    assert 0.001 < off[:, :3].std() < 0.006 and 0.01 < off[:, 3:6].std() < 0.06 and off[:, 6:].std() > 0.01
    assert (task.simulator.reading().q[:, 6:] >= task.lower[6:]).all()


def test_observations_are_noisy_but_the_state_is_not(clip):
    quiet, task = spread(clip, joint_noise=0.01, position_noise=0.002, rotation_noise=0.02)
    np.testing.assert_array_equal(task.simulator.reading().q, quiet.simulator.reading().q)
    assert 0.005 < (task.q - quiet.q)[:, 3:].std() < 0.02 and (task.q - quiet.q)[:, :3].std() < 0.004
    assert 0.001 < (task.object_pose - quiet.object_pose)[:, :3].std() < 0.004
    assert np.abs(task.object_pose - quiet.object_pose)[:, 3:].max() > 0.001
    assert not task.qd.any()  # no velocity is measured before the second observation


def test_velocities_are_finite_differences_of_what_is_observed(clip):
    task = TrackingTask([clip], 2, replace(QUIET, randomisation=replace(NOTHING, joint_noise=0.01)))
    task.reset()
    before = task.q.copy()
    task.step(np.zeros((2, task.action_size)))
    np.testing.assert_allclose(task.qd, (task.q - before) * 60.0)


def test_a_noisy_reference_is_shown_but_not_rewarded(clip):
    quiet, task = spread(clip, reference_palm=0.003, reference_finger=0.05)
    assert len(set(task.variant)) > 1 and not task.errors[0, 0].any()
    noisy = np.flatnonzero(task.variant > 0)[0]
    error = task.errors[0, task.variant[noisy]]
    np.testing.assert_allclose(
        task.baseline[noisy] - quiet.baseline[noisy], np.broadcast_to(error, task.baseline[0].shape), atol=1e-12
    )
    a, b = (t._transition(t.simulator.reading()) for t in (quiet, task))
    np.testing.assert_array_equal(a.wanted_q, b.wanted_q)
    start = 0
    for feature, _ in task.observer.features:  # the goal that is shown has the error
        if feature is task.observer.features[task.observer.layout.index("goal_hand")][0]:
            break
        start += feature.size(task.observer.hand)
    shown = slice(start, start + task.table.joints)
    difference = task.reset().policy[0, shown] - quiet.reset().policy[0, shown]
    np.testing.assert_allclose(difference, task.errors[0, task.variant[0]], atol=1e-5)


def test_latency_holds_the_last_command_back(clip):
    quiet, task = spread(clip, latency=(0.0, 0.017))
    assert set(task.latency) == {0, 1, 2, 3, 4}
    task.command[:] = 1.0
    late = task._delayed(np.full(task.command.shape, 2.0))
    for row, substeps in enumerate(task.latency):
        assert late[row, :, 0].tolist() == [1.0] * substeps + [2.0] * (4 - substeps)
    assert (quiet._delayed(quiet.command + 1.0) == quiet.command[:, None] + 1.0).all()


def test_seeds(clip):
    noisy = replace(QUIET, randomisation=Randomisation(), worlds=3, references=2, starts=StartOptions(plans=2))

    def run(seed: int) -> np.ndarray:
        task, rng = TrackingTask([clip], 4, noisy, seed), np.random.default_rng(0)
        task.reset()
        return np.stack([task.step(rng.uniform(-1, 1, (4, task.action_size))).observations.critic for _ in range(6)])

    np.testing.assert_array_equal(run(0), run(0))
    assert not np.array_equal(run(0), run(1))


@pytest.mark.parametrize("shaper", [False, True])
def test_a_restored_task_goes_on_exactly(shaper, mined):
    options = TaskOptions(worlds=3, references=2, starts=StartOptions(plans=2), longest=9, shaper=shaper)
    task, rng = TrackingTask([mined, mined], 4, options), np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (20, 4, task.action_size))
    task.reset()
    for k in range(10):
        task.step(actions[k])
    kept = task.snapshot()
    after = [task.step(actions[k]) for k in range(10, 20)]
    again = TrackingTask([mined, mined], 4, options)
    again.restore(kept)
    for k, wanted in zip(range(10, 20), after):
        step = again.step(actions[k])
        np.testing.assert_array_equal(step.observations.critic, wanted.observations.critic)
        np.testing.assert_array_equal(step.reward, wanted.reward)
    with pytest.raises(DexhotError, match="another task"):
        TrackingTask([mined], 3, options).restore(kept)


def test_the_experts_label_is_the_demonstrations_action(mined):
    task = TrackingTask([mined], 2, QUIET)
    task.reset()
    task.experts[:] += 0.1 * task.space.limit
    action, known = task.expert()
    assert known.all()
    np.testing.assert_allclose(action, 0.1, atol=1e-9)


def test_without_a_demonstration_there_is_no_expert(clip):
    task = TrackingTask([clip], 2, QUIET)
    task.reset()
    assert not task.expert()[1].any()


def test_the_shaper_delays_and_smooths(clip):
    """A step in the targets reaches the servos as the shaped hand moves."""
    task = TrackingTask([clip], 1, replace(QUIET, shaper=True))
    task.reset()
    before = task.command[0].copy()
    u = np.zeros((1, task.action_size))
    u[0, 10] = 1.0
    task.step(u)
    jump, moved = task.target[0, 10] - before[10], task.command[0, 10] - before[10]
    assert 0.0 < moved < jump


def test_what_is_trained_with_the_shaper_is_what_is_judged(clip, tmp_path):
    """Zero actions through the task's shaper move the hand as a zero policy of its card does in the judge's world, and
    the last command that both observe is the target."""
    options = replace(QUIET, shaper=True, layout=("last_command",))
    task = TrackingTask([clip], 1, options)
    card = task_card([clip], options)
    assert card.shaper_lead == LEAD and task_card([clip], replace(options, shaper=False)).shaper_lead is None
    setup, kept = clip.setup, {"layout": options.layout, "shaper_lead": card.shaper_lead}
    network = OnnxNetwork(write_policy(tmp_path / "zero", clip.reference, setup.physics, **kept))
    simulator = ThreadedMujoco([clip], 1, [[None]]).simulator
    start = simulator.initial_state(clip.reference.q[0], clip.reference.object_pose[0])[None]
    run = run_network(network, clip.reference, setup, simulator, start, [simulator.model])
    task.reset()
    steps = 60
    for k in range(1, steps + 1):
        seen = task.step(np.zeros((1, task.action_size))).observations.policy
        np.testing.assert_allclose(seen[0], run.observations[0, k], atol=1e-6)
    np.testing.assert_allclose(
        task.simulator.reading().q[0], simulator.joint_positions(run.states[0, steps]), atol=1e-5
    )


def test_clips_with_different_objects_share_a_batch(clip):
    other = other_clip()
    task = TrackingTask([clip, other], 6, QUIET)
    task.reset()
    task.clip[:] = rows = np.array([0, 1] * 3)
    starts = [c.reference for c in (clip, other)]
    start = Start(
        np.stack([starts[k].q[0] for k in rows]),
        np.zeros((6, 22)),
        np.stack([starts[k].object_pose[0] for k in rows]),
        np.zeros((6, 6)),
    )
    task.simulator.reset(np.arange(6), rows, np.zeros(6, int), start)
    control = np.repeat(start.q[:, None], 4, axis=1)
    for _ in range(5):
        mixed = task.simulator.step(control)
    alone = ThreadedMujoco([other], 1, [[None]])
    one = np.array([1])
    alone.reset(
        np.zeros(1, int),
        np.zeros(1, int),
        np.zeros(1, int),
        Start(*(getattr(start, f.name)[one] for f in fields(Start))),
    )
    for _ in range(5):
        own = alone.step(control[1:2])
    np.testing.assert_allclose(mixed.q[1], own.q[0], atol=1e-12)
    np.testing.assert_allclose(mixed.object_pose[3], own.object_pose[0], atol=1e-12)
    largest = largest_model([clip, other])
    assert largest.ngeom >= clip.scene.model.ngeom + 1 and largest.nbvh >= other.scene.model.nbvh


def test_clips_that_do_not_fit_are_refused(clip, lift_reference, lift_setup):
    with pytest.raises(DexhotError, match="empty"):
        ClipTable([])
    with pytest.raises(DexhotError, match="different hands"):
        ClipTable([clip, replace(clip, reference=replace(clip.reference, hand="allegro_right"))])
    short = replace(
        lift_reference,
        **{name: getattr(lift_reference, name)[:2] for name in ("q", "target", "contact", "object_pose")},
        grasp_start=0,
        grasp_end=1,
    )
    with pytest.raises(DexhotError, match="3 or more"):
        task_clip(short, lift_setup)
    with pytest.raises(DexhotError, match="KIND-SHAPE-SEED"):
        load_task_clip("parametric/lift")


def test_a_floating_object_is_refused(lift_reference, lift_setup):
    pose = lift_reference.object_pose.copy()
    pose[:, 2] += 0.1
    with pytest.raises(DexhotError, match="not at rest"):
        task_clip(replace(lift_reference, object_pose=pose), lift_setup)


def test_the_hands_gravity_is_off(clip):
    model = clip.scene.model
    links = [k for k in range(1, model.nbody) if model.body(k).name != "object"]
    assert (model.body_gravcomp[links] == 1.0).all() and model.body_gravcomp[model.body("object").id] == 0.0
    assert isinstance(model, mujoco.MjModel)


def test_a_held_object_is_not_disturbed(mined):
    """Hand and object that touch stay as physics left them, and so does the baseline; their residual fits both."""
    options = replace(
        QUIET,
        randomisation=replace(NOTHING, worlds="worlds_v2", start_palm=0.01, start_finger=0.1, position_noise=0.01),
        starts=StartOptions(0.0, 0.0, 0.5, 0.5, plans=1),
    )
    task = TrackingTask([mined], 8, options)
    task.reset()
    known, states = task.starts[0].start, task.simulator.reading()
    for q, pose in zip(states.q, states.object_pose):
        assert (np.abs(known.q - q).max(axis=1) == 0.0).any()
        assert (np.abs(known.object_pose - pose).max(axis=1) < 1e-12).any()
    np.testing.assert_array_equal(task.baseline, np.broadcast_to(task.table.baseline[0], task.baseline.shape))


def test_omnigrasps_terms_get_the_pregrasp_pose_and_the_velocities(clip):
    """Before the grasp the hand is rewarded for the pre-grasp pose, afterwards the object that the replay carries."""
    task = TrackingTask([clip], 1, replace(QUIET, rewards="omnigrasp"))
    task.reset()
    r, rewarded, seen = clip.reference, [], []
    inner = task._transition
    task._transition = lambda reading: seen.append(inner(reading)) or seen[-1]
    for _ in range(len(r.q) - 2):
        rewarded.append(task.step(np.zeros((1, task.action_size))).reward[0])
    first, last = seen[0], seen[-1]
    np.testing.assert_allclose(first.pregrasp_palm[0, :3], r.q[r.grasp_start - PREGRASP, :3])
    assert not first.grasping[0] and last.grasping[0]
    np.testing.assert_array_equal(first.pregrasp_palm, last.pregrasp_palm)
    before = rewarded[: r.grasp_start - 1]
    assert before[0] + 0.2 < before[-PREGRASP] and max(before) <= 1.0
    assert np.mean(rewarded[r.grasp_start + 5 :]) > 0.8
    moving = r.grasp_start + (r.grasp_end - r.grasp_start) // 2
    expected = (r.object_pose[moving, :3] - r.object_pose[moving - 1, :3]) * r.rate
    np.testing.assert_allclose(task.table.object_twist[0, moving, :3], expected)
