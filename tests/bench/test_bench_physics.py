"""The physics benchmark: a held object stays, and what physics 1 let slide is measured as sliding."""

from dataclasses import replace

import numpy as np

from dexhot.control.sampling import base_actions
from dexhot.data.files import save
from dexhot.data.types import Demonstration
from dexhot.retargeting.retarget import with_profile
from dexhot.simulation.physics import load_physics
from dexhot_bench import physics as bench_physics
from dexhot_bench.physics import held, throughput, verdicts
from dexhot_bench.physics import lift_reference as reference_of

PHYSICS = load_physics()


def test_a_held_object_stays_in_the_grip(lift_reference):
    assert held(lift_reference, PHYSICS, 20.0)[0] < 0.1


def test_a_pyramidal_cone_lets_a_real_object_creep(grab):
    """The duck leans: its fingertips bear on slopes."""
    reference = reference_of("duck_lift", PHYSICS)
    assert held(reference, PHYSICS, 20.0)[0] < 0.1
    assert held(reference, replace(PHYSICS, cone="pyramidal"), 20.0)[0] > 1.0


def test_in_physics_1_the_same_grip_creeps(lift_reference):
    assert held(with_profile(lift_reference, "dextrack"), load_physics("1"), 5.0)[0] > 1.0


def test_steps_of_both_physics_are_timed_in_turn(lift_reference, monkeypatch):
    monkeypatch.setattr("dexhot_bench.physics.TIMED", 60)
    speeds = throughput(lift_reference, PHYSICS)
    assert set(speeds) == {"steps_per_s", "steps_per_s_physics_1"} and min(speeds.values()) > 100


def test_a_plan_has_a_verdict_in_the_physics_and_in_fine_steps(lift_reference, tmp_path):
    actions = base_actions(lift_reference, PHYSICS)
    still = np.repeat(lift_reference.q[:1], len(lift_reference.q), axis=0)
    for plan, strict in ((actions, True), (still, False)):
        made = Demonstration("x", lift_reference, plan, lift_reference.q, lift_reference.object_pose, "2", servo="leap")
        assert verdicts(save(made, tmp_path / f"{strict}.npz"), PHYSICS) == {"strict": strict, "strict_fine": strict}


def test_plans_of_an_earlier_miner_are_judged_and_only_missing_ones_mined(lift_reference, tmp_path, monkeypatch):
    def plan(clip, physics="2", servo="leap"):
        made = Demonstration(
            "x", lift_reference, lift_reference.q, lift_reference.q, lift_reference.object_pose, physics, servo=servo
        )
        save(made, tmp_path / f"{clip}.npz")

    plan("old")
    plan("other_physics", physics="1")
    plan("other_servo", servo="dextrack")
    mined = []

    def run_jobs(function, jobs, *rest):
        mined.extend(clip for clip, *_ in jobs)
        plan("absent")
        return iter([])  # the other two fail

    monkeypatch.setattr(bench_physics, "mined_dir", lambda split, profile: tmp_path)
    monkeypatch.setattr(bench_physics, "run_jobs", run_jobs)
    monkeypatch.setattr(bench_physics, "verdicts", lambda path, physics: {"judged": path.stem})
    rows = bench_physics.agreement(["old", "absent", "other_physics", "other_servo"], True, 1, PHYSICS)
    assert mined == ["absent", "other_physics", "other_servo"]
    assert [(row["clip"], row["judged"]) for row in rows] == [("absent", "absent"), ("old", "old")]
