"""The servos' numbers against ROBOTIS' e-manual (control table of XC330-M288-T, Protocol 2.0), written down again."""

import math

import numpy as np
import pytest

from dexhot.hardware.dynamixel.protocol import Instruction, Refusal
from dexhot.hardware.dynamixel.registers import (
    BAUD_RATES,
    FULL,
    LITE,
    MODES,
    REGISTERS,
    Block,
    hardware_errors,
    register,
)

# name: address, size, unit of one count, lowest and highest that may be written
TABLE = {
    "model_number": (0, 2, 1, None, None),
    "firmware_version": (6, 1, 1, None, None),
    "id": (7, 1, 1, 0, 252),
    "baud_rate": (8, 1, 1, 0, 6),
    "return_delay_time": (9, 1, 2e-6, 0, 254),
    "drive_mode": (10, 1, 1, 0, 13),
    "operating_mode": (11, 1, 1, 0, 16),
    "temperature_limit": (31, 1, 1, 0, 100),
    "max_voltage_limit": (32, 2, 0.1, 31, 70),
    "min_voltage_limit": (34, 2, 0.1, 31, 70),
    "current_limit": (38, 2, 0.001, 0, 2352),
    "max_position_limit": (48, 4, 2 * math.pi / 4096, 0, 4095),
    "min_position_limit": (52, 4, 2 * math.pi / 4096, 0, 4095),
    "shutdown": (63, 1, 1, 0, 63),
    "torque_enable": (64, 1, 1, 0, 1),
    "status_return_level": (68, 1, 1, 0, 2),
    "hardware_error_status": (70, 1, 1, None, None),
    "position_d_gain": (80, 2, 1, 0, 16383),
    "position_i_gain": (82, 2, 1, 0, 16383),
    "position_p_gain": (84, 2, 1, 0, 16383),
    "bus_watchdog": (98, 1, 0.02, 0, 127),
    "goal_current": (102, 2, 0.001, None, None),
    "goal_velocity": (104, 4, 0.229 * 2 * math.pi / 60, None, None),
    "profile_acceleration": (108, 4, 214.577 * 2 * math.pi / 3600, 0, 32767),
    "profile_velocity": (112, 4, 0.229 * 2 * math.pi / 60, 0, 32767),
    "goal_position": (116, 4, 2 * math.pi / 4096, -1048576, 1048576),
    "present_current": (126, 2, 0.001, None, None),
    "present_velocity": (128, 4, 0.229 * 2 * math.pi / 60, None, None),
    "present_position": (132, 4, 2 * math.pi / 4096, None, None),
    "present_input_voltage": (144, 2, 0.1, None, None),
    "present_temperature": (146, 1, 1, None, None),
}
SIGNED = {"bus_watchdog", "goal_position", *(f"{k}_{v}" for k in ("goal", "present") for v in ("current", "velocity"))}
DEFAULTS = {"return_delay_time": 250, "operating_mode": 3, "temperature_limit": 70, "max_voltage_limit": 70}
DEFAULTS |= {"min_voltage_limit": 35, "current_limit": 1750, "max_position_limit": 4095, "position_p_gain": 400}


@pytest.mark.parametrize("name", TABLE)
def test_every_register_is_where_the_manual_has_it(name):
    row = register(name)
    assert (row.address, row.size, row.low, row.high) == (*TABLE[name][:2], *TABLE[name][3:])
    assert row.scale == pytest.approx(TABLE[name][2], rel=1e-9)
    assert row.signed is (name in SIGNED or name == "present_position")
    assert row.eeprom is (row.address < 64)
    assert name not in DEFAULTS or row.default == DEFAULTS[name]


def test_only_what_is_measured_or_fixed_is_read_only():
    fixed = {"model_number", "firmware_version", "hardware_error_status"}
    known = {name for name in REGISTERS if name in TABLE}
    assert {name for name in known if REGISTERS[name].access == "r"} == fixed | {
        name for name in known if name.startswith("present_")
    }


def test_instructions_and_refusals_are_the_protocols():
    assert {i.name: i.value for i in Instruction} == {
        "PING": 1,
        "READ": 2,
        "WRITE": 3,
        "REBOOT": 8,
        "STATUS": 0x55,
        "SYNC_READ": 0x82,
        "SYNC_WRITE": 0x83,
        "FAST_SYNC_READ": 0x8A,
        "BULK_READ": 0x92,
    }
    names = ["NONE", "RESULT", "INSTRUCTION", "CRC", "RANGE", "LENGTH", "LIMIT", "ACCESS"]
    assert [Refusal(k).name for k in range(8)] == names


def test_baud_rates_modes_and_models():
    assert BAUD_RATES == (9600, 57600, 115200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
    assert MODES["current_based_position"] == 5 and MODES["position"] == 3
    assert (FULL.number, LITE.number) == (1240, 1200)
    assert FULL.motor.torque_constant == pytest.approx(0.93 / 1.8)
    assert LITE.motor.torque_constant == pytest.approx(0.52 / 1.47)
    assert (FULL.safe_current, LITE.safe_current) == (0.55, 0.35)


@pytest.mark.parametrize(
    ("status", "errors"),
    [
        (0, []),
        (0b1, ["input voltage"]),
        (0b100, ["overheating"]),
        (0b101000, ["encoder", "overload"]),
        (0b10000, ["electrical shock"]),
        (0b10, []),
    ],
)
def test_bits_of_a_hardware_error(status, errors):
    assert hardware_errors(status) == errors


def test_a_block_is_read_from_its_bytes_with_sign_and_unit():
    block = Block(("present_current", "present_velocity", "present_position"))
    assert (block.address, block.length) == (126, 10)
    data = [
        (-2).to_bytes(2, "little", signed=True) + (-3).to_bytes(4, "little", signed=True) + (1024).to_bytes(4, "little")
    ]
    values = block.unpack(data)
    assert values["present_current"][0] == pytest.approx(-0.002)
    assert values["present_velocity"][0] == pytest.approx(-3 * 0.229 * 2 * np.pi / 60)
    assert values["present_position"][0] == pytest.approx(np.pi / 2)
    gap = Block(("present_input_voltage", "present_temperature"))
    found = gap.unpack([bytes([50, 0, 31]), bytes([0x2C, 1, 40])])
    np.testing.assert_allclose(found["present_input_voltage"], [5.0, 30.0])
    np.testing.assert_allclose(found["present_temperature"], [31, 40])
