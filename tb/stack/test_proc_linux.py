"""Text of the files in /proc/net: that of a real Linux kernel after the same traffic."""

import os
import re
import socket as real
import time
from errno import ENOENT
from pathlib import Path
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_napi import Napi, napi_enable, napi_schedule, netif_napi_add, netif_rx
from hardwire.stack.core.softirq import run_in_irq
from hardwire.stack.iproute import neigh_proxy_add, route_add
from hardwire.stack.ipv4.rtnetlink import RtType
from hardwire.stack.proc import proc_net
from hardwire.tb.stack.frames import SENTINEL, arp, icmp, ip, is_sentinel, udp
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import Pair, wire_poll
from hardwire.tb.stack.programs import make_ours, set_up

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

LONG = udp(9000, bytes(3000))
FRAMES = [
    ip(udp(9000)),
    ip(udp(9000)),
    ip(udp(9001)),
    ip(udp(9000, check=7)),
    ip(icmp(8), 1),
    ip(icmp(8, check=5), 1),
    ip(b"x", 99),
    ip(udp(9000), check=1),
    ip(udp(9000), tos=2),
    arp(),
    ip(LONG[:1480], frag=0x2000),
    ip(LONG[1480:2960], frag=0x2000 | 185),
    ip(LONG[2960:], frag=370),
    ip(b"12345678", frag=0x2000),
]
# What newer kernels have besides.
NEWER = ("OutTransmits", "OutRateLimitGlobal", "OutRateLimitHost")


def theirs(peer: LinuxPeer, name: str) -> str:
    return peer.inside(lambda: Path(f"/proc/thread-self/net/{name}").read_text())


def use(make_socket) -> list:
    """Make sockets, and send with them."""
    bound, connected, unbound, raw = (
        make_socket(api.AF_INET, api.SOCK_DGRAM, 0),
        make_socket(api.AF_INET, api.SOCK_DGRAM, 0),
        make_socket(api.AF_INET, api.SOCK_DGRAM, 0),
        make_socket(api.AF_INET, api.SOCK_RAW, 1),
    )
    bound.bind(("", 9000))
    connected.bind(("10.0.0.2", 9100))
    connected.connect(("10.0.0.1", 53))
    connected.send(b"data")
    connected.send(bytes(700))  # One of more than a packet newer kernels count otherwise.
    raw.bind(("10.0.0.2", 0))
    raw.sendto(icmp(8), ("10.0.0.1", 0))
    return [bound, connected, unbound, raw]


class Both:
    """A real kernel's host and ours, after the same."""

    def __init__(self, peer: LinuxPeer) -> None:
        self.peer = peer
        set_up(peer)
        peer.ip("route", "add", "unreachable", "198.51.100.0/24", "metric", "9")
        peer.ip("route", "add", "203.0.113.7", "dev", "eth0")
        peer.ip("route", "add", "default", "via", "10.0.0.77", "metric", "5")
        peer.ip("neigh", "add", "proxy", "10.0.0.200", "dev", "eth0")
        peer.ip("neigh", "add", "10.0.0.9", "lladdr", "02:00:00:00:00:09", "nud", "stale", "dev", "eth0")
        self.ours = make_ours()
        net = self.ours.net
        route_add(net, "198.51.100.0/24", type=RtType.UNREACHABLE, metric=9)
        route_add(net, "203.0.113.7/32", dev=self.ours.dev)
        route_add(net, "default", via="10.0.0.77", metric=5)
        neigh_proxy_add(self.ours.dev, "10.0.0.200")
        self.ours.socket().ioctl(
            api.SIOCSARP,
            pack("=H2x4s8xH14si16x16s", 2, bytes((10, 0, 0, 9)), 1, bytes.fromhex("020000000009"), 2, b"eth0"),
        )
        self.ours.kernel.files.clear()
        self.sockets = [peer.inside(lambda: use(real.socket)), use(net.socket)]
        for frame in (*FRAMES, SENTINEL):
            peer.receive(frame)
            self.ours.receive(frame)
        peer.until(is_sentinel)
        self.ours.platform.advance(1_000_000)

    def texts(self, name: str) -> tuple[str, str]:
        """Return theirs and ours."""
        return theirs(self.peer, name), proc_net(self.ours.net, name)

    def close(self) -> None:
        for sock in (*self.sockets[0], *self.sockets[1]):
            sock.close()


