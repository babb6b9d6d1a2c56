"""How each kind of item is drawn: a Show is a clip that can be drawn at any frame."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import viser

from dexhot.data.keypoints import BONES
from dexhot.data.types import Demonstration, HandObjectTrajectory, Reference, Rollout
from dexhot.datasets.source_clip import HumanMotion, human_motion
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.boxes import corners_of
from dexhot.geometry.poses import make_pose, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.simulation.setup import load_setup
from dexhot.view.render import ghost_scene, pose_scene
from dexhot.view.sources import Capture, points_of
from dexhot.view.stage import TABLE_RGB, Stage

OBJECT_RGB, BONE_RGB = (222, 125, 51), (58, 64, 74)
OPTICAL_UP = (0.7071067811865476, -0.7071067811865476, 0.0, 0.0)  # world_R_optical: z forward becomes +y
HUMAN_PLACES = ("over the robot", "beside it")
BESIDE = 0.35  # m
HAND_RGB = {"right": (11, 122, 117), "left": (123, 131, 235)}


@dataclass
class Show:
    """A clip in a viser scene."""

    name: str
    kind: str
    time: np.ndarray  # (T,) s
    draw: Callable[[int], None]  # show a frame
    points: np.ndarray  # (N, 3) points that the initial camera must show
    away: np.ndarray  # (3,) from the hand to the object
    layers: dict[str, list[Any]] = field(
        default_factory=dict
    )  # layers with a checkbox; their hints are in player.HINTS
    text: Callable[[int], str] = lambda frame: ""  # a line of numbers for a frame
    errors: np.ndarray | None = None  # (T,) object position error, cm
    place_human: Callable[[str], None] | None = None  # argument: one of HUMAN_PLACES


def make_show(server: viser.ViserServer, item: Any) -> Show:
    """The Show of an item of `find_item`: a motion, an object or a capture. Raises FileFormatError for others."""
    if isinstance(item, HandObjectTrajectory):
        return show_trajectory(server, item)
    if isinstance(item, Reference):
        return show_rollout(server, reference_rollout(item), "reference", "The ghost shows the squeeze targets.")
    if isinstance(item, Demonstration):
        return show_rollout(server, demonstration_rollout(item), "demonstration")
    if isinstance(item, Rollout):
        return show_rollout(server, item)
    if isinstance(item, ObjectAsset):
        return show_object(server, item)
    if isinstance(item, Capture):
        return show_capture(server, item)
    kinds = "HandObjectTrajectory, Reference, Demonstration, Rollout, object, capture"
    raise FileFormatError(f"a {type(item).__name__} cannot be viewed; the viewer shows {kinds}.")


def show_trajectory(server: viser.ViserServer, clip: HandObjectTrajectory) -> Show:
    """Skeletons of the human hands with their wrist frames, the object's mesh and the table."""
    scene = server.scene
    asset = load_object(clip.object_name)
    body = add_asset(server, "/object", asset)
    axes = scene.add_frame("/object/frame", axes_length=0.05, axes_radius=0.0015)
    add_table(server, clip.table_height)
    skeletons = [Skeleton(server, f"/{side}", side, hand.keypoints) for side, hand in clip.hands.items()]
    wrists = [
        (hand.wrist_pose, scene.add_frame(f"/{side}/wrist", axes_length=0.06, axes_radius=0.002))
        for side, hand in clip.hands.items()
    ]

    def draw(frame: int) -> None:
        body.position, body.wxyz = clip.object_pose[frame, :3], clip.object_pose[frame, 3:]
        for skeleton in skeletons:
            skeleton.draw(frame)
        for pose, wrist in wrists:
            wrist.position, wrist.wxyz = pose[frame, :3], pose[frame, 3:]

    def text(frame: int) -> str:
        return f"object: {100 * (clip.object_pose[frame, 2] - clip.object_pose[0, 2]):.1f} cm above its start"

    nearby = [hand.keypoints[near(clip.object_pose, hand.wrist_pose)].reshape(-1, 3) for hand in clip.hands.values()]
    points = np.concatenate([moved(asset, clip.object_pose), *nearby])
    away = clip.object_pose[:, :3].mean(axis=0) - next(iter(clip.hands.values())).wrist_pose[:, :3].mean(axis=0)
    layers = {"human hand": [s.root for s in skeletons], "frames": [axes, *(wrist for _, wrist in wrists)]}
    return Show(clip.name, "trajectory", clip.time - clip.time[0], draw, points, away, layers, text)


