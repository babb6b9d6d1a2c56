"""A fault as a function of its rig, its outcome, and the metrics over all faults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

SAFE_WITHIN = 250.0  # ms


@dataclass(frozen=True)
class Outcome:
    """Outcome of a fault. Times are ms after it; None: not detected, or not safe."""

    detected_by: str  # message that reported it; "" if undetected
    detected_ms: float | None
    safe_ms: float | None  # until no motion command is accepted; 0 if every accepted command stays valid
    state: str  # of the driver or the supervisor at the end
    recovered: str  # how it recovered; "" if it did not
    lost: str = "nothing"  # data
    messages_lost: int = 0  # recorded messages older than 1 s


@dataclass(frozen=True)
class Fault:
    """`run(rig)` injects it and removes its cause. `moves`: it affects motion, so it must be safe in time."""

    name: str
    group: str
    run: Callable[[Any], Outcome]
    quick: bool = False
    moves: bool = True


@dataclass(frozen=True)
class Result:
    """A fault and its outcome; `violations`: transmitted commands beyond limits, from the bytes received."""

    fault: Fault
    outcome: Outcome
    violations: int = 0

    @property
    def safe(self) -> bool:
        return self.outcome.safe_ms is not None and self.outcome.safe_ms <= SAFE_WITHIN

    def entries(self) -> dict[str, Any]:
        """Values for JSON."""
        o = self.outcome
        return {"fault": self.fault.name, "group": self.fault.group, **o.__dict__, "limit_violations": self.violations}


Trial = Callable[[Any], Outcome]  # runs on a rig


class FaultTable(list[Fault]):
    """The faults of one rig, in order of injection."""

    def __init__(self, group: str):
        super().__init__()
        self.group = group

    def add(self, name: str, quick: bool = False, moves: bool = True) -> Callable[[Trial], Trial]:
        """Decorator: register a function of the rig as the fault `name`."""

        def added(run: Trial) -> Trial:
            self.append(Fault(name, self.group, run, quick, moves))
            return run

        return added

    def case(
        self, name: str, run: Callable[..., Outcome], *arguments: Any, quick: bool = False, moves: bool = True
    ) -> None:
        """Register `run(rig, *arguments)` as the fault `name`."""
        self.append(Fault(name, self.group, lambda rig: run(rig, *arguments), quick, moves))


def metrics(results: list[Result], false_stops: int) -> dict[str, int]:
    """The benchmark's metrics; `must_be_safe` counts the faults that affect motion, `other_rows` the rest."""
    moving = [r for r in results if r.fault.moves]
    others = [r for r in results if not r.fault.moves]
    return {
        "injected": len(results),
        "detected": sum(r.outcome.detected_ms is not None for r in results),
        "must_be_safe": len(moving),
        "safe_within_250ms": sum(r.safe for r in moving),
        "other_rows": len(others),
        "others_detected": sum(r.outcome.detected_ms is not None for r in others),
        "recovered": sum(bool(r.outcome.recovered) for r in results),
        "limit_violations": sum(r.violations for r in results),
        "messages_lost": sum(r.outcome.messages_lost for r in results),
        "false_stops": false_stops,
    }


NEVER = Text("never", "red")


def rich_table(results: list[Result]) -> RichTable:
    """The results as a table for the terminal."""
    table = RichTable(title="faults", title_justify="left")
    for heading in ("rig", "injected fault", "detected, ms", "safe, ms", "end state", "recovery", "data lost"):
        table.add_column(heading, justify="right" if heading.endswith("ms") else "left")
    for r in results:
        o = r.outcome
        detected = NEVER if o.detected_ms is None else f"{o.detected_ms:.0f}"
        late = NEVER if o.safe_ms is None else Text(f"{o.safe_ms:.0f}", "" if r.safe else "red")
        safe = late if r.fault.moves else "-"
        table.add_row(r.fault.group, r.fault.name, detected, safe, o.state, o.recovered or Text("not", "red"), o.lost)
    return table
