"""The driver on the gateware: frames handed to ``dev_queue_xmit`` against the octets that leave the MAC."""

import os
import random
from collections import Counter
from dataclasses import dataclass
from errno import ENOMEM

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hardwire.hdl.config import NicConfig
from hardwire.sim.bus_model import BusModel
from hardwire.sim.memory import HostMemory
from hardwire.sim.nic import SimNic
from hardwire.sim.world import World
from hardwire.stack.abi import ArpOp
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_close, dev_get_stats, dev_open
from hardwire.stack.core.net import Kernel
from hardwire.stack.core.netdevice import NetDevice
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    SkBuff,
    alloc_page,
    alloc_skb,
    skb_fill_page_desc,
    skb_put_data,
    skb_reserve,
)
from hardwire.stack.drivers.bus import Direction, Mmio
from hardwire.stack.drivers.hardwire import Hardwire, hardwire_probe
from hardwire.stack.wire.checksum import csum_fold, csum_partial

MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
SEED = int(os.environ.get("HARDWIRE_SEED", "1"))
FAST = BusModel(read_latency_ns=200, write_latency_ns=200)


@dataclass
class Route:
    """As much of a route as the driver looks at."""

    gw: int
    dev: NetDevice


class Machine:
    """A host with the gateware's device up, and no protocols."""

    def __init__(self, *, bus: BusModel = FAST, ring: int = 256, seed: int = SEED) -> None:
        self.world = World(seed=seed)
        self.host = self.world.host()
        self.device = SimNic(self.host, bus=bus)
        self.kernel = Kernel(self.host)
        self.dev = hardwire_probe(self.kernel.init_net, self.device, self.host.memory, [self.device], mac=MAC)
        self.nic: Hardwire = self.dev.priv
        self.ethtool = self.dev.ethtool_ops
        self.ethtool.set_ringparam(ring)
        dev_open(self.dev)
        self.ring = self.nic.rings[0]
        memory = self.host.memory
        self.held = (memory.mappings, memory.buffers)

    def skb(self, octets: bytes, cuts: tuple[int, ...] = (), align: int = 2) -> SkBuff:
        """Return a frame whose head ends at the first cut; each further cut starts another fragment."""
        edges = (0, *cuts, len(octets))
        skb = alloc_skb(self.kernel, 64 + edges[1])
        skb_reserve(skb, 16 + align)
        skb_put_data(skb, octets[: edges[1]])
        for number, (start, end) in enumerate(zip(edges[1:], edges[2:], strict=False)):
            offset = (align + number) % 8
            page = alloc_page(self.kernel, offset + end - start)
            page.view[offset : offset + end - start] = octets[start:end]
            skb_fill_page_desc(skb, page, offset, end - start)
            skb.len += end - start
            skb.data_len += end - start
        skb.dev = self.dev
        return skb

    def send(self, octets: bytes, cuts: tuple[int, ...] = (), align: int = 2) -> int:
        """Send a frame."""
        return dev_queue_xmit(self.skb(octets, cuts, align))

    def no_byte_limit(self) -> None:
        """Let the ring be filled."""
        self.ring.txq.dql.min_limit = self.ring.txq.dql.limit = 1 << 20

    def frames(self) -> list[bytes]:
        """Let the device finish, and return what left it."""
        self.world.advance(100_000)
        self.world.drain()
        frames = self.device.take_frames()
        assert all(frame.ok for frame in frames)
        return [frame.octets for frame in frames]

    def all_is_given_back(self) -> bool:
        """Return whether no memory is held or mapped but the rings and the buffers to receive into."""
        memory = self.host.memory
        return (memory.mappings, memory.buffers) == self.held


class FullDma(HostMemory):
    """Memory of which no more can be mapped."""

    def map(self, addr: int, length_octets: int, direction: Direction) -> int:
        """Fail."""
        raise OSError(ENOMEM, "no room to map")


class CountedMmio:
    """Registers, with a count of the writes to each."""

    def __init__(self, mmio: Mmio) -> None:
        self.mmio = mmio
        self.writes: Counter[int] = Counter()

    def read32(self, offset: int) -> int:
        """Read a register."""
        return self.mmio.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        self.writes[offset] += 1
        self.mmio.write32(offset, value)


def frame(payload: bytes) -> bytes:
    return PEER + MAC + b"\x88\xb5" + payload


def on_wire(octets: bytes) -> bytes:
    return octets.ljust(60, b"\0")


def test_the_device_says_what_it_was_built_with() -> None:
    machine = Machine()
    parameters, config = machine.nic.parameters, NicConfig()
    assert parameters.tx_queues == 1
    assert parameters.stream_octets * 8 == config.stream_width_bits
    assert parameters.tx_ring_log2_max == config.tx_ring_log2_max
    assert (parameters.arp_sets, parameters.arp_ways) == (config.arp_sets, config.arp_ways)
    assert parameters.max_frame_octets == config.max_frame_octets
    assert parameters.clock_khz == config.clock_khz
    assert machine.dev.capabilities.max_mtu == config.max_frame_octets - 14


