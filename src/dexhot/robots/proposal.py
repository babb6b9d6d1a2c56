"""Drafts a hand.yaml for any model from its geometry, for the user to check and correct."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dexhot.robots.guess import Guess, rounded
from dexhot.robots.model_file import ModelFile

VELOCITY, EFFORT = 4.0, 0.7  # rad/s and N m, defaults if the model has none
FREE = 1.57  # rad in both directions, proposed for a joint without limits
GUIDE = "docs/add_a_hand.md"
MEANING = {
    "palm": "The palm frame in a body of the model: +x along the extended fingers, +z out of the back, y = z cross x.",
    "joints": "The order of the hand vector; joints that follow another are omitted.",
    "limits": "rad, for joints without limits in the model.",
    "velocity": "rad/s",
    "effort": "N m",
    "tips": "The centre of each fingertip's end sphere, in the link in contact.",
    "nominal": "rad, half closed: initial guess of solvers.",
    "open": "rad, fingers straight, thumb opposed.",
    "mount": "flange_T_palm on the arm.",
    "retarget": "Human keypoints: the bone that each fingertip follows, and the fraction along it.",
}


def propose(
    model_path: Path, name: str, root: str | None = None, side: str | None = None, beside: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Draft the hand.yaml of a URDF or MJCF, and remarks for its user.

    beside: the folder of the hand.yaml, to which its `model` is relative. Raises FileFormatError for a model that is
    not a hand: fewer than two fingers, or unsupported joints.
    """
    file = ModelFile(model_path, root)
    remarks = list(file.notes)
    limits = {joint: [-FREE, FREE] for joint in file.unlimited()}
    file.set_limits(limits)
    if limits:
        remarks.append(f"{', '.join(limits)}: no limits in the model (continuous); correct `limits`")
    guess = Guess(file)
    frame, guessed = guess.palm_frame(side)
    if not guessed and not side:
        remarks.append("the thumb is central, so the side is unclear: for a left hand give --side left")
    if side and guessed and side != guessed:
        remarks.append(f"it looks like a {guessed} hand, but the palm frame is that of a {side} hand (--side)")
    side = side or guessed or "right"
    fingers = guess.fingers
    order = [guess.drive_name(joint) for joint in guess.drives]
    strength = {"velocity": (VELOCITY, file.source.speeds), "effort": (EFFORT, file.source.efforts)}
    missing = {key: value for key, (value, known) in strength.items() if not known.keys() >= set(order)}
    if missing:
        remarks.append(f"not every joint of the model has {' and '.join(missing)}: the values here are defaults")
    if guess.above_palm:
        remarks.append(f"{', '.join(guess.above_palm)} move the palm; to exclude them, use --root {guess.palm_name}")
    opened, nominal = guess.postures(frame)
    config = {
        "name": name,
        "side": side,
        "model": os.path.relpath(model_path, beside or model_path.parent),
        **({"root": root} if root else {}),
        "palm": guess.in_palm_body(frame),
        "joints": order,
        **({"limits": limits} if limits else {}),
        **missing,
        "tips": {f"{f.name}_tip": {"body": guess.body_name(f.body), "pos": rounded(f.site)} for f in fingers},
        "tip_radius": round(float(np.median([finger.radius for finger in fingers])), 4),
        "nominal": rounded(nominal, 3),
        "open": rounded(opened, 3),
        "mount": {"pos": [0.0, 0.0, 0.02], "rpy": [3.14159, 0.0, 0.0]},
        "retarget": guess.correspondence(),
    }
    return config, remarks


def as_yaml(config: dict[str, Any], remarks: list[str]) -> str:
    """The text of a hand.yaml, with remarks and the meaning of each entry."""
    lines = [f"# A draft by `dexhot hand add`: check the picture beside it and correct it ({GUIDE})."]
    lines += [f"# Check: {remark}" for remark in remarks]
    for key, value in config.items():
        if key in MEANING:
            lines.append(f"# {MEANING[key]}")
        lines += _entry(key, value)
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any) -> list[str]:
    """Lines of YAML: one per entry of a dictionary of dictionaries, one for anything else."""
    if isinstance(value, dict) and any(isinstance(v, dict) for v in value.values()):
        return [f"{key}:", *("  " + line for name, inner in value.items() for line in _entry(name, inner))]
    return [f"{key}: {yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=10**6).strip()[1:-1]}"]
