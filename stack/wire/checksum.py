"""The Internet checksum (RFC 1071), with the kernel's names.

All sums are of big-endian words: what a sum is here goes on the wire as it is, high octet first.
A sum in progress is 0 to 0xFFFF, where 0 means that every octet was 0.
"""

__all__ = [
    "csum_add",
    "csum_block_add",
    "csum_fold",
    "csum_partial",
    "csum_replace2",
    "csum_tcpudp_nofold",
    "ip_fast_csum",
    "pseudo_header",
]


def csum_partial(octets: bytes | bytearray | memoryview, csum: int = 0) -> int:
    """Add octets to a sum; after an odd number of them a zero octet counts as well.

    A number taken modulo 0xFFFF is the one's complement sum of its 16-bit words, because 0x10000 is 1 there.

    Examples
    --------
    >>> hex(csum_partial(bytes.fromhex("0001f203f4f5f6f7")))
    '0xddf2'
    """
    number = int.from_bytes(octets, "big")
    if len(octets) & 1:
        number <<= 8
    number += csum
    return number % 0xFFFF or (0xFFFF if number else 0)


def csum_add(csum: int, addend: int) -> int:
    """Return the one's complement sum of two sums."""
    total = csum + addend
    return total if total <= 0xFFFF else total - 0xFFFF


def csum_block_add(csum: int, block: int, offset: int) -> int:
    """Add the sum of a block that lies ``offset`` octets behind the start of the first."""
    if offset & 1:
        block = (block & 0xFF) << 8 | block >> 8
    return csum_add(csum, block)


def csum_fold(csum: int) -> int:
    """Return the checksum for a sum: its complement."""
    return ~csum & 0xFFFF


def csum_tcpudp_nofold(saddr: int, daddr: int, length: int, protocol: int, csum: int = 0) -> int:
    """Add the IPv4 pseudo header of TCP and UDP to a sum; addresses are numbers."""
    total = (saddr >> 16) + (saddr & 0xFFFF) + (daddr >> 16) + (daddr & 0xFFFF) + length + protocol + csum
    return total % 0xFFFF or (0xFFFF if total else 0)


def ip_fast_csum(header: bytes | bytearray | memoryview) -> int:
    """Return the checksum of an IPv4 header; over one with its checksum in place: 0 if that is right."""
    return ~csum_partial(header) & 0xFFFF


def csum_replace2(check: int, old: int, new: int) -> int:
    """Return a checksum field after one 16-bit word under it has changed (RFC 1624, equation 3).

    Examples
    --------
    >>> hex(csum_replace2(0xDD2F, 0x5555, 0x3285))
    '0x0'
    """
    return csum_fold(csum_add(csum_add(~check & 0xFFFF, ~old & 0xFFFF), new))


def pseudo_header(src: bytes, dst: bytes, protocol: int, length_octets: int) -> int:
    """Return the sum over the pseudo header of UDP and TCP, for IPv4 (RFC 768) or IPv6 (RFC 8200 §8.1).

    Parameters
    ----------
    src, dst : bytes
        The addresses, 4 or 16 octets.
    protocol : int
        Number of the protocol (for IPv6: after all extension headers).
    length_octets : int
        Length of the UDP or TCP header and all after it.
    """
    return csum_partial(src + dst, protocol + length_octets)
