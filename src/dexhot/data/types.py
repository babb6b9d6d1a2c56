"""The data pipeline's dataclasses: HandObjectTrajectory -> Reference -> Demonstration -> Rollout, and
Evidence (perception's output) and PolicyCard (a policy's metadata). A Recording is a rosbag; recording.py holds its
images in memory.

Poses are (7,) arrays x y z qw qx qy qz; the world is z-up with the table top at z = `table_height`; SI units.
`validate` raises a FileFormatError that names the field, the frame and the valid range.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dexhot.errors import FileFormatError, UnreachableError

RATE = 60.0  # Hz, at which every robot motion here is sampled and driven
ROLLOUT_KINDS = ("floating", "arm", "live")
ACTIONS = ("residual", "cumulative")  # of a policy: the network proposes the residual itself, or a change of it
# Of a policy: the reference's targets; moved with the object; a user's; the playback of a plan, for `planned`.
BASELINES = ("targets", "object_relative", "user_input", "planned")
# Of a prior over plans: the mean alone with a wide spread; a Gaussian; the plans of the clips that are most alike; flow
# matching on their averaged plans, or on tries in proportion to what they are worth.
PRIORS = ("constant", "gaussian", "library", "flow", "flow_of_tries")
OBJECT_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")  # a place in the object library, and nowhere else
WRIST_JOINTS = ("tx", "ty", "tz", "rx", "ry", "rz")


def _check(ok: bool, what: str) -> None:
    if not ok:
        raise FileFormatError(what)


def _check_network(sha256: str, name: str, layout: list[dict[str, Any]]) -> None:
    """Raises FileFormatError unless a card's hash is one, and the parts of its input `name` are."""
    whole = bool(re.fullmatch("[0-9a-f]{64}", sha256))
    _check(whole, "onnx_sha256 must be the 64 hex digits of the ONNX file's sha256.")
    for part in layout:
        whole = isinstance(part, dict) and set(part) == {"name", "size"} and int(part["size"]) > 0
        _check(whole, f"{name} has the part {part!r}, which is not {{name, size}}.")


