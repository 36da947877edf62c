"""Wire formats: known packets both ways, impossible lengths, truncations, arbitrary octets, and scapy as reference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from hardwire.stack.wire.address import ipv4_from_text, ipv4_to_text, mac_from_text, mac_to_text
from hardwire.stack.wire.arp import ArpOperation, ArpPacket
from hardwire.stack.wire.checksum import csum_block_add, csum_partial, csum_replace2, ip_fast_csum
from hardwire.stack.wire.error import WireError
from hardwire.stack.wire.ethernet import EthernetFrame
from hardwire.stack.wire.ipv4 import Ipv4Packet
from hardwire.stack.wire.ipv6 import Ipv6Packet
from hardwire.stack.wire.udp import UdpDatagram

IP_A = 0x0A000001
IP_B = 0x0A000002
MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")

ARP_REQUEST = bytes.fromhex("0001080006040001 020000000001 0a000001 000000000000 0a000002".replace(" ", ""))
IPV4_UDP = bytes.fromhex("4500001f00010000401166cb0a0000010a000002" + "10e12328000b" + "f369" + "616263")

addresses = st.integers(0, 0xFFFFFFFF)
macs = st.binary(min_size=6, max_size=6)
ports = st.integers(0, 0xFFFF)


def naive_sum(octets: bytes) -> int:
    octets += bytes(len(octets) % 2)
    total = 0
    for at in range(0, len(octets), 2):
        total += octets[at] << 8 | octets[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(st.binary(max_size=200))
def test_checksum_equals_word_by_word_end_around_carry(octets):
    assert csum_partial(octets) == naive_sum(octets)
    assert ip_fast_csum(octets) == 0xFFFF - naive_sum(octets)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_checksum_of_two_blocks_at_any_offset_is_that_of_both(first, second):
    assert csum_block_add(csum_partial(first), csum_partial(second), len(first)) == csum_partial(first + second)


def test_checksum_of_a_header_that_needs_two_carries():
    assert ip_fast_csum(b"\xff\xff\xff\xff\x00\x01") == 0xFFFE


@given(st.binary(min_size=20, max_size=20), ports)
def test_csum_replace2_equals_a_new_sum(octets, word):
    octets = b"\x45" + octets[1:]  # A header is never all zero, which RFC 1624 relies on.
    changed = octets[:8] + word.to_bytes(2, "big") + octets[10:]
    assert csum_replace2(ip_fast_csum(octets), int.from_bytes(octets[8:10], "big"), word) == ip_fast_csum(changed)


def test_arp_request_both_ways():
    request = ArpPacket(ArpOperation.REQUEST, MAC_A, IP_A, bytes(6), IP_B)
    assert request.emit() == ARP_REQUEST
    assert ArpPacket.parse(ARP_REQUEST + bytes(18)) == request
    scapy = ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2")
    assert bytes(scapy) == ARP_REQUEST


def test_ipv4_udp_both_ways():
    packet = Ipv4Packet(IP_A, IP_B, 17, IPV4_UDP[20:], id=1)
    assert packet.emit() == IPV4_UDP
    assert Ipv4Packet.parse(IPV4_UDP + bytes(15)) == packet
    datagram = UdpDatagram(0x10E1, 0x2328, b"abc")
    assert datagram.emit(IPV4_UDP[12:16], IPV4_UDP[16:20]) == IPV4_UDP[20:]
    assert UdpDatagram.parse(IPV4_UDP[20:], IPV4_UDP[12:16], IPV4_UDP[16:20]) == datagram


@given(macs, macs, st.integers(0x600, 0xFFFF), st.binary(max_size=64))
def test_ethernet_round_trip(dst, src, ethertype, payload):
    frame = EthernetFrame(dst, src, ethertype, payload)
    assert EthernetFrame.parse(frame.emit()) == frame
    assert bytes(Ether(dst=mac_to_text(dst), src=mac_to_text(src), type=ethertype) / payload) == frame.emit()


@given(st.sampled_from(ArpOperation), macs, addresses, macs, addresses)
def test_arp_round_trip(operation, sender_mac, sender_ip, target_mac, target_ip):
    packet = ArpPacket(operation, sender_mac, sender_ip, target_mac, target_ip)
    assert ArpPacket.parse(packet.emit()) == packet


@given(
    addresses, addresses, ports, st.integers(0, 255), st.integers(0, 8191), st.integers(0, 10), st.binary(max_size=50)
)
def test_ipv4_round_trip_and_scapy(src, dst, id_, ttl, offset, words, payload):
    packet = Ipv4Packet(
        src,
        dst,
        200,
        payload,
        ttl,
        id=id_,
        more_fragments=True,
        frag_offset_octets=8 * offset,
        options=b"\x01" * 4 * words,
    )
    octets = packet.emit()
    assert Ipv4Packet.parse(octets) == packet
    scapy = IP(octets)
    del scapy.chksum, scapy.ihl, scapy.len
    assert bytes(scapy) == octets


@given(ports, ports, st.binary(max_size=99), st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4))
def test_udp_round_trip_and_scapy(src_port, dst_port, payload, src, dst):
    datagram = UdpDatagram(src_port, dst_port, payload)
    octets = datagram.emit(src, dst)
    assert UdpDatagram.parse(octets, src, dst) == datagram
    ip = IP(src=ipv4_to_text(int.from_bytes(src, "big")), dst=ipv4_to_text(int.from_bytes(dst, "big")))
    assert bytes(ip / UDP(sport=src_port, dport=dst_port) / payload)[20:] == octets


def test_udp_checksum_of_zero_is_sent_as_ffff():
    datagram = UdpDatagram(0, 0, b"")
    payload_for_zero = (0xFFFF - (naive_sum(bytes(8) + b"\0\x11\0\x0a") + 10)).to_bytes(2, "big")
    octets = UdpDatagram(0, 0, payload_for_zero).emit(bytes(3) + b"\0", bytes(4))
    assert datagram.emit(bytes(4), bytes(4))[6:8] != bytes(2)
    assert octets[6:8] == b"\xff\xff"


@given(macs, st.integers(0, 0xFFFFF), st.integers(0, 255), st.binary(max_size=40))
def test_ipv6_round_trip_and_scapy(mac, flow_label, traffic_class, payload):
    packet = Ipv6Packet(bytes(10) + mac, bytes(15) + b"\1", 59, payload, 64, traffic_class, flow_label)
    assert Ipv6Packet.parse(packet.emit() + b"pad") == packet
    scapy = IPv6(packet.emit())
    assert (scapy.fl, scapy.tc, scapy.plen) == (flow_label, traffic_class, len(payload))


def test_udp_over_ipv6_must_have_a_checksum():
    src, dst = bytes(15) + b"\1", bytes(15) + b"\2"
    octets = UdpDatagram(1, 2, b"hello").emit(src, dst)
    assert bytes(IPv6(src="::1", dst="::2") / UDP(sport=1, dport=2) / b"hello")[40:] == octets
    assert UdpDatagram.parse(octets, src, dst).payload == b"hello"
    with pytest.raises(WireError, match="check"):
        UdpDatagram.parse(octets[:6] + bytes(2) + octets[8:], src, dst)


@pytest.mark.parametrize(
    ("parse", "octets"),
    [
        (EthernetFrame.parse, bytes(12) + b"\x08\x00"),
        (ArpPacket.parse, ARP_REQUEST),
        (Ipv4Packet.parse, IPV4_UDP),
        (UdpDatagram.parse, IPV4_UDP[20:]),
        (Ipv6Packet.parse, Ipv6Packet(bytes(16), bytes(16), 59, b"abc").emit()),
    ],
)
def test_every_truncation_is_a_wire_error(parse, octets):
    assert parse(octets)
    for length in range(len(octets)):
        with pytest.raises(WireError):
            parse(octets[:length])


@given(st.binary(max_size=80))
def test_arbitrary_octets_never_crash(octets):
    for parse in (EthernetFrame.parse, ArpPacket.parse, Ipv4Packet.parse, UdpDatagram.parse, Ipv6Packet.parse):
        try:
            parse(octets)
        except WireError:
            pass


@pytest.mark.parametrize(
    ("at", "octet", "field"),
    [
        (0, 0x55, "version"),
        (0, 0x44, "ihl"),
        (0, 0x4F, "ihl"),
        (2, 1, "total_len"),
        (3, 19, "total_len"),
        (10, 0, "check"),
    ],
)
def test_ipv4_parse_names_the_wrong_field(at, octet, field):
    octets = bytearray(IPV4_UDP)
    octets[at] = octet
    with pytest.raises(WireError, match=f"^{field}"):
        Ipv4Packet.parse(bytes(octets))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EthernetFrame(b"", MAC_A, 0x800), "dst: needs 6 octets, not 0"),
        (lambda: EthernetFrame(MAC_A, b"1", 0x800), "src: needs 6 octets, not 1"),
        (lambda: EthernetFrame(MAC_A, MAC_B, 0x5FF), "ethertype: 0x5ff is a length or does not fit"),
        (lambda: ArpPacket(3, MAC_A, 0, MAC_B, 0), "ar_op: 3 is neither request nor reply"),
        (lambda: ArpPacket(1, MAC_A, -1, MAC_B, 0), "sender_ip: -1 does not fit 32 bits"),
        (lambda: ArpPacket(1, MAC_A, 0, b"", 0), "target_mac: needs 6 octets, not 0"),
        (lambda: Ipv4Packet(0, 0, 256), "protocol: 256 is not in 0..255"),
        (lambda: Ipv4Packet(0, 0, 1, frag_offset_octets=4), "frag_offset_octets: 4 is not a multiple of 8"),
        (lambda: Ipv4Packet(0, 0, 1, options=b"1"), "options: 1 octets are not 0 to 10 words"),
        (lambda: Ipv4Packet(0, 0, 1, bytes(65516)), "total_len: 65536 is more than 65535"),
        (lambda: UdpDatagram(1, 65536), "dst_port: 65536 is not in 0..65535"),
        (lambda: UdpDatagram(1, 2, bytes(65528)), "length: 65536 is more than 65535"),
        (lambda: Ipv6Packet(b"", bytes(16), 1), "src: needs 16 octets, not 0"),
        (lambda: Ipv6Packet(bytes(16), bytes(16), 256), "next_header: 256 is not in 0..255"),
        (lambda: ipv4_from_text("10.0.0"), "address: '10.0.0' is not an IPv4 address"),
        (lambda: mac_from_text("02:00:00:00:00"), "address: '02:00:00:00:00' is not a MAC address"),
        (lambda: mac_from_text("02:00:00:00:00:0g"), "address: '02:00:00:00:00:0g' is not a MAC address"),
    ],
)
def test_an_invalid_value_cannot_be_made(make, text):
    with pytest.raises(WireError) as error:
        make()
    assert str(error.value) == text


@given(addresses, macs)
def test_address_text_round_trip(address, mac):
    assert ipv4_from_text(ipv4_to_text(address)) == address
    assert mac_from_text(mac_to_text(mac)) == mac
