"""Packets that stand for many, for a device that cuts them by itself (TSO), which sends what the stack would."""

from dataclasses import replace
from struct import pack_into, unpack_from

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.netdevice import (
    NETDEV_TX_OK,
    NETIF_F_FRAGLIST,
    NETIF_F_HW_CSUM,
    NETIF_F_SG,
    NETIF_F_TSO,
    NETIF_F_TSO_ECN,
    NETIF_F_TSO_MANGLEID,
)
from hardwire.stack.core.skbuff import CHECKSUM_PARTIAL, SKB_GSO_TCP_FIXEDID, consume_skb
from hardwire.stack.core.skbuff_data import skb_copy_bits
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ethtool import ethtool
from hardwire.stack.iproute2.ip import ip as run_ip
from hardwire.stack.iproute2.tc import tc as run_tc
from hardwire.stack.sysctl import sysctl
from hardwire.stack.wire.checksum import csum_fold, csum_partial, csum_tcpudp_nofold
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, protect
from hardwire.tb.stack.pair import WireDevice, wire_start_xmit
from hardwire.tb.stack.routed import Routed
from hardwire.tb.stack.tcp_oracle import ACK, CWR, PSH
from hardwire.tb.stack.tcp_pair import TcpPair
from hardwire.tb.stack.test_gro import DF, MSS, tcp, with_ttl

SOFTWARE = NETIF_F_SG | NETIF_F_HW_CSUM
TSO = SOFTWARE | NETIF_F_FRAGLIST | NETIF_F_TSO | NETIF_F_TSO_ECN | NETIF_F_TSO_MANGLEID


def cut(frame: bytes, mss: int, fixed: bool) -> list[bytes]:
    """Cut a frame with IPv4 and TCP as a device does: from what the data sheets of such devices say."""
    tcp_at = 34
    headers = tcp_at + (frame[tcp_at + 12] >> 4) * 4
    payload = frame[headers:]
    (seq,) = unpack_from("!I", frame, tcp_at + 4)
    (ident,) = unpack_from("!H", frame, 18)
    pieces = [payload[at : at + mss] for at in range(0, len(payload), mss)]
    frames = []
    for number, piece in enumerate(pieces):
        out = bytearray(frame[:headers] + piece)
        pack_into("!HH", out, 16, len(out) - 14, ident + (0 if fixed else number) & 0xFFFF)
        out[24:26] = bytes(2)
        pack_into("!H", out, 24, csum_fold(csum_partial(out[14:34])))
        pack_into("!I", out, tcp_at + 4, seq + number * mss & 0xFFFFFFFF)
        if number:
            out[tcp_at + 13] &= 0x7F
        if number < len(pieces) - 1:
            out[tcp_at + 13] &= 0xF6
        out[tcp_at + 16 : tcp_at + 18] = bytes(2)
        saddr, daddr = unpack_from("!II", out, 26)
        pseudo = csum_tcpudp_nofold(saddr, daddr, len(out) - tcp_at, 6)
        pack_into("!H", out, tcp_at + 16, csum_fold(csum_partial(out[tcp_at:], pseudo)))
        frames.append(bytes(out))
    return frames


def cuts(dev: WireDevice) -> list[int]:
    """Have a device cut what it is handed; the list that is returned gets how many frames each such packet was."""
    counts: list[int] = []

    def start_xmit(skb, dev: WireDevice) -> int:
        if not skb.gso_size:
            return wire_start_xmit(skb, dev)
        assert skb.ip_summed == CHECKSUM_PARTIAL
        octets = skb_copy_bits(skb, 0, skb.len)
        frames = cut(octets, skb.gso_size, skb.gso_type & SKB_GSO_TCP_FIXEDID != 0)
        assert len(frames) == skb.gso_segs
        counts.append(len(frames))
        consume_skb(skb)
        dev.sent += frames
        for frame in frames:
            if dev.peer is not None:
                peer, arriving = dev.peer, frame
                dev.kernel.platform.timer(
                    dev.kernel.now_ns() + 1000, lambda peer=peer, arriving=arriving: peer.receive(arriving)
                )
        return NETDEV_TX_OK

    dev.netdev_ops = replace(dev.netdev_ops, ndo_start_xmit=start_xmit)
    return counts


