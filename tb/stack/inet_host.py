"""A host with IPv4 on a fake device, for tests of the protocols."""

from struct import unpack_from

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.skbuff import CHECKSUM_PARTIAL, consume_skb
from hardwire.stack.iproute import addr_add, neigh_add
from hardwire.stack.socket import Socket
from hardwire.stack.wire.arp import ArpPacket
from hardwire.stack.wire.ethernet import EthernetFrame, EtherType
from hardwire.stack.wire.ipv4 import Ipv4Packet
from hardwire.stack.wire.udp import UdpDatagram
from hardwire.tb.stack.fake import FakeNetDevice, make_kernel

__all__ = ["MS", "PEER", "PEER_MAC", "SECOND", "InetHost", "error_of", "raises"]

MS = 1_000_000
SECOND = 1_000_000_000
PEER = ("10.0.0.2", 9000)
PEER_MAC = bytes.fromhex("020000000002")


def error_of(sock) -> tuple[int, tuple[int, int], int, str]:
    """Return errno, type and code, information and reporter of the oldest error in a socket's queue."""
    _, control, _, _ = sock.recvmsg(100, 200, api.MSG_ERRQUEUE)
    ((_, _, octets),) = [entry for entry in control if entry[1] == api.IP_RECVERR]
    errno, _, kind, code, info = unpack_from("=IBBBxI", octets)
    return errno, (kind, code), info, ".".join(map(str, octets[20:24]))


def raises(number: int):
    """Expect an ``OSError`` with this errno."""
    return pytest.raises(OSError, match=rf"\[Errno {number}\]")


class InetHost:
    """10.0.0.1/24 on eth0, and 10.0.0.2 as a permanent neighbour."""

    def __init__(self, seed: int = 1, **device) -> None:
        self.kernel, self.platform = make_kernel(seed)
        self.net = self.kernel.init_net
        self.mib = self.net.mib
        self.dev = FakeNetDevice(self.net, **device)
        register_netdevice(self.dev)
        dev_open(self.dev)
        addr_add(self.dev, "10.0.0.1/24")
        self.peer = neigh_add(self.dev, "10.0.0.2", "02:00:00:00:00:02")
        self.buffers_at_rest = len(self.platform.buffers)

    def socket(self) -> Socket:
        """Return a UDP socket."""
        return self.net.socket()

    def frames(self) -> list[EthernetFrame]:
        """Return the frames sent since the last call."""
        frames = [EthernetFrame.parse(octets) for octets in self.dev.frames]
        self.dev.frames.clear()
        return frames

    def arps(self) -> list[ArpPacket]:
        """Return the ARP packets among the frames sent since the last call."""
        return [ArpPacket.parse(frame.payload) for frame in self.frames() if frame.ethertype == EtherType.ARP]

    def packets(self) -> list[Ipv4Packet]:
        """Return the IPv4 packets among the frames sent since the last call; their header checksums are right."""
        return [Ipv4Packet.parse(frame.payload) for frame in self.frames() if frame.ethertype == EtherType.IPV4]

    def datagrams(self) -> list[UdpDatagram]:
        """Return the datagrams sent since the last call, reassembled; checksums are verified if software made them."""
        summed = [ip_summed != CHECKSUM_PARTIAL for ip_summed, _, _ in self.dev.offloads[-len(self.dev.frames) :]]
        datagrams = []
        octets = b""
        for packet, by_software in zip(self.packets(), summed, strict=True):
            assert packet.frag_offset_octets == len(octets)
            octets += packet.payload
            if packet.more_fragments:
                continue
            addresses = [address.to_bytes(4, "big") for address in (packet.src, packet.dst)] if by_software else []
            datagrams.append(UdpDatagram.parse(octets, *addresses))
            octets = b""
        assert not octets
        return datagrams

    def release(self) -> None:
        """Let the device free what it holds."""
        held, self.dev.held = self.dev.held, []
        for skb in held:
            consume_skb(skb)

    def check_memory(self) -> None:
        """Check that nothing was lost and nothing is kept."""
        assert len(self.platform.buffers) == self.buffers_at_rest
