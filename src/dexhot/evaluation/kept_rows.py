"""Rows of an evaluation that outlive it: a run that was stopped goes on with the clips that are left.

A row is kept in the cache under a hash of all that it depends on: clip, options, the files that they name, and the code
that retargets, plans, simulates and judges.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dexhot.data.files import write_text
from dexhot.evaluation.controllers import evaluate_clip
from dexhot.evaluation.motions import demonstration_files
from dexhot.evaluation.options import EvaluationOptions
from dexhot.paths import cache_dir
from dexhot.versions import source_hash


def evaluate_kept(job: tuple[str, EvaluationOptions]) -> dict[str, Any]:
    """`evaluate_clip`, or what it found before."""
    kept = cache_dir() / "evaluated" / f"{job[0]}-{row_key(job)}.json"
    if kept.is_file():
        row: dict[str, Any] = json.loads(kept.read_text())
        return row
    row = evaluate_clip(job)
    write_text(kept, json.dumps(row, indent=1) + "\n")
    return row


def row_key(job: tuple[str, EvaluationOptions]) -> str:
    """Hash of all that a row depends on."""
    clip, options = job
    files = [Path(options.prior), *demonstration_files(options.demonstrations, clip)]
    for network in filter(None, (options.policy, options.feedback, *(path for _, path in options.policies))):
        files += [Path(network), Path(network).with_suffix(".json")]
    digest = hashlib.sha256(json.dumps([clip, asdict(options), source_hash()], sort_keys=True).encode())
    for path in files:
        digest.update(path.read_bytes() if path.is_file() else b"none")
    return digest.hexdigest()[:16]