def exchange(features: int, *commands: str, size: int = 300_000) -> tuple[TcpPair, list[int]]:
    """Let two hosts whose devices have such features exchange data over a bad cable; return also what a's has cut."""
    pair = TcpPair(5, features=features)
    counts = cuts(pair.a.dev)
    cuts(pair.b.dev)
    for command in commands:
        run_ip(pair.a.net, command)
    for host in (pair.a, pair.b):
        sysctl(host.net, "net.ipv4.tcp_ecn", 1)
    client, server = pair.connected()
    pair.faults(delay_ns=5 * MS, loss=0.01)
    pair.transfer(client, server, size, back=50_000)
    pair.finish(client, server)
    return pair, counts


def test_a_device_sends_the_same_octets_as_the_stack():
    software, none = exchange(SOFTWARE)
    offloaded, counts = exchange(TSO)
    assert none == []
    assert sum(counts) > 100
    assert max(counts) > 4
    assert offloaded.a.dev.sent == software.a.dev.sent
    assert offloaded.b.dev.sent == software.b.dev.sent


@pytest.mark.parametrize("features", [NETIF_F_SG | NETIF_F_TSO, SOFTWARE])
def test_a_device_without_checksums_or_switched_off_gets_single_frames(features):
    pair = TcpPair(5, features=features | NETIF_F_TSO)
    counts = cuts(pair.a.dev)
    if features == SOFTWARE:
        assert "tx-tcp-segmentation: on\n" in ethtool(pair.a.net, "-k eth0")
        ethtool(pair.a.net, "-K eth0 tso off")
    client, server = pair.connected()
    pair.transfer(client, server, 50_000)
    assert counts == []


def test_a_device_gets_no_more_segments_than_it_takes():
    _, counts = exchange(TSO, "link set eth0 gso_max_segs 3")
    assert max(counts) == 3
    _, counts = exchange(TSO, "link set eth0 gso_max_size 8000")
    assert max(counts) == (8000 - 321) // 1448


def test_with_one_segment_at_most_nothing_is_cut_at_all():
    pair, counts = exchange(SOFTWARE, "link set eth0 gso_max_segs 1")
    assert counts == []
    assert pair.a.dev.gso_max_segs == 1
    assert "gso_max_segs 1 " in run_ip(pair.a.net, "-d link show eth0")


def test_a_limit_that_is_lowered_later_holds_for_connections_that_are_there():
    pair = TcpPair(5, features=TSO)
    counts = cuts(pair.a.dev)
    client, server = pair.connected()
    run_ip(pair.a.net, "link set eth0 gso_max_segs 2")
    pair.transfer(client, server, 100_000)
    assert max(counts) == 2
    run_ip(pair.a.net, "link set eth0 gso_max_size 2000")
    counts.clear()
    pair.transfer(client, server, 100_000)
    assert counts == []


@pytest.mark.parametrize("word", ["gso_max_size 70000", "gso_max_segs 70000"])
def test_a_limit_is_not_above_that_of_the_device(word):
    pair = TcpPair(5)
    with pytest.raises(CommandError, match=r"eth0 takes 6553\d at most"):
        run_ip(pair.a.net, f"link set eth0 {word}")


def test_ipv4_has_no_longer_packets_whatever_the_device_takes():
    pair = TcpPair(5)
    run_ip(pair.a.net, "link set lo up")
    run_ip(pair.a.net, "link set lo gso_max_size 200000")
    listener = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("127.0.0.1", 7000))
    listener.listen()
    client = pair.a.net.socket(api.AF_INET, api.SOCK_STREAM)
    client.connect(("127.0.0.1", 7000))
    server, _ = listener.accept()
    assert client.sk.sk_gso_max_size < 65536
    sent = client.send(bytes(150_000))
    assert sent > 100_000
    got = 0
    while got < sent:
        got += len(server.recv(200_000))
    pair.finish(client, server, listener)


