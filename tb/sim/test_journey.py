"""Journeys: which packet each step is about, in which order the steps come, and what became of the packets."""

import re
import sys
from collections.abc import Callable
from random import Random
from types import FrameType

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether

from hardwire.sim.journey import Journey, JourneyError, Recorder
from hardwire.sim.journey.tree import tree
from hardwire.sim.link import Link
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import FS_PER_NS, World
from hardwire.stack.iproute2.tc import tc
from hardwire.stack.wire.checksum import ip_fast_csum
from hardwire.tb.bench import seed
from hardwire.tb.sim.journey_runs import first_datagram, random_traffic, recorded, two_machines


def place(journey: Journey, step_name: str, packet: int, stage: str = "") -> int:
    """Where the first step of that name, on that stage if one is given, is among those of a packet."""
    return next(
        number
        for number, step in enumerate(journey.steps)
        if packet in step.packets
        and step.name == step_name
        and (not stage or journey.tracks[step.track].name.endswith(stage))
    )


def test_one_id_leads_from_the_system_call_over_the_wire_and_up_the_other_side() -> None:
    journey = first_datagram(two_machines())
    datagram = next(packet for packet in journey.packets if packet.label.startswith("UDP"))
    path = [
        ("sendto", "host1 stack"),
        ("udp_sendmsg", "host1 stack"),
        ("ip_output", "host1 stack"),
        ("neigh_resolve_output", "host1 stack"),
        ("neighbour queue", "host1 stack"),
        ("sch_direct_xmit", "host1 stack"),
        ("hardwire_start_xmit", "host1 driver"),
        ("txq[0].TAIL", "host1 eth0 registers"),
        ("TX descriptor", "host1 eth0 DMA read"),
        ("descriptor 1", "host1 eth0 descriptors"),
        ("payload", "host1 eth0 DMA read"),
        ("in the FIFO", "host1 eth0 FIFO"),
        ("checksums", "host1 eth0 checksum"),
        ("64 octets", "wire from host1 eth0"),
        ("TX completion", "host1 eth0 DMA write"),
        ("64 octets", "host2 eth0 MAC RX"),
        ("accepted", "host2 eth0 RX checks"),
        ("received octets", "host2 eth0 DMA write"),
        ("RX completion", "host2 eth0 DMA write"),
        ("OK", "host2 eth0 completions"),
        ("napi_gro_receive", "host2 stack"),
        ("ip_local_deliver", "host2 stack"),
        ("udp_queue_rcv_skb", "host2 stack"),
        ("skb_consume_udp", "host2 stack"),
    ]
    places = [place(journey, name, datagram.id, track) for name, track in path]
    steps = [journey.steps[number] for number in places]
    times = [step.begin_fs for step in steps]
    first_wait = path.index(("neighbour queue", "host1 stack"))
    assert times == sorted(times)
    assert steps[first_wait].end_fs == steps[first_wait + 1].begin_fs > steps[first_wait].begin_fs
    assert datagram.fate == "received"
    assert place(journey, "recvfrom", datagram.id, "host2 stack") >= 0


def test_a_packet_that_comes_of_another_names_it() -> None:
    journey = first_datagram(two_machines())
    found = {packet.label.split()[0]: packet for packet in reversed(journey.packets)}
    query = next(packet for packet in journey.packets if packet.label == "ARP who has 10.0.0.2? tell 10.0.0.1")
    reply = next(packet for packet in journey.packets if packet.label == "ARP 10.0.0.2 is at 02:00:00:00:00:02")
    assert found["UDP"].parent is None
    assert (query.parent, reply.parent) == (found["UDP"].id, query.id)
    assert {query.fate, reply.fate} == {"received"}


def test_the_cache_of_the_card_hits_once_the_driver_has_filled_it() -> None:
    lan = two_machines()
    first_datagram(lan)
    journey = first_datagram(lan)
    (lookup,) = journey.on("arp")
    assert (lookup.name, lookup.values["hit"], lookup.packets) == ("hit", 1, (1,))
    (only,) = [packet.label for packet in journey.packets if not packet.label.startswith("skb of")]
    assert re.fullmatch(r"UDP 10\.0\.0\.1:\d+ → 10\.0\.0\.2:9000, 5 octets", only)


