"""The register bank under Verilator: every register of ``stack.abi`` over AXI4-Lite, with stalls on all channels."""

import logging
import random
from collections import Counter
from collections.abc import Iterator

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Combine, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hardwire.stack.abi import BLOCKS, GLOBAL, STATS, TXQ, Access, Block, Field, Register
from hardwire.tb.bench import parameters, seed
from hardwire.tb.cocotb_test import bench_test

WRITABLE = (Access.RW, Access.W1C, Access.PULSE)


class Place:
    """A register of one copy of a block."""

    def __init__(self, block: Block, index: int, register: Register) -> None:
        self.block = block
        self.register = register
        self.address = block.address(register, index)
        self.half = register.name[-3:] if register.name[-3:] in ("_LO", "_HI") else ""
        stem = register.name.removesuffix(self.half).lower()
        block_name = "device" if block.name == "global" else block.name
        self.prefix = f"{block_name}_{index}_{stem}" if block.count > 1 else f"{block_name}_{stem}"

    @property
    def constant(self) -> bool:
        """The map gives the value."""
        return self.register.reset != 0 and all(f.access is Access.RO for f in self.register.fields)

    @property
    def is_input(self) -> bool:
        """The value comes from a port of its own."""
        return not self.constant and self.block is not STATS

    @property
    def stb(self) -> str | None:
        """Name of the strobe's port."""
        writable = any(f.access in WRITABLE for f in self.register.fields)
        return f"{self.prefix}_stb" if writable and not self.half else None

    def port(self, field: Field) -> str:
        """Return the name of a field's port."""
        return f"{self.prefix}_{field.name}"


