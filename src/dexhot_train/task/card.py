"""The card of a network that was trained on the tracking task."""

from collections.abc import Sequence
from dataclasses import replace

from dexhot.control.action_space import action_space
from dexhot.control.policy import make_card
from dexhot.control.shaper import LEAD
from dexhot.data.types import PolicyCard
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.tracking import TaskOptions
from dexhot_train.terms import carried_terms, sources


def task_card(clips: Sequence[TaskClip], options: TaskOptions, name: str = "") -> PolicyCard:
    """For the rig, the observation and the action space of a task of `clips`, with the terms of their data; the
    learner adds scores and provenance, the export the network's hash."""
    first = clips[0]
    space = action_space(options.action, len(first.reference.joint_names) - 6, options.action_factor)
    return replace(
        make_card(
            name or f"tracker of {len(clips)} clips",
            first.reference,
            first.setup.physics,
            options.layout,
            action=options.action,
            baseline="object_relative" if options.object_relative else "targets",
        ),
        residual_limit=[float(x) for x in space.limit],
        residual_step=[float(x) for x in space.step],
        shaper_lead=LEAD if options.shaper else None,
        terms=carried_terms(sources(clip.demonstration or clip.reference for clip in clips), "policy"),
        training_data=[clip.name for clip in clips],
    )
