"""Runs the estimators over a Recording and collects the Evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dexhot.data.keypoints import OTHER_SIDE
from dexhot.data.labels import LABELS
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.geometry.boxes import box_around
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import matrix_to_pose, transform
from dexhot.perception.box_tracks import FITS, overlaps, track_boxes
from dexhot.perception.estimated_track import EstimatedTrack
from dexhot.perception.followed_masks import KnownMasks, PromptedMasks
from dexhot.perception.hand_meshes import MeshRows
from dexhot.perception.object_pose import SURE
from dexhot.perception.object_track import ObjectTrack
from dexhot.perception.prompts import Prompts, listed
from dexhot.perception.protocols import (
    BoxDetector,
    BoxedHandKeypoints,
    HandKeypoints,
    HandMesh,
    HandSighting,
    ObjectPose,
    Segmenter,
)
from dexhot.perception.segmentation import check_inside, hand_mask

RIGHT, OBJECT, LEFT = LABELS["right"], LABELS["object"], LABELS["left"]
LABEL = {"right": RIGHT, "left": LEFT}
TABLE = 30  # images after which the table is sought again: a camera may move
SPREAD = 0.12  # m between a keypoint's depth and the hand's median
BESIDE, GUESSED = 3, 0.3  # px from the hand's mask up to which a keypoint is on it; of a confidence, beside it
MASK_ALONE = 0.5  # score of the box of a segmenter's mask in an image without keypoints of that hand
WRONG_SIDE = 0.8  # fraction of the sightings of the other side that refuses a chosen side


@dataclass
class Seen:
    """Figures of a run beside its Evidence."""

    hand_frames: dict[str, int] = field(default_factory=dict)  # side -> frames with that hand
    other_hands: int = 0  # frames with a hand that was not asked for
    object_frames: int = 0  # with its pose; without a known object, with its mask by a segmenter
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) of the object's pose
    beside: int = 0  # sightings of an expected hand that were elsewhere than its track
    detections: dict[str, list[np.ndarray]] = field(default_factory=dict)  # name -> T arrays (K, 5) of boxes, scores
    notes: list[str] = field(default_factory=list)
    prompt: str = ""  # what became of one that was not on one thing


@dataclass
class SeenHand:
    """A sighting of one image, until the whole clip tells whether it is the hand."""

    frame: int
    boxes: np.ndarray  # (2, 4) px, around its mask and keypoints, and around the keypoints alone, as detectors do
    keypoints: np.ndarray  # (21, 6) as in Evidence
    pixels: np.ndarray  # of its mask, in the flat image
    mesh: np.ndarray | None = None  # (V, 3) m, of a regressor


def perceive(
    recording: Recording,
    hands: HandKeypoints | None,
    track: ObjectTrack | None,
    side: str = "any",
    frames: Iterable[int] | None = None,
    prompts: Prompts | None = None,
    detector: BoxDetector | None = None,
    segmenter: Segmenter | KnownMasks | None = None,
    poses: ObjectPose | None = None,
    meshes: HandMesh | None = None,
) -> tuple[Evidence, Seen]:
    """Evidence of every frame. side: "right", "left", "both" or "any" (whatever is seen); frames: an iterable over the
    frame numbers, to show progress. Of each hand and the object there is one track of boxes (box_tracks.py): a hand
    that is seen elsewhere is left out, and short gaps are bridged. In the place of the embedded estimators:

    `detector`: gives the boxes; default: those of keypoints and masks. `segmenter`: gives the masks of what is marked
    in the first image: by `prompts` (kept in the provenance), and of the hands whose keypoints are seen in it; the box
    of a hand's mask is where its keypoints are looked for (TF-HOT). `poses`: registers and follows the object of
    `track`. `meshes`: a coarse mesh of each hand; default: none, the fits start from the keypoints. Without a
    segmenter, a prompt that is a hand's box starts its keypoints.

    Raises DexhotError when nothing is seen, when the hand is of the other side, when the object needs depth, or for a
    prompt that is not inside the image.
    """
    T, camera = len(recording), recording.intrinsics
    prompts = {name: np.asarray(where, float) for name, where in (prompts or {}).items()}
    for where in prompts.values():
        check_inside(where, camera.width, camera.height)
    if track is not None and not recording.has_depth:
        raise DexhotError(
            f"{recording.name} has no depth in any frame, and the object's pose comes from depth: record with aligned "
            "depth (docs/capture.md), or perceive without --object."
        )
    if track is not None and poses is not None:
        track = EstimatedTrack(poses, track.model, track.mask, track.prompt)
    sides = ("right", "left") if side in ("any", "both") else (side,)
    followed: PromptedMasks | KnownMasks | None = None
    if segmenter is not None:
        followed = segmenter if isinstance(segmenter, KnownMasks) else PromptedMasks(segmenter, prompts)
    marked = {name: where for name, where in prompts.items() if name in sides and where.shape == (4,)}
    labels = np.zeros((T, camera.height, camera.width), np.uint8)
    detections: dict[str, list[np.ndarray]] = {
        name: [np.zeros((0, 5)) for _ in range(T)] for name in (*sides, "object")
    }
    sightings: dict[str, list[SeenHand]] = {name: [] for name in sides}
    pose, seen, others = np.full((T, 7), np.nan), Seen(dict.fromkeys(sides, 0), confidence=np.zeros(T)), []
    table: Plane | None = None
    kept = MeshRows()
    for k in range(T) if frames is None else frames:
        color, depth = recording.color[k], recording.depth[k] * np.float32(1e-3)
        if k % TABLE == 0 and (table := table_plane(camera, depth) or table) and track is not None:
            track.on(table)
        masks = followed(color) if followed is not None and followed.first else {}
        if isinstance(hands, BoxedHandKeypoints):
            hands.boxes = {name: box_of(mask) for name, mask in masks.items() if name in sides} or marked
            marked = {}
        found = hands(color) if hands is not None else []
        if followed is not None and not followed.first:
            masks = followed(color, [hand for hand in found if hand.side in sides])
        hidden = np.zeros(depth.shape, bool)
        for name in masks.keys() & LABEL.keys():
            hidden |= masks[name]
            labels[k][masks[name]] = LABEL[name]
        expected = [hand for hand in found if hand.side in sides]
        surfaces = dict(zip(map(id, expected), meshes(camera, color, expected))) if meshes is not None else {}
        for hand in found:
            mask = masks[hand.side] if hand.side in masks else hand_mask(camera, color, depth, hand, table)
            hidden |= mask
            if hand.side not in sides:
                others.append(hand.right_score)
                continue
            both = np.stack([box_of(mask, hand.pixels), box_around(hand.pixels)])
            drawn = np.zeros(0, np.int64) if hand.side in masks else np.flatnonzero(mask)
            mesh = kept.take(surfaces.get(id(hand)), hand.side)
            sightings[hand.side].append(SeenHand(k, both, in_space(camera, depth, hand, mask), drawn, mesh))
            detections[hand.side][k] = np.vstack([detections[hand.side][k], [*both[0], hand.confidence]])
        for name in masks.keys() & set(sides):
            if masks[name].any() and not len(detections[name][k]):
                detections[name][k] = np.array([[*box_of(masks[name]), MASK_ALONE]])
        mask = masks.get("object", np.zeros(depth.shape, bool))
        score = MASK_ALONE
        if track is not None:
            if "object" in masks:
                track.segmented = mask
            track.hands = found
            sighting, seen.confidence[k] = track(camera, depth, float(recording.time[k]), hidden, color)
            seen.prompt = track.prompt_note
            if track.ambiguous:
                raise DexhotError(
                    f"{recording.name}: more than one thing in frame {k} has the object's shape, at u,v (confidence) "
                    f"{track.ambiguous}. Click on the right one in the first frame: --prompt object:U,V.{said(seen)}"
                )
            if sighting is not None:
                pose[k], score = matrix_to_pose(sighting.pose), sighting.confidence
                mask = mask if "object" in masks else track.seen(sighting.pose, depth, hidden, color)
            seen.object_frames += sighting is not None
        else:
            seen.object_frames += bool(mask.any())
        labels[k][mask] = OBJECT
        if mask.any():
            detections["object"][k] = np.array([[*box_of(mask), score]])
        if detector is not None:
            detected = detector(color)
            for name in detections:
                detections[name][k] = np.reshape(detected.get(name, ()), (-1, 5))
    seen.other_hands, seen.detections = len(others), detections
    boxes = track_boxes(recording.time, detections, tuple(detections))
    taken = {name: of_track(sightings[name], boxes[name], labels, LABEL[name], seen) for name in sides}
    keypoints = {name: keypoints_of(found, T) for name, found in taken.items()}
    surfaces_of = {name: meshes_of(found, T) for name, found in taken.items() if name in kept.topology}
    seen.hand_frames = {name: int(np.isfinite(keypoints[name][:, 0, 3]).sum()) for name in sides}
    watched = track is not None or (followed is not None and "object" in followed.names)
    judge(recording.name, side, seen, T, hands is not None, watched)
    if seen.prompt and track is not None:
        first = int(np.isfinite(pose[:, 0]).argmax())
        u, v = camera.project(transform(pose[first], track.model.centre)).round().astype(int)
        seen.notes.append(f"in the first frame {seen.prompt}; the object was found in frame {first}, at {u},{v}")
    if side == "any":
        for name in [n for n in sides if not seen.hand_frames[n]]:
            del keypoints[name], boxes[name]
            surfaces_of.pop(name, None)
            kept.topology.pop(name, None)
    made = recording.provenance | {
        "confidence": np.round(seen.confidence, 3).tolist() if track is not None else [],
        "prompts": listed(prompts),
        "notes": [*recording.provenance.get("notes", []), *seen.notes],
    }
    if kept.topology:
        made["hand_meshes"] = dict(kept.topology)
    return Evidence(recording.name, recording.time, labels, boxes, keypoints, pose, surfaces_of, made), seen


def of_track(
    sightings: Sequence[SeenHand], boxes: np.ndarray, labels: np.ndarray, label: int, seen: Seen
) -> dict[int, SeenHand]:
    """The sighting of each frame that fits a hand's boxes (T, 4) best, and is the hand; its mask is written into
    `labels`. The others are counted in `seen`."""
    best = np.full(len(boxes), FITS)
    taken: dict[int, SeenHand] = {}
    for one in sightings:
        fit = overlaps(one.boxes, boxes[one.frame]).max() if np.isfinite(boxes[one.frame, 0]) else 0.0
        if fit >= best[one.frame]:
            best[one.frame], taken[one.frame] = fit, one
    for frame, one in taken.items():
        picture = labels[frame].reshape(-1)
        picture[one.pixels[picture[one.pixels] != OBJECT]] = label
    seen.beside += len(sightings) - len(taken)
    return taken


def keypoints_of(taken: Mapping[int, SeenHand], T: int) -> np.ndarray:
    """(T, 21, 6) as in Evidence."""
    keypoints = np.full((T, 21, 6), np.nan)
    for frame, one in taken.items():
        keypoints[frame] = one.keypoints
    return keypoints


def meshes_of(taken: Mapping[int, SeenHand], T: int) -> np.ndarray:
    """(T, V, 3) as in Evidence; V is 0 where no sighting has a mesh. Raises DexhotError for several V."""
    found = {frame: one.mesh for frame, one in taken.items() if one.mesh is not None}
    sizes = {len(mesh) for mesh in found.values()}
    if len(sizes) > 1:
        raise DexhotError(f"the meshes of one hand have {' and '.join(map(str, sorted(sizes)))} vertices.")
    rows = np.full((T, sizes.pop() if sizes else 0, 3), np.nan)
    for frame, mesh in found.items():
        rows[frame] = mesh
    return rows


def judge(name: str, side: str, seen: Seen, T: int, looked: bool, tracked: bool) -> None:
    """Add what a user should know to `seen.notes`. Raises DexhotError for a recording that shows nothing asked for."""
    found = sum(seen.hand_frames.values())
    if looked and side in LABEL and seen.other_hands > WRONG_SIDE * (found + seen.other_hands):
        other = OTHER_SIDE[side]
        raise DexhotError(
            f"{name}: the hand looks like a {other} one in {seen.other_hands} of {found + seen.other_hands} sightings, "
            f"but --side {side} was asked for; use --side {other}, or check whether the images are mirrored."
        )
    if looked and not found and not (tracked and seen.object_frames):
        raise DexhotError(
            f"{name}: no hand is in view in any of {T} frames; check that the images show a whole hand, upright and "
            "not overexposed (dexhot view)."
        )
    if tracked and not seen.object_frames:
        raise DexhotError(
            f"{name}: the object was never found (best confidence {seen.confidence.max():.2f}, {SURE:g} is needed). "
            "Check that it is the right object and scale (dexhot object list), that the depth covers it, and click on "
            f"it in the first frame: --prompt object:U,V.{said(seen)}"
        )
    if looked and not found:
        seen.notes.append("no hand in any frame")
    if seen.beside:
        seen.notes.append(f"{seen.beside} sightings of a hand beside its track were left out")
    if seen.other_hands:
        seen.notes.append(f"{seen.other_hands} sightings of a hand other than --side {side} were left out")
    if side == "both" and (lacking := [s for s, n in seen.hand_frames.items() if not n]):
        seen.notes.append(f"both hands were asked for, and no {lacking[0]} one was seen")
    if tracked and seen.object_frames < T:
        seen.notes.append(f"the object is lost in {T - seen.object_frames} of {T} frames")


def said(seen: Seen) -> str:
    """The sentence about a prompt that was not on one thing."""
    return f" In the first frame {seen.prompt}." if seen.prompt else ""


def in_space(camera: Intrinsics, depth: np.ndarray, hand: HandSighting, mask: np.ndarray | None = None) -> np.ndarray:
    """(21, 6) x y z u v confidence: where the depth (m) at a keypoint is that of the hand, else x y z are NaN.

    A keypoint beside the hand's mask is a guess at what is hidden, or wrong: its confidence falls to GUESSED of it.
    """
    height, width = depth.shape
    out = np.full((21, 6), np.nan)
    out[:, 3:5], out[:, 5] = hand.pixels, hand.confidence
    u, v = np.round(hand.pixels).astype(int).T
    z = np.zeros(21)
    for k in np.flatnonzero((u >= 0) & (v >= 0) & (u < width) & (v < height)):
        near = slice(max(v[k] - BESIDE, 0), v[k] + BESIDE + 1), slice(max(u[k] - BESIDE, 0), u[k] + BESIDE + 1)
        if mask is not None and not mask[near].any():
            out[k, 5] *= GUESSED
        around = depth[max(v[k] - 1, 0) : v[k] + 2, max(u[k] - 1, 0) : u[k] + 2]
        z[k] = np.median(around[around > 0]) if (around > 0).any() else 0.0
    if not z.any():
        return out
    middle = np.median((z - hand.relative_depth * z / camera.fx)[z > 0])  # depth of the wrist
    expected = middle + hand.relative_depth * middle / camera.fx
    on = (z > 0) & (np.abs(z - expected) < SPREAD / 2)
    out[on, :3] = camera.backproject(hand.pixels[on], z[on])
    return out


def box_of(mask: np.ndarray, pixels: np.ndarray | None = None) -> np.ndarray:
    """(4,) x0 y0 x1 y1 px around a mask, and around keypoints; NaN without either."""
    v, u = np.nonzero(mask)
    corners = np.stack([u, v], -1) if len(u) else np.zeros((0, 2))
    corners = corners if pixels is None else np.concatenate([corners, pixels])
    return box_around(corners)
