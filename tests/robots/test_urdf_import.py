"""What a URDF from the field may bring: visuals or none, meshes of a package, joints and names that cannot be used."""

import logging
import re

import mujoco
import numpy as np
import pytest
import trimesh

from box_hand import INERTIA, SHAPES, box_hand
from dexhot.errors import FileFormatError
from dexhot.robots.mjcf import COLLISION_GROUP, VISUAL_GROUP
from dexhot.robots.robot_hand import load_hand
from dexhot.robots.ros_paths import locate
from dexhot.simulation.bodies import strip_visuals
from dexhot.simulation.renderer import NoRendererError, new_renderer

BOX = '<geometry><box size="0.048 0.014 0.014"/></geometry>'
CONTINUOUS = [
    (
        'type="revolute"><parent link="base"/><child link="ring',
        'type="continuous"><parent link="base"/><child link="ring',
    )
]


def shapes_of(hand):
    """Names of the geoms that collide and of those that are seen, in a compiled model of the hand."""
    model = hand.spec().compile()
    colliding = (model.geom_contype | model.geom_conaffinity) > 0
    assert (model.geom_group[colliding] == COLLISION_GROUP).all()
    assert (model.geom_group[~colliding] == VISUAL_GROUP).all()
    names = np.array([model.geom(i).name for i in range(model.ngeom)])
    return set(names[colliding]), set(names[~colliding])


@pytest.mark.parametrize("shapes", [SHAPES, ("collision",), ("visual",)])
def test_a_hand_can_be_seen_and_can_touch_whatever_it_was_given(tmp_path, shapes, caplog):
    hand = load_hand(box_hand(tmp_path, shapes=shapes))
    colliding, seen = shapes_of(hand)
    assert len(colliding) == len(seen) == 9
    assert "index_distal_0" in colliding and "index_distal_visual_0" in seen
    said = "no collision shapes: its visuals are used for collision"
    assert (said in caplog.text) == (shapes == ("visual",)) == any(said in note for note in hand.notes)


def test_a_note_is_reported_once_in_a_process(tmp_path, caplog):
    path = box_hand(tmp_path, shapes=("visual",))
    for _ in range(3):
        load_hand(path)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_visuals_weigh_nothing(tmp_path):
    """Links without inertia weigh what their collision shapes do, with visuals or without, seen or not."""
    bare = [("<inertial>", "<!--"), ("</inertial>", "-->")]
    both, one = (load_hand(box_hand(tmp_path / str(len(s)), shapes=s, changes=bare)) for s in (SHAPES, ("collision",)))
    masses = [hand.spec().compile().body_mass for hand in (both, one)]
    assert masses[0] == pytest.approx(masses[1]) and masses[0].sum() == pytest.approx(0.09 * 0.08 * 0.02 * 1e3, rel=1.0)
    spec = both.spec()
    strip_visuals(spec)
    assert spec.compile().body_mass == pytest.approx(masses[0])
    seen = load_hand(box_hand(tmp_path / "seen", shapes=("visual",), changes=bare))  # which collide, and weigh
    assert seen.spec().compile().body_mass == pytest.approx(masses[0])


def test_the_hand_is_in_the_picture(tmp_path):
    """Pixels change where the hand is: the case that showed a floating box without a hand."""
    model = load_hand(box_hand(tmp_path, shapes=("collision",))).spec().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = mujoco.MjvCamera()
    camera.distance, camera.elevation = 0.4, -50.0
    try:
        renderer = new_renderer(model, 160, 120)
    except NoRendererError as e:
        pytest.skip(str(e))
    with renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, camera)
        assert (renderer.render()[..., 0] >= 0).mean() > 0.05


