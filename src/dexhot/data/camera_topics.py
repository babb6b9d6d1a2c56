"""Finds a camera's topics: under realsense-ros's default names, under ours, or in any other namespace."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dexhot.data.topics import COLOR, DEPTH

OURS = "/" + COLOR.removesuffix("/color/image_raw").lstrip("/")  # also realsense-ros's before 2024
NAMESPACES = ("/camera/camera", OURS)  # tried first
COLOR_NAMES = ("/color/image_raw", "/color/image_rect_raw")
ALIGNED = "/" + DEPTH.lstrip("/").partition("/")[2]
PACKED_COLOR, PACKED_DEPTH = "/compressed", "/compressedDepth"  # what image_transport adds


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera. `depth`: aligned to colour, "" for none."""

    namespace: str
    color: str
    info: str
    depth: str

    def __str__(self) -> str:
        return f"{self.color}, {self.info}" + (f", {self.depth}" if self.depth else ", no aligned depth")


def find_camera(topics: Iterable[str], namespace: str = "") -> CameraTopics | None:
    """The camera in `namespace`; by default the first found in NAMESPACES, then in alphabetical order.

    None without a colour image. Compressed images count (<topic>/compressed, <topic>/compressedDepth).
    """
    there = set(topics)
    found = [(m[1], m[2], topic) for topic in sorted(there) if (m := _COLOR.fullmatch(topic))]
    if namespace:
        wanted = f"/{namespace.strip('/')}"
        found = [item for item in found if item[0] == wanted]
    if not found:
        return None
    order = {name: k for k, name in enumerate(NAMESPACES)}
    prefix, _, color = min(found, key=lambda f: (order.get(f[0], len(order)), f[0], COLOR_NAMES.index(f[1])))
    depths = (prefix + ALIGNED, prefix + ALIGNED + PACKED_DEPTH)
    return CameraTopics(prefix, color, f"{prefix}/color/camera_info", next((d for d in depths if d in there), ""))


def color_images(topics: Iterable[str]) -> list[str]:
    """The colour images of all cameras."""
    return sorted(topic for topic in topics if _COLOR.fullmatch(topic))


_COLOR = re.compile(rf"(.*)({'|'.join(COLOR_NAMES)})({PACKED_COLOR})?")
