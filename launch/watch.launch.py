"""ros2 launch dexhot watch.launch.py camera:=realsense: what `dexhot up watch` starts."""

from dexhot.bringup.launch_description import describe


def generate_launch_description():
    return describe("watch")
