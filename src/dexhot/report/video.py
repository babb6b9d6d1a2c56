"""An H.264 mp4 of a rollout, by the ffmpeg on the PATH or the one that the `video` extra brings."""

import shutil
import subprocess
from pathlib import Path

from dexhot.data.files import replacing
from dexhot.errors import DexhotError
from dexhot.view.render import Painter


class NoEncoderError(DexhotError):
    """No ffmpeg with H.264 was found, or it failed."""


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


def write_video(painter: Painter, path: Path, rate: float = 60.0, stride: int = 2) -> Path:
    """Every `stride`-th frame of the painter's rollout, recorded at `rate` Hz, at true speed. Raises NoEncoderError."""
    height, width = painter.frame(0).shape[:2]
    with replacing(path) as temporary:
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate / stride:g}", "-i", "-"]
        encoded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "21", "-movflags", "+faststart", "-f", "mp4"]
        command = [find_ffmpeg(), "-y", "-loglevel", "error", *raw, *encoded, str(temporary)]
        encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert encoder.stdin is not None and encoder.stderr is not None
        try:
            for frame in range(0, len(painter.rollout.q), stride):
                encoder.stdin.write(painter.frame(frame).tobytes())
            encoder.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg ended early; its message follows
        error = encoder.stderr.read().decode().strip()
        if encoder.wait():
            raise NoEncoderError(f"No video: ffmpeg failed: {error.splitlines()[-1] if error else 'no message'}.")
    return path
