"""Descriptor prefetch in the Amaranth simulator: which bursts it asks for, and that descriptors come out in order."""

import os
import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.ring.fetch import DescriptorFetch
from hardwire.stack.abi import TX_DESC

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))
BASE = 0xFEDC_BA98_7610_0000


def is_bad(number):
    """Tell which descriptors have a beat that cannot be read."""
    return number % 7 == 3


class Memory:
    """A ring whose descriptors are numbers; checks that bursts are in order, whole, and not past what was posted."""

    def __init__(self, fetch, *, size, latency, rng):
        self.fetch, self.size, self.latency, self.rng = fetch, size, latency, rng
        self.limit = 0
        self.asked = 0
        self.most = 0
        self.bursts = []

    async def testbench(self, ctx):
        """Answer for ever."""
        axi, now = self.fetch.axi, 0
        octets = len(axi.rdata) // 8
        beats = deque()
        while True:
            ready = self.rng.random() < 0.7
            ctx.set(axi.arready, ready)
            due = bool(beats) and beats[0][0] <= now and self.rng.random() < 0.8
            ctx.set(axi.rvalid, due)
            if due:
                _, number, beat = beats.popleft()
                content = number * (1 << 192 | 1)
                ctx.set(axi.rdata, content >> (8 * octets * beat))
                ctx.set(axi.rresp, 2 * (is_bad(number) and beat == number // 7 % (32 // octets)))
            *_, valid, addr, length = await ctx.tick().sample(axi.arvalid, axi.araddr, axi.arlen)
            now += 1
            if valid and ready:
                count = (length + 1) * octets // 32
                first = (addr - BASE) // 32
                assert first == self.asked % self.size, "not the next one"
                assert first + count <= self.size, "wraps inside a burst"
                assert addr // 4096 == (addr + 32 * count - 1) // 4096, "crosses 4 KiB"
                assert self.asked + count <= self.limit, "not posted"
                self.bursts.append(count)
                per = 32 // octets
                beats += [(now + self.latency, self.asked + k // per, k % per) for k in range(count * per)]
                self.asked += count
                self.most = max(self.most, len(beats) // per)


@pytest.mark.parametrize(("size", "width"), [(2, 64), (4, 32), (16, 64), (256, 128), (1024, 256)])
def test_descriptors_come_out_once_and_in_order(size, width):
    rng = random.Random(SEED)
    fetch = DescriptorFetch(axi_width_bits=width, ring_log2_max=10, id_width_bits=1, prefetch=16, record=TX_DESC)
    memory = Memory(fetch, size=size, latency=rng.choice((0, 40)), rng=rng)
    total = 150
    taken = []

    async def post(ctx):
        ctx.set(fetch.base, BASE)
        ctx.set(fetch.mask, size - 1)
        await ctx.tick().repeat(3)
        while memory.limit < total:
            memory.limit = min(total, len(taken) + size - 1, memory.limit + rng.choice((1, 1, 7, 100)))
            ctx.set(fetch.limit, memory.limit % size)
            await ctx.tick().repeat(rng.choice((1, 5, 40)))
        await ctx.tick().until(fetch.caught_up & fetch.empty)

    async def take(ctx):
        while True:
            ctx.set(fetch.o.ready, rng.random() < 0.5)
            *_, valid, ready, desc = await ctx.tick().sample(fetch.o.valid, fetch.o.ready, fetch.o.payload)
            if valid and ready:
                assert desc.fields.addr == desc.fields.next_hop == len(taken), f"seed {SEED}"
                assert desc.error == is_bad(len(taken)), f"seed {SEED}"
                assert desc.index == len(taken) % size, f"seed {SEED}"
                taken.append(desc)

    simulator = Simulator(fetch)
    simulator.add_clock(8e-9)
    simulator.add_testbench(post)
    simulator.add_testbench(take, background=True)
    simulator.add_testbench(memory.testbench, background=True)
    simulator.run()
    assert len(taken) == total
    assert memory.most <= 16


@pytest.mark.parametrize(("posted", "bursts"), [(3, [3]), (4, [4]), (10, [4, 4, 2]), (15, [4, 4, 4, 3])])
def test_a_burst_takes_all_that_is_posted_of_a_block(posted, bursts):
    fetch = DescriptorFetch(axi_width_bits=64, ring_log2_max=10, id_width_bits=1, prefetch=16, record=TX_DESC)
    memory = Memory(fetch, size=16, latency=0, rng=random.Random(SEED))
    memory.limit = posted

    async def post(ctx):
        ctx.set(fetch.base, BASE)
        ctx.set(fetch.mask, 15)
        ctx.set(fetch.limit, posted)
        ctx.set(fetch.o.ready, 1)
        await ctx.tick().repeat(5)
        await ctx.tick().until(fetch.caught_up & fetch.empty)

    simulator = Simulator(fetch)
    simulator.add_clock(8e-9)
    simulator.add_testbench(post)
    simulator.add_testbench(memory.testbench, background=True)
    simulator.run()
    assert memory.bursts == bursts


def test_halt_starts_no_burst():
    fetch = DescriptorFetch(axi_width_bits=64, ring_log2_max=10, id_width_bits=1, prefetch=16, record=TX_DESC)

    async def testbench(ctx):
        ctx.set(fetch.mask, 15)
        ctx.set(fetch.halt, 1)
        ctx.set(fetch.limit, 5)
        for _ in range(20):
            await ctx.tick()
            assert not ctx.get(fetch.axi.arvalid)
            assert not ctx.get(fetch.caught_up)
            assert ctx.get(fetch.empty)

    simulator = Simulator(fetch)
    simulator.add_clock(8e-9)
    simulator.add_testbench(testbench)
    simulator.run()
