"""The register bank: the registers of ``stack.abi`` behind an AXI4-Lite subordinate."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..stack.abi.model import Access, Block, Field, Register
from ..stack.abi.regs import BLOCKS, STATS
from .axi import AxiLiteSignature, Resp
from .block_ram import BlockRam
from .csr_signature import (
    block_signature,
    is_constant,
    is_writable,
    log2_octets,
    member_name,
    pair_of,
    window_signature,
)

__all__ = ["CsrBank", "block_signature", "window_signature"]

_KEPT_BITS = 16  # Width of a field from which on reading it back from a RAM costs less than from its register.


def _kept_field(register: Register) -> Field | None:
    """Return the register's only field that can be read, if it gives what was written to it, and is wide."""
    readable = [f for f in register.fields if f.access is not Access.PULSE]
    wide = len(readable) == 1 and readable[0].access is Access.RW and readable[0].width >= _KEPT_BITS
    return readable[0] if wide else None


def _telling_bits(addresses: set[int]) -> list[int]:
    """Return numbers of address bits that are enough to tell some addresses from each other."""
    bits = list(range(max(addresses).bit_length()))
    for bit in reversed(bits):
        fewer = [b for b in bits if b != bit]
        if len({tuple(address >> b & 1 for b in fewer) for address in addresses}) == len(addresses):
            bits = fewer
    return bits


class _Copy:
    """One copy of a block: its address, its members, and what of a transfer concerns it.

    ``writing``: the write under way is in it. ``holds``: the read under way is; ``reading``: in the cycle after its
    start, the only one in which ``row`` is filled. ``row``: what is read of it, or 0; joined with the others one cycle
    later.
    """

    def __init__(self, block: Block, base: int, ports: wiring.PureInterface) -> None:
        self.block = block
        self.base = base
        self.ports = ports
        self.log2_octets = log2_octets(block)
        self.writing = Signal(name=f"{block.name}_writing")
        self.holds = Signal(name=f"{block.name}_holds")
        self.reading = Signal(name=f"{block.name}_reading")
        self.row = Signal(32, name=f"{block.name}_row")

    def covers(self, address: Value) -> Value:
        """Tell if an address lies in the copy, its size rounded up to a power of two."""
        return address[self.log2_octets :] == self.base >> self.log2_octets

    def word(self, address: Value) -> Value:
        """Return the number of the word in the copy."""
        return address[2 : self.log2_octets]

    def has(self, address: Value) -> Value:
        """Tell if an address in the copy is a register's."""
        return self.word(address).matches(*(r.offset >> 2 for r in self.block.registers))


@dataclass(frozen=True)
class _Hit:
    """A write of one register, or a read: while ``stb`` is high, if ``select`` is.

    It is to be used as ``with m.If(hit.stb), m.If(hit.select)``: simulators skip the inner one then.
    """

    select: Value
    stb: Value


@dataclass(frozen=True)
class _Kept:
    """A register that is read from the RAM, and what is high when the write under way is for it."""

    copy: _Copy
    register: Register
    field: Field
    select: Value
    written: Signal  # Since reset, or since hardware took it back.


def _half(
    m: Module, register: Register, pair: tuple[Register, Register], whole: Value, hit: _Hit, data: Value, latch: _Hit
) -> Value:
    """Make one half of a pair; return its value as software reads it."""
    low_width = pair[0]["value"].width
    is_high = register is pair[1]
    half = whole[low_width:] if is_high else whole[:low_width]
    if register["value"].access is Access.RW:
        with m.If(hit.stb), m.If(hit.select):
            m.d.sync += half.eq(data)
    elif is_high and len(whole) == 64:
        latched = Signal(32, name=f"{register.name}_latched")
        with m.If(latch.stb), m.If(latch.select):
            m.d.sync += latched.eq(half)
        return latched
    return half


