"""Parameters of a node from its schema config/nodes/<node>.yaml, declared with descriptors and validated when set.

rate:
  type: double            # bool, int, double, string, or <one of them>_array
  default: 60.0
  field: tracking.object_filter.FilterOptions.gate   # optional: the dexhot field with this default (checked by a test)
  description: meaning and unit
  validation:             # optional, any of
    bounds: [1.0, 500.0]  #   number, or every element, within
    one_of: [a, b]        #   value, or every element, among
    not_empty: true       #   string or array
    length: 7             #   array
  live: true              # optional: may change while the node is configured; otherwise it is read at configure
"""

import dataclasses
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import DexhotError, NotFoundError
from dexhot.paths import share_dir

SCALARS = {"bool": bool, "int": int, "double": float, "string": str}
ROS_TYPES = {
    "bool": Parameter.Type.BOOL,
    "int": Parameter.Type.INTEGER,
    "double": Parameter.Type.DOUBLE,
    "string": Parameter.Type.STRING,
    "bool_array": Parameter.Type.BOOL_ARRAY,
    "int_array": Parameter.Type.INTEGER_ARRAY,
    "double_array": Parameter.Type.DOUBLE_ARRAY,
    "string_array": Parameter.Type.STRING_ARRAY,
}
VALIDATIONS = ("bounds", "one_of", "not_empty", "length")


