"""ros2 launch dexhot replay.launch.py bag:=RUN: what `dexhot replay RUN` starts."""

from dexhot.bringup.launch_description import describe


def generate_launch_description():
    return describe("replay")
