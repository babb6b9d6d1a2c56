"""Somebody else's hand, from its own URDF or MJCF and a hand.yaml."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml
from PIL import Image

from dexhot.errors import DexhotError
from dexhot.geometry.poses import IDENTITY
from dexhot.paths import share_dir
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS, arm_hand_spec
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.bodies import strip_visuals

GRIPPER = """<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <light pos="0 0 1"/>
    <geom type="plane" size="1 1 1"/>
    <body name="wrist" pos="1 2 3"><freejoint/>
      <geom type="box" size=".02 .03 .01"/>
      <body name="palm" pos="0 0 .02"><geom type="box" size=".02 .03 .01"/>
        <body name="left_finger" pos="0 .03 .02">
          <joint name="left" axis="1 0 0" range="0 1"/>
          <geom type="box" size=".005 .005 .03" pos="0 0 .03"/>
          <geom type="box" size=".005 .005 .03" pos="0 0 .03" contype="0" conaffinity="0"/>
        </body>
        <body name="right_finger" pos="0 -.03 .02">
          <joint name="right" axis="-1 0 0" range="0 1"/><geom type="box" size=".005 .005 .03" pos="0 0 .03"/>
        </body>
        <body name="thumb" pos=".03 0 .02">
          <joint name="thumb" axis="0 -1 0" range="-.2 1"/><geom type="box" size=".005 .005 .03" pos="0 0 .03"/>
        </body>
      </body>
    </body>
  </worldbody>
  <contact><exclude body1="palm" body2="thumb"/></contact>
  <equality><joint joint1="right" joint2="left"/></equality>
  <actuator><position joint="left"/></actuator>
</mujoco>"""
HAND = {
    "name": "gripper",
    "side": "right",
    "model": "gripper.xml",
    "palm": {"body": "palm", "pos": [0, 0, 0.01], "rpy": [0, -1.5707963267948966, 0]},  # its fingers run along z
    "joints": ["thumb", "left"],
    "velocity": 2.0,
    "effort": 0.5,
    "tips": {
        "left_tip": {"body": "left_finger", "pos": [0, 0, 0.06]},
        "thumb_tip": {"body": "thumb", "pos": [0, 0, 0.06]},
    },
    "tip_radius": 0.005,
    "nominal": [0.1, 0.2],
    "open": [0.0, 0.0],
}


def write(folder: Path, **changes) -> Path:
    (folder / "gripper.xml").write_text(GRIPPER)
    path = folder / "hand.yaml"
    path.write_text(yaml.safe_dump({**HAND, **changes}, sort_keys=False))
    return path


def test_joints_come_in_the_yamls_order_with_the_models_limits(tmp_path):
    hand = load_hand(write(tmp_path))
    assert hand.joint_names == ("thumb", "left")
    assert hand.lower.tolist() == [-0.2, 0.0] and hand.upper.tolist() == [1.0, 1.0]
    assert hand.velocity.tolist() == [2.0, 2.0] and hand.effort.tolist() == [0.5, 0.5]


def test_rows_overrule_the_models_limits(tmp_path):
    rows = {"thumb": [7, -1, 0.5, 0.0, 0.4, 1.0, 1.0], "left": [8, 1, 0.0, 0.1, 0.6, 1.0, 1.0]}
    hand = load_hand(write(tmp_path, joints=rows))
    assert hand.joints[0].motor_id == 7
    assert hand.spec().compile().joint("thumb").range.tolist() == [0.0, 0.4]


def test_palm_is_the_root_and_has_the_palm_frame(tmp_path):
    spec = load_hand(write(tmp_path)).spec()
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    assert [body.name for body in spec.worldbody.bodies] == ["palm"]
    assert data.body("palm").xpos == pytest.approx(np.zeros(3))
    assert data.site("left_tip").xpos == pytest.approx([0.07, 0.03, 0.0], abs=1e-9)  # along x, on the y side
    assert data.body("palm_link").xpos == pytest.approx([-0.01, 0, 0], abs=1e-9)


def test_only_the_hand_is_taken(tmp_path):
    model = load_hand(write(tmp_path)).spec().compile()
    assert model.nu == 0 and model.nlight == 0 and model.nq == 3  # no free joint; the coupled joint stays
    assert (model.body_gravcomp[1:] == 1).all()
    assert model.geom("left_finger_0").contype[0] == 1 and model.geom("left_finger_visual_0").contype[0] == 0
    assert model.nexclude == 1 and model.neq == 1


def test_a_world_that_only_collides_weighs_the_same(tmp_path):
    """The left finger's mass comes from two shapes, one of which is only seen."""
    spec = load_hand(write(tmp_path)).spec()
    mass = spec.compile().body("left_finger").mass[0]
    strip_visuals(spec)
    assert spec.compile().body("left_finger").mass[0] == pytest.approx(mass)
    assert mass == pytest.approx(2 * 8 * 0.005 * 0.005 * 0.03 * 1000)


