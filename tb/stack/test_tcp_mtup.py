"""Ways that swallow long packets without a word: TCP finds the longest that pass (RFC 4821; ``tcp_mtu_probing``)."""

import pytest

from hardwire.stack import socket as api
from hardwire.stack.ipv4.tcp_cong import TCP_CA_OPEN
from hardwire.stack.ipv4.tcp_output_window import tcp_mss_to_mtu
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.tcp_memory import check_queues, check_tcp_memory
from hardwire.tb.stack.tcp_pair import TcpPair, seconds

THRESHOLD = 8


def probing(mode: int) -> TcpPair:
    """Return two hosts; a probes not at all (0), after timeouts (1) or always (2)."""
    pair = TcpPair()
    sysctl(pair.a.net, "net.ipv4.tcp_mtu_probing", mode)
    return pair


def black_hole(pair: TcpPair, mtu: int) -> None:
    """Let the way from a to b swallow packets that are longer."""
    pair.ab.choose = lambda frame: [] if len(frame) > 14 + mtu else [5 * MS]


def used_mtu(sock) -> int:
    return tcp_mss_to_mtu(sock.sk, sock.sk.mss_cache)


def lengths(pair: TcpPair) -> list[int]:
    """Return how long the packets were that a has sent since the last call."""
    found = [len(frame) - 14 for frame in pair.a.dev.sent]
    pair.a.dev.sent.clear()
    return found


@pytest.mark.parametrize(("mtu", "sack"), [(1100, 1), (1280, 0), (1280, 1), (1499, 1), (1500, 1)])
def test_probes_find_the_longest_packet_that_passes(mtu, sack):
    pair = probing(2)
    sysctl(pair.a.net, "net.ipv4.tcp_sack", sack)
    client, server = pair.connected()
    black_hole(pair, mtu)
    for _ in range(5):
        pair.transfer(client, server, 2_000_000)
        if client.sk.icsk_mtup_high - client.sk.icsk_mtup_low < THRESHOLD:
            break
    assert mtu - THRESHOLD < used_mtu(client) <= mtu
    mib = pair.a.mib
    assert mib["TcpExt:TCPMTUPSuccess"] > 0
    assert (mib["TcpExt:TCPMTUPFail"] > 0) == (mtu <= 1500 - THRESHOLD)
    assert mib["Tcp:RetransSegs"] >= 2 * mib["TcpExt:TCPMTUPFail"]  # Each is sent once more as two segments.
    if sack:
        assert mib["TcpExt:TCPTimeouts"] == 0  # A probe that is lost is seen at once,
        assert client.sk.snd_ssthresh >= 0x7FFFFFFF  # and says nothing of congestion.
    check_queues(client.sk)
    check_tcp_memory(pair.a.kernel)
    lengths(pair)
    pair.transfer(client, server, 300_000)
    assert max(lengths(pair)) <= 1500
    pair.finish(client, server)


def test_without_probing_nothing_longer_is_tried():
    pair = probing(1)
    client, server = pair.connected()
    pair.transfer(client, server, 1_000_000)
    assert pair.a.mib["TcpExt:TCPMTUPSuccess"] == pair.a.mib["TcpExt:TCPMTUPFail"] == 0
    assert used_mtu(client) == 1500
    pair.finish(client, server)


def test_a_black_hole_is_found_and_then_the_longest_packet_that_passes_it():
    """Timeouts tell that something is wrong (``tcp_retries1``); then segments have ``tcp_base_mss``, and grow again."""
    pair = probing(1)
    client, server = pair.connected()
    black_hole(pair, 1300)
    pair.transfer(client, server, 2_000_000)
    assert pair.a.mib["TcpExt:TCPTimeouts"] > 0
    assert pair.a.mib["TcpExt:TCPMTUPSuccess"] > 0
    assert 1300 - THRESHOLD < used_mtu(client) <= 1300
    assert client.sk.icsk_ca_state == TCP_CA_OPEN  # What was lost is all there.
    pair.finish(client, server)


def test_a_way_that_became_wider_is_found_after_a_while():
    pair = probing(2)
    sysctl(pair.a.net, "net.ipv4.tcp_probe_interval", 60)
    client, server = pair.connected()
    black_hole(pair, 1200)
    pair.transfer(client, server, 2_000_000)
    assert used_mtu(client) <= 1200
    black_hole(pair, 1500)
    pair.transfer(client, server, 1_000_000)
    assert used_mtu(client) <= 1200
    pair.run(seconds(61))
    pair.transfer(client, server, 3_000_000)
    assert used_mtu(client) > 1500 - THRESHOLD
    pair.finish(client, server)


def test_how_near_the_search_comes_is_a_setting():
    pair = probing(2)
    sysctl(pair.a.net, "net.ipv4.tcp_probe_threshold", 200)
    client, server = pair.connected()
    black_hole(pair, 1280)
    pair.transfer(client, server, 2_000_000)
    assert pair.a.mib["TcpExt:TCPMTUPSuccess"] + pair.a.mib["TcpExt:TCPMTUPFail"] == 2
    pair.finish(client, server)


def test_a_probe_needs_enough_behind_it():
    pair = probing(2)
    client, server = pair.connected()
    client.setsockopt(api.SOL_TCP, api.TCP_NODELAY, 1)
    for _ in range(50):
        client.send(b"x" * 3000)
        pair.run(20 * MS)
        assert len(server.recv(5000)) == 3000
    assert pair.a.mib["TcpExt:TCPMTUPSuccess"] == 0
    pair.finish(client, server)
