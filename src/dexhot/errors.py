"""The errors a user can act on. Each message says what was wrong, the valid choices and what to do."""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches

MANY = 20  # choices; above this number only similar ones are listed


def meant(name: str, valid: Iterable[str]) -> str:
    """The question "Did you mean X?" for a name that is similar to one of `valid`, else ""."""
    near = get_close_matches(name, list(valid), n=1, cutoff=0.7)
    return f" Did you mean {near[0]}?" if near else ""


class DexhotError(Exception):
    """Base of every error that dexhot raises on purpose; the command line prints it as one sentence."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled with its message, not the arguments it was made from: it comes back from a worker process as it is,
        whatever its class takes."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


def absent(path: str | os.PathLike[str]) -> str:
    """The sentence about a path that should be a file and is none."""
    return f"{path} is a folder; name a file in it." if os.path.isdir(path) else f"{path} does not exist."


class FileFormatError(DexhotError):
    """A file is missing, truncated, of another schema or version, or has invalid values."""


class NotFoundError(DexhotError):
    """A named thing (clip, object, hand, graph, ...) does not exist; the message lists existing or similar names."""

    def __init__(self, kind: str, name: str, valid: Iterable[object], hint: str = ""):
        names = sorted(map(str, valid))
        if len(names) > MANY:
            near = get_close_matches(name, names, n=5, cutoff=0.4)
            choices = f"{len(names)} others" + (f", such as {', '.join(near)}" if near else "")
        else:
            choices = ", ".join(names) or "none"
        typo = meant(name, names)
        super().__init__(f"no {kind} named {name!r}; available: {choices}.{typo}" + (f" {hint}" if hint else ""))


class MeshError(DexhotError):
    """A mesh that is unusable as an object, with the reason."""


class ClipError(DexhotError):
    """A physically implausible demonstration; the message names the field, its value and the expected value."""


class UnreachableError(DexhotError):
    """The arm cannot follow the wrist; the message names the first failing frame and the error."""


class MissingExtraError(DexhotError):
    """An optional dependency is not installed; the message says what to install."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an extra that is not installed: pip install 'dexhot[{extra}]'.")


class UnsafePolicyError(DexhotError):
    """The network's output must not move a robot: not finite, or a jump."""


class DownloadError(DexhotError):
    """A file could not be downloaded: no network, or it is not in the registry."""


class LicenceError(DexhotError):
    """A dataset's terms were not accepted."""


REMEDIES = {
    errno.ENOSPC: "free disk space there, or choose another folder",
    errno.EDQUOT: "free disk space there, or choose another folder",
    errno.EACCES: "get permission, or choose another folder",
    errno.EPERM: "get permission, or choose another folder",
    errno.EROFS: "choose another folder",
    errno.ENOTDIR: "a parent is a file, not a folder; choose another folder",
    errno.EISDIR: "it is a folder; name a file in it",
    errno.EEXIST: "it exists already; choose another name",
    errno.ENOENT: "check the path",
    errno.EADDRINUSE: "stop the program that uses it, or choose another port",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def os_error(e: OSError) -> DexhotError:
    """An error of the operating system, as one sentence."""
    names = [str(n) for n in (e.filename, e.filename2) if n is not None]
    why = (e.strerror or str(e) or type(e).__name__).rstrip(".")
    why = why[0].lower() + why[1:]
    number = e.errno or 0
    remedy = REMEDIES.get(number) or (f"error {errno.errorcode[number]}" if number in errno.errorcode else "")
    return DexhotError(f"{' and '.join(names) + ': ' if names else ''}{why}{'; ' + remedy if remedy else ''}.")


def memory_error(e: MemoryError) -> DexhotError:
    """Too much was asked for at once, as one sentence."""
    why = str(e).rstrip(".")
    return DexhotError(f"out of memory{': ' + why if why else ''}; ask for less at once, such as fewer worlds.")


# The extra that installs a module; "ros" for modules of a ROS distribution.
EXTRAS = {
    **dict.fromkeys(("dynamixel_sdk", "serial", "franky", "pyrealsense2", "libusb_package"), "hardware"),
    **dict.fromkeys(("dex_retargeting", "rsl_rl", "tensordict"), "peers"),
    **dict.fromkeys(("imageio_ffmpeg",), "video"),
    **dict.fromkeys(("numba", "llvmlite", "warp"), "perception"),
    **dict.fromkeys(("mujoco_warp",), "gpu"),
    **dict.fromkeys(("ray", "torch", "tensorboard"), "train"),
    **dict.fromkeys(("gymnasium", "gymnasium_robotics", "farama_notifications"), "assist"),
    **dict.fromkeys(("franky_sim",), "dev"),
}
ROS = ("rclpy", "rosidl", "rpyutils", "ament", "launch")  # prefixes of its module names


def import_error(e: ImportError) -> DexhotError | None:
    """The missing package, as one sentence; None if a module of dexhot itself is broken."""
    package = (e.name or "").partition(".")[0]
    if not package or package.startswith("dexhot"):
        return None
    if package.startswith(ROS) or package.endswith(("_msgs", "_srvs", "_interfaces")):
        sourced = "" if os.environ.get("ROS_DISTRO") else "source /opt/ros/jazzy/setup.bash, or "
        return DexhotError(
            f"ROS 2 is not available (no module {e.name}): {sourced}pip install 'dexhot[ros]' if no ROS is installed."
        )
    if package in EXTRAS:
        return MissingExtraError(f"the module {package}", EXTRAS[package])
    return DexhotError(f"the Python module {e.name} cannot be imported ({e}): reinstall dexhot (pip install dexhot).")


def one_sentence(e: Exception) -> Exception | None:
    """What a command says of an error that it may end with; None for a bug, whose traceback is needed."""
    if isinstance(e, ImportError):
        return import_error(e)
    if isinstance(e, OSError):
        return os_error(e)
    return memory_error(e) if isinstance(e, MemoryError) else e
