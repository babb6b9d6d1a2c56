"""Mutants of a module: cosmic-ray's operators at every place they fit, and a sample that stays as code moves."""

import difflib
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cosmic_ray.plugins as plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.work_item import MutationSpec


@dataclass(frozen=True)
class Mutant:
    """One change of one line."""

    spec: MutationSpec
    line: str  # as it stands, stripped; with the names around it the mutant's identity while lines move
    variant: int  # of several that one operator makes of one node

    @property
    def module(self) -> Path:
        found: Path = self.spec.module_path
        return found

    def rank(self, seed: int) -> str:
        """A pseudo-random number that depends on the mutant and the seed alone, not on the code around it."""
        spec = self.spec
        place = (self.module, spec.definition_name, self.line, spec.start_pos[1])
        parts = (seed, *place, spec.operator_name, self.variant)
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@cache
def operators() -> dict[str, Operator]:
    """cosmic-ray's operators that need no arguments."""
    classes = {name: plugins.get_operator(name) for name in plugins.operator_names()}
    return {name: kind() for name, kind in classes.items() if not kind.arguments()}


def in_annotation(node: Any) -> bool:
    """Whether a node is part of a type: `float | None` is no decision."""
    while node.parent is not None:
        parent = node.parent
        if parent.type in ("tfpdef", "annassign") and ":" in (child.get_code().strip() for child in parent.children):
            return parent.type == "tfpdef" or node is parent.children[1]
        if parent.type == "funcdef" and "->" in (child.get_code().strip() for child in parent.children):
            return node is parent.annotation
        node = parent
    return False


def mutants(root: Path, module: Path) -> list[Mutant]:
    """Every mutant of a module, `module` being relative to root."""
    source = (root / module).read_text()
    lines, nodes = source.splitlines(), list(ast_nodes(get_ast(source)))
    found = []
    for name, operator in operators().items():
        occurrence = -1
        for node in nodes:
            for variant, (start, end) in enumerate(operator.mutation_positions(node)):
                occurrence += 1
                if in_annotation(node):
                    continue
                around = ASTQuery(node).get_definition_name()
                spec = MutationSpec(module, name, occurrence, start, end, definition_name=around)
                found.append(Mutant(spec, lines[start[0] - 1].strip(), variant))
    return found


def sample(found: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them, at most one per place in the code: eleven mutants of one `*` would say the same thing."""
    chosen: dict[tuple[Path, tuple[int, int]], Mutant] = {}
    for mutant in sorted(found, key=lambda m: m.rank(seed)):
        chosen.setdefault((mutant.module, mutant.spec.start_pos), mutant)
        if len(chosen) == count:
            break
    return list(chosen.values())


def mutated(source: str, mutant: Mutant) -> str:
    """The module's text with the mutant in it."""
    text = mutate_code(source, operators()[mutant.spec.operator_name], mutant.spec.occurrence)
    assert text is not None, f"{mutant} is none of this text"
    return str(text)


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """What the mutant took away and what it put there, stripped."""
    diff = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]
    kept = [" ".join(d[1:].strip() for d in diff if d.startswith(sign) and d[1:].strip()) for sign in "-+"]
    return kept[0], kept[1]
