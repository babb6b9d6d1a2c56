"""Tables I to III of the residual hand agent's paper on today's simulators, one kept cell at a time."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dexhot import __version__
from dexhot.datasets.hand_poses import grab_poses
from dexhot.paths import cache_dir
from dexhot.progress import progress
from dexhot_bench.kept import Deadline, Kept
from dexhot_train.assist.experts import Experts, load_experts
from dexhot_train.assist.hands import AssistOptions
from dexhot_train.assist.structured import MAPPINGS, InputOptions, load_inputs, map_hands, save_inputs, see_hands
from dexhot_train.assist.success import Agent, Cell, success, unnaturalness
from dexhot_train.assist.training import AssistTraining, agent_of, curve, samples_to_convergence, train_agent
from dexhot_train.assist.user_input import fingerprint

GOALS = {"door": 0.15, "hammer": 0.10, "relocate": 0.05, "pen": 0.05}  # rad, sigma of each task's goal
TRAIN_SIGMAS = (0.01, 0.05, 0.10, 0.15, 0.20)  # rad, of table I
TEST_SIGMAS = (0.0, *TRAIN_SIGMAS)
TABLE_2_TASKS, TABLE_2_SIGMA = ("door", "relocate"), 0.05
TABLE_2 = {  # row -> method and weight of the imitation reward; both rewards in `residual`, which is the paper's own
    "residual": ("residual", 1.0),
    "residual_task": ("residual", 0.0),
    "residual_imitation": ("residual_imitation", 0.0),
    "rl_no_user": ("rl_no_user", 0.0),
    "rl_user_reward": ("rl_user_reward", 0.0),
    "il_no_user": ("il_no_user", 0.0),
    "hybrid_no_residual": ("hybrid_no_residual", 0.0),
    "hybrid_user_reward": ("hybrid_user_reward", 0.0),
}
POINTS = 25  # of a curve that is kept
TABLE_3_TASKS = ("door", "pen")
POSES = {"gt": False, "est": True}  # table III: the real hand poses themselves, or estimates of them
TABLE_3 = {  # row -> method, and what it was trained on: Gaussian noise, or inputs of POSES
    "rl_no_user_gt": ("rl_no_user", "gt"),
    "rl_no_user_est": ("rl_no_user", "est"),
    "rl_user_reward_gt": ("rl_user_reward", "gt"),
    "rl_user_reward_est": ("rl_user_reward", "est"),
    "residual_gaussian": ("residual", "gaussian"),
    "residual_gt": ("residual", "gt"),
    "residual_est": ("residual", "est"),
    "corrections_gaussian": ("corrections", "gaussian"),
    "corrections_gt": ("corrections", "gt"),
    "corrections_est": ("corrections", "est"),
}


@dataclass
class TableRun:
    """What a run of the tables was asked for."""

    kept: Kept
    late: Deadline = field(default_factory=Deadline)
    experts: Path | None = None
    episodes: int = 100
    steps: int = 0  # of PPO; its cells are null without
    _read: dict[str, Experts] = field(default_factory=dict)

    def motions(self, task: str) -> Experts:
        """The experts' motions of a task, read once. Raises what load_experts does."""
        if task not in self._read:
            self._read[task] = load_experts(task, self.experts)
        return self._read[task]

    def success(self, key: str, motions: Experts, sigma: float, row: "Row", **more: Any) -> float | None:
        """The kept success of a row; its agent is trained where it is needed."""
        found: float | None = self.measured(
            f"{key}-{sigma:.2f}-{self.episodes}-{digest(motions)}",
            lambda: success(motions, sigma, *row(), self.episodes, **more).success,
        )
        return found

    def measured(self, key: str, measure: Callable[[], Any]) -> Any:
        """The kept cell of a key; measured now where it is missing and there is time, else None."""
        return self.kept.measured(key, measure, self.late)


Row = Callable[[], tuple[Agent | None, AssistOptions]]  # trains its agent, or goes on with that of the cache


