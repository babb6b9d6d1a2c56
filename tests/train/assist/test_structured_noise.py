"""Structured noise: virtual sensors, retrieval, mapping, and inputs as files that training and tests use."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexhot.cli import main
from dexhot.control.policy import OnnxNetwork
from dexhot.data.files import kind_of
from dexhot.data.keypoints import MIDDLE_MCP, WRIST, wrist_axes
from dexhot.datasets.hand_poses import HandPoses, palm_normalised, palm_size, viewpoints
from dexhot.datasets.human_hand import LOWER, RELAXED, UPPER, keypoints
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.poses import make_pose
from dexhot_train.assist import ik_network, pictures, structured
from dexhot_train.assist.adroit import AdroitTask
from dexhot_train.assist.experts import Experts, load_experts
from dexhot_train.assist.hands import AssistedHands, AssistOptions
from dexhot_train.assist.ik_network import train_ik
from dexhot_train.assist.mapping import Retargeting, adroit_hand, engaged
from dexhot_train.assist.retrieval import FEWEST, Retrieval, put_at
from dexhot_train.assist.structured import (
    FILM,
    InputOptions,
    load_inputs,
    make_inputs,
    map_hands,
    save_inputs,
    see_hands,
)
from dexhot_train.assist.success import success
from dexhot_train.assist.training import AssistTraining, train_agent
from dexhot_train.assist.user_input import user_input
from dexhot_train.assist.virtual_hand import VirtualHand
from dexhot_train.learners.dagger import DaggerOptions

BRIEF = DaggerOptions(steps=20, updates=50)


@pytest.fixture(scope="module")
def door(shared_data):
    """Two short motions of the door."""
    every = load_experts("door", shared_data / "adroit" / "experts.npz")
    return Experts("door", [a[:30] for a in every.actions[:2]], every.seeds[:2])


@pytest.fixture(scope="module")
def virtual():
    """The door's hand."""
    return VirtualHand(AdroitTask("door"))


def hand(bend: float, turn: np.ndarray | None = None, size: float = 1.0) -> np.ndarray:
    """(21, 3) m of a hand 0.5 m before a camera, its fingers bent, turned about its wrist by (3, 3)."""
    pose = make_pose(np.zeros(3), [1.0, 0, 0, 0])
    points = size * keypoints(pose, np.clip(RELAXED + bend * np.array([0, 0, 0] + [0, 1, 1] * 4), LOWER, UPPER))
    return points @ (np.eye(3) if turn is None else turn).T + [0.0, 0.0, 0.5]


