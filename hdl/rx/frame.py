"""What the blocks of the receive side tell each other of a frame."""

from amaranth.lib import data, enum

from ...stack.abi.desc import RxFlags

__all__ = ["RX_FLAGS_BITS", "RxEnd", "RxFrame", "RxFrameStatus"]

RX_FLAGS_BITS = max(RxFlags).bit_length()


class RxFrameStatus(enum.Enum, shape=4):
    """What the MAC found: each carrier event is one of these, the first that fits."""

    OK = 0
    NO_SFD = 1  # No start of frame delimiter.
    SYMBOL_ERROR = 2  # rx_er was high.
    OVERSIZE = 3  # Longer than the longest frame, FCS right.
    JABBER = 4  # The same, FCS wrong.
    UNDERSIZE = 5  # Less than 64 octets, FCS right.
    FRAGMENT = 6  # The same, FCS wrong.
    ALIGNMENT_ERROR = 7  # FCS wrong, and half an octet at the end.
    FCS_ERROR = 8  # FCS wrong.


class RxEnd(data.Struct):
    """The end of a carrier event."""

    status: RxFrameStatus
    octets: 16  # From destination address to FCS, a tag in; stops at 65535.
    broadcast: 1
    multicast: 1  # To a group, not to all stations.
    tagged: 1  # A tag was taken off.
    tci: 16


class RxFrame(data.Struct):
    """A good frame that waits inside."""

    length: 16  # Octets, without FCS and a tag that was taken off.
    csum: 16  # As in RX_CPL.
    tci: 16
    flags: RX_FLAGS_BITS
