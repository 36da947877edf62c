"""Functional coverage: which sizes, offloads, stalls and errors the whole NIC has met with each other."""

from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db

from hardwire.tb.bins import BINS

__all__ = [
    "ERRORS",
    "OFFLOADS",
    "RX_ERRORS",
    "RX_SIZES_OCTETS",
    "SIZES_OCTETS",
    "STALLS",
    "kinds_to_receive",
    "sample",
    "sample_received",
    "write_bins",
]

# Frames without FCS: least and most octets of a bin.
SIZES_OCTETS = ((14, 59), (60, 60), (61, 127), (128, 1013), (1014, 1514), (1515, 9018))
OFFLOADS = ("none", "ipv4", "l4", "resolve", "all")
STALLS = ("none", "bus", "memory")
ERRORS = ("none", "payload", "completion")

RX_SIZES_OCTETS = ((56, 59), *SIZES_OCTETS[1:])  # As they lie in memory.
RX_CHECKSUMS = ("none", "ipv4 good", "ipv4 bad", "l4 good", "l4 bad")
RX_TAGS = ("none", "kept", "taken off")
RX_BUFFERS = ("1", "2", "3..")  # That it needs.
RX_ERRORS = ("none", "wire", "descriptor", "no buffer", "payload", "completion")


def _labels(sizes: tuple[tuple[int, int], ...]) -> dict[str, tuple[int, int]]:
    return {f"{least}..{most}": (least, most) for least, most in sizes}


def _size_label(octets: int, sizes: tuple[tuple[int, int], ...]) -> str:
    return next(label for label, (least, most) in _labels(sizes).items() if least <= octets <= most)


@CoverPoint("nic.tx.size", xf=lambda octets, *_: _size_label(octets, SIZES_OCTETS), bins=list(_labels(SIZES_OCTETS)))
@CoverPoint("nic.tx.offload", xf=lambda _octets, offload, *_: offload, bins=list(OFFLOADS))
@CoverPoint("nic.tx.stall", xf=lambda _octets, _offload, stall, _error: stall, bins=list(STALLS))
@CoverPoint("nic.tx.error", xf=lambda _octets, _offload, _stall, error: error, bins=list(ERRORS))
@CoverCross("nic.tx.cross", items=["nic.tx.size", "nic.tx.offload", "nic.tx.stall", "nic.tx.error"])
def sample(octets: int, offload: str, stall: str, error: str) -> None:
    """Count a frame that the NIC was given and has treated rightly."""


_SHORTEST, _MINIMUM, *_ = _labels(RX_SIZES_OCTETS)
_ANY_STALL_AND_ERROR = (None, None)
_IMPOSSIBLE = [
    # Shorter than a frame may be on the wire it is only after its tag was taken off.
    *((_SHORTEST, None, tag, None, *_ANY_STALL_AND_ERROR) for tag in ("none", "kept")),
    # Behind a tag no checksum is looked at.
    *((None, checksum, "kept", None, *_ANY_STALL_AND_ERROR) for checksum in RX_CHECKSUMS[1:]),
    # The smallest buffer, of 64 octets, holds these and the 2 octets ahead of them.
    *((size, None, None, buffers, *_ANY_STALL_AND_ERROR) for size in (_SHORTEST, _MINIMUM) for buffers in ("2", "3..")),
]


@CoverPoint("nic.rx.size", xf=lambda size, *_: size, bins=list(_labels(RX_SIZES_OCTETS)))
@CoverPoint("nic.rx.checksum", xf=lambda _size, checksum, *_: checksum, bins=list(RX_CHECKSUMS))
@CoverPoint("nic.rx.tag", xf=lambda _size, _checksum, tag, *_: tag, bins=list(RX_TAGS))
@CoverPoint("nic.rx.buffers", xf=lambda _size, _checksum, _tag, buffers, *_: buffers, bins=list(RX_BUFFERS))
@CoverPoint("nic.rx.stall", xf=lambda *sampled: sampled[4], bins=list(STALLS))
@CoverPoint("nic.rx.error", xf=lambda *sampled: sampled[5], bins=list(RX_ERRORS))
@CoverCross(
    "nic.rx.cross",
    items=[f"nic.rx.{name}" for name in ("size", "checksum", "tag", "buffers", "stall", "error")],
    ign_bins=_IMPOSSIBLE,
)
def _sample_received(size: str, checksum: str, tag: str, buffers: str, stall: str, error: str) -> None:
    pass


def sample_received(octets: int, checksum: str, tag: str, buffers: int, stall: str, error: str) -> None:
    """Count a frame that has come to the NIC, and that it has treated rightly."""
    needed = str(buffers) if buffers < 3 else "3.."
    _sample_received(_size_label(octets, RX_SIZES_OCTETS), checksum, tag, needed, stall, error)


def kinds_to_receive() -> list[tuple[tuple[int, int], str, str, str, str, str]]:
    """Return all that can be: least and most octets, checksum, tag, buffers, stall, error."""
    sizes = _labels(RX_SIZES_OCTETS)
    return [(sizes[size], *others) for size, *others in coverage_db["nic.rx.cross"].detailed_coverage]


def write_bins() -> None:
    """Write the hits of all bins into the folder of the run, where the simulator was started."""
    coverage_db.export_to_yaml(BINS)
