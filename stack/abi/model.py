"""What a register and a descriptor are: the classes that the contract is written in."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

__all__ = ["Access", "Block", "Field", "Member", "Record", "Register", "word"]


class Access(Enum):
    """Who may write a field, and what a write does."""

    RO = "ro"  # The device writes, software reads.
    RW = "rw"  # Software writes and reads back.
    W1C = "w1c"  # The device sets, software writes 1 to clear.
    PULSE = "pulse"  # Software writes 1 to start something; reads as 0.


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a register.

    Parameters
    ----------
    name : str
        Lower-case name, unique in its register.
    lsb : int
        Lowest bit, 0 to 31.
    width : int
        Size in bits.
    access : Access
        Who may write it.
    doc : str
        One sentence.
    reset : int
        Value after reset.
    values : type[IntEnum] or None
        Names of the values, where they have any.
    """

    name: str
    lsb: int
    width: int
    access: Access
    doc: str
    reset: int = 0
    values: type[IntEnum] | None = None

    @property
    def mask(self) -> int:
        """Bits of the register that the field takes."""
        return ((1 << self.width) - 1) << self.lsb

    def get(self, register: int) -> int:
        """Return the field's value out of a register's value."""
        return (register >> self.lsb) & ((1 << self.width) - 1)

    def put(self, value: int) -> int:
        """Return ``value`` at the field's place in a register.

        Raises
        ------
        ValueError
            If ``value`` does not fit.
        """
        if not 0 <= value < 1 << self.width:
            raise ValueError(f"{self.name} takes 0..{(1 << self.width) - 1}, not {value!r}")
        return value << self.lsb


@dataclass(frozen=True, slots=True)
class Register:
    """One 32-bit register: its place in its block and its fields."""

    name: str
    offset: int
    doc: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if self.offset % 4:
            raise ValueError(f"{self.name}: offset must be a multiple of 4, not {self.offset:#x}")
        taken = 0
        for field in self.fields:
            if field.mask & taken or field.mask >> 32:
                raise ValueError(f"{self.name}.{field.name} overlaps another field or bit 32")
            taken |= field.mask

    def __getitem__(self, name: str) -> Field:
        """Return a field by its name."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"register {self.name} has no field {name!r}")

    def pack(self, **values: int) -> int:
        """Return the register's value for these fields; the others get their reset value."""
        value = sum(f.put(values.pop(f.name, f.reset)) for f in self.fields)
        if values:
            raise KeyError(f"register {self.name} has no field {sorted(values)[0]!r}")
        return value

    def unpack(self, value: int) -> dict[str, int]:
        """Return each field's value."""
        return {f.name: f.get(value) for f in self.fields}

    @property
    def reset(self) -> int:
        """Value of the whole register after reset."""
        return sum(f.put(f.reset) for f in self.fields)


def word(name: str, offset: int, access: Access, doc: str, reset: int = 0) -> Register:
    """Return a register with one field of 32 bits, ``value``."""
    return Register(name, offset, doc, (Field("value", 0, 32, access, doc, reset),))


@dataclass(frozen=True, slots=True)
class Block:
    """A group of registers, which may repeat at a fixed stride.

    ``count`` is the most that the map has room for; the parameter registers tell how many a device has.
    """

    name: str
    base: int
    doc: str
    registers: tuple[Register, ...]
    count: int = 1
    stride: int = 0

    def __getitem__(self, name: str) -> Register:
        """Return a register by its name."""
        for register in self.registers:
            if register.name == name:
                return register
        raise KeyError(f"block {self.name} has no register {name!r}")

    def address(self, register: Register, index: int = 0) -> int:
        """Return a register's offset in octets from the start of the device's registers.

        Raises
        ------
        ValueError
            If the block has no such index.
        """
        if not 0 <= index < self.count:
            raise ValueError(f"{self.name} index must be in 0..{self.count - 1}, not {index!r}")
        return self.base + index * self.stride + register.offset


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a record in memory: a place and size in bits, counted from octet 0 upwards."""

    name: str
    lsb: int
    width: int
    doc: str
    values: type[IntEnum] | None = None


_FORMATS: Mapping[int, str] = {8: "B", 16: "H", 32: "I", 64: "Q"}


@dataclass(frozen=True, slots=True)
class Record:
    """A little-endian record in host memory that driver and device share: a descriptor or a completion."""

    name: str
    size_octets: int
    doc: str
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        at = 0
        for member in self.members:
            if member.lsb != at or member.width not in _FORMATS or at % member.width:
                raise ValueError(f"{self.name}.{member.name} must follow the last member, aligned to its size")
            at += member.width
        if at != 8 * self.size_octets:
            raise ValueError(f"{self.name} has {at} bits of members in {self.size_octets} octets")

    def __getitem__(self, name: str) -> Member:
        """Return a member by its name."""
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(f"record {self.name} has no member {name!r}")

    @property
    def struct(self) -> struct.Struct:
        """The record as a ``struct.Struct``, members in order: the fast way in and out."""
        return struct.Struct("<" + "".join(_FORMATS[m.width] for m in self.members))

    def pack(self, **values: int) -> bytes:
        """Return the record's octets; members not named are 0."""
        octets = self.struct.pack(*(values.pop(m.name, 0) for m in self.members))
        if values:
            raise KeyError(f"record {self.name} has no member {sorted(values)[0]!r}")
        return octets

    def unpack(self, octets: bytes | memoryview) -> dict[str, int]:
        """Return each member's value."""
        return dict(zip((m.name for m in self.members), self.struct.unpack(octets), strict=True))
