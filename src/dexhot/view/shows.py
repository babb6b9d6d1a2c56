"""What is drawn for each kind of file: a Show is a clip that can be drawn at any of its frames."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import viser

from dexhot.data.keypoints import BONES
from dexhot.data.types import Demonstration, HandObjectTrajectory, Reference, Rollout
from dexhot.errors import FileFormatError
from dexhot.geometry.rotations import quat_angle
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.simulation.setup import load_setup
from dexhot.view.render import ghost_scene, pose_scene
from dexhot.view.stage import TABLE_RGB, Stage

OBJECT_RGB, BONE_RGB = (222, 125, 51), (58, 64, 74)
HAND_RGB = {"right": (11, 122, 117), "left": (123, 131, 235)}


@dataclass
class Show:
    """A clip in a viser scene."""

    name: str
    kind: str
    time: np.ndarray  # (T,) s
    draw: Callable[[int], None]  # put the scene to a frame
    center: np.ndarray  # (3,) what the camera looks at first
    away: np.ndarray  # (3,) from the hand to the object
    layers: dict[str, list[Any]] = field(default_factory=dict)  # "ghost", "frames", "contacts": what a tick box hides
    text: Callable[[int], str] = lambda frame: ""  # a line of numbers for a frame
    errors: np.ndarray | None = None  # (T,) object position error, cm


def make_show(server: viser.ViserServer, item: Any) -> Show:
    """The Show of anything `dexhot.data.load` returns that has a motion. Raises FileFormatError for the rest."""
    if isinstance(item, HandObjectTrajectory):
        return show_trajectory(server, item)
    if isinstance(item, Reference):
        return show_rollout(server, reference_rollout(item), "reference", "The ghost is where the targets squeeze to.")
    if isinstance(item, Demonstration):
        return show_rollout(server, demonstration_rollout(item), "demonstration")
    if isinstance(item, Rollout):
        return show_rollout(server, item)
    kinds = "HandObjectTrajectory, Reference, Demonstration, Rollout"
    raise FileFormatError(f"a {type(item).__name__} has nothing to draw; the viewer shows {kinds}.")


def show_trajectory(server: viser.ViserServer, clip: HandObjectTrajectory) -> Show:
    """Skeletons of the human hands with their wrist frames, the object's mesh and the table."""
    scene = server.scene
    asset = load_object(clip.object_name)
    body = add_asset(server, "/object", asset)
    axes = scene.add_frame("/object/frame", axes_length=0.05, axes_radius=0.0015)
    add_table(server, clip.table_height)
    hands = []
    for side, hand in clip.hands.items():
        points = hand.keypoints.astype(np.float32)
        joints = scene.add_point_cloud(
            f"/{side}/joints", points[0], HAND_RGB[side], point_size=0.007, precision="float32"
        )
        joints.point_shape = "circle"
        bones = scene.add_line_segments(f"/{side}/bones", points[0][BONES], BONE_RGB, thickness=0.004)
        wrist = scene.add_frame(f"/{side}/wrist", axes_length=0.06, axes_radius=0.002)
        hands.append((hand, joints, bones, wrist))

    def draw(frame: int) -> None:
        body.position, body.wxyz = clip.object_pose[frame, :3], clip.object_pose[frame, 3:]
        for hand, joints, bones, wrist in hands:
            points = hand.keypoints[frame].astype(np.float32)
            joints.points, bones.points = points, points[BONES]
            wrist.position, wrist.wxyz = hand.wrist_pose[frame, :3], hand.wrist_pose[frame, 3:]

    frames = [axes, *(wrist for *_, wrist in hands)]
    center = clip.object_pose[:, :3].mean(axis=0)
    away = center - next(iter(clip.hands.values())).wrist_pose[:, :3].mean(axis=0)
    return Show(clip.name, "trajectory", clip.time - clip.time[0], draw, center, away, {"frames": frames})


def show_rollout(server: viser.ViserServer, rollout: Rollout, kind: str = "", note: str = "") -> Show:
    """The robot and the object as they moved, the reference as a ghost, fingertips that light up in contact."""
    ref = rollout.reference
    stage = Stage(server, ghost_scene(ref, load_setup(ref), arm=len(rollout.arm_q) > 0))
    error = 100 * np.linalg.norm(rollout.object_pose[:, :3] - ref.object_pose[:, :3], axis=1)
    angle = np.degrees(quat_angle(rollout.object_pose[:, 3:], ref.object_pose[:, 3:]))

    def draw(frame: int) -> None:
        pose_scene(stage.scene, stage.data, rollout, frame)
        stage.update(rollout.tip_contact[frame])

    def text(frame: int) -> str:
        return note or f"object: {error[frame]:.2f} cm, {angle[frame]:.1f}° from the reference"

    center = rollout.object_pose[:, :3].mean(axis=0)
    away = center - rollout.q[:, :3].mean(axis=0)
    errors = None if note else error
    kind = kind or f"rollout, {rollout.kind}"
    return Show(rollout.name, kind, ref.time, draw, center, away, stage.layers, text, errors)


def add_asset(server: viser.ViserServer, name: str, asset: ObjectAsset) -> viser.MeshHandle:
    """The object's mesh at `name` in the scene tree."""
    return server.scene.add_mesh_simple(
        name, asset.vertices.astype(np.float32), np.asarray(asset.faces), color=OBJECT_RGB, side="double"
    )


def add_table(server: viser.ViserServer, height: float) -> None:
    """The table's top at `height`."""
    server.scene.add_box("/table", color=TABLE_RGB, dimensions=(1.5, 1.5, 0.1), position=(0, 0, height - 0.05))


def reference_rollout(ref: Reference) -> Rollout:
    """A reference as if it had been tracked exactly; its ghost shows the position targets."""
    shown = Reference(**{**ref.__dict__, "q": ref.target})
    return _still(ref, shown, ref.q, ref.target, ref.object_pose, "reference")


def demonstration_rollout(demo: Demonstration) -> Rollout:
    """A demonstration's achieved states at the reference's frames: row t of the file is the state at frame t + 1."""
    ref = demo.reference
    q = np.concatenate([ref.q[:1], demo.q[:-1]])
    pose = np.concatenate([ref.object_pose[:1], demo.object_pose[:-1]])
    return _still(ref, ref, q, demo.actions, pose, "floating")


def _still(
    contact: Reference, ref: Reference, q: np.ndarray, command: np.ndarray, object_pose: np.ndarray, kind: str
) -> Rollout:
    T = len(q)
    return Rollout(
        name=ref.name,
        reference=ref,
        kind=kind,
        time=ref.time,
        q=q,
        command=command,
        object_pose=object_pose,
        penetration=np.zeros(T),
        table_contact=np.zeros(T, bool),
        tip_contact=contact.contact > 0.5,
    )
