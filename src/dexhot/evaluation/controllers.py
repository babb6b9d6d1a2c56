"""Controllers on clips, beside their baselines: nominal and perturbed worlds, and what each simulated before.

A controller is asked once per clip, with the object where the reference has it; what it then plays, object-relative in
the perturbed worlds, was planned without seeing them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from dexhot.control.controllers import following_object
from dexhot.control.mpc import Mpc, MpcOptions
from dexhot.control.policy import OnnxNetwork, check_card
from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.control.time_warp import as_played
from dexhot.data.files import load
from dexhot.data.types import RATE, Demonstration, Reference, Rollout
from dexhot.datasets import list_datasets, split_clips, splits
from dexhot.datasets.human_clip import human_clip
from dexhot.errors import DexhotError, FileFormatError, NotFoundError, UnreachableError
from dexhot.evaluation.placed_panel import PlacedPanel, carried
from dexhot.evaluation.references import KINDS, difficulty, disturbed, reference_quality
from dexhot.evaluation.score import score_on_arm, to_play
from dexhot.geometry.poses import compose, inverse
from dexhot.metrics.rollout import compute
from dexhot.metrics.success import SUCCESSES
from dexhot.metrics.task_scores import Task, hard_to_track, robustness_score, task_points, tracking_error
from dexhot.objects.object_offset import object_offset
from dexhot.planning.planned import Planned, PlannedOptions
from dexhot.planning.prior import load_prior
from dexhot.planning.structured import StructuredPlans
from dexhot.retargeting.grasp_sequence import is_in_hand
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import RetargetOptions, plain_options, reference_kind, retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import displaced_state, floating_rollout, floating_simulator, run_controller, start_state
from dexhot.rollouts.network import NetworkRun, run_network
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import worlds as named_worlds
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup, load_setup

WORLDS, SEED = "worlds_v2", 424242  # the perturbed worlds that count; no search draws with this seed
TOGETHER = 64  # worlds simulated at once
BASELINES = ("frozen", "kinematic", "replay", "constant")
MPC = "mpc"  # simulates per tick
EXTRA = ("subsequences", "demonstration", MPC)  # further baselines, which simulate
NAMES = (*BASELINES[1:], "planned", *EXTRA)
Worlds = Iterator[tuple[Rollout, bool]]  # the nominal world first; True: it failed, whatever its metrics say
MPC_SPENT = ("seconds", "steps", "ticks")
EXPLAINED = {
    "frozen": "the hand stays where it begins",
    "kinematic": "the reference's targets",
    "replay": "the reference's targets, object-relative",
    "constant": "the mean of a fitted prior, object-relative",
    "planned": "plans before the start, then object-relative",
    "feedback": "the same plan, with the feedback network on its playback",
    "subsequences": "after DGrasp: 10 frames at a time, each planned from where the last one ended",
    "demonstration": "the mined demonstration, open loop",
    "playback": "the same, object-relative",
    MPC: "sampling control with the exact state, planning in the nominal world at each tick: an upper bound",
    "policy": "the network, which reacts to the observed object",
}
NOT_CONTROLLERS = ("clip", "frames", "absent", "in_hand", "in_hand_deg", "reference_kind", "difficulty")  # of a row
ERRORS = ("T_err_cm", "R_err_rad", "E_wrist", "E_finger", "hold_rate", "penetration_mm", "contact")
SIMULATED = ("seconds_cpu", "rollouts", "steps", "tick_ms", "tick_steps")  # before the start, and per tick
SUBSEQUENCE = SamplingOptions(samples=40, iterations=4, horizon=10 / RATE, replan=10 / RATE, knot=5 / RATE)


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and on what: the clips of a dataset, tracked by a hand with a profile of its servos."""

    controller: str = "planned"
    trials: int = 20  # perturbed worlds per clip; DexTrack has 1,000
    seed: int = 0  # of the planner
    seconds: float = 2.0  # planning time: CPU seconds, because one core plans here
    rollouts: int = 0  # in its place
    prior: str = ""
    arm: bool = False  # place the reference, in the arm's time; plan with the rig among the worlds, and play there
    policy: str = ""  # .onnx file of the controller policy
    feedback: str = ""  # .onnx file of a network on the playback of planned: a row beside it, on the same plan
    baselines: tuple[str, ...] = BASELINES  # rows beside the controller's; the frozen hand and replay always are
    demonstrations: str = ""  # folder of the baseline demonstration, CLIP.npz or CLIP.demonstration.npz
    panel: bool = False  # also the panel of each controller that is strict in the nominal world
    scores: bool = False  # also on disturbed references, and the clip's difficulty (table 15)
    dataset: str = "grab"
    hand: str = "leap_right"
    profile: str | None = None  # of the finger servos; None: the hand's own
    plain: bool = False  # references by DexTrack's eq. 5-7 alone
    policies: tuple[tuple[str, str], ...] = ()  # further rows: name and .onnx file


