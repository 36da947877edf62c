"""The same requests to our stack and to the real kernel: equal answers, errors, and notifications in kind and order."""

import os
import struct
import time
from socket import inet_aton

import pytest

from hardwire.stack.netlink.if_link import Ifla
from hardwire.stack.netlink.rtnetlink import Rta, Rtm, Rtnlgrp
from hardwire.stack.netlink.uapi import NetlinkOpt, NlmF
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.linux_peer import can_make_namespaces
from hardwire.tb.stack.netlink_peer import NetlinkClient, attr, kernel_namespace, nested, ours
from hardwire.tb.stack.netlink_words import addr, link, neigh, plain, route, veth

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="namespaces and TAP devices need root")

NEW = NlmF.CREATE | NlmF.EXCL
MAC = bytes.fromhex("020000000031")
SETTLE = "settle"  # Let a second pass: links are followed once a second.
GROUPS = (Rtnlgrp.LINK, Rtnlgrp.IPV4_IFADDR, Rtnlgrp.IPV4_ROUTE, Rtnlgrp.NEIGH)

HOP = struct.Struct("=HBBi")


def hop(via: str, weight: int = 1, oif: int = 0, flags: int = 0) -> bytes:
    return HOP.pack(16, flags, weight - 1, oif) + attr(Rta.GATEWAY, inet_aton(via))


