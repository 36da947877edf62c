"""The NIC driver against a stand-in for the registers: what is hard to bring about on the gateware."""

import random
import re
from errno import EINVAL, ENODEV

import pytest

from hardwire.stack.abi import GLOBAL, TXQ, TxFlags, TxStatus
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_queue import netif_tx_wake_queue
from hardwire.stack.core.dev_register import dev_change_features, dev_close, dev_get_stats, dev_open, dev_set_mtu
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
)
from hardwire.stack.drivers.hardwire import hardwire_probe, hardwire_remove
from hardwire.tb.stack.driver_host import MAC, Host
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.nic_double import NicDouble


def test_a_frame_is_mapped_sent_freed_and_counted():
    host = Host()
    assert host.send(b"one") == 0
    assert list(host.device.dma.mapped.values()) == [17]
    host.device.run()
    assert host.payloads == [b"one"]
    assert host.all_is_given_back()
    stats = dev_get_stats(host.dev)
    assert (stats.tx_packets, stats.tx_bytes, stats.tx_errors, stats.tx_dropped) == (1, 17, 0, 0)


def test_fragments_become_parts_of_one_frame():
    host = Host()
    frags = tuple(bytes([65 + n]) * (n + 1) for n in range(17))
    host.send(b"head", frags)
    assert host.ring.next_to_use == 18
    host.device.run()
    assert host.payloads == [b"head" + b"".join(frags)]
    assert host.all_is_given_back()


@pytest.mark.parametrize(("ring", "parts"), [(2, 17), (4, 17), (4, 3), (8, 7), (16, 17), (16, 15)])
def test_a_frame_with_more_parts_than_the_ring_holds_is_joined(ring, parts):
    host = Host(ring)
    frags = tuple(bytes([65 + n]) for n in range(parts))
    for _ in range(5):
        host.send(b"head", frags)
        host.device.run()
    assert host.payloads == [b"head" + b"".join(frags)] * 5
    assert host.ring.stat["linearized"] == 5
    assert host.all_is_given_back()


def test_a_full_ring_stops_the_queue_and_a_clean_one_wakes_it():
    host = Host(64)
    for number in range(200):
        assert host.send(b"%d" % number) == 0
    assert host.ring.unused() < 18
    assert host.dev.tx[0].qdisc.qlen == 200 - (64 - 18)
    while host.device.run():
        host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(200)]
    assert host.all_is_given_back()
    assert host.ring.stat["busy"] == 0


def test_the_interrupt_is_let_through_again_after_each_poll():
    host = Host()
    for number in range(3):
        host.send(b"%d" % number)
        host.device.run()
        assert host.all_is_given_back()


def test_the_smallest_ring_passes_frames_one_by_one():
    host = Host(2)
    for number in range(20):
        host.send(b"%d" % number)
    while host.device.run():
        host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(20)]


def test_one_doorbell_for_a_batch():
    host = Host()
    host.dev.tx[0].state |= 1
    for number in range(10):
        host.send(b"%d" % number)
    before = len(host.device.doorbells)
    netif_tx_wake_queue(host.dev.tx[0])
    host.platform.advance()
    host.device.run()
    assert len(host.payloads) == 10
    # The one that was requeued, then the others.
    assert len(host.device.doorbells) - before == 2


def test_a_frame_dropped_after_deferred_doorbells_rings_for_those_before():
    host = Host()
    host.kernel.softnet.xmit_more = True
    ops = host.dev.netdev_ops
    assert ops.ndo_start_xmit(host.skb(b"one"), host.dev) == 0
    assert host.device.doorbells[-1] == 0
    host.kernel.softnet.xmit_more = False
    host.device.dma.fail_map = 0
    assert ops.ndo_start_xmit(host.skb(b"two"), host.dev) == 0
    assert host.device.doorbells[-1] == 1
    host.device.run()
    assert host.payloads == [b"one"]
    assert host.kernel.drop_counts() == {"DMA_MAPPING": 1}
    assert host.dev.stats.tx_dropped == 1
    assert host.all_is_given_back()