@pytest.fixture(scope="module")
def both():
    with LinuxPeer(f"hardwire-pr{os.getpid()}") as peer:
        hosts = Both(peer)
        yield hosts
        hosts.close()


@pytest.mark.parametrize("name", ["snmp", "netstat"])
def test_counters_have_the_names_the_order_and_the_values_of_linux(both, name):
    want, mine = (dict(_groups(text)) for text in both.texts(name))
    want.pop("MPTcpExt", None)  # Multipath TCP is not modelled.
    assert list(want) == list(mine)
    for group, counters in want.items():
        counters = {key: value for key, value in counters.items() if key not in NEWER}
        assert list(counters) == [key for key in mine[group] if key in counters]
        assert {key: mine[group][key] for key in counters} == counters, group


def _groups(text: str) -> list[tuple[str, dict[str, int]]]:
    lines = text.splitlines()
    groups = []
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group, _, rest = names.partition(":")
        groups.append((group, dict(zip(rest.split(), map(int, values.split()[1:]), strict=True))))
    return groups


def test_devices_are_shown_as_on_linux(both):
    want, mine = both.texts("dev")
    assert mine.splitlines() == want.splitlines()


def test_routes_are_shown_as_on_linux(both):
    want, mine = both.texts("route")
    assert mine == want


def test_neighbours_are_shown_as_on_linux(both):
    want, mine = both.texts("arp")
    assert mine.splitlines()[0] == want.splitlines()[0]
    assert sorted(mine.splitlines()) == sorted(want.splitlines())


def columns(text: str, header: bool) -> list[str]:
    """Return the lines of sockets without their places, memory and numbers of files."""
    lines = text.splitlines()
    if header:
        return lines[:1]
    found = []
    for line in lines[1:]:
        fields = line.split()
        fields[0] = fields[9] = fields[11] = ""
        if fields[4] != "00000000:00000000":
            fields[4] = "waits"
        found.append(" ".join(fields))
    return sorted(found)


@pytest.mark.parametrize("name", ["udp", "raw"])
def test_sockets_are_shown_as_on_linux(both, name):
    want, mine = both.texts(name)
    assert columns(mine, True) == columns(want, True)
    assert columns(mine, False) == columns(want, False)
    widths = {len(line) for line in want.splitlines()} if name == "udp" else set()
    assert name == "raw" or {len(line) for line in mine.splitlines()} == widths


def test_numbers_of_sockets_are_those_of_linux(both):
    def texts() -> list[str]:
        # The kernel counts memory, and connections without a program, of all namespaces together.
        return [
            re.sub(r"(alloc|mem|memory|orphan) \d+", r"\1", text).replace("  ", " ") for text in both.texts("sockstat")
        ]

    for _ in range(50):  # On a busy machine the kernel counts sockets of programs that have just ended.
        want, mine = texts()
        if mine == want:
            break
        time.sleep(0.1)
    assert mine == want


def test_the_work_of_the_cpu_is_counted(both):
    want, mine = both.texts("softnet_stat")
    assert [len(field) for field in mine.split()] == [8] * 15
    assert len(want.splitlines()[0].split()) in (13, 15)
    processed, dropped, squeezed = (int(field, 16) for field in mine.split()[:3])
    assert processed == len(FRAMES) + 1
    assert (dropped, squeezed) == (0, 0)


def test_what_a_cpu_has_no_time_or_no_room_for_is_counted():
    pair = Pair()
    kernel, dev = pair.a.kernel, pair.a.dev

    def busy(napi: Napi, budget: int) -> int:
        napi.poll = wire_poll
        return budget

    napis = [netif_napi_add(dev, busy) for _ in range(6)]
    for napi in napis:
        napi_enable(napi)
    run_in_irq(kernel, lambda: [napi_schedule(napi) for napi in napis])
    assert int(proc_net(pair.a.net, "softnet_stat").split()[2], 16) == 1

    def flood() -> None:
        for _ in range(1001):
            netif_rx(dev.build(ip(udp(9))))

    run_in_irq(kernel, flood)
    assert int(proc_net(pair.a.net, "softnet_stat").split()[1], 16) == 1


def test_there_is_no_other_file(both):
    with raises(ENOENT):
        proc_net(both.ours.net, "nothing")
