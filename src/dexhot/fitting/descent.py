"""What the papers' recipes share: a loss of several terms, and first estimates of hands."""

from collections.abc import Callable, Sequence

import numpy as np

from dexhot.fitting.batch import BatchScene, Bodies, Unknowns
from dexhot.fitting.batch_terms import BatchTerm
from dexhot.fitting.batch_view import BatchView
from dexhot.fitting.coarse_hand import CoarseHand, start_from_mesh
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.geometry.cameras import Intrinsics
from dexhot.humans.skin import HandPose
from dexhot.progress import Report, unreported

Loss = Callable[[Unknowns], tuple[np.ndarray, Unknowns]]


def loss_of(
    bodies: Bodies, terms: Sequence[BatchTerm], camera: Intrinsics | None, fixed: Unknowns | None = None
) -> Loss:
    """The sum of the terms, (B,), and its gradient, as a function of the unknowns."""

    def loss(unknowns: Unknowns) -> tuple[np.ndarray, Unknowns]:
        scene = BatchScene(bodies, unknowns, camera, fixed)
        value = np.zeros(scene.count)
        for term in terms:
            value += term.add(scene)
        return value, scene.pull_back()

    return loss


def hand_start(
    bodies: Bodies, side: str, view: BatchView, mesh: CoarseHand | None, progress: Report = unreported
) -> Unknowns:
    """A hand's first estimate: from a regressor's meshes as in the papers, else from its 2D keypoints."""
    if mesh is None:
        return hand_from_pixels(bodies, side, view, progress)
    hand = bodies.hands[side]
    poses = start_from_mesh(hand, mesh)
    return bodies.unknowns_of(side, [hand.shaped()] * len(poses), poses)


def hand_from_pixels(bodies: Bodies, side: str, view: BatchView, progress: Report = unreported) -> Unknowns:
    """A hand of mean shape at the depth of its size, fitted to its 2D keypoints frame by frame: where a regressor such
    as FrankMocap is not at hand."""
    hand, pinhole = bodies.hands[side], view.camera.pinhole
    sightings = [
        Sighting(confidence, None, pixels, None, pinhole)
        for confidence, pixels in zip(view.confidence[side], view.pixels[side])
    ]
    found = fit_hand(
        hand,
        bodies.keypoint_table(side),
        sightings,
        shape=np.zeros(hand.shape_size),
        progress=lambda done, total: progress(done, total, f"the {side} hand by its keypoints, frames"),
    )
    poses = [HandPose.from_vector(x) for x in found.poses]
    return bodies.unknowns_of(side, [hand.shaped()] * len(poses), poses)
