"""Draws hands, forearms, an object and a table with MuJoCo: colour with light and shadow, depth, and labels."""

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter

from dexhot.data.labels import LABELS
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.geometry.triangles import face_areas, vertex_normals
from dexhot.humans.skin import DIGITS, HandPose
from dexhot.objects.asset import ObjectAsset
from dexhot.simulation.renderer import new_renderer
from dexhot.synthesis.person import Person, arm_faces, forearm, forearm_away

OPTICAL = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0])  # optical_T_camera of MuJoCo, whose camera looks along -z
CREASE = np.cos(np.radians(40.0))  # faces that meet at a sharper angle share no normal
TABLE, FLOOR = (0.9, 0.7, 0.02), 0.74  # m, half sizes of the table; height of its top
PATCH = 0.09  # m of the object that one tile of its texture covers
TILE, RAMP = 256, 64  # px
NAIL, PAD = 0.008, 0.016  # m from the tip's vertex
OBJECT_COLOURS = np.array(
    [[46, 92, 170], [38, 128, 92], [196, 176, 44], [120, 70, 150], [70, 74, 82], [226, 226, 220], [30, 140, 150],
     [176, 40, 52]]
)  # fmt: skip
TABLES = np.array([[176, 142, 106], [120, 92, 70], [172, 169, 163], [98, 104, 112], [150, 158, 140]])


@dataclass(frozen=True)
class Look:
    """Light and colours of a scene."""

    object_rgb: np.ndarray  # (3,) sRGB
    table_rgb: np.ndarray  # (3,) sRGB
    grain: float  # how strongly the table's pattern shows
    sun: np.ndarray  # (3,) from the light to the scene
    bright: float  # of the light that casts shadows
    ambient: float
    texture_seed: int


