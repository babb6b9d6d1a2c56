"""Inspect any rosbag, and repair a damaged one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, print_json, results, summary
from dexhot.progress import progress, track

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

    from dexhot.data.bags import Bag


@dataclass
class Info:
    """Show topics, types, counts, duration and problems. Exit code 1 if data is lost. Never writes."""

    bag: Annotated[Path, tyro.conf.Positional, shown("BAG")]
    """Folder of a bag, of a run or of a capture, or one file: .mcap, .db3, one of them with .zstd, or a ROS 1 .bag."""
    check: bool = False
    """Also read every message to find damaged chunks; takes minutes for a large bag."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Repair:
    """Write all readable messages of BAG to a new MCAP bag with index and metadata.yaml. BAG is not changed."""

    bag: Annotated[Path, tyro.conf.Positional, shown("BAG")]
    """A truncated, damaged, split or compressed bag, or one in another storage format, as for `info`."""
    out: Annotated[Path, shown("FOLDER")]
    """Output folder; must not exist. A failed repair leaves no files. Missing folders are created."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


Args = Annotated[Info, tyro.conf.subcommand(name="info")] | Annotated[Repair, tyro.conf.subcommand(name="repair")]


def run(args: Info | Repair) -> int:
    """Exit code 1 if `info` found lost data."""
    return _info(args) if isinstance(args, Info) else _repair(args)


def _info(args: Info) -> int:
    from dexhot.data.bags import locate, open_bag

    with open_bag(locate(args.bag), as_recorded=True) as bag:
        if args.check:
            _read_all(bag)
        to = results(args.json)
        summary(str(bag.path), _facts(bag), to)
        for text in bag.notes:
            to.print(f"note: {text}", soft_wrap=True)
        for text in bag.damage:
            to.print(f"damaged: {text}", soft_wrap=True)
        if bag.damage:
            advice = f"`dexhot bag repair {args.bag} --out FOLDER` writes what can be read to an intact bag"
            to.print(advice, soft_wrap=True)
        if args.json:
            print_json(
                {
                    "bag": str(bag.path),
                    "duration_s": bag.duration * 1e-9,
                    "start_ns": bag.start if bag.message_count else None,
                    "messages": bag.message_count,
                    "topics": [{"topic": c.topic, "type": c.msgtype, "messages": c.msgcount} for c in _sorted(bag)],
                    "notes": bag.notes,
                    "damage": bag.damage,
                }
            )
        return 1 if bag.damage else 0


def _facts(bag: "Bag") -> dict[str, str]:
    from datetime import UTC, datetime

    seconds = max(bag.duration * 1e-9, 1e-9)
    facts = {"messages": str(bag.message_count)}
    if bag.message_count:
        begun = datetime.fromtimestamp(bag.start * 1e-9, UTC)
        facts |= {"begins": f"{begun:%Y-%m-%d %H:%M:%S} UTC", "duration": f"{bag.duration * 1e-9:.2f} s"}
    for c in _sorted(bag):
        facts[c.topic] = f"{c.msgtype}, {c.msgcount} messages, {c.msgcount / seconds:.1f} Hz"
    return facts


def _sorted(bag: "Bag") -> "list[Connection]":
    return sorted(bag.connections, key=lambda c: c.topic)


def _read_all(bag: "Bag") -> None:
    for _ in track(bag.messages(), "reading messages", bag.message_count):
        pass


def _repair(args: Repair) -> int:
    from dexhot.data.bag_repair import repair
    from dexhot.data.bags import locate

    with progress("writing messages") as job:
        count, lost = repair(locate(args.bag), args.out, job)
    console.print(f"{args.out}: {count} messages", soft_wrap=True)
    for text in lost:
        console.print(f"lost: {text}", soft_wrap=True)
    if args.json:
        print_json({"bag": str(args.out), "messages": count, "lost": lost})
    return 0
