"""replay: a recorded run through its controller alone, to compare the commands; or the topics of any bag.

A run has a journal of its controller's inputs; they are replayed through the controller in that order. Any other
bag (a capture, a librealsense recording) is played back: its topics at the recorded rate, with its time on /clock.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dexhot.bringup.graph import COMMON, Argument, Graph, GraphError, NodeSpec, Prepared, Process, recorded_parameters
from dexhot.bringup.graphs.teleop import BUILT_IN, MOTION, TELEOP, TELEOP_GRAPH
from dexhot.bringup.run_folder import load_task
from dexhot.data.bags import topics
from dexhot.data.run import is_run, read_run
from dexhot.data.topics import JOURNAL
from dexhot.errors import DexhotError
from dexhot.ros.core import live_rig
from dexhot.ros.core.parameters import load_schema
from dexhot.ros.record.bag_contents import check_playable
from dexhot.ros.record.playback import check_bag, find_bag
from dexhot.scratch import make_scratch

AGENT = "policy.onnx"
ARGUMENTS = (
    Argument("bag", "", "Folder of a run or a capture, or a bag; also a librealsense .db3 recording."),
    Argument(
        "what",
        "auto",
        "controller: replay its inputs and compare its commands; topics: play them; auto: depends on the bag.",
        choices=("auto", "controller", "topics"),
    ),
    Argument("topics", "", "Topics to play, comma-separated; a bag that lacks one is rejected; default: all."),
    Argument.of("bag_player", "loop"),
    Argument(
        "controller",
        "recorded",
        "Controller to replay; one other than the recorded one shows what it would have commanded.",
        choices=("recorded", "kinematic", "playback", "mpc", "planned", "policy"),
    ),
    Argument("reference", "", "File of the Reference; default: the run's copy."),
    Argument("policy", "", "File that the controller executes; default: the run's copy."),
    Argument.of(
        "player",
        "rate",
        "Playback rate relative to the recording; 0: topics at the recorded rate, the controller as fast as possible.",
    ),
    Argument.of("player", "tolerance"),
    *COMMON,
)


def processes(arguments: dict[str, Any]) -> tuple[Process, ...]:
    """The controller's parameters are those of the recorded run."""
    if not through_controller(arguments):
        return (Process("player", (NodeSpec("bag_player"),)),)
    teleop = of_teleoperation(arguments["bag"])
    controller = replace(TELEOP if teleop else NodeSpec("controller"), parameters={"speakers": ["player"]})
    return (Process("controller", (controller,)), Process("player", (NodeSpec("player"),)))


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Check that the bag has what the controller needs before anything starts."""
    if not arguments["bag"]:
        raise DexhotError("no bag given; write bag:=FOLDER of a run, e.g. runs/20260101-120000-real_track-duck.")
    live_rig.require_none(arguments["namespace"])
    bag, run_folder = find_bag(arguments["bag"])
    if not through_controller(arguments):
        wanted = [topic for topic in arguments["topics"].split(",") if topic]
        pace = check_pace(arguments["rate"])
        check_playable(bag, wanted)
        return Prepared(make_scratch(), {"source": str(bag.resolve()), "play": wanted, "pace": pace})
    check_bag(bag)
    if of_teleoperation(arguments["bag"]):
        return prepare_teleop(arguments, bag, run_folder)
    recorded = recorded_parameters(run_folder / "parameters.yaml", "controller") if run_folder else {}
    controller = arguments["controller"]
    if controller == "recorded":
        controller = recorded.get("controller")
        if controller is None:
            raise DexhotError(f"{bag} has no run.json beside it that names its controller; give controller:=NAME.")
    reference = arguments["reference"] or _copy(run_folder, "reference.npz")
    policy = arguments["policy"] or _copy(run_folder, "policy.onnx" if controller == "policy" else "demonstration.npz")
    feedback = _copy(run_folder, "feedback.onnx") if controller == "planned" else ""
    task = load_task(reference, policy, controller, feedback)
    folder, prefix = make_scratch(), arguments["frame_prefix"]
    values = recorded | {
        **task.write(folder),
        "controller": controller,
        "exit_when_done": False,
        "duration": 0.0,
        "source": str(bag.resolve()),
        "report": str(folder / "replay.json"),
        "frame_prefix": recorded.get("frame_prefix", "") if prefix == "auto" else prefix,  # as in the recorded messages
        "token": recorded.get("token", ""),  # the player's safety states are the recorded ones
    }
    return Prepared(folder, values)


def check_pace(rate: float) -> float:
    """The pace at which topics are played with the argument `rate`. Raises GraphError."""
    spec = load_schema("bag_player")["pace"]
    least, most = spec.validation["bounds"]
    if rate and not least <= rate <= most:
        raise GraphError(f"rate must be {least:g} to {most:g}, or 0 for the recorded rate, not {rate:g}.")
    return rate or float(spec.default)


def of_teleoperation(bag: str) -> bool:
    """Whether it is a run of the graph teleop, whose targets its own node computes."""
    run_folder = find_bag(bag)[1] if bag else None
    return run_folder is not None and is_run(run_folder) and read_run(run_folder)["graph"] == TELEOP_GRAPH.name


def prepare_teleop(arguments: dict[str, Any], bag: Path, run_folder: Path | None) -> Prepared:
    """The recorded parameters and scene. Raises DexhotError for another controller."""
    if arguments["controller"] != "recorded" or arguments["policy"]:
        raise DexhotError(
            f"{bag} is of a teleoperated run: only its own inputs can be replayed, with controller:=recorded."
        )
    assert run_folder is not None
    recorded = recorded_parameters(run_folder / "parameters.yaml", "controller")
    folder, prefix = make_scratch(), arguments["frame_prefix"]
    values = recorded | {
        "reference": arguments["reference"] or _copy(run_folder, "reference.npz"),
        "motion": _copy(run_folder, MOTION),
        "policy": agent if (agent := recorded.get("policy", "")) in BUILT_IN.values() else _copy(run_folder, AGENT),
        "source": str(bag.resolve()),
        "report": str(folder / "replay.json"),
        "frame_prefix": recorded.get("frame_prefix", "") if prefix == "auto" else prefix,
        "token": recorded.get("token", ""),
    }
    return Prepared(folder, values)


def through_controller(arguments: dict[str, Any]) -> bool:
    """Whether the bag is replayed through the controller: requested, a run's bag, or one with the controller's
    journal."""
    if arguments["what"] != "auto":
        return bool(arguments["what"] == "controller")
    if arguments["topics"] or not arguments["bag"]:
        return not arguments["topics"]
    chosen = arguments["controller"] != "recorded" or arguments["reference"] or arguments["policy"]
    bag, run_folder = find_bag(arguments["bag"])
    return bool(chosen) or run_folder is not None or JOURNAL in topics(bag)


def _copy(run_folder: Path | None, name: str) -> str:
    return str(run_folder / name) if run_folder and (run_folder / name).is_file() else ""


REPLAY = Graph(
    "replay",
    "replay a recorded run's inputs through its controller, or the topics of any bag",
    ARGUMENTS,
    processes,
    prepare,
    has_clock=lambda arguments: True,
)
