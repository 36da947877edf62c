"""The options of each kind of virtual device (iproute2: ip/iplink_bridge.c, iplink_bond.c, iplink_macvlan.c, ...)."""

from collections.abc import Callable
from dataclasses import dataclass
from sys import byteorder
from typing import TYPE_CHECKING, Any

from ..netlink.attr import Nlattr
from ..wire.address import ipv4_to_text
from .args import Args, CommandError, addr, invarg, matches
from .libnetlink import nla
from .rt_names import number

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["KINDS", "SLAVE_KINDS", "Option", "parse_options", "print_options"]


@dataclass(frozen=True, slots=True)
class Option:
    """A word of ``ip link ... type KIND``, with what belongs to it.

    Members
    -------
    attr : int
        Its ``IFLA_*`` number.
    policy : str
        How it is encoded; see ``nla_encode``.
    parse : callable
        Takes command and word, and returns the value.
    show : callable
        Takes command and value, and returns what the JSON has; the text has the same, behind the word.
    key : str
        Its name in the JSON, if that is not the word.
    value : int or None
        The option takes no word, and has this value.
    """

    attr: int
    policy: str
    parse: "Callable[[Ip, str], Any]"
    show: "Callable[[Ip, Any], Any]"
    key: str = ""
    value: int | None = None


def _same(_: "Ip", value: Any) -> Any:
    return value


def _number(attr: int, policy: str, key: str = "") -> Option:
    most = (1 << int(policy.strip("ubes"))) - 1
    return Option(attr, policy, lambda _, word: number(word, most, "invalid value"), _same, key)


def _switch(attr: int, key: str = "") -> Option:
    def parse(_: "Ip", word: str) -> int:
        if word not in ("on", "off"):
            raise CommandError(f'Error: argument of "{key}" must be "on" or "off", not "{word}"')
        return int(word == "on")

    return Option(attr, "u8", parse, lambda _, value: bool(value), key)


def _one_of(attr: int, policy: str, names: dict[int, str], what: str, key: str = "") -> Option:
    def parse(_: "Ip", word: str) -> int:
        for value, name in names.items():
            if word == name or word == str(value):
                return value
        *most, last = (f'"{name}"' for name in names.values())
        raise CommandError(f'Error: argument of "{what}" must be {", ".join(most)} or {last}, not "{word}"')

    return Option(attr, policy, parse, lambda _, value: names.get(value, str(value)), key)


def _address(attr: int) -> Option:
    return Option(attr, "be32", lambda _, word: addr(word), lambda _, value: ipv4_to_text(value) if value else "any")


def _device(attr: int, key: str = "") -> Option:
    return Option(attr, "u32", lambda ip, word: ip.rtnl.index(word), lambda ip, index: ip.rtnl.name(index), key)


def _centi(attr: int) -> Option:
    return _number(attr, "u32")  # In 1/100 s: USER_HZ.


def _shown(attr: int, show: Callable[[bytes], Any], key: str = "") -> Option:
    """Return what is shown only."""

    def refuse(_: "Ip", word: str) -> int:
        raise CommandError(f'Error: "{word}" is found out, not set', status=255)

    return Option(attr, "binary", refuse, lambda _, value: show(value), key)


def _bridge_id(octets: bytes) -> str:
    return f"{int.from_bytes(octets[:2], 'big'):x}." + ":".join(f"{octet:x}" for octet in octets[2:])


def _whole(octets: bytes) -> int:
    return int.from_bytes(octets, byteorder)


def _seconds(octets: bytes) -> str:
    return f"{int.from_bytes(octets, byteorder) / 100:7.2f}"


_BOND_MODES = {0: "balance-rr", 1: "active-backup", 2: "balance-xor", 3: "broadcast", 4: "802.3ad"}
_BOND_HASHES = {0: "layer2", 1: "layer3+4", 2: "layer2+3"}
_MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}
_VLAN_PROTOCOLS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
_PORT_STATES = {0: "disabled", 1: "listening", 2: "learning", 3: "forwarding", 4: "blocking"}


def _vlan_protocol(_: "Ip", word: str) -> int:
    for value, name in _VLAN_PROTOCOLS.items():
        if word.lower() == name.lower():
            return value
    raise invarg("protocol is invalid", word)


def _vlan_protocol_name(_: "Ip", value: int) -> str:
    return _VLAN_PROTOCOLS.get(value, f"[{value}]")


def _inherit(attr: int) -> Option:
    def parse(_: "Ip", word: str) -> int:
        return 0 if word == "inherit" else number(word, 255, "invalid TTL")

    return Option(attr, "u8", parse, lambda _, value: value or "inherit")


