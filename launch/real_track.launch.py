"""ros2 launch dexhot real_track.launch.py reference:=FILE: what `dexhot up real_track` starts."""

from dexhot.bringup.launch_description import describe


def generate_launch_description():
    return describe("real_track")
