"""The graph description: arguments, the parameters that reach each node, the run folder, and the launch files."""

import importlib
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from dexhot.bringup import launcher
from dexhot.bringup.graph import GraphError, parse_assignments, plan, resolve
from dexhot.bringup.graphs import GRAPHS, load_graph
from dexhot.data import files
from dexhot.data.types import WRIST_JOINTS, Demonstration, Reference
from dexhot.errors import DexhotError, FileFormatError, NotFoundError, UnreachableError
from dexhot.paths import share_dir
from dexhot.robots.urdf_tree import read_tree
from dexhot.ros.core.parameters import load_schema
from dexhot.ros.core.process import NODES

USED_BY_THE_GRAPH = {"rig", "record", "view", "bag", "parameters", "what", "topics", "loop", "out", "speed", "min_free"}
USED_BY_THE_GRAPH |= {"namespace", "use_sim_time", "profile", "camera_pose", "session", "camera_loop"}
USED_BY_THE_GRAPH |= {"seed"}  # of watch: the staged clip has it
USED_BY_THE_GRAPH |= {"shaper_feedback"}  # the shaper's `feedback`


@pytest.fixture
def reference(tmp_path):
    """A Reference and the file that holds it."""
    T, names = 30, [*WRIST_JOINTS, *(f"finger{k}" for k in range(16))]
    above_the_table = np.tile(np.r_[0.5, 0.0, 0.3, np.zeros(19)], (T, 1))
    made = Reference(
        name="test/still",
        hand="leap_right",
        joint_names=names,
        q=above_the_table,
        target=above_the_table,
        contact=np.zeros((T, 4), bool),
        base_quat=np.array([1.0, 0, 0, 0]),
        object_name="parametric/box",
        object_pose=np.tile([0.0, 0, 0, 1, 0, 0, 0], (T, 1)),
        grasp_start=5,
        grasp_end=20,
    )
    files.save(made, tmp_path / "reference.npz")
    return made


@pytest.fixture
def planned(reference, tmp_path, monkeypatch):
    """A function that plans real_track with further arguments."""
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    given = {"reference": str(tmp_path / "reference.npz"), "controller": "kinematic"}
    return lambda **more: plan(load_graph("real_track"), given | more, {})


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_every_argument_is_described(graph):
    assert all(argument.description for argument in graph.arguments)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_every_argument_reaches_a_node(graph):
    given = {a.name: a.default for a in graph.arguments}
    seeing = given | ({"perception": "camera"} if "perception" in given else {})
    nodes = [n.schema or n.name for each in (given, seeing) for p in graph.processes(each) for n in p.nodes]
    known = {name for node in nodes for name in load_schema(node)} | USED_BY_THE_GRAPH
    assert {a.name for a in graph.arguments} <= known


@pytest.mark.parametrize("name", NODES)
def test_every_node_has_a_schema(name):
    assert load_schema(name)


def test_an_unknown_argument_lists_those_that_exist():
    with pytest.raises(NotFoundError, match=r"controller.*--show-args"):
        resolve(load_graph("real_track"), {"kontroller": "mpc"})


def test_a_choice_that_does_not_exist_lists_the_choices():
    with pytest.raises(GraphError, match="kinematic, playback, mpc, planned"):
        resolve(load_graph("real_track"), {"controller": "magic"})


def test_an_argument_of_the_wrong_type_is_refused():
    with pytest.raises(GraphError, match="seed must be an integer"):
        resolve(load_graph("real_track"), {"seed": "lucky"})


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_every_default_reads_back_from_its_text(graph):
    """ros2 launch hands all arguments over as text."""
    given = {a.name: a.default_text for a in graph.arguments}
    assert resolve(graph, given) == {a.name: a.default for a in graph.arguments}


def test_an_assignment_without_sign_is_refused():
    with pytest.raises(GraphError, match="name:=value"):
        parse_assignments(["rig=sim"])


def test_an_unknown_graph_lists_the_graphs():
    with pytest.raises(NotFoundError, match="real_track, replay"):
        load_graph("dance")


