"""2D boxes of hands and object over a clip, from the boxes that a detector sees in each image (HOMan, section 3.1).

    boxes = track_boxes(time, detections, ("right", "object"))     # {"right": (T, 4), ...}

How many hands there are, and of which side, is known: of each there is one track, and what is beside it is discarded. A
Kalman filter of constant velocity predicts each box; where none is seen that fits, the track is bridged.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from dexhot.geometry.boxes import overlaps

FITS = 0.2  # overlap of a box with the predicted one from which it continues the track
BRIDGED = 1.0  # s without a box that fits, over which a track is bridged
SEEN, PUSHED = 0.05, 15.0  # standard deviations in box sizes: of a detected side; of a change of velocity, per s^1.5
BEGINS = 10.0  # and of the first velocity, per s: a hand passes its own length in 0.1 s

Boxes = Sequence[np.ndarray]  # of the candidates of each frame


def track_boxes(
    time: np.ndarray,
    detections: Mapping[str, Boxes],
    names: Sequence[str],
    followed: Mapping[str, Boxes] | None = None,
) -> dict[str, np.ndarray]:
    """Times (T,) s and, by name, T arrays (K, 5) of x0 y0 x1 y1 px and score -> boxes (T, 4), NaN where a track is not
    known. Names that are not asked for, such as a hand that nobody has, are discarded. `followed`: by name, T arrays
    (K, 4): the boxes that move steadily where the detections' own do not, such as those of keypoints where a mask has
    the forearm in one image and not in the next."""
    return {name: one_track(time, detections[name], (followed or {}).get(name)) for name in names}


def one_track(time: np.ndarray, candidates: Boxes, followed: Boxes | None = None) -> np.ndarray:
    """The box (T, 4) of one thing, forward and backward from the surest one of the clip."""
    scores = [rows[:, 4].max() if len(rows) else -np.inf for rows in candidates]
    found = np.full((len(time), 4), np.nan)
    if not np.isfinite(scores).any():
        return found
    followed = [rows[:, :4] for rows in candidates] if followed is None else followed
    start = int(np.argmax(scores))
    for order in (range(start, len(time)), range(start, -1, -1)):
        _follow(time, candidates, followed, order, found)
    return _bridged(time, found)


def _follow(time: np.ndarray, candidates: Boxes, followed: Boxes, order: Sequence[int], found: np.ndarray) -> None:
    """Writes the boxes that continue the track into `found`, frame after frame of `order`, from the surest box of the
    first of them. A box that is not where the track is expected, but within reach of where it was last seen, goes on
    with it at an unknown velocity; after BRIDGED without one that fits the surest box starts it anew.
    """
    last = seen = order[0]
    where = followed[seen][candidates[seen][:, 4].argmax()]
    mean, spread, size = _started(where)
    for t in order:
        dt, last = abs(float(time[t] - time[last])), t
        step = np.array([[1.0, dt], [0.0, 1.0]])
        pushed = PUSHED**2 * size**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        mean, spread = step @ mean, step @ spread @ step.T + pushed
        rows, boxes = candidates[t], followed[t]
        if not len(rows):
            continue
        unseen = abs(float(time[t] - time[seen]))
        if unseen > BRIDGED:
            mean, spread, size = _started(boxes[rows[:, 4].argmax()])
        chosen = int(overlaps(boxes, mean[0]).argmax())
        if overlaps(boxes[chosen, None], mean[0])[0] < FITS:
            away = np.linalg.norm(_middle(boxes) - _middle(where), axis=1)
            chosen = int(away.argmin())
            if away[chosen] > BEGINS * unseen * size:
                continue
            mean, spread, size = _started(boxes[chosen])
        seen, found[t], where = t, rows[chosen, :4], boxes[chosen]
        gain = spread[:, 0] / (spread[0, 0] + (SEEN * size) ** 2)
        mean = mean + gain[:, None] * (where - mean[0])
        spread = spread - np.outer(gain, spread[0])


def _started(box: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Box and its velocity (2, 4), their covariance (2, 2) px, and the box's size px."""
    size = float(np.sqrt(np.prod(np.maximum(box[2:] - box[:2], 1.0))))
    return np.stack([box, np.zeros(4)]), np.diag([SEEN**2, BEGINS**2]) * size**2, size


def _middle(boxes: np.ndarray) -> np.ndarray:
    """(..., 2) px of boxes (..., 4)."""
    middle: np.ndarray = 0.5 * (boxes[..., :2] + boxes[..., 2:])
    return middle


def _bridged(time: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Gaps between two boxes filled in, unless they are longer than BRIDGED."""
    seen = np.flatnonzero(np.isfinite(found[:, 0]))
    out = found.copy()
    for a, b in pairwise(seen):
        if b - a > 1 and time[b] - time[a] <= BRIDGED:
            part = ((time[a + 1 : b] - time[a]) / (time[b] - time[a]))[:, None]
            out[a + 1 : b] = (1.0 - part) * found[a] + part * found[b]
    return out


def average_precision(candidates: Sequence[np.ndarray], true: np.ndarray, least: float = 0.5) -> float:
    """Area under the precision-recall curve of candidates, T arrays (K, 5), against the true boxes (T, 4), NaN where
    there is none: a box counts where it overlaps by `least`, once a frame (PASCAL VOC's AP at 0.5)."""
    rows = [(float(row[4]), t, row[:4]) for t, frame in enumerate(candidates) for row in frame]
    wanted = int(np.isfinite(true[:, 0]).sum())
    if not rows or not wanted:
        return 0.0
    taken: set[int] = set()
    right = []
    for _, t, box in sorted(rows, key=lambda row: -row[0]):
        hit = np.isfinite(true[t, 0]) and t not in taken and overlaps(box[None], true[t])[0] >= least
        if hit:
            taken.add(t)
        right.append(bool(hit))
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / wanted
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or more
    return float(np.diff(recall, prepend=0.0) @ best)


def as_detections(boxes: np.ndarray) -> list[np.ndarray]:
    """A track (T, 4) as T arrays of at most one candidate, each as sure as the next."""
    return [np.append(box, 1.0)[None] if np.isfinite(box[0]) else np.zeros((0, 5)) for box in boxes]
