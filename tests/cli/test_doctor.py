"""What `dexhot doctor` says about a machine that is to drive a robot."""

import shutil
import subprocess
import sys
import tomllib

import pytest

from dexhot.cli import doctor
from dexhot.paths import share_dir

SHIPPED = share_dir() / "config" / "udev" / "99-dexhot-leap.rules"


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """An empty folder in the place of udev's."""
    monkeypatch.setattr(doctor, "RULES", (tmp_path,))
    return tmp_path


def test_without_the_udev_rule_it_says_how_to_install_the_shipped_one(rules):
    check = doctor.udev_rule()
    assert check.status == "optional" and str(SHIPPED) in check.remedy


def test_the_shipped_udev_rule_is_found(rules):
    shutil.copy(SHIPPED, rules)
    assert doctor.udev_rule().found == str(rules / SHIPPED.name)


def test_a_rule_that_is_commented_out_is_none(rules):
    (rules / "50-old.rules").write_text('# ATTR{latency_timer}="1"\n')
    assert doctor.udev_rule().status == "optional"


def test_an_sdk_that_is_not_installed_is_named_with_the_extra_that_has_it():
    check = doctor.sdk("robot", "no-such-sdk", "no_such_sdk")
    assert check.status == "optional" and "no-such-sdk" in check.found and "dexhot[hardware]" in check.remedy


def test_every_sdk_of_the_extra_hardware_is_looked_for():
    names = {check.name for check in doctor.examine()}
    assert {"SDK of the LEAP hand", "SDK of the Franka arm", "SDK of the RealSense camera"} <= names


def test_every_extra_that_a_user_may_install_is_looked_for():
    lines = (share_dir() / "pyproject.toml").read_text()
    extras = set(tomllib.loads(lines)["project"]["optional-dependencies"])
    checked = {check.name.removeprefix("extra: ") for check in doctor.examine() if check.name.startswith("extra: ")}
    assert checked == extras - {"ros", "hardware", "test", "dev"}


def test_an_extra_of_which_a_package_is_missing_is_not_installed():
    check = doctor.extra("policy", "json", "no_such_module")
    assert check.status == "optional" and check.found == "not installed: no_such_module"
    assert check.remedy == "pip install 'dexhot[policy]'"


def test_hand_models_that_are_missing_are_named_with_the_command_that_gets_them(cache):
    check = doctor.hand_landmarks()
    assert check.status == "optional" and "palm_detection_full" in check.found
    assert check.remedy == "dexhot models get hand-landmarks"


@pytest.mark.parametrize("there", [True, False])
def test_it_says_whether_frames_are_published_on_tf(monkeypatch, there):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object() if there else None)
    check = doctor.transforms()
    assert check.status == ("ok" if there else "optional") and ("distribution" in check.remedy) != there
    monkeypatch.undo()
    assert "/tf (tf2_msgs)" in [c.name for c in doctor.examine()]


def test_memory_left_by_killed_processes_is_counted_with_the_command_that_frees_it(monkeypatch, tmp_path):
    left = tmp_path / "fastrtps_0"
    left.write_bytes(bytes(3 * 2**20))
    monkeypatch.setattr(doctor, "left_behind", lambda: [left])
    check = doctor.shared_memory()
    assert "3 MiB left by killed" in check.found and "--free-shared-memory" in check.remedy
    left.unlink()
    assert "left" not in doctor.shared_memory().found


ASKED = {
    "rclpy",
    "torch",
    "foundationpose",
    "sam2",
    "mmpose",
    "pyrealsense2",
    "franky",
    "dynamixel-sdk",
    "isaacgym",
    "filterpy",
}


def test_each_package_that_labs_know_is_in_use_or_replaced(monkeypatch):
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: object() if name in ("torch", "filterpy") else None
    )
    found = {check.name.removeprefix("package "): check for check in doctor.asked_for()}
    assert set(found) == ASKED
    assert found["torch"].found.startswith("in use") and found["sam2"].found.startswith("replaced by")
    assert found["filterpy"].found.startswith("replaced by perception/box_tracks")  # installed or not
    assert found["franky"].remedy == "pip install 'dexhot[hardware]'" and not found["mmpose"].remedy


EXTRAS = ("numba", "warp", "ai_edge_litert", "torch", "onnxruntime", "ray", "rclpy", "pyrealsense2", "imageio_ffmpeg")


ABSENT = f"""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in {EXTRAS} else find(name, *rest)
from dexhot.cli import main
"""


@pytest.mark.parametrize("command", ["doctor", "models"])
def test_what_a_machine_lacks_is_listed_by_the_base_install_alone(command):
    run = f"{ABSENT}main([{command!r}])"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert "error" not in done.stderr and "Traceback" not in done.stderr
    told = {"doctor": ["extra: perception: not installed: numba", "MANO and SMPL"], "models": ["open hand, right"]}
    assert all(line in done.stdout for line in told[command]), done


def test_a_users_own_smpl_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    assert doctor.licensed_models().status == "optional"
    (tmp_path / "smpl").mkdir()
    (tmp_path / "smpl" / "SMPL_NEUTRAL.pkl").write_bytes(b"")
    assert doctor.licensed_models().found == "SMPL"
