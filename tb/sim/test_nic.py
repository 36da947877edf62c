"""The simulated card, without a driver: registers, frames, interrupts, faults, and the same run every time."""

import zlib
from errno import EISDIR, ENOENT, ESPIPE
from pathlib import Path

import pytest

from hardwire.hdl.config import NicConfig
from hardwire.sim.bus_model import BusModel
from hardwire.sim.frame import Frame
from hardwire.sim.nic import SimNic
from hardwire.sim.nic_event import DmaViolation, HardwareHang
from hardwire.sim.raw_queue import RawQueue
from hardwire.sim.world import World
from hardwire.stack.abi import DEVICE_ID, GLOBAL, TX_DESC, TXQ, TxFlags, TxStatus
from hardwire.stack.drivers.bus import Direction

FRAME = bytes(range(6)) + bytes.fromhex("020000000001") + b"\x88\xb5" + bytes(range(46))


def make(
    seed: int = 1, *, bus: BusModel | None = None, ring_log2: int = 6, **options: bool
) -> tuple[World, SimNic, RawQueue]:
    world = World(seed=seed)
    nic = SimNic(world.host(), bus=bus, **options)
    queue = RawQueue(nic, ring_log2=ring_log2)
    queue.fill(FRAME)
    return world, nic, queue


def registers(nic: SimNic) -> dict[str, int]:
    values = {r.name: nic.read32(GLOBAL.address(r)) for r in GLOBAL.registers}
    return values | {f"TXQ {r.name}": nic.read32(TXQ.address(r)) for r in TXQ.registers}


def test_read_of_the_identity_takes_time_and_a_write_does_not() -> None:
    world, nic, _ = make()
    before = world.now_fs
    nic.write32(TXQ.address(TXQ["IRQ_TIME"]), 77)
    assert world.now_fs == before
    assert nic.read32(TXQ.address(TXQ["IRQ_TIME"])) == 77
    assert world.now_fs > before
    assert nic.read32(GLOBAL.address(GLOBAL["ID"])) == DEVICE_ID


def test_frames_come_out_checked_and_timed() -> None:
    world, nic, queue = make()
    queue.ring_doorbell(5)
    world.drain()
    frames = nic.take_frames()
    assert [frame.octets for frame in frames] == [FRAME] * 5
    assert all(frame.ok for frame in frames)
    octets_on_wire = 8 + len(FRAME) + 4
    for last, frame in zip(frames, frames[1:], strict=False):
        assert frame.end_cycle - frame.start_cycle + 1 == octets_on_wire
        assert frame.gap_octets == frame.start_cycle - last.end_cycle - 1 >= 12
        assert frame.time_fs - last.time_fs == (frame.start_cycle - last.start_cycle) * 8_000_000
    assert nic.take_frames() == []
    assert queue.statuses(5) == [TxStatus.OK] * 5


def test_on_frames_is_called_when_a_frame_has_left() -> None:
    world, nic, queue = make()
    seen: list[tuple[int, int]] = []
    nic.on_frames = lambda frames: seen.extend((world.now_fs, frame.end_cycle) for frame in frames)
    queue.ring_doorbell(3)
    world.drain()
    assert len(seen) == 3
    for now_fs, end_cycle in seen:
        assert 0 < now_fs // nic.period_fs - end_cycle <= 2


