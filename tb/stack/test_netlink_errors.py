"""Wrong requests, and questions, to our stack and to the real kernel: the same errno, and a text where it has one."""

import os
import random
import struct
import time
from socket import inet_aton

import pytest

from hardwire.stack.netlink.if_link import Ifla
from hardwire.stack.netlink.rtnetlink import Rta, Rtm
from hardwire.stack.netlink.uapi import NetlinkOpt, NlmF
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.linux_peer import can_make_namespaces
from hardwire.tb.stack.netlink_peer import NetlinkClient, attr, kernel_namespace, nested, ours
from hardwire.tb.stack.netlink_words import addr, link, neigh, plain, route, veth
from hardwire.tb.stack.test_netlink_linux import HOP, MAC, NEW, hop

SEED = int(os.environ.get("HARDWIRE_SEED", random.getrandbits(32)))
linux = pytest.mark.skipif(not can_make_namespaces(), reason="namespaces and TAP devices need root")

SETUP = [
    (Rtm.NEWLINK, NEW, veth("v0", "v1", attr(Ifla.ADDRESS, MAC), peer_attrs=attr(Ifla.ADDRESS, MAC[:5] + b"2"))),
    (Rtm.NEWLINK, 0, link(3, 1, 1)),
    (Rtm.NEWLINK, 0, link(2, 1, 1)),
    (Rtm.NEWADDR, NEW, addr(3, "10.1.0.1/24")),
    (Rtm.NEWADDR, NEW, addr(3, "10.1.0.9/24")),
    (Rtm.NEWROUTE, NEW, route("10.9.0.0/16", via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.10.0.0/16", nested(Rta.METRICS, attr(2, 1400)), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.11.0.0/16", kind=7)),
    (Rtm.NEWROUTE, NEW, route("10.12.0.0/16", attr(Rta.PREFSRC, inet_aton("10.1.0.9")), via="10.1.0.7")),
]


def u8(kind: int, value: int) -> bytes:
    return attr(kind, bytes([value]))


def info(name: str, *more: bytes) -> bytes:
    return nested(Ifla.LINKINFO, attr(1, name), *more)


