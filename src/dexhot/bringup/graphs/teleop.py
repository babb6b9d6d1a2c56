"""teleop: a person's hand before a camera moves the robot's; the rest of the graph is real_track's."""

from dataclasses import replace
from typing import Any

import numpy as np

from dexhot.bringup.graph import COMMON, Argument, Graph, GraphError, NodeSpec, Prepared, Process
from dexhot.bringup.graphs.real_track import PATIENT, UNWATCHED
from dexhot.bringup.graphs.rigs import RECORD_ARGUMENTS, RIG_ARGUMENTS, check_hand, check_rig, rig_processes
from dexhot.bringup.graphs.watch import CAMERA_NAMESPACE
from dexhot.bringup.run_folder import Task, load_task, new_run_folder, records, write_description, write_run
from dexhot.data.files import save
from dexhot.data.topics import COLOR, DEPTH, LABELS
from dexhot.data.types import RATE, Reference
from dexhot.errors import MissingExtraError
from dexhot.hardware.camera.source import KINDS, RUNNING, Mode, camera_source, has_depth
from dexhot.ros.core.parameters import load_schema
from dexhot.scratch import make_scratch

ARGUMENTS = (
    Argument.of(
        "camera",
        "camera",
        "realsense, realsense:SERIAL, webcam, webcam:DEVICE, video:PATH, bag:PATH, dir:PATH, running (one that already "
        "publishes), or none (another node publishes /hand/keypoints).",
    ),
    Argument(
        "depth",
        "auto",
        "Whether the camera has depth; auto: by its kind. Without it (rig:=sim only) palm_length sets the scale.",
        choices=("auto", "true", "false"),
    ),
    *RIG_ARGUMENTS,
    Argument(
        "reference",
        "",
        "Reference or Demonstration that gives object, table and start posture; default: the shipped lift of a box.",
    ),
    Argument("session", 120.0, "Longest tracking time, s; then the robot holds."),
    Argument.of("teleop", "side"),
    Argument.of("teleop", "camera_view"),
    Argument.of("teleop", "motion_scale"),
    Argument.of("teleop", "palm_length"),
    Argument.of("teleop", "clutch"),
    Argument.of("teleop", "clutch_hold"),
    Argument.of("teleop", "wrist_speed"),
    Argument.of("teleop", "workspace_margin"),
    Argument(
        "policy",
        "grasp",
        "What assists: grasp (leads into the grasp of the reference), none, assist_leap (shipped; back to the motion "
        "of the reference), or a residual agent's .onnx file.",
    ),
    Argument.of("teleop", "assist"),
    *RECORD_ARGUMENTS,
    Argument("camera_loop", True, "Start a recorded camera again when it ends; otherwise the graph ends with it."),
    CAMERA_NAMESPACE,
    Argument.of("camera", "width"),
    Argument.of("camera", "height"),
    Argument.of("camera", "fps"),
    Argument.of("rig", "duration"),
    Argument.of("rig", "exit_when_done"),
    Argument.of("shaper", "lead"),
    Argument("view", False, "Show the live scene in the browser."),
    Argument.of("rig", "fifo_priority"),
    *COMMON,
)

TELEOP = NodeSpec("controller", target="dexhot.ros.track.teleop_node:TeleopNode", schema="teleop")
SHAPER = {"free_arm": True, "feedback": "none"}  # the run's `feedback` is the controller's network
UNRECORDED = [COLOR, DEPTH, LABELS]  # images: the keypoints that they give are recorded
BUILT_IN = {"grasp": "grasp", "none": ""}  # policy:= -> the node's parameter; else a file
MOTION = "motion.npz"  # in the run's folder: the reference whose motion an agent knows
HOLD = 0.4  # s of a recorded operator's start, who waits for the robot
ASIDE = ("camera", "perception", *UNWATCHED)  # without these the clutch is released; the robot goes on holding


