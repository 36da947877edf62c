"""What this machine's kernel joins of segments that arrive together, against what ours joins."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import unpack_from

import pytest

from hardwire.sim.netns import Namespace
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.tb.stack.frames import MY_MAC
from hardwire.tb.stack.tcp_oracle import ACK, PSH
from hardwire.tb.stack.test_gro import FIRST, FOLLOWERS, Catcher, tcp

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_VNET_HDR_OCTETS = 10
_ETH_P_ALL = 3
_CPU = min(os.sched_getaffinity(0))

# Ours does as Linux 6.1 does. Later ones let a fragment go past the segments of its stream that are held.
_CHANGED = ("a fragment", "a later fragment")
# The first and the last one are of a stream of their own: that they are joined shows that all came in one poll.
CASES = {
    name: [tcp(port=6000), FIRST, frame, tcp(1200, port=6000)]
    for name, (frame, _) in FOLLOWERS.items()
    if name not in _CHANGED
}
CASES["a burst"] = [tcp(1000 + 200 * number, flags=ACK | (PSH if number == 6 else 0)) for number in range(9)]
CASES["identifications that go up, with no DF"] = [
    tcp(1000 + 200 * number, frag=0, ident=77 + number) for number in range(4)
]
CASES["nine streams"] = [tcp(port=5000 + number) for number in range(9)] + [tcp(1200, port=5008)]


class Kernel:
    """Two devices of a pair: v0 sends frames, which arrive at v1 in one poll, where a packet socket sees what came."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far

    def together(self, frames: list[bytes]) -> list[tuple[int, bytes]]:
        """Let frames arrive under one poll; return the size of segments and the octets of each packet behind it."""
        with _alone():
            for frame in frames:
                self.near.send(frame)
        found: list[tuple[int, bytes]] = []
        while True:
            try:
                octets, (_, _, kind, _, _) = self.far.recvfrom(1 << 17)
            except TimeoutError:
                return found
            if kind != socket.PACKET_OUTGOING:
                (size,) = unpack_from("=H", octets, 4)
                found.append((size, octets[_VNET_HDR_OCTETS:]))


@contextmanager
def _alone() -> Iterator[None]:
    """Let nothing else run on one CPU but this thread, so that what it wakes has to wait."""
    before, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    os.sched_setaffinity(0, {_CPU})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, before)


def _napi_threads() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith("napi/v1"):
                found.add(int(path.parent.name))
        except OSError:  # It has ended.
            continue
    return found


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    name = f"hwgro{os.getpid()}"
    with Namespace(name) as space:

        def run(*words: str) -> None:
            subprocess.run(["ip", "netns", "exec", name, *words], check=True, capture_output=True)

        run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "address", MY_MAC.hex(":"))
        run("ethtool", "-K", "v0", "tso", "off")  # Else a frame goes past what joins.
        run("ethtool", "-K", "v1", "gro", "on")
        run("ip", "link", "set", "v0", "up")
        run("ip", "link", "set", "v1", "up")
        # A thread of its own polls the device: it waits while this one has the CPU.
        others = _napi_threads()
        run("sh", "-c", "echo 1 > /sys/class/net/v1/threaded")
        for thread in _napi_threads() - others:
            os.sched_setaffinity(thread, {_CPU})
        with space.entered():
            near, far = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2))
        with near, far:
            near.bind(("v0", 0))
            far.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            far.bind(("v1", _ETH_P_ALL))
            far.settimeout(0.05)
            time.sleep(0.2)  # The links are up.
            yield Kernel(near, far)


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_joins_the_same(kernel: Kernel, name: str) -> None:
    theirs = kernel.together(CASES[name])
    catcher = Catcher()
    ours = []
    for skb in catcher.together(*CASES[name]):
        at = skb.mac_header - skb.data
        skb.data += at
        skb.len -= at
        ours.append((skb.gso_size, skb_copy_bits(skb, 0, skb.len)))
    assert ours == theirs
