"""Imports a hand from URDF or MJCF into the format of the shipped ones: one root body "palm" with the palm frame.

An existing body "palm" is renamed; a link without visuals is rendered by its collision shapes.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import mujoco
import numpy as np

from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.robots.mjcf import VISUAL_GROUP
from dexhot.robots.model import pose_from
from dexhot.robots.model_file import ModelFile
from dexhot.robots.urdf_source import read_stl

REFERENCES: tuple[str, ...] = ("joint1", "joint2", "body1", "body2", "geom1", "geom2", "site1", "site2")
REFERENCES += ("joint", "site", "geom", "sidesite")  # of tendons


@dataclass(frozen=True)
class ImportedModel:
    """A hand as MJCF text: one root body "palm", whose frame is the palm frame."""

    mjcf: str  # with absolute mesh paths
    ranges: dict[str, tuple[float, float]]  # limits of the joints that can be driven, in file order
    coupled: dict[str, str]  # joints that follow -> the joint at the end of their chain
    speeds: dict[str, float]  # rad/s, of joints with one in the file
    efforts: dict[str, float]  # N m, of joints with one in the file
    notes: tuple[str, ...]  # what was omitted or added, one sentence each

    def spec(self) -> mujoco.MjSpec:
        """A new spec of the hand."""
        return mujoco.MjSpec.from_string(self.mjcf)


def import_model(
    path: Path,
    palm: dict[str, Any],
    tips: dict[str, dict[str, Any]],
    root: str | None = None,
    limits: dict[str, Any] | None = None,
) -> ImportedModel:
    """Read a URDF or MJCF file.

    palm: {body, pos, rpy}, the palm frame in a body of the file; tips: site name -> {body, pos}, sites to add.
    root: the hand's base body, if the file is of a whole robot. limits: joint -> [lower, upper] rad, for joints
    with missing or wrong limits in the file. Raises FileFormatError naming the unusable entry.
    """
    file = ModelFile(path, root, near=palm["body"])
    file.require_bodies([palm["body"], *(tip["body"] for tip in tips.values())])
    file.set_limits(limits or {})
    for site, tip in tips.items():
        _add_tip(file, site, tip)
    _make_inertias_explicit(file)
    file.compile()
    model, ranges = file.model, file.free_ranges()
    names = {model.joint(j).name for j in range(model.njnt) if file.moves(j)}
    return ImportedModel(
        _wrapped(file, palm),
        {model.joint(j).name: span for j, span in ranges.items()},
        {joint: drive for joint, drive in file.coupled().items() if joint in names},
        {name: speed for name, speed in file.source.speeds.items() if name in names},
        {name: effort for name, effort in file.source.efforts.items() if name in names},
        tuple(file.notes),
    )


def _add_tip(file: ModelFile, site: str, tip: dict[str, Any]) -> None:
    """Add the site to the link in contact: the entry's, or one that it is fixed to if it has no shape itself."""
    model = file.model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    named = body = model.body(tip["body"]).id
    while not file.can_touch(model.body(body).name):
        if model.body_jntnum[body] or model.body_parentid[body] == 0:
            file.refuse(
                f"has no collision shape at {site}: link {tip['body']!r} has none, nor has a link that it is fixed "
                "to; give it one in the model, or name the link in contact."
            )
        body = int(model.body_parentid[body])
    world_T_named = make_pose(data.xpos[named], data.xquat[named])
    body_T_named = compose(inverse(make_pose(data.xpos[body], data.xquat[body])), world_T_named)
    position = transform(body_T_named, np.array(tip["pos"], float))
    if (theirs := file.spec.site(site)) is not None:  # an MJCF may have one of this name: the hand.yaml's counts
        file.spec.delete(theirs)
    file.spec.body(model.body(body).name).add_site(name=site, pos=position, size=[0.003] * 3, group=4)


def _make_inertias_explicit(file: ModelFile) -> None:
    """Store inertias explicitly, as the geoms that they derive from may be removed."""
    for body in file.spec.bodies[1:]:
        known = file.model.body(body.name)
        if not body.explicitinertial and known.mass[0] > 0.0:
            body.explicitinertial, body.mass = True, known.mass[0]
            body.ipos, body.iquat, body.inertia = known.ipos, known.iquat, known.inertia
    file.spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE


def _wrapped(file: ModelFile, palm: dict[str, Any]) -> str:
    """The tree below the root, without the rest of the world, inside a body "palm"."""
    document = ElementTree.fromstring(file.spec.to_xml())
    world = document.find("worldbody")
    assert world is not None
    for section in ("option", "size", "statistic", "visual"):  # of its own world: those of the scene count
        for element in document.findall(section):
            document.remove(element)
    tree = _taken_out(world, file.root)
    palm_T_root = _palm_T_root(file, palm)
    tree.set("pos", " ".join(map(repr, palm_T_root[:3].tolist())))
    tree.set("quat", " ".join(map(repr, palm_T_root[3:].tolist())))
    for element in list(world):
        world.remove(element)
    _drop_dangling(document, tree)
    _rename_palm(file, document, tree)
    for body in tree.iter("body"):
        for geom in body.findall("geom"):
            if geom.get("name") in file.drawn:
                body.append(_seen_copy(geom))
    for mesh in document.iter("mesh"):
        if mesh.get("file") in file.source.meshes:
            _inline(mesh, file.source.meshes[mesh.attrib.pop("file")])
    ElementTree.SubElement(world, "body", name="palm", gravcomp="1").append(tree)
    return ElementTree.tostring(document, encoding="unicode")


def _palm_T_root(file: ModelFile, palm: dict[str, Any]) -> np.ndarray:
    data = mujoco.MjData(file.model)
    mujoco.mj_kinematics(file.model, data)

    def world_T(name: str) -> np.ndarray:
        body = file.model.body(name).id
        return make_pose(data.xpos[body], data.xquat[body])

    return compose(inverse(compose(world_T(palm["body"]), pose_from(palm))), world_T(file.root))


def _taken_out(world: Element, root: str) -> Element:
    """The body `root` without its joints to its parent, and with its inherited defaults."""
    parents = {child: parent for parent in world.iter() for child in parent}
    tree = next(body for body in world.iter("body") if body.get("name") == root)
    above = parents[tree]
    if above is not world:
        for joint in [*tree.findall("joint"), *tree.findall("freejoint")]:
            tree.remove(joint)
    while above is not world and tree.get("childclass") is None:
        if name := above.get("childclass"):
            tree.set("childclass", name)
        above = parents[above]
    return tree


def _drop_dangling(document: Element, tree: Element) -> None:
    """Remove elements that refer to a removed body, joint, geom or site."""
    there = {element.get("name") for element in tree.iter()} | {None}
    for section in ("equality", "contact", "tendon"):
        for group in document.findall(section):
            for element in list(group):
                if any(part.get(key) not in there for part in element.iter() for key in REFERENCES):
                    group.remove(element)


def _rename_palm(file: ModelFile, document: Element, tree: Element) -> None:
    names = [body.get("name") for body in tree.iter("body")]
    if "palm" not in names:
        return
    new = next(name for name in ("palm_link", "palm_body", "palm_body_2") if name not in names)
    if new != "palm_link":
        file.notes.append(f"its body 'palm' is renamed {new!r} here, because 'palm_link' exists already")
    for element in (*tree.iter("body"), *document.iter("exclude")):
        for key in ("name", "body1", "body2"):
            if element.get(key) == "palm":
                element.set(key, new)


def _seen_copy(geom: Element) -> Element:
    """A visual copy of a collision geom."""
    copy = deepcopy(geom)
    body, _, number = geom.get("name", "").rpartition("_")
    copy.attrib.update(name=f"{body}_visual_{number}", contype="0", conaffinity="0", group=str(VISUAL_GROUP))
    rgba = geom.get("rgba")
    if rgba and float(rgba.split()[3]) < 0.1:  # collision shapes hidden by their author
        copy.set("rgba", "0.5 0.5 0.5 1")
    return copy


def _inline(mesh: Element, stl: bytes) -> None:
    """Replace a mesh's file by its vertices and faces."""
    vertices, faces = read_stl(stl)
    mesh.attrib.pop("content_type", None)
    mesh.set("vertex", " ".join(f"{x:.7g}" for x in vertices.ravel()))
    mesh.set("face", " ".join(map(str, faces.ravel())))
