"""The link as the NIC driver sees it, against a stand-in for the PHY."""

from errno import EINVAL, EIO

import pytest

from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.core.link_watch import IF_OPER_DOWN, dev_get_flags
from hardwire.stack.core.netdevice import IFF_RUNNING, netif_carrier_ok
from hardwire.stack.drivers.hardwire import hardwire_probe, hardwire_remove
from hardwire.tb.stack.driver_host import MAC, Host
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.nic_double import NicDouble
from hardwire.tb.stack.phy_double import PhyDouble

S = 1_000_000_000


def test_without_a_phy_the_link_is_there_and_nobody_looks_after_it():
    host = Host()
    assert netif_carrier_ok(host.dev)
    settings = host.ethtool.get_link_ksettings()
    assert (settings.speed_mbps, settings.duplex, settings.autoneg, settings.link) == (1000, "full", False, True)
    assert settings.advertising == settings.lp_advertising == ()
    before = host.device.mdio.transactions
    host.platform.advance(10 * S)
    assert host.device.mdio.transactions == before
    dev_close(host.dev)
    assert not host.ethtool.get_link()
    assert host.ethtool.get_link_ksettings().speed_mbps is None
    with pytest.raises(OSError, match=f"Errno {EINVAL}"):
        host.ethtool.nway_reset()
    dev_open(host.dev)
    with pytest.raises(OSError, match="eth0 has a fixed link"):
        host.ethtool.nway_reset()


@pytest.mark.parametrize("status", [0, 0xFFFF])
def test_registers_that_are_all_zeros_or_all_ones_are_no_phy(status):
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    device.mdio.phys[0] = phy = PhyDouble(platform)
    phy.read = lambda reg: status
    dev = hardwire_probe(kernel.init_net, device, device.dma, [device], mac=MAC)
    assert not dev.priv.phy.present


def test_only_gigabit_full_duplex_is_advertised_and_found():
    host = Host(phy=True)
    host.phy.plug()
    assert (host.phy.regs[4], host.phy.regs[9]) == (1, 0x200)
    assert host.phy.restarts == 1
    assert not host.ethtool.get_link()
    host.platform.advance(3 * S)
    assert host.ethtool.get_link()
    assert dev_get_flags(host.dev) & IFF_RUNNING
    settings = host.ethtool.get_link_ksettings()
    assert (settings.speed_mbps, settings.duplex, settings.autoneg) == (1000, "full", True)
    assert settings.advertising == ("1000baseT/Full",)
    assert settings.lp_advertising == (
        "10baseT/Half",
        "10baseT/Full",
        "100baseT/Half",
        "100baseT/Full",
        "1000baseT/Half",
        "1000baseT/Full",
    )


def test_what_is_sent_goes_out_once_there_is_a_link():
    host = Host(phy=True)
    host.send(b"early")
    host.phy.plug()
    host.platform.advance(3 * S)
    host.send(b"late")
    host.device.run()
    assert host.payloads == [b"late"]


def test_the_link_goes_and_comes_back():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    for _ in range(3):
        host.phy.unplug()
        host.platform.advance(2 * S)
        assert not netif_carrier_ok(host.dev)
        assert not dev_get_flags(host.dev) & IFF_RUNNING
        assert host.ethtool.get_link_ksettings().speed_mbps is None
        host.phy.plug()
        host.platform.advance(3 * S)
        assert netif_carrier_ok(host.dev)
        assert dev_get_flags(host.dev) & IFF_RUNNING


def test_a_short_loss_is_noticed():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    events = []
    host.kernel.init_net.netdev_chain.append(lambda event, dev: events.append(netif_carrier_ok(dev)))
    host.phy.lost = True  # Gone and back since the last look.
    host.platform.advance(1 * S)
    assert not netif_carrier_ok(host.dev)
    host.platform.advance(1 * S)
    assert netif_carrier_ok(host.dev)
    host.platform.advance(2 * S)
    assert events[-1] is True


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("partner", [(0x41E1, 0), (0x4001, 0x0400), (0x4000, 0)])
def test_a_partner_that_cannot_do_the_same_is_no_link(partner, forced):
    host = Host(phy=True)
    host.phy.partner = partner
    host.phy.forced = forced
    host.phy.plug()
    host.platform.advance(5 * S)
    assert not netif_carrier_ok(host.dev)


def test_a_fault_of_master_and_slave_is_no_link():
    host = Host(phy=True)
    host.phy.master_slave_fault = True
    host.phy.plug()
    host.platform.advance(5 * S)
    assert not netif_carrier_ok(host.dev)


def test_a_mac_of_100_mbps_advertises_that():
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    device.mdio.phys[5] = phy = PhyDouble(platform)
    phy.partner = (0x4101, 0)
    dev = hardwire_probe(kernel.init_net, device, device.dma, [device], mac=MAC, phy_address=5, speed_mbps=100)
    dev_open(dev)
    phy.plug()
    assert (phy.regs[4], phy.regs[9]) == (0x101, 0)
    platform.advance(3 * S)
    settings = dev.ethtool_ops.get_link_ksettings()
    assert (settings.speed_mbps, settings.lp_advertising) == (100, ("100baseT/Full",))
    phy.partner = (0x40E1, 0x0800)
    platform.advance(2 * S)
    assert not netif_carrier_ok(dev)


