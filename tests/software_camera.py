"""librealsense's software device as a D435 would be, fed with frames, and recorded as its own recorder does."""

import time

import numpy as np

from dexhot.hardware.camera.realsense import librealsense

WIDTH, HEIGHT = 320, 240
BASELINE = 0.015  # m by which the colour camera sits to the left of the depth camera
EPOCH = 1.763e12  # ms


def stream(rs, kind, fmt, bytes_per_pixel: int, uid: int, f: float):
    """A video stream's description."""
    i = rs.intrinsics()
    i.width, i.height, i.ppx, i.ppy, i.fx, i.fy = WIDTH, HEIGHT, WIDTH / 2, HEIGHT / 2, f, f
    i.model, i.coeffs = rs.distortion.none, [0] * 5
    v = rs.video_stream()
    v.type, v.index, v.uid, v.width, v.height, v.fps = kind, 0, uid, WIDTH, HEIGHT, 30
    v.bpp, v.fmt, v.intrinsics = bytes_per_pixel, fmt, i
    return v


class SoftwareCamera:
    """`device` can be opened; `feed(n)` gives it frames whose colour is `shade(k)` and whose depth is `scene(k)`."""

    def __init__(self) -> None:
        rs = self.rs = librealsense()
        self.device = rs.software_device()
        depth, color = self.device.add_sensor("Depth"), self.device.add_sensor("Color")
        depth_profile = depth.add_video_stream(stream(rs, rs.stream.depth, rs.format.z16, 2, 0, 300))
        color_profile = color.add_video_stream(stream(rs, rs.stream.color, rs.format.rgb8, 3, 1, 280))
        depth.add_read_only_option(rs.option.depth_units, 0.001)
        shift = rs.extrinsics()
        shift.rotation, shift.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [BASELINE, 0, 0]
        depth_profile.register_extrinsics_to(color_profile, shift)
        self.device.register_info(rs.camera_info.name, "Intel RealSense D435 (software)")
        self.device.register_info(rs.camera_info.serial_number, "000000000001")
        self.streams = ((depth, depth_profile, 2), (color, color_profile, 3))
        self.fed = 0

    def feed(self, count: int, pause: float = 0.02) -> None:
        for _ in range(count):
            images = depth_image(self.fed), color_image(self.fed)
            for (sensor, profile, size), pixels in zip(self.streams, images):
                frame = self.rs.software_video_frame()
                frame.pixels, frame.bpp, frame.stride = pixels, size, WIDTH * size
                frame.timestamp, frame.domain = EPOCH + self.fed * 1000 / 30, self.rs.timestamp_domain.system_time
                frame.frame_number, frame.profile = self.fed, profile.as_video_stream_profile()
                frame.depth_units = 0.001 if size == 2 else 0.0
                sensor.on_video_frame(frame)
            self.fed += 1
            time.sleep(pause)


def depth_image(k: int) -> np.ndarray:
    """A wall at 0.9 m with a box before it; (HEIGHT, WIDTH) mm."""
    depth = np.full((HEIGHT, WIDTH), 900, np.uint16)
    depth[80:160, 100 + k : 180 + k] = 600
    return depth


def color_image(k: int) -> np.ndarray:
    """Red rises with the frame, blue with the column; (HEIGHT, WIDTH, 3)."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = k
    image[..., 2] = np.arange(WIDTH) % 256
    return image


def record(path, count: int) -> None:
    """Write what librealsense's recorder makes of `count` frames to `path`, a .db3 file."""
    camera = SoftwareCamera()
    rs = camera.rs
    recorder = rs.recorder(str(path), camera.device)
    queue, sensors = rs.frame_queue(50), recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(queue)
    camera.feed(count)
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    recorder.pause()
