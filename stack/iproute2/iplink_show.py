"""How ``ip`` shows a device and its counters (iproute2: ip/ipaddress.c)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.netdevice import IFF_POINTOPOINT, IFF_RUNNING, IFF_UP
from ..netlink.attr import Nlattr
from ..netlink.if_link import IFINFOMSG, Ifla, IflaInfo
from ..wire.address import ipv4_to_text
from .libnetlink import Answer, attributes
from .link_kinds import KINDS, SLAVE_KINDS, print_options

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["linkinfo", "print_linkinfo", "print_name", "print_stats"]

# In the order in which they are printed (print_link_flags).
_FLAGS = {
    3: "LOOPBACK",
    1: "BROADCAST",
    4: "POINTOPOINT",
    12: "MULTICAST",
    7: "NOARP",
    9: "ALLMULTI",
    8: "PROMISC",
    10: "MASTER",
    11: "SLAVE",
    2: "DEBUG",
    15: "DYNAMIC",
    14: "AUTOMEDIA",
    13: "PORTSEL",
    5: "NOTRAILERS",
    0: "UP",
    16: "LOWER_UP",
    17: "DORMANT",
    18: "ECHO",
}
_OPERSTATES = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")
_TYPES = {0: "netrom", 1: "ether", 768: "ipip", 772: "loopback", 776: "sit", 778: "gre", 65534: "none"}
_ARPHRD_TUNNELS = (768, 776, 778)
_STATS = Struct("=24Q")  # struct rtnl_link_stats64, without what came after rx_nohandler.
_STATS_NAMES = (
    "rx_packets tx_packets rx_bytes tx_bytes rx_errors tx_errors rx_dropped tx_dropped multicast collisions "
    "rx_length_errors rx_over_errors rx_crc_errors rx_frame_errors rx_fifo_errors rx_missed_errors tx_aborted_errors "
    "tx_carrier_errors tx_fifo_errors tx_heartbeat_errors tx_window_errors rx_compressed tx_compressed rx_nohandler"
).split()


def linkinfo(tb: dict[int, Nlattr]) -> tuple[str | None, str | None, dict[int, Nlattr], dict[int, Nlattr]]:
    """Return kind, kind as a slave, and the data of both, of a device's attributes."""
    if Ifla.LINKINFO not in tb:
        return None, None, {}, {}
    info = attributes(tb[Ifla.LINKINFO].data)
    data = [attributes(info[kind].data) if kind in info else {} for kind in (IflaInfo.DATA, IflaInfo.SLAVE_DATA)]
    names = [info[kind].text if kind in info else None for kind in (IflaInfo.KIND, IflaInfo.SLAVE_KIND)]
    return names[0], names[1], data[0], data[1]


def print_name(ip: "Ip", index: int, tb: dict[int, Nlattr]) -> str:
    """Print a device's name with that of its lower one, and return it as text."""
    name = tb[Ifla.IFNAME].text
    if Ifla.LINK not in tb:
        ip.out.json("ifname", name)
        return name
    lower = tb[Ifla.LINK].u32
    if Ifla.LINK_NETNSID in tb:
        ip.out.json("link_index", lower)
        text = f"{name}@if{lower}"
    else:
        link = ip.rtnl.name(lower) if lower else "NONE"
        ip.out.json("link", link if lower else None)
        text = f"{name}@{link}"
    ip.out.json("ifname", name)
    return text


def _flags(ip: "Ip", flags: int, tb: dict[int, Nlattr]) -> list[str]:
    names = ["NO-CARRIER"] if flags & IFF_UP and not flags & IFF_RUNNING else []
    flags &= ~IFF_RUNNING
    for bit, name in _FLAGS.items():
        if flags & 1 << bit:
            names.append(name)
            flags &= ~(1 << bit)
    if flags:
        names.append(f"{flags:x}")
    if Ifla.LINK in tb and Ifla.LINK_NETNSID not in tb:
        lower = ip.rtnl.flags(tb[Ifla.LINK].u32)
        if lower is not None and not lower & IFF_UP:
            names.append("M-DOWN")
    return names


def _lladdr(kind: int, octets: bytes) -> str:
    if kind in _ARPHRD_TUNNELS:
        return ipv4_to_text(int.from_bytes(octets, "big"))
    return octets.hex(":")


