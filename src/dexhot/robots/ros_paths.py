"""Resolves mesh paths of a robot model as ROS does: package://name/rest, file://, or relative to the model."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree


def locate(uri: str, folder: Path) -> tuple[Path | None, list[Path]]:
    """The file of `uri` in a model in `folder`, or None, and the paths searched.

    A package is searched in AMENT_PREFIX_PATH and ROS_PACKAGE_PATH, then by package.xml and folder name above the
    model; finally its `rest` is searched beside the model and above.
    """
    places = list(dict.fromkeys(_places(uri, folder.resolve())))
    return next((place for place in places if place.is_file()), None), places


def _places(uri: str, folder: Path) -> Iterator[Path]:
    scheme, _, rest = uri.partition("://")
    if not rest:
        yield (folder / uri).resolve()
    elif scheme == "file":
        yield Path(unquote(urlparse(uri).path))
    else:  # package://, and Gazebo's model://
        package, _, inside = rest.partition("/")
        yield from (place / inside for place in _package_folders(package, folder))
        yield from (above / inside for above in (folder, *folder.parents))


def _package_folders(package: str, folder: Path) -> Iterator[Path]:
    for prefix in _listed("AMENT_PREFIX_PATH"):
        yield prefix / "share" / package
    for root in _listed("ROS_PACKAGE_PATH"):
        if _package_name(root) == package:
            yield root
        yield root / package
    for above in (folder, *folder.parents):
        if above.name == package or _package_name(above) == package:
            yield above
        if (above / package).is_dir():
            yield above / package


def _listed(variable: str) -> list[Path]:
    return [Path(entry) for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def _package_name(folder: Path) -> str | None:
    """Package name in the package.xml of a folder; None without one."""
    try:
        return (ElementTree.parse(folder / "package.xml").getroot().findtext("name") or "").strip()
    except (OSError, ElementTree.ParseError):
        return None
