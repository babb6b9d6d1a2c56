"""Imports run down the floors only, without circles, and the runtime never imports the training package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FLOOR = {
    "geometry": 0,
    "data": 1,
    "tracking": 1,
    "hands": 1,
    "retargeting": 2,
    "simulation": 2,
    "hardware": 2,
    "evaluation": 2,
    "control": 3,
    "view": 3,
    "nodes": 4,
    "dexhot_train": 4,
    "cli": 5,
}
MODULES = sorted(SOURCE.rglob("*.py"))


def package_of(parts: tuple[str, ...]) -> str | None:
    """The floor's name of a module's dotted parts; None for errors, paths and the package itself."""
    if parts[0] == "dexhot_train":
        return "dexhot_train"
    return parts[1] if parts[0] == "dexhot" and len(parts) > 1 and parts[1] in FLOOR else None


def imports_of(path: Path) -> set[tuple[str, ...]]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {tuple(a.name.split(".")) for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path} imports relatively, which is not followed here"
            found |= {(*node.module.split("."), a.name) for a in node.names}
    return {f for f in found if f[0] in ("dexhot", "dexhot_train")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_imports_run_down_the_floors(path):
    here = package_of(path.relative_to(SOURCE).with_suffix("").parts)
    if here is None:
        return
    for imported in imports_of(path):
        there = package_of(imported)
        if there is None or there == here:
            continue
        assert FLOOR[there] <= FLOOR[here], f"{here} (floor {FLOOR[here]}) imports {'.'.join(imported)}"
        if there == "dexhot_train":
            assert here == "cli", f"{here} imports the training package"


def test_packages_of_one_floor_do_not_form_a_circle():
    edges: dict[str, set[str]] = {name: set() for name in FLOOR}
    for path in MODULES:
        here = package_of(path.relative_to(SOURCE).with_suffix("").parts)
        if here:
            edges[here] |= {p for i in imports_of(path) if (p := package_of(i)) and p != here}

    def reach(name: str, seen: frozenset[str]) -> None:
        assert name not in seen, f"a circle of imports through {name}: {sorted(seen)}"
        for following in edges[name]:
            reach(following, seen | {name})

    for name in FLOOR:
        reach(name, frozenset())


@pytest.mark.ros
@pytest.mark.parametrize(
    "module", ["graphs", "leap_driver_node", "object_filter_node", "recorder_node", "supervisor_node"]
)
def test_what_needs_no_physics_starts_without_its_libraries(module):
    heavy = "{'mujoco', 'scipy', 'trimesh'}"
    program = f"import sys, dexhot.nodes.{module}; print(*({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded
