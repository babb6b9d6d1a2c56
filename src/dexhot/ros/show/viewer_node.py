"""The live scene: joint states and object state -> the browser, and /scene/markers for RViz and Foxglove."""

import threading
import time
from contextlib import suppress
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from viser import ClientHandle
from visualization_msgs.msg import MarkerArray

from dexhot.data.files import load
from dexhot.data.topics import (
    FIRST_LOOK,
    FRANKA_STATES,
    LEAP_STATES,
    MARKERS,
    OBJECT_STATE,
    SAFETY_STATE,
    TARGET,
    TELEOP_CORRECTION,
    TELEOP_STATE,
)
from dexhot.data.types import RATE, Reference
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.show.markers import SceneMarkers
from dexhot.view.live import LiveView, Snapshot
from dexhot.view.player import new_server

LOOK = (16, 16)  # px, the picture that a browser returns once it shows the scene


class ViewerNode(DexhotNode):
    """Keeps the latest messages; a separate loop draws them, so that a slow browser delays no other node."""

    def __init__(self) -> None:
        super().__init__("viewer")

    def setup(self) -> None:
        reference = load(self.p.reference, Reference)
        self.names, self.fingers = reference.joint_names, load_hand(reference.hand).joint_names
        self.server = new_server(self.p.host, self.p.port)
        self.view = LiveView(self.server, reference)
        self.newest = Snapshot(FR3_HOME, reference.q[0, 6:], reference.object_pose[0])
        self.heard: dict[str, float] = {}
        self.subscribe(JointState, FRANKA_STATES, partial(self.on_joints, "arm"), "sensor")
        self.subscribe(JointState, LEAP_STATES, partial(self.on_joints, "hand"), "sensor")
        self.subscribe(JointState, TARGET, partial(self.on_joints, "target"), "sensor")
        self.subscribe(JointState, TELEOP_CORRECTION, self.on_correction, "sensor")
        self.subscribe(DiagnosticArray, TELEOP_STATE, self.on_teleop, "latched")
        self.subscribe(Odometry, OBJECT_STATE, self.on_object, "sensor")
        self.subscribe(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        stage = self.view.stage
        self.robot = SceneMarkers(stage.scene.model, stage.seen, "scene", self.p.frame_prefix)
        self.ghost = SceneMarkers(stage.scene.model, stage.ghostly, "reference", self.p.frame_prefix)
        self.markers = self.advertise(MarkerArray, MARKERS, "sensor")
        self.look = self.advertise(Header, FIRST_LOOK, "latched")
        self.loop(self.p.rate, self.draw, "draw")
        if self.p.markers_rate:
            self.loop(self.p.markers_rate, self.mark, "markers")
        self.values["url"] = f"http://{self.p.host}:{self.server.get_port()}"
        self.get_logger().info(f"the live scene is at {self.values['url']}")

    def start(self) -> None:
        self.safety: messages.Safety | None = None
        self.clutch = "unknown"
        self.asked: set[int] = set()  # browsers that were asked for a picture
        self.shown = threading.Event()  # one of them has returned it
        self.looked = False

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.server.stop()
            del self.server

    def on_joints(self, what: str, message: JointState) -> None:
        if what == "arm":
            self.newest.arm_q = messages.measured(message, FR3_JOINTS)
        elif what == "hand":
            self.newest.hand_q = messages.measured(message, self.fingers)
        else:
            self.newest.target = messages.measured(message, self.names)
        self.heard[what] = time.monotonic()

    def on_object(self, message: Odometry) -> None:
        known = messages.read_object_state(message, self.p.frame_prefix)
        self.newest.object_pose = known.pose
        self.newest.object_sigma = float(np.sqrt(max(known.covariance.diagonal()[:3].max(), 0.0)))
        self.heard["object"] = time.monotonic()
        moving = self.safety is not None and self.safety.moving
        t0 = self.safety.t0 if self.safety is not None else 0.0
        self.newest.frame = round((messages.seconds(message.header.stamp) - t0) * RATE) if moving else None

    def on_teleop(self, message: DiagnosticArray) -> None:
        self.clutch = " ".join(status.message for status in message.status)

    def on_correction(self, message: JointState) -> None:
        """The assistance's size beside the clutch's state."""
        correction = messages.measured(message, self.names)
        shift, finger = np.linalg.norm(correction[:3]), np.abs(correction[6:]).max()
        self.newest.note = f"clutch: {self.clutch}  \nassistance: {1e3 * shift:.1f} mm, {finger:.2f} rad"

    def on_safety(self, message: DiagnosticArray) -> None:
        self.safety = messages.read_safety_state(message)
        self.newest.safety, self.newest.reason = str(self.safety.state), self.safety.reason

    def draw(self) -> None:
        """Send the scene to the browsers; nothing without one, to leave the CPU to the controller."""
        clients = self.server.get_clients()
        if not clients:
            return
        if not self.looked:
            self.await_look(clients)
        now = time.monotonic()
        self.newest.ages = {what: now - heard for what, heard in self.heard.items()}
        self.view.show(self.newest)

    def await_look(self, clients: dict[int, ClientHandle]) -> None:
        """Publish the first look once a browser shows the scene: it connects long before it has drawn the meshes."""
        for number in clients.keys() - self.asked:
            self.asked.add(number)
            threading.Thread(target=look_through, args=(clients[number], self.shown), daemon=True).start()
        if self.shown.is_set():
            self.looked = True
            self.look.publish(Header(stamp=self.stamp()))

    def mark(self) -> None:
        """Publish the markers for RViz, Foxglove and the recorder."""
        self.view.pose(self.newest)
        for markers in (self.robot, self.ghost):
            self.markers.publish(markers.message(self.view.stage.data, self.stamp()))


def look_through(browser: ClientHandle, shown: threading.Event) -> None:
    """Set `shown` when the browser has drawn the scene; never if it leaves before."""
    with suppress(RuntimeError, ConnectionError):  # it has left
        browser.get_render(*LOOK)
        shown.set()
