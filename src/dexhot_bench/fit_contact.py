"""`dexhot bench fit`, contact refinement: HandyPriors' table IV, from random starts, with synthetic contacts.

Grasps are moments of GRAB clips made physical as `dexhot synth` does: a person's hand, whose contact is given, is
another than the model that is refined (bones +-4 %, bumps, another shape). With a copy of ContactPose also its grasps.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.fitting.contact import KnownGrasp, contact_of, perturbed, refine_contact, samples_of
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.scene import object_model
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.sdf_volume import CELLS, sdf_volume
from dexhot.humans.open_hand import open_hand
from dexhot.objects.asset import ObjectAsset
from dexhot.synthesis.clip import FINEST
from dexhot.synthesis.motion import make_physical, shape_of
from dexhot.synthesis.person import draw_person

PUBLISHED = {  # table IV, on ContactPose
    "ContactOpt": {"hand_joints_mm": 14.3, "hand_vertices_mm": 13.7, "object_vertices_mm": 36.7},
    "HandyPriors": {"hand_joints_mm": 14.3, "hand_vertices_mm": 13.6, "object_vertices_mm": 36.4},
}
MOMENTS, STARTS = 4, 4  # of a clip, and random starts of each
SPAN, RATE = 1.6, 10.0  # s in the middle of a clip, at Hz, that are made physical


@lru_cache(maxsize=2)
def clip_grasps(name: str, seed: int, moments: int = MOMENTS) -> list[KnownGrasp]:
    """Grasps of a clip of the cache, moments in which the hand touches the object. Raises ClipError without any."""
    from dexhot.datasets.library import load_clip
    from dexhot.objects.library import load_object

    trajectory = load_clip(name)
    return grasps_of(trajectory, load_object(trajectory.object_name), seed, moments)


@lru_cache(maxsize=2)
def parametric_grasps(kind: str, shape: str, seed: int, moments: int = MOMENTS) -> list[KnownGrasp]:
    """Grasps of a parametric clip, where GRAB is not in the cache."""
    from dexhot.datasets.parametric import generate

    trajectory, asset = generate(kind, shape, seed)[:2]
    return grasps_of(trajectory, asset, seed, moments)


def grasps_of(trajectory: HandObjectTrajectory, asset: ObjectAsset, seed: int, moments: int) -> list[KnownGrasp]:
    """Grasps of the middle of a clip. Raises ClipError without any."""
    side, hand = "right", open_hand("right")
    middle, half = len(trajectory.time) // 2, round(0.5 * SPAN / float(np.median(np.diff(trajectory.time))))
    part = trajectory.cut(max(0, middle - half), min(len(trajectory.time), middle + half))
    shape = shape_of(part, side)
    person = draw_person(np.random.default_rng(seed), side, shape)
    spacing = min(float(np.ptp(asset.vertices, axis=0).max()) / CELLS, FINEST)
    motion = make_physical(part, {side: person}, sdf_volume(asset.vertices, asset.faces, spacing), RATE)
    model, body, found = object_model(asset), person.hand.shaped(), []
    for t in np.unique(np.linspace(0, len(motion.time) - 1, moments).astype(int)):
        posed = body.posed(motion.poses[side][t])
        try:
            contact = contact_of(model, posed.vertices, motion.object_pose[t])
        except ClipError:
            continue
        keypoints = posed.keypoints(person.hand.table(hand.own_convention))
        found.append(
            KnownGrasp(f"{part.name}-{seed}/{t}", hand, shape, motion.poses[side][t], model, motion.object_pose[t],
                  posed.vertices, keypoints, contact)
        )  # fmt: skip
    if not found:
        raise ClipError(f"{trajectory.name}: the hand does not hold the object in the middle of the clip.")
    return found


def measure(grasps: Sequence[KnownGrasp], recipe: Recipe, starts: int = STARTS, seed: int = 0) -> dict[str, float]:
    """Errors after refinement, mean over grasps and starts."""
    every = [grasp for grasp in grasps for _ in range(starts)]
    bodies, known = samples_of(every, recipe.solver["components"])
    start = perturbed(bodies, known, recipe.solver, np.random.default_rng(seed))
    began = time.thread_time()
    scene = refine_contact(bodies, start, [grasp.contact for grasp in every], recipe)
    seconds = (time.thread_time() - began) / len(every)
    side = every[0].hand.side
    errors: list[dict[str, float]] = []
    for b, grasp in enumerate(every):
        one = scene.scene(b, side)
        assert one.model is not None
        pose = one.state.object_pose()
        placed = transform(pose, one.model.vertices)
        pairs = {
            "hand_joints_mm": (scene.keypoints(side)[b], grasp.keypoints),
            "hand_vertices_mm": (one.hand.vertices, grasp.vertices),
            "object_vertices_mm": (placed, transform(grasp.object_pose, one.model.vertices)),
            "joints_on_object_mm": (
                transform(inverse(pose), scene.keypoints(side)[b]),
                transform(inverse(grasp.object_pose), grasp.keypoints),
            ),
        }
        off = one.distances(one.hand.vertices)[0]
        errors.append(
            {name: 1e3 * float(np.linalg.norm(a - b, axis=1).mean()) for name, (a, b) in pairs.items()}
            | {"penetration_mm": 1e3 * max(0.0, -float(off.min()))}
        )
    means = {name: float(np.mean([one[name] for one in errors])) for name in errors[0]}
    return means | {"s_per_grasp": seconds}


def start_of(recipe: Recipe) -> Recipe:
    """The recipe without any term: the random starts themselves."""
    return recipe.without(recipe.terms)


def truth_of(recipe: Recipe) -> Recipe:
    """The true pose of the refined model, the least that the errors can be: its hand is not the person's."""
    still = dict.fromkeys(("hand_turn", "hand_shift", "hand_pose", "object_turn", "object_shift"), 0.0)
    return replace(start_of(recipe), solver=recipe.solver | still)


def contactpose(folder: Path, recipe: Recipe, most: int | None = None, starts: int = 1) -> dict[str, Any]:
    """Errors on a copy of ContactPose: of the starts and after refinement; means over grasps. Recordings that cannot be
    used are named."""
    from dexhot.datasets.contactpose import grasp_folders, read_grasps

    rows: dict[str, list[dict[str, float]]] = {"start": [], recipe.name: []}
    left_out = []
    for place in grasp_folders(folder)[:most]:
        try:
            for grasp in read_grasps(place):
                for name, one in (("start", start_of(recipe)), (recipe.name, recipe)):
                    rows[name].append(measure([grasp], one, starts))
        except ClipError as e:
            left_out.append(f"{place.parent.name}/{place.name}: {e}")
    means = {
        name: {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        for name, found in rows.items()
        if found
    }
    return {"grasps": len(rows["start"]), "rows": means, "left_out": left_out}
