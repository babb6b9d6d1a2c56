"""A recording with its evidence fitted from first frame to last, by any recipe."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import ClipError
from dexhot.fitting.frames import Frame
from dexhot.fitting.hand_fit import LEAST_SEEN
from dexhot.fitting.recipe import METHODS, Recipe
from dexhot.fitting.result import RecordingFit, Scenes, fit_of
from dexhot.fitting.scene import HandObjectScene, ObjectModel, object_model
from dexhot.fitting.silhouette_search import ObjectStart
from dexhot.fitting.smooth import smoothed
from dexhot.fitting.tracker import SHAPE_SECONDS, HandObjectTracker, Tracked, same
from dexhot.fitting.views import RecordedView, frames_by_all, recorded_views
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.flips import TURN
from dexhot.humans.skin import KeypointTable, SkinnedHand
from dexhot.objects.asset import ObjectAsset
from dexhot.progress import Report, unreported

HOPELESS = 100.0  # of the cost: how much worse a fit backward may become before it is given up
BREAK = 100.0  # of the cost: what a leap is worth avoiding
LEAP_SPEED = 3.0  # m/s from one frame to the next: people move an object at up to 2 m/s


def fit_recording(
    recording: Recording | Sequence[Recording],
    evidence: Evidence | Sequence[Evidence],
    asset: ObjectAsset | None,
    recipe: Recipe,
    hands: SkinnedHand | Sequence[SkinnedHand],
    table: KeypointTable | None = None,
    with_pose: bool = True,
    regressed: np.ndarray | None = None,
    progress: Report = unreported,
) -> RecordingFit:
    """Fit one hand (HOMan: or two) and one object (None: the hand alone, with the tracker) to a whole recording, or to
    several of the same moments by calibrated cameras, with their evidence in the same order. Frames, stamps and what is
    fitted are then the first one's.

    `table`: the keypoints' convention, by default MediaPipe's. `with_pose` False: without the object poses of an
    estimator; recipes without depth never use them. `regressed` (T, 7): camera_T_mesh of a regressor from the first
    one's colour images, NaN where it gave none, from which recipes without depth start; None: they search the object by
    its masks. `progress`: called with the frames or steps done, their number (None: not countable) and the stage.
    Raises ClipError where no frame shows enough of a hand, where several recordings are not calibrated in one world or
    not of the same moments, and for regressed poses that the recipe does not start from.
    """
    hands = [hands] if isinstance(hands, SkinnedHand) else list(hands)
    if recipe.method == "contact":
        raise ClipError(
            f"recipe {recipe.name} moves a hand to known contact, which no recording has: dexhot.fitting.contact, or "
            "`dexhot bench fit --recipes contact`."
        )
    if recipe.method == "robot_hand":
        raise ClipError(
            f"recipe {recipe.name} needs the robot's joints: fit_robot_hand, or `dexhot fit --joints FILE`."
        )
    if recipe.method == "body":
        raise ClipError(f"recipe {recipe.name} fits a single picture: fit_body, or `dexhot fit PICTURE --recipe body`.")
    if len(hands) > 1 and recipe.method != "homan":
        raise ClipError(f"recipe {recipe.name} fits one hand; two hands need --recipe homan.")
    if asset is None and recipe.method != "tracking":
        raise ClipError(f"recipe {recipe.name} needs an object; the hand alone is fitted with --recipe default.")
    if regressed is not None and METHODS[recipe.method].depth:
        raise ClipError(f"recipe {recipe.name} reads depth; a regressor starts the object of those that do not.")
    recordings = [recording] if isinstance(recording, Recording) else list(recording)
    evidences = [evidence] if isinstance(evidence, Evidence) else list(evidence)
    convention = table.name if table else "mediapipe"
    tables = {hand.side: hand.table(convention) for hand in hands}
    sights = recorded_views(recordings, evidences)
    for hand in hands:
        frames = frames_by_all(sights, hand.side)
        if not any(_shown(f) for f in frames):
            names = ", ".join(one.name for one in recordings)
            raise ClipError(f"no frame of {names} shows {LEAST_SEEN} keypoints of the {hand.side} hand.")
    if recipe.method == "tracking":
        return _track(sights, asset, recipe, hands[0], tables, with_pose, progress)
    assert asset is not None
    model = object_model(asset)
    began = time.thread_time()
    scenes, begun = _descend(sights, model, recipe, hands, convention, with_pose, regressed, progress)
    seconds = np.full(len(scenes), (time.thread_time() - began) / len(scenes))
    return fit_of(sights, asset, model, recipe, tables, scenes, seconds, object_start=begun)


def _shown(frame: Frame) -> bool:
    """Whether some camera shows enough of the hand."""
    return any(np.nan_to_num(one.confidence).sum() >= LEAST_SEEN for one in (frame, *frame.others))


def _track(
    sights: Sequence[RecordedView],
    asset: ObjectAsset | None,
    recipe: Recipe,
    hand: SkinnedHand,
    tables: dict[str, KeypointTable],
    with_pose: bool,
    progress: Report,
) -> RecordingFit:
    """Frame by frame with the tracker; the shape first, from the first second."""
    frames, table = frames_by_all(sights, hand.side, with_pose), tables[hand.side]
    usable = [f for f in frames if _shown(f)]
    model = object_model(asset) if asset else None
    camera, *others = (one.at for one in sights)
    first = [f for f in usable if f.time - usable[0].time <= SHAPE_SECONDS]
    tracker = HandObjectTracker(hand, model, camera.intrinsics, recipe, table, others=others)
    progress(0, None, "the hand's shape")
    shape = tracker.shape_of([one for f in first for one in tracker.sightings_of(tracker.view(f))])

    def new() -> HandObjectTracker:
        return HandObjectTracker(hand, model, camera.intrinsics, recipe, table, shape, others=others)

    tracker = new()
    progress(0, None, "the first frame")  # with the search for the object; a first use compiles
    tracked = []
    for t, frame in enumerate(frames, 1):
        tracked.append(tracker.step(frame))
        progress(t, len(frames), "frames")
    both = [t for t, one in enumerate(tracked) if one is not None and (model is None or one.object_seen)]
    if both and both[0]:  # hand and object were there before both were first seen: backward, once the start has settled
        progress(0, None, "back from where hand and object were seen")
        settled = min(both[0] + recipe.solver["alive"], len(frames) - 1)
        tracked[:settled] = list(_backward(tracked, frames, settled, new()))[::-1]
    progress(0, None, "frames before a better hypothesis")
    mend(tracked, frames, new, model)
    began = time.thread_time()
    if weight := recipe.solver["smooth"]:
        progress(0, None, "all frames together")
        since = next(t for t, one in enumerate(tracked) if one is not None)
        known = [one for one in tracked if one is not None]
        tracked[since:] = smoothed(new(), frames[since:], known, weight)
    smoothing = (time.thread_time() - began) / len(frames)
    scenes: list[Scenes] = [
        {} if one is None else {hand.side: HandObjectScene(tracker.person, model, one.state)} for one in tracked
    ]
    seconds = np.array([0.0 if one is None else one.seconds for one in tracked])
    return replace(fit_of(sights, asset, model, recipe, tables, scenes, seconds, tracked), smoothing=smoothing)


def _backward(
    tracked: Sequence[Tracked | None], frames: Sequence[Frame], settled: int, back: HandObjectTracker
) -> Iterator[Tracked]:
    """The frames before `settled`, from that one on backward."""
    start = tracked[settled]
    assert start is not None
    back.begin_at(start)
    for t in range(settled - 1, -1, -1):
        found, before = back.step(replace(frames[t], time=-frames[t].time)), tracked[t]
        assert found is not None
        yield replace(found, seconds=found.seconds + (before.seconds if before else 0.0))


def mend(
    tracked: list[Tracked | None],
    frames: Sequence[Frame],
    new: Callable[[], HandObjectTracker],
    model: ObjectModel | None,
) -> None:
    """Where another hypothesis took the lead, or the object stands otherwise from one frame to the next, the frames
    before are fitted again, backward from where that had settled: as many of them as together cost less so, where a
    leap that is left costs too."""
    done = len(frames)
    switches = {t for t, one in enumerate(tracked) if one is not None and one.switched}
    for switch in sorted(switches | (leaps(tracked, frames, model) if model else set()), reverse=True):
        if switch >= done:
            continue  # within what was mended from a later one
        settled = next((t for t in range(switch, len(frames)) if (one := tracked[t]) and one.settled), len(frames) - 1)
        judge, again = new(), list[Tracked]()
        gain = most = 0.0
        done = switch
        for found in _backward(tracked, frames, settled, new()):
            again.append(found)
            t = settled - len(again)
            before = tracked[t]
            if before is None or t >= switch:
                continue
            view = judge.view(frames[t])
            gain += judge.cost(before.state, view) - judge.cost(found.state, view)
            joined = t == 0 or tracked[t - 1] is None or same(before.state, found.state)
            if (value := gain + (BREAK if joined else 0.0)) > most:
                most, done = value, t
            if gain < most - HOPELESS or same(before.state, found.state):
                break
        tracked[done:settled] = again[: settled - done][::-1]


def leaps(tracked: Sequence[Tracked | None], frames: Sequence[Frame], model: ObjectModel) -> set[int]:
    """The frames in which the object is farther from where it was in the frame before than anybody moves it in that
    time."""
    found = set()
    for t, (before, now) in enumerate(pairwise(tracked), 1):
        if before is None or now is None:
            continue
        was, pose = before.state.object_pose(), now.state.object_pose()
        turned = reduced_angle(model.symmetry, was[None, 3:], pose[None, 3:])[0]
        reach = LEAP_SPEED * (frames[t].time - frames[t - 1].time)
        if turned > TURN or np.linalg.norm(pose[:3] - was[:3]) > reach:
            found.add(t)
    return found


def without_depth(recording: Recording, evidence: Evidence) -> tuple[Recording, Evidence]:
    """Colour images, masks and 2D keypoints alone: no depth, nor what may come from it."""
    blind = {side: x.copy() for side, x in evidence.keypoints.items()}
    for x in blind.values():
        x[..., :3] = np.nan
    unseen = np.full_like(evidence.object_pose, np.nan)
    return (
        replace(recording, depth=np.zeros_like(recording.depth)),
        replace(evidence, keypoints=blind, object_pose=unseen),
    )


def _descend(
    sights: Sequence[RecordedView],
    model: ObjectModel,
    recipe: Recipe,
    hands: Sequence[SkinnedHand],
    convention: str,
    with_pose: bool,
    regressed: np.ndarray | None,
    progress: Report,
) -> tuple[list[Scenes], ObjectStart | None]:
    """With Adam, as the papers do. What a recipe without depth gets has none."""
    if not METHODS[recipe.method].depth:
        sights = [RecordedView(*without_depth(one.recording, one.evidence), one.at) for one in sights]
    if recipe.method == "tfhot":
        from dexhot.fitting.tfhot import fit_tfhot

        return fit_tfhot(sights, model, recipe, hands[0], convention, with_pose, progress), None
    if recipe.method == "homan":
        from dexhot.fitting.homan import fit_homan

        return fit_homan(sights, model, recipe, hands, convention, regressed, progress)
    from dexhot.fitting.handypriors import fit_handypriors

    return fit_handypriors(sights, model, recipe, hands[0], convention, regressed, progress)
