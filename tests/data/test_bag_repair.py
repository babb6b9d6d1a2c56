"""`dexhot bag repair` writes all that can be read; when it fails nothing is left, and the source is untouched."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.enums import StoragePlugin
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from bag_files import (
    HEADER,
    begin,
    body,
    channel,
    chunk,
    damage_of,
    definitions,
    end,
    message,
    message_index,
    read,
    rows,
    schema,
    snapshot,
    write,
)
from dexhot.cli import main
from dexhot.data import bags
from dexhot.data.bag_repair import repair
from dexhot.errors import DexhotError, FileFormatError

NEVER = QosTime(2147483647, 4294967295)
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    3,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    NEVER,
    NEVER,
    QosLiveliness.AUTOMATIC,
    NEVER,
    False,
)


@pytest.fixture
def cut(tmp_path) -> Path:
    """A bag whose third chunk is cut, with a custom type, which lies in a folder with notes."""
    folder = tmp_path / "cut"
    folder.mkdir()
    data = write(tmp_path / "whole", rows(60)).read_bytes()
    (folder / "cut_0.mcap").write_bytes(data[: len(data) * 6 // 10])
    (folder / "notes.txt").write_text("calibrated")
    shutil.rmtree(tmp_path / "whole")
    return folder


def test_what_can_be_read_becomes_a_bag_for_everyone(cut, tmp_path, capsys):
    before = snapshot(cut)
    assert main(["bag", "repair", str(cut), "--out", str(tmp_path / "new"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert snapshot(cut) == before and told["lost"] == damage_of(cut) != []
    assert 20 < told["messages"] < 60 and read(tmp_path / "new") == rows(told["messages"])
    with Reader(tmp_path / "new") as reader:
        assert reader.message_count == told["messages"] == sum(1 for _ in reader.messages())
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["metadata.yaml", "new.mcap"]
    assert not damage_of(tmp_path / "new") and sorted(p.name for p in tmp_path.iterdir()) == ["cut", "new"]


def test_qos_and_types_of_ones_own_are_kept(tmp_path):
    definition = "std_msgs/Header header\nfloat64 force\n"
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(definition, "lab_msgs/msg/Grip"))
    header = store.types[HEADER](store.types["builtin_interfaces/msg/Time"](1, 2), "palm")
    content = store.serialize_cdr(store.types["lab_msgs/msg/Grip"](header, 4.5), "lab_msgs/msg/Grip")
    from rosbags.rosbag2 import Writer

    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        grip = writer.add_connection("/grip", "lab_msgs/msg/Grip", typestore=store, offered_qos_profiles=[LATCHED])
        writer.add_connection("/silent", HEADER, typestore=store)
        for k in range(5):
            writer.write(grip, 10 + k, content)
    assert repair(tmp_path / "bag", tmp_path / "new") == (5, [])
    with bags.open_bag(tmp_path / "bag") as old, bags.open_bag(tmp_path / "new") as new:
        kept = [[(c.topic, c.msgtype, c.msgcount, c.digest, c.ext) for c in bag.connections] for bag in (old, new)]
        definitions = [{c.msgtype: c.msgdef.data for c in bag.connections} for bag in (old, new)]
    assert [row[:3] + row[4:] for row in kept[0]] == [row[:3] + row[4:] for row in kept[1]]
    assert kept[0][0][4].offered_qos_profiles == [LATCHED] and definitions[0] == definitions[1]
    with Reader(tmp_path / "new") as reader:
        assert {c.topic: c.digest for c in reader.connections} == {row[0]: row[3] for row in kept[0]}
    assert [m.force for _, _, m in bags.messages(tmp_path / "new")] == [4.5] * 5


def test_a_type_that_nobody_defines_is_kept_as_bytes(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(
        begin() + schema(1, "lab_msgs/msg/Secret", "") + channel(1, "/secret") + message(1, 5, b"\0\1\0\0abcd") + end()
    )
    repair(tmp_path / "bag.mcap", tmp_path / "new")
    with bags.open_bag(tmp_path / "new") as bag:
        [(connection, time, data)] = list(bag.messages())
    assert (connection.topic, connection.msgtype, time, data) == ("/secret", "lab_msgs/msg/Secret", 5, b"\0\1\0\0abcd")


def test_times_are_kept_where_parts_overlap(tmp_path):
    (tmp_path / "bag").mkdir()
    for number, first in enumerate((10, 0)):
        write(tmp_path / f"p{number}", rows(10, first)).rename(tmp_path / "bag" / f"bag_{number}.mcap")
    assert read(tmp_path / "bag") == rows(10, 10) + rows(10)  # in file order, as `ros2 bag play` has them
    repair(tmp_path / "bag", tmp_path / "new")
    assert read(tmp_path / "new") == rows(20)


def test_two_definitions_of_one_type_are_refused(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(
        begin()
        + schema(1, "lab_msgs/msg/Own", "int32 a")
        + schema(2, "lab_msgs/msg/Own", "int32 b")
        + channel(1, "/a", of=1)
        + channel(2, "/b", of=2)
        + message(1, 5, bytes(8))
        + message(2, 6, bytes(8))
        + end()
    )
    with pytest.raises(FileFormatError, match="two definitions of lab_msgs/msg/Own"):
        repair(tmp_path / "bag.mcap", tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["bag.mcap"]


def left(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError()])
def test_a_repair_that_fails_leaves_nothing(cut, tmp_path, error):
    before = snapshot(cut)

    def fail(done: int, of: int) -> None:
        raise error

    expected = DexhotError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        repair(cut, tmp_path / "new", fail)
    assert left(tmp_path) == ["cut"] and snapshot(cut) == before


def test_what_exists_is_never_written_over(cut, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(FileFormatError, match="never overwritten"):
        repair(cut, tmp_path / "new")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileFormatError, match="never overwritten"):
        repair(cut, tmp_path / "dangling")
    assert not any((tmp_path / "new").iterdir())


def test_what_comes_up_during_a_repair_is_not_written_over(cut, tmp_path):
    with pytest.raises(FileFormatError, match="was created meanwhile"):
        repair(cut, tmp_path / "new", lambda done, of: (tmp_path / "new").mkdir(exist_ok=True))
    assert left(tmp_path) == ["cut", "new"] and not any((tmp_path / "new").iterdir())


def test_the_source_stays_as_it_is_even_when_it_is_asked_for(cut, tmp_path):
    with pytest.raises(FileFormatError, match="must not be modified"):
        repair(cut, cut / "new")
    with pytest.raises(FileFormatError, match="is not a folder; create it first"):
        repair(cut, tmp_path / "nowhere" / "new")
    with pytest.raises(DexhotError, match="does not exist"):
        repair(tmp_path / "nothing", tmp_path / "new")
    assert left(tmp_path) == ["cut"]


def test_a_bag_without_a_message_is_not_repaired(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(begin() + definitions() + b"\6")
    with pytest.raises(FileFormatError, match=r"nothing to repair.*is truncated"):
        repair(tmp_path / "bag.mcap", tmp_path / "new")
    assert left(tmp_path) == ["bag.mcap"]


def test_a_repair_does_not_hold_the_bag_in_memory(tmp_path):
    """At most a few chunks: of 64 MB in chunks of 1 MB, far less is ever allocated."""
    import tracemalloc

    large = b"\0\1\0\0" + bytes(1 << 20)
    with (tmp_path / "bag.mcap").open("wb") as stream:
        stream.write(begin())
        for k in range(64):
            stream.write(chunk((definitions() if k == 0 else b"") + message(1, k, large), k, k) + message_index(1, 1))
    tracemalloc.start()
    repair(tmp_path / "bag.mcap", tmp_path / "new")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20 and bags.contents(tmp_path / "new").counts == {"/a": 64}


def test_a_body_without_an_index_is_repaired(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(begin() + definitions() + body(rows(8)))
    assert repair(tmp_path / "bag.mcap", tmp_path / "new")[0] == 8 and read(tmp_path / "new") == rows(8)
