"""The data engine: attempts, their verdicts, and a set that resumes from its ledger."""

import copy
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import load
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, FileFormatError
from dexhot.planning.search import Found
from dexhot_train.curriculum import data_engine, jobs, variations
from dexhot_train.curriculum.data_engine import Attempt, EngineOptions, attempt, make_set, variations_of
from dexhot_train.curriculum.ledger import (
    AVERAGED,
    LEDGER,
    MADE,
    NO_SUCCESS,
    REFUSED,
    SEARCH,
    Ledger,
    by_kind,
    figures,
    page,
    read,
)
from dexhot_train.curriculum.variations import Variation
from dexhot_train.mining.executor import KILLED, KilledError
from dexhot_train.mining.mine import VALIDATION_SEED

BOX = "parametric/lift-box-100"
TINY = EngineOptions(per_clip=2, kinds=("stretched", "loaded"), rollouts=48, parent_rollouts=48, trials=2)


def row(job, verdict=MADE, seconds=2.0):
    return {"verdict": verdict, "by": "replay", "object": job.variation.parent, "seconds_cpu": seconds} | {
        "control_steps": 100
    }


@pytest.fixture
def quick(monkeypatch):
    """Attempts that take no time; the list of those made."""
    made: list[str] = []

    def done(job):
        made.append(job.variation.name)
        return row(job)

    monkeypatch.setattr(data_engine, "attempt", done)
    return made


@pytest.fixture(scope="module", autouse=True)
def once():
    """Clips that are the same are retargeted once."""
    found, whole = {}, data_engine.retarget

    def remembered(trajectory, hand, asset, options):
        key = trajectory.name, asset.name, hand.name, trajectory.hands["right"].keypoints.tobytes()
        if key not in found:
            found[key] = whole(trajectory, hand, asset, options)
        return copy.deepcopy(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_engine, "retarget", remembered)
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder and the row of the parent's attempt."""
    folder = tmp_path_factory.mktemp("parent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXHOT_CACHE", str(folder / "cache"))
        return folder, attempt(Attempt(Variation(BOX), TINY, folder))


@pytest.fixture
def solved(first, cache, tmp_path):
    """The row of a parent whose demonstration is in `tmp_path`."""
    shutil.copy(first[0] / "parametric_lift-box-100.npz", tmp_path)
    return first[1]


def test_a_variation_becomes_a_demonstration_that_says_what_made_it(solved, tmp_path):
    told = solved
    found = attempt(Attempt(Variation(BOX, "stretched", 0), TINY, tmp_path))
    assert told["verdict"] == found["verdict"] == MADE and found["object"].startswith("stretched/parametric/box")
    made = load(tmp_path / "parametric_lift-box-100-stretched-0.npz", Demonstration)
    assert made.scores["success_strict"] and made.provenance["parent"] == BOX
    assert made.provenance["control_steps"] == found["control_steps"] > 0 and len(made.provenance["plan"]) == 38
    assert 0 < found["seconds_retarget"] < found["seconds_cpu"] and 0 < found["error"] < 0.1


def test_what_survives_too_little_is_no_demonstration(cache, tmp_path):
    found = attempt(Attempt(Variation(BOX), replace(TINY, keep=1.1), tmp_path))
    assert found["verdict"] == NO_SUCCESS and "1.1 are needed" in found["reason"] and not list(tmp_path.glob("*.npz"))


