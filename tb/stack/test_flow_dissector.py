"""Flows and TX queues."""

from collections import Counter

from hardwire.tb.stack.inet_host import PEER, InetHost


def test_a_flow_stays_on_its_queue_and_flows_are_spread():
    host = InetHost(tx_queues=4)
    used = Counter()
    for _ in range(80):
        sock = host.socket()
        for size in (10, 100, 1000):
            sock.sendto(bytes(size), PEER)
        queues = host.dev.queues[-3:]
        assert len(set(queues)) == 1
        used.update(queues[:1])
    assert set(used) == {0, 1, 2, 3}
    assert max(used.values()) < 40


def test_the_fragments_of_a_datagram_stay_together():
    host = InetHost(tx_queues=4)
    for _ in range(20):
        host.dev.queues.clear()
        host.socket().sendto(bytes(5000), PEER)
        assert len(host.dev.queues) == 4
        assert len(set(host.dev.queues)) == 1


def test_another_host_spreads_its_flows_in_another_way():
    def queues(seed: int) -> list[int]:
        host = InetHost(seed, tx_queues=4)
        for port in range(5000, 5040):
            sock = host.socket()
            sock.bind(("", port))
            sock.sendto(b"", PEER)
        return host.dev.queues

    assert queues(1) == queues(1)
    assert queues(1) != queues(2)
