"""A known object in the images of one camera, in order: found, followed, lost and found again."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dexhot.geometry.boxes import window
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import transform
from dexhot.objects.asset import ObjectAsset
from dexhot.perception import mask_kernels
from dexhot.perception.appearance import ITS, NOT_ITS
from dexhot.perception.object_pose import LOST, SURE, DepthObjectPose, RigidModel, asset_model
from dexhot.perception.protocols import HandSighting, ObjectSighting
from dexhot.perception.segmentation import ModelMask, candidates, is_arm, marks, prompted

LEARN = 3  # images between learnings of the object's colours
CANDIDATES, RIVAL = 4, 0.8  # things that are compared; fraction of the best confidence that makes another one a rival
BAND = 0.07  # of the object's size in pixels, about its outline
CERTAIN = 0.8  # confidence after which no other thing is looked at, where the object's colours are known
OTHERS = 0.2  # fraction of a hand's colours that may be the object's where colours tell the one from the other
ALIKE = 0.5  # fraction of a thing's colours that must be the object's
RETRY = 5  # images between searches for an object that is lost


class ObjectTrack:
    """The object in one recording: found, followed, lost and found again."""

    def __init__(self, model: RigidModel, mask: ModelMask, prompt: np.ndarray | None = None):
        self.estimator, self.model, self.mask, self.prompt = DepthObjectPose(model), model, mask, prompt
        self.plane: Plane | None = None
        self.number = 0
        self.prompt_note = ""  # what became of a prompt that is not on one thing
        self.ambiguous = ""  # where more than one thing looks like the object, and none of them was taken
        self.hands: Sequence[HandSighting] = ()  # in the image to come: what continues one as its arm is no object
        self.segmented: np.ndarray | None = None  # (H, W) bool of the image to come, where a segmenter follows it
        self.guesses: Sequence[np.ndarray] = ()  # (7,) camera_T_mesh each, the best first, of a live image to come

    def __call__(
        self,
        camera: Intrinsics,
        depth: np.ndarray,
        time: float,
        hidden: np.ndarray,
        color: np.ndarray | None = None,
    ) -> tuple[ObjectSighting | None, float]:
        """The sighting, None while it is lost; and the best confidence. With `color` (H, W, 3) the object's colours are
        learned, and help to follow it and to find it again."""
        found, was_lost = None, self.estimator.lost
        if self.estimator.pose is not None:
            found = self.estimator.follow(camera, color, depth, time, hidden)
            if was_lost and not self.estimator.lost and color is not None:  # the place is filled again: with what?
                its = self.mask(found.pose, depth, hidden)
                self.estimator.lost = self.estimator.appearance.match(color, its) < ALIKE
        if self.estimator.lost:
            found = self._again(camera, depth, time, hidden, color) or found
        if color is not None and found is not None and found.confidence > SURE and self.number % LEARN == 0:
            self.estimator.appearance.learn(color, self.mask(found.pose, depth, hidden))
        self.number += 1
        if found is None:
            return None, 0.0
        return (None if self.estimator.lost else found), found.confidence

    def seen(
        self, pose: np.ndarray, depth: np.ndarray, hidden: np.ndarray, color: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W) bool: where the object at a pose is seen; along its outline its colours decide, if known, and against
        what hides it too, if that has other colours: a hand's mask closes over what is seen between its fingers."""
        mask, look = self.mask(pose, depth, hidden), self.estimator.appearance
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if color is None or not look.distinct or not len(rows):
            return mask
        margin = max(2, round(BAND * float(np.hypot(len(rows), len(columns)))))
        box = window(mask, margin)
        its, near = look.probability(color[box]), mask_kernels.dilate(mask[box], margin, True)
        if hidden.any() and look.match(color, hidden) > OTHERS:
            near &= ~hidden[box]
        else:
            near |= self.mask(pose, depth, np.zeros_like(hidden))[box]
        mask[box] = (near & (its > ITS)) | (mask[box] & (its > NOT_ITS))
        return mask

    def outline(self, sighting: ObjectSighting | None) -> np.ndarray | None:
        """(H, W) bool: where the object is, seen or hidden; None where that is not surely known."""
        if sighting is None or sighting.confidence < SURE:
            return None
        nothing = np.zeros((self.mask.camera.height, self.mask.camera.width))
        return self.mask(sighting.pose, nothing, nothing.astype(bool))

    def on(self, plane: Plane | None) -> None:
        """Take the table that the object may lie on; without one it is sought at the first search."""
        self.plane, self.estimator.table = plane, None if plane is None else plane.row

    def know_table(self, camera_T_world: np.ndarray, height: float) -> None:
        """The table's top is at z = height (m) in the world."""
        down, up = transform(camera_T_world, np.array([[0.0, 0.0, height], [0.0, 0.0, height + 1.0]]))
        self.on(Plane(up - down, float((up - down) @ down)))

    def _again(
        self, camera: Intrinsics, depth: np.ndarray, time: float, hidden: np.ndarray, color: np.ndarray | None
    ) -> ObjectSighting | None:
        """Look for a lost object: everywhere, in some images."""
        return self._search(camera, depth, time, hidden, color) if self.number % RETRY == 0 else None

    def _masks(self, camera: Intrinsics, depth: np.ndarray, hidden: np.ndarray) -> tuple[list[np.ndarray], bool]:
        """Where the object may be, the likeliest first; and whether somebody said so: a click, a box or a segmenter."""
        if self.segmented is not None:
            return [self.segmented & ~hidden], True
        found = candidates(camera, depth, hidden, self.plane, self.model.diameter)
        masks = [mask for mask in found if not any(is_arm(mask, hand, hidden) for hand in self.hands)]
        if self.number or self.prompt is None:
            return masks, False
        chosen = prompted(depth, self.prompt)
        marked = marks(self.prompt).astype(int)
        hits = np.array([mask[marked[:, 1], marked[:, 0]] for mask in masks]).reshape(len(masks), len(marked))
        self.prompt_note = note_on(marked, hits)
        on = [mask for mask, hit in zip(masks, hits) if hit.any()]
        return on or [chosen & ~hidden], True  # without the table below it

    def _search(
        self, camera: Intrinsics, depth: np.ndarray, time: float, hidden: np.ndarray, color: np.ndarray | None
    ) -> ObjectSighting | None:
        if self.plane is None:
            self.on(table_plane(camera, depth))
        masks, clicked = self._masks(camera, depth, hidden)
        look, found = self.estimator.appearance, []
        for mask in masks[:CANDIDATES]:
            sighting = self.estimator.search(camera, depth, mask, hidden)
            if sighting is not None:
                alike = 1.0 if color is None else min(1.0, look.match(color, mask) / ALIKE)
                found.append(replace(sighting, confidence=sighting.confidence * alike))
            if found and found[-1].confidence > CERTAIN and look.distinct:
                break
        if not found:
            return None
        best = max(found, key=lambda one: one.confidence)
        if best.confidence >= (LOST if clicked else SURE):
            if self.ambiguous or not (clicked or look.distinct):
                self.ambiguous = self._others(camera, best, found)
            if not self.ambiguous:
                self.estimator.pose, self.estimator.time, self.estimator.lost = best.pose, time, False
                self.estimator.velocity = np.zeros(6)
        return best

    def _others(self, camera: Intrinsics, best: ObjectSighting, found: list[ObjectSighting]) -> str:
        """Where else the object may be as well; "" for nowhere."""
        centre = self.model.centre

        def place(one: ObjectSighting) -> np.ndarray:
            return np.asarray(one.pose[:3, :3] @ centre + one.pose[:3, 3])

        rivals = [one for one in found if one.confidence > max(SURE, RIVAL * best.confidence)]
        rivals = [one for one in rivals if np.linalg.norm(place(one) - place(best)) > 0.5 * self.model.diameter]
        places = [camera.project(place(one)).round().astype(int) for one in (best, *rivals)]
        texts = [
            f"{u},{v} ({one.confidence:.2f})"
            for (u, v), one in zip(places, (best, *rivals))
            if 0 <= u < camera.width and 0 <= v < camera.height
        ]
        return ", ".join(texts) if len(texts) > 1 else ""


def note_on(marked: np.ndarray, hits: np.ndarray) -> str:
    """What to say of a prompt's marks (N, 2) px, of which `hits` (M, N) are on each of M things; "" if all are on
    one."""
    texts = [f"{u},{v}" for u, v in marked]
    beside = [text for k, text in enumerate(texts) if not hits[:, k].any()]
    if beside:
        done = "it was left out" if len(beside) < len(texts) else "the region of the same depth was tried"
        return f"the prompt at {' and '.join(beside)} was on nothing of the object's size above the table: {done}"
    if not hits.all(axis=1).any():
        return f"the prompts at {' and '.join(texts)} were on different things: the likelier one was taken"
    return ""


def object_track(asset: ObjectAsset, camera: Intrinsics, prompt: np.ndarray | None = None) -> ObjectTrack:
    """For an asset before a camera. Raises MeshError for one that no hand holds."""
    model = asset_model(asset)
    return ObjectTrack(model, ModelMask(camera, asset.vertices, asset.faces), prompt)