def _register(m: Module, register: Register, ports: wiring.PureInterface, hit: _Hit, data: Value) -> Value:
    """Make a register; return its value as software reads it."""
    if is_writable(register):
        m.d.sync += ports.stb.eq(0)
        with m.If(hit.stb), m.If(hit.select):
            m.d.sync += ports.stb.eq(1)
    value = Signal(32, name=register.name)
    for field in register.fields:
        place = slice(field.lsb, field.lsb + field.width)
        m.d.comb += value[place].eq(_field(m, ports, field, hit, data[place]))
    return value


def _field(m: Module, ports: wiring.PureInterface, field: Field, hit: _Hit, new: Value) -> Value:
    """Make one field; return its value as software reads it."""
    port = getattr(ports, field.name)
    match field.access:
        case Access.PULSE:
            m.d.sync += port.eq(0)
            with m.If(hit.stb), m.If(hit.select):
                m.d.sync += port.eq(new)
            return Const(0, field.width)
        case Access.W1C:
            cleared = getattr(ports, f"{field.name}_clear") | Mux(hit.stb & hit.select, new, 0)
            m.d.sync += port.eq(port & ~cleared | getattr(ports, f"{field.name}_set"))
        case Access.RW:
            with m.If(hit.stb), m.If(hit.select):
                m.d.sync += port.eq(new)
            if field.width == 1:
                with m.If(getattr(ports, f"{field.name}_set")):
                    m.d.sync += port.eq(1)
            with m.If(getattr(ports, f"{field.name}_clear")):
                m.d.sync += port.eq(field.reset)
    return port


