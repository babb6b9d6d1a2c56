"""capture: a camera, and a recorder of its images and of the robot state, if any."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dexhot.bringup.graph import COMMON, Argument, Graph, NodeSpec, Prepared, Process
from dexhot.bringup.run_folder import new_run_folder
from dexhot.data.camera_topics import OURS
from dexhot.data.disk import check_folder
from dexhot.data.files import write_text
from dexhot.errors import DexhotError
from dexhot.hardware.camera.source import KINDS, RUNNING, Mode, camera_source
from dexhot.paths import runs_dir
from dexhot.ros.core.names import RECORDER
from dexhot.versions import versions

ARGUMENTS = (
    Argument.of(
        "camera",
        "camera",
        f"{', '.join(KINDS)}, or running (one that already publishes).",
    ),
    Argument(
        "camera_namespace",
        "",
        "Namespace of the topics of a running or recorded camera; default: realsense-ros's /camera/camera, or /camera, "
        "or the first that has a colour image.",
    ),
    Argument("out", "", "Folder to record to; default: a new one in runs/."),
    Argument.of("capture", "duration"),
    Argument.of("camera", "width"),
    Argument.of("camera", "height"),
    Argument.of("camera", "fps"),
    Argument.of("camera", "loop"),
    Argument.of("capture", "min_free"),
    *COMMON,
)


def processes(arguments: dict[str, Any]) -> tuple[Process, ...]:
    """The camera runs in a process apart from the recorder, so that compressing images does not delay them."""
    if arguments["camera"] == RUNNING:
        return (Process("capture", (NodeSpec("capture"),)),)
    return (
        Process("camera", (NodeSpec("camera", {"audience": RECORDER}),)),
        Process(
            "capture", (NodeSpec("capture", {"camera_namespace": OURS.lstrip("/")}),)
        ),  # regardless of the names in a bag
    )


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Check camera and disk; make the capture's folder with capture.json."""
    camera = arguments["camera"]
    check_folder(arguments["out"] or runs_dir(), "out:=FOLDER", arguments["min_free"])
    if camera != RUNNING:
        check_apart(camera.partition(":")[2], arguments["out"])
        mode = Mode(*(arguments[k] for k in ("width", "height", "fps", "loop", "camera_namespace")))
        camera_source(camera, mode, (*KINDS, RUNNING))
    folder = new_run_folder("capture", camera.partition(":")[0], arguments["out"] or "true")
    entries = {"arguments": arguments, "started": datetime.now(UTC).isoformat(), "versions": versions()}
    write_text(folder / "capture.json", json.dumps(entries, indent=2) + "\n")
    nodes = [node.name for process in processes(arguments) for node in process.nodes]
    return Prepared(folder, {"bag": str(folder / "bag"), "required_nodes": nodes}, recorded=True)


def check_apart(source: str, out: str) -> None:
    """Raise DexhotError for an output folder inside the recording that is read."""
    if source and out and Path(out).resolve().is_relative_to(Path(source).resolve()):
        raise DexhotError(f"{out} lies inside {source}, which must not be modified: record to another folder.")


CAPTURE = Graph("capture", "record cameras and robot state", ARGUMENTS, processes, prepare)
