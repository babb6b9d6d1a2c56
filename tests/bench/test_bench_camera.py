"""`dexhot bench camera`: rows are kept and go with their demonstration; only clips with both runs are compared."""

import pytest

from dexhot.bringup.graph import resolve
from dexhot.bringup.graphs import load_graph
from dexhot.cli import main
from dexhot.errors import DexhotError
from dexhot.planning.planned import RefusedPlanError
from dexhot_bench import camera


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Clips "a" and "b" as files; every live run is a row, of which `made` lists the labels."""
    made = []
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    monkeypatch.setattr("dexhot.bringup.launcher.require_ros", lambda: None)
    monkeypatch.setattr("dexhot.ros.core.claim.own_domain", lambda: None)
    for name in "ab":
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(camera, "plan_of", lambda name: (tmp_path / name, None))
    monkeypatch.setattr(camera, "reference_of", lambda name: (tmp_path / name, None))
    monkeypatch.setattr(camera, "placed", lambda reference: True)

    def tracked(file, rig, perception, controller):
        made.append((file.name, perception) if controller == "playback" else (file.name, rig, perception))
        good = perception == "truth" or file.name == "a"
        return {"demonstration": camera.digest(file), "success": good, "why": ""}

    monkeypatch.setattr(camera, "tracked", tracked)
    return made, tmp_path


def test_success_with_the_camera_is_compared_with_the_truth(runs):
    found = camera.run(clips=["a", "b"])
    assert found["metrics"]["points_behind_truth"] == 50.0 and found["metrics"]["clips"] == 2
    table = found["printed"]["controller:=playback"]
    assert table["rows"] == [["a", "strict", "strict"], ["b", "strict", "not strict"]]
    assert table["columns"] == ["clip", "rig:=sim perception:=truth", "rig:=sim perception:=camera"]


def test_planned_is_the_chain_of_real_drivers_and_camera_beside_the_embedded_rig_with_the_truth(runs, capsys):
    made, _ = runs
    found = camera.run(clips=["a"], controller="planned")
    assert made == [("a", "sim", "truth"), ("a", "sim-wire", "camera")]
    assert found["metrics"]["points_behind_truth"] == 0.0 and found["rigs"] == {"truth": "sim", "camera": "sim-wire"}
    camera.run(clips=["a"], controller="planned")
    assert len(made) == 2, "kept"
    camera.run(clips=["a"])
    assert len(made) == 4, "playback has rows of its own"
    assert main(["bench", "camera", "--controller", "planned", "--rig", "sim-wire"]) == 1
    assert "without --rig" in " ".join(capsys.readouterr().err.split())


def test_the_graph_is_asked_for_the_chain_that_is_compared(monkeypatch, tmp_path):
    seen = []

    class Graph:
        def __init__(self, command, **_):
            seen.append(command)

        def wait(self, limit=None):
            return 1

        def poll(self):
            return 1

    monkeypatch.setattr(camera.subprocess, "Popen", Graph)
    (tmp_path / "a").write_text("a")
    with pytest.raises(DexhotError, match="the graph died"):
        camera.tracked(tmp_path / "a", "sim-wire", "camera", "planned")
    wanted = {f"reference:={tmp_path / 'a'}", "rig:=sim-wire", "perception:=camera", "controller:=planned"}
    assert wanted | {"planning_rollouts:=160"} <= set(seen[0])
    given = dict(word.split(":=", 1) for word in seen[0] if ":=" in word)
    resolve(load_graph("real_track"), given)  # arguments that the graph has
    with pytest.raises(DexhotError):
        camera.tracked(tmp_path / "a", "sim", "truth")
    assert not any(word.startswith(("controller", "planning")) for word in seen[-1])


def test_what_was_run_is_kept_until_its_demonstration_changes(runs):
    made, folder = runs
    camera.run(clips=["a"])
    camera.run(clips=["a"])
    assert len(made) == 2
    (folder / "a").write_text("mined anew")
    camera.run(clips=["a"])
    assert len(made) == 4
    camera.run(clips=["a"], rig="sim-wire")
    assert len(made) == 6


def test_after_the_minutes_nothing_is_begun(runs):
    made, folder = runs
    found = camera.run(clips=["a", "b"], minutes=-1.0)
    assert not made and found["metrics"] == {"clips": 0, "clips_not_run": 2}
    assert found["printed"]["controller:=playback"]["rows"][0] == ["a", "not run", "not run"]
    camera.run(clips=["a"])
    (folder / "a").write_text("mined anew")
    found = camera.run(clips=["a", "b"], minutes=-1.0)
    assert len(made) == 2 and found["metrics"]["clips"] == 1  # what was kept counts


def test_a_clip_whose_graph_dies_or_that_the_arm_does_not_reach_is_in_no_comparison(runs, monkeypatch):
    made, _ = runs
    once = camera.tracked

    def tracked(file, rig, perception, controller):
        if (file.name, perception) in (("a", "camera"), ("b", "truth")):
            raise DexhotError("the graph died")
        return once(file, rig, perception, controller)

    monkeypatch.setattr(camera, "tracked", tracked)
    found = camera.run(clips=["a", "b"])
    assert made == [("a", "truth")] and found["metrics"] == {"clips": 0, "clips_not_run": 2}
    assert found["failed"] == {"a": "camera: the graph died", "b": "truth: the graph died"}
    monkeypatch.setattr(camera, "placed", lambda reference: False)
    found = camera.run(clips=["b"])
    assert found["left_out"] == {"b": "the arm does not reach it"} and not found["clips"] and len(made) == 1


def test_the_quick_benchmark_always_runs(runs):
    made, folder = runs
    (folder / camera.SHIPPED).write_text("the lift")
    for count in (2, 4):
        camera.run(quick=True)
        assert len(made) == count


def test_the_shipped_lift_is_one_that_the_arm_reaches():
    file, reference = camera.plan_of(camera.SHIPPED)
    assert file.is_file() and camera.placed(reference)


def test_a_refusal_and_an_interruption_are_no_success_and_no_dead_graph(monkeypatch, tmp_path):
    (tmp_path / "a").write_text("a")
    tried = []

    def ends(said):
        monkeypatch.setattr(camera, "_live", lambda *given: tried.append(said) or (1, said))

    refusal = RefusedPlanError("duck: the best plan is no plan (0.20 of the worlds); the limit is 0.5. Plan longer")
    ends(f"[tracker] {refusal}")
    row = camera.tracked(tmp_path / "a", "sim", "truth", "planned")
    assert not row["success"] and row["why"].startswith("refused: the best plan is") and len(tried) == 1
    ends("[rig]: finished: tracking was interrupted (holding: /object/state is 133 ms old, the limit is 100 ms)")
    row = camera.tracked(tmp_path / "a", "sim-wire", "camera")
    assert not row["success"] and "133 ms old" in row["why"] and len(tried) == 3  # tried once more
    told = camera.told({"a": {"truth": row, "camera": row}}, {"truth": "sim", "camera": "sim"}, "playback")
    assert told["metrics"]["clips"] == 1


def test_a_run_that_cannot_be_judged_is_no_success_and_says_why(monkeypatch, tmp_path):
    def unjudged(run):
        raise DexhotError(f"{run} has no tracked frame\nand more")

    (tmp_path / "a").write_text("a")
    monkeypatch.setattr(camera, "_live", lambda *given: (0, ""))
    monkeypatch.setattr(camera, "live_rollout", unjudged)
    row = camera.tracked(tmp_path / "a", "sim", "camera")
    assert row["success"] is False and row["why"] == "run has no tracked frame"


def test_a_graph_that_dies_is_started_again_and_is_no_failure_of_the_camera(monkeypatch, tmp_path, runs):
    monkeypatch.undo()
    tried = []
    monkeypatch.setattr(camera, "_live", lambda *given: (tried.append(given), (1, "no heartbeat"))[1])
    file = tmp_path / "a"
    with pytest.raises(DexhotError, match="no heartbeat"):
        camera.tracked(file, "sim", "camera")
    assert len(tried) == camera.ATTEMPTS
    monkeypatch.setattr(camera, "_live", lambda *given: (None, ""))
    assert "did not end" in camera.tracked(file, "sim", "camera")["why"]