def test_what_goes_through_esp_is_not_cut_by_a_device():
    pair = TcpPair(5, features=TSO)
    counts = cuts(pair.a.dev)
    protect(pair.a.net, pair.b.net, Sa(ALGORITHMS["gcm-128"]))
    client, server = pair.connected()
    assert client.sk.sk_gso_max_segs == server.sk.sk_gso_max_segs == 1
    pair.transfer(client, server, 50_000)
    assert counts == []


@pytest.mark.parametrize("features", [TSO, TSO & ~NETIF_F_TSO_ECN, TSO & ~NETIF_F_TSO_MANGLEID])
@pytest.mark.parametrize("frag", [DF, 0])
@pytest.mark.parametrize("step", [0, 1])
def test_a_router_has_its_device_cut_what_was_joined(features, frag, step):
    routed = Routed()
    run_ip(routed.r.net, "neigh add 10.0.2.1 lladdr 02:00:00:00:02:01 dev eth1")
    counts = cuts(routed.far)
    routed.far.features |= features
    routed.far.features &= features | ~TSO
    routed.far.peer = None
    frames = [
        tcp(
            1000 + MSS * number,
            bytes([number]) * MSS,
            ACK | (CWR if not number else PSH if number == 8 else 0),
            ident=0xFFFC + number * (step if frag else 1) & 0xFFFF,
            frag=frag,
            dst=0x0A000201,
            mac=routed.r.dev.dev_addr,
        )
        for number in range(9)
    ]
    routed.r.dev.arrived.extend(frames[:-1])
    routed.r.receive(frames[-1])
    routed.run()
    assert [frame[14:] for frame in routed.far.sent] == [with_ttl(frame, 63) for frame in frames]
    fixed = frag and not step
    able = features & NETIF_F_TSO_ECN and (features & NETIF_F_TSO_MANGLEID or not fixed)
    assert counts == ([9] if able else [])


def test_a_token_bucket_cuts_what_is_longer_than_it_is_deep():
    pair = TcpPair(5)
    run_tc(pair.a.net, "qdisc add dev eth0 root tbf rate 10mbit burst 3000 limit 200000")
    client, server = pair.connected()
    began = pair.platform.now_ns()
    pair.transfer(client, server, 300_000)
    assert pair.a.mib["Tcp:RetransSegs"] == 0
    assert pair.platform.now_ns() - began == pytest.approx(300_000 * 8 * 1514 / 1448 * 100, rel=0.1)
    shown = run_tc(pair.a.net, "-s qdisc show dev eth0")
    assert "dropped 0," in shown
    assert "backlog 0b 0p" in shown


def test_what_a_token_bucket_had_no_room_for_is_not_in_its_parents_backlog_either():
    pair = TcpPair(5)
    run_tc(pair.a.net, "qdisc add dev eth0 root handle 1: prio")
    run_tc(pair.a.net, "qdisc add dev eth0 parent 1:2 handle 2: tbf rate 10mbit burst 3000 limit 9000")
    client, server = pair.connected()
    pair.transfer(client, server, 300_000)
    pair.finish(client, server)
    prio, tbf = run_tc(pair.a.net, "-s qdisc show dev eth0").split("qdisc ")[1:]
    assert (prio[:4], tbf[:3]) == ("prio", "tbf")
    assert "dropped 0," not in tbf
    assert "backlog 0b 0p" in prio
    assert "backlog 0b 0p" in tbf


def test_a_new_device_may_have_limits():
    net = TcpPair(5).a.net
    run_ip(net, "link add veth0 gso_max_size 9000 gso_max_segs 4 type veth peer name veth1")
    assert "gso_max_size 9000 gso_max_segs 4 " in run_ip(net, "-d link show veth0")
    assert "gso_max_size 65536 gso_max_segs 65535 " in run_ip(net, "-d link show veth1")
