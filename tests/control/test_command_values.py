"""What is commanded, planned from and paid for, number by number: the formulas of the docstrings, written again."""

import numpy as np
import pytest

from dexhot.control.controllers import HandState
from dexhot.control.cost import Weights, targets, tracking_cost
from dexhot.control.mpc import Mpc, MpcOptions
from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.control.shaper import CommandShaper
from dexhot.geometry import single
from dexhot.geometry.poses import inverse, pose_to_matrix, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.objects.asset import Symmetry
from dexhot.objects.object_offset import object_offset
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.arm import ArmChain, ArmKinematics
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.arm import displaced, measured_pose
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.simulation.backend import Batch
from dexhot.simulation.physics import load_physics
from dexhot.tracking.object_state import ObjectState

HAND, PHYSICS = load_hand("leap_right"), load_physics()
STEPS = 12


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


@pytest.fixture
def planner(lift_reference, simulator):
    options = SamplingOptions(samples=6, iterations=2, horizon=0.2, replan=0.1, knot=0.1)
    return SamplingPlanner(lift_reference, simulator, options)


def test_a_command_is_that_of_the_ticks_middle_led_by_its_mean_velocity():
    chain = CommandShaper(HAND, np.array([0.0, 1.0, 0.0, 0.0]), FR3_HOME[None], PHYSICS, lead=1.0, wrist_lead=0.0)
    start = np.concatenate([[0.4, 0.0, 0.4, 0.0, 0.0, 0.0], HAND.nominal])
    chain.reset(start, FR3_HOME)
    before, arm_before = start.copy(), FR3_HOME.copy()
    for k in range(8):
        command = chain.step(start + 0.02 * k * np.r_[np.zeros(6), np.ones(16)], k)
        after, arm_after = chain.q.copy(), chain.arm_q.copy()
        np.testing.assert_allclose(command.hand_qd, 60 * (after - before)[6:])
        led = 0.5 * (before + after)[6:] + PHYSICS.finger(HAND).lag * command.hand_qd
        np.testing.assert_allclose(command.hand_q, np.clip(led, HAND.lower, HAND.upper), atol=1e-12)
        np.testing.assert_allclose(command.arm_qd, 60 * (arm_after - arm_before), atol=1e-12)
        np.testing.assert_allclose(command.arm_q, 0.5 * (arm_before + arm_after), atol=1e-12)
        before, arm_before = after, arm_after


def test_the_wrist_is_led_along_its_own_velocity():
    base = np.array([0.0, 1.0, 0.0, 0.0])
    start = ArmKinematics(HAND).hand_vector(FR3_HOME, HAND.nominal, base, np.zeros(6))
    targets = start + 0.002 * np.arange(30)[:, None] * np.r_[0.0, 1.0, np.zeros(20)]
    path, _, _ = ArmChain(HAND).solve(pose_to_matrix(palm_poses(base, targets)))
    reached = {}
    for lead in (0.0, 0.1):
        chain = CommandShaper(HAND, base, path, PHYSICS, lead=0.0, wrist_lead=lead)
        chain.reset(start, path[0])
        for k, target in enumerate(targets):
            chain.step(target, k)
        reached[lead] = ArmKinematics(HAND).palm_pose(chain.arm_q)[1]
        speed = chain.shaper.data.qvel[chain.shaper.scene.v_address][1]
    assert reached[0.1] - reached[0.0] == pytest.approx(0.1 * speed, abs=2e-4) and speed > 0.1


def test_a_plan_is_base_and_residual_within_limits(planner, simulator):
    planner.residual[:] = np.random.default_rng(0).normal(0, 0.3, planner.residual.shape)
    expected = np.clip(planner.base + planner.residual, simulator.scene.lower, simulator.scene.upper)
    np.testing.assert_array_equal(planner.actions(3, 20), expected[3:20])


def test_planning_returns_the_horizon_from_its_frame_on(planner, lift_reference, simulator):
    found = planner.plan(start_state(lift_reference, simulator), 5)
    assert planner.steps == 12 and planner.stride == 6
    np.testing.assert_array_equal(found, planner.actions(5, 17))
    assert not planner.residual[:5].any() and not planner.residual[17:].any()
    assert np.abs(planner.residual[5:17]).max() > 0


