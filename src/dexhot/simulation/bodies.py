"""Building blocks of scenes: each function adds one element to an MjSpec."""

import copy
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import WRIST_JOINTS
from dexhot.geometry.rotations import matrix_to_quat
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.coupling import Coupled
from dexhot.robots.kinematics import wrist
from dexhot.robots.mjcf import COLLISION_GROUP, VISUAL_GROUP, add_mesh_geom
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.physics import Physics

Mj = mujoco.mjtObj

# Contact bits (contype, conaffinity): robots collide with table and object; add_self_contact adds finger-finger pairs.
ROBOT_CONTACT, WORLD_CONTACT, NO_CONTACT = (1, 2), (2, 3), (0, 0)
PALM_BIT, FIRST_FINGER_BIT = 1 << 2, 1 << 3
TABLE_SIZE = (1.2, 1.2, 0.05)  # half extents, m; demonstrations are placed up to 0.8 m from the arm's base
FLOOR_DEPTH = 0.75  # m below the world's origin; the floor is visual only
GHOST_RGBA = [0.25, 0.75, 0.55, 0.35]
FAR = 9.0  # m and rad: the wrist servos' control range
FOUND, DISTANCE = 1 << 0, 1 << 3  # mjtConDataField bits
PLAY, PLAY_ARMATURE = "/play", 1e-4  # a backlash joint's name ends with it; kg m2
RIGID = (0.999, 0.9999, 1e-4, 0.5, 2.0)  # solimp of a stop that hardly yields
NEAREST = 1  # contact sensors report the deepest of the matching contacts


def new_spec(physics: Physics) -> mujoco.MjSpec:
    """An empty world with the solver's settings."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    o = spec.option
    o.timestep = physics.timestep
    o.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{physics.integrator.upper()}")
    o.cone = cone(physics)
    o.jacobian = getattr(mujoco.mjtJacobian, f"mjJAC_{physics.jacobian.upper()}")
    o.iterations, o.ls_iterations = physics.iterations, physics.ls_iterations
    o.impratio, o.noslip_iterations = physics.impratio, physics.noslip_iterations
    o.gravity = physics.gravity
    return spec


def cone(physics: Physics) -> mujoco.mjtCone:
    """The physics' friction cone, MuJoCo's constant."""
    found: mujoco.mjtCone = getattr(mujoco.mjtCone, f"mjCONE_{physics.cone.upper()}")
    return found


def set_contact(geom: mujoco.MjsGeom, physics: Physics, bits: tuple[int, int]) -> None:
    """Give a geom the friction and softness of the physics, and `bits` (contype, conaffinity)."""
    geom.contype, geom.conaffinity = bits
    geom.condim, geom.friction = physics.condim, physics.friction
    geom.solref = physics.solref


def add_table(spec: mujoco.MjSpec, physics: Physics, height: float, center: tuple[float, float] = (0.0, 0.0)) -> None:
    """A slab whose top is at `height`."""
    position = [*center, height - TABLE_SIZE[2]]
    table = spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_BOX, size=TABLE_SIZE, pos=position)
    set_contact(table, physics, WORLD_CONTACT)
    table.rgba = [0.72, 0.66, 0.58, 1.0]


def add_object(spec: mujoco.MjSpec, asset: ObjectAsset, physics: Physics) -> None:
    """Free body "object" at the mesh frame: collides by its convex pieces, shows its mesh, has the asset's inertia."""
    body = spec.worldbody.add_body(name="object", pos=[0, 0, 0.1])
    body.add_freejoint(name="object")
    body.explicitinertial, body.mass, body.ipos = True, asset.mass, asset.center_of_mass
    i = asset.inertia
    body.fullinertia = [i[0, 0], i[1, 1], i[2, 2], i[0, 1], i[0, 2], i[1, 2]]
    for k, (vertices, faces) in enumerate(asset.pieces):
        geom = add_mesh_geom(spec, body, f"object_{k}", vertices, faces)
        geom.group = COLLISION_GROUP
        set_contact(geom, physics, WORLD_CONTACT)
        if asset.friction is not None:  # with priority, or the larger friction of the two geoms would count
            geom.friction, geom.priority = [physics.sliding(asset.friction), *physics.friction[1:]], 1
    visual = add_mesh_geom(spec, body, "object_visual", asset.vertices, asset.faces)
    visual.group, visual.rgba = VISUAL_GROUP, [0.87, 0.49, 0.20, 1.0]


