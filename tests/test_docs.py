"""What README.md and docs/ name exists: commands, flags, graph arguments, links, files, topics, parameters."""

import importlib
import re
import shlex
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import tyro

from dexhot.bringup.graph import parse_assignments, plan, resolve
from dexhot.bringup.graphs import GRAPHS, load_graph
from dexhot.cli import COMMANDS
from dexhot.cli.completion import SHELLS
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.ros.core.parameters import load_schema

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "docs|examples|src|config|launch|tests|urdf|policies|docker|benchmarks"
PLACEHOLDERS = {"KIND": "lift", "SHAPE": "box", "N": "1", "SECONDS": "1"}  # where any other word would not be parsed

every_document = pytest.mark.parametrize("document", DOCS, ids=[path.name for path in DOCS])


def fenced(text: str) -> list[str]:
    """Lines of code: of fenced blocks, and those indented by four or more. Continued lines are one."""
    lines, inside = [], False
    for line in text.replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif inside or line.startswith("    "):
            lines.append(line.strip())
    return lines


def spans(text: str) -> list[str]:
    """The `code` within prose, which may go over a line's end."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands(pieces: list[str]) -> list[str]:
    """What of the pieces calls dexhot or launches a graph; remarks stand after two blanks or a #."""
    found = []
    for piece in pieces:
        for part in re.split(r"\s{2,}|\s#\s", piece):
            part = re.sub(r"^(\$ |or: |\w+=\S+ )+", "", part)
            if re.match(r"(dexhot|ros2 launch dexhot) \S", part):
                found.append(re.sub(r"<[^>]*>", "X", part).replace("[", "").replace("]", ""))
    return found


@cache
def arguments_of(command: str):
    return importlib.import_module(f"dexhot.cli.{command}_command").Args


def check_command(command: str) -> None:
    """Raises SystemExit or DexhotError for a command that dexhot would refuse."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command) if word != "..."]
    if words[0] == "ros2":
        graph = words[3].removesuffix(".launch.py")
        assert (ROOT / "launch" / f"{graph}.launch.py").is_file(), words[3]
        resolve(load_graph(graph), parse_assignments([word for word in words[4:] if word != "--show-args"]))
        return
    name = words[1]
    if name == "--print-completion":
        assert words[2:] and words[2].split("|")[0] in SHELLS
        return
    assert name in COMMANDS, f"no command {name}"
    args = tyro.cli(arguments_of(name), prog=f"dexhot {name}", args=words[2:])
    if hasattr(args, "arguments"):
        resolve(load_graph(getattr(args, "graph", name)), parse_assignments(args.arguments))


def check_mention(command: str) -> None:
    """A command in prose may lack what it needs: `dexhot leap`. Its words must be commands all the same."""
    words = command.split()[1:]
    if any(word.startswith("-") or ":=" in word for word in words):
        return check_command(command)
    try:
        check_command(command)
    except SystemExit:
        assert words[0] in COMMANDS, f"no command {words[0]}"
        assert not words[1:] or words[1] in subcommands(words[0]), command


def subcommands(command: str) -> list[str]:
    """Those of a command whose Args are several dataclasses."""
    members = [get_args(member) for member in get_args(arguments_of(command))]
    return [mark.name for _, *marks in members for mark in marks if hasattr(mark, "name")]


def anchors(document: Path) -> set[str]:
    """Headings as links name them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def sources() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))


