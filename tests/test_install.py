"""The ways to install: sdist and wheel, colcon, the scripts in docker/, and beside Jazzy's numpy 1.26."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import xml.etree.ElementTree as ElementTree
import zipfile
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
    assert (packages / "dexhot/humans/data/open_hand.npz").is_file()
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


@pytest.fixture(scope="module")
def workspace(checkout, tmp_path_factory) -> Path:
    """A colcon workspace with links to the sources, as developers build it."""
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "src").mkdir()
    shutil.copytree(checkout, workspace / "src" / "dexhot", ignore=shutil.ignore_patterns("build", "install", "log"))
    colcon("build", "--symlink-install", workspace=workspace)
    return workspace


def colcon(verb: str, *arguments: str, workspace: Path) -> str:
    command = [BIN / "colcon", verb, *arguments, "--packages-select", "dexhot"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    reply = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False, env=environment)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    return reply.stdout


def test_colcon_links_to_the_sources(workspace):
    script = workspace / "install/dexhot/lib/dexhot/dexhot_node"
    assert script.read_text().startswith(f"#!{sys.executable}")
    program = "import dexhot.paths as p; print(p.__file__, p.share_dir())"
    call = ["sh", "-c", f". {workspace}/install/local_setup.sh; exec {sys.executable} -c '{program}'"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    reply = subprocess.run(call, cwd="/", env=environment, capture_output=True, text=True, check=True)
    module, share = reply.stdout.split()
    source = workspace / "src" / "dexhot"
    assert Path(module).resolve() == source / "src/dexhot/paths.py" and Path(share) == source


@pytest.mark.timeout(900)
def test_colcon_test_runs_a_smoke_set(workspace):
    before = os.times()
    colcon("test", workspace=workspace)
    after = os.times()
    suite = ElementTree.parse(workspace / "build/dexhot/pytest.xml").find("testsuite")
    assert suite is not None and suite.get("failures") == suite.get("errors") == "0"
    assert int(suite.get("tests", 0)) > 100
    assert after.children_user + after.children_system - before.children_user - before.children_system < 120  # s of CPU


@pytest.fixture(scope="module")
def bare(checkout, tmp_path_factory) -> Path:
    """A fresh environment with the wheel that was built from the sdist; what it depends on comes from this one."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, checkout], check=True, capture_output=True)
    [wheel], [_] = folder.glob("dexhot-*.whl"), folder.glob("dexhot-*.tar.gz")
    venv.create(folder / "venv", with_pip=False)
    [packages] = (folder / "venv").glob("lib/*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", folder / "venv/bin/python", "install", "-q", "--no-deps"]
    subprocess.run([*install, "--ignore-installed", wheel], check=True, capture_output=True)
    return folder