def test_without_a_reference_the_shipped_demonstration_is_tracked(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    made = plan(load_graph("real_track"), {}, {})
    assert files.load(made.folder / "demonstration.npz", Demonstration).reference.hand == "leap_right"


def test_playback_without_a_demonstration_is_refused(planned):
    with pytest.raises(DexhotError, match="policy:=FILE"):
        planned(controller="playback")


def test_a_truncated_reference_is_refused_before_anything_starts(planned, tmp_path):
    path = tmp_path / "reference.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match="truncated"):
        planned()
    assert not (tmp_path / "runs").exists()


def test_parameters_reach_the_nodes_through_the_file(planned):
    made = planned(seed="7")
    entries = yaml.safe_load(made.parameters_file.read_text())
    for node, given in made.parameters.items():
        written = entries.get(f"/**/{node}", {}).get("ros__parameters", {})
        assert written == {k: v for k, v in given.items() if v != []}
    assert any(p.get("seed") == 7 for p in made.parameters.values())


def test_a_file_of_parameters_goes_over_the_arguments(planned, tmp_path):
    (tmp_path / "lab.yaml").write_text("rig: {position_noise: 0.002, seed: 5}")
    made = planned(parameters=str(tmp_path / "lab.yaml"), seed="7")
    assert made.parameters["rig"]["position_noise"] == 0.002
    assert (made.parameters["rig"]["seed"], made.parameters["controller"]["seed"]) == (5, 7)


@pytest.mark.parametrize("text", ["rug: {seed: 5}", "rig: {sead: 5}", "rig: {position_noise: 7.0}", "rig: [1"])
def test_a_file_of_parameters_that_cannot_be_is_refused(planned, tmp_path, text):
    (tmp_path / "lab.yaml").write_text(text)
    with pytest.raises(DexhotError, match=r"no node|no parameter|must be between|not a file"):
        planned(parameters=str(tmp_path / "lab.yaml"))
    assert not (tmp_path / "runs").exists()


DUMPED = """
/robot1/rig:
  ros__parameters:
    position_noise: 0.002
    qos_overrides: {/clock: {subscription: {depth: 1}}}
    start_type_description_service: true
    token: run-of-yesterday
    use_sim_time: true
"""


@pytest.mark.parametrize(
    "text",
    [
        "rig: {position_noise: 0.002}",
        DUMPED,
        "/**/rig: {ros__parameters: {position_noise: 0.002}}",
        "/**: {ros__parameters: {position_noise: 0.002}}",
        "robot1: {rig: {ros__parameters: {position_noise: 0.002}}}",
    ],
)
def test_files_for_a_namespaced_node_load_in_every_form(planned, tmp_path, text):
    (tmp_path / "lab.yaml").write_text(text)
    made = planned(parameters=str(tmp_path / "lab.yaml"), namespace="robot1")
    assert made.parameters["rig"]["position_noise"] == 0.002
    assert len({given["token"] for given in made.parameters.values()}) == 1  # of this bring-up
    assert "position_noise" not in made.parameters["shaper"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/rig: {ros__parameters: {seed: 5}}", "for /rig, which matches no node of this graph: /robot1/rig"),
        ("/robot2/rig: {ros__parameters: {seed: 5}}", "matches no node"),
        ("/**: {ros__parameters: {sead: 5}}", "no parameter of /\\*\\* named 'sead'.*seed"),
        ("recorder: {exclude: []}", "exclude of recorder cannot be empty"),
    ],
)
def test_a_file_that_no_node_takes_is_refused(planned, tmp_path, text, words):
    (tmp_path / "lab.yaml").write_text(text)
    with pytest.raises(DexhotError, match=words):
        planned(parameters=str(tmp_path / "lab.yaml"), namespace="robot1")


def test_every_node_of_a_simulated_graph_follows_its_clock(planned):
    assert all(given["use_sim_time"] is True for given in planned().parameters.values())
    assert all(given["use_sim_time"] is True for given in planned(rig="sim-wire").parameters.values())
    with pytest.raises(GraphError, match="use_sim_time:=false"):
        planned(use_sim_time="false")


def test_the_nodes_of_a_real_rig_follow_a_clock_where_that_is_asked_for(planned):
    real = {"rig": "real", "franka_host": "127.0.0.1"}
    assert not any("use_sim_time" in given for given in planned(**real).parameters.values())
    made = planned(**real, use_sim_time="true", namespace="robot1")
    assert all(given["use_sim_time"] is True for given in made.parameters.values())
    assert made.remappings == ()  # that clock is the domain's


