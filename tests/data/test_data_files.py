"""Every dataclass survives its file; files that cannot be right are refused with the reason."""

import dataclasses
import json

import numpy as np
import pytest

from dexhot.data import Demonstration, Evidence, HandObjectTrajectory, PolicyCard, Reference, Rollout, load, save
from dexhot.data.files import replacing
from dexhot.data.types import WRIST_JOINTS
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.objects import list_objects, load_object, save_object

T, N, TIPS = 5, 6 + 3, 4
RNG = np.random.default_rng(0)
POSES = np.concatenate([RNG.normal(size=(T, 3)), np.tile([1.0, 0, 0, 0], (T, 1))], axis=1)


def reference(**changes):
    values = {
        "name": "clip/leap_right",
        "hand": "leap_right",
        "joint_names": [*WRIST_JOINTS, "a", "b", "c"],
        "base_quat": np.array([1.0, 0, 0, 0]),
        "q": RNG.normal(size=(T, N)),
        "target": RNG.normal(size=(T, N)),
        "contact": RNG.uniform(size=(T, TIPS)),
        "object_name": "grab/duck",
        "object_pose": POSES,
        "grasp_start": 1,
        "grasp_end": 3,
        "provenance": {"seed": 3, "options": {"gain": 0.5}},
    }
    return Reference(**(values | changes))


def demonstration():
    q = RNG.normal(size=(T, N))
    return Demonstration("demo", reference(), q, q + 1, POSES, "1", {"T_err_cm": 0.4, "success": True}, {"seed": 1})


def rollout():
    q = RNG.normal(size=(T, N))
    touching = RNG.uniform(size=(T, TIPS)) > 0.5
    time = np.arange(T) / 60
    return Rollout("run", reference(), "arm", time, q, q, POSES, np.zeros(T), touching[:, 0], touching, q[:, :7])


def evidence():
    nowhere = np.full((T, 7), np.nan)
    labels = RNG.integers(0, 4, (T, 4, 6)).astype(np.uint8)
    boxes, points = {"object": np.full((T, 4), np.nan)}, {"right": RNG.normal(size=(T, 21, 6))}
    mesh, along = {"left": RNG.normal(size=(T, 12, 3))}, {"right": RNG.normal(size=(T, 21))}
    return Evidence("seen", np.arange(T) / 30, labels, boxes, points, nowhere, mesh, {"camera": "D435"}, along)


def card():
    layout = [{"name": "q", "size": 22}]
    clips = ["grab/duck_lift"]
    return PolicyCard(
        "p", "leap_right", ["a"], 60.0, layout, "residual", "0" * 64, "targets", [0.5], [0.1], training_data=clips
    )


def same(a, b):
    """Equality of nested dataclasses, NaN equal to NaN."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


@pytest.mark.parametrize("make", [reference, demonstration, rollout, evidence, card])
def test_round_trip(make, tmp_path):
    item = make()
    path = save(item, tmp_path / "item")
    assert path.suffix == (".json" if make is card else ".npz")
    assert same(load(path, type(item)), item)


def test_trajectory_round_trip(lift_clip, tmp_path):
    assert same(load(save(lift_clip, tmp_path / "clip.npz"), HandObjectTrajectory), lift_clip)


def test_object_round_trip(lift_object, cache):
    save_object(lift_object)
    read = load_object(lift_object.name)
    for name in ("vertices", "faces", "center_of_mass", "inertia", "resting_poses"):
        np.testing.assert_array_equal(getattr(read, name), getattr(lift_object, name))
    assert [len(v) for v, _ in read.pieces] == [len(v) for v, _ in lift_object.pieces]
    assert (read.mass, read.symmetry, read.provenance) == (
        lift_object.mass,
        lift_object.symmetry,
        lift_object.provenance,
    )
    assert list_objects() == [lift_object.name]


def test_header_has_schema_version_and_provenance(tmp_path):
    with np.load(save(reference(), tmp_path / "r")) as entries:
        header = json.loads(entries["header"].tobytes())
    assert (header["schema"], header["version"]) == ("dexhot/reference", 2)
    assert header["fields"]["provenance"] == {"seed": 3, "options": {"gain": 0.5}}


def test_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("keep", [0, 10, 300, -1])
def test_truncated_file(tmp_path, keep):
    path = save(reference(), tmp_path / "r")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match="truncated"):
        load(path)


def test_damaged_bytes(tmp_path):
    path = save(reference(), tmp_path / "r")
    raw = bytearray(path.read_bytes())
    raw[200:260] = bytes(60)
    path.write_bytes(raw)
    with pytest.raises(FileFormatError, match="not a dexhot file"):
        load(path)


def test_pickle_is_never_read(tmp_path):
    np.savez(tmp_path / "r.npz", header=np.array([{"schema": "dexhot/reference"}], dtype=object))
    with pytest.raises(FileFormatError, match="allow_pickle=False"):
        load(tmp_path / "r.npz")


def test_objects_are_never_pickled(tmp_path):
    item = dataclasses.replace(evidence(), boxes={"object": np.full((T, 4), None)})
    with pytest.raises(FileFormatError, match="without pickle"):
        save(item, tmp_path / "e")


def rewrite_header(path, **changes):
    with np.load(path) as entries:
        arrays = dict(entries)
    header = json.loads(arrays["header"].tobytes()) | changes
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


def test_unknown_schema_lists_the_known(tmp_path):
    path = rewrite_header(save(reference(), tmp_path / "r"), schema="other/thing")
    with pytest.raises(FileFormatError, match=r"'other/thing'; this version reads .*dexhot/rollout"):
        load(path)


def test_later_version_asks_for_an_upgrade(tmp_path):
    path = rewrite_header(save(reference(), tmp_path / "r"), version=3)
    with pytest.raises(FileFormatError, match=r"version 3 .* reads up to 2: upgrade"):
        load(path)


def test_a_file_of_version_1_has_no_path_for_the_arm(tmp_path):
    written = rewrite_header(save(reference(arm_q=np.zeros((T, 7))), tmp_path / "r"), version=1)
    with np.load(written) as entries:
        arrays = {name: array for name, array in entries.items() if name not in ("arm_q", "arm_frames", "clip_frames")}
    np.savez(written, **arrays)
    read = load(written, Reference)
    assert read.arm_q.shape == (0, 7) and not len(read.arm_frames) and read.speed_factor == 1.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arm_q": np.zeros((T - 1, 7))}, "arm_q"),
        ({"arm_frames": np.array([0.0, 2.0, 1.0, T - 1.0])}, "arm_frames must increase"),
        ({"arm_frames": np.array([0.0, 1.0, T - 2.0])}, "arm_frames must go from 0 to 4, not 0 to 3"),
        ({"clip_frames": np.arange(T - 1.0)}, "clip_frames"),
        ({"clip_frames": np.zeros(T)}, "clip_frames must increase"),
    ],
)
def test_a_path_or_time_map_that_cannot_be_is_refused(wrong, message):
    reference(arm_frames=np.array([0.0, 1.5, 2.0, T - 1.0]), clip_frames=np.arange(T) / 2).validate()
    with pytest.raises(FileFormatError, match=message):
        reference(**wrong).validate()


def test_missing_field_is_named(tmp_path):
    path = rewrite_header(save(reference(), tmp_path / "r"), fields={"name": "r"})
    with pytest.raises(FileFormatError, match="field 'hand'"):
        load(path)


def test_wrong_kind_names_both(tmp_path):
    path = save(reference(), tmp_path / "r")
    with pytest.raises(FileFormatError, match="holds a Reference, but an Evidence is needed"):
        load(path, Evidence)
    with pytest.raises(FileFormatError, match="holds a Reference, but a Demonstration is needed"):
        load(path, Demonstration)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"q": np.where(np.arange(T)[:, None] == 2, np.nan, np.zeros((T, N)))},
            "q has a non-finite value, first at frame 2",
        ),
        ({"q": np.zeros((T, N - 1))}, r"q has shape \(5, 8\), expected \(5, 9\)"),
        ({"target": np.zeros((T + 1, N))}, "target has shape"),
        ({"rate": 50.0}, "50 Hz; the stack runs at 60 Hz"),
        ({"object_pose": 2 * POSES}, "quaternion of norm"),
        ({"joint_names": ["tx", "tz", "ty", "rx", "ry", "rz", "a", "b", "c"]}, "joint_names must start with"),
        ({"contact": np.full((T, TIPS), 1.5)}, "contact spans 1.5 to 1.5, valid is 0 to 1"),
        ({"grasp_start": 4}, "frames in order, 0 to 4"),
    ],
)
def test_impossible_reference_is_not_written(tmp_path, changes, message):
    with pytest.raises(FileFormatError, match=message):
        save(reference(**changes), tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_impossible_values_in_a_file_name_the_file(tmp_path):
    path = save(reference(), tmp_path / "r")
    with np.load(path) as entries:
        arrays = dict(entries)
    arrays["q"][3] = np.inf
    np.savez(path, **arrays)
    with pytest.raises(FileFormatError, match=r"r\.npz: q has a non-finite value, first at frame 3"):
        load(path)


@pytest.mark.parametrize("time", [[0.0, 0.1, 0.1, 0.2, 0.3], [0.0, 0.1, np.nan, 0.2, 0.3]])
def test_rollout_time_must_increase(time):
    with pytest.raises(FileFormatError, match="time"):
        dataclasses.replace(rollout(), time=np.array(time)).validate()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.full((T, 4, 6), 4, np.uint8)}, "labels must be 0 to 3"),
        ({"keypoints": {"left": np.zeros((T, 21, 3))}}, r"keypoints\.left has shape .* expected \(5, 21, 6\)"),
        ({"relative_depth": {"right": np.zeros((T, 20))}}, r"relative_depth\.right has shape .* expected \(5, 21\)"),
        ({"hand_meshes": {"right": np.zeros((T + 1, 8, 3))}}, r"hand_meshes\.right has shape .* expected \(5, V, 3\)"),
    ],
)
def test_impossible_evidence_is_refused(changes, message):
    with pytest.raises(FileFormatError, match=message):
        dataclasses.replace(evidence(), **changes).validate()


def test_confidence_must_be_a_share(lift_clip):
    lift_clip.hands["right"].confidence[0, 0] = 1.1
    with pytest.raises(FileFormatError, match=r"hands\.right\.confidence spans"):
        lift_clip.validate()


def test_hands_are_left_or_right(lift_clip):
    lift_clip.hands["third"] = lift_clip.hands.pop("right")
    with pytest.raises(FileFormatError, match="'left', 'right' or both"):
        lift_clip.validate()


def test_unknown_object_lists_the_objects(lift_object, cache):
    save_object(lift_object)
    with pytest.raises(NotFoundError, match=f"available: {lift_object.name}"):
        load_object("grab/duck")


def test_truncated_object(lift_object, cache):
    mesh = save_object(lift_object) / "mesh.npz"
    mesh.write_bytes(mesh.read_bytes()[:200])
    with pytest.raises(FileFormatError, match="delete the folder"):
        load_object(lift_object.name)


def test_object_of_a_later_version(lift_object, cache):
    path = save_object(lift_object) / "object.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 9}))
    with pytest.raises(FileFormatError, match="version 9"):
        load_object(lift_object.name)


def test_object_without_inertia_is_not_written(lift_object, cache):
    lift_object.inertia = np.zeros((3, 3))
    with pytest.raises(FileFormatError, match="positive mass and inertia"):
        save_object(lift_object)
    assert list_objects() == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert path.read_text() == "old"


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path):
    with pytest.raises(FileFormatError, match="is a folder; name a file in it"):
        load(tmp_path)
    with pytest.raises(FileFormatError, match="does not exist"):
        load(tmp_path / "absent.npz")
