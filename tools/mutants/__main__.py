"""`make mutants`: the score of the tests on a seeded sample of mutants per package, and the mutants that survive."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from tools.mutants.mutate import mutants, sample
from tools.mutants.session import Outcome, Session
from tools.mutants.table import load_table

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = 0.05  # of a package's mutants may be listed as equivalent


@dataclass
class Args:
    """Mutate the pure modules and run the tests nearest to each. An interrupted run goes on where it stopped."""

    package: Annotated[list[str], tyro.conf.UseAppendAction] = field(default_factory=list)
    """Packages of tools/mutants/mutants.toml; may be repeated. Default: all."""
    sample: int = 60
    """Mutants per package; 0: all of them."""
    seed: int = 0
    """Of the sample."""
    module: str = ""
    """Only modules whose path contains this."""
    goal: float = 0.85
    """The least fraction killed; below it the exit status is 1."""
    jobs: int = 1
    """Mutants tried at the same time, each in a copy of the checkout."""
    root: Path = ROOT
    """The checkout. Outcomes are kept in its folder .mutants, one cosmic-ray session file per package."""


def shown(outcome: Outcome) -> str:
    """A survivor as people read it."""
    spec = outcome.mutant.spec
    where = f"{spec.module_path}:{spec.start_pos[0]} in {spec.definition_name or 'the module'}"
    return f"{where}  [{spec.operator_name.split('/')[-1]}]\n  - {outcome.before}\n  + {outcome.after}"


def main(args: Args) -> int:
    """Returns 1 where a package is below the goal or lists too many equivalents."""
    try:
        table = load_table(args.root)
        rows, good = [], True
        for package in args.package or table.packages:
            modules = [module for module in table.modules(package) if args.module in module.as_posix()]
            found = [mutant for module in modules for mutant in mutants(args.root, module)]
            chosen = sample(found, args.sample, args.seed) if args.sample else found
            outcomes = []
            for outcome in Session(table, args.root / ".mutants" / f"{package}.sqlite", args.jobs).run(chosen):
                outcomes.append(outcome)
                print(f"\r{package}: {len(outcomes)} of {len(chosen)}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            equivalent = [o for o in outcomes if o.reason and not o.killed]
            survivors = [o for o in outcomes if not o.reason and not o.killed]
            judged = len(outcomes) - len(equivalent)
            score = 1.0 - len(survivors) / judged if judged else 1.0
            for outcome in sorted(survivors, key=lambda o: (o.mutant.module, o.mutant.spec.start_pos)):
                print(shown(outcome), flush=True)
            good &= score >= args.goal and len(equivalent) <= EQUIVALENT * len(outcomes)
            rows.append((package, len(found), len(outcomes), len(equivalent), len(survivors), f"{score:.3f}"))
    except (ValueError, RuntimeError) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    print(f"{'package':<14}{'mutants':>8}{'tried':>7}{'equivalent':>12}{'survivors':>11}{'killed':>8}")
    for package, *numbers, text in rows:
        print(f"{package:<14}{numbers[0]:>8}{numbers[1]:>7}{numbers[2]:>12}{numbers[3]:>11}{text:>8}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Args, prog="make mutants")))
