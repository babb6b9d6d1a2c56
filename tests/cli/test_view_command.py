"""Ctrl-C in `dexhot view`: nothing of the viewer's code is torn apart by it."""

import os
import signal

import pytest

from dexhot.cli.view_command import ctrl_c


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_interrupts_after_the_code_that_it_meets():
    done = []
    with pytest.raises(KeyboardInterrupt), ctrl_c() as pressed:
        assert not pressed
        press()
        assert pressed == [signal.SIGINT]
        done.append("the rest")
    assert done == ["the rest"]


def test_a_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), ctrl_c() as pressed:
        press()
        assert pressed
        press()
        pytest.fail("it went on")


def test_without_ctrl_c_nothing_is_raised_and_the_handler_is_back():
    before = signal.getsignal(signal.SIGINT)
    with ctrl_c():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
