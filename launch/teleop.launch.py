"""ros2 launch dexhot teleop.launch.py camera:=realsense: what `dexhot up teleop` starts."""

from dexhot.bringup.launch_description import describe


def generate_launch_description():
    return describe("teleop")
