"""HandyPriors, offline: a whole clip of a hand and an object at once, from colour images alone.

The first estimate, in the paper that of pretrained networks, is a hand of a regressor's meshes if the evidence has any,
else one fitted to its 2D keypoints, and an object at a regressor's poses, or found by its masks. Adam then refines both
by the rendered image and masks, and by contact and smoothness.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, merged
from dexhot.fitting.batch_terms import BatchTerm, MaskRendering, ObjectImage, by_recipe
from dexhot.fitting.batch_view import BatchView, view_of, views_of
from dexhot.fitting.coarse_hand import coarse_hand
from dexhot.fitting.contact_terms import BatchPenetration
from dexhot.fitting.descent import hand_start, loss_of
from dexhot.fitting.motion_terms import Consistency, Oscillation, Sliding
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.result import Scenes
from dexhot.fitting.scene import ObjectModel
from dexhot.fitting.silhouette_search import ObjectStart
from dexhot.fitting.start_without_depth import start_object
from dexhot.fitting.views import RecordedView
from dexhot.geometry.raster.channels import CHANNELS
from dexhot.humans.skin import SkinnedHand
from dexhot.progress import Report, unreported

RENDER = ("image", "mask")
PHYSICS = ("sliding", "penetration", "consistency", "oscillation")
COLOUR_FRAMES = 8  # of which the object's colours are the median


def fit_handypriors(
    sights: Sequence[RecordedView],
    model: ObjectModel,
    recipe: Recipe,
    hand: SkinnedHand,
    convention: str,
    regressed: np.ndarray | None = None,
    progress: Report = unreported,
) -> tuple[list[Scenes], ObjectStart]:
    """Hand and object by frame, and what the object started from; starts and colours are the first camera's.
    `regressed`: as `start_object` takes it."""
    solver, side = recipe.solver, hand.side
    bodies = Bodies({side: hand}, model, convention)
    views = views_of(sights, [side], solver["pixels"])
    view, first = views[0], sights[0]
    close = view_of(first.recording, first.evidence, [side], solver["pixels"], ["object"])
    begun = start_object(bodies, close, solver, regressed, progress)
    now = merged(begun.unknowns, hand_start(bodies, side, view, coarse_hand(first.evidence, side), progress))
    if "image" in recipe.terms:
        colored = replace(model, colors=vertex_colors(BatchScene(bodies, now, view.small), view))
        bodies = Bodies({side: hand}, colored, convention)
    rates = {"turn": solver["turn_rate"], "fingers": solver["finger_rate"], "place": solver["place_rate"]}
    if recipe.terms:  # without any it is the first estimate
        loss = loss_of(bodies, terms_of(recipe, views), view.small)
        stage = "all frames together, steps"
        now = adam(now, loss, rates, solver["steps"], progress=progress, stage=stage).unknowns
    last = BatchScene(bodies, now, view.small)
    return [{side: last.scene(t, side)} for t in range(len(view))], begun


def terms_of(recipe: Recipe, views: Sequence[BatchView]) -> list[BatchTerm]:
    """What the recipe asks for: what is seen by every camera, physics once."""
    seen: list[dict[str, Callable[..., BatchTerm]]] = [
        {"image": partial(ObjectImage, view), "mask": partial(MaskRendering, view)} for view in views
    ]
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "sliding": Sliding,
        "penetration": BatchPenetration,
        "consistency": Consistency,
        "oscillation": Oscillation,
    }
    return by_recipe(recipe, views, seen, kinds)


def vertex_colors(scene: BatchScene, view: BatchView) -> np.ndarray:
    """(V, 3) of the object's mesh in [0, 1]: what the images show at each vertex where it is seen, the median over some
    frames; the object's mean colour where it never is. For meshes that come without colours."""
    assert scene.model is not None
    camera = view.small
    masks: np.ndarray = view.masks[..., CHANNELS["object"]]
    size = len(scene.model.vertices)
    found = np.full((COLOUR_FRAMES, size, 3), np.nan)
    render = scene.drawn("object")
    for row, t in enumerate(np.unique(np.linspace(0, scene.count - 1, COLOUR_FRAMES).astype(int))):
        points = scene.object_vertices[t]
        pixels = np.round(camera.project(points)).astype(int)
        inside: Any = (pixels >= 0).all(axis=1) & (pixels < [camera.width, camera.height]).all(axis=1)
        u, v = np.where(inside[:, None], pixels, 0).T
        front = inside & (points[:, 2] < render.depth[t, v, u] + 0.005) & (masks[t, v, u] > 0.9)
        found[row][front] = view.images[t, v, u][front]
    covered: Any = masks > 0.9
    mean = view.images[covered].mean(axis=0) if covered.any() else np.full(3, 0.5)
    known: Any = np.isfinite(found).any(axis=(0, 2))
    colors = np.tile(mean, (size, 1)).astype(float)
    colors[known] = np.nanmedian(found[:, known], axis=0)
    return colors
