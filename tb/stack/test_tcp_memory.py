"""Memory of connections: its limits, and what happens there (``tcp_mem``, ``udp_mem``)."""

import tracemalloc
from errno import EAGAIN, EINVAL
from hashlib import sha256

import pytest

from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.core.net import Kernel, Net
from hardwire.stack.core.skbuff import PAGE_SIZE
from hardwire.stack.proc import proc_net
from hardwire.stack.sysctl import sysctl, sysctl_names
from hardwire.tb.stack.inet_host import MS, InetHost, raises
from hardwire.tb.stack.tcp_memory import check_tcp_memory, dropped, set_tcp_mem, tcp_sockets
from hardwire.tb.stack.tcp_pair import PORT, Scripted, TcpPair, seconds

MOST_TRUESIZE = 2690 + PAGE_SIZE  # Of a packet that came, rounded up.


@pytest.fixture
def pair():
    return TcpPair()


@pytest.fixture
def peer():
    return Scripted()


def memory_of(host):
    return host.kernel.proto_memory["TCP"]


def write_all(sock, octets: bytes) -> int:
    """Write until nothing more is taken; return how much was."""
    taken = 0
    sock.setblocking(False)
    while taken < len(octets):
        try:
            taken += sock.send(octets[taken : taken + 65536])
        except BlockingIOError:
            break
    return taken


def read_all(sock) -> bytes:
    """Read what is there."""
    sock.setblocking(False)
    octets = b""
    while True:
        try:
            part = sock.recv(1 << 20)
        except BlockingIOError:
            return octets
        if not part:
            return octets
        octets += part


def test_the_limits_follow_from_the_memory_of_the_host(peer):
    assert sysctl(peer.net, "net.ipv4.tcp_mem") == "49152\t65536\t98304"  # 4 GiB
    assert sysctl(peer.net, "net.ipv4.udp_mem") == "98304\t131072\t196608"
    small = Kernel(World().host()).init_net  # 64 MiB
    assert sysctl(small, "net.ipv4.tcp_mem") == "768\t1024\t1536"


def test_the_limits_are_those_of_the_host_and_set_in_its_first_namespace(peer):
    set_tcp_mem(peer.net, 1, 2, 3)
    assert peer.host.kernel.proto_memory["TCP"].sysctl_mem == (1, 2, 3)
    with raises(EINVAL):
        sysctl(peer.net, "net.ipv4.tcp_mem", "1 x 3")
    other = Net(peer.host.kernel)
    assert "net.ipv4.tcp_mem" not in sysctl_names(other)
    with raises(2):
        sysctl(other, "net.ipv4.tcp_mem")


def test_memory_is_counted_by_pages_and_shown(pair):
    client, server = pair.connected()
    client.send(b"x" * 30_000)
    pair.run(seconds(1))
    pages = check_tcp_memory(pair.b.kernel)
    assert pages >= 30_000 // PAGE_SIZE
    tcp = next(line for line in proc_net(pair.b.net, "sockstat").splitlines() if line.startswith("TCP"))
    assert tcp == f"TCP: inuse 1 orphan 0 tw 0 alloc 1 mem {pages}"
    assert server.recv(30_000) == b"x" * 30_000
    assert check_tcp_memory(pair.b.kernel) == check_tcp_memory(pair.a.kernel) == 0
    pair.finish(client, server)
    assert memory_of(pair.a).sockets_allocated == memory_of(pair.b).sockets_allocated == 0


