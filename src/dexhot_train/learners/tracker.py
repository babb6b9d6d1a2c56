"""Training of a tracking controller: task and learner, a folder that resumes, and an evaluation beside the replay.

The folder is that of every learner (folder.py), and has at the end policy.onnx and its card, policy.json, with the
scores.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexhot.control.policy import encoder_file
from dexhot.data.files import replacing
from dexhot.objects.encoder import file_hash, load_encoder
from dexhot.progress import Report
from dexhot.retargeting.retarget import PLAIN, reference_kind
from dexhot.versions import versions
from dexhot_train.export import export_policy
from dexhot_train.learners.discriminator import expert_pairs
from dexhot_train.learners.folder import POLICY, claim
from dexhot_train.learners.networks import Actor
from dexhot_train.learners.ppo import PPO, PPOOptions
from dexhot_train.learners.training import train_in_folder
from dexhot_train.network import PolicyNetwork
from dexhot_train.task.card import task_card
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.starts import StartOptions
from dexhot_train.task.tracking import TaskOptions, TrackingTask

IMITATION = 0.1  # weight of eq. 4, on clips with a demonstration
HELD_OUT = 424242  # seed of the evaluation's worlds; no training draws with it


@dataclass(frozen=True)
class TrackerOptions:
    """Settings of a training; changed ones are refused when it resumes, all but `steps`."""

    worlds: int = 128  # stepped together
    steps: int = 2_000_000  # of all worlds in all
    seed: int = 0
    save_every: int = 20  # iterations
    expert_steps: int = 300  # for the discriminator
    backend: str = "mujoco"  # of task/backends.py; the evaluation is always in C MuJoCo
    task: TaskOptions = field(default_factory=TaskOptions)
    ppo: PPOOptions = field(
        default_factory=lambda: PPOOptions(std=0.1, gain=0.1, learning_rate=1e-3, imitation=IMITATION)
    )

    @property
    def iterations(self) -> int:
        """Of the learner, the last one whole."""
        return self.ppo.iterations(self.steps, self.worlds)


def train_tracker(
    clips: Sequence[TaskClip],
    options: TrackerOptions,
    folder: Path,
    command: str = "",
    threads: int = 1,
    progress: Report | None = None,
    encoder: Path | None = None,
) -> tuple[PPO, dict[str, Any]]:
    """Train, or go on with what `folder` has; returns the learner and a summary. encoder: file of the object encoder,
    for a layout with object_feature.

    Raises DexhotError for another training's folder, FileFormatError for a damaged checkpoint.
    """
    torch.set_num_threads(threads)
    setup = clips[0].setup
    settings = {"options": asdict(options), "clips": [c.name for c in clips], **setup.physics.named(setup.hand)}
    coded = load_encoder(encoder) if encoder else None  # refused before the folder begins
    settings["plain"] = [c.name for c in clips if reference_kind(c.reference) == PLAIN]
    settings |= {"object_encoder": file_hash(encoder)} if encoder else {}
    claim(folder, settings, command, free=("options.steps",), older={"plain": []})
    backend = options.backend
    task = TrackingTask(clips, options.worlds, options.task, options.seed, threads, backend=backend, encoder=coded)
    expert = None
    if options.ppo.discriminator:
        shown = TrackingTask(clips, 16, options.task, options.seed + 1, threads, encoder=coded)
        expert = expert_pairs(shown, options.expert_steps)
    learner = PPO(task, options.ppo, options.seed, expert)
    figures = ("return", "whole/tracked")
    summary = train_in_folder(learner, options.iterations, folder, options.save_every, figures, progress)
    return learner, summary


def evaluate_tracker(
    actor: Actor | None,
    clips: Sequence[TaskClip],
    options: TaskOptions,
    trials: int = 20,
    threads: int = 1,
    encoder: Path | None = None,
) -> dict[str, Any]:
    """The mean policy (None: the bare baseline) in `trials` held-out worlds per clip, each episode from its clip's
    start: fraction tracked (the limits of success_strict on the object) and median T_err, per clip and in all.

    A quick estimate without self-penetration and hold rate; `dexhot evaluate` judges a policy.
    """
    whole = replace(options, starts=StartOptions(1.0, 0.0, 0.0, 0.0, plans=1), worlds=trials, longest=100_000)
    coded = load_encoder(encoder) if encoder else None
    task = TrackingTask(clips, trials * len(clips), whole, HELD_OUT, threads, encoder=coded)
    task.assigned = np.stack(np.meshgrid(np.arange(len(clips)), np.arange(trials), indexing="ij"), -1).reshape(-1, 2)
    observations, first = task.reset(), np.full(task.size, -1.0)
    errors = np.full(task.size, np.nan)
    while (first < 0).any():
        action = np.zeros((task.size, task.action_size))
        if actor is not None:
            with torch.no_grad():
                action = actor(torch.as_tensor(observations.policy)).double().numpy()
        step = task.step(action)
        observations = step.observations
        ended = np.flatnonzero(step.terminated | step.truncated)
        for row, figures in zip(ended, step.finished):
            if first[row] < 0:
                first[row], errors[row] = figures["tracked"], figures["T_err_cm"]
    by_clip = first.reshape(len(clips), trials).mean(axis=1)
    error_by_clip = np.median(errors.reshape(len(clips), trials), axis=1)
    return {
        "tracked": float(by_clip.mean()),
        "T_err_cm": float(np.median(errors)),
        "clips": {clip.name: float(x) for clip, x in zip(clips, by_clip)},
        "T_err_cm_of_clips": {clip.name: float(x) for clip, x in zip(clips, error_by_clip)},
    }


def export_tracker(
    actor: Actor,
    clips: Sequence[TaskClip],
    options: TrackerOptions,
    folder: Path,
    command: str,
    scores: dict[str, Any],
    encoder: Path | None = None,
) -> Path:
    """Write the mean policy as policy.onnx with its card, as the controller `policy` runs it, and its object encoder
    beside it; returns the .onnx file."""
    steps = options.iterations * options.worlds * options.ppo.steps
    card = task_card(clips, options.task)
    card.scores = scores
    card.provenance = {"command": command, "seed": options.seed, "control_steps": steps, "versions": versions()}
    if encoder:
        card.provenance["object_encoder"] = file_hash(encoder)
        both = (card.terms, load_encoder(encoder).terms)
        card.terms = "; ".join(dict.fromkeys(terms for terms in both if terms))
        with replacing(encoder_file(folder / POLICY)) as temporary:
            shutil.copyfile(encoder, temporary)
    network = PolicyNetwork(card, options.ppo.hidden)
    network.body.load_state_dict(actor.net.state_dict())
    last = network.body[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.mul_(actor.gain)
        last.bias.mul_(actor.gain)
    network.mean.copy_(actor.normaliser.mean)
    network.scale.copy_(actor.normaliser.deviation)
    return export_policy(network, card, folder / POLICY)
