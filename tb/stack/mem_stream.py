"""A stream protocol in the memory of one host, with the states and errors of TCP but no packets: for stream sockets."""

from collections.abc import Callable
from errno import EAFNOSUPPORT, EAGAIN, ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE
from os import strerror

from hardwire.stack.core.datagram import sock_def_error_report, sock_def_readable, sock_rcvtimeo
from hardwire.stack.core.msghdr import copy_from_iter
from hardwire.stack.core.sock import (
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    SOCK_LINGER,
    Proto,
    lock_sock_nested,
    release_sock,
    sk_dst_set,
    sock_def_wakeup,
    sock_error,
    sock_sndtimeo,
)
from hardwire.stack.core.tcp_states import (
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_SYN_SENT,
    TCPF_CLOSE_WAIT,
    TCPF_ESTABLISHED,
)
from hardwire.stack.ipv4.af_inet_stream import inet_stream_ops
from hardwire.stack.ipv4.fib_frontend import inet_addr_type
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.ipv4.inet_connection_sock import (
    InetConnectionSock,
    inet_csk_accept,
    inet_csk_listen_stop,
    inet_csk_reqsk_queue_add,
    inet_sk_set_state,
    sk_acceptq_is_full,
)
from hardwire.stack.ipv4.inet_protosw import INET_PROTOSW_PERMANENT, InetProtosw, inet_register_protosw
from hardwire.stack.ipv4.ip_sockglue import ip_getsockopt, ip_setsockopt
from hardwire.stack.ipv4.route import ip_route_output_ports
from hardwire.stack.ipv4.rtnetlink import RtType
from hardwire.stack.uapi import (
    AF_INET,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRNORM,
    SOCK_STREAM,
)

__all__ = ["MemSock", "MemStream"]

_BOTH = RCV_SHUTDOWN | SEND_SHUTDOWN
_STEP_NS = 1000
_RETRY_NS = 1_000_000_000


class MemSock(InetConnectionSock):
    """A socket of it: ``rx`` are octets that came, ``done`` that no more come."""

    def __init__(self, net, family, type, protocol, prot) -> None:
        super().__init__(net, family, type, protocol, prot)
        self.peer: MemSock | None = None
        self.rx = bytearray()
        self.done = False
        self.backlog: list[Callable[[], None]] = []


