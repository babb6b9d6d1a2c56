"""dexhot bench transport: raw 640x480 images at 30 Hz between two processes, with and without the shipped profile.

The publisher offers our camera's QoS (reliable) and the reader requests that of sensor data (best effort, depth 5: a
stalled reader loses images). A third run requests a recorder's (reliable). Stamps are of the monotonic clock, which
both processes share, so latency is from before `publish` to the callback with the deserialized message.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

from dexhot.bringup.graph import environment
from dexhot.errors import DexhotError
from dexhot.progress import progress

TOPIC = f"/bench/image_{os.getpid()}"  # unique per run on this machine
WIDTH, HEIGHT, RATE = 640, 480, 30.0
FRAMES = {True: 150, False: 1800}  # quick or not
LINGER = 1.0  # s, wait for late images
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"


def run(quick: bool = False) -> dict[str, Any]:
    """Run the measurements one after the other."""
    frames = FRAMES[quick]
    with progress("sending images", 3 * frames / RATE, by_clock=True):
        ours, default = measure(frames, shipped=True), measure(frames, shipped=False)
        reliable = measure(frames, shipped=True, asked="state")
    metrics = {name: ours[name] for name in ("delivered_fraction", "latency_ms_p50", "latency_ms_p99")}
    metrics |= {f"default_{name}": default[name] for name in metrics}
    metrics |= {f"reliable_{name}": value for name, value in reliable.items()}
    metrics["delivered_ratio"] = ours["delivered_fraction"] / max(default["delivered_fraction"], 1.0 / frames)
    what = {"image": f"{WIDTH}x{HEIGHT} rgb8", "bytes": WIDTH * HEIGHT * 3, "rate_hz": RATE, "frames": frames}
    return {
        "metrics": metrics,
        "what": what | {"quality": "offered reliable; asked best effort, and reliable for reliable_*"},
    }


def measure(frames: int, shipped: bool, asked: str = "sensor") -> dict[str, float]:
    """Fraction delivered and latencies (ms) of `frames` images from one process to another. Raises DexhotError.

    `asked`: the reader's quality of service, a name in ros/core/qos.py.
    """
    current = {k: v for k, v in os.environ.items() if k != PROFILE}
    current |= environment(current) | {"ROS_DOMAIN_ID": str(60 + os.getpid() % 40)}
    if not shipped:
        del current[PROFILE]
    call = [sys.executable, "-m", "dexhot_bench.transport"]
    reader = subprocess.Popen(
        [*call, "read", TOPIC, asked], env=current, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        subprocess.run([*call, "write", TOPIC, str(frames)], env=current, timeout=frames / RATE + 60.0, check=True)
        told, _ = reader.communicate("\n", timeout=30.0)
    except (subprocess.SubprocessError, OSError) as e:
        raise DexhotError(f"transport between two processes failed: {e}") from e
    finally:
        reader.kill()
        reader.wait()
    latencies = np.array(json.loads(told.splitlines()[-1]))
    p50, p99 = np.percentile(latencies, (50, 99)) if len(latencies) else (float("nan"),) * 2
    return {
        "delivered_fraction": len(latencies) / frames,
        "latency_ms_p50": 1e3 * float(p50),
        "latency_ms_p99": 1e3 * float(p99),
    }


def write(topic: str, frames: int) -> None:
    """Publish at a fixed rate, once a reader has connected."""
    import rclpy
    from rclpy.node import Node
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from dexhot.ros.core.messages import to_stamp
    from dexhot.ros.core.qos import publish_profile
    from dexhot.ros.see.camera_messages import image

    rclpy.init()
    node = Node("bench_writer")
    publisher = node.create_publisher(Image, topic, publish_profile("sensor"))
    deadline = time.monotonic() + 30.0
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            raise DexhotError("no reader was discovered within 30 s.")
        time.sleep(0.05)
    time.sleep(0.5)  # for the reader's discovery
    message = image(Header(), np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    begin = time.monotonic()
    for k in range(frames):
        time.sleep(max(begin + k / RATE - time.monotonic(), 0.0))
        message.header.stamp = to_stamp(time.monotonic())
        publisher.publish(message)
    time.sleep(LINGER)
    node.destroy_node()
    rclpy.shutdown()


def read(topic: str, asked: str) -> None:
    """Receive images until a line arrives on standard input; then print their latencies (s) as JSON."""
    import threading

    import rclpy
    from rclpy.node import Node
    from sensor_msgs.msg import Image

    from dexhot.ros.core.messages import seconds
    from dexhot.ros.core.process import make_executor
    from dexhot.ros.core.qos import subscribe_profile

    rclpy.init()
    node = Node("bench_reader")
    latencies: list[float] = []

    def take(message: Image) -> None:
        latencies.append(time.monotonic() - seconds(message.header.stamp))

    node.create_subscription(Image, topic, take, subscribe_profile(asked))
    over = threading.Thread(target=sys.stdin.readline, daemon=True)
    over.start()
    executor = make_executor()
    executor.add_node(node)
    while over.is_alive():
        executor.spin_once(timeout_sec=0.05)
    print(json.dumps(latencies), flush=True)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        read(*sys.argv[2:])
