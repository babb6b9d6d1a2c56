"""A folder from which Isaac Gym trains the tracking task: dexhot_isaacgym reads it under Python 3.8.

task.npz has the arrays, task.json the numbers and names, hands/ and objects/ the URDFs with their meshes. Every number
of the task comes from here: its other side computes with them only. The card in task.json is that of the networks that
are trained there (isaacgym_policy.py).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import mujoco
import numpy as np

from dexhot.data.disk import check_folder
from dexhot.data.files import replacing, write_text
from dexhot.data.types import WRIST_JOINTS
from dexhot.errors import DexhotError
from dexhot.geometry.poses import inverse
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.hand_links import hand_links
from dexhot.robots.kinematics.wrist import WRIST_BODIES
from dexhot.robots.robot_hand import RobotHand
from dexhot.robots.urdf import RobotPart, fixed_axis_angles, to_urdf
from dexhot.simulation.bodies import FAR, PLAY
from dexhot.versions import versions
from dexhot_train.task.card import task_card
from dexhot_train.task.clips import TaskClip
from dexhot_train.task.randomisation import Randomisation
from dexhot_train.task.simulators import Start
from dexhot_train.task.tracking import TaskOptions, TrackingTask

VERSION = 1
MOMENTS = ("xx", "xy", "xz", "yy", "yz", "zz")
UNBOUNDED = {"effort": "10000", "velocity": "1000"}  # of the wrist's joints; their servos have no limit
LIGHT = (0.003, 3e-6)  # kg, kg m2 of a link between two wrist joints; their armature is the real inertia
RANDOMISATION = Randomisation("worlds_v2", (0.8, 1.2), (0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # physics alone


def export_isaacgym(clips: Sequence[TaskClip], folder: Path, options: TaskOptions | None = None, seed: int = 0) -> Path:
    """Write a new folder and return it. Of `options`, latency, noise and the shaper are not for Isaac Gym.

    Raises DexhotError for a folder that exists, hands with coupled joints, or tables of different heights.
    """
    options = options or TaskOptions(randomisation=RANDOMISATION, references=1)
    first = clips[0]
    if folder.exists():
        raise DexhotError(f"{folder} exists; name a new folder with --out.")
    if first.setup.hand.coupled:
        raise DexhotError(f"{first.setup.hand.name} has coupled joints, which Isaac Gym's URDF reader ignores.")
    if len(heights := {clip.reference.table_height for clip in clips}) > 1:
        raise DexhotError(f"Isaac Gym has one table for all environments; these clips' are at {sorted(heights)} m.")
    task = TrackingTask(clips, 1, options, seed)
    check_folder(folder.parent, "--out")
    with replacing(folder / "task.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays(task))
    hands = [_write_hand(clip, folder / "hands") for clip in clips]
    objects = [_write_object(clip.asset, folder / "objects") for clip in clips]
    card = task_card(clips, replace(options, shaper=False), f"Isaac Gym tracker of {len(clips)} clips")
    card.provenance = {"versions": versions()}
    told = numbers(task) | {"card": asdict(card), "hands": hands, "objects": objects}
    write_text(folder / "task.json", json.dumps(told, indent=1) + "\n")
    return folder


def arrays(task: TrackingTask) -> dict[str, np.ndarray]:
    """What the task indexes: rows of clips (K), padded frames (T), starts (S) and worlds (W)."""
    t, observer, setup = task.table, task.observer, task.table.clips[0].setup
    clips, model = t.clips, t.clips[0].scene.model
    frames = np.minimum(np.arange(t.q.shape[1]), t.length[:, None] - 1)
    starts = [np.arange(len(s.kind)) for s in task.starts]
    clip = np.repeat(np.arange(len(clips)), [len(s) for s in starts])
    residual = t.placed(clip, np.concatenate([s.residual for s in task.starts]), back=True)
    wrist, fingers = setup.physics.wrist, setup.physics.finger(setup.hand)
    slide, hinge = wrist.translation, wrist.rotation
    return {
        "length": t.length,
        **{name: getattr(t, name) for name in ("q", "object_pose", "contact", "palm_pose", "grasp", "baseline")},
        "planned": observer.planned[observer.first[:: task.variants, None] + frames],
        "base_quat": t.base_quat,
        "placement": inverse(np.stack([clip.reference.placement for clip in clips])),
        "turn": t.turn,
        "center": t.center,
        "physics": task.physics,
        "start_clip": clip,
        "start_kind": np.concatenate([s.kind for s in task.starts]),
        "start_frame": np.concatenate([s.frame for s in task.starts]),
        **{f"start_{f.name}": np.concatenate([getattr(s.start, f.name) for s in task.starts]) for f in fields(Start)},
        "start_residual": np.clip(residual, -task.space.limit, task.space.limit),
        "start_fractions": task.options.starts.fractions(),
        "limit": task.space.limit,
        "step": task.space.step,
        "lower": task.lower,
        "upper": task.upper,
        "stiffness": np.r_[[slide.kp] * 3, [hinge.kp] * 3, fingers.stiffness],
        "damping": np.r_[[slide.kv] * 3, [hinge.kv] * 3, fingers.damping],
        "effort": np.r_[[1e4] * 6, [fingers.torque] * len(fingers.stiffness)],
        "armature": model.dof_armature[t.clips[0].scene.v_address],
    }


def numbers(task: TrackingTask) -> dict[str, Any]:
    """Numbers and names of the task, for JSON."""
    clip, observer = task.table.clips[0], task.observer
    physics, hand = clip.setup.physics, clip.setup.hand
    scene = clip.scene
    layout = [
        {"name": name, "size": int(place.stop - place.start), "observed": feature.observed, "ahead": ahead}
        for name, place, (feature, ahead) in zip(observer.layout, observer.places, observer.features)
    ]
    return {
        "version": VERSION,
        "clips": [c.name for c in task.table.clips],
        "hand": hand.name,
        "joints": list(scene.joint_names),
        "layout": layout,
        "rewards": {name: {"weight": r.weight, "parameters": dict(r.parameters)} for name, r in task.rewards.items()},
        "terminations": {name: dict(term.parameters) for name, term in task.terminations.items()},
        "action": task.space.kind,
        "longest": task.options.longest,
        "timestep": physics.timestep,
        "substeps": physics.substeps,
        "gravity": list(physics.gravity),
        "friction": list(physics.friction),
        "table_height": clip.reference.table_height,
        "symmetry": [
            {"kind": s.kind, "axis": list(s.axis), "rotations": [list(r) for r in s.rotations]}
            for s in (c.asset.symmetry for c in task.table.clips)
        ],
        "tip_links": [scene.model.body(scene.model.site(name).bodyid[0]).name for name in hand.tip_sites],
        "tip_chains": [tip_chain(clip, name) for name in hand.tip_sites],
    }


def tip_chain(clip: TaskClip, site: str) -> list[dict[str, Any]]:
    """From the palm to a fingertip: poses of links in their parents at angle 0, with the index of the joint that turns
    the link about `axis` (its own frame), or -1."""
    scene, model = clip.scene, clip.scene.model
    body, palm = int(model.site(site).bodyid[0]), model.body("palm").id
    chain = [{"pose": [*model.site(site).pos, 1.0, 0.0, 0.0, 0.0], "joint": -1, "axis": [0.0, 0.0, 1.0]}]
    while body != palm:
        joints = [model.joint(model.body_jntadr[body] + k) for k in range(model.body_jntnum[body])]
        driven = [joint for joint in joints if not joint.name.endswith(PLAY)]
        link = {"pose": [*model.body_pos[body], *model.body_quat[body]], "joint": -1, "axis": [0.0, 0.0, 1.0]}
        for joint in driven:
            assert len(driven) == 1 and joint.type[0] == mujoco.mjtJoint.mjJNT_HINGE and not joint.pos.any()
            link |= {"joint": scene.joint_names.index(joint.name), "axis": joint.axis.tolist()}
        chain.insert(0, link)
        body = int(model.body_parentid[body])
    return chain


def floating_urdf(hand: RobotHand, base_quat: np.ndarray) -> str:
    """The hand on the six wrist joints of docs/robots.md, below a link `world`."""
    links = hand_links(hand)
    robot = ElementTree.fromstring(to_urdf(Path(hand.name).name, [RobotPart(links.model, hand.joints)], meshes=""))
    SubElement(robot, "link", name="world")
    parent = "world"
    for k, name in enumerate(WRIST_JOINTS):
        child = WRIST_BODIES[1] if k == 5 else f"link_{name}"
        link = SubElement(SubElement(robot, "link", name=child), "inertial")
        SubElement(link, "mass", value=str(LIGHT[0]))
        SubElement(link, "inertia", {f"i{ab}": str(LIGHT[1] * (ab[0] == ab[1])) for ab in MOMENTS})
        joint = SubElement(robot, "joint", name=name, type="prismatic" if k < 3 else "revolute")
        turn = fixed_axis_angles(quat_to_matrix(base_quat)) if k == 3 else (0.0, 0.0, 0.0)
        SubElement(joint, "origin", xyz="0 0 0", rpy=" ".join(f"{x:.12g}" for x in turn))
        SubElement(joint, "parent", link=parent)
        SubElement(joint, "child", link=child)
        SubElement(joint, "axis", xyz=" ".join(str(int(i == k % 3)) for i in range(3)))
        SubElement(joint, "limit", {"lower": str(-FAR), "upper": str(FAR), **UNBOUNDED})
        parent = child
    mount = SubElement(robot, "joint", name="palm_mount", type="fixed")
    SubElement(mount, "parent", link=parent)
    SubElement(mount, "child", link=links.model.root)
    return _text(robot)


def object_urdf(asset: ObjectAsset) -> tuple[str, dict[str, str]]:
    """A free body at the mesh frame, and the OBJ of each convex piece by file name."""
    stem = asset.name.replace("/", "_")
    robot = Element("robot", name=stem)
    link = SubElement(robot, "link", name="object")
    inertial = SubElement(link, "inertial")
    SubElement(inertial, "origin", xyz=" ".join(f"{x:.10g}" for x in asset.center_of_mass), rpy="0 0 0")
    SubElement(inertial, "mass", value=f"{asset.mass:.10g}")
    entries = {f"i{ab}": f"{asset.inertia['xyz'.index(ab[0]), 'xyz'.index(ab[1])]:.10g}" for ab in MOMENTS}
    SubElement(inertial, "inertia", entries)
    meshes = {}
    for k, (vertices, faces) in enumerate(asset.pieces):
        name = f"{stem}_{k}.obj"
        lines = [f"v {x:.8g} {y:.8g} {z:.8g}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in faces + 1]
        meshes[name] = "\n".join(lines) + "\n"
        SubElement(SubElement(SubElement(link, "collision"), "geometry"), "mesh", filename=name)
    return _text(robot), meshes


def _write_hand(clip: TaskClip, folder: Path) -> str:
    turned = "_".join(f"{x:.6f}" for x in clip.reference.base_quat)
    name = f"{Path(clip.setup.hand.name).name}_{turned}.urdf"
    if not (folder / name).exists():
        for mesh, content in hand_links(clip.setup.hand).meshes.items():
            with replacing(folder / mesh) as temporary:
                temporary.write_bytes(content)
        write_text(folder / name, floating_urdf(clip.setup.hand, clip.reference.base_quat))
    return f"{folder.name}/{name}"


def _write_object(asset: ObjectAsset, folder: Path) -> str:
    urdf, meshes = object_urdf(asset)
    for name, text in (*meshes.items(), (f"{asset.name.replace('/', '_')}.urdf", urdf)):
        write_text(folder / name, text)
    return f"{folder.name}/{asset.name.replace('/', '_')}.urdf"


def _text(robot: Element) -> str:
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"
