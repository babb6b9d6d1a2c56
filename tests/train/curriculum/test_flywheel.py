"""The flywheel: what each stage draws, mines, keeps and trains on, and that a stopped run goes on."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dexhot.cli import main  # noqa: E402
from dexhot.control.sampling import SamplingOptions, base_actions  # noqa: E402
from dexhot.data.files import load, save  # noqa: E402
from dexhot.data.types import Demonstration  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.objects.library import save_object  # noqa: E402
from dexhot.retargeting.retarget import reference_kind  # noqa: E402
from dexhot.rollouts.floating import floating_simulator  # noqa: E402
from dexhot.simulation.setup import load_setup  # noqa: E402
from dexhot_train.curriculum import flywheel, flywheel_mining, flywheel_training  # noqa: E402
from dexhot_train.curriculum.flywheel import draw_tasks, run_flywheel  # noqa: E402
from dexhot_train.curriculum.flywheel_folder import DIRECT, PATH, PRIOR, nested, read_flywheel  # noqa: E402
from dexhot_train.curriculum.flywheel_mining import (  # noqa: E402
    FlywheelJob,
    demonstration_return,
    mine_task,
    prior_actions,
)
from dexhot_train.curriculum.flywheel_run import FlywheelOptions, FlywheelRun  # noqa: E402
from dexhot_train.curriculum.flywheel_training import curated  # noqa: E402
from dexhot_train.curriculum.generator import GeneratorOptions  # noqa: E402
from dexhot_train.curriculum.homotopy import HomotopyOptions, TaskResult  # noqa: E402
from dexhot_train.curriculum.ledger import Ledger, figures  # noqa: E402
from dexhot_train.curriculum.path_search import task_of  # noqa: E402
from dexhot_train.curriculum.tasks import HomotopyTask  # noqa: E402
from dexhot_train.learners.ppo import PPOOptions  # noqa: E402
from dexhot_train.learners.tracker import TrackerOptions  # noqa: E402
from dexhot_train.mining.scored import scored  # noqa: E402
from dexhot_train.task.starts import StartOptions  # noqa: E402
from dexhot_train.task.tracking import TaskOptions  # noqa: E402

TASK = TaskOptions(worlds=1, references=1, starts=StartOptions(plans=1))
TINY = FlywheelOptions(
    sizes=(1, 1, 1),
    reward=10.0,
    trials=1,
    homotopy=HomotopyOptions(budget=2000, sampling=SamplingOptions(samples=4, iterations=1)),
    tracker=TrackerOptions(
        worlds=2, steps=8, save_every=1, task=TASK, ppo=PPOOptions(steps=4, hidden=(8,), epochs=1, minibatches=1)
    ),
    generator=GeneratorOptions(latents=2, hidden=(8,), noise_steps=4, pretraining=2, tuning=2, save_every=2),
)


@pytest.fixture
def clips(cache, tmp_path, short_reference, lift_object) -> list[str]:
    """Files of four references: the same short motion under four names."""
    save_object(lift_object)
    return [
        str(save(replace(short_reference, name=f"c{k}"), tmp_path / "clips" / f"c{k}.reference.npz")) for k in range(4)
    ]


@pytest.fixture
def ways(monkeypatch, short_reference, lift_setup):
    """The optimiser's results: the path is best; the calls made."""
    good, calls = base_actions(short_reference, lift_setup.physics), []

    def optimised(task, options, start=None):
        calls.append((task.reference.name, DIRECT if start is None else PRIOR))
        return TaskResult(good, 0.5 if start is None else 0.4, True, 10)

    def along(parents, task, options):
        calls.append((task.reference.name, [p.reference.name for p in parents]))
        return TaskResult(good, 0.1, True, 20, tuple(p.reference.name for p in parents))

    monkeypatch.setattr(flywheel_mining, "optimise", optimised)
    monkeypatch.setattr(flywheel_mining, "along", along)
    monkeypatch.setattr(flywheel_mining, "prior_actions", lambda task, controller: good)
    return calls


