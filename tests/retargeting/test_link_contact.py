"""Contacts of the fingers' inner sides and of the palm: where they are on a hand, and when they take part."""

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.keypoints import NAMES
from dexhot.datasets.parametric import generate
from dexhot.evaluation.verify import options_of
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.clip_solver import ClipProblem
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.grasp import Grasp
from dexhot.retargeting.link_contact import (
    FLESH,
    PALM_FLESH,
    LinkOptions,
    Pad,
    human_points,
    link_pads,
    share_links,
    touching_links,
    with_links,
)
from dexhot.retargeting.retarget import RetargetOptions, reference_kind, retarget
from dexhot.robots.kinematics.hand import OBJECT, HandModel
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")
MATCH = correspondence(HAND)
PADS = link_pads(HAND, MATCH)
THUMB = MATCH.thumb
SIDES = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
BOX = ConvexUnion([(SIDES * [0.03, 0.06, 0.04], None)])


# Pads


@pytest.mark.parametrize("name", ["leap_right", "leap_left", "allegro_right", "six_motor_right"])
def test_every_hand_has_pads_on_its_shapes_that_face_what_it_closes_on(name):
    hand = load_hand(name)
    pads = link_pads(hand, correspondence(hand))
    model = HandModel(hand, pads=[(pad.link, pad.position) for pad in pads])
    model.move(np.concatenate([np.zeros(6), hand.open]))
    places = model.points()[model.tips : model.contacts]
    fingers = [not NAMES[pad.bone[1]].startswith("thumb") for pad in pads]
    palm = [pad.link == "palm" for pad in pads]
    assert sum(palm) >= 3 and sum(fingers) >= 8
    assert [pad.flesh for pad in pads] == [PALM_FLESH if on_palm else FLESH for on_palm in palm]
    for pad, place in zip(pads, places):
        body = model.model.body(pad.link).id
        middle = model.data.geom_xpos[model.model.geom_bodyid == body].mean(0)
        if not NAMES[pad.bone[1]].startswith("thumb"):
            assert place[2] < middle[2], "on the palmar side of the open hand"


def test_the_place_in_a_human_hand_is_on_the_bone():
    keypoints = np.random.default_rng(0).normal(size=(5, 21, 3))
    pad = Pad("index_medial", np.zeros(3), (6, 7), 0.25, FLESH)
    assert human_points([pad], keypoints)[:, 0] == pytest.approx(0.75 * keypoints[:, 6] + 0.25 * keypoints[:, 7])
    assert human_points([], keypoints).shape == (5, 0, 3)


@pytest.mark.parametrize(("gap", "most", "counts"), [(0.001, 1.0, True), (0.012, 1.0, False), (0.001, 0.3, False)])
def test_the_persons_link_touches_where_its_flesh_is_on_the_surface_in_most_frames(gap, most, counts):
    pad = Pad("palm", np.zeros(3), (0, 5), 0.6, PALM_FLESH)
    bone = np.tile([0.03 + PALM_FLESH + gap, 0.01, 0.0], (20, 1, 1))
    bone[int(20 * most) :, 0, 0] += 0.1
    place, touches = touching_links([pad], bone, BOX, LinkOptions())
    assert touches.tolist() == [counts]
    if most == 1.0:
        assert place[0] == pytest.approx([0.03, 0.01, 0.0], abs=1e-6)


def test_a_link_with_several_pads_may_touch_with_all_of_them():
    touching = np.array([[True, False, False, True]])
    assert share_links(touching, ["palm", "palm", "index_medial"], 1).tolist() == [[True, False, False, True]]
    touching[0, 1] = True
    assert share_links(touching, ["palm", "palm", "index_medial"], 1).tolist() == [[True, True, True, True]]


# Pads on an object