@pytest.mark.parametrize("length", [0, 1, 45, 46, 47, 114, 1500, 9004])
def test_a_frame_leaves_as_it_was_sent(length: int) -> None:
    machine = Machine()
    payload = random.Random(length).randbytes(length)
    assert machine.send(frame(payload)) == 0
    assert machine.frames() == [on_wire(frame(payload))]
    stats = dev_get_stats(machine.dev)
    assert (stats.tx_packets, stats.tx_bytes, stats.tx_errors) == (1, 14 + length, 0)
    assert machine.all_is_given_back()


@pytest.mark.parametrize("ring", [2, 4, 32, 256, 4096])
def test_frames_of_many_shapes_leave_in_order(ring: int) -> None:
    machine = Machine(ring=ring)
    rng = random.Random(SEED + ring)
    sent = []
    for number in range(120):
        octets = frame(number.to_bytes(2, "big") + rng.randbytes(rng.choice((0, 50, 200, 1400))))
        count = rng.choice((0, 0, 1, 3, 17))
        cuts = sorted(rng.sample(range(14, len(octets)), min(count, len(octets) - 14)))
        assert machine.send(octets, tuple(cuts), rng.randrange(8)) == 0, f"seed {SEED}"
        sent.append(on_wire(octets))
    assert machine.frames() == sent, f"seed {SEED}"
    assert machine.all_is_given_back()
    assert dev_get_stats(machine.dev).tx_packets == 120
    assert machine.ring.next_to_clean == machine.ring.next_to_use


def test_the_device_fills_the_checksum_in() -> None:
    machine = Machine()
    payload = bytearray(random.Random(SEED).randbytes(333))
    payload[40:42] = b"\x12\x34"  # The pseudo header's sum.
    skb = machine.skb(frame(bytes(payload)))
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = skb.data + 14 + 34
    skb.csum_offset = 6
    dev_queue_xmit(skb)
    csum = csum_fold(csum_partial(payload[34:])) or 0xFFFF
    payload[40:42] = csum.to_bytes(2, "big")
    assert machine.frames() == [frame(bytes(payload))]


@pytest.mark.parametrize("length", [0, 1, 2, 99, 1440])
def test_ipv6_udp_gets_its_checksum_too(length: int) -> None:
    """The gateware is not tied to IPv4: a raw frame, its sum left to csum_start and csum_offset."""
    payload = random.Random(SEED + length).randbytes(length)
    packet = Ether(dst=PEER, src=MAC) / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1000, dport=2000) / Raw(payload)
    complete = bytes(packet)
    machine = Machine()
    pseudo = complete[22:54] + (8 + length).to_bytes(4, "big") + bytes((0, 0, 0, 17))
    skb = machine.skb(complete[:60] + csum_partial(pseudo).to_bytes(2, "big") + complete[62:])
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = skb.data + 54
    skb.csum_offset = 6
    dev_queue_xmit(skb)
    assert machine.frames() == [complete]


def test_a_known_next_hop_gets_its_address_from_the_device() -> None:
    machine = Machine()
    machine.nic.neigh.submit(ArpOp.INSERT, 0x0A000009, bytes.fromhex("02aabbccddee"))
    skb = machine.skb(frame(bytes(60)))
    skb.protocol = 0x0800
    skb.network_header = skb.data + 14
    skb.dst = Route(0x0A000009, machine.dev)  # type: ignore[assignment]  # It stands in for one.
    skb.view[skb.network_header] = 0x45
    dev_queue_xmit(skb)
    (octets,) = machine.frames()
    assert octets[:6] == bytes.fromhex("02aabbccddee")
    assert machine.nic.neigh.read_back() == [(0x0A000009, bytes.fromhex("02aabbccddee"), True)]


def test_the_shadow_follows_the_cache_through_evictions() -> None:
    machine = Machine()
    offload = machine.nic.neigh
    rng = random.Random(SEED)
    for _ in range(400):
        key = rng.randrange(1 << 32)
        offload.submit(ArpOp.INSERT, key, b"\x02" + key.to_bytes(5, "big"))
        if rng.randrange(4) == 0 and offload.shadow:
            gone = rng.choice(list(offload.shadow))
            offload.shadow.pop(gone)
            offload.submit(ArpOp.DELETE, gone)
    machine.world.advance(2_000_000)
    assert {key: mac for key, mac, _ in offload.read_back()} == offload.shadow
    assert offload.evictions > 100


def test_a_read_error_costs_one_frame_and_is_counted() -> None:
    machine = Machine()
    bad = machine.skb(frame(b"bad" * 30))
    address = machine.host.memory.map(bad.head.addr, 1, 1)
    machine.host.memory.unmap(address, 1, 1)
    machine.device.set_bus(BusModel(read_latency_ns=200, error_range=(address, address + 64)))
    machine.send(frame(b"before" * 10))
    dev_queue_xmit(bad)
    machine.send(frame(b"after" * 10))
    assert machine.frames() == [on_wire(frame(b"before" * 10)), on_wire(frame(b"after" * 10))]
    assert machine.kernel.drop_counts() == {"HW_PAYLOAD_ERROR": 1}
    stats = dev_get_stats(machine.dev)
    assert (stats.tx_packets, stats.tx_errors) == (2, 1)
    assert machine.all_is_given_back()


