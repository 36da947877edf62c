"""What configuration can say of bridges and their ports (Linux: include/uapi/linux/if_link.h)."""

from enum import IntEnum

__all__ = ["BR_POLICY", "BR_PORT_POLICY", "IflaBr", "IflaBrport"]


class IflaBr(IntEnum):
    """``IFLA_BR_*``: what can be said of a bridge."""

    FORWARD_DELAY = 1
    HELLO_TIME = 2
    MAX_AGE = 3
    AGEING_TIME = 4
    STP_STATE = 5
    PRIORITY = 6
    VLAN_FILTERING = 7
    GROUP_FWD_MASK = 9
    ROOT_ID = 10
    BRIDGE_ID = 11
    ROOT_PORT = 12
    ROOT_PATH_COST = 13
    TOPOLOGY_CHANGE = 14
    TOPOLOGY_CHANGE_DETECTED = 15
    HELLO_TIMER = 16
    TCN_TIMER = 17
    TOPOLOGY_CHANGE_TIMER = 18
    GC_TIMER = 19
    GROUP_ADDR = 20
    FDB_FLUSH = 21
    MCAST_SNOOPING = 23


class IflaBrport(IntEnum):
    """``IFLA_BRPORT_*``: what can be said of a port."""

    STATE = 1
    PRIORITY = 2
    COST = 3
    MODE = 4
    GUARD = 5
    PROTECT = 6
    FAST_LEAVE = 7
    LEARNING = 8
    UNICAST_FLOOD = 9
    ROOT_ID = 13
    BRIDGE_ID = 14
    DESIGNATED_PORT = 15
    DESIGNATED_COST = 16
    ID = 17
    NO = 18
    TOPOLOGY_CHANGE_ACK = 19
    CONFIG_PENDING = 20
    MESSAGE_AGE_TIMER = 21
    FORWARD_DELAY_TIMER = 22
    HOLD_TIMER = 23
    FLUSH = 24
    MCAST_FLOOD = 27
    BCAST_FLOOD = 30
    GROUP_FWD_MASK = 31
    ISOLATED = 33
    LOCKED = 39


BR_POLICY: dict[int, str] = {
    IflaBr.FORWARD_DELAY: "u32",
    IflaBr.HELLO_TIME: "u32",
    IflaBr.MAX_AGE: "u32",
    IflaBr.AGEING_TIME: "u32",
    IflaBr.STP_STATE: "u32",
    IflaBr.PRIORITY: "u16",
    IflaBr.VLAN_FILTERING: "u8",
    IflaBr.GROUP_FWD_MASK: "u16",
    IflaBr.ROOT_ID: "binary",
    IflaBr.BRIDGE_ID: "binary",
    IflaBr.ROOT_PORT: "u16",
    IflaBr.ROOT_PATH_COST: "u32",
    IflaBr.TOPOLOGY_CHANGE: "u8",
    IflaBr.TOPOLOGY_CHANGE_DETECTED: "u8",
    IflaBr.HELLO_TIMER: "binary",
    IflaBr.TCN_TIMER: "binary",
    IflaBr.TOPOLOGY_CHANGE_TIMER: "binary",
    IflaBr.GC_TIMER: "binary",
    IflaBr.GROUP_ADDR: "mac",
    IflaBr.FDB_FLUSH: "flag",
    IflaBr.MCAST_SNOOPING: "u8",
}
BR_PORT_POLICY: dict[int, str] = {
    IflaBrport.STATE: "u8",
    IflaBrport.PRIORITY: "u16",
    IflaBrport.COST: "u32",
    IflaBrport.MODE: "u8",
    IflaBrport.GUARD: "u8",
    IflaBrport.PROTECT: "u8",
    IflaBrport.FAST_LEAVE: "u8",
    IflaBrport.LEARNING: "u8",
    IflaBrport.UNICAST_FLOOD: "u8",
    IflaBrport.ROOT_ID: "binary",
    IflaBrport.BRIDGE_ID: "binary",
    IflaBrport.DESIGNATED_PORT: "u16",
    IflaBrport.DESIGNATED_COST: "u16",
    IflaBrport.ID: "u16",
    IflaBrport.NO: "u16",
    IflaBrport.TOPOLOGY_CHANGE_ACK: "u8",
    IflaBrport.CONFIG_PENDING: "u8",
    IflaBrport.MESSAGE_AGE_TIMER: "binary",
    IflaBrport.FORWARD_DELAY_TIMER: "binary",
    IflaBrport.HOLD_TIMER: "binary",
    IflaBrport.FLUSH: "flag",
    IflaBrport.MCAST_FLOOD: "u8",
    IflaBrport.BCAST_FLOOD: "u8",
    IflaBrport.GROUP_FWD_MASK: "u16",
    IflaBrport.ISOLATED: "u8",
    IflaBrport.LOCKED: "u8",
}
