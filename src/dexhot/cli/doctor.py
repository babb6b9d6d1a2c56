"""The checks of `dexhot doctor`: each a plain function that returns a Check, none of which changes anything."""

import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dexhot.bringup.shared_memory import left_behind
from dexhot.errors import DexhotError
from dexhot.humans.model_files import MANO, mano_file, smpl_file
from dexhot.paths import share_dir
from dexhot.perception.adapters.sam2 import streams
from dexhot.perception.weights import hand_landmarks_dir, missing_hand_landmarks


@dataclass
class Check:
    """Result of one check, and its remedy."""

    name: str
    status: Literal["ok", "missing", "optional"]  # optional: missing, and only some users need it
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """Run every check, in the order in which a new user needs them."""
    checks: list[Callable[[], Check]] = [
        python, physics, ros, transforms, middleware, shared_memory, gl, encoder, gpu, real_time, kernel,
        udev_rule, serial_latency, cameras, webcam, hand_landmarks,
        licensed_models,
    ]  # fmt: skip
    devices = [sdk(*which) for which in SDKS]
    return (
        [check() for check in checks]
        + devices
        + asked_for()
        + [extra(name, *modules) for name, modules in EXTRAS.items()]
    )


EXTRAS = {  # those beside `ros` and `hardware`, which have checks of their own; their modules
    "perception": ("numba", "ai_edge_litert", "warp"),
    "policy": ("onnxruntime",),
    "train": ("ray", "torch", "onnxscript"),
    "assist": ("gymnasium_robotics",),
    "lerobot": ("pyarrow",),
    "video": ("imageio_ffmpeg",),
    "peers": ("dex_retargeting", "rsl_rl"),
    "gpu": ("mujoco_warp",),
}
SDKS = (  # packages of the extra `hardware`: device, package, module
    ("LEAP hand", "dynamixel-sdk", "dynamixel_sdk"),
    ("Franka arm", "franky-control", "franky"),
    ("RealSense camera", "pyrealsense2", "pyrealsense2"),
)
RULES = tuple(Path(folder) for folder in ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d"))


def python() -> Check:
    """Do the dependencies have wheels for this Python?"""
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check(
        "Python 3.11 to 3.13", "ok" if fits else "missing", version, "" if fits else "make setup PYTHON=python3.12"
    )


def physics() -> Check:
    """Is this the MuJoCo version of all published scores?"""
    found = importlib.metadata.version("mujoco")
    fits = found == "4.0.0"
    return Check("MuJoCo 4.0.0", "ok" if fits else "missing", found, "" if fits else "pip install mujoco==4.0.0")


def ros() -> Check:
    """Is rclpy installed, from one source only?"""
    distribution = os.environ.get("ROS_DISTRO")
    if importlib.util.find_spec("rclpy") is None:
        remedy = "source /opt/ros/jazzy/setup.bash" if Path("/opt/ros/jazzy").exists() else "pip install 'dexhot[ros]'"
        return Check("ROS 2 (rclpy)", "missing", "not importable", remedy)
    wheels = _version("ros-jazzy-rclpy")
    if distribution and wheels:
        remedy = "pip uninstall ros-jazzy-rclpy: the wheels conflict with a ROS distribution"
        return Check("ROS 2 (rclpy)", "missing", f"{distribution} AND PyPI wheels {wheels}", remedy)
    return Check("ROS 2 (rclpy)", "ok", f"distribution {distribution}" if distribution else f"PyPI wheels {wheels}")


def transforms() -> Check:
    """Is tf2_msgs installed, without which no node publishes /tf?"""
    if importlib.util.find_spec("tf2_msgs") is not None:
        return Check("/tf (tf2_msgs)", "ok", "importable")
    found = "not importable: no /tf; /robot_description and /joint_states are published"
    return Check("/tf (tf2_msgs)", "optional", found, "install a ROS distribution; PyPI has no wheel of tf2_msgs")


def middleware() -> Check:
    """Is this the middleware that the shipped profile configures?"""
    name = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp (default)")
    known = name.startswith("rmw_fastrtps_cpp")
    remedy = "" if known else "the shipped profile configures rmw_fastrtps_cpp: unset RMW_IMPLEMENTATION"
    return Check("middleware", "ok" if known else "optional", name, remedy)


def shared_memory() -> Check:
    """Is /dev/shm large enough? The DDS profile takes a 32 MiB segment per participant; a container's default is 64
    MiB."""
    try:
        free = shutil.disk_usage("/dev/shm").free / 2**20
    except OSError:
        return Check("shared memory", "missing", "no /dev/shm", "mount a tmpfs on /dev/shm (docker: --ipc=host)")
    enough = free >= 512
    dead = sum(f.stat().st_size for f in left_behind() if f.exists()) / 2**20
    remedies = ["dexhot doctor --free-shared-memory"] * (dead >= 1)
    remedies += ["free some, or docker run --ipc=host (or --shm-size=1g)"] * (not enough)
    return Check(
        "shared memory (/dev/shm)",
        "missing" if not enough else "optional" if dead >= 1 else "ok",
        f"{free:.0f} MiB free" + f", {dead:.0f} MiB left by killed processes" * (dead >= 1),
        "; ".join(remedies),
    )


def gl() -> Check:
    """Can MuJoCo render without a display?"""
    library = ctypes.util.find_library("EGL") or ctypes.util.find_library("OSMesa")
    backend = os.environ.get("MUJOCO_GL", "egl (default without a display)")
    packages = "sudo apt-get install libegl1 libgl1 libgl1-mesa-dri"
    return Check(
        "off-screen OpenGL",
        "ok" if library else "missing",
        f"{library or 'none'}, {backend}",
        "" if library else packages,
    )


def encoder() -> Check:
    """Is ffmpeg installed, for the mp4 of reports?"""
    path = shutil.which("ffmpeg")
    if path or _version("imageio-ffmpeg"):
        return Check("video encoder", "ok", path or "imageio-ffmpeg")
    return Check("video encoder", "optional", "none: reports have no mp4", "pip install 'dexhot[video]'")


def gpu() -> Check:
    """Is there an NVIDIA GPU? None is required."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        reply = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
        if reply.returncode == 0 and reply.stdout.strip():
            return Check("GPU", "ok", reply.stdout.strip().splitlines()[0])
    return Check("GPU", "optional", "none; not required", "")


def real_time() -> Check:
    """May this user run SCHED_FIFO threads and lock memory?"""
    priority = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    allowed = os.geteuid() == 0 or (priority >= 50 and locked in (-1, resource.RLIM_INFINITY))
    remedy = (
        "add '@realtime - rtprio 99' and '@realtime - memlock unlimited' to /etc/security/limits.d/, join the group"
    )
    found = "root" if os.geteuid() == 0 else f"rtprio {priority}, memlock {locked}"
    return Check(
        "real-time permissions",
        "ok" if allowed else "optional",
        found,
        "" if allowed else f"for the real rig: {remedy}",
    )


def kernel() -> Check:
    """Is this a real-time kernel, as a real Franka arm requires?"""
    real = Path("/sys/kernel/realtime").exists() or "PREEMPT_RT" in platform.version()
    remedy = "" if real else "for a real Franka: sudo pro enable realtime-kernel, or a PREEMPT_RT kernel"
    return Check("real-time kernel", "ok" if real else "optional", platform.release(), remedy)


def udev_rule() -> Check:
    """Is the udev rule installed? Without it the latency timer is 16 ms again each time the hand is plugged in."""
    rules = [path for folder in RULES for path in sorted(folder.glob("*.rules")) if _sets_latency(path)]
    shipped = share_dir() / "config" / "udev" / "99-dexhot-leap.rules"
    remedy = f"sudo cp {shipped} /etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger"
    return Check(
        "udev rule for the latency timer",
        "ok" if rules else "optional",
        str(rules[0]) if rules else "none",
        "" if rules else f"for a LEAP hand: {remedy}",
    )


def _sets_latency(rules: Path) -> bool:
    lines = rules.read_text(errors="replace").splitlines()
    return any("latency_timer" in line and not line.lstrip().startswith("#") for line in lines)


def serial_latency() -> Check:
    """Is the latency timer 1 ms? An FTDI adapter's default of 16 ms limits a LEAP hand to 30 to 60 Hz."""
    timers = {p.parts[-2]: p.read_text().strip() for p in Path("/sys/bus/usb-serial/devices").glob("*/latency_timer")}
    if not timers:
        return Check("serial latency timer", "optional", "no USB serial adapter", "plug in the LEAP hand to check it")
    slow = [name for name, value in timers.items() if value != "1"]
    found = ", ".join(f"{name}: {value} ms" for name, value in timers.items())
    remedy = f"echo 1 | sudo tee /sys/bus/usb-serial/devices/{slow[0]}/latency_timer" if slow else ""
    return Check("serial latency timer", "missing" if slow else "ok", found, remedy)


def cameras() -> Check:
    """Is each RealSense camera on USB 3? USB 2 is too slow for colour and depth at 640x480."""
    if _version("pyrealsense2") is None:
        return Check("RealSense cameras", "optional", "pyrealsense2 is not installed", "pip install 'dexhot[hardware]'")
    from dexhot.hardware.camera.realsense import connected

    try:
        found = connected()
    except DexhotError as e:  # libusb is missing
        return Check("RealSense cameras", "missing", "pyrealsense2 cannot be loaded", str(e))
    if not found:
        return Check("RealSense cameras", "optional", "none", "plug one in to check it")
    slow = [serial for serial, usb in found.items() if usb.startswith("2")]
    text = ", ".join(f"{serial} (USB {usb})" for serial, usb in found.items())
    remedy = f"connect {', '.join(slow)} to a USB 3 port with a USB 3 cable" if slow else ""
    return Check("RealSense cameras", "missing" if slow else "ok", text, remedy)


def webcam() -> Check:
    """Is there a camera for `dexhot up teleop camera:=webcam`?"""
    found = ", ".join(sorted(map(str, Path("/dev").glob("video*"))))
    return Check("webcams", "ok" if found else "optional", found or "none", "" if found else "plug one in for teleop")


def hand_landmarks() -> Check:
    """Are the models that find hands in images there, for `perceive`, `fit` and the graphs `watch` and `teleop`?"""
    lacking = missing_hand_landmarks()
    found = f"missing: {', '.join(lacking)}" if lacking else str(hand_landmarks_dir())
    remedy = "dexhot models get hand-landmarks" if lacking else ""
    return Check("models that detect hands", "optional" if lacking else "ok", found, remedy)


def sdk(device: str, package: str, module: str) -> Check:
    """Is a device's SDK installed?"""
    version = _version(package)
    there = version is not None and importlib.util.find_spec(module) is not None
    return Check(
        f"SDK of the {device}",
        "ok" if there else "optional",
        f"{package} {version}" if there else f"{package} is not installed",
        "" if there else "pip install 'dexhot[hardware]'",
    )


def extra(name: str, *modules: str) -> Check:
    """Is a Python extra installed?"""
    lacking = [module for module in modules if importlib.util.find_spec(module) is None]
    return Check(
        f"extra: {name}",
        "optional" if lacking else "ok",
        f"not installed: {', '.join(lacking)}" if lacking else ", ".join(modules),
        f"pip install 'dexhot[{name}]'" if lacking else "",
    )


ASKED_FOR = (  # packages that labs know: package, module, what it serves here ("": nothing), what serves without it
    ("rclpy", "rclpy", "nodes", "pip install 'dexhot[ros]', or a ROS distribution"),
    ("torch", "torch", "training, Adam fitting", "onnxruntime runs policies, Gauss-Newton fits"),
    ("foundationpose", "estimater", "perceive --poses foundationpose", "registration and tracking by depth"),
    ("sam2", "sam2", "perceive --masks sam2", "masks by model, depth and colour; transformers' SAM 2 and EdgeTAM"),
    ("mmpose", "mmpose", "perceive --hands mmpose", "MediaPipe's models (ai-edge-litert); RTMPose-hand"),
    ("pyrealsense2", "pyrealsense2", "RealSense cameras", "pip install 'dexhot[hardware]'"),
    ("franky", "franky", "the Franka arm (franky-control)", "pip install 'dexhot[hardware]'"),
    ("dynamixel-sdk", "dynamixel_sdk", "the LEAP hand", "pip install 'dexhot[hardware]'"),
    ("isaacgym", "isaacgym", "parallel physics", "MuJoCo, MuJoCo Warp; dexhot_isaacgym in a Python 3.8 of its own"),
    ("filterpy", "filterpy", "", "perception/box_tracks and tracking/hand_object_filter"),
)  # fmt: skip


def licensed_models() -> Check:
    """Are the user's own MANO and SMPL files there, whose licences forbid shipping them?"""
    files = {f"MANO, {side}": mano_file(side) for side in MANO} | {"SMPL": smpl_file()}
    there = [name for name, path in files.items() if path.is_file()]
    found = ", ".join(there) or "none: the open hand and the open body are used"
    return Check(
        "MANO and SMPL", "ok" if there else "optional", found, "" if there else "dexhot models (where they go)"
    )


def asked_for() -> list[Check]:
    """Of the ten packages that the project was asked to use: which are in use here, and what replaces the others."""
    checks = []
    for package, module, use, instead in ASKED_FOR:
        there = streams() if module == "sam2" else importlib.util.find_spec(module) is not None
        used = bool(use) and there
        install = instead.startswith("pip install")
        found = f"in use: {use}" if used else "not installed" if install else f"replaced by {instead}"
        status: Literal["ok", "optional"] = "ok" if used or not use else "optional"
        checks.append(Check(f"package {package}", status, found, instead if install and not used else ""))
    return checks


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
