"""The one description of a bring-up, from which both `ros2 launch` and `dexhot up` start the same processes.

A graph has arguments and processes of nodes. An argument (or a value that the graph derives from them) reaches every
node whose schema has a parameter of its name. `plan` checks everything and writes the parameters file before anything
starts.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dexhot.data.files import write_text
from dexhot.data.topics import CLOCK
from dexhot.errors import DexhotError, NotFoundError, meant
from dexhot.paths import share_dir
from dexhot.ros.core.parameter_file import Entry, known, read_entries
from dexhot.ros.core.parameters import KINDS, ParameterError, Schema, load_schema, read_scalar
from dexhot.scratch import remove_scratch


class GraphError(DexhotError):
    """An argument that a graph does not have or cannot take."""


@dataclass(frozen=True)
class Argument:
    """An argument of a graph; its type is that of its default (bool, int, float, str)."""

    name: str
    default: bool | int | float | str
    description: str
    choices: tuple[str, ...] = ()
    read: Callable[[str], Any] | None = None  # parses the text where the type alone does not suffice

    @classmethod
    def of(cls, node: str, name: str, description: str = "") -> "Argument":
        """The argument that sets parameter `name` of `node`: with its default, choices and, unless given,
        description."""
        spec = load_schema(node)[name]
        return cls(name, spec.default, description or spec.description, tuple(spec.validation.get("one_of", ())))

    def parse(self, text: str) -> Any:
        """Parse the text of `name:=text`. Raises GraphError."""
        if self.choices and text not in self.choices:
            typo = meant(text, self.choices)
            raise GraphError(f"argument {self.name} must be one of {', '.join(self.choices)}, not {text!r}.{typo}")
        if self.read is not None:
            return self.read(text)
        kind = type(self.default)
        try:
            return read_scalar(kind, text)
        except ValueError as e:
            raise GraphError(f"argument {self.name} must be {KINDS[kind]}, not {text!r}.") from e

    @property
    def default_text(self) -> str:
        """The default as written on a command line."""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


def read_namespace(text: str) -> str:
    """A namespace without outer slashes, such as "lab/robot1"; "" for none. Raises GraphError."""
    names = text.strip("/").split("/")
    if text.strip("/") and not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in names):
        raise GraphError(f"namespace must consist of names of letters, digits and _, separated by /, not {text!r}.")
    return "/".join(names)


COMMON = (
    Argument("namespace", "", "Namespace of every node and topic, such as robot1; one per robot.", read=read_namespace),
    Argument(
        "frame_prefix",
        "auto",
        "Prefix of the robot's tf frames; auto: robot1/ in the namespace robot1, else none.",
        read=lambda text: text.lstrip("/"),
    ),
    Argument(
        "use_sim_time",
        "auto",
        "true: every node follows /clock; auto: if the graph itself publishes /clock.",
        choices=("auto", "true", "false"),
    ),
    Argument("parameters", "", "Parameters file (YAML, also of `ros2 param dump`); overrides the arguments."),
)
BRING_UP = ("token", "bag")  # new in each bring-up; those in a parameters file are an earlier one's


@dataclass(frozen=True)
class NodeSpec:
    """A node of the table in ros/core/process.py, with parameters in addition to those that arguments set.

    A node outside the table gives its class ("module:Class") and its schema.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    schema: str = ""


@dataclass(frozen=True)
class Process:
    """Nodes that share one process and one executor.

    When a vital process ends, the graph shuts down. On a real robot no process is vital: when one dies, the drivers
    must keep holding, as the supervisor commands, until a person stops the graph.
    """

    name: str
    nodes: tuple[NodeSpec, ...]
    vital: bool = True

    def ends_graph(self, exit_code: int) -> bool:
        """Whether the graph shuts down when this process ends with `exit_code`; 0: a node has finished its work."""
        return self.vital or exit_code == 0

    @property
    def targets(self) -> list[str]:
        """The arguments of `dexhot_node`."""
        return [node.target or node.name for node in self.nodes]


@dataclass(frozen=True)
class Prepared:
    """Result of a graph's `prepare`: the folder for the files of this bring-up, and parameter values for the nodes.

    Unless `recorded`, the folder is a scratch folder, which the launcher removes at the end.
    """

    folder: Path
    values: dict[str, Any]
    recorded: bool = False
    warnings: tuple[str, ...] = ()  # what a person should know before the start