DUMPS = [
    (Rtm.GETLINK, NlmF.DUMP, link()),
    (Rtm.GETADDR, NlmF.DUMP, bytes([2]) + bytes(7)),
    (Rtm.GETADDR, NlmF.DUMP, bytes(8)),
    (Rtm.GETROUTE, NlmF.DUMP, bytes([2]) + bytes(11)),
    (Rtm.GETNEIGH, NlmF.DUMP, bytes(12)),
    (Rtm.GETNEIGH, NlmF.DUMP, neigh(0, "", state=0, flags=8)),
]
PAIR = [
    (Rtm.NEWLINK, NEW, veth("v0", "v1", attr(Ifla.ADDRESS, MAC), peer_attrs=attr(Ifla.ADDRESS, MAC[:5] + b"2"))),
    SETTLE,
    (Rtm.NEWLINK, 0, link(3, 1, 1)),
    SETTLE,
    (Rtm.SETLINK, 0, link(0, 1, 1, name="v1")),
    SETTLE,
]
SERIES = {
    "links": [
        *DUMPS,
        *PAIR,
        *DUMPS[:1],
        (Rtm.GETLINK, 0, link(3)),
        (Rtm.GETLINK, 0, link(0, name="v1")),
        (Rtm.GETLINK, NlmF.DUMP, link(0, 0, 0, nested(Ifla.LINKINFO, attr(1, "veth")))),
        (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, 1400))),
        (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MTU, 1400))),
        (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.TXQLEN, 100))),
        (Rtm.SETLINK, 0, link(3, 0x100, 0x100)),
        (Rtm.SETLINK, 0, link(3, 0x100, 0x100)),
        (Rtm.SETLINK, 0, link(3, 0, 0x100)),
        (Rtm.SETLINK, 0, link(3, 0x200, 0x200)),
        (Rtm.SETLINK, 0, link(3, 0x80, 0x80)),
        (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.IFALIAS, b"to the other"))),
        (Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.GROUP, 7))),
        (Rtm.SETLINK, 0, link(3, 0, 0, name="w0")),
        *DUMPS[:1],
        (Rtm.SETLINK, 0, link(3, 0, 1)),
        SETTLE,
        *DUMPS[:1],
        (Rtm.SETLINK, 0, link(3, 1, 1)),
        SETTLE,
        (Rtm.DELLINK, 0, link(2)),
        *DUMPS[:1],
        (Rtm.NEWLINK, NEW, link(0, 0, 0, nested(Ifla.LINKINFO, attr(1, "veth")))),
        (Rtm.DELLINK, 0, link(0, name="veth1")),
        (Rtm.NEWLINK, NEW, veth("p%d", "q%d", attr(Ifla.MTU, 1300), attr(Ifla.TXQLEN, 33))),
        (Rtm.NEWLINK, NEW, veth("p%d", "q%d", struct.pack("=HHI", 8, Ifla.GROUP, 9))),
        (Rtm.DELLINK, 0, link(0, 0, 0, attr(Ifla.GROUP, 9))),
    ],
    "addresses": [
        *PAIR,
        (Rtm.NEWADDR, NEW, addr(3, "10.1.0.1/24", broadcast="10.1.0.255")),
        (Rtm.NEWADDR, NEW, addr(3, "10.1.0.1/24")),
        (Rtm.NEWADDR, NEW, addr(3, "10.1.0.2/24")),
        (Rtm.NEWADDR, NEW, addr(3, "10.1.0.3/32", attr(3, "v0:extra"))),
        (Rtm.NEWADDR, NEW, addr(3, "10.2.0.1/16", scope=253)),
        (Rtm.NEWADDR, NEW, addr(3, "10.3.0.1/31", attr(9, 77))),
        (Rtm.NEWADDR, NlmF.REPLACE, addr(3, "10.1.0.1/24")),
        (Rtm.NEWADDR, NEW, addr(3, "10.4.0.1/24", attr(6, struct.pack("=4I", 100, 200, 0, 0)))),
        (Rtm.NEWADDR, NEW, addr(3, "10.5.0.1/24", attr(6, struct.pack("=4I", 0, 200, 0, 0)))),
        (Rtm.NEWADDR, NlmF.REPLACE, addr(3, "10.5.0.1/24", attr(6, struct.pack("=4I", 100, 0xFFFFFFFF, 0, 0)))),
        (Rtm.NEWADDR, NEW, addr(2, "10.1.0.9/24", attr(8, 0x200))),
        *DUMPS[1:4],
        (Rtm.SETLINK, 0, link(3, 0, 0, name="w0")),
        (Rtm.DELADDR, 0, addr(3, "10.1.0.1/24")),
        (Rtm.DELADDR, 0, addr(3, "10.1.0.1/24")),
        *DUMPS[1:4],
        (Rtm.SETLINK, 0, link(3, 0, 1)),
        SETTLE,
        *DUMPS[1:4],
        (Rtm.SETLINK, 0, link(3, 1, 1)),
        SETTLE,
        *DUMPS[1:4],
        (Rtm.DELLINK, 0, link(3)),
    ],
    "routes": [
        *PAIR,
        (Rtm.NEWADDR, NEW, addr(3, "10.1.0.1/24")),
        (Rtm.NEWADDR, NEW, addr(2, "10.2.0.1/24")),
        (Rtm.NEWROUTE, NEW, route("10.9.0.0/16", via="10.1.0.7")),
        (Rtm.NEWROUTE, NEW, route("10.9.0.0/16", via="10.1.0.7")),
        (Rtm.NEWROUTE, NEW, route("10.9.0.0/16", attr(Rta.PRIORITY, 5), via="10.1.0.8")),
        (Rtm.NEWROUTE, NlmF.CREATE | NlmF.APPEND, route("10.9.0.0/16", via="10.1.0.8")),
        (Rtm.NEWROUTE, NlmF.CREATE | NlmF.APPEND, route("10.9.0.0/16", via="10.1.0.8")),
        (Rtm.NEWROUTE, NlmF.CREATE, route("10.9.0.0/16", via="10.1.0.9")),
        (Rtm.NEWROUTE, NlmF.CREATE | NlmF.REPLACE, route("10.9.0.0/16", via="10.1.0.10")),
        (Rtm.NEWROUTE, NlmF.CREATE | NlmF.REPLACE, route("10.9.0.0/16", via="10.1.0.10")),
        (Rtm.NEWROUTE, NlmF.CREATE | NlmF.REPLACE, route("10.9.0.0/16", via="10.1.0.8")),
        (Rtm.NEWROUTE, 0, route("10.10.0.0/16", via="10.1.0.8")),
        (Rtm.NEWROUTE, NlmF.REPLACE, route("10.10.0.0/16", via="10.1.0.8")),
        (Rtm.NEWROUTE, NEW, route("10.9.0.0/16", via="10.1.0.8", tos=8)),
        (Rtm.NEWROUTE, NEW, route("10.11.0.0/16", scope=253, oif=3)),
        (Rtm.NEWROUTE, NEW, route("10.12.0.0/16", attr(Rta.PREFSRC, inet_aton("10.2.0.1")), via="10.1.0.8", oif=3)),
        (Rtm.NEWROUTE, NEW, route("10.13.0.0/16", nested(Rta.METRICS, attr(2, 1400), attr(8, 99999)), via="10.1.0.8")),
        (Rtm.NEWROUTE, NEW, route("10.14.0.0/16", nested(Rta.METRICS, attr(1, 4), attr(10, 7)), via="10.1.0.8")),
        (Rtm.NEWROUTE, NEW, route("10.15.0.0/16", attr(Rta.MULTIPATH, hop("10.1.0.7", 2) + hop("10.2.0.7", 5, 2)))),
        (Rtm.NEWROUTE, NEW, route("10.16.0.0/16", via="192.0.2.1", oif=3, flags=4)),
        (Rtm.NEWROUTE, NEW, route("10.17.0.0/16", kind=6)),
        (Rtm.NEWROUTE, NEW, route("10.18.0.0/16", attr(Rta.PRIORITY, 9), kind=7)),
        (Rtm.NEWROUTE, NEW, route("10.19.0.0/16", kind=8)),
        (Rtm.NEWROUTE, NEW, route("10.20.0.0/16", kind=9, table=77)),
        (Rtm.NEWROUTE, NEW, route("10.21.0.0/16", attr(Rta.TABLE, 1000), via="10.1.0.8", table=0)),
        (Rtm.NEWROUTE, NEW, route("10.22.0.1/32", scope=254, kind=2, oif=3, table=255)),
        (Rtm.NEWROUTE, NEW, route("default", via="10.1.0.8")),
        *DUMPS[3:4],
        (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=0, scope=255, protocol=0)),
        (Rtm.DELROUTE, 0, route("10.9.0.0/16", via="10.1.0.99", kind=0, scope=255, protocol=0)),
        (Rtm.DELROUTE, 0, route("10.9.0.0/16", attr(Rta.PRIORITY, 5), kind=0, scope=255, protocol=0)),
        (Rtm.DELROUTE, 0, route("10.9.0.0/16", kind=0, scope=255, protocol=0, tos=8)),
        (Rtm.DELROUTE, 0, route("10.15.0.0/16", attr(Rta.MULTIPATH, hop("10.1.0.7") + hop("10.2.0.7")), scope=255)),
        (Rtm.DELROUTE, 0, route("10.18.0.0/16", kind=6)),
        (Rtm.DELROUTE, 0, route("10.21.0.0/16", attr(Rta.TABLE, 1000), table=0)),
        (Rtm.DELROUTE, 0, route("10.21.0.0/16", attr(Rta.TABLE, 1001), table=0)),
        (Rtm.DELADDR, 0, addr(2, "10.2.0.1/24")),
        *DUMPS[3:4],
        (Rtm.SETLINK, 0, link(2, 0, 1)),
        SETTLE,
        *DUMPS[3:4],
        (Rtm.SETLINK, 0, link(3, 0, 1)),
        SETTLE,
        *DUMPS[3:4],
    ],
    "neighbours": [
        *PAIR,
        (Rtm.NEWADDR, NEW, addr(3, "10.1.0.1/24")),
        (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.7", "02:00:00:00:00:07")),
        (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.7", "02:00:00:00:00:07")),
        (Rtm.NEWNEIGH, NlmF.CREATE | NlmF.REPLACE, neigh(3, "10.1.0.7", "02:00:00:00:00:08")),
        (Rtm.NEWNEIGH, NlmF.CREATE | NlmF.REPLACE, neigh(3, "10.1.0.7", "02:00:00:00:00:08")),
        (Rtm.NEWNEIGH, NlmF.CREATE | NlmF.REPLACE, neigh(3, "10.1.0.7", "02:00:00:00:00:08", 4)),
        (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.9", "02:00:00:00:00:09", 0x40)),
        (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.10", "", 0x20)),
        (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.11", "02:00:00:00:00:11", 0x80, 0x80)),
        (Rtm.NEWNEIGH, 0, neigh(3, "10.1.0.12", "02:00:00:00:00:11")),
        (Rtm.NEWNEIGH, NEW, neigh(3, "10.1.0.5", "", 0, 8)),
        (Rtm.NEWNEIGH, NEW, neigh(2, "10.1.0.6", "", 0, 8)),
        *DUMPS[4:],
        (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.9", state=0)),
        (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.99", state=0)),
        (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.5", state=0, flags=8)),
        (Rtm.GETNEIGH, 0, neigh(3, "10.1.0.6", state=0, flags=8)),
        (Rtm.GETNEIGH, NlmF.DUMP, neigh(0, "", "", 0, 0, attr(8, 2))),
        (Rtm.DELNEIGH, 0, neigh(3, "10.1.0.9", state=0)),
        (Rtm.DELNEIGH, 0, neigh(3, "10.1.0.9", state=0)),
        (Rtm.DELNEIGH, 0, neigh(3, "10.1.0.5", state=0, flags=8)),
        (Rtm.DELNEIGH, 0, neigh(3, "10.1.0.5", state=0, flags=8)),
        *DUMPS[4:],
        (Rtm.SETLINK, 0, link(3, 0, 1)),
        SETTLE,
        *DUMPS[4:],
    ],
}


def in_order(messages: list) -> list:
    """Return messages to compare; neighbours lie in a hash with a random seed, so of several the order is free."""
    values = [plain(one) for one in messages]
    neighbours = iter(sorted((one for one in values if "NEIGH" in one[0]), key=repr))
    return [next(neighbours) if "NEIGH" in one[0] else one for one in values]


def run(client: NetlinkClient, listener: NetlinkClient, series: list, settle) -> list:
    """Return what came of each request: its error, its messages, and what the listener heard."""
    listener.listen(*GROUPS)
    client.option(NetlinkOpt.EXT_ACK)
    results = []
    for step in series:
        if step == SETTLE:
            settle(1.2)
            results.append((step, in_order(listener.events())))
            continue
        answer = client.ask(*step)
        settle(0.03)  # So long we listen to the kernel, too.
        results.append((Rtm(step[0]).name, answer.error, in_order(answer.messages), in_order(listener.events())))
    return results


@pytest.mark.parametrize("series", SERIES)
def test_a_series_of_changes_is_answered_and_notified_of_as_by_the_kernel(series):
    kernel, platform = make_kernel()
    net = kernel.init_net
    with ours(net) as client, ours(net) as listener:
        mine = run(client, listener, SERIES[series], lambda s: platform.advance(int(s * 1e9)))
    with kernel_namespace(f"hwnl{os.getpid()}") as make, make() as client, make() as listener:
        theirs = run(client, listener, SERIES[series], time.sleep)
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        assert one == other, f"step {number}: {SERIES[series][number]}"