def test_a_clip_that_cannot_be_retargeted_is_refused_and_costs(cache, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise DexhotError("its hand is through the table.")

    monkeypatch.setattr(data_engine, "retarget", refuse)
    found = attempt(Attempt(Variation(BOX), TINY, tmp_path))
    assert found["verdict"] == REFUSED and "table" in found["reason"] and found["seconds_cpu"] > 0


def test_the_search_of_a_variation_begins_from_its_parents_plan(solved, tmp_path, monkeypatch):
    parent = tmp_path / "parametric_lift-box-100.npz"
    demonstration = load(parent, Demonstration)
    demonstration.provenance["plan"] = (0.001 * np.arange(38)).tolist()
    data_engine.save(demonstration, parent)
    seen = []

    def tried(trials, space, starts, worlds):
        seen.append(starts)
        return "replay", starts["replay"], 1.0

    monkeypatch.setattr(data_engine, "_tried", tried)
    for kind in ("stretched", "synthetic"):  # a synthetic grasp has nothing of its parent's
        attempt(Attempt(Variation(BOX, kind, 0), TINY, tmp_path))
    np.testing.assert_allclose(seen[0]["parent's plan"], 0.001 * np.arange(38))
    assert list(seen[1]) == ["replay"]


@pytest.fixture
def searches(monkeypatch):
    """Starts of the searches for a plan, in place of them; and the seeds of the worlds drawn, by whom."""
    asked, whole = {"searched": [], "held out": [], "tried": []}, data_engine.draw_worlds

    def find(trials, space, prior, worlds, budget, how, seed, start):
        asked["searched"].append((budget.rollouts, seed))
        return Found(np.zeros(space.size), 0.0, 1.0, 0, 0)

    def draw(reference, simulator, count, seed):
        asked["held out"].append(seed)
        return whole(reference, simulator, count, seed)

    def perturbed(self, observed, count, seed, name="worlds_v2"):
        asked["tried"].append(seed)
        return [self.world(observed)] * count

    monkeypatch.setattr(data_engine, "find_plan", find)
    monkeypatch.setattr(data_engine, "draw_worlds", draw)
    monkeypatch.setattr(data_engine.Trials, "perturbed", perturbed)
    return asked


def test_a_plan_is_searched_only_where_what_there_is_does_not_survive(cache, tmp_path, searches):
    attempt(Attempt(Variation(BOX), TINY, tmp_path))
    assert searches["searched"] == []
    attempt(Attempt(Variation(BOX), replace(TINY, enough=1.1), tmp_path))
    attempt(Attempt(Variation(BOX, "regrasped", 3), replace(TINY, enough=1.1), tmp_path))
    assert searches["searched"] == [(TINY.parent_rollouts, 0), (TINY.rollouts, 3)]


def test_a_plan_of_several_searches_is_the_mean_of_those_that_survive(cache, tmp_path, monkeypatch):
    found, asked, survives = [0.0, 0.6, 0.9], [], {"mean": 0.9}

    def find(trials, space, prior, worlds, budget, how, seed, start):
        asked.append((seed, start, how.stop))
        survived = found[(len(asked) - 1) % 3]
        return Found(np.full(space.size, survived), survived, 1.0, 0, 0)

    def tried(trials, space, starts, worlds):
        (name, plan), *_ = starts.items()
        return name, plan, survives["mean"] if name == AVERAGED else 0.0

    monkeypatch.setattr(data_engine, "find_plan", find)
    monkeypatch.setattr(data_engine, "_tried", tried)
    monkeypatch.setattr(data_engine, "scored", lambda *a: SimpleNamespace(scores={"robustness": 0.0}))
    job = Attempt(Variation(BOX, "stretched", 4), replace(TINY, searches=3), tmp_path)
    (tmp_path / "parametric_lift-box-100.npz").write_bytes(b"a parent's raw plan, which is not to be read")
    varied = variations.make(Variation(BOX))
    setup = data_engine.Setup(data_engine.load_hand("leap_right"), varied.asset, data_engine.load_physics())
    reference = data_engine.retarget(varied.trajectory, setup.hand, setup.asset, None)
    made, by, _ = data_engine.plan(job, reference, setup, 1.0)
    assert by == AVERAGED and made.provenance["plan"] == pytest.approx([0.75] * 38)  # not the one of 0
    assert asked == [(4 + k * data_engine.SEARCH_SEEDS, None, False) for k in range(3)]
    survives["mean"] = 0.8
    made, by, _ = data_engine.plan(job, reference, setup, 1.0)
    assert by == SEARCH and made.provenance["plan"] == pytest.approx([0.9] * 38)
    found[1] = 0.4  # one plan alone is no mean
    made, by, _ = data_engine.plan(job, reference, setup, 1.0)
    assert by == SEARCH and made.provenance["plan"] == pytest.approx([0.9] * 38)


def test_a_demonstration_is_judged_in_worlds_that_no_search_saw(cache, tmp_path, searches):
    attempt(Attempt(Variation(BOX, "regrasped", 3), replace(TINY, seed=2), tmp_path))
    assert searches["tried"] == [3] and searches["held out"] == [2 + VALIDATION_SEED]


def test_a_loaded_clip_must_succeed_in_the_slippery_world_too(solved, tmp_path, monkeypatch):
    assert attempt(Attempt(Variation(BOX, "loaded", 0), TINY, tmp_path))["verdict"] == MADE
    monkeypatch.setattr(variations, "FRICTION", (0.01, 0.02))
    assert attempt(Attempt(Variation(BOX, "loaded", 0), TINY, tmp_path))["verdict"] == NO_SUCCESS


def test_no_clip_of_a_test_split_begins_a_set(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(variations, "splits", lambda dataset: {"test": ["b"]})
    with pytest.raises(DexhotError, match="nothing may be trained"):
        make_set([BOX, "grab/b"], TINY, tmp_path / "set", workers=1)
    assert not quick and not (tmp_path / "set").exists()


def tried(kind, verdicts, parent="a", seed=0):
    return [{"parent": parent, "kind": kind, "verdict": v, "seed": seed + k} for k, v in enumerate(verdicts)]


def test_a_round_has_a_variation_of_each_solved_clip():
    rows = [*tried("clip", [MADE], "a"), *tried("clip", [MADE], "b"), *tried("clip", [NO_SUCCESS], "c")]
    options = replace(TINY, kinds=("stretched", "synthetic"), seed=7)
    assert variations_of(0, "abc", rows, options) == [Variation("a", "stretched", 7), Variation("b", "stretched", 7)]
    assert variations_of(1, "abc", rows, options) == [Variation(c, "synthetic", 8) for c in "abc"]


def test_a_kind_or_a_clip_of_low_yield_is_left_out():
    rows = [*tried("clip", [MADE], "a"), *tried("clip", [MADE], "b")]
    rows += tried("stretched", [NO_SUCCESS, MADE, REFUSED], "a") + tried("loaded", [NO_SUCCESS, NO_SUCCESS], "b")
    options, last = TINY, [Variation("a", "stretched", 5)]  # "loaded" has 0 of 2, so does b
    assert variations_of(5, "ab", rows, options) == last
    assert variations_of(5, "ab", rows[:-1], options) == [Variation(c, "loaded", 5) for c in "ab"], "0 of 1 is too few"
    assert len(variations_of(5, "ab", rows, replace(options, worthwhile=0.2))) == 2
    assert variations_of(5, "ab", rows + tried("stretched", [NO_SUCCESS] * 5), options) == []


def test_a_round_is_decided_from_the_rounds_before_alone():
    rows = [*tried("clip", [MADE], "a"), *tried("clip", [MADE], "b"), *tried("stretched", [NO_SUCCESS] * 4, "a", 2)]
    assert variations_of(2, "ab", rows, TINY) == [Variation("b", "stretched", 2)], "a's turn was before the stop"


def test_a_killed_set_goes_on_where_it_stopped(quick, tmp_path):
    def kill(done, total, line):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_set([BOX], TINY, tmp_path, workers=1, progress=kill)
    with open(tmp_path / LEDGER, "a") as stream:
        stream.write('{"name": "cut o')  # a kill in the middle of a line
    rows = make_set([BOX], TINY, tmp_path, workers=1).rows
    assert len(quick) == 3 and len(rows) == len(read(tmp_path / LEDGER)) == 3
    assert [r["name"] for r in rows] == quick


def test_of_a_parent_that_is_not_solved_only_synthetic_grasps_are_tried(tmp_path, monkeypatch):
    made = []

    def failed(job):
        made.append(job.variation.kind)
        return row(job, NO_SUCCESS)

    monkeypatch.setattr(data_engine, "attempt", failed)
    make_set([BOX], replace(TINY, per_clip=3, kinds=("stretched", "synthetic", "warped")), tmp_path, workers=1)
    assert made == ["clip", "synthetic"]


def test_a_finished_set_goes_on_with_more_variations_and_clips(quick, tmp_path):
    make_set([BOX], TINY, tmp_path, workers=1)
    ledger = make_set([BOX, "parametric/lift-box-101"], replace(TINY, per_clip=3), tmp_path, workers=1)
    assert len(ledger.rows) == len(set(quick)) == len(quick) == 8


def test_another_set_keeps_out_of_the_folder(quick, tmp_path):
    make_set([BOX], TINY, tmp_path, workers=1)
    with pytest.raises(DexhotError, match=r"options\.keep"):
        make_set([BOX], replace(TINY, keep=0.1), tmp_path, workers=1)


def test_a_killed_worker_is_no_verdict_on_its_clip(tmp_path, monkeypatch):
    def broken(function, todo, workers, executor):
        yield todo[0], row(todo[0])
        assert len(todo) == 2
        yield todo[1], KilledError(KILLED)

    monkeypatch.setattr(jobs, "run_jobs", broken)
    with pytest.raises(DexhotError, match="worker was killed"):
        make_set([BOX, "parametric/lift-box-101"], TINY, tmp_path, workers=2)
    assert len(read(tmp_path / LEDGER)) == 1


def test_an_empty_list_of_clips_is_an_error(tmp_path):
    with pytest.raises(DexhotError, match="empty"):
        make_set([], TINY, tmp_path)


def test_figures_count_failed_attempts_in_the_cost():
    rows = [row(Attempt(Variation(f"p{k}"), TINY, None), v) for k, v in enumerate([MADE, MADE, NO_SUCCESS, REFUSED])]
    told = figures(rows)
    assert told["yield"] == 0.5 and told["seconds_cpu"] == 8.0 and told["objects"] == 2 and told["replayed"] == 2
    assert told["demonstrations_per_core_hour"] == pytest.approx(2 * 3600 / 8)
    assert figures([])["yield"] is None


@pytest.mark.parametrize("content", [b"my notes\n", b"PK\x03\x04\xa6\xff", b"[1]\n"])
def test_a_file_of_another_origin_is_no_ledger_and_stays(content, tmp_path):
    (tmp_path / LEDGER).write_bytes(content)
    with pytest.raises(FileFormatError, match="line 1"):
        Ledger(tmp_path)
    assert (tmp_path / LEDGER).read_bytes() == content


def test_a_damaged_ledger_is_refused(tmp_path):
    path = tmp_path / LEDGER
    path.write_text('{"name": "cut o\n{}\n')
    with pytest.raises(FileFormatError, match="line 1 is damaged"):
        Ledger(tmp_path)
    path.write_text('{"name": "a"}\n')
    with pytest.raises(FileFormatError, match="lacks parent, kind"):
        Ledger(tmp_path)


def test_a_person_reads_the_ledgers_page(tmp_path, capsys):
    ledger = Ledger(tmp_path)
    job = Attempt(Variation("a<b"), TINY, tmp_path)
    ledger.add({"name": "a<b", "parent": "a<b", "kind": "clip"} | row(job))
    text = page(tmp_path, "set").read_text()
    assert "a&lt;b" in text and "a<b" not in text and "<script" not in text
    assert list(by_kind(ledger.rows)) == ["clip", "all"]
    assert main(["train", "ledger", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]["all"]["demonstrations"] == 1
    assert main(["train", "ledger", str(tmp_path / "absent")]) == 1


def test_the_command_makes_a_set(quick, cache, tmp_path, capsys):
    out = tmp_path / "set"
    assert main(["train", "demonstrations", BOX, "--per-clip", "1", "--workers", "1", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["figures"]["all"]["demonstrations"] == 2 and (out / "ledger.html").is_file()
    command = json.loads((out / "config.json").read_text())["command"]
    assert command == f"dexhot train demonstrations {BOX} --per-clip 1"