def test_a_refusal_after_deferred_doorbells_rings_for_those_before():
    host = Host(2)
    host.kernel.softnet.xmit_more = True
    ops = host.dev.netdev_ops
    ops.ndo_start_xmit(host.skb(b"one"), host.dev)
    host.ring.posted = 0  # As if the queue had not been stopped.
    before = len(host.device.doorbells)
    assert ops.ndo_start_xmit(host.skb(b"two"), host.dev) == 0x10
    assert host.device.doorbells[before:] == [1]


@pytest.mark.parametrize("failing", range(4))
def test_a_mapping_that_fails_takes_back_those_before(failing):
    host = Host()
    host.device.dma.fail_map = failing
    host.send(b"head", (b"a", b"b", b"c"))
    assert host.kernel.drop_counts() == {"DMA_MAPPING": 1}
    assert host.all_is_given_back()
    assert host.ring.next_to_use == 0
    host.device.dma.fail_map = -1
    host.send(b"good")
    host.device.run()
    assert host.payloads == [b"good"]


@pytest.mark.parametrize("status", [s for s in TxStatus if s not in (TxStatus.OK, TxStatus.RESOLVE_MISS)])
def test_each_failure_is_counted_with_its_reason(status):
    host = Host()
    host.device.statuses = [status]
    host.send(b"bad")
    host.send(b"good")
    host.device.run()
    assert host.payloads == [b"good"]
    assert host.kernel.drop_counts() == {f"HW_{status.name}": 1}
    stats = dev_get_stats(host.dev)
    assert (stats.tx_packets, stats.tx_errors) == (1, 1)
    assert host.all_is_given_back()


def test_a_completion_for_what_was_not_posted_is_an_error():
    host = Host()
    host.send()
    host.device.head = 5
    host.device.regs[TXQ.address(TXQ["TAIL"])] = 6
    host.ring.desc_view[5 * 32 : 6 * 32] = host.ring.desc_view[:32]
    with pytest.raises(RuntimeError, match="eth0 completed descriptor 5, which was not posted"):
        host.device.run()


def test_checksum_fields_describe_the_frame():
    host = Host()
    skb = host.ip_skb()
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.csum_start = skb.data + 34
    skb.csum_offset = 6
    dev_queue_xmit(skb)
    dev_queue_xmit(host.ip_skb())  # A fragment, say: only its IPv4 header.
    raw = host.ip_skb()
    raw.dst = None  # From a packet socket: not to be touched.
    dev_queue_xmit(raw)
    dev_change_features(host.dev, 0, NETIF_F_HW_CSUM)
    dev_queue_xmit(host.ip_skb())
    host.device.run()
    fields = [
        (TxFlags(d["flags"]) & ~TxFlags(3), d["l3_start"], d["csum_start"], d["csum_offset"])
        for _, d in host.device.frames
    ]
    assert fields == [
        (TxFlags.CSUM_PARTIAL | TxFlags.CSUM_IPV4, 14, 34, 6),
        (TxFlags.CSUM_IPV4, 14, 34, 0),
        (TxFlags(0), 0, 0, 0),
        (TxFlags(0), 0, 0, 0),
    ]


def test_a_stuck_queue_is_reset_and_every_frame_accounted_for():
    host = Host()
    host.device.stuck = True
    for number in range(300):
        host.send(b"%d" % number)
    posted = host.ring.next_to_use
    host.platform.advance(6_000_000_000)
    assert host.ring.stat["resets"] == 1
    host.device.run()
    while host.device.run():
        host.platform.advance()
    assert host.kernel.drop_counts() == {"HW_ABORTED": posted}
    assert host.dev.stats.tx_aborted_errors == posted
    assert host.payloads == [b"%d" % number for number in range(posted, 300)]
    assert host.all_is_given_back()


def test_a_reset_that_fails_is_tried_again():
    host = Host(16)
    host.device.stuck = host.device.dead = True
    for number in range(16):
        host.send(b"%d" % number)
    host.platform.advance(6_000_000_000)
    assert host.ring.stat["resets"] == 1
    assert host.kernel.drop_counts() == {}
    host.device.dead = False
    host.platform.advance(6_000_000_000)
    assert host.ring.stat["resets"] == 2
    while host.device.run():
        host.platform.advance()
    aborted = host.kernel.drop_counts()["HW_ABORTED"]
    assert host.payloads == [b"%d" % number for number in range(aborted, 16)]
    assert host.all_is_given_back()


