"""Teleoperation, tick by tick: the operator's hand -> targets of the floating hand (6 wrist joints and the fingers).

    keypoints -> checked, filtered, scaled to one size -> fingers by streaming retargeting, and the palm's pose
    palm -> motion since the clutch engaged -> workspace -> limits of speed -> user input k(x)
    user input - assistance -> limits of speed -> target

While the clutch is released the last target is held: nothing moves, and what the hand holds is not dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dexhot.control.assistance import Agent, Assistance, AssistState, correction_bound
from dexhot.control.teleop_clutch import NOT_YET, Clutch
from dexhot.control.teleop_input import HandLimits, OperatorHand, is_open, scaled_to
from dexhot.control.teleop_motion import RECORDED, VIEWS, RateLimit, RelativeMotion, Workspace
from dexhot.data.keypoints import WRIST, wrist_axes
from dexhot.geometry import single
from dexhot.humans.kernels import POSE_SIZE
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.robots.kinematics.wrist import palm_to_wrist, wrist_to_palm
from dexhot.robots.robot_hand import RobotHand

UNMOVED = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
SETTLING = 30  # images of the still hand until the mounting does not move any more


@dataclass(frozen=True)
class TeleopOptions:
    """How the operator's hand moves the robot's."""

    side: str = "right"  # of the operator's hand
    camera_view: str = "front"  # one of VIEWS, or RECORDED
    motion_scale: float = 1.0  # robot's motion per operator's
    palm_length: float = 0.095  # m, wrist to middle knuckle, that every hand is scaled to
    workspace_margin: float = 0.25  # m around the palm's places in the reference
    wrist_speed: float = 0.25  # m/s
    turn_speed: float = 1.5  # rad/s
    finger_speed: float = 4.0  # rad/s
    clutch: str = "switch"  # one of MODES
    clutch_hold: float = 1.0  # s
    assist_fade: float = 0.5  # s
    limits: HandLimits = field(default_factory=HandLimits)


class Teleop:
    """`begin` at the start of tracking, then `see` with keypoints and `step` once per tick, in the order of arrival."""

    def __init__(
        self,
        hand: RobotHand,
        base_quat: np.ndarray,
        palms: np.ndarray,
        options: TeleopOptions,
        agent: Agent | None = None,
        camera_quat: Sequence[float] = (1.0, 0.0, 0.0, 0.0),
    ):
        """`palms` (T, 3): positions of the palm, m, that the workspace surrounds; `camera_quat`: the rotation of the
        camera in the world, for the view RECORDED."""
        self.options, self.base_quat = options, base_quat
        self.hand = OperatorHand(options.limits, options.palm_length)
        self.wrist_T_palm, mounted = mounting(hand, options)
        self.retargeter = StreamingRetargeter(hand, fixed_wrist=mounted)
        self.clutch = Clutch(options.clutch, options.clutch_hold)
        workspace = Workspace.around(palms, options.workspace_margin)
        recorded = options.camera_view == RECORDED
        rotation = single.matrix(np.asarray(camera_quat, float)) if recorded else VIEWS[options.camera_view]
        self.motion = RelativeMotion(rotation, options.motion_scale, workspace)
        self.limit = RateLimit(options.wrist_speed, options.turn_speed, options.finger_speed, len(hand.joint_names))
        self.assistance = Assistance(agent, correction_bound(hand), options.assist_fade)
        self.moving = False

    def begin(self, q: np.ndarray) -> None:
        """Tracking starts at the measured hand vector q (6+n,): it is held until the clutch engages."""
        self.user, self.target, self.moving = q.copy(), q.copy(), True
        self.hand.reset()
        self.retargeter.reset()
        self.clutch.forget()
        self.assistance.reset()

    def stop(self) -> None:
        """A hold: the clutch is released."""
        self.clutch.release("the robot holds")
        self.clutch.wanted, self.moving = False, False

    def see(self, stamp: float, rows: np.ndarray) -> bool:
        """Keypoints (21, 6) of an image, camera frame; whether they are used."""
        if not self.hand.see(stamp, rows):
            return False
        if self.hand.good == 1:
            self.retargeter.reset()
        points = self.hand.scaled()
        axes, place = wrist_axes(points, self.options.side), points[WRIST]
        wrist = np.concatenate([place, single.from_matrix(axes)])
        self.palm = single.compose(wrist, self.wrist_T_palm)  # (7,) camera_T_palm
        own = self.retargeter.targets((points - place) @ axes)  # in the wrist's own frame
        self.fingers = self.retargeter.solve(own)[6:]
        return True

    def switch(self, pressed: bool) -> str:
        """The clutch's switch; returns why a press has no effect, or ""."""
        return self.clutch.switch(pressed, self.moving)

    def step(self, state: AssistState) -> np.ndarray:
        """The target (6+n,) of one tick."""
        problem, points = self.hand.tick(), self.hand.points
        steady = self.hand.steady
        gesture = steady and points is not None and is_open(points)
        if self.clutch.step(problem, steady, gesture, None if points is None else points[WRIST]):
            self.motion.engage(self.palm, wrist_to_palm(self.user[:6], self.base_quat))
        if self.clutch.engaged:
            wrist = palm_to_wrist(self.motion(self.palm), self.base_quat, self.user[:6])
            self.user = self.limit(self.user, np.concatenate([wrist, self.fingers]))
            self.target = self.limit(self.target, self.assistance(state, self.user))
        return self.target.copy()

    @property
    def status(self) -> str:
        """What drives the robot, or why nothing does."""
        if self.clutch.engaged:
            return "engaged"
        waits = self.hand.problem if self.clutch.reason == NOT_YET else ""
        return f"{self.clutch.reason} ({waits})" if waits else self.clutch.reason


def mounting(hand: RobotHand, options: TeleopOptions) -> tuple[np.ndarray, np.ndarray]:
    """wrist_T_palm (7,), and the same as wrist joints (6,): where the robot's palm is fixed on the operator's wrist.

    There the robot's fingertips are nearest to those of the open hand at rest. A palm that followed the fingers instead
    would move the arm whenever they close.
    """
    person = open_hand(options.side)
    points = person.shaped().posed(HandPose.from_vector(np.zeros(POSE_SIZE))).keypoints(person.table("mediapipe"))
    points = scaled_to(points, options.palm_length)
    own = (points - points[WRIST]) @ wrist_axes(points, options.side)
    solver = StreamingRetargeter(hand)
    for _ in range(SETTLING):
        q = solver.step(own, UNMOVED)
    return wrist_to_palm(q[:6], UNMOVED[3:]), q[:6]
