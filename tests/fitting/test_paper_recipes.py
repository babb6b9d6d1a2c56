"""The papers' recipes, cut short, on a tiny drawn clip: they find hand and object, and read what they may."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests.tiny_clip import ASSET, CAMERA, HAND, MODEL, tiny_clip

from dexhot.errors import ClipError
from dexhot.fitting.batch import BatchScene, Bodies
from dexhot.fitting.batch_view import view_of
from dexhot.fitting.handypriors import vertex_colors
from dexhot.fitting.homan import INDEPENDENT
from dexhot.fitting.recipe import Recipe, load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.silhouette_search import SEARCH, ObjectStart, place_by_box, rival
from dexhot.fitting.start_without_depth import REGRESSOR
from dexhot.fitting.summary import summarise_recording_fit
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import IDENTITY, make_pose, transform
from dexhot.geometry.rotations import matrix_to_6d, quat_multiply, quat_to_matrix, rotvec_to_quat
from dexhot.humans.open_hand import open_hand
from dexhot.objects.asset import Symmetry

BESIDE = make_pose([0.6, 0.0, 0.6], rotvec_to_quat(np.array([0.0, -np.pi / 2, 0.0])))  # camera_T_scene, from the side
SHORT = {
    "tfhot": ("first_steps=60", "steps=30", "hypotheses=12", "rate=0.02"),
    "tfhot_dexycb": ("first_steps=60", "steps=30", "hypotheses=12", "rate=0.02"),
    "homan": ("rotations=12", "search_steps=20", "follow_steps=4", "coarse_steps=60", "fine_steps=20", "pixels=64"),
    "handypriors": ("rotations=12", "search_steps=20", "follow_steps=4", "steps=30", "pixels=64"),
}


def short(name: str) -> Recipe:
    """A recipe with few steps."""
    return load_recipe(name).changed(f"solver.{setting}" for setting in SHORT[name])


@pytest.fixture(scope="module")
def clip():
    recording, evidence, points = tiny_clip(4, 0.002)
    recording.color[:] = np.where((evidence.labels == 2)[..., None], [40, 90, 170], 120)
    return recording, evidence, points


@pytest.fixture(scope="module")
def alone(clip):
    """The short fit of this camera alone, by the recipe."""
    recording, evidence, _ = clip
    first = replace(recording, world_T_camera=IDENTITY)
    return functools.cache(lambda name: fit_recording(first, evidence, ASSET, short(name), HAND, with_pose=False))


def hand_error(fit, points) -> float:
    """Mean over joints and frames, mm."""
    return 1e3 * float(np.linalg.norm(fit.trajectory.hands["right"].keypoints - points, axis=-1).mean())


def object_error(fit, evidence) -> float:
    """Of the centre, mm."""
    off = transform(fit.trajectory.object_pose, MODEL.centre) - transform(evidence.object_pose, MODEL.centre)
    return 1e3 * float(np.linalg.norm(off, axis=1).mean())


@pytest.mark.parametrize("name", ["tfhot", "tfhot_dexycb"])
def test_tfhot_finds_hand_and_object(clip, alone, name):
    _, evidence, points = clip
    fit = alone(name)
    assert hand_error(fit, points) < 25.0 and object_error(fit, evidence) < 8.0
    assert len(fit.trajectory.hands["right"].keypoint_covariance) == 0


STAGES = {
    "tfhot": {"hypotheses of the hand, steps": 2, "frames": 4},
    "homan": {
        "rotations of the object, steps": 2,
        "the object by its masks, frames": 3,
        "the right hand by its keypoints, frames": 4,
        "all frames together, steps": 2,
        "all frames together with contact, steps": 2,
    },
    "handypriors": {
        "rotations of the object, steps": 2,
        "the object by its masks, frames": 3,
        "the right hand by its keypoints, frames": 4,
        "all frames together, steps": 2,
    },
}


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_counted_to_its_end(clip, name):
    recording, evidence, _ = clip
    recipe, told = load_recipe(name), {}
    few = [f"solver.{key}=2" for key in recipe.solver if key.endswith("steps") or key in ("rotations", "hypotheses")]

    def progress(done, total, what):
        told.setdefault(what, []).append((done, total))

    fit_recording(recording, evidence, ASSET, recipe.changed(few), HAND, with_pose=False, progress=progress)
    assert {what: counts[-1] for what, counts in told.items()} == {w: (n, n) for w, n in STAGES[name].items()}
    assert all(a[0] < b[0] for counts in told.values() for a, b in itertools.pairwise(counts))


def test_the_estimator_starts_the_object_in_the_wild_alone(clip):
    """In the wild a frame starts where the estimator sees the object, on DexYCB where it was in the frame before."""
    recording, evidence, _ = clip
    poses = evidence.object_pose.copy()
    poses[1:, 2] += 0.3  # an estimator that is wrong after the first frame
    wrong = replace(evidence, object_pose=poses)
    still = ("first_steps=1", "steps=1", "hypotheses=1")
    off = {}
    for name in ("tfhot", "tfhot_dexycb"):
        recipe = load_recipe(name).changed(f"solver.{setting}" for setting in still)
        fit = fit_recording(recording, wrong, ASSET, recipe, HAND)
        off[name] = fit.trajectory.object_pose[-1, 2] - poses[0, 2]
    assert off["tfhot"] > 0.25 and abs(off["tfhot_dexycb"]) < 0.05


@pytest.mark.parametrize("name", ["homan", "handypriors"])
def test_depth_is_never_read(clip, name):
    """Neither that of the images, nor that in keypoints, nor an estimator's pose, which may come from depth."""
    recording, evidence, _ = clip
    recipe = short(name).changed(["solver.rotations=3", "solver.search_steps=2", "solver.follow_steps=1"])
    recipe = recipe.changed(
        ["solver.steps=3"] if name == "handypriors" else ["solver.coarse_steps=3", "solver.fine_steps=2"]
    )
    seen = {side: x.copy() for side, x in evidence.keypoints.items()}
    seen["right"][..., :3] = 7.0
    blind = replace(recording, depth=np.zeros_like(recording.depth))
    without = replace(evidence, keypoints=seen, object_pose=np.full_like(evidence.object_pose, np.nan))
    one = fit_recording(recording, evidence, ASSET, recipe, HAND).trajectory
    two = fit_recording(blind, without, ASSET, recipe, HAND).trajectory
    assert np.array_equal(one.object_pose, two.object_pose)
    assert np.array_equal(one.hands["right"].keypoints, two.hands["right"].keypoints)


