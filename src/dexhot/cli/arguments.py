"""What `--help` calls the values that arguments take, in place of Python's types."""

import tyro

UNSAID = ("None", "", "''")
ON = tyro.conf.arg(help_behavior_hint="")  # a flag that --no-... turns off; its help is of that


def shown(metavar: str) -> object:
    """For `Annotated`: the value is called `metavar`; an empty default goes without saying."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=lambda d: "" if d in UNSAID else f"(default: {d})")
