"""The commands that a report offers are those that the command line takes."""

from dataclasses import replace

import numpy as np

from dexhot.cli import report_command
from dexhot.report.commands import commands
from report_samples import lift_rollout

ARGUMENTS = {"reference": "a.npz", "rig": "sim", "speed": 1.0, "seed": 3, "view": True, "loop": False, "policy": ""}


def rollout_of(name="grab/duck_lift", trajectory=None, contact=True, placed=True):
    rollout = lift_rollout()
    provenance = {"trajectory": trajectory or {}, "retarget": {"contact": contact}}
    placement = np.array([0.3, 0, 0, 1, 0, 0, 0]) if placed else np.array([0.0, 0, 0, 1, 0, 0, 0])
    reference = replace(rollout.reference, name=name, provenance=provenance, placement=placement)
    return replace(rollout, reference=reference)


def test_the_way_of_a_live_run_from_its_clip_on():
    found = [line for _, line in commands(rollout_of(), "runs/a b", ARGUMENTS, {"options": {"seed": 5}})]
    assert found == [
        "dexhot datasets get grab",
        "dexhot retarget grab/duck_lift --hand leap_right --out duck_lift.reference.npz",
        "dexhot mine duck_lift.reference.npz --out duck_lift.demonstration.npz --seed 5",
        "dexhot evaluate duck_lift.demonstration.npz",
        "dexhot up real_track reference:=duck_lift.demonstration.npz rig:=sim speed:=1 seed:=3 exit_when_done:=true",
        "dexhot evaluate 'runs/a b'",
        "dexhot view 'runs/a b'",
        "dexhot report 'runs/a b'",
    ]


def test_how_it_was_retargeted_is_in_the_command():
    rollout = rollout_of("user/pour", {"frames": [10, 90]}, contact=False, placed=False)
    line = dict(commands(rollout, "x.npz"))["retarget"]
    assert line.endswith("--no-contact --no-place --frames 10:90")


def test_what_was_not_retargeted_here_begins_with_the_file():
    found = commands(lift_rollout(), "x.npz")
    assert [line for _, line in found] == ["dexhot evaluate x.npz", "dexhot view x.npz", "dexhot report x.npz"]


def test_every_command_is_one_that_the_command_line_parses(tmp_path):
    import shlex

    import tyro

    from dexhot.cli import evaluate_command, mine_command, report_command, retarget_command, view_command

    args = {
        "evaluate": evaluate_command.Args,
        "mine": mine_command.Args,
        "report": report_command.Args,
        "retarget": retarget_command.Args,
        "view": view_command.Args,
    }
    rollout = rollout_of(trajectory={"frames": [10, 90]}, contact=False, placed=False)
    for _, line in commands(rollout, "runs/a", ARGUMENTS, {"options": {"seed": 5}}):
        program, name, *words = shlex.split(line)
        assert program == "dexhot"
        if name in args:
            tyro.cli(args[name], args=words)


def test_the_picture_beside_a_run_is_the_demo_s_only_with_its_caption(tmp_path):
    """The documented `dexhot perceive --picture seen.png` writes one of that name beside the user's run."""
    (tmp_path / "seen.png").touch()
    assert report_command._seen(tmp_path / "run") is None
    (tmp_path / "seen.txt").write_text("Four frames.\n")
    assert report_command._seen(tmp_path / "run") == (tmp_path / "seen.png", "Four frames.")
