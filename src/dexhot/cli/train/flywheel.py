"""Train a controller in stages that mine for each other."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class Flywheel:
    """Train a controller in stages: its demonstrations are mined with the help of the one before (DexTrack, section
    3.3). A run that was stopped goes on."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP|FOLDER ...")]
    """grab/NAME, other clips of the cache, parametric/KIND-SHAPE-SEED, or files of references; "parametric" and "grab"
    as in `dexhot train demonstrations`. Folders: their references are clips, their demonstrations (of `dexhot train
    demonstrations`) results of the first stage."""
    out: Annotated[Path, shown("FOLDER")] = Path("flywheel")
    """Folder of the run. Missing folders are created."""
    sizes: tuple[int, int, int] = (8, 8, 16)
    """Tasks that each stage draws; the paper has 100, 100 and 200."""
    budget: int = 120_000
    """Simulated control steps per task and way of mining it."""
    steps: int = 2_000_000
    """Control steps of each controller's training, in all worlds."""
    worlds: int = 128
    """Worlds stepped together in training."""
    reward: float = 50.0
    """Smallest return of a demonstration that supervises."""
    demonstrations: int = 0
    """Most demonstrations that supervise a controller, drawn by the seed, so that runs with other --ways learn from
    equally many; 0: all."""
    ways: tuple[Literal["direct", "prior", "path"], ...] = ("direct", "prior", "path")
    """How tasks are mined from the second stage on: by themselves, from the controller's own result, along paths of
    easier tasks. DexTrack's ablations: "direct path" (w/o data) and "direct" (w/o data, w/o homotopy)."""
    last_fractions: tuple[float, ...] = ()
    """Fractions of the last stage's demonstrations (0 to 1) on which its controller is trained again (table 6); a
    finished run trains these alone."""
    imitation: float = 0.1
    """Weight of the imitation loss, by which these supervise; 0: only their states are used, to start from."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand of clips that are no files, such as allegro_right."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml), leap or dextrack; default: the hand's own."""
    plain: bool = False
    """References by DexTrack's retargeting alone (eq. 5-7), as its tables have; default: ours, with contacts."""
    backend: Literal["mujoco", "warp"] = "mujoco"
    """Simulator of the controllers' training: MuJoCo on all cores, or MuJoCo Warp on the first GPU."""
    seed: int = 0
    """Random seed."""
    workers: int = 0
    """Tasks in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the folder must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Flywheel) -> None:
    """Run the stages, and tell what each mined and learnt."""
    import os

    from dexhot.cli.output import console, print_json, summary
    from dexhot.errors import MissingExtraError

    try:
        from dexhot_train.curriculum.flywheel import run_flywheel
    except ImportError as e:
        raise MissingExtraError("training a controller", "train") from e
    from dexhot_train.curriculum.flywheel_run import FlywheelOptions
    from dexhot_train.curriculum.homotopy import HomotopyOptions
    from dexhot_train.curriculum.ledger import page
    from dexhot_train.curriculum.variations import training_clips
    from dexhot_train.learners.tracker import TrackerOptions
    from dexhot_train.task.backends import without_gpu

    at_least(0, seed=args.seed, workers=args.workers, reward=args.reward, imitation=args.imitation)
    at_least(0, demonstrations=args.demonstrations)
    at_least(1, budget=args.budget, steps=args.steps, worlds=args.worlds, sizes=min(args.sizes))
    options = FlywheelOptions(args.sizes, args.reward, seed=args.seed, hand=args.hand, profile=args.profile)
    options = replace(options, ways=args.ways, most=args.demonstrations, plain=args.plain)
    options = replace(options, homotopy=HomotopyOptions(args.budget, seed=args.seed))
    tracker = TrackerOptions(args.worlds, args.steps, args.seed, backend=args.backend)
    options = replace(options, tracker=replace(tracker, ppo=replace(tracker.ppo, imitation=args.imitation)))
    files = [clip.endswith(".npz") or Path(clip).is_dir() for clip in args.clips]
    words = ["dexhot train flywheel", *(Path(clip).name if file else clip for clip, file in zip(args.clips, files))]
    unsaid = ("clips", "out", "sizes", "ways", "last_fractions", "json", "workers")
    words += ["--sizes", *map(str, args.sizes), *options_of(args, unsaid)]
    words += ["--ways", *args.ways] if args.ways != Flywheel.ways else []
    say = lambda line: console.print(line)  # noqa: E731
    workers = args.workers or os.cpu_count() or 1
    clips, demonstrations = _in_folders(args.clips)
    if slow := without_gpu(args.backend):
        console.print(slow, soft_wrap=True)
    given, command = (training_clips(clips), options, args.out), " ".join(words)
    told = run_flywheel(*given, command, workers, args.executor, say, demonstrations, args.last_fractions)
    for stage in told["stages"]:
        summary(f"stage {stage['stage']}", {name: value for name, value in stage.items() if name != "stage"})
    for row in told.get("fractions", ()):
        figures = ("demonstrations", "tracked", "T_err_cm", "policy")
        summary(f"fraction {row['fraction']:g} of the last stage", {name: row[name] for name in figures})
    console.print(f"written to {page(args.out, f'Ledger of {args.out.name}')}", soft_wrap=True)
    if args.json:
        print_json(told)


def _in_folders(clips: list[str]) -> tuple[list[str], list[Path]]:
    """The clips, with the references of folders among them in their place, and the demonstrations of these folders."""
    from dexhot.data.files import kind_of
    from dexhot.errors import DexhotError

    names: list[str] = []
    demonstrations: list[Path] = []
    for clip in clips:
        if not Path(clip).is_dir():
            names.append(clip)
            continue
        kinds = {path: kind_of(path) for path in sorted(Path(clip).glob("*.npz"))}
        found = [path for path, kind in kinds.items() if kind == "dexhot/demonstration"]
        references = [str(path) for path, kind in kinds.items() if kind == "dexhot/reference"]
        if not found and not references:
            raise DexhotError(f"{clip} has no demonstration and no reference (.npz); give a set of `dexhot train`.")
        names += references
        demonstrations += found
    return names, demonstrations
