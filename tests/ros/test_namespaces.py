"""No node leaves its namespace: names are made relative where the middleware gets them."""

import re
from pathlib import Path

from dexhot.data.topics import SHARED, relative

ROS = Path(__file__).parents[2] / "src" / "dexhot" / "ros"
MADE = re.compile(r"\.create_(?:publisher|subscription|service|client)\([^,()]*(?:\([^()]*\))?, ([^,]+),")
NAMED_ELSEWHERE = {
    "topic": {"supervise/supervisor_node.py", "record/recorder_node.py", "core/sim_time.py"}  # as found in the graph
}


def test_every_topic_and_service_of_a_node_is_in_its_namespace():
    found = {(str(p.relative_to(ROS)), name) for p in ROS.rglob("*.py") for name in MADE.findall(p.read_text())}
    assert len(found) >= 8
    absolute = {(where, name) for where, name in found if not re.match(r"relative\(|self\.full\(", name)}
    assert not {(where, name) for where, name in absolute if where not in NAMED_ELSEWHERE.get(name, set())}


def test_what_robots_share_is_the_emergency_stop_and_ros_own():
    assert {topic for topic in SHARED if relative(topic).startswith("/")} == set(SHARED)
    assert {topic for topic in SHARED if "safety" in topic} == {"/safety/estop_input"}
    assert len(SHARED) == 6  # a new one would join two robots