def print_linkinfo(ip: "Ip", answer: Answer, *, with_mode: bool, with_address: bool = True) -> None:
    """Print what ``ip link`` (with the link's mode) or ``ip address`` shows of a device."""
    out = ip.out
    _, kind, index, flags, _ = answer.header(IFINFOMSG)
    tb = answer.attrs(IFINFOMSG)
    if ip.brief:
        _print_brief(ip, answer, with_mode)
        return
    out.any("ifindex", f"{index}: ", index)
    out.text(f"{print_name(ip, index, tb)}: ")
    names = _flags(ip, flags, tb)
    out.any("flags", f"<{','.join(names)}> ", names)
    out.any("mtu", f"mtu {tb[Ifla.MTU].u32} ", tb[Ifla.MTU].u32)
    if Ifla.QDISC in tb:
        out.any("qdisc", f"qdisc {tb[Ifla.QDISC].text} ", tb[Ifla.QDISC].text)
    if Ifla.MASTER in tb:
        master = ip.rtnl.name(tb[Ifla.MASTER].u32)
        out.any("master", f"master {master} ", master)
    state = _OPERSTATES[tb[Ifla.OPERSTATE].u8]
    out.any("operstate", f"state {state} ", state)
    if with_mode:
        out.any("linkmode", "mode DEFAULT ", "DEFAULT")
    out.any("group", "group default ", "default")
    if tb[Ifla.TXQLEN].u32:
        out.any("txqlen", f"qlen {tb[Ifla.TXQLEN].u32}", tb[Ifla.TXQLEN].u32)
    if with_address:
        _print_lladdr(ip, kind, flags, tb)
    if ip.details:
        _print_details(ip, tb)
    if ip.statistics and with_mode:
        print_stats(ip, tb)
    out.text("\n")


def _print_lladdr(ip: "Ip", kind: int, flags: int, tb: dict[int, Nlattr]) -> None:
    out = ip.out
    out.text(f"{out.nl}    ")
    name = _TYPES.get(kind, f"[{kind}]")
    out.any("link_type", f"link/{name} ", name)
    if Ifla.ADDRESS in tb:
        text = _lladdr(kind, tb[Ifla.ADDRESS].data)
        out.any("address", text, text)
    if Ifla.BROADCAST in tb:
        text = _lladdr(kind, tb[Ifla.BROADCAST].data)
        if flags & IFF_POINTOPOINT:
            out.json("link_pointtopoint", True)
        out.any("broadcast", f" {'peer' if flags & IFF_POINTOPOINT else 'brd'} {text}", text)


def _print_brief(ip: "Ip", answer: Answer, with_mode: bool) -> None:
    out = ip.out
    _, kind, index, flags, _ = answer.header(IFINFOMSG)
    tb = answer.attrs(IFINFOMSG)
    out.text(f"{print_name(ip, index, tb):<16} ")
    state = _OPERSTATES[tb[Ifla.OPERSTATE].u8]
    out.any("operstate", f"{state:<14} ", state)
    if with_mode:
        if Ifla.ADDRESS in tb:
            text = _lladdr(kind, tb[Ifla.ADDRESS].data)
            out.any("address", f"{text} ", text)
        names = _flags(ip, flags, tb)
        out.any("flags", f"<{','.join(names)}> ", names)
        out.text("\n")


def _print_details(ip: "Ip", tb: dict[int, Nlattr]) -> None:
    """Print what ``-d`` adds."""
    out = ip.out
    for attr, key, text in (
        (Ifla.PROMISCUITY, "promiscuity", " promiscuity {} "),
        (Ifla.ALLMULTI, "allmulti", " allmulti {} "),
        (Ifla.MIN_MTU, "min_mtu", "minmtu {} "),
        (Ifla.MAX_MTU, "max_mtu", "maxmtu {} "),
    ):
        if attr in tb:
            out.any(key, text.format(tb[attr].u32), tb[attr].u32)
    kind, slave_kind, data, slave_data = linkinfo(tb)
    if kind is not None or slave_kind is not None:
        out.open("linkinfo", {})
        if kind is not None:
            out.any("info_kind", f"{out.nl}    {kind} ", kind)
            if kind in KINDS:
                out.open("info_data", {})
                print_options(ip, KINDS[kind], data)
                out.close()
        if slave_kind is not None:
            out.any("info_slave_kind", f"{out.nl}    {slave_kind}_slave ", slave_kind)
            if slave_kind in SLAVE_KINDS:
                out.open("info_slave_data", {})
                print_options(ip, SLAVE_KINDS[slave_kind], slave_data)
                out.close()
        out.close()
    for attr, key, name in (
        (Ifla.NUM_TX_QUEUES, "num_tx_queues", "numtxqueues"),
        (Ifla.NUM_RX_QUEUES, "num_rx_queues", "numrxqueues"),
        (Ifla.GSO_MAX_SIZE, "gso_max_size", "gso_max_size"),
        (Ifla.GSO_MAX_SEGS, "gso_max_segs", "gso_max_segs"),
        (Ifla.TSO_MAX_SIZE, "tso_max_size", "tso_max_size"),
        (Ifla.TSO_MAX_SEGS, "tso_max_segs", "tso_max_segs"),
        (Ifla.GRO_MAX_SIZE, "gro_max_size", "gro_max_size"),
    ):
        if attr in tb:
            out.any(key, f"{name} {tb[attr].u32} ", tb[attr].u32)


