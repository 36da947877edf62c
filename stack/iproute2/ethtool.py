"""``ethtool``: what a card's driver shows and sets (ethtool(8))."""

import shlex
from collections.abc import Callable
from errno import EINVAL, ENODEV, EOPNOTSUPP
from typing import TYPE_CHECKING, Any

from ..core import netdevice as nd
from ..core.dev_register import dev_change_features
from .args import Args, CommandError
from .json_print import Printer

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["ethtool"]

# In the order of "ethtool -k": name, and its bits; a name without an indent is an old one for several.
_FEATURES: tuple[tuple[str, int, bool], ...] = (
    ("rx-checksumming", nd.NETIF_F_RXCSUM, False),
    ("tx-checksumming", nd.NETIF_F_CSUM_MASK, False),
    ("tx-checksum-ipv4", nd.NETIF_F_IP_CSUM, True),
    ("tx-checksum-ip-generic", nd.NETIF_F_HW_CSUM, True),
    ("scatter-gather", nd.NETIF_F_SG | nd.NETIF_F_FRAGLIST, False),
    ("tx-scatter-gather", nd.NETIF_F_SG, True),
    ("tx-scatter-gather-fraglist", nd.NETIF_F_FRAGLIST, True),
    ("tcp-segmentation-offload", nd.NETIF_F_TSO, False),
    ("tx-tcp-segmentation", nd.NETIF_F_TSO, True),
    ("generic-receive-offload", nd.NETIF_F_GRO, False),
    ("rx-vlan-offload", nd.NETIF_F_HW_VLAN_CTAG_RX, False),
    ("tx-vlan-offload", nd.NETIF_F_HW_VLAN_CTAG_TX, False),
    ("receive-hashing", nd.NETIF_F_RXHASH, False),
    ("highdma", nd.NETIF_F_HIGHDMA, False),
    ("rx-vlan-filter", nd.NETIF_F_HW_VLAN_CTAG_FILTER, False),
    ("loopback", nd.NETIF_F_LOOPBACK, False),
    ("rx-fcs", nd.NETIF_F_RXFCS, False),
    ("rx-all", nd.NETIF_F_RXALL, False),
    ("hw-neigh", nd.NETIF_F_HW_NEIGH, False),  # Ours.
)
_SHORT = {
    "rx": "rx-checksumming",
    "tx": "tx-checksumming",
    "sg": "scatter-gather",
    "tso": "tcp-segmentation-offload",
    "gro": "generic-receive-offload",
    "rxvlan": "rx-vlan-offload",
    "txvlan": "tx-vlan-offload",
    "rxhash": "receive-hashing",
}
_COALESCE = {
    "rx-usecs": "rx_coalesce_usecs",
    "rx-frames": "rx_max_coalesced_frames",
    "tx-usecs": "tx_coalesce_usecs",
    "tx-frames": "tx_max_coalesced_frames",
}


def ethtool(net: "Net", command: str) -> str:
    """Run ``ethtool`` in a namespace, and return what it prints.

    Parameters
    ----------
    net : Net
        The namespace.
    command : str
        The words behind ``ethtool``: ``"-S eth0"``; also ``-i``, ``-k``, ``-K``, ``-g``, ``-G``, ``-c``, ``-C``,
        ``-r``, or only the device; ``--json`` before ``-k``, ``-g`` and ``-c``.

    Raises
    ------
    CommandError
        An ``OSError`` with the kernel's errno (``EINVAL`` for words that make no sense).
    """
    args = Args(shlex.split(command))
    out = Printer(json=args.taken("--json", "-j"), pretty=True)
    if not args:
        raise CommandError("ethtool: bad command line argument(s)\nFor more information run ethtool -h")
    word = args.word
    do = next((do for names, do in _COMMANDS.items() if word in names), None)
    if do is None and word.startswith("-"):
        raise CommandError("ethtool: bad command line argument(s)\nFor more information run ethtool -h")
    if do is not None:
        args.take()
    name = args.next()
    dev = net.dev_by_name.get(name)
    if dev is None:
        raise CommandError(
            "netlink error: no device matches name (offset 24)\nnetlink error: No such device", errno=ENODEV, status=75
        )
    out.open(None, {"ifname": name})
    (do or _show)(dev, args, out)
    if args:
        raise CommandError("ethtool: bad command line argument(s)\nFor more information run ethtool -h")
    out.close()
    return out.result()


def _operation(dev: "NetDevice", name: str) -> Callable[..., Any]:
    operation: Callable[..., Any] | None = getattr(dev.ethtool_ops, name, None)
    if operation is None:
        raise CommandError("netlink error: Operation not supported", errno=EOPNOTSUPP, status=81)
    return operation


def _called(operation: Callable[..., Any], **values: Any) -> None:
    """Have a driver set something."""
    try:
        operation(**values)
    except OSError as error:
        raise CommandError(f"netlink error: {error.strerror}", errno=error.errno or EINVAL, status=75) from error


