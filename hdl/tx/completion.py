"""Completions: what became of each frame, in order, into the completion ring in host memory."""

from amaranth.hdl import C, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from ...stack.abi.desc import TX_CPL, TxStatus
from ..axi import Axi4WriteSignature, Burst
from ..short_fifo import ShortFifo
from .decode import FrameRecord

__all__ = ["Completion", "CompletionWrite", "ResultJoin"]

_PLACE = data.StructLayout({"index": 16, "status": 4})


class Completion(data.Struct):
    """A completion, but for what only the ring knows."""

    cookie: 32
    index: 16
    status: 4


class ResultJoin(wiring.Component):
    """Give each record the datapath's result, if it waits for one.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``busy`` (an or). Latency 3 cycles from ``record``, 1 from
    ``result``; one completion each 2 cycles.

    Parameters
    ----------
    depth : int
        Records that can wait.

    Members
    -------
    record : In(stream.Signature(FrameRecord))
        Frames, in order.
    result : In(stream.Signature({"status": 8}))
        What became of those that wait, in order: a ``TxStatus``.
    o : Out(stream.Signature(Completion))
        Their completions.
    busy : Out(1)
        Something is inside.
    """

    def __init__(self, *, depth: int = 32) -> None:
        self._depth = depth
        super().__init__(
            {
                "record": In(stream.Signature(FrameRecord)),
                "result": In(stream.Signature(data.StructLayout({"status": 8}))),
                "o": Out(stream.Signature(Completion)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        o = self.o
        m.submodules.fifo = fifo = ShortFifo(shape=FrameRecord, depth=self._depth)
        connect(m, flipped(self.record), fifo.i)

        held = fifo.o.payload
        must_wait, joined = Signal(), Signal()
        m.d.comb += [
            must_wait.eq(held.wait & ~self.result.valid),
            joined.eq(fifo.o.valid & ~o.valid & ~must_wait),
            fifo.o.ready.eq(joined),
            self.result.ready.eq(fifo.o.valid & held.wait & ~o.valid),
            self.busy.eq(fifo.busy | o.valid),
        ]
        with m.If(o.ready):
            m.d.sync += o.valid.eq(0)
        with m.If(joined):
            m.d.sync += [
                o.valid.eq(1),
                o.payload.cookie.eq(held.cookie),
                o.payload.index.eq(held.index),
                o.payload.status.eq(Mux(held.status == TxStatus.OK, self.result.payload.status, held.status)),
            ]
        return m


class CompletionWrite(wiring.Component):
    """Write completions into their ring, several at a time, again and again until the bus takes them.

    Each completion keeps its place inside until it is in memory. All writes have the same ID, so that their responses
    come in order. After an error response no write is started until all that are under way were answered; then
    everything from the failed one on is written again, octet for octet the same.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``i.ready`` and ``busy`` (comparisons). ``i`` to ``awvalid``
    4 cycles; B to ``index`` 2 cycles, and to ``written`` 3. One completion each beats + 3 cycles.

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

    Members
    -------
    base : In(64)
        Bus address of the ring, aligned to its size and to 4 KiB.
    mask : In(ring_log2_max)
        Number of entries, less one.
    give_up : In(1)
        Do not repeat a write that failed 16 times in a row: its completion is lost.
    clear : In(1)
        Start again at index 0 of the first lap. Only while not ``busy``.
    i : In(stream.Signature(Completion))
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

    def __init__(self, *, axi_width_bits: int, ring_log2_max: int, id_width_bits: int, outstanding: int = 16) -> None:
        self._beats = max(1, 8 * TX_CPL.size_octets // axi_width_bits)
        self._outstanding = outstanding
        super().__init__(
            {
                "base": In(64),
                "mask": In(ring_log2_max),
                "give_up": In(1),
                "clear": In(1),
                "i": In(stream.Signature(Completion)),
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
        depth = self._outstanding
        # A slot is read some cycles after it was written, so no logic is needed for both meeting in one.
        memories = {"init": [], "attrs": {"no_rw_check": Const(1)}}
        m.submodules.memory = memory = Memory(shape=Completion, depth=depth, **memories)
        m.submodules.places = places = Memory(shape=_PLACE, depth=depth, **memories)
        put = memory.write_port()
        put_place = places.write_port()

        # Slots from done to new hold completions; those from done to next were sent to the bus. One bit more tells
        # full from empty.
        new, next_, done = (Signal(range(2 * depth), name=name) for name in ("new", "next", "done"))
        index, lap, done_lap = Signal.like(self.index), Signal(), Signal()  # Of the slots `next` and `done`.
        under_way = Signal(range(depth + 1))
        rewind = Signal()  # Waiting for the rest of the responses before starting again at `done`.
        sent, answered, failed, rewound = Signal(), Signal(), Signal(), Signal()

        m.d.comb += [
            self.i.ready.eq((new ^ done) != depth),
            put.en.eq(self.i.valid & self.i.ready),
            put.addr.eq(new[:-1]),
            put.data.eq(self.i.payload),
            put_place.en.eq(put.en),
            put_place.addr.eq(new[:-1]),
            put_place.data.index.eq(self.i.payload.index),
            put_place.data.status.eq(self.i.payload.status),
        ]
        m.d.sync += new.eq(new + put.en)

        idle = self._send(m, memory, next_, index, lap, (next_ != new) & ~rewind, sent)

        # Responses.
        m.d.comb += self.axi.bready.eq(1)
        m.d.sync += [answered.eq(self.axi.bvalid), failed.eq(self.axi.bresp[1])]
        failures = Signal(4)
        repeat, finished, next_done = Signal(), Signal(), Signal.like(self.index)
        m.d.comb += [
            repeat.eq(failed & ~(self.give_up & failures.all())),
            finished.eq(answered & ~rewind & ~repeat),
            rewound.eq(rewind & idle & (under_way == 0)),
            next_done.eq((self.index + 1) & self.mask),
        ]
        m.d.sync += under_way.eq(under_way + sent - answered)
        with m.If(answered & ~rewind):
            m.d.sync += [rewind.eq(repeat), failures.eq(Mux(failed, Mux(failures.all(), failures, failures + 1), 0))]
        with m.If(finished):
            m.d.sync += [
                done.eq(done + 1),
                self.index.eq(next_done),
                done_lap.eq(done_lap ^ (self.index == self.mask)),
            ]

        # Where the next write goes.
        again = Signal(range(depth + 1))  # Slots that were sent before.
        m.d.sync += self.retried.eq(sent & (again != 0))
        with m.If(rewound):
            m.d.sync += [
                rewind.eq(0),
                next_.eq(done),
                index.eq(self.index),
                lap.eq(done_lap),
                again.eq(again + (next_ - done)[: len(new)]),
            ]
        with m.Elif(sent):
            m.d.sync += [
                next_.eq(next_ + 1),
                index.eq((index + 1) & self.mask),
                lap.eq(lap ^ (index == self.mask)),
                again.eq(again - (again != 0)),
            ]
        with m.If(self.clear):
            m.d.sync += [self.index.eq(0), index.eq(0), lap.eq(0), done_lap.eq(0), self.head.eq(0)]

        # What the slot said. Its memory is read in the cycle before it is needed.
        get_place = places.read_port()
        was_finished = Signal()
        m.d.comb += [get_place.addr.eq(done[:-1]), get_place.en.eq(1)]
        m.d.sync += [was_finished.eq(finished), self.written.eq(was_finished), self.place.eq(get_place.data)]
        with m.If(was_finished):
            m.d.sync += self.head.eq((get_place.data.index + 1) & self.mask)

        m.d.comb += self.busy.eq((new != done) | rewind | (under_way != 0) | ~idle | was_finished)
        return m

    def _send(self, m: Module, memory: Memory, slot: Signal, index: Signal, lap: Signal, start, sent: Signal):
        """Send one slot at a time; pulse ``sent`` at its start. Return if nothing is being sent."""
        axi, width = self.axi, len(self.axi.wdata)
        get = memory.read_port()
        m.d.comb += [get.addr.eq(slot[:-1]), get.en.eq(1)]
        entry = data.StructLayout({member.name: member.width for member in TX_CPL.members})
        fresh = Signal(entry)
        m.d.comb += [
            fresh.cookie.eq(get.data.cookie),
            fresh.index.eq(get.data.index),
            fresh.status.eq(get.data.status),
            fresh.phase.eq(~lap),
        ]
        number = Signal(range(self._beats))
        rest = Signal(max(8 * TX_CPL.size_octets, width))  # What is not sent, the next beat lowest.
        lanes = exact_log2(max(1, width // 8 // TX_CPL.size_octets))  # log2 of completions a beat.
        m.d.comb += [
            axi.awlen.eq(self._beats - 1),
            axi.awsize.eq(exact_log2(min(width // 8, TX_CPL.size_octets))),
            axi.awburst.eq(Burst.INCR),
            axi.wdata.eq(rest[:width]),
        ]

        # Beats are counted by what is left of `wlast`, so that nothing but registers drives the bus.
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(axi.wready & axi.wvalid):
            m.d.sync += [
                axi.wvalid.eq(~axi.wlast),
                axi.wlast.eq(number == self._beats - 2 if self._beats > 1 else 1),
                number.eq(number + 1),
                rest.eq(rest >> width if self._beats > 1 else rest),
            ]
        with m.FSM() as fsm:
            with m.State("Idle"):
                m.d.sync += number.eq(0)
                with m.If(start):
                    m.next = "Read"
            with m.State("Read"):
                m.next = "Start"
            with m.State("Start"):
                m.d.comb += sent.eq(1)
                m.d.sync += [
                    axi.awaddr.eq(self.base | (index << exact_log2(TX_CPL.size_octets))),
                    axi.awvalid.eq(1),
                    axi.wvalid.eq(1),
                    axi.wlast.eq(self._beats == 1),
                    rest.eq(fresh if not lanes else fresh.as_value().replicate(1 << lanes)),
                    axi.wstrb.eq(~0 if not lanes else C((1 << TX_CPL.size_octets) - 1) << (index[:lanes] << 4)),
                ]
                m.next = "Send"
            with m.State("Send"):
                with m.If(~axi.awvalid & ~axi.wvalid):
                    m.next = "Idle"
        return fsm.ongoing("Idle")
