"""The NIC driver against a stand-in for the registers: what is hard to bring about on the gateware."""

import re
from errno import EINVAL, ENODEV

import pytest

from hardwire.stack.abi import ARP, GLOBAL, TXQ, ArpOp, TxFlags, TxStatus
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_queue import netif_tx_wake_queue
from hardwire.stack.core.dev_register import dev_change_features, dev_close, dev_get_stats, dev_open, dev_set_mtu
from hardwire.stack.core.dev_xmit import dev_add_tap
from hardwire.stack.core.neighbour import NUD_FAILED, NUD_REACHABLE
from hardwire.stack.core.neighbour_table import neigh_lookup
from hardwire.stack.core.neighbour_update import NEIGH_UPDATE_F_ADMIN, NEIGH_UPDATE_F_OVERRIDE, neigh_update
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_HW_NEIGH, NetDevice
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    SkBuff,
    alloc_page,
    alloc_skb,
    consume_skb,
    skb_fill_page_desc,
    skb_put_data,
    skb_reserve,
)
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.drivers.hardwire import hardwire_probe, hardwire_remove
from hardwire.stack.iproute import addr_add, neigh_add, neigh_del
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.nic_double import NicDouble

MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
HOP = 0x0A000002


class Route:
    """As much of a route as the driver looks at."""

    gw = 0


class Host:
    """A host with the NIC up."""

    def __init__(self, ring: int = 256) -> None:
        self.kernel, self.platform = make_kernel()
        self.device = NicDouble(self.platform)
        self.dev = hardwire_probe(self.kernel.init_net, self.device, self.device.dma, [self.device], mac=MAC)
        self.nic = self.dev.priv
        self.ethtool = self.dev.ethtool_ops
        self.ethtool.set_ringparam(ring)
        dev_open(self.dev)
        self.ring = self.nic.rings[0]
        self.ring.txq.dql.limit = self.ring.txq.dql.min_limit = 1 << 20  # Out of the way.

    def skb(self, payload: bytes = b"payload", frags: tuple[bytes, ...] = ()) -> SkBuff:
        """Return a frame, with fragments behind."""
        skb = alloc_skb(self.kernel, 64 + len(payload))
        skb_reserve(skb, 18)
        skb_put_data(skb, PEER + MAC + b"\x08\x00" + payload)
        skb.dev = self.dev
        skb.protocol = 0x0800
        for octets in frags:
            page = alloc_page(self.kernel, len(octets))
            page.view[:] = octets
            skb_fill_page_desc(skb, page, 0, len(octets))
            skb.len += len(octets)
            skb.data_len += len(octets)
        return skb

    def ip_skb(self) -> SkBuff:
        """Return a frame with an IPv4 header, to HOP."""
        skb = self.skb(bytes.fromhex("4500001c0000400040110000 0a000001 0a000002 00010002 00080000"))
        skb.network_header = skb.data + 14
        skb.dst = Route()  # type: ignore[assignment]  # It stands in for one.
        return skb

    def send(self, payload: bytes = b"payload", frags: tuple[bytes, ...] = ()) -> int:
        """Send a frame."""
        return dev_queue_xmit(self.skb(payload, frags))

    @property
    def payloads(self) -> list[bytes]:
        """What went out, without headers."""
        return [octets[14:] for octets, _ in self.device.frames]

    def all_is_given_back(self) -> bool:
        """Return whether nothing is mapped, and no memory is held but that of the rings."""
        return not self.device.dma.mapped and len(self.platform.buffers) == len(self.device.dma.coherent)


def test_a_frame_is_mapped_sent_freed_and_counted():
    host = Host()
    assert host.send(b"one") == 0
    assert list(host.device.dma.mapped.values()) == [17]
    host.device.run()
    assert host.payloads == [b"one"]
    assert host.all_is_given_back()
    stats = dev_get_stats(host.dev)
    assert (stats.tx_packets, stats.tx_bytes, stats.tx_errors, stats.tx_dropped) == (1, 17, 0, 0)


