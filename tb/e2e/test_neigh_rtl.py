"""Neighbours, the driver and the gateware's ARP cache together, from sendto() to the wire."""

import random
from errno import EHOSTUNREACH

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import ARP, Ether

from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack.abi import ArpOp
from hardwire.stack.core.dev_register import dev_get_stats
from hardwire.stack.core.netdevice import NetDevice
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack
from hardwire.stack.core.skbuff import SkBuff, consume_skb
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.iproute import neigh_add, neigh_del
from hardwire.stack.wire.address import ipv4_from_text

PEERS = {f"10.0.0.{n}": f"02:00:00:00:00:{n:02x}" for n in range(2, 10)}


class Host:
    """A machine with a socket, and what its frames were."""

    def __init__(self, peers: dict[str, str] = PEERS) -> None:
        self.machine = Machine(World(), Setup(address="10.0.0.1/16", neighbours=peers))
        self.nic = self.machine.dev.priv
        self.ring = self.nic.rings[0]
        self.socket = self.machine.net.socket()
        self.machine.world.advance(1_000_000)  # The neighbours are in the cache now.

    def send(self, peer: str, payload: bytes) -> None:
        """Send a datagram."""
        self.socket.sendto(payload, (peer, 9000))

    def forget(self, peer: str) -> None:
        """Take an entry out of the device's cache behind the driver's back."""
        self.nic.neigh.submit(ArpOp.DELETE, ipv4_from_text(peer))
        self.machine.world.advance(10_000)

    def frames(self) -> list[tuple[str, bytes]]:
        """Let the device finish; return destination MAC address and payload of each frame."""
        self.machine.world.advance(1_000_000)
        parsed = [Ether(frame.octets) for frame in self.machine.nic.take_frames()]
        return [(frame.dst, bytes(frame[UDP].payload)[: frame[UDP].len - 8]) for frame in parsed]


def test_an_arp_miss_does_not_block_other_destinations() -> None:
    host = Host()
    tapped: list[bytes] = []

    def tap(skb: SkBuff, dev: NetDevice, pt: PacketType, orig_dev: NetDevice) -> int:
        tapped.append(skb_copy_bits(skb, 42, skb.len - 42))
        consume_skb(skb)
        return 0

    dev_add_pack(host.machine.dev.net, PacketType(ETH_P_ALL, tap, host.machine.dev))
    host.forget("10.0.0.2")
    host.send("10.0.0.2", b"miss")
    sent = [(peer, mac, peer.encode()) for peer, mac in PEERS.items() if peer != "10.0.0.2"] * 5
    for peer, _, payload in sent:
        host.send(peer, payload)
    got = host.frames()
    others = [(mac, payload) for _, mac, payload in sent]
    assert [frame for frame in got if frame[1] != b"miss"] == others
    assert got.count((PEERS["10.0.0.2"], b"miss")) == 1
    # Neither tapped nor counted twice.
    assert tapped == [b"miss", *(payload for _, _, payload in sent)]
    assert dev_get_stats(host.machine.dev).tx_packets == 1 + len(sent)
    assert host.machine.net.mib["Ip:OutRequests"] == host.machine.net.mib["Udp:OutDatagrams"] == 1 + len(sent)
    assert host.ring.stat["resolve_misses"] == 1
    assert host.machine.kernel.drop_counts() == {}


def test_after_a_miss_the_stack_resolves_until_the_neighbour_changes() -> None:
    host = Host()
    host.forget("10.0.0.2")
    for payload in (b"one", b"two"):
        host.send("10.0.0.2", payload)
        assert host.frames() == [(PEERS["10.0.0.2"], payload)]
    assert host.ring.stat["resolve_misses"] == 1
    neigh_add(host.machine.dev, "10.0.0.2", "02:00:00:00:00:22")
    host.send("10.0.0.2", b"three")
    assert host.frames() == [("02:00:00:00:00:22", b"three")]
    assert host.ring.stat["resolve_misses"] == 1
    assert ipv4_from_text("10.0.0.2") in host.nic.shadow


def test_a_changed_address_is_on_the_wire_at_once() -> None:
    host = Host()
    for number in range(30):
        mac = f"02:00:00:00:01:{number:02x}"
        neigh_add(host.machine.dev, "10.0.0.2", mac)
        host.send("10.0.0.2", b"%d" % number)
        assert host.frames() == [(mac, b"%d" % number)]


def test_more_neighbours_than_the_cache_has_room_for() -> None:
    """Some are evicted; their frames go out all the same, whoever resolves them."""
    rng = random.Random(1)
    peers = {f"10.0.{n >> 7}.{n & 127}": f"02:00:00:00:{n >> 7:02x}:{n & 127:02x}" for n in range(2, 402)}
    host = Host(peers)
    assert len(host.nic.shadow) <= 256
    assert host.nic.neigh.evictions == len(peers) - len(host.nic.shadow)
    sent = [rng.choice(list(peers)) for _ in range(200)]
    for peer in sent:
        host.send(peer, peer.encode())
    assert sorted(host.frames()) == sorted((peers[peer], peer.encode()) for peer in sent)
    assert host.ring.stat["resolve_misses"] == 0


def test_an_unknown_neighbour_is_asked_for_on_the_wire_and_given_up() -> None:
    host = Host()
    neigh_del(host.machine.dev, "10.0.0.2")
    host.socket.connect(("10.0.0.2", 9000))
    host.socket.send(b"lost")
    host.machine.world.advance(5_000_000_000)
    requests = [Ether(frame.octets) for frame in host.machine.nic.take_frames()]
    assert [(frame.dst, frame[ARP].op, frame[ARP].pdst) for frame in requests] == [
        ("ff:ff:ff:ff:ff:ff", 1, "10.0.0.2")
    ] * 3
    with pytest.raises(OSError, match=f"Errno {EHOSTUNREACH}"):
        host.socket.send(b"more")
    assert sum(host.machine.kernel.drop_counts().values()) == 1
