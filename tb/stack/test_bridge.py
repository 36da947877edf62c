"""Bridges by themselves: ports that come and go, what is refused, the bridge as a device of its own host."""

from errno import EBUSY, EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC, EOPNOTSUPP, ERANGE

import pytest

from hardwire.stack.bridge.br_fdb_user import NLM_F_CREATE, br_fdb_add, br_fdb_delete, br_fdb_dump
from hardwire.stack.bridge.br_if import br_del_if, port_cost
from hardwire.stack.bridge.br_netlink import br_changelink, br_dev_delete, br_dev_newlink, br_link_ops, br_setport
from hardwire.stack.bridge.br_netlink_attrs import BR_POLICY, BR_PORT_POLICY, IflaBr, IflaBrport
from hardwire.stack.bridge.br_private import BR_STATE_DISABLED, BR_STATE_FORWARDING, NetBridgePort, br_port_get_rcu
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_receive import RxHandlerResult, netdev_rx_handler_register
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
from hardwire.stack.core.ethtool import LinkSettings
from hardwire.stack.core.neighbour import NUD_NOARP, NUD_REACHABLE
from hardwire.stack.core.netdevice import netif_carrier_ok
from hardwire.stack.core.skbuff import CHECKSUM_NONE, __alloc_skb, skb_put_data
from hardwire.stack.drivers.veth import veth_dellink, veth_newlink
from hardwire.stack.iproute import addr_add
from hardwire.stack.llc.llc_core import LLC_SAP_BSPAN, llc_sap_open
from hardwire.tb.stack.bridged import OurBridge, port_mac
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import WireDevice
from hardwire.tb.stack.test_veth import Namespaces

STATION = bytes.fromhex("020000000099")
OTHER = bytes.fromhex("020000000098")


def frame(dest: bytes, source: bytes = STATION, body: bytes = bytes(46)) -> bytes:
    return dest + source + b"\x88\xb5" + body


@pytest.fixture
def ours():
    return OurBridge(3)


def test_what_cannot_be_a_port_is_refused(ours):
    with raises(EINVAL):
        do_set_master(ours.net.loopback_dev, ours.dev)
    with raises(ELOOP):
        do_set_master(br_dev_newlink(ours.net, "br1", {}), ours.dev)
    for mac in (bytes(6), b"\x01" + bytes(5)):
        with raises(EINVAL):
            do_set_master(WireDevice(ours.net, mac), ours.dev)
    taken = WireDevice(ours.net, OTHER)
    netdev_rx_handler_register(taken, lambda skb: (RxHandlerResult.PASS, skb))
    with raises(EBUSY):
        do_set_master(taken, ours.dev)
    assert (taken.allmulti, taken.promiscuity, taken.master) == (0, 0, None)
    with raises(EINVAL):
        br_del_if(ours.dev.priv, taken)
    with raises(EINVAL):
        br_del_if(br_dev_newlink(ours.net, "br2", {}).priv, ours.ports[0])
    with raises(EINVAL):
        br_setport(taken, {IflaBrport.LEARNING: 0})


def test_a_port_goes_from_bridge_to_bridge(ours):
    other = br_dev_newlink(ours.net, "br1", {})
    do_set_master(ours.ports[0], other)
    assert ours.ports[0].master is other
    assert [port.dev for port in ours.dev.priv.port_list] == [ours.ports[2], ours.ports[1]]
    assert other.slaves == [ours.ports[0]]
    assert (ours.ports[0].promiscuity, ours.ports[0].allmulti) == (1, 1)
    do_set_master(ours.ports[0], None)
    assert (ours.ports[0].promiscuity, ours.ports[0].allmulti) == (0, 0)
    assert ours.ports[0].rx_handler is None
    ours.send(0, frame(OTHER))
    assert ours.kernel.drop_counts() == {"UNHANDLED_PROTO": 1}


def test_numbers_of_ports_are_used_again_and_end(ours):
    do_set_master(ours.ports[0], None)
    port = ours.add_port(7)
    assert br_port_get_rcu(port).port_no == 1
    br = ours.dev.priv
    br.port_list += [NetBridgePort(br, port, number, 100) for number in range(4, 1024)]
    with raises(ENOSPC):
        do_set_master(ours.ports[0], ours.dev)


