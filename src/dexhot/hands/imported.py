"""Anyone's hand from its URDF or MJCF, brought into the form of our own: one root body "palm" with the palm frame.

Actuators, sensors and keyframes of the file are dropped (the scene adds its own), gravity is compensated on every body,
MuJoCo balances inertias that no rigid body can have, and a body that is called "palm" already gets another name. A link
without visuals is drawn by its collision shapes; a hand without collision shapes collides with its visuals.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import mujoco
import numpy as np

from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.hands.coupling import drive_ranges, drives
from dexhot.hands.mjcf import COLLISION_GROUP, VISUAL_GROUP
from dexhot.hands.model import pose_from
from dexhot.hands.ros_paths import locate
from dexhot.hands.urdf_source import UrdfSource, read_urdf

TURN = 2 * np.pi  # rad; a hinge of a hand that goes beyond is given in degrees
TINY = 0.06  # rad; a hand whose hinges all stay within is given in rad and read as degrees
DENSITY = 1000.0  # kg/m3 of visuals that collide, where the file says no mass
RESERVED = ("object", "table", "floor", "wrist_position", "wrist_rotation", "tx", "ty", "tz", "rx", "ry", "rz")


@dataclass(frozen=True)
class ImportedModel:
    """A hand as MJCF text: one root body "palm", whose frame is the palm frame."""

    mjcf: str  # with absolute mesh paths
    ranges: dict[str, tuple[float, float]]  # limits of the joints that can be driven, in file order
    coupled: dict[str, str]  # joints that follow -> the joint at the end of their chain
    speeds: dict[str, float]  # rad/s, of the joints for which the file says one
    efforts: dict[str, float]  # N m, likewise
    notes: tuple[str, ...]  # what was left out or put in, one sentence each

    def spec(self) -> mujoco.MjSpec:
        """A new spec of it."""
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
    root: the body from which the hand hangs, where the file is of a whole robot. limits: joint -> [lower, upper] rad, for
    joints that the file gives none or wrong ones. Raises FileFormatError that names what cannot be used.
    """
    return ModelFile(path, root).finish(palm, tips, limits or {})


def is_urdf(path: Path) -> bool:
    """Whether the file is a URDF, by its name or its root element. Raises FileFormatError for no file at all."""
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; `model` is the URDF or MJCF beside the hand.yaml.")
    if path.suffix.lower() in (".urdf", ".xacro"):
        return True
    try:
        return ElementTree.parse(path).getroot().tag == "robot"
    except ElementTree.ParseError:
        return False


