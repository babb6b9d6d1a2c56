"""Protocol 2.0 bytes, the register table, the rules of a simulated servo."""

import itertools
import struct

import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.hardware.dynamixel import protocol
from dexhot.hardware.dynamixel.plant import Drive, Joints
from dexhot.hardware.dynamixel.protocol import Decoder, Instruction, Refusal
from dexhot.hardware.dynamixel.registers import FULL, LITE, MODES, REGISTERS, Block, hardware_errors, register
from dexhot.hardware.dynamixel.servo import EXPIRED, SimulatedServo
from dexhot.robots.joint_table import joint_table


def servo() -> SimulatedServo:
    return SimulatedServo(3, FULL, 4_000_000)


def write(s: SimulatedServo, name: str, value: int) -> Refusal:
    return s.write(register(name).address, register(name).pack(value))


@pytest.mark.parametrize(
    ("ident", "body", "wire"),
    [  # examples of the vendor's manual (Protocol 2.0: ping, read, write, reboot)
        (1, "01", "FF FF FD 00 01 03 00 01 19 4E"),
        (1, "02 84 00 04 00", "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
        (1, "03 74 00 00 02 00 00", "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89"),
        (1, "08", "FF FF FD 00 01 03 00 08 2F 4E"),
    ],
)
def test_packets_are_those_of_the_manual(ident, body, wire):
    assert protocol.packet(ident, bytes.fromhex(body)) == bytes.fromhex(wire)


def test_a_header_inside_is_stuffed_and_comes_back():
    body = b"\x03\x74\x00\xff\xff\xfd\x00"
    wire = protocol.packet(7, body)
    assert wire.count(b"\xff\xff\xfd\xfd") == 1
    assert Decoder().feed(wire) == [(7, body)]


def test_packets_are_found_in_noise_and_in_pieces():
    decoder = Decoder()
    wire = b"\x00\xff" + protocol.packet(1, b"\x01") + b"\xfd\xff\xff" + protocol.packet(2, b"\x01")
    assert [p for byte in wire for p in decoder.feed(bytes([byte]))] == [(1, b"\x01"), (2, b"\x01")]


def test_a_wrong_bit_is_counted_and_dropped():
    decoder, wire = Decoder(), bytearray(protocol.packet(1, b"\x01"))
    wire[7] ^= 1
    assert decoder.feed(bytes(wire)) == []
    assert decoder.crc_errors == 1


def test_every_crc_of_a_fast_status_is_over_all_before_it():
    text = protocol.fast_status([(1, 0, b"\x05"), (2, 0x80, b"\x06")], asked=2)
    assert struct.unpack("<H", text[11:13])[0] == protocol.crc16(text[:11])
    assert struct.unpack("<H", text[-2:])[0] == protocol.crc16(text[:-2])
    assert struct.unpack_from("<H", text, 5)[0] == len(text) - 7


def test_registers_do_not_overlap():
    rows = sorted(REGISTERS.values(), key=lambda row: row.address)
    assert all(a.address + a.size <= b.address for a, b in itertools.pairwise(rows))


def test_an_unknown_register_is_named_with_the_known():
    with pytest.raises(NotFoundError, match="goal_position"):
        register("goal_angle")


def test_a_block_unpacks_signed_values_in_units():
    block = Block(("present_current", "present_velocity", "present_position"))
    values = block.unpack([struct.pack("<hii", -250, -100, 2048)])
    assert values["present_current"] == pytest.approx([-0.25])
    assert values["present_velocity"] == pytest.approx([-100 * 0.229 * 2 * np.pi / 60])
    assert values["present_position"] == pytest.approx([np.pi])


def test_models_have_their_torque_constants():
    assert FULL.motor.torque_constant == pytest.approx(0.517, abs=1e-3)
    assert LITE.motor.torque_constant == pytest.approx(0.354, abs=1e-3)


def test_hardware_errors_by_name():
    assert hardware_errors(0b100100) == ["overheating", "overload"]


def test_eeprom_is_locked_while_torque_is_on():
    s = servo()
    assert write(s, "torque_enable", 1) == Refusal.NONE
    assert write(s, "operating_mode", MODES["current_based_position"]) == Refusal.ACCESS
    assert write(s, "torque_enable", 0) == Refusal.NONE
    assert write(s, "operating_mode", MODES["current_based_position"]) == Refusal.NONE


def test_a_mode_switch_resets_gains_and_goal_current():
    s = servo()
    write(s, "position_p_gain", 600)
    write(s, "goal_current", 100)
    write(s, "operating_mode", MODES["current_based_position"])
    assert s.get("position_p_gain") == REGISTERS["position_p_gain"].default
    assert s.get("goal_current") == s.get("current_limit")


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("present_position", 0, Refusal.ACCESS),
        ("goal_current", 2000, Refusal.LIMIT),
        ("goal_pwm", 886, Refusal.RANGE),
        ("goal_position", 5000, Refusal.LIMIT),
        ("operating_mode", 2, Refusal.RANGE),
        ("return_delay_time", 255, Refusal.RANGE),
    ],
)
def test_what_a_servo_refuses(name, value, refusal):
    s = servo()
    before = bytes(s.table)
    assert write(s, name, value) == refusal
    assert bytes(s.table) == before


def test_half_a_register_is_refused():
    assert servo().write(register("goal_position").address, b"\x00\x08") == Refusal.LENGTH


