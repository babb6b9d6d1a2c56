"""`dexhot evaluate --rig`: a campaign on a rig, prompt by prompt."""

from pathlib import Path
from typing import Any

from rich.console import Console


def run_campaign(args: Any) -> None:
    """Lead through what is left of the campaign of `args` (evaluate_command.Args), and print its tables."""
    from dexhot.bringup.campaign import Campaign, begin, campaign_clip, conduct, further_arguments
    from dexhot.bringup.graph import parse_assignments, resolve
    from dexhot.bringup.graphs import load_graph
    from dexhot.bringup.launcher import require_ros
    from dexhot.cli.arguments import at_least
    from dexhot.cli.controller_arguments import check_demonstrations
    from dexhot.cli.output import console, print_json, results
    from dexhot.control.policy import OnnxNetwork
    from dexhot.errors import DexhotError
    from dexhot.evaluation.campaign import as_json, read_trials
    from dexhot.paths import runs_dir
    from dexhot.ros.core.claim import own_domain
    from dexhot_train.learners.baselines import STEPS, trained_baseline

    if args.file or args.out or args.reference or args.arm or args.panel or args.scores:
        raise DexhotError("--rig takes clips and controllers: no FILE, --reference, --out, --arm, --panel or --scores.")
    if not args.clips:
        raise DexhotError("--rig needs --clips: names of clips of --split, or files (references, demonstrations).")
    if not args.kinds:
        raise DexhotError("--kinds needs result, controller or both.")
    check_demonstrations(args.demonstrations)
    at_least(1, repeats=args.repeats)
    controller = _controller(args)
    further = further_arguments(parse_assignments(args.graph))
    resolve(load_graph("real_track"), {"rig": args.rig, **controller, **further})
    baseline = Path(args.baseline).resolve() if args.baseline not in ("", "none") else None
    if not args.baseline and (trained := trained_baseline("tracking")):
        baseline = trained.policy
    for policy in (controller.get("policy"), baseline):
        if policy:
            OnnxNetwork(policy)  # refused before anything is kept if it is none
    tracked = [_tracked(name, args) for name in dict.fromkeys(args.clips)]
    names = [getattr(item, "reference", item).name for item in tracked]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DexhotError(f"several of --clips are named {', '.join(twice)}, by which trials are counted: give one.")
    if baseline is None and not args.baseline:
        console.print(
            f"no baseline beside it: PPO without supervision has not been trained ({STEPS:,} control steps, "
            "`dexhot train baseline`); --baseline POLICY names another policy.",
            soft_wrap=True,
        )
    require_ros()
    folder = (args.campaign or runs_dir() / "campaign").resolve()
    settings = {
        "rig": args.rig,
        "kinds": list(args.kinds),
        "controller": controller,
        "baseline": str(baseline or ""),
        "demonstrations": args.demonstrations,
        "graph": list(args.graph),
    }
    begin(folder, settings)
    clips = [campaign_clip(folder, item, args.kinds, controller, baseline) for item in tracked]
    if missing := [clip.name for clip in clips if not clip.methods]:
        raise DexhotError(f"there is nothing to try on {', '.join(missing)}: no demonstration and no baseline.")
    own_domain()
    campaign = Campaign(folder, args.rig, clips, args.repeats, further)
    whole = conduct(
        campaign,
        lambda prompt: console.input(prompt),  # on stderr, as stdout ends with the JSON
        lambda line: console.print(line, soft_wrap=True),
    )
    trials = read_trials(campaign.ledger)
    _show(trials, results(args.json))
    left = 0 if whole else len(list(campaign.left()))
    if left:
        what = "1 trial is" if left == 1 else f"{left} trials are"
        console.print(f"{what} left; the same command goes on.")
    if args.json:
        print_json({"campaign": str(folder), "left": left, **as_json(trials)})


def _controller(args: Any) -> dict[str, str]:
    """The graph's arguments of our controller: `planned`, or the network of --policy."""
    from dexhot.cli.controller_arguments import check_planning
    from dexhot.errors import DexhotError

    if args.policy:
        return {"controller": "policy", "policy": str(args.policy.resolve())}
    if args.controller not in ("", "planned"):
        raise DexhotError(f"--rig tries --controller planned or --policy FILE.onnx, not {args.controller}.")
    check_planning(args)
    found = {"controller": "planned", "planning_seconds": f"{args.planning_seconds:g}"}
    found |= {"planning_rollouts": str(args.planning_rollouts)} if args.planning_rollouts else {}
    return found | ({"prior": args.prior} if args.prior else {})


def _tracked(name: str, args: Any) -> Any:
    """What a clip is tracked by: its file, its demonstration in --demonstrations, or itself retargeted and placed."""
    from dataclasses import replace

    from dexhot.data.files import a, load
    from dexhot.data.types import Demonstration, Reference
    from dexhot.datasets.retargeted import retargeted_clip
    from dexhot.errors import DexhotError
    from dexhot.evaluation.clips import clips_named, dataset_splits
    from dexhot.retargeting.placement import place, with_arm_path

    path, dataset = Path(name), args.dataset.replace("-", "_")
    if path.suffix != ".npz":
        clips_named(args.split, [name], dataset_splits(dataset))
        path = Path(args.demonstrations) / f"{name}.npz" if args.demonstrations else path
    if path.suffix == ".npz" and (path.is_file() or path == Path(name)):
        item: Any = load(path)
        if isinstance(item, Demonstration):
            return replace(item, reference=with_arm_path(item.reference))
        if isinstance(item, Reference):
            return with_arm_path(item)
        raise DexhotError(f"{path} holds {a(type(item))}; give a Reference or a Demonstration.")
    reference, setup = retargeted_clip(f"{dataset}/{name}")
    return place(reference, setup.hand)


def _show(trials: list[Any], to: Console) -> None:
    """The tables: percent of trials at level 1 / 2 / 3 per object, and the adaptivity score."""
    from rich.table import Table

    from dexhot.evaluation.campaign import tables

    for title, methods in tables(trials).items():
        objects = list(dict.fromkeys(name for found in methods.values() for name in found))
        table = Table("%, levels 1/2/3", *objects, title=title, title_justify="left")
        for method, found in methods.items():
            digits = {name: 3 if name == "adaptivity" else 1 for name in objects}
            cells = ("/".join(f"{x:.{digits[n]}f}" for x in found[n]) if n in found else "" for n in objects)
            table.add_row(method, *cells)
        to.print(table)
        to.print("  adaptivity: table 13, fractions, averaged over clips")
    if short := sorted({trial.clip for trial in trials if trial.short}):
        text = "no more than 100 frames after the lift, so level 3 counts to the clip's end"
        to.print(f"{text}: {', '.join(short)}", soft_wrap=True)
