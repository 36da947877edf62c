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
from ..stack.abi.regs import BLOCKS
from .axi import AxiLiteSignature, Resp

__all__ = ["CsrBank", "block_signature"]


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
            if any(f.access is not Access.RO for f in register.fields):
                fields["stb"] = Out(1)
            members[_member_name(register.name)] = Out(wiring.Signature(fields))
    return wiring.Signature(members)


@dataclass(frozen=True)
class _Write:
    """A write to carry out while ``stb`` is high."""

    address: Signal
    data: Signal
    stb: Signal


class _Row:
    """One copy of a block inside the bank."""

    def __init__(self, block: Block, index: int, ports: wiring.PureInterface) -> None:
        self._block = block
        self._ports = ports
        self._base = block.base + index * block.stride
        self._log2_octets = _log2_octets(block)
        self.read_data = Signal(32, name=f"{block.name}{index}_read_data")
        self.read_mapped = Signal(name=f"{block.name}{index}_read_mapped")

    def _hit(self, address: Value, register: Register) -> Value:
        return address[2:] == (self._base + register.offset) >> 2

    def is_mapped(self, m: Module, address: Value) -> Signal:
        mapped = Signal()
        with m.If(address[self._log2_octets :] == self._base >> self._log2_octets):
            with m.Switch(address[2 : self._log2_octets]):
                with m.Case(*(r.offset >> 2 for r in self._block.registers)):
                    m.d.comb += mapped.eq(1)
        return mapped

    def elaborate(self, m: Module, write: _Write, address: Value, stb: Value) -> None:
        values = {r.name: self._register(m, r, write, address, stb) for r in self._block.registers}
        m.d.sync += [self.read_data.eq(0), self.read_mapped.eq(self.is_mapped(m, address))]
        with m.If(address[self._log2_octets :] == self._base >> self._log2_octets):
            with m.Switch(address[2 : self._log2_octets]):
                for register in self._block.registers:
                    with m.Case(register.offset >> 2):
                        m.d.sync += self.read_data.eq(values[register.name])

    def _register(self, m: Module, register: Register, write: _Write, address: Value, stb: Value) -> Value:
        """Make one register; return its value as software reads it."""
        hit = Signal(name=f"{self._block.name}_{register.name}_hit")
        m.d.comb += hit.eq(write.stb & self._hit(write.address, register))
        if _is_constant(register):
            return Const(register.reset, 32)
        pair = _pair_of(self._block, register)
        if pair is not None:
            return self._half(m, register, pair, hit, write, stb & self._hit(address, pair[0]))
        ports = getattr(self._ports, _member_name(register.name))
        if any(f.access is not Access.RO for f in register.fields):
            m.d.sync += ports.stb.eq(hit)
        value = Signal(32, name=f"{self._block.name}_{register.name}")
        for field in register.fields:
            new = write.data[field.lsb : field.lsb + field.width]
            m.d.comb += value[field.lsb : field.lsb + field.width].eq(_field(m, ports, field, hit, new))
        return value

    def _half(
        self, m: Module, register: Register, pair: tuple[Register, Register], hit: Value, write: _Write, latch: Value
    ) -> Value:
        """Make one half of a pair."""
        low, high = pair
        whole = getattr(self._ports, _member_name(low.name[:-3])).value
        width = low["value"].width
        half = whole[:width] if register is low else whole[width:]
        if register["value"].access is Access.RW:
            with m.If(hit):
                m.d.sync += half.eq(write.data)
        elif register is high and len(whole) == 64:
            latched = Signal(32, name=f"{self._block.name}_{register.name}_latched")
            with m.If(latch):
                m.d.sync += latched.eq(half)
            return latched
        return half


