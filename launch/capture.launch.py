"""ros2 launch dexhot capture.launch.py camera:=realsense: what `dexhot capture` starts."""

from dexhot.bringup.launch_description import describe


def generate_launch_description():
    return describe("capture")
