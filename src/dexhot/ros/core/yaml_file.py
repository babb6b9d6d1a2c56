"""Loads YAML with libyaml, which is ten times faster: every node reads three files."""

from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C loader if PyYAML was built with libyaml


def load_yaml(path: str | Path) -> Any:
    """The content of a file. Raises OSError, yaml.YAMLError."""
    return yaml.load(Path(path).read_text(), LOADER)
