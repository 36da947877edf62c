# amaranth: UnusedElaboratable=no
"""The register bank in Amaranth's simulator: each kind of field, and the constructor's errors."""

import dataclasses
import random
import re

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.csr import CsrBank
from hardwire.stack.abi import ARP, BLOCKS, GLOBAL, MAC, RXQ, STATS, TXQ, Access

OKAY, SLVERR = 0, 2
# Within a block, after the last register of each, and far from all.
UNMAPPED = [0x1C, 0x2C, 0xFC, *(b.address(b.registers[-1]) + 4 for b in BLOCKS), 0x1100, 0xFFFC]


async def write(ctx, bus, address, data, strobes=0b1111):
    """Write a register; return the response."""
    ctx.set(bus.awaddr, address)
    ctx.set(bus.wdata, data)
    ctx.set(bus.wstrb, strobes)
    ctx.set(bus.awvalid, 1)
    ctx.set(bus.wvalid, 1)
    await ctx.tick().until(bus.awready & bus.wready)
    ctx.set(bus.awvalid, 0)
    ctx.set(bus.wvalid, 0)
    ctx.set(bus.bready, 1)
    (resp,) = await ctx.tick().sample(bus.bresp).until(bus.bvalid)
    ctx.set(bus.bready, 0)
    return resp


async def read(ctx, bus, address):
    """Read a register; return data and response."""
    ctx.set(bus.araddr, address)
    ctx.set(bus.arvalid, 1)
    await ctx.tick().until(bus.arready)
    ctx.set(bus.arvalid, 0)
    ctx.set(bus.rready, 1)
    data, resp = await ctx.tick().sample(bus.rdata, bus.rresp).until(bus.rvalid)
    ctx.set(bus.rready, 0)
    return data, resp


def simulate(dut, testbench):
    """Run one testbench."""
    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


def test_csr_constants_come_from_the_map():
    dut = CsrBank()

    async def testbench(ctx):
        for name in ("ID", "VERSION"):
            register = GLOBAL[name]
            assert await read(ctx, dut.bus, GLOBAL.address(register)) == (register.reset, OKAY)

    simulate(dut, testbench)


def test_csr_register_map_cannot_drift():
    # Each input shows where the contract has its field, and nowhere else: there is no second map that could differ.
    dut = CsrBank()
    rng = random.Random(5)
    ports = {GLOBAL: dut.device, ARP: dut.arp, MAC: dut.mac, TXQ: dut.txq[0], RXQ: dut.rxq[0]}

    async def testbench(ctx):
        for block in ports:
            for register in block.registers:
                value = register.reset
                for field in register.fields:
                    stem, _, half = register.name.lower().rpartition("_")
                    if field.access is Access.RO and not register.reset:
                        number = rng.getrandbits(field.width)
                        value |= field.put(number)
                        if half in ("lo", "hi"):
                            whole = getattr(ports[block], stem).value
                            ctx.set(whole[:32] if half == "lo" else whole[32:], number)
                            await read(ctx, dut.bus, block.address(block[f"{stem.upper()}_LO"]))  # Latches.
                        else:
                            ctx.set(getattr(getattr(ports[block], register.name.lower()), field.name), number)
                assert await read(ctx, dut.bus, block.address(register)) == (value, OKAY), register.name

    simulate(dut, testbench)


