"""Bonds: which slave sends a frame, and what the slaves receive is for."""

from dataclasses import replace

import pytest

from hardwire.stack.core.dev_register import (
    dev_close,
    dev_get_stats,
    dev_open,
)
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.packet_type import PacketType, dev_add_pack
from hardwire.stack.core.skbuff import consume_skb
from hardwire.stack.drivers.bonding import (
    BondMode,
    IflaBond,
    XmitPolicy,
    bond_changelink,
)
from hardwire.stack.iproute import neigh_add
from hardwire.tb.stack.bonds import SECOND, Bonds
from hardwire.tb.stack.frames import icmp, ip, udp
from hardwire.tb.stack.golden import Rules

RULES = Rules.read("receive", "veth")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})


# Sending.


def test_round_robin_sends_in_turn():
    bonds = Bonds(BondMode.ROUNDROBIN, 3)
    neigh_add(bonds.bond, "10.0.8.9", "02:00:00:00:00:99")
    sock = bonds.bd.socket()

    def send(count: int) -> list[int]:
        before = bonds.sent()
        for _ in range(count):
            sock.sendto(b"x", ("10.0.8.9", 9000))
        return [now - old for now, old in zip(bonds.sent(), before, strict=True)]

    assert send(9) == [3, 3, 3]
    dev_close(bonds.peers[1])
    assert send(6) == [2, 0, 4]
    dev_open(bonds.peers[1])
    bond_changelink(bonds.bond, {IflaBond.PACKETS_PER_SLAVE: 4})
    assert sorted(send(12)) == [4, 4, 4]
    bond_changelink(bonds.bond, {IflaBond.PACKETS_PER_SLAVE: 0})
    assert min(send(60)) > 5


def test_broadcast_sends_by_every_slave():
    bonds = Bonds(BondMode.BROADCAST, 3)
    neigh_add(bonds.bond, "10.0.8.9", "02:00:00:00:00:99")
    before = bonds.sent()
    bonds.bd.socket().sendto(b"x", ("10.0.8.9", 9000))
    assert [now - old for now, old in zip(bonds.sent(), before, strict=True)] == [1, 1, 1]
    bonds.run()
    assert len(bonds.platform.buffers) == 0


def documented(frame: bytes, policy: XmitPolicy) -> int:
    """Return the hash of Documentation/networking/bonding.rst; addresses and ports as a little-endian host has them."""
    layer2 = frame[5] ^ frame[11] ^ int.from_bytes(frame[12:14], "big")
    if policy == XmitPolicy.LAYER2:
        return layer2
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    ports = 0 if fragment or frame[23] != 17 else int.from_bytes(frame[34:38], "little")
    value = layer2 if policy == XmitPolicy.LAYER23 else ports
    value ^= int.from_bytes(frame[26:30], "little") ^ int.from_bytes(frame[30:34], "little")
    value ^= value >> 16
    value ^= value >> 8
    return value >> 1 if policy == XmitPolicy.LAYER34 else value


def transmit(bonds: Bonds, frame: bytes) -> int:
    """Send a frame through the bond; return the number of the slave that did it."""
    before = bonds.sent()
    bonds.transmit(bonds.bond, frame)
    ((number, _),) = [(n, now) for n, now in enumerate(bonds.sent()) if now != before[n]]
    return number


@pytest.mark.parametrize("policy", XmitPolicy)
def test_a_hash_of_the_documented_headers_chooses_the_slave(policy):
    bonds = Bonds(BondMode.XOR, 3, xmit_hash_policy=policy)
    chosen = set()
    for number in range(60):
        dst, port = 0x0A000800 + number * 7, 1000 + number * 3
        frame = ip(udp(port, dst=dst), dst=dst, mac=bytes((2, 0, 0, 0, 0, number)))
        if number % 5 == 4:
            frame = ip(bytes(64), dst=dst, frag=0x2000 + number % 2)
        found = transmit(bonds, frame)
        assert found == documented(frame, policy) % 3
        chosen.add(found)
    assert chosen == {0, 1, 2}
    other = bytes((2, 0, 0, 0, 0, 9)) + bytes(6) + b"\x88\xb5" + bytes(46)
    assert transmit(bonds, other) == documented(other, XmitPolicy.LAYER2) % 3


