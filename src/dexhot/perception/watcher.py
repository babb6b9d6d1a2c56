"""The estimators on one image of a clip after the other, and what each of them shows."""

from collections.abc import Mapping, Sequence

import numpy as np

from dexhot.data.labels import OBJECT
from dexhot.data.recording import Recording
from dexhot.errors import DexhotError
from dexhot.geometry.boxes import box_around, box_of
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import matrix_to_pose
from dexhot.perception.followed_masks import KnownMasks, PromptedMasks
from dexhot.perception.hand_meshes import MeshRows
from dexhot.perception.object_track import ObjectTrack
from dexhot.perception.protocols import (
    BoxDetector,
    BoxedHandKeypoints,
    HandKeypoints,
    HandMesh,
    HandSighting,
    ObjectSighting,
)
from dexhot.perception.segmentation import hand_mask
from dexhot.perception.sightings import LABEL, SeenHand, in_space
from dexhot.perception.skin_colour import SkinColour

TABLE = 30  # images after which the table is sought again: a camera may move
MOST_STRAYS, AT_ONCE = 0.5, 0.05  # fraction of all sightings that may be of the other side where there is one hand; and
# fraction of those in images that show the right one too
MASK_ALONE = 0.5  # score of the box of a segmenter's mask in an image without keypoints of that hand

Masks = Mapping[str, np.ndarray]  # (H, W) bool by name: a side, or "object"