class ModelFile:
    """One file on its way to an ImportedModel: `spec` as it is read, and `model` of it compiled."""

    def __init__(self, path: Path, root: str | None = None):
        """Raises FileFormatError for what MuJoCo refuses, and for a root that it does not have."""
        self.path, self.source = path, read_urdf(path, root) if is_urdf(path) else UrdfSource()
        self.notes = list(self.source.notes)
        self.spec = self._parsed()
        self.bodies = [body.name for body in self.spec.bodies[1:]]
        self.drawn: set[str] = set()  # geoms to be drawn, because their link has nothing else
        self._normalise()
        try:
            self.model = self._compiled()
        except FileFormatError as e:
            if not self._drop_visual_meshes():
                raise
            self.model = self._compiled()
            self.notes.append(f"visual meshes are not drawn, MuJoCo cannot use them: {e}")
        if root and root not in self.bodies:
            self._refuse(f"has no body {root!r} to be the root; its bodies are {', '.join(self.bodies)}.")
        self.root = root or _largest_tree(self.model)

    def below(self) -> list[int]:
        """Ids of the root's body and of all that hang from it, parents first."""
        return _below(self.model, self.root)

    def moves(self, joint: int) -> bool:
        """Whether a joint is the hand's own: not the one by which a whole robot moves it."""
        body = int(self.model.jnt_bodyid[joint])
        carries = self.model.body_parentid[body] != 0 and self.model.body(body).name == self.root
        return body in self.below() and not carries

    def unlimited(self) -> list[str]:
        """Names of the hand's hinges without limits that follow no other joint."""
        model, coupled = self.model, self._coupled()
        free = [j for j in range(model.njnt) if self.moves(j) and not model.jnt_limited[j]]
        names = [model.joint(j).name for j in free if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_HINGE]
        return [name for name in names if name not in coupled]

    def set_limits(self, limits: dict[str, Any]) -> None:
        """Joint -> [lower, upper] rad, in place of the file's."""
        names = [joint.name for joint in self.spec.joints]
        for name, (low, high) in limits.items():
            if name not in names:
                self._refuse(f"has no joint {name!r} that `limits` could be of; it has {', '.join(names)}.")
            joint = self.spec.joint(name)
            joint.limited, joint.range = mujoco.mjtLimited.mjLIMITED_TRUE, [float(low), float(high)]
        self.model = self._compiled()

    def free_ranges(self) -> dict[int, tuple[float, float]]:
        """Ids of the hand's joints that can be driven, in file order, and how far they can; the checks are made."""
        self._check_joints()
        try:
            ranges = drive_ranges(self.model)
        except DexhotError as e:
            self._refuse(f"does not fit together: {e}")
        return {j: ranges[j] for j in range(self.model.njnt) if j in ranges and self.moves(j)}

    def finish(self, palm: dict[str, Any], tips: dict[str, dict[str, Any]], limits: dict[str, Any]) -> ImportedModel:
        """The hand, with the palm frame and the fingertips in the bodies that are named; see `import_model`."""
        named = [palm["body"], *(tip["body"] for tip in tips.values())]
        self._check_bodies(named)
        below = [self.model.body(body).name for body in self.below()]
        for name in named:
            if name not in below:
                self._refuse(f"has body {name!r} outside of what hangs from the root {self.root!r}: {', '.join(below)}.")
        self.set_limits(limits)
        for site, tip in tips.items():
            self._add_tip(site, tip)
        self._make_inertias_explicit()
        self.model = self._compiled()
        ranges = {self.model.joint(j).name: span for j, span in self.free_ranges().items()}
        names = {self.model.joint(j).name for j in range(self.model.njnt) if self.moves(j)}
        return ImportedModel(
            self._wrapped(palm),
            ranges,
            {joint: drive for joint, drive in self._coupled().items() if joint in names},
            {name: speed for name, speed in self.source.speeds.items() if name in names},
            {name: effort for name, effort in self.source.efforts.items() if name in names},
            tuple(self.notes),
        )

    def _refuse(self, what: str) -> NoReturn:
        raise FileFormatError(f"{self.path} {what}")

    def _parsed(self) -> mujoco.MjSpec:
        try:
            if self.source.text:
                return mujoco.MjSpec.from_string(self.source.text, assets=self.source.meshes)
            return mujoco.MjSpec.from_file(str(self.path))
        except (ValueError, OSError) as e:
            raise FileFormatError(f"{self.path}: MuJoCo cannot read this model: {e}") from e

    def _compiled(self) -> mujoco.MjModel:
        try:
            return self.spec.compile()
        except (ValueError, OSError) as e:
            raise FileFormatError(f"{self.path}: MuJoCo cannot read this model: {e}") from e

    def _normalise(self) -> None:
        spec = self.spec
        spec.compiler.balanceinertia, spec.compiler.fusestatic = True, False
        for element in (*spec.actuators, *spec.sensors, *spec.keys, *spec.pairs):
            spec.delete(element)
        if not self.source.text:
            self._find_assets()
        geoms = [geom for body in spec.bodies[1:] for geom in body.geoms]
        for geom in geoms:
            geom.name = ""  # of those to come, one may be another's
        if geoms and not any(map(_collides, geoms)):
            self.notes.append("no collision shapes: its visuals collide instead, meshes as their convex hulls")
            for geom in geoms:
                _let_collide(geom)
        for body in spec.bodies[1:]:
            body.gravcomp = 1.0
            self._sort_geoms(body)
            for joint in body.joints:
                if joint.type == mujoco.mjtJoint.mjJNT_FREE:
                    spec.delete(joint)
        colliding = {geom.meshname for geom in geoms if _collides(geom)}
        for mesh in spec.meshes:
            if mesh.name not in colliding:
                mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # the one that an open mesh has too

    def _sort_geoms(self, body) -> None:
        """Names and groups of a link's geoms; whether its collision shapes must be drawn."""
        colliding = [geom for geom in body.geoms if _collides(geom)]
        visual = [geom for geom in body.geoms if not _collides(geom)]
        self.drawn -= {geom.name for geom in body.geoms}
        for geom in body.geoms:
            geom.name = ""
        for i, geom in enumerate(colliding):
            geom.name, geom.group = f"{body.name}_{i}", COLLISION_GROUP
        for i, geom in enumerate(visual):
            geom.name, geom.group = f"{body.name}_visual_{i}", VISUAL_GROUP
        if not visual:
            self.drawn |= {geom.name for geom in colliding}

    def _find_assets(self) -> None:
        """Absolute paths for the meshes and textures of an MJCF."""
        spec, folder = self.spec, self.path.parent
        for elements, below in ((spec.meshes, spec.meshdir), (spec.textures, spec.texturedir)):
            for element in elements:
                if element.file:
                    file, looked = locate(element.file, folder / below)
                    element.file = str(file or looked[0])
        spec.meshdir = spec.texturedir = ""

    def _drop_visual_meshes(self) -> bool:
        """Whether there were any."""
        found = [g for b in self.spec.bodies[1:] for g in b.geoms if g.meshname and not _collides(g)]
        for geom in found:
            self.spec.delete(geom)
        used = {geom.meshname for geom in self.spec.geoms}
        for mesh in [mesh for mesh in self.spec.meshes if mesh.name not in used]:
            self.spec.delete(mesh)
        for body in self.spec.bodies[1:]:
            self._sort_geoms(body)
        return bool(found)

    def _check_bodies(self, names: list[str]) -> None:
        for name in names:
            if name not in self.bodies:
                self._refuse(f"has no body {name!r}; its bodies are {', '.join(self.bodies)}.")

    def _add_tip(self, site: str, tip: dict[str, Any]) -> None:
        """The site on the link that touches: that of the file, or one that is fixed to it, if it has no shape itself."""
        model = self.model
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        named = body = model.body(tip["body"]).id
        while not self._colliding(body):
            if model.body_jntnum[body] or model.body_parentid[body] == 0:
                self._refuse(
                    f"has nothing to touch with at {site}: link {tip['body']!r} has no collision shape, nor a link that it "
                    "is fixed to; give it one in the model, or name the link that touches."
                )
            body = int(model.body_parentid[body])
        world_T_named = make_pose(data.xpos[named], data.xquat[named])
        body_T_named = compose(inverse(make_pose(data.xpos[body], data.xquat[body])), world_T_named)
        position = transform(body_T_named, np.array(tip["pos"], float))
        self.spec.body(model.body(body).name).add_site(name=site, pos=position, size=[0.003] * 3, group=4)

    def _colliding(self, body: int) -> bool:
        """Whether a link can touch; a fingertip's visuals are made to, where nothing else of it does."""
        geoms = self.spec.body(self.model.body(body).name).geoms
        if geoms and not any(map(_collides, geoms)):
            self.notes.append(f"link {self.model.body(body).name} has no collision shape: its visuals collide instead")
            for geom in geoms:
                _let_collide(geom)
            self._sort_geoms(self.spec.body(self.model.body(body).name))
        return any(map(_collides, geoms))

    def _make_inertias_explicit(self) -> None:
        """What a mass came from may be taken away: a world that only collides must weigh the same."""
        for body in self.spec.bodies[1:]:
            known = self.model.body(body.name)
            if not body.explicitinertial and known.mass[0] > 0.0:
                body.explicitinertial, body.mass = True, known.mass[0]
                body.ipos, body.iquat, body.inertia = known.ipos, known.iquat, known.inertia
        self.spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE

    def _coupled(self) -> dict[str, str]:
        try:
            return drives(self.model)
        except DexhotError as e:
            self._refuse(f"does not fit together: {e}")

    def _check_joints(self) -> None:
        model, coupled = self.model, self._coupled()
        loops = [i for i in range(model.neq) if model.eq_type[i] != mujoco.mjtEq.mjEQ_JOINT]
        if loops:
            kind = mujoco.mjtEq(int(model.eq_type[loops[0]])).name.removeprefix("mjEQ_").lower()
            self._refuse(
                f"closes a loop by the equality {model.equality(loops[0]).name or loops[0]} ({kind}), which kinematics "
                "cannot follow; write the linkage as joints that follow others (<equality><joint>, or <mimic>)."
            )
        hinges = [j for j in range(model.njnt) if self.moves(j)]
        taken = [model.joint(j).name for j in hinges] + [model.body(b).name for b in self.below()]
        for joint, drive in coupled.items():
            if joint in taken and drive and drive not in taken:
                self._refuse(f"has joint {joint!r}, which follows {drive!r}, and that does not hang from {self.root!r}.")
        for name in taken:
            if name in RESERVED or name.startswith(("fr3_", "ghost/", "robot/")):
                self._refuse(f"calls something {name!r}, a name that the scene needs; rename it in the model.")
        widest = 0.0
        for j in hinges:
            name, (low, high) = model.joint(j).name, model.jnt_range[j]
            if model.jnt_type[j] != mujoco.mjtJoint.mjJNT_HINGE:
                self._refuse(f"has joint {name!r}, which is no hinge; a hand's joints are hinges here.")
            if not model.jnt_limited[j]:
                if name not in coupled:
                    self._refuse(
                        f"has joint {name!r} without limits (continuous); add to the hand.yaml what it may do, in rad: "
                        f"limits: {{{name}: [-0.5, 1.5]}}"
                    )
                continue
            widest = max(widest, abs(low), abs(high))
            if max(abs(low), abs(high)) > TURN:
                self._refuse(
                    f"limits joint {name!r} to {low:g} .. {high:g}, which looks like degrees; angles are in rad: correct "
                    "the model, or write `limits:` in the hand.yaml."
                )
        if 0.0 < widest < TINY:
            self._refuse(
                f"lets no joint turn by more than {np.degrees(widest):.2g} degrees: its limits are in rad, but it is read "
                'in degrees; write <compiler angle="radian"/> into it.'
            )

    def _wrapped(self, palm: dict[str, Any]) -> str:
        """The tree below the root, and nothing else of the world, inside a body "palm"."""
        document = ElementTree.fromstring(self.spec.to_xml())
        world = document.find("worldbody")
        assert world is not None
        tree = _take_out(world, self.root)
        palm_T_root = self._palm_T_root(palm)
        tree.set("pos", " ".join(map(repr, palm_T_root[:3].tolist())))
        tree.set("quat", " ".join(map(repr, palm_T_root[3:].tolist())))
        for element in list(world):
            world.remove(element)
        _drop_dangling(document, tree)
        self._rename_palm(document, tree)
        for body in tree.iter("body"):
            for geom in body.findall("geom"):
                if geom.get("name") in self.drawn:
                    body.append(_seen_copy(geom))
        for mesh in document.iter("mesh"):
            if mesh.get("file") in self.source.meshes:
                _inline(mesh, self.source.meshes[mesh.attrib.pop("file")])
        ElementTree.SubElement(world, "body", name="palm", gravcomp="1").append(tree)
        return ElementTree.tostring(document, encoding="unicode")

    def _palm_T_root(self, palm: dict[str, Any]) -> np.ndarray:
        model = self.model
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)

        def world_T(name: str) -> np.ndarray:
            body = model.body(name).id
            return make_pose(data.xpos[body], data.xquat[body])

        return compose(inverse(compose(world_T(palm["body"]), pose_from(palm))), world_T(self.root))

    def _rename_palm(self, document, tree) -> None:
        names = [body.get("name") for body in tree.iter("body")]
        if "palm" not in names:
            return
        new = next(name for name in ("palm_link", "palm_body", "palm_body_2") if name not in names)
        if new != "palm_link":
            self.notes.append(f"its body 'palm' is called {new!r} here, because 'palm_link' is another of its bodies")
        for element in (*tree.iter("body"), *document.iter("exclude")):
            for key in ("name", "body1", "body2"):
                if element.get(key) == "palm":
                    element.set(key, new)


