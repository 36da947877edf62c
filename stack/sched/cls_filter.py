"""Adding, changing and taking filters away, as ``tc filter`` does (Linux: net/sched/cls_api.c)."""

from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENOENT, EOPNOTSUPP
from typing import Any

from ..core.netdevice import NetDevice
from ..netlink.uapi import NlmF
from .cls_api import ETH_P_ALL, TcfBlock, TcfProto, TcfProtoOps, tcf_block_insert
from .cls_fw import cls_fw_ops
from .cls_u32 import cls_u32_ops
from .pkt_sched import TC_H_MAJ, TC_H_MIN, Options, check_options
from .sch_api_tree import qdisc_lookup

__all__ = [
    "KINDS",
    "filter_add",
    "filter_change",
    "filter_del",
    "filter_replace",
    "tc_del_tfilter",
    "tc_dump_tfilter",
    "tc_new_tfilter",
]

KINDS = {ops.kind: ops for ops in (cls_fw_ops, cls_u32_ops)}
_FIRST_AUTO_PRIO = 0xC000


def tcf_block_find(dev: NetDevice, parent: int) -> TcfBlock:
    """Return the filters of a qdisc or class, 0 for the root.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOENT``, ``EOPNOTSUPP``.
    """
    sch = qdisc_lookup(dev, TC_H_MAJ(parent)) if parent else dev.qdisc
    if sch is None:
        raise OSError(EINVAL, f"{dev.name} has no qdisc {parent >> 16:x}:")
    ops = sch.ops.cl_ops
    if ops is None:
        raise OSError(EINVAL, f"qdisc {sch.ops.id} has no classes")
    if ops.tcf_block is None:
        raise OSError(EOPNOTSUPP, f"qdisc {sch.ops.id} has no filters")
    cl = 0
    if TC_H_MIN(parent):
        cl = ops.find(sch, parent)
        if not cl:
            raise OSError(ENOENT, f"{dev.name} has no class {parent >> 16:x}:{TC_H_MIN(parent):x}")
    block = ops.tcf_block(sch, cl)
    if block is None:
        raise OSError(EINVAL, f"classes of {sch.ops.id} have no filters")
    return block


def tcf_chain_tp_find(block: TcfBlock, prio: int, protocol: int) -> TcfProto | None:
    """Return the filters of a preference, of that protocol unless it is 0.

    Raises
    ------
    OSError
        ``EINVAL`` if they are of another protocol.
    """
    tp = next((tp for tp in block.chain if tp.prio == prio), None)
    if tp is not None and protocol and tp.protocol != protocol:
        raise OSError(EINVAL, f"filters of preference {prio} are for protocol {tp.protocol:#06x}")
    return tp


def _new_proto(block: TcfBlock, kind: str | None, prio: int, protocol: int, flags: int) -> TcfProto:
    if kind is None or not protocol:
        raise OSError(EINVAL, "a filter needs a kind and a protocol")
    if not flags & NlmF.CREATE:
        raise OSError(ENOENT, f"there is no filter of preference {prio}")
    ops: TcfProtoOps | None = KINDS.get(kind)
    if ops is None:
        raise OSError(ENOENT, f"no filter {kind!r}; there are {', '.join(sorted(KINDS))}")
    if not prio:
        prio = block.chain[0].prio - 1 if block.chain else _FIRST_AUTO_PRIO
    tp = TcfProto(block, ops, prio, protocol)
    ops.init(tp)
    return tp


