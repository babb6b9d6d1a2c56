"""Runs the estimators over a Recording and collects the Evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dexhot.data.keypoints import OTHER_SIDE
from dexhot.data.labels import OBJECT
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.geometry.boxes import overlaps
from dexhot.geometry.poses import transform
from dexhot.perception.box_tracks import FITS, track_boxes
from dexhot.perception.estimated_track import EstimatedTrack
from dexhot.perception.followed_masks import KnownMasks, PromptedMasks
from dexhot.perception.object_pose import SURE
from dexhot.perception.object_track import ObjectTrack
from dexhot.perception.prompts import Prompts, listed
from dexhot.perception.protocols import BoxDetector, HandKeypoints, HandMesh, ObjectPose, Segmenter
from dexhot.perception.segmentation import check_inside
from dexhot.perception.sightings import LABEL, SeenHand
from dexhot.perception.watcher import Watcher, about_prompt

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
    prompts = {name: np.asarray(where, float) for name, where in (prompts or {}).items()}
    for where in prompts.values():
        check_inside(where, recording.intrinsics.width, recording.intrinsics.height)
    if track is not None and not recording.has_depth:
        raise DexhotError(
            f"{recording.no_depth} The object's pose comes from depth (docs/capture.md); without, leave out --object."
        )
    if track is not None and poses is not None:
        track = EstimatedTrack(poses, track.model, track.mask, track.prompt)
    sides = ("right", "left") if side in ("any", "both") else (side,)
    masks: PromptedMasks | KnownMasks | None = None
    if segmenter is not None:
        masks = segmenter if isinstance(segmenter, KnownMasks) else PromptedMasks(segmenter, prompts)
    watcher = Watcher(recording, sides, prompts, hands, track, masks, detector, meshes)
    for k in range(len(recording)) if frames is None else frames:
        watcher.look(k)
    renamed = watcher.rename()
    seen = Seen(
        other_hands=len(watcher.strays),
        object_frames=watcher.object_frames,
        confidence=watcher.confidence,
        detections=watcher.detections,
        prompt=watcher.prompt_note,
    )
    followed = watcher.followed if detector is None else {}  # a detector's boxes are steady
    boxes = track_boxes(recording.time, watcher.detections, tuple(watcher.detections), followed)
    taken = {name: of_track(watcher.hands_seen[name], boxes[name], watcher.labels, LABEL[name], seen) for name in sides}
    keypoints = {name: keypoints_of(found, len(recording)) for name, found in taken.items()}
    seen.hand_frames = {name: int(np.isfinite(keypoints[name][:, 0, 3]).sum()) for name in sides}
    watched = track is not None or (masks is not None and "object" in masks.names)
    if renamed:
        seen.notes.append(
            f"{sightings(renamed)} looked like a {OTHER_SIDE[side]} hand; as there is one hand alone, taken for the "
            f"{side} one's"
        )
    judge(recording.name, side, seen, len(recording), hands is not None, watched)
    if seen.prompt and track is not None:
        first = int(np.isfinite(watcher.pose[:, 0]).argmax())
        u, v = recording.intrinsics.project(transform(watcher.pose[first], track.model.centre)).round().astype(int)
        seen.notes.append(f"in the first frame {seen.prompt}; the object was found in frame {first}, at {u},{v}")
    kept = [name for name in sides if side != "any" or seen.hand_frames[name]]
    topology = {name: topology for name, topology in watcher.meshes_kept.topology.items() if name in kept}
    made = recording.provenance | {
        "confidence": np.round(seen.confidence, 3).tolist() if track is not None else [],
        "prompts": listed(prompts),
        "notes": [*recording.provenance.get("notes", []), *seen.notes],
    }
    if topology:
        made["hand_meshes"] = topology
    relative = {name: relative_depth_of(taken[name], len(recording)) for name in kept}
    evidence = Evidence(
        recording.name,
        recording.time,
        watcher.labels,
        {name: boxes[name] for name in (*kept, "object")},
        {name: keypoints[name] for name in kept},
        watcher.pose,
        {name: meshes_of(taken[name], len(recording)) for name in topology},
        made,
        {name: along for name, along in relative.items() if np.isfinite(along).any()},
    )
    return evidence, seen


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


def relative_depth_of(taken: Mapping[int, SeenHand], T: int) -> np.ndarray:
    """(T, 21) as in Evidence, NaN where it is not estimated."""
    rows = np.full((T, 21), np.nan)
    for frame, one in taken.items():
        if one.relative_depth is not None:
            rows[frame] = one.relative_depth
    return rows


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
            f"it in the first frame: --prompt object:U,V.{about_prompt(seen.prompt)}"
        )
    if looked and not found:
        seen.notes.append("no hand in any frame")
    if seen.beside:
        seen.notes.append(f"left out: {sightings(seen.beside)} of a hand beside its track")
    if seen.other_hands:
        seen.notes.append(f"left out: {sightings(seen.other_hands)} of a hand other than --side {side}")
    if side == "both" and (lacking := [s for s, n in seen.hand_frames.items() if not n]):
        seen.notes.append(f"both hands were asked for, and no {lacking[0]} one was seen")
    if tracked and seen.object_frames < T:
        seen.notes.append(f"the object is lost in {T - seen.object_frames} of {T} frames")


def sightings(count: int) -> str:
    """So many of them, in words."""
    return f"{count} sighting{'s' * (count != 1)}"