def grasped(offset: float, touching: bool = True, options: LinkOptions | None = None):
    """LEAP in its nominal posture with a box `offset` m below the pad of index_medial, and the fingertips' contacts
    where they are: the grasp with its links, the pad's distance then, and the hand model."""
    free = HandModel(HAND, MATCH.links, pads=[(pad.link, pad.position) for pad in PADS])
    q = np.concatenate([np.zeros(6), HAND.nominal])
    free.move(q)
    index = next(i for i, pad in enumerate(PADS) if pad.link == "index_medial")
    body = free.model.body("index_medial").id
    turn = free.data.xmat[body].reshape(3, 3)
    pad, tips = free.points()[free.tips + index], free.points()[: free.tips]
    outward = turn @ [-1.0, 0.0, 0.0]  # the pad's face
    solid_at = pad + (0.02 + offset) * outward
    corners = SIDES * 0.02 @ turn.T + solid_at
    solid = ConvexUnion([(corners, None)])
    pose = np.array([0.0, 0, 0, 1, 0, 0, 0])
    grasp = Grasp(tips, np.tile(outward, (free.tips, 1)), np.ones(free.tips), np.zeros((free.tips, 3)), 0.0)
    n, P = free.size, len(free.points())
    problem = ClipProblem(
        goal=free.points()[None].copy(),
        goal_weight=np.zeros((1, P)),
        palm=np.eye(3)[None],
        palm_weight=0.03,
        prior=q[None],
        prior_weight=np.concatenate([np.zeros(6), np.full(n - 6, 0.005)]),
        velocity_weight=np.zeros(n),
        acceleration_weight=np.zeros(n),
        object_pose=pose[None],
    )
    wanted = np.zeros(len(PADS), bool)
    wanted[index] = touching
    found, q = with_links(free, problem, 0, grasp, q, wanted, solid, THUMB, 0.1, 5.0, options or LinkOptions())
    free.move(q)
    reached = transform(inverse(pose), free.points()[free.tips + index])
    return found, float(solid.distance(reached[None])[0][0]), free.tips + index


def test_a_pad_near_the_surface_is_put_on_it_and_shares_the_force():
    found, distance, index = grasped(0.004)
    assert found.weight[index] == 1.0 and abs(distance) < 0.0015
    assert np.linalg.norm(found.force[index]) > 0.0 and found.centre.shape == (len(HAND.tip_sites) + len(PADS), 3)


@pytest.mark.parametrize(
    "case",
    [{"offset": 0.03}, {"offset": 0.004, "touching": False}, {"offset": 0.02, "options": LinkOptions(cede=1e-5)}],
    ids=["too far", "the person's does not", "the fingertips would come off"],
)
def test_other_pads_take_no_part(case):
    found, _, index = grasped(**case)
    assert found.weight[index] == 0.0 and not found.force[index].any()


# Whole clips


def test_links_that_take_part_stay_on_the_object_while_it_is_held():
    """The person's bones count from 6 to 4 cm here: a generated one touches with the fingertips only."""
    clip, asset = generate("lift", "cylinder", 0)
    near = LinkOptions(sure=0.03, reach=0.05)
    tips, linked = (retarget(clip, HAND, asset, RetargetOptions(links=links, link=near)) for links in (False, True))
    assert tips.provenance["links"] == [] and reference_kind(tips) == "contacts"
    assert linked.provenance["links"] == ["middle_medial"]
    assert reference_kind(linked) == "contacts+links" and options_of(linked).links and not options_of(tips).links
    assert linked.contact.shape == tips.contact.shape, "of the fingertips"
    found = [_held(reference, asset) for reference in (tips, linked)]
    assert found[0][0] > 0.01 > 0.002 > found[1][0], "distance of the pads, m"
    assert found[1][1] < 0.001, "overlap, m"


def _held(reference, asset):
    """The largest distance of the middle finger's medial pad from the object, and overlap with it, while held."""
    pads = [pad for pad in PADS if pad.link == "middle_medial"]
    places = [(pad.link, pad.position) for pad in pads]
    model = HandModel(HAND, (), reference.base_quat, asset, reference.table_height, places)
    solid, away, overlap = ConvexUnion(asset.pieces), [], [0.0]
    for t in range(reference.grasp_start, reference.grasp_end + 1, 5):
        model.move(reference.q[t], reference.object_pose[t])
        points = transform(inverse(reference.object_pose[t]), model.points()[model.tips :])
        away.append(np.abs(solid.distance(points)[0]).max())
        gaps = model.gaps()
        overlap.append(-gaps.distance[gaps.kind == OBJECT].min(initial=0.0))
    return max(away), max(overlap)


def test_links_and_clips_without_contacts_exclude_each_other(capsys, tmp_path):
    command = ["retarget", "grab/duck_lift", "--links", "--out", str(tmp_path / "a.npz")]
    assert main([*command, "--no-contact"]) == 1 and "--links" in capsys.readouterr().err
    assert main([*command, "--plain"]) == 1 and "--links" in capsys.readouterr().err
