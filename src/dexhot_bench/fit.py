"""`dexhot bench fit`: every recipe on rendered RGB-D clips, against their truth.

The clips are those of `dexhot synth` at the middle level of noise: real motion, another hand than the fitted one, masks
and keypoints with errors. Neither the truth nor an estimator's object pose is used; the first frame starts from
nothing. A run can be stopped: each cell (a row on a clip) is kept, and the next run goes on with what is missing.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import write_text
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.datasets.contactpose import grasp_folders
from dexhot.datasets.library import load_clip
from dexhot.errors import ClipError, DexhotError, NotFoundError
from dexhot.fitting import body as body_fit
from dexhot.fitting import kernels
from dexhot.fitting.handypriors import PHYSICS, RENDER
from dexhot.fitting.homan import INDEPENDENT
from dexhot.fitting.recipe import Recipe, load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.result import RecordingFit
from dexhot.fitting.scene import HandObjectScene, object_at
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.humans.open_hand import open_hand
from dexhot.metrics.add_s import add_s
from dexhot.metrics.pose_errors import auc, chamfer, f_score, procrustes
from dexhot.objects.library import load_object
from dexhot.paths import cache_dir
from dexhot.progress import progress
from dexhot.synthesis.clip import Options, Truth, render
from dexhot_bench import fit_body, fit_contact, fit_robot

CLIPS = [
    ("cubesmall_lift", 1), ("duck_lift", 2), ("mug_lift", 6), ("cylindermedium_lift", 8), ("apple_lift", 3),
    ("elephant_lift", 5), ("knife_lift", 7), ("airplane_lift", 9), ("flashlight_lift", 10), ("mouse_lift", 11),
    ("alarmclock_lift", 12), ("cylindersmall_lift", 13), ("banana_pass1", 14), ("bowl_drink2", 15),
    ("camera_pass1", 16),
    ("cup_drink1", 17), ("duck_inspect1", 18), ("hammer_pass1", 19), ("apple_pass1", 20), ("cubemedium_inspect1", 21),
    ("elephant_lift", 22), ("duck_lift", 23), ("mug_lift", 24), ("cubesmall_lift", 25),
]  # fmt: skip
PARAMETRIC = [("lift", "box", 0), ("carry", "cylinder", 1)]  # where GRAB is not in the cache
FRAMES, FEW_CLIPS, FEW_FRAMES = 60, 4, 30  # all clips; those of the ablations and of parity with the papers' Adam
QUICK_FRAMES, QUICK_SLOW_FRAMES = 24, 4
RECIPES = ("default", "tfhot", "tfhot_dexycb", "homan", "handypriors")
QUICK_SETTINGS = {  # far fewer steps than the papers take: a check that all of it runs
    "tfhot": ("first_steps=30", "steps=20", "hypotheses=6"),
    "homan": ("rotations=8", "search_steps=10", "follow_steps=4", "coarse_steps=20", "fine_steps=10"),
    "handypriors": ("rotations=8", "search_steps=10", "follow_steps=4", "steps=20"),
}
OTHERS = ("contact", "robot_hand", "body")  # recipes that are not fitted to rendered clips of a person
WITHIN, AFTER = 0.015, 10  # m, frames: a started hand
TOUCHING = 0.003  # m: how near to the object a hand touches it (its vertices are 5 mm apart)
EVERY = 5  # frames between two at which volumes, Chamfer distances and F-scores are measured
VOXEL = 0.002  # m
NOT_RUN = "not run"
Metrics = dict[str, float]


@dataclass
class Clip:
    """A rendered clip with its truth."""

    name: str
    recording: Recording
    evidence: Evidence
    truth: Truth

    def middle(self, frames: int) -> "Clip":
        """Its middle frames alone."""
        T = len(self.recording)
        start = max(0, (T - frames) // 2)
        stop = min(T, start + frames)
        truth = Truth(self.truth.trajectory.cut(start, stop), self.truth.evidence.cut(start, stop))
        return Clip(self.name, self.recording.frames(start, stop), self.evidence.cut(start, stop), truth)


@dataclass(frozen=True)
class TableRow:
    """A recipe on some clips, a line of a table."""

    name: str
    recipe: Recipe
    clips: int
    frames: int


@dataclass
class Cells:
    """What was measured, by row and clip; kept in a file, from which the next run goes on."""

    path: Path | None
    found: dict[str, dict[str, Metrics]]

    @classmethod
    def kept(cls, path: Path | None) -> "Cells":
        """Those of a file, if there is one."""
        there = path is not None and path.is_file()
        return cls(path, json.loads(path.read_text()) if there and path else {})

    def key(self, row: TableRow) -> str:
        """Of the recipe's settings, so that a changed recipe is measured again."""
        said = json.dumps([row.recipe.method, row.recipe.terms, row.recipe.solver, row.frames], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def get(self, row: TableRow, clip: str) -> Metrics | None:
        """One cell."""
        return self.found.get(self.key(row), {}).get(clip)

    def put(self, row: TableRow, clip: str, metrics: Metrics) -> None:
        """Keep a cell."""
        self.found.setdefault(self.key(row), {})[clip] = metrics
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps(self.found, indent=1) + "\n")


