"""Which octets of a packet are which header, with names and values of fields, and a line that says what it is."""

from collections.abc import Callable, Iterator

from ...stack.wire.address import ipv4_to_text, mac_to_text
from .model import Layer

__all__ = ["dissect", "label"]

_FCS_OCTETS = 4
_ETHERTYPES = {0x0800: "IPv4", 0x0806: "ARP", 0x8100: "VLAN", 0x88A8: "VLAN", 0x86DD: "IPv6"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 4: "IPv4", 6: "TCP", 17: "UDP"}
_ICMP_TYPES = {0: "echo reply", 3: "destination unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"}
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")

_Field = tuple[str, str, int, int]
_Parsed = tuple[int, list[_Field], str]  # Where the header ends, its fields, what comes behind it.


class _Reader:
    """Octets from the start of a header; fields are added as they are read."""

    def __init__(self, octets: bytes, begin: int) -> None:
        self.octets = octets
        self.begin = begin
        self.fields: list[_Field] = []

    def __call__(self, name: str, at: int, length: int, show: Callable[[int], str] = str) -> int:
        """Add a field of whole octets, and return its value."""
        begin = self.begin + at
        value = int.from_bytes(self.octets[begin : begin + length], "big")
        self.fields.append((name, show(value), begin, begin + length))
        return value


def _named(names: dict[int, str], digits: int = 0) -> Callable[[int], str]:
    def show(value: int) -> str:
        number = f"{value:#0{digits + 2}x}" if digits else str(value)
        return f"{number} {names[value]}" if value in names else number

    return show


def _hex(digits: int) -> Callable[[int], str]:
    return lambda value: f"{value:#0{digits + 2}x}"


def _mac(value: int) -> str:
    return mac_to_text(value.to_bytes(6, "big"))


