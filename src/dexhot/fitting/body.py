"""HandyPriors on people (section IV-E): a whole body and an object in a single image, from colour and masks alone.

    start = BodyState(rotation, position, pose, shape, object_pose)      # of a regressor such as PHOSA's
    fit = fit_body(recording, evidence, open_body(), object_model(asset), load_recipe("body"), start)

The body takes the place of the hand in the terms (in masks it has the label "right"). Several starts of one image are
solved at once and do not depend on each other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dexhot.data.files import UNREADABLE, replacing
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, FileFormatError
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, GivenSurface, Unknowns, by_6d
from dexhot.fitting.batch_terms import BatchTerm, MaskRendering, ObjectImage
from dexhot.fitting.batch_view import BatchView, coverage_overlap, view_of
from dexhot.fitting.contact_terms import BatchPenetration
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.recording_fit import without_depth
from dexhot.fitting.scene import ObjectModel
from dexhot.fitting.silhouette_search import search_object
from dexhot.geometry.poses import make_pose
from dexhot.geometry.raster.channels import CHANNELS
from dexhot.geometry.rotations import (
    matrix_from_6d,
    matrix_to_6d,
    matrix_to_quat,
    quat_multiply,
    quat_to_matrix,
    rotvec_to_quat,
)
from dexhot.humans.body import JOINTS, SkinnedBody
from dexhot.humans.skin import JOINTS as HAND_JOINTS
from dexhot.humans.skin import HandPose, PosedHand
from dexhot.progress import Report, unreported

SIDE = "right"  # the label of a person in masks
PHYSICS = ("penetration",)  # the paper's group, as far as a single image has it


@dataclass(frozen=True)
class BodyState:
    """B bodies with their objects, in the camera's optical frame."""

    rotation: np.ndarray  # (B, 3, 3) of the pelvis
    position: np.ndarray  # (B, 3) m of the pelvis
    pose: np.ndarray  # (B, 23, 3) rotation vectors of the other joints, rad
    shape: np.ndarray  # (B, S)
    object_pose: np.ndarray  # (B, 7) camera_T_mesh

    def __len__(self) -> int:
        return len(self.rotation)

    def posed(self, body: SkinnedBody) -> list[PosedHand]:
        """The bodies."""
        return [posed_body(body, *row) for row in zip(self.rotation, self.position, self.pose, self.shape)]

    def row(self, b: int) -> "BodyState":
        """One alone."""
        one = slice(b, b + 1)
        return BodyState(self.rotation[one], self.position[one], self.pose[one], self.shape[one], self.object_pose[one])


def posed_body(
    body: SkinnedBody, rotation: np.ndarray, position: np.ndarray, pose: np.ndarray, shape: np.ndarray
) -> PosedHand:
    """A body whose pelvis is at `position` (3,) m; SMPL's translation is the pelvis' shift from its rest."""
    person = body.shaped(shape)
    return person.posed(HandPose(rotation, position - person.joints[0], np.ascontiguousarray(pose)))


@dataclass(frozen=True)
class BodyFit:
    """What was found, from each start."""

    state: BodyState
    human_iou: np.ndarray  # (B,) of the rendered and the seen mask
    object_iou: np.ndarray  # (B,)
    losses: np.ndarray  # (steps, B)


def read_body_start(path: Path) -> BodyState:
    """One start from an npz: rotation (3, 3) of the pelvis, position (3,) m of it, pose (23, 3) rad, shape (10,) and
    object_pose (7,), all in the camera's optical frame; NaN in object_pose: search it by its mask.

    Raises FileFormatError naming the array and its shape.
    """
    shapes = {"rotation": (3, 3), "position": (3,), "pose": (JOINTS - 1, 3), "shape": (10,), "object_pose": (7,)}
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name].astype(float) for name in shapes}
    except UNREADABLE as e:
        raise FileFormatError(f"{path} is not a start of a body; it needs {', '.join(shapes)}.") from e
    for name, shape in shapes.items():
        unknown = name == "object_pose" and np.isnan(found[name]).all()
        if found[name].shape != shape or not (unknown or np.isfinite(found[name]).all()):
            raise FileFormatError(f"{path}: {name} has shape {found[name].shape}, expected finite numbers {shape}.")
    R, quat = found["rotation"], found["object_pose"][3:]
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or abs(np.linalg.norm(quat) - 1.0) > 1e-3:
        raise FileFormatError(f"{path}: rotation must be one, and object_pose needs a unit quaternion (wxyz).")
    return BodyState(**{name: x[None] for name, x in found.items()})


