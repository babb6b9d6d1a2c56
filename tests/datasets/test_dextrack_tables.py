"""`dexhot bench dextrack` on datasets imported from small files of the published layouts."""

import importlib
import json
import shutil
from dataclasses import asdict, replace

import pytest
import tyro
from layouts import write_grab, write_taco

from dexhot.cli import main
from dexhot.datasets.mano_imports import get_grab_full, get_taco
from dexhot.errors import DexhotError, FileFormatError
from dexhot.evaluation.campaign import Trial
from dexhot.evaluation.clips import clip_reference, dataset_splits
from dexhot.evaluation.options import EvaluationOptions
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.simulation.scans import make_object
from dexhot_bench import dextrack
from dexhot_bench.dextrack_missing import by_row, not_run
from dexhot_bench.dextrack_paper import FIGURES, TABLE_6, TABLE_10, TABLE_11, figures_row
from dexhot_train.learners.baselines import baseline_folder
from dexhot_train.learners.folder import took
from tiny_policy import write_policy


def one_piece(name, vertices, faces, **options):
    return make_object(name, vertices, faces, pieces=[(vertices, faces)], **options)


def here(function, jobs, workers=0, executor="process"):
    """As run_jobs, in this process."""
    for job in jobs:
        try:
            yield job, function(job)
        except Exception as e:
            yield job, e


@pytest.fixture
def imported(cache, tmp_path, monkeypatch):
    """Both datasets in the cache. Their hand is nobody's and holds nothing: retargeted without contacts."""
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    write_grab(tmp_path / "GRAB")
    write_grab(tmp_path / "GRAB", subject="s4", name="cubesmall_pass_1")
    get_grab_full(tmp_path / "GRAB", one_piece, accept_licence=True)
    write_taco(tmp_path / "TACO")
    get_taco(tmp_path / "TACO", one_piece, accept_licence=True, repair=False)
    without = lambda clip, hand, asset, o: retarget(clip, hand, asset, RetargetOptions(False, profile=o.profile))  # noqa: E731
    monkeypatch.setattr("dexhot.evaluation.clips.retarget", without)
    monkeypatch.setattr(dextrack, "run_jobs", here)
    return tmp_path


def write_flywheel(folder, ways=None, clips=("grab/a",), policies=(), plain=False):
    """As `claim` and the stages leave it; `policies`: where in it is which file."""
    options = {"sizes": [1, 1]} | ({"ways": ways} if ways else {}) | ({"plain": True} if plain else {})
    folder.mkdir(parents=True, exist_ok=True)
    told = {"settings": {"options": options, "clips": list(clips)}, "command": "dexhot train flywheel grab --sizes 1 1"}
    (folder / "config.json").write_text(json.dumps(told))
    for where, policy in dict(policies).items():
        (folder / where).mkdir(parents=True)
        for suffix in (".onnx", ".json"):
            shutil.copy(policy.with_suffix(suffix), folder / where / f"policy{suffix}")
    return folder


def test_table_1_has_the_papers_hand_and_servo_counts_and_not_run(imported, capsys):
    assert main(["bench", "dextrack", "--dataset", "grab-full", "--table", "1", "--envs", "2", "--json"]) == 0
    shown = capsys.readouterr()
    line = json.loads(shown.out.strip().splitlines()[-1])
    rows = line["tables"]["1"]["grab_full"]
    assert line["hand"] == "allegro_right" and line["servo"] == "dextrack" and not line["failed"]
    replay, frozen, dgrasp = rows["replay"], rows["frozen"], rows["dgrasp"]
    assert replay["clips"] == 1 and replay["envs"] == 2 and not replay["simulates"]  # s1's clip alone
    assert dgrasp["simulates"] and rows["planned"]["simulates"] and set(FIGURES) <= set(frozen)
    made = line["not_run"]["table 1, ppo_tracking"]
    assert made == "dexhot train baseline tracking --data grab-full --hand allegro_right --profile dextrack"
    assert set(line["not_run"]) == {f"table 1, {name}" for name, row in rows.items() if row is None}
    assert list(line["printed"])[-1] == "Not run" and "not run" not in line["metrics"]
    assert rows["ours"] is None and rows["ppo_tracking"] is None and line["metrics"]["ours_success_10cm_20deg"] is None
    titles = [title for title in line["printed"] if title != "Not run"]
    assert len(titles) == 2 and "without simulation" in titles[0] and "simulating" in titles[1]
    ours = next(row for row in line["printed"][titles[0]]["rows"] if row[0] == "Ours")
    assert ours[5] == "not run (0.47)" and ours[-2] == ""
    counted = next(row for row in line["printed"][titles[0]]["rows"] if row[0] == "replay")
    assert counted[-2] == "1 x 2" and "(" not in counted[1]


