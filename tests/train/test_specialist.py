"""A specialist of one clip: what it learns from, what it must not see, its files, and that it is exported whole."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from dexhot.cli import main  # noqa: E402
from dexhot.control.observation import DEXTRACK, EGOCENTRIC  # noqa: E402
from dexhot.control.policy import OnnxNetwork, Policy, make_card  # noqa: E402
from dexhot.control.sampling import SamplingOptions, base_actions  # noqa: E402
from dexhot.control.time_warp import as_played  # noqa: E402
from dexhot.data.files import load, save  # noqa: E402
from dexhot.data.types import Demonstration, PolicyCard, Reference  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.objects.library import save_object  # noqa: E402
from dexhot.rollouts.floating import floating_simulator, run_controller, start_state  # noqa: E402
from dexhot_train.export import export_policy  # noqa: E402
from dexhot_train.learners import specialist as module  # noqa: E402
from dexhot_train.learners.expert import ExpertOptions, SamplingExpert, queried  # noqa: E402
from dexhot_train.learners.imitation import FitOptions, clone, dart_noise, error_sigma  # noqa: E402
from dexhot_train.learners.lessons import in_demonstration  # noqa: E402
from dexhot_train.learners.specialist import SpecialistOptions, save_specialist, train_specialist  # noqa: E402
from dexhot_train.network import PolicyNetwork, TorchNetwork  # noqa: E402

TINY = SpecialistOptions(
    searches=1,
    rollouts=24,
    worlds=2,
    rounds=1,
    stride=30,
    trials=2,
    expert=ExpertOptions(1, SamplingOptions(4, 1, 0.2, knot=0.1)),
    fit=FitOptions((64, 64), epochs=12),
)


def here(function, jobs):
    """Runs jobs in this process."""
    return ((job, function(job)) for job in jobs)


@pytest.fixture(scope="module")
def trained(_grasp_reference, lift, tmp_path_factory):
    """A tiny specialist, and its folder."""
    from dexhot.robots.robot_hand import load_hand
    from dexhot.simulation.physics import load_physics
    from dexhot.simulation.setup import Setup

    setup, folder = Setup(load_hand("leap_right"), lift[1], load_physics()), tmp_path_factory.mktemp("specialist")
    (folder / "steps").mkdir()
    found = train_specialist(_grasp_reference, setup, here, TINY, folder=folder / "steps", command="dexhot train ...")
    return found, save_specialist(found, folder / "lift"), setup


def test_it_tracks_its_clip_from_its_file_and_the_card_tells_its_origin(trained, _grasp_reference):
    _, path, setup = trained
    card = load(path.with_suffix(".json"), PolicyCard)
    assert card.frames == len(_grasp_reference.q) and len(card.fingers) == 16
    assert card.clip == _grasp_reference.name == card.training_data[0] and card.servo == "leap" and card.physics == "2"
    assert card.provenance["control_steps"] > 1000 and card.provenance["command"] == "dexhot train ..."
    assert [row["round"] for row in card.scores["rounds"]] == [0, 1] and 0 <= card.scores["held_out"] <= 1
    policy = Policy(_grasp_reference, OnnxNetwork(path), setup.asset, setup.physics)
    rollout = run_controller(policy, floating_simulator(_grasp_reference, setup))
    assert np.isfinite(rollout.command).all() and np.abs(policy.residual).max() > 0


def test_the_file_is_the_network(trained):
    found, path, _ = trained
    rng = np.random.default_rng(0)
    seen, residual = rng.normal(size=(5, sum(p["size"] for p in found.card.observation))), rng.normal(0, 0.01, (5, 22))
    ours, theirs = OnnxNetwork(path)(seen, residual), TorchNetwork(found.network, found.card)(seen, residual)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_an_interrupted_training_ends_at_the_same_network(trained, _grasp_reference, tmp_path, monkeypatch):
    found, _, setup = trained

    def killed(job):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("dexhot_train.learners.asking.asked", killed)
        train_specialist(_grasp_reference, setup, here, TINY, folder=tmp_path)
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(kept) == {"plan-0.npz", "student-0.npz"}
    again = train_specialist(_grasp_reference, setup, here, TINY, folder=tmp_path)
    assert all((tmp_path / name).read_bytes() == content for name, content in kept.items())
    for a, b in zip(found.network.state_dict().values(), again.network.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_damaged_checkpoint_is_named(trained, _grasp_reference, tmp_path):
    (tmp_path / "plan-0.npz").write_bytes(b"half a file")
    with pytest.raises(FileFormatError, match=r"plan-0\.npz, a step of an earlier training, is damaged.*delete it"):
        train_specialist(_grasp_reference, trained[2], here, TINY, folder=tmp_path)
    (tmp_path / "plan-0.npz").unlink()
    np.savez(tmp_path / "student-0.npz", np.zeros(3))
    with pytest.raises(FileFormatError, match=r"student-0\.npz is of another network"):
        train_specialist(_grasp_reference, trained[2], here, TINY, folder=tmp_path)


def test_bad_input_is_named(grasp_reference, lift_setup):
    short = replace(
        grasp_reference,
        **{f: getattr(grasp_reference, f)[:50] for f in ("q", "target", "contact", "object_pose")},
        grasp_start=10,
        grasp_end=40,
    )
    with pytest.raises(DexhotError, match="has 50 frames; a specialist needs over 60"):
        train_specialist(short, lift_setup, here, TINY)
    other = demonstration(replace(grasp_reference, hand="leap_left"))
    with pytest.raises(DexhotError, match="of the hand leap_left, the reference of leap_right"):
        train_specialist(grasp_reference, lift_setup, here, TINY, other)


def demonstration(reference, actions=None) -> Demonstration:
    actions = reference.target if actions is None else actions
    return Demonstration("d", reference, actions, reference.q, reference.object_pose, "2", servo="leap")


def test_where_no_plan_is_good_enough_the_miner_teaches(grasp_reference, lift_setup, monkeypatch):
    monkeypatch.setattr(module, "_search_plan", lambda lesson, seed: (np.zeros(38), 0.0, 5))
    mined = base_actions(grasp_reference, lift_setup.physics) + 1e-3
    monkeypatch.setattr(module, "_mine", lambda lesson: (mined, 1000, True))
    found = train_specialist(grasp_reference, lift_setup, here, replace(TINY, rounds=0))
    np.testing.assert_array_equal(found.teacher, mined)
    monkeypatch.setattr(module, "_mine", lambda lesson: (mined, 1000, False))
    with pytest.raises(DexhotError, match="no strict success"):
        train_specialist(grasp_reference, lift_setup, here, replace(TINY, rounds=0))


def test_a_demonstration_is_the_teacher_and_its_residuals_fit_into_the_card(grasp_reference, lift_setup):
    actions = base_actions(grasp_reference, lift_setup.physics)
    actions[:, 10] += 1.2  # more than a card allows by default
    found = train_specialist(
        grasp_reference, lift_setup, here, replace(TINY, rounds=0), demonstration(grasp_reference, actions)
    )
    np.testing.assert_array_equal(found.teacher, actions)
    assert found.card.residual_limit[10] == pytest.approx(1.32) and found.card.residual_limit[11] == 0.8


def test_students_are_not_shown_themselves(grasp_reference, lift_setup):
    card = make_card("p", grasp_reference, lift_setup.physics, DEXTRACK)
    with pytest.raises(DexhotError, match="must not observe hand"):
        clone(card, np.zeros((9, 170)), np.zeros((9, 22)), FitOptions(), 0)


def test_cloning_fits_repeats_and_refuses_what_is_not_finite(grasp_reference, lift_setup):
    card = make_card("p", grasp_reference, lift_setup.physics, ["object_error"])
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 0.01, (600, 6)).astype(np.float32)
    wanted = np.tile(seen[:, :1] * 10, (1, 22)) * np.asarray(card.residual_limit)
    options = FitOptions((32,), epochs=60, batch=32, jitter=0.0)
    one, other = (clone(card, seen, wanted, options, 3) for _ in range(2))
    assert (error_sigma(one, seen, wanted) < 0.25 * wanted.std(axis=0)).all()
    for a, b in zip(one.parameters(), other.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(DexhotError, match="not finite"):
        clone(card, seen, wanted * np.nan, options, 3)
    with pytest.raises(DexhotError, match="nothing to imitate"):
        clone(card, seen[:0], wanted[:0], options, 3)


def test_darts_noise_has_its_size_and_lasts():
    sigma = np.array([0.01, 0.1])
    noise = dart_noise((200, 100, 2), sigma, np.random.default_rng(0))
    np.testing.assert_allclose(noise.std(axis=(0, 1)), sigma, rtol=0.1)
    lagged = (noise[:, 1:] * noise[:, :-1]).mean(axis=(0, 1)) / noise.var(axis=(0, 1))
    np.testing.assert_allclose(lagged, 0.9, atol=0.03)


def test_labels_are_in_the_demonstrations_frame(grasp_reference):
    from dexhot.control.policy import with_residual
    from dexhot.retargeting.placement import moved

    placed = moved(grasp_reference, np.r_[0.3, 0.1, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)])
    residual = np.random.default_rng(0).normal(size=(4, 22))
    world = with_residual(placed, np.zeros((4, 22)), residual)
    np.testing.assert_allclose(in_demonstration(placed, world), residual, atol=1e-12)


def test_the_expert_is_never_worse_than_the_teacher_by_its_own_cost(grasp_reference, lift_setup):
    simulator = floating_simulator(grasp_reference, lift_setup)
    teacher = base_actions(grasp_reference, lift_setup.physics)
    options = replace(TINY.expert, margin=2.0)  # no mean is ever so much better
    expert = SamplingExpert(grasp_reference, simulator, simulator.model, teacher, options, 0)
    answer = expert.answer(start_state(grasp_reference, simulator), 0, 8)
    np.testing.assert_allclose(answer, np.clip(teacher[:8], simulator.scene.lower, simulator.scene.upper), atol=1e-12)
    assert (expert.answers, expert.improved) == (1, 0) and expert.control_steps > 0
    eager = SamplingExpert(grasp_reference, simulator, simulator.model, teacher, replace(options, margin=-1e9), 0)
    assert not np.allclose(eager.answer(start_state(grasp_reference, simulator), 0, 8), answer)


def test_the_expert_is_asked_around_the_grasp(grasp_reference):
    frames = queried(grasp_reference, 8)
    assert frames[0] == max(0, grasp_reference.grasp_start - 30) and (np.diff(frames) == 8).all()
    assert frames[-1] + 8 <= len(grasp_reference.q)


def test_networks_keep_to_the_cards_limits(grasp_reference, lift_setup):
    rng = np.random.default_rng(0)
    for action in ("residual", "cumulative"):
        card = make_card("p", grasp_reference, lift_setup.physics, EGOCENTRIC, action)
        network = TorchNetwork(PolicyNetwork(card, (8,)), card)
        with torch.no_grad():
            for p in network.module.parameters():
                p.mul_(100.0)
        residual = np.zeros((6, 22))
        seen = rng.normal(size=(6, sum(p["size"] for p in card.observation)))
        for _ in range(40):
            after = network(seen, residual)
            assert (np.abs(after - residual) <= np.asarray(card.residual_step) * 1.0001).all()
            residual = after
        assert (np.abs(residual) <= np.asarray(card.residual_limit) * 1.0001).all()
        assert np.abs(residual).max() > 0.5


def test_a_module_of_other_sizes_is_not_exported(grasp_reference, lift_setup, tmp_path):
    card = make_card("p", grasp_reference, lift_setup.physics, EGOCENTRIC)
    with pytest.raises(DexhotError, match="does not take"):
        export_policy(PolicyNetwork(replace(card, observation=card.observation[:2]), (8,)), card, tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_the_export_is_the_same_bytes_and_tells_nothing_of_this_machine(grasp_reference, lift_setup, tmp_path):
    card = make_card("p", grasp_reference, lift_setup.physics, ["object_error"])
    network = PolicyNetwork(card, (8,))
    one, other = (export_policy(network, card, tmp_path / name).read_bytes() for name in "ab")
    assert one == other and b"/site-packages" not in one and b".py" not in one


def test_the_command_trains_writes_both_files_and_resumes(grasp_reference, lift_object, cache, tmp_path, monkeypatch):
    save_object(lift_object)
    path = save(grasp_reference, tmp_path / "lift.reference.npz")
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", lambda function, jobs, workers: here(function, jobs))
    monkeypatch.setattr(module, "SpecialistOptions", lambda *a, **k: TINY)
    assert main(["train", "specialist", str(path), "--rounds", "0", "--worlds", "2"]) == 0
    card = load(tmp_path / "lift.policy.json", PolicyCard)
    assert card.terms == "" and "--rounds 0 --worlds 2" in card.provenance["command"]
    assert (tmp_path / "lift.policy.onnx").is_file()
    assert len(list((cache / "specialists").glob("lift-*/student-*.npz"))) == 2


def test_a_clip_by_name_is_retargeted_placed_and_kept_for_its_run(
    grasp_reference, lift_object, cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    asked = []

    def stopped(reference, setup, run, options, taught, folder, command, say):
        asked.append((reference, setup, folder, command))
        raise DexhotError("enough")

    monkeypatch.setattr(module, "train_specialist", stopped)
    assert main(["train", "specialist", "parametric/lift-box-0", "--rounds", "0"]) == 1
    (played, setup, folder, command) = asked.pop()
    kept = load(tmp_path / "lift-box-0.reference.npz", Reference)
    assert kept.name == played.name == "parametric/lift-box-0" and len(kept.arm_q)
    np.testing.assert_array_equal(as_played(kept, None, setup.physics)[0].q, played.q)  # as the graph plays the file
    assert folder.name.startswith("lift-box-0-") and "specialist parametric/lift-box-0 --rounds 0" in command
    capsys.readouterr()
    assert main(["train", "specialist", "grab/mug_pass1"]) == 1
    assert "grab/mug_pass1 is in the split test_unseen_clip" in capsys.readouterr().err
    assert main(["train", "specialist", "parametric/lift-boxx-0"]) == 1
    assert "boxx" in capsys.readouterr().err
    assert main(["train", "specialist", str(tmp_path / "lift-box-0.reference.npz"), "--profile", "dextrack"]) == 1
    assert "leave out --hand and --profile" in " ".join(capsys.readouterr().err.split())
    assert not asked


def test_a_clip_of_a_test_split_is_trained_on_by_choice_alone_and_marked(
    grasp_reference, lift_object, cache, tmp_path, monkeypatch, capsys
):
    save_object(lift_object)
    path = save(replace(grasp_reference, name="grab/mug_pass1"), tmp_path / "mug.npz")
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", lambda function, jobs, workers: here(function, jobs))
    monkeypatch.setattr(module, "SpecialistOptions", lambda *a, **k: replace(TINY, rounds=0))
    assert main(["train", "specialist", str(path)]) == 1
    assert "mug_pass1 is in the split test_unseen_clip" in (told := capsys.readouterr().err) and "--test-clip" in told
    assert main(["train", "specialist", str(path), "--test-clip"]) == 0
    card = load(tmp_path / "mug.policy.json", PolicyCard)
    assert card.provenance["test_split"] == "test_unseen_clip" and card.provenance["command"].endswith("--test-clip")
    assert "not those of an unseen clip" in capsys.readouterr().err
    policy = str(tmp_path / "mug.policy.onnx")
    capsys.readouterr()
    assert main(["evaluate", policy, "--split", "test"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "is a specialist of grab/mug_pass1 alone: give that clip's file by --reference" in told
    assert main(["evaluate", policy, "--reference", str(path), "--trials", "0", "--baselines", "replay"]) == 0
    assert "policy was trained on 1 of these test clips" in " ".join(capsys.readouterr().out.split())


def test_the_command_names_what_it_cannot_take(tmp_path, grasp_reference, lift_setup, capsys, cache):
    card = make_card("p", grasp_reference, lift_setup.physics, EGOCENTRIC)
    wrong = save(card, tmp_path / "card")
    assert main(["train", "specialist", str(wrong)]) == 1
    assert "holds a PolicyCard; give a Reference or a Demonstration" in capsys.readouterr().err
    assert main(["train", "specialist", str(wrong), "--worlds", "0"]) == 1
    assert "--worlds must be 1 or more" in capsys.readouterr().err
