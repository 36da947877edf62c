"""Classic BPF: which programs are valid, what they return, and what tcpdump compiles."""

import shutil
import subprocess
from errno import EINVAL, ENOENT, EPERM
from pathlib import Path
from socket import htons
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw

from hardwire.stack import socket as api
from hardwire.stack.core.filter import bpf_prog_run
from hardwire.stack.core.filter_check import (
    SKF_AD_OFF,
    SKF_LL_OFF,
    SKF_NET_OFF,
    Ancillary,
    SockFilter,
    bpf_check_classic,
    sock_filters,
    sock_filters_from_text,
    sock_filters_octets,
)
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC, ip, udp
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import PairHost

_TEXT = Path(__file__).with_name("filters.txt").read_text()
EXPRESSIONS = dict(section.partition("\n")[::2] for section in _TEXT.split("\n# ")[1:])

# How scapy, which knows nothing of BPF, tells what an expression means.
MEANINGS = {
    "arp": lambda p: ARP in p and Dot1Q not in p,
    "icmp": lambda p: ICMP in p and Dot1Q not in p,
    "ip6": lambda p: IPv6 in p,
    "udp port 53": lambda p: UDP in p and Dot1Q not in p and 53 in (p[UDP].sport, p[UDP].dport),
    "tcp[tcpflags] & tcp-syn != 0": lambda p: TCP in p and IPv6 not in p and "S" in p[TCP].flags,
    "src host 10.0.0.1 and not broadcast": lambda p: (
        p.dst != "ff:ff:ff:ff:ff:ff"
        and ((IP in p and Dot1Q not in p and p[IP].src == "10.0.0.1") or (ARP in p and p[ARP].psrc == "10.0.0.1"))
    ),
    "vlan 5 and udp": lambda p: Dot1Q in p and p[Dot1Q].vlan == 5 and UDP in p,
    "greater 100": lambda p: len(bytes(p)) >= 100,
    "ether multicast": lambda p: int(p.dst[:2], 16) & 1 == 1,
    "ip[6:2] & 0x1fff != 0": lambda p: IP in p and Dot1Q not in p and p[IP].frag != 0,
    "udp[8:4] = 0x64617461": lambda p: (
        UDP in p and Raw in p and Dot1Q not in p and IPv6 not in p and p[Raw].load[:4] == b"data"
    ),
    "tcp portrange 1000-2000": lambda p: TCP in p and (1000 <= p[TCP].sport <= 2000 or 1000 <= p[TCP].dport <= 2000),
}
_ETHER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
_IP = IP(src="10.0.0.1", dst="10.0.0.2")
_OPTIONS = IP(src="10.0.0.3", dst="192.0.2.1", options=[b"\x07\x07\x04" + bytes(4)])
PACKETS = [
    _ETHER / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
    Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1", pdst="10.0.0.9"),
    _ETHER / _IP / ICMP(),
    _ETHER / _IP / UDP(sport=53, dport=1234) / b"data",
    _ETHER / _OPTIONS / UDP(sport=1234, dport=53) / b"datadata",
    _ETHER / _OPTIONS / UDP(sport=1234, dport=54) / b"da",
    _ETHER / Dot1Q(vlan=5) / _IP / UDP(sport=53, dport=1) / b"data",
    _ETHER / Dot1Q(vlan=6) / _IP / UDP(sport=53, dport=1) / b"data",
    _ETHER / _IP / TCP(sport=1500, dport=80, flags="S"),
    _ETHER / _OPTIONS / TCP(sport=80, dport=2000, flags="SA"),
    _ETHER / _IP / TCP(sport=80, dport=999, flags="A") / bytes(100),
    _ETHER / _IP / TCP(sport=2001, dport=999, flags="A"),
    Ether(dst="01:00:5e:00:00:01") / IP(src="10.1.2.3", dst="224.0.0.1") / UDP(sport=1, dport=53),
    _ETHER / IP(src="10.0.0.1", dst="10.0.0.2", frag=185, proto=17) / bytes(60),
    _ETHER / IPv6() / UDP(sport=53, dport=5) / b"data",
    _ETHER / IPv6() / TCP(sport=1000, dport=5),
    Ether(bytes(_ETHER)[:12] + b"\x88\xb5") / bytes(86),
    Ether(bytes(_ETHER)[:12] + b"\x88\xb5") / bytes(85),
]


def make_host(**device) -> PairHost:
    return PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", **device)


def tap_of(host: PairHost, kind: int = api.SOCK_RAW):
    """Return a packet socket of a host that sees what is received."""
    tap = host.net.socket(api.AF_PACKET, kind, htons(3))
    tap.setsockopt(api.SOL_PACKET, api.PACKET_IGNORE_OUTGOING, 1)
    tap.setblocking(False)
    return tap


