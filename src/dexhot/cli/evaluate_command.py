"""Score a demonstration by simulating it again, a recorded rollout as it is, or a controller or policy on clips.

Fits of hand and object have a command of their own: `dexhot evaluate fit --help`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.evaluation.options import BASELINES
from dexhot.paths import PHYSICS

SCORES = {
    "tracking_error": "tracking error (eq. 20)",
    "generalization_score": "generalisation score (eq. 21)",
    "noisy_success_strict": "noisy references: strict",
    "noisy_perturbed": "  perturbed",
    "robustness_score": "  robustness score (eq. 26)",
    "unreasonable_success_strict": "unreasonable references: strict",
    "unreasonable_perturbed": "  perturbed (unreasonable)",
    "hard_to_track": "hard-to-track score",
}


@dataclass
class Args:
    """Evaluate one file, or a controller."""

    file: Annotated[Path | None, tyro.conf.Positional, shown("FILE|RUN|POLICY")] = None
    """A Demonstration (simulated again, in the benchmark physics), a Rollout or a run's folder (judged as recorded),
    or a policy (.onnx), evaluated on the clips of --split."""
    arm: bool = False
    """Play the Demonstration on the embedded rig (shaper, arm IK, arm and hand, within the arm's limits) instead of the
    floating hand, with the timing planned for the arm. Controller: place the clips, plan with the rig among the worlds,
    and play there too."""
    panel: bool = False
    """Also play it in five other worlds: three other physics, the arm, the arm with a displaced palm. Controller: each
    one that is strict in the nominal world, with the clip placed where the arm reaches it."""
    scores: bool = False
    """Controller: also DexTrack's scores (eq. 15-26): on noisy and on unreasonable references, generalisation from
    the dataset's train clips, difficulty of the clips (table 15)."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml); default: the one a Demonstration was mined for; controller:
    the hand's own; dextrack is the paper's."""
    physics: Annotated[str, shown("VERSION")] = PHYSICS
    """Demonstration: version of the physics; 1 is that of dexhot 0.1.0."""
    clip: Annotated[str | None, shown("CLIP|FILE")] = None
    """Clip that the file was made from, used to verify it; by default the cached clip that it names."""
    controller: Annotated[
        Literal["", "kinematic", "replay", "constant", "planned", "subsequences", "demonstration", "mpc"],
        shown("{kinematic,replay,constant,planned,subsequences,demonstration,mpc}"),
    ] = ""
    """Without a file: evaluate this controller on clips, beside its baselines."""
    plain: bool = False
    """Controller: on references by DexTrack's retargeting (eq. 5-7) alone, without planned contacts and repairs of the
    clip."""
    dataset: Annotated[str, shown("DATASET")] = "grab"
    """Controller: grab, or another imported dataset with splits (grab-full, taco), or parametric."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Controller: the robot hand (`dexhot hand list`); allegro_right is the paper's in simulation."""
    split: Annotated[str, shown("SPLIT")] = "test"
    """Controller: the clips: train, test, or one of the test splits (TACO: S0 to S3). Nothing is ever tuned on the test
    clips."""
    clips: Annotated[tuple[str, ...], shown("CLIP ...")] = ()
    """Controller: only these clips of the split. Rig: the campaign's clips, or files (references, demonstrations)."""
    reference: Annotated[Path | None, shown("REFERENCE|DEMONSTRATION")] = None
    """Controller: evaluate on this file instead of a split, as the graph plays it, without --report; a specialist needs
    its own."""
    trials: Annotated[int, tyro.conf.arg(aliases=["--envs"])] = 20
    """Controller: perturbed worlds (worlds_v2) per clip; the paper's rows have 1,000."""
    planning_seconds: float = 2.0
    """Controller planned: CPU time of planning per clip, s, on one core."""
    planning_rollouts: int = 0
    """Controller planned: number of rollouts, in place of --planning-seconds; the result is then reproducible; 0:
    --planning-seconds."""
    feedback: Annotated[Path | None, shown("POLICY")] = None
    """Controller planned: a network (.onnx) on its playback (`dexhot train generalist --feedback`): a row beside it, on
    the same plans, judged on the floating hand."""
    prior: Annotated[str, shown("FILE|none")] = ""
    """Controller: prior over plans (`dexhot train prior`); default: the shipped one, if any; none: an unfitted one."""
    seed: int = 0
    """Controller: seed of the planning."""
    baselines: Annotated[tuple[str, ...], shown("NAME ...")] = BASELINES
    """Controller: rows beside its own; the frozen hand and object-relative replay always are. Also: subsequences (10
    frames at a time, after DGrasp), planned, demonstration (--demonstrations), mpc (plans at each tick)."""
    policies: Annotated[tuple[str, ...], shown("NAME=FILE ...")] = ()
    """Controller: further rows, each a policy (.onnx) under a name of its own, as the learned baselines."""
    demonstrations: Annotated[str, shown("FOLDER")] = ""
    """Controller: folder of mined demonstrations (CLIP.npz), played open loop as the row demonstration; rig: replayed
    as tracking results."""
    report: Annotated[Path | None, shown("FOLDER")] = None
    """Controller: write a page with figures, a row per clip, and film strips of the clips on which it fails most; of a
    split, without --reference."""
    workers: int = 0
    """Controller: clips in parallel; 0: one per core."""
    rig: Annotated[Literal["", "real", "sim-wire", "sim"], shown("{real,sim-wire,sim}")] = ""
    """Lead through a campaign on this rig: each trial after a prompted reset, judged by DexTrack's levels (tables 2, 7,
    8 and 13); `dexhot evaluate --controller` needs no rig."""
    campaign: Annotated[Path | None, shown("FOLDER")] = None
    """Rig: the campaign's folder, which resumes; default: campaign in runs/. Missing folders are created."""
    repeats: int = 4
    """Rig: trials per clip and method."""
    kinds: tuple[Literal["result", "controller"], ...] = ("result", "controller")
    """Rig: replayed tracking results (of demonstrations), and controllers in the loop."""
    policy: Annotated[Path | None, shown("POLICY")] = None
    """Rig: our controller, a policy (.onnx) in place of planned."""
    baseline: Annotated[str, shown("POLICY|none")] = ""
    """Rig: the policy beside it; default: PPO without supervision where it has been trained (`dexhot train
    baseline`)."""
    graph: Annotated[tuple[str, ...], shown("NAME:=VALUE ...")] = ()
    """Rig: further arguments of the graph real_track, such as franka_host:=172.16.0.2."""
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
    from dexhot.datasets.source_clip import clip_or_file
    from dexhot.errors import DexhotError, FileFormatError
    from dexhot.evaluation.panel import of_demonstration, play_panel
    from dexhot.evaluation.score import score, score_on_arm
    from dexhot.evaluation.verify import verified, verify
    from dexhot.progress import track
    from dexhot.rollouts.live import live_rollout
    from dexhot.simulation.setup import load_setup

    if args.rig:
        from dexhot.cli.evaluate_rig import run_campaign

        return run_campaign(args)
    if args.feedback and args.controller != "planned":
        raise DexhotError("--feedback FILE.onnx belongs to --controller planned.")
    if args.campaign or args.policy or args.baseline or args.graph:
        raise DexhotError("--campaign, --policy, --baseline and --graph belong to --rig.")
    if args.controller or (args.file is not None and args.file.suffix in (".onnx", ".json")):
        return _evaluate_controller(args)
    if args.scores or args.policies or args.report:
        raise DexhotError("--scores, --policies and --report belong to --controller, or a policy.")
    if args.file is None:
        raise DexhotError("give a FILE to evaluate, or --controller planned --split test.")
    if args.out:
        check_out(file_of(args.out, Rollout), "dexhot/rollout", args.force)
    recorded = args.file.is_dir() or is_bag_file(args.file)
    item: Any = live_rollout(args.file) if recorded else load(args.file)
    clip, panel = clip_or_file(args.clip) if args.clip else None, None
    if isinstance(item, Rollout):
        if args.panel:
            raise DexhotError("--panel needs the actions of a Demonstration; a Rollout or a run has only one world.")
        if args.arm or args.profile or args.physics != PHYSICS:
            raise DexhotError(
                "--arm, --profile and --physics simulate a Demonstration; a Rollout or a run is judged as it is."
            )
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


def _evaluate_controller(args: Args) -> None:
    """A row per clip and the means."""
    import math

    import numpy as np

    from dexhot.cli.arguments import at_least
    from dexhot.cli.output import console, print_json
    from dexhot.data.files import load
    from dexhot.data.types import PolicyCard, PriorCard
    from dexhot.datasets.human_clip import require_clips
    from dexhot.errors import DexhotError
    from dexhot.evaluation.clips import clips_named, dataset_splits
    from dexhot.evaluation.controllers import check_names, evaluate_file
    from dexhot.evaluation.kept_rows import evaluate_kept
    from dexhot.evaluation.options import EvaluationOptions
    from dexhot.evaluation.references import DIFFICULTY
    from dexhot.evaluation.split_gap import split_gap
    from dexhot.evaluation.summary import summarise
    from dexhot.metrics.task_scores import generalization_score
    from dexhot.planning.prior import prior_files, prior_named
    from dexhot.progress import progress, track
    from dexhot.robots.robot_hand import load_hand
    from dexhot.robots.servos import profile as servo_profile
    from dexhot_train.mining.executor import run_jobs

    if args.out or (args.file and args.controller):
        raise DexhotError("--controller, or a policy, is evaluated on clips: it takes no FILE beside it, or --out.")
    if args.arm and args.file is not None:
        raise DexhotError("--arm belongs to a Demonstration or --controller; a policy is judged on the floating hand.")
    if args.physics != PHYSICS:
        raise DexhotError(f"--physics belongs to a Demonstration; controllers are evaluated in physics {PHYSICS}.")
    if args.reference is not None and (args.dataset, args.hand, args.profile, args.plain) != (
        "grab",
        "leap_right",
        None,
        False,
    ):
        raise DexhotError("--reference is made already: leave out --dataset, --hand, --profile and --plain.")
    if args.report and args.reference is not None:
        raise DexhotError("--report shows clips of a split; leave out --reference.")
    folder = None
    if args.report:
        from dexhot.report.gallery import check_gallery

        folder = check_gallery(args.report, args.force)
    at_least(0, trials=args.trials, planning_rollouts=args.planning_rollouts, seed=args.seed, workers=args.workers)
    if not 0.0 < args.planning_seconds < math.inf:
        raise DexhotError(f"--planning-seconds must be positive, not {args.planning_seconds:g}.")
    if args.prior not in ("", "none"):
        load(prior_files(args.prior)[1], PriorCard)  # refused before the work if it is not one
    baselines = args.baselines
    if args.demonstrations:
        if not Path(args.demonstrations).is_dir():
            raise DexhotError(f"--demonstrations {args.demonstrations} is no folder.")
        baselines = tuple(dict.fromkeys((*baselines, "demonstration")))
    policy, feedback = (_network(path) for path in (args.file, args.feedback))
    policies = named_policies(args.policies)
    check_names(args.baselines, tuple(name for name, _ in policies))
    load_hand(args.hand)
    if args.profile:
        servo_profile(args.profile)
    dataset = args.dataset.replace("-", "_")
    named_splits = dataset_splits(dataset)
    chosen = [clip.removeprefix(f"{dataset}/") for clip in args.clips]
    clips = clips_named(args.split, chosen or None, named_splits)
    if args.reference is None:
        own = load(Path(policy).with_suffix(".json"), PolicyCard).clip if policy else ""
        if own and [f"{dataset}/{clip}" for clip in clips] != [own]:
            raise DexhotError(f"{args.file} is a specialist of {own} alone: give that clip's file by --reference.")
        require_clips([f"{dataset}/{clip}" for clip in clips])
    budget = args.planning_seconds, args.planning_rollouts
    options = EvaluationOptions(
        args.controller or "policy",
        args.trials,
        args.seed,
        *budget,
        args.prior,
        arm=args.arm,
        policy=policy,
        feedback=feedback,
        baselines=baselines,
        demonstrations=str(Path(args.demonstrations).resolve()) if args.demonstrations else "",
        panel=args.panel,
        scores=args.scores,
        dataset=dataset,
        hand=args.hand,
        profile=args.profile,
        plain=args.plain,
        policies=policies,
    )
    rows, failed = [], {}
    if args.reference is not None:
        rows, clips = [evaluate_file(args.reference, options)], []
    jobs = [(clip, options) for clip in clips]
    for (clip, _), result in track(run_jobs(evaluate_kept, jobs, args.workers), "evaluating", len(clips)):
        if isinstance(result, Exception):
            failed[clip] = str(result)
        else:
            rows.append(result)
    absent: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for absence in row.get("absent", {}).items():
            absent.setdefault(absence, []).append(row["clip"])
    for clip, why in failed.items():
        console.print(f"{clip}: {why}", highlight=False, soft_wrap=True)
    for (name, why), those in absent.items():
        told_of = those[0] if len(those) == 1 else f"{len(those)} clips"
        console.print(f"{told_of}, {name}: {why}", highlight=False, soft_wrap=True)
    rows.sort(key=lambda row: clips.index(row["clip"]) if clips else 0)
    figures = summarise(rows, set(named_splits.get("test_unseen_object", ())))
    told: dict[str, Any] = {}
    if args.scores:
        told["difficulty"] = {name: float(np.mean([row["difficulty"][name] for row in rows])) for name in DIFFICULTY}
        if clips:
            run_here = partial(run_jobs, workers=args.workers)
            told["gap"] = gap = split_gap([row["clip"] for row in rows], named_splits["train"], options, run_here)
            for found in figures.values():
                found["generalization_score"] = generalization_score(gap, [found["tracking_error"]])
    _show_clips(rows, list(figures))
    where = args.reference.name if args.reference else f"{args.dataset}, {args.split}, {len(rows)} clips"
    kinds = ", ".join(dict.fromkeys(row.get("reference_kind", "") for row in rows))
    _show_figures(
        figures, f"{where}, {args.hand}, references: {kinds or 'of an unknown kind'}, {args.trials} worlds each"
    )
    names = [row["clip"] if args.reference else f"{dataset}/{row['clip']}" for row in rows]
    notes = _trained_on(dict([("policy", policy), ("feedback", feedback), *policies]), names)
    if {"planned", "constant", "feedback"} & set(figures):
        item: Any = load(args.reference) if args.reference else None
        hand = getattr(item, "reference", item).hand if item else args.hand
        notes.append(f"prior over plans: {prior_named(args.prior, hand)}")
    if lenient := figures["frozen"]["success_10cm_20deg"]:
        notes.append(
            f"the frozen hand passes 10 cm, 20 deg on {100 * lenient:.0f} % of the clips, whose objects move little: "
            "compare by the strict success"
        )
    for line in [*(_score_lines(told) if told else []), *notes]:
        console.print(line, highlight=False, soft_wrap=True)
    if folder:
        from dexhot.report.gallery import write_gallery

        title, shown_name = f"{options.controller} on {where}", "feedback" if feedback else options.controller
        with progress("film strips", counted=True) as job:
            page = write_gallery(
                folder, title, rows, figures, shown_name, options, notes, lambda done, total: job(done, total)
            )
        console.print(f"written to {page}", highlight=False, soft_wrap=True)
    if args.json:
        what: dict[str, Any] = {"dataset": dataset, "split": args.split, "hand": args.hand, "profile": args.profile}
        what |= {"reference_kind": kinds, "notes": notes}
        print_json({**what, "controllers": figures, "clips": rows, "failed": failed, **told})


def _network(path: Path | None) -> str:
    """Where the .onnx file of a policy is, "" for none; refused before the work if it is none."""
    if path is None:
        return ""
    from dexhot.control.policy import OnnxNetwork

    return str(OnnxNetwork(path).path.resolve())


def _trained_on(networks: dict[str, str], clips: list[str]) -> list[str]:
    """A sentence for each network that was trained on test clips among `clips`."""
    from dexhot.data.files import load
    from dexhot.data.types import PolicyCard
    from dexhot_train.curriculum.variations import held_out_split

    notes, test = [], {clip for clip in clips if held_out_split(clip)}
    for name, path in networks.items():
        data = load(Path(path).with_suffix(".json"), PolicyCard).training_data if path else []
        if known := sorted(test & set(data)):
            notes.append(
                f"{name} was trained on {len(known)} of these test clips ({', '.join(known)}): "
                "its row is no result on unseen clips"
            )
    return notes


def named_policies(given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """NAME=FILE ... as names and .onnx files, refused before the work. Raises DexhotError."""
    from dexhot.errors import DexhotError

    found = []
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise DexhotError(f"--policies takes NAME=FILE, such as ppo=policy.onnx, not {text}.")
        found.append((name, _network(Path(path))))
    return tuple(found)


def _score_lines(told: dict[str, Any]) -> list[str]:
    """What is said of the clips themselves."""
    d = told["difficulty"]
    lines = [
        f"difficulty (table 15): s_smooth {d['s_smooth']:.3f} m/s2, v_contact {d['v_contact']:.3f} 1/s, s_shape "
        f"{d['s_shape']:.3f} 1/cm"
    ]
    if "gap" in told:
        lines.append(f"difference to the nearest train clip (eq. 15): {told['gap']:.3f}")
    return lines


def _show_clips(rows: list[dict[str, Any]], names: list[str]) -> None:
    """A row per clip: each controller's verdict in the nominal world, and the perturbed fraction."""
    from rich.table import Table

    from dexhot.cli.output import console

    table = Table("clip", *(f"{name}: strict, perturbed" for name in names), title_justify="left")
    for row in rows:
        cells = [
            f"{'yes' if row[n]['success_strict'] else 'no':3} {_text(row[n]['perturbed'])}" if n in row else ""
            for n in names
        ]
        table.add_row(row["clip"], *cells)
    console.print(table)


def _show_figures(figures: dict[str, dict[str, Any]], title: str) -> None:
    """Two tables, so that results with and without simulation at run time are in no common column: means with 95 %
    intervals over clips, medians of the errors, and what was simulated."""
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot.evaluation.options import EXPLAINED

    for simulates in (False, True):
        chosen = {n: f for n, f in figures.items() if bool(f["steps_mean"] or f["tick_steps_mean"]) == simulates}
        if not chosen:
            continue
        how = "simulating before the start, or per tick" if simulates else "without simulation at run time"
        table = Table("", *chosen, title=f"{title}, {how}", title_justify="left")
        some = chosen.values()
        lines: dict[str, Any] = {
            "clips x worlds": lambda f: f"{f['n']} x {f.get('envs', 0)}",
            "perturbed (strict)": lambda f: _spanned(f, "perturbed"),
            "  over replay": lambda f: _spanned(f, "over_replay"),
            "strict": lambda f: _spanned(f, "success_strict"),
            **({"  panel": lambda f: _spanned(f, "success_panel")} if any("success_panel" in f for f in some) else {}),
            "10 cm, 20°": lambda f: _spanned(f, "success_10cm_20deg"),
            "10 cm, 40°": lambda f: _spanned(f, "success_10cm_40deg"),
        }
        for name, words in (("unseen_objects", "on unseen objects"), ("in_hand", "in-hand clips")):
            if any(f"perturbed_{name}" in f for f in chosen.values()):
                lines[f"  {words}"] = lambda f, n=name: f"{f[f'perturbed_{n}']:.2f}" if f"perturbed_{n}" in f else ""
        if any("n_placed" in f for f in chosen.values()):
            lines["strict on the arm, of those placed"] = lambda f: _of(f, "arm_strict", "n_placed")
            lines["  of those strict on the hand"] = lambda f: _of(f, "arm_strict_of_strict", "n_placed_strict")
        for name in ("R_err_rad", "T_err_cm", "E_wrist", "E_finger", "hold_rate", "contact", "penetration_mm"):
            lines[f"{name}: median; mean"] = lambda f, n=name: (
                f"{f.get(f'{n}_p50', 0.0):.3g}; {_spanned(f, n, '_mean')}"
            )
        for name, words in SCORES.items():
            if any(name in f for f in some):
                lines[words] = lambda f, n=name: f"{f[n]:.3g}" if n in f else ""
        lines["before the start: CPU s, steps"] = lambda f: f"{f['seconds_cpu_mean']:.1f}, {f['steps_mean']:.0f}"
        lines["per tick: ms, steps"] = lambda f: f"{f['tick_ms_mean']:.2f}, {f['tick_steps_mean']:.0f}"
        lines["in training: steps"] = lambda f: f"{f['training_steps']:.3g}" if f["training_steps"] else ""
        for line, text in lines.items():
            table.add_row(line, *(text(f) for f in chosen.values()))
        console.print(table)
        for name in chosen:
            console.print(f"  {name}: {EXPLAINED.get(name, EXPLAINED['policy'])}", highlight=False)


def _spanned(figures: dict[str, Any], name: str, mean: str = "") -> str:
    """A mean with its interval."""
    if figures.get(name + mean) is None:
        return ""
    low, high = figures[f"{name}_interval"]
    digits = 3 if name in ("E_wrist", "E_finger", "R_err_rad") else 2
    return f"{figures[name + mean]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _of(figures: dict[str, Any], fraction: str, count: str) -> str:
    """A fraction and of how many; empty where nothing was tried."""
    value = figures.get(fraction)
    return "" if value is None else f"{value:.2f} of {figures[count]}"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def named(rollout: Any) -> dict[str, str]:
    """The physics that made a rollout: its version, and the profile of the finger servos; and how its reference was
    made."""
    from dexhot.retargeting.retarget import reference_kind

    made = {name: rollout.provenance[name] for name in ("physics", "servo") if name in rollout.provenance}
    kind = reference_kind(rollout.reference)
    return made | ({"reference_kind": kind} if kind else {})


def _show(rollout: Any) -> None:
    """Print each metric beside its limit, as in the report."""
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot.metrics.judge import judge

    title = (
        ", ".join(
            [f"{rollout.name} ({rollout.kind}", *(f"{k.replace('_', ' ')} {v}" for k, v in named(rollout).items())]
        )
        + ")"
    )
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
