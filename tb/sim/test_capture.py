"""Captures, read back by another library's reader."""

import warnings
from pathlib import Path

import pytest

from hardwire.sim.capture import Capture
from hardwire.sim.frame import FCS_OK, PREAMBLE_OK, TX_ER, Frame

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Of this library about itself.
    from pcapng import FileScanner
    from pcapng.blocks import EnhancedPacket, InterfaceDescription

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pcapng")


def test_times_are_exact_to_the_nanosecond_and_frames_know_their_link(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    frames = [(0, b"a" * 60, "eth0"), (1, b"b" * 61, "link"), (3_000_000_000_000_000_007, bytes(range(62)), "eth0")]
    with Capture(path, ["eth0", "link"]) as capture:
        for time_ns, octets, name in frames:
            capture.write(time_ns, octets, name)
        assert capture.count == 3
    with path.open("rb") as file:
        blocks = list(FileScanner(file))
    assert [b.options["if_name"] for b in blocks if isinstance(b, InterfaceDescription)] == ["eth0", "link"]
    found = [b for b in blocks if isinstance(b, EnhancedPacket)]
    assert [
        (b.timestamp_high << 32 | b.timestamp_low, b.packet_data, b.interface.options["if_name"]) for b in found
    ] == frames
    assert {b.interface.timestamp_resolution for b in found} == {1e-9}


@pytest.mark.parametrize(
    ("flags", "marks"),
    [(FCS_OK | PREAMBLE_OK, []), (PREAMBLE_OK, ["err_crc"]), (FCS_OK | PREAMBLE_OK | TX_ER, ["err_symbol"])],
)
def test_bad_frames_are_marked(tmp_path: Path, flags: int, marks: list[str]) -> None:
    path = tmp_path / "x.pcapng"
    with Capture(path) as capture:
        capture.write_frames([Frame(5_999_999, bytes(64), 12, flags, 0, 71)])
    with path.open("rb") as file:
        (packet,) = [b for b in FileScanner(file) if isinstance(b, EnhancedPacket)]
    assert packet.timestamp_low == 5
    found = packet.options["epb_flags"] if marks else None
    for mark in marks:
        assert getattr(found, mark)
    assert ("epb_flags" in packet.options) == bool(marks)


def test_frame_without_octets_is_refused(tmp_path: Path) -> None:
    message = "^a capture takes frames of at least 1 octet, not the empty one at 1 ns$"
    with Capture(tmp_path / "x.pcapng") as capture, pytest.raises(ValueError, match=message):
        capture.write(1, b"")
