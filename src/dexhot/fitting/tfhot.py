"""TF-HOT: hand and object frame by frame with Adam on its loss (eq. 1), from its starts and with its schedule.

First frame: the object where a pose estimator sees it, kept there; the hand in random rotations, poses and shapes at
the centre of its cloud; the hypothesis of least 2D joint loss goes on. Further frames: both start from the frame
before, the object in the wild from the estimator.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dexhot.fitting import object_start
from dexhot.fitting.adam import adam
from dexhot.fitting.batch import BatchScene, Bodies, Unknowns, merged
from dexhot.fitting.batch_terms import (
    BatchTerm,
    CloudDistance,
    Joints2D,
    MaskRendering,
    SurfaceDistance,
    by_all,
    by_recipe,
)
from dexhot.fitting.batch_view import BatchView, views_of
from dexhot.fitting.contact_terms import BatchAttraction, BatchPenetration
from dexhot.fitting.descent import loss_of
from dexhot.fitting.frames import Frame, frame_view, thinning
from dexhot.fitting.hand_fit import LEAST_SEEN, rotations_over_so3
from dexhot.fitting.motion_terms import JointChange, ShapePrior
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.result import Scenes
from dexhot.fitting.scene import ObjectModel, object_at
from dexhot.fitting.scene_terms import FrameView
from dexhot.fitting.views import RecordedView, frames_by_all
from dexhot.geometry.rotations import matrix_to_6d
from dexhot.humans.skin import SkinnedHand
from dexhot.humans.zones import contact_zones
from dexhot.progress import Report, unreported

COMPONENTS = 45  # of the pose: all angles


def fit_tfhot(
    sights: Sequence[RecordedView],
    model: ObjectModel,
    recipe: Recipe,
    hand: SkinnedHand,
    convention: str,
    with_pose: bool,
    progress: Report = unreported,
) -> list[Scenes]:
    """Hand and object by frame; empty before both were first seen."""
    solver, side = recipe.solver, hand.side
    bodies = Bodies({side: hand}, model, convention, COMPONENTS)
    frames = frames_by_all(sights, side, with_pose)
    wholes = views_of(sights, [side], solver["pixels"])
    scenes: list[Scenes] = []
    last: BatchScene | None = None
    for t, frame in enumerate(frames):
        expected = None if last is None else last.keypoints(side)[0]
        views = [whole.frame(t) for whole in wholes]
        seen = _clouds(sights, (frame, *frame.others), views, side, expected, solver)
        visible = seen.confidence.sum() >= LEAST_SEEN and len(seen.hand_cloud) >= object_start.FEW
        if last is None and visible and len(seen.object_cloud) >= object_start.FEW:
            last = _first(bodies, side, views, seen, frame, recipe, progress)
        elif last is not None:
            last = _next(bodies, side, views, seen, frame, recipe, last)
            progress(t + 1, len(frames), "frames")
        scenes.append({} if last is None else {side: last.scene(0, side)})
    return scenes


def _clouds(
    sights: Sequence[RecordedView],
    frames: Sequence[Frame],
    views: Sequence[BatchView],
    side: str,
    expected: np.ndarray | None,
    solver: dict[str, Any],
) -> FrameView:
    """Gives each camera's view its clouds; the first one's frame with the clouds of all, where starts are sought."""
    found = []
    for sight, frame, view in zip(sights, frames, views):
        camera, there = sight.recording.intrinsics, None if expected is None else sight.at.points_there(expected)
        count = solver["hand_points"], solver["object_points"]
        seen = frame_view(frame, side, camera.pinhole, thinning(camera), there, *count)
        view.clouds = {side: [seen.hand_cloud], "object": [seen.object_cloud]}
        found.append(seen)
    hand, thing = (
        np.concatenate([sight.at.points_back(cloud) for sight, cloud in zip(sights, clouds)])
        for clouds in ([one.hand_cloud for one in found], [one.object_cloud for one in found])
    )
    confidence = np.max([one.confidence for one in found], axis=0)
    return replace(found[0], hand_cloud=hand, object_cloud=thing, confidence=confidence)


def _first(
    bodies: Bodies,
    side: str,
    views: Sequence[BatchView],
    seen: FrameView,
    frame: Frame,
    recipe: Recipe,
    progress: Report,
) -> BatchScene:
    """The best of N hypotheses of the hand with the object fixed."""
    solver, hand, view = recipe.solver, bodies.hands[side], views[0]
    assert bodies.model is not None and hand.prior is not None
    count, rng = solver["hypotheses"], np.random.default_rng(0)
    if frame.object_pose is not None and np.isfinite(frame.object_pose).all():
        placed = object_at(frame.object_pose)
    else:
        placed = object_start.search(bodies.model, seen, solver["object_hypotheses"], 1)[0][1]
    fixed = bodies.object_unknowns(placed[0][None], placed[1][None])
    fingers = hand.prior.fingers(solver["pose_spread"] * rng.normal(size=(count, 16))).reshape(count, 45)
    start: Unknowns = {
        f"{side}.turn": matrix_to_6d(rotations_over_so3(count)),
        f"{side}.place": np.zeros((count, 3)),
        f"{side}.fingers": bodies.fingers(side, fingers),
        f"{side}.shape": solver["shape_spread"] * rng.normal(size=(count, hand.shape_size)),
    }
    middle = BatchScene(bodies, start, view.small, fixed).hand_vertices(side).mean(axis=1)
    start[f"{side}.place"] = seen.hand_cloud.mean(axis=0) - middle
    loss = loss_of(bodies, terms_of(recipe, bodies, side, views, None), view.small, fixed)
    stage = "hypotheses of the hand, steps"
    found = adam(start, loss, _rates(solver), solver["first_steps"], progress=progress, stage=stage).unknowns
    scene = BatchScene(bodies, found, view.small, fixed)
    joints = by_all(views, [[Joints2D(one, 1.0)] for one in views])
    best = int(np.argmin(sum(term.add(scene) for term in joints)))
    chosen = {name: x[best : best + 1] for name, x in found.items()}
    return BatchScene(bodies, merged(chosen, fixed), view.small)


def _next(
    bodies: Bodies,
    side: str,
    views: Sequence[BatchView],
    seen: FrameView,
    frame: Frame,
    recipe: Recipe,
    last: BatchScene,
) -> BatchScene:
    """Hand and object together, from where they start in this frame."""
    assert bodies.model is not None
    start = merged(last.unknowns)
    if recipe.solver["estimator_start"]:
        placed = last.rotation[0], last.origin(0)
        if frame.object_pose is not None and np.isfinite(frame.object_pose).all():
            placed = object_at(frame.object_pose)
        elif len(seen.object_cloud) >= object_start.FEW:
            on_cloud = object_start.on_cloud(bodies.model, seen.object_cloud, placed[0])
            placed = object_start.best_of(bodies.model, seen, [placed, on_cloud])[1]
        start |= bodies.object_unknowns(placed[0][None], placed[1][None])
    terms = terms_of(recipe, bodies, side, views, last)
    loss = loss_of(bodies, terms, views[0].small)
    found = adam(start, loss, _rates(recipe.solver), recipe.solver["steps"], recipe.solver["stop"])
    return BatchScene(bodies, found.unknowns, views[0].small)


def _rates(solver: dict[str, Any]) -> dict[str, float]:
    return dict.fromkeys(("turn", "place", "fingers", "shape"), float(solver["rate"]))


def terms_of(
    recipe: Recipe, bodies: Bodies, side: str, views: Sequence[BatchView], last: BatchScene | None
) -> list[BatchTerm]:
    """What the recipe asks for in a frame, what is seen by every camera; `last` is the result of the frame before."""
    pads = [zone for name, zone in contact_zones(bodies.hands[side]).items() if name != "palm"]
    seen: list[dict[str, Callable[..., BatchTerm]]] = [
        {
            "joints_2d": partial(Joints2D, view),
            "render": partial(MaskRendering, view),
            "surface": partial(SurfaceDistance, view),
            "sdf": partial(CloudDistance, view),
        }
        for view in views
    ]
    kinds: dict[str, Callable[..., BatchTerm]] = {
        "penetration": BatchPenetration,
        "attraction": partial(BatchAttraction, {side: pads}),
        "shape": ShapePrior,
    }
    if last is not None:
        kinds["regularisation"] = partial(JointChange, {side: last.keypoints(side)[0]}, last.place[0])
    return by_recipe(recipe, views, seen, kinds)
