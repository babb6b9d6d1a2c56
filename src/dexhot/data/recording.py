"""A clip of RGB-D images in memory: what a camera recorded, ready for perception and fitting.

`dexhot.hardware.camera.recording.open_recording` reads one from a bag, a folder of images or a video.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.geometry.cameras import Intrinsics

DEPTH_OMITTED = "depth_omitted"  # in the provenance: why a bag's depth cannot be used, and the remedy


@dataclass
class Recording:
    """Colour images with aligned depth, one pair per frame, all of one camera that does not move."""

    name: str
    time: np.ndarray  # (T,) s, increasing
    color: np.ndarray  # (T, H, W, 3) uint8, red green blue
    depth: np.ndarray  # (T, H, W) uint16, mm along the optical axis, 0: unknown
    intrinsics: Intrinsics
    world_T_camera: np.ndarray | None = None  # (7,) the optical frame (x right, y down, z forward); None: unknown
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def has_depth(self) -> bool:
        """Whether any pixel of any frame has depth."""
        return bool(self.depth.any())

    @property
    def no_depth(self) -> str:
        """The sentence about a recording without depth: why it was omitted, if its bag has any, and the remedy."""
        why = self.provenance.get(DEPTH_OMITTED, "")
        return f"{self.name}: {why}" if why else f"{self.name} has no depth in any frame: record with aligned depth."

    def validate(self) -> None:
        """Raise FileFormatError naming the field, its value and the expected one."""
        T, camera = len(self.time), self.intrinsics
        size = (camera.height, camera.width)
        _check(T >= 1, f"{self.name} has no frames.")
        steps = np.diff(self.time)
        _check(
            bool(np.isfinite(self.time).all() and (steps > 0).all()), f"{self.name}: time must be finite and increase."
        )
        for field_name, shape, kind in (("color", (T, *size, 3), np.uint8), ("depth", (T, *size), np.uint16)):
            found = getattr(self, field_name)
            _check(
                found.shape == shape and found.dtype == kind,
                f"{self.name}: {field_name} is {found.dtype} of shape {found.shape}; expected {np.dtype(kind)} of "
                f"{shape}, as the camera's intrinsics say.",
            )
        check_intrinsics(camera, self.name)
        if self.world_T_camera is not None:
            _check(
                self.world_T_camera.shape == (7,) and bool(abs(np.linalg.norm(self.world_T_camera[3:]) - 1.0) < 1e-3),
                f"{self.name}: world_T_camera must be x y z qw qx qy qz with a unit quaternion.",
            )

    def frames(self, start: int, stop: int) -> "Recording":
        """Frames `start` to `stop`, the latter excluded; a view."""
        chosen = slice(start, stop)
        return replace(self, time=self.time[chosen], color=self.color[chosen], depth=self.depth[chosen])


def check_intrinsics(camera: Intrinsics, name: str) -> None:
    """Raise FileFormatError for intrinsics that no camera of this image size has.

    The axis must pass through the image, both focal lengths agree within 20 %, and the horizontal field of view be
    20 to 150 degrees: values of another resolution, or in other units, fail.
    """
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    said = f"fx {camera.fx:.6g}, fy {camera.fy:.6g}, cx {camera.cx:.6g}, cy {camera.cy:.6g}"
    size = f"{camera.width}x{camera.height}"
    _check(
        bool(np.isfinite(values).all()) and min(camera.fx, camera.fy) > 0, f"{name}: impossible intrinsics ({said})."
    )
    field_of_view = 2 * float(np.degrees(np.arctan(0.5 * camera.width / camera.fx)))
    plausible = (
        0 < camera.cx < camera.width
        and 0 < camera.cy < camera.height
        and 0.8 < camera.fx / camera.fy < 1.25
        and 20.0 < field_of_view < 150.0
    )
    _check(
        plausible,
        f"{name}: the intrinsics ({said}) do not fit images of {size}: a horizontal field of view of "
        f"{field_of_view:.0f} degrees. They are in pixels of these images; scale them if the images were resized.",
    )


def _check(ok: bool, what: str) -> None:
    if not ok:
        raise FileFormatError(what)
