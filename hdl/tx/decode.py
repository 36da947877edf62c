"""Descriptor decoder: finds the frames in a run of descriptors and says for each what is to be done."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import TX_DESC, TxFlags, TxStatus
from ..ring.fetch import fetched_layout
from .command import FrameCommand, FramePart

__all__ = ["IMPLEMENTED_FLAGS", "DescriptorDecode", "FrameRecord"]

IMPLEMENTED_FLAGS = (
    TxFlags.FIRST
    | TxFlags.LAST
    | TxFlags.CSUM_PARTIAL
    | TxFlags.CSUM_L4
    | TxFlags.CSUM_IPV4
    | TxFlags.RESOLVE
    | TxFlags.VLAN
)


class FrameRecord(data.Struct):
    """What a completion will say.

    With ``wait`` it must wait for the datapath's result; a ``status`` other than OK then takes that one's place.
    """

    cookie: 32
    index: 16
    status: 4
    wait: 1


class DescriptorDecode(wiring.Component):
    """Turn descriptors into frames, and note what each of them is to be completed with.

    A frame is the descriptors from one with FIRST to the next one with LAST. Those without a place in a good frame are
    swallowed; see `TxRing` for the rules. Each record covers at least one descriptor that none covered before.

    Timing
    ------
    Domain ``sync``. All outputs come from registers, but ``i.ready``, ``busy`` (some gates from registers and ``i``).
    Latency 1 cycle, one descriptor each 2 cycles. A descriptor waits until all three outputs are free.

    Members
    -------
    i : In(stream.Signature(fetched_layout(TX_DESC)))
        Descriptors.
    abort : In(1)
        Give up the frame that is under way, and start no other.
    close : In(1)
        No descriptor will follow: end what is under way.
    clear : In(1)
        Forget what was swallowed. Only while not ``busy``.
    frame : Out(stream.Signature(FrameCommand))
        A frame starts.
    part : Out(stream.Signature(FramePart))
        Its octets.
    record : Out(stream.Signature(FrameRecord))
        What to complete.
    busy : Out(1)
        Something is still to be recorded or handed over.
    decoded : Out(1)
        High for one cycle for each descriptor, in the cycle after it was taken.
    index : Out(16)
        The index of that descriptor.
    """

    i: In(stream.Signature(fetched_layout(TX_DESC)))
    abort: In(1)
    close: In(1)
    clear: In(1)
    frame: Out(stream.Signature(FrameCommand))
    part: Out(stream.Signature(FramePart))
    record: Out(stream.Signature(FrameRecord))
    busy: Out(1)
    decoded: Out(1)
    index: Out(16)

    def elaborate(self, platform):
        m = Module()
        frame, part, record = self.frame, self.part, self.record
        desc = self.i.payload.fields
        first, last = desc.flags[0], desc.flags[1]
        error = self.i.payload.error
        unsupported = Signal()
        m.d.comb += unsupported.eq((desc.flags & (0xFFFF & ~IMPLEMENTED_FLAGS.value)).any())

        opened = Signal()  # The datapath has the start of a frame, but not its last part.
        skipping = Signal()  # Descriptors are swallowed up to the next LAST or FIRST.
        uncovered = Signal()  # At least one was, of this frame, or is in the datapath, since the last record.
        cookie = Signal(32)
        status = Signal(4)  # Why they are swallowed; OK if they are not.

        free, closing, take = Signal(), Signal(), Signal()
        restart = Signal()
        m.d.comb += [
            free.eq(~frame.valid & ~part.valid & ~record.valid),
            restart.eq(self.i.valid & first & ~error),
            closing.eq(uncovered & (restart | self.close | (opened & self.abort))),
            take.eq(self.i.valid & free & ~closing),
            self.i.ready.eq(free & ~closing),
            self.busy.eq(~free | uncovered),
        ]

        for output in (frame, part, record):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)

        # Of a frame that starts here.
        refused, refusal = Signal(), Signal(4)
        m.d.comb += refused.eq(1)
        with m.If(self.abort):
            m.d.comb += refusal.eq(TxStatus.ABORTED)
        with m.Elif(~first):
            m.d.comb += refusal.eq(TxStatus.BAD_SEQUENCE)
        with m.Elif(unsupported):
            m.d.comb += refusal.eq(TxStatus.UNSUPPORTED)
        with m.Else():
            m.d.comb += refused.eq(0)

        early = Mux(self.abort, TxStatus.ABORTED, TxStatus.BAD_SEQUENCE)  # Why a frame in the datapath is given up.
        continues, starts = Signal(), Signal()
        m.d.comb += [
            continues.eq((opened | skipping) & ~first),
            starts.eq(~error & ~continues),
        ]

        m.d.sync += self.decoded.eq(take)
        with m.If(take):
            m.d.sync += [self.index.eq(self.i.payload.index), uncovered.eq(~error & ~last)]
            with m.If(error):
                m.d.sync += [opened.eq(0), skipping.eq(1), status.eq(TxStatus.DESC_ERROR)]
                with m.If(~opened & ~skipping):
                    m.d.sync += cookie.eq(0)
            with m.Elif(starts):
                m.d.sync += [
                    opened.eq(~refused & ~last),
                    skipping.eq(refused & ~last),
                    status.eq(refusal),
                    cookie.eq(desc.cookie),
                ]
            with m.Elif(last):
                m.d.sync += [opened.eq(0), skipping.eq(0)]
        with m.Elif(free & closing):
            m.d.sync += [
                uncovered.eq(0),
                opened.eq(0),
                skipping.eq(opened & self.abort),
                status.eq(TxStatus.ABORTED),
            ]
        with m.If(self.clear):
            m.d.sync += skipping.eq(0)

        with m.If(take & starts):
            m.d.sync += frame.valid.eq(~refused)
        with m.If(free):
            m.d.sync += [
                frame.payload.flags.eq(desc.flags),
                frame.payload.csum_start.eq(desc.csum_start),
                frame.payload.csum_offset.eq(desc.csum_offset),
                frame.payload.l3_start.eq(desc.l3_start),
                frame.payload.next_hop.eq(desc.next_hop),
                frame.payload.vlan_tci.eq(desc.vlan_tci),
            ]

        give_up = Signal()  # End the frame in the datapath.
        m.d.comb += give_up.eq(opened & (closing | error))
        with m.If(take & ~error):
            m.d.sync += part.valid.eq(Mux(starts, ~refused, opened))
        with m.Elif((take | free & closing) & opened):
            m.d.sync += part.valid.eq(1)
        with m.If(free):
            m.d.sync += [
                part.payload.addr.eq(desc.addr),
                part.payload.length.eq(Mux(give_up, 0, desc.length)),
                part.payload.last.eq(last | give_up),
                part.payload.drop.eq(give_up),
            ]

        with m.If(take):
            m.d.sync += record.valid.eq(error | last)
        with m.Elif(free & closing):
            m.d.sync += record.valid.eq(1)
        with m.If(free):
            m.d.sync += [
                record.payload.cookie.eq(Mux(opened | skipping, cookie, Mux(error, 0, desc.cookie))),
                record.payload.index.eq(Mux(closing, self.index, self.i.payload.index)),
                record.payload.wait.eq(opened),
            ]
            with m.If(closing):
                m.d.sync += record.payload.status.eq(Mux(opened, early, status))
            with m.Elif(error):
                m.d.sync += record.payload.status.eq(TxStatus.DESC_ERROR)
            with m.Elif(starts):
                m.d.sync += [
                    record.payload.cookie.eq(desc.cookie),
                    record.payload.status.eq(refusal),
                    record.payload.wait.eq(~refused),
                ]
            with m.Else():
                m.d.sync += record.payload.status.eq(status)
        return m