def write_body_state(state: BodyState, path: Path) -> None:
    """One row, as `read_body_start` reads it."""
    arrays = {name: getattr(state, name)[0] for name in ("rotation", "position", "pose", "shape", "object_pose")}
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **arrays)


def fit_body(
    recording: Recording,
    evidence: Evidence,
    body: SkinnedBody,
    model: ObjectModel,
    recipe: Recipe,
    start: BodyState,
    progress: Report = unreported,
) -> BodyFit:
    """Refined from the starts; without any term it is the start.

    An object's pose that is NaN is searched by its mask. Raises DexhotError for more than one image.
    """
    if len(recording) != 1:
        raise DexhotError(f"{recording.name} has {len(recording)} images; recipe {recipe.name} fits single ones.")
    solver = recipe.solver
    view = view_of(*without_depth(recording, evidence), [SIDE], solver["pixels"])
    if "image" in recipe.terms:
        model = replace(model, colors=mean_color(view, len(model.vertices)))
    bodies = Bodies({}, model, "", surfaces={SIDE: GivenSurface(len(body.vertices), body.faces)})
    now, losses = unknowns_of(bodies, start), np.zeros((0, len(start)))
    if np.isnan(start.object_pose).any():
        searched = search_object(bodies, view, solver, progress).unknowns
        now |= {name: np.tile(x, (len(start), 1)) for name, x in searched.items()}
    if recipe.terms:
        names = ("turn", "place", "pose", "shape")
        done = adam(
            now,
            body_loss(bodies, body, terms_of(recipe, view), recipe, view, start),
            {name: solver[f"{name}_rate"] for name in names},
            solver["steps"],
            progress=progress,
            stage="body and object, steps",
        )
        now, losses = done.unknowns, done.losses
    scene = body_scene(bodies, body, now, view)[0]
    found = BodyState(
        matrix_from_6d(now["body.turn"]),
        now["body.place"],
        now["body.pose"].reshape(-1, JOINTS - 1, 3),
        now["body.shape"],
        np.stack([make_pose(scene.origin(b), matrix_to_quat(scene.rotation[b])) for b in range(len(start))]),
    )
    drawn = scene.drawn().mask
    labels = (CHANNELS[name] for name in (SIDE, "object"))
    human, thing = (coverage_overlap(drawn[..., label], view.masks[..., label]) for label in labels)
    return BodyFit(found, human, thing, losses)


def terms_of(recipe: Recipe, view: BatchView) -> list[BatchTerm]:
    """What the recipe asks for of body and object together; the priors of the body alone are in `body_loss`."""
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "image": partial(ObjectImage, view),
        "mask": partial(MaskRendering, view),
        "penetration": BatchPenetration,
    }
    return [kinds[name](**row) for name, row in recipe.terms.items() if name in kinds]


def unknowns_of(bodies: Bodies, state: BodyState) -> Unknowns:
    """ "body.turn" (B, 6), "body.place" (B, 3) m of the pelvis, "body.pose" (B, 69), "body.shape", and the object's."""
    return {
        "body.turn": matrix_to_6d(state.rotation),
        "body.place": state.position.copy(),
        "body.pose": state.pose.reshape(len(state), -1).copy(),
        "body.shape": state.shape.copy(),
    } | bodies.object_unknowns(quat_to_matrix(state.object_pose[:, 3:]), state.object_pose[:, :3])


