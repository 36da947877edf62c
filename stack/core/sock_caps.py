"""What a socket's packets may be on their way (Linux: net/core/sock.c)."""

from typing import TYPE_CHECKING

from .netdevice import GSO_LEGACY_MAX_SIZE
from .sock import Sock, sk_dst_set

if TYPE_CHECKING:
    from .dst import DstEntry

__all__ = ["sk_setup_caps"]

_HEADER_OCTETS = 320 + 1  # MAX_TCP_HEADER + 1


def sk_setup_caps(sk: Sock, dst: "DstEntry") -> None:
    """Keep a route for the socket's next packets, and note how long one may be that its device, or the stack, cuts.

    Whether the device can do that is no matter: the stack cuts for it, right before the driver. What is transformed on
    its way (``dst.header_len``) goes in single packets. IPv4 has no longer packets than 64 KiB.
    """
    sk_dst_set(sk, dst)
    sk.sk_gso_max_size = min(dst.dev.gso_max_size, GSO_LEGACY_MAX_SIZE) - _HEADER_OCTETS  # sk_trim_gso_size()
    sk.sk_gso_max_segs = 1 if dst.header_len else max(dst.dev.gso_max_segs, 1)