def attach(sock, *program: tuple[int, int, int, int]) -> None:
    sock.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, sock_filters_octets(SockFilter(*one) for one in program))


def passed(host: PairHost, tap, frame: bytes) -> int | None:
    """Return how much of a received frame a tap gets; None: nothing."""
    host.receive(frame)
    try:
        return len(tap.recv(65536))
    except BlockingIOError:
        return None


@pytest.mark.parametrize("expression", MEANINGS)
def test_what_tcpdump_compiled_finds_the_packets_that_are_meant(expression):
    host = make_host()
    tap = tap_of(host)
    program = sock_filters_from_text(EXPRESSIONS[expression])
    tap.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, sock_filters_octets(program))
    if expression == "vlan 5 and udp":
        # A tag travels beside the frame here; the expression was compiled for frames that have it inside.
        skbs = [host.dev.build(bytes(p)) for p in PACKETS]
        for skb in skbs:
            skb.data, skb.len = skb.mac_header, skb.len + 14
        found = [bpf_prog_run(program, skb) != 0 for skb in skbs]
    else:
        found = [passed(host, tap, bytes(p)) is not None for p in PACKETS if Dot1Q not in p]
    packets = [p for p in PACKETS if expression == "vlan 5 and udp" or Dot1Q not in p]
    assert found == [bool(MEANINGS[expression](p)) for p in packets]
    assert True in found
    assert False in found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_programs_are_what_tcpdump_prints_in_both_formats(expression):
    program = sock_filters_from_text(EXPRESSIONS[expression])
    bpf_check_classic(program)
    assert sock_filters(sock_filters_octets(program)) == program
    decimal = "".join(f"{code} {jt} {jf} {k}\n" for code, jt, jf, k in program)
    assert sock_filters_from_text(f"{len(program)}\n{decimal}") == program
    if shutil.which("tcpdump") is None:
        pytest.skip("no tcpdump to compare with")
    for option in ("-dd", "-ddd"):
        words = ["tcpdump", "-y", "EN10MB", option, *([expression] if expression else [])]
        printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        assert len(sock_filters_from_text(printed)) > 0
        bpf_check_classic(sock_filters_from_text(printed))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "1", "2\n6 0 0 1", "1\n6 0 0", "1\n6 0 0 x", "{ 0x6, 0, 0 },", "{ 6, 0, 256, 1 },", "{ 6, 0, 0, -1 }"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="BPF|tcpdump"):
        sock_filters_from_text(text)


RET = (0x06, 0, 0, 5)
INVALID = {
    "no instruction": [],
    "no return": [(0x00, 0, 0, 1)],
    "an unknown code": [(0x0E, 0, 0, 0), RET],
    "a code of more than 8 bits": [(0x106, 0, 0, 0), RET],
    "an atomic load to X": [(0x29, 0, 0, 0), RET],
    "division by 0": [(0x34, 0, 0, 0), RET],
    "remainder of 0": [(0x94, 0, 0, 0), RET],
    "a shift by 32": [(0x64, 0, 0, 32), RET],
    "a shift by 2^31": [(0x74, 0, 0, 1 << 31), RET],
    "memory word 16": [(0x02, 0, 0, 16), RET],
    "a load of memory word 16": [(0x60, 0, 0, 16), RET],
    "memory that nobody wrote": [(0x60, 0, 0, 0), RET],
    "memory behind a return": [RET, (0x60, 0, 0, 7), RET],
    "memory that was written on one way": [(0x15, 0, 1, 0), (0x02, 0, 0, 3), (0x61, 0, 0, 3), RET],
    "a jump over the end": [(0x05, 0, 0, 1), RET],
    "a jump round the world": [(0x05, 0, 0, 0xFFFFFFFE), RET, RET],
    "a branch over the end": [(0x15, 0, 1, 0), RET],
    "a true branch over the end": [(0x1D, 1, 0, 0), RET],
    "unknown ancillary data": [(0x20, 0, 0, SKF_AD_OFF + 2), RET],
    "ancillary data behind the last": [(0x30, 0, 0, SKF_AD_OFF + 64), RET],
}
VALID = {
    "a return": [RET],
    "memory that was written on both ways": [
        (0x15, 0, 2, 0),
        (0x02, 0, 0, 3),
        (0x05, 0, 0, 1),
        (0x03, 0, 0, 3),
        (0x61, 0, 0, 3),
        RET,
    ],
    "memory in code that nothing leads to": [(0x05, 0, 0, 1), (0x60, 0, 0, 7), RET],
    "a jump to the last": [(0x05, 0, 0, 1), RET, RET],
    "any number for IND": [(0x40, 0, 0, SKF_AD_OFF + 2), RET],
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_program_is_refused_and_the_old_one_stays(name):
    host = make_host()
    tap = tap_of(host)
    attach(tap, (0x06, 0, 0, 7))
    with raises(EINVAL):
        attach(tap, *INVALID[name])
    assert passed(host, tap, ip(udp(9))) == 7


@pytest.mark.parametrize("name", VALID)
def test_a_valid_program_is_taken(name):
    attach(tap_of(make_host()), *VALID[name])


@pytest.mark.parametrize("octets", [b"", bytes(7), bytes(9), pack("=HBBI", *RET) * 4097])
def test_octets_that_are_no_array_of_instructions_are_refused(octets):
    tap = tap_of(make_host())
    with raises(EINVAL):
        tap.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, octets)
    tap.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, pack("=HBBI", *RET) * 4096)


