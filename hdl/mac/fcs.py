"""The frame check sequence of Ethernet, from one object for Python and gateware."""

# Ref: IEEE Std 802.3-2022, 3.2.9 Frame Check Sequence field

from collections.abc import Iterable
from functools import reduce
from operator import xor

from amaranth import Cat, Mux, Value
from amaranth.lib.crc import Algorithm
from amaranth.lib.crc.catalog import CRC32_ETHERNET

__all__ = ["FCS", "FCS_INIT", "FCS_OCTETS", "fcs_follows", "fcs_octets", "fcs_step"]

FCS = CRC32_ETHERNET
FCS_OCTETS = FCS.crc_width // 8
FCS_INIT = FCS.initial_crc


def fcs_octets(frame: Iterable[int]) -> bytes:
    """Return the octets that follow a frame on the wire.

    Examples
    --------
    >>> fcs_octets(b"123456789").hex()
    '2639f4cb'
    """
    return FCS(data_width=8).compute(frame).to_bytes(FCS_OCTETS, "little")


def fcs_step(remainder: Value, octet: Value) -> Value:
    """Return the remainder after one more octet.

    The remainder starts as `FCS_INIT`. After the final octet it goes out complemented, its low octet first:
    both octets and remainder are reflected, so bit 0 is the first on the wire. With ``octet`` equal to the low octet of
    the remainder, the step is a shift by eight bits.
    """
    difference = remainder[:8] ^ octet
    terms = [Mux(difference[bit], _LINEAR.compute([1 << bit]), 0) for bit in range(8)]
    return (remainder >> 8) ^ reduce(xor, terms)


def fcs_follows(remainder: Value, octet: Value, before: Value) -> Value:
    """Tell how far the octets up to this one are the FCS of what is ahead of them.

    Parameters
    ----------
    remainder : Value
        What `fcs_step` made of all octets ahead of this one.
    octet : Value
        This one.
    before : Value
        What this function returned for the octet before, 0 for the first one.

    Returns
    -------
    Value
        Bit ``n``: the last ``n + 1`` octets are the first ones of the FCS of those ahead of them. So the highest bit of
        `FCS_OCTETS` tells if the frame is right. It is the same as to compare the remainder, but an octet a cycle.
    """
    difference = remainder[:8] ^ octet
    matches = [difference == expected for expected in _fcs_differences()]
    return Cat(matches) & Cat(1, before)


_LINEAR = Algorithm(
    crc_width=FCS.crc_width,
    polynomial=FCS.polynomial,
    initial_crc=0,
    reflect_input=FCS.reflect_input,
    reflect_output=FCS.reflect_output,
    xor_output=0,
)(data_width=8)


def _fcs_differences() -> list[int]:
    """Return the low octet of the remainder against each octet of the FCS: they do not depend on the frame."""
    remainder, differences = FCS_INIT, []
    for octet in fcs_octets(b""):
        differences.append(remainder & 0xFF ^ octet)
        remainder = remainder >> 8 ^ _LINEAR.compute([differences[-1]])
    return differences
