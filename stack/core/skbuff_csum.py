"""Socket buffers: the checksum of received packets (Linux: include/linux/skbuff.h, net/core/datagram.c)."""

from ..wire.checksum import csum_add, csum_block_add, csum_fold, csum_partial, csum_tcpudp_nofold
from .skbuff import CHECKSUM_COMPLETE, CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, SkBuff
from .skbuff_data import pskb_trim, skb_checksum

__all__ = [
    "__skb_checksum_complete",
    "inet_proto_csum_replace4",
    "pskb_trim_rcsum",
    "skb_checksum_complete",
    "skb_checksum_init",
    "skb_checksum_take",
    "skb_csum_unnecessary",
    "skb_forward_csum",
    "skb_postpull_rcsum",
    "skb_pull_rcsum",
]

CHECKSUM_BREAK = 76  # What is longer is summed when its socket is known, or the program takes it.


def skb_csum_unnecessary(skb: SkBuff) -> bool:
    """Return whether nobody has to check the transport checksum any more."""
    return skb.ip_summed == CHECKSUM_UNNECESSARY or skb.csum_valid or skb.ip_summed == CHECKSUM_PARTIAL


def skb_forward_csum(skb: SkBuff) -> None:
    """Forget the complete sum of a packet that is forwarded: it is of the header as it came."""
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb.ip_summed = CHECKSUM_NONE


def skb_postpull_rcsum(skb: SkBuff, start: int, length: int) -> None:
    """Take octets that are being pulled out of a complete sum: ``length`` of them, from ``start`` in the head."""
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb.csum = csum_add(skb.csum, ~csum_partial(skb.view[start : start + length]) & 0xFFFF)
        if length & 1:
            skb.csum = csum_block_add(0, skb.csum, 1)


def skb_pull_rcsum(skb: SkBuff, length: int) -> int:
    """Take octets off the start of the head and out of a complete sum; return where the data starts now."""
    if length > skb.len - skb.data_len:
        raise ValueError(f"skb_pull_rcsum of {length} octets beyond the head: {skb!r}")
    at = skb.data
    skb.data = at + length
    skb.len -= length
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb_postpull_rcsum(skb, at, length)
    return skb.data


def pskb_trim_rcsum(skb: SkBuff, length: int) -> None:
    """Cut a packet down to ``length`` octets, and what goes out of a complete sum.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    delta = skb.len - length
    if delta <= 0:
        return
    if skb.ip_summed == CHECKSUM_COMPLETE:
        # A padding octet at an odd place counts in the low half of its word.
        cut = csum_block_add(0, skb_checksum(skb, length, delta), length)
        skb.csum = csum_add(skb.csum, ~cut & 0xFFFF)
    pskb_trim(skb, length)


def __skb_checksum_complete(skb: SkBuff) -> int:
    """Sum all of a packet onto what ``csum`` holds, the pseudo header; return the folded sum, 0 if it is right."""
    csum = skb_checksum(skb, 0, skb.len)
    folded = ~csum_add(skb.csum, csum) & 0xFFFF
    if skb.users == 1:
        # The sum is of use to those who pull further headers.
        skb.csum = csum
        skb.ip_summed = CHECKSUM_COMPLETE
        skb.csum_complete_sw = True
        skb.csum_valid = not folded
    return folded


def skb_checksum_complete(skb: SkBuff) -> int:
    """Return 0 if the checksum is right, or need not be checked."""
    return 0 if skb_csum_unnecessary(skb) else __skb_checksum_complete(skb)


def skb_checksum_take(skb: SkBuff) -> None:
    """Use up the word of a device that the next checksum is right (``__skb_decr_checksum_unnecessary``).

    A checksum behind this one is its matter only if it said so.
    """
    if skb.csum_level:
        skb.csum_level -= 1
    else:
        skb.ip_summed = CHECKSUM_NONE


def skb_checksum_init(skb: SkBuff, saddr: int, daddr: int, length: int, proto: int) -> bool:
    """Take over what the device says about a checksum over IPv4, or note the pseudo header to sum it later.

    What has up to ``CHECKSUM_BREAK`` octets is summed at once.

    Returns
    -------
    bool
        False if the checksum is known to be wrong.
    """
    summed = skb.ip_summed
    if summed == CHECKSUM_UNNECESSARY:
        skb_checksum_take(skb)
        skb.csum_valid = True
        return True
    if summed == CHECKSUM_PARTIAL or skb.csum_valid:
        skb.csum_valid = True  # It never left this host.
        return True
    psum = csum_tcpudp_nofold(saddr, daddr, length, proto)
    if summed == CHECKSUM_COMPLETE:
        if csum_add(skb.csum, psum) == 0xFFFF:
            skb.csum_valid = True
            return True
        if skb.csum_complete_sw:
            return False
        # The device may be wrong: sum again, in software.
        skb.ip_summed = CHECKSUM_NONE
    skb.csum = psum
    if skb.len <= CHECKSUM_BREAK:
        skb.csum_valid = not __skb_checksum_complete(skb)
        return skb.csum_valid
    return True


def inet_proto_csum_replace4(skb: SkBuff, at: int, old: int, new: int, pseudohdr: bool) -> None:
    """Bring the transport checksum at an octet of the head up to date after 32 bits under it changed (RFC 1624).

    With ``pseudohdr`` they are of the pseudo header: then a checksum that is still to be made, of which the field holds
    the pseudo header's sum, changes, too; and so does the complete sum of a received packet, by the field.
    """
    words = (~old >> 16 & 0xFFFF) + (~old & 0xFFFF) + (new >> 16) + (new & 0xFFFF)
    diff = words % 0xFFFF or 0xFFFF
    view = skb.view
    check = view[at] << 8 | view[at + 1]
    if skb.ip_summed != CHECKSUM_PARTIAL:
        check = csum_fold(csum_add(~check & 0xFFFF, diff))
        if skb.ip_summed == CHECKSUM_COMPLETE and pseudohdr:
            skb.csum = csum_add(skb.csum, ~diff & 0xFFFF)
    elif pseudohdr:
        check = csum_add(check, diff)
    view[at] = check >> 8
    view[at + 1] = check & 0xFF