@dataclass(frozen=True)
class PlayedMotion:
    """What a controller plays on one clip, and what it simulated for it before the start."""

    targets: np.ndarray  # (T, 6+n)
    relative: bool  # moved with the object's observed offset
    seconds_cpu: float = 0.0
    rollouts: int = 0
    expected: float | None = None
    refused: str = ""
    steps: int = 0  # control steps
    absent: str = ""  # why there is nothing to play
    tries: int = 0  # of the prior until the first that was strict in the nominal world; 0: none was, or nothing tried


def evaluate_clip(job: tuple[str, EvaluationOptions]) -> dict[str, Any]:
    """A row of one clip of the dataset: each controller's metrics, nominal and over perturbed worlds, and its
    simulation."""
    clip, options = job
    reference, setup = clip_reference(clip, options)
    if options.arm:
        with suppress(UnreachableError):  # then it is planned where it was recorded
            reference, _ = as_played(place(reference, setup.hand), None, setup.physics)
    return _known(clip, reference) | evaluate_reference(reference, setup, options)


def clip_reference(clip: str, options: EvaluationOptions) -> tuple[Reference, Setup]:
    """A clip of the dataset, retargeted for the hand and its servo profile."""
    trajectory, asset = human_clip(f"{options.dataset}/{clip}")
    setup = Setup(load_hand(options.hand), asset, load_physics(profile=options.profile))
    how = plain_options(options.profile) if options.plain else RetargetOptions(profile=options.profile)
    return retarget(trajectory, setup.hand, asset, how), setup


def evaluate_file(path: Path, options: EvaluationOptions) -> dict[str, Any]:
    """The row of one reference, as the graph plays it; of a Demonstration also its own actions, open loop and
    object-relative."""
    item: Any = load(path)
    if not isinstance(item, Reference | Demonstration):
        raise FileFormatError(f"{path} holds a {type(item).__name__}; give a Reference or a Demonstration.")
    reference, mined = (item.reference, item) if isinstance(item, Demonstration) else (item, None)
    setup = load_setup(reference)
    reference, mined = as_played(reference, mined, setup.physics)
    rows = evaluate_reference(reference, setup, options)
    if mined is not None:
        simulator, spent = floating_simulator(reference, setup), mined.provenance
        seconds, steps = spent.get("seconds_cpu", 0.0), int(spent.get("control_steps", 0))
        panels = PlacedPanel(reference, setup)
        for name, relative in (("demonstration", False), ("playback", True)):
            motion = PlayedMotion(mined.actions, relative, seconds, round(steps / len(reference.q)), steps=steps)
            row = judge_motion(reference, motion, simulator, setup, options.trials)
            panel = panels.verdict(row, lambda: panels.of_targets(mined.actions)) if options.panel else {}
            rows[name] = row | panel
    return _known(reference.name, reference) | rows


def clip_task(job: tuple[str, EvaluationOptions]) -> Task:
    """A clip of the dataset as a task of eq. 15-18."""
    reference, setup = clip_reference(*job)
    return reference, task_points(setup.asset)


def _known(clip: str, reference: Reference) -> dict[str, Any]:
    turned, kind = reference.provenance.get("in_hand_deg"), reference_kind(reference)
    made = {"in_hand": is_in_hand(reference), "in_hand_deg": turned, "reference_kind": kind}
    return {"clip": clip, "frames": len(reference.q), **made}


