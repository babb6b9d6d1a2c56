"""Verifies that a reference is the motion of the clip that it names: retargets the clip again and compares.

A file could name a clip and contain half of it, an object at rest, or another motion. So nothing in it is trusted: the
clip comes from its importer, its hash must match the file's (a generated clip's name and seed), and object path, wrist
and fingers are recomputed with the current retargeting, moved by the file's `placement` and resampled at its recorded
time. Scores are then computed against that object path, never against the file's own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dexhot.control.time_warp import warp_reference
from dexhot.data.types import HandObjectTrajectory, Reference, Rollout
from dexhot.datasets.source_clip import source_clip
from dexhot.errors import DexhotError, UnreachableError
from dexhot.geometry.rotations import quat_angle
from dexhot.metrics.rollout import compute
from dexhot.metrics.tracking_errors import position_error
from dexhot.retargeting.placement import moved
from dexhot.retargeting.retarget import RetargetOptions, plain_options, retarget
from dexhot.retargeting.time_map import limits_of, slow_where_needed
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.simulation.setup import Setup

ROUNDING = 1e-9
OBJECT = (0.002, np.radians(1.0))  # m, rad: the same path, after a warp in time
# Of palm (m, rad) and fingers (rad, mean of a frame), in any frame: retargeting repeats to the last bit on one machine,
# a placed wrist is where a smooth motion of the arm carries it (5 mm, 3 deg), a fast finger is smoothed by a warp.
PALM, FINGERS = (0.02, np.radians(10.0)), 0.1
SLOWER = 1.05  # ratio to the duration that the arm's limits require
WHOLE = 1.5  # frames that may be missing at an end
IN_TIME = 0.5  # frames by which rows may lead or trail the person's time


@dataclass(frozen=True)
class Verification:
    """The name that a reference may have, and the reference that scores are computed against."""

    name: str  # the clip's, if verified, whole and in the person's time; else one that states what it is
    clip: str  # that it names
    verified: bool
    why: str  # it is unverified or has another name; empty for a whole clip in the person's time
    reference: Reference  # with the importer's object path where that has the same rows
    cut: bool = False

    @property
    def whole(self) -> bool:
        """Whether a result counts for the clip, in any time."""
        return self.verified and not self.cut

    def label(self, rollout: Rollout) -> Rollout:
        """A rollout of `reference`, also in the arm's time, under its verified name; see provenance["verification"]."""
        said = {"name": self.name, "clip": self.clip, "verified": self.verified, "whole": self.whole, "why": self.why}
        name = rollout.name.replace(rollout.reference.name, self.name, 1)
        return replace(rollout, name=name, provenance=rollout.provenance | {"verification": said})


def verify(reference: Reference, setup: Setup, clip: HandObjectTrajectory | None = None) -> Verification:
    """Compare `reference` with `clip`, by default the one that it names, from the cache or the generator; of a file of
    yours, with the copy that was kept when it was retargeted here.

    Takes as long as a retargeting (seconds). A reference that differs raises no error: it gets another name.
    """
    if "teleop" in reference.provenance:
        scene = reference.name.removeprefix("teleop_")
        why = "no clip is tracked; errors are the object's displacement from where it stood"
        return Verification(f"teleoperated: {scene}", "", False, why, reference)
    source = reference.provenance.get("source", {})
    named = source.get("clip", reference.name)

    def unverified(why: str, judged: Reference = reference) -> Verification:
        return Verification(f"unverified: {named}", named, False, why, judged)

    try:
        clip = source_clip(reference, clip)
    except DexhotError as absent:
        return unverified(f"its clip is not here to be compared with ({absent} Of a file: give it with --clip)")
    if "hash" not in source:
        return unverified("the file has no hash of its clip, as dexhot retarget writes it")
    if not _is_made_of(clip, source):
        return unverified(f"it was not made from this {clip.name}: their hashes differ")
    try:
        fresh = moved(retarget(clip, setup.hand, setup.asset, options_of(reference)), reference.placement)
    except DexhotError as refused:
        return unverified(f"its clip cannot be retargeted ({refused})")
    frames = clip_frames(reference, fresh)
    if frames is None:
        rows = f"{len(reference.q)} rows, the clip {len(fresh.q)} frames"
        return unverified(f"it shows frames that its clip does not have ({rows})")
    expected = warp_reference(fresh, frames)
    same = np.abs(reference.object_pose - expected.object_pose).max() < ROUNDING  # for bit-identical simulation
    judged = reference if same else replace(reference, object_pose=expected.object_pose)
    off = differences(reference, expected)
    if off:
        return unverified(f"it is not the motion of its clip: {'; '.join(off)}", judged)
    if slow := slower_than_needed(reference, setup):
        return unverified(slow, judged)
    name, notes = named, []
    part = frames[0] > WHOLE or frames[-1] < len(fresh.q) - 1 - WHOLE
    if part:
        notes.append(f"it shows frames {frames[0]:.0f} to {frames[-1]:.0f} of 0 to {len(fresh.q) - 1}")
    if source["frames"]:
        notes.append(f"frames {source['frames'][0]}:{source['frames'][1]} of the clip were retargeted")
    if cut := part or bool(source["frames"]):
        name = f"cut of {named}"
    speed = (frames[-1] - frames[0]) / (len(frames) - 1)
    if np.abs(frames - frames[0] - np.arange(len(frames))).max() > IN_TIME:
        name += f" at {speed:.2f} of its speed"
        notes.append(f"{1 / speed:.2f} times as long as the person took")
    return Verification(name, named, True, "; ".join(notes), judged, cut)