ERRORS = [
    (Rtm.GETLINK, 0, link()),
    (Rtm.GETLINK, 0, link(77)),
    (Rtm.GETLINK, 0, link(0, name="none")),
    (Rtm.GETLINK, 0, link(0, name="x" * 16)),
    (Rtm.GETLINK, 0, bytes(8)),
    (Rtm.GETLINK, 0, b"\0"),
    (Rtm.GETLINK, 0, link(3, 0, 0, attr(Ifla.NET_NS_FD, 3))),
    (Rtm.GETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, b"x"))),
    (Rtm.GETLINK, 0, link(3, 0, 0, attr(Ifla.IFALIAS, bytes(256)))),
    (Rtm.SETLINK, 0, link(77, 1, 1)),
    (Rtm.SETLINK, 0, link()),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, 67))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, 65536))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, 1 << 31))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.ADDRESS, MAC[:5]))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.ADDRESS, b"\1" + MAC[1:]))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.ADDRESS, bytes(6)))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MASTER, 77))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MASTER, 2))),
    (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MASTER, 0))),
    (Rtm.SETLINK, 0, link(3, 0, 0, name="lo")),
    (Rtm.SETLINK, 0, link(3, 0, 0, name="a/b")),
    (Rtm.SETLINK, 0, link(3, 0, 0, name="a b")),
    (Rtm.SETLINK, 0, link(3, 0, 0, name=".")),
    (Rtm.SETLINK, 0, link(3, 0, 0, u8(Ifla.CARRIER, 0))),
    (Rtm.SETLINK, 0, link(1, 0, 0, attr(Ifla.MTU, 70000))),
    (Rtm.NEWLINK, 0, link(77)),
    (Rtm.NEWLINK, 0, link(-1)),
    (Rtm.NEWLINK, 0, link(0, name="none")),
    (Rtm.NEWLINK, NEW, link(0, name="none")),
    (Rtm.NEWLINK, NEW, link(0, 0, 0, info("nothing"), name="none")),
    (Rtm.NEWLINK, NEW, link(0, 0, 0, info("veth"), name="v0")),
    (Rtm.NEWLINK, NEW, link(0, 0, 0, info("veth"), name="a/b")),
    (Rtm.NEWLINK, NEW, veth("p0", "v0")),
    (Rtm.NEWLINK, NEW, veth("p0", "p0")),
    (Rtm.NEWLINK, NEW, veth("p0", "p1", attr(Ifla.MTU, 3))),
    (Rtm.NEWLINK, NEW, veth("p0", "p1", attr(Ifla.ADDRESS, b"\1" + MAC[1:]))),
    (Rtm.NEWLINK, NEW, link(3)),
    (Rtm.NEWLINK, NlmF.CREATE | NlmF.REPLACE, link(3)),
    (Rtm.NEWLINK, 0, link(3, 0, 0, info("bridge", nested(2, attr(1, 100))))),
    (Rtm.NEWLINK, 0, link(3, 0, 0, nested(Ifla.LINKINFO, nested(5, attr(1, 100))))),
    (Rtm.DELLINK, 0, link(1)),
    (Rtm.DELLINK, 0, link(77)),
    (Rtm.DELLINK, 0, link()),
    (Rtm.DELLINK, 0, link(0, name="none")),
    (Rtm.DELLINK, 0, link(0, 0, 0, attr(Ifla.GROUP, 0))),
    (Rtm.DELLINK, 0, link(0, 0, 0, attr(Ifla.GROUP, 99))),
    (Rtm.DELLINK, NlmF.BULK, link(3)),
    (Rtm.NEWADDR, NEW, addr(77, "10.2.0.1/24")),
    (Rtm.NEWADDR, NEW, addr(3, "10.1.0.1/24")),
    (Rtm.NEWADDR, NEW, addr(3, "10.1.0.5/24", scope=253)),
    (Rtm.NEWADDR, NEW, addr(3, "10.2.0.1/33")),
    (Rtm.NEWADDR, NEW, struct.pack("=BBBBI", 2, 24, 0, 0, 3)),
    (Rtm.NEWADDR, NEW, struct.pack("=BBBBI", 2, 24, 0, 0, 3) + attr(1, inet_aton("10.2.0.1"))),
    (Rtm.NEWADDR, NEW, addr(3, "10.2.0.1/24", attr(3, "x" * 16))),
    (Rtm.NEWADDR, NEW, addr(3, "10.2.0.1/24", attr(6, struct.pack("=4I", 10, 0, 0, 0)))),
    (Rtm.NEWADDR, NEW, addr(3, "10.2.0.1/24", attr(6, struct.pack("=4I", 10, 5, 0, 0)))),
    (Rtm.NEWADDR, NEW, b"\2\x18\0"),
    (Rtm.NEWADDR, NEW, b"\x63" + addr(3, "10.2.0.1/24")[1:]),
    (Rtm.DELADDR, 0, addr(3, "10.2.0.1/24")),
    (Rtm.DELADDR, 0, addr(3, "10.1.0.1/25")),
    (Rtm.DELADDR, 0, addr(77, "10.1.0.1/24")),
    (Rtm.NEWROUTE, NEW, route("10.9.0.0/16", via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.9.0.1/16", via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.9.0.0/33", via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.2.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.255")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.9.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", oif=77, scope=253)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", scope=253)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", scope=254)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", scope=255)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", kind=2)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", kind=0)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", kind=11)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", kind=12)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", kind=200)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", kind=6)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", tos=1)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", flags=1)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.7", flags=16)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", oif=3, scope=253, flags=4)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.5.0.7", flags=4)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", via="10.1.0.1", oif=3, flags=4)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.PREFSRC, inet_aton("10.1.0.77")), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.PREFSRC, b"x"), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", nested(Rta.METRICS, attr(99, 1400)), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", nested(Rta.METRICS, attr(2, b"xy")), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", nested(Rta.METRICS, attr(12, 0x100)), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, b""))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, bytes(8)))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, hop("10.1.0.7") + b"1234"))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, hop("10.1.0.7") + hop("10.7.0.7")))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, hop("10.1.0.7", flags=1)))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, HOP.pack(8, 0, 0, 77) * 2))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.MULTIPATH, hop("10.1.0.7")), kind=6)),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.VIA, b"\2\0" + inet_aton("10.1.0.7")), via="10.1.0.7")),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.VIA, b"\x63\0" + inet_aton("10.1.0.7")))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.VIA, b"\2"))),
    (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", attr(Rta.VIA, b"\2\0abc"))),
    (Rtm.NEWROUTE, NEW, bytes(11)),
    (Rtm.NEWROUTE, NEW, b"\x63" + route("10.20.0.0/16", via="10.1.0.7")[1:]),
    (Rtm.NEWROUTE, 0, route("10.20.0.0/16", via="10.1.0.7")),
    (Rtm.DELROUTE, 0, route("10.20.0.0/16", kind=0, scope=255, protocol=0)),
    (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=0, scope=254, protocol=0)),
    (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=6, scope=255, protocol=0)),
    (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=0, scope=255, protocol=9)),
    (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=0, scope=255, protocol=0, table=99)),
    (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=0, scope=255, protocol=0, oif=2)),
    (Rtm.DELROUTE, 0, route("10.9.0.1/16", kind=0, scope=255, protocol=0)),
    (Rtm.DELROUTE, 0, route("10.10.0.0/16", nested(Rta.METRICS, attr(2, 1401)), scope=255)),
    (Rtm.NEWNEIGH, NEW, neigh(77, "10.1.0.7", "02:00:00:00:00:07")),
    (Rtm.NEWNEIGH, NEW, neigh(0, "10.1.0.7", "02:00:00:00:00:07")),
    (Rtm.NEWNEIGH, NEW, neigh(3, "", "02:00:00:00:00:07")),
    (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.7", "02:00:00")),
    (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.7", "")),
    (Rtm.NEWNEIGH, NEW, neigh(3, "", "", 0x80, 0, attr(1, b"abc"))),
    (Rtm.NEWNEIGH, 0, neigh(3, "10.1.0.8", "02:00:00:00:00:07")),
    (Rtm.NEWNEIGH, NEW, b"\x63" + neigh(3, "10.1.0.8", "02:00:00:00:00:07")[1:]),
    (Rtm.DELNEIGH, 0, neigh(3, "10.1.0.77", state=0)),
    (Rtm.DELNEIGH, 0, neigh(0, "10.1.0.77", state=0)),
    (Rtm.DELNEIGH, 0, neigh(3, "10.1.0.77", state=0, flags=8)),
    (Rtm.DELNEIGH, 0, neigh(77, "10.1.0.77", state=0)),
    (Rtm.DELNEIGH, 0, neigh(3, "", state=0)),
    (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.77", state=0)),
    (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.77", state=1)),
    (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.77", state=0, flags=1)),
    (Rtm.GETNEIGH, 0, neigh(0, "10.1.0.77", state=0)),
    (Rtm.GETNEIGH, 0, neigh(77, "10.1.0.77", state=0)),
    (Rtm.GETNEIGH, 0, neigh(3, "", state=0)),
    (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.77", state=0, flags=8)),
    (Rtm.GETADDR, 0, bytes([2]) + bytes(7)),
    (Rtm.GETROUTE, 0, bytes(3)),
    (99, 0, bytes(8)),
    (19 + 100, 0, bytes(8)),
    (500, 0, bytes(8)),
    (18, 0, b""),
    (17, 0, b""),
]


def get(*attrs: bytes, dst: str = "", src: str = "", tos: int = 0, flags: int = 0) -> tuple[int, int, bytes]:
    """Return a question for a packet's way."""
    octets = struct.pack("=8BI", 2, 32 if dst else 0, 32 if src else 0, tos, 0, 0, 0, 0, flags)
    octets += attr(Rta.DST, inet_aton(dst)) if dst else b""
    octets += attr(Rta.SRC, inet_aton(src)) if src else b""
    return Rtm.GETROUTE, 0, octets + b"".join(attrs)


QUESTIONS = [
    get(),
    *(
        get(dst=dst)
        for dst in ("10.9.0.1", "10.10.0.1", "10.11.0.1", "10.12.0.1", "10.1.0.1", "10.1.0.2", "10.1.0.255")
    ),
    *(get(dst=dst) for dst in ("9.9.9.9", "127.0.0.1", "255.255.255.255", "224.0.0.1", "0.0.0.0")),
    *(get(attr(Rta.OIF, oif), dst="10.1.0.7") for oif in (1, 2, 3, 77)),
    get(attr(Rta.OIF, 3), dst="9.9.9.9"),
    get(attr(Rta.OIF, 3), dst="224.0.0.1"),
    get(attr(Rta.MARK, 7), attr(Rta.UID, 1000), dst="10.1.0.7"),
    get(dst="10.1.0.7", src="10.1.0.9"),
    get(dst="10.1.0.7", src="10.1.0.99"),
    get(dst="10.9.0.1", src="10.1.0.9"),
    get(dst="10.9.0.1", flags=0x2000),
    get(dst="10.10.0.1", flags=0x2000),
    get(dst="10.1.0.1", flags=0x2000),
    get(dst="10.9.0.1", flags=0x1000),
    get(attr(Rta.IIF, 3), dst="10.1.0.1", src="10.1.0.7"),
    get(attr(Rta.IIF, 3), dst="10.1.0.255", src="10.1.0.7"),
    get(attr(Rta.IIF, 3), dst="10.9.0.1", src="10.1.0.7"),
    get(attr(Rta.IIF, 3), dst="10.1.0.1", src="127.0.0.1"),
    get(attr(Rta.IIF, 3), dst="10.1.0.1", src="10.1.0.1"),
    get(attr(Rta.IIF, 77), dst="10.1.0.1", src="10.1.0.7"),
    get(u8(Rta.IP_PROTO, 6), attr(Rta.DPORT, b"\0\x50"), dst="10.9.0.1"),
    get(u8(Rta.IP_PROTO, 99), dst="10.9.0.1"),
    get(attr(Rta.DPORT, b"\0\0"), dst="10.9.0.1"),
]
STRICT = [
    (Rtm.GETLINK, NlmF.DUMP, b"\0"),
    (Rtm.GETLINK, NlmF.DUMP, link(3)),
    (Rtm.GETLINK, NlmF.DUMP, link(0, 1)),
    (Rtm.GETLINK, NlmF.DUMP, link(0, 0, 0, attr(Ifla.EXT_MASK, 8))),
    (Rtm.GETLINK, NlmF.DUMP, link(0, 0, 0, attr(Ifla.MTU, 8))),
    (Rtm.GETLINK, NlmF.DUMP, link(0, 0, 0, attr(Ifla.MASTER, 2))),
    (Rtm.GETLINK, 0, link(3, 1)),
    (Rtm.GETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, 8))),
    (Rtm.GETADDR, NlmF.DUMP, struct.pack("=BBBBI", 2, 0, 0, 0, 3)),
    (Rtm.GETADDR, NlmF.DUMP, struct.pack("=BBBBI", 2, 0, 0, 0, 77)),
    (Rtm.GETADDR, NlmF.DUMP, struct.pack("=BBBBI", 2, 24, 0, 0, 3)),
    (Rtm.GETADDR, NlmF.DUMP, struct.pack("=BBBBI", 2, 0, 0, 0, 3) + attr(2, 1)),
    (Rtm.GETADDR, NlmF.DUMP, b"\2"),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=0)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=3, kind=0, table=0)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=2, table=0)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=255)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=99)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", attr(Rta.TABLE, 254), protocol=0, kind=0, table=0)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=0, oif=3)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=0, oif=77)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=0, tos=8)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", protocol=0, kind=0, table=0, flags=1)),
    (Rtm.GETROUTE, NlmF.DUMP, route("10.9.0.0/16", protocol=0, kind=0, table=0)),
    (Rtm.GETROUTE, NlmF.DUMP, route("default", attr(Rta.PRIORITY, 254), protocol=0, kind=0, table=0)),
    (Rtm.GETROUTE, NlmF.DUMP, b"\2"),
    (Rtm.GETNEIGH, NlmF.DUMP, neigh(3, "", state=0)),
    (Rtm.GETNEIGH, NlmF.DUMP, neigh(0, "", state=1)),
    (Rtm.GETNEIGH, NlmF.DUMP, neigh(0, "", state=0, flags=1)),
    (Rtm.GETNEIGH, NlmF.DUMP, neigh(0, "10.1.0.7", state=0)),
    (Rtm.GETNEIGH, NlmF.DUMP, neigh(0, "", "", 0, 0, attr(8, 3))),
    (Rtm.GETNEIGH, NlmF.DUMP, b"\0"),
    get(dst="10.9.0.1"),
    (Rtm.GETROUTE, 0, route("10.9.0.0/16", protocol=0, kind=0, table=0)),
    (Rtm.GETROUTE, 0, route("10.9.0.1/32", protocol=3, kind=0, table=0)),
    (Rtm.GETROUTE, 0, route("10.9.0.1/32", attr(Rta.PRIORITY, 254), protocol=0, kind=0, table=0)),
]


