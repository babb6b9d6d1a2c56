"""`dexhot bench physics`: fidelity and cost of the benchmark physics.

creep_mm_per_s      worst of ten GRAB lifts held in the air for 60 s at constant targets: the object's speed in the palm
physics_agreement   fraction of mined plans with the same strict verdict at 1/1920 s with the elliptic cone
throughput_ratio    control steps per second of CPU time to physics 1, in the same process, from a lifted grasp's state
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.disk import check_folder
from dexhot.data.files import load
from dexhot.data.types import Demonstration, Reference
from dexhot.datasets import load_clip
from dexhot.geometry.poses import compose, inverse
from dexhot.metrics.rollout import compute
from dexhot.objects.library import load_object
from dexhot.progress import track
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.robots.kinematics.wrist import wrist_to_palm
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator, run_floating
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import variant
from dexhot.simulation.physics import Physics, load_physics
from dexhot.simulation.scene import floating_scene
from dexhot.simulation.setup import load_setup
from dexhot_bench.mine import FULL, QUICK, clips_of, mine_clip, mined_dir
from dexhot_train.mining.executor import run_jobs

HAND = "leap_right"
LIFTS = tuple(
    f"{name}_lift"
    for name in (
        "apple", "cubesmall", "cylindermedium", "cylindersmall", "duck", "elephant", "flashlight", "spheremedium",
        "stapler", "toothpaste",
    )
)  # fmt: skip
HELD, SETTLE = 60.0, 1.0  # s
FINE = "1/1920 s elliptic"
ROOM = 0.5  # m that the table is lowered by: a dropped object falls
TIMED, ROUNDS = 600, 5  # control steps of a timing, and timings of each physics in turn


def run(quick: bool = False, workers: int = 0, profile: str | None = None) -> dict[str, Any]:
    """Measure; plans of an earlier run are taken, missing ones mined. Needs the GRAB clips in the cache."""
    physics = load_physics(profile=profile)
    references = {clip: lift_reference(clip, physics) for clip in track(LIFTS, "retargeting")}
    creep = {clip: held(references[clip], physics)[0] for clip in track(LIFTS, "holding")}
    agreed = agreement(clips_of("quick" if quick else "train"), quick, workers, physics)
    speeds = throughput(references[LIFTS[0]], physics)
    metrics = {
        "creep_mm_per_s": max(creep.values()),
        "physics_agreement": float(np.mean([row["strict"] == row["strict_fine"] for row in agreed])),
        "throughput_ratio": speeds["steps_per_s"] / speeds["steps_per_s_physics_1"],
        **speeds,
        "plans": len(agreed),
    }
    named = physics.named(HAND)
    return {"metrics": metrics, "subset": list(LIFTS), "creep": creep, "agreement": agreed, **named}


def lift_reference(clip: str, physics: Physics) -> Reference:
    """The clip's Reference, with its squeeze for the physics' servos."""
    trajectory, hand = load_clip(f"grab/{clip}"), load_hand(HAND)
    options = RetargetOptions(profile=physics.profile(hand))
    return retarget(trajectory, hand, load_object(trajectory.object_name), options)


def lifted(reference: Reference, physics: Physics) -> tuple[MujocoSimulator, np.ndarray, np.ndarray]:
    """Where the reference is highest, hand and object at rest with the table far below: simulator, state, targets."""
    frame = int(np.argmax(reference.object_pose[:, 2]))
    hand, asset = load_hand(reference.hand), load_object(reference.object_name)
    scene = floating_scene(hand, asset, reference.base_quat, physics, reference.table_height - ROOM, visual=False)
    simulator = MujocoSimulator(scene)
    state = simulator.initial_state(reference.q[frame], reference.object_pose[frame])
    return simulator, state, reference.target[frame]


def held(reference: Reference, physics: Physics, seconds: float = HELD) -> tuple[float, np.ndarray]:
    """The object's mean speed (mm/s) in the palm over `seconds` of constant targets, and its last state (ns,)."""
    simulator, state, target = lifted(reference, physics)
    steps = round((SETTLE + seconds) / physics.control_dt)
    states = simulator.rollout(state, np.broadcast_to(target, (1, steps, len(target)))).states[0]
    ends = states[[round(SETTLE / physics.control_dt), -1]]
    wrists = simulator.joint_positions(ends)[:, :6]
    palms = np.stack([wrist_to_palm(wrist, reference.base_quat) for wrist in wrists])
    way = np.diff(compose(inverse(palms), simulator.object_pose(ends))[:, :3], axis=0)
    return 1e3 * float(np.linalg.norm(way)) / seconds, ends[-1]


def agreement(clips: list[str], quick: bool, workers: int, physics: Physics) -> list[dict[str, Any]]:
    """Strict verdicts of the clips' plans in the physics and in fine steps; missing plans are mined.

    The plans are those of `bench mine`, whatever version of the miner made them: the physics is judged, not the miner.
    """
    profile = physics.profile(HAND)
    out = check_folder(mined_dir("quick" if quick else "train", profile), "$DEXHOT_CACHE")
    options = QUICK if quick else FULL  # as `bench mine` makes them: whoever runs second keeps the plans
    missing = [clip for clip in clips if not planned_in(physics, out / f"{clip}.npz")]
    list(run_jobs(mine_clip, [(clip, out, options, profile, HAND) for clip in missing], workers, "process"))
    there = [(clip, out / f"{clip}.npz") for clip in sorted(clips) if planned_in(physics, out / f"{clip}.npz")]
    return [{"clip": clip, **verdicts(path, physics)} for clip, path in track(there, "judging")]


def planned_in(physics: Physics, path: Path) -> bool:
    """Whether the file has a plan that was made in this physics, for its servos."""
    if not path.is_file():
        return False
    plan = load(path, Demonstration)
    return (plan.physics, plan.servo) == (physics.version, physics.profile(plan.reference.hand))


def verdicts(path: Path, physics: Physics) -> dict[str, bool]:
    """The verdicts of one plan's file."""
    plan = load(path, Demonstration)
    setup = replace(load_setup(plan.reference), physics=physics)

    def strict(judge: Physics) -> bool:
        simulator = floating_simulator(plan.reference, setup, judge)
        rollout = run_floating(plan.reference, plan.actions, simulator)
        passed: bool = compute(rollout, setup.asset, setup.hand)["success_strict"]
        return passed

    return {"strict": strict(physics), "strict_fine": strict(variant(physics, FINE))}


def throughput(reference: Reference, physics: Physics) -> dict[str, float]:
    """Control steps per second of CPU time from a held grasp's state, of the physics and of physics 1 in turn."""
    speeds = {"steps_per_s": physics, "steps_per_s_physics_1": load_physics("1")}
    worlds, seconds = {}, {name: [] for name in speeds}  # type: ignore[var-annotated]
    _, state = held(reference, physics, 1.0)
    for name, how in speeds.items():
        simulator, _, target = lifted(reference, how)
        worlds[name] = simulator, np.broadcast_to(target, (1, TIMED, len(target)))
    for _ in range(ROUNDS):
        for name, (simulator, controls) in worlds.items():
            began = time.process_time()
            simulator.rollout(state, controls)
            seconds[name].append(time.process_time() - began)
    return {name: TIMED / float(np.median(taken)) for name, taken in seconds.items()}
