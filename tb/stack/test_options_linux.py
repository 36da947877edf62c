"""What options of sockets do: a program has the same results, and sends the same frames, as on a real Linux kernel."""

import os
import platform
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.frames import BROADCAST, icmp, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import IFINDEX, assert_same_program, make_ours, set_up

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

IP, SOL, UDP = api.SOL_IP, api.SOL_SOCKET, api.SOL_UDP
PEER, GROUP = ("10.0.0.1", 9000), "239.1.2.3"
BOUND = ("bind", ("", 9000))
NOW = api.MSG_DONTWAIT
RECV = ("recvmsg", 2000, 1000, NOW)
ERRORS = ("recvmsg", 200, 400, api.MSG_ERRQUEUE | NOW)
ERROR = ("getsockopt", SOL, api.SO_ERROR)
LAST = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 14)


def on(level: int, *options: int) -> list[tuple[object, ...]]:
    """Switch options on."""
    return [("setsockopt", level, option, 1) for option in options]


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def arrive(frame: bytes) -> tuple[str, bytes]:
    return "arrive", frame


ALL_CMSGS = on(
    IP,
    api.IP_PKTINFO,
    api.IP_RECVTTL,
    api.IP_RECVTOS,
    api.IP_RECVOPTS,
    api.IP_RETOPTS,
    api.IP_RECVORIGDSTADDR,
    api.IP_CHECKSUM,
    api.IP_RECVFRAGSIZE,
)
TO_GROUP = ip(udp(9000, dst=0xEF010203), dst=0xEF010203, mac=bytes.fromhex("01005e010203"))
OTHER_SOURCE = ip(udp(9000, src=0x0A000009, dst=0xEF010203), src=0x0A000009, dst=0xEF010203, mac=TO_GROUP[:6])
MREQ = address(GROUP) + address("10.0.0.2")
LONG = udp(9000, bytes(range(200)) * 12)
FRAGMENTS = [arrive(ip(LONG[:1480], frag=0x2000)), arrive(ip(LONG[1480:], frag=185))]
OPTIONS = {
    "a record of its route": b"\7\x0f\4" + bytes(12) + b"\0",
    "a full record": b"\7\7\x08\x0a\0\0\x09\0",
    "times and addresses": b"\x44\x14\5\3\x0a\0\0\x63" + bytes(12),
    "a source route at its end": b"\x83\x0b\x0c\x0a\0\0\x09\x0a\0\0\x08\0",
    "a source route and a record": b"\x83\x0b\x0c\x0a\0\0\x09\x0a\0\0\x08\7\7\4\0\0\0\0\0\0",
    "router alert": b"\x94\4\0\0",
    "nothing in them": b"\1\1\1\1",
}
SENT = ip(udp(9, bytes(range(64)), src=0x0A000002, dst=0x0A000001), src=0x0A000002, dst=0x0A000001, pad=b"")[14:]
# A datagram from port 9000 to 9 of the peer, as it comes back in errors.
SENT = SENT[:20] + pack("!HH", 9000, 9) + SENT[24:]
ELSEWHERE = SENT[:19] + b"\x32" + SENT[20:]  # To 10.0.0.50: the path's MTU stays.


def error(kind: int, code: int, rest: bytes = bytes(4), source: int = 0x0A000001, data: bytes = SENT) -> tuple:
    """Let an ICMP error about a datagram from port 9000 arrive."""
    return arrive(ip(icmp(kind, code, rest, data), 1, src=source, pad=b""))


