"""What pyproject.toml cannot say: the files a ROS package installs under share/dexhot."""

from pathlib import Path

from setuptools import setup

SOURCE = Path(__file__).resolve().parent
for name in ("pyproject.toml", "README.md"):  # `colcon build --symlink-install` runs this among links that lack them
    if not Path(name).exists():
        Path(name).symlink_to(SOURCE / name)


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below `folder`, grouped by the share/ directory it installs to."""
    groups: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            groups.setdefault(f"share/dexhot/{path.parent.as_posix()}", []).append(path.as_posix())
    return list(groups.items())


distribution = setup(
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/dexhot"]),
        ("share/dexhot", ["package.xml"]),
        *(group for folder in ("launch", "config", "urdf", "policies") for group in tree(folder)),
    ],
)
# colcon reads the configured distribution back as Python literals, and a SpecifierSet is none
distribution.python_requires = distribution.metadata.python_requires = str(distribution.python_requires)
