"""Transmit side of the MAC: a packet stream becomes frames on GMII."""

# Ref: IEEE Std 802.3-2022, clauses 3 (frame), 4 (media access control) and 35 (GMII)

from amaranth import Array, Cat, Const, EnableInserter, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..packet import check_width_bits, packet_signature
from ..tx.command import TxTag
from .fcs import FCS_INIT, FCS_OCTETS, fcs_step

__all__ = ["GAP_OCTETS", "MIN_FRAME_OCTETS", "PREAMBLE_OCTETS", "MacTx", "TxDone"]

PREAMBLE_OCTETS = 7  # 3.2.1
PREAMBLE, SFD = 0x55, 0xD5  # 3.2.1, 3.2.2; bit 0 first.
MIN_FRAME_OCTETS = 60  # 4.4.2: minFrameSize of 512 bits, less the FCS.
GAP_OCTETS = 12  # 4.4.2: interPacketGap of 96 bits.
_ADDRESS_OCTETS = 6
_TAG_AT, _TAG_END = 12, 16  # Behind the two addresses: IEEE Std 802.1Q-2022 9.3.
_TPID_FIRST, _TPID_SECOND = 0x81, 0x00


class TxDone(data.Struct):
    """What becomes of a frame: its octets on the wire with tag, padding and FCS, and if it is cut short.

    ``broadcast``, ``multicast``: it goes to all stations, or to another group.
    """

    underrun: 1
    octets: 16
    broadcast: 1
    multicast: 1


def _last_index(keep: Value) -> Value:
    """Return the number of the highest one in a run of ones from bit 0 up; 0 if there is none."""
    if len(keep) == 1:
        return Const(0, 0)
    half = len(keep) // 2
    upper = keep[half]
    return Cat(_last_index(Mux(upper, keep[half:], keep[:half])), upper)