def _is_made_of(clip: HandObjectTrajectory, source: dict[str, Any]) -> bool:
    """Whether the clip is that of a reference's source entry. A generated one is computed, and another machine's last
    bits differ: it is told by name, generator, seed and frames; its motion is compared anyway."""
    ours = clip.source()
    return ours | {"hash": source["hash"]} == source if "generator" in clip.provenance else ours == source


def options_of(reference: Reference) -> RetargetOptions:
    """The default options, with the servo profile that the reference was retargeted for, as stronger servos hold other
    grasps, with fingers that turn the object and links that touch it, if they do, or of eq. 5-7 alone. All other
    options of the file are ignored."""
    made = reference.provenance.get("retarget", {})
    if made.get("plain"):
        return plain_options(made.get("profile"))
    in_hand, links = bool(made.get("in_hand")), bool(made.get("links"))
    return RetargetOptions(profile=made.get("profile"), in_hand=in_hand, links=links)


def verified(rollout: Rollout, setup: Setup, clip: HandObjectTrajectory | None = None) -> Rollout:
    """A recorded rollout scored against its verified reference, under its verified name."""
    found = verify(rollout.reference, setup, clip)
    labelled = found.label(rollout)
    judged = replace(labelled, reference=found.reference)
    return replace(judged, metrics=compute(judged, setup.asset, setup.hand))


def clip_frames(reference: Reference, fresh: Reference) -> np.ndarray | None:
    """(T,) the frame of the whole clip for each row: as recorded, else the best fit in the person's time. None: the
    clip has no such frames."""
    T, N = len(reference.q), len(fresh.q)
    frames = reference.clip_frames
    if not len(frames):
        ours, theirs = (np.concatenate([r.object_pose[:, :3], r.q[:, :3]], axis=1) for r in (reference, fresh))
        fit = [np.abs(ours - theirs[k : k + T]).sum() for k in range(N - T + 1)]
        if not fit:
            return None
        frames = int(np.argmin(fit)) + np.arange(float(T))
    return frames if frames[0] >= 0 and frames[-1] <= N - 1 + 1e-6 else None


def slower_than_needed(reference: Reference, setup: Setup) -> str:
    """A description where the reference gives the arm more time than its limits require on its path; else ""."""
    if not len(reference.arm_frames):
        return ""
    try:
        needed = slow_where_needed(reference.arm_q, reference.q[:, 6:], *limits_of(setup.hand))
    except UnreachableError as broken:
        return str(broken)
    ticks, most = len(reference.arm_frames), SLOWER * len(needed)
    return f"the arm takes {ticks} ticks, its limits ask for {len(needed)}" if ticks > most else ""


def differences(reference: Reference, expected: Reference) -> list[str]:
    """Descriptions of the differences of `reference` from `expected`, frame by frame; empty for the same motion."""
    found = []
    tilt = np.linalg.norm(reference.placement[4:6])
    if tilt > 1e-6 or abs(reference.table_height - expected.table_height) > 1e-6:
        found.append("its placement tilts the clip or moves it off the table")
    if reference.object_name != expected.object_name:
        found.append(f"it moves {reference.object_name}, not {expected.object_name}")
    palms = [palm_poses(r.base_quat, r.q) for r in (reference, expected)]
    for what, (a, b), (near, turned) in (
        ("object", (reference.object_pose, expected.object_pose), OBJECT),
        ("palm", palms, PALM),
    ):
        off, angle = position_error(a, b).max(), quat_angle(a[:, 3:], b[:, 3:]).max()
        if off > near or angle > turned:
            found.append(f"the {what} is up to {1e3 * off:.0f} mm and {np.degrees(angle):.0f} deg off")
    fingers = np.abs(reference.q[:, 6:] - expected.q[:, 6:]).mean(axis=1).max()
    if fingers > FINGERS:
        found.append(f"the fingers are up to {fingers:.2f} rad off")
    return found
