"""Train the prior over plans, a network of one clip or of many, a tracker or the baselines beside it, a pick-up, or an
agent that assists a user; and make the demonstrations and user inputs to train on."""

from types import ModuleType
from typing import Annotated

import tyro

from dexhot.cli.train import (
    assist,
    baseline,
    curves,
    demonstrations,
    flywheel,
    generalist,
    generator,
    homotopy,
    ledger,
    object_encoder,
    prior,
    ptf,
    ptf_report,
    scaling,
    specialist,
    tracker,
    user_input,
)

Args = (
    prior.Prior
    | specialist.Specialist
    | generalist.Generalist
    | scaling.Scaling
    | tracker.Tracker
    | baseline.Baseline
    | Annotated[object_encoder.ObjectEncoderTraining, tyro.conf.subcommand("object-encoder")]
    | Annotated[ptf.PoseFollowing, tyro.conf.subcommand("ptf")]
    | Annotated[ptf_report.FollowingReport, tyro.conf.subcommand("ptf-report")]
    | assist.Assist
    | demonstrations.Demonstrations
    | homotopy.Homotopy
    | Annotated[generator.PathGenerator, tyro.conf.subcommand("generator")]
    | flywheel.Flywheel
    | user_input.UserInput
    | curves.Curves
    | Annotated[ledger.LedgerPage, tyro.conf.subcommand("ledger")]
)
TRAININGS: dict[type, ModuleType] = {
    prior.Prior: prior,
    specialist.Specialist: specialist,
    generalist.Generalist: generalist,
    scaling.Scaling: scaling,
    tracker.Tracker: tracker,
    baseline.Baseline: baseline,
    object_encoder.ObjectEncoderTraining: object_encoder,
    ptf.PoseFollowing: ptf,
    ptf_report.FollowingReport: ptf_report,
    assist.Assist: assist,
    demonstrations.Demonstrations: demonstrations,
    homotopy.Homotopy: homotopy,
    generator.PathGenerator: generator,
    flywheel.Flywheel: flywheel,
    user_input.UserInput: user_input,
    curves.Curves: curves,
    ledger.LedgerPage: ledger,
}


def run(args: Args) -> int | None:
    """Train it; the exit status, None for success. An interrupted run resumes where it stopped."""
    status: int | None = TRAININGS[type(args)].run(args)
    return status
