"""What is mutated, with which tests, and the mutants known to change nothing: mutants.toml."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("tools/mutants/mutants.toml")  # of the checkout


@dataclass(frozen=True)
class Table:
    """What mutants.toml of the checkout at `root` says."""

    root: Path
    packages: dict[str, list[str]]  # package -> globs of its modules, relative to root
    excluded: list[str]  # globs of modules that are not mutated
    tests: dict[str, list[str]]  # module -> test files besides test_<module>.py
    equivalents: dict[tuple[str, str, str], str]  # (module, line, mutated line) -> reason

    def modules(self, package: str) -> list[Path]:
        """Paths relative to root, sorted. Raises ValueError for an unknown package."""
        if package not in self.packages:
            raise ValueError(f"no package {package!r}; there are: {', '.join(self.packages)}")
        left_out = {path for glob in self.excluded for path in self.root.glob(glob)}
        found = {path for glob in self.packages[package] for path in self.root.glob(glob)} - left_out
        return sorted(path.relative_to(self.root) for path in found if path.name != "__init__.py")

    def nearest(self, module: Path) -> tuple[str, ...]:
        """Test files of a module: its own by name and the listed ones; without any, those that import it or, where
        none does, its neighbours in the package. Raises ValueError where there is none at all."""
        there, listed = self.test_files(), self.tests.get(module.as_posix(), [])
        if lost := [name for name in listed if name not in there]:
            raise ValueError(f"{TABLE.name} names {', '.join(lost)} for {module}, which does not exist")
        if found := dict.fromkeys(there[name] for name in [module.stem, *listed] if name in there):
            return tuple(found)
        parts = module.relative_to("src").with_suffix("").parts
        for dotted in (".".join(parts), ".".join(parts[:-1])):
            if importers := tuple(name for name in there.values() if dotted in (self.root / name).read_text()):
                return importers
        raise ValueError(f"no test is near {module}: add tests/test_{module.stem}.py or a row to {TABLE.name}")

    def test_files(self) -> dict[str, str]:
        """name -> path relative to root, of tests/**/test_<name>.py."""
        found = sorted((self.root / "tests").rglob("test_*.py"))
        return {path.stem.removeprefix("test_"): path.relative_to(self.root).as_posix() for path in found}

    def digest(self, tests: tuple[str, ...]) -> str:
        """Changes with the text of these test files and of what they share."""
        text = b"".join((self.root / name).read_bytes() for name in (*tests, "tests/conftest.py"))
        return hashlib.sha256(text).hexdigest()[:16]


def load_table(root: Path) -> Table:
    """Raises ValueError for an equivalent without a reason."""
    raw = tomllib.loads((root / TABLE).read_text())
    equivalents = {(e["module"], e["line"], e["mutant"]): e.get("reason", "") for e in raw.get("equivalent", [])}
    if bare := [key for key, reason in equivalents.items() if not reason.strip()]:
        raise ValueError(f"{TABLE.name}: give the reason why {bare[0]} is equivalent")
    return Table(root, raw["packages"], raw.get("excluded", []), raw.get("tests", {}), equivalents)
