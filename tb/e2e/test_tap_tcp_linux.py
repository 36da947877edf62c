"""TCP of a real kernel and of a simulated host, over driver and gateware: octets, faults, ends, connections."""

import signal
import subprocess
import sys
from errno import ETIMEDOUT
from pathlib import Path

import pytest

from hardwire.tb.e2e.real_kernel import check_balance, inside, names, namespace, needs_root, results, server
from hardwire.tb.e2e.tap_host import (
    OURS,
    THEIRS,
    check_cable,
    exchange,
    octets_of,
    python,
    said_by,
    same,
    tap_host,
    until,
)

pytestmark = needs_root

BAD_CABLE = "--loss 0.01 --reordering 0.05 --reorder-delay-ns 2e6 --duplication 0.01 --delay-ns 50e6".split()


@pytest.fixture
def space() -> str:
    return names()[0]


def there_and_back(space: str, count: int, *cable: str, timeout_s: float = 120) -> dict:
    """Have ``nc`` send octets to our echo server and compare what comes back, at the same time; return the report."""
    octets = octets_of(count)
    with tap_host(space, "--serve", "echo", *cable) as live:
        back = exchange(space, "nc", "-N", OURS, "7", octets=octets, timeout_s=timeout_s)
        report = live.stop()
    assert same(back, octets)
    assert results(report)["tcp-echo"] == {"connections": 1, "octets": count}
    print(f"{count:,} octets each way in {report['wall_s']:.1f} s")
    return report


def test_ten_megabytes_go_each_way_on_a_clean_cable(space: str) -> None:
    check_balance(there_and_back(space, 10_000_000))


def test_a_megabyte_goes_each_way_on_a_bad_cable(space: str) -> None:
    report = there_and_back(space, 1_000_000, *BAD_CABLE)
    check_cable(report)
    for way in report["cable"].values():
        assert way["lost"] > 0
        assert way["reordered"] > 0
        assert way["duplicated"] > 0


def test_what_a_cable_damages_is_counted_where_it_is_found(space: str) -> None:
    with tap_host(space, "--corruption", "0.2") as live:
        inside(space, "ping", "-c", "60", "-i", "0.01", "-W", "1", OURS, ok=False)
        report = live.stop()
    check_cable(report)
    out, back = report["cable"]["to the kernel"], report["cable"]["from the kernel"]
    card = report["host"]["counters"]
    assert 0 < out["corrupted"] == report["damaged"] == report["drops"]["kernel: the frame has a wrong FCS or symbol"]
    assert 0 < back["corrupted"] == card["rx_fcs_errors"] == report["drops"]["card: rx_fcs_errors"]


@pytest.mark.soak
def test_a_hundred_megabytes_go_each_way(space: str) -> None:
    check_balance(there_and_back(space, 100_000_000, timeout_s=1800))


# Programs for either end: the simulated host's, or the kernel's.
GREETS = """
import socket
with socket.create_server(("", 7000)) as listener:
    connection, _ = listener.accept()
with connection:
    connection.sendall(b"welcome")
    connection.shutdown(socket.SHUT_WR)
    print(connection.makefile().read(), flush=True)
"""
IS_GREETED = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as sock:
    print(sock.makefile().read(), flush=True)
    sock.sendall(b"thanks, ")
    sock.sendall(b"good bye")
"""
ASKS = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as sock:
    sock.sendall(b"question")
    sock.shutdown(socket.SHUT_WR)
    print(sock.makefile().read(), flush=True)
"""
ANSWERS = """
import socket
with socket.create_server(("", 7000)) as listener:
    connection, _ = listener.accept()
with connection:
    question = b""
    while octets := connection.recv(1000):
        question += octets
    connection.sendall(b"answer to " + question)
"""
RESETS = """
import socket, struct, sys
with socket.create_connection((sys.argv[1], 7000)) as sock:
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
try:
    socket.create_connection((sys.argv[1], 7001))
except ConnectionRefusedError:
    print("refused", flush=True)
"""
IS_RESET = """
import socket
with socket.create_server(("", 7000)) as listener:
    connection, _ = listener.accept()
with connection:
    connection.sendall(b"x")
    try:
        connection.recv(1)
    except ConnectionResetError:
        print("reset", flush=True)
"""


