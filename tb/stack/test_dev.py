"""From dev_queue_xmit to the driver: bypass, requeue, wake, taps, validation, qdiscs, byte queue limits, watchdog."""

import re
from dataclasses import replace
from errno import EINVAL, ENOENT

import pytest

from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_napi import (
    __napi_schedule,
    napi_complete_done,
    napi_disable,
    napi_enable,
    napi_schedule,
    napi_schedule_prep,
    netif_napi_add,
    netif_rx,
)
from hardwire.stack.core.dev_queue import (
    netdev_tx_completed_queue,
    netdev_tx_sent_queue,
    netif_stop_queue,
    netif_wake_queue,
)
from hardwire.stack.core.dev_register import (
    dev_close,
    dev_get_stats,
    dev_open,
    register_netdevice,
)
from hardwire.stack.core.dql import Dql, dql_avail, dql_completed, dql_queued
from hardwire.stack.core.netdevice import (
    NET_XMIT_CN,
    NET_XMIT_DROP,
    NETIF_F_HW_CSUM,
    NETIF_F_IP_CSUM,
    NETIF_F_SG,
)
from hardwire.stack.core.packet_type import ETH_P_ALL, PacketType, dev_add_pack, dev_remove_pack
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    PACKET_OUTGOING,
    SkBuff,
    alloc_page,
    alloc_skb,
    consume_skb,
    skb_fill_page_desc,
    skb_put_data,
    skb_reserve,
)
from hardwire.stack.core.skbuff_data import skb_clone, skb_copy_bits
from hardwire.stack.core.softirq import run_in_irq
from hardwire.stack.sched.sch_api import qdisc_replace
from hardwire.tb.stack.fake import FakeNetDevice, make_kernel

do_napi_schedule = __napi_schedule
KINDS = "bfifo, codel, fq_codel, mq, netem, noqueue, pfifo, pfifo_fast, pfifo_head_drop, prio, sfq, tbf"


class Host:
    """A host with one device that is up."""

    def __init__(self, **options: int) -> None:
        self.kernel, self.platform = make_kernel()
        self.net = self.kernel.init_net
        self.dev = FakeNetDevice(self.net, **options)
        register_netdevice(self.dev)
        dev_open(self.dev)

    def skb(self, payload: bytes = b"payload", priority: int = 0) -> SkBuff:
        """Return a frame for the device."""
        skb = alloc_skb(self.kernel, 100 + len(payload))
        skb_reserve(skb, 32)
        skb_put_data(skb, bytes(12) + b"\x08\x00" + payload)
        skb.dev = self.dev
        skb.protocol = 0x0800
        skb.network_header = skb.data + 14
        skb.priority = priority
        return skb

    def send(self, payload: bytes = b"payload", priority: int = 0) -> int:
        """Send a frame."""
        return dev_queue_xmit(self.skb(payload, priority))

    @property
    def payloads(self) -> list[bytes]:
        """What the device got, without headers."""
        return [frame[14:] for frame in self.dev.frames]

    @property
    def qdisc(self):
        """The device's qdisc."""
        return self.dev.tx[0].qdisc


@pytest.fixture
def host() -> Host:
    return Host()


NOBODY = "01:01:01:01:01:01"


def test_an_empty_qdisc_is_bypassed_and_counts(host):
    assert host.send(b"one") == 0
    assert host.payloads == [b"one"]
    assert (host.qdisc.packets, host.qdisc.octets, host.qdisc.requeues) == (1, 17, 0)
    assert not host.platform.buffers


def test_a_refused_frame_is_requeued_and_sent_first(host):
    host.dev.busy = True
    for payload in (b"one", b"two", b"three"):
        assert host.send(payload) == 0
    assert host.qdisc.requeues > 0
    assert host.qdisc.qlen == 3
    host.dev.busy = False
    netif_stop_queue(host.dev)
    netif_wake_queue(host.dev)
    host.platform.advance(100_000)
    assert host.payloads == [b"one", b"two", b"three"]
    assert host.qdisc.qlen == 0
    assert not host.platform.buffers


def test_a_driver_that_refuses_without_stopping_does_not_hang_the_host(host):
    host.dev.busy = True
    host.send(b"one")
    host.platform.advance(1_000_000)
    assert host.qdisc.requeues > 10
    host.dev.busy = False
    host.platform.advance(1_000_000)
    assert host.payloads == [b"one"]


