"""Bags of every kind are read completely, or as far as possible with losses reported; nothing is written."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import yaml
from backports import zstd
from rosbags.interfaces import QosDurability
from rosbags.rosbag2.enums import StoragePlugin
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from bag_files import (
    HEADER,
    MAGIC,
    begin,
    body,
    channel,
    chunk,
    damage_of,
    definitions,
    end,
    header,
    message,
    message_index,
    read,
    record,
    rows,
    schema,
    snapshot,
    text,
    write,
)
from dexhot.cli import main
from dexhot.data import bags
from dexhot.data.bag_repair import repair
from dexhot.data.rosbag import compressed, mcap, sqlite
from dexhot.data.run import SCHEMA
from dexhot.errors import FileFormatError
from dexhot.hardware.camera.bag import find_frames
from dexhot.ros.record.bag_contents import check_playable

GIB = 1 << 30


@pytest.fixture
def split(tmp_path) -> Path:
    """Three parts of a recording whose metadata.yaml was never written, of which the last has number 10; and notes."""
    folder = tmp_path / "split"
    folder.mkdir()
    for part, number in enumerate((0, 2, 10)):
        write(tmp_path / f"part{number}", rows(30, 30 * part)).rename(folder / f"rec_{number}.mcap")
    (folder / "notes.txt").write_text("camera calibrated\n")
    return folder


# Reading never writes, and every part counts


def test_a_split_bag_without_metadata_is_read_in_the_order_of_its_files(split):
    assert read(split) == rows(90)
    assert bags.contents(split).counts == {"/a": 45, "/b": 45} and damage_of(split) == []


def test_the_bag_in_the_folder_of_a_run_or_a_capture_is_read(split, tmp_path):
    folder = tmp_path / "cap one"
    shutil.copytree(split, folder / "bag")
    assert len(list(bags.messages(folder))) == len(list(bags.messages(split)))
    assert bags.topics(folder) == bags.topics(split)


def test_no_way_to_read_a_bag_changes_anything(split):
    before = snapshot(split.parent)
    read(split)
    bags.topics(split)
    bags.contents(split)
    check_playable(split, ["/a"])
    assert main(["bag", "info", str(split), "--check"]) == 0
    with pytest.raises(FileFormatError, match="lacks camera topics"):
        find_frames(split)
    with pytest.raises(FileFormatError, match="lacks what an evaluation needs"):
        bags.require_topics(split, {"/c": HEADER}, "an evaluation")
    with pytest.raises(FileFormatError, match="not a recorded run"):
        from dexhot.rollouts.live import live_rollout

        live_rollout(split)
    assert snapshot(split.parent) == before


def test_the_cut_file_that_cannot_be_read_stays_as_it_is(tmp_path):
    file = write(tmp_path / "whole", rows(20))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "t_0.mcap").write_bytes(file.read_bytes()[:500])
    before = snapshot(tmp_path)
    found = read(tmp_path / "cut")
    assert 0 < len(found) < 20 and found == rows(20)[: len(found)]
    assert snapshot(tmp_path) == before


def test_a_bag_is_read_while_it_is_recorded_and_stays_whole(tmp_path):
    writer = bags.BagWriter(tmp_path / "bag")
    topic = writer.topic("/a", HEADER)
    for k in range(10):
        writer.write(topic, k, header(str(k)))
    writer.flush()
    before = snapshot(tmp_path)
    with bags.open_bag(tmp_path / "bag") as bag:
        assert sum(1 for _ in bag.messages()) == 10 and not bag.damage and "bag.mcap has no end" in " ".join(bag.notes)
    assert snapshot(tmp_path) == before
    for k in range(10, 25):
        writer.write(topic, k, header(str(k)))
    writer.close()
    assert len(read(tmp_path / "bag")) == 25 and bags.contents(tmp_path / "bag").counts == {"/a": 25}


def test_a_log_of_a_running_sqlite_recorder_is_read_and_left_alone(tmp_path):
    database = sqlite3.connect(tmp_path / "bag_0.db3")
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(Sqlite3Writer.SQLITE_SCHEMA)
    database.execute("INSERT INTO topics VALUES(1, '/a', ?, 'cdr', '', '')", (HEADER,))
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    add = "INSERT INTO messages VALUES(?, 1, ?, ?)"
    for k in range(200):
        database.execute(add, (k, k, header(f"{k} {'x' * 500}")))
    database.commit()
    size = (tmp_path / "bag_0.db3-wal").stat().st_size
    database.execute("PRAGMA cache_size=5")
    for k in range(200, 600):  # what is not committed goes to the log too, where the cache is full
        database.execute(add, (k, k, header(f"{k} {'x' * 500}")))
    assert (tmp_path / "bag_0.db3-wal").stat().st_size > size
    before = snapshot(tmp_path)
    assert [time for _, time, _ in read(tmp_path)] == list(range(200))
    assert read(tmp_path / "bag_0.db3") == read(tmp_path) and not damage_of(tmp_path)
    assert snapshot(tmp_path) == before
    database.close()


def test_a_sqlite_bag_in_log_mode_gets_no_files_beside_it(tmp_path):
    file = write(tmp_path / "bag", rows(20), StoragePlugin.SQLITE3)
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode=WAL")
    database.close()
    before = snapshot(tmp_path)
    with bags.open_bag(file) as bag:
        assert sum(1 for _ in bag.messages()) == 20 and snapshot(tmp_path) == before


def test_50_gb_without_an_index_are_opened_in_little_memory(tmp_path):
    """A sparse file: 800 chunks whose one large message is a hole, and a cut one."""
    path, large = tmp_path / "large.mcap", 64 << 20
    with path.open("wb") as stream:
        stream.write(begin())
        for k in range(800):
            content = (definitions() if k == 0 else b"") + message(2, k, header(str(k)))
            content += struct.pack("<BQHIQQ", 5, 22 + large, 1, 0, k, k)
            size = len(content) + large
            stream.write(struct.pack("<BQQQQII", 6, 40 + size, k, k, size, 0, 0) + struct.pack("<Q", size) + content)
            stream.seek(large, os.SEEK_CUR)
            stream.write(message_index(2, 1) + message_index(1, 1))
        stream.write(struct.pack("<BQ", 6, 1 << 30) + b"cut")
    assert path.stat().st_size > 50 * GIB
    program = (
        "import itertools, sys; from dexhot.data import bags\n"
        "with bags.open_bag(sys.argv[1]) as bag:\n"
        "    some = list(itertools.islice(bag.messages(c for c in bag.connections if c.topic == '/b'), 2))\n"
        "    peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "    print(bag.message_count, len(bag.damage), len(some), peak)"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    count, damage, some, peak = map(int, result.stdout.split())
    assert (count, damage, some) == (1600, 1, 2)
    assert peak < 500_000  # kB


# MCAP of every make


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_of_a_cut_chunk_the_whole_messages_are_read(tmp_path, compression):
    noise = np.random.default_rng(0).integers(97, 122, 3000, np.uint8).tobytes().decode()
    expected = [("/a", k, f"{k} {noise[k:] + noise[:k]}") for k in range(400)]
    path = tmp_path / "cut.mcap"
    whole = begin() + chunk(definitions() + body(expected), 0, 399, compression)
    path.write_bytes(whole[: len(whole) * 3 // 5])
    found = read(path)
    assert 100 < len(found) < 400 and found == expected[: len(found)]
    assert bags.contents(path).counts == {"/a": len(found)}
    [damage] = damage_of(path)
    assert "truncated in the record" in damage


@pytest.mark.parametrize("mode", ["", "storage", "message", "file"])
def test_wherever_a_file_is_cut_all_before_is_read_and_no_loss_is_silent(tmp_path, mode):
    data, expected = write(tmp_path / "whole", rows(60), mode=mode).read_bytes(), rows(60)
    (tmp_path / "cut").mkdir()
    path = tmp_path / "cut" / "bag.mcap"
    fewest = 0
    for length in range(len(MAGIC) + 20, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        try:
            with bags.open_bag(path) as bag:
                found = [(c.topic, t, bytes(d)) for c, t, d in bag.messages()]
                unsaid = not (bag.damage or bag.notes)
        except FileFormatError:
            assert mode == "file"  # of which a piece may hold not one byte
            continue
        assert [(t, r) for t, r, _ in found] == [(t, r) for t, r, _ in expected[: len(found)]]
        assert len(found) >= fewest and not unsaid
        fewest = len(found)
    assert fewest == 60 or mode == "file"


def test_a_file_cut_between_records_has_every_message_before(tmp_path):
    """A recorder that is killed, or caught at work, has often written a chunk and some of the indexes behind it."""
    data, path = write(tmp_path / "whole", rows(60)).read_bytes(), tmp_path / "cut.mcap"
    at, counts = len(MAGIC), []
    while at < len(data) - len(MAGIC):
        path.write_bytes(data[:at])
        found = read(path)
        assert found == rows(60)[: len(found)] and sum(bags.contents(path).counts.values()) == len(found)
        assert sum(1 for topic in ("/a", "/b") for _ in bags.messages(path, {topic})) == len(found)
        counts.append(len(found))
        at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    assert counts[:10] == [0, 0, 20, 20, 20, 40, 40, 40, 60, 60] and set(counts[10:]) == {60}


def layouts() -> dict[str, bytes]:
    """The same forty messages, as MCAP allows to lay them out."""
    messages = rows(40)
    first, second, third = messages[:10], messages[10:30], messages[30:]
    attachment = record(9, struct.pack("<QQ", 0, 0) + text("photo.jpg") + text("image/jpeg") + bytes(500))
    indexed = message_index(1, 5) + message_index(2, 5)
    return {
        "without chunks": begin() + definitions() + body(messages) + end(),
        "without an end": begin() + definitions() + body(messages),
        "backwards": begin() + definitions() + body(messages[::-1]) + end(),
        "chunks out of order": begin()
        + chunk(definitions() + body(third), 1030, 1039, "zstd")
        + chunk(body(first), 1000, 1009, "lz4")
        + chunk(body(second), 1010, 1029)
        + end(),
        "chunks that overlap": begin()
        + chunk(definitions() + body(messages[::2]), 1000, 1038)
        + chunk(body(messages[1::2]), 1001, 1039)
        + end(),
        "chunks and loose messages": begin()
        + chunk(definitions() + body(first), 1000, 1009)
        + indexed
        + body(second)
        + attachment
        + chunk(body(third), 1030, 1039)
        + indexed
        + end(),
        "attachments and private records": begin()
        + attachment
        + record(0x90, b"of somebody")
        + chunk(definitions() + body(messages), 1000, 1039, "zstd")
        + end(),
    }


@pytest.mark.parametrize("layout", layouts())
def test_every_layout_of_mcap_is_read_in_the_order_of_time(tmp_path, layout, monkeypatch):
    monkeypatch.setattr(mcap, "STRETCH", 1000)
    path = tmp_path / "bag.mcap"
    path.write_bytes(layouts()[layout])
    with bags.open_bag(path) as bag:
        assert all(block.chunk or block.length < 1000 for block in bag.parts[0].blocks)
    assert read(path) == rows(40) and not damage_of(path)
    assert bags.contents(path).counts == {"/a": 20, "/b": 20}
    (tmp_path / "packed.mcap.zstd").write_bytes(zstd.compress(path.read_bytes()))
    assert read(tmp_path / "packed.mcap.zstd") == rows(40)
    assert [t for t, _, _ in bags.messages(path, {"/b"})] == ["/b"] * 20


def test_what_is_out_of_order_by_more_than_the_window_is_still_all_there(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap, "WINDOW", 1500)
    late = chunk(body(rows(1)), 1000, 1000)  # a clock that was set back: it comes first by time, and last in the file
    path = tmp_path / "bag.mcap"
    indexed = message_index(1, 5) + message_index(2, 5)
    chunks = b"".join(chunk(body(rows(10, 10 * k)), 1000, 2000) + indexed for k in range(1, 6))
    path.write_bytes(begin() + definitions() + chunks + late + end())
    found = read(path)
    assert sorted(found) == sorted(rows(1) + rows(50, 10)) and not damage_of(path)
    assert found != sorted(found, key=lambda row: row[1])  # they did not all wait for it


def test_chunks_in_any_order_do_not_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap, "WINDOW", 1500)
    path = tmp_path / "bag.mcap"
    chunks = [chunk(body(rows(10, 10 * k)), 1000 + 10 * k, 1009 + 10 * k) for k in range(6)]
    path.write_bytes(begin() + definitions() + b"".join(chunks[::-1]) + end())
    assert read(path) == rows(60)


@pytest.mark.parametrize("packed", [False, True])
def test_fewer_messages_than_the_statistics_count_are_reported(tmp_path, packed):
    data = begin() + definitions() + body(rows(8)) + record(15, bytes(4))
    statistics = record(11, struct.pack("<QHIIIIQQ", 10, 1, 2, 0, 0, 0, 0, 0) + struct.pack("<I", 0))
    data += statistics + record(2, struct.pack("<QQI", len(data), 0, 0)) + MAGIC
    path = tmp_path / "bag.mcap"
    path.write_bytes(zstd.compress(data) if packed else data)
    assert read(path) == rows(8) and "lacks 2 of the 10 messages in its index" in damage_of(path)[0]


def test_a_damaged_chunk_costs_only_itself_and_is_named(tmp_path):
    data = bytearray(write(tmp_path / "bag", rows(60), mode="storage").read_bytes())
    second = data.index(b"zstd", data.index(b"zstd") + 4)
    data[second + 60 : second + 90] = bytes(30)
    path = tmp_path / "bag" / "bag.mcap"
    path.write_bytes(data)
    found = read(path)
    assert found[:20] == rows(20) and found[-20:] == rows(20, 40) and len(found) < 60
    assert "damaged at byte" in damage_of(path)[0]


@pytest.mark.parametrize(("number", "whole"), [(0, 60), (1, 40)])
def test_rubbish_is_passed_by_the_index_at_the_end(tmp_path, number, whole):
    """Over the first record of the file, or over the head of its first chunk."""
    data, offsets = bytearray(write(tmp_path / "bag", rows(60)).read_bytes()), [len(MAGIC)]
    while len(offsets) < 3:
        offsets.append(offsets[-1] + 9 + struct.unpack_from("<Q", data, offsets[-1] + 1)[0])
    data[offsets[number] : offsets[number] + 12] = bytes(12)
    (tmp_path / "bag.mcap").write_bytes(data)
    found = read(tmp_path / "bag.mcap")
    assert found == rows(60)[60 - whole :] and "is damaged at byte" in damage_of(tmp_path / "bag.mcap")[0]


def test_a_wrong_checksum_is_reported(tmp_path):
    records, path = definitions() + body(rows(10)), tmp_path / "bag.mcap"
    path.write_bytes(begin() + chunk(records, 1000, 1009, checksum=crc32(records)) + end())
    assert not damage_of(path)
    path.write_bytes(begin() + chunk(records, 1000, 1009, checksum=crc32(records) ^ 1) + end())
    assert read(path) == rows(10) and "checksum is wrong" in damage_of(path)[0]


def test_messages_that_the_index_has_and_the_file_lacks_are_reported(tmp_path):
    records = definitions() + body(rows(8))
    indexed = message_index(1, 5) + message_index(2, 5)
    (tmp_path / "bag.mcap").write_bytes(begin() + chunk(records, 1000, 1009) + indexed + end())
    assert "2 of the messages in its index are missing" in damage_of(tmp_path / "bag.mcap")[0]


@pytest.mark.parametrize("length", [2**63, 2**40, 10**6])
@pytest.mark.parametrize("kind", [3, 5, 6, 9])
def test_an_absurd_length_neither_fills_the_memory_nor_stops_the_reader(tmp_path, kind, length):
    path = tmp_path / "bag.mcap"
    path.write_bytes(begin() + definitions() + body(rows(4)) + struct.pack("<BQ", kind, length) + bytes(200))
    assert read(path) == rows(4) and damage_of(path)
    packed = tmp_path / "packed.mcap.zstd"
    packed.write_bytes(zstd.compress(path.read_bytes()))
    assert read(packed) == rows(4) and damage_of(packed)


def test_topics_that_are_not_of_ros_2_are_named_and_the_rest_is_read(tmp_path):
    odd = channel(3, "/tablet", encoding="json") + message(3, 1005, b"{}")
    (tmp_path / "bag.mcap").write_bytes(begin() + definitions() + body(rows(4)) + odd + end())
    assert read(tmp_path / "bag.mcap") == rows(4)
    assert "/tablet is not read: its message encoding is json" in damage_of(tmp_path / "bag.mcap")[0]


# metadata.yaml is not believed against the files


def edited(folder: Path, change) -> Path:
    """The bag of `folder` with another metadata.yaml."""
    path = folder / "metadata.yaml"
    entries = yaml.safe_load(path.read_text())
    change(entries["rosbag2_bagfile_information"])
    path.write_text(yaml.safe_dump(entries))
    return folder


def other_qos(information: dict) -> None:
    profile = {"history": 1, "depth": 1, "reliability": 2, "durability": 2, "liveliness": 1}
    for entry in information["topics_with_message_count"]:
        entry["topic_metadata"]["offered_qos_profiles"] = [profile]


def other_counts(information: dict) -> None:
    information["message_count"] = 7
    for entry in information["topics_with_message_count"]:
        entry["message_count"] = 0


def other_paths(information: dict) -> None:
    information["relative_file_paths"] = ["/home/somebody/renamed.mcap"]


def other_compression(information: dict) -> None:
    information["compression_mode"], information["compression_format"] = "FILE", "zstd"
    information["relative_file_paths"] = ["bag.mcap.zstd"]


def later_version(information: dict) -> None:
    information["version"] = 42


@pytest.mark.parametrize("change", [other_qos, other_counts, other_paths, other_compression, later_version])
def test_an_edited_metadata_loses_nothing(tmp_path, change):
    write(tmp_path / "bag", rows(40))
    assert read(edited(tmp_path / "bag", change)) == rows(40) and not damage_of(tmp_path / "bag")
    assert bags.contents(tmp_path / "bag").counts == {"/a": 20, "/b": 20}


@pytest.mark.parametrize("content", ["", "rosbag2_bagfile_information: [", "- a list", "\0\0\0"])
def test_a_metadata_that_cannot_be_read_is_no_hindrance(tmp_path, content):
    write(tmp_path / "bag", rows(20))
    (tmp_path / "bag" / "metadata.yaml").write_text(content)
    assert read(tmp_path / "bag") == rows(20)


def test_the_qos_of_metadata_serves_where_the_file_has_none(tmp_path):
    """As `ros2 bag convert` writes them."""
    write(tmp_path / "bag", rows(20))

    def latched(information: dict) -> None:
        other_qos(information)
        for entry in information["topics_with_message_count"]:
            entry["topic_metadata"]["offered_qos_profiles"][0]["durability"] = "transient_local"

    with bags.open_bag(edited(tmp_path / "bag", latched)) as bag:
        profiles = [c.ext.offered_qos_profiles for c in bag.connections]
    assert [p.durability for [p] in profiles] == [QosDurability.TRANSIENT_LOCAL] * 2


def test_a_part_that_metadata_does_not_name_is_read_too(split):
    """As a recorder leaves it that is killed after metadata.yaml was written anew by hand."""
    write(split.parent / "other", rows(2))
    shutil.copy(split.parent / "other" / "metadata.yaml", split / "metadata.yaml")

    def first_part(information: dict) -> None:
        information["relative_file_paths"] = ["rec_0.mcap"]

    assert read(edited(split, first_part)) == rows(90) and not damage_of(split)


def test_a_part_that_metadata_names_and_nobody_has_is_damage(tmp_path):
    write(tmp_path / "bag", rows(20)).rename(tmp_path / "bag" / "bag_0.mcap")

    def two_parts(information: dict) -> None:
        information["relative_file_paths"] = ["bag_0.mcap", "bag_1.mcap"]

    edited(tmp_path / "bag", two_parts)
    assert read(tmp_path / "bag") == rows(20) and "bag_1.mcap, which does not exist" in damage_of(tmp_path / "bag")[0]


def test_an_empty_last_part_does_not_hide_the_others(split):
    (split / "rec_11.mcap").touch()
    assert read(split) == rows(90) and "rec_11.mcap is empty" in damage_of(split)[0]


def test_a_file_of_another_recording_is_not_mixed_in(tmp_path):
    write(tmp_path / "bag", rows(20))
    write(tmp_path / "other", rows(20, 100)).rename(tmp_path / "bag" / "tuesday.mcap")
    assert read(tmp_path / "bag") == rows(20)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    with pytest.raises(FileFormatError, match=r"several recordings.*give one file"):
        read(tmp_path / "bag")


# Other storages, and a folder is what its file is


@pytest.mark.parametrize("mode", ["", "message", "file"])
@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_folder_with_or_without_metadata_is_what_its_file_is(tmp_path, plugin, mode):
    file = write(tmp_path / "bag", rows(40), plugin, mode)
    assert read(tmp_path / "bag") == rows(40)
    assert read(file) == rows(40) and not damage_of(file)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    before = snapshot(tmp_path)
    assert read(tmp_path / "bag") == rows(40) and bags.topics(file) == bags.topics(tmp_path / "bag")
    assert snapshot(tmp_path) == before


def test_of_a_file_that_is_there_both_ways_the_whole_one_is_read(tmp_path):
    """As while a recorder compresses a part that it has closed."""
    file = write(tmp_path / "bag", rows(40))
    file.with_name("bag.mcap.zstd").write_bytes(zstd.compress(file.read_bytes())[:500])
    assert read(tmp_path / "bag") == rows(40) and not damage_of(tmp_path / "bag")


def test_a_compressed_file_is_read_in_pieces_and_backwards(tmp_path):
    content = np.random.default_rng(0).integers(0, 9, 3_000_000, np.uint8).tobytes()
    (tmp_path / "packed").write_bytes(zstd.compress(content[:2_000_000]) + zstd.compress(content[2_000_000:]))
    with compressed.ZstdStream(tmp_path / "packed") as stream:
        assert stream.read() == content
        assert stream.seek(2_500_000) == 2_500_000 and stream.read(10) == content[2_500_000:2_500_010]
        assert stream.seek(1_000) == 1_000 and stream.read(10) == content[1_000:1_010]
        assert stream.seek(9_000_000) == 3_000_000 and not stream.fault


def test_a_compressed_sqlite_bag_that_does_not_fit_the_memory_is_refused_with_what_to_do(tmp_path, monkeypatch):
    file = write(tmp_path / "bag", rows(40), StoragePlugin.SQLITE3, "file")
    monkeypatch.setattr(sqlite, "MEMORY", 10_000)
    with pytest.raises(FileFormatError, match=r"decompress a copy first: zstd -d bag\.db3\.zstd"):
        read(file)


def test_wherever_a_sqlite_file_is_cut_no_message_is_made_up(tmp_path):
    data = write(tmp_path / "whole", rows(200), StoragePlugin.SQLITE3).read_bytes()
    expected, best, path = rows(200), 0, tmp_path / "cut.db3"
    for length in range(100, len(data), len(data) // 50):
        path.write_bytes(data[:length])
        try:
            found = read(path)
        except FileFormatError as e:
            assert "not a bag" in str(e) or "lacks the tables" in str(e)
            continue
        assert found == [row for row in expected if row in found] and damage_of(path)
        best = max(best, len(found))
    assert best > 100


def test_an_index_of_times_that_lacks_rows_is_not_followed(tmp_path):
    file = write(tmp_path / "bag", rows(40), StoragePlugin.SQLITE3)
    database = sqlite3.connect(file)
    database.executescript(
        "CREATE TABLE other(timestamp INTEGER); CREATE INDEX empty ON other(timestamp); PRAGMA writable_schema=ON;"
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'empty')"
        " WHERE name = 'timestamp_idx';"
    )
    database.close()
    assert read(file) == rows(40)


def ros1_bag(path: Path) -> None:
    from rosbags.rosbag1 import Writer

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("std_msgs/Header header\nfloat64 force\n", "lab_msgs/msg/Grip"))
    types, joints = store.types, "sensor_msgs/msg/JointState"
    with Writer(path) as writer:
        joint = writer.add_connection("/joints", joints, typestore=store)
        grip = writer.add_connection("/grip", "lab_msgs/msg/Grip", typestore=store, latching=1)
        for k in range(20):
            head = types[HEADER](k, types["builtin_interfaces/msg/Time"](k, 7), "palm")
            state = types[joints](head, ["a"], np.array([float(k)]), np.zeros(0), np.zeros(0))
            writer.write(joint, 1000 + k, store.serialize_ros1(state, joints))
            grasp = types["lab_msgs/msg/Grip"](head, 2.0 * k)
            writer.write(grip, 1000 + k, store.serialize_ros1(grasp, "lab_msgs/msg/Grip"))


def test_a_ros_1_bag_is_read_as_ros_2_has_its_messages(tmp_path):
    ros1_bag(tmp_path / "old.bag")
    found = list(bags.messages(tmp_path / "old.bag"))
    joints = [m for topic, _, m in found if topic == "/joints"]
    forces = [m.force for topic, _, m in found if topic == "/grip"]
    assert [m.position[0] for m in joints] == list(range(20)) and bags.stamp_ns(joints[3]) == 3_000_000_007
    assert forces == [2.0 * k for k in range(20)] and [t for _, t, _ in found[::2]] == list(range(1000, 1020))
    with bags.open_bag(tmp_path / "old.bag") as bag:
        durable = {c.topic: bool(c.ext.offered_qos_profiles) for c in bag.connections}
    assert durable == {"/joints": False, "/grip": True} and "lab_msgs/msg/Grip" not in bags.typestore().fielddefs
    (tmp_path / "cut.bag").write_bytes((tmp_path / "old.bag").read_bytes()[:-100])
    with pytest.raises(FileFormatError, match=r"ROS 1 bag that cannot be read.*rosbag reindex cut\.bag"):
        read(tmp_path / "cut.bag")


# Types of one's own


def own_type(path: Path, definition: str, *values: object) -> Path:
    """A bag with one message of lab_msgs/msg/Own, defined in the file."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, "lab_msgs/msg/Own"))
    content = bytes(store.serialize_cdr(store.types["lab_msgs/msg/Own"](*values), "lab_msgs/msg/Own"))
    records = schema(1, "lab_msgs/msg/Own", definition) + channel(1, "/own") + message(1, 5, content)
    path.write_bytes(begin() + chunk(records, 5, 5, "zstd") + message_index(1, 1) + end())
    return path


