"""The NIC driver and neighbours: what is left to the device's cache, and what comes back from it."""

import pytest

from hardwire.stack.abi import ARP, ArpOp, TxFlags, TxStatus
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_change_features, dev_close, dev_get_stats
from hardwire.stack.core.neighbour import NUD_DELAY, NUD_FAILED, NUD_REACHABLE, NUD_STALE
from hardwire.stack.core.neighbour_table import neigh_lookup
from hardwire.stack.core.neighbour_update import NEIGH_UPDATE_F_ADMIN, NEIGH_UPDATE_F_OVERRIDE, neigh_update
from hardwire.stack.core.netdevice import NETIF_F_HW_NEIGH, NetDevice
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.skbuff import (
    SkBuff,
    consume_skb,
)
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.iproute import addr_add, neigh_add, neigh_del
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.driver_host import HOP, PEER, Host


def test_only_known_next_hops_are_left_to_the_device():
    host = Host()
    dev_queue_xmit(host.ip_skb())
    host.nic.neigh.shadow[HOP] = PEER
    dev_queue_xmit(host.ip_skb())
    through_gateway = host.ip_skb()
    through_gateway.dst.gw = HOP + 1
    dev_queue_xmit(through_gateway)
    from_above = host.ip_skb()
    from_above.dst.dev = host.kernel.init_net.loopback_dev  # As from a macvlan: it has neighbours of its own.
    dev_queue_xmit(from_above)
    dev_change_features(host.dev, 0, NETIF_F_HW_NEIGH)
    dev_queue_xmit(host.ip_skb())
    host.device.run()
    hops = [d["next_hop"] if d["flags"] & TxFlags.RESOLVE else None for _, d in host.device.frames]
    assert hops == [None, HOP, None, None, None]


def test_entries_that_had_to_go_leave_the_shadow():
    host = Host()
    host.device.arp_limit = 2
    offload = host.nic.neigh
    for number in range(3):
        offload.submit(ArpOp.INSERT, HOP + number, PEER)
    assert list(offload.shadow) == [HOP]  # The others wait for the device.
    host.platform.advance(10_000)
    assert sorted(offload.shadow) == sorted(host.device.arp) == [HOP + 1, HOP + 2]
    assert offload.evictions == 1


def test_operations_on_the_cache_never_wait():
    host = Host()
    status = ARP.address(ARP["STATUS"])
    host.nic.neigh.submit(ArpOp.INSERT, HOP, PEER)
    host.device.regs[status] = 1  # Busy.
    host.platform.advance(10_000)
    host.nic.neigh.submit(ArpOp.INSERT, HOP + 1, PEER)
    assert HOP + 1 not in host.device.arp
    host.device.regs[status] = 0
    host.platform.advance(2_000)
    assert HOP + 1 in host.device.arp


def connected(host: Host, peer: str = "10.0.0.2"):
    """Return a UDP socket of a host that has an address."""
    addr_add(host.dev, "10.0.0.1/24")
    socket = host.kernel.init_net.socket()
    socket.connect((peer, 9000))
    return socket


def test_a_miss_is_resolved_and_sent_again_and_tapped_and_counted_once():
    host = Host()
    socket = connected(host)
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:02")
    tapped = []

    def tap(skb: SkBuff, dev: NetDevice, pt: PacketType, orig_dev: NetDevice) -> int:
        tapped.append(skb_copy_bits(skb, 0, skb.len))
        consume_skb(skb)
        return 0

    dev_add_pack(host.dev.net, PacketType(ETH_P_ALL, tap, host.dev))
    host.device.statuses = [TxStatus.RESOLVE_MISS]
    socket.send(b"one")
    socket.send(b"two")
    host.device.run()
    host.platform.advance()
    host.device.run()
    assert [octets[-3:] for octets, _ in host.device.frames] == [b"two", b"one"]
    assert [bool(d["flags"] & TxFlags.RESOLVE) for _, d in host.device.frames] == [True, False]
    assert [octets for octets, _ in host.device.frames][1][:6] == bytes.fromhex("020000000002")
    assert [octets[-3:] for octets in tapped] == [b"one", b"two"]
    mib, stats = host.kernel.init_net.mib, dev_get_stats(host.dev)
    assert (mib["Udp:OutDatagrams"], mib["Ip:OutRequests"], stats.tx_packets, stats.tx_errors) == (2, 2, 2, 0)
    assert host.ring.stat["resolve_misses"] == 1
    assert host.kernel.drop_counts() == {}
    assert host.all_is_given_back()


