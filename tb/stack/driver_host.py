"""A host whose only device is the NIC's stand-in, under the real driver."""

import random
from typing import NamedTuple

from hardwire.stack.abi import RxStatus
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_open
from hardwire.stack.core.netdevice import NetDevice
from hardwire.stack.core.packet_type import PacketType, dev_add_pack
from hardwire.stack.core.skbuff import (
    SkBuff,
    alloc_page,
    alloc_skb,
    consume_skb,
    skb_fill_page_desc,
    skb_put_data,
    skb_reserve,
)
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.drivers.hardwire import hardwire_probe
from hardwire.stack.ethernet.eth import ETH_P_ALL
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.nic_double import NicDouble
from hardwire.tb.stack.phy_double import PhyDouble

__all__ = ["HOP", "MAC", "PEER", "Host", "Received", "Route", "frame"]

MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
HOP = 0x0A000002
_EXPERIMENTAL = b"\x88\xb5"


def frame(octets: int, seed: int = 0) -> bytes:
    """Return a frame to the host of that length."""
    header = MAC + PEER + _EXPERIMENTAL
    return header + random.Random(seed).randbytes(octets - len(header))


class Route:
    """As much of a route as the driver looks at."""

    gw = 0

    def __init__(self, dev: NetDevice) -> None:
        self.dev = dev


class Received(NamedTuple):
    """A frame that the driver handed up, and what it said of it."""

    octets: bytes
    ip_summed: int
    csum: int
    vlan_tci: int | None
    pkt_type: int


class Host:
    """A host with the NIC up."""

    def __init__(self, ring: int = 256, *, rx_ring: int = 256, phy: bool = False, open: bool = True) -> None:
        self.kernel, self.platform = make_kernel()
        self.device = NicDouble(self.platform)
        self.phy = PhyDouble(self.platform)
        if phy:
            self.device.mdio.phys[0] = self.phy
        self.dev = hardwire_probe(self.kernel.init_net, self.device, self.device.dma, [self.device], mac=MAC)
        self.nic = self.dev.priv
        self.ethtool = self.dev.ethtool_ops
        self.ethtool.set_ringparam(ring, rx_ring)
        self.ring = self.nic.rings[0]
        self.rx_ring = self.nic.rx_rings[0]
        self.received: list[Received] = []
        self.skbs: list[SkBuff] = []  # What was received while ``keep``.
        self.keep = False
        dev_add_pack(self.kernel.init_net, PacketType(ETH_P_ALL, self._tap, self.dev, ignore_outgoing=True))
        if open:
            dev_open(self.dev)
        self.ring.txq.dql.limit = self.ring.txq.dql.min_limit = 1 << 20  # Out of the way.

    def _tap(self, skb: SkBuff, dev: NetDevice, ptype: PacketType, orig_dev: NetDevice) -> int:
        octets = bytes(skb.view[skb.mac_header : skb.data]) + skb_copy_bits(skb, 0, skb.len)
        vlan = skb.vlan_tci if skb.vlan_proto else None
        self.received.append(Received(octets, skb.ip_summed, skb.csum, vlan, skb.pkt_type))
        if self.keep:
            self.skbs.append(skb)
        else:
            consume_skb(skb)
        return 0

    def receive(self, *frames: bytes) -> list[RxStatus | None]:
        """Have the device receive frames, and let time pass for its interrupt."""
        statuses = [self.device.rx.receive(frame) for frame in frames]
        self.platform.advance(100_000)
        return statuses

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
        skb.dst = Route(self.dev)  # type: ignore[assignment]  # It stands in for one.
        return skb

    def send(self, payload: bytes = b"payload", frags: tuple[bytes, ...] = ()) -> int:
        """Send a frame."""
        return dev_queue_xmit(self.skb(payload, frags))

    @property
    def payloads(self) -> list[bytes]:
        """What went out, without headers."""
        return [octets[14:] for octets, _ in self.device.frames]

    def all_is_given_back(self) -> bool:
        """Return whether nothing waits to be sent, and no memory is held but that of rings and buffers to receive."""
        dma = self.device.dma
        return not dma.mapped and len(self.platform.buffers) == len(dma.coherent) + len(dma.receiving)