def test_types_come_from_the_bag_and_do_not_clash(tmp_path):
    one = own_type(tmp_path / "one.mcap", "float64 force", 2.5)
    two = own_type(tmp_path / "two.mcap", "string name\nint32 count", "b", 3)
    for _ in range(2):
        assert [m.force for _, _, m in bags.messages(one)] == [2.5]
        assert [(m.name, m.count) for _, _, m in bags.messages(two)] == [("b", 3)]
    assert "lab_msgs/msg/Own" not in bags.typestore().fielddefs


def test_a_standard_type_of_another_distribution_is_decoded_by_its_own_definition(tmp_path):
    definition = "string frame_id\nfloat32 sharpness"
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, HEADER))
    content = bytes(store.serialize_cdr(store.types[HEADER]("palm", 0.5), HEADER))
    records = schema(1, HEADER, definition) + channel(1, "/odd") + message(1, 5, content)
    (tmp_path / "bag.mcap").write_bytes(begin() + records + end())
    [(_, _, found)] = bags.messages(tmp_path / "bag.mcap")
    assert (found.frame_id, found.sharpness) == ("palm", 0.5)


IDL = """module lab_msgs {
  module msg {
    struct Grip {
      std_msgs::msg::Header header;
      double force;
    };
  };
};
"""


