"""Settings by the names that the kernel gives them: ``net.ipv4.ip_forward`` (Linux: ip-sysctl.rst, sysctl(8))."""

from collections.abc import Callable, Iterator
from errno import EINVAL, ENOENT
from re import fullmatch
from typing import TYPE_CHECKING, Any

from .core.timer import HZ
from .ipv4.devinet import IpDevConf, inet_forward_change
from .ipv4.fib_frontend import rt_cache_flush
from .ipv4.tcp_cong import tcp_ca_find
from .sched.sch_api import qdisc_set_default

if TYPE_CHECKING:
    from .core.net import Net
    from .core.netdevice import NetDevice

__all__ = ["sysctl", "sysctl_names"]

_INT_MAX = 0x7FFF_FFFF
_LONG_MAX = 0x7FFF_FFFF_FFFF_FFFF
_UINT_MAX = 0xFFFF_FFFF
_USER_HZ = 100
_TRUESIZE = 2090  # What a frame of 1514 octets takes (SKB_TRUESIZE(ETH_FRAME_LEN)).

Bounds = tuple[int, int]
ANY: Bounds = (~_INT_MAX, _INT_MAX)
_BOOLEAN: Bounds = (0, 1)

# Of a namespace: the name's last part, the member of NetnsIpv4 behind "sysctl_", and the bounds.
_IPV4: dict[str, tuple[str, Bounds]] = {
    "icmp_echo_ignore_all": ("icmp_echo_ignore_all", _BOOLEAN),
    "icmp_echo_ignore_broadcasts": ("icmp_echo_ignore_broadcasts", _BOOLEAN),
    "icmp_msgs_burst": ("icmp_msgs_burst", (0, _INT_MAX)),
    "icmp_msgs_per_sec": ("icmp_msgs_per_sec", (0, _INT_MAX)),
    "icmp_ratemask": ("icmp_ratemask", ANY),
    "igmp_max_memberships": ("igmp_max_memberships", ANY),
    "igmp_max_msf": ("igmp_max_msf", ANY),
    "ip_default_ttl": ("ip_default_ttl", (1, 255)),
    "ip_early_demux": ("ip_early_demux", (0, 255)),
    "ip_forward_update_priority": ("ip_fwd_update_priority", _BOOLEAN),
    "ip_forward_use_pmtu": ("ip_fwd_use_pmtu", (0, 255)),
    "ip_no_pmtu_disc": ("ip_no_pmtu_disc", (0, 255)),
    "ip_nonlocal_bind": ("ip_nonlocal_bind", (0, 255)),
    "ip_unprivileged_port_start": ("ip_unprivileged_port_start", (0, 0xFFFF)),
    "ipfrag_high_thresh": ("ipfrag_high_thresh", (3 << 20, (1 << 64) - 1)),
    "ipfrag_max_dist": ("ipfrag_max_dist", (0, _INT_MAX)),
    "ipfrag_time": ("ipfrag_time", ANY),
    "route.min_pmtu": ("ip_rt_min_pmtu", (68, _INT_MAX)),
    "route_cache": ("route_cache", _BOOLEAN),  # Ours: the cache of Linux 2.6.
}
_XFRM: dict[str, tuple[str, Bounds]] = {
    "xfrm_acq_expires": ("acq_expires", ANY),
}
_U8: Bounds = (0, 255)
# TCP's, of which the name is the member's.
_TCP: dict[str, Bounds] = {
    "tcp_abort_on_overflow": _U8,
    "tcp_adv_win_scale": (-31, 31),
    "tcp_autocorking": _BOOLEAN,
    "tcp_base_mss": ANY,
    "tcp_challenge_ack_limit": ANY,
    "tcp_dsack": _U8,
    "tcp_early_retrans": (0, 4),
    "tcp_ecn": (0, 2),
    "tcp_frto": _U8,
    "tcp_keepalive_probes": _U8,
    "tcp_limit_output_bytes": ANY,
    "tcp_max_orphans": ANY,
    "tcp_max_reordering": (1, _INT_MAX),
    "tcp_max_tw_buckets": ANY,
    "tcp_min_snd_mss": (48, 65535),
    "tcp_moderate_rcvbuf": _U8,
    "tcp_mtu_probe_floor": (48, 65535),
    "tcp_mtu_probing": _U8,
    "tcp_orphan_retries": _U8,
    "tcp_probe_interval": (0, 0xFFFF_FFFF // HZ),
    "tcp_probe_threshold": ANY,
    "tcp_retries1": (0, 255),
    "tcp_retries2": _U8,
    "tcp_rfc1337": _U8,
    "tcp_sack": _U8,
    "tcp_slow_start_after_idle": _U8,
    "tcp_stdurg": _U8,
    "tcp_syn_retries": (1, 127),
    "tcp_synack_retries": _U8,
    "tcp_syncookies": _U8,
    "tcp_timestamps": _U8,
    "tcp_tw_reuse": (0, 2),
    "tcp_window_scaling": _U8,
    "tcp_workaround_signed_windows": _U8,
}
_TCP_SECONDS = ("tcp_fin_timeout", "tcp_keepalive_intvl", "tcp_keepalive_time")
_CORE: dict[str, tuple[str, Bounds]] = {
    "rmem_default": ("rmem_default", (2304, _INT_MAX)),
    "rmem_max": ("rmem_max", (2304, _INT_MAX)),
    "somaxconn": ("somaxconn", (0, _INT_MAX)),
    "wmem_default": ("wmem_default", (4608, _INT_MAX)),
    "wmem_max": ("wmem_max", (4608, _INT_MAX)),
}
# Of a device's neighbours: the member of NeighParms, the bounds, and how the number is shown and taken in.
_NEIGH: dict[str, tuple[str, Bounds, int]] = {
    "app_solicit": ("app_probes", (0, _INT_MAX), 0),
    "base_reachable_time": ("base_reachable_time", ANY, 1),
    "base_reachable_time_ms": ("base_reachable_time", (0, _INT_MAX), 1000),
    "delay_first_probe_time": ("delay_probe_time", ANY, 1),
    "gc_stale_time": ("gc_staletime", ANY, 1),
    "locktime": ("locktime", (0, _INT_MAX), _USER_HZ),
    "mcast_resolicit": ("mcast_reprobes", (0, _INT_MAX), 0),
    "mcast_solicit": ("mcast_probes", (0, _INT_MAX), 0),
    "proxy_delay": ("proxy_delay", (0, _INT_MAX), _USER_HZ),
    "proxy_qlen": ("proxy_qlen", (0, _INT_MAX), 0),
    "retrans_time": ("retrans_time", (0, _INT_MAX), _USER_HZ),
    "retrans_time_ms": ("retrans_time", (0, _INT_MAX), 1000),
    "ucast_solicit": ("ucast_probes", (0, _INT_MAX), 0),
    "unres_qlen_bytes": ("queue_len_bytes", (0, _INT_MAX), 0),
}
_GC: dict[str, tuple[str, int]] = {
    "gc_interval": ("gc_interval", HZ),
    "gc_thresh1": ("gc_thresh1", 1),
    "gc_thresh2": ("gc_thresh2", 1),
    "gc_thresh3": ("gc_thresh3", 1),
}


class _Entry:
    """A setting: how it is read, and how it is set from a text."""

    __slots__ = ("get", "set")

    def __init__(self, get: Callable[[], str], set: Callable[[str], None]) -> None:
        self.get = get
        self.set = set


def sysctl(net: "Net", name: str, value: "str | int | None" = None) -> str:
    """Return a setting as text, without the newline at its end; with a value, set it first.

    Parameters
    ----------
    net : Net
        The namespace.
    name : str
        As ``sysctl`` writes it: ``"net.ipv4.conf.eth0.rp_filter"``; a dot in a device's name is a slash.
    value : str or int or None
        What to set.

    Raises
    ------
    OSError
        ``ENOENT`` if there is no such setting; ``EINVAL`` for a value that makes no sense.
    """
    entry = _find(net, name)
    if value is not None:
        entry.set(str(value))
    return entry.get()


def sysctl_names(net: "Net") -> list[str]:
    """Return the names of all settings of a namespace."""
    names = ["net.core.default_qdisc", *(f"net.core.{name}" for name in (*_CORE, *_XFRM))]
    names += [f"net.ipv4.{name}" for name in (*_IPV4, *_TCP, *_TCP_SECONDS, *_SPECIAL)]
    if net is not net.kernel.init_net:
        names = [name for name in names if name.rpartition(".")[2] not in _OF_HOST]
    for where in _places(net):
        names += [f"net.ipv4.conf.{where}.{name}" for name in IpDevConf.__slots__]
        if where != "all":
            names.append(f"net.ipv4.conf.{where}.arp_announce")
            names += [f"net.ipv4.neigh.{where}.{name}" for name in (*_NEIGH, "unres_qlen")]
    return sorted([*names, *(f"net.ipv4.neigh.default.{name}" for name in _GC)])


def _places(net: "Net") -> Iterator[str]:
    yield from ("all", "default")
    for dev in net.devices.values():
        if dev.ip_ptr is not None:
            yield dev.name.replace(".", "/")


def _missing(name: str) -> OSError:
    return OSError(ENOENT, f"no setting {name}")


def _find(net: "Net", name: str) -> _Entry:
    ipv4 = net.ipv4
    if name == "net.core.default_qdisc":
        return _Entry(lambda: net.kernel.default_qdisc_ops.id, lambda text: qdisc_set_default(net.kernel, text.strip()))
    core = name.removeprefix("net.core.")
    if core != name and core in _XFRM:
        member, bounds = _XFRM[core]
        return _number(net.xfrm, f"sysctl_{member}", bounds)
    if core != name and core in _CORE:
        member, bounds = _CORE[core]
        return _number(ipv4, f"sysctl_{member}", bounds)
    rest = name.removeprefix("net.ipv4.")
    if rest == name:
        raise _missing(name)
    if rest in _IPV4:
        member, bounds = _IPV4[rest]
        return _number(ipv4, f"sysctl_{member}", bounds)
    if rest in _TCP:
        return _number(ipv4, f"sysctl_{rest}", _TCP[rest])
    if rest in _TCP_SECONDS:
        return _scaled(ipv4, f"sysctl_{rest}", (-_INT_MAX // HZ, _INT_MAX // HZ), HZ)
    if rest in _SPECIAL:
        return _SPECIAL[rest](net)
    kind, _, rest = rest.partition(".")
    where, _, last = rest.partition(".")
    if kind == "conf":
        return _conf(net, where.replace("/", "."), last, name)
    if kind == "neigh":
        return _neigh(net, where.replace("/", "."), last, name)
    raise _missing(name)


def _parse(text: str, bounds: Bounds) -> int | None:
    """Return the number in a text; None for an empty one, which changes nothing.

    Raises
    ------
    OSError
        ``EINVAL`` if there is none, or it is out of bounds.
    """
    words = text.split()
    if not words:
        return None
    match = fullmatch(r"[-+]?(0x[0-9a-f]+|[0-9]+)", words[0].lower())
    if match is None:
        raise OSError(EINVAL, f"{text!r} is no number")
    digits = words[0].lower().lstrip("+-")
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") and len(digits) > 1 else 10
    try:
        number = int(digits, base)
    except ValueError:
        raise OSError(EINVAL, f"{text!r} is no number") from None
    number = -number if words[0].startswith("-") else number
    low, high = bounds
    if not low <= number <= high:
        raise OSError(EINVAL, f"{number} is not in {low}..{high}")
    return number


def _number(owner: Any, member: str, bounds: Bounds = ANY, after: Callable[[int], None] | None = None) -> _Entry:
    """Return a setting that is a number in a member of an object; ``after`` is told of each new one."""

    def put(text: str) -> None:
        number = _parse(text, bounds)
        if number is not None:
            setattr(owner, member, number)
            if after is not None:
                after(number)

    return _Entry(lambda: str(int(getattr(owner, member))), put)


def _forward(net: "Net") -> _Entry:
    """Return ``ip_forward``, which is ``conf.all.forwarding``."""

    def put(text: str) -> None:
        number = _parse(text, ANY)
        if number is not None:
            inet_forward_change(net, number != 0)
            confs = [net.ipv4.devconf_all, net.ipv4.devconf_dflt]
            confs += [dev.ip_ptr.cnf for dev in net.devices.values() if dev.ip_ptr is not None]
            for conf in confs:
                conf.forwarding = number

    return _Entry(lambda: str(net.ipv4.devconf_all.forwarding), put)


def _local_port_range(net: "Net") -> _Entry:
    ipv4 = net.ipv4

    def put(text: str) -> None:
        words = text.split()
        low, high = ipv4.sysctl_ip_local_port_range
        numbers = [_parse(word, (1, 0xFFFF)) for word in words[:2]]
        low = numbers[0] if numbers and numbers[0] is not None else low
        high = numbers[1] if len(numbers) > 1 and numbers[1] is not None else high
        if high < low or low < ipv4.sysctl_ip_unprivileged_port_start:
            raise OSError(EINVAL, f"no ports in {low}..{high}")
        ipv4.sysctl_ip_local_port_range = (low, high)

    return _Entry(lambda: "{}\t{}".format(*ipv4.sysctl_ip_local_port_range), put)


def _local_reserved_ports(net: "Net") -> _Entry:
    ipv4 = net.ipv4

    def get() -> str:
        ports = sorted(ipv4.sysctl_ip_local_reserved_ports)
        runs: list[list[int]] = []
        for port in ports:
            if runs and runs[-1][-1] == port - 1:
                runs[-1][1:] = [port]
            else:
                runs.append([port])
        return ",".join("-".join(map(str, run)) for run in runs)

    def put(text: str) -> None:
        if not text:
            return
        ports: set[int] = set()
        for part in text.split(",") if text.strip() else ():
            first, dash, last = part.partition("-")
            low = _parse(first, (0, 0xFFFF))
            high = _parse(last if dash else first, (0, 0xFFFF))
            if low is None or high is None or high < low:
                raise OSError(EINVAL, f"{part!r} are no ports")
            ports.update(range(low, high + 1))
        ipv4.sysctl_ip_local_reserved_ports = frozenset(ports)

    return _Entry(get, put)


def _whole_jiffies(net: "Net", member: str) -> _Entry:
    """Return a time in ms that is kept in whole jiffies."""

    def put(text: str) -> None:
        number = _parse(text, (0, _INT_MAX))
        if number is not None:
            setattr(net.ipv4, member, -(-number * HZ // 1000) * 1000 // HZ)

    return _Entry(lambda: str(getattr(net.ipv4, member)), put)


def _icmp_ratelimit(net: "Net") -> _Entry:
    """Return how long an answer of ICMP keeps the next."""
    return _whole_jiffies(net, "sysctl_icmp_ratelimit")


def _tcp_invalid_ratelimit(net: "Net") -> _Entry:
    """Return how long an answer to what is out of the window keeps the next."""
    return _whole_jiffies(net, "sysctl_tcp_invalid_ratelimit")


def _tcp_reordering(net: "Net") -> _Entry:
    """Return after how many duplicate ACKs something counts as lost."""
    return _number(net.ipv4, "sysctl_tcp_reordering", (1, net.ipv4.sysctl_tcp_max_reordering))


def _three(holder: object, member: str, bounds: Bounds = (1, _INT_MAX)) -> _Entry:
    """Return three sizes: of a buffer the least, the usual and the most."""

    def put(text: str) -> None:
        numbers = list(getattr(holder, member))
        for index, word in enumerate(text.split()[:3]):
            number = _parse(word, bounds)
            numbers[index] = numbers[index] if number is None else number
        setattr(holder, member, tuple(numbers))

    return _Entry(lambda: "\t".join(map(str, getattr(holder, member))), put)


def _tcp_rmem(net: "Net") -> _Entry:
    return _three(net.ipv4, "sysctl_tcp_rmem")


def _tcp_wmem(net: "Net") -> _Entry:
    return _three(net.ipv4, "sysctl_tcp_wmem")


def _memory(net: "Net", protocol: str) -> _Entry:
    """Return how many pages all sockets of a protocol may have: one setting for all namespaces, in the first only."""
    if net is not net.kernel.init_net:
        raise _missing(f"net.ipv4.{protocol.lower()}_mem")
    return _three(net.kernel.proto_memory[protocol], "sysctl_mem", (0, _LONG_MAX))


def _tcp_mem(net: "Net") -> _Entry:
    return _memory(net, "TCP")


def _udp_mem(net: "Net") -> _Entry:
    return _memory(net, "UDP")


def _tcp_congestion_control(net: "Net") -> _Entry:
    def put(text: str) -> None:
        net.ipv4.sysctl_tcp_congestion_control = tcp_ca_find(net, text.strip()).name

    return _Entry(lambda: net.ipv4.sysctl_tcp_congestion_control, put)


_SPECIAL: "dict[str, Callable[[Net], _Entry]]" = {
    "icmp_ratelimit": _icmp_ratelimit,
    "ip_forward": _forward,
    "ip_local_port_range": _local_port_range,
    "ip_local_reserved_ports": _local_reserved_ports,
    "tcp_congestion_control": _tcp_congestion_control,
    "tcp_invalid_ratelimit": _tcp_invalid_ratelimit,
    "tcp_mem": _tcp_mem,
    "tcp_reordering": _tcp_reordering,
    "tcp_rmem": _tcp_rmem,
    "tcp_wmem": _tcp_wmem,
    "udp_mem": _udp_mem,
}

_OF_HOST = ("tcp_mem", "udp_mem")


def _device(net: "Net", where: str, name: str) -> "NetDevice":
    dev = net.dev_by_name.get(where)
    if dev is None or dev.ip_ptr is None:
        raise _missing(name)
    return dev


def _conf(net: "Net", where: str, last: str, name: str) -> _Entry:
    """Return a setting of IPv4 for one device, for all, or for those to come."""
    ipv4 = net.ipv4
    if last == "arp_announce":
        if where == "all":
            raise _missing(name)  # Each device's own counts, and nothing besides.
        parms = ipv4.arp_tbl.parms if where == "default" else _device(net, where, name).arp_parms
        return _number(parms, "arp_announce")
    if last not in IpDevConf.__slots__:
        raise _missing(name)
    if where == "all" and last == "forwarding":
        return _forward(net)
    if where == "all":
        conf = ipv4.devconf_all
    elif where == "default":
        conf = ipv4.devconf_dflt
    else:
        conf = _device(net, where, name).ip_ptr.cnf
    return _number(conf, last, ANY, lambda _: rt_cache_flush(net))


def _neigh(net: "Net", where: str, last: str, name: str) -> _Entry:
    """Return a setting of the neighbours of one device, or of those to come; or of the table."""
    tbl = net.ipv4.arp_tbl
    if where == "default" and last in _GC:
        member, unit = _GC[last]
        return _scaled(tbl, member, (0, _INT_MAX), unit)
    parms = tbl.parms if where == "default" else _device(net, where, name).arp_parms
    if last == "unres_qlen":
        return _scaled(parms, "queue_len_bytes", (0, _INT_MAX // _TRUESIZE), _TRUESIZE)
    if last not in _NEIGH:
        raise _missing(name)
    member, bounds, per_second = _NEIGH[last]
    return _timed(parms, member, bounds, per_second) if per_second else _number(parms, member, bounds)


def _scaled(owner: Any, member: str, bounds: Bounds, unit: int) -> _Entry:
    """Return a setting that counts units of so many."""

    def put(text: str) -> None:
        number = _parse(text, bounds)
        if number is not None:
            setattr(owner, member, number * unit)

    return _Entry(lambda: str(getattr(owner, member) // unit), put)


def _timed(owner: Any, member: str, bounds: Bounds, per_second: int) -> _Entry:
    """Return a setting that is a time, kept in jiffies and shown in parts of a second."""

    def put(text: str) -> None:
        number = _parse(text, bounds)
        if number is not None:
            # A begun jiffy counts, but of USER_HZ.
            jiffies = number * HZ // per_second if per_second == _USER_HZ else -(-number * HZ // per_second)
            setattr(owner, member, jiffies)

    return _Entry(lambda: str(getattr(owner, member) * per_second // HZ), put)
