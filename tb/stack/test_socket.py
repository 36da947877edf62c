"""Sockets as programs see them: calls that sleep while others close or shut down, and addresses of all kinds."""

from errno import EBADF, EINVAL, EPIPE

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.skbuff import consume_skb
from hardwire.tb.stack.inet_host import MS, PEER, raises


def sleeping_sender(host):
    """Return a socket, and a function that sends on it while the send buffer is full."""
    host.dev.hold = True
    sock = host.socket()
    sock.connect(PEER)
    sock.setsockopt(api.SOL_SOCKET, api.SO_SNDBUF, 2304)
    while sock.sk.sk_wmem_alloc < sock.sk.sk_sndbuf:
        sock.send(bytes(500))
    return sock, lambda: sock.send(b"last")


def test_closing_waits_for_a_send_that_sleeps(host):
    sock, send = sleeping_sender(host)
    port = sock.getsockname()[1]

    def close_and_free():
        sock.close()
        for skb in host.dev.held:
            consume_skb(skb)
        host.dev.held.clear()

    host.platform.timer(host.platform.now_ns() + MS, close_and_free)
    assert send() == 4
    ports = {packet.payload[:2] for packet in host.packets()}
    assert ports == {port.to_bytes(2, "big")}
    for skb in host.dev.held:
        consume_skb(skb)
    with raises(EBADF):
        sock.send(b"")
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def test_a_shutdown_wakes_a_send_that_sleeps(host):
    sock, send = sleeping_sender(host)
    host.platform.timer(host.platform.now_ns() + MS, lambda: sock.shutdown(1))
    before = host.platform.now_ns()
    with raises(EPIPE):
        send()
    assert host.platform.now_ns() == before + MS


@pytest.mark.parametrize("port", [9.5, "9", None])
def test_a_port_that_is_no_integer_is_refused_before_anything_is_taken(host, port):
    with pytest.raises(TypeError):
        host.socket().sendto(b"x", ("10.0.0.2", port))
    host.check_memory()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_an_address_may_be_the_octets_of_a_sockaddr(host, kind):
    sockaddr = b"\x02\x00" + (9000).to_bytes(2, "big") + bytes([10, 0, 0, 2])
    for length in (16, 28, 128):
        assert host.socket().sendto(b"x", kind(sockaddr.ljust(length, b"\0"))) == 1
    for length in (8, 15, 129):
        with raises(EINVAL):
            host.socket().sendto(b"x", kind(sockaddr.ljust(length, b"\0")))
    assert len(host.packets()) == 3