def test_beyond_the_last_frame_the_plan_stays_at_it(planner, lift_reference):
    base = base_actions(lift_reference, PHYSICS)
    np.testing.assert_array_equal(planner.base[: len(base)], base)
    np.testing.assert_array_equal(planner.base[len(base) :], np.repeat(base[-1:], 12, axis=0))


def test_the_first_sample_is_the_plan_and_the_second_the_bare_reference(planner, monkeypatch):
    planner.residual[:] = 0.01
    raced = []
    monkeypatch.setattr(planner, "_race", lambda states, t, residual: raced.append(residual.copy()) or np.arange(6.0))
    planner.plan(np.zeros(3), 0)
    assert (raced[0][0] == 0.01).all() and not raced[0][1].any()
    assert raced[1][1].any()  # in the first iteration only


def test_noise_grows_along_the_horizon_and_has_the_sigmas_of_its_joints(planner):
    drawn = planner._noise(4000)
    o, spread = planner.options, drawn.std(axis=0)
    sigma = np.r_[[o.sigma_position] * 3, [o.sigma_rotation] * 3, [o.sigma_finger] * 16]
    share = np.linspace(o.first, 1.0, planner.interpolation.shape[1])  # of the knots at 0, 6, 12 ... steps
    np.testing.assert_allclose(spread[0], share[0] * sigma, rtol=0.06)
    np.testing.assert_allclose(spread[6], share[1] * sigma, rtol=0.06)


def test_noise_shrinks_to_its_last_share(planner, monkeypatch):
    scales = []
    monkeypatch.setattr(planner, "_noise", lambda samples: np.ones((samples, planner.steps, 22)))
    monkeypatch.setattr(planner, "_race", lambda s, t, residual: scales.append(residual[2, 0, 0]) or np.full(6, np.inf))
    planner.plan(np.zeros(3), 0, iterations=3)
    np.testing.assert_allclose(scales, [1.0, np.sqrt(0.15), 0.15])


def rolled(simulator, reference) -> tuple[Batch, np.ndarray]:
    """A grasp in which every term of the cost is at work, in two worlds that differ."""
    actions = np.stack([base_actions(reference, PHYSICS)] * 2)
    actions[1, :, 6:] -= 0.2
    start = reference.grasp_start - 4
    state = simulator.rollout(start_state(reference, simulator), actions[:1, :start]).states[0, -1]
    return simulator.rollout(state, actions[:, start : start + STEPS]), actions[:, start : start + STEPS]


