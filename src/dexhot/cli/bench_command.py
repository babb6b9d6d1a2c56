"""Run a benchmark, beside a baseline where PyPI has one."""

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from dexhot.cli.arguments import ON, at_least, shown
from dexhot.cli.output import benchmark_line, console, listing, print_json, summary
from dexhot.data.files import check_out, write_text
from dexhot.errors import DexhotError

BENCHMARKS = {
    "retarget": "dexhot_bench.retarget",
    "physics": "dexhot_bench.physics",
    "mine": "dexhot_bench.mine",
    "demonstrations": "dexhot_bench.demonstrations",
    "policy": "dexhot_bench.policy",
    "prior": "dexhot_bench.prior",
    "dextrack": "dexhot_bench.dextrack",
    "homotopy": "dexhot_bench.homotopy",
    "sim": "dexhot_bench.sim",
    "assist": "dexhot_bench.assist",
    "loop": "dexhot_bench.loop",
    "leap": "dexhot_bench.leap",
    "franka": "dexhot_bench.franka",
    "transport": "dexhot_bench.transport",
    "raster": "dexhot_bench.raster",
    "faults": "dexhot_bench.faults.bench",
    "fit": "dexhot_bench.fit",
    "ekf": "dexhot_bench.ekf",
    "objectpose": "dexhot_bench.objectpose",
    "perceive": "dexhot_bench.perceive",
    "teleop": "dexhot_bench.teleop",
    "video": "dexhot_bench.video",
    "camera": "dexhot_bench.camera",
}
DEXTRACK = ("1", "4", "5", "6", "9", "10", "11", "12", "13", "15")  # tables; 2, 7 and 8 are a campaign's
OPTIONS = {  # benchmarks -> options that are theirs alone
    ("dextrack",): ("dataset", "envs", "plain", "policies", "flywheel", "campaign"),
    ("homotopy",): ("generator", "both", "seen"),
    ("dextrack", "homotopy"): ("paths", "clips"),
    ("mine", "dextrack", "homotopy"): ("hand",),
}
RESUMABLE = ("fit", "assist", "video", "camera")  # they keep what is measured, and go on with the rest


@dataclass
class Args:
    """Choice and length of the benchmark."""

    name: Annotated[
        Literal[
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
        ],
        tyro.conf.Positional,
    ]
    """Benchmark to run."""
    quick: bool = False
    """Finish within 60 s on two cores: a fixed subset, smaller budgets, warm caches."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """mine, physics, dextrack: profile of the finger servos (config/servos.yaml); default: the hand's own; dextrack:
    the paper's."""
    split: Literal["train", "test"] = "train"
    """mine: the training clips, or the 29 held-out test clips."""
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

    from dexhot.cli.evaluate_command import named_policies

    if args.soak and args.name != "faults":
        raise DexhotError("--soak belongs to `dexhot bench faults`.")
    if args.ablate and args.name != "fit":
        raise DexhotError("--ablate belongs to `dexhot bench fit`.")
    if args.minutes is not None and (args.name not in RESUMABLE or not 0.0 < args.minutes < math.inf):
        raise DexhotError(f"--minutes belongs to `dexhot bench {'|'.join(RESUMABLE)}`, and must be positive.")
    if args.rig != "sim" and (args.name != "camera" or args.quick):
        raise DexhotError("--rig belongs to `dexhot bench camera` without --quick.")
    if args.controller != "playback" and (args.name != "camera" or args.rig != "sim"):
        raise DexhotError("--controller planned belongs to `dexhot bench camera` without --rig: it takes both rigs.")
    if args.frames is not None and (args.name != "fit" or args.quick or args.frames < 2):
        raise DexhotError("--frames belongs to `dexhot bench fit` without --quick, and must be at least 2.")
    if (args.recipes or args.contactpose) and args.name != "fit":
        raise DexhotError("--recipes and --contactpose belong to `dexhot bench fit`.")
    if args.out:
        check_out(args.out, f"dexhot/bench {args.name}", args.force)
    if args.profile and args.name not in ("mine", "physics", "dextrack", "homotopy"):
        raise DexhotError(
            "--profile belongs to `dexhot bench mine`, `dexhot bench physics` and `dexhot bench dextrack`."
        )
    if args.meshes and args.name != "objectpose":
        raise DexhotError("--meshes belongs to `dexhot bench objectpose`.")
    if args.split != "train" and (args.name != "mine" or args.quick):
        raise DexhotError("--split belongs to `dexhot bench mine` without --quick, which has its own clips.")
    if args.peers and args.name != "mine":
        raise DexhotError("--peers belongs to `dexhot bench mine`.")
    if (not args.structured or args.homotopy) and args.name != "mine":
        raise DexhotError("--no-structured and --homotopy belong to `dexhot bench mine`.")
    if (args.experts or args.steps) and args.name != "assist":
        raise DexhotError("--experts and --steps belong to `dexhot bench assist`.")
    tables = {"assist": ("I", "II", "III", "IV"), "dextrack": DEXTRACK, "homotopy": ("a", "b", "c", "d")}
    if args.table and args.table not in tables.get(args.name, ()):
        known = "; ".join(f"`dexhot bench {name}`: {', '.join(its)}" for name, its in tables.items())
        raise DexhotError(f"no table {args.table} of {args.name}; tables: {known}.")
    for names, options_given in OPTIONS.items():
        given_here = [name for name in options_given if getattr(args, name) not in (None, "", (), 0, Args.envs)]
        if given_here and args.name not in names:
            known = ", ".join(f"`dexhot bench {name}`" for name in names)
            raise DexhotError(f"{', '.join(f'--{name}' for name in given_here)} belong to {known}.")
    at_least(0, steps=args.steps, clips=args.clips, envs=args.envs, homotopy=args.homotopy)
    if args.table and args.quick:
        raise DexhotError("--table belongs to a run without --quick, which makes no tables.")
    given: dict[str, Any] = {
        "experts": args.experts,
        "steps": args.steps,
        "table": args.table,
        "soak": args.soak,
        "ablate": args.ablate,
        "minutes": args.minutes,
        "frames": args.frames,
        "recipes": args.recipes,
        "contactpose": args.contactpose,
        "meshes": args.meshes,
        "peers": args.peers,
        "homotopy": args.homotopy,
        "profile": args.profile,
        "split": args.split if args.name == "mine" else None,
        "rig": args.rig if args.name == "camera" else None,
        "controller": args.controller if args.name == "camera" else None,
        "dataset": args.dataset,
        "hand": args.hand,
        "policies": named_policies(args.policies),
        "flywheel": args.flywheel,
        "campaign": args.campaign,
        "plain": args.plain,
        "paths": args.paths,
        "generator": args.generator,
        "both": args.both,
        "seen": args.seen,
        "clips": args.clips,
    }
    given |= {"envs": args.envs} if args.name == "dextrack" and not args.quick else {}
    options: dict[str, Any] = {name: value for name, value in given.items() if value or name == "envs"}
    options |= {} if args.structured else {"structured": False}
    result = importlib.import_module(BENCHMARKS[args.name]).run(quick=args.quick, **options)
    line = benchmark_line(args.name, args.quick, **result)
    summary(f"dexhot bench {args.name}{' --quick' if args.quick else ''}", line["metrics"])
    for title, table in line.get("printed", {}).items():
        shown = Table(*table["columns"], title=title, title_justify="left")
        for row in table["rows"]:
            shown.add_row(*row)
        listing(shown, args.json)
    if args.out:
        write_text(args.out, json.dumps(line, indent=1) + "\n")
        console.print(f"written to {args.out}")
    if args.json:
        print_json(line)