def test_a_device_that_goes_leaves_its_bridge(ours):
    ours.send(1, frame(OTHER))
    unregister_netdevice(ours.ports[1])
    assert ours.fdb() == {(port_mac(n).hex(":"), f"p{n}", "permanent") for n in (0, 2)}
    ours.send(0, frame(OTHER))
    assert [len(port.sent) for port in ours.ports] == [1, 0, 2]


def test_a_bridge_that_goes_leaves_its_ports(ours):
    br_dev_delete(ours.dev)
    assert "br0" not in ours.net.dev_by_name
    assert all(port.master is None and port.rx_handler is None and port.promiscuity == 0 for port in ours.ports)
    ours.platform.advance(1_000_000_000_000)
    assert br_dev_newlink(ours.net, "br0", {}).ifindex > ours.dev.ifindex


def test_a_bridge_that_cannot_be_set_up_is_not_there(ours):
    for data in ({IflaBr.MAX_AGE: 1}, {IflaBr.HELLO_TIME: 100_000}):
        with raises(ERANGE):
            br_dev_newlink(ours.net, "br1", data)
    for data in ({IflaBr.VLAN_FILTERING: 1}, {IflaBr.MCAST_SNOOPING: 1}, {99: 1}):
        with raises(EOPNOTSUPP):
            br_dev_newlink(ours.net, "br1", data)
    with raises(EINVAL):
        br_dev_newlink(ours.net, "br1", {IflaBr.GROUP_ADDR: bytes.fromhex("0180c2000001")})
    with raises(EOPNOTSUPP):
        br_dev_newlink(ours.net, "br1", {}, ours.ports[0])
    with raises(EEXIST):
        br_dev_newlink(ours.net, "br0", {})
    assert "br1" not in ours.net.dev_by_name


def test_what_is_shown_can_be_encoded(ours):
    for shown, policy, size in (
        (br_link_ops.fill_info(ours.dev), BR_POLICY, {"u8": 1, "u16": 2, "u32": 4}),
        (br_link_ops.fill_slave_info(ours.ports[0]), BR_PORT_POLICY, {"u8": 1, "u16": 2, "u32": 4}),
    ):
        for number, value in shown.items():
            kind = policy[number]
            if kind in size:
                assert 0 <= value < 1 << 8 * size[kind]
            else:
                assert kind in ("binary", "mac")
                assert len(value) in (6, 8)
    assert br_link_ops.fill_info(ours.dev)[IflaBr.AGEING_TIME] == 30_000
    assert br_link_ops.fill_slave_info(ours.ports[0])[IflaBrport.COST] == 2


def test_another_group_address_can_be_chosen(ours):
    group = bytes.fromhex("0180c2000008")
    br_changelink(ours.dev, {IflaBr.GROUP_ADDR: group, IflaBr.STP_STATE: 1})
    dev_close(ours.dev)
    ours.frames()
    dev_open(ours.dev)
    ours.platform.advance(3_000_000_000)
    assert {octets[:6] for frames in ours.frames() for octets in frames} == {group}


def test_costs_follow_speeds(ours):
    class Speed:
        """Some speed."""

        def __init__(self, speed_mbps: int | None) -> None:
            self.speed_mbps = speed_mbps

        def get_link_ksettings(self) -> LinkSettings:
            """Return it."""
            return LinkSettings(self.speed_mbps, "full", False, True, (), ())

    port = ours.ports[0]
    costs = {10: 100, 100: 19, 1000: 5, 2500: 4, 5000: 3, 10_000: 2, 25_000: 1, None: 100, 16: 100}
    for speed, cost in costs.items():  # As measured: ethtool -s TAP speed SPEED.
        port.ethtool_ops = Speed(speed)
        assert port_cost(port) == cost
    port.ethtool_ops = None
    assert port_cost(port) == 100


