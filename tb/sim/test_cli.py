"""The command line: what it says and returns, above all when the request makes no sense."""

import json
import os
import re
import subprocess
import sys
from errno import EEXIST, ENOENT, ENOTDIR
from pathlib import Path

import pytest

from hardwire.stack.abi import BLOCKS

NEIGH = "10.0.0.2=02:00:00:00:00:02"


def hardwire(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd, env=environment, timeout=300)


REFUSALS = [
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--device", "sim:/dev/ttyUSB0"],
        2,
        "--device: a device 'sim' has no place: leave out ':/dev/ttyUSB0'",
    ),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--device", "uart:/dev/x", "--waves", "x.fst"],
        2,
        "--waves: uart:/dev/x is a real card: only a simulated one has waves",
    ),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--device", "uart:"],
        1,
        "the machine cannot be set up: uart: say which port, such as uart:/dev/ttyUSB0",
    ),
    (["--to", "10.0.0.2:9000"], 2, "say what to send with one of --file, --text and --stdin"),
    (
        ["--to", "10.0.0.2:9000", "--text", "a", "--stdin"],
        2,
        "say what to send with one of --file, --text and --stdin",
    ),
    (["--to", "10.0.0.2", "--text", "a"], 2, "--to: '10.0.0.2' has no port: write 10.0.0.2:9000"),
    (["--to", "10.0.0.2:0", "--text", "a"], 2, "--to: '0' is not a port: 1..65535"),
    (["--to", "10.0.0.2:http", "--text", "a"], 2, "--to: 'http' is not a port: 1..65535"),
    (["--to", "10.0.0.256:9", "--text", "a"], 2, "--to: address: '10.0.0.256' is not an IPv4 address"),
    (["--to", "host:9", "--text", "a"], 2, "--to: address: 'host' is not an IPv4 address"),
    (["--to", "10.0.0.2:9", "--text", "a", "--from", "10.0.0.1/33"], 2, "--from: '33' is not a prefix length: 1..32"),
    (
        ["--to", "10.0.0.2:9", "--file", "no/such/file"],
        2,
        "--file: cannot read no/such/file: No such file or directory",
    ),
    (["--to", "10.0.0.2:9", "--file", "."], 2, "--file: cannot read .: Is a directory"),
    (["--to", "10.0.0.2:9", "--text", "a", "--size", "0"], 2, "--size must be in 1..65,507, not 0"),
    (["--to", "10.0.0.2:9", "--text", "a", "--size", "65508"], 2, "--size must be in 1..65,507, not 65,508"),
    (["--to", "10.0.0.2:9", "--text", "a", "--count", "0"], 2, "--count must be in 1..1,000,000, not 0"),
    (["--to", "10.0.0.2:9", "--text", "a", "--mtu", "67"], 2, "--mtu must be in 68..9,000, not 67"),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--neigh", "10.0.0.2"],
        2,
        "--neigh: '10.0.0.2' is not IP=MAC, such as 10.0.0.2=02:00:00:00:00:02",
    ),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--neigh", "10.0.0.2=2"],
        2,
        "--neigh: address: '2' is not a MAC address",
    ),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--neigh", "10.0.0.2=01:00:00:00:00:02"],
        2,
        "--neigh: 01:00:00:00:00:02 is a group address",
    ),
    (["--to", "10.0.0.2:9", "--text", "a", "--pcap", "no/dir/a.pcapng"], 2, "--pcap: there is no folder no/dir"),
    (["--to", "10.0.0.2:9", "--text", "a", "--pcap", "."], 2, "--pcap: cannot write .: Is a directory"),
    (["--to", "10.0.0.2:9", "--text", "a", "--waves", "."], 2, "--waves: cannot write .: Is a directory"),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--waves", "/proc/a.fst"],
        2,
        "--waves: cannot write /proc/a.fst: No such file or directory",
    ),
    (["--to", "10.0.0.2:9", "--text", "a", "--waves", "/dev/full"], 2, "--waves: /dev/full is not a regular file"),
    (["--to", "10.0.0.2:9", "--text", "a", "--waves", ""], 2, "--waves: cannot write .: Is a directory"),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--neigh", NEIGH, "--neigh", "10.0.0.2=02:00:00:00:00:03"],
        2,
        "--neigh: 10.0.0.2 has two MAC addresses: 02:00:00:00:00:02 and 02:00:00:00:00:03",
    ),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--from", "224.0.0.1"],
        2,
        "--from: 224.0.0.1 is no address for a host",
    ),
    (["--to", "10.0.0.2:9", "--text", "a", "--from", "0.0.0.0"], 2, "--from: 0.0.0.0 is no address for a host"),
    (
        ["--to", "10.0.0.2:9", "--text", "a", "--from", "255.255.255.255"],
        2,
        "--from: 255.255.255.255 is no address for a host",
    ),
    (["--to", "10.0.0.2/24:1", "--text", "a"], 2, "--to: '10.0.0.2/24:1' has a prefix length: write 10.0.0.2:1"),
    *(
        (
            ["--to", "10.0.0.2:9", "--text", "a", "--neigh", f"{address}=02:00:00:00:00:02"],
            2,
            f"--neigh: {address} {reason}",
        )
        for address, reason in (
            ("224.0.0.1", "is no address for a host"),
            ("0.0.0.0", "is no address for a host"),
            ("255.255.255.255", "is no address for a host"),
            ("10.0.0.255", "is a broadcast address"),
            ("10.0.0.1", "is the host's own address"),
        )
    ),
    *(
        (["--to", f"{address}:9", "--text", "a"], 1, f"{address} is the host itself: nothing receives there yet")
        for address in ("127.0.0.1", "10.0.0.1", "0.0.0.0")
    ),
    (
        ["--to", "192.168.7.7:9", "--text", "a"],
        1,
        "no route to 192.168.7.7: the host is 10.0.0.1/24 and has no gateway",
    ),
    (
        ["--to", "10.0.0.2:9", "--text", "a" * 1473, "--size", "1473", "--df", "--neigh", NEIGH],
        1,
        "1,473 octets of payload do not fit into an MTU of 1,500 with --df: at most 1,472",
    ),
    (
        ["--to", "10.0.0.255:9", "--text", "a"],
        1,
        "10.0.0.255 is a broadcast address: Permission denied",
    ),
    (
        ["--to", "10.0.0.9:9", "--text", "a"],
        1,
        "no answer to ARP for 10.0.0.9: say its MAC address with --neigh 10.0.0.9=MAC",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "message"), REFUSALS, ids=[message[:40] for _, _, message in REFUSALS])
