"""Calls of stream sockets that are Python's: all of it sent, an errno returned."""

from errno import ECONNREFUSED, EISCONN

import pytest

from hardwire.stack import socket as api
from hardwire.tb.stack.tcp_pair import TcpPair, seconds


@pytest.fixture
def pair():
    return TcpPair()


def test_all_of_it_is_sent_in_as_many_calls_as_needed(pair):
    client, server = pair.connected()
    client.setsockopt(api.SOL_SOCKET, api.SO_SNDBUF, 4096)
    text = bytes(range(250)) * 200
    client.settimeout(5)
    client.sendall(memoryview(text).cast("H"))
    client.sendall(b"")
    client.shutdown(api.SHUT_WR)
    got = b""
    while octets := server.recv(100_000):
        got += octets
    assert got == text
    pair.finish(client, server)


def test_all_calls_together_wait_no_longer_than_one_may(pair):
    client, server = pair.connected()
    client.settimeout(0.5)
    start = pair.platform.now_ns()
    with pytest.raises(TimeoutError):
        client.sendall(bytes(20_000_000))
    assert pair.platform.now_ns() - start == seconds(0.5)
    assert client.sk.sk_sndtimeo == seconds(0.5)
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.sendall(bytes(20_000_000))
    for sock in (client, server):  # Neither is to wait for what nobody reads.
        sock.setsockopt(api.SOL_SOCKET, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.finish(client, server)


def test_connecting_may_return_an_errno(pair):
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    assert client.connect_ex(("10.0.0.2", 9)) == ECONNREFUSED
    listener = pair.listener()
    assert client.connect_ex(listener.getsockname()) == 0
    assert client.connect_ex(listener.getsockname()) == EISCONN
    pair.finish(client, listener)
