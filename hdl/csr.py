"""The register bank: the registers of ``stack.abi`` behind an AXI4-Lite subordinate."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..stack.abi.model import Access, Block, Field, Register
from ..stack.abi.regs import BLOCKS, STATS
from .axi import AxiLiteSignature, Resp

__all__ = ["CsrBank", "block_signature", "window_signature"]


def _member_name(name: str) -> str:
    """Return a block's or register's name as a member."""
    name = name.lower()
    return "device" if name == "global" else name  # global is a keyword of Python.


def _pair_of(block: Block, register: Register) -> tuple[Register, Register] | None:
    """Return the two halves ``X_LO``, ``X_HI`` if the register is one of them."""
    stem, _, half = register.name.rpartition("_")
    return (block[f"{stem}_LO"], block[f"{stem}_HI"]) if half in ("LO", "HI") else None


def _log2_octets(block: Block) -> int:
    """Return the size of a copy of the block, rounded up to a power of two, as log2."""
    return ceil_log2(max(r.offset for r in block.registers) + 4)


def _is_constant(register: Register) -> bool:
    """Tell if the map itself gives the register's value: read-only with a reset value."""
    return register.reset != 0 and all(f.access is Access.RO for f in register.fields)


def _is_writable(register: Register) -> bool:
    return any(f.access is not Access.RO for f in register.fields)


def _field_members(field: Field) -> dict[str, wiring.Member]:
    match field.access:
        case Access.RO:
            return {field.name: In(field.width)}
        case Access.PULSE:
            return {field.name: Out(field.width)}
        case Access.W1C:
            names = {f"{field.name}_set": In(field.width), f"{field.name}_clear": In(field.width)}
            return {field.name: Out(field.width)} | names
    members = {field.name: Out(field.width, init=field.reset), f"{field.name}_clear": In(1)}
    if field.width == 1:
        members[f"{field.name}_set"] = In(1)
    return members


def _pair_members(low: Register, high: Register) -> dict[str, wiring.Member]:
    width = low["value"].width + high["value"].width
    return {"value": In(width) if low["value"].access is Access.RO else Out(width)}


def block_signature(block: Block) -> wiring.Signature:
    """Return the members of one copy of a block, as `CsrBank` has them.

    A component that works with a block has ``In(block_signature(BLOCK))`` and is joined to the bank
    by ``connect``. The members are the registers, in lower case; a register's members are its fields:

    * RO: ``field``, from the hardware.
    * RW: ``field``, to the hardware; ``field_clear`` takes it back to its reset value, and if it is one
      bit wide ``field_set`` sets it. If several meet: ``field_clear``, ``field_set``, a write.
    * W1C: ``field``, to the hardware; each bit of ``field_set`` sets one, of ``field_clear`` clears one.
      Setting wins over clearing and over a write, so that no event is lost.
    * PULSE: ``field``, to the hardware, for one cycle.
    * A register that can be written has ``stb`` too: high for one cycle, the first one with the new value.
    * ``X_LO`` and ``X_HI`` are one register ``x`` with one field ``value`` as wide as both.
    * A read-only register that has a reset value in the map is a constant and has no member.
    """
    members: dict[str, wiring.Member] = {}
    for register in block.registers:
        pair = _pair_of(block, register)
        if pair is not None:
            members[_member_name(register.name[:-3])] = Out(wiring.Signature(_pair_members(*pair)))
        elif not _is_constant(register):
            fields: dict[str, wiring.Member] = {}
            for field in register.fields:
                fields |= _field_members(field)
            if _is_writable(register):
                fields["stb"] = Out(1)
            members[_member_name(register.name)] = Out(wiring.Signature(fields))
    return wiring.Signature(members)


def window_signature(block: Block) -> wiring.Signature:
    """Return the members of a block whose registers another component has, all of them read-only.

    * ``addr``: number of the register, by its offset in words. Stable from ``read`` to ``valid``.
    * ``read``: high for one cycle to read it; again only after ``valid``.
    * ``data``, ``valid``: its value, in a later cycle, with ``valid`` high for one cycle.
    """
    addr_width = _log2_octets(block) - 2
    return wiring.Signature({"addr": Out(addr_width), "read": Out(1), "data": In(32), "valid": In(1)})


