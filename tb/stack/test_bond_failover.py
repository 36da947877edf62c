"""Bonds: links that go and come, and backups that take over."""

from dataclasses import replace
from errno import EINVAL, ENODEV

import pytest
from scapy.layers.l2 import ARP, Ether

from hardwire.stack.core.dev_register import (
    dev_close,
    dev_get_stats,
    dev_open,
)
from hardwire.stack.core.netdevice import (
    netif_carrier_ok,
)
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.skbuff import consume_skb
from hardwire.stack.drivers.bonding import (
    BondLink,
    BondMode,
    IflaBond,
    IflaBondSlave,
    bond_changelink,
    bond_link_ops,
)
from hardwire.stack.drivers.veth import veth_dellink
from hardwire.tb.stack.bonds import MS, SECOND, Bonds
from hardwire.tb.stack.golden import Rules
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.test_veth import warmed

RULES = Rules.read("receive", "veth")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})


def warm(bonds: Bonds):
    """Return bound sockets of BD and PB between which datagrams have gone."""
    return warmed(bonds, ("10.0.8.1", 8000), ("10.0.8.2", 9000))


# Failover.


def test_a_backup_takes_over_and_tells_the_peers():
    bonds = Bonds(BondMode.ACTIVEBACKUP, miimon=100, num_peer_notif=3)
    heard = []

    def tap(skb, dev, _, __) -> int:
        heard.append((dev.name, bytes(skb.view[skb.mac_header : skb.tail])))
        consume_skb(skb)
        return 0

    dev_add_pack(bonds.pb, PacketType(ETH_P_ALL, tap))
    active = bonds.bond.curr_active_slave
    assert active.dev is bonds.slaves[0]
    dev_close(bonds.peers[0])
    bonds.run(200 * MS)
    assert bonds.bond.curr_active_slave.dev is bonds.slaves[1]
    assert (active.link, active.link_failure_count, active.inactive) == (BondLink.DOWN, 1, True)
    assert netif_carrier_ok(bonds.bond)
    bonds.run(SECOND)
    arps = [Ether(frame)[ARP] for name, frame in heard if name == "x2"]
    assert len(arps) == 3
    assert {(arp.op, arp.psrc, arp.pdst, arp.hwsrc) for arp in arps} == {
        (1, "10.0.8.1", "10.0.8.1", bonds.bond.dev_addr.hex(":"))
    }
    dev_close(bonds.peers[1])
    bonds.run(200 * MS)
    assert bonds.bond.curr_active_slave is None
    assert not netif_carrier_ok(bonds.bond)


def test_a_link_counts_after_its_delay_but_the_first_one_at_once():
    bonds = Bonds(BondMode.ACTIVEBACKUP, miimon=100, updelay=300, downdelay=200)
    first, second = bonds.bond.slave_list
    bonds.run(400 * MS)
    assert (first.link, second.link) == (BondLink.UP, BondLink.UP)
    dev_close(bonds.peers[0])
    bonds.run(110 * MS)
    assert (first.link, bonds.bond.curr_active_slave) == (BondLink.FAIL, first)
    bonds.run(200 * MS)
    assert (first.link, bonds.bond.curr_active_slave) == (BondLink.DOWN, second)
    dev_open(bonds.peers[0])
    bonds.run(110 * MS)
    assert first.link == BondLink.BACK
    bonds.run(300 * MS)
    assert first.link == BondLink.UP
    dev_close(bonds.peers[0])
    bonds.run(50 * MS)
    dev_open(bonds.peers[0])
    bonds.run(300 * MS)
    assert (first.link, first.link_failure_count) == (BondLink.UP, 1)
    for peer in bonds.peers:
        dev_close(peer)
    bonds.run(500 * MS)
    assert bonds.bond.curr_active_slave is None
    dev_open(bonds.peers[1])
    bonds.run(110 * MS)
    assert bonds.bond.curr_active_slave is second