ROUTER = 0x0A00004D
EXTENDED = SENT.ljust(128, b"\0")
OBJECTS = b"\x20\0\0\0" + b"\0\x08\1\1" + b"\0\x01\x11\xff"
PROGRAMS = {
    "all control messages": [BOUND, *ALL_CMSGS, arrive(ip(udp(9000), ttl=7, tos=0x28)), RECV, RECV],
    "of a broadcast": [BOUND, *ALL_CMSGS, arrive(ip(udp(9000, dst=0x0A0000FF), dst=0x0A0000FF, mac=BROADCAST)), RECV],
    "of a limited broadcast": [
        BOUND,
        *ALL_CMSGS,
        arrive(ip(udp(9000, dst=0xFFFFFFFF), dst=0xFFFFFFFF, mac=BROADCAST)),
        RECV,
    ],
    "of a multicast": [BOUND, *ALL_CMSGS, ("setsockopt", IP, api.IP_ADD_MEMBERSHIP, MREQ), arrive(TO_GROUP), RECV],
    "of fragments": [BOUND, *ALL_CMSGS, *FRAGMENTS, ("recvmsg", 4000, 1000, NOW)],
    "without a checksum": [BOUND, *ALL_CMSGS, arrive(ip(udp(9000, check=0))), RECV],
    "of a long one": [BOUND, *ALL_CMSGS, arrive(ip(udp(9000, bytes(range(250)) * 5))), RECV],
    "with little room": [
        BOUND,
        *ALL_CMSGS,
        *[arrive(ip(udp(9000), ttl=9))] * 5,
        *(("recvmsg", 100, room, NOW) for room in (0, 15, 28, 32, 57)),
    ],
    "for each packet anew": [
        BOUND,
        arrive(ip(udp(9000))),
        *on(IP, api.IP_RECVTTL, api.IP_PKTINFO),
        RECV,
        arrive(ip(udp(9000))),
        ("setsockopt", IP, api.IP_PKTINFO, 0),
        RECV,
    ],
    **{
        f"with {name}": [BOUND, *ALL_CMSGS, arrive(ip(udp(9000), options=octets)), RECV]
        for name, octets in OPTIONS.items()
    },
    "the time of arrival": [BOUND, *on(SOL, api.SO_TIMESTAMP), arrive(ip(udp(9000))), RECV],
    "in ns": [BOUND, *on(SOL, api.SO_TIMESTAMPNS), arrive(ip(udp(9000))), RECV],
    "of the newer kind": [
        BOUND,
        *on(SOL, api.SO_TIMESTAMP_NEW),
        *[arrive(ip(udp(9000)))] * 3,
        RECV,
        *on(SOL, api.SO_TIMESTAMPNS_NEW),
        RECV,
        ("setsockopt", SOL, api.SO_TIMESTAMPNS_NEW, 0),
        RECV,
    ],
    "the mark": [
        BOUND,
        *on(SOL, api.SO_RCVMARK, api.SO_RXQ_OVFL, *([api.SO_RCVPRIORITY] if LAST else [])),
        arrive(ip(udp(9000))),
        RECV,
    ],
    "peeking on": [
        BOUND,
        ("setsockopt", SOL, api.SO_PEEK_OFF, 0),
        *(arrive(ip(udp(9000, data))) for data in (b"abcdef", b"", b"ghijkl")),
        *[("recvmsg", 4, 100, NOW | api.MSG_PEEK)] * 6,
        ("getsockopt", SOL, api.SO_PEEK_OFF),
        *[("recvmsg", 4, 100, NOW)] * 2,
        ("getsockopt", SOL, api.SO_PEEK_OFF),
        ("recvmsg", 4, 100, NOW | api.MSG_PEEK),
        ("setsockopt", SOL, api.SO_PEEK_OFF, -1),
        ("recvmsg", 4, 100, NOW | api.MSG_PEEK | api.MSG_TRUNC),
        ("recvmsg", 4, 100, NOW | api.MSG_TRUNC),
    ],
    "peeking, with sums": [
        BOUND,
        *on(IP, api.IP_CHECKSUM),
        ("setsockopt", SOL, api.SO_PEEK_OFF, 3),
        arrive(ip(udp(9000, b"abcdef"))),
        ("recvmsg", 4, 100, NOW | api.MSG_PEEK),
    ],
    "an unreachable port": [BOUND, *on(IP, api.IP_RECVERR), error(3, 3), ERROR, ERRORS, ERROR, ERRORS],
    "an unreachable host": [BOUND, *on(IP, api.IP_RECVERR), error(3, 1, source=ROUTER), ERRORS, ERROR],
    "a TTL that ended": [BOUND, *on(IP, api.IP_RECVERR), error(11, 0, source=ROUTER), ERRORS, ERROR],
    "a way too narrow": [BOUND, *on(IP, api.IP_RECVERR), error(3, 4, b"\0\0\3\xe8", ROUTER, ELSEWHERE), ERRORS, ERROR],
    "a wrong parameter": [BOUND, *on(IP, api.IP_RECVERR), error(12, 0, b"\x14\0\0\0", ROUTER), ERRORS, ERROR],
    "several errors": [
        BOUND,
        *on(IP, api.IP_RECVERR),
        error(3, 3),
        error(3, 1),
        error(11, 0),
        ERRORS,
        ERROR,
        ERRORS,
        ("recvmsg", 100, 100, NOW),
        ERRORS,
        ERROR,
    ],
    "errors with all control messages": [BOUND, *on(IP, api.IP_RECVERR), *ALL_CMSGS, error(3, 3), ERRORS],
    "errors that are thrown away": [
        BOUND,
        *on(IP, api.IP_RECVERR),
        error(3, 3),
        ("setsockopt", IP, api.IP_RECVERR, 0),
        ERRORS,
        ERROR,
    ],
    "errors without asking": [
        BOUND,
        error(3, 3),
        ERROR,
        ("connect", ("10.0.0.1", 9)),
        error(3, 3),
        ERROR,
        error(11, 0),
    ],
    **{
        f"an error {name}": [
            BOUND,
            *on(IP, api.IP_RECVERR, api.IP_RECVERR_RFC4884),
            error(11, 0, bytes((0, words, 0, 0)), data=octets),
            ERRORS,
        ]
        for name, words, octets in (
            ("with an extension", 32, EXTENDED + OBJECTS),
            ("with an extension of another version", 32, EXTENDED + b"\x30" + OBJECTS[1:]),
            ("with an extension and a wrong sum", 32, EXTENDED + b"\x20\0\x12\x34" + OBJECTS[4:]),
            ("with an extension that is cut off", 32, EXTENDED + OBJECTS[:-1]),
            ("with an extension that is not there", 32, EXTENDED),
            ("with an extension too early", 20, EXTENDED + OBJECTS),
            ("without a length", 0, EXTENDED + OBJECTS),
        )
    },
    "bound to what may become ours": [*on(IP, api.IP_FREEBIND), ("bind", ("192.0.2.9", 9000)), ("getsockname",)],
    "bound to it, and sending": [
        *on(IP, api.IP_FREEBIND),
        ("bind", ("192.0.2.9", 9000)),
        ("sendto", b"data", PEER),
    ],
    "sending from others' addresses": [
        *on(IP, api.IP_TRANSPARENT),
        ("bind", ("192.0.2.9", 9000)),
        ("sendto", b"data", PEER),
        ("connect", PEER),
        ("send", b"data"),
    ],
    "bound without a port": [*on(IP, api.IP_BIND_ADDRESS_NO_PORT), ("bind", ("10.0.0.2", 0)), ("getsockname",)],
    "with a range of one port": [
        ("setsockopt", IP, api.IP_LOCAL_PORT_RANGE, pack("=HH", 40000, 40000)),
        ("bind", ("10.0.0.2", 0)),
        ("getsockname",),
        ("sendto", b"data", PEER),
    ]
    if LAST
    else [],
    "with a device for unicasts": [
        BOUND,
        ("setsockopt", IP, api.IP_UNICAST_IF, IFINDEX),
        ("setsockopt", IP, api.IP_UNICAST_IF, pack("!I", 99)),
        ("sendto", b"data", ("203.0.113.1", 9000)),
    ],
    "bound to a device by its number": [
        BOUND,
        ("setsockopt", SOL, api.SO_BINDTOIFINDEX, IFINDEX),
        ("getsockopt", SOL, api.SO_BINDTODEVICE, 16),
        ("sendto", b"data", PEER),
        ("setsockopt", SOL, api.SO_BINDTOIFINDEX, 99),
        ("getsockopt", SOL, api.SO_BINDTODEVICE, 16),
        ("sendto", b"data", PEER),
    ],
    "who the peer is": [
        ("connect", PEER),
        ("getsockopt", SOL, api.SO_PEERNAME, 16),
        ("getsockopt", SOL, api.SO_PEERNAME, 20),
    ],
    "a group's device by number": [
        BOUND,
        ("setsockopt", IP, api.IP_MULTICAST_LOOP, 0),
        ("setsockopt", IP, api.IP_MULTICAST_IF, bytes(8) + IFINDEX),
        ("getsockopt", IP, api.IP_MULTICAST_IF, 4),
        ("sendto", b"data", (GROUP, 9000)),
        ("setsockopt", IP, api.IP_MULTICAST_IF, bytes(4) + address("10.0.0.2") + IFINDEX),
        ("getsockopt", IP, api.IP_MULTICAST_IF, 4),
    ],
}
ANY = ("setsockopt", IP, api.IP_MULTICAST_ALL, 0)
SOURCE, OTHER = MREQ[:4] + MREQ[4:] + address("10.0.0.1"), MREQ[:4] + MREQ[4:] + address("10.0.0.9")
COMING = [arrive(TO_GROUP), arrive(OTHER_SOURCE), RECV, RECV, RECV]
JOIN = ("setsockopt", IP, api.IP_ADD_MEMBERSHIP, MREQ)
GROUP_REQ = IFINDEX + bytes(4) + (pack("=H2x", 2) + address(GROUP)).ljust(128, b"\0")


