"""`dexhot evaluate fit`: a paper's protocol on a copy of its dataset, or proxies on recordings without truth."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from dexhot.data.labels import LABELS, OBJECT
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.datasets import dexycb, ho3d
from dexhot.datasets.labelled import LabelledClip, keypoint_rows
from dexhot.errors import ClipError, DexhotError, FileFormatError
from dexhot.evaluation.fit_measures import (
    FAR,
    Row,
    hand_errors,
    interaction,
    mean_of,
    mesh_errors,
    object_depth,
    object_errors,
    proxies,
)
from dexhot.evaluation.fit_protocols import ProtocolPart
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.scene import HandObjectScene, SceneState, object_at, object_model
from dexhot.geometry.poses import inverse, transform
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import KEYPOINT_ORDER, HandPose, KeypointTable, SkinnedHand
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import list_objects, load_object
from dexhot.perception.followed_masks import KnownMasks
from dexhot.perception.perceive import perceive
from dexhot.perception.protocols import HandKeypoints

TRUTH = {"joints": "evaluation_xyz.json", "vertices": "evaluation_verts.json"}  # of HO-3D's evaluation split


@dataclass(frozen=True)
class Source:
    """A clip to fit: where it is, and what a report calls it."""

    name: str
    object_name: str
    sequence: dexycb.DexYcbSequence | None = None
    serial: str = ""


@dataclass
class FitResult:
    """One clip's figures."""

    name: str
    frames: int
    mean: Row
    seconds: float  # CPU time of fitting, per frame
    joints: dict[str, np.ndarray] = field(default_factory=dict)  # frame -> (21, 3) m, for a submission
    vertices: dict[str, np.ndarray] = field(default_factory=dict)  # frame -> (V, 3) m
    left_out: int = 0  # frames that the protocol's filter removed
    untracked: int = 0  # frames before the hand was first seen: no row, but in a submission the first pose


def dataset_of(folder: Path) -> str:
    """ "dexycb" or "ho3d". Raises FileFormatError for another folder."""
    if (folder / "calibration").is_dir() and any(folder.glob("*-subject-*")):
        return "dexycb"
    if (folder / "evaluation.txt").is_file() or (folder / "train.txt").is_file():
        return "ho3d"
    raise FileFormatError(
        f"{folder} is neither DexYCB (calibration/, SUBJECT/SEQUENCE/) nor HO-3D (evaluation.txt, evaluation/)."
    )


def sources(folder: Path, part: ProtocolPart) -> list[Source]:
    """The clips of a protocol that are in the copy."""
    return list(_dexycb_sources(folder, part) if part.dataset == "dexycb" else _ho3d_sources(folder, part))


def _dexycb_sources(folder: Path, part: ProtocolPart) -> Iterator[Source]:
    numbered = {subject: dexycb.numbered(folder, subject) for subject in dexycb.SUBJECTS}
    read: dict[str, dexycb.DexYcbSequence] = {}
    for subject, number, serial in dexycb.split_of("s0", "test"):
        names = numbered[subject]
        if number >= len(names):
            continue
        name = f"{subject}/{names[number]}"
        if name not in read:
            read[name] = dexycb.read_sequence(folder, name)
        sequence = read[name]
        wanted = not part.objects or sequence.objects[sequence.grasped] in part.objects
        if sequence.side in part.sides and wanted and serial in sequence.serials:
            yield Source(f"{name}/{serial}", sequence.object_name, sequence, serial)


def incomplete(folder: Path, part: ProtocolPart) -> list[str]:
    """Sentences on what makes the copy's clips others than the published ones: of DexYCB subjects of which sequences
    are missing, as the splits count them in the order of their names; of HO-3D another version's list of frames."""
    if part.dataset == "ho3d":
        return _another_version(folder, part)
    said = []
    for subject in dexycb.SUBJECTS:
        count = len(dexycb.numbered(folder, subject))
        if 0 < count < dexycb.SEQUENCES:
            said.append(f"{subject}: {count} of {dexycb.SEQUENCES} sequences; the test ones are not the official ones")
    return said


def _another_version(folder: Path, part: ProtocolPart) -> list[str]:
    version, frames = ho3d.version_of(folder), ho3d.FRAMES
    if version is None:
        known = " and ".join(f"HO-3D {name} has {count:,}" for name, count in frames.items())
        return [f"evaluation.txt lists {len(ho3d.listed(folder, 'evaluation')):,} frames; {known}"]
    if part.expected and frames[version] != part.expected:
        return [f"the copy is HO-3D {version}; the published rows are of {part.expected:,} frames"]
    return []


