"""The commands that reproduce a run, starting from its demonstration, and that inspect it."""

import shlex
from typing import Any

from dexhot.data.types import Reference, Rollout

GIVEN_ELSEWHERE = ("reference", "record", "duration", "exit_when_done", "view")  # of a graph's arguments


def commands(
    rollout: Rollout, source: str, arguments: dict[str, Any] | None = None, mined: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    """(purpose, command) pairs. `source`: the report's source as given by the user; `arguments`: those of a recorded
    run's graph; `mined`: the provenance of the tracked Demonstration."""
    reference = rollout.reference
    stem = reference.name.rpartition("/")[2]
    out = [*_made(reference, stem)]
    demonstration = f"{stem}.demonstration.npz"
    if mined is not None:
        seed = mined.get("options", {}).get("seed", 0)
        out += [("mine", _line("dexhot mine", f"{stem}.reference.npz", "--out", demonstration, "--seed", seed))]
        out += [("evaluate the demonstration", _line("dexhot evaluate", demonstration))]
    if arguments is not None:
        tracked = f"{stem}.reference.npz" if mined is None else demonstration
        given = {k: v for k, v in arguments.items() if k not in GIVEN_ELSEWHERE and v not in ("", 0, False, None)}
        words = [f"{key}:={_ros(value)}" for key, value in ({"reference": tracked} | given).items()]
        out += [("run again", _line("dexhot up real_track", *words, "exit_when_done:=true"))]
    out += [(f"{word} {'this run' if arguments is not None else 'this file'}", _line(f"dexhot {word}", source))
            for word in ("evaluate", "view", "report")]  # fmt: skip
    return out


def _made(reference: Reference, stem: str) -> list[tuple[str, str]]:
    """Commands to get and retarget the clip."""
    trajectory, options = reference.provenance.get("trajectory", {}), reference.provenance.get("retarget", {})
    dataset = reference.name.partition("/")[0]
    out = []
    if dataset == "grab":
        out += [("get the dataset", "dexhot datasets get grab")]
    if not options:
        return out
    words: list[Any] = [reference.name, "--hand", reference.hand, "--out", f"{stem}.reference.npz"]
    words += [] if options.get("contact", True) else ["--no-contact"]
    words += [] if abs(reference.placement[:3]).any() else ["--no-place"]
    words += ["--frames", "{}:{}".format(*trajectory["frames"])] if "frames" in trajectory else []
    return [*out, ("retarget", _line("dexhot retarget", *words))]


def _line(command: str, *words: Any) -> str:
    return " ".join([command, *(shlex.quote(str(word)) for word in words)])


def _ros(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