@dataclass(frozen=True)
class _Transfer:
    """A write or a read to carry out while ``stb`` is high: ``select`` has one bit a register.

    Of one register, it is to be used as ``with m.If(hit.stb), m.If(hit.select)``: simulators skip the inner one then.
    """

    select: Value
    stb: Value

    def of(self, first: int, count: int = 1) -> "_Transfer":
        """Return what concerns some of the registers only."""
        return _Transfer(self.select[first : first + count], self.stb)


def _row(
    m: Module, block: Block, ports: wiring.PureInterface, write: _Transfer, data: Value, read: _Transfer
) -> Iterator[Value]:
    """Make one copy of a block; return the values of its registers as software reads them."""
    for number, register in enumerate(block.registers):
        hit = write.of(number)
        pair = _pair_of(block, register)
        if _is_constant(register):
            yield Const(register.reset, 32)
        elif pair is None:
            yield _register(m, register, getattr(ports, _member_name(register.name)), hit, data)
        else:
            whole = getattr(ports, _member_name(register.name[:-3])).value
            latch = read.of(block.registers.index(pair[0]))
            yield _half(m, register, pair, whole, hit, data, latch)


def _register(m: Module, register: Register, ports: wiring.PureInterface, hit: _Transfer, data: Value) -> Value:
    """Make a register; return its value as software reads it."""
    if _is_writable(register):
        m.d.sync += ports.stb.eq(0)
        with m.If(hit.stb), m.If(hit.select):
            m.d.sync += ports.stb.eq(1)
    value = Signal(32, name=register.name)
    for field in register.fields:
        place = slice(field.lsb, field.lsb + field.width)
        m.d.comb += value[place].eq(_field(m, ports, field, hit, data[place]))
    return value