def test_send_says_in_one_line_what_is_wrong(arguments: list[str], status: int, message: str, tmp_path: Path) -> None:
    result = hardwire("send", *arguments, cwd=tmp_path)
    assert b"Traceback" not in result.stderr, result.stderr.decode()
    *progress, last = result.stderr.decode().splitlines()
    assert last == f"hardwire: {message}"
    assert all(re.fullmatch(r"hardwire: [A-Z]\w+.* \(\d/\d\)", line) for line in progress), progress
    assert result.returncode == status


def test_send_shows_the_journey_from_system_call_to_wire_and_back() -> None:
    result = hardwire("send", "--text", "hello", "--to", "10.0.0.2:9000", "--neigh", NEIGH)
    assert result.returncode == 0, result.stderr.decode()
    lines = [line.split("µs", 1)[-1].lstrip(" │├└") for line in result.stdout.decode().splitlines()]
    steps = [
        "__sys_sendto",
        "udp_sendmsg",
        "ip_output",
        "dev_hard_start_xmit",
        "hardwire_start_xmit",
        "register write txq[0].TAIL",
        "descriptor 0 fetched",
        "ARP cache lookup: hit",
        "all octets are in the FIFO",
        "checksums done",
        "on the wire",
        "MAC sends a frame of 64 octets",
        "completion for descriptor 0: OK",
        "interrupt raised",
        "hardwire_clean_tx",
    ]
    places = [next((at for at, line in enumerate(lines) if line.startswith(step)), -1) for step in steps]
    assert -1 not in places, dict(zip(steps, places, strict=True))
    assert places == sorted(places), dict(zip(steps, places, strict=True))