def test_tasks_are_drawn_in_proportion_to_the_controllers_error():
    names, errors = ["a", "b", "c"], {"a": 9.0, "b": 1.0, "c": 0.0}
    first = [draw_tasks(names, errors, 1, np.random.default_rng(k))[0] for k in range(400)]
    assert 0.85 < first.count("a") / 400 < 0.95 and first.count("c") == 0
    assert sorted(draw_tasks(names, {}, 3, np.random.default_rng(0))) == names  # without repetition
    evenly = [draw_tasks(names, {}, 1, np.random.default_rng(k))[0] for k in range(300)]
    assert min(evenly.count(name) for name in names) > 70
    unknown = [draw_tasks(names, {"a": 2.0, "b": np.nan}, 1, np.random.default_rng(k))[0] for k in range(300)]
    assert min(unknown.count(name) for name in names) > 70  # the mean error where there is none


def test_the_first_stage_mines_each_task_by_itself(ways, clips, tmp_path):
    row = mine_task(FlywheelJob(clips[0], 1, tmp_path, TINY))
    assert ways == [("c0", DIRECT)] and row["by"] == DIRECT and not row["effective"]


def test_later_stages_mine_with_the_prior_and_along_paths_and_keep_the_best(ways, clips, tmp_path):
    row = mine_task(FlywheelJob(clips[0], 2, tmp_path, TINY, Path("policy.onnx")))
    assert [call[1] for call in ways[:2]] == [DIRECT, PRIOR] and len(ways[2][1]) == 3
    assert row["by"] == PATH and row["effective"] and row["control_steps"] == 40
    assert row["errors"] == {DIRECT: 0.5, PRIOR: 0.4, PATH: 0.1}
    made = load(tmp_path / "stage2" / "c0.npz", Demonstration)
    assert made.provenance["by"] == PATH and made.provenance["return"] == pytest.approx(row["return"])
    assert len(list((tmp_path / "stage2").glob("c0.parent*.npz"))) == 3


def test_a_strict_success_is_kept_before_a_lower_error(ways, clips, tmp_path, monkeypatch):
    good = flywheel_mining._results(FlywheelJob(clips[0], 1, tmp_path, TINY))[DIRECT]
    found = {DIRECT: replace(good, error=0.3), PATH: replace(good, error=0.1, strict=False)}
    monkeypatch.setattr(flywheel_mining, "_results", lambda job: found)
    assert mine_task(FlywheelJob(clips[0], 2, tmp_path, TINY))["by"] == DIRECT


def test_a_task_that_cannot_be_simulated_is_refused(monkeypatch, clips, tmp_path):
    def refuse(job):
        raise DexhotError("not at rest")

    monkeypatch.setattr(flywheel_mining, "_results", refuse)
    assert mine_task(FlywheelJob(clips[0], 1, tmp_path, TINY))["verdict"] == "refused"


def test_the_return_is_that_of_the_papers_terms(lift_reference, lift_setup):
    task = HomotopyTask(lift_reference, lift_setup)
    simulator = floating_simulator(task.reference, task.setup)
    good = base_actions(task.reference, task.setup.physics)
    made = scored(task.reference, good, task.setup, simulator, [])
    best = (0.9 + 0.33 * np.pi + 1.0) * (len(good) - 1)  # without any error
    assert 0.9 * best < demonstration_return(made, task) < best
    still = scored(task.reference, np.repeat(task.reference.q[:1], len(good), axis=0), task.setup, simulator, [])
    assert demonstration_return(still, task) < demonstration_return(made, task) - 20


def test_only_demonstrations_above_a_reward_supervise(ways, clips, tmp_path):
    for stage, clip in ((1, clips[0]), (2, clips[1])):
        mine_task(FlywheelJob(clip, stage, tmp_path, TINY))
    gained = load(tmp_path / "stage1" / "c0.npz", Demonstration).provenance["return"]
    assert set(curated(clips, tmp_path, gained - 1.0)) == {clips[0], clips[1]}
    assert curated(clips, tmp_path, gained + 1.0) == {}


