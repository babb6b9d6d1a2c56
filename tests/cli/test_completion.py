"""`dexhot --print-completion`: the scripts, sourced by real shells."""

import shutil
import subprocess

import pytest

from dexhot.cli import COMMANDS, NESTED, main


def completed(shell_script: str, *words: str) -> set[str]:
    """What bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in words)
    ask = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _dexhot; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    told = subprocess.run(["bash", "-c", f"{shell_script}\n{ask}"], capture_output=True, text=True, check=True)
    assert not told.stderr
    return set(told.stdout.split())


@pytest.fixture(scope="module")
def bash() -> str:
    from dexhot.cli.completion import script

    return script("bash", [*COMMANDS, *map(" ".join, NESTED)])


def test_bash_completes_commands_subcommands_and_flags(bash):
    assert completed(bash, "dexhot", "re") == {"replay", "retarget", "report"}
    assert completed(bash, "dexhot", "bag", "") == {"info", "repair"}
    assert completed(bash, "dexhot", "bag", "repair", "--o") == {"--out"}
    assert completed(bash, "dexhot", "mine", "--s") == {"--samples", "--seed", "--structured"}
    assert completed(bash, "dexhot", "evaluate", "fit", "--pr") == {"--protocol"}
    assert "--controller" in completed(bash, "dexhot", "evaluate", "--")


def test_every_command_is_completed(bash):
    assert set(COMMANDS) <= completed(bash, "dexhot", "")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_zsh_reads_its_script(tmp_path, capsys):
    assert main(["--print-completion", "zsh"]) == 0
    (tmp_path / "_dexhot").write_text(capsys.readouterr().out)
    call = f"autoload -Uz compinit && compinit -u; source {tmp_path}/_dexhot; whence -w _dexhot"
    told = subprocess.run(["zsh", "-fc", call], capture_output=True, text=True, check=True)
    assert "function" in told.stdout and not told.stderr


def test_another_shell_is_refused(capsys):
    assert main(["--print-completion", "fish"]) == 1
    assert "bash|zsh" in capsys.readouterr().err
    assert main(["--print-completion"]) == 1


def test_the_command_prints_the_script(capsys):
    assert main(["--print-completion", "bash"]) == 0
    assert "complete -o filenames -F _dexhot dexhot" in capsys.readouterr().out
