"""Filter by the packet's octets (Linux: net/sched/cls_u32.c, tc-u32(8))."""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import EBUSY, EEXIST, EINVAL, ENOSPC
from typing import Any

from ..core.skbuff import SkBuff
from ..core.skbuff_data import skb_copy_bits
from .cls_api import TC_ACT_OK, TC_ACT_UNSPEC, TcfProto, TcfProtoOps, TcfResult
from .pkt_sched import Options, TcStruct

__all__ = [
    "TC_U32_EAT",
    "TC_U32_OFFSET",
    "TC_U32_ROOT",
    "TC_U32_TERMINAL",
    "TC_U32_VAROFFSET",
    "U32Key",
    "U32Sel",
    "cls_u32_ops",
]

TC_U32_TERMINAL, TC_U32_OFFSET, TC_U32_VAROFFSET, TC_U32_EAT = 1, 2, 4, 8
TC_U32_ROOT = 0xFFF00000

_MAXDEPTH = 8
_FIRST_HTID = 0x80000000
_FIRST_NODE = 0x800


@dataclass(frozen=True, slots=True)
class U32Key:
    """A word of the packet to compare (Linux: ``struct tc_u32_key``, as numbers).

    Parameters
    ----------
    mask, val : int
        Bits of the word in network order, and their value.
    off : int
        Where the word is, in octets from the network header, negative for the link header.
    offmask : int
        All ones if ``off`` counts from where the next header starts.
    """

    mask: int
    val: int
    off: int
    offmask: int = 0


@dataclass(frozen=True, slots=True)
class U32Sel:
    """What a filter looks at, and how it goes on (Linux: ``struct tc_u32_sel``).

    Parameters
    ----------
    keys : Sequence[U32Key]
        All of them must match.
    flags : int
        ``TC_U32_*``: it names a class; the next header is at a fixed, or at a variable offset; count from there.
    off, offoff, offmask, offshift : int
        The fixed offset; where the variable one is, which bits of those 16, and by how much they are shifted.
    hoff, hmask : int
        Where the word is that chooses a bucket of the linked table, and which bits of it.
    """

    keys: Sequence[U32Key] = ()
    flags: int = 0
    off: int = 0
    offoff: int = 0
    offmask: int = 0
    offshift: int = 0
    hoff: int = 0
    hmask: int = 0


class _Node:
    """One filter."""

    __slots__ = ("classid", "down", "fshift", "handle", "mark", "mark_mask", "sel", "up")

    def __init__(self, handle: int, sel: U32Sel, up: "_Hnode") -> None:
        self.handle = handle
        self.sel = sel
        self.up = up
        self.down: _Hnode | None = None
        self.classid = 0
        self.mark = self.mark_mask = 0
        self.fshift = (sel.hmask & -sel.hmask).bit_length() - 1 if sel.hmask else 0


class _Hnode:
    """A table of filters; ``links`` counts those that lead to it."""

    __slots__ = ("buckets", "handle", "links", "prio")

    def __init__(self, handle: int, divisor: int, prio: int) -> None:
        self.handle = handle
        self.prio = prio
        self.links = 0
        self.buckets: list[list[_Node]] = [[] for _ in range(divisor)]

    def nodes(self) -> Iterator[_Node]:
        """Yield the filters."""
        for bucket in self.buckets:
            yield from bucket


class _Common:
    """The tables of a qdisc."""

    __slots__ = ("tables", "users")

    def __init__(self) -> None:
        self.tables: dict[int, _Hnode] = {}
        self.users = 0

    def new_htid(self) -> int:
        """Return a free handle for a table."""
        for number in range(0x800, 0xFFF):
            if number << 20 not in self.tables:
                return number << 20
        raise OSError(ENOSPC, "there is a table under every handle")


class _Packet:
    """The octets of a packet, counted from the network header."""

    __slots__ = ("at", "length", "skb")

    def __init__(self, skb: SkBuff) -> None:
        self.skb = skb
        self.at = skb.network_header - skb.data
        self.length = skb.len

    def read(self, offset: int, size: int) -> int | None:
        """Return a number, or None if it is not all there."""
        offset += self.at
        skb = self.skb
        if offset >= 0:
            if offset + size > self.length:
                return None
            return int.from_bytes(skb_copy_bits(skb, offset, size), "big")
        start = skb.data + offset
        return int.from_bytes(skb.view[start : start + size], "big") if start >= 0 else None


class _NotThereError(Exception):
    """A word to compare lies outside the packet: none of the filters knows it."""


def u32_classify(skb: SkBuff, tp: TcfProto, result: TcfResult) -> int:
    """Go through the table, and tables linked from it, to the first filter that matches and names a class."""
    try:
        return _walk(_Packet(skb), tp.data, 0, 0, 0, result, 0)
    except _NotThereError:
        return TC_ACT_UNSPEC