def test_closing_sends_what_the_ring_holds():
    host = Host()
    for number in range(5):
        host.send(b"%d" % number)
    dev_close(host.dev)
    assert len(host.payloads) == 5
    assert host.kernel.drop_counts() == {}
    assert not host.platform.buffers
    assert host.device.handler is None
    dev_open(host.dev)
    host.send(b"again")
    host.device.run()
    assert host.payloads[-1] == b"again"
    hardwire_remove(host.dev)
    assert "eth0" not in host.kernel.init_net.dev_by_name


def test_the_ring_can_be_resized_while_it_is_busy():
    host = Host()
    for number in range(100):
        host.send(b"%d" % number)
    host.ethtool.set_ringparam(32)
    assert host.ethtool.get_ringparam().tx_pending == 32
    for number in range(100, 200):
        host.send(b"%d" % number)
    while host.device.run():
        host.platform.advance()
    assert host.payloads == [b"%d" % number for number in range(200)]
    assert host.all_is_given_back()


def test_a_ring_that_cannot_be_emptied_keeps_its_frames_for_the_watchdog():
    host = Host()
    host.device.stuck = host.device.dead = True
    for number in range(5):
        host.send(b"%d" % number)
    with pytest.raises(OSError, match="does not come out of reset"):
        host.ethtool.set_ringparam(32)
    assert host.ethtool.get_ringparam().tx_pending == 256
    host.device.dead = False
    host.platform.advance(6_000_000_000)
    assert host.ring.stat["resets"] == 1
    assert host.kernel.drop_counts() == {"HW_ABORTED": 5}
    host.send(b"again")
    host.device.run()
    assert host.payloads == [b"again"]
    assert host.all_is_given_back()


def test_closing_a_dead_device_counts_its_frames_and_takes_it_down():
    host = Host()
    host.device.stuck = host.device.dead = True
    for number in range(5):
        host.send(b"%d" % number)
    dev_close(host.dev)
    assert host.kernel.drop_counts() == {"HW_ABORTED": 5}
    assert not host.platform.buffers
    hardwire_remove(host.dev)
    with pytest.raises(OSError, match=f"Errno {ENODEV}"):
        hardwire_remove(host.dev)


@pytest.mark.parametrize("size", [0, 1, 3, 100, 65536])
def test_impossible_ring_sizes_are_refused(size):
    with pytest.raises(OSError, match=re.escape("a TX ring has 2, 4, 8 … 32768 descriptors")):
        Host().ethtool.set_ringparam(size)


def test_moderation_is_set_in_time_and_frames():
    host = Host()
    host.ethtool.set_coalesce(50, 8)
    coalesce = host.ethtool.get_coalesce()
    assert (coalesce.tx_coalesce_usecs, coalesce.tx_max_coalesced_frames) == (50, 8)
    assert host.device.regs[TXQ.address(TXQ["IRQ_TIME"])] == 6250
    assert host.device.regs[TXQ.address(TXQ["IRQ_COUNT"])] == 8
    for usecs, frames in ((-1, 1), (0, 0), (200_000, 1)):
        with pytest.raises(OSError, match=f"Errno {EINVAL}"):
            host.ethtool.set_coalesce(usecs, frames)


def test_ethtool_tells_driver_and_counters():
    host = Host()
    info = host.ethtool.get_drvinfo()
    assert (info.driver, info.version, info.n_stats) == ("hardwire", "1.1.0", len(host.ethtool.get_strings()))
    host.send()
    host.device.run()
    stats = dict(zip(host.ethtool.get_strings(), host.ethtool.get_ethtool_stats(), strict=True))
    assert stats["txq0_doorbells"] == 1
    assert "tx_resolve_misses" in stats