def replies(client: NetlinkClient, requests: list, settle, *, strict: bool = False) -> list:
    """Return errno, text and messages that answer each request, after those that set everything up."""
    client.option(NetlinkOpt.EXT_ACK)
    for request in SETUP:
        assert client.ask(*request).error == 0
    settle(1.2)  # Links are followed once a second.
    if strict:
        client.option(NetlinkOpt.GET_STRICT_CHK)
    answers = [client.ask(*request) for request in requests]
    return [(one.error, one.text, [plain(message) for message in one.messages]) for one in answers]


@linux
@pytest.mark.parametrize("what", ["errors", "questions", "strict"])
def test_requests_are_answered_as_by_the_kernel(what):
    requests = {"errors": ERRORS, "questions": QUESTIONS, "strict": STRICT}[what]
    kernel, platform = make_kernel()
    with ours(kernel.init_net) as client:
        mine = replies(client, requests, lambda s: platform.advance(int(s * 1e9)), strict=what == "strict")
    with kernel_namespace(f"hwne{os.getpid()}") as make, make() as client:
        theirs = replies(client, requests, time.sleep, strict=what == "strict")
    different = [
        (request, one, other)
        for request, one, other in zip(requests, mine, theirs, strict=True)
        if one[0] != other[0] or one[2] != other[2] or (other[1] and not one[1])
    ]
    assert not different, "\n".join(map(repr, different))