def run(
    quick: bool = False,
    ablate: bool = False,
    minutes: float | None = None,
    recipes: Sequence[str] = (),
    contactpose: Path | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Errors and times of every recipe, or of those named; with `ablate` also of each recipe without each of its terms,
    on fewer clips and frames. Stops after so many `minutes`: what is missing then is "not run", and the next run goes
    on. `contactpose`: a copy of ContactPose, on which contact refinement is measured too."""
    began = time.perf_counter()
    rows = chosen(quick_rows() if quick else rows_of(ablate), recipes)
    contact = any(row.recipe.method == "contact" for row in rows)
    if contactpose is not None and not contact:
        raise DexhotError("ContactPose is for recipe contact, which --recipes leaves out.")
    if contactpose is not None:
        grasp_folders(contactpose)  # refused before the other cells
    cells = Cells.kept(None if quick else cache_dir() / "bench" / f"fit-{source_digest()}.json")
    left_out: list[str] = []
    jobs = [(k, row) for k in range(max(row.clips for row in rows)) for row in rows if k < row.clips]
    jobs.sort(key=lambda job: job[1].frames == FRAMES and job[1].name != "default")  # the long ones last
    with progress("fitting, cells", len(jobs), counted=True) as job:
        clip: Clip | None = None
        for done, (k, row) in enumerate(jobs):
            job(done, len(jobs))
            names = names_of(row)
            late = minutes is not None and time.perf_counter() - began > 60.0 * minutes
            if (
                k >= len(names)
                or late
                or cells.get(row, names[k])
                or any(said.startswith(f"{names[k]}:") for said in left_out)
            ):
                continue
            if row.recipe.method in OTHERS:
                try:
                    cells.put(row, names[k], measured(row, k))
                except DexhotError as e:
                    left_out.append(f"{names[k]}, {row.name}: {str(e).splitlines()[0]}")
                continue
            if clip is None or clip.name != names[k]:
                try:
                    clip = rendered(k, QUICK_FRAMES if quick else FRAMES)
                except (ClipError, NotFoundError) as e:
                    left_out.append(f"{names[k]}: {str(e).splitlines()[0]}")
                    continue
                with suppress(ClipError):
                    fit_one(clip.middle(3), load_recipe("default"))  # compiles
            try:
                cells.put(row, names[k], fit_one(clip.middle(row.frames), row.recipe))
            except ClipError as e:
                left_out.append(f"{names[k]}, {row.name}: {str(e).splitlines()[0]}")
    table = {row.name: summary_of(cells, row, names_of(row)) for row in rows}
    first = rows[0]
    notes = ["evidence at the middle level of noise; no object pose from an estimator"]
    if quick:
        notes.append("quick: the papers' recipes with far fewer steps than published, on 4 frames")
    other: dict[str, Any] = {"published": {"contact (table IV, ContactPose)": fit_contact.PUBLISHED}} if contact else {}
    if any(row.recipe.method == "body" for row in rows):
        other.setdefault("published", {})["body (table V, COCO)"] = fit_body.PUBLISHED
    if contactpose is not None:
        other["contactpose"] = fit_contact.contactpose(contactpose, load_recipe("contact"), 1 if quick else None)
    return other | {
        "metrics": (cells_of(table[first.name]) | comparison(table)),
        "rows": table,
        "subset": table[first.name]["clips"],
        "by_clip": {name: cells.get(first, name) or NOT_RUN for name in names_of(first)[: first.clips]},
        "left_out": left_out,
        "notes": notes,
        "seconds": time.perf_counter() - began,
    }


def rows_of(ablate: bool) -> list[TableRow]:
    """All recipes on all clips, and on fewer with HOMan's independent composition; with `ablate` each without each of
    its terms there."""
    recipes = {name: load_recipe(name) for name in RECIPES}
    few = [TableRow(f"{name} ({FEW_CLIPS} clips)", recipe, FEW_CLIPS, FEW_FRAMES) for name, recipe in recipes.items()]
    few.append(
        TableRow("homan, independent", recipes["homan"].without(INDEPENDENT), FEW_CLIPS, FEW_FRAMES),
    )
    if ablate:
        for name in ("default", "tfhot_dexycb", "homan"):
            few += without_each(recipes[name], FEW_FRAMES)
        for name in ("default", "tfhot_dexycb"):
            vanilla = recipes[name].changed(["surface.visible_only=false"])
            few.append(TableRow(f"{name}, vanilla surface", vanilla, FEW_CLIPS, FEW_FRAMES))
        prior = recipes["handypriors"]
        few.append(TableRow("handypriors, initialisation", prior.without(prior.terms), FEW_CLIPS, FEW_FRAMES))
        few.append(TableRow("handypriors, + rendering", prior.without(PHYSICS), FEW_CLIPS, FEW_FRAMES))
        few.append(TableRow("handypriors, + physics alone", prior.without(RENDER), FEW_CLIPS, FEW_FRAMES))
    return [TableRow(name, recipe, len(CLIPS), FRAMES) for name, recipe in recipes.items()] + few + other_rows(ablate)


def other_rows(ablate: bool) -> list[TableRow]:
    """Of the recipes that are not fitted to rendered clips of a person."""
    contact, robot, body = load_recipe("contact"), load_recipe("robot_hand"), load_recipe("body")
    rows = [
        TableRow("contact", contact, FEW_CLIPS, fit_contact.MOMENTS),
        TableRow("contact, start", fit_contact.start_of(contact), FEW_CLIPS, fit_contact.MOMENTS),
        TableRow("contact, true pose", fit_contact.truth_of(contact), FEW_CLIPS, fit_contact.MOMENTS),
        TableRow("robot_hand", robot, FEW_CLIPS, fit_robot.FRAMES),
        TableRow("robot_hand, start", robot.without(robot.terms), FEW_CLIPS, fit_robot.FRAMES),
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
    return [
        TableRow(f"{recipe.name} without {term}", recipe.without([term]), FEW_CLIPS, frames) for term in recipe.terms
    ]


def measured(row: TableRow, k: int) -> Metrics:
    """A cell of `other_rows`. Raises ClipError or NotFoundError where it cannot be measured."""
    if row.recipe.method == "body":
        return fit_body.measure(fit_body.body_scene(*fit_body.SCENES[k]), row.recipe, row.frames)
    source: Sequence[Any] = (f"grab/{CLIPS[k][0]}", CLIPS[k][1]) if has_grab() else PARAMETRIC[k]
    if row.recipe.method == "robot_hand":
        clip = (fit_robot.grab_clip if has_grab() else fit_robot.parametric_clip)(*source, row.frames)
        return fit_robot.measure(clip, row.recipe)
    grasps = (fit_contact.clip_grasps if has_grab() else fit_contact.parametric_grasps)(*source, row.frames)
    return fit_contact.measure(grasps, row.recipe)


def chosen(rows: list[TableRow], recipes: Sequence[str]) -> list[TableRow]:
    """Rows of the recipes named; all without any. Raises NotFoundError for a name that has none."""
    known = dict.fromkeys(row.recipe.name for row in rows)
    for name in recipes:
        if name not in known:
            raise NotFoundError("recipe of the benchmark", name, known)
    return [row for row in rows if not recipes or row.recipe.name in recipes]


def quick_rows() -> list[TableRow]:
    """The default on one clip, and the papers' recipes cut short on a few of its frames."""
    rows = [TableRow("default", load_recipe("default"), 1, QUICK_FRAMES)]
    for name, settings in QUICK_SETTINGS.items():
        recipe = load_recipe(name).changed(f"solver.{setting}" for setting in settings)
        rows.append(TableRow(name, recipe, 1, QUICK_SLOW_FRAMES))
    contact = load_recipe("contact").changed(["solver.steps=5"])
    return [*rows, TableRow("contact", contact, 1, 1)]  # a robot's clip takes too long to retarget and simulate


def source_digest() -> str:
    """Of the code that fits and renders: cells of other code are not mixed in."""
    import dexhot

    root, digest = Path(dexhot.__file__).parent, hashlib.sha256()
    for folder in ("fitting", "synthesis"):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def clip_names() -> list[str]:
    """Of the clips that can be had here, in their order."""
    if has_grab():
        return [f"{name}-{seed}" for name, seed in CLIPS]
    return [f"{kind}-{shape}-{seed}" for kind, shape, seed in PARAMETRIC]


def names_of(row: TableRow) -> list[str]:
    """What a row is measured on, in order: scenes of bodies, else clips."""
    return fit_body.names() if row.recipe.method == "body" else clip_names()


def has_grab() -> bool:
    """Whether GRAB's clips are in the cache."""
    try:
        load_clip(f"grab/{CLIPS[0][0]}")
    except NotFoundError:
        return False
    return True


def rendered(k: int, frames: int) -> Clip:
    """The k-th clip. Raises ClipError or NotFoundError where it cannot be rendered."""
    from dexhot.datasets.parametric import generate

    if has_grab():
        name, seed = CLIPS[k]
        return Clip(f"{name}-{seed}", *render(load_clip(f"grab/{name}"), None, Options(seed=seed), frames))
    kind, shape, seed = PARAMETRIC[k]
    trajectory, asset = generate(kind, shape, seed)[:2]
    return Clip(f"{kind}-{shape}-{seed}", *render(trajectory, asset, Options(seed=seed), frames))


def fit_one(clip: Clip, recipe: Recipe) -> Metrics:
    """Metrics of one clip."""
    asset = load_object(clip.truth.trajectory.object_name)
    fit = fit_recording(clip.recording, clip.evidence, asset, recipe, open_hand("right"), with_pose=False)
    return errors(fit, clip)


def errors(fit: RecordingFit, clip: Clip) -> Metrics:
    """Of hand, object, both together, and time."""
    found, true = fit.trajectory, clip.truth.trajectory
    asset = load_object(true.object_name)
    assert clip.recording.world_T_camera is not None
    camera_T_world = inverse(clip.recording.world_T_camera)
    hand, goal = found.hands["right"].keypoints, true.hands["right"].keypoints
    joints = np.linalg.norm(hand - goal, axis=-1)
    aligned = np.stack([np.linalg.norm(procrustes(a, b) - b, axis=-1) for a, b in zip(hand, goal)])
    camera = clip.recording.intrinsics
    pixels, true_pixels = (camera.project(transform(camera_T_world, x)) for x in (hand, goal))
    assert fit.model is not None
    off = transform(found.object_pose, fit.model.centre) - transform(true.object_pose, fit.model.centre)
    quats = found.object_pose[:, 3:], true.object_pose[:, 3:]
    tracked = [one for one in fit.tracked if one is not None]
    by_frame = [one for t in range(len(found.time)) if (one := _frame_errors(fit, clip, t))]
    means = {
        name: float(np.mean([one[name] for one in by_frame if name in one]))
        for name in {name for one in by_frame for name in one}
    }
    return {
        "mpjpe_mm": float(1e3 * joints.mean()),
        "mpjpe_mm_p95": float(1e3 * np.percentile(joints.mean(axis=1), 95)),
        "mpjpe_pa_mm": float(1e3 * aligned.mean()),
        "joint_auc": auc(joints),
        "j2d_px": float(np.linalg.norm(pixels - true_pixels, axis=-1).mean()),
        "t_err_mm": float(1e3 * np.linalg.norm(off, axis=1).mean()),
        "r_err_deg": float(np.degrees(reduced_angle(asset.symmetry, *quats)).mean()),
        "r_err_raw_deg": float(np.degrees(quat_angle(*quats)).mean()),
        "add_s_mm": float(1e3 * add_s(asset, found.object_pose, true.object_pose).mean()),
        "penetration_mm": float(1e3 * np.percentile([one["depth"] for one in by_frame], 95)),
        "init_success": float(joints[min(AFTER, len(joints) - 1)].mean() < WITHIN),
        "lost_fraction": float(np.mean([one.hand_lost or one.object_lost for one in tracked])) if tracked else 0.0,
        "fit_ms_p50": float(1e3 * np.median(fit.seconds[1:])),
        "first_frame_ms": float(1e3 * fit.seconds[0]),
        "s_per_frame": float(fit.seconds.mean()),
    } | {name: value for name, value in sorted(means.items()) if name != "depth"}


def _frame_errors(fit: RecordingFit, clip: Clip, t: int) -> Metrics:
    """What is measured in one frame; the slow ones in every fifth."""
    scene = fit.scene(t)
    if scene is None or scene.model is None:
        return {}
    true = clip.truth.evidence
    model, camera = scene.model, clip.recording.intrinsics
    off = scene.distances(scene.hand.vertices)[0]
    true_object = transform(true.object_pose[t], model.vertices)
    true_hand = true.hand_meshes["right"][t] if "right" in true.hand_meshes else None
    found = {"depth": max(0.0, -float(off.min())), "mask_iou": mask_iou(fit, t, true.labels[t])}
    placed = model.vertices @ scene.state.rotation.T + scene.state.position
    found["object_vertex_mm"] = 1e3 * float(np.linalg.norm(placed - true_object, axis=1).mean())
    if true_hand is not None:
        there = HandObjectScene(scene.person, fit.model, scene.state.with_object(*object_at(true.object_pose[t])))
        touching = float(there.distances(true_hand)[0].min()) < TOUCHING
        found["contact_accuracy"] = float((off.min() < TOUCHING) == touching)
    if t % EVERY:
        return found
    samples = scene.samples
    true_samples = transform(true.object_pose[t], fit.model.samples if fit.model else model.samples)
    found["chamfer_3d_mm"] = 1e3 * chamfer(samples, true_samples)
    found["chamfer_2d_px"] = chamfer(camera.project(samples), camera.project(true_samples))
    found["sd_obj_mm"] = 1e3 * surface_distance(fit, clip, t)
    found["penetration_cm3"] = 1e6 * shared_volume(scene)
    if true_hand is not None:
        mesh = scene.hand.vertices
        if mesh.shape == true_hand.shape:
            aligned = procrustes(mesh, true_hand)
            found["mesh_mm"] = 1e3 * float(np.linalg.norm(mesh - true_hand, axis=1).mean())
            found["mesh_pa_mm"] = 1e3 * float(np.linalg.norm(aligned - true_hand, axis=1).mean())
            found["f_5mm"], found["f_15mm"] = (f_score(aligned, true_hand, s) for s in (0.005, 0.015))
    return found


def mask_iou(fit: RecordingFit, frame: int, labels: np.ndarray) -> float:
    """Of the object, drawn without the hand over its true mask and what the hand hides, in the thinned image."""
    scene = fit.scene(frame)
    assert scene is not None and scene.model is not None
    thin = fit.thin
    seen = labels[::thin, ::thin]
    image = np.full(seen.shape, 1e3)
    placed = scene.model.vertices @ scene.state.rotation.T + scene.state.position
    draw_depth(placed, scene.model.faces, fit.camera / thin, image)
    drawn = (image < 100.0) & ((seen == 0) | (seen == 2))
    union = (drawn | (seen == 2)).sum()
    return float((drawn & (seen == 2)).sum() / union) if union else 1.0


def surface_distance(fit: RecordingFit, clip: Clip, frame: int) -> float:
    """Mean distance (m) of the object's cloud to the surface that the fit shows there: TF-HOT's SD_obj."""
    scene = fit.scene(frame)
    assert scene is not None and scene.model is not None
    cloud = kernels.cloud(
        clip.truth.evidence.labels[frame],
        clip.recording.depth[frame],
        2,
        2 * fit.thin,
        fit.camera,
        np.zeros((0, 2)),
        0.0,
    )
    if not len(cloud):
        return 0.0
    placed = scene.model.vertices @ scene.state.rotation.T + scene.state.position
    corners = placed[scene.model.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = np.flatnonzero((normals * corners.mean(axis=1)).sum(axis=1) < 0.0)
    squares = kernels.triangle_pairs(cloud, placed, scene.model.faces, facing, False, 1.0)[3]
    return float(np.sqrt(squares).mean())


def shared_volume(scene: HandObjectScene) -> float:
    """m3 that hand and object share, by cubes of 2 mm."""
    from dexhot.geometry.distance_kernels import signed_distances

    vertices = scene.hand.vertices
    deep = scene.distances(vertices)[0] < 0.0
    if not deep.any():
        return 0.0
    low, high = vertices[deep].min(axis=0) - 0.01, vertices[deep].max(axis=0) + 0.01
    axes = [np.arange(a, b, VOXEL) for a, b in zip(low, high)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    nodes = nodes[scene.distances(nodes)[0] < 0.0]
    inside = signed_distances(vertices, scene.person.hand.faces, nodes) < 0.0 if len(nodes) else np.zeros(0, bool)
    return float(inside.sum()) * VOXEL**3


def summary_of(cells: Cells, row: TableRow, names: Sequence[str]) -> dict[str, Any]:
    """Means over the clips that were run; of the time per frame the median, and frames per second of one core."""
    wanted = names[: row.clips]
    rows = {name: cell for name in wanted if (cell := cells.get(row, name))}
    made = {"clips": list(rows), "frames": row.frames, NOT_RUN: len(wanted) - len(rows)}
    if not rows:
        return made | {"metrics": NOT_RUN}
    metrics = {name: float(np.mean([cell[name] for cell in rows.values() if name in cell])) for name in _names(rows)}
    if row.recipe.method in OTHERS:
        return made | {"metrics": metrics}
    metrics["fit_ms_p50"] = float(np.median([cell["fit_ms_p50"] for cell in rows.values()]))
    return made | {"metrics": metrics | {"fps": 1e3 / metrics["fit_ms_p50"]}}


def cells_of(row: dict[str, Any]) -> Metrics:
    """A row's metrics, none where it was not run."""
    return row["metrics"] if isinstance(row["metrics"], dict) else {}


def _names(rows: dict[str, Metrics]) -> Iterator[str]:
    return iter(dict.fromkeys(name for cell in rows.values() for name in cell))


def comparison(table: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How much lower HOMan's errors are than those of independent composition (paper: hand 0.67, object 0.34)."""
    joint, apart = (table.get(name, {}).get("metrics") for name in (f"homan ({FEW_CLIPS} clips)", "homan, independent"))
    if not isinstance(joint, dict) or not isinstance(apart, dict):
        return {}
    return {
        "homan_hand_lower": 1.0 - joint["mpjpe_mm"] / apart["mpjpe_mm"],
        "homan_object_lower": 1.0 - joint["object_vertex_mm"] / apart["object_vertex_mm"],
    }
