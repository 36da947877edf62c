"""Frames put together by hand, and what one host answers to one of them against what another one does."""

from collections.abc import Iterable
from struct import pack

from hardwire.stack.wire.checksum import csum_partial, csum_tcpudp_nofold, ip_fast_csum
from hardwire.tb.stack.linux_peer import LinuxPeer
from hardwire.tb.stack.pair import PairHost

__all__ = [
    "BROADCAST",
    "ME",
    "MY_MAC",
    "PEER",
    "PEER_MAC",
    "SENTINEL",
    "arp",
    "assert_same",
    "icmp",
    "ip",
    "is_sentinel",
    "udp",
]

ME, PEER = 0x0A000002, 0x0A000001
MY_MAC, PEER_MAC = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
BROADCAST = b"\xff" * 6
_NOT_COMPARED = {
    "Ip:Forwarding",
    "Ip:DefaultTTL",
    "Icmp:OutRateLimitGlobal",
    "Icmp:OutRateLimitHost",
    "Ip:OutTransmits",
}


def ip(
    payload: bytes,
    proto: int = 17,
    src: int = PEER,
    dst: int = ME,
    *,
    options: bytes = b"",
    first: int | None = None,
    total: int | None = None,
    frag: int = 0,
    check: int | None = None,
    tos: int = 0,
    ttl: int = 64,
    mac: bytes = MY_MAC,
    pad: bytes | None = None,
) -> bytes:
    """Return a frame with an IPv4 packet, right but for what is given."""
    first = 0x45 + len(options) // 4 if first is None else first
    total = 20 + len(options) + len(payload) if total is None else total
    header = pack("!BBHHHBBHII", first, tos, total, 77, frag, ttl, proto, 0, src, dst) + options
    check = ip_fast_csum(header) if check is None else check
    header = header[:10] + check.to_bytes(2, "big") + header[12:]
    frame = mac + PEER_MAC + b"\x08\x00" + header + payload
    return frame.ljust(60, b"\0") if pad is None else frame + pad


def udp(dport: int, data: bytes = b"data", *, src: int = PEER, dst: int = ME, check: int | None = None, ulen=None):
    """Return a datagram."""
    ulen = 8 + len(data) if ulen is None else ulen
    octets = pack("!HHHH", 1234, dport, ulen, 0) + data
    if check is None:
        check = ~csum_partial(octets, csum_tcpudp_nofold(src, dst, len(octets), 17)) & 0xFFFF or 0xFFFF
    return octets[:6] + check.to_bytes(2, "big") + octets[8:]


def icmp(kind: int, code: int = 0, rest: bytes = b"\x12\x34\0\1", data: bytes = b"x" * 32, check: int | None = None):
    """Return an ICMP message."""
    octets = bytes((kind, code, 0, 0)) + rest + data
    check = ip_fast_csum(octets) if check is None else check
    return octets[:2] + check.to_bytes(2, "big") + octets[4:]


def arp(
    operation: int = 1,
    sip: int = PEER,
    tip: int = ME,
    *,
    sha: bytes = PEER_MAC,
    tha: bytes = bytes(6),
    mac: bytes = BROADCAST,
    fixed: bytes = b"\0\1\x08\0\6\4",
) -> bytes:
    """Return a frame with an ARP packet."""
    packet = fixed + pack("!H6sI6sI", operation, sha, sip, tha, tip)
    return (mac + sha + b"\x08\x06" + packet).ljust(60, b"\0")


SENTINEL = ip(icmp(8, rest=b"\xff\xff\xff\xff", data=b"sentinel"), 1)


def is_sentinel(frame: bytes) -> bool:
    """Return whether it is the answer to ``SENTINEL``."""
    return frame[23:24] == b"\1" and frame[38:42] == b"\xff" * 4


def _normal(frame: bytes) -> bytes:
    """Return a frame without what is up to the host: identification, and times in timestamp replies."""
    if frame[12:14] != b"\x08\x00":
        return frame.ljust(60, b"\0")
    octets = bytearray(frame)
    octets[18:20] = octets[24:26] = bytes(2)
    start = 14 + 4 * (octets[14] & 15)
    if octets[23] == 1 and octets[start] == 14:
        octets[start + 2 : start + 4] = bytes(2)
        octets[start + 12 : start + 20] = bytes(8)
    return bytes(octets)


def assert_same(
    theirs: LinuxPeer, ours: PairHost, *frames: bytes, skipped: Iterable[str] = (), held: bool = False
) -> None:
    """Check that both hosts send the same for some frames, and count the same but for the counters named.

    Nothing of the frames may be left in our host then, unless it may be ``held``.
    """
    before, mine_before = theirs.mib(), dict(ours.mib)
    sent_before = len(ours.dev.sent)
    for one in (*frames, SENTINEL):
        theirs.receive(one)
        ours.receive(one)
    answers = [_normal(one) for one in theirs.until(is_sentinel)]
    after = theirs.mib()
    changed = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    ours.platform.advance(1_000_000)
    assert [_normal(one) for one in ours.dev.sent[sent_before:] if not is_sentinel(one)] == answers
    left_out = _NOT_COMPARED.union(skipped)
    mine = ours.changed(mine_before)
    assert {k: v for k, v in mine.items() if k not in left_out and not k.startswith("TcpExt")} == {
        k: v for k, v in changed.items() if k not in left_out
    }
    assert held or len(ours.platform.buffers) == 0
