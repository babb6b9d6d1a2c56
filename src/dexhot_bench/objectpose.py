"""`dexhot bench objectpose`: registration and tracking of known objects in synthetic RealSense-like depth.

Each case is an object over a table, a hand before part of it, drawn by the project's own rasteriser, with the errors of
`dexhot synth` at its middle level in depth and masks. The hand hides 10 to 40 % of the object. Times are CPU times.
Beside it, where it is installed, Open3D's FPFH + RANSAC + ICP on the same points.

Tracking: the object moves through the view, is out of it for a third of a second and comes back elsewhere. It is
followed and found again as in a recording (`ObjectTrack`), in the whole image: nobody says where it is. With its
colours and, for comparison, by depth alone. It comes back right after an image that was searched, the worst moment.

Confidence: `confidence_auc` is over all poses and empty views; of its wrong ones, views without the object are easy.
`confidence_auc_in_view` counts poses alone that are reported with something of the object's size in view: registered
and tracked ones, the true pose turned or moved, as it stands and as tracking aligns it, and registrations on another
object.
"""

import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.meshes import read_mesh
from dexhot.geometry.raster.channels import LEFT as TABLE
from dexhot.geometry.raster.channels import OBJECT
from dexhot.geometry.raster.channels import RIGHT as HAND
from dexhot.geometry.raster.rasterizer import Rasterizer
from dexhot.humans.open_hand import open_hand
from dexhot.objects.library import list_objects, load_object
from dexhot.perception.object_pose import SURE, DepthObjectPose, RigidModel, rigid_model
from dexhot.perception.object_track import ObjectTrack
from dexhot.perception.protocols import ObjectSighting
from dexhot.perception.segmentation import ModelMask
from dexhot.progress import track
from dexhot.synthesis.noise import MaskNoise, noise_level, noisy_depth

CAMERA = Intrinsics(640, 480, 615.0, 615.0, 319.5, 239.5)
LEVEL = replace(noise_level("middle"), mask=noise_level("middle").mask | {"missing": 0.0})  # a mask is always given
NOTHING = 9.0  # m, where nothing is drawn: beyond what a camera measures
GRAB = ("grab/duck", "grab/mug", "grab/hammer", "grab/camera", "grab/stapler", "grab/flashlight")
SAME = 0.015  # diameters
QUICK_OBJECTS = 2
CASES, FRAMES = 10, 90  # registrations of each object; images of each track, at 30 Hz
AWAY, BACK = 40, 51  # images between which the object is out of view; back right after one that ObjectTrack searches
COLOURS = np.array(
    [[40, 44, 48], [120, 96, 70], [205, 150, 125], [70, 110, 160]], float
)  # nothing, table, hand, object
GRAIN = 6.0  # deviation of a pixel's colour, of 255
TURNED, MOVED = np.radians(40.0), 0.3  # rad, and diameters: wrong poses whose confidence is asked for
NO_POSE = ("away", "lost")  # kinds of judgement: the object is not in view; it is, and no pose is reported


