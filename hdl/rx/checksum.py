"""The checksums of a received frame."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...stack.abi.desc import RX_PAD_OCTETS, RxFlags
from ..packet import check_width_bits, packet_layout
from ..tx.checksum_sum import OnesComplementSum
from .frame import RX_FLAGS_BITS

__all__ = ["RxChecksum"]

_L3_PLACE = RX_PAD_OCTETS + 14
_IPV4 = 0x0800
_IHL_MIN, _IHL_MAX = 5, 15
_TCP, _UDP = 6, 17
_TCP_OCTETS, _UDP_OCTETS = 20, 8


class RxChecksum(wiring.Component):
    """Add up what follows the Ethernet header and verify the checksums of IPv4, and of TCP and UDP in it.

    ``csum`` is the sum of all 16-bit words after the Ethernet header (RFC 1071), padding too, an odd octet as the
    high one of a word. The IPv4 header is verified if version and IHL are possible and the frame holds it. TCP and UDP
    are verified over ``total_length`` with their pseudo header if the IPv4 header is right, the datagram is no
    fragment and is held whole, and TCP's or UDP's header fits in. UDP must have the length that IPv4 tells, and a
    checksum (RFC 768). In any other case the checksum is neither good nor bad; and if what follows the datagram is
    not all 0, as a sender's padding is, because only ``csum`` tells of it.

    One sum does for all three. A right header adds nothing in ones' complement, so the sum of TCP or UDP is that of all
    the packet.

    Timing
    ------
    Domain ``sync``. One beat a cycle. ``done``, and with it ``csum`` and ``flags``, 5 cycles after each last beat.
    ``flags`` through some gates.
    At least 2 cycles between two frames.

    Parameters
    ----------
    width_bits : int
        Width of a beat.
    max_frame_octets : int
        Longest good frame.

    Members
    -------
    i : In(stream.Signature(packet_layout(width_bits), always_ready=True))
        Frames, after ``RX_PAD_OCTETS`` octets that mean nothing.
    csum : Out(16)
        The sum.
    flags : Out(RX_FLAGS_BITS)
        Bits of RxFlags, without VLAN.
    done : Out(1)
        High for one cycle for each frame, bad ones too.
    """

    LATENCY = OnesComplementSum.LATENCY + 1

    def __init__(self, *, width_bits: int, max_frame_octets: int) -> None:
        self._width_bits = check_width_bits(width_bits)
        self._max_frame_octets = max_frame_octets
        super().__init__(
            {
                "i": In(stream.Signature(packet_layout(width_bits), always_ready=True)),
                "csum": Out(16),
                "flags": Out(RX_FLAGS_BITS),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        octets = self._width_bits // 8
        units = octets // 4  # Of 32 bits, as IHL counts.
        unit_bits = ceil_log2(units)
        l3_beat = _L3_PLACE // octets

        # Cycle 0: what follows the Ethernet header is added.
        headers = Signal(range(l3_beat + 1))
        in_l3, ipv4_type = Signal(), Signal()
        m.d.comb += in_l3.eq(headers == l3_beat)
        with m.If(self.i.valid):
            with m.If(self.i.payload.last):
                m.d.sync += headers.eq(0)
            with m.Elif(~in_l3):
                m.d.sync += headers.eq(headers + 1)
            with m.If(headers == l3_beat - 1):
                m.d.sync += ipv4_type.eq(_big(self.i.payload.data[-16:]) == _IPV4)
        m.submodules.adder = adder = OnesComplementSum(
            width_bits=self._width_bits, max_octets=self._max_frame_octets, length=False, head=True
        )
        m.d.comb += [
            adder.data.eq(self.i.payload.data),
            adder.keep.eq(self.i.payload.keep & in_l3.replicate(octets)),
            adder.valid.eq(self.i.valid),
            adder.last.eq(self.i.payload.last),
        ]

        # Cycle 1: fields. `number` counts beats as far as anything has a fixed place.
        most = (_IHL_MAX + 1) // units + 1
        number, number_2 = Signal(range(most + 1)), Signal(range(most + 1))
        l3_1, l3_2 = Signal(), Signal()
        last_1, last_2, last_3 = Signal(), Signal(), Signal()
        keep_1, keep_2 = Signal(octets), Signal(octets)
        m.d.sync += [
            l3_1.eq(self.i.valid & in_l3),
            last_1.eq(self.i.valid & self.i.payload.last),
            keep_1.eq(self.i.payload.keep),
            l3_2.eq(l3_1),
            last_2.eq(last_1),
            last_3.eq(last_2),
            keep_2.eq(keep_1),
            number_2.eq(number),
        ]
        with m.If(last_1):
            m.d.sync += number.eq(0)
        with m.Elif(l3_1 & (number != most)):
            m.d.sync += number.eq(number + 1)
        unit = [adder.added.word_select(n, 32) for n in range(units)]

        plausible, fragment, tcp, udp = Signal(), Signal(), Signal(), Signal()
        ihl, ihl_end, udp_unit = Signal(4), Signal(4), Signal(5)
        total, total_past = Signal(16), Signal(octets)
        with m.If(l3_1 & (number == 0)):
            new_ihl, new_total = unit[0][:4], _big(unit[0][16:])
            m.d.sync += [
                plausible.eq((unit[0][4:8] == 4) & (new_ihl >= _IHL_MIN)),
                ihl.eq(new_ihl),
                ihl_end.eq(new_ihl - 1),
                udp_unit.eq(new_ihl + 1),
                total.eq(new_total),
                total_past.eq(Cat(new_total[: ceil_log2(octets)] <= n for n in range(octets))),
            ]
        pseudo = Signal(19)
        with m.If(l3_1 & (number == 1 // units)):
            m.d.sync += fragment.eq(_big(unit[1 % units][16:])[:14].any())
        with m.If(l3_1 & (number == 2 // units)):
            protocol = unit[2 % units][8:16]
            m.d.sync += [tcp.eq(protocol == _TCP), udp.eq(protocol == _UDP)]
        udp_length, udp_sum = Signal(16), Signal(16)
        for n in range(units):
            with m.If(l3_1 & (number == udp_unit[unit_bits:]) & (udp_unit[:unit_bits] == n)):
                m.d.sync += [udp_length.eq(_big(unit[n][:16])), udp_sum.eq(unit[n][16:])]

        # The head that the adder looks at is the IPv4 header. (No header ends in the first beat.)
        header_whole = Signal()
        ihl_last = ihl_end[:unit_bits]
        with m.If(l3_1 & (number != 0) & (number == ihl_end[unit_bits:])):
            m.d.sync += adder.head.eq(ihl_last + 1)
        with m.Else():
            m.d.sync += adder.head.eq(0)
        with m.If(adder.head.any()):
            m.d.sync += header_whole.eq(keep_2[3::4].bit_select(ihl_last, 1))

        # Cycle 2: where does the datagram end, and is anything behind it?
        past_end, at_end, ends_next = Signal(), Signal(), Signal()
        total_beats = total[ceil_log2(octets) :]
        next_number = Signal(range(-(-self._max_frame_octets // octets) + 1), init=1)
        some = Signal(octets)  # Octets that are not 0.
        dirty, whole = Signal(), Signal()
        m.d.sync += some.eq(Cat(adder.added.word_select(n, 8).any() for n in range(octets)))
        m.d.comb += ends_next.eq(next_number == total_beats)
        with m.If(l3_2):
            m.d.sync += [
                next_number.eq(next_number + 1),
                at_end.eq(ends_next),
                past_end.eq(past_end | at_end),
                dirty.eq(dirty | (some & (past_end.replicate(octets) | (at_end.replicate(octets) & total_past))).any()),
                whole.eq(
                    past_end | (at_end & (total_past | keep_2).all()) | (ends_next & total_past.all() & keep_2.all())
                ),
            ]
        with m.If(adder.done):
            m.d.sync += [header_whole.eq(0), whole.eq(0), past_end.eq(0), at_end.eq(0), dirty.eq(0)]
            m.d.sync += next_number.eq(1)

        # The pseudo header: protocol, then the two addresses as they come, then the length.
        l4_length = Signal(17)
        add_length = Signal()
        source, target = number_2 == 3 // units, number_2 == 4 // units
        m.d.sync += [l4_length.eq(total - Cat(Const(0, 2), ihl)), add_length.eq(l3_2 & target)]
        with m.If(l3_1 & (number == 2 // units)):
            m.d.sync += pseudo.eq(unit[2 % units][8:16])
        with m.If(add_length):
            m.d.sync += pseudo.eq(pseudo + l4_length[:16])
        with m.Elif(l3_2 & source):
            m.d.sync += pseudo.eq(pseudo + adder.units[3 % units])
        with m.Elif(l3_2 & target):
            m.d.sync += pseudo.eq(pseudo + adder.units[4 % units])

        # Cycle 3: may it be judged?
        length_right, fits_tcp, fits_udp = Signal(), Signal(), Signal()
        judge_l3, judge_l4 = Signal(), Signal()
        m.d.sync += [
            length_right.eq((udp_length == l4_length[:16]) & udp_sum.any()),
            fits_tcp.eq(l4_length[:16] >= _TCP_OCTETS),
            fits_udp.eq(l4_length[:16] >= _UDP_OCTETS),
            judge_l3.eq(ipv4_type & plausible & header_whole),
            judge_l4.eq(
                whole & ~dirty & ~fragment & ~l4_length[16] & ((tcp & fits_tcp) | (udp & fits_udp & length_right))
            ),
        ]

        # Cycle 5: what the packet and the pseudo header lack of all ones is a few carries.
        sums, lack = Signal(17), [Signal(3, name=f"lack_{carry}") for carry in range(2)]
        l3_right, l4_right = Signal(), Signal()
        told_l3, told_l4 = Signal(), Signal()
        m.d.sync += [
            self.csum.eq(adder.sum),
            self.done.eq(adder.done),
            sums.eq(adder.folded[:16] + pseudo[:16]),
            *(lack[carry].eq(~(pseudo[16:] + adder.folded[16] + carry)[:3]) for carry in range(2)),
            l3_right.eq(adder.head_right),
            told_l3.eq(judge_l3),
            told_l4.eq(judge_l3 & adder.head_right & judge_l4),
        ]
        m.d.comb += l4_right.eq(sums[3:16].all() & (sums[:3] == Mux(sums[16], lack[1], lack[0])))
        flags = {
            RxFlags.CSUM_IPV4_GOOD: told_l3 & l3_right,
            RxFlags.CSUM_IPV4_BAD: told_l3 & ~l3_right,
            RxFlags.CSUM_L4_GOOD: told_l4 & l4_right,
            RxFlags.CSUM_L4_BAD: told_l4 & ~l4_right,
        }
        m.d.comb += [self.flags[flag.bit_length() - 1].eq(value) for flag, value in flags.items()]
        return m


def _big(word):
    """Return a word whose first octet is the high one."""
    return Cat(word[8:], word[:8])
