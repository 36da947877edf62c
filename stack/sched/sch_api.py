"""Choosing qdiscs (Linux: net/sched/sch_api.c)."""

from errno import EINVAL, ENOENT
from typing import Any

from ..core.netdevice import NetDevice, netif_running
from .sch_fifo import bfifo_ops, pfifo_ops
from .sch_generic import Qdisc, dev_activate, dev_deactivate, noqueue_qdisc_ops, pfifo_fast_ops, qdisc_create
from .sch_tbf import tbf_ops

__all__ = ["qdisc_replace"]

_QDISCS = {ops.id: ops for ops in (noqueue_qdisc_ops, pfifo_fast_ops, pfifo_ops, bfifo_ops, tbf_ops)}


def qdisc_replace(dev: NetDevice, kind: str, **options: Any) -> Qdisc:
    """Put another root qdisc on a device: ``tc qdisc replace dev DEV root KIND OPTIONS``.

    Packets that the present one holds are dropped.

    Returns
    -------
    Qdisc
        The new one, of the first TX queue.

    Raises
    ------
    OSError
        ``ENOENT`` for an unknown kind; ``EINVAL`` for impossible options.
    """
    ops = _QDISCS.get(kind)
    if ops is None:
        raise OSError(ENOENT, f"no qdisc {kind!r}; there are {', '.join(sorted(_QDISCS))}")
    for name, value in options.items():
        if not isinstance(value, int) or not 0 <= value < 1 << 63:
            raise OSError(EINVAL, f"{name} must be a number from 0 up, not {value!r}")
    with dev.kernel.rtnl:
        try:
            new = [qdisc_create(txq, ops, **options) for txq in dev.tx]
        except TypeError:
            raise OSError(EINVAL, f"qdisc {kind} does not take {', '.join(sorted(options))}") from None
        running = netif_running(dev)
        if running:
            dev_deactivate(dev)
        for txq, qdisc in zip(dev.tx, new, strict=True):
            txq.qdisc_sleeping = qdisc
        if running:
            dev_activate(dev)
    return new[0]
