"""Hand and object tracked from frame to frame: what a live camera and a recording both run.

    tracker = HandObjectTracker(open_hand("right"), object_model(asset), camera, load_recipe("default"))
    tracked = tracker.step(frame)       # state, covariance, scores, lost flags

Each frame: predict; take the best start of the object; up to five Gauss-Newton steps over 57 unknowns, scales from wide
to narrow; judge. What starts anew (the first frame, a lost hand or object) goes on as several hypotheses for some
frames, until the one of least cost remains.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg.lapack import dposv, dpotrf, dpotri

from dexhot.data.keypoints import MIDDLE_MCP, WRIST
from dexhot.errors import ClipError
from dexhot.fitting import kernels, object_start
from dexhot.fitting.frames import Frame, frame_view, some, thinning
from dexhot.fitting.hand_fit import LEAST_SEEN, Sighting, data_terms, fit_shape, regularisers, starts_from_pixels
from dexhot.fitting.normal_equations import mirror
from dexhot.fitting.object_start import Placed
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.scene import UNKNOWNS, HandObjectScene, ObjectModel, SceneState, object_at
from dexhot.fitting.scene_terms import (
    Attraction,
    CloudToObject,
    FrameView,
    FreeSpace,
    Ground,
    HandMask,
    HandOnly,
    ObjectMask,
    Penetration,
    SceneTerm,
    Surface,
    Temporal,
)
from dexhot.fitting.solver import LONGEST, solve_pose
from dexhot.fitting.terms import FingersApart, JointLimits, KeypointDepth, Keypoints2D, LikelyPose, RelativeDepth
from dexhot.fitting.viewpoint import Viewpoint
from dexhot.geometry.cameras import Intrinsics, pinhole_rays, project_pinhole
from dexhot.geometry.planes import TableInView
from dexhot.humans.kernels import POSE_SIZE, logarithm
from dexhot.humans.skin import HandPose, KeypointTable, ShapedHand, SkinnedHand
from dexhot.humans.zones import contact_zones

STEPS = np.concatenate([LONGEST, np.repeat([0.4, 0.05], 3)])  # longest of one iteration: rad, m
CONVERGED = 0.008  # of STEPS: a frame's iterations end with a step that is shorter
SHAPE_SECONDS, SHAPE_FRAMES = 1.0, 12  # s over which the shape is estimated, and from how many frames
NEAR_PIXELS, NEAR_CLOUD = 0.03, 0.010  # of the image's width; m: where the hand's score counts evidence as explained
TOUCHING = 0.006  # m between hand and object below which the one carries the other while it is not seen
SEARCH_EVERY = 5  # frames between two searches for a lost object
RIVALS_EVERY = 3  # frames between two looks at poses that look alike
MOST_GAIN, KEPT_DOUBT = 0.04, 0.9  # of the misfit, most that one look tells; how much of what was told before remains
DOUBTED, SURE, RULED_OUT = 0.08, -0.1, -0.04  # sums at which a rival is tried; the least; below which it is ruled out
SAME = 0.03  # rad, and ten times the m, within which two hypotheses are one
LATEST = 0.3  # of a hypothesis' cost, the last frame's part
START_ITERATIONS = 15
LEAST_MEASURED, SKIN = 5, 0.008  # keypoints in space; m from skin to joint
FAR_ASIDE, FAR_ALONG = 0.015, 0.03  # m, farther than their median errs; hidden joints lie behind what is measured
FIRST_WIDE = 4.0
ALONE = 2.0, 8.0  # of keypoints without depth, factors of sigma and weight: all there is, and a fast finger no outlier
SINGULAR = "the normal equations of a frame are not positive definite"


@dataclass
class Tracked:
    """Hand and object in one frame, in the camera's frame."""

    state: SceneState
    keypoints: np.ndarray  # (21, 3) m
    covariance: np.ndarray  # (57, 57), of a step of the state
    hand_seen: bool
    object_seen: bool
    hand_score: float  # 0 to 1: how much of what was seen of the hand is explained
    object_score: float  # at most 1; 0 where unseen
    hand_lost: bool
    object_lost: bool
    cost: float
    seconds: float  # of one core
    object_ambiguous: bool = False  # another pose of the object, which looks alike, is not ruled out
    switched: bool = False  # another hypothesis took the lead, so that the frames before were likely wrong
    settled: bool = True  # one hypothesis is left


