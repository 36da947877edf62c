"""A whole simulated ECP5 board: stack, driver, serial line, gateware, RGMII, and a peer on the cable."""

import zlib
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP

from hardwire.sim.board_sim import BoardSimNic, LineNoise
from hardwire.sim.devices import open_device
from hardwire.sim.frame import Frame
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.abi import DEVICE_ID, GLOBAL, MAC, STATS, MdioOp
from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.core.netdevice import netif_carrier_ok
from hardwire.tb.bench import seed
from hardwire.tb.boards.board_peer import CARD_IP, PEER_IP, BoardPeer

PORT = 7000
IN_FLIGHT = 8
SIZES = (0, 1, 17, 18, 19, 100, 255, 256, 257, 600, 1471, 1472)
SHORT = (0, 1)  # While the ends of a noisy line learn that frames have to be short.
NOISE = LineNoise(to_card_flip=0.005, to_card_loss=0.005, from_card_flip=0.005, from_card_loss=0.005)
ONE_WAY_NOISE = LineNoise(to_card_flip=0.01, to_card_loss=0.01)
PHY_ID = (0x4857, 0x0010)  # sim/native/phy.h


class Bench:
    """A machine with a board, and a peer at the other end of its cable."""

    def __init__(self) -> None:
        self.seed = seed()
        self.rng = Random(self.seed)
        self.world = World(seed=self.seed)
        self.machine = Machine(self.world, Setup(device="board-sim", address=f"{CARD_IP}/24", phy_address=1))
        nic: Any = self.machine.nic
        assert isinstance(nic, BoardSimNic)
        self.nic = nic
        self.peer = BoardPeer(self.send)
        self.nic.on_frames = self.take
        self.plug(True)

    def send(self, octets: bytes) -> None:
        self.nic.receive(octets, zlib.crc32(octets).to_bytes(4, "little"))

    def take(self, frames: list[Frame]) -> None:
        for frame in frames:
            assert frame.ok, f"seed {self.seed}: {frame}"
            assert frame.gap_octets >= 12
            self.peer.take(frame.octets)

    def plug(self, up: bool) -> None:
        """Put the cable in or out, and let the driver look at once: it does so only each second."""
        self.nic.set_link(up)
        dev_close(self.machine.dev)
        dev_open(self.machine.dev)
        self.world.advance(300_000)
        assert netif_carrier_ok(self.machine.dev) == up

    def ping(self, payload: bytes) -> bytes:
        with self.machine.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP) as sock:
            sock.settimeout(1)
            sock.sendto(bytes(ICMP(type=8, id=77, seq=1) / payload), (PEER_IP, 0))
            packet, _ = sock.recvfrom(2000)
            return bytes(packet[20:])

    def exchange(self, count: int, sizes: tuple[int, ...] = SIZES) -> None:
        """Send datagrams of mixed sizes both ways at once; each arrives once, whole and in order."""
        there, back = ([self.rng.randbytes(self.rng.choice(sizes)) for _ in range(count)] for _ in range(2))
        sock = self.machine.net.socket()
        sock.bind((CARD_IP, PORT))
        sock.settimeout(5)
        self.peer.payloads.clear()
        got: list[bytes] = []

        def send() -> None:
            for payload in there:
                sock.sendto(payload, (PEER_IP, 9000))

        def receive() -> None:
            for number in range(min(IN_FLIGHT, count)):
                self.peer.send_datagram(back[number], PORT)
            for number in range(IN_FLIGHT, count + IN_FLIGHT):
                got.append(sock.recvfrom(2000)[0])
                if number < count:
                    self.peer.send_datagram(back[number], PORT)

        self.world.join([self.world.spawn(send), self.world.spawn(receive)])
        self.world.drain()
        sock.close()
        assert got[:count] == back, f"seed {self.seed}"
        assert self.peer.payloads == there, f"seed {self.seed}"


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def test_stack_pings_the_peer_over_serial_line_and_rgmii(bench: Bench) -> None:
    payload = bench.rng.randbytes(500)
    assert bench.world.run(bench.ping, payload) == bytes(ICMP(type=0, id=77, seq=1) / payload)


def test_echo_request_from_the_cable_is_answered(bench: Bench) -> None:
    message = ICMP(type=8, id=5, seq=6) / b"from the cable"
    bench.peer.put(IP(src=PEER_IP, dst=CARD_IP) / message)
    bench.world.advance(2_000_000)
    assert bench.peer.replies == [bytes(ICMP(type=0, id=5, seq=6) / b"from the cable")]


