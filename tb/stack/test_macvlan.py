"""Macvlan devices: addresses, modes and what follows from the lower device; the golden trace that was taken on one."""

from dataclasses import replace
from errno import EADDRINUSE, EADDRNOTAVAIL, EBUSY, EINVAL, ENOTSUP

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_addr_lists import dev_mc_add, dev_set_promiscuity, dev_uc_add
from hardwire.stack.core.dev_receive import RxHandlerResult, netdev_rx_handler_register
from hardwire.stack.core.dev_register import (
    dev_change_features,
    dev_close,
    dev_get_stats,
    dev_open,
    dev_set_mac_address,
    dev_set_mtu,
    register_netdevice,
    unregister_netdevice,
)
from hardwire.stack.core.netdevice import (
    IFF_PROMISC,
    IFF_UNICAST_FLT,
    NETIF_F_HW_CSUM,
    NETIF_F_SG,
    netif_carrier_ok,
)
from hardwire.stack.drivers.macvlan_link import (
    IFLA_MACVLAN_BC_QUEUE_LEN,
    IFLA_MACVLAN_FLAGS,
    IFLA_MACVLAN_MACADDR,
    IFLA_MACVLAN_MACADDR_COUNT,
    IFLA_MACVLAN_MACADDR_DATA,
    IFLA_MACVLAN_MACADDR_MODE,
    IFLA_MACVLAN_MODE,
    MacvlanMacaddrMode,
    macvlan_changelink,
    macvlan_dellink,
    macvlan_fill_info,
    macvlan_newlink,
)
from hardwire.stack.drivers.macvlan_port import (
    MACVLAN_FLAG_NOPROMISC,
    MACVLAN_MODE_BRIDGE,
    MACVLAN_MODE_PASSTHRU,
    MACVLAN_MODE_PRIVATE,
    MACVLAN_MODE_SOURCE,
    MACVLAN_MODE_VEPA,
)
from hardwire.stack.iproute import addr_add
from hardwire.tb.stack.fake import FakeNetDevice, FakePlatform
from hardwire.tb.stack.frames import BROADCAST, MY_MAC, PEER_MAC
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.test_veth import RECEIVED, SENT, Namespaces, changed, traced, warmed

RULES = Rules.read("receive", "veth")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})
MAC, OTHER = bytes.fromhex("020000000111"), bytes.fromhex("020000000112")


@pytest.fixture
def host() -> PairHost:
    return PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")


def above(host: PairHost, mode: int = MACVLAN_MODE_BRIDGE, name: str = "mv%d", **kwargs):
    """Make a device above a host's, and bring it up."""
    vlan = macvlan_newlink(host.net, name, {IFLA_MACVLAN_MODE: mode}, host.dev, **kwargs)
    dev_open(vlan)
    return vlan


class Golden(Namespaces):
    """H4 with e4, ML with its lower device, M1 with the macvlan, as in the trace."""

    def __init__(self, mode: int = MACVLAN_MODE_BRIDGE) -> None:
        super().__init__(3)
        self.lower = self.join(0, "10.0.4.1/24", 1, "10.0.4.254/24")[1]
        self.vlan = macvlan_newlink(self.nets[2], "mv1", {IFLA_MACVLAN_MODE: mode}, self.lower)
        dev_open(self.vlan)
        addr_add(self.vlan, "10.0.4.11/24")
        self.run()


