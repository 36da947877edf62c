"""Packet sockets: what they see and send, buffers, memberships, and the queue that they may go past."""

from contextlib import nullcontext
from errno import EINVAL, ENETDOWN, ENOBUFS, ENODEV, ENOMEM, ENOPROTOOPT, ENXIO
from socket import htons
from struct import pack, unpack
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack import socket as api
from hardwire.stack.core.dev_addr_lists import dev_mc_add
from hardwire.stack.core.dev_register import dev_open, dev_set_mtu, register_netdevice, unregister_netdevice
from hardwire.stack.core.link_watch import netif_carrier_off
from hardwire.stack.core.netdevice import IFF_ALLMULTI, IFF_PROMISC, NETIF_F_SG
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.sched.sch_api import qdisc_replace
from hardwire.tb.stack.fake import FakeNetDevice, FakePlatform, make_kernel
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC, icmp, ip, udp
from hardwire.tb.stack.inet_host import InetHost, raises
from hardwire.tb.stack.pair import PairHost
from hardwire.tb.stack.test_veth import Namespaces

ALL, LOCAL = 3, 0x88B5
GROUP_MAC, OTHER_MAC = bytes.fromhex("01005e7f0001"), bytes.fromhex("02000000ee00")
FRAME = MY_MAC + PEER_MAC + pack("!H", LOCAL) + b"payload".ljust(46, b"\0")
SENT = PEER_MAC + MY_MAC + pack("!H", LOCAL) + b"payload"


@pytest.fixture
def ours():
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    neigh_add(host.dev, "10.0.0.1", PEER_MAC.hex(":"))
    yield host
    host.platform.advance(10_000_000_000)
    for sock in tuple(host.kernel.files.values()):
        sock.close()
    assert len(host.platform.buffers) == 0
    assert (host.net.ptype_all, host.dev.ptype_all, host.dev.ptype_specific) == ((), (), ())


def packet(host, kind: int = api.SOCK_RAW, protocol: int = ALL, device: str | None = "eth0"):
    """Return a packet socket that does not wait."""
    sock = host.net.socket(api.AF_PACKET, kind, 0 if device else htons(protocol))
    if device:
        sock.bind((device, protocol))
    sock.setblocking(False)
    return sock


def statistics(sock) -> tuple[int, ...]:
    return unpack("=II", sock.getsockopt(api.SOL_PACKET, api.PACKET_STATISTICS, 8))


def everything(sock) -> list[bytes]:
    """Return all that a socket has received."""
    found = []
    while True:
        try:
            found.append(sock.recv(65536))
        except BlockingIOError:
            return found


def test_both_directions_are_seen_with_their_kind(ours):
    tap = packet(ours)
    ours.receive(ip(icmp(8), 1))
    (request, sender), (reply, ours_too) = (tap.recvfrom(100) for _ in range(2))
    assert request == ip(icmp(8), 1)
    assert sender == ("eth0", 0x800, 0, 1, PEER_MAC)
    assert reply == ours.dev.sent[-1]
    assert ours_too == ("eth0", 0x800, 4, 1, MY_MAC)


def test_a_socket_does_not_see_what_it_sends_but_others_do(ours):
    sender, other, ignoring = packet(ours), packet(ours), packet(ours)
    ignoring.setsockopt(api.SOL_PACKET, api.PACKET_IGNORE_OUTGOING, 1)
    assert sender.send(SENT) == len(SENT)
    assert [everything(sock) for sock in (sender, other, ignoring)] == [[], [SENT], []]


def test_a_packet_that_several_sockets_see_is_whole_for_each_and_for_the_protocol(ours):
    taps = [packet(ours, kind) for kind in (api.SOCK_DGRAM, api.SOCK_RAW) * 2]
    short = packet(ours)
    short.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, pack("=HBBI", 6, 0, 0, 20))
    nothing = packet(ours)
    nothing.setsockopt(api.SOL_SOCKET, api.SO_ATTACH_FILTER, pack("=HBBI", 6, 0, 0, 0))
    there = ours.socket()
    there.bind(("", 9000))
    frame = ip(udp(9000, bytes(range(100))))
    ours.receive(frame)
    assert there.recv(200) == bytes(range(100))
    assert [tap.recv(200) for tap in taps] == [frame[14:], frame] * 2
    assert short.recv(200) == frame[:20]
    assert everything(nothing) == []
    assert statistics(nothing) == (0, 0)


