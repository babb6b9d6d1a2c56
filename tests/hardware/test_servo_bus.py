"""The simulated bus over its pseudo terminal, asked by the vendor's SDK and by our client. No test is about speed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dexhot.errors import DexhotError, NotFoundError
from dexhot.hardware.dynamixel import protocol
from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.hardware.dynamixel.errors import BusError, SilenceError, UnpluggedError
from dexhot.hardware.dynamixel.registers import FULL, LITE, Block, register
from dexhot.hardware.dynamixel.simulator import BusProcess

sdk = pytest.importorskip("dynamixel_sdk")
BAUD = 4_000_000
SLOW = 60.0  # ms of slack: the machine that runs the tests may be busy


@pytest.fixture
def bus():
    with ServoBus(ids=range(4)) as running:
        yield running


def servos_of(bus: ServoBus, baud: int = BAUD):
    from dexhot.hardware.dynamixel.client import Servos
    from dexhot.hardware.dynamixel.port import Port

    port = Port(bus.path, baud)
    port.slack = SLOW
    port.open()
    return Servos(port, list(bus.servos))


@pytest.fixture
def servos(bus):
    client = servos_of(bus)
    yield client
    client.port.closePort()


def test_a_link_replaces_a_pseudo_terminals_and_nothing_else(tmp_path):
    place = tmp_path / "hand"
    place.write_text("somebody's file")
    with pytest.raises(BusError, match="exists and is not the link"):
        ServoBus(link=place)
    place.unlink()
    place.symlink_to("/dev/null")  # as udev names a real adapter
    with pytest.raises(BusError, match="exists and is not the link"):
        ServoBus(link=place)
    place.unlink()
    place.symlink_to("/dev/pts/9999")  # of a simulation that was killed
    bus = ServoBus(link=place)
    assert os.readlink(place) != "/dev/pts/9999"
    bus.unplug()
    assert not place.is_symlink()


def test_the_vendors_sdk_is_answered(bus):
    port, handler = sdk.PortHandler(bus.path), sdk.PacketHandler(2.0)
    port.setBaudRate(BAUD)
    answered = any(handler.ping(port, 2) == (FULL.number, 0, 0) for _ in range(100))  # it waits for 34 ms
    port.closePort()
    assert answered


def test_a_register_is_written_and_read_back(servos):
    servos.write(1, "position_p_gain", 600)
    assert servos.read(1, "position_p_gain") == 600


def test_a_refusal_is_an_error_that_names_it(servos):
    servos.write(1, "torque_enable", 1)
    with pytest.raises(BusError, match=r"servo 1 rejects operating_mode = 5: access"):
        servos.write(1, "operating_mode", 5)


@pytest.mark.parametrize("fast", [True, False])
def test_group_reads_agree(servos, fast):
    servos.fast = fast
    assert servos.read_all("id").tolist() == [0, 1, 2, 3]


def test_a_sync_write_reaches_all(bus, servos):
    servos.write_all("goal_position", [100, 200, 300, 4000])
    assert servos.read_all("goal_position").tolist() == [100, 200, 300, 4000]
    assert {ident: goals.last for ident, goals in bus.goals.items()} == {0: 100, 1: 200, 2: 300, 3: 4000}


def test_the_bus_remembers_what_was_asked_of_its_servos(bus, servos):
    for goal in (100, 900, 700):
        servos.write(0, "goal_position", goal)
    servos.write(0, "torque_enable", 1)
    for goal in (650, 1_000_000, 600):
        servos.write_all("goal_position", [goal, 0, 0, 0])
    assert servos.read(0, "goal_position") == 600  # what was written before has come
    asked = bus.goals[0]
    assert (asked.lowest, asked.highest, asked.step) == (100, 1_000_000, 1_000_000 - 600)


def test_only_what_differs_is_written(bus, servos):
    servos.set_all("position_d_gain", np.array([200, 0, 200, 0]))
    assert bus.packets["WRITE"] == 2


def test_goals_move_the_joints(bus, servos):
    servos.set_all("position_d_gain", 200)
    servos.set_all("torque_enable", 1)
    servos.write_all("goal_position", [2200] * 4)
    end = time.monotonic() + 60
    while (np.abs(servos.read_all("present_position") - 2200) > 2).any():
        assert time.monotonic() < end, servos.read_all("present_position")


def test_firmware_without_fast_reads_is_silent_to_them():
    with ServoBus(ids=range(4), fast=False) as bus:
        servos = servos_of(bus)
        block = Block(("id",))
        servos.fast = True
        assert servos.group_read(block, servos.ids) == {}
        servos.fast = False
        assert len(servos.group_read(block, servos.ids)) == 4
        servos.port.closePort()


def test_behind_a_dead_servo_a_sync_read_is_silent_and_the_dead_one_is_named(bus, servos):
    servos.fast = False
    bus.faults.inject("kill 2")
    assert set(servos.group_read(Block(("id",)), servos.ids)) <= {0, 1}
    with pytest.raises(SilenceError, match=r"servos \[2\] do not reply, the others do"):
        servos.read_all("id")


def test_noise_is_counted_and_asked_again(bus, servos):
    bus.faults.inject("noise 0.5")
    servos.fast = False
    got = [servos.poll(Block(("id",)), tries=20) for _ in range(3)]
    assert all(set(g) == {0, 1, 2, 3} for g in got)
    assert all(data == bytes([ident]) for g in got for ident, data in g.items())
    assert servos.failures > 0


def test_dropped_answers_are_asked_again(bus, servos):
    bus.faults.inject("drop 0.3")
    assert set(servos.poll(Block(("id",)), tries=20)) == {0, 1, 2, 3}


def test_two_servos_of_one_id_are_reported(bus, servos):
    bus.faults.inject("double 1")
    with pytest.raises(SilenceError, match=r"servos \[1\] send garbled replies: duplicate ids"):
        servos.read(1, "present_position")


def test_another_baud_rate_is_not_heard(bus, servos):
    bus.faults.inject("baud 57600")
    assert servos.ping(0) is None
    servos.port.ser.baudrate = 57600
    assert servos.ping(0) == FULL.number


def test_an_unplugged_port_is_reported_and_comes_back_at_the_same_path(bus, servos):
    path = bus.path
    bus.faults.inject("unplug")
    assert not os.path.exists(path)
    with pytest.raises(UnpluggedError, match="plug it in"):
        servos.read_all("id")
    bus.faults.inject("replug")
    again = servos_of(bus)
    assert again.read_all("id").tolist() == [0, 1, 2, 3]
    again.port.closePort()


def test_one_process_has_the_port(bus, servos):
    with pytest.raises(BusError, match="is no other driver using it"):
        servos_of(bus)


def test_an_alert_is_seen_in_the_read_that_brings_it(bus, servos):
    servos.read_all("present_position")
    assert servos.alerts == set()
    bus.faults.inject("overload 3")
    servos.read_all("present_position")
    assert servos.alerts == {3}
    servos.reboot(3)
    servos.read_all("present_position")
    assert servos.alerts == set()


def test_faults_are_named_with_their_arguments(bus):
    with pytest.raises(NotFoundError, match="overload"):
        bus.faults.inject("overlaod")
    with pytest.raises(DexhotError, match="ID CELSIUS"):
        bus.faults.inject("heat 3")


def test_a_bus_in_another_process_is_queried_and_commanded():
    with BusProcess(hand="lite") as bus:
        bus.inject("overload 5")
        state = bus.state()
        assert state["hardware_error"] == {"5": 32}
        assert len(state["position"]) == 16
        with pytest.raises(DexhotError, match="no fault named"):
            bus.inject("earthquake")
    assert bus.lines.popen.returncode == 0


def test_lite_servos_say_so():
    with ServoBus(ids=[7], model=LITE) as bus:
        servos = servos_of(bus)
        assert servos.ping(7) == LITE.number
        assert servos.read(7, "current_limit") == round(LITE.motor.stall_current / register("current_limit").scale)
        servos.port.closePort()


def test_the_bus_outlives_what_is_not_the_protocol(bus, servos):
    os.write(servos.port.ser.fd, b"\xff\xff\xfd\x00" * 50 + bytes(range(256)))
    for body in (b"\x02\x84", b"\x82\x00", b"\x83", b"\x77\x00", b"\x03"):
        os.write(servos.port.ser.fd, protocol.packet(1, body))
        os.write(servos.port.ser.fd, protocol.packet(protocol.BROADCAST, body))
    servos.port.settle()
    assert servos.read_all("id").tolist() == [0, 1, 2, 3]


def test_the_bus_outlives_a_client_that_does_not_read(bus, servos):
    for _ in range(100):  # 15 kB of answers
        os.write(servos.port.ser.fd, protocol.packet(1, b"\x02\x00\x00\x93\x00"))
    servos.port.closePort()
    again = servos_of(bus)
    assert again.read_all("id").tolist() == [0, 1, 2, 3]
    again.port.closePort()


def test_unplugging_while_asked_leaves_a_bus_that_works(bus):
    for _ in range(10):
        bus.faults.inject("unplug")
        bus.faults.inject("replug")
    servos = servos_of(bus)
    assert servos.read_all("id").tolist() == [0, 1, 2, 3]
    servos.port.closePort()


BLOCK = Block(("present_current", "present_velocity", "present_position"))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("fault", ["swap", "repeat", "late"])
def test_answers_to_another_question_are_not_taken(bus, servos, fast, fault):
    servos.fast = fast
    assert set(servos.poll(BLOCK, tries=20)) == set(bus.servos)
    bus.faults.inject(f"{fault} 1")
    servos.port.slack = 20.0
    servos.group_read(BLOCK, servos.ids)  # to which a repeated one may still be right
    assert [servos.group_read(BLOCK, servos.ids) for _ in range(4)] == [{}] * 4
    assert "repeated or late" in servos.silence(servos.ids)
    bus.faults.inject(f"{fault} 0")
    servos.port.slack = SLOW
    assert set(servos.poll(BLOCK, tries=20)) == set(bus.servos)


def test_no_two_reads_ask_in_the_same_order(bus, servos):
    asked = []
    answer = bus._sync_read
    bus._sync_read = lambda parameters, fast: asked.append(parameters[4:]) or answer(parameters, fast)
    for _ in range(8):
        servos.group_read(BLOCK, servos.ids)
    assert len(set(asked)) == 8 and {bytes(sorted(ids)) for ids in asked} == {bytes(range(4))}


def test_the_orders_of_a_whole_hand_repeat_late():
    from dexhot.hardware.dynamixel.client import in_order

    orders = {tuple(in_order(list(range(16)), number)) for number in range(128)}
    assert len(orders) == 128 and all(sorted(order) == list(range(16)) for order in orders)
    assert in_order([5], 3) == [5]


def test_instructions_of_another_master_are_counted_and_echoes_of_ours_are_not(bus, servos):
    from dexhot.hardware.dynamixel.port import foreign_packets

    ours, theirs = protocol.packet(1, b"\x01"), protocol.packet(2, b"\x02\x84\x00\x04\x00")
    answer = protocol.status(1, 0, b"\x01\x02\x03\x04")
    assert foreign_packets(b"", ours) == foreign_packets(answer, ours) == foreign_packets(ours + answer, ours) == 0
    assert foreign_packets(theirs + answer + theirs, ours) == 2
    assert foreign_packets(theirs[:-1] + b"\x00" + answer, ours) == 0  # noise
    servos.read_all("id")
    assert servos.port.foreign == 0
    bus.faults.inject("master 100")
    end = time.monotonic() + 60
    while not servos.port.foreign:
        servos.group_read(BLOCK, servos.ids)
        assert time.monotonic() < end


def test_a_new_servo_answers_with_factory_settings_and_is_found_by_its_id(bus, servos):
    bus.faults.inject("replace 3")
    assert servos.ping(3) is None and servos.ping(1) == FULL.number
    servos.port.ser.baudrate = 57600
    assert servos.ping(1) == FULL.number and servos.ping(3) is None
    servos.write(1, "id", 77)
    assert servos.ping(77) == FULL.number


def test_encoder_motor_and_horn_fail_behind_the_registers():
    with ServoBus() as bus:
        servo, place = bus.servos[6], 6
        before = servo.get("present_position")
        bus.faults.inject("turn 6 4096")
        time.sleep(0.1)
        assert servo.get("present_position") == before + 4096
        servo.start()
        time.sleep(0.1)
        assert servo.get("present_position") == before
        lower = bus.plant.lower[place]
        bus.faults.inject("slip 6 0.5")
        assert bus.plant.lower[place] == pytest.approx(lower + 0.5)
        bus.faults.inject("poke 6 84 7")
        assert servo.get("position_p_gain") == 7


def test_the_bus_has_the_joints_of_its_servos_profile(worn_servos):
    with ServoBus(ids=range(4)) as full, ServoBus(ids=range(4), model=LITE) as lite:
        assert (full.plant.friction, full.plant.gap) == (0.02, 0.01)
        assert (lite.plant.friction, lite.plant.gap) == (0.0, 0.0)


def test_the_simulator_ends_on_ctrl_c_though_a_shell_started_it_in_its_background(tmp_path):
    """There SIGINT is ignored, and children inherit that."""
    link = tmp_path / "port"
    call = ["sh", "-c", f"trap '' INT; exec {sys.executable} -m dexhot leap simulate --link {link}"]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout.readline() == f"{link}\n"
            simulator.send_signal(signal.SIGINT)
            assert simulator.wait(20) == 128 + signal.SIGINT and not link.is_symlink()
        finally:
            simulator.kill()
