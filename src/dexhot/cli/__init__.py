"""The `dexhot` command: one module per subcommand, imported only when it runs.

Each module has a dataclass (or a union of dataclasses) `Args`, read by tyro from the command line, and `run(args)`.
"""

import importlib
import json
import os
import shlex
import sys

from dexhot import __version__
from dexhot.cli.interrupts import keep_interrupts
from dexhot.errors import DexhotError, meant, one_sentence

COMMANDS = {
    "doctor": "check this machine: what works, what is missing and how to install it",
    "demo": "the whole pipeline on the embedded rig, with a report",
    "up": "bring up a graph of ROS nodes without ros2 launch: dexhot up real_track rig:=sim",
    "params": "print a node's parameters with their defaults, as a file to edit",
    "replay": "replay a recorded run through its controller, or play any bag",
    "teleop": "teleoperation: work the clutch and the assistance, save a run as a demonstration",
    "capture": "record a camera and the robot's state",
    "bag": "inspect a bag, or repair a damaged one",
    "datasets": "list and get datasets of human demonstrations",
    "generate": "generate parametric demonstrations from a seed",
    "synth": "render clips as an RGB-D camera sees them, with their truth",
    "object": "add a scanned object, list the objects",
    "hand": "draft the hand.yaml of a robot hand, list and show hands",
    "urdf": "export the arm with a hand as one URDF, for RViz, MoveIt and others",
    "models": "models of hands and for perception: what is shipped, what you can get or bring, and where it goes",
    "perceive": "find hands and an object in a recording: masks, keypoints, poses",
    "fit": "fit hand and object to a recording, or a hand model to keypoints",
    "retarget": "retarget a human trajectory to a robot reference",
    "mine": "search actions that make a reference succeed in physics: a demonstration",
    "train": "train what the controllers use, and make the demonstrations to train on",
    "evaluate": "score a demonstration by simulating it again, a recorded run as it is, or a controller on clips",
    "export": "export demonstrations as a LeRobot dataset, or the tracking task for Isaac Gym",
    "report": "write the HTML report of a run",
    "view": "view any file of the data pipeline in the browser",
    "leap": "the LEAP hand alone: check, calibrate, reboot, replace a servo, simulate",
    "safety": "start, stop or reset a running graph, or show its state",
    "franka": "the Franka arm alone: check, recover, simulate",
    "bench": "run a benchmark: retarget, physics, mine, demonstrations, policy, prior, dextrack, homotopy, sim, "
    "assist, loop, leap, franka, transport, raster, faults, fit, objectpose, perceive, ekf, teleop, video, camera",
}
NESTED = {  # commands of their own whose names start as that of another one, which takes a file
    ("evaluate", "fit"): "evaluate fits: a paper's protocol on a copy of its dataset, or without truth",
}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand. Returns 0, 1 (failed, with a reason) or 130 (interrupted).

    Errors of the operating system and missing packages are printed as one sentence too, without a traceback unless
    $DEXHOT_TRACEBACK is set.
    """
    if argv is None:
        keep_interrupts()
        argv = sys.argv[1:]
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 1
    if argv[0] == "--version":
        print(__version__)
        return 0
    if argv[0] == "--print-completion":
        return _print_completion(argv[1:])
    if argv[0] not in COMMANDS:
        print(
            f"dexhot: error: no command {argv[0]!r}; one of {', '.join(COMMANDS)}.{meant(argv[0], COMMANDS)}",
            file=sys.stderr,
        )
        return 1
    if number := empty_argument(argv):
        print(f"dexhot: error: argument {number} is empty: an unset variable of the shell?", file=sys.stderr)
        return 1
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # on small matrices its threads wait for each other
    import tyro

    from dexhot.cli.arguments import check_files, gathered, plural

    words, args = 2 if tuple(argv[:2]) in NESTED else 1, None
    try:
        module = importlib.import_module(f"dexhot.cli.{'_'.join(argv[:words])}_command")
        flags = (tyro.conf.FlagCreatePairsOff,)  # --json, but no --no-json
        check_files(argv[words:], module.Args)
        prog, rest = f"dexhot {' '.join(argv[:words])}", gathered(argv[words:], plural(module.Args))
        args = tyro.cli(module.Args, prog=prog, description=module.__doc__, args=rest, config=flags)
        return module.run(args) or 0
    except BrokenPipeError:  # the reader of our output has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DexhotError, OSError, ImportError, MemoryError) as e:
        text = one_sentence(e)
        if text is None or os.environ.get("DEXHOT_TRACEBACK"):
            raise
        print(f"dexhot: error: {text}", file=sys.stderr)
        if "--json" in argv:
            print(json.dumps({"error": str(text)}))
        return 1
    except KeyboardInterrupt as e:
        kept = str(e) or ("stopped; what is done is kept." if getattr(args, "goes_on", False) else "")
        if kept:
            print(f"{kept} Go on with: {shlex.join(['dexhot', *argv])}", file=sys.stderr)
        elif getattr(args, "writes_at_end", False):
            print(f"interrupted; {_written()}", file=sys.stderr)
        return 130


def _written() -> str:
    """What a command that was interrupted has already written, but for the cache."""
    from dexhot.data.files import WRITTEN
    from dexhot.paths import cache_dir

    cache = cache_dir().absolute()
    found = [str(path) for path in WRITTEN if path.exists() and cache not in path.absolute().parents]
    return f"written before that: {', '.join(found)}" if found else "nothing was written."


def _print_completion(shells: list[str]) -> int:
    from dexhot.cli.completion import SHELLS, script

    if len(shells) != 1 or shells[0] not in SHELLS:
        print(f"dexhot: error: name a shell: dexhot --print-completion {'|'.join(SHELLS)}.", file=sys.stderr)
        return 1
    print(script(shells[0], [*COMMANDS, *map(" ".join, NESTED)]), end="")
    return 0


def empty_argument(argv: list[str]) -> int:
    """Number, from 1, of the first empty word that is not an option's value; 0: none. Path("") would be the current
    folder."""
    return next((k for k, word in enumerate(argv) if not word and not argv[k - 1].startswith("-")), 0)


def _usage() -> str:
    rows: list[tuple[str, str]] = []
    for name, what in COMMANDS.items():
        rows += [(name, what), *((" ".join(words), text) for words, text in NESTED.items() if words[0] == name)]
    lines = "\n".join(f"  {name:12s} {what}" for name, what in rows)
    return f"usage: dexhot COMMAND ...\n\n{lines}\n\n`dexhot COMMAND --help` describes a command."