@pytest.mark.parametrize(
    ("given", "prefix"), [("", ""), ("robot1", "robot1/"), ("/lab/robot1/", "lab/robot1/"), ("/", "")]
)
def test_the_frames_of_a_namespaced_robot_have_its_prefix(planned, given, prefix):
    found = planned(namespace=given).parameters
    assert {parameters["frame_prefix"] for parameters in found.values()} == {prefix}
    assert planned(namespace=given, frame_prefix="/a_").parameters["rig"]["frame_prefix"] == "a_"


@pytest.mark.parametrize("text", ["1robot", "a-b", "a//b", "~"])
def test_a_namespace_that_cannot_be_is_refused(text):
    with pytest.raises(GraphError, match="namespace must consist"):
        resolve(load_graph("capture"), {"namespace": text})


def test_run_json_has_the_namespace(planned):
    assert json.loads((planned(namespace="/lab/robot1").folder / "run.json").read_text())["arguments"]["namespace"] == (
        "lab/robot1"
    )


def test_a_run_folder_holds_what_was_tracked_and_with_what(planned, reference):
    made = planned()
    text = (made.folder / "run.json").read_text()
    told = json.loads(text)
    assert '": "/' not in text and (made.folder / told["sources"]["reference"]).resolve().name == "reference.npz"
    assert told["arguments"]["controller"] == "kinematic" and "commit" in told["versions"]
    tracked = files.load(made.folder / "reference.npz", Reference)  # its wrist is where the arm carries it
    np.testing.assert_allclose(tracked.q, reference.q, atol=1e-9)
    assert made.folder.name.endswith("real_track-test_still")


def test_two_runs_never_share_a_folder(planned):
    assert planned().folder != planned().folder


def test_a_demonstration_serves_as_reference_and_policy(planned, reference, tmp_path):
    T, n = reference.q.shape
    demonstration = Demonstration("demo", reference, reference.target, reference.q, reference.object_pose, "1")
    files.save(demonstration, tmp_path / "demonstration.npz")
    made = planned(reference=str(tmp_path / "demonstration.npz"), controller="playback")
    assert files.load(made.folder / "demonstration.npz", Demonstration).actions.shape == (T, n)


def test_the_robots_description_is_in_the_runs_folder_and_nothing_stops_without_its_node(planned):
    made = planned()
    [shared] = [p.name for p in made.processes if "robot_state" in [node.name for node in p.nodes]]
    assert shared == "recorder"  # no process of its own, which would take the others' time at the start
    urdf = Path(made.parameters["robot_state"]["urdf"])
    assert urdf.parent.parent == made.folder and read_tree(urdf.read_text()).root == "world"
    assert urdf.with_suffix(".srdf").is_file()
    assert "robot_state" not in made.parameters["supervisor"]["required_nodes"]
    assert "robot_state" not in made.parameters["recorder"]["required_nodes"]


def test_without_recording_there_is_no_recorder(planned, tmp_path):
    made = planned(record="false")
    assert "recorder" not in made.node_names and "robot_state" in made.node_names
    assert not (tmp_path / "runs").exists()


