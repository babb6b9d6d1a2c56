"""One rendered clip in memory: pictures as a camera takes them, what detectors would see in them, and the truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dexhot import __version__
from dexhot.data.keypoints import wrist_pose
from dexhot.data.labels import LABELS, label_boxes
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence, HandObjectTrajectory, HandTrack
from dexhot.errors import ClipError
from dexhot.geometry.cameras import Intrinsics, pinhole
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.geometry.rotations import slerp
from dexhot.geometry.sdf_volume import CELLS, sdf_volume
from dexhot.humans.skin import HandPose
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.progress import Report, unreported
from dexhot.synthesis.motion import PhysicalMotion, make_physical, shape_of
from dexhot.synthesis.noise import (
    Level,
    MaskNoise,
    guessed_depth,
    noise_level,
    noisy_color,
    noisy_depth,
    noisy_keypoints,
    noisy_poses,
)
from dexhot.synthesis.person import Person, draw_person
from dexhot.synthesis.scene import SceneRenderer, draw_look
from dexhot.synthesis.view import around, choose_view

FOVY = 42.6  # degrees, of a D435's colour camera at 640x480 (f = 615 px)
CONVENTION = "mediapipe"  # of the keypoints: detectors' and the truth's
FINEST = 0.002  # m, largest spacing of the object's distance grid
BLURRED = 1.5  # px of motion during the exposure above which a picture is drawn several times
MOST_DRAWN = 5
SHORTEST = 10  # frames
MODEL = "synthetic"


@dataclass
class Truth:
    """What is true of a rendered clip."""

    trajectory: HandObjectTrajectory  # in the world; keypoints in CONVENTION
    evidence: Evidence  # without errors: labels, keypoints, camera_T_mesh; hand_meshes of the rendered hands (T, V, 3)


@dataclass(frozen=True)
class Options:
    """How a clip is rendered."""

    seed: int = 0
    level: str = "middle"
    rate: float = 30.0  # Hz
    width: int = 640
    height: int = 480
    turn: float = 0.0  # degrees that the camera goes round the motion from where the seed has it: a second view


def render(
    trajectory: HandObjectTrajectory,
    asset: ObjectAsset | None = None,
    options: Options | None = None,
    frames: int | None = None,
    report: Report = unreported,
) -> tuple[Recording, Evidence, Truth]:
    """Render a clip; everything random comes from the seed and the clip's name.

    `frames`: only this many, from the middle of the grasp. Raises ClipError for a clip that cannot be made physical or
    brought into view, NoRendererError without OpenGL.
    """
    options = options or Options()
    level = noise_level(options.level)
    asset = asset or load_object(trajectory.object_name)
    camera = pinhole(options.width, options.height, FOVY)
    random = generators(options.seed, trajectory.name, options.turn)
    report(0, 1, f"{trajectory.name}: fitting the hands")
    shapes = {side: shape_of(trajectory, side) for side in trajectory.hands}
    people = cast(shapes, options.seed)
    acted = act(trajectory, people, asset, options.rate)
    motion, keypoints, points = acted.motion, acted.keypoints, acted.points
    centre = points.reshape(-1, 3).mean(axis=0)
    with SceneRenderer(camera, people, asset, draw_look(random["look"]), trajectory.table_height, centre) as renderer:
        view = choose_view(renderer, camera, motion, points, keypoints, random["view"])
        chosen = _chosen(view.frames, frames, motion)
        if len(chosen) < min(SHORTEST, frames or SHORTEST):
            raise ClipError(
                f"{trajectory.name} cannot be brought into view from {view.distance:.2f} m; try another --seed."
            )
        world_T_camera = around(view.world_T_camera, centre, options.turn) if options.turn else view.world_T_camera
        renderer.aim(world_T_camera)
        speed = _image_speed(camera, motion, world_T_camera, keypoints, options.rate)
        what = f"{trajectory.name}: rendering"
        drawn = _draw(
            renderer, camera, motion, chosen, level, options.rate, speed, random, lambda n: report(n, len(chosen), what)
        )
    color, depth, labels, skins = drawn
    made = {
        "source": "dexhot synth",
        "dexhot": __version__,
        "clip": trajectory.name,
        "object": trajectory.object_name,
        "seed": options.seed,
        "level": options.level,
        "frames": [int(chosen[0]), int(chosen[-1]) + 1],
        "camera_distance_m": round(view.distance, 3),
        "penetration_p95_mm": {side: round(1e3 * deep, 2) for side, deep in motion.deep.items()},
        "convention": CONVENTION,
        "clip_provenance": trajectory.provenance,
    }
    turned = f"-turn{options.turn:g}" if options.turn else ""
    name = f"synth/{trajectory.name.replace('/', '-')}-{options.seed}{turned}"
    time = np.arange(len(chosen)) / options.rate
    recording = Recording(name, time, color, depth, camera, world_T_camera, made)
    truth = _truth(recording, trajectory, motion, chosen, keypoints, labels, skins)
    return recording, _evidence(recording, truth, level, random), truth


@dataclass(frozen=True)
class Acted:
    """A clip's motion as people make it, in the clip's world."""

    motion: PhysicalMotion
    keypoints: dict[str, np.ndarray]  # of each hand, (T, 21, 3) m, in CONVENTION
    points: np.ndarray  # (T, P, 3) m: what a camera should have in view


def cast(shapes: dict[str, np.ndarray], seed: int) -> dict[str, Person]:
    """A person for each hand, around its shape (S,) in the clip."""
    return {side: draw_person(np.random.default_rng(seed), side, shape) for side, shape in shapes.items()}


def act(trajectory: HandObjectTrajectory, people: dict[str, Person], asset: ObjectAsset, rate: float) -> Acted:
    """The clip's motion by `people`, at `rate` (Hz). Raises ClipError where it cannot be made physical."""
    spacing = min(float(np.ptp(asset.vertices, axis=0).max()) / CELLS, FINEST)
    motion = make_physical(trajectory, people, sdf_volume(asset.vertices, asset.faces, spacing), rate)
    keypoints = {}
    for side, person in people.items():
        body, table = person.hand.shaped(), person.hand.table(CONVENTION)
        keypoints[side] = np.stack([body.posed(pose).keypoints(table) for pose in motion.poses[side]])
    corners = transform(motion.object_pose[:, None], _box(asset.vertices))
    return Acted(motion, keypoints, np.concatenate([corners, *keypoints.values()], axis=1))


