"""`dexhot evaluate --controller`, or of a policy: a row per clip and the means, beside the baselines."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dexhot.cli.arguments import at_least
from dexhot.cli.controller_arguments import check_demonstrations, check_planning, named_policies, network_file
from dexhot.errors import DexhotError
from dexhot.evaluation.options import EvaluationOptions
from dexhot.paths import PHYSICS

if TYPE_CHECKING:
    from dexhot.cli.evaluate_command import Args


@dataclass
class Evaluated:
    """The rows of the clips, in their order, and what is said of all of them."""

    options: EvaluationOptions
    clips: list[str]  # of the dataset, without its name; none for a reference's file
    splits: dict[str, list[str]]
    rows: list[dict[str, Any]]
    failed: dict[str, str]  # clip -> why
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)  # controller -> its figures over the clips
    scores: dict[str, Any] = field(default_factory=dict)  # of the clips themselves, with --scores

    @property
    def kinds(self) -> str:
        """How the references were made."""
        return ", ".join(dict.fromkeys(row.get("reference_kind", "") for row in self.rows))


def evaluate_controller(args: "Args") -> None:
    """Evaluate, print the tables, write the page."""
    from dexhot.cli.evaluate_tables import show_clips, show_figures
    from dexhot.cli.output import print_json, results
    from dexhot.datasets import unseen_halves
    from dexhot.evaluation.summary import summarise
    from dexhot.report.gallery import check_gallery

    _check(args)
    folder = check_gallery(args.report, args.force) if args.report else None
    found = _rows(args)
    _show_missing(found)
    found.figures = summarise(found.rows, unseen_halves(found.splits))
    if args.scores:
        _score(found, args.workers)
    to = results(args.json)
    show_clips(found.rows, list(found.figures), to)
    where = args.reference.name if args.reference else f"{args.dataset}, {args.split}, {len(found.rows)} clips"
    made = f"references: {found.kinds or 'of an unknown kind'}"
    show_figures(found.figures, f"{where}, {args.hand}, {made}, {args.trials} worlds each", to)
    notes = _notes(args, found)
    for line in [*_score_lines(found.scores), *notes]:
        to.print(line, soft_wrap=True)
    if folder:
        _write_page(folder, f"{found.options.controller} on {where}", found, notes)
    if args.json:
        what: dict[str, Any] = {"dataset": found.options.dataset, "split": args.split, "hand": args.hand}
        what |= {"profile": args.profile, "reference_kind": found.kinds, "notes": notes}
        judged = {"controllers": found.figures, "clips": found.rows, "failed": found.failed}
        print_json({**what, **judged, **found.scores})


def _check(args: "Args") -> None:
    """Raise DexhotError for options that do not go together, or that are no number that could be meant."""
    if args.out or (args.file and args.controller):
        raise DexhotError("--controller, or a policy, is evaluated on clips: it takes no FILE beside it, or --out.")
    if args.arm and args.file is not None:
        raise DexhotError("--arm belongs to a Demonstration or --controller; a policy is judged on the floating hand.")
    if args.physics != PHYSICS:
        raise DexhotError(f"--physics belongs to a Demonstration; controllers are evaluated in physics {PHYSICS}.")
    changed = [
        name for name in ("dataset", "hand", "profile", "plain") if getattr(args, name) != getattr(type(args), name)
    ]
    if args.reference is not None and changed:
        raise DexhotError("--reference is made already: leave out --dataset, --hand, --profile and --plain.")
    if args.report and args.reference is not None:
        raise DexhotError("--report shows clips of a split; leave out --reference.")
    at_least(0, **{"trials (--envs)": args.trials}, seed=args.seed, workers=args.workers)
    check_planning(args)
    check_demonstrations(args.demonstrations)


def _rows(args: "Args") -> Evaluated:
    """Evaluate the clips, or the reference's file. Raises DexhotError before the work for what is not there."""
    from dexhot.datasets.human_clip import require_clips
    from dexhot.evaluation.clips import clips_named, dataset_splits
    from dexhot.evaluation.controllers import evaluate_file
    from dexhot.evaluation.kept_rows import evaluate_kept
    from dexhot.progress import track
    from dexhot_train.mining.executor import run_jobs

    options = _options(args)
    splits = dataset_splits(options.dataset)
    chosen = [clip.removeprefix(f"{options.dataset}/") for clip in args.clips]
    clips = clips_named(args.split, chosen or None, splits)
    if args.reference is not None:
        return Evaluated(options, [], splits, [evaluate_file(args.reference, options)], {})
    names = [f"{options.dataset}/{clip}" for clip in clips]
    _check_specialist(options.policy, names)
    require_clips(names)
    rows, failed = {}, {}
    jobs = [(clip, options) for clip in clips]
    for (clip, _), result in track(run_jobs(evaluate_kept, jobs, args.workers), "evaluating", len(clips)):
        if isinstance(result, Exception):
            failed[clip] = str(result)
        else:
            rows[clip] = result
    return Evaluated(options, clips, splits, [rows[clip] for clip in clips if clip in rows], failed)


