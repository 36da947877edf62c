"""Receive side of the MAC: frames on GMII become a packet stream."""

# Ref: IEEE Std 802.3-2022, clauses 3 (frame), 4 (media access control) and 35 (GMII)

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import RX_PAD_OCTETS
from ..packet import check_width_bits, packet_layout
from ..rx.frame import RxEnd, RxFrameStatus
from .fcs import FCS_INIT, FCS_OCTETS, fcs_follows, fcs_step

__all__ = ["MacRx"]

_SFD = 0xD5  # 3.2.2; bit 0 first.
_MIN_OCTETS = 64  # 4.4.2: minFrameSize.
_TAG_AT, _TAG_END = 12, 16  # Behind the two addresses.
_TPID_FIRST, _TPID_SECOND = 0x81, 0x00
_ADDRESS_OCTETS = 6


class MacRx(wiring.Component):
    """Receive frames from GMII at up to 1 Gb/s.

    A carrier event is a run of octets with ``gmii_rx_dv`` high. In it a frame starts behind the first start frame
    delimiter, whatever comes before it and however little: a PHY may eat preamble (35.2.3.2). The frame goes out
    without its FCS; with ``vlan_strip`` also without a tag of type 0x8100. Ahead of it are RX_PAD_OCTETS octets of
    anything, so that the IPv4 header of a frame without a tag starts with octet 16 of the stream.

    What the carrier event was is said at ``end``, once for each, in the cycle of the frame's last beat if it has any
    beat. A frame longer than ``max_frame_octets`` is the exception: its stream is ended as soon as that is known, and
    ``end`` comes when the carrier has gone. Its FCS is still looked at. All but good frames have ``error`` in the last
    beat. Half an octet too much does not matter while the FCS of the whole octets is right (4.2.4.2.2).

    Timing
    ------
    Domain ``sync``. From the last octet on ``gmii_rxd`` to ``end``: 3 cycles. A beat each octets-of-a-beat cycles; at
    most one octet a cycle. ``o.valid`` through two gates from registers, everything else from registers. While
    ``gmii_rx_dv`` is low and ``busy`` too, no register changes but those that sample the inputs.

    Parameters
    ----------
    width_bits : int
        Width of the packet stream: 32, 64 or 128.
    max_frame_octets : int
        Longest frame, without FCS, a tag in.

    Members
    -------
    gmii_rxd, gmii_rx_dv, gmii_rx_er : In(8), In(1), In(1)
        GMII (35.2.2).
    enable : In(1), init=1
        There is an octet in this cycle, or the end of a frame.
    odd_nibble : In(1)
        In the first cycle with ``gmii_rx_dv`` low: half an octet was left over.
    vlan_strip : In(1)
        Take tags off.
    o : Out(stream.Signature(packet_layout(width_bits), always_ready=True))
        Frames. Cannot be stalled.
    end : Out(stream.Signature(RxEnd, always_ready=True))
        What each carrier event was.
    busy : Out(1)
        A carrier event, or something of it, is inside, or was in the cycle before.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, width_bits: int = 64, max_frame_octets: int = 9018) -> None:
        self._octets = check_width_bits(width_bits) // 8
        if not _MIN_OCTETS <= max_frame_octets <= 16_000:
            raise ValueError(f"max_frame_octets must be in {_MIN_OCTETS}..16000, not {max_frame_octets!r}")
        self._max_octets = max_frame_octets + FCS_OCTETS
        super().__init__(
            {
                "gmii_rxd": In(8),
                "gmii_rx_dv": In(1),
                "gmii_rx_er": In(1),
                "enable": In(1, init=1),
                "odd_nibble": In(1),
                "vlan_strip": In(1),
                "o": Out(stream.Signature(packet_layout(width_bits), always_ready=True)),
                "end": Out(stream.Signature(RxEnd, always_ready=True)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        octet, dv, er, odd, stb = Signal(8), Signal(), Signal(), Signal(), Signal()
        m.d.sync += stb.eq(self.enable)
        with m.If(self.enable):
            m.d.sync += [
                octet.eq(self.gmii_rxd),
                dv.eq(self.gmii_rx_dv),
                er.eq(self.gmii_rx_er),
                odd.eq(self.odd_nibble),
            ]

        in_frame, in_carrier = Signal(), Signal()  # Behind the delimiter; dv was high.
        take, finish, cut = Signal(), Signal(), Signal()
        too_long = Signal()
        octets, at_most = Signal(16), Signal()  # The latter: `octets` are as many as a frame may have.
        m.d.comb += [
            take.eq(stb & dv & in_frame),
            finish.eq(stb & ~dv & in_carrier),
            cut.eq(take & at_most),
        ]
        with m.If(stb):
            m.d.sync += in_carrier.eq(dv)
            with m.If(~dv):
                m.d.sync += in_frame.eq(0)
            with m.Elif(octet == _SFD):
                m.d.sync += in_frame.eq(1)

        remainder = Signal(8 * FCS_OCTETS, init=FCS_INIT)
        follows = Signal(FCS_OCTETS)
        long_enough = Signal()
        line = Signal(8 * FCS_OCTETS)  # The last four octets, the oldest lowest: the FCS, if the frame ends here.
        symbol_error, full = Signal(), Signal()
        with m.If(take):
            m.d.sync += [
                remainder.eq(fcs_step(remainder, octet)),
                follows.eq(fcs_follows(remainder, octet, follows)),
                long_enough.eq(long_enough | (octets == _MIN_OCTETS - 1)),
                line.eq(Cat(line[8:], octet)),
                octets.eq(octets + ~octets.all()),
                at_most.eq(octets == self._max_octets - 1),
                full.eq(full | (octets == FCS_OCTETS - 1)),
            ]
        with m.If(cut):
            m.d.sync += too_long.eq(1)
        with m.If(finish):
            m.d.sync += [one.eq(0) for one in (octets, at_most, full, too_long, symbol_error, follows, long_enough)]
            m.d.sync += remainder.eq(FCS_INIT)
        with m.Elif(stb & dv & er):
            m.d.sync += symbol_error.eq(1)

        # An octet that is none of the FCS leaves the line when another one enters it.
        leaves, left = Signal(), Signal(8)
        m.d.comb += leaves.eq(take & full & ~too_long & ~cut)
        ahead = Signal(24)  # The three octets behind `left`.
        at_tag, is_tag = Signal(), Signal()  # The octet that leaves is where a tag's type is; and it is one.
        was_left = Signal()
        m.d.sync += was_left.eq(leaves)
        with m.If(leaves):
            m.d.sync += [
                left.eq(line[:8]),
                ahead.eq(line[8:]),
                is_tag.eq((line[:8] == _TPID_FIRST) & (line[8:16] == _TPID_SECOND) & at_tag & self.vlan_strip),
            ]

        ends = finish & ~too_long
        m.d.sync += [self.end.valid.eq(finish)]
        last = Signal()
        m.d.sync += last.eq(ends | cut)
        with m.If(finish):
            status = self._status(
                m,
                in_frame=in_frame,
                symbol_error=symbol_error,
                too_long=too_long,
                short=~long_enough,
                right=follows[-1],
                odd=odd,
            )
            m.d.sync += [
                self.end.payload.status.eq(status),
                self.end.payload.octets.eq(octets),
                self.o.payload.error.eq(~(in_frame & follows[-1] & long_enough & ~too_long & ~symbol_error)),
            ]
        with m.If(cut):
            m.d.sync += self.o.payload.error.eq(1)
        at = self._pack(m, octet=left, ahead=ahead, is_tag=is_tag, valid=was_left, last=last)
        m.d.comb += at_tag.eq(at == Mux(was_left, _TAG_AT - 1, _TAG_AT))
        ended = Signal()
        m.d.sync += ended.eq(self.end.valid)
        m.d.comb += self.busy.eq(dv | in_carrier | self.end.valid | last | ended)
        return m

    def _status(
        self,
        m: Module,
        *,
        in_frame: Value,
        symbol_error: Value,
        too_long: Value,
        short: Value,
        right: Value,
        odd: Value,
    ) -> Value:
        """Return what the carrier event is, in the cycle in which it has ended."""
        status = Signal(RxFrameStatus)
        with m.If(~in_frame):
            m.d.comb += status.eq(RxFrameStatus.NO_SFD)
        with m.Elif(symbol_error):
            m.d.comb += status.eq(RxFrameStatus.SYMBOL_ERROR)
        with m.Elif(too_long):
            m.d.comb += status.eq(Mux(right, RxFrameStatus.OVERSIZE, RxFrameStatus.JABBER))
        with m.Elif(short):
            m.d.comb += status.eq(Mux(right, RxFrameStatus.UNDERSIZE, RxFrameStatus.FRAGMENT))
        with m.Elif(right):
            m.d.comb += status.eq(RxFrameStatus.OK)
        with m.Elif(odd):
            m.d.comb += status.eq(RxFrameStatus.ALIGNMENT_ERROR)
        with m.Else():
            m.d.comb += status.eq(RxFrameStatus.FCS_ERROR)
        return status

    def _pack(self, m: Module, *, octet: Value, ahead: Value, is_tag: Value, valid: Value, last: Value) -> Signal:
        """Put octets into beats; a beat goes when the next one starts, or at the end. Return the octet's number."""
        end, beat = self.end.payload, self.o.payload
        at = Signal(range(_TAG_END + 1))  # Octet of the frame, as far as that matters.
        lane = Signal(range(self._octets), init=RX_PAD_OCTETS)
        full, empty = Signal(), Signal(init=1)  # All lanes have their octets; none has.
        all_ones, group = Signal(), Signal()
        kept = Signal()
        in_tag = Signal()
        m.d.comb += [
            kept.eq(valid & ~is_tag & ~in_tag),
            self.o.valid.eq((kept & full) | (last & ~empty)),
            beat.last.eq(last),
            end.broadcast.eq(all_ones),
            end.multicast.eq(group & ~all_ones),
        ]
        with m.If(valid):
            m.d.sync += at.eq(at + (at != _TAG_END))
            with m.If(at == 0):
                m.d.sync += [group.eq(octet[0]), all_ones.eq(octet.all()), end.tagged.eq(0)]
            with m.Elif(at < _ADDRESS_OCTETS):
                m.d.sync += all_ones.eq(all_ones & octet.all())
            with m.If(is_tag):
                m.d.sync += [in_tag.eq(1), end.tagged.eq(1), end.tci.eq(Cat(ahead[16:], ahead[8:16]))]
            with m.If(at == _TAG_END - 1):
                m.d.sync += in_tag.eq(0)
        with m.If(kept):
            m.d.sync += [
                beat.data.word_select(lane, 8).eq(octet),
                beat.keep.eq(Mux(full | empty, 0, beat.keep) | (1 << lane) | Mux(empty, (1 << RX_PAD_OCTETS) - 1, 0)),
                lane.eq(lane + 1),
                full.eq(lane == self._octets - 1),
                empty.eq(0),
            ]
        with m.If(last):
            m.d.sync += [at.eq(0), lane.eq(RX_PAD_OCTETS), full.eq(0), empty.eq(1), in_tag.eq(0)]
        return at