def test_joint_fitting_brings_the_hand_to_the_object(clip):
    """HOMan against independent composition: without depth the hand alone is at the distance of its assumed size."""
    recording, evidence, points = clip
    joint = fit_recording(recording, evidence, ASSET, short("homan"), HAND)
    apart = fit_recording(recording, evidence, ASSET, short("homan").without(INDEPENDENT), HAND)
    assert hand_error(joint, points) < 0.6 * hand_error(apart, points)
    made = joint.trajectory.provenance["fit"]
    assert made["hand_scale"]["right"] != 1.0 and made["object_ambiguous"] == joint.object_start.ambiguous
    assert summarise_recording_fit(joint, evidence)["object_overlap"] == made["object_overlap"] > 0.8


def regressed_from(poses, degrees=8.0, mm=8.0):
    """As a good regressor gives them: off by so much in each frame, in other directions."""
    rng = np.random.default_rng(0)
    off = poses.copy()
    for t in range(len(off)):
        axis, way = (x / np.linalg.norm(x) for x in rng.normal(size=(2, 3)))
        centre = transform(off[t], MODEL.centre) + 1e-3 * mm * way
        off[t, 3:] = quat_multiply(off[t, 3:], rotvec_to_quat(np.radians(degrees) * axis))
        off[t, :3] += centre - transform(off[t], MODEL.centre)
    return off


FROZEN = {"homan": ("coarse_steps=1", "fine_steps=1"), "handypriors": ("steps=1",)}  # what is found is the start


