# amaranth: UnusedElaboratable=no
"""The transmit checksum block in Amaranth's own simulator, and its contract."""

import os
import random

import pytest
from amaranth.sim import Simulator

from hardwire.hdl.tx.checksum import TxChecksum
from hardwire.tb.hdl.checksum_model import filled, random_case

SEED = int(os.environ.get("HARDWIRE_SEED") or random.randrange(1 << 32))


@pytest.mark.parametrize("width_bits", [8, 16, 63, 256])
def test_width_is_refused_with_a_reason(width_bits):
    with pytest.raises(ValueError, match=f"^width_bits must be 32, 64 or 128, not {width_bits}: "):
        TxChecksum(width_bits=width_bits)


@pytest.mark.parametrize("max_frame_octets", [0, 63, 16384])
def test_max_frame_octets_is_refused_with_a_reason(max_frame_octets):
    with pytest.raises(ValueError, match=f"^max_frame_octets must be in 64..16383, not {max_frame_octets}$"):
        TxChecksum(max_frame_octets=max_frame_octets)


def send(dut, cases, *, width_bits, seed, ready):
    """Run (frame, command, error) cases through the block with random stalls; return the frames that come out."""
    octets = width_bits // 8
    rng = random.Random(seed)
    out = []

    async def pause(ctx):
        while rng.random() > ready:
            await ctx.tick()

    async def frames(ctx):
        for frame, _, error in cases:
            for at in range(0, len(frame), octets):
                await pause(ctx)
                chunk = frame[at : at + octets]
                last = at + octets >= len(frame)
                payload = {
                    "data": int.from_bytes(chunk, "little")
                    | rng.getrandbits(width_bits) >> 8 * len(chunk) << 8 * len(chunk),
                    "keep": (1 << len(chunk)) - 1,
                    "last": last,
                    "error": error if last else rng.randrange(2),
                }
                ctx.set(dut.i.payload, payload)
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def commands(ctx):
        for _, command, _ in cases:
            await pause(ctx)
            ctx.set(dut.command.payload, vars(command))
            ctx.set(dut.command.valid, 1)
            await ctx.tick().until(dut.command.ready)
            ctx.set(dut.command.valid, 0)

    async def collect(ctx):
        frame = b""
        while len(out) < sum(not error for _, _, error in cases):
            ctx.set(dut.o.ready, rng.random() < ready)
            _, _, valid, taken, beat = await ctx.tick().sample(dut.o.valid, dut.o.ready, dut.o.payload)
            if valid and taken:
                assert not beat.error
                frame += beat.data.to_bytes(octets, "little")[: beat.keep.bit_count()]
                if beat.last:
                    out.append(frame)
                    frame = b""

    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    for testbench in (frames, commands, collect):  # To the end of each: frames with an error at the end give none out.
        simulator.add_testbench(testbench)
    simulator.run()
    return out


@pytest.mark.parametrize("ready", [1, 0.6])
@pytest.mark.parametrize("width_bits", [32, 64, 128])
def test_checksums_of_any_frame_are_right(width_bits, ready):
    print("seed", SEED)
    rng = random.Random(SEED)
    cases = [(*random_case(rng, max_octets=300), rng.random() < 0.1) for _ in range(150)]
    out = send(TxChecksum(width_bits=width_bits), cases, width_bits=width_bits, seed=SEED, ready=ready)
    assert out == [filled(frame, command) for frame, command, error in cases if not error]
