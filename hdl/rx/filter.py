"""Which frames are for this station."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import RX_PAD_OCTETS
from ..block_ram import BlockRam
from ..packet import check_width_bits, packet_layout
from .frame import RxEnd

__all__ = ["SETTINGS", "RxFilter"]

_VLANS = 4096
_ADDRESS_OCTETS = 6
_HASH_BITS = 6
_TYPE_PLACE = RX_PAD_OCTETS + 2 * _ADDRESS_OCTETS
_TPID = 0x8100


def _hash_of(octets: bytes) -> int:
    """Return the six highest bits of ``ether_crc()``: the lowest of the reflected remainder, turned round."""
    remainder = ~CRC32_ETHERNET(data_width=8).compute(octets)
    return sum((remainder >> bit & 1) << (_HASH_BITS - 1 - bit) for bit in range(_HASH_BITS))


SETTINGS = {
    "address": In(48),
    "promiscuous": In(1),
    "all_multicast": In(1),
    "broadcast": In(1),
    "vlan_filter": In(1),
    "hash": In(64),
    "vlan_write": In(1),
    "vlan_vid": In(12),
    "vlan_member": In(1),
    "clear": In(1),
}


class RxFilter(wiring.Component):
    """Tell for each frame whether it is to be received.

    A frame passes if its destination is the own address, all stations, a group whose bit in ``hash`` is set, or any
    group with ``all_multicast``; and if, with ``vlan_filter``, its tag names a VLAN in the table. Without a tag, or
    with VLAN 0 (IEEE Std 802.1Q-2022 table 9-2: priority only), there is nothing to look up. Only a tag that was
    taken off or, in the stream, of EtherType 0x8100 counts. With ``promiscuous`` all pass.

    Timing
    ------
    Domain ``sync``. ``accept`` is valid 3 cycles after a last beat, for one cycle. One beat a cycle. The hash counts
    in frames whose last beat comes at least two cycles after the destination's last octet: all that a MAC finds good.

    Parameters
    ----------
    width_bits : int
        Width of a beat.

    Members
    -------
    i : In(stream.Signature(packet_layout(width_bits), always_ready=True))
        Frames, after ``RX_PAD_OCTETS`` octets that mean nothing.
    end : In(stream.Signature(RxEnd, always_ready=True))
        Valid with the last beat of each good frame.
    address : In(48)
        Own address, first octet highest.
    promiscuous, all_multicast, broadcast, vlan_filter : In(1)
        As in the register RX_CTRL.
    hash : In(64)
        Groups to receive.
    vlan_write, vlan_vid, vlan_member : In
        Change the table; nothing happens while ``busy``.
    clear : In(1)
        Empty the table.
    accept : Out(1)
        The verdict.
    busy : Out(1)
        The table is being emptied.
    """

    def __init__(self, *, width_bits: int) -> None:
        self._octets = check_width_bits(width_bits) // 8
        super().__init__(
            {
                "i": In(stream.Signature(packet_layout(width_bits), always_ready=True)),
                "end": In(stream.Signature(RxEnd, always_ready=True)),
                **SETTINGS,
                "accept": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place_end = _TYPE_PLACE + 4
        beat = Signal(range(place_end // self._octets + 2))
        with m.If(self.i.valid):
            with m.If(self.i.payload.last):
                m.d.sync += beat.eq(0)
            with m.Elif(beat * self._octets < place_end):
                m.d.sync += beat.eq(beat + 1)

        def taken(place: int, count: int, name: str):
            """Return the octets from ``place`` of the stream as a number, the first one highest."""
            octets = [Signal(8, name=f"{name}{n}") for n in range(count)]
            for n, octet in enumerate(octets, place):
                with m.If(self.i.valid & (beat == n // self._octets)):
                    m.d.sync += octet.eq(self.i.payload.data.word_select(n % self._octets, 8))
            return Cat(reversed(octets))

        destination = taken(RX_PAD_OCTETS, _ADDRESS_OCTETS, "destination")
        ether_type = taken(_TYPE_PLACE, 2, "ether_type")
        tci = taken(_TYPE_PLACE + 2, 2, "tci")

        # Two cycles after the last beat at the latest.
        own = Signal(3)
        ones = Signal(3)
        group = Signal()
        hash_index = Signal(_HASH_BITS)
        m.d.sync += group.eq(destination[40])
        for n in range(3):
            word = destination.word_select(n, 16)
            m.d.sync += [own[n].eq(word == self.address.word_select(n, 16)), ones[n].eq(word.all())]
        none = _hash_of(bytes(_ADDRESS_OCTETS))
        columns = [_hash_of((1 << n).to_bytes(_ADDRESS_OCTETS, "big")) ^ none for n in range(8 * _ADDRESS_OCTETS)]
        for bit in range(_HASH_BITS):
            chosen = [destination[n] for n, column in enumerate(columns) if column >> bit & 1]
            m.d.sync += hash_index[bit].eq(reduce(xor, chosen, Const(none >> bit & 1, 1)))

        # Three cycles after it. The 64 bits of the hash are chosen from in two cycles of their own.
        address_ok = Signal()
        hash_hit = Signal()
        octet_bits = Signal(8)
        hash_octet = Signal(_HASH_BITS - 3)
        octets_of_hash = [self.hash.word_select(n, 8) for n in range(1 << _HASH_BITS - 3)]
        m.d.sync += [
            octet_bits.eq(Cat(octet.bit_select(hash_index[:3], 1) for octet in octets_of_hash)),
            hash_octet.eq(hash_index[3:]),
            hash_hit.eq(octet_bits.bit_select(hash_octet, 1)),
        ]
        to_group = self.all_multicast | hash_hit
        m.d.sync += address_ok.eq(own.all() | Mux(ones.all(), self.broadcast, group & to_group))

        # The table is looked up in the cycle after the last beat.
        ended = Signal()
        ended_before = Signal()
        off = Signal()
        off_vid = Signal(12)
        m.d.sync += [ended.eq(self.i.valid & self.i.payload.last), ended_before.eq(ended)]
        with m.If(self.i.valid & self.i.payload.last):
            m.d.sync += [off.eq(self.end.payload.tagged), off_vid.eq(self.end.payload.tci[:12])]
        vid = Signal(12)
        m.d.comb += vid.eq(Mux(off, off_vid, tci[:12]))
        looked_up = Signal()
        in_vlan = Signal()
        with m.If(ended):
            m.d.sync += in_vlan.eq((off | (ether_type == _TPID)) & vid.any())
        with m.If(ended_before):
            m.d.sync += looked_up.eq(in_vlan & self.vlan_filter)

        m.submodules.table = table = BlockRam(shape=1, depth=_VLANS)
        clearing = Signal()
        row = Signal(range(_VLANS))
        with m.If(clearing):
            m.d.sync += [row.eq(row + 1), clearing.eq(~row.all())]
        with m.If(self.clear):
            m.d.sync += [row.eq(0), clearing.eq(1)]
        m.d.comb += [
            table.write_en.eq(clearing | self.vlan_write),
            table.write_addr.eq(Mux(clearing, row, self.vlan_vid)),
            table.write_data.eq(self.vlan_member & ~clearing),
            table.read_en.eq(ended | ended_before),
            table.read_addr.eq(vid),
            self.busy.eq(clearing),
            self.accept.eq(self.promiscuous | (address_ok & (~looked_up | table.read_data))),
        ]
        return m
