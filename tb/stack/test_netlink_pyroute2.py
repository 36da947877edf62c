"""Messages that pyroute2 encodes and decodes, through our sockets: every type that there is."""

import socket as py
import warnings
from errno import ENETUNREACH

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # What pyroute2 does at its import is its own affair.
    from pyroute2.netlink import nlmsgerr
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

from hardwire.stack.netlink.message import nlmsg_iter
from hardwire.stack.netlink.rtnetlink import Rtm, Rtnlgrp
from hardwire.stack.netlink.uapi import NLMSG_DONE, NLMSG_ERROR, NlmF
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.inet_host import raises

CLASSES = {
    **dict.fromkeys((Rtm.NEWLINK, Rtm.DELLINK), ifinfmsg),
    **dict.fromkeys((Rtm.NEWADDR, Rtm.DELADDR), ifaddrmsg),
    **dict.fromkeys((Rtm.NEWROUTE, Rtm.DELROUTE), rtmsg),
    **dict.fromkeys((Rtm.NEWNEIGH, Rtm.DELNEIGH), ndmsg),
    NLMSG_ERROR: nlmsgerr,
}
CREATE = NlmF.CREATE | NlmF.EXCL


def decoded(octets: bytes) -> list:
    """Return the messages of a datagram as pyroute2 sees them, the last one of a dump left out."""
    found = []
    for one in nlmsg_iter(octets):
        if one.type != NLMSG_DONE:
            message = CLASSES[one.type](one.octets)
            message.decode()
            found.append(message)
    return found


class Host:
    """A host of ours and a program on it that knows pyroute2's messages only."""

    def __init__(self) -> None:
        self.kernel, self.platform = make_kernel()
        self.net = self.kernel.init_net
        self.sock, self.listener = (self.net.socket(py.AF_NETLINK, py.SOCK_RAW, 0) for _ in range(2))
        for sock in (self.sock, self.listener):
            sock.bind((0, 0))
        for group in (Rtnlgrp.LINK, Rtnlgrp.IPV4_IFADDR, Rtnlgrp.IPV4_ROUTE, Rtnlgrp.NEIGH):
            self.listener.setsockopt(270, 1, group)

    def ask(self, kind: Rtm, nlflags: int, message, attrs: list, **fields) -> list:
        """Send a request, and return its answers; raise its error."""
        for name, value in fields.items():
            message[name] = value
        message["attrs"] = attrs
        message["header"]["type"] = kind
        message["header"]["flags"] = nlflags | NlmF.REQUEST | NlmF.ACK
        message["header"]["sequence_number"] = 77
        message.encode()
        self.sock.send(bytes(message.data))
        found = []
        while True:
            octets = self.sock.recv(65536)
            for one in decoded(octets):
                assert one["header"]["sequence_number"] == 77
                if one["header"]["type"] == NLMSG_ERROR:
                    if one["error"]:
                        raise OSError(-one["error"], "as pyroute2 sees it")
                    return found
                found.append(one)
            if list(nlmsg_iter(octets))[-1].type == NLMSG_DONE:
                return found

    def dump(self, kind: Rtm, message, **fields) -> list:
        """Return a dump."""
        return self.ask(kind, NlmF.DUMP, message, [], **fields)

    def heard(self) -> list:
        """Return the notifications that have come."""
        found = []
        while self.listener.poll(1, 0):
            found += decoded(self.listener.recv(65536))
        return found