def test_a_slow_reader_stops_a_fast_writer_and_not_the_memory_of_the_process(pair):
    """100 MB are offered; what is taken fits the buffers of both, and so does what Python has."""
    client, server = pair.connected()
    block = b"x" * 65536
    client.setblocking(False)
    tracemalloc.start()
    try:
        taken = 0
        for _ in range(1600):
            try:
                taken += client.send(block)
            except BlockingIOError:
                pair.run(10 * MS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    buffers = server.sk.sk_rcvbuf + client.sk.sk_sndbuf
    assert taken < buffers
    assert server.sk.sk_rmem_alloc <= server.sk.sk_rcvbuf + MOST_TRUESIZE
    assert client.sk.sk_wmem_queued <= client.sk.sk_sndbuf + 65536
    assert peak < 3 * buffers  # The octets, the memory that they lie in, and Python's objects.
    assert sum(len(buffer.view) for buffer in pair.platform.buffers.values()) < 2 * buffers
    assert len(read_all(server)) > 0
    pair.run(seconds(1))
    assert client.send(block) == len(block)


def test_connections_together_stay_within_the_limit_and_go_on(pair):
    """40 connections whose readers sleep have no more than tcp_mem, though each alone might have all of it."""
    listener = pair.listener(backlog=50)
    set_tcp_mem(pair.b.net, 192, 256, 384)
    ends = []
    for _ in range(40):
        client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
        client.connect(("10.0.0.2", PORT))
        ends.append((client, listener.accept()[0]))
    octets = pair.random.randbytes(100_000)
    sent = [0] * len(ends)
    hashes = [sha256() for _ in ends]
    got = [0] * len(ends)
    most = 0
    for turn in range(4000):
        for n, (client, server) in enumerate(ends):
            sent[n] += write_all(client, octets[sent[n] :])
            if turn > 40:  # Until then nobody reads.
                part = read_all(server)
                hashes[n].update(part)
                got[n] += len(part)
        pair.run(5 * MS)
        most = max(most, check_tcp_memory(pair.b.kernel))
        if got == [len(octets)] * len(ends):
            break
    assert got == [len(octets)] * len(ends)
    assert {h.hexdigest() for h in hashes} == {sha256(octets).hexdigest()}
    # A connection whose program has nothing to read takes one packet in any case.
    assert 256 < most <= 384 + len(ends) * -(-MOST_TRUESIZE // PAGE_SIZE)
    mib = pair.b.mib
    assert mib["TcpExt:TCPMemoryPressures"] >= 1
    assert mib["TcpExt:TCPMemoryPressuresChrono"] > 0
    assert mib["TcpExt:TCPRcvQDrop"] + mib["TcpExt:TCPOFODrop"] == dropped(pair.b.kernel, "PROTO_MEM") > 0
    assert memory_of(pair.b).memory_pressure == 0
    pair.finish(listener, *(sock for end in ends for sock in end))


def test_a_writer_waits_for_memory_that_others_have(pair):
    client, server = pair.connected()
    other = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener = pair.listener(port=PORT + 1)
    other.connect(("10.0.0.2", PORT + 1))
    reader, _ = listener.accept()
    pair.a.kernel.proto_memory["TCP"].sysctl_mem = (1, 2, 3)
    taken = write_all(client, b"x" * 500_000)
    assert 0 < taken < 50_000  # tcp_wmem[0] at least.
    with raises(EAGAIN):
        client.send(b"x")
    assert pair.a.mib["TcpExt:TCPMemoryPressures"] == 1
    other.settimeout(20)
    before_ns = pair.platform.now_ns()
    for _ in range(40):
        other.send(b"y" * 500)  # tcp_wmem[0] at a time; then it waits until that is acknowledged.
    assert pair.platform.now_ns() > before_ns
    pair.run(seconds(1))
    assert len(read_all(server)) == taken
    assert len(read_all(reader)) == 20_000
    check_tcp_memory(pair.a.kernel)
    pair.a.kernel.proto_memory["TCP"].sysctl_mem = (1000, 2000, 3000)
    client.setblocking(True)
    client.send(b"z" * 10_000)
    pair.run(seconds(1))
    assert pair.a.mib["TcpExt:TCPMemoryPressuresChrono"] > 0
    pair.finish(client, server, other, reader, listener)


def test_a_writer_waits_when_the_host_has_no_memory_at_all(pair):
    client, server = pair.connected()
    client.setblocking(False)
    pair.platform.fail_kmalloc = 0
    with raises(EAGAIN):
        client.send(b"x")
    pair.platform.fail_kmalloc = -1
    assert pair.a.mib["TcpExt:TCPMemoryPressures"] == 1
    assert client.send(b"x") == 1
    pair.run(seconds(1))
    assert server.recv(10) == b"x"
    pair.finish(client, server)


def test_small_segments_are_copied_together_when_the_buffer_is_full(peer):
    sock = peer.accept(options=[("SAckOK", b"")])
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 20_000)
    octets = bytes(n & 0xFF for n in range(400))
    for n in range(len(octets)):
        peer.receive("PA", octets[n : n + 1])
    assert peer.mib["TcpExt:PruneCalled"] > 0
    assert peer.mib["TcpExt:TCPRcvCollapsed"] > 300
    assert peer.mib["TcpExt:RcvPruned"] == 0
    assert sock.sk.sk_rmem_alloc <= sock.sk.sk_rcvbuf + MOST_TRUESIZE
    check_tcp_memory(peer.host.kernel)
    assert read_all(sock) == octets


def test_what_came_too_early_is_copied_together_run_by_run(peer):
    sock = peer.accept(options=[("SAckOK", b"")])
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 60_000)
    octets = peer.host.platform.random.randbytes(9_000)
    start = peer.seq
    for low in range(100, 9_000, 100):
        if low not in (3_000, 6_000):
            peer.receive("PA", octets[low : low + 100], seq=start + low)
    assert peer.mib["TcpExt:TCPRcvCollapsed"] > 0
    assert peer.mib["TcpExt:OfoPruned"] == 0
    check_tcp_memory(peer.host.kernel)
    for low in (0, 3_000, 6_000):
        peer.receive("PA", octets[low : low + 100], seq=start + low)
    assert read_all(sock) == octets