def test_plain_tables_take_plain_trainings_alone_and_ask_for_them(imported):
    plain, ours = write_flywheel(imported / "w1", plain=True), write_flywheel(imported / "w2")
    asked = dextrack.Asked("grab_full", plain=True)
    tables = {"1": {"grab_full": {"ppo_tracking": None, "ours": None}}}
    missing = not_run(tables, asked)
    made_for = "--data grab-full --hand allegro_right --profile dextrack --plain"
    assert missing["table 1, ppo_tracking"] == f"dexhot train baseline tracking {made_for}"
    assert " --plain " in missing["table 1, ours"] and missing["table 1, ours"].endswith("--flywheel ours-plain")
    assert "plain" not in " ".join(not_run(tables, replace(asked, plain=False)).values())
    made = "tracking", ("grab_full",), asked.hand, asked.profile
    folders = {given: baseline_folder(*made, given) for given in (True, False)}
    seen = []
    for given, folder in folders.items():
        reference, setup = clip_reference(dataset_splits("grab_full")["test"][0], asked.options((), False, False))
        folder.mkdir(parents=True)
        write_policy(folder / "policy", reference, setup.physics, provenance={"control_steps": 1})
        seen.append(replace(asked, plain=given).networks["ppo_tracking"])
    assert seen == [str(folder / "policy.onnx") for folder in folders.values()]
    assert by_row((plain,), True)["ours"].folder == plain and by_row((ours,))["ours"].folder == ours
    with pytest.raises(DexhotError, match=r"w2 was not trained on references by eq\. 5-7 alone: leave out --plain"):
        by_row((ours,), True)
    with pytest.raises(DexhotError, match=r"w1 was trained on references by eq\. 5-7 alone: give --plain"):
        by_row((plain,))


def test_ours_on_tacos_splits_is_the_given_policy_and_another_hands_is_left_out(imported, capsys):
    clip = "20231105_019"
    options = EvaluationOptions(dataset="taco", hand="allegro_right", profile="dextrack")
    reference, setup = clip_reference(clip, options)
    policy = write_policy(imported / "ours", reference, setup.physics)
    other, leap = clip_reference(clip, EvaluationOptions(dataset="taco"))
    stranger = write_policy(imported / "ppo", other, leap.physics)
    given = (("ours", str(policy)), ("ppo_tracking", str(stranger)), ("fraction_0.3", str(policy)))
    found = dextrack.run(dataset="taco", table="1", envs=1, policies=given, quick=True)
    rows = found["tables"]["1"]["taco"]
    assert rows["ours"]["clips"] == 1 and rows["ppo_tracking"] is None
    assert "allegro_right" in found["failed"][f"{clip}, ppo_tracking"]
    assert found["not_run"]["table 1, ppo_tracking"].startswith("refused: ")
    fractions = dextrack.run(dataset="taco", table="6", envs=1, policies=given)["tables"]["6"]["rows"]
    assert fractions["0.3"]["envs"] == fractions["1"]["envs"] == 1 and fractions["0.5"] is None
    further = dextrack.run(dataset="taco", table="5", envs=1, policies=given)["tables"]["5"]
    assert further == dict.fromkeys(("S1", "S2", "S3"))  # no clip of these is imported