def req(source: str) -> bytes:
    return GROUP_REQ + (pack("=H2x", 2) + address(source)).ljust(128, b"\0")


def msfilter(mode: int, *sources: str, count: int | None = None) -> bytes:
    octets = MREQ + pack("=II", mode, len(sources) if count is None else count)
    return octets + b"".join(map(address, sources))


def group_filter(mode: int, *sources: str) -> bytes:
    octets = GROUP_REQ + pack("=II", mode, len(sources))
    return octets + b"".join((pack("=H2x", 2) + address(source)).ljust(128, b"\0") for source in sources)


PROGRAMS |= {
    f"of groups: {name}": [BOUND, ANY, *calls, *COMING]
    for name, calls in {
        "not in it": [],
        "in it": [JOIN, JOIN],
        "with a source blocked": [JOIN, *[("setsockopt", IP, api.IP_BLOCK_SOURCE, SOURCE)] * 2],
        "unblocked again": [
            JOIN,
            ("setsockopt", IP, api.IP_BLOCK_SOURCE, SOURCE),
            *[("setsockopt", IP, api.IP_UNBLOCK_SOURCE, SOURCE)] * 2,
        ],
        "blocking without being in it": [("setsockopt", IP, api.IP_BLOCK_SOURCE, SOURCE)],
        "from one source": [*[("setsockopt", IP, api.IP_ADD_SOURCE_MEMBERSHIP, SOURCE)] * 2],
        "from two sources": [
            ("setsockopt", IP, api.IP_ADD_SOURCE_MEMBERSHIP, SOURCE),
            ("setsockopt", IP, api.IP_ADD_SOURCE_MEMBERSHIP, OTHER),
        ],
        "from one, then none": [
            ("setsockopt", IP, api.IP_ADD_SOURCE_MEMBERSHIP, SOURCE),
            *[("setsockopt", IP, api.IP_DROP_SOURCE_MEMBERSHIP, SOURCE)] * 2,
            JOIN,
        ],
        "of both modes": [
            ("setsockopt", IP, api.IP_ADD_SOURCE_MEMBERSHIP, SOURCE),
            ("setsockopt", IP, api.IP_BLOCK_SOURCE, OTHER),
            JOIN,
        ],
        "by group requests": [
            *[("setsockopt", IP, api.MCAST_JOIN_GROUP, GROUP_REQ)] * 2,
            ("setsockopt", IP, api.MCAST_BLOCK_SOURCE, req("10.0.0.9")),
        ],
        "by source requests": [
            ("setsockopt", IP, api.MCAST_JOIN_SOURCE_GROUP, req("10.0.0.9")),
            ("setsockopt", IP, api.MCAST_LEAVE_SOURCE_GROUP, req("10.0.0.8")),
        ],
        "left by group request": [
            ("setsockopt", IP, api.MCAST_JOIN_GROUP, GROUP_REQ),
            *[("setsockopt", IP, api.MCAST_LEAVE_GROUP, GROUP_REQ)] * 2,
        ],
        "with a filter": [JOIN, ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_INCLUDE, "10.0.0.9"))],
        "with the other filter": [JOIN, ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_EXCLUDE, "10.0.0.9"))],
        "with wrong filters": [
            ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_INCLUDE, "10.0.0.9")),
            JOIN,
            ("setsockopt", IP, api.IP_MSFILTER, msfilter(7, "10.0.0.9")),
            ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_INCLUDE, "10.0.0.9", count=2)),
            ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_EXCLUDE, *["10.0.0.9"] * 11)),
            ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_EXCLUDE)),
        ],
        "with a filter that lets nobody in": [JOIN, ("setsockopt", IP, api.IP_MSFILTER, msfilter(api.MCAST_INCLUDE))],
        "with a group filter": [JOIN, ("setsockopt", IP, api.MCAST_MSFILTER, group_filter(1, "10.0.0.9"))],
        "in too many sources": [
            JOIN,
            *(("setsockopt", IP, api.IP_BLOCK_SOURCE, SOURCE[:-1] + bytes((last,))) for last in range(100, 112)),
        ],
    }.items()
}


