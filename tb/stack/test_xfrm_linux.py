"""Policies and protected packets: what the stack does, and what the machine's kernel does with the same commands."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.iproute import neigh_add
from hardwire.stack.iproute2.ip import ip
from hardwire.tb.stack import frames
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.ipsec import ALGORITHMS, Suite, counters
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

US, PEER = "10.0.0.1", "10.0.0.2"


class Ours:
    """10.0.0.2 as a host of ours."""

    def __init__(self) -> None:
        self.host = PairHost(FakePlatform(2), frames.MY_MAC, "10.0.0.2/24")
        self.host.kernel.crypto = CryptographyLibrary()
        neigh_add(self.host.dev, US, "02:00:00:00:00:01")

    def ip(self, words: str) -> None:
        ip(self.host.net, words)

    def receive(self, frame: bytes) -> None:
        self.host.receive(frame)
        self.host.platform.advance(10_000_000)

    def frames(self) -> list[bytes]:
        sent, self.host.dev.sent = self.host.dev.sent, []
        return [frame for frame in sent if frame[12:14] == b"\x08\x00"]

    def socket(self):
        sock = self.host.socket()
        sock.settimeout(0.001)
        return sock

    def counters(self) -> dict[str, int]:
        return counters(self.host.net)

    def close(self) -> None:
        """Do nothing: it is Python's."""


class Linux:
    """10.0.0.2 as a namespace of the machine's kernel."""

    def __init__(self) -> None:
        self.peer = LinuxPeer(f"hardwire-xfrm{os.getpid()}")
        self.peer.__enter__()
        self.peer.ip("neigh", "replace", US, "lladdr", "02:00:00:00:00:01", "dev", "eth0")
        self.sockets: list[socket.socket] = []

    def ip(self, words: str) -> None:
        command = f"ip -n {self.peer.name} {words}"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.stderr)

    def receive(self, frame: bytes) -> None:
        self.peer.receive(frame)

    def frames(self) -> list[bytes]:
        return [frame for frame in self.peer.frames() if frame[12:14] == b"\x08\x00"]

    def socket(self) -> socket.socket:
        sock = self.peer.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.settimeout(0.2)
        self.sockets.append(sock)
        return sock

    def counters(self) -> dict[str, int]:
        text = self.peer.inside(lambda: Path("/proc/thread-self/net/xfrm_stat").read_text())
        pairs = (line.split() for line in text.splitlines())
        return {name.removeprefix("Xfrm"): int(value) for name, value in pairs if int(value)}

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.peer.__exit__()


def linux() -> Linux:
    """Return the machine's kernel, or skip the test."""
    if not can_make_namespaces():
        pytest.skip("needs root, /dev/net/tun and ip(8)")
    peer = Linux()
    try:
        peer.ip("xfrm policy count")
    except OSError:
        peer.close()
        pytest.skip("the machine's kernel has no CONFIG_XFRM_USER")
    return peer


@pytest.fixture(params=["ours", "linux"])
def peer(request):
    made = Ours() if request.param == "ours" else linux()
    yield made
    made.close()


def attempt(peer, port: int) -> int:
    """Send a datagram; return its length, or minus the errno."""
    sock = peer.socket()
    try:
        return sock.sendto(b"x", (US, port))
    except OSError as error:
        return -(error.errno or 0)
    finally:
        sock.close()


# Commands; then ports to send to, and ports to which something is sent.
POLICIES = {
    "none": ([], [9], [9000]),
    "block out": (["dst 10.0.0.1 dir out action block"], [9], []),
    "block by port": (["dst 10.0.0.1 proto udp dport 9 dir out action block"], [9, 10], []),
    "block in": (["src 10.0.0.1 dir in action block"], [9], [9000]),
    "no state": (["src 10.0.0.2 dst 10.0.0.1 dir out tmpl proto esp reqid 1"], [9, 9], []),
    "no state, optional": (["src 10.0.0.2 dst 10.0.0.1 dir out tmpl proto esp level use"], [9], []),
    "clear in": (["src 10.0.0.1 dst 10.0.0.2 dir in tmpl proto esp"], [], [9000, 9001]),
    "clear in, optional": (["src 10.0.0.1 dst 10.0.0.2 dir in tmpl proto esp level use"], [], [9000]),
    "the lowest priority": (
        ["dst 10.0.0.1 dir out action block priority 5", "dst 10.0.0.0/24 dir out priority 4"],
        [9],
        [],
    ),
    "the oldest": (
        ["dst 10.0.0.0/8 dir out action block", "dst 10.0.0.1 dir out", "src 10.0.0.2 dst 10.0.0.1 dir out"],
        [9],
        [],
    ),
    "single hosts are not first": (
        ["src 10.0.0.2 dst 10.0.0.1 dir out priority 2", "dst 10.0.0.0/8 dir out priority 1 action block"],
        [9],
        [],
    ),
    "a mark that is not there": (["dst 10.0.0.1 dir out mark 1 action block"], [9], []),
    "tunnel without state": (["dst 10.0.0.1 dir out tmpl src 10.0.0.2 dst 10.0.0.1 proto esp mode tunnel"], [9], []),
    "ah in": (["dir in tmpl proto ah"], [], [9000]),
}


def outcome(peer, name: str) -> tuple:
    """Return what came of the sends, which packets left, what arrived, and the counters."""
    commands, sends, receives = POLICIES[name]
    for words in commands:
        peer.ip(f"xfrm policy add {words}")
    there = peer.socket()
    there.bind((PEER, 9000))
    results = [attempt(peer, port) for port in sends]
    left = [(frame[23], frame[36:38]) for frame in peer.frames()]
    arrived = 0
    for port in receives:
        peer.receive(frames.ip(frames.udp(port), src=frames.PEER, dst=frames.ME))
        with suppress(TimeoutError):
            there.recv(100)
            arrived += 1
    return results, left, arrived, peer.counters()


@pytest.mark.parametrize("name", list(POLICIES))
def test_policies_do_what_those_of_linux_do(name):
    theirs = linux()
    try:
        expected = outcome(theirs, name)
    finally:
        theirs.close()
    assert outcome(Ours(), name) == expected


def words_of(suite: Suite) -> str:
    """Return the algorithms of a state as ``ip xfrm state add`` takes them."""
    words = []
    if suite.aead_alg is not None:
        words.append(f"aead '{suite.aead_alg.name}' 0x{suite.aead_alg.key.hex()} {suite.aead_alg.icv_bits}")
    if suite.ealg is not None:
        key = f"0x{suite.ealg.key.hex()}" if suite.ealg.key else "''"
        words.append(f"enc '{suite.ealg.name}' {key}")
    if suite.aalg is not None:
        words.append(f"auth-trunc '{suite.aalg.name}' 0x{suite.aalg.key.hex()} {suite.aalg.icv_bits}")
    return " ".join(words)


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
@pytest.mark.parametrize("name", list(ALGORITHMS))
@pytest.mark.parametrize("more", ["replay-window 32", "replay-window 64 flag esn"])
def test_protected_datagrams_go_both_ways(peer, name, mode, more):
    us = PairHost(FakePlatform(), frames.PEER_MAC, "10.0.0.1/24")
    us.kernel.crypto = CryptographyLibrary()
    neigh_add(us.dev, PEER, "02:00:00:00:00:02")
    suite = ALGORITHMS[name]
    proto = "ah" if suite.aead_alg is None and suite.ealg is None else "esp"
    for src, dst, spi in ((US, PEER, 0x100), (PEER, US, 0x101)):
        state = f"xfrm state add src {src} dst {dst} proto {proto} spi {spi:#x} reqid 1 mode {mode} {more}"
        try:
            peer.ip(f"{state} {words_of(suite)}")
        except OSError as error:
            if not isinstance(peer, Linux):
                raise
            pytest.skip(f"the machine's kernel lacks {proto.upper()} or {name}: {str(error).strip()}")
        ip(us.net, f"{state} {words_of(suite)}")
        for do, own in ((peer.ip, PEER), (lambda words: ip(us.net, words), US)):
            direction = "out" if src == own else "in"
            ends = f"src {src} dst {dst}" if mode == "tunnel" else ""
            do(f"xfrm policy add src {src} dst {dst} dir {direction} tmpl {ends} proto {proto} reqid 1 mode {mode}")
    here, there = us.socket(), peer.socket()
    here.bind((US, 5000))
    here.settimeout(0.001)
    there.bind((PEER, 9000))
    for size in (1, 100, 1300, 2000):
        octets = bytes(n & 255 for n in range(size))
        us.dev.sent.clear()
        here.sendto(octets, (PEER, 9000))
        us.platform.advance(10_000_000)
        for frame in us.dev.sent:
            assert frame[23] == {"esp": 50, "ah": 51}[proto]
            peer.receive(frame)
        assert there.recv(3000) == octets
        there.sendto(octets[::-1], (US, 5000))
        for frame in peer.frames():
            us.receive(frame)
        us.platform.advance(10_000_000)
        assert here.recv(3000) == octets[::-1]
    assert counters(us.net) == peer.counters() == {}