@pytest.mark.timeout(600)
def test_three_stages_end_with_a_controller_and_a_stopped_run_goes_on(ways, clips, tmp_path, monkeypatch):
    out = tmp_path / "wheel"
    whole_mine = flywheel.mine

    def killed(run, tasks, stage, *rest):
        if stage == 2:
            raise KeyboardInterrupt
        whole_mine(run, tasks, stage, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(flywheel, "mine", killed)
        run_flywheel(clips, TINY, out, workers=1)
    tasks = json.loads((out / "stage2" / "tasks.json").read_text())
    before = len(ways)
    told = run_flywheel(clips, TINY, out, workers=1)
    assert len(told["stages"]) == 3 and Path(told["policy"]).is_file() and told["policy"].endswith("policy.onnx")
    assert json.loads((out / "stage2" / "tasks.json").read_text()) == tasks
    assert [row["stage"] for row in Ledger(out).rows] == [1, 2, 3] and len({r["name"] for r in Ledger(out).rows}) == 3
    assert len(ways) - before == 6, "stage 1 was not mined again"
    assert [stage["demonstrations"] for stage in told["stages"]] == [1, 2, 3]
    assert (out / "generator" / "generator.npz").is_file()
    generated = ways[-1][1]
    assert all(", parent " in name for name in generated), "the last stage's paths are the generator's"
    assert run_flywheel(clips, TINY, out, workers=1)["stages"] == told["stages"] and len(ways) - before == 6
    task = task_of(clips[0], out / "tasks")
    monkeypatch.undo()
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "cache"))
    commands = prior_actions(task, Path(told["policy"]))
    assert commands.shape == task.reference.q.shape and np.isfinite(commands).all()


def test_fewer_demonstrations_are_among_more_and_the_same_on_every_machine():
    names = [f"c{k}" for k in range(20)]
    shares = [set(nested(names, count, 0)) for count in (0, 2, 6, 10, 18, 20)]
    assert [len(share) for share in shares] == [0, 2, 6, 10, 18, 20]
    assert all(a < b for a, b in itertools.pairwise(shares))
    assert set(nested(names[::-1], 6, 0)) == shares[2] and set(nested(names, 6, 1)) != shares[2]
    assert nested(names, 6, 0) == sorted(shares[2], key=names.index), "in their order"


@pytest.mark.timeout(600)
def test_the_last_stage_is_trained_again_on_fractions_of_its_demonstrations(
    ways, clips, engine_set, tmp_path, monkeypatch
):
    trained, train = [], flywheel_training.train_tracker

    def seen(own, how, folder, *rest):
        trained.append((folder.name, sorted(clip.name for clip in own if clip.demonstration), len(own)))
        return train(own, how, folder, *rest)

    out, given, one = tmp_path / "wheel", sorted(engine_set.glob("*.npz")), replace(TINY, sizes=(1,))
    run_flywheel(clips, one, out, workers=1, demonstrations=given)
    before = read_flywheel(out)
    assert before.fractions == {} and before.policy and len(ways) == 1
    monkeypatch.setattr(flywheel_training, "train_tracker", seen)
    told = run_flywheel(clips, one, out, workers=1, demonstrations=given, fractions=(0.7, 0.0, 1.0))
    none, most = told["fractions"]  # 1 is the last stage itself
    assert [name for name, *_ in trained] == ["controller", "fraction_0", "fraction_0.7"] and len(ways) == 1
    assert {count for *_, count in trained} == {3}, "the same tasks"
    (_, all_of_them, _), (_, nothing, _), (_, two, _) = trained
    assert nothing == [] and len(two) == 2 and set(two) < set(all_of_them)
    assert none["demonstrations"] == 0 and most["demonstrations"] == 2 and most["control_steps"] == 8
    found = read_flywheel(out).fractions
    assert found == {name: out / "stage1" / name / "policy.onnx" for name in ("fraction_0", "fraction_0.7")}
    assert all(path.is_file() for path in found.values()) and read_flywheel(out).policy == before.policy
    rows = Ledger(out).rows
    assert [row["verdict"] for row in rows if row["name"].startswith("fraction")] == ["trained"] * 2
    assert figures(rows)["attempts"] == 3, "a training is no attempt"
    trained.clear()
    again = run_flywheel(clips, one, out, workers=1, demonstrations=given, fractions=(0.7,))
    assert again["fractions"] == [most] and [name for name, *_ in trained] == ["controller"]
    with pytest.raises(DexhotError, match=r"from 0 to 1, not 1\.5"):
        run_flywheel(clips, one, out, fractions=(1.5,))


