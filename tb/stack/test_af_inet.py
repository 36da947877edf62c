"""Making and binding sockets: families, protocols, addresses, ports."""

from errno import (
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EINVAL,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)

from hardwire.stack import socket as api
from hardwire.tb.stack.inet_host import PEER, InetHost, raises


def test_errors_of_socket():
    net = InetHost().net
    for arguments, number in [
        ((10, api.SOCK_DGRAM), EAFNOSUPPORT),
        ((-1, api.SOCK_DGRAM), EAFNOSUPPORT),
        ((api.AF_INET, 11), EINVAL),
        ((api.AF_INET, api.SOCK_DGRAM | 0x40), EINVAL),
        ((api.AF_INET, 5), ESOCKTNOSUPPORT),
        ((api.AF_INET, api.SOCK_DGRAM, 263), EINVAL),
        ((api.AF_INET, api.SOCK_DGRAM, -1), EINVAL),
        ((api.AF_INET, api.SOCK_DGRAM, api.IPPROTO_TCP), EPROTONOSUPPORT),
    ]:
        with raises(number):
            net.socket(*arguments)


def test_autobind_takes_a_random_port_of_the_range_and_never_a_taken_one(host):
    host.net.ipv4.sysctl_ip_local_port_range = (40000, 40003)
    host.net.ipv4.sysctl_ip_local_reserved_ports = frozenset({40002})
    socks = [host.socket() for _ in range(4)]
    for sock in socks[:3]:
        sock.sendto(b"", PEER)
    assert {sock.getsockname()[1] for sock in socks[:3]} == {40000, 40001, 40003}
    with raises(EAGAIN):
        socks[3].sendto(b"", PEER)
    socks[0].close()
    socks[3].sendto(b"", PEER)
    starts = set()
    for seed in range(8):
        other = InetHost(seed)
        sock = other.socket()
        sock.sendto(b"", PEER)
        starts.add(sock.getsockname()[1])
    assert len(starts) > 4  # RFC 6056: not predictable.


def test_the_range_of_ports_is_that_of_linux(host):
    assert host.net.ipv4.sysctl_ip_local_port_range == (32768, 60999)
    for random, port in ((0, 32768), (0xFFFFFFFF, 60999)):
        host.platform.random_u32 = lambda number=random: number
        sock = host.socket()
        sock.bind(("", 0))
        assert sock.getsockname()[1] == port


def test_errors_of_bind(host):
    sock = host.socket()
    with raises(EADDRNOTAVAIL):
        sock.bind(("10.0.0.9", 1))
    sock.bind(("", 5000))
    with raises(EINVAL):
        sock.bind(("", 5001))
    with raises(EADDRINUSE):
        host.socket().bind(("10.0.0.1", 5000))
    for _ in range(2):
        shared = host.socket()
        shared.setsockopt(api.SOL_SOCKET, api.SO_REUSEADDR, 1)
        shared.bind(("10.0.0.1", 6000))
    sock.close()
    host.socket().bind(("10.0.0.1", 5000))
