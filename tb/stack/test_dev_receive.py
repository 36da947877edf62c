"""Between driver and protocols: handlers and taps, VLAN tags, batches, address lists and links."""

import pytest

from hardwire.stack.core.dev_addr_lists import (
    dev_mc_add,
    dev_mc_del,
    dev_mc_flush,
    dev_set_allmulti,
    dev_set_promiscuity,
    dev_uc_add,
    dev_uc_del,
    dev_uc_flush,
)
from hardwire.stack.core.dev_napi import napi_complete_done, napi_schedule
from hardwire.stack.core.dev_receive import (
    RxHandlerResult,
    netdev_rx_handler_register,
    netdev_rx_handler_unregister,
    netif_receive_skb,
)
from hardwire.stack.core.dev_register import (
    NetdevEvent,
    dev_close,
    dev_get_stats,
    dev_open,
    register_netdevice_notifier,
)
from hardwire.stack.core.gro import napi_gro_receive
from hardwire.stack.core.if_vlan import __vlan_hwaccel_put_tag as put_tag
from hardwire.stack.core.link_watch import dev_get_flags, netif_carrier_off, netif_carrier_on
from hardwire.stack.core.netdevice import (
    IFF_ALLMULTI,
    IFF_LOWER_UP,
    IFF_PROMISC,
    IFF_RUNNING,
    IFF_UNICAST_FLT,
    NETIF_F_HW_VLAN_CTAG_FILTER,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack, dev_remove_pack
from hardwire.stack.core.skbuff import (
    CHECKSUM_COMPLETE,
    PACKET_HOST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    SkBuff,
    consume_skb,
    skb_get,
)
from hardwire.stack.core.skbuff_csum import pskb_trim_rcsum, skb_pull_rcsum
from hardwire.stack.core.skbuff_data import pskb_trim, skb_clone, skb_copy_bits
from hardwire.stack.core.skbuff_rx import napi_alloc_skb
from hardwire.stack.core.softirq import run_in_softirq
from hardwire.stack.iproute import neigh_add, neigh_show
from hardwire.stack.vlan.vlan_core import VlanInfo, vlan_vid_add, vlan_vid_del
from hardwire.stack.wire.checksum import csum_partial
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC
from hardwire.tb.stack.inet_host import MS, SECOND, raises
from hardwire.tb.stack.pair import Pair, PairHost
from hardwire.tb.stack.test_receive_linux import FRAMES

OURS = b"\x88\xb5"
FRAME = MY_MAC + PEER_MAC + OURS + b"payload".ljust(46, b"\0")


@pytest.fixture
def host():
    return PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")


class Seen:
    """A handler that notes, and then frees, what it gets."""

    def __init__(self, name="", log=None):
        self.name = name
        self.log = [] if log is None else log
        self.skbs: list[SkBuff] = []

    def __call__(self, skb, dev, pt, orig_dev):
        self.log.append((self.name, skb_copy_bits(skb, 0, skb.len), skb.pkt_type, dev.name, orig_dev.name))
        self.skbs.append(skb)
        consume_skb(skb)
        return 0


def names(log):
    """Return who saw packets, in order."""
    return [entry[0] for entry in log]


def test_taps_come_before_handlers_and_the_last_takes_the_skb_itself(host):
    log = []
    for name, kind, dev in (
        ("handler", 0x88B5, None),
        ("tap of all", ETH_P_ALL, None),
        ("other protocol", 0x88B6, None),
        ("same bucket", 0x8805, None),
        ("tap of eth0", ETH_P_ALL, host.dev),
        ("tap of lo", ETH_P_ALL, host.net.loopback_dev),
        ("handler of eth0", 0x88B5, host.dev),
    ):
        dev_add_pack(host.net, PacketType(kind, Seen(name, log), dev))
    host.receive(FRAME)
    assert names(log) == ["tap of all", "tap of eth0", "handler", "handler of eth0"]
    assert {entry[1:] for entry in log} == {(FRAME[14:], PACKET_HOST, "eth0", "eth0")}
    assert not host.platform.buffers


def test_a_handler_may_be_removed_while_it_runs_and_removing_it_again_warns(host):
    log = []

    def once(skb, dev, pt, orig_dev):
        dev_remove_pack(host.net, first)
        return Seen("once", log)(skb, dev, pt, orig_dev)

    first = PacketType(0x88B5, once)
    dev_add_pack(host.net, PacketType(0x88B5, Seen("always", log)))
    dev_add_pack(host.net, first)
    host.receive(FRAME)
    host.receive(FRAME)
    assert names(log) == ["once", "always", "always"]
    with pytest.warns(RuntimeWarning, match="not found"):
        dev_remove_pack(host.net, first)


def test_a_frame_that_nobody_handles_is_dropped_and_counted(host):
    host.receive(FRAME)
    assert host.kernel.drop_counts() == {"UNHANDLED_PROTO": 1}
    assert dev_get_stats(host.dev).rx_dropped == 1
    host.receive(bytes(6) + FRAME[6:12] + FRAMES["echo"][12:])
    assert host.kernel.drop_counts() == {"UNHANDLED_PROTO": 1, "OTHERHOST": 1}
    assert dev_get_stats(host.dev).rx_otherhost_dropped == 1
    assert not host.platform.buffers


def test_a_shared_packet_is_cloned_before_ip_changes_it(host):
    tap = Seen()
    kept = []
    neigh_add(host.dev, "10.0.0.1", "02:00:00:00:00:01")
    dev_add_pack(host.net, PacketType(ETH_P_ALL, lambda skb, *_: kept.append(skb) or 0))
    dev_add_pack(host.net, PacketType(ETH_P_ALL, tap))
    host.receive(FRAMES["echo"])
    assert skb_copy_bits(kept[0], 0, kept[0].len) == FRAMES["echo"][14:] == tap.log[0][1]
    host.platform.advance(MS)
    assert host.mib["Icmp:OutEchoReps"] == 1
    for skb in kept:
        consume_skb(skb)
    assert not host.platform.buffers


@pytest.mark.parametrize("result", list(RxHandlerResult))
def test_the_handler_of_a_device_decides_what_becomes_of_a_packet(host, result):
    log = []
    lo = host.net.loopback_dev

    def handler(skb):
        log.append(("rx_handler",))
        if result == RxHandlerResult.CONSUMED:
            consume_skb(skb)
        elif result == RxHandlerResult.ANOTHER:
            skb.dev = lo
        return result, skb

    netdev_rx_handler_register(host.dev, handler)
    with raises(16):
        netdev_rx_handler_register(host.dev, handler)
    for name, kind, dev in (
        ("handler", 0x88B5, None),
        ("handler of eth0", 0x88B5, host.dev),
        ("handler of lo", 0x88B5, lo),
        ("tap", ETH_P_ALL, host.dev),
        ("tap of lo", ETH_P_ALL, lo),
    ):
        dev_add_pack(host.net, PacketType(kind, Seen(name, log), dev))
    host.receive(FRAME)
    assert (
        names(log)
        == {
            RxHandlerResult.CONSUMED: ["tap", "rx_handler"],
            RxHandlerResult.ANOTHER: ["tap", "rx_handler", "tap of lo", "handler", "handler of eth0", "handler of lo"],
            RxHandlerResult.EXACT: ["tap", "rx_handler", "handler of eth0"],
            RxHandlerResult.PASS: ["tap", "rx_handler", "handler", "handler of eth0"],
        }[result]
    )
    netdev_rx_handler_unregister(host.dev)
    log.clear()
    host.receive(FRAME)
    assert names(log) == ["tap", "handler", "handler of eth0"]
    assert not host.platform.buffers


def test_only_handlers_of_the_device_count_after_exact(host):
    netdev_rx_handler_register(host.dev, lambda skb: (RxHandlerResult.EXACT, skb))
    host.receive(FRAMES["echo"])
    assert dev_get_stats(host.dev).rx_nohandler == 1
    assert host.kernel.drop_counts() == {"UNHANDLED_PROTO": 1}


def tagged(tci: int, frame: bytes = FRAME, proto: bytes = b"\x81\x00") -> bytes:
    """Return a frame with a tag in it."""
    return frame[:12] + proto + tci.to_bytes(2, "big") + frame[12:]


def vlan_device(host, vid: int, mac: bytes = MY_MAC) -> NetDevice:
    """Return a device that stands for a VLAN."""
    dev = NetDevice(host.net, f"eth0.{vid}", NetDeviceOps(ndo_start_xmit=lambda skb, dev: 0), Capabilities())
    dev.flags = 1  # IFF_UP
    dev.dev_addr = mac
    vlan_vid_add(host.dev, 0x8100, vid)
    info = host.dev.vlan_info
    assert isinstance(info, VlanInfo)
    info.devs[0x8100, vid] = dev
    return dev


@pytest.mark.parametrize("offloaded", [False, True])
@pytest.mark.parametrize("complete", [False, True])
def test_a_tagged_frame_reaches_its_vlans_device(host, offloaded, complete):
    host.dev.complete = complete
    log = []
    vlan = vlan_device(host, 5)
    dev_add_pack(host.net, PacketType(0x88B5, Seen("handler", log)))
    dev_add_pack(host.net, PacketType(ETH_P_ALL, Seen("tap", log), host.dev))
    skb = host.dev.build(FRAME if offloaded else tagged(0x6005))
    if offloaded:
        put_tag(skb, 0x8100, 0x6005)
    skb_get(skb)
    run_in_softirq(host.kernel, lambda: netif_receive_skb(skb))
    assert [entry[0] for entry in log] == ["tap", "handler"]
    assert [entry[3] for entry in log] == ["eth0", "eth0.5"]
    assert log[1][1] == FRAME[14:]
    assert skb_copy_bits(skb, 0, skb.len) == FRAME[14:]
    assert bytes(skb.view[skb.mac_header : skb.mac_header + 12]) == FRAME[:12]
    if complete:
        assert skb.ip_summed == CHECKSUM_COMPLETE
        assert skb.csum == csum_partial(FRAME[14:])
    assert (vlan.stats.rx_packets, vlan.stats.rx_bytes) == (1, 46)
    consume_skb(skb)
    assert not host.platform.buffers


@pytest.mark.parametrize(
    ("tci", "expected"),
    [(0x0006, PACKET_OTHERHOST), (0xE000, PACKET_HOST)],
    ids=["another VLAN", "a priority only"],
)
def test_a_tag_that_no_device_takes(host, tci, expected):
    seen = Seen()
    dev_add_pack(host.net, PacketType(0x88B5, seen))
    host.receive(tagged(tci))
    host.receive(tagged(0, tagged(tci)))
    assert [entry[2] for entry in seen.log] == [expected] * 2
    host.receive(tagged(tci, FRAMES["echo"]))
    assert host.kernel.drop_counts() == ({"OTHERHOST": 1} if expected == PACKET_OTHERHOST else {})


def test_a_vlan_that_is_down_drops_and_a_tag_cut_short_does_too(host):
    vlan_device(host, 5).flags = 0
    host.receive(tagged(5))
    host.receive(tagged(5)[:17])
    assert host.kernel.drop_counts() == {"NOT_SPECIFIED": 2}
    assert not host.platform.buffers


def test_a_vlans_device_may_have_an_address_of_its_own(host):
    vlan_device(host, 5, mac=bytes.fromhex("0200000000cc"))
    seen = Seen()
    dev_add_pack(host.net, PacketType(0x88B5, seen))
    host.receive(tagged(5, bytes.fromhex("0200000000cc") + FRAME[6:]))
    host.receive(tagged(5, bytes.fromhex("01005e000001") + FRAME[6:]))
    assert [entry[2] for entry in seen.log] == [PACKET_HOST, PACKET_MULTICAST]


def test_a_filter_learns_of_each_vlan_once(host):
    calls = []
    ops = NetDeviceOps(
        ndo_start_xmit=lambda skb, dev: 0,
        ndo_vlan_rx_add_vid=lambda dev, proto, vid: calls.append(("add", proto, vid)),
        ndo_vlan_rx_kill_vid=lambda dev, proto, vid: calls.append(("kill", proto, vid)),
    )
    dev = NetDevice(host.net, "eth9", ops, Capabilities(features=NETIF_F_HW_VLAN_CTAG_FILTER))
    for vid in (5, 5, 6):
        vlan_vid_add(dev, 0x8100, vid)
    for vid in (5, 6, 5):
        vlan_vid_del(dev, 0x8100, vid)
    assert calls == [("add", 0x8100, 5), ("add", 0x8100, 6), ("kill", 0x8100, 6), ("kill", 0x8100, 5)]
    assert dev.vlan_info is None
    with raises(2):
        vlan_vid_del(dev, 0x8100, 5)
    with raises(22):
        vlan_vid_add(dev, 0x8100, 4096)


def test_napi_hands_packets_on_in_batches_of_eight_and_the_rest_at_its_end(host):
    seen = Seen()
    dev_add_pack(host.net, PacketType(0x88B5, seen))
    lengths = []

    def poll(napi, budget):
        for _ in range(11):
            napi_gro_receive(napi, host.dev.build(FRAME))
            lengths.append(len(seen.log))
        napi_complete_done(napi, 11)
        return 11

    host.dev.napi.poll = poll
    run_in_softirq(host.kernel, lambda: napi_schedule(host.dev.napi))
    assert lengths == [0] * 7 + [8] * 4
    assert len(seen.log) == 11


def test_a_list_function_gets_the_packets_in_a_row(host):
    rows = []

    def rcv_list(skbs, pt, orig_dev):
        rows.append(len(skbs))
        for skb in skbs:
            consume_skb(skb)

    dev_add_pack(host.net, PacketType(0x88B5, Seen(), list_func=rcv_list))
    other = FRAME[:12] + b"\x88\xb6" + FRAME[14:]
    dev_add_pack(host.net, PacketType(0x88B6, Seen()))
    host.dev.arrived.extend([FRAME, FRAME, other, FRAME])
    host.receive(FRAME)
    assert rows == [2, 2]


def test_napi_alloc_skb_has_room_for_a_copy(host):
    skb = napi_alloc_skb(host.dev.napi, 100)
    assert (skb.data, skb.end - skb.tail, skb.dev) == (66, 100, host.dev)
    consume_skb(skb)


@pytest.mark.parametrize("buffer_octets", [14, 20, 33, 50, 200])
@pytest.mark.parametrize("length", [0, 1, 7, 20, 45, 46])
@pytest.mark.parametrize("cloned", [False, True])
def test_a_packet_is_trimmed_and_pulled_with_its_sum(host, buffer_octets, length, cloned):
    host.dev.complete = True
    host.dev.buffer_octets = buffer_octets
    frame = FRAME[:14] + bytes(range(46))
    skb = host.dev.build(frame)
    clone = skb_clone(skb) if cloned else None
    pskb_trim_rcsum(skb, length)
    assert skb_copy_bits(skb, 0, skb.len) == frame[14 : 14 + length]
    assert skb.csum % 0xFFFF == csum_partial(frame[14 : 14 + length]) % 0xFFFF
    part = min(length, skb.tail - skb.data)
    skb_pull_rcsum(skb, part)
    assert skb.csum % 0xFFFF == csum_partial(frame[14 + part : 14 + length]) % 0xFFFF
    consume_skb(skb)
    if clone is not None:
        assert skb_copy_bits(clone, 0, clone.len) == frame[14:]
        consume_skb(clone)
    assert not host.platform.buffers


def test_a_list_of_fragments_is_trimmed(host):
    for length in range(139):
        skb, second, third = (host.dev.build(FRAME) for _ in range(3))
        skb.frag_list, second.next = second, third
        skb.len += 92
        skb.data_len += 92
        pskb_trim(skb, length)
        assert skb_copy_bits(skb, 0, skb.len) == (FRAME[14:] * 3)[:length]
        assert skb.data_len == max(length - 46, 0)
        consume_skb(skb)
        assert not host.platform.buffers


def test_the_driver_hears_of_groups_and_modes_while_the_device_is_up(host):
    modes = host.dev.rx_modes
    all_hosts, group = bytes.fromhex("01005e000001"), bytes.fromhex("01005e010203")
    assert modes[-1][1] == (all_hosts,)
    dev_mc_add(host.dev, group)
    dev_mc_add(host.dev, group)
    assert modes[-1][1] == (all_hosts, group)
    dev_mc_del(host.dev, group)
    assert modes[-1][1] == (all_hosts, group)
    dev_mc_del(host.dev, group)
    assert modes[-1][1] == (all_hosts,)
    with raises(2):
        dev_mc_del(host.dev, group)
    with raises(22):
        dev_mc_add(host.dev, b"short")
    dev_close(host.dev)
    count = len(modes)
    dev_set_allmulti(host.dev, 1)
    assert not host.dev.mc
    assert len(modes) == count
    dev_open(host.dev)
    assert modes[count][0] & IFF_ALLMULTI
    assert modes[-1][1] == (all_hosts,)
    dev_set_allmulti(host.dev, -1)
    assert not modes[-1][0] & IFF_ALLMULTI
    dev_mc_flush(host.dev)
    assert not len(host.dev.mc)


def test_promiscuity_is_counted(host):
    for inc, flag in ((1, True), (1, True), (-1, True), (-1, False)):
        dev_set_promiscuity(host.dev, inc)
        assert bool(host.dev.flags & IFF_PROMISC) is flag
    with raises(75):
        dev_set_promiscuity(host.dev, -1)


@pytest.mark.parametrize("filters", [False, True])
def test_a_device_with_one_filter_takes_all_frames_for_a_second_address(host, filters):
    if filters:
        host.dev.priv_flags |= IFF_UNICAST_FLT
    other = bytes.fromhex("0200000000bb")
    dev_uc_add(host.dev, other)
    assert bool(host.dev.flags & IFF_PROMISC) is not filters
    assert list(host.dev.uc) == [other]
    dev_uc_del(host.dev, other)
    assert not host.dev.flags & IFF_PROMISC
    dev_uc_add(host.dev, other)
    dev_uc_flush(host.dev)
    assert not host.dev.uc


def test_without_a_link_nothing_is_sent_and_neighbours_are_forgotten():
    pair = Pair()
    dev = pair.a.dev
    a = pair.a.socket()
    a.sendto(b"x", ("10.0.0.2", 9))
    neigh_add(dev, "10.0.0.7", "02:00:00:00:00:07")
    pair.run()
    events = []
    register_netdevice_notifier(pair.a.net, lambda event, dev: events.append(event))
    events.clear()
    assert dev_get_flags(dev) & (IFF_RUNNING | IFF_LOWER_UP) == IFF_RUNNING | IFF_LOWER_UP
    sent = len(dev.sent)
    netif_carrier_off(dev)
    assert dev_get_flags(dev) & (IFF_RUNNING | IFF_LOWER_UP) == IFF_RUNNING  # Not followed yet.
    pair.run(SECOND)
    assert dev_get_flags(dev) & (IFF_RUNNING | IFF_LOWER_UP) == 0
    assert events == [NetdevEvent.CHANGE]
    assert neigh_show(pair.a.net) == ["10.0.0.7 dev eth0 lladdr 02:00:00:00:00:07 PERMANENT"]
    assert a.sendto(b"lost", ("10.0.0.7", 9)) == 4
    pair.run()
    assert len(dev.sent) == sent
    assert pair.a.kernel.drop_counts() == {"QDISC_DROP": 1}
    netif_carrier_on(dev)
    pair.run(0)  # At once, since a link that comes is urgent.
    assert events == [NetdevEvent.CHANGE] * 2
    assert dev_get_flags(dev) & (IFF_RUNNING | IFF_LOWER_UP) == IFF_RUNNING | IFF_LOWER_UP
    a.sendto(b"sent", ("10.0.0.7", 9))
    assert dev.sent[-1][42:] == b"sent"


def test_a_link_that_flaps_is_followed_once_a_second(host):
    events = []
    register_netdevice_notifier(host.net, lambda event, dev: events.append((host.platform.now_ns(), event)))
    events.clear()
    for _ in range(40):
        netif_carrier_off(host.dev)
        host.platform.advance(50 * MS)
        netif_carrier_on(host.dev)
        host.platform.advance(50 * MS)
    downs = [at for at, event in events if event == NetdevEvent.CHANGE]
    assert 3 <= len(downs) <= 9


def test_a_device_without_a_link_at_first_starts_when_it_comes():
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24")
    platform, dev = host.platform, host.dev
    dev_close(dev)
    netif_carrier_off(dev)
    platform.advance(2 * SECOND)
    dev_open(dev)
    assert dev_get_flags(dev) & IFF_RUNNING == 0
    assert dev.tx[0].qdisc.ops.id == "noop"
    netif_carrier_on(dev)
    platform.advance(MS)
    assert dev.tx[0].qdisc.ops.id == "pfifo_fast"
    assert dev_get_flags(dev) & IFF_RUNNING


def test_links_are_not_followed_while_devices_are_configured(host):
    netif_carrier_off(host.dev)
    with host.kernel.rtnl:
        host.platform.advance(10 * MS)
        assert host.dev.tx[0].qdisc.ops.id == "pfifo_fast"
    host.platform.advance(10 * MS)
    assert host.dev.tx[0].qdisc.ops.id == "noop"
