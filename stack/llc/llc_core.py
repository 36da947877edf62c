"""Service access points of logical link control (Linux: net/llc/llc_core.c; IEEE Std 802.2)."""

from collections.abc import Callable
from errno import EBUSY
from typing import TYPE_CHECKING

from ..core.packet_type import PacketType, dev_add_pack
from .llc_input import llc_rcv

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = ["ETH_P_802_2", "LLC_SAP_BSPAN", "llc_sap_open"]

ETH_P_802_2 = 0x0004
LLC_SAP_BSPAN = 0x42  # Spanning tree.


def llc_sap_open(net: "Net", lsap: int, func: "Callable[[SkBuff, NetDevice], int]") -> None:
    """Have a function called with the frames to a service access point; it takes over the skb.

    Raises
    ------
    OSError
        ``EBUSY`` if another one has it.
    """
    if lsap in net.llc_saps:
        raise OSError(EBUSY, f"the service access point {lsap:#x} is taken")
    if not net.llc_saps:
        dev_add_pack(net, PacketType(ETH_P_802_2, llc_rcv))
    net.llc_saps[lsap] = func
