"""The real kernel as a partner: namespaces of a test's own, and programs in them."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hardwire.tb.e2e.test_receive_rtl import COUNTERS

__all__ = ["check_balance", "inside", "names", "namespace", "needs_root", "only_as_root", "results", "server"]

_BAD_ON_THE_WIRE = tuple(COUNTERS.values())
_NOT_DELIVERED = "rx_filtered rx_missed rx_no_buffer rx_disabled rx_bus_errors rx_refused".split()

only_as_root = os.geteuid() == 0 and Path("/dev/net/tun").exists() and shutil.which("ip") is not None
needs_root = pytest.mark.skipif(not only_as_root, reason="needs root, /dev/net/tun and ip(8)")


def names(count: int = 1) -> list[str]:
    """Return names of namespaces that no other test has."""
    return [f"hwtest{os.getpid()}{letter}" for letter in "abcd"[:count]]


@contextmanager
def namespace(name: str) -> Iterator[str]:
    """Make a namespace, and remove it."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def inside(name: str, *words: str, stdin: bytes | None = None, timeout_s: float = 120, ok: bool = True) -> str:
    """Run a program in a namespace; return what it says."""
    result = subprocess.run(
        ["ip", "netns", "exec", name, *words], input=stdin, capture_output=True, timeout=timeout_s, check=False
    )
    said = result.stdout.decode(errors="replace")
    assert not ok or result.returncode == 0, f"{words}: {result.returncode}: {said}{result.stderr.decode()}"
    return said


@contextmanager
def server(
    space: str, port: int, *words: str, cwd: Path | None = None, stdout: int = subprocess.DEVNULL
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a server in a namespace, from when it listens."""
    command = ["ip", "netns", "exec", space, *words]
    with subprocess.Popen(command, cwd=cwd, stdout=stdout, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while f":{port} " not in inside(space, "ss", "-tlnH"):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            yield process
        finally:
            process.terminate()


def check_balance(report: dict[str, Any]) -> None:
    """Check that each frame between a kernel and a card is accounted for, on its way in and on its way out."""
    card = report["host"]["counters"]
    assert report["from_kernel"] == report["kernel"]["tx_packets"]
    on_wire = card["rx_frames"] + sum(card.get(name, 0) for name in _BAD_ON_THE_WIRE)
    assert on_wire == report["from_kernel"]
    delivered = card.get("rx_delivered", 0)
    assert delivered + sum(card.get(name, 0) for name in _NOT_DELIVERED) == card["rx_frames"]
    assert report["damaged"] == 0
    assert card["tx_frames"] == report["to_kernel"] + sum(report["refused_by_kernel"].values())
    assert report["to_kernel"] == report["kernel"]["rx_packets"] + report["kernel"]["rx_dropped"]


def results(report: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return what came of our own programs on a simulated host, by their text."""
    return {one["program"]: one["result"] for one in report["programs"] if "result" in one}