def test_what_the_buffer_has_no_room_for_is_dropped_and_counted(ours):
    tap = packet(ours, protocol=LOCAL)
    tap.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 8192)
    for _ in range(20):
        ours.receive(FRAME)
    queued = len(tap.sk.sk_receive_queue)
    assert 0 < queued < 20
    assert ours.kernel.drop_counts() == {"SOCKET_RCVBUFF": 20 - queued}
    assert tap.sk.sk_drops == 20 - queued
    assert statistics(tap) == (20, 20 - queued)
    assert statistics(tap) == (0, 0)
    assert everything(tap) == [FRAME] * queued
    ours.receive(FRAME)
    assert statistics(tap) == (1, 0)
    assert everything(tap) == [FRAME]
    assert tap.sk.sk_rmem_alloc == 0


def test_a_call_that_waits_gets_the_next_packet_and_poll_tells_of_it(ours):
    tap = packet(ours, protocol=LOCAL)
    assert tap.poll(api.POLLIN, 0) == 0
    ours.platform.timer(ours.kernel.now_ns() + 5000, lambda: ours.receive(FRAME))
    tap.settimeout(1)
    assert tap.poll(api.POLLIN, 1) == api.POLLIN
    assert tap.recv(100) == FRAME
    ours.platform.timer(ours.kernel.now_ns() + 5000, lambda: ours.receive(FRAME))
    assert tap.recv(100) == FRAME
    with pytest.raises(TimeoutError):
        tap.recv(100)


def test_a_call_that_waits_ends_when_the_device_goes(ours):
    tap = packet(ours)
    ours.platform.timer(ours.kernel.now_ns() + 5000, lambda: unregister_netdevice(ours.dev))
    tap.settimeout(1)
    with raises(ENETDOWN):
        tap.recv(100)
    assert tap.getsockname() == ("", ALL, 0, 0, b"")
    with raises(ENXIO):
        tap.send(SENT)


@pytest.mark.parametrize("features", [0, NETIF_F_SG])
@pytest.mark.parametrize("size", [60, 4000, 9014])
def test_long_frames_go_out_as_they_are(size, features):
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=features)
    dev_set_mtu(host.dev, 9000)
    octets = (SENT + bytes(range(256)) * 40)[:size]
    raw = packet(host, protocol=0)
    assert raw.sendmsg([octets[:5], octets[5:3000], octets[3000:]]) == size
    cooked = packet(host, api.SOCK_DGRAM, 0)
    assert cooked.sendto(octets[14:], ("eth0", LOCAL, 0, 0, PEER_MAC)) == size - 14
    assert host.dev.sent == [octets, octets]
    host.platform.advance(10_000_000_000)
    assert len(host.platform.buffers) == 0


@settings(max_examples=200, deadline=None)
@given(
    octets=st.binary(min_size=12, max_size=12),
    kind=st.sampled_from([b"\x08\x00", b"\x81\x00", b"\x86\xdd", b"\x88\xa8", b"\x08\x06"]),
    payload=st.binary(max_size=80),
    queues=st.sampled_from([1, 4]),
    bypass=st.booleans(),
)
def test_arbitrary_frames_are_sent_unchanged(octets, kind, payload, queues, bypass):
    """Whatever a frame says that it is, nothing of it is believed on the way to a device with several queues."""
    kernel, platform = make_kernel()
    dev = FakeNetDevice(kernel.init_net, tx_queues=queues)
    register_netdevice(dev)
    dev_open(dev)
    sock = kernel.init_net.socket(api.AF_PACKET, api.SOCK_RAW, 0)
    sock.setsockopt(api.SOL_PACKET, api.PACKET_QDISC_BYPASS, bypass)
    frame = octets + kind + payload
    for _ in range(2):
        assert sock.sendto(frame, ("eth0", 0)) == len(frame)
    assert dev.frames == [frame, frame]
    assert dev.queues[0] == dev.queues[1] < queues
    assert len(platform.buffers) == 0


def test_a_full_queue_is_an_error_for_the_sender(ours):
    qdisc_replace(ours.dev, "tbf", rate_bps=8_000, burst=1600, limit=2200)
    sock = packet(ours)
    frame = SENT + bytes(1000)
    sent = 0
    with raises(ENOBUFS):
        while sent < 10:
            sock.send(frame)
            sent += 1
    assert 1 < sent < 10
    assert ours.kernel.drop_counts() == {"QDISC_DROP": 1}
    ours.platform.advance(100_000_000_000)
    assert sock.sk.sk_wmem_alloc == 0


