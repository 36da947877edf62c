"""The Transmission Control Protocol, receiving by programs (Linux: net/ipv4/tcp.c; RFC 9293 §3.9.1)."""

from errno import EAGAIN, EINVAL, ENOTCONN
from functools import partial
from os import strerror
from typing import TYPE_CHECKING

from ..core.datagram import sock_rcvtimeo
from ..core.msghdr import copy_to_iter
from ..core.skbuff import consume_skb
from ..core.skbuff_data import skb_runs_between
from ..core.sock import (
    RCV_SHUTDOWN,
    SOCK_URGINLINE,
    lock_sock_nested,
    release_sock,
    sk_wait_event,
    sock_error,
)
from ..core.tcp_states import TCP_CLOSE, TCP_LISTEN, TCP_SYN_SENT
from ..uapi import MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC
from ..uapi_options import MSG_WAITALL
from .tcp_defs import ICSK_ACK_SCHED, TCPHDR_FIN, TcpSkbCb, after, before
from .tcp_input_urg import TCP_URG_READ, TCP_URG_VALID
from .tcp_output import tcp_mstamp_refresh
from .tcp_output_ack import inet_csk_in_pingpong_mode, tcp_send_ack
from .tcp_output_window import __tcp_select_window, tcp_receive_window, tcp_win_from_space

if TYPE_CHECKING:
    from ..core.msghdr import RecvMsghdr
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = ["tcp_cleanup_rbuf", "tcp_inq", "tcp_recv_urg", "tcp_recvmsg"]


def tcp_inq(sk: "TcpSock") -> int:
    """Return how many octets can be read, up to urgent data."""
    if sk.sk_state == TCP_SYN_SENT:
        return 0
    if sk.urg_data and not sk.sk_flags & SOCK_URGINLINE and not before(sk.urg_seq, sk.copied_seq):
        if before(sk.urg_seq, sk.rcv_nxt):
            return sk.urg_seq - sk.copied_seq & 0xFFFFFFFF
    available = sk.rcv_nxt - sk.copied_seq & 0xFFFFFFFF
    if available and sk.sk_receive_queue and sk.sk_receive_queue[-1].cb.tcp_flags & TCPHDR_FIN:
        available -= 1
    return available


def tcp_recvmsg(sk: "TcpSock", msg: "RecvMsghdr", size: int, flags: int) -> int:
    """Give a program what has come in order; wait for something if allowed; return how many octets those are.

    Raises
    ------
    OSError
        ``ENOTCONN``; the socket's error; ``EAGAIN`` if it may not wait (any longer); of ``MSG_OOB`` ``EINVAL`` if there
        is no urgent octet.
    """
    lock_sock_nested(sk)
    try:
        return tcp_recvmsg_locked(sk, msg, size, flags)
    finally:
        release_sock(sk)


def tcp_recv_urg(sk: "TcpSock", msg: "RecvMsghdr", size: int, flags: int) -> int:
    """Give a program the urgent octet.

    Raises
    ------
    OSError
        ``EINVAL`` if there is none (any more), or it is among the others; ``EAGAIN`` if it did not come yet.
    """
    if sk.sk_flags & SOCK_URGINLINE or not sk.urg_data or sk.urg_data & TCP_URG_READ:
        raise OSError(EINVAL, "no urgent data")
    if sk.sk_state == TCP_CLOSE:
        raise OSError(ENOTCONN, "not connected")
    if not sk.urg_data & TCP_URG_VALID:
        raise OSError(EAGAIN, "urgent data did not come yet")
    octet = bytes((sk.urg_data & 0xFF,))
    if not flags & MSG_PEEK:
        sk.urg_data = TCP_URG_READ
    msg.flags |= MSG_OOB
    if not size:
        msg.flags |= MSG_TRUNC
        return 0
    if msg.iov is not None:
        copy_to_iter(msg, memoryview(octet))
    else:
        msg.octets = octet
    return 1


