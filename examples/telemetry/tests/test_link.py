"""Our link on simulated hosts: every reading arrives once and in order, whatever the cable does."""

import pytest

from sim.link import PORT, collect, report
from sim.reading import Reading

READINGS = [Reading(number, number * number) for number in range(30)]


def run(lan, count):
    """Let every machine but the first report to that one; return what it got, by address, and the datagrams sent."""
    collector, *sensors = lan
    got = {}

    def serve():
        sock = collector.net.socket()
        sock.bind(("0.0.0.0", PORT))
        for sensor, reading in collect(sock):
            got.setdefault(sensor, []).append(reading)

    lan.world.spawn(serve)
    tasks = [
        lan.world.spawn(report, sensor.net.socket(), (collector.address, PORT), READINGS[:count]) for sensor in sensors
    ]
    lan.world.join(tasks)
    return got, [task.result for task in tasks]


def test_good_cable_needs_one_datagram_a_reading(two_hosts):
    got, sent = run(two_hosts, 10)
    assert got == {"10.0.0.2": READINGS[:10]}
    assert sent == [10]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=pytest.mark.hardwire(link={name: chance}))
        for name, chance in (("loss", 0.2), ("corruption", 0.2), ("duplication", 0.5), ("reordering", 0.3))
    ],
)
def test_bad_cable_costs_datagrams_but_no_reading(two_hosts, fault):
    got, (sent,) = run(two_hosts, 30)
    assert got == {"10.0.0.2": READINGS}
    struck = {"loss": "lost", "corruption": "corrupted", "duplication": "duplicated", "reordering": "reordered"}[fault]
    assert sum(getattr(counters, struck) for counters in two_hosts.links[0].counters) > 0
    if fault in ("loss", "corruption"):
        assert sent > 30


@pytest.mark.hardwire(hosts=4, link={"loss": 0.05})
def test_sensors_do_not_disturb_each_other(lan):
    got, _ = run(lan, 10)
    assert got == {f"10.0.0.{number}": READINGS[:10] for number in (2, 3, 4)}


@pytest.mark.hardwire(link={"loss": 1})
class TestNobodyAnswers:
    def test_for_the_address_as_on_linux(self, two_hosts):
        with pytest.raises(OSError, match="No route to host"):
            run(two_hosts, 1)

    @pytest.mark.hardwire(neighbours={"10.0.0.1": "02:00:00:00:00:01"})
    def test_for_a_reading_until_it_has_tried_enough(self, two_hosts):
        with pytest.raises(ConnectionError, match=r"^no answer from 10\.0\.0\.1 to reading 0$"):
            run(two_hosts, 1)
