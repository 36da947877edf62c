"""Connections between two hosts: made, used, closed in every way, and nothing is left."""

from errno import (
    EADDRINUSE,
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EINVAL,
    EISCONN,
    ENOENT,
    ENOPROTOOPT,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
)
from struct import unpack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_open
from hardwire.stack.core.tcp_states import TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT2
from hardwire.stack.iproute import neigh_add
from hardwire.stack.proc import proc_net
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.inet_host import MS, raises
from hardwire.tb.stack.tcp_pair import PORT, TcpPair, seconds

SOL = api.SOL_SOCKET


@pytest.fixture
def pair():
    return TcpPair()


def test_a_connection_carries_octets_both_ways_and_ends(pair):
    client, server = pair.connected()
    assert client.getpeername() == ("10.0.0.2", PORT)
    assert server.getpeername() == client.getsockname()
    client.sendmsg([b"one ", b"two"])
    assert server.recv(100) == b"one two"
    server.send(b"x" * 100)
    assert client.recv(40) + client.recv(100) == b"x" * 100
    client.close()
    assert server.recv(10) == b""
    pair.finish(server)
    assert pair.a.kernel.drop_counts() == pair.b.kernel.drop_counts() == {}
    assert pair.a.mib["TcpExt:TW"] == 1
    assert pair.b.mib["TcpExt:TW"] == 0


def test_counters_are_those_of_the_handshake(pair):
    client, server = pair.connected()
    assert [pair.a.mib[f"Tcp:{name}"] for name in ("ActiveOpens", "PassiveOpens", "CurrEstab")] == [1, 0, 1]
    assert [pair.b.mib[f"Tcp:{name}"] for name in ("ActiveOpens", "PassiveOpens", "CurrEstab")] == [0, 1, 1]
    assert (pair.a.mib["Tcp:OutSegs"], pair.a.mib["Tcp:InSegs"]) == (2, 1)
    pair.finish(client, server)


