"""Which folder makes which row of DexTrack's tables, and for each cell that is missing the command that makes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dexhot.datasets import splits
from dexhot.errors import DexhotError
from dexhot_bench.assist_paper import Printed
from dexhot_bench.dextrack_paper import TABLE_6
from dexhot_train.curriculum.flywheel_folder import DIRECT, FRACTION, PATH, WAYS, FlywheelFolder, read_flywheel

FLYWHEELS = {  # row -> the ways of mining
    "ours": WAYS,
    "without_data": (DIRECT, PATH),
    "without_data_homotopy": (DIRECT,),
    "both_ours": WAYS,
}
BOTH = ("grab_full", "taco")  # of table 4
SIZES = (100, 100, 200)  # tasks of the paper's stages
SIMULATING = ("dgrasp", "subsequences", "planned")
PLAYED = ("frozen", "kinematic", "replay", *SIMULATING)  # rows without a network
GET_TACO = "dexhot datasets get taco --path FOLDER"
UNTOLD = "every clip was refused or failed: see `failed` in the JSON"


class Request(Protocol):
    """What the tables were asked for (dextrack.Asked)."""

    dataset: str
    hand: str
    profile: str
    plain: bool
    flywheels: dict[str, FlywheelFolder]
    failed: dict[str, str]

    @property
    def networks(self) -> dict[str, str]:
        """Row -> its policy."""

    def of_split(self, split: str) -> list[str]:
        """Clips of a split."""


def learned_baselines(dataset: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Row -> reward and datasets of PPO without supervision (`dexhot train baseline`)."""
    own = (dataset,)
    return {
        "ppo_tracking": ("tracking", own),
        "ppo_omnigrasp": ("omnigrasp", own),
        "both_ppo_tracking": ("tracking", BOTH),
    }


def by_row(folders: Sequence[Path], plain: bool = False) -> dict[str, FlywheelFolder]:
    """Row -> the flywheel that makes it. Raises DexhotError for one that makes none, two of the same row, or one of
    other references than `plain` says."""
    found: dict[str, FlywheelFolder] = {}
    for wheel in map(read_flywheel, folders):
        if wheel.plain != plain:
            raise DexhotError(
                f"{wheel.folder} was {'' if wheel.plain else 'not '}trained on references by eq. 5-7 alone: "
                f"{'give' if wheel.plain else 'leave out'} --plain, or another flywheel."
            )
        both = "taco" in wheel.datasets and bool(wheel.datasets & {"grab", "grab_full"})
        rows = [row for row, ways in FLYWHEELS.items() if wheel.ways == set(ways) and row.startswith("both") == both]
        if not rows:
            ways = " ".join(sorted(wheel.ways))
            where = "on both datasets " if both else ""
            raise DexhotError(f"{wheel.folder} was mined {where}with --ways {ways}, which is not a row of the tables.")
        if other := found.get(rows[0]):
            raise DexhotError(f"{other.folder} and {wheel.folder} both make the row {rows[0]}: give one of them.")
        found[rows[0]] = wheel
    return found


def not_run(tables: dict[str, Any], asked: Request) -> dict[str, str]:
    """Cell ("table 1, ours") -> what makes it, of all cells without a figure."""
    found: dict[str, str] = {}
    for number, made in tables.items():
        for row in _empty(number, made):
            found[f"table {number}, {row}"] = _makes(number, row, asked)
    return found


def printed_missing(missing: dict[str, str]) -> dict[str, Printed]:
    """What is not run, the cells of one command together; {} where nothing is missing."""
    cells: dict[str, list[str]] = {}
    for cell, command in missing.items():
        cells.setdefault(command, []).append(cell.removeprefix("table "))
    rows = [["; ".join(those), command] for command, those in cells.items()]
    return {"Not run": {"columns": ["table, row", "made by"], "rows": rows}} if rows else {}


def _empty(number: str, made: dict[str, Any]) -> list[str]:
    """Names of a table's rows without a figure."""
    if number in ("1", "4"):
        many = len(made) > 1  # datasets
        named = {f"{row} on {data}" if many else row: v for data, rows in made.items() for row, v in rows.items()}
    elif number in ("6", "11", "12"):
        named = made["rows"]
    elif number == "9":
        named = {test: row["effectiveness_ratio"] for test, row in made.items()}
    elif number == "10":
        named = {row: hours and (None if None in hours.values() else hours) for row, hours in made.items()}
    else:
        named = made
    return [row for row, value in named.items() if value is None]