def generators(seed: int, name: str, turn: float = 0.0) -> dict[str, np.random.Generator]:
    """One stream of random numbers per purpose, so that a change of one does not change the others. A camera that went
    round by `turn` degrees sees the same things, with noise of its own."""
    purposes = ("look", "view", "color", "depth", "mask", "keypoints", "object", "along")
    words = list(name.encode())
    own = [round(turn) % 360] if turn else []
    shared = ("look", "view")
    return {
        what: np.random.default_rng([seed, k, *words, *([] if what in shared else own)])
        for k, what in enumerate(purposes)
    }


def _box(vertices: np.ndarray) -> np.ndarray:
    """(8, 3) corners of the bounding box."""
    ends = np.stack([vertices.min(axis=0), vertices.max(axis=0)])
    return np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)


def _chosen(in_view: slice, frames: int | None, motion: PhysicalMotion) -> np.ndarray:
    """Numbers of the frames that are drawn."""
    every = np.arange(in_view.start, in_view.stop)
    if frames is None or len(every) <= frames:
        return every
    touching = np.max([t.max(axis=1) for t in motion.touching.values()], axis=0)[every]
    held = np.flatnonzero(touching > 0.5)
    middle = int(np.median(held)) if len(held) else len(every) // 2
    start = int(np.clip(middle - frames // 2, 0, len(every) - frames))
    return every[start : start + frames]


def _draw(
    renderer: SceneRenderer,
    camera: Intrinsics,
    motion: PhysicalMotion,
    chosen: np.ndarray,
    level: Level,
    rate: float,
    speed: np.ndarray,
    random: dict[str, np.random.Generator],
    report: Callable[[int], object],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Colour and depth with their noise, true labels, and the hands' vertices in the world."""
    shape = (len(chosen), camera.height, camera.width)
    color, depth, labels = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint16), np.empty(shape, np.uint8)
    count = {side: len(person.hand.vertices) for side, person in renderer.people.items()}
    skins = {side: np.empty((len(chosen), n, 3)) for side, n in count.items()}
    for row, t in enumerate(chosen):
        report(row)
        poses, object_pose = {side: p[t] for side, p in motion.poses.items()}, motion.object_pose[t]
        skin = renderer.pose(poses, object_pose)
        for side, points in skin.items():
            skins[side][row] = points[: count[side]]
        depth[row] = noisy_depth(renderer.depth(), camera, level, random["depth"])
        labels[row] = renderer.labels()
        blur = int(np.clip(np.ceil(speed[t] * level.color["exposure"] / BLURRED), 1, MOST_DRAWN))
        picture = renderer.color().astype(np.float32)
        for part in np.linspace(0.0, level.color["exposure"] * rate, blur)[1:]:  # frames before this one
            renderer.pose(*_between(motion, t, float(part)))
            picture += renderer.color()
        color[row] = noisy_color(picture / blur, camera, level, random["color"])
    return color, depth, labels, skins


def _image_speed(
    camera: Intrinsics,
    motion: PhysicalMotion,
    world_T_camera: np.ndarray,
    keypoints: dict[str, np.ndarray],
    rate: float,
) -> np.ndarray:
    """(T,) px/s, of the fastest keypoint or the object's origin."""
    points = np.concatenate([*keypoints.values(), motion.object_pose[:, None, :3]], axis=1)
    pixels = camera.project(transform(inverse(world_T_camera), points))
    moved = np.linalg.norm(np.diff(pixels, axis=0, prepend=pixels[:1]), axis=-1).max(axis=1)
    speed: np.ndarray = rate * moved
    return speed


def _between(motion: PhysicalMotion, t: int, part: float) -> tuple[dict[str, HandPose], np.ndarray]:
    """Hands and object `part` of a frame before frame t."""
    s = max(t - 1, 0)

    def mixed(now: HandPose, then: HandPose) -> HandPose:
        turn = (1 - part) * now.rotation + part * then.rotation
        u, _, vt = np.linalg.svd(turn)
        mix = lambda a, b: (1 - part) * a + part * b  # noqa: E731
        return HandPose(u @ vt, mix(now.translation, then.translation), mix(now.fingers, then.fingers))

    a, b = motion.object_pose[t], motion.object_pose[s]
    object_pose = np.concatenate(
        [(1 - part) * a[:3] + part * b[:3], slerp([0, 1], np.stack([a[3:], b[3:]]), [part])[0]]
    )
    return {side: mixed(p[t], p[s]) for side, p in motion.poses.items()}, object_pose


def _truth(
    recording: Recording,
    trajectory: HandObjectTrajectory,
    motion: PhysicalMotion,
    chosen: np.ndarray,
    keypoints: dict[str, np.ndarray],
    labels: np.ndarray,
    skins: dict[str, np.ndarray],
) -> Truth:
    assert recording.world_T_camera is not None
    camera_T_world = inverse(recording.world_T_camera)
    hands, seen, meshes = {}, {}, {}
    for side, points in keypoints.items():
        world = points[chosen]
        hands[side] = hand_track(side, world, [motion.poses[side][t] for t in chosen])
        camera = transform(camera_T_world, world)
        pixels = recording.intrinsics.project(camera)
        seen[side] = np.concatenate([camera, pixels, np.ones((*camera.shape[:2], 1))], axis=-1)
        meshes[side] = transform(camera_T_world, skins[side])
    object_pose = motion.object_pose[chosen]
    made = recording.provenance
    clip = HandObjectTrajectory(
        recording.name, recording.time, hands, trajectory.object_name, object_pose,
        table_height=trajectory.table_height, provenance=made,
    )  # fmt: skip
    clip.validate()
    camera_T_mesh = compose(camera_T_world, object_pose)
    exact = made | {"level": "truth"}
    boxes = label_boxes(labels, ("object", *hands))
    evidence = Evidence(recording.name, recording.time, labels, boxes, seen, camera_T_mesh, meshes, exact)
    evidence.validate()
    return Truth(clip, evidence)


def hand_track(side: str, keypoints: np.ndarray, poses: list[HandPose]) -> HandTrack:
    """A drawn hand's keypoints (T, 21, 3) m and pose parameters."""
    parameters = np.stack([pose.vector() for pose in poses])
    return HandTrack(keypoints, wrist_pose(keypoints, side), np.ones(keypoints.shape[:2]), MODEL, parameters)


def _evidence(recording: Recording, truth: Truth, level: Level, random: dict[str, np.random.Generator]) -> Evidence:
    """The truth as detectors of that level would see it."""
    true, camera = truth.evidence, recording.intrinsics
    mask = MaskNoise(camera, level, random["mask"])
    labels = np.stack([mask(picture) for picture in true.labels])
    keypoints, relative = {}, {}
    for side, exact in true.keypoints.items():
        pixels, confidence = noisy_keypoints(exact[..., 3:5], recording.time, camera, level, random["keypoints"])
        along = guessed_depth(exact[..., :3], recording.time, camera, level, random["along"])
        relative[side] = np.where((confidence > 0).any(axis=1, keepdims=True), along, np.nan)
        points = lifted(pixels, recording.depth, labels == LABELS[side], camera)
        keypoints[side] = np.concatenate([points, pixels, confidence[..., None]], axis=-1)
    object_pose = noisy_poses(true.object_pose, recording.time, level, random["object"])
    boxes = label_boxes(labels, ("object", *true.keypoints))
    made = recording.provenance
    found = Evidence(recording.name, recording.time, labels, boxes, keypoints, object_pose, {}, made, relative)
    found.validate()
    return found


def lifted(pixels: np.ndarray, depth: np.ndarray, mask: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Pixels (T, 21, 2) -> points (T, 21, 3) m of the surface seen there; NaN without depth, or outside of the mask."""
    known = np.isfinite(pixels).all(axis=-1)
    u, v = np.moveaxis(np.round(np.where(known[..., None], pixels, 0.0)).astype(int), -1, 0)
    frame = np.arange(len(pixels))[:, None]
    z = np.where(known & mask[frame, v, u], depth[frame, v, u], 0) * 1e-3
    return np.where((z > 0)[..., None], camera.backproject(pixels, z), np.nan)
