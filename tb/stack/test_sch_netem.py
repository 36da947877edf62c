"""netem against what tc-netem(8) says: exact where nothing is left to chance, within five deviations where it is."""

from math import sqrt
from statistics import fmean, stdev

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.skbuff import CHECKSUM_PARTIAL
from hardwire.stack.sched.netem_random import normal_table
from hardwire.stack.sched.sch_api import qdisc_add, qdisc_change
from hardwire.tb.bench import seed
from hardwire.tb.stack.inet_host import InetHost, raises
from hardwire.tb.stack.qdisc_host import MS, QdiscHost

ALL = 0xFFFFFFFF
COUNT = 4000


def share(probability: float) -> int:
    """Return a probability in the units of netem."""
    return round(probability * ALL)


def about(found: float, expected: float, deviation: float) -> None:
    assert abs(found - expected) <= 5 * deviation, (found, expected, deviation)


def network(**options) -> QdiscHost:
    number = seed()
    print("seed", number)
    return QdiscHost("netem", seed=number, limit=100_000, **options)


def came_of(host: QdiscHost, count: int = COUNT) -> list[int]:
    for _ in range(count):
        host.send()
    host.platform.advance(100 * 1000 * MS)
    return host.came()


def test_a_delay_is_exact_to_the_nanosecond():
    host = QdiscHost("netem", latency64=12_345_678)
    host.platform.advance(77)
    host.send()
    host.send()
    assert host.arrivals(20 * MS) == [(12_345_755, 1), (12_345_755, 2)]


@pytest.mark.parametrize("probability", [0.01, 0.3, 0.9])
def test_losses_are_as_many_as_were_asked_for(probability):
    host = network(loss=share(probability))
    got = came_of(host)
    about(len(got), COUNT * (1 - probability), sqrt(COUNT * probability * (1 - probability)))
    assert host.kernel.drop_counts() == {"QDISC_DROP": COUNT - len(got)}
    assert host.root.drops == COUNT - len(got)


def test_losses_that_depend_on_each_other_come_in_runs():
    def runs(correlation: float) -> int:
        got = set(came_of(network(loss=share(0.5), loss_corr=share(correlation))))
        lost = [number not in got for number in range(1, COUNT + 1)]
        return sum(a != b for a, b in zip(lost, lost[1:], strict=False))

    independent = runs(0)
    about(independent, COUNT / 2, sqrt(COUNT) / 2)
    assert runs(0.8) < independent * 0.8


def test_duplicates_are_as_many_as_were_asked_for():
    host = network(duplicate=share(0.25))
    got = came_of(host)
    assert set(got) == set(range(1, COUNT + 1))
    about(len(got) - COUNT, COUNT * 0.25, sqrt(COUNT * 0.25 * 0.75))
    assert not host.platform.buffers


def test_jitter_spreads_evenly_and_reorders():
    host = network(latency64=50 * MS, jitter64=10 * MS)
    for _ in range(COUNT):
        host.send()
    got = host.arrivals(100 * MS)
    times = [time for time, _ in got]
    assert 40 * MS <= min(times) < 40.1 * MS
    assert 59.9 * MS < max(times) < 60 * MS
    about(fmean(times), 50 * MS, 20 * MS / sqrt(12 * COUNT))
    assert sorted(number for _, number in got) == list(range(1, COUNT + 1))
    assert [number for _, number in got] != sorted(number for _, number in got)


def test_jitter_of_a_normal_distribution():
    host = network(latency64=50 * MS, jitter64=5 * MS, delay_dist=normal_table())
    for _ in range(COUNT):
        host.send()
    times = [time for time, _ in host.arrivals(100 * MS)]
    about(fmean(times), 50 * MS, 5 * MS / sqrt(COUNT))
    about(stdev(times), 5 * MS, 5 * MS / sqrt(2 * COUNT))
    within = sum(abs(time - 50 * MS) <= 5 * MS for time in times) / COUNT
    about(within, 0.6827, sqrt(0.6827 * 0.3173 / COUNT))


def test_corruption_turns_one_bit_of_a_frame_whose_checksum_was_made():
    host = network(corrupt=ALL)
    lengths = set()
    for _ in range(200):
        skb = host.skb(length=80)
        before = bytes(skb.view[skb.data : skb.tail])
        host.dev.frames.clear()
        dev_queue_xmit(skb)
        (after,) = host.dev.frames
        turned = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
        assert turned.bit_count() == 1
        lengths.add(turned.bit_length())
    assert len(lengths) > 100


def test_a_datagram_is_summed_before_it_is_corrupted():
    host = InetHost(seed=seed())
    qdisc_add(host.dev, "netem", corrupt=ALL)
    wrong = 0
    for _ in range(50):
        host.dev.frames.clear()
        host.socket().sendto(bytes(100), ("10.0.0.2", 9000))
        (octets,) = host.dev.frames
        assert host.dev.offloads[-1][0] != CHECKSUM_PARTIAL
        packet = Ether(octets)
        if IP not in packet:  # It was a bit of the EtherType.
            continue
        given = packet[IP].chksum, packet[UDP].chksum if UDP in packet else None
        del packet[IP].chksum
        if UDP in packet:
            del packet[UDP].chksum
        fresh = Ether(bytes(packet))
        wrong += given != (fresh[IP].chksum, fresh[UDP].chksum if UDP in fresh else None)
    assert wrong > 30  # A bit of the link header is in no sum.


