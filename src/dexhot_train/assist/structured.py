"""Structured noise: user inputs as estimated hand poses would give them (residual hand agent, III-C).

    expert's action -> virtual joint sensors and a virtual camera
      retrieved: -> the closest real hand pose of a set -> an estimator's output on its image, or the pose itself
      rendered:  -> a person's hand in that pose, drawn -> the embedded estimator's output, misses included
    -> the robot's action, by the streaming retargeter or by the paper's network

Between two pictures, and while the hand is not seen, the last input stays.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import UNREADABLE, replacing
from dexhot.datasets.bighand import read_lines
from dexhot.datasets.hand_poses import HandPoses
from dexhot.datasets.labelled import read_color
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.poses import transform
from dexhot_train.assist.adroit import AdroitTask
from dexhot_train.assist.experts import Experts
from dexhot_train.assist.ik_network import train_ik
from dexhot_train.assist.mapping import Retargeting, engaged
from dexhot_train.assist.pictures import estimated, estimated_on, in_camera, virtual_camera
from dexhot_train.assist.retrieval import Retrieval, need_colour, put_at
from dexhot_train.assist.virtual_hand import VirtualHand

NOISES, MAPPINGS = ("retrieved", "rendered"), ("retargeter", "network")
FILM = 3  # control steps per picture: 33 Hz
INPUTS = "dexhot/user-input"  # kind of the file


@dataclass(frozen=True)
class InputOptions:
    """How user inputs are made."""

    noise: str = "retrieved"  # of NOISES
    estimated: bool = False  # retrieved: the estimator's output, instead of the real pose itself
    mapping: str = "retargeter"  # of MAPPINGS
    variants: int = 4  # per motion: other cameras, persons, or halves of the set (the first sees all of it)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, valid in (("noise", self.noise, NOISES), ("mapping", self.mapping, MAPPINGS)):
            if value not in valid:
                raise DexhotError(f"no {name} {value!r}; one of {', '.join(valid)}.")


@dataclass
class SeenHands:
    """What one variant of one motion shows, at every FILM-th step."""

    camera: np.ndarray  # (7,) world_T_camera
    true: np.ndarray  # (F, 21, 3) m, world: the virtual hand
    learnt: np.ndarray  # (F, 21, 3) m, world: the real hand, which an estimator has not touched
    seen: np.ndarray  # (F, 21, 3) m, world; NaN where the hand was not found


def make_inputs(
    experts: Experts,
    options: InputOptions,
    poses: HandPoses | None = None,
    estimates: Path | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Experts, dict[str, float]]:
    """`experts` (both splits) with user inputs, and figures: of the hands seen, and of the network's fit.

    poses, estimates: see `see_hands`. Only training motions teach the network.
    """
    seen = see_hands(experts, options, poses, estimates, progress)
    return map_hands(experts, seen, options.mapping, options.seed)


def see_hands(
    experts: Experts,
    options: InputOptions,
    poses: HandPoses | None = None,
    estimates: Path | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[list[SeenHands]]:
    """What each variant of each motion shows.

    poses: the set that poses are retrieved from. estimates: results of the user's own estimator on its images, in
    BigHand's layout. Raises DexhotError for a set that is missing, or whose images need `estimates`.
    """
    if options.noise == "retrieved" and poses is None:
        raise DexhotError("retrieved inputs need a set of real hand poses.")
    if options.estimated and poses is not None and estimates is None:
        need_colour(poses)
    virtual = VirtualHand(AdroitTask(experts.task))
    results = read_lines(estimates) if estimates else None
    halves = [Retrieval(poses, [options.seed, v] if v else None) for v in range(options.variants)] if poses else []
    seen: list[list[SeenHands]] = []
    for m, actions in enumerate(experts.actions):
        seen.append([])
        for v in range(options.variants):
            rng = np.random.default_rng([options.seed, m, v])
            seen[m].append(_see(virtual, actions, options, halves[v] if halves else None, results, rng))
            if progress:
                progress(m * options.variants + v + 1, len(experts.actions) * options.variants)
    return seen


def map_hands(
    experts: Experts, seen: list[list[SeenHands]], mapping: str, seed: int = 0
) -> tuple[Experts, dict[str, float]]:
    """`experts` with the inputs that the seen hands are mapped to, and figures."""
    virtual = VirtualHand(AdroitTask(experts.task))
    figures = _figures([shown for variants in seen for shown in variants])
    network = None
    if mapping == "network":
        taught = list(zip(seen, experts.actions))[: len(experts.split("train").seeds)]
        pairs = [(in_camera(s.camera, s.learnt), actions[::FILM]) for variants, actions in taught for s in variants]
        hands_taught, actions_taught = (np.concatenate(part) for part in zip(*pairs))
        network, figures["network_rms"] = train_ik(hands_taught, actions_taught, seed)
    inputs = []
    for variants, expert in zip(seen, experts.actions):
        of_motion = []
        for shown in variants:
            there = np.isfinite(shown.seen).all(axis=(1, 2))
            hands, user = in_camera(shown.camera, shown.seen), Retargeting(virtual)
            rows: list[np.ndarray | None] = [None] * len(there)
            for k in np.flatnonzero(there):
                if network is not None:
                    rows[k] = network.action(hands[k])
                else:
                    rows[k] = user.action(expert[FILM * k], shown.true[k], shown.seen[k])
            of_motion.append(_held(rows, virtual.resting, len(expert)))
        inputs.append(np.stack(of_motion))
    return replace(experts, inputs=inputs), figures


def _see(
    virtual: VirtualHand,
    actions: np.ndarray,
    options: InputOptions,
    real: Retrieval | None,
    results: dict[str, np.ndarray] | None,
    rng: np.random.Generator,
) -> SeenHands:
    true = np.stack([virtual.keypoints(action) for action in actions[::FILM]])
    camera = virtual_camera(true, rng)
    if real is None:
        return SeenHands(camera, true, true, engaged(true, estimated(true, camera, rng)))
    poses, inside = real.poses, in_camera(camera, true)
    numbers = [real.closest(hand) for hand in inside]
    learnt = transform(camera, np.stack([put_at(poses, n, hand) for n, hand in zip(numbers, inside)]))
    if not options.estimated:
        return SeenHands(camera, true, learnt, learnt)
    if not poses.images:
        return SeenHands(camera, true, learnt, estimated(learnt, camera, rng, continuous=False))
    found = _estimates(poses, numbers, results)
    seen = np.stack([put_at(poses, n, hand, estimate) for n, hand, estimate in zip(numbers, inside, found)])
    return SeenHands(camera, true, learnt, transform(camera, seen))


def _estimates(poses: HandPoses, numbers: list[int], results: dict[str, np.ndarray] | None) -> np.ndarray:
    """(F, 21, 3) m in the camera's frame, of the images of poses `numbers`; NaN for misses."""
    if results is None:
        assert poses.camera is not None
        images = (read_color(poses.images[n]) for n in numbers)
        return estimated_on(images, poses.camera, poses.keypoints[numbers], poses.mirrored)
    sign = np.array([-1.0, 1.0, 1.0]) if poses.mirrored else np.ones(3)
    missing = np.full((21, 3), np.nan)
    return np.stack([sign * results.get(poses.images[n].name, missing) for n in numbers])