def _check_series(name: str, x: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Raises FileFormatError unless x is a finite array of `shape`, where None matches any length."""
    _check(isinstance(x, np.ndarray) and x.dtype.kind in "biuf", f"{name} must be an array of numbers.")
    fits = x.ndim == len(shape) and all(s is None or s == n for s, n in zip(shape, x.shape))
    _check(fits, f"{name} has shape {x.shape}, expected {tuple('T' if s is None else s for s in shape)}.")
    if not np.isfinite(x).all():
        frame = int(np.argwhere(~np.isfinite(x))[0][0])
        raise FileFormatError(f"{name} has a non-finite value, first at frame {frame}; re-export it without gaps.")


def _check_time(time: np.ndarray, frames: int | None = None) -> None:
    _check_series("time", time, (frames,))
    steps = np.diff(time)
    if not (steps > 0).all():
        raise FileFormatError(f"time must increase, but does not from frame {int(np.argmin(steps > 0))} to the next.")


def _check_range(name: str, x: np.ndarray, low: float, high: float) -> None:
    if len(x):
        _check(
            low <= x.min() and x.max() <= high,
            f"{name} spans {x.min():g} to {x.max():g}, valid is {low:g} to {high:g}.",
        )


def _check_quats(name: str, q: np.ndarray) -> None:
    off = np.abs(np.linalg.norm(q, axis=-1) - 1.0)
    _check(
        bool((off < 1e-3).all()),
        f"{name} has a quaternion of norm 1 +- {off.max():.3g}; wxyz unit quaternions are expected.",
    )


def _check_object(name: str) -> None:
    _check(
        bool(OBJECT_NAME.fullmatch(name)),
        f"object_name {name!r} is not an object name: letters, digits, '_', '-' and '.', with '/' between folders of "
        "the object library (`dexhot object list`), not a path.",
    )


@dataclass
class HandTrack:
    """One hand's motion in a clip."""

    keypoints: np.ndarray  # (T, 21, 3) world, m, MediaPipe order
    wrist_pose: np.ndarray  # (T, 7) world; axes: x wrist -> middle MCP, z dorsal, y = z cross x
    confidence: np.ndarray  # (T, 21) in [0, 1]
    model: str = ""  # the hand model of `parameters`, e.g. "mano", "umetrack"; "" when only keypoints are known
    parameters: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # (T, P) of `model`
    keypoint_covariance: np.ndarray = field(default_factory=lambda: np.zeros((0, 21, 3, 3)))  # (T, 21, 3, 3) m2, or T=0

    def validate(self, frames: int, name: str) -> None:
        """Raises FileFormatError for a field that does not match a clip of `frames`; `name` is its prefix in errors."""
        _check_series(f"{name}.keypoints", self.keypoints, (frames, 21, 3))
        _check_series(f"{name}.wrist_pose", self.wrist_pose, (frames, 7))
        _check_series(f"{name}.confidence", self.confidence, (frames, 21))
        _check_range(f"{name}.confidence", self.confidence, 0.0, 1.0)
        _check_quats(f"{name}.wrist_pose", self.wrist_pose[:, 3:])
        if len(self.parameters):
            _check_series(f"{name}.parameters", self.parameters, (frames, None))
        if len(self.keypoint_covariance):
            _check_series(f"{name}.keypoint_covariance", self.keypoint_covariance, (frames, 21, 3, 3))


@dataclass
class HandObjectTrajectory:
    """A human demonstration: the motion of one or two hands and an object."""

    name: str
    time: np.ndarray  # (T,) s, increasing
    hands: dict[str, HandTrack]  # "right", "left"
    object_name: str  # of the ObjectAsset, e.g. "grab/duck"
    object_pose: np.ndarray  # (T, 7) world_T_mesh
    object_covariance: np.ndarray = field(default_factory=lambda: np.zeros((0, 6, 6)))  # (T, 6, 6), or T=0
    table_height: float = 0.0  # m
    provenance: dict[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        """Raises FileFormatError naming the field, the frame and the valid range."""
        T = len(self.time)
        _check(T >= 2, f"{self.name}: a trajectory needs at least 2 frames, this one has {T}.")
        _check_time(self.time)
        _check(
            set(self.hands) <= {"left", "right"} and bool(self.hands),
            f"{self.name}: hands must be 'left', 'right' or both.",
        )
        for side, hand in self.hands.items():
            hand.validate(T, f"hands.{side}")
        _check_series("object_pose", self.object_pose, (T, 7))
        _check_quats("object_pose", self.object_pose[:, 3:])
        if len(self.object_covariance):
            _check_series("object_covariance", self.object_covariance, (T, 6, 6))
        _check(bool(np.isfinite(self.table_height)), f"table_height must be finite, not {self.table_height}.")
        _check_object(self.object_name)

    def source(self) -> dict[str, Any]:
        """The source entry of a Reference made from it: the clip's name, the importer, the selected frames, and a
        SHA-256 of these and of object, table, object poses, keypoints, wrist poses and stamps."""
        made = self.provenance
        said = {
            "clip": self.name,
            "importer": [made[key] for key in ("dataset", "generator", "importer", "sha256", "seed") if key in made],
            "frames": made.get("frames"),
        }
        digest = hashlib.sha256(json.dumps([said, self.object_name, self.table_height]).encode())
        for side, hand in sorted(self.hands.items()):
            digest.update(side.encode())
            for array in (hand.keypoints, hand.wrist_pose):
                digest.update(np.ascontiguousarray(array, float).tobytes())
        for array in (self.time, self.object_pose):
            digest.update(np.ascontiguousarray(array, float).tobytes())
        return said | {"hash": digest.hexdigest()}

    def cut(self, first: int, stop: int) -> "HandObjectTrajectory":
        """Frames `first` to `stop` - 1, stamps unchanged. Raises FileFormatError for frames out of range."""
        T = len(self.time)
        _check(
            0 <= first < stop <= T and stop - first >= 2,
            f"{self.name} has frames 0:{T}; {first}:{stop} must lie in them and have at least two.",
        )

        def part(x: np.ndarray) -> np.ndarray:
            return x[first:stop] if len(x) else x

        hands = {
            side: replace(
                hand,
                keypoints=part(hand.keypoints),
                wrist_pose=part(hand.wrist_pose),
                confidence=part(hand.confidence),
                parameters=part(hand.parameters),
                keypoint_covariance=part(hand.keypoint_covariance),
            )
            for side, hand in self.hands.items()
        }
        before = self.provenance.get("frames", [0])[0]  # of a cut, those of the whole clip
        return replace(
            self,
            time=part(self.time),
            hands=hands,
            object_pose=part(self.object_pose),
            object_covariance=part(self.object_covariance),
            provenance=self.provenance | {"frames": [before + first, before + stop]},
        )


@dataclass
class Reference:
    """A kinematic motion of robot and object, which the controller tracks.

    The wrist joints tx ty tz rx ry rz place the palm frame: position (tx, ty, tz) and rotation base_quat * Rx Ry Rz
    (intrinsic XYZ, unwrapped). `base_quat` is the clip's mean palm rotation, which keeps ry away from +-90 degrees.
    """

    name: str
    hand: str  # robot hand, e.g. "leap_right"
    joint_names: list[str]  # the 6 wrist joints, then the fingers in the order of the hand's joint table
    base_quat: np.ndarray  # (4,) world_R_base, wxyz
    q: np.ndarray  # (T, 6+n) retargeted joint positions, m and rad
    target: np.ndarray  # (T, 6+n) position targets: q, with a squeeze where the fingers are in contact
    contact: np.ndarray  # (T, tips) in [0, 1]: planned contact of each fingertip with the object
    object_name: str
    object_pose: np.ndarray  # (T, 7) world_T_mesh
    grasp_start: int  # first frame in which the object moves
    grasp_end: int  # last frame in which it does
    rate: float = RATE  # Hz
    table_height: float = 0.0
    placement: np.ndarray = field(
        default_factory=lambda: np.array([0.0, 0, 0, 1, 0, 0, 0])
    )  # (7,) world_T_demonstration
    arm_q: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))  # (T, 7) rad, the arm's joints planned for the
    # palm, or (0, 7)
    arm_frames: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (K,) time map: the frame at each 60 Hz
    # tick of the arm, increasing from 0 to T - 1; (0,): the clip's time
    clip_frames: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) the clip's 60 Hz frame of each row,
    # for a slowed-down reference; (0,): the clip's time
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def time(self) -> np.ndarray:
        """(T,) s, starting at 0."""
        return np.arange(len(self.q)) / self.rate

    def require_arm_path(self) -> np.ndarray:
        """(T, 7) `arm_q`, rad. Raises UnreachableError without an arm path."""
        if not len(self.arm_q):
            raise UnreachableError(
                f"{self.name} has no arm path: place it within the arm's reach (`dexhot retarget` does)."
            )
        return self.arm_q

    @property
    def speed_factor(self) -> float:
        """Ratio of the arm's duration to the clip's; 1 in the person's time."""
        factor = (len(self.arm_frames) - 1) / (len(self.q) - 1) if len(self.arm_frames) else 1.0
        if len(self.clip_frames):
            factor *= (len(self.q) - 1) / float(self.clip_frames[-1] - self.clip_frames[0])
        return factor

    def validate(self) -> None:
        """Raises FileFormatError naming the field, the frame and the valid range."""
        n, T = len(self.joint_names), len(self.q)
        _check(T >= 2, f"{self.name}: a reference needs at least 2 frames, this one has {T}.")
        _check(tuple(self.joint_names[:6]) == WRIST_JOINTS, f"{self.name}: joint_names must start with {WRIST_JOINTS}.")
        _check(
            abs(self.rate - RATE) < 1e-6,
            f"{self.name}: the rate is {self.rate:g} Hz; the stack runs at {RATE:g} Hz, resample it.",
        )
        for field_name in ("q", "target"):
            _check_series(field_name, getattr(self, field_name), (T, n))
        _check_series("contact", self.contact, (T, None))
        _check_range("contact", self.contact, 0.0, 1.0)
        _check(
            0 <= self.grasp_start <= self.grasp_end < T,
            f"{self.name}: grasp_start {self.grasp_start}, grasp_end {self.grasp_end}: frames in order, 0 to {T - 1}.",
        )
        _check_series("object_pose", self.object_pose, (T, 7))
        _check_object(self.object_name)
        _check_series("base_quat", self.base_quat, (4,))
        _check_series("placement", self.placement, (7,))
        _check_quats("object_pose", self.object_pose[:, 3:])
        _check_quats("base_quat", self.base_quat[None])
        _check_quats("placement", self.placement[None, 3:])
        if len(self.arm_q):
            _check_series("arm_q", self.arm_q, (T, 7))
        for name, rows in (("arm_frames", len(self.arm_frames)), ("clip_frames", T)):
            frames = getattr(self, name)
            if len(frames):
                _check_series(name, frames, (rows,))
                _check(bool((np.diff(frames) > 0).all()), f"{self.name}: {name} must increase from row to row.")
        if len(self.arm_frames):
            first, last = self.arm_frames[[0, -1]]
            _check(
                first == 0 and last == T - 1,
                f"{self.name}: arm_frames must go from 0 to {T - 1}, not {first:g} to {last:g}.",
            )