@pytest.mark.parametrize("name", FROZEN)
def test_the_object_starts_where_a_regressor_sees_it(clip, name):
    """In place of the silhouette search, and said; a frame without a pose keeps that of the frame before."""
    recording, evidence, _ = clip
    given = evidence.object_pose.copy()
    given[:, 2] += 0.1  # no search by masks would come to this
    given[2] = np.nan
    still = load_recipe(name).changed(f"solver.{setting}" for setting in FROZEN[name])
    told = []
    fit = fit_recording(
        recording, evidence, ASSET, still, HAND, regressed=given, progress=lambda done, total, what: told.append(what)
    )
    found, expected = fit.trajectory.object_pose, given[[0, 1, 1, 3]]
    assert np.abs(found[:, :3] - expected[:, :3]).max() < 0.03 and not any("masks" in what for what in told)
    made = fit.trajectory.provenance["fit"]
    assert made["object_start"] == REGRESSOR == summarise_recording_fit(fit, evidence)["object_start"]
    assert made["object_overlap"] < 0.8 and "object_ambiguous" not in made  # nothing was sought beside it
    searched = fit_recording(recording, evidence, ASSET, still.changed(["solver.rotations=3"]), HAND)
    assert searched.trajectory.provenance["fit"]["object_start"] == SEARCH


@pytest.mark.parametrize("name", FROZEN)
def test_a_fit_from_a_regressor_ends_near_the_truth(clip, name):
    """Turned less wrongly than it started, placed as well as a silhouette tells its depth; without reading depth."""
    recording, evidence, _ = clip
    given = regressed_from(evidence.object_pose)
    blind = replace(recording, depth=np.zeros_like(recording.depth))
    fit, same = (fit_recording(one, evidence, ASSET, short(name), HAND, regressed=given) for one in (recording, blind))
    assert np.array_equal(fit.trajectory.object_pose, same.trajectory.object_pose)
    angle = np.degrees(reduced_angle(MODEL.symmetry, fit.trajectory.object_pose[:, 3:], evidence.object_pose[:, 3:]))
    assert angle.max() < 5.0 and object_error(fit, evidence) < 18.0
    assert fit.object_start.overlap > 0.7


def test_regressed_poses_that_cannot_be_a_start_are_refused(clip):
    recording, evidence, _ = clip
    poses = evidence.object_pose
    for given, said in (
        (poses[:2], r"shape \(2, 7\), \(4, 7\) is expected"),
        (np.tile(np.eye(4), (4, 1, 1)), r"shape \(4, 4, 4\)"),
        (np.full_like(poses, np.nan), "in no frame"),
    ):
        with pytest.raises(ClipError, match=said):
            fit_recording(recording, evidence, ASSET, short("homan"), HAND, regressed=given)
    for name in ("default", "tfhot"):
        with pytest.raises(ClipError, match=f"{name} reads depth"):
            fit_recording(recording, evidence, ASSET, load_recipe(name), HAND, regressed=poses)


@pytest.mark.parametrize("name", ["tfhot_dexycb", "homan", "handypriors"])
def test_a_second_camera_tells_what_the_first_one_cannot(clip, alone, name):
    """The same moments from the side: hand and object together are nearer to the truth."""
    recording, evidence, points = clip
    beside, seen, _ = tiny_clip(4, 0.002, seed=1, at=BESIDE)
    beside.color[:] = np.where((seen.labels == 2)[..., None], [40, 90, 170], 120)
    first = replace(recording, world_T_camera=IDENTITY)
    one = alone(name)
    two = fit_recording([first, beside], [evidence, seen], ASSET, short(name), HAND, with_pose=False)
    off = [hand_error(fit, points) + object_error(fit, evidence) for fit in (one, two)]
    assert off[1] < 0.9 * off[0]


def test_two_hands_are_fitted_together(clip):
    """The same clip with its hand seen as a left one too: only HOMan takes both."""
    recording, evidence, _ = clip
    both = replace(evidence, keypoints=dict.fromkeys(("right", "left"), evidence.keypoints["right"]))
    hands = [open_hand("right"), open_hand("left")]
    tiny = ("rotations=2", "search_steps=2", "follow_steps=1", "coarse_steps=3", "fine_steps=3")
    recipe = short("homan").changed(f"solver.{setting}" for setting in tiny)
    fit = fit_recording(recording, both, ASSET, recipe, hands)
    assert set(fit.trajectory.hands) == {"right", "left"} and fit.scene(0, "left").hand is not None
    with pytest.raises(ClipError, match="one hand"):
        fit_recording(recording, both, ASSET, short("tfhot"), hands)
    with pytest.raises(ClipError, match="needs an object"):
        fit_recording(recording, evidence, None, recipe, HAND)