@dataclass
class Hypothesis:
    """One way on: states of this frame and the one before, and the cost so far."""

    state: SceneState
    before: SceneState | None = None
    cost: float = 0.0  # a mean over its frames, the last ones heaviest
    normal: np.ndarray | None = None  # (57, 57)
    root: int = 0  # number of the start that it goes back to
    doubts: np.ndarray | None = None  # (R,) by rival of the object's pose, how much better it fitted lately


class TrackerCamera:
    """One camera's pixels, as the tracker takes them."""

    def __init__(self, at: Viewpoint):
        camera = at.intrinsics
        self.at = at
        self.desk = TableInView(camera)
        self.pinhole = camera.pinhole
        self.thin = thinning(camera)
        self.small = self.pinhole / self.thin
        self.width = camera.width


class HandObjectTracker:
    """Tracks one hand and one object; `model` None: the hand alone."""

    def __init__(
        self,
        hand: SkinnedHand,
        model: ObjectModel | None,
        camera: Intrinsics,
        recipe: Recipe,
        table: KeypointTable | None = None,
        shape: np.ndarray | None = None,
        palm_length: float = 0.0,
        others: Sequence[Viewpoint] = (),
    ):
        """`table`: the keypoints' convention, by default MediaPipe's; `shape` (S,) of a known person, else it is
        estimated over the first second; or `palm_length` of a mean hand, m. `others`: further calibrated cameras,
        those of every frame's `others`."""
        if hand.prior is None:
            raise ClipError(f"the {hand.name} model has no pose prior, which a fit needs.")
        self.hand, self.model, self.recipe = hand, model, recipe
        self.table = table or hand.table("mediapipe")
        self.person = hand.shaped(shape)
        self.shape_known = shape is not None or palm_length > 0.0
        if palm_length:
            self.person = ShapedHand(hand, self.person.shape, palm_length / rest_palm(self.person, self.table))
        self.cameras = [TrackerCamera(at) for at in (Viewpoint(camera), *others)]
        self.zones = [zone for name, zone in contact_zones(hand).items() if name != "palm"]
        self.hypotheses: list[Hypothesis] = []
        self.young = 0  # frames until the hypotheses become one
        self.frames = 0
        self.sightings: list[tuple[float, Sighting]] = []
        self.sought = -SEARCH_EVERY  # frame of the last search for the object
        self.rivals = [] if model is None else object_start.rivals(model)
        self.met = False  # whether the object was ever seen
        self.roots = 0  # starts so far
        self.leading = 0  # root of the last frame's best hypothesis

    def step(self, frame: Frame) -> Tracked | None:
        """The next frame; None as long as no hand was ever seen."""
        began = time.thread_time()
        view = self.view(frame)
        views = (view, *view.others)
        seen = any(one.confidence.sum() >= LEAST_SEEN for one in views)
        visible = any(hand_visible(one) for one in views)
        if seen and not self.shape_known:
            self._learn_shape(frame, view)
        if not self.hypotheses:
            if not seen:
                return None
            self._begin(view, frame)
        else:
            self.hypotheses = [self._advance(one, view, frame, visible) for one in self.hypotheses]
        self._choose()
        object_seen = self.model is not None and object_visible(view)
        if not self.met and object_seen:
            self.met = True
            if self.frames:  # in the first frame `_begin` has searched
                self._search_object(view)
        mistaken = self._mistaken(view)
        best = self.hypotheses[0]
        switched, self.leading = best.root != self.leading, best.root
        hand_score = self.hand_score(best.state, view) if visible else 0.0
        object_score = self.object_score(best.state, view) if object_seen else 0.0
        hand_lost = bool(visible and hand_score < self.recipe.solver["hand_lost"])
        object_lost = bool(mistaken or (object_seen and object_score < self.recipe.solver["object_lost"]))
        if hand_lost and seen and self.young == 0:
            self._restart_hand(view)
        if object_lost and not mistaken and self.young == 0 and self.frames - self.sought >= SEARCH_EVERY:
            self._search_object(view)
        self.frames += 1
        best = self.hypotheses[0]
        assert best.normal is not None
        return Tracked(
            best.state,
            self.person.posed(best.state.hand).keypoints(self.table),
            covariance(best.normal),
            visible,
            object_seen,
            hand_score,
            object_score,
            hand_lost,
            object_lost,
            best.cost,
            time.thread_time() - began,
            object_seen and best.doubts is not None and bool((best.doubts > RULED_OUT).any()),
            switched and self.frames > 1,
            self.young == 0,
        )

    def begin_at(self, tracked: Tracked) -> None:
        """Go on from a state that is known, for instance backward in time."""
        normal, doubts = np.linalg.inv(tracked.covariance), np.zeros(len(self.rivals))
        self.hypotheses = [Hypothesis(tracked.state, None, tracked.cost, normal, 0, doubts)]
        self.young, self.met = 0, True

    @property
    def wrist(self) -> np.ndarray:
        """(3,) m, the wrist's joint in the person's rest pose."""
        joint: np.ndarray = self.person.joints[0]
        return joint

    # what was seen

    def view(self, frame: Frame) -> FrameView:
        """The frame as the terms take it, with the pixels behind the wrist left out."""
        predicted = self.person.posed(self.hypotheses[0].state.hand).keypoints(self.table) if self.hypotheses else None
        pairs = zip(self.cameras, (frame, *frame.others), strict=True)
        view, *others = (self._view(camera, one, predicted) for camera, one in pairs)
        view.others = tuple(others)
        return view

    def _view(self, camera: TrackerCamera, frame: Frame, predicted: np.ndarray | None) -> FrameView:
        """By one camera; `predicted` (21, 3) m in the scene."""
        if predicted is not None:
            predicted = camera.at.points_there(predicted)
        solver = self.recipe.solver
        count = solver["hand_points"], solver["object_points"]
        table = camera.desk(frame.depth)
        return frame_view(frame, self.hand.side, camera.pinhole, camera.thin, predicted, *count, table)

    def sightings_of(self, view: FrameView) -> list[Sighting]:
        """The keypoints alone, by every camera that shows them, in its own frame."""
        return [sighting(one) for one in (view, *view.others) if one.confidence.sum() >= LEAST_SEEN]

    def together(self, view: FrameView) -> FrameView:
        """The first camera's view with the object's cloud of all: where the object's starts are sought."""
        if not view.others:
            return view
        clouds = [camera.at.points_back(one.object_cloud) for camera, one in self.by_camera(view)]
        return replace(view, object_cloud=np.concatenate(clouds))

    def clearest(self, view: FrameView) -> tuple[TrackerCamera, FrameView]:
        """The camera that shows most of the hand's keypoints: where the hand's starts are sought."""
        return max(self.by_camera(view), key=lambda pair: float(pair[1].confidence.sum()))

    def by_camera(self, view: FrameView) -> list[tuple[TrackerCamera, FrameView]]:
        return list(zip(self.cameras, (view, *view.others), strict=True))

    # the person

    def _learn_shape(self, frame: Frame, view: FrameView) -> None:
        """From the keypoints of the first second, once it is over."""
        self.sightings += [(frame.time, one) for one in self.sightings_of(view)]
        if frame.time - self.sightings[0][0] < SHAPE_SECONDS or len(self.sightings) < SHAPE_FRAMES:
            return
        self.person = self.hand.shaped(self.shape_of([seen for _, seen in self.sightings]))
        self.shape_known, self.sightings = True, []

    def shape_of(self, sightings: Sequence[Sighting]) -> np.ndarray:
        """(S,) that explains the keypoints of some frames."""
        assert self.hand.prior is not None
        chosen = np.unique(np.linspace(0, len(sightings) - 1, SHAPE_FRAMES).astype(int))
        sigmas = 0.003, self._pixel_sigma(), self._relative_sigma()
        frames = {int(t): (sightings[t], data_terms(self.table, sightings[t], *sigmas)) for t in chosen}
        return fit_shape(self.hand, self.table, frames, regularisers(self.hand.prior, 0.3))[0]

    def _pixel_sigma(self) -> float:
        return float(self.recipe.terms.get("joints_2d", {}).get("sigma", 0.0047)) * self.cameras[0].width

    def _relative_sigma(self) -> float:
        """m; 0: the recipe has no such term."""
        row = self.recipe.terms.get("relative_depth", {"weight": 0.0})
        return float(row["sigma"]) / float(np.sqrt(row["weight"])) if row["weight"] else 0.0

    # starts

    def _begin(self, view: FrameView, frame: Frame) -> None:
        """Hypotheses of the hand and of the object, each with the best of the other."""
        things = self._objects(view, frame)
        hands = self._hands(view)
        kept = self.recipe.solver["kept"]
        first = [SceneState(hands[0], *placed) for placed in things[:kept]]
        states = first + [SceneState(pose, *things[0]) for pose in hands[1:kept]]
        self.hypotheses = [self._first(state, view) for state in states]
        self.young = self.recipe.solver["alive"]

    def _hands(self, view: FrameView) -> list[HandPose]:
        """Ten starts over SO(3), fitted to the keypoints and their depth, those of least cost first."""
        assert self.hand.prior is not None
        camera, clear = self.clearest(view)
        seen = sighting(clear)
        terms = [
            *data_terms(self.table, seen, 0.003, 2.0 * self._pixel_sigma(), self._relative_sigma()),
            LikelyPose(self.hand.prior, 0.6),
            JointLimits(self.hand.prior),
        ]
        chosen: list[HandPose] = []
        for pose in starts_from_pixels(self.hand, self.table, seen):
            if all(np.trace(pose.rotation.T @ other.rotation) < 2.4 for other in chosen):  # 45 degrees apart
                chosen.append(pose)
            if len(chosen) == self.recipe.solver["hypotheses"]:
                break
        fitted = [solve_pose(self.person, pose, terms, START_ITERATIONS) for pose in chosen]
        fitted.sort(key=lambda one: one.cost)
        return [camera.at.hand_back(one.posed.pose, self.wrist) for one in fitted]

    def _objects(self, view: FrameView, frame: Frame) -> list[Placed]:
        """The pose that was measured, else the hypotheses of a search."""
        if frame.object_pose is not None and np.isfinite(frame.object_pose).all():
            return [object_at(frame.object_pose)]
        if self.model is None or not object_visible(view):
            return [(np.eye(3), np.array([0.0, 0.0, 1.0]))]
        self.sought = self.frames
        solver = self.recipe.solver
        found = object_start.search(self.model, self.together(view), solver["object_hypotheses"], solver["kept"])
        return [placed for _, placed in found]

    def _first(self, state: SceneState, view: FrameView) -> Hypothesis:
        iterations = self.recipe.solver["first_iterations"]
        state, normal, _ = self.solve(state, view, None, iterations, FIRST_WIDE)
        self.roots += 1
        doubts = np.zeros(len(self.rivals))
        return Hypothesis(state, None, self.cost(state, view), normal, self.roots, doubts)

    def _restart_hand(self, view: FrameView) -> None:
        """The lost hand's hypotheses beside the one that there is."""
        last = self.hypotheses[0]
        poses = self._hands(view)[: self.recipe.solver["kept"]]
        self.hypotheses += [
            self._first(SceneState(pose, last.state.rotation, last.state.position), view) for pose in poses
        ]
        self.young = self.recipe.solver["alive"]
        self._choose()

    def _go_on_beside(self, state: SceneState, view: FrameView) -> None:
        """Another hypothesis beside the best one, as if of the same past: the cost decides."""
        best, other = self.hypotheses[0], self._first(state, view)
        other.cost = best.cost + LATEST * (other.cost - self.cost(best.state, view))
        self.hypotheses.append(other)
        self.young = max(self.young, self.recipe.solver["alive"])
        self._choose()

    def _mistaken(self, view: FrameView) -> bool:
        """Every few frames: how much better poses that look much like the object's fit. One that did so over several
        looks goes on beside it, and the cost decides: no object turns over from one frame to the next."""
        best = self.hypotheses[0]
        few = self.model is None or not object_visible(view)
        if few or best.doubts is None or not len(self.rivals) or self.frames % RIVALS_EVERY:
            return False
        assert self.model is not None
        placed = best.state.rotation, best.state.position
        before = KEPT_DOUBT * best.doubts
        gains, poses = object_start.rival_gains(self.model, self.together(view), placed, self.rivals, before)
        best.doubts = np.maximum(before + np.clip(gains, -MOST_GAIN, MOST_GAIN), SURE)
        strongest = int(np.argmax(best.doubts))
        if best.doubts[strongest] < DOUBTED:
            return False
        best.doubts[strongest] = 0.0
        self._go_on_beside(best.state.with_object(*poses[strongest]), view)
        return self.hypotheses[0] is best

    def _search_object(self, view: FrameView) -> None:
        """The lost object's hypotheses beside the one that there is."""
        assert self.model is not None
        self.sought = self.frames
        solver = self.recipe.solver
        last = self.hypotheses[0]
        whole = self.together(view)
        for _, placed in object_start.search(self.model, whole, solver["object_hypotheses"], solver["kept"]):
            self.hypotheses.append(self._first(last.state.with_object(*placed), view))
        self.young = solver["alive"]
        self._choose()

    def _choose(self) -> None:
        """The cheapest first; it alone once all have had their time. Of those that came to the same, one."""
        self.hypotheses.sort(key=lambda one: one.cost)
        unlike: list[Hypothesis] = []
        for one in self.hypotheses:
            if not any(same(one.state, other.state) for other in unlike):
                unlike.append(one)
        self.hypotheses = unlike[: 2 * self.recipe.solver["kept"]]
        if self.young:
            self.young -= 1
        if self.young == 0:
            self.hypotheses = self.hypotheses[:1]

    # one frame

    def _advance(self, one: Hypothesis, view: FrameView, frame: Frame, visible: bool) -> Hypothesis:
        start = self._predicted(one)
        hand = self._hand_start(start.hand, view) if visible else one.state.hand
        start = near = SceneState(hand, start.rotation, start.position)
        if self.model is not None:
            touching = self._touching(one.state)
            placed, kept_to = self._object_start(one, start, view, frame, touching)
            if touching and not visible and object_visible(view):  # what it holds carries the unseen hand
                start = replace(start, hand=object_start.holding(one.state, placed, self.wrist))
            start, near = start.with_object(*placed), start.with_object(*kept_to)
        state, normal, cost = self.solve(
            start, view, near, self.recipe.solver["iterations"], self.recipe.solver["widest"]
        )
        return Hypothesis(
            state,
            one.state,
            (1.0 - LATEST) * one.cost + LATEST * cost if one.before else 0.5 * (one.cost + cost),
            normal,
            one.root,
            one.doubts,
        )

    def _predicted(self, one: Hypothesis) -> SceneState:
        """With a part of the last frame's velocity."""
        if one.before is None:
            return one.state
        last, now, part = one.before, one.state, self.recipe.solver["velocity"]
        step = last.change_to(now)
        step[6:POSE_SIZE] *= 0.5  # the fingers
        return now.plus(part * step)

    def _hand_start(self, predicted: HandPose, view: FrameView) -> HandPose:
        """Moved to where the keypoints were measured in space, if that is farther than they err."""
        camera, view = self.clearest(view)
        there = camera.at.hand_there(predicted, self.wrist)
        measured = (view.depth > 0) & (view.confidence > 0)
        if np.count_nonzero(measured) < LEAST_MEASURED:
            return predicted
        z = view.depth[measured, None] + SKIN
        rays = pinhole_rays(view.pixels[measured], view.camera)
        expected = self.person.posed(there).keypoints(self.table)[measured]
        off = np.median(np.hstack([rays * z, z]) - expected, axis=0)
        if np.linalg.norm(off[:2]) < FAR_ASIDE and abs(off[2]) < FAR_ALONG:
            return predicted
        moved = HandPose(there.rotation, there.translation + off, there.fingers)
        return camera.at.hand_back(moved, self.wrist)

    def _object_start(
        self, one: Hypothesis, predicted: SceneState, view: FrameView, frame: Frame, touches: bool
    ) -> tuple[Placed, Placed]:
        """The best of: measured, constant velocity, carried by the hand, at rest, on the cloud; after some steps onto
        the cloud, and as it was before them, to which the temporal term keeps what the cloud does not tell."""
        assert self.model is not None
        carried = object_start.carried(one.state, predicted, self.wrist)
        rest = (one.state.rotation, one.state.position)
        moving = (predicted.rotation, predicted.position)
        if not object_visible(view):
            return (carried, carried) if touches else (rest, rest)
        view = self.together(view)
        candidates = [
            *((carried, moving) if touches else (moving, carried)),
            rest,
            object_start.on_cloud(self.model, view.object_cloud, predicted.rotation),
        ]
        if frame.object_pose is not None and np.isfinite(frame.object_pose).all():
            candidates.append(object_at(frame.object_pose))
        chosen, placed = object_start.best_of(self.model, view, candidates)
        return placed, candidates[chosen]

    def _touching(self, state: SceneState) -> bool:
        scene = self._scene(state)
        return bool(scene.distances(scene.hand.vertices)[0].min() < TOUCHING)

    def solve(
        self,
        start: SceneState,
        view: FrameView,
        near: SceneState | None,
        iterations: int,
        widest: float,
    ) -> tuple[SceneState, np.ndarray, float]:
        """Gauss-Newton from `start`; the state, its normal equations (57, 57) and the cost before the last step."""
        sights = [(camera, one, self.terms_of(camera, one, near)) for camera, one in self.by_camera(view)]
        sights[0][2].extend(self.unseen_terms(view, near))
        state, seen = start, [np.zeros(0, np.int64)] * len(sights)
        A, cost = np.zeros((UNKNOWNS, UNKNOWNS)), 0.0
        for k in range(iterations):
            narrow = max(1.0, widest * 0.5**k) if near is not None else max(1.0, widest * 0.75**k)
            A, g, cost = np.zeros((UNKNOWNS, UNKNOWNS)), np.zeros(UNKNOWNS), 0.0
            for j, (camera, one, terms) in enumerate(sights):
                scene = self._scene(camera.at.state_there(state, self.wrist), seen[j])
                if k in (0, 2) or near is None:
                    scene.seen = seen[j] = scene.look(camera.small, one.labels.shape)
                own_A, own_g, own_cost = normal_equations(scene, terms, narrow)
                own_A, own_g = camera.at.equations_back(own_A, own_g)
                A, g, cost = A + own_A, g + own_g, cost + own_cost
            damped = A.copy()
            damped.ravel()[:: UNKNOWNS + 1] *= 1.0 + self.recipe.solver["damping"]
            damped.ravel()[:: UNKNOWNS + 1] += 1e-2 if near is None else 1e-6
            _, step, failed = dposv(damped, -g)
            if failed:
                raise np.linalg.LinAlgError(SINGULAR)
            length = float(np.max(np.abs(step) / STEPS))
            state = state.plus(step / max(1.0, length))
            if near is not None and narrow == 1.0 and length < CONVERGED:
                break
        return state, A, cost

    def terms_of(self, camera: TrackerCamera, view: FrameView, near: SceneState | None) -> list[SceneTerm]:
        """Those of what one camera sees, in its frame."""
        hand_seen = near is None or hand_visible(view)
        found: list[SceneTerm] = []
        for name, given in self.recipe.terms.items():
            row = dict(given)
            if name == "free_space":
                found.append(FreeSpace(view, **row))
            elif self.model is not None and name == "sdf":
                found.append(CloudToObject(view, **row))
            elif self.model is not None and name == "object_mask":
                found.append(ObjectMask(view, **row))
            elif not hand_seen:
                continue
            elif name == "joints_2d":
                wide, strong = (1.0, 1.0) if len(view.hand_cloud) else ALONE
                sigma = wide * row["sigma"] * camera.width
                pixels = Keypoints2D(self.table, view.camera, view.pixels, view.confidence, sigma)
                found.append(HandOnly(pixels, strong * row["weight"]))
            elif name == "joint_depth":
                measured = view.confidence * (view.depth > 0)
                term = KeypointDepth(self.table, view.depth, measured, row["sigma"], row["inside"], row["hidden"])
                found.append(HandOnly(term, row["weight"]))
            elif name == "relative_depth" and view.relative_depth is not None:
                guess = RelativeDepth(self.table, view.camera, view.relative_depth, view.confidence, row["sigma"])
                found.append(HandOnly(guess, row["weight"]))
            elif name == "hand_mask":
                found.append(HandMask(view, **row))
            elif name == "surface":
                found.append(Surface(view, **row))
        return found

    def unseen_terms(self, view: FrameView, near: SceneState | None) -> list[SceneTerm]:
        """Those of what is known without seeing it, once for all cameras; the table is that of the first camera."""
        assert self.hand.prior is not None
        found: list[SceneTerm] = []
        thing = self.model is not None and any(len(one.object_cloud) for one in (view, *view.others))
        for name, given in self.recipe.terms.items():
            row = dict(given)
            if name == "prior":
                found.append(HandOnly(LikelyPose(self.hand.prior, row["weight"])))
            elif name == "limits":
                found.append(HandOnly(JointLimits(self.hand.prior, row["sigma"]), row["weight"]))
            elif name == "fingers":
                found.append(HandOnly(FingersApart(self.table, row["room"], row["sigma"]), row["weight"]))
            elif name == "temporal" and near is not None:
                found.append(Temporal(near, **row))
            elif name == "ground" and view.ground is not None:
                found.append(Ground(view.ground, **row))
            elif name == "penetration" and thing:
                found.append(Penetration(**row))
            elif name == "attraction" and thing:
                found.append(Attraction(self.zones, **row))
        return found

    # judging

    def _scene(self, state: SceneState, seen: np.ndarray | None = None) -> HandObjectScene:
        return HandObjectScene(self.person, self.model, state, np.zeros(0, np.int64) if seen is None else seen)

    def cost(self, state: SceneState, view: FrameView) -> float:
        """Of all terms that do not depend on where the frame started."""
        total = 0.0
        for camera, one in self.by_camera(view):
            scene = self._scene(camera.at.state_there(state, self.wrist))
            scene.seen = scene.look(camera.small, one.labels.shape)
            terms = self.terms_of(camera, one, None) + (self.unseen_terms(view, None) if one is view else [])
            total += sum(term.rows(scene).cost for term in terms)
        return total

    def object_score(self, state: SceneState, view: FrameView) -> float:
        """Of the object (object_start.score): the mean over the cameras that see it."""
        assert self.model is not None
        found = []
        for camera, one in self.by_camera(view):
            if len(one.object_cloud) >= object_start.FEW:
                there = camera.at.state_there(state, self.wrist)
                found.append(object_start.score(self.model, one, (there.rotation, there.position)))
        return float(np.mean(found))

    def hand_score(self, state: SceneState, view: FrameView) -> float:
        """How much of what was seen of the hand is explained: the mean over the cameras that see it."""
        pairs = [(camera, one) for camera, one in self.by_camera(view) if hand_visible(one)]
        return float(np.mean([self._explained(camera, state, one) for camera, one in pairs]))

    def _explained(self, camera: TrackerCamera, state: SceneState, view: FrameView) -> float:
        """Mean of the fractions of keypoints and cloud that the hand explains, of what one camera has of both."""
        scene = self._scene(camera.at.state_there(state, self.wrist))
        pixels = project_pinhole(scene.hand.keypoints(self.table), view.camera)
        near = np.linalg.norm(pixels - view.pixels, axis=1) < NEAR_PIXELS * camera.width
        explained = float(view.confidence @ near / max(view.confidence.sum(), 1e-9))
        if not len(view.hand_cloud):
            return explained
        found = kernels.nearest_point(some(view.hand_cloud, 100), scene.hand.vertices, NEAR_CLOUD)
        covered = float((found >= 0).mean())
        return 0.5 * (explained + covered) if view.confidence.any() else covered


