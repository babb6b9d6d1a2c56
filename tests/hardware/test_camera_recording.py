"""A recording in memory: what is read, what is left out, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from dexhot.cli import fit_command, fit_inputs
from dexhot.data.files import save
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.frames import Frames
from dexhot.hardware.camera.recording import _collect, open_recording, recording_name

PINHOLE = Intrinsics(64, 48, 60.0, 60.0, 31.5, 23.5)


def write_folder(path, **entries):
    for k in range(3):
        for kind, pixels in (
            ("color", np.full((48, 64, 3), 10 * k, np.uint8)),
            ("depth", np.full((48, 64), 700 + k, np.uint16)),
        ):
            (path / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path / kind / f"{k:03}.png")
    camera = {"fx": 60.0, "fy": 60.0, "cx": 31.5, "cy": 23.5, "fps": 10} | entries
    (path / "camera.yaml").write_text(yaml.safe_dump(camera))
    return path


def test_a_folder_is_read_with_where_its_camera_stands(tmp_path):
    recording = open_recording(f"dir:{write_folder(tmp_path / 'clip', world_T_camera=[0, 0, 1, 0, 1, 0, 0])}", start=1)
    assert recording.name == "clip" and recording.time == pytest.approx([0.1, 0.2])
    assert recording.depth[:, 0, 0].tolist() == [701, 702] and recording.color[1, 0, 0].tolist() == [20, 20, 20]
    assert recording.world_T_camera.tolist() == [0, 0, 1, 0, 1, 0, 0] and recording.has_depth


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write_folder(tmp_path / "clip"))
    assert open_recording(".").name == recording_name("dir:.") == "clip"
    assert recording_name("bag:clips/lift/bag") == recording_name("lift.mcap") == "lift"


def test_a_part_of_a_folder(tmp_path):
    assert len(open_recording(write_folder(tmp_path), start=1, count=1)) == 1
    with pytest.raises(FileFormatError, match="no complete image from frame 3"):
        open_recording(tmp_path, start=3)


@pytest.mark.parametrize("wrong", [{"fx": 6.0, "fy": 6.0}, {"cx": 640.0}, {"fx": 0.06, "fy": 0.06}, {"fy": 90.0}])
def test_intrinsics_of_other_images_are_refused(tmp_path, wrong):
    with pytest.raises(FileFormatError, match="do not fit images of 64x48"):
        open_recording(write_folder(tmp_path, **wrong))


def test_what_does_not_increase_and_what_lacks_depth_is_noted():
    color, depth = np.zeros((48, 64, 3), np.uint8), np.ones((48, 64), np.uint16)
    frames = [Frames(stamp, k, color, depth, PINHOLE) for k, stamp in enumerate((0.0, 0.1, 0.1, 0.05, 0.2))]
    frames[4] = replace(frames[4], depth=None)
    made = {}
    recording = _collect("clip", iter(frames), 0, None, made)
    assert recording.time.tolist() == [0.0, 0.1, 0.2] and not recording.depth[2].any()
    assert made["notes"] == ["2 frames whose stamp did not increase are left out", "1 of 3 frames have no depth"]


def test_what_is_no_recording_says_what_is_one(tmp_path):
    with pytest.raises(FileFormatError, match="give a bag, a capture, a folder"):
        open_recording(tmp_path / "nothing")
    (tmp_path / "clip.mp4").write_bytes(b"not a video")
    with pytest.raises(FileFormatError, match="is not a video"):
        list(open_recording(tmp_path / "clip.mp4"))


def focal_length(camera, fovy):
    return 0.5 * camera.height / np.tan(np.radians(fovy) / 2)


def test_the_field_of_view_of_a_video_is_that_which_is_given_or_was_assumed_when_it_was_seen(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    video = tmp_path / "clip.mp4"
    writer = ffmpeg.write_frames(str(video), (64, 48))
    writer.send(None)
    for level in (0, 200):
        writer.send(np.full((48, 64, 3), level, np.uint8).tobytes())
    writer.close()
    assumed, given = open_recording(video), open_recording(video, fovy=60.0)
    assert assumed.intrinsics.fy == pytest.approx(focal_length(assumed.intrinsics, 45.0))
    assert [note for note in assumed.provenance["notes"] if "field of view of 45 degrees is assumed (--fovy)" in note]
    assert given.intrinsics.fy == pytest.approx(focal_length(given.intrinsics, 60.0))
    assert not [note for note in given.provenance["notes"] if "fovy" in note]
    nothing = np.full((2, 7), np.nan)
    seen = Evidence("clip", given.time, np.zeros((2, 48, 64), np.uint8), {}, {}, nothing, provenance=given.provenance)
    save(seen, tmp_path / "clip.evidence.npz")
    words = {"object": "none", "evidence": (tmp_path / "clip.evidence.npz",)}
    fit_inputs.seen_in(fit_command.Args(str(video), **words), [assumed])
    assert assumed.intrinsics == given.intrinsics
    chosen = open_recording(video, fovy=30.0)
    fit_inputs.seen_in(fit_command.Args(str(video), **words, fovy=30.0), [chosen])
    assert chosen.intrinsics.fy == pytest.approx(focal_length(chosen.intrinsics, 30.0))
    for fovy in (0.0, 180.0):
        with pytest.raises(DexhotError, match="between 0 and 180"):
            open_recording(video, fovy=fovy)


def test_a_camera_with_intrinsics_has_no_assumed_field_of_view(tmp_path):
    with pytest.raises(DexhotError, match=r"is not a video .* leave out --fovy"):
        open_recording(tmp_path, fovy=60.0)