def test_what_the_user_set_stays(reference, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    given = {"reference": str(tmp_path / "reference.npz"), "controller": "kinematic"}
    made = plan(load_graph("real_track"), given, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in made.environment


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_each_graph_has_a_launch_file(graph):
    path = share_dir() / "launch" / f"{graph.name}.launch.py"
    assert f'describe("{graph.name}")' in path.read_text()


@pytest.fixture
def launch_description(monkeypatch):
    """dexhot.bringup.launch_description over stand-ins of launch and launch_ros, which only a ROS distribution has."""

    class Action:
        def __init__(self, *arguments, **options):
            self.arguments, self.options = arguments, options

    actions = ["DeclareLaunchArgument", "OpaqueFunction", "SetEnvironmentVariable", "Shutdown", "LogInfo", "Node"]
    for module, names in {
        "launch": ["LaunchContext", "LaunchDescription"],
        "launch.actions": actions[:5],
        "launch.events": [],
        "launch.events.process": ["ProcessExited"],
        "launch.substitutions": ["LaunchConfiguration"],
        "launch_ros": [],
        "launch_ros.actions": actions[5:],
    }.items():
        stand_in = types.ModuleType(module)
        for name in names:
            setattr(stand_in, name, type(name, (Action,), {}))
        monkeypatch.setitem(sys.modules, module, stand_in)
    monkeypatch.delitem(sys.modules, "dexhot.bringup.launch_description", raising=False)
    return importlib.import_module("dexhot.bringup.launch_description")


def of_kind(actions, name):
    return [action for action in actions if type(action).__name__ == name]


def test_the_launch_file_declares_every_argument_with_its_description(launch_description):
    for graph in GRAPHS.values():
        [entities] = [launch_description.describe(graph.name).arguments[0]]
        declared = {a.arguments[0]: a.options["description"] for a in of_kind(entities, "DeclareLaunchArgument")}
        assert declared == {a.name: a.description for a in graph.arguments}


def test_the_launch_file_starts_what_dexhot_up_starts(launch_description, planned):
    made = planned()
    nodes = [action.options for action in of_kind(launch_description.actions(made), "Node")]
    for node, process in zip(nodes, made.processes, strict=True):
        launched = [*node["arguments"], "--ros-args", "--params-file", *node["parameters"]]
        assert launched == launcher.command(process, made)[3:]  # after python -m dexhot.ros.core.process
        assert node["exec_name"] == process.name and node["namespace"] is None
        stops = float(node["sigterm_timeout"]), float(node["sigkill_timeout"])
        assert stops == tuple(launcher.GRACE.values())


def test_the_launch_file_names_what_dexhot_up_names(launch_description, planned):
    made = planned(namespace="/lab/robot1/")
    for node, process in zip(of_kind(launch_description.actions(made), "Node"), made.processes, strict=True):
        names = ["-r", f"__ns:={node.options['namespace']}"]
        for pair in node.options["remappings"]:
            names += ["-r", ":=".join(pair)]
        assert names == ["-r", "__ns:=/lab/robot1", "-r", "/clock:=clock"]
        assert launcher.command(process, made)[-4:] == names


def configured(launch_description, monkeypatch, configurations: dict[str, str], argv: list[str]):
    """The plan that the launch file makes of its configurations, and what it logs."""
    graph = load_graph("real_track")
    texts = {a.name: a.default_text for a in graph.arguments} | configurations
    monkeypatch.setattr(
        launch_description.LaunchConfiguration, "perform", lambda self, _: texts[self.arguments[0]], raising=False
    )
    made, plan_ = [], launch_description.plan
    monkeypatch.setattr(launch_description, "plan", lambda *told: made.append(plan_(*told)) or made[-1])
    monkeypatch.setattr(launch_description.sys, "argv", ["ros2", "launch", *argv])
    (opaque,) = of_kind(launch_description.describe("real_track").arguments[0], "OpaqueFunction")
    found = opaque.options["function"](types.SimpleNamespace(launch_configurations=texts))
    return made[0], [log.options["msg"] for log in of_kind(found, "LogInfo")]


def test_an_unknown_argument_of_ros2_launch_is_refused(launch_description, monkeypatch):
    with pytest.raises(NotFoundError, match=r"'kontroller'.*such as controller"):
        configured(
            launch_description,
            monkeypatch,
            {"kontroller": "mpc"},
            ["dexhot", "real_track.launch.py", "kontroller:=mpc"],
        )


def test_a_launch_file_that_includes_ours_has_arguments_of_its_own(launch_description, monkeypatch):
    given = {"record": "false", "recrod": "x", "world_file": "y", "ros_namespace": "/lab", "namespace": "robot1"}
    made, told = configured(launch_description, monkeypatch, given, ["lab", "cell.launch.py", "world_file:=y"])
    assert told == ["WARNING: launch argument recrod: real_track has no such argument; did you mean record?"]
    assert made.namespace == "/lab/robot1"  # of PushRosNamespace, and ours in it


def test_the_defaults_of_ros2_launch_are_those_of_dexhot_up(launch_description, monkeypatch):
    """All arguments come as text, those that nobody gave too."""
    argv = ["dexhot", "real_track.launch.py", "record:=false", "launch-prefix:=gdb"]
    made, _ = configured(launch_description, monkeypatch, {"record": "false"}, argv)
    other = plan(load_graph("real_track"), {"record": "false"}, {})
    assert made.arguments == other.arguments and made.namespace == ""


def test_the_launch_file_sets_the_environment_of_dexhot_up(launch_description, planned):
    made = planned()
    assert {a.arguments for a in of_kind(launch_description.actions(made), "SetEnvironmentVariable")} == set(
        made.environment.items()
    )


def ends(node, exit_code: int, asked: bool = False) -> bool | None:
    """Whether launch then ends with a failure, as it does when a handler raises; None: it goes on."""
    event, context = types.SimpleNamespace(returncode=exit_code), types.SimpleNamespace(is_shutdown=asked)
    try:
        return False if node.options["on_exit"](event, context) else None
    except DexhotError:
        return True


def test_ends_that_were_asked_for_are_no_failure_of_the_launch_file(launch_description, planned):
    [*nodes, last] = of_kind(launch_description.actions(planned()), "Node")
    assert not any(ends(node, -2, asked=True) for node in nodes)
    assert ends(last, -9, asked=True)  # it had to be killed


def test_a_launch_file_remembers_a_process_that_died_alone(launch_description, planned):
    [first, *others] = of_kind(launch_description.actions(planned(rig="real", franka_host="127.0.0.1")), "Node")
    assert ends(first, 3) is None
    assert ends(others[0], 0, asked=True)
    assert not ends(others[1], 0, asked=True)  # once


def test_each_bring_up_has_a_token_that_all_its_nodes_know(planned):
    first, second = ({node["token"] for node in planned().parameters.values()} for _ in range(2))
    assert len(first) == len(second) == 1 and first != second and "" not in first | second


def test_the_launch_file_says_what_dexhot_up_warns_of(launch_description, planned):
    made = replace(planned(), warnings=("it never lifts",))
    assert [a.options for a in of_kind(launch_description.actions(made), "LogInfo")] == [
        {"msg": "WARNING: it never lifts"}
    ]


@pytest.mark.parametrize(
    ("record", "recorded", "stays"), [("false", True, False), ("true", True, True), ("true", False, False)]
)
def test_ros2_launch_removes_the_scratch_folder_and_one_without_a_recording_when_it_ends(
    launch_description, planned, tmp_path, monkeypatch, record, recorded, stays
):
    given = planned().arguments | {"record": record}
    known = {a.name: given[a.name] for a in load_graph("real_track").arguments}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in known.items()}
    monkeypatch.setattr(
        launch_description.LaunchConfiguration, "perform", lambda self, _: texts[self.arguments[0]], raising=False
    )
    at_end, made, plan_ = [], [], launch_description.plan
    monkeypatch.setattr(launch_description, "plan", lambda *told: made.append(plan_(*told)) or made[-1])
    monkeypatch.setattr(launch_description.atexit, "register", lambda *told: at_end.append(told))
    (opaque,) = of_kind(launch_description.describe("real_track").arguments[0], "OpaqueFunction")
    opaque.options["function"](types.SimpleNamespace(launch_configurations=texts))
    assert made[0].folder.is_dir()
    if recorded:
        (made[0].folder / "bag").mkdir()
        (made[0].folder / "bag" / "bag.mcap").touch()
    for function, *arguments in at_end:
        function(*arguments)
    assert made[0].folder.exists() is stays


@pytest.mark.parametrize("exit_code", [0, 1, -9])
def test_the_launch_file_goes_down_with_the_processes_that_dexhot_up_goes_down_with(
    launch_description, planned, exit_code
):
    made = planned(view="true")
    for k, process in enumerate(made.processes):
        node = of_kind(launch_description.actions(made), "Node")[k]
        assert ends(node, exit_code) == ((exit_code != 0) if process.ends_graph(exit_code) else None)


def test_on_a_real_robot_a_dead_process_leaves_the_others_holding():
    arguments = {a.name: a.default for a in load_graph("real_track").arguments} | {"rig": "real"}
    assert not any(process.ends_graph(-11) for process in load_graph("real_track").processes(arguments))


def test_the_command_lists_the_arguments(capsys):
    from dexhot.cli import main

    assert main(["up", "real_track", "--show-args"]) == 0
    assert "controller" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["up", "dance"], ["up", "real_track", "dance:=tango"], ["replay", "/nowhere"]])