def body_scene(
    bodies: Bodies, body: SkinnedBody, unknowns: Unknowns, view: BatchView
) -> tuple[BatchScene, list[PosedHand]]:
    """The scene with the bodies' skin as surfaces, and the bodies."""
    turns = matrix_from_6d(unknowns["body.turn"])
    poses = unknowns["body.pose"].reshape(-1, JOINTS - 1, 3)
    posed = [posed_body(body, *row) for row in zip(turns, unknowns["body.place"], poses, unknowns["body.shape"])]
    skin = {f"{SIDE}.points": np.stack([one.vertices for one in posed])}
    objects = {name: x for name, x in unknowns.items() if name.startswith("object.")}
    return BatchScene(bodies, objects, view.small, skin), posed


def body_loss(
    bodies: Bodies, body: SkinnedBody, terms: list[BatchTerm], recipe: Recipe, view: BatchView, start: BodyState
) -> Callable[[Unknowns], tuple[np.ndarray, Unknowns]]:
    """The sum of the terms, (B,), and its gradient, as a function of the unknowns."""
    first = start.pose.reshape(len(start), -1)

    def loss(unknowns: Unknowns) -> tuple[np.ndarray, Unknowns]:
        scene, posed = body_scene(bodies, body, unknowns, view)
        value = np.zeros(scene.count)
        for term in terms:
            value += term.add(scene)
        found = scene.pull_back()
        by_skin = scene.hands[SIDE].by_points[:, HAND_JOINTS:]
        turns, places, poses, shapes = [], [], [], []
        for one, gradient in zip(posed, by_skin):
            by_pose, by_shape = one.pull_back(np.concatenate([np.zeros((JOINTS, 3)), gradient]))
            turns.append(by_pose[:3])
            places.append(by_pose[3:6])
            poses.append(by_pose[6:])
            # the pelvis stays where it is, whatever the shape
            shapes.append(by_shape - by_pose[3:6] @ body.joint_directions[0])
        found |= {
            "body.turn": by_6d(unknowns["body.turn"], np.stack(turns)),
            "body.place": np.stack(places),
            "body.pose": np.stack(poses),
            "body.shape": np.stack(shapes),
        }
        for name, key, goal in (("pose", "body.pose", first), ("shape", "body.shape", 0.0)):
            if name in recipe.terms:
                row = recipe.terms[name]
                off = unknowns[key] - goal
                factor = row["weight"] * row["scale"] / off.shape[1]
                value += factor * (off**2).sum(axis=1)
                found[key] = found[key] + 2.0 * factor * off
        return value, found

    return loss


def mean_color(view: BatchView, count: int) -> np.ndarray:
    """(V, 3) of the object's vertices in [0, 1], all alike: colours read where a wrong start draws a vertex would hold
    the object there."""
    covered: np.ndarray = np.asarray(view.masks[..., CHANNELS["object"]] > 0.9)
    color = view.images[covered].mean(axis=0) if covered.any() else np.full(3, 0.5)
    return np.tile(color.astype(float), (count, 1))


def perturbed_body(state: BodyState, solver: dict[str, float], count: int, rng: np.random.Generator) -> BodyState:
    """Starts around one state, of mean shape: `count` draws of the recipe's standard deviations."""

    def turned(quat: np.ndarray, sigma: float) -> np.ndarray:
        return quat_multiply(np.tile(quat, (count, 1)), rotvec_to_quat(sigma * rng.normal(size=(count, 3))))

    shift = solver["object_shift"] * rng.normal(size=(count, 3))
    return BodyState(
        quat_to_matrix(turned(matrix_to_quat(state.rotation[0]), solver["body_turn"])),
        state.position + solver["body_shift"] * rng.normal(size=(count, 3)),
        state.pose + solver["body_pose"] * rng.normal(size=(count, JOINTS - 1, 3)),
        np.zeros((count, state.shape.shape[1])),
        np.concatenate(
            [state.object_pose[:, :3] + shift, turned(state.object_pose[0, 3:], solver["object_turn"])], axis=1
        ),
    )
