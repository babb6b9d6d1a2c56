"""`dexhot bench assist`: what is measured once and kept, what is null, and the paper's figures beside ours."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.datasets.library import trajectories_dir
from dexhot.datasets.parametric import generate
from dexhot.errors import ClipError
from dexhot_bench import assist as bench
from dexhot_bench import assist_reconstruction, assist_tables
from dexhot_bench.assist_paper import TABLE_1, TABLE_2, TABLE_3, TABLE_4, beside, printed
from dexhot_bench.assist_tables import TableRun, folder_of
from dexhot_bench.kept import Deadline, Kept
from dexhot_train.assist.experts import load_experts
from dexhot_train.assist.fitted import FPHAB, clip_names
from dexhot_train.assist.hands import AssistOptions
from dexhot_train.assist.success import Cell
from dexhot_train.assist.training import AssistTraining


@pytest.fixture
def measured(shared_data, monkeypatch, tmp_path):
    """A cache of its own, where every cell is measured as 0.5 and nothing is trained; the list of what was."""
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    found = []
    monkeypatch.setattr(bench, "success", lambda *a, **k: found.append((a, k)) or Cell(0.5, 1, 0.0, 0.0))
    monkeypatch.setattr(assist_tables, "success", lambda *a, **k: found.append((a, k)) or Cell(0.5, 1, 0.0, 0.0))
    monkeypatch.setattr(assist_tables, "curve", lambda folder: [(64, 0.1), (128, 0.5), (192, 0.5)])
    monkeypatch.setattr(assist_tables, "trained", lambda options, *a, **k: lambda: (None, options.acting))
    monkeypatch.setattr(assist_tables, "with_inputs", lambda motions, *a: motions)
    monkeypatch.setattr(assist_reconstruction, "fitted_clips", lambda task, split, until: [])
    return found


@pytest.fixture
def experts(shared_data):
    """The file of expert motions."""
    return shared_data / "adroit" / "experts.npz"


def test_what_the_benchmark_does_not_run_is_null(measured, experts):
    found = bench.run(experts=experts)
    metrics, tables = found["metrics"], found["tables"]
    assert metrics["leap_margin_points"] is None and metrics["door_015_success"] == 0.5
    assert metrics["oracle_pen_005_success"] == 0.5 and metrics["door_000_success"] == 0.5
    nothing = {"train": None, "test": None, "velocity_distance": None}
    assert tables["II"]["door"]["rl_no_user"] == tables["II"]["relocate"]["residual_imitation"] == nothing
    assert tables["II"]["door"]["ik"]["train"] == tables["II"]["door"]["ik"]["test"] == 0.5
    assert list(tables["I"]["door"]["0.15"]) == ["0.00", "0.01", "0.05", "0.10", "0.15", "0.20"]
    assert {"0.01", "0.05", "0.10", "0.15", "0.20"} == set(tables["I"]["pen"]["oracle"])
    third = tables["III"]["pen"]
    assert third["rl_no_user_est"] == {"gt": None, "est": None} and third["ik"] == {"gt": 0.5, "est": 0.5}
    assert len(third) == 12 and third["corrections_gt"]["est"] == 0.5
    assert tables["IV"]["pour"]["ik"]["test"]["success"] is None and set(tables["IV"]["give"]) == {
        *("ik", "closing", "agent_task", "agent_pose", "agent")
    }


def test_a_cell_is_measured_once_and_ppo_needs_steps(measured, experts):
    bench.run(experts=experts, table="III")
    assert len(measured) == 2 * 2 * 5
    assert bench.run(experts=experts, table="III", steps=64)["metrics"] == {}
    assert len(measured) == 2 * 2 * 12  # those without PPO are not measured again
    bench.run(experts=experts, table="II", steps=64)
    again = len(measured)
    found = bench.run(experts=experts, table="II", steps=64)["tables"]["II"]["door"]
    assert len(measured) == again
    assert found["residual"]["converged_after"] == 128 and found["residual"]["curve"][0] == [64, 0.1]
    assert "curve" not in found["ik"]


def test_motions_of_another_file_are_measured_anew(measured, experts, tmp_path):
    with np.load(experts) as arrays:
        changed = {key: 0.9 * arrays[key] if key.endswith("actions") else arrays[key] for key in arrays.files}
    np.savez(tmp_path / "other.npz", **changed)
    for path in (experts, tmp_path / "other.npz"):
        before = len(measured)
        bench.run(experts=path, table="I")
        assert len(measured) - before == 6 * 6 + 3 * 5 * 3


def test_the_oracle_alone_knows_the_noise(measured, experts):
    bench.run(experts=experts, table="I")
    assert sum(more == {"oracle": True} for _, more in measured) == 15 and {*(tuple(more) for _, more in measured)} == {
        ("oracle",),
        (),
    }


def test_after_its_minutes_nothing_more_is_measured_and_what_is_kept_stays(measured, experts, monkeypatch):
    found = bench.run(experts=experts, table="I", minutes=1e-9)["tables"]["I"]
    assert found["door"]["0.15"]["0.15"] is None and not measured
    bench.run(experts=experts, table="I")
    kept = bench.run(experts=experts, table="I", minutes=1e-9)
    assert kept["tables"]["I"]["door"]["0.15"]["0.15"] == 0.5


def test_a_split_whose_clips_are_not_all_fitted_in_time_is_null(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    fitted = []

    def fit(name, folder):
        fitted.append(name)
        raise ClipError("cannot be seen.")

    monkeypatch.setattr(assist_reconstruction, "fitted_clip", fit)
    assert assist_reconstruction.fitted_clips("pour", "train", Deadline(0.0, began=float("-inf"))) == [] and not fitted
    assert (
        assist_reconstruction.fitted_clips("pour", "train", Deadline()) == [] and len(fitted) == 4
    )  # each is left out, named


def test_an_agent_of_table_4_sees_pictures_only_where_it_was_trained_with_them(tmp_path, monkeypatch):
    """And is not asked for without clips to train on."""
    clips, asked = {"train": ["one"], "test": []}, {}
    monkeypatch.setattr(assist_reconstruction, "fitted_clips", lambda task, split, until: clips[split])
    monkeypatch.setattr(assist_reconstruction, "_agent", lambda run, task, name, clips: lambda: name)
    monkeypatch.setattr(
        assist_reconstruction, "outcomes", lambda found, row, threads, visual: asked.update({row: visual}) or []
    )
    assist_reconstruction.table_4(TableRun(Kept(tmp_path / "cells.json"), steps=64))
    assert {name: asked.get(name) for name in assist_reconstruction.AGENTS} == {
        **{"agent_task": False, "agent_pose": False, "agent": True}
    }
    clips["train"], clips["test"] = [], ["one"]
    asked.clear()
    assist_reconstruction.table_4(TableRun(Kept(tmp_path / "cells.json"), steps=64))
    assert asked and not set(asked) & set(assist_reconstruction.AGENTS)


def test_fphabs_pouring_is_in_the_table_by_its_own_split(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    clip, _ = generate("lift", "box", 0)
    for name, split in (("pour_juice_bottle-1", "train"), ("pour_juice_bottle-2", "test"), ("open_milk-1", "train")):
        whole = f"Subject_1-{name}"
        one = replace(clip, name=f"fphab/{whole}", provenance={"split": split})
        save(one, trajectories_dir("fphab") / f"{whole}.npz")
    assert clip_names(FPHAB, "train") == ["fphab/Subject_1-pour_juice_bottle-1"]
    assert clip_names(FPHAB, "test") == ["fphab/Subject_1-pour_juice_bottle-2"]
    goals = []
    monkeypatch.setattr(assist_reconstruction, "fitted_clip", lambda name, folder: (None, clip, np.ones((3, 2))))
    monkeypatch.setattr(assist_reconstruction, "load_object", lambda name: None)
    monkeypatch.setattr(
        assist_reconstruction, "reconstruction", lambda fit, truth, asset, task: goals.append(task) or Seen(None)
    )
    found = assist_reconstruction.fitted_clips(FPHAB, "test", Deadline())
    assert goals == ["pour"] and found[0].seen.shape == (3, 2)


@dataclass(frozen=True)
class Seen:
    """In a reconstruction's place."""

    seen: object


