"""The shipped hands and the arm: their geometry against other publications, their mirror images, their errors."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import yaml

from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.geometry.poses import compose, inverse, make_pose
from dexhot.paths import share_dir
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS, arm_hand_spec, fr3_spec
from dexhot.robots.coupling import Coupled
from dexhot.robots.export import exports
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import list_hands, load_hand

URDF = share_dir() / "urdf"
SIXTEEN = ("leap_right", "leap_left", "allegro_right", "allegro_left")
HANDS = (*SIXTEEN, "six_motor_right", "six_motor_left")


def pose_model(model, names, q):
    """Forward kinematics of `model` at joint angles q by name."""
    data = mujoco.MjData(model)
    for name, angle in zip(names, q):
        data.joint(name).qpos = angle
    Coupled(model).follow(data.qpos)
    mujoco.mj_kinematics(model, data)
    return data


def tips(hand, q, model=None):
    """(k, 3) fingertips in the palm frame."""
    data = pose_model(model or hand.spec().compile(), hand.joint_names, q)
    return np.array([data.site(site).xpos for site in hand.tip_sites])


def random_q(hand, seed=0):
    return np.random.default_rng(seed).uniform(hand.lower, hand.upper)


def published_model(shared_data, file):
    """A published URDF without its shapes, whose meshes are not at hand."""
    robot = ElementTree.fromstring((shared_data / "urdf" / file).read_text())
    for link in robot.findall("link"):
        for shape in (*link.findall("visual"), *link.findall("collision")):
            link.remove(shape)
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(robot, encoding="unicode"))
    spec.compiler.balanceinertia, spec.compiler.fusestatic = True, False
    return spec.compile()


@pytest.mark.parametrize("name", HANDS)
def test_hand_compiles_with_its_contract(name):
    hand = load_hand(name)
    spec = hand.spec()
    model = spec.compile()
    assert [body.name for body in spec.worldbody.bodies] == ["palm"]
    assert len(hand.joint_names) == len(hand.nominal) == len(hand.open) == (16 if name in SIXTEEN else 6)
    assert model.nq == len(hand.joint_names) + len(hand.coupled)
    assert (model.body_gravcomp[1:] == 1).all()
    assert model.geom("index_distal_0").id >= 0
    for joint in hand.joints:
        assert model.joint(joint.name).range == pytest.approx([joint.lower, joint.upper])
    for q in (hand.nominal, hand.open):
        assert (q >= hand.lower).all() and (q <= hand.upper).all()


def test_list_hands_names_the_shipped_ones():
    assert set(HANDS) <= set(list_hands())


@pytest.mark.parametrize("name", HANDS)
def test_palm_frame_points_along_the_fingers_and_toward_the_thumb(name):
    hand = load_hand(name)
    index, _, ring, *_ = straight = tips(hand, hand.open)
    side = 1 if hand.side == "right" else -1
    assert (straight[:3, 0] > 0.125).all()
    assert side * index[1] > 0 > side * ring[1]


def test_leap_weighs_what_it_weighs():
    model = load_hand("leap_right").spec().compile()
    assert model.body_mass.sum() == pytest.approx(0.746, abs=1e-3)


def test_tip_site_is_the_centre_of_the_capsules_end():
    hand = load_hand("leap_right")
    model = hand.spec().compile()
    for site in hand.tip_sites:
        geom = model.geom(f"{site.removesuffix('_tip')}_distal_0")
        end = geom.pos + geom.size[1] * np.array([[1.0], [-1.0]]) * axis_z(geom.quat)
        assert geom.size[0] == pytest.approx(hand.tip_radius)
        assert np.linalg.norm(end - model.site(site).pos, axis=1).min() < 1e-9


def axis_z(quat):
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)[:, 2]


@pytest.mark.parametrize("right, left", list(zip(HANDS[::2], HANDS[1::2])))
def test_left_hand_is_the_mirror_image(right, left):
    right, left = load_hand(right), load_hand(left)
    for seed in range(3):
        q = random_q(right, seed)
        assert tips(left, q) == pytest.approx(tips(right, q) * (1, -1, 1), abs=1e-9)
    ours, mirrored = (hand.spec().compile() for hand in (right, left))
    assert mirrored.body_mass == pytest.approx(ours.body_mass)
    assert np.sort(mirrored.body_inertia) == pytest.approx(np.sort(ours.body_inertia), rel=1e-6)


def test_leap_fk_matches_the_published_urdf(shared_data):
    """Link frames at random angles, relative to the palm, within the URDF's rounding to 0.1 mm per joint."""
    model, hand = published_model(shared_data, "leap_hand_right.urdf"), load_hand("leap_right")
    theirs = {"index": "", "middle": "_2", "ring": "_3"}
    for seed in range(3):
        q = random_q(hand, seed)
        other = pose_model(model, [str(joint.motor_id) for joint in hand.joints], q)
        ours = pose_model(hand.spec().compile(), hand.joint_names, q)
        palm = make_pose(other.body("palm_lower").xpos, other.body("palm_lower").xquat)
        palm = compose(palm, [-0.06, -0.035, 0, 1, 0, 0, 0])
        for finger, suffix in theirs.items():
            found = compose(inverse(palm), body_pose(other, f"fingertip{suffix}"))
            assert found[:3] == pytest.approx(ours.body(f"{finger}_distal").xpos, abs=2e-4)
            assert abs(found[3:] @ ours.body(f"{finger}_distal").xquat) > 1 - 1e-6
        thumb = compose(inverse(palm), body_pose(other, "thumb_fingertip"))
        assert thumb[:3] == pytest.approx(ours.body("thumb_distal").xpos, abs=2e-4)


