"""`dexhot evaluate --rig`: prompts, resuming, what is counted; and a rehearsal on sim-wire, answered from a script."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.bringup import campaign
from dexhot.bringup.campaign import Campaign, begin, campaign_clip, conduct, further_arguments, reset
from dexhot.bringup.run_folder import load_task
from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, FileFormatError, UnreachableError
from dexhot.evaluation.campaign import BASELINE, CONTROLLER, OURS, RESULT, Trial, add_trial, read_trials
from dexhot.objects.library import save_object
from dexhot.simulation.setup import load_setup
from tiny_policy import write_policy

PLANNED = {"controller": "planned", "planning_rollouts": "16"}


@pytest.fixture
def rig(monkeypatch):
    """Runs without a graph: the arguments of each, and the outcomes, a level or the reason why none began."""
    told = SimpleNamespace(runs=[], outcomes=[])

    def run(plan, output, goes_on):
        assert goes_on  # Ctrl-C ends the campaign, not the trial alone
        told.runs.append(plan)
        os.makedirs(plan["record"])

    def rollout(folder, part):
        outcome = told.outcomes.pop(0) if told.outcomes else 3
        assert part and str(folder) == told.runs[-1]["record"]
        if isinstance(outcome, str):
            raise FileFormatError(outcome)
        return SimpleNamespace(metrics={"level": outcome, "success_strict": outcome == 3}, provenance={})

    monkeypatch.setattr(campaign, "plan", lambda graph, arguments, environment: arguments)
    monkeypatch.setattr(campaign.launcher, "run", run)
    monkeypatch.setattr(campaign, "live_rollout", rollout)
    monkeypatch.setattr(campaign, "rejudge", lambda found: found)
    return told


@pytest.fixture
def clip(shipped, tmp_path, cache):
    save_object(load_setup(shipped.reference).asset)
    return campaign_clip(tmp_path / "c", shipped, (RESULT, CONTROLLER), PLANNED, None)


@pytest.fixture
def made(clip, tmp_path) -> Campaign:
    return Campaign(tmp_path / "c", "real", [clip], 2, {"franka_host": "172.16.0.2"})


def answering(*answers):
    """A person who gives these answers, and then leaves; and what was asked."""
    asked, left = [], list(answers)

    def ask(prompt):
        asked.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    return ask, asked


def test_every_trial_is_prompted_run_and_counted(made, rig, clip):
    ask, asked = answering(*[""] * 8)
    assert conduct(made, ask, lambda line: None)
    trials = read_trials(made.ledger)
    assert [t.key[1:] for t in trials] == [
        (kind, OURS, number) for number in (1, 2) for kind in (RESULT, CONTROLLER)
    ]  # the object stays until all methods were tried
    assert {t.level for t in trials} == {3} and all(t.strict for t in trials)
    first, second = rig.runs[:2]
    assert first["controller"] == "playback" and load(first["policy"], Demonstration).reference.name == clip.name
    assert second["controller"] == "planned" and second["planning_rollouts"] == "16"
    assert {r["rig"] for r in rig.runs} == {"real"} and {r["franka_host"] for r in rig.runs} == {"172.16.0.2"}
    assert all(r["exit_when_done"] == "true" for r in rig.runs) and len({r["record"] for r in rig.runs}) == 4
    assert "dexhot safety start" in asked[0] and "in front of the arm's base" in asked[0]


def test_a_campaign_goes_on_where_it_was_stopped(made, rig):
    ask, _ = answering("", "", "q")
    assert not conduct(made, ask, lambda line: None)
    assert len(read_trials(made.ledger)) == 1 and len(rig.runs) == 1
    ask, _ = answering()  # nobody answers
    assert not conduct(made, ask, lambda line: None)
    ask, _ = answering(*[""] * 6)
    assert conduct(made, ask, lambda line: None)
    assert len(read_trials(made.ledger)) == 4 and len(rig.runs) == 4


def test_a_trial_is_repeated_or_left_uncounted_on_request(made, rig):
    rig.outcomes[:] = [0, 2]
    ask, _ = answering("", "r", "", "", "", "q")
    assert not conduct(made, ask, lambda line: None)
    [trial] = read_trials(made.ledger)
    assert trial.level == 2 and not trial.strict and len(rig.runs) == 3
    assert trial.run.endswith("result-ours-1-2")  # the first recording stays


def test_a_recording_is_never_overwritten(made, rig, clip):
    (made.folder / "runs" / f"{clip.name.replace('/', '_')}-result-ours-1").mkdir(parents=True)
    ask, _ = answering("", "", "q")
    conduct(made, ask, lambda line: None)
    assert rig.runs[0]["record"].endswith("result-ours-1-2")
    assert read_trials(made.ledger)[0].run.endswith("result-ours-1-2")


def test_a_clip_that_never_began_is_a_failed_trial_with_its_reason(made, rig):
    rig.outcomes[:] = ["tracking never started: planned expects 0.10"]
    said = []
    ask, _ = answering("", "", "q")
    conduct(made, ask, said.append)
    [trial] = read_trials(made.ledger)
    assert trial.level == 0 and "expects 0.10" in trial.why and any("expects 0.10" in line for line in said)


def test_the_baseline_is_tried_beside_ours_in_both_kinds(shipped, tmp_path, cache):
    setup = load_setup(shipped.reference)
    save_object(setup.asset)
    task = load_task("", "", "playback").at_speed(1.0)  # the shipped one, in the arm's time
    policy = write_policy(tmp_path / "ppo", task.reference, setup.physics)
    found = campaign_clip(tmp_path / "c", shipped, (RESULT, CONTROLLER), PLANNED, policy)
    assert [(m.kind, m.name) for m in found.methods] == [
        (RESULT, OURS),
        (RESULT, BASELINE),
        (CONTROLLER, OURS),
        (CONTROLLER, BASELINE),
    ]
    assert found.methods[3].arguments == {"controller": "policy", "policy": str(policy)}
    result = load(found.methods[1].arguments["policy"], Demonstration)
    assert result.name.endswith("by ppo") and len(result.actions) == len(shipped.actions)
    only = campaign_clip(tmp_path / "d", shipped.reference, (RESULT,), PLANNED, None)
    assert only.methods == ()  # a bare reference has no tracking result


def test_a_baselines_result_stays_with_its_trials_and_what_a_method_needs_is_checked(
    clip, shipped, tmp_path, monkeypatch
):
    made = []

    def result_of_policy(policy, reference):
        made.append(policy)
        return shipped

    def refused(*given):
        raise DexhotError("a policy of another hand")

    monkeypatch.setattr(campaign, "result_of_policy", result_of_policy)
    for expected in (1, 2, 2):  # anew, until a trial was counted
        campaign_clip(tmp_path / "c", shipped, (RESULT,), PLANNED, tmp_path / "ppo.onnx")
        assert len(made) == expected
        if expected == 2:
            counted(tmp_path / "c", clip.name)
    other = replace(shipped, reference=replace(shipped.reference, object_pose=shipped.reference.object_pose + 0.0))
    other.reference.object_pose[:, 0] += 0.01
    with pytest.raises(DexhotError, match="not what its counted trials"):
        campaign_clip(tmp_path / "c", other, (RESULT,), PLANNED, tmp_path / "ppo.onnx")
    monkeypatch.setattr(campaign, "load_task", refused)
    with pytest.raises(DexhotError, match="another hand"):
        campaign_clip(tmp_path / "d", shipped, (CONTROLLER,), PLANNED, None)


def test_a_trial_that_ended_early_says_why_and_that_its_clip_is_short(made, rig, monkeypatch):
    stopped = SimpleNamespace(
        metrics={"level": 2, "success_strict": False}, provenance={"stopped": "the object was lost"}
    )
    monkeypatch.setattr(campaign, "live_rollout", lambda run, part: stopped)
    ask, _ = answering("", "", " Q ")
    assert not conduct(made, ask, lambda line: None)
    [trial] = read_trials(made.ledger)
    assert trial.why == "the object was lost" and trial.level == 2 and trial.short
    assert len(rig.runs) == 1  # Q stops, too


def test_a_clip_out_of_the_arms_reach_is_refused(shipped, tmp_path):
    with pytest.raises(UnreachableError, match="no arm path"):
        campaign_clip(tmp_path, replace(shipped.reference, arm_q=shipped.reference.arm_q[:0]), (), PLANNED, None)


def counted(folder, clip="grab/duck_lift"):
    """A ledger with one trial."""
    add_trial(Trial(clip, "grab/duck", RESULT, OURS, 1, 3, True, "", False, "runs/a"), folder / "trials.jsonl")


def test_the_plan_of_a_campaign_stays_once_a_trial_was_counted(tmp_path):
    begin(tmp_path / "c", {"rig": "sim", "kinds": ["result"]})
    begin(tmp_path / "c", {"rig": "real", "kinds": ["result"]})  # nothing is lost
    counted(tmp_path / "c")
    begin(tmp_path / "c", {"rig": "real", "kinds": ["result"]})
    with pytest.raises(DexhotError, match=r"other settings \(rig\)"):
        begin(tmp_path / "c", {"rig": "sim-wire", "kinds": ["result"]})
    (tmp_path / "c" / "campaign.json").write_text("{")
    with pytest.raises(FileFormatError, match="damaged"):
        begin(tmp_path / "c", {"rig": "real"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(DexhotError, match="no campaign"):
        begin(tmp_path / "other", {"rig": "real"})


def test_a_clip_stays_once_a_trial_of_it_was_counted(shipped, tmp_path, cache):
    save_object(load_setup(shipped.reference).asset)
    other = replace(shipped, actions=shipped.actions + 0.01)
    campaign_clip(tmp_path, shipped, (RESULT,), PLANNED, None)
    found = campaign_clip(tmp_path, other, (RESULT,), PLANNED, None)
    assert np.array_equal(load(found.methods[0].arguments["policy"], Demonstration).actions, other.actions)
    counted(tmp_path, shipped.reference.name)
    campaign_clip(tmp_path, other, (RESULT,), PLANNED, None)
    with pytest.raises(DexhotError, match="not what its counted trials were made with"):
        campaign_clip(tmp_path, shipped, (RESULT,), PLANNED, None)


def test_two_processes_do_not_lead_through_one_campaign(tmp_path):
    begin(tmp_path / "c", {"rig": "sim"})
    code = "import sys, pathlib; from dexhot.bringup.campaign import begin; begin(pathlib.Path(sys.argv[1]), {})"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "c"], capture_output=True, text=True)
    assert "another process is at work" in done.stderr


def test_arguments_that_a_campaign_sets_are_refused():
    assert further_arguments({"franka_host": "127.0.0.2"}) == {"franka_host": "127.0.0.2"}
    with pytest.raises(DexhotError, match="record, reference"):
        further_arguments({"reference": "a.npz", "record": "b"})


def test_the_prompt_says_where_the_object_goes(shipped):
    r = replace(shipped.reference, object_pose=shipped.reference.object_pose.copy())
    r.object_pose[0, :2] = 0.45, -0.12
    assert "45 cm in front of the arm's base and 12 cm to its right" in reset(r, "real")
    assert "safety start" not in reset(r, "sim-wire")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rig", "sim-wire"], "--rig needs --clips"),
        (["--rig", "sim-wire", "--clips", "a", "--panel"], "no FILE"),
        (["--rig", "sim-wire", "--clips", "a", "--repeats", "0"], "--repeats must be 1 or more"),
        (["--rig", "sim-wire", "--clips", "a", "--controller", "replay"], "not replay"),
        (["--baseline", "none"], "belong to --rig"),
        (["--rig", "sim-wire", "--clips", "a", "--kinds"], "--kinds needs"),
        (["--rig", "sim-wire", "--clips", "a", "--demonstrations", "none_here"], "is not a folder"),
        (["--rig", "sim-wire", "--clips", "a", "--planning-seconds", "nan"], "must be positive"),
        (["--rig", "sim-wire", "--clips", "a", "--planning-rollouts", "-1"], "must be 0 or more"),
        (["--rig", "sim-wire", "--clips", "a", "--prior", "none_here.onnx"], "does not exist"),
        (["--rig", "sim-wire", "--clips", "a", "--graph", "foo:=1"], "no argument of real_track named 'foo'"),
        (["--rig", "sim-wire", "--clips", "a", "--graph", "rig:=sim"], "--graph does not take rig"),
        (["--rig", "sim-wire", "--clips", "a", "--baseline", "none_here.onnx"], "does not exist"),
        (["--rig", "sim-wire", "--clips", "duck_lift", "--baseline", "none"], "--split train"),
        (["--scores"], "--scores, --policies and --report belong to --controller"),
        (["--controller", "planned", "--physics", "1"], "--physics belongs to a Demonstration"),
    ],
)
def test_the_command_names_what_does_not_go_together(words, said, capsys, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    assert main(["evaluate", *words]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()  # refused before a campaign begins


def test_prompts_are_on_stderr_and_the_json_alone_on_the_last_line(shipped, rig, tmp_path, cache, monkeypatch, capsys):
    pytest.importorskip("rclpy")
    save_object(load_setup(shipped.reference).asset)
    lift = save(shipped, tmp_path / "lift")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))  # and then nobody answers
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    words = ["evaluate", "--rig", "sim-wire", "--clips", str(lift), "--repeats", "2", "--kinds", "result", "--json"]
    assert main([*words, "--campaign", str(tmp_path / "c")]) in (0, None)
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["left"] == 1 and found["trials"][0]["level"] == 3
    assert "Enter starts the trial" in shown.err and "1 trial is left" in shown.err
    assert "PPO without supervision has not been trained" in " ".join(shown.err.split())


@pytest.mark.ros
def test_a_rehearsal_on_the_wire_fills_a_table(shipped, tmp_path, cache, ros_domain):
    """The shipped lift, replayed through the real drivers beside a policy's tracking result; the person answers Enter,
    and leaves before the second one is counted, which the second call goes on with."""
    setup = load_setup(shipped.reference)
    save_object(setup.asset)
    lift = save(shipped, tmp_path / "lift")
    policy = write_policy(tmp_path / "ppo", shipped.reference, setup.physics)
    words = ["evaluate", "--rig", "sim-wire", "--clips", str(lift), "--kinds", "result", "--repeats", "1"]
    words += ["--baseline", str(policy), "--campaign", str(tmp_path / "c"), "--json"]

    def run(answers: str) -> tuple[dict, str]:
        command = [sys.executable, "-m", "dexhot", *words]
        done = subprocess.run(command, input=answers, capture_output=True, text=True, timeout=240, env=os.environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1]), done.stderr

    found, _ = run("\n\nq\n")
    assert found["left"] == 1 and [t["method"] for t in found["trials"]] == [OURS]
    found, shown = run("\n\n")
    assert found["left"] == 0 and [t["method"] for t in found["trials"]] == [OURS, BASELINE]
    assert found["trials"][0]["level"] == 3 and found["trials"][0]["strict"]
    [(title, methods)] = found["tables"].items()
    assert title == "replayed tracking results, parametric" and methods[OURS]["adaptivity"] == [1.0, 1.0, 1.0]
    assert "replayed tracking results" in shown and "level 3 counts to the clip's end" in shown
