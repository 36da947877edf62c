"""CoDel against the algorithm of RFC 8289 §5, and FQ-CoDel against RFC 8290."""

from collections import deque
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from hardwire.stack.core.skbuff import consume_skb
from hardwire.stack.sched.sch_api import qdisc_add
from hardwire.tb.stack.qdisc_host import MS, QdiscHost

UNIT = 1024  # ns: what Linux counts CoDel's time in.
TARGET, INTERVAL = 5_000_000 // UNIT, 100_000_000 // UNIT
MTU = 1514


class Rfc8289:
    """The pseudocode of §5.5 and §5.6, in Python."""

    def __init__(self) -> None:
        self.queue: deque[tuple[int, int, int]] = deque()  # Number, length, time.
        self.octets = 0
        self.first_above_time = self.drop_next = self.count = self.lastcount = 0
        self.dropping = False
        self.dropped: list[int] = []

    def enque(self, number: int, length: int, now: int) -> None:
        self.queue.append((number, length, now))
        self.octets += length

    def control_law(self, t: int, count: int) -> int:
        return t + int(INTERVAL / sqrt(count))

    def dodequeue(self, now: int) -> tuple[tuple[int, int, int] | None, bool]:
        if not self.queue:
            self.first_above_time = 0
            return None, False
        packet = self.queue.popleft()
        self.octets -= packet[1]
        if now - packet[2] < TARGET or self.octets <= MTU:
            self.first_above_time = 0
            return packet, False
        if not self.first_above_time:
            self.first_above_time = now + INTERVAL
            return packet, False
        return packet, now > self.first_above_time  # Linux; the RFC drops at that very time, too.

    def deque(self, now: int) -> int | None:
        packet, ok_to_drop = self.dodequeue(now)
        if self.dropping:
            if not ok_to_drop:
                self.dropping = False
            while packet is not None and self.dropping and now >= self.drop_next:
                self.dropped.append(packet[0])
                self.count += 1
                packet, ok_to_drop = self.dodequeue(now)
                if not ok_to_drop:
                    self.dropping = False
                else:
                    self.drop_next = self.control_law(self.drop_next, self.count)
        elif packet is not None and ok_to_drop:
            self.dropped.append(packet[0])
            packet, ok_to_drop = self.dodequeue(now)
            self.dropping = True
            delta = self.count - self.lastcount
            self.count = delta if delta > 1 and now - self.drop_next < 16 * INTERVAL else 1
            self.drop_next = self.control_law(now, self.count)
            self.lastcount = self.count
        if packet is None:
            self.dropping = False
            return None
        return packet[0]


GAPS = st.lists(st.tuples(st.integers(0, 6 * MS), st.integers(60, 1500), st.integers(0, 3)), min_size=50, max_size=400)


@pytest.mark.parametrize("kind", ["codel", "fq_codel"])
@settings(max_examples=40, deadline=None)
@given(gaps=GAPS)
def test_what_is_dropped_is_what_rfc_8289_drops(kind, gaps):
    host = QdiscHost(kind, limit=100_000, ecn=0)
    sch, model = host.root, Rfc8289()
    enqueue = sch.enqueue
    for gap, length, takes in gaps:
        host.platform.time_ns += gap
        now = host.platform.time_ns // UNIT
        for _ in range(2):
            skb = host.skb(length=length)
            assert enqueue(skb, sch, []) == 0
            model.enque(host.number, length, now)
        for _ in range(takes):
            skb = sch.dequeue(sch)
            number = None if skb is None else int.from_bytes(skb.view[skb.data + 42 : skb.data + 46], "big")
            if skb is not None:
                consume_skb(skb)
            assert number == model.deque(now)
    assert sch.drops == len(model.dropped)
    assert (sch.qlen, sch.backlog_octets) == (len(model.queue), model.octets)


def overloaded(kind: str, tos: int, **options) -> QdiscHost:
    """Return a host that has sent at twice the rate of a tbf for two seconds."""
    host = QdiscHost("tbf", rate64=100_000, burst=1600, limit=1_000_000)
    qdisc_add(host.dev, kind, parent=0x10001, handle=0x20000, **options)
    for _ in range(400):
        host.send(length=1000, tos=tos)
        host.platform.advance(5 * MS)
    host.platform.advance(10_000 * MS)
    return host


@pytest.mark.parametrize("kind", ["codel", "fq_codel"])
def test_packets_that_can_be_marked_are_marked_rather_than_dropped(kind):
    marked = overloaded(kind, tos=2, ecn=1)
    sch = next(iter(marked.dev.qdisc_hash))
    packets = [Ether(octets)[IP] for octets in marked.dev.frames]
    count = sum(packet.tos == 3 for packet in packets)
    assert count == sch.ops.dump_stats(sch)["ecn_mark"] > 5
    assert marked.kernel.drop_counts() == {}
    assert all(packet.chksum == IP(bytes(packet.copy())).chksum for packet in packets)
    dropped = overloaded(kind, tos=0, ecn=1)
    assert dropped.kernel.drop_counts()["QDISC_DROP"] > 5


def test_a_threshold_marks_all_that_waited_longer():
    host = overloaded("codel", tos=1, ecn=0, ce_threshold=1000, target=10_000_000)
    tos = [Ether(octets)[IP].tos for octets in host.dev.frames]
    assert tos[0] == 1
    assert set(tos[5:]) == {3}


def test_a_flow_that_sends_little_does_not_wait_behind_one_that_sends_much():
    host = QdiscHost("tbf", rate64=1_000_000, burst=1600, limit=1_000_000)
    qdisc_add(host.dev, "fq_codel", parent=0x10001, handle=0x20000, flows=65535)
    for _ in range(200):
        host.send(1, 1500)
    host.send(2, 100)
    sparse = host.number
    order = [number for _, number in host.arrivals(1000 * MS)]
    assert order.index(sparse) <= 4


def test_memory_is_limited_too_and_the_longest_flow_pays():
    host = QdiscHost("fq_codel", memory_limit=20_000, flows=65535)
    host.stop()
    for _ in range(3):
        host.send(2, 1000)
    for _ in range(40):
        host.send(1, 1000)
    stats = host.root.ops.dump_stats(host.root)
    assert stats["drop_overmemory"] == stats["drop_overlimit"] == host.root.drops > 0
    assert stats["memory_usage"] <= 20_000
    host.wake()
    assert {2, 3} <= set(host.came())
    assert host.root.ops.dump_stats(host.root)["memory_usage"] == 0
