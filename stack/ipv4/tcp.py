"""The Transmission Control Protocol, sending and the life of a socket (Linux: net/ipv4/tcp.c; RFC 9293 §3.9)."""

from errno import ECONNRESET, EINVAL, EISCONN, ENOMEM, EPIPE
from os import strerror
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_error_report
from ..core.msghdr import copy_from_iter
from ..core.proto_ops import sock_no_ioctl
from ..core.skbuff import MAX_SKB_FRAGS, alloc_page, put_page
from ..core.sock import (
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    Proto,
    lock_sock_nested,
    release_sock,
    sk_dst_reset,
    sock_error,
    sock_sndtimeo,
)
from ..core.sock_mem import sk_forced_mem_schedule, sk_stream_moderate_sndbuf, sk_wmem_schedule
from ..core.stream import sk_stream_memory_free, sk_stream_wait_connect, sk_stream_wait_memory
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_LISTEN,
    TCP_SYN_SENT,
    TCPF_CLOSE_WAIT,
    TCPF_CLOSING,
    TCPF_ESTABLISHED,
    TCPF_FIN_WAIT1,
    TCPF_FIN_WAIT2,
    TCPF_LAST_ACK,
    TCPF_LISTEN,
    TCPF_SYN_RECV,
    TCPF_SYN_SENT,
)
from ..core.timer import jiffies
from ..uapi import (
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_OOB,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRNORM,
)
from ..uapi_ioctl import SIOCINQ, SIOCOUTQ
from ..uapi_options import POLLPRI
from .inet_connection_sock import inet_csk_accept, inet_csk_listen_stop
from .inet_connection_sock_port import inet_csk_get_port
from .inet_connection_sock_request import inet_csk_reqsk_queue_drop
from .inet_connection_sock_timer import inet_csk_clear_xmit_timers
from .inet_hashtables import inet_hash, inet_put_port, inet_unhash
from .tcp_close import tcp_close, tcp_shutdown
from .tcp_cong import TCP_CA_OPEN, tcp_assign_congestion_control, tcp_set_ca_state, tcp_set_congestion_control
from .tcp_defs import TCP_CORK_NAGLE, TCP_NAGLE_PUSH, TCPHDR_ACK, TCPHDR_PSH, TcpSkbCb, after
from .tcp_input_urg import TCP_URG_VALID
from .tcp_ipv4 import tcp_v4_connect
from .tcp_ipv4_rcv import tcp_v4_do_rcv
from .tcp_keepalive import tcp_set_keepalive
from .tcp_memory import tcp_enter_memory_pressure
from .tcp_output import tcp_current_mss, tcp_mstamp_refresh
from .tcp_output_ack import tcp_send_active_reset
from .tcp_output_syn import tcp_clear_retrans
from .tcp_output_write import (
    __tcp_push_pending_frames,
    tcp_charge_skb,
    tcp_cwnd_restart,
    tcp_push_one,
    tcp_stream_alloc_skb,
)
from .tcp_recvmsg import tcp_inq, tcp_recvmsg
from .tcp_sock import TcpSock
from .tcp_sockopt import tcp_getsockopt, tcp_setsockopt
from .tcp_state import (
    sk_stream_kill_queues,
    skb_rbtree_purge,
    tcp_set_state,
    tcp_skb_free,
    tcp_write_queue_purge,
)
from .tcp_timer import tcp_init_xmit_timers, tcp_release_cb

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["tcp_disconnect", "tcp_init_sock", "tcp_poll", "tcp_prot", "tcp_push", "tcp_send_mss", "tcp_sendmsg"]

_INT = Struct("=i")
_FRAG_PAGE_OCTETS = 32768
_CAN_SEND = TCPF_ESTABLISHED | TCPF_CLOSE_WAIT
_CONNECTING = TCPF_SYN_SENT | TCPF_SYN_RECV


def tcp_init_sock(net: "Net", family: int, type: int, protocol: int) -> TcpSock:
    """Return a new socket."""
    sk = TcpSock(net, family, type, protocol, tcp_prot)
    assert sk.sk_memory is not None
    sk.sk_memory.sockets_allocated += 1
    tcp_init_xmit_timers(sk)
    tcp_assign_congestion_control(sk)
    return sk


def _raise_error(sk: TcpSock) -> None:
    """Raise why nothing can be sent, if so (``sk_stream_error``)."""
    if sk.sk_err:
        error = -sock_error(sk)
        raise OSError(error, strerror(error))
    if sk.sk_shutdown & SEND_SHUTDOWN:
        raise OSError(EPIPE, "shut down for sending")