def evaluate_reference(reference: Reference, setup: Setup, options: EvaluationOptions) -> dict[str, dict[str, Any]]:
    """Controller -> its row on one reference; one that has nothing to play is left out, and `absent` has the reason.

    With `scores`, `noisy` and `unreasonable` in a row are those on such copies of the reference (references.disturbed):
    strict success is judged against the person's motion, `tracking_error` (eq. 20) against the copy.
    """
    simulator, panels, rows, absent = floating_simulator(reference, setup), PlacedPanel(reference, setup), {}, {}
    names = ("frozen", "replay", *options.baselines, options.controller, *(("feedback",) if options.feedback else ()))
    names += tuple(name for name, _ in options.policies)
    motions: dict[str, dict[str, PlayedMotion]] = {kind: {} for kind in ("", *KINDS)}
    copies = {kind: disturbed(reference, setup.hand, kind) for kind in KINDS} if options.scores else {}
    quality = {"noisy": reference_quality(copies["noisy"], simulator)} if copies else {}
    for name in dict.fromkeys(names):
        shown = panels if options.panel else None
        told = _evaluated(name, reference, reference, simulator, setup, options, shown, motions[""])
        if isinstance(told, str):
            absent[name] = told
            continue
        rows[name] = told
        for kind, copy in copies.items():
            found = _evaluated(name, copy, reference, simulator, setup, options, None, motions[kind])
            if not isinstance(found, str):
                kept = ("success_strict", "perturbed", "tracking_error")
                told[kind] = {key: found[key] for key in kept} | {"quality": quality.get(kind)}
    clip = {"difficulty": difficulty(reference, setup, simulator)} if options.scores else {}
    return rows | clip | ({"absent": absent} if absent else {})


def _evaluated(
    name: str,
    reference: Reference,
    truth: Reference,
    simulator: MujocoSimulator,
    setup: Setup,
    options: EvaluationOptions,
    panels: PlacedPanel | None,
    motions: dict[str, PlayedMotion],
) -> dict[str, Any] | str:
    """A controller's row on `reference`, successes judged against `truth`; or why it has nothing to play. `motions`:
    those of this reference that others played before."""
    networks = {"policy": options.policy, **dict(options.policies)}
    if name in networks:
        network = OnnxNetwork(networks[name])
        if name != "policy":  # one among others, which go on without it
            try:
                check_card(network.card, reference, setup.physics)
            except DexhotError as e:
                return str(e)
        row = judge_policy(reference, network, simulator, setup, options.trials, truth)
        return row | (panels.verdict(row, lambda: panels.of_network(network)) if panels else {})
    if name == MPC:
        return judge_mpc(reference, simulator, setup, options.trials, options.seed, truth)
    played = "planned" if name == "feedback" else name
    if played not in motions:
        motions[played] = MOTIONS[played](reference, setup, options)
    motion = motions[played]
    if motion.absent:
        return motion.absent
    if name == "feedback":
        return judge_policy(reference, OnnxNetwork(options.feedback), simulator, setup, options.trials, truth, motion)
    row = judge_motion(reference, motion, simulator, setup, options.trials, truth)
    if options.arm and len(reference.arm_q) and motion.relative:  # a disturbed reference has no arm path
        row["arm_strict"] = strict_on_arm(reference, motion, setup)
    return row | (panels.verdict(row, lambda: panels.of_targets(motion.targets)) if panels else {})


def trial_worlds(
    reference: Reference, simulator: MujocoSimulator, trials: int
) -> Iterator[tuple[np.ndarray, list[mujoco.MjModel]]]:
    """Start states (N, ns) and models of the nominal world and the perturbed ones, the same for everyone, at most
    TOGETHER at once: a thousand models do not fit the memory."""
    rng, how, pose = np.random.default_rng(SEED), named_worlds(WORLDS), reference.object_pose[0]
    drawn = [None, *(how.draw(rng) for _ in range(trials))]
    for k in range(0, len(drawn), TOGETHER):
        starts, models = [], []
        for d in drawn[k : k + TOGETHER]:
            placed = (d.offset, d.yaw) if d else ()
            starts.append(displaced_state(reference, simulator, pose, *placed))
            models.append(d.model(simulator.scene) if d else simulator.model)
        yield np.stack(starts), models


def judge_motion(
    reference: Reference,
    motion: PlayedMotion,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    truth: Reference | None = None,
) -> dict[str, Any]:
    """Metrics in the nominal world, and over the perturbed ones; against `truth`, where the reference is a copy of it
    with errors."""
    judged = Judged(reference, truth or reference, simulator, setup)
    for rollout, failed in motion_worlds(reference, motion, simulator, setup, trials):
        judged.add(rollout, failed)
    found = judged.row()
    told = {"seconds_cpu": motion.seconds_cpu, "rollouts": motion.rollouts, "expected": motion.expected}
    steps = motion.steps or motion.rollouts * (len(reference.q) - 1)
    told |= {"steps": steps, "tick_ms": 0.0, "tick_steps": 0, "tries": motion.tries}
    return found | told | {"refused": motion.refused}


