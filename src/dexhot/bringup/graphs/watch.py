"""watch: a person before a camera; hand, object and how well both are known, in the browser at the camera's rate."""

from pathlib import Path
from typing import Any

from dexhot.bringup.graph import COMMON, Argument, Graph, GraphError, NodeSpec, Prepared, Process, frame_prefix
from dexhot.data.files import save
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import DexhotError, MissingExtraError
from dexhot.hardware.camera.frames import OPTICAL_FRAME
from dexhot.hardware.camera.source import RGBD, RIG, RUNNING, Mode, camera_source, has_depth
from dexhot.objects.library import load_object, load_symmetry
from dexhot.perception.estimators import EMBEDDED, LIVE, check_live
from dexhot.progress import progress
from dexhot.ros.core.names import WORLD_FRAME
from dexhot.scratch import make_scratch, remove_scratch

DEFAULT_CLIP = "parametric/carry-cylinder-0"  # of camera:=rig: it needs no download
RIG_MODE = {"width": 320, "height": 240, "fps": 15}  # what two cores render, see and fit
LEVEL = "0 0 0 0.7071067811865476 -0.7071067811865476 0 0"  # a camera at the world's origin that looks along its y

CAMERA_NAMESPACE = Argument(
    "camera_namespace",
    "",
    "Namespace of the topics of a running or recorded camera; default: realsense-ros's /camera/camera of a "
    "recording, /camera of a running one.",
)
CAMERAS = (*RGBD, RIG, f"{RIG}:CLIP", RUNNING)
LOADING = 300.0  # s that a camera waits for perception with a lab's estimators: a prompt is of its first image

ARGUMENTS = (
    Argument.of(
        "camera",
        "camera",
        f"{', '.join(CAMERAS)} (one that already publishes): with depth, so no webcam or video. rig renders a person "
        f"who performs a clip, by default {DEFAULT_CLIP}.",
    ),
    Argument.of(
        "fitting", "object", "Name of the object to look for (`dexhot object list`); empty: none, or the clip's of rig."
    ),
    Argument.of("perception", "prompt"),
    Argument.of("fitting", "side"),
    Argument.of("perception", "keypoints"),
    Argument.of("perception", "masks"),
    Argument.of("perception", "poses"),
    Argument.of("fitting", "recipe"),
    CAMERA_NAMESPACE,
    Argument(
        "camera_pose",
        "",
        "Pose of the camera's optical frame in the world: x y z qw qx qy qz, m; default: where the rig's stands, any "
        "other is level at the origin.",
    ),
    Argument("width", 0, f"Width of both images of a device, pixels; 0: {Mode.width}, of the rig {RIG_MODE['width']}."),
    Argument(
        "height", 0, f"Height of both images of a device, pixels; 0: {Mode.height}, of the rig {RIG_MODE['height']}."
    ),
    Argument("fps", 0, f"Images per second of a device, Hz; 0: {Mode.fps}, of the rig {RIG_MODE['fps']}."),
    Argument("seed", 0, "Random seed of the rig's person, scene and noise."),
    Argument.of("camera", "loop"),
    Argument("view", True, "Show hand and object in the browser."),
    Argument.of("watch_viewer", "host"),
    Argument.of("watch_viewer", "port"),
    *COMMON,
)
HAND_OBJECT_FILTER = NodeSpec("object_filter", target="dexhot.ros.see.hand_object_filter_node:HandObjectFilterNode",
                              schema="hand_object_filter")  # fmt: skip


def processes(arguments: dict[str, Any]) -> tuple[Process, ...]:
    """The fit runs beside perception, in a process of its own: each takes a core's share of an image's time."""
    running = arguments["camera"] == RUNNING
    heard = {} if running else {"camera_namespace": ""}  # our camera's, regardless of the names in a bag
    waits: dict[str, Any] = {"audience": "perception"}
    if any(arguments[word] != EMBEDDED for word in LIVE):
        waits["patience"] = LOADING
    found = [] if running else [Process("camera", (NodeSpec("camera", waits),))]
    found.append(Process("perception", (NodeSpec("perception", {"hands": arguments["side"], **heard}),)))
    found.append(Process("fitting", (NodeSpec("fitting", heard), HAND_OBJECT_FILTER)))
    if arguments["view"]:
        found.append(Process("viewer", (NodeSpec("watch_viewer", heard),), vital=False))
    return tuple(found)


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Check camera, object and models before anything starts."""
    camera = arguments["camera"]
    kind, _, clip = camera.partition(":")
    size = image_size(arguments, kind)
    values: dict[str, Any] = dict(size)
    source: HandObjectTrajectory | None = None
    if kind == RIG:
        from dexhot.datasets.source_clip import clip_or_file

        if arguments["seed"] < 0:
            raise GraphError(f"seed must be 0 or more, not {arguments['seed']}.")
        source = clip_or_file(clip or DEFAULT_CLIP)
        arguments["object"] = arguments["object"] or source.object_name
    elif camera != RUNNING:
        camera_source(camera, Mode(**size, loop=arguments["loop"], namespace=arguments["camera_namespace"]), CAMERAS)
        if not has_depth(camera, arguments["camera_namespace"]):
            raise GraphError(
                f"watch fits the hand to depth, and camera:={camera} has none: use a depth camera, or a recording with "
                "depth. A hand without depth moves a robot (`dexhot up teleop`); `dexhot perceive` finds it in a video."
            )
    if arguments["prompt"]:
        check_prompt(arguments["prompt"], arguments["object"])
    if arguments["object"]:
        load_symmetry(arguments["object"])
    check_models(arguments["recipe"], arguments["keypoints"])
    check_live(arguments["side"], **{word: arguments[word] for word in LIVE})
    if arguments["poses"] != EMBEDDED and not arguments["object"]:
        raise GraphError(f"poses:={arguments['poses']} estimates the pose of a known object: name it with object:=.")
    prefix = frame_prefix(arguments)
    frames = f"{prefix}{WORLD_FRAME} {prefix}{OPTICAL_FRAME}"
    pose = arguments["camera_pose"] or LEVEL
    check_place(f"{frames} {pose}")
    folder = make_scratch()
    try:
        if source is not None:
            file, stands = staged(source, arguments["side"], arguments["seed"], size, folder)
            values["camera"], pose = f"{RIG}:{file}", arguments["camera_pose"] or stands
    except BaseException:
        remove_scratch(folder)
        raise
    return Prepared(folder, values | {"static_transforms": [f"{frames} {pose}"]})


def image_size(arguments: dict[str, Any], kind: str) -> dict[str, int]:
    """width, height and fps as given, else the camera's own."""
    own = RIG_MODE if kind == RIG else {name: getattr(Mode, name) for name in RIG_MODE}
    return {name: arguments[name] or own[name] for name in RIG_MODE}


def staged(clip: HandObjectTrajectory, side: str, seed: int, size: dict[str, int], folder: Path) -> tuple[Path, str]:
    """The file that the camera node renders, in `folder`, and the camera's place as in `camera_pose`. Raises ClipError,
    NoRendererError."""
    from dexhot.synthesis.rendered_camera import camera_of, stage

    with progress(f"preparing {clip.name}"):
        made = stage(clip, load_object(clip.object_name), side, seed, size["width"], size["height"])
    return save(made, folder / "staged.npz"), " ".join(f"{x:.6f}" for x in camera_of(made))


def check_models(recipe: str, keypoints: str) -> None:
    """Raise DexhotError for a missing extra, missing hand models of the embedded keypoints, or an unknown recipe."""
    try:
        if keypoints == EMBEDDED:
            import ai_edge_litert  # noqa: F401

        from dexhot.fitting.recipe import live_recipe
        from dexhot.perception import live  # noqa: F401
    except ImportError as e:
        raise MissingExtraError("watching a hand", "perception") from e
    from dexhot.perception.weights import HAND_LANDMARKS, hand_landmark_file

    live_recipe(recipe)
    for name in HAND_LANDMARKS if keypoints == EMBEDDED else ():
        hand_landmark_file(name)


def check_prompt(prompt: str, name: str) -> None:
    """Raise GraphError for a prompt that is none, or that belongs to no object."""
    from dexhot.perception.prompts import object_prompt

    if not name:
        raise GraphError("prompt says where an object is: name it with object:=.")
    try:
        object_prompt(prompt)
    except DexhotError as e:
        raise GraphError("prompt must be object:U,V (a click) or object:U0,V0,U1,V1 (a box), px.") from e


def check_place(place: str) -> None:
    """Raise GraphError for a camera_pose that is none."""
    from dexhot.ros.core.frames import parse

    try:
        parse(place)
    except DexhotError as e:
        raise GraphError("camera_pose must be 'x y z qw qx qy qz': m, and a unit quaternion.") from e


WATCH = Graph("watch", "show a person's hand and an object as a camera sees them", ARGUMENTS, processes, prepare)