class ParameterError(DexhotError):
    """An invalid schema, or a value that its schema rejects."""


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter of a schema."""

    name: str
    type: str
    default: Any
    description: str
    validation: dict[str, Any] = dataclasses.field(default_factory=dict)
    live: bool = False
    field: str = ""

    def __post_init__(self) -> None:
        if self.type not in ROS_TYPES:
            raise ParameterError(f"parameter {self.name}: type {self.type!r} is not one of {', '.join(ROS_TYPES)}.")
        if unknown := set(self.validation) - set(VALIDATIONS):
            raise ParameterError(f"parameter {self.name}: validation {unknown} is not one of {', '.join(VALIDATIONS)}.")

    def cast(self, value: Any) -> Any:
        """`value` (also a string from a command line) as this parameter's type. Raises ParameterError."""
        kind = SCALARS[self.type.removesuffix("_array")]
        if self.type.endswith("_array"):
            value = yaml.safe_load(value) if isinstance(value, str) else value
            if not isinstance(value, list | tuple):
                raise ParameterError(f"parameter {self.name} must be a list of {kind.__name__}, not {value!r}.")
            return [self._cast_one(kind, v) for v in value]
        return self._cast_one(kind, value)

    def _cast_one(self, kind: Any, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return read_scalar(kind, value)
            except ValueError as e:
                raise ParameterError(f"parameter {self.name} must be {KINDS[kind]}, not {value!r}.") from e
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is str and isinstance(value, int | float):
            value = str(value)
        if type(value) is not kind:
            raise ParameterError(f"parameter {self.name} must be {KINDS[kind]}, not {value!r}.")
        return value

    def check(self, value: Any) -> None:
        """Raise ParameterError, naming the valid values, if `value` violates the validation."""
        values = list(value) if self.type.endswith("_array") else [value]
        rules = self.validation
        if "bounds" in rules:
            low, high = rules["bounds"]
            if not all(low <= v <= high for v in values):
                raise ParameterError(f"parameter {self.name} must be between {low} and {high}, not {value}.")
        if "one_of" in rules and not all(v in rules["one_of"] for v in values):
            raise ParameterError(
                f"parameter {self.name} must be one of {', '.join(map(str, rules['one_of']))}, not {value!r}."
            )
        if rules.get("not_empty") and not len(value):
            raise ParameterError(f"parameter {self.name} must not be empty: {self.description}")
        if "length" in rules and len(values) != rules["length"]:
            raise ParameterError(f"parameter {self.name} needs {rules['length']} elements, not {len(values)}.")

    def descriptor(self) -> ParameterDescriptor:
        """Descriptor for `ros2 param describe`; other validations as additional constraints."""
        rules = {k: v for k, v in self.validation.items() if k != "bounds"}
        described = ParameterDescriptor(name=self.name, type=ROS_TYPES[self.type].value, description=self.description)
        described.additional_constraints = ", ".join(f"{k}: {v}" for k, v in rules.items())
        if "bounds" in self.validation and self.type == "double":
            low, high = map(float, self.validation["bounds"])
            described.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        if "bounds" in self.validation and self.type == "int":
            low, high = self.validation["bounds"]
            described.integer_range = [IntegerRange(from_value=low, to_value=high)]
        return described


Schema = dict[str, ParameterSpec]


KINDS = {float: "a number", int: "an integer", bool: "true or false", str: "text"}


def read_scalar(kind: Any, text: str) -> Any:
    """`text` of a command line as bool, int, float or str. Raises ValueError. (YAML reads 1e-6 as a string.)"""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() == "true"
    return kind(text)


@cache
def load_schema(name: str) -> Schema:
    """The schema config/nodes/<name>.yaml, with the parameters of every node (base.yaml)."""
    folder = share_dir() / "config" / "nodes"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise NotFoundError("node", name, (p.stem for p in folder.glob("*.yaml")))
    entries = load_yaml(folder / "base.yaml") | (load_yaml(path) or {})
    return {key: parse(key, entry) for key, entry in entries.items()}


def parse(name: str, entry: dict[str, Any]) -> ParameterSpec:
    """One entry of a schema. Raises ParameterError for an incomplete or contradictory one."""
    try:
        spec = ParameterSpec(name=name, **entry)
        return ParameterSpec(**{**spec.__dict__, "default": spec.cast(spec.default)})
    except TypeError as e:
        raise ParameterError(f"parameter {name} of a schema: {e}; it needs type, default and description.") from e


def template(node: str, schema: Schema) -> str:
    """A ROS parameters file of `node` with every parameter commented out, with its default and description."""
    lines = [f"{node}:", "  ros__parameters:"]
    for name, spec in schema.items():
        value = yaml.safe_dump(spec.default, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
        rules = "; ".join(f"{rule}: {limit}" for rule, limit in spec.validation.items())
        lines += ["", f"    # {spec.description}" + f" ({rules})" * bool(rules), f"    # {name}: {value}"]
    return "\n".join(lines) + "\n"


def declare(node: Node, schema: Schema) -> None:
    """Declare every parameter of `schema` on `node` with its descriptor. Raises ParameterError for a rejected override.

    An empty array is declared with its type: rclpy would infer a byte array.
    """
    overrides = node._parameter_overrides
    for name, spec in schema.items():
        value = spec.cast(overrides[name].value) if name in overrides else spec.default
        if name in overrides:
            spec.check(value)
            overrides[name] = Parameter(name, ROS_TYPES[spec.type], value)
        descriptor = spec.descriptor()
        if value == []:
            node.declare_parameter(name, ROS_TYPES[spec.type], descriptor)
            node.set_parameters([Parameter(name, ROS_TYPES[spec.type], [])])
        else:
            node.declare_parameter(name, value, descriptor)


def refusal(schema: Schema, changed: list[Parameter], configured: bool) -> str:
    """Why a node must reject the `changed` parameters now; "" if it accepts them."""
    for parameter in changed:
        spec = schema.get(parameter.name)
        if spec is None:
            continue
        try:
            spec.check(spec.cast(parameter.value))
        except ParameterError as e:
            return str(e)
        if configured and not spec.live:
            return f"{spec.name} is read at configure: deactivate and clean up the node, set it, configure it again."
    return ""


def values(node: Node, schema: Schema) -> SimpleNamespace:
    """The present values as attributes. Raises ParameterError for an invalid one."""
    found = SimpleNamespace()
    for name, spec in schema.items():
        value = node.get_parameter(name).value
        value = list(value) if spec.type.endswith("_array") else value
        spec.check(value)
        setattr(found, name, value)
    return found
