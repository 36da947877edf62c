"""Unmodified programs of others, client and server, talk to each other through two cards of real gateware."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from hardwire.tb.bench import seed

COMMAND = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "run"]


class Network:
    """Two hosts in a folder: the main program on the first one, a server on the second, 10.0.0.2."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report: dict[str, Any] = {}

    def run(self, server: str, client: str, *, head: str = "") -> subprocess.CompletedProcess[str]:
        """Run both programs, given as text; ``head`` begins the scenario."""
        (self.folder / "server.py").write_text(dedent(server))
        (self.folder / "client.py").write_text(dedent(client))
        (self.folder / "net.toml").write_text(head + "[hosts.client]\n[hosts.server]\nrun = ['python server.py']\n")
        options = ["--scenario", "net.toml", "--json", "report.json"]
        ran = subprocess.run(
            [*COMMAND, *options, "client.py"], capture_output=True, text=True, check=False, timeout=300, cwd=self.folder
        )
        assert ran.returncode == 0, ran.stderr
        self.report = json.loads((self.folder / "report.json").read_text())
        return ran

    def lost(self) -> int:
        """Return how many frames the cable has lost, both ways."""
        return sum(link["lost"] for link in self.report["links"])

    def check_frames(self) -> None:
        """Check that all that went through the cable went through both cards."""
        for link, sender, receiver in zip(self.report["links"], (0, 1), (1, 0), strict=True):
            hosts = self.report["hosts"]
            assert hosts[sender]["counters"]["tx_frames"] == link["sent"] > 0
            assert hosts[receiver]["counters"]["rx_frames"] == link["delivered"] == link["sent"] - link["lost"]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def test_dnspython_asks_a_dnslib_server(network: Network) -> None:
    server = """
        from dnslib import RR
        from dnslib.server import BaseResolver, DNSLogger, DNSServer

        class Resolver(BaseResolver):
            def resolve(self, request, handler):
                reply = request.reply()
                reply.add_answer(*RR.fromZone(f"{request.q.qname} 60 A 192.0.2.{len(str(request.q.qname))}"))
                return reply

        DNSServer(Resolver(), address="0.0.0.0", port=53, logger=DNSLogger("-request,-reply")).start()
    """
    client = """
        import dns.exception, dns.message, dns.query, dns.resolver

        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["10.0.0.2"]
        for count in (1, 2, 3):
            print(resolver.resolve("a" * count + ".example", "A")[0])
        print(dns.query.udp(dns.message.make_query("direct.example", "A"), "10.0.0.2", timeout=2).answer[0])
        try:
            dns.query.udp(dns.message.make_query("x.example", "A"), "10.0.0.3", timeout=2)
        except dns.exception.Timeout as error:
            print(error)
    """
    ran = network.run(server, client)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "192.0.2.10",
        "192.0.2.11",
        "192.0.2.12",
        "direct.example. 60 IN A 192.0.2.15",
        "The DNS operation timed out.",
    ]
    network.check_frames()


TFTP_SERVER = 'import tftpy\ntftpy.TftpServer("root").listen("0.0.0.0", 69, timeout=2, retries=20)\n'
TFTP_CLIENT = """
    import logging, time, tftpy
    logging.disable()
    client = tftpy.TftpClient("server", 69)
    while True:
        try:
            client.upload("file", "sent", timeout=2, retries=20)
            break
        except tftpy.TftpShared.TftpTimeout:
            pass  # The last acknowledgement was lost, and the server has forgotten the client (RFC 1350 §6).
    client.download("file", "received", timeout=2, retries=20)
    print(time.monotonic())
"""


@pytest.mark.parametrize("loss", [0, 0.03])
def test_tftpy_sends_a_file_there_and_back_whole_whatever_the_cable_loses(network: Network, loss: float) -> None:
    run_seed = seed()
    print(f"HARDWIRE_SEED={run_seed}")
    octets = random.Random(run_seed).randbytes(60_000)
    (network.folder / "root").mkdir()
    (network.folder / "sent").write_bytes(octets)
    ran = network.run(TFTP_SERVER, TFTP_CLIENT, head=f"seed = {run_seed}\n[cable]\nloss = {loss}\n")
    assert (network.folder / "root" / "file").read_bytes() == octets
    assert (network.folder / "received").read_bytes() == octets
    network.check_frames()
    if loss:
        assert network.lost() > 0
        assert float(ran.stdout) > 2  # It has waited for what was lost, in simulated time.
    else:
        assert float(ran.stdout) < 0.1


