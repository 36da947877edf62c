"""NAPI: polling devices instead of taking an interrupt a packet, and the backlog (Linux: net/core/dev.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .dev_receive import __netif_receive_skb
from .drop_reasons import SkbDropReason
from .gro import GRO_HASH_BUCKETS, gro_normal_list, napi_gro_flush
from .netdevice import NET_RX_DROP, NET_RX_SUCCESS, NetDevice
from .skbuff import SkBuff, kfree_skb_reason
from .softirq import NET_RX_SOFTIRQ, local_bh_disable, local_bh_enable, raise_softirq_irqoff
from .timer import HZ

if TYPE_CHECKING:
    from .net import Kernel

__all__ = [
    "NETDEV_MAX_BACKLOG",
    "Napi",
    "__napi_schedule",
    "__netif_rx",
    "napi_complete_done",
    "napi_disable",
    "napi_enable",
    "napi_schedule",
    "napi_schedule_prep",
    "net_rx_action",
    "netif_napi_add",
    "netif_rx",
    "process_backlog",
]

NAPI_POLL_WEIGHT = 64
NETDEV_BUDGET = 300
NETDEV_MAX_BACKLOG = 1000


class Napi:
    """Something that ``net_rx_action`` polls (Linux: ``struct napi_struct``).

    Members
    -------
    poll : Callable[[Napi, int], int]
        Does at most so much work and returns how much it was; less than the budget means that it has called
        ``napi_complete_done``.
    scheduled : bool
        It is in the poll list, or being polled, or disabled.
    missed : bool
        It was scheduled again while it was being polled.
    rx_list, rx_count : list[SkBuff], int
        Received packets that wait to go on together, and how many segments they stand for.
    gro_hash : list[list[SkBuff]]
        Received packets that wait for others of their flow to join them, the oldest first.
    """

    __slots__ = (
        "dev",
        "enabled",
        "gro_hash",
        "kernel",
        "missed",
        "poll",
        "rx_count",
        "rx_list",
        "scheduled",
        "weight",
    )

    rx_list: list[SkBuff]
    gro_hash: list[list[SkBuff]]

    def __init__(
        self, kernel: "Kernel", dev: NetDevice | None, poll: "Callable[[Napi, int], int]", weight: int
    ) -> None:
        self.kernel = kernel
        self.dev = dev
        self.poll = poll
        self.weight = weight
        self.scheduled = True
        self.missed = False
        self.enabled = False
        self.rx_list = []
        self.rx_count = 0
        self.gro_hash = [[] for _ in range(GRO_HASH_BUCKETS)]


def netif_napi_add(dev: NetDevice, poll: Callable[[Napi, int], int], weight: int = NAPI_POLL_WEIGHT) -> Napi:
    """Give a device something to poll; it is disabled."""
    napi = Napi(dev.kernel, dev, poll, weight)
    dev.napi_list.append(napi)
    return napi


def napi_enable(napi: Napi) -> None:
    """Let it be scheduled."""
    napi.enabled = True
    napi.scheduled = napi.missed = False


def napi_disable(napi: Napi) -> None:
    """Take it out of the poll list and keep it from being scheduled."""
    napi.enabled = False
    napi.scheduled = True
    poll_list = napi.kernel.softnet.poll_list
    if napi in poll_list:
        poll_list.remove(napi)


def napi_schedule_prep(napi: Napi) -> bool:
    """Return whether the caller has to schedule it: it is enabled and not scheduled yet."""
    if napi.scheduled:
        napi.missed = napi.enabled
        return False
    napi.scheduled = True
    return True


def __napi_schedule(napi: Napi) -> None:
    """Have it polled in the next softirq."""
    napi.kernel.softnet.poll_list.append(napi)
    raise_softirq_irqoff(napi.kernel, NET_RX_SOFTIRQ)


def napi_schedule(napi: Napi) -> None:
    """Schedule it, unless it is already."""
    if napi_schedule_prep(napi):
        __napi_schedule(napi)


def napi_complete_done(napi: Napi, work_done: int) -> bool:
    """End the polling; return False if it has to go on, since it was scheduled meanwhile."""
    napi_gro_flush(napi, flush_old=False)
    gro_normal_list(napi)
    if napi.missed:
        napi.missed = False
        __napi_schedule(napi)
        return False
    napi.scheduled = False
    return True


def __napi_poll(napi: Napi) -> tuple[int, bool]:
    """Poll once; return the work done and whether it wants to be polled again."""
    work = napi.poll(napi, napi.weight)
    if work > napi.weight:
        raise ValueError(f"{napi.dev!r}: poll did {work} of {napi.weight}")
    if work < napi.weight:
        return work, False
    # It is not at its end; a jiffy as long as ours is too long for what is held to wait on.
    napi_gro_flush(napi, flush_old=HZ >= 1000)
    gro_normal_list(napi)
    return work, True


def net_rx_action(kernel: "Kernel") -> None:
    """Poll what is scheduled, in turn, up to the budget of one softirq."""
    poll_list = kernel.softnet.poll_list
    budget = NETDEV_BUDGET
    # What is scheduled from now on waits for the next round, so that one busy device cannot starve the softirqs.
    for _ in range(len(poll_list)):
        if not poll_list:  # A poll may have disabled another.
            break
        napi = poll_list.popleft()
        work, again = __napi_poll(napi)
        if again and napi.enabled:
            poll_list.append(napi)
        budget -= work
        if budget <= 0:
            kernel.softnet.time_squeeze += 1
            break
    if poll_list:
        raise_softirq_irqoff(kernel, NET_RX_SOFTIRQ)


def __netif_rx(skb: SkBuff) -> int:
    """Queue a received packet for the backlog, from within a softirq."""
    return netif_rx_internal(skb)


def netif_rx(skb: SkBuff) -> int:
    """Queue a received packet for the backlog, from anywhere."""
    kernel = skb.kernel
    local_bh_disable(kernel)
    verdict = netif_rx_internal(skb)
    local_bh_enable(kernel)
    return verdict


def netif_rx_internal(skb: SkBuff) -> int:
    """Choose the CPU whose backlog takes the packet: there is one."""
    return enqueue_to_backlog(skb)


def enqueue_to_backlog(skb: SkBuff) -> int:
    """Append a packet to the backlog, or drop it when that is full."""
    kernel = skb.kernel
    softnet = kernel.softnet
    if len(softnet.input_pkt_queue) >= NETDEV_MAX_BACKLOG:
        if skb.dev is not None:
            skb.dev.core_stats.rx_dropped += 1
        softnet.dropped += 1
        kfree_skb_reason(skb, SkbDropReason.CPU_BACKLOG)
        return NET_RX_DROP
    softnet.input_pkt_queue.append(skb)
    if softnet.backlog is None:
        softnet.backlog = Napi(kernel, None, process_backlog, NAPI_POLL_WEIGHT)
        napi_enable(softnet.backlog)
    napi_schedule(softnet.backlog)
    return NET_RX_SUCCESS


def process_backlog(napi: Napi, budget: int) -> int:
    """Hand packets from the backlog to the protocols."""
    queue = napi.kernel.softnet.input_pkt_queue
    work = 0
    while work < budget and queue:
        __netif_receive_skb(queue.popleft())
        work += 1
    if work < budget:
        napi.scheduled = False
    return work