def hand_visible(view: FrameView) -> bool:
    """Whether one camera shows the hand: without keypoints its cloud and mask remain."""
    return bool(view.confidence.sum() >= LEAST_SEEN) or len(view.hand_cloud) >= object_start.FEW


def object_visible(view: FrameView) -> bool:
    """Whether some camera shows the object."""
    return any(len(one.object_cloud) >= object_start.FEW for one in (view, *view.others))


def sighting(view: FrameView) -> Sighting:
    """The keypoints alone, as one camera sees them."""
    return Sighting(view.confidence, None, view.pixels, view.depth, view.camera, view.relative_depth)


def normal_equations(
    scene: HandObjectScene, terms: Sequence[SceneTerm], narrow: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """J^T W J (57, 57) and J^T W r (57,) of all terms, and the cost of those that do not depend on the start."""
    A, g, cost = np.zeros((UNKNOWNS, UNKNOWNS)), np.zeros(UNKNOWNS), 0.0
    for term in terms:
        rows = term.rows(scene, narrow)
        if not isinstance(term, Temporal):
            cost += rows.cost
        if len(rows.residual):
            rows.add_to(A, g)
    mirror(A)
    return A, g, cost


def rest_palm(person: ShapedHand, table: KeypointTable) -> float:
    """m, wrist to the middle finger's knuckle of a person's hand."""
    points = person.posed(HandPose()).keypoints(table)
    return float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))


def same(a: SceneState, b: SceneState) -> bool:
    """Whether two states are nearly one: within SAME of each rotation (rad) and position, and of each finger angle."""
    turns = [logarithm(x.T @ y) for x, y in ((a.hand.rotation, b.hand.rotation), (a.rotation, b.rotation))]
    far = [*turns, (a.hand.fingers - b.hand.fingers).ravel() / 4.0]
    shifts = [a.hand.translation - b.hand.translation, a.position - b.position]
    return all(np.abs(x).max() < SAME for x in far) and all(np.abs(x).max() < 0.1 * SAME for x in shifts)


def covariance(normal: np.ndarray) -> np.ndarray:
    """(57, 57) of a step of the state; what no term sees is known to 1 (rad or m)."""
    factor, failed = dpotrf(normal + np.eye(len(normal)))
    if failed:
        raise np.linalg.LinAlgError(SINGULAR)
    found: np.ndarray = dpotri(factor)[0].T  # LAPACK's upper triangle, by columns
    mirror(found)
    return found
