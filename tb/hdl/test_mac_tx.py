# amaranth: UnusedElaboratable=no
"""The MAC's transmit side: constructor, and its FCS against zlib."""

import random
import re
import zlib

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hardwire.hdl.mac.fcs import FCS_INIT, FCS_OCTETS, fcs_follows, fcs_octets, fcs_step
from hardwire.hdl.mac.tx import MacTx


@pytest.mark.parametrize("width_bits", [0, 8, 16, 48, 256, "64"])
def test_mac_tx_refuses_other_widths(width_bits):
    message = (
        f"width_bits must be 32, 64 or 128, not {width_bits!r}: "
        "narrower cannot carry 1 Gb/s of minimum frames, wider needs more than one frame a beat"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MacTx(width_bits=width_bits)


@pytest.mark.parametrize("length", [0, 1, 9, 60, 1514])
def test_fcs_octets_are_those_of_zlib(length):
    frame = random.Random(length).randbytes(length)
    assert fcs_octets(frame) == zlib.crc32(frame).to_bytes(4, "little")


def test_fcs_step_is_one_octet_of_fcs_octets():
    m = Module()
    remainder, octet = Signal(32, init=FCS_INIT), Signal(8)
    m.d.sync += remainder.eq(fcs_step(remainder, octet))
    frame = random.Random(2).randbytes(100)

    async def testbench(ctx):
        for count, value in enumerate(frame, 1):
            ctx.set(octet, value)
            await ctx.tick()
            assert (~ctx.get(remainder) & 0xFFFFFFFF).to_bytes(4, "little") == fcs_octets(frame[:count])

    sim = Simulator(m)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


def test_fcs_follows_tells_right_frames_from_others():
    m = Module()
    remainder, octet, follows = Signal(32, init=FCS_INIT), Signal(8), Signal(FCS_OCTETS)
    m.d.sync += [remainder.eq(fcs_step(remainder, octet)), follows.eq(fcs_follows(remainder, octet, follows))]
    rng = random.Random(3)
    right = rng.randbytes(60)
    right += fcs_octets(right)
    wrong = [bytearray(right) for _ in range(40)]
    for number, frame in enumerate(wrong):
        frame[rng.randrange(60) if number < 8 else 60 + number // 8 - 1] ^= 1 << number % 8

    async def testbench(ctx):
        for frame in (right, *wrong, right):
            ctx.set(remainder, FCS_INIT)
            ctx.set(follows, 0)
            for value in frame:
                ctx.set(octet, value)
                await ctx.tick()
            assert ctx.get(follows[-1]) == (frame == right)

    sim = Simulator(m)
    sim.add_clock(8e-9)
    sim.add_testbench(testbench)
    sim.run()


def test_mac_tx_sends_a_padded_frame():
    dut = MacTx(width_bits=64)
    seen = bytearray()

    async def watch(ctx):
        async for _, _, enabled, octet in ctx.tick().sample(dut.gmii_tx_en, dut.gmii_txd):
            if enabled:
                seen.append(octet)

    async def testbench(ctx):
        ctx.set(dut.i.payload, {"data": 0x060504030201, "keep": 0b111111, "last": 1})
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ctx.tick().until(dut.done.valid)
        assert ctx.get(dut.done.payload.octets) == 64
        await ctx.tick().until(~dut.busy)
        padded = bytes(range(1, 7)).ljust(60, b"\0")
        assert seen == b"\x55" * 7 + b"\xd5" + padded + fcs_octets(padded)

    sim = Simulator(dut)
    sim.add_clock(8e-9)
    sim.add_process(watch)
    sim.add_testbench(testbench)
    sim.run()
