"""``hardwire tap --run``: unmodified programs on the simulated host and everyday programs on a real kernel meet."""

import json
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hardwire.tb.e2e import iperf3_server
from hardwire.tb.e2e.real_kernel import check_balance, inside, names, namespace, needs_root, results, server
from hardwire.tb.e2e.tap_host import OURS, THEIRS, exchange, octets_of, python, said_by, same, tap_host, until

pytestmark = needs_root

SIZE = 1_000_000


@pytest.fixture
def space() -> str:
    return names()[0]


def test_curl_downloads_from_an_unmodified_web_server(space: str, tmp_path: Path) -> None:
    octets = octets_of(SIZE)
    (tmp_path / "file").write_bytes(octets)
    with tap_host(space, "--run", f"python -m http.server 80 --directory {tmp_path}") as live:
        got = exchange(space, "curl", "-sS", f"http://{OURS}/file")
        report = live.stop()
    assert same(got, octets)
    check_balance(report)
    assert report["programs"][0]["status"] is None  # It has not ended by itself.


TAKES = """
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_PUT(self):
        octets = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(hashlib.sha256(octets).hexdigest().encode())

ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""


def test_curl_uploads_to_an_unmodified_web_server(space: str, tmp_path: Path) -> None:
    octets = octets_of(SIZE)
    with tap_host(space, "--run", python(tmp_path, "takes.py", TAKES)) as live:
        said = exchange(
            space,
            "curl",
            "-sS",
            "-T",
            "-",
            "-H",
            "Transfer-Encoding:",
            "-H",
            f"Content-Length: {SIZE}",
            f"http://{OURS}/file",
            octets=octets,
        )
        check_balance(live.stop())
    assert said.decode() == sha256(octets).hexdigest()


FETCHES = """
import hashlib, sys, requests
print(hashlib.sha256(requests.get(sys.argv[1]).content).hexdigest())
"""


def test_requests_downloads_from_a_real_web_server(space: str, tmp_path: Path) -> None:
    octets = octets_of(SIZE)
    (tmp_path / "file").write_bytes(octets)
    serve = [sys.executable, "-m", "http.server", "8000", "--directory", str(tmp_path)]
    fetches = python(tmp_path, "fetches.py", FETCHES, "http://host2:8000/file")
    with namespace(space), server(space, 8000, *serve), tap_host(space, "--run", fetches) as live:
        assert said_by(live) == [sha256(octets).hexdigest()]


ASYNCIO = """
import asyncio

async def talk(reader, writer):
    while line := await reader.readline():
        await asyncio.sleep(0.01)
        writer.write(line.upper())
        await writer.drain()
    writer.close()

async def main():
    async with await asyncio.start_server(talk, "0.0.0.0", 7000) as server:
        await server.serve_forever()

asyncio.run(main())
"""


def test_nc_talks_to_an_unmodified_asyncio_server_several_at_once(space: str, tmp_path: Path) -> None:
    command = ["ip", "netns", "exec", space, "nc", "-N", OURS, "7000"]
    with tap_host(space, "--run", python(tmp_path, "server.py", ASYNCIO)) as live:
        talks = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
        for talk in talks:
            assert talk.stdin is not None
            talk.stdin.write(b"hello\nworld\n")
            talk.stdin.flush()
        assert [talk.communicate(timeout=30)[0] for talk in talks] == [b"HELLO\nWORLD\n"] * 5
        check_balance(live.stop())


CALLS = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as sock:
    sock.sendall(sys.stdin.buffer.read())
    sock.shutdown(socket.SHUT_WR)
    print(sock.makefile().read(), flush=True)
"""


