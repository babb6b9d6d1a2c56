"""dexhot: a human demonstration of a hand moving an object, tracked by a LEAP hand on a Franka arm."""

import os
from importlib.util import find_spec

__version__ = "0.1.0"


def _name_glfw() -> None:
    """MuJoCo imports glfw, which starts an interpreter to ask its library for the version, unless it is named: a fifth
    of the time of `import mujoco`. The one of its package is what it would choose."""
    chosen = ("PYGLFW_LIBRARY", "PYGLFW_LIBRARY_VARIANT")
    if any(name in os.environ for name in chosen) or os.environ.get("XDG_SESSION_TYPE") == "wayland":
        return
    spec = find_spec("glfw")
    for folder in (spec and spec.submodule_search_locations) or ():
        if os.path.isfile(library := os.path.join(folder, "x11", "libglfw.so")):
            os.environ["PYGLFW_LIBRARY"] = library


_name_glfw()
