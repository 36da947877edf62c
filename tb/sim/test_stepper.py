"""Several cards in one world: the same cycles however they are stepped, and the wire between them."""

from collections.abc import Iterable

import pytest

from hardwire.sim.bus_model import BusModel
from hardwire.sim.frame import Frame, on_wire
from hardwire.sim.nic import SimNic
from hardwire.sim.nic_event import HardwareHang
from hardwire.sim.raw_queue import RawQueue
from hardwire.sim.world import FS_PER_NS, World
from hardwire.stack.abi import GLOBAL, TXQ

FRAME = bytes(range(6)) + bytes.fromhex("020000000001") + b"\x88\xb5" + bytes(range(46))
BUS = BusModel(read_jitter_ns=700, write_jitter_ns=300, stall_probability=0.2, reorder=True)
DELAY_FS = 100 * FS_PER_NS


class Pair:
    """Two cards on a cable, or not, that send and look at registers at odd times."""

    def __init__(
        self,
        *,
        skipping: bool = True,
        ppm: tuple[float, float] = (0, 0),
        phases_fs: tuple[int, int] = (0, 0),
        idle_hosts: int = 0,
        cable: bool = True,
        seed: int = 7,
        length: int = 60,
        delay_fs: int = DELAY_FS,
    ) -> None:
        self.world = World(seed=seed)
        self.nics = [
            SimNic(self.world.host(), bus=BUS, skipping=skipping, ppm=p, phase_fs=f)
            for p, f in zip(ppm, phases_fs, strict=True)
        ]
        for _ in range(idle_hosts):
            SimNic(self.world.host(), skipping=skipping)
        if cable:
            self.nics[0].connect(self.nics[1], delay_fs)
            self.nics[1].connect(self.nics[0], delay_fs)
        self.sent: list[list[Frame]] = [[], []]
        self.received: list[list[Frame]] = [[], []]
        self.log: list[object] = []
        for number, nic in enumerate(self.nics):
            nic.on_frames = self.sent[number].extend
            nic.on_received = self.received[number].extend
        self.queues = [RawQueue(nic, ring_log2=6) for nic in self.nics]
        for queue in self.queues:
            queue.fill((FRAME + bytes(9000))[:length])

    def handler(self, number: int) -> None:
        """Acknowledge as a driver would, and note when."""
        nic = self.nics[number]
        self.log.append(("irq", number, self.world.now_fs))
        head = nic.read32(TXQ.address(TXQ["CPL_HEAD"]))
        nic.write32(TXQ.address(TXQ["CPL_TAIL"]), TXQ["CPL_TAIL"].pack(index=head, arm=1))

    def run(self) -> "Pair":
        world = self.world
        for number, nic in enumerate(self.nics):
            nic.request(lambda number=number: self.handler(number))
            nic.write32(TXQ.address(TXQ["CPL_TAIL"]), TXQ["CPL_TAIL"].pack(index=0, arm=1))
        self.queues[0].ring_doorbell(3)
        world.advance(1_234)
        self.queues[1].ring_doorbell(5)
        world.advance(77)
        self.log.append(self.nics[0].read32(GLOBAL.address(GLOBAL["CYCLES_LO"])))
        self.queues[0].ring_doorbell(9)
        world.advance(300_000)
        self.log.append(self.nics[1].read32(GLOBAL.address(GLOBAL["CYCLES_LO"])))
        self.queues[1].ring_doorbell(6)
        world.drain()
        for nic in self.nics:
            self.log.append((nic.cycle, nic.counters, world.now_fs))
            self.log.append([nic.read32(TXQ.address(register)) for register in TXQ.registers])
        return self

    def outcome(self) -> tuple[object, ...]:
        return self.sent, self.received, self.log


CLOCKS = [((0, 0), (0, 0)), ((100, -100), (0, 3_333_333)), ((-100, 100), (1, 0)), ((37.3, 37.3), (5_000_000, 1))]


@pytest.mark.parametrize(("ppm", "phases_fs"), CLOCKS)
def test_skipping_a_third_host_and_a_second_run_change_nothing(
    ppm: tuple[float, float], phases_fs: tuple[int, int]
) -> None:
    def outcome(**options: object) -> tuple[object, ...]:
        return Pair(ppm=ppm, phases_fs=phases_fs, **options).run().outcome()

    first = outcome()
    assert outcome() == first
    assert outcome(skipping=False) == first
    assert outcome(idle_hosts=1) == first
    assert outcome(seed=8) != first


