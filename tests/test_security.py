"""What may reach a graph by default: this machine alone. (The sockets of a running graph: test_wire_rig.py.)"""

import xml.etree.ElementTree as ET

import psutil
import pytest

from dexhot.bringup.graph import environment
from dexhot.cli.view_command import Args
from dexhot.paths import share_dir
from dexhot.ros.core.parameters import load_schema

DDS = "{http://www.eprosima.com}"


def test_discovery_is_this_machines_and_dds_receives_on_loopback():
    made = environment({})
    assert made["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    profile = ET.parse(made["FASTRTPS_DEFAULT_PROFILES_FILE"])
    udp = [t for t in profile.iter(f"{DDS}transport_descriptor") if t.findtext(f"{DDS}type") == "UDPv4"]
    assert [[a.text for a in t.iter(f"{DDS}address")] for t in udp] == [["127.0.0.1"]]


def test_the_profile_for_several_machines_differs_in_nothing_else():
    here, network = (ET.parse(share_dir() / "config" / f"fastdds{kind}.xml").getroot() for kind in ("", "_network"))
    for transport in here.iter(f"{DDS}transport_descriptor"):
        for listed in transport.findall(f"{DDS}interfaceWhiteList"):
            transport.remove(listed)

    def words(root) -> list[tuple[str, str]]:
        return [(e.tag, (e.text or "").strip()) for e in root.iter()]

    assert words(here) == words(network)


def test_web_views_are_served_to_this_machine():
    assert load_schema("viewer")["host"].default == Args.host == "127.0.0.1"


def test_a_view_listens_on_loopback_alone():
    from dexhot.view.player import new_server

    server = new_server("127.0.0.1", 18190)
    try:
        found = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert [a.ip for a in found if a.port == server.get_port()] == ["127.0.0.1"]
    finally:
        server.stop()


@pytest.fixture
def policy():
    return ET.parse(share_dir() / "config" / "security" / "viewer.policy.xml").getroot()


def test_who_may_only_look_publishes_no_command_and_calls_nothing(policy):
    allowed = {topic.text for rule in policy.iter("topics") if rule.get("publish") for topic in rule}
    assert allowed == {"rosout", "parameter_events"}
    assert not list(policy.iter("services")) and not list(policy.iter("actions"))
