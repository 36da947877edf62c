"""The state of a connection, and its end (Linux: net/ipv4/tcp.c, inet_connection_sock.c, af_inet.c)."""

from typing import TYPE_CHECKING

from ..core.datagram import sock_def_error_report
from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import consume_skb, kfree_skb_reason, put_page
from ..core.sock import RCV_SHUTDOWN, SEND_SHUTDOWN, sk_dst_reset, sock_def_wakeup
from ..core.sock_mem import sk_mem_reclaim, sk_mem_uncharge
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_ESTABLISHED,
    TCP_SYN_RECV,
    TCP_SYN_SENT,
)
from .inet_connection_sock import inet_sk_set_state
from .inet_connection_sock_timer import inet_csk_clear_xmit_timers
from .inet_hashtables import inet_put_port, inet_unhash

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = [
    "inet_csk_destroy_sock",
    "sk_stream_kill_queues",
    "skb_rbtree_purge",
    "sock_orphan",
    "tcp_done",
    "tcp_done_with_error",
    "tcp_set_state",
    "tcp_skb_free",
    "tcp_v4_destroy_sock",
    "tcp_write_queue_purge",
]


def tcp_set_state(sk: "TcpSock", state: int) -> None:
    """Change the state of a connection, and count it; one that is closed is not found any more."""
    old = sk.sk_state
    mib = sk.net.mib
    if state == TCP_ESTABLISHED:
        if old != TCP_ESTABLISHED:
            mib["Tcp:CurrEstab"] += 1
    elif state == TCP_CLOSE:
        if old in (TCP_CLOSE_WAIT, TCP_ESTABLISHED):
            mib["Tcp:EstabResets"] += 1
        inet_unhash(sk)
        if sk.tcp_bind_hash and not sk.bind_port_locked:
            inet_put_port(sk)
    elif state == TCP_CLOSE_WAIT and old == TCP_SYN_RECV:
        mib["Tcp:CurrEstab"] += 1
    # A connection in CLOSE-WAIT counts as well (RFC 4022: tcpCurrEstab).
    if old in (TCP_ESTABLISHED, TCP_CLOSE_WAIT) and state not in (TCP_ESTABLISHED, TCP_CLOSE_WAIT):
        mib["Tcp:CurrEstab"] -= 1
    inet_sk_set_state(sk, state)


def tcp_skb_free(sk: "TcpSock", skb: "SkBuff") -> None:
    """Free a packet of the queues to send (``tcp_wmem_free_skb``)."""
    size = skb.truesize
    sk.sk_wmem_queued -= size
    sk_mem_uncharge(sk, size)
    consume_skb(skb)


def tcp_write_queue_purge(sk: "TcpSock") -> None:
    """Throw away what was not sent, and what was not acknowledged."""
    while sk.sk_write_queue:
        tcp_skb_free(sk, sk.sk_write_queue.popleft())
    while sk.tcp_rtx_queue:
        tcp_skb_free(sk, sk.tcp_rtx_queue.popleft())
    sk.packets_out = sk.sacked_out = sk.lost_out = sk.retrans_out = 0
    sk.icsk_backoff = 0


def skb_rbtree_purge(sk: "TcpSock") -> None:
    """Throw away what came too early."""
    for skb in sk.out_of_order_queue:
        kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    sk.out_of_order_queue.clear()


def sk_stream_kill_queues(sk: "TcpSock") -> None:
    """Throw away what a connection still has."""
    while sk.sk_receive_queue:
        kfree_skb_reason(sk.sk_receive_queue.popleft(), SkbDropReason.CONSUMED)
    while sk.sk_error_queue:
        kfree_skb_reason(sk.sk_error_queue.popleft(), SkbDropReason.CONSUMED)
    if sk.sk_frag is not None:
        put_page(sk.kernel, sk.sk_frag)
        sk.sk_frag = None
    sk_mem_reclaim(sk)


def tcp_v4_destroy_sock(sk: "TcpSock") -> None:
    """Give back what TCP has of a socket."""
    inet_csk_clear_xmit_timers(sk)
    tcp_write_queue_purge(sk)
    skb_rbtree_purge(sk)
    if sk.tcp_bind_hash:
        inet_put_port(sk)
    assert sk.sk_memory is not None
    sk.sk_memory.sockets_allocated -= 1


def inet_csk_destroy_sock(sk: "TcpSock") -> None:
    """End a socket that has neither a program nor a connection any more."""
    sk.destroyed = True
    tcp_v4_destroy_sock(sk)
    sk_stream_kill_queues(sk)
    sk.net.ipv4.tcp_hashinfo.orphan_count -= 1
    sk.sk_rx_dst = None
    sk_dst_reset(sk)


def tcp_done(sk: "TcpSock") -> None:
    """End a connection; its socket, too, if no program has it."""
    if sk.sk_state in (TCP_SYN_SENT, TCP_SYN_RECV):
        sk.net.mib["Tcp:AttemptFails"] += 1
    tcp_set_state(sk, TCP_CLOSE)
    inet_csk_clear_xmit_timers(sk)
    sk.sk_shutdown = RCV_SHUTDOWN | SEND_SHUTDOWN
    if not sk.dead:
        sock_def_wakeup(sk)
    else:
        inet_csk_destroy_sock(sk)


def tcp_done_with_error(sk: "TcpSock", error: int) -> None:
    """End a connection for a reason that the program learns."""
    sk.sk_err = error
    tcp_write_queue_purge(sk)
    tcp_done(sk)
    if not sk.dead:
        sock_def_error_report(sk)


def sock_orphan(sk: "TcpSock") -> None:
    """Part a socket from its program."""
    sk.dead = True
    sk.net.ipv4.tcp_hashinfo.orphan_count += 1