def prepare_robot(spec: mujoco.MjSpec, hand: RobotHand, physics: Physics) -> None:
    """Contacts, finger armature, friction and backlash of the benchmark physics; gravity is compensated on all bodies.

    Joint couplings are as stiff as contacts: a linkage does not yield."""
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            set_contact(geom, physics, ROBOT_CONTACT)
    add_self_contact(spec, hand)
    fingers = physics.finger(hand)
    for name in hand.joint_names:
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = physics.armature, fingers.friction
        if fingers.backlash > 0:
            add_play(joint, fingers.backlash, physics)
    for equality in spec.equalities:
        if equality.type == mujoco.mjtEq.mjEQ_JOINT:
            spec.joint(equality.name1).armature = physics.armature
            equality.solref = physics.solref
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0


def add_play(joint: mujoco.MjsJoint, backlash: float, physics: Physics) -> None:
    """Backlash: a second, free hinge about the same axis, with `backlash` (rad) between its limits.

    The servo moves `joint`, which stands for the horn and is what the encoder measures; the finger is off by the play.
    An armature of its own keeps the mass matrix well conditioned.
    """
    play = joint.parent.add_joint(name=f"{joint.name}{PLAY}", pos=joint.pos, axis=joint.axis)
    play.limited, play.range = True, [-0.5 * backlash, 0.5 * backlash]
    play.armature, play.solref_limit, play.solimp_limit = PLAY_ARMATURE, physics.solref, RIGID


def add_self_contact(spec: mujoco.MjSpec, hand: RobotHand) -> None:
    """Enable contacts between links of different fingers, and between fingers and palm.

    Excluded are links that are so close in the real hand that their primitives overlap: a finger's first two links
    with the palm, and links that touch while the hand is open, half closed or all its joints are straight.
    """
    fingers = list(spec.body("palm").bodies)
    bits = [FIRST_FINGER_BIT << k for k in range(len(fingers))]

    def mark(body: mujoco.MjsBody, bit: int, depth: int) -> None:
        for geom in body.geoms:
            if geom.contype or geom.conaffinity:
                geom.contype |= bit
                geom.conaffinity |= sum(bits) - bit + (PALM_BIT if depth > 1 else 0)
        for child in body.bodies:
            mark(child, bit, depth + 1)

    for geom in spec.body("palm").geoms:
        if geom.contype or geom.conaffinity:
            geom.contype |= PALM_BIT
    for finger, bit in zip(fingers, bits):
        mark(finger, bit, 0)
    straight = np.clip(np.zeros(len(hand.joints)), hand.lower, hand.upper)  # where the LEAP hand is calibrated
    for a, b in touching_links(hand, (hand.open, hand.nominal, straight)):
        spec.add_exclude(bodyname1=a, bodyname2=b)


def touching_links(hand: RobotHand, postures: Sequence[np.ndarray], gap: float = 0.0) -> set[tuple[str, str]]:
    """Names of the links nearer to each other than `gap` (m) in any of `postures` (n,)."""
    spec, found = hand.spec(), set()
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            geom.contype = geom.conaffinity = 1
            geom.margin = gap
    model = spec.compile()
    data, coupled = mujoco.MjData(model), Coupled(model)
    for q in postures:
        for name, value in zip(hand.joint_names, q):
            data.joint(name).qpos[0] = value
        coupled.follow(data.qpos)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        near = data.contact.geom[data.contact.dist < gap]
        found |= {tuple(sorted(model.body(b).name for b in pair)) for pair in model.geom_bodyid[near].tolist()}
    return found