def _options(args: "Args") -> EvaluationOptions:
    from dexhot.evaluation.controllers import check_names
    from dexhot.evaluation.options import MINED
    from dexhot.robots.robot_hand import load_hand
    from dexhot.robots.servos import profile as servo_profile

    baselines = (*args.baselines, *MINED) if args.demonstrations else args.baselines
    policies = named_policies(args.policies)
    check_names(args.baselines, tuple(name for name, _ in policies))
    load_hand(args.hand)
    if args.profile:
        servo_profile(args.profile)
    return EvaluationOptions(
        args.controller or "policy",
        args.trials,
        args.seed,
        args.planning_seconds,
        args.planning_rollouts,
        args.prior,
        arm=args.arm,
        policy=network_file(args.file),
        feedback=network_file(args.feedback),
        baselines=tuple(dict.fromkeys(baselines)),
        demonstrations=str(Path(args.demonstrations).resolve()) if args.demonstrations else "",
        panel=args.panel,
        scores=args.scores,
        dataset=args.dataset.replace("-", "_"),
        hand=args.hand,
        profile=args.profile,
        plain=args.plain,
        policies=policies,
    )


def _check_specialist(policy: str, clips: list[str]) -> None:
    """Raise DexhotError for a policy of one clip on other clips."""
    from dexhot.data.files import load
    from dexhot.data.types import PolicyCard

    own = load(Path(policy).with_suffix(".json"), PolicyCard).clip if policy else ""
    if own and clips != [own]:
        raise DexhotError(f"{policy} is a specialist of {own} alone: give that clip's file by --reference.")


def _show_missing(found: Evaluated) -> None:
    """Say which clips failed, and which controllers have no row on which clips."""
    from dexhot.cli.output import console

    absent: dict[tuple[str, str], list[str]] = {}
    for row in found.rows:
        for absence in row.get("absent", {}).items():
            absent.setdefault(absence, []).append(row["clip"])
    for clip, why in found.failed.items():
        console.print(f"{clip}: {why}", soft_wrap=True)
    for (name, why), those in absent.items():
        on = those[0] if len(those) == 1 else f"{len(those)} clips"
        console.print(f"{on}, {name}: {why}", soft_wrap=True)


def _score(found: Evaluated, workers: int) -> None:
    """DexTrack's scores of the clips, and from them each controller's generalisation (eq. 21)."""
    import numpy as np

    from dexhot.evaluation.references import DIFFICULTY
    from dexhot.evaluation.split_gap import split_gap
    from dexhot.metrics.task_scores import generalization_score
    from dexhot_train.mining.executor import run_jobs

    rows = found.rows
    found.scores["difficulty"] = {
        name: float(np.mean([row["difficulty"][name] for row in rows])) for name in DIFFICULTY
    }
    if found.clips:
        here, training = [row["clip"] for row in rows], found.splits["train"]
        gap = split_gap(here, training, found.options, partial(run_jobs, workers=workers))
        found.scores["gap"] = gap
        for figures in found.figures.values():
            figures["generalization_score"] = generalization_score(gap, [figures["tracking_error"]])


def _score_lines(scores: dict[str, Any]) -> list[str]:
    """The clips' scores in words; none without --scores."""
    if not scores:
        return []
    d = scores["difficulty"]
    lines = [
        f"difficulty (table 15): s_smooth {d['s_smooth']:.3f} m/s2, v_contact {d['v_contact']:.3f} 1/s, s_shape "
        f"{d['s_shape']:.3f} 1/cm"
    ]
    if "gap" in scores:
        lines.append(f"difference to the nearest train clip (eq. 15): {scores['gap']:.3f}")
    return lines


def _notes(args: "Args", found: Evaluated) -> list[str]:
    """What a reader of the figures must know: networks trained on these clips, the prior, what luck is worth."""
    from dexhot.data.files import load
    from dexhot.planning.prior import prior_named
    from dexhot_train.curriculum.variations import seen_test_clips

    options, notes = found.options, []
    names = [row["clip"] if args.reference else f"{options.dataset}/{row['clip']}" for row in found.rows]
    for name, path in dict([("policy", options.policy), ("feedback", options.feedback), *options.policies]).items():
        if known := seen_test_clips(path, names):
            notes.append(
                f"{name} was trained on {len(known)} of these test clips ({', '.join(known)}): "
                "its row is not a result on unseen clips"
            )
    if {"planned", "constant", "feedback"} & set(found.figures):
        item: Any = load(args.reference) if args.reference else None
        hand = getattr(item, "reference", item).hand if item else args.hand
        notes.append(f"prior over plans: {prior_named(args.prior, hand)}")
    if lenient := found.figures["frozen"]["success_10cm_20deg"]:
        notes.append(
            f"the frozen hand passes 10 cm, 20 deg on {100 * lenient:.0f} % of the clips, whose objects move little: "
            "compare by the strict success"
        )
    return notes


def _write_page(folder: Path, title: str, found: Evaluated, notes: list[str]) -> None:
    from dexhot.cli.output import console
    from dexhot.progress import progress
    from dexhot.report.gallery import write_gallery

    options = found.options
    with progress("film strips", counted=True) as job:
        page = write_gallery(
            folder,
            title,
            found.rows,
            found.figures,
            "feedback" if options.feedback else options.controller,
            options,
            notes,
            lambda done, total: job(done, total),
        )
    console.print(f"written to {page}", soft_wrap=True)