@dataclass
class Demonstration:
    """A Reference with the actions that reproduce it in physics."""

    name: str
    reference: Reference
    actions: np.ndarray  # (T, 6+n) position targets at the reference's rate, for the PD servos of `physics`
    q: np.ndarray  # (T, 6+n) achieved joint positions after each action
    object_pose: np.ndarray  # (T, 7) achieved, after each action
    physics: str  # version of the benchmark physics
    scores: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    servo: str = "dextrack"  # profile of the finger servos; missing in files of physics 1

    def validate(self) -> None:
        """Raises FileFormatError for an invalid reference, or rows that do not match it."""
        self.reference.validate()
        T, n = self.reference.q.shape
        _check_series("actions", self.actions, (T, n))
        _check_series("q", self.q, (T, n))
        _check_series("object_pose", self.object_pose, (T, 7))
        _check_quats("object_pose", self.object_pose[:, 3:])


@dataclass
class Rollout:
    """Recorded states of tracking a Reference, in simulation or on the rig."""

    name: str
    reference: Reference
    kind: str  # "floating" (hand alone), "arm" (on the embedded rig, without ROS), "live" (from a bag)
    time: np.ndarray  # (T,) s, at the reference's frames
    q: np.ndarray  # (T, 6+n) achieved palm (as wrist joints) and fingers
    command: np.ndarray  # (T, 6+n) commanded position targets
    object_pose: np.ndarray  # (T, 7)
    penetration: np.ndarray  # (T,) deepest hand-object penetration, m
    table_contact: np.ndarray  # (T,) bool: object touches the table
    tip_contact: np.ndarray  # (T, tips) bool: fingertip touches the object
    arm_q: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))  # (T, 7) or empty
    self_penetration: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) deepest, m
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        """Raises FileFormatError for an invalid reference, an unknown kind, or rows that do not match its frames."""
        self.reference.validate()
        T, n = self.reference.q.shape
        _check(
            self.kind in ROLLOUT_KINDS,
            f"{self.name}: kind {self.kind!r} is unknown, one of {', '.join(ROLLOUT_KINDS)}.",
        )
        _check_time(self.time, T)
        _check_series("q", self.q, (T, n))
        _check_series("command", self.command, (T, n))
        _check_series("object_pose", self.object_pose, (T, 7))
        _check_quats("object_pose", self.object_pose[:, 3:])
        _check_series("penetration", self.penetration, (T,))
        _check_series("table_contact", self.table_contact, (T,))
        _check_series("tip_contact", self.tip_contact, (T, None))
        if len(self.self_penetration):
            _check_series("self_penetration", self.self_penetration, (T,))
        if len(self.arm_q):
            _check_series("arm_q", self.arm_q, (T, None))


