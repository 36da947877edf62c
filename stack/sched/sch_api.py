"""Making, changing and ending qdiscs, as ``tc qdisc`` does (Linux: net/sched/sch_api.c)."""

from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING, Any

from ..core.netdevice import IFF_NO_QUEUE, NetDevice, NetdevQueue, netif_running
from ..netlink.uapi import NlmF
from .pkt_sched import TC_H_MAJ, TC_H_MIN, TC_H_ROOT, Options, check_options
from .qdisc import Qdisc
from .sch_api_tree import qdisc_alloc_handle, qdisc_hash_add, qdisc_leaf, qdisc_lookup
from .sch_codel import codel_ops
from .sch_fifo import bfifo_ops, pfifo_head_drop_ops, pfifo_ops
from .sch_fq_codel import fq_codel_ops
from .sch_generic import (
    dev_activate,
    dev_deactivate,
    dev_graft_qdisc,
    noop_qdisc_ops,
    noqueue_qdisc_ops,
    qdisc_put,
)
from .sch_mq import mq_qdisc_ops
from .sch_netem import netem_ops
from .sch_pfifo_fast import pfifo_fast_ops
from .sch_prio import prio_ops
from .sch_sfq import sfq_ops
from .sch_tbf import tbf_ops

if TYPE_CHECKING:
    from ..core.net import Kernel

__all__ = [
    "QDISCS",
    "gnet_stats",
    "qdisc_add",
    "qdisc_change",
    "qdisc_create",
    "qdisc_del",
    "qdisc_dump",
    "qdisc_get",
    "qdisc_graft",
    "qdisc_replace",
    "qdisc_set_default",
    "tc_get_qdisc",
    "tc_modify_qdisc",
]

_DEFAULT_TX_QUEUE_LEN = 1000
QDISCS = {
    ops.id: ops
    for ops in (
        bfifo_ops,
        codel_ops,
        fq_codel_ops,
        mq_qdisc_ops,
        netem_ops,
        noqueue_qdisc_ops,
        pfifo_fast_ops,
        pfifo_head_drop_ops,
        pfifo_ops,
        prio_ops,
        sfq_ops,
        tbf_ops,
    )
}


def qdisc_set_default(kernel: "Kernel", kind: str) -> None:
    """Choose what devices start with: the sysctl ``net.core.default_qdisc``.

    Raises
    ------
    OSError
        ``ENOENT`` for an unknown kind.
    """
    ops = QDISCS.get(kind)
    if ops is None:
        raise OSError(ENOENT, f"no qdisc {kind!r}; there are {', '.join(sorted(QDISCS))}")
    kernel.default_qdisc_ops = ops


def qdisc_create(
    dev: NetDevice, dev_queue: NetdevQueue, kind: str | None, parent: int, handle: int, options: Options
) -> Qdisc:
    """Make a qdisc, which ``qdisc_graft`` puts in place.

    Raises
    ------
    OSError
        ``ENOENT`` for an unknown kind; ``EINVAL`` for impossible options; ``ENOSPC`` if there is no handle left.
    """
    ops = QDISCS.get(kind or "")
    if ops is None:
        raise OSError(ENOENT, f"no qdisc {kind!r}; there are {', '.join(sorted(QDISCS))}")
    check_options(f"qdisc {kind}", ops.layouts(), options)
    sch = Qdisc(dev_queue, ops, parent, handle or qdisc_alloc_handle(dev))
    sch.one_txq = len(dev.tx) == 1
    if dev.priv_flags & IFF_NO_QUEUE and not dev.tx_queue_len:
        dev.tx_queue_len = _DEFAULT_TX_QUEUE_LEN
    if ops.init is not None:
        ops.init(sch, options)
    qdisc_hash_add(sch)
    return sch


def qdisc_graft(dev: NetDevice, parent: Qdisc | None, classid: int, new: Qdisc | None) -> None:
    """Put a qdisc, or the default one for None, at the root or in a class; what was there ends.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` if the parent has no classes, ``ENOENT`` if it has not that one, ``EINVAL`` for noqueue there.
    """
    if parent is None:
        _graft_root(dev, new)
        return
    ops = parent.ops.cl_ops
    if ops is None or ops.graft is None:
        raise OSError(EOPNOTSUPP, f"qdisc {parent.ops.id} has no classes that take a qdisc")
    cl = ops.find(parent, classid)
    if not cl:
        raise OSError(ENOENT, f"{dev.name} has no class {classid >> 16:x}:{TC_H_MIN(classid):x}")
    if new is not None and new.ops is noqueue_qdisc_ops:
        raise OSError(EINVAL, "noqueue cannot be in a class")
    old = ops.graft(parent, cl, new)
    if old is not None:
        qdisc_put(old)


