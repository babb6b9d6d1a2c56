"""Recipes: every setting has a source; terms go and settings change by name."""

from pathlib import Path

import pytest

from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.fitting.recipe import SOLVER, TERMS, load_recipe, read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_setting_says_where_it_comes_from(name):
    recipe = load_recipe(name)
    wanted = {f"{term}.{s}" for term in recipe.terms for s in TERMS[term]} | {f"solver.{s}" for s in SOLVER}
    assert set(recipe.sources) == wanted and set(recipe.sources.values()) <= {"paper", "ours"}


def test_the_default_takes_visible_aware_from_the_paper():
    assert load_recipe("default").sources["surface.visible_only"] == "paper"


def test_terms_go_by_name():
    recipe = load_recipe("default").without(["penetration"])
    assert "penetration" not in recipe.terms and "surface" in recipe.terms
    with pytest.raises(NotFoundError, match="penetration"):
        load_recipe("default").without(["penetrating"])


def test_settings_change_by_name():
    recipe = load_recipe("default").changed(["surface.sigma=0.004", "solver.iterations=8"])
    assert recipe.terms["surface"]["sigma"] == 0.004 and recipe.solver["iterations"] == 8
    assert recipe.sources["surface.sigma"] == "command line"
    for wrong in ("surface.sigmas=1", "surface.sigma", "nothing.at=1"):
        with pytest.raises(NotFoundError):
            load_recipe("default").changed([wrong])
    with pytest.raises(DexhotError, match="not negative"):
        load_recipe("default").changed(["surface.sigma=-1"])


def test_a_recipe_without_sources_or_with_gaps_is_refused():
    solver = {"ours": dict(load_recipe("default").solver)}

    def read(terms):
        return read_recipe({"name": "x", "terms": terms, "solver": solver}, Path("x.yaml"))

    assert read({"prior": {"paper": {"weight": 1.0}}}).sources["prior.weight"] == "paper"
    with pytest.raises(FileFormatError, match="under paper or ours"):
        read({"prior": {"weight": 1.0}})
    with pytest.raises(FileFormatError, match="lacks sigma"):
        read({"sdf": {"ours": {"weight": 1.0}}})
    with pytest.raises(FileFormatError, match="twice"):
        read({"prior": {"ours": {"weight": 1.0}, "paper": {"weight": 1.0}}})
    with pytest.raises(NotFoundError):
        read({"gravity": {"ours": {"weight": 1.0}}})
