"""Journeys under adverse conditions: whose each event of a card is, and why frames came to nothing."""

from collections import defaultdict
from random import Random

import pytest

from hardwire.sim.bus_model import BusModel
from hardwire.sim.journey import Journey, Recorder
from hardwire.sim.journey.model import Step
from hardwire.sim.lan import Lan
from hardwire.sim.machine import Setup
from hardwire.sim.world import Task, World
from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.tb.bench import seed

READ_ERRORS = BusModel(read_error_probability=0.03)
WRITE_ERRORS = BusModel(write_error_probability=0.05)
ALL_ERRORS = BusModel(read_error_probability=0.03, write_error_probability=0.03, reorder=True, read_jitter_ns=2000)


def start_traffic(lan: Lan, rng: Random, datagrams: int) -> list[Task]:
    """Have each machine send datagrams of random octets to the other one."""

    def program(number: int) -> None:
        with lan.machines[number].net.socket() as sock:
            for _ in range(datagrams):
                sock.sendto(rng.randbytes(rng.choice((30, 200, 1472, 4000))), (f"10.0.0.{2 - number}", 9000))
                if rng.random() < 0.4:
                    lan.world.sleep(rng.randrange(40_000))

    for machine in lan.machines:
        machine.net.socket().bind(("0.0.0.0", 9000))
    return [lan.world.spawn(program, number) for number in (0, 1)]


def recorded(lan: Lan, tasks: list[Task]) -> Journey:
    with Recorder(lan.world) as recorder:
        lan.world.join(tasks)
        lan.settle()
    return recorder.journey()


def steps_of(journey: Journey, *stages: str) -> dict[tuple[int, str], list[Step]]:
    """Steps at some stages of cards that are about a packet, by packet and host."""
    found = defaultdict(list)
    for step in journey.steps:
        track = journey.tracks[step.track]
        if track.stage in stages and step.packets:
            found[step.packets[0], str(track.host)].append(step)
    return found


def mark(octets: bytes) -> bytes:
    """Return octets of a payload, or of its padding."""
    return octets.ljust(60, b"\0")[42:60]


def marks_of(journey: Journey, frames: list[Step]) -> set[bytes]:
    return {mark(journey.states[step.after].octets) for step in frames if step.after is not None}


def check(journey: Journey, *, whole: bool = True) -> None:
    """Each event is of the packet whose octets are at that place; of a packet that was sent while nobody looked, none.

    The payloads are random, so that a few of their octets tell whose they are.
    """
    given, taken = defaultdict(set), defaultdict(set)
    for step in journey.on("call"):
        host = str(journey.tracks[step.track].host)
        if step.before is not None and step.name in ("hardwire_start_xmit", "napi_gro_receive"):
            marks = given if step.name == "hardwire_start_xmit" else taken
            marks[step.packets[0], host].add(mark(journey.states[step.before].octets))

    sent, received = steps_of(journey, "MAC TX"), steps_of(journey, "MAC RX")
    for key, frames in sent.items():
        assert marks_of(journey, frames) <= given.get(key, set()) or (key not in given and not whole), frames
    for key, marks in taken.items():
        frames_in = marks_of(journey, received[key])
        assert marks <= frames_in or (not frames_in and not whole), (key, marks)
    if whole:
        assert not [
            step
            for kind in ("frame", "fifo", "csum", "arp", "rx", "drop")
            for step in journey.on(kind)
            if not step.packets
        ]
    stages = ("descriptors", "FIFO", "checksum", "MAC TX", "completions")
    by_stage = [steps_of(journey, stage) for stage in stages]
    for key in sent.keys() & given.keys():
        decoded, staged, summed, frames, completed = (one[key] for one in by_stage)
        good = [step for step in completed if step.what.startswith("completion for desc") and step.name == "OK"]
        if whole:
            assert len(summed) == len(frames) == len(good), key
        for before, after in ((decoded, staged), (staged, summed), (summed, frames), (frames, good)):
            for one, other in zip(reversed(before), reversed(after), strict=False):
                assert one.begin_fs <= other.begin_fs, (one, other)


@pytest.mark.parametrize("bus", [READ_ERRORS, WRITE_ERRORS, ALL_ERRORS], ids=["read", "write", "all"])
@pytest.mark.parametrize("rx_descriptors", [4, 256])
def test_errors_of_the_bus_lead_no_event_to_another_packet(bus: BusModel, rx_descriptors: int) -> None:
    first = seed()
    print(f"HARDWIRE_SEED={first}")
    lan = Lan(World(seed=first), like=Setup(bus=bus))
    for machine in lan.machines:
        machine.dev.ethtool_ops.set_ringparam(None, rx_descriptors)
    lan.world.advance(100_000)
    journey = recorded(lan, start_traffic(lan, Random(first), 40))
    check(journey)
    # Each frame that arrived and became no packet has a reason, but for the last ones: no later one shows their end.
    assert sum(packet.fate == "sent" for packet in journey.packets) < 4
    fates = {packet.fate for packet in journey.packets}
    assert ("dropped: HW_PAYLOAD_ERROR" in fates) == (sum(counted(lan, "payload_errors", "tx_bus_errors")) > 0)
    assert ("dropped: HW_NO_BUFFER" in fates) == (rx_descriptors == 4)


def counted(lan: Lan, *names: str) -> list[int]:
    return [count for m in lan.machines for name, count in m.counters().items() if name.endswith(names)]


@pytest.mark.parametrize("begin_ns", range(300_000, 420_000, 15_000))
def test_a_journey_that_begins_in_the_middle_of_traffic_leads_no_event_to_another_packet(begin_ns: int) -> None:
    first = seed()
    print(f"HARDWIRE_SEED={first}")
    lan = Lan(World(seed=first))
    lan.world.advance(100_000)
    tasks = start_traffic(lan, Random(first), 60)
    lan.world.advance(begin_ns)
    journey = recorded(lan, tasks)
    check(journey, whole=False)
    assert not [packet for packet in journey.packets if packet.fate in ("lost on the wire", "sent")]
    assert not [step for step in journey.on("drop") if step.name.endswith("_ERROR")]
    assert all(journey.begin_fs <= step.begin_fs <= step.end_fs <= journey.end_fs for step in journey.steps)
    assert sum(len(step.packets) for step in journey.on("csum")) > 10


def test_queues_that_start_anew_lead_no_event_to_another_packet() -> None:
    first = seed()
    print(f"HARDWIRE_SEED={first}")
    lan = Lan(World(seed=first))
    lan.world.advance(100_000)
    tasks = start_traffic(lan, Random(first), 60)

    def disturb() -> None:
        for descriptors in (64, 32, 256):
            lan.world.sleep(200_000)
            lan.machines[0].dev.ethtool_ops.set_ringparam(descriptors, descriptors)
            lan.world.sleep(200_000)
            dev_close(lan.machines[0].dev)
            dev_open(lan.machines[0].dev)

    journey = recorded(lan, [*tasks, lan.world.spawn(disturb)])
    check(journey)
