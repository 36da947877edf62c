"""Addresses as people write them, and as the stack holds them: IPv4 a number, MAC and IPv6 octets."""

from ipaddress import AddressValueError, IPv4Address

from .error import WireError

__all__ = ["ipv4_from_text", "ipv4_to_text", "mac_from_text", "mac_to_text"]


def ipv4_from_text(text: str) -> int:
    """Return an IPv4 address as a number.

    Raises
    ------
    WireError
        If the text is not four decimal numbers from 0 to 255 with dots between.

    Examples
    --------
    >>> hex(ipv4_from_text("10.0.0.1"))
    '0xa000001'
    """
    try:
        return int(IPv4Address(text))
    except AddressValueError as error:
        raise WireError(f"address: {text!r} is not an IPv4 address") from error


def ipv4_to_text(address: int) -> str:
    """Return the dotted form of an IPv4 address.

    Examples
    --------
    >>> ipv4_to_text(0x0A000001)
    '10.0.0.1'
    """
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def mac_from_text(text: str) -> bytes:
    """Return the six octets of a MAC address written with colons or hyphens.

    Raises
    ------
    WireError
        If the text is anything else.

    Examples
    --------
    >>> mac_from_text("02:00:00:00:00:0a").hex()
    '02000000000a'
    """
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or not text.isascii() or not all(len(part) in (1, 2) and part.isalnum() for part in parts):
        raise WireError(f"address: {text!r} is not a MAC address")
    try:
        return bytes(int(part, 16) for part in parts)
    except ValueError as error:
        raise WireError(f"address: {text!r} is not a MAC address") from error


def mac_to_text(address: bytes) -> str:
    """Return a MAC address with colons.

    Examples
    --------
    >>> mac_to_text(bytes(6))
    '00:00:00:00:00:00'
    """
    return address.hex(":")