KINDS: dict[str, dict[str, Option]] = {
    "bridge": {
        "forward_delay": _centi(1),
        "hello_time": _centi(2),
        "max_age": _centi(3),
        "ageing_time": _centi(4),
        "stp_state": _number(5, "u32"),
        "priority": _number(6, "u16"),
        "vlan_filtering": _number(7, "u8"),
        "bridge_id": _shown(11, _bridge_id),
        "designated_root": _shown(10, _bridge_id, "root_id"),
        "root_port": _shown(12, _whole),
        "root_path_cost": _shown(13, _whole),
        "topology_change": _shown(14, _whole),
        "topology_change_detected": _shown(15, _whole),
        "hello_timer": _shown(16, _seconds),
        "tcn_timer": _shown(17, _seconds),
        "topology_change_timer": _shown(18, _seconds),
        "gc_timer": _shown(19, _seconds),
        "group_fwd_mask": Option(
            9,
            "u16",
            lambda _, word: number(word, 0xFFFF, "invalid group_fwd_mask"),
            lambda _, value: f"{value:#x}" if value else "0",
        ),
    },
    "bond": {
        "mode": _one_of(1, "u8", _BOND_MODES, "mode"),
        "active_slave": _device(2),
        "miimon": _number(3, "u32"),
        "updelay": _number(4, "u32"),
        "downdelay": _number(5, "u32"),
        "primary": _device(11),
        "xmit_hash_policy": _one_of(14, "u8", _BOND_HASHES, "xmit_hash_policy"),
        "num_grat_arp": _number(16, "u8", "num_peer_notif"),
        "min_links": _number(18, "u32"),
        "packets_per_slave": _number(20, "u32"),
        "lacp_rate": _one_of(21, "u8", {0: "slow", 1: "fast"}, "lacp_rate", "ad_lacp_rate"),
        "ad_select": _one_of(22, "u8", {0: "stable", 1: "bandwidth", 2: "count"}, "ad_select"),
    },
    "macvlan": {
        "mode": _one_of(1, "u32", _MACVLAN_MODES, "mode"),
        "bcqueuelen": _number(7, "u32"),
        "usedbcqueuelen": _number(8, "u32"),
    },
    "vlan": {
        "protocol": Option(5, "be16", _vlan_protocol, _vlan_protocol_name),
        "id": _number(1, "u16"),
        "flags": _shown(2, lambda octets: ["REORDER_HDR"] if _whole(octets[:4]) & 1 else []),
    },
    "ipip": {
        "remote": _address(3),
        "local": _address(2),
        "dev": _device(1, "link"),
        "ttl": _inherit(4),
        "tos": Option(5, "u8", lambda _, word: 1 if word == "inherit" else number(word, 255, "invalid TOS"), _same),
        "nopmtudisc": Option(10, "u8", lambda _, word: 0, lambda _, value: not value, value=0),
        "pmtudisc": Option(10, "u8", lambda _, word: 1, lambda _, value: bool(value), value=1),
    },
}
SLAVE_KINDS: dict[str, dict[str, Option]] = {
    "bridge": {
        "state": _one_of(1, "u8", _PORT_STATES, "state"),
        "priority": _number(2, "u16"),
        "cost": _number(3, "u32"),
        "hairpin": _switch(4),
        "guard": _switch(5),
        "root_block": _switch(6),
        "fastleave": _switch(7),
        "learning": _switch(8),
        "flood": _switch(9),
        "mcast_flood": _switch(27),
        "bcast_flood": _switch(30),
        "isolated": _switch(33),
    },
    "bond": {
        "queue_id": _number(5, "u16"),
    },
}


def parse_options(ip: "Ip", kind: str, options: dict[str, Option], args: Args) -> list[bytes]:
    """Return the attributes of the words that are left.

    Raises
    ------
    CommandError
        For a word that is no option.
    """
    attrs: list[bytes] = []
    while args:
        word = args.take()
        option = options.get(word) or next((known for name, known in options.items() if matches(word, name)), None)
        if option is None:
            raise CommandError(f'{kind}: unknown option "{word}"?', status=255)
        value = option.parse(ip, args.next()) if option.value is None else option.value
        attrs.append(nla(option.attr, value, option.policy))
    return attrs


def print_options(ip: "Ip", options: dict[str, Option], data: dict[int, Nlattr]) -> None:
    """Print those that the kernel tells."""
    shown: set[int] = set()
    for word, option in options.items():
        if option.attr not in data or option.attr in shown:
            continue
        attr = data[option.attr]
        octets = attr.data if option.policy == "binary" else None
        number: Any = octets or (int.from_bytes(attr.data, "big" if option.policy in ("be16", "be32") else byteorder))
        if option.value is not None and option.value != number:
            continue
        if option.policy == "u32" and word in ("dev", "active_slave", "primary") and not number:
            continue  # There is no such device.
        shown.add(option.attr)
        value = option.show(ip, number)
        ip.out.any(option.key or word, f"{word} " if option.value is not None else _text(word, value), value)


def _text(word: str, value: Any) -> str:
    if word == "flags":
        return f"<{','.join(value)}> "
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"{word} {value} "
