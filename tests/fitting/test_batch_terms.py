"""Terms of gradient descent: the gradient of each, by every unknown, against finite differences of its value."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.fitting import batch_terms, contact_terms, kernels, motion_terms
from dexhot.fitting.batch import BatchScene, Bodies, Unknowns, by_6d, merged
from dexhot.fitting.batch_view import BatchView
from dexhot.fitting.scene import object_model
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.rotations import matrix_from_6d, quat_to_matrix, rotvec_to_quat
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.humans.zones import contact_zones
from dexhot.objects.shapes import named_shape, shape_asset

RNG = np.random.default_rng(5)
HANDS = {"right": open_hand("right"), "left": open_hand("left")}
MODEL = object_model(shape_asset(named_shape("parametric/box-40x60x90")))
MODEL = replace(MODEL, colors=RNG.uniform(size=MODEL.vertices.shape))
CAMERA = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
SMALL = CAMERA.every(5)
BODIES = Bodies(HANDS, MODEL, "mediapipe", 16)
ZONES = {side: list(contact_zones(hand).values()) for side, hand in HANDS.items()}
B = 3


def unknowns_at(seed: int) -> Unknowns:
    """Three frames in which two hands hold a box."""
    rng = np.random.default_rng(seed)
    found: Unknowns = {}
    for side, hand in HANDS.items():
        mirror = 1.0 if side == "right" else -1.0
        poses = []
        for _ in range(B):
            turn = np.array([0.3, mirror * 2.6, mirror * 0.4]) + 0.03 * rng.normal(size=3)
            fingers = hand.prior.fingers(0.3 * rng.normal(size=16))
            poses.append(HandPose(quat_to_matrix(rotvec_to_quat(turn)), np.zeros(3), fingers))
        shapes = 0.3 * rng.normal(size=(B, 10))
        people = [hand.shaped(shape) for shape in shapes]
        found |= BODIES.unknowns_of(side, people, poses)
        found[f"{side}.place"] = np.array([mirror * 0.035, 0.0, 0.6]) + 0.003 * rng.normal(size=(B, 3))
        found |= {f"{side}.shape": shapes, f"{side}.scale": np.array([1.03])}
    turns = np.array([0.5, 0.2, -0.7]) + 0.05 * rng.normal(size=(B, 3))
    rotations = quat_to_matrix(rotvec_to_quat(turns))
    found |= BODIES.object_unknowns(rotations, np.array([0.01, 0.01, 0.585]) + 0.003 * rng.normal(size=(B, 3)))
    found["object.turn"] *= 1.3  # 6D columns need not be of unit length
    return found | {"object.scale": np.array([0.97])}


HERE, THERE = unknowns_at(0), unknowns_at(1)
APART = HERE | {  # a line where meshes intersect has no gradient (geometry/raster)
    "right.place": HERE["right.place"] + [0.09, 0, 0],
    "left.place": HERE["left.place"] - [0.09, 0, 0],
    "object.place": HERE["object.place"] - [0.0, 0.0, 0.08],
}


def scene_at(unknowns: Unknowns) -> BatchScene:
    return BatchScene(BODIES, unknowns, SMALL)


def view_there() -> BatchView:
    """Of the scene at THERE: masks, keypoints, clouds of the visible vertices."""
    scene = scene_at(THERE)
    render = scene.drawn()
    pixels = {side: CAMERA.project(scene.keypoints(side)) for side in HANDS}
    clouds = {
        side: [
            scene.hand_vertices(side)[b][np.unique(HANDS[side].faces[scene.visible_faces(b, side)])][::3]
            for b in range(B)
        ]
        for side in HANDS
    }
    clouds["object"] = [scene.object_samples[b][::4] for b in range(B)]
    image = scene.drawn("object").image
    confidence = {side: RNG.uniform(0.3, 1.0, (B, 21)) for side in HANDS}
    return BatchView(CAMERA, SMALL, render.mask, image, pixels, confidence, clouds)


VIEW = view_there()
SEEN = {side: CAMERA.project(scene_at(THERE).hand_vertices(side)) for side in HANDS}
NEAR = {side: np.array([True, True, False]) for side in HANDS}
CONTACTS = {side: RNG.uniform(0.0, 1.0, (B, len(hand.vertices))) for side, hand in HANDS.items()}
NORMALS = {}
for _side, _hand in HANDS.items():
    NORMALS[_side] = np.zeros((B, len(_hand.vertices), 3))
    NORMALS[_side][:, ZONES[_side][1]] = [0.0, 0.6, 0.8]
BEFORE = {side: scene_at(THERE).keypoints(side)[0] for side in HANDS}
TERMS = {
    "joints 2D": batch_terms.Joints2D(VIEW, 10.0),
    "vertices 2D": batch_terms.Vertices2D(VIEW, SEEN, 50.0),
    "mask rendering": batch_terms.MaskRendering(VIEW, 100.0, object=0.7),
    "silhouette": batch_terms.Silhouette(VIEW, 100.0),
    "image": batch_terms.ObjectImage(VIEW, 100.0),
    "surface": batch_terms.SurfaceDistance(VIEW, 1.0, 0.8),
    "vanilla surface": batch_terms.SurfaceDistance(VIEW, 1.0, visible_only=False),
    "sdf": batch_terms.CloudDistance(VIEW, 1.0),
    "penetration": contact_terms.BatchPenetration(1.0),
    "attraction": contact_terms.BatchAttraction({s: z[:5] for s, z in ZONES.items()}, 1.0, 0.0005),
    "centroid": contact_terms.Centroids(NEAR, 1.0),
    "collision": contact_terms.PairCollision(1.0),
    "local contact": contact_terms.LocalContact(1.0),
    "known contact": contact_terms.KnownContact(CONTACTS, NORMALS, 1.0, 0.2),
    "known contact from afar": contact_terms.KnownContact(CONTACTS, NORMALS, 1.0, 0.2, reach=0.01),
    "joint change": motion_terms.JointChange(BEFORE, THERE["object.place"][0], 100.0, 1.0, 1.0, 1e-4, 1e-6),
    "smoothness": motion_terms.Smoothness(2000.0),
    "consistency": motion_terms.Consistency(3.0, 0.5),
    "oscillation": motion_terms.Oscillation(3.0),
    "sliding": motion_terms.Sliding(1.0, 0.004),
    "pca": motion_terms.PoseComponents(0.004),
    "size": motion_terms.SizeDeviation(0.5),
    "shape": motion_terms.ShapePrior(0.5),
}
DETACHED = {"centroid": ("object",), "collision": ("object",)}  # bodies whose gradient a paper leaves out
DRAWN = ("mask rendering", "silhouette", "image")  # in single precision, with jumps where a pixel's centre is crossed


@pytest.mark.parametrize("name", TERMS)
def test_gradients_are_those_of_the_values(name):
    """By each unknown along random directions."""
    term, drawn = TERMS[name], name in DRAWN
    start = APART if drawn else HERE
    scene = scene_at(start)
    value = term.add(scene)
    assert value.shape == (B,) and value.sum() > 0.0
    gradient = scene.pull_back()
    assert set(gradient) <= set(HERE)
    rng, h = np.random.default_rng(2), 1e-4 if drawn else 1e-7
    found, wanted = [], []
    for unknown, here in start.items():
        if unknown.partition(".")[0] in DETACHED.get(name, ()):
            assert not np.any(gradient.get(unknown, 0.0))
            continue
        for _ in range(4 if drawn else 2):
            way = rng.normal(size=here.shape)
            slopes = [
                sum(s * term.add(scene_at({**start, unknown: here + s * step * way})).sum() for s in (1.0, -1.0))
                / (2 * step)
                for step in ((h, h / 2) if drawn else (h,))
            ]
            if abs(slopes[0] - slopes[-1]) > 0.03 * abs(slopes[0]) + 1e-3:
                continue  # the mask jumps between them
            wanted.append(slopes[-1])
            found.append(float((gradient.get(unknown, np.zeros_like(here)) * way).sum()))
    found, wanted = np.array(found), np.array(wanted)
    assert np.abs(wanted).max() > 0.0 and len(wanted) >= 10
    cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert cosine > (0.97 if drawn else 0.9999), (cosine, found, wanted)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(wanted), rel=0.1 if drawn else 1e-2)


def test_a_6d_gradient_is_by_both_columns():
    six = RNG.normal(size=(4, 6))
    turn, way, h = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 6)), 1e-6
    R = matrix_from_6d(six)
    change = np.swapaxes(R, 1, 2) @ (matrix_from_6d(six + h * way) - matrix_from_6d(six - h * way)) / (2 * h)
    turned = np.stack([change[:, 2, 1], change[:, 0, 2], change[:, 1, 0]], axis=1)
    assert np.allclose((by_6d(six, turn) * way).sum(axis=1), (turn * turned).sum(axis=1), atol=1e-6)


def test_one_row_of_unknowns_serves_all_samples():
    """A fixed object, a shape of all frames: gradients are summed over the samples."""
    given = merged(HERE)
    fixed = {name: given.pop(name)[:1] for name in list(given) if name.startswith("object.")}
    given["right.shape"] = given["right.shape"][:1]
    scene = BatchScene(BODIES, given, SMALL, fixed)
    terms = [contact_terms.BatchPenetration(1.0), motion_terms.ShapePrior(0.5)]
    value = sum(term.add(scene).sum() for term in terms)
    gradient = scene.pull_back()
    assert not any(name.startswith("object.") for name in gradient) and gradient["right.shape"].shape == (1, 10)
    way, h = RNG.normal(size=(1, 10)), 1e-6
    moved = BatchScene(BODIES, given | {"right.shape": given["right.shape"] + h * way}, SMALL, fixed)
    ahead = sum(term.add(moved).sum() for term in terms)
    assert (ahead - value) / h == pytest.approx(float((gradient["right.shape"] * way).sum()), rel=1e-2)


def test_the_surface_is_that_which_is_seen():
    """The hidden side of the object costs in the vanilla loss and nothing in the visible-aware one."""
    scene = scene_at(HERE)
    faces = scene.visible_faces(0, "object")
    assert 0 < len(faces) < len(MODEL.faces)
    far = replace(VIEW, clouds={name: [np.zeros((0, 3))] * B for name in HANDS} | {"object": VIEW.clouds["object"]})
    seen = batch_terms.SurfaceDistance(far, 1.0, to_points=0.0).add(scene_at(HERE))
    vanilla = batch_terms.SurfaceDistance(far, 1.0, to_points=0.0, visible_only=False).add(scene_at(HERE))
    assert (vanilla > 1.2 * seen).all()


def test_pairs_of_triangles_are_the_nearest():
    """Against trimesh on every face, both ways of pairing."""
    from trimesh.triangles import closest_point

    points = RNG.uniform(-0.06, 0.06, (40, 3))
    every, corners = np.arange(len(MODEL.faces)), MODEL.vertices[MODEL.faces]
    gaps = np.stack([np.linalg.norm(closest_point(np.tile(c, (40, 1, 1)), points) - points, axis=1) for c in corners])
    numbers, _, _, squares = kernels.triangle_pairs(points, MODEL.vertices, MODEL.faces, every, False, 1.0)
    assert (numbers == np.arange(40)).all() and np.allclose(np.sqrt(squares), gaps.min(axis=0), atol=1e-9)
    chosen, faces, _, backward = kernels.triangle_pairs(points, MODEL.vertices, MODEL.faces, every, True, 1.0)
    assert (faces == every).all() and np.allclose(np.sqrt(backward), gaps.min(axis=1), atol=1e-9)
    assert np.allclose(gaps[every, chosen], gaps.min(axis=1), atol=1e-9)
