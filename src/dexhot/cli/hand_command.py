"""Robot hands: draft a hand.yaml for your own model, list the shipped hands, show one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, print_json, results, summary

if TYPE_CHECKING:
    from dexhot.robots.robot_hand import RobotHand


@dataclass
class Add:
    """Draft the hand.yaml of a URDF or MJCF and draw it: palm frame, fingertips, joints. Check the draft and correct
    it."""

    model: Annotated[Path, tyro.conf.Positional, shown("MODEL")]
    """A URDF or MJCF (.xml) of a hand, or of a robot with a hand."""
    name: Annotated[str | None, shown("NAME")] = None
    """Name of the hand. Default: the file's name."""
    root: Annotated[str | None, shown("BODY")] = None
    """Base link (URDF) or body (MJCF) of the hand within a robot's model."""
    side: Annotated[Literal["right", "left"] | None, shown("{right,left}")] = None
    """Hand side. Default: inferred from the closing direction and the thumb."""
    out: Annotated[Path | None, shown("FILE.yaml")] = None
    """Output hand.yaml; a picture is written beside it. Default: hand.yaml beside the model. Missing folders are
    created."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Show:
    """Show a hand's joints, coupled joints, fingertips, and corrections of its model."""

    hand: Annotated[str, tyro.conf.Positional, shown("HAND")]
    """A shipped hand, or the path of a hand.yaml."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also render the hand, with palm axes and fingertips, to this PNG."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class List:
    """List the shipped hands."""

    json: bool = False
    """Print one JSON object on the last line of stdout."""


Args = (
    Annotated[Add, tyro.conf.subcommand(name="add")]
    | Annotated[Show, tyro.conf.subcommand(name="show")]
    | Annotated[List, tyro.conf.subcommand(name="list")]
)


def run(args: Add | Show | List) -> None:
    """Add, show or list."""
    {Add: _add, Show: _show, List: _list}[type(args)](args)  # type: ignore[operator]


def _add(args: Add) -> None:
    from dexhot.data.files import write_text
    from dexhot.errors import DexhotError
    from dexhot.robots.proposal import as_yaml, propose
    from dexhot.robots.robot_hand import hand_from_config

    out = args.out or args.model.parent / "hand.yaml"
    if out.suffix not in (".yaml", ".yml"):
        raise DexhotError(f"--out {out} must end in .yaml, to distinguish it from the name of a shipped hand.")
    picture = out.with_suffix(".png")
    for path in (out, picture):
        if path.exists():
            raise DexhotError(f"{path} exists already; give another --out, or move it away. Nothing was written.")
    config, remarks = propose(args.model, args.name or args.model.stem, args.root, args.side, beside=out.parent)
    hand = hand_from_config(out.absolute(), config)
    remarks += [note for note in hand.notes if note not in remarks]
    write_text(out, as_yaml(config, remarks))
    files = {"hand": str(out)} | _drawn(hand, picture)
    summary(f"hand add {config['name']}", _rows(hand) | files)
    for remark in remarks:
        console.print(f"check: {remark}", soft_wrap=True)
    if args.json:
        print_json({**_facts(hand), **files, "remarks": remarks})


def _show(args: Show) -> None:
    from dexhot.robots.robot_hand import load_hand

    hand = load_hand(args.hand)
    files = _drawn(hand, args.picture) if args.picture else {}
    summary(f"hand {hand.name}", _rows(hand) | files)
    if args.json:
        print_json({"hand": hand.name, **_facts(hand), "notes": list(hand.notes), **files})


def _list(args: List) -> None:
    from rich.table import Table

    from dexhot.robots.robot_hand import list_hands, load_hand

    hands = [load_hand(name) for name in list_hands()]
    table = Table("hand", "side", "joints", "coupled", "fingertips", box=None, pad_edge=False)
    for hand in hands:
        table.add_row(hand.name, hand.side, str(len(hand.joints)), str(len(hand.coupled)), ", ".join(hand.tip_sites))
    results(args.json).print(table)
    if args.json:
        print_json({"hands": {hand.name: _facts(hand) for hand in hands}})


def _facts(hand: "RobotHand") -> dict[str, Any]:
    return {
        "side": hand.side,
        "joints": {j.name: [round(j.lower, 4), round(j.upper, 4)] for j in hand.joints},
        "coupled": hand.coupled,
        "tips": list(hand.tip_sites),
    }


def _rows(hand: "RobotHand") -> dict[str, Any]:
    """The facts as lines of text."""
    joints = [f"{j.name} {j.lower:.3g} to {j.upper:.3g} rad" for j in hand.joints]
    coupled = [f"{joint} follows {drive}" if drive else f"{joint} is held" for joint, drive in hand.coupled.items()]
    rows = {
        "side": hand.side,
        "joints": "\n".join(joints),
        "coupled": "\n".join(coupled),
        "tips": ", ".join(hand.tip_sites),
    }
    return {name: text for name, text in rows.items() if text}


def _drawn(hand: "RobotHand", path: Path) -> dict[str, str]:
    """Render the picture if this machine can."""
    from PIL import Image

    from dexhot.data.files import replacing
    from dexhot.simulation.hand_picture import hand_picture
    from dexhot.simulation.renderer import NoRendererError

    try:
        image = hand_picture(hand)
    except NoRendererError as e:
        console.print(str(e))
        return {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="png")
    return {"picture": str(path)}
