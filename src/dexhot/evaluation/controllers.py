"""Controllers on clips, beside their baselines: which are evaluated on a clip, a reference or a file, and their rows.

clips.py -> motions.py -> trial_worlds.py -> verdicts.py -> summary.py is the way of a row.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from dexhot.control.policy import OnnxNetwork, check_card
from dexhot.control.time_warp import as_played
from dexhot.data.files import a, load
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError, FileFormatError, NotFoundError, UnreachableError
from dexhot.evaluation.clips import clip_reference
from dexhot.evaluation.motions import MOTIONS, PlayedMotion
from dexhot.evaluation.options import EXPLAINED, MPC, NOT_CONTROLLERS, EvaluationOptions
from dexhot.evaluation.placed_panel import PlacedPanel
from dexhot.evaluation.references import KINDS, difficulty, disturbed, reference_quality
from dexhot.evaluation.verdicts import judge_motion, judge_mpc, judge_policy, strict_on_arm
from dexhot.retargeting.grasp_sequence import is_in_hand
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import reference_kind
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.setup import Setup, load_setup


def evaluate_clip(job: tuple[str, EvaluationOptions]) -> dict[str, Any]:
    """A row of one clip of the dataset: each controller's metrics, nominal and over perturbed worlds, and its
    simulation."""
    clip, options = job
    reference, setup = clip_reference(clip, options)
    if options.arm:
        with suppress(UnreachableError):  # then it is planned where it was recorded
            reference, _ = as_played(place(reference, setup.hand), None, setup.physics)
    return _known(clip, reference) | evaluate_reference(reference, setup, options)


def evaluate_file(path: Path, options: EvaluationOptions) -> dict[str, Any]:
    """The row of one reference, as the graph plays it; of a Demonstration also its own actions, open loop and
    object-relative."""
    item: Any = load(path)
    if not isinstance(item, Reference | Demonstration):
        raise FileFormatError(f"{path} holds {a(type(item))}; give a Reference or a Demonstration.")
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


def check_names(baselines: tuple[str, ...], policies: tuple[str, ...] = ()) -> None:
    """Raise NotFoundError for a baseline that there is not; DexhotError for policies whose name is taken."""
    for name in baselines:
        if name not in (*MOTIONS, MPC):
            raise NotFoundError("baseline", name, (*MOTIONS, MPC))
    taken = {*MOTIONS, *EXPLAINED, *NOT_CONTROLLERS}
    if twice := sorted({name for name in policies if name in taken or policies.count(name) > 1}):
        raise DexhotError(f"--policies: {', '.join(twice)} names another row; choose a name of its own for each.")
