"""What commands share of their arguments: names of values in `--help`, bounds, the command line that a file keeps."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tyro

from dexhot.errors import DexhotError

UNSAID = ("None", "", "''")
ON = tyro.conf.arg(help_behavior_hint="")  # a flag that --no-... turns off; its help text describes --no-...


def at_least(least: int, **values: float | None) -> None:
    """Raise DexhotError for an argument below `least`, infinite or NaN; None was not given."""
    for name, value in values.items():
        if value is not None and not least <= value < float("inf"):
            raise DexhotError(f"--{name.replace('_', '-')} must be {least} or more, not {value}.")


def shown(metavar: str) -> object:
    """For `Annotated`: the value is called `metavar`; an empty default is not shown."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=lambda d: "" if d in UNSAID else f"(default: {d})")


def plural(kind: Any) -> set[str]:
    """The options of a command's `Args`, its subcommands included, that take any number of values."""
    if not (isinstance(kind, type) and is_dataclass(kind)):  # a union, annotated
        return set().union(*map(plural, get_args(kind)))
    hints = get_type_hints(kind)
    return {f"--{name.replace('_', '-')}" for name, hint in hints.items() if Ellipsis in get_args(hint)}


def check_files(words: list[str], kind: Any) -> None:
    """Raise DexhotError for a folder, "results/", as an option that the command's `Args` call a FILE: its path would
    lose the slash, and name a file beside the folder."""
    if not (isinstance(kind, type) and is_dataclass(kind)):  # a union, annotated
        for one in get_args(kind):
            check_files(words, one)
        return
    hints = get_type_hints(kind, include_extras=True)
    called = {name: str(getattr(extra, "metavar", "")) for name, hint in hints.items() for extra in get_args(hint)[1:]}
    files = {f"--{name.replace('_', '-')}" for name, text in called.items() if text.partition(".")[0] == "FILE"}
    pairs = [*pairwise(words), *(word.partition("=")[::2] for word in words)]
    for option, value in pairs:
        if option.replace("_", "-") in files and value.endswith("/"):
            raise DexhotError(f"{value} is a folder; name a file in it with {option}, e.g. {value}NAME.")


def gathered(words: Iterable[str], several: set[str]) -> list[str]:
    """Words of a command line with all values of an option of `several` at its first place: of one that is given
    again, tyro keeps the last values alone."""
    kept: list[str] = []
    values: dict[str, list[str]] = {}
    option = ""
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            option = name.replace("_", "-") if name.replace("_", "-") in several else ""
            if option and option not in values:
                kept.append(option)
            if option:
                values.setdefault(option, []).extend([value] * bool(equals))
                continue
        (values[option] if option else kept).append(word)
    return [one for word in kept for one in (word, *values.get(word, ()))]


def options_of(args: Any, unsaid: tuple[str, ...]) -> list[str]:
    """The options that differ from their defaults, but for those that do not change the result."""
    given = {f.name: getattr(args, f.name) for f in fields(args) if f.name not in unsaid}
    given = {f.name: given[f.name] for f in fields(args) if f.name in given and given[f.name] != f.default}
    words = {name: "--" + name.replace("_", "-") for name in given}
    return [words[name] if value is True else f"{words[name]} {value}" for name, value in given.items()]


def policy_out(out: Path, force: bool, kind: str = "dexhot/policy") -> Path:
    """The .onnx file to write a policy to, or another network whose card is of `kind`. Raises DexhotError where a file
    is there that is not ours, without force."""
    from dexhot.data.files import check_out, with_suffix

    out = with_suffix(out, ".onnx")
    card = out.with_suffix(".json")
    check_out(card, kind, force)
    if out.exists() and not card.exists() and not force:
        raise DexhotError(f"{out} has no card ({card.name}), so it is not ours; give another --out, or --force.")
    return out
