"""Image formats of image_transport: `compressed` (JPEG) and `compressedDepth` (12 bytes, then PNG or RVL)."""

import io
import struct

import numpy as np
from PIL import Image

from dexhot.errors import FileFormatError
from dexhot.hardware.camera.rvl import decode_rvl

QUALITY = 90  # of JPEG: a 640x480 image takes 50 to 100 KB
DEPTH_HEADER = struct.pack("<iff", 0, 0.0, 0.0)  # compressedDepth's format and two parameters, unused for 16UC1
COLOR_ENCODINGS = {"rgb8": "RGB", "bgr8": "RGB", "mono8": "L"}
DEPTH_ENCODINGS = ("16UC1", "mono16")
YUV_ENCODINGS = {"yuv422_yuy2": (0, 1), "yuyv": (0, 1), "yuv422": (1, 0), "uyvy": (1, 0)}  # bytes of Y and of U or V
BT_601 = np.array([[1.164, 0.0, 1.596], [1.164, -0.392, -0.813], [1.164, 2.017, 0.0]], np.float32)  # YUV to RGB


def encode_color(pixels: np.ndarray) -> bytes:
    """JPEG of (H, W, 3) RGB or (H, W) grey uint8."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def encode_depth(depth: np.ndarray) -> bytes:
    """compressedDepth of (H, W) uint16, lossless; the lowest level of deflate is 4 times faster than the default."""
    stream = io.BytesIO()
    Image.fromarray(depth).save(stream, "PNG", compress_level=1)
    return DEPTH_HEADER + stream.getvalue()


def decode_color(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a JPEG or PNG. Raises FileFormatError."""
    return np.asarray(_open(data).convert("RGB"))


def decode_depth(data: bytes) -> np.ndarray:
    """(H, W) uint16 of a compressedDepth message's data, or of a bare PNG. Raises FileFormatError."""
    start = data.find(b"\x89PNG", 0, 64)
    if start < 0:
        try:
            return decode_rvl(data[len(DEPTH_HEADER) :])
        except FileFormatError as e:
            raise FileFormatError(
                f"a depth image is neither PNG nor readable RVL ({e}): record the raw images, or set the publisher's "
                "compressedDepth format to png."
            ) from e
    depth = np.asarray(_open(data[start:]))
    if depth.ndim != 2 or depth.dtype not in (np.uint16, np.int32):
        raise FileFormatError(f"a depth image has {depth.dtype} pixels of shape {depth.shape}, not 16-bit grey ones.")
    return depth.astype(np.uint16)


def unpacked(form: str, data: bytes, depth: bool) -> np.ndarray:
    """The pixels of a sensor_msgs/CompressedImage of the format `form` ("16UC1; compressedDepth png"): (H, W) uint16 of
    a depth image, else (H, W, 3) RGB. Raises FileFormatError."""
    encoding = form.partition(";")[0].strip()
    if depth and encoding not in ("", "png", *DEPTH_ENCODINGS):  # 32FC1 is packed as its rounded inverse
        raise FileFormatError(f"compressed depth of encoding {encoding!r} is not read, only {DEPTH_ENCODINGS[0]} (mm).")
    return decode_depth(data) if depth else decode_color(data)


def pixels(encoding: str, height: int, width: int, step: int, data: np.ndarray) -> np.ndarray:
    """The pixels of a sensor_msgs/Image: (H, W, 3) RGB, (H, W) grey, or (H, W) uint16. Raises FileFormatError."""
    rows = np.frombuffer(data, np.uint8).reshape(height, step)
    if encoding in DEPTH_ENCODINGS:
        return rows[:, : 2 * width].copy().view("<u2")
    if encoding == "mono8":
        return rows[:, :width]
    if encoding in COLOR_ENCODINGS:
        image = rows[:, : 3 * width].reshape(height, width, 3)
        return image if encoding == "rgb8" else np.ascontiguousarray(image[..., ::-1])
    if encoding in YUV_ENCODINGS:
        return _rgb_of_yuv(rows[:, : 2 * width].reshape(height, width, 2), *YUV_ENCODINGS[encoding])
    known = ", ".join((*COLOR_ENCODINGS, *YUV_ENCODINGS, *DEPTH_ENCODINGS))
    raise FileFormatError(f"image encoding {encoding!r} is not supported; supported: {known}.")


def _rgb_of_yuv(pairs: np.ndarray, luma: int, chroma: int) -> np.ndarray:
    """(H, W, 3) RGB of (H, W, 2) 4:2:2 bytes: two pixels share the first's U and the second's V (BT.601)."""
    u, v = (np.repeat(pairs[:, k::2, chroma], 2, axis=1) for k in (0, 1))
    yuv = np.stack([pairs[..., luma], u, v], axis=-1).astype(np.float32) - np.array([16, 128, 128], np.float32)
    return np.clip(np.round(yuv @ BT_601.T), 0, 255).astype(np.uint8)


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, ValueError, SyntaxError) as e:
        raise FileFormatError(f"an image cannot be decoded: {e}.") from e
    return image
