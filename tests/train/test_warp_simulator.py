"""MuJoCo Warp, on its CPU device, beside C MuJoCo: the same worlds, the same actions. The kernels compile once."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.errors import DexhotError, MissingExtraError, NotFoundError
from dexhot.paths import share_dir
from dexhot.simulation.setup import Setup
from dexhot_train.task import warp_simulator
from dexhot_train.task.backends import task_simulator, without_gpu
from dexhot_train.task.clips import load_task_clip, task_clip
from dexhot_train.task.starts import StartOptions
from dexhot_train.task.tracking import TaskOptions, TrackingTask
from dexhot_train.task.warp_simulator import WarpMujoco, own_fields

OPTIONS = TaskOptions(worlds=4, references=1, starts=StartOptions(plans=8))
STEPS = 12  # 48 of physics


@pytest.fixture(scope="module")
def clip():
    return load_task_clip(str(share_dir() / "policies" / "lift_box.npz"))


@pytest.fixture(scope="module")
def tasks(clip):
    """The same worlds of worlds_v2 in both: from the first frame, the approach, a grasp in motion, and held."""
    here = TrackingTask([clip], 4, OPTIONS, seed=3)
    there = TrackingTask([clip], 4, OPTIONS, seed=3, simulator=WarpMujoco([clip], 4, here.worlds, "cpu"))
    for task in (here, there):
        task.assigned = np.stack([np.zeros(4, int), np.arange(4)], axis=1)
    return here, there


def test_warp_agrees_with_c_mujoco(tasks):
    here, there = tasks
    first = [task.reset().critic for task in tasks]
    np.testing.assert_allclose(*first, atol=1e-6)
    assert set(here.kind) == {0, 1, 2, 3}
    rng, contacts = np.random.default_rng(0), 0
    for _ in range(STEPS):
        u = 0.2 * rng.standard_normal((4, here.action_size))
        a, b = here.step(u), there.step(u)
        np.testing.assert_array_equal(a.terminated, b.terminated)
        contacts += here.simulator.reading().tip_contact.sum()
    a, b = here.simulator.reading(), there.simulator.reading()
    assert contacts > 4 * STEPS
    np.testing.assert_allclose(a.object_pose[:, :3], b.object_pose[:, :3], atol=5e-4)  # m; seen: 1.9e-4
    np.testing.assert_allclose(a.q, b.q, atol=0.02)  # rad, m; seen: 0.005
    np.testing.assert_allclose(a.tips, b.tips, atol=1e-3)
    free = ~a.tip_contact.any(axis=1)
    assert free.any()
    np.testing.assert_allclose(a.q[free], b.q[free], atol=2e-4)
    assert not b.diverged.any()


def test_each_world_has_its_own_physics(tasks):
    """Fields on the device are those of each world's model, after a reset of some worlds too."""
    _, there = tasks
    simulator = there.simulator
    start = there.starts[0].start
    one = type(start)(*(getattr(start, name)[:2] for name in ("q", "qd", "object_pose", "object_twist")))
    simulator.reset(np.array([3, 1]), np.zeros(2, int), np.array([0, 2]), one)
    assert list(simulator.world) == [0, 2, 2, 0]
    for row, world in enumerate(simulator.world):
        model = simulator.models[0][world]
        for name in ("geom_friction", "body_mass", "body_pos", "geom_solref", "actuator_gainprm"):
            there_now = getattr(simulator.model, name).numpy()[row]
            np.testing.assert_allclose(there_now, getattr(model, name), rtol=1e-6, atol=1e-9)
    masses = simulator.model.body_mass.numpy().sum(axis=1)
    assert masses[0] == masses[3] != masses[1]


def test_a_snapshot_goes_on_exactly(tasks):
    _, there = tasks
    there.reset()
    rng = np.random.default_rng(1)
    actions = 0.2 * rng.standard_normal((6, 4, there.action_size))
    there.step(actions[0])
    kept = there.snapshot()
    after = [there.step(u).observations.critic for u in actions]
    there.restore(kept)
    np.testing.assert_array_equal([there.step(u).observations.critic for u in actions], after)


