"""Making and showing devices of VLANs by messages (Linux: net/8021q/vlan_netlink.c)."""

from errno import EEXIST, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, ERANGE
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_register import register_netdevice, register_netdevice_notifier, unregister_netdevice
from ..core.if_vlan import ETH_P_8021Q, VLAN_VID_MASK, eth_type_vlan
from ..core.netdevice import ARPHRD_ETHER, IFF_LOOPBACK
from ..core.rtnl_link import LinkData, RtnlLinkOps
from .vlan import vlan_device_event
from .vlan_core import vlan_vid_add, vlan_vid_del
from .vlan_dev import VlanDevice, vlan_setup

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = [
    "IFLA_VLAN_FLAGS",
    "IFLA_VLAN_ID",
    "IFLA_VLAN_PROTOCOL",
    "vlan_link_ops",
    "vlan_newlink",
]

IFLA_VLAN_ID = 1
IFLA_VLAN_FLAGS = 2
IFLA_VLAN_PROTOCOL = 5

_FLAGS = Struct("=II")
VLAN_FLAG_REORDER_HDR = 1  # The tag is beside received frames' headers, not in them. It can only be on.


def vlan_validate(data: LinkData) -> None:
    """Check that values can be right.

    Raises
    ------
    OSError
        ``EPROTONOSUPPORT``, ``ERANGE``; ``EINVAL`` for flags that there are not, ``EOPNOTSUPP`` for those not modelled.
    """
    if not eth_type_vlan(data.get(IFLA_VLAN_PROTOCOL, ETH_P_8021Q)):
        raise OSError(EPROTONOSUPPORT, f"there is no VLAN protocol {data[IFLA_VLAN_PROTOCOL]:#06x}")
    if data.get(IFLA_VLAN_ID, 0) >= VLAN_VID_MASK:
        raise OSError(ERANGE, f"VLAN {data[IFLA_VLAN_ID]} is not in 0..{VLAN_VID_MASK - 1}")
    if IFLA_VLAN_FLAGS in data:
        if len(data[IFLA_VLAN_FLAGS]) != _FLAGS.size:
            raise OSError(EINVAL, "flags of a VLAN are two words")
        flags, mask = _FLAGS.unpack(data[IFLA_VLAN_FLAGS])
        if flags & mask & ~VLAN_FLAG_REORDER_HDR or mask & ~flags & VLAN_FLAG_REORDER_HDR:
            raise OSError(EOPNOTSUPP, f"flags {flags:#x} of a VLAN are not modelled")


def vlan_newlink(net: "Net", name: str, data: LinkData, lower: "NetDevice | None") -> VlanDevice:
    """Make the device of a VLAN, down: ``ip link add NAME link LINK type vlan id ID``.

    Raises
    ------
    OSError
        ``EINVAL`` if the number or the device below is missing; ``EOPNOTSUPP`` if that one has no VLANs; ``EEXIST`` if
        it has this one, or for the name; as ``vlan_validate``.
    """
    vlan_validate(data)
    if IFLA_VLAN_ID not in data:
        raise OSError(EINVAL, "a VLAN needs a number")
    if lower is None:
        raise OSError(EINVAL, "a VLAN needs a device below it")
    if lower.flags & IFF_LOOPBACK or lower.type != ARPHRD_ETHER:
        raise OSError(EOPNOTSUPP, f"{lower.name} has no VLANs")
    key = data.get(IFLA_VLAN_PROTOCOL, ETH_P_8021Q), data[IFLA_VLAN_ID]
    if lower.vlan_info is not None and key in lower.vlan_info.devs:
        raise OSError(EEXIST, f"{lower.name} has VLAN {data[IFLA_VLAN_ID]}")
    dev = VlanDevice(name, lower, *key)
    vlan_setup(dev)
    dev.rtnl_link_ops = vlan_link_ops
    if vlan_device_event not in net.netdev_chain:
        register_netdevice_notifier(net, vlan_device_event)
    vlan_vid_add(lower, *key)
    try:
        register_netdevice(dev)
    except OSError:
        vlan_vid_del(lower, *key)
        raise
    assert lower.vlan_info is not None
    lower.vlan_info.devs[key] = dev
    return dev


def vlan_changelink(dev: "NetDevice", data: LinkData) -> None:
    """Change a device: ``ip link set NAME type vlan ...``; its number and protocol stay, whatever the request says.

    Raises
    ------
    OSError
        As ``vlan_validate``.
    """
    vlan_validate(data)


def vlan_fill_info(dev: "NetDevice") -> LinkData:
    """Return how a device is set."""
    assert isinstance(dev, VlanDevice)
    return {
        IFLA_VLAN_PROTOCOL: dev.vlan_proto,
        IFLA_VLAN_ID: dev.vlan_id,
        IFLA_VLAN_FLAGS: _FLAGS.pack(VLAN_FLAG_REORDER_HDR, 0xFFFF_FFFF),
    }


vlan_link_ops = RtnlLinkOps(
    kind="vlan",
    newlink=vlan_newlink,
    dellink=unregister_netdevice,
    changelink=vlan_changelink,
    fill_info=vlan_fill_info,
    policy={IFLA_VLAN_ID: "u16", IFLA_VLAN_FLAGS: "binary", IFLA_VLAN_PROTOCOL: "be16"},
)