class CsrBank(wiring.Component):
    """Registers of the device behind AXI4-Lite.

    The map is ``stack.abi``; nothing of it is repeated here. A block that may repeat has ``queues``
    copies. See `block_signature` for what a register looks like from the hardware's side.

    A read or write of an address without a register gets SLVERR; the read gives 0. A write to a read-only
    register gets OKAY and does nothing. The lowest two address bits are ignored. Registers are written whole:
    a write with some strobes of WSTRB low gets SLVERR and does nothing; with all low it gets OKAY and does
    nothing (AMBA AXI IHI 0022 lets a bridge send such a write for the half of a wider one it does not need).

    A read-only pair of 64 bits is a counter: reading its low half latches the high half, each pair on its own.
    Other pairs are not latched.

    A wide field that only software writes, or that hardware at most takes back to its reset value, is read back from a
    RAM that has what was written, and its register serves the hardware alone.

    The registers of a window are elsewhere: the bank forwards the reads of them, and a write does nothing. See
    `window_signature`.

    Timing
    ------
    Domain ``sync``. All outputs to the bus and to the hardware come from registers (the ready outputs through an
    inverter); no combinational path through the component. A write takes effect two cycles after the later of its
    address and data was accepted, with the response in the same cycle; one write every two cycles. Read data comes
    four cycles after the address, five if a write was carried out just then, that of a window two cycles after its
    ``valid``; one read at a time. A read that is issued when it sees a write's response samples its inputs in the cycle
    after the write's ``stb`` or later.

    Parameters
    ----------
    queues : int
        Copies of each block that may repeat.
    blocks : tuple[Block, ...]
        The map.
    windows : tuple[Block, ...]
        Those of the blocks that are windows.
    addr_width : int
        Bits of an address.

    Members
    -------
    bus : In(AxiLiteSignature(addr_width=addr_width, data_width=32))
        Where software reads and writes.
    busy : Out(1)
        A transaction was accepted, at least in part, and its response not yet taken.
    device, arp, mac : Out(block_signature(...))
        One member for each block; the block ``global`` is ``device`` here, as ``global`` is a keyword.
    stats : Out(window_signature(STATS))
        One for each window.
    txq, rxq : Out(block_signature(...)).array(queues)
        A block that may repeat.

    Raises
    ------
    ValueError
        If a block has not as many copies as ``queues``, is not aligned to its size, or lies beyond ``addr_width``; or
        if a window has several copies, or a register that can be written.
    """

    def __init__(
        self,
        *,
        queues: int = 1,
        blocks: tuple[Block, ...] = BLOCKS,
        windows: tuple[Block, ...] = (STATS,),
        addr_width: int = 16,
    ) -> None:
        members: dict[str, wiring.Member] = {
            "bus": In(AxiLiteSignature(addr_width=addr_width, data_width=32)),
            "busy": Out(1),
        }
        for block in blocks:
            member = Out(window_signature(block) if block in windows else block_signature(block))
            copies = 1
            if block in windows and (block.count > 1 or any(is_writable(r) for r in block.registers)):
                raise ValueError(f"{block.name} cannot be a window: it repeats or can be written")
            if block.count > 1:
                if not 1 <= queues <= block.count:
                    raise ValueError(f"queues must be in 1..{block.count}, not {queues!r}")
                member, copies = member.array(queues), queues
            members[member_name(block.name)] = member
            end = block.base + (copies - 1) * block.stride + max(r.offset for r in block.registers) + 4
            if end > 1 << addr_width:
                raise ValueError(f"{block.name} ends at {end:#x}, which needs more than {addr_width!r} address bits")
            size = 1 << log2_octets(block)
            if block.base % size or block.stride % size:
                raise ValueError(f"{block.name} at {block.base:#x} is not aligned to its size of {size:#x} octets")
        super().__init__(members)
        self._windows = windows
        self._copies = [
            _Copy(block, block.base + index * block.stride, copy)
            for block in blocks
            for ports in [getattr(self, member_name(block.name))]
            for index, copy in enumerate(ports if block.count > 1 else [ports])
        ]

    def elaborate(self, platform):
        m = Module()
        write_address, is_word, write_stb, data, write_busy = self._write_channels(m)
        read_address, storing, stored = Signal.like(self.bus.araddr), Signal(), Signal(32)
        start, read_stb, read_busy = self._read_channels(m, read_address, storing, stored)
        m.d.comb += self.busy.eq(write_busy | read_busy)
        is_read, place = self._words("is_read", lambda register: True)
        m.d.sync += [is_it.eq(read_address[place] == word) for word, is_it in is_read.items()]
        kept = []
        for copy in self._copies:
            m.d.comb += copy.holds.eq(copy.covers(read_address))
            m.d.sync += copy.reading.eq(copy.holds & start)
            if copy.block in self._windows:
                m.d.comb += copy.ports.read.eq(copy.reading & copy.has(read_address))
                m.d.sync += copy.row.eq(copy.ports.data)
                with m.If(~copy.ports.valid):
                    m.d.sync += copy.row.eq(0)
                continue
            values = [Const(0, 32)]
            for register in copy.block.registers:
                word = register.offset >> 2
                hit = _Hit(copy.writing & is_word[word] if is_writable(register) else Const(0), write_stb)
                read = self._make(m, copy, register, hit, data, _Hit(copy.reading, read_stb), read_address)
                field = _kept_field(register)
                if field is not None:
                    written = Signal(name=f"{register.name}_written")
                    kept.append(_Kept(copy, register, field, hit.select, written))
                else:
                    values.append(Mux(is_read[word], read, 0))
            m.d.sync += copy.row.eq(reduce(or_, values))
            with m.If(~copy.reading):
                m.d.sync += copy.row.eq(0)
        if kept:
            self._keep(m, kept, write_address, write_stb, data, read_address, storing, stored)
        return m

    def _make(
        self, m: Module, copy: _Copy, register: Register, hit: _Hit, data: Value, read: _Hit, read_address: Value
    ) -> Value:
        """Make a register of a copy; return its value as software reads it."""
        pair = pair_of(copy.block, register)
        if is_constant(register):
            return Const(register.reset, 32)
        if pair is None:
            return _register(m, register, getattr(copy.ports, member_name(register.name)), hit, data)
        whole = getattr(copy.ports, member_name(register.name[:-3])).value
        latch = _Hit(read.select & (copy.word(read_address) == pair[0].offset >> 2), read.stb)
        return _half(m, register, pair, whole, hit, data, latch)

    def _keep(
        self,
        m: Module,
        kept: list[_Kept],
        write_address: Value,
        write_stb: Value,
        data: Value,
        read_address: Value,
        storing: Signal,
        stored: Signal,
    ) -> None:
        """Make the RAM.

        ``storing``: it is written, so no read may start. ``stored``: what is read of it two cycles after the start.
        """
        copies = {k.copy.base: k.copy for k in kept}.values()
        bits = _telling_bits({c.base + octet for c in copies for octet in range(0, 1 << c.log2_octets, 4)})
        m.submodules.kept = ram = BlockRam(shape=32, depth=1 << len(bits))
        write_data = Signal(32)
        m.d.sync += [storing.eq(write_stb & Cat(c.writing for c in copies).any()), write_data.eq(data)]
        m.d.comb += [
            ram.write_en.eq(storing),
            ram.write_addr.eq(Cat(write_address[bit] for bit in bits)),
            ram.write_data.eq(write_data),
            ram.read_en.eq(1),
            ram.read_addr.eq(Cat(read_address[bit] for bit in bits)),
        ]
        # Bits that some of the registers do not have, each with the same ones beside it.
        lacking: dict[tuple[int, ...], list[int]] = {}
        for bit in range(32):
            lacking.setdefault(tuple(n for n, k in enumerate(kept) if not k.field.mask >> bit & 1), []).append(bit)
        for at, (numbers, lacked) in enumerate(lacking.items()):
            lacks = Signal(name=f"lacks_{at}")
            m.d.sync += lacks.eq(Cat(kept[n].select for n in numbers).any())
            with m.If(lacks):
                m.d.comb += [ram.write_data[bit].eq(0) for bit in lacked]

        # What was not written reads as its reset value. All is as it was when the RAM was read.
        is_written, reset = Signal(), Signal(32)
        written_before, reset_before = [], []
        for copy in copies:
            written, fresh = Signal(name=f"{copy.block.name}_written"), Signal(32, name=f"{copy.block.name}_fresh")
            with m.Switch(copy.word(read_address)):
                for k in kept:
                    if k.copy is copy:
                        with m.Case(k.register.offset >> 2):
                            m.d.comb += [written.eq(k.written), fresh.eq(Mux(k.written, 0, k.register.reset))]
            held, written_1, fresh_1 = Signal(), Signal(), Signal(32)
            m.d.sync += [held.eq(copy.holds), written_1.eq(written), fresh_1.eq(fresh)]
            written_before.append(held & written_1)
            reset_before.append(Mux(held, fresh_1, 0))
        m.d.sync += [is_written.eq(Cat(written_before).any()), reset.eq(reduce(or_, reset_before))]
        m.d.comb += stored.eq(Mux(is_written, ram.read_data, 0) | reset)
        for k in kept:
            with m.If(write_stb), m.If(k.select):
                m.d.sync += k.written.eq(1)
            if pair_of(k.copy.block, k.register) is None:
                port = getattr(k.copy.ports, member_name(k.register.name))
                with m.If(getattr(port, f"{k.field.name}_clear")):
                    m.d.sync += k.written.eq(0)

    def _is_mapped(self, address: Value, covered: list[Value]) -> Value:
        """Tell if an address that each copy covers, or not, is a register's."""
        return Cat(c & copy.has(address) for c, copy in zip(covered, self._copies, strict=True)).any()

    def _words(self, name: str, wanted: Callable[[Register], bool]) -> tuple[dict[int, Signal], slice]:
        """Make one bit for each word of a block that has such a register; return them, and where addresses have it."""
        copies = [copy for copy in self._copies if copy.block not in self._windows]
        words = {r.offset >> 2 for copy in copies for r in copy.block.registers if wanted(r)}
        word_bits = max((copy.log2_octets for copy in copies), default=2) - 2
        return {word: Signal(name=f"{name}_{word}") for word in sorted(words)}, slice(2, 2 + word_bits)

    def _write_channels(self, m: Module) -> tuple[Value, dict[int, Signal], Value, Value, Value]:
        """Accept writes and answer them.

        Return the address of the write to carry out, the number of its word as one bit for each that can be written,
        when to do it, its data, and if any is under way.
        """
        bus = self.bus
        is_word, place = self._words("is_word", is_writable)
        address, data = Signal.like(bus.awaddr), Signal.like(bus.wdata)
        aw_held, w_held, mapped, whole, partial = Signal(), Signal(), Signal(), Signal(), Signal()
        free, start, started, stb = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            bus.awready.eq(~aw_held),
            bus.wready.eq(~w_held),
            free.eq(~started & (~bus.bvalid | bus.bready)),
            start.eq((aw_held | bus.awvalid) & (w_held | bus.wvalid) & free),
        ]
        m.d.sync += [started.eq(start), stb.eq(start & Mux(w_held, whole, bus.wstrb.all()))]
        with m.If(bus.awvalid & ~aw_held):
            m.d.sync += [address.eq(bus.awaddr), aw_held.eq(1)]
            m.d.sync += [copy.writing.eq(copy.covers(bus.awaddr)) for copy in self._copies]
            m.d.sync += [is_it.eq(bus.awaddr[place] == word) for word, is_it in is_word.items()]
        m.d.comb += mapped.eq(self._is_mapped(address, [copy.writing for copy in self._copies]))
        with m.If(bus.wvalid & ~w_held):
            m.d.sync += [
                data.eq(bus.wdata),
                whole.eq(bus.wstrb.all()),
                partial.eq(bus.wstrb.any() & ~bus.wstrb.all()),
                w_held.eq(1),
            ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(started):
            m.d.sync += [bus.bvalid.eq(1), bus.bresp.eq(Mux(mapped & ~partial, Resp.OKAY, Resp.SLVERR))]
            m.d.sync += [aw_held.eq(0), w_held.eq(0)]
        return address, is_word, stb, data, aw_held | w_held | bus.bvalid

    def _read_channels(self, m: Module, address: Signal, storing: Value, stored: Value) -> tuple[Value, Value, Value]:
        """Accept reads and answer them; return when one starts, the cycle after, and if any is under way."""
        bus = self.bus
        held, waiting, start, stb, rows_valid = Signal(), Signal(), Signal(), Signal(), Signal()
        windows = [copy.ports for copy in self._copies if copy.block in self._windows]
        m.d.comb += [
            bus.arready.eq(~held),
            start.eq(waiting & ~storing),
            *(window.addr.eq(address[2:]) for window in windows),
        ]
        elsewhere = Cat(window.read for window in windows).any()
        m.d.sync += [stb.eq(start), rows_valid.eq(stb & ~elsewhere | Cat(window.valid for window in windows).any())]
        with m.If(start):
            m.d.sync += waiting.eq(0)
        with m.If(bus.arvalid & ~held):
            m.d.sync += [address.eq(bus.araddr), held.eq(1), waiting.eq(1)]
        mapped = Signal()
        m.d.sync += mapped.eq(self._is_mapped(address, [copy.holds for copy in self._copies]))
        with m.If(rows_valid):
            m.d.sync += [
                bus.rvalid.eq(1),
                bus.rdata.eq(reduce(or_, [stored, *(copy.row for copy in self._copies)])),
                bus.rresp.eq(Mux(mapped, Resp.OKAY, Resp.SLVERR)),
            ]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), held.eq(0)]
        return start, stb, held
