"""The folder of a training: one process at a time, and nobody else's files."""

import subprocess
import sys

import pytest

from dexhot.errors import DexhotError, FileFormatError
from dexhot_train.learners.folder import CONFIG, CURVE, claim

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


@pytest.mark.parametrize("text", ["[1, 2]", "{}", "mine"])
def test_somebody_elses_configuration_is_refused(text, tmp_path):
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(FileFormatError, match="choose another folder"):
        claim(tmp_path, {}, "")
    assert (tmp_path / CONFIG).read_text() == text
