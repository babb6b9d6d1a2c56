"""One world behind both wires: what the arm's and the servos' clients see of it, and the graph on it."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import psutil
import pytest

from dexhot.bringup.graph import GraphError, recorded_parameters, resolve
from dexhot.bringup.graphs import load_graph
from dexhot.bringup.graphs.rigs import check_hand
from dexhot.data.files import load
from dexhot.hardware.leap.hand import LeapHand
from dexhot.hardware.leap.setup import HandSettings
from dexhot.metrics.rollout import compute
from dexhot.objects.library import load_object
from dexhot.paths import share_dir
from dexhot.retargeting.placement import with_arm_path
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.arm import start_joints
from dexhot.rollouts.live import live_rollout
from dexhot.simulation.physics import load_physics

pytest.importorskip("franky")
pytest.importorskip("franky_sim")
pytest.importorskip("dynamixel_sdk")

from dexhot.hardware.franka.arm import FrankaArm
from dexhot.hardware.franka.settings import ArmSettings
from dexhot.rigs.wire_arm import FLOATS
from dexhot.rigs.wire_world import WireWorld, wire_scene

PATIENT = HandSettings(slack=0.2, patience=3.0)  # for a machine that is busy
ARM = ArmSettings(realtime=False, frozen_timeout=1.0)
ADDRESS = f"127.2.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"


@pytest.fixture(scope="module")
def reference():
    return with_arm_path(load(share_dir() / "policies" / "lift_box.npz").reference)


@pytest.fixture(scope="module")
def scene(reference):
    hand, asset = load_hand(reference.hand), load_object(reference.object_name)
    return wire_scene(hand, asset, load_physics(), reference.table_height)


@pytest.fixture
def world(scene, reference, tmp_path):
    """A world that is served and stands still."""
    made = WireWorld(scene, ADDRESS, tmp_path / "bus", scale=1.0)
    made.reset(start_joints(reference), reference.object_pose[0])
    with made:
        yield made


@contextmanager
def running(world):
    """The world runs in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [world.cycle() for _ in iter(stop.is_set, True)])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def eventually(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not (met := bool(condition())) and time.monotonic() < end:
        time.sleep(0.01)
    return met


def test_a_world_without_clients_holds_the_arm_where_it_is(world, scene):
    before = world.joints()[0].copy()
    world.run_until(0.2)
    assert world.time == pytest.approx(0.2)
    assert world.joints()[0][:7] == pytest.approx(before[:7], abs=1e-4)


def test_a_state_is_packed_as_franky_packs_it(world):
    world.run_until(0.02)
    server = world.server
    whole = server.robot_state.pack_state()
    server._template = bytearray(len(whole))
    server._get_state_bytes()
    assert len(FLOATS) == 8
    for name, count in FLOATS.items():
        at = slice(server._at[name], server._at[name] + 4 * count)
        assert server._template[at] == whole[at], name


def test_the_arms_driver_moves_the_worlds_arm(world, scene):
    with running(world), FrankaArm(world.address, ARM) as arm:
        arm.hold()
        goal = arm.read().q + 0.05

        def arrived() -> bool:
            arm.write(goal, np.zeros(7), np.zeros(7))
            now = arm.read()
            return np.abs(now.q - goal).max() < 0.01 and np.abs(now.qd).max() < 0.01

        assert eventually(arrived), arm.read()
    assert world.joints()[0][:7] == pytest.approx(goal, abs=0.02)


def test_the_hands_driver_moves_the_worlds_fingers(world, scene):
    hand = LeapHand(scene.hand.name, world.port, settings=PATIENT, offsets=np.zeros(16))
    with running(world), hand:
        hand.hold()
        goal = np.clip(hand.read().q + 0.1, scene.hand.lower, scene.hand.upper)
        assert eventually(lambda: hand.write(goal, goal, goal) or np.abs(hand.read().q - goal).max() < 0.04)
    assert world.joints()[0][7:] == pytest.approx(goal, abs=0.05)


@pytest.fixture
def grasping(world, scene, reference):
    """The object in the closed hand of the world; it does not give way."""
    grasp = reference.q[-1]
    world.reset(np.concatenate([reference.arm_q[-1], grasp[6:]]), reference.object_pose[-1], hold_object=True)
    world.server.reset_state()
    return np.clip(grasp[6:] + 0.4, scene.hand.lower, scene.hand.upper)


def test_contact_reaches_the_arm_and_the_servos(world, scene, grasping):
    hand = LeapHand(scene.hand.name, world.port, settings=PATIENT, offsets=np.zeros(16))
    with running(world), hand, FrankaArm(world.address, ARM) as arm:
        hand.hold()
        felt = []

        def squeezes() -> bool:
            hand.write(grasping, grasping, grasping)
            felt[:] = [np.abs(hand.read().effort).max(), np.abs(arm.link.state().tau_ext_hat_filtered).max()]
            return felt[0] > 0.05 and felt[1] > 0.1

        assert eventually(squeezes), felt


def test_contact_beyond_the_drivers_thresholds_is_a_reflex(world, scene, grasping):
    weak = replace(ARM, contact_torque=(0.01,) * 7, collision_torque=(0.02,) * 7)
    hand = LeapHand(scene.hand.name, world.port, settings=PATIENT, offsets=np.zeros(16))
    with running(world), hand, FrankaArm(world.address, weak) as arm:
        hand.hold()
        arm.hold()
        assert eventually(lambda: hand.write(grasping, grasping, grasping) or arm.fault)
        assert "reflex" in arm.fault
    assert world.server.reflexes == 1
    assert "object" in world.notes[0]


def test_the_servos_watchdog_counts_the_worlds_time(world, scene):
    settings = replace(PATIENT, watchdog=0.5)
    hand = LeapHand(scene.hand.name, world.port, settings=settings, offsets=np.zeros(16))
    with running(world):
        hand.connect()
        hand.hold()
        hand.read()
    time.sleep(2 * settings.watchdog)  # the world stands still, and so does its watchdog
    with world.bus.lock:
        assert all(servo.get("bus_watchdog") > 0 for servo in world.bus.servos.values())
    world.run_until(world.time + 3 * settings.watchdog)

    def expired() -> bool:
        with world.bus.lock:
            return all(servo.get("bus_watchdog") < 0 for servo in world.bus.servos.values())

    assert eventually(expired)
    hand.close()


def test_a_client_that_falls_silent_loses_control_and_the_arm_holds(world):
    code = (
        "import sys; from dexhot.hardware.franka.arm import FrankaArm, ArmSettings as S;"
        f"arm = FrankaArm({world.address!r}, S(realtime=False, frozen_timeout=1.0)); arm.connect(); arm.hold();"
        "print('ready', flush=True); sys.stdin.read()"
    )
    client = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with running(world):
        assert client.stdout.readline() == "ready\n"
        assert world.server.controlled
        client.send_signal(signal.SIGSTOP)
        assert eventually(lambda: not world.server.controlled)
        q = world.joints()[0].copy()
        begin = world.time
        assert eventually(lambda: world.time > begin + 0.2)
    client.kill()
    client.communicate()
    assert world.joints()[0] == pytest.approx(q, abs=0.01)


# The graph


def arguments(**given: str) -> dict:
    return resolve(load_graph("real_track"), given)


def parameters(name: str, **given: str) -> dict:
    processes = load_graph("real_track").processes(arguments(**given))
    return next(dict(node.parameters) for process in processes for node in process.nodes if node.name == name)


def test_on_the_wire_each_driver_is_a_process_and_finds_the_rig(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    given = {"rig": "sim-wire"}
    names = [p.name for p in load_graph("real_track").processes(arguments(**given))]
    assert names[:3] == ["rig", "leap", "franka"]
    rig, leap, franka = (parameters(name, **given) for name in ("rig", "leap_driver", "franka_driver"))
    assert rig["franka_host"] == franka["address"] == "127.1.7.1"
    assert rig["leap_port"] == leap["port"]
    assert leap["rig"] == franka["rig"] == "real"


def test_rigs_of_two_domains_do_not_meet(monkeypatch):
    found = set()
    for domain, namespace in (("3", ""), ("4", ""), ("3", "robot1"), ("3", "robot2")):
        monkeypatch.setenv("ROS_DOMAIN_ID", domain)
        rig = parameters("rig", rig="sim-wire", namespace=namespace)
        found |= {rig["franka_host"], rig["leap_port"]}
    assert len(found) == 8


def test_a_real_rig_takes_its_places_from_the_arguments():
    given = {"rig": "real", "franka_host": "172.16.0.2", "leap_port": "/dev/ttyUSB0"}
    assert parameters("franka_driver", **given)["address"] == "172.16.0.2"
    assert parameters("leap_driver", **given)["port"] == "/dev/ttyUSB0"


@pytest.mark.parametrize(
    "given, words",
    [
        ({"rig": "real"}, "franka_host:="),
        ({"rig": "sim-wire", "loop": "true"}, "loop:=true needs rig:=sim"),
        ({"rig": "real", "franka_host": "a", "camera": "true"}, "capture"),
    ],
)
def test_what_a_rig_cannot_do_is_refused(given, words):
    with pytest.raises(GraphError, match=words):
        load_graph("real_track").prepare(arguments(**given))


@pytest.mark.parametrize("rig", ["sim-wire", "real"])
def test_a_hand_without_a_driver_is_refused_on_the_wire(rig):
    with pytest.raises(GraphError, match="drives a LEAP hand"):
        check_hand(rig, "allegro_right")
    with pytest.raises(GraphError, match="drives a LEAP hand"):  # however it is named
        check_hand(rig, str(share_dir() / "urdf" / "allegro_right" / "hand.yaml"))
    check_hand(rig, "leap_left")
    check_hand(rig, str(share_dir() / "urdf" / "leap_right" / "hand.yaml"))
    check_hand("sim", "allegro_right")


@pytest.fixture
def listening():
    """Watches a bring-up's sockets: (listening TCP, UDP bound to well-known DDS ports) as sets of addresses."""

    def look(pid: int) -> tuple[set[str], set[str]]:
        tcp, udp = set(), set()
        for child in psutil.Process(pid).children(recursive=True):
            try:
                for c in child.net_connections("inet"):
                    if c.status == psutil.CONN_LISTEN:
                        tcp.add(c.laddr.ip)
                    elif c.type.name == "SOCK_DGRAM" and 7400 <= c.laddr.port < 32768:
                        udp.add(c.laddr.ip)
            except psutil.Error:
                continue
        return tcp, udp

    return look


@pytest.mark.ros
@pytest.mark.parametrize("feedback", ["none", "measured"])
def test_the_real_drivers_lift_the_box_and_nothing_listens_to_the_network(tmp_path, ros_domain, listening, feedback):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "dexhot", "up", "real_track", "rig:=sim-wire", f"record:={run}"]
    command.append(f"shaper_feedback:={feedback}")
    environment = {k: v for k, v in os.environ.items() if k != "FASTRTPS_DEFAULT_PROFILES_FILE"}
    tcp, udp = set(), set()
    lines = []
    with subprocess.Popen(
        [*command, "exit_when_done:=true"], stderr=subprocess.PIPE, text=True, env=environment | {"COLUMNS": "200"}
    ) as graph:
        try:
            for line in graph.stderr:
                lines.append(line)
                if "tracking: started" in line:
                    tcp, udp = listening(graph.pid)
            graph.wait()
        finally:
            graph.terminate()  # where this test runs out of time: a graph that goes on would slow the others
    assert graph.returncode == 0, "".join(lines)
    assert tcp and all(ip.startswith("127.") for ip in tcp), tcp
    assert udp and all(ip.startswith("127.") for ip in udp), udp
    assert recorded_parameters(run / "parameters.yaml", "shaper")["feedback"] == feedback
    rollout = live_rollout(run)
    metrics = compute(rollout, load_object(rollout.reference.object_name), load_hand(rollout.reference.hand))
    assert metrics["success_strict"], metrics
