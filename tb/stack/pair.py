"""Two hosts on one fake platform, joined by devices that hand each frame to the other's NAPI."""

from collections import deque

from hardwire.stack.core.dev_napi import Napi, napi_complete_done, napi_enable, napi_schedule, netif_napi_add
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.gro import napi_gro_receive
from hardwire.stack.core.net import Kernel, Net
from hardwire.stack.core.netdevice import (
    IFF_BROADCAST,
    IFF_MULTICAST,
    NETDEV_TX_OK,
    NETIF_F_HW_CSUM,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from hardwire.stack.core.skbuff import CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, SkBuff, consume_skb, skb_put, skb_reserve
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.core.skbuff_rx import NET_IP_ALIGN, NET_SKB_PAD, napi_build_skb, skb_add_rx_frag
from hardwire.stack.core.softirq import run_in_irq
from hardwire.stack.ethernet.eth import eth_type_trans, ether_setup
from hardwire.stack.iproute import addr_add
from hardwire.stack.wire.checksum import csum_fold, csum_partial
from hardwire.tb.stack.fake import FakePlatform

__all__ = ["Pair", "PairHost", "WireDevice", "wire_poll"]


class WireDevice(NetDevice):
    """A device that receives what ``peer`` sends, in buffers of its own; ``sent`` keeps the frames.

    ``complete`` makes it sum what it receives; frames longer than ``buffer_octets`` come in several buffers. With a
    ``peer`` of None frames end here; ``receive`` puts one in by hand. ``budgets`` keeps what each poll may do.
    """

    def __init__(self, net: Net, mac: bytes, *, features: int = NETIF_F_SG, complete: bool = False) -> None:
        ops = NetDeviceOps(ndo_start_xmit=wire_start_xmit, ndo_set_rx_mode=wire_set_rx_mode)
        super().__init__(net, "eth%d", ops, Capabilities(features=features, max_mtu=9000))
        ether_setup(self)
        self.flags |= IFF_BROADCAST | IFF_MULTICAST
        self.dev_addr = mac
        self.peer: WireDevice | None = None
        self.complete = complete
        self.buffer_octets = 2048
        self.sent: list[bytes] = []
        self.arrived: deque[bytes] = deque()
        self.rx_modes: list[tuple[int, tuple[bytes, ...]]] = []
        self.napi: Napi = netif_napi_add(self, wire_poll)

    def receive(self, frame: bytes) -> None:
        """Let a frame arrive, with its interrupt."""
        self.arrived.append(frame)
        run_in_irq(self.kernel, lambda: napi_schedule(self.napi))

    def build(self, frame: bytes) -> SkBuff:
        """Return an skb around buffers that hold a frame, as a driver does."""
        kernel = self.kernel
        headroom = NET_SKB_PAD + NET_IP_ALIGN
        first, rest = frame[: self.buffer_octets], frame[self.buffer_octets :]
        block = kernel.kmalloc(headroom + self.buffer_octets)
        block.view[headroom : headroom + len(first)] = first
        skb = napi_build_skb(self, block)
        skb_reserve(skb, headroom)
        skb_put(skb, len(first))
        while rest:
            part, rest = rest[: self.buffer_octets], rest[self.buffer_octets :]
            block = kernel.kmalloc(self.buffer_octets)
            block.view[: len(part)] = part
            skb_add_rx_frag(skb, block, 0, len(part))
        skb.protocol = eth_type_trans(skb, self)
        if self.complete:
            skb.ip_summed = CHECKSUM_COMPLETE
            skb.csum = csum_partial(frame[14:])
        return skb


def wire_start_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a frame: it arrives at the peer at once, in a call of its own."""
    assert isinstance(dev, WireDevice)
    frame = bytearray(skb_copy_bits(skb, 0, skb.len))
    if skb.ip_summed == CHECKSUM_PARTIAL:
        start = skb.csum_start - skb.data
        at = start + skb.csum_offset
        frame[at : at + 2] = (csum_fold(csum_partial(frame[start:])) or 0xFFFF).to_bytes(2, "big")
    consume_skb(skb)
    dev.stats.tx_packets += 1
    dev.stats.tx_bytes += len(frame)
    dev.sent.append(bytes(frame))
    if dev.peer is not None:
        peer, octets = dev.peer, bytes(frame.ljust(60, b"\0"))
        dev.kernel.platform.timer(dev.kernel.now_ns() + 1000, lambda: peer.receive(octets))
    return NETDEV_TX_OK


def wire_set_rx_mode(dev: NetDevice) -> None:
    """Note what shall be received."""
    assert isinstance(dev, WireDevice)
    dev.rx_modes.append((dev.flags, tuple(dev.mc)))


def wire_poll(napi: Napi, budget: int) -> int:
    """Hand what arrived to the stack."""
    dev = napi.dev
    assert isinstance(dev, WireDevice)
    work = 0
    while dev.arrived and work < budget:
        frame = dev.arrived.popleft()
        dev.stats.rx_packets += 1
        dev.stats.rx_bytes += len(frame)
        napi_gro_receive(napi, dev.build(frame))
        work += 1
    if work < budget:
        napi_complete_done(napi, work)
    return work


class PairHost:
    """A host with a ``WireDevice``, eth0, and an address."""

    def __init__(self, platform: FakePlatform, mac: bytes, address: str, **device) -> None:
        self.platform = platform
        self.kernel = Kernel(platform)
        self.net = self.kernel.init_net
        self.mib = self.net.mib
        self.dev = WireDevice(self.net, mac, **device)
        register_netdevice(self.dev)
        napi_enable(self.dev.napi)
        dev_open(self.dev)
        addr_add(self.dev, address)

    def socket(self, *args: int):
        """Return a socket."""
        return self.net.socket(*args)

    def receive(self, frame: bytes) -> None:
        """Let a frame arrive."""
        self.dev.receive(frame)

    def changed(self, before: dict[str, int]) -> dict[str, int]:
        """Return the counters that changed, but those of routes."""
        return {
            key: value - before.get(key, 0)
            for key, value in self.mib.items()
            if value != before.get(key, 0) and not key.startswith("Rt:")
        }


class Pair:
    """10.0.0.1/24 and 10.0.0.2/24, joined."""

    def __init__(self, seed: int = 1, features: int = NETIF_F_SG | NETIF_F_HW_CSUM, complete: bool = False) -> None:
        self.platform = FakePlatform(seed)
        kwargs = {"features": features, "complete": complete}
        self.a = PairHost(self.platform, bytes.fromhex("020000000001"), "10.0.0.1/24", **kwargs)
        self.b = PairHost(self.platform, bytes.fromhex("020000000002"), "10.0.0.2/24", **kwargs)
        self.a.dev.peer, self.b.dev.peer = self.b.dev, self.a.dev
        self.buffers_at_rest = len(self.platform.buffers)

    def run(self, ns: int = 1_000_000) -> None:
        """Let time pass."""
        self.platform.advance(ns)

    def check_memory(self) -> None:
        """Check that nothing was lost and nothing is kept."""
        assert len(self.platform.buffers) == self.buffers_at_rest