def test_the_card_changes_just_what_it_is_asked_to() -> None:
    journey = first_datagram(two_machines())
    datagram = next(packet for packet in journey.packets if packet.label.startswith("UDP"))

    def octets(kind: str, stage: str) -> tuple[bytes, bytes]:
        (step,) = [s for s in journey.on(kind, packet=datagram.id) if journey.tracks[s.track].name.endswith(stage)]
        assert step.before is not None
        assert step.after is not None
        return journey.states[step.before].octets, journey.states[step.after].octets

    before, after = octets("csum", "host1 eth0 checksum")
    assert [at for at in range(len(before)) if before[at] != after[at]] == [40, 41]  # The UDP checksum.
    assert UDP in (frame := Ether(after))
    del frame[UDP].chksum
    assert bytes(Ether(bytes(frame))) == after
    to_send, sent = octets("frame", "host1 eth0 MAC TX")
    assert (to_send, sent[:60]) == (after, after.ljust(60, b"\0"))
    assert octets("rx", "host2 eth0 RX checks") == (sent, sent[:60])


def test_what_happens_at_the_same_time_is_in_the_order_in_which_it_happened() -> None:
    journey = first_datagram(two_machines())
    interrupt = next(at for at, step in enumerate(journey.steps) if step.name == "udp_queue_rcv_skb")
    copied = next(at for at, step in enumerate(journey.steps) if step.name == "skb_copy_datagram_iter")
    assert interrupt < copied
    assert journey.steps[interrupt].begin_fs == journey.steps[copied].begin_fs


def test_a_call_that_has_to_do_with_no_host_is_shown_at_the_first_one() -> None:
    lan = two_machines()

    def client() -> None:
        ip_fast_csum(bytes(20))
        lan.machines[1].net.socket().close()

    assert {track.name for track in recorded(lan, client).tracks} == {"host2 stack"}


def test_a_drop_in_the_stack_is_said_with_its_reason() -> None:
    lan = two_machines()

    def client() -> None:
        with lan.machines[0].net.socket() as sock:
            sock.sendto(b"anybody?", ("10.0.0.2", 9))

    journey = recorded(lan, client)
    (drop,) = [step for step in journey.on("drop") if step.name != "NOT_SPECIFIED"]
    assert (drop.name, journey.tracks[drop.track].name) == ("NO_SOCKET", "host2 stack")
    dropped = journey.packets[drop.packets[0] - 1]
    assert (dropped.label[:3], dropped.fate) == ("UDP", "dropped: NO_SOCKET")
    (refusal,) = [packet for packet in journey.packets if "unreachable" in packet.label]
    assert refusal.parent == dropped.id


def test_a_wait_in_a_qdisc_takes_as_long_as_the_packet_lies_there() -> None:
    lan = two_machines()
    tc(lan.machines[0].net, "qdisc add dev eth0 root netem delay 250us")
    journey = first_datagram(lan)
    query = next(packet for packet in journey.packets if packet.label.startswith("ARP who has"))
    (wait,) = [step for step in journey.on("wait", packet=query.id) if step.name == "qdisc"]
    assert (wait.end_fs - wait.begin_fs) // FS_PER_NS == 250_000
    assert journey.tracks[wait.track].name == "host1 stack"


def test_cards_come_in_the_order_in_which_they_were_put_in() -> None:
    world = World()
    setups = [Setup(address=f"10.0.{n}.1/24", mac=bytes((2, 0, 0, 0, 0, n))) for n in range(5)]
    machine = Machine(world, setups[0])
    for setup in setups[1:]:
        machine.add_card(setup)
    world.advance(1_000_000)
    sock = machine.net.socket()
    with Recorder(world) as recorder:
        for n in reversed(range(5)):
            sock.sendto(b"", (f"10.0.{n}.2", 9))
        world.advance(1_000_000)
    names = [track.name for track in recorder.journey().tracks if track.stage == "MAC TX"]
    assert names == [f"host1 eth{n} MAC TX" for n in range(5)]


def test_a_packet_waits_for_its_neighbour_through_all_questions_until_it_is_given_up() -> None:
    journey = first_datagram_that_arrives(loss=1)
    (datagram,) = [packet for packet in journey.packets if packet.label.startswith("UDP")]
    (wait,) = journey.on("wait", packet=datagram.id)
    (drop,) = journey.on("drop", packet=datagram.id)
    assert (wait.name, wait.end_fs) == ("neighbour queue", drop.begin_fs)
    assert datagram.fate == "dropped: NEIGH_FAILED"
    assert 2.9e15 < wait.end_fs - wait.begin_fs < 3.1e15  # Three questions, a second each.