def motion_worlds(
    reference: Reference, motion: PlayedMotion, simulator: MujocoSimulator, setup: Setup, trials: int
) -> Worlds:
    """A motion played in the nominal world and in the perturbed ones."""
    pose = reference.object_pose[0]
    for starts, models in trial_worlds(reference, simulator, trials):
        plans = []
        for state in starts:
            offset = object_offset(setup.asset.symmetry, pose, simulator.object_pose(state))
            plans.append(following_object(reference, motion.targets, offset) if motion.relative else motion.targets)
        batch = simulator.rollout(starts, np.stack(plans)[:, :-1], models)
        for k, plan in enumerate(plans):
            states = np.concatenate([starts[k : k + 1], batch.states[k]])
            yield floating_rollout(reference, plan, states, simulator), bool(batch.diverged[k])


def network_worlds(
    reference: Reference,
    network: OnnxNetwork,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    plan: np.ndarray | None = None,
    runs: list[NetworkRun] | None = None,
) -> Worlds:
    """A network in the same worlds; it has failed where it was stopped. runs: to which what it saw is appended."""
    for starts, models in trial_worlds(reference, simulator, trials):
        run = run_network(network, reference, setup, simulator, starts, models, plan=plan)
        if runs is not None:
            runs.append(run)
        for k, why in enumerate(run.unsafe):
            rollout = floating_rollout(reference, run.commands[k], run.states[k], simulator)
            yield rollout, bool(run.diverged[k] or why)


def mpc_worlds(
    reference: Reference, simulator: MujocoSimulator, trials: int, seed: int, spent: dict[str, float] | None = None
) -> Worlds:
    """Sampling control in the same worlds, planning in the nominal one; `spent`: CPU seconds, control steps and ticks
    are added to it."""
    for starts, models in trial_worlds(reference, simulator, trials):
        for start, model in zip(starts, models):
            controller, before, failed = Mpc(reference, simulator, MpcOptions(seed=seed)), time.process_time(), False
            try:
                rollout = run_controller(controller, simulator, start, model)
            except DexhotError:  # diverged
                failed, still = True, np.repeat(start[None], len(reference.q), axis=0)
                rollout = floating_rollout(reference, reference.q, still, simulator)
            finally:
                controller.thread.shutdown()
            if spent is not None:
                spent["seconds"] += time.process_time() - before
                spent["steps"] += controller.planner.control_steps
                spent["ticks"] += len(reference.q)
            yield rollout, failed


def played_worlds(
    name: str, reference: Reference, simulator: MujocoSimulator, setup: Setup, options: EvaluationOptions, trials: int
) -> Worlds:
    """What a controller of an evaluation does in the nominal world and the perturbed ones. Raises DexhotError where it
    has nothing to play."""
    networks = {"policy": options.policy, **dict(options.policies)}
    if name in networks:
        return network_worlds(reference, OnnxNetwork(networks[name]), simulator, setup, trials)
    if name == MPC:
        return mpc_worlds(reference, simulator, trials, options.seed)
    motion = MOTIONS["planned" if name == "feedback" else name](reference, setup, options)
    if motion.absent:
        raise DexhotError(motion.absent)
    if name == "feedback":
        return network_worlds(reference, OnnxNetwork(options.feedback), simulator, setup, trials, motion.targets)
    return motion_worlds(reference, motion, simulator, setup, trials)


def judge_mpc(
    reference: Reference,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    seed: int = 0,
    truth: Reference | None = None,
) -> dict[str, Any]:
    """The same of sampling control, which simulates at each tick."""
    judged, spent = Judged(reference, truth or reference, simulator, setup), dict.fromkeys(MPC_SPENT, 0.0)
    for rollout, failed in mpc_worlds(reference, simulator, trials, seed, spent):
        judged.add(rollout, failed)
    per_tick = {"tick_ms": 1e3 * spent["seconds"] / spent["ticks"], "tick_steps": spent["steps"] / spent["ticks"]}
    return judged.row() | {"seconds_cpu": 0.0, "rollouts": 0, "steps": 0, "expected": None, "refused": ""} | per_tick


