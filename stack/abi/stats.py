"""The device's counters, in the names of RMON (RFC 2819) where it has one."""

from .model import Access, Block, word

__all__ = ["STATS"]

_BINS = ("64", "65_127", "128_255", "256_511", "512_1023", "1024_1518", "1519_MAX")


def _bins(way: str, frames: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{way}_{size}", f"{frames} of {size.replace('_', ' to ').lower()} octets, FCS in") for size in _BINS)


_COUNTERS = (
    ("TX_FRAMES", "Frames sent whole"),
    ("TX_OCTETS", "Octets of those frames, padding and FCS in"),
    ("TX_BROADCAST", "Of those frames, the ones to all stations"),
    ("TX_MULTICAST", "Of those frames, the ones to a group"),
    *_bins("TX", "Of those frames, the ones"),
    ("TX_UNDERRUNS", "Frames cut short on the wire"),
    ("TX_RESOLVE_MISSES", "Frames completed as RESOLVE_MISS"),
    ("TX_BUS_ERRORS", "Frames completed as PAYLOAD_ERROR or DESC_ERROR"),
    ("TX_ABORTED", "Frames completed as ABORTED"),
    ("TX_REFUSED", "Frames completed with any other status"),
    ("TX_CPL_RETRIES", "Completion writes repeated after a bus error"),
    # Each carrier event is counted in one of the next nine.
    ("RX_FRAMES", "Good frames on the wire, to whomever"),
    ("RX_FCS_ERRORS", "Frames of valid length with a wrong FCS"),
    ("RX_ALIGNMENT_ERRORS", "Frames of valid length with a wrong FCS and half an octet at the end"),
    ("RX_SYMBOL_ERRORS", "Frames with rx_er"),
    ("RX_UNDERSIZE", "Frames of less than 64 octets with a right FCS"),
    ("RX_FRAGMENTS", "Frames of less than 64 octets with a wrong FCS"),
    ("RX_OVERSIZE", "Frames longer than the longest one, with a right FCS"),
    ("RX_JABBERS", "Frames longer than the longest one, with a wrong FCS"),
    ("RX_NO_SFD", "Carrier without a start of frame delimiter"),
    ("RX_OCTETS", "Octets of good frames, FCS in"),
    ("RX_BROADCAST", "Of the good frames, the ones to all stations"),
    ("RX_MULTICAST", "Of the good frames, the ones to a group"),
    *_bins("RX", "Of the good frames, the ones"),
    # Each good frame is counted in one of the next seven.
    ("RX_DELIVERED", "Frames completed as OK"),
    ("RX_FILTERED", "Good frames to other addresses or of other VLANs"),
    ("RX_MISSED", "Good frames for which there was no room inside"),
    ("RX_NO_BUFFER", "Good frames for which too few buffers were posted"),
    ("RX_DISABLED", "Good frames while the queue was not enabled, or was reset"),
    ("RX_BUS_ERRORS", "Frames completed as PAYLOAD_ERROR or DESC_ERROR"),
    ("RX_REFUSED", "Frames completed with any other status"),
    ("RX_CSUM_ERRORS", "Of the frames completed as OK, those with a wrong checksum"),
    ("RX_VLAN", "Of the frames completed as OK, those whose tag was taken off"),
    ("RX_CPL_RETRIES", "Completion writes repeated after a bus error"),
)

STATS = Block(
    "stats",
    0x0200,
    "64-bit counters; reading a low half latches the high half of that counter, for the next read of a high half. "
    "Cleared by hardware reset only.",
    tuple(
        word(f"{name}_{half}", 8 * number + 4 * high, Access.RO, f"{doc}, {'high' if high else 'low'} half.")
        for number, (name, doc) in enumerate(_COUNTERS)
        for high, half in enumerate(("LO", "HI"))
    ),
)
