"""The thread that works on the newest item."""

import threading
import time

import pytest

from dexhot.ros.see.newest import Newest

WAIT = 60.0  # s, never reached


def busy(done: list[int], started: threading.Event, go_on: threading.Event):
    """A worker that stays in its first item until it may go on."""

    def worker(stopped):
        def work(item):
            started.set()
            assert go_on.wait(WAIT)
            done.append(item)

        return work

    return worker


def test_items_that_come_while_one_is_in_work_are_replaced_by_the_last_and_counted():
    done, started, go_on = [], threading.Event(), threading.Event()
    newest = Newest("test", busy(done, started, go_on))
    newest.give(1)
    assert started.wait(WAIT)
    for item in (2, 3, 4):
        newest.give(item)
    assert newest.skipped == 2
    started.clear()
    go_on.set()
    assert started.wait(WAIT)
    newest.stop()
    assert done == [1, 4] and newest.waiting is None


def test_the_first_item_is_worked_on_whatever_comes_meanwhile():
    done, ready, finished = [], threading.Event(), threading.Event()

    def worker(stopped):
        assert ready.wait(WAIT)

        def work(item):
            done.append(item)
            if item != 1:
                finished.set()

        return work

    newest = Newest("test", worker)
    for item in (1, 2, 3):
        newest.give(item)
    assert newest.skipped == 2
    ready.set()
    while newest.waiting is not None:
        time.sleep(0.001)
    newest.give(4)
    assert finished.wait(WAIT)
    newest.stop()
    assert done == [1, 4]


def test_what_the_work_raises_is_raised_where_it_is_checked():
    failed = threading.Event()

    def worker(stopped):
        def work(item):
            failed.set()
            raise ValueError(f"no {item}")

        return work

    newest = Newest("test", worker)
    newest.check()
    newest.give(7)
    assert failed.wait(WAIT)
    newest.stop()
    with pytest.raises(ValueError, match="no 7"):
        newest.check()


def test_the_work_knows_that_it_was_stopped_and_what_waits_is_left():
    said, started, go_on = [], threading.Event(), threading.Event()

    def worker(stopped):
        def work(item):
            started.set()
            assert go_on.wait(WAIT)
            said.append((item, stopped.is_set()))

        return work

    newest = Newest("test", worker)
    newest.give(1)
    assert started.wait(WAIT)
    newest.give(2)
    stopper = threading.Thread(target=newest.stop)
    stopper.start()
    assert newest._stopped.wait(WAIT)
    go_on.set()
    stopper.join(WAIT)
    assert said == [(1, True)]
