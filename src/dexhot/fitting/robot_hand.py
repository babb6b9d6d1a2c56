"""HandyPriors on a robot's hand (section IV-A): the joints are known, the object's pose is found from colour and masks.

    motion = read_robot_motion(Path("joints.npz"))
    evidence = fit_robot_hand(recording, evidence, object_model(asset), load_recipe("robot_hand"), motion)

The object starts from its masks alone or from a regressor's poses (start_without_depth); the hand, drawn from its
joints, hides it and is touched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mujoco
import numpy as np

from dexhot.data.files import UNREADABLE
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import ClipError, FileFormatError
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, GivenSurface, merged
from dexhot.fitting.batch_terms import BatchTerm, MaskRendering, ObjectImage, by_recipe
from dexhot.fitting.batch_view import BatchView, view_of, views_of
from dexhot.fitting.contact_terms import BatchPenetration
from dexhot.fitting.descent import loss_of
from dexhot.fitting.handypriors import vertex_colors
from dexhot.fitting.motion_terms import Consistency, Oscillation, Sliding
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.recording_fit import without_depth
from dexhot.fitting.scene import ObjectModel, thinned
from dexhot.fitting.start_without_depth import start_object
from dexhot.fitting.views import RecordedView, recorded_views
from dexhot.geometry import triangles
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_quat, slerp
from dexhot.progress import Report, unreported
from dexhot.robots.coupling import Coupled
from dexhot.robots.mjcf import VISUAL_GROUP
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.simulation.geom_meshes import body_parts

SIDE = "right"  # the label of a robot's hand in masks
SECTIONS = 12  # of a cylinder
GAP = 0.1  # s by which the joints' file may begin later or end earlier than the recording


@dataclass(frozen=True)
class RobotMotion:
    """A robot's hand over time."""

    hand: str  # argument of `load_hand`
    time: np.ndarray  # (T,) s, the recording's clock
    q: np.ndarray  # (T, n) rad, in joint order
    world_T_palm: np.ndarray  # (T, 7)

    def at(self, time: np.ndarray) -> "RobotMotion":
        """Interpolated at times (N,) s. Raises ClipError where there is no motion at some of them."""
        if time[0] < self.time[0] - GAP or time[-1] > self.time[-1] + GAP:
            raise ClipError(
                f"the joints are known from {self.time[0]:.2f} to {self.time[-1]:.2f} s, the recording goes from "
                f"{time[0]:.2f} to {time[-1]:.2f} s: both must have the same clock."
            )
        when = np.clip(time, self.time[0], self.time[-1])
        columns = [np.interp(when, self.time, x) for x in np.concatenate([self.q, self.world_T_palm[:, :3]], axis=1).T]
        n = self.q.shape[1]
        palm = make_pose(np.stack(columns[n:], axis=1), slerp(self.time, self.world_T_palm[:, 3:], when))
        return RobotMotion(self.hand, time, np.stack(columns[:n], axis=1), palm)


def read_robot_motion(path: Path) -> RobotMotion:
    """From an npz with hand (a name or the path of a hand.yaml), time (T,), q (T, n) and world_T_palm (T, 7). Raises
    FileFormatError naming the array and its shape."""
    try:
        with np.load(path, allow_pickle=False) as file:
            name, time = str(file["hand"]), file["time"].astype(float)
            q, palm = file["q"].astype(float), file["world_T_palm"].astype(float)
    except UNREADABLE as e:
        raise FileFormatError(
            f"{path} is not a file of a robot's joints; it needs hand, time (T,), q (T, n) and world_T_palm (T, 7)."
        ) from e
    n, T = len(load_hand(name).joints), len(time)
    for what, x, shape in (("time", time, (T,)), ("q", q, (T, n)), ("world_T_palm", palm, (T, 7))):
        if x.shape != shape or T < 2 or not np.isfinite(x).all():
            raise FileFormatError(f"{path}: {what} has shape {x.shape}, expected finite numbers {shape}, T at least 2.")
    if not (np.diff(time) > 0).all() or not np.allclose(np.linalg.norm(palm[:, 3:], axis=1), 1.0, atol=1e-3):
        raise FileFormatError(f"{path}: time must increase, and world_T_palm needs unit quaternions (wxyz).")
    return RobotMotion(name, time, q, palm)


