"""``ip xfrm``: what our command says, and what the real one does."""

import os
import re
import subprocess

import pytest

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.core.net import Kernel
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.linux_peer import can_make_namespaces

NETNS = f"hardwire-ipx{os.getpid()}"
TIMES = re.compile(r"(add|use) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|-)")

POLICIES = """
policy add src 10.0.0.1 dst 10.0.0.2 dir out tmpl proto esp
policy add src 10.0.0.1 dst 10.0.0.2 dir out priority 7 tmpl proto esp
policy update src 10.0.0.1 dst 10.0.0.2 dir out priority 7 tmpl proto esp
policy get src 10.0.0.1 dst 10.0.0.2 dir out
policy get index 1 dir out
policy get index 9 dir out
policy delete src 10.0.0.1 dst 10.0.0.3 dir out
policy count
policy getdefault
policy setdefault in block fwd accept
policy getdefault
policy setdefault in accept out block
policy getdefault
policy setdefault out accept
policy add src 10.0.0.0/8 dst 0.0.0.0/0 proto icmp type 8 code 0 dir fwd action block limit time-hard 100
policy add src 10.0.0.0/8 proto udp sport 5 dport 6 dir out limit byte-soft 5000 limit packet-hard 9 if_id 16 flag icmp
policy add dir in tmpl src 1.2.3.4 dst 5.6.7.8 proto ah spi 0x100 reqid 5 mode tunnel level use tmpl proto esp
policy add src 10.0.0.9 dev lo proto 99 dir in index 80 priority 3 mark 4 mask 0xff tmpl proto esp reqid 9
policy add src 10.0.0.9 dev lo proto 99 dir in index 81
policy add dir out dir in
policy add dir sideways
policy add dir out tmpl mode foo
policy add dir out tmpl reqid foo
policy add dir out priority foo
policy add dir out limit foo 3
policy add dir out ptype foo
policy add src 10.0.0.0/24
policy add foo bar dir out
policy get dir out
policy delete dir out
policy delete src 10.0.0.0/8 proto 99
policy setdefault foo
"""
LISTS = """
policy
policy list dir in
policy list action block
policy list priority 3
policy list index 80
policy list proto 99
policy list src 10.0.0.0/8
policy list flag icmp
policy list ptype sub
policy count
"""
LEFT = """
policy delete index 80 dir in mark 4 mask 0xff
policy deleteall dir fwd
policy list
policy flush ptype sub
policy flush
policy
"""
STATES = """
state count
state allocspi src 10.0.0.1 dst 10.0.0.2 proto esp min 0x100 max 0x100
state allocspi src 10.0.0.1 dst 10.0.0.2 proto ah mode tunnel reqid 3 mark 4 mask 0xff min 0x101 max 0x101
state allocspi src 10.0.0.1 dst 10.0.0.2 proto esp mode foo min 0x100 max 0x100
state allocspi src 10.0.0.1 dst 10.0.0.2 proto esp min 0x100
state allocspi src 10.0.0.1 dst 10.0.0.2 proto esp min 0x100 max 0x99
state list
state list proto ah
state list mode tunnel
state list reqid 3
state list spi 0x100
state count
state get src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100
state get dst 10.0.0.2 proto esp spi 0x109
state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100
state delete dst 10.0.0.2 proto esp spi 0x100
state deleteall reqid 3
state flush proto esp
state list
state flush
state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100
state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100 enc
state add src 10.0.0.1 dst 10.0.0.2 proto foo spi 0x100
state add dst 10.0.0.2 proto esp spi 0x100 enc aes 0x1234 auth sha1
state add dst 10.0.0.2 proto esp spi 0x1 enc 'cbc(aes)' 0xzz
state add dst 10.0.0.2 proto esp spi 0x1 auth 'hmac(sha1)' 0x11
state add dst 10.0.0.2 proto ah spi 0x1
state add dst 10.0.0.2 proto ah spi 0x1 enc 'cbc(aes)' 0x11
state add dst 10.0.0.2 proto ah spi 0x1 auth-trunc 'hmac(sha1)' 0x11
state add dst 10.0.0.2 proto esp spi 0x1 enc a 0x1 encap foo
state add dst 10.0.0.2 proto esp spi 0x1 enc a 0x1
state add dst 10.0.0.2 proto esp spi 0x1 enc a 0x1 flag foo
state add proto
state add foo
state blah
"""


def lines(text: str) -> list[str]:
    """Return the commands of a text."""
    return [line for line in text.splitlines() if line]


class Linux:
    """A namespace of the machine's kernel, with the machine's ``ip``."""

    def run(self, words: str) -> tuple[str, int]:
        """Return what a command says, and its status."""
        command = f"ip -n {NETNS} {words}"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        return TIMES.sub(r"\1 T", done.stdout + done.stderr), done.returncode


class Ours:
    """A namespace of ours, with our ``ip``."""

    def __init__(self) -> None:
        self.net = Kernel(FakePlatform()).init_net
        self.net.kernel.crypto = CryptographyLibrary()

    def run(self, words: str) -> tuple[str, int]:
        """Return what a command says, and its status."""
        try:
            return TIMES.sub(r"\1 T", ip(self.net, words)), 0
        except CommandError as error:
            return f"{error}\n", error.status


@pytest.fixture
def linux():
    if not can_make_namespaces():
        pytest.skip("needs root, /dev/net/tun and ip(8)")
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    try:
        if Linux().run("xfrm policy count")[1]:
            pytest.skip("the machine's kernel has no CONFIG_XFRM_USER")
        yield Linux()
    finally:
        subprocess.run(["ip", "netns", "delete", NETNS], check=True)


def commands() -> list[str]:
    """Return all commands, in the order in which they are to be run."""
    shown = [f"{option}xfrm {line}" for option in ("", "-s ", "-j ") for line in lines(LISTS)]
    return [
        *(f"xfrm {line}" for line in lines(POLICIES)),
        *shown,
        *(f"xfrm {line}" for line in lines(LEFT)),
        *(f"xfrm {line}" for line in lines(STATES)),
    ]


def test_ip_xfrm_says_what_the_real_one_says(linux):
    ours = Ours()
    for words in commands():
        assert ours.run(words) == linux.run(words), words