def test_of_links_that_come_while_there_is_none_one_counts_at_once_and_the_others_after_their_delay():
    bonds = Bonds(BondMode.ACTIVEBACKUP, 3, miimon=100, updelay=300)
    for peer in bonds.peers:
        dev_close(peer)
    bonds.run(300 * MS)
    for peer in bonds.peers:
        dev_open(peer)
    bonds.run(110 * MS)
    assert [slave.link for slave in bonds.bond.slave_list] == [BondLink.UP, BondLink.BACK, BondLink.BACK]
    bonds.run(300 * MS)
    assert {slave.link for slave in bonds.bond.slave_list} == {BondLink.UP}


@pytest.mark.parametrize(("reselect", "returns"), [(0, True), (1, False), (2, False)])
def test_the_primary_slave_takes_over_again_as_it_was_asked_to(reselect, returns):
    bonds = Bonds(BondMode.ACTIVEBACKUP, miimon=100, primary_reselect=reselect)
    bond_changelink(bonds.bond, {IflaBond.PRIMARY: bonds.slaves[1].ifindex})
    assert bonds.bond.curr_active_slave.dev is bonds.slaves[1]
    dev_close(bonds.peers[1])
    bonds.run(300 * MS)
    assert bonds.bond.curr_active_slave.dev is bonds.slaves[0]
    dev_open(bonds.peers[1])
    bonds.run(300 * MS)
    assert (bonds.bond.curr_active_slave.dev is bonds.slaves[1]) == returns


def test_the_active_slave_is_chosen_by_hand():
    bonds = Bonds(BondMode.ACTIVEBACKUP, miimon=100)
    bond_changelink(bonds.bond, {IflaBond.ACTIVE_SLAVE: bonds.slaves[1].ifindex})
    assert bond_link_ops.fill_info(bonds.bond)[IflaBond.ACTIVE_SLAVE] == bonds.slaves[1].ifindex
    assert [bond_link_ops.fill_slave_info(dev)[IflaBondSlave.STATE] for dev in bonds.slaves] == [1, 0]
    dev_close(bonds.peers[0])
    bonds.run(300 * MS)
    with raises(EINVAL):
        bond_changelink(bonds.bond, {IflaBond.ACTIVE_SLAVE: bonds.slaves[0].ifindex})
    with raises(ENODEV):
        bond_changelink(bonds.bond, {IflaBond.ACTIVE_SLAVE: 99})


def test_nothing_is_lost_once_a_backup_has_taken_over():
    bonds = Bonds(BondMode.ACTIVEBACKUP, both=True, miimon=10)
    here, there = warm(bonds)
    dev_close(bonds.slaves[0])
    bonds.run(50 * MS)
    for number in range(20):
        here.sendto(bytes((number,)), ("10.0.8.2", 9000))
        bonds.run()
        assert there.recv(10) == bytes((number,))
        there.sendto(bytes((number,)), ("10.0.8.1", 8000))
        bonds.run()
        assert here.recv(10) == bytes((number,))


def test_monitoring_waits_while_somebody_changes_devices():
    bonds = Bonds(BondMode.ACTIVEBACKUP, miimon=100)
    dev_close(bonds.peers[0])
    with bonds.kernel.rtnl:
        bonds.run(300 * MS)
        assert bonds.bond.curr_active_slave.dev is bonds.slaves[0]
    bonds.run(10 * MS)
    assert bonds.bond.curr_active_slave.dev is bonds.slaves[1]


@pytest.mark.parametrize("mode", [BondMode.ACTIVEBACKUP, BondMode.AD])
def test_a_bond_that_is_down_looks_at_nothing(mode):
    bonds = Bonds(mode, miimon=100)
    works = (bonds.bond.mii_work, bonds.bond.ad_work)
    assert [work.timer is not None for work in works] == [True, mode == BondMode.AD]
    dev_close(bonds.bond)
    assert [work.timer for work in works] == [None, None]


def test_the_bond_keeps_its_counters_when_those_of_a_slave_start_anew():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    bonds.pb.socket().sendto(b"x", ("10.0.8.1", 9))
    bonds.run()
    before = dev_get_stats(bonds.bond)
    received = before.rx_packets, before.rx_bytes
    assert received[0] > 0
    veth_dellink(bonds.slaves[0])
    bonds.run()
    after = dev_get_stats(bonds.bond)
    assert (after.rx_packets, after.rx_bytes) == received