def _matches(packet: _Packet, node: _Node, off: int, off2: int) -> bool:
    if packet.skb.mark & node.mark_mask != node.mark:
        return False
    for key in node.sel.keys:
        word = packet.read(off + key.off + (off2 & key.offmask), 4)
        if word is None:
            raise _NotThereError
        if (word ^ key.val) & key.mask:
            return False
    return True


def _walk(packet: _Packet, table: _Hnode, bucket: int, off: int, off2: int, result: TcfResult, depth: int) -> int:
    for node in table.buckets[bucket]:
        if not _matches(packet, node, off, off2):
            continue
        if node.down is not None:
            if depth >= _MAXDEPTH:
                raise _NotThereError
            verdict = _follow(packet, node, off, off2, result, depth)
            if verdict >= 0:
                return verdict
        if node.sel.flags & TC_U32_TERMINAL:
            result.classid = node.classid
            return TC_ACT_OK
    return TC_ACT_UNSPEC


def _follow(packet: _Packet, node: _Node, off: int, off2: int, result: TcfResult, depth: int) -> int:
    """Go on in the linked table, with the offset that it is to count from."""
    sel, down = node.sel, node.down
    assert down is not None
    bucket = 0
    if len(down.buckets) > 1:
        word = packet.read(off + sel.hoff, 4)
        if word is None:
            raise _NotThereError
        bucket = ((word & sel.hmask) >> node.fshift) & (len(down.buckets) - 1)
    if sel.flags & (TC_U32_OFFSET | TC_U32_VAROFFSET):
        off2 = sel.off + 3
        if sel.flags & TC_U32_VAROFFSET:
            half = packet.read(off + sel.offoff, 2)
            if half is None:
                raise _NotThereError
            off2 += (half & sel.offmask) >> sel.offshift
        off2 &= ~3
    if sel.flags & TC_U32_EAT:
        off += off2
        off2 = 0
    if packet.at + off >= packet.length:
        return TC_ACT_UNSPEC
    return _walk(packet, down, bucket, off, off2, result, depth + 1)


def u32_init(tp: TcfProto) -> None:
    """Make the root table of a preference."""
    common: _Common = tp.block.u32 or _Common()
    tp.block.u32 = common
    table = _Hnode(common.new_htid(), 1, tp.prio)
    table.links = 1
    common.users += 1
    common.tables[table.handle] = table
    tp.data = table


def u32_destroy(tp: TcfProto) -> None:
    """Take the tables of a preference away."""
    common: _Common = tp.block.u32
    for table in [table for table in common.tables.values() if table.prio == tp.prio]:
        for node in table.nodes():
            _link(node, None)
        del common.tables[table.handle]
    common.users -= 1
    if not common.users:
        tp.block.u32 = None


def _link(node: _Node, down: _Hnode | None) -> None:
    if down is not None:
        down.links += 1
    if node.down is not None:
        node.down.links -= 1
    node.down = down


def _table(tp: TcfProto, handle: int) -> _Hnode | None:
    htid = handle & TC_U32_ROOT
    common: _Common = tp.block.u32
    root: _Hnode = tp.data
    return root if htid == TC_U32_ROOT else common.tables.get(htid)


def u32_get(tp: TcfProto, handle: int) -> Any:
    """Return the table or the filter of a handle."""
    table = _table(tp, handle)
    if table is None or not handle & 0xFFF:
        return table
    bucket = handle >> 12 & 0xFF
    nodes = table.buckets[bucket] if bucket < len(table.buckets) else []
    return next((node for node in nodes if node.handle == handle), None)


def u32_change(tp: TcfProto, handle: int, found: Any, options: Options) -> Any:
    """Make a table (``divisor``) or a filter (``sel``), or change a filter."""
    if not options:
        if handle:
            raise OSError(EINVAL, "a filter u32 needs options")
        return None
    if isinstance(found, _Hnode) or (found is not None and "divisor" in options):
        raise OSError(EINVAL, "a table cannot be changed")
    if isinstance(found, _Node):
        if found.sel.flags & TC_U32_TERMINAL and "link" in options and options["link"]:
            raise OSError(EINVAL, "a filter that names a class does not lead on")
        _set(tp, found, options)
        return found
    if "divisor" in options:
        return _new_table(tp, handle, options["divisor"])
    htid: int = options.get("hash", 0)
    table = _table(tp, htid or TC_U32_ROOT)
    if table is None:
        raise OSError(EINVAL, f"there is no table {htid >> 20:x}:")
    if htid & TC_U32_ROOT in (0, TC_U32_ROOT):
        htid = table.handle | htid & 0xFF000
    if htid >> 12 & 0xFF >= len(table.buckets):
        raise OSError(EINVAL, f"table {htid >> 20:x}: has {len(table.buckets)} buckets")
    if handle:
        if handle & TC_U32_ROOT and (handle ^ htid) & TC_U32_ROOT:
            raise OSError(EINVAL, f"{handle:#x} is no handle in table {htid >> 20:x}:")
        handle = htid | handle & 0xFFF
    else:
        handle = _new_kid(table, htid)
    sel = options.get("sel")
    if sel is None:
        raise OSError(EINVAL, "a filter u32 needs a selector")
    node = _Node(handle, sel, table)
    node.mark, node.mark_mask = options.get("mark", (0, 0))
    _set(tp, node, options)
    bucket: list[_Node] = table.buckets[htid >> 12 & 0xFF]
    insort(bucket, node, key=lambda other: other.handle & 0xFFF)
    return node


