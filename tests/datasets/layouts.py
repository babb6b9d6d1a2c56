"""Small datasets in the published layouts, written by tests: a hand that nobody has reaches for a box and lifts it."""

import json
import pickle
from pathlib import Path

import numpy as np
import trimesh
import yaml
from PIL import Image
from scipy.spatial.transform import Rotation

from dexhot.datasets import dexycb
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import compose, inverse, make_pose, pose_to_matrix, transform
from dexhot.geometry.rotations import matrix_to_quat, to_xyzw
from dexhot.humans.mano import TIPS
from dexhot.humans.model_files import mano_file
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import PARENTS, HandPose

FRAMES = 40
BOX = (0.05, 0.07, 0.12)  # m
K = {"fx": 615.0, "fy": 615.0, "ppx": 319.5, "ppy": 239.5}
MESH = "010_potted_meat_can"
OFFSET = np.array([0.0957, 0.0064, 0.0062])  # m: MANO's wrist is not at its origin, the open hand's is


def write_mano(seed: int = 0) -> dict[str, np.ndarray]:
    """Both files of a user's MANO, made from the open hand; returns the right one's arrays."""
    rng = np.random.default_rng(seed)
    parts = {}
    for side in ("left", "right"):
        hand = open_hand(side)
        count, offset = len(hand.vertices), OFFSET * ([1, 1, 1] if side == "right" else [-1, 1, 1])
        order = np.arange(count)  # the fingertips are where MANO has them
        for there, tip in zip(TIPS, hand.tips):
            k = int(np.flatnonzero(order == tip)[0])
            order[[k, there]] = order[[there, k]]
        parts = {
            "v_template": hand.vertices[order] + offset,
            "shapedirs": hand.shape_directions[order][..., :10],
            "posedirs": np.zeros((count, 3, 135)),
            "weights": hand.weights[order],
            "f": np.argsort(order)[hand.faces].astype(np.uint32),
            "kintree_table": np.array([PARENTS % 2**32, range(16)], np.uint32),
            "J_regressor": (hand.joints + offset) @ np.linalg.pinv(hand.vertices[order] + offset),
            "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
            "hands_mean": 0.1 * rng.normal(size=45),
        }
        mano_file(side).parent.mkdir(parents=True, exist_ok=True)
        mano_file(side).write_bytes(pickle.dumps(parts, protocol=2))
    return parts


def box() -> trimesh.Trimesh:
    """The object's mesh, off the origin as scans are."""
    mesh = trimesh.creation.box(BOX)
    mesh.apply_translation([0.01, -0.02, 0.03])
    return mesh


def world_motion(frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """World poses (T, 7) of the hand's wrist joint and the box: at rest, then lifted by 15 cm, z up, table at 0."""
    lift = 0.15 * np.clip((np.arange(frames) - 15) / 15, 0, 1)
    centre = np.array([0.01, -0.02, 0.03])
    at = np.array([0.3, 0.1, BOX[2] / 2]) - centre
    boxes = make_pose(at + lift[:, None] * [0, 0, 1], [1.0, 0, 0, 0])
    turn = Rotation.from_euler("xyz", [0.2, 0.4, 0.3]).as_quat()[[3, 0, 1, 2]]
    approach = 0.1 * np.clip(1 - np.arange(frames) / 12, 0, 1)
    wrist = make_pose(at + [0.0, 0.0, 0.2] + (approach + lift)[:, None] * [0, 0, 1], turn)
    return wrist, boxes


def camera_poses(count: int = 2) -> np.ndarray:
    """world_T_camera (N, 7): the optical frames of cameras that look at the box from the front and from above."""
    out = []
    for k in range(count):
        eye = np.array([0.3 + 0.5 * np.cos(k), 0.1 - 0.6 * np.sin(0.5 + k), 0.6])
        z = np.array([0.3, 0.1, 0.1]) - eye
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 0, 1.0])
        x /= np.linalg.norm(x)
        out.append(make_pose(eye, matrix_to_quat(np.stack([x, np.cross(z, x), z], axis=1))))
    return np.array(out)


def hand_in(frame_T_world: np.ndarray, parts: dict[str, np.ndarray], fingers: np.ndarray, frames: int = FRAMES):
    """MANO's rotation vectors (T, 3) and translations (T, 3) of the motion in another frame."""
    wrist = compose(frame_T_world, world_motion(frames)[0])
    root = parts["J_regressor"] @ parts["v_template"]
    return Rotation.from_quat(to_xyzw(wrist[:, 3:])).as_rotvec(), wrist[:, :3] - root[0]