def test_frames_that_the_cable_loses_or_damages_are_lost_or_dropped_by_the_card() -> None:
    journey = first_datagram_that_arrives(loss=1)
    assert {packet.fate for packet in journey.packets if packet.label.startswith("ARP")} == {"lost on the wire"}
    journey = first_datagram_that_arrives(corruption=1)
    drops = [step for step in journey.on("drop") if journey.tracks[step.track].name == "host2 eth0 RX checks"]
    assert len(drops) == 3
    for drop in drops:
        assert drop.name in ("CRC_ERROR", "PREAMBLE_ERROR", "RUNT")
        assert journey.packets[drop.packets[0] - 1].fate == f"dropped: {drop.name}"


def first_datagram_that_arrives(**faults: float) -> Journey:
    """What happens to a datagram whose queries for an address do not come through."""
    lan = two_machines(**faults)

    def client() -> None:
        with lan.machines[0].net.socket() as sock:
            sock.sendto(b"?", ("10.0.0.2", 9))
            lan.world.sleep(4_000_000_000)

    return recorded(lan, client)


def test_a_frame_for_somebody_else_is_filtered_by_the_card() -> None:
    lan = two_machines()
    frame = bytes.fromhex("0200000000ee 020000000001 88b5") + bytes(46)

    def client() -> None:
        with lan.machines[0].net.socket(17, 3, 0) as sock:  # AF_PACKET, SOCK_RAW
            sock.bind(("eth0", 0x88B5))
            sock.send(frame)

    journey = recorded(lan, client)
    (drop,) = journey.on("drop")
    assert (drop.name, journey.tracks[drop.track].name) == ("HW_FILTERED", "host2 eth0 RX checks")
    assert journey.packets[drop.packets[0] - 1].fate == "dropped: HW_FILTERED"


@pytest.mark.parametrize(("mtu", "faults"), [(1500, {}), (9000, {}), (600, {"duplication": 0.1, "reordering": 0.2})])
def test_every_frame_has_the_packet_whose_octets_it_has(mtu: int, faults: dict[str, float]) -> None:
    first = seed()
    rng = Random(first)
    lan = two_machines(seed=first, mtu=mtu, **faults)
    journey = random_traffic(lan, rng, datagrams=30, mtu=mtu)
    given: dict[int, list[bytes]] = {}
    for step in journey.on("call"):
        if step.name == "hardwire_start_xmit":
            assert step.before is not None
            given.setdefault(step.packets[0], []).append(left_alone(journey.states[step.before].octets))
    frames = list(journey.on("frame"))
    assert len(frames) > 150
    for step in frames:
        assert step.after is not None
        octets = left_alone(journey.states[step.after].octets[:-4])
        assert len(step.packets) == 1, f"HARDWIRE_SEED={first}: {step}"
        assert octets in [frame.ljust(50, b"\0") for frame in given[step.packets[0]]], f"HARDWIRE_SEED={first}: {step}"
    for kind in ("desc", "fifo", "csum", "rx"):
        assert all(len(step.packets) == 1 for step in journey.on(kind)), f"HARDWIRE_SEED={first}: {kind}"
    assert all(step.packets for step in journey.on("completion")), f"HARDWIRE_SEED={first}"
    assert not {step.name for step in journey.on("dma")} - {
        *("TX descriptor", "RX descriptor", "payload", "received octets", "TX completion", "RX completion"),
    }
    in_parts = any("LAST" not in str(step.values["flags"]) for step in journey.on("desc"))
    assert in_parts == (mtu == 9000), f"HARDWIRE_SEED={first}"
    in_order(journey, first)


def left_alone(octets: bytes) -> bytes:
    """Return a frame without what the card fills in: destination address and checksums."""
    return octets[6:24] + octets[26:40] + octets[42:]


def in_order(journey: Journey, first: int) -> None:
    """Each packet goes through the stages of a card in their order."""
    stages = ("descriptors", "FIFO", "MAC TX")
    for packet in journey.packets:
        for host in ("host1", "host2"):
            times = [
                [
                    step.begin_fs
                    for step in journey.steps
                    if packet.id in step.packets and journey.tracks[step.track].name == f"{host} eth0 {stage}"
                ]
                for stage in stages
            ]
            if times[-1] and len({len(one) for one in times}) == 1:
                for passage in zip(*times, strict=True):
                    assert list(passage) == sorted(passage), f"HARDWIRE_SEED={first}: packet {packet.id}"


