"""Classic BPF: instructions, and which programs are valid (Linux: net/core/filter.c, include/uapi/linux/filter.h)."""

from collections.abc import Iterable, Sequence
from errno import EINVAL
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

__all__ = [
    "BPF_MAXINSNS",
    "BPF_MEMWORDS",
    "SKF_AD_OFF",
    "SKF_LL_OFF",
    "SKF_NET_OFF",
    "Ancillary",
    "SockFilter",
    "bpf_check_classic",
    "sock_filters",
    "sock_filters_from_text",
    "sock_filters_octets",
]

BPF_MAXINSNS = 4096
BPF_MEMWORDS = 16

# Offsets below 0 that mean something else than the packet's data, as numbers of 32 bits.
SKF_AD_OFF = 0xFFFF_F000
SKF_NET_OFF = 0xFFF0_0000
SKF_LL_OFF = 0xFFE0_0000


class Ancillary:
    """What a load from ``SKF_AD_OFF`` on gives (``SKF_AD_*``)."""

    PROTOCOL = 0
    PKTTYPE = 4
    IFINDEX = 8
    NLATTR = 12
    NLATTR_NEST = 16
    MARK = 20
    QUEUE = 24
    HATYPE = 28
    RXHASH = 32
    CPU = 36
    ALU_XOR_X = 40
    VLAN_TAG = 44
    VLAN_TAG_PRESENT = 48
    PAY_OFFSET = 52
    RANDOM = 56
    VLAN_TPID = 60


class SockFilter(NamedTuple):
    """One instruction (Linux: ``struct sock_filter``)."""

    code: int
    jt: int
    jf: int
    k: int


# Which codes there are: classes LD 0, LDX 1, ST 2, STX 3, ALU 4, JMP 5, RET 6, MISC 7 (bpf(4) of the BSDs).
_ABS = (0x20, 0x28, 0x30)  # Words, half words and octets at a place of the packet, k.
_IND = (0x40, 0x48, 0x50)  # The same at X + k.
_LOADS = {*_ABS, *_IND, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xB1}  # And immediate, memory, length; 0xB1 is MSH.
_MEMORY_LOADS = (0x60, 0x61)
_STORES = (0x02, 0x03)
_ALU = {0x04 | operation << 4 | source for operation in range(11) for source in (0, 8)} - {0x8C}  # 0x84 is NEG.
_DIVISIONS = (0x34, 0x94)  # DIV and MOD by a constant.
_SHIFTS = (0x64, 0x74)  # LSH and RSH by a constant.
_JA = 0x05
_BRANCHES = {0x05 | test << 4 | source for test in (1, 2, 3, 4) for source in (0, 8)}  # JEQ, JGT, JGE, JSET.
_RETURNS = (0x06, 0x16)  # k or A.
_MISC = {0x07, 0x87}  # TAX, TXA.
_ALLOWED = _LOADS | set(_STORES) | _ALU | {_JA} | _BRANCHES | set(_RETURNS) | _MISC
_ANCILLARY = {value for name, value in vars(Ancillary).items() if name.isupper()}

_FILTER = Struct("=HBBI")


def sock_filters(octets: bytes) -> tuple[SockFilter, ...]:
    """Return the instructions in an array of ``struct sock_filter``.

    Raises
    ------
    OSError
        ``EINVAL`` for something else, or for none or more than 4096 of them.
    """
    if len(octets) % _FILTER.size or not 0 < len(octets) // _FILTER.size <= BPF_MAXINSNS:
        raise OSError(EINVAL, f"a filter has 1..{BPF_MAXINSNS} instructions of {_FILTER.size} octets")
    return tuple(SockFilter(*fields) for fields in _FILTER.iter_unpack(octets))


def sock_filters_octets(program: Iterable[SockFilter]) -> bytes:
    """Return the array of ``struct sock_filter`` that ``SO_ATTACH_FILTER`` takes."""
    return b"".join(_FILTER.pack(*instruction) for instruction in program)


def sock_filters_from_text(text: str) -> tuple[SockFilter, ...]:
    """Return the program that ``tcpdump -dd`` or ``tcpdump -ddd`` printed: as C, or in decimal behind its length.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> sock_filters_from_text("{ 0x6, 0, 0, 0x00040000 },") == sock_filters_from_text("1" + chr(10) + "6 0 0 262144")
    True
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    in_c = bool(lines) and lines[0].startswith("{")
    found: list[SockFilter] = []
    for line in lines if in_c else lines[1:]:
        words = line.rstrip(",").strip("{} ").split(",") if in_c else line.split()
        try:
            code, jt, jf, k = (int(word, 0) for word in words)
            _FILTER.pack(code, jt, jf, k)
        except (ValueError, StructError) as error:
            raise ValueError(f"no instruction of BPF: {line!r}") from error
        found.append(SockFilter(code, jt, jf, k))
    if not found or (not in_c and lines[0] != str(len(found))):
        raise ValueError("neither 'tcpdump -dd' nor 'tcpdump -ddd' prints that")
    return tuple(found)


def bpf_check_classic(program: Sequence[SockFilter]) -> None:
    """Refuse a program that could go wrong: each one that passes ends, and reads no memory that it did not write.

    Raises
    ------
    OSError
        ``EINVAL``.
    """
    count = len(program)
    for pc, (code, jt, jf, k) in enumerate(program):
        after = count - pc - 1  # Instructions that follow; jumps go forward only.
        if code not in _ALLOWED:
            problem = f"no code {code:#x}"
        elif code in _DIVISIONS and not k:
            problem = "a division by 0"
        elif code in _SHIFTS and k >= 32:
            problem = f"a shift by {k}"
        elif (code in _MEMORY_LOADS or code in _STORES) and k >= BPF_MEMWORDS:
            problem = f"no memory word {k}"
        elif (code == _JA and k >= after) or (code in _BRANCHES and max(jt, jf) >= after):
            problem = "a jump beyond the end"
        elif code in _ABS and k >= SKF_AD_OFF and k - SKF_AD_OFF not in _ANCILLARY:
            problem = f"no ancillary data {k - SKF_AD_OFF}"
        else:
            continue
        raise OSError(EINVAL, f"instruction {pc} of the filter: {problem}")
    if not count or program[-1].code not in _RETURNS:
        raise OSError(EINVAL, "the filter does not end with a return")
    check_load_and_stores(program)


def check_load_and_stores(program: Sequence[SockFilter]) -> None:
    """Refuse a program that may load a memory word before it stored one there, on whatever way it came.

    Raises
    ------
    OSError
        ``EINVAL``.
    """
    every = (1 << BPF_MEMWORDS) - 1
    # Words that are written on each way to an instruction. One that nothing leads to is taken to know them all.
    written = [every] * len(program)
    here = 0
    for pc, (code, jt, jf, k) in enumerate(program):
        here &= written[pc]
        if code in _STORES:
            here |= 1 << k
        elif code in _MEMORY_LOADS and not here >> k & 1:
            raise OSError(EINVAL, f"instruction {pc} of the filter: memory word {k} is not written on each way")
        elif code == _JA or code in _BRANCHES:
            for target in (k,) if code == _JA else (jt, jf):
                written[pc + 1 + target] &= here
            here = every