def test_one_of_so_many_overtakes_all_others():
    host = network(latency64=10 * MS, gap=5, reorder=ALL)
    for _ in range(10):
        host.send()
    assert host.came() == [5, 10]
    host.platform.advance(10 * MS)
    assert host.came() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert host.root.requeues == 2


def test_a_rate_spaces_packets_by_their_length():
    host = network(rate64=1000, packet_overhead=10, latency64=5 * MS)
    for length in (100, 200, 60):
        host.send(length=length)
    # Those that wait for their turn have that time for their delay.
    assert host.arrivals(1000 * MS) == [(115 * MS, 1), (325 * MS, 2), (395 * MS, 3)]


def test_a_rate_in_cells():
    host = network(rate64=53_000, cell_size=48, cell_overhead=5)
    for length in (48, 49, 96):
        host.send(length=length)
    assert host.arrivals(100 * MS) == [(1 * MS, 1), (3 * MS, 2), (5 * MS, 3)]


def test_slots_let_packets_through_in_bunches():
    host = QdiscHost()
    host.platform.advance(MS)
    qdisc_add(host.dev, "netem", min_delay=10 * MS, max_delay=10 * MS, max_packets=3)
    for _ in range(7):
        host.send()
    times = [time for time, _ in host.arrivals(100 * MS)]
    assert times == [MS] * 3 + [11 * MS] * 3 + [21 * MS]


def test_losses_of_the_gilbert_elliott_model():
    p, r, good_in_bad, lost_in_good = 0.05, 0.2, 0.3, 0.01
    host = network(p=share(p), r=share(r), h=share(good_in_bad), k1=share(lost_in_good))
    got = came_of(host, 4 * COUNT)
    expected = (p * (1 - good_in_bad) + r * lost_in_good) / (p + r)
    # The chain forgets at a pace of 1 - p - r, which widens the deviation.
    wider = (2 - p - r) / (p + r)
    about(1 - len(got) / (4 * COUNT), expected, sqrt(wider * expected * (1 - expected) / (4 * COUNT)))


def test_losses_of_the_model_of_four_states():
    p13, p31, p32, p14, p23 = 0.1, 0.3, 0.2, 0.05, 0.4
    options = {
        name: share(value)
        for name, value in zip(("p13", "p31", "p32", "p14", "p23"), (p13, p31, p32, p14, p23), strict=True)
    }
    got = came_of(network(**options), 4 * COUNT)
    # Of the chain's stationary distribution: p1 * p13 = p3 * p31, p3 * p32 = p2 * p23, p4 = p1 * p14.
    weights = 1, p13 / p31 * p32 / p23, p13 / p31, p14
    expected = (weights[2] + weights[3]) / sum(weights)
    about(1 - len(got) / (4 * COUNT), expected, sqrt(4 * expected * (1 - expected) / (4 * COUNT)))


def test_with_ecn_packets_are_marked_rather_than_lost():
    host = network(loss=ALL, ecn=1)
    for tos in (0, 1, 2, 3):
        host.send(tos=tos)
    packets = [Ether(octets)[IP] for octets in host.dev.frames]
    assert [packet.tos for packet in packets] == [3, 3, 3]
    for packet in packets:
        given = packet.chksum
        del packet.chksum
        assert IP(bytes(packet)).chksum == given
    assert host.kernel.drop_counts() == {"QDISC_DROP": 1}


def test_a_datagram_on_its_way_does_not_count_against_its_sender():
    host = InetHost()
    qdisc_add(host.dev, "netem", latency64=10 * MS)
    sock = host.socket()
    for _ in range(500):
        sock.sendto(bytes(1000), ("10.0.0.2", 9000))
    assert host.dev.qdisc.qlen == 500
    host.platform.advance(10 * MS)
    assert len(host.dev.frames) == 500
    host.check_memory()


def test_the_same_seed_brings_the_same_losses_and_another_others():
    options = {"loss": share(0.5), "limit": 10_000}
    first, again, other = (came_of(QdiscHost("netem", prng_seed=n, **options), 200) for n in (7, 7, 8))
    assert first == again != other


def test_two_networks_of_which_one_duplicates_are_not_in_one_tree():
    host = QdiscHost("prio")
    qdisc_add(host.dev, "netem", parent=0x10001, handle=0x20000)
    with raises(22):
        qdisc_add(host.dev, "netem", parent=0x10002, handle=0x30000, duplicate=1)
    qdisc_add(host.dev, "netem", parent=0x10002, handle=0x30000)
    with raises(22):
        qdisc_change(host.dev, "netem", parent=0x10001, duplicate=1)
