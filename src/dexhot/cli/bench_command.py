"""Run a benchmark, beside a baseline where PyPI has one."""

import importlib
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from dexhot.cli.arguments import ON, at_least, shown
from dexhot.cli.controller_arguments import named_policies
from dexhot.cli.output import benchmark_line, console, print_json, results, summary
from dexhot.data.files import check_out, write_text
from dexhot.errors import DexhotError

Benchmark = Literal[
    "retarget",
    "physics",
    "mine",
    "demonstrations",
    "policy",
    "prior",
    "dextrack",
    "homotopy",
    "sim",
    "assist",
    "loop",
    "leap",
    "franka",
    "transport",
    "raster",
    "faults",
    "fit",
    "objectpose",
    "perceive",
    "ekf",
    "teleop",
    "video",
    "camera",
]
MODULES = {"faults": "dexhot_bench.faults.bench"}  # of those that are no module of their own name
TABLES = {
    "assist": ("I", "II", "III", "IV"),
    "dextrack": ("1", "4", "5", "6", "9", "10", "11", "12", "13", "15"),  # 2, 7 and 8 are a campaign's
    "homotopy": ("a", "b", "c", "d"),
}
RESUMABLE = ("fit", "assist", "video", "camera")  # they keep what is measured, and go on with the rest
OPTIONS = {  # option -> the benchmarks that have it, as an argument of their `run`
    "profile": ("mine", "physics", "dextrack", "homotopy"),
    "split": ("mine",),
    "rows": ("policy",),
    "peers": ("mine",),
    "structured": ("mine",),
    "homotopy": ("mine",),
    "meshes": ("objectpose",),
    "soak": ("faults",),
    "experts": ("assist",),
    "steps": ("assist",),
    "table": tuple(TABLES),
    "dataset": ("dextrack",),
    "envs": ("dextrack",),
    "hand": ("mine", "dextrack", "homotopy"),
    "plain": ("dextrack",),
    "policies": ("dextrack",),
    "flywheel": ("dextrack",),
    "campaign": ("dextrack",),
    "paths": ("dextrack", "homotopy"),
    "generator": ("homotopy",),
    "both": ("homotopy",),
    "seen": ("homotopy",),
    "clips": ("dextrack", "homotopy"),
    "ablate": ("fit",),
    "minutes": RESUMABLE,
    "frames": ("fit",),
    "recipes": ("fit",),
    "rig": ("camera",),
    "controller": ("camera",),
    "contactpose": ("fit",),
}
NOT_QUICK = ("split", "table", "frames", "rig")  # --quick has its own clips, and makes no tables