def strict_on_arm(reference: Reference, motion: PlayedMotion, setup: Setup) -> bool:
    """Whether the motion is strict on the embedded rig too, the object where the reference has it."""
    strict: bool = score_on_arm(to_play(reference, motion.targets, setup), setup).metrics["success_strict"]
    return bool(strict)


def judge_policy(
    reference: Reference,
    network: OnnxNetwork,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    truth: Reference | None = None,
    plan: PlayedMotion | None = None,
) -> dict[str, Any]:
    """The same of a network, which simulates nothing; `training_steps` are those of its training, from its card. A
    world in which it was stopped is no success. plan: what the network is the feedback on, and what was simulated for
    it."""
    judged, runs = Judged(reference, truth or reference, simulator, setup), list[NetworkRun]()
    targets = plan.targets if plan else None
    for rollout, failed in network_worlds(reference, network, simulator, setup, trials, targets, runs):
        judged.add(rollout, failed)
    spent = []
    for t in range(len(reference.q)):
        begin = time.perf_counter()
        network(runs[0].observations[:1, t], runs[0].residuals[:1, t])
        spent.append(time.perf_counter() - begin)
    unsafe = [why for run in runs for why in run.unsafe]
    told = {
        "seconds_cpu": plan.seconds_cpu if plan else 0.0,
        "rollouts": plan.rollouts if plan else 0,
        "steps": plan.steps if plan else 0,
        "expected": plan.expected if plan else None,
        "refused": next(filter(None, unsafe), plan.refused if plan else ""),
    }
    training = int(network.card.provenance.get("control_steps", 0))
    told |= {"tick_ms": 1e3 * float(np.median(spent)), "tick_steps": 0, "training_steps": training}
    return judged.row() | told


class Judged:
    """Metrics of worlds against `truth`, the nominal one first; `tracking_error` (eq. 20) is the nominal one's, against
    `reference`."""

    def __init__(self, reference: Reference, truth: Reference, simulator: MujocoSimulator, setup: Setup):
        self.reference, self.truth, self.simulator, self.setup = reference, truth, simulator, setup
        self.found: list[dict[str, Any]] = []
        self.own: dict[str, Any] = {}

    def add(self, rollout: Rollout, failed: bool) -> None:
        """Judge a world."""
        metrics = self._computed(rollout, self.truth)
        if not self.found:
            same = self.truth is self.reference
            self.own = metrics if same else self._computed(rollout, self.reference)
        self.found.append({n: metrics[n] for n in ERRORS} | {n: bool(metrics[n] and not failed) for n in SUCCESSES})

    def _computed(self, rollout: Rollout, truth: Reference) -> dict[str, Any]:
        metrics: dict[str, Any] = compute(replace(rollout, reference=truth), self.setup.asset, self.setup.hand)
        return metrics

    def row(self) -> dict[str, Any]:
        """The nominal world's; as `trials` the means over the others, `envs` in number."""
        nominal, others = self.found[0], self.found[1:]
        over = {name: mean_known([f[name] for f in others]) for name in nominal} if others else None
        told = {"tracking_error": tracking_error(self.own), "perturbed": over["success_strict"] if over else None}
        return nominal | told | {"trials": over, "envs": len(others)}


def check_names(baselines: tuple[str, ...], policies: tuple[str, ...] = ()) -> None:
    """Raise NotFoundError for a baseline that there is not; DexhotError for policies whose name is taken."""
    for name in baselines:
        if name not in (*MOTIONS, MPC):
            raise NotFoundError("baseline", name, (*MOTIONS, MPC))
    taken = {*MOTIONS, *EXPLAINED, *NOT_CONTROLLERS}
    if twice := sorted({name for name in policies if name in taken or policies.count(name) > 1}):
        raise DexhotError(f"--policies: {', '.join(twice)} names another row; choose a name of its own for each.")


def dataset_splits(dataset: str) -> dict[str, list[str]]:
    """The splits of a dataset. Raises NotFoundError for one without any."""
    if not (named := splits(dataset)):
        known = [name for name in (*list_datasets(), "parametric") if splits(name)]
        raise NotFoundError("dataset with splits", dataset, known, "`dexhot datasets get` imports one.")
    return named


