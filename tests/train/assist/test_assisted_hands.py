"""Adroit tasks with a noisy user and a bounded correction."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from dexhot.errors import DexhotError, FileFormatError
from dexhot_train.assist.adroit import REACH, TASKS, AdroitTask
from dexhot_train.assist.experts import load_expert_policy, load_experts
from dexhot_train.assist.hands import AssistedHands, AssistOptions
from dexhot_train.assist.success import Cell, success, unnaturalness
from dexhot_train.assist.user_input import WINDOW, noisy, seen_noise


@pytest.fixture(scope="session")
def door(shared_data):
    """The door's expert motions."""
    return load_experts("door", shared_data / "adroit" / "experts.npz")


@pytest.fixture(scope="module")
def alone(door):
    """Six episodes of the user alone, by the noise: those of each noise are simulated once."""
    return functools.cache(lambda sigma: success(door.split("test"), sigma, None, AssistOptions(), 6))


@pytest.fixture
def hands(door):
    """Two worlds with a noise of 0.15 rad."""
    return AssistedHands(door.split("train"), 2, AssistOptions(sigma=0.15))


def test_no_correction_applies_exactly_the_user_input(hands):
    user = hands.user()
    step = hands.step(np.zeros_like(user))
    assert np.array_equal(step.applied, np.clip(user, -1, 1).astype(np.float32))


def test_a_correction_never_exceeds_the_limit(hands):
    rng = np.random.default_rng(0)
    for _ in range(20):
        user = hands.user()
        applied = hands.step(rng.normal(scale=5.0, size=user.shape)).applied
        assert np.abs(applied - np.clip(user, -1, 1)).max() <= hands.options.limit + 1e-6
        assert np.abs(applied).max() <= 1.0


def test_a_correction_is_subtracted(hands):
    user = hands.user()
    applied = hands.step(np.full_like(user, 0.5)).applied
    inside = np.abs(user - 0.1) < 1.0
    assert np.allclose(applied[inside], (user - 0.1)[inside], atol=1e-6)  # eq. 2: a = k - f


def test_a_whole_action_ignores_the_user(door):
    hands = AssistedHands(door.split("train"), 1, AssistOptions(residual=False))
    assert np.allclose(hands.step(np.full((1, hands.action_size), 0.3)).applied, 0.3)


def test_the_expert_output_applies_the_expert_action(door):
    hands = AssistedHands(door.split("train"), 2, AssistOptions(sigma=0.02))
    output, known = hands.expert()
    wanted = np.stack([hands.experts.actions[m][0] for m in hands.motion])
    assert known.all() and np.allclose(hands.step(output).applied, np.clip(wanted, -1, 1), atol=1e-5)


def test_an_experts_policy_answers_for_the_state_that_there_is(door, shared_data):
    policy = load_expert_policy("door", shared_data / "adroit" / "policies.npz")
    hands = AssistedHands(replace(door, policy=policy).split("train"), 2, AssistOptions(sigma=0.02))
    wanted = policy(np.stack([state[:39] for state in hands.states]))
    own = np.stack([door.actions[m][0] for m in hands.motion])
    assert np.allclose(np.clip(wanted, -1, 1), own, atol=0.02)  # at the start it is where the expert was
    hands.step(np.ones((2, 28)))
    hands.step(np.ones((2, 28)))
    output, known = hands.expert()
    wanted = policy(np.stack(hands.states))
    inside = np.abs(hands.user() - wanted) < hands.options.limit
    applied = hands.step(output).applied
    assert known.all() and np.allclose(applied[inside], np.clip(wanted, -1, 1)[inside], atol=1e-5)
    assert np.abs(wanted - np.stack([door.actions[m][2] for m in hands.motion])).max() > 0.01  # elsewhere by now


def test_an_expert_policys_file_is_checked(tmp_path, shared_data):
    there = shared_data / "adroit" / "policies.npz"
    assert load_expert_policy("pen", there).digest != load_expert_policy("door", there).digest
    with pytest.raises(FileFormatError, match="no expert policy of dor"):
        load_expert_policy("dor", there)
    with np.load(there) as arrays:
        broken = {key: arrays[key] for key in arrays.files} | {"door/w1": np.ones((32, 31))}
    np.savez(tmp_path / "broken.npz", **broken)
    with pytest.raises(FileFormatError, match="do not fit"):
        load_expert_policy("door", tmp_path / "broken.npz")