def table_1(run: TableRun) -> dict[str, dict[str, dict[str, float | None]]]:
    """Table I: the door, trained at a sigma (row) and tested at others (column); the other tasks at the diagonal."""
    door = run.motions("door")
    rows: dict[str, Row] = {"user_input": user_alone}
    rows |= {f"{sigma:.2f}": trained(AssistTraining("door", sigma=sigma), door) for sigma in TRAIN_SIGMAS}
    table: dict[str, dict[str, dict[str, float | None]]] = {"door": {}}
    for name, row in rows.items():
        found = {f"{s:.2f}": run.success(f"I-door-{name}", door.split("test"), s, row) for s in TEST_SIGMAS}
        table["door"][name] = found
    for task, goal in GOALS.items():
        if task == "door":
            continue
        motions = run.motions(task)
        table[task] = {"user_input": {}, "oracle": {}, "agent": {}}
        for sigma in sorted(TRAIN_SIGMAS, key=lambda s: abs(s - goal)):  # the goal's first
            rows = {
                "user_input": user_alone,
                "oracle": user_alone,
                "agent": trained(AssistTraining(task, sigma=sigma), motions),
            }
            for name, row in rows.items():
                key, more = f"I-{task}-{name}", {"oracle": True} if name == "oracle" else {}
                table[task][name][f"{sigma:.2f}"] = run.success(key, motions.split("test"), sigma, row, **more)
    return table


def table_2(run: TableRun) -> dict[str, dict[str, dict[str, Any]]]:
    """Table II at one sigma: train and test success of all baselines and of the ablation of the rewards; the distance
    of the hand's joint velocities from the experts' (test); PPO's curve of success over control steps. Null where PPO
    has no steps."""
    rows: dict[str, Callable[[str], AssistTraining | None]] = {
        "ik": lambda task: None,
        "corrections": lambda task: AssistTraining(task, sigma=TABLE_2_SIGMA),
    }
    table: dict[str, dict[str, dict[str, Any]]] = {task: {} for task in TABLE_2_TASKS}
    for name in (*rows, *TABLE_2):
        for task in TABLE_2_TASKS:
            if name in rows:
                table[task][name] = _row_2(run, name, task, rows[name](task))
            elif run.steps:
                method, weight = TABLE_2[name]
                options = AssistTraining(task, method, TABLE_2_SIGMA, corrections=0, steps=run.steps)
                table[task][name] = _row_2(run, name, task, replace(options, discriminator=weight))
            else:
                table[task][name] = dict.fromkeys(("train", "test", "velocity_distance"))
    return table


