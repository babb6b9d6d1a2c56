"""Recipes of `dexhot fit`: which terms, with which weights, and how they are solved. One YAML each in config/recipes.

Every setting stands under `paper` (published) or `ours` (unpublished there, chosen on training clips). A recipe that
says which one it is `like` gives only what differs from that one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.paths import share_dir

SOURCES = ("paper", "ours")
Settings = dict[str, tuple[str, ...]]
TRACKING: Settings = {  # terms of the tracker, and their settings
    "joints_2d": ("weight", "sigma"),
    "joint_depth": ("weight", "sigma", "inside", "hidden"),
    "relative_depth": ("weight", "sigma"),
    "hand_mask": ("weight", "sigma"),
    "object_mask": ("weight", "sigma"),
    "surface": ("weight", "back", "sigma", "reach", "visible_only"),
    "sdf": ("weight", "sigma"),
    "free_space": ("weight", "sigma", "margin"),
    "penetration": ("weight", "sigma", "margin"),
    "attraction": ("weight", "sigma", "gate", "reach"),
    "temporal": (
        "weight", "turn", "shift", "bend", "object_turn", "object_shift", "threshold", "object_threshold",
    ),
    "prior": ("weight",),
    "limits": ("weight", "sigma"),
    "fingers": ("weight", "room", "sigma"),
    "ground": ("weight", "sigma"),
}  # fmt: skip
TFHOT: Settings = {
    "joints_2d": ("weight", "scale"),
    "render": ("weight", "hand", "object", "scale"),
    "surface": ("weight", "to_faces", "to_points", "visible_only", "reach", "scale"),
    "sdf": ("weight", "scale"),
    "penetration": ("weight", "scale"),
    "attraction": ("weight", "gate", "scale"),
    "regularisation": ("weight", "hand", "object", "threshold", "object_threshold", "scale"),
    "shape": ("weight", "scale"),
}
HOMAN: Settings = {
    "silhouette": ("weight", "scale"),
    "vertices_2d": ("weight", "scale"),
    "pca": ("weight", "scale"),
    "size": ("weight", "scale"),
    "smoothness": ("weight", "scale"),
    "centroid": ("weight", "scale"),
    "local_contact": ("weight", "attraction", "repulsion", "scale"),
    "collision": ("weight", "scale"),
}
HANDYPRIORS: Settings = {
    "image": ("weight", "scale"),
    "mask": ("weight", "hand", "object", "scale"),
    "sliding": ("weight", "near", "scale"),
    "penetration": ("weight", "scale"),
    "consistency": ("weight", "pose", "scale"),
    "oscillation": ("weight", "scale"),
}
ROBOT_HAND: Settings = {name: HANDYPRIORS[name] for name in ("image", "sliding", "penetration", "oscillation")} | {
    "mask": ("weight", "object", "scale"),
    "consistency": ("weight", "scale"),
}
BODY: Settings = {name: HANDYPRIORS[name] for name in ("image", "mask", "penetration")} | {
    "pose": ("weight", "scale"),
    "shape": ("weight", "scale"),
}
CONTACT: Settings = {
    "contact": ("weight", "normal_weight", "scale"),
    "penetration": ("weight", "scale"),
    "pca": ("weight", "scale"),
}
RATES = ("turn_rate", "place_rate", "finger_rate")
SEARCH_COUNTS = ("rotations", "search_steps", "follow_steps", "pruned_after", "pruned_to")
SEARCH_RATES = ("search_turn_rate", "search_place_rate")


@dataclass(frozen=True)
class Method:
    """How a recipe is solved, and what it may set."""

    terms: Settings
    counts: tuple[str, ...]  # settings of the solver that are whole numbers of at least 1
    numbers: tuple[str, ...]  # and those that are not
    depth: bool = True  # whether it reads depth

    @property
    def solver(self) -> tuple[str, ...]:
        """All settings of the solver."""
        return self.counts + self.numbers


METHODS = {
    "tracking": Method(
        TRACKING,
        ("iterations", "first_iterations", "hand_points", "object_points", "hypotheses", "object_hypotheses", "kept",
         "alive"),
        ("damping", "widest", "velocity", "object_lost", "hand_lost", "smooth"),
    ),
    "tfhot": Method(
        TFHOT,
        ("hypotheses", "first_steps", "steps", "pixels", "hand_points", "object_points", "object_hypotheses"),
        ("rate", "stop", "estimator_start", "pose_spread", "shape_spread"),
    ),
    "homan": Method(
        HOMAN,
        (*SEARCH_COUNTS, "coarse_steps", "fine_steps", "components", "pixels"),
        (*SEARCH_RATES, *RATES, "scale_rate", "stand_in"),
        depth=False,
    ),
    "handypriors": Method(
        HANDYPRIORS, (*SEARCH_COUNTS, "steps", "pixels"), (*SEARCH_RATES, *RATES), depth=False
    ),
    "robot_hand": Method(
        ROBOT_HAND, (*SEARCH_COUNTS, "steps", "pixels"), (*SEARCH_RATES, "turn_rate", "place_rate"), depth=False
    ),
    "body": Method(
        BODY,
        (*SEARCH_COUNTS, "steps", "pixels"),
        (*SEARCH_RATES, "turn_rate", "place_rate", "pose_rate", "shape_rate", "body_turn", "body_shift", "body_pose",
         "object_turn", "object_shift"),
        depth=False,
    ),
    "contact": Method(
        CONTACT,
        ("stages", "steps", "components"),
        (*RATES, "widest", "hand_turn", "hand_shift", "hand_pose", "object_turn", "object_shift"),
        depth=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Settings by term, of the solver, and where each comes from."""

    name: str
    method: str  # one of METHODS
    terms: dict[str, dict[str, Any]]
    solver: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)  # "surface.sigma": "ours"

    def without(self, names: Iterable[str]) -> "Recipe":
        """Fewer terms. Raises NotFoundError for one that the recipe does not have."""
        names = list(names)
        for name in names:
            if name not in self.terms:
                raise NotFoundError(f"term of recipe {self.name}", name, self.terms)
        return replace(self, terms={name: row for name, row in self.terms.items() if name not in names})

    def changed(self, changes: Iterable[str]) -> "Recipe":
        """With settings such as "surface.sigma=0.004" or "solver.iterations=8". Raises DexhotError for a wrong one."""
        terms = {name: dict(row) for name, row in self.terms.items()}
        solver, sources = dict(self.solver), dict(self.sources)
        for change in changes:
            key, equals, text = change.partition("=")
            group, _, setting = key.partition(".")
            rows = solver if group == "solver" else terms.get(group)
            if not equals or rows is None or setting not in rows:
                valid = [f"{name}.{s}" for name, row in {**terms, "solver": solver}.items() for s in row]
                raise NotFoundError("setting (TERM.SETTING=VALUE)", key, valid)
            rows[setting] = _number(key, yaml.safe_load(text))
            sources[key] = "command line"
        return replace(self, terms=terms, solver=solver, sources=sources)