def draw_look(rng: np.random.Generator) -> Look:
    """A look from random numbers."""
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.3)
    return Look(
        OBJECT_COLOURS[rng.integers(len(OBJECT_COLOURS))] * rng.uniform(0.85, 1.1),
        TABLES[rng.integers(len(TABLES))] * rng.uniform(0.9, 1.08),
        float(rng.uniform(0.3, 1.0)),
        np.array([0.6 * np.cos(turn), 0.6 * np.sin(turn), -height]),
        float(rng.uniform(0.6, 0.8)),
        float(rng.uniform(0.34, 0.44)),
        int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class Pictures:
    """One frame as an ideal camera sees it."""

    color: np.ndarray  # (H, W, 3) uint8
    depth: np.ndarray  # (H, W) float32 m along the optical axis
    labels: np.ndarray  # (H, W) uint8
    skin: dict[str, np.ndarray]  # of each hand, (F V, 3) m


class SceneRenderer:
    """Draws frames. Close it, or use it as a context manager. Raises NoRendererError."""

    def __init__(
        self,
        camera: Intrinsics,
        people: dict[str, Person],
        asset: ObjectAsset | None,
        look: Look,
        table: float,
        centre: np.ndarray,
    ):
        """`centre` (3,) m: what the light is aimed at. The table's top is at z = `table`. No asset: hands alone."""
        self.people, self.neutral = people, {side: person.hand.shaped() for side, person in people.items()}
        self.table = table
        self.triangles: dict[str, np.ndarray] = {}
        self.model = self._spec(camera, asset, look, centre).compile()
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)
        meshes = self.model.geom_dataid >= 0  # their points come in the world's frame, not in that of their inertia
        self.data.geom_xpos[meshes], self.data.geom_xmat[meshes] = 0.0, np.eye(3).ravel()
        self.renderer = new_renderer(self.model, camera.width, camera.height)
        if asset is not None:
            self._put("object", *_soup(asset))
        self.label_of = np.zeros(self.model.ngeom + 1, np.uint8)  # the last is the background's
        for k in range(self.model.ngeom):
            what, _, side = self.model.geom(k).name.partition(" ")
            bare = what != "arm" or people[side].sleeve is None
            self.label_of[k] = LABELS.get(side or what, 0) if bare else 0

    def __enter__(self) -> "SceneRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the renderer's memory."""
        self.renderer.close()

    def pose(self, poses: dict[str, HandPose], object_pose: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Put hands and object in their places; the hands' skin, (F V, 3) m each."""
        skins = {}
        for side, person in self.people.items():
            posed = self.neutral[side].posed(poses[side])
            skins[side] = person.surface(posed)
            arm = forearm(person, posed, forearm_away(posed, self.table))
            for what, points in (("hand", skins[side]), ("arm", arm)):
                name = f"{what} {side}"
                self._put(name, points, vertex_normals(points, self.triangles[name]))
        if object_pose is None:
            return skins
        k = self.model.geom("object").id
        self.data.geom_xpos[k], self.data.geom_xmat[k] = object_pose[:3], quat_to_matrix(object_pose[3:]).ravel()
        return skins

    def aim(self, world_T_camera: np.ndarray) -> None:
        """Place the camera, given its optical frame."""
        pose = compose(world_T_camera, OPTICAL)
        self.data.cam_xpos[0], self.data.cam_xmat[0] = pose[:3], quat_to_matrix(pose[3:]).ravel()

    def color(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        self.renderer.disable_depth_rendering()
        self.renderer.disable_segmentation_rendering()
        self.renderer.update_scene(self.data, 0)
        for flag in (mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
            self.renderer.scene.flags[flag] = 0
        return self.renderer.render()

    def labels(self) -> np.ndarray:
        """(H, W) uint8."""
        self.renderer.enable_segmentation_rendering()
        self.renderer.update_scene(self.data, 0)
        geoms = self.renderer.render()[..., 0]
        self.renderer.disable_segmentation_rendering()
        labels: np.ndarray = self.label_of[geoms]
        return labels

    def depth(self) -> np.ndarray:
        """(H, W) float32 m."""
        self.renderer.enable_depth_rendering()
        self.renderer.update_scene(self.data, 0)
        depth = self.renderer.render()
        self.renderer.disable_depth_rendering()
        return depth

    def _put(self, name: str, points: np.ndarray, normals: np.ndarray) -> None:
        """New points of a geom's mesh, in the frame of the geom; normals one per point."""
        k = self.model.geom(name).dataid[0]
        at, count = self.model.mesh_vertadr[k], self.model.mesh_vertnum[k]
        first, there = self.model.mesh_normaladr[k], self.model.mesh_normalnum[k]
        assert count == len(points) == there, f"{name}: {len(points)} points, {count} in the model, {there} normals"
        self.model.mesh_vert[at : at + count] = points
        self.model.mesh_normal[first : first + count] = normals
        mujoco.mjr_uploadMesh(self.model, self.renderer._mjr_context, k)

    def _spec(self, camera: Intrinsics, asset: ObjectAsset | None, look: Look, centre: np.ndarray) -> mujoco.MjSpec:
        spec, random = mujoco.MjSpec(), np.random.default_rng(look.texture_seed)
        spec.stat.extent, spec.stat.center = 1.0, centre
        spec.visual.map.znear, spec.visual.map.zfar = 0.05, 12.0
        spec.visual.quality.shadowsize, spec.visual.quality.offsamples = 2048, 0
        spec.visual.headlight.ambient, spec.visual.headlight.specular = [look.ambient] * 3, [0.0] * 3
        spec.visual.headlight.diffuse = [0.12] * 3
        sky = {"builtin": mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, "width": 128, "height": 128}
        grey = random.uniform(0.45, 0.8)
        spec.add_texture(
            name="wall", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, rgb1=[grey] * 3, rgb2=[0.7 * grey] * 3, **sky
        )
        _material(spec, "wood", _grain(look.table_rgb, look.grain, random), specular=0.08, repeat=2.5)
        _material(spec, "paint", _blotches(look.object_rgb, random), specular=0.25)
        world = spec.worldbody
        top = [float(centre[0]), float(centre[1]), self.table - TABLE[2]]
        flat = {"contype": 0, "conaffinity": 0, "material": "wood"}
        world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_BOX, size=TABLE, pos=top, **flat)
        low = [0.0, 0.0, self.table - FLOOR]
        world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[6, 6, 0.1], pos=low, rgba=[grey] * 3 + [1])
        if asset is not None:
            corners, _ = _soup(asset)
            _mesh(spec, "object", corners, np.arange(len(corners)).reshape(-1, 3), "paint", _planar(corners))
        for side, person in self.people.items():
            skin = _material(spec, f"skin {side}", _skin_ramp(person.skin), specular=0.12)
            smooth = person.subdivision[0] @ person.hand.vertices
            tones = skin_tones(person, smooth)
            self.triangles[f"hand {side}"] = person.subdivision[1]
            _mesh(spec, f"hand {side}", smooth, person.subdivision[1], skin, tones)
            faces = arm_faces()
            arm = forearm(person, self.neutral[side].posed(HandPose()), np.array([0.0, 0.0, 1.0]))
            sleeve = person.sleeve
            material = (
                skin if sleeve is None else _material(spec, f"cloth {side}", _cloth(sleeve, random), specular=0.02)
            )
            self.triangles[f"arm {side}"] = faces
            uv = np.full((len(arm), 2), [0.35, 0.5]) if sleeve is None else _planar(arm)
            _mesh(spec, f"arm {side}", arm, faces, material, uv)
        sun = look.sun / np.linalg.norm(look.sun)
        key = world.add_light(pos=centre - 1.6 * sun, dir=sun, castshadow=True)
        key.diffuse, key.specular, key.cutoff, key.exponent = [look.bright] * 3, [0.25] * 3, 45.0, 0.5
        fill = world.add_light(
            pos=centre + [-1.2 * sun[0], -1.2 * sun[1], 1.2], dir=[sun[0], sun[1], -0.8], castshadow=False
        )
        fill.diffuse, fill.specular, fill.cutoff = [0.4 * look.bright] * 3, [0.0] * 3, 90.0
        world.add_camera(name="camera", fovy=camera.fovy)
        return spec


def _mesh(spec: mujoco.MjSpec, name: str, points: np.ndarray, faces: np.ndarray, material: str, uv: np.ndarray) -> None:
    spec.add_mesh(
        name=name,
        uservert=points.ravel().tolist(),
        userface=faces.astype(np.int32).ravel().tolist(),
        usertexcoord=uv.ravel().tolist(),
        smoothnormal=True,
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    kind = mujoco.mjtGeom.mjGEOM_MESH
    spec.worldbody.add_geom(name=name, type=kind, meshname=name, material=material, contype=0, conaffinity=0)


def _material(spec: mujoco.MjSpec, name: str, pixels: np.ndarray, specular: float, repeat: float = 1.0) -> str:
    """A material with a texture of (H, W, 3) sRGB pixels; its name."""
    height, width = pixels.shape[:2]
    data = np.clip(pixels, 0, 255).astype(np.uint8).ravel().tolist()
    flat = mujoco.mjtTexture.mjTEXTURE_2D
    spec.add_texture(name=name, type=flat, width=width, height=height, nchannel=3, data=data)
    material = spec.add_material(name=name, specular=specular, shininess=0.3, texrepeat=[repeat, repeat])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    return name


def _soup(asset: ObjectAsset) -> tuple[np.ndarray, np.ndarray]:
    """(3 F, 3) corners of the object's triangles and their normals, smooth across edges that are no crease."""
    faces = asset.faces
    area = face_areas(asset.vertices, faces)
    unit = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-15)
    _, place = np.unique(np.round(asset.vertices, 6), axis=0, return_inverse=True)
    at = place.ravel()[faces].ravel()  # scans repeat vertices along seams
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(at.max() + 2))
    normals = np.repeat(area, 3, axis=0)
    for shift in range(1, int(np.diff(starts).max())):  # add the k-th next corner of the same place
        here = np.arange(len(order))
        count = np.diff(starts)[at[order]]
        other = starts[at[order]] + (here - starts[at[order]] + shift) % count
        mine, theirs = order // 3, order[other] // 3
        smooth = (shift < count) & ((unit[mine] * unit[theirs]).sum(axis=1) > CREASE)
        normals[order[smooth]] += area[theirs[smooth]]
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return asset.vertices[faces].reshape(-1, 3), normals / np.maximum(length, 1e-15)