class RobotSkin:
    """The visible surface of a robot's hand."""

    def __init__(self, hand: RobotHand):
        self.model = hand.spec().compile()
        self.data, self.coupled = mujoco.MjData(self.model), Coupled(self.model)
        self.order = [self.model.joint(name).qposadr[0] for name in hand.joint_names]
        parts = body_parts(self.model, np.flatnonzero(self.model.geom_group == VISUAL_GROUP), SECTIONS)
        self.parts = [(part.body, *thinned(part.vertices, part.faces)) for part in parts]
        vertices, faces = triangles.merged([(vertices, faces) for _, vertices, faces in self.parts])
        self.surface = GivenSurface(len(vertices), np.ascontiguousarray(faces, np.int64))

    def points(self, q: np.ndarray) -> np.ndarray:
        """(V, 3) m in the palm's frame, at q (n,) rad."""
        self.data.qpos[self.order] = q
        self.coupled.follow(self.data.qpos)
        mujoco.mj_kinematics(self.model, self.data)
        poses = make_pose(self.data.xpos, self.data.xquat)
        palm_T_world = inverse(poses[self.model.body("palm").id])
        placed = [transform(poses[body], vertices) for body, vertices, _ in self.parts]
        moved: np.ndarray = transform(palm_T_world, np.concatenate(placed))
        return moved


def seen_points(skin: RobotSkin, motion: RobotMotion, world_T_camera: np.ndarray) -> np.ndarray:
    """(T, V, 3) m of the robot's surface in the camera's frame."""
    camera_T_palm = compose(inverse(world_T_camera), motion.world_T_palm)
    return np.stack([transform(pose, skin.points(q)) for pose, q in zip(camera_T_palm, motion.q)])


def fit_robot_hand(
    recording: Recording | Sequence[Recording],
    evidence: Evidence | Sequence[Evidence],
    model: ObjectModel,
    recipe: Recipe,
    motion: RobotMotion,
    regressed: np.ndarray | None = None,
    progress: Report = unreported,
) -> Evidence:
    """The evidence with the object's poses that were found; its provenance says whether they are ambiguous. Of several
    recordings of the same moments by calibrated cameras it is the first one's, from which the object starts.

    `regressed` (T, 7): camera_T_mesh of a regressor from its colour images, NaN where it gave none; None: search.

    Raises ClipError without the camera's pose, for joints of other times, and where no frame shows the object.
    """
    recordings = [recording] if isinstance(recording, Recording) else list(recording)
    evidences = [evidence] if isinstance(evidence, Evidence) else list(evidence)
    recording, evidence = recordings[0], evidences[0]
    if recording.world_T_camera is None:
        raise ClipError(f"{recording.name}: where the robot's hand is needs world_T_camera (docs/capture.md).")
    sights = [
        RecordedView(*without_depth(one.recording, one.evidence), one.at)
        for one in recorded_views(recordings, evidences)
    ]
    skin = RobotSkin(load_hand(motion.hand))
    fixed = {f"{SIDE}.points": seen_points(skin, motion.at(recording.time), recording.world_T_camera)}
    solver, first = recipe.solver, sights[0]
    views = views_of(sights, [SIDE], solver["pixels"])
    view = views[0]
    bodies = Bodies({}, model, "", surfaces={SIDE: skin.surface})
    around = view_of(first.recording, first.evidence, [SIDE], solver["pixels"], ["object"])
    begun = start_object(bodies, around, solver, regressed, progress)
    now = merged(begun.unknowns)
    if "image" in recipe.terms:
        colors = vertex_colors(BatchScene(bodies, now, view.small, fixed), view)
        bodies = replace(bodies, model=replace(model, colors=colors))
    if recipe.terms:  # without any it is the start
        rates = {"turn": solver["turn_rate"], "place": solver["place_rate"]}
        loss = loss_of(bodies, terms_of(recipe, views), view.small, fixed)
        stage = "all frames together, steps"
        now = adam(now, loss, rates, solver["steps"], progress=progress, stage=stage).unknowns
    last = BatchScene(bodies, now, view.small)
    poses = [make_pose(last.origin(t), matrix_to_quat(last.rotation[t])) for t in range(len(view))]
    hand = Path(motion.hand).parent.name or motion.hand  # of a hand.yaml its folder's name: files hold no paths
    fitted = {"recipe": recipe.name, "terms": list(recipe.terms), "hand": hand} | begun.figures()
    made = evidence.provenance | {"fit": fitted, "object": model.name}
    return replace(evidence, object_pose=np.stack(poses), provenance=made)


def terms_of(recipe: Recipe, views: Sequence[BatchView]) -> list[BatchTerm]:
    """What the recipe asks for: what is seen by every camera, physics once."""
    seen: list[dict[str, Callable[..., BatchTerm]]] = [
        {"image": partial(ObjectImage, view), "mask": partial(MaskRendering, view, hand=0.0)}  # the hand is where it is
        for view in views
    ]
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "sliding": Sliding,
        "penetration": BatchPenetration,
        "consistency": Consistency,
        "oscillation": Oscillation,
    }
    return by_recipe(recipe, views, seen, kinds)
