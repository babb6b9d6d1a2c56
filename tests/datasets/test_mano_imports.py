"""GRAB as published and TACO: MANO's parameters, splits with their sizes, and the repair of TACO's initial frames."""

import numpy as np
import pytest
from layouts import BOX, box, write_grab, write_taco
from scipy.spatial.transform import Rotation

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.datasets import list_clips, load_clip, split_clips, splits, taco
from dexhot.datasets.human_clip import human_clip
from dexhot.datasets.library import trajectories_dir
from dexhot.datasets.mano_imports import get_grab_full, get_taco
from dexhot.datasets.parametric import KINDS
from dexhot.errors import ClipError, DexhotError, FileFormatError, NotFoundError
from dexhot.geometry.poses import lowest, transform
from dexhot.geometry.rotations import to_xyzw
from dexhot.humans.model_files import mano_file
from dexhot.objects import load_object
from dexhot.objects.shapes import SHAPES
from dexhot.retargeting.clip_checks import check_clip
from dexhot.simulation.scans import make_object
from dexhot_train.curriculum.variations import parent_clip


def one_piece(name, vertices, faces, **options):
    return make_object(name, vertices, faces, pieces=[(vertices, faces)], **options)


@pytest.fixture
def user(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    return tmp_path


def test_grab_s_objects_turn_row_vectors(user):
    truth = write_grab(user / "GRAB")
    write_grab(user / "GRAB", subject="s4", name="cubesmall_pass_1")
    got = get_grab_full(user / "GRAB", one_piece, accept_licence=True)
    assert got["clips"] == 2 and got["splits"] == {"train": 1, "test": 1} and got["dextrack"]["test"] == 197
    clip = load_clip("grab_full/s1_cubesmall_lift")
    assert (
        clip.provenance["split"] == "test" and load_clip("grab_full/s4_cubesmall_pass_1").provenance["split"] == "train"
    )
    assert clip.time[1] == pytest.approx(1 / 60) and len(clip.time) == 40
    # GRAB: vertices = template @ R + t
    R = Rotation.from_rotvec(truth["turned"][20]).as_matrix()
    theirs = box().vertices @ R + truth["boxes"][20, :3]
    ours = transform(clip.object_pose[10], box().vertices)
    shift = ours - theirs
    assert np.allclose(shift, shift[0], atol=1e-6)  # the same turn, in a world whose origin was moved
    assert lowest(clip.object_pose[0], box().vertices) == pytest.approx(0.0, abs=1e-6)
    wrist = clip.hands["right"].keypoints[10, 0]
    assert np.allclose(wrist, truth["wrist"][20, :3] + shift[0], atol=1e-6)
    check_clip(clip, "right")


def test_grab_s_hand_is_the_person_s_own(user):
    write_grab(user / "GRAB")
    get_grab_full(user / "GRAB", one_piece, accept_licence=True)
    keypoints = load_clip("grab_full/s1_cubesmall_lift").hands["right"].keypoints[5]
    from dexhot.humans.open_hand import open_hand

    mean = open_hand("right").shaped().rest
    bone = np.linalg.norm(keypoints[9] - keypoints[0])
    assert bone == pytest.approx(1.1 * np.linalg.norm(mean[4] - mean[0]), rel=1e-6)  # wrist to middle knuckle


def test_grab_needs_mano_and_the_templates(user):
    write_grab(user / "GRAB")
    (user / "GRAB" / "tools" / "subject_meshes" / "male" / "s1_rhand.ply").unlink()
    with pytest.raises(FileFormatError, match="unpack GRAB's subject meshes"):
        get_grab_full(user / "GRAB", one_piece, accept_licence=True)
    with pytest.raises(FileFormatError, match=r"needs grab/s1/\*\.npz"):
        get_grab_full(user / "config", one_piece)


def test_taco_is_read_without_torch_s_loader(user):
    truth = write_taco(user / "TACO")
    got = get_taco(user / "TACO", one_piece, accept_licence=True, repair=False)
    assert got["clips"] == 1 and got["groups"]["S0"] == 1 and got["split"] == "published"
    assert got["expected"] == {"train": 953, "S0": 225, "S1": 234, "S2": 354, "S3": 551}
    clip = load_clip("taco/20231105_019")
    assert set(clip.hands) == {"right"} and clip.provenance["left_out"] == "left hand and target"
    assert np.ptp(load_object("taco/104").vertices, axis=0) == pytest.approx(BOX, abs=1e-4)  # centimetres in the file
    lift = clip.object_pose[:, 2] - clip.object_pose[0, 2]
    assert np.allclose(lift, truth["boxes"][:, 2] - truth["boxes"][0, 2], atol=1e-6)
    between = clip.hands["right"].keypoints[:, 0] - clip.object_pose[:, :3]
    assert np.allclose(between, truth["wrist"][:, :3] - truth["boxes"][:, :3], atol=1e-5)
    turned = Rotation.from_rotvec(clip.hands["right"].parameters[30, :3]).inv() * Rotation.from_quat(
        to_xyzw(truth["wrist"][30, 3:])
    )
    assert turned.magnitude() < 1e-5


def test_taco_s_initial_frames_come_from_grab(user):
    write_taco(user / "TACO")
    with pytest.raises(DexhotError, match=r"s2_phone_pass_1, which is not in the cache.*--no-repair"):
        get_taco(user / "TACO", one_piece, accept_licence=True)
    write_grab(user / "GRAB", subject="s2", name="phone_pass_1", frames=160)
    get_grab_full(user / "GRAB", one_piece, accept_licence=True)
    get_taco(user / "TACO", one_piece, accept_licence=True, repair=False)
    own = load_clip("taco/20231105_019")
    get_taco(user / "TACO", one_piece, accept_licence=True)
    clip, donor = load_clip("taco/20231105_019"), load_clip("grab_full/s2_phone_pass_1")
    keypoints, n = clip.hands["right"].keypoints, taco.REPAIRED
    assert len(clip.time) == len(own.time) + n
    assert np.allclose(keypoints[2 * n :], own.hands["right"].keypoints[n:])
    assert np.allclose(
        keypoints[:n] - donor.hands["right"].keypoints[:n], keypoints[0, 0] - donor.hands["right"].keypoints[0, 0]
    )
    assert (clip.object_pose[:n] == own.object_pose[0]).all() and np.allclose(clip.object_pose[n:], own.object_pose)
    steps = np.linalg.norm(np.diff(keypoints, axis=0), axis=-1).max(axis=1)
    assert steps[n - 2 : 2 * n + 1].max() < 0.02  # no jump where the parts meet
    check_clip(clip, "right")
    with pytest.raises(ClipError, match="the repair needs 60"):
        taco.repaired_start(own.cut(0, 50), donor)


def test_a_list_of_other_sizes_is_refused(user):
    write_taco(user / "TACO")
    path = user / "TACO" / taco.SPLITS
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]))
    with pytest.raises(FileFormatError, match=r"'train': 952.*'train': 953.*'train': 1565"):
        get_taco(user / "TACO", one_piece, accept_licence=True, repair=False)
    sizes = {"train": 1565, "S0": 207, "S1": 139, "S2": 120, "S3": 285}
    path.write_text("".join(f"{g}-{k},{g}\n" for g, count in sizes.items() for k in range(count)))
    assert taco.read_splits(path)[1] == "dextrack"
    path.write_text("a,test_9\n")
    with pytest.raises(FileFormatError, match="line 1: 'a,test_9' is not SEQUENCE,GROUP"):
        taco.read_splits(path)


