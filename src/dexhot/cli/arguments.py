"""Names of argument values in `--help`, in place of Python's types."""

import tyro

from dexhot.errors import DexhotError

UNSAID = ("None", "", "''")
ON = tyro.conf.arg(help_behavior_hint="")  # a flag that --no-... turns off; its help text describes --no-...


def at_least(least: int, **values: int | None) -> None:
    """Raise DexhotError for an argument below `least`; None was not given."""
    for name, value in values.items():
        if value is not None and value < least:
            raise DexhotError(f"--{name.replace('_', '-')} must be {least} or more, not {value}.")


def shown(metavar: str) -> object:
    """For `Annotated`: the value is called `metavar`; an empty default is not shown."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=lambda d: "" if d in UNSAID else f"(default: {d})")
