"""Score a demonstration by simulating it again, or a recorded rollout as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Evaluate one file."""

    file: Annotated[Path, tyro.conf.Positional, shown("FILE|RUN")]
    """A Demonstration (simulated again, in the benchmark physics), a Rollout or a run's folder (judged as recorded)."""
    arm: bool = False
    """Play the Demonstration on the embedded rig (shaper, arm IK, arm and hand) instead of the floating hand."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Save the Rollout with its metrics to this file. Missing folders are created."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Evaluate the file and print every metric."""
    from dexhot.cli.output import console, print_json
    from dexhot.data.bags import is_bag_file
    from dexhot.data.files import check_out, file_of, load, save
    from dexhot.data.types import Demonstration, Rollout
    from dexhot.errors import FileFormatError
    from dexhot.evaluation.score import rejudge, score, score_on_arm
    from dexhot.rollouts.live import live_rollout

    if args.out:
        check_out(file_of(args.out, Rollout), "dexhot/rollout", args.force)
    recorded = args.file.is_dir() or is_bag_file(args.file)
    item: Any = live_rollout(args.file) if recorded else load(args.file)
    if isinstance(item, Rollout):
        rollout = rejudge(item)
    elif isinstance(item, Demonstration):
        rollout = score_on_arm(item) if args.arm else score(item)
    else:
        kind = type(item).__name__
        raise FileFormatError(f"{args.file} holds a {kind}; evaluate takes a Demonstration, a Rollout, a run's folder.")
    _show(rollout)
    for lost in rollout.provenance.get("bag_damage", []):
        console.print(f"damaged: {lost}", soft_wrap=True, highlight=False)
    if args.out:
        console.print(f"written to {save(rollout, args.out)}")
    if args.json:
        print_json({"file": str(args.file), "kind": rollout.kind, **rollout.metrics})


def _show(rollout: Any) -> None:
    """Print each metric beside its limit, as in the report."""
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot.metrics.judge import judge

    table = Table("metric", "value", "", "limit", "", title=f"{rollout.name} ({rollout.kind})", title_justify="left")
    table.columns[1].justify = "right"
    for v in judge(rollout.metrics):
        mark = "" if v.passed is None else "[green]pass[/]" if v.passed else "[red]fail[/]"
        table.add_row(v.id, v.text, v.unit, v.limit_text, mark)
    console.print(table)
