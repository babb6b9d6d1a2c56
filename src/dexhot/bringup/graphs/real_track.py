"""real_track: a rig, the state filter, the controller, the shaper, the drivers, the supervisor, recorder and viewer."""

from dataclasses import replace
from typing import Any

from dexhot.bringup.graph import COMMON, Argument, Graph, GraphError, NodeSpec, Prepared, Process, frame_prefix
from dexhot.bringup.graphs.rigs import RECORD_ARGUMENTS, RIG_ARGUMENTS, check_hand, check_rig, rig_processes
from dexhot.bringup.run_folder import Task, load_task, new_run_folder, records, write_description, write_run
from dexhot.errors import MissingExtraError
from dexhot.hardware.camera.frames import OPTICAL_FRAME
from dexhot.perception.estimators import EMBEDDED, check_live
from dexhot.ros.core.names import WORLD_FRAME
from dexhot.ros.core.parameters import load_schema
from dexhot.scratch import make_scratch

ARGUMENTS = (
    Argument(
        "reference",
        "",
        "Reference file to track, or a Demonstration file that contains one; default: the shipped lift of a box.",
    ),
    *RIG_ARGUMENTS,
    Argument.of("controller", "controller"),
    Argument("speed", 1.0, "Speed as a fraction of the speed planned for the arm, 0.05 to 1; 0.1 for first motions."),
    Argument(
        "policy",
        "",
        "File that the controller executes: for playback a Demonstration, for policy an .onnx; default: `reference`.",
    ),
    *RECORD_ARGUMENTS,
    Argument.of("rig", "loop"),
    Argument.of("rig", "exit_when_done"),
    Argument.of("rig", "duration"),
    Argument.of("shaper", "lead"),
    replace(Argument.of("shaper", "feedback"), name="shaper_feedback"),
    Argument("profile", "", "rig:=sim: profile of the finger servos (config/servos.yaml); default: the reference's."),
    Argument.of("rig", "perception"),
    Argument.of("rig", "camera"),
    Argument.of("perception", "camera_namespace"),
    Argument.of("perception", "poses"),
    Argument("view", False, "Show the live scene in the browser."),
    Argument(
        "view_wait",
        60.0,
        "With view:=true: longest wait of a simulated rig's clip for the first browser, s; 0: no wait.",
    ),
    Argument.of("rig", "seed", "Seed of the measurement noise and of the sampling controller."),
    Argument.of("controller", "planning_seconds"),
    Argument.of("controller", "planning_rollouts"),
    Argument.of("controller", "planning_limit"),
    Argument.of("controller", "prior"),
    Argument.of("controller", "feedback"),
    Argument.of("rig", "fifo_priority"),
    *COMMON,
)

UNHURRIED = {"ramp": "controller", "fade": "controller", "lead_in": "supervisor"}  # s, divided by `speed` below 1
UNWATCHED = ("supervisor", "viewer", "robot_state")  # tracking continues when one of these dies
SEEING = NodeSpec("object_filter", target="dexhot.ros.see.hand_object_filter_node:HandObjectFilterNode",
                  schema="hand_object_filter")  # fmt: skip
PLAYS = ("playback", "mpc")  # controllers that deploy a demonstration
PATIENT = 1.5  # s, supervisor timeout of a simulated rig, whose physics engine shares the machine


def processes(arguments: dict[str, Any]) -> tuple[Process, ...]:
    """The twins of arm and hand live in the rig's process, because they share its MuJoCo world; real drivers do not."""
    seen = arguments["perception"] == "camera"
    object_filter = SEEING if seen else NodeSpec("object_filter")
    shaper = NodeSpec("shaper", {"feedback": arguments["shaper_feedback"]})  # `feedback` is the controller's network
    found = [
        *rig_processes(arguments),
        Process("tracker", (object_filter, NodeSpec("controller"), shaper)),
        Process("supervisor", (NodeSpec("supervisor"),)),
    ]
    if draws_camera(arguments):
        found.append(Process("camera", (NodeSpec("rig_camera", {"fifo_priority": 0}),), vital=seen))
    if seen:
        found.append(Process("perception", (NodeSpec("perception", {"robot": True, "fifo_priority": 0}),)))
    shown = NodeSpec(
        "robot_state", {"fifo_priority": 0}
    )  # in the recorder's process: one of its own would start slowly
    if arguments["record"] != "false":
        found.append(Process("recorder", (NodeSpec("recorder", {"fifo_priority": 0}), shown)))
    else:
        found.append(Process("robot_state", (shown,), vital=False))
    if arguments["view"]:
        found.append(Process("viewer", (NodeSpec("viewer", {"fifo_priority": 0}),), vital=False))
    return tuple(found) if arguments["rig"] != "real" else tuple(replace(process, vital=False) for process in found)


