"""`dexhot bench leap`: read and write rates of the hand's bus, compared with the loop of the vendor's examples.

Both run in this process, in turn, with one simulated bus in another, which replies with real transmission times.
The vendor's loop: position, velocity and current by a sync read each and goals by a sync write, with the SDK's own port
and timeouts. `adapter` repeats both behind an FTDI adapter's latency timer: at its default of 16 ms, and at 1 ms as set
by our driver.
"""

import time
from typing import Any

import numpy as np

from dexhot.hardware.dynamixel.protocol import BROADCAST, Instruction, fast_status, packet
from dexhot.hardware.dynamixel.registers import BAUD, register
from dexhot.hardware.dynamixel.simulator import BusProcess
from dexhot.hardware.leap.hand import STATE, LeapHand
from dexhot.hardware.leap.setup import HandSettings
from dexhot.hardware.real_time import real_time
from dexhot.progress import progress

SERVOS = 16
ROUNDS = 3
BITS = 10  # transmitted per byte
FTDI = 16.0  # ms, default latency timer of an FTDI adapter
SWING, PERIOD = 0.2, 2.0  # rad, s: motion of the hand during the benchmark


def run(quick: bool) -> dict[str, Any]:
    """The metrics and their conditions, at real-time priority if permitted. Raises MissingExtraError."""
    seconds = 2.0 if quick else 10.0
    with real_time() as allowed, progress("driving the hand's bus", (1.5 * ROUNDS + 1) * seconds, by_clock=True):
        return _measure(seconds) | {"scheduler": "SCHED_FIFO" if allowed else "SCHED_OTHER"}


def _measure(seconds: float) -> dict[str, Any]:
    ours, vendor = [], []
    with BusProcess() as bus:
        for _ in range(ROUNDS):
            cycles, counts = _ours(bus.path, seconds)
            ours.append(cycles)
            vendor.append(_vendor(bus.path, seconds / 2))
    ms, vendor_ms = np.concatenate(ours) * 1e3, np.concatenate(vendor) * 1e3
    with BusProcess(latency_ms=1.0) as bus:
        adapter_ours = 1 / _ours(bus.path, seconds / 2)[0].mean()
    with BusProcess(latency_ms=FTDI) as bus:
        adapter_vendor = 1 / _vendor(bus.path, seconds / 2).mean()
    metrics = {
        "cycle_hz": 1e3 / ms.mean(),
        "cycle_ms_p99": float(np.percentile(ms, 99)),
        "speed_ratio": vendor_ms.mean() / ms.mean(),
        "wire_limit_hz": wire_limit(),
    }
    return {
        "metrics": metrics,
        "vendor": {"cycle_hz": 1e3 / vendor_ms.mean(), "cycle_ms_p99": float(np.percentile(vendor_ms, 99))},
        "adapter": {"cycle_hz_at_1_ms": adapter_ours, "vendor_cycle_hz_at_16_ms": adapter_vendor},
        "cycles": len(ms),
        "counts": counts,
    }


def wire_limit() -> float:
    """Hz at which one fast sync read of the state and one sync write of goals saturate the bus."""
    goal = register("goal_position")
    ids = bytes(range(SERVOS))
    write = packet(BROADCAST, bytes([Instruction.SYNC_WRITE]) + bytes(4 + SERVOS * (1 + goal.size)))
    ask = packet(BROADCAST, bytes([Instruction.FAST_SYNC_READ]) + bytes(4) + ids)
    answer = fast_status([(i, 0, bytes(STATE.length)) for i in ids], SERVOS)
    return BAUD / BITS / (len(write) + len(ask) + len(answer))


def _swing() -> np.ndarray:
    """Present goals (16,) rad."""
    return np.full(SERVOS, SWING * np.sin(2 * np.pi * time.monotonic() / PERIOD))


def _ours(path: str, seconds: float) -> tuple[np.ndarray, dict[str, int]]:
    """Durations (k,) s of the driver's write and read, and its counts."""
    cycles = []
    with LeapHand(port=path, offsets=np.zeros(SERVOS), settings=HandSettings(patience=2.0)) as hand:
        hand.hold()
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            hand.write(_swing(), np.zeros(SERVOS), np.zeros(SERVOS))
            hand.read()
            cycles.append(time.monotonic() - begin)
    return np.array(cycles), hand.counts


def _vendor(path: str, seconds: float) -> np.ndarray:
    """Durations (k,) s of the vendor-style loop."""
    from dexhot.hardware.dynamixel.sdk import sdk

    port, handler = sdk.PortHandler(path), sdk.PacketHandler(2.0)
    port.setBaudRate(BAUD)
    readers = [sdk.GroupSyncRead(port, handler, row.address, row.size) for row in STATE.rows]
    goal = register("goal_position")
    writer = sdk.GroupSyncWrite(port, handler, goal.address, goal.size)
    for reader in readers:
        for ident in range(SERVOS):
            reader.addParam(ident)
    cycles = []
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        for row, reader in zip(STATE.rows, readers):
            reader.txRxPacket()
            [reader.getData(ident, row.address, row.size) for ident in range(SERVOS)]
        for ident, angle in enumerate(_swing() + np.pi):
            writer.addParam(ident, goal.pack(round(angle / goal.scale)))
        writer.txPacket()
        writer.clearParam()
        cycles.append(time.monotonic() - begin)
    port.closePort()
    return np.array(cycles)
