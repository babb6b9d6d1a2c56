"""How the launcher stops processes: signals, grace periods and messages, on a simulated clock."""

import signal
from types import SimpleNamespace

import pytest

from dexhot.bringup import launcher


@pytest.fixture
def clock(monkeypatch):
    """The launcher's time, which passes only while it sleeps."""
    now = SimpleNamespace(seconds=0.0)

    def sleep(seconds: float) -> None:
        now.seconds += seconds

    monkeypatch.setattr(launcher, "time", SimpleNamespace(monotonic=lambda: now.seconds, sleep=sleep))
    return now


class Child:
    """A process that ends `needs` seconds after the first of `heeds` is sent to it, or when it is killed."""

    def __init__(self, clock, needs: float, heeds=(signal.SIGINT, signal.SIGTERM)):
        self.clock, self.needs, self.heeds = clock, needs, heeds
        self.sent, self.end = [], float("inf")

    def send_signal(self, number) -> None:
        self.sent.append((number, pytest.approx(self.clock.seconds, abs=0.05)))
        if number == signal.SIGKILL:
            self.end = self.clock.seconds
        elif number in self.heeds:
            self.end = min(self.end, self.clock.seconds + self.needs)

    def poll(self) -> int | None:
        return 0 if self.clock.seconds >= self.end else None

    def wait(self) -> None:
        self.clock.seconds = max(self.clock.seconds, self.end)


def stop(**children: Child) -> list[str]:
    reader = SimpleNamespace(join=lambda timeout: None)
    return launcher.stop(
        [launcher.Running(SimpleNamespace(name=name), child, reader) for name, child in children.items()]
    )


def test_a_process_on_a_busy_machine_has_time_to_finish(clock):
    """A recorder that needs 4.5 s for its bag, and a driver that ends at once."""
    recorder, driver = Child(clock, 4.5), Child(clock, 0.1)
    assert stop(recorder=recorder, driver=driver) == []
    assert recorder.sent == driver.sent == [(signal.SIGINT, 0.0)]
    assert clock.seconds == pytest.approx(4.5, abs=0.1)


def test_one_that_misses_the_interrupt_is_asked_again(clock):
    child = Child(clock, 4.0, heeds=(signal.SIGTERM,))
    assert stop(child=child) == []
    assert child.sent == [(signal.SIGINT, 0.0), (signal.SIGTERM, 5.0)]


def test_one_that_ignores_signals_is_killed_and_named_with_the_time_it_had(clock):
    deaf, quick = Child(clock, 0.0, heeds=()), Child(clock, 0.1)
    assert stop(deaf=deaf, quick=quick) == ["deaf"]
    assert deaf.sent == [(signal.SIGINT, 0.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 10.0)]
    assert launcher.killed("deaf") == "[deaf] did not stop within 10 s and was killed."


def test_when_all_have_ended_nobody_waits(clock):
    assert stop(child=Child(clock, 0.2)) == [] and clock.seconds < 0.3