def tc_new_tfilter(
    dev: NetDevice,
    flags: int,
    kind: str | None,
    parent: int = 0,
    protocol: int = 0,
    prio: int = 0,
    handle: int = 0,
    options: Options | None = None,
) -> tuple[TcfProto, Any]:
    """Make or change a filter, as ``RTM_NEWTFILTER`` does.

    Parameters
    ----------
    dev : NetDevice
        The device.
    flags : int
        ``NLM_F_*`` of the message.
    kind : str or None
        ``"u32"`` or ``"fw"``.
    parent : int
        Qdisc or class, 0 for the root.
    protocol, prio, handle : int
        EtherType, preference (0: a lower one than the others have) and the filter's handle.
    options : Options or None
        What ``TCA_OPTIONS`` holds.

    Returns
    -------
    tuple[TcfProto, object]
        What the filter belongs to, and the filter.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOENT``, ``EEXIST``, ``EOPNOTSUPP``.
    """
    with dev.kernel.rtnl:
        if not prio and not flags & NlmF.CREATE:
            raise OSError(ENOENT, "changing a filter takes its preference")
        block = tcf_block_find(dev, parent)
        tp = tcf_chain_tp_find(block, prio, protocol) if prio else None
        created = tp is None
        if tp is None:
            tp = _new_proto(block, kind, prio, protocol, flags)
        elif kind is not None and kind != tp.ops.kind:
            raise OSError(EINVAL, f"filters of preference {prio} are {tp.ops.kind}, not {kind}")
        found = tp.ops.get(tp, handle) if handle else None
        if found is None and not flags & NlmF.CREATE:
            raise OSError(ENOENT, f"there is no filter {handle:#x}")
        if found is not None and flags & NlmF.EXCL:
            raise OSError(EEXIST, f"there is a filter {handle:#x}")
        check_options(f"filter {tp.ops.kind}", list(tp.ops.policy.values()), options or {})
        try:
            found = tp.ops.change(tp, handle, found, options or {})
        except OSError:
            if created and tp.ops.destroy is not None:
                tp.ops.destroy(tp)
            raise
        if created:
            tcf_block_insert(block, tp)
        return tp, found


def tc_del_tfilter(
    dev: NetDevice, kind: str | None = None, parent: int = 0, protocol: int = 0, prio: int = 0, handle: int = 0
) -> None:
    """Take a filter away, all of a preference, or all, as ``RTM_DELTFILTER`` does.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOENT``, ``EOPNOTSUPP``.
    """
    with dev.kernel.rtnl:
        if not prio and (protocol or handle or kind):
            raise OSError(ENOENT, "all filters go, or those of a preference")
        block = tcf_block_find(dev, parent)
        if not prio:
            for each in tuple(block.chain):
                _destroy(block, each)
            return
        tp = tcf_chain_tp_find(block, prio, protocol)
        if tp is None:
            raise OSError(ENOENT, f"there is no filter of preference {prio}")
        if kind is not None and kind != tp.ops.kind:
            raise OSError(EINVAL, f"filters of preference {prio} are {tp.ops.kind}, not {kind}")
        if not handle:
            _destroy(block, tp)
            return
        found = tp.ops.get(tp, handle)
        if found is None:
            raise OSError(ENOENT, f"there is no filter {handle:#x}")
        if tp.ops.delete(tp, found):
            _destroy(block, tp)


def _destroy(block: TcfBlock, tp: TcfProto) -> None:
    block.chain.remove(tp)
    if tp.ops.destroy is not None:
        tp.ops.destroy(tp)


def tc_dump_tfilter(dev: NetDevice, parent: int = 0) -> Iterator[tuple[TcfProto, int, dict[str, Any]]]:
    """Yield the filters of a qdisc or class, each with its handle and options."""
    for tp in tuple(tcf_block_find(dev, parent).chain):
        for found in tp.ops.walk(tp):
            yield tp, *tp.ops.dump(tp, found)


def filter_add(
    dev: NetDevice,
    kind: str,
    *,
    parent: int = 0,
    protocol: int = ETH_P_ALL,
    prio: int = 0,
    handle: int = 0,
    **options: Any,
) -> Any:
    """Add a filter: ``tc filter add dev DEV parent PARENT protocol PROTOCOL prio PRIO handle HANDLE KIND OPTIONS``.

    Raises
    ------
    OSError
        As ``tc_new_tfilter``.
    """
    return tc_new_tfilter(dev, NlmF.CREATE | NlmF.EXCL, kind, parent, protocol, prio, handle, options)[1]


def filter_replace(
    dev: NetDevice,
    kind: str,
    *,
    parent: int = 0,
    protocol: int = ETH_P_ALL,
    prio: int = 0,
    handle: int = 0,
    **options: Any,
) -> Any:
    """Change a filter, or add it: ``tc filter replace``."""
    return tc_new_tfilter(dev, NlmF.CREATE, kind, parent, protocol, prio, handle, options)[1]


def filter_change(
    dev: NetDevice, kind: str, *, parent: int = 0, protocol: int = 0, prio: int = 0, handle: int = 0, **options: Any
) -> Any:
    """Change a filter: ``tc filter change``."""
    return tc_new_tfilter(dev, 0, kind, parent, protocol, prio, handle, options)[1]


def filter_del(
    dev: NetDevice, kind: str | None = None, *, parent: int = 0, protocol: int = 0, prio: int = 0, handle: int = 0
) -> None:
    """Take filters away: ``tc filter del``."""
    tc_del_tfilter(dev, kind, parent, protocol, prio, handle)