def test_the_command_refuses_with_a_sentence(argv, capsys):
    from dexhot.cli import main

    assert main(argv) == 1
    assert capsys.readouterr().err.startswith("dexhot: error: ")


def test_a_reference_out_of_reach_is_refused_before_anything_starts(reference, planned, tmp_path):
    reference.q[:, 0] = reference.target[:, 0] = 3.0  # m, two arms away
    files.save(reference, tmp_path / "reference.npz")
    with pytest.raises(UnreachableError, match="first at frame 0"):
        planned()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("rig", "starts"), [("sim", True), ("sim-wire", True), ("real", False)])
def test_a_real_arm_waits_for_a_person_to_start_it(rig, starts, planned):
    given = planned(rig=rig, franka_host="127.0.0.1", leap_port="/dev/null").parameters["supervisor"]
    assert given.get("auto_start", load_schema("supervisor")["auto_start"].default) is starts


def test_a_parameters_file_says_which_paths_are_outside_of_its_folder(planned, tmp_path):
    made = planned()
    text = made.parameters_file.read_text()
    assert text.startswith(f"# Paths below {made.folder} are in the folder of this file, wherever it is now.\n")
    assert "# No path leads outside of it." in text
    (tmp_path / "lab.yaml").write_text("leap_driver: {port: /dev/serial/by-id/usb-1}")
    text = planned(parameters=str(tmp_path / "lab.yaml")).parameters_file.read_text()
    assert "# Outside of it:\n#   leap_driver.port: /dev/serial/by-id/usb-1\n" in text