def test_ablations_mine_without_the_prior_or_without_paths_from_as_many_demonstrations(
    ways, clips, engine_set, tmp_path
):
    for chosen in ((DIRECT, PATH), (DIRECT,)):
        row = mine_task(FlywheelJob(clips[0], 2, tmp_path, replace(TINY, ways=chosen), Path("policy.onnx")))
        assert tuple(row["errors"]) == chosen
    given = sorted(engine_set.glob("*.npz"))
    options = replace(TINY, sizes=(1,), most=2, ways=(DIRECT,))
    [stage] = run_flywheel(clips, options, tmp_path / "w", workers=1, demonstrations=given)["stages"]
    assert stage["demonstrations"] == 2 and read_flywheel(tmp_path / "w").ways == {DIRECT}
    for wrong, said in ((("homotopy",), "ways: direct, prior, path"), ((PATH,), "direct must be among")):
        with pytest.raises(DexhotError, match=said):
            run_flywheel(clips, replace(TINY, ways=wrong), tmp_path / "x")


def test_another_folder_is_no_flywheel(tmp_path):
    with pytest.raises(FileFormatError, match="not a folder of `dexhot train flywheel`"):
        read_flywheel(tmp_path)


def test_the_demonstrations_of_a_stage_are_imitated_in_its_training(ways, clips, tmp_path, monkeypatch):
    assert FlywheelOptions().tracker.ppo.imitation > 0, "eq. 4 is on unless it is turned off"
    learner = replace(TINY.tracker.ppo, imitation=FlywheelOptions().tracker.ppo.imitation)
    imitating = replace(TINY, tracker=replace(TINY.tracker, ppo=learner))
    train = flywheel.train_stage
    monkeypatch.setattr(flywheel, "train_stage", lambda *args: pytest.fail("enough") if args[1] == 2 else train(*args))
    with pytest.raises(pytest.fail.Exception):
        run_flywheel(clips, imitating, tmp_path / "wheel", workers=1)
    curve = (tmp_path / "wheel" / "stage1" / "controller" / "curve.jsonl").read_text().splitlines()
    assert curve and all(json.loads(line)["imitation_loss"] > 0 for line in curve), (
        "eq. 4 of a clip with a demonstration"
    )


def test_a_wheel_mines_and_trains_with_the_servo_that_was_asked_for(ways, clips, tmp_path):
    assert task_of(clips[0], tmp_path / "bare").setup.physics.servo != "dextrack"
    row = mine_task(FlywheelJob(clips[0], 1, tmp_path, replace(TINY, profile="dextrack")))
    assert row["verdict"] != "refused"
    made = load(tmp_path / "stage1" / "c0.npz", Demonstration)
    assert made.servo == "dextrack" and made.reference.provenance["servo"] == "dextrack"


@pytest.fixture
def engine_set(short_reference, lift_setup, clips, tmp_path) -> Path:
    """A folder of the data engine's demonstrations: two variations."""
    simulator = floating_simulator(short_reference, lift_setup)
    for k in range(2):
        reference = replace(short_reference, name=f"varied/s{k}")
        made = scored(reference, base_actions(reference, lift_setup.physics), lift_setup, simulator, [])
        made.provenance = {"parent": "parametric/lift-box-0", "seconds_cpu": 1.0, "control_steps": 7}
        save(made, tmp_path / "set" / f"s{k}.npz")
    return tmp_path / "set"


def test_a_plain_wheel_mines_plain_references_alone(ways, clips, tmp_path):
    plain = replace(TINY, plain=True)
    job = FlywheelJob("parametric/lift-box-0", 1, tmp_path / "mined", plain)
    for task in (job.task, FlywheelRun(tmp_path / "trained", plain).task(job.clip)):
        assert reference_kind(task.reference) == "plain"
    with pytest.raises(DexhotError, match="dexhot retarget --plain"):
        _ = FlywheelJob(clips[0], 1, tmp_path, plain).task


def test_a_set_of_the_data_engine_is_what_the_first_stage_mined_already(ways, clips, engine_set, tmp_path, monkeypatch):
    trained, train = [], flywheel.train_stage

    def seen(run, stage, clips, drawn, taught):
        trained.append([Path(clip).name for clip in drawn if clip in taught])
        return train(run, stage, clips, drawn, taught)

    monkeypatch.setattr(flywheel, "train_stage", seen)
    files = sorted(engine_set.glob("*.npz"))
    one = replace(TINY, sizes=(1,))
    told = run_flywheel(clips, one, tmp_path / "wheel", workers=1, demonstrations=files)
    assert [name for name in trained[0] if name.startswith("s")] == ["s0.reference.npz", "s1.reference.npz"]
    [stage] = told["stages"]
    assert stage["by"]["given"] == 2 and stage["by"]["direct"] == 1 and stage["demonstrations"] == 3
    rows = {row["name"]: row for row in Ledger(tmp_path / "wheel").rows}
    assert rows["s0"]["by"] == "given" and rows["s0"]["control_steps"] == 7 and len(ways) == 1, "not mined again"
    run_flywheel(clips, one, tmp_path / "wheel", workers=1, demonstrations=files)
    assert len(Ledger(tmp_path / "wheel").rows) == 3
    with pytest.raises(DexhotError, match="servo leap, the flywheel for dextrack"):
        run_flywheel(clips, replace(one, profile="dextrack"), tmp_path / "other", demonstrations=files)
    made = load(files[0], Demonstration)
    made.provenance["parent"] = "grab/bowl_pass1"
    save(made, files[0])
    with pytest.raises(DexhotError, match="nothing may be trained"):
        run_flywheel(clips, one, tmp_path / "third", demonstrations=files)


def test_no_reference_of_a_test_clip_is_trained_on(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("dexhot_train.curriculum.variations.splits", lambda dataset: {"test": [""]})
    with pytest.raises(DexhotError, match="nothing may be trained"):
        run_flywheel(clips, TINY, tmp_path / "wheel")


def test_too_few_clips_or_no_demonstration_end_the_run(ways, clips, tmp_path):
    with pytest.raises(DexhotError, match=r"draw 9 tasks, more than the clips given \(4\)"):
        run_flywheel(clips, replace(TINY, sizes=(3, 3, 3)), tmp_path / "few")
    with pytest.raises(DexhotError, match="smaller --reward"):
        run_flywheel(clips, replace(TINY, reward=1e6), tmp_path / "none", workers=1)


def test_the_command_says_what_was_asked(monkeypatch, clips, engine_set, tmp_path, capsys):
    seen = {}

    def run(clips, options, folder, command, workers, executor, report, demonstrations, fractions):
        seen.update(options=options, command=command, clips=clips, demonstrations=demonstrations, fractions=fractions)
        folder.mkdir()
        return {"folder": str(folder), "policy": "p", "stages": []}

    monkeypatch.setattr(flywheel, "run_flywheel", run)
    arguments = ["--sizes", "1", "2", "1", "--steps", "100", "--out", str(tmp_path / "w"), "--json"]
    arguments += ["--imitation", "0.3", "--backend", "warp", "--profile", "dextrack", "--plain"]
    arguments += ["--ways", "direct", "path", "--demonstrations", "5", "--last-fractions", "0", "0.3"]
    save(load(clips[3]), engine_set / "c3.reference.npz")
    assert main(["train", "flywheel", *clips[:3], str(engine_set), *arguments]) == 0
    assert [path.name for path in seen["demonstrations"]] == ["s0.npz", "s1.npz"]
    assert [Path(clip).name for clip in seen["clips"]] == [f"c{k}.reference.npz" for k in range(4)]
    assert seen["options"].sizes == (1, 2, 1) and seen["options"].tracker.steps == 100
    assert seen["options"].tracker.ppo.imitation == 0.3 and seen["options"].tracker.backend == "warp"
    assert seen["options"].plain and "--plain" in seen["command"]
    assert seen["options"].profile == "dextrack" and "--imitation 0.3" in seen["command"]
    assert seen["options"].ways == (DIRECT, PATH) and seen["options"].most == 5 and seen["fractions"] == (0.0, 0.3)
    assert "--ways direct path" in seen["command"] and "fraction" not in seen["command"]
    assert "--sizes 1 2 1 --steps 100" in seen["command"] and "c0.reference.npz" in seen["command"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["policy"] == "p"
    assert load_setup(load(clips[0])).hand.name == "leap_right"
