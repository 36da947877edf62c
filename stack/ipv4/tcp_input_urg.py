"""Urgent data (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.8.5, RFC 6093)."""

from typing import TYPE_CHECKING

from ..core.datagram import sock_def_readable
from ..core.skbuff_data import skb_copy_bits
from ..core.sock import SOCK_URGINLINE
from .tcp_defs import TCPHDR_SYN, TCPHDR_URG, TcpSkbCb, after, before

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = ["TCP_URG_NOTYET", "TCP_URG_READ", "TCP_URG_VALID", "tcp_check_urg", "tcp_urg"]

# What urg_data has above the octet itself.
TCP_URG_VALID = 0x0100
TCP_URG_NOTYET = 0x0200
TCP_URG_READ = 0x0400


def tcp_check_urg(sk: "TcpSock", cb: TcpSkbCb) -> None:
    """Note where urgent data is, by the pointer of a segment.

    The pointer is to the octet behind the urgent one, as all have it but the RFCs before 6093; ``tcp_stdurg`` takes it
    as the urgent one.
    """
    pointer = cb.urg_ptr
    if pointer and not sk.net.ipv4.sysctl_tcp_stdurg:
        pointer -= 1
    at = cb.seq + pointer & 0xFFFFFFFF
    if after(sk.copied_seq, at) or before(at, sk.rcv_nxt):
        return  # It was read, or came before.
    if sk.urg_data and not after(at, sk.urg_seq):
        return
    if sk.urg_seq == sk.copied_seq and sk.urg_data and not sk.sk_flags & SOCK_URGINLINE:
        # The program was at the mark before, but has not taken the octet: it is lost now, as documented (tcp(7)).
        if sk.copied_seq != sk.rcv_nxt:
            sk.copied_seq = sk.copied_seq + 1 & 0xFFFFFFFF
    sk.urg_data = TCP_URG_NOTYET
    sk.urg_seq = at


def tcp_urg(sk: "TcpSock", skb: "SkBuff") -> None:
    """Look for urgent data in a segment, whose data starts at its header."""
    cb: TcpSkbCb = skb.cb
    if cb.tcp_flags & TCPHDR_URG:
        tcp_check_urg(sk, cb)
    if sk.urg_data == TCP_URG_NOTYET:
        offset = (sk.urg_seq - cb.seq & 0xFFFFFFFF) + cb.doff - (1 if cb.tcp_flags & TCPHDR_SYN else 0)
        if offset < skb.len:
            sk.urg_data = TCP_URG_VALID | skb_copy_bits(skb, offset, 1)[0]
            if not sk.dead:
                sock_def_readable(sk)
