"""The `dexhot` command itself: help, unknown names, errors as one sentence, JSON on the last line."""

import ast
import importlib
import json
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from dexhot.bringup.graphs import GRAPHS
from dexhot.cli import COMMANDS, bench_command, main
from dexhot.data.files import replacing, write_text
from dexhot.errors import DexhotError, NotFoundError

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


def test_help_names_every_benchmark_and_graph(capsys):
    """Their names stand in texts, which nothing else compares with the lists."""
    assert main(["--help"]) == 0
    told = capsys.readouterr().out.partition("run a benchmark: ")[2].partition("\n")[0]
    assert tuple(told.split(", ")) == get_args(get_type_hints(bench_command.Args)["name"])
    with pytest.raises(SystemExit):
        main(["up", "--help"])
    told = " ".join(capsys.readouterr().out.split()).partition("Name of the graph: ")[2].partition(". (")[0]
    assert set(told.replace(" or ", ", ").split(", ")) == set(GRAPHS)


def test_an_unknown_command_names_the_valid_ones(capsys):
    assert main(["trian"]) == 1
    error = capsys.readouterr().err
    assert "trian" in error and "mine" in error


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_arguments_and_a_run_function(name):
    module = importlib.import_module(f"dexhot.cli.{name}_command")
    assert callable(module.run) and module.Args is not None and module.__doc__


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: dexhot " + name in capsys.readouterr().out


def test_doctor_ends_with_one_json_line():
    reply = subprocess.run(
        [sys.executable, "-m", "dexhot", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    report = json.loads(reply.stdout.strip().splitlines()[-1])
    assert reply.returncode == (0 if report["ok"] else 1)
    names = {check["name"] for check in report["checks"]}
    assert {"ROS 2 (rclpy)", "off-screen OpenGL", "shared memory (/dev/shm)", "serial latency timer"} <= names
    assert all(check["remedy"] for check in report["checks"] if check["status"] == "missing")


def test_a_refused_input_is_one_sentence_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "dexhot", "evaluate", str(tmp_path / "absent.npz")]
    reply = subprocess.run(command, capture_output=True, text=True, check=False)
    assert reply.returncode == 1
    assert "absent.npz does not exist" in reply.stderr and "Traceback" not in reply.stderr


def test_of_many_names_the_near_ones_are_offered():
    names = [f"grab/object{k}_lift" for k in range(40)] + ["grab/duck_lift"]
    assert "41 others, such as grab/duck_lift" in str(NotFoundError("clip", "grab/duck_lft", names))


def test_a_port_that_cannot_be_is_refused(tmp_path, capsys):
    assert main(["view", str(tmp_path), "--port", "99999"]) == 1
    assert "--port must be between 1 and 65535" in capsys.readouterr().err


def test_a_refused_input_is_json_too_when_asked_for(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "absent.npz"), "--json"]) == 1
    assert "absent.npz" in json.loads(capsys.readouterr().out.strip().splitlines()[-1])["error"]


@pytest.mark.parametrize(
    ("command", "goes_on"),
    [
        ("train demonstrations grab --out a_set", True),
        ("bench fit --minutes 5", True),
        ("bench fit --quick", False),
        ("doctor", False),
    ],
)
def test_ctrl_c_names_what_goes_on(command, goes_on, capsys, monkeypatch):
    def stopped(args):
        raise KeyboardInterrupt

    words = command.split()
    monkeypatch.setattr(importlib.import_module(f"dexhot.cli.{words[0]}_command"), "run", stopped)
    assert main(words) == 130
    told = capsys.readouterr().err
    assert told == (f"stopped; what is done is kept. Go on with: dexhot {command}\n" if goes_on else "")


@pytest.mark.parametrize("name", ["perceive", "fit", "report", "retarget"])
@pytest.mark.parametrize("written", [False, True])
def test_ctrl_c_says_what_was_written(name, written, capsys, monkeypatch, tmp_path, cache):
    def stopped(args):
        write_text(cache / "symmetry.json", "{}")
        if written:
            write_text(tmp_path / "x.json", "{}")
        with suppress(OSError), replacing(tmp_path / "lost.json"):
            raise OSError(28, "full")
        raise KeyboardInterrupt

    monkeypatch.setattr("dexhot.data.files.WRITTEN", {})
    monkeypatch.setattr(importlib.import_module(f"dexhot.cli.{name}_command"), "run", stopped)
    assert main([name, "a"]) == 130
    told = f"written before that: {tmp_path / 'x.json'}" if written else "nothing was written."
    assert capsys.readouterr().err == f"interrupted; {told}\n"


def test_every_option_of_bench_is_an_argument_of_its_benchmarks():
    common = {"name", "quick", "out", "force", "json"}
    assert {field.name for field in fields(bench_command.Args)} - common == set(bench_command.OPTIONS)
    for option, benchmarks in bench_command.OPTIONS.items():
        for name in benchmarks:
            module = bench_command.MODULES.get(name, f"dexhot_bench.{name}")
            source = (ROOT / "src" / (module.replace(".", "/") + ".py")).read_text()
            run = next(f for f in ast.parse(source).body if isinstance(f, ast.FunctionDef) and f.name == "run")
            assert option in {argument.arg for argument in run.args.args}, (option, name)


def test_a_bench_is_given_the_options_that_differ_from_their_defaults_alone():
    args = bench_command.Args("mine", peers=True, structured=False, split="train")
    assert bench_command.chosen(args) == {"peers": True, "structured": False}
    for wrong, why in (
        ({"name": "loop", "structured": False}, "--no-structured belongs to `dexhot bench mine`"),
        ({"name": "fit", "frames": 30, "quick": True}, "--frames belongs to a run without --quick"),
        ({"name": "fit", "frames": 1}, "--frames must be 2 or more"),
        ({"name": "assist", "table": "1"}, "no table 1 of assist; its tables: I, II"),
    ):
        with pytest.raises(DexhotError, match=re.escape(why)):
            bench_command.chosen(bench_command.Args(**wrong))
