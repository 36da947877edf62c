"""The frame check sequence of Ethernet, from one object for Python and gateware."""

# Ref: IEEE Std 802.3-2022, 3.2.9 Frame Check Sequence field

from collections.abc import Iterable
from functools import reduce
from operator import xor

from amaranth import Mux, Value
from amaranth.lib.crc import Algorithm
from amaranth.lib.crc.catalog import CRC32_ETHERNET

__all__ = ["FCS", "FCS_INIT", "FCS_OCTETS", "FCS_RESIDUE", "fcs_octets", "fcs_step"]

FCS = CRC32_ETHERNET
FCS_OCTETS = FCS.crc_width // 8
FCS_INIT = FCS.initial_crc
FCS_RESIDUE = FCS(data_width=8).residue()  # Remainder after a frame and its right FCS.


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
    linear = Algorithm(
        crc_width=FCS.crc_width,
        polynomial=FCS.polynomial,
        initial_crc=0,
        reflect_input=FCS.reflect_input,
        reflect_output=FCS.reflect_output,
        xor_output=0,
    )(data_width=8)
    columns = [linear.compute([1 << bit]) for bit in range(8)]
    difference = remainder[:8] ^ octet
    terms = [Mux(difference[bit], columns[bit], 0) for bit in range(8)]
    return (remainder >> 8) ^ reduce(xor, terms)
