"""Kinds of IPv4 sockets that protocols register: which one a program gets."""

from errno import EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT

import pytest

from hardwire.stack import socket as api
from hardwire.stack.ipv4.af_inet import inet_dgram_ops
from hardwire.stack.ipv4.inet_protosw import (
    INET_PROTOSW_PERMANENT,
    INET_PROTOSW_REUSE,
    InetProtosw,
    inet_register_protosw,
    inet_unregister_protosw,
)
from hardwire.stack.ipv4.udp import UdpSock
from hardwire.tb.stack.inet_host import raises

SEQPACKET, SCTP = 5, 132


def kind(type: int, protocol: int, flags: int = 0) -> InetProtosw:
    return InetProtosw(type, protocol, UdpSock, inet_dgram_ops, flags)


def test_a_type_has_sockets_when_a_protocol_has_registered_them(host):
    with raises(ESOCKTNOSUPPORT):
        host.net.socket(api.AF_INET, SEQPACKET)
    stream = kind(SEQPACKET, SCTP, INET_PROTOSW_REUSE)
    inet_register_protosw(host.net, stream)
    sock = host.net.socket(api.AF_INET, SEQPACKET)
    assert (sock.type, sock.proto, sock.sk.sk_reuse) == (SEQPACKET, SCTP, True)
    with raises(EPROTONOSUPPORT):
        host.net.socket(api.AF_INET, SEQPACKET, api.IPPROTO_TCP)
    inet_unregister_protosw(host.net, stream)
    with raises(ESOCKTNOSUPPORT):
        host.net.socket(api.AF_INET, SEQPACKET)


def test_streams_are_of_tcp(host):
    assert host.net.socket(api.AF_INET, api.SOCK_STREAM).proto == api.IPPROTO_TCP
    with raises(EPROTONOSUPPORT):
        host.net.socket(api.AF_INET, api.SOCK_STREAM, SCTP)


def test_another_protocol_may_come_but_not_in_place_of_a_permanent_one(host):
    inet_register_protosw(host.net, kind(api.SOCK_DGRAM, 136))
    assert host.net.socket(api.AF_INET, api.SOCK_DGRAM, 136).proto == 136
    assert host.net.socket(api.AF_INET, api.SOCK_DGRAM).proto == api.IPPROTO_UDP
    with raises(EPERM):
        inet_register_protosw(host.net, kind(api.SOCK_DGRAM, api.IPPROTO_UDP))
    with raises(EPERM):
        inet_unregister_protosw(host.net, kind(api.SOCK_DGRAM, api.IPPROTO_UDP, INET_PROTOSW_PERMANENT))


@pytest.mark.parametrize("protocol", [1, 200, 255])
def test_a_raw_socket_is_of_any_protocol_but_has_one(host, protocol):
    assert host.net.socket(api.AF_INET, api.SOCK_RAW, protocol).proto == protocol
    with raises(EPROTONOSUPPORT):
        host.net.socket(api.AF_INET, api.SOCK_RAW, 0)