def recipe_names() -> list[str]:
    """Names of the recipes shipped."""
    return sorted(path.stem for path in (share_dir() / "config" / "recipes").glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or a recipe file by its path (.yaml)."""
    path = Path(name) if name.endswith(".yaml") else share_dir() / "config" / "recipes" / f"{name}.yaml"
    if not path.is_file():
        raise NotFoundError("recipe", name, recipe_names(), "A file of your own must end in .yaml.")
    try:
        return read_recipe(load_yaml(path), path)
    except yaml.YAMLError as e:
        raise FileFormatError(f"{path} is no YAML: {e}") from e


def live_recipe(name: str) -> Recipe:
    """A recipe of the tracker, which alone runs frame by frame as images arrive. Raises DexhotError for another."""
    recipe = load_recipe(name)
    if recipe.method != "tracking":
        raise DexhotError(
            f"recipe {recipe.name} fits recordings only; live, take default or another of method tracking."
        )
    return recipe


def read_recipe(raw: Any, path: Path) -> Recipe:
    """Checks names, sources and numbers. Raises FileFormatError naming the setting and the valid ones."""
    if isinstance(raw, dict) and "like" in raw:
        return _like(load_recipe(str(raw["like"])), raw, path)
    given = {"name", "method", "terms", "solver"}
    if not isinstance(raw, dict) or set(raw) != given or not isinstance(raw["terms"], dict):
        raise FileFormatError(f"{path} must have name, method, terms and solver.")
    if raw["method"] not in METHODS:
        raise NotFoundError(f"method in {path.name}", str(raw["method"]), METHODS)
    method = METHODS[raw["method"]]
    terms, sources = {}, {}
    for name, block in raw["terms"].items():
        if name not in method.terms:
            raise NotFoundError(f"term in {path.name}", str(name), method.terms)
        terms[name], found = _settings(f"{path.name}: {name}", block, method.terms[name])
        sources.update({f"{name}.{setting}": source for setting, source in found.items()})
    solver, found = _settings(f"{path.name}: solver", raw["solver"], method.solver)
    sources.update({f"solver.{setting}": source for setting, source in found.items()})
    for setting in method.counts:
        if not (isinstance(solver[setting], int) and solver[setting] >= 1):
            raise FileFormatError(f"{path.name}: solver.{setting} must be a whole number of at least 1.")
    return Recipe(str(raw["name"]), str(raw["method"]), terms, solver, sources)


def _like(base: Recipe, raw: dict[str, Any], path: Path) -> Recipe:
    """Another recipe with some settings changed."""
    if set(raw) - {"terms", "solver"} != {"name", "like"}:
        raise FileFormatError(f"{path} is like {base.name}: it has a name, and may have terms and solver.")
    rows = {**(raw.get("terms") or {}), "solver": raw.get("solver") or {}}
    values, sources = {}, {}
    for group, block in rows.items():
        for source, setting, value in _given(f"{path.name}: {group}", block):
            values[f"{group}.{setting}"], sources[f"{group}.{setting}"] = value, source
    changed = base.changed([f"{key}={value}" for key, value in values.items()])
    return replace(changed, name=str(raw["name"]), sources=base.sources | sources)


def _settings(where: str, block: Any, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, setting, value in _given(where, block):
        if setting not in names:
            raise NotFoundError(f"setting of {where}", str(setting), names)
        if setting in values:
            raise FileFormatError(f"{where}.{setting} is given twice.")
        values[setting], sources[setting] = _number(f"{where}.{setting}", value), source
    if missing := [name for name in names if name not in values]:
        raise FileFormatError(f"{where} lacks {', '.join(missing)}.")
    return values, sources


def _given(where: str, block: Any) -> Iterator[tuple[str, Any, Any]]:
    """Source, name and value of each setting of a term or the solver. Raises FileFormatError."""
    if not isinstance(block, dict) or not set(block) <= set(SOURCES):
        raise FileFormatError(f"{where}: settings stand under {' or '.join(SOURCES)}.")
    for source, rows in block.items():
        for setting, value in (rows or {}).items():
            yield source, setting, value


def _number(where: str, value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int | float) and value >= 0):
        return value
    raise DexhotError(f"{where} must be a number that is not negative, or true or false; not {value!r}.")
