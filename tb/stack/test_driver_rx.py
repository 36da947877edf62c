"""The receive side of the NIC driver against a stand-in for the device."""

import pytest

from hardwire.stack.abi import RXQ, TXQ, RxFlags, RxStatus
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_change_features, dev_get_stats
from hardwire.stack.core.netdevice import NETIF_F_RXCSUM
from hardwire.stack.core.skbuff import (
    CHECKSUM_COMPLETE,
    CHECKSUM_NONE,
    CHECKSUM_UNNECESSARY,
    consume_skb,
)
from hardwire.stack.drivers.hardwire.rx import COPYBREAK_OCTETS
from hardwire.tb.stack.driver_host import MAC, PEER, Host, frame
from hardwire.tb.stack.rx_double import checksum_flags, words_sum

HEAD_OCTETS = 2048 - 64 - 2  # What a frame's first buffer takes.


@pytest.mark.parametrize(
    "length",
    [60, COPYBREAK_OCTETS, COPYBREAK_OCTETS + 1, 1514, HEAD_OCTETS, HEAD_OCTETS + 1, HEAD_OCTETS + 1984, 9018],
)
def test_a_frame_of_any_length_gets_to_the_stack_whole(length):
    host = Host()
    sent = frame(length)
    assert host.receive(sent) == [RxStatus.OK]
    assert [r.octets for r in host.received] == [sent]
    stats = dev_get_stats(host.dev)
    assert (stats.rx_packets, stats.rx_bytes, stats.rx_errors, stats.rx_dropped) == (1, length, 0, 0)
    assert host.all_is_given_back()


def test_a_small_frame_is_copied_and_a_large_one_is_not():
    host = Host()
    host.keep = True
    before = set(host.device.dma.receiving)
    host.receive(frame(COPYBREAK_OCTETS))
    assert set(host.device.dma.receiving) == before
    assert host.rx_ring.stat["copied"] == 1
    host.receive(frame(COPYBREAK_OCTETS + 1))
    (gone,) = before - set(host.device.dma.receiving)
    skb = host.skbs[1]
    assert skb.head.addr + skb.mac_header == gone - 0x2_0000_0000 + 2
    assert skb.data % 4 == 0  # The IP header is aligned.
    assert len(host.device.dma.receiving) == 256
    for kept in host.skbs:
        consume_skb(kept)
    assert host.all_is_given_back()


def test_a_frame_over_several_buffers_has_the_later_ones_as_fragments():
    host = Host()
    host.keep = True
    host.receive(frame(9018))
    (skb,) = host.skbs
    assert [length for _, _, length in skb.frags] == [1984] * 3 + [9018 - HEAD_OCTETS - 3 * 1984]
    assert skb.data_len == sum(length for _, _, length in skb.frags)
    assert skb.len == 9018 - 14
    consume_skb(skb)
    assert host.all_is_given_back()


def ipv4(payload: bytes = b"abcd", *, bad_l4: bool = False, bad_header: bool = False, protocol: int = 17) -> bytes:
    """Return a frame with IPv4 and UDP, or what stands there for another protocol."""
    length = 8 + len(payload)
    addresses = bytes.fromhex("0a0000020a000001")
    l4 = bytes.fromhex("04000500") + length.to_bytes(2, "big") + b"\0\0" + payload
    csum = 0xFFFF - words_sum(addresses + bytes([0, protocol]) + length.to_bytes(2, "big") + l4)
    l4 = l4[:6] + (csum ^ bad_l4).to_bytes(2, "big") + l4[8:]
    ip = bytes.fromhex("4500") + (20 + length).to_bytes(2, "big") + bytes.fromhex("0001000040") + bytes([protocol])
    csum = 0xFFFF - words_sum(ip + addresses)
    ip += (csum ^ bad_header).to_bytes(2, "big") + addresses
    return (MAC + PEER + b"\x08\x00" + ip + l4).ljust(60, b"\0")


@pytest.mark.parametrize(
    ("octets", "summed"),
    [
        (ipv4(), CHECKSUM_UNNECESSARY),
        (ipv4(bad_l4=True), CHECKSUM_NONE),
        (ipv4(bad_header=True, protocol=99), CHECKSUM_NONE),
        (ipv4(protocol=99), CHECKSUM_COMPLETE),
        (frame(61), CHECKSUM_COMPLETE),
        (frame(1500), CHECKSUM_COMPLETE),
    ],
)
def test_the_device_s_verdict_on_checksums_goes_with_the_frame(octets, summed):
    host = Host()
    host.receive(octets)
    (received,) = host.received
    assert received.ip_summed == summed
    if summed == CHECKSUM_COMPLETE:
        assert received.csum == words_sum(octets[14:])
    dev_change_features(host.dev, 0, NETIF_F_RXCSUM)
    host.receive(octets)
    assert host.received[1].ip_summed == CHECKSUM_NONE


