"""DexTrack's published tables, and ours with them in brackets."""

from typing import Any

from dexhot_bench.assist_paper import beside
from dexhot_bench.kept import NOT_RUN

Printed = dict[str, Any]  # {"columns": [...], "rows": [[...], ...]}
FIGURES = ("R_err_rad", "T_err_cm", "E_wrist", "E_finger", "success_10cm_20deg", "success_10cm_40deg")
HEADS = ("R_err (rad)", "T_err (cm)", "E_wrist", "E_finger (rad)", "10 cm, 20 deg", "10 cm, 40 deg")
PERCENT = FIGURES[4:]  # published in percent; fractions here
TABLE_1: dict[str, dict[str, tuple[float, ...]]] = {  # dataset -> method -> FIGURES
    "grab": {
        "dgrasp": (0.4493, 6.75, 0.1372, 0.6039, 34.52, 52.79),
        "ppo_omnigrasp": (0.4404, 6.69, 0.1722, 0.6418, 35.53, 54.82),
        "ppo_tracking": (0.3945, 6.11, 0.1076, 0.5899, 38.58, 54.82),
        "without_data_homotopy": (0.3443, 7.81, 0.1225, 0.5218, 39.59, 57.87),
        "without_data": (0.3415, 4.97, 0.1483, 0.5264, 43.15, 62.44),
        "ours": (0.3303, 4.53, 0.1118, 0.5048, 46.70, 65.48),
    },
    "taco": {
        "dgrasp": (0.5021, 5.04, 0.1129, 0.4737, 38.42, 47.78),
        "ppo_omnigrasp": (0.5174, 5.43, 0.1279, 0.4945, 33.5, 46.31),
        "ppo_tracking": (0.4815, 4.82, 0.1195, 0.4682, 34.98, 57.64),
        "without_data_homotopy": (0.4444, 2.33, 0.1782, 0.5438, 44.83, 67.00),
        "without_data": (0.4854, 2.21, 0.1698, 0.4772, 47.78, 72.41),
        "ours": (0.4953, 2.10, 0.1510, 0.4661, 48.77, 74.38),
    },
}
TABLE_4: dict[str, dict[str, tuple[float, ...]]] = {  # trained on both datasets
    "grab": {
        "both_ppo_tracking": (0.5813, 6.03, 0.1730, 0.5439, 36.04, 55.84),
        "both_ours": (0.4515, 4.82, 0.14574, 0.4574, 42.64, 61.42),
    },
    "taco": {
        "both_ppo_tracking": (0.6751, 6.37, 0.1264, 0.5443, 21.67, 50.25),
        "both_ours": (0.4782, 3.94, 0.1329, 0.4228, 32.02, 62.07),
    },
}
TABLE_5: dict[str, tuple[float, ...]] = {  # TACO's further test splits
    "S1": (0.5787, 2.43, 0.1481, 0.4703, 35.97, 67.63),
    "S2": (0.6026, 2.46, 0.1455, 0.4709, 30.83, 65.00),
    "S3": (0.6508, 8.06, 0.1513, 0.4683, 10.18, 46.32),
}
TABLE_6: dict[str, tuple[float, ...]] = {  # TACO: fraction of the last stage's demonstrations
    "0": (0.4985, 4.42, 0.1435, 0.4767, 31.03, 57.64),
    "0.1": (0.4730, 3.86, 0.1502, 0.4921, 36.45, 59.61),
    "0.3": (0.4903, 2.94, 0.1256, 0.4804, 40.89, 62.07),
    "0.5": (0.4749, 2.51, 0.1680, 0.4682, 41.38, 67.00),
    "0.9": (0.4776, 2.29, 0.1437, 0.4839, 44.83, 72.91),
    "1": (0.4953, 2.10, 0.1510, 0.4661, 48.77, 74.38),
}
TABLE_9 = {"a": 64.0, "b": 56.0, "c": 28.0, "d": 52.0}  # percent of effective paths
TABLE_10 = {  # days on TACO, one A10 a model; eight trackers in parallel
    "ppo_tracking": "~1 day",
    "without_data_homotopy": "~2 days",
    "without_data": "~4 days",
    "ours": "~4 days",
}
TABLE_11 = {  # generalisation score, GRAB
    "dgrasp": 2.424,
    "ppo_omnigrasp": 2.389,
    "ppo_tracking": 2.688,
    "without_data_homotopy": 2.725,
    "without_data": 3.050,
    "ours": 3.251,
}
TABLE_12 = {"ppo_tracking": 2.665, "ours": 3.276}  # robustness score, GRAB
TABLE_13 = {"baseline": (0.317, 0.098, 0.0), "ours": (0.537, 0.415, 0.293)}  # adaptivity by level, GRAB
TABLE_15 = {"grab": (3.426, 1.641, 0.275), "taco": (1.978, 2.285, 0.497)}  # s_smooth, v_contact, s_shape
METHODS = {
    "dgrasp": "DGrasp (subsequences of 10 frames, by sampling)",
    "ppo_omnigrasp": "PPO (OmniGrasp rew.)",
    "ppo_tracking": "PPO (w/o sup., tracking rew.)",
    "without_data_homotopy": "Ours (w/o data, w/o homotopy)",
    "without_data": "Ours (w/o data)",
    "ours": "Ours",
    "both_ppo_tracking": "PPO (w/o sup., tracking rew.), both datasets",
    "both_ours": "Ours, both datasets",
}
PAPER_RUNS = "1,000 worlds each, Isaac Gym, Allegro hand"