def _ethernet(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    read("destination", 0, 6, _mac)
    read("source", 6, 6, _mac)
    ethertype = read("type", 12, 2, _named(_ETHERTYPES, 4))
    return begin + 14, read.fields, _ETHERTYPES.get(ethertype, "")


def _vlan(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    read("priority and VLAN", 0, 2, lambda tci: f"priority {tci >> 13}, VLAN {tci & 0xFFF}")
    ethertype = read("type", 2, 2, _named(_ETHERTYPES, 4))
    return begin + 4, read.fields, _ETHERTYPES.get(ethertype, "")


def _arp(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    read("hardware type", 0, 2)
    read("protocol type", 2, 2, _named(_ETHERTYPES, 4))
    read("lengths of addresses", 4, 2, lambda value: f"{value >> 8} and {value & 0xFF}")
    read("operation", 6, 2, _named({1: "request", 2: "reply"}))
    read("sender MAC", 8, 6, _mac)
    read("sender IP", 14, 4, ipv4_to_text)
    read("target MAC", 18, 6, _mac)
    read("target IP", 24, 4, ipv4_to_text)
    return begin + 28, read.fields, ""


def _ipv4(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    version = read("version and header length", 0, 1, lambda value: f"{value >> 4}, {(value & 15) * 4} octets")
    read("type of service", 1, 1, _hex(2))
    read("total length", 2, 2)
    read("identification", 4, 2, _hex(4))
    fragment = read("flags and fragment offset", 6, 2, _fragment)
    read("time to live", 8, 1)
    protocol = read("protocol", 9, 1, _named(_PROTOCOLS))
    read("header checksum", 10, 2, _hex(4))
    read("source", 12, 4, ipv4_to_text)
    read("destination", 16, 4, ipv4_to_text)
    header_octets = max((version & 15) * 4, 20)
    if header_octets > 20:
        read("options", 20, header_octets - 20, _hex(0))
    first = not fragment & 0x1FFF
    return begin + header_octets, read.fields, _PROTOCOLS.get(protocol, "") if first else ""


def _fragment(value: int) -> str:
    flags = [name for bit, name in ((0x4000, "DF"), (0x2000, "MF")) if value & bit]
    return ", ".join([*flags, f"offset {(value & 0x1FFF) * 8}"])


def _udp(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    read("source port", 0, 2)
    read("destination port", 2, 2)
    read("length", 4, 2)
    read("checksum", 6, 2, _hex(4))
    return begin + 8, read.fields, ""


def _tcp(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    read("source port", 0, 2)
    read("destination port", 2, 2)
    read("sequence number", 4, 4)
    read("acknowledgement", 8, 4)
    offset = read("data offset", 12, 1, lambda value: f"{(value >> 4) * 4} octets")
    read("flags", 13, 1, lambda value: " ".join(name for bit, name in enumerate(_TCP_FLAGS) if value >> bit & 1))
    read("window", 14, 2)
    read("checksum", 16, 2, _hex(4))
    read("urgent pointer", 18, 2)
    header_octets = max((offset >> 4) * 4, 20)
    if header_octets > 20:
        read("options", 20, header_octets - 20, _hex(0))
    return begin + header_octets, read.fields, ""


def _icmp(octets: bytes, begin: int) -> _Parsed:
    read = _Reader(octets, begin)
    kind = read("type", 0, 1, _named(_ICMP_TYPES))
    read("code", 1, 1)
    read("checksum", 2, 2, _hex(4))
    if kind in (0, 8):
        read("identifier", 4, 2)
        read("sequence number", 6, 2)
    else:
        read("rest of the header", 4, 4, _hex(8))
    return begin + 8, read.fields, ""


_HEADERS: dict[str, Callable[[bytes, int], _Parsed]] = {
    "Ethernet": _ethernet,
    "VLAN": _vlan,
    "ARP": _arp,
    "IPv4": _ipv4,
    "UDP": _udp,
    "TCP": _tcp,
    "ICMP": _icmp,
}


def dissect(octets: bytes, outermost: str, *, inner: str = "", fcs: bool = False) -> tuple[Layer, ...]:
    """Return the layers of a packet; they cover all octets.

    Parameters
    ----------
    octets : bytes
        The packet.
    outermost : str
        What it begins with, such as ``Ethernet`` or ``IPv4``; unknown names are payload.
    inner : str
        What is behind an Ethernet header whose type is not written yet.
    fcs : bool
        Whether the last four octets are the frame's FCS.
    """
    layers = list(_layers(octets[:-_FCS_OCTETS] if fcs else octets, outermost, inner))
    if fcs:
        layers.append(Layer("FCS", len(octets) - _FCS_OCTETS, len(octets)))
    return tuple(layers)


def _layers(octets: bytes, name: str, inner: str) -> Iterator[Layer]:
    begin, end = 0, len(octets)
    while name in _HEADERS and begin < end:
        header_end, fields, following = _HEADERS[name](octets, begin)
        if header_end > end:
            break  # Cut short: what is there is payload.
        yield Layer(name, begin, header_end, tuple(fields))
        if name == "IPv4" and (total_len := int.from_bytes(octets[begin + 2 : begin + 4], "big")):
            end = min(end, begin + max(total_len, header_end - begin))  # Not yet there while the header is written.
        elif name == "ARP":
            end = header_end
        begin, name = header_end, following or (inner if name == "Ethernet" else "")
    if begin < end:
        yield Layer("Payload", begin, end)
    if end < len(octets):
        yield Layer("Padding", end, len(octets))


def label(layers: tuple[Layer, ...]) -> str:
    """Return in a line what a packet is; nothing if it has no header."""
    values = {layer.name: {name: value for name, value, _, _ in layer.fields} for layer in layers}
    count = sum(layer.end - layer.begin for layer in layers if layer.name == "Payload")
    octets = f"{count} octet{'s' if count != 1 else ''}"
    if "ARP" in values:
        arp = values["ARP"]
        if arp["operation"].startswith("2"):
            return f"ARP {arp['sender IP']} is at {arp['sender MAC']}"
        return f"ARP who has {arp['target IP']}? tell {arp['sender IP']}"
    ends = {name: ("", "") for name in ("UDP", "TCP")}
    for name in ends.keys() & values.keys():
        ends[name] = (f":{values[name]['source port']}", f":{values[name]['destination port']}")
    if "IPv4" not in values:
        name = next((name for name in ("UDP", "TCP", "ICMP", "Ethernet") if name in values), "")
        return f"{name}, {octets}" if name else ""
    ip = values["IPv4"]
    name = next((name for name in ("ICMP", "TCP", "UDP") if name in values), "IPv4")
    source, destination = ends.get(name, ("", ""))
    more = f" {values[name]['type'].partition(' ')[2] or values[name]['type']}" if name == "ICMP" else ""
    offset = ip["flags and fragment offset"]
    if "MF" in offset or not offset.endswith("offset 0"):
        more += f" fragment at {offset.rpartition(' ')[2]}"
    return f"{name}{more} {ip['source']}{source} → {ip['destination']}{destination}, {octets}"