def tcp_send_mss(sk: TcpSock, flags: int) -> tuple[int, int]:
    """Return how much data a segment may have, and how much a packet is filled with, to be cut later."""
    mss = tcp_current_mss(sk)
    if flags & MSG_OOB:
        return mss, mss
    most = min(sk.sk_gso_max_size, max(sk.max_window >> 1, mss), 16 * _FRAG_PAGE_OCTETS)
    return mss, max(min(most // mss, sk.sk_gso_max_segs) * mss, mss)


def tcp_skb_entail(sk: TcpSock, skb: "SkBuff") -> None:
    """Put a new packet behind those that wait to be sent."""
    skb.cb = TcpSkbCb(sk.write_seq, sk.write_seq, TCPHDR_ACK)
    sk.sk_write_queue.append(skb)
    tcp_charge_skb(sk, skb)
    if sk.nonagle & TCP_NAGLE_PUSH:
        sk.nonagle &= ~TCP_NAGLE_PUSH
    # tcp_slow_start_after_idle_check()
    if sk.net.ipv4.sysctl_tcp_slow_start_after_idle and not sk.packets_out:
        delta = jiffies(sk.kernel) - sk.lsndtime
        if delta > sk.icsk_rto:
            tcp_cwnd_restart(sk, delta)


def sk_page_frag_refill(sk: TcpSock) -> int:
    """See that there is memory for data, and return how many octets fit into the page.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    if sk.sk_frag is None or sk.sk_frag_offset == _FRAG_PAGE_OCTETS:
        if sk.sk_frag is not None:
            put_page(sk.kernel, sk.sk_frag)
            sk.sk_frag = None
        try:
            sk.sk_frag = alloc_page(sk.kernel, _FRAG_PAGE_OCTETS)
        except OSError:
            tcp_enter_memory_pressure(sk)
            sk_stream_moderate_sndbuf(sk)
            raise
        sk.sk_frag_offset = 0
    return _FRAG_PAGE_OCTETS - sk.sk_frag_offset


def tcp_wmem_schedule(sk: TcpSock, copy: int) -> int:
    """Return for how many of so many octets there is memory: for some at least if hardly anything waits."""
    if sk_wmem_schedule(sk, copy):
        return copy
    left = sk.net.ipv4.sysctl_tcp_wmem[0] - sk.sk_wmem_queued
    if left > 0:
        sk_forced_mem_schedule(sk, min(left, copy))
    return min(copy, sk.sk_forward_alloc)


def _append(sk: TcpSock, skb: "SkBuff", msg: "Msghdr", length: int) -> int:
    """Copy the next octets of a message to the end of a packet; return how many, 0 if it is full.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    length = min(length, sk_page_frag_refill(sk))
    page = sk.sk_frag
    assert page is not None
    at = sk.sk_frag_offset
    last = skb.frags[-1] if skb.frags else None
    joins = last is not None and last[0] is page and last[1] + last[2] == at
    if not joins and len(skb.frags) >= MAX_SKB_FRAGS:
        return 0
    length = tcp_wmem_schedule(sk, length)
    if not length:
        raise OSError(ENOMEM, "sockets have as much as they may (tcp_mem)")
    if last is not None and joins:
        skb.frags[-1] = (page, last[1], last[2] + length)
    else:
        page.count += 1
        skb.frags.append((page, at, length))
    copy_from_iter(msg, page.view, at, length)
    sk.sk_frag_offset = at + length
    skb.len += length
    skb.data_len += length
    skb.truesize += length
    sk.sk_wmem_queued += length
    sk.sk_forward_alloc -= length
    sk.write_seq = sk.write_seq + length & 0xFFFFFFFF
    cb: TcpSkbCb = skb.cb
    cb.end_seq = cb.end_seq + length & 0xFFFFFFFF
    cb.segs = 0
    return length


def tcp_mark_push(sk: TcpSock, skb: "SkBuff") -> None:
    """Have a packet's last segment say that the data should be handed on."""
    skb.cb.tcp_flags |= TCPHDR_PSH
    sk.pushed_seq = sk.write_seq


def tcp_push(sk: TcpSock, flags: int, mss: int, nonagle: int, size_goal: int) -> None:
    """Send what a program has written, or what the windows allow of it."""
    if not sk.sk_write_queue:
        return
    skb = sk.sk_write_queue[-1]
    if not flags & MSG_MORE or after(sk.write_seq, sk.pushed_seq + (sk.max_window >> 1) & 0xFFFFFFFF):
        tcp_mark_push(sk, skb)
    if flags & MSG_OOB:
        sk.snd_up = sk.write_seq
    if tcp_should_autocork(sk, skb, size_goal):
        sk.net.mib["TcpExt:TCPAutoCorking"] += 1
        sk.tsq_throttled = True
        return
    __tcp_push_pending_frames(sk, mss, TCP_CORK_NAGLE if flags & MSG_MORE else nonagle)


def tcp_should_autocork(sk: TcpSock, skb: "SkBuff", size_goal: int) -> bool:
    """Return whether a short packet should wait for more, while others have not left the host (``tcp_autocorking``)."""
    return (
        skb.len < size_goal
        and bool(sk.net.ipv4.sysctl_tcp_autocorking)
        and bool(sk.tcp_rtx_queue)
        and sk.sk_wmem_alloc > skb.truesize
        and sk.sk_wmem_alloc >= sk.net.ipv4.sysctl_tcp_limit_output_bytes >> 1
    )


def tcp_sendmsg(sk: TcpSock, msg: "Msghdr", size: int) -> int:
    """Take octets to send, and send what can go; wait for room if allowed; return how many were taken.

    Raises
    ------
    OSError
        ``EPIPE``; the socket's error; ``EAGAIN`` if it may not wait (any longer); ``EISCONN`` for another address.
    """
    lock_sock_nested(sk)
    try:
        return tcp_sendmsg_locked(sk, msg, size)
    finally:
        release_sock(sk)


def tcp_sendmsg_locked(sk: TcpSock, msg: "Msghdr", size: int) -> int:
    """Take octets to send, with the lock; as ``tcp_sendmsg``."""
    flags = msg.flags
    if msg.name is not None and not 1 << sk.sk_state & (_CAN_SEND | _CONNECTING):
        raise OSError(EISCONN if 1 << sk.sk_state & TCPF_FIN_WAIT2 else EPIPE, "an address is of no use here")
    tcp_rate_check_app_limited(sk)
    timeo = sock_sndtimeo(sk, flags & MSG_DONTWAIT != 0)
    deadline_ns = None if timeo is None else sk.kernel.now_ns() + timeo
    if not 1 << sk.sk_state & _CAN_SEND:
        sk_stream_wait_connect(sk, deadline_ns)
    _raise_error(sk)
    copied = 0
    mss, size_goal = tcp_send_mss(sk, flags)
    try:
        while copied < size:
            skb = sk.sk_write_queue[-1] if sk.sk_write_queue else None
            room = size_goal - skb.len if skb is not None else 0
            try:
                done = _append(sk, skb, msg, min(room, size - copied)) if skb is not None and room > 0 else 0
                if not done and sk_stream_memory_free(sk):
                    # The first one goes in any case: something has to be on its way.
                    skb = tcp_stream_alloc_skb(sk, not (sk.sk_write_queue or sk.tcp_rtx_queue))
                    tcp_skb_entail(sk, skb)
                    continue
            except OSError as error:
                if error.errno != ENOMEM:
                    raise
                done = 0
            if not done:
                _remove_empty_skb(sk)
                if copied:
                    tcp_push(sk, flags & ~MSG_MORE, mss, TCP_NAGLE_PUSH, size_goal)
                sk_stream_wait_memory(sk, deadline_ns)
                mss, size_goal = tcp_send_mss(sk, flags)
                continue
            assert skb is not None
            if not copied:
                skb.cb.tcp_flags &= ~TCPHDR_PSH
            copied += done
            if copied == size or skb.len < size_goal or flags & MSG_OOB:
                continue
            # It is full: send on, at the latest when half of the peer's window waits.
            if after(sk.write_seq, sk.pushed_seq + (sk.max_window >> 1) & 0xFFFFFFFF):
                tcp_mark_push(sk, skb)
                __tcp_push_pending_frames(sk, mss, TCP_NAGLE_PUSH)
            elif skb is sk.sk_write_queue[0]:
                tcp_push_one(sk, mss)
    except OSError as error:
        _remove_empty_skb(sk)
        if not copied:
            if error.errno == EPIPE:
                _raise_error(sk)
            raise
    if copied:
        tcp_tx_timestamp(sk)
        tcp_push(sk, flags, mss, sk.nonagle, size_goal)
    return copied


def tcp_tx_timestamp(sk: TcpSock) -> None:
    """Note when a program wrote last."""
    tcp_mstamp_refresh(sk)


def tcp_rate_check_app_limited(sk: TcpSock) -> None:
    """Note whether the program is what limits sending now: nothing waits here or below."""
    sk.app_limited = not sk.sk_write_queue and sk.lost_out <= sk.retrans_out


def _remove_empty_skb(sk: TcpSock) -> None:
    """Take back a packet that got no data (``tcp_remove_empty_skb``)."""
    if sk.sk_write_queue:
        skb = sk.sk_write_queue[-1]
        if skb.cb.seq == skb.cb.end_seq:
            sk.sk_write_queue.pop()
            tcp_skb_free(sk, skb)


def tcp_disconnect(sk: TcpSock, flags: int) -> None:
    """End what there is at once; the socket can be used anew."""
    del flags  # Nothing is waited for.
    old = sk.sk_state
    port = sk.inet_num
    if old != TCP_CLOSE:
        tcp_set_state(sk, TCP_CLOSE)
    if old == TCP_LISTEN:
        for req in list(sk.listen_opts.values()):
            inet_csk_reqsk_queue_drop(sk, req)
        inet_csk_listen_stop(sk)
    elif _need_reset(old) or (sk.snd_nxt != sk.write_seq and 1 << old & (TCPF_CLOSING | TCPF_LAST_ACK)):
        # RFC 9293 §3.10.5: the peer must not believe that it is connected.
        kept, sk.inet_num = sk.inet_num, port  # The port is free already, but the RST is from it.
        tcp_send_active_reset(sk)
        sk.inet_num = kept
        sk.sk_err = ECONNRESET
    elif old == TCP_SYN_SENT:
        sk.sk_err = ECONNRESET
    inet_csk_clear_xmit_timers(sk)
    tcp_write_queue_purge(sk)
    skb_rbtree_purge(sk)
    sk_stream_kill_queues(sk)
    if sk.tcp_bind_hash and not sk.bind_port_locked:
        inet_put_port(sk)
    if not sk.bind_addr_locked:
        sk.inet_saddr = sk.inet_rcv_saddr = 0
    sk.inet_daddr = sk.inet_dport = 0
    sk.sk_shutdown = 0
    sk.tcp_reset_members()
    tcp_set_ca_state(sk, TCP_CA_OPEN)
    tcp_clear_retrans(sk)
    tcp_set_congestion_control(sk, sk.ca_ops.name)
    sk.sk_err_soft = 0
    sk.sk_rx_dst = None
    sk_dst_reset(sk)
    sock_def_error_report(sk)


def _need_reset(state: int) -> bool:
    """Return whether a peer has to be told that a connection in a state is ended at once."""
    return bool(1 << state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_SYN_RECV))


def tcp_poll(sk: TcpSock) -> int:
    """Return what could be done with a socket now, as ``POLL*`` bits."""
    state = sk.sk_state
    if state == TCP_LISTEN:
        return POLLIN | POLLRDNORM if sk.icsk_accept_queue else 0
    mask = 0
    shutdown = sk.sk_shutdown
    if shutdown == RCV_SHUTDOWN | SEND_SHUTDOWN or state == TCP_CLOSE:
        mask |= POLLHUP
    if shutdown & RCV_SHUTDOWN:
        mask |= POLLIN | POLLRDNORM | POLLRDHUP
    if state != TCP_SYN_SENT:
        available = sk.rcv_nxt - sk.copied_seq & 0xFFFFFFFF
        if available and (available >= sk.sk_rcvlowat or sk.sk_rmem_alloc >= sk.sk_rcvbuf):
            mask |= POLLIN | POLLRDNORM
        if not shutdown & SEND_SHUTDOWN:
            if sk.sk_sndbuf - sk.sk_wmem_queued >= sk.sk_wmem_queued >> 1:
                mask |= POLLOUT | POLLWRNORM
            else:
                sk.sk_nospace = True
        else:
            mask |= POLLOUT | POLLWRNORM
        if sk.urg_data & TCP_URG_VALID:
            mask |= POLLPRI
    if sk.sk_err or sk.sk_error_queue:
        mask |= POLLERR
    return mask


def tcp_ioctl(sk: TcpSock, request: int, arg: bytearray) -> None:
    """Tell how many octets wait to be read (``SIOCINQ``), or to be acknowledged (``SIOCOUTQ``).

    Raises
    ------
    OSError
        ``EINVAL`` for a listener; ``ENOTTY`` for another request.
    """
    if request not in (SIOCINQ, SIOCOUTQ):
        sock_no_ioctl(sk, request, arg)
        return
    if 1 << sk.sk_state & TCPF_LISTEN:
        raise OSError(EINVAL, "the socket listens")
    if request == SIOCINQ:
        _INT.pack_into(arg, 0, tcp_inq(sk))
    else:
        connecting = 1 << sk.sk_state & _CONNECTING
        _INT.pack_into(arg, 0, 0 if connecting else sk.write_seq - sk.snd_una & 0xFFFFFFFF)


tcp_prot = Proto(
    "TCP",
    sendmsg=tcp_sendmsg,
    recvmsg=tcp_recvmsg,
    connect=tcp_v4_connect,
    get_port=inet_csk_get_port,
    unhash=inet_unhash,
    close=tcp_close,
    ioctl=tcp_ioctl,
    setsockopt=tcp_setsockopt,
    getsockopt=tcp_getsockopt,
    release_cb=tcp_release_cb,
    backlog_rcv=tcp_v4_do_rcv,
    keepalive=tcp_set_keepalive,
    hash=inet_hash,
    disconnect=tcp_disconnect,
    accept=inet_csk_accept,
    shutdown=tcp_shutdown,
    poll=tcp_poll,
    no_autobind=True,
)
