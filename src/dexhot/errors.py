"""The errors a user can act on. Each message says what was wrong, the valid choices and what to do."""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches

MANY = 20  # choices; of more, only those that look like the name given are listed


def meant(name: str, valid: Iterable[str]) -> str:
    """The question "Did you mean X?" for a name that is nearly one of `valid`, else ""."""
    near = get_close_matches(name, list(valid), n=1, cutoff=0.7)
    return f" Did you mean {near[0]}?" if near else ""


class DexhotError(Exception):
    """Base of every error that dexhot raises on purpose; the command line prints it as one sentence."""


class FileFormatError(DexhotError):
    """A file is missing, truncated, of another schema or version, or holds values that cannot be."""


class NotFoundError(DexhotError):
    """A named thing (clip, object, hand, graph, ...) does not exist; the message lists what does, or what is near."""

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
    """A mesh that cannot serve as an object, with the reason."""


class ClipError(DexhotError):
    """A demonstration that nobody can have made as its file has it: the field, what it is, what it should be."""


class UnreachableError(DexhotError):
    """The arm cannot follow the wrist; the message names the first frame that fails and by how much."""


class MissingExtraError(DexhotError):
    """An optional dependency is not installed; the message says what to install."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an extra that is not installed: pip install 'dexhot[{extra}]'.")


class DownloadError(DexhotError):
    """A file could not be downloaded: no network, or a registry that lacks it."""


class LicenceError(DexhotError):
    """A dataset's terms were not accepted."""


REMEDIES = {
    errno.ENOSPC: "make room there, or name another place",
    errno.EDQUOT: "make room there, or name another place",
    errno.EACCES: "ask for the rights, or name another place",
    errno.EPERM: "ask for the rights, or name another place",
    errno.EROFS: "name another place",
    errno.ENOTDIR: "a file stands where a folder is needed; name another place",
    errno.EISDIR: "it is a folder; name a file in it",
    errno.EEXIST: "it is there already; name another",
    errno.ENOENT: "check its name",
    errno.EADDRINUSE: "end what listens there, or name another port",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def os_error(e: OSError) -> DexhotError:
    """What the operating system refused, as one sentence."""
    names = [str(n) for n in (e.filename, e.filename2) if n is not None]
    why = (e.strerror or str(e) or type(e).__name__).rstrip(".")
    why = why[0].lower() + why[1:]
    number = e.errno or 0
    remedy = REMEDIES.get(number) or (f"error {errno.errorcode[number]}" if number in errno.errorcode else "")
    return DexhotError(f"{' and '.join(names) + ': ' if names else ''}{why}{'; ' + remedy if remedy else ''}.")


# The extra that brings a module; what a ROS distribution brings is "ros".
EXTRAS = {
    **dict.fromkeys(("dynamixel_sdk", "serial", "franky", "pyrealsense2", "libusb_package"), "hardware"),
    **dict.fromkeys(("dex_retargeting", "torch"), "peers"),
    **dict.fromkeys(("imageio_ffmpeg",), "video"),
    **dict.fromkeys(("ray",), "train"),
    **dict.fromkeys(("warp",), "perception"),
    **dict.fromkeys(("franky_sim",), "dev"),
}
ROS = ("rclpy", "rosidl", "rpyutils", "ament", "launch")  # how the names of its modules begin


def import_error(e: ImportError) -> DexhotError | None:
    """What is not installed, as one sentence; None where a module of dexhot itself is broken."""
    package = (e.name or "").partition(".")[0]
    if not package or package.startswith("dexhot"):
        return None
    if package.startswith(ROS) or package.endswith(("_msgs", "_srvs", "_interfaces")):
        sourced = "" if os.environ.get("ROS_DISTRO") else "source /opt/ros/jazzy/setup.bash, or "
        return DexhotError(
            f"ROS 2 is not there (no module {e.name}): {sourced}pip install 'dexhot[ros]' where no ROS is installed."
        )
    if package in EXTRAS:
        return MissingExtraError(f"the module {package}", EXTRAS[package])
    return DexhotError(f"the Python module {e.name} cannot be imported ({e}): reinstall dexhot (pip install dexhot).")