def test_a_stopped_queue_loses_nothing_and_keeps_the_order(host):
    netif_stop_queue(host.dev)
    for number in range(300):
        assert host.send(b"%d" % number) == 0
    assert host.payloads == []
    netif_wake_queue(host.dev)
    host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(300)]


def test_a_device_that_is_down_drops_and_counts():
    host = Host()
    dev_close(host.dev)
    assert host.send() == NET_XMIT_CN
    assert host.kernel.drop_counts() == {"QDISC_DROP": 1}


def test_closing_drops_what_waits(host):
    netif_stop_queue(host.dev)
    for _ in range(3):
        host.send()
    dev_close(host.dev)
    assert host.kernel.drop_counts() == {"QDISC_DROP": 3}
    assert not host.platform.buffers


def test_pfifo_fast_sends_urgent_packets_first(host):
    netif_stop_queue(host.dev)
    host.send(b"first: it had bypassed the qdisc")
    host.send(b"bulk", priority=2)
    host.send(b"normal", priority=0)
    host.send(b"urgent", priority=6)
    netif_wake_queue(host.dev)
    host.platform.advance()
    assert host.payloads[1:] == [b"urgent", b"normal", b"bulk"]


def test_pfifo_drops_the_newest_over_its_limit(host):
    sch = qdisc_replace(host.dev, "pfifo", limit=3)
    netif_stop_queue(host.dev)
    codes = [host.send(b"%d" % number) for number in range(5)]
    # The first bypassed and was requeued; it counts.
    assert codes == [0, 0, 0, NET_XMIT_DROP, NET_XMIT_DROP]
    assert sch.drops == 2
    assert host.kernel.drop_counts() == {"QDISC_DROP": 2}


def test_bfifo_counts_octets(host):
    qdisc_replace(host.dev, "bfifo", limit=60)
    netif_stop_queue(host.dev)
    assert [host.send(bytes(6)) for number in range(5)] == [0, 0, 0, NET_XMIT_DROP, NET_XMIT_DROP]


def test_tbf_spaces_packets_at_its_rate(host):
    # 1,014 octets at 400 kbit/s take 20.28 ms; the burst holds one of them and a half.
    sch = qdisc_replace(host.dev, "tbf", rate_bps=400_000, burst=1600, limit=100_000)
    for _ in range(4):
        assert host.send(bytes(1000)) == 0
    assert len(host.dev.frames) == 1
    times = []
    while host.platform.timers:
        before = len(host.dev.frames)
        host.platform.advance(100_000)
        times += [host.platform.time_ns] * (len(host.dev.frames) - before)
    expected = [(count * 1014 - 1600) * 20_000 for count in (2, 3, 4)]
    assert [round(at, -5) for at in times] == [round(at + 50_000, -5) for at in expected]
    assert sch.overlimits == 5  # Each packet that is queued has it look, too.
    assert sch.qlen == 0


def test_tbf_over_its_limit_drops_and_says_so(host):
    sch = qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=1600, limit=2200)
    assert [host.send(bytes(1000)) for _ in range(4)] == [0, 0, 0, NET_XMIT_DROP]
    assert host.send(bytes(1700)) == NET_XMIT_DROP  # Longer than the bucket is deep.
    assert sch.drops == 2
    dev_close(host.dev)
    assert not host.platform.buffers


@pytest.mark.parametrize(
    ("kind", "options", "number", "text"),
    [
        ("fq", {}, ENOENT, f"no qdisc 'fq'; there are {KINDS}"),
        ("pfifo", {"rate": 1}, EINVAL, "qdisc pfifo does not take rate"),
        ("tbf", {"rate_bps": 1000}, EINVAL, "tbf needs rate_bps, burst and limit"),
        ("tbf", {"rate_bps": 1.5, "burst": 1, "limit": 1}, EINVAL, "rate_bps must be a number from 0 up, not 1.5"),
        ("pfifo", {"limit": -1}, EINVAL, "limit must be a number from 0 up, not -1"),
        ("pfifo", {"limit": "x"}, EINVAL, "limit must be a number from 0 up, not 'x'"),
        ("noqueue", {"limit": 1}, EINVAL, "qdisc noqueue has no options"),
    ],
)
def test_impossible_qdiscs_are_refused(host, kind, options, number, text):
    before = host.qdisc
    with pytest.raises(OSError, match=f"^.Errno {number}. {re.escape(text)}$"):
        qdisc_replace(host.dev, kind, **options)
    assert host.qdisc is before


