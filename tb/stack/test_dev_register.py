"""Devices: names, numbers, announcements, and changes that are refused."""

import re
from errno import EADDRNOTAVAIL, EINVAL, ENOTSUP

import pytest

from hardwire.stack.core.dev_register import (
    NetdevEvent,
    dev_change_features,
    dev_open,
    dev_set_mac_address,
    dev_set_mtu,
    register_netdevice,
    register_netdevice_notifier,
    unregister_netdevice,
)
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.test_dev import Host


@pytest.fixture
def host() -> Host:
    return Host()


def test_devices_are_named_numbered_and_announced(host):
    events = []
    register_netdevice_notifier(host.net, lambda event, dev: events.append((event, dev.name)))
    other = FakeNetDevice(host.net)
    register_netdevice(other)
    assert (other.name, other.ifindex) == ("eth1", host.dev.ifindex + 1)
    dev_open(other)
    dev_set_mtu(other, 9000)
    unregister_netdevice(other)
    assert [event for event, name in events if name == "eth0"] == [NetdevEvent.REGISTER, NetdevEvent.UP]
    assert [event for event, name in events if name == "eth1"] == [
        NetdevEvent.REGISTER,
        NetdevEvent.UP,
        NetdevEvent.CHANGEMTU,
        NetdevEvent.GOING_DOWN,
        NetdevEvent.DOWN,
        NetdevEvent.UNREGISTER,
    ]
    duplicate = FakeNetDevice(host.net, name="eth0")
    with pytest.raises(OSError, match="there is a device eth0"):
        register_netdevice(duplicate)


@pytest.mark.parametrize(
    ("call", "number", "text"),
    [
        (
            lambda dev: dev_set_mtu(dev, 67),
            EINVAL,
            "mtu less than device minimum: eth0 takes an MTU of 68..9000, not 67",
        ),
        (
            lambda dev: dev_set_mtu(dev, 9001),
            EINVAL,
            "mtu greater than device maximum: eth0 takes an MTU of 68..9000, not 9001",
        ),
        (
            lambda dev: dev_set_mac_address(dev, b"\x01" * 6),
            EADDRNOTAVAIL,
            "01:01:01:01:01:01 is no address of one station",
        ),
        (lambda dev: dev_change_features(dev, 1 << 50, 1 << 50), ENOTSUP, f"eth0 has no features {1 << 50:#x}"),
    ],
)
def test_impossible_changes_are_refused(host, call, number, text):
    with pytest.raises(OSError, match=f"^.Errno {number}. {re.escape(text)}$"):
        call(host.dev)
