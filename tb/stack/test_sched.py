"""Queueing disciplines in depth: the bands of pfifo_fast, and the bucket of tbf."""

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_queue import netif_stop_queue, netif_wake_queue
from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.iproute import neigh_add
from hardwire.stack.sched.sch_api import qdisc_replace
from hardwire.tb.stack.inet_host import PEER, SECOND

HEADERS = 42  # Octets of a frame before the payload.


def payloads(host):
    return [octets[HEADERS:] for octets in host.dev.frames]


def test_pfifo_fast_sends_by_the_band_of_each_priority(host):
    bands = dict.fromkeys(range(16), 1) | dict.fromkeys((6, 7), 0) | dict.fromkeys((1, 2, 3, 5), 2)
    sock = host.socket()
    netif_stop_queue(host.dev)
    sock.sendto(b"first", PEER)  # Bypasses the bands.
    priorities = [*range(16), 16 + 6, 0x10000]
    for priority in priorities:
        sock.setsockopt(api.SOL_SOCKET, api.SO_PRIORITY, priority)
        sock.sendto(b"%d" % priority, PEER)
    netif_wake_queue(host.dev)
    host.platform.advance(SECOND)
    order = sorted(priorities, key=lambda priority: bands[priority & 15])
    assert payloads(host) == [b"first", *(b"%d" % priority for priority in order)]


def test_tbf_saves_no_more_than_its_burst(host):
    qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=3000, limit=100_000)
    host.platform.advance(1000 * SECOND)
    sock = host.socket()
    for _ in range(4):
        sock.sendto(bytes(1000 - HEADERS), PEER)
    assert len(host.dev.frames) == 3
    host.platform.advance(SECOND - 1)
    assert len(host.dev.frames) == 3
    host.platform.advance(1)
    assert len(host.dev.frames) == 4


@pytest.mark.parametrize(("length", "dropped"), [(999, 0), (1000, 0), (1001, 1)])
def test_tbf_drops_a_frame_that_is_longer_than_its_burst(host, length, dropped):
    sch = qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=1000, limit=100_000)
    host.socket().sendto(bytes(length - HEADERS), PEER)
    assert (len(host.dev.frames), sch.drops) == (1 - dropped, dropped)
    assert host.kernel.drop_counts() == ({"QDISC_DROP": 1} if dropped else {})
    host.check_memory()


def test_tbf_starts_with_a_full_bucket_and_without_a_timer_after_its_device_was_down(host):
    sch = qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=2000, limit=100_000)
    sock = host.socket()
    for _ in range(4):
        sock.sendto(bytes(1000 - HEADERS), PEER)
    assert (len(host.dev.frames), sch.qlen) == (2, 2)
    dev_close(host.dev)
    assert (sch.qlen, sch.backlog_octets) == (0, 0)
    assert host.kernel.drop_counts() == {"QDISC_DROP": 2}
    host.check_memory()
    host.platform.advance(1)
    dev_open(host.dev)
    neigh_add(host.dev, PEER[0], "02:00:00:00:00:02")
    for _ in range(3):
        sock.sendto(bytes(1000 - HEADERS), PEER)
    assert len(host.dev.frames) == 4
    host.platform.advance(SECOND)
    assert len(host.dev.frames) == 5


def test_tbf_sends_its_burst_at_the_peak_rate_only(host):
    qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=5000, limit=100_000, peakrate_bps=80_000, pburst=1500)
    host.platform.advance(1000 * SECOND)
    sock = host.socket()
    for _ in range(6):
        sock.sendto(bytes(1000 - HEADERS), PEER)
    times = []
    start = host.platform.time_ns
    while len(times) < 6:
        times += [(host.platform.time_ns - start) // 1_000_000] * (len(host.dev.frames) - len(times))
        host.platform.advance(1_000_000)
    # 1,000 octets take 100 ms at the peak, of which half is there at once; the sixth needs new tokens of the rate.
    assert times == [0, 50, 150, 250, 350, 1000]
