"""Our firmware's driver against the real gateware, which the simulator watches: a wrong access fails the test."""

import pytest
from hardwire.stack.abi import TxStatus

from sim.nic import TinyDriver

HEADER = bytes.fromhex("ffffffffffff 020000000001 88b5")


def test_frames_are_on_the_wire_as_they_were(nic):
    frames = [HEADER + bytes([number]) * (46 + number) for number in range(10)]
    driver = TinyDriver(nic, nic.dma)
    assert [driver.send(frame) for frame in frames] == [TxStatus.OK] * 10
    nic.world.drain()
    sent = nic.take_frames()
    assert [frame.octets for frame in sent] == frames
    assert all(frame.ok for frame in sent)


@pytest.mark.hardwire(bus={"read_error_nth": 2})  # The second read is that of the frame.
def test_bus_error_is_told(nic):
    driver = TinyDriver(nic, nic.dma)
    assert driver.send(HEADER + bytes(46)) == TxStatus.PAYLOAD_ERROR
    assert driver.send(HEADER + bytes(46)) == TxStatus.OK


def test_nothing_stays_mapped_but_the_rings(nic):
    driver = TinyDriver(nic, nic.dma)
    before = nic.dma.mappings
    driver.send(HEADER + bytes(46))
    assert nic.dma.mappings == before == 2
