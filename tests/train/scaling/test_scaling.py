"""The scaling curve: subsets that are nested and without the clips held out, labels in equal numbers, and a run that
goes on where it stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from dexhot.cli import main  # noqa: E402
from dexhot.control.sampling import base_actions  # noqa: E402
from dexhot.data.files import load, save  # noqa: E402
from dexhot.data.types import Demonstration, PolicyCard  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.objects.library import save_object  # noqa: E402
from dexhot_train.curriculum.ledger import Ledger  # noqa: E402
from dexhot_train.learners.imitation import FitOptions  # noqa: E402
from dexhot_train.scaling import cloning, frames, judging  # noqa: E402
from dexhot_train.scaling.cloning import network_file  # noqa: E402
from dexhot_train.scaling.curve import run_scaling, subsets_of  # noqa: E402
from dexhot_train.scaling.options import ScalingOptions, read_set  # noqa: E402
from dexhot_train.scaling.page import page  # noqa: E402
from dexhot_train.scaling.subsets import (  # noqa: E402
    ASKED,
    AT_ONCE,
    CLIPS,
    LABELS,
    MEANS,
    MIXED,
    PLANNED,
    REPLAYED,
    VARIATIONS,
    draw,
)

CLIPS_OF = 10
TINY = ScalingOptions(
    (2, 3), (CLIPS, VARIATIONS), labels=0, held_out=0.3, trials=1, worlds=1, updates=2, fit=FitOptions((8,))
)


def here(function, jobs):
    """Runs jobs in this process."""
    return ((job, function(job)) for job in jobs)


def row(clip, kind="clip", seed=0, verdict="demonstration", by="replay"):
    name = f"grab_{clip}" if kind == "clip" else f"grab_{clip}-{kind}-{seed}"
    told = {"name": name, "parent": f"grab/{clip}", "kind": kind, "seed": seed, "verdict": verdict, "by": by}
    return told | {"seconds_cpu": 1.0, "control_steps": 100}


@pytest.fixture
def rows():
    """A ledger of ten clips with eight variations each; a clip without success, failed and refused variations."""
    made = []
    for k in range(CLIPS_OF):
        made.append(row(f"c{k}", verdict="demonstration" if k else "no success"))
        for seed in range(8):
            verdict = ("no success", "refused", *["demonstration"] * 6)[seed]
            made.append(row(f"c{k}", "warped", seed, verdict, ("replay", "search", "parent's plan")[seed % 3]))
    return made


def test_each_subset_has_those_that_are_smaller(rows):
    drawn = draw(rows, 0.2, 0)
    assert len(drawn.held_out) == 2
    of = {r["name"]: r["parent"] for r in rows}
    for how in (MIXED, CLIPS, VARIATIONS):
        small, large = drawn.subset(how, 4), drawn.subset(how, 16)
        assert set(small) < set(large) and len(set(large)) == 16
    assert draw(rows, 0.2, 0) == drawn != draw(rows, 0.2, 1)
    assert draw(rows[::-1], 0.2, 0) == drawn  # attempts end in another order on other machines
    assert len({of[name] for name in drawn.subset(CLIPS, 8)}) == 8
    assert len({of[name] for name in drawn.subset(VARIATIONS, 8)}) == 2
    for how in (MIXED, CLIPS, VARIATIONS):
        assert sorted(drawn.orders[how]) == sorted(drawn.orders[MIXED])


def test_nothing_of_a_clip_that_is_held_out_is_shown(rows):
    for seed in range(5):
        drawn, of = draw(rows, 0.3, seed), {r["name"]: r["parent"] for r in rows}
        for names in drawn.orders.values():
            assert names and not {of[name] for name in names} & set(drawn.held_out)


def test_labels_differ_in_how_they_were_mined_not_in_number(rows):
    drawn, known = draw(rows, 0.2, 0), {r["name"]: r for r in rows}
    subsets, absent = subsets_of(drawn, ScalingOptions((4, 1000), (MIXED,), labels=12))
    assert {name: len(names) for name, names in subsets.items() if name != "mixed-4"} == {
        f"{how}-12": 12 for how in (MIXED, *LABELS)
    }
    assert list(absent) == ["mixed-1000"] and "not 1000" in absent["mixed-1000"]
    assert {known[name]["by"] for name in drawn.orders[REPLAYED]} == {"replay"}
    assert {known[name]["by"] for name in drawn.orders[PLANNED]} == {"search", "parent's plan"}
    assert {known[name]["verdict"] for name in drawn.orders[AT_ONCE]} == {"demonstration", "no success"}
    assert drawn.orders[AT_ONCE][:12] != drawn.orders[MIXED][:12]


def test_a_set_of_one_clip_is_too_small(rows):
    with pytest.raises(DexhotError, match="1 of 2 clips held out, fewer than two have demonstrations"):
        draw([r for r in rows if r["parent"] in ("grab/c1", "grab/c2")], 0.2, 0)


@pytest.fixture
def folder(short_reference, lift_setup, tmp_path, monkeypatch):
    """A set of four clips, the same motion under four names: five demonstrations by replay and two by a plan, a failure
    each; held-out clips have the same reference."""
    save_object(lift_setup.asset)
    out = tmp_path / "set"
    out.mkdir()
    ledger, actions = Ledger(out), base_actions(short_reference, lift_setup.physics)
    for clip in "abcd":
        told = [row(clip), row(clip, "warped", 0, by="search"), row(clip, "warped", 1, "no success", "search")]
        for r in told:
            ledger.add(r | {"parent": f"parametric/{clip}"})
            if r["verdict"] == "demonstration":
                made = {"parent": f"parametric/{clip}", "kind": r["kind"], "control_steps": 100, "seconds_cpu": 1.0}
                reference = replace(short_reference, name=f"varied/{r['name']}")
                d = Demonstration("d", reference, actions, reference.q, reference.object_pose, "2", {}, made, "leap")
                save(d, out / f"{r['name']}.npz")
    options = {"kinds": ["warped"], "hand": "leap_right"}
    (out / "config.json").write_text(json.dumps({"settings": {"options": options}}))
    monkeypatch.setattr(judging, "_reference", lambda job: short_reference)
    tried = []

    def again(job, began):
        """A failure: the hand stays where it is."""
        tried.append(job.variation.name)
        still, made = np.repeat(actions[:1], len(actions), axis=0), {"verdict": "no success", "kind": "warped"}
        made |= {"parent": job.variation.parent, "control_steps": 100, "seconds_cpu": 1.0}
        reference = replace(short_reference, name=f"varied/{job.variation.name}")
        failed = Demonstration("d", reference, still, reference.q, reference.object_pose, "2", {}, made, "leap")
        return failed, {}

    monkeypatch.setattr(frames, "labelled", again)
    return out


def test_a_run_trains_and_judges_each_row_once_and_goes_on(folder, cache, tmp_path, monkeypatch):
    source, out = read_set(folder), tmp_path / "out"
    told = run_scaling(source, TINY, out, here)
    rows = {r["row"]: r for r in told["rows"]}
    assert set(rows) == {f"{how}-{n}" for how in (CLIPS, VARIATIONS) for n in (2, 3)} and not told["left_out"]
    held = set(told["held_out"])
    for name, r in rows.items():
        card = load(network_file(out, name).with_suffix(".json"), PolicyCard)
        shown = [n.removeprefix("varied/grab_").partition("-")[0] for n in card.training_data]
        assert len(shown) == r["count"] and not {f"parametric/{clip}" for clip in shown} & held
        assert r["clips"] == len(set(shown)) and r["control_steps"] > 100 * r["count"]
        assert set(r["held-out"]["clips"]) == held and len(r["held-out"]["over_replay_interval"]) == 2
    assert rows["clips-3"]["clips"] == 3 and rows["variations-2"]["clips"] == 1
    assert rows["clips-3"]["updates"] == rows["clips-2"]["updates"] and rows["clips-2"]["held-out"]["over_fewest"] == 0
    first = (out / "curve.json").read_text()
    done = (frames, "shown_frames"), (cloning, "clone"), (judging, "judge_policy"), (judging, "judge_motion")
    for module, name in (*done, (frames, "labelled")):
        monkeypatch.setattr(module, name, None)  # all of it is in the folder
    assert run_scaling(source, TINY, out, here) == told and (out / "curve.json").read_text() == first
    with pytest.raises(TypeError):  # one verdict is missing, and only that is made again
        next((out / "judged" / "held-out" / "clips-2").glob("*.json")).unlink()
        run_scaling(source, TINY, out, here)
    with pytest.raises(DexhotError, match=r"other settings \(options.worlds\)"):
        run_scaling(source, replace(TINY, worlds=2), out, here)


def test_a_set_that_grows_changes_nothing_of_a_run_that_goes_on(folder, cache, tmp_path):
    small = replace(TINY, counts=(2,), countings=(MIXED,))
    told = run_scaling(read_set(folder), small, tmp_path / "out", here)
    Ledger(folder).add(row("e") | {"parent": "parametric/e"})
    more = run_scaling(read_set(folder), replace(small, counts=(2, 3)), tmp_path / "out", here)
    assert more["held_out"] == told["held_out"] and more["set"]["drawn_from"] == told["set"]["drawn_from"]
    cards = [load(network_file(tmp_path / "out", f"mixed-{n}").with_suffix(".json"), PolicyCard) for n in (2, 3)]
    assert set(cards[0].training_data) < set(cards[1].training_data)


def test_at_once_shows_failures_too(folder, cache, tmp_path):
    drawn = draw(read_set(folder).rows, TINY.held_out, TINY.seed)
    count = len(drawn.orders[AT_ONCE])
    told = run_scaling(read_set(folder), replace(TINY, counts=(), labels=4), tmp_path / "out", here)
    assert {r["row"] for r in told["rows"]} == {"mixed-4", "at-once-4"}  # two clips have two by replay, two by a plan
    of = {r["how"]: r for r in told["rows"]}
    failed = sum(name.endswith("warped-1") for name in drawn.orders[AT_ONCE][:4])
    assert 0 < failed < 4 < count and of[AT_ONCE]["succeed"] == 1 - failed / 4 and of[MIXED]["succeed"] == 1.0
    assert of[AT_ONCE]["frames"] == of[MIXED]["frames"]  # of failures as many frames as of successes
    assert len(list((tmp_path / "out" / "failed").glob("*.npz"))) == failed
    assert "over_mixed" in of[AT_ONCE]["held-out"] and "plans-4 is left out" in page(told, tmp_path / "out").read_text()


def test_averaged_labels_are_of_the_same_attempts_and_dagger_asks_its_network(folder, cache, tmp_path, monkeypatch):
    again, remade, asked = frames.labelled, [], []

    def averaged(job, began):
        """The first averaged one fails; the second is the set's own, moved a little."""
        remade.append((job.variation.name, job.options.searches))
        found, facts = again(job, began)
        if job.options.searches > 1 and [row for row in remade if row[1] > 1][1:]:
            own = load(folder / f"{job.variation.name.replace('parametric', 'grab')}.npz", Demonstration)
            made = found.provenance | {"verdict": "demonstration", "by": "mean of searches", "control_steps": 300}
            found = replace(own, provenance=made, actions=own.actions + 0.001)
        return found, facts

    def ask(question):
        asked.append((question.demonstration.reference.name, question.options.worlds, question.actor))
        size = sum(part["size"] for part in question.actor.card.observation)
        return np.zeros((7, size)), np.zeros((7, 22)), 1.0, 5000

    monkeypatch.setattr(frames, "labelled", averaged)
    monkeypatch.setattr(frames, "asked_frames", ask)
    options = replace(TINY, counts=(), labels=2, asked=3)
    told = run_scaling(read_set(folder), options, tmp_path / "out", here)
    of = {r["how"]: r for r in told["rows"]}
    of_set = draw(read_set(folder).rows, TINY.held_out, TINY.seed)
    planned = of_set.orders[PLANNED][:2]
    assert [row for row in remade if row[1] == options.searches] == [
        (name.replace("grab", "parametric"), 3) for name in planned
    ]
    cards = {how: load(network_file(tmp_path / "out", f"{how}-2").with_suffix(".json"), PolicyCard) for how in of}
    for how in (PLANNED, MEANS, ASKED):
        assert cards[how].training_data == [f"varied/{name}" for name in planned]
    assert of[PLANNED]["averaged"] == 0.0 and of[MEANS]["averaged"] == of[ASKED]["averaged"] == 0.5  # one failed
    assert of[MEANS]["succeed"] == 1.0, "where the searches fail, the set's own label stays"
    assert [name for name, *_ in asked] == cards[ASKED].training_data and {worlds for _, worlds, _ in asked} == {3}
    assert {actor.card.name for *_, actor in asked} == {cards[MEANS].name}
    assert of[ASKED]["frames"] == of[MEANS]["frames"] + 14
    assert of[ASKED]["control_steps"] == of[MEANS]["control_steps"] + 10_000
    assert of[MEANS]["control_steps"] == of[PLANNED]["control_steps"] + 200
    for name in ("labelled", "asked_frames", "shown_frames"):
        monkeypatch.setattr(frames, name, None)  # all of it is in the folder
    assert run_scaling(read_set(folder), options, tmp_path / "out", here) == told