@dataclass(frozen=True)
class Graph:
    """`processes(arguments)`: the processes to run; `prepare(arguments)`: checks files and makes the folder of this
    bring-up."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    processes: Callable[[dict[str, Any]], tuple[Process, ...]]
    prepare: Callable[[dict[str, Any]], Prepared]
    has_clock: Callable[[dict[str, Any]], bool] = lambda arguments: False  # whether a node of it publishes /clock


@dataclass(frozen=True)
class Plan:
    """A bring-up, ready to start."""

    graph: Graph
    arguments: dict[str, Any]
    processes: tuple[Process, ...]
    parameters: dict[str, dict[str, Any]]  # node -> its parameters
    parameters_file: Path
    folder: Path
    recorded: bool
    environment: dict[str, str]
    warnings: tuple[str, ...] = ()
    namespace: str = ""  # "/robot1"
    remappings: tuple[tuple[str, str], ...] = ()

    @property
    def node_names(self) -> list[str]:
        """Every node, in the order of the processes."""
        return [node.name for process in self.processes for node in process.nodes]


def parse_assignments(assignments: list[str] | tuple[str, ...]) -> dict[str, str]:
    """{"rig": "sim"} of ["rig:=sim"]. Raises GraphError."""
    given = {}
    for text in assignments:
        name, sign, value = text.partition(":=")
        if not sign or not name:
            raise GraphError(f"{text!r} is not an argument; write name:=value.")
        given[name] = value
    return given


def resolve(graph: Graph, given: Mapping[str, str]) -> dict[str, Any]:
    """Every argument with its value. Raises GraphError for an unknown argument or an invalid value."""
    check_known(graph, given)
    return {a.name: a.parse(given[a.name]) if a.name in given else a.default for a in graph.arguments}


def check_known(graph: Graph, names: Iterable[str]) -> None:
    """Raise NotFoundError for the name of an argument that the graph does not have."""
    known = [argument.name for argument in graph.arguments]
    for name in names:
        if name not in known:
            raise NotFoundError(f"argument of {graph.name}", name, known, "--show-args describes them.")


def schemas(process_list: tuple[Process, ...]) -> dict[str, Schema]:
    """node -> its schema."""
    return {node.name: load_schema(node.schema or node.name) for process in process_list for node in process.nodes}


def read_parameters(path: str, nodes: Mapping[str, Schema], namespace: str) -> dict[str, dict[str, Any]]:
    """node -> its parameters in the file `path`; none for "".

    A name without a slash matches a node in any namespace. Raises DexhotError for an entry that is for no node,
    or for a parameter that none of its nodes has.
    """
    found: dict[str, dict[str, Any]] = {node: {} for node in nodes}
    for entry in read_entries(path) if path else []:
        here = Entry(entry.key if "/" in entry.key or entry.of_all else f"{namespace}/{entry.key}", entry.values)
        matched = [node for node in nodes if here.matches(f"{namespace}/{node}")]
        if not matched:
            names = ", ".join(f"{namespace}/{node}" for node in nodes)
            raise GraphError(
                f"{path} has parameters for {entry.key}, which matches no node of this graph: {names}. Write a node's "
                "name alone, which matches it in any namespace, or /** for all nodes."
            )
        for name, value in entry.values.items():
            takers = [node for node in matched if known(name, nodes[node])]
            if not takers:
                valid = {parameter for node in matched for parameter in nodes[node]}
                raise NotFoundError(f"parameter of {entry.key}", name, valid)
            for node in takers if name not in BRING_UP else ():
                found[node][name] = value
    return found


def recorded_parameters(path: Path, node: str) -> dict[str, Any]:
    """A node's parameters in the file of a previous bring-up. Raises DexhotError."""
    return next((entry.values for entry in read_entries(path) if entry.node == node), {})


