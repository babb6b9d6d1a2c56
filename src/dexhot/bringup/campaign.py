"""Lead a person through a campaign on a rig: clip by clip and trial by trial, a prompted reset before each, then a
live run of the graph real_track, judged from its bag. What was counted is in a ledger, so a stopped one goes on there.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.bringup import launcher
from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.run_folder import load_task
from dexhot.data.disk import LOCK, hold_folder
from dexhot.data.files import load, save, write_text
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError, FileFormatError
from dexhot.evaluation.campaign import (
    BASELINE,
    CONTROLLER,
    OURS,
    RESULT,
    Trial,
    add_trial,
    is_short,
    read_trials,
    result_of_policy,
)
from dexhot.evaluation.score import rejudge
from dexhot.metrics.levels import LEVELS
from dexhot.objects.library import load_object
from dexhot.rollouts.live import live_rollout

SCHEMA, PLAN, LEDGER = "dexhot/campaign", "campaign.json", "trials.jsonl"
OWN = {"reference", "controller", "policy", "rig", "record", "exit_when_done"}  # arguments that a campaign sets
OWN |= {"planning_seconds", "planning_rollouts", "prior"}
START = "Enter starts the trial, q stops the campaign (it can be resumed): "
COUNT = "Enter counts it, r repeats it, q stops without it: "


@dataclass(frozen=True)
class TriedMethod:
    """What is tried on a clip: the arguments that the graph gets for it."""

    kind: str  # RESULT or CONTROLLER
    name: str  # OURS or BASELINE
    arguments: dict[str, str]

    def __str__(self) -> str:
        return f"{self.name}, {'replayed result' if self.kind == RESULT else 'controller'}"


@dataclass(frozen=True)
class CampaignClip:
    """A clip, as the rig plays it."""

    reference: Reference
    path: Path
    methods: tuple[TriedMethod, ...]

    @property
    def name(self) -> str:
        return self.reference.name


@dataclass
class Campaign:
    """Clips, methods and trials on a rig."""

    folder: Path
    rig: str
    clips: list[CampaignClip]
    trials: int
    arguments: dict[str, str] = field(default_factory=dict)  # further ones of the graph

    @property
    def ledger(self) -> Path:
        """The file of the counted trials."""
        return self.folder / LEDGER

    def left(self) -> Iterator[tuple[CampaignClip, TriedMethod, int]]:
        """What has not been counted yet."""
        done = {trial.key for trial in read_trials(self.ledger)}
        for clip in self.clips:
            for number in range(1, self.trials + 1):
                for method in clip.methods:
                    if (clip.name, method.kind, method.name, number) not in done:
                        yield clip, method, number


def begin(folder: Path, settings: dict[str, Any]) -> None:
    """Make the campaign's folder with its plan, or check that it is the same once a trial was counted. No other process
    can begin in it until this one ends. Raises DexhotError naming what differs.

    Clips and the number of trials are no part of the plan: a campaign may be given more of them."""
    path, settings = folder / PLAN, json.loads(json.dumps(settings))
    plan_text = json.dumps({"schema": SCHEMA, "settings": settings}, indent=1) + "\n"
    if not path.exists():
        if folder.exists() and any(name.name != LOCK for name in folder.iterdir()):
            raise DexhotError(f"{folder} is not empty, and no campaign: name another folder with --campaign.")
        folder.mkdir(parents=True, exist_ok=True)
        hold_folder(folder, "--campaign")
        write_text(path, plan_text)
        return
    hold_folder(folder, "--campaign")
    try:
        kept = dict(json.loads(path.read_text())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(f"{path} is damaged; name another folder with --campaign.") from e
    differ = [name for name in settings if kept.get(name) != settings[name]]
    if differ and read_trials(folder / LEDGER):
        raise DexhotError(
            f"{folder} has a campaign with other settings ({', '.join(differ)}): give those that it began with, or "
            "name another folder with --campaign."
        )
    if differ:
        write_text(path, plan_text)


def further_arguments(given: dict[str, str]) -> dict[str, str]:
    """The graph's arguments of --graph. Raises DexhotError for one that the campaign sets itself."""
    if taken := sorted(set(given) & OWN):
        raise DexhotError(f"--graph does not take {', '.join(taken)}: options of `dexhot evaluate` set them.")
    return given


