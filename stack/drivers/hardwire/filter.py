"""What our NIC is to receive: addresses, groups, VLANs."""

from typing import TYPE_CHECKING

from ...abi.regs import GLOBAL, MAC
from ...core.if_vlan import ETH_P_8021Q
from ...core.netdevice import (
    IFF_ALLMULTI,
    IFF_PROMISC,
    NETIF_F_HW_VLAN_CTAG_FILTER,
    NETIF_F_HW_VLAN_CTAG_RX,
    NetDevice,
)
from ...ethernet.eth import ether_crc

if TYPE_CHECKING:
    from .main import Hardwire

__all__ = [
    "hardwire_set_features",
    "hardwire_set_mac_address",
    "hardwire_set_rx_mode",
    "hardwire_set_up_filter",
    "hardwire_vlan_rx_add_vid",
    "hardwire_vlan_rx_kill_vid",
]

_VLAN_CYCLES = 16  # From one write of MAC.VLAN to the next.
_CYCLES = GLOBAL.address(GLOBAL["CYCLES_LO"])


def _write(nic: "Hardwire", register: str, value: int) -> None:
    nic.mmio.write32(MAC.address(MAC[register]), value)


def hardwire_set_up_filter(nic: "Hardwire") -> None:
    """Say all that the device is to receive, when it goes up."""
    _write_address(nic)
    if nic.dev.features & NETIF_F_HW_VLAN_CTAG_FILTER:
        _write_vids(nic)
    hardwire_set_rx_mode(nic.dev)


def hardwire_set_rx_mode(dev: NetDevice) -> None:
    """Take over flags and lists of addresses (``ndo_set_rx_mode``).

    Groups are filtered by a hash of 64 values, so that some frames to others come along. For a second unicast address
    the stack asks for promiscuous mode, since this device filters by one only.
    """
    nic: Hardwire = dev.priv
    if not nic.rx_rings:
        return
    mask = 0
    for addr in dev.mc:
        mask |= 1 << (ether_crc(addr) >> 26)
    _write(nic, "HASH_LO", mask & 0xFFFFFFFF)
    _write(nic, "HASH_HI", mask >> 32)
    _write_rx_ctrl(nic, dev.features)


def _write_rx_ctrl(nic: "Hardwire", features: int) -> None:
    dev = nic.dev
    value = MAC["RX_CTRL"].pack(
        promiscuous=int(dev.flags & IFF_PROMISC != 0),
        all_multicast=int(dev.flags & IFF_ALLMULTI != 0),
        broadcast=1,
        vlan_strip=int(features & NETIF_F_HW_VLAN_CTAG_RX != 0),
        vlan_filter=int(features & NETIF_F_HW_VLAN_CTAG_FILTER != 0),
    )
    _write(nic, "RX_CTRL", value)


def _write_address(nic: "Hardwire") -> None:
    if nic.rx_rings:
        addr = nic.dev.dev_addr
        _write(nic, "ADDR_LO", int.from_bytes(addr[2:], "big"))
        _write(nic, "ADDR_HI", int.from_bytes(addr[:2], "big"))


def hardwire_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Set the address (``ndo_set_mac_address``)."""
    dev.dev_addr = bytes(addr)
    _write_address(dev.priv)


def _write_vid(nic: "Hardwire", vid: int, member: int) -> None:
    _write(nic, "VLAN", MAC["VLAN"].pack(vid=vid, member=member))
    # The device takes its time over each.
    read32 = nic.mmio.read32
    start = read32(_CYCLES)
    for _ in range(_VLAN_CYCLES):  # A read takes a cycle at least.
        if (read32(_CYCLES) - start) & 0xFFFFFFFF >= _VLAN_CYCLES:
            return


def _write_vids(nic: "Hardwire") -> None:
    """Fill the table of VLANs; number 0 is a priority tag, which does not make a frame one of a VLAN."""
    _write_vid(nic, 0, 1)
    info = nic.dev.vlan_info
    for proto, vid in info.vids if info is not None else ():
        if proto == ETH_P_8021Q:
            _write_vid(nic, vid, 1)


def hardwire_vlan_rx_add_vid(dev: NetDevice, proto: int, vid: int) -> None:
    """Receive a VLAN (``ndo_vlan_rx_add_vid``); those with other tags than 802.1Q's are not filtered."""
    if proto == ETH_P_8021Q:
        _write_vid(dev.priv, vid, 1)


def hardwire_vlan_rx_kill_vid(dev: NetDevice, proto: int, vid: int) -> None:
    """Receive it no longer (``ndo_vlan_rx_kill_vid``)."""
    if proto == ETH_P_8021Q and vid:
        _write_vid(dev.priv, vid, 0)


def hardwire_set_features(dev: NetDevice, features: int) -> None:
    """Take over what was switched on and off (``ndo_set_features``)."""
    nic: Hardwire = dev.priv
    nic.use_features(features)
    if not nic.rx_rings:
        return
    if features & ~dev.features & NETIF_F_HW_VLAN_CTAG_FILTER:
        _write_vids(nic)
    _write_rx_ctrl(nic, features)
