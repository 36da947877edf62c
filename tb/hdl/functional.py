"""Functional coverage: which sizes, offloads, stalls and errors the whole NIC has met with each other."""

from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db

from hardwire.tb.bins import BINS

__all__ = ["ERRORS", "OFFLOADS", "SIZES_OCTETS", "STALLS", "sample", "write_bins"]

# Frames without FCS: least and most octets of a bin.
SIZES_OCTETS = ((14, 59), (60, 60), (61, 127), (128, 1013), (1014, 1514), (1515, 9018))
OFFLOADS = ("none", "ipv4", "l4", "resolve", "all")
STALLS = ("none", "bus", "memory")
ERRORS = ("none", "payload", "completion")
_SIZE_LABELS = [f"{least}..{most}" for least, most in SIZES_OCTETS]


def _size_label(octets: int) -> str:
    return next(f"{least}..{most}" for least, most in SIZES_OCTETS if least <= octets <= most)


@CoverPoint("nic.tx.size", xf=lambda octets, *_: _size_label(octets), bins=_SIZE_LABELS)
@CoverPoint("nic.tx.offload", xf=lambda _octets, offload, *_: offload, bins=list(OFFLOADS))
@CoverPoint("nic.tx.stall", xf=lambda _octets, _offload, stall, _error: stall, bins=list(STALLS))
@CoverPoint("nic.tx.error", xf=lambda _octets, _offload, _stall, error: error, bins=list(ERRORS))
@CoverCross("nic.tx.cross", items=["nic.tx.size", "nic.tx.offload", "nic.tx.stall", "nic.tx.error"])
def sample(octets: int, offload: str, stall: str, error: str) -> None:
    """Count a frame that the NIC was given and has treated rightly."""


def write_bins() -> None:
    """Write the hits of all bins into the folder of the run, where the simulator was started."""
    coverage_db.export_to_yaml(BINS)
