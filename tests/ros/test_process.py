"""`dexhot_node`'s refusals: one sentence, no traceback."""

import pytest

from dexhot.errors import NotFoundError
from dexhot.ros.core import process


def test_a_parameters_file_that_is_not_there_is_reported(capsys):
    assert process.main(["shaper", "--ros-args", "--params-file", "/nowhere/lab.yaml"]) == 1
    assert "dexhot_node: error: ROS rejects the arguments: Couldn't parse params file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere.at_all:Node", "json:Node", "rigg"])
def test_a_node_that_cannot_be_found_is_reported(name):
    with pytest.raises(NotFoundError, match="no node named"):
        process.make_node(name)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "/runs"), ModuleNotFoundError("x", name="serial")]
)
def test_what_the_system_refuses_is_one_sentence(monkeypatch, capsys, error):
    monkeypatch.setattr(process, "begin", lambda argv: None)

    def spin(names, files):
        raise error

    monkeypatch.setattr(process, "spin", spin)
    assert process.main(["shaper"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("dexhot_node: error: ") and told.count("\n") == 1