NTP_SERVER = """
    import socketserver, struct, time

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            request, sock = self.request
            now = time.time() + 2_208_988_800 + 0.25  # It is a quarter of a second ahead.
            stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
            head = bytes((0x24, 1, 0, 236)) + bytes(8) + b"TEST"
            sock.sendto(head + stamp + request[40:48] + stamp + stamp, self.client_address)

    socketserver.ThreadingUDPServer(("", 123), Handler).serve_forever()
"""


def test_ntplib_measures_offset_and_delay_of_a_socketserver(network: Network) -> None:
    client = """
        import ntplib
        for _ in range(2):  # Before the first, an address is asked for, so that it is late.
            answer = ntplib.NTPClient().request("ntp.example", version=4)
        print(answer.offset, answer.delay, answer.stratum)
    """
    head = "[cable]\ndelay_ns = 5_000_000\n[names]\n'ntp.example' = '10.0.0.2'\n"
    offset, delay, stratum = map(float, network.run(NTP_SERVER, client, head=head).stdout.split())
    assert offset == pytest.approx(0.25, abs=1e-4)
    assert delay == pytest.approx(2 * 0.005, abs=1e-4)
    assert stratum == 1
    network.check_frames()


def test_handlers_of_logging_reach_a_server(network: Network) -> None:
    server = """
        import pickle, socket
        syslog, records = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        syslog.bind(("", 514))
        records.bind(("", 9020))
        print(syslog.recv(1000), flush=True)
        print(pickle.loads(records.recv(10_000)[4:])["msg"], flush=True)
    """
    client = """
        import logging, logging.handlers
        logger = logging.getLogger()
        logger.addHandler(logging.handlers.SysLogHandler(address=("server", 514)))
        logger.error("to syslog")
        logger.handlers[:] = [logging.handlers.DatagramHandler("server", 9020)]
        logger.error("as a record")
    """
    assert network.run(server, client).stderr.splitlines() == ["b'<11>to syslog\\x00'", "as a record"]


def test_asyncio_serves_and_asks(network: Network) -> None:
    server = """
        import asyncio

        class Echo(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, sender):
                asyncio.get_running_loop().call_later(0.5, self.transport.sendto, data.upper(), sender)

        async def main():
            await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 7))
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    client = """
        import asyncio, time

        async def main():
            loop, answers = asyncio.get_running_loop(), asyncio.Queue()

            class Client(asyncio.DatagramProtocol):
                def datagram_received(self, data, sender):
                    answers.put_nowait((data, sender))

            transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=("10.0.0.2", 7))
            for word in (b"one", b"two"):
                transport.sendto(word)
                print(await answers.get())
            await asyncio.to_thread(time.sleep, 2)
            try:
                await asyncio.wait_for(answers.get(), 3)
            except asyncio.TimeoutError:
                print("nothing more", round(loop.time(), 1))

        asyncio.run(main())
    """
    ran = network.run(server, client)
    assert ran.stdout.splitlines() == ["(b'ONE', ('10.0.0.2', 7))", "(b'TWO', ('10.0.0.2', 7))", "nothing more 6.0"]
    network.check_frames()


def test_threads_share_a_host(network: Network) -> None:
    server = NTP_SERVER.replace("socketserver.Threading", "socketserver.").replace("123", "7")
    client = """
        import queue, socket, threading, time
        from concurrent.futures import ThreadPoolExecutor

        def ask(number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                sock.sendto(bytes(48), ("server", 7))
                time.sleep(1)
                return len(sock.recv(100))

        with ThreadPoolExecutor(4) as pool:
            print(list(pool.map(ask, range(8))), round(time.monotonic(), 2))
        words = queue.SimpleQueue()
        threading.Timer(2, words.put, ["late"]).start()
        print(words.get(timeout=3), round(time.monotonic(), 2))
    """
    assert network.run(server, client).stdout == "[48, 48, 48, 48, 48, 48, 48, 48] 2.0\nlate 4.0\n"


def test_captures_show_both_cards(network: Network) -> None:
    (network.folder / "echo.py").write_text(
        "import socket\nsock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sock.sendto(b'x' * 3000, ('host2', 7))\nassert len(sock.recv(5000)) == 3000\n"
    )
    command = [*COMMAND, "--pcap", "captures", "echo.py"]
    subprocess.run(command, check=True, cwd=network.folder, timeout=120)
    for name in os.listdir(network.folder / "captures"):
        shown = ["tshark", "-r", network.folder / "captures" / name, "-T", "fields", "-e", "_ws.col.Protocol"]
        protocols = subprocess.run(shown, check=True, capture_output=True, text=True).stdout.split()
        assert protocols == ["ARP", "ARP", *["IPv4", "IPv4", "ECHO"] * 2]
