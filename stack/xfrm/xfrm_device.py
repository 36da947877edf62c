"""Where devices that do IPsec themselves get their packets (Linux: net/xfrm/xfrm_device.c); there are none yet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Kernel
    from ..core.skbuff import SkBuff

__all__ = ["validate_xmit_xfrm", "xfrm_dev_backlog"]


def validate_xmit_xfrm(skb: "SkBuff", features: int) -> "SkBuff | None":
    """Return the packet, transformed if a policy says so and the device does not do it."""
    return skb


def xfrm_dev_backlog(kernel: "Kernel") -> None:
    """Send packets whose transform was finished meanwhile."""
