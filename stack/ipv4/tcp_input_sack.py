"""Selective acknowledgements (Linux: net/ipv4/tcp_input.c; RFC 2018, RFC 2883, RFC 6675)."""

from typing import TYPE_CHECKING

from .tcp_defs import (
    TCPCB_EVER_RETRANS,
    TCPCB_LOST,
    TCPCB_SACKED_ACKED,
    TCPCB_SACKED_RETRANS,
    TcpSkbCb,
    after,
    before,
)
from .tcp_output_write import tcp_fragment
from .tcp_recovery import tcp_rack_advance

if TYPE_CHECKING:
    from .tcp_input_ack import AckState
    from .tcp_sock import TcpSock

__all__ = ["tcp_check_sack_reordering", "tcp_is_sackblock_valid", "tcp_sacktag_write_queue"]


def tcp_is_sackblock_valid(sk: "TcpSock", start: int, end: int, *, is_dsack: bool) -> bool:
    """Return whether a block can be true: not empty, of data that was sent, and no longer than the window."""
    if after(end, sk.snd_nxt) or not before(start, end) or not before(start, sk.snd_nxt):
        return False
    if not before(start, sk.snd_una):
        return True
    if not is_dsack or after(end, sk.snd_una):
        return False
    return end - start & 0xFFFFFFFF <= sk.max_window or not before(start, sk.snd_una - sk.max_window)


def _check_dsack(sk: "TcpSock", state: "AckState", ack: int) -> bool:
    """Return whether the first block says that something came twice (RFC 2883 §4)."""
    blocks = sk.rx_opt.sacks
    start, end = blocks[0]
    mib = sk.net.mib
    if before(start, ack):
        mib["TcpExt:TCPDSACKRecv"] += 1
    elif len(blocks) > 1 and not before(start, blocks[1][0]) and not after(end, blocks[1][1]):
        mib["TcpExt:TCPDSACKOfoRecv"] += 1
    else:
        return False
    state.dsacking = True
    if end - start & 0xFFFFFFFF <= sk.max_window:
        segs = -(-(end - start & 0xFFFFFFFF) // max(sk.mss_cache, 1))
        mib["TcpExt:TCPDSACKRecvSegs"] += segs
        # A probe of the tail that was not needed is no sign of wrong recovery.
        if sk.tlp_high_seq and sk.tlp_retrans and end == sk.tlp_high_seq:
            state.dsack_of_probe = True
        elif sk.undo_marker and sk.undo_retrans > 0 and not after(end, sk.snd_una) and after(end, sk.undo_marker):
            sk.undo_retrans = max(sk.undo_retrans - segs, 0)
        sk.rack_dsack_seen = True
    return True


def tcp_sacktag_write_queue(sk: "TcpSock", ack: int, state: "AckState") -> None:
    """Mark what the blocks of an ACK say the peer has."""
    blocks = sk.rx_opt.sacks
    found_dsack = _check_dsack(sk, state, ack)
    mib = sk.net.mib
    valid: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(blocks):
        is_dsack = found_dsack and not number
        if not tcp_is_sackblock_valid(sk, start, end, is_dsack=is_dsack):
            if is_dsack:
                mib["TcpExt:TCPDSACKIgnoredNoUndo" if not sk.undo_marker else "TcpExt:TCPDSACKIgnoredOld"] += 1
            elif after(end, sk.snd_una) or not before(start, sk.snd_una):
                mib["TcpExt:TCPSACKDiscard"] += 1
            continue
        if after(end, sk.snd_una):
            valid.append((start, end))
    for start, end in valid:
        _walk(sk, start, end, state)


def _walk(sk: "TcpSock", start: int, end: int, state: "AckState") -> None:
    """Mark what lies in a block; a packet that it covers in part is cut, where segments were."""
    queue = sk.tcp_rtx_queue
    index = 0
    while index < len(queue):
        skb = queue[index]
        cb: TcpSkbCb = skb.cb
        index += 1
        if not before(cb.seq, end):
            return
        if cb.sacked & TCPCB_SACKED_ACKED or not after(cb.end_seq, start):
            continue
        if before(cb.seq, start) or after(cb.end_seq, end):
            mss = skb.gso_size
            if not mss:
                continue
            try:
                if before(cb.seq, start):
                    cut = -(-(start - cb.seq & 0xFFFFFFFF) // mss) * mss
                    if cut < skb.len:
                        tcp_fragment(sk, queue, index - 1, cut, mss)
                    continue  # The second part comes next.
                cut = (end - cb.seq & 0xFFFFFFFF) // mss * mss
                if not cut:
                    continue
                tcp_fragment(sk, queue, index - 1, cut, mss)
            except OSError:
                continue  # Without memory it counts as not there: it is sent once more.
        _sacktag_one(sk, cb, state)


def _sacktag_one(sk: "TcpSock", cb: TcpSkbCb, state: "AckState") -> None:
    """Count one packet as arrived."""
    tcp_rack_advance(sk, cb.sacked, cb.end_seq, cb.tx_us)
    if cb.sacked & TCPCB_SACKED_RETRANS:
        # The packet or its copy came: nothing of it is lost any more.
        if cb.sacked & TCPCB_LOST:
            cb.sacked &= ~TCPCB_LOST
            sk.lost_out -= cb.segs
        cb.sacked &= ~TCPCB_SACKED_RETRANS
        sk.retrans_out -= cb.segs
    else:
        if not cb.sacked & TCPCB_EVER_RETRANS:
            if before(cb.seq, sk.highest_sack) and (state.reord is None or before(cb.seq, state.reord)):
                state.reord = cb.seq
            if not after(cb.end_seq, sk.high_seq):
                state.orig_sacked = True
            if state.sack_first_us < 0:
                state.sack_first_us = cb.tx_us
            state.sack_last_us = cb.tx_us
        if cb.sacked & TCPCB_LOST:
            cb.sacked &= ~TCPCB_LOST
            sk.lost_out -= cb.segs
    cb.sacked |= TCPCB_SACKED_ACKED
    sk.sacked_out += cb.segs
    state.data_sacked = True
    sk.delivered += cb.segs
    if before(sk.highest_sack, cb.end_seq):
        sk.highest_sack = cb.end_seq


def tcp_check_sack_reordering(sk: "TcpSock", low_seq: int) -> None:
    """Learn that packets came out of order: how far, and that there is such a thing at all."""
    distance = sk.highest_sack - low_seq & 0xFFFFFFFF
    mss = max(sk.mss_cache, 1)
    if distance > sk.reordering * mss:
        sk.reordering = min(-(-distance // mss), sk.net.ipv4.sysctl_tcp_max_reordering)
    sk.reord_seen += 1
    sk.net.mib["TcpExt:TCPTSReorder" if sk.rx_opt.tstamp_ok else "TcpExt:TCPSACKReorder"] += 1