# Each computes something of the frame in FRAME, whose result is given.
FRAME = MY_MAC + PEER_MAC + b"\x08\x00" + b"\x46\x00\x00\x1c" + bytes(range(4, 44))
A_IS_9, X_IS_4 = (0x00, 0, 0, 9), (0x01, 0, 0, 4)
RESULTS = {
    "a word": ([(0x20, 0, 0, 12)], 0x08004600),
    "a half word": ([(0x28, 0, 0, 12)], 0x0800),
    "an octet": ([(0x30, 0, 0, 14)], 0x46),
    "a word at X": ([X_IS_4, (0x40, 0, 0, 8)], 0x08004600),
    "the last octet": ([(0x30, 0, 0, 57)], 43),
    "the octet behind the last": ([A_IS_9, (0x30, 0, 0, 58)], None),
    "a word over the end": ([A_IS_9, (0x20, 0, 0, 55)], None),
    "a place before the start": ([A_IS_9, (0x01, 0, 0, 0xFFFFFFFF), (0x50, 0, 0, 0)], None),
    "X from beyond 2^32": ([(0x01, 0, 0, 0xFFFFFFFF), (0x50, 0, 0, 15)], 0x46),
    "from the network header": ([(0x30, 0, 0, SKF_NET_OFF)], 0x46),
    "from the link header": ([(0x28, 0, 0, SKF_LL_OFF + 12)], 0x0800),
    "behind the end, from the link header": ([A_IS_9, (0x28, 0, 0, SKF_LL_OFF + 57)], None),
    "before the link header": ([A_IS_9, (0x28, 0, 0, SKF_LL_OFF - 1)], None),
    "length": ([(0x80, 0, 0, 0)], 58),
    "length to X": ([(0x81, 0, 0, 0), (0x87, 0, 0, 0)], 58),
    "a number": ([(0x00, 0, 0, 0xFFFFFFFF)], 0xFFFFFFFF),
    "length of the IPv4 header": ([(0xB1, 0, 0, 14), (0x87, 0, 0, 0)], 24),
    "that of none": ([A_IS_9, (0xB1, 0, 0, 99), (0x87, 0, 0, 0)], None),
    "memory": ([A_IS_9, (0x02, 0, 0, 15), (0x61, 0, 0, 15), (0x87, 0, 0, 0)], 9),
    "memory from X": ([X_IS_4, (0x03, 0, 0, 0), (0x60, 0, 0, 0)], 4),
    "a sum over 2^32": ([A_IS_9, (0x04, 0, 0, 0xFFFFFFFF)], 8),
    "a difference below 0": ([A_IS_9, (0x14, 0, 0, 10)], 0xFFFFFFFF),
    "a product over 2^32": ([A_IS_9, (0x24, 0, 0, 0x80000001)], 0x80000009),
    "a quotient": ([A_IS_9, X_IS_4, (0x3C, 0, 0, 0)], 2),
    "a remainder": ([A_IS_9, X_IS_4, (0x9C, 0, 0, 0)], 1),
    "a quotient without a sign": ([(0x00, 0, 0, 0xFFFFFFFE), (0x34, 0, 0, 2)], 0x7FFFFFFF),
    "division by X of 0": ([A_IS_9, (0x3C, 0, 0, 0)], None),
    "remainder of X of 0": ([A_IS_9, (0x9C, 0, 0, 0)], None),
    "or, and, exclusive or": ([A_IS_9, (0x44, 0, 0, 6), (0x54, 0, 0, 13), (0xA4, 0, 0, 3)], 14),
    "shifts": ([A_IS_9, (0x64, 0, 0, 31), (0x74, 0, 0, 30)], 2),
    "a shift by X of 33": ([A_IS_9, (0x01, 0, 0, 33), (0x6C, 0, 0, 0)], 18),
    "a negative": ([A_IS_9, (0x84, 0, 0, 0)], 0xFFFFFFF7),
    "A to X": ([A_IS_9, (0x07, 0, 0, 0), (0x0C, 0, 0, 0)], 18),
    "a jump": ([A_IS_9, (0x05, 0, 0, 1), RET, (0x04, 0, 0, 1)], 10),
    "greater, without a sign": ([(0x00, 0, 0, 0x80000000), (0x25, 0, 1, 1), (0x00, 0, 0, 1)], 1),
    "not greater": ([A_IS_9, (0x25, 0, 1, 9), (0x00, 0, 0, 1)], 9),
    "greater or equal": ([A_IS_9, (0x35, 0, 1, 9), (0x00, 0, 0, 1)], 1),
    "equal to X": ([A_IS_9, X_IS_4, (0x1D, 0, 1, 0), (0x00, 0, 0, 1)], 9),
    "some of these bits": ([A_IS_9, X_IS_4, (0x45, 0, 1, 8), (0x00, 0, 0, 1)], 1),
    "none of these bits": ([A_IS_9, X_IS_4, (0x4D, 0, 1, 0), (0x00, 0, 0, 1)], 9),
    "protocol": ([(0x20, 0, 0, SKF_AD_OFF + Ancillary.PROTOCOL)], 0x0800),
    "kind of packet": ([A_IS_9, (0x30, 0, 0, SKF_AD_OFF + Ancillary.PKTTYPE), (0x04, 0, 0, 1)], 1),
    "number of the device": ([(0x28, 0, 0, SKF_AD_OFF + Ancillary.IFINDEX)], 2),
    "kind of device": ([(0x20, 0, 0, SKF_AD_OFF + Ancillary.HATYPE)], 1),
    "exclusive or of X": ([A_IS_9, X_IS_4, (0x20, 0, 0, SKF_AD_OFF + Ancillary.ALU_XOR_X)], 13),
    "mark": ([A_IS_9, (0x20, 0, 0, SKF_AD_OFF + Ancillary.MARK), (0x04, 0, 0, 1)], 1),
    "processor": ([A_IS_9, (0x20, 0, 0, SKF_AD_OFF + Ancillary.CPU), (0x04, 0, 0, 1)], 1),
    "no tag": ([A_IS_9, (0x20, 0, 0, SKF_AD_OFF + Ancillary.VLAN_TAG_PRESENT), (0x04, 0, 0, 1)], 1),
    "payload": ([(0x20, 0, 0, SKF_AD_OFF + Ancillary.PAY_OFFSET)], 38),
}


@pytest.mark.parametrize("buffer_octets", [2048, 20, 33], ids=["one buffer", "20", "33"])
@pytest.mark.parametrize("name", RESULTS)
def test_each_instruction_computes_what_it_shall(name, buffer_octets):
    """Also when the frame lies in several buffers, as long as the headers are in the first."""
    program, expected = RESULTS[name]
    program = [SockFilter(*one) for one in [*program, (0x16, 0, 0, 0)]]
    bpf_check_classic(program)
    host = make_host()
    host.dev.buffer_octets = buffer_octets
    skb = host.dev.build(FRAME)
    skb.network_header = skb.data
    skb.data, skb.len = skb.mac_header, skb.len + 14
    assert bpf_prog_run(program, skb) == (expected or 0)


def test_a_random_number_is_the_platforms():
    host = make_host()
    program = [SockFilter(0x20, 0, 0, SKF_AD_OFF + Ancillary.RANDOM), SockFilter(0x16, 0, 0, 0)]
    wanted = FakePlatform()
    skb = host.dev.build(FRAME)
    host.platform.random = wanted.random
    state = wanted.random.getstate()
    found = bpf_prog_run(program, skb)
    wanted.random.setstate(state)
    assert found == wanted.random_u32()


def test_a_filter_cuts_what_it_lets_pass_and_says_how_long_it_was():
    host = make_host()
    tap = tap_of(host)
    tap.setsockopt(api.SOL_PACKET, api.PACKET_AUXDATA, 1)
    attach(tap, (0x06, 0, 0, 20))
    host.receive(FRAME)
    octets, ((_, _, data),), flags, _ = tap.recvmsg(100, 100)
    assert (octets, flags) == (FRAME[:20], 0)
    assert data[4:12] == pack("=II", len(FRAME), 20)