def figures_row(found: dict[str, Any] | None, paper: tuple[float, ...] | None) -> list[str]:
    """Cells of FIGURES, the count of clips and worlds, and the kind of references; "not run" without `found`."""
    cells = []
    for k, name in enumerate(FIGURES):
        scale = 0.01 if name in PERCENT else 1.0
        cells.append(
            beside(found[name] if found else None, paper[k] if paper else None, scale, 3 if k in (0, 2, 3) else 2)
        )
    return [*cells, f"{found['clips']} x {found['envs']}" if found else "", found["references"] if found else ""]


def printed(tables: dict[str, Any]) -> dict[str, Printed]:
    """The tables of a run for people, each with a title, the paper's figures in brackets."""
    made: dict[str, Printed] = {}
    columns = ["", *HEADS, "clips x worlds", "references"]
    for number, published in (("1", TABLE_1), ("4", TABLE_4)):
        for dataset, rows in tables.get(number, {}).items():
            paper = published["taco" if dataset == "taco" else "grab"]
            for simulates in (False, True):  # in no common table
                chosen = {n: row for n, row in rows.items() if (row or {}).get("simulates", n == "dgrasp") == simulates}
                how = "simulating before the start" if simulates else "without simulation at run time"
                if chosen:
                    made[f"Table {number}, {dataset}, {how} (paper: {PAPER_RUNS})"] = {
                        "columns": columns,
                        "rows": [[METHODS.get(n, n), *figures_row(row, paper.get(n))] for n, row in chosen.items()],
                    }
    if "5" in tables:
        rows = [[name, *figures_row(row, TABLE_5[name])] for name, row in tables["5"].items()]
        made["Table 5: ours on TACO's further test splits"] = {"columns": columns, "rows": rows}
    if "6" in tables:
        published_6 = TABLE_6 if tables["6"]["dataset"] == "taco" else {}
        rows = [[name, *figures_row(row, published_6.get(name))] for name, row in tables["6"]["rows"].items()]
        title = f"Table 6, {tables['6']['dataset']}: fraction of the last stage's demonstrations"
        made[title] = {"columns": columns, "rows": rows}
    if "9" in tables:
        made["Table 9: effective paths of the generator"] = table_9(tables["9"])
    if "10" in tables:
        rows = [[name, *(_hours(hours)), TABLE_10.get(name, "")] for name, hours in tables["10"].items()]
        made["Table 10: training time, CPU hours of mining + hours of training"] = {
            "columns": ["", "mining", "training", "paper (TACO, one A10 a model)"],
            "rows": rows,
        }
    for number, words, scores in (("11", "generalisation", TABLE_11), ("12", "robustness", TABLE_12)):
        if number in tables:
            found = tables[number]
            paper_scores = scores if found["dataset"] != "taco" else {}
            rows = [
                [METHODS.get(n, n), beside(row["score"] if row else None, paper_scores.get(n), 1.0, 3), _count(row)]
                for n, row in found["rows"].items()
            ]
            title = f"Table {number}, {found['dataset']}: {words} score"
            made[title] = {"columns": ["", "score", "clips x worlds"], "rows": rows}
    if "13" in tables:
        rows = [
            [name, *(beside(found["levels"][k] if found else None, TABLE_13[name][k], 1.0) for k in range(3)),
             str(found["clips"]) if found else ""]
            for name, found in tables["13"].items()
        ]  # fmt: skip
        made["Table 13: adaptivity on the robot"] = {"columns": ["", "level 1", "2", "3", "clips"], "rows": rows}
    if "15" in tables:
        rows = []
        for dataset, found in tables["15"].items():
            statistics = TABLE_15["taco" if dataset == "taco" else "grab"]
            cells = [beside(found["values"][k] if found else None, statistics[k], 1.0, 3) for k in range(3)]
            rows.append([dataset, *cells, str(found["clips"]) if found else ""])
        heads = ["", "s_smooth (m/s2)", "v_contact (1/s)", "s_shape (1/cm)", "clips"]
        made["Table 15: difficulty of the test clips"] = {"columns": heads, "rows": rows}
    return made


def table_9(tests: dict[str, Any]) -> Printed:
    """Ratios of effective paths, of how many tasks."""
    rows = [
        [f"({test})", beside(found["effectiveness_ratio"], TABLE_9[test]), f"{found['clips']} of {found['asked']}"]
        for test, found in tests.items()
    ]
    return {"columns": ["test", "ratio", "tasks"], "rows": rows}


def _hours(found: dict[str, float | None] | None) -> tuple[str, str]:
    if not found:
        return NOT_RUN, NOT_RUN
    cells = (found["mining_h"], found["training_h"])
    return tuple(NOT_RUN if hours is None else f"{hours:.2f}" for hours in cells)  # type: ignore[return-value]


def _count(row: dict[str, Any] | None) -> str:
    return f"{row['clips']} x {row['envs']}" if row else ""