def meet(space: str, folder: Path, serves: str, asks: str, *, ours_asks: bool) -> list[str]:
    """Let two programs meet, one on each host; return what the one that serves has said, and then the other one."""
    theirs = [sys.executable, str(folder / "theirs.py")]
    (folder / "theirs.py").write_text(serves if ours_asks else asks)
    if not ours_asks:
        with tap_host(space, "--run", python(folder, "ours.py", serves)) as live:
            asked = inside(space, *theirs, OURS).splitlines()
            return said_by(live) + asked
    with namespace(space), server(space, 7000, *theirs, stdout=subprocess.PIPE) as process:
        with tap_host(space, "--run", python(folder, "ours.py", asks, THEIRS)) as live:
            said = said_by(live)
        return process.communicate(timeout=20)[0].decode().splitlines() + said


@pytest.mark.parametrize("ours_asks", [True, False])
@pytest.mark.parametrize(
    ("serves", "asks", "wanted"),
    [
        (ANSWERS, ASKS, ["answer to question"]),
        (GREETS, IS_GREETED, ["thanks, good bye", "welcome"]),
        (IS_RESET, RESETS, ["reset", "refused"]),
    ],
    ids=["client closes its half", "server closes its half", "client resets"],
)
def test_a_connection_ends_in_halves_or_by_a_reset(
    space: str, tmp_path: Path, serves: str, asks: str, wanted: list[str], ours_asks: bool
) -> None:
    assert meet(space, tmp_path, serves, asks, ours_asks=ours_asks) == wanted


# The other end is expected to be silent after the first octet.
NOTICES = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.sendall(b"x")
    print("got", sock.recv(1), flush=True)
    try:
        sock.recv(1)
    except TimeoutError as error:
        print(error.errno, flush=True)
"""
ECHOES_ONE = """
import socket, time
with socket.create_server(("", 7000)) as listener:
    connection, _ = listener.accept()
connection.sendall(connection.recv(1))
time.sleep(60)
"""
WANTED = ["got b'x'", str(ETIMEDOUT)]


def test_our_keepalive_finds_that_the_kernel_has_gone(space: str, tmp_path: Path) -> None:
    theirs = [sys.executable, "-c", ECHOES_ONE]
    with namespace(space), server(space, 7000, *theirs):
        with tap_host(space, "--run", python(tmp_path, "ours.py", NOTICES, THEIRS, "7000")) as live:
            until(lambda: WANTED[0] in live.said)
            inside(space, "nft", "add table ip t; add chain ip t c { type filter hook input priority 0; policy drop; }")
            said = said_by(live)
    assert said == WANTED


def test_the_kernels_keepalive_finds_that_we_have_gone(space: str) -> None:
    with namespace(space), tap_host(space, "--serve", "echo") as live:
        command = ["ip", "netns", "exec", space, sys.executable, "-c", NOTICES, OURS, "7"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == WANTED[0] + "\n"
            live.process.send_signal(signal.SIGSTOP)
            try:
                assert client.stdout.readline() == WANTED[1] + "\n"
            finally:
                live.process.send_signal(signal.SIGCONT)
        live.stop()


CALLS = """
import socket, sys
for number in range(500):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
        sock.sendall(b"%d" % number)
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"%d" % number, number
print("done", flush=True)
"""
ECHOES = """
import socket
with socket.create_server(("", 7000)) as listener:
    while True:
        connection, _ = listener.accept()
        with connection:
            while octets := connection.recv(1000):
                connection.sendall(octets)
"""


def counters(space: str) -> dict[str, int]:
    """Return the kernel's counters of TCP in a namespace."""
    lines = [line.split()[1:] for line in inside(space, "cat", "/proc/net/snmp").splitlines() if line[:4] == "Tcp:"]
    return {name: int(value) for name, value in zip(*lines, strict=True)}


def test_a_thousand_connections_are_opened_and_closed(space: str, tmp_path: Path) -> None:
    with namespace(space), server(space, 7000, sys.executable, "-c", ECHOES):
        ours = python(tmp_path, "ours.py", CALLS, THEIRS, "7000")
        with tap_host(space, "--serve", "echo", "--run", ours) as live:
            assert inside(space, sys.executable, "-c", CALLS, OURS, "7") == "done\n"
            until(lambda: "done" in live.said, 60)
            report = live.stop()
        kernel = counters(space)
    stack = report["host"]["stack"]
    for end in (stack, {f"Tcp:{name}": count for name, count in kernel.items()}):
        assert end["Tcp:ActiveOpens"] == end["Tcp:PassiveOpens"] == 500
        assert end.get("Tcp:CurrEstab", 0) == end.get("Tcp:AttemptFails", 0) == end.get("Tcp:EstabResets", 0) == 0
    assert results(report)["tcp-echo"]["connections"] == 500
    check_balance(report)
