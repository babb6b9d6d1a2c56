"""Models of hands: what is shipped, what you can bring, and where it goes."""

from dataclasses import dataclass

from dexhot.cli.output import console, listing, print_json


@dataclass
class Args:
    """List them."""

    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """One row per model and side; for what is missing, a sentence on how to get it."""
    from rich.table import Table

    from dexhot.humans.mano import FILES, mano_file, missing_sentence
    from dexhot.humans.open_hand import FILE, SIDES, open_hand

    hand = open_hand()
    rows = [
        {
            "model": f"open hand, {side}",
            "status": "shipped",
            "licence": "CC0",
            "file": str(FILE) if side == "right" else "the right one, mirrored",
        }
        for side in SIDES
    ]
    there = {side: mano_file(side).is_file() for side in FILES}
    for side, found in there.items():
        mirrored = not found and any(there.values())
        status = "found" if found else "mirrored from the other side" if mirrored else "missing"
        rows.append({"model": f"MANO, {side}", "status": status, "licence": "its own", "file": str(mano_file(side))})
    table = Table("model", "status", "licence", "file", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    listing(table, args.json)
    missing = None if any(there.values()) else f"MANO is missing: {missing_sentence()}"
    if missing:
        console.print(missing, soft_wrap=True, highlight=False)
    if args.json:
        size = {"vertices": len(hand.vertices), "faces": len(hand.faces), "shape_components": hand.shape_size}
        print_json({"models": rows, "missing": missing, "open_hand": size | {"conventions": sorted(hand.tables)}})
