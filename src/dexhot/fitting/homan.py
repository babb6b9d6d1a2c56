"""HOMan: a whole clip of one or two hands and an object at once, from colour images alone.

Hands start from a regressor's meshes, as the paper's from FrankMocap's, or from their 2D keypoints (hand_start), the
object from its masks or a regressor's poses (start_without_depth). Then Adam twice: first without the terms that act
locally, then with all.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dexhot.data.types import Evidence
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, Unknowns, merged
from dexhot.fitting.batch_terms import BatchTerm, Silhouette, Vertices2D, by_recipe
from dexhot.fitting.batch_view import BatchView, views_of
from dexhot.fitting.coarse_hand import coarse_hand, own_vertices
from dexhot.fitting.contact_terms import Centroids, LocalContact, PairCollision, boxes_overlap
from dexhot.fitting.descent import hand_start, loss_of
from dexhot.fitting.motion_terms import PoseComponents, SizeDeviation, Smoothness
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.result import Scenes
from dexhot.fitting.scene import ObjectModel
from dexhot.fitting.silhouette_search import ObjectStart
from dexhot.fitting.start_without_depth import start_object
from dexhot.fitting.views import RecordedView
from dexhot.humans.skin import SkinnedHand
from dexhot.progress import Report, unreported

LOCAL = ("local_contact", "collision")  # terms of the second step alone
INDEPENDENT = ("smoothness", "centroid", "local_contact", "collision")  # terms that independent composition lacks


def fit_homan(
    sights: Sequence[RecordedView],
    model: ObjectModel,
    recipe: Recipe,
    hands: Sequence[SkinnedHand],
    convention: str,
    regressed: np.ndarray | None = None,
    progress: Report = unreported,
) -> tuple[list[Scenes], ObjectStart]:
    """Hands and object by frame, and what the object started from; starts are those of the first camera.
    `regressed`: as `start_object` takes it."""
    solver = recipe.solver
    bodies = Bodies({hand.side: hand for hand in hands}, model, convention, solver["components"])
    sides = list(bodies.hands)
    views = views_of(sights, sides, solver["pixels"])
    closes = views_of(sights, sides, solver["pixels"], ["object"])
    view, close = views[0], closes[0]
    begun = start_object(bodies, close, solver, regressed, progress)
    start = merged(begun.unknowns)
    if solver["stand_in"]:
        start["object.scale"] = np.ones(1)
    hands_seen = [hands_from(bodies, one, sight.evidence, progress) for one, sight in zip(views, sights)]
    start |= hands_seen[0]
    seen = [first_pixels(bodies, one, sight.evidence, hand) for one, sight, hand in zip(views, sights, hands_seen)]
    rates = {
        "turn": solver["turn_rate"],
        "fingers": solver["finger_rate"],
        "place": solver["place_rate"],
        "scale": solver["scale_rate"],
    }
    now = merged(start)
    for steps, left_out, stage in (
        (solver["coarse_steps"], LOCAL, "all frames together, steps"),
        (solver["fine_steps"], (), "all frames together with contact, steps"),
    ):
        terms = terms_of(recipe, bodies, views, closes, seen, left_out)
        loss = loss_of(bodies, terms, close.small)
        now = adam(now, loss, rates, steps, progress=progress, stage=stage).unknowns
    last = BatchScene(bodies, now, close.small)
    return [{side: last.scene(t, side) for side in bodies.hands} for t in range(len(view))], begun


def hands_from(bodies: Bodies, view: BatchView, evidence: Evidence, progress: Report = unreported) -> Unknowns:
    """The hands' first estimate by one camera, in its frame."""
    found: Unknowns = {}
    for side in bodies.hands:
        start = hand_start(bodies, side, view, coarse_hand(evidence, side), progress)
        found |= start | {f"{side}.scale": np.ones(1)}
    return found


def first_pixels(bodies: Bodies, view: BatchView, evidence: Evidence, start: Unknowns) -> dict[str, np.ndarray]:
    """(T, V, 2) px by side: where the first estimate's vertices are; those of meshes of the hand's own topology, where
    there are any."""
    scene, seen = BatchScene(bodies, start, None), {}
    for side, hand in bodies.hands.items():
        vertices, mesh = scene.hand_vertices(side), coarse_hand(evidence, side)
        seen[side] = view.camera.project(vertices if mesh is None else own_vertices(hand, mesh, vertices))
    return seen


def terms_of(
    recipe: Recipe,
    bodies: Bodies,
    views: Sequence[BatchView],
    closes: Sequence[BatchView],
    seen: Sequence[dict[str, np.ndarray]],
    left_out: Sequence[str],
) -> list[BatchTerm]:
    """What the recipe asks for: what is seen by every camera, the rest once. `closes` are the views of the object,
    which alone is drawn; `seen` (T, V, 2) px are the vertices of each camera's own first estimate."""
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "pca": PoseComponents,
        "size": SizeDeviation,
        "smoothness": Smoothness,
        "centroid": partial(Centroids, {side: boxes_overlap(views[0], side) for side in bodies.hands}),
        "local_contact": LocalContact,
        "collision": PairCollision,
    }
    own: list[dict[str, Callable[..., BatchTerm]]] = [
        {"silhouette": partial(Silhouette, close), "vertices_2d": partial(Vertices2D, view, pixels)}
        for view, close, pixels in zip(views, closes, seen)
    ]
    return by_recipe(recipe, closes, own, {name: kind for name, kind in kinds.items() if name not in left_out})
