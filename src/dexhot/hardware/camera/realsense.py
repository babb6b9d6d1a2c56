"""A RealSense camera through pyrealsense2 (extra `hardware`): colour, and depth aligned to it, as pairs.

A camera on USB is read through librealsense's pipeline; any other device of librealsense (its software device in the
tests, a playback) by its sensors and a syncer. The rest is shared.
"""

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from dexhot.errors import DexhotError, MissingExtraError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.frames import CameraError, CameraLostError, Frames


@cache
def librealsense() -> Any:
    """The module pyrealsense2. Raises MissingExtraError, or DexhotError if libusb is not found."""
    try:
        import pyrealsense2
    except ModuleNotFoundError as e:
        raise MissingExtraError("a RealSense camera", "hardware") from e
    except ImportError:
        _load_libusb()
        import pyrealsense2
    return pyrealsense2


def _load_libusb() -> None:
    """The libusb of PyPI's libusb-package, for machines without a system libusb."""
    try:
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError) as e:
        why = "a RealSense camera needs libusb-1.0: sudo apt-get install libusb-1.0-0, or pip install libusb-package."
        raise DexhotError(why) from e


class RealSense:
    """Reads framesets that `wait(timeout ms) -> (ok, frameset)` gives."""

    recorded, notice = False, ""

    def __init__(self, name: str, wait: Callable[[int], tuple[bool, Any]], stop: Callable[[], None]):
        self.name, self._wait, self._stop = name, wait, stop
        self._rs = librealsense()
        self._align = self._rs.align(self._rs.stream.color)

    def read(self, timeout: float) -> Frames | None:
        try:
            ok, frameset = self._wait(max(int(1e3 * timeout), 1))
            if not ok or frameset.size() < 2:  # the syncer also passes a frame without its counterpart
                return None
            aligned = self._align.process(frameset).as_frameset()
            color, depth = aligned.get_color_frame(), aligned.get_depth_frame()
            return self._frames(color, depth) if color and depth else None
        except RuntimeError as e:
            raise CameraLostError(f"{self.name}: {e}") from e

    def close(self) -> None:
        with suppress(RuntimeError):  # the camera was unplugged: nothing to stop
            self._stop()

    def _frames(self, color: Any, depth: Any) -> Frames:
        mm = np.asanyarray(depth.get_data()).copy()  # librealsense reuses its buffers
        if abs(depth.get_units() - 1e-3) > 1e-9:
            mm = np.clip(np.round(mm * (1e3 * depth.get_units())), 0, 0xFFFF).astype(np.uint16)
        intrinsics = intrinsics_of(color.profile)
        number = color.get_frame_number()
        return Frames(self._stamp(color), number, np.asanyarray(color.get_data()).copy(), mm, intrinsics)

    def _stamp(self, frame: Any) -> float:
        """Capture time, s; arrival time for a camera whose clock librealsense does not map to the system clock."""
        domain = self._rs.timestamp_domain
        tied = frame.get_frame_timestamp_domain() in (domain.global_time, domain.system_time)
        return frame.get_timestamp() * 1e-3 if tied else time.time()


def intrinsics_of(profile: Any) -> Intrinsics:
    """Intrinsics of a video stream's profile."""
    i = profile.as_video_stream_profile().intrinsics
    return Intrinsics(i.width, i.height, i.fx, i.fy, i.ppx, i.ppy, tuple(i.coeffs))


def connected() -> dict[str, str]:
    """serial number -> USB version of each camera on USB."""
    rs = librealsense()
    serial, usb = rs.camera_info.serial_number, rs.camera_info.usb_type_descriptor
    return {d.get_info(serial): d.get_info(usb) for d in rs.context().query_devices()}


def choose(serial: str = "") -> str:
    """`serial`, or that of the first camera. Raises CameraError, which lists the connected cameras."""
    found = list(connected())
    if not found:
        why = "no RealSense camera is connected: check its cable (USB 3) and the udev rules (docs/capture.md)."
        raise CameraError(why)
    if serial and serial not in found:
        raise CameraError(f"no RealSense camera with serial number {serial} is connected, only {', '.join(found)}.")
    return serial or found[0]


def open_realsense(serial: str, width: int, height: int, fps: int) -> RealSense:
    """The camera on USB with that serial number, or the first. Raises CameraError."""
    rs, serial = librealsense(), choose(serial)
    config, pipeline = rs.config(), rs.pipeline()
    config.enable_device(serial)
    config.enable_stream(rs.stream.color, width, height, rs.format.rgb8, fps)
    config.enable_stream(rs.stream.depth, width, height, rs.format.z16, fps)
    try:
        config.resolve(rs.pipeline_wrapper(pipeline))  # at once, where `start` waits 15 s for a mode that is not there
        device = pipeline.start(config).get_device()
    except RuntimeError as e:
        how = "another program may be using it, or the USB port is too slow for this mode (try fps:=15)"
        raise CameraError(f"RealSense {serial} cannot stream {width}x{height} at {fps} Hz: {e}; {how}.") from e
    return RealSense(device.get_info(rs.camera_info.name), pipeline.try_wait_for_frames, pipeline.stop)


def open_device(device: Any) -> RealSense:
    """A device of librealsense that is not on USB: its first colour and depth streams. Raises CameraError."""
    rs = librealsense()
    syncer, opened = rs.syncer(), []
    for sensor in device.query_sensors():
        wanted = [p for p in sensor.get_stream_profiles() if p.stream_type() in (rs.stream.color, rs.stream.depth)]
        if wanted:
            sensor.open(wanted[0])
            sensor.start(syncer)
            opened.append(sensor)
    if len(opened) < 2:
        raise CameraError("the device has no colour or no depth stream; both are needed.")

    def stop() -> None:
        for sensor in opened:
            sensor.stop()
            sensor.close()

    return RealSense(device.get_info(rs.camera_info.name), syncer.try_wait_for_frames, stop)
