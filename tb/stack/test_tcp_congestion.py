"""How fast TCP is on a path that loses packets, beside a real kernel; and what makes it as fast from the start."""

from hardwire.stack import socket as api
from hardwire.tb.stack.congestion import info
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.tcp_pair import Scripted, TcpPair

MSS = 1460


def test_an_ack_of_a_part_of_a_long_packet_opens_the_window_too():
    peer = Scripted()
    sock = peer.connect()
    sock.send(bytes(30 * MSS))
    assert len(peer.sent()) == 10
    for number in range(1, 11):
        peer.receive("A", ack=peer.isn + 1 + number * MSS)
        assert info(sock).snd_cwnd == 10 + number


def test_slow_start_doubles_the_window_each_round_trip_and_the_receiver_keeps_ahead():
    pair = TcpPair(delay_ns=20 * MS)
    client, server = pair.connected()
    client.setsockopt(api.SOL_TCP, api.TCP_CONGESTION, b"reno")
    for sock in (client, server):
        sock.setblocking(False)
    windows = []
    for number in range(321):
        try:
            while True:
                client.send(bytes(65536))
        except BlockingIOError:
            pass
        try:
            while True:
                server.recv(1 << 20)
        except BlockingIOError:
            pass
        if number % 40 == 35:  # Before the next round's ACKs.
            windows.append(info(client).snd_cwnd)
        pair.run(MS)
    assert windows[:4] == [10, 20, 40, 80]
    assert windows[7] > 800


def test_a_receiver_learns_the_round_trip_by_time_stamps():
    pair = TcpPair(delay_ns=20 * MS)
    client, server = pair.connected()
    for _ in range(60):
        client.send(bytes(1448))
        pair.run(80 * MS)
        server.recv(10_000)
    assert 39_000 <= info(server).rcv_rtt_us <= 41_000


def test_a_window_leaves_room_for_a_segment_more_than_it_tells():
    peer = Scripted()
    sock = peer.accept(options=[("WScale", 7)])
    (ack,) = peer.receive("PA", bytes(MSS))
    assert ack.window << 7 == -(-(65536 - MSS) // 128) * 128
    assert len(sock.recv(10_000)) == MSS


def test_what_a_window_promised_is_taken_though_the_buffer_is_full():
    pair = TcpPair()
    client, server = pair.connected()
    client.setblocking(False)
    for _ in range(100):
        try:
            client.send(bytes(65536))
        except BlockingIOError:
            pair.run(10 * MS)
    assert info(client).retransmits == 0
    assert pair.b.mib["TcpExt:PruneCalled"] > 0
    assert pair.b.mib["TcpExt:TCPRcvQDrop"] == 0
    assert server.sk.sk_rcvbuf < 200_000