def _ho3d_sources(folder: Path, part: ProtocolPart) -> Iterator[Source]:
    there = ho3d.sequences(folder, "evaluation")
    for name in part.sequences or tuple(there):
        if name in there and (meta := folder / "evaluation" / name / "meta" / f"{there[name][0]}.pkl").is_file():
            yield Source(name, f"ycb/{ho3d.read_meta(meta).object_name}")


def counted(part: ProtocolPart, found: list[Source], folder: Path) -> int:
    """Clips, or frames of them, as the protocol counts."""
    if part.unit == "videos":
        return len(found)
    there = ho3d.sequences(folder, "evaluation")
    return sum(len(there[one.name]) for one in found)


def open_clip(source: Source, folder: Path, asset: ObjectAsset, frames: int | None, stride: int) -> LabelledClip:
    """Pictures and truth, at most `frames` of them."""
    if source.sequence is not None:
        clip = dexycb.labelled_clip(source.sequence, source.serial, asset.vertices, stride)
    else:
        names = ho3d.sequences(folder, "evaluation")[source.name]
        names = names if frames is None else names[: frames * stride]
        clip = ho3d.labelled_clip(folder, "evaluation", source.name, names, stride)
        clip = with_truth(clip, folder)
        clip = with_drawn_masks(clip, asset)
    return clip if frames is None else clip.part(slice(0, frames))


def with_truth(clip: LabelledClip, folder: Path) -> LabelledClip:
    """HO-3D's evaluation hands, where their files lie in the folder."""
    paths = {what: folder / name for what, name in TRUTH.items()}
    if not all(path.is_file() for path in paths.values()):
        return clip
    order = {name: k for k, name in enumerate(ho3d.listed(folder, "evaluation"))}
    rows = [order[name] for name in clip.frames]
    try:
        values = {what: json.loads(path.read_text()) for what, path in paths.items()}
        joints = np.array([values["joints"][k] for k in rows], float)[:, np.array(KEYPOINT_ORDER)] * ho3d.FLIP
        vertices = np.array([values["vertices"][k] for k in rows], float) * ho3d.FLIP
    except (ValueError, KeyError, IndexError, TypeError) as e:
        raise FileFormatError(f"{folder}: {' and '.join(TRUTH.values())} are not HO-3D's: {e}.") from e
    known = np.ones(len(joints), bool)
    keypoints = {"right": keypoint_rows(joints, clip.recording.intrinsics, known)}
    return replace(clip, evidence=replace(clip.evidence, keypoints=keypoints, hand_meshes={"right": vertices}))


def with_drawn_masks(clip: LabelledClip, asset: ObjectAsset) -> LabelledClip:
    """The object's mask from its true pose where the dataset has no segmentation: HO-3D's evaluation split.

    The hand's is drawn where its vertices are known; else it stays empty, and the object's has no hole for it.
    """
    if (clip.evidence.labels == OBJECT).any():
        return clip
    model, camera = object_model(asset), clip.recording.intrinsics
    labels = clip.evidence.labels.copy()
    person = open_hand("right").shaped()  # not drawn
    for t, pose in enumerate(clip.evidence.object_pose):
        if not np.isfinite(pose).all():
            continue
        scene = HandObjectScene(person, model, SceneState(HandPose(), *object_at(pose)))
        drawn = object_depth(scene, camera)
        depth = 1e-3 * clip.recording.depth[t]
        hidden = (depth > 0) & (depth < drawn - 0.02)  # the hand, or anything else, is in front
        labels[t][(drawn < FAR) & ~hidden] = 2
    return replace(clip, evidence=replace(clip.evidence, labels=labels))


def seen_by(clip: LabelledClip, hands: HandKeypoints | None, boxed: bool = False) -> Evidence:
    """The protocol's evidence: the truth's masks without its poses, and 2D keypoints of a detector, or (`hands` None)
    the truth's. `boxed`: the detector looks in the boxes of the hand's masks, as TF-HOT's does (sec. 3.1); else where
    it finds hands itself. The hand's mask is the detector's where the dataset has none. Raises DexhotError."""
    true = clip.evidence
    unknown = np.full_like(true.object_pose, np.nan)
    side = next(iter(true.keypoints))
    if hands is None:
        rows = true.keypoints[side].copy()
        rows[..., :3] = np.nan
        return replace(true, object_pose=unknown, keypoints={side: rows}, hand_meshes={})
    labels = true.labels.copy()
    masked = bool((labels == LABELS[side]).any())
    known = KnownMasks(labels, (side,)) if masked and boxed else None
    found, _ = perceive(clip.recording, hands, None, side, segmenter=known)
    if not masked:
        labels[(found.labels == LABELS[side]) & (labels == 0)] = LABELS[side]
    return replace(true, labels=labels, object_pose=unknown, keypoints={side: found.keypoints[side]}, hand_meshes={})