def test_a_host_speaks_through_its_bridge():
    namespaces = Namespaces(3)
    bridge = br_dev_newlink(namespaces.nets[0], "br0", {})
    dev_open(bridge)
    addr_add(bridge, "10.0.0.1/24")
    for number in (1, 2):
        port, end = veth_newlink(namespaces.nets[0], "veth%d", namespaces.nets[number], "eth0")
        dev_open(port)
        dev_open(end)
        addr_add(end, f"10.0.0.{number + 1}/24")
        do_set_master(port, bridge)
    namespaces.run()
    here, *others = [net.socket() for net in namespaces.nets]
    for sock in (here, *others):
        sock.settimeout(1)  # A bridge always has a timer running, so that none would wait in vain.
    for sock, last in zip(others, (2, 3), strict=True):
        sock.bind((f"10.0.0.{last}", 9000))
        here.sendto(b"there", (f"10.0.0.{last}", 9000))
        namespaces.run()
        data, back = sock.recvfrom(100)
        assert data == b"there"
        sock.sendto(b"back", back)
        namespaces.run()
        assert here.recv(100) == b"back"
    # To the first: an ARP request to all, then the datagram to one.
    stats = dev_get_stats(bridge)
    assert (stats.tx_packets, stats.rx_packets) == (4, 4)
    learned = {info.dev.name for info in br_fdb_dump(bridge) if info.state == NUD_REACHABLE}
    assert learned == {"veth0", "veth1"}
    dev_close(bridge)
    assert not any(port.state != BR_STATE_DISABLED for port in bridge.priv.port_list)
    namespaces.run(60_000_000_000)
    assert not namespaces.platform.buffers


def test_a_port_without_a_link_is_disabled_until_it_has_one():
    namespaces = Namespaces(2)
    bridge = br_dev_newlink(namespaces.nets[0], "br0", {})
    dev_open(bridge)
    port, end = veth_newlink(namespaces.nets[0], "veth0", namespaces.nets[1], "veth0")
    dev_open(port)
    do_set_master(port, bridge)
    namespaces.run(2_000_000_000)
    assert (br_port_get_rcu(port).state, netif_carrier_ok(bridge)) == (BR_STATE_DISABLED, False)
    dev_open(end)
    namespaces.run(2_000_000_000)
    assert (br_port_get_rcu(port).state, netif_carrier_ok(bridge)) == (BR_STATE_FORWARDING, True)
    dev_close(end)
    namespaces.run(2_000_000_000)
    assert (br_port_get_rcu(port).state, netif_carrier_ok(bridge)) == (BR_STATE_DISABLED, False)
    veth_dellink(end)
    assert not bridge.priv.port_list


def test_a_frame_that_is_too_long_for_a_port_is_dropped_and_counted(ours):
    dev_set_mtu(ours.ports[1], 1000)
    ours.send(0, frame(OTHER, body=bytes(1004)))
    assert [len(port.sent) for port in ours.ports] == [0, 1, 1]
    ours.send(0, frame(OTHER, body=bytes(1005)))
    assert [len(port.sent) for port in ours.ports] == [0, 1, 2]
    assert ours.kernel.drop_counts() == {"NOT_SPECIFIED": 1}


def test_a_short_frame_of_this_host_is_dropped_and_counted(ours):
    skb = __alloc_skb(ours.kernel, 64)
    skb_put_data(skb, bytes(13))
    skb.dev = ours.dev
    dev_queue_xmit(skb)
    assert dev_get_stats(ours.dev).tx_dropped == 1
    assert ours.kernel.drop_counts() == {"NOT_SPECIFIED": 1}
    assert not ours.platform.buffers


def test_a_tag_is_put_into_a_frame_for_a_device_that_cannot(ours):
    ours.send(0, frame(OTHER)[:12] + b"\x81\0\0\5" + frame(OTHER)[12:])
    tagged = ours.ports[1].sent[0]
    assert tagged[12:16] == b"\x81\0\0\5"
    assert tagged[16:] == frame(OTHER)[12:]
    assert ours.ports[2].sent == [tagged]


def test_a_sum_that_a_device_made_is_forgotten_when_its_frame_is_forwarded():
    ours = OurBridge(1, complete=True)
    other = FakeNetDevice(ours.net)
    register_netdevice(other)
    dev_open(other)
    do_set_master(other, ours.dev)
    ours.send(0, frame(OTHER, body=bytes(range(46))))
    assert other.frames == [frame(OTHER, body=bytes(range(46)))]
    assert [ip_summed for ip_summed, _, _ in other.offloads] == [CHECKSUM_NONE]