def _field(m: Module, ports: wiring.PureInterface, field: Field, hit: Value, new: Value) -> Value:
    """Make one field; return its value as software reads it."""
    port = getattr(ports, field.name)
    match field.access:
        case Access.PULSE:
            m.d.sync += port.eq(Mux(hit, new, 0))
            return Const(0, field.width)
        case Access.W1C:
            cleared = getattr(ports, f"{field.name}_clear") | Mux(hit, new, 0)
            m.d.sync += port.eq(port & ~cleared | getattr(ports, f"{field.name}_set"))
        case Access.RW:
            with m.If(getattr(ports, f"{field.name}_clear")):
                m.d.sync += port.eq(field.reset)
            if field.width == 1:
                with m.Elif(getattr(ports, f"{field.name}_set")):
                    m.d.sync += port.eq(1)
            with m.Elif(hit):
                m.d.sync += port.eq(new)
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

    Timing
    ------
    Domain ``sync``. All outputs to the bus and to the hardware come from registers (the ready outputs through an
    inverter); no combinational path through the component. A write takes effect two cycles after the later of its
    address and data was accepted, with the response in the same cycle; one write every two cycles. Read data comes
    three cycles after the address; one read at a time. A read that is issued when it sees a write's response samples
    its inputs in the cycle after the write's ``stb`` or later. Reads and writes do not wait for each other.

    Parameters
    ----------
    queues : int
        Copies of each block that may repeat.
    blocks : tuple[Block, ...]
        The map.
    addr_width : int
        Bits of an address.

    Members
    -------
    bus : In(AxiLiteSignature(addr_width=addr_width, data_width=32))
        Where software reads and writes.
    busy : Out(1)
        A transaction was accepted, at least in part, and its response not yet taken.
    device, arp, stats : Out(block_signature(...))
        One member for each block; the block ``global`` is ``device`` here, as ``global`` is a keyword.
    txq : Out(block_signature(TXQ)).array(queues)
        A block that may repeat.

    Raises
    ------
    ValueError
        If a block has not as many copies as ``queues``, is not aligned to its size, or lies beyond ``addr_width``.
    """

    def __init__(self, *, queues: int = 1, blocks: tuple[Block, ...] = BLOCKS, addr_width: int = 16) -> None:
        members: dict[str, wiring.Member] = {
            "bus": In(AxiLiteSignature(addr_width=addr_width, data_width=32)),
            "busy": Out(1),
        }
        for block in blocks:
            member = Out(block_signature(block))
            copies = 1
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

    def _copies(self) -> Iterator[tuple[Block, int, wiring.PureInterface]]:
        for block in self._blocks:
            ports = getattr(self, _member_name(block.name))
            for index, copy in enumerate(ports if block.count > 1 else [ports]):
                yield block, index, copy

    def elaborate(self, platform):
        m = Module()
        rows = [_Row(block, index, ports) for block, index, ports in self._copies()]
        write, write_busy = self._write_channels(m, rows)
        address, stb, read_busy = self._read_channels(m, rows)
        m.d.comb += self.busy.eq(write_busy | read_busy)
        for row in rows:
            row.elaborate(m, write, address, stb)
        return m

    def _write_channels(self, m: Module, rows: list[_Row]) -> tuple[_Write, Value]:
        """Accept writes and answer them; return the write to carry out, and if any is under way."""
        bus = self.bus
        write = _Write(Signal.like(bus.awaddr), Signal.like(bus.wdata), Signal())
        aw_held, w_held, whole, partial = Signal(), Signal(), Signal(), Signal()
        ready, mapped = Signal(), Signal()
        m.d.comb += [
            bus.awready.eq(~aw_held),
            bus.wready.eq(~w_held),
            ready.eq(aw_held & w_held & ~bus.bvalid),
            mapped.eq(Cat(row.is_mapped(m, write.address) for row in rows).any()),
            write.stb.eq(ready & whole),
        ]
        with m.If(~aw_held):
            m.d.sync += [write.address.eq(bus.awaddr), aw_held.eq(bus.awvalid)]
        with m.If(~w_held):
            m.d.sync += [
                write.data.eq(bus.wdata),
                whole.eq(bus.wstrb.all()),
                partial.eq(bus.wstrb.any() & ~bus.wstrb.all()),
                w_held.eq(bus.wvalid),
            ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(ready):
            m.d.sync += [
                aw_held.eq(0),
                w_held.eq(0),
                bus.bvalid.eq(1),
                bus.bresp.eq(Mux(mapped & ~partial, Resp.OKAY, Resp.SLVERR)),
            ]
        return write, aw_held | w_held | bus.bvalid

    def _read_channels(self, m: Module, rows: list[_Row]) -> tuple[Value, Value, Value]:
        """Accept reads and answer them; return an address, the strobe of its read, and if any is under way."""
        bus = self.bus
        address = Signal.like(bus.araddr)
        held, selected, stb = Signal(), Signal(), Signal()
        m.d.comb += bus.arready.eq(~held)
        with m.If(~held):
            m.d.sync += [address.eq(bus.araddr), held.eq(bus.arvalid), stb.eq(bus.arvalid)]
        with m.Else():
            m.d.sync += stb.eq(0)
        m.d.sync += selected.eq(stb)
        with m.If(selected):
            m.d.sync += [
                bus.rvalid.eq(1),
                bus.rdata.eq(reduce(or_, (row.read_data for row in rows))),
                bus.rresp.eq(Mux(Cat(row.read_mapped for row in rows).any(), Resp.OKAY, Resp.SLVERR)),
            ]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), held.eq(0)]
        return address, stb, held
