"""One host on whatever device ``--device`` names: what the driver and the stack need of a card, and nothing else.

The other end of the cable is scapy. A device that passes is a card as the simulated one is.
"""

import random
import zlib
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from hardwire.sim.machine import Machine
from hardwire.stack.abi import ArpOp
from hardwire.stack.core.netdevice import QUEUE_STATE_DRV_XOFF, netif_carrier_ok
from hardwire.stack.socket import Socket
from hardwire.stack.uapi import MSG_MORE
from hardwire.stack.wire.address import ipv4_from_text

HERE, HERE_MAC = "10.0.0.1", "02:00:00:00:00:01"
PEER, PEER_MAC = "10.0.0.2", "02:00:00:00:00:02"
OTHER_MAC = "02:00:00:00:00:33"
MS = 1_000_000
LOOK_NS = 1_100 * MS  # The driver looks at the PHY each second.

known = pytest.mark.hardwire(neighbours={PEER: PEER_MAC})
either = pytest.mark.parametrize(
    "offload",
    [
        pytest.param(True, marks=pytest.mark.hardwire(offload=True), id="by the card"),
        pytest.param(False, marks=pytest.mark.hardwire(offload=False), id="by the stack"),
    ],
)


@pytest.fixture
def rng(hardwire_seed: int) -> random.Random:
    return random.Random(hardwire_seed)


@pytest.fixture
def sock(host: Machine) -> Iterator[Socket]:
    """Return a socket that does not wait for ever."""
    with host.net.socket() as made:
        made.bind((HERE, 9000))
        made.settimeout(1)
        yield made


def frames(host: Machine) -> list[bytes]:
    """Let the card come to rest; return what it has sent since the last time."""
    host.world.drain()
    sent = host.nic.take_frames()
    assert all(frame.ok for frame in sent)
    return [frame.octets for frame in sent]


def bring(host: Machine, octets: bytes) -> None:
    """Let a frame come in, padded and with its FCS."""
    octets = octets.ljust(60, b"\0")
    host.nic.receive(octets, zlib.crc32(octets).to_bytes(4, "little"))


def datagram(payload: bytes, **ip: int) -> Packet:
    """Return a datagram from the peer."""
    return Ether(dst=HERE_MAC, src=PEER_MAC) / IP(src=PEER, dst=HERE, **ip) / UDP(sport=7, dport=9000) / Raw(payload)


def payload_of(frame: bytes, mac: str = PEER_MAC) -> bytes:
    """Return what a datagram holds; its header and checksums are those that scapy works out anew."""
    parsed = Ether(frame)
    assert (parsed.dst, parsed.src) == (mac, HERE_MAC)
    again = parsed.copy()
    del again[IP].chksum, again[IP].len, again[UDP].chksum, again[UDP].len
    payload = bytes(parsed[UDP].payload)[: parsed[UDP].len - 8]
    again[UDP].remove_payload()
    assert bytes(again / Raw(payload)).ljust(60, b"\0") == frame
    return payload


@either
@known
def test_datagrams_leave_as_they_were_sent_with_their_checksums(
    host: Machine, sock: Socket, rng: random.Random, offload: bool
) -> None:
    payloads = [rng.randbytes(length) for length in (0, 1, 17, 18, 19, 600, 1471, 1472)]
    payloads += [rng.randbytes(rng.randrange(1473)) for _ in range(4)]

    def program() -> None:
        for payload in payloads:
            sock.sendto(payload, (PEER, 7))

    host.world.run(program)
    assert [payload_of(frame) for frame in frames(host)] == payloads
    assert host.dev.stats.tx_packets == len(payloads)
    assert host.kernel.drop_counts() == {}


@known
def test_a_datagram_of_several_pieces_is_one_frame(host: Machine, sock: Socket, rng: random.Random) -> None:
    payload = rng.randbytes(1400)
    cuts = [0, *sorted(rng.sample(range(1, len(payload)), 3)), len(payload)]
    for start, end in zip(cuts, cuts[1:], strict=False):
        sock.sendto(payload[start:end], MSG_MORE if end < len(payload) else 0, (PEER, 7))
    (frame,) = frames(host)
    assert payload_of(frame) == payload


@either
@known
def test_datagrams_arrive_as_they_came(host: Machine, sock: Socket, rng: random.Random, offload: bool) -> None:
    payloads = [rng.randbytes(length) for length in (0, 1, 18, 19, 600, 1471, 1472)]
    payloads += [rng.randbytes(rng.randrange(1473)) for _ in range(5)]
    for payload in payloads:
        bring(host, bytes(datagram(payload)))
    for payload in payloads:
        assert sock.recvfrom(2000) == (payload, (PEER, 7))
    host.world.drain()
    assert host.dev.stats.rx_packets == len(payloads)