def without_self_contact(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy without contacts between the robot's own links."""
    model = copy.copy(model)
    model.geom_contype[:] &= PALM_BIT - 1
    model.geom_conaffinity[:] &= PALM_BIT - 1
    return model


def add_wrist(spec: mujoco.MjSpec, base_quat: ArrayLike, physics: Physics, prefix: str = "") -> mujoco.MjsBody:
    """Add the floating wrist with its servos' armature; returns the body that carries the palm."""
    turn = wrist.add_wrist(spec, base_quat, prefix)
    for k, name in enumerate(WRIST_JOINTS):
        servo = physics.wrist.translation if k < 3 else physics.wrist.rotation
        spec.joint(prefix + name).armature = servo.armature
    return turn


def add_servo(spec: mujoco.MjSpec, joint: str, kp: float, kv: float, limits: ArrayLike) -> mujoco.MjsActuator:
    """A position servo on `joint`: torque = kp (ctrl - q) - kv qd."""
    servo = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=kp, kv=kv)
    servo.ctrlrange, servo.ctrllimited = limits, True
    return servo


def add_finger_servos(spec: mujoco.MjSpec, hand: RobotHand, physics: Physics) -> None:
    """Add a servo per finger joint, with targets limited to the joint's range.

    A servo with a motor model is MuJoCo's DC motor: the same law, torque limited by current and torque-speed line.
    """
    fingers = physics.finger(hand)
    for name, kp, kv, low, high in zip(hand.joint_names, fingers.stiffness, fingers.damping, hand.lower, hand.upper):
        servo = add_servo(spec, name, kp, kv, (low, high))
        if fingers.motor is None:
            servo.forcelimited, servo.forcerange = True, [-fingers.torque, fingers.torque]
        else:
            constant = 1 / fingers.motor.no_load_speed  # N m/A and V s/rad at a supply of 1 V
            resistance = constant / fingers.motor.stall_torque
            servo.set_to_dcmotor(
                motorconst=[constant, constant],
                resistance=resistance,
                saturation=[fingers.torque, 0, 0],
                controller=[kp, 0, kv, 0, 0, 1.0],
                ctrlspec=mujoco.mjtCtrlInput.mjINPUT_POS.value,
            )


def scale_servos(model: mujoco.MjModel, actuators: Sequence[int], gain: float) -> None:
    """Scale stiffness and damping of finger servos."""
    for a in actuators:
        if model.actuator_gaintype[a] == mujoco.mjtGain.mjGAIN_DCMOTOR:
            model.actuator_gainprm[a, [STIFFNESS, DAMPING]] *= gain
        else:
            model.actuator_gainprm[a, 0] *= gain
            model.actuator_biasprm[a, 1:3] *= gain


# Indices of a DC motor's gains in actuator_gainprm: N m/rad, N m s/rad, maximum voltage as a fraction of the supply's
STIFFNESS, DAMPING, VOLTAGE = 4, 6, 7


def add_ghost(
    spec: mujoco.MjSpec, hand: RobotHand, asset: ObjectAsset | None, base_quat: ArrayLike, physics: Physics
) -> None:
    """Add a translucent floating hand and object without contacts, posed by `Scene.show_ghost`; for pictures only."""
    turn = add_wrist(spec, base_quat, physics, "ghost/")
    child = hand.spec(detailed=True)
    for geom in child.geoms:
        geom.contype, geom.conaffinity = NO_CONTACT
        geom.rgba, geom.material = GHOST_RGBA, ""
    for body in child.bodies[1:]:
        body.gravcomp = 1.0
    spec.attach(child, prefix="ghost/", frame=turn.add_frame())
    if asset is not None:
        body = spec.worldbody.add_body(name="ghost/object", mocap=True)
        geom = add_mesh_geom(spec, body, "ghost/object", asset.vertices, asset.faces)
        geom.group, geom.rgba = VISUAL_GROUP, GHOST_RGBA


def strip_visuals(spec: mujoco.MjSpec) -> None:
    """Delete visual-only geoms and meshes."""
    for geom in list(spec.geoms):
        if not geom.contype and not geom.conaffinity:
            spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)