def body_pose(data, name):
    return make_pose(data.body(name).xpos, data.body(name).xquat)


def test_leap_limits_are_the_published_urdfs(shared_data):
    model = published_model(shared_data, "leap_hand_right.urdf")
    for joint in load_hand("leap_right").joints:
        assert model.joint(str(joint.motor_id)).range == pytest.approx([joint.lower, joint.upper])


@pytest.mark.parametrize("side", ["right", "left"])
def test_allegro_fk_matches_the_published_urdf(shared_data, side):
    """Through the joint table: the published joint joint_{motor_id}.0 stands at sign * q."""
    model, hand = published_model(shared_data, f"allegro_hand_{side}.urdf"), load_hand(f"allegro_{side}")
    first = {joint.name.split("_")[0]: joint.motor_id for joint in hand.joints if joint.motor_id % 4 == 0}
    for seed in range(3):
        q = random_q(hand, seed)
        names = [f"joint_{joint.motor_id}.0" for joint in hand.joints]
        other = pose_model(model, names, [joint.to_motor(angle) for joint, angle in zip(hand.joints, q)])
        palm = compose(body_pose(other, "base_link"), [-0.009, 0, -0.045, np.sqrt(0.5), 0, -np.sqrt(0.5), 0])
        for site, tip in zip(hand.tip_sites, tips(hand, q)):
            finger = site.removesuffix("_tip")
            end = make_pose([0, 0, 0.0423 if finger == "thumb" else 0.0267], [1, 0, 0, 0])
            found = compose(inverse(palm), compose(body_pose(other, f"link_{first[finger] + 3}.0"), end))
            # The published left thumb keeps one 5 mm offset of the right one; ours mirrors it.
            apart = 1.01e-2 if (side, finger) == ("left", "thumb") else 1e-5
            assert np.linalg.norm(found[:3] - tip) < apart


def test_generated_files_are_up_to_date():
    for path, text in exports().items():
        assert (URDF / path).read_text() == text, f"run python -m dexhot.robots.export ({path} differs)"


@pytest.mark.parametrize("name", HANDS)
def test_urdf_and_mjcf_have_the_same_kinematics(name):
    hand = load_hand(name)
    spec = mujoco.MjSpec.from_file(str(URDF / name / f"{name}.urdf"))
    spec.compiler.fusestatic = False
    urdf, mjcf = spec.compile(), mujoco.MjModel.from_xml_path(str(URDF / name / f"{name}.xml"))
    q = random_q(hand)
    from_urdf = pose_model(urdf, hand.joint_names, q)
    found = [from_urdf.body(site).xpos for site in hand.tip_sites]
    assert found == pytest.approx(tips(hand, q), abs=1e-6)
    assert tips(hand, q, mjcf) == pytest.approx(tips(hand, q), abs=1e-5)
    assert urdf.body_mass.sum() == pytest.approx(mjcf.body_mass.sum())