def test_watcher_sees_all_frames_and_takes_none() -> None:
    world, nic, queue = make()
    seen: list[tuple[int, bool]] = []
    nic.watch(lambda frames, sent: seen.extend((frame.start_cycle, sent) for frame in frames))
    queue.ring_doorbell(3)
    world.advance(3_000)
    nic.receive(FRAME, zlib.crc32(FRAME).to_bytes(4, "little"))
    world.drain()
    frames = nic.take_frames()
    assert [frame.octets for frame in frames] == [FRAME] * 3
    assert sorted(start for start, sent in seen if sent) == [frame.start_cycle for frame in frames]
    assert [start >= 3_000 // 8 for start, sent in seen if not sent] == [True]
    assert nic.take_frames() == []


def test_watched_card_does_the_same_at_the_same_times() -> None:
    def run(watched: bool) -> tuple[list[Frame], int]:
        world, nic, queue = make(bus=BusModel(read_jitter_ns=300, stall_probability=0.1))
        if watched:
            nic.watch(lambda frames, sent: None)
        queue.ring_doorbell(50)
        world.drain()
        return nic.take_frames(), world.now_fs

    assert run(watched=True) == run(watched=False)


def test_world_is_told_of_each_card_that_is_made() -> None:
    world = World()
    made: list[SimNic] = []
    world.on_nic = made.append
    nics = [SimNic(world.host()) for _ in range(2)]
    assert made == nics == world.nics


def interrupted(world: World, nic: SimNic, queue: RawQueue) -> list[int]:
    """Count calls of a handler that acknowledges, as a driver would."""
    calls: list[int] = []

    def handler() -> None:
        calls.append(world.now_fs)
        head = nic.read32(TXQ.address(TXQ["CPL_HEAD"]))
        nic.write32(TXQ.address(TXQ["CPL_TAIL"]), TXQ["CPL_TAIL"].pack(index=head, arm=1))

    nic.request(handler)
    nic.write32(TXQ.address(TXQ["CPL_TAIL"]), TXQ["CPL_TAIL"].pack(index=0, arm=1))
    return calls


def test_interrupt_comes_once_for_each_time_it_is_armed() -> None:
    world, nic, queue = make()
    calls = interrupted(world, nic, queue)
    queue.ring_doorbell(1)
    world.drain()
    assert len(calls) == 1
    queue.ring_doorbell(2)
    world.drain()
    assert len(calls) == 2
    nic.free()
    queue.ring_doorbell(3)
    world.drain()
    assert len(calls) == 2


def test_interrupt_that_nobody_clears_is_reported() -> None:
    world, nic, queue = make()
    nic.request(lambda: None)
    nic.write32(TXQ.address(TXQ["CPL_TAIL"]), TXQ["CPL_TAIL"].pack(index=0, arm=1))
    queue.ring_doorbell(1)
    with pytest.raises(RuntimeError, match="nobody cared"):
        world.drain()


def test_moderation_timer_fires_after_skipped_cycles_at_the_right_time() -> None:
    world, nic, queue = make()
    nic.write32(TXQ.address(TXQ["IRQ_COUNT"]), 100)
    nic.write32(TXQ.address(TXQ["IRQ_TIME"]), 100_000)
    calls = interrupted(world, nic, queue)
    queue.ring_doorbell(1)
    world.drain()
    done_fs = nic.take_frames()[0].time_fs
    assert len(calls) == 1
    assert 100_000 <= (calls[0] - done_fs) / nic.period_fs <= 100_500
    assert nic.cycles_evaluated < 5_000


@pytest.mark.parametrize(
    "bus",
    [
        BusModel(),
        BusModel(read_latency_ns=0, write_latency_ns=0),
        BusModel(read_jitter_ns=900, write_jitter_ns=500, reorder=True, interleave=True, stall_probability=0.3),
        BusModel(read_error_probability=0.2, write_error_probability=0.2),
    ],
    ids=["plain", "zero", "wild", "errors"],
)
def test_skipping_changes_nothing_but_the_cycles_evaluated(bus: BusModel) -> None:
    def run(skipping: bool) -> tuple[object, ...]:
        world, nic, queue = make(bus=bus, skipping=skipping)
        nic.write32(TXQ.address(TXQ["IRQ_COUNT"]), 3)
        nic.write32(TXQ.address(TXQ["IRQ_TIME"]), 20_000)
        calls = interrupted(world, nic, queue)
        cycles = []
        for tail in (1, 2, 9, 10, 30):
            queue.ring_doorbell(tail)
            world.advance(100_000 + tail * 777)
            cycles.append(nic.read32(GLOBAL.address(GLOBAL["CYCLES_LO"])))  # At once after a jump.
        world.drain()
        return (
            calls,
            cycles,
            nic.take_frames(),
            registers(nic),
            nic.cycle,
            world.now_fs,
            nic.counters,
            nic.cycles_evaluated,
        )

    skipped, stepped = run(True), run(False)
    assert skipped[:-1] == stepped[:-1]
    assert skipped[-1] < stepped[-1] == stepped[4]


def test_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    bus = BusModel(read_jitter_ns=500, reorder=True, stall_probability=0.2)

    def run(seed: int) -> tuple[object, ...]:
        world, nic, queue = make(seed, bus=bus)
        queue.ring_doorbell(40)
        world.drain()
        return nic.take_frames(), nic.cycle, nic.counters

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_dma_outside_a_mapping_is_refused_and_recorded() -> None:
    world, nic, queue = make(strict=False)
    nic.write32(TXQ.address(TXQ["CTRL"]), 0)
    block = nic.dma.kmalloc(2048)  # Never mapped.
    bad = nic.dma.map(block.addr, 60, Direction.TO_DEVICE)
    nic.dma.unmap(bad, 60, Direction.TO_DEVICE)
    descriptor = TX_DESC.pack(addr=bad, length=60, flags=TxFlags.FIRST | TxFlags.LAST)
    queue._ring.view[3 * 32 : 4 * 32] = descriptor
    nic.write32(TXQ.address(TXQ["CTRL"]), 1)
    queue.ring_doorbell(5)
    world.drain()
    violations = nic.take_violations()
    assert violations[0].kind == "read outside all mappings"
    assert bad - 8 < violations[0].address < bad + 64
    assert violations[0].descriptor in (3, 4)
    assert queue.statuses(5) == [TxStatus.OK] * 3 + [TxStatus.PAYLOAD_ERROR, TxStatus.OK]
    assert len(nic.take_frames()) == 4


def test_strict_mode_stops_the_run_at_a_violation() -> None:
    world, nic, queue = make()
    queue._ring.view[:32] = TX_DESC.pack(addr=0x1234_5678, length=60, flags=TxFlags.FIRST | TxFlags.LAST)
    queue.ring_doorbell(1)
    with pytest.raises(DmaViolation, match=r"^read outside all mappings at 0x12345678, cycle \d+, last descriptor"):
        world.drain()


def test_write_to_memory_that_is_only_readable_is_a_violation() -> None:
    world, nic, queue = make(strict=False)
    completions = queue._completions
    nic.dma.shadow[completions.offset : completions.offset + 4096] = b"\x01" * 4096
    queue.ring_doorbell(1)
    world.advance(20_000)
    violations = nic.take_violations()
    assert violations[0].kind == "write outside all mappings"
    assert violations[0].address == completions.addr
    assert bytes(completions.view[:16]) == bytes(16)


def test_nth_read_fails_as_ordered() -> None:
    world, nic, queue = make(bus=BusModel(read_error_nth=2))
    queue.ring_doorbell(1)  # The first read fetches the descriptor, the second the octets.
    world.drain()
    assert nic.counters["errors_injected"] == 1
    assert queue.statuses(1) == [TxStatus.PAYLOAD_ERROR]
    assert nic.take_frames() == []


def test_errors_in_an_address_range_hit_only_that_range() -> None:
    world, nic, queue = make()
    first = TX_DESC.unpack(queue._ring.view[:32])["addr"]
    other = nic.dma.kmalloc(64)
    other.view[:60] = FRAME
    queue._ring.view[32:64] = TX_DESC.pack(
        addr=nic.dma.map(other.addr, 60, Direction.TO_DEVICE), length=60, flags=TxFlags.FIRST | TxFlags.LAST
    )
    nic.set_bus(BusModel(error_range=(first, first + 60)))
    queue.ring_doorbell(3)
    world.drain()
    assert queue.statuses(3) == [TxStatus.PAYLOAD_ERROR, TxStatus.OK, TxStatus.PAYLOAD_ERROR]


def test_event_log_tells_the_story_of_a_frame() -> None:
    world, nic, queue = make()
    world.drain()
    nic.log_events()
    queue.ring_doorbell(1)
    world.drain()
    events = nic.take_events()
    kinds = [event.kind for event in events]
    story = ["mmio_write", "read", "desc", "read", "csum", "frame_start", "write", "frame_end", "write_done"]
    at = 0
    for kind in story:
        at = kinds.index(kind, at) + 1
    assert kinds.count("cpl") == 1
    assert [event.cycle for event in events] == sorted(event.cycle for event in events)
    assert nic.counters["events_lost"] == 0


def test_prefilled_loop_sends_every_frame() -> None:
    _, nic, queue = make()
    sent = nic.bench_prefilled(
        tail_offset=queue.offset("TAIL"),
        cpl_tail_offset=queue.offset("CPL_TAIL"),
        tail=0,
        ring_size=queue.size,
        frames=320,
        batch=16,
        in_flight=32,
    )
    assert sent == 320
    assert nic.counters["frames_total"] == 320


def test_two_cards_share_one_time() -> None:
    world = World(seed=4)
    nics = [SimNic(world.host(), bus=BusModel(read_latency_ns=latency)) for latency in (100, 3000)]
    queues = [RawQueue(nic, ring_log2=4) for nic in nics]
    for queue in queues:
        queue.fill(FRAME)
        queue.ring_doorbell(3)
    world.drain()
    assert [len(nic.take_frames()) for nic in nics] == [3, 3]
    assert abs(nics[0].time_fs - nics[1].time_fs) <= 1_000_000_000
    world.advance(1_000_000)
    assert abs(nics[0].time_fs - nics[1].time_fs) <= 8_000_000


def test_waves_cover_their_window_and_change_nothing(tmp_path: Path) -> None:
    """The variant with waves evaluates both clock edges: that one evaluation a cycle is enough shows here, too."""
    bus = BusModel(read_jitter_ns=700, reorder=True, interleave=True, stall_probability=0.2)

    def run(path: Path | None) -> tuple[object, ...]:
        world, nic, queue = make(bus=bus, waves=path is not None)
        if path:
            nic.waves(str(path), from_ns=2_000, to_ns=9_000)
        queue.ring_doorbell(20)
        world.drain()
        if path:
            nic.waves(None)
        return nic.take_frames(), registers(nic), nic.cycle, nic.cycles_evaluated, nic.counters

    path = tmp_path / "x.fst"
    assert run(path) == run(None)
    header = path.read_bytes()[:25]
    start_fs, end_fs = (int.from_bytes(header[at : at + 8], "big") for at in (9, 17))
    assert (start_fs // 1_000_000, end_fs // 1_000_000) == pytest.approx((2_000, 9_000), abs=16)


def test_waves_need_the_variant_for_waves(tmp_path: Path) -> None:
    _, nic, _ = make()
    with pytest.raises(ValueError, match="^this device was made without waves=True$"):
        nic.waves(str(tmp_path / "x.fst"))


@pytest.mark.parametrize(
    ("path", "error"), [(".", EISDIR), ("", ENOENT), ("/proc/x.fst", ENOENT), ("/dev/full", ESPIPE)]
)
def test_waves_to_what_cannot_be_written_are_an_error(path: str, error: int) -> None:
    _, nic, _ = make(waves=True)
    with pytest.raises(OSError, match=rf"^\[Errno {error}\]"):
        nic.waves(path)


def test_register_that_does_not_exist_reads_as_ones_and_is_recorded() -> None:
    world, nic, _ = make(strict=False)
    assert nic.read32(0xF000) == 0xFFFF_FFFF
    nic.write32(0xF004, 1)
    world.drain()
    assert [(v.kind, v.address) for v in nic.take_violations()] == [
        ("register access answered with an error", 0xF000),
        ("register access answered with an error", 0xF004),
    ]
    assert nic.counters["mmio_errors"] == 2


def test_device_that_makes_no_progress_is_a_hang() -> None:
    world, nic, queue = make(bus=BusModel(read_latency_ns=1e6))
    nic.set_hang_cycles(1000)
    queue.ring_doorbell(1)
    with pytest.raises(HardwareHang, match="^the device is busy, but nothing has moved on its ports up to cycle"):
        world.drain()
    nic.set_hang_cycles(1_000_000)
    world.drain()
    assert len(nic.take_frames()) == 1


@pytest.mark.parametrize("name", ["read_latency_ns", "stall_probability", "reads_outstanding"])
def test_bus_model_refuses_impossible_values(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must not be negative, not -1$"):
        BusModel(**{name: -1})
    with pytest.raises(ValueError, match="^read_error_probability must be at most 1, not 1.5$"):
        BusModel(read_error_probability=1.5)
    with pytest.raises(ValueError, match="^writes_outstanding must be in 1..64, not 65$"):
        BusModel(writes_outstanding=65)


@pytest.mark.parametrize("gap", [0, 3])
def test_bandwidth_limits_the_rate_of_beats(gap: int) -> None:
    world, nic, queue = make(bus=BusModel(read_gap_cycles=gap, read_latency_ns=100))
    nic.log_events()
    queue.ring_doorbell(1)
    world.drain()
    events = nic.take_events()
    asked = next(e for e in events if e.kind == "read" and e.a == 8)  # The frame: 60 octets in 8 beats.
    done = next(e for e in events if e.kind == "read_done" and e.b == asked.b)
    assert 7 * gap + 7 + 12 <= done.cycle - asked.cycle <= 7 * gap + 7 + 16


@pytest.mark.parametrize(("stream", "axi"), [(32, 32), (128, 128), (64, 512)])
def test_other_widths_send_the_same_frames(stream: int, axi: int) -> None:
    world = World(seed=1)
    config = NicConfig(stream_width_bits=stream, axi_width_bits=axi)
    nic = SimNic(world.host(), config, bus=BusModel(read_jitter_ns=300, reorder=True))
    queue = RawQueue(nic, ring_log2=4)
    queue.fill(FRAME)
    queue.ring_doorbell(10)
    world.drain()
    frames = nic.take_frames()
    assert [frame.octets for frame in frames] == [FRAME] * 10
    assert all(frame.ok for frame in frames)
    assert queue.statuses(10) == [TxStatus.OK] * 10