def in_bare(bare: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([bare / "venv/bin" / words[0], *words[1:]], cwd=cwd, env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip


def test_the_wheel_runs_from_an_empty_folder(bare, tmp_path):
    assert in_bare(bare, "dexhot", "--version", cwd=tmp_path).stdout == "0.1.0\n"
    doctor = in_bare(bare, "dexhot", "doctor", "--json", cwd=tmp_path)
    assert json.loads(doctor.stdout.splitlines()[-1])["checks"], doctor.stderr
    made = in_bare(bare, "dexhot", "up", "real_track", "--show-args", cwd=tmp_path)
    assert made.returncode == 0 and "controller" in made.stdout + made.stderr
    assert not list(tmp_path.iterdir())


def test_the_wheel_holds_every_data_file(bare, tmp_path):
    share = bare / "venv" / "share" / "dexhot"
    program = "import dexhot.paths as p; print(p.share_dir())"
    assert in_bare(bare, "python", "-c", program, cwd=tmp_path).stdout.strip() == str(share)
    listed = subprocess.run(["git", "ls-files", "config", "urdf", "launch", "policies"], cwd=ROOT, capture_output=True)
    for name in listed.stdout.decode().split():
        assert (share / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_wheel_s_metadata_are_those_of_a_registry(bare):
    [wheel] = bare.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith("dist-info/METADATA")]
        metadata = archive.read(name).decode()
    assert "Name: dexhot\n" in metadata and "Description-Content-Type: text/markdown" in metadata
    assert "# dexhot" in metadata and "Classifier: Programming Language :: Python :: 3.13" in metadata


def test_each_python_that_is_named_has_its_own_environment():
    make = ["make", "-n", "setup", f"PYTHON={sys.executable}"]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "ROS_DISTRO", "MAKEFLAGS")}
    told = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    version = f".venv-{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"-m venv  {version}" in told
    told = subprocess.run(
        ["make", "-n", "setup", "VENV=.venv-x"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "-m venv  .venv-x" in told.stdout


@pytest.mark.parametrize("exists", [True, False])
def test_a_python_that_does_not_fit_is_refused_though_an_environment_is_ready(tmp_path, exists):
    """`make test` in a checkout with .venv would otherwise run the tests of that one."""
    shutil.copy2(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    python = tmp_path / "python"
    if exists:
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "ROS_DISTRO", "MAKEFLAGS", "MAKELEVEL")}
    call = ["make", "-n", "-o", "pyproject.toml", "test", f"PYTHON={python}"]
    reply = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert reply.returncode == 2 and f"{python} is no Python 3.11 to 3.13" in reply.stderr and not reply.stdout


def test_rosdep_keys_stand_for_dependencies_of_pyproject():
    keys = set(re.findall(r"<exec_depend>python3-([\w-]+)</exec_depend>", (ROOT / "package.xml").read_text()))
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=;\[ ]", line)[0].lower() for line in lines}
    other = {"pil": "pillow", "yaml": "pyyaml", "collada": "pycollada"}
    assert len(keys) >= 9 and {other.get(key, key) for key in keys} <= names


STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def test_the_distribution_s_script_uses_one_interpreter(tmp_path, checkout):
    """With stand-ins for rosdep, colcon, and the distribution's Python and setup: what runs, in which order."""
    workspace = tmp_path / "ws"
    (workspace / "src").mkdir(parents=True)
    shutil.copytree(checkout, workspace / "src" / "dexhot", ignore=shutil.ignore_patterns("build", "install", "log"))
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("rosdep", "colcon", "python3-jazzy", "ldconfig", "apt-get"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    (tmp_path / "setup.bash").write_text("export ROS_DISTRO=jazzy\n")
    environment = os.environ | {"PATH": f"{stubs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    environment |= {"ROS_SETUP": str(tmp_path / "setup.bash"), "ROS_PYTHON": str(stubs / "python3-jazzy")}
    script = workspace / "src/dexhot/docker/install-with-distribution"
    subprocess.run([script, workspace], env=environment, check=True, capture_output=True)
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if not line.startswith(("ldc", "apt"))]
    assert [call.split()[0] for call in calls] == ["rosdep", "rosdep", "python3-jazzy", "colcon"]
    assert f"--target {workspace}/python -c {workspace}/src/dexhot/config/constraints-jazzy.txt" in calls[2]
    assert "build --symlink-install" in calls[3]
    required = (workspace / "requirements.txt").read_text()
    assert "numpy>=1.26" in required and "franky-control" in required and "ros-jazzy" not in required
    assert f"PYTHONPATH={workspace}/python:" in (workspace / "setup.bash").read_text()
    wrong = subprocess.run([script, tmp_path], env=environment, check=False, capture_output=True, text=True)
    assert wrong.returncode == 1 and "put the checkout at" in wrong.stderr


def test_the_wheels_script_makes_an_environment_that_runs(tmp_path, checkout):
    """For real, but for the dependencies: those come from this environment."""
    target = tmp_path / "environment"
    environment = {k: v for k, v in os.environ.items() if k != "ROS_DISTRO"} | {"PYTHON": sys.executable}
    environment |= {"PIP_NO_DEPS": "1", "PYTHONPATH": sysconfig.get_path("purelib")}
    script = [checkout / "docker/install-with-wheels", target, "hardware"]
    reply = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stderr
    assert reply.stdout.splitlines()[-1] == "0.1.0" and (target / "share/dexhot/urdf/joints.yaml").is_file()
    refused = subprocess.run(script, env=environment | {"ROS_DISTRO": "jazzy"}, capture_output=True, text=True)
    assert refused.returncode == 1 and "install-with-distribution" in refused.stderr


@pytest.mark.parametrize("name", ["install-with-distribution", "install-with-wheels"])
def test_images_and_the_set_up_page_run_the_scripts(name):
    files = [ROOT / "docker/runtime.Dockerfile", ROOT / "docker/training.Dockerfile", ROOT / "docs/rig.md"]
    assert sum(f"docker/{name}" in path.read_text() for path in files) == 2
    usage = re.search(rf"^#   (docker/{name} \S+)", (ROOT / "docker" / name).read_text(), flags=re.M)
    assert usage and usage[1].split()[0] in (ROOT / "docs/rig.md").read_text()
    [line] = re.findall(r"^    (?:\S*/)?docker/install-with-distribution (\S+)", files[2].read_text(), flags=re.M)
    assert f"source {line}/setup.bash" in files[2].read_text()


@pytest.mark.parametrize("name", ["runtime.Dockerfile", "training.Dockerfile", "isaacgym/Dockerfile"])
def test_dockerfiles_pass_the_linter(name):
    reply = subprocess.run([BIN / "hadolint", ROOT / "docker" / name], capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout
