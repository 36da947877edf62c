"""TCP against the machine's own kernel: both begin, both send, over good and bad cables, and end in every way."""

import os
from errno import ECONNREFUSED, ECONNRESET

import pytest

from hardwire.stack import socket as api
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.tcp_linux import LINUX, OURS, RealTime

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

MS = 1_000_000
SIZE = 10_000_000


@pytest.fixture
def both():
    with LinuxPeer(f"hardwire-tc{os.getpid()}") as linux:
        yield RealTime(linux)


@pytest.mark.parametrize("ours_first", [True, False])
def test_octets_go_both_ways_on_a_clean_cable(both, ours_first):
    ours, theirs = both.connected(ours_first=ours_first)
    both.transfer(ours, theirs, SIZE, SIZE)
    opt = ours.sk.rx_opt
    assert (opt.tstamp_ok, opt.sack_ok, opt.wscale_ok) == (True, True, True)
    assert both.host.mib["Tcp:InCsumErrors"] == 0
    ours.close()
    theirs.close()


@pytest.mark.soak
def test_a_hundred_megabytes_go_both_ways(both):
    ours, theirs = both.connected(ours_first=True)
    both.transfer(ours, theirs, 100_000_000, 100_000_000, limit_s=900)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_octets_arrive_on_a_bad_cable(both, congestion):
    sysctl(both.net, "net.ipv4.tcp_congestion_control", congestion)
    ours, theirs = both.connected(ours_first=True)
    both.bad(loss=0.01, reorder=0.05, double=0.01, delay_ns=50 * MS)
    both.transfer(ours, theirs, 1_000_000, 1_000_000)
    assert both.lost > 0
    ours.close()
    theirs.close()


@pytest.mark.parametrize("off", ["tcp_sack", "tcp_timestamps", "tcp_window_scaling"])
def test_octets_arrive_without_an_option(both, off):
    both.linux.sysctl(f"net.ipv4.{off}", 0)
    ours, theirs = both.connected(ours_first=False)
    both.bad(loss=0.005, reorder=0.02, double=0.01, delay_ns=2 * MS)
    both.transfer(ours, theirs, 100_000, 100_000)
    ours.close()
    theirs.close()


def test_each_is_refused_by_the_other(both):
    ours = both.ours()
    with pytest.raises(BlockingIOError):
        ours.connect((LINUX, 9))
    both.pump(lambda: ours.poll(api.POLLOUT, 0) != 0)
    assert ours.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == ECONNREFUSED
    theirs = both.theirs()
    with pytest.raises(BlockingIOError):
        theirs.connect((OURS, 9))
    errors = []

    def refused() -> bool:
        errors.append(theirs.getsockopt(api.SOL_SOCKET, api.SO_ERROR))
        return errors[-1] != 0

    both.pump(refused)
    assert errors[-1] == ECONNREFUSED
    theirs.close()


def test_half_of_a_connection_can_be_closed_by_either(both):
    for closer in (0, 1):
        ends = both.connected(ours_first=bool(closer))
        first, second = ends[closer], ends[1 - closer]
        first.send(b"question")
        first.shutdown(api.SHUT_WR)
        got = []

        def read(sock, into=got) -> bool:
            try:
                into.append(sock.recv(100))
            except BlockingIOError:
                return False
            return into[-1] == b""

        both.pump(lambda sock=second, read=read: read(sock))
        second.send(b"answer")
        second.close()
        both.pump(lambda sock=first, read=read: read(sock))
        assert got == [b"question", b"", b"answer", b""]
        first.close()


def test_a_reset_of_theirs_is_ours_too(both):
    ours, theirs = both.connected(ours_first=True)
    theirs.setsockopt(api.SOL_SOCKET, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    both.pump(lambda: ours.poll(api.POLLIN, 0) & api.POLLERR != 0)
    with raises(ECONNRESET):
        ours.recv(1)


def test_a_thousand_connections_one_after_another(both):
    for number in range(1000):
        ours, theirs = both.connected(ours_first=number % 2 == 0)
        both.transfer(ours, theirs, 10, 10)
        ours.close()
        ended = []

        def end(sock=theirs, ended=ended) -> bool:
            try:
                ended.append(sock.recv(1))
            except BlockingIOError:
                return False
            return True

        both.pump(end)
        theirs.close()
    assert both.host.mib["Tcp:ActiveOpens"] == both.host.mib["Tcp:PassiveOpens"] == 500
