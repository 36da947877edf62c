"""A whole board from its pins: stack and driver at the serial line, cocotbext-eth on RGMII, a PHY on MDIO.

What cocotbext-eth's RgmiiPhy consists of, but with a clock outside of Python: that takes most of its time.
"""

import logging
import random
import zlib

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Timer
from cocotb.utils import get_sim_time
from cocotbext.eth import GmiiFrame, RgmiiSink, RgmiiSource
from scapy.layers.inet import ICMP, IP

from hardwire.sim.bridge import BridgeNic
from hardwire.sim.devices import register_device
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.abi import MAC, MdioOp
from hardwire.stack.core.netdevice import netif_carrier_ok
from hardwire.tb.bench import seed
from hardwire.tb.boards.board_peer import CARD_IP, PEER_IP, BoardPeer
from hardwire.tb.boards.uart_pins import UartPins
from hardwire.tb.cocotb_device import run_world
from hardwire.tb.hdl.gigabit_phy import GigabitPhy

PHY_ADDRESS, PHY_ID = 7, (0x4857, 0x0010)  # tb/hdl/gigabit_phy.py
BIT_NS = 80
PORT = 7000


class Board:
    """What is at the board's pins."""

    def __init__(self, dut) -> None:
        for name in ("rgmii_txd", "rgmii_rxd"):
            logging.getLogger(f"cocotb.{dut._name}.{name}").setLevel(logging.WARNING)
        self.dut = dut
        self.rng = random.Random(seed())
        self.line = UartPins(dut, bit_ns=BIT_NS)
        self.phy = GigabitPhy(dut, self.rng, lambda: round(get_sim_time("ns")), address=PHY_ADDRESS)
        self.phy.set_link(True, 0)
        self.peer = BoardPeer(self.send)
        self.back: list[bytes] = []  # Datagrams of the peer, one for each that comes.

    async def start(self) -> None:
        """Switch the board and its PHY on."""
        dut = self.dut
        dut.rst.value = 0
        dut.rgmii_rx_clk.value = 0
        cocotb.start_soon(Clock(dut.clk, 8, "ns").start())
        await Timer(self.rng.randrange(1, 8000), "ps")
        cocotb.start_soon(Clock(dut.rgmii_rx_clk, 8, "ns").start())
        self.sink = RgmiiSink(dut.rgmii_txd, dut.rgmii_tx_ctl, dut.rgmii_tx_clk)
        self.source = RgmiiSource(dut.rgmii_rxd, dut.rgmii_rx_ctl, dut.rgmii_rx_clk)
        cocotb.start_soon(self._peer())
        await Timer(1, "us")

    def send(self, octets: bytes) -> None:
        """Put a frame without FCS on the cable."""
        self.source.send_nowait(GmiiFrame.from_raw_payload(octets + zlib.crc32(octets).to_bytes(4, "little")))

    async def _peer(self) -> None:
        while True:
            frame = await self.sink.recv()
            assert frame.check_fcs()
            assert not frame.error
            arrived = len(self.peer.payloads)
            self.peer.take(bytes(frame.get_payload(strip_fcs=True)))
            for number in range(arrived, len(self.peer.payloads)):
                self.peer.send_datagram(self.back[number], PORT)
            if self.back and len(self.peer.payloads) == len(self.back):
                self.back = []
                self.peer.put(IP(src=PEER_IP, dst=CARD_IP) / ICMP(type=8, id=5, seq=6) / b"from the cable")


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def board_talks_over_its_pins(dut):
    board = Board(dut)
    await board.start()
    register_device("pins", lambda *, host, config, bus, waves: BridgeNic(host, board.line, config=config))
    await run_world(talk, board)
    assert board.line.misframed == 0
    assert dut.phy_rst_n.value
    assert int(dut.leds.value) & 1


def talk(board: Board) -> None:
    """Look at the PHY, ping, exchange datagrams, answer an echo request."""
    world = World(seed=seed())
    setup = Setup(device="pins", address=f"{CARD_IP}/24", phy_address=PHY_ADDRESS)
    machine = Machine(world, setup)
    assert netif_carrier_ok(machine.dev)
    assert [read_phy(machine, register) for register in (2, 3)] == list(PHY_ID)
    payload = board.rng.randbytes(300)
    assert world.run(ping, machine, payload) == bytes(ICMP(type=0, id=9, seq=3) / payload)
    payloads = [board.rng.randbytes(length) for length in (0, 18, 19, 1472)]
    with machine.net.socket() as sock:
        sock.bind((CARD_IP, PORT))
        board.back = payloads
        assert world.run(exchange, sock, payloads) == payloads
    assert board.peer.payloads == payloads
    world.advance(1_000_000)
    assert board.peer.replies == [bytes(ICMP(type=0, id=5, seq=6) / b"from the cable")]


def read_phy(machine: Machine, register: int) -> int:
    """Return a register of the PHY."""
    nic = machine.nic
    command = MAC["MDIO"].pack(reg=register, phy=PHY_ADDRESS, op=MdioOp.READ)
    nic.write32(MAC.address(MAC["MDIO"]), command)
    machine.world.advance(60_000)  # 20 octets over the line, 64 bits over MDIO.
    status = MAC["MDIO_STATUS"].unpack(nic.read32(MAC.address(MAC["MDIO_STATUS"])))
    assert not status["busy"]
    assert not status["no_answer"]
    return status["data"]


def ping(machine: Machine, payload: bytes) -> bytes:
    """Send an echo request, and return the ICMP message that comes back."""
    with machine.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP) as sock:
        sock.settimeout(0.02)
        sock.sendto(bytes(ICMP(type=8, id=9, seq=3) / payload), (PEER_IP, 0))
        packet, _ = sock.recvfrom(2000)
        return bytes(packet[20:])


def exchange(sock: api.Socket, payloads: list[bytes]) -> list[bytes]:
    """Send datagrams; return what the peer has sent for each of them."""
    sock.settimeout(0.02)
    got = []
    for payload in payloads:
        sock.sendto(payload, (PEER_IP, 9000))
        got.append(sock.recvfrom(2000)[0])
    return got