def campaign_clip(
    folder: Path,
    tracked: Reference | Demonstration,
    kinds: Sequence[str],
    controller: dict[str, str],
    baseline: Path | None,
) -> CampaignClip:
    """Write the clip's files into the folder and check what each method needs of them. Once a trial of the clip was
    counted they stay, and another clip of its name is refused.

    controller: the graph's arguments of ours; baseline: a policy, tried beside ours. Raises DexhotError."""
    reference = tracked.reference if isinstance(tracked, Demonstration) else tracked
    reference.require_arm_path()
    stem = reference.name.replace("/", "_")
    path = folder / "clips" / f"{stem}.reference.npz"
    counted = any(trial.clip == reference.name for trial in read_trials(folder / LEDGER))
    methods = []
    _keep(reference, path, counted)
    if RESULT in kinds and isinstance(tracked, Demonstration):
        mined = folder / "clips" / f"{stem}.demonstration.npz"
        _keep(tracked, mined, counted)
        methods.append(TriedMethod(RESULT, OURS, {"controller": "playback", "policy": str(mined)}))
    if RESULT in kinds and baseline:
        result = folder / "clips" / f"{stem}.baseline.npz"
        if not (counted and result.is_file()):
            save(result_of_policy(baseline, reference), result)
        methods.append(TriedMethod(RESULT, BASELINE, {"controller": "playback", "policy": str(result)}))
    if CONTROLLER in kinds:
        methods.append(TriedMethod(CONTROLLER, OURS, controller))
        if baseline:
            methods.append(TriedMethod(CONTROLLER, BASELINE, {"controller": "policy", "policy": str(baseline)}))
    for method in methods:
        load_task(str(path), method.arguments.get("policy", ""), method.arguments["controller"])
    return CampaignClip(load(path, Reference), path, tuple(methods))


def _keep(item: Reference | Demonstration, path: Path, counted: bool) -> None:
    """Save it; or, where trials of it were counted, check that it is what they were made with."""
    if not (counted and path.is_file()):
        save(item, path)
        return
    kept: Any = load(path, type(item))
    for name in ("q", "object_pose", "arm_q", "actions"):
        a, b = (np.asarray(getattr(x, name, ())) for x in (kept, item))
        if a.shape != b.shape or not np.allclose(a, b, rtol=0.0, atol=1e-6, equal_nan=True):
            raise DexhotError(
                f"{item.name} is not what its counted trials were made with ({path.name}, {name}): give the same file, "
                "or name another folder with --campaign."
            )


def conduct(campaign: Campaign, ask: Callable[[str], str], say: Callable[[str], None]) -> bool:
    """Try what is left, prompting a person; whether nothing is left. ask: shows a prompt and returns the answer; raises
    EOFError where nobody answers, which stops the campaign."""
    left = list(campaign.left())
    for done, (clip, method, number) in enumerate(left):
        say(f"trial {done + 1} of {len(left)}: {clip.name}, {method}, {number} of {campaign.trials}")
        while True:
            if not _confirmed(ask, f"{reset(clip.reference, campaign.rig)} {START}"):
                return False
            trial = run_trial(campaign, clip, method, number)
            say(f"level {trial.level}: {LEVELS[trial.level]}" + (f"; {trial.why}" if trial.why else ""))
            answer = _answer(ask, COUNT)
            if answer == "q":
                return False
            if answer != "r":
                break
        add_trial(trial, campaign.ledger)
    return True


def reset(reference: Reference, rig: str) -> str:
    """What to do before a trial."""
    x, y = 100 * reference.object_pose[0, :2]
    name, side = reference.object_name, "left" if y >= 0 else "right"
    where = f"Put {name} {x:.0f} cm in front of the arm's base and {abs(y):.0f} cm to its {side}, turned as"
    where += " `dexhot view` shows the clip's first frame."
    if rig == "real":
        return f"{where} Hand empty, nobody in reach; then start it by `dexhot safety start` in another terminal."
    return f"{where} (The simulated rig does that.)"


def run_trial(campaign: Campaign, clip: CampaignClip, method: TriedMethod, number: int) -> Trial:
    """One live run. A clip that never began, or ended early, is a trial too. Raises KeyboardInterrupt for Ctrl-C."""
    stem = f"{clip.name.replace('/', '_')}-{method.kind}-{method.name}-{number}"
    run, k = campaign.folder / "runs" / stem, 1
    while run.exists():
        k += 1
        run = run.with_name(f"{stem}-{k}")
    arguments = {"reference": str(clip.path), **method.arguments, "rig": campaign.rig, "record": str(run)}
    arguments |= {"exit_when_done": "true"} | campaign.arguments
    launcher.run(plan(load_graph("real_track"), arguments, os.environ), sys.stderr, goes_on=True)
    asset = load_object(clip.reference.object_name)
    level, strict = 0, False
    try:
        rollout = rejudge(live_rollout(run, part=True))
        level, strict = int(rollout.metrics["level"]), bool(rollout.metrics["success_strict"])
        why = str(rollout.provenance.get("stopped", ""))
    except FileFormatError as absent:  # it never began: a plan refused, an object lost
        why = str(absent)
    return Trial(
        clip.name,
        clip.reference.object_name,
        method.kind,
        method.name,
        number,
        level,
        strict,
        why,
        is_short(clip.reference, asset),
        str(run.relative_to(campaign.folder)),
    )


def _confirmed(ask: Callable[[str], str], prompt: str) -> bool:
    return _answer(ask, prompt) != "q"


def _answer(ask: Callable[[str], str], prompt: str) -> str:
    try:
        return ask(prompt).strip().lower()
    except EOFError:
        return "q"
