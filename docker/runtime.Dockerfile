# The rig's image: rclpy and the messages come from the distribution, everything else from this checkout.
#   docker build -f docker/runtime.Dockerfile -t dexhot .
#   docker run --rm -it --net=host --ipc=host dexhot ros2 launch dexhot real_track.launch.py
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /ws/src/dexhot
COPY . .
RUN apt-get update \
    && xargs -a docker/system-packages.txt apt-get install -y --no-install-recommends python3-pip python3-colcon-common-extensions \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --break-system-packages -c config/constraints-jazzy.txt '.[video,hardware]' \
    && pip uninstall -y --break-system-packages dexhot
WORKDIR /ws
RUN . /opt/ros/jazzy/setup.bash && colcon build --packages-select dexhot
ENTRYPOINT ["/ros_entrypoint.sh"]
CMD ["bash", "-c", "source /ws/install/setup.bash && ros2 launch dexhot real_track.launch.py"]
