"""Kinds of values of nft(8): how they are written, and their names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .netfilter.nf_conntrack_common import (
    IPS_ASSURED,
    IPS_CONFIRMED,
    IPS_DST_NAT,
    IPS_DYING,
    IPS_SEEN_REPLY,
    IPS_SRC_NAT,
)
from .netfilter.nft_ct import NF_CT_STATES
from .wire.address import ipv4_from_text, ipv4_to_text

__all__ = [
    "ADDRESS",
    "CT_DIRECTION",
    "CT_STATE",
    "CT_STATUS",
    "DSCP",
    "ECN",
    "ICMP_CODE",
    "ICMP_TYPE",
    "IFNAME",
    "MARK",
    "NUMBER4",
    "NUMBER8",
    "NUMBER16",
    "NUMBER32",
    "PKTTYPE",
    "PORT",
    "PROTOCOL",
    "DataType",
]

IFNAMSIZ = 16


@dataclass(frozen=True, slots=True)
class DataType:
    """A kind of value.

    Members
    -------
    bits : int
        Its width; of an address, prefixes may be given.
    names : dict[str, int]
        Names that it has besides numbers.
    show : callable
        How a number without a name is written.
    flags : bool
        Several names may be given, for any of them.
    """

    bits: int
    names: dict[str, int] = field(default_factory=dict[str, int])
    show: Callable[[int], str] = str
    flags: bool = False
    address: bool = False
    interface: bool = False

    def parse(self, text: str) -> Any:
        """Return the value of a word.

        Raises
        ------
        ValueError
            If it is none.
        """
        if self.interface:
            return text.encode()
        if text in self.names:
            return self.names[text]
        if self.address:
            return ipv4_from_text(text)
        if not (text.isascii() and text[:1].isdigit()):
            raise ValueError(f"{text!r} is no value here")
        number = int(text, 0)
        if number >> self.bits:
            raise ValueError(f"Value {number} exceeds valid range 0-{(1 << self.bits) - 1}")
        return number

    def format(self, value: Any) -> str:
        """Return a value as nft shows it."""
        if self.interface:
            return f'"{value.decode()}"'
        if self.flags:
            return ",".join(name for name, bit in self.names.items() if value & bit)
        for name, number in self.names.items():
            if number == value:
                return name
        return self.show(value)

    def sort_key(self, value: Any) -> Any:
        """Return what values of a set are sorted by."""
        return int.from_bytes(value, "little") if self.interface else value


_DSCP = {f"cs{n}": n << 3 for n in range(8)} | {f"af{n}{m}": n << 3 | m << 1 for n in range(1, 5) for m in range(1, 4)}
_PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "sctp": 132,
    "udplite": 136,
}
_ICMP_TYPES = {
    "echo-reply": 0,
    "destination-unreachable": 3,
    "source-quench": 4,
    "redirect": 5,
    "echo-request": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
    "info-request": 15,
    "info-reply": 16,
    "address-mask-request": 17,
    "address-mask-reply": 18,
}
_ICMP_CODES = {
    "net-unreachable": 0,
    "host-unreachable": 1,
    "prot-unreachable": 2,
    "port-unreachable": 3,
    "frag-needed": 4,
    "net-prohibited": 9,
    "host-prohibited": 10,
    "admin-prohibited": 13,
}
_STATUS = {
    "expected": 1,
    "seen-reply": IPS_SEEN_REPLY,
    "assured": IPS_ASSURED,
    "confirmed": IPS_CONFIRMED,
    "snat": IPS_SRC_NAT,
    "dnat": IPS_DST_NAT,
    "dying": IPS_DYING,
}

NUMBER4, NUMBER8, NUMBER16, NUMBER32 = (DataType(bits) for bits in (4, 8, 16, 32))
ADDRESS = DataType(32, show=ipv4_to_text, address=True)
PORT = DataType(16)
PROTOCOL = DataType(8, _PROTOCOLS)
DSCP = DataType(6, _DSCP | {"ef": 46}, show=lambda value: f"0x{value:02x}")
ECN = DataType(2, {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3})
ICMP_TYPE = DataType(8, _ICMP_TYPES)
ICMP_CODE = DataType(8, _ICMP_CODES)
MARK = DataType(32, show=lambda value: f"0x{value:08x}")
PKTTYPE = DataType(8, {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3})
IFNAME = DataType(8 * IFNAMSIZ, interface=True)
CT_STATE = DataType(32, NF_CT_STATES, flags=True)
CT_STATUS = DataType(32, _STATUS, flags=True)
CT_DIRECTION = DataType(8, {"original": 0, "reply": 1})