def test_fragments_become_parts_of_one_frame():
    host = Host()
    frags = tuple(bytes([65 + n]) * (n + 1) for n in range(17))
    host.send(b"head", frags)
    assert host.ring.next_to_use == 18
    host.device.run()
    assert host.payloads == [b"head" + b"".join(frags)]
    assert host.all_is_given_back()


@pytest.mark.parametrize(("ring", "parts"), [(2, 17), (4, 17), (4, 3), (8, 7), (16, 17), (16, 15)])
def test_a_frame_with_more_parts_than_the_ring_holds_is_joined(ring, parts):
    host = Host(ring)
    frags = tuple(bytes([65 + n]) for n in range(parts))
    for _ in range(5):
        host.send(b"head", frags)
        host.device.run()
    assert host.payloads == [b"head" + b"".join(frags)] * 5
    assert host.ring.stat["linearized"] == 5
    assert host.all_is_given_back()


def test_a_full_ring_stops_the_queue_and_a_clean_one_wakes_it():
    host = Host(64)
    for number in range(200):
        assert host.send(b"%d" % number) == 0
    assert host.ring.unused() < 18
    assert host.dev.tx[0].qdisc.qlen == 200 - (64 - 18)
    while host.device.run():
        host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(200)]
    assert host.all_is_given_back()
    assert host.ring.stat["busy"] == 0


def test_the_interrupt_is_let_through_again_after_each_poll():
    host = Host()
    for number in range(3):
        host.send(b"%d" % number)
        host.device.run()
        assert host.all_is_given_back()


def test_the_smallest_ring_passes_frames_one_by_one():
    host = Host(2)
    for number in range(20):
        host.send(b"%d" % number)
    while host.device.run():
        host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(20)]


def test_one_doorbell_for_a_batch():
    host = Host()
    host.dev.tx[0].state |= 1
    for number in range(10):
        host.send(b"%d" % number)
    before = len(host.device.doorbells)
    netif_tx_wake_queue(host.dev.tx[0])
    host.platform.advance()
    host.device.run()
    assert len(host.payloads) == 10
    # The one that was requeued, then the others.
    assert len(host.device.doorbells) - before == 2


def test_a_frame_dropped_after_deferred_doorbells_rings_for_those_before():
    host = Host()
    host.kernel.softnet.xmit_more = True
    ops = host.dev.netdev_ops
    assert ops.ndo_start_xmit(host.skb(b"one"), host.dev) == 0
    assert host.device.doorbells[-1] == 0
    host.kernel.softnet.xmit_more = False
    host.device.dma.fail_map = 0
    assert ops.ndo_start_xmit(host.skb(b"two"), host.dev) == 0
    assert host.device.doorbells[-1] == 1
    host.device.run()
    assert host.payloads == [b"one"]
    assert host.kernel.drop_counts() == {"DMA_MAPPING": 1}
    assert host.dev.stats.tx_dropped == 1
    assert host.all_is_given_back()


def test_a_refusal_after_deferred_doorbells_rings_for_those_before():
    host = Host(2)
    host.kernel.softnet.xmit_more = True
    ops = host.dev.netdev_ops
    ops.ndo_start_xmit(host.skb(b"one"), host.dev)
    host.ring.posted = 0  # As if the queue had not been stopped.
    before = len(host.device.doorbells)
    assert ops.ndo_start_xmit(host.skb(b"two"), host.dev) == 0x10
    assert host.device.doorbells[before:] == [1]


@pytest.mark.parametrize("failing", range(4))
def test_a_mapping_that_fails_takes_back_those_before(failing):
    host = Host()
    host.device.dma.fail_map = failing
    host.send(b"head", (b"a", b"b", b"c"))
    assert host.kernel.drop_counts() == {"DMA_MAPPING": 1}
    assert host.all_is_given_back()
    assert host.ring.next_to_use == 0
    host.device.dma.fail_map = -1
    host.send(b"good")
    host.device.run()
    assert host.payloads == [b"good"]