def test_a_type_in_idl_is_decoded_and_kept(tmp_path):
    """As rosbag2 writes them, with the types that it is made of in parts of their own."""
    bar = "=" * 80 + "\n"
    clock = "module builtin_interfaces { module msg { struct Time { int32 sec; uint32 nanosec; }; }; };\n"
    definition = f"{bar}IDL: lab_msgs/msg/Grip\n{IDL}{bar}IDL: builtin_interfaces/msg/Time\n{clock}"
    content = header("palm")[:-1] + bytes(1)
    content += bytes(-(len(content) - 4) % 8) + struct.pack("<d", 2.5)
    kind = record(3, struct.pack("<H", 1) + text("lab_msgs/msg/Grip") + text("ros2idl") + text(definition))
    path = tmp_path / "bag.mcap"
    path.write_bytes(begin() + kind + channel(1, "/grip") + message(1, 5, content) + end())
    repair(path, tmp_path / "new")
    for bag in (path, tmp_path / "new"):
        assert [(m.header.frame_id, m.force) for _, _, m in bags.messages(bag)] == [("palm", 2.5)]


def test_a_message_that_is_not_of_its_type_is_refused_with_its_topic(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(begin() + definitions() + message(1, 5, b"\0\1\0\0\xff") + end())
    with pytest.raises(FileFormatError, match=f"a message of /a is not a {HEADER}"):
        read(tmp_path / "bag.mcap")


# What is no bag


def database(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos(id INTEGER)")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.mcap", b"", "is empty: no data reached the disk"),
        ("a.mcap", bytes(9000), "begins with zeros"),
        ("a.mcap", b"just some notes", "is not a bag: it begins with b'just som'"),
        ("a.db3", b"just some notes", "an MCAP file, a .db3 file"),
        ("a.db3", b"SQLite format 3\0" + bytes(50), "damaged sqlite3 file"),
        ("a.db3.zstd", zstd.compress(b"just some notes"), "is compressed and is not a bag"),
        ("a.mcap.zstd", zstd.compress(bytes(range(256)) * 99)[:30], "nothing of it can be decompressed"),
        ("a.bag", b"#ROSBAG V1.2\n", "version 1; convert a copy"),
        ("a.mcap", b"#ROSBAG V2.0\n" + bytes(50), "rosbag reindex"),
    ],
)
def test_what_is_no_bag_is_refused_with_the_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(FileFormatError) as refusal:
            read(path)
        assert reason in str(refusal.value)