class Watcher:
    """What is seen in the images of `recording`, each given to `look` once, in order: of the hands `sides`, and of the
    object of `track`, or that the segmenter's `masks` show. `perceive` names the estimators and what they replace."""

    def __init__(
        self,
        recording: Recording,
        sides: Sequence[str],
        prompts: Mapping[str, np.ndarray],
        hands: HandKeypoints | None,
        track: ObjectTrack | None,
        masks: PromptedMasks | KnownMasks | None = None,
        detector: BoxDetector | None = None,
        meshes: HandMesh | None = None,
    ):
        self.recording, self.camera, self.sides = recording, recording.intrinsics, tuple(sides)
        self.hands, self.track, self.masks, self.detector, self.meshes = hands, track, masks, detector, meshes
        self.marked = {name: where for name, where in prompts.items() if name in sides and where.shape == (4,)}
        self.table: Plane | None = None
        self.skin = SkinColour()
        self.sighting: ObjectSighting | None = None  # of the last image
        T = len(recording)
        self.labels = np.zeros((T, self.camera.height, self.camera.width), np.uint8)  # of a segmenter, and the object
        self.detections: dict[str, list[np.ndarray]] = {  # name -> T arrays (K, 5) of boxes, scores
            name: [np.zeros((0, 5)) for _ in range(T)] for name in (*self.sides, "object")
        }
        self.followed = {name: [np.zeros((0, 4))] * T for name in self.sides}  # boxes (K, 4) of the hands' keypoints
        self.hands_seen: dict[str, list[SeenHand]] = {name: [] for name in self.sides}
        self.strays: list[tuple[SeenHand, float]] = []  # and confidences, of a hand that was not asked for
        self.pose = np.full((T, 7), np.nan)  # of the object in the optical frame
        self.confidence = np.zeros(T)  # of that pose
        self.object_frames = 0  # with its pose; without a known object, with its mask by a segmenter
        self.meshes_kept = MeshRows()

    @property
    def prompt_note(self) -> str:
        """What became of the object's prompt, if it was not on one thing."""
        return self.track.prompt_note if self.track is not None else ""

    def look(self, k: int) -> None:
        """Image k of the recording. Raises DexhotError where several things look like the object."""
        color, depth = self.recording.color[k], self.recording.depth[k] * np.float32(1e-3)  # mm to m
        if k % TABLE == 0:
            self.table = table_plane(self.camera, depth) or self.table
            if self.table is not None and self.track is not None:
                self.track.on(self.table)
        found, masks = self._found(color)
        hidden = self._hands(k, color, depth, found, masks)
        self._object(k, color, depth, found, masks, hidden)
        if self.detector is not None:
            detected = self.detector(color)
            for name, rows in self.detections.items():
                rows[k] = np.reshape(detected.get(name, ()), (-1, 5))

    def _found(self, color: np.ndarray) -> tuple[Sequence[HandSighting], Masks]:
        """The hands by their keypoints, and the segmenter's masks. Where it can start without keypoints, these are
        looked for in the boxes of its masks; else it starts from them."""
        first = self.masks is not None and self.masks.first
        masks: Masks = self.masks(color) if self.masks is not None and first else {}
        if isinstance(self.hands, BoxedHandKeypoints):
            self.hands.boxes = {name: box_of(mask) for name, mask in masks.items() if name in self.sides} or self.marked
            self.marked = {}
        found = self.hands(color) if self.hands is not None else []
        if self.masks is not None and not first:
            masks = self.masks(color, [hand for hand in found if hand.side in self.sides])
        return found, masks

    def _hands(
        self, k: int, color: np.ndarray, depth: np.ndarray, found: Sequence[HandSighting], masks: Masks
    ) -> np.ndarray:
        """Keep the sightings of the sides that are asked for; (H, W) bool: where any hand may hide the object."""
        hidden = np.zeros(depth.shape, bool)
        for name in masks.keys() & LABEL.keys():
            hidden |= masks[name]
            self.labels[k][masks[name]] = LABEL[name]
        expected = [hand for hand in found if hand.side in self.sides]
        surfaces = {}
        if self.meshes is not None:
            surfaces = dict(zip(map(id, expected), self.meshes(self.camera, color, expected)))
        if found and self.track is not None:
            self.skin.beside(self.track.outline(self.sighting))
        for hand in found:
            mask = masks.get(hand.side)
            if mask is None:
                mask = hand_mask(self.camera, color, depth, hand, self.table, self.skin)
            hidden |= mask
            both = np.stack([box_of(mask, hand.pixels), box_around(hand.pixels)])
            drawn = np.zeros(0, np.int64) if hand.side in masks else np.flatnonzero(mask)
            mesh = self.meshes_kept.take(surfaces.get(id(hand)), hand.side)
            keypoints = in_space(self.camera, depth, hand, mask)
            one = SeenHand(k, both, keypoints, drawn, mesh, hand.relative_depth)
            if hand.side in self.sides:
                self._keep(hand.side, one, hand.confidence)
            else:
                self.strays.append((one, hand.confidence))
        for name in masks.keys() & set(self.sides):
            if masks[name].any() and not len(self.detections[name][k]):
                self.detections[name][k] = np.array([[*box_of(masks[name]), MASK_ALONE]])
                self.followed[name][k] = self.detections[name][k][:, :4]
        return hidden

    def _keep(self, side: str, one: SeenHand, confidence: float) -> None:
        """A sighting of a hand of this side, with its boxes."""
        k, rows, followed = one.frame, self.detections[side], self.followed[side]
        self.hands_seen[side].append(one)
        rows[k] = np.vstack([rows[k], [*one.boxes[0], confidence]])
        followed[k] = np.vstack([followed[k], one.boxes[1]])

    def rename(self) -> int:
        """Once all is seen, take the strays for the hand that was asked for, if it alone is in view: most sightings are
        of its side, and hardly ever are there two hands at once. Returns how many."""
        if not self.strays:
            return 0
        [side] = self.sides
        its = {one.frame for one in self.hands_seen[side]}
        alone = [(one, sure) for one, sure in self.strays if one.frame not in its]
        if len(self.strays) > MOST_STRAYS * (len(its) + len(self.strays)):
            return 0
        if len(self.strays) - len(alone) > AT_ONCE * len(self.strays):
            return 0
        for one, confidence in alone:
            self._keep(side, one, confidence)
        self.strays = []
        return len(alone)

    def _object(
        self,
        k: int,
        color: np.ndarray,
        depth: np.ndarray,
        found: Sequence[HandSighting],
        masks: Masks,
        hidden: np.ndarray,
    ) -> None:
        """Keep the object's pose, its mask and box: the segmenter's mask, or where the posed object is seen."""
        mask, score = masks.get("object", np.zeros(depth.shape, bool)), MASK_ALONE
        if self.track is None:
            self.object_frames += bool(mask.any())
        else:
            if "object" in masks:
                self.track.segmented = mask
            self.track.hands = found
            sighting, self.confidence[k] = self.track(self.camera, depth, float(self.recording.time[k]), hidden, color)
            self.sighting = sighting
            if self.track.ambiguous:
                raise DexhotError(
                    f"{self.recording.name}: more than one thing in frame {k} has the object's shape, at u,v "
                    f"(confidence) {self.track.ambiguous}. Click on the right one in the first frame: --prompt "
                    f"object:U,V.{about_prompt(self.prompt_note)}"
                )
            if sighting is not None:
                self.pose[k], score = matrix_to_pose(sighting.pose), sighting.confidence
                mask = mask if "object" in masks else self.track.seen(sighting.pose, depth, hidden, color)
                self.object_frames += 1
        self.labels[k][mask] = OBJECT
        if mask.any():
            self.detections["object"][k] = np.array([[*box_of(mask), score]])


def about_prompt(note: str) -> str:
    """The sentence about a prompt that was not on one thing; none without a note."""
    return f" In the first frame {note}." if note else ""
