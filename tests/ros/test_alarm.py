"""The alarm that sets the rig's ticks."""

import threading
import time

from dexhot.ros.supervise.alarm import Alarm


class Executor:
    """Runs tasks at once and notes when."""

    def __init__(self):
        self.rang, self.done = [], threading.Event()

    def create_task(self, callback):
        self.rang.append(time.monotonic())
        callback()
        self.done.set()


class Node:
    def __init__(self):
        self.executor = Executor()


def test_it_rings_once_and_not_before_its_time():
    node, wake = Node(), time.monotonic() + 0.02
    alarm = Alarm(node, lambda: None)
    alarm.set(wake)
    assert node.executor.done.wait(60.0)
    node.executor.done.clear()
    alarm.set(later := time.monotonic())
    assert node.executor.done.wait(60.0)
    alarm.close()
    assert len(node.executor.rang) == 2 and wake <= node.executor.rang[0] < later


def test_a_new_time_replaces_the_old():
    node = Node()
    alarm = Alarm(node, lambda: None)
    alarm.set(time.monotonic() + 600.0)
    alarm.set(time.monotonic())
    assert node.executor.done.wait(60.0)
    alarm.close()


def test_infinity_never_rings_and_close_ends_it():
    node = Node()
    alarm = Alarm(node, lambda: None)
    with alarm._changed:  # the alarm's thread sees only the last
        alarm.set(time.monotonic())
        alarm.set(float("inf"))
    alarm.set(wake := time.monotonic() + 0.02)
    assert node.executor.done.wait(60.0)
    alarm.close()
    alarm.set(time.monotonic())
    assert len(node.executor.rang) == 1 and node.executor.rang[0] >= wake
