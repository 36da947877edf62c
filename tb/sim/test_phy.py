"""The PHY model: frames on mdc and mdio, and the registers of a 1000BASE-T PHY, IEEE Std 802.3-2022 22.2.4."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

NATIVE = Path(__file__).parents[2] / "sim/native"
BMCR, BMSR, PHYID1, PHYID2, ANAR, ANLPAR, ANER, GBCR, GBSR, ESTATUS = 0, 1, 2, 3, 4, 5, 6, 9, 10, 15
PERIOD, HALF = 50, 25  # Cycles of 8 ns: an mdc of 2.5 MHz.
LINK, DONE = 1 << 2, 1 << 5


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, FFI]:
    library = tmp_path_factory.mktemp("phy") / "phy.so"
    compiler = os.environ.get("CXX", "g++")
    source = Path(__file__).with_name("phy_shim.cpp")
    command = [compiler, "-std=gnu++20", "-shared", "-fPIC", "-Wall", "-Werror", f"-I{NATIVE}", "-o", library, source]
    subprocess.run(command, check=True)
    ffi = FFI()
    ffi.cdef(
        """typedef struct Phy Phy;
        Phy *phy_new(void); void phy_free(Phy *); void phy_rise(Phy *, uint64_t now, int bit);
        int phy_mdio(Phy *, uint64_t now); void phy_set_link(Phy *, uint64_t now, int up, uint64_t autoneg);"""
    )
    return ffi.dlopen(str(library)), ffi


class Station:
    """The management station: bits on mdio, sampled by the PHY at rising edges of mdc."""

    def __init__(self, lib: Any, ffi: FFI) -> None:
        self.lib = lib
        self.phy = ffi.gc(lib.phy_new(), lib.phy_free)
        self.now = 0

    def bit(self, value: int | None) -> int:
        """One period of mdc; None: the pin is left alone. Return the level at the rising edge."""
        self.now += PERIOD
        level: int = self.lib.phy_mdio(self.phy, self.now)
        self.lib.phy_rise(self.phy, self.now, level if value is None else value)
        return level

    def bits(self, value: int, width: int) -> None:
        for at in reversed(range(width)):
            self.bit(value >> at & 1)

    def start(self, op: int, register: int, address: int, preamble: int) -> None:
        for _ in range(preamble):
            self.bit(1)
        self.bits(0b01 << 12 | op << 10 | address << 5 | register, 14)

    def read(self, register: int, *, address: int = 1, preamble: int = 32) -> int | None:
        self.start(0b10, register, address, preamble)
        first, second = self.bit(None), self.bit(None)
        assert first == 1  # High impedance, pulled up.
        value = 0
        for _ in range(16):
            value = value << 1 | self.bit(None)
        assert self.bit(None) == 1
        return None if second else value

    def write(self, register: int, value: int, *, address: int = 1, preamble: int = 32) -> None:
        self.start(0b01, register, address, preamble)
        self.bits(0b10, 2)
        self.bits(value, 16)

    def link(self, up: bool, autoneg: int = 0) -> None:
        self.lib.phy_set_link(self.phy, self.now, up, autoneg)


@pytest.fixture
def station(shim: tuple[Any, FFI]) -> Station:
    return Station(*shim)


def status(station: Station) -> int:
    value = station.read(BMSR)
    assert value is not None
    return value & (LINK | DONE)


def test_registers_after_power_up(station: Station) -> None:
    values = {register: station.read(register) for register in (BMCR, BMSR, PHYID1, PHYID2, ANAR, GBCR, ESTATUS)}
    assert values == {0: 0x1140, 1: 0x7909, 2: 0x4857, 3: 0x0010, 4: 0x01E1, 9: 0x0200, 15: 0x2000}
    assert station.read(ANLPAR) == station.read(ANER) == station.read(GBSR) == 0


def test_partner_is_known_after_autonegotiation(station: Station) -> None:
    station.link(True, 100_000)
    assert status(station) == 0
    station.now += 100_000
    assert station.read(ANLPAR) == 0x4DE1
    assert station.read(ANER) == 0b11
    assert station.read(ANER) == 0b01  # The page was seen.
    assert station.read(GBSR) == 0x3800


def test_link_bit_stays_low_until_it_is_read(station: Station) -> None:
    station.link(True)
    assert status(station) == DONE
    assert status(station) == DONE | LINK
    station.link(False)
    station.link(True)
    assert status(station) == DONE
    assert status(station) == DONE | LINK
    station.link(False)
    assert status(station) == status(station) == 0


def test_writes_take_effect_and_read_only_registers_do_not(station: Station) -> None:
    for register, value in ((ANAR, 0x0001), (GBCR, 0x0000), (PHYID1, 0xFFFF), (BMSR, 0xFFFF)):
        station.write(register, value)
    assert [station.read(r) for r in (ANAR, GBCR, PHYID1)] == [1, 0, 0x4857]
    station.write(BMCR, 0x8000)
    assert [station.read(r) for r in (BMCR, ANAR, GBCR)] == [0x1140, 0x01E1, 0x0200]


def test_restart_takes_the_time_and_the_new_abilities(station: Station) -> None:
    station.link(True, 50_000)
    station.now += 50_000
    status(station)
    assert status(station) == DONE | LINK
    station.write(GBCR, 0)
    assert status(station) == DONE | LINK
    station.write(BMCR, 0x1340)
    assert station.read(BMCR) == 0x1140  # The restart bit clears itself.
    assert status(station) == 0
    station.now += 50_000
    status(station)
    assert status(station) == DONE  # Nothing in common.


@pytest.mark.parametrize("control", [0x0140, 0x1940, 0x1540])
def test_no_link_without_autonegotiation_or_powered_down_or_isolated(station: Station, control: int) -> None:
    station.link(True)
    station.write(BMCR, control)
    status(station)
    assert not status(station) & LINK


def test_other_addresses_and_short_preambles_are_ignored(station: Station) -> None:
    assert station.read(PHYID1, address=2) is None
    station.write(ANAR, 0, address=2)
    assert station.read(PHYID1, preamble=30) is None  # One bit before it is high: 31.
    for _ in range(40):
        station.bit(1)
    assert station.read(ANAR) == 0x01E1


def test_output_comes_300_ns_after_the_edge(station: Station) -> None:
    station.start(0b10, PHYID1, 1, 32)
    station.bit(None)
    assert station.lib.phy_mdio(station.phy, station.now + 37) == 1
    assert station.lib.phy_mdio(station.phy, station.now + 38) == 0