def _show(dev: "NetDevice", args: Args, out: Printer) -> None:
    """Print what the link is."""
    del args
    settings = _operation(dev, "get_link_ksettings")()
    out.text(f"Settings for {dev.name}:\n")
    for way, modes in (("Advertised", settings.advertising), ("Link partner advertised", settings.lp_advertising)):
        lines = ("\n\t" + " " * (len(way) + 13)).join(modes) or "Not reported"
        out.any(f"{way.lower()} link modes", f"\t{way} link modes:  {lines}\n", list(modes))
    speed = f"{settings.speed_mbps}Mb/s" if settings.speed_mbps is not None else "Unknown!"
    out.any("speed", f"\tSpeed: {speed}\n", settings.speed_mbps)
    duplex = settings.duplex.capitalize() if settings.speed_mbps is not None else "Unknown! (255)"
    out.any("duplex", f"\tDuplex: {duplex}\n", duplex)
    out.any("auto-negotiation", f"\tAuto-negotiation: {_on(settings.autoneg)}\n", settings.autoneg)
    out.any("link-detected", f"\tLink detected: {'yes' if settings.link else 'no'}\n", settings.link)


def _on(value: object) -> str:
    return "on" if value else "off"


def _drvinfo(dev: "NetDevice", args: Args, out: Printer) -> None:
    del args
    info = _operation(dev, "get_drvinfo")()
    out.text(
        f"driver: {info.driver}\nversion: {info.version}\nfirmware-version: \nexpansion-rom-version: \n"
        f"bus-info: {info.bus_info}\nsupports-statistics: {'yes' if info.n_stats else 'no'}\nsupports-test: no\n"
        "supports-eeprom-access: no\nsupports-register-dump: no\nsupports-priv-flags: no\n"
    )


def _features(dev: "NetDevice", args: Args, out: Printer) -> None:
    del args
    out.text(f"Features for {dev.name}:\n")
    for name, bits, part in _FEATURES:
        active = bool(dev.features & bits)
        fixed = not dev.hw_features & bits
        out.any(
            name,
            f"{chr(9) if part else ''}{name}: {_on(active)}{' [fixed]' if fixed else ''}\n",
            {"active": active, "fixed": fixed, "requested": active},
        )


def _set_features(dev: "NetDevice", args: Args, out: Printer) -> None:
    del out
    wanted = mask = 0
    while args:
        word = args.take()
        bits = next((bits for name, bits, _ in _FEATURES if name == _SHORT.get(word, word)), None)
        if bits is None:
            raise CommandError("netlink error: bit name not found (offset 56)", status=92)
        value = args.next()
        if value not in ("on", "off"):
            raise CommandError("ethtool: bad command line argument(s)\nFor more information run ethtool -h")
        # An old name for several bits means those that there are.
        bits = bits & dev.hw_features or bits
        mask |= bits
        wanted = wanted | bits if value == "on" else wanted & ~bits
    if wanted & ~dev.hw_features:
        raise CommandError("Could not change any device features")
    _called(dev_change_features, dev=dev, wanted=wanted, mask=mask & dev.hw_features)


def _stats(dev: "NetDevice", args: Args, out: Printer) -> None:
    del args
    names, values = _operation(dev, "get_strings")(), _operation(dev, "get_ethtool_stats")()
    out.text("NIC statistics:\n")
    for name, value in zip(names, values, strict=True):
        out.any(name, f"     {name}: {value}\n", value)


def _ring(dev: "NetDevice", args: Args, out: Printer) -> None:
    del args
    ring = _operation(dev, "get_ringparam")()
    out.text(f"Ring parameters for {dev.name}:\nPre-set maximums:\n")
    out.any("rx-max", f"RX:\t\t{ring.rx_max_pending}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\n", ring.rx_max_pending)
    out.any("tx-max", f"TX:\t\t{ring.tx_max_pending}\nCurrent hardware settings:\n", ring.tx_max_pending)
    out.any("rx", f"RX:\t\t{ring.rx_pending}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\n", ring.rx_pending)
    out.any("tx", f"TX:\t\t{ring.tx_pending}\n", ring.tx_pending)


def _numbers(args: Args, names: dict[str, str]) -> dict[str, int]:
    values: dict[str, int] = {}
    while args:
        word = args.take()
        value = args.next()
        if word not in names or not value.isdigit():
            raise CommandError("ethtool: bad command line argument(s)\nFor more information run ethtool -h")
        values[names[word]] = int(value)
    return values


def _set_ring(dev: "NetDevice", args: Args, out: Printer) -> None:
    del out
    _called(_operation(dev, "set_ringparam"), **_numbers(args, {"rx": "rx_pending", "tx": "tx_pending"}))


def _coalesce(dev: "NetDevice", args: Args, out: Printer) -> None:
    del args
    values = _operation(dev, "get_coalesce")()
    out.text(f"Coalesce parameters for {dev.name}:\n")
    for word, name in _COALESCE.items():
        out.any(word, f"{word}: {getattr(values, name)}\n", getattr(values, name))


def _set_coalesce(dev: "NetDevice", args: Args, out: Printer) -> None:
    del out
    _called(_operation(dev, "set_coalesce"), **_numbers(args, _COALESCE))


def _negotiate(dev: "NetDevice", args: Args, out: Printer) -> None:
    del args, out
    _called(_operation(dev, "nway_reset"))


_COMMANDS: dict[tuple[str, ...], "Callable[[NetDevice, Args, Printer], None]"] = {
    ("-i", "--driver"): _drvinfo,
    ("-k", "--show-features", "--show-offload"): _features,
    ("-K", "--features", "--offload"): _set_features,
    ("-S", "--statistics"): _stats,
    ("-g", "--show-ring"): _ring,
    ("-G", "--set-ring"): _set_ring,
    ("-c", "--show-coalesce"): _coalesce,
    ("-C", "--coalesce"): _set_coalesce,
    ("-r", "--negotiate"): _negotiate,
}
