"""A person before a camera, live: the hand's mesh and keypoints, the object, how well both are known, and the image."""

from dataclasses import dataclass, field

import numpy as np
import viser

from dexhot.data.keypoints import BONES
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import transform
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.objects.asset import ObjectAsset
from dexhot.perception import tints
from dexhot.view.player import add_toggle
from dexhot.view.shows import BONE_RGB, HAND_RGB, OBJECT_RGB, add_asset

SIGMAS = 2.0  # of the spheres and ellipsoids: 2 standard deviations
SIGMA_OPACITY, MESH_OPACITY = 0.25, 0.6
POSE = 51  # parameters of a pose; those of the shape follow
MOST_POINTS = 20000  # of the depth image
FADE = 0.5  # s without news after which something is no longer shown
TINTS = {1: (11, 122, 117), 2: OBJECT_RGB, 3: (123, 131, 235)}  # of labels


@dataclass
class WatchSnapshot:
    """What is known at one moment; positions in the world, m. None: not known."""

    color: np.ndarray | None = None  # (H, W, 3) uint8
    depth: np.ndarray | None = None  # (H, W) uint16 mm
    labels: np.ndarray | None = None  # (H, W) uint8
    camera: Intrinsics | None = None
    keypoints: np.ndarray | None = None  # (21, 4) x y z sigma
    hand: np.ndarray | None = None  # (51 + S,) parameters of the open hand, in the camera's frame
    object_pose: np.ndarray | None = None  # (7,)
    object_covariance: np.ndarray | None = None  # (3, 3) of its position
    problem: str = ""  # why no images arrive
    ages: dict[str, float] = field(default_factory=dict)  # name -> s since its last message


class WatchView:
    """Shows WatchSnapshots; world_T_camera (7,) of the optical frame."""

    def __init__(self, server: viser.ViserServer, side: str, asset: ObjectAsset | None, world_T_camera: np.ndarray):
        self.server, self.world_T_camera, scene = server, world_T_camera, server.scene
        self.hand = open_hand(side)
        self.shape, self.person = np.zeros(self.hand.shape_size), self.hand.shaped(np.zeros(self.hand.shape_size))
        server.gui.add_markdown(f"### live\n{side} hand" + (f" and {asset.name}" if asset is not None else ""))
        self.text = server.gui.add_markdown("waiting for images")
        self.picture = server.gui.add_image(np.zeros((120, 160, 3), np.uint8), label="labels", format="jpeg")
        nowhere = np.zeros((21, 3), np.float32)
        self.joints = scene.add_point_cloud(
            "/hand/keypoints", nowhere, HAND_RGB[side], point_size=0.007, precision="float32"
        )
        self.bones = scene.add_line_segments("/hand/bones", nowhere[BONES], BONE_RGB, thickness=0.004)
        self.spheres = [
            scene.add_icosphere(f"/hand/sigma/{k}", 1.0, color=HAND_RGB[side], opacity=SIGMA_OPACITY) for k in range(21)
        ]
        self.cloud = scene.add_point_cloud(
            "/points", np.zeros((1, 3), np.float32), (150, 150, 150), point_size=0.003, precision="float32"
        )
        self.object = add_asset(server, "/object/mesh", asset) if asset is not None else None
        self.ellipsoid = scene.add_icosphere("/object/sigma", 1.0, color=OBJECT_RGB, opacity=SIGMA_OPACITY)
        self.skin: viser.MeshHandle | None = None
        scene.add_frame("/camera", axes_length=0.05, axes_radius=0.002, position=world_T_camera[:3],
                        wxyz=world_T_camera[3:])  # fmt: skip
        add_toggle(server, "points", [self.cloud])
        server.initial_camera.position = tuple(transform(world_T_camera, np.array([0.0, -0.3, -0.4])))
        server.initial_camera.look_at = tuple(transform(world_T_camera, np.array([0.0, 0.0, 0.6])))

    def show(self, now: WatchSnapshot) -> None:
        """Draw `now`; what has no news for FADE s is hidden."""
        with self.server.atomic():
            self._images(now)
            self._hand(now)
            self._object(now)
            self.text.content = self._text(now)

    def _images(self, now: WatchSnapshot) -> None:
        if now.color is not None:
            self.picture.image = tinted(now.color, now.labels)
        if now.depth is None or now.camera is None or not self.cloud.visible:
            return
        step = max(1, int(np.sqrt(now.depth.size / MOST_POINTS)))
        v, u = np.nonzero(now.depth[::step, ::step])
        v, u = v * step, u * step
        points = now.camera.backproject(np.stack([u, v], axis=1), now.depth[v, u] * 1e-3)
        self.cloud.points = transform(self.world_T_camera, points).astype(np.float32)
        if now.color is not None and now.color.shape[:2] == now.depth.shape:
            self.cloud.colors = now.color[v, u]

    def _hand(self, now: WatchSnapshot) -> None:
        seen = now.keypoints is not None and now.ages.get("hand", np.inf) < FADE
        for handle in (self.joints, self.bones, *self.spheres):
            handle.visible = seen
        if seen:
            assert now.keypoints is not None
            points = now.keypoints[:, :3].astype(np.float32)
            self.joints.points, self.bones.points = points, points[BONES]
            for sphere, point, sigma in zip(self.spheres, points, now.keypoints[:, 3]):
                sphere.position, sphere.scale = point, SIGMAS * float(sigma)
        fresh = now.hand is not None and now.ages.get("hand mesh", np.inf) < FADE
        if fresh:
            assert now.hand is not None
            vertices = self.vertices(now.hand)
            if self.skin is None:
                self.skin = self.server.scene.add_mesh_simple(
                    "/hand/mesh", vertices, self.hand.faces, color=HAND_RGB[self.hand.side], opacity=MESH_OPACITY
                )
            self.skin.vertices = vertices
        if self.skin is not None:
            self.skin.visible = fresh

    def vertices(self, parameters: np.ndarray) -> np.ndarray:
        """(V, 3) float32 m in the world of the open hand with `parameters` (51 + S,)."""
        shape = parameters[POSE:]
        if not np.array_equal(shape, self.shape):
            self.shape, self.person = shape, self.hand.shaped(shape)
        skin = self.person.posed(HandPose.from_vector(parameters[:POSE])).vertices
        return np.asarray(transform(self.world_T_camera, skin), np.float32)

    def _object(self, now: WatchSnapshot) -> None:
        seen = now.object_pose is not None and now.ages.get("object", np.inf) < FADE
        self.ellipsoid.visible = seen
        if self.object is not None:
            self.object.visible = seen
        if not seen:
            return
        assert now.object_pose is not None and now.object_covariance is not None
        if self.object is not None:
            self.object.position, self.object.wxyz = now.object_pose[:3], now.object_pose[3:]
        sigma = float(np.sqrt(np.linalg.eigvalsh(now.object_covariance)[-1]))
        self.ellipsoid.position, self.ellipsoid.scale = now.object_pose[:3], SIGMAS * sigma

    def _text(self, now: WatchSnapshot) -> str:
        lines = [f"**{now.problem}**"] if now.problem else []
        if now.keypoints is not None:
            lines.append(f"hand: known to {1e3 * float(np.median(now.keypoints[:, 3])):.0f} mm (median sigma)")
        if now.object_covariance is not None:
            sigma = 1e3 * float(np.sqrt(np.diagonal(now.object_covariance).max()))
            lines.append(f"object: known to {sigma:.0f} mm (sigma)")
        lines += [f"{what}: not seen for {age:.1f} s" for what, age in now.ages.items() if age >= FADE]
        return "  \n".join(lines) or "waiting for images"


def tinted(color: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """The image with its labels in colour."""
    if labels is None or labels.shape != color.shape[:2]:
        return color
    return tints.tinted(color, labels, 0.5, TINTS).astype(np.uint8)
