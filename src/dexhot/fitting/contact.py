"""HandyPriors' contact refinement (section IV-D): hand and object are moved to given contact, from any start.

    grasps = [KnownGrasp(name, hand, shape, pose, model, object_pose, vertices, keypoints, contact_of(...))]
    bodies, known = samples_of(grasps)
    start = perturbed(bodies, known, recipe.solver, rng)
    scene = refine_contact(bodies, start, [grasp.contact for grasp in grasps], recipe)     # BatchScene of all of them

Contact does not tell where in the world hand and object are: only the hand's place on the object is determined.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dexhot.errors import ClipError
from dexhot.fitting import kernels
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, Unknowns, merged
from dexhot.fitting.batch_terms import BatchTerm
from dexhot.fitting.contact_terms import TOUCHES, BatchPenetration, KnownContact, contact_values
from dexhot.fitting.descent import loss_of
from dexhot.fitting.motion_terms import PoseComponents
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.scene import ObjectModel
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import matrix_from_6d, matrix_to_6d, quat_to_matrix, rotvec_to_quat
from dexhot.humans.skin import HandPose, SkinnedHand

NEAR = 0.004  # m of the object within which a vertex's normal is given, and counts as holding
FEWEST = 10  # such vertices, below which contact determines nothing


@dataclass(frozen=True)
class Contact:
    """What is known of one hand's contact with an object."""

    values: np.ndarray  # (V,) min(1 / s, 1) of each vertex of the hand, s its distance in mm; 1 inside
    normals: np.ndarray  # (V, 3) outward unit normals of the object at vertices near it, in its mesh frame; else 0


@dataclass(frozen=True)
class KnownGrasp:
    """A hand that holds an object, as it truly is, all in one frame."""

    name: str
    hand: SkinnedHand  # the model that is refined
    shape: np.ndarray  # (S,)
    pose: HandPose
    model: ObjectModel
    object_pose: np.ndarray  # (7,)
    vertices: np.ndarray  # (V, 3) m, of the true hand, which may be another than the refined one of this pose
    keypoints: np.ndarray  # (21, 3) m, in the hand model's own convention
    contact: Contact


def contact_of(model: ObjectModel, vertices: np.ndarray, object_pose: np.ndarray) -> Contact:
    """Of a hand with `vertices` (V, 3) and the object at (7,), both in one frame. Raises ClipError for a hand that does
    not hold it."""
    local = np.ascontiguousarray(transform(inverse(object_pose), vertices))
    found, slopes = np.empty(len(local)), np.empty_like(local)
    kernels.distances_beyond(local, *model.volume, found, slopes)
    near = found <= NEAR
    if near.sum() < FEWEST:
        raise ClipError(
            f"{near.sum()} vertices of the hand are within {1e3 * NEAR:g} mm of {model.name}; contact refinement needs "
            f"{FEWEST}."
        )
    length = np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-9)
    return Contact(contact_values(found), np.where(near[:, None], slopes / length, 0.0))


def samples_of(grasps: Sequence[KnownGrasp], components: int = 45) -> tuple[Bodies, Unknowns]:
    """Bodies and unknowns of grasps of the same hand model and object."""
    first = grasps[0]
    hand, side = first.hand, first.hand.side
    bodies = Bodies({side: hand}, first.model, hand.own_convention, components)
    people = [hand.shaped(grasp.shape) for grasp in grasps]
    poses = np.stack([grasp.object_pose for grasp in grasps])
    known = bodies.unknowns_of(side, people, [grasp.pose for grasp in grasps])
    known |= bodies.object_unknowns(quat_to_matrix(poses[:, 3:]), poses[:, :3])
    return bodies, known | {f"{side}.shape": np.stack([person.shape for person in people])}


def perturbed(bodies: Bodies, known: Unknowns, solver: Mapping[str, Any], rng: np.random.Generator) -> Unknowns:
    """Unknowns at random around `known`, as the recipe's `solver` says."""
    found = merged(known)
    for name, x in known.items():
        body, _, kind = name.rpartition(".")
        what = "object" if body == "object" else "hand"
        if kind == "turn":
            turn = quat_to_matrix(rotvec_to_quat(solver[f"{what}_turn"] * rng.normal(size=(len(x), 3))))
            found[name] = matrix_to_6d(matrix_from_6d(x) @ turn)
        elif kind == "place":
            found[name] = x + solver[f"{what}_shift"] * rng.normal(size=x.shape)
        elif kind == "fingers":
            prior = bodies.hands[body].prior
            assert prior is not None
            bent = solver["hand_pose"] * rng.normal(size=(len(x), len(prior.components))) @ prior.components
            found[name] = bodies.fingers(body, bodies.angles(body, x) + bent)
    return found


def refine_contact(bodies: Bodies, start: Unknowns, contacts: Sequence[Contact], recipe: Recipe) -> BatchScene:
    """One hand and the object of each sample of `start`, whose contact is known; the hands' shapes are those given."""
    side = next(iter(bodies.hands))
    solver = recipe.solver
    fixed = {name: x for name, x in start.items() if name.endswith((".shape", ".scale"))}
    moving = {name: x for name, x in start.items() if name not in fixed}
    rates = {"turn": solver["turn_rate"], "place": solver["place_rate"], "fingers": solver["finger_rate"]}
    stages = solver["stages"] if recipe.terms else 0  # without any term it is the start
    for reach in np.geomspace(max(solver["widest"], TOUCHES), TOUCHES, stages):
        loss = loss_of(bodies, terms_of(recipe, side, contacts, float(reach)), None, fixed)
        moving = adam(moving, loss, rates, solver["steps"]).unknowns
    return BatchScene(bodies, moving, None, fixed)


def terms_of(recipe: Recipe, side: str, contacts: Sequence[Contact], reach: float) -> list[BatchTerm]:
    """What the recipe asks for, with contact values of `reach` m."""
    values = np.stack([contact.values for contact in contacts])
    normals = np.stack([contact.normals for contact in contacts])
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "contact": partial(KnownContact, {side: values}, {side: normals}, reach=reach),
        "penetration": BatchPenetration,
        "pca": PoseComponents,
    }
    return [kinds[name](**row) for name, row in recipe.terms.items()]
