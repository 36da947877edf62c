# amaranth: UnusedElaboratable=no
"""The multiplexers in Amaranth's simulator."""

import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.axi_mux import AxiReadMux, AxiWriteMux

ID_BITS = 3


def run(dut, *testbenches):
    """Simulate; the first testbench is the one that ends."""
    sim = Simulator(dut)
    sim.add_clock(8e-9)
    for number, testbench in enumerate(testbenches):
        sim.add_testbench(testbench, background=number > 0)
    sim.run()


@pytest.mark.parametrize("managers", [2, 3])
def test_axi_read_mux_gives_each_manager_its_own_answers(managers):
    """Answers come in random order; the data tells whose read it was."""
    dut = AxiReadMux(managers=managers, id_width_bits=ID_BITS)
    rng = random.Random(managers)
    count = 60
    got = [[] for _ in range(managers)]

    def ask(number):
        async def testbench(ctx):
            axi = dut.i[number]
            for serial in range(count):
                for _ in range(rng.choice((0, 0, 3))):
                    await ctx.tick()
                ctx.set(axi.arid, serial % (1 << ID_BITS))
                ctx.set(axi.araddr, number << 32 | serial)
                ctx.set(axi.arvalid, 1)
                await ctx.tick().until(axi.arready)
                ctx.set(axi.arvalid, 0)

        return testbench

    def take(number):
        async def testbench(ctx):
            axi = dut.i[number]
            while True:
                ready = rng.random() < 0.7
                ctx.set(axi.rready, ready)
                _, _, valid, rid, octets = await ctx.tick().sample(axi.rvalid, axi.rid, axi.rdata)
                if valid and ready:
                    assert rid == octets % (1 << ID_BITS)
                    got[number].append(octets)

        return testbench

    async def answer(ctx):
        axi, waiting, held = dut.o, [], None
        while sum(map(len, got)) < managers * count:
            ready = rng.random() < 0.8
            ctx.set(axi.arready, ready)
            if held is None and waiting and rng.random() < 0.8:
                held = waiting.pop(rng.randrange(len(waiting)))
                ctx.set(axi.rid, held[0])
                ctx.set(axi.rdata, held[1])
            ctx.set(axi.rvalid, held is not None)
            _, _, valid, rid, address, taken = await ctx.tick().sample(axi.arvalid, axi.arid, axi.araddr, axi.rready)
            if valid and ready:
                waiting.append((rid, address))
            if held is not None and taken:
                held = None

    run(dut, answer, *(ask(n) for n in range(managers)), *(take(n) for n in range(managers)))
    for number in range(managers):
        assert sorted(got[number]) == [number << 32 | serial for serial in range(count)]


def test_axi_read_mux_serves_managers_in_turn():
    dut = AxiReadMux(managers=2)
    order = []

    async def testbench(ctx):
        ctx.set(dut.o.arready, 1)
        for manager in dut.i:
            ctx.set(manager.arvalid, 1)
        for _ in range(20):
            _, _, valid, rid = await ctx.tick().sample(dut.o.arvalid, dut.o.arid)
            if valid:
                order.append(rid >> ID_BITS)

    run(dut, testbench)
    assert len(order) >= 9
    assert all(first != second for first, second in zip(order, order[1:], strict=False))


def test_axi_read_mux_refuses_parameters():
    with pytest.raises(ValueError, match=r"^managers must be at least 2, not 1$"):
        AxiReadMux(managers=1)
    with pytest.raises(ValueError, match=r"^id_width_bits must be at least 1, not 0$"):
        AxiReadMux(id_width_bits=0)


@pytest.mark.parametrize("managers", [2, 3])
def test_axi_write_mux_keeps_bursts_whole_and_gives_each_manager_its_own_answers(managers):
    dut = AxiWriteMux(managers=managers, id_width_bits=ID_BITS)
    rng = random.Random(managers)
    count = 40
    lengths = [[rng.randint(1, 5) for _ in range(count)] for _ in range(managers)]
    got = [[] for _ in range(managers)]

    def address(number):
        async def testbench(ctx):
            axi = dut.i[number]
            for serial in range(count):
                await ctx.tick().repeat(rng.choice((0, 0, 5)) + 1)
                ctx.set(axi.awid, serial % (1 << ID_BITS))
                ctx.set(axi.awaddr, number << 32 | serial)
                ctx.set(axi.awvalid, 1)
                await ctx.tick().until(axi.awready)
                ctx.set(axi.awvalid, 0)

        return testbench

    def beats(number):
        async def testbench(ctx):
            axi = dut.i[number]
            for serial, length in enumerate(lengths[number]):
                for beat in range(length):
                    ctx.set(axi.wdata, number << 32 | serial << 8 | beat)
                    ctx.set(axi.wlast, beat == length - 1)
                    ctx.set(axi.wvalid, 1)
                    await ctx.tick().until(axi.wready)
                    ctx.set(axi.wvalid, 0)
                    if rng.random() < 0.2:
                        await ctx.tick()

        return testbench

    def take(number):
        async def testbench(ctx):
            axi = dut.i[number]
            while True:
                ready = rng.random() < 0.7
                ctx.set(axi.bready, ready)
                _, _, valid, bid, resp = await ctx.tick().sample(axi.bvalid, axi.bid, axi.bresp)
                if valid and ready:
                    got[number].append((bid, resp))

        return testbench

    async def memory(ctx):
        axi, addresses, data, waiting, held = dut.o, [], [], [], None
        while sum(map(len, got)) < managers * count:
            ready = [rng.random() < 0.7 for _ in range(2)]
            ctx.set(axi.awready, ready[0])
            ctx.set(axi.wready, ready[1])
            if held is None and waiting and rng.random() < 0.5:
                held = waiting.pop(rng.randrange(len(waiting)))
                ctx.set(axi.bid, held)
                ctx.set(axi.bresp, held % 4)
            ctx.set(axi.bvalid, held is not None)
            *_, awvalid, awid, awaddr, wvalid, wdata, wlast, taken = await ctx.tick().sample(
                axi.awvalid, axi.awid, axi.awaddr, axi.wvalid, axi.wdata, axi.wlast, axi.bready
            )
            if awvalid and ready[0]:
                addresses.append((awid, awaddr))
            if wvalid and ready[1]:
                data.append((wdata, wlast))
            if held is not None and taken:
                held = None
            if addresses and any(last for _, last in data):
                awid, awaddr = addresses.pop(0)
                number, serial = awaddr >> 32, awaddr & 0xFF
                length = lengths[number][serial]
                assert data[:length] == [(number << 32 | serial << 8 | k, k == length - 1) for k in range(length)]
                del data[:length]
                assert awid == number << ID_BITS | serial % (1 << ID_BITS)
                waiting.append(awid)

    sources = [make(n) for n in range(managers) for make in (address, beats, take)]
    run(dut, memory, *sources)
    for number in range(managers):
        assert sorted(got[number]) == sorted((n % (1 << ID_BITS), n % 4) for n in range(count))
