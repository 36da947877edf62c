"""Transfers over a cable that loses, doubles and reorders frames: what arrives is what was sent, and not too late."""

import os

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_napi import napi_schedule
from hardwire.stack.core.dev_register import dev_set_mtu
from hardwire.stack.core.softirq import run_in_irq
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.tcp_pair import PORT, TcpPair

SEEDS = [int(os.environ["HARDWIRE_SEED"])] if "HARDWIRE_SEED" in os.environ else range(1, 5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
@pytest.mark.parametrize("sack", [0, 1])
def test_what_arrives_over_a_bad_cable_is_what_was_sent(seed, congestion, sack):
    print(f"HARDWIRE_SEED={seed}")
    pair = TcpPair(seed)
    for host in (pair.a, pair.b):
        sysctl(host.net, "net.ipv4.tcp_congestion_control", congestion)
        sysctl(host.net, "net.ipv4.tcp_sack", sack)
        sysctl(host.net, "net.ipv4.tcp_timestamps", seed % 2)
    client, server = pair.connected()
    pair.faults(delay_ns=20 * MS, loss=0.02, reorder=0.05, double=0.02)
    pair.transfer(client, server, 300_000, back=100_000)
    assert pair.ab.lost + pair.ba.lost > 0
    for mib in (pair.a.mib, pair.b.mib):
        named = mib["TcpExt:TCPFastRetrans"] + mib["TcpExt:TCPSlowStartRetrans"]
        assert named <= mib["Tcp:RetransSegs"]
    assert pair.a.mib["Tcp:RetransSegs"] + pair.b.mib["Tcp:RetransSegs"] > 0
    pair.finish(client, server)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_very_bad_cable_only_takes_longer(seed):
    print(f"HARDWIRE_SEED={seed}")
    pair = TcpPair(seed)
    client, server = pair.connected()
    pair.faults(delay_ns=10 * MS, loss=0.2, reorder=0.2, double=0.1)
    pair.transfer(client, server, 40_000, back=10_000, limit_s=3000)
    pair.finish(client, server)


def test_one_loss_in_a_window_is_repaired_without_a_timeout():
    pair = TcpPair()
    client, server = pair.connected()
    pair.transfer(client, server, 100_000)
    pair.ab.lose(10, longer_than=1000)
    pair.transfer(client, server, 100_000)
    mib = pair.a.mib
    assert (pair.ab.lost, mib["Tcp:RetransSegs"]) == (1, 1)
    assert (mib["TcpExt:TCPSackRecovery"], mib["TcpExt:TCPFastRetrans"], mib["TcpExt:TCPTimeouts"]) == (1, 1, 0)
    pair.finish(client, server)


def test_without_sack_three_duplicate_acks_repair_it():
    pair = TcpPair()
    sysctl(pair.a.net, "net.ipv4.tcp_sack", 0)
    client, server = pair.connected()
    pair.transfer(client, server, 100_000)
    pair.ab.lose(10, longer_than=1000)
    pair.transfer(client, server, 100_000)
    mib = pair.a.mib
    assert (mib["TcpExt:TCPRenoRecovery"], mib["TcpExt:TCPTimeouts"], mib["Tcp:RetransSegs"]) == (1, 0, 1)
    pair.finish(client, server)


def test_a_lost_tail_is_found_by_a_probe():
    pair = TcpPair()
    client, server = pair.connected()
    pair.transfer(client, server, 20_000)
    pair.ab.lose(3, 4, longer_than=500)
    start = pair.platform.now_ns()
    pair.transfer(client, server, 4 * 1448)
    mib = pair.a.mib
    assert (mib["TcpExt:TCPLossProbes"], mib["TcpExt:TCPTimeouts"]) == (1, 0)
    assert pair.platform.now_ns() - start < 100 * MS
    pair.finish(client, server)


def test_a_single_lost_packet_is_repaired_by_the_probe_itself():
    pair = TcpPair()
    client, server = pair.connected()
    pair.transfer(client, server, 20_000)
    pair.run(100 * MS)
    pair.ab.choose = lambda _: []
    client.send(b"x")
    pair.run(10 * MS)
    pair.ab.choose = lambda _: [5 * MS]
    assert server.recv(1) == b"x"
    pair.run(300 * MS)
    mib = pair.a.mib
    assert (mib["TcpExt:TCPLossProbes"], mib["TcpExt:TCPTimeouts"], mib["Tcp:RetransSegs"]) == (1, 0, 1)
    pair.finish(client, server)


def test_a_delay_that_looks_like_a_loss_is_undone():
    pair = TcpPair(delay_ns=20 * MS)
    sysctl(pair.a.net, "net.ipv4.tcp_early_retrans", 0)  # So that it is the timeout that comes too early.
    client, server = pair.connected()
    pair.transfer(client, server, 200_000)
    window = client.sk.snd_cwnd
    pair.ab.choose = lambda _: [700 * MS]  # Longer than the timeout, once.
    client.send(b"x" * 14480)
    pair.run(10 * MS)
    pair.ab.choose = lambda _: [20 * MS]
    got = 0
    while got < 14480:
        got += len(server.recv(100000))
    pair.run(1000 * MS)
    mib = pair.a.mib
    assert mib["TcpExt:TCPTimeouts"] >= 1
    assert mib["TcpExt:TCPSpuriousRTOs"] + mib["TcpExt:TCPLossUndo"] + mib["TcpExt:TCPDSACKUndo"] >= 1
    assert client.sk.snd_cwnd >= min(window, 10)
    pair.finish(client, server)


def test_a_duplicate_is_told_of_by_dsack():
    pair = TcpPair()
    client, server = pair.connected()
    pair.ab.choose = lambda frame: [5 * MS, 6 * MS] if len(frame) > 1000 else [5 * MS]
    pair.transfer(client, server, 5000)
    pair.run(100 * MS)
    assert pair.b.mib["TcpExt:TCPDSACKOldSent"] > 0
    assert pair.a.mib["TcpExt:TCPDSACKRecv"] > 0
    pair.finish(client, server)


def test_a_path_of_a_smaller_mtu_gets_shorter_segments():
    pair = TcpPair()
    client, server = pair.connected()
    server.setsockopt(api.SOL_TCP, api.TCP_MAXSEG, 0)
    client.setsockopt(api.SOL_TCP, api.TCP_NODELAY, 1)
    pair.b.dev.sent.clear()
    pair.a.dev.sent.clear()
    dev_set_mtu(pair.a.dev, 600)
    pair.transfer(client, server, 50_000)
    assert max(map(len, pair.a.dev.sent)) == 614
    pair.finish(client, server)


def test_data_that_comes_in_one_list_with_the_ack_of_the_handshake_is_received():
    # All of a list are demultiplexed first: both find the request (kernel: req_stolen of tcp_check_req()).
    pair = TcpPair()
    listener = pair.listener()
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.connect(("10.0.0.2", PORT))
    pair.run(18 * MS)  # ARP took 10 of them; the SYN-ACK is on its way.
    held: list[bytes] = []
    pair.ab.choose = lambda frame: held.append(frame) or []
    pair.run(4 * MS)
    client.send(b"hello")
    pair.run(MS)
    assert len(held) == 2

    def arrive() -> None:
        pair.b.dev.arrived.extend(held)
        napi_schedule(pair.b.dev.napi)

    run_in_irq(pair.b.kernel, arrive)
    pair.ab.choose = lambda _: [5 * MS]
    server, _ = listener.accept()
    server.setblocking(False)
    assert server.recv(10) == b"hello"
    assert (pair.b.mib["Tcp:PassiveOpens"], pair.b.mib["Tcp:AttemptFails"]) == (1, 0)
    listener.close()
    pair.finish(client, server)
