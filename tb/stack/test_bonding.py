"""Bonds: slaves that come and go, modes of sending, receiving, failover; the golden traces that were taken on one."""

from dataclasses import replace
from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOTEMPTY, EPERM

import pytest

from hardwire.stack.core.dev_addr_lists import dev_mc_add, dev_set_allmulti, dev_set_promiscuity, dev_uc_add
from hardwire.stack.core.dev_register import (
    dev_close,
    dev_get_stats,
    dev_open,
    dev_set_mac_address,
    dev_set_mtu,
    register_netdevice,
    unregister_netdevice,
)
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.netdevice import (
    IFF_ALLMULTI,
    IFF_MASTER,
    IFF_PROMISC,
    IFF_SLAVE,
    IFF_UNICAST_FLT,
    IFF_UP,
    IFF_XMIT_DST_RELEASE,
    NETIF_F_HW_CSUM,
    netif_carrier_ok,
    netif_keep_dst,
)
from hardwire.stack.drivers.bonding import (
    BondMode,
    IflaBond,
    bond_changelink,
    bond_dellink,
    bond_link_ops,
    bond_newlink,
    slave_of,
)
from hardwire.stack.drivers.veth import veth_newlink
from hardwire.tb.stack.bonds import SECOND, Bonds
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.test_veth import RECEIVED, SENT, changed, traced, warmed

RULES = Rules.read("receive", "veth")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})


def warm(bonds: Bonds):
    """Return bound sockets of BD and PB between which datagrams have gone."""
    return warmed(bonds, ("10.0.8.1", 8000), ("10.0.8.2", 9000))


