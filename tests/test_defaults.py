"""Every default has one home: the schemas, the graphs' arguments, the command line and the docs agree with it."""

import importlib
import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from dexhot.bringup.graphs import GRAPHS
from dexhot.paths import share_dir
from dexhot.retargeting.retarget import RetargetOptions
from dexhot.robots.robot_hand import load_hand
from dexhot.robots.servos import servo
from dexhot.ros.core.parameters import ParameterSpec, load_schema
from dexhot.simulation.physics import load_physics

DOCS = Path(__file__).resolve().parents[1] / "docs"
NODES = sorted(p.stem for p in (share_dir() / "config" / "nodes").glob("*.yaml") if p.stem != "base")
# What the nodes mean by these is not one thing: each has its own.
APART = {"rate", "patience", "flush_period", "camera", "port", "loop", "feedback"}
# Arguments that a graph answers itself before a node gets them, with its own default or choices.
GRAPHS_OWN = {
    "reference",
    "policy",
    "leap_port",
    "franka_host",
    "rig",
    ("replay", "controller"),
    ("replay", "bag"),
    "frame_prefix",
    "use_sim_time",
    "view_wait",
    ("teleop", "depth"),
}
COMMANDS = {
    "mine_command.Args.seed": "dexhot_train.mining.mine.MineOptions.seed",
    "train.specialist.Specialist.rounds": "dexhot_train.learners.specialist.SpecialistOptions.rounds",
    "train.specialist.Specialist.worlds": "dexhot_train.learners.specialist.SpecialistOptions.worlds",
    "train.specialist.Specialist.trials": "dexhot_train.learners.specialist.SpecialistOptions.trials",
    "train.specialist.Specialist.searches": "dexhot_train.learners.specialist.SpecialistOptions.searches",
    "mine_command.Args.structured": "dexhot_train.mining.mine.MineOptions.structured",
    "mine_command.Args.attempts": "dexhot_train.mining.mine.MineOptions.attempts",
    "mine_command.Args.worlds": "dexhot_train.mining.mine.MineOptions.worlds",
    "mine_command.Args.homotopy": "dexhot_train.mining.mine.MineOptions.homotopy",
    "train.homotopy.Homotopy.budget": "dexhot_train.curriculum.homotopy.HomotopyOptions.budget",
    "train.homotopy.Homotopy.tasks": "dexhot_train.curriculum.homotopy.HomotopyOptions.tasks",
    "train.homotopy.Homotopy.neighbours": "dexhot_train.curriculum.homotopy.HomotopyOptions.neighbours",
    "train.homotopy.Homotopy.grasps": "dexhot_train.curriculum.homotopy.HomotopyOptions.grasps",
    "train.homotopy.Homotopy.easier": "dexhot_train.curriculum.homotopy.HomotopyOptions.how",
    "train.flywheel.Flywheel.sizes": "dexhot_train.curriculum.flywheel_run.FlywheelOptions.sizes",
    "train.flywheel.Flywheel.reward": "dexhot_train.curriculum.flywheel_run.FlywheelOptions.reward",
    "train.flywheel.Flywheel.imitation": "dexhot_train.learners.tracker.IMITATION",
    "train.flywheel.Flywheel.backend": "dexhot_train.learners.tracker.TrackerOptions.backend",
    "train.tracker.Tracker.imitation": "dexhot_train.learners.tracker.IMITATION",
    "train.flywheel.Flywheel.budget": "dexhot_train.curriculum.homotopy.HomotopyOptions.budget",
    "train.demonstrations.Demonstrations.per_clip": "dexhot_train.curriculum.data_engine.EngineOptions.per_clip",
    "train.demonstrations.Demonstrations.kinds": "dexhot_train.curriculum.data_engine.EngineOptions.kinds",
    "retarget_command.Args.contact": "dexhot.retargeting.retarget.RetargetOptions.contact",
    "leap_command.Simulate.baud": "dexhot.hardware.dynamixel.registers.BAUD",
    "leap_command.Simulate.hand": "dexhot.hardware.dynamixel.simulator.serve.hand",
    "leap_command.Simulate.fast": "dexhot.hardware.dynamixel.simulator.serve.fast",
    "leap_command.Simulate.latency_ms": "dexhot.hardware.dynamixel.simulator.serve.latency_ms",
    "leap_command._Hand.baud": "dexhot.hardware.leap.hand.LeapHand.baud",
    "leap_command._Hand.robot": "dexhot.hardware.leap.hand.LeapHand.robot",
    "franka_command.Check.hand": "dexhot.hardware.franka.settings.ArmSettings.hand",
    "franka_command.Check.realtime": "dexhot.hardware.franka.settings.ArmSettings.realtime",
    "franka_command.Recover.realtime": "dexhot.hardware.franka.settings.ArmSettings.realtime",
    "generate_command.Args.side": "dexhot.datasets.parametric.generate.side",
    "generate_command.Args.seed": "dexhot.datasets.parametric.generate.seed",
    "object_command.Add.unit": "dexhot.simulation.scans.object_from_scan.unit",
    "object_command.Add.wall": "dexhot.simulation.scans.object_from_scan.wall",
}


def default_of(path: str):
    """Of a dataclass's field, a parameter of a class or function, or the value of a constant."""
    owner, _, name = path.rpartition(".")
    module = owner
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module = module.rpartition(".")[0]
    for part in owner[len(module) + 1 :].split("."):
        found = getattr(found, part) if part else found
    return inspect.signature(found).parameters[name].default if callable(found) else getattr(found, name)