def test_what_came_too_early_goes_first_and_the_latest_of_it(peer):
    sock = peer.accept(options=[("SAckOK", b"")])
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 20_000)
    start = peer.seq
    for n in range(40):  # With gaps: nothing can be put together.
        peer.receive("PA", b"x" * 10, seq=start + 1000 + 20 * n)
    mib = peer.mib
    check_tcp_memory(peer.host.kernel)
    assert mib["TcpExt:TCPOFODrop"] == dropped(peer.host.kernel, "PROTO_MEM") > 0
    kept = [skb.cb.seq for skb in sock.sk.out_of_order_queue]
    assert kept == [start + 1000 + 20 * n for n in range(len(kept))]  # A later one does not drive an earlier one out.
    (ack,) = peer.receive("PA", b"x" * 10, seq=start + 500)
    assert mib["TcpExt:OfoPruned"] > 0
    assert dropped(peer.host.kernel, "TCP_OFO_QUEUE_PRUNE") > 0
    assert [skb.cb.seq for skb in sock.sk.out_of_order_queue][0] == start + 500
    assert dict(ack.options)["SAck"] == (start + 500, start + 510)  # What was told before does not hold.
    check_tcp_memory(peer.host.kernel)


def test_a_full_buffer_in_order_is_pruned_and_the_peer_sends_once_more(peer):
    """A peer that heeds no window: what is beyond the buffer is dropped and counted, and the rest is not lost."""
    sock = peer.accept()
    sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 10_000)
    sent = b""
    drops = 0
    for n in range(300):
        octets = b"%05d" % n
        peer.receive("PA", octets, seq=peer.seq)
        if sock.sk.rcv_nxt == peer.seq + len(octets) & 0xFFFFFFFF:
            peer.seq = sock.sk.rcv_nxt
            sent += octets
        else:
            drops += 1
    reasons = ("PROTO_MEM", "TCP_ZEROWINDOW", "TCP_OVERWINDOW", "TCP_INVALID_SEQUENCE")
    assert sum(dropped(peer.host.kernel, reason) for reason in reasons) == drops
    assert sock.sk.sk_rmem_alloc <= sock.sk.sk_rcvbuf + MOST_TRUESIZE
    check_tcp_memory(peer.host.kernel)
    assert read_all(sock) == sent


def slow_reader(pair, listener):
    """Return both ends of a connection whose client reads nothing of what the server has written."""
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 4096)
    client.connect(("10.0.0.2", PORT))
    server, _ = listener.accept()
    write_all(server, b"x" * 400_000)
    pair.run(100 * MS)
    return client, server