@pytest.mark.parametrize(("ppm", "phases_fs"), CLOCKS)
@pytest.mark.parametrize("length", [60, 1514, 9000])
def test_what_one_sends_arrives_at_the_other_one_whole_and_in_time(
    ppm: tuple[float, float], phases_fs: tuple[int, int], length: int
) -> None:
    pair = Pair(ppm=ppm, phases_fs=phases_fs, length=length).run()
    for sent, received, nic, number in zip(
        pair.sent, reversed(pair.received), reversed(pair.nics), (9, 6), strict=True
    ):
        assert len(sent) == number
        assert [f.octets + f.fcs for f in received] == [f.octets + f.fcs for f in sent]
        assert all(frame.ok for frame in received)
        # A faster receiver waits until it cannot run dry, whatever the length.
        drift_fs = 16384 * 8 * FS_PER_NS * 201 // 1_000_000
        for before, after in zip(sent, received, strict=True):
            assert DELAY_FS <= after.time_fs - before.time_fs < max(DELAY_FS, drift_fs) + 2 * nic.period_fs
        assert all(frame.gap_octets >= 9 for frame in received[1:])


@pytest.mark.parametrize("ppm", [(500, -500), (-500, 500)])
def test_shortest_cable_lets_no_clock_run_dry(ppm: tuple[float, float]) -> None:
    pair = Pair(ppm=ppm, length=9000, delay_fs=8 * FS_PER_NS).run()
    for sent, received in zip(pair.sent, reversed(pair.received), strict=True):
        assert [f.octets + f.fcs for f in received] == [f.octets + f.fcs for f in sent]
        assert all(frame.ok for frame in received)


def test_one_alone_and_one_beside_others_do_the_same() -> None:
    def outcome(hosts: int) -> tuple[object, ...]:
        world = World(seed=3)
        nic = SimNic(world.host(), bus=BUS)
        for _ in range(hosts):
            SimNic(world.host(), bus=BUS)
        queue = RawQueue(nic, ring_log2=6)
        queue.fill(FRAME)
        values = []
        for tail in (3, 5, 20):
            queue.ring_doorbell(tail)
            world.advance(5_000)
            values.append(nic.read32(GLOBAL.address(GLOBAL["CYCLES_LO"])))
        world.drain()
        return nic.take_frames(), values, nic.cycle, world.now_fs, nic.counters

    assert outcome(0) == outcome(1) == outcome(3)


def test_an_idle_card_costs_next_to_nothing() -> None:
    world = World()
    nics = [SimNic(world.host()) for _ in range(3)]
    queue = RawQueue(nics[0], ring_log2=6)
    queue.fill(FRAME)
    world.drain()
    before = [nic.cycles_evaluated for nic in nics]
    queue.ring_doorbell(40)
    world.drain()
    world.advance(100_000_000)
    spent = [nic.cycles_evaluated - at for nic, at in zip(nics, before, strict=True)]
    assert spent[0] > 40 * 84
    assert max(spent[1:]) < 10


def test_all_cards_stand_at_the_time_of_an_event() -> None:
    pair = Pair(ppm=(50, -50), phases_fs=(0, 2_000_000))
    seen = []

    def look(frames: Iterable[Frame]) -> None:
        now_fs = pair.world.now_fs
        seen.append([nic.time_fs - now_fs for nic in pair.nics])
        assert seen[-1][0] == 0
        assert 0 <= seen[-1][1] < pair.nics[1].period_fs

    pair.nics[0].on_frames = look
    for queue in pair.queues:
        queue.ring_doorbell(20)
    pair.world.drain()
    assert len(seen) == 20


def test_frames_of_a_wire_are_not_kept_for_nobody() -> None:
    pair = Pair()
    for nic in pair.nics:
        nic.on_frames = nic.on_received = None
    pair.queues[0].ring_doorbell(30)
    pair.world.drain()
    assert pair.nics[0].take_frames() == []
    assert pair.nics[0].wire_counters == (30, 30, 0)
    assert pair.nics[1].counters["rx_frames_total"] == 30