@dataclass
class Evidence:
    """Perception's output for each frame of a recording."""

    name: str
    time: np.ndarray  # (T,) s
    labels: np.ndarray  # (T, H, W) uint8: 0 background, 1 right hand or robot, 2 object, 3 left hand
    boxes: dict[str, np.ndarray]  # "right", "left", "object": (T, 4) x0 y0 x1 y1 px, NaN where unseen
    keypoints: dict[str, np.ndarray]  # "right", "left": (T, 21, 6) x y z u v confidence, camera frame
    object_pose: np.ndarray  # (T, 7) camera_T_mesh, NaN where unmeasured
    hand_meshes: dict[str, np.ndarray] = field(default_factory=dict)  # "right", "left": (T, V, 3) coarse hand, camera
    # frame, m, NaN where unseen; empty where no estimator gives one
    provenance: dict[str, Any] = field(default_factory=dict)
    relative_depth: dict[str, np.ndarray] = field(default_factory=dict)  # "right", "left": (T, 21) of the keypoints,
    # along the optical axis from the wrist, in pixels, NaN where unseen; empty where the estimator gives none

    def validate(self) -> None:
        """Raises FileFormatError naming the field and the shape expected."""
        T = len(self.time)
        _check_time(self.time)
        _check(self.labels.shape[0] == T and self.labels.dtype == np.uint8, "labels must be (T, H, W) uint8.")
        _check(self.labels.size == 0 or int(self.labels.max()) <= 3, "labels must be 0 to 3.")
        _check(self.object_pose.shape == (T, 7), f"object_pose has shape {self.object_pose.shape}, expected ({T}, 7).")
        for name, boxes in self.boxes.items():
            _check(boxes.shape == (T, 4), f"boxes.{name} has shape {boxes.shape}, expected ({T}, 4).")
        for side, k in self.keypoints.items():
            _check(k.shape == (T, 21, 6), f"keypoints.{side} has shape {k.shape}, expected ({T}, 21, 6).")
        for side, mesh in self.hand_meshes.items():
            fits = mesh.ndim == 3 and mesh.shape[0] == T and mesh.shape[2] == 3
            _check(fits, f"hand_meshes.{side} has shape {mesh.shape}, expected ({T}, V, 3).")
        for side, along in self.relative_depth.items():
            _check(along.shape == (T, 21), f"relative_depth.{side} has shape {along.shape}, expected ({T}, 21).")

    def cut(self, first: int, stop: int) -> "Evidence":
        """Frames `first` to `stop`, the latter excluded."""
        return self.at(slice(first, stop))

    def at(self, part: slice | np.ndarray) -> "Evidence":
        """Some frames, by a slice or their numbers."""

        def parts(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: x[part] for name, x in rows.items()}

        return replace(
            self,
            time=self.time[part],
            labels=self.labels[part],
            boxes=parts(self.boxes),
            keypoints=parts(self.keypoints),
            object_pose=self.object_pose[part],
            hand_meshes=parts(self.hand_meshes),
            relative_depth=parts(self.relative_depth),
        )