def test_a_datagram_that_a_filter_stops_is_counted_and_one_that_it_cuts_keeps_its_header():
    host = make_host()
    sock = host.socket()
    sock.bind(("", 9000))
    # By the first octet behind the header: not "x"; of others that octet only.
    attach(sock, (0x30, 0, 0, 8), (0x15, 0, 1, ord("x")), (0x06, 0, 0, 0), (0x06, 0, 0, 9))
    before = dict(host.mib)
    host.receive(ip(udp(9000, b"xyz")))
    assert host.changed(before)["Udp:InErrors"] == 1
    assert host.kernel.drop_counts() == {"SOCKET_FILTER": 1}
    assert sock.sk.sk_drops == 1
    host.receive(ip(udp(9000, b"abc")))
    assert sock.recv(100) == b"a"
    attach(sock, (0x06, 0, 0, 1))
    host.receive(ip(udp(9000, b"abc")))
    assert sock.recv(100) == b""


def test_a_wrong_checksum_is_found_before_the_filter_cuts():
    host = make_host()
    sock = host.socket()
    sock.bind(("", 9000))
    attach(sock, (0x06, 0, 0, 9))
    long = bytes(200)
    for check in (None, 1):
        host.receive(ip(udp(9000, long, check=check)))
    assert host.mib["Udp:InCsumErrors"] == 1
    assert len(sock.recv(300)) == 1
    assert len(sock.sk.sk_receive_queue) == 0


def test_a_raw_socket_has_a_filter_too():
    host = make_host()
    sock = host.socket(api.AF_INET, api.SOCK_RAW, 200)
    attach(sock, (0x30, 0, 0, 20), (0x15, 0, 1, ord("x")), (0x06, 0, 0, 0), (0x06, 0, 0, 22))
    host.receive(ip(b"xyz", 200))
    assert host.kernel.drop_counts()["SOCKET_FILTER"] == 1
    host.receive(ip(b"abc", 200))
    assert sock.recv(100)[20:] == b"ab"


def test_a_filter_is_read_locked_and_taken_away():
    host = make_host()
    tap = tap_of(host)
    assert tap.getsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, 100) == b""
    with raises(ENOENT):
        tap.setsockopt(api.SOL_SOCKET, api.SO_DETACH_FILTER, 0)
    attach(tap, RET)
    assert tap.getsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, 100) == pack("=HBBI", *RET)
    tap.setsockopt(api.SOL_SOCKET, api.SO_DETACH_FILTER, 0)
    assert passed(host, tap, FRAME) == 58
    tap.setsockopt(api.SOL_SOCKET, api.SO_LOCK_FILTER, 1)
    for function in (lambda: attach(tap, RET), lambda: tap.setsockopt(api.SOL_SOCKET, api.SO_DETACH_FILTER, 0)):
        with raises(EPERM):
            function()


@settings(max_examples=300, deadline=None)
@given(
    octets=st.binary(max_size=400) | st.binary(max_size=50).map(lambda b: b * 8),
    frame=st.binary(min_size=14, max_size=90),
)
def test_arbitrary_octets_are_refused_or_a_program_that_ends(octets, frame):
    host = make_host()
    tap = tap_of(host)
    try:
        bpf_check_classic(sock_filters(octets))
    except OSError:
        with raises(EINVAL):
            tap.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, octets)
        return
    tap.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, octets)
    length = passed(host, tap, frame)
    assert length is None or 0 < length <= len(frame)


_CODES = st.sampled_from(sorted({c for p in [*VALID.values(), *(r for r, _ in RESULTS.values())] for c, *_ in p}))
_INSTRUCTION = st.builds(SockFilter, _CODES, st.integers(0, 3), st.integers(0, 3), st.integers(0, 40))


@settings(max_examples=200, deadline=None)
@given(
    program=st.lists(_INSTRUCTION, max_size=30),
    frame=st.binary(min_size=14, max_size=90),
    buffer_octets=st.integers(14, 90),
)
def test_a_program_returns_the_same_however_the_packet_lies_in_memory(program, frame, buffer_octets):
    program = [*program, *[SockFilter(0x16, 0, 0, 0)] * 4]
    try:
        bpf_check_classic(program)
    except OSError:
        return
    results = []
    for octets in (2048, buffer_octets):
        host = make_host()
        host.dev.buffer_octets = octets
        skb = host.dev.build(frame)
        skb.network_header = skb.data
        skb.data, skb.len = skb.mac_header, skb.len + 14
        results.append(bpf_prog_run(program, skb))
    assert results[0] == results[1]
