"""The residual hand agent's published tables, and tables of ours with the paper's figures in brackets."""

from typing import Any

from dexhot_bench.kept import NOT_RUN

Printed = dict[str, Any]  # {"columns": [...], "rows": [[...], ...]}
TABLE_1 = {  # percent of test episodes, by sigma of the test; the door
    "0.01": (71, 70, 52, 26, 9, 1),
    "0.05": (100, 90, 83, 50, 24, 4),
    "0.10": (91, 89, 87, 87, 56, 26),
    "0.15": (100, 96, 92, 80, 57, 19),
    "0.20": (71, 74, 75, 71, 47, 20),
    "user_input": (80, 86.3, 74, 33.8, 9.2, 2.7),
}
TABLE_2 = {  # percent, training and test motions: door, relocate
    "ik": ((64, 74), (77, 83)),
    "rl_no_user": ((75, 59), (0, 0)),
    "il_no_user": ((0, 0), (0, 0)),
    "hybrid_no_residual": ((0, 0), (0, 0)),
    "rl_user_reward": ((69.92, 62.4), (0, 0)),
    "hybrid_user_reward": ((0, 0), (0, 0)),
    "residual": ((81.33, 83), (49.62, 16.54)),
    "residual_task": ((None, 75.9), (None, None)),  # of the text: the door, of which motions is not said
    "residual_imitation": ((None, 36.5), (None, None)),
}
TABLE_3 = {  # percent: door GT, Est., in-hand GT, Est.
    "ik": (49.62, 27.81, 0, 20.3),
    "rl_no_user_gt": (98.49, 76.69, 13.53, 25.56),
    "rl_no_user_est": (66.16, 71.42, 13.53, 0),
    "rl_user_reward_gt": (0, 0, 45.86, 32.33),
    "rl_user_reward_est": (0, 0, 0, 12.03),
    "residual_gaussian": (57.14, 38.34, 10.52, 0),
    "residual_gt": (83.45, 42.1, 10.52, 32.33),
    "residual_est": (85.95, 70.67, 20.33, 57.14),
}
TABLE_4: dict[str, dict[str, tuple[float, ...]]] = {  # training T (%), E_pose (mm), success (%), test the same
    "pour": {
        "ik": (18, 26.95, 16, 24.8, 33.22, 5),
        "closing": (85.4, 24.78, 55, 47, 35.46, 38),
        "agent_task": (97.4, 26.82, 84, 52, 37.88, 47),
        "agent": (98.2, 25.43, 93, 59.6, 33.15, 65),
    },
    "give": {
        "ik": (9.2, 24.9, 0, 11.5, 25.93, 0),
        "closing": (55.4, 28.44, 25, 70.2, 33.7, 28.57),
        "agent": (95.5, 24.3, 80, 92.1, 25.3, 83.3),
    },
}
TABLE_4["pour_fphab"] = TABLE_4["pour"]  # the paper's clips


def beside(found: float | None, paper: float | None, scale: float = 0.01, digits: int = 2) -> str:
    """ "0.90 (0.57)": ours, and the paper's times `scale` where it has one."""
    ours = NOT_RUN if found is None else f"{found:.{digits}f}"
    return ours if paper is None else f"{ours} ({scale * paper:.{digits}f})"


def printed(tables: dict[str, Any]) -> dict[str, Printed]:
    """The tables of a run for people, each with a title; success as a fraction, the paper's in brackets."""
    made: dict[str, Printed] = {}
    if "I" in tables:
        made |= _first(tables["I"])
    if "II" in tables:
        made |= _second(tables["II"])
    if "III" in tables:
        made |= _third(tables["III"])
    if "IV" in tables:
        made |= _fourth(tables["IV"])
    return made


def _first(table: dict[str, Any]) -> dict[str, Printed]:
    door = {name: row for name, row in table["door"].items() if name != "user_input"}
    door["user_input"] = table["door"]["user_input"]
    sigmas = list(door["user_input"])
    rows = [
        [name, *(beside(row[s], p) for s, p in zip(sigmas, TABLE_1.get(name, [None] * len(sigmas))))]
        for name, row in door.items()
    ]
    made = {"Table I, the door: trained at sigma (rad), tested at": {"columns": ["", *sigmas], "rows": rows}}
    others = [name for name in table if name != "door"]
    sigmas = sorted({s for name in others for s in table[name]["user_input"]})
    rows = [
        [f"{task}, {name}", *(beside(table[task][name].get(s), None) for s in sigmas)]
        for task in others
        for name in table[task]
    ]
    return made | {"Table I, other tasks: trained and tested at sigma": {"columns": ["", *sigmas], "rows": rows}}


def _second(table: dict[str, Any]) -> dict[str, Printed]:
    made = {}
    for k, (task, rows) in enumerate(table.items()):
        shown = []
        for name, row in rows.items():
            paper = TABLE_2.get(name, ((None, None), (None, None)))[k]
            after = row.get("converged_after")
            shown.append(
                [
                    name,
                    beside(row["train"], paper[0]),
                    beside(row["test"], paper[1]),
                    beside(row["velocity_distance"], None),
                    f"{after}" if after else "-",
                ]
            )
        columns = ["", "train", "test", "velocities from the experts', rad/s", "converged after (steps)"]
        made[f"Table II, {task}"] = {"columns": columns, "rows": shown}
    return made


def _third(table: dict[str, Any]) -> dict[str, Printed]:
    names = list(next(iter(table.values())))
    columns = ["", *(f"{task} {poses}" for task in table for poses in ("GT", "Est."))]
    rows = []
    for name in names:
        cells = [table[task][name][poses] for task in table for poses in ("gt", "est")]
        rows.append([name, *(beside(c, p) for c, p in zip(cells, TABLE_3.get(name, [None] * len(cells))))])
    return {"Table III: structured noise": {"columns": columns, "rows": rows}}


def _fourth(table: dict[str, Any]) -> dict[str, Printed]:
    made = {}
    kinds = ("T_percent", "E_pose_mm", "success")
    for task, rows in table.items():
        shown = []
        for name, splits in rows.items():
            paper = list(TABLE_4[task].get(name, [None] * 6))
            cells = [splits[split][kind] for split in ("train", "test") for kind in kinds]
            scales = [(1.0, 1), (1.0, 1), (0.01, 2)] * 2
            shown.append([name, *(beside(c, p, *s) for c, p, s in zip(cells, paper, scales))])
        columns = ["", *(f"{split}: {kind}" for split in ("train", "test") for kind in ("T (%)", "E (mm)", "success"))]
        made[f"Table IV, {task}"] = {"columns": columns, "rows": shown}
    return made