def _half(
    m: Module,
    register: Register,
    pair: tuple[Register, Register],
    whole: Value,
    hit: _Transfer,
    data: Value,
    latch: _Transfer,
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


def _field(m: Module, ports: wiring.PureInterface, field: Field, hit: _Transfer, new: Value) -> Value:
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

    The registers of a window are elsewhere: the bank forwards the reads of them, and a write does nothing. See
    `window_signature`.

    Timing
    ------
    Domain ``sync``. All outputs to the bus and to the hardware come from registers (the ready outputs through an
    inverter); no combinational path through the component. A write takes effect two cycles after the later of its
    address and data was accepted, with the response in the same cycle; one write every three cycles. Read data comes
    three cycles after the address, that of a window two cycles after its ``valid``; one read at a time. A read that is
    issued when it sees a write's response samples its inputs in the cycle after the write's ``stb`` or later. Reads and
    writes do not wait for each other.

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
            if block in windows and (block.count > 1 or any(_is_writable(r) for r in block.registers)):
                raise ValueError(f"{block.name} cannot be a window: it repeats or can be written")
            if block.count > 1:
                if not 1 <= queues <= block.count:
                    raise ValueError(f"queues must be in 1..{block.count}, not {queues!r}")
                member, copies = member.array(queues), queues
            members[_member_name(block.name)] = member
            end = block.base + (copies - 1) * block.stride + max(r.offset for r in block.registers) + 4
            if end > 1 << addr_width:
                raise ValueError(f"{block.name} ends at {end:#x}, which needs more than {addr_width!r} address bits")
            size = 1 << _log2_octets(block)
            if block.base % size or block.stride % size:
                raise ValueError(f"{block.name} at {block.base:#x} is not aligned to its size of {size:#x} octets")
        super().__init__(members)
        self._blocks = blocks
        self._windows = windows
        # What is read of each copy of a block, or 0; joined one cycle later.
        self._rows = [Signal(32, name=f"{block.name}_row") for block, _, _ in self._copies()]

    def _copies(self) -> Iterator[tuple[Block, int, wiring.PureInterface]]:
        """Yield each copy of each block: the block, the copy's address and its members."""
        for block in self._blocks:
            ports = getattr(self, _member_name(block.name))
            for index, copy in enumerate(ports if block.count > 1 else [ports]):
                yield block, block.base + index * block.stride, copy

    def elaborate(self, platform):
        m = Module()
        write, data, write_busy = self._write_channels(m)
        read, read_busy = self._read_channels(m)
        m.d.comb += self.busy.eq(write_busy | read_busy)
        first = 0
        for (block, _, ports), row in zip(self._copies(), self._rows, strict=True):
            if block in self._windows:
                m.d.comb += ports.read.eq(read.stb & read.select[first])
                # Never both; in this order the clearing is the flip-flops' own.
                with m.If(ports.valid):
                    m.d.sync += row.eq(ports.data)
                with m.If(read.stb):
                    m.d.sync += row.eq(0)
                first += 1
                continue
            count = len(block.registers)
            in_read = read.of(first, count)
            values = _row(m, block, ports, write.of(first, count), data, in_read)
            gated = [Mux(selected, value, 0) for selected, value in zip(in_read.select, values, strict=True)]
            with m.If(read.stb):
                m.d.sync += row.eq(reduce(or_, gated))
            first += count
        return m

    def _select(self, m: Module, address: Value) -> tuple[Value, Value]:
        """Return one bit a register, or a window, that tells if the address is its, and if any is set."""
        select, mapped = [], []
        for block, base, _ in self._copies():
            log2_octets = _log2_octets(block)
            word = address[2:log2_octets]
            in_row, exists = Signal(), Signal()
            m.d.comb += in_row.eq(address[log2_octets:] == base >> log2_octets)
            with m.Switch(word):
                with m.Case(*(r.offset >> 2 for r in block.registers)):
                    m.d.comb += exists.eq(1)
            if block in self._windows:
                select.append(in_row & exists)
            else:
                select += [in_row & (word == r.offset >> 2) for r in block.registers]
            mapped.append(in_row & exists)
        return Cat(select), Cat(mapped).any()

    def _write_channels(self, m: Module) -> tuple[_Transfer, Value, Value]:
        """Accept writes and answer them; return the write to carry out, its data, and if any is under way."""
        bus = self.bus
        select, is_mapped = self._select(m, bus.awaddr)
        held, data = Signal(len(select)), Signal.like(bus.wdata)
        aw_held, w_held, mapped, whole, partial = Signal(), Signal(), Signal(), Signal(), Signal()
        both, both_next, started, stb = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            bus.awready.eq(~aw_held),
            bus.wready.eq(~w_held),
            both.eq(aw_held & w_held),
            both_next.eq((aw_held | bus.awvalid) & (w_held | bus.wvalid)),
        ]
        m.d.sync += [started.eq(both_next & ~both), stb.eq(both_next & ~both & Mux(w_held, whole, bus.wstrb.all()))]
        with m.If(bus.awvalid & ~aw_held):
            m.d.sync += [held.eq(select), mapped.eq(is_mapped), aw_held.eq(1)]
        with m.If(bus.wvalid & ~w_held):
            m.d.sync += [
                data.eq(bus.wdata),
                whole.eq(bus.wstrb.all()),
                partial.eq(bus.wstrb.any() & ~bus.wstrb.all()),
                w_held.eq(1),
            ]
        with m.If(started):
            m.d.sync += [bus.bvalid.eq(1), bus.bresp.eq(Mux(mapped & ~partial, Resp.OKAY, Resp.SLVERR))]
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += [bus.bvalid.eq(0), aw_held.eq(0), w_held.eq(0)]
        return _Transfer(held, stb), data, aw_held | w_held

    def _read_channels(self, m: Module) -> tuple[_Transfer, Value]:
        """Accept reads and answer them; return the read to carry out, and if any is under way."""
        bus = self.bus
        select, is_mapped = self._select(m, bus.araddr)
        selected = Signal(len(select))
        held, mapped, stb, rows_valid = Signal(), Signal(), Signal(), Signal()
        m.d.comb += bus.arready.eq(~held)
        m.d.sync += stb.eq(~held & bus.arvalid)
        windows = [ports for block, _, ports in self._copies() if block in self._windows]
        elsewhere = Cat(ports.read for ports in windows).any()
        m.d.sync += rows_valid.eq(stb & ~elsewhere | Cat(ports.valid for ports in windows).any())
        with m.If(bus.arvalid & ~held):
            m.d.sync += [ports.addr.eq(bus.araddr[2:]) for ports in windows]
            m.d.sync += [selected.eq(select), mapped.eq(is_mapped), held.eq(1)]
        with m.If(rows_valid):
            m.d.sync += [
                bus.rvalid.eq(1),
                bus.rdata.eq(reduce(or_, self._rows)),
                bus.rresp.eq(Mux(mapped, Resp.OKAY, Resp.SLVERR)),
            ]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), held.eq(0)]
        return _Transfer(selected, stb), held