def test_csr_read_write_field_keeps_its_value_and_strobes_once():
    dut = CsrBank(queues=2)
    tail = TXQ.address(TXQ["TAIL"], 1)
    strobes = []

    async def watch(ctx):
        async for _, _, stb, index in ctx.tick().sample(dut.txq[1].tail.stb, dut.txq[1].tail.index):
            if stb:
                strobes.append(index)

    async def testbench(ctx):
        assert await write(ctx, dut.bus, tail, 0xABCD1234) == OKAY
        assert await read(ctx, dut.bus, tail) == (0x1234, OKAY)
        assert await read(ctx, dut.bus, TXQ.address(TXQ["TAIL"], 0)) == (0, OKAY)
        assert strobes == [0x1234]

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_process(watch)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("held_up", [0, 5])
def test_csr_carries_out_a_write_every_two_cycles_while_its_responses_are_taken(held_up):
    dut = CsrBank(queues=1)
    tail = TXQ.address(TXQ["TAIL"])
    strobes, responses = [], []

    async def watch(ctx):
        cycle = 0
        bus, port = dut.bus, dut.txq[0].tail
        async for _, _, stb, index, answered in ctx.tick().sample(port.stb, port.index, bus.bvalid & bus.bready):
            cycle += 1
            if stb:
                strobes.append((cycle, index))
            if answered:
                responses.append(cycle)

    async def testbench(ctx):
        bus = dut.bus
        ctx.set(bus.awaddr, tail)
        ctx.set(bus.wstrb, 0b1111)
        ctx.set(bus.awvalid, 1)
        ctx.set(bus.wvalid, 1)
        ctx.set(bus.bready, not held_up)
        for number in range(3):
            ctx.set(bus.wdata, number)
            await ctx.tick().until(bus.awready & bus.wready)
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        await ctx.tick().repeat(4)

    async def take(ctx):
        if held_up:
            await ctx.tick().repeat(held_up)
            ctx.set(dut.bus.bready, 1)

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_process(watch)
    sim.add_process(take)
    sim.add_testbench(testbench)
    sim.run()
    first = strobes[0][0]
    assert [index for _, index in strobes] == [0, 1, 2]
    assert len(responses) == 3
    if held_up:
        # The second waits for the first one's response, and so does the third.
        assert all(cycle > responses[0] for cycle, _ in strobes[1:])
    assert [cycle for cycle, _ in strobes[1:]] == [strobes[1][0], strobes[1][0] + 2]
    if not held_up:
        assert strobes[1][0] == first + 2


def test_csr_hardware_clears_and_sets_a_read_write_field():
    dut = CsrBank()
    ctrl, size = TXQ.address(TXQ["CTRL"]), TXQ.address(TXQ["SIZE"])
    enable = TXQ["CTRL"]["enable"]

    async def testbench(ctx):
        assert await read(ctx, dut.bus, size) == (TXQ["SIZE"].reset, OKAY)
        await write(ctx, dut.bus, size, 9)
        assert ctx.get(dut.txq[0].size.log2) == 9
        ctx.set(dut.txq[0].size.log2_clear, 1)
        ctx.set(dut.txq[0].ctrl.enable_set, 1)
        await ctx.tick()
        assert ctx.get(dut.txq[0].size.log2) == TXQ["SIZE"]["log2"].reset
        assert await read(ctx, dut.bus, ctrl) == (enable.put(1), OKAY)
        ctx.set(dut.txq[0].ctrl.enable_clear, 1)
        await ctx.tick()
        assert ctx.get(dut.txq[0].ctrl.enable) == 0

    simulate(dut, testbench)


def test_csr_write_one_to_clear_loses_no_event():
    dut = CsrBank()
    irq, pending = TXQ.address(TXQ["IRQ"]), TXQ["IRQ"]["pending"]
    ports = dut.txq[0].irq

    async def testbench(ctx):
        ctx.set(ports.pending_set, 1)
        await ctx.tick()
        ctx.set(ports.pending_set, 0)
        await write(ctx, dut.bus, irq, 0)
        assert ctx.get(ports.pending)
        await write(ctx, dut.bus, irq, pending.put(1))
        assert not ctx.get(ports.pending)
        ctx.set(ports.pending_set, 1)
        ctx.set(ports.pending_clear, 1)
        await write(ctx, dut.bus, irq, pending.put(1))
        assert ctx.get(ports.pending)
        ctx.set(ports.pending_set, 0)
        await ctx.tick()
        assert not ctx.get(ports.pending)

    simulate(dut, testbench)


