"""Datagrams sent as one packet that is cut on its way out (``UDP_SEGMENT``), and received as one (``UDP_GRO``)."""

from contextlib import suppress
from struct import pack

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.netdevice import NETIF_F_GSO_UDP_L4, NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.core.skbuff_segment import skb_gso_segment
from hardwire.stack.netfilter.core import NF_ACCEPT, NF_INET_POST_ROUTING, NfHookOps, nf_register_net_hook
from hardwire.tb.stack.inet_host import PEER, InetHost, raises

DATA = bytes(range(251)) * 20
SEGMENT = [(api.SOL_UDP, api.UDP_SEGMENT, pack("=H", 1000))]
PARTS = [DATA[at : at + 1000] for at in range(0, len(DATA), 1000)]


@pytest.mark.parametrize("features", [0, NETIF_F_SG, NETIF_F_HW_CSUM, NETIF_F_SG | NETIF_F_HW_CSUM])
def test_datagrams_are_cut_for_every_kind_of_device(features):
    host = InetHost(features=features)
    with host.socket() as sock:
        assert sock.sendmsg([DATA], SEGMENT, 0, PEER) == len(DATA)
    assert [datagram.payload for datagram in host.datagrams()] == PARTS
    host.check_memory()


def test_identifications_go_on_from_datagram_to_datagram(host):
    host.socket().sendmsg([DATA], SEGMENT, 0, PEER)
    idents = [packet.id for packet in host.packets()]
    assert [ident - idents[0] & 0xFFFF for ident in idents] == list(range(len(PARTS)))


def test_all_of_it_counts_against_the_send_buffer_until_the_last_is_sent(host):
    sock = host.socket()
    host.dev.hold = True
    sock.sendmsg([DATA], SEGMENT, 0, PEER)
    held, host.dev.held = host.dev.held, []
    counts = []
    for skb in held:
        counts.append(sock.sk.sk_wmem_alloc)
        host.dev.held = [skb]
        host.release()
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 0
    assert sock.sk.sk_wmem_alloc == 0
    sock.close()
    host.check_memory()


def test_a_device_that_cuts_gets_it_whole():
    host = InetHost(features=NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_GSO_UDP_L4)
    host.dev.hold = True
    with host.socket() as sock:
        sock.sendmsg([DATA], SEGMENT, 0, PEER)
    (skb,) = host.dev.held
    assert (skb.gso_size, skb.gso_segs, skb.len) == (1000, len(PARTS), 14 + 28 + len(DATA))
    host.release()
    host.check_memory()


@pytest.mark.parametrize("left", range(8))
def test_without_memory_to_cut_it_is_dropped_and_nothing_is_lost(left):
    host = InetHost(features=0)
    sock = host.socket()
    host.platform.fail_kmalloc = 2 + left  # The packet itself: its head, and a page.
    before = host.dev.stats.tx_dropped
    with suppress(OSError):
        sock.sendmsg([DATA], SEGMENT, 0, PEER)
    host.platform.fail_kmalloc = -1
    sent = len(host.dev.frames)
    assert (sent, host.dev.stats.tx_dropped - before) in ((0, 1), (len(PARTS), 0))
    assert (sent == 0) == (left < len(PARTS))
    sock.close()
    host.check_memory()


def test_if_the_way_turns_out_narrower_each_datagram_is_fragmented(host):
    """The MTU changes between the check by ``udp_send_skb`` and ``ip_finish_output``."""

    def narrow(priv, skb, state):
        host.dev.mtu = 576
        return NF_ACCEPT

    nf_register_net_hook(host.net, NfHookOps(narrow, NF_INET_POST_ROUTING, 0))
    sock = host.socket()
    sock.setsockopt(api.SOL_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DONT)
    sock.sendmsg([DATA], SEGMENT, 0, PEER)
    packets = host.packets()
    assert all(20 + len(packet.payload) <= 576 for packet in packets)
    payload = b""
    whole = []
    for packet in packets:
        assert packet.frag_offset_octets == len(payload)
        payload += packet.payload
        if not packet.more_fragments:
            whole.append(payload[8:])
            payload = b""
    assert whole == PARTS
    sock.close()
    host.check_memory()


def over_loopback(host: InetHost, *options: int) -> list[tuple]:
    """Send datagrams in one packet to a socket of the same host; return what it receives."""
    receiver = host.socket()
    receiver.bind(("127.0.0.1", 9))
    for option in options:
        receiver.setsockopt(api.SOL_UDP, option, 1)
    with host.socket() as sender:
        sender.sendmsg([DATA], SEGMENT, 0, ("127.0.0.1", 9))
    host.platform.advance(1)
    received = []
    while receiver.poll(api.POLLIN, 0):
        received.append(receiver.recvmsg(65535, 100))
    receiver.close()
    host.check_memory()
    return received


def test_over_loopback_a_socket_gets_them_apart(host):
    assert [(octets, control) for octets, control, _, _ in over_loopback(host)] == [(part, []) for part in PARTS]
    assert host.mib["Udp:InDatagrams"] == len(PARTS)


def test_over_loopback_a_socket_with_udp_gro_gets_them_as_one(host):
    ((octets, control, _, _),) = over_loopback(host, api.UDP_GRO)
    assert (octets, control) == (DATA, [(api.SOL_UDP, api.UDP_GRO, pack("=i", 1000))])


def test_without_memory_datagrams_on_loopback_are_counted_as_errors(host):
    receiver = host.socket()
    receiver.bind(("127.0.0.1", 9))
    host.platform.fail_kmalloc = 2
    with host.socket() as sender:
        sender.sendmsg([DATA], SEGMENT, 0, ("127.0.0.1", 9))
    host.platform.advance(1)
    host.platform.fail_kmalloc = -1
    assert host.mib["Udp:InErrors"] == len(PARTS)
    assert receiver.poll(api.POLLIN, 0) == 0
    receiver.close()
    host.check_memory()


def test_a_packet_of_another_protocol_cannot_be_cut(host):
    host.dev.hold = True
    host.socket().sendto(b"data", PEER)
    (skb,) = host.dev.held
    skb.protocol = 0x1234
    with raises(93):
        skb_gso_segment(skb, 0)
    skb.protocol = 0x0800
    skb.view[skb.network_header + 9] = 200
    with raises(93):
        skb_gso_segment(skb, 0)
    host.release()
