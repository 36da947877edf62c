"""A router that answers ARP for hosts behind it: against a real Linux kernel, and when it does."""

import os

import pytest

from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.drivers.veth import veth_newlink
from hardwire.stack.iproute import addr_add, neigh_add, neigh_proxy_add, neigh_proxy_del
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, arp, assert_same
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.routed import Routed

needs_linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")
SECOND = 1_000_000_000
BEHIND, OTHER, HERE = 0x0A070009, 0x0A07000A, 0x0A000009  # 10.7.0.9 and 10.7.0.10 behind, 10.0.0.9 on the link.
FRAMES = {
    "for one behind": arp(tip=BEHIND),
    "for one behind, to us alone": arp(tip=BEHIND, mac=MY_MAC),
    "for another behind": arp(tip=OTHER),
    "for one on the link": arp(tip=HERE),
    "for the sender": arp(tip=0x0A000001),
    "for one nowhere": arp(tip=0x08080808),
    "for the network's broadcast address": arp(tip=0x0A0700FF),
    "an answer": arp(2, tip=BEHIND),
    "a probe": arp(sip=0, tip=BEHIND),
}
SETTINGS = {
    "nothing": {},
    "proxy_arp": {"proxy_arp": 1},
    "proxy_arp_pvlan": {"proxy_arp_pvlan": 1},
    "one address": {"address": "10.7.0.9"},
}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-proxy{os.getpid()}") as peer:
        peer.ip("neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
        peer.ip("tuntap", "add", "other", "mode", "tap")
        peer.ip("link", "set", "other", "up")
        peer.ip("address", "add", "10.7.0.1/24", "dev", "other")
        peer.sysctl("net.ipv4.neigh.eth0.proxy_delay", 0)
        peer.sysctl("net.ipv4.ip_forward", 1)
        peer.frames()
        yield peer


@pytest.fixture
def ours():
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    for end in veth_newlink(host.net, "other", host.net, "end"):
        dev_open(end)
    addr_add(host.net.dev_by_name["other"], "10.7.0.1/24")
    host.platform.advance(SECOND)
    neigh_add(host.dev, "10.0.0.1", "02:00:00:00:00:01")
    inet_forward_change(host.net, True)
    host.dev.arp_parms.proxy_delay = 0
    return host


@needs_linux
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_router_answers_for_whom_linux_answers(linux, ours, setting):
    values = dict(SETTINGS[setting])
    address = values.pop("address", None)
    for name, value in values.items():
        linux.sysctl(f"net.ipv4.conf.eth0.{name}", value)
        setattr(ours.dev.ip_ptr.cnf, name, value)
    if address is not None:
        linux.ip("neigh", "add", "proxy", address, "dev", "eth0")
        neigh_proxy_add(ours.dev, address)
    try:
        for frame in FRAMES.values():
            assert_same(linux, ours, frame)
    finally:
        for name in values:
            linux.sysctl(f"net.ipv4.conf.eth0.{name}", 0)
        if address is not None:
            linux.ip("neigh", "del", "proxy", address, "dev", "eth0")


def test_who_really_has_the_address_can_answer_first():
    routed = Routed()
    neigh_proxy_add(routed.r.dev, "10.0.2.1")
    for _ in range(70):
        routed.r.receive(arp(tip=0x0A000201, sip=0x0A000101, sha=bytes.fromhex("020000000101")))
    assert routed.r.dev.sent == []
    routed.run(SECOND)
    # The default delay is up to 0.8 s, for no more than 65 at a time.
    assert len(routed.r.dev.sent) == 65
    assert routed.r.kernel.drop_counts() == {"NOT_SPECIFIED": 5}
    assert routed.r.dev.arp_parms.proxy_waiting == 0


def test_a_device_that_goes_down_speaks_for_nobody():
    routed = Routed()
    neigh_proxy_add(routed.r.dev, "10.0.2.1")
    routed.r.receive(arp(tip=0x0A000201, sip=0x0A000101, sha=bytes.fromhex("020000000101")))
    dev_close(routed.r.dev)
    routed.run(SECOND)
    assert routed.r.dev.sent == []
    with pytest.raises(OSError, match="does not speak for"):
        neigh_proxy_del(routed.r.dev, "10.0.2.1")
    assert routed.r.net.ipv4.arp_tbl.proxy_queue == []