def own_parameters(node: str) -> dict[str, ParameterSpec]:
    base = yaml.safe_load((share_dir() / "config" / "nodes" / "base.yaml").read_text())
    return {name: spec for name, spec in load_schema(node).items() if name not in base}


def known_by_code() -> list[tuple[str, ParameterSpec]]:
    return [(node, spec) for node in NODES for spec in own_parameters(node).values() if spec.field]


def graph_arguments():
    """(graph, argument, the specs of its nodes' parameters of that name)."""
    for graph in GRAPHS.values():
        nodes = [
            n.schema or n.name for p in graph.processes({a.name: a.default for a in graph.arguments}) for n in p.nodes
        ]
        if graph.name == "replay":
            nodes.append("bag_player")
        for a in graph.arguments:
            specs = [load_schema(node)[a.name] for node in nodes if a.name in load_schema(node)]
            if specs and not {a.name, (graph.name, a.name)} & GRAPHS_OWN:
                yield graph.name, a, specs


@pytest.mark.parametrize("node, spec", known_by_code(), ids=lambda x: getattr(x, "name", x))
def test_a_parameter_has_the_default_of_the_code_that_it_goes_to(node, spec):
    found = default_of(f"dexhot.{spec.field}")
    assert spec.default == found and type(spec.default) is type(found)


def test_the_known_twins_are_held():
    held = {(node, spec.name) for node, spec in known_by_code()}
    assert {("shaper", "lead"), ("controller", "delay"), ("object_filter", "gate"), ("leap_driver", "slack")} <= held


@pytest.mark.parametrize("node", NODES)
def test_a_parameter_named_as_a_field_of_its_nodes_settings_reports_it(node):
    schema = own_parameters(node)
    for home in {spec.field.rpartition(".")[0] for spec in schema.values() if spec.field}:
        module, _, name = home.rpartition(".")
        settings = getattr(importlib.import_module(f"dexhot.{module}"), name)
        twins = {f.name for f in fields(settings)} & set(schema) if is_dataclass(settings) else set()
        assert all(schema[name].field for name in twins), twins


def test_one_name_has_one_default_on_every_node():
    found: dict[str, dict[str, object]] = {}
    for node in NODES:
        for name, spec in own_parameters(node).items():
            found.setdefault(name, {})[node] = spec.default
    for name, defaults in found.items():
        if name not in APART:
            assert len(set(map(str, defaults.values()))) == 1, f"{name}: {defaults}"


BY_THE_CAMERA = {("watch", name) for name in ("width", "height", "fps")}  # 0: of a device the parameter's default


def test_a_graphs_argument_has_the_default_of_its_nodes_parameter():
    checked = set()
    for graph, argument, specs in graph_arguments():
        own = [0] if (graph, argument.name) in BY_THE_CAMERA else [spec.default for spec in specs]
        assert argument.default in own, f"{graph}: {argument.name}"
        assert not argument.choices or argument.choices == tuple(specs[0].validation["one_of"])
        checked.add((graph, argument.name))
    assert {
        ("real_track", "lead"),
        ("real_track", "controller"),
        ("capture", "fps"),
        ("replay", "tolerance"),
    } <= checked


def test_most_arguments_share_their_sentence_too():
    """The others reach two nodes, or do more than the parameter does."""
    own = {
        (graph, argument.name)
        for graph, argument, specs in graph_arguments()
        if argument.description not in [spec.description for spec in specs]
    }
    assert own == {
        ("real_track", "seed"),
        ("replay", "rate"),
        ("watch", "object"),
        *BY_THE_CAMERA,
        *((graph, name) for graph in ("capture", "watch", "teleop") for name in ("camera", "camera_namespace")),
    }


@pytest.mark.parametrize("mine, home", COMMANDS.items(), ids=COMMANDS)
def test_an_option_has_the_default_of_what_it_sets(mine, home):
    assert default_of(f"dexhot.cli.{mine}") == default_of(home)


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_tables_of_arguments_are_those_of_the_graph(document):
    for graph, rows in re.findall(
        r"^\| argument of (\w+) \|.*\n\|[-|]+\n((?:\|.*\n)+)", document.read_text(), flags=re.M
    ):
        arguments = {a.name: a for a in GRAPHS[graph].arguments}
        for row in rows.splitlines():
            a = arguments[row.split("|")[1].strip()]
            assert row == f"| {a.name} | {a.default_text}{' ' * bool(a.default_text)}| {a.description} |"
        if document.stem == "launch":
            assert [row.split("|")[1].strip() for row in rows.splitlines()] == list(arguments)


def test_launch_md_has_the_table():
    assert "| argument of real_track |" in (DOCS / "launch.md").read_text()


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_a_default_named_in_prose_is_that_of_the_parameter(document):
    """`name` (0.5 s)."""
    defaults: dict[str, list[object]] = {}
    for node in NODES:
        for name, spec in load_schema(node).items():
            defaults.setdefault(name, []).append(spec.default)
    text = " ".join(document.read_text().split())
    for name, number in re.findall(r"`(\w+)` \((-?\d[\d.]*)[ ,)]", text):
        if name in defaults:
            assert float(number) in defaults[name], f"`{name}` ({number})"


def test_defaults_in_prose_are_found():
    text = " ".join((DOCS / "safety.md").read_text().split())
    assert len(re.findall(r"`(\w+)` \((-?\d[\d.]*)[ ,)]", text)) >= 8


def test_the_squeeze_is_meant_for_the_benchmarks_servos():
    hand = load_hand("leap_right")
    profile = RetargetOptions().profile or hand.servo
    assert servo(profile, hand.joint_names) == load_physics().finger(hand)