def seeing(monkeypatch, tmp_path, **given: str):
    """A plan of real_track with the shipped demonstration."""
    monkeypatch.setenv("DEXHOT_RUNS", str(tmp_path / "runs"))
    return plan(load_graph("real_track"), given, {})


def test_with_a_camera_every_node_knows_its_place_and_a_dead_one_is_a_fault(monkeypatch, tmp_path, cache):
    pytest.importorskip("warp")
    planned = seeing(monkeypatch, tmp_path, perception="camera", namespace="robot1")
    places = [planned.parameters[n]["static_transforms"] for n in ("rig_camera", "perception", "object_filter")]
    assert places[0] == places[1] == places[2] and len(places[0]) == 1
    assert places[0][0].startswith("robot1/world robot1/camera_color_optical_frame ")
    assert {"rig_camera", "perception"} <= set(planned.parameters["supervisor"]["required_nodes"])
    assert planned.parameters["perception"]["robot"] and planned.parameters["rig"]["perception"] == "camera"
    targets = [target for process in planned.processes for target in process.targets]
    assert "dexhot.ros.see.hand_object_filter_node:HandObjectFilterNode" in targets and "object_filter" not in targets


def test_a_camera_for_captures_alone_may_die(monkeypatch, tmp_path, cache):
    pytest.importorskip("warp")
    planned = seeing(monkeypatch, tmp_path, camera="true")
    assert "rig_camera" in planned.node_names and "perception" not in planned.node_names
    assert "rig_camera" not in planned.parameters["supervisor"]["required_nodes"]
    assert not next(process for process in planned.processes if process.name == "camera").vital


def test_a_real_robots_camera_is_not_drawn(cache):
    arguments = resolve(load_graph("real_track"), {"rig": "real", "franka_host": "1.2.3.4", "perception": "camera"})
    nodes = [node.name for process in load_graph("real_track").processes(arguments) for node in process.nodes]
    assert "perception" in nodes and "rig_camera" not in nodes