def test_a_database_that_is_no_bag_is_refused(tmp_path):
    database(tmp_path / "photos.db3")
    with pytest.raises(FileFormatError, match="lacks the tables topics and messages"):
        read(tmp_path / "photos.db3")


def test_a_folder_without_a_bag_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileFormatError, match="has no bag file"):
        read(tmp_path)


def test_what_a_damaged_bag_lacks_is_refused_with_the_damage(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(begin() + definitions() + body(rows(1)) + b"\5cut")
    for refused in (lambda: check_playable(tmp_path / "bag.mcap", ["/b"]), lambda: find_frames(tmp_path / "bag.mcap")):
        with pytest.raises(FileFormatError, match=r"lacks .*The bag is damaged: .*truncated in the record"):
            refused()


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_path_may_have_any_characters(tmp_path, plugin):
    file = write(tmp_path / "bag", rows(20), plugin).rename(tmp_path / f"a?b#c%20 é{plugin.name}")
    assert read(file) == rows(20)


def test_what_a_file_is_does_not_depend_on_its_name(tmp_path):
    shutil.copy(write(tmp_path / "bag", rows(20), StoragePlugin.SQLITE3), tmp_path / "named.mcap")
    assert read(tmp_path / "named.mcap") == rows(20)


# dexhot bag info


def test_info_shows_what_a_bag_holds_and_what_is_wrong(tmp_path, capsys):
    file = write(tmp_path / "bag", rows(60))
    assert main(["bag", "info", str(tmp_path / "bag"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["messages"] == 60 and found["damage"] == [] and found["start_ns"] == 1000
    assert found["topics"] == [{"topic": t, "type": HEADER, "messages": 30} for t in ("/a", "/b")]
    file.write_bytes(file.read_bytes()[:2500])
    assert main(["bag", "info", str(tmp_path / "bag"), "--json"]) == 1
    output = capsys.readouterr()
    found = json.loads(output.out.splitlines()[-1])
    assert found["messages"] < 60 and "is truncated" in found["damage"][0] and "dexhot bag repair" in output.err


# The cases from the field


def test_the_cases_give_the_right_numbers(shared_cases, tmp_path):
    counts = {
        "01-split-bag-nometa": 3177,
        "03-qos-edited/talker": 20,
        "03-qos-edited/talker/talker.mcap": 20,
        "03-qos-edited/qos_one": 60,
        "07-file-compressed-bag/file_zstd_mcap": 200,
        "07-file-compressed-bag/file_zstd_db3": 200,
    }
    for name, count in counts.items():
        before = snapshot(shared_cases / name.split("/")[0])
        assert sum(1 for _ in bags.serialized(shared_cases / name)) == count
        assert snapshot(shared_cases / name.split("/")[0]) == before
    assert len(list(find_frames(shared_cases / "03-qos-edited" / "qos_one"))) == 15
    assert bags.contents(shared_cases / "03-qos-edited" / "talker").counts == {"/rosout": 10, "/topic": 10}
    (tmp_path / "t").mkdir()
    data = (shared_cases / "01-split-bag-nometa" / "multiple_files_0.mcap").read_bytes()
    (tmp_path / "t" / "t_0.mcap").write_bytes(data[: len(data) * 6 // 10])
    before = snapshot(tmp_path)
    assert len(list(bags.serialized(tmp_path / "t"))) > 0 and snapshot(tmp_path) == before


def test_topics_are_found_in_chunks_that_hold_no_message_of_theirs(tmp_path):
    """As a killed recorder leaves them: the definitions of a topic and of its type stand before its first message."""
    first, second = rows(4)[::2], rows(4)[1::2]  # on /a, on /b
    late = message(3, 2000, header("late"))
    chunks = (
        chunk(definitions() + body(first), 1000, 1002) + message_index(1, 2),
        chunk(body(second), 1001, 1003) + message_index(2, 2),
        chunk(channel(3, "/c"), 2000, 2000) + chunk(late, 2000, 2000) + message_index(3, 1),
    )
    path = tmp_path / "bag.mcap"
    path.write_bytes(begin() + b"".join(chunks))
    assert [topic for topic, _, _ in read(path)] == ["/a", "/b", "/a", "/b", "/c"]
    assert not damage_of(path)


def test_wrong_bytes_in_a_chunk_of_our_recorder_are_reported(tmp_path):
    """Its chunks carry a checksum of their content."""
    with bags.BagWriter(tmp_path / "bag") as writer:
        topic = writer.topic("/a", "std_msgs/msg/Header")
        noise = np.random.default_rng(0).bytes(20_000).hex()
        for k in range(20):
            writer.write(topic, k, header(noise[1000 * k : 1000 * (k + 1)]))
    data = bytearray((tmp_path / "bag" / "bag.mcap").read_bytes())
    first = len(MAGIC) + 9 + struct.unpack_from("<Q", data, len(MAGIC) + 1)[0]  # the chunk, behind the file's head
    data[first + struct.unpack_from("<Q", data, first + 1)[0] // 2] ^= 0x01
    (tmp_path / "wrong.mcap").write_bytes(data)
    for path, wrong in ((tmp_path / "bag", False), (tmp_path / "wrong.mcap", True)):
        with bags.open_bag(path) as bag:
            list(bag.messages())
            assert bool(bag.damage) == wrong


NAMED = [("/robot1/safety/state", 1, "a"), ("/robot1/leap/command", 2, "b"), ("/safety/estop_input", 3, "c")]


def test_topics_are_read_without_the_namespace_of_the_robot(tmp_path):
    write(tmp_path / "bag", [*NAMED, ("/mocap/pose", 4, "d")])
    expected = {"/safety/state", "/leap/command", "/safety/estop_input", "/mocap/pose"}
    assert bags.topics(tmp_path / "bag").keys() == expected == {t for t, _, _ in bags.messages(tmp_path / "bag")}
    bags.require_topics(tmp_path / "bag", {"/leap/command": HEADER}, "a test")
    with bags.open_bag(tmp_path / "bag", as_recorded=True) as bag:
        assert {c.topic for c in bag.connections} == {*(name for name, _, _ in NAMED), "/mocap/pose"}


def test_a_bag_of_several_robots_is_read_as_it_is(tmp_path):
    write(tmp_path / "bag", [*NAMED, ("/robot2/safety/state", 4, "d")])
    assert "/robot1/leap/command" in bags.topics(tmp_path / "bag")


@pytest.mark.parametrize(("namespace", "there"), [("robot1", "/leap/command"), ("", "/robot1/leap/command")])
def test_the_runs_own_entry_of_its_namespace_counts_more(tmp_path, namespace, there):
    write(tmp_path / "bag", [*NAMED, ("/robot2/safety/state", 4, "d")][1 if namespace else 0 :])
    entries = {"schema": SCHEMA, "version": 1, "arguments": {"namespace": namespace}}
    (tmp_path / "run.json").write_text(json.dumps(entries))
    assert there in bags.topics(tmp_path / "bag")


def test_a_repaired_bag_keeps_its_names(tmp_path):
    write(tmp_path / "bag", NAMED)
    repair(tmp_path / "bag", tmp_path / "whole")
    with bags.open_bag(tmp_path / "whole", as_recorded=True) as bag:
        assert {c.topic for c in bag.connections} == {name for name, _, _ in NAMED}
