"""Topics of a bag that can be played."""

from pathlib import Path

from dexhot.data import bags
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO
from dexhot.errors import FileFormatError
from dexhot.hardware.camera.bag import find_frames, is_librealsense

IMAGE, PACKED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
SUFFIXES = ("/compressedDepth", "/compressed")


def raw_topic(topic: str, msgtype: str) -> str | None:
    """The topic of the image compressed in `topic`, or None."""
    suffix = next((s for s in SUFFIXES if topic.endswith(s)), None)
    return topic.removesuffix(suffix) if suffix and msgtype == PACKED else None


def playable(bag: Path) -> set[str]:
    """The topics that playing the bag publishes, including decompressed images. Raises FileFormatError."""
    if is_librealsense(bag):
        recorded = find_frames(bag)
        return {COLOR, COLOR_INFO} | ({DEPTH, DEPTH_INFO} if recorded.depth else set())
    with bags.open_bag(bag) as reader:
        found = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
    return set(found) | {raw for topic, kind in found.items() if (raw := raw_topic(topic, kind))}


def check_playable(bag: Path, wanted: list[str]) -> None:
    """Raise FileFormatError naming the topics of `wanted` that the bag lacks, or when it has none at all."""
    there = playable(bag)
    lacking = [topic for topic in wanted if topic not in there]
    if lacking or not there:
        names = ", ".join(sorted(there)) or "none"
        what = f"{bag} lacks topics to play: {', '.join(lacking) or 'any topic'}; it has: {names}."
        raise FileFormatError(what + bags.because(bags.damage(bag)))