def segment(size: int) -> list[tuple[int, int, bytes]]:
    return [(UDP, api.UDP_SEGMENT, pack("=H", size))]


DATA = bytes(range(256)) * 16
CORK = ("setsockopt", UDP, api.UDP_CORK, 1)
FROM = ("bind", ("10.0.0.2", 5000))
PROGRAMS |= {
    f"in segments: {name}": [FROM, *calls]
    for name, calls in {
        "by option": [
            ("setsockopt", UDP, api.UDP_SEGMENT, 1000),
            ("sendto", DATA, PEER),
            ("sendto", DATA[:1000], PEER),
        ],
        "by control message": [("sendmsg", [DATA], segment(700), 0, PEER), ("sendto", DATA[:100], PEER)],
        "of the last octet": [("sendmsg", [DATA[:1401]], segment(1400), 0, PEER)],
        "of an odd size": [("sendmsg", [DATA], segment(333), 0, PEER)],
        "of the longest size": [("sendmsg", [DATA], segment(1472), 0, PEER)],
        "too long for the way": [("sendmsg", [DATA], segment(1473), 0, PEER)],
        "short for a size too long": [("sendmsg", [DATA[:9]], segment(1473), 0, PEER)],
        "too many": [("sendmsg", [DATA], segment(8), 0, PEER), ("sendmsg", [DATA], segment(31), 0, PEER)],
        "none by 0": [("sendmsg", [DATA[:1000]], segment(0), 0, PEER)],
        "without a sum": [*on(SOL, api.SO_NO_CHECK), ("sendmsg", [DATA], segment(1000), 0, PEER)],
        "with a wrong control message": [("sendmsg", [DATA], [(UDP, api.UDP_SEGMENT, b"x")], 0, PEER)],
        "with one of another kind": [("sendmsg", [DATA], [(UDP, 99, pack("=H", 9))], 0, PEER)],
        "with a TTL": [("sendmsg", [DATA], [*segment(1000), (IP, api.IP_TTL, pack("=i", 9))], 0, PEER)],
        "of parts": [("sendmsg", [DATA[:1500], DATA[:3], DATA[7:2000]], segment(900), 0, PEER)],
        "of a cork": [
            CORK,
            ("sendmsg", [DATA[:1500]], segment(900), 0, PEER),
            ("sendto", DATA[:700], PEER),
            ("setsockopt", UDP, api.UDP_CORK, 0),
        ],
        "of one that goes on": [
            ("sendmsg", [DATA[:1500]], segment(900), api.MSG_MORE, PEER),
            ("sendto", DATA[:700], PEER),
        ],
        "connected": [
            ("connect", PEER),
            ("setsockopt", UDP, api.UDP_SEGMENT, 1400),
            ("send", DATA),
            ("send", DATA[:10]),
        ],
        "never to be fragmented": [
            ("setsockopt", IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO),
            ("sendmsg", [DATA], segment(1400), 0, PEER),
        ],
        "with options": [
            ("setsockopt", IP, api.IP_OPTIONS, b"\x94\4\0\0"),
            ("sendmsg", [DATA], segment(1400), 0, PEER),
            ("sendmsg", [DATA], segment(1470), 0, PEER),
        ],
        "as much as can be": [("sendmsg", [DATA * 15 + DATA[:4067]], segment(1400), 0, PEER)],
        "more than can be": [("sendmsg", [DATA * 15 + DATA[:4068]], segment(1400), 0, PEER)],
        "to a group": [
            ("setsockopt", IP, api.IP_MULTICAST_LOOP, 0),
            ("setsockopt", IP, api.IP_MULTICAST_IF, address("10.0.0.2")),
            ("sendmsg", [DATA], segment(1400), 0, (GROUP, 9000)),
        ],
    }.items()
}
RAW = {
    "all control messages": [*ALL_CMSGS, arrive(ip(b"payload", 200, ttl=9, tos=4)), RECV],
    "of options": [*ALL_CMSGS, arrive(ip(b"payload", 200, options=OPTIONS["a source route and a record"])), RECV],
    "the time": [*on(SOL, api.SO_TIMESTAMP), arrive(ip(b"payload", 200)), RECV],
    "of fragments": [
        *ALL_CMSGS,
        arrive(ip(bytes(1000), 200, frag=0x2000)),
        arrive(ip(bytes(100), 200, frag=125)),
        ("recvmsg", 4000, 1000, NOW),
    ],
    "sending from others' addresses": [
        *on(IP, api.IP_TRANSPARENT),
        ("bind", ("192.0.2.9", 0)),
        ("sendto", b"data", ("10.0.0.1", 0)),
    ],
    "with a device for unicasts": [
        ("setsockopt", IP, api.IP_UNICAST_IF, IFINDEX),
        ("sendto", b"data", ("203.0.113.1", 0)),
    ],
}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-so{os.getpid()}") as peer:
        set_up(peer)
        for where in ("all", "eth0"):
            peer.sysctl(f"net.ipv4.conf.{where}.accept_source_route", 1)
        yield peer


def ours_like_theirs():
    ours = make_ours()
    ours.net.ipv4.devconf_all.accept_source_route = 1
    return ours


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_udp_has_the_same_results_as_on_linux(linux, name):
    assert_same_program(linux, ours_like_theirs(), api.SOCK_DGRAM, 0, PROGRAMS[name])


@pytest.mark.parametrize("name", RAW)
def test_a_program_of_raw_sockets_has_the_same_results_as_on_linux(linux, name):
    assert_same_program(linux, ours_like_theirs(), api.SOCK_RAW, 200, RAW[name])