def test_a_datagram_is_received_on_the_path_of_09a():
    golden = Golden()
    here, there = warmed(golden, ("10.0.4.1", 5000), ("10.0.4.11", 9000))
    before = [dict(net.mib) for net in golden.nets]
    sections = read_golden("09a")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.4.11", 9000)), "__x64_sys_sendto")
    compare(sections["H4: sendto 32 bytes"], sent, RULES)
    compare(sections["M1: recvfrom"], traced(lambda: there.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(golden.nets, before, strict=True)] == [SENT, {}, RECEIVED]


@pytest.mark.parametrize("mode", [MACVLAN_MODE_PRIVATE, MACVLAN_MODE_VEPA, MACVLAN_MODE_BRIDGE, MACVLAN_MODE_PASSTHRU])
def test_datagrams_pass_both_ways_in_each_mode(mode):
    golden = Golden(mode)
    here, there = warmed(golden, ("10.0.4.1", 5000), ("10.0.4.11", 9000))
    for size in (0, 1472, 5000):
        there.sendto(bytes(size), ("10.0.4.1", 5000))
        golden.run()
        assert len(here.recv(6000)) == size
    here.close()
    there.close()
    golden.run()
    assert len(golden.platform.buffers) == 0


def test_devices_in_bridge_mode_reach_each_other_and_those_in_vepa_mode_do_not():
    for mode, reached in ((MACVLAN_MODE_BRIDGE, True), (MACVLAN_MODE_VEPA, False), (MACVLAN_MODE_PRIVATE, False)):
        golden = Golden(mode)
        other = macvlan_newlink(golden.nets[0], "mv2", {IFLA_MACVLAN_MODE: mode}, golden.lower)
        dev_open(other)
        addr_add(other, "10.0.5.12/24")
        addr_add(golden.vlan, "10.0.5.11/24")
        sock = golden.nets[2].socket()
        sock.bind(("10.0.5.11", 9000))
        golden.nets[0].socket().sendto(b"x", ("10.0.5.11", 9000))
        golden.run()
        assert bool(sock.poll(api.POLLIN, 0)) == reached


def test_the_lower_device_receives_the_addresses_and_groups_of_those_above(host):
    host.dev.priv_flags |= IFF_UNICAST_FLT
    at_rest = set(host.dev.mc)
    vlan = above(host, address=MAC)
    dev_uc_add(vlan, OTHER)
    dev_mc_add(vlan, bytes.fromhex("01005e000009"))
    assert list(host.dev.uc) == [MAC, OTHER]
    assert set(host.dev.mc) == at_rest | {bytes.fromhex("01005e000009")}
    dev_set_mac_address(vlan, PEER_MAC)
    assert set(host.dev.uc) == {PEER_MAC, OTHER}
    dev_close(vlan)
    assert (list(host.dev.uc), set(host.dev.mc)) == ([], at_rest)


def test_a_device_that_filters_by_one_address_takes_all_frames_meanwhile(host):
    vlan = above(host)
    assert host.dev.flags & IFF_PROMISC
    dev_close(vlan)
    assert not host.dev.flags & IFF_PROMISC


def test_promiscuous_mode_is_handed_down_while_the_device_is_up(host):
    host.dev.priv_flags |= IFF_UNICAST_FLT
    vlan = above(host)
    dev_set_promiscuity(vlan, 1)
    assert host.dev.promiscuity == 1
    dev_close(vlan)
    assert host.dev.promiscuity == 0
    dev_open(vlan)
    assert host.dev.promiscuity == 1
    dev_set_promiscuity(vlan, -1)
    assert host.dev.promiscuity == 0


def test_an_address_is_had_once(host):
    above(host, address=MAC)
    second = macvlan_newlink(host.net, "mv%d", {}, host.dev, address=MAC)
    with raises(EADDRINUSE):
        dev_open(second)
    with raises(EADDRINUSE):
        dev_set_mac_address(second, MY_MAC)
    dev_set_mac_address(second, OTHER)
    dev_open(second)
    with raises(EADDRINUSE):
        dev_set_mac_address(second, MAC)


def test_passthru_takes_the_device_over_and_gives_it_back(host):
    vlan = above(host, MACVLAN_MODE_PASSTHRU)
    assert vlan.dev_addr == MY_MAC
    assert host.dev.promiscuity == 1
    for mode in (MACVLAN_MODE_BRIDGE, MACVLAN_MODE_PASSTHRU):
        with raises(EINVAL):
            macvlan_newlink(host.net, "mv%d", {IFLA_MACVLAN_MODE: mode}, host.dev)
    dev_set_mac_address(vlan, MAC)
    assert host.dev.dev_addr == vlan.dev_addr == MAC
    dev_set_mac_address(host.dev, OTHER)
    assert vlan.dev_addr == OTHER
    macvlan_changelink(vlan, {IFLA_MACVLAN_FLAGS: MACVLAN_FLAG_NOPROMISC})
    assert host.dev.promiscuity == 0
    macvlan_dellink(vlan)
    assert (host.dev.dev_addr, host.dev.promiscuity, host.dev.rx_handler) == (MY_MAC, 0, None)


def test_link_mtu_and_features_of_the_lower_device_are_followed():
    golden = Golden()
    end = golden.nets[0].dev_by_name["veth0"]
    assert netif_carrier_ok(golden.vlan)
    dev_close(end)
    golden.run(2_000_000_000)
    assert not netif_carrier_ok(golden.vlan)
    dev_open(end)
    golden.run(2_000_000_000)
    assert netif_carrier_ok(golden.vlan)
    dev_set_mtu(golden.lower, 1400)
    assert golden.vlan.mtu == 1400
    with raises(EINVAL):
        dev_set_mtu(golden.vlan, 1500)
    dev_change_features(golden.lower, 0, NETIF_F_HW_CSUM)
    assert not golden.vlan.features & NETIF_F_HW_CSUM
    with raises(ENOTSUP):
        dev_change_features(golden.vlan, NETIF_F_HW_CSUM, NETIF_F_HW_CSUM)
    dev_change_features(golden.vlan, 0, NETIF_F_SG)
    dev_change_features(golden.lower, NETIF_F_HW_CSUM, NETIF_F_HW_CSUM)
    assert golden.vlan.features & NETIF_F_HW_CSUM
    assert not golden.vlan.features & NETIF_F_SG


def test_devices_go_with_the_lower_one():
    golden = Golden()
    unregister_netdevice(golden.lower)
    assert list(golden.nets[2].dev_by_name) == ["lo"]


def test_a_device_whose_frames_go_elsewhere_cannot_be_a_lower_one(host):
    netdev_rx_handler_register(host.dev, lambda skb: (RxHandlerResult.PASS, skb))
    with raises(EBUSY):
        macvlan_newlink(host.net, "mv0", {}, host.dev)
    with raises(EINVAL):
        macvlan_newlink(host.net, "mv0", {}, host.net.loopback_dev)
    with raises(EINVAL):
        macvlan_newlink(host.net, "mv0", {}, None)
    assert "mv0" not in host.net.dev_by_name


def test_a_device_above_a_macvlan_stands_beside_it(host):
    first = above(host)
    second = macvlan_newlink(host.net, "mv1", {}, first)
    assert second.lowerdev is host.dev


def test_modes_are_changed_but_for_passthru(host):
    vlan = above(host, MACVLAN_MODE_VEPA)
    macvlan_changelink(vlan, {IFLA_MACVLAN_MODE: MACVLAN_MODE_PRIVATE})
    assert macvlan_fill_info(vlan)[IFLA_MACVLAN_MODE] == MACVLAN_MODE_PRIVATE
    for wrong in ({IFLA_MACVLAN_MODE: MACVLAN_MODE_PASSTHRU}, {IFLA_MACVLAN_MODE: 3}, {IFLA_MACVLAN_FLAGS: 4}):
        with raises(EINVAL):
            macvlan_changelink(vlan, wrong)


def test_senders_are_added_taken_away_and_replaced(host):
    vlan = above(host, MACVLAN_MODE_SOURCE)

    def change(mode: int, **addresses) -> set[bytes]:
        data = {IFLA_MACVLAN_MACADDR_MODE: mode}
        if addresses:
            data[IFLA_MACVLAN_MACADDR] = addresses["one"]
        macvlan_changelink(vlan, data)
        return vlan.sources

    assert change(MacvlanMacaddrMode.ADD, one=MAC) == {MAC}
    assert change(MacvlanMacaddrMode.ADD, one=OTHER) == {MAC, OTHER}
    info = macvlan_fill_info(vlan)
    assert info[IFLA_MACVLAN_MACADDR_COUNT] == 2
    assert change(MacvlanMacaddrMode.DEL, one=MAC) == {OTHER}
    wanted = {IFLA_MACVLAN_MACADDR_MODE: MacvlanMacaddrMode.SET}
    macvlan_changelink(vlan, wanted | {IFLA_MACVLAN_MACADDR_DATA: info[IFLA_MACVLAN_MACADDR_DATA]})
    assert vlan.sources == {MAC, OTHER}
    assert change(MacvlanMacaddrMode.FLUSH) == set()
    with raises(EINVAL):
        change(MacvlanMacaddrMode.ADD)
    with raises(EADDRNOTAVAIL):
        change(MacvlanMacaddrMode.ADD, one=BROADCAST)
    macvlan_changelink(vlan, {IFLA_MACVLAN_MODE: MACVLAN_MODE_VEPA})
    with raises(EINVAL):
        change(MacvlanMacaddrMode.ADD, one=MAC)


def test_broadcasts_that_find_the_queue_full_are_dropped_and_counted(host):
    vlan = macvlan_newlink(host.net, "mv0", {IFLA_MACVLAN_BC_QUEUE_LEN: 3}, host.dev)
    dev_open(vlan)
    for _ in range(5):
        host.receive(BROADCAST + PEER_MAC + b"\x88\xb5" + bytes(46))
    before = dev_get_stats(host.dev).rx_dropped
    host.platform.advance(1_000_000)
    stats = dev_get_stats(vlan)
    assert (stats.rx_packets, stats.multicast) == (3, 3)
    assert before == 5 + 2  # Nobody on eth0 itself wants any of them.
    assert len(host.platform.buffers) == 0


def test_frames_that_wait_go_with_the_device(host):
    vlan = above(host)
    host.receive(BROADCAST + PEER_MAC + b"\x88\xb5" + bytes(46))
    macvlan_dellink(vlan)
    host.platform.advance(1_000_000)
    assert len(host.platform.buffers) == 0


def test_headroom_of_the_lower_device_is_kept_free(host):
    lower = FakeNetDevice(host.net, "deep")
    lower.needed_headroom = 40
    register_netdevice(lower)
    assert macvlan_newlink(host.net, "mv0", {}, lower).needed_headroom == 40
