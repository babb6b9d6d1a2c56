"""The rows of `dexhot bench fit`: recipes on clips, what is taken from them, and the published rows beside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dexhot.errors import NotFoundError
from dexhot.fitting import body as body_fit
from dexhot.fitting.handypriors import PHYSICS, RENDER
from dexhot.fitting.homan import INDEPENDENT
from dexhot.fitting.recipe import Recipe, load_recipe
from dexhot_bench import fit_body, fit_contact, fit_robot
from dexhot_bench.fit_clips import CLIPS, PAPER_IOU, Sight, clip_names
from dexhot_bench.kept import NOT_RUN

FRAMES, FEW_CLIPS, FEW_FRAMES = 60, 4, 30  # all clips; those of the ablations and of parity with the papers' Adam
QUICK_FRAMES, QUICK_SLOW_FRAMES = 24, 4
RECIPES = ("default", "tfhot", "tfhot_dexycb", "homan", "handypriors")
OTHERS = ("contact", "robot_hand", "body")  # recipes that are not fitted to rendered clips of a person
STARTS = ((10.0, 10.0), (20.0, 20.0), (40.0, 40.0))  # deg and mm that the object's first pose is off
QUICK_SETTINGS = {  # far fewer steps than the papers take: a check that all of it runs
    "tfhot": ("first_steps=30", "steps=20", "hypotheses=6"),
    "homan": ("rotations=8", "search_steps=10", "follow_steps=4", "coarse_steps=20", "fine_steps=10"),
    "handypriors": ("rotations=8", "search_steps=10", "follow_steps=4", "steps=20"),
}
TFHOT_S = round(14 * 60.0 / 1918, 2)  # per frame: each of 14 videos, 1,918 frames in all, within a minute
PUBLISHED = {  # on the papers' own data: for the pattern, not the values
    "TF-HOT, a video within a minute (in the wild)": {
        "tfhot": {"s_per_frame": TFHOT_S},
    },
    "TF-HOT, table 2 (DexYCB, can)": {
        "tfhot_dexycb": {"mpjpe_mm": 28.6},
        "tfhot_dexycb, vanilla surface": {"mpjpe_mm": 44.5},
        "tfhot_dexycb without penetration": {"mpjpe_mm": 37.1},
        "tfhot_dexycb without attraction": {"mpjpe_mm": 37.3},
        "tfhot_dexycb without regularisation": {"mpjpe_mm": 31.6},
        "tfhot_dexycb without sdf": {"mpjpe_mm": 36.0},
    },
    "HOMan, table 1 (HO-3D)": {
        "homan, independent": {"mesh_mm": 262.0, "object_vertex_mm": 121.0, "add_s_mm": 77.0},
        "homan": {"mesh_mm": 86.0, "object_vertex_mm": 80.0, "add_s_mm": 38.0},
        "homan without local_contact": {"mesh_mm": 85.0, "object_vertex_mm": 80.0, "add_s_mm": 38.0},
        "homan without collision": {"mesh_mm": 89.0, "object_vertex_mm": 80.0, "add_s_mm": 38.0},
        "homan without centroid": {"mesh_mm": 171.0, "object_vertex_mm": 81.0, "add_s_mm": 38.0},
        "homan without smoothness": {"mesh_mm": 114.0, "object_vertex_mm": 128.0, "add_s_mm": 83.0},
    },
    "HandyPriors, table I, left (HO-3D, SM1); 2D in cm": {
        "handypriors, initialisation": {"chamfer_3d_mm": 525.0, "s_per_frame": 0.072},
        "handypriors, + rendering": {"chamfer_3d_mm": 15.4, "s_per_frame": 2.29},
        "handypriors": {"chamfer_3d_mm": 11.0, "s_per_frame": 5.83},
    },
}
COLUMNS = {  # of the printed table: metric, heading, digits
    "mpjpe_mm": ("joints", 1), "mpjpe_pa_mm": ("aligned", 1), "mesh_mm": ("mesh", 1), "t_err_mm": ("t_err", 1),
    "r_err_deg": ("r_err", 1), "object_vertex_reduced_mm": ("object", 1), "add_s_mm": ("ADD-S", 1),
    "chamfer_3d_mm": ("chamfer", 1), "penetration_mm": ("deep", 1), "contact_accuracy": ("contact", 2),
    "s_per_frame": ("s/frame", 3),
}  # fmt: skip


@dataclass(frozen=True)
class TableRow:
    """A recipe on some clips, a line of a table."""

    name: str
    recipe: Recipe
    clips: int
    frames: int
    sight: Sight = field(default_factory=Sight)
    hand: str = ""  # of a robot; "": a person's


def rows_of(ablate: bool, frames: int = FEW_FRAMES) -> list[TableRow]:
    """All recipes on all clips, and on fewer with HOMan's independent composition, two hands and a stand-in for the
    object; with `ablate` each without each of its terms there, from starts that are off and with exact evidence.
    `frames`: of the fewer clips."""
    recipes = {name: load_recipe(name) for name in RECIPES}
    homan = recipes["homan"]
    scaled = homan.changed(["solver.stand_in=true"])
    two = Sight(hands=2)
    rough, rough_two = Sight(mask_iou=PAPER_IOU), Sight(hands=2, mask_iou=PAPER_IOU)

    def few(name: str, recipe: Recipe, sight: Sight | None = None) -> TableRow:
        return TableRow(name, recipe, FEW_CLIPS, frames, sight or Sight())

    rows = [TableRow(name, recipe, len(CLIPS), FRAMES) for name, recipe in recipes.items()]
    rows += [few(f"{name} ({FEW_CLIPS} clips)", recipe) for name, recipe in recipes.items()]
    rows += [
        few("default, two views", recipes["default"], Sight(views=2)),
        few("homan, independent", homan.without(INDEPENDENT)),
        few("homan, two hands", homan, two),
        few("homan, independent, two hands", homan.without(INDEPENDENT), two),
        few("homan, masks of IoU 0.66", homan, rough),
        few("homan, independent, masks of IoU 0.66", homan.without(INDEPENDENT), rough),
        few("homan, two hands, masks of IoU 0.66", homan, rough_two),
        few("homan, independent, two hands, masks of IoU 0.66", homan.without(INDEPENDENT), rough_two),
        few("homan, stand-in mesh", scaled, Sight(stand_in=True)),
    ]
    if ablate:
        for name in ("default", "tfhot_dexycb", "homan"):
            rows += without_each(recipes[name], frames)
        for name in ("default", "tfhot_dexycb"):
            rows.append(few(f"{name}, vanilla surface", recipes[name].changed(["surface.visible_only=false"])))
        prior = recipes["handypriors"]
        rows.append(few("handypriors, initialisation", prior.without(prior.terms)))
        rows.append(few("handypriors, + rendering", prior.without(PHYSICS)))
        rows.append(few("handypriors, + physics alone", prior.without(RENDER)))
        for name in ("default", "tfhot_dexycb"):
            for recipe, less in ((recipes[name], ""), (recipes[name].without(["sdf"]), " without sdf")):
                for degrees, mm in STARTS:
                    said = f"{name}{less}, start off {degrees:.0f} deg, {mm:.0f} mm"
                    rows.append(few(said, recipe, Sight(start=(degrees, mm))))
        for name in ("default", "homan"):
            for exact in (("masks",), ("keypoints",), ("masks", "keypoints")):
                rows.append(few(f"{name}, exact {' and '.join(exact)}", recipes[name], Sight(exact=exact)))
        rows.append(few("homan, all candidates kept", load_recipe("homan_parity")))
    return rows + other_rows(ablate)


def other_rows(ablate: bool) -> list[TableRow]:
    """Of the recipes that are not fitted to rendered clips of a person."""
    contact, robot, body = load_recipe("contact"), load_recipe("robot_hand"), load_recipe("body")
    robots = [
        TableRow(f"robot_hand{said}{suffix}", recipe, FEW_CLIPS, fit_robot.FRAMES, hand=hand)
        for said, hand in fit_robot.HANDS.items()
        for suffix, recipe in (("", robot), (", start", robot.without(robot.terms)))
    ]
    rows = [
        TableRow("contact", contact, FEW_CLIPS, fit_contact.MOMENTS),
        TableRow("contact, start", fit_contact.start_of(contact), FEW_CLIPS, fit_contact.MOMENTS),
        TableRow("contact, true pose", fit_contact.truth_of(contact), FEW_CLIPS, fit_contact.MOMENTS),
        *robots,
        TableRow("body, start", body.without(body.terms), len(fit_body.SCENES), fit_body.STARTS),
        TableRow("body, + rendering", body.without(body_fit.PHYSICS), len(fit_body.SCENES), fit_body.STARTS),
        TableRow("body", body, len(fit_body.SCENES), fit_body.STARTS),
    ]
    if ablate:
        rows += without_each(contact, fit_contact.MOMENTS) + without_each(robot, fit_robot.FRAMES)
        narrow, flat = contact.changed(["solver.widest=0.001"]), contact.changed(["contact.normal_weight=0"])
        rows.append(TableRow("contact, published values alone", narrow, FEW_CLIPS, fit_contact.MOMENTS))
        rows.append(TableRow("contact without normals", flat, FEW_CLIPS, fit_contact.MOMENTS))
    return rows


def without_each(recipe: Recipe, frames: int) -> list[TableRow]:
    """The recipe without each of its terms."""
    hand = fit_robot.HANDS[""] if recipe.method == "robot_hand" else ""
    return [
        TableRow(f"{recipe.name} without {term}", recipe.without([term]), FEW_CLIPS, frames, hand=hand)
        for term in recipe.terms
    ]


def quick_rows() -> list[TableRow]:
    """The default on one clip, and the papers' recipes cut short on a few of its frames."""
    rows = [TableRow("default", load_recipe("default"), 1, QUICK_FRAMES)]
    for name, settings in QUICK_SETTINGS.items():
        recipe = load_recipe(name).changed(f"solver.{setting}" for setting in settings)
        rows.append(TableRow(name, recipe, 1, QUICK_SLOW_FRAMES))
    contact = load_recipe("contact").changed(["solver.steps=5"])
    return [*rows, TableRow("contact", contact, 1, 1)]  # a robot's clip takes too long to retarget and simulate