def test_the_object_s_colours_are_those_of_the_images(clip):
    """Where a vertex is seen, the image's colour there; elsewhere the mean."""
    recording, evidence, _ = clip
    painted = recording.color.copy()
    painted[:, :, : CAMERA.width // 2][evidence.labels[:, :, : CAMERA.width // 2] == 2] = [200, 20, 20]
    view = view_of(replace(recording, color=painted), evidence, ["right"], 160)
    bodies = Bodies({}, MODEL, "mediapipe")
    poses = evidence.object_pose
    start = bodies.object_unknowns(quat_to_matrix(poses[:, 3:]), poses[:, :3])
    scene = BatchScene(bodies, start, view.small)
    colors = vertex_colors(scene, view)
    assert colors.shape == MODEL.vertices.shape and (colors >= 0).all() and (colors <= 1).all()
    seen = CAMERA.project(scene.object_vertices[1])[:, 0] < CAMERA.width / 2 - 8
    assert np.abs(colors - [200 / 255, 20 / 255, 20 / 255]).max(axis=1)[seen].min() < 0.1


def test_a_box_gives_the_distance(clip):
    """From the diagonal of the projection of a known pose."""
    recording, evidence, _ = clip
    pose = evidence.object_pose[0]
    R = quat_to_matrix(pose[3:])
    view = view_of(recording, evidence, ["right"], 96)
    pixels = view.small.project(transform(pose, MODEL.samples))
    box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    found = place_by_box(Bodies({}, MODEL, "mediapipe"), R, box, view.small)
    assert np.linalg.norm(found - transform(pose, MODEL.centre)) < 0.01


def test_an_object_that_is_never_seen_is_an_error(clip):
    recording, evidence, _ = clip
    hidden = replace(evidence, labels=np.where(evidence.labels == 2, 0, evidence.labels))
    with pytest.raises(ClipError, match="no frame shows the object"):
        fit_recording(recording, hidden, ASSET, short("homan"), HAND)


def test_the_window_keeps_pixels_where_they_are(clip):
    """A point's pixel in the window is the middle of the block of pixels that it stands for."""
    recording, evidence, _ = clip
    view = view_of(recording, evidence, ["right"], 64)
    assert max(view.small.width, view.small.height) <= 64
    thin = CAMERA.fx / view.small.fx
    point = transform(evidence.object_pose[0], MODEL.centre)
    full, small = CAMERA.project(point), view.small.project(point)
    back = small * thin + (thin - 1) / 2
    corner = full - back
    assert np.allclose(corner, np.round(corner), atol=1e-6)
    assert view.masks[0, round(float(small[1])), round(float(small[0]))].argmax() in (2, 3)


def test_a_window_around_the_object_alone_shows_more_of_it(clip):
    """Its masks and camera are those of the same pixels."""
    recording, evidence, _ = clip
    wide, close = (view_of(recording, evidence, ["right"], 45, around) for around in ((), ["object"]))
    assert close.small.fx > 1.4 * wide.small.fx and max(close.small.width, close.small.height) <= 45
    u, v = np.round(close.small.project(transform(evidence.object_pose[0], MODEL.centre))).astype(int)
    assert close.masks[0, v, u].argmax() in (2, 3)


def test_another_rotation_that_overlaps_as_well_is_ambiguous(clip):
    """Neighbours of the best rotation are the same pose; a symmetry's are, too."""
    free = Bodies({}, replace(MODEL, symmetry=Symmetry()), "mediapipe")
    turned = Rotation.from_rotvec([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1], [0.0, 0.0, np.pi]]).as_matrix()
    overlaps = np.array([0.9, 0.895, 0.89])
    assert rival(free, overlaps, matrix_to_6d(turned)) == 0.89
    half = Symmetry("discrete", rotations=[[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    alike = Bodies({}, replace(MODEL, symmetry=half), "mediapipe")
    assert rival(alike, overlaps, matrix_to_6d(turned)) == 0.0
    assert ObjectStart({}, 0.9, 0.89).ambiguous and not ObjectStart({}, 0.9, 0.8).ambiguous


def test_bodies_are_of_single_pictures():
    with pytest.raises(ClipError, match="single picture"):
        fit_recording(None, None, ASSET, load_recipe("body"), HAND)
