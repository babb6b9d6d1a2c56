"""Schemas of parameters: what they accept, what they refuse, and that every shipped one is sound."""

import pytest

from dexhot.errors import NotFoundError
from dexhot.paths import share_dir
from dexhot.ros.core.parameters import ParameterError, load_schema, parse

SHIPPED = sorted(p.stem for p in (share_dir() / "config" / "nodes").glob("*.yaml"))


def entry(**changes):
    return {"type": "double", "default": 1.0, "description": "a rate, Hz", **changes}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_schema_is_sound_and_described(name):
    assert all(spec.description for spec in load_schema(name).values())


def test_an_unknown_schema_lists_those_that_exist():
    with pytest.raises(NotFoundError, match=r"available: .*leap_driver"):
        load_schema("warp_drive")


def test_an_integer_serves_as_a_double():
    assert parse("rate", entry()).cast(3) == 3.0


def test_text_of_a_command_line_is_read_by_type():
    assert parse("names", entry(type="string_array", default=[])).cast("[a, b]") == ["a", "b"]


def test_a_wrong_type_is_refused():
    with pytest.raises(ParameterError, match="rate must be a number"):
        parse("rate", entry()).cast("fast")


@pytest.mark.parametrize(
    "kind, default, rule, bad",
    [
        ("double", 1.0, {"bounds": [0.0, 2.0]}, 2.5),
        ("double_array", [1.0], {"bounds": [0.0, 2.0]}, [1.0, 3.0]),
        ("string", "a", {"one_of": ["a", "b"]}, "c"),
        ("string", "a", {"not_empty": True}, ""),
        ("double_array", [1.0, 2.0], {"length": 2}, [1.0]),
    ],
)
def test_a_rule_refuses_what_breaks_it(kind, default, rule, bad):
    with pytest.raises(ParameterError, match="parameter x"):
        parse("x", entry(type=kind, default=default, validation=rule)).check(bad)


def test_a_schema_without_description_is_refused():
    with pytest.raises(ParameterError, match="description"):
        parse("rate", {"type": "double", "default": 1.0})


def test_an_unknown_rule_is_refused():
    with pytest.raises(ParameterError, match="validation"):
        parse("rate", entry(validation={"prime": True}))