def test_a_fingertip_on_a_bare_frame_is_put_on_the_link_that_touches(tmp_path):
    """URDFs mark fingertips by empty links on fixed joints; contacts are those of the link that they are fixed to."""
    frame = '<link name="pad"/><joint name="pad_fixed" type="fixed"><parent link="index_distal"/><child link="pad"/>'
    frame += '<origin xyz="0.03 0 0.002"/></joint>'
    tips = {f"{f}_tip": {"body": f"{f}_distal", "pos": [0.037, 0, 0]} for f in ("middle", "ring", "thumb")}
    tips = {"index_tip": {"body": "pad", "pos": [0.007, 0, 0]}, **tips}
    spec = load_hand(box_hand(tmp_path, extra=frame, tips=tips)).spec()
    assert spec.site("index_tip").parent.name == "index_distal"
    assert spec.site("index_tip").pos == pytest.approx([0.037, 0.0, 0.002])


def test_a_fingertip_without_any_shape_is_refused(tmp_path):
    stub = f'<link name="stub"><inertial>{INERTIA}</inertial></link><joint name="index_dip" type="revolute">'
    stub += '<parent link="index_distal"/><child link="stub"/><limit lower="0" upper="1" effort="1" velocity="1"/>'
    stub += '<mimic joint="index_mcp"/></joint>'
    tips = {f"{f}_tip": {"body": f"{f}_distal", "pos": [0.037, 0, 0]} for f in ("middle", "ring", "thumb")}
    with pytest.raises(FileFormatError, match="no collision shape at index_tip: link 'stub' has none"):
        load_hand(box_hand(tmp_path, extra=stub, tips={"index_tip": {"body": "stub", "pos": [0, 0, 0]}, **tips}))