def _collides(geom) -> bool:
    return bool(geom.contype or geom.conaffinity)


def _let_collide(geom) -> None:
    geom.contype = geom.conaffinity = 1
    geom.density = DENSITY  # only counts where the link has no inertia of its own


def _largest_tree(model: mujoco.MjModel) -> str:
    """The body from which most joints hang; "" for a model without bodies."""
    roots = model.body_rootid[model.jnt_bodyid] if model.njnt else model.body_rootid[1:]
    return model.body(int(np.bincount(roots).argmax())).name if len(roots) else ""


def _below(model: mujoco.MjModel, root: str) -> list[int]:
    """Ids of the body `root` and all that hang from it, parents first."""
    found = [model.body(root).id]
    for body in range(found[0] + 1, model.nbody):
        if model.body_parentid[body] in found:
            found.append(body)
    return found


def _take_out(world, root: str):
    """The body `root` without the joints that carry it, if it hangs from another, and with the defaults it had there."""
    parents = {child: parent for parent in world.iter() for child in parent}
    tree = next(body for body in world.iter("body") if body.get("name") == root)
    above = parents[tree]
    if above is not world:
        for joint in [*tree.findall("joint"), *tree.findall("freejoint")]:
            tree.remove(joint)
    while above is not world and tree.get("childclass") is None:
        if above.get("childclass"):
            tree.set("childclass", above.get("childclass"))
        above = parents[above]
    return tree