def show_object(server: viser.ViserServer, asset: ObjectAsset) -> Show:
    """An object at rest on the table, its convex pieces and the axes of its mesh."""
    pose = asset.resting_poses[0] if len(asset.resting_poses) else make_pose((0, 0, 0), (1, 0, 0, 0))
    lowest = transform(pose, asset.vertices)[:, 2].min()
    body = add_asset(server, "/object", asset)
    body.position, body.wxyz = (pose[0], pose[1], pose[2] - lowest), pose[3:]
    axes = server.scene.add_frame("/object/frame", axes_length=0.05, axes_radius=0.0015)
    colors = np.random.default_rng(0).integers(60, 230, (len(asset.pieces), 3))
    pieces = [
        server.scene.add_mesh_simple(
            f"/object/pieces/{k}", vertices.astype(np.float32), np.asarray(faces), color=np.asarray(color),
            opacity=0.55, flat_shading=True, visible=False,
        )
        for k, ((vertices, faces), color) in enumerate(zip(asset.pieces, colors))
    ]  # fmt: skip
    add_table(server, 0.0)
    size = 100 * np.ptp(asset.vertices, axis=0)
    text = f"{size[0]:.1f} x {size[1]:.1f} x {size[2]:.1f} cm, {1000 * asset.mass:.0f} g, {len(pieces)} convex pieces"
    points = transform(pose, asset.vertices) - (0, 0, lowest)
    layers: dict[str, list[Any]] = {"frames": [axes], "convex pieces": pieces}
    return Show(
        asset.name, "object", np.zeros(1), lambda _: None, points, np.array([0.8, -0.6, 0]), layers, lambda _: text
    )


def show_capture(server: viser.ViserServer, capture: Capture) -> Show:
    """A recording's colour image and its depth as a coloured point cloud, seen from the camera."""
    camera, first = capture.intrinsics, next((k for k, d in enumerate(capture.depth) if d is not None), None)
    server.scene.add_frame("/camera", show_axes=False, wxyz=OPTICAL_UP)
    picture = server.gui.add_image(capture.color[0], label="colour", format="jpeg")
    frustum = server.scene.add_camera_frustum(
        "/camera/frustum", np.radians(camera.fovy), camera.width / camera.height, scale=0.06
    )
    cloud, points = None, np.array([[-0.2, 0.2, -0.2], [0.2, 0.8, 0.2]])
    if first is not None:
        depth = capture.depth[first]
        assert depth is not None
        at, rgb = points_of(capture.color[first], depth, camera)
        cloud = server.scene.add_point_cloud("/camera/points", at, rgb, point_size=0.003, precision="float32")
        near_half = at[at[:, 2] <= np.quantile(at[:, 2], 0.8)] if len(at) else at
        points = transform(make_pose((0, 0, 0), OPTICAL_UP), near_half) if len(near_half) else points

    def draw(frame: int) -> None:
        picture.image = capture.color[frame]
        depth = capture.depth[frame]
        if cloud is not None and depth is not None:
            cloud.points, cloud.colors = points_of(capture.color[frame], depth, camera)

    text = "  \n".join([f"{camera.width} x {camera.height} pixels, scaled", *capture.notes])
    layers: dict[str, list[Any]] = {"camera": [frustum]} | ({"points": [cloud]} if cloud is not None else {})
    away = np.array([0.0, 1.0, 0.0])
    return Show(capture.name, "capture", capture.time, draw, points, away, layers, lambda _: text)


class Skeleton:
    """21 keypoints of a human hand and the bones between them, below `root` in the scene tree."""

    def __init__(self, server: viser.ViserServer, name: str, side: str, keypoints: np.ndarray):
        self.keypoints, scene = keypoints.astype(np.float32), server.scene  # (T, 21, 3)
        self.root = scene.add_frame(name, show_axes=False)
        first = self.keypoints[0]
        self.joints = scene.add_point_cloud(
            f"{name}/joints", first, HAND_RGB[side], point_size=0.007, precision="float32"
        )
        self.joints.point_shape = "circle"
        self.bones = scene.add_line_segments(f"{name}/bones", first[BONES], BONE_RGB, thickness=0.004)

    def draw(self, frame: int) -> None:
        """Show a frame."""
        points = self.keypoints[frame]
        self.joints.points, self.bones.points = points, points[BONES]