def test_journeys_are_the_same_for_the_same_seed_and_come_back_from_json() -> None:
    journeys = [first_datagram(two_machines(seed=3)) for _ in range(2)]
    assert journeys[0] == journeys[1] == Journey.from_json(journeys[0].to_json())


@pytest.mark.parametrize("plain", [None, [], {}, {"steps": [], "version": 1}])
def test_what_is_no_journey_is_refused(plain: object) -> None:
    with pytest.raises(JourneyError, match="^this is no journey"):
        Journey.from_json(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("track", 99),
        ("track", -1),
        ("packets", [0]),
        ("packets", [99]),
        ("parent", 3),
        ("after", 10_000),
        ("end_fs", 1),
    ],
)
def test_a_journey_whose_steps_point_to_nothing_is_refused(name: str, value: object) -> None:
    plain = first_datagram(two_machines()).to_json()
    plain["steps"][3][name] = value
    with pytest.raises(JourneyError, match="^this is no journey: .*step 3 points to what is not there"):
        Journey.from_json(plain)


def test_a_tree_names_the_cards_of_a_host_that_has_several() -> None:
    world = World(seed=1)
    near, router, far = (Machine(world, Setup(address=f"10.0.{net}.1/24")) for net in (1, 2, 3))
    for machine, setup in ((near, Setup(address="10.0.1.2/24")), (far, Setup(address="10.0.3.2/24"))):
        Link(machine.nic, router.add_card(setup).nic)
    with Recorder(world) as recorder:
        for machine, address in ((near, "10.0.1.2"), (far, "10.0.3.2")):
            machine.net.socket().sendto(b"?", (address, 9))
        world.drain()
    lines = [line.split("├ ")[-1] for line in tree(recorder.journey()).plain.splitlines()]
    labels = {line.partition(":")[0] for line in lines if "descriptor 0 fetched" in line}
    assert labels == {"host1", "host2 eth1", "host2 eth2", "host3"}


def test_a_journey_of_another_version_is_refused() -> None:
    with pytest.raises(JourneyError, match="^a journey of version 7; this hardwire reads version 1$"):
        Journey.from_json({"steps": [], "version": 7})


def test_recording_changes_nothing_and_lets_others_hear_of_frames() -> None:
    def run(*, record: bool) -> tuple[object, ...]:
        world = World(seed=5)
        machine = Machine(world, Setup(neighbours={"10.0.0.2": "02:00:00:00:00:02"}))
        frames: list[object] = []
        machine.nic.on_frames = frames.extend
        sock = machine.net.socket()

        def send() -> None:
            for number in range(20):
                sock.sendto(bytes(number * 70), ("10.0.0.2", 9))

        if record:
            with Recorder(world):
                world.run(send)
                world.drain()
        else:
            world.run(send)
            world.drain()
        return frames, world.now_fs, machine.nic.cycle

    assert run(record=True) == run(record=False)


def test_recorders_of_the_same_world_do_not_disturb_each_other() -> None:
    alone = first_datagram(two_machines())
    lan = two_machines()
    early, late = Recorder(lan.world), Recorder(lan.world)
    early.__enter__()
    between = first_datagram(lan)  # It has a recorder of its own.
    with late:
        early.__exit__()
        first_datagram(lan)

    def steps(journey: Journey) -> list[tuple[str, tuple[int, ...]]]:
        return [(step.name, step.packets) for step in journey.steps if step.packets]

    assert steps(early.journey()) == steps(between) == steps(alone)
    assert [packet.fate for packet in late.journey().packets if packet.label.startswith("UDP")] == ["received"]


def lines_executed(action: Callable[[], object]) -> int:
    """The lines of Python that ``action`` executes, loops and comprehensions turn by turn."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Callable[..., object]:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return lines


def test_the_work_that_a_journey_takes_grows_with_its_length_and_no_faster() -> None:
    def work(datagrams: int) -> int:
        lan = two_machines()
        lan.machines[1].net.socket().bind(("0.0.0.0", 9000))

        def client() -> None:
            with lan.machines[0].net.socket() as sock:
                for _ in range(datagrams):
                    sock.sendto(bytes(18), ("10.0.0.2", 9000))
                    lan.world.sleep(2000)

        with Recorder(lan.world) as recorder:
            lan.world.run(client)
            lan.settle()
        lines = lines_executed(recorder.journey)
        assert len(recorder.journey().packets) >= datagrams
        return lines

    assert work(240) < 5 * work(60)