def test_what_this_host_sends_to_all_leaves_by_all_ports():
    ours = OurBridge(3, address=True)
    br_setport(ours.ports[0], {IflaBrport.BCAST_FLOOD: 0, IflaBrport.MCAST_FLOOD: 0, IflaBrport.ISOLATED: 1})
    br_setport(ours.ports[1], {IflaBrport.UNICAST_FLOOD: 0})
    ours.net.socket().sendto(b"who?", ("10.0.0.9", 9))
    assert [len(frames) for frames in ours.frames()] == [1, 1, 1]
    ours.net.socket().sendto(b"to one", ("10.0.0.3", 9))
    assert [len(frames) for frames in ours.frames()] == [1, 0, 1]


def test_a_station_that_moves_is_found_at_its_new_place(ours):
    for at in (0, 1, 2):
        ours.send(at, frame(OTHER))
        ours.frames()
        for port in (0, 1, 2):
            if port != at:
                ours.send(port, frame(STATION, OTHER))
                assert [len(frames) for frames in ours.frames()] == [int(n == at) for n in range(3)]


def test_addresses_age_five_minutes_after_their_last_frame(ours):
    ours.send(0, frame(OTHER))
    ours.platform.advance(200_000_000_000)
    ours.send(0, frame(OTHER))
    ours.send(1, frame(STATION, OTHER))
    ours.platform.advance(299_000_000_000)
    assert len(ours.fdb()) == 5
    ours.platform.advance(2_000_000_000)
    assert len(ours.fdb()) == 3


def test_the_table_shows_when_a_station_was_heard_and_sent_to(ours):
    ours.send(0, frame(OTHER))
    ours.platform.advance(10_000_000_000)
    ours.send(1, frame(STATION, OTHER))
    ours.platform.advance(20_000_000_000)
    (info,) = [info for info in br_fdb_dump(ours.dev) if info.addr == STATION]
    assert (info.updated, info.used) == (30 * 250, 20 * 250)


def test_the_table_can_be_flushed_as_a_whole_or_by_port(ours):
    for port, source in ((0, STATION), (1, OTHER)):
        ours.send(port, frame(b"\xff" * 6, source))
    br_fdb_add(ours.ports[0], bytes.fromhex("020000000097"), 0, NLM_F_CREATE, NUD_NOARP)
    br_setport(ours.ports[1], {IflaBrport.FLUSH: None})
    assert (OTHER.hex(":"), "p1", "") not in ours.fdb()
    assert (STATION.hex(":"), "p0", "") in ours.fdb()
    br_changelink(ours.dev, {IflaBr.FDB_FLUSH: None})
    assert len(ours.fdb()) == 4
    with raises(ENOENT):
        br_fdb_delete(ours.ports[0], STATION, 0)
    with raises(EINVAL):
        br_fdb_delete(ours.net.loopback_dev, STATION, 0)


def test_the_bridge_knows_its_own_address(ours):
    dev_set_mac_address(ours.dev, OTHER)
    assert (OTHER.hex(":"), "br0", "permanent") in ours.fdb()
    ours.send(0, frame(OTHER))
    assert dev_get_stats(ours.dev).rx_packets == 1
    assert ours.frames() == [[], [], []]
    dev_set_mac_address(ours.dev, STATION)
    assert (OTHER.hex(":"), "br0", "permanent") not in ours.fdb()


def test_a_service_access_point_has_one_owner(ours):
    with raises(EBUSY):
        llc_sap_open(ours.net, LLC_SAP_BSPAN, lambda skb, dev: 0)
    heard = []
    llc_sap_open(ours.net, 0xAA, lambda skb, dev: heard.append((dev, bytes(skb.view[skb.data : skb.tail]))) or 0)
    for length, body in ((5, b"\xaa\xaa\x03ab"), (6, b"\xaa\xaa\0\0cd"), (9, b"\xaa\xaa\x03short"), (2, b"\xaa\xaa")):
        ours.send(0, bytes.fromhex("0180c2000002") + STATION + bytes((0, length)) + body + bytes(length == 5))
    assert heard == [(ours.ports[0], b"ab"), (ours.ports[0], b"cd")]
    assert ours.kernel.drop_counts() == {"NOT_SPECIFIED": 2}