def test_textures_are_found_and_inherited_defaults_kept(tmp_path):
    """A hand below an arm's body inherits the arm's class; the files of its material lie beside the model."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "skin.png")
    skin = '<asset><texture name="skin" type="2d" file="skin.png"/><material name="skin" texture="skin"/></asset>'
    arm = '<default><default class="stiff"><joint damping="0.3"/><geom material="skin"/></default></default>' + skin
    text = GRIPPER.replace("<worldbody>", arm + '<worldbody><body name="arm" childclass="stiff"><joint name="elbow"/>')
    text = text.replace('<light pos="0 0 1"/>', "").replace('<geom type="plane" size="1 1 1"/>', '<geom size=".1"/>')
    text = text.replace("<freejoint/>", '<joint name="wrist" range="-90 90"/>').replace(
        "</worldbody>", "</body></worldbody>"
    )
    text = text.replace("<contact>", '<contact><exclude body1="arm" body2="thumb"/>')
    text = text.replace("<equality>", '<equality><joint joint1="elbow" polycoef=".1 0 0 0 0"/>')
    path = write(tmp_path, root="wrist")
    (tmp_path / "gripper.xml").write_text(text)
    model = load_hand(path).spec().compile()
    assert model.nq == 3 and model.dof_damping == pytest.approx([0.3] * 3) and model.ntex == 1
    assert (model.geom_matid >= 0).all() and model.nexclude == 1 and model.neq == 1


def test_it_mounts_on_the_arm(tmp_path):
    hand = load_hand(write(tmp_path, mount={"pos": [0, 0, 0.01], "rpy": [np.pi, 0, 0]}))
    model = arm_hand_spec(hand).compile()
    data = mujoco.MjData(model)
    for name, q in zip(FR3_JOINTS, FR3_HOME):
        data.joint(name).qpos = q
    mujoco.mj_kinematics(model, data)
    assert data.body("palm").xpos == pytest.approx(data.site("fr3_flange").xpos - [0, 0, 0.01], abs=1e-9)
    assert model.joint("left").id >= 0 and model.neq == 1


def test_wrong_joint_name_is_named_beside_the_models(tmp_path):
    with pytest.raises(DexhotError, match=r"'index'.*the model has left, thumb"):
        load_hand(write(tmp_path, joints=["index", "thumb"]))


def test_left_out_joint_is_named(tmp_path):
    with pytest.raises(DexhotError, match="omits joint 'thumb'"):
        load_hand(write(tmp_path, joints=["left"], nominal=[0.0], open=[0.0]))


def test_wrong_tip_body_is_named_beside_the_models(tmp_path):
    tips = {"index_tip": {"body": "index_finger", "pos": [0, 0, 0]}}
    with pytest.raises(DexhotError, match=r"'index_finger'.*wrist, palm, left_finger"):
        load_hand(write(tmp_path, tips=tips))


def test_a_site_of_the_model_with_a_fingertip_s_name_gives_way_to_the_yaml_s(tmp_path):
    path, model = write(tmp_path), tmp_path / "gripper.xml"
    site = '<site name="left_tip" pos="0 0 .01"/>'
    body = '<body name="left_finger" pos="0 .03 .02">'
    text = GRIPPER.replace(body, body + site)
    model.write_text(text.replace("<actuator>", '<sensor><force site="left_tip"/></sensor><actuator>'))
    hand = load_hand(str(path)).spec().compile()
    np.testing.assert_allclose(hand.site("left_tip").pos, [0, 0, 0.06], atol=1e-9)


def test_unreadable_model_is_named(tmp_path):
    path = write(tmp_path)
    (tmp_path / "gripper.xml").write_text("<mujoco><worldbody>")
    with pytest.raises(DexhotError, match=r"gripper\.xml: MuJoCo cannot read"):
        load_hand(path)


def test_missing_file(tmp_path):
    with pytest.raises(DexhotError, match="does not exist"):
        load_hand(tmp_path / "hand.yaml")


def test_our_own_urdf_imports_as_the_same_hand(tmp_path):
    """The exported URDF of the LEAP hand, read as anyone's: the same fingertips."""
    ours = load_hand("leap_right")
    tips = {f"{site}_point": {"body": site, "pos": [0, 0, 0]} for site in ours.tip_sites}
    config = {
        **HAND,
        "model": str(share_dir() / "urdf" / "leap_right" / "leap_right.urdf"),
        "palm": {"body": "palm"},
        "joints": list(ours.joint_names),
        "tips": tips,
        "nominal": ours.nominal.tolist(),
        "open": ours.open.tolist(),
    }
    theirs = load_hand(write(tmp_path, **config))
    found = []
    for hand in (ours, theirs):
        model = hand.spec().compile()
        data = mujoco.MjData(model)
        for name, q in zip(hand.joint_names, hand.nominal):
            data.joint(name).qpos = q
        mujoco.mj_kinematics(model, data)
        found.append([data.site(site).xpos for site in hand.tip_sites])
    assert found[0] == pytest.approx(np.array(found[1]), abs=1e-6)
    assert theirs.lower == pytest.approx(ours.lower)
    assert theirs.mount.tolist() == IDENTITY.tolist()
