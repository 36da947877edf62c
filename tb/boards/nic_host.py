"""A little driver of the NIC for benches in which a host reaches it in its own way."""

import random
from typing import Protocol

from cocotbext.eth import GmiiFrame, GmiiSink, GmiiSource

from hardwire.stack.abi import (
    GLOBAL,
    MAC,
    RX_CPL,
    RX_DESC,
    RX_PAD_OCTETS,
    RXQ,
    TX_CPL,
    TX_DESC,
    TXQ,
    Block,
    Record,
    RxStatus,
    TxFlags,
    TxStatus,
)

__all__ = ["Host", "check_both_ways"]

_SIZE = 8  # Of the rings.
_TX_RING, _TX_CPL, _RX_RING, _RX_CPL, _BUFFERS = (4096 * number for number in range(5))
_BUFFER_OCTETS = 1600


class Host(Protocol):
    """How a host reaches registers and memory. Bus addresses are ``base`` and more."""

    base: int

    async def write32(self, offset: int, value: int) -> None:
        """Write a register."""

    async def read32(self, offset: int) -> int:
        """Read a register."""

    async def put(self, at: int, octets: bytes) -> None:
        """Write memory, from so many octets after ``base`` on."""

    async def get(self, at: int, count: int) -> bytes:
        """Read memory."""

    async def interrupt(self) -> None:
        """Wait for an interrupt."""


async def check_both_ways(host: Host, dut, rng: random.Random) -> None:
    """Look who it is; send and receive frames of all sizes at all alignments; compare each octet."""
    pins = {name: getattr(dut, f"nic_phy_gmii_{name}") for name in ("txd", "tx_er", "tx_en", "rxd", "rx_er", "rx_dv")}
    sink = GmiiSink(pins["txd"], pins["tx_er"], pins["tx_en"], dut.clk, dut.rst)
    source = GmiiSource(pins["rxd"], pins["rx_er"], pins["rx_dv"], dut.clk, dut.rst)
    assert await host.read32(GLOBAL.address(GLOBAL["ID"])) == GLOBAL["ID"].reset
    await _set_up(host)
    for number, length in enumerate((60, 61, 63, 64, 65, 127, 300, 1514, *(rng.randint(60, 1514) for _ in range(4)))):
        frame = rng.randbytes(length)
        await _send(host, number, frame, at=_BUFFERS + rng.randrange(64))
        sent = await sink.recv()
        assert sent.check_fcs()
        assert bytes(sent.get_payload()).hex() == frame.hex(), f"frame of {length}"
        completion = await _completion(host, TXQ, TX_CPL, _TX_CPL, number)
        assert completion["status"] == TxStatus.OK
        await _receive(host, number, frame, source, filler=rng.randbytes(_BUFFER_OCTETS))


async def _set_up(host: Host) -> None:
    for queue, ring, completions, record in ((TXQ, _TX_RING, _TX_CPL, TX_CPL), (RXQ, _RX_RING, _RX_CPL, RX_CPL)):
        await host.put(completions, bytes(_SIZE * record.size_octets))
        for name, place in (("BASE", ring), ("CPL_BASE", completions)):
            await _set(host, queue, f"{name}_LO", value=host.base + place)
        await _set(host, queue, "SIZE", log2=_SIZE.bit_length() - 1)
        await _set(host, queue, "CPL_TAIL", index=0, arm=1)
        await _set(host, queue, "CTRL", enable=1)
    await _set(host, MAC, "RX_CTRL", promiscuous=1)


async def _set(host: Host, block: Block, name: str, **fields: int) -> None:
    await host.write32(block.address(block[name]), block[name].pack(**fields))


async def _send(host: Host, number: int, frame: bytes, *, at: int) -> None:
    await host.put(at, frame)
    descriptor = TX_DESC.pack(addr=host.base + at, length=len(frame), flags=TxFlags.FIRST | TxFlags.LAST)
    await host.put(_TX_RING + number % _SIZE * TX_DESC.size_octets, descriptor)
    await _set(host, TXQ, "TAIL", index=(number + 1) % _SIZE)


async def _receive(host: Host, number: int, frame: bytes, source: GmiiSource, *, filler: bytes) -> None:
    """Post a buffer, let a frame come, and compare what is in the buffer and behind it."""
    place = _BUFFERS + _BUFFER_OCTETS
    await host.put(place, filler * 2)
    descriptor = RX_DESC.pack(addr=host.base + place, length=_BUFFER_OCTETS)
    await host.put(_RX_RING + number % _SIZE * RX_DESC.size_octets, descriptor)
    await _set(host, RXQ, "TAIL", index=(number + 1) % _SIZE)
    await source.send(GmiiFrame.from_payload(frame))
    completion = await _completion(host, RXQ, RX_CPL, _RX_CPL, number)
    assert (completion["status"], completion["length"]) == (RxStatus.OK, len(frame))
    got = await host.get(place, 2 * _BUFFER_OCTETS)
    assert got[RX_PAD_OCTETS : RX_PAD_OCTETS + len(frame)].hex() == frame.hex(), f"frame of {len(frame)}"
    assert got[_BUFFER_OCTETS:] == filler


async def _completion(host: Host, queue: Block, record: Record, ring: int, number: int) -> dict[str, int]:
    """Wait for an interrupt, and return and acknowledge the completion that it tells of."""
    await host.interrupt()
    completion = record.unpack(await host.get(ring + number % _SIZE * record.size_octets, record.size_octets))
    assert completion["phase"] == 1 - number // _SIZE % 2, f"interrupt without {record.name} {number}"
    await _set(host, queue, "CPL_TAIL", index=(number + 1) % _SIZE, arm=1)
    return completion