def processes(arguments: dict[str, Any]) -> tuple[Process, ...]:
    """As real_track's, with a camera, perception, and teleoperation in the controller's place."""
    camera, rig = arguments["camera"], arguments["rig"]
    found = [replace(p, nodes=tuple(map(without_camera, p.nodes))) for p in rig_processes(arguments)]
    depth = with_depth(arguments)
    apart = {"fifo_priority": 0}
    if camera not in ("running", "none"):
        seen = {"audience": "perception", "depth": depth, "loop": arguments["camera_loop"]} | apart
        seen["hold"] = HOLD if arguments["clutch"] == "auto" else 0.0
        found.append(Process("camera", (NodeSpec("camera", seen),), vital=not arguments["camera_loop"]))
    if camera != "none":
        heard = {} if camera == "running" else {"camera_namespace": ""}  # our camera's, regardless of a bag's names
        hands = {"hands": "both", "fill": True, "depth": depth, "reference": "", "object": ""}
        hands["fit"] = arguments["side"] if depth else "none"
        found.append(Process("perception", (NodeSpec("perception", hands | heard | apart),), vital=False))
    found.append(Process("tracker", (NodeSpec("object_filter"), TELEOP, NodeSpec("shaper", SHAPER))))
    found.append(Process("supervisor", (NodeSpec("supervisor"),)))
    shown = NodeSpec("robot_state", apart)
    if arguments["record"] != "false":
        found.append(Process("recorder", (NodeSpec("recorder", {"exclude": UNRECORDED} | apart), shown)))
    else:
        found.append(Process("robot_state", (shown,), vital=False))
    if arguments["view"]:
        found.append(Process("viewer", (NodeSpec("viewer", apart),), vital=False))
    return tuple(found) if rig != "real" else tuple(replace(process, vital=False) for process in found)


def without_camera(node: NodeSpec) -> NodeSpec:
    """The rig draws no camera of its own, and does not repeat its clip; `camera` is the operator's here."""
    own = load_schema(node.schema or node.name)
    off: dict[str, Any] = {name: False for name in ("camera", "loop") if name in own}
    return replace(node, parameters={**off, **node.parameters})


def with_depth(arguments: dict[str, Any]) -> bool:
    """Whether depth is used; a file that does not exist is found by `prepare`."""
    asked, camera = arguments["depth"], arguments["camera"]
    if asked != "auto" or camera in ("running", "none"):
        return bool(asked != "false")
    try:
        return has_depth(camera, arguments["camera_namespace"])
    except Exception:  # `check_camera` raises it, with its reason
        return True


def camera_rotation(arguments: dict[str, Any], reference: Reference) -> list[float]:
    """world_R_camera, wxyz, of camera_view:=recorded: a recording's own, turned as the reference was placed. Raises
    GraphError for a camera without a place."""
    from dexhot.geometry.rotations import quat_multiply
    from dexhot.hardware.camera.recording import open_recording

    if arguments["camera_view"] != "recorded":
        return [1.0, 0.0, 0.0, 0.0]
    kind, _, place = arguments["camera"].partition(":")
    found = None if kind not in ("bag", "dir") else open_recording(place, count=1).world_T_camera
    if found is None:
        raise GraphError(
            f"camera_view:=recorded needs a recording with its camera's place in the world, which "
            f"camera:={arguments['camera']} does not have: give front, behind or above."
        )
    return [float(x) for x in quat_multiply(reference.placement[3:], found[3:])]


def check_camera(arguments: dict[str, Any]) -> None:
    """Raise DexhotError for a camera that cannot be opened, or that the rig may not be moved by."""
    camera, rig = arguments["camera"], arguments["rig"]
    if camera not in ("running", "none"):
        mode = [arguments[k] for k in ("width", "height", "fps", "camera_loop", "camera_namespace")]
        camera_source(camera, Mode(*mode), (*KINDS, RUNNING, "none"))
    if rig != "sim" and not with_depth(arguments):
        raise GraphError(
            f"rig:={rig} needs depth, which camera:={camera} does not give: without it the distance is a guess from "
            "palm_length. Use a depth camera (realsense, or a recording with depth), or rig:=sim."
        )
    if rig == "real" and arguments["clutch"] == "auto":
        raise GraphError("clutch:=auto is for simulated rigs: on rig:=real use clutch:=switch or gesture.")
    if camera != "none":
        check_models()