def test_every_term_of_the_cost_is_what_it_is_named_after(simulator, lift_reference, lift_object):
    lift_object.symmetry = Symmetry()
    batch, controls = rolled(simulator, lift_reference)
    first = lift_reference.grasp_start - 3
    frames = np.arange(first, first + STEPS)
    wanted = targets(lift_reference, simulator.scene).at(frames)
    sensed = {name: batch.sensors[..., where] for name, where in simulator.scene.sensors.items()}
    objects = np.concatenate([sensed["object_position"], sensed["object_quat"]], axis=-1)
    palms = np.concatenate([sensed["palm_position"], sensed["palm_quat"]], axis=-1)
    q = simulator.joint_positions(batch.states)
    v = batch.states[..., 1 + simulator.model.nq + simulator.scene.v_address]
    goal = palm_poses(lift_reference.base_quat, lift_reference.q[frames])
    tips = sensed["tips"].reshape(2, STEPS, 4, 3)
    beside = np.linalg.norm(transform(inverse(objects)[:, :, None], tips) - wanted.tips_on_object, axis=-1)
    servo = PHYSICS.finger(HAND)
    torque = servo.kp * (controls - q)[..., 6:] - servo.kv * v[..., 6:]
    touched, depth = sensed["tip_contact"] > 0, -sensed["penetration"][..., 0]
    pose = lift_reference.object_pose[frames]
    expected = {
        "object_position": np.linalg.norm(objects[..., :3] - pose[:, :3], axis=-1),
        "object_rotation": quat_angle(pose[:, 3:], objects[..., 3:]),
        "palm_position": np.linalg.norm(palms[..., :3] - goal[:, :3], axis=-1),
        "palm_rotation": quat_angle(palms[..., 3:], goal[:, 3:]),
        "tips": np.linalg.norm(tips - wanted.tips, axis=-1).mean(-1),
        "tips_on_object": beside.mean(-1),
        "fingers": np.abs(q - lift_reference.q[frames])[..., 6:].mean(-1),
        "contact": (lift_reference.contact[frames] * ~touched).mean(-1),
        "effort": np.minimum((torque / servo.torque) ** 2, 1.0).mean(-1),
        "penetration": np.maximum(depth - 0.001, 0.0),
    }
    for name, term in expected.items():
        weights = Weights(**{other: float(other in (name, "final")) for other in Weights.__dataclass_fields__})
        found = tracking_cost(simulator.scene, batch, controls, wanted, weights)
        np.testing.assert_allclose(found, term.mean(axis=1), rtol=1e-4, atol=1e-6, err_msg=name)
        assert name in ("object_rotation", "penetration") or term.max() > 0, name
    final = Weights(**{other: float(other == "fingers") + 3.0 * (other == "final") for other in vars(Weights())})
    fingers = expected["fingers"]
    last = tracking_cost(simulator.scene, batch, controls, wanted, final)
    np.testing.assert_allclose(last, (fingers.sum(axis=1) + 2 * fingers[:, -1]) / STEPS, rtol=1e-6)


def test_a_world_that_diverged_costs_everything(simulator, lift_reference):
    batch, controls = rolled(simulator, lift_reference)
    batch.diverged[1] = True
    wanted = targets(lift_reference, simulator.scene).at(np.arange(STEPS))
    found = tracking_cost(simulator.scene, batch, controls, wanted, Weights())
    assert np.isfinite(found[0]) and np.isinf(found[1])


def test_mpc_plans_from_what_was_observed(simulator, lift_reference):
    mpc = Mpc(lift_reference, simulator, MpcOptions(samples=4, iterations=1, horizon=0.2, replan=0.1, delay=2))
    twist = np.array([0.1, 0.2, 0.3, 1.0, -2.0, 3.0])
    turn = single.exp((0.3, -0.2, 0.5))
    pose = np.concatenate([[0.1, 0.0, 0.3], turn])
    observed = ObjectState(0.0, pose, twist, np.zeros((12, 12)))
    mpc.start(observed)
    q = lift_reference.q[0]
    first = mpc._state(observed, HandState(0.0, q))
    scene, nq = simulator.scene, simulator.model.nq
    velocities = first[1 + nq : 1 + nq + simulator.model.nv]
    np.testing.assert_allclose(simulator.object_pose(first), pose, atol=1e-12)
    np.testing.assert_allclose(velocities[scene.object_dof][:3], twist[:3])
    np.testing.assert_allclose(single.rotate(turn, velocities[scene.object_dof][3:]), twist[3:], atol=1e-12)
    assert not velocities[scene.v_address].any()  # one pose alone has no velocity
    mpc.last = HandState(0.0, q)
    moving = mpc._state(observed, HandState(0.5, q + 0.1))
    np.testing.assert_allclose(moving[1 + nq + scene.v_address], 0.2)
    still = mpc._state(observed, HandState(0.0, q + 0.1))  # a stamp that does not advance has none either
    assert not still[1 + nq + scene.v_address].any()


