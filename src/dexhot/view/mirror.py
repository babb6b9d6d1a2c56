"""A MuJoCo model in a viser scene: handles are made once, then only poses are sent."""

import mujoco
import numpy as np
import viser

from dexhot.simulation.geom_meshes import body_parts


class Mirror:
    """The geoms of `model` with the ids `geoms`, under `prefix` in the scene tree."""

    def __init__(self, server: viser.ViserServer, model: mujoco.MjModel, prefix: str, geoms: np.ndarray):
        self.server = server
        self.root = server.scene.add_frame(prefix, show_axes=False)
        self.handles: list[tuple[int, viser.MeshHandle]] = []
        for k, part in enumerate(body_parts(model, geoms)):
            r, g, b, alpha = part.rgba
            handle = server.scene.add_mesh_simple(
                f"{prefix}/{model.body(part.body).name or 'world'}_{k}",
                part.vertices.astype(np.float32),
                part.faces,
                color=(round(255 * r), round(255 * g), round(255 * b)),
                opacity=alpha if alpha < 1 else None,
                flat_shading=not part.smooth,
                cast_shadow=alpha == 1,
            )
            self.handles.append((part.body, handle))

    @property
    def visible(self) -> bool:
        """Whether the browser shows it."""
        return self.root.visible

    @visible.setter
    def visible(self, value: bool) -> None:
        self.root.visible = value

    def update(self, data: mujoco.MjData) -> None:
        """Send the bodies' poses of `data`, on which mj_kinematics has been called."""
        for body, handle in self.handles:
            handle.position, handle.wxyz = data.xpos[body], data.xquat[body]