@dataclass
class Args:
    """Choice and length of the benchmark."""

    name: Annotated[Benchmark, tyro.conf.Positional]
    """Benchmark to run."""
    quick: bool = False
    """Finish within 60 s on two cores: a fixed subset, smaller budgets, warm caches."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """mine, physics, dextrack: profile of the finger servos (config/servos.yaml); default: the hand's own; dextrack:
    the paper's."""
    split: Literal["train", "test"] = "train"
    """mine: the training clips, or the 29 held-out test clips."""
    rows: Annotated[tuple[str, ...], shown("NAME ...")] = ()
    """policy: the rows beside planned (frozen, kinematic, replay, constant, subsequences, demonstration, playback,
    mpc); default: all, with --quick the first four. Frozen and replay always are."""
    peers: bool = False
    """mine: plan the clips with plain CEM and MPPI too, in as many control steps; --quick always does."""
    structured: Annotated[bool, ON] = True
    """mine: by free knots alone, without structured plans before them."""
    homotopy: int = 0
    """mine: a clip that still fails is tried along a path of so many easier tasks; 0: none."""
    meshes: Annotated[Path | None, shown("FOLDER")] = None
    """objectpose: a folder of further objects (.obj, in m), such as YCB's."""
    soak: bool = False
    """faults: run ten minutes without faults instead of one; any stop in them is a failure."""
    experts: Annotated[Path | None, shown("FILE")] = None
    """assist: expert motions; default: adroit/experts.npz in the cache."""
    steps: int = 0
    """assist: control steps of PPO for each agent of tables II to IV, whose cells are null without."""
    table: Annotated[str | None, shown("TABLE")] = None
    """assist (I to IV), dextrack (1, 4 to 6, 9 to 13, 15): this table of the paper alone; homotopy (a to
    d): this test."""
    dataset: Annotated[str, shown("DATASET")] = ""
    """dextrack: grab (default), or grab-full or taco where they are imported."""
    envs: int = 20
    """dextrack: perturbed worlds per clip; the paper has 1,000."""
    hand: Annotated[str, shown("HAND")] = ""
    """mine, homotopy: the robot hand, default leap_right; dextrack: allegro_right, the paper's in simulation."""
    plain: bool = False
    """dextrack: references by DexTrack's retargeting (eq. 5-7) alone, as its rows have them; default: ours."""
    policies: Annotated[tuple[str, ...], shown("NAME=FILE ...")] = ()
    """dextrack: policies (.onnx) as rows: ppo_tracking, ppo_omnigrasp, without_data_homotopy, without_data, ours;
    both_ppo_tracking, both_ours (table 4); fraction_0.1 (table 6)."""
    flywheel: Annotated[tuple[Path, ...], shown("FOLDER ...")] = ()
    """dextrack: of `dexhot train flywheel`, each a row by its clips and --ways: ours with its fractions (table 6), the
    two ablations of table 1, ours on both datasets (table 4); their hours (table 10)."""
    campaign: Annotated[Path | None, shown("FOLDER")] = None
    """dextrack: of `dexhot evaluate --rig`, for table 13."""
    paths: Annotated[Path | None, shown("FOLDER")] = None
    """homotopy: folder of its searches, which resume; dextrack: the same, for table 9; default: table9 in the cache."""
    generator: Annotated[Path | None, shown("FILE")] = None
    """homotopy: generator.npz of GRAB's paths (`dexhot train generator`), for the tests a to c."""
    both: Annotated[Path | None, shown("FILE")] = None
    """homotopy: one of GRAB's and TACO's paths, for the test d."""
    seen: Annotated[tuple[Path, ...], shown("FOLDER ...")] = ()
    """homotopy: folders of the searches that --generator was trained on, whose clips are left out of the test a."""
    clips: int = 0
    """dextrack: of each split the first so many clips, 0: all; homotopy: at most so many tasks per test, 0: 50."""
    ablate: bool = False
    """fit: also each recipe without each of its terms, on 4 clips of 30 frames."""
    minutes: Annotated[float | None, shown("MINUTES")] = None
    """fit, assist, video, camera: begin nothing more after so many minutes; what is missing then is "not run", and the
    next run goes on with it."""
    frames: Annotated[int | None, shown("FRAMES")] = None
    """fit: of the four clips, so many frames (default 30): the papers' recipes take 1 to 10 s for each."""
    recipes: Annotated[tuple[str, ...], shown("NAME")] = ()
    """fit: only these recipes (docs/fitting.md); default: all."""
    rig: Literal["sim", "sim-wire"] = "sim"
    """camera: the embedded rig, or the real drivers with protocol-level simulators of arm and hand."""
    controller: Literal["playback", "planned"] = "playback"
    """camera: playback of mined demonstrations, or planned from references: real drivers and camera, beside the
    embedded rig with the truth."""
    contactpose: Annotated[Path | None, shown("FOLDER")] = None
    """fit: your copy of ContactPose, on which recipe contact is measured too; needs MANO (`dexhot models`)."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Also save the JSON to this file. Missing folders are created."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""

    @property
    def goes_on(self) -> bool:
        """Whether a run that was stopped does."""
        return self.name in RESUMABLE and not self.quick


def run(args: Args) -> None:
    """Run one benchmark and print its figures."""
    import json

    options = chosen(args)
    if args.out:
        check_out(args.out, f"dexhot/bench {args.name}", args.force)
    module = importlib.import_module(MODULES.get(args.name, f"dexhot_bench.{args.name}"))
    line = benchmark_line(args.name, args.quick, **module.run(quick=args.quick, **options))
    summary(f"dexhot bench {args.name}{' --quick' if args.quick else ''}", line["metrics"])
    for title, table in line.get("printed", {}).items():
        shown = Table(*table["columns"], title=title, title_justify="left")
        for row in table["rows"]:
            shown.add_row(*row)
        results(args.json).print(shown)
    if args.out:
        write_text(args.out, json.dumps(line, indent=1) + "\n")
        console.print(f"written to {args.out}")
    if args.json:
        print_json(line)


def chosen(args: Args) -> dict[str, Any]:
    """The options that were given, as arguments of the benchmark's `run`. Raises DexhotError for one that is another
    benchmark's, or out of its range."""
    defaults = {field.name: field.default for field in fields(Args)}
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) != defaults[name]}
    for name in given:
        flag = f"--{'no-' if defaults[name] is True else ''}{name}"
        if args.name not in OPTIONS[name]:
            raise DexhotError(f"{flag} belongs to `dexhot bench {'|'.join(OPTIONS[name])}`.")
        if args.quick and name in NOT_QUICK:
            raise DexhotError(f"{flag} belongs to a run without --quick, which has its own clips and makes no tables.")
    at_least(0, steps=args.steps, clips=args.clips, envs=args.envs, homotopy=args.homotopy)
    at_least(2, frames=args.frames)
    if args.minutes is not None and not 0.0 < args.minutes < math.inf:
        raise DexhotError(f"--minutes must be positive, not {args.minutes:g}.")
    if args.table and args.table not in TABLES[args.name]:
        raise DexhotError(f"no table {args.table} of {args.name}; its tables: {', '.join(TABLES[args.name])}.")
    if args.controller == "planned" and args.rig != "sim":
        raise DexhotError("--controller planned goes without --rig: it takes both rigs.")
    return given | ({"policies": named_policies(args.policies)} if args.policies else {})