def _planar(corners: np.ndarray) -> np.ndarray:
    """(N, 2) texture coordinates by the axis that each triangle faces most; along z for other than whole triangles."""
    if len(corners) % 3:
        return corners[:, :2] / PATCH
    a, b, c = np.moveaxis(corners.reshape(-1, 3, 3), 1, 0)
    side = np.repeat(np.abs(np.cross(b - a, c - a)).argmax(axis=1), 3)
    axes = np.array([[1, 2], [0, 2], [0, 1]])[side]
    uv: np.ndarray = np.take_along_axis(corners, axes, axis=1) / PATCH
    return uv


def skin_tones(person: Person, points: np.ndarray) -> np.ndarray:
    """(F V, 2) places in `_skin_ramp`: from the back to the palm, and from nails over plain skin to red fingertips."""
    hand = person.hand
    wrist, index, middle, little = hand.joints[[0, *(DIGITS[name][0] for name in ("index", "middle", "little"))]]
    dorsal = np.cross(middle - wrist, index - little) * (1.0 if hand.side == "right" else -1.0)
    normals = vertex_normals(points, person.subdivision[1])
    facing = normals @ (dorsal / np.linalg.norm(dorsal))
    accent = np.full(len(points), 0.5)
    for tip in hand.tips:
        far = np.linalg.norm(points - points[tip], axis=1)
        accent = np.maximum(accent, 0.5 + 0.4 * np.clip(1.0 - far / PAD, 0.0, 1.0))
        accent = np.where((far < NAIL) & (facing > 0.6), 0.1, accent)
    return np.stack([np.clip(0.5 - 0.5 * facing, 0.02, 0.98), np.clip(accent, 0.02, 0.98)], axis=1)