def test_every_page_is_in_the_site_s_navigation():
    pages = re.findall(r'"([a-z_]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(pages) == [path.name for path in sorted((ROOT / "docs").glob("*.md"))]


def test_a_broken_link_fails_the_site(tmp_path):
    """The strict build; that the pages as they are pass it is part of `make lint`."""
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    call = [Path(sysconfig.get_path("scripts")) / "zensical", "build", "--strict"]
    built = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode and "page does not exist" in built.stderr


def test_commands_are_found():
    found = [command for document in DOCS for command in commands(fenced(document.read_text()))]
    assert len(found) > 30 and "dexhot generate lift --shape box --seed 0 --out lift.npz" in found


@pytest.mark.parametrize("wrong", ["fly", "leap chek", "bench flight", "mine --fast", "up real_track rig:=lab"])
def test_a_command_that_does_not_exist_is_noticed(wrong):
    with pytest.raises((SystemExit, AssertionError, DexhotError)):
        check_mention(f"dexhot {wrong}")


@every_document
def test_every_command_line_is_one_that_exists(document):
    for command in commands(fenced(document.read_text())):
        check_command(command)


@every_document
def test_every_command_in_prose_is_one_that_exists(document):
    for command in commands(spans(document.read_text())):
        check_mention(command)


@every_document
def test_every_argument_in_prose_belongs_to_a_graph(document):
    known = {argument.name: argument for name in GRAPHS for argument in load_graph(name).arguments}
    for span in spans(document.read_text()):
        for name, value in re.findall(r"(?<!\S)(\w+):=(\S*)", span):
            assert name in known, span
            if known[name].choices and value:
                assert any(value in a.choices for g in GRAPHS for a in load_graph(g).arguments if a.name == name), span


@every_document
def test_every_link_leads_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{document.name}: {link}"


@every_document
def test_every_file_of_the_repository_that_is_named_exists(document):
    for path, more in re.findall(rf"(?<![\w./~$-])((?:{FOLDERS})/[\w./-]*)([{{<*]?)", document.read_text()):
        named = ROOT / path.rstrip(".")
        assert (named if not more else named.parent).exists(), f"{document.name}: {path}"


@every_document
def test_every_module_that_is_named_exists(document):
    for path in re.findall(r"(?<![\w./-])([a-z_]+/[\w/]+\.py)\b", document.read_text()):
        assert any((root / path).is_file() for root in (ROOT, ROOT / "src", ROOT / "src" / "dexhot")), path


@every_document
def test_every_target_of_make_exists(document):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M)
    text = document.read_text()
    for target in re.findall(r"^make (\w+)", text, flags=re.M) + re.findall(r"`make (\w+)", text):
        assert target in targets, f"{document.name}: make {target}"


@every_document
def test_every_parameter_given_to_a_node_is_one_of_its_schema(document):
    for node, inside in re.findall(r"\b(\w+): \{([^{}]*)\}", document.read_text()):
        if (ROOT / "config" / "nodes" / f"{node}.yaml").is_file():
            for name in re.findall(r"(\w+):", inside):
                assert name in load_schema(node), f"{document.name}: {node} has no parameter {name}"


@every_document
def test_every_service_and_topic_of_safety_exists(document):
    code = sources()
    for name in re.findall(r"(?<!\w)/safety/\w+", document.read_text()):
        assert f'"{name}"' in code, f"{document.name}: {name}"


@pytest.mark.parametrize("start", ["README.md", "docs/index.md"])
def test_every_page_is_linked_where_readers_start(start):
    linked = {Path(link).name for link in re.findall(r"\]\(([\w./]+\.md)", (ROOT / start).read_text())}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def test_every_topic_of_the_graph_exists():
    rows = re.findall(r"^\| (/\S+(?:, /\S+)*) \|", (ROOT / "docs" / "graph.md").read_text(), flags=re.M)
    code = sources()
    assert len(rows) > 10
    for topic in (topic for row in rows for topic in row.split(", ")):
        assert f'{topic}"' in code, topic


def test_every_argument_of_the_main_graph_is_documented():
    text = (ROOT / "docs" / "launch.md").read_text()
    for argument in load_graph("real_track").arguments:
        assert re.search(rf"^\|[^|]*\b{argument.name}\b[^|]*\|", text, flags=re.M), argument.name


def test_the_nodes_that_ros2_node_list_shows_are_those_of_the_graph():
    page = (ROOT / "docs" / "launch.md").read_text()
    words, listed = re.search(r"real_track\.launch\.py (.*)\n\$ ros2 node list\n((?:/.*\n)+)", page).groups()
    arguments = resolve(load_graph("real_track"), parse_assignments(words.split()))
    nodes = [node.name for process in load_graph("real_track").processes(arguments) for node in process.nodes]
    assert listed.split() == sorted(f"/{node}" for node in nodes)


def test_the_parameters_for_first_motions_fit_the_real_rig(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path))
    given = {"rig": "real", "franka_host": "172.16.0.2", "speed": "0.1"}
    made = plan(load_graph("real_track"), given | {"parameters": str(share_dir() / "config" / "first_motion.yaml")}, {})
    assert made.parameters["supervisor"]["auto_start"] is False
    assert made.parameters["supervisor"]["lead_in"] > made.parameters["controller"]["ramp"]