def test_connections_without_a_program_end_when_there_are_too_many(pair):
    """What was sent last tells whether the peer hears of it; each is counted."""
    sysctl(pair.b.net, "net.ipv4.tcp_max_orphans", 2)
    listener = pair.listener(backlog=20)
    clients = []
    for _ in range(6):
        client, server = slow_reader(pair, listener)
        server.close()
        clients.append(client)
    pair.run(seconds(1))
    assert pair.b.net.ipv4.tcp_hashinfo.orphan_count == 2
    assert pair.b.mib["TcpExt:TCPAbortOnMemory"] == 4
    assert "TCP: too many orphaned sockets" in pair.b.kernel.log
    for client in clients[2:]:
        with raises(104):
            while client.recv(65536):
                pass
    for client in clients:
        client.close()
    pair.finish(listener)


def test_an_orphan_that_holds_memory_ends_when_that_is_short(pair):
    client, server = slow_reader(pair, pair.listener())
    assert server.sk.sk_wmem_queued > 30_000
    sk = server.sk
    server.close()
    assert not sk.destroyed
    set_tcp_mem(pair.b.net, 1, 2, 3)
    pair.run(seconds(300))  # The next probe of its window finds out.
    assert sk.destroyed
    assert pair.b.mib["TcpExt:TCPAbortOnMemory"] == 1
    assert "TCP: out of memory -- consider tuning tcp_mem" in pair.b.kernel.log
    assert memory_of(pair.b).memory_allocated == 0
    client.close()


def test_a_fin_needs_no_memory_of_its_own_when_that_is_short(pair):
    client, server = pair.connected()
    set_tcp_mem(pair.a.net, 0, 0, 100)
    client.send(b"x" * 5000)
    assert memory_of(pair.a).memory_pressure
    client.close()
    (skb,) = tcp_sockets(pair.a.kernel)[0].tcp_rtx_queue
    assert skb.cb.tcp_flags & 1
    server.settimeout(10)
    assert (server.recv(10_000, api.MSG_WAITALL), server.recv(100)) == (b"x" * 5000, b"")
    pair.finish(server)


def test_blocks_that_cut_packets_small_do_not_take_all_memory(peer):
    """CVE-2019-11478: a peer with a small MSS acknowledges every other segment of a long queue."""
    sock = peer.accept(mss=88, options=[("SAckOK", b"")])
    sk = sock.sk
    sk.snd_cwnd, sk.sk_sndbuf = 2000, 1 << 20
    write_all(sock, b"x" * 60_000)
    peer.sent()
    sk.sk_sndbuf = 4608
    limit = 4608 + 2 * (65536 + 576)
    refused = 0
    for n in range(40, 60_000 - 88, 176):
        held = sk.sk_wmem_queued
        peer.receive("A", options=[("SAck", (peer.ack + n, peer.ack + n + 88))])
        if peer.mib["TcpExt:TCPWqueueTooBig"] > refused:
            refused = peer.mib["TcpExt:TCPWqueueTooBig"]
            assert sk.sk_wmem_queued >> 1 > limit
            assert sk.sk_wmem_queued <= held + 1024  # Only the last one of the queue may be cut still.
    assert refused
    check_tcp_memory(peer.host.kernel)


def test_datagrams_of_all_sockets_have_a_limit_too():
    host = InetHost()
    memory = host.kernel.proto_memory["UDP"]
    sysctl(host.net, "net.ipv4.udp_mem", "2 4 30")
    socks = []
    for port in range(20):
        sock = host.socket()
        sock.bind(("127.0.0.1", 5000 + port))
        socks.append(sock)
    sender = host.socket()
    for port in range(20):
        for _ in range(4):
            sender.sendto(b"x" * 1000, ("127.0.0.1", 5000 + port))
            host.platform.advance(MS)
    held = sum(sk.sk.sk_rmem_alloc for sk in socks)
    assert memory.memory_allocated * PAGE_SIZE == held + sum(sk.sk.sk_forward_alloc for sk in socks)
    mib = host.mib
    assert mib["Udp:MemErrors"] == mib["Udp:InErrors"] == dropped(host.kernel, "PROTO_MEM") > 0
    assert mib["Udp:RcvbufErrors"] == 0
    got = 0
    for sock in socks:
        sock.setblocking(False)
        while True:
            try:
                got += len(sock.recv(2000)) == 1000
            except BlockingIOError:
                break
    assert got == 80 - mib["Udp:MemErrors"] >= 20  # One page for each, in any case up to the last limit.
    assert memory.memory_allocated == 0
