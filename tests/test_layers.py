"""Imports run down the layers of docs/architecture.md only, without circles, between packages and between modules."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from dexhot.versions import DECISIVE

DOCS = Path(__file__).parents[1] / "docs"
SOURCE = Path(__file__).parents[1] / "src"
LAYERS = (  # from the top; each imports from those below it
    ("dexhot.cli",),
    ("dexhot_bench", "dexhot_isaacgym"),
    ("dexhot_train",),
    ("dexhot.bringup", "dexhot.report"),
    ("dexhot.ros",),
    ("dexhot.evaluation", "dexhot.view"),
    ("dexhot.planning",),
    ("dexhot.rollouts",),
    ("dexhot.rigs", "dexhot.synthesis"),
    ("dexhot.control", "dexhot.datasets"),
    ("dexhot.perception",),
    ("dexhot.fitting", "dexhot.retargeting"),
    ("dexhot.simulation", "dexhot.hardware", "dexhot.safety", "dexhot.metrics"),
    ("dexhot.robots", "dexhot.tracking"),
    ("dexhot.objects",),
    ("dexhot.data", "dexhot.humans"),
    ("dexhot.geometry",),
    ("dexhot.scratch", "dexhot.versions", "dexhot.progress"),
    ("dexhot.paths",),
    ("dexhot.errors",),
)
HEIGHT = {package: -k for k, layer in enumerate(LAYERS) for package in layer}
MODULES = {
    ".".join(p.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): p for p in SOURCE.rglob("*.py")
}
OUTSIDE = ("dexhot_train", "dexhot_bench", "dexhot_isaacgym")  # the runtime
ENTRIES = ("dexhot", "dexhot.__main__")


def package_of(module: str) -> str | None:
    """The package whose layer holds `module`; None for the entry points."""
    if module in ENTRIES:
        return None
    return next(package for package in HEIGHT if module == package or module.startswith(f"{package}."))


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All of them but those for the type checker alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from statements(node)


@cache
def imports_of(module: str) -> set[str]:
    """The project's modules that `module` imports, at its top or later."""
    found = set()
    for node in statements(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{module} imports relatively, which is not followed here"
            found |= {name if (name := f"{node.module}.{a.name}") in MODULES else node.module for a in node.names}
    return {name for name in found if name in MODULES}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_down_the_layers(module):
    if (here := package_of(module)) is None:
        return
    for imported in imports_of(module):
        there = package_of(imported)
        if there not in (None, here):
            assert HEIGHT[there] < HEIGHT[here], f"{here} imports {imported}, which is not below it"


def test_modules_do_not_form_a_circle():
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle of imports: {' -> '.join((*path[path.index(module) :], module))}"
        if module not in done:
            for imported in sorted(imports_of(module)):
                follow(imported, (*path, module))
            done.add(module)

    for module in MODULES:
        follow(module, ())


def test_what_decides_a_mined_result_is_what_mining_imports():
    """The key of a mined file hashes these packages; one that is left out would let an outdated file count as done."""
    needed, waiting = set(), ["dexhot_train.mining.clip_job"]
    while waiting:
        module = waiting.pop()
        new = imports_of(module) - needed
        needed |= new
        waiting += new
    packages = {module.split(".")[1] for module in needed if module.startswith("dexhot.") and "." in module[7:]}
    assert packages - {"hardware"} == set(DECISIVE)  # of the drivers the device interface alone


def mermaid(document: Path) -> list[list[str]]:
    """The statements of each mermaid block, without indentation."""
    blocks = re.findall(r"^```mermaid\n(.*?)^```", document.read_text(), flags=re.S | re.M)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def test_the_picture_of_the_layers_is_that_of_this_test():
    [[kind, *statements]] = mermaid(DOCS / "architecture.md")
    nodes = dict(found.groups() for s in statements if (found := re.fullmatch(r'(\w+)\["(.+)"\]', s)))
    edges = [found.groups() for s in statements if (found := re.fullmatch(r"(\w+) --> (\w+)", s))]
    assert kind == "flowchart TB" and len(nodes) + len(edges) == len(statements), "one statement per line"
    drawn = [tuple(sorted(part.split(":")[0] for part in label.split("<br>"))) for label in nodes.values()]
    layers = [tuple(sorted(package.removeprefix("dexhot.") for package in layer)) for layer in LAYERS]
    assert drawn == layers[: len(drawn)] and edges == list(pairwise(nodes))
    assert {name for layer in layers[len(drawn) :] for name in layer} == {
        "errors",
        "paths",
        "progress",
        "scratch",
        "versions",
    }


def test_the_runtime_loads_neither_training_nor_benchmarks():
    for module in MODULES:
        if (package := package_of(module)) not in (
            None,
            "dexhot.cli",
            "dexhot_train",
            "dexhot_bench",
            "dexhot_isaacgym",
        ):
            assert not {i for i in imports_of(module) if i.startswith(("dexhot_train", "dexhot_bench"))}, package


@pytest.mark.ros
@pytest.mark.parametrize(
    "module",
    [
        "bringup.graphs",
        "ros.drivers.leap_driver_node",
        "ros.track.object_filter_node",
        "ros.record.recorder_node",
        "ros.show.robot_state_node",
        "ros.supervise.supervisor_node",
    ],
)
def test_what_needs_no_physics_starts_without_its_libraries(module):
    heavy = "{'mujoco', 'scipy', 'trimesh'}"
    program = f"import sys, dexhot.{module}; print(*({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded


@pytest.mark.ros
@pytest.mark.parametrize("module", ["supervise.supervisor_node", "record.recorder_node", "show.robot_state_node"])
def test_who_only_reads_states_loads_no_object_library(module):
    """Nor numpy.random with it: 10 ms of every start."""
    program = f"import sys, dexhot.ros.{module}; print(*({{'dexhot.objects', 'numpy.random'}} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded


@pytest.mark.ros
@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("track.object_filter_node", {"numpy.random", "numpy.typing"}),
        ("see.hand_object_filter_node", {"dexhot.humans.skin"}),
        ("track.controller_node", {"dexhot.planning.planned", "dexhot.control.policy", "trimesh", "scipy.optimize"}),
        ("record.recorder_node", {"numpy.random", "sensor_msgs", "dexhot.data.rosbag.mcap"}),
    ],
)
def test_a_node_loads_no_module_that_only_others_need(module, spared):
    program = f"import sys, dexhot.ros.{module}; print(*({spared} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded


def test_no_two_classes_share_a_name():
    """A search for a name finds one thing. The command line's dataclasses are named after their subcommands."""
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        if not module.startswith("dexhot.cli"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(module)
    assert not {name: places for name, places in homes.items() if len(places) > 1}


def test_no_two_test_files_share_a_name():
    """pytest imports them by it; the second one breaks the whole run, which a run of one folder does not show."""
    names = (path.name for path in Path(__file__).parent.rglob("*.py"))
    counts = Counter(name for name in names if name != "conftest.py")  # which it expects in several folders
    assert [name for name, count in counts.items() if count > 1] == []