def test_frames_of_mixed_sizes_pass_both_ways(bench: Bench) -> None:
    bench.exchange(50)
    counters = bench.nic.counters
    assert counters["damaged"] == counters["frames_resent"] == counters["uart_misframed"] == 0


def test_noisy_line_delays_but_damages_nothing(bench: Bench) -> None:
    bench.nic.set_noise(NOISE)
    bench.exchange(4, SHORT)
    bench.exchange(5)
    counters = bench.nic.counters
    bench.nic.set_noise(LineNoise())
    for way in ("to_card_flipped", "to_card_lost", "from_card_flipped", "from_card_lost"):
        assert counters[way] > 0, way
    assert counters["frames_resent"] > 0
    assert counters["uart_misframed"] == 0


def test_identifier_of_the_phy_is_read_through_the_board_s_pins(bench: Bench) -> None:
    nic = bench.nic
    read = []
    for register in (2, 3):
        nic.write32(MAC.address(MAC["MDIO"]), MAC["MDIO"].pack(reg=register, phy=1, op=MdioOp.READ))
        bench.world.advance(50_000)
        status = MAC["MDIO_STATUS"].unpack(nic.read32(MAC.address(MAC["MDIO_STATUS"])))
        assert not status["busy"]
        assert not status["no_answer"]
        read.append(status["data"])
    assert tuple(read) == PHY_ID


def test_driver_sees_the_cable_come_and_go(bench: Bench) -> None:
    bench.plug(False)
    bench.plug(True)
    assert "1000baseT/Full" in bench.machine.dev.priv.phy.lp_advertising


def test_lamps_show_the_host_and_the_traffic(bench: Bench) -> None:
    bench.exchange(1)
    assert bench.nic.leds == 0b011


def noisy_reads(number: int) -> tuple[int, dict[str, int]]:
    nic = open_device("board-sim", host=World(seed=number).host(), noise=ONE_WAY_NOISE)
    values = [nic.read32(GLOBAL.address(GLOBAL["ID"])) for _ in range(20)]
    assert values == [DEVICE_ID] * 20
    return nic.cycle, nic.counters


def test_same_seed_gives_the_same_faults_in_the_same_cycles() -> None:
    number = seed()
    first = noisy_reads(number)
    assert noisy_reads(number) == first, f"seed {number}"
    assert noisy_reads(number + 1) != first, f"seed {number}"


@pytest.mark.parametrize("rx_ppm", [-100, 0, 100])
def test_frames_come_in_whole_whatever_the_clock_of_the_phy(rx_ppm: int) -> None:
    number = seed()
    rng = Random(number)
    nic = open_device("board-sim", host=World(seed=number).host(), rx_ppm=rx_ppm)
    lengths = [rng.choice((64, 65, 1518, 9022)) for _ in range(20)]
    for length in lengths:
        octets = b"\xff" * 6 + rng.randbytes(length - 10)
        nic.receive(octets, zlib.crc32(octets).to_bytes(4, "little"))
    nic.world.settle(10_000_000)
    counts = {
        name: nic.read32(STATS.address(STATS[f"RX_{name}_LO"]))
        for name in ("FRAMES", "OCTETS", "FCS_ERRORS", "SYMBOL_ERRORS")
    }
    good = {"FRAMES": len(lengths), "OCTETS": sum(lengths), "FCS_ERRORS": 0, "SYMBOL_ERRORS": 0}
    assert counts == good, f"seed {number}"


@pytest.mark.parametrize("chance", [-0.1, 1.1])
def test_chance_of_noise_is_checked(chance: float) -> None:
    with pytest.raises(ValueError, match=f"^to_card_loss must be from 0 to 1, not {chance}$"):
        LineNoise(to_card_loss=chance)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("noise", [LineNoise(), NOISE], ids=["clean", "noisy"])
def test_a_thousand_frames_pass_both_ways(bench: Bench, noise: LineNoise) -> None:
    print(f"\nHARDWIRE_SEED={bench.seed}")
    bench.nic.set_noise(noise)
    bench.exchange(4, SHORT)
    bench.exchange(1000)
    bench.nic.set_noise(LineNoise())