def _makes(number: str, cell: str, asked: Request) -> str:
    """The command that makes a cell, or why there is no figure though it was run."""
    row, _, dataset = cell.partition(" on ")
    dataset = dataset or (cell if number == "15" else asked.dataset)
    if number == "5" and asked.dataset != "taco":
        dataset = "taco"
    if dataset != asked.dataset:
        plain = " --plain" * asked.plain
        return f"dexhot bench dextrack --dataset {dataset.replace('_', '-')} --table {number}{plain}"
    if number == "13":
        ours = "POLICY" if row == "ours" else f"POLICY --baseline {_file('ppo_tracking', asked)}"
        return f"dexhot evaluate --rig real --clips CLIP ... --policy {ours} --campaign FOLDER, then --campaign FOLDER"
    if number == "9":
        return _paths(row, asked)
    if number == "10":
        row = row.partition(",")[0]
        whole = row in asked.flywheels and asked.flywheels[row].policy
        return "its trainings kept no times (seconds.jsonl)" if whole else _training(row, asked)
    if number == "5":
        return _policy("ours", asked) if asked.of_split(row) else GET_TACO
    if number == "6":
        return _fraction(row, asked)
    if number == "15":
        return UNTOLD
    return _policy(row, asked)


def _policy(row: str, asked: Request) -> str:
    """What makes the policy of a row, or why it has no figure."""
    if row in PLAYED:
        return "this command without --quick" if row in SIMULATING and not asked.failed else UNTOLD
    if row in asked.networks:
        return next((f"refused: {why}" for at, why in asked.failed.items() if at.endswith(f", {row}")), UNTOLD)
    return _training(row, asked)


def _training(row: str, asked: Request) -> str:
    """What trains the policy of a row."""
    if (baselines := learned_baselines(asked.dataset)).get(row):
        reward, data = baselines[row]
        return f"dexhot train baseline {reward} --data {_words(data)} {_trained_for(asked)}"
    if wheel := asked.flywheels.get(row):
        return f"{wheel.command} --out {wheel.folder} (stage {wheel.done} of {wheel.stages} is done; it goes on)"
    data, out = BOTH if row == "both_ours" else (asked.dataset,), row.replace("_", "-") + "-plain" * asked.plain
    words = f"dexhot train flywheel {_words(data)} {_trained_for(asked)}{_sizes(data)}"
    if FLYWHEELS[row] != WAYS:
        words += f" --ways {' '.join(FLYWHEELS[row])} --demonstrations N"
    return f"{words} --out {out}, then --flywheel {out}"


def _fraction(row: str, asked: Request) -> str:
    """What makes a row of table 6."""
    name = "ours" if row == "1" else f"{FRACTION}{row}"
    if name == "ours" or name in asked.networks:
        return _policy(name, asked)
    fractions = f"--last-fractions {' '.join(fraction for fraction in TABLE_6 if fraction != '1')}"
    if wheel := asked.flywheels.get("ours"):
        return f"{wheel.command} --out {wheel.folder} {fractions}"
    return _training("ours", asked).replace(" --out", f" {fractions} --out")


def _paths(test: str, asked: Request) -> str:
    """What makes a test of table 9."""
    if test in ("c", "d") and not splits("taco"):
        return GET_TACO
    row, option = ("both_ours", "--both") if test == "d" else ("ours", "--generator")
    wheel = asked.flywheels.get(row)
    if wheel is None or not wheel.policy:
        return f"{_training(row, asked)}: its generator makes this row by `dexhot bench homotopy`"
    if wheel.generator is None:
        return f"no path of {wheel.folder} was effective, so it has no generator; a new one with more --budget"
    seen = f" --seen {wheel.folder}" if test == "a" else ""
    return f"dexhot bench homotopy --table {test} {option} {wheel.generator}{seen} {_made_for(asked)}"


def _file(row: str, asked: Request) -> str:
    return asked.networks.get(row, "POLICY")


def _words(datasets: Sequence[str]) -> str:
    return " ".join(name.replace("_", "-") for name in datasets)


def _made_for(asked: Request) -> str:
    return f"--hand {asked.hand} --profile {asked.profile}"


def _trained_for(asked: Request) -> str:
    return _made_for(asked) + " --plain" * asked.plain


def _sizes(datasets: Sequence[str]) -> str:
    """The paper's where there are clips enough."""
    clips = sum(len(splits(name).get("train", ())) for name in datasets)
    return f" --sizes {' '.join(map(str, SIZES))}" if clips >= sum(SIZES) else ""
