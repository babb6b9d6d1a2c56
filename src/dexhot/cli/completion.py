"""The completion script of `dexhot` for a shell: commands, subcommands and flags, read from the commands' Args."""

import importlib
import io
import re
from contextlib import redirect_stdout, suppress
from typing import Any, get_args

import tyro

from dexhot.errors import DexhotError

SHELLS = ("bash", "zsh")

BASH = """\
# dexhot's completion for bash: dexhot --print-completion bash > ~/.local/share/bash-completion/completions/dexhot
_dexhot() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words
    case "${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}" in
{cases}
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{commands}"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [ ${{#COMPREPLY[@]}} -eq 0 ] && mapfile -t COMPREPLY < <(compgen -f -- "$word")
}}
complete -o filenames -F _dexhot dexhot
"""
ZSH = """\
#compdef dexhot
autoload -U +X bashcompinit && bashcompinit
"""


def script(shell: str, commands: list[str]) -> str:
    """The script that `shell` sources. Raises DexhotError for another shell."""
    if shell not in SHELLS:
        raise DexhotError(f"no completion for {shell!r}; one of {', '.join(SHELLS)}.")
    cases = []
    for command in sorted(commands, key=lambda words: " " not in words):  # "evaluate fit" before "evaluate"
        args = importlib.import_module(f"dexhot.cli.{command.replace(' ', '_')}_command").Args
        inner = subcommands(args)
        cases += [f'        "{command} {name}") words="{" ".join(flags(args, command, [name]))}";;' for name in inner]
        words = inner or flags(args, command, [])
        pattern = f'"{command}"' if " " in command else f'"{command} "*'
        cases.append(f'        {pattern}) words="{" ".join(words)}";;')
    written = BASH.format(
        cases="\n".join(cases), commands=" ".join([*(c for c in commands if " " not in c), "--help", "--version"])
    )
    return (
        written
        if shell == "bash"
        else ZSH + written.replace("mapfile -t COMPREPLY < <(", "COMPREPLY=($(").replace('"$word")', '"$word"))')
    )


def subcommands(args: object) -> list[str]:
    """Subcommands of a command whose Args are several dataclasses."""
    marks = [mark for member in get_args(args) for mark in get_args(member)[1:]]
    return [mark.name for mark in marks if hasattr(mark, "name")]


def flags(args: Any, command: str, words: list[str]) -> list[str]:
    """The flags that its --help lists."""
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        tyro.cli(args, prog=f"dexhot {command}", args=[*words, "--help"], config=(tyro.conf.FlagCreatePairsOff,))
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][\w-]*", printed.getvalue())))
