"""Take read responses in whatever order they come and give their octets in the order of the requests."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..axi import Axi4ReadSignature, Burst, check_axi_width_bits
from ..block_ram import BlockRam
from ..step import one_more
from .split import AddressCommand, Run, check_burst_octets

__all__ = ["Chunk", "ReorderBuffer", "check_outstanding"]


def check_outstanding(outstanding: int) -> int:
    """Return ``outstanding`` if a reorder buffer can have so many bursts under way.

    Raises
    ------
    ValueError
        If it is not 2, 4, 8 or 16.
    """
    if outstanding not in (2, 4, 8, 16):
        raise ValueError(f"outstanding must be 2, 4, 8 or 16, not {outstanding!r}")
    return outstanding


class Chunk(data.StructLayout):
    """Up to ``octets`` octets of a frame: ``count`` of them from octet ``first`` up.

    ``frame_end``: the frame ends after them; ``error``: the bus reported an error. A chunk of no octets ends a frame
    whose last part was empty; its ``error`` means nothing.
    """

    def __init__(self, octets: int) -> None:
        super().__init__(
            {
                "data": 8 * octets,
                "first": ceil_log2(octets),
                "count": range(octets + 1),
                "frame_end": 1,
                "error": 1,
            }
        )


class ReorderBuffer(wiring.Component):
    """Send read bursts with an ID each, and hand out what they bring in the order in which they were sent.

    Each ID owns a place for a whole burst, so ``axi.rready`` is always high. Responses may come in any order, beats of
    different IDs mixed. A beat is handed out as soon as it and all before it are there.

    Timing
    ------
    Domain ``sync``. ``axi`` has registers on all signals; one address each 2 cycles. Latency from the R channel to
    ``o``: 4 cycles (5 if the bus is wider than a chunk), one chunk a cycle. Combinational from ``o.ready`` into clock
    enables only.

    Parameters
    ----------
    chunk_octets : int
        Octets handed out at a time; at most a beat of the bus.
    axi_width_bits : int
        Width of the host bus.
    outstanding : int
        Bursts under way: 2, 4, 8 or 16.
    burst_octets : int
        Longest burst, in octets.

    Members
    -------
    address : In(stream.Signature(AddressCommand))
        Bursts, from a ``BurstSplitter``.
    run : In(stream.Signature(Run))
        What they are for, in the same cycle.
    axi : Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=ceil_log2(outstanding)))
        Host bus.
    o : Out(stream.Signature(Chunk(chunk_octets)))
        Octets, in order.
    idle : Out(1)
        Nothing inside and nothing under way.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self, *, chunk_octets: int = 8, axi_width_bits: int = 64, outstanding: int = 8, burst_octets: int = 256
    ) -> None:
        check_axi_width_bits(axi_width_bits)
        check_burst_octets(burst_octets, axi_width_bits)
        if chunk_octets not in (4, 8, 16) or 8 * chunk_octets > axi_width_bits:
            raise ValueError(f"chunk_octets must be 4, 8 or 16 and at most a beat of the bus, not {chunk_octets!r}")
        check_outstanding(outstanding)
        self._chunk_octets = chunk_octets
        self._axi_octets = axi_width_bits // 8
        self._outstanding = outstanding
        self._burst_octets = burst_octets
        super().__init__(
            {
                "address": In(stream.Signature(AddressCommand)),
                "run": In(stream.Signature(Run(burst_octets))),
                "axi": Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=ceil_log2(outstanding))),
                "o": Out(stream.Signature(Chunk(chunk_octets))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        slot_bits = ceil_log2(self._outstanding)
        beat_bits = ceil_log2(self._axi_octets)
        chunk_bits = ceil_log2(self._chunk_octets)
        beats_per_window = self._burst_octets // self._axi_octets

        # Slots are taken and freed in turn; the pointers have a bit more than a slot number, to tell full from empty.
        taken, loaded, freed = Signal(slot_bits + 1), Signal(slot_bits + 1), Signal(slot_bits + 1)
        slot = taken[:slot_bits]
        full, taking, freeing = Signal(), Signal(), Signal()
        one_left = (taken + 1 ^ freed)[: slot_bits + 1] == self._outstanding
        m.d.sync += full.eq(~freeing & (full | (taking & one_left)))
        # Number of the beat of its window that each slot waits for next.
        expected = Array(Signal(range(beats_per_window + 1), name=f"expected_{n}") for n in range(self._outstanding))

        m.submodules.runs = runs = memory.Memory(shape=Run(self._burst_octets), depth=self._outstanding, init=[])
        run_write, run_read = runs.write_port(), runs.read_port(domain="comb")
        m.d.comb += [run_write.addr.eq(slot), run_write.data.eq(self.run.payload)]

        # Address channel.
        issue, done = Signal(), Signal()  # A chunk of the run below is handed out; it is the last one.
        may_send = Signal()
        m.d.comb += [
            may_send.eq(~axi.arvalid),
            self.address.ready.eq(may_send & ~full),
            self.run.ready.eq(~full),
            axi.arsize.eq(beat_bits),
            axi.arburst.eq(Burst.INCR),
            axi.rready.eq(1),
        ]
        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        with m.If(may_send):
            m.d.sync += [
                axi.arvalid.eq(self.address.valid & ~full),
                axi.arid.eq(slot),
                axi.araddr.eq(self.address.payload.araddr),
                axi.arlen.eq(self.address.payload.arlen),
            ]
        m.d.comb += [taking.eq(self.run.valid & self.run.ready), run_write.en.eq(taking)]
        with m.If(taking):
            m.d.sync += taken.eq(taken + 1)
            for number in range(self._outstanding):
                with m.If(slot == number):
                    m.d.sync += expected[number].eq(self.run.payload.first[beat_bits:])

        # Response channel. The beat is written a cycle after it was counted, and read a cycle later at the earliest.
        beat_shape, place_bits = 8 * self._axi_octets + 1, ceil_log2(beats_per_window)
        m.submodules.beats = beats = BlockRam(shape=beat_shape, depth=self._outstanding * beats_per_window)
        for number in range(self._outstanding):  # An adder each: choosing one before and after it took too long.
            with m.If(axi.rvalid & (axi.rid == number)):
                m.d.sync += expected[number].eq(expected[number] + 1)
        m.d.sync += [
            beats.write_en.eq(axi.rvalid),
            beats.write_addr.eq(Cat(expected[axi.rid][:place_bits], axi.rid)),
            beats.write_data.eq(Cat(axi.rdata, axi.rresp[1])),
        ]

        # The run being handed out.
        step = Signal()  # The pipeline below moves.
        busy = Signal()
        run = Signal(Run(self._burst_octets))
        run_slot = Signal(slot_bits)
        arrived_until = Signal.like(expected[0])  # What was expected of this run a cycle ago.
        chunk, next_run = run.first[chunk_bits:], run_read.data
        more = Signal()
        may_issue, next_chunk = Signal(), Signal.like(chunk)
        m.d.comb += [
            may_issue.eq(busy & (run.empty | (arrived_until != run.first[beat_bits:]))),
            issue.eq(may_issue & step),
            freeing.eq(may_issue & done & step),
            next_chunk.eq(one_more(chunk)),
            more.eq(loaded != taken),
            run_read.addr.eq(loaded),
            beats.read_addr.eq(Cat(run.first[beat_bits:], run_slot)),
            beats.read_en.eq(step),
        ]
        m.d.sync += arrived_until.eq(expected[run_slot])
        with m.If(issue):
            m.d.sync += [
                run.first[:chunk_bits].eq(0),
                chunk.eq(next_chunk),
                done.eq(next_chunk == run.last[chunk_bits:]),
            ]
        with m.If(freeing):
            m.d.sync += freed.eq(freed + 1)
        with m.If(~busy | freeing):
            m.d.sync += [
                busy.eq(more),
                run.eq(run_read.data),
                done.eq(next_run.empty | (next_run.first[chunk_bits:] == next_run.last[chunk_bits:])),
                run_slot.eq(loaded),
                arrived_until.eq(expected[loaded[:slot_bits]]),
                loaded.eq(loaded + more),
            ]

        # The memory answers after two stages. A bus wider than a chunk needs one more to choose.
        last_octet = Mux(done, run.last[:chunk_bits], self._chunk_octets - 1)
        fetched = Signal(
            data.StructLayout(
                {
                    "first": chunk_bits,
                    "count": range(self._chunk_octets + 1),
                    "frame_end": 1,
                    "place": max(beat_bits - chunk_bits, 1),
                    "valid": 1,
                }
            )
        )
        with m.If(step):
            m.d.sync += [
                fetched.valid.eq(issue),
                fetched.first.eq(run.first[:chunk_bits]),
                fetched.count.eq(Mux(run.empty, 0, last_octet - run.first[:chunk_bits] + 1)),
                fetched.frame_end.eq(done & run.frame_end),
                fetched.place.eq(run.first[chunk_bits:beat_bits]),
            ]
        o, octets, bus_error = self.o.payload, beats.read_data[:-1], beats.read_data[-1]
        m.d.comb += step.eq(~self.o.valid | self.o.ready)
        chosen = fetched
        if self._chunk_octets == self._axi_octets:
            m.d.comb += [o.data.eq(octets), o.error.eq(bus_error)]
        else:
            chosen = Signal.like(fetched)
            with m.If(step):
                m.d.sync += [
                    chosen.eq(fetched),
                    o.data.eq(octets.word_select(chosen.place, 8 * self._chunk_octets)),
                    o.error.eq(bus_error),
                ]
        with m.If(step):
            m.d.sync += [
                self.o.valid.eq(chosen.valid),
                o.first.eq(chosen.first),
                o.count.eq(chosen.count),
                o.frame_end.eq(chosen.frame_end),
            ]
        m.d.comb += self.idle.eq((taken == freed) & ~self.o.valid & ~chosen.valid & ~fetched.valid)
        return m
