"""Reassembly: any fragments in any order, against what they are made of, and against a real Linux kernel."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import neigh_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, assert_same, icmp, ip, udp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

needs_linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")
SECOND = 1_000_000_000
MF = 0x2000
HERE = ("10.0.0.2", 9000)


def host(**device) -> PairHost:
    made = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=NETIF_F_SG | NETIF_F_HW_CSUM, **device)
    neigh_add(made.dev, "10.0.0.1", "02:00:00:00:00:01")
    made.net.ipv4.sysctl_icmp_ratemask = 0
    return made


def fragment(payload: bytes, start: int, end: int, proto: int = 17, **header) -> bytes:
    """Return the frame with some octets of a packet's payload."""
    more = MF if end < len(payload) else 0
    return ip(payload[start:end], proto, frag=more | start >> 3, **header)


def pieces(payload: bytes, *ends: int, **header) -> list[bytes]:
    """Return the frames of a packet that is cut at some places."""
    starts = (0, *ends)
    return [fragment(payload, a, b, **header) for a, b in zip(starts, (*ends, len(payload)), strict=True)]


DATAGRAM = udp(9000, bytes(range(256)) * 8)
CLOSED = udp(7, bytes(1000))
ECHO = icmp(8, data=bytes(range(200)) * 5)