def mean_known(values: list[Any]) -> float | None:
    """The mean of those that are known (not None)."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _planned(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    """One refusing nothing, so that the table has what it would have done; `refused` says whether it would."""
    prior = load_prior(options.prior, reference, setup.asset)
    budget = PlannedOptions(options.seconds, options.rollouts, 0.0, seed=options.seed)
    before = time.process_time()
    plan = Planned(reference, setup, prior, budget, threads=1).plan(reference.object_pose[0])
    spent, limit = time.process_time() - before, PlannedOptions().planning_limit
    refused = f"expects {plan.expected:.2f}" if plan.expected < limit else ""
    return PlayedMotion(
        plan.targets, True, spent, plan.rollouts, plan.expected, refused, plan.control_steps, tries=plan.found.tries
    )


def _constant(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    mean = load_prior(options.prior, reference, setup.asset).mean
    if not mean.any():  # its targets are the row replay's
        return PlayedMotion(reference.q, True, absent="there is no fitted prior (--prior)")
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    return PlayedMotion(space.targets(mean)[0], True)


def _subsequences(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    """Each 10 frames planned from where the last ones ended (Christen et al. 2022, as DexTrack's section 4.1 adapts
    it), with sampling in place of its learner."""
    simulator, before = floating_simulator(reference, setup), time.process_time()
    planner = SamplingPlanner(reference, simulator, SUBSEQUENCE, seed=options.seed)
    state = start_state(reference, simulator)
    for t in range(0, len(reference.q) - 1, planner.stride):
        planner.plan(state, t)
        state = planner.predict(state, t).states[0, -1]
    spent = time.process_time() - before
    actions, steps = planner.actions(0, len(reference.q)), planner.control_steps
    return PlayedMotion(actions, True, spent, round(steps / len(reference.q)), steps=steps)


def _demonstration(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    """The mined one of the clip, if the folder has it, with what its mining simulated."""
    clip = reference.name.rpartition("/")[2]
    for path in demonstration_files(options.demonstrations, clip):
        if path.is_file():
            mined = load(path, Demonstration)
            here_T_there = compose(reference.placement, inverse(mined.reference.placement))
            q, actions = (carried(here_T_there, x) for x in (mined.reference.q, mined.actions))
            if q.shape != reference.q.shape or not np.allclose(q, reference.q, atol=1e-4):
                return PlayedMotion(reference.q, False, absent=f"{path} is of another reference")
            spent, steps = mined.provenance.get("seconds_cpu", 0.0), mined.provenance.get("control_steps", 0)
            return PlayedMotion(actions, False, spent, round(steps / len(reference.q)), steps=steps)
    return PlayedMotion(reference.q, False, absent=f"no demonstration of {clip}")


def demonstration_files(folder: str, clip: str) -> list[Path]:
    """Where a folder may have the clip's demonstration; none without a folder."""
    return [Path(folder) / f"{clip}{end}" for end in (".npz", ".demonstration.npz")] if folder else []


MOTIONS: dict[str, Callable[[Reference, Setup, EvaluationOptions], PlayedMotion]] = {
    "frozen": lambda r, s, o: PlayedMotion(np.repeat(r.q[:1], len(r.q), axis=0), False),
    "kinematic": lambda r, s, o: PlayedMotion(base_actions(r, s.physics), False),
    "replay": lambda r, s, o: PlayedMotion(base_actions(r, s.physics), True),
    "constant": _constant,
    "planned": _planned,
    "subsequences": _subsequences,
    "demonstration": _demonstration,
}


def clips_named(split: str, chosen: list[str] | None, splits: dict[str, list[str]]) -> list[str]:
    """The clips of a split ("test": all test splits), or those of them that are chosen. Raises NotFoundError, or
    DexhotError for a split without clips."""
    clips = split_clips(split, splits)
    for clip in chosen or ():
        if clip not in clips:
            other = "train" if split == "test" else "test"
            elsewhere = any(clip in names for name, names in splits.items() if name.partition("_")[0] == other)
            hint = f"It is in the other one: --split {other}." if elsewhere else ""
            raise NotFoundError(f"clip of the {split} split", clip, clips, hint)
    return chosen or clips