def test_a_datagram_is_sent_on_the_path_of_10a():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    here, there = warm(bonds)
    before = [dict(net.mib) for net in bonds.nets]
    sections = read_golden("10a")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.8.2", 9000)), "__x64_sys_sendto")
    compare(sections["BD: sendto 32 bytes"], sent, RULES)
    compare(sections["PB: recvfrom"], traced(lambda: there.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(bonds.nets, before, strict=True)] == [SENT, RECEIVED]


def test_a_datagram_is_received_on_the_path_of_10b():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    here, there = warm(bonds)
    before = [dict(net.mib) for net in bonds.nets]
    sections = read_golden("10b")
    sent = traced(lambda: there.sendto(bytes(32), ("10.0.8.1", 8000)), "__x64_sys_sendto")
    compare(sections["PB: sendto 32 bytes"], sent, RULES)
    compare(sections["BD: recvfrom"], traced(lambda: here.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(bonds.nets, before, strict=True)] == [RECEIVED, SENT]


# Slaves.


def test_the_first_slave_gives_the_bond_its_address_and_the_bond_the_others_theirs():
    bonds = Bonds(BondMode.ACTIVEBACKUP, 3)
    addresses = {dev.dev_addr for dev in (bonds.bond, *bonds.slaves)}
    own = [slave_of(dev).perm_hwaddr for dev in bonds.slaves]
    assert addresses == {own[0]}
    assert len(set(own)) == 3
    assert bonds.bond.flags & IFF_MASTER
    for dev, address in zip(bonds.slaves, own, strict=True):
        assert dev.flags & IFF_SLAVE
        assert dev.flags & IFF_UP
        do_set_master(dev, None)
        assert dev.dev_addr == address
        assert not dev.flags & (IFF_SLAVE | IFF_UP)
        assert (dev.master, dev.rx_handler) == (None, None)
    assert bonds.bond.dev_addr not in own
    assert not netif_carrier_ok(bonds.bond)


def test_slaves_follow_address_and_mtu_of_the_bond():
    bonds = Bonds(BondMode.ROUNDROBIN)
    dev_set_mtu(bonds.bond, 1400)
    dev_set_mac_address(bonds.bond, bytes.fromhex("02000000beef"))
    assert {(dev.mtu, dev.dev_addr) for dev in bonds.slaves} == {(1400, bytes.fromhex("02000000beef"))}
    do_set_master(bonds.slaves[0], None)
    assert bonds.slaves[0].mtu == 1500


def test_an_mtu_that_one_slave_cannot_have_none_gets():
    bonds = Bonds(BondMode.ROUNDROBIN)
    small = FakeNetDevice(bonds.bd, "small", max_mtu=2000)
    register_netdevice(small)
    do_set_master(small, bonds.bond)
    with raises(EINVAL):
        dev_set_mtu(bonds.bond, 3000)
    assert [dev.mtu for dev in (bonds.bond, *bonds.slaves, small)] == [1500] * 4


def test_a_device_that_cannot_be_a_slave_is_refused_and_stays_as_it_is():
    bonds = Bonds(BondMode.ROUNDROBIN)
    up, _ = veth_newlink(bonds.bd, "up", bonds.pb, "up-peer")
    dev_open(up)
    far, near = veth_newlink(bonds.pb, "far", bonds.bd, "near")
    small = FakeNetDevice(bonds.bd, "small", max_mtu=1000)
    register_netdevice(small)
    for dev, errno in (
        (up, EPERM),
        (bonds.bond, EPERM),
        (far, EINVAL),
        (bonds.bd.loopback_dev, EPERM),
        (small, EINVAL),
    ):
        before = (dev.flags, dev.mtu, dev.dev_addr)
        with raises(errno):
            do_set_master(dev, bonds.bond)
        assert (dev.flags, dev.mtu, dev.dev_addr, dev.master, dev.rx_handler) == (*before, None, None)
    second = bond_newlink(bonds.bd, "bond1", {})
    with raises(EBUSY):
        second.netdev_ops.ndo_add_slave(second, bonds.slaves[0])
    with raises(EINVAL):
        second.netdev_ops.ndo_del_slave(second, near)


def test_slaves_go_with_their_device_and_are_let_go_with_the_bond():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    unregister_netdevice(bonds.slaves[0])
    assert bonds.bond.slaves == [bonds.slaves[1]]
    assert bonds.bond.curr_active_slave.dev is bonds.slaves[1]
    bond_dellink(bonds.bond)
    assert bonds.slaves[1].master is None
    assert not bonds.slaves[1].flags & IFF_UP
    bonds.run(SECOND)
    assert len(bonds.platform.buffers) == 0


def test_features_are_those_that_all_slaves_have():
    bonds = Bonds(BondMode.ROUNDROBIN)
    assert bonds.bond.features & NETIF_F_HW_CSUM
    assert bonds.bond.priv_flags & IFF_XMIT_DST_RELEASE
    plain = FakeNetDevice(bonds.bd, "plain", features=0)
    netif_keep_dst(plain)
    register_netdevice(plain)
    do_set_master(plain, bonds.bond)
    assert not bonds.bond.features & NETIF_F_HW_CSUM
    assert not bonds.bond.priv_flags & IFF_XMIT_DST_RELEASE


@pytest.mark.parametrize("mode", [BondMode.ACTIVEBACKUP, BondMode.ROUNDROBIN])
def test_addresses_groups_and_modes_go_to_the_slaves_that_receive(mode):
    bonds = Bonds(mode)
    for dev in bonds.slaves:
        dev.priv_flags |= IFF_UNICAST_FLT
    receivers = 1 if mode == BondMode.ACTIVEBACKUP else 2
    unicast, group = bytes.fromhex("020000001234"), bytes.fromhex("01005e7f0001")
    dev_uc_add(bonds.bond, unicast)
    dev_mc_add(bonds.bond, group)
    dev_set_promiscuity(bonds.bond, 1)
    dev_set_allmulti(bonds.bond, 1)

    def receiving() -> list[bool]:
        wanted = IFF_PROMISC | IFF_ALLMULTI
        got = [(unicast in d.uc, group in d.mc, d.flags & wanted == wanted) for d in bonds.slaves]
        assert all(len(set(each)) == 1 for each in got)
        return [each[0] for each in got]

    assert receiving() == [True, receivers == 2]
    do_set_master(bonds.slaves[0], None)
    assert receiving() == [False, True]
    dev_close(bonds.bond)
    assert unicast not in bonds.slaves[1].uc


def test_counters_are_those_of_the_slaves_while_they_were_in():
    bonds = Bonds(BondMode.ROUNDROBIN, both=True)
    bonds.slaves[0].stats.tx_errors += 5
    before = dev_get_stats(bonds.bond)
    already = sum(bonds.sent())
    warm(bonds)
    after = dev_get_stats(bonds.bond)
    assert after.tx_packets - before.tx_packets == sum(bonds.sent()) - already > 0
    assert after.tx_errors == 5
    bonds.transmit(bonds.bond, b"\xff" * 12 + b"\x88\xb5" + bytes(46))
    bonds.transmit(bonds.bond, b"\xff" * 12 + b"\x88\xb5" + bytes(46))
    do_set_master(bonds.slaves[0], None)
    assert dev_get_stats(bonds.bond).tx_packets == after.tx_packets + 2


# Settings.


@pytest.mark.parametrize(
    ("data", "errno"),
    [
        ({IflaBond.MODE: 7}, EINVAL),
        ({IflaBond.UPDELAY: 100}, EPERM),
        ({IflaBond.PRIMARY: 1}, EACCES),
        ({IflaBond.ACTIVE_SLAVE: 1}, EACCES),
        ({IflaBond.AD_LACP_RATE: 1}, EACCES),
        ({IflaBond.MODE: 1, IflaBond.PACKETS_PER_SLAVE: 2}, EACCES),
        ({IflaBond.MODE: 1, IflaBond.PRIMARY: 77}, ENODEV),
        ({IflaBond.XMIT_HASH_POLICY: 9}, EINVAL),
        ({IflaBond.NUM_PEER_NOTIF: 256}, EINVAL),
        ({99: 1}, EINVAL),
    ],
)
def test_impossible_settings_are_refused(data, errno):
    bonds = Bonds(BondMode.ROUNDROBIN)
    with raises(errno):
        bond_newlink(bonds.bd, "bond9", data)
    assert "bond9" not in bonds.bd.dev_by_name


def test_the_mode_is_changed_only_of_a_bond_that_is_down_and_has_no_slaves():
    bonds = Bonds(BondMode.ROUNDROBIN)
    with raises(ENOTEMPTY):
        bond_changelink(bonds.bond, {IflaBond.MODE: BondMode.XOR})
    for dev in bonds.slaves:
        do_set_master(dev, None)
    with raises(EBUSY):
        bond_changelink(bonds.bond, {IflaBond.MODE: BondMode.XOR})
    dev_close(bonds.bond)
    bond_changelink(bonds.bond, {IflaBond.MODE: BondMode.XOR})
    assert bond_link_ops.fill_info(bonds.bond)[IflaBond.MODE] == BondMode.XOR


def test_delays_are_whole_numbers_of_looks():
    bonds = Bonds(BondMode.ROUNDROBIN, miimon=100, updelay=250, downdelay=99)
    info = bond_link_ops.fill_info(bonds.bond)
    assert (info[IflaBond.MIIMON], info[IflaBond.UPDELAY], info[IflaBond.DOWNDELAY]) == (100, 200, 0)
    assert set(info) <= set(bond_link_ops.policy)