def test_past_the_queue_a_busy_driver_is_an_error_and_taps_see_nothing():
    host = InetHost()
    sock, tap = packet(host), packet(host)
    sock.setsockopt(api.SOL_PACKET, api.PACKET_QDISC_BYPASS, 1)
    qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=1600, limit=2200)
    for _ in range(10):
        assert sock.send(SENT + bytes(1000)) == len(SENT) + 1000
    assert len(host.dev.frames) == 10
    assert everything(tap) == []
    host.dev.busy = True
    with raises(ENOBUFS):
        sock.send(SENT)
    host.dev.busy = False
    netif_carrier_off(host.dev)
    with raises(ENOBUFS):
        sock.send(SENT)
    assert host.dev.core_stats.tx_dropped == 1
    assert host.kernel.drop_counts() == {"NOT_SPECIFIED": 2}
    host.check_memory()


def test_sending_waits_for_room_in_the_send_buffer():
    host = InetHost()
    host.dev.hold = True
    sock = packet(host)
    sock.setsockopt(api.SOL_SOCKET, api.SO_SNDBUF, 1)
    while sock.sk.sk_wmem_alloc < sock.sk.sk_sndbuf:
        assert sock.send(SENT) == len(SENT)
    with pytest.raises(BlockingIOError):
        sock.send(SENT)
    assert not sock.poll(api.POLLOUT, 0)
    sock.settimeout(1)
    host.platform.timer(host.platform.now_ns() + 1000, host.release)
    assert sock.send(SENT) == len(SENT)
    host.release()
    host.check_memory()


def test_without_memory_nothing_is_sent(ours):
    sock, cooked = packet(ours), packet(ours, api.SOCK_DGRAM)
    for one, octets in ((sock, SENT), (cooked, b"payload")):
        ours.platform.fail_kmalloc = 0
        with raises(ENOMEM):
            one.sendto(octets, ("eth0", LOCAL, 0, 0, PEER_MAC))
        ours.platform.fail_kmalloc = -1
        assert one.sk.sk_wmem_alloc == 0
    with raises(EINVAL):
        cooked.send(b"payload")  # To whom?
    assert cooked.sk.sk_wmem_alloc == 0
    assert ours.dev.sent == []


def mreq(dev, kind: int, addr: bytes = b"") -> bytes:
    """Return a ``struct packet_mreq``."""
    return pack("=iHH8s", dev.ifindex, kind, len(addr), addr)


def test_memberships_are_what_the_device_shall_receive_until_the_last_goes(ours):
    dev = ours.dev
    dev_mc_add(dev, GROUP_MAC)
    groups = dict(dev.mc.list)
    first, second = packet(ours), packet(ours)
    wanted = [
        mreq(dev, api.PACKET_MR_PROMISC),
        mreq(dev, api.PACKET_MR_ALLMULTI),
        mreq(dev, api.PACKET_MR_MULTICAST, GROUP_MAC),
        mreq(dev, api.PACKET_MR_UNICAST, OTHER_MAC),
    ]
    for sock in (first, first, second):
        for what in wanted:
            sock.setsockopt(api.SOL_PACKET, api.PACKET_ADD_MEMBERSHIP, what)
    # This device filters by one address only, so a second one makes it take all, too.
    assert (dev.promiscuity, dev.allmulti, dev.mc.list[GROUP_MAC], dev.uc.list) == (3, 2, 3, {OTHER_MAC: 2})
    assert dev.flags & (IFF_PROMISC | IFF_ALLMULTI) == IFF_PROMISC | IFF_ALLMULTI
    for what in wanted:
        first.setsockopt(api.SOL_PACKET, api.PACKET_DROP_MEMBERSHIP, what)
    assert (dev.promiscuity, dev.allmulti, dev.mc.list[GROUP_MAC], dev.uc.list) == (3, 2, 3, {OTHER_MAC: 2})
    for what in wanted:
        first.setsockopt(api.SOL_PACKET, api.PACKET_DROP_MEMBERSHIP, what)
    assert (dev.promiscuity, dev.allmulti, dev.mc.list[GROUP_MAC], dev.uc.list) == (2, 1, 2, {OTHER_MAC: 1})
    second.close()
    assert (dev.promiscuity, dev.allmulti, dev.mc.list, dev.uc.list) == (0, 0, groups, {})
    assert not dev.flags & (IFF_PROMISC | IFF_ALLMULTI)