def test_nc_listens_and_our_program_calls(space: str, tmp_path: Path) -> None:
    calls = python(tmp_path, "calls.py", CALLS.replace("sys.stdin.buffer.read()", "b'from us'"), THEIRS)
    with namespace(space):
        command = ["ip", "netns", "exec", space, "nc", "-N", "-l", "7000"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nc:
            with tap_host(space, "--run", calls) as live:
                assert nc.communicate(b"from the kernel", timeout=30)[0] == b"from us"
                assert said_by(live) == ["from the kernel"]


def test_a_character_generator_and_a_discarder_serve_nc(space: str) -> None:
    with tap_host(space, "--serve", "chargen,discard") as live:
        words = ["ip", "netns", "exec", space, "nc", "-d", OURS, "19"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as nc:
            assert nc.stdout is not None
            lines = [nc.stdout.readline() for _ in range(200)]
            nc.kill()
        exchange(space, "nc", "-N", OURS, "9", octets=bytes(100_000))
        until(lambda: not inside(space, "ss", "-tnH", "state", "established"))
        found = results(live.stop())
    assert lines[0] == bytes(range(0x20, 0x20 + 72)) + b"\r\n"
    assert lines[94:97] == [b"~" + lines[0][:71] + b"\r\n", lines[0], lines[1]]
    assert found["tcp-discard"] == {"connections": 1, "octets": 100_000}
    assert found["tcp-chargen"]["octets"] >= 200 * 74
    assert found["tcp-chargen"].keys() - {"connections", "octets"} <= {
        "ended: Connection reset by peer",
        "ended: Broken pipe",
    }


@pytest.mark.parametrize(("words", "ways"), [((), 1), (("-R",), 1), (("-P", "3"), 3)])
def test_iperf3_measures(space: str, words: tuple[str, ...], ways: int) -> None:
    with tap_host(space, "--run", f"python {iperf3_server.__file__}") as live:
        found: dict[str, Any] = json.loads(inside(space, "iperf3", "-J", "-c", OURS, "-t", "2", *words))
        report = live.stop()
    end = found["end"]
    assert len(end["streams"]) == ways
    assert end["sum_received"]["bytes"] > 100_000
    print(f"{end['sum_received']['bits_per_second'] / 1e6:.1f} Mbit/s, {report['behind_s']:.1f} s behind")
    check_balance(report)


BANNER = """
import socket
with socket.create_server(("", 22)) as listener:
    connection, _ = listener.accept()
with connection:
    connection.sendall(b"SSH-2.0-Simulated_1.0 on hardwire\\r\\n")
    print(connection.makefile("rb").readline(), flush=True)
"""


def test_ssh_and_our_program_exchange_banners(space: str, tmp_path: Path) -> None:
    with tap_host(space, "--run", python(tmp_path, "banner.py", BANNER)) as live:
        ssh = ["ssh", "-v", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null", "-F", "none", f"nobody@{OURS}"]
        ran = subprocess.run(
            ["ip", "netns", "exec", space, *ssh], capture_output=True, text=True, timeout=60, check=False
        )
        (said,) = said_by(live)
    assert "Remote protocol version 2.0, remote software version Simulated_1.0 on hardwire" in ran.stderr
    assert said.startswith("b'SSH-2.0-OpenSSH_")


READS_BANNER = """
import socket, struct, sys
with socket.create_connection((sys.argv[1], 22)) as sock, sock.makefile("rb") as file:
    print(file.readline(), flush=True)
    sock.sendall(b"SSH-2.0-Simulated_1.0\\r\\n")
    length, padding, kind = struct.unpack("!IBB", file.read(6))
    print("key exchange" if kind == 20 and len(file.read(length - 2)) == length - 2 else kind, flush=True)
"""


def test_our_program_and_sshd_exchange_banners(space: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)  # Where it has no rights; Debian makes it when the service starts.
    sshd = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-h", str(key), "-o", "PidFile=none"]
    reads = python(tmp_path, "reads.py", READS_BANNER, THEIRS)
    with namespace(space), server(space, 22, *sshd), tap_host(space, "--run", reads) as live:
        banner, then = said_by(live)
    assert banner.startswith("b'SSH-2.0-OpenSSH_")
    assert then == "key exchange"


# How it begins and ends.


def test_it_ends_when_its_programs_have_and_says_which_failed(space: str, tmp_path: Path) -> None:
    fails = python(tmp_path, "fails.py", "import sys; sys.exit(3)")
    with tap_host(space, "--run", "ping 10.0.0.2 -c 1", "--run", fails) as live:
        assert live.process.wait(30) == 1
        until(lambda: any("status 3" in line for line in live.said))
        report = json.loads(live.process.stdout.read())
    assert f"hardwire: {fails} ended with status 3" in live.said
    assert "1 sent, 1 received" in " ".join(live.said)
    ping, failed = report["programs"]
    assert ping["result"]["received"] == 1
    assert failed == {"program": fails, "status": 3}


LAST_WORDS = """
import socket, sys, time
sock = socket.create_connection((sys.argv[1], 7000))
try:
    print("connected", flush=True)
    time.sleep(3600)
finally:
    sock.sendall(b"good bye")
"""


def test_a_program_sees_the_real_time_of_day(space: str, tmp_path: Path) -> None:
    tells = python(tmp_path, "tells.py", "import time; time.sleep(0.5); print(time.time(), flush=True)")
    before = time.time()
    with tap_host(space, "--run", tells) as live:
        (said,) = said_by(live)
    assert before + 0.5 < float(said) < time.time() + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_ended_still_has_its_last_words(space: str, tmp_path: Path, number: int) -> None:
    words = python(tmp_path, "last.py", LAST_WORDS, THEIRS)
    with namespace(space), server(space, 7000, "nc", "-l", "7000", stdout=subprocess.PIPE) as nc:
        with tap_host(space, "--run", words) as live:
            until(lambda: "connected" in live.said)
            live.stop(number)
        assert nc.communicate(timeout=20)[0] == b"good bye"


def test_commands_set_the_host_up_before_it_serves(space: str) -> None:
    asked = "sysctl net.ipv4.tcp_timestamps=0; tcp-echo 7000"
    with tap_host(space, "--run", asked) as live:
        assert exchange(space, "nc", "-N", OURS, "7000", octets=b"hello") == b"hello"
        assert results(live.stop())[asked] == {"connections": 1, "octets": 5}


COMPUTES = """
import os, time
print(os.getpid(), flush=True)
time.sleep(0.5)
while True:
    pass
"""


def test_a_program_that_computes_for_ever_is_killed_by_the_second_signal(space: str, tmp_path: Path) -> None:
    with tap_host(space, "--run", python(tmp_path, "computes.py", COMPUTES)) as live:
        (child,) = (int(line) for line in live.said if line.isdigit())
        state = Path(f"/proc/{child}/stat")
        until(lambda: state.read_text().split()[2] == "R" and int(state.read_text().split()[13]) > 20)
        for _ in range(2):
            live.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert live.process.wait(20) == 130
        until(lambda: not state.exists() or state.read_text().split()[2] == "Z")


def test_a_program_that_is_not_there_is_said(space: str) -> None:
    with tap_host(space, "--run", "python /nowhere.py") as live:
        assert live.process.wait(30) == 1
    assert any("can't open file '/nowhere.py'" in line for line in live.said)


def test_a_port_that_is_taken_is_said_and_the_rest_goes_on(space: str) -> None:
    with tap_host(space, "--serve", "echo", "--run", "tcp-echo 7") as live:
        assert exchange(space, "nc", "-N", OURS, "7", octets=b"hello") == b"hello"
        live.process.send_signal(signal.SIGINT)
        assert live.process.wait(30) == 1
        until(lambda: "hardwire: failed: tcp-echo 7" in live.said)
    assert "tcp-echo 7: port 7 is in use" in live.said