def _row_2(run: TableRun, name: str, task: str, options: AssistTraining | None) -> dict[str, Any]:
    motions = run.motions(task)

    def measure() -> dict[str, Any]:
        agent, acting = trained(options, motions)() if options else user_alone()
        cells = {
            split: success(motions.split(split), TABLE_2_SIGMA, agent, acting, run.episodes)
            for split in ("train", "test")
        }
        test = motions.split("test")
        clean = success(test, 0.0, None, AssistOptions(), len(test.seeds))
        found: dict[str, Any] = {split: cell.success for split, cell in cells.items()}
        found |= {"velocity_distance": _apart(cells["test"], clean)}
        if options and options.steps:
            points = curve(folder_of(options))
            shown = points[:: max(1, -(-len(points) // POINTS))]
            found |= {"converged_after": samples_to_convergence(points), "curve": shown}
        return found

    steps = options.steps if options else 0
    row: dict[str, Any] | None = run.measured(f"II-{task}-{name}-{steps}-{run.episodes}-{digest(motions)}", measure)
    return row or dict.fromkeys(("train", "test", "velocity_distance"))


def _apart(cell: Cell, experts: Cell) -> float | None:
    return unnaturalness(cell, experts) if cell.quantiles is not None else None


def table_3(run: TableRun) -> dict[str, dict[str, dict[str, float | None]]]:
    """Table III: test success with structured noise from GRAB's hands, by the paper's network; `ik_retargeter` is the
    user input of the streaming retargeter instead. Null where PPO has no steps."""
    table: dict[str, dict[str, dict[str, float | None]]] = {task: {} for task in TABLE_3_TASKS}

    def row(task: str, name: str, mapping: str, made: Callable[[Experts], Row], source: str = "gaussian") -> None:
        """Both columns; made: of the motions that the row's agent is trained on."""
        table[task][name], motions = {}, run.motions(task)
        for poses in POSES:

            def measure(poses: str = poses) -> float:
                taught = motions if source == "gaussian" else with_inputs(motions, source, mapping)
                tested = with_inputs(motions, poses, mapping).split("test")
                return success(tested, 0.0, *made(taught)(), run.episodes).success

            key = f"III-{task}-{name}-{poses}-{run.steps if name in PPO_3 else 0}-{run.episodes}"
            table[task][name][poses] = run.measured(f"{key}-{digest(motions)}", measure)

    for task in TABLE_3_TASKS:
        row(task, "ik", "network", lambda taught: user_alone)
        row(task, "ik_retargeter", "retargeter", lambda taught: user_alone)
        for name, (method, source) in TABLE_3.items():
            options = AssistTraining(task, sigma=TABLE_2_SIGMA if source == "gaussian" else 0.0)
            if method != "corrections":
                options = replace(options, method=method, corrections=0, steps=run.steps)
                options = replace(options, discriminator=1.0 if method == "residual" else 0.0)
            if not (options.corrections or options.steps):
                table[task][name] = dict.fromkeys(POSES)
                continue
            row(task, name, "network", partial(trained, options, source=source), source)
    return table


PPO_3 = tuple(name for name, (method, _) in TABLE_3.items() if method != "corrections")


def user_alone() -> tuple[Agent | None, AssistOptions]:
    """No agent."""
    return None, AssistOptions()


def trained(options: AssistTraining, motions: Experts, source: str = "gaussian") -> Row:
    """A row whose agent is trained on the training motions, in the cache, and resumes there. source: of the user
    inputs of `motions`, where these are no Gaussian noise on the experts."""
    made: list[Agent] = []

    def row() -> tuple[Agent | None, AssistOptions]:
        if not made:
            folder = folder_of(options, source)
            with progress(f"training {folder.name}", counted=True) as job:
                actor, _ = train_agent(motions.split("train"), options, folder, "", lambda n, of, line: job(n, of))
            made.append(agent_of(actor))
        return made[0], options.acting

    return row


def folder_of(options: AssistTraining, source: str = "gaussian") -> Path:
    """Where an agent of the tables is trained."""
    o = options
    parts = [o.task, o.method, f"{o.sigma:.2f}".replace(".", ""), str(o.corrections), str(o.steps)]
    parts += [f"d{o.discriminator:g}"] if o.steps else []
    return assist_dir() / "-".join(parts + ([] if source == "gaussian" else [source]))


def with_inputs(motions: Experts, poses: str, mapping: str) -> Experts:
    """The motions with inputs of structured noise, made once in the cache."""
    folder = assist_dir() / "inputs"
    path = folder / f"{motions.task}-{poses}-{mapping}.npz"
    if not path.is_file():
        options = InputOptions("retrieved", POSES[poses], variants=1)
        with progress(f"hands for {path.stem}", counted=True) as job:
            seen = see_hands(motions, options, grab_poses(), progress=job)
        for way in MAPPINGS:  # the pictures are dear
            made, figures = map_hands(motions, seen, way)
            save_inputs(made, replace(options, mapping=way), folder / f"{motions.task}-{poses}-{way}.npz", {**figures})
    return load_inputs(motions, path)[0]


def assist_dir() -> Path:
    """Where the benchmark keeps its agents, inputs and cells."""
    return cache_dir() / "assist" / __version__


def digest(motions: Experts) -> str:
    """Of the motions and their user inputs."""
    parts = b"".join(np.ascontiguousarray(a).tobytes() for a in motions.actions)
    named = f"{motions.seeds}{fingerprint(motions)}".encode()
    return hashlib.sha256(parts + named).hexdigest()[:8]
