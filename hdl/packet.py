"""The packet stream: how a frame travels between components."""

from amaranth.lib import data, stream

__all__ = ["WIDTHS_BITS", "check_width_bits", "packet_layout", "packet_signature"]

WIDTHS_BITS = (32, 64, 128)


def check_width_bits(width_bits: int) -> int:
    """Return ``width_bits`` if a packet stream can have it.

    Raises
    ------
    ValueError
        If it is not 32, 64 or 128.
    """
    if width_bits not in WIDTHS_BITS:
        raise ValueError(
            f"width_bits must be 32, 64 or 128, not {width_bits!r}: "
            "narrower cannot carry 1 Gb/s of minimum frames, wider needs more than one frame a beat"
        )
    return width_bits


def packet_layout(width_bits: int) -> data.StructLayout:
    """Return the payload of a packet stream: one beat of a frame.

    Octet 0 of the frame is in bits 0 to 7 of the first beat. ``keep`` has one bit an octet: all ones
    in every beat but the last, in the last one a run of ones from bit 0 up. ``error`` counts in the
    last beat only: the frame must not be sent.
    """
    check_width_bits(width_bits)
    return data.StructLayout({"data": width_bits, "keep": width_bits // 8, "last": 1, "error": 1})


def packet_signature(width_bits: int) -> stream.Signature:
    """Return the signature of a packet stream."""
    return stream.Signature(packet_layout(width_bits))