def test_frame_is_delivered_once_it_has_wholly_gone_in() -> None:
    pair = Pair(delay_fs=1_000_000 * FS_PER_NS)
    pair.queues[0].ring_doorbell(2)
    pair.world.advance(900_000)
    assert len(pair.sent[0]) == 2
    assert pair.nics[0].wire_counters == (2, 0, 0)
    pair.world.drain()
    assert len(pair.received[1]) == 2
    assert pair.nics[0].wire_counters == (2, 2, 0)


@pytest.mark.parametrize("idle_hosts", [0, 1])
@pytest.mark.parametrize("skipping", [True, False])
def test_card_that_waits_for_ever_is_a_hang_at_the_same_cycle(skipping: bool, idle_hosts: int) -> None:
    world = World()
    nics = [SimNic(world.host(), bus=BusModel(read_latency_ns=1e6), skipping=skipping) for _ in range(1 + idle_hosts)]
    queue = RawQueue(nics[0], ring_log2=4)
    queue.fill(FRAME)
    world.drain()
    nics[0].set_hang_cycles(1000)
    started = nics[0].cycle
    queue.ring_doorbell(1)
    with pytest.raises(HardwareHang):
        world.drain()
    assert nics[0].cycle - started == 1008


def test_pulled_cable_cuts_the_frame_and_those_after_it() -> None:
    pair = Pair(length=1514)
    pair.queues[0].ring_doorbell(4)
    while not pair.sent[0]:
        pair.world.advance(100)
    pair.world.advance(5_000)
    pair.nics[0].set_wire_up(False)
    pair.world.drain()
    assert pair.nics[0].wire_counters == (4, 1, 3)
    whole, part = pair.received[1]
    assert whole.ok
    assert not part.ok
    assert len(part.octets) < 1500
    pair.nics[0].set_wire_up(True)
    pair.queues[0].ring_doorbell(5)
    pair.world.drain()
    assert pair.nics[0].wire_counters == (5, 2, 3)
    assert pair.received[1][-1].ok


def test_injected_frames_come_when_they_should_and_idle_cycles_are_skipped() -> None:
    world = World()
    nic = SimNic(world.host())
    received: list[Frame] = []
    nic.on_received = received.extend
    world.drain()
    before = nic.cycles_evaluated
    start_fs = world.now_fs + 50_000_000 * FS_PER_NS
    nic.inject(on_wire(FRAME), start_fs=start_fs)
    assert not nic.quiet
    nic.inject(on_wire(FRAME, fcs=bytes(4)), start_fs=start_fs, gap_octets=5)
    nic.inject(on_wire(FRAME), start_fs=start_fs - 1_000_000 * FS_PER_NS, errors=bytes(40) + b"\1" + bytes(31))
    nic.inject(b"\xaa", start_fs=start_fs + 1)
    world.drain()
    assert [len(frame.octets + frame.fcs) for frame in received] == [64, 64, 64, 0]
    assert [frame.ok for frame in received] == [False, True, False, False]
    assert received[1].time_fs == start_fs
    assert [frame.gap_octets for frame in received[2:]] == [5, 12]
    assert nic.cycles_evaluated - before < 400
    assert nic.quiet


@pytest.mark.parametrize("skipping", [True, False])
def test_injected_frame_wakes_a_card_beside_others(skipping: bool) -> None:
    world = World()
    nics = [SimNic(world.host(), skipping=skipping) for _ in range(2)]
    received: list[int] = []
    nics[1].on_received = lambda frames: received.extend(frame.start_cycle for frame in frames)
    world.drain()
    nics[1].inject(on_wire(FRAME), start_fs=1_000_000 * FS_PER_NS)
    world.drain()
    assert received == [125_000]


@pytest.mark.parametrize(
    ("octets", "options", "error"),
    [
        (b"", {}, "a frame has at least 1 octet"),
        (b"12", {"errors": b"1"}, "2 octets need as many errors, not 1"),
        (b"12", {"gap_octets": 0}, "gap_octets must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_on_a_wire_is_refused(octets: bytes, options: dict[str, object], error: str) -> None:
    nic = SimNic(World().host())
    with pytest.raises(ValueError, match=f"^{error}$"):
        nic.inject(octets, **options)
