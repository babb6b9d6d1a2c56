"""MuJoCo's offscreen renderer, on machines with and without a display."""

import os
import sys

import mujoco

from dexhot.errors import DexhotError

NO_GL = (
    "Cannot render: no OpenGL for offscreen rendering ({reason}). Install libegl1 and libgl1-mesa-dri, "
    "or libosmesa6 and set MUJOCO_GL=osmesa."
)

TOO_LARGE = "Cannot render pictures of {width}x{height} px here ({reason}); choose a smaller size."


class NoRendererError(DexhotError):
    """Offscreen rendering is not available, or not at that size; the message lists what to install, or says so."""


def new_renderer(model: mujoco.MjModel, width: int, height: int) -> mujoco.Renderer:
    """An offscreen renderer, size in pixels; EGL unless MUJOCO_GL or a display is set. Raises NoRendererError.

    MuJoCo chooses its GL context class when first imported, which may be too early, so it is replaced here.
    """
    from mujoco.rendering.classic import gl_context

    headless = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    try:
        if sys.platform == "linux" and headless and not os.environ.get("MUJOCO_GL"):
            from mujoco.egl import GLContext

            gl_context.GLContext = GLContext
        return mujoco.Renderer(model, height, width, max_geom=2000)
    except (ImportError, AttributeError, RuntimeError, mujoco.FatalError) as e:
        text = TOO_LARGE if "framebuffer" in str(e).lower() else NO_GL  # MuJoCo allocates it once OpenGL is there
        reason = f"{type(e).__name__}: {e}".splitlines()[0].rstrip(". ")
        raise NoRendererError(text.format(reason=reason, width=width, height=height)) from e