def check_models() -> None:
    """Raise DexhotError for a missing extra or missing hand models."""
    try:
        import ai_edge_litert  # noqa: F401

        from dexhot.perception import live  # noqa: F401
    except ImportError as e:
        raise MissingExtraError("teleoperation by a camera", "perception") from e
    from dexhot.perception.weights import HAND_LANDMARKS, hand_landmark_file

    for name in HAND_LANDMARKS:
        hand_landmark_file(name)


def scene(reference: Reference, seconds: float, targets: np.ndarray | None = None) -> Reference:
    """The reference's first posture and object pose, held for `seconds`; its palms' places and its grasp, with the
    fingers' `targets` (T, 6+n), stay in the provenance."""
    count = max(round(seconds * RATE) + 1, 2)

    def held(rows: np.ndarray) -> np.ndarray:
        return np.repeat(rows[:1], count, axis=0)

    from dexhot.control.grasp_assist import HeldGrasp  # with MuJoCo

    palms = reference.q[:, :3]
    return replace(
        reference,
        name=f"teleop_{reference.name}",
        q=held(reference.q),
        target=held(reference.q),
        contact=np.zeros((count, reference.contact.shape[1])),
        object_pose=held(reference.object_pose),
        arm_q=held(reference.require_arm_path()),
        grasp_start=0,
        grasp_end=count - 1,
        arm_frames=np.zeros(0),
        clip_frames=np.zeros(0),
        provenance={
            **reference.provenance,
            "teleop": {
                "scene": reference.name,
                "palms": [palms.min(0).tolist(), palms.max(0).tolist()],
                "grasp": HeldGrasp.of(reference, reference.target if targets is None else targets).as_dict(),
            },
        },
    )


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Check camera and scene, and write the scene into the run's folder, where the nodes read it."""
    check_rig({"loop": False, "camera": False} | {k: arguments[k] for k in ("rig", "franka_host")})
    check_camera(arguments)
    recorded = records(arguments["record"], arguments["min_free"])
    if not 1.0 <= arguments["session"] <= 3600.0:
        raise GraphError(f"session must be 1 to 3600 s, not {arguments['session']:g}.")
    task = load_task(arguments["reference"], "", "kinematic").at_speed(1.0)
    actions = task.demonstration.actions if task.demonstration is not None else None
    rotation = camera_rotation(arguments, task.reference)
    motion = task.reference if arguments["reference"] else None
    task = Task(scene(task.reference, arguments["session"], actions), None, task.sources)
    if arguments["policy"] not in BUILT_IN:
        from dexhot.control.assist_agents import agent_file, check_agent_of
        from dexhot.control.policy import OnnxNetwork
        from dexhot.simulation.setup import physics_of

        network = OnnxNetwork(agent_file(arguments["policy"]))
        check_agent_of(network.card, task.reference, motion, physics_of(task.reference))
        task = replace(task, policy=network.path)
    check_hand(arguments["rig"], task.reference.hand)
    folder = new_run_folder("teleop", task.reference.name, arguments["record"]) if recorded else make_scratch()
    write_run(folder, "teleop", arguments, task)
    names = [node.name for process in processes(arguments) for node in process.nodes]
    values: dict[str, Any] = {
        "bag": str(folder / "bag"),
        "required_nodes": [name for name in names if name not in ASIDE],
        "hand": task.reference.hand,
        "urdf": str(write_description(folder, task.reference.hand)),
    }
    if arguments["rig"] != "real":
        values |= {"supervisor_timeout": PATIENT, "auto_start": arguments["clutch"] == "auto", "view_wait": 0.0}
    values |= {"camera_rotation": rotation}
    written = task.write(folder)
    if arguments["policy"] in BUILT_IN:
        written["policy"] = BUILT_IN[arguments["policy"]]
    elif motion is not None:
        written["motion"] = str(save(motion, folder / MOTION))
    return Prepared(folder, written | values, recorded)


TELEOP_GRAPH = Graph(
    "teleop",
    "move the robot by a person's hand before a camera",
    ARGUMENTS,
    processes,
    prepare,
    has_clock=lambda arguments: arguments["rig"] != "real",
)
