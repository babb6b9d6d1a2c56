"""Contact refinement: what contact is, that it brings a hand back to where it held, and what its starts are."""

import numpy as np
import pytest
from tests.tiny_clip import ASSET, HAND, MODEL, SHAPE

from dexhot.errors import ClipError
from dexhot.fitting import kernels
from dexhot.fitting.contact import KnownGrasp, contact_of, perturbed, refine_contact, samples_of
from dexhot.fitting.contact_terms import contact_values
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.geometry.poses import IDENTITY, inverse, make_pose, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.humans.skin import HandPose
from dexhot.humans.zones import contact_zones

RECIPE = load_recipe("contact").changed(["solver.components=45"])


def grasp() -> KnownGrasp:
    """A half closed hand whose palm and fingers lie on the side of a box."""
    posed = HAND.shaped(SHAPE).posed(HandPose(fingers=HAND.prior.fingers([0.3])))
    pads = posed.vertices[np.concatenate(list(contact_zones(HAND).values()))]
    place = make_pose(pads.mean(axis=0), np.array([1.0, 0, 0, 0]))
    down = np.eye(3)[np.argmin(np.ptp(pads, axis=0))]
    for far in np.arange(-0.09, 0.09, 0.001):  # slid through the hand until the hand touches its side
        at = place.copy()
        at[:3] += far * down
        off = object_distances(posed.vertices, at)
        if off.min() > -0.0005 and (off < 0.004).sum() >= 10:
            table, contact = HAND.table(HAND.own_convention), contact_of(MODEL, posed.vertices, at)
            return KnownGrasp(
                "box", HAND, SHAPE, posed.pose, MODEL, at, posed.vertices, posed.keypoints(table), contact
            )
    raise AssertionError("no grasp")


def object_distances(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(N,) m."""
    local = np.ascontiguousarray(transform(inverse(pose), points))
    found = np.empty(len(local))
    kernels.distances_beyond(local, *MODEL.volume, found, np.empty_like(local))
    return found


GRASP = grasp()


def on_object(keypoints: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return transform(inverse(pose), keypoints)


def error(scene, b: int) -> float:
    """Mean distance (m) of the keypoints from the true ones, on the object."""
    found = on_object(scene.keypoints("right")[b], scene.scene(b, "right").state.object_pose())
    return float(np.linalg.norm(found - on_object(GRASP.keypoints, GRASP.object_pose), axis=1).mean())


def test_a_contact_value_is_one_over_the_distance_in_millimetres():
    """1 within a millimetre and inside, as HandyPriors says (and not 1 / s of a negative s)."""
    assert np.allclose(contact_values(np.array([-0.02, 0.0, 0.001, 0.002, 0.01])), [1.0, 1.0, 1.0, 0.5, 0.1])


def test_contact_is_that_of_the_surface():
    contact = GRASP.contact
    off = object_distances(GRASP.vertices, GRASP.object_pose)
    assert np.allclose(contact.values, np.minimum(0.001 / np.maximum(off, 1e-9), 1.0))
    given = np.linalg.norm(contact.normals, axis=1) > 0
    assert np.array_equal(given, off <= 0.004) and np.allclose(np.linalg.norm(contact.normals[given], axis=1), 1.0)
    step = transform(inverse(GRASP.object_pose), GRASP.vertices)[given] + 1e-3 * contact.normals[given]
    assert (object_distances(step, IDENTITY) > off[given]).all()  # outward
    away = GRASP.object_pose + [0.5, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ClipError, match="0 vertices of the hand are within 4 mm"):
        contact_of(MODEL, GRASP.vertices, away)


def wrong(scene, b: int) -> float:
    """Mean difference of the contact values near the object."""
    one = scene.scene(b, "right")
    found = contact_values(one.distances(one.hand.vertices)[0])
    return float(np.abs(found - GRASP.contact.values)[GRASP.contact.values > 0.1].mean())


def test_known_contact_brings_the_hand_back():
    """From three random starts, as far as a flat side tells: on it the hand can slide. Without its term it does not."""
    grasps = [GRASP] * 3
    bodies, known = samples_of(grasps)
    contacts = [GRASP.contact] * 3
    start = perturbed(bodies, known, RECIPE.solver, np.random.default_rng(1))
    rows = {"start": RECIPE.without(RECIPE.terms), "all": RECIPE, "without": RECIPE.without(["contact"])}
    scenes = {name: refine_contact(bodies, start, contacts, recipe) for name, recipe in rows.items()}
    off = {name: np.mean([wrong(scene, b) for b in range(3)]) for name, scene in scenes.items()}
    assert off["all"] < 0.4 * off["start"] and off["all"] < 0.8 * off["without"]


def test_a_hand_held_off_the_object_is_drawn_to_it():
    """Three centimetres away 1 / s has hardly a gradient; wide contact values have one."""
    bodies, known = samples_of([GRASP])
    normal = GRASP.contact.normals.sum(axis=0)
    start = known | {"object.place": known["object.place"] - 0.03 * normal / np.linalg.norm(normal)}
    wide = refine_contact(bodies, start, [GRASP.contact], RECIPE)
    narrow = refine_contact(bodies, start, [GRASP.contact], RECIPE.changed(["solver.widest=0.001"]))
    assert wrong(wide, 0) < 0.7 * wrong(narrow, 0)


def test_the_starts_are_random_as_the_recipe_says():
    bodies, known = samples_of([GRASP] * 40)
    still = dict.fromkeys(("hand_turn", "hand_shift", "hand_pose", "object_turn", "object_shift"), 0.0)
    scene = refine_contact(bodies, known, [GRASP.contact] * 40, RECIPE.without(RECIPE.terms))
    assert max(error(scene, b) for b in range(40)) < 1e-6  # what is known is the grasp itself
    moved = perturbed(bodies, known, RECIPE.solver | still | {"object_turn": 0.1}, np.random.default_rng(0))
    changed = {name for name in known if not np.allclose(moved[name], known[name])}
    assert changed == {"object.turn"}
    done = refine_contact(bodies, moved, [GRASP.contact] * 40, RECIPE.without(RECIPE.terms))
    turned = [quat_angle(done.scene(b, "right").state.object_pose()[3:], GRASP.object_pose[3:]) for b in range(40)]
    assert 0.1 < np.sqrt(np.mean(np.square(turned))) < 0.25  # three axes of 0.1 rad
    bent = perturbed(bodies, known, RECIPE.solver | still | {"hand_pose": 0.5}, np.random.default_rng(0))
    assert {name for name in known if not np.allclose(bent[name], known[name])} == {"right.fingers"}


def test_a_recording_has_no_known_contact():
    with pytest.raises(ClipError, match="bench fit --recipes contact"):
        fit_recording(None, None, ASSET, RECIPE, HAND)
