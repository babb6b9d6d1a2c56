"""Score a demonstration by simulating it again, a recorded rollout as it is, or a controller or policy on clips.

Fits of hand and object have a command of their own: `dexhot evaluate fit --help`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.evaluation.options import BASELINES
from dexhot.paths import PHYSICS

CONTROLLERS = ("kinematic", "replay", "constant", "planned", "subsequences", "demonstration", "playback", "mpc")
RIGS = ("real", "sim-wire", "sim")


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
    controller: Annotated[str, shown("{" + ",".join(CONTROLLERS) + "}")] = ""
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
    frames at a time, after DGrasp), planned, demonstration, playback (--demonstrations), mpc (plans at each tick)."""
    policies: Annotated[tuple[str, ...], shown("NAME=FILE ...")] = ()
    """Controller: further rows, each a policy (.onnx) under a name of its own, as the learned baselines."""
    demonstrations: Annotated[str, shown("FOLDER")] = ""
    """Controller: folder of mined demonstrations (CLIP.npz), played open loop as the row demonstration, object-relative
    as playback; rig: replayed as tracking results."""
    report: Annotated[Path | None, shown("FOLDER")] = None
    """Controller: write a page with figures, a row per clip, and film strips of the clips on which it fails most; of a
    split, without --reference."""
    workers: int = 0
    """Controller: clips in parallel; 0: one per core."""
    rig: Annotated[str, shown("{" + ",".join(RIGS) + "}")] = ""
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

    from dexhot.cli.evaluate_tables import named, show_panel, show_rollout
    from dexhot.cli.output import console, print_json, results, styled
    from dexhot.data.bags import is_bag_file
    from dexhot.data.files import a, check_out, file_of, load, save
    from dexhot.data.types import Demonstration, Rollout
    from dexhot.datasets.source_clip import clip_or_file
    from dexhot.errors import DexhotError, FileFormatError, NotFoundError
    from dexhot.evaluation.panel import of_demonstration, play_panel
    from dexhot.evaluation.score import score, score_on_arm
    from dexhot.evaluation.verify import verified, verify
    from dexhot.progress import track
    from dexhot.rollouts.live import live_rollout
    from dexhot.simulation.setup import load_setup

    for what, name, valid in (("controller", args.controller, CONTROLLERS), ("rig", args.rig, RIGS)):
        if name and name not in valid:
            raise NotFoundError(what, name, valid)
    if args.rig:
        from dexhot.cli.evaluate_rig import run_campaign

        return run_campaign(args)
    if args.feedback and args.controller != "planned":
        raise DexhotError("--feedback FILE.onnx belongs to --controller planned.")
    if args.campaign or args.policy or args.baseline or args.graph:
        raise DexhotError("--campaign, --policy, --baseline and --graph belong to --rig.")
    if args.controller or (args.file is not None and args.file.suffix in (".onnx", ".json")):
        from dexhot.cli.evaluate_controller import evaluate_controller

        return evaluate_controller(args)
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
        kind = a(type(item))
        raise FileFormatError(f"{args.file} holds {kind}; evaluate takes a Demonstration, a Rollout, a run's folder.")
    to = results(args.json)
    show_rollout(rollout, panel is not None, to)
    if panel:
        show_panel(panel, to)
    verdict = rollout.provenance["verification"]
    if verdict["why"]:
        to.print(styled(verdict["name"], "yellow", f": {verdict['why']}"), soft_wrap=True)
    for lost in rollout.provenance.get("bag_damage", []):
        to.print(f"damaged: {lost}", soft_wrap=True)
    if args.out:
        console.print(f"written to {save(rollout, args.out)}")
    if args.json:
        facts = {"file": str(args.file), "kind": rollout.kind, **named(rollout), "verification": verdict}
        facts |= {"success_panel": panel.success, "panel": panel.as_json()} if panel else {}
        print_json(facts | rollout.metrics)
