"""Every number of a socket option, set to and read with values of every kind: the answers of a real Linux kernel."""

import os
import platform
import socket as real
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import make_ours, set_up

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

VALUES = (
    *(0, 1, -1, 2, 255, 256),
    *(b"", b"\1", b"\1\0\0", pack("=ii", 1, 5), pack("=ii", 0, -3), pack("=qq", 1, 5), pack("=q", -1)),
    *(bytes(12), bytes(20), bytes(136), bytes(264)),
    *(b"lo", b"eth0\0", b"eth0" + bytes(12), b"\x0a\0\0\2", pack("=4s4si", bytes(4), bytes(4), 99)),
)
ROOM = (0, 1, 2, 4, 8, 16, 64)
SOCKETS = {"UDP": (2, 0), "raw, any protocol": (3, 200), "raw ICMP": (3, 1), "raw, with headers": (3, 255)}
LEVELS = {"SOL_SOCKET": 1, "SOL_IP": 0, "SOL_UDP": 17, "SOL_RAW": 255, "SOL_TCP": 6}

# Options that we do not have, by level, each with its reason. Of these no answer is compared.
NOT_HERE = {
    1: {
        26: "SO_ATTACH_FILTER: filters have tests of their own",
        27: "SO_DETACH_FILTER: likewise",
        44: "SO_LOCK_FILTER: likewise",
        48: "SO_BPF_EXTENSIONS: likewise",
        50: "SO_ATTACH_BPF: programs for a machine that there is not",
        51: "SO_ATTACH_REUSEPORT_CBPF: likewise",
        52: "SO_ATTACH_REUSEPORT_EBPF: likewise",
        68: "SO_DETACH_REUSEPORT_BPF: likewise",
        37: "SO_TIMESTAMPING: the card keeps no time",
        65: "SO_TIMESTAMPING_NEW: likewise",
        57: "SO_COOKIE: a number that is up to the host; tested below",
        60: "SO_ZEROCOPY: a device cannot reach a program's memory",
        61: "SO_TXTIME: for a qdisc that sends by the clock",
        71: "SO_NETNS_COOKIE: as SO_COOKIE",
        80: "SO_DEVMEM_DONTNEED: memory of devices",
    },
    0: {
        16: "IP_IPSEC_POLICY: of IPsec",
        17: "IP_XFRM_POLICY: of IPsec",
        41: "IP_MSFILTER: to read it, a program hands octets in, which Python's getsockopt() does not; set below",
        48: "MCAST_MSFILTER: likewise",
        **dict.fromkeys((64, 65, 66, 67, 80, 83, 96, 97, 98, 99), "of iptables, ebtables and arptables"),
    },
    17: {
        10: "UDPLITE_SEND_CSCOV: of UDP-Lite",
        11: "UDPLITE_RECV_CSCOV: of UDP-Lite",
    },
}
# Kernel from which on an option is there, or answers as it does now, if that is later than 6.1.
SINCE = {
    (1, api.SO_PASSCRED): (6, 16),
    (1, api.SO_PASSSEC): (6, 16),
    (1, api.SO_PASSPIDFD): (6, 16),
    (1, api.SO_PEERPIDFD): (6, 5),
    (1, api.SO_RCVPRIORITY): (6, 14),
    (1, api.SO_PASSRIGHTS): (6, 16),
    (0, api.IP_LOCAL_PORT_RANGE): (6, 3),
    (0, api.IP_PROTOCOL): (6, 5),
}
KERNEL = tuple(int(part) for part in platform.release().split(".")[:2])


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-opt{os.getpid()}") as peer:
        set_up(peer)
        yield peer


def options(level: int) -> list[int]:
    """Return the numbers to compare."""
    return [
        option
        for option in range(111)
        if option not in NOT_HERE.get(level, {}) and KERNEL >= SINCE.get((level, option), (0, 0))
    ]


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a call returned, or its errno."""
    try:
        return function(*args)
    except OSError as error:
        return OSError, error.errno


def answers(make_socket: Callable[..., Any], kind: int, protocol: int, level: int) -> dict[Any, Any]:
    """Return what each option says as it is, and after each value."""
    said: dict[Any, Any] = {}
    sock = make_socket(api.AF_INET, kind, protocol)
    for option in options(level):
        for room in ROOM:
            said[option, "room", room] = outcome(sock.getsockopt, level, option, room)
    sock.close()
    for option in options(level):
        for value in VALUES:
            sock = make_socket(api.AF_INET, kind, protocol)
            done = outcome(sock.setsockopt, level, option, value)
            said[option, value] = done, outcome(sock.getsockopt, level, option, 64)
            sock.close()
    return said


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", SOCKETS)
def test_each_option_answers_as_on_linux(linux, kind, level):
    theirs = linux.inside(lambda: answers(real.socket, *SOCKETS[kind], LEVELS[level]))
    ours = make_ours()
    for name in ("wmem_max", "rmem_max"):
        setattr(ours.net.ipv4, f"sysctl_{name}", int(Path(f"/proc/sys/net/core/{name}").read_text()))
    mine = answers(ours.net.socket, *SOCKETS[kind], LEVELS[level])
    assert {key: (mine[key], theirs[key]) for key in theirs if mine[key] != theirs[key]} == {}


_WITH_TESTS_OF_THEIR_OWN = {(1, api.SO_COOKIE), (1, api.SO_NETNS_COOKIE), (1, 26), (1, 27), (1, 44), (0, 41), (0, 48)}


def test_options_that_are_not_here_are_refused_and_each_has_a_reason():
    ours = make_ours()
    for level, reasons in NOT_HERE.items():
        for option, reason in reasons.items():
            assert reason
            if (level, option) in _WITH_TESTS_OF_THEIR_OWN:
                continue
            with pytest.raises(OSError, match=r"\[Errno (92|95)\]"):
                ours.socket().setsockopt(level, option, pack("=qq", 1, 5))


def test_each_socket_and_each_namespace_has_a_cookie_of_its_own():
    ours = make_ours()
    sockets = [ours.socket(), ours.socket()]
    cookies = [sock.getsockopt(api.SOL_SOCKET, api.SO_COOKIE, 8) for sock in (*sockets, *sockets)]
    assert cookies[:2] == cookies[2:]
    networks = {sock.getsockopt(api.SOL_SOCKET, api.SO_NETNS_COOKIE, 8) for sock in sockets}
    assert len({*cookies, *networks}) == 3
