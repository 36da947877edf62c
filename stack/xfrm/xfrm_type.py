"""What the protocols of IPsec do with packets (Linux: ``struct xfrm_type`` in include/net/xfrm.h)."""

from collections.abc import Callable
from dataclasses import dataclass
from errno import EPROTONOSUPPORT
from typing import TYPE_CHECKING

from ..netlink.attr import NetlinkError

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .xfrm_state import XfrmState

__all__ = ["XfrmType", "xfrm_get_type"]


@dataclass(frozen=True, slots=True)
class XfrmType:
    """One protocol.

    Members
    -------
    init_state : callable
        Sets a state's algorithms and lengths up.
    input : callable
        Undoes the transform of a received packet, whose data starts at the protocol's header; returns the number of
        the protocol inside, or a negative errno: ``-EBADMSG`` for a forgery.
    output : callable
        Does it with a packet whose data starts behind the IPv4 header that ``network_header`` is at; returns 0 or a
        negative errno.
    get_mtu : callable
        Returns the longest packet that fits an MTU then.
    """

    proto: int
    init_state: "Callable[[XfrmState], None]"
    input: "Callable[[XfrmState, SkBuff], int]"
    output: "Callable[[XfrmState, SkBuff], int]"
    get_mtu: "Callable[[XfrmState, int], int]"


def xfrm_get_type(proto: int) -> XfrmType:
    """Return what a protocol does.

    Raises
    ------
    OSError
        ``EPROTONOSUPPORT`` if it is none of IPsec.
    """
    from ..ipv4.ah4 import ah_type  # They are built on this module.
    from ..ipv4.esp4 import esp_type

    for kind in (esp_type, ah_type):
        if kind.proto == proto:
            return kind
    raise NetlinkError(EPROTONOSUPPORT, "Requested type not found")
