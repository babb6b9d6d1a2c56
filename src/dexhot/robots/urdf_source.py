"""Prepares a URDF for MuJoCo: selects the hand, finds and converts meshes, checks couplings.

MuJoCo silently drops a URDF's visuals, the folders of its meshes and invalid couplings.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.robots.ros_paths import locate
from dexhot.robots.urdf_tree import HINGES

NATIVE = (".obj", ".stl", ".msh")  # read by MuJoCo itself
BINARY_STL = 84, 50  # bytes of a binary STL: header and count, each triangle


@dataclass
class UrdfSource:
    """The text for MuJoCo and data that it cannot contain."""

    text: str = ""
    meshes: dict[str, bytes] = field(
        default_factory=dict
    )  # by name in the text: meshes that MuJoCo cannot read, as STL
    speeds: dict[str, float] = field(default_factory=dict)  # the file's velocity limits by joint, rad/s
    efforts: dict[str, float] = field(default_factory=dict)  # and its effort limits, N m
    notes: list[str] = field(default_factory=list)  # omissions and their reasons


def read_urdf(path: Path, root: str | None) -> UrdfSource:
    """The links below `root` (default: the whole robot). Raises FileFormatError naming the unusable entry."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        if "<xacro:" in re.sub(r"<!--.*?-->", "", text, flags=re.S):
            raise FileFormatError(f"{path} is a xacro, not a URDF; expand it first: xacro {path.name} > hand.urdf")
        robot = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as e:
        raise FileFormatError(f"{path} cannot be read as a URDF: {e}") from e
    source = UrdfSource()
    _keep_below(path, robot, root)
    _check_joints(path, robot)
    for joint in robot.iter("joint"):
        limit = joint.find("limit")
        for key, values in (("velocity", source.speeds), ("effort", source.efforts)):
            value = float(limit.get(key, 0.0)) if limit is not None else 0.0
            if value > 0.0:
                values[joint.get("name", "")] = value
    folder = _set_compiler(robot, path.parent)
    for link in robot.iter("link"):
        for tag in ("visual", "collision"):
            for shape in link.findall(tag):
                _prepare_shape(path, folder, link, shape, source)
    source.text = ElementTree.tostring(robot, encoding="unicode")
    return source


def _keep_below(path: Path, robot: Element, root: str | None) -> None:
    """Remove from `robot` what is not below the link `root`."""
    links = [link.get("name", "") for link in robot.findall("link")]
    if root is not None and root not in links:
        raise FileFormatError(f"{path} has no link {root!r} for --root; its links are {', '.join(links)}.")
    if root is None:
        return
    below, kept = {root}, []
    joints = robot.findall("joint")
    while added := [j for j in joints if j not in kept and _end(j, "parent") in below]:
        kept += added
        below |= {_end(joint, "child") for joint in added}
    outside = [j for j in joints if j not in kept] + [x for x in robot.findall("link") if x.get("name") not in below]
    for element in (*outside, *robot.findall("transmission"), *robot.findall("gazebo")):
        robot.remove(element)


def _end(joint: Element, which: str) -> str:
    end = joint.find(which)
    return end.get("link", "") if end is not None else ""


def _check_joints(path: Path, robot: Element) -> None:
    joints = {joint.get("name", ""): joint for joint in robot.iter("joint")}
    hinges = [name for name, joint in joints.items() if joint.get("type") in HINGES]
    for name, joint in joints.items():
        kind, mimic = joint.get("type"), joint.find("mimic")
        if kind not in (*HINGES, "fixed"):
            raise FileFormatError(f"{path}: joint {name!r} is {kind}; only revolute and fixed joints are supported.")
        if mimic is not None and kind != "fixed" and mimic.get("joint") not in hinges:
            drive, known = mimic.get("joint"), ", ".join(hinge for hinge in hinges if hinge != name)
            raise FileFormatError(
                f"{path}: joint {name!r} follows {drive!r}, which is not a hinge of this hand; its hinges are {known}."
            )


def _set_compiler(robot: Element, beside: Path) -> Path:
    """Settings for MuJoCo, in place of the file's own; returns the folder that mesh paths are relative to."""
    extension = robot.find("mujoco")
    extension = ElementTree.SubElement(robot, "mujoco") if extension is None else extension
    compiler = extension.find("compiler")
    compiler = ElementTree.SubElement(extension, "compiler") if compiler is None else compiler
    folder = beside / compiler.attrib.pop("meshdir", "")
    compiler.attrib.update(discardvisual="false", fusestatic="false", strippath="false", balanceinertia="true")
    return folder


def _prepare_shape(path: Path, folder: Path, link: Element, shape: Element, source: UrdfSource) -> None:
    """Give a shape's mesh a path or a name that MuJoCo can read; remove an unreadable visual."""
    mesh = shape.find("geometry/mesh")
    if mesh is None:
        return
    uri = mesh.get("filename", "")
    try:
        file, looked = locate(uri, folder)
        if file is None:
            raise FileFormatError(f"not found; searched {', '.join(map(str, looked[:4]))}")
        if _native(file):
            mesh.set("filename", str(file))
        else:
            name = f"converted_{len(source.meshes)}/{file.stem}.stl"
            source.meshes[name] = _as_stl(file)
            mesh.set("filename", name)
    except FileFormatError as e:
        what = f"{shape.tag} mesh {uri} of link {link.get('name')}"
        if shape.tag == "collision":
            raise FileFormatError(f"{path}: {what}: {e}") from e
        source.notes.append(f"{what} is not rendered: {e}")
        link.remove(shape)


def _native(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix != ".stl":
        return suffix in NATIVE
    content = file.read_bytes()
    header, triangle = BINARY_STL
    return len(content) >= header and len(content) == header + triangle * int.from_bytes(content[80:84], "little")


def read_stl(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3)."""
    import io

    import trimesh

    mesh: Any = trimesh.load(io.BytesIO(content), file_type="stl")
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def _as_stl(file: Path) -> bytes:
    """Any mesh that trimesh reads, in its own coordinates."""
    import trimesh

    try:
        mesh: Any = trimesh.load(file, force="mesh")
        if not len(mesh.faces):
            raise ValueError("it has no faces")
        stl: bytes = mesh.export(file_type="stl")
        return stl
    except Exception as e:  # trimesh raises any exception of its libraries
        raise FileFormatError(f"{file.suffix or 'its format'} cannot be read ({type(e).__name__}: {e})") from e
