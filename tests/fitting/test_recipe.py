"""Recipes: every setting has a source; terms go and settings change by name."""

from pathlib import Path

import pytest

from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.fitting.recipe import METHODS, live_recipe, load_recipe, read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_setting_says_where_it_comes_from(name):
    recipe = load_recipe(name)
    method = METHODS[recipe.method]
    wanted = {f"{term}.{s}" for term in recipe.terms for s in method.terms[term]} | {
        f"solver.{s}" for s in method.solver
    }
    assert set(recipe.sources) == wanted and set(recipe.sources.values()) <= {"paper", "ours"}
    assert recipe.name == name


PUBLISHED = {  # every setting that stands under `paper`, with its published value
    "default": {"surface.visible_only": True},
    "tfhot": {  # table 3, in the wild; appendix A
        "joints_2d.weight": 300, "render.weight": 100, "render.hand": 1, "render.object": 1, "surface.weight": 0.1,
        "surface.to_faces": 1, "surface.to_points": 1, "surface.visible_only": True, "sdf.weight": 0.1,
        "penetration.weight": 0.1, "attraction.weight": 1, "regularisation.weight": 100, "regularisation.hand": 1,
        "regularisation.object": 1, "regularisation.threshold": 0.02, "regularisation.object_threshold": 0.04,
        "solver.rate": 0.01, "solver.hypotheses": 20, "solver.first_steps": 500, "solver.steps": 250,
        "solver.stop": 0.01, "solver.estimator_start": True,
    },
    "homan": {  # supplementary C
        "silhouette.weight": 1, "vertices_2d.weight": 50, "pca.weight": 0.004, "size.weight": 0.001,
        "smoothness.weight": 2000, "centroid.weight": 1, "local_contact.weight": 1, "local_contact.attraction": 0.01,
        "local_contact.repulsion": 0.02, "collision.weight": 0.001, "solver.rotations": 50, "solver.coarse_steps": 200,
        "solver.fine_steps": 200, "solver.turn_rate": 0.1, "solver.finger_rate": 0.1, "solver.place_rate": 0.01,
        "solver.scale_rate": 0.01, "solver.components": 16,
        # read off the authors' program
        "silhouette.scale": 0.1, "vertices_2d.scale": 1, "pca.scale": 1, "size.scale": 1, "smoothness.scale": 0.37,
        "centroid.scale": 3.33, "local_contact.scale": 1, "collision.scale": 10,
    },
    "handypriors": {},  # neither weights nor learning rate nor steps are published
    "contact": {},
    "body": {},
    "robot_hand": {},
}  # fmt: skip
PUBLISHED["tfhot_dexycb"] = PUBLISHED["tfhot"] | {  # table 3, DexYCB
    "joints_2d.weight": 10000, "surface.weight": 1, "sdf.weight": 1, "penetration.weight": 1,
    "regularisation.object_threshold": 0.03, "solver.stop": 0.02, "solver.estimator_start": False,
}  # fmt: skip


PUBLISHED["homan_parity"] = PUBLISHED["homan"] | {"solver.pruned_to": 50}


@pytest.mark.parametrize("name", recipe_names())
def test_what_is_published_has_its_published_value(name):
    recipe = load_recipe(name)
    values = {f"{term}.{s}": x for term, row in recipe.terms.items() for s, x in row.items()}
    values |= {f"solver.{s}": x for s, x in recipe.solver.items()}
    paper = {key: values[key] for key, source in recipe.sources.items() if source == "paper"}
    assert paper == PUBLISHED[name]


def test_only_the_tracker_runs_live():
    assert live_recipe("default").method == "tracking"
    for name in ("tfhot", "homan", "handypriors"):
        with pytest.raises(DexhotError, match="recordings only"):
            live_recipe(name)


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


def test_a_recipe_like_another_gives_what_differs():
    def read(**rows):
        return read_recipe({"name": "x", "like": "homan", **rows}, Path("x.yaml"))

    homan, mine = load_recipe("homan"), read(terms={"size": {"ours": {"weight": 0.5}}})
    assert mine.name == "x" and mine.method == "homan" and mine.terms["size"] == {"weight": 0.5, "scale": 1.0}
    assert mine.sources["size.weight"] == "ours" and homan.sources["size.weight"] == "paper"
    assert mine.terms["pca"] == homan.terms["pca"] and mine.solver == homan.solver
    assert read(terms={"size": {"ours": None}}).terms == homan.terms
    with pytest.raises(NotFoundError, match=r"size\.weights"):
        read(terms={"size": {"ours": {"weights": 0.5}}})
    with pytest.raises(FileFormatError, match="under paper or ours"):
        read(solver={"pruned_to": 50})
    with pytest.raises(FileFormatError, match="is like homan"):
        read(method="homan")


def test_a_recipe_without_sources_or_with_gaps_is_refused():
    solver = {"ours": dict(load_recipe("default").solver)}

    def read(terms):
        return read_recipe({"name": "x", "method": "tracking", "terms": terms, "solver": solver}, Path("x.yaml"))

    assert read({"prior": {"paper": {"weight": 1.0}}}).sources["prior.weight"] == "paper"
    with pytest.raises(FileFormatError, match="under paper or ours"):
        read({"prior": {"weight": 1.0}})
    with pytest.raises(FileFormatError, match="lacks sigma"):
        read({"sdf": {"ours": {"weight": 1.0}}})
    with pytest.raises(FileFormatError, match="twice"):
        read({"prior": {"ours": {"weight": 1.0}, "paper": {"weight": 1.0}}})
    with pytest.raises(NotFoundError, match="method"):
        read_recipe({"name": "x", "method": "magic", "terms": {}, "solver": solver}, Path("x.yaml"))
    with pytest.raises(NotFoundError):
        read({"gravity": {"ours": {"weight": 1.0}}})
