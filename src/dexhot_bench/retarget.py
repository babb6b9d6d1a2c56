"""`dexhot bench retarget`: retargeting compared with dex-retargeting 0.5.0's position mode, in the same run.

Streaming: `StreamingRetargeter.step` as shipped is timed, with its palm rotation, links and conversion of the
keypoints; the peer gets the same target points frame by frame, ready-made, at scale 1, and a free wrist. Both move the
same LEAP hand (ours from urdf/leap_right's source, theirs from the URDF exported from it) and are evaluated on the same
four fingertips. The peer runs with the fingertips as its only targets, where its fingertip error is lowest, and with
its shipped LEAP targets (links_...): the fingertips and four more links with equal weight; each at its default
tolerance and converged. Whole clips (clip_...): the clip solver without contacts, compared with the peer on the same
60 Hz frames. Times are CPU times: both solvers compute in one thread.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.keypoints import NAMES, wrist_pose
from dexhot.data.types import RATE
from dexhot.datasets.library import load_clip, splits
from dexhot.geometry.rotations import mean_quat
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir, share_dir
from dexhot.progress import track
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.picture import draw
from dexhot.retargeting.resampling import resample
from dexhot.retargeting.retarget import keypoint_tracker, retarget, track_keypoints
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.retargeting.summary import saturation, summarise
from dexhot.robots.robot_hand import RobotHand, load_hand

HAND = "leap_right"
CONVERGED = 1e-9  # of the peer's objective; its default is 1e-5


@dataclass
class Stream:
    """One recording as a stream: keypoints (T, 21, 3) m, wrist poses (T, 7), frames per second."""

    name: str
    keypoints: np.ndarray
    wrist: np.ndarray
    rate: float


@dataclass
class Track:
    """A solver's result for a stream."""

    seconds: np.ndarray  # (T,) per frame
    tip_error: np.ndarray  # (T, 4) m
    fingers: np.ndarray  # (T, n) rad, in joint-table order
    rate: float


class Ours:
    """Our streaming solver as shipped."""

    def __init__(self) -> None:
        self.hand = load_hand(HAND)

    def track(self, stream: Stream) -> Track:
        """Track frame by frame; `step` is timed."""
        solver = StreamingRetargeter(self.hand, mean_quat(stream.wrist[:, 3:]))
        seconds, error, q = [], [], []
        for keypoints, wrist in zip(stream.keypoints, stream.wrist):
            began = time.process_time()
            row = solver.step(keypoints, wrist)
            seconds.append(time.process_time() - began)
            solver.model.move(row)
            error.append(np.linalg.norm(solver.model.points()[:4] - solver.targets(keypoints)[:4], axis=1))
            q.append(row[6:])
        return Track(np.array(seconds), np.array(error), np.array(q), stream.rate)


class OursWhole(Ours):
    """Our clip solver as shipped for keypoints alone, over all frames of a stream at 60 Hz at once."""

    def track(self, stream: Stream) -> Track:
        """Solve the clip; its time is spread evenly over the frames."""
        solver = keypoint_tracker(self.hand, mean_quat(stream.wrist[:, 3:]))
        began = time.process_time()
        q = track_keypoints(solver, stream.keypoints, stream.wrist[:, 3:])
        seconds, error = (time.process_time() - began) / len(q), []
        for row, keypoints in zip(q, stream.keypoints):
            solver.model.move(row)
            error.append(np.linalg.norm(solver.model.points()[:4] - solver.targets(keypoints)[:4], axis=1))
        return Track(np.full(len(q), seconds), np.array(error), q[:, 6:], stream.rate)


class Peer:
    """dex-retargeting's position mode on our exported URDF, its shipped weights; `converged`: to a tolerance at which
    its error no longer falls. Raises ImportError if it is not installed."""

    def __init__(self, links: bool, converged: bool):
        import torch
        from dex_retargeting.retargeting_config import RetargetingConfig

        torch.set_num_threads(1)  # faster for its small tensors, and as our solver
        self.hand = load_hand(HAND)
        match = correspondence(self.hand)
        names = [*self.hand.tip_sites, *(match.links if links else ())]
        tips = [NAMES.index(site) for site in self.hand.tip_sites]
        config = RetargetingConfig(
            type="position",
            urdf_path=str(share_dir() / "urdf" / HAND / f"{HAND}.urdf"),
            add_dummy_free_joint=True,
            target_link_names=names,
            target_link_human_indices=np.array([*tips, *(match.keypoints if links else ())], int),
            low_pass_alpha=1.0,  # no filter, as in its LEAP configuration
        )
        self.solver = config.build()
        if converged:
            self.solver.optimizer.opt.set_ftol_abs(CONVERGED)
        self.targets, self.points = StreamingRetargeter(self.hand).targets, len(names)
        self.order = [self.solver.joint_names.index(name) for name in self.hand.joint_names]
        self.tips = [self.solver.optimizer.robot.get_link_index(name) for name in self.hand.tip_sites]

    def track(self, stream: Stream) -> Track:
        """Solve frame by frame; only the solver is timed."""
        self.solver.reset()
        self.solver.warm_start(stream.wrist[0, :3], stream.wrist[0, 3:])
        robot = self.solver.optimizer.robot
        seconds, error, q = [], [], []
        for keypoints in stream.keypoints:
            goal = self.targets(keypoints)[: self.points]
            began = time.process_time()
            row = self.solver.retarget(goal)
            seconds.append(time.process_time() - began)
            robot.compute_forward_kinematics(row)
            tips = np.array([robot.get_link_pose(link)[:3, 3] for link in self.tips])
            error.append(np.linalg.norm(tips - goal[:4], axis=1))
            q.append(np.asarray(row)[self.order])
        return Track(np.array(seconds), np.array(error), np.array(q), stream.rate)