def test_a_world_that_diverges_keeps_its_last_state_and_the_others_go_on(tasks):
    _, there = tasks
    there.reset()
    simulator = there.simulator
    simulator.states[2, 1] = np.nan
    before = simulator.states.copy()
    reading = simulator.step(np.repeat(simulator.reading().q[:, None], simulator.substeps, axis=1))
    assert list(np.flatnonzero(reading.diverged)) == [2]
    np.testing.assert_array_equal(simulator.states[2], before[2])
    assert (simulator.states[[0, 1, 3], 0] > before[[0, 1, 3], 0]).all()
    there.reset()
    assert not simulator.diverged.any()


def halved(clip):
    """The clip with a smaller, lighter object of two pieces."""
    ((vertices, faces),) = clip.asset.pieces
    small = 0.97 * vertices
    halves = [(np.c_[limit(small[:, :1], 0.0), small[:, 1:]], faces) for limit in (np.minimum, np.maximum)]
    asset = replace(clip.asset, name="parametric/halves", pieces=halves, mass=0.8 * clip.asset.mass)
    lower = clip.reference.object_pose[:, 2].min() + small[:, 2].min()
    pose = clip.reference.object_pose - np.r_[0, 0, lower, 0, 0, 0, 0]
    return task_clip(replace(clip.reference, object_pose=pose), replace(clip.setup, asset=asset))


def test_clips_of_different_objects_share_a_batch(clip):
    """Each object moves as in a batch of C MuJoCo; the pieces of the others touch nothing."""
    clips, options = [clip, halved(clip)], replace(OPTIONS, worlds=2)
    here = TrackingTask(clips, 4, options, seed=1)
    there = TrackingTask(clips, 4, options, seed=1, simulator=WarpMujoco(clips, 4, here.worlds, "cpu"))
    for task in (here, there):
        task.assigned = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
        task.reset()
    rng = np.random.default_rng(0)
    for _ in range(6):
        u = 0.2 * rng.standard_normal((4, here.action_size))
        here.step(u), there.step(u)
    a, b = here.simulator.reading(), there.simulator.reading()
    np.testing.assert_allclose(a.object_pose[:, :3], b.object_pose[:, :3], atol=5e-4)
    np.testing.assert_allclose(a.q, b.q, atol=0.02)
    np.testing.assert_array_equal(a.tip_contact, b.tip_contact)


def test_what_warp_lacks_is_refused_by_name(clip):
    with pytest.raises(DexhotError, match=r"one ngeom.* for all worlds, in which these clips' models differ"):
        own_fields([clip.scene.model, halved(clip).scene.model])
    physics = replace(clip.setup.physics, integrator="discrete")
    strange = task_clip(clip.reference, Setup(clip.setup.hand, clip.setup.asset, physics))
    with pytest.raises(DexhotError, match=r"cannot simulate this physics: noslip solver .* discrete"):
        WarpMujoco([strange], 1, [[None]], "cpu")
    with pytest.raises(DexhotError, match=r"no device 'tpu'.*available: cpu"):
        WarpMujoco([clip], 1, [[None]], "tpu")
    with pytest.raises(NotFoundError, match="available: mujoco, warp"):
        task_simulator("physx", [clip], 1, [[None]])


def test_without_the_extra_the_sentence_says_what_to_install(clip, monkeypatch):
    monkeypatch.delattr(warp_simulator, "mujoco_warp")
    with pytest.raises(MissingExtraError, match=r"MuJoCo Warp needs an extra .*dexhot\[gpu\]"):
        task_simulator("warp", [clip], 1, [[None]])


@pytest.mark.parametrize("gpu", [True, False])
def test_a_training_for_a_gpu_that_is_not_there_says_so(gpu, monkeypatch):
    warp = pytest.importorskip("warp")
    monkeypatch.setattr(warp, "get_preferred_device", lambda: SimpleNamespace(is_cuda=gpu))
    assert without_gpu("mujoco") == ""
    assert ("one CPU thread" in without_gpu("warp")) != gpu
