"""What the registers of ``stack.abi`` look like from the hardware's side."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..stack.abi.model import Access, Block, Field, Register

__all__ = [
    "block_signature",
    "is_constant",
    "is_writable",
    "log2_octets",
    "member_name",
    "pair_of",
    "window_signature",
]


def member_name(name: str) -> str:
    """Return a block's or register's name as a member."""
    name = name.lower()
    return "device" if name == "global" else name  # global is a keyword of Python.


def pair_of(block: Block, register: Register) -> tuple[Register, Register] | None:
    """Return the two halves ``X_LO``, ``X_HI`` if the register is one of them."""
    stem, _, half = register.name.rpartition("_")
    return (block[f"{stem}_LO"], block[f"{stem}_HI"]) if half in ("LO", "HI") else None


def log2_octets(block: Block) -> int:
    """Return the size of a copy of the block, rounded up to a power of two, as log2."""
    return ceil_log2(max(r.offset for r in block.registers) + 4)


def is_constant(register: Register) -> bool:
    """Tell if the map itself gives the register's value: read-only with a reset value."""
    return register.reset != 0 and all(f.access is Access.RO for f in register.fields)


def is_writable(register: Register) -> bool:
    """Tell if a write of the register does something."""
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
        pair = pair_of(block, register)
        if pair is not None:
            members[member_name(register.name[:-3])] = Out(wiring.Signature(_pair_members(*pair)))
        elif not is_constant(register):
            fields: dict[str, wiring.Member] = {}
            for field in register.fields:
                fields |= _field_members(field)
            if is_writable(register):
                fields["stb"] = Out(1)
            members[member_name(register.name)] = Out(wiring.Signature(fields))
    return wiring.Signature(members)


def window_signature(block: Block) -> wiring.Signature:
    """Return the members of a block whose registers another component has, all of them read-only.

    * ``addr``: number of the register, by its offset in words. Stable from ``read`` to ``valid``.
    * ``read``: high for one cycle to read it; again only after ``valid``.
    * ``data``, ``valid``: its value, in a later cycle, with ``valid`` high for one cycle.
    """
    addr_width = log2_octets(block) - 2
    return wiring.Signature({"addr": Out(addr_width), "read": Out(1), "data": In(32), "valid": In(1)})