@pytest.mark.parametrize("status", [s for s in TxStatus if s not in (TxStatus.OK, TxStatus.RESOLVE_MISS)])
def test_each_failure_is_counted_with_its_reason(status):
    host = Host()
    host.device.statuses = [status]
    host.send(b"bad")
    host.send(b"good")
    host.device.run()
    assert host.payloads == [b"good"]
    assert host.kernel.drop_counts() == {f"HW_{status.name}": 1}
    stats = dev_get_stats(host.dev)
    assert (stats.tx_packets, stats.tx_errors) == (1, 1)
    assert host.all_is_given_back()


def test_a_completion_for_what_was_not_posted_is_an_error():
    host = Host()
    host.send()
    host.device.head = 5
    host.device.regs[TXQ.address(TXQ["TAIL"])] = 6
    host.ring.desc_view[5 * 32 : 6 * 32] = host.ring.desc_view[:32]
    with pytest.raises(RuntimeError, match="eth0 completed descriptor 5, which was not posted"):
        host.device.run()


def test_checksum_fields_describe_the_frame():
    host = Host()
    skb = host.ip_skb()
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = skb.data + 34
    skb.csum_offset = 6
    dev_queue_xmit(skb)
    dev_queue_xmit(host.ip_skb())  # A fragment, say: only its IPv4 header.
    raw = host.ip_skb()
    raw.dst = None  # From a packet socket: not to be touched.
    dev_queue_xmit(raw)
    dev_change_features(host.dev, 0, NETIF_F_HW_CSUM)
    dev_queue_xmit(host.ip_skb())
    host.device.run()
    fields = [
        (TxFlags(d["flags"]) & ~TxFlags(3), d["l3_start"], d["csum_start"], d["csum_offset"])
        for _, d in host.device.frames
    ]
    assert fields == [
        (TxFlags.CSUM_PARTIAL | TxFlags.CSUM_IPV4, 14, 34, 6),
        (TxFlags.CSUM_IPV4, 14, 34, 0),
        (TxFlags(0), 0, 0, 0),
        (TxFlags(0), 0, 0, 0),
    ]


def test_only_known_next_hops_are_left_to_the_device():
    host = Host()
    dev_queue_xmit(host.ip_skb())
    host.nic.neigh.shadow[HOP] = PEER
    dev_queue_xmit(host.ip_skb())
    through_gateway = host.ip_skb()
    through_gateway.dst.gw = HOP + 1
    dev_queue_xmit(through_gateway)
    dev_change_features(host.dev, 0, NETIF_F_HW_NEIGH)
    dev_queue_xmit(host.ip_skb())
    host.device.run()
    hops = [d["next_hop"] if d["flags"] & TxFlags.RESOLVE else None for _, d in host.device.frames]
    assert hops == [None, HOP, None, None]


def test_a_stuck_queue_is_reset_and_every_frame_accounted_for():
    host = Host()
    host.device.stuck = True
    for number in range(300):
        host.send(b"%d" % number)
    posted = host.ring.next_to_use
    host.platform.advance(6_000_000_000)
    assert host.ring.stat["resets"] == 1
    host.device.run()
    while host.device.run():
        host.platform.advance()
    assert host.kernel.drop_counts() == {"HW_ABORTED": posted}
    assert host.dev.stats.tx_aborted_errors == posted
    assert host.payloads == [b"%d" % number for number in range(posted, 300)]
    assert host.all_is_given_back()


def test_closing_sends_what_the_ring_holds():
    host = Host()
    for number in range(5):
        host.send(b"%d" % number)
    dev_close(host.dev)
    assert len(host.payloads) == 5
    assert host.kernel.drop_counts() == {}
    assert not host.platform.buffers
    assert host.device.handler is None
    dev_open(host.dev)
    host.send(b"again")
    host.device.run()
    assert host.payloads[-1] == b"again"
    hardwire_remove(host.dev)
    assert "eth0" not in host.kernel.init_net.dev_by_name


