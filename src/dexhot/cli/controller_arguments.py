"""What `evaluate`, its campaigns on a rig and `bench` share of a controller's arguments: checked before the work."""

import math
from pathlib import Path
from typing import Any

from dexhot.cli.arguments import at_least
from dexhot.errors import DexhotError


def check_planning(args: Any) -> None:
    """Raise DexhotError for --planning-seconds, --planning-rollouts or --prior that `planned` cannot have."""
    from dexhot.control.onnx_file import load_card
    from dexhot.data.types import PriorCard
    from dexhot.planning.prior import prior_files

    at_least(0, planning_rollouts=args.planning_rollouts)
    if args.planning_rollouts:
        from dexhot.planning.planned import check_rollouts

        check_rollouts(args.planning_rollouts)
    if not 0.0 < args.planning_seconds < math.inf:
        raise DexhotError(f"--planning-seconds must be positive, not {args.planning_seconds:g}.")
    if args.prior not in ("", "none"):
        load_card(*prior_files(args.prior), PriorCard)


def check_demonstrations(folder: str) -> None:
    """Raise DexhotError for --demonstrations that is no folder; "" was not given."""
    if folder and not Path(folder).is_dir():
        raise DexhotError(f"--demonstrations {folder} is not a folder; name one with CLIP.npz files.")


def network_file(path: Path | None) -> str:
    """Where the .onnx file of a policy is, "" for none. Raises DexhotError if it is none."""
    if path is None:
        return ""
    from dexhot.control.policy import OnnxNetwork

    return str(OnnxNetwork(path).path.resolve())


def named_policies(given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """NAME=FILE ... as names and .onnx files. Raises DexhotError."""
    found = []
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise DexhotError(f"--policies takes NAME=FILE, such as ppo=policy.onnx, not {text}.")
        found.append((name, network_file(Path(path))))
    return tuple(found)