def mesh_file(path, kind):
    """A finger's box as a mesh file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(trimesh.creation.box([0.048, 0.014, 0.014]).export(file_type=kind)))
    return path


def as_bytes(content):
    return content.encode() if isinstance(content, str) else content


@pytest.mark.parametrize("kind", ["stl", "stl_ascii", "obj", "ply", "glb", "dae"])
def test_meshes_of_any_format_are_read(tmp_path, kind):
    if kind == "dae":
        pytest.importorskip("collada")
    file = f"meshes/finger.{kind.removesuffix('_ascii')}"
    mesh_file(tmp_path / file, kind)
    scaled = f'<geometry><mesh filename="{file}" scale="1 2 1"/></geometry>'
    hand = load_hand(box_hand(tmp_path, changes=[(BOX, scaled)]))
    model = hand.spec().compile()
    geom = model.geom("index_proximal_visual_0")
    assert geom.type[0] == mujoco.mjtGeom.mjGEOM_MESH
    assert sorted(model.geom_aabb[geom.id][3:]) == pytest.approx([0.007, 0.014, 0.024], abs=1e-6)
    assert not hand.notes


def test_meshes_of_the_same_name_in_two_folders_are_two(tmp_path):
    for folder, size in (("visual", 0.01), ("collision", 0.02)):
        path = mesh_file(tmp_path / folder / "finger.stl", "stl")
        trimesh.creation.box([size] * 3).export(path)
    shape = '<origin xyz="0.024 0 0"/>' + BOX
    changes = [(f"<{k}>{shape}", f'<{k}><geometry><mesh filename="{k}/finger.stl"/></geometry>') for k in SHAPES]
    model = load_hand(box_hand(tmp_path, changes=changes)).spec().compile()
    halves = [model.geom_aabb[model.geom(name).id][3] for name in ("index_proximal_visual_0", "index_proximal_0")]
    assert halves == pytest.approx([0.005, 0.01])


@pytest.mark.parametrize("file, reason", [("gone.stl", "not found; searched"), ("odd.xyz3", r"\.xyz3 cannot be read")])
def test_a_visual_that_cannot_be_read_is_named_and_the_collision_shape_drawn(tmp_path, file, reason, caplog):
    tmp_path.joinpath("odd.xyz3").write_text("no mesh")
    shape = '<visual><origin xyz="0.024 0 0"/>' + BOX
    changes = [(shape, f'<visual><geometry><mesh filename="{file}"/></geometry>')]
    hand = load_hand(box_hand(tmp_path, changes=changes))
    assert len(hand.notes) == 4 and f"visual mesh {file} of link index_proximal is not rendered" in caplog.text
    assert re.search(reason, hand.notes[0])
    colliding, seen = shapes_of(hand)
    assert len(colliding) == len(seen) == 9


def test_a_visual_that_mujoco_cannot_use_leaves_the_collision_shapes_to_be_drawn(tmp_path):
    (tmp_path / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    changes = [('<visual><origin xyz="0.024 0 0"/>' + BOX, '<visual><geometry><mesh filename="flat.obj"/></geometry>')]
    hand = load_hand(box_hand(tmp_path, changes=changes))
    assert "visual meshes are not rendered, as MuJoCo cannot read them" in hand.notes[0]
    colliding, seen = shapes_of(hand)
    assert len(colliding) == len(seen) == 9


def test_a_collision_mesh_that_is_not_there_is_refused_by_name(tmp_path):
    shape = '<collision><origin xyz="0.024 0 0"/>' + BOX
    changes = [(shape, '<collision><geometry><mesh filename="package://boxes/gone.stl"/></geometry>')]
    with pytest.raises(
        FileFormatError, match=r"collision mesh package://boxes/gone\.stl of link index_proximal: not found"
    ):
        load_hand(box_hand(tmp_path, changes=changes))


def test_packages_are_found_as_ros_finds_them(tmp_path, monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.delenv("ROS_PACKAGE_PATH", raising=False)
    model = tmp_path / "work" / "checkout" / "urdf"
    model.mkdir(parents=True)
    uri = "package://my_hand/meshes/a.stl"
    assert locate(uri, model)[0] is None
    beside = mesh_file(model / "meshes" / "a.stl", "stl")
    assert locate(uri, model)[0] == beside
    named = mesh_file(tmp_path / "work" / "my_hand" / "meshes" / "a.stl", "stl")
    assert locate(uri, model)[0] == named
    above = mesh_file(model.parent / "meshes" / "a.stl", "stl")  # the checkout has another name than its package
    (model.parent / "package.xml").write_text("<package><name>my_hand</name></package>")
    assert locate(uri, model)[0] == above
    overlay = mesh_file(tmp_path / "ros1" / "my_hand" / "meshes" / "a.stl", "stl")
    monkeypatch.setenv("ROS_PACKAGE_PATH", f"/nowhere:{tmp_path / 'ros1'}")
    assert locate(uri, model)[0] == overlay
    installed = mesh_file(tmp_path / "ros2" / "share" / "my_hand" / "meshes" / "a.stl", "stl")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'ros2'}")
    assert locate(uri, model)[0] == installed
    assert locate(f"file://{beside}", tmp_path)[0] == beside
    assert locate("meshes/a.stl", model)[0] == beside


def test_a_continuous_joint_is_refused_by_name_and_limits_mend_it(tmp_path):
    with pytest.raises(FileFormatError, match=r"'ring_mcp' without limits \(continuous\).*limits: \{ring_mcp:"):
        load_hand(box_hand(tmp_path / "refused", changes=CONTINUOUS))
    hand = load_hand(box_hand(tmp_path / "mended", changes=CONTINUOUS, limits={"ring_mcp": [-0.1, 1.0]}))
    assert (hand.lower[2], hand.upper[2]) == pytest.approx((0.0, 1.0))  # its follower stops at 0
    with pytest.raises(FileFormatError, match="no joint 'ring_mpc' for `limits`; its joints are index_mcp"):
        load_hand(box_hand(tmp_path / "wrong", limits={"ring_mpc": [0, 1]}))


def test_a_sliding_joint_is_refused_by_name(tmp_path):
    changes = [(CONTINUOUS[0][0], CONTINUOUS[0][1].replace("continuous", "prismatic"))]
    with pytest.raises(FileFormatError, match="'ring_mcp' is prismatic; only revolute"):
        load_hand(box_hand(tmp_path, mimic=None, changes=changes))


def test_limits_in_degrees_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match=r"limits joint 'index_mcp' to 0 \.\. 90, which looks like degrees"):
        load_hand(box_hand(tmp_path, mimic=None, changes=[('upper="1.5"', 'upper="90.0"')]))


def test_rows_in_degrees_are_refused(tmp_path):
    rows = {f"{f}_mcp": [i, 1, 0.0, 0.0, 1.2, 4.0, 1.0] for i, f in enumerate(("index", "middle", "ring", "thumb"))}
    rows["ring_mcp"][4] = 75.0
    with pytest.raises(FileFormatError, match=r"'ring_mcp' has limits 0 to 75.*not degrees"):
        load_hand(box_hand(tmp_path, joints=rows))


def test_limits_in_rad_that_are_read_as_degrees_are_refused(tmp_path):
    path = box_hand(tmp_path, mimic=None)
    spec = mujoco.MjSpec.from_file(str(tmp_path / "boxes.urdf"))
    spec.compiler.fusestatic = False
    spec.compile()
    text = spec.to_xml().replace('<compiler angle="radian"/>', "")
    (tmp_path / "boxes.urdf").rename(tmp_path / "kept")
    (tmp_path / "boxes.xml").write_text(text)
    path.write_text(path.read_text().replace("boxes.urdf", "boxes.xml") + "velocity: 4.0\neffort: 1.0\n")
    with pytest.raises(
        FileFormatError, match='its limits are in rad, but are read as degrees; add <compiler angle="rad'
    ):
        load_hand(path)


def test_postures_in_degrees_are_refused_and_those_outside_the_limits_reported(tmp_path, caplog):
    with pytest.raises(FileFormatError, match=r"nominal has 'ring_mcp' at 30 rad.*not degrees"):
        load_hand(box_hand(tmp_path, nominal=[0.5, 0.5, 30.0, 0.5]))
    hand = load_hand(box_hand(tmp_path, open=[0.0, 0.0, -0.2, 0.0]))
    assert hand.open[2] == 0.0 and "open has 'ring_mcp' at -0.2 rad" in caplog.text


def test_velocities_are_held_against_the_models(tmp_path, caplog):
    assert load_hand(box_hand(tmp_path)).velocity == pytest.approx([4.0] * 4)  # the model's own
    assert load_hand(box_hand(tmp_path, velocity=2.0)).velocity == pytest.approx([2.0] * 4)
    assert not caplog.text
    fast = load_hand(box_hand(tmp_path, velocity=6.0))
    assert fast.velocity == pytest.approx([4.0] * 4) and "4 rad/s, not 6" in caplog.text
    with pytest.raises(FileFormatError, match=r"'index_mcp' has a velocity of 230 rad/s.*not degrees"):
        load_hand(box_hand(tmp_path, velocity=230.0))
    placeholder = [('velocity="4"', 'velocity="100"')]  # as CAD exports write it
    assert load_hand(box_hand(tmp_path, changes=placeholder)).velocity == pytest.approx([30.0] * 4)
    assert "30 rad/s, instead of the 100 in its model" in caplog.text
    silent = [(' velocity="4"', "")]
    with pytest.raises(FileFormatError, match="needs `velocity` in rad/s"):
        load_hand(box_hand(tmp_path, changes=silent))
    assert load_hand(box_hand(tmp_path, changes=silent, velocity=6.0)).velocity == pytest.approx([6.0] * 4)


def test_a_palm_beside_a_palm_link_keeps_its_body_with_a_note(tmp_path, caplog):
    extra = "".join(
        f'<link name="{name}"/><joint name="{name}_j" type="fixed"><parent link="base"/><child link="{name}"/></joint>'
        for name in ("palm", "palm_link")
    )
    hand = load_hand(box_hand(tmp_path, extra=extra, palm={"body": "palm", "pos": [0.05, 0, 0]}))
    names = [body.name for body in hand.spec().bodies]
    assert {"palm", "palm_link", "palm_body"} <= set(names) and "'palm' is renamed 'palm_body' here" in caplog.text


@pytest.mark.parametrize("old, new", [("index_mcp", "rx"), ("index_proximal", "object")])
def test_names_that_the_scene_needs_are_refused(tmp_path, old, new):
    names = [new if name == old else name for name in ("index_mcp", "middle_mcp", "ring_mcp", "thumb_mcp")]
    with pytest.raises(FileFormatError, match=f"uses the reserved name '{new}'; rename it"):
        load_hand(box_hand(tmp_path, changes=[(f'"{old}"', f'"{new}"')], joints=names))


ARM = """<link name="world"/><link name="upper"><inertial><mass value="1"/>
  <inertia ixx="1e-2" iyy="1e-2" izz="1e-2" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="shoulder" type="continuous"><parent link="world"/><child link="upper"/><axis xyz="0 0 1"/></joint>
  <joint name="wrist" type="revolute"><parent link="upper"/><child link="base"/>
  <origin xyz="0.3 0 0.2" rpy="0.3 0.2 0"/><axis xyz="1 0 0"/>
  <limit lower="-2" upper="2" effort="9" velocity="9"/></joint>"""


@pytest.mark.parametrize("kind", ["urdf", "xml"])
def test_a_hand_is_taken_out_of_a_whole_robot(tmp_path, kind):
    alone = load_hand(box_hand(tmp_path / "alone", velocity=4.0, effort=1.0))
    path = box_hand(tmp_path / "robot", extra=ARM, root="base", velocity=4.0, effort=1.0)
    if kind == "xml":
        spec = mujoco.MjSpec.from_file(str(path.parent / "boxes.urdf"))
        spec.compiler.fusestatic = False
        spec.compile()
        (path.parent / "boxes.xml").write_text(spec.to_xml())
        path.write_text(path.read_text().replace("boxes.urdf", "boxes.xml"))
    hand = load_hand(path)
    assert hand.joint_names == alone.joint_names and hand.coupled == alone.coupled
    found = []
    for one in (alone, hand):
        model = one.spec().compile()
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        found.append((model.nq, model.nbody, *data.site("index_tip").xpos, *data.site("thumb_tip").xpos))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_whole_robot_without_a_root_is_named_in_the_error(tmp_path):
    fixed = ARM.replace("continuous", "fixed")
    with pytest.raises(FileFormatError, match=r"omits joint 'wrist'.*whole robot.*`root:`"):
        load_hand(box_hand(tmp_path / "a", extra=fixed))
    with pytest.raises(FileFormatError, match=r"no link 'palm' for --root; its links are base,"):
        load_hand(box_hand(tmp_path / "b", extra=fixed, root="palm"))
    with pytest.raises(FileFormatError, match=r"has no body 'upper'|outside the subtree of"):
        load_hand(box_hand(tmp_path / "c", extra=fixed, root="base", palm={"body": "upper"}))


def test_a_xacro_and_an_absent_model_are_named(tmp_path):
    path = box_hand(
        tmp_path, changes=[('<robot name="boxes">', '<robot name="boxes" xmlns:xacro="http://x"><xacro:box/>')]
    )
    with pytest.raises(FileFormatError, match=r"is a xacro.*xacro boxes\.urdf > hand\.urdf"):
        load_hand(path)
    (tmp_path / "boxes.urdf").unlink()
    with pytest.raises(FileFormatError, match=r"boxes\.urdf does not exist"):
        load_hand(path)


def test_a_closed_loop_is_refused(tmp_path):
    path = box_hand(tmp_path, velocity=4.0, effort=1.0)
    spec = mujoco.MjSpec.from_file(str(tmp_path / "boxes.urdf"))
    spec.compiler.fusestatic = False
    spec.compile()
    loop = '<equality><connect name="bar" body1="index_distal" body2="middle_distal" anchor="0 0 0"/>'
    (tmp_path / "boxes.xml").write_text(spec.to_xml().replace("<equality>", loop))
    path.write_text(path.read_text().replace("boxes.urdf", "boxes.xml"))
    with pytest.raises(FileFormatError, match=r"closes a kinematic loop with the equality 'bar' \(connect\)"):
        load_hand(path)


def test_the_original_case_of_an_invisible_hand(shared_data):
    colliding, seen = shapes_of(
        load_hand(shared_data.parent / "cases" / "05-urdf-hand-invisible" / "hand" / "hand.yaml")
    )
    assert len(colliding) == len(seen) == 9