def run(quick: bool = False, **_: Any) -> dict[str, Any]:
    """Benchmark both; without the baseline's packages only ours, with a note. Needs the GRAB clips in the cache."""
    streams, notes = _streams(quick)
    metrics = compare("", Ours(), streams, notes) | compare("clip_", OursWhole(), _whole(quick), notes)
    picture = cache_dir() / "bench" / "retarget.png"
    metrics |= _contact_aware(splits("grab")["quick"][:2] if quick else splits("grab")["train"], picture)
    return {"metrics": metrics, "subset": [s.name for s in streams], "notes": notes, "picture": str(picture)}


def compare(prefix: str, ours: Ours, streams: list[Stream], notes: list[str]) -> dict[str, Any]:
    """Metrics of ours and of the peer's variants over the streams, and the ratios between them."""
    solvers: dict[str, Ours | Peer] = {"": ours}
    try:
        variants = [(links, converged) for links in (False, True) for converged in (False, True)]
        for links, converged in variants[: 2 if prefix else 4]:  # whole clips: the fingertips alone
            solvers[f"{'links_' * links}peer_{'converged_' * converged}"] = Peer(links, converged)
    except ImportError as e:
        notes.append(f"dex-retargeting was not measured ({e}); pip install 'dexhot[peers]'")
    tracks: dict[str, list[Track]] = {name: [] for name in solvers}
    for stream in track(streams, "whole clips" if prefix else "streaming"):
        for name, solver in solvers.items():  # in turn, so that machine load affects all equally
            tracks[name].append(solver.track(stream))
    rows = {name: _figures(tracks[name], ours.hand) for name in solvers}
    key = "ms_mean" if prefix else "ms_p50"  # a whole clip has no median frame
    metrics: dict[str, Any] = {}
    for kind in ("",) if prefix else ("", "links_"):
        peer, converged_peer = rows.get(f"{kind}peer_"), rows.get(f"{kind}peer_converged_")
        ratio = peer and peer[key] / rows[""][key]
        metrics[f"{prefix}{kind}speed_ratio"] = ratio
        for name, row in (("", peer), ("_converged", converged_peer)):
            ratio = row and rows[""]["tip_error_mm"] / row["tip_error_mm"]
            metrics[f"{prefix}{kind}tip_error_ratio{name}"] = ratio
    return metrics | {f"{prefix}{who}{key}": value for who, row in rows.items() for key, value in row.items()}


def _streams(quick: bool) -> tuple[list[Stream], list[str]]:
    streams, notes = [], []
    for clip in splits("grab")["quick" if quick else "train"]:
        trajectory = load_clip(f"grab/{clip}")
        hand = trajectory.hands["right"]
        rate = 1.0 / float(np.median(np.diff(trajectory.time)))
        streams.append(Stream(trajectory.name, hand.keypoints, hand.wrist_pose, rate))
    video = share_dir().parent / "shared" / "data" / "hand_video" / "human_joint_right.npy"
    if video.is_file():
        keypoints = np.load(video, allow_pickle=False).astype(float)[: 150 if quick else None]
        streams.append(Stream("hand_video", keypoints, wrist_pose(keypoints, "right"), 30.0))
    else:
        notes.append(f"hand_video was not measured: {video} is absent")
    return streams, notes


def _whole(quick: bool) -> list[Stream]:
    """GRAB clips as streams at 60 Hz, as the clip solver sees them."""
    streams = []
    for clip in splits("grab")["quick"][:2] if quick else splits("grab")["train"]:
        trajectory = load_clip(f"grab/{clip}")
        keypoints, palm, _ = resample(trajectory, "right")
        streams.append(Stream(trajectory.name, keypoints, np.concatenate([keypoints[:, 0], palm], axis=1), RATE))
    return streams


def _figures(tracks: list[Track], hand: RobotHand) -> dict[str, float]:
    """Metrics over all frames except each stream's first, which has no warm start."""
    seconds = np.concatenate([t.seconds[1:] for t in tracks])
    error = np.concatenate([t.tip_error[1:] for t in tracks])
    fingers = np.concatenate([t.fingers[1:] for t in tracks])
    jerk = np.concatenate([np.diff(t.fingers[1:], n=3, axis=0).ravel() * t.rate**3 for t in tracks])
    return {
        "ms_mean": 1e3 * float(seconds.mean()),
        "ms_p50": 1e3 * float(np.median(seconds)),
        "ms_p99": 1e3 * float(np.percentile(seconds, 99)),
        "tip_error_mm": 1e3 * float(error.mean()),
        "saturation": saturation(fingers, hand),
        "jerk_rad_s3": float(np.sqrt((jerk**2).mean())),
    }


def _contact_aware(clips: list[str], picture: Path) -> dict[str, float]:
    """The whole-clip solver with contacts, without a baseline. `picture`: of the first clip."""
    hand, rows = load_hand(HAND), []
    for clip in track(clips, "whole clips with contacts"):
        trajectory = load_clip(f"grab/{clip}")
        asset = load_object(trajectory.object_name)
        began = time.process_time()
        reference = retarget(trajectory, hand, asset)
        rows.append({"seconds": time.process_time() - began} | summarise(reference, trajectory, hand, asset))
        if clip == clips[0]:
            draw(reference, trajectory, hand, asset, picture)
    keys = ("seconds", "tip_error_mm", "penetration_mm", "table_penetration_mm", "self_penetration_mm", "saturation")
    return {f"contact_{key}": float(np.median([row[key] for row in rows])) for key in keys}
