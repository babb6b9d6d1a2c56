"""Controllers on clips: what a row holds, what counts as perturbed, and the summary."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import evaluate_tables, main
from dexhot.cli.output import console
from dexhot.control.policy import make_card
from dexhot.control.sampling import SamplingPlanner, base_actions
from dexhot.data.files import save
from dexhot.data.types import Demonstration
from dexhot.datasets import unseen_halves
from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.evaluation import controllers
from dexhot.evaluation.clips import clip_reference, clips_named
from dexhot.evaluation.controllers import evaluate_clip, evaluate_file, evaluate_reference
from dexhot.evaluation.motions import MOTIONS, PlayedMotion
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.score import score_on_arm
from dexhot.evaluation.summary import _scores, interval, summarise
from dexhot.evaluation.trial_worlds import motion_worlds
from dexhot.evaluation.verdicts import ERRORS, judge_motion
from dexhot.metrics.rollout import touched
from dexhot.metrics.success import SUCCESSES
from dexhot.objects.library import save_object
from dexhot.planning.prior import unfitted
from dexhot.planning.structured import StructuredPlans
from dexhot.retargeting.grasp_sequence import is_in_hand
from dexhot.retargeting.placement import moved, place
from dexhot.rollouts.floating import floating_simulator
from dexhot.rollouts.network import run_network
from dexhot.simulation.setup import physics_of
from tiny_policy import write_policy

OPTIONS = EvaluationOptions(rollouts=16, trials=3, prior="none")


@pytest.fixture(autouse=True)
def shared_solution(retarget_once, monkeypatch):
    """Clips are retargeted as always, but what is alike once for all tests."""
    monkeypatch.setattr("dexhot.evaluation.clips.retarget", retarget_once)


@pytest.fixture
def judged(brief_lift, lift_setup):
    simulator = floating_simulator(brief_lift, lift_setup)

    def judge(name: str, trials: int = 3):
        motion = MOTIONS[name](brief_lift, lift_setup, OPTIONS)
        return judge_motion(brief_lift, motion, simulator, lift_setup, trials)

    return judge


def test_the_frozen_hand_never_succeeds_strictly_and_planned_does(judged):
    frozen, planned = judged("frozen"), judged("planned")
    assert not frozen["success_strict"] and frozen["perturbed"] == 0.0 and frozen["rollouts"] == 0
    assert planned["success_strict"] and planned["perturbed"] >= 2 / 3 and 0 < planned["rollouts"] <= 16
    assert planned["seconds_cpu"] > 0 and planned["expected"] is not None


def test_perturbed_worlds_are_the_same_for_every_controller(judged):
    assert judged("replay") == judged("replay")


def test_object_relative_replay_follows_the_object(lift_reference, lift_setup):
    """The baselines differ by this alone."""
    kinematic, replay = (MOTIONS[name](lift_reference, lift_setup, OPTIONS) for name in ("kinematic", "replay"))
    np.testing.assert_array_equal(kinematic.targets, replay.targets)
    np.testing.assert_array_equal(replay.targets, base_actions(lift_reference, lift_setup.physics))
    assert replay.relative and not kinematic.relative and isinstance(replay, PlayedMotion)


def test_the_constant_is_the_mean_of_a_fitted_prior_and_left_out_without_one(lift_reference, lift_setup, monkeypatch):
    row = evaluate_reference(
        lift_reference, lift_setup, replace(OPTIONS, controller="constant", baselines=(), trials=0)
    )
    assert list(row) == ["frozen", "replay", "absent"] and "no fitted prior" in row["absent"]["constant"]
    none = unfitted(16)
    fitted = replace(none, mean=np.full(len(none.mean), 1e-3))
    monkeypatch.setattr("dexhot.evaluation.motions.load_prior", lambda path, reference, asset: fitted)
    constant = MOTIONS["constant"](lift_reference, lift_setup, OPTIONS)
    space = StructuredPlans(lift_reference, lift_setup.physics, lift_setup.asset.symmetry.center)
    np.testing.assert_array_equal(constant.targets, space.targets(fitted.mean)[0])


SPLITS = {"train": ["a"], "test_unseen_object": ["b"], "test_unseen_clip": ["c"], "quick": ["a"]}


def test_test_is_both_test_splits_and_no_clip_of_another():
    assert clips_named("test", None, SPLITS) == ["b", "c"] and clips_named("test", ["c"], SPLITS) == ["c"]
    with pytest.raises(NotFoundError, match="clip of the test split"):
        clips_named("test", ["a"], SPLITS)
    with pytest.raises(DexhotError, match="has no clips"):
        clips_named("test", None, {"train": ["a"]})


def row(clip: str, replay: float, planned: float):
    def of(fraction: float):
        names = ("success_strict", "success_10cm_20deg", "success_10cm_40deg")
        errors = {"T_err_cm": 1.0, "R_err_rad": 0.1, "seconds_cpu": 2.0, "rollouts": 10, "refused": ""}
        return dict.fromkeys(names, fraction > 0.5) | errors | {"perturbed": fraction}

    return {"clip": clip, "frames": 100, "replay": of(replay), "planned": of(planned)}


def test_the_margin_over_replay_is_paired_by_clip():
    found = summarise([row("b", 0.2, 0.6), row("c", 0.6, 1.0)])["planned"]
    assert found["over_replay"] == pytest.approx(0.4) and found["over_replay_interval"] == pytest.approx([0.4, 0.4])
    assert found["perturbed"] == pytest.approx(0.8) and "n_unseen_objects" not in found
    assert found["n"] == 2 and found["success_strict"] == 1.0


def test_unseen_objects_and_unseen_clips_are_apart(capsys):
    """With how many they are; means of a few clips have no interval, and what was not run says so."""
    rows = [row("b", 0.2, 0.6), *(row(f"c{k}", 0.6, 0.2 * k) for k in range(5))]
    halves = unseen_halves(SPLITS | {"test_unseen_clip": [f"c{k}" for k in range(5)]})
    rows[0]["planned"]["success_panel"] = True
    figures = summarise(rows, halves)
    found = figures["planned"]
    assert found["n_unseen_objects"] == 1 and found["n_unseen_clips"] == 5
    assert found["perturbed_unseen_objects"] == 0.6 and found["perturbed_unseen_clips"] == pytest.approx(0.4)
    assert found["over_replay_unseen_clips"] == pytest.approx(-0.2)
    assert found["success_strict_unseen_clips"] == pytest.approx(0.4)
    assert found["success_panel_unseen_objects"] == 1.0 and "success_panel_unseen_clips" not in found
    assert "perturbed_unseen_objects_interval" not in found and len(found["perturbed_unseen_clips_interval"]) == 2
    evaluate_tables.show_figures({"planned": found}, "test")
    shown = re.sub(r"[\s│]+", " ", capsys.readouterr().err)
    assert "perturbed (strict), unseen objects 0.60 of 1" in shown
    assert re.search(r"perturbed \(strict\), unseen clips 0.40 \(\S+ to \S+\) of 5", shown)
    assert "panel, unseen objects 1.00 of 1" in shown and "panel not run" in shown
    assert unseen_halves({"train": ["a"], "test": ["b"]}) == {}


def test_clips_of_in_hand_motion_have_a_column_of_their_own():
    rows = [row("b", 0.2, 0.6) | {"in_hand": True}, row("c", 0.6, 1.0) | {"in_hand": False}]
    found = summarise(rows)["planned"]
    assert found["perturbed_in_hand"] == pytest.approx(0.6) and found["n_in_hand"] == 1
    assert found["success_strict_in_hand"] == 1.0 and "perturbed_in_hand_interval" not in found
    assert "perturbed_in_hand" not in summarise([row("b", 0.2, 0.6) | {"in_hand": False}])["planned"]


@pytest.mark.parametrize("plain", [False, True])
def test_the_in_hand_clips_of_every_dataset_are_named(plain):
    """TACO's by how far the palm turns, as GRAB's; generated ones, which turn less, by what they were generated as."""
    options = replace(OPTIONS, controller="replay", baselines=(), trials=0, dataset="parametric", plain=plain)
    clips = [evaluate_clip((clip, options)) for clip in ("inhand-box-900", "lift-box-900")]
    assert [clip["in_hand"] for clip in clips] == [True, False]
    assert clips[0]["in_hand_deg"] > 9.0 > clips[1]["in_hand_deg"]
    assert summarise(clips)["replay"]["n_in_hand"] == 1


@pytest.mark.parametrize(("turned", "counted"), [(29.0, False), (31.0, True), (None, False)])
def test_a_clip_of_people_is_in_hand_where_the_palm_turns_about_the_object(turned, counted, lift_reference):
    provenance = {"in_hand_deg": turned, "trajectory": {"dataset": "TACO"}}
    assert is_in_hand(replace(lift_reference, provenance=provenance)) == counted


def test_the_arm_counts_the_placed_clips_and_those_of_them_that_are_strict_on_the_hand():
    placed = [row(clip, 0.0, planned) for clip, planned in (("b", 1.0), ("c", 1.0), ("d", 0.0))]
    for clip, strict in zip(placed, (True, False, True)):
        clip["planned"]["arm_strict"] = strict
    found = summarise([*placed, row("not placed", 0.0, 1.0)])
    planned = found["planned"]
    assert planned["n"] == 4 and planned["n_placed"] == 3 and planned["arm_strict"] == pytest.approx(2 / 3)
    assert planned["n_placed_strict"] == 2 and planned["arm_strict_of_strict"] == 0.5
    assert "n_placed" not in found["replay"]


def test_no_rows_are_an_error():
    with pytest.raises(DexhotError, match="no clip"):
        summarise([])


def test_the_interval_is_of_the_mean_over_clips():
    low, high = interval(np.r_[np.zeros(50), np.ones(50)])
    assert 0.37 < low < 0.44 and 0.56 < high < 0.63


def test_the_command_names_what_does_not_go_together(capsys, cache):
    assert main(["evaluate"]) == 1
    assert "--controller planned" in capsys.readouterr().err
    assert main(["evaluate", "--controller", "planned", "--out", "x.npz"]) == 1
    assert "takes no FILE beside it" in capsys.readouterr().err
    assert main(["evaluate", "network.onnx", "--arm"]) == 1
    assert "judged on the floating hand" in capsys.readouterr().err
    assert main(["evaluate", "--controller", "planned", "--clips", "nonsense"]) == 1
    assert "clip of the test split" in capsys.readouterr().err


def test_errors_and_successes_are_those_of_the_judge_and_over_the_worlds(judged):
    row = judged("replay", 3)
    assert set(row["trials"]) == {*ERRORS, *SUCCESSES} and row["perturbed"] == row["trials"]["success_strict"]
    assert row["T_err_cm"] >= 0 and row["tick_steps"] == row["steps"] == 0


def test_each_row_tells_what_it_simulated(judged, brief_lift):
    planned, subsequences = judged("planned", 0), judged("subsequences", 0)
    assert 0 < planned["steps"] <= planned["rollouts"] * (len(brief_lift.q) - 1) and planned["tries"] >= 1
    assert subsequences["steps"] > 5 * 40 * 4 * 9 and subsequences["seconds_cpu"] > 0  # ten frames, five times
    assert planned["perturbed"] is None and planned["trials"] is None


def test_subsequences_replan_each_ten_frames_from_where_they_are(brief_lift, lift_setup, monkeypatch):
    asked = []
    monkeypatch.setattr(SamplingPlanner, "plan", lambda self, state, t: asked.append((t, state)))
    MOTIONS["subsequences"](brief_lift, lift_setup, OPTIONS)
    assert [t for t, _ in asked] == list(range(0, len(brief_lift.q) - 1, 10))
    assert not np.array_equal(asked[0][1], asked[1][1])


def test_a_demonstration_is_played_open_loop_and_tells_its_mining(brief_lift, lift_setup, tmp_path):
    actions = base_actions(brief_lift, lift_setup.physics) + 0.01
    made = {"seconds_cpu": 12.0, "control_steps": 3400}
    mined = Demonstration("d", brief_lift, actions, actions, brief_lift.object_pose, "2", {}, made, "leap")
    options = replace(OPTIONS, demonstrations=str(tmp_path))
    assert "no demonstration" in MOTIONS["demonstration"](brief_lift, lift_setup, options).absent
    save(mined, tmp_path / "lift-box-0")
    motion = MOTIONS["demonstration"](brief_lift, lift_setup, options)
    np.testing.assert_array_equal(motion.targets, actions)
    assert not motion.relative and (motion.seconds_cpu, motion.steps) == (12.0, 3400)
    playback = MOTIONS["playback"](brief_lift, lift_setup, options)
    np.testing.assert_array_equal(playback.targets, actions)
    assert playback.relative and (playback.seconds_cpu, playback.steps) == (12.0, 3400)
    there = moved(brief_lift, np.r_[0.3, 0.1, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)])  # as mining places it
    actions = np.concatenate([there.q[:, :3] + 0.01, brief_lift.q[:, 3:]], axis=1)
    save(replace(mined, reference=there, actions=actions), tmp_path / "lift-box-0")
    off = MOTIONS["demonstration"](brief_lift, lift_setup, options).targets[:, :3] - brief_lift.q[:, :3]
    np.testing.assert_allclose(np.linalg.norm(off, axis=1), 0.01 * np.sqrt(3), atol=1e-9)
    save(replace(mined, reference=place(brief_lift)), tmp_path / "lift-box-0")  # the palm on the arm's path
    assert not MOTIONS["demonstration"](brief_lift, lift_setup, options).absent
    aside = replace(brief_lift, q=brief_lift.q + np.eye(brief_lift.q.shape[1])[0] * 0.01)
    save(replace(mined, reference=aside), tmp_path / "lift-box-0")
    assert "of another reference" in MOTIONS["demonstration"](brief_lift, lift_setup, options).absent
    bent = replace(brief_lift, q=brief_lift.q + np.eye(brief_lift.q.shape[1])[-1] * 0.01)
    save(replace(mined, reference=bent), tmp_path / "lift-box-0")
    assert "of another reference" in MOTIONS["demonstration"](brief_lift, lift_setup, options).absent
    lifted = replace(brief_lift, object_pose=brief_lift.object_pose + np.eye(7)[2] * 0.01)
    save(replace(mined, reference=lifted), tmp_path / "lift-box-0")
    assert "of another reference" in MOTIONS["demonstration"](brief_lift, lift_setup, options).absent


def test_a_row_without_a_demonstration_is_left_out_and_frozen_and_replay_never(brief_lift, lift_setup):
    rows = evaluate_reference(brief_lift, lift_setup, replace(OPTIONS, controller="demonstration", baselines=()))
    assert list(rows) == ["frozen", "replay", "absent"] and "no demonstration" in rows["absent"]["demonstration"]
    assert set(summarise([{"clip": "a", **rows}])) == {"frozen", "replay"}


def test_a_policy_is_judged_in_the_same_worlds_and_a_stopped_one_never_succeeds(brief_lift, lift_setup, tmp_path):
    idle = write_policy(tmp_path / "idle", brief_lift, lift_setup.physics, provenance={"control_steps": 7})
    unsafe = write_policy(tmp_path / "unsafe", brief_lift, lift_setup.physics, bias=0.5)
    options = replace(OPTIONS, controller="policy", baselines=())
    rows = [evaluate_reference(brief_lift, lift_setup, replace(options, policy=str(p))) for p in (idle, unsafe)]
    same = [
        name
        for name in ("T_err_cm", "perturbed", "success_strict")
        if rows[0]["policy"][name] == rows[0]["replay"][name]
    ]
    assert len(same) == 3 and rows[0]["policy"]["success_strict"]
    assert rows[0]["policy"]["training_steps"] == 7 and rows[0]["policy"]["tick_ms"] > 0
    stopped = rows[1]["policy"]
    assert not stopped["success_strict"] and stopped["perturbed"] == 0.0 and "jumps" in stopped["refused"]


def test_a_success_in_which_the_network_was_stopped_does_not_count(brief_lift, lift_setup, tmp_path, monkeypatch):
    idle = write_policy(tmp_path / "idle", brief_lift, lift_setup.physics)

    def stopped(*arguments, **named):
        run = run_network(*arguments, **named)
        run.unsafe[0] = "its output jumped in the last frame"
        return run

    monkeypatch.setattr("dexhot.evaluation.trial_worlds.run_network", stopped)
    options = replace(OPTIONS, controller="policy", baselines=(), policy=str(idle), trials=1)
    row = evaluate_reference(brief_lift, lift_setup, options)["policy"]
    assert not row["success_strict"] and not row["success_10cm_40deg"] and row["perturbed"] == 1.0


def test_evaluate_clip_retargets_the_clip_and_has_every_baseline(monkeypatch, lift, lift_reference):
    monkeypatch.setattr("dexhot.evaluation.clips.human_clip", lambda name: lift if name == "grab/a" else None)
    row = evaluate_clip(("a", replace(OPTIONS, trials=1)))
    assert row["clip"] == "a" and row["frames"] == len(lift_reference.q)
    assert list(row)[5:] == ["frozen", "replay", "kinematic", "planned", "absent"] and row["in_hand_deg"] < 30.0
    assert row["planned"]["rollouts"] <= 16


def test_each_row_names_the_kind_of_its_reference(monkeypatch, lift):
    monkeypatch.setattr("dexhot.evaluation.clips.human_clip", lambda name: lift)
    options = replace(OPTIONS, controller="replay", baselines=(), trials=0)
    for plain, kind in ((False, "contacts"), (True, "plain")):
        row = evaluate_clip(("a", replace(options, plain=plain)))
        assert row["reference_kind"] == kind and kind not in summarise([row])


def test_on_the_arm_a_clip_is_placed_in_the_arms_time_and_what_follows_the_object_is_played_there(
    monkeypatch, lift, placed_lift
):
    monkeypatch.setattr("dexhot.evaluation.clips.human_clip", lambda name: lift)
    played = []

    def judged(demonstration, setup):
        played.append(demonstration)
        return score_on_arm(demonstration, setup)

    monkeypatch.setattr("dexhot.evaluation.verdicts.score_on_arm", judged)
    options = replace(OPTIONS, controller="replay", baselines=("kinematic",), trials=0, arm=True)
    row = evaluate_clip(("a", options))
    assert isinstance(row["replay"]["arm_strict"], bool) and "arm_strict" not in row["kinematic"]
    assert [len(d.reference.arm_frames) for d in played] == [0]  # already in the arm's time
    assert row["frames"] == len(played[0].reference.q) == len(placed_lift.arm_frames)
    assert "arm_strict" not in evaluate_clip(("a", replace(options, arm=False)))["replay"]


def test_a_clip_that_is_not_placed_is_not_tried_on_the_arm(brief_lift, lift_setup, monkeypatch):
    monkeypatch.setattr(controllers, "strict_on_arm", lambda *given: pytest.fail("tried on the arm"))
    options = EvaluationOptions("kinematic", 0, baselines=(), arm=True)
    assert "arm_strict" not in evaluate_reference(brief_lift, lift_setup, options)["replay"]


def test_a_file_is_evaluated_as_the_graph_plays_it_with_its_own_actions(brief_lift, lift_object, cache, tmp_path):
    save_object(lift_object)
    slowed = replace(brief_lift, arm_frames=np.linspace(0, len(brief_lift.q) - 1, 60))
    mined = Demonstration("d", slowed, slowed.target, slowed.q, slowed.object_pose, "2", {}, {}, "leap")
    row = evaluate_file(save(mined, tmp_path / "d"), replace(OPTIONS, controller="kinematic", baselines=(), trials=1))
    assert row["frames"] == 60 and {"kinematic", "demonstration", "playback"} <= set(row)
    with pytest.raises(FileFormatError, match="give a Reference or a Demonstration"):
        evaluate_file(save(lift_object_card(slowed), tmp_path / "card"), OPTIONS)


def lift_object_card(reference):
    return make_card("p", reference, physics_of(reference), ["gravity"])


def test_means_and_medians_have_intervals_over_clips():
    rows = [row(name, 0.0, fraction) for name, fraction in zip("abc", (0.0, 0.6, 0.9))]
    for k, r in enumerate(rows):
        r["planned"] |= {"T_err_cm": 1.0 + k**2, "hold_rate": None if k else 0.5}
    found = summarise(rows)["planned"]
    assert found["T_err_cm_p50"] == 2.0 and found["T_err_cm_mean"] == pytest.approx(8 / 3)
    low, high = found["T_err_cm_interval"]
    assert low < 8 / 3 < high
    assert found["hold_rate_mean"] == 0.5  # of the clips that have one
    assert found["success_strict"] == pytest.approx(2 / 3) and found["success_strict_interval"][1] == 1.0


def test_a_controller_that_is_in_some_rows_only_is_counted_there():
    rows = [row("b", 0.2, 0.6), row("c", 0.6, 1.0)]
    rows[0]["demonstration"] = rows[0]["planned"]
    assert summarise(rows)["demonstration"]["n"] == 1


def test_results_with_and_without_simulation_are_in_no_common_table(capsys):
    rows = [row("b", 0.2, 0.6)]
    rows[0]["replay"]["seconds_cpu"] = 0.0
    rows[0]["mpc"] = rows[0]["replay"] | {"tick_steps": 600.0}
    rows[0]["planned"]["steps"] = 0  # a mined bare replay, which took seconds to find
    evaluate_tables.show_figures(summarise(rows), "test")
    first, rest = capsys.readouterr().err.split("simulating before the start")
    second, third = rest.split("simulating at each tick")
    assert "without simulation at run time" in first
    assert [["replay:" in part, "planned:" in part, "mpc:" in part] for part in (first, second, third)] == np.eye(
        3, dtype=bool
    ).tolist()


def test_an_unknown_baseline_is_named(capsys, cache):
    assert main(["evaluate", "--controller", "planned", "--baselines", "magic"]) == 1
    assert "baseline named 'magic'" in capsys.readouterr().err
    assert main(["evaluate", "nothing.onnx"]) == 1
    assert "nothing.onnx does not exist" in capsys.readouterr().err


def test_scores_are_on_disturbed_references_judged_against_the_clip(brief_lift, lift_setup, monkeypatch):
    """A replay of the noisy copy has a small error against the copy, whatever its success against the clip."""
    monkeypatch.setattr(
        "dexhot.evaluation.controllers.difficulty", lambda *given: {"s_smooth": 1.0, "v_contact": 2.0, "s_shape": 3.0}
    )
    judged = []
    monkeypatch.setattr(
        "dexhot.evaluation.controllers.reference_quality", lambda copy, simulator: judged.append(copy) or 0.5
    )
    shift = np.r_[0.0, 0.0, 0.2, np.zeros(4)]

    def higher(reference, hand, kind):  # an object that no hand has lifted that high
        rise = (1.0 if kind == "noisy" else 2.0) * shift
        return replace(reference, object_pose=reference.object_pose + rise * (np.arange(len(reference.q)) > 0)[:, None])

    monkeypatch.setattr(controllers, "disturbed", higher)
    options = replace(OPTIONS, controller="kinematic", baselines=(), trials=1, scores=True)
    rows = evaluate_reference(brief_lift, lift_setup, options)
    row = rows["kinematic"]
    assert row["noisy"]["success_strict"] and row["noisy"]["perturbed"] == row["perturbed"]
    assert row["noisy"]["tracking_error"] == pytest.approx(row["tracking_error"] + 0.2, abs=0.01)
    assert row["unreasonable"]["tracking_error"] == pytest.approx(row["tracking_error"] + 0.4, abs=0.01)
    assert row["noisy"]["quality"] == 0.5 and row["unreasonable"]["quality"] is None and len(judged) == 1
    found = summarise([{"clip": "a", **rows}])["kinematic"]
    assert found["robustness_score"] == pytest.approx(0.5 / row["noisy"]["tracking_error"])
    assert found["unreasonable_success_strict"] == 1.0 and found["hard_to_track"] > 0
    assert "difficulty" not in summarise([{"clip": "a", **rows}])


def test_scores_are_means_over_clips_of_what_was_tried():
    """The hard-to-track score too, an inverse; the quality of noisy references alone; no worlds, no figure of them."""
    disturbed = {"success_strict": True, "perturbed": None, "tracking_error": 0.5}
    rows = [
        {"tracking_error": error, "noisy": disturbed | {"quality": 0.25}, "unreasonable": disturbed | {"quality": None}}
        for error in (0.5, 0.1)
    ]
    assert _scores(rows) == pytest.approx(
        {
            "tracking_error": 0.3,
            "hard_to_track": 6.0,
            "noisy_success_strict": 1.0,
            "robustness_score": 0.5,
            "unreasonable_success_strict": 1.0,
        }
    )


def test_the_command_prints_the_scores_and_the_gap_to_the_train_split(capsys, monkeypatch, cache):
    monkeypatch.setattr("dexhot.evaluation.clips.splits", lambda name: {"train": ["t"], "test_unseen_object": ["b"]})
    monkeypatch.setattr(console, "width", 200)
    seen = {}

    def run_jobs(function, jobs, workers):
        seen[function.__name__] = list(jobs)
        for job in jobs:
            if function.__name__ == "clip_task":
                yield job, (job, "points")
                continue
            errors = {"tracking_error": 0.2, "success_panel": True, "panel": {"arm": True}, "placed": True}
            disturbances = {k: {"success_strict": True, "perturbed": 0.5, "tracking_error": 0.4, "quality": 1.0}
                            for k in ("noisy", "unreasonable")}  # fmt: skip
            made = row(job[0], 0.2, 0.6)
            made["frozen"] = made["replay"] | {"success_10cm_20deg": job[0] == "b"}
            for name in ("replay", "planned", "frozen"):
                made[name] |= errors | disturbances
            yield job, made | {"difficulty": {"s_smooth": 1.0, "v_contact": 2.0, "s_shape": 3.0}}

    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", run_jobs)
    monkeypatch.setattr("dexhot.datasets.human_clip.require_clips", lambda names: None)
    monkeypatch.setattr("dexhot.evaluation.split_gap.task_gap", lambda tasks, training: 0.6)
    assert main(["evaluate", "--controller", "planned", "--scores", "--panel", "--json"]) == 0
    shown = capsys.readouterr()
    assert (
        [clip for clip, _ in seen["clip_task"]] == ["b", "t"]
        and seen["evaluate_kept"][0][1].scores
        and seen["evaluate_kept"][0][1].panel
    )
    for words in ("generalisation score", "robustness score", "s_shape 3.000", "nearest train clip", "panel"):
        assert words in shown.err
    assert "the frozen hand passes 10 cm, 20 deg on 100 % of the clips" in shown.err
    found = json.loads(shown.out.strip().splitlines()[-1])
    assert found["gap"] == 0.6 and found["controllers"]["planned"]["generalization_score"] == pytest.approx(3.0)
    assert found["controllers"]["planned"]["robustness_score"] == pytest.approx(2.5)


def test_clips_that_are_not_in_the_cache_are_one_error(capsys, cache):
    assert main(["evaluate", "--controller", "planned"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("alarmclock_pass1") == said.count("dexhot datasets get grab") == 1
    assert "29 of 29 clips are not in the cache" in said


def test_an_empty_split_is_one_clear_error(capsys, monkeypatch, cache):
    empty = {"train": ["a"], "test_unseen_object": []}
    for named, known in ((empty, "the split 'test' has no clips; those that have: train"), ({}, "dataset with splits")):
        monkeypatch.setattr("dexhot.evaluation.clips.splits", lambda name, named=named: named)
        assert main(["evaluate", "--controller", "planned"]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert known in said and "Traceback" not in said


def test_feedback_is_judged_on_the_plan_of_planned(brief_lift, lift_setup, tmp_path):
    given = {"baseline": "planned", "provenance": {"control_steps": 7}}
    idle = write_policy(tmp_path / "idle", brief_lift, lift_setup.physics, **given)
    options = replace(OPTIONS, baselines=(), feedback=str(idle), trials=2)
    rows = evaluate_reference(brief_lift, lift_setup, options)
    planned, feedback = rows["planned"], rows["feedback"]
    for name in (*ERRORS, "success_strict", "perturbed", "expected", "rollouts", "steps", "seconds_cpu"):
        assert feedback[name] == planned[name], name
    assert feedback["tick_ms"] > 0 == planned["tick_ms"] and feedback["training_steps"] == 7
    unsafe = write_policy(tmp_path / "unsafe", brief_lift, lift_setup.physics, bias=0.5, baseline="planned")
    rows = evaluate_reference(brief_lift, lift_setup, replace(options, feedback=str(unsafe)))
    assert rows["feedback"]["perturbed"] == 0.0 and "jumps" in rows["feedback"]["refused"]
    assert main(["evaluate", "--controller", "replay", "--feedback", str(idle)]) == 1


def test_a_thousand_worlds_are_judged_a_few_at_a_time_and_the_same(judged, monkeypatch):
    whole = judged("replay", 5)
    monkeypatch.setattr("dexhot.evaluation.trial_worlds.TOGETHER", 2)
    assert judged("replay", 5) == whole and whole["envs"] == 5


def test_policies_are_rows_under_their_names(brief_lift, lift_setup, tmp_path, capsys, cache):
    files = [
        write_policy(tmp_path / name, brief_lift, lift_setup.physics, bias, provenance={"control_steps": k})
        for k, (name, bias) in enumerate((("ppo", 0.0), ("omnigrasp", 0.5)))
    ]
    named = tuple((path.stem, str(path)) for path in files)
    options = replace(OPTIONS, controller="replay", baselines=(), policies=named, trials=1)
    rows = evaluate_reference(brief_lift, lift_setup, options)
    assert rows["ppo"]["perturbed"] == rows["replay"]["perturbed"] and rows["omnigrasp"]["perturbed"] == 0.0
    assert [summarise([{"clip": "a", **rows}])[name]["training_steps"] for name, _ in named] == [0, 1]
    command = ["evaluate", "--controller", "replay", "--policies"]
    assert main([*command, "ppo"]) == 1 and "NAME=FILE" in capsys.readouterr().err
    assert main([*command, f"replay={files[0]}"]) == 1 and "names another row" in capsys.readouterr().err


def test_a_clip_is_of_the_dataset_the_hand_and_the_servo_profile_that_were_asked_for(monkeypatch, lift):
    asked = []
    monkeypatch.setattr("dexhot.evaluation.clips.human_clip", lambda name: asked.append(name) or lift)
    options = replace(OPTIONS, dataset="taco", hand="allegro_right", profile="dextrack")
    reference, setup = clip_reference("a", options)
    assert asked == ["taco/a"] and reference.hand == setup.hand.name == "allegro_right"
    assert setup.physics.servo == "dextrack" and reference.provenance["servo"] == "dextrack"


def test_mpc_tracks_in_the_same_worlds_and_tells_what_it_simulates_per_tick(brief_lift, lift_setup):
    options = replace(OPTIONS, controller="mpc", baselines=(), trials=1)
    row = evaluate_reference(brief_lift, lift_setup, options)["mpc"]
    assert row["tick_steps"] > 50 and row["tick_ms"] > 0 and row["steps"] == 0 and row["envs"] == 1
    assert row["success_strict"] and row["perturbed"] == 1.0
    found = summarise([{"clip": "a", "replay": row, "mpc": row}])["mpc"]
    assert found["tick_steps_mean"] == row["tick_steps"]


def test_a_diverged_world_of_mpc_is_a_failure(brief_lift, lift_setup, monkeypatch):
    def diverges(controller, simulator, start, model):
        controller.start(None)
        raise DexhotError("diverged")

    monkeypatch.setattr("dexhot.evaluation.trial_worlds.run_controller", diverges)
    options = replace(OPTIONS, controller="mpc", baselines=(), trials=1)
    row = evaluate_reference(brief_lift, lift_setup, options)["mpc"]
    assert not row["success_strict"] and not row["success_10cm_40deg"] and row["perturbed"] == 0.0


def test_contact_is_the_fraction_of_planned_contacts_that_are_touched(brief_lift, lift_setup, judged):
    """The frozen hand touches none of them; one that lifts touches most."""
    frozen, planned = judged("frozen"), judged("planned")
    assert frozen["contact"] < 0.05 and planned["contact"] > 0.5
    simulator = floating_simulator(brief_lift, lift_setup)
    motion = MOTIONS["planned"](brief_lift, lift_setup, OPTIONS)
    rollout, _ = next(motion_worlds(brief_lift, motion, simulator, lift_setup, 0))
    wanted = brief_lift.contact > 0.5
    assert planned["contact"] == pytest.approx((rollout.tip_contact & wanted).sum() / wanted.sum())
    bare = replace(rollout, reference=replace(brief_lift, contact=np.zeros_like(brief_lift.contact)))
    assert touched(bare) is None
