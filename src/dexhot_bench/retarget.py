"""`dexhot bench retarget`: streaming retargeting compared with dex-retargeting 0.5.0's position mode, in the same run.

Both get the same keypoints frame by frame, at scale 1, with a free wrist and contact terms off; both move the same LEAP
hand (ours from urdf/leap_right's source, theirs from the URDF exported from it) and are evaluated on the same four
fingertips. The main metrics use the baseline's shipped LEAP targets: the fingertips and four more links with equal
weight. Metrics named tips_... are for the fingertips only.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.datasets.library import load_clip, splits
from dexhot.geometry.rotations import mean_quat
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir, share_dir
from dexhot.progress import track
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.picture import draw
from dexhot.retargeting.retarget import retarget
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.retargeting.summary import saturation, summarise
from dexhot.robots.robot_hand import RobotHand, load_hand

HAND = "leap_right"
TIP_KEYPOINTS = {"index_tip": 8, "middle_tip": 12, "ring_tip": 16, "thumb_tip": 4}


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
    """Our streaming solver with the baseline's inputs: no palm orientation, fingertips (and links) only."""

    def __init__(self, links: bool):
        self.hand, self.links = load_hand(HAND), links
        self.keypoints = _keypoints(self.hand, links=True)

    def track(self, stream: Stream) -> Track:
        """Solve frame by frame; only the solver is timed."""
        base = mean_quat(stream.wrist[:, 3:])
        solver = StreamingRetargeter(self.hand, base, palm=0.0, link_weight=1.0 if self.links else 0.0)
        goals = stream.keypoints[:, self.keypoints]
        seconds, error, q = [], [], []
        for goal in goals:
            began = time.perf_counter()
            row = solver.solve(goal)
            seconds.append(time.perf_counter() - began)
            solver.model.move(row)
            error.append(np.linalg.norm(solver.model.points()[:4] - goal[:4], axis=1))
            q.append(row[6:])
        return Track(np.array(seconds), np.array(error), np.array(q), stream.rate)


class Peer:
    """dex-retargeting's position mode on our exported URDF, its shipped weights. Raises ImportError if it is not
    installed."""

    def __init__(self, links: bool):
        import torch
        from dex_retargeting.retargeting_config import RetargetingConfig

        torch.set_num_threads(1)  # faster for its small tensors, and as our solver
        self.hand = load_hand(HAND)
        match = correspondence(self.hand)
        names = [*self.hand.tip_sites, *(match.links if links else ())]
        self.keypoints = _keypoints(self.hand, links)
        config = RetargetingConfig(
            type="position",
            urdf_path=str(share_dir() / "urdf" / HAND / f"{HAND}.urdf"),
            add_dummy_free_joint=True,
            target_link_names=names,
            target_link_human_indices=self.keypoints,
            low_pass_alpha=1.0,  # no filter, as in its LEAP configuration
        )
        self.solver = config.build()
        self.order = [self.solver.joint_names.index(name) for name in self.hand.joint_names]
        self.tips = [self.solver.optimizer.robot.get_link_index(name) for name in self.hand.tip_sites]

    def track(self, stream: Stream) -> Track:
        """Solve frame by frame; only the solver is timed."""
        self.solver.reset()
        self.solver.warm_start(stream.wrist[0, :3], stream.wrist[0, 3:])
        robot, goals = self.solver.optimizer.robot, stream.keypoints[:, self.keypoints]
        seconds, error, q = [], [], []
        for goal in goals:
            began = time.perf_counter()
            row = self.solver.retarget(goal)
            seconds.append(time.perf_counter() - began)
            robot.compute_forward_kinematics(row)
            tips = np.array([robot.get_link_pose(link)[:3, 3] for link in self.tips])
            error.append(np.linalg.norm(tips - goal[:4], axis=1))
            q.append(np.asarray(row)[self.order])
        return Track(np.array(seconds), np.array(error), np.array(q), stream.rate)


def run(quick: bool = False, **_: Any) -> dict[str, Any]:
    """Benchmark both; without the baseline's packages only ours, with a note. Needs the GRAB clips in the cache."""
    streams, notes = _streams(quick)
    metrics: dict[str, Any] = {}
    for prefix, links in (("", True), ("tips_", False)):
        solvers: dict[str, Ours | Peer] = {"": Ours(links)}
        try:
            solvers["peer_"] = Peer(links)
        except ImportError as e:
            notes.append(f"dex-retargeting was not measured ({e}); pip install 'dexhot[peers]'")
        tracks: dict[str, list[Track]] = {name: [] for name in solvers}
        for stream in track(streams, "streaming"):
            for name, solver in solvers.items():  # in turn, so that machine load affects both equally
                tracks[name].append(solver.track(stream))
        figures = {name: _figures(tracks[name], solver.hand) for name, solver in solvers.items()}
        peer = figures.get("peer_")
        metrics[f"{prefix}speed_ratio"] = peer["ms_p50"] / figures[""]["ms_p50"] if peer else None
        metrics[f"{prefix}tip_error_ratio"] = figures[""]["tip_error_mm"] / peer["tip_error_mm"] if peer else None
        metrics |= {f"{prefix}{who}{key}": value for who, row in figures.items() for key, value in row.items()}
    picture = cache_dir() / "bench" / "retarget.png"
    metrics |= _contact_aware(splits("grab")["quick"][:2] if quick else splits("grab")["train"], picture)
    return {"metrics": metrics, "subset": [s.name for s in streams], "notes": notes, "picture": str(picture)}


def _keypoints(hand: RobotHand, links: bool) -> np.ndarray:
    """Human keypoints of the tip sites, then of the links."""
    tips = [TIP_KEYPOINTS[site] for site in hand.tip_sites]
    return np.array([*tips, *(correspondence(hand).keypoints if links else ())], int)


def _streams(quick: bool) -> tuple[list[Stream], list[str]]:
    streams, notes = [], []
    for clip in splits("grab")["quick" if quick else "train"]:
        trajectory = load_clip(f"grab/{clip}")
        hand = trajectory.hands["right"]
        rate = 1.0 / float(np.median(np.diff(trajectory.time)))
        streams.append(Stream(trajectory.name, hand.keypoints, hand.wrist_pose, rate))
    video = share_dir().parent / "shared" / "data" / "hand_video" / "human_joint_right.npy"
    if video.is_file():
        keypoints = np.load(video, allow_pickle=False).astype(float)[: 300 if quick else None]
        streams.append(Stream("hand_video", keypoints, wrist_pose(keypoints, "right"), 30.0))
    else:
        notes.append(f"hand_video was not measured: {video} is absent")
    return streams, notes


def _figures(tracks: list[Track], hand: RobotHand) -> dict[str, float]:
    """Metrics over all frames except each stream's first, which has no warm start."""
    seconds = np.concatenate([t.seconds[1:] for t in tracks])
    error = np.concatenate([t.tip_error[1:] for t in tracks])
    fingers = np.concatenate([t.fingers[1:] for t in tracks])
    jerk = np.concatenate([np.diff(t.fingers[1:], n=3, axis=0).ravel() * t.rate**3 for t in tracks])
    return {
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
        began = time.perf_counter()
        reference = retarget(trajectory, hand, asset)
        rows.append({"seconds": time.perf_counter() - began} | summarise(reference, trajectory, hand, asset))
        if clip == clips[0]:
            draw(reference, trajectory, hand, asset, picture)
    keys = ("seconds", "tip_error_mm", "penetration_mm", "table_penetration_mm", "self_penetration_mm", "saturation")
    return {f"contact_{key}": float(np.median([row[key] for row in rows])) for key in keys}