def draws_camera(arguments: dict[str, Any]) -> bool:
    """Whether the graph draws the images of a simulated camera."""
    return arguments["rig"] != "real" and bool(arguments["camera"] or arguments["perception"] == "camera")


def camera_place(arguments: dict[str, Any], task: Task) -> dict[str, Any]:
    """The parameters that tell the nodes where the simulated camera stands, if there is one. Raises MissingExtraError
    where an image could not be looked at."""
    if not (draws_camera(arguments) or arguments["perception"] == "camera"):
        return {}
    try:
        from dexhot.perception import live  # noqa: F401
        from dexhot.synthesis.rig_pictures import rig_view
    except ImportError as e:
        raise MissingExtraError("a camera in the loop", "perception") from e
    if not draws_camera(arguments):
        return {}
    from dexhot.simulation.setup import load_setup

    setup, prefix = load_setup(task.reference), frame_prefix(arguments)
    pose = " ".join(f"{x:.6f}" for x in rig_view(task.reference, setup.hand, setup.asset))
    return {"static_transforms": [f"{prefix}{WORLD_FRAME} {prefix}{OPTICAL_FRAME} {pose}"]}


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Check reference and policy and copy them into the run's folder, where the nodes read them."""
    check_rig(arguments)
    check_live(poses=arguments["poses"])
    if arguments["poses"] != EMBEDDED and arguments["perception"] != "camera":
        raise GraphError(f"poses:={arguments['poses']} estimates poses in images: set perception:=camera.")
    recorded = records(arguments["record"], arguments["min_free"])
    task = load_task(*(arguments[name] for name in ("reference", "policy", "controller", "feedback")))
    check_hand(arguments["rig"], task.reference.hand)
    if arguments["profile"]:
        if arguments["rig"] != "sim":
            raise GraphError(f"profile:=... needs rig:=sim: on rig:={arguments['rig']} the driver's registers decide.")
        task = task.with_profile(arguments["profile"])
    arguments["lead"] = task.shaper_lead(arguments["lead"], arguments["shaper_feedback"])
    speed = arguments["speed"]
    task = task.at_speed(speed)
    warnings = task.too_fast() + (task.doubts() if arguments["controller"] in PLAYS else [])
    if warnings and arguments["rig"] == "real":
        warnings.append("this is a real arm: read the warnings above before you call /safety/start.")
    place = camera_place(arguments, task)
    folder = new_run_folder("real_track", task.reference.name, arguments["record"]) if recorded else make_scratch()
    names = [node.name for process in processes(arguments) for node in process.nodes]
    aside = () if arguments["perception"] == "camera" else ("rig_camera",)
    watched = [name for name in names if name not in (*UNWATCHED, *aside)]
    write_run(folder, "real_track", arguments, task, warnings)
    urdf = write_description(folder, task.reference.hand)
    values: dict[str, Any] = {"bag": str(folder / "bag"), "required_nodes": watched, "hand": task.reference.hand}
    values["urdf"] = str(urdf)
    values |= place
    if speed != 1.0:
        values |= {name: load_schema(node)[name].default / speed for name, node in UNHURRIED.items()}
    if arguments["rig"] != "real":  # a real arm waits for an operator's /safety/start
        values |= {"auto_start": True, "supervisor_timeout": PATIENT}
        values["view_wait"] = arguments["view_wait"] if arguments["view"] else 0.0
    return Prepared(folder, task.write(folder) | values, recorded, tuple(warnings))


REAL_TRACK = Graph(
    "real_track",
    "track a human demonstration with the Franka arm and the LEAP hand",
    ARGUMENTS,
    processes,
    prepare,
    has_clock=lambda arguments: arguments["rig"] != "real",
)