def test_the_flywheels_fill_their_rows_by_themselves(imported):
    """Of its clips and --ways each folder knows which row it is."""
    options = EvaluationOptions(dataset="grab_full", hand="allegro_right", profile="dextrack")
    [clip] = dataset_splits("grab_full")["test"]
    reference, setup = clip_reference(clip, options)
    policy = write_policy(imported / "some", reference, setup.physics)
    last = {"stage2/controller": policy}
    ours = write_flywheel(imported / "w1", policies=last | {"stage2/fraction_0.3": policy})
    ablation = write_flywheel(imported / "w2", ["direct", "path"], policies=last)
    both = write_flywheel(imported / "w3", clips=("grab_full/a", "taco/b"), policies=last)
    unfinished = write_flywheel(imported / "w4", ["direct"], policies={"stage1/controller": policy})
    folders = (ours, ablation, both, unfinished)
    found = dextrack.run(dataset="grab-full", table="6", envs=1, flywheel=folders)
    rows, missing = found["tables"]["6"]["rows"], found["not_run"]
    assert rows["0.3"]["clips"] == rows["1"]["clips"] == 1 and rows["0.1"] is None
    again = f"dexhot train flywheel grab --sizes 1 1 --out {ours} --last-fractions 0 0.1 0.3 0.5 0.9"
    assert missing["table 6, 0.1"] == again and "table 6, 0.3" not in missing
    found = dextrack.run(dataset="grab-full", table="4", envs=1, flywheel=folders)
    assert found["tables"]["4"]["grab_full"]["both_ours"]["clips"] == 1
    other = found["not_run"]["table 4, both_ours on taco"]
    assert other == "dexhot bench dextrack --dataset taco --table 4"
    baseline = found["not_run"]["table 4, both_ppo_tracking on grab_full"]
    assert "baseline tracking --data grab-full taco --hand allegro_right" in baseline
    found = dextrack.run(dataset="grab-full", table="1", envs=1, flywheel=folders, quick=True)
    rows, missing = found["tables"]["1"]["grab_full"], found["not_run"]
    assert rows["ours"] and rows["without_data"] and rows["without_data_homotopy"] is None
    assert "stage 1 of 2 is done" in missing["table 1, without_data_homotopy"]
    assert missing["table 1, planned"] == "this command without --quick"


def test_two_folders_of_a_row_or_one_of_none_are_named(tmp_path, cache):
    first, second = write_flywheel(tmp_path / "a"), write_flywheel(tmp_path / "b")
    with pytest.raises(DexhotError, match="both make the row ours"):
        by_row((first, second))
    with pytest.raises(DexhotError, match="--ways direct prior, which is not a row"):
        by_row((write_flywheel(tmp_path / "c", ["direct", "prior"]),))
    with pytest.raises(FileFormatError, match="not a folder of"):
        by_row((tmp_path,))


def test_every_cell_without_a_figure_names_the_command_that_makes_it(cache, capsys, monkeypatch):
    """Nothing is evaluated here; the commands' own parsers take what is said."""
    monkeypatch.setattr(dextrack.Asked, "rows", lambda *args, **options: [])
    found = dextrack.run(dataset="grab")
    missing = found["not_run"]
    published = {
        "6": [f"table 6, {fraction}" for fraction in TABLE_6],
        "9": [f"table 9, {test}" for test in "abcd"],
        "10": [f"table 10, {row}" for row in TABLE_10],
        "11": [f"table 11, {row}" for row in TABLE_11],
        "13": ["table 13, baseline", "table 13, ours"],
    }
    for number, cells in published.items():
        assert set(cells) <= set(missing), number
    assert "--last-fractions 0 0.1 0.3 0.5 0.9 --out ours, then --flywheel ours" in missing["table 6, 0.3"]
    assert "--ways direct --demonstrations N" in missing["table 11, without_data_homotopy"]
    assert missing["table 5, S1"] == "dexhot bench dextrack --dataset taco --table 5"
    assert missing["table 15, taco"] == "dexhot bench dextrack --dataset taco --table 15"
    assert missing["table 9, c"].startswith("dexhot datasets get taco")
    words = {"N": "1", "FOLDER": "f", "POLICY": "p.onnx", "CLIP ...": "c"}
    for command in {what.partition(",")[0].partition(":")[0] for what in missing.values()}:
        if command.startswith("dexhot "):
            for placeholder, word in words.items():
                command = command.replace(f" {placeholder}", f" {word}")
            _, name, *rest = command.split()
            tyro.cli(importlib.import_module(f"dexhot.cli.{name}_command").Args, args=rest)