def _find(sk: "TcpSock", seq: int) -> "tuple[SkBuff, int] | None":
    """Return the packet that a sequence number lies in, and where in it."""
    for skb in sk.sk_receive_queue:
        cb: TcpSkbCb = skb.cb
        offset = seq - cb.seq & 0xFFFFFFFF
        if offset < skb.len or cb.tcp_flags & TCPHDR_FIN:
            return skb, offset
    return None


def tcp_recvmsg_locked(sk: "TcpSock", msg: "RecvMsghdr", size: int, flags: int) -> int:
    """Give a program what has come, with the lock; as ``tcp_recvmsg``."""
    if sk.sk_state == TCP_LISTEN:
        raise OSError(ENOTCONN, "the socket listens")
    if flags & MSG_OOB:
        return tcp_recv_urg(sk, msg, size, flags)
    timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT != 0)
    deadline_ns = None if timeo is None else sk.kernel.now_ns() + timeo
    target = size if flags & MSG_WAITALL else min(sk.sk_rcvlowat, size)
    peek = flags & MSG_PEEK
    seq = sk.copied_seq
    parts: list[bytes] = []
    copied = 0
    while copied < size:
        if sk.urg_data and sk.urg_seq == seq and copied:
            break  # What is urgent is a boundary.
        found = _find(sk, seq)
        if found is not None:
            skb, offset = found
            used = skb.len - offset
            if used > 0:
                if sk.urg_data and sk.urg_seq == seq and not sk.sk_flags & SOCK_URGINLINE:
                    # The urgent octet is not among the others.
                    seq, offset, used = seq + 1 & 0xFFFFFFFF, offset + 1, used - 1
                used = _until_urgent(sk, seq, min(used, size - copied))
                if used:
                    if not flags & MSG_TRUNC:
                        skb_copy_datagram_iter(skb, offset, msg, used, parts)
                    seq = seq + used & 0xFFFFFFFF
                    copied += used
                if not peek:
                    sk.copied_seq = seq
                    if sk.urg_data and after(seq, sk.urg_seq):
                        sk.urg_data = 0
                    tcp_rcv_space_adjust(sk)
                if seq - skb.cb.seq & 0xFFFFFFFF < skb.len:
                    continue
            if skb.cb.tcp_flags & TCPHDR_FIN:
                if not peek:
                    sk.copied_seq = skb.cb.end_seq
                    _eat(sk, skb)
                break
            if not peek:
                _eat(sk, skb)
            continue
        if copied >= target and not sk.sk_backlog:
            break
        if copied:
            if sk.sk_err or sk.sk_state == TCP_CLOSE or sk.sk_shutdown & RCV_SHUTDOWN or _is_over(sk, deadline_ns):
                break
        elif _must_not_wait(sk):
            break
        elif _is_over(sk, deadline_ns):
            raise OSError(EAGAIN, "nothing to receive")
        tcp_cleanup_rbuf(sk, copied)
        sk_wait_event(sk, deadline_ns, partial(_has_more, sk, seq))
    if msg.iov is None:
        msg.octets = b"".join(parts)
    if not peek:
        tcp_cleanup_rbuf(sk, copied)
    return copied


def _is_over(sk: "TcpSock", deadline_ns: int | None) -> bool:
    return deadline_ns is not None and sk.kernel.now_ns() >= deadline_ns


def _has_more(sk: "TcpSock", seq: int) -> bool:
    """Return whether it is worth looking again."""
    shut = sk.sk_shutdown & RCV_SHUTDOWN
    return bool(sk.sk_err or shut or sk.sk_state == TCP_CLOSE) or _find(sk, seq) is not None


def _must_not_wait(sk: "TcpSock") -> bool:
    """Return whether nothing will come, which is no error.

    Raises
    ------
    OSError
        The socket's error; ``ENOTCONN``.
    """
    if sk.sk_err:
        error = -sock_error(sk)
        raise OSError(error, strerror(error))
    if sk.sk_shutdown & RCV_SHUTDOWN:
        return True
    if sk.sk_state == TCP_CLOSE:
        raise OSError(ENOTCONN, "not connected")
    return False