def test_the_cache_follows_the_neighbour_table():
    host = Host()
    connected(host)
    other = ipv4_from_text("10.0.0.2")
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:02")
    assert host.nic.neigh.shadow == {other: PEER}
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:03")
    host.platform.advance(10_000)
    assert host.nic.neigh.shadow == {other: bytes.fromhex("020000000003")}
    assert host.device.arp == {other: 0x020000000003}
    neigh_del(host.dev, "10.0.0.2")
    assert host.nic.neigh.shadow == {}
    host.platform.advance(10_000)
    assert host.device.arp == {}
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:02")
    dev_close(host.dev)
    host.platform.advance(10_000)
    assert host.nic.neigh.shadow == host.device.arp == {}


def test_a_neighbour_that_answers_enters_the_cache_and_one_that_fails_leaves_it():
    host = Host()
    socket = connected(host)
    socket.send(b"one")
    tbl = host.kernel.init_net.ipv4.arp_tbl
    neigh = neigh_lookup(tbl, ipv4_from_text("10.0.0.2"), host.dev)
    assert host.nic.neigh.shadow == {}
    neigh_update(neigh, PEER, NUD_REACHABLE, NEIGH_UPDATE_F_OVERRIDE)
    assert host.nic.neigh.shadow == {neigh.primary_key: PEER}
    neigh_update(neigh, None, NUD_FAILED, NEIGH_UPDATE_F_ADMIN)
    assert host.nic.neigh.shadow == {}


def reachable(host: Host):
    """Return a socket and the neighbour that it sends to, which has just answered."""
    socket = connected(host)
    socket.send(b"one")
    neigh = neigh_lookup(host.kernel.init_net.ipv4.arp_tbl, HOP, host.dev)
    neigh_update(neigh, PEER, NUD_REACHABLE, NEIGH_UPDATE_F_OVERRIDE)
    return socket, neigh


def reads(host: Host) -> int:
    """Return how many entries of the cache the driver has read."""
    return host.device.writes.count((ARP.address(ARP["OP"]), ArpOp.READ_CLEAR))


@pytest.mark.parametrize(("used", "state"), [(True, NUD_DELAY), (False, NUD_STALE)])
def test_a_neighbour_that_the_device_sends_to_is_probed_before_it_gets_stale(used, state):
    host = Host()
    socket, neigh = reachable(host)
    host.device.run()
    while neigh.nud_state == NUD_REACHABLE:
        if used:
            socket.send(b"more")
            host.device.run()
        host.platform.advance(1_000_000_000)
    assert neigh.nud_state == state


def test_activity_is_read_once_a_delay_probe_time_and_only_while_somebody_is_reachable():
    host = Host()
    _, neigh = reachable(host)
    entries = host.nic.neigh.entries
    host.platform.advance(4_900_000_000)
    assert reads(host) == 0
    host.platform.advance(200_000_000)
    assert reads(host) == entries
    host.platform.advance(5_000_000_000)
    assert reads(host) == 2 * entries
    host.platform.advance(60_000_000_000)
    assert neigh.nud_state == NUD_STALE
    before = reads(host)
    host.platform.advance(60_000_000_000)
    assert reads(host) == before
    neigh_update(neigh, PEER, NUD_REACHABLE, NEIGH_UPDATE_F_OVERRIDE)
    host.platform.advance(5_100_000_000)
    assert reads(host) == before + entries
    dev_close(host.dev)
    host.platform.advance(60_000_000_000)
    assert reads(host) == before + entries


def test_a_change_of_the_cache_goes_before_the_reading_of_activity():
    host = Host()
    reachable(host)
    host.platform.advance(5_000_010_000)
    assert 0 < reads(host) < host.nic.neigh.entries
    host.nic.neigh.submit(ArpOp.INSERT, HOP + 1, PEER)
    host.platform.advance(2_000)
    assert HOP + 1 in host.device.arp
    assert reads(host) < host.nic.neigh.entries
