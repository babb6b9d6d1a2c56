"""The three ways to install: pip in a fresh environment, colcon, and beside a Jazzy distribution's numpy 1.26."""

import json
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sysconfig.get_path("scripts"))
PIP_INSTALL = (sys.executable, "-m", "pip", "install", "-q", "--ignore-installed")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what git tracks, without the user's build folders."""
    target = tmp_path_factory.mktemp("checkout") / "dexhot"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def test_colcon_builds_a_clean_checkout(checkout):
    command = [BIN / "colcon", "--log-base", "log", "build", "--packages-select", "dexhot"]
    reply = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    share = checkout / "install" / "dexhot" / "share"
    assert (share / "ament_index/resource_index/packages/dexhot").is_file()
    assert (share / "dexhot/launch/real_track.launch.py").is_file()
    assert (share / "dexhot/urdf/joints.yaml").is_file()
    assert (checkout / "install/dexhot/lib/dexhot/dexhot_node").is_file()


def test_pip_installs_the_data_files_where_the_package_finds_them(checkout, tmp_path):
    target = tmp_path / "prefix"
    subprocess.run([*PIP_INSTALL, "--no-deps", "--prefix", target, checkout], check=True, capture_output=True)
    [packages] = target.glob("**/site-packages")
    code = "from dexhot.paths import share_dir; print(share_dir())"
    reply = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(packages)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert reply.stdout.strip() == str(target / "share" / "dexhot")


def test_the_base_dependencies_resolve_with_the_numpy_of_jazzy(tmp_path):
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    report = tmp_path / "report.json"
    target = ["--python-version", "3.12", "--only-binary=:all:", "--target", tmp_path / "none"]
    command = [*PIP_INSTALL, "--dry-run", "--report", report, *target, "-c", ROOT / "config/constraints-jazzy.txt"]
    reply = subprocess.run([*command, *dependencies], capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stderr
    chosen = {
        i["metadata"]["name"].lower(): i["metadata"]["version"] for i in json.loads(report.read_text())["install"]
    }
    assert chosen["numpy"] == "1.26.4"
    assert chosen["mujoco"] == "4.0.0"


def test_package_xml_and_pyproject_agree_on_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"<version>{version}</version>" in (ROOT / "package.xml").read_text()
    assert f'__version__ = "{version}"' in (ROOT / "src/dexhot/__init__.py").read_text()


@pytest.mark.parametrize("name", ["runtime.Dockerfile", "training.Dockerfile"])
def test_dockerfiles_pass_the_linter(name):
    reply = subprocess.run([BIN / "hadolint", ROOT / "docker" / name], capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout
