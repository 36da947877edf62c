"""How ``hardwire tap`` and ``hardwire wire`` begin and end: clear refusals, and nothing is left, however they end."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hardwire.sim.live_command import LiveCommand
from hardwire.tb.e2e.real_kernel import inside, names, namespace, needs_root

NETNS = Path("/run/netns")
TAP = ("tap", "--ip", "10.0.0.1/24")
_NO_PORT = "--run: tcp-echo: argument PORT: 'x' is not a number: 1..65535; usage: tcp-echo [PORT]"
_NO_SCRIPT = "--run: 'python': after python comes a script, or -m and a module"


def hardwire(*words: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run the command; return its exit status and what it says of errors."""
    command = [*prefix, sys.executable, "-c", "from hardwire.sim.cli import main; main()", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stderr


def until(happened: Callable[[], bool], limit_s: float = 10) -> bool:
    """Wait for something to happen; return whether it did."""
    end = time.monotonic() + limit_s
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def guards(name: str) -> list[str]:
    """Return the processes that guard a namespace."""
    words = ["pgrep", "-f", f"netns-guard .*/{name}$"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (
            (*TAP, "--tap", "a" * 16),
            2,
            f"'{'a' * 16}' is no name for a device: 1 to 15 letters, digits, '-', '_' or '.'",
        ),
        ((*TAP, "--tap", ""), 2, "'' is no name for a device: 1 to 15 letters, digits, '-', '_' or '.'"),
        ((*TAP, "--tap", "a/b"), 2, "'a/b' is no name for a device: 1 to 15 letters, digits, '-', '_' or '.'"),
        ((*TAP, "--tap", "t%d"), 2, "'t%d' is no name for a device: 1 to 15 letters, digits, '-', '_' or '.'"),
        ((*TAP, "--tap", "hw0", "--netns", "a/b"), 2, "'a/b' is no name for a namespace"),
        ((*TAP, "--tap", "hw0", "--netns", ".."), 2, "'..' is no name for a namespace"),
        ((*TAP, "--tap", "hw0", "--mtu", "67"), 2, "--mtu must be in 68..9,000, not 67"),
        ((*TAP, "--tap", "hw0", "--mac", "2"), 2, "--mac: '2' is not a MAC address, such as 02:00:00:00:00:01"),
        (
            (*TAP, "--tap", "hw0", "--mac", "01:00:00:00:00:01"),
            2,
            "--mac: 01:00:00:00:00:01 is no address for a card",
        ),
        (
            (*TAP, "--tap", "hw0", "--serve", "echo,ssh"),
            2,
            "--serve: there is no 'ssh'; there are echo, discard, chargen",
        ),
        (
            (*TAP, "--tap", "hw0", "--run", "python"),
            2,
            "--run: 'python': after python comes a script, or -m and a module",
        ),
        ((*TAP, "--tap", "hw0", "--run", "tcp-echo x"), 2, _NO_PORT),
        ((*TAP, "--tap", "hw0", "--loss", "2"), 2, "loss must be from 0 to 1, not 2.0"),
        ((*TAP, "--tap", "hw0", "--delay-ns", "1"), 2, "delay_ns must be from 8 to 10000000000, not 1.0"),
        ((*TAP, "--tap", "hw0", "--pcap", "no/dir/a.pcapng"), 2, "--pcap: there is no folder no/dir"),
        ((*TAP, "--tap", "hw0", "--waves", "/dev/full"), 2, "--waves: /dev/full is not a regular file"),
        *(
            (("tap", "--tap", "hw0", "--ip", text), 2, f"--ip: {reason}")
            for text, reason in (
                ("here", "'here' is no address with a prefix length, such as 10.0.0.1/24"),
                ("10.0.0.1/33", "'10.0.0.1/33' is no address with a prefix length, such as 10.0.0.1/24"),
                ("10.0.0.1", "the network of 10.0.0.1 has no other address: write 10.0.0.1/24"),
                ("10.0.0.1/32", "the network of 10.0.0.1/32 has no other address: write 10.0.0.1/24"),
                ("10.0.0.0/24", "10.0.0.0/24 is the network's own or its broadcast address"),
                ("10.0.0.255/24", "10.0.0.255/24 is the network's own or its broadcast address"),
                ("224.0.0.1/24", "224.0.0.1 is no address for a host"),
                ("10.0.0.1/0", "0.0.0.1 is no address for a host"),
            )
        ),
        (("wire", "--tap", "a"), 2, "give --tap twice, once for each end, not 1 times"),
        (
            ("wire", "--tap", "a", "--tap", "b", "--netns", "c"),
            2,
            "give --netns twice, once for each --tap, or not at all",
        ),
        (("wire", "--tap", "a", "--tap", "a"), 2, "the two TAP devices need two names, or two namespaces: a and a"),
        (
            ("wire", "--tap", "a", "--tap", "b", "--ip", "10.0.0.1/24"),
            2,
            "--ip needs two different --netns: within one, the kernel would not send to its own address by a device",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_one_line(words: tuple[str, ...], status: int, text: str) -> None:
    assert hardwire(*words) == (status, f"hardwire: {text}\n")


AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else ()


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs setpriv")
@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((*TAP, "--tap", "hwn0"), "cannot make the TAP device hwn0"),
        ((*TAP, "--tap", "hwn0", "--netns", "hwnobody"), "cannot make the namespace hwnobody"),
        (("wire", "--tap", "hwn0", "--tap", "hwn1"), "cannot make the TAP device hwn0"),
    ],
)
def test_without_root_it_says_that_it_needs_it(words: tuple[str, ...], what: str) -> None:
    status, said = hardwire(*words, prefix=AS_NOBODY)
    assert (status, said) == (1, f"hardwire: {what}: not permitted: it needs root; run it with sudo\n")
    assert not (NETNS / "hwnobody").exists()
    assert not guards("hwnobody")


def test_a_system_without_tun_is_told_what_it_needs() -> None:
    hidden = "import os; os.open = lambda *a, o=os.open: o(*('/nowhere' if a[0] == '/dev/net/tun' else a[0], *a[1:]));"
    command = [sys.executable, "-c", f"{hidden} from hardwire.sim.cli import main; main()", *TAP, "--tap", "hwn0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr == "hardwire: /dev/net/tun does not exist: modprobe tun; in a container, add that device\n"


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_reports_and_leaves_nothing_when_it_is_told_to_end(number: signal.Signals) -> None:
    (name,) = names()
    with LiveCommand(*TAP, "--tap", "hw0", "--netns", name) as live:
        assert len(guards(name)) == 1
        inside(name, "ping", "-c", "1", "10.0.0.1")
        report = live.stop(number)
        assert report["host"]["stack"]["IcmpMsg:InType8"] == 1
        assert not (NETNS / name).exists()
        assert not guards(name)


@needs_root
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("command", ["tap", "wire"])
def test_it_leaves_nothing_when_it_dies(command: str, number: signal.Signals) -> None:
    spaces = names(2 if command == "wire" else 1)
    words = [word for name in spaces for word in ("--tap", "hw0", "--netns", name)]
    with LiveCommand(command, *words, "--ip", "10.0.0.1/24") as live:
        live.process.send_signal(number)
        live.process.wait()
        for name in spaces:
            assert until(lambda name=name: not (NETNS / name).exists() and not guards(name))


@needs_root
def test_it_leaves_nothing_when_it_cannot_begin() -> None:
    (name,) = names()
    # The name passes our check, but the kernel knows better.
    with namespace(f"{name}x") as taken, LiveCommand(*TAP, "--tap", "hw0", "--netns", taken):
        status, said = hardwire("wire", "--tap", "hw0", "--netns", name, "--tap", "hw0", "--netns", taken)
    assert status == 1
    assert said == "hardwire: hw0 is in use by another program: end that, or take another name\n"
    assert not (NETNS / name).exists()
    assert not guards(name)


@needs_root
def test_a_namespace_that_was_there_stays() -> None:
    with namespace(names()[0]) as name, LiveCommand(*TAP, "--tap", "hw0", "--netns", name) as live:
        inside(name, "ping", "-c", "1", "10.0.0.1")
        live.stop()
        assert (NETNS / name).exists()
        assert "hw0" not in inside(name, "ip", "link")


def shown(name: str) -> str:
    """Return what ip(8) shows of a device; a qdisc it gets when it is first up."""
    return re.sub("qdisc [^ ]+", "", inside(name, "ip", "address", "show", "mine"))


@needs_root
def test_a_device_that_was_there_is_as_it_was() -> None:
    with namespace(names()[0]) as name:
        inside(name, "ip", "tuntap", "add", "mode", "tap", "name", "mine")
        inside(name, "ip", "link", "set", "mine", "mtu", "1400", "address", "02:00:00:00:00:77")
        before = shown(name)
        with LiveCommand(*TAP, "--tap", "mine", "--netns", name, "--mtu", "1280") as live:
            assert "mtu 1280" in inside(name, "ip", "link", "show", "mine")
            inside(name, "ping", "-c", "1", "10.0.0.1")
            live.stop()
        assert shown(name) == before


@needs_root
def test_what_is_right_with_a_device_is_left_alone() -> None:
    with namespace(names()[0]) as name:
        inside(name, "ip", "tuntap", "add", "mode", "tap", "name", "mine")
        inside(name, "ip", "address", "add", "10.0.0.2/24", "dev", "mine")
        inside(name, "ip", "link", "set", "mine", "up")
        with LiveCommand(*TAP, "--tap", "mine", "--netns", name) as live:
            inside(name, "ping", "-c", "1", "10.0.0.1")
            live.stop()
        assert "10.0.0.2/24" in shown(name)
        assert ",UP" in shown(name)


@needs_root
def test_without_a_namespace_it_is_where_the_command_runs() -> None:
    with namespace(names()[0]) as name:
        with LiveCommand(*TAP, "--tap", "hw0", namespace=name) as live:
            assert live.said[-1].endswith(": ping 10.0.0.1")
            inside(name, "ping", "-c", "1", "10.0.0.1")
            live.stop()
        assert "hw0" not in inside(name, "ip", "link")


@needs_root
def test_a_device_may_be_taken_to_another_namespace() -> None:
    near, far = names(2)
    with namespace(near), namespace(far), LiveCommand("wire", "--tap", "hw0", "--tap", "hw1", namespace=near) as live:
        inside(near, "ip", "link", "set", "hw1", "netns", far)
        for name, device, number in ((near, "hw0", 1), (far, "hw1", 2)):
            inside(name, "ip", "address", "add", f"10.9.0.{number}/24", "dev", device)
            inside(name, "ip", "link", "set", device, "up")
        inside(near, "ping", "-c", "1", "10.9.0.2")
        a, b = live.stop()["sides"]
        assert a["kernel"]["tx_packets"] == a["from_kernel"]
        assert b["kernel"] is None


@needs_root
def test_a_device_that_is_no_tap_is_refused() -> None:
    with namespace(names()[0]) as name:
        status, said = hardwire(*TAP, "--tap", "lo", "--netns", name)
        assert (status, said) == (1, "hardwire: lo is no TAP device with one queue: take another name\n")


@needs_root
def test_a_device_that_is_deleted_ends_it_with_a_report() -> None:
    (name,) = names()
    with LiveCommand(*TAP, "--tap", "hw0", "--netns", name) as live:
        inside(name, "ping", "-c", "1", "10.0.0.1")
        inside(name, "ip", "link", "del", "hw0")
        assert live.process.wait(10) == 1
        assert live.process.stdout is not None
        assert '"IcmpMsg:InType8": 1' in live.process.stdout.read()
        assert until(lambda: "hardwire: hw0 was deleted" in live.said)
        assert not (NETNS / name).exists()


@needs_root
def test_a_capture_that_finds_no_room_ends_it_with_a_report(tmp_path: Path) -> None:
    (name,) = names()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", tmp_path], check=True)
    try:
        capture = tmp_path / "full.pcapng"
        with LiveCommand(*TAP, "--tap", "hw0", "--netns", name, "--pcap", str(capture)) as live:
            inside(name, "ping", "-c", "30", "-i", "0.01", "-s", "1400", "-W", "1", "10.0.0.1", ok=False)
            assert live.process.wait(20) == 1
            assert live.process.stdout is not None
            assert '"IcmpMsg:InType8"' in live.process.stdout.read()
            assert until(lambda: f"hardwire: No space left on device: {capture}" in live.said)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