class Harness:
    """Clock, manager, a model of all registers and a count of all strobes."""

    def __init__(self, dut) -> None:
        logging.getLogger("cocotb.csr").setLevel(logging.WARNING)
        self.dut = dut
        self.random = random.Random(seed())
        queues = parameters()["queues"]
        self.places = [
            Place(block, index, register)
            for block in BLOCKS
            for index in range(queues if block.count > 1 else 1)
            for register in block.registers
        ]
        self.mapped = {place.address for place in self.places}
        self.strobes: Counter[str] = Counter()
        self.pulses: Counter[str] = Counter()
        self.window_reads = 0
        self.fields: dict[str, int] = {}  # Value of each RW and RO half or field, by address and name.

    async def start(self) -> None:
        """Reset the bank; all inputs are 0."""
        for name in dir(self.dut):
            if name.endswith(("_set", "_clear")):
                getattr(self.dut, name).value = 0
        for place, field in self.each(Access.RO):
            if place.is_input:
                getattr(self.dut, place.port(field)).value = 0
        self.dut.stats_valid.value = 0
        cocotb.start_soon(Clock(self.dut.clk, 8, unit="ns").start())
        self.axi = AxiLiteMaster(AxiLiteBus.from_prefix(self.dut, "bus"), self.dut.clk, self.dut.rst)
        self.dut.rst.value = 1
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        cocotb.start_soon(self._watch())
        cocotb.start_soon(self._serve())

    def stall(self) -> None:
        """Pause every channel at random, each by its own odds."""
        write, read = self.axi.write_if, self.axi.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(self._pauses(self.random.choice((0.0, 0.3, 0.8))))

    def _pauses(self, odds: float) -> Iterator[bool]:
        rng = random.Random(self.random.random())
        while True:
            yield rng.random() < odds

    async def _watch(self) -> None:
        strobes = [(place.stb, getattr(self.dut, place.stb)) for place in self.places if place.stb]
        pulses = [(place.port(f), getattr(self.dut, place.port(f))) for place, f in self.each(Access.PULSE)]
        while True:
            await RisingEdge(self.dut.clk)
            for signals, counts in ((strobes, self.strobes), (pulses, self.pulses)):
                for name, signal in signals:
                    counts[name] += int(signal.value)

    async def _serve(self) -> None:
        """Answer the reads of the window after some time; its data is only right then."""
        dut = self.dut
        while True:
            dut.stats_data.value = self.random.getrandbits(32)
            dut.stats_valid.value = 0
            await RisingEdge(dut.clk)
            if int(dut.stats_read.value):
                addr = int(dut.stats_addr.value)
                self.window_reads += 1
                await ClockCycles(dut.clk, self.random.choice((1, 1, 2, self.random.randrange(1, 60))))
                assert int(dut.stats_addr.value) == addr
                dut.stats_data.value = self.fields.get(f"{STATS.base + 4 * addr}.value", 0)
                dut.stats_valid.value = 1
                await RisingEdge(dut.clk)

    def each(self, *accesses: Access) -> Iterator[tuple[Place, Field]]:
        """Yield all fields of some kinds of access."""
        for place in self.places:
            for field in place.register.fields:
                if field.access in accesses:
                    yield place, field

    async def read(self, address: int) -> int:
        """Read a register that exists."""
        answer = await self.axi.read(address, 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def write(self, address: int, value: int) -> None:
        """Write a register that exists."""
        answer = await self.axi.write(address, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY

    def drive_inputs(self) -> None:
        """Give every read-only input a new random value and keep it in the model."""
        whole: dict[str, int] = {}
        for place, field in self.each(Access.RO):
            if place.constant:
                value = field.reset
            else:
                value = self.random.getrandbits(field.width)
            if place.is_input:
                name = place.port(field)
                whole[name] = whole.get(name, 0) | value << (32 if place.half == "_HI" else 0)
            self.fields[f"{place.address}.{field.name}"] = value
        for name, value in whole.items():
            getattr(self.dut, name).value = value

    def expected(self, place: Place) -> int:
        """Return what a read of a register gives."""
        return sum(f.put(self.fields.get(f"{place.address}.{f.name}", f.reset)) for f in place.register.fields)

    async def check_all(self) -> None:
        """Read every register; low halves come before their high halves in the map."""
        for place in self.places:
            value = await self.read(place.address)
            assert value == self.expected(place), f"{place.prefix}{place.half}: {value:#x}"

    def wrote(self, place: Place, value: int) -> None:
        """Change the model by a write."""
        for field in place.register.fields:
            if field.access is Access.RW:
                self.fields[f"{place.address}.{field.name}"] = field.get(value)


async def started(dut) -> Harness:
    """Return a harness after reset, with random stalls."""
    harness = Harness(dut)
    await harness.start()
    harness.stall()
    return harness


@bench_test
async def every_register_reads_its_reset_value_and_its_inputs(dut):
    harness = await started(dut)
    await harness.check_all()
    for _ in range(3):
        harness.drive_inputs()
        await harness.check_all()
    assert harness.window_reads == 4 * len(STATS.registers)


@bench_test
async def a_write_changes_its_register_only_and_strobes_once(dut):
    harness = await started(dut)
    harness.drive_inputs()
    for place in harness.random.sample(harness.places, len(harness.places)):
        harness.stall()
        before, pulses = harness.strobes.copy(), harness.pulses.copy()
        value = harness.random.getrandbits(32)
        await harness.write(place.address, value)
        harness.wrote(place, value)
        await harness.read(0)
        before.update([place.stb] if place.stb else [])
        assert +harness.strobes == +before, place.prefix
        pulses.update(place.port(f) for f in place.register.fields if f.access is Access.PULSE and f.get(value))
        assert +harness.pulses == +pulses, place.prefix
    await harness.check_all()
    for place, field in harness.each(Access.RW):
        whole = int(getattr(dut, place.port(field)).value)
        half = whole >> 32 if place.half == "_HI" else whole & 0xFFFFFFFF
        assert half == harness.fields[f"{place.address}.{field.name}"], place.prefix


@bench_test
async def a_write_of_part_of_a_register_is_refused(dut):
    harness = await started(dut)
    for place in harness.places:
        start = harness.random.randrange(4)
        octets = harness.random.randbytes(harness.random.randrange(1, 4 - start + (start > 0)))
        answer = await harness.axi.write(place.address + start, octets)
        assert answer.resp == AxiResp.SLVERR
    await harness.check_all()
    assert not +harness.strobes
    assert not +harness.pulses


@bench_test
async def an_unmapped_address_gets_slverr_and_changes_nothing(dut):
    harness = await started(dut)
    addresses = {harness.random.randrange(0, 1 << 16, 4) for _ in range(100)}
    for block in BLOCKS:
        addresses |= {address for address in range(block.base, block.base + 0x80, 4)}
    for address in sorted(addresses - harness.mapped):
        read = await harness.axi.read(address, 4)
        assert (read.resp, bytes(read.data)) == (AxiResp.SLVERR, bytes(4)), hex(address)
        assert (await harness.axi.write(address, b"\xff" * 4)).resp == AxiResp.SLVERR, hex(address)
    await harness.check_all()
    assert not +harness.strobes


@bench_test
async def hardware_sets_and_clears_fields(dut):
    harness = await started(dut)

    async def pulse(name: str) -> None:
        getattr(dut, name).value = 1
        await RisingEdge(dut.clk)
        getattr(dut, name).value = 0

    for place, field in harness.each(Access.RW, Access.W1C):
        if not place.half:
            reset = field.reset if field.access is Access.RW else 0
            written = field.put((1 << field.width) - 1)
            if field.width == 1:
                await pulse(f"{place.port(field)}_set")
            else:
                await harness.write(place.address, written)
            assert await harness.read(place.address) & field.mask == written, place.prefix
            await pulse(f"{place.port(field)}_clear")
            assert await harness.read(place.address) & field.mask == field.put(reset), place.prefix
    for place, field in harness.each(Access.W1C):
        await pulse(f"{place.port(field)}_set")
        await harness.write(place.address, 0)
        assert await harness.read(place.address) & field.mask
        await harness.write(place.address, field.mask)
        assert not await harness.read(place.address) & field.mask
        getattr(dut, f"{place.port(field)}_set").value = 1
        await pulse(f"{place.port(field)}_clear")
        getattr(dut, f"{place.port(field)}_set").value = 0
        assert await harness.read(place.address) & field.mask, "an event was lost"


@bench_test
async def halves_of_a_running_counter_belong_together(dut):
    harness = await started(dut)
    counter, history = dut.device_cycles_value, []

    async def count() -> None:
        value = 0xFFFF_FF00
        while True:
            counter.value = value
            history.append(value)
            await RisingEdge(dut.clk)
            value += 0x1_0000_0007  # Both halves change in every cycle.

    cocotb.start_soon(count())
    low, high = (GLOBAL.address(GLOBAL[f"CYCLES_{half}"]) for half in ("LO", "HI"))
    for _ in range(100):
        first = await harness.read(low)
        await harness.read(STATS.address(STATS["TX_FRAMES_LO"]))
        assert await harness.read(high) << 32 | first in history[-2000:]


@bench_test
async def reads_and_writes_at_once_do_not_disturb_each_other(dut):
    harness = await started(dut)
    written = [place for place in harness.places if place.block is TXQ and place.register.name in ("TAIL", "BASE_LO")]
    others = [place for place in harness.places if place not in written]

    async def write_half(address: int) -> None:
        answer = await harness.axi.write(address, bytes(2))
        assert answer.resp == AxiResp.SLVERR

    async def write() -> None:
        for _ in range(100):
            under_way = []
            for place in harness.random.choices(written, k=3):
                value = harness.random.getrandbits(32)
                if harness.random.random() < 0.3:
                    under_way.append(cocotb.start_soon(write_half(place.address)))
                else:
                    under_way.append(cocotb.start_soon(harness.write(place.address, value)))
                    harness.wrote(place, value)
            await Combine(*under_way)
            for place in written:
                assert await harness.read(place.address) == harness.expected(place)
            if harness.random.random() < 0.1:
                harness.stall()

    async def read() -> None:
        for _ in range(300):
            place = harness.random.choice(others)
            assert await harness.read(place.address) == harness.expected(place)

    await Combine(cocotb.start_soon(write()), cocotb.start_soon(read()))
    await harness.check_all()


@bench_test
async def busy_covers_each_transaction(dut):
    harness = await started(dut)
    seen, idle = [], []

    async def watch() -> None:
        bus = [dut.bus_awready, dut.bus_wready, dut.bus_arready, dut.bus_bvalid, dut.bus_rvalid, dut.busy]
        while True:
            await RisingEdge(dut.clk)
            aw, w, ar, b, r, busy = (int(signal.value) for signal in bus)
            seen.append(busy)
            idle.append((aw and w and ar and not b and not r) == (not busy))

    await harness.read(0)
    for _ in range(5):
        await RisingEdge(dut.clk)
    cocotb.start_soon(watch())
    for place in harness.places:
        await harness.write(place.address, 0)
        await harness.read(place.address)
    for _ in range(5):
        await RisingEdge(dut.clk)
    assert all(idle)
    assert any(seen)
    assert not seen[-1]


@bench_test
async def hardware_wins_over_a_write_in_the_same_cycle(dut):
    harness = await started(dut)

    async def meet(place: Place, value: int, *ports: str) -> int:
        """Write while the ports are high, up to the cycle of the write and no longer; read back."""
        for port in ports:
            getattr(dut, port).value = 1
        writing = cocotb.start_soon(harness.write(place.address, value))
        await RisingEdge(getattr(dut, place.stb))
        for port in ports:
            getattr(dut, port).value = 0
        await writing
        return await harness.read(place.address)

    for place, field in harness.each(Access.RW):
        if place.half:
            continue
        name, ones = place.port(field), field.put((1 << field.width) - 1)
        for value in (field.mask & ~field.put(field.reset), ones):
            assert await meet(place, value, f"{name}_clear") & field.mask == field.put(field.reset), name
        if field.width == 1:
            assert await meet(place, 0, f"{name}_set") & field.mask == ones, name
            assert await meet(place, ones, f"{name}_set", f"{name}_clear") & field.mask == field.put(field.reset), name
