# The rig's image: rclpy and the messages come from the distribution, everything else from this checkout.
#   docker build -f docker/runtime.Dockerfile -t dexhot .
#   docker run --rm -it --net=host --ipc=host dexhot ros2 launch dexhot real_track.launch.py
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /ws/src/dexhot
COPY . .
RUN apt-get update \
    && xargs -a docker/distribution-packages.txt apt-get install -y --no-install-recommends \
    && docker/install-with-distribution /ws \
    && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["bash", "-c", "source /ws/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "dexhot", "real_track.launch.py"]
