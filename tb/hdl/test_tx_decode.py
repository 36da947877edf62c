"""The descriptor decoder in the Amaranth simulator against the ring's model."""

import os
import random

from amaranth.sim import Simulator

from hardwire.hdl.tx.decode import DescriptorDecode
from hardwire.stack.abi import TX_DESC, TxFlags, TxStatus
from hardwire.tb.hdl.tx_ring_model import RingModel

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))


def run(count, *, abort_from=None):
    """Send random descriptors through the decoder and the model; return what came out of both."""
    rng = random.Random(SEED)
    decode, model = DescriptorDecode(), RingModel()
    frames, parts, records = [], [], []

    async def feed(ctx):
        for number in range(count):
            aborted = abort_from is not None and number >= abort_from
            ctx.set(decode.abort, aborted)
            desc = {member.name: rng.getrandbits(member.width) for member in TX_DESC.members}
            flags = rng.choice((3, 3, 1, 2, 0, 0)) | rng.choice((0, 0, 4, 8, 0x10, 0x20, 0x40, 0x7C))
            desc["flags"] = flags | (rng.choice((0x80, 0x100, 0x200, 0x8000)) if rng.random() < 0.1 else 0)
            error = rng.random() < 0.1
            model.feed(number, desc, error=error, aborted=aborted)
            for name, value in desc.items():
                ctx.set(decode.i.payload.fields[name], value)
            ctx.set(decode.i.payload.index, number)
            ctx.set(decode.i.payload.error, error)
            ctx.set(decode.i.valid, 1)
            await ctx.tick().until(decode.i.ready)
            ctx.set(decode.i.valid, 0)
            await ctx.tick().repeat(rng.choice((0, 0, 1, 5)) + 1)
        ctx.set(decode.close, 1)
        model.close(TxStatus.BAD_SEQUENCE if abort_from is None else TxStatus.ABORTED)
        await ctx.tick().repeat(100)
        assert not ctx.get(decode.busy)

    def sink(stream, taken):
        async def run_sink(ctx):
            stalls = random.Random(rng.random())
            while True:
                ctx.set(stream.ready, stalls.random() < 0.4)
                *_, valid, ready, payload = await ctx.tick().sample(stream.valid, stream.ready, stream.payload)
                if valid and ready:
                    taken.append(payload)

        return run_sink

    simulator = Simulator(decode)
    simulator.add_clock(8e-9)
    simulator.add_testbench(feed)
    for stream, taken in ((decode.frame, frames), (decode.part, parts), (decode.record, records)):
        simulator.add_testbench(sink(stream, taken), background=True)
    simulator.run()
    return model, frames, parts, records


def check(model, frames, parts, records):
    """Compare the decoder's three outputs with the model's."""
    assert [{name: frame[name] for name in model.frames[0]} for frame in frames] == model.frames, f"seed {SEED}"
    seen = [(None if part.drop else part.addr, part.length, bool(part.last), bool(part.drop)) for part in parts]
    assert seen == model.parts, f"seed {SEED}"
    seen = [(record.cookie, record.index, record.status, bool(record.wait)) for record in records]
    want = [(c.cookie, c.index, c.statuses[0], c.result is not None) for c in model.completions]
    assert seen == want, f"seed {SEED}"


def test_decoder_follows_the_model_on_random_descriptors():
    check(*run(250))


def test_decoder_aborts_what_is_under_way():
    for abort_from in (3, 5, 8, 20, 21):
        model, *outputs = run(25, abort_from=abort_from)
        if model.frames:
            check(model, *outputs)


def test_decoder_gives_up_an_open_frame_as_soon_as_it_has_to_abort():
    decode = DescriptorDecode()

    async def testbench(ctx):
        for stream in (decode.frame, decode.part, decode.record):
            ctx.set(stream.ready, 1)
        ctx.set(decode.i.payload.fields.flags, TxFlags.FIRST)
        ctx.set(decode.i.payload.fields.cookie, 77)
        ctx.set(decode.i.payload.index, 5)
        ctx.set(decode.i.valid, 1)
        await ctx.tick()
        ctx.set(decode.i.valid, 0)
        (part,) = await ctx.tick().sample(decode.part.payload).until(decode.part.valid)
        assert (part.last, part.drop) == (0, 0)
        ctx.set(decode.abort, 1)
        await ctx.tick()
        *_, valid, part, record = await ctx.tick().sample(
            decode.record.valid, decode.part.payload, decode.record.payload
        )
        assert valid
        assert (part.length, part.last, part.drop) == (0, 1, 1)
        assert (record.cookie, record.index, record.status, record.wait) == (77, 5, TxStatus.ABORTED, 1)

    simulator = Simulator(decode)
    simulator.add_clock(8e-9)
    simulator.add_testbench(testbench)
    simulator.run()


def test_implemented_flags_are_those_that_the_contract_does_not_reserve():
    from hardwire.hdl.tx.decode import IMPLEMENTED_FLAGS

    reserved = TxFlags.SEGMENT | TxFlags.TIMESTAMP
    assert IMPLEMENTED_FLAGS | reserved == 0x1FF
    assert not IMPLEMENTED_FLAGS & reserved
