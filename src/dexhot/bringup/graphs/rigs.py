"""The rigs that a graph can run on: their processes, and the addresses of arm and hand.

sim       the embedded rig: world and twins of the drivers in one process
sim-wire  the real drivers, with protocol-level simulation of both devices at addresses of this ROS domain
real      the lab's arm and hand: the same drivers without simulation; the object's pose comes from outside
"""

import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from dexhot.bringup.graph import Argument, GraphError, NodeSpec, Process
from dexhot.robots.joint_table import joint_table

RIGS = ("sim", "sim-wire", "real")
RIG_ARGUMENTS = (
    Argument(
        "rig",
        "sim",
        "sim: the embedded rig; sim-wire: the real drivers with protocol-level simulation; real: the hardware.",
        choices=RIGS,
    ),
    Argument(
        "leap_port",
        "",
        "Serial port of the hand; default: the only USB serial adapter (real), a simulated port (sim-wire).",
    ),
    Argument("franka_host", "", "Network address of the arm; required (real); default: a loopback address (sim-wire)."),
    Argument.of("rig", "scale"),
)
RECORD_ARGUMENTS = (
    Argument(
        "record", "true", "true: record to a new folder in runs/; false: no recording; else the folder to record to."
    ),
    Argument("min_free", 1.0, "Minimum free disk space for recording, GB; the graph does not start below it."),
)
ON_THE_WIRE = {  # longer timeouts than for real devices: a simulated one may lag on a busy machine
    "leap_driver": {"slack": 0.06},
    "franka_driver": {"realtime": False, "frozen_timeout": 1.0},
}
LEAP = ("leap_right", "leap_left")
STARTING = 60.0  # s, the drivers' connection timeout to a simulated rig
STATE_RATE = 200.0  # Hz, joint states of real devices: a new one for each 60 Hz frame


def rig_processes(arguments: dict[str, Any]) -> tuple[Process, ...]:
    """The processes of `arguments["rig"]`."""
    rig = arguments["rig"]
    if rig == "sim":
        return (Process("rig", (NodeSpec("rig"), NodeSpec("leap_driver"), NodeSpec("franka_driver"))),)
    leap, franka = wires(arguments)
    real = {"rig": "real", "rate": STATE_RATE}
    hand, arm = real | {"port": leap}, real | {"address": franka}
    if rig == "real":
        node = NodeSpec("rig", target="dexhot.ros.rig.real_rig_node:RealRigNode", schema="real_rig")
    else:
        hand |= ON_THE_WIRE["leap_driver"] | {"connect_for": STARTING}
        arm |= ON_THE_WIRE["franka_driver"] | {"connect_for": STARTING}
        served = {"leap_port": leap, "franka_host": franka, "patience": 0.2, "loop": False}
        node = NodeSpec("rig", served, target="dexhot.ros.rig.wire_rig_node:WireRigNode", schema="rig")
    return (
        Process("rig", (node,)),
        Process("leap", (NodeSpec("leap_driver", hand),)),
        Process("franka", (NodeSpec("franka_driver", arm),)),
    )


def wires(arguments: dict[str, Any]) -> tuple[str, str]:
    """Path of the servo bus and address of the arm; for a simulated rig derived from its ROS domain and namespace."""
    leap, franka = arguments["leap_port"], arguments["franka_host"]
    if arguments["rig"] == "sim-wire":
        domain = int(os.environ.get("ROS_DOMAIN_ID") or 0)
        robot = arguments.get("namespace", "")
        place = f"{domain}-{robot.replace('/', '-')}" if robot else str(domain)
        leap = leap or str(Path(tempfile.gettempdir()) / f"dexhot-leap-{os.getuid()}-{place}")
        franka = franka or f"127.{1 + zlib.crc32(robot.encode()) % 250 if robot else 1}.{domain}.1"
    return leap, franka


def check_rig(arguments: dict[str, Any]) -> None:
    """Raise GraphError for arguments that this rig does not support."""
    rig = arguments["rig"]
    if rig == "real" and not arguments["franka_host"]:
        raise GraphError("rig:=real needs the arm's network address: franka_host:=ADDRESS, as in http://ADDRESS/desk.")
    if rig != "sim" and arguments["loop"]:
        raise GraphError(
            f"loop:=true needs rig:=sim: on rig:={rig} nothing returns robot and object to the clip's start."
        )
    if rig == "real" and arguments["camera"]:
        raise GraphError("camera:=true renders a simulated rig; with rig:=real start the cameras with `capture`.")


def check_hand(rig: str, hand: str) -> None:
    """Raise GraphError for a hand (also a hand.yaml's) that has no driver here.

    A hand.yaml describes a LEAP hand if it has its joints, with the driver's motors.
    """
    if rig != "sim" and motors(hand) not in [motors(leap) for leap in LEAP]:
        raise GraphError(
            f"rig:={rig} drives a LEAP hand ({', '.join(LEAP)}, or a hand.yaml with their joints and motors), the "
            f"reference is for {hand}: use rig:=sim."
        )


def motors(hand: str) -> list[tuple[str, int, int, float]]:
    """Name, motor and its convention for each joint, in the driver's order. Raises NotFoundError, FileFormatError."""
    return [(j.name, j.motor_id, j.sign, j.zero) for j in joint_table(hand)]
