"""Parameter files: which nodes an entry is for, and that nothing in a file is dropped without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy

from dexhot.bringup.graph import parameters_text
from dexhot.errors import DexhotError
from dexhot.ros.core.parameter_file import Entry, check_file, read_entries
from probe_nodes import Probe

HERE = Path(__file__).parents[1]  # of the probe nodes
SCHEMAS = {"/robot1/rig": ["seed", "rate"], "/robot1/shaper": ["lead"]}


@pytest.mark.parametrize(
    ("key", "matched"),
    [
        ("rig", ["/rig"]),
        ("/rig", ["/rig"]),
        ("/robot1/rig", ["/robot1/rig"]),
        ("/**/rig", ["/rig", "/robot1/rig", "/lab/robot1/rig"]),
        ("/*/rig", ["/robot1/rig"]),
        ("/robot1/*", ["/robot1/rig"]),
        ("/**", ["/rig", "/robot1/rig", "/lab/robot1/rig"]),
        ("/**/ri", []),
        ("/r.g", []),
    ],
)
def test_a_key_is_for_the_nodes_that_rclpy_matches(key, matched):
    assert [name for name in ("/rig", "/robot1/rig", "/lab/robot1/rig") if Entry(key, {}).matches(name)] == matched


@pytest.mark.parametrize(
    "text",
    [
        "rig: {seed: 7}",
        "rig: {ros__parameters: {seed: 7}}",
        "/robot1/rig:\n  ros__parameters:\n    seed: 7\n",
        "robot1: {rig: {ros__parameters: {seed: 7}}}",
        "/robot1: {rig: {ros__parameters: {seed: 7}}}",
    ],
)
def test_every_form_of_a_file_is_read(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    [entry] = read_entries(tmp_path / "p.yaml")
    assert entry.node == "rig" and entry.values == {"seed": 7}


def test_nested_parameters_have_dots(tmp_path):
    (tmp_path / "p.yaml").write_text("/rig: {ros__parameters: {qos_overrides: {/clock: {subscription: {depth: 1}}}}}")
    assert read_entries(tmp_path / "p.yaml")[0].values == {"qos_overrides./clock.subscription.depth": 1}


@pytest.mark.parametrize("text", ["rig: 5", "[rig]", "rig: {ros__parameters: 5}", "rig: ["])
def test_what_is_no_file_of_parameters_is_refused(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(DexhotError, match="not a file of node parameters"):
        read_entries(tmp_path / "p.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/rig: {ros__parameters: {seed: 7}}", "for /rig, which is not /robot1/rig.*Write /\\*\\*/rig"),
        ("/robot2/shaper: {ros__parameters: {lead: 0}}", "which is not /robot1/shaper"),
        (
            "/robot1/rig: {ros__parameters: {sead: 7}}",
            "no parameter of /robot1/rig named 'sead'; available: rate, seed",
        ),
        (
            "/robot1/rug: {ros__parameters: {seed: 7}}",
            "has parameters for /robot1/rug, and none for /robot1/rig, /robot1/sh",
        ),
        ("{}", "has parameters for nothing"),
    ],
)
def test_what_a_node_would_not_get_is_refused(text, words, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(DexhotError, match=words):
        check_file(tmp_path / "p.yaml", SCHEMAS)


@pytest.mark.parametrize(
    "text",
    [
        "/**: {ros__parameters: {use_sim_time: true, of_somebody_else: 1}}",
        "/**/rig: {ros__parameters: {seed: 7, use_sim_time: true}}\n/robot1/camera: {ros__parameters: {any: 1}}",
    ],
)
def test_a_file_for_some_nodes_or_all_is_taken(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    check_file(tmp_path / "p.yaml", SCHEMAS)


@pytest.mark.ros
@pytest.mark.parametrize("namespace", ["/", "/robot1", "/lab/robot1"])
def test_no_namespace_drops_the_parameters_of_a_bring_up(namespace, ros_domain, tmp_path):
    (tmp_path / "p.yaml").write_text(parameters_text({"probe": {"heartbeat_rate": 33.0}}))
    rclpy.init(args=["--ros-args", "-r", f"__ns:={namespace}", "--params-file", str(tmp_path / "p.yaml")])
    try:
        node = Probe()
        assert node.get_namespace() == namespace and node.get_parameter("heartbeat_rate").value == 33.0
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


@pytest.mark.ros
def test_a_node_whose_parameters_a_namespace_would_drop_does_not_start(ros_domain, tmp_path):
    (tmp_path / "p.yaml").write_text("/probe: {ros__parameters: {heartbeat_rate: 33.0}}")
    call = [sys.executable, "-m", "dexhot.ros.core.process", "probe_nodes:Probe", "--ros-args"]
    options = ["-r", "__ns:=/robot1", "--params-file", str(tmp_path / "p.yaml")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([*call, *options], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "which is not /robot1/probe" in result.stderr