def _skin_ramp(skin: np.ndarray) -> np.ndarray:
    u, v = np.meshgrid(np.linspace(0, 1, RAMP), np.linspace(0, 1, RAMP))
    palm = 0.55 * skin + 0.45 * np.array([232, 178, 158])
    plain = skin + np.clip(1.6 * u - 0.5, 0, 1)[..., None] * (palm - skin)
    red = 0.75 * plain + 0.25 * np.array([196, 92, 82])
    nail = 0.45 * plain + 0.55 * np.array([240, 206, 194])
    up, down = np.clip(2 * v - 1, 0, 1)[..., None], np.clip(1 - 2 * v, 0, 1)[..., None]
    ramp: np.ndarray = plain + up * (red - plain) + down * (nail - plain)
    return ramp


def _smooth_noise(random: np.random.Generator, sigma: float | tuple[float, float]) -> np.ndarray:
    """(TILE, TILE) with unit variance, which repeats without a seam."""
    field = gaussian_filter(random.normal(size=(TILE, TILE)), sigma, mode="wrap")
    unit: np.ndarray = field / field.std()
    return unit


def _grain(rgb: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    streaks = (
        _smooth_noise(random, (1.2, 30.0)) + 0.6 * _smooth_noise(random, (5.0, 60.0)) + 0.3 * _smooth_noise(random, 0.7)
    )
    pattern: np.ndarray = rgb * (1.0 + 0.05 * strength * streaks[..., None])
    return pattern


def _blotches(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One colour with patches of a lighter or darker one and fine speckles."""
    edge = np.clip(4.0 * (_smooth_noise(random, 14.0) - random.uniform(0.5, 1.2)), 0.0, 1.0)[..., None]
    other = rgb * random.uniform(0.55, 0.8) if rgb.mean() > 110 else rgb + random.uniform(40, 80)
    pattern: np.ndarray = (rgb + edge * (other - rgb)) * (1.0 + 0.03 * _smooth_noise(random, 1.0)[..., None])
    return pattern


def _cloth(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    weave: np.ndarray = (
        rgb * (1.0 + 0.06 * _smooth_noise(random, (0.6, 3.0)) + 0.05 * _smooth_noise(random, 12.0))[..., None]
    )
    return weave