def test_a_cut_off_file_is_named_without_numpys_advice(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04cut off")
    (tmp_path / "text.npz").write_text("a text, which numpy takes for a pickle")
    for path in (tmp_path / "cut.npz", tmp_path / "text.npz"):
        for refused in (load_expert_policy, load_experts):
            with pytest.raises(FileFormatError, match="holds no expert") as told:
                refused("door", path)
            assert "pickle" not in str(told.value)


def test_following_the_user_is_paid_where_it_is_asked(door):
    paid = {}
    for weight in (0.0, 1.0):
        hands = AssistedHands(door.split("train"), 1, AssistOptions(residual=False, user_reward=weight))
        user = hands.user()
        paid[weight] = hands.step(np.zeros_like(user)).reward[0]
    assert paid[0.0] - paid[1.0] == pytest.approx(float((np.clip(user, None, None) ** 2).sum()), rel=1e-5)


def test_noise_is_in_radians():
    action_range = np.array([0.1, 1.0, 1.5])
    rows = noisy(np.zeros((20000, 3)), 0.15, action_range, np.random.default_rng(0))
    assert (rows * action_range).std(axis=0) == pytest.approx([0.15] * 3, rel=0.02)


def test_noise_shows_in_every_step_and_motion_does_not():
    action_range = np.array([0.1, 1.0, 1.5])
    motion = np.sin(np.arange(100) / 15.0)[:, None] * np.ones(3)
    motion[40:] += 1.0  # a jump
    assert seen_noise(motion, action_range).max() < 0.005
    shown = seen_noise(noisy(motion, 0.1, action_range, np.random.default_rng(0)), action_range)
    later = seen_noise(noisy(motion, 0.2, action_range, np.random.default_rng(0)), action_range)
    assert (shown[: WINDOW + 1] == 0.0).all() and (shown[WINDOW + 1 :] > 0.01).all() and shown.max() < 0.1
    assert later.mean() == pytest.approx(2 * shown.mean(), rel=0.1)
    half = seen_noise(motion[:50], action_range)
    assert np.array_equal(half, seen_noise(motion, action_range)[:50])  # nothing of what is to come
    shaken = 0.05 * (-1.0) ** np.arange(60)[:, None] * np.ones(3) / action_range  # each second difference is 0.2 rad
    shaken[40:] = shaken[39]
    expected = np.zeros(60)
    expected[WINDOW + 1 : 40], expected[40] = 0.2 / np.sqrt(6.0), 0.1 / np.sqrt(6.0)  # until a step does not shake
    assert seen_noise(shaken, action_range) == pytest.approx(expected)


def test_an_agent_sees_the_noise_of_the_user_input(door):
    seen = []

    def agent(x):
        seen.append(x[-1])
        return np.zeros(28)

    success(door.split("test"), 0.15, agent, AssistOptions(), 2)
    assert np.median(seen) == pytest.approx(0.13, abs=0.03)


@pytest.mark.parametrize("name", ["door", "hammer", "relocate"])
def test_a_palm_nearer_to_its_object_is_paid_more(name):
    world = AdroitTask(name)
    world.reset(0)
    theirs = world.env.step(np.zeros(world.action_size))[1]
    world.reset(0)
    _, ours, _ = world.step(np.zeros(world.action_size))
    assert ours == pytest.approx(theirs - 2 * REACH * world._reach()) and world._reach() > 0.05


def test_every_task_has_states_of_its_size_and_hand_speeds():
    for name in TASKS:
        world = AdroitTask(name)
        assert world.reset(3).shape == (world.state_size,)
        assert len(world.hand_speed()) == world.action_size


def test_a_snapshot_goes_on_exactly(door):
    hands = AssistedHands(door.split("train"), 2, AssistOptions(sigma=0.1), seed=4)
    hands.reset()
    rng = np.random.default_rng(1)
    for _ in range(5):
        hands.step(rng.normal(size=(2, hands.action_size)))
    kept = hands.snapshot()
    later = rng.normal(size=(4, 2, hands.action_size))
    first = [hands.step(a) for a in later]
    other = AssistedHands(door.split("train"), 2, AssistOptions(sigma=0.1), seed=4, workers=1)
    other.restore(kept)
    second = [other.step(a) for a in later]
    for a, b in zip(first, second):
        assert np.array_equal(a.observations.policy, b.observations.policy) and np.array_equal(a.reward, b.reward)


def test_episodes_end_truncated_and_begin_anew(door):
    hands = AssistedHands(door.split("train"), 1, AssistOptions(sigma=0.0))
    steps = [hands.step(np.zeros((1, hands.action_size))) for _ in range(len(door.actions[0]))]
    assert [bool(s.truncated[0]) for s in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].finished[0]["success"] == 1.0 and hands.time[0] == 0
    assert not np.array_equal(steps[-1].last_critic, steps[-1].observations.critic)


def test_experts_open_the_door_and_their_noise_does_not(alone):
    assert alone(0.0).success == 1.0
    assert alone(0.2).success < 0.7


def test_success_is_seeded_and_an_agent_of_zeros_is_the_user(door, alone):
    test, options = door.split("test"), AssistOptions()
    same = success(test, 0.15, lambda x: np.zeros(28), options, 6)
    assert alone(0.15) == same and same.deviation == 0.0
    pushed = success(test, 0.15, lambda x: np.ones(28), options, 6)
    assert 0.1 < pushed.deviation <= options.limit + 1e-6


def test_the_oracle_takes_the_noise_away_as_far_as_the_limit_allows(door, alone):
    test, options = door.split("test"), AssistOptions()
    limited = success(test, 0.2, None, options, 6, oracle=True)
    assert limited.success > alone(0.2).success
    free = success(test, 0.2, None, replace(options, limit=1e3), 6, oracle=True)
    assert free.success == 1.0 and free.deviation > limited.deviation


def test_a_motion_that_is_not_the_experts_is_unnatural(door, alone):
    clean, shaken = alone(0.0), [alone(sigma) for sigma in (0.05, 0.2)]
    assert unnaturalness(clean, success(door.split("test"), 0.0, None, AssistOptions(), 6)) == 0.0
    assert 0.0 < unnaturalness(shaken[0], clean) < unnaturalness(shaken[1], clean)
    faster = replace(clean, quantiles=clean.quantiles + 0.3)
    assert unnaturalness(faster, clean) == pytest.approx(0.3)
    assert set(clean.figures) == {"success", "episodes", "deviation", "speed"}
    assert Cell(1.0, 1, 0.0, 0.0).quantiles is None


def test_splits_share_no_motion(door):
    train, test = door.split("train"), door.split("test")
    assert len(train.seeds) == len(test.seeds) == 12 and not set(train.seeds) & set(test.seeds)
    with pytest.raises(DexhotError, match="train, test"):
        door.split("validation")


def test_bad_expert_files_are_refused(tmp_path, shared_data):
    with pytest.raises(DexhotError, match="--experts"):
        load_experts("door", tmp_path / "none.npz")
    with pytest.raises(FileFormatError, match="it has door"):
        load_experts("dor", shared_data / "adroit" / "experts.npz")
    np.savez(
        tmp_path / "nan.npz",
        **{f"door/0{k}/{n}": v for k in (0, 1) for n, v in (("actions", np.full((3, 28), np.nan)), ("seed", k))},
    )
    with pytest.raises(FileFormatError, match="finite"):
        load_experts("door", tmp_path / "nan.npz")
    with pytest.raises(DexhotError, match="door, hammer, pen, relocate"):
        AdroitTask("dor")


def test_mixed_noise_is_between_none_and_sigma(door):
    hands = AssistedHands(door.split("train"), 16, AssistOptions(sigma=0.1, mixed=True))
    clean = [door.actions[m] for m in hands.motion]
    spread = [float(((k - a) * hands.worlds[0].action_range).std()) for k, a in zip(hands.inputs, clean)]
    assert min(spread) < 0.03 and 0.07 < max(spread) <= 0.102