def test_the_rows_of_table_2_are_settings_of_one_learner(measured, experts, monkeypatch):
    asked = []
    monkeypatch.setattr(
        assist_tables, "trained", lambda options, *a, **k: asked.append(options) or (lambda: (None, AssistOptions()))
    )
    bench.run(experts=experts, table="II", steps=640)
    door = {(o.method, o.discriminator): o for o in asked if o.task == "door" and o.steps}
    assert set(door) == {
        *(("residual", 1.0), ("residual", 0.0), ("residual_imitation", 0.0), ("rl_no_user", 0.0)),
        *(("il_no_user", 0.0), ("hybrid_no_residual", 0.0), ("rl_user_reward", 0.0), ("hybrid_user_reward", 0.0)),
    }
    assert {o.steps for o in door.values()} == {640} and {o.sigma for o in asked} == {0.05}
    assert {o.corrections for o in door.values()} == {0}
    assert len({folder_of(o) for o in asked}) == len(asked)  # no two share a folder
    assert not door["residual_imitation", 0.0].acting.task_reward and door["residual_imitation", 0.0].acting.residual


def test_success_is_kept_by_sigma_and_row(experts, tmp_path, monkeypatch):
    monkeypatch.setattr(assist_tables, "success", lambda motions, sigma, *a, **k: Cell(sigma, 1, 0.0, 0.0))
    run, motions = TableRun(Kept(tmp_path / "cells.json")), load_experts("door", experts)
    assert [run.success("row", motions, s, assist_tables.user_alone) for s in (0.1, 0.2)] == [0.1, 0.2]


