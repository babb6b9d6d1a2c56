"""Contacts of further links than the fingertips: the fingers' inner sides, and the palm.

A person's hand holds with them where a bone passes the object at the thickness of its flesh. Their counterparts on the
robot are pads, points of its collision shapes that face what the hand closes on. The person's hand decides which links
touch; where they touch follows from the robot's, whose proportions are others: posed on its grasp, each pad near the
surface is put on it where it is nearest, and keeps its place there while the object is held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from dexhot.data.keypoints import NAMES, WRIST
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.clip_solver import ClipProblem, solve_clip
from dexhot.retargeting.correspondence import Correspondence
from dexhot.retargeting.grasp import Grasp, balanced_forces, takes_part
from dexhot.retargeting.reachable_grasp import ITERATIONS
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import RobotHand

FLESH, PALM_FLESH = 0.010, 0.020  # m from the middle of a bone to the skin of its inner side
FAR = 0.1  # m, from where rays are cast at the hand
ROUNDS = 3  # in which pads are put on the surface and the hand is posed anew


@dataclass(frozen=True)
class LinkOptions:
    """Lengths in m."""

    sure: float = 0.004  # flesh nearer than this to the surface is in contact,
    reach: float = 0.010  # farther than this it is not
    pull: float = 1.0  # weight of a pad's place on the object as the person's hand has it, while grasps are searched
    near: float = 0.025  # a pad farther than this from the surface, with the hand on its grasp, is not tried
    on: float = 0.0015  # one that stays farther than this takes no part,
    cede: float = 0.0005  # nor one with which a fingertip misses its contact, or shapes overlap, by so much more


@dataclass(frozen=True)
class Pad:
    """A point of a link, and its place on a human hand."""

    link: str
    position: np.ndarray  # (3,) m, in the link's frame
    bone: tuple[int, int]  # human keypoints at its ends
    along: float  # fraction of the bone
    flesh: float  # m


def link_pads(hand: RobotHand, match: Correspondence) -> list[Pad]:
    """The pads of a hand: per link with a human keypoint those of this phalanx, of the one before, and of the palm
    behind it; of the thumb, whose metacarpal is no part of the palm, only the first two."""
    model = HandModel(hand, match.links)
    m, d = model.model, model.data
    closed = _tips(model, hand.nominal)
    opened = _tips(model, hand.open)  # the hand stays so
    pads = []
    for name, keypoint in zip(match.links, match.keypoints.tolist()):
        link = m.body(name).id
        chain = _chain(m, link, model.palm)
        tip = next(
            i for i, s in enumerate(model.sites[: model.tips]) if link in _chain(m, m.site_bodyid[s], model.palm)
        )
        child = [b for b in _chain(m, m.site_bodyid[model.sites[tip]], model.palm) if m.body_parentid[b] == link]
        end = d.xpos[child[0]] if child else opened[tip]
        first, inward = d.xpos[chain[0]], closed[tip] - opened[tip]
        phalanges = [((keypoint, keypoint + 1), chain[-1:], d.xpos[link], end, inward, 0.5, FLESH)]
        if len(chain) > 1:
            phalanges.append(((keypoint - 1, keypoint), chain[:-1], first, d.xpos[link], inward, 0.5, FLESH))
        if not NAMES[keypoint].startswith("thumb"):
            middle, down = d.xpos[model.palm], -d.xmat[model.palm].reshape(3, 3)[:, 2]
            phalanges.append(((WRIST, keypoint - 1), [model.palm], middle, first, down, 0.6, PALM_FLESH))
        for bone, bodies, start, stop, way, along, flesh in phalanges:
            found = _inner_side(m, d, bodies, start, stop, way)
            if found is not None:
                pads.append(Pad(m.body(found[0]).name, found[1], bone, along, flesh))
    return pads


def human_points(pads: Sequence[Pad], keypoints: np.ndarray) -> np.ndarray:
    """Keypoints (..., 21, 3) -> the places of the pads in a human hand's bones (..., p, 3)."""
    places = [keypoints[..., p.bone[0], :] * (1 - p.along) + keypoints[..., p.bone[1], :] * p.along for p in pads]
    out: np.ndarray = np.stack(places, axis=-2) if places else np.zeros((*keypoints.shape[:-2], 0, 3))
    return out