def test_noqueue_goes_straight_to_the_driver(host):
    qdisc_replace(host.dev, "noqueue")
    assert host.send(b"one") == 0
    assert host.payloads == [b"one"]
    netif_stop_queue(host.dev)
    assert host.send(b"two") < 0
    assert host.dev.stats.tx_dropped == 1
    assert not host.platform.buffers


def test_taps_see_a_frame_once_before_the_driver(host):
    seen = []

    def tap(skb: SkBuff, dev: FakeNetDevice, pt: PacketType, orig_dev: FakeNetDevice) -> int:
        seen.append((skb_copy_bits(skb, 14, skb.len - 14), skb.pkt_type, len(dev.frames)))
        consume_skb(skb)
        return 0

    taps = [PacketType(ETH_P_ALL, tap, dev) for dev in (host.dev, None)]
    for pt in taps:
        dev_add_pack(host.net, pt)
    host.send(b"one")
    assert seen == [(b"one", PACKET_OUTGOING, 0)] * 2
    again = host.skb(b"two")
    again.tapped = True  # As after a miss in the ARP cache.
    dev_queue_xmit(again)
    for pt in taps:
        dev_remove_pack(host.net, pt)
    host.send(b"three")
    assert len(seen) == 2
    assert not host.platform.buffers


def _partial(host: Host) -> SkBuff:
    skb = host.skb(b"\x12\x34" + bytes(2) + b"\x56\x78\x9a")
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = skb.data + 14
    skb.csum_offset = 2
    return skb


@pytest.mark.parametrize("features", [0, NETIF_F_IP_CSUM, NETIF_F_HW_CSUM])
def test_the_checksum_is_computed_when_the_device_does_not(features):
    host = Host(features=features)
    dev_queue_xmit(_partial(host))
    if features == NETIF_F_HW_CSUM:
        assert host.dev.offloads == [(CHECKSUM_PARTIAL, 14, 2)]
        assert host.dev.frames[0][16:18] == bytes(2)
    else:  # NETIF_F_IP_CSUM knows the fields of TCP and UDP only.
        assert host.dev.offloads[0][0] == 0
        assert host.dev.frames[0][16:18] == (0xFFFF - (0x1234 + 0x5678 + 0x9A00 - 0xFFFF)).to_bytes(2, "big")


def test_a_computed_checksum_of_zero_goes_out_as_ffff():
    host = Host(features=0)
    skb = host.skb(b"\xff\xff" + bytes(2))
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = skb.data + 14
    skb.csum_offset = 2
    dev_queue_xmit(skb)
    assert host.payloads == [b"\xff\xff\xff\xff"]


def test_a_cloned_packet_is_not_written_by_the_checksum():
    host = Host(features=0)
    seen = []
    dev_add_pack(host.net, PacketType(ETH_P_ALL, lambda skb, *_: seen.append(skb) or 0, host.dev))
    skb = _partial(host)
    keep = skb_clone(skb)
    dev_queue_xmit(skb)
    assert skb_copy_bits(keep, 16, 2) == bytes(2)
    assert skb_copy_bits(seen[0], 16, 2) != bytes(2)


@pytest.mark.parametrize("features", [0, NETIF_F_SG])
def test_fragments_are_joined_when_the_device_cannot_gather(features):
    host = Host(features=features)
    skb = host.skb(b"head")
    page = alloc_page(host.kernel, 4)
    page.view[:] = b"frag"
    skb_fill_page_desc(skb, page, 0, 4)
    skb.len += 4
    skb.data_len += 4
    host.dev.hold = True
    dev_queue_xmit(skb)
    assert host.payloads == [b"headfrag"]
    assert host.dev.held[0].data_len == (4 if features else 0)


def test_a_packet_that_cannot_be_made_valid_is_dropped_and_counted():
    host = Host(features=0)
    skb = host.skb(b"head")
    page = alloc_page(host.kernel, 4000)
    skb_fill_page_desc(skb, page, 0, 4000)
    skb.len += 4000
    skb.data_len += 4000
    host.platform.fail_kmalloc = 0
    dev_queue_xmit(skb)
    assert host.dev.stats.tx_dropped == 1
    assert host.kernel.drop_counts() == {"NOMEM": 1}
    assert not host.platform.buffers


