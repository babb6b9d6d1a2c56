"""The files of a bag, in order: a single file, or a folder's parts with or without metadata.yaml.

metadata.yaml gives the order of the files, and the QoS if they lack it; everything else is read from the files.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from rosbags.interfaces import Qos

from dexhot.data.rosbag.compressed import ZSTD, ZstdStream
from dexhot.data.rosbag.part import Part, parse_qos
from dexhot.data.yaml_file import load_yaml
from dexhot.errors import FileFormatError

SUFFIXES = (".mcap", ".db3", ".bag")
COMPRESSED = ".zstd"
KINDS = "an MCAP file, a .db3 file of sqlite3, one of those compressed with zstd, or a ROS 1 .bag"
ROS1_MAGIC = b"#ROSBAG V"


@dataclass
class Listing:
    """The files of a bag in order, and further entries of metadata.yaml."""

    files: list[Path]
    qos: dict[str, list[Qos]] = field(default_factory=dict)  # topic -> offered
    damage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_files(path: Path) -> Listing:
    """The files to read of `path`, a file or a folder. Raises FileFormatError if there are none."""
    if path.is_file():
        return Listing([path])
    if not path.exists():
        raise FileFormatError(f"{path} does not exist; give the folder of a bag, or a file of one.")
    found = bag_files(path)
    if not found:
        raise FileFormatError(f"{path} has no bag file: no .mcap, .db3 or .bag, with or without {COMPRESSED}.")
    listing = Listing([])
    entries = _metadata(path, listing)
    paths = entries.get("relative_file_paths")
    names = (_plain(PurePosixPath(str(name)).name) for name in (paths if isinstance(paths, list) else []))
    named = list(dict.fromkeys(names))
    present = [name for name in named if name in found]
    if not present:
        if named:
            there = ", ".join(found)
            listing.notes.append(
                f"{path}: metadata.yaml names {', '.join(named)}; the existing {there} is read instead"
            )
        listing.files = [found[name] for name in _one_recording(path, list(found))]
        return listing
    families = {_family(name) for name in present}
    more = [name for name in found if name not in named and _family(name) in families]
    if lacking := [name for name in named if name not in found]:
        listing.damage.append(f"{path}: metadata.yaml names {', '.join(lacking)}, which does not exist")
    if more:
        listing.notes.append(f"{path}: metadata.yaml does not name {', '.join(more)}; it is read too")
    if others := [name for name in found if name not in named and name not in more]:
        listing.notes.append(
            f"{path}: {', '.join(others)} is not read: according to metadata.yaml it is not part of this recording"
        )
    order = sorted(present + more, key=_counting) if more else present
    listing.files = [found[name] for name in order]
    return listing


def bag_files(path: Path) -> dict[str, Path]:
    """name without .zstd -> bag file in a folder; if a file exists both ways, the one to read."""
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir(), key=lambda p: _counting(p.name)):
        name = _plain(file.name)
        if file.is_file() and name.endswith(SUFFIXES) and not (name in found and file.name.endswith(COMPRESSED)):
            found[name] = file
    return found


def open_file(path: Path) -> Part:
    """Open `path` with the reader for its content, regardless of its name. Raises FileFormatError if it is not a
    bag."""
    from dexhot.data.rosbag.mcap import MAGIC as MCAP_MAGIC
    from dexhot.data.rosbag.mcap import McapFile
    from dexhot.data.rosbag.sqlite import MAGIC as SQLITE_MAGIC
    from dexhot.data.rosbag.sqlite import SqliteFile

    with path.open("rb") as stream:
        head = stream.read(16)
    if compressed := head.startswith(ZSTD):
        with ZstdStream(path) as unpacked:
            head, fault = unpacked.read(16) or b"", unpacked.fault
        if fault and not head:
            raise FileFormatError(f"{path} is compressed, and nothing of it can be decompressed: {fault}.")
    if head.startswith(MCAP_MAGIC):
        return McapFile(path, compressed)
    if head == SQLITE_MAGIC:
        return SqliteFile(path, compressed)
    if head.startswith(ROS1_MAGIC + b"2") and not compressed:
        from dexhot.data.rosbag.ros1 import Ros1File

        return Ros1File(path)
    raise FileFormatError(f"{path} {_what(head, compressed)}; a bag is {KINDS}.")


def _what(head: bytes, compressed: bool) -> str:
    """Description of a file that is not a bag."""
    if compressed:
        what = "is a compressed ROS 1 bag: decompress a copy of it" if head.startswith(ROS1_MAGIC) else "is not a bag"
        return f"is compressed and {what}"
    if not head:
        return "is empty: no data reached the disk"
    if not head.strip(b"\0"):
        return "begins with zeros: no data reached the disk"
    if head.startswith(ROS1_MAGIC):
        return "is a ROS 1 bag of version 1; convert a copy to version 2 with ROS 1's `rosbag fix`"
    return f"is not a bag: it begins with {head[:8]!r}"


def _metadata(path: Path, listing: Listing) -> dict[str, Any]:
    """metadata.yaml as far as it is readable; its errors are added to the notes."""
    file = path / "metadata.yaml"
    if not file.is_file():
        if not any(path.glob("*.bag")):  # ROS 1 has none
            why = "it is still being recorded, its recorder was killed, or the files were copied without it"
            listing.notes.append(f"{path} has no metadata.yaml: {why}")
        return {}
    try:
        entries: dict[str, Any] = load_yaml(file)["rosbag2_bagfile_information"]
        topics = [entry["topic_metadata"] for entry in entries.get("topics_with_message_count") or []]
        listing.qos = {topic["name"]: parse_qos(topic.get("offered_qos_profiles")) for topic in topics}
        entries.get("relative_file_paths")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as e:
        listing.notes.append(f"{file} cannot be read ({str(e).splitlines()[0]}): the files are read without it")
        return {}
    return entries


def _one_recording(path: Path, names: list[str]) -> list[str]:
    """`names`, if they can be parts of one recording. Raises FileFormatError."""
    if len({_family(name) for name in names}) > 1:
        raise FileFormatError(
            f"{path} has several recordings ({', '.join(names)}) and no metadata.yaml that selects one; give one file."
        )
    return names


def _plain(name: str) -> str:
    return name.removesuffix(COMPRESSED)


def _family(name: str) -> tuple[str, str]:
    """(name without the number of the part, suffix): the same for all parts of a recording."""
    stem, suffix = name.rsplit(".", 1)
    return re.sub(r"_\d+$", "", stem), suffix


def _counting(name: str) -> list[tuple[int, str]]:
    """Sort key that puts name_2 before name_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
