"""Descriptors and completions: what driver and device write to each other in host memory."""

from enum import IntEnum, IntFlag

from .model import Member, Record

__all__ = [
    "RX_ALIGN_OCTETS",
    "RX_CPL",
    "RX_DESC",
    "RX_PAD_OCTETS",
    "TX_CPL",
    "TX_DESC",
    "RxFlags",
    "RxStatus",
    "TxFlags",
    "TxStatus",
]


class TxFlags(IntFlag):
    """Flags of a TX descriptor; all but FIRST and LAST are read from a frame's first descriptor only."""

    FIRST = 1 << 0  # First part of a frame.
    LAST = 1 << 1  # Last part of a frame.
    CSUM_PARTIAL = 1 << 2  # CHECKSUM_PARTIAL: sum from csum_start to the end, store at csum_start + csum_offset.
    CSUM_L4 = 1 << 3  # The same place, but the device adds the IPv4 pseudo header and ignores what is stored there.
    CSUM_IPV4 = 1 << 4  # IPv4 header from l3_start up to csum_start: fill in its checksum.
    RESOLVE = 1 << 5  # Write the destination MAC address of next_hop from the ARP cache.
    VLAN = 1 << 6  # Insert a tag of EtherType 0x8100 and vlan_tci after the addresses; places do not count it.
    SEGMENT = 1 << 7  # Segment by mss. Reserved: completed as UNSUPPORTED.
    TIMESTAMP = 1 << 8  # Report the time of the start of frame. Reserved: completed as UNSUPPORTED.


class TxStatus(IntEnum):
    """What became of a frame."""

    OK = 0  # It is on its way out, whole; its buffers are the driver's again.
    RESOLVE_MISS = 1  # next_hop is not in the ARP cache; nothing was sent.
    PAYLOAD_ERROR = 2  # The bus answered a read of the frame's octets with an error; nothing was sent.
    DESC_ERROR = 3  # The bus answered the read of a descriptor with an error; nothing of its frame was sent.
    ABORTED = 4  # The queue was reset before the frame went out.
    BAD_LENGTH = 5  # Shorter than an Ethernet header or, with its tag, longer than LIMITS says; nothing was sent.
    UNSUPPORTED = 6  # A flag that this device does not implement; nothing was sent.
    BAD_CHECKSUM_FIELD = 8  # A checksum field or header lies outside the frame; nothing was sent.
    BAD_SEQUENCE = 9  # FIRST and LAST do not pair up; nothing was sent.


class RxFlags(IntFlag):
    """What a completion tells of a good frame. A checksum that is not there, or of a fragment, is neither good nor bad.

    Checksums are looked at in frames without a tag, or whose tag was taken off.
    """

    CSUM_IPV4_GOOD = 1 << 0  # IPv4, and the checksum of its header is right.
    CSUM_IPV4_BAD = 1 << 1
    CSUM_L4_GOOD = 1 << 2  # TCP or UDP in IPv4, whole, and its checksum is right.
    CSUM_L4_BAD = 1 << 3
    VLAN = 1 << 4  # A tag was taken off: vlan_tci.


class RxStatus(IntEnum):
    """What the buffers that a completion covers hold."""

    OK = 0  # A good frame, whole.
    PAYLOAD_ERROR = 1  # The bus answered a write of the frame's octets with an error: nothing of worth.
    DESC_ERROR = 2  # The bus answered the read of a descriptor with an error: nothing of worth.
    BAD_DESCRIPTOR = 3  # Address or length of a buffer is not a multiple of RX_ALIGN_OCTETS, or it is 0: nothing.
    NO_BUFFER = 4  # The frame needs more buffers than are posted: nothing of worth.
    ABORTED = 5  # The queue was reset: nothing of worth.


RX_ALIGN_OCTETS = 64  # Buffers start and end on multiples of it.
RX_PAD_OCTETS = 2  # Left alone at the start of a frame's first buffer, so that the IP header is aligned.

TX_DESC = Record(
    "tx_desc",
    32,
    "One part of a frame to send: a run of octets in host memory and, in the first part, what to do with the frame.",
    (
        Member("addr", 0, 64, "Bus address of the octets, any alignment."),
        Member("length", 64, 16, "Number of octets, at least 1."),
        Member("flags", 80, 16, "Bits of TxFlags."),
        Member("csum_start", 96, 16, "Octets from the start of the frame to where the checksum starts."),
        Member("csum_offset", 112, 16, "Octets from csum_start to the checksum field."),
        Member("mss", 128, 16, "Largest segment's payload, in octets. Reserved."),
        Member("hdr_len", 144, 16, "Octets of headers to repeat in each segment. Reserved."),
        Member("vlan_tci", 160, 16, "Tag control information to insert."),
        Member("l3_start", 176, 8, "Octets from the start of the frame to the IPv4 header; even."),
        Member("reserved", 184, 8, "Write 0."),
        Member("next_hop", 192, 32, "IPv4 address to resolve, as a number (10.0.0.1 is 0x0a000001)."),
        Member("cookie", 224, 32, "The driver's own; comes back in the completion."),
    ),
)

TX_CPL = Record(
    "tx_cpl",
    16,
    "One frame done. The last octet is written last and holds the phase bit, which changes with each lap of the ring.",
    (
        Member("timestamp", 0, 64, "Time of the start of frame. Reserved: 0."),
        Member("cookie", 64, 32, "The cookie of the frame's first descriptor; 0 after DESC_ERROR on that one."),
        Member("index", 96, 16, "Ring index of the last descriptor that this completion covers."),
        Member("status", 112, 8, "What became of the frame.", TxStatus),
        Member("phase", 120, 8, "1 in the first lap of the completion ring, 0 in the second, and so on."),
    ),
)

RX_DESC = Record(
    "rx_desc",
    16,
    "A buffer to receive into. A frame takes as many as it needs; each is filled before the next is begun.",
    (
        Member("addr", 0, 64, "Bus address of the buffer, a multiple of RX_ALIGN_OCTETS."),
        Member("length", 64, 16, "Octets of the buffer, a multiple of RX_ALIGN_OCTETS, not 0."),
        Member("reserved", 80, 16, "Write 0."),
        Member("cookie", 96, 32, "The driver's own; comes back in the completion that ends with this descriptor."),
    ),
)

RX_CPL = Record(
    "rx_cpl",
    32,
    "The buffers from the last completion's up to index are the driver's again. The last octet is written last and "
    "holds the phase bit, which changes with each lap of the ring.",
    (
        Member("timestamp", 0, 64, "Time of the start of frame. Reserved: 0."),
        Member("cookie", 64, 32, "The cookie of the descriptor at index; 0 after DESC_ERROR."),
        Member("hash", 96, 32, "Hash of the flow. Reserved: 0."),
        Member("length", 128, 16, "Octets of the frame, without FCS and a tag that was taken off; 0 unless OK."),
        Member("csum", 144, 16, "Sum of the 16-bit big-endian words after the Ethernet header (CHECKSUM_COMPLETE)."),
        Member("vlan_tci", 160, 16, "Tag control information of the tag that was taken off."),
        Member("flags", 176, 16, "Bits of RxFlags."),
        Member("index", 192, 16, "Ring index of the last descriptor that this completion covers."),
        Member("hash_type", 208, 16, "What the hash is of. Reserved: 0."),
        Member("reserved", 224, 16, "0."),
        Member("status", 240, 8, "What the buffers hold.", RxStatus),
        Member("phase", 248, 8, "1 in the first lap of the completion ring, 0 in the second, and so on."),
    ),
)