def test_byte_queue_limits_hold_back_and_let_go_on_completion(host):
    ops = host.dev.netdev_ops
    sent = ops.ndo_start_xmit

    def start_xmit(skb: SkBuff, dev: FakeNetDevice) -> int:
        length = skb.len
        code = sent(skb, dev)
        netdev_tx_sent_queue(dev.tx[0], length)
        return code

    host.dev.netdev_ops = replace(ops, ndo_start_xmit=start_xmit)
    for number in range(40):
        host.send(b"%02d" % number)
    batches = []
    done = 0
    while done < 40:
        batch = len(host.dev.frames) - done
        batches.append(batch)
        done += batch
        netdev_tx_completed_queue(host.dev.tx[0], batch, batch * 16)
        host.platform.advance()
    # It starts with one frame at a time and opens up; batches are handed over with xmit_more.
    assert batches[0] == 1
    assert max(batches) > 4
    assert any(host.dev.more)
    assert host.payloads == [b"%02d" % number for number in range(40)]


def test_the_limit_shrinks_when_the_ring_is_never_empty():
    dql = Dql()
    dql_queued(dql, 10_000)
    assert dql_avail(dql) < 0
    dql_completed(dql, 10_000, 0)
    assert dql.limit == 10_000
    for step in range(30):
        dql_queued(dql, 1000 if step else 8000)
        dql_completed(dql, 1000, step * 100_000_000)
    assert dql.limit < 4000
    with pytest.raises(ValueError, match="octets completed of"):
        dql_completed(dql, 1 << 20, 0)


def test_napi_polls_until_the_work_is_done(host):
    left = [100]
    polls = []

    def poll(napi, budget):
        work = min(left[0], budget)
        left[0] -= work
        polls.append(work)
        if work < budget:
            napi_complete_done(napi, work)
        return work

    napi = netif_napi_add(host.dev, poll)
    napi_schedule(napi)
    assert polls == []  # Disabled.
    napi_enable(napi)

    def interrupt() -> None:
        assert napi_schedule_prep(napi)
        do_napi_schedule(napi)
        assert not napi_schedule_prep(napi)

    run_in_irq(host.kernel, interrupt)
    # It was asked for once more while it was scheduled, so it looks once more at the end.
    assert polls == [64, 36, 0]
    napi_disable(napi)
    assert not napi_schedule_prep(napi)


def test_loopback_hands_the_packet_back_without_its_link_header(host):
    received = []
    dev_add_pack(host.net, PacketType(0x88B5, lambda skb, *_: received.append(skb) or 0))
    lo = host.net.loopback_dev
    skb = host.skb(b"to myself")
    skb.view[skb.data + 12 : skb.data + 14] = b"\x88\xb5"
    skb.dev = lo
    assert dev_queue_xmit(skb) == 0
    assert skb_copy_bits(received[0], 0, received[0].len) == b"to myself"
    assert received[0].dev is lo
    assert (lo.stats.tx_packets, lo.stats.rx_packets) == (1, 1)


def test_packets_nobody_receives_are_counted(host):
    skb = host.skb()
    skb.protocol = 0x88B5
    netif_rx(skb)
    assert host.kernel.drop_counts() == {"UNHANDLED_PROTO": 1}
    assert dev_get_stats(host.dev).rx_dropped == 1
    assert not host.platform.buffers


def test_the_watchdog_calls_the_driver_once_a_period_while_a_queue_is_stuck():
    kernel, platform = make_kernel()
    calls = []
    dev = FakeNetDevice(kernel.init_net)
    dev.netdev_ops = replace(dev.netdev_ops, ndo_tx_timeout=lambda dev, queue: calls.append(platform.now_ns()))
    register_netdevice(dev)
    dev_open(dev)
    assert not platform.timers  # An idle host has nothing to do.
    netif_stop_queue(dev)
    platform.advance(4_900_000_000)
    assert calls == []
    platform.advance(300_000_000)
    assert len(calls) == 1
    netif_wake_queue(dev)
    platform.advance(20_000_000_000)
    assert len(calls) == 1
    assert not platform.timers