def _graft_root(dev: NetDevice, new: Qdisc | None) -> None:
    running = netif_running(dev)
    if running:
        dev_deactivate(dev)
    olds = [dev.qdisc]
    attach = None if new is None else new.ops.attach
    if attach is None:
        olds += [dev_graft_qdisc(txq, new) for txq in dev.tx]
        if new is not None:
            new.refcnt += len(dev.tx)
    dev.qdisc = new or dev.tx[0].qdisc
    for old in olds:
        qdisc_put(old)
    if new is not None and attach is not None:
        attach(new)
    if running:
        dev_activate(dev)


def qdisc_change_options(sch: Qdisc, options: Options | None) -> None:
    """Change a qdisc that is in place.

    Raises
    ------
    OSError
        ``EINVAL`` if it cannot be changed, or for impossible options.
    """
    if options is None:
        return
    if sch.ops.change is None:
        raise OSError(EINVAL, f"qdisc {sch.ops.id} cannot be changed")
    check_options(f"qdisc {sch.ops.id}", sch.ops.layouts(), options)
    sch.ops.change(sch, options)


def _lookup(dev: NetDevice, handle: int, what: str) -> Qdisc:
    sch = qdisc_lookup(dev, handle)
    if sch is None:
        raise OSError(ENOENT, f"{dev.name} has no {what} {handle >> 16:x}:")
    return sch


def _check_kind(sch: Qdisc, kind: str | None) -> None:
    if kind is not None and kind != sch.ops.id:
        raise OSError(EINVAL, f"qdisc {sch.handle >> 16:x}: is {sch.ops.id}, not {kind}")


def _find(dev: NetDevice, kind: str | None, parent: int, handle: int) -> tuple[Qdisc | None, Qdisc]:
    above = None
    if not parent:
        sch = _lookup(dev, handle, "qdisc")
    elif parent == TC_H_ROOT:
        sch = dev.qdisc
    else:
        above = _lookup(dev, TC_H_MAJ(parent), "parent qdisc")
        leaf = qdisc_leaf(above, parent)
        if leaf is None:
            raise OSError(ENOENT, f"{dev.name} has no qdisc in {parent >> 16:x}:{TC_H_MIN(parent):x}")
        sch = leaf
    if parent and handle and sch.handle != handle:
        raise OSError(EINVAL, f"that qdisc is {sch.handle >> 16:x}:, not {handle >> 16:x}:")
    _check_kind(sch, kind)
    return above, sch


def tc_get_qdisc(
    dev: NetDevice, kind: str | None = None, parent: int = 0, handle: int = 0, *, delete: bool = False
) -> Qdisc:
    """Find a qdisc, as ``RTM_GETQDISC`` does, or end it, as ``RTM_DELQDISC`` does.

    Parameters
    ----------
    dev : NetDevice
        The device.
    kind : str or None
        What it has to be.
    parent : int
        The class that it is in, ``TC_H_ROOT``, or 0: only the handle counts.
    handle : int
        Its handle, or 0.
    delete : bool
        Whether to end it.

    Raises
    ------
    OSError
        ``ENOENT`` if there is none or, to end it, if it is a default one; ``EINVAL`` if it is another one.
    """
    with dev.kernel.rtnl:
        above, sch = _find(dev, kind, parent, handle)
        if delete:
            if not parent:
                raise OSError(EINVAL, "ending a qdisc takes its parent")
            if not sch.handle:
                raise OSError(ENOENT, f"the default qdisc of {dev.name} cannot be ended")
            qdisc_graft(dev, above, parent, None)
        return sch