def test_a_frame_dropped_after_deferred_doorbells_does_not_leave_earlier_frames_unsent() -> None:
    machine = Machine()
    machine.no_byte_limit()
    start_xmit = machine.dev.netdev_ops.ndo_start_xmit
    earlier = [frame(bytes([number]) * 60) for number in range(3)]
    machine.kernel.softnet.xmit_more = True
    for octets in earlier:
        start_xmit(machine.skb(octets), machine.dev)
    assert machine.frames() == []  # The doorbell waits for the last of the batch.
    machine.kernel.softnet.xmit_more = False
    machine.ring.dma = FullDma()
    start_xmit(machine.skb(frame(bytes(60))), machine.dev)
    machine.ring.dma = machine.host.memory
    assert machine.frames() == earlier
    assert machine.kernel.drop_counts() == {"DMA_MAPPING": 1}
    assert machine.all_is_given_back()


@pytest.mark.parametrize("ring", [4, 64])
def test_random_bus_errors_lose_only_what_is_accounted_for(ring: int) -> None:
    bus = BusModel(
        read_latency_ns=300,
        read_jitter_ns=300,
        stall_probability=0.05,
        read_error_probability=0.03,
        write_error_probability=0.03,
        reorder=True,
        interleave=True,
    )
    machine = Machine(bus=bus, ring=ring)
    rng = random.Random(SEED)
    sent = []
    for number in range(300):
        octets = frame(number.to_bytes(2, "big") + rng.randbytes(rng.choice((50, 300))))
        cuts = sorted(rng.sample(range(14, len(octets)), rng.choice((0, 2))))
        assert machine.send(octets, tuple(cuts)) == 0
        sent.append(octets)
    got = machine.frames()
    places = [sent.index(octets) for octets in got]
    assert places == sorted(places), f"seed {SEED}"
    assert len(got) + sum(machine.kernel.drop_counts().values()) == 300, f"seed {SEED}"
    assert set(machine.kernel.drop_counts()) <= {"HW_PAYLOAD_ERROR", "HW_DESC_ERROR"}
    assert len(got) < 300
    assert machine.all_is_given_back()


def test_a_reset_in_flight_accounts_for_every_frame() -> None:
    machine = Machine(ring=64)
    machine.no_byte_limit()
    sent = [frame(bytes([number]) * 400) for number in range(100)]
    for octets in sent:
        machine.send(octets)
    machine.world.advance(30_000)
    machine.dev.netdev_ops.ndo_tx_timeout(machine.dev, 0)
    got = machine.frames()
    drops = machine.kernel.drop_counts()
    assert set(drops) == {"HW_ABORTED"}
    assert len(got) + drops["HW_ABORTED"] == 100
    assert got == [octets for octets in sent if octets in got]
    assert dev_get_stats(machine.dev).tx_aborted_errors == drops["HW_ABORTED"]
    assert machine.all_is_given_back()


def test_closing_sends_what_was_posted_and_opening_starts_over() -> None:
    machine = Machine()
    sent = [frame(bytes([number]) * 200) for number in range(20)]
    machine.no_byte_limit()
    for octets in sent:
        machine.send(octets)
    dev_close(machine.dev)
    assert machine.frames() == sent
    assert machine.kernel.drop_counts() == {}
    assert machine.host.memory.leaks() == []
    dev_open(machine.dev)
    machine.send(sent[0])
    assert machine.frames() == sent[:1]


def test_the_ring_is_resized_without_loss() -> None:
    machine = Machine(ring=32)
    sent = [frame(bytes([number]) * 100) for number in range(60)]
    for octets in sent[:30]:
        machine.send(octets)
    machine.ethtool.set_ringparam(128)
    for octets in sent[30:]:
        machine.send(octets)
    assert machine.frames() == sent
    assert machine.all_is_given_back()


@pytest.mark.parametrize(("frames", "most"), [(100, 3), (16, 20)])
def test_moderation_bounds_the_interrupts(frames: int, most: int) -> None:
    machine = Machine()
    machine.no_byte_limit()
    machine.ethtool.set_coalesce(1000, frames)
    mmio = CountedMmio(machine.device)
    machine.ring.mmio = mmio
    for number in range(100):
        machine.send(frame(bytes([number]) * 200))
    assert len(machine.frames()) == 100
    # The handler masks the line, once an interrupt.
    assert 100 // frames <= mmio.writes[machine.ring.irq_reg] <= most


def test_ethtool_counters_agree_with_the_wire() -> None:
    machine = Machine()
    for number in range(10):
        machine.send(frame(bytes([number]) * 200))
    assert len(machine.frames()) == 10
    stats = dict(zip(machine.ethtool.get_strings(), machine.ethtool.get_ethtool_stats(), strict=True))
    assert stats["tx_frames"] == 10
    assert stats["tx_octets"] == 10 * (214 + 4)
    assert stats["tx_aborted"] == stats["tx_bus_errors"] == stats["tx_refused"] == 0