def test_csr_low_half_of_a_counter_latches_its_high_half():
    dut = CsrBank()
    low, high = (GLOBAL.address(GLOBAL[f"CYCLES_{half}"]) for half in ("LO", "HI"))

    async def testbench(ctx):
        ctx.set(dut.device.cycles.value, 0x1_FFFFFFFF)
        assert await read(ctx, dut.bus, low) == (0xFFFFFFFF, OKAY)
        ctx.set(dut.device.cycles.value, 0x2_00000000)
        await read(ctx, dut.bus, GLOBAL.address(GLOBAL["ID"]))
        assert await read(ctx, dut.bus, high) == (1, OKAY)

    simulate(dut, testbench)


@pytest.mark.parametrize("latency", [1, 2, 50])
def test_csr_forwards_the_reads_of_a_window_and_waits_for_its_answers(latency):
    dut = CsrBank()
    window = dut.stats
    reads = []

    async def serve(ctx):
        for _ in STATS.registers:
            await ctx.tick().until(window.read)
            addr = ctx.get(window.addr)
            reads.append(addr)
            for _ in range(latency - 1):
                await ctx.tick()
            assert ctx.get(window.addr) == addr
            ctx.set(window.data, 0x1111 * addr)
            ctx.set(window.valid, 1)
            await ctx.tick()
            ctx.set(window.valid, 0)
            ctx.set(window.data, 0xFFFFFFFF)

    async def testbench(ctx):
        ctx.set(window.data, 0xFFFFFFFF)
        for register in random.Random(latency).sample(STATS.registers, len(STATS.registers)):
            address = STATS.address(register)
            assert await write(ctx, dut.bus, address, 0x12345678) == OKAY
            assert await read(ctx, dut.bus, address) == (0x1111 * (register.offset >> 2), OKAY)
            assert reads.pop() == register.offset >> 2
            assert await read(ctx, dut.bus, GLOBAL.address(GLOBAL["ID"])) == (GLOBAL["ID"].reset, OKAY)
            assert not reads

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_testbench(serve)
    sim.add_testbench(testbench)
    sim.run()


def test_csr_pair_that_is_no_counter_is_not_latched():
    dut = CsrBank()

    async def testbench(ctx):
        ctx.set(dut.arp.result_mac.value, 0x0200_00000005)
        assert await read(ctx, dut.bus, ARP.address(ARP["RESULT_MAC_HI"])) == (0x0200, OKAY)
        await write(ctx, dut.bus, ARP.address(ARP["MAC_LO"]), 0x44556677)
        await write(ctx, dut.bus, ARP.address(ARP["MAC_HI"]), 0xFFFF2233)
        assert ctx.get(dut.arp.mac.value) == 0x2233_44556677

    simulate(dut, testbench)


@pytest.mark.parametrize("address", UNMAPPED)
def test_csr_answers_an_unmapped_address_with_slverr(address):
    dut = CsrBank()

    async def testbench(ctx):
        assert await write(ctx, dut.bus, address, 0xFFFFFFFF) == SLVERR
        assert await read(ctx, dut.bus, address) == (0, SLVERR)

    simulate(dut, testbench)


def test_csr_writes_whole_registers_only():
    dut = CsrBank()
    key = ARP.address(ARP["KEY"])

    async def testbench(ctx):
        await write(ctx, dut.bus, key, 0x11111111)
        for strobes in range(1, 15):
            assert await write(ctx, dut.bus, key, 0x22222222, strobes) == SLVERR
        assert await write(ctx, dut.bus, key, 0x22222222, 0) == OKAY
        assert await read(ctx, dut.bus, key) == (0x11111111, OKAY)

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"queues": 0}, "queues must be in 1..16, not 0"),
        ({"queues": 17}, "queues must be in 1..16, not 17"),
        ({"addr_width": 12}, "txq ends at 0x1038, which needs more than 12 address bits"),
        (
            {"blocks": (dataclasses.replace(GLOBAL, base=0x20),)},
            "global at 0x20 is not aligned to its size of 0x40 octets",
        ),
        ({"windows": (TXQ,)}, "txq cannot be a window: it repeats or can be written"),
        ({"windows": (ARP,)}, "arp cannot be a window: it repeats or can be written"),
    ],
)
def test_csr_refuses_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CsrBank(**parameters)