def run(quick: bool = False, meshes: Path | None = None, **_: Any) -> dict[str, Any]:
    """Registers, tracks, loses and finds again; `meshes`: a folder of further objects (.obj)."""
    began = time.perf_counter()
    objects = bench_objects(meshes)
    cases = 4 if quick else CASES
    count = QUICK_OBJECTS if quick else len(objects)
    add: list[bool] = []
    add_s: list[bool] = []
    seconds: list[float] = []
    baseline: list[tuple[bool, bool, float]] = []
    track_ms: dict[bool, list[float]] = {True: [], False: []}  # with colours, without
    judged: list[JudgedPose] = []
    delay: dict[bool, list[float]] = {True: [], False: []}
    rows: dict[str, float] = {}
    chosen = objects[:count]
    low, high = (np.array([end(vertices, axis=0) for _, vertices, _ in objects]) for end in (np.min, np.max))
    for number, (name, vertices, faces) in enumerate(track(chosen, "objects")):
        model, other = rigid_model(vertices, faces, name), of_like_size(high - low, number)
        scene = DrawnScene(vertices, faces)
        beside = None if other is None else DrawnScene(*objects[other][1:])
        rng, random = np.random.default_rng(number), np.random.default_rng([number, 1])
        warm = DepthObjectPose(model)
        own: list[bool] = []
        for _case in range(cases):
            pose = random_pose(rng, model.centre)
            depth, mask, hand = scene.seen(pose, rng, hand=True)[:3]
            if number == 0 and not seconds:
                warm.search(CAMERA, depth, mask, hand)
            start = time.process_time()
            found = warm.search(CAMERA, depth, mask, hand)
            seconds.append(time.process_time() - start)
            errors = distances(model.samples, pose, found)
            own.append(errors[1] < 0.05 * model.diameter)
            add.append(right(model, pose, found))
            add_s.append(own[-1])
            if found is not None:
                judged.append(JudgedPose("registered", found.confidence, add[-1]))
            judged += misplaced(model, pose, depth, hand, random)
            if beside is not None and other is not None:
                middle = 0.5 * (low[other] + high[other])
                view = beside.seen(random_pose(random, middle), random, hand=True)
                found = warm.search(CAMERA, view.depth, view.mask, view.hand)
                judged += [] if found is None else [JudgedPose("other object", found.confidence, False)]
            if find_spec("open3d"):
                baseline.append(open3d_errors(model, depth, mask, pose))
        rows[name] = float(np.mean(own))
        views = moving(scene, model, rng)
        for colours in track_ms:
            ms, kept, wait = follow(scene, model, views, colours)
            track_ms[colours] += ms
            delay[colours].append(wait)
            judged += kept if colours else []
    metrics = {
        "add_01d": float(np.mean(add)),
        "add_s_005d": float(np.mean(add_s)),
        "register_s_p50": float(np.median(seconds)),
        "track_ms_p50": float(np.median(track_ms[True])),
        "track_ms_p99": float(np.percentile(track_ms[True], 99)),
        "track_depth_ms_p50": float(np.median(track_ms[False])),
        "reacquired_s_max": float(np.max(delay[True])),
        "reacquired_s_p50": float(np.median(delay[True])),
        "reacquired_1s_fraction": float(np.mean(np.array(delay[True]) <= 1.0)),
        "reacquired_depth_s_max": float(np.max(delay[False])),
        "reacquired_depth_1s_fraction": float(np.mean(np.array(delay[False]) <= 1.0)),
        "confidence_auc": auc(judged),
        "confidence_auc_in_view": auc([one for one in judged if one.kind not in NO_POSE]),
    }
    notes = ["ADD counts a pose that a symmetry of the shape maps to the truth (surfaces within 0.015 diameters, mean)"]
    if baseline:
        found_add, found_s, took = (np.array(x) for x in zip(*baseline))
        metrics |= {
            "open3d_add_01d": float(found_add.mean()),
            "open3d_add_s_005d": float(found_s.mean()),
            "open3d_s_p50": float(np.median(took)),
        }
    else:
        notes.append("Open3D is not installed: no baseline in this run (pip install open3d)")
    return {
        "metrics": metrics,
        "subset": list(rows),
        "add_s_005d_by_object": rows,
        "confidence_by_wrong": by_kind(judged),
        "notes": notes,
        "seconds": time.perf_counter() - began,
    }


def bench_objects(meshes: Path | None) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """GRAB's that are in the library, the meshes of a folder, and two made ones."""
    found = [(n, load_object(n).vertices, load_object(n).faces) for n in GRAB if n in list_objects()]
    for path in sorted(meshes.glob("*.obj")) if meshes else ():
        found.append((path.stem, *read_mesh(path)))
    made = [
        ("box", *made_mesh(trimesh.creation.box((0.12, 0.07, 0.04)))),
        ("cylinder", *made_mesh(trimesh.creation.cylinder(0.03, 0.14))),
    ]
    if meshes and len(found) == 0:
        raise DexhotError(f"{meshes} has no .obj file.")
    return [*found, *made]