def test_bad_input_is_named(folder, cache, tmp_path):
    with pytest.raises(FileFormatError, match=r"is not a set of `dexhot train demonstrations`"):
        read_set(tmp_path)
    with pytest.raises(DexhotError, match="too small for any of the counts"):
        run_scaling(read_set(folder), replace(TINY, counts=(100,)), tmp_path / "out", here)
    assert main(["train", "scaling", str(folder), "--held-out", "1"]) == 1
    assert main(["train", "scaling", str(folder), "--labels", "1"]) == 1
    assert main(["train", "scaling", str(folder), "--searches", "1"]) == 1


def test_the_command_writes_curve_picture_and_page(folder, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("dexhot_train.mining.executor.run_jobs", lambda function, jobs, workers: here(function, jobs))
    monkeypatch.setattr(
        "dexhot_train.scaling.options.ScalingOptions", lambda *a, **k: replace(TINY, counts=(2,), countings=(MIXED,))
    )
    out = tmp_path / "out"
    assert main(["train", "scaling", str(folder), "--counts", "2", "--out", str(out)]) == 0
    told = json.loads((out / "curve.json").read_text())
    text = page(told, out).read_text()
    assert (out / "curve.png").stat().st_size > 10_000 and text.count("<tr>") == 3
    assert text.count("not run") == 2, "the panel, of replay and of the network"
    card = load(network_file(out, "mixed-2").with_suffix(".json"), PolicyCard)
    assert card.provenance["command"] == "dexhot train scaling set --counts 2"