class Human:
    """The human demonstration of a reference, over the robot or beside it with the object."""

    def __init__(self, server: viser.ViserServer, human: HumanMotion, asset: ObjectAsset, aside: np.ndarray):
        self.human, self.aside = human, aside
        self.root = server.scene.add_frame("/human", show_axes=False)
        self.skeletons = [Skeleton(server, f"/human/{side}", side, k) for side, k in human.keypoints.items()]
        self.object = add_asset(server, "/human/object", asset)
        self.place(HUMAN_PLACES[0])

    def place(self, where: str) -> None:
        """Place it at one of HUMAN_PLACES."""
        self.root.position = self.aside if where == HUMAN_PLACES[1] else np.zeros(3)
        self.object.visible = where == HUMAN_PLACES[1]  # over the robot it would hide the robot's

    def draw(self, frame: int) -> None:
        """Show a frame."""
        self.object.position, self.object.wxyz = self.human.object_pose[frame, :3], self.human.object_pose[frame, 3:]
        for skeleton in self.skeletons:
            skeleton.draw(frame)


def find_human(ref: Reference) -> HumanMotion | None:
    """The human motion behind `ref`; None if it is not in the cache."""
    try:
        return human_motion(ref)
    except DexhotError:
        return None


def show_rollout(server: viser.ViserServer, rollout: Rollout, kind: str = "", note: str = "") -> Show:
    """The robot and the object, the reference as a ghost, fingertips that light up in contact; and the human
    demonstration if the clip is in the cache."""
    ref, setup = rollout.reference, load_setup(rollout.reference)
    stage = Stage(server, ghost_scene(ref, setup, arm=len(rollout.arm_q) > 0))
    error = 100 * np.linalg.norm(rollout.object_pose[:, :3] - ref.object_pose[:, :3], axis=1)
    angle = np.degrees(quat_angle(rollout.object_pose[:, 3:], ref.object_pose[:, 3:]))
    away = rollout.object_pose[:, :3].mean(axis=0) - rollout.q[:, :3].mean(axis=0)
    motion, human = find_human(ref), None
    layers = stage.layers
    if motion is not None:
        across = np.array([-away[1], away[0], 0.0])
        human = Human(server, motion, setup.asset, BESIDE * across / (float(np.linalg.norm(across)) + 1e-9))
        layers = {"human hand": [human.root], **layers}

    def draw(frame: int) -> None:
        pose_scene(stage.scene, stage.data, rollout, frame)
        stage.update(rollout.tip_contact[frame])
        if human is not None:
            human.draw(frame)

    def text(frame: int) -> str:
        return note or f"object: {error[frame]:.2f} cm, {angle[frame]:.1f}° from the reference"

    close = near(rollout.object_pose, rollout.q)
    points = np.concatenate([moved(setup.asset, rollout.object_pose), rollout.q[close, :3]])
    errors = None if note else error
    kind = kind or f"rollout, {rollout.kind}"
    return Show(rollout.name, kind, ref.time, draw, points, away, layers, text, errors, human.place if human else None)


def near(object_pose: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """(T,) bool: the frames with the hand, at `hand` (T, 3 or more), near the object; all if there are none."""
    close = np.linalg.norm(hand[:, :3] - object_pose[:, :3], axis=1) < BESIDE
    return close if close.any() else np.ones_like(close)


def moved(asset: ObjectAsset, poses: np.ndarray) -> np.ndarray:
    """(10 * 8, 3) corners of the object's bounding box at ten moments of its motion `poses` (T, 7)."""
    low, high = asset.vertices.min(axis=0), asset.vertices.max(axis=0)
    corners = corners_of(low, high)
    moments = np.linspace(0, len(poses) - 1, 10).astype(int)
    return np.concatenate([transform(poses[k], corners) for k in moments])


def add_asset(server: viser.ViserServer, name: str, asset: ObjectAsset) -> viser.MeshHandle:
    """The object's mesh at `name` in the scene tree."""
    return server.scene.add_mesh_simple(
        name, asset.vertices.astype(np.float32), np.asarray(asset.faces), color=OBJECT_RGB, side="double"
    )


def add_table(server: viser.ViserServer, height: float) -> None:
    """The table's top at `height`."""
    server.scene.add_box("/table", color=TABLE_RGB, dimensions=(1.5, 1.5, 0.1), position=(0, 0, height - 0.05))


def reference_rollout(ref: Reference) -> Rollout:
    """A reference as a perfectly tracked rollout; its ghost shows the position targets."""
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