def test_send_reports_json_with_the_journey() -> None:
    result = hardwire("send", "--stdin", "--to", "10.0.0.2:9000", "--neigh", NEIGH, "--json", stdin=b"x" * 3000)
    report = json.loads(result.stdout)
    assert (report["datagrams"], report["payload_octets"], report["frames"]) == (3, 3000, 3)
    assert report["failure"] is None
    kinds = {step["kind"] for step in report["journey"]["steps"]}
    assert kinds >= {"call", "desc", "dma", "arp", "csum", "fifo", "frame", "completion", "irq", "register"}


def test_neighbour_may_be_said_twice_and_in_a_network_without_broadcast() -> None:
    for arguments in (
        ["--to", "10.0.0.2:9", "--neigh", "10.0.0.2=02:00:00:00:00:0a", "--neigh", "10.0.0.2=2-0-0-0-0-A"],
        ["--to", "10.0.0.3:9", "--neigh", "10.0.0.3=02:00:00:00:00:03", "--from", "10.0.0.2/31"],
        ["--to", "10.0.0.2:9", "--neigh", NEIGH, "--neigh", "10.0.1.255=02:00:00:00:00:03"],
    ):
        result = hardwire("send", "--text", "a", *arguments)
        assert result.returncode == 0, result.stderr.decode()