def test_memberships_of_a_device_that_goes_are_forgotten(ours):
    sock = packet(ours, device=None)
    sock.setsockopt(api.SOL_PACKET, api.PACKET_ADD_MEMBERSHIP, mreq(ours.dev, api.PACKET_MR_PROMISC))
    unregister_netdevice(ours.dev)
    assert ours.dev.promiscuity == 0
    assert sock.sk.mclist == {}
    assert sock.poll(api.POLLERR, 0) == 0  # It is a socket of all devices.


@settings(max_examples=300, deadline=None)
@given(
    octets=st.binary(max_size=24)
    | st.builds(
        lambda ifindex, rest: b"\x11\0\x88\xb5" + pack("=i", ifindex) + rest,
        st.sampled_from([0, 1, 2, -1]),
        st.binary(min_size=12, max_size=12),
    )
)
def test_arbitrary_octets_as_an_address_are_refused_or_name_a_device(octets):
    kernel, platform = make_kernel()
    sock = kernel.init_net.socket(api.AF_PACKET, api.SOCK_DGRAM, 0)
    ifindex = int.from_bytes(octets[4:8], "little", signed=True)
    if len(octets) < 20 or octets[:2] != b"\x11\0":
        with raises(EINVAL):
            sock.bind(octets)
    elif ifindex not in (0, 1):
        with raises(ENODEV):
            sock.bind(octets)
    else:
        sock.bind(octets)
        assert sock.getsockname()[0] == ("lo" if ifindex else "")
    with raises(EINVAL if len(octets) < 20 else ENXIO) if ifindex != 1 or len(octets) < 20 else nullcontext():
        sock.sendto(b"payload", octets)
    platform.advance(1_000_000)
    sock.close()
    assert len(platform.buffers) == 0


@pytest.mark.parametrize("option", [5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 24])
def test_options_of_rings_and_fanout_are_not_there(ours, option):
    sock = packet(ours)
    with raises(ENOPROTOOPT):
        sock.setsockopt(api.SOL_PACKET, option, bytes(16))
    with raises(ENOPROTOOPT):
        sock.getsockopt(api.SOL_PACKET, option)


@pytest.mark.parametrize(("option", "unit_ns"), [(api.SO_TIMESTAMP, 1000), (api.SO_TIMESTAMPNS, 1)])
def test_times_of_packets_are_those_of_their_arrival(ours, option, unit_ns):
    raw = ours.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    there = ours.socket()
    there.bind(("", 9000))
    protocol_tap = packet(ours, protocol=0x800)
    taps = (packet(ours), protocol_tap)
    for sock in (raw, there, *taps):
        assert sock.getsockopt(api.SOL_SOCKET, option) == 0
        sock.setsockopt(api.SOL_SOCKET, option, 1)
        assert sock.getsockopt(api.SOL_SOCKET, option) == 1
    ours.platform.advance(3_000_123_456 - ours.platform.time_ns)
    ours.receive(ip(udp(9000)))
    ours.receive(ip(icmp(0), 1))
    ours.platform.advance(1_000_000_000)
    expected = [(api.SOL_SOCKET, option, pack("=qq", 3, 123_456 // unit_ns))]
    for sock in (raw, there, *taps):
        assert sock.recvmsg(200, 100)[1] == expected
    there.setsockopt(api.SOL_SOCKET, option, 0)
    ours.receive(ip(udp(9000)))
    assert there.recvmsg(200, 100)[1] == []


def test_a_packet_that_a_router_held_back_has_a_time_of_its_own_behind_it():
    three = Namespaces(3)
    three.join(0, "10.0.1.1/24", 1, "10.0.1.254/24")
    out, _ = three.join(1, "10.0.2.254/24", 2, "10.0.2.1/24")
    inet_forward_change(three.nets[1], True)
    route_add(three.nets[0], "default", via="10.0.1.254")
    taps = [packet(SimpleNamespace(net=net), protocol=0x800, device=None) for net in three.nets[1:]]
    for tap in taps:
        tap.setsockopt(api.SOL_SOCKET, api.SO_TIMESTAMPNS, 1)
    qdisc_replace(out, "tbf", rate_bps=400_000, burst=1600, limit=100_000)
    sock = three.nets[0].socket()
    for _ in range(2):
        sock.sendto(bytes(1000), ("10.0.2.1", 9000))
    three.run(1_000_000_000)
    times = [[unpack("=qq", tap.recvmsg(2000, 100)[1][0][2])[1] for _ in range(2)] for tap in taps]
    assert times[0][1] == times[0][0] == times[1][0]
    assert times[1][1] - times[1][0] > 5_000_000