def add_sensors(spec: mujoco.MjSpec, hand: RobotHand | None, has_object: bool) -> dict[str, slice]:
    """Add the sensors; returns the slice of each in sensordata.

    Positions and quaternions of object and palm (body frames), fingertip centres, whether each fingertip's link touches
    the object, and the signed distance of hand and object where they touch (m, negative: penetration).
    """
    layout: dict[str, slice] = {}

    def add(label: str, kind: mujoco.mjtSensor, what: mujoco.mjtObj, names: Sequence[str], width: int) -> None:
        start = sum(s.stop - s.start for s in layout.values())
        for name in names:
            spec.add_sensor(name=f"{label}/{name}", type=kind, objtype=what, objname=name)
        layout[label] = slice(start, start + width * len(names))

    position, quat = mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtSensor.mjSENS_FRAMEQUAT
    if has_object:
        add("object_position", position, Mj.mjOBJ_XBODY, ["object"], 3)
        add("object_quat", quat, Mj.mjOBJ_XBODY, ["object"], 4)
    if hand is not None:
        add("palm_position", position, Mj.mjOBJ_XBODY, ["palm"], 3)
        add("palm_quat", quat, Mj.mjOBJ_XBODY, ["palm"], 4)
        add("tips", position, Mj.mjOBJ_SITE, list(hand.tip_sites), 3)
    if hand is not None and has_object:
        links = [spec.site(name).parent.name for name in hand.tip_sites]
        layout["tip_contact"] = _add_contact_sensors(spec, layout, "tip_contact", Mj.mjOBJ_BODY, links, FOUND)
        layout["penetration"] = _add_contact_sensors(spec, layout, "penetration", Mj.mjOBJ_XBODY, ["palm"], DISTANCE)
    return layout


def _add_contact_sensors(
    spec: mujoco.MjSpec, layout: dict[str, slice], label: str, what: mujoco.mjtObj, names: list[str], data: int
) -> slice:
    """One value per name, of its deepest contact with the object; 0 without contact."""
    start = sum(s.stop - s.start for s in layout.values())
    for name in names:
        sensor = spec.add_sensor(
            name=f"{label}/{name}", type=mujoco.mjtSensor.mjSENS_CONTACT, objtype=what, objname=name
        )
        sensor.reftype, sensor.refname = Mj.mjOBJ_BODY, "object"
        sensor.intprm[:3] = [data, NEAREST, 1]
    return slice(start, start + len(names))


def add_looks(spec: mujoco.MjSpec, target: tuple[float, float, float], distance: float) -> None:
    """Sky, checkered floor, a light and the camera "workspace", which looks at `target` `distance` away."""
    texture = mujoco.mjtTexture
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.95, 0.96, 0.98], rgb2=[0.66, 0.74, 0.82], width=256, height=256,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=texture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.80, 0.82, 0.84], rgb2=[0.73, 0.75, 0.78], width=256, height=256,
    )  # fmt: skip
    floor = spec.add_material(name="floor", texrepeat=[8, 8], reflectance=0.05)
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    ground = spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 0.1], pos=[0, 0, -FLOOR_DEPTH]
    )
    ground.contype, ground.conaffinity = NO_CONTACT
    ground.material = "floor"
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.45] * 3, [0.35] * 3
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080
    spec.visual.quality.shadowsize = 4096
    spec.visual.map.znear = 0.005
    key = spec.worldbody.add_light(name="key", pos=[1.0, -0.8, 2.2], dir=[-0.4, 0.35, -1.0], diffuse=[0.55] * 3)
    key.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    spec.visual.map.shadowclip = 1.2  # m around the light's target: sharper shadows than over the whole world
    look_from = np.asarray(target) + distance * np.array([0.66, -0.60, 0.45])
    back = (look_from - target) / np.linalg.norm(look_from - target)
    right = np.cross((0.0, 0.0, 1.0), back) / np.linalg.norm(back[:2])
    axes = np.stack([right, np.cross(back, right), back], axis=1)  # a camera looks along its -z, +y is up
    spec.worldbody.add_camera(name="workspace", pos=look_from, quat=matrix_to_quat(axes), fovy=45)
