"""A call ends on time while every packet is lost, in a network namespace."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.drills.in_namespace import LIMIT
from tests.plain_sleep import STOOD_STILL, PlainSleep

NAMESPACE = ["unshare", "--map-root-user", "--net"]
LATE, FREED = 0.5, 5.0
"""Seconds; the kernel sends the end of the connection again, each time later."""


def can_lose_packets() -> bool:
    """Return whether this machine gives network namespaces, and has `ip` and `tc`."""
    if not all(map(shutil.which, ("unshare", "ip", "tc"))):
        return False
    tries = "ip link set lo up && tc qdisc replace dev lo root blackhole"
    return subprocess.run([*NAMESPACE, "sh", "-c", tries], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_lose_packets(), reason="no network namespaces, or no ip and tc, here")
def test_a_call_whose_packets_are_all_lost_ends_on_time_and_frees_its_server_afterwards() -> None:
    program = [sys.executable, "-m", "tests.drills.in_namespace", "stream", "astream"]
    with PlainSleep() as sleep:
        done = subprocess.run([*NAMESPACE, *program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    played = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["style"] for each in played] == ["stream", "astream"]
    assert [each["error"] for each in played] == ["StreamDeadlineExceeded"] * 2
    assert all(each["took"] >= LIMIT - 0.01 for each in played)
    if sleep.late > STOOD_STILL and any(each["took"] > LIMIT + LATE for each in played):
        pytest.skip(f"the machine stood still for {sleep.late:.2f} s")
    assert all(each["took"] < LIMIT + LATE and each["freed"] < FREED for each in played), played