def test_an_icmp_error_goes_the_way_of_what_it_is_about():
    bonds = Bonds(BondMode.XOR, 3, xmit_hash_policy=XmitPolicy.LAYER34)
    for number in range(20):
        there = ip(udp(1000 + number * 3))
        back = ip(icmp(3, 3, bytes(4), there[14:42]), 1, src=0x0A000002, dst=0x0A000001)
        assert transmit(bonds, there) == transmit(bonds, back)
    ways = {transmit(bonds, ip(icmp(8, rest=bytes((number, 0, 0, 0))), 1)) for number in range(40)}
    assert ways == {0, 1, 2}


def test_a_bond_without_a_slave_that_can_send_drops_and_counts():
    for mode in BondMode:
        bonds = Bonds(mode)
        for dev in bonds.slaves:
            do_set_master(dev, None)
        before = dev_get_stats(bonds.bond).tx_dropped
        bonds.transmit(bonds.bond, ip(udp(9)))
        assert dev_get_stats(bonds.bond).tx_dropped == before + 1
        bonds.run(3 * SECOND)
        assert len(bonds.platform.buffers) == 0


@pytest.mark.parametrize("mode", [BondMode.ROUNDROBIN, BondMode.XOR, BondMode.BROADCAST])
def test_frames_are_dropped_and_counted_while_no_slave_has_a_link(mode):
    bonds = Bonds(mode)
    for peer in bonds.peers:
        dev_close(peer)
    bonds.run(2 * SECOND)
    before, sent = bonds.bond.core_stats.tx_dropped, bonds.sent()
    bonds.transmit(bonds.bond, ip(udp(9)))
    assert (bonds.bond.core_stats.tx_dropped, bonds.sent()) == (before + 1, sent)


# Receiving.


def test_only_the_active_slave_receives_for_the_bond_but_each_hears_its_link():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    seen = []

    def tap(skb, dev, _, orig) -> int:
        seen.append((dev.name, orig.name))
        consume_skb(skb)
        return 0

    dev_add_pack(bonds.bd, PacketType(0x88B5, tap))
    dev_add_pack(bonds.bd, PacketType(0x88B5, tap, bonds.slaves[1]))

    def arrive(number: int, dest: str) -> list[tuple[str, str]]:
        seen.clear()
        frame = bytes.fromhex(dest) + bytes.fromhex("020000000009") + b"\x88\xb5" + bytes(46)
        bonds.transmit(bonds.peers[number], frame)
        bonds.run()
        return list(seen)

    group, link_local = "01005e000001", "0180c200000e"
    assert arrive(0, group) == [("bond0", "s1")]
    assert arrive(1, group) == [("s2", "s2")]  # Who asked for exactly this device.
    assert arrive(1, link_local) == [("s2", "s2")] * 2
    bond_changelink(bonds.bond, {IflaBond.ALL_SLAVES_ACTIVE: 1})
    assert arrive(1, group) == [("bond0", "s2")] * 2
    assert bonds.kernel.drop_counts().get("UNHANDLED_PROTO", 0) == 0
    dev_close(bonds.peers[0])


def test_what_a_backup_slave_receives_for_nobody_is_counted():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    before = dev_get_stats(bonds.slaves[1]).rx_nohandler
    bonds.pb.socket().sendto(b"", ("10.0.8.1", 1))  # An ARP request on x1 only.
    bonds.run()
    assert dev_get_stats(bonds.slaves[1]).rx_nohandler == before
    bonds.transmit(bonds.peers[1], b"\xff" * 6 + bytes.fromhex("020000000009") + b"\x88\xb5" + bytes(46))
    bonds.run()
    assert dev_get_stats(bonds.slaves[1]).rx_nohandler == before + 1
