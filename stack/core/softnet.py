"""What one CPU has to do for its devices (Linux: ``struct softnet_data``)."""

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sched.qdisc import Qdisc
    from .dev_napi import Napi
    from .skbuff import SkBuff

__all__ = ["SoftnetData"]


class SoftnetData:
    """Work for the network softirqs of a CPU.

    Members
    -------
    output_queue : deque[Qdisc]
        Qdiscs that ``net_tx_action`` has to run.
    completion_queue : list[SkBuff]
        Sent skbs that ``net_tx_action`` has to free.
    poll_list : deque[Napi]
        NAPI instances that ``net_rx_action`` has to poll.
    input_pkt_queue : deque[SkBuff]
        Packets that ``netif_rx`` took in.
    xmit_recursion : int
        Depth of nested transmissions through devices without a queue.
    processed, dropped, time_squeeze : int
        Packets that were received, those for which the backlog had no room, and how often the budget ran out.
    xmit_more : bool
        The frame that is being sent is followed by another at once (``netdev_xmit_more()``).
    """

    __slots__ = (
        "backlog",
        "completion_queue",
        "dropped",
        "input_pkt_queue",
        "output_queue",
        "poll_list",
        "processed",
        "time_squeeze",
        "xmit_more",
        "xmit_recursion",
    )

    def __init__(self) -> None:
        self.output_queue: deque[Qdisc] = deque()
        self.completion_queue: list[SkBuff] = []
        self.poll_list: deque[Napi] = deque()
        self.input_pkt_queue: deque[SkBuff] = deque()
        self.backlog: Napi | None = None
        self.xmit_recursion = self.processed = self.dropped = self.time_squeeze = 0
        self.xmit_more = False