@pytest.mark.parametrize("size", [1, 1447, 1448, 1449, 65536, 1 << 20])
def test_what_arrives_is_what_was_sent(pair, size):
    client, server = pair.connected()
    pair.transfer(client, server, size, back=size // 3)
    pair.finish(client, server)
    assert pair.a.mib["Tcp:RetransSegs"] == pair.b.mib["Tcp:RetransSegs"] == 0


def test_without_checksum_offload_or_gathering_it_arrives_as_well():
    pair = TcpPair(features=0)
    client, server = pair.connected()
    pair.transfer(client, server, 200_000)
    pair.finish(client, server)


def test_with_sums_of_the_device_it_arrives_as_well():
    pair = TcpPair(complete=True)
    client, server = pair.connected()
    pair.transfer(client, server, 200_000)
    pair.finish(client, server)
    assert pair.b.mib["Tcp:InCsumErrors"] == 0


def test_nobody_listens(pair):
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    with raises(ECONNREFUSED):
        client.connect(("10.0.0.2", PORT))
    assert pair.b.mib["Tcp:OutRsts"] == 1
    assert pair.a.mib["Tcp:AttemptFails"] == 1
    pair.finish(client)


def test_a_socket_that_was_refused_can_connect_again(pair):
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    with raises(ECONNREFUSED):
        client.connect(("10.0.0.2", PORT))
    listener = pair.listener()
    client.connect(("10.0.0.2", PORT))
    server, _ = listener.accept()
    client.send(b"again")
    assert server.recv(10) == b"again"
    pair.finish(client, server, listener)


def test_a_host_that_is_silent_is_given_up_after_the_retries(pair):
    pair.ab.choose = lambda _: []
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.setsockopt(api.SOL_TCP, api.TCP_SYNCNT, 2)
    pair.a.net.ipv4.arp_tbl.nht.clear()
    neigh_add(pair.a.dev, "10.0.0.2", pair.b.dev.dev_addr.hex(":"))
    start = pair.platform.now_ns()
    with raises(ETIMEDOUT):
        client.connect(("10.0.0.2", PORT))
    assert (pair.platform.now_ns() - start) // MS == 7000  # 1 + 2 + 4 s.
    assert pair.a.mib["TcpExt:TCPSynRetrans"] == 2
    pair.finish(client)


def test_a_connect_that_may_not_wait_goes_on_by_itself(pair):
    listener = pair.listener()
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.connect(("10.0.0.2", PORT))
    assert client.poll(api.POLLOUT, 0) == 0
    assert client.poll(api.POLLOUT, 1) == api.POLLOUT
    assert client.getsockopt(SOL, api.SO_ERROR) == 0
    client.connect(("10.0.0.2", PORT))
    with raises(EISCONN):
        client.connect(("10.0.0.2", PORT))
    assert listener.poll(api.POLLIN, 1) == api.POLLIN
    server, _ = listener.accept()
    pair.finish(client, server, listener)


def test_half_of_a_connection_can_end(pair):
    client, server = pair.connected()
    client.send(b"question")
    client.shutdown(api.SHUT_WR)
    with raises(EPIPE):
        client.send(b"more")
    assert server.recv(100) == b"question"
    assert server.recv(100) == b""
    pair.run(100 * MS)
    assert (client.sk.sk_state, server.sk.sk_state) == (TCP_FIN_WAIT2, TCP_CLOSE_WAIT)
    pair.run(seconds(300))  # As long as it likes.
    server.send(b"answer")
    assert client.recv(100) == b"answer"
    pair.finish(server, client)


def test_both_can_close_at_once(pair):
    client, server = pair.connected()
    client.close()
    server.close()
    pair.finish()
    assert pair.a.mib["TcpExt:TW"] == pair.b.mib["TcpExt:TW"] == 1


def test_what_was_not_read_is_lost_and_the_peer_is_told(pair):
    client, server = pair.connected()
    client.send(b"unread")
    pair.run(20 * MS)
    server.close()
    pair.run(20 * MS)
    assert pair.b.mib["TcpExt:TCPAbortOnClose"] == 1
    with raises(ECONNRESET):
        client.recv(10)
    with raises(EPIPE):
        client.send(b"x")
    pair.finish(client)


def test_a_linger_of_no_time_resets(pair):
    client, server = pair.connected()
    client.setsockopt(SOL, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    pair.run(20 * MS)
    with raises(ECONNRESET):
        server.recv(10)
    pair.finish(server)
    assert pair.a.mib["TcpExt:TW"] == 0


def test_a_linger_waits_until_all_has_arrived(pair):
    client, server = pair.connected()
    client.setsockopt(SOL, api.SO_LINGER, (1).to_bytes(4, "little") + (5).to_bytes(4, "little"))
    client.send(b"x" * 10000)
    start = pair.platform.now_ns()
    client.close()
    assert 10 * MS <= pair.platform.now_ns() - start < seconds(5)
    assert server.recv(20000) == b"x" * 10000
    pair.finish(server)


def test_data_to_a_program_that_has_gone_is_refused(pair):
    client, server = pair.connected()
    server.close()
    pair.run(20 * MS)
    client.send(b"anybody there?")
    pair.run(20 * MS)
    with raises(EPIPE):
        client.send(b"x")
    pair.finish(client)


def test_receiving_may_not_wait_or_not_for_long(pair):
    client, server = pair.connected()
    with raises(EAGAIN):
        client.recv(1, api.MSG_DONTWAIT)
    client.settimeout(0.5)
    start = pair.platform.now_ns()
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert pair.platform.now_ns() - start == seconds(0.5)
    pair.finish(client, server)


def test_peeked_octets_stay(pair):
    client, server = pair.connected()
    client.send(b"abcdef")
    client.send(b"ghi")
    pair.run(300 * MS)
    assert server.recv(4, api.MSG_PEEK) == b"abcd"
    assert server.recv(100, api.MSG_PEEK) == b"abcdefghi"
    buffer = bytearray(5)
    assert server.recv_into(buffer) == 5
    assert bytes(buffer) == b"abcde"
    assert server.recv(100) == b"fghi"
    pair.finish(client, server)


def test_a_program_that_wants_all_gets_all(pair):
    client, server = pair.connected()
    client.setsockopt(api.SOL_TCP, api.TCP_NODELAY, 1)
    pair.platform.timer(pair.platform.now_ns() + 50 * MS, lambda: client.send(b"5678", api.MSG_DONTWAIT))
    client.send(b"1234")
    assert server.recv(8, api.MSG_WAITALL) == b"12345678"
    pair.finish(client, server)


def test_a_slow_reader_stops_a_fast_writer(pair):
    client, server = pair.connected()
    client.setblocking(False)
    taken = 0
    for _ in range(10000):
        try:
            taken += client.send(b"x" * 65536)
        except BlockingIOError:
            pair.run(10 * MS)
            if server.sk.rcv_wnd == 0:
                break
    assert server.sk.rcv_wnd == 0
    assert taken < 8 << 20
    assert server.sk.sk_rmem_alloc <= server.sk.sk_rcvbuf + 4096
    assert client.sk.sk_wmem_queued <= client.sk.sk_sndbuf + 70000
    assert client.poll(api.POLLOUT, 0) == 0
    # Long later it goes on as if nothing had been.
    pair.run(seconds(300))
    assert pair.a.mib["TcpExt:TCPWinProbe"] > 3
    got = 0
    while got < taken:
        got += len(server.recv(1 << 20))
    assert client.poll(api.POLLOUT, 1) == api.POLLOUT
    pair.finish(client, server)
    assert pair.a.mib["Tcp:EstabResets"] == 0


def test_a_full_queue_of_a_listener_lets_others_wait(pair):
    pair.b.net.ipv4.sysctl_tcp_syncookies = 0  # With a cookie the peer believes that it is connected.
    listener = pair.listener(backlog=0)
    clients = [pair.a.net.socket(api.AF_INET, api.SOCK_STREAM) for _ in range(3)]
    for client in clients:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.connect(("10.0.0.2", PORT))
    pair.run(100 * MS)
    served = [listener.accept()[0] for _ in range(3)]
    assert pair.b.mib["TcpExt:ListenDrops"] == pair.b.mib["TcpExt:TCPReqQFullDrop"] == 3
    assert [client.sk.sk_state for client in clients] == [TCP_ESTABLISHED] * 3
    pair.finish(*clients, *served, listener)


def test_connections_that_nobody_accepts_are_reset(pair):
    listener = pair.listener()
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.connect(("10.0.0.2", PORT))
    pair.run(20 * MS)
    listener.close()
    pair.run(20 * MS)
    with raises(ECONNRESET):
        client.recv(1)
    pair.finish(client)


def test_a_port_is_in_use_until_time_wait_is_over_unless_it_may_be_reused(pair):
    listener = pair.listener()
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.connect(("10.0.0.2", PORT))
    server, _ = listener.accept()
    listener.close()
    server.close()
    pair.run(20 * MS)
    client.close()
    pair.run(20 * MS)
    again = pair.b.net.socket(api.AF_INET, api.SOCK_STREAM)
    with raises(EADDRINUSE):
        again.bind(("10.0.0.2", PORT))
    again.setsockopt(SOL, api.SO_REUSEADDR, 1)
    with raises(EADDRINUSE):  # The one in TIME_WAIT did not agree.
        again.bind(("10.0.0.2", PORT))
    pair.run(seconds(61))
    again.bind(("10.0.0.2", PORT))
    pair.finish(again)


def test_many_connections_one_after_another_leave_nothing(pair):
    listener = pair.listener()
    for number in range(50):
        client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
        client.connect(("10.0.0.2", PORT))
        server, _ = listener.accept()
        client.send(b"%d" % number)
        assert server.recv(10) == b"%d" % number
        client.close()
        assert server.recv(10) == b""
        server.close()
    pair.run(100 * MS)
    assert pair.a.net.ipv4.tcp_hashinfo.tw_count == 50
    pair.finish(listener)


def test_a_connection_of_a_host_with_itself(pair):
    listener = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("127.0.0.1", PORT))
    listener.listen()
    dev_open(pair.a.net.loopback_dev)
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.connect(("127.0.0.1", PORT))
    server, _ = listener.accept()
    pair.transfer(client, server, 300_000)
    pair.finish(client, server, listener)


def test_both_ends_can_begin_at_once(pair):
    socks = []
    for host in (pair.a, pair.b):
        sock = host.net.socket(api.AF_INET, api.SOCK_STREAM)
        sock.bind(("0.0.0.0", PORT))
        sock.setblocking(False)
        socks.append(sock)
    for sock, peer in zip(socks, ("10.0.0.2", "10.0.0.1"), strict=True):
        with pytest.raises(BlockingIOError):
            sock.connect((peer, PORT))
    pair.run(100 * MS)
    assert [sock.sk.sk_state for sock in socks] == [TCP_ESTABLISHED] * 2
    pair.transfer(*socks, 10000, back=10000)
    pair.finish(*socks)
    assert pair.a.mib["Tcp:PassiveOpens"] == pair.b.mib["Tcp:PassiveOpens"] == 0


def test_calls_on_a_socket_without_a_connection_say_so(pair):
    sock = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    with raises(ENOTCONN):
        sock.recv(1)
    with raises(EPIPE):
        sock.send(b"x")
    with raises(ENOTCONN):
        sock.getpeername()
    assert sock.poll(api.POLLIN | api.POLLOUT, 0) == api.POLLHUP | api.POLLOUT
    pair.finish(sock)


def test_a_peer_that_vanishes_is_found_out_by_keepalive(pair):
    client, server = pair.connected()
    for option, value in ((api.TCP_KEEPIDLE, 10), (api.TCP_KEEPINTVL, 5), (api.TCP_KEEPCNT, 3)):
        client.setsockopt(api.SOL_TCP, option, value)
    client.setsockopt(SOL, api.SO_KEEPALIVE, 1)
    pair.run(seconds(100))
    assert pair.a.mib["TcpExt:TCPKeepAlive"] >= 9  # It answers.
    pair.ab.choose = pair.ba.choose = lambda _: []
    start = pair.platform.now_ns()
    with raises(ETIMEDOUT):
        client.recv(1)
    assert seconds(15) <= pair.platform.now_ns() - start <= seconds(26)
    server.setsockopt(SOL, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.finish(client, server)


def test_a_peer_that_vanishes_is_given_up_after_the_retries(pair):
    pair.a.net.ipv4.sysctl_tcp_retries2 = 5
    client, server = pair.connected()
    pair.ab.choose = pair.ba.choose = lambda _: []
    client.send(b"x")
    start = pair.platform.now_ns()
    with raises(ETIMEDOUT):
        client.recv(1)
    assert seconds(12) <= pair.platform.now_ns() - start <= seconds(26)
    assert pair.a.mib["TcpExt:TCPAbortOnTimeout"] == 1
    server.setsockopt(SOL, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.finish(client, server)


def test_user_timeout_ends_it_sooner(pair):
    client, server = pair.connected()
    client.setsockopt(api.SOL_TCP, api.TCP_USER_TIMEOUT, 3000)
    pair.ab.choose = pair.ba.choose = lambda _: []
    client.send(b"x")
    start = pair.platform.now_ns()
    with raises(ETIMEDOUT):
        client.recv(1)
    assert seconds(2.5) <= pair.platform.now_ns() - start <= seconds(4)
    server.setsockopt(SOL, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.finish(client, server)


def test_settings_have_the_names_of_the_kernel(pair):
    net = pair.a.net
    assert sysctl(net, "net.ipv4.tcp_congestion_control", "reno") == "reno"
    with raises(ENOENT):
        sysctl(net, "net.ipv4.tcp_congestion_control", "vegas")
    assert sysctl(net, "net.ipv4.tcp_rmem", "4096 8192 16384") == "4096\t8192\t16384"
    assert sysctl(net, "net.ipv4.tcp_fin_timeout", 10) == "10"
    assert net.ipv4.sysctl_tcp_fin_timeout == 2500
    sock = net.socket(api.AF_INET, api.SOCK_STREAM)
    assert sock.getsockopt(api.SOL_TCP, api.TCP_CONGESTION, 16) == b"reno".ljust(16, b"\0")
    assert sock.getsockopt(SOL, api.SO_RCVBUF) == 8192
    pair.finish(sock)


def test_what_is_known_of_a_connection_can_be_read(pair):
    client, server = pair.connected()
    pair.transfer(client, server, 50_000, back=7)
    pair.run(100 * MS)
    octets = client.getsockopt(api.SOL_TCP, api.TCP_INFO, 136)
    state, ca_state, _, _, _, options, scales, _, *words = unpack("=8B24I", octets[:104])
    assert (state, ca_state, options & 7, scales) == (TCP_ESTABLISHED, 0, 7, 7 << 4 | 7)
    rto, _, mss, _, unacked = words[:5]
    srtt, rttvar, _, cwnd, advmss = words[15:20]
    assert (rto >= 200_000, mss, unacked, cwnd >= 10, advmss) == (True, 1448, 0, True, 1460)
    assert 10_000 <= srtt <= 60_000
    assert rttvar < srtt
    assert unpack("=4Q", octets[104:])[2:] == (50_001, 7)  # The SYN counts as acknowledged.
    pair.finish(client, server)


OPTIONS = {
    "nodelay": (api.TCP_NODELAY, 1, 1),
    "cork": (api.TCP_CORK, 1, 1),
    "maxseg": (api.TCP_MAXSEG, 600, 600),
    "keepidle": (api.TCP_KEEPIDLE, 77, 77),
    "keepintvl": (api.TCP_KEEPINTVL, 7, 7),
    "keepcnt": (api.TCP_KEEPCNT, 5, 5),
    "syncnt": (api.TCP_SYNCNT, 4, 4),
    "linger2": (api.TCP_LINGER2, 20, 20),
    "defer_accept": (api.TCP_DEFER_ACCEPT, 5, 7),  # Until the SYN-ACK after 3 s, and 4 s more.
    "window_clamp": (api.TCP_WINDOW_CLAMP, 5000, 5000),
    "quickack": (api.TCP_QUICKACK, 0, 0),
    "user_timeout": (api.TCP_USER_TIMEOUT, 4000, 4000),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_the_value_that_was_set_and_a_connection_its_listeners(pair, name):
    option, value, expected = OPTIONS[name]
    sock = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    sock.setsockopt(api.SOL_TCP, option, value)
    assert sock.getsockopt(api.SOL_TCP, option) == expected
    with raises(EINVAL):
        sock.setsockopt(api.SOL_TCP, option, b"x")
    with raises(ENOPROTOOPT):
        sock.setsockopt(api.SOL_TCP, 999, value)
    pair.finish(sock)


def test_proc_net_tcp_shows_listeners_connections_and_time_wait(pair):
    listener = pair.listener(backlog=5)
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.connect(("10.0.0.2", PORT))
    server, _ = listener.accept()
    client.send(b"12345")
    pair.run(100 * MS)
    header, *lines = proc_net(pair.b.net, "tcp").splitlines()
    assert header.split()[:4] == ["sl", "local_address", "rem_address", "st"]
    assert {len(line) for line in (header, *lines)} == {149}
    rows = [line.split() for line in lines]
    port = f"{client.getsockname()[1]:04X}"
    assert [row[1:5] for row in rows] == [
        ["0200000A:1B58", "00000000:0000", "0A", "00000000:00000000"],
        ["0200000A:1B58", f"0100000A:{port}", "01", "00000000:00000005"],
    ]
    client.close()
    server.recv(10)
    server.close()
    pair.run(100 * MS)
    (row,) = [line.split() for line in proc_net(pair.a.net, "tcp").splitlines()[1:]]
    assert row[1:4] == [f"0100000A:{port}", "0200000A:1B58", "06"]
    assert row[5].startswith("03:000017")  # Nearly a minute.
    pair.finish(listener)
