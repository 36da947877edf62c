"""The tree of a device's qdiscs (Linux: net/sched/sch_api.c)."""

from errno import ENOENT, ENOSPC, EOPNOTSUPP

from ..core.netdevice import NetDevice
from .pkt_sched import TC_H_MAJ, TC_H_MIN, TC_H_ROOT
from .qdisc import Qdisc

__all__ = [
    "qdisc_alloc_handle",
    "qdisc_hash_add",
    "qdisc_hash_del",
    "qdisc_leaf",
    "qdisc_lookup",
    "qdisc_tree_reduce_backlog",
]

_FIRST_AUTOHANDLE = 0x80000000


def qdisc_hash_add(sch: Qdisc, invisible: bool = False) -> None:
    """Make a qdisc that is not a root known to its device."""
    if sch.parent != TC_H_ROOT:
        sch.dev_queue.dev.qdisc_hash.append(sch)
        sch.invisible = invisible


def qdisc_hash_del(sch: Qdisc) -> None:
    """Forget it."""
    known = sch.dev_queue.dev.qdisc_hash
    if sch in known:
        known.remove(sch)


def qdisc_lookup(dev: NetDevice, handle: int) -> Qdisc | None:
    """Return the qdisc of that handle."""
    if not handle:
        return None
    if dev.qdisc.handle == handle:
        return dev.qdisc
    return next((sch for sch in dev.qdisc_hash if sch.handle == handle), None)


def qdisc_leaf(sch: Qdisc, classid: int) -> Qdisc | None:
    """Return the qdisc in a class.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` if the qdisc has no classes, ``ENOENT`` if it has not that one.
    """
    ops = sch.ops.cl_ops
    if ops is None:
        raise OSError(EOPNOTSUPP, f"qdisc {sch.ops.id} has no classes")
    cl = ops.find(sch, classid)
    if not cl:
        raise OSError(ENOENT, f"qdisc {sch.ops.id} has no class {classid >> 16:x}:{TC_H_MIN(classid):x}")
    return ops.leaf(sch, cl)


def qdisc_alloc_handle(dev: NetDevice) -> int:
    """Return a handle that nobody uses: ``8001:`` and so on.

    Raises
    ------
    OSError
        ``ENOSPC``.
    """
    kernel = dev.kernel
    for _ in range(0x8000):
        kernel.qdisc_autohandle += 0x10000
        if kernel.qdisc_autohandle >= TC_H_MAJ(TC_H_ROOT):
            kernel.qdisc_autohandle = _FIRST_AUTOHANDLE
        if qdisc_lookup(dev, kernel.qdisc_autohandle) is None:
            return kernel.qdisc_autohandle
    raise OSError(ENOSPC, f"{dev.name} has a qdisc under every handle")


def qdisc_tree_reduce_backlog(sch: Qdisc, packets: int, octets: int) -> None:
    """Tell those above a qdisc that it has dropped packets that they had counted."""
    dev = sch.dev_queue.dev
    if not packets and not octets:
        return
    drops = max(packets, 0)
    while sch.parent and sch.parent != TC_H_ROOT and not sch.noparent:
        above = qdisc_lookup(dev, TC_H_MAJ(sch.parent))
        if above is None:
            return
        above.qlen -= packets
        above.backlog_octets -= octets
        above.drops += drops
        sch = above
