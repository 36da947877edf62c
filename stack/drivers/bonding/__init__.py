"""Bonds: several devices that act as one."""

from .bond_netlink import IflaBondSlave, bond_changelink, bond_dellink, bond_link_ops, bond_newlink
from .bond_options import IflaBond
from .bonding import AdSelect, Bonding, BondLink, BondMode, PrimaryReselect, Slave, XmitPolicy, slave_of

__all__ = [
    "AdSelect",
    "BondLink",
    "BondMode",
    "Bonding",
    "IflaBond",
    "IflaBondSlave",
    "PrimaryReselect",
    "Slave",
    "XmitPolicy",
    "bond_changelink",
    "bond_dellink",
    "bond_link_ops",
    "bond_newlink",
    "slave_of",
]
