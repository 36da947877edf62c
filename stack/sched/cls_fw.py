"""Filter by the packet's mark (Linux: net/sched/cls_fw.c, tc-fw(8))."""

from collections.abc import Iterator
from errno import EINVAL
from typing import Any

from ..core.skbuff import SkBuff
from .cls_api import TC_ACT_OK, TC_ACT_UNSPEC, TcfProto, TcfProtoOps, TcfResult
from .pkt_sched import TC_H_MAJ, Options

__all__ = ["cls_fw_ops"]

_ALL = 0xFFFFFFFF


class _Head:
    """Classes by mark, of which the bits in ``mask`` count."""

    __slots__ = ("filters", "mask")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.filters: dict[int, _Filter] = {}


class _Filter:
    __slots__ = ("classid", "id")

    def __init__(self, id: int) -> None:
        self.id = id
        self.classid = 0


def fw_classify(skb: SkBuff, tp: TcfProto, result: TcfResult) -> int:
    """Return the class of a mark; as long as no mark has one, the mark is the class."""
    head: _Head | None = tp.data
    if head is None:
        mark = skb.mark
        if not mark or TC_H_MAJ(mark) not in (0, tp.block.sch.handle):
            return TC_ACT_UNSPEC
        result.classid = mark
        return TC_ACT_OK
    found = head.filters.get(skb.mark & head.mask)
    if found is None:
        return TC_ACT_UNSPEC
    result.classid = found.classid
    return TC_ACT_OK


def fw_init(tp: TcfProto) -> None:
    """Start without a mark."""


def fw_get(tp: TcfProto, handle: int) -> Any:
    """Return the filter of a mark."""
    head: _Head | None = tp.data
    return None if head is None else head.filters.get(handle)


def fw_change(tp: TcfProto, handle: int, found: Any, options: Options) -> Any:
    """Give a mark a class; without mark and options the mark stays the class."""
    if not options:
        if handle:
            raise OSError(EINVAL, "a filter by mark needs options")
        return None
    if not handle:
        raise OSError(EINVAL, "the handle of a filter by mark is the mark: not 0")
    head: _Head | None = tp.data
    mask = options.get("mask", _ALL)
    if head is not None and mask != head.mask and ("mask" in options or found is None):
        raise OSError(EINVAL, f"filters of one preference share the mask {head.mask:#x}")
    if head is None:
        head = tp.data = _Head(mask)
    if found is None:
        found = head.filters[handle] = _Filter(handle)
    found.classid = options.get("classid", found.classid)
    return found


def fw_delete(tp: TcfProto, found: Any) -> bool:
    """Take a mark's class away."""
    del tp.data.filters[found.id]
    return not tp.data.filters


def fw_walk(tp: TcfProto) -> Iterator[Any]:
    """Yield the filters."""
    if tp.data is not None:
        yield from tuple(tp.data.filters.values())


def fw_dump(tp: TcfProto, found: Any) -> tuple[int, dict[str, Any]]:
    """Return mark, class and mask."""
    options = {"classid": found.classid} if found.classid else {}
    if tp.data.mask != _ALL:
        options["mask"] = tp.data.mask
    return found.id, options


cls_fw_ops = TcfProtoOps(
    "fw",
    fw_classify,
    fw_init,
    fw_get,
    fw_change,
    fw_delete,
    fw_walk,
    fw_dump,
    policy={1: ("classid", "u32"), 5: ("mask", "u32")},
)