@given(
    data=st.data(),
    random=st.randoms(use_true_random=False),
    size=st.integers(1, 3000),
    complete=st.booleans(),
    buffer_octets=st.sampled_from([256, 2048]),
)
@settings(max_examples=120, deadline=None)
def test_fragments_in_any_order_are_what_they_were_cut_from(data, random, size, complete, buffer_octets):
    there = host(complete=complete)
    there.dev.buffer_octets = buffer_octets
    sock = there.socket()
    sock.bind(HERE)
    sock.setblocking(False)
    sent = random.randbytes(size)
    payload = udp(9000, sent)
    cuts = data.draw(st.sets(st.integers(1, max(1, (len(payload) - 1) // 8)), max_size=8))
    frames = pieces(payload, *sorted(8 * cut for cut in cuts if 8 * cut < len(payload)))
    order = data.draw(st.permutations(frames))
    repeated = data.draw(st.lists(st.sampled_from(frames), max_size=2))
    for frame in (*repeated, *order):
        there.receive(frame)
    there.platform.advance(1_000_000)
    assert sock.recv(5000) == sent
    there.platform.advance(31 * SECOND)  # What came twice waits in vain for the rest of its second time.
    sock.close()
    assert there.net.ipv4.frag_mem == 0
    assert not there.net.ipv4.frag_queues
    assert not there.net.ipv4.frag_sources
    assert len(there.platform.buffers) == 0


SEQUENCES = {
    "in order": pieces(CLOSED, 400, 800),
    "in reverse order": pieces(CLOSED, 400, 800)[::-1],
    "the middle last": [pieces(CLOSED, 400, 800)[at] for at in (0, 2, 1)],
    "an echo": pieces(ECHO, 8, 808, proto=1),
    "an echo with options": pieces(ECHO, 400, proto=1, options=b"\x94\4\0\0"),
    "one comes twice": [pieces(CLOSED, 400, 800)[at] for at in (0, 0, 1, 2)],
    "a part of one comes again": [
        *pieces(CLOSED, 400, 800)[:1],
        fragment(CLOSED, 80, 160),
        *pieces(CLOSED, 400, 800)[1:],
    ],
    "the last comes twice": [pieces(CLOSED, 400, 800)[at] for at in (2, 2, 0, 1)],
    "two overlap": [fragment(CLOSED, 0, 408), fragment(CLOSED, 400, 800), fragment(CLOSED, 800, 1008)],
    "two overlap, in reverse order": [fragment(CLOSED, 400, 800), fragment(CLOSED, 0, 408)],
    "one covers two": [fragment(CLOSED, 400, 480), fragment(CLOSED, 240, 320), fragment(CLOSED, 0, 800)],
    "one covers two that lie together": [
        fragment(CLOSED, 400, 480),
        fragment(CLOSED, 480, 560),
        fragment(CLOSED, 400, 560),
        fragment(CLOSED, 0, 400),
        fragment(CLOSED, 560, 1008),
    ],
    "one lies in two that came apart": [
        fragment(CLOSED, 480, 560),
        fragment(CLOSED, 400, 480),
        fragment(CLOSED, 440, 520),
    ],
    "the end lies before what is here": [fragment(CLOSED, 400, 800), ip(CLOSED[200:280], frag=25)],
    "two ends": [pieces(CLOSED, 400, 800)[2], ip(CLOSED[400:480], frag=50)],
    "one goes beyond the end": [ip(CLOSED[400:480], frag=50), fragment(CLOSED, 800, 880)],
    "not of eight octets": [ip(CLOSED[:405], frag=MF), *pieces(CLOSED, 400, 800)[1:]],
    "no octets": [ip(b"", frag=MF | 4), *pieces(CLOSED, 400)],
    "beyond 65,535 octets": [ip(bytes(1480), frag=MF | 8100), ip(bytes(1000), frag=8100 + 185)],
    "a CE mark": [*pieces(ECHO, 400, proto=1, tos=2)[:1], *pieces(ECHO, 400, proto=1, tos=3)[1:]],
    "a CE mark among others without": [*pieces(ECHO, 400, proto=1)[:1], *pieces(ECHO, 400, proto=1, tos=3)[1:]],
    "a small UDP header": [fragment(CLOSED, 0, 8), fragment(CLOSED, 8, 1008)],
    "other sources": [pieces(CLOSED, 400)[0], fragment(CLOSED, 400, 1008, src=0x0A000009), pieces(CLOSED, 400)[1]],
    "other protocols": [pieces(CLOSED, 400)[0], fragment(CLOSED, 400, 1008, proto=200), pieces(CLOSED, 400)[1]],
    "to all on the link": pieces(CLOSED, 400, dst=0x0A0000FF, mac=b"\xff" * 6),
    "with octets behind": [
        ip(CLOSED[:400], frag=MF, pad=b"\xee" * 20),
        ip(CLOSED[400:408], frag=MF | 50, pad=bytes(range(18))),
        ip(CLOSED[408:], frag=51),
    ],
}


@pytest.fixture(scope="module")
def linux():
    with LinuxPeer(f"hardwire-frag{os.getpid()}") as peer:
        peer.ip("neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
        peer.sysctl("net.ipv4.icmp_ratemask", 0)
        peer.frames()
        yield peer


@needs_linux
@pytest.mark.parametrize("name", SEQUENCES)
def test_fragments_have_the_answers_and_counters_that_they_have_in_linux(linux, name):
    # One more identification each time: what is left of one must not meet the next.
    number = list(SEQUENCES).index(name) + 1000
    frames = [with_ident(frame, number) for frame in SEQUENCES[name]]
    ours = host()
    assert_same(linux, ours, *frames, held=True)


def with_ident(frame: bytes, ident: int) -> bytes:
    """Return a frame with another IP identification."""
    check = int.from_bytes(frame[24:26], "big") - (ident - 77)
    check = (check & 0xFFFF) + (check >> 16)
    return frame[:18] + ident.to_bytes(2, "big") + frame[20:24] + (check & 0xFFFF).to_bytes(2, "big") + frame[26:]


def test_the_sender_is_told_after_30_seconds_that_a_packet_was_not_whole():
    there = host()
    for frame in pieces(CLOSED, 400, 800)[:2]:
        there.receive(frame)
    there.platform.advance(29 * SECOND)
    assert there.dev.sent == []
    assert there.net.ipv4.frag_mem > 0
    there.platform.advance(2 * SECOND)
    (message,) = there.dev.sent
    assert (message[23], message[34:36]) == (1, b"\x0b\x01")
    assert message[42 + 20 : 42 + 28] == CLOSED[:8]
    assert there.mib["Ip:ReasmTimeout"] == there.mib["Ip:ReasmFails"] == 1
    assert there.kernel.drop_counts() == {"FRAG_REASM_TIMEOUT": 2}
    assert there.net.ipv4.frag_mem == len(there.platform.buffers) == 0


def test_nobody_is_told_of_a_packet_whose_first_fragment_never_came():
    there = host()
    there.receive(pieces(CLOSED, 400, 800)[1])
    there.platform.advance(31 * SECOND)
    assert there.dev.sent == []
    assert there.kernel.drop_counts() == {"FRAG_REASM_TIMEOUT": 1}


def test_a_flood_of_fragments_stays_within_the_memory_for_it():
    there = host()
    limit = there.net.ipv4.sysctl_ipfrag_high_thresh = 200_000
    for ident in range(600):
        there.receive(with_ident(fragment(CLOSED, 0, 400), 77 + ident))
    there.platform.advance(1_000_000)
    assert limit < there.net.ipv4.frag_mem < limit + 5000
    drops = there.kernel.drop_counts()
    assert drops["NOMEM"] == 600 - len(there.net.ipv4.frag_queues) == there.mib["Ip:ReasmFails"]
    there.platform.advance(31 * SECOND)
    assert there.net.ipv4.frag_mem == len(there.platform.buffers) == 0


def test_an_identification_that_comes_again_after_many_packets_begins_anew():
    there = host()
    there.net.ipv4.sysctl_ipfrag_max_dist = 3
    there.receive(pieces(CLOSED, 400)[0])
    for ident in range(100, 104):
        there.receive(with_ident(pieces(CLOSED, 400)[0], ident))
    there.receive(pieces(CLOSED, 400)[1])
    there.platform.advance(1_000_000)
    assert there.dev.sent == []
    assert there.mib["Ip:ReasmFails"] == 1
    there.receive(pieces(CLOSED, 400)[0])
    there.platform.advance(1_000_000)
    assert there.mib["Ip:ReasmOKs"] == 1