def evaluate_clip(
    clip: LabelledClip,
    asset: ObjectAsset,
    part: ProtocolPart,
    recipe: Recipe,
    hand: SkinnedHand,
    table: KeypointTable,
    hands: HandKeypoints | None,
) -> FitResult:
    """Fit one clip in its camera's frame and measure it. Raises ClipError, DexhotError."""
    recording = replace(clip.recording, world_T_camera=None)
    evidence = seen_by(clip, hands, part.boxed)
    fit = fit_recording(recording, evidence, asset, recipe, hand, table, with_pose=False)
    true = clip.evidence
    rows, left_out = [], 0
    joints, vertices = {}, {}
    for t, name in enumerate(clip.frames):
        scene = fit.scene(t)
        if scene is None:
            continue
        found = scene.hand.keypoints(table)
        joints[name], vertices[name] = found, scene.hand.vertices
        keypoints, pose = true.keypoints[hand.side][t, :, :3], true.object_pose[t]
        known = np.isfinite(keypoints).all()
        both = known and bool(np.isfinite(pose).all())
        if part.contact_within and not (both and touching_distance(asset, pose, keypoints) <= part.contact_within):
            left_out += 1
            continue
        row = interaction(scene)
        if known:
            row |= hand_errors(found, keypoints, recording.intrinsics)
        mesh = true.hand_meshes.get(hand.side)
        if mesh is not None and known and mesh[t].shape == scene.hand.vertices.shape and np.isfinite(mesh[t]).all():
            row |= mesh_errors(scene.hand.vertices, mesh[t], found[0], keypoints[0])
        if np.isfinite(pose).all():
            row |= object_errors(asset, scene.state.object_pose(), pose, recording.intrinsics)
        rows.append(row)
    if not rows:
        raise ClipError(f"no frame of {clip.recording.name} passed the protocol's filter, or none shows the hand.")
    missing = [name for name in clip.frames if name not in joints]
    first = next(iter(joints))
    joints |= dict.fromkeys(missing, joints[first])
    vertices |= dict.fromkeys(missing, vertices[first])
    seconds, name = float(fit.seconds.mean()), clip.recording.name
    return FitResult(name, len(rows), mean_of(rows), seconds, joints, vertices, left_out, len(missing))


def touching_distance(asset: ObjectAsset, pose: np.ndarray, keypoints: np.ndarray) -> float:
    """Smallest distance (m) from the hand's joints to the object's vertices (ArtiBoost's filter)."""
    return float(cKDTree(asset.vertices).query(transform(inverse(pose), keypoints))[0].min())


def evaluate_wild(
    recording: Recording,
    evidence: Evidence,
    asset: ObjectAsset | None,
    recipe: Recipe,
    hand: SkinnedHand,
    table: KeypointTable,
) -> FitResult:
    """Proxies of a recording without truth: TF-HOT's in-the-wild columns, HOMan's table 2."""
    fit = fit_recording(replace(recording, world_T_camera=None), evidence, asset, recipe, hand, table)
    seconds = float(fit.seconds.mean())
    scenes = [(t, fit.scene(t)) for t in range(len(recording))]
    rows = [proxies(scene, t, recording, evidence, table) for t, scene in scenes if scene is not None]
    return FitResult(recording.name, len(rows), mean_of(rows), seconds)


def summarise(results: list[FitResult]) -> Row:
    """Means over all frames, each with the same weight; seconds per frame."""
    weights = np.array([one.frames for one in results], float)
    names = list(dict.fromkeys(name for one in results for name in one.mean))
    mean = {}
    for name in names:
        has = np.array([name in one.mean for one in results])
        values = np.array([one.mean.get(name, 0.0) for one in results])
        mean[name] = float((values * weights * has).sum() / (weights * has).sum())
    return mean | {"s_per_frame": float((weights * [one.seconds for one in results]).sum() / weights.sum())}


def objects_of(found: list[Source], dataset: str) -> dict[str, ObjectAsset]:
    """Of the library. Raises DexhotError naming the command that puts them there."""
    missing = sorted({one.object_name for one in found} - set(list_objects()))
    if missing:
        raise DexhotError(
            f"the object library lacks {', '.join(missing[:5])}: `dexhot datasets get {dataset} --path DIR` adds them."
        )
    return {name: load_object(name) for name in sorted({one.object_name for one in found})}


def rows_beside(part_metrics: tuple[str, ...], published: dict[str, dict[str, float]], ours: Row) -> list[list[Any]]:
    """Published rows, then ours; NaN where there is no value."""
    table = [[name, *(row.get(m, np.nan) for m in part_metrics)] for name, row in published.items()]
    return [*table, ["this recipe", *(ours.get(m, np.nan) for m in part_metrics)]]