def test_empty_file_is_one_empty_datagram(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    result = hardwire(
        "send", "--file", "empty", "--to", "10.0.0.2:9000", "--neigh", NEIGH, "--json", "--count", "2", cwd=tmp_path
    )
    report = json.loads(result.stdout)
    assert (report["datagrams"], report["payload_octets"], report["frames"]) == (2, 0, 2)


def test_waves_are_written(tmp_path: Path) -> None:
    result = hardwire(
        "send", "--text", "a", "--to", "10.0.0.2:9000", "--neigh", NEIGH, "--waves", "a.fst", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr.decode()
    assert (tmp_path / "a.fst").stat().st_size > 1000


def test_regs_writes_each_format(tmp_path: Path) -> None:
    for form in ("c", "md", "rdl"):
        assert BLOCKS[-1].registers[-1].name in hardwire("regs", "--format", form).stdout.decode()
    assert hardwire("regs", "--format", "html", "-o", str(tmp_path)).returncode == 0
    assert (tmp_path / "index.html").exists()
    refusal = hardwire("regs", "--format", "html")
    assert (refusal.returncode, refusal.stderr) == (
        2,
        b"hardwire: --format html makes several files: say where with -o DIR\n",
    )


def test_verilog_refuses_impossible_parameters(tmp_path: Path) -> None:
    for setting, message in (
        ("stream_width_bits=48", "--config: stream_width_bits must be 32, 64 or 128, not 48"),
        ("arp_ways=many", "--config arp_ways takes a number, not 'many'"),
    ):
        result = hardwire("verilog", "-o", str(tmp_path), "--config", setting)
        assert (result.returncode, result.stderr.decode()) == (2, f"hardwire: {message}\n")


def test_doctor_reports_every_tool_and_package() -> None:
    report = json.loads(hardwire("doctor", "--json").stdout)
    assert report["healthy"]
    names = {check["name"] for check in report["checks"]}
    assert names >= {"g++", "make", "perl", "tshark", "amaranth", "verilator", "cocotb", "libpython"}
    missing_compiler = subprocess.run(
        [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "doctor"],
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing_compiler.returncode == 1
    assert "apt-get install g++" in missing_compiler.stdout


@pytest.mark.parametrize("folder", ["/proc/nope", "/proc", "/dev/null"])
def test_cache_folder_that_cannot_be_written_is_named(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWIRE_CACHE", folder)
    result = hardwire("send", "--text", "a", "--to", "10.0.0.2:9000", "--neigh", NEIGH)
    assert re.fullmatch(
        f"hardwire: the simulator could not be built: cannot write to the cache folder {folder}: [A-Z][a-z ]+;"
        " HARDWIRE_CACHE names another\n",
        result.stderr.decode(),
    )
    assert result.returncode == 1
    report = hardwire("doctor")
    assert report.returncode == 1
    assert (
        f"MISSING  cache folder    needed for keeping builds in {folder}: export HARDWIRE_CACHE="
        in report.stdout.decode()
    )


def test_cache_folder_below_a_home_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HARDWIRE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nope")
    result = hardwire("send", "--text", "a", "--to", "10.0.0.2:9000", "--neigh", NEIGH)
    assert "cannot write to the cache folder /proc/nope/.cache/hardwire: " in result.stderr.decode()
    assert result.returncode == 1


def test_unknown_command_is_misuse() -> None:
    assert hardwire("sned").returncode == 2


def test_output_that_cannot_be_written_is_one_line_and_status_1() -> None:
    send = ["send", "--text", "a", "--to", "10.0.0.2:9000", "--neigh", NEIGH]
    for line in (send, [*send, "--json"], ["regs"]):
        command = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", *line]
        with open("/dev/full", "wb") as full:
            result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert result.stderr.splitlines()[-1] == "hardwire: No space left on device"
        assert "Traceback" not in result.stderr
        assert result.returncode == 1


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    command = [sys.executable, "-c", "from hardwire.sim.cli import main; main()"]
    command += ["send", "--text", "a" * 60_000, "--size", "100", "--to", "10.0.0.2:9000", "--neigh", NEIGH]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0


def test_text_that_is_no_utf8_is_sent_as_it_is(tmp_path: Path) -> None:
    command = [sys.executable.encode(), b"-c", b"from hardwire.sim.cli import main; main()", b"send"]
    command += [b"--text", b"\xff\xfe", b"--to", b"10.0.0.2:9000", b"--neigh", NEIGH.encode(), b"--pcap", b"a.pcapng"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert b"\x00\x0a" in (tmp_path / "a.pcapng").read_bytes()
    assert b"\xff\xfe" in (tmp_path / "a.pcapng").read_bytes()


def test_capture_that_cannot_be_written_is_named() -> None:
    for octets in (1, 100_000):  # All of it at the end; some of it while frames come.
        result = hardwire(
            "send", "--stdin", "--to", "10.0.0.2:9", "--neigh", NEIGH, "--pcap", "/dev/full", stdin=b"x" * octets
        )
        assert result.stderr.decode().splitlines()[-1] == "hardwire: No space left on device: /dev/full"
        assert b"Traceback" not in result.stderr
        assert (result.returncode, result.stdout) == (1, b"")


def test_capture_goes_to_a_pipe_whose_reader_sees_all_of_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["timeout", "60", "cat", "pipe"], stdout=subprocess.PIPE, cwd=tmp_path) as reader:
        result = hardwire(
            "send", "--text", "hello", "--to", "10.0.0.2:9", "--neigh", NEIGH, "--pcap", "pipe", cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr.decode()
        assert b"hello" in reader.communicate()[0]


def test_closed_output_is_no_traceback() -> None:
    line = f"{sys.executable} -c 'from hardwire.sim.cli import main; main()' "
    for arguments, status in (("regs >&-", 0), ("regs --format html 2>&-", 2)):
        result = subprocess.run(["bash", "-c", line + arguments], capture_output=True, check=False)
        assert (result.returncode, result.stdout, result.stderr) == (status, b"", b"")


def test_closed_standard_input_is_said() -> None:
    line = f"{sys.executable} -c 'from hardwire.sim.cli import main; main()' send --stdin --to 10.0.0.2:9 <&-"
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "hardwire: --stdin: standard input is closed\n")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, error in (("file", EEXIST), ("file/x", ENOTDIR), ("/proc/x", ENOENT)):
        result = hardwire("regs", "--format", "html", "-o", folder, cwd=tmp_path)
        assert (result.returncode, result.stderr.decode()) == (1, f"hardwire: {os.strerror(error)}: {folder}\n")
