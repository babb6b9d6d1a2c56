"""A campaign's ledger and its tables."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.sampling import base_actions
from dexhot.errors import FileFormatError
from dexhot.evaluation import campaign
from dexhot.evaluation.campaign import (
    BASELINE,
    CONTROLLER,
    OURS,
    RESULT,
    Trial,
    add_trial,
    as_json,
    is_short,
    read_trials,
    result_of_policy,
    tables,
)
from dexhot.metrics.tracking_errors import lifted
from dexhot.objects.library import save_object
from dexhot.rollouts.network import run_network
from tiny_policy import write_policy


def trial(clip: str = "grab/apple_lift", number: int = 1, level: int = 3, **other) -> Trial:
    found = Trial(clip, "grab/apple", CONTROLLER, OURS, number, level, level == 3, "", False, f"runs/{clip}-{number}")
    return replace(found, **other)


def test_a_ledger_reads_back_and_drops_what_a_kill_cut_off(tmp_path):
    ledger = tmp_path / "trials.jsonl"
    assert read_trials(ledger) == []
    add_trial(trial(), ledger)
    with open(ledger, "a") as stream:
        stream.write('{"clip": "grab/app')
    assert read_trials(ledger) == [trial()]
    add_trial(trial(number=2), ledger)
    assert read_trials(ledger) == [trial(), trial(number=2)]
    ledger.write_bytes(b"\xff\xfe\n")
    with pytest.raises(FileFormatError, match="line 1 is damaged"):
        read_trials(ledger)
    ledger.write_text('{"clip": 1}\n')
    with pytest.raises(FileFormatError, match="line 1 is damaged"):
        read_trials(ledger)


def test_an_object_is_averaged_over_its_clips_and_adaptivity_over_all_clips():
    found = tables(
        [
            *(trial(number=n, level=level) for n, level in enumerate((3, 2, 1, 0), 1)),
            *(trial("grab/apple_eat", n, 0) for n in (1, 2)),
            trial("grab/duck_lift", 1, 2, object="grab/duck"),
            trial(level=0, method=BASELINE),
        ]
    )
    [(title, methods)] = found.items()
    assert title == "table 2: transferred controllers, grab" and list(methods) == [OURS, BASELINE]
    assert methods[OURS]["apple"] == pytest.approx([37.5, 25.0, 12.5])
    assert methods[OURS]["duck"] == pytest.approx([100.0, 100.0, 0.0])
    assert methods[OURS]["adaptivity"] == pytest.approx([(0.75 + 0 + 1) / 3, (0.5 + 0 + 1) / 3, 0.25 / 3])
    assert methods[BASELINE]["apple"] == [0.0, 0.0, 0.0]


def test_each_table_is_of_one_kind_and_dataset():
    rows = [trial(), trial(kind=RESULT), trial("taco/x", kind=RESULT), trial("parametric/lift-box-0")]
    titles = [title.partition(":")[0] for title in tables(rows)]
    assert sorted(titles) == ["table 2", "table 7", "table 8", "transferred controllers, parametric"]
    assert len(as_json(rows)["trials"]) == 4


def test_a_clip_with_few_frames_after_its_lift_is_short(lift_reference, lift_object):
    assert is_short(lift_reference, lift_object)
    for name in ("q", "object_pose"):
        rows = getattr(lift_reference, name)
        setattr(lift_reference, name, np.concatenate([rows, np.repeat(rows[-1:], 60, axis=0)]))
    assert not is_short(lift_reference, lift_object)
    up = int(np.flatnonzero(lifted(lift_object, lift_reference.object_pose))[0])
    for frames, short in ((100, True), (101, False)):
        lift_reference.q = lift_reference.q[:1].repeat(up + frames, axis=0)
        assert is_short(lift_reference, lift_object) == short
    lift_reference.object_pose[:] = lift_reference.object_pose[0]
    assert is_short(lift_reference, lift_object)  # never lifted


def test_a_policys_result_is_what_it_commands_in_the_nominal_world(
    lift_reference, lift_setup, cache, tmp_path, monkeypatch
):
    """A network that corrects nothing plays the replay."""
    save_object(lift_setup.asset)
    policy = write_policy(tmp_path / "idle", lift_reference, lift_setup.physics)
    found = result_of_policy(policy, lift_reference)
    found.validate()
    np.testing.assert_allclose(found.actions, base_actions(lift_reference, lift_setup.physics), atol=1e-6)
    assert found.servo == "leap" and found.object_pose[-1, 2] > found.object_pose[0, 2] + 0.02
    off = np.abs(found.q - lift_reference.q)[:, 6:].max(), np.abs(found.object_pose - lift_reference.object_pose).max()
    assert min(off) > 1e-4  # what was achieved
    assert not found.provenance["stopped"]
    monkeypatch.setattr(
        campaign, "run_network", lambda *given: replace(run_network(*given), unsafe=["it left its limits"])
    )
    assert result_of_policy(policy, lift_reference).provenance["stopped"] == "it left its limits"
