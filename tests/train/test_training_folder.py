"""The folder of a training: one process at a time, and nobody else's files."""

import subprocess
import sys
from dataclasses import replace

import pytest

from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, FileFormatError
from dexhot_train.learners.folder import CONFIG, CURVE, claim, kept_rows, read_rows
from dexhot_train.terms import carried_terms, grab_terms, sources

HELD = (
    "import sys; from pathlib import Path; from dexhot_train.learners.folder import claim\n"
    "claim(Path(sys.argv[1]), {}, ''); print('claimed', flush=True); sys.stdin.read()"
)


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    held = [sys.executable, "-c", HELD, str(tmp_path)]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(DexhotError, match="another process is at work"):
            claim(tmp_path, {}, "")
        other.kill()
    claim(tmp_path, {}, "")
    claim(tmp_path, {}, "")  # again in the same process: it goes on


def test_files_of_another_origin_are_left_alone(tmp_path):
    (tmp_path / CURVE).write_text("mine\n")
    with pytest.raises(DexhotError, match="choose another folder"):
        claim(tmp_path, {}, "")
    assert [path.name for path in tmp_path.iterdir()] == [CURVE]


def test_a_folder_with_anything_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DexhotError, match="has photos, but of no training"):
        claim(tmp_path, {}, "")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    (tmp_path / "photos").rmdir()
    (tmp_path / ".lock").touch()  # of a run that was killed before it wrote anything
    claim(tmp_path, {}, "")
    assert (tmp_path / CONFIG).is_file()


def test_what_is_trained_carries_the_terms_of_recorded_datasets_alone():
    assert carried_terms(["parametric/lift-box-0", "c0", "varied/x"], "policy") == ""
    for names in (["grab/a"], ["grab_full/a", "parametric/b"]):
        assert carried_terms(names, "encoder") == grab_terms("encoder")
    assert "the encoder carries" in grab_terms("encoder")
    assert carried_terms(["taco/a", "grab/b"], "policy") == "those of grab, taco; the policy carries them"


def test_a_variation_carries_the_terms_of_its_clip_and_its_object(lift_reference):
    varied = replace(
        lift_reference, name="varied/grab_duck_lift-stretched-0", object_name="stretched/grab/duck/1x1x1x1"
    )
    generated = Demonstration("d", lift_reference, lift_reference.q, lift_reference.q, lift_reference.object_pose, "2")
    assert carried_terms(sources([generated]), "policy") == ""
    assert carried_terms(sources([generated, varied]), "policy") == grab_terms("policy")
    of_taco = replace(generated, provenance={"parent": "taco/pour"})
    assert carried_terms(sources([of_taco]), "policy") == "those of taco; the policy carries them"


@pytest.mark.parametrize("text", ["[1, 2]", "{}", "mine"])
def test_somebody_elses_configuration_is_refused(text, tmp_path):
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(FileFormatError, match="choose another folder"):
        claim(tmp_path, {}, "")
    assert (tmp_path / CONFIG).read_text() == text


def test_a_curve_whose_last_line_a_kill_cut_off_goes_on(tmp_path):
    curve = tmp_path / CURVE
    curve.write_text('{"iteration": 1, "steps": 8}\n{"iteration": 2, "steps": 16}\n{"itera')
    assert [row["iteration"] for row in kept_rows(tmp_path, 1)] == [1]
    assert [row["steps"] for row in read_rows(curve)] == [8, 16]
    curve.write_text('{"iteration": 1, "steps": 8}\n{"itera\n{"iteration": 3, "steps": 24}\n')
    with pytest.raises(FileFormatError, match="line 2"):
        read_rows(curve)