def test_without_mano_the_sentence_says_where_it_goes(user, capsys):
    write_grab(user / "GRAB")
    for side in ("left", "right"):
        mano_file(side).unlink()
    command = ["datasets", "get", "grab-full", "--path", str(user / "GRAB"), "--accept-licence", "grab-full"]
    assert main(command) == 1
    assert "MANO_RIGHT.pkl" in capsys.readouterr().err
    assert not list((trajectories_dir("grab_full")).glob("*"))


def test_clips_of_both_are_listed_and_saved(user, tmp_path):
    write_grab(user / "GRAB")
    get_grab_full(user / "GRAB", one_piece, accept_licence=True)
    [info] = list_clips("grab_full")
    assert info.lift > 0.14 and info.hands == "right"
    save(load_clip(info.name), tmp_path / "copy.npz")


def test_their_splits_are_those_that_the_importer_recorded_and_no_test_clip_is_trained_on(user):
    """GRAB: test is subject s1; TACO: S0 to S3."""
    for subject, name in (("s1", "cubesmall_lift"), ("s4", "cubesmall_pass_1")):
        write_grab(user / "GRAB", subject=subject, name=name)
    get_grab_full(user / "GRAB", one_piece, accept_licence=True)
    assert splits("grab_full") == {"train": ["s4_cubesmall_pass_1"], "test": ["s1_cubesmall_lift"]}
    assert splits("taco") == {}
    write_taco(user / "TACO")
    get_taco(user / "TACO", one_piece, accept_licence=True, repair=False)
    assert splits("taco") == {"test_S0": ["20231105_019"]}
    assert split_clips("S0", splits("taco")) == split_clips("test", splits("taco")) == ["20231105_019"]
    with pytest.raises(DexhotError, match=r"'S1' has no clips"):
        split_clips("S1", splits("taco"))
    for held_out in ("grab_full/s1_cubesmall_lift", "taco/20231105_019", "parametric/lift-box-900"):
        with pytest.raises(DexhotError, match="nothing may be trained on it"):
            parent_clip(held_out)
    parent_clip("grab_full/s4_cubesmall_pass_1")


def test_a_generated_clip_of_the_left_hand_is_one():
    clip, asset = human_clip("parametric/lift-box-3-left")
    assert [*clip.hands] == ["left"] and asset.name == clip.object_name
    with pytest.raises(NotFoundError, match="KIND-SHAPE-SEED"):
        human_clip("parametric/lift-box")


def test_every_generated_clip_of_a_split_is_one_and_no_seed_is_in_both():
    named = splits("parametric")
    for clip in (names[0] for names in named.values()):
        human_clip(f"parametric/{clip}")
    seeds = [{clip.rpartition("-")[2] for clip in names} for names in named.values()]
    assert set(named) == {"train", "test"} and not seeds[0] & seeds[1]
    assert all(
        clip.split("-")[0] in KINDS and clip.split("-")[1] in SHAPES for names in named.values() for clip in names
    )