def tc_modify_qdisc(
    dev: NetDevice,
    flags: int,
    kind: str | None,
    parent: int = TC_H_ROOT,
    handle: int = 0,
    options: Options | None = None,
) -> Qdisc:
    """Make or change a qdisc, as ``RTM_NEWQDISC`` does.

    Parameters
    ----------
    dev : NetDevice
        The device.
    flags : int
        ``NLM_F_*`` of the message.
    kind : str or None
        Its kind.
    parent, handle : int
        As for ``tc_get_qdisc``.
    options : Options or None
        What ``TCA_OPTIONS`` holds.

    Returns
    -------
    Qdisc
        What is there now.

    Raises
    ------
    OSError
        ``ENOENT``, ``EEXIST``, ``EINVAL``, ``EOPNOTSUPP``, ``ENOSPC``.
    """
    with dev.kernel.rtnl:
        above, sch, is_new, changing = None, None, False, False
        if not parent:
            if not handle:
                raise OSError(EINVAL, "a qdisc without a parent needs a handle")
            sch = qdisc_lookup(dev, handle)
        else:
            if parent == TC_H_ROOT:
                sch = dev.qdisc
            else:
                above = _lookup(dev, TC_H_MAJ(parent), "qdisc")
                sch = qdisc_leaf(above, parent)
            if sch is not None and not sch.handle:
                sch = None  # A default one gives way.
            if handle and (sch is None or sch.handle != handle):
                _check_new(dev, flags, sch, handle)
                is_new = True
            elif not handle:
                # Of another kind it is made, too, if it is to be added or replaced, or only changed.
                other = sch is not None and kind is not None and kind != sch.ops.id
                create = bool(flags & NlmF.CREATE and flags & (NlmF.REPLACE | NlmF.EXCL))
                changing = other and not flags & (NlmF.CREATE | NlmF.REPLACE | NlmF.EXCL)
                is_new = sch is None or (other and create) or changing
        if is_new:
            if not flags & NlmF.CREATE and not changing:
                raise OSError(ENOENT, f"{dev.name} has no such qdisc")
            queue = dev.tx[0] if above is None else above.dev_queue
            if above is not None and above.ops.cl_ops is not None and above.ops.cl_ops.select_queue is not None:
                queue = above.ops.cl_ops.select_queue(above, parent)
            sch = qdisc_create(dev, queue, kind, parent, handle, options or {})
            try:
                qdisc_graft(dev, above, parent, sch)
            except OSError:
                qdisc_put(sch)
                raise
            return sch
        if sch is None:
            raise OSError(ENOENT, f"{dev.name} has no qdisc {handle >> 16:x}:")
        if flags & NlmF.EXCL:
            raise OSError(EEXIST, f"there is a qdisc {sch.ops.id} already")
        _check_kind(sch, kind)
        qdisc_change_options(sch, options)
        return sch


def _check_new(dev: NetDevice, flags: int, there: Qdisc | None, handle: int) -> None:
    """Check that a qdisc of that handle can be made, and take the place of another one."""
    if there is not None and not flags & NlmF.REPLACE:
        raise OSError(EEXIST, f"there is a qdisc {there.handle >> 16:x}: already")
    if TC_H_MIN(handle):
        raise OSError(EINVAL, f"{handle:#x} is the handle of a class")
    if qdisc_lookup(dev, handle) is not None:
        raise OSError(EINVAL, f"qdisc {handle >> 16:x}: cannot move to another parent")


def qdisc_add(dev: NetDevice, kind: str, *, parent: int = TC_H_ROOT, handle: int = 0, **options: Any) -> Qdisc:
    """Add a qdisc where there is none: ``tc qdisc add dev DEV parent PARENT handle HANDLE KIND OPTIONS``.

    Raises
    ------
    OSError
        As ``tc_modify_qdisc``.
    """
    return tc_modify_qdisc(dev, NlmF.CREATE | NlmF.EXCL, kind, parent, handle, options)


def qdisc_replace(dev: NetDevice, kind: str, *, parent: int = TC_H_ROOT, handle: int = 0, **options: Any) -> Qdisc:
    """Add a qdisc, in the place of one that is there, or change that if it is of the kind: ``tc qdisc replace``.

    Packets that another one holds are dropped.
    """
    return tc_modify_qdisc(dev, NlmF.CREATE | NlmF.REPLACE, kind, parent, handle, options)


def qdisc_change(
    dev: NetDevice, kind: str | None = None, *, parent: int = TC_H_ROOT, handle: int = 0, **options: Any
) -> Qdisc:
    """Change a qdisc: ``tc qdisc change``."""
    return tc_modify_qdisc(dev, 0, kind, parent, handle, options)


def qdisc_del(dev: NetDevice, kind: str | None = None, *, parent: int = TC_H_ROOT, handle: int = 0) -> None:
    """End a qdisc; the default one is there again: ``tc qdisc del``."""
    tc_get_qdisc(dev, kind, parent, handle, delete=True)


def qdisc_get(dev: NetDevice, kind: str | None = None, *, parent: int = 0, handle: int = 0) -> Qdisc:
    """Return the qdisc in a class, or of a handle: ``tc qdisc get``."""
    return tc_get_qdisc(dev, kind, parent, handle)


def qdisc_dump(dev: NetDevice, *, invisible: bool = False) -> Iterator[Qdisc]:
    """Yield the qdiscs of a device, the root first; defaults inside others only if asked for: ``tc qdisc show``."""
    if dev.qdisc.ops is not noop_qdisc_ops:
        yield dev.qdisc
    yield from (sch for sch in tuple(dev.qdisc_hash) if invisible or not sch.invisible)


def gnet_stats(sch: Qdisc) -> dict[str, int]:
    """Return the statistics of a qdisc, under the names that ``tc -s -j`` has for them."""
    sch.ops.dump(sch)  # Brings some up to date.
    return {
        "bytes": sch.octets,
        "packets": sch.packets,
        "drops": sch.drops,
        "overlimits": sch.overlimits,
        "requeues": sch.requeues,
        "backlog": sch.backlog_octets,
        "qlen": sch.qlen,
    }
