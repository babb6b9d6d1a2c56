"""`make mutants` on a project of three functions: what is found, tried, kept and left alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.mutants.mutate import changed_lines, mutants, mutated, sample
from tools.mutants.table import load_table

ROOT = Path(__file__).parents[1]
SOURCE = '''"""Sums."""


def add(a: float | None, b: float) -> float | None:
    return a + b


def scaled(a):
    return 2 * a


def untested(a):
    return a - 1
'''
TESTS = """
from calc import add, scaled

def test_sums():
    assert add(3, 5) == 8

def test_scales():
    assert scaled(3) == 6
"""
TABLE = """
[packages]
sums = ["src/*.py"]
[[equivalent]]
module = "src/calc.py"
line = "return a - 1"
mutant = "return a + 1"
reason = "nobody calls it"
"""


@pytest.fixture
def project(tmp_path) -> Path:
    files = {
        "src/calc.py": SOURCE,
        "tests/test_calc.py": TESTS,
        "tests/conftest.py": "",
        "pytest.ini": "[pytest]\nmarkers = ros\n  data\n",
        "tools/mutants/mutants.toml": TABLE,
        ".gitignore": "__pycache__\n.mutants\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.mutants", "--root", project, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tree(project: Path) -> dict[str, str]:
    return {str(p): p.read_text() for p in project.rglob("*.py")}


def test_survivors_are_shown_killed_ones_counted_and_sources_left_alone(project):
    before = tree(project)
    first = run(project, "--sample", "3", "--goal", "0.9")
    assert first.returncode == 1, first.stderr  # below the goal
    assert "src/calc.py:13 in untested" in first.stdout and "- return a - 1" in first.stdout
    assert "add" not in first.stdout and "scaled" not in first.stdout
    assert first.stdout.splitlines()[-1].split()[2:] == ["3", "0", "1", "0.667"]
    assert tree(project) == before

    # resumed: what was killed is not tried again, what survived is, as its tests have changed
    (project / "tests/test_calc.py").write_text(
        "from calc import untested\n\ndef test():\n    assert untested(3) == 2\n"
    )
    again = run(project, "--sample", "3", "--goal", "0.9")
    assert again.returncode == 0 and again.stdout.splitlines()[-1].split()[2:] == ["3", "0", "0", "1.000"]


def test_tests_that_fail_without_any_mutant_are_no_score(project):
    (project / "tests/test_calc.py").write_text("def test():\n    assert False\n")
    found = run(project, "--sample", "3")
    assert found.returncode == 2 and "fail without any mutant" in found.stderr


def test_an_unknown_package_lists_the_packages(project):
    found = run(project, "--package", "differences")
    assert found.returncode == 2 and "there are: sums" in found.stderr


def test_types_are_not_mutated(project):
    lines = {mutant.spec.start_pos[0] for mutant in mutants(project, Path("src/calc.py"))}
    assert lines == {5, 9, 13}


def test_a_sample_has_one_mutant_per_place_and_stays_when_code_is_added(project):
    first = sample(mutants(project, Path("src/calc.py")), 60, seed=3)
    places = [mutant.spec.start_pos for mutant in first]
    assert len(places) == len(set(places)) == 5  # four operators and numbers, in three lines: + | 2 * | - 1
    (project / "src/calc.py").write_text(SOURCE.replace("def add", "def more(a):\n    return a * a\n\n\ndef add"))
    found = mutants(project, Path("src/calc.py"))
    assert {m.rank(3) for m in first} <= {m.rank(3) for m in sample(found, 60, seed=3)}
    assert {m.rank(3) for m in first} != {m.rank(4) for m in sample(found, 60, seed=4)}


def test_a_mutant_is_known_by_the_line_that_it_changes(project):
    mutant = next(m for m in mutants(project, Path("src/calc.py")) if m.spec.operator_name.endswith("Sub_Add"))
    before, after = changed_lines(SOURCE, mutated(SOURCE, mutant))
    assert (before, after) == ("return a - 1", "return a + 1")
    assert load_table(project).equivalents["src/calc.py", before, after] == "nobody calls it"


def test_an_equivalent_needs_a_reason(project):
    (project / "tools/mutants/mutants.toml").write_text(TABLE.replace("nobody calls it", " "))
    with pytest.raises(ValueError, match="give the reason"):
        load_table(project)


def test_every_module_has_tests_near_it_and_every_equivalent_its_line():
    table = load_table(ROOT)
    for package in table.packages:
        modules = table.modules(package)
        assert modules and all(table.nearest(module) for module in modules)
    for module, line, mutant in table.equivalents:
        assert line in [text.strip() for text in (ROOT / module).read_text().splitlines()], (module, line, mutant)


ENDLESS = """
import sys
from pathlib import Path
from tools.mutants.trial import start
root = Path(sys.argv[1])
print(start(root, ("tests/test_calc.py",), root / "log", cpu=1.0).wait())
"""


def test_a_mutant_that_never_ends_is_ended(project):
    (project / "tests/test_calc.py").write_text("def test():\n    while True:\n        pass\n")
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, project], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "-1"
