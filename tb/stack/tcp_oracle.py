"""What RFC 9293, RFC 5961 and RFC 7323 say of one segment, told from its octets and what a socket was before it."""

from struct import Struct
from typing import NamedTuple

from hardwire.stack.core.tcp_states import (
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_FIN_WAIT2,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_SYN_RECV,
    TCP_SYN_SENT,
)
from hardwire.stack.ipv4.inet_timewait_sock import InetTimewaitSock
from hardwire.stack.ipv4.request_sock import TcpRequestSock
from hardwire.stack.ipv4.tcp_sock import TcpSock

__all__ = [
    "ACK",
    "CWR",
    "ECE",
    "FIN",
    "HEADER",
    "PSH",
    "RST",
    "SYN",
    "URG",
    "Segment",
    "checksum",
    "contiguous",
    "less",
    "parse",
    "refused",
    "view",
]

HEADER = Struct("!HHIIBBHHH")
PAIR = Struct("!II")
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
_AFTER_FIN = (TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK)


class Segment(NamedTuple):
    """A segment whose header is whole and whose checksum is right; ``length`` counts SYN and FIN."""

    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes
    tstamp: tuple[int, int] | None

    @property
    def length(self) -> int:
        """Return how many sequence numbers it has."""
        return len(self.payload) + (self.flags & SYN != 0) + (self.flags & FIN)

    @property
    def end_seq(self) -> int:
        """Return the number behind it."""
        return self.seq + self.length & 0xFFFFFFFF


