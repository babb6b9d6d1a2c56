"""An H.264 mp4 of a rollout, by the ffmpeg on the PATH or that of the `video` extra."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dexhot.data.files import replacing
from dexhot.errors import DexhotError

FRAMES = 300  # maximum frames of a video: rendering them takes most of a report's time


class NoEncoderError(DexhotError):
    """No ffmpeg with H.264 was found, or ffmpeg failed."""


def find_ffmpeg() -> str:
    """Path of an ffmpeg program. Raises NoEncoderError."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as e:
        raise NoEncoderError("No video: no ffmpeg; install it, or pip install 'dexhot[video]'.") from e


def stride_of(count: int) -> int:
    """Frames per rendered frame: 2, or more for a long clip, so that at most FRAMES are rendered."""
    return max(2, -(-count // FRAMES))


def write_video(
    frame: Callable[[int], np.ndarray],
    count: int,
    path: Path,
    rate: float = 60.0,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Write a clip of `count` frames at `rate` Hz in real time; `frame(k)` is the picture (H, W, 3) of frame k, and
    `progress` is called with (frames done, frames).

    A key frame twice a second makes seeking fast. Raises NoEncoderError.
    """
    stride = stride_of(count)
    height, width = frame(0).shape[:2]
    with replacing(path) as temporary:
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate / stride:g}", "-i", "-"]
        encoded = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-crf", "21"]
        encoded += ["-g", str(max(1, round(rate / stride / 2))), "-movflags", "+faststart", "-f", "mp4"]
        command = [find_ffmpeg(), "-y", "-loglevel", "error", *raw, *encoded, str(temporary)]
        encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert encoder.stdin is not None and encoder.stderr is not None
        try:
            for k in range(0, count, stride):
                encoder.stdin.write(frame(k).tobytes())
                progress(k + 1, count)
            encoder.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg ended early; its message follows
        error = encoder.stderr.read().decode().strip()
        if encoder.wait():
            raise NoEncoderError(f"No video: ffmpeg failed: {error.splitlines()[-1] if error else 'no message'}.")
    return path