def test_an_arm_rollout_is_seen_where_the_floating_one_is(simulator, lift_reference, lift_setup):
    from dexhot.retargeting.placement import place

    placed = place(lift_reference)
    floating = floating_simulator(placed, lift_setup)
    arm = ArmSimulator(floating, placed)
    rig = arm.rig.scene
    states = np.arange(arm.rig.state_size, dtype=float)[None, None]
    seen = arm._seen(states, 4)[0, 0]
    here, q, v = floating.scene, 1, 1 + floating.model.nq
    rig_q, rig_v = 1, 1 + rig.model.nq
    assert seen[0] == pytest.approx(5 / 60)  # after the frame that began as the fourth
    np.testing.assert_array_equal(seen[q + here.q_address[6:]], rig_q + rig.q_address[7:])
    np.testing.assert_array_equal(seen[v + here.v_address[6:]], rig_v + rig.v_address[7:])
    np.testing.assert_array_equal(seen[q:][here.object_qpos], (np.arange(rig.model.nq) + rig_q)[rig.object_qpos])
    np.testing.assert_array_equal(seen[v:][here.object_dof], (np.arange(rig.model.nv) + rig_v)[rig.object_dof])
    batch = arm.rollout(arm.first_state, base_actions(placed, PHYSICS)[None, :3])
    np.testing.assert_allclose(np.diff(batch.states[0, :, 0]), 1 / 60)


def test_an_object_is_displaced_in_the_world_and_turned_about_itself():
    pose = np.concatenate([[0.4, 0.1, 0.05], single.exp((0.5, 0.0, 0.0))])
    moved = displaced(pose, np.array([0.02, -0.03, 0.4]))
    np.testing.assert_allclose(moved[:3], [0.42, 0.07, 0.05])
    np.testing.assert_allclose(moved[3:], single.multiply(single.exp((0.0, 0.0, 0.4)), pose[3:]))


def test_noise_of_a_measured_pose_has_its_two_sigmas():
    pose, rng = np.concatenate([[0.4, 0.1, 0.05], single.exp((0.5, 0.0, 0.0))]), np.random.default_rng(0)
    assert (measured_pose(pose, 0.0, 0.0, rng) == pose).all() and measured_pose(pose, 0.0, 0.0, rng) is not pose
    seen = np.array([measured_pose(pose, 0.002, 0.03, rng) for _ in range(2000)])
    np.testing.assert_allclose(seen[:, :3].std(axis=0), 0.002, rtol=0.06)
    np.testing.assert_allclose(seen[:, :3].mean(axis=0), pose[:3], atol=2e-4)
    turns = np.array([single.log(single.multiply(q, single.conjugate(pose[3:]))) for q in seen[:, 3:]])
    np.testing.assert_allclose(turns.std(axis=0), 0.03, rtol=0.06)
    assert (measured_pose(pose, 0.002, 0.0, rng)[3:] == pose[3:]).all()
    assert (measured_pose(pose, 0.0, 0.03, rng)[:3] == pose[:3]).all()


def test_a_robust_plan_costs_the_mean_over_its_worlds(planner, monkeypatch):
    def evaluate(states, t, residual, first=0):
        if first == 0:
            return np.arange(float(len(residual)))[None]
        assert len(states) == 2
        return np.stack([residual[:, 0, 0], 2 * residual[:, 0, 0]])

    monkeypatch.setattr(planner, "evaluate", evaluate)
    residual = np.tile(np.arange(20.0, 0.0, -1.0)[:, None, None], (1, 2, 22))  # 20 samples, the last the smallest
    cost = planner._race(np.zeros((3, 4)), 0, residual)
    best = np.arange(5)  # a quarter of them, by the first world
    np.testing.assert_allclose(cost[best], (best + 3 * residual[best, 0, 0]) / 3)
    assert np.isinf(cost[5:]).all()
    np.testing.assert_array_equal(planner._race(np.zeros((1, 4)), 0, residual), np.arange(20.0))


@pytest.mark.parametrize(("turn", "expected"), [(0.0, 0.0), (np.pi, np.pi)])
def test_parallel_and_opposite_axes_have_a_turn_too(turn, expected):
    """Exactly parallel, where the normal of the turn is zero."""
    seen = np.array([0.0, 0, 0, 1, 0, 0, 0]) if not turn else np.array([0.0, 0, 0, 0, 1, 0, 0])
    _, _, found = object_offset(Symmetry("axis"), np.array([0.0, 0, 0, 1, 0, 0, 0]), seen)
    assert np.linalg.norm(found) == pytest.approx(expected) and found[2] == 0.0
