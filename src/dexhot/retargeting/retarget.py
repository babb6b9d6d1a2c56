"""A human demonstration -> a Reference for a robot hand: contacts planned, then the whole clip solved at once."""

from dataclasses import asdict, dataclass, field

import numpy as np

from dexhot.data.object_asset import ObjectAsset
from dexhot.data.types import WRIST_JOINTS, HandObjectTrajectory, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import (
    mean_quat,
    quat_conjugate,
    quat_multiply,
    quat_to_matrix,
    quat_to_xyz_angles,
)
from dexhot.geometry.sdf import ConvexUnion
from dexhot.hands.robot_hand import RobotHand
from dexhot.retargeting.clip_solver import ClipProblem, solve_clip
from dexhot.retargeting.contact_plan import ContactOptions, ContactPlan, motion_interval, plan_contacts
from dexhot.retargeting.correspondence import Correspondence, correspondence
from dexhot.retargeting.hand_model import HandModel
from dexhot.retargeting.resampling import RATE, resample


@dataclass(frozen=True)
class RetargetOptions:
    """Weights are 1 per metre (fingertip error) unless said."""

    contact: bool = True  # plan contacts; without, the measured fingertips are followed as they are
    contacts: ContactOptions = field(default_factory=ContactOptions)
    palm: float = 0.03  # per rad of palm rotation
    posture: float = 0.005  # per rad from the nominal posture
    velocity: float = 0.02  # of fingers, per rad and frame
    acceleration: float = 0.3  # of every joint, per rad or m and frame^2
    gap: float = 1.0  # overlap with object, table and itself
    iterations: int = 25


def retarget(
    trajectory: HandObjectTrajectory,
    hand: RobotHand,
    obj: ObjectAsset | None,
    options: RetargetOptions | None = None,
    progress=None,
) -> Reference:
    """The Reference of the robot's side of the trajectory, at 60 Hz, in the trajectory's coordinates.

    obj: the object's shape; None only with `contact=False`, then the object is carried along without being touched.
    progress: called with (iteration, iterations). Raises DexhotError when the trajectory lacks the hand's side.
    """
    options = options or RetargetOptions()
    trajectory.validate()
    if hand.side not in trajectory.hands:
        sides = ", ".join(trajectory.hands)
        raise DexhotError(
            f"{trajectory.name} has no {hand.side} hand, only: {sides}; choose a robot hand of that side."
        )
    if options.contact and obj is None:
        raise DexhotError(
            f"{trajectory.name}: planning contacts needs the object; load it or retarget with contact=False."
        )
    match = correspondence(hand)
    keypoints, palm, object_pose = resample(trajectory, hand.side)
    tips = match.tips(keypoints)
    plan = _plan(trajectory, hand, obj, match, tips, object_pose, options)
    base = mean_quat(palm)
    table = trajectory.table_height if options.contact else None
    model = HandModel(hand, match.links, base, obj if options.contact else None, table)
    problem = _problem(model, hand, match, plan, keypoints, palm, object_pose, options)
    q = solve_clip(model, problem, problem.prior, options.iterations, progress)
    target = squeeze(model, problem, plan, q) if options.contact else q.copy()
    return Reference(
        name=trajectory.name,
        hand=hand.name,
        joint_names=[*WRIST_JOINTS, *hand.joint_names],
        base_quat=base,
        q=q,
        target=target,
        contact=plan.contact,
        object_name=trajectory.object_name,
        object_pose=object_pose,
        grasp_start=plan.grasp_start,
        grasp_end=plan.grasp_end,
        rate=RATE,
        table_height=trajectory.table_height,
        provenance={"trajectory": trajectory.provenance, "retarget": asdict(options)},
    )


def squeeze(model: HandModel, problem: ClipProblem, plan: ContactPlan, q):
    """Position targets (T, 6+n): q with the fingertips moved to `plan.squeeze`, mostly by the fingers."""
    shift = plan.squeeze - plan.tips
    goal = problem.goal.copy()
    tips = shift.shape[1]
    for t in range(len(q)):
        model.move(q[t])
        goal[t] = model.points()
    goal[:, :tips] += shift
    n = model.size
    weight = problem.goal_weight.copy()
    weight[:, :tips], weight[:, tips:] = 1.0, 0.0
    inner = ClipProblem(
        goal=goal,
        goal_weight=weight,
        palm=problem.palm,
        palm_weight=0.0,
        prior=q,
        prior_weight=np.concatenate([np.full(3, 1.0), np.full(3, 0.1), np.full(n - 6, 0.01)]),
        velocity_weight=np.zeros(n),
        acceleration_weight=np.zeros(n),
        object_pose=problem.object_pose,
    )
    return solve_clip(model, inner, q, iterations=8)


def _plan(trajectory, hand, obj, match: Correspondence, tips, object_pose, options: RetargetOptions) -> ContactPlan:
    if options.contact:
        solid = ConvexUnion(obj.pieces)
        return plan_contacts(
            tips, match.thumb, object_pose, solid, hand.tip_radius, trajectory.table_height, options.contacts
        )
    start, end = motion_interval(object_pose, options.contacts.moved)
    return ContactPlan(tips, tips, np.zeros(tips.shape[:2]), start, end)


def _problem(model: HandModel, hand, match: Correspondence, plan, keypoints, palm, object_pose, options) -> ClipProblem:
    T, n = len(palm), model.size
    links = keypoints[:, match.keypoints]
    weight = np.concatenate([np.ones(plan.tips.shape[:2]), np.full(links.shape[:2], match.link_weight)], axis=1)
    prior = np.zeros((T, n))
    base = mean_quat(palm)
    prior[:, 3:6] = quat_to_xyz_angles(quat_multiply(quat_conjugate(base), palm))
    prior[:, 6:] = hand.nominal
    prior[:, :3] = _palm_start(model, prior, plan.tips)
    fingers = n - 6
    return ClipProblem(
        goal=np.concatenate([plan.tips, links], axis=1),
        goal_weight=weight,
        palm=quat_to_matrix(palm),
        palm_weight=options.palm,
        prior=prior,
        prior_weight=np.concatenate([np.zeros(6), np.full(fingers, options.posture)]),
        velocity_weight=np.concatenate([np.zeros(6), np.full(fingers, options.velocity)]),
        acceleration_weight=np.full(n, options.acceleration),
        object_pose=object_pose,
        gap_weight=options.gap if options.contact else 0.0,
    )


def _palm_start(model: HandModel, prior, tips):
    """Palm positions (T, 3) that centre the nominal posture's fingertips on the wanted ones."""
    out = np.empty((len(prior), 3))
    for t, q in enumerate(prior):
        model.move(q)
        out[t] = tips[t].mean(0) - model.points()[: tips.shape[1]].mean(0)
    return out
