"""A human demonstration -> a Reference for a robot hand: plans contacts, then solves the whole clip at once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dexhot.data.keypoints import TIPS
from dexhot.data.types import RATE, WRIST_JOINTS, HandObjectTrajectory, Reference
from dexhot.errors import ClipError, DexhotError
from dexhot.geometry.poses import compose, inverse, lowest, transform
from dexhot.geometry.rotations import (
    mean_quat,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
    quat_to_rotvec,
    rotvec_to_quat,
)
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.asset import ObjectAsset
from dexhot.retargeting.clip_solver import ClipProblem, smooth_motion, solve_clip
from dexhot.retargeting.contact_plan import (
    ContactOptions,
    ContactPlan,
    in_mesh_frame,
    measured_contacts,
    motion_interval,
    moves,
    plan_contacts,
)
from dexhot.retargeting.correspondence import Correspondence, correspondence
from dexhot.retargeting.grasp import GraspOptions, GraspSpace
from dexhot.retargeting.grasp_sequence import (
    PlannedGrasp,
    SequenceOptions,
    Stretch,
    carries,
    continued,
    in_hand_deg,
    joined,
    stretches,
)
from dexhot.retargeting.link_contact import (
    LinkOptions,
    Pad,
    human_points,
    link_pads,
    pulled,
    share_links,
    touched,
    touching_links,
    with_links,
)
from dexhot.retargeting.load_margin import GraspLoad
from dexhot.retargeting.mending import checked_clip
from dexhot.retargeting.reachable_grasp import SPARE_WEIGHT, NotHeldError, find_grasp
from dexhot.retargeting.resampling import resample
from dexhot.retargeting.streaming import FIRST_ITERATIONS, StreamingRetargeter
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.kinematics.wrist import palm_poses, wrist_angles
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.robots.servos import Servo, servo
from dexhot.simulation.perturbation import worlds
from dexhot.simulation.physics import load_physics

TURNING = 5.0  # frames, sigma of the smoothing of the palm's measured turn about the object
LOOSE = 0.2  # scale of posture and smoothness without contacts, where nothing is held
KEPT = 0.015  # per rad or m from the last frame, for clips without contacts: half of streaming's, as smoothing follows
DIRECTIONS = 3  # of gravity in the object's frame, over the hold
PRESS = 0.9  # maximum fraction of the servos' torque for a planned squeeze

PLAIN = "plain"  # a reference's kind: by DexTrack's eq. 5-7 alone


@dataclass(frozen=True)
class RetargetOptions:
    """Weights are relative to the fingertip error, 1 per metre. Without contacts, LOOSE scales those of posture,
    velocity and acceleration."""

    contact: bool = True  # plan contacts; without, the measured fingertips are tracked unchanged
    plain: bool = False  # DexTrack's eq. 5-7 alone (plain_options)
    contacts: ContactOptions = field(default_factory=ContactOptions)
    grasp: GraspOptions = field(default_factory=GraspOptions)
    profile: str | None = None  # of the finger servos, for the squeeze; None: the hand's own
    palm: float = 0.03  # per rad of palm rotation
    posture: float = 0.005  # per rad from the nominal posture
    velocity: float = 0.04  # of fingers, per rad and frame
    acceleration: float = 1.0  # of every joint, per rad or m and frame^2
    held: float = 5.0  # of fingertips at their contacts, where a millimetre is 4 N; 1 elsewhere
    gap: float = 4.0  # penetration of object, table and itself
    rigid: bool = True  # while the object moves, the palm rotates with it
    in_hand: bool = False  # and turns about it as the person's does: fingers roll on their contacts and change them
    links: bool = False  # the fingers' inner sides and the palm may touch the object too, where the person's do
    link: LinkOptions = field(default_factory=LinkOptions)
    sequence: SequenceOptions = field(default_factory=SequenceOptions)
    iterations: int = 25


def plain_options(profile: str | None = None) -> RetargetOptions:
    """DexTrack's retargeting, eq. 5-7 alone: the robot's keypoints onto the person's, all with the same weight. No
    planned contacts, palm, posture or smoothness, and the clip is not mended."""
    return RetargetOptions(
        contact=False, plain=True, profile=profile, palm=0.0, posture=0.0, velocity=0.0, acceleration=0.0
    )


def retarget_options(profile: str | None = None, plain: bool = False) -> RetargetOptions:
    """The default retargeting for a servo profile, or the plain one."""
    return plain_options(profile) if plain else RetargetOptions(profile=profile)


def reference_kind(reference: Reference) -> str:
    """How it was made, named beside each score: plain (DexTrack's eq. 5-7 alone), keypoints (without planned contacts),
    in-hand, or contacts, the default; "+links" where further links touch too. "" where the file does not say."""
    made = reference.provenance.get("retarget")
    if made is None:
        return ""
    if made.get("plain"):
        return PLAIN
    if not made["contact"]:
        return "keypoints"
    return ("in-hand" if made.get("in_hand") else "contacts") + ("+links" if made.get("links") else "")


def retarget(
    trajectory: HandObjectTrajectory,
    hand: RobotHand,
    asset: ObjectAsset | None,
    options: RetargetOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Reference:
    """The Reference of the robot's side of the trajectory, at 60 Hz, in the trajectory's coordinates.

    asset: the object's shape; None only with `contact=False`, then the object's poses are copied without contact.
    progress: called with (iteration, iterations). `provenance["mended"]` lists corrections of the clip. Raises
    DexhotError when the trajectory lacks the hand's side, ClipError when the clip is physically implausible.
    """
    options = options or RetargetOptions()
    trajectory.validate()
    if hand.side not in trajectory.hands:
        sides = ", ".join(trajectory.hands)
        raise DexhotError(
            f"{trajectory.name} has no {hand.side} hand, only: {sides}; choose a robot hand of that side."
        )
    if options.contact and asset is None:
        raise DexhotError(
            f"{trajectory.name}: planning contacts needs the object; load it or retarget with contact=False."
        )
    source = trajectory.source()
    trajectory, mended = checked_clip(trajectory, hand.side, None if options.plain else asset)
    match = correspondence(hand)
    keypoints, palm, object_pose = resample(trajectory, hand.side)
    shape = asset if options.contact else None
    carried, turned = [motion_interval(object_pose, options.contacts.moved)], None
    object_R_palm = quat_multiply(quat_conjugate(object_pose[:, 3:]), palm)
    if asset:
        solid = ConvexUnion(asset.pieces)
        picked_up = _carries(keypoints, object_pose, asset, solid, trajectory.table_height, options)
        turned, carried = in_hand_deg(object_R_palm, picked_up), picked_up if shape else carried
    if shape:
        held = _stretches(object_R_palm, carried, options)
        for carry in carried if options.rigid else ():
            palm = carried_palm(palm, object_pose, *carry, options.contacts, options.in_hand)
    base, links = mean_quat(palm), list[str]()
    if shape:
        pads = link_pads(hand, match) if options.links else []
        places = [(pad.link, pad.position) for pad in pads]
        model = HandModel(hand, match.links, base, shape, trajectory.table_height, places)
        contacts = [match.tips(keypoints), human_points(pads, keypoints)]
        points = np.concatenate([*contacts, keypoints[:, match.keypoints]], axis=1)
        problem = clip_problem(model, hand, match, points, palm, object_pose, options)
        table = trajectory.table_height
        try:
            problem, plan = with_contacts(
                model, problem, hand, base, shape, solid, match.thumb, held, table, options, pads
            )
        except NotHeldError as e:
            if moves(object_pose, options.contacts.moved):
                raise
            raise ClipError(
                f"object_pose: {trajectory.object_name} does not move in this clip ({len(trajectory.time)} frames), "
                "and no hand is at it: choose frames in which it is picked up (--frames), or retarget without contacts "
                "(--no-contact)."
            ) from e
        q = solve_clip(model, problem, problem.prior, options.iterations, progress)
        target = squeeze(model, plan, q, servo(options.profile or hand.servo, hand.joint_names))
        contact = plan.contact[:, : model.tips]
        links = touched(pads, plan.contact[:, model.tips :])
    else:
        q = track_keypoints(keypoint_tracker(hand, base, options), keypoints, palm, options)
        if progress:
            progress(1, 1)
        target, contact = q.copy(), np.zeros((len(q), len(hand.tip_sites)))
    return Reference(
        name=trajectory.name,
        hand=hand.name,
        joint_names=[*WRIST_JOINTS, *hand.joint_names],
        base_quat=base,
        q=q,
        target=target,
        contact=contact,
        object_name=trajectory.object_name,
        object_pose=object_pose,
        grasp_start=carried[0][0],
        grasp_end=carried[-1][1],
        rate=RATE,
        table_height=trajectory.table_height,
        provenance={
            "source": source,
            "trajectory": trajectory.provenance,
            "retarget": asdict(options),
            "mended": mended,
            "in_hand_deg": turned,
            "links": links,
            "servo": options.profile or hand.servo,
        },
    )


def keypoint_tracker(
    hand: RobotHand, base_quat: np.ndarray, options: RetargetOptions | None = None
) -> StreamingRetargeter:
    """The solver of `track_keypoints`, with base rotation `base_quat` (4,)."""
    o = options or RetargetOptions()
    if o.plain:
        # KEPT alone holds joints that move no keypoint
        return StreamingRetargeter(
            hand, base_quat, FIRST_ITERATIONS, palm=0.0, posture=0.0, change=KEPT, link_weight=1.0
        )
    return StreamingRetargeter(hand, base_quat, palm=o.palm, posture=LOOSE * o.posture, change=KEPT)


def track_keypoints(
    stream: StreamingRetargeter, keypoints: np.ndarray, palm: np.ndarray, options: RetargetOptions | None = None
) -> np.ndarray:
    """Keypoints (T, 21, 3) and palm rotations (T, 4) at 60 Hz -> q (T, 6+n), without contacts or gaps.

    The frames are solved one after the other; then one step smooths all of them together, with each frame's last
    linearisation: it is at most SETTLED from the frame's solution.
    """
    o = options or RetargetOptions()
    stream.reset()
    systems, found = [], []
    if o.plain:  # begins with the person's palm: from any other rotation, eq. 5 has other minima
        stream.palm = RetargetOptions.palm
        stream.solve(stream.targets(keypoints[0]), quat_to_matrix(palm[0]))
        stream.palm = o.palm
    for points, rotation in zip(stream.targets(keypoints), quat_to_matrix(palm)):
        found.append(stream.solve(points, rotation))
        systems.append(stream.system)
    if o.plain:
        return np.array(found)
    q, H, b = (np.array(column) for column in zip(*systems))
    velocity = np.r_[np.zeros(6), np.full(q.shape[1] - 6, LOOSE * o.velocity)]
    acceleration = np.full(q.shape[1], LOOSE * o.acceleration)
    return smooth_motion(stream.model, q, H, -b, velocity, acceleration)


def squeeze(model: HandModel, plan: ContactPlan, q: np.ndarray, fingers: Servo) -> np.ndarray:
    """Position targets (T, 6+n): q, shifted so that the servos press with `plan.force` (J^T f / k)."""
    target = q.copy()
    for t in np.flatnonzero(np.abs(plan.force).max((1, 2)) > 0):
        model.move(q[t])
        torque = np.einsum("kij,ki->j", model.point_jacobian()[: model.contacts], plan.force[t])[6:]
        # Scaled as a whole where a motor is too weak: individually clipped forces would no longer balance.
        target[t, 6:] += torque * min(1.0, PRESS * fingers.torque / np.abs(torque).max()) / fingers.kp
    within: np.ndarray = np.clip(target, model.lower, model.upper)
    return within


def with_profile(reference: Reference, profile: str) -> Reference:
    """The reference with its squeeze for the finger servos of another profile: the same torques, scaled down together
    where they exceed the new limits. Raises NotFoundError."""
    hand, made = load_hand(reference.hand), reference.provenance
    old = servo(made.get("servo", hand.servo), hand.joint_names)
    new = servo(profile, hand.joint_names)
    torque = (reference.target - reference.q)[:, 6:] * old.kp
    most = np.abs(torque).max(axis=1, keepdims=True)
    scale = np.minimum(1.0, PRESS * new.torque / np.maximum(most, 1e-9))
    target = reference.target.copy()
    target[:, 6:] = np.clip(reference.q[:, 6:] + scale * torque / new.kp, hand.lower, hand.upper)
    return replace(reference, target=target, provenance=made | {"servo": profile})


def carried_palm(
    palm: np.ndarray,
    object_pose: np.ndarray,
    start: int,
    end: int,
    options: ContactOptions,
    turning: bool = False,
) -> np.ndarray:
    """Palm rotations (T, 4) wxyz that are rigid to the object (T, 7) while it moves, at the mean measured rotation;
    with `turning` they follow the measured one, smoothed.

    A person's fingers are compliant; position-controlled ones that shift on an object let it slip.
    """
    object_R_palm = quat_multiply(quat_conjugate(object_pose[:, 3:]), palm)
    mean = mean_quat(object_R_palm[start : end + 1])
    if turning:
        about = quat_to_rotvec(quat_multiply(quat_conjugate(mean), object_R_palm))[
            np.arange(len(palm)).clip(start, end)
        ]
        mean = quat_multiply(mean, rotvec_to_quat(gaussian_filter1d(about, TURNING, axis=0, mode="nearest")))
    carried = quat_multiply(object_pose[:, 3:], mean)
    frame = np.arange(len(palm))
    away = np.maximum(start - options.early - frame, frame - end).clip(0)
    share = (1.0 - away / options.fade).clip(0, 1)
    turn = quat_to_rotvec(quat_multiply(quat_conjugate(palm), carried))
    return quat_multiply(palm, rotvec_to_quat(share[:, None] * turn))


def _carries(
    keypoints: np.ndarray,
    object_pose: np.ndarray,
    asset: ObjectAsset,
    solid: ConvexUnion,
    table: float,
    options: RetargetOptions,
) -> list[tuple[int, int]]:
    """First and last moving frame of each time that the object is picked up."""
    nearest = solid.distance(in_mesh_frame(object_pose, keypoints[:, TIPS]))[0].min(axis=1)
    height = lowest(object_pose, asset.corners) - table
    return carries(object_pose, height, nearest, options.contacts.moved, options.sequence)


def _stretches(object_R_palm: np.ndarray, carried: list[tuple[int, int]], options: RetargetOptions) -> list[Stretch]:
    """The grasps of the clip, in order: one per carry, or with `in_hand` as many as the palm's turns ask for."""
    if not options.in_hand:
        return [Stretch(*carry, carry) for carry in carried]
    return [stretch for carry in carried for stretch in stretches(object_R_palm, carry, options.sequence)]


def with_contacts(
    model: HandModel,
    problem: ClipProblem,
    hand: RobotHand,
    base: np.ndarray,
    asset: ObjectAsset,
    solid: ConvexUnion,
    thumb: int,
    held: list[Stretch],
    table: float,
    options: RetargetOptions,
    pads: Sequence[Pad] = (),
) -> tuple[ClipProblem, ContactPlan]:
    """The problem with the grasps' paths of fingertips and pads as goals and the hand moving with the object; and the
    plan."""
    object_pose, contacts, o = problem.object_pose, slice(model.tips, model.contacts), options.contacts
    fingers = servo(options.profile or hand.servo, hand.joint_names)
    measured = in_mesh_frame(object_pose, problem.goal[:, : model.contacts])
    radius = np.concatenate([np.full(model.tips, hand.tip_radius), np.zeros(len(pads))])
    lowest_tip = table + hand.tip_radius + o.clearance
    planned: list[PlannedGrasp] = []
    prior = problem.prior.copy()
    for stretch in held:
        start, end = stretch.carry
        grasped = slice(stretch.first, stretch.last + 1)
        where, weight = measured_contacts(measured[:, : model.tips], thumb, grasped, solid, o)
        set_down = object_pose[end, 2] - object_pose[start, 2] < 0.01
        lies = [stretch.first == start, stretch.last == end and set_down]
        rest = object_pose[[start, end]][lies]

        def allowed(points: np.ndarray, rest: np.ndarray = rest) -> np.ndarray:
            above: np.ndarray = transform(rest[:, None], points)[..., 2].min(0, initial=np.inf) > lowest_tip
            return above

        space = GraspSpace(solid, hand.tip_radius, thumb, allowed, options.grasp)
        load = _load(asset, object_pose[stretch.first : stretch.last + 1], fingers)
        pose_at = (stretch.first + stretch.last) // 2 if options.in_hand else start
        searched = problem
        if pads:
            places, touches = touching_links(pads, measured[grasped, contacts], solid, options.link)
            searched = pulled(problem, object_pose, contacts, places, options.link.pull * touches)
        grasp, q = find_grasp(model, searched, pose_at, space, where, weight, options.held, load)
        if pads:
            friction = options.grasp.friction
            grasp, q = with_links(
                model, problem, pose_at, grasp, q, touches, solid, thumb, friction, options.held, options.link
            )
        if planned and planned[-1].stretch.carry == stretch.carry:
            grasp = continued(grasp, planned[-1].grasp, thumb, options.grasp.friction, options.sequence)
        plan = plan_contacts(measured, grasp, (start, end), object_pose, solid, radius, table, o)
        planned.append(PlannedGrasp(stretch, grasp, plan))
        closed = slice(plan.closed if stretch.first == start else stretch.first, stretch.last + 1)
        carried = compose(object_pose[closed], inverse(object_pose[pose_at]))
        prior[closed, :3] = transform(carried, q[:3])
        prior[closed, 3:6] = wrist_angles(base, quat_multiply(carried[:, 3:], palm_poses(base, q)[3:]))
        prior[closed, 6:] = q[6:]
    plan, roles = joined(planned, object_pose, space, radius, o.force, options.sequence)
    goal_weight = problem.goal_weight.copy()
    spare = np.where(np.arange(model.contacts) < model.tips, SPARE_WEIGHT, 0.0)
    goal_weight[:, : model.contacts] = np.choose(roles, [goal_weight[:, : model.contacts], spare, options.held])
    goal = np.concatenate([plan.tips, problem.goal[:, model.contacts :]], axis=1)
    touching = share_links(plan.touching, [pad.link for pad in pads], model.tips)
    return replace(problem, goal=goal, goal_weight=goal_weight, prior=prior, touching=touching), plan


def _load(asset: ObjectAsset, held: np.ndarray, fingers: Servo) -> GraspLoad:
    """The object's weight in the directions of its poses `held` (T, 7), at worst: with the lowest friction, the largest
    mass and the weakest servos of worlds_v2."""
    worst, physics = worlds("worlds_v2"), load_physics()
    assert worst.sliding is not None
    some = held[np.linspace(0, len(held) - 1, DIRECTIONS).astype(int), 3:]
    torque = PRESS * worst.gain[0] * fingers.torque
    return GraspLoad(
        weight=-asset.mass * worst.mass[1] * physics.gravity[2],
        centre=np.asarray(asset.center_of_mass, float),
        directions=quat_rotate(quat_conjugate(some), np.array([0.0, 0.0, -1.0])),
        friction=worst.sliding[0] * physics.sliding(asset.friction) / physics.friction[0],
        torsion=physics.friction[1],
        torque=np.full(len(fingers.stiffness), torque),
    )


def clip_problem(
    model: HandModel,
    hand: RobotHand,
    match: Correspondence,
    points: np.ndarray,
    palm: np.ndarray,
    object_pose: np.ndarray,
    options: RetargetOptions,
) -> ClipProblem:
    """The problem of tracking a motion: fingertips and links (`points` (T, k+m, 3)), palm, posture, smoothness."""
    T, n = len(palm), model.size
    tips = points[:, : model.tips]
    weight = np.full(points.shape[:2], match.link_weight)
    weight[:, : model.tips] = 1.0
    weight[:, model.tips : model.contacts] = 0.0
    prior = np.zeros((T, n))
    prior[:, 3:6] = wrist_angles(mean_quat(palm), palm)
    prior[:, 6:] = hand.nominal
    prior[:, :3] = _palm_start(model, prior, tips)
    fingers = n - 6
    return ClipProblem(
        goal=points,
        goal_weight=weight,
        palm=quat_to_matrix(palm),
        palm_weight=options.palm,
        prior=prior,
        prior_weight=np.concatenate([np.zeros(6), np.full(fingers, options.posture)]),
        velocity_weight=np.concatenate([np.zeros(6), np.full(fingers, options.velocity)]),
        acceleration_weight=np.full(n, options.acceleration),
        object_pose=object_pose,
        gap_weight=options.gap,
    )


def _palm_start(model: HandModel, prior: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Palm positions (T, 3) m that centre the nominal posture's fingertips on the wanted ones."""
    out = np.empty((len(prior), 3))
    for t, q in enumerate(prior):
        model.move(q)
        out[t] = tips[t].mean(0) - model.points()[: tips.shape[1]].mean(0)
    return out