class MemStream:
    """The protocol of one namespace, registered as TCP would be.

    ``window`` is how many octets a receiver takes before its program has read them.
    """

    def __init__(self, net, window: int = 1 << 20) -> None:
        self.net = net
        self.platform = net.kernel.platform
        self.window = window
        self.bound: dict[int, list[MemSock]] = {}
        self.listeners: list[MemSock] = []
        self.next_port = 40000
        self.prot = Proto(
            "MEM",
            sendmsg=self.sendmsg,
            recvmsg=self.recvmsg,
            connect=self.connect,
            get_port=self.get_port,
            unhash=self.unhash,
            close=self.close,
            setsockopt=ip_setsockopt,
            getsockopt=ip_getsockopt,
            release_cb=self.release_cb,
            hash=self.hash,
            disconnect=self.disconnect,
            accept=inet_csk_accept,
            shutdown=self.shutdown,
            poll=self.poll,
            no_autobind=True,
        )
        for answer in net.ipv4.inetsw[SOCK_STREAM].copy():
            net.ipv4.inetsw[SOCK_STREAM].remove(answer)  # TCP's, in whose place it is.
        inet_register_protosw(
            net, InetProtosw(SOCK_STREAM, IPPROTO_TCP, self.make, inet_stream_ops, INET_PROTOSW_PERMANENT)
        )

    def make(self, net, family: int, type: int, protocol: int) -> MemSock:
        return MemSock(net, family, type, protocol, self.prot)

    # What comes to a socket, a step later; while a task has the lock it waits.

    def later(self, sk: MemSock, event: Callable[[], None], ns: int = _STEP_NS) -> None:
        def arrive() -> None:
            if sk.sk_owned:
                sk.backlog.append(event)
            else:
                event()

        self.platform.timer(self.platform.now_ns() + ns, arrive)

    def release_cb(self, sk: MemSock) -> None:
        while sk.backlog:
            sk.backlog.pop(0)()

    # Ports.

    def get_port(self, sk: MemSock, port: int) -> int:
        while not port:
            self.next_port += 1
            port = 0 if self.bound.get(self.next_port) else self.next_port
        for other in self.bound.get(port, []):
            apart = sk.inet_rcv_saddr and other.inet_rcv_saddr and sk.inet_rcv_saddr != other.inet_rcv_saddr
            shared = sk.sk_reuse and other.sk_reuse and other.sk_state != TCP_LISTEN
            if other is not sk and not apart and not shared:
                return 1
        if sk.inet_num != port:
            self.bound.setdefault(port, []).append(sk)
        sk.inet_num = port
        return 0

    def unhash(self, sk: MemSock) -> None:
        if sk in self.bound.get(sk.inet_num, []):
            self.bound[sk.inet_num].remove(sk)
        sk.inet_num = 0

    def hash(self, sk: MemSock) -> int:
        self.listeners.append(sk)
        return 0

    # Connections.

    def connect(self, sk: MemSock, address) -> int:
        family, daddr, dport = address
        if family != AF_INET:
            raise OSError(EAFNOSUPPORT, "not an IPv4 address")
        fl = Flowi4()
        rt = ip_route_output_ports(
            self.net, fl, sk, daddr, sk.inet_saddr, dport, sk.inet_num, IPPROTO_TCP, 0, sk.sk_bound_dev_if
        )
        if not sk.inet_num:
            self.get_port(sk, 0)
        sk.inet_saddr = sk.inet_rcv_saddr = sk.inet_saddr or fl.saddr
        sk.inet_daddr, sk.inet_dport = fl.daddr, dport
        sk_dst_set(sk, rt)
        sk.done = False
        sk.sk_err = 0
        inet_sk_set_state(sk, TCP_SYN_SENT)
        self.later(sk, lambda: self.syn(sk))
        return 0

    def syn(self, sk: MemSock) -> None:
        if sk.sk_state != TCP_SYN_SENT or inet_addr_type(self.net, sk.inet_daddr) != RtType.LOCAL:
            return  # Over; or nobody answers from there.
        for listener in self.listeners:
            if listener.inet_num == sk.inet_dport and listener.inet_rcv_saddr in (0, sk.inet_daddr):
                break
        else:
            self.reset(sk)
            return
        if sk_acceptq_is_full(listener):
            self.later(sk, lambda: self.syn(sk), _RETRY_NS)
            return
        child = self.make(self.net, AF_INET, SOCK_STREAM, IPPROTO_TCP)
        child.inet_num, child.inet_dport = sk.inet_dport, sk.inet_num
        child.inet_saddr, child.inet_daddr = sk.inet_daddr, sk.inet_saddr
        child.inet_rcv_saddr = child.inet_saddr
        child.peer, sk.peer = sk, child
        for one in (child, sk):
            inet_sk_set_state(one, TCP_ESTABLISHED)
        inet_csk_reqsk_queue_add(listener, child)
        sock_def_wakeup(sk)

    def over(self, sk: MemSock) -> None:
        """End a connection on this side."""
        inet_sk_set_state(sk, TCP_CLOSE)
        sk.sk_shutdown = _BOTH
        sk.peer = None
        if not sk.bind_port_locked:
            self.unhash(sk)
        sock_def_wakeup(sk)

    def reset(self, sk: MemSock) -> None:
        """Receive an RST."""
        if sk.sk_state == TCP_CLOSE:
            return
        sk.sk_err = {TCP_SYN_SENT: ECONNREFUSED, TCP_CLOSE_WAIT: EPIPE}.get(sk.sk_state, ECONNRESET)
        self.over(sk)
        sock_def_error_report(sk)

    def send_reset(self, sk: MemSock) -> None:
        peer, sk.peer = sk.peer, None
        if peer is not None:
            self.later(peer, lambda: self.reset(peer))

    def send_fin(self, sk: MemSock, state: int) -> None:
        inet_sk_set_state(sk, state)
        peer = sk.peer
        if peer is not None:
            self.later(peer, lambda: self.fin(peer, sk))

    def fin(self, sk: MemSock, peer: MemSock) -> None:
        """Receive a FIN; what the peer's state becomes by the acknowledgement follows."""
        if sk.sk_state == TCP_CLOSE:
            return
        sk.done = True
        sk.sk_shutdown |= RCV_SHUTDOWN
        if sk.sk_state == TCP_ESTABLISHED:
            inet_sk_set_state(sk, TCP_CLOSE_WAIT)
        else:
            self.over(sk)  # By TIME_WAIT, which is not the socket's any more.
        sock_def_wakeup(sk)
        if peer.sk_state == TCP_FIN_WAIT1:
            inet_sk_set_state(peer, TCP_FIN_WAIT2)
        elif peer.sk_state == TCP_LAST_ACK:
            self.over(peer)

    def shutdown(self, sk: MemSock, how: int) -> None:
        if how & SEND_SHUTDOWN and 1 << sk.sk_state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT):
            self.send_fin(sk, TCP_FIN_WAIT1 if sk.sk_state == TCP_ESTABLISHED else TCP_LAST_ACK)

    def stop_listening(self, sk: MemSock) -> None:
        self.listeners.remove(sk)
        inet_sk_set_state(sk, TCP_CLOSE)
        inet_csk_listen_stop(sk)

    def disconnect(self, sk: MemSock, flags: int) -> None:
        if sk.sk_state == TCP_LISTEN:
            self.stop_listening(sk)
        elif sk.sk_state != TCP_CLOSE:
            if sk.sk_state != TCP_LAST_ACK:
                sk.sk_err = ECONNRESET
            self.send_reset(sk)
        inet_sk_set_state(sk, TCP_CLOSE)
        if not sk.bind_port_locked:
            self.unhash(sk)
        if not sk.bind_addr_locked:
            sk.inet_saddr = sk.inet_rcv_saddr = 0
        sk.inet_daddr = sk.inet_dport = sk.sk_shutdown = 0
        sk.rx.clear()
        sk.done = False
        sock_def_error_report(sk)

    def close(self, sk: MemSock) -> None:
        lock_sock_nested(sk)
        sk.sk_shutdown = _BOTH
        if sk.sk_state == TCP_LISTEN:
            self.stop_listening(sk)
        elif sk.rx or (sk.sk_flags & SOCK_LINGER and not sk.sk_lingertime) or sk.sk_state == TCP_SYN_SENT:
            self.send_reset(sk)
            inet_sk_set_state(sk, TCP_CLOSE)
        else:
            self.shutdown(sk, _BOTH)
        self.unhash(sk)
        sock_def_wakeup(sk)
        release_sock(sk)

    # Octets.

    def wait(self, sk: MemSock, deadline_ns: int | None) -> None:
        if deadline_ns is not None and self.platform.now_ns() >= deadline_ns:
            raise OSError(EAGAIN, "not now")
        release_sock(sk)
        sk.sk_sleepers += 1
        self.platform.wait(sk.sk_wq, deadline_ns)
        sk.sk_sleepers -= 1
        lock_sock_nested(sk)

    def deadline(self, timeo: int | None) -> int | None:
        return None if timeo is None else self.platform.now_ns() + timeo

    def sendmsg(self, sk: MemSock, msg, size: int) -> int:
        lock_sock_nested(sk)
        try:
            deadline_ns = self.deadline(sock_sndtimeo(sk, msg.flags & MSG_DONTWAIT != 0))
            while True:
                if sk.sk_err:
                    error = -sock_error(sk)
                    raise OSError(error, strerror(error))
                if sk.sk_state == TCP_SYN_SENT:
                    self.wait(sk, deadline_ns)
                elif sk.sk_shutdown & SEND_SHUTDOWN:
                    raise OSError(EPIPE, "shut down")
                elif sk.peer is None or not 1 << sk.sk_state & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT):
                    raise OSError(EPIPE, "not connected")
                elif len(sk.peer.rx) < self.window:
                    break
                else:
                    self.wait(sk, deadline_ns)
            peer = sk.peer
            octets = bytearray(min(size, self.window - len(peer.rx)))
            copy_from_iter(msg, memoryview(octets), 0, len(octets))
            self.later(peer, lambda: self.data(peer, octets))
            return len(octets)
        finally:
            release_sock(sk)

    def data(self, sk: MemSock, octets: bytearray) -> None:
        """Receive octets; a program that has ended both ways cannot take them."""
        if sk.sk_state == TCP_CLOSE:
            return
        if sk.sk_shutdown == _BOTH:
            self.send_reset(sk)
            self.reset(sk)
            return
        sk.rx += octets
        sock_def_readable(sk)

    def recvmsg(self, sk: MemSock, msg, size: int, flags: int) -> int:
        lock_sock_nested(sk)
        try:
            if sk.sk_state == TCP_LISTEN:
                raise OSError(ENOTCONN, "it listens")
            deadline_ns = self.deadline(sock_rcvtimeo(sk, flags & MSG_DONTWAIT != 0))
            while not sk.rx:
                if sk.done:
                    return 0
                if sk.sk_err:
                    error = -sock_error(sk)
                    raise OSError(error, strerror(error))
                if sk.sk_shutdown & RCV_SHUTDOWN:
                    return 0
                if sk.sk_state == TCP_CLOSE:
                    raise OSError(ENOTCONN, "not connected")
                self.wait(sk, deadline_ns)
            msg.octets = bytes(sk.rx[:size])
            del sk.rx[:size]
            if sk.peer is not None:
                sock_def_wakeup(sk.peer)  # There is room again.
            return len(msg.octets)
        finally:
            release_sock(sk)

    def poll(self, sk: MemSock) -> int:
        if sk.sk_state == TCP_LISTEN:
            return POLLIN | POLLRDNORM if sk.icsk_accept_queue else 0
        mask = POLLERR if sk.sk_err else 0
        if sk.sk_shutdown == _BOTH or sk.sk_state == TCP_CLOSE:
            mask |= POLLHUP
        if sk.sk_shutdown & RCV_SHUTDOWN:
            mask |= POLLIN | POLLRDNORM | POLLRDHUP
        if sk.sk_state != TCP_SYN_SENT:
            if sk.rx:
                mask |= POLLIN | POLLRDNORM
            if sk.sk_shutdown & SEND_SHUTDOWN or sk.peer is None or len(sk.peer.rx) < self.window:
                mask |= POLLOUT | POLLWRNORM
        return mask
