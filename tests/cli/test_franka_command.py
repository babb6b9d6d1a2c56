"""`dexhot franka`, on an arm that the same command simulates."""

import json
import subprocess
import sys

import pytest

DEXHOT = [sys.executable, "-m", "dexhot", "franka"]


@pytest.fixture(scope="module")
def address():
    with subprocess.Popen([*DEXHOT, "simulate"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.communicate("quit\n")


def check(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([*DEXHOT, "check", *arguments], capture_output=True, text=True, check=False)


def test_check_reads_the_arm(address):
    reply = check(address, "--no-realtime", "--json")
    assert reply.returncode == 0, reply.stderr
    report = json.loads(reply.stdout.splitlines()[-1])
    assert len(report["q"]) == 7 and report["problems"] == [] and report["received"] is None
    assert "fr3_joint7" in reply.stderr


def test_recover_says_what_it_cleared(address):
    reply = subprocess.run([*DEXHOT, "recover", address, "--no-realtime"], capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stderr
    assert "cleared: no errors; the arm is in mode Idle" in reply.stderr


def test_an_arm_that_is_not_there_is_one_sentence(address):
    reply = check("127.0.251.1", "--no-realtime")
    assert reply.returncode == 1
    assert "no Franka arm at 127.0.251.1" in reply.stderr and "Traceback" not in reply.stderr