def node_parameters(
    process_list: tuple[Process, ...],
    values: Mapping[str, Any],
    given: Mapping[str, Mapping[str, Any]],
    use_sim_time: bool = False,
) -> dict[str, dict[str, Any]]:
    """Each node's parameters: the `values` that its schema has, its own, and those `given` for it.

    Raises ParameterError, or NotFoundError for a parameter that does not exist.
    """
    found: dict[str, dict[str, Any]] = {}
    for process in process_list:
        for node in process.nodes:
            schema = load_schema(node.schema or node.name)
            own = dict(node.parameters) | dict(given.get(node.name, {}))
            if missing := [k for k in own if not known(k, schema)]:
                raise NotFoundError(f"parameter of node {node.name}", missing[0], schema)
            chosen = {"use_sim_time": True} if use_sim_time else {}
            chosen |= {k: v for k, v in values.items() if k in schema} | own
            found[node.name] = {k: schema[k].cast(v) if k in schema else v for k, v in chosen.items()}
            for name, value in found[node.name].items():
                if name in schema:
                    schema[name].check(value)
                    if value == [] and schema[name].default:
                        raise ParameterError(f"parameter {name} of {node.name} cannot be empty in a parameters file.")
    return found


def frame_prefix(arguments: Mapping[str, Any]) -> str:
    """Prefix of the robot's frames: as given, or by its namespace."""
    name, given = arguments.get("namespace", ""), str(arguments["frame_prefix"])
    return (f"{name}/" if name else "") if given == "auto" else given


def follows_clock(graph: Graph, arguments: Mapping[str, Any]) -> bool:
    """Whether the nodes have ROS time from /clock. Raises GraphError."""
    asked, own = arguments.get("use_sim_time", "auto"), graph.has_clock(dict(arguments))
    if own and asked == "false":
        raise GraphError(
            "use_sim_time:=false is impossible: this graph is simulated or played back, with stamps of its /clock."
        )
    return own or asked == "true"


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """Variables that a bring-up adds to the environment `current`; those set by the user are kept."""
    wanted = {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(share_dir() / "config" / "fastdds.xml"),
        "DEXHOT_DIE_WITH_PARENT": "1",
        "OMP_NUM_THREADS": "1",  # BLAS threads would compete with the other processes for the cores
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {name: value for name, value in wanted.items() if name not in current}


def plan(graph: Graph, given: Mapping[str, str], current_environment: Mapping[str, str]) -> Plan:
    """Check arguments and files, make the folder, write the parameters file. Raises DexhotError."""
    arguments = resolve(graph, given)
    processes = graph.processes(arguments)
    namespace = f"/{name}" if (name := arguments.get("namespace", "")) else ""
    sim_time = follows_clock(graph, arguments)
    given_parameters = read_parameters(arguments.get("parameters", ""), schemas(processes), namespace)
    said = {a.name: arguments[a.name] for a in graph.arguments if arguments[a.name] != a.default}
    node_parameters(processes, said, given_parameters)  # errors are raised before a folder is made
    prepared = graph.prepare(arguments)
    if "frame_prefix" in arguments:
        arguments["frame_prefix"] = frame_prefix(arguments)
    values = {"token": f"run-{secrets.token_hex(6)}"} | arguments | prepared.values
    try:
        parameters = node_parameters(processes, values, given_parameters, sim_time)
        text = places(parameters, prepared.folder) + parameters_text(parameters)
        path = write_text(prepared.folder / "parameters.yaml", text)
    except BaseException:
        remove_scratch(prepared.folder)
        raise
    return Plan(
        graph,
        arguments,
        processes,
        parameters,
        path,
        prepared.folder,
        prepared.recorded,
        environment(current_environment),
        prepared.warnings,
        namespace,
        ((CLOCK, "clock"),) if namespace and graph.has_clock(arguments) else (),  # each robot has its own
    )


def places(parameters: Mapping[str, Mapping[str, Any]], folder: Path) -> str:
    """Header comment of a parameters file: how to find its absolute paths once `folder` has been moved."""
    paths = {
        (f"{node}.{name}", Path(value))
        for node, given in parameters.items()
        for name, value in given.items()
        if isinstance(value, str) and Path(value).is_absolute()
    }
    outside = sorted(f"#   {name}: {path}" for name, path in paths if not path.is_relative_to(folder))
    lines = [f"# Paths below {folder} are in the folder of this file, wherever it is now."]
    lines += ["# Outside of it:", *outside] if outside else ["# No path leads outside of it."]
    return "\n".join(lines) + "\n"


def parameters_text(parameters: Mapping[str, Mapping[str, Any]]) -> str:
    """A ROS parameters file, for the nodes in any namespace. An empty list, which has no type there, is left out."""
    kept = {name: {k: v for k, v in p.items() if v != []} for name, p in parameters.items()}
    entries = {f"/**/{name}": {"ros__parameters": dict(p)} for name, p in kept.items() if p}
    return yaml.safe_dump(entries, sort_keys=False)
