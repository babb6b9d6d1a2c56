"""What benchmarks/results has: one file per benchmark and day, of which the latest counts."""

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"


@cache
def latest(benchmark: str) -> Any:
    """The content of the latest file of a benchmark, as "mine-test" of 2026-11-27-mine-test.json."""
    return json.loads(max(RESULTS.glob(f"????-??-??-{benchmark}.json")).read_text())