def test_the_mtu_follows_the_largest_frame():
    host = Host()
    dev_set_mtu(host.dev, 9004)
    assert host.dev.mtu == 9004
    with pytest.raises(OSError, match="takes an MTU of 68..9004, not 9005"):
        dev_set_mtu(host.dev, 9005)


@pytest.mark.parametrize(
    ("register", "value", "text"),
    [
        ("ID", 0x12345678, "no hardwire NIC here: its identity is 0x12345678, not 0x48574e43"),
        ("VERSION", 0x020304, "the NIC has register version 2.3.4; this driver knows 1.x only"),
    ],
)
def test_other_devices_and_versions_are_refused(register, value, text):
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    device.regs[GLOBAL.address(GLOBAL[register])] = value
    with pytest.raises(OSError, match=f"^.Errno {ENODEV}. {re.escape(text)}$"):
        hardwire_probe(kernel.init_net, device, device.dma, [device], mac=MAC)
    assert "eth0" not in kernel.init_net.dev_by_name


def test_impossible_addresses_and_too_few_lines_are_refused():
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    with pytest.raises(OSError, match="03:00:00:00:00:01 is no address for a NIC"):
        hardwire_probe(kernel.init_net, device, device.dma, [device], mac=bytes.fromhex("030000000001"))
    with pytest.raises(OSError, match="the NIC has 1 TX queues, and 0 interrupt lines"):
        hardwire_probe(kernel.init_net, device, device.dma, [], mac=MAC)


@pytest.mark.parametrize("seed", range(20))
def test_every_frame_is_sent_once_or_dropped_with_a_reason(seed):
    rng = random.Random(seed)
    host = Host(1 << rng.randint(1, 8))
    dql = host.ring.txq.dql
    dql.limit = dql.min_limit = rng.choice((0, 2000, 1 << 20))
    failures = [s for s in TxStatus if s not in (TxStatus.OK, TxStatus.RESOLVE_MISS)]
    count = 400
    for number in range(count):
        frags = tuple(rng.randbytes(rng.randint(1, 99)) for _ in range(rng.choice((0, 0, 1, 5, 17))))
        host.device.dma.fail_map = rng.choice((-1, -1, -1, -1, rng.randint(0, 6)))
        host.send(number.to_bytes(4, "big"), frags)
        if rng.random() < 0.3:
            host.device.statuses = [rng.choice((TxStatus.OK, rng.choice(failures))) for _ in range(3)]
            host.device.run(rng.randint(1, 20))
        if rng.random() < 0.02:
            host.dev.netdev_ops.ndo_tx_timeout(host.dev, 0)
        if rng.random() < 0.02:
            host.ethtool.set_ringparam(1 << rng.randint(1, 8))
            dql.limit = max(dql.limit, dql.min_limit)
    host.device.dma.fail_map = -1
    host.device.statuses = []
    while host.device.run():
        host.platform.advance(20_000)
    numbers = [int.from_bytes(payload[:4], "big") for payload in host.payloads]
    assert numbers == sorted(set(numbers))
    drops = host.kernel.drop_counts()
    assert len(numbers) + sum(drops.values()) == count
    assert set(drops) <= {f"HW_{status.name}" for status in failures} | {"DMA_MAPPING"}
    stats = dev_get_stats(host.dev)
    assert stats.tx_packets == len(numbers)
    assert stats.tx_errors + stats.tx_dropped == sum(drops.values())
    assert host.all_is_given_back()
    assert dql.num_queued == dql.num_completed


def test_the_moderation_count_is_never_more_than_the_ring_can_hold():
    host = Host(ring=8)
    host.ethtool.set_coalesce(50, 32)
    assert host.device.regs[TXQ.address(TXQ["IRQ_COUNT"])] == 7


def test_checksum_fields_are_the_same_for_a_frame_of_several_parts():
    host = Host()
    for frags in ((), (b"a", b"bc")):
        skb = host.skb(bytes(40), frags)
        skb.ip_summed = CHECKSUM_PARTIAL
        skb.csum_start = skb.data + 34
        skb.csum_offset = 6
        dev_queue_xmit(skb)
    host.device.run()
    assert [(d["csum_start"], d["csum_offset"]) for _, d in host.device.frames] == [(34, 6)] * 2