def test_the_flags_of_the_stand_in_are_those_of_the_contract():
    assert checksum_flags(ipv4()) == RxFlags.CSUM_IPV4_GOOD | RxFlags.CSUM_L4_GOOD
    assert checksum_flags(ipv4(bad_l4=True)) == RxFlags.CSUM_IPV4_GOOD | RxFlags.CSUM_L4_BAD
    assert checksum_flags(ipv4(bad_header=True, protocol=99)) == RxFlags.CSUM_IPV4_BAD


@pytest.mark.parametrize(
    ("status", "counter", "counts"),
    [
        (RxStatus.PAYLOAD_ERROR, "payload_errors", (1, 0, 0)),
        (RxStatus.DESC_ERROR, "desc_errors", (1, 0, 0)),
        (RxStatus.BAD_DESCRIPTOR, "bad_descriptors", (1, 0, 0)),
        (RxStatus.ABORTED, "aborted", (0, 0, 1)),
        (RxStatus.NO_BUFFER, "no_buffer", (1, 1, 0)),
    ],
)
def test_each_failure_is_counted_and_its_buffers_stay(status, counter, counts):
    host = Host()
    host.device.rx.statuses = [status]
    buffers = set(host.device.dma.receiving)
    assert host.receive(frame(3000), frame(100))[0] == status
    assert [len(r.octets) for r in host.received] == [100]
    assert host.rx_ring.stat[counter] == 1
    stats = dev_get_stats(host.dev)
    assert (stats.rx_errors, stats.rx_over_errors, stats.rx_dropped) == counts
    assert stats.rx_packets == 1
    assert set(host.device.dma.receiving) == buffers
    assert host.all_is_given_back()


def test_a_completion_for_what_was_not_posted_is_an_error():
    host = Host()
    host.device.rx.head = 255
    host.device.regs[RXQ.address(RXQ["TAIL"])] = 0
    host.rx_ring.desc_view[255 * 16 : 256 * 16] = host.rx_ring.desc_view[:16]
    host.device.rx.receive(frame(60))
    with pytest.raises(RuntimeError, match="eth0 completed RX descriptor 255, which was not posted"):
        host.platform.advance(100_000)


@pytest.mark.parametrize(("frames", "budgets"), [(200, [64, 64, 64, 8]), (64, [64, 0])])
def test_a_poll_takes_no_more_than_its_budget_and_goes_on(frames, budgets):
    host = Host()
    host.ethtool.set_coalesce(rx_coalesce_usecs=1000, rx_max_coalesced_frames=frames)
    for number in range(frames):
        host.device.rx.receive(frame(60, number))
    works = []
    poll = host.rx_ring.napi.poll

    def counted(napi, budget):
        works.append(poll(napi, budget))
        assert napi.scheduled == (works[-1] == 64)
        return works[-1]

    host.rx_ring.napi.poll = counted
    host.platform.advance(1)
    assert works == budgets
    assert [r.octets for r in host.received] == [frame(60, number) for number in range(frames)]


def test_moderation_waits_for_frames_or_time():
    host = Host()
    host.ethtool.set_coalesce(rx_coalesce_usecs=50, rx_max_coalesced_frames=3)
    assert host.device.regs[RXQ.address(RXQ["IRQ_TIME"])] == 6250
    assert host.device.regs[RXQ.address(RXQ["IRQ_COUNT"])] == 3
    coalesce = host.ethtool.get_coalesce()
    assert (coalesce.rx_coalesce_usecs, coalesce.rx_max_coalesced_frames) == (50, 3)
    assert (coalesce.tx_coalesce_usecs, coalesce.tx_max_coalesced_frames) == (50, 32)
    host.device.rx.receive(frame(60))
    host.platform.advance(49_000)
    assert len(host.received) == 0
    host.platform.advance(1_000)
    assert len(host.received) == 1
    for _ in range(3):
        host.device.rx.receive(frame(60))
    host.platform.advance(1)
    assert len(host.received) == 4


