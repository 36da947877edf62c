"""Links with faults: every frame is accounted for once, and a seed gives one run."""

from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.sim.frame import FCS_OK, PREAMBLE_OK, TX_ER, Frame
from hardwire.sim.link import Link, wire_time_fs
from hardwire.sim.nic import SimNic
from hardwire.sim.raw_queue import RawQueue
from hardwire.sim.world import FS_PER_NS, World


class End:
    """An end that notes what arrives."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.on_sent = None
        self.got: list[tuple[int, bytes, bool]] = []
        self.links: list[bool] = []

    def receive(self, octets: bytes, fcs: bytes, *, error: bool = False) -> None:
        self.got.append((self.world.now_fs, octets + fcs, error))

    def set_link(self, up: bool) -> None:
        self.links.append(up)


def frame(number: int, length: int = 60, flags: int = FCS_OK | PREAMBLE_OK) -> Frame:
    return Frame(0, number.to_bytes(4) + bytes(length - 4), 12, flags, 0, 0, b"\1\2\3\4")


def make(**options: float) -> tuple[World, End, End, Link]:
    world = World(seed=5)
    a, b = End(world), End(world)
    return world, a, b, Link(a, b, **options)


chance = st.sampled_from([0, 0.1, 0.5, 1])


@settings(max_examples=60, deadline=None)
@given(
    faults=st.fixed_dictionaries({name: chance for name in ("loss", "corruption", "duplication", "reordering")}),
    rate_bps=st.sampled_from([1e9, 1e8, 123456789]),
    queue_frames=st.sampled_from([1, 3, 1000]),
    gaps_ns=st.lists(st.integers(0, 20_000), min_size=1, max_size=60),
    pulls=st.sets(st.integers(0, 59), max_size=4),
)
def test_every_frame_is_accounted_for_once(
    faults: dict[str, float], rate_bps: float, queue_frames: int, gaps_ns: list[int], pulls: set[int]
) -> None:
    def run() -> tuple[object, ...]:
        world, a, b, link = make(**faults, rate_bps=rate_bps, queue_frames=queue_frames)
        there, back = link.counters
        for number, gap_ns in enumerate(gaps_ns):
            if number in pulls:
                link.set_up(not link.up)
            a.on_sent([frame(number)])
            assert there.balanced
            world.advance(gap_ns)
            assert there.balanced
        world.advance(10_000_000)
        assert there.in_flight == 0
        assert there.balanced
        assert there.sent == len(gaps_ns)
        assert there.delivered == len(b.got)
        assert back == type(back)()
        assert a.got == []
        return asdict(there), b.got

    assert run() == run()


def test_frame_arrives_a_delay_after_its_end_and_slower_lines_take_longer() -> None:
    for rate_bps, slower_fs in ((1e9, 0), (1e8, 9 * wire_time_fs(64))):
        world, a, b, _ = make(rate_bps=rate_bps, delay_ns=250, loss=1e-12)
        a.on_sent([frame(1), frame(2)])
        world.advance(100_000)
        first, second = (time_fs for time_fs, _, _ in b.got)
        assert first == slower_fs + 250 * FS_PER_NS
        assert second - first == wire_time_fs(64, rate_bps)


def test_loss_takes_about_its_share() -> None:
    world, a, b, link = make(loss=0.25)
    for number in range(2000):
        a.on_sent([frame(number)])
        world.advance(1_000)
    assert 400 < link.counters[0].lost < 600
    assert len(b.got) == 2000 - link.counters[0].lost


def test_corruption_inverts_one_to_eight_bits_anywhere() -> None:
    world, a, b, link = make(corruption=1)
    flips = Counter()
    in_fcs = 0
    for number in range(300):
        sent = frame(number)
        a.on_sent([sent])
        world.advance(2_000)
        got = b.got[-1][1]
        change = int.from_bytes(got) ^ int.from_bytes(sent.octets + sent.fcs)
        flips[change.bit_count()] += 1
        in_fcs += bool(change & 0xFFFF_FFFF)
    assert set(flips) == set(range(1, 9))
    assert 0 < in_fcs < 300
    assert link.counters[0].corrupted == 300


def test_reordered_frame_is_overtaken() -> None:
    world, a, b, link = make(reordering=0.3, reorder_delay_ns=5_000)
    for number in range(50):
        a.on_sent([frame(number)])
        world.advance(1_000)
    world.advance(100_000)
    numbers = [int.from_bytes(octets[:4]) for _, octets, _ in b.got]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(50))
    assert link.counters[0].reordered > 0


def test_full_queue_of_a_slower_line_drops() -> None:
    world, a, b, link = make(rate_bps=1e7, queue_frames=3)
    a.on_sent([frame(number) for number in range(10)])
    world.advance(10_000_000)
    assert link.counters[0].overflowed == 6
    assert [int.from_bytes(octets[:4]) for _, octets, _ in b.got] == [0, 1, 2, 3]


def test_error_that_was_signalled_is_signalled_again() -> None:
    world, a, b, _ = make()
    a.on_sent([frame(1, flags=TX_ER | PREAMBLE_OK), frame(2)])
    world.advance(10_000)
    assert [error for _, _, error in b.got] == [True, False]


def test_pulled_cable_is_noticed_and_counted() -> None:
    world, a, b, link = make()
    a.on_sent([frame(1)])
    link.set_up(False)
    a.on_sent([frame(2)])
    world.advance(10_000)
    link.set_up(True)
    a.on_sent([frame(3)])
    world.advance(10_000)
    assert link.counters[0].cut == 2
    assert [int.from_bytes(octets[:4]) for _, octets, _ in b.got] == [3]
    assert a.links == b.links == [True, False, True]


@pytest.mark.parametrize("faults", [{}, {"duplication": 1.0}])
def test_two_cards_are_joined(faults: dict[str, float]) -> None:
    world = World(seed=2)
    a, b = (SimNic(world.host()) for _ in range(2))
    link = Link(a, b, **faults)
    received: list[Frame] = []
    b.on_received = received.extend
    queue = RawQueue(a, ring_log2=5)
    queue.fill(bytes(60))
    queue.ring_doorbell(5)
    world.advance(200_000)
    assert link.native is not bool(faults)
    assert len(received) == (10 if faults else 5)
    assert all(frame.ok and frame.octets == bytes(60) for frame in received)
    assert link.counters[0].delivered == len(received)
    assert link.counters[0].balanced


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"loss": 1.5}, "loss must be from 0 to 1, not 1.5"),
        ({"rate_bps": 2e9}, "rate_bps must be from 1 to 1000000000, not 2000000000.0"),
        ({"rate_bps": 0.5}, "rate_bps must be from 1 to 1000000000, not 0.5"),
        ({"delay_ns": 7}, "delay_ns must be from 8 to 10000000000, not 7"),
        ({"delay_ns": float("nan")}, "delay_ns must be from 8 to 10000000000, not nan"),
        ({"delay_ns": float("inf")}, "delay_ns must be from 8 to 10000000000, not inf"),
        ({"reorder_delay_ns": 0}, "reorder_delay_ns must be from 1 to 10000000000, not 0"),
        ({"queue_frames": 0}, "queue_frames must be at least 1, not 0"),
    ],
)
def test_impossible_links_are_refused(options: dict[str, float], error: str) -> None:
    with pytest.raises(ValueError, match=f"^{error}$"):
        make(**options)


def test_ends_of_two_worlds_are_refused() -> None:
    with pytest.raises(ValueError, match="^a link joins two ends of one world$"):
        Link(End(World()), End(World()))
