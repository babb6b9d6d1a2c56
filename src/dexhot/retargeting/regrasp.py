"""Other grasps of a reference's object: the object moves as before, the hand about it elsewhere.

The reference's own hand is moved about its fingertips in the object's frame and retargeted as if it were a person's,
with contacts searched anew: every fingertip may take part, farther from where it was, and a grasp that cannot hold the
object's weight costs more than in `retarget`. The motion before the grasp leads over from the reference's first frame,
so both start in the same state of a simulation.
"""

from dataclasses import replace

import numpy as np

from dexhot.data.types import Reference
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.asset import ObjectAsset
from dexhot.retargeting.clip_solver import solve_clip
from dexhot.retargeting.contact_plan import ContactOptions
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.grasp import GraspOptions, takes_part
from dexhot.retargeting.grasp_sequence import Stretch
from dexhot.retargeting.retarget import RetargetOptions, carried_palm, clip_problem, squeeze, with_contacts
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import RobotHand
from dexhot.robots.servos import servo

SHIFT, TURN = 0.025, 0.5  # m, rad: half widths of the draws of `moves`
LEAD, SHORTEST = 30, 4  # frames in which the motion leads over to the other grasp's: at most, and at least
# Every fingertip within reach takes part; 30 mm from its place cost as much as 12 mm do in `retarget`, weakness thrice.
WIDE = RetargetOptions(
    contacts=ContactOptions(reach=0.08, sure=0.06), grasp=GraspOptions(displacement=0.03, weak=3 * GraspOptions.weak)
)


def moves(reference: Reference, hand: RobotHand, asset: ObjectAsset, count: int, seed: int) -> np.ndarray:
    """(count, 6) shifts (m) and turns (rad) of the hand in the mesh frame: none, half of the way to the centre of mass,
    and draws."""
    rng = np.random.default_rng(seed)
    drawn: np.ndarray = rng.uniform(-1.0, 1.0, (count, 6)) * np.repeat([SHIFT, TURN], 3)
    drawn[:1] = 0.0
    drawn[1:2] = np.r_[(asset.center_of_mass - grasp_centre(reference, hand)) / 2, np.zeros(3)]
    return drawn


def moved_about(object_pose: np.ndarray, centre: np.ndarray, shift: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(T, 7) world transforms of what is shifted (3,) m and turned (3,) rad about `centre` (3,) m, all in the frame of
    an object at poses (T, 7)."""
    about = compose(make_pose(centre + shift, rotvec_to_quat(turn)), make_pose(-centre, [1.0, 0.0, 0.0, 0.0]))
    moved: np.ndarray = compose(compose(object_pose, about), inverse(object_pose))
    return moved


def grasp_centre(reference: Reference, hand: RobotHand) -> np.ndarray:
    """(3,) m, mean of the fingertips that take part in the middle of the object's motion, in the mesh frame."""
    t = (reference.grasp_start + reference.grasp_end) // 2
    model = HandModel(hand, (), reference.base_quat)
    model.move(reference.q[t])
    tips = transform(inverse(reference.object_pose[t]), model.points())
    held = takes_part(reference.contact[t])
    centre: np.ndarray = tips[held if held.any() else slice(None)].mean(0)
    return centre


def regrasp(
    reference: Reference, hand: RobotHand, asset: ObjectAsset, move: np.ndarray, options: RetargetOptions = WIDE
) -> Reference:
    """The reference with a grasp near the one of the hand moved by `move` (6,), as from `moves`; without an arm path.

    The object's motion, its timing and the first frame are the reference's. One grasp holds throughout. Raises
    DexhotError where no finger and thumb would reach the object.
    """
    match, pose, base = correspondence(hand), reference.object_pose, reference.base_quat
    start, end, table = reference.grasp_start, reference.grasp_end, reference.table_height
    model = HandModel(hand, match.links, base, asset, table)
    centre = grasp_centre(reference, hand)
    moved = moved_about(pose, centre, move[:3], move[3:])
    points = np.empty((len(pose), len(hand.tip_sites) + len(match.links), 3))
    for t, q in enumerate(reference.q):
        model.move(q)
        points[t] = model.points()
    points = transform(moved[:, None], points)
    palm = compose(moved, palm_poses(base, reference.q))[:, 3:]
    palm = carried_palm(palm, pose, start, end, options.contacts)
    problem = clip_problem(model, hand, match, points, palm, pose, options)
    held, solid = [Stretch(start, end, (start, end))], ConvexUnion(asset.pieces)
    problem, plan = with_contacts(model, problem, hand, base, asset, solid, match.thumb, held, table, options)
    q = solve_clip(model, problem, problem.prior, options.iterations)
    profile = reference.provenance.get("servo", hand.servo)
    target = squeeze(model, plan, q, servo(profile, hand.joint_names))
    frames = np.clip(start - options.contacts.early - SHORTEST, SHORTEST, LEAD)
    s = np.clip((np.arange(len(q)) - 1) / frames, 0.0, 1.0)  # the first two frames, so the velocity, are the old ones
    s = (s * s * (3.0 - 2.0 * s))[:, None]
    return replace(
        reference,
        name=f"{reference.name}, regrasped",
        q=(1.0 - s) * reference.q + s * q,
        target=(1.0 - s) * reference.target + s * target,
        contact=plan.contact[:, : model.tips],
        arm_q=np.zeros((0, 7)),
        arm_frames=np.zeros(0),
        provenance=reference.provenance | {"moved": move.tolist()},
    )
