"""What a bridge, its ports and its table of addresses consist of (Linux: net/bridge/br_private.h)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.netdevice import IFF_BRIDGE_PORT
from ..core.timer import HZ, TimerList

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice

__all__ = [
    "BR_ADMIN_COST",
    "BR_BCAST_FLOOD",
    "BR_BPDU_GUARD",
    "BR_FLOOD",
    "BR_GROUPFWD_RESTRICTED",
    "BR_GROUP_ADDRESS",
    "BR_HAIRPIN_MODE",
    "BR_ISOLATED",
    "BR_KERNEL_STP",
    "BR_LEARNING",
    "BR_MAX_PORTS",
    "BR_MCAST_FLOOD",
    "BR_MULTICAST_FAST_LEAVE",
    "BR_NO_STP",
    "BR_PORT_BITS",
    "BR_PORT_LOCKED",
    "BR_PROMISC",
    "BR_ROOT_BLOCK",
    "BR_STATE_BLOCKING",
    "BR_STATE_DISABLED",
    "BR_STATE_FORWARDING",
    "BR_STATE_LEARNING",
    "BR_STATE_LISTENING",
    "BrConfigBpdu",
    "BrInputSkbCb",
    "NetBridge",
    "NetBridgeFdbEntry",
    "NetBridgePort",
    "br_is_root_bridge",
    "br_port_get_rcu",
    "is_link_local_ether_addr",
]

BR_STATE_DISABLED = 0
BR_STATE_LISTENING = 1
BR_STATE_LEARNING = 2
BR_STATE_FORWARDING = 3
BR_STATE_BLOCKING = 4

BR_NO_STP = 0
BR_KERNEL_STP = 1

BR_HAIRPIN_MODE = 1 << 0
BR_BPDU_GUARD = 1 << 1
BR_ROOT_BLOCK = 1 << 2
BR_MULTICAST_FAST_LEAVE = 1 << 3
BR_ADMIN_COST = 1 << 4
BR_LEARNING = 1 << 5
BR_FLOOD = 1 << 6
BR_PROMISC = 1 << 7
BR_MCAST_FLOOD = 1 << 11
BR_BCAST_FLOOD = 1 << 14
BR_ISOLATED = 1 << 16
BR_PORT_LOCKED = 1 << 20

BR_PORT_BITS = 10
BR_MAX_PORTS = 1 << BR_PORT_BITS
BR_GROUP_ADDRESS = bytes.fromhex("0180c2000000")  # IEEE Std 802.1D-1998 §7.12.3.
BR_GROUPFWD_RESTRICTED = 0x07  # Bridge group, pause and slow protocols' addresses are not forwarded.


def is_link_local_ether_addr(addr: bytes) -> bool:
    """Return whether bridges keep frames to an address to themselves: 01:80:C2:00:00:00 to 0F."""
    return addr[:5] == b"\x01\x80\xc2\0\0" and addr[5] < 16


class NetBridgeFdbEntry:
    """Where a station is (Linux: ``struct net_bridge_fdb_entry``).

    Members
    -------
    addr, vlan_id : bytes, int
        Its address, and the VLAN that it is known in; 0 without VLANs.
    dst : NetBridgePort or None
        The port; None for the bridge itself.
    is_local : bool
        The station is this host: frames go up.
    is_static : bool
        It does not age.
    is_sticky : bool
        It does not move to another port.
    added_by_user : bool
        Configured, not learned.
    updated, used : int
        When a frame came from it, and was sent to it, in jiffies.
    """

    __slots__ = ("added_by_user", "addr", "dst", "is_local", "is_static", "is_sticky", "updated", "used", "vlan_id")

    def __init__(
        self,
        addr: bytes,
        vlan_id: int,
        dst: "NetBridgePort | None",
        now: int,
        *,
        is_local: bool = False,
    ) -> None:
        self.addr = addr
        self.vlan_id = vlan_id
        self.dst = dst
        self.is_local = self.is_static = is_local
        self.is_sticky = self.added_by_user = False
        self.updated = self.used = now


class NetBridgePort:
    """A device as a port of a bridge (Linux: ``struct net_bridge_port``).

    Members
    -------
    state : int
        ``BR_STATE_*``.
    flags : int
        Of the configuration: ``BR_LEARNING`` and so on.
    designated_root, designated_cost, designated_bridge, designated_port
        The best message known on its link (IEEE Std 802.1D-1998 §8.5.5).
    designated_age : int
        When that message was sent by the root, in jiffies.
    """

    __slots__ = (
        "br",
        "config_pending",
        "designated_age",
        "designated_bridge",
        "designated_cost",
        "designated_port",
        "designated_root",
        "dev",
        "flags",
        "forward_delay_timer",
        "group_fwd_mask",
        "hold_timer",
        "message_age_timer",
        "path_cost",
        "port_id",
        "port_no",
        "priority",
        "state",
        "topology_change_ack",
    )

    message_age_timer: TimerList
    forward_delay_timer: TimerList
    hold_timer: TimerList

    def __init__(self, br: "NetBridge", dev: "NetDevice", port_no: int, path_cost: int) -> None:
        self.br = br
        self.dev = dev
        self.port_no = port_no
        self.path_cost = path_cost
        self.priority = 0x8000 >> BR_PORT_BITS
        self.port_id = 0
        self.flags = BR_LEARNING | BR_FLOOD | BR_MCAST_FLOOD | BR_BCAST_FLOOD
        self.group_fwd_mask = 0
        self.state = BR_STATE_DISABLED
        self.designated_root = self.designated_bridge = bytes(8)
        self.designated_port = self.designated_cost = self.designated_age = 0
        self.topology_change_ack = self.config_pending = False


class NetBridge:
    """A bridge: ``dev.priv`` of its device (Linux: ``struct net_bridge``).

    Times are in jiffies. ``max_age``, ``hello_time`` and ``forward_delay`` are those of the root, the ``bridge_`` ones
    are its own.

    Members
    -------
    port_list : list[NetBridgePort]
        Its ports, the latest first.
    fdb_hash : dict[tuple[bytes, int], NetBridgeFdbEntry]
        Where stations are, by address and VLAN.
    bridge_id, designated_root : bytes
        Priority and address: of this bridge, and of the root.
    root_port : int
        Number of the port towards the root; 0 for the root itself.
    addr_set, mtu_set : bool
        Somebody chose the address, or the MTU; else they follow the ports.
    """

    __slots__ = (
        "addr_set",
        "ageing_time",
        "bridge_ageing_time",
        "bridge_forward_delay",
        "bridge_hello_time",
        "bridge_id",
        "bridge_max_age",
        "designated_root",
        "dev",
        "fdb_hash",
        "forward_delay",
        "gc_work",
        "group_addr",
        "group_fwd_mask",
        "hello_time",
        "hello_timer",
        "max_age",
        "mtu_set",
        "port_list",
        "root_path_cost",
        "root_port",
        "stp_enabled",
        "tcn_timer",
        "topology_change",
        "topology_change_detected",
        "topology_change_timer",
    )

    hello_timer: TimerList
    tcn_timer: TimerList
    topology_change_timer: TimerList
    gc_work: TimerList

    def __init__(self, dev: "NetDevice") -> None:
        self.dev = dev
        self.port_list: list[NetBridgePort] = []
        self.fdb_hash: dict[tuple[bytes, int], NetBridgeFdbEntry] = {}
        self.stp_enabled = BR_NO_STP
        self.bridge_id = self.designated_root = b"\x80\0" + bytes(6)
        self.root_port = self.root_path_cost = 0
        self.topology_change = self.topology_change_detected = False
        self.max_age = self.bridge_max_age = 20 * HZ  # IEEE Std 802.1D-1998 §8.10.2.
        self.hello_time = self.bridge_hello_time = 2 * HZ
        self.forward_delay = self.bridge_forward_delay = 15 * HZ
        self.ageing_time = self.bridge_ageing_time = 300 * HZ
        self.group_addr = BR_GROUP_ADDRESS
        self.group_fwd_mask = 0
        self.addr_set = self.mtu_set = False


@dataclass(frozen=True, slots=True)
class BrConfigBpdu:
    """A received configuration message, with times in jiffies (Linux: ``struct br_config_bpdu``)."""

    topology_change: bool
    topology_change_ack: bool
    root: bytes
    root_path_cost: int
    bridge_id: bytes
    port_id: int
    message_age: int
    max_age: int
    hello_time: int
    forward_delay: int


class BrInputSkbCb:
    """What a bridge notes of a frame on its way (Linux: ``struct br_input_skb_cb``)."""

    __slots__ = ("src_port_isolated",)

    def __init__(self, src_port_isolated: bool) -> None:
        self.src_port_isolated = src_port_isolated


def br_is_root_bridge(br: NetBridge) -> bool:
    """Return whether a bridge takes itself for the root."""
    return br.bridge_id == br.designated_root


def br_port_get_rcu(dev: "NetDevice") -> NetBridgePort | None:
    """Return the port that a device is."""
    if not dev.priv_flags & IFF_BRIDGE_PORT:
        return None
    port: NetBridgePort = dev.rx_handler_data
    return port