@dataclass
class PolicyCard:
    """The JSON file beside a policy's ONNX file: its inputs, outputs and origin, and the rig that it is for.

    The network maps `observation` (N, F) and `residual` (N, 6+n) to the next `residual`: the explicit running sum that
    control.policy adds to its baseline's targets.
    """

    name: str
    hand: str
    joint_names: list[str]  # the 6 wrist joints, then the fingers, in order
    rate: float  # Hz
    observation: list[dict[str, Any]]  # [{"name", "size"}], in order
    action: str  # one of ACTIONS: what the network's output means
    onnx_sha256: str
    baseline: str = "targets"  # one of BASELINES: what the residual is added to
    residual_limit: list[float] = field(default_factory=list)  # (6+n,) m and rad, largest residual per joint
    residual_step: list[float] = field(default_factory=list)  # (6+n,) m and rad, largest change of it per tick
    servo: str = ""  # profile of the finger servos
    physics: str = ""  # version
    hand_gravity: bool = False  # whether gravity acted on the hand where it was trained
    shaper_lead: float | None = None  # of the command shaper in its training, of the servos' lag; None: no shaper
    clip: str = ""  # the only clip that it is for; "": any
    frames: int = 0  # of that clip's reference, as the graph plays it
    fingers: list[float] = field(default_factory=list)  # (n,) rad, its mean finger joints: another retargeting differs
    terms: str = ""  # on which its training data may be used; "": none
    training_data: list[str] = field(default_factory=list)  # clips
    scores: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        """Raises FileFormatError for an invalid hash or rate, or values that do not match the joints."""
        _check_network(self.onnx_sha256, "observation", self.observation)
        _check(self.rate > 0, f"rate must be positive, not {self.rate}.")
        _check(self.action in ACTIONS, f"action {self.action!r} is unknown, one of {', '.join(ACTIONS)}.")
        _check(self.baseline in BASELINES, f"baseline {self.baseline!r} is unknown, one of {', '.join(BASELINES)}.")
        lead = self.shaper_lead
        _check(lead is None or (np.isfinite(lead) and lead >= 0), f"shaper_lead must be 0 or more, not {lead}.")
        for name in ("residual_limit", "residual_step"):
            values = getattr(self, name)
            whole = len(values) == len(self.joint_names) and all(np.isfinite(v) and v > 0 for v in values)
            _check(whole, f"{name} must have a positive number per joint, {len(self.joint_names)} of them.")


@dataclass
class PriorCard:
    """The JSON file beside the ONNX file of a prior over structured plans (planning/structured.py): what it was fitted
    to, and the rig that it is for.

    The network maps `features` (1, F) of a reference, normal `noise` (N, D) and uniform `choice` (N, 1) to `plans`
    (N, D) and their `mean` (1, D); D = 6 + 2 per finger joint.
    """

    name: str
    kind: str  # one of PRIORS
    hand: str
    joint_names: list[str]  # of the fingers, in order
    features: list[dict[str, Any]]  # [{"name", "size"}], in order (planning/plan_features.py)
    onnx_sha256: str
    servo: str = ""  # profile of the finger servos
    physics: str = ""  # version
    training_data: list[str] = field(default_factory=list)  # clips
    terms: str = ""  # on which their data may be used
    scores: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)  # command, seed, tries

    def validate(self) -> None:
        """Raises FileFormatError for an unknown kind, an invalid hash or layout."""
        _check(self.kind in PRIORS, f"kind {self.kind!r} is unknown, one of {', '.join(PRIORS)}.")
        _check_network(self.onnx_sha256, "features", self.features)
