"""What the sockets of a host have of its memory, counted anew from their queues."""

from hardwire.stack.core.net import Kernel, Net
from hardwire.stack.core.skbuff import PAGE_SIZE
from hardwire.stack.core.tcp_states import TCP_LISTEN
from hardwire.stack.ipv4.tcp_defs import TCPCB_LOST, TCPCB_SACKED_ACKED, TCPCB_SACKED_RETRANS, before
from hardwire.stack.ipv4.tcp_sock import TcpSock
from hardwire.stack.sysctl import sysctl

__all__ = ["check_queues", "check_tcp_memory", "dropped", "set_tcp_mem", "tcp_sockets"]


def set_tcp_mem(net: Net, low: int, pressure: int, most: int) -> None:
    """Limit the memory of all connections, in pages."""
    sysctl(net, "net.ipv4.tcp_mem", f"{low} {pressure} {most}")


def dropped(kernel: Kernel, reason: str) -> int:
    """Return how many packets were dropped for a reason."""
    return kernel.drop_counts().get(reason, 0)


def tcp_sockets(kernel: Kernel) -> list[TcpSock]:
    """Return every socket of a host: of programs, of connections, and of listeners with what they did not accept."""
    found: dict[int, TcpSock] = {}
    for net in {kernel.init_net, *(file.net for file in kernel.files.values())}:
        info = net.ipv4.tcp_hashinfo
        listeners = [sk for port in info.lhash.values() for sk in port]
        waiting = [sk for listener in listeners for sk in listener.icsk_accept_queue]
        for sk in [*info.ehash.values(), *listeners, *waiting, *(file.sk for file in kernel.files.values())]:
            if isinstance(sk, TcpSock):
                found[id(sk)] = sk
    return list(found.values())


def check_queues(sk: TcpSock) -> None:
    """Check that what a socket counts is what its queues hold."""
    rtx = [skb.cb for skb in sk.tcp_rtx_queue]
    assert sk.packets_out == sum(cb.segs for cb in rtx)
    assert sk.lost_out == sum(cb.segs for cb in rtx if cb.sacked & TCPCB_LOST)
    assert sk.retrans_out == sum(cb.segs for cb in rtx if cb.sacked & TCPCB_SACKED_RETRANS)
    if sk.rx_opt.sack_ok:
        assert sk.sacked_out == sum(cb.segs for cb in rtx if cb.sacked & TCPCB_SACKED_ACKED)
    assert 0 <= sk.sacked_out + sk.lost_out <= sk.packets_out
    for first, second in zip(rtx, rtx[1:], strict=False):
        assert first.end_seq == second.seq
    early = [skb.cb for skb in sk.out_of_order_queue]
    for first, second in zip(early, early[1:], strict=False):
        assert before(first.seq, second.seq)
    queued = [*sk.sk_receive_queue, *sk.out_of_order_queue]
    sending = [*sk.sk_write_queue, *sk.tcp_rtx_queue]
    assert sk.sk_rmem_alloc == sum(skb.truesize for skb in (*queued, *sk.sk_error_queue))
    assert sk.sk_wmem_queued == sum(skb.truesize for skb in sending)
    assert 0 <= sk.sk_forward_alloc


def check_tcp_memory(kernel: Kernel) -> int:
    """Check that the pages of all sockets hold exactly what those have; return their number."""
    sockets = tcp_sockets(kernel)
    total = 0
    for sk in sockets:
        if sk.sk_state != TCP_LISTEN:
            check_queues(sk)
        queued = (*sk.sk_receive_queue, *sk.out_of_order_queue)
        total += sk.sk_forward_alloc + sk.sk_wmem_queued + sum(skb.truesize for skb in queued)
    memory = kernel.proto_memory["TCP"]
    assert memory.memory_allocated * PAGE_SIZE == total
    assert memory.sockets_allocated == sum(not sk.destroyed for sk in sockets)
    return memory.memory_allocated