def _until_urgent(sk: "TcpSock", seq: int, used: int) -> int:
    """Return how many octets there are in front of an urgent one."""
    if sk.urg_data:
        offset = sk.urg_seq - seq & 0xFFFFFFFF
        if 0 < offset < used:
            return offset
    return used


def skb_copy_datagram_iter(skb: "SkBuff", offset: int, msg: "RecvMsghdr", length: int, parts: list[bytes]) -> None:
    """Copy octets of a packet to the program's buffers, or to ``parts`` if it has none."""
    for run in skb_runs_between(skb, offset, length):
        if msg.iov is not None:
            copy_to_iter(msg, run)
        else:
            parts.append(bytes(run))


def _eat(sk: "TcpSock", skb: "SkBuff") -> None:
    """Free a packet that was read (``tcp_eat_recv_skb``)."""
    sk.sk_receive_queue.remove(skb)
    consume_skb(skb)


def tcp_rcv_space_adjust(sk: "TcpSock") -> None:
    """Let the buffer grow with what a program reads in a round trip (``tcp_moderate_rcvbuf``)."""
    tcp_mstamp_refresh(sk)
    time_us = sk.tcp_mstamp_us - sk.rcvq_time_us
    if not sk.rcv_rtt_us or time_us < sk.rcv_rtt_us >> 3:
        return
    copied = sk.copied_seq - sk.rcvq_seq & 0xFFFFFFFF
    ipv4 = sk.net.ipv4
    if copied > sk.rcvq_space:
        if ipv4.sysctl_tcp_moderate_rcvbuf and not sk.sk_userlocks & 2 and sk.rcvq_space:
            # Twice what was read, for the peer's window may double; and room for what is on its way.
            window = 2 * copied + 16 * sk.advmss
            window += 2 * window * (copied - sk.rcvq_space) // sk.rcvq_space
            per_packet = 1 << (sk.advmss + 512).bit_length()
            while tcp_win_from_space(sk, per_packet) < sk.advmss:
                per_packet += 128
            rcvbuf = min(window // sk.advmss * per_packet, ipv4.sysctl_tcp_rmem[2])
            if rcvbuf > sk.sk_rcvbuf:
                sk.sk_rcvbuf = rcvbuf
                sk.window_clamp = tcp_win_from_space(sk, rcvbuf)
        sk.rcvq_space = copied
    sk.rcvq_seq = sk.copied_seq
    sk.rcvq_time_us = sk.tcp_mstamp_us


def tcp_cleanup_rbuf(sk: "TcpSock", copied: int) -> None:
    """Tell the peer that there is room again, if that is news for it; as ``__tcp_cleanup_rbuf``."""
    __tcp_cleanup_rbuf(sk, copied)


def __tcp_cleanup_rbuf(sk: "TcpSock", copied: int) -> None:
    """Acknowledge what the program has read, if that should not wait."""
    if sk.sk_state in (TCP_CLOSE, TCP_LISTEN, TCP_SYN_SENT):
        return
    now = False
    if sk.ack_pending & ICSK_ACK_SCHED:
        unacked = sk.rcv_nxt - sk.rcv_wup & 0xFFFFFFFF
        # More than a segment; or a program that only reads has read everything.
        now = unacked > sk.ack_rcv_mss or (
            copied > 0 and bool(sk.ack_quick) and not inet_csk_in_pingpong_mode(sk) and not sk.sk_rmem_alloc
        )
    if copied > 0 and not now and not sk.sk_shutdown & RCV_SHUTDOWN:
        left = tcp_receive_window(sk)
        if 2 * left <= sk.window_clamp:
            window = __tcp_select_window(sk)
            now = bool(window) and window >= 2 * left
    if now:
        tcp_send_ack(sk)