def _held(rows: list[np.ndarray | None], resting: np.ndarray, steps: int) -> np.ndarray:
    """(T, A): each picture's input until the next one's; the last one where there is none, `resting` before the
    first."""
    out, last = np.empty((steps, len(resting))), resting
    for k, row in enumerate(rows):
        last = last if row is None else row
        out[FILM * k : FILM * (k + 1)] = last
    return out


def _figures(shown: list[SeenHands]) -> dict[str, float]:
    """Fraction of pictures without the hand, and the mean joint error of the others against the virtual hand, mm."""
    true, seen = (np.concatenate([getattr(s, name) for s in shown]) for name in ("true", "seen"))
    there = np.isfinite(seen[:, 0, 0])
    error = np.linalg.norm(seen[there] - true[there], axis=-1)
    return {"missed": float(1.0 - there.mean()), "error_mm": 1e3 * float(error.mean()) if there.any() else np.nan}


def save_inputs(experts: Experts, options: InputOptions, path: Path, made: dict[str, Any]) -> Path:
    """Write the inputs of `experts` to an npz, with how they were made."""
    header = json.dumps({"schema": INPUTS, "options": asdict(options), **made}).encode()
    arrays: dict[str, Any] = {"header": np.frombuffer(header, np.uint8)}
    for k, (seed, rows) in enumerate(zip(experts.seeds, experts.inputs)):
        arrays[f"{experts.task}/{k:02d}/inputs"] = rows.astype(np.float32)
        arrays[f"{experts.task}/{k:02d}/seed"] = np.array(seed)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    return path


def load_inputs(experts: Experts, path: Path) -> tuple[Experts, dict[str, Any]]:
    """`experts` (both splits) with the inputs of a file, and how these were made.

    Raises FileFormatError for another file, or one of other motions.
    """
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist: `dexhot train user-input {experts.task}` makes it.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = sorted(key.split("/")[1] for key in arrays.files if key.startswith(f"{experts.task}/"))[::2]
            rows = [np.asarray(arrays[f"{experts.task}/{name}/inputs"], float) for name in names]
            seeds = [int(arrays[f"{experts.task}/{name}/seed"]) for name in names]
            made = json.loads(arrays["header"].tobytes())
    except UNREADABLE as error:
        raise FileFormatError(
            f"{path} holds no user inputs of {experts.task}: `dexhot train user-input {experts.task}` makes them."
        ) from error
    shapes = [actions.shape for actions in experts.actions]
    if seeds != experts.seeds or [r.shape[1:] for r in rows] != shapes:
        raise FileFormatError(
            f"{path} holds inputs of {len(seeds)} other motions than the {len(shapes)} of {experts.task}; make them "
            f"again: `dexhot train user-input {experts.task} --experts FILE`."
        )
    if not all(np.isfinite(r).all() for r in rows):
        raise FileFormatError(f"{path}: an input is not finite.")
    return replace(experts, inputs=rows), made