# Per direction: what -s shows, and what -s -s adds; as (heading, counter, name in the JSON).
_RX = (
    ("bytes", "rx_bytes", "bytes"),
    ("packets", "rx_packets", "packets"),
    ("errors", "rx_errors", "errors"),
    ("dropped", "rx_dropped", "dropped"),
    ("missed", "rx_missed_errors", ""),
    ("mcast", "multicast", "multicast"),
)
_RX_ERRORS = (
    ("length", "rx_length_errors", "length_errors"),
    ("crc", "rx_crc_errors", "crc_errors"),
    ("frame", "rx_frame_errors", "frame_errors"),
    ("fifo", "rx_fifo_errors", "fifo_errors"),
    ("overrun", "rx_over_errors", ""),
)
_TX = (
    ("bytes", "tx_bytes", "bytes"),
    ("packets", "tx_packets", "packets"),
    ("errors", "tx_errors", "errors"),
    ("dropped", "tx_dropped", "dropped"),
    ("carrier", "tx_carrier_errors", "carrier_errors"),
    ("collsns", "collisions", "collisions"),
)
_TX_ERRORS = (
    ("aborted", "tx_aborted_errors", "aborted_errors"),
    ("fifo", "tx_fifo_errors", "fifo_errors"),
    ("window", "tx_window_errors", "window_errors"),
    ("heartbt", "tx_heartbeat_errors", "heartbeat_errors"),
    ("transns", "carrier_changes", "carrier_changes"),
)
_WIDTHS = (10, 7, 6, 7, 7, 7)  # Of "*X errors:", "packets", "errors", "dropped", "heartbt", "overrun".


def print_stats(ip: "Ip", tb: dict[int, Nlattr]) -> None:
    """Print a device's counters: ``-s``, and its errors one by one with ``-s -s``."""
    if Ifla.STATS64 not in tb:
        return
    values: dict[str, int] = dict(zip(_STATS_NAMES, _STATS.unpack_from(tb[Ifla.STATS64].data), strict=True))
    if Ifla.CARRIER_CHANGES in tb:
        values["carrier_changes"] = tb[Ifla.CARRIER_CHANGES].u32
    if ip.out.is_json:
        _json_stats(ip, values)
    else:
        _text_stats(ip, values)


def _json_stats(ip: "Ip", values: dict[str, int]) -> None:
    out = ip.out
    out.open("stats64", {})
    for way, basic, errors in (("rx", _RX, _RX_ERRORS), ("tx", _TX, _TX_ERRORS)):
        out.open(way, {})
        for heading, counter, key in basic:
            if heading == "missed":
                out.json("over_errors", values["rx_over_errors"])
            elif key:
                out.json(key, values[counter])
        if ip.statistics > 1:
            for _, counter, key in errors:
                if key:
                    out.json(key, values[counter])
            if way == "rx":
                out.json("missed_errors", values["rx_missed_errors"])
        out.close()
    out.close()


def _text_stats(ip: "Ip", values: dict[str, int]) -> None:
    out = ip.out
    tables = [_RX, _TX]
    errors = [_RX_ERRORS, _TX_ERRORS] if ip.statistics > 1 else []
    widths: list[int] = list(_WIDTHS)
    for table in tables:
        for at, (_, counter, _) in enumerate(table):
            widths[at] = max(widths[at], len(str(values[counter])))
    for error_table in errors:
        for at, (_, counter, _) in enumerate(error_table, 1):
            widths[at] = max(widths[at], len(str(values[counter])))
    for way in range(2):
        name = "RX" if way == 0 else "TX"
        headings = [f"{heading:>{width}}" for (heading, _, _), width in zip(tables[way], widths, strict=True)]
        counts = [f"{values[counter]:>{width}}" for (_, counter, _), width in zip(tables[way], widths, strict=True)]
        out.text(f"{out.nl}    {name}: " + " ".join(headings)[4:] + " " * 11)
        out.text(f"{out.nl}    " + " ".join(counts) + " ")
        if errors:
            columns = list(zip(errors[way], widths[1:], strict=True))
            out.text(f"{out.nl}    {name} errors:" + " " * (widths[0] - 10))
            out.text("".join(f" {heading:>{width}}" for (heading, _, _), width in columns))
            out.text(f"{out.nl}    " + " " * widths[0])
            out.text("".join(f" {values[counter]:>{width}}" for (_, counter, _), width in columns) + " ")
