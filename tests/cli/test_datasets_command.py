"""`dexhot datasets` and `dexhot generate` as a user calls them."""

import hashlib
import json
import zipfile

import pytest

from dexhot.cli import main
from dexhot.data import load, save
from dexhot.datasets import registry
from dexhot.datasets.library import trajectories_dir
from dexhot.errors import DexhotError
from dexhot.objects import load_object


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.data
def test_list_gives_json_on_the_last_line(grab, capsys):
    assert main(["datasets", "list", "grab", "--json"]) == 0
    clips = last_json(capsys)["clips"]
    assert len(clips) == 95
    assert set(clips[0]) == {"name", "object", "duration", "lift", "hands", "split"}


@pytest.mark.data
def test_get_again_is_done_at_once(grab, capsys):
    assert main(["datasets", "get", "grab", "--accept-licence", "grab", "--json"]) == 0
    assert last_json(capsys) == {"dataset": "grab", "clips": 0, "objects": 0}


def test_list_of_an_empty_cache_shows_how_to_get_some(cache, capsys):
    assert main(["datasets", "list"]) == 0
    assert "dexhot datasets get grab" in capsys.readouterr().err


def test_list_of_a_dataset_that_is_not_there(cache, lift_clip, capsys):
    save(lift_clip, trajectories_dir("mine") / "one.npz")
    assert main(["datasets", "list", "grab"]) == 1
    assert "available: mine. Get clips with `dexhot datasets get grab`" in capsys.readouterr().err


def test_hot3d_needs_a_path(cache, capsys):
    assert main(["datasets", "get", "hot3d"]) == 1
    assert "--path DIR" in capsys.readouterr().err


def test_hot3d_of_a_wrong_folder_names_what_it_lacks(cache, tmp_path, capsys):
    assert main(["datasets", "get", "hot3d", "--path", str(tmp_path)]) == 1
    assert "lacks umetrack_hand_user_profile.json" in capsys.readouterr().err


def test_generate_writes_trajectory_and_object(cache, tmp_path, capsys):
    out = tmp_path / "lift.npz"
    assert main(["generate", "lift", "--shape", "sphere", "--seed", "3", "--out", str(out), "--json"]) == 0
    told = last_json(capsys)
    assert load(out).object_name == told["object"] == load_object(told["object"]).name
    assert told["lift_m"] > 0.1


def test_failed_download_gives_pips_reason(cache, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(DexhotError, match=r"myosuite==2\.8\.5 could not be downloaded .*pip config list"):
        registry.fetch_wheel("myosuite==2.8.5", "myosuite.whl", "0" * 64)
    assert list((cache / "downloads").iterdir()) == []


def test_a_kept_wheel_with_another_hash_is_refused(cache):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "thing.whl").write_bytes(b"something else")
    with pytest.raises(DexhotError, match=f"expected {'0' * 64}: it is damaged"):
        registry.fetch_wheel("thing==1", "thing.whl", "0" * 64)


def test_a_kept_wheel_is_used_without_network(cache, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    path = cache / "downloads" / "thing.whl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"wheel")
    assert registry.fetch_wheel("thing==1", "thing.whl", hashlib.sha256(b"wheel").hexdigest()) == path


def test_a_scratch_folder_goes_with_its_block_and_leaves_others_alone(cache):
    (cache / "downloads" / ".scratch-notes").mkdir(parents=True)
    with registry.scratch() as folder:
        (folder / "part").write_text("")
    assert [path.name for path in (cache / "downloads").iterdir()] == [".scratch-notes"]


def test_a_damaged_record_of_licences_is_named(cache, capsys):
    cache.mkdir()
    (cache / "licences.json").write_text("{")
    assert main(["datasets", "get", "grab", "--accept-licence", "grab"]) == 1
    assert "licences.json is damaged" in capsys.readouterr().err


def test_unpack_takes_only_the_parts_asked_for(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("a/one.txt", "1")
        archive.writestr("b/two.txt", "2")
    registry.unpack(tmp_path / "w.whl", tmp_path / "out", ["a"])
    assert [p.name for p in (tmp_path / "out").rglob("*.txt")] == ["one.txt"]


def test_terms_are_accepted_by_the_name_of_the_dataset_only(cache, capsys):
    assert main(["datasets", "get", "grab", "--accept-licence", "yes"]) == 1
    assert "--accept-licence takes the dataset's name, grab, not 'yes'" in capsys.readouterr().err
