"""A hand of boxes with three fingers and a thumb, as a URDF and its hand.yaml, whose faults a test chooses."""

from pathlib import Path
from typing import Any

import yaml

FINGERS = {"index": 0.028, "middle": 0.0, "ring": -0.028}  # y on the palm, m
PROXIMAL, DISTAL = 0.048, 0.043  # m
SHAPES = ("visual", "collision")
LIMIT = '<limit lower="0" upper="1.5" effort="1" velocity="4"/>'
INERTIA = '<mass value="0.04"/><inertia ixx="2e-5" iyy="2e-5" izz="2e-5" ixy="0" ixz="0" iyz="0"/>'


def box_hand(
    folder: Path,
    thumb: float = 0.008,
    mimic: float | None = 1.1,
    offset: float = 0.0,
    shapes=SHAPES,
    changes=(),
    extra: str = "",
    **config: Any,
) -> Path:
    """Writes boxes.urdf and hand.yaml into `folder`; returns the hand.yaml's path.

    thumb: its y on the palm, m; mimic: what each distal joint follows its proximal one by (None: it is driven);
    shapes: what links are given; changes: (old, new) pieces of the URDF; extra: more of the robot; config: entries of
    the hand.yaml.
    """
    links = [_link("base", 0.09, 0.08, 0.02, 0.04, shapes)]
    joints = []
    for finger, start in {**{f: f"0.09 {y} 0" for f, y in FINGERS.items()}, "thumb": f"0.01 {thumb} -0.02"}.items():
        axis, turn = ("0 -1 0", "0 1.2 0") if finger == "thumb" else ("0 1 0", "0 0 0")
        links += [_link(f"{finger}_{part}", length, 0.014, 0.014, length / 2, shapes)
                  for part, length in (("proximal", PROXIMAL), ("distal", DISTAL))]  # fmt: skip
        joints.append(_joint(f"{finger}_mcp", "base", f"{finger}_proximal", start, turn, axis, LIMIT))
        follows = "" if mimic is None else f'<mimic joint="{finger}_mcp" multiplier="{mimic}" offset="{offset}"/>'
        end = f"{PROXIMAL} 0 0"
        joints.append(
            _joint(f"{finger}_pip", f"{finger}_proximal", f"{finger}_distal", end, "0 0 0", axis, LIMIT + follows)
        )
    urdf = "\n".join(['<robot name="boxes">', *links, *joints, extra, "</robot>"])
    for old, new in changes:
        assert old in urdf
        urdf = urdf.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "boxes.urdf").write_text(urdf)
    path = folder / "hand.yaml"
    path.write_text(yaml.safe_dump({**_config(mimic is not None), **config}, sort_keys=False))
    return path


def _config(coupled: bool) -> dict[str, Any]:
    fingers = [*FINGERS, "thumb"]
    names = [f"{finger}_{joint}" for finger in fingers for joint in (("mcp",) if coupled else ("mcp", "pip"))]
    return {
        "name": "boxes",
        "side": "right",
        "model": "boxes.urdf",
        "palm": {"body": "base", "pos": [0.05, 0.0, 0.0]},
        "joints": names,
        "tips": {f"{finger}_tip": {"body": f"{finger}_distal", "pos": [0.037, 0.0, 0.0]} for finger in fingers},
        "tip_radius": 0.007,
        "nominal": [0.5] * len(names),
        "open": [0.0] * len(names),
        "retarget": {
            "thumb": "thumb_tip",
            "tips": {f"{f}_tip": [f"{f}_{'ip' if f == 'thumb' else 'dip'}", f"{f}_tip", 0.9] for f in fingers},
        },
    }


def _link(name: str, length: float, width: float, height: float, center: float, shapes) -> str:
    shape = f'<origin xyz="{center} 0 0"/><geometry><box size="{length} {width} {height}"/></geometry>'
    inside = "".join(f"<{kind}>{shape}</{kind}>" for kind in shapes)
    return f'<link name="{name}">{inside}<inertial><origin xyz="{center} 0 0"/>{INERTIA}</inertial></link>'


def _joint(name: str, parent: str, child: str, xyz: str, rpy: str, axis: str, rest: str) -> str:
    return (
        f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}" rpy="{rpy}"/><axis xyz="{axis}"/>{rest}</joint>'
    )