@either
@known
def test_what_is_damaged_or_for_others_is_counted_and_not_delivered(
    host: Machine, sock: Socket, rng: random.Random, offload: bool
) -> None:
    good = bytes(datagram(rng.randbytes(300)))
    bad_fcs = bytearray(good)
    bad_fcs[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
    host.nic.receive(bytes(bad_fcs), zlib.crc32(good).to_bytes(4, "little"))
    host.nic.receive(good, zlib.crc32(good).to_bytes(4, "little"), error=True)
    bring(host, bytes.fromhex(OTHER_MAC.replace(":", "")) + good[6:])
    for wrong in (14 + 8, 14 + 20 + 8 + rng.randrange(300)):  # The IPv4 header; the payload.
        octets = bytearray(good)
        octets[wrong] ^= 1 << rng.randrange(8)
        bring(host, bytes(octets))
    bring(host, bytes(datagram(b"good")))
    assert sock.recv(2000) == b"good"
    host.world.drain()
    counters = host.counters()
    names = ("rx_fcs_errors", "rx_symbol_errors", "rx_filtered", "rx_csum_errors", "rx_delivered")
    assert [counters.get(name, 0) for name in names] == [1, 1, 1, 2, 3]
    mib = host.net.mib
    assert (mib["Ip:InHdrErrors"], mib["Udp:InCsumErrors"], mib["Udp:InDatagrams"]) == (1, 1, 1)


def test_an_echo_request_is_answered(host: Machine, rng: random.Random) -> None:
    message = rng.randbytes(1000)
    request = Ether(dst=HERE_MAC, src=PEER_MAC) / IP(src=PEER, dst=HERE) / ICMP(id=77, seq=3) / Raw(message)
    bring(host, bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=PEER_MAC) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=HERE)))
    bring(host, bytes(request))
    said, answer = (Ether(octets) for octets in frames(host))
    assert (said[ARP].op, said[ARP].hwsrc, said[ARP].psrc, said[ARP].hwdst) == (2, HERE_MAC, HERE, PEER_MAC)
    assert (answer.dst, answer[IP].src, answer[IP].dst) == (PEER_MAC, HERE, PEER)
    assert bytes(answer[ICMP]) == bytes(ICMP(type=0, id=77, seq=3) / Raw(message))


def test_a_neighbour_is_asked_for_and_then_resolved_by_the_card(host: Machine, sock: Socket) -> None:
    sock.sendto(b"first", (PEER, 7))
    host.world.advance(50 * MS)
    (question,) = (Ether(octets) for octets in frames(host))
    assert (question.dst, question[ARP].op, question[ARP].hwsrc) == ("ff:ff:ff:ff:ff:ff", 1, HERE_MAC)
    assert (question[ARP].psrc, question[ARP].pdst) == (HERE, PEER)
    bring(
        host, bytes(Ether(dst=HERE_MAC, src=PEER_MAC) / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER, hwdst=HERE_MAC, pdst=HERE))
    )
    host.world.advance(50 * MS)
    assert [payload_of(frame) for frame in frames(host)] == [b"first"]
    # Only the card knows of another address: so it is the card that looks up.
    host.dev.priv.neigh.submit(ArpOp.INSERT, ipv4_from_text(PEER), bytes.fromhex(OTHER_MAC.replace(":", "")))
    sock.sendto(b"second", (PEER, 7))
    assert [payload_of(frame, OTHER_MAC) for frame in frames(host)] == [b"second"]


@known
def test_a_miss_in_the_card_is_resolved_by_the_stack(host: Machine, sock: Socket) -> None:
    host.world.advance(10 * MS)
    host.dev.priv.neigh.submit(ArpOp.DELETE, ipv4_from_text(PEER))  # Behind the driver's back.
    for payload in (b"one", b"two"):
        sock.sendto(payload, (PEER, 7))
        assert [payload_of(frame) for frame in frames(host)] == [payload]
    assert host.counters()["txq0_resolve_misses"] == 1


@pytest.mark.hardwire(ring=8)
@known
def test_a_full_ring_stops_the_queue_and_nothing_is_lost(host: Machine, sock: Socket, rng: random.Random) -> None:
    (queue,) = host.dev.tx
    payloads = [number.to_bytes(2, "big") + rng.randbytes(rng.randrange(200)) for number in range(60)]
    stopped = []

    def program() -> None:
        for payload in payloads:
            sock.sendto(payload, (PEER, 7))
            stopped.append(bool(queue.state & QUEUE_STATE_DRV_XOFF))

    host.world.run(program)
    assert any(stopped)
    assert [payload_of(frame) for frame in frames(host)] == payloads
    assert not queue.state & QUEUE_STATE_DRV_XOFF
    assert host.kernel.drop_counts() == {}
    assert host.dev.stats.tx_packets == len(payloads)


@pytest.mark.hardwire(phy_address=1)
@known
def test_without_a_link_frames_are_dropped_with_a_reason_until_it_is_back(host: Machine, sock: Socket) -> None:
    def send(payload: bytes) -> list[bytes]:
        sock.sendto(payload, (PEER, 7))
        host.world.advance(MS)
        return [payload_of(frame) for frame in frames(host)]

    assert not netif_carrier_ok(host.dev)
    assert send(b"no partner yet") == []
    for number in range(2):
        host.nic.set_link(True)
        host.world.advance(LOOK_NS)
        assert netif_carrier_ok(host.dev)
        assert send(b"linked %d" % number) == [b"linked %d" % number]
        bring(host, bytes(datagram(b"from the peer")))
        assert sock.recv(2000) == b"from the peer"
        host.nic.set_link(False)
        host.world.advance(LOOK_NS)
        assert not netif_carrier_ok(host.dev)
        assert send(b"unplugged") == []
    assert host.dev.stats.tx_packets == 2
    assert host.kernel.drop_counts() == {"QDISC_DROP": 3}
