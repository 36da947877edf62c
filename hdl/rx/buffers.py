"""Which buffers a received frame goes into."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import RX_ALIGN_OCTETS, RX_DESC, RX_PAD_OCTETS, RxStatus
from ..dma.windows import BufferPart
from ..ring.fetch import fetched_layout
from .frame import RX_FLAGS_BITS, RxFrame

__all__ = ["BufferPlan", "BufferRecord", "RxCompletion"]


class RxCompletion(data.Struct):
    """A completion, but for what only the ring knows."""

    cookie: 32
    length: 16
    csum: 16
    vlan_tci: 16
    flags: RX_FLAGS_BITS
    index: 16
    status: 4


class BufferRecord(data.Struct):
    """Descriptors that are used up: a completion, and if it is a frame's, which has to be in memory first.

    All of ``completion`` but cookie, index and status is the frame's, and means nothing unless the status is OK;
    ``length`` is 0 then.
    """

    completion: RxCompletion
    frame: 1


class BufferPlan(wiring.Component):
    """Give each frame buffers: parts for a ``DmaWrite``, and a record of what it used.

    A frame is dropped at once if the queue is not open or nothing is posted. A descriptor that is no good gets a record
    of its own, as soon as it is there and the queue open; if it comes in the middle of a frame it ends that.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``part`` (a few gates) and ``descriptor.ready``. ``frame`` to
    its ``ready`` 1 cycle, to ``part`` 2 cycles, 2 more for each further buffer; ``part`` to ``record`` 1 cycle.

    Members
    -------
    open : In(1)
        Take frames. If it falls, the frame under way is brought to its end.
    flush : In(1)
        Forget descriptors, as far as no frame needs them.
    none : In(1)
        No descriptor is posted that was not handed out here.
    descriptor : In(stream.Signature(fetched_layout(RX_DESC)))
        Descriptors, in order.
    frame : In(stream.Signature(RxFrame))
        Frames, in order.
    drop : Out(1)
        In the cycle in which a frame is taken: its octets are not wanted.
    part : Out(stream.Signature(BufferPart))
        Where its octets go. One that says that there is no buffer is taken back if one is posted before it is taken.
    record : Out(stream.Signature(BufferRecord))
        What was used; always taken at once, as it has room.
    room : In(1)
        A cycle ago there was room for two records. Without it no frame is begun that needs one.
    no_buffer, disabled : Out(1)
        High for one cycle for each frame that is lost because of this.
    placing : Out(1)
        A frame is given buffers.
    busy : Out(1)
        The same, or a record is on its way.
    """

    open: In(1)
    flush: In(1)
    none: In(1)
    descriptor: In(stream.Signature(fetched_layout(RX_DESC)))
    frame: In(stream.Signature(RxFrame))
    drop: Out(1)
    part: Out(stream.Signature(BufferPart))
    record: Out(stream.Signature(BufferRecord))
    room: In(1)
    no_buffer: Out(1)
    disabled: Out(1)
    placing: Out(1)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        frame, d, part = self.frame.payload, self.descriptor.payload, self.part.payload
        align_bits = (RX_ALIGN_OCTETS - 1).bit_length()
        completion = self.record.payload.completion

        # What is wrong with the descriptor, and if all that is left goes into it, is known a cycle after both are.
        rest = Signal(17)  # Of the frame's octets that have no place yet, less one.
        beyond = Signal(len(rest) + 1)  # The same after this buffer; negative if it is the last one.
        checked, bad, fits, popped = Signal(), Signal(), Signal(), Signal()
        may_refuse = Signal()
        m.d.sync += may_refuse.eq(self.open & self.room)
        m.d.comb += [
            popped.eq(self.descriptor.valid & self.descriptor.ready),
            beyond.eq(Cat(rest[:align_bits], rest[align_bits:] - d.fields.length[align_bits:])),
        ]
        m.d.sync += [
            checked.eq(self.descriptor.valid & ~popped),
            bad.eq(
                d.error
                | d.fields.addr[:align_bits].any()
                | d.fields.length[:align_bits].any()
                | ~d.fields.length[align_bits:].any()
            ),
            fits.eq(beyond[-1]),
        ]

        with m.If(checked):  # It goes into the next record.
            m.d.sync += [
                completion.index.eq(d.index),
                completion.cookie.eq(Mux(d.error, 0, d.fields.cookie)),
                completion.status.eq(Mux(d.error, RxStatus.DESC_ERROR, Mux(bad, RxStatus.BAD_DESCRIPTOR, RxStatus.OK))),
            ]
            with m.If(bad):
                m.d.sync += completion.length.eq(0)
        m.d.comb += part.addr.eq(d.fields.addr)
        m.d.sync += [
            self.frame.ready.eq(0),
            self.record.valid.eq(0),
            self.no_buffer.eq(0),
            self.disabled.eq(0),
        ]
        with m.If(self.frame.ready):
            m.d.sync += [
                completion.length.eq(frame.length),
                completion.csum.eq(frame.csum),
                completion.vlan_tci.eq(frame.tci),
                completion.flags.eq(frame.flags),
            ]
        with m.FSM() as fsm:
            with m.State("Idle"):
                m.d.sync += [rest.eq(frame.length + (RX_PAD_OCTETS - 1)), self.drop.eq(1)]
                with m.If(self.flush):
                    m.d.comb += self.descriptor.ready.eq(1)
                with m.Elif(may_refuse & checked & bad):
                    m.d.comb += self.descriptor.ready.eq(1)
                    m.d.sync += [self.record.valid.eq(1), self.record.payload.frame.eq(0)]
                with m.If(self.frame.valid & ~self.frame.ready):
                    with m.If(~self.open):
                        m.d.sync += [self.frame.ready.eq(1), self.disabled.eq(1)]
                    with m.Elif(checked & ~bad & self.room):
                        m.d.sync += [self.frame.ready.eq(1), self.drop.eq(0)]
                        m.next = "Compare"
                    with m.Elif(self.none):
                        m.d.sync += [self.frame.ready.eq(1), self.no_buffer.eq(1)]
            with m.State("Compare"):
                m.next = "Place"
            with m.State("Place"):
                ends = Signal()
                m.d.comb += [
                    ends.eq(~checked | bad | fits),
                    self.part.valid.eq(checked | self.none),
                    part.length.eq(Mux(fits, rest[:16], d.fields.length)),
                    part.empty.eq(~checked | bad),
                    part.last.eq(ends),
                ]
                with m.If(self.part.ready & self.part.valid):
                    m.d.comb += self.descriptor.ready.eq(checked)
                    m.d.sync += rest.eq(beyond)
                    with m.If(ends):
                        m.d.sync += [self.record.valid.eq(1), self.record.payload.frame.eq(1)]
                        m.next = "Idle"
                    with m.If(~checked):
                        m.d.sync += [
                            completion.status.eq(RxStatus.NO_BUFFER),
                            completion.length.eq(0),
                            self.no_buffer.eq(1),
                        ]
        m.d.comb += [self.placing.eq(~fsm.ongoing("Idle")), self.busy.eq(self.placing | self.record.valid)]
        return m
