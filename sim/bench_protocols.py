"""Figures of the stack alone, without a card: packets a second, against scapy, and memory."""

import importlib.util
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from ..stack.core.dev_receive import netif_receive_skb
from ..stack.core.dev_register import dev_open, register_netdevice
from ..stack.core.neighbour import NUD_STALE
from ..stack.core.net import Kernel
from ..stack.core.netdevice import (
    IFF_BROADCAST,
    IFF_MULTICAST,
    NETDEV_TX_OK,
    NETIF_F_HW_CSUM,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from ..stack.core.skbuff import CHECKSUM_UNNECESSARY, SkBuff, consume_skb, skb_put_data, skb_reserve
from ..stack.core.skbuff_rx import NET_IP_ALIGN, NET_SKB_PAD, napi_build_skb
from ..stack.core.softirq import run_in_irq
from ..stack.ethernet.eth import eth_type_trans, ether_setup
from ..stack.iproute import addr_add, neigh_add
from ..stack.ipv4.devinet import inet_forward_change
from ..stack.wire.address import ipv4_from_text
from ..stack.wire.ethernet import EthernetFrame, EtherType
from ..stack.wire.ipv4 import Ipv4Packet
from ..stack.wire.udp import UdpDatagram
from .world import World

__all__ = ["NullDevice", "memory_of", "protocol_rates"]

_REPEATS = 5
_COUNT = 4000
_FRAME_OCTETS = 60  # Without FCS.
_PAYLOAD = bytes(range(_FRAME_OCTETS - 14 - 20 - 8))
_OURS, _FAR = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


class NullDevice(NetDevice):
    """A device that frees what it is to send, and counts it."""

    def __init__(self, kernel: Kernel, address: str) -> None:
        ops = NetDeviceOps(ndo_start_xmit=_null_xmit)
        super().__init__(kernel.init_net, "eth%d", ops, Capabilities(features=NETIF_F_SG | NETIF_F_HW_CSUM))
        ether_setup(self)
        self.flags |= IFF_BROADCAST | IFF_MULTICAST
        self.dev_addr = _OURS
        register_netdevice(self)
        dev_open(self)
        addr_add(self, address)

    def receive(self, frame: bytes) -> None:
        """Receive a frame as a driver's NAPI poll hands it over."""
        block = self.kernel.kmalloc(256)
        skb = napi_build_skb(self, block)
        skb_reserve(skb, NET_SKB_PAD + NET_IP_ALIGN)
        skb_put_data(skb, frame)
        skb.protocol = eth_type_trans(skb, self)
        skb.ip_summed = CHECKSUM_UNNECESSARY
        netif_receive_skb(skb)


def _null_xmit(skb: SkBuff, dev: NetDevice) -> int:
    dev.stats.tx_packets += 1
    consume_skb(skb)
    return NETDEV_TX_OK


def _rate(work: Callable[[int], None]) -> float:
    """Return how often a second something is done."""
    started = time.perf_counter()
    work(_COUNT)
    return _COUNT / (time.perf_counter() - started)


def _host() -> tuple[World, Kernel]:
    world = World()
    return world, Kernel(world.host())


def _sender() -> Callable[[int], None]:
    world, kernel = _host()
    dev = NullDevice(kernel, "10.0.0.1/24")
    neigh_add(dev, "10.0.0.2", _FAR.hex(":"))
    sendto = kernel.init_net.socket().sendto

    def send(count: int) -> None:
        before = dev.stats.tx_packets
        world.run(_repeat, count, lambda: sendto(_PAYLOAD, ("10.0.0.2", 9000)))
        if dev.stats.tx_packets - before != count:
            raise RuntimeError(f"only {dev.stats.tx_packets - before} of {count} datagrams were sent")

    return send


def _repeat(count: int, call: Callable[[], object]) -> None:
    for _ in range(count):
        call()


def _receiver() -> Callable[[int], None]:
    world, kernel = _host()
    dev = NullDevice(kernel, "10.0.0.1/24")
    sock = kernel.init_net.socket()
    sock.bind(("", 9000))
    recvfrom = sock.recvfrom
    frame = _frame("10.0.0.2", "10.0.0.1")

    def one() -> None:
        run_in_irq(kernel, lambda: dev.receive(frame))
        if recvfrom(100)[0] != _PAYLOAD:
            raise RuntimeError("a datagram came changed")

    return lambda count: world.run(_repeat, count, one)


def _router() -> Callable[[int], None]:
    world, kernel = _host()
    near, far = NullDevice(kernel, "10.0.1.254/24"), NullDevice(kernel, "10.0.2.254/24")
    inet_forward_change(kernel.init_net, True)
    neigh_add(far, "10.0.2.1", _FAR.hex(":"))
    frame = _frame("10.0.1.1", "10.0.2.1")

    def forward(count: int) -> None:
        before = far.stats.tx_packets
        world.run(_repeat, count, lambda: run_in_irq(kernel, lambda: near.receive(frame)))
        if far.stats.tx_packets - before != count:
            raise RuntimeError(f"only {far.stats.tx_packets - before} of {count} packets were forwarded")

    return forward


def _frame(src: str, dst: str) -> bytes:
    """Return a datagram to us, with right checksums."""
    datagram = UdpDatagram(1234, 9000, _PAYLOAD).emit(*(ipv4_from_text(text).to_bytes(4, "big") for text in (src, dst)))
    packet = Ipv4Packet(ipv4_from_text(src), ipv4_from_text(dst), 17, datagram).emit()
    return EthernetFrame(_OURS, _FAR, EtherType.IPV4, packet).emit()


def _scapy() -> dict[str, Callable[[int], None]]:
    """Return the same work done by scapy: building, dissecting, and both with a changed TTL between."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    def build() -> None:
        header = Ether(dst=_FAR.hex(":"), src=_OURS.hex(":")) / IP(src="10.0.0.1", dst="10.0.0.2")
        bytes(header / UDP(sport=1234, dport=9000) / Raw(_PAYLOAD))

    arriving, passing = _frame("10.0.0.2", "10.0.0.1"), _frame("10.0.1.1", "10.0.2.1")

    def dissect() -> None:
        packet = Ether(arriving)
        if (packet[UDP].dport, bytes(packet[UDP].payload)) != (9000, _PAYLOAD):
            raise RuntimeError("scapy sees another datagram")

    def forward() -> None:
        packet = Ether(passing)
        packet[IP].ttl -= 1
        del packet[IP].chksum
        packet.dst, packet.src = _FAR.hex(":"), _OURS.hex(":")
        bytes(packet)

    def times(work: Callable[[], None]) -> Callable[[int], None]:
        return lambda count: _repeat(count // 10, work)  # It is slower.

    return {"send": times(build), "receive": times(dissect), "forward": times(forward)}


def protocol_rates(repeats: int = _REPEATS) -> dict[str, dict[str, float | None]]:
    """Return how many datagrams or packets of 64 octets the stack sends, receives and forwards a second; medians.

    ``vs_scapy`` is how many times faster that is than scapy in the same run, None without scapy.
    """
    works = {"send": _sender(), "receive": _receiver(), "forward": _router()}
    scapy = _scapy() if importlib.util.find_spec("scapy") is not None else None
    figures: dict[str, dict[str, float | None]] = {}
    for name, work in works.items():
        work(200)  # Warm up.
        speeds: list[float] = []
        times: list[float] = []
        for _ in range(repeats):
            # In turns, so that a change of the computer's speed meets both.
            speeds.append(_rate(work))
            if scapy is not None:
                times.append(speeds[-1] / (_rate(scapy[name]) / 10))
        figures[name] = {
            "per_s": statistics.median(speeds),
            "vs_scapy": statistics.median(times) if times else None,
        }
    return figures


def memory_of(count: int = 1000) -> dict[str, float]:
    """Return how many octets of Python a UDP socket with a port takes, and a neighbour."""
    _, kernel = _host()
    net = kernel.init_net
    dev = NullDevice(kernel, "10.0.0.1/16")
    kept: list[Any] = []

    def sockets() -> None:
        for number in range(count):
            sock = net.socket()
            sock.bind(("", 10_000 + number))
            kept.append(sock)

    def neighbours() -> None:
        net.ipv4.arp_tbl.gc_thresh3 = net.ipv4.arp_tbl.gc_thresh2 = 2 * count
        for number in range(count):
            address = f"10.0.{1 + number // 250}.{1 + number % 250}"
            kept.append(neigh_add(dev, address, _FAR.hex(":"), NUD_STALE))

    return {"socket_octets": _octets(sockets) / count, "neighbour_octets": _octets(neighbours) / count}


def _octets(work: Callable[[], None]) -> int:
    """Return by how much the memory of Python grows."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown
