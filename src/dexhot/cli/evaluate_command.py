"""Score a demonstration by simulating it again, or a recorded rollout as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dexhot.cli.arguments import shown
from dexhot.paths import PHYSICS


@dataclass
class Args:
    """Evaluate one file."""

    file: Annotated[Path, tyro.conf.Positional, shown("FILE|RUN")]
    """A Demonstration (simulated again, in the benchmark physics), a Rollout or a run's folder (judged as recorded)."""
    arm: bool = False
    """Play the Demonstration on the embedded rig (shaper, arm IK, arm and hand, within the arm's limits) instead of the
    floating hand, in the time that was planned for the arm."""
    panel: bool = False
    """Demonstration: also play it in five other worlds: three other physics, the arm, the arm with a displaced palm."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Demonstration: profile of the finger servos (config/servos.yaml); by default the one that it was mined with."""
    physics: Annotated[str, shown("VERSION")] = PHYSICS
    """Demonstration: version of the physics; 1 is that of dexhot 0.1.0."""
    clip: Annotated[str | None, shown("CLIP|FILE")] = None
    """The clip that the file was made from, by which it is verified; by default the one of the cache that it names."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Save the Rollout with its metrics to this file. Missing folders are created."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Evaluate the file and print every metric."""
    from dataclasses import replace

    from dexhot.cli.output import console, print_json
    from dexhot.data.bags import is_bag_file
    from dexhot.data.files import check_out, file_of, load, save
    from dexhot.data.types import Demonstration, Rollout
    from dexhot.datasets.library import clip_or_file
    from dexhot.errors import DexhotError, FileFormatError
    from dexhot.evaluation.panel import of_demonstration, play_panel
    from dexhot.evaluation.score import score, score_on_arm
    from dexhot.evaluation.verify import verified, verify
    from dexhot.progress import track
    from dexhot.rollouts.live import live_rollout
    from dexhot.simulation.setup import load_setup

    if args.out:
        check_out(file_of(args.out, Rollout), "dexhot/rollout", args.force)
    recorded = args.file.is_dir() or is_bag_file(args.file)
    item: Any = live_rollout(args.file) if recorded else load(args.file)
    clip, panel = clip_or_file(args.clip) if args.clip else None, None
    if isinstance(item, Rollout):
        if args.panel:
            raise DexhotError("--panel simulates the actions of a Demonstration; this is what happened in one world.")
        rollout = verified(item, load_setup(item.reference), clip)
    elif isinstance(item, Demonstration):
        setup = load_setup(item.reference, args.physics, args.profile)
        found = verify(item.reference, setup, clip)
        item = replace(item, reference=found.reference)
        rollout = found.label(score_on_arm(item, setup) if args.arm else score(item, setup))
        if args.panel:
            panel = play_panel(of_demonstration(item, setup), setup, lambda worlds: track(worlds, "panel, worlds"))
    else:
        kind = type(item).__name__
        raise FileFormatError(f"{args.file} holds a {kind}; evaluate takes a Demonstration, a Rollout, a run's folder.")
    _show(rollout)
    if panel:
        _show_panel(panel)
    verdict = rollout.provenance["verification"]
    if verdict["why"]:
        console.print(f"[yellow]{verdict['name']}[/]: {verdict['why']}", soft_wrap=True, highlight=False)
    for lost in rollout.provenance.get("bag_damage", []):
        console.print(f"damaged: {lost}", soft_wrap=True, highlight=False)
    if args.out:
        console.print(f"written to {save(rollout, args.out)}")
    if args.json:
        facts = {"file": str(args.file), "kind": rollout.kind, **named(rollout), "verification": verdict}
        facts |= {"success_panel": panel.success, "panel": panel.as_json()} if panel else {}
        print_json(facts | rollout.metrics)


def named(rollout: Any) -> dict[str, str]:
    """The physics that made a rollout: its version, and the profile of the finger servos."""
    return {name: rollout.provenance[name] for name in ("physics", "servo") if name in rollout.provenance}


def _show(rollout: Any) -> None:
    """Print each metric beside its limit, as in the report."""
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot.metrics.judge import judge

    title = ", ".join([f"{rollout.name} ({rollout.kind}", *(f"{k} {v}" for k, v in named(rollout).items())]) + ")"
    table = Table(
        "metric",
        "value",
        "",
        "limit",
        "",
        title=title,
        title_justify="left",
    )
    table.columns[1].justify = "right"
    for v in judge(rollout.metrics):
        mark = "" if v.passed is None else "[green]pass[/]" if v.passed else "[red]fail[/]"
        table.add_row(v.id, v.text, v.unit, v.limit_text, mark)
    console.print(table)


def _show_panel(panel: Any) -> None:
    """Each world's verdict."""
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot.evaluation.panel import NEEDED

    passed, of = sum(light.passed for light in panel.lights), len(panel.lights)
    verdict = "[green]pass[/]" if panel.success else "[red]fail[/]"
    title = f"success_panel {verdict}: strict in {passed} of {of} other worlds; the nominal one and {NEEDED} are needed"
    table = Table("world", "strict", "why", title=title, title_justify="left")
    for light in (panel.nominal, *panel.lights):
        table.add_row(light.name, "[green]pass[/]" if light.passed else "[red]fail[/]", light.why)
    console.print(table)
