"""GRAB's importer, every clip against an independent export of the same source."""

import io

import numpy as np
import pytest

from dexhot.datasets import grab, grab_import, list_clips, load_clip, splits
from dexhot.datasets.grab import WHEEL
from dexhot.datasets.grab_import import get_grab
from dexhot.datasets.library import clip_names, trajectories_dir
from dexhot.datasets.licences import require_acceptance
from dexhot.errors import LicenceError, NotFoundError
from dexhot.geometry.poses import transform
from dexhot.geometry.rotations import matrix_to_quat, quat_angle
from dexhot.objects import ObjectAsset, list_objects, load_object
from dexhot.paths import cache_dir

CLIPS = sorted({clip for names in splits("grab").values() for clip in names})


@pytest.mark.data
@pytest.mark.parametrize("clip", CLIPS)
def test_clip_agrees_with_the_independent_export(grab, shared_data, clip):
    ours = load_clip(f"grab/{clip}")
    hand = ours.hands["right"]
    with np.load(shared_data / "grab" / "clips" / f"{clip}.npz") as export:
        theirs = {name: export[name] for name in export.files}
    assert ours.time == pytest.approx(theirs["time"])
    assert np.linalg.norm(ours.object_pose[:, :3] - theirs["obj_pos"], axis=-1).max() < 1e-3
    assert np.linalg.norm(hand.keypoints - theirs["keypoints"], axis=-1).max() < 1e-3
    assert np.degrees(quat_angle(ours.object_pose[:, 3:], theirs["obj_quat_wxyz"])).max() < 1.0
    assert np.degrees(quat_angle(hand.wrist_pose[:, 3:], matrix_to_quat(theirs["wrist_rot"]))).max() < 1.0


@pytest.mark.data
def test_every_object_starts_on_the_table(grab):
    for name in clip_names("grab"):
        clip = load_clip(name)
        pieces = load_object(clip.object_name).pieces
        lowest = min(transform(clip.object_pose[0], vertices)[:, 2].min() for vertices, _ in pieces)
        assert abs(lowest) < 1e-6, name


@pytest.mark.data
def test_every_object_has_resting_poses_on_the_table(grab):
    for name in sorted({load_clip(clip).object_name for clip in clip_names("grab")}):
        asset = load_object(name)
        assert len(asset.resting_poses) >= 2, name
        for pose in asset.resting_poses:
            assert min(transform(pose, vertices)[:, 2].min() for vertices, _ in asset.pieces) == pytest.approx(
                0, abs=2e-3
            )


@pytest.mark.data
def test_a_teapots_spout_is_not_its_handle(grab):
    assert load_object("grab/teapot").symmetry.kind == "none"


@pytest.mark.data
def test_list_shows_object_duration_lift_and_split(grab):
    duck = next(clip for clip in list_clips("grab") if clip.name == "grab/duck_lift")
    assert (duck.object, duck.hands, duck.split) == ("grab/duck", "right", "train")
    assert duck.duration == pytest.approx(2.64)
    assert 0.08 < duck.lift < 0.10


@pytest.mark.data
def test_a_second_get_writes_nothing(grab):
    assert get_grab(True, make_object=None) == {"clips": 0, "objects": 0}


@pytest.mark.data
def test_unknown_clip_lists_the_clips(grab):
    with pytest.raises(NotFoundError, match=r"no clip named 'grab/duck_fly'; available: .*grab/duck_lift"):
        load_clip("grab/duck_fly")


@pytest.fixture
def kept_wheel(grab, tmp_path, monkeypatch):
    """A cache that holds the wheel and no more."""
    wheel = cache_dir() / "downloads" / WHEEL
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / WHEEL).symlink_to(wheel)
    return tmp_path


def plain_object(name, vertices, faces, pieces, mass, provenance):
    return ObjectAsset(name, vertices, faces, pieces, mass, np.zeros(3), np.eye(3), provenance=provenance)


@pytest.mark.data
def test_an_interrupted_get_goes_on_where_it_stopped(kept_wheel, monkeypatch):
    few = ["airplane_lift", "cup_drink1", "cup_pour1", "duck_lift", "mug_lift", "stapler_lift"]
    monkeypatch.setattr(grab_import, "splits", lambda _: {"few": few})
    made = []

    def interrupted(name, *mesh, **options):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(name)
        return plain_object(name, *mesh, **options)

    with pytest.raises(KeyboardInterrupt):
        get_grab(True, interrupted)
    assert list_objects() == made
    assert [p.name for p in (kept_wheel / "downloads").iterdir()] == [WHEEL]
    assert get_grab(True, plain_object) == {"clips": 6, "objects": 2}
    damaged = trajectories_dir("grab") / "duck_lift.npz"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    assert get_grab(True, plain_object) == {"clips": 1, "objects": 0}
    assert load_clip("grab/duck_lift").object_name == "grab/duck"


def test_terms_are_asked_on_a_terminal_and_only_once(cache, monkeypatch, capsys):
    answers = iter(["y"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    require_acceptance("grab", "The terms.", None)
    require_acceptance("grab", "The terms.", None)
    assert capsys.readouterr().err.count("The terms.") == 1


def test_splits_cover_95_clips_once():
    use = splits("grab")
    parts = [set(use[name]) for name in ("train", "test_unseen_object", "test_unseen_clip", "excluded")]
    assert [len(part) for part in parts] == [59, 19, 10, 7]
    assert len(set.union(*parts)) == 95
    assert set(use["quick"]) <= parts[0]


def test_without_a_terminal_the_terms_name_the_flag(cache, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(LicenceError, match="--accept-licence grab"):
        get_grab(None, make_object=None)
    assert "non-commercial scientific research" in capsys.readouterr().err
    assert not cache.exists()


def test_refused_terms_write_nothing(cache):
    with pytest.raises(LicenceError, match="not accepted"):
        get_grab(False, make_object=None)
    assert not cache.exists()


def test_the_frame_before_the_jump_gives_the_correction():
    """An object turned by 180 degrees about z with its centre 10 mm off: the source moved it by R0 c - c."""
    vertices = np.array([[x, y, z] for x in (0, 0.02) for y in (0, 0.02) for z in (0.0, 0.02)])
    source = grab.SourceObject(vertices, np.zeros((1, 3), int), [(vertices, None)], 0.1, "", np.array([0.01, 0.0, 0.0]))
    half_turn = [0.0, 0.0, 0.0, 1.0]
    raw = np.array([[0.5, 0.1, 0.0, *half_turn], [0.48, 0.1, 0.0, *half_turn], [0.48, 0.1, 0.1, *half_turn]])
    pose, hand_shift = grab.correct(raw, world_init=False, source=source)
    np.testing.assert_allclose(pose[:, :3], [[0.5, 0.1, 0.0], [0.5, 0.1, 0.1]], atol=1e-12)
    np.testing.assert_allclose(hand_shift, [0.01, 0.0, -0.035], atol=1e-12)