def chosen(rows: list[TableRow], recipes: Sequence[str]) -> list[TableRow]:
    """Rows of the recipes named; all without any. Raises NotFoundError for a name that has none."""
    known = dict.fromkeys(row.recipe.name for row in rows)
    for name in recipes:
        if name not in known:
            raise NotFoundError("recipe of the benchmark", name, known)
    return [row for row in rows if not recipes or row.recipe.name in recipes]


def names_of(row: TableRow) -> list[str]:
    """What a row is measured on, in order: scenes of bodies, else clips."""
    return (fit_body.names() if row.recipe.method == "body" else clip_names(row.sight.hands))[: row.clips]


def published(rows: Sequence[TableRow]) -> dict[str, Any]:
    """The papers' rows that have one of ours beside them, by table."""
    tables: dict[str, Any] = {
        name: table for name, table in PUBLISHED.items() if any(row.name.split(" (")[0] in table for row in rows)
    }
    methods = {row.recipe.method for row in rows}
    if "contact" in methods:
        tables["contact (table IV, ContactPose)"] = fit_contact.PUBLISHED
    if "body" in methods:
        tables["body (table V, COCO)"] = fit_body.PUBLISHED
    return tables


def printed(rows: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    """The table of a run for people, under its title: each row with the paper's below it; one that was not run says
    so."""
    theirs = {name: row for part in beside.values() for name, row in part.items()}
    lines = []
    for name, row in rows.items():
        cells = row["metrics"] if isinstance(row["metrics"], dict) else {}
        size = f"{len(row['clips'])} x {row['frames']}" if cells else NOT_RUN
        lines.append([name, size, *(shown(cells, key, digits) for key, (_, digits) in COLUMNS.items())])
        if paper := theirs.get(name.split(" (")[0]):
            lines.append(["  published", "", *(shown(paper, key, digits) for key, (_, digits) in COLUMNS.items())])
    columns = ["row", "clips x frames", *(heading for heading, _ in COLUMNS.values())]
    title = "mm, deg, s of one core; object: vertices, symmetry-reduced"
    return {title: {"columns": columns, "rows": lines}}


def shown(cells: dict[str, float], key: str, digits: int) -> str:
    """A metric, empty where there is none."""
    return f"{cells[key]:.{digits}f}" if key in cells else ""