def test_fr3_stands_where_its_datasheet_puts_it():
    """Fully stretched, the flange is 0.333 + 0.316 + 0.384 - 0.107 m high and 0.088 m in front of the base's axis."""
    data = pose_model(fr3_spec().compile(), FR3_JOINTS, np.zeros(7))
    assert data.site("fr3_flange").xpos == pytest.approx([0.088, 0, 0.926], abs=1e-9)


@pytest.mark.parametrize("name", HANDS)
def test_palm_faces_down_at_home(name):
    data = pose_model(arm_hand_spec(load_hand(name)).compile(), FR3_JOINTS, FR3_HOME)
    rotation = data.body("palm").xmat.reshape(3, 3)
    assert rotation == pytest.approx(np.eye(3), abs=1e-6)  # fingers forward, back of the hand up
    assert np.linalg.norm(data.body("palm").xpos - data.site("fr3_flange").xpos) < 0.03


def test_unknown_hand_lists_the_known_ones():
    with pytest.raises(NotFoundError, match=r"leap_middle.*allegro_left, allegro_right, leap_left, leap_right"):
        load_hand("leap_middle")


@pytest.fixture
def shipped_copy(tmp_path) -> Path:
    """LEAP's folder outside the project, for breaking."""
    for folder in ("leap", "leap_right"):
        shutil.copytree(URDF / folder, tmp_path / folder)
    return tmp_path / "leap_right" / "hand.yaml"


def edit(path: Path, **changes) -> Path:
    config = yaml.safe_load(path.read_text())
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def test_a_hand_loads_from_a_path(shipped_copy):
    hand = load_hand(shipped_copy)
    assert tips(hand, hand.nominal) == pytest.approx(tips(load_hand("leap_right"), hand.nominal))


def test_ones_own_hand_is_found_again_by_its_name(shipped_copy):
    """References name their hand: mining, scores and the live graph load it from there."""
    hand = load_hand(shipped_copy)
    assert load_hand(hand.name).joints == joint_table(hand.name) == hand.joints


@pytest.mark.parametrize("name", HANDS)
def test_a_shipped_hand_is_called_by_its_name_wherever_it_is_loaded_from(name):
    assert load_hand(name).name == load_hand(URDF / name / "hand.yaml").name == name


@pytest.mark.parametrize("text", ["", "tips: [", "[1, 2]"], ids=["empty", "no yaml", "a list"])
def test_a_file_that_is_no_hand_is_refused(tmp_path, text):
    path = tmp_path / "hand.yaml"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"hand\.yaml"):
        load_hand(path)


@pytest.mark.parametrize("changes", [{"side": "middle"}, {"tips": 3}, {"tip_radius": "big"}], ids=str)
def test_an_entry_that_cannot_be_is_refused(shipped_copy, changes):
    with pytest.raises(FileFormatError, match=r"hand\.yaml"):
        load_hand(edit(shipped_copy, **changes))


def test_wrong_joint_name_is_named_beside_the_models(shipped_copy):
    rows = {joint.name: [0, 1, 0.0, -1.0, 1.0, 1.0, 1.0] for joint in load_hand("leap_right").joints}
    rows["index_sideways"] = rows.pop("index_side")
    with pytest.raises(DexhotError, match=r"index_sideways.*index_forward, index_side, index_pip"):
        load_hand(edit(shipped_copy, joints=rows))


def test_missing_entry_is_named(shipped_copy):
    with pytest.raises(DexhotError, match="lacks tip_radius"):
        load_hand(edit(shipped_copy, tip_radius=None))


def test_nominal_of_the_wrong_length(shipped_copy):
    with pytest.raises(DexhotError, match="nominal has 3 values for 16 joints"):
        load_hand(edit(shipped_copy, nominal=[0.0, 0.0, 0.0]))