class MacTx(wiring.Component):
    """Send frames on GMII, at 1 Gb/s or slower.

    Each frame gets seven octets of preamble and the start frame delimiter (3.2.1, 3.2.2), its tag behind the addresses
    if it has one (IEEE Std 802.1Q-2022 9.3; not in frames of less than 13 octets), zeros up to 60 octets if it is
    shorter, the tag in (3.2.8), and the FCS (3.2.9). Between frames are 12 octet times or more (4.4.2); exactly 12 if
    the next frame's first beat is there by then. GMII takes one octet a cycle and a frame may start in any cycle, so
    all gaps can be exact: the deficit idle count, which XGMII needs as its frames start in lane 0 only (46.3.1.4), has
    no place here.

    GMII cannot wait: from a frame's first beat on, each further beat must be valid within as many octet times as a
    beat has octets. If one is not, or if the last beat says ``error``, the frame is cut short: four octets with
    ``gmii_tx_er`` (35.2.2.5) in place of the FCS, none of them as the FCS would be, and then the gap. The rest of the
    frame is taken from ``i`` and dropped.

    Timing
    ------
    Domain ``sync``. An octet time is a cycle with ``enable`` high; in others nothing changes, is taken or given. First
    beat in to first octet of preamble on ``gmii_txd``: 2 octet times; first beat to its first octet: 10. All outputs
    come from registers, ``busy`` through a gate or two; combinational from ``enable`` to ``i.ready``,
    ``tag.ready`` and ``done.valid`` only.

    Parameters
    ----------
    width_bits : int
        Width of the packet stream: 32, 64 or 128.

    Members
    -------
    i : In(packet_signature(width_bits))
        Frames from destination address to payload, without padding and FCS, of at least 1 octet.
    tag : In(stream.Signature(TxTag))
        One for each frame, there when its eleventh octet is sent and taken with its ``done``. If there is none, the
        frame has no tag.
    enable : In(1), init=1
        An octet may go in this cycle.
    gmii_txd, gmii_tx_en, gmii_tx_er : Out(8), Out(1), Out(1)
        GMII (35.2.2).
    done : Out(stream.Signature(TxDone, always_ready=True))
        One for each frame, in order, in the cycle before the first octet of its FCS is on ``gmii_txd``. Cannot be
        stalled.
    busy : Out(1)
        A frame is under way. The gap after it does not count.
    advance_stb, advance_cycles : In(1), In(32)
        Let the gap's timer jump ahead by so many cycles, besides the one of this clock edge. Only while not ``busy``
        and while ``enable`` stays high; it shows a cycle later.

    Raises
    ------
    ValueError
        If ``width_bits`` is not 32, 64 or 128.
    """

    def __init__(self, *, width_bits: int = 64) -> None:
        self._octets = check_width_bits(width_bits) // 8
        super().__init__(
            {
                "i": In(packet_signature(width_bits)),
                "tag": In(stream.Signature(TxTag)),
                "enable": In(1, init=1),
                "gmii_txd": Out(8),
                "gmii_tx_en": Out(1),
                "gmii_tx_er": Out(1),
                "done": Out(stream.Signature(TxDone, always_ready=True)),
                "busy": Out(1),
                "advance_stb": In(1),
                "advance_cycles": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # The beat under way. It is replaced in the cycle in which its last octet is taken.
        beat = Signal(self.i.payload.shape())
        end = Signal(range(self._octets))
        at = Signal(range(self._octets))
        held, draining, free = Signal(), Signal(), Signal(init=1)
        next_held, next_replace = Signal(), Signal()
        m.d.comb += [next_held.eq(held), self.i.ready.eq(free & self.enable)]
        m.d.sync += [held.eq(next_held), free.eq(~next_held | next_replace)]
        with m.If(free):
            m.d.sync += [beat.eq(self.i.payload), end.eq(_last_index(self.i.payload.keep))]
            with m.If(draining):
                m.d.sync += draining.eq(~(self.i.valid & self.i.payload.last))
            with m.Else():
                m.d.comb += next_held.eq(self.i.valid)

        # What goes into the output stage in this cycle.
        octet = Signal(8)
        in_frame, in_address, in_data, in_fcs = Signal(), Signal(), Signal(), Signal()

        step = Signal(range(_TAG_END))
        tci = self.tag.payload.tci
        tag_octets = Array((Const(_TPID_FIRST, 8), Const(_TPID_SECOND, 8), tci[8:], tci[:8]))
        octets = Signal.like(self.done.payload.octets)
        short = Signal()  # The frame with the octet of this cycle is shorter than the least.
        almost = Signal()  # It has the least but one.
        fcs_at = Signal(range(FCS_OCTETS))
        bad, busy, leaving = Signal(), Signal(), Signal()
        in_gap = Signal()
        begins_fcs = Signal()

        m.d.comb += busy.eq(1)
        m.d.sync += step.eq(step + 1)
        with m.If(in_data):
            m.d.sync += octets.eq(octets + 1)
        with m.If(almost):
            m.d.sync += short.eq(0)
        m.d.sync += almost.eq((octets == MIN_FRAME_OCTETS + FCS_OCTETS - 3) & in_data)

        with m.FSM():
            with m.State("Idle"):
                # The first octet of preamble leaves here already.
                m.d.comb += in_frame.eq(~in_gap & (held | self.i.valid & ~draining))
                m.d.comb += [octet.eq(PREAMBLE), busy.eq(held)]
                m.d.sync += [step.eq(1), octets.eq(FCS_OCTETS), short.eq(1), bad.eq(0)]
                with m.If(in_frame):
                    m.next = "Preamble"

            with m.State("Preamble"):
                m.d.comb += [in_frame.eq(1), octet.eq(PREAMBLE)]
                with m.If(step == PREAMBLE_OCTETS):
                    m.d.comb += octet.eq(SFD)
                    m.d.sync += step.eq(0)
                    m.next = "Data"

            with m.State("Data"):
                m.d.comb += [in_frame.eq(1), in_data.eq(1), octet.eq(beat.data.word_select(at, 8))]
                m.d.comb += next_replace.eq((at == self._octets - 2) & ~beat.last)
                m.d.sync += at.eq(at + 1)
                # `step` counts the octets of the frame, as far as that matters.
                m.d.comb += in_address.eq(step < _ADDRESS_OCTETS)
                with m.If(step == _TAG_END - 1):
                    m.d.sync += step.eq(_TAG_END - 1)
                with m.If((step == _TAG_AT - 1) & self.tag.valid & self.tag.payload.present):
                    m.next = "Tag"
                with m.If(at == end):
                    m.d.sync += at.eq(0)
                    with m.If(beat.last):
                        m.d.comb += next_held.eq(0)
                        m.d.sync += bad.eq(beat.error)
                        m.next = "Fcs"
                        with m.If(short & ~beat.error):
                            m.next = "Pad"
                    with m.Elif(~self.i.valid):
                        m.d.sync += [bad.eq(1), draining.eq(1)]
                        m.next = "Fcs"

            with m.State("Tag"):
                m.d.comb += [in_frame.eq(1), in_data.eq(1), octet.eq(tag_octets[step[:2]])]
                with m.If(step == _TAG_END - 1):
                    m.d.sync += step.eq(_TAG_END - 1)
                    m.next = "Data"

            with m.State("Pad"):
                m.d.comb += [in_frame.eq(1), in_data.eq(1)]
                with m.If(~short):
                    m.next = "Fcs"

            with m.State("Fcs"):
                m.d.comb += [in_frame.eq(1), in_fcs.eq(1), begins_fcs.eq(fcs_at == 0)]
                m.d.sync += fcs_at.eq(fcs_at + 1)
                with m.If(fcs_at == FCS_OCTETS - 1):
                    m.next = "Idle"

        done, ended = self.done.payload, Signal()
        group, all_ones = Signal(), Signal()
        in_address_q, first_q, octet_q = Signal(), Signal(), Signal(8)
        m.d.sync += [in_address_q.eq(in_address), first_q.eq(step == 0), octet_q.eq(octet)]
        with m.If(in_address_q):
            m.d.sync += all_ones.eq((all_ones | first_q) & octet_q.all())
            with m.If(first_q):
                m.d.sync += group.eq(octet_q[0])
        m.d.sync += ended.eq(begins_fcs)
        m.d.comb += [
            self.done.valid.eq(ended & self.enable),
            done.octets.eq(octets),
            done.underrun.eq(bad),
            done.broadcast.eq(group & all_ones),
            done.multicast.eq(group & ~all_ones),
            self.tag.ready.eq(ended & self.enable),
        ]
        m.d.comb += [self.busy.eq(busy | draining | leaving | self.gmii_tx_en), in_gap.eq(self._gap(m, in_fcs))]
        m.d.sync += leaving.eq(in_frame)
        self._output(m, octet_q=octet_q, in_frame=in_frame, in_data=in_data, in_fcs=in_fcs, bad=bad)
        return EnableInserter(self.enable)(m)

    def _gap(self, m: Module, in_fcs: Value) -> Value:
        """Make the gap's timer; return whether it runs."""
        left, skipped = Signal(range(GAP_OCTETS + 1)), Signal(range(GAP_OCTETS + 1))
        far = self.advance_cycles[len(skipped) :].any()
        m.d.sync += skipped.eq(0)
        with m.If(self.advance_stb):
            m.d.sync += skipped.eq(self.advance_cycles[: len(skipped)] | far.replicate(len(skipped)))
        with m.If(in_fcs):
            m.d.sync += left.eq(GAP_OCTETS)
        with m.Elif(left > skipped):
            m.d.sync += left.eq(left - skipped - 1)
        with m.Else():
            m.d.sync += left.eq(0)
        return left != 0

    def _output(self, m: Module, *, octet_q: Value, in_frame: Value, in_data: Value, in_fcs: Value, bad: Value) -> None:
        """Make the output stage: two registers deep (``octet_q`` is one), with the FCS worked out between them."""
        in_frame_q, in_data_q, in_fcs_q, bad_q = Signal(), Signal(), Signal(), Signal()
        remainder = Signal(8 * FCS_OCTETS)
        m.d.sync += [in_frame_q.eq(in_frame), in_data_q.eq(in_data), in_fcs_q.eq(in_fcs)]
        m.d.sync += bad_q.eq(in_fcs & bad)

        with m.If(in_data_q):
            m.d.sync += remainder.eq(fcs_step(remainder, octet_q))
        with m.Elif(in_fcs_q):
            m.d.sync += remainder.eq(remainder >> 8)
        with m.Else():
            m.d.sync += remainder.eq(FCS_INIT)

        m.d.sync += [
            self.gmii_txd.eq(Mux(in_fcs_q, remainder[:8] ^ ~bad_q.replicate(8), octet_q)),
            self.gmii_tx_en.eq(in_frame_q),
            self.gmii_tx_er.eq(bad_q),
        ]
        with m.If(~in_frame_q):  # Then `octet_q` is a preamble that nobody may see.
            m.d.sync += self.gmii_txd.eq(0)