def test_an_expired_watchdog_stops_the_servo_and_refuses_goals_until_it_is_cleared():
    s = servo()
    write(s, "bus_watchdog", 5)
    write(s, "torque_enable", 1)
    s.sense(np.pi, 0.0, 0.0)
    assert not s.housekeeping(silence=0.09)
    assert s.housekeeping(silence=0.11)
    assert s.get("bus_watchdog") == EXPIRED
    assert write(s, "goal_position", 2000) == Refusal.RANGE
    assert write(s, "bus_watchdog", 0) == Refusal.NONE
    assert write(s, "goal_position", 2000) == Refusal.NONE


def test_an_overheated_servo_lets_go_and_only_a_reboot_lets_it_on_again():
    s = servo()
    write(s, "torque_enable", 1)
    s.temperature = 75.0
    assert s.housekeeping(silence=0.0)
    assert s.error == protocol.ALERT
    assert not s.on
    assert write(s, "torque_enable", 1) == Refusal.RESULT
    s.temperature = 40.0
    s.start()
    assert write(s, "torque_enable", 1) == Refusal.NONE


def test_a_stall_is_an_overload():
    s = servo()
    write(s, "torque_enable", 1)
    s.sense(0.0, 0.0, FULL.motor.stall_torque)
    for _ in range(110):
        s.due(0.01)
        s.housekeeping(silence=0.0)
    assert "overload" in hardware_errors(s.get("hardware_error_status"))


def test_low_voltage_is_reported_and_does_not_cut_the_torque():
    s = servo()
    write(s, "torque_enable", 1)
    s.voltage = 3.2
    s.housekeeping(silence=0.0)
    assert hardware_errors(s.get("hardware_error_status")) == ["input voltage"]
    assert s.on


def hold(target: np.ndarray, limit: float = 0.28, stiffness: float = 3.0) -> Drive:
    ones = np.ones(len(target))
    return Drive(target, stiffness * ones, 0.1 * ones, limit * ones, 0.93 * ones, 0.11 * ones)


def test_joints_reach_their_target_within_their_torque():
    joints = Joints(joint_table("leap_right"))
    target = joints.angle + 0.3
    most = 0.0
    for _ in range(100):
        joints.advance(0.01, hold(target))
        most = max(most, np.abs(joints.torque).max())
    assert np.abs(joints.angle - target).max() < 1e-3
    assert most <= 0.28


def test_joints_stop_at_their_ends():
    joints = Joints(joint_table("leap_right"))
    joints.advance(2.0, hold(joints.angle + 10.0))
    table = joint_table("leap_right")
    assert joints.angle == pytest.approx([j.to_motor(j.upper) + Joints.stop_margin for j in table])
    assert joints.velocity == pytest.approx(0.0)


def test_joints_without_torque_stay():
    joints = Joints(joint_table("leap_left"))
    before = joints.angle.copy()
    joints.advance(0.5, hold(before + 1.0, limit=0.0, stiffness=0.0))
    assert joints.angle == pytest.approx(before)


def test_dry_friction_of_the_profile_holds_a_joint(worn_servos):
    """A goal 0.006 rad away asks for 0.018 N m, under the friction's 0.02; 0.02 rad away for more."""
    joints = Joints(joint_table("leap_right"))
    rest = joints.angle.copy()
    joints.advance(0.5, hold(rest + 0.006))
    assert joints.angle == pytest.approx(rest, abs=1e-9)
    joints.advance(0.5, hold(rest + 0.02))
    assert (joints.angle > rest + 0.01).all()
    assert (joints.torque <= 0.0201).all()  # it stops where the servo's torque no longer overcomes the friction


def test_a_finger_with_backlash_stays_until_the_gap_is_crossed(worn_servos):
    joints = Joints(joint_table("leap_right"))
    middle = joints.angle.copy()
    joints.advance(1.0, hold(middle + 0.2))
    assert joints.finger == pytest.approx(joints.angle - 0.01)  # pushed by one end of the gap
    there = joints.finger.copy()
    joints.advance(1.0, hold(middle + 0.19))
    assert (joints.angle < middle + 0.197).all() and joints.finger == pytest.approx(there)  # the horn turned alone


def test_an_object_stops_a_worn_finger_when_the_gap_is_closed(worn_servos):
    joints = Joints(joint_table("leap_right"))
    touch = joints.angle.copy()
    for k in range(16):
        joints.block(k)
    joints.advance(1.0, hold(touch + 0.2, limit=0.15))
    wanted = 0.01 + (0.15 - 0.02) / Joints.give  # half the gap, then the object's give under what friction leaves
    assert joints.angle - touch == pytest.approx(np.full(16, wanted), abs=2e-3)


def test_shipped_servos_have_neither(worn_servos):
    """The lite hand's profile is unchanged: `worn_servos` wears out the full one."""
    joints = Joints(joint_table("leap_right"), servo=LITE.profile)
    joints.advance(1.0, hold(joints.angle + 0.005))
    assert joints.finger == pytest.approx(joints.angle) and (joints.angle > 0.0049).any()


def test_instructions_have_the_numbers_of_the_protocol():
    assert (Instruction.SYNC_READ, Instruction.SYNC_WRITE, Instruction.FAST_SYNC_READ) == (0x82, 0x83, 0x8A)