def about(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


@pytest.fixture(scope="module")
def people():
    """A set of random hands that a camera saw."""
    rng = np.random.default_rng(0)
    turns = Rotation.random(400, random_state=1).as_matrix()
    return HandPoses("people", np.stack([hand(b, R) for b, R in zip(rng.uniform(-0.3, 1.0, 400), turns)]), True)


# Sensors


def test_sensors_are_a_right_hands_keypoints(virtual):
    points = virtual.keypoints(virtual.action(np.zeros(28)))
    axes = wrist_axes(points, "right")
    own = (points - points[WRIST]) @ axes
    assert 0.08 < np.linalg.norm(own[MIDDLE_MCP]) < 0.11 and own[4, 1] > own[8, 1]  # the thumb is on its side
    assert np.allclose(own[[8, 12, 16], 0], 0.19, atol=0.01)


def test_the_virtual_pose_is_what_the_targets_ask_for(virtual):
    flexed = np.zeros(28)
    flexed[virtual.names.index("FFJ2")] = 1.0  # rad
    straight, bent = (virtual.keypoints(virtual.action(q)) for q in (np.zeros(28), flexed))
    upper = lambda p: (p[6] - p[5]) / np.linalg.norm(p[6] - p[5])  # noqa: E731
    assert np.arccos(upper(straight) @ upper(bent)) == pytest.approx(1.0, abs=1e-6)
    arm = virtual.names.index("ARRx")  # its force is 500 target - 200 angle
    action = np.zeros(28)
    action[arm] = 0.1
    assert virtual.joints(action)[arm] == pytest.approx(2.5 * 0.1 * virtual.half[arm])


def test_arm_and_wrist_follow_the_palm_and_fingers_do_not(virtual, door):
    action = door.actions[0][20]
    before = virtual.keypoints(action)
    turn = np.array([0.0, 0.0, 0.03])
    moved = virtual.follow(action, np.zeros(3), turn)
    after = virtual.keypoints(moved)
    assert np.array_equal(moved[~virtual.arm], action[~virtual.arm])
    seen = Rotation.from_matrix(wrist_axes(after, "right") @ wrist_axes(before, "right").T).as_rotvec()
    assert np.linalg.norm(seen - turn) < 0.015


# Retrieval


def test_similar_viewpoints_count_before_the_joints(people):
    wanted = hand(0.5, about("x", 60.0))
    same_shape = hand(0.5, about("x", -100.0))  # the very shape, from another side
    alike = hand(0.2, about("x", 62.0))
    others = np.stack([hand(-0.3, about("x", 60.0 + 0.2 * k)) for k in range(FEWEST)])
    rows = HandPoses("x", np.concatenate([[same_shape, alike], others]), True)
    assert Retrieval(rows).closest(wanted) == 1
    assert Retrieval(replace(rows, viewed=False)).closest(wanted) == 0  # no camera: the joints alone


def test_the_nearest_viewpoints_are_taken_where_none_is_similar():
    rows = HandPoses("x", np.stack([hand(0.1 * k, about("x", 90.0)) for k in range(5)]), True)
    assert Retrieval(rows).closest(hand(0.3, about("x", -60.0))) == 3


@pytest.mark.parametrize("size", [0.8, 1.25])
def test_hands_of_another_size_and_turn_are_the_same_hand(size):
    rows = HandPoses("x", np.stack([hand(0.1 * k, about("y", 30.0 * k), size) for k in range(8)]), False)
    assert Retrieval(rows).closest(hand(0.5, about("z", 70.0))) == 5


def test_a_retrieved_hand_takes_the_virtual_ones_place_and_keeps_its_viewpoint(people):
    wanted = hand(0.5, about("x", 60.0))
    number = Retrieval(people).closest(wanted)
    placed = put_at(people, number, wanted)
    assert np.allclose(placed[WRIST], wanted[WRIST]) and palm_size(placed) == pytest.approx(palm_size(wanted))
    assert np.allclose(palm_normalised(placed), palm_normalised(people.keypoints[number]))
    assert viewpoints(placed) @ viewpoints(people.keypoints[number]) > np.cos(0.02)
    whole = put_at(replace(people, viewed=False), number, wanted)
    assert np.allclose(wrist_axes(whole, "right"), wrist_axes(wanted, "right"))
    error = np.array([0.01, 0.0, 0.02])
    seen = put_at(people, number, wanted, people.keypoints[number] + error)
    size = palm_size(wanted) / palm_size(people.keypoints[number])
    assert np.linalg.norm(seen - placed, axis=1) == pytest.approx(size * np.linalg.norm(error))


def test_a_variant_sees_half_of_the_set(people):
    first, second = Retrieval(people, [0, 1]).chosen, Retrieval(people, [0, 2]).chosen
    assert len(first) == len(second) == 200 and not np.array_equal(first, second)


# Mapping


def test_the_adroit_hand_is_one_more_hand():
    assert len(adroit_hand().joints) == 22 and adroit_hand().side == "right" and not adroit_hand().notes


def test_the_virtual_hand_itself_is_mapped_to_its_own_angles_in_radians(virtual, door):
    user, errors = Retargeting(virtual), []
    for action in door.actions[0]:
        points = virtual.keypoints(action)
        errors.append(virtual.joints(user.action(action, points, points)) - virtual.joints(action))
    assert np.sqrt(np.mean(np.square(errors))) < 0.09 and np.abs(np.array(errors)[:, virtual.arm]).max() < 1e-6


def test_a_person_of_another_size_means_the_same_fingers(virtual, door):
    action = door.actions[0][0]
    points = virtual.keypoints(action)
    larger = points[WRIST] + 1.2 * (points - points[WRIST])
    assert np.allclose(*(Retargeting(virtual).action(action, points, p) for p in (points, larger)), atol=1e-9)


def test_the_wrist_moves_from_where_it_engaged():
    true = np.stack([hand(0.3) + [0.01 * k, 0, 0] for k in range(4)])
    off = (true - [0.0, 0.0, 0.5]) @ about("z", 20.0).T + [0.1, 0.2, 0.7]
    off[0] = np.nan  # not seen yet
    back = engaged(true, off)
    assert np.allclose(back[1], true[1]) and np.isnan(back[0]).all()
    assert np.allclose(wrist_axes(back[3], "right"), wrist_axes(true[3], "right"))


def test_the_network_learns_the_map_and_does_not_see_the_place(monkeypatch):
    monkeypatch.setattr(ik_network, "UPDATES", 1000)
    rng = np.random.default_rng(0)
    bends = rng.uniform(-0.3, 1.0, 300)
    hands = np.stack([hand(b) for b in bends])
    network, rms = train_ik(hands, np.stack([bends, -bends], axis=1) / 2)
    assert rms < 0.02 and network.action(hand(0.6)) == pytest.approx([0.3, -0.3], abs=0.03)
    assert network.action(hand(0.6) + [0.2, 0.1, 0.3]) == pytest.approx(network.action(hand(0.6)), abs=1e-5)
    monkeypatch.setattr(ik_network, "UPDATES", 100)
    first, _ = train_ik(hands, np.stack([bends, -bends], axis=1) / 2)
    torch.rand(1)  # whatever was drawn before
    again, _ = train_ik(hands, np.stack([bends, -bends], axis=1) / 2)
    assert np.array_equal(again.action(hand(0.1)), first.action(hand(0.1)))


# The whole


def test_misses_and_the_time_between_pictures_hold_the_last_input(door, people, monkeypatch):
    def blind(keypoints, camera, rng, continuous=True):
        seen = keypoints.copy()
        seen[[0, 1, 4]] = np.nan
        return seen

    monkeypatch.setattr(structured, "estimated", blind)
    made, figures = make_inputs(door, InputOptions("rendered", variants=1))
    rows, rest = made.inputs[0][0], VirtualHand(AdroitTask("door")).resting
    assert rows.shape == door.actions[0].shape and figures["missed"] == pytest.approx(0.3)
    assert np.array_equal(rows[: 2 * FILM], np.tile(rest, (2 * FILM, 1)))
    assert np.array_equal(rows[4 * FILM], rows[3 * FILM]) and not np.array_equal(rows[5 * FILM], rows[3 * FILM])
    assert np.array_equal(rows[3 * FILM], rows[3 * FILM + 1])


def test_an_estimator_reads_images_of_the_set_or_drawn_ones(door, people, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        structured, "estimated", lambda k, c, r, continuous=True: asked.append(("drawn", continuous)) or k
    )
    see_hands(door, InputOptions(estimated=True, variants=1), people)
    assert set(asked) == {("drawn", False)}
    images = tuple(tmp_path / f"{k}.png" for k in range(len(people.keypoints)))
    with_images = replace(people, images=images, camera=pictures.CAMERA)
    monkeypatch.setattr(structured, "read_color", lambda path: asked.append(path) or path)
    monkeypatch.setattr(structured, "estimated_on", lambda images, c, k, m: [list(images)] and k + 0.01)
    (one, *_), *_ = see_hands(door, InputOptions(estimated=True, variants=1), with_images)
    assert {type(x) for x in asked[2:]} == {type(images[0])}
    assert np.allclose(np.linalg.norm(one.seen - one.learnt, axis=-1).std(axis=1), 0.0, atol=1e-9)
    with pytest.raises(DexhotError, match="--estimates"):
        see_hands(door, InputOptions(estimated=True), replace(with_images, colour=False))


def test_only_training_motions_teach_the_network(door, people, monkeypatch):
    monkeypatch.setattr(ik_network, "UPDATES", 100)
    seen = see_hands(door, InputOptions(variants=1), people)
    learnt = map_hands(door, seen, "network")[0]
    seen[1][0].learnt[:] = hand(1.0)  # the second motion is the test's
    assert np.array_equal(map_hands(door, seen, "network")[0].inputs[0], learnt.inputs[0])


def test_inputs_replace_gaussian_noise_in_training_and_test(door, people, tmp_path):
    made, _ = make_inputs(door, InputOptions(variants=2), people)
    rng, half = np.random.default_rng(0), AdroitTask("door").action_range
    drawn = {user_input(made, 0, 0.0, half, rng).tobytes() for _ in range(20)}
    assert drawn == {rows.tobytes() for rows in made.inputs[0]} and len(drawn) == 2
    hands = AssistedHands(made.split("train"), 1, AssistOptions(sigma=0.0))
    assert any(np.array_equal(hands.inputs[0], rows) for rows in made.inputs[0])
    wanted = np.clip((hands.user() - door.actions[0][0]) / hands.options.limit, -1, 1)
    assert np.allclose(hands.expert()[0], wanted)  # the label is the expert's action still
    assert (
        success(made.split("test"), 0.0, None, AssistOptions(), 2).speed
        != success(door.split("test"), 0.0, None, AssistOptions(), 2).speed
    )


def test_a_file_gives_the_same_inputs_and_only_for_its_motions(door, people, tmp_path):
    options = InputOptions(variants=1)
    made, figures = make_inputs(door, options, people)
    path = save_inputs(made, options, tmp_path / "door.npz", figures)
    read, how = load_inputs(door, path)
    assert np.allclose(read.inputs, made.inputs, atol=1e-6) and how["options"]["noise"] == "retrieved"
    assert kind_of(path) == "dexhot/user-input"
    with pytest.raises(FileFormatError, match="other motions"):
        load_inputs(replace(door, seeds=[5, 6]), path)
    with pytest.raises(FileFormatError, match="user-input door"):
        load_inputs(door, tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04cut off")
    with pytest.raises(FileFormatError, match="no user inputs of"):
        load_inputs(door, tmp_path / "cut.npz")


def test_a_training_does_not_go_on_with_other_inputs(door, people, tmp_path):
    made, _ = make_inputs(door, InputOptions(variants=1), people)
    options = AssistTraining(sigma=0.0, corrections=1, worlds=1)
    options = replace(options, dagger=replace(options.dagger, steps=2, updates=1, batch=2, expert_rounds=1))
    train_agent(made, options, tmp_path / "run")
    with pytest.raises(DexhotError, match="other settings"):
        train_agent(door, options, tmp_path / "run")


def test_the_command_makes_inputs_and_an_agent_learns_from_them(door, people, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dexhot.datasets.hand_poses.grab_poses", lambda: people)
    monkeypatch.setattr("dexhot.datasets.licences.require_acceptance", lambda *a: None)
    brief = partial(AssistTraining, worlds=2, dagger=BRIEF)
    monkeypatch.setattr("dexhot_train.assist.training.AssistTraining", brief)
    experts, out = str(tmp_path / "experts.npz"), str(tmp_path / "in.npz")
    motions = enumerate(zip(door.actions, door.seeds))
    np.savez(experts, **{f"door/0{k}/{n}": x for k, m in motions for n, x in zip(("actions", "seed"), m)})
    assert main(["train", "user-input", "door", "--variants", "1", "--experts", experts, "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["missed"] == 0.0
    command = ["train", "assist", "door", "--corrections", "1", "--episodes", "1", "--experts", experts]
    assert main([*command, "--input", out, "--out", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(told["scores"]) == {"agent_input", "agent_0", "user_input_input", "user_input_0"}
    card = OnnxNetwork(told["policy"]).card
    assert "user-input door" in card.training_data[1] and "GRAB" in card.terms
    assert main(["train", "user-input", "door", "--noise", "rendered", "--estimated"]) != 0
    assert "belong to --noise retrieved" in capsys.readouterr().err
