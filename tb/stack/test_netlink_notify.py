"""Notifications of changes that no message asked for, and senders that wait for a receiver."""

import socket as py
from errno import ECONNREFUSED

import pytest

from hardwire.stack.core.dev_addr_lists import dev_set_allmulti, dev_set_promiscuity
from hardwire.stack.core.dev_register import dev_close, dev_open, dev_set_mac_address, dev_set_mtu
from hardwire.stack.core.link_watch import netif_carrier_off
from hardwire.stack.drivers.veth import veth_dellink, veth_newlink
from hardwire.stack.iproute import addr_add, addr_del, neigh_add, neigh_del, route_add, route_del
from hardwire.stack.netlink.message import nlmsg_iter
from hardwire.stack.netlink.rtnetlink import Rtm
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.inet_host import raises

SECOND = 1_000_000_000


class Ear:
    """A host that hears of its own changes."""

    def __init__(self) -> None:
        self.kernel, self.platform = make_kernel()
        self.net = self.kernel.init_net
        self.sock = self.net.socket(py.AF_NETLINK, py.SOCK_RAW, py.NETLINK_ROUTE)
        self.sock.bind((0, 0b1010101))  # Links, neighbours, addresses, routes.

    def heard(self) -> list[str]:
        """Return what has come, by the names of the messages."""
        self.platform.advance(1)
        names = []
        while self.sock.poll(1, 0):
            names += [Rtm(one.type).name for one in nlmsg_iter(self.sock.recv(65536))]
        return names


def test_what_programs_and_drivers_change_is_notified_of():
    ear = Ear()
    dev, peer = veth_newlink(ear.net, "v0", ear.net, "v1")
    assert ear.heard() == ["NEWLINK"] * 2
    dev_open(dev)
    dev_open(peer)
    ear.platform.advance(2 * SECOND)
    assert ear.heard() == ["NEWLINK"] * 4
    changes = [
        (lambda: addr_add(dev, "10.0.0.1/24"), ["NEWADDR"] + ["NEWROUTE"] * 3),
        (lambda: route_add(ear.net, "10.1.0.0/16", via="10.0.0.9"), ["NEWROUTE"]),
        (lambda: route_del(ear.net, "10.1.0.0/16"), ["DELROUTE"]),
        (lambda: neigh_add(dev, "10.0.0.7", "02:00:00:00:00:07"), ["NEWNEIGH"]),
        (lambda: neigh_del(dev, "10.0.0.7"), ["NEWNEIGH", "DELNEIGH"]),
        (lambda: dev_set_mtu(dev, 1400), ["NEWLINK"]),
        (lambda: dev_set_mtu(dev, 1400), []),
        (lambda: dev_set_mac_address(dev, b"\2\0\0\0\0\5"), ["NEWLINK"]),
        (lambda: dev_set_promiscuity(dev, 1), ["NEWLINK"]),
        (lambda: dev_set_promiscuity(dev, 1), []),
        (lambda: dev_set_promiscuity(dev, -2), ["NEWLINK"]),
        (lambda: dev_set_allmulti(dev, 1), ["NEWLINK"]),
        (lambda: addr_del(dev, "10.0.0.1/24"), ["DELADDR"] + ["DELROUTE"] * 3),
        (lambda: (netif_carrier_off(dev), ear.platform.advance(2 * SECOND)), ["NEWLINK"]),
        (lambda: dev_close(dev), ["NEWLINK"] * 2),  # The other end has no link then.
        (lambda: veth_dellink(dev), ["NEWLINK", "DELLINK", "DELLINK"]),
    ]
    for number, (change, expected) in enumerate(changes):
        change()
        assert ear.heard() == expected, number


@pytest.mark.parametrize("closed", [False, True])
def test_a_sender_waits_until_the_receiver_has_room_or_is_gone(closed):
    ear = Ear()
    here, there = (ear.net.socket(py.AF_NETLINK, py.SOCK_RAW, py.NETLINK_USERSOCK) for _ in range(2))
    there.bind((5, 0))
    there.setsockopt(py.SOL_SOCKET, py.SO_RCVBUF, 4096)
    sent = 0
    with raises(11):
        while True:
            here.sendto(bytes(1000), py.MSG_DONTWAIT, (5, 0))
            sent += 1

    def make_room() -> None:
        if closed:
            there.close()
        else:
            for _ in range(sent):
                there.recv(2000)

    ear.platform.timer(ear.platform.now_ns() + SECOND, make_room)
    if closed:
        with raises(ECONNREFUSED):
            here.sendto(b"late", (5, 0))
    else:
        assert here.sendto(b"late", (5, 0)) == 4
        assert there.recv(100) == b"late"
    assert ear.platform.now_ns() >= SECOND
    here.settimeout(0.5)
    if not closed:
        for _ in range(sent):
            here.sendto(bytes(1000), (5, 0))
        with pytest.raises(TimeoutError):
            here.sendto(bytes(1000), (5, 0))