def _new_table(tp: TcfProto, handle: int, divisor: int) -> _Hnode:
    common: _Common = tp.block.u32
    if divisor & (divisor - 1) or not 0 < divisor <= 256:
        raise OSError(EINVAL, f"divisor must be a power of 2 up to 256, not {divisor}")
    if handle & 0xFFFFF:
        raise OSError(EINVAL, f"{handle:#x} is no handle of a table")
    if handle in common.tables:
        raise OSError(EEXIST, f"there is a table {handle >> 20:x}:")
    table = common.tables[handle or common.new_htid()] = _Hnode(handle or common.new_htid(), divisor, tp.prio)
    return table


def _new_kid(table: _Hnode, htid: int) -> int:
    used = {node.handle & 0xFFF for node in table.buckets[htid >> 12 & 0xFF]}
    for first, end in ((_FIRST_NODE, 0xFFF), (1, _FIRST_NODE)):
        for number in range(first, end):
            if number not in used:
                return htid | number
    raise OSError(ENOSPC, f"table {htid >> 20:x}: is full")


def _set(tp: TcfProto, node: _Node, options: Options) -> None:
    if "link" in options:
        down = None
        if options["link"]:
            down = tp.block.u32.tables.get(options["link"])
            if options["link"] & 0xFFF or down is None:
                raise OSError(EINVAL, f"there is no table {options['link'] >> 20:x}: to lead to")
            if down is tp.data:
                raise OSError(EINVAL, "the root table cannot be led to")
        _link(node, down)
    if "classid" in options:
        node.classid = options["classid"]


def u32_delete(tp: TcfProto, found: Any) -> bool:
    """Take a filter away, or a table to which nothing leads; return whether nothing is left."""
    common: _Common = tp.block.u32
    if isinstance(found, _Hnode):
        if found is tp.data:
            raise OSError(EINVAL, "the root table stays")
        if found.links:
            raise OSError(EBUSY, f"filters lead to table {found.handle >> 20:x}:")
        for node in found.nodes():
            _link(node, None)
        del common.tables[found.handle]
    else:
        _link(found, None)
        found.up.buckets[found.handle >> 12 & 0xFF].remove(found)
    tables = [table for table in common.tables.values() if table.prio == tp.prio]
    return all(table is tp.data and not any(table.nodes()) for table in tables)


def u32_walk(tp: TcfProto) -> Iterator[Any]:
    """Yield the tables of this preference, each before its filters."""
    for table in tuple(tp.block.u32.tables.values()):
        if table.prio == tp.prio:
            yield table
            yield from tuple(table.nodes())


def u32_dump(tp: TcfProto, found: Any) -> tuple[int, dict[str, Any]]:
    """Return handle and options of a table or a filter."""
    if isinstance(found, _Hnode):
        return found.handle, {"divisor": len(found.buckets)}
    options: dict[str, Any] = {"sel": found.sel, "hash": found.handle & 0xFFFFF000}
    if found.classid:
        options["classid"] = found.classid
    if found.down is not None:
        options["link"] = found.down.handle
    if found.mark_mask:
        options["mark"] = (found.mark, found.mark_mask)
    return found.handle, options


TC_U32_SEL = TcStruct(
    "tc_u32_sel",
    (
        ("flags", "u8"),
        ("offshift", "u8"),
        ("nkeys", "u8"),
        ("pad", "u8"),
        ("offmask", "u16"),  # In network order.
        ("off", "u16"),
        ("offoff", "s16"),
        ("hoff", "s16"),
        ("hmask", "u32"),  # In network order.
    ),
)
cls_u32_ops = TcfProtoOps(
    "u32",
    u32_classify,
    u32_init,
    u32_get,
    u32_change,
    u32_delete,
    u32_walk,
    u32_dump,
    u32_destroy,
    policy={
        1: ("classid", "u32"),
        2: ("hash", "u32"),
        3: ("link", "u32"),
        4: ("divisor", "u32"),
        5: ("sel", "sel"),
        10: ("mark", "u32[2]"),
    },
)
