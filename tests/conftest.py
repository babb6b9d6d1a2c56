"""Fixtures that every test may use. Data of people come from the cache or ../shared/data, never the repository."""

import copy
import dataclasses
import fcntl
import functools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from dexhot.bringup.shared_memory import free
from dexhot.paths import cache_dir

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
REAL_TIME = ("bringup", "cli/test_franka_command.py", "hardware", "rigs", "ros")  # devices, processes, live graphs
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def missing(reason: str):
    """Skip, saying why; in CI a real-data test that does not run is a failure."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def in_real_time(path: Path) -> bool:
    """Whether all tests of a file or folder run in real time."""
    return path.relative_to(TESTS).as_posix().startswith(REAL_TIME)


@functools.cache
def names_ros(path: Path) -> bool:
    """Whether a file may mark a test as one that starts ROS nodes."""
    return "mark.ros" in path.read_text()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only what runs in real time is asked for, or only what computes (tools/run_tests.py): leave unread what
    holds none of it. To import all test files takes 25 s."""
    wanted = config.option.markexpr
    if not collection_path.is_relative_to(TESTS) or wanted not in ("alone", "not alone"):
        return None
    if wanted == "not alone":
        return in_real_time(collection_path) or None
    return (collection_path.is_file() and not in_real_time(collection_path) and not names_ros(collection_path)) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs in real time. The first that needs GRAB waits for its download: 86 MB, on whatever network."""
    for item in items:
        starts_nodes = item.get_closest_marker("ros")
        if starts_nodes and not in_real_time(item.path) and not names_ros(item.path):
            raise pytest.UsageError(f"{item.nodeid} would be left out of `make test`: its file has no `mark.ros`")
        if starts_nodes or in_real_time(item.path):
            item.add_marker(pytest.mark.alone)
        if "grab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1800))


def pytest_runtest_setup() -> None:
    """Where a test may export networks: let torch read its operators for ONNX once, which takes 0.6 s per export."""
    if "dexhot_train.export" in sys.modules and find_spec("onnxscript"):
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        if not hasattr(ONNXRegistry.from_torchlib, "cache_info"):
            ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))


@pytest.fixture(scope="session", autouse=True)
def free_shared_memory() -> Iterator[None]:
    """Tests kill ROS processes; each leaves 34 MiB of memory."""
    began = time.time()
    yield
    free(since=began)


def one_by_one(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that fills the cache while other test processes wait: the first downloads, the others find."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    lock = os.open(cache_dir(), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(command, capture_output=True, text=True)
    finally:
        os.close(lock)


@pytest.fixture(scope="session")
def grab() -> Path:
    """The folder of GRAB's clips in the cache, filled by the command that a user would run."""
    command = [sys.executable, "-m", "dexhot", "datasets", "get", "grab", "--accept-licence", "grab"]
    result = one_by_one(command)
    if result.returncode:
        missing(f"GRAB could not be got: {result.stderr.strip().splitlines()[-1]}")
    return cache_dir() / "trajectories" / "grab"