def test_the_ring_can_be_resized_while_it_is_busy():
    host = Host()
    for number in range(100):
        host.send(b"%d" % number)
    host.ethtool.set_ringparam(32)
    assert host.ethtool.get_ringparam().tx_pending == 32
    for number in range(100, 200):
        host.send(b"%d" % number)
    while host.device.run():
        host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(200)]
    assert host.all_is_given_back()


@pytest.mark.parametrize("size", [0, 1, 3, 100, 65536])
def test_impossible_ring_sizes_are_refused(size):
    with pytest.raises(OSError, match=re.escape("a TX ring has 2, 4, 8 … 32768 descriptors")):
        Host().ethtool.set_ringparam(size)


def test_moderation_is_set_in_time_and_frames():
    host = Host()
    host.ethtool.set_coalesce(50, 8)
    coalesce = host.ethtool.get_coalesce()
    assert (coalesce.tx_coalesce_usecs, coalesce.tx_max_coalesced_frames) == (50, 8)
    assert host.device.regs[TXQ.address(TXQ["IRQ_TIME"])] == 6250
    assert host.device.regs[TXQ.address(TXQ["IRQ_COUNT"])] == 8
    for usecs, frames in ((-1, 1), (0, 0), (200_000, 1)):
        with pytest.raises(OSError, match=f"Errno {EINVAL}"):
            host.ethtool.set_coalesce(usecs, frames)


def test_ethtool_tells_driver_and_counters():
    host = Host()
    info = host.ethtool.get_drvinfo()
    assert (info.driver, info.version, info.n_stats) == ("hardwire", "1.0.0", len(host.ethtool.get_strings()))
    host.send()
    host.device.run()
    stats = dict(zip(host.ethtool.get_strings(), host.ethtool.get_ethtool_stats(), strict=True))
    assert stats["txq0_doorbells"] == 1
    assert "tx_resolve_misses" in stats


def test_the_mtu_follows_the_largest_frame():
    host = Host()
    dev_set_mtu(host.dev, 9004)
    assert host.dev.mtu == 9004
    with pytest.raises(OSError, match="takes an MTU of 68..9004, not 9005"):
        dev_set_mtu(host.dev, 9005)


@pytest.mark.parametrize(
    ("register", "value", "text"),
    [
        ("ID", 0x12345678, "no hardwire NIC here: its identity is 0x12345678, not 0x48574e43"),
        ("VERSION", 0x020304, "the NIC has register version 2.3.4; this driver knows 1.x only"),
    ],
)
def test_other_devices_and_versions_are_refused(register, value, text):
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    device.regs[GLOBAL.address(GLOBAL[register])] = value
    with pytest.raises(OSError, match=f"^.Errno {ENODEV}. {re.escape(text)}$"):
        hardwire_probe(kernel.init_net, device, device.dma, [device], mac=MAC)
    assert "eth0" not in kernel.init_net.dev_by_name


def test_impossible_addresses_and_too_few_lines_are_refused():
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    with pytest.raises(OSError, match="03:00:00:00:00:01 is no address for a NIC"):
        hardwire_probe(kernel.init_net, device, device.dma, [device], mac=bytes.fromhex("030000000001"))
    with pytest.raises(OSError, match="the NIC has 1 TX queues, and 0 interrupt lines"):
        hardwire_probe(kernel.init_net, device, device.dma, [], mac=MAC)


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

    def tap(skb: SkBuff, dev: NetDevice) -> None:
        tapped.append(skb_copy_bits(skb, 0, skb.len))
        consume_skb(skb)

    dev_add_tap(host.dev, tap)
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
    assert host.nic.neigh.update_activity() == 1
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