def pictures(labels: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour and depth (mm) of a frame in which the labels are seen at `depth` m."""
    colors = np.array([[90, 90, 90], [220, 170, 140], [40, 60, 200]], np.uint8)
    return colors[labels], np.round(1e3 * depth).astype(np.uint16)


def drawn(camera_T_mesh: np.ndarray, vertices: np.ndarray, faces: np.ndarray, size=(480, 640)):
    """Labels (1 hand, 2 object) and depth (m) of the hand's mesh and the box in the camera's frame."""
    pinhole = np.array([K["fx"], K["fy"], K["ppx"], K["ppy"]])
    hand, thing = np.full(size, 1e3), np.full(size, 1e3)
    draw_depth(np.ascontiguousarray(vertices), np.ascontiguousarray(faces, np.int64), pinhole, hand)
    placed = transform(camera_T_mesh, np.asarray(box().vertices))
    draw_depth(placed, np.asarray(box().faces, np.int64), pinhole, thing)
    nearest = np.minimum(hand, thing)
    labels = np.where(nearest > 100.0, 0, np.where(hand < thing, 1, 2)).astype(np.uint8)
    return labels, np.where(labels > 0, nearest, 1.2)


def write_dexycb(
    folder: Path,
    side: str = "right",
    frames: int = FRAMES,
    with_pictures: bool = True,
    sequence: str = "20200709_141754",
    number: int = 0,
    tag_turn: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0),
) -> dict:
    """One sequence of subject `number` with two cameras, the master first; returns what is true in the world."""
    parts = write_mano()
    if side == "left":
        parts = pickle.loads(mano_file("left").read_bytes())
    subject = dexycb.SUBJECTS[number]
    place = folder / subject / sequence
    place.mkdir(parents=True)
    cameras = camera_poses()
    master = cameras[0]
    serials = list(dexycb.SERIALS[:2])
    fingers = np.zeros(45)
    shape = np.zeros(10)
    wrist_world, boxes = world_motion(frames)
    motion = {"wrist": wrist_world, "boxes": boxes}
    coefficients = np.linalg.solve(parts["hands_components"].T, fingers - parts["hands_mean"])
    turn, place_of = hand_in(inverse(master), parts, fingers, frames)
    pose_m = np.concatenate([turn, np.tile(coefficients, (frames, 1)), place_of], axis=1)[:, None]
    pose_m[:3] = 0.0  # the hand is not there yet
    master_boxes = compose(inverse(master), boxes)
    other = np.tile([0.0, 0, 0, 1, 0.5, 0.1, 1.0], (frames, 1))  # xyzw, then position
    pose_y = np.stack([other, np.concatenate([to_xyzw(master_boxes[:, 3:]), master_boxes[:, :3]], axis=1)], axis=1)
    np.savez(place / "pose.npz", pose_y=pose_y.astype(np.float32), pose_m=pose_m.astype(np.float32))
    meta = {
        "serials": serials, "num_frames": frames, "extrinsics": "20200702_151821", "mano_calib": [f"{subject}_{side}"],
        "mano_sides": [side], "ycb_ids": [2, 9], "ycb_grasp_ind": 1,
    }  # fmt: skip
    (place / "meta.yml").write_text(yaml.safe_dump(meta))
    calibration = folder / "calibration"
    for sub in ("intrinsics", "extrinsics_20200702_151821", f"mano_{subject}_{side}"):
        (calibration / sub).mkdir(parents=True, exist_ok=True)
    (calibration / f"mano_{subject}_{side}" / "mano.yml").write_text(yaml.safe_dump({"betas": shape.tolist()}))
    rows = {s: pose_to_matrix(compose(inverse(master), c))[:3].ravel().tolist() for s, c in zip(serials, cameras)}
    tag = compose(inverse(master), make_pose([0.2, 0.3, 0.0], tag_turn))
    rows["apriltag"] = pose_to_matrix(tag)[:3].ravel().tolist()
    text = yaml.safe_dump({"extrinsics": rows, "master": serials[0]})
    (calibration / "extrinsics_20200702_151821" / "extrinsics.yml").write_text(text)
    model = open_hand(side).shaped(shape)
    table = open_hand(side).table("open")
    posed = []
    for pose in wrist_world:
        x = np.concatenate([Rotation.from_quat(to_xyzw(pose[3:])).as_rotvec(), pose[:3], fingers])
        posed.append(model.posed(HandPose.from_vector(x)))
    motion["keypoints"] = np.stack([one.keypoints(table) for one in posed])
    for serial, camera in zip(serials, cameras):
        (calibration / "intrinsics" / f"{serial}_640x480.yml").write_text(yaml.safe_dump({"color": K, "depth": K}))
        (place / serial).mkdir()
        for t in range(frames):
            joints = transform(inverse(camera), motion["keypoints"][t])
            mesh = compose(inverse(camera), boxes[t])
            labels, depth = np.zeros((480, 640), np.uint8), np.ones((480, 640))
            if with_pictures:
                skin = transform(inverse(camera), posed[t].vertices)
                labels, depth = drawn(mesh, skin, open_hand(side).faces)
            seg = np.choose(labels, [0, 255, 9]).astype(np.uint8)
            if t < 3:
                joints = np.full((21, 3), -1.0)
                seg[seg == 255] = 0
            np.savez(
                place / serial / f"labels_{t:06d}.npz", seg=seg, joint_3d=joints[None].astype(np.float32),
                pose_y=np.stack([np.eye(4)[:3], pose_to_matrix(mesh)[:3]]).astype(np.float32),
            )  # fmt: skip
            if with_pictures:
                color, millimetres = pictures(labels, depth)
                Image.fromarray(color).save(place / serial / f"color_{t:06d}.jpg", quality=90)
                Image.fromarray(millimetres).save(place / serial / f"aligned_depth_to_color_{t:06d}.png")
    (folder / "models" / MESH).mkdir(parents=True, exist_ok=True)
    box().export(folder / "models" / MESH / "textured_simple.obj")
    return motion | {"cameras": cameras, "serials": serials, "name": f"{subject}/{sequence}"}


def write_ho3d(folder: Path, sequence: str = "SM1", split: str = "evaluation", frames: int = 6) -> dict:
    """One sequence; the evaluation split knows of the hand only its wrist."""
    parts = write_mano()
    camera = camera_poses()[0]
    boxes = world_motion(FRAMES)[1]
    place = folder / split / sequence
    for sub in ("rgb", "depth", "meta", "seg"):
        (place / sub).mkdir(parents=True)
    flip = make_pose(np.zeros(3), [0.0, 1.0, 0, 0])
    opengl = compose(flip, inverse(camera))
    turn, place_of = hand_in(opengl, parts, np.zeros(45))
    mesh_gl, mesh = compose(opengl, boxes), compose(inverse(camera), boxes)
    model, hand = open_hand("right").shaped(), open_hand("right")
    keypoints = []
    for k in range(frames):
        t = 12 + k
        x = np.concatenate([turn[t], place_of[t] + OFFSET, np.zeros(45)])
        posed = model.posed(HandPose.from_vector(x))
        joints = np.concatenate([posed.joints, posed.vertices[hand.tips]])  # in MANO's order
        points = posed.keypoints(hand.table("open")) * [1, -1, -1]
        keypoints.append(points)
        meta = {
            "camMat": np.array([[K["fx"], 0, K["ppx"]], [0, K["fy"], K["ppy"]], [0, 0, 1]]), "objName": MESH,
            "objRot": Rotation.from_quat(to_xyzw(mesh_gl[t, 3:])).as_rotvec().reshape(3, 1), "objTrans": mesh_gl[t, :3],
            "handJoints3D": joints if split == "train" else joints[0], "handBoundingBox": [200, 100, 400, 300],
        }  # fmt: skip
        if split == "train":
            meta |= {"handPose": x[[*range(3), *range(6, 51)]], "handTrans": place_of[t], "handBeta": np.zeros(10)}
        (place / "meta" / f"{k:04d}.pkl").write_bytes(pickle.dumps(meta, protocol=2))
        labels, depth = drawn(mesh[t], posed.vertices * [1, -1, -1], hand.faces)
        color, _ = pictures(labels, depth)
        Image.fromarray(color).save(place / "rgb" / f"{k:04d}.png")
        units = np.round(depth / 0.00012498664727900177).astype(int)
        packed = np.stack([units % 256, units // 256, np.zeros_like(units)], axis=-1).astype(np.uint8)
        Image.fromarray(packed).save(place / "depth" / f"{k:04d}.png")
        small = np.array([[0, 0, 0], [0, 0, 255], [0, 255, 0]], np.uint8)[labels[::4, ::4]]
        Image.fromarray(small).save(place / "seg" / f"{k:04d}.png")
    with open(folder / f"{split}.txt", "a") as stream:
        stream.write("".join(f"{sequence}/{k:04d}\n" for k in range(frames)))
    (folder / "models" / MESH).mkdir(parents=True, exist_ok=True)
    box().export(folder / "models" / MESH / "textured_simple.obj")
    return {"keypoints": np.array(keypoints), "mesh": mesh[12 : 12 + frames]}


def write_grab(folder: Path, subject: str = "s1", name: str = "cubesmall_lift", frames: int = 2 * FRAMES) -> dict:
    """One sequence at 120 Hz with a person's template."""
    parts = write_mano()
    wrist, boxes = world_motion(frames // 2)
    wrist, boxes = np.repeat(wrist, 2, axis=0), np.repeat(boxes, 2, axis=0)
    template = 1.1 * parts["v_template"]
    root = (parts["J_regressor"] @ template)[0]
    turn = Rotation.from_quat(to_xyzw(wrist[:, 3:])).as_rotvec()
    hand = {"global_orient": turn, "transl": wrist[:, :3] - root, "fullpose": np.zeros((frames, 45))}
    turned = Rotation.from_quat(to_xyzw(boxes[:, 3:])).as_rotvec() + [0, 0, 0.3]
    item = {"transl": boxes[:, :3], "global_orient": turned}
    vtemp, mesh = "tools/subject_meshes/male/s1_rhand.ply", "tools/object_meshes/contact_meshes/cubesmall.ply"
    (folder / "grab" / subject).mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "grab" / subject / f"{name}.npz", rhand={"params": hand, "vtemp": vtemp},
        object={"params": item, "object_mesh": mesh}, framerate=120.0, obj_name="cubesmall", sbj_id=subject,
        n_frames=frames, motion_intent="lift",
    )  # fmt: skip
    for path in (vtemp, mesh):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    trimesh.Trimesh(template, parts["f"], process=False).export(folder / vtemp)
    box().export(folder / mesh)
    return {"wrist": wrist, "turned": turned, "boxes": boxes}


def write_taco(folder: Path, name: str = "20231105_019", frames: int = 80) -> dict:
    """One sequence with torch's tensors in its pickles, and the list of the published split's sizes."""
    torch = __import__("torch")
    write_mano()
    wrist, boxes = world_motion(frames)
    triplet = "(stir, spoon, bowl)"
    hands, objects = folder / "Hand_Poses" / triplet / name, folder / "Object_Poses" / triplet / name
    hands.mkdir(parents=True)
    objects.mkdir(parents=True)
    turn = Rotation.from_quat(to_xyzw(wrist[:, 3:])).as_rotvec()
    rows = {
        f"{t:05d}": {
            "hand_pose": torch.tensor(np.concatenate([turn[t], np.zeros(45)]), dtype=torch.float32),
            "hand_trans": torch.tensor(wrist[t, :3], dtype=torch.float32),
        }
        for t in range(frames)
    }
    (hands / "right_hand.pkl").write_bytes(pickle.dumps(rows))
    (hands / "right_hand_shape.pkl").write_bytes(pickle.dumps({"hand_shape": torch.zeros(10)}))
    np.save(objects / "tool_104.npy", pose_to_matrix(boxes))
    np.save(objects / "target_020.npy", pose_to_matrix(boxes))
    (folder / "Object_Models").mkdir(exist_ok=True)
    mesh = box()
    mesh.apply_scale(100.0)
    mesh.export(folder / "Object_Models" / "104_cm.obj")
    sizes = {"train": 953, "test_1": 225, "test_2": 234, "test_3": 354, "test_4": 551}
    lines = [f"{group}-{k},{group}" for group, count in sizes.items() for k in range(count)]
    lines[953] = f"{name},test_1"
    (folder / "v1_overall_data_train_test_split.txt").write_text("\n".join(lines) + "\n")
    return {"wrist": wrist, "boxes": boxes}


HOT3D = ("265826671143948", "223371871635142")  # uids of an object that moves and of one that does not
HOT3D_FRAMES = 5
Y_UP = make_pose([0.0, 0.0, 0.0], [np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])  # theirs_T_ours


def umetrack_profile() -> dict[str, np.ndarray]:
    """A left hand of UmeTrack's, mm: straight digits, a joint's axis across them, landmarks where the joints are."""
    joints, landmarks = np.zeros((22, 3)), np.zeros((21, 3))
    axes, bones = np.tile([0.0, 0.0, 1.0], (22, 1)), np.zeros((21, 3), int)
    for digit in range(5):
        base = np.array([30.0 if digit == 0 else 90.0, 0.0, 20.0 * (1.5 - digit) if digit else 40.0])
        for step, far in enumerate((0.0, 8.0, 40.0, 65.0)):
            joints[4 * digit + step] = base + [far, 0.0, 0.0]
        inner = (6, 7) if digit == 0 else (5 + 3 * digit, 6 + 3 * digit, 7 + 3 * digit)
        for place, far in zip((*inner, digit), (40.0, 65.0, 85.0) if digit == 0 else (8.0, 40.0, 65.0, 85.0)):
            landmarks[place] = base + [far, 0.0, 0.0]
            bones[place] = 2 + 3 * digit + {8.0: 0, 40.0: 1, 65.0: 2, 85.0: 2}[far]
    weights = np.tile([1.0, 0.0, 0.0], (21, 1))
    return {
        "joint_rest_positions": joints,
        "joint_rotation_axes": axes,
        "landmark_rest_positions": landmarks,
        "landmark_rest_bone_indices": bones,
        "landmark_rest_bone_weights": weights,
    }


def write_hot3d(folder: Path, left_lost: bool = False) -> dict[str, np.ndarray]:
    """A sequence whose right hand lifts a box by 2 cm a frame, with another box at rest; y is up. The object is not
    tracked in the last frame, nor, with `left_lost`, the left hand in the second. Returns, with z up, the right wrist
    (T, 7) and the box (T, 7)."""
    (folder / "objects").mkdir(parents=True)
    rest, moving = BOX[2] / 2 - 0.03, 0.02 * np.arange(HOT3D_FRAMES)[:, None]  # box() is 3 cm above its origin
    boxes = make_pose(np.array([0.4, 0.2, 0.9 + rest]) + moving * [0.0, 0.0, 1.0], [1.0, 0, 0, 0])
    wrist = make_pose(np.array([0.35, 0.2, 1.1]) + moving * [0.0, 0.0, 1.0], [0.8, 0.0, 0.6, 0.0])
    still = make_pose([0.7, 0.2, 0.9 + rest], [1.0, 0, 0, 0])
    (folder / "metadata.json").write_text(json.dumps({"recording_name": "P0000_box"}))
    model = {name: values.tolist() for name, values in umetrack_profile().items()}
    (folder / "umetrack_hand_user_profile.json").write_text(json.dumps({"hand_model": model}))
    lines, rows = [], ["object_uid,timestamp[ns],t_wo_x[m],t_wo_y[m],t_wo_z[m],q_wo_w,q_wo_x,q_wo_y,q_wo_z"]
    for k in range(HOT3D_FRAMES):
        stamp, hands = 1000 + k * 33_333_333, {}
        for key, shift in (("0", 0.5), ("1", 0.0)):
            if key == "0" and left_lost and k == 1:
                continue
            pose = compose(Y_UP, wrist[k] + [0.0, shift, 0.0, 0, 0, 0, 0]).tolist()
            angles = [0.1 * k if 4 <= joint < 8 else 0.0 for joint in range(22)]  # the index finger bends
            xform = {"t_xyz": pose[:3], "q_wxyz": pose[3:]}
            hands[key] = {"wrist_xform": xform, "joint_angles": angles, "hand_confidence": 1.0}
        lines.append(json.dumps({"timestamp_ns": stamp, "hand_poses": hands}))
        for uid, pose in zip(HOT3D, (boxes[k], still)) if k < HOT3D_FRAMES - 1 else ():
            rows.append(",".join([uid, str(stamp), *(f"{x:.9f}" for x in compose(Y_UP, pose))]))
    (folder / "umetrack_hand_pose_trajectory.jsonl").write_text("\n".join(lines))
    (folder / "dynamic_objects.csv").write_text("\n".join(rows))
    names = {uid: {"instance_name": name} for uid, name in zip(HOT3D, ("box", "other"))}
    (folder / "objects" / "instance.json").write_text(json.dumps(names))
    box().export(folder / "objects" / f"{HOT3D[0]}.glb")
    return {"wrist": wrist, "box": boxes}