def test_a_phy_that_already_advertises_that_is_left_alone():
    host = Host(phy=True, open=False)
    host.phy.regs |= {4: 1, 9: 0x200}
    host.phy.plug()
    host.platform.advance(2 * S)
    dev_open(host.dev)
    assert host.phy.restarts == 0
    assert netif_carrier_ok(host.dev)
    host.ethtool.nway_reset()
    assert host.phy.restarts == 1
    host.phy.regs[0] = 0  # Autonegotiation was off.
    dev_close(host.dev)
    dev_open(host.dev)
    assert host.phy.restarts == 2


def test_a_device_that_is_down_has_no_link_and_is_not_looked_after():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    dev_close(host.dev)
    assert not netif_carrier_ok(host.dev)
    before = host.device.mdio.transactions
    host.platform.advance(10 * S)
    assert host.device.mdio.transactions == before
    dev_open(host.dev)
    host.platform.advance(3 * S)
    assert netif_carrier_ok(host.dev)
    hardwire_remove(host.dev)
    before = host.device.mdio.transactions
    host.platform.advance(10 * S)
    assert host.device.mdio.transactions == before


def test_going_down_in_the_middle_of_a_look_and_up_again_disturbs_nothing():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    before = host.device.mdio.transactions
    while host.device.mdio.transactions == before:
        host.platform.advance(10_000)
    dev_close(host.dev)
    dev_open(host.dev)  # A transaction was under way.
    assert host.phy.regs[4] == 1
    host.platform.advance(3 * S)
    assert netif_carrier_ok(host.dev)


@pytest.mark.parametrize("step_ns", [13_000, pytest.param(2_000, marks=pytest.mark.soak)])
def test_what_is_left_of_a_look_is_not_taken_for_another_answer(step_ns):
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    for delay in range(0, 100_000, step_ns):
        before = host.device.mdio.transactions
        while host.device.mdio.transactions == before:
            host.platform.advance(1_000)
        host.platform.advance(delay)
        host.nic.phy.stop()
        host.nic.phy.start()
        assert host.phy.restarts == 1  # It is set up already, and found so.
        assert netif_carrier_ok(host.dev)


def test_going_down_in_the_middle_of_a_look_leaves_no_timer():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    before = host.device.mdio.transactions
    while host.device.mdio.transactions == before:
        host.platform.advance(1_000)
    host.nic.phy.stop()
    host.platform.advance(0)  # The stack follows.
    assert [timer for _, _, timer in host.platform.timers if timer.callback is not None] == []


@pytest.mark.parametrize("step_ns", [17_000, pytest.param(3_000, marks=pytest.mark.soak)])
def test_negotiating_again_in_the_middle_of_a_look_mixes_nothing_up(step_ns):
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    for delay in range(0, 100_000, step_ns):
        before = host.device.mdio.transactions
        while host.device.mdio.transactions == before:
            host.platform.advance(1_000)
        host.platform.advance(delay)
        restarts = host.phy.restarts
        host.ethtool.nway_reset()
        assert host.phy.restarts == restarts + 1
        assert host.phy.regs[0] == 0x1000
        host.platform.advance(2 * S)
        assert not netif_carrier_ok(host.dev) or host.phy.link
        host.platform.advance(3 * S)
        assert netif_carrier_ok(host.dev)
        assert len(host.ethtool.get_link_ksettings().lp_advertising) == 6


def test_there_is_no_link_before_a_device_with_a_phy_is_up():
    host = Host(phy=True, open=False)
    assert not netif_carrier_ok(host.dev)
    assert host.dev.operstate == IF_OPER_DOWN
    assert netif_carrier_ok(Host(open=False).dev)


def test_a_look_never_waits_in_a_timer():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    waits = []
    wait = host.platform.wait
    host.platform.wait = lambda queue, deadline_ns=None: waits.append(1) or wait(queue, deadline_ns)
    mdio = host.device.mdio
    transactions, reads = mdio.transactions, mdio.status_reads
    host.platform.advance(10 * S)
    looks = (mdio.transactions - transactions) // 3  # BMSR, and the partner's two.
    assert looks in (9, 10)
    assert mdio.status_reads - reads == 2 * (mdio.transactions - transactions)
    assert waits == []


def test_a_management_interface_that_hangs_is_no_link_and_recovers():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    host.device.mdio.hung = True
    host.platform.advance(2 * S)
    assert not netif_carrier_ok(host.dev)
    host.device.mdio.hung = False
    host.platform.advance(3 * S)
    assert netif_carrier_ok(host.dev)


def test_a_management_interface_that_hangs_keeps_the_device_from_going_up():
    host = Host(phy=True, open=False)
    host.device.mdio.hung = True
    with pytest.raises(OSError, match="the management interface of eth0 is busy for ever") as caught:
        dev_open(host.dev)
    assert caught.value.errno == EIO
    assert not host.platform.buffers
    host.device.mdio.hung = False
    dev_open(host.dev)


def test_a_phy_that_falls_silent_is_no_link():
    host = Host(phy=True)
    host.phy.plug()
    host.platform.advance(3 * S)
    phys, host.device.mdio.phys = host.device.mdio.phys, {}
    host.platform.advance(2 * S)
    assert not netif_carrier_ok(host.dev)
    host.device.mdio.phys = phys
    host.platform.advance(2 * S)
    assert netif_carrier_ok(host.dev)


@pytest.mark.parametrize(("speed", "address"), [(10, 0), (1000, 32), (100, -1)])
def test_impossible_phys_are_refused(speed, address):
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    with pytest.raises(OSError, match=f"no PHY of {speed} Mb/s at {address}"):
        hardwire_probe(kernel.init_net, device, device.dma, [device], mac=MAC, phy_address=address, speed_mbps=speed)
