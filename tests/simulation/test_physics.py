import dataclasses

import pytest
import yaml

from dexhot.errors import FileFormatError
from dexhot.paths import physics_file
from dexhot.simulation.physics import load_physics


@pytest.fixture
def content():
    return yaml.safe_load(physics_file().read_text())


def test_control_runs_at_60_hz():
    assert load_physics().control_dt == pytest.approx(1 / 60)


def test_every_key_of_the_file_becomes_a_field(content):
    physics = load_physics()
    assert set(dataclasses.asdict(physics)) == set(content)
    assert physics.wrist.rotation.kp == content["wrist"]["rotation"]["kp"]
    assert physics.arm.force == tuple(content["arm"]["force"])


def test_an_unknown_key_is_refused_by_name(tmp_path, content):
    content["fricton"] = content.pop("friction")
    path = tmp_path / "physics.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(FileFormatError, match="fricton"):
        load_physics(path)


def test_a_missing_nested_key_is_refused_with_its_place(tmp_path, content):
    del content["wrist"]["rotation"]["kv"]
    path = tmp_path / "physics.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(FileFormatError, match=r"wrist: rotation must hold exactly kp, kv, armature"):
        load_physics(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="no_such"):
        load_physics(tmp_path / "no_such.yaml")
