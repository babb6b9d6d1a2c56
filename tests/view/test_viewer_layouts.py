"""The layouts for Foxglove and RViz name only what the graph has."""

import json
import re

import pytest
import yaml

from dexhot.paths import share_dir

PACKAGES = [share_dir() / "src" / "dexhot" / name for name in ("ros", "data")]  # names are in data/topics.py
SOURCES = "\n".join(path.read_text() for package in PACKAGES for path in package.rglob("*.py"))
VIEWERS = share_dir() / "config" / "viewers"


def topics_of_foxglove() -> set[str]:
    layout = json.loads((VIEWERS / "foxglove.json").read_text())["configById"]
    paths = re.findall(r'"(?:value|topicPath|topicToRender)": "(/[a-z_/]+)', json.dumps(layout))
    layers = layout["3D!scene"]["layers"].values()
    return {*paths, *layout["3D!scene"]["topics"], *(layer["topic"] for layer in layers if "topic" in layer)}


def topics_of_rviz() -> set[str]:
    displays = yaml.safe_load((VIEWERS / "dexhot.rviz").read_text())["Visualization Manager"]["Displays"]
    return {d[key]["Value"] for d in displays for key in ("Topic", "Description Topic") if key in d}


@pytest.mark.parametrize("topics", [topics_of_foxglove, topics_of_rviz])
def test_every_topic_is_one_of_the_graph(topics):
    found = topics()
    assert len(found) >= 3
    for topic in found:
        parts = topic.rsplit("/", 1)  # drivers write f"{self.topic}/joint_states"
        assert topic in SOURCES or (parts[0] in SOURCES and f"/{parts[1]}" in SOURCES), topic


def test_the_layout_shows_every_panel_it_configures():
    layout = json.loads((VIEWERS / "foxglove.json").read_text())
    shown = set(re.findall(r'"([A-Za-z0-9]+![a-z]+)"', json.dumps(layout["layout"])))
    assert shown == set(layout["configById"])