def test_the_papers_figures_are_beside_ours():
    assert beside(0.9, 57) == "0.90 (0.57)" and beside(None, 57) == "not run (0.57)" and beside(0.5, None) == "0.50"
    assert {len(row) for row in TABLE_1.values()} == {6} and TABLE_1["0.15"][4] == 57
    assert TABLE_2["residual"][0] == (81.33, 83) and TABLE_3["residual_est"][3] == 57.14
    assert TABLE_4["pour"]["agent"][3:] == (59.6, 33.15, 65)


def test_all_tables_are_printed_with_every_row(measured, experts):
    tables = bench.run(experts=experts)["tables"]
    made = printed(tables)
    assert len(made) == 2 + 2 + 1 + 3
    for table in made.values():
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    first = next(iter(made.values()))
    assert first["rows"][-1][:2] == ["user_input", "0.50 (0.80)"] and len(first["rows"]) == 6
    pour = made["Table IV, pour"]["rows"]
    assert pour[1][:4] == ["closing", "not run (85.4)", "not run (24.8)", "not run (0.55)"]


def test_the_command_prints_a_table_and_its_json(measured, experts, capsys):
    main(["bench", "assist", "--table", "I", "--experts", str(experts), "--minutes", "5", "--json"])
    out = capsys.readouterr()
    assert "(0.57)" in out.err and json.loads(out.out.strip().splitlines()[-1])["tables"]["I"]["door"]
    assert main(["bench", "leap", "--minutes", "5"]) != 0
    assert "--minutes belongs to `dexhot bench fit|assist|" in capsys.readouterr().err
    assert main(["bench", "assist", "--minutes", "nan", "--experts", str(experts)]) != 0
    assert main(["bench", "assist", "--steps", "-1", "--experts", str(experts)]) != 0
    shown = capsys.readouterr().err
    assert "must be positive" in shown and "--steps must be 0 or more" in shown


def test_an_agent_of_the_tables_is_not_mistaken_for_another():
    options = AssistTraining("door", corrections=0, steps=64)
    places = {
        folder_of(options),
        folder_of(replace(options, discriminator=1.0)),
        folder_of(replace(options, steps=128)),
        folder_of(options, "gt"),
        folder_of(replace(options, method="residual_imitation")),
    }
    assert len(places) == 5
