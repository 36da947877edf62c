"""What travels beside a frame: the orders that its first descriptor gave."""

from amaranth.lib import data, enum

__all__ = ["ChecksumCommand", "ChecksumMode", "FrameCommand", "FramePart", "TxTag"]


class ChecksumMode(enum.Enum, shape=2):
    """Which transport checksum to fill in."""

    NONE = 0  # Leave the frame as it is.
    PARTIAL = 1  # The field holds the pseudo header's sum: TxFlags.CSUM_PARTIAL.
    L4 = 2  # Ignore what the field holds and add the IPv4 pseudo header: TxFlags.CSUM_L4.


class ChecksumCommand(data.Struct):
    """Checksums to fill in, one command a frame; places are in octets from the start of the frame.

    With ``ipv4``, octets ``l3_start`` up to ``csum_start`` are an IPv4 header. ``l3_start`` is even.
    The transport field is the two octets from ``csum_start + csum_offset``.
    """

    ipv4: 1
    mode: ChecksumMode
    l3_start: 8
    csum_start: 16
    csum_offset: 16


class FrameCommand(data.Struct):
    """What a frame's first descriptor says about the frame; ``flags`` are bits of ``TxFlags``."""

    flags: 16
    csum_start: 16
    csum_offset: 16
    l3_start: 8
    next_hop: 32
    vlan_tci: 16


class TxTag(data.Struct):
    """The tag that the MAC is to put into a frame, if ``present``: EtherType 0x8100 and ``tci``."""

    present: 1
    tci: 16


class FramePart(data.Struct):
    """A run of octets in host memory, as the TX ring hands it to the payload DMA.

    A part with ``drop`` has ``last`` and length 0: the frame was given up, nothing of it may be sent.
    """

    addr: 64
    length: 16
    last: 1
    drop: 1
