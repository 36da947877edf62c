"""Completions: what became of each frame, in order, into the completion ring in host memory."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.model import Record
from ..axi import Axi4WriteSignature
from ..block_ram import BlockRam
from ..step import one_more
from .completion_send import CompletionSend

__all__ = ["CompletionWrite"]

_PLACE = data.StructLayout({"index": 16, "status": 4})


class CompletionWrite(wiring.Component):
    """Write completions into their ring, several at a time, again and again until the bus takes them.

    Each completion keeps its place inside until it is in memory. All writes have the same ID, so that their responses
    come in order. After an error response no write is started until all that are under way were answered; then
    everything from the failed one on is written again, octet for octet the same.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``index`` (a gate) and ``busy`` (comparisons). ``i`` to
    ``awvalid`` 4 cycles; B to ``index`` 2 cycles, to ``written`` 3 and to ``head`` 4. One completion each beats + 4
    cycles.

    Parameters
    ----------
    axi_width_bits : int
        Width of the host bus.
    ring_log2_max : int
        Largest ring, as log2 of its entries.
    id_width_bits : int
        Bits of a transaction ID.
    outstanding : int
        Completions that can be under way, a power of two.
    record : Record
        An entry of the ring.
    completion : data.Struct
        What the user says of it; has ``index`` and ``status``.

    Members
    -------
    base : In(64)
        Bus address of the ring, aligned to its size.
    mask : In(ring_log2_max)
        Number of entries, less one.
    give_up : In(1)
        Do not repeat a write that failed 16 times in a row: its completion is lost.
    clear : In(1)
        Start again at index 0 of the first lap. Only while not ``busy``.
    i : In(stream.Signature(completion))
        Completions.
    axi : Out(Axi4WriteSignature)
        Host memory.
    index : Out(ring_log2_max)
        Where the next completion goes: all before it are in memory.
    head : Out(ring_log2_max)
        The descriptor after the last one that a completion covers.
    written : Out(1)
        High for one cycle for each completion in memory.
    place : Out({"index": 16, "status": 4})
        What it says, while ``written``.
    retried : Out(1)
        High for one cycle for each write that is repeated.
    busy : Out(1)
        Something is inside or under way.
    """

    def __init__(
        self,
        *,
        axi_width_bits: int,
        ring_log2_max: int,
        id_width_bits: int,
        record: Record,
        completion,
        outstanding: int = 16,
    ) -> None:
        self._outstanding = outstanding
        self._completion = completion
        self._send = {
            "axi_width_bits": axi_width_bits,
            "id_width_bits": id_width_bits,
            "record": record,
            "completion": completion,
        }
        super().__init__(
            {
                "base": In(64),
                "mask": In(ring_log2_max),
                "give_up": In(1),
                "clear": In(1),
                "i": In(stream.Signature(completion)),
                "axi": Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)),
                "index": Out(ring_log2_max),
                "head": Out(ring_log2_max),
                "written": Out(1),
                "place": Out(_PLACE),
                "retried": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.send = send = CompletionSend(**self._send)
        m.d.comb += send.base.eq(self.base)
        for name, member in self.axi.signature.members.items():
            if name not in ("bvalid", "bresp", "bid", "bready"):
                inner, outer = getattr(send.axi, name), getattr(self.axi, name)
                m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)

        # Slots from `done` to `new` hold completions; those before `unsent` were sent, those before `sent_once` at
        # least once, those before `replied` answered. One bit more than an address tells full from empty.
        def pointer(name: str) -> Signal:
            return Signal(range(2 * self._outstanding), name=name)

        new, unsent, done, sent_once, replied = map(pointer, ("new", "unsent", "done", "sent_once", "replied"))
        answered, failed = Signal(), Signal()
        m.d.comb += self.axi.bready.eq(1)
        m.d.sync += [answered.eq(self.axi.bvalid), failed.eq(self.axi.bresp[1])]
        rewind, rewound = Signal(), Signal()  # Waiting for all responses before going back to `done`; going back.
        finished = self._answers(m, done, answered & ~rewind, failed, rewind)
        completion, place = self._slots(m, new, unsent, done)

        sent, under_way = Signal(), Signal()
        blocked = self._places(m, send, unsent, done, finished)
        m.d.comb += [
            under_way.eq(unsent != replied),
            send.i.payload.completion.eq(completion),
            sent.eq(send.i.valid & send.i.ready),
            rewound.eq(rewind & ~send.i.valid & ~under_way),
        ]
        waits, read, fresh = Signal(), Signal(), Signal()  # The slots' memory needs two cycles.
        m.d.comb += [waits.eq((unsent != new) & ~rewind & ~blocked), fresh.eq(unsent == sent_once)]
        m.d.sync += [
            read.eq(waits & ~send.i.valid),
            send.i.valid.eq(Mux(send.i.valid, ~send.i.ready, waits & read)),
            self.retried.eq(sent & ~fresh),
        ]
        with m.If(sent & fresh):
            m.d.sync += sent_once.eq(one_more(sent_once))
        with m.If(rewound):
            m.d.sync += [rewind.eq(0), unsent.eq(done), replied.eq(done)]
        with m.Else():
            with m.If(sent):
                m.d.sync += unsent.eq(one_more(unsent))
            with m.If(answered):
                m.d.sync += replied.eq(one_more(replied))

        was_finished = Signal()
        m.d.sync += [
            was_finished.eq(finished),
            self.written.eq(was_finished),
        ]
        m.d.comb += self.place.eq(place)
        with m.If(self.written):
            m.d.sync += self.head.eq((place.index + 1) & self.mask)
        with m.If(self.clear):
            m.d.sync += [self.head.eq(0), *(at.eq(0) for at in (new, unsent, done, sent_once, replied))]
        m.d.comb += self.busy.eq((new != done) | rewind | under_way | send.i.valid | was_finished | self.written)
        return m

    def _places(self, m: Module, send, unsent: Signal, done: Signal, finished: Signal) -> Value:
        """Say where in the ring the slots ``done`` and ``unsent`` go; return if the latter has to wait.

        Both count from 0 with the ring, so they are the lower bits of the ring's index; the upper ones of ``unsent``
        are those of ``done``, or the next ones.
        """
        bits = len(done) - 1
        mask = Cat(self.mask, C(0, bits))
        low_mask, high_mask = mask[:bits], self.mask[bits:]
        high, next_high = Signal.like(high_mask), Signal.like(high_mask)
        lap = Signal()  # Of `done`, if the ring is not smaller than the slots.
        ahead, wraps, steps = unsent ^ done, Signal(), Signal()
        m.d.comb += [
            steps.eq(finished & done[:-1].all()),
            wraps.eq(next_high == 0),
            self.index.eq(Cat(done[:-1] & low_mask, high)),
            send.i.payload.at.eq(Cat(unsent[:-1] & low_mask, Mux(ahead[-1], next_high, high))),
            send.i.payload.phase.eq(~(lap ^ (ahead[-1] & wraps))),
        ]
        m.d.sync += next_high.eq(Mux(steps, next_high + 1, high + 1) & high_mask)
        with m.If(steps):
            m.d.sync += [high.eq(next_high), lap.eq(lap ^ wraps)]
        with m.If(self.clear):
            m.d.sync += [high.eq(0), lap.eq(0)]
        # No entry of the ring is written anew before its old completion is confirmed: a write that the bus answered
        # with an error may have reached memory, software may have gone on, and the repetition must not look like the
        # entry's next lap. A ring that is as large as the slots has room for all of them.
        blocked = Signal()
        for log2 in range(1, bits):
            with m.If(mask[log2 - 1] & ~mask[log2]):
                m.d.comb += [
                    send.i.payload.phase.eq(~unsent[log2]),
                    blocked.eq(ahead[log2] & ~ahead[:log2].any()),
                ]
        return blocked

    def _answers(self, m: Module, done: Signal, answered: Value, failed: Signal, rewind: Signal) -> Signal:
        """Move ``done`` on for each completion in memory, or set ``rewind``; return if one is."""
        failures = Signal(4)  # In a row.
        # Known before the write that it is about was sent again.
        last_try = Signal()
        m.d.sync += last_try.eq(self.give_up & failures.all())
        repeat, finished = Signal(), Signal()
        m.d.comb += [
            repeat.eq(failed & ~last_try),
            finished.eq(answered & ~repeat),
        ]
        with m.If(finished):
            m.d.sync += done.eq(one_more(done))
        with m.If(answered):
            m.d.sync += [
                rewind.eq(repeat),
                failures.eq(Mux(failed, one_more(failures) | failures.all().replicate(4), 0)),
            ]
        return finished

    def _slots(self, m: Module, new: Signal, unsent: Signal, done: Signal) -> tuple[Value, Value]:
        """Keep the completions; return the one of ``unsent`` and the place of ``done``, two cycles late."""
        m.submodules.slots = slots = BlockRam(shape=self._completion, depth=self._outstanding)
        m.submodules.places = places = BlockRam(shape=_PLACE, depth=self._outstanding)
        put = Signal()
        # Known a cycle late, so not after a cycle in which one was put.
        m.d.sync += self.i.ready.eq(((new ^ done) != self._outstanding) & ~put)
        m.d.comb += [
            put.eq(self.i.valid & self.i.ready),
            slots.write_data.eq(self.i.payload),
            places.write_data.index.eq(self.i.payload.index),
            places.write_data.status.eq(self.i.payload.status),
            slots.read_addr.eq(unsent[:-1]),
            places.read_addr.eq(done[:-1]),
        ]
        for ram in (slots, places):
            m.d.comb += [ram.write_en.eq(put), ram.write_addr.eq(new[:-1]), ram.read_en.eq(1)]
        with m.If(put):
            m.d.sync += new.eq(one_more(new))
        return slots.read_data, places.read_data
