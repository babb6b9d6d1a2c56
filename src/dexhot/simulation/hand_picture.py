"""A picture of a robot hand with its hand.yaml drawn in: palm axes and fingertips, open and half closed."""

from typing import Any

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dexhot.robots.coupling import Coupled
from dexhot.robots.mjcf import VISUAL_GROUP
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.bodies import NO_CONTACT
from dexhot.simulation.renderer import new_renderer

AXES = {"x": (0.84, 0.15, 0.16, 1.0), "y": (0.17, 0.63, 0.17, 1.0), "z": (0.12, 0.47, 0.71, 1.0)}
TIPS = ((0.95, 0.55, 0.10), (0.85, 0.30, 0.65), (0.25, 0.70, 0.75), (0.55, 0.45, 0.85), (0.60, 0.60, 0.15))
LONG, THICK = 0.11, 0.0018  # m, of an axis
VIEWS = {
    "from the palm's side": (0.25, 0.1, -1.0),
    "from the thumb's side": (0.35, 1.0, -0.3),
}  # palm frame, right hand


def hand_picture(hand: RobotHand, width: int = 560, height: int = 460) -> np.ndarray:
    """(2 height + legend, 2 width, 3) uint8: rows open and nominal, columns VIEWS. Raises NoRendererError."""
    model = _marked(hand).compile()
    data = mujoco.MjData(model)
    sheet = Image.new("RGB", (2 * width, 2 * height + 70), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    with new_renderer(model, width, height) as renderer:
        for row, (posture, q) in enumerate((("open", hand.open), ("nominal", hand.nominal))):
            for name, angle in zip(hand.joint_names, q):
                data.joint(name).qpos = angle
            Coupled(model).follow(data.qpos)
            mujoco.mj_forward(model, data)
            for column, (label, way) in enumerate(VIEWS.items()):
                renderer.update_scene(data, _camera(model, data, hand, way))
                sheet.paste(Image.fromarray(renderer.render()), (column * width, row * height))
                draw.text((column * width + 12, row * height + 8), f"{posture}, {label}", fill=(20, 23, 28), font=font)
    _legend(draw, hand, 2 * height + 8, font)
    return np.asarray(sheet)


def _marked(hand: RobotHand) -> mujoco.MjSpec:
    """The hand's spec on a pale ground, with its palm axes and fingertips."""
    spec = hand.spec(detailed=True)
    texture = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    flat = {"builtin": mujoco.mjtBuiltin.mjBUILTIN_FLAT, "width": 64, "height": 64, "rgb1": [0.95, 0.96, 0.97]}
    spec.add_texture(name="ground", type=texture, **flat)
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.5] * 3, [0.5] * 3
    spec.visual.map.znear = 0.005
    seen = {"contype": NO_CONTACT[0], "conaffinity": NO_CONTACT[1], "group": VISUAL_GROUP, "mass": 0.0}
    for axis, rgba, end in zip(AXES, AXES.values(), np.eye(3) * LONG):
        line = {"type": mujoco.mjtGeom.mjGEOM_CAPSULE, "fromto": [0, 0, 0, *end], "size": [THICK, 0, 0]}
        spec.body("palm").add_geom(name=f"axis_{axis}", rgba=rgba, **line, **seen)
    for site, rgb in zip(hand.tip_sites, TIPS):
        at, radius = spec.site(site), hand.tip_radius * 1.08
        at.parent.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=at.pos, size=[radius, 0, 0], rgba=(*rgb, 0.8), **seen)
    return spec


def _camera(
    model: mujoco.MjModel, data: mujoco.MjData, hand: RobotHand, way: tuple[float, float, float]
) -> mujoco.MjvCamera:
    """A camera that looks from direction `way` (palm frame) and fits all visible geoms."""
    seen = model.geom_group == VISUAL_GROUP
    reach = model.geom_rbound[seen][:, None]
    low, high = (data.geom_xpos[seen] - reach).min(0), (data.geom_xpos[seen] + reach).max(0)
    x, y, z = np.array(way) * (1.0, 1.0 if hand.side == "right" else -1.0, 1.0)
    camera = mujoco.MjvCamera()
    camera.lookat[:] = 0.5 * (low + high)
    camera.azimuth = np.degrees(np.arctan2(-y, -x))
    camera.elevation = -np.degrees(np.arctan2(z, np.hypot(x, y)))
    camera.distance = 0.95 * float(np.linalg.norm(high - low))
    return camera


def _legend(draw: ImageDraw.ImageDraw, hand: RobotHand, top: int, font: Any) -> None:
    toward = "to the thumb" if hand.side == "right" else "away from the thumb"
    texts = {"x": "x: along the fingers", "y": f"y: {toward}", "z": "z: out of the hand's back"}
    rows = [[(texts[axis], rgba[:3]) for axis, rgba in AXES.items()], list(zip(hand.tip_sites, TIPS))]
    for row, entries in enumerate(rows):
        left = 12
        for text, rgb in entries:
            draw.rectangle(
                (left, top + 30 * row + 3, left + 14, top + 30 * row + 17), fill=tuple(int(255 * c) for c in rgb)
            )
            draw.text((left + 22, top + 30 * row), text, fill=(20, 23, 28), font=font)
            left += 60 + int(draw.textlength(text, font=font))