def touching_links(
    pads: Sequence[Pad], measured: np.ndarray, solid: ConvexUnion, options: LinkOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Bones (T, p, 3) of the frames in which the object is held, in the mesh frame -> the nearest points of the surface
    (p, 3), of their medians, and whether the person's flesh is on it (p,) bool, over most of the frames."""
    distance, _ = solid.distance(measured)
    flesh = np.array([pad.flesh for pad in pads])
    near = ((options.reach - (distance - flesh)) / (options.reach - options.sure)).clip(0, 1)
    middle = np.median(measured, axis=0)
    away, normal = solid.distance(middle)
    return middle - away[:, None] * normal, near.mean(0) > 0.5


def pulled(
    problem: ClipProblem, object_pose: np.ndarray, contacts: slice, places: np.ndarray, weight: np.ndarray
) -> ClipProblem:
    """The problem whose pads are drawn to `places` (p, 3) in the mesh frame with `weight` (p,), and may touch there."""
    goal, goal_weight = problem.goal.copy(), problem.goal_weight.copy()
    goal[:, contacts] = transform(object_pose[:, None], places)
    goal_weight[:, contacts] = weight
    touching = np.zeros((len(goal), contacts.stop), bool)
    touching[:, contacts] = weight > 0.0
    return replace(problem, goal=goal, goal_weight=goal_weight, touching=touching)


def touched(pads: Sequence[Pad], contact: np.ndarray) -> list[str]:
    """The links that take part in a grasp, of pads with confidences (T, p)."""
    on = np.flatnonzero(takes_part(contact).any(axis=0))
    return list(dict.fromkeys(pads[i].link for i in on.tolist()))


def with_links(
    model: HandModel,
    problem: ClipProblem,
    frame: int,
    grasp: Grasp,
    q: np.ndarray,
    touching: np.ndarray,
    solid: ConvexUnion,
    thumb: int,
    friction: float,
    held: float,
    options: LinkOptions,
) -> tuple[Grasp, np.ndarray]:
    """The grasp of k fingertips with the pads that `touching` (p,) bool names as further contacts, and the hand (6+n,)
    on it in `frame`. Pads that the hand cannot put on the object, or only with its fingertips off, take no part."""
    pose, pads = problem.object_pose[frame], slice(model.tips, model.contacts)
    tips = transform(pose, grasp.centre)

    def seen(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The surface points (p, 3) nearest to the pads, their normals and distances; and the most by which a fingertip
        misses its contact and shapes overlap (2,), m."""
        model.move(q, pose)
        points = model.points()
        places = transform(inverse(pose), points[pads])
        distance, normal = solid.distance(places)
        missed = np.linalg.norm(points[: model.tips] - tips, axis=1)[grasp.active].max()
        overlap = -model.gaps().distance.min(initial=0.0)
        return places - distance[:, None] * normal, normal, np.abs(distance), np.array([missed, overlap])

    on, (centre, normal, distance, bad) = np.zeros(len(touching), bool), seen(q)
    for pad in np.argsort(distance, kind="stable"):
        if not touching[pad] or distance[pad] > options.near:
            continue
        tried, posed, places = on | (np.arange(len(on)) == pad), q, centre
        for _ in range(ROUNDS):
            posed = _posed(model, problem, frame, posed, grasp, tips, transform(pose, places), tried, held)
            places, normals, away, worse = seen(posed)
        if away[tried].max() < options.on and (worse < bad + options.cede).all():
            on, q, centre, normal = tried, posed, places, normals
    weight = np.concatenate([grasp.weight, on.astype(float)])
    centre = np.concatenate([grasp.centre, centre])
    normal = np.concatenate([grasp.normal, normal])
    force = np.concatenate([grasp.force, np.zeros((len(on), 3))])
    if on.any():
        force, _ = balanced_forces(centre, normal, weight, thumb, friction)
    return replace(grasp, centre=centre, normal=normal, weight=weight, force=force), q


def share_links(touching: np.ndarray, links: Sequence[str], tips: int) -> np.ndarray:
    """(T, k+p) whether each contact may touch -> the same, a link with several pads touching with all of them."""
    names = np.array([*(f"tip {i}" for i in range(tips)), *links])
    shared: np.ndarray = touching.astype(int) @ (names[:, None] == names) > 0
    return shared


def _posed(
    model: HandModel,
    problem: ClipProblem,
    frame: int,
    q: np.ndarray,
    grasp: Grasp,
    tips: np.ndarray,
    pads: np.ndarray,
    on: np.ndarray,
    held: float,
) -> np.ndarray:
    """The hand (6+n,) with its fingertips and pads at these places in the world, from q on."""
    one, k, c = [frame], model.tips, model.contacts
    goal, goal_weight = problem.goal[one].copy(), problem.goal_weight[one].copy()
    goal[0, :k], goal[0, k:c] = tips, pads
    goal_weight[0, :k] = np.where(grasp.active, held, goal_weight[0, :k])
    goal_weight[0, k:c] = held * on
    single = replace(
        problem,
        goal=goal,
        goal_weight=goal_weight,
        palm=problem.palm[one],
        prior=problem.prior[one],
        object_pose=problem.object_pose[one],
        touching=np.concatenate([grasp.active, on])[None],
        velocity_weight=np.zeros(model.size),
        acceleration_weight=np.zeros(model.size),
    )
    solved: np.ndarray = solve_clip(model, single, q[None], ITERATIONS)[0]
    return solved


def _tips(model: HandModel, fingers: np.ndarray) -> np.ndarray:
    """(k, 3) fingertips in the palm's frame."""
    model.move(np.concatenate([np.zeros(6), fingers]))
    return model.points()[: model.tips].copy()


def _chain(m: mujoco.MjModel, body: int, palm: int) -> list[int]:
    """The bodies from the palm's child down to `body`."""
    chain: list[int] = []
    while body not in (palm, 0):
        chain.insert(0, int(body))
        body = m.body_parentid[body]
    return chain


def _inner_side(
    m: mujoco.MjModel, d: mujoco.MjData, bodies: Sequence[int], start: np.ndarray, stop: np.ndarray, way: np.ndarray
) -> tuple[int, np.ndarray] | None:
    """The body, and the point in its frame, that a ray meets at the middle of start and stop, from the side to which
    `way` points; None where there is no shape of these bodies. Joints may lie beside their links: sideways, the ray
    aims at the middle of the shapes."""
    geoms = np.flatnonzero(np.isin(m.geom_bodyid, bodies) & ((m.geom_contype | m.geom_conaffinity) > 0))
    if not len(geoms):
        return None
    axis = (stop - start) / np.linalg.norm(stop - start)
    way = way - axis * (way @ axis)
    way = way / np.linalg.norm(way)
    side, middle = np.cross(axis, way), (start + stop) / 2
    origin, best = middle + side * (side @ (d.geom_xpos[geoms].mean(0) - middle)) + FAR * way, None
    for geom in geoms:
        if m.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            far = mujoco.mj_rayMesh(m, d, geom, origin, -way)
        else:
            shape = d.geom_xpos[geom], d.geom_xmat[geom], m.geom_size[geom]
            far = mujoco.mju_rayGeom(*shape, origin, -way, m.geom_type[geom])
        if far >= 0.0 and (best is None or far < best[0]):
            best = far, int(m.geom_bodyid[geom])
    if best is None:
        return None
    body = best[1]
    return body, d.xmat[body].reshape(3, 3).T @ (origin - best[0] * way - d.xpos[body])
