# amaranth: UnusedElaboratable=no
"""Between MAC and PHY: constructors, and the queue between two clock domains in the Amaranth simulator."""

import os
import random

import pytest
from amaranth.hdl import DomainRenamer
from amaranth.sim import Simulator

from hardwire.hdl.phy.crossing import CrossingFifo
from hardwire.hdl.phy.elastic import ElasticRx, ElasticTx
from hardwire.hdl.phy.rgmii import Rgmii

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5, 12])
def test_crossing_fifo_refuses_other_depths(depth):
    with pytest.raises(ValueError, match=f"^depth must be a power of two from 4 up, not {depth}$"):
        CrossingFifo(shape=8, depth=depth)


@pytest.mark.parametrize("max_frame_octets", [-1, 0, 29_989])
def test_elastic_tx_refuses_frames_that_it_cannot_be_ahead_of(max_frame_octets):
    message = f"^max_frame_octets must be in 1..29988, not {max_frame_octets}$"
    with pytest.raises(ValueError, match=message):
        ElasticTx(max_frame_octets=max_frame_octets)


@pytest.mark.parametrize(("max_frame_octets", "ahead"), [(1518, 3), (4988, 3), (4989, 4), (9018, 4), (29_988, 8)])
def test_a_frame_is_as_much_ahead_as_200_ppm_of_it_and_the_jitter(max_frame_octets, ahead):
    assert ElasticTx(max_frame_octets=max_frame_octets).start_octets == ahead


@pytest.mark.parametrize(("write_ns", "read_ns"), [(8.0, 8.0), (8.0, 7.3), (40.0, 8.0), (3.0, 40.0)])
def test_crossing_fifo_keeps_order_loses_nothing_and_holds_its_depth(write_ns, read_ns):
    rng = random.Random(SEED)
    fifo = CrossingFifo(shape=16, depth=4)
    sent = [rng.getrandbits(16) for _ in range(200)]
    taken = []
    stalled = True

    async def feed(ctx):
        nonlocal stalled
        for number, value in enumerate(sent):
            ctx.set(fifo.i.payload, value)
            ctx.set(fifo.i.valid, 1)
            if number == 4:  # Nothing was taken yet: it is full.
                for _ in range(20):
                    *_, ready = await ctx.tick("write").sample(fifo.i.ready)
                    assert not ready, f"seed {SEED}"
                stalled = False
            await ctx.tick("write").until(fifo.i.ready)
            ctx.set(fifo.i.valid, 0)
            for _ in range(rng.choice((0, 0, 0, 1, 5))):
                await ctx.tick("write")

    async def drain(ctx):
        while len(taken) < len(sent):
            ctx.set(fifo.o.ready, not stalled and rng.random() < 0.7)
            *_, valid, ready, value = await ctx.tick("read").sample(fifo.o.valid, fifo.o.ready, fifo.o.payload)
            if valid and ready:
                taken.append(value)
        for _ in range(10):
            *_, valid = await ctx.tick("read").sample(fifo.o.valid)
            assert not valid, f"seed {SEED}"

    simulator = Simulator(fifo)
    simulator.add_clock(write_ns * 1e-9, domain="write")
    simulator.add_clock(read_ns * 1e-9, phase=rng.random() * read_ns * 1e-9, domain="read")
    simulator.add_testbench(feed)
    simulator.add_testbench(drain)
    simulator.run()
    assert taken == sent, f"seed {SEED}"


def test_a_core_that_is_too_slow_starves_a_frame_and_says_so():
    elastic = ElasticTx()
    seen = []

    async def feed(ctx):
        for number in range(100):
            ctx.set(elastic.i, {"octet": number, "dv": 1, "error": 0, "odd": 0})
            await ctx.tick("write")
        ctx.set(elastic.i.dv, 0)
        await ctx.tick("write").repeat(20)

    async def watch(ctx):
        async for _, _, octet in ctx.tick("read").sample(elastic.o):
            seen.append((octet.dv, octet.error, octet.octet))

    simulator = Simulator(elastic)
    simulator.add_clock(16e-9, domain="write")
    simulator.add_clock(8e-9, domain="read")
    simulator.add_testbench(feed)
    simulator.add_process(watch)
    simulator.run()
    inside = [(error, octet) for dv, error, octet in seen if dv]
    assert [octet for error, octet in inside if not error] == list(range(100))
    assert any(error for error, _ in inside)
    assert not seen[-1][0]


def test_a_core_that_is_too_slow_loses_octets_of_frames_but_no_end():
    elastic = ElasticRx()
    ends = 0

    async def feed(ctx):
        for _ in range(20):
            ctx.set(elastic.i.dv, 1)
            await ctx.tick("write").repeat(80)
            ctx.set(elastic.i.dv, 0)
            await ctx.tick("write").repeat(12)
        await ctx.tick("write").repeat(100)

    async def watch(ctx):
        nonlocal ends
        async for _, _, valid, octet in ctx.tick("read").sample(elastic.enable, elastic.o):
            ends += valid and not octet.dv

    simulator = Simulator(elastic)
    simulator.add_clock(8e-9, domain="write")
    simulator.add_clock(16e-9, domain="read")
    simulator.add_testbench(feed)
    simulator.add_process(watch)
    simulator.run()
    assert ends == 20


def test_with_one_clock_octets_go_to_the_pins_without_a_queue():
    rng = random.Random(SEED)
    adapter = Rgmii(one_clock=True)
    sent = [(rng.getrandbits(8), rng.random() < 0.8, rng.random() < 0.2) for _ in range(100)]
    seen = []

    async def feed(ctx):
        for octet, dv, error in sent:
            ctx.set(adapter.gmii_txd, octet)
            ctx.set(adapter.gmii_tx_en, dv)
            ctx.set(adapter.gmii_tx_er, error)
            await ctx.tick()
            assert ctx.get(adapter.tx_enable)

    async def watch(ctx):
        for _ in range(len(sent) + 2):
            await ctx.tick()
            await ctx.delay(2e-9)  # In the middle of the first half.
            lower, dv = ctx.get(adapter.txd), ctx.get(adapter.tx_ctl)
            await ctx.delay(4e-9)
            upper, dv_xor_error = ctx.get(adapter.txd), ctx.get(adapter.tx_ctl)
            seen.append((lower | upper << 4, bool(dv), bool(dv ^ dv_xor_error)))

    simulator = Simulator(DomainRenamer({"phy_tx": "sync", "phy_tx_late": "sync", "phy_rx": "sync"})(adapter))
    simulator.add_clock(8e-9)
    simulator.add_testbench(feed)
    simulator.add_testbench(watch)
    simulator.run()
    assert seen[1 : len(sent) + 1] == sent, f"seed {SEED}"
