# amaranth: UnusedElaboratable=no
"""The TX ring by itself: what its constructor refuses, and one frame through it."""

import re

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.tx.ring import TxRing
from hardwire.hdl.verilog import flat_verilog
from hardwire.stack.abi import TX_CPL, TX_DESC, TxFlags


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"axi_width_bits": 16}, "axi_width_bits must be 32, 64, 128, 256 or 512, not 16"),
        ({"ring_log2_max": 0}, "ring_log2_max must be in 1..15, not 0"),
        ({"ring_log2_max": 16}, "ring_log2_max must be in 1..15, not 16"),
        ({"id_width_bits": 0}, "id_width_bits must be at least 1, not 0"),
        ({"prefetch": 4}, "prefetch must be a power of two from 8 up, not 4"),
        ({"prefetch": 12}, "prefetch must be a power of two from 8 up, not 12"),
    ],
)
def test_ring_refuses_parameters_that_make_no_ring(parameters, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        TxRing(**parameters)


@pytest.mark.parametrize(("axi_width_bits", "ring_log2_max"), [(32, 1), (64, 15), (128, 2), (256, 3), (512, 1)])
def test_ring_of_any_size_becomes_verilog(axi_width_bits, ring_log2_max):
    ring = TxRing(axi_width_bits=axi_width_bits, ring_log2_max=ring_log2_max, id_width_bits=3)
    assert "module tx_ring" in flat_verilog(ring, "tx_ring")


def test_ring_takes_a_descriptor_and_gives_a_completion():
    ring = TxRing()
    desc = TX_DESC.pack(addr=0x1_2345_6789, length=60, flags=TxFlags.FIRST | TxFlags.LAST, cookie=0xC0FFEE)
    written = []

    async def testbench(ctx):
        ctx.set(ring.csr.base.value, 0x1_0000_0000)
        ctx.set(ring.csr.cpl_base.value, 0x1_0010_0000)
        ctx.set(ring.csr.size.log2, 4)
        ctx.set(ring.csr.ctrl.enable, 1)
        ctx.set(ring.csr.tail.index, 1)
        ctx.set(ring.frame.ready, 1)
        ctx.set(ring.part.ready, 1)
        ctx.set(ring.axi_read.arready, 1)
        await ctx.tick().until(ring.axi_read.arvalid)
        assert ctx.get(ring.axi_read.araddr) == 0x1_0000_0000
        assert ctx.get(ring.axi_read.arlen) == 3
        for at in range(0, 32, 8):
            ctx.set(ring.axi_read.rvalid, 1)
            ctx.set(ring.axi_read.rdata, int.from_bytes(desc[at : at + 8], "little"))
            await ctx.tick()
        ctx.set(ring.axi_read.rvalid, 0)
        (part,) = await ctx.tick().sample(ring.part.payload).until(ring.part.valid)
        assert (part.addr, part.length, part.last, part.drop) == (0x1_2345_6789, 60, 1, 0)

        ctx.set(ring.result.payload.status, 1)
        ctx.set(ring.result.valid, 1)
        await ctx.tick().until(ring.result.ready)
        ctx.set(ring.result.valid, 0)
        ctx.set(ring.axi_write.awready, 1)
        ctx.set(ring.axi_write.wready, 1)
        for _ in range(2):
            (beat,) = await ctx.tick().sample(ring.axi_write.wdata).until(ring.axi_write.wvalid)
            written.append(beat.to_bytes(8, "little"))
        await ctx.tick().repeat(3)
        assert ctx.get(ring.csr.cpl_head.index) == 0, "not yet answered"
        ctx.set(ring.axi_write.bvalid, 1)
        await ctx.tick()
        ctx.set(ring.axi_write.bvalid, 0)
        await ctx.tick().until(ring.csr.irq.pending_set)
        assert ctx.get(ring.csr.cpl_head.index) == 1

    simulator = Simulator(ring)
    simulator.add_clock(8e-9)
    simulator.add_testbench(testbench)
    simulator.run()
    completion = TX_CPL.unpack(b"".join(written))
    assert completion == {"timestamp": 0, "cookie": 0xC0FFEE, "index": 0, "status": 1, "phase": 1}


def test_a_ring_of_one_is_one_of_two():
    """SIZE.log2 of 0 counts as 1, so that a doorbell and a reset come to their ends."""
    ring = TxRing()

    async def testbench(ctx):
        ctx.set(ring.csr.size.log2, 0)
        ctx.set(ring.csr.ctrl.enable, 1)
        ctx.set(ring.csr.tail.index, 1)
        await ctx.tick().repeat(8)
        assert ctx.get(ring.axi_read.arvalid), "nothing is fetched"
        ctx.set(ring.axi_read.arready, 1)
        await ctx.tick()
        for _ in range(4):
            ctx.set(ring.axi_read.rvalid, 1)
            await ctx.tick()
        ctx.set(ring.axi_read.rvalid, 0)
        ctx.set(ring.csr.ctrl.reset, 1)
        await ctx.tick()
        ctx.set(ring.csr.ctrl.reset, 0)
        ctx.set(ring.axi_write.awready, 1)
        ctx.set(ring.axi_write.wready, 1)
        ctx.set(ring.frame.ready, 1)
        ctx.set(ring.part.ready, 1)
        writes = 0
        for _ in range(200):
            last, cleared = ctx.get(ring.axi_write.wvalid & ring.axi_write.wlast), ctx.get(ring.csr.ctrl.enable_clear)
            writes += last
            ctx.set(ring.axi_write.bvalid, last)
            await ctx.tick()
            if cleared:
                break
        else:
            raise AssertionError("the reset does not end")
        assert writes == 1

    simulator = Simulator(ring)
    simulator.add_clock(8e-9)
    simulator.add_testbench(testbench)
    simulator.run()
