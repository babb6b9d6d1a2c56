"""YAML files by libyaml, which is ten times as fast: every node reads schemas, parameters, robots and physics."""

from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C loader if PyYAML was built with libyaml


def load_yaml(path: str | Path) -> Any:
    """The content of a file. Raises OSError, yaml.YAMLError."""
    return yaml.load(Path(path).read_text(), LOADER)
