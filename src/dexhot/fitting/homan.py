"""HOMan: a whole clip of one or two hands and an object at once, from colour images alone.

Hands start from their 2D keypoints (hand_from_pixels), the object from its masks (silhouette_search). Then Adam twice:
first without the terms that act locally, then with all.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, merged
from dexhot.fitting.batch_terms import BatchTerm, Silhouette, Vertices2D
from dexhot.fitting.batch_view import BatchView, view_of
from dexhot.fitting.contact_terms import Centroids, LocalContact, PairCollision, boxes_overlap
from dexhot.fitting.descent import hand_from_pixels, loss_of
from dexhot.fitting.motion_terms import PoseComponents, SizeDeviation, Smoothness
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.result import Scenes
from dexhot.fitting.scene import ObjectModel
from dexhot.fitting.silhouette_search import ObjectSearch, search_object
from dexhot.humans.skin import SkinnedHand
from dexhot.humans.zones import contact_zones

LOCAL = ("local_contact", "collision")  # terms of the second step alone
INDEPENDENT = ("smoothness", "centroid", "local_contact", "collision")  # terms that independent composition lacks


def fit_homan(
    recording: Recording,
    evidence: Evidence,
    model: ObjectModel,
    recipe: Recipe,
    hands: Sequence[SkinnedHand],
    convention: str,
) -> tuple[list[Scenes], ObjectSearch]:
    """Hands and object by frame, and what the object started from."""
    solver = recipe.solver
    bodies = Bodies({hand.side: hand for hand in hands}, model, convention, solver["components"])
    sides = list(bodies.hands)
    view = view_of(recording, evidence, sides, solver["pixels"])
    close = view_of(recording, evidence, sides, solver["pixels"], ["object"])
    search = search_object(bodies, close, solver)
    start = merged(search.unknowns)
    if solver["stand_in"]:
        start["object.scale"] = np.ones(1)
    for side in bodies.hands:
        start |= hand_from_pixels(bodies, side, view) | {f"{side}.scale": np.ones(1)}
    camera = view.camera
    first = BatchScene(bodies, start, close.small)
    seen = {side: camera.project(first.hand_vertices(side)) for side in bodies.hands}
    rates = {
        "turn": solver["turn_rate"],
        "fingers": solver["finger_rate"],
        "place": solver["place_rate"],
        "scale": solver["scale_rate"],
    }
    now = merged(start)
    for steps, left_out in ((solver["coarse_steps"], LOCAL), (solver["fine_steps"], ())):
        terms = terms_of(recipe, bodies, view, close, seen, left_out)
        now = adam(now, loss_of(bodies, terms, close.small), rates, steps).unknowns
    last = BatchScene(bodies, now, close.small)
    return [{side: last.scene(t, side) for side in bodies.hands} for t in range(len(view))], search


def terms_of(
    recipe: Recipe,
    bodies: Bodies,
    view: BatchView,
    close: BatchView,
    seen: dict[str, np.ndarray],
    left_out: Sequence[str],
) -> list[BatchTerm]:
    """What the recipe asks for; `close` is the view of the object alone, which alone is drawn; `seen` (T, V, 2) px are
    the first estimate's vertices."""
    zones = {side: list(contact_zones(hand).values()) for side, hand in bodies.hands.items()}
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "silhouette": partial(Silhouette, close),
        "vertices_2d": partial(Vertices2D, view, seen),
        "pca": PoseComponents,
        "size": SizeDeviation,
        "smoothness": Smoothness,
        "centroid": partial(Centroids, {side: boxes_overlap(view, side) for side in bodies.hands}),
        "local_contact": partial(LocalContact, zones),
        "collision": PairCollision,
    }
    return [kinds[name](**row) for name, row in recipe.terms.items() if name not in left_out]