@pytest.mark.parametrize(
    "given, why",
    [
        ({"camera_pose": "1 2 3"}, "camera_pose must be"),
        ({"camera": "sim"}, "no camera named 'sim'; available: .*rig:CLIP"),
        ({"camera": "rig:grab/nothing"}, "nothing"),
        ({"seed": "-1"}, "seed must be 0 or more"),
        ({"width": "40"}, "width"),
        ({"object": "grab/nothing"}, "no object named 'grab/nothing'"),
        ({"camera": "running", "prompt": "object:1,2"}, "name it with object:="),
        ({"prompt": "right:1,2", "object": "lift_box"}, "prompt must be object:U,V"),
        ({"keypoints": "openpose"}, "for keypoints named 'openpose'; available: .*rtmpose"),
        ({"masks": "sam3"}, "for masks named 'sam3'; available: .*sam2.*Did you mean sam2"),
        ({"masks": "edgetam"}, "edgetam is missing: get it from hf.co"),
        ({"camera": "running", "poses": "tests.lab_estimators:poses"}, "a known object: name it with object:="),
    ],
)
def test_watch_refuses_a_wrong_place_and_an_unknown_object_before_anything_starts(given, why, hand_landmarks):
    with pytest.raises(DexhotError, match=why):
        plan(load_graph("watch"), {"camera": "rig"} | given, {})


def staged(monkeypatch):
    """No clip is made physical: the sizes and the clip that one is staged with."""
    asked = []

    def stage(clip, side, seed, size, folder):
        asked.append((clip.name, side, seed, size))
        return folder / "staged.npz", "1 2 3 1 0 0 0"

    monkeypatch.setattr("dexhot.bringup.graphs.watch.staged", stage)
    return asked


def test_a_rendered_person_needs_no_more_than_a_clip(monkeypatch, hand_landmarks):
    asked = staged(monkeypatch)
    planned = plan(load_graph("watch"), {"camera": "rig:parametric/lift-box-0", "side": "left", "seed": "3"}, {})
    size = {"width": 320, "height": 240, "fps": 15}
    assert asked == [("parametric/lift-box-0", "left", 3, size)]
    camera, name = planned.parameters["camera"], planned.parameters["perception"]["object"]
    assert camera["camera"] == f"rig:{planned.folder / 'staged.npz'}" and size.items() <= camera.items()
    assert name.startswith("parametric/box") and planned.parameters["fitting"]["object"] == name
    assert planned.parameters["watch_viewer"]["static_transforms"] == ["world camera_color_optical_frame 1 2 3 1 0 0 0"]
    given = {"camera": "rig", "width": "640", "object": "parametric/box-50x70x100", "camera_pose": "0 0 1 1 0 0 0"}
    planned = plan(load_graph("watch"), given, {})
    assert asked[1][3]["width"] == planned.parameters["camera"]["width"] == 640
    assert planned.parameters["perception"]["object"] == "parametric/box-50x70x100"
    assert planned.parameters["perception"]["static_transforms"][0].endswith(" 0 0 1 1 0 0 0")


def test_a_device_has_the_size_of_its_mode_unless_another_is_asked_for(monkeypatch, hand_landmarks):
    modes = []
    monkeypatch.setattr("dexhot.bringup.graphs.watch.camera_source", lambda text, mode, valid: modes.append(mode))
    planned = plan(load_graph("watch"), {"camera": "realsense", "fps": "60"}, {})
    found = {name: planned.parameters["camera"][name] for name in ("width", "height", "fps")}
    assert found == {"width": 640, "height": 480, "fps": 60} and (modes[0].width, modes[0].fps) == (640, 60)


def test_a_live_graphs_estimators_reach_perception(cache, monkeypatch, tmp_path):
    """Embedded hand models are not needed where keypoints are a lab's."""
    pytest.importorskip("warp")
    lab = {word: f"tests.lab_estimators:{what}" for word, what in (("keypoints", "hands"), ("masks", "masks"))}
    lab["poses"] = "tests.lab_estimators:poses"
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    staged(monkeypatch)
    planned = plan(load_graph("watch"), {"camera": "rig", "object": "parametric/box-50x70x100"} | lab, {})
    assert {word: planned.parameters["perception"][word] for word in lab} == lab
    assert planned.parameters["camera"]["patience"] == 300.0  # until they are loaded
    tracking = seeing(monkeypatch, tmp_path, perception="camera", poses=lab["poses"])
    assert tracking.parameters["perception"]["poses"] == lab["poses"]
    with pytest.raises(GraphError, match="set perception:=camera"):
        seeing(monkeypatch, tmp_path, poses=lab["poses"])
