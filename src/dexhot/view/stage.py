"""A simulation scene in the browser: robot, object and table, the reference's ghost, frames, fingertips in contact."""

from typing import Any

import mujoco
import numpy as np
import viser

from dexhot.robots.mjcf import COLLISION_GROUP, VISUAL_GROUP
from dexhot.simulation.scene import Scene
from dexhot.view.mirror import Mirror
from dexhot.view.render import is_ghost

GHOST_OPACITY = 0.25
TABLE_RGB = (225, 222, 216)
FREE_RGB, TOUCH_RGB = (190, 196, 206), (240, 145, 10)
FREE_OPACITY, TOUCH_OPACITY = 0.4, 0.95


class Stage:
    """Draws `scene` (built with a ghost, as `view.render` does) from its `data`, which the caller sets."""

    def __init__(self, server: viser.ViserServer, scene: Scene):
        assert scene.hand is not None
        self.scene, model = scene, scene.model
        self.data = mujoco.MjData(model)
        ghostly, collision = is_ghost(model), model.geom_group == COLLISION_GROUP
        model.geom_rgba[scene.table_geom, :3] = np.array(TABLE_RGB) / 255
        model.geom_rgba[ghostly, 3] = GHOST_OPACITY
        self.seen = np.flatnonzero((model.geom_group <= VISUAL_GROUP) & ~ghostly)  # ids of geoms
        self.ghostly = np.flatnonzero(ghostly & ~collision)
        self.robot = Mirror(server, model, "/robot", self.seen)
        self.ghost = Mirror(server, model, "/ghost", self.ghostly)
        self.sites = [model.site(name).id for name in scene.hand.tip_sites]
        radius = 1.15 * scene.hand.tip_radius
        self.tips = [
            server.scene.add_icosphere(f"/contacts/{site}", radius, opacity=FREE_OPACITY) for site in self.sites
        ]
        self.frames = {
            model.body(name).id: server.scene.add_frame(f"/frames/{name}", axes_length=length, axes_radius=0.0015)
            for name, length in (("palm", 0.06), ("object", 0.05))
        }

    @property
    def layers(self) -> dict[str, list[Any]]:
        """The layers with a checkbox in the panel."""
        return {"ghost": [self.ghost], "frames": list(self.frames.values()), "contacts": self.tips}

    def touching(self) -> np.ndarray:
        """(tips,) bool: the fingertips that touch the object in the pose of `data`."""
        model, data = self.scene.model, self.data
        mujoco.mj_collision(model, data)
        pairs = data.contact.geom[: data.ncon]
        others = [pairs[np.isin(pairs, tip).any(axis=1)] for tip in self.scene.tip_geoms]
        return np.array([bool(np.isin(pair, self.scene.object_geoms).any()) for pair in others])

    def update(self, touching: np.ndarray) -> None:
        """Send the pose of `data`, on which mj_kinematics has been called, and which tips touch (tips,) bool."""
        data = self.data
        self.robot.update(data)
        self.ghost.update(data)
        for tip, site, touches in zip(self.tips, self.sites, touching):
            tip.position = data.site_xpos[site]
            tip.color, tip.opacity = (TOUCH_RGB, TOUCH_OPACITY) if touches else (FREE_RGB, FREE_OPACITY)
        for body, frame in self.frames.items():
            frame.position, frame.wxyz = data.xpos[body], data.xquat[body]
