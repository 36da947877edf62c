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
_TCP, _UDP = 6, 17
_TCP_OCTETS, _UDP_OCTETS = 20, 8


class RxChecksum(wiring.Component):
    """Add up what follows the Ethernet header and verify the checksums of IPv4, and of TCP and UDP in it.

    ``csum`` is the sum of all 16-bit words after the Ethernet header (RFC 1071), padding too, an odd octet as the
    high one of a word. The IPv4 header is verified if version and IHL are possible and the frame holds it. TCP and UDP
    are verified over ``total_length`` with their pseudo header if the IPv4 header is right, the datagram is no
    fragment and is held whole, and TCP's or UDP's header fits in. UDP must have the length that IPv4 tells, and a
    checksum (RFC 768). In any other case the checksum is neither good nor bad.

    Timing
    ------
    Domain ``sync``. One beat a cycle. ``done``, and with it ``csum`` and ``flags``, 6 cycles after each last beat.
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

    LATENCY = 2 + OnesComplementSum.LATENCY

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
        octet_bits = ceil_log2(octets)
        l3_beat = _L3_PLACE // octets

        # Stage 1: the beat and its number. It stops where nothing has a fixed place any more.
        valid_1, valid_2 = Signal(), Signal()
        beat_1, beat_2 = Signal.like(self.i.payload), Signal.like(self.i.payload)
        last_beat = l3_beat + 5
        number_1, number_2 = Signal(range(last_beat + 1)), Signal(range(last_beat + 1))
        m.d.sync += valid_1.eq(self.i.valid)
        with m.If(self.i.valid):
            m.d.sync += beat_1.eq(self.i.payload)
        with m.If(valid_1):
            with m.If(beat_1.last):
                m.d.sync += number_1.eq(0)
            with m.Elif(number_1 != last_beat):
                m.d.sync += number_1.eq(number_1 + 1)

        # Stage 2: IHL and total length are known, and count down.
        m.d.sync += valid_2.eq(valid_1)
        with m.If(valid_1):
            m.d.sync += [beat_2.eq(beat_1), number_2.eq(number_1)]
        word = [Cat(beat_1.data.word_select(n + 1, 8), beat_1.data.word_select(n, 8)) for n in range(0, octets, 2)]
        version, ihl, total = Signal(4), Signal(4), Signal(16)
        ipv4_type = Signal()
        total_left, header_left = Signal(16), Signal(4)
        udp_left, udp_past = Signal(5), Signal()
        more_total = total_left[octet_bits:].any()
        l3_starts = valid_1 & (number_1 == l3_beat)
        with m.If(valid_1 & (number_1 == l3_beat - 1)):
            m.d.sync += ipv4_type.eq(word[-1] == _IPV4)
        with m.If(l3_starts):
            m.d.sync += [
                Cat(ihl, version).eq(word[0][8:]),
                total.eq(word[1]),
                total_left.eq(word[1]),
                header_left.eq(word[0][8:12]),
                udp_left.eq(word[0][8:12] + 1),
                udp_past.eq(0),
            ]
        with m.Elif(valid_2):
            m.d.sync += [
                total_left.eq(Mux(more_total, total_left - octets, 0)),
                header_left.eq(Mux(header_left < units, 0, header_left - units)),
                udp_left.eq(udp_left - units),
                udp_past.eq(udp_past | (udp_left < units)),
            ]

        in_l3 = number_2 >= l3_beat
        in_total = Cat(more_total | (total_left[:octet_bits] > n) for n in range(octets))
        in_header = Cat(header_left > n for n in range(units))

        def fixed(number: int, unit: int):
            """Tell whether unit ``number`` of the IPv4 header is ``unit`` of this beat."""
            return number_2 == l3_beat + number // units if unit == number % units else Const(0, 1)

        fragment, protocol = Signal(), Signal(8)
        udp_length, udp_zero = Signal(16), Signal()
        l4_data, l4_keep, l3_keep = Signal(self._width_bits), Signal(octets), Signal(octets)
        m.d.comb += l4_data.eq(beat_2.data)
        for n in range(units):
            unit = beat_2.data.word_select(n, 32)
            first, second = Cat(unit[8:16], unit[:8]), Cat(unit[24:], unit[16:24])
            header = in_header[n]
            place = slice(4 * n, 4 * n + 4)
            addresses = fixed(3, n) | fixed(4, n)
            pseudo = Cat(fixed(0, n), fixed(0, n) | fixed(2, n), fixed(0, n), fixed(0, n)) | addresses.replicate(4)
            m.d.comb += [
                l3_keep[place].eq(beat_2.keep[place] & (header & in_l3).replicate(4)),
                l4_keep[place].eq(beat_2.keep[place] & Mux(header, pseudo, in_total[place]) & in_l3.replicate(4)),
            ]
            with m.If(valid_2 & fixed(1, n)):
                m.d.sync += fragment.eq(second[:14].any())
            with m.If(valid_2 & fixed(2, n)):
                m.d.sync += protocol.eq(unit[8:16])
            with m.If(valid_2 & in_l3 & ~udp_past & (udp_left == n)):
                m.d.sync += [udp_length.eq(first), udp_zero.eq(second == 0)]
        # The length of TCP or UDP is total_length less four times IHL: that, complemented, in place of the first word.
        with m.If(number_2 == l3_beat):
            m.d.comb += l4_data[:16].eq(Cat(Const(0xFF, 8), Const(3, 2), ~ihl, Const(3, 2)))

        sums = {}
        for name, data, keep in (
            ("csum", beat_2.data, beat_2.keep & in_l3.replicate(octets)),
            ("l3", beat_2.data, l3_keep),
            ("l4", l4_data, l4_keep),
        ):
            m.submodules[name] = sums[name] = one = OnesComplementSum(
                width_bits=self._width_bits, max_octets=self._max_frame_octets, length=False
            )
            m.d.comb += [one.data.eq(data), one.keep.eq(keep), one.valid.eq(valid_2), one.last.eq(beat_2.last)]

        # Stage 3: is all there?
        last_3 = Signal()
        header_whole, whole = Signal(), Signal()
        m.d.sync += last_3.eq(valid_2 & beat_2.last)
        with m.If(valid_2 & beat_2.last):
            m.d.sync += [
                header_whole.eq(in_l3 & (header_left <= units) & ~(in_header & ~beat_2.keep[3::4]).any()),
                whole.eq(((total_left == octets) | ~more_total) & ~(in_total & ~beat_2.keep).any()),
            ]
        l4_length = Signal(17)
        m.d.sync += l4_length.eq(total - Cat(Const(0, 2), ihl))

        # Stage 4.
        last_4 = Signal()
        check_l3, check_l4, check_l4_5 = Signal(), Signal(), Signal()
        check_l3_5 = Signal()
        m.d.sync += last_4.eq(last_3)
        length_ok = Signal()
        with m.If(last_3):
            m.d.sync += check_l3.eq(ipv4_type & (version == 4) & (ihl >= 5) & header_whole)
            m.d.sync += check_l4.eq(
                whole
                & ~fragment
                & ~l4_length[16]
                & (
                    ((protocol == _TCP) & (l4_length[:16] >= _TCP_OCTETS))
                    | ((protocol == _UDP) & ~udp_zero & (l4_length[:16] >= _UDP_OCTETS))
                )
            )
            m.d.sync += length_ok.eq((protocol != _UDP) | (udp_length == l4_length[:16]))
        with m.If(last_4):
            m.d.sync += [check_l3_5.eq(check_l3), check_l4_5.eq(check_l3 & check_l4 & length_ok)]

        l3_right, l4_right = sums["l3"].all_ones, sums["l4"].all_ones
        flags = {
            RxFlags.CSUM_IPV4_GOOD: check_l3_5 & l3_right,
            RxFlags.CSUM_IPV4_BAD: check_l3_5 & ~l3_right,
            RxFlags.CSUM_L4_GOOD: check_l4_5 & l3_right & l4_right,
            RxFlags.CSUM_L4_BAD: check_l4_5 & l3_right & ~l4_right,
        }
        m.d.comb += [self.csum.eq(sums["csum"].sum), self.done.eq(sums["csum"].done)]
        m.d.comb += [self.flags[flag.bit_length() - 1].eq(value) for flag, value in flags.items()]
        return m