@pytest.fixture(scope="session")
def hand_landmarks() -> None:
    """The models that find hands, in the cache, filled by the command that a user would run."""
    command = [sys.executable, "-m", "dexhot", "models", "get", "hand-landmarks"]
    result = one_by_one(command)
    if result.returncode:
        missing(f"the hand models could not be got: {result.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that lies beside the checkout."""
    path = Path(os.environ.get("DEXHOT_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        missing(f"{path} does not exist; it holds data that the repository may not.")
    return path


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of cases from the field that lies beside the checkout; what they stand for is built by tests too."""
    path = Path(os.environ.get("DEXHOT_SHARED_DATA") or ROOT.parent / "shared" / "data").parent / "cases"
    if not path.is_dir():
        pytest.skip(f"{path} does not exist.")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@contextmanager
def own_ros_domain() -> Iterator[int]:
    """A ROS domain of one's own on this machine only, so that parallel test runs do not receive each other's
    messages."""
    for domain in range(1, 102):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lock, pytest.MonkeyPatch.context() as patch:
            try:
                lock.bind(("127.0.0.1", 40000 + domain))
            except OSError:
                continue
            patch.setenv("ROS_DOMAIN_ID", str(domain))
            patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
            yield domain
            return
    pytest.fail("no ROS domain is free on this machine")


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """For one test; fixtures of a module use `own_ros_domain`."""
    with own_ros_domain() as domain:
        yield domain


@pytest.fixture
def bench(ros_domain):
    """A plain node beside the node under test, on one executor."""
    from node_bench import NodeBench

    made = NodeBench()
    yield made
    made.close()


@pytest.fixture
def plain_node():
    """Makes a plain node. It ends with its test, failed or not: one that stays is heard by every later test.

    Ask for it behind the fixture that calls `rclpy.init`.
    """
    import rclpy

    made = []

    def make(name: str):
        made.append(rclpy.create_node(name))
        return made[-1]

    yield make
    for node in made:
        node.destroy_node()


@pytest.fixture(scope="session")
def lift():
    """A parametric lift of a box: (HandObjectTrajectory, ObjectAsset), nothing on disk."""
    from dexhot.datasets.parametric import generate

    return generate("lift", "box", seed=0)


@pytest.fixture
def lift_clip(lift):
    """Its trajectory, a copy of one's own."""
    return copy.deepcopy(lift[0])


@pytest.fixture
def lift_object(lift):
    """Its object, a copy of one's own."""
    return copy.deepcopy(lift[1])


@pytest.fixture
def lift_setup(lift_object):
    """The LEAP hand, its object and the benchmark physics."""
    from dexhot.robots.robot_hand import load_hand
    from dexhot.simulation.physics import load_physics
    from dexhot.simulation.setup import Setup

    return Setup(load_hand("leap_right"), lift_object, load_physics())


def content(item):
    """A hashable value, equal for equal content, of dataclasses, containers, arrays and plain values."""
    if dataclasses.is_dataclass(item):
        return type(item).__name__, *(content(getattr(item, field.name)) for field in dataclasses.fields(item))
    if isinstance(item, dict):
        return tuple((key, content(value)) for key, value in item.items())
    if isinstance(item, list | tuple):
        return tuple(map(content, item))
    return (item.shape, item.dtype.str, item.tobytes()) if hasattr(item, "tobytes") else repr(item)


@pytest.fixture(scope="session")
def retarget_once():
    """`retarget`, which solves what is alike to the last bit once: clip, hand, object and options. To be put in the
    place of `retarget` where a test is about what is done with its result, of which each caller gets a copy."""
    from dexhot.retargeting.retarget import RetargetOptions, retarget

    solved = {}

    def once(trajectory, hand, asset, options=None):
        key = content((trajectory, hand, asset, options or RetargetOptions()))
        if key not in solved:
            solved[key] = retarget(trajectory, hand, asset, options)
        return copy.deepcopy(solved[key])

    return once


@pytest.fixture(scope="session")
def _lift_reference(lift, retarget_once):
    from dexhot.robots.robot_hand import load_hand

    trajectory, asset = lift
    return retarget_once(trajectory, load_hand("leap_right"), asset)


@pytest.fixture
def lift_reference(_lift_reference):
    """The parametric lift on the LEAP hand, a copy of one's own."""
    return copy.deepcopy(_lift_reference)


@pytest.fixture(scope="session")
def _placed_lift(_lift_reference):
    from dexhot.retargeting.placement import place

    return place(_lift_reference)


@pytest.fixture
def placed_lift(_placed_lift):
    """It placed for the arm, in the arm's time, a copy of one's own."""
    return copy.deepcopy(_placed_lift)


def _about_the_grasp(reference, before: int, after: int, name: str):
    start = reference.grasp_start
    part = slice(start - before, start + after)
    rows = {name: getattr(reference, name)[part] for name in ("q", "target", "contact", "object_pose")}
    return dataclasses.replace(reference, name=name, **rows, grasp_start=before, grasp_end=before + after - 3)


@pytest.fixture
def short_reference(lift_reference):
    """20 frames of it about the grasp: shorter than the horizon of every planner."""
    return _about_the_grasp(lift_reference, 10, 10, "parametric/short")


@pytest.fixture
def brief_lift(lift_reference):
    """50 of its 205 frames: the grasp and the first 9 cm of the lift, where a hand that stays fails in every world."""
    return _about_the_grasp(lift_reference, 15, 35, lift_reference.name)


@pytest.fixture(scope="session")
def shipped():
    """The shipped demonstration, its reference with the arm's path: not to be changed."""
    from dexhot.data.files import load
    from dexhot.data.types import Demonstration
    from dexhot.paths import share_dir
    from dexhot.retargeting.placement import with_arm_path

    demonstration = load(share_dir() / "policies" / "lift_box.npz", Demonstration)
    demonstration.reference = with_arm_path(demonstration.reference)
    return demonstration


@pytest.fixture
def loads(monkeypatch) -> dict[str, int]:
    """How often a hand and an object have been read since the test began."""
    from dexhot.objects import library
    from dexhot.robots import robot_hand

    counted = {"hand": 0, "object": 0}

    def counting(what: str, function):
        def read(*arguments):
            counted[what] += 1
            return function(*arguments)

        return read

    monkeypatch.setattr(robot_hand, "hand_from_config", counting("hand", robot_hand.hand_from_config))
    monkeypatch.setattr(library, "_read_header", counting("object", library._read_header))
    return counted


@pytest.fixture
def worn_servos(monkeypatch):
    """The profile `leap` with dry friction of 0.02 N m and backlash of 0.02 rad."""
    from dexhot.robots import servos

    def forget() -> None:
        servos.profile.cache_clear()
        servos._servo.cache_clear()

    content = copy.deepcopy(servos._content())
    content["profiles"]["leap"] |= {"friction": 0.02, "backlash": 0.02}
    monkeypatch.setattr(servos, "_content", lambda: content)
    forget()
    yield servos.profile("leap")
    forget()
