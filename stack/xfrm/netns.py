"""What a namespace keeps for IPsec (Linux: ``struct netns_xfrm``)."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..ipv4.xfrm4_protocol import Xfrm4Protocol
    from ..netlink.af_netlink_sock import NetlinkSock
    from .xfrm import XfrmPolicy
    from .xfrm_state import XfrmState

__all__ = ["NetnsXfrm"]


class NetnsXfrm:
    """Databases of policies and states of one namespace.

    Members
    -------
    policy_all : list[XfrmPolicy]
        Policies as they were added.
    policy_bydst : dict[tuple[int, int, int], list[XfrmPolicy]]
        Those between two single hosts, by direction, destination and source, in the order in which they are asked.
    policy_inexact : dict[tuple[int, int, int], list[XfrmPolicy]]
        The others, by type, direction and interface id, in the same order.
    policy_count : list[int]
        Their number by direction.
    state_all : list[XfrmState]
        States as they were added.
    state_byspi : dict[tuple[int, int, int], list[XfrmState]]
        The same by destination, SPI and protocol.
    state_bydst : dict[tuple[int, int], list[XfrmState]]
        The same by destination and source.
    genid : int
        Changes with the states: bundles made under another number are looked at anew.
    protocols : dict[int, list[Xfrm4Protocol]]
        Who receives ESP and AH, in the order in which they are asked.
    trans_queue : deque
        Packets that were in transport mode and wait to be received, each with what receives it.
    nlsk : NetlinkSock
        The kernel's own socket of ``NETLINK_XFRM``.
    sysctl_acq_expires : int
        For how many seconds a state that was asked for is waited for; packets do not wait.
    """

    nlsk: "NetlinkSock"

    def __init__(self) -> None:
        self.policy_all: list[XfrmPolicy] = []
        self.policy_bydst: dict[tuple[int, int, int], list[XfrmPolicy]] = {}
        self.policy_inexact: dict[tuple[int, int, int], list[XfrmPolicy]] = {}
        self.policy_count = [0, 0, 0]
        self.policy_default = [0, 0, 0]  # XFRM_POLICY_ALLOW
        self.idx_generator = self.policy_pos = 0
        self.state_all: list[XfrmState] = []
        self.state_byspi: dict[tuple[int, int, int], list[XfrmState]] = {}
        self.state_bydst: dict[tuple[int, int], list[XfrmState]] = {}
        self.genid = self.acq_seq = 0
        self.protocols: dict[int, list[Xfrm4Protocol]] = {}
        self.trans_queue: deque[tuple[SkBuff, Callable[[Net, SkBuff], int]]] = deque()
        self.sysctl_acq_expires = 30