def test_hours_are_the_ledgers_and_the_trainings(tmp_path, cache):
    rows = [
        {"name": f"c{k}", "parent": "", "kind": "", "verdict": "demonstration", "control_steps": 1, "stage": stage}
        | {"seconds_cpu": seconds}
        for k, (stage, seconds) in enumerate(((1, 1800.0), (1, 1800.0), (2, 7200.0)))
    ]
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_flywheel(tmp_path)
    (tmp_path / "stage2" / "controller").mkdir(parents=True)
    took(tmp_path / "stage2" / "controller", 1800.0, 10)
    took(tmp_path / "stage2" / "controller", 1800.0, 10)  # resumed
    found = dextrack.run(dataset="grab", table="10", flywheel=(tmp_path,))["tables"]["10"]
    assert found["ours, stage 1"] == {"mining_h": 1.0, "training_h": None}
    assert found["ours, stage 2"] == {"mining_h": 2.0, "training_h": 1.0}
    assert found["ours"] == {"mining_h": 3.0, "training_h": None} and found["without_data"] is None


def test_adaptivity_is_a_campaigns(tmp_path, cache):
    trials = [
        Trial("grab/a", "grab/o", "controller", method, 1, level, False, "", False, "run")
        for method, level in (("ours", 2), ("PPO", 0))
    ]
    (tmp_path / dextrack.TRIALS).write_text("".join(json.dumps(asdict(t)) + "\n" for t in trials))
    found = dextrack.run(table="13", campaign=tmp_path)["tables"]["13"]
    assert found["ours"] == {"levels": [1.0, 1.0, 0.0], "clips": 1} and found["baseline"]["levels"] == [0.0, 0.0, 0.0]


def test_difficulty_and_scores_are_of_the_test_clips(imported):
    found = dextrack.run(dataset="grab_full", table="15", envs=1)
    values = found["tables"]["15"]
    assert values["grab_full"]["clips"] == 1 and len(values["grab_full"]["values"]) == 3 and values["taco"] is None
    assert found["printed"]["Table 15: difficulty of the test clips"]["rows"][0][1].endswith("(3.426)")


def test_errors_are_medians_over_clips_and_successes_means():
    def row(error: float, success: float):
        worlds = {name: success if name.startswith("success") else error for name in FIGURES}
        return {"clip": "a", "x": {"trials": worlds, "envs": 3, "steps": 0, "tick_steps": 0}}

    found = dextrack.figures_of([row(1.0, 0.0), row(2.0, 0.5), row(9.0, 1.0)], "x")
    assert found["T_err_cm"] == 2.0 and found["success_10cm_20deg"] == 0.5
    assert figures_row(found, None)[-2] == "3 x 3" and dextrack.figures_of([], "x") is None


def test_a_wrong_table_dataset_or_row_is_named(capsys, cache):
    for words, said in (
        (["--table", "2"], "no table 2"),
        (["--dataset", "hot3d"], "DexTrack's tables are of"),
        (["--dataset", "taco"], "no dataset with splits"),
    ):
        assert main(["bench", "dextrack", *words]) == 1
        assert said in " ".join(capsys.readouterr().err.split())
    assert main(["bench", "mine", "--envs", "3"]) == 1 and "bench dextrack" in capsys.readouterr().err