def test_an_echo_of_one_frame_takes_four_register_writes():
    host = Host()
    rounds = 160

    host.device.rx.receive(frame(60))
    host.platform.advance(20_000)
    before = len(host.device.writes)
    for _ in range(rounds):
        dev_queue_xmit(host.skb(b"request"))
        host.device.handler, handler = None, host.device.handler  # TX moderation: no interrupt of its own yet.
        host.device.run()
        host.device.handler = handler
        host.device.rx.receive(frame(60))
        host.platform.advance(10_000)
    writes = [offset for offset, _ in host.device.writes[before:]]
    refills = writes.count(RXQ.address(RXQ["TAIL"]))
    assert refills == rounds // 16
    assert len(writes) - refills == 4 * rounds
    assert writes.count(TXQ.address(TXQ["IRQ"])) == 0
    assert host.all_is_given_back()


def test_received_frames_alone_take_two_register_writes():
    host = Host()
    before = len(host.device.writes)
    for _ in range(160):
        host.receive(frame(60))
    writes = [offset for offset, _ in host.device.writes[before:]]
    queue = {name: RXQ.address(RXQ[name]) for name in ("IRQ", "CPL_TAIL", "TAIL")}
    assert {name: writes.count(address) for name, address in queue.items()} == {"IRQ": 160, "CPL_TAIL": 160, "TAIL": 10}
    assert len(writes) == 330


def test_an_interrupt_for_nothing_does_no_harm():
    host = Host()
    host.device.handler()
    assert host.receive(frame(60)) == [RxStatus.OK]
    assert len(host.received) == 1
    host.device.handler()
    host.send(b"one")
    host.device.run()
    assert host.all_is_given_back()


def test_a_copy_that_there_is_no_memory_for_is_a_drop():
    host = Host()
    host.platform.fail_kmalloc = 0
    host.receive(frame(60))
    host.platform.fail_kmalloc = -1
    assert (dev_get_stats(host.dev).rx_dropped, host.received) == (1, [])
    assert host.receive(frame(60)) == [RxStatus.OK]
    assert len(host.received) == 1


def test_statistics_are_those_of_the_device_and_the_driver():
    host = Host()
    for number, name in enumerate(
        ("RX_FCS_ERRORS", "RX_ALIGNMENT_ERRORS", "RX_UNDERSIZE", "RX_JABBERS", "RX_SYMBOL_ERRORS", "RX_MISSED")
    ):
        host.device.counters[name] = 1 << number
    host.device.rx.statuses = [RxStatus.PAYLOAD_ERROR]
    host.receive(frame(60), frame(60))
    stats = dev_get_stats(host.dev)
    assert (stats.rx_crc_errors, stats.rx_frame_errors, stats.rx_length_errors) == (1, 2, 12)
    assert (stats.rx_errors, stats.rx_missed_errors, stats.rx_packets) == (1 + 2 + 12 + 16 + 1, 32, 1)
    assert host.dev.stats.rx_errors == 1  # Merging does not add up.
    host.device.counters["TX_OCTETS"] = 0x1_2345_6789
    shown = dict(zip(host.ethtool.get_strings(), host.ethtool.get_ethtool_stats(), strict=True))
    assert (shown["rx_fcs_errors"], shown["rx_delivered"], shown["tx_octets"]) == (1, 1, 0x1_2345_6789)
    assert (shown["rxq0_payload_errors"], shown["rxq0_copied"]) == (1, 1)


def test_counters_from_before_the_driver_came_are_not_its_own():
    host = Host()
    host.device.counters["RX_FCS_ERRORS"] = 5
    again = type(host.nic.counters)(host.device, count_rx=True)
    host.device.counters["RX_FCS_ERRORS"] = 7
    assert again.merge(host.dev.stats).rx_crc_errors == 2


def test_groups_are_counted():
    host = Host()
    host.receive(b"\xff" * 6 + frame(60)[6:], b"\x01\x00\x5e\x00\x00\x05" + frame(60)[6:], frame(60))
    assert dev_get_stats(host.dev).multicast == 0  # No group was joined.
    host.dev.netdev_ops.ndo_set_rx_mode(host.dev)
    host.dev.mc.list[b"\x01\x00\x5e\x00\x00\x05"] = 1
    host.dev.netdev_ops.ndo_set_rx_mode(host.dev)
    host.receive(b"\x01\x00\x5e\x00\x00\x05" + frame(60)[6:])
    assert dev_get_stats(host.dev).multicast == 1
