"""Walks a page of docs/: its fenced blocks run in order in one folder, as a reader would type them.

- bash: each command runs as it stands. A comment `# needs ...` beside it (or alone, as the first line of its block: for
  the whole block) leaves it out; `# until Ctrl-C` starts it, waits for its first sign of life, and interrupts it at the
  end of its section.
- python: runs as a program; a block without an import is an excerpt of one and is left out.
- yaml: a block whose first line is `# NAME.yaml` becomes that file, any other is left out; so are other languages.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDS = ("hardware", "a ROS distribution", "a recording")  # what a command may be left out for
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.M | re.S)
INDENTED = re.compile(r"(?:^|\n)\n {4}\S.*")  # a block that is not fenced


@dataclass(frozen=True)
class Step:
    """One thing to do: a bash command, a python program, or a file to write."""

    language: str
    text: str
    remark: str = ""

    @property
    def needs(self) -> str:
        """What it needs that a walk has not; empty for a step that runs."""
        found = re.match(r"needs ([^,;:]*)", self.remark)
        return found[1] if found else ""

    @property
    def stays(self) -> bool:
        return self.remark.startswith("until Ctrl-C")


def section(page: str, heading: str) -> str:
    """The part of a page below a heading, up to the next one of its level."""
    [found] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S)
    return found


def steps(page: str) -> Iterator[Step]:
    """Those of the blocks of a page, in order."""
    taken = {"python": r"^(import|from) ", "yaml": r"\A# \S+\.yaml\n"}
    for language, text in BLOCK.findall(page):
        if language == "bash":
            yield from _commands(text)
        elif language in taken and re.search(taken[language], text, flags=re.M):
            yield Step(language, text)


def _commands(text: str) -> Iterator[Step]:
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line]
    whole = lines[0].removeprefix("# ") if lines[0].startswith("# needs ") else ""
    for line in lines:
        command, _, remark = line.partition("  # ")
        if not line.startswith("#"):
            yield Step("bash", command.strip(), whole or remark.strip())


def walk(page: str, folder: Path, stand_ins: dict[str, str] | None = None, alive: dict[str, str] | None = None):
    """Take the steps of a page in `folder`; returns the commands and programs that ran.

    stand_ins: pieces of the text and what takes their place. alive: for commands that stay, by a piece of them, a
    regular expression of the output that shows that they are up; by default any output does. Raises AssertionError
    with the output of a command that fails.
    """
    ran: list[str] = []
    environment = os.environ | {"PATH": f"{_own_dexhot(folder)}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    for part in re.split(r"^(?=## )", page, flags=re.M):
        with ExitStack() as stack:
            for step in steps(part):
                assert step.needs in ("", *NEEDS), f"{step.remark!r} of {step.text!r} is none of {NEEDS}"
                if step.needs:
                    continue
                text = step.text
                for old, new in (stand_ins or {}).items():
                    text = text.replace(old, new)
                if step.language == "yaml":
                    (folder / text.split()[1]).write_text(text)
                    continue
                call = [sys.executable, "-c", text] if step.language == "python" else ["bash", "-c", f"exec {text}"]
                if step.stays:
                    pattern = next((p for piece, p in (alive or {}).items() if piece in text), ".")
                    stack.enter_context(_staying(call, pattern, folder, environment))
                else:
                    _run(call, folder, environment)
                ran.append(text)
    return ran


def _own_dexhot(folder: Path) -> Path:
    """A folder for PATH whose `dexhot` is the one under test."""
    (folder / ".bin").mkdir()
    command = folder / ".bin" / "dexhot"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m dexhot "$@"\n')
    command.chmod(0o755)
    return command.parent


def _run(call: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{call[-1]}\n{done.stdout}{done.stderr}"


@contextmanager
def _staying(call: list[str], pattern: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A process that is up as soon as its output matches, interrupted at the end; it has to end by itself."""
    process = subprocess.Popen(
        call,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    up, output = threading.Event(), []

    def read() -> None:
        for line in process.stdout:
            output.append(line)
            if re.search(pattern, line):
                up.set()
        up.set()  # it has ended

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert up.wait(120) and process.poll() is None, f"{call[-1]} did not come up\n{''.join(output)}"
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 128 + signal.SIGINT), f"{call[-1]}\n{''.join(output)}"
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdin.close()
        process.stdout.close()
