import dataclasses

import pytest
import yaml

from dexhot.errors import FileFormatError, NotFoundError
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
    with pytest.raises(FileFormatError, match=r"wrist: rotation must have exactly the keys kp, kv, armature"):
        load_physics(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="no_such"):
        load_physics(tmp_path / "no_such.yaml")


def test_physics_1_is_loaded_by_name_and_keeps_its_numbers():
    old = load_physics("1")
    assert (old.version, old.cone, old.noslip_iterations, old.solref) == ("1", "pyramidal", 0, (0.005, 1.0))
    assert old.friction[0] == 1.0 and not old.self_contact
    assert old.named("leap_right") == {"physics": "1", "servo": "dextrack"}


def test_the_default_is_physics_2_with_the_hand_s_own_servos():
    physics = load_physics()
    assert physics.named("leap_right") == {"physics": "2", "servo": "leap"}
    assert physics.named("allegro_right") == {"physics": "2", "servo": "dextrack"}
    assert physics.friction[0] == 0.8 and physics.self_contact
    assert load_physics(profile="leap_lite").named("leap_right")["servo"] == "leap_lite"


def test_unknown_versions_and_profiles_list_the_known_ones():
    with pytest.raises(NotFoundError, match="1, 2"):
        load_physics("3")
    with pytest.raises(NotFoundError, match="dextrack"):
        load_physics(profile="strong")