def summarise(rows: list[dict[str, Any]], unseen: set[str] | None = None) -> dict[str, dict[str, Any]]:
    """Controller -> figures over clips.

    Of each error the median (`_p50`, as DexTrack reports it), the mean (`_mean`) and its 95 % bootstrap interval over
    clips; of each success, and of the panel, the fraction of clips, and over the perturbed worlds (`trials_`);
    `perturbed` is the strict one, also for `unseen` objects and for clips of in-hand motion, and its difference to
    object-relative replay paired by clip. On the arm rig: `arm_strict` of the placed clips, and of those of them that
    are strict on the floating hand.
    """
    if not rows:
        raise DexhotError("no clip was evaluated.")
    out: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row if key not in NOT_CONTROLLERS):
        having = [row for row in rows if name in row]
        values = [row[name] for row in having]
        told: dict[str, Any] = {"n": len(values)}
        for success in SUCCESSES:
            told |= {success: float(np.mean([v[success] for v in values]))}
            told |= {f"{success}_interval": interval(np.array([float(v[success]) for v in values]))}
        for error in ERRORS:
            known = np.array([v[error] for v in values if v.get(error) is not None])
            if len(known):
                told |= {f"{error}_p50": float(np.median(known)), f"{error}_mean": float(known.mean())}
                told |= {f"{error}_interval": interval(known)}
        if all(v["perturbed"] is not None for v in values):
            fractions = np.array([v["perturbed"] for v in values])
            margin = fractions - np.array([row["replay"]["perturbed"] for row in having])
            told |= {"perturbed": float(fractions.mean()), "perturbed_interval": interval(fractions)}
            told |= {"over_replay": float(margin.mean()), "over_replay_interval": interval(margin)}
            if unseen and (here := [row["clip"] in unseen for row in having]) and any(here):
                told["perturbed_unseen_objects"] = float(fractions[here].mean())
            if any(here := [bool(row.get("in_hand")) for row in having]):
                told |= {"perturbed_in_hand": float(fractions[here].mean()), "n_in_hand": sum(here)}
        if all(v.get("success_panel") is not None for v in values):
            panel = np.array([float(v["success_panel"]) for v in values])
            told |= {"success_panel": float(panel.mean()), "success_panel_interval": interval(panel)}
        told |= _scores(values)
        if on_arm := [v for v in values if v.get("arm_strict") is not None]:
            told |= {"n_placed": len(on_arm), "arm_strict": float(np.mean([v["arm_strict"] for v in on_arm]))}
            strict = [v["arm_strict"] for v in on_arm if v["success_strict"]]
            told |= {"n_placed_strict": len(strict), "arm_strict_of_strict": float(np.mean(strict)) if strict else None}
        if all(v.get("trials") for v in values):
            told |= {f"trials_{n}": float(np.mean([v["trials"][n] for v in values])) for n in SUCCESSES}
            told["envs"] = min(v.get("envs", 0) for v in values)
        told |= {f"{n}_mean": float(np.mean([v.get(n, 0) for v in values])) for n in SIMULATED}
        told["training_steps"] = max(v.get("training_steps", 0) for v in values)
        told["refused"] = float(np.mean([bool(v["refused"]) for v in values]))
        out[name] = told
    return out


def _scores(values: list[dict[str, Any]]) -> dict[str, float]:
    """Of one controller's rows: the mean tracking error (eq. 20) and hard-to-track score, and where disturbed
    references were tried, success on each kind and the robustness score on the noisy ones (eq. 26)."""
    errors = [v["tracking_error"] for v in values if "tracking_error" in v]
    if not errors:
        return {}
    told = {"tracking_error": float(np.mean(errors))}
    told["hard_to_track"] = float(np.mean([hard_to_track(error) for error in errors]))
    for kind in KINDS:
        if found := [v[kind] for v in values if kind in v]:
            told[f"{kind}_success_strict"] = float(np.mean([f["success_strict"] for f in found]))
            perturbed = mean_known([f["perturbed"] for f in found])
            told |= {} if perturbed is None else {f"{kind}_perturbed": perturbed}
            if kind == "noisy":
                own = [f["tracking_error"] for f in found]
                told["robustness_score"] = robustness_score([f["quality"] for f in found], own)
    return told


def interval(values: np.ndarray, draws: int = 4000) -> list[float]:
    """The 95 % bootstrap interval of the mean of values (N,) over clips."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    return [float(x) for x in np.percentile(means, [2.5, 97.5])]