class JudgedPose(NamedTuple):
    """A confidence that was reported, and whether the object had the pose."""

    kind: str
    confidence: float
    right: bool


class DrawnView(NamedTuple):
    """One image (H, W) of a scene."""

    depth: np.ndarray  # m, with a camera's errors
    mask: np.ndarray  # bool, the object's
    hand: np.ndarray  # bool
    color: np.ndarray  # (H, W, 3) uint8


class DrawnScene:
    """An object, a hand before it and a table behind, drawn as depth and colour."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        hand = open_hand()
        self.vertices, self.hand = np.asarray(vertices, float), hand
        table = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
        self.table = table * 0.9
        start = (len(vertices), len(vertices) + len(hand.vertices))
        parts = [faces, hand.faces + start[0], np.array([[0, 1, 2], [0, 2, 3]]) + start[1]]
        self.labels = np.repeat([OBJECT, HAND, TABLE], [len(part) for part in parts])
        self.faces = np.concatenate(parts)
        self.raster = Rasterizer(CAMERA, self.faces, self.labels)

    def seen(self, pose: np.ndarray | None, rng: np.random.Generator, hand: bool) -> DrawnView:
        """What a camera measures, with its errors; no object for None."""
        place = np.array([0, 0, 0.7]) if pose is None else pose[:3, 3]
        body = self.vertices + [0, 0, -5] if pose is None else self.vertices @ pose[:3, :3].T + pose[:3, 3]
        skin = self.hand_before(place, rng) if hand else self.hand.vertices + [0, 0, -5]
        tilt = Rotation.from_euler("x", -0.9).as_matrix()
        table = self.table @ tilt.T + [0, 0.25, 1.1]
        points = np.concatenate([body, skin, table])[None]
        drawn = self.raster.forward(points)
        label = np.where(drawn.faces[0] < 0, 0, self.labels[drawn.faces[0]])
        depth = np.where(drawn.depth[0] > 0, drawn.depth[0], NOTHING)
        measured = noisy_depth(depth, CAMERA, LEVEL, rng) * np.float32(1e-3)
        masks = MaskNoise(CAMERA, LEVEL, rng)(label)
        picture = self.painted(points[0], drawn.faces[0], rng.spawn(1)[0])
        return DrawnView(measured, masks == OBJECT, masks == HAND, picture)

    def painted(self, points: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) uint8: each thing in one colour, darker where it is turned from the camera, with grain."""
        a, b, c = (points[self.faces[:, k]] for k in range(3))
        normals = np.cross(b - a, c - a)
        facing = np.abs(normals[:, 2]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
        colours = np.concatenate([COLOURS[self.labels] * (0.5 + 0.5 * facing[:, None]), COLOURS[:1]])  # -1: no face
        grain = rng.standard_normal((*faces.shape, 3), np.float32)
        picture = np.clip(colours.astype(np.float32)[faces] + np.float32(GRAIN) * grain, 0, 255)
        return np.asarray(picture, np.uint8)

    def hand_before(self, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vertices of a hand whose fingers cover a part of the object's outline."""
        vertices = self.hand.vertices - self.hand.vertices.mean(0)
        turned = vertices @ Rotation.random(random_state=int(rng.integers(2**31))).as_matrix().T
        angle = rng.uniform(0, 2 * np.pi)
        offset = np.array([np.cos(angle), np.sin(angle), 0]) * rng.uniform(0.07, 0.1)
        return np.asarray(turned + place + offset - [0, 0, 0.08])


def random_pose(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """(4, 4) camera_T_mesh of an object in view, 0.5 to 0.9 m away."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    z = rng.uniform(0.5, 0.9)
    pose[:3, 3] = np.array([rng.uniform(-0.2, 0.2) * z, rng.uniform(-0.15, 0.15) * z, z]) - pose[:3, :3] @ centre
    return pose


def distances(samples: np.ndarray, truth: np.ndarray, found: ObjectSighting | None) -> tuple[float, float]:
    """ADD and ADD-S, m."""
    if found is None:
        return np.inf, np.inf
    a, b = (samples @ T[:3, :3].T + T[:3, 3] for T in (truth, found.pose))
    return float(np.linalg.norm(a - b, axis=1).mean()), float(cKDTree(b).query(a)[0].mean())


def right(model: RigidModel, truth: np.ndarray | None, found: ObjectSighting | None) -> bool:
    """Whether a pose counts as correct; none does while the object is away."""
    if truth is None or found is None:
        return False
    return distances(model.samples, truth, found)[0] < 0.1 * model.diameter or equivalent(model, truth, found)


def equivalent(model: RigidModel, truth: np.ndarray, found: ObjectSighting | None) -> bool:
    """Whether a shape without texture looks the same in both poses: their surfaces lie within SAME diameters (mean)."""
    if found is None:
        return False
    seen = model.samples @ found.pose[:3, :3].T + found.pose[:3, 3]
    gap = model.volume.distance((seen - truth[:3, 3]) @ truth[:3, :3])[0]
    return bool(np.abs(gap).mean() < SAME * model.diameter)


def moving(scene: DrawnScene, model: RigidModel, rng: np.random.Generator) -> list[tuple[np.ndarray | None, DrawnView]]:
    """The object's pose, None while it is away, and what is seen of it, in each image of a track."""
    start, end = random_pose(rng, model.centre), random_pose(rng, model.centre)
    turn = Rotation.from_rotvec(rng.normal(size=3) * 0.6)
    views: list[tuple[np.ndarray | None, DrawnView]] = []
    for k in range(FRAMES):
        phase = 0.5 - 0.5 * np.cos(np.pi * k / FRAMES)
        pose = (start if k < AWAY else end).copy()
        pose[:3, :3] = Rotation.from_rotvec(turn.as_rotvec() * 2 * phase).as_matrix() @ pose[:3, :3]
        pose[:3, 3] += np.array([0.12, 0.0, 0.05]) * (phase - 0.3)
        there = None if AWAY <= k < BACK else pose
        views.append((there, scene.seen(there, rng, hand=k % 30 > 20)))
    return views


def follow(
    scene: DrawnScene, model: RigidModel, views: list[tuple[np.ndarray | None, DrawnView]], colours: bool
) -> tuple[list[float], list[JudgedPose], float]:
    """ms of each image in which the object was not lost before; the confidence in each; and s until it was found
    again."""
    track = ObjectTrack(model, ModelMask(CAMERA, scene.vertices, scene.faces[scene.labels == OBJECT]))
    ms, judged, back = [], [], np.inf
    for k, (pose, (depth, _, hand, color)) in enumerate(views):
        followed, began = not track.estimator.lost, time.process_time()
        found, confidence = track(CAMERA, depth, k / 30, hand, color if colours else None)
        if followed and not track.estimator.lost:
            ms.append(1e3 * (time.process_time() - began))
        kind = "away" if pose is None else "lost" if found is None else "tracked"
        judged.append(JudgedPose(kind, confidence, right(model, pose, found)))
        if k >= BACK and judged[-1].right:
            back = min(back, (k - BACK) / 30)
    return ms, judged, back


def misplaced(
    model: RigidModel, truth: np.ndarray, depth: np.ndarray, hand: np.ndarray, rng: np.random.Generator
) -> list[JudgedPose]:
    """The confidence in a pose that is turned by TURNED about the object's centre, and one that is moved by MOVED, as
    they stand and as tracking aligns them; right where a symmetry or the alignment makes them so."""
    axis, way = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    turned, moved = truth.copy(), truth.copy()
    turned[:3, :3] = Rotation.from_rotvec(TURNED * axis).as_matrix() @ truth[:3, :3]
    turned[:3, 3] += (truth[:3, :3] - turned[:3, :3]) @ model.centre
    moved[:3, 3] += MOVED * model.diameter * way
    judged = []
    for kind, pose in (("turned", turned), ("moved", moved)):
        tracker = DepthObjectPose(model)
        score, seen = tracker.confidence(CAMERA, pose[:3, :3], pose[:3, 3], depth, hand)
        judged.append(JudgedPose(kind, score, right(model, truth, ObjectSighting(pose, score, seen))))
        tracker.pose, tracker.lost = pose, False
        found = tracker.follow(CAMERA, None, depth, 1 / 30, hand)
        if not tracker.lost:
            judged.append(JudgedPose(f"{kind}, then aligned", found.confidence, right(model, truth, found)))
    return judged


def of_like_size(extents: np.ndarray, number: int) -> int | None:
    """Of the other objects, with boxes of (N, 3) m, the one whose diameter is nearest; None for none."""
    size = np.log(np.linalg.norm(extents, axis=1))
    others = [k for k in range(len(size)) if k != number]
    return min(others, key=lambda k: float(abs(size[k] - size[number])), default=None)


def auc(judged: list[JudgedPose]) -> float:
    """Probability that a right pose scores above a wrong one; 1 where only one kind occurs."""
    good, bad = (np.array([one.confidence for one in judged if one.right == right]) for right in (True, False))
    if not len(good) or not len(bad):
        return 1.0
    return float((good[:, None] > bad).mean() + (good[:, None] == bad).mean() * 0.5)


def by_kind(judged: list[JudgedPose]) -> dict[str, dict[str, float]]:
    """Of the wrong ones of each kind: how many, the `auc` of all right ones beside them, and which fraction has the
    confidence with which a lost object is taken again."""
    good = [one for one in judged if one.right]
    rows = {}
    for kind in dict.fromkeys(one.kind for one in judged):
        wrong = [one for one in judged if one.kind == kind and not one.right]
        if wrong:
            sure = float(np.mean([one.confidence >= SURE for one in wrong]))
            rows[kind] = {"count": len(wrong), "auc": auc(good + wrong), "sure_fraction": sure}
    return rows


def open3d_errors(model: Any, depth: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> tuple[bool, bool, float]:
    """FPFH + RANSAC + point-to-plane ICP on the same points: ADD < 0.1 d, ADD-S < 0.05 d, s."""
    import open3d as o3d

    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)  # else a line for each mask with few points

    voxel = model.diameter / 25
    v, u = np.nonzero(mask & (depth > 0))
    points = CAMERA.backproject(np.stack([u, v], -1), depth[v, u].astype(float))
    began = time.process_time()
    clouds, features = [], []
    for xyz, normals in ((model.samples, model.normals), (points, None)):
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(xyz))
        if normals is not None:
            cloud.normals = o3d.utility.Vector3dVector(normals)
        cloud = cloud.voxel_down_sample(voxel)
        if normals is None:
            cloud.estimate_normals(o3d.geometry.KDTreeSearchParamHybrid(2 * voxel, 30))
            cloud.orient_normals_towards_camera_location()
        clouds.append(cloud)
        around = o3d.geometry.KDTreeSearchParamHybrid(5 * voxel, 100)
        features.append(o3d.pipelines.registration.compute_fpfh_feature(cloud, around))
    registration = o3d.pipelines.registration
    rough = registration.registration_ransac_based_on_feature_matching(
        *clouds, *features, True, 1.5 * voxel, registration.TransformationEstimationPointToPoint(False), 3, [],
        registration.RANSACConvergenceCriteria(50000, 0.999),
    )  # fmt: skip
    plane = registration.TransformationEstimationPointToPlane()
    fine = registration.registration_icp(*clouds, voxel, rough.transformation, plane)
    took = time.process_time() - began
    sighting = ObjectSighting(np.asarray(fine.transformation), 1.0, 1.0)
    errors = distances(model.samples, truth, sighting)
    return right(model, truth, sighting), errors[1] < 0.05 * model.diameter, took


def made_mesh(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Its vertices and faces."""
    return np.asarray(mesh.vertices, float), np.asarray(mesh.faces, int)
