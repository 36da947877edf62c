"""Layers of packets for people, next to what scapy says about the same octets."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.volatile import RandIP, RandMAC

from hardwire.sim.journey.dissect import dissect, label
from hardwire.sim.journey.model import Layer
from hardwire.tb.bench import seed

NAMES = {Ether: "Ethernet", Dot1Q: "VLAN", ARP: "ARP", IP: "IPv4", UDP: "UDP", TCP: "TCP", ICMP: "ICMP"}
# Fields of ours, and where scapy has the same.
FIELDS = {
    "Ethernet": {"destination": "dst", "source": "src"},
    "ARP": {"sender MAC": "hwsrc", "sender IP": "psrc", "target MAC": "hwdst", "target IP": "pdst"},
    "IPv4": {"source": "src", "destination": "dst", "time to live": "ttl", "total length": "len"},
    "UDP": {"source port": "sport", "destination port": "dport", "length": "len"},
    "TCP": {"source port": "sport", "destination port": "dport", "sequence number": "seq", "window": "window"},
    "ICMP": {"code": "code"},
}


def random_frame(rng: Random) -> Packet:
    frame = Ether(dst=str(RandMAC()), src=str(RandMAC()))
    if rng.random() < 0.3:
        frame /= Dot1Q(vlan=rng.randrange(4096), prio=rng.randrange(8))
    if rng.random() < 0.2:
        return frame / ARP(op=rng.choice((1, 2)), psrc=str(RandIP()), pdst=str(RandIP()), hwsrc=str(RandMAC()))
    frame /= IP(
        src=str(RandIP()), dst=str(RandIP()), ttl=rng.randrange(256), options=rng.choice(([], b"\x01\x01\x01\x01"))
    )
    above = [
        UDP(sport=rng.randrange(65536), dport=rng.randrange(65536)),
        TCP(sport=rng.randrange(65536), seq=rng.getrandbits(32), options=rng.choice(([], [("MSS", 1460)]))),
        ICMP(type=rng.choice((0, 3, 8, 11))),
    ]
    return frame / rng.choice(above) / Raw(rng.randbytes(rng.randrange(1, 100)))


def test_layers_and_fields_are_those_that_scapy_finds() -> None:
    first = seed()
    rng = Random(first)
    for _ in range(300):
        octets = bytes(random_frame(rng))
        parsed = Ether(octets)
        layers = {layer.name: layer for layer in dissect(octets, "Ethernet")}
        begin = 0
        for kind in parsed.layers():
            if kind not in NAMES:
                break
            name, layer = NAMES[kind], parsed[kind]
            ours = layers[name]
            assert ours.begin == begin, f"HARDWIRE_SEED={first}: {octets.hex()}"
            begin = ours.end
            assert octets[ours.end :].startswith(bytes(layer.payload)[:20]), f"HARDWIRE_SEED={first}: {octets.hex()}"
            values = {field: value for field, value, _, _ in ours.fields}
            for field, theirs in FIELDS.get(name, {}).items():
                assert values[field] == str(getattr(layer, theirs)), f"HARDWIRE_SEED={first}: {octets.hex()}"


@given(st.binary(max_size=120), st.sampled_from(["Ethernet", "IPv4", "ARP", "UDP", ""]), st.booleans())
def test_layers_cover_all_octets_whatever_these_are(octets: bytes, outermost: str, fcs: bool) -> None:
    fcs &= len(octets) >= 4
    layers = dissect(octets, outermost, fcs=fcs)
    assert [layer.begin for layer in layers] == [0, *(layer.end for layer in layers)][: len(layers)]
    assert sum(layer.end - layer.begin for layer in layers) == len(octets)
    for layer in layers:
        for _, _, begin, end in layer.fields:
            assert layer.begin <= begin <= end <= layer.end
    label(layers)


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (Ether() / IP(src="1.1.1.1", dst="2.2.2.2") / ICMP() / b"a", "ICMP echo request 1.1.1.1 → 2.2.2.2, 1 octet"),
        (Ether() / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"), "ARP who has 10.0.0.2? tell 10.0.0.1"),
        (Ether() / ARP(op=2, psrc="10.0.0.2", hwsrc="02:00:00:00:00:02"), "ARP 10.0.0.2 is at 02:00:00:00:00:02"),
        (
            Ether() / IP(src="1.1.1.1", dst="2.2.2.2") / UDP(sport=5, dport=6) / b"abc",
            "UDP 1.1.1.1:5 → 2.2.2.2:6, 3 octets",
        ),
        (Ether() / IP(src="1.1.1.1", dst="2.2.2.2") / ICMP() / b"abc", "ICMP echo request 1.1.1.1 → 2.2.2.2, 3 octets"),
        (
            Ether() / IP(src="1.1.1.1", dst="2.2.2.2", frag=2, flags="MF", proto=17) / (b"a" * 16),
            "IPv4 fragment at 16 1.1.1.1 → 2.2.2.2, 16 octets",
        ),
        (Ether(type=0x88B5) / b"abc", "Ethernet, 3 octets"),
    ],
)
def test_a_line_says_what_a_packet_is(packet: Packet, text: str) -> None:
    assert label(dissect(bytes(packet), "Ethernet")) == text


def test_padding_and_fcs_are_layers_of_their_own() -> None:
    octets = bytes(Ether() / IP() / UDP() / b"abc").ljust(60, b"\0") + b"FCS!"
    assert dissect(octets, "Ethernet", fcs=True)[-3:] == (
        Layer("Payload", 42, 45),
        Layer("Padding", 45, 60),
        Layer("FCS", 60, 64),
    )