def _drop_dangling(document, tree) -> None:
    """Take out what names a body, joint, geom or site that is no longer there."""
    there = {element.get("name") for element in tree.iter() if element.get("name")} | {None}
    keys = ("joint1", "joint2", "body1", "body2", "geom1", "geom2", "site1", "site2", "joint", "site", "geom", "sidesite")
    for section in ("equality", "contact", "tendon"):
        for group in document.findall(section):
            for element in list(group):
                named = [part.get(key) for part in element.iter() for key in keys]
                if any(name not in there for name in named):
                    group.remove(element)


def _seen_copy(geom):
    """A collision geom once more, to be looked at."""
    copy = deepcopy(geom)
    body, _, number = geom.get("name").rpartition("_")
    copy.attrib.update(name=f"{body}_visual_{number}", contype="0", conaffinity="0", group=str(VISUAL_GROUP), mass="0")
    rgba = geom.get("rgba")
    if rgba and float(rgba.split()[3]) < 0.1:  # collision shapes that their author hid
        copy.set("rgba", "0.5 0.5 0.5 1")
    return copy


def _inline(mesh, stl: bytes) -> None:
    """A mesh's vertices and faces in place of its file."""
    import io

    import trimesh

    shape = trimesh.load(io.BytesIO(stl), file_type="stl")
    mesh.attrib.pop("content_type", None)
    mesh.set("vertex", " ".join(f"{x:.7g}" for x in np.asarray(shape.vertices).ravel()))
    mesh.set("face", " ".join(map(str, np.asarray(shape.faces).ravel())))