@pytest.fixture
def host() -> Host:
    """Return a host with a pair of devices, up."""
    host = Host()
    peer = {"attrs": [["IFLA_IFNAME", "v1"], ["IFLA_ADDRESS", "02:00:00:00:00:32"], ["IFLA_MTU", 1300]]}
    info = {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", {"attrs": [["VETH_INFO_PEER", peer]]}]]}
    host.ask(Rtm.NEWLINK, CREATE, ifinfmsg(), [["IFLA_IFNAME", "v0"], ["IFLA_LINKINFO", info]])
    for name in ("v0", "v1"):
        host.ask(Rtm.NEWLINK, 0, ifinfmsg(), [["IFLA_IFNAME", name]], flags=1, change=1)
    host.platform.advance(2_000_000_000)
    host.heard()
    return host


def test_links_are_made_listed_changed_and_deleted(host):
    lo, one, other = host.dump(Rtm.GETLINK, ifinfmsg())
    assert [link.get_attr("IFLA_IFNAME") for link in (lo, one, other)] == ["lo", "v1", "v0"]
    assert one.get_attr("IFLA_MTU") == 1300
    assert one.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:32"
    assert one.get_attr("IFLA_OPERSTATE") == "UP"
    assert one.get_attr("IFLA_LINK") == 3
    assert one.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "veth"
    assert other["flags"] == 0x11043
    stats = one.get_attr("IFLA_STATS64")
    assert stats["tx_packets"] == host.net.dev_by_name["v1"].stats.tx_packets
    assert one.get_attr("IFLA_AF_SPEC").get_attr("AF_INET")["forwarding"] == 0
    host.ask(Rtm.SETLINK, 0, ifinfmsg(), [["IFLA_MTU", 1280], ["IFLA_TXQLEN", 7], ["IFLA_IFALIAS", "uplink"]], index=3)
    (link,) = host.ask(Rtm.GETLINK, 0, ifinfmsg(), [["IFLA_IFNAME", "v0"]])
    found = [link.get_attr(name) for name in ("IFLA_MTU", "IFLA_TXQLEN", "IFLA_IFALIAS")]
    assert found == [1280, 7, "uplink"]
    host.heard()
    host.ask(Rtm.DELLINK, 0, ifinfmsg(), [], index=2)
    heard = [one["header"]["type"] for one in host.heard()]
    assert heard == [Rtm.NEWLINK, Rtm.NEWLINK, Rtm.DELLINK, Rtm.DELLINK]
    assert list(host.net.dev_by_name) == ["lo"]


def test_a_dummy_takes_frames_and_counts_them(host):
    info = {"attrs": [["IFLA_INFO_KIND", "dummy"]]}
    host.ask(Rtm.NEWLINK, CREATE, ifinfmsg(), [["IFLA_LINKINFO", info], ["IFLA_IFNAME", "d0"]], flags=1, change=1)
    address = [["IFA_LOCAL", "10.5.0.1"], ["IFA_ADDRESS", "10.5.0.1"]]
    host.ask(Rtm.NEWADDR, CREATE, ifaddrmsg(), address, index=4, family=py.AF_INET, prefixlen=24)
    host.net.socket().sendto(b"gone", ("10.5.0.77", 9))
    (link,) = host.ask(Rtm.GETLINK, 0, ifinfmsg(), [["IFLA_IFNAME", "d0"]])
    assert link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "dummy"
    assert link.get_attr("IFLA_STATS64")["tx_packets"] == 1
    assert link.get_attr("IFLA_CARRIER") == 1
    host.ask(Rtm.SETLINK, 0, ifinfmsg(), [["IFLA_CARRIER", 0]], index=4)
    host.platform.advance(2_000_000_000)
    (link,) = host.ask(Rtm.GETLINK, 0, ifinfmsg(), [["IFLA_IFNAME", "d0"]])
    assert (link.get_attr("IFLA_CARRIER"), link.get_attr("IFLA_OPERSTATE")) == (0, "DOWN")
    host.ask(Rtm.DELLINK, 0, ifinfmsg(), [["IFLA_IFNAME", "d0"]])
    assert "d0" not in host.net.dev_by_name


def test_addresses_bring_their_routes(host):
    address = [["IFA_LOCAL", "10.1.0.1"], ["IFA_ADDRESS", "10.1.0.1"], ["IFA_BROADCAST", "10.1.0.255"]]
    host.ask(Rtm.NEWADDR, CREATE, ifaddrmsg(), address, index=3, family=py.AF_INET, prefixlen=24)
    heard = host.heard()
    assert [one["header"]["type"] for one in heard] == [Rtm.NEWADDR] + [Rtm.NEWROUTE] * 3
    assert [one.get_attr("RTA_DST") for one in heard[1:]] == ["10.1.0.1", "10.1.0.255", "10.1.0.0"]
    lo, mine = host.dump(Rtm.GETADDR, ifaddrmsg(), family=py.AF_INET)
    assert lo.get_attr("IFA_LOCAL") == "127.0.0.1"
    found = [mine.get_attr(name) for name in ("IFA_LOCAL", "IFA_LABEL", "IFA_BROADCAST", "IFA_FLAGS")]
    assert found == ["10.1.0.1", "v0", "10.1.0.255", 0x80]
    assert mine.get_attr("IFA_CACHEINFO")["ifa_valid"] == 0xFFFFFFFF
    host.ask(Rtm.DELADDR, 0, ifaddrmsg(), address[:2], index=3, family=py.AF_INET, prefixlen=24)
    assert len(host.dump(Rtm.GETADDR, ifaddrmsg(), family=py.AF_INET)) == 1


def test_an_address_is_good_for_its_time(host):
    address = [["IFA_LOCAL", "10.1.0.1"], ["IFA_ADDRESS", "10.1.0.1"]]
    times = [["IFA_CACHEINFO", {"ifa_preferred": 10, "ifa_valid": 20}]]
    host.ask(Rtm.NEWADDR, CREATE, ifaddrmsg(), address + times, index=3, family=py.AF_INET, prefixlen=24)
    host.heard()
    host.platform.advance(9_500_000_000)
    _, mine = host.dump(Rtm.GETADDR, ifaddrmsg(), family=py.AF_INET)
    assert mine.get_attr("IFA_FLAGS") == 0
    assert (mine.get_attr("IFA_CACHEINFO")["ifa_preferred"], mine.get_attr("IFA_CACHEINFO")["ifa_valid"]) == (1, 11)
    host.platform.advance(1_000_000_000)
    (deprecated,) = host.heard()
    assert (deprecated["header"]["type"], deprecated.get_attr("IFA_FLAGS")) == (Rtm.NEWADDR, 0x20)
    host.platform.advance(9_000_000_000)
    assert not host.heard()
    host.platform.advance(1_000_000_000)
    assert [one["header"]["type"] for one in host.heard()] == [Rtm.DELADDR] + [Rtm.DELROUTE] * 3
    assert len(host.dump(Rtm.GETADDR, ifaddrmsg(), family=py.AF_INET)) == 1


def test_routes_with_metrics_and_several_hops(host):
    address = [["IFA_LOCAL", "10.1.0.1"], ["IFA_ADDRESS", "10.1.0.1"]]
    host.ask(Rtm.NEWADDR, CREATE, ifaddrmsg(), address, index=3, family=py.AF_INET, prefixlen=24)
    fields = {"family": py.AF_INET, "dst_len": 16, "table": 254, "proto": 4, "type": 1, "scope": 0}
    metrics = {"attrs": [["RTAX_MTU", 1400], ["RTAX_HOPLIMIT", 9]]}
    attrs = [["RTA_DST", "10.2.0.0"], ["RTA_GATEWAY", "10.1.0.7"], ["RTA_METRICS", metrics], ["RTA_PRIORITY", 5]]
    host.ask(Rtm.NEWROUTE, CREATE, rtmsg(), attrs, **fields)
    hops = [
        {"hops": 2, "oif": 3, "attrs": [["RTA_GATEWAY", "10.1.0.7"]]},
        {"hops": 0, "oif": 3, "attrs": [["RTA_GATEWAY", "10.1.0.8"]]},
    ]
    host.ask(Rtm.NEWROUTE, CREATE, rtmsg(), [["RTA_DST", "10.3.0.0"], ["RTA_MULTIPATH", hops]], **fields)
    routes = {one.get_attr("RTA_DST"): one for one in host.dump(Rtm.GETROUTE, rtmsg(), family=py.AF_INET)}
    single, several = routes["10.2.0.0"], routes["10.3.0.0"]
    assert single.get_attr("RTA_METRICS").get_attr("RTAX_MTU") == 1400
    assert single.get_attr("RTA_METRICS").get_attr("RTAX_HOPLIMIT") == 9
    assert (single["proto"], single.get_attr("RTA_PRIORITY"), single.get_attr("RTA_OIF")) == (4, 5, 3)
    found = [(hop["hops"], hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in several.get_attr("RTA_MULTIPATH")]
    assert found == [(2, 3, "10.1.0.7"), (0, 3, "10.1.0.8")]
    (way,) = host.ask(Rtm.GETROUTE, 0, rtmsg(), [["RTA_DST", "10.2.0.9"]], family=py.AF_INET, dst_len=32)
    assert (way.get_attr("RTA_GATEWAY"), way.get_attr("RTA_PREFSRC")) == ("10.1.0.7", "10.1.0.1")
    host.ask(Rtm.DELROUTE, 0, rtmsg(), [["RTA_DST", "10.2.0.0"]], **{**fields, "proto": 0, "type": 0, "scope": 255})
    with raises(ENETUNREACH):
        host.ask(Rtm.GETROUTE, 0, rtmsg(), [["RTA_DST", "10.2.0.9"]], family=py.AF_INET, dst_len=32)


def test_neighbours_that_are_set_and_those_that_the_stack_finds(host):
    address = [["IFA_LOCAL", "10.1.0.1"], ["IFA_ADDRESS", "10.1.0.1"]]
    host.ask(Rtm.NEWADDR, CREATE, ifaddrmsg(), address, index=3, family=py.AF_INET, prefixlen=24)
    fields = {"family": py.AF_INET, "ifindex": 3}
    attrs = [["NDA_DST", "10.1.0.7"], ["NDA_LLADDR", "02:00:00:00:00:07"]]
    host.ask(Rtm.NEWNEIGH, CREATE, ndmsg(), attrs, state=0x80, **fields)
    (one,) = host.ask(Rtm.GETNEIGH, 0, ndmsg(), attrs[:1], **fields)
    assert (one.get_attr("NDA_LLADDR"), one["state"]) == ("02:00:00:00:00:07", 0x80)
    host.heard()
    host.net.socket().sendto(b"who", ("10.1.0.9", 9))
    (asked,) = [n for n in host.dump(Rtm.GETNEIGH, ndmsg()) if n.get_attr("NDA_DST") == "10.1.0.9"]
    assert asked["state"] == 1
    host.platform.advance(5_000_000_000)
    failed = [one for one in host.heard() if one["header"]["type"] == Rtm.NEWNEIGH]
    assert [(one.get_attr("NDA_DST"), one["state"]) for one in failed] == [("10.1.0.9", 0x20)]
    host.ask(Rtm.DELNEIGH, 0, ndmsg(), attrs[:1], **fields)
    assert [one["header"]["type"] for one in host.heard()] == [Rtm.NEWNEIGH, Rtm.DELNEIGH]
    host.ask(Rtm.NEWNEIGH, CREATE, ndmsg(), [["NDA_DST", "10.1.0.99"]], flags=8, **fields)
    (proxy,) = host.dump(Rtm.GETNEIGH, ndmsg(), flags=8)
    assert (proxy.get_attr("NDA_DST"), proxy["flags"]) == ("10.1.0.99", 8)