def less(first: int, second: int) -> int:
    """Return by how much a sequence number is before another; negative: it is behind."""
    return (second - first + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def checksum(pseudo: bytes, octets: bytes) -> int:
    """Return the sum of RFC 1071 over a segment, 0 if the checksum in it is right."""
    octets += bytes(len(octets) & 1)
    return 0xFFFF - (int.from_bytes(pseudo + octets, "big") % 0xFFFF or 0xFFFF)


def _tstamp(octets: bytes) -> tuple[int, int] | None:
    """Return the last time stamp among options; one that does not make sense ends the reading (RFC 9293 §3.2)."""
    found = None
    at = 0
    while at < len(octets) and octets[at]:
        if octets[at] == 1:
            at += 1
            continue
        size = octets[at + 1] if at + 1 < len(octets) else 0
        if size < 2 or at + size > len(octets):
            break
        if octets[at] == 8 and size == 10:
            found = PAIR.unpack_from(octets, at + 2)
        at += size
    return found


def parse(pseudo: bytes, octets: bytes) -> Segment | None:
    """Return a segment, None if it is none."""
    if len(octets) < 20:
        return None
    sport, dport, seq, ack, doff, flags, window, _, _ = HEADER.unpack_from(octets)
    doff = doff >> 4 << 2
    if not 20 <= doff <= len(octets) or checksum(pseudo, octets):
        return None
    return Segment(sport, dport, seq, ack, flags, window, octets[doff:], _tstamp(octets[20:doff]))


def view(end: "TcpSock | TcpRequestSock | InetTimewaitSock") -> tuple[object, ...]:
    """Return all that a segment which is refused may not change."""
    if isinstance(end, TcpRequestSock):
        return end.rcv_nxt, end.snt_isn, end.acked, end.ts_recent
    if isinstance(end, InetTimewaitSock):
        return end.tw_substate, end.tw_rcv_nxt, end.tw_snd_nxt, end.tw_ts_recent
    early = tuple((skb.cb.seq, skb.cb.end_seq) for skb in end.out_of_order_queue)
    return (
        *(end.sk_state, end.sk_shutdown, end.sk_err, end.destroyed),
        *(end.rcv_nxt, end.copied_seq, len(end.sk_receive_queue), early, end.urg_data, end.urg_seq),
        *(end.snd_una, end.snd_nxt, end.write_seq, end.snd_wnd, end.snd_wl1, end.rx_opt.ts_recent),
        *(end.packets_out, end.sacked_out, end.lost_out, end.qlen, len(end.icsk_accept_queue)),
    )


def contiguous(sk: TcpSock, seg: Segment) -> set[int]:
    """Return what a connection may expect next after a segment: as before it, or what is behind it without a gap."""
    nxt = sk.rcv_nxt
    found = {nxt}
    ranges = [(skb.cb.seq, skb.cb.end_seq) for skb in sk.out_of_order_queue]
    for start, stop in sorted([*ranges, (seg.seq, seg.end_seq)], key=lambda one: less(sk.rcv_nxt, one[0])):
        if less(nxt, start) <= 0 and less(nxt, stop) > 0:
            nxt = stop
            found.add(nxt)
    return found


def _is_old(ts_recent: int, tstamp: tuple[int, int] | None, slack: int) -> bool:
    """Return whether a time stamp is older than the last one (PAWS, RFC 7323 §5)."""
    return tstamp is not None and ts_recent != 0 and less(tstamp[0], ts_recent) > slack


def refused(end: "TcpSock | TcpRequestSock | InetTimewaitSock", seg: Segment | None, now_ms: int) -> bool:
    """Return whether a segment for a socket is one that must not change it; not if either way is right."""
    if seg is None:
        return True
    if isinstance(end, TcpRequestSock):
        return _by_request(end, seg)
    if isinstance(end, InetTimewaitSock):
        return _by_timewait(end, seg)
    if end.sk_state == TCP_LISTEN:
        # What makes a request is seen from outside: the listener itself changes by a SYN alone (RFC 9293 §3.10.7.2).
        return seg.flags & (SYN | ACK | RST | FIN) != SYN
    if end.sk_state == TCP_SYN_SENT:
        return _in_syn_sent(end, seg, now_ms)
    return _synchronized(end, seg)


def _in_syn_sent(sk: TcpSock, seg: Segment, now_ms: int) -> bool:
    """Return it for SYN-SENT (RFC 9293 §3.10.7.3)."""
    if not seg.flags & ACK:
        return bool(seg.flags & RST) or not seg.flags & SYN
    if less(sk.snd_una, seg.ack) <= 0 or less(seg.ack, sk.snd_nxt) < 0:
        return True
    if seg.tstamp and seg.tstamp[1]:
        # RFC 7323 §3.2: an echo of what was never sent.
        echo = seg.tstamp[1] - sk.tsoffset & 0xFFFFFFFF
        if not sk.retrans_stamp // 1000 <= echo <= now_ms:
            return True
    return not seg.flags & (RST | SYN)


def _synchronized(sk: TcpSock, seg: Segment) -> bool:
    """Return it for SYN-RECEIVED and all states after it (RFC 9293 §3.10.7.4)."""
    if not seg.flags & (ACK | RST | SYN):
        return True
    left = max(less(sk.rcv_nxt, sk.rcv_wup + sk.rcv_wnd & 0xFFFFFFFF), 0)
    tstamp = seg.tstamp if sk.rx_opt.tstamp_ok else None
    exact = seg.seq == sk.rcv_nxt or (seg.seq == sk.rcv_nxt - 1 & 0xFFFFFFFF and sk.sk_state in _AFTER_FIN)
    if seg.flags & RST:
        # RFC 5961 §3.2; Linux takes the end of what came early, too.
        return not exact and seg.seq not in {skb.cb.end_seq for skb in sk.out_of_order_queue}
    if seg.flags & SYN:
        return True  # RFC 5961 §4.2.
    pure = seg.seq == seg.end_seq == sk.rcv_nxt and seg.ack == sk.snd_una
    if _is_old(sk.rx_opt.ts_recent, tstamp, 1) and not pure:
        return True
    if less(seg.end_seq, sk.rcv_wup) > 0 or less(sk.rcv_nxt + left & 0xFFFFFFFF, seg.seq) > 0:
        return True
    # RFC 5961 §5.2: an acknowledgement of what was never sent, or of what is too old.
    if sk.sk_state == TCP_SYN_RECV:
        return not (less(sk.snd_una, seg.ack) > 0 and less(seg.ack, sk.snd_nxt) >= 0)
    return less(sk.snd_nxt, seg.ack) > 0 or less(seg.ack, sk.snd_una) > max(sk.max_window, 1)


def _by_request(req: TcpRequestSock, seg: Segment) -> bool:
    """Return it for a connection that is being made to a listener."""
    if seg.flags & ACK and seg.ack != req.snt_isn + 1 & 0xFFFFFFFF:
        return True
    if req.tstamp_ok and _is_old(req.ts_recent, seg.tstamp, 0):
        return True
    if seg.flags & RST:
        return seg.seq != req.rcv_nxt
    left = less(seg.seq, req.rcv_nxt + req.rsk_rcv_wnd & 0xFFFFFFFF)
    if seg.seq != req.rcv_nxt and (less(req.rcv_nxt, seg.end_seq) < 0 or left < 0):
        return True
    return not seg.flags & (SYN | ACK) and not seg.tstamp


def _by_timewait(tw: InetTimewaitSock, seg: Segment) -> bool:
    """Return it for TIME-WAIT (RFC 9293 §3.10.7.4, RFC 6191), or for FIN-WAIT-2 without a program."""
    old = tw.tw_ts_recent_stamp != 0 and _is_old(tw.tw_ts_recent, seg.tstamp, 0)
    if tw.tw_substate == TCP_FIN_WAIT2:
        end = tw.tw_rcv_nxt + tw.tw_rcv_wnd & 0xFFFFFFFF
        fits = seg.seq == tw.tw_rcv_nxt or (less(tw.tw_rcv_nxt, seg.end_seq) >= 0 and less(seg.seq, end) >= 0)
        return old or not fits
    if seg.flags & RST:
        return seg.seq != tw.tw_rcv_nxt
    if seg.flags & (SYN | ACK) == SYN:
        newer = seg.tstamp is not None and less(tw.tw_ts_recent, seg.tstamp[0]) > 0
        return less(tw.tw_rcv_nxt, seg.seq) <= 0 and not newer and seg.seq != tw.tw_rcv_nxt
    return seg.seq != tw.tw_rcv_nxt or seg.seq != seg.end_seq or old
