"""Rules on our host and on a real Linux host: the same script, the same frames, then all that can be seen of both."""

import re
import shutil
import subprocess
from pathlib import Path
from struct import pack
from typing import Any, Self

from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.netfilter.nf_conntrack_netns import NetnsCt
from hardwire.stack.netfilter.nf_conntrack_standalone import ct_seq_show
from hardwire.stack.nft import nft
from hardwire.stack.wire.checksum import csum_partial, csum_tcpudp_nofold
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, PEER, arp
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.pair import PairHost

__all__ = ["FAR", "ME", "NARROW", "OTHER", "TABLE", "Both", "can_filter", "tcp"]

FAR = 0x0A080001  # 10.8.0.1, behind 10.0.0.77.
NARROW = 0x0A090001  # 10.9.0.1, likewise, by a route with an MTU of 600.
ME = 0x0A000002
OTHER = 0x0A080002
TABLE = """
table ip t {
    chain x {
    }
    chain f {
        type filter hook forward priority 0
    }
    chain i {
        type filter hook input priority 0
    }
    chain p {
        type nat hook postrouting priority srcnat
    }
    chain d {
        type nat hook prerouting priority dstnat
    }
    chain r {
        type filter hook prerouting priority raw
    }
}
"""
NEIGHBOURS = ("10.0.0.1", "10.0.0.77")
_ASKER = bytes.fromhex("020000000063")
_SENTINEL = arp(sip=0x0A000063, sha=_ASKER)
_TIMEOUT = re.compile(r"^(ipv4\s+2 \w+\s+\d+) (\d+)")


def can_filter() -> bool:
    """Return whether this machine's kernel has nf_tables, and nft(8) is there."""
    if not can_make_namespaces() or shutil.which("nft") is None:
        return False
    return subprocess.run(("unshare", "-n", "nft", "add table ip t"), capture_output=True, check=False).returncode == 0


def _normal(frame: bytes) -> bytes:
    """Return a frame without what is up to the host: the identification."""
    if frame[12:14] != b"\x08\x00":
        return frame.ljust(60, b"\0")
    octets = bytearray(frame)
    octets[18:20] = octets[24:26] = bytes(2)
    return bytes(octets)


def _timeless(line: str) -> tuple[str, int]:
    """Return a connection without what differs by chance, and its timeout."""
    match = _TIMEOUT.match(line)
    assert match is not None, line
    rest = line[match.end() :].replace(" [HW_OFFLOAD]", "")
    return match.group(1) + re.sub(r" use=\d+", "", rest), int(match.group(2))


def _same(what: str, theirs: list[Any], mine: list[Any]) -> None:
    shown = [[line.hex() if isinstance(line, bytes) else line for line in lines] for lines in (theirs, mine)]
    if theirs != mine:
        raise AssertionError("\n".join([f"{what}, theirs:", *shown[0], "ours:", *shown[1]]))


class Both:
    """Routers at 10.0.0.2 with the same routes; use it in a ``with``."""

    def __init__(self, name: str) -> None:
        self.linux = LinuxPeer(name)
        self._seen = 0
        self.said = ""  # What their nft complained about last.

    def __enter__(self) -> Self:
        linux = self.linux.__enter__()
        self.ours = ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=NETIF_F_SG | NETIF_F_HW_CSUM)
        for address in NEIGHBOURS:
            mac = f"02:00:00:00:00:{int(address.rsplit('.', 1)[1]):02x}"
            linux.ip("neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", "eth0")
            neigh_add(ours.dev, address, mac)
        linux.ip("route", "add", "10.8.0.0/16", "via", "10.0.0.77")
        linux.ip("route", "add", "10.9.0.0/16", "via", "10.0.0.77", "mtu", "600")
        route_add(ours.net, "10.8.0.0/16", via="10.0.0.77")
        route_add(ours.net, "10.9.0.0/16", via="10.0.0.77", mtu=600)
        linux.sysctl("net.ipv4.icmp_ratemask", 0)
        linux.sysctl("net.ipv4.ip_forward", 1)
        for where in ("all", "eth0"):
            linux.sysctl(f"net.ipv4.conf.{where}.send_redirects", 0)
        ours.net.ipv4.sysctl_icmp_ratemask = 0
        inet_forward_change(ours.net, True)
        in_dev = ours.dev.ip_ptr
        assert in_dev is not None
        ours.net.ipv4.devconf_all.send_redirects = in_dev.cnf.send_redirects = 0
        linux.sysctl("net.netfilter.nf_conntrack_acct", 1)
        ours.net.nf.conntrack = NetnsCt(ours.net)
        ours.net.nf.conntrack.sysctl_acct = 1
        linux.frames()
        self._seen = len(ours.dev.sent)
        return self

    def __exit__(self, *error: object) -> None:
        self.linux.__exit__(*error)

    def nft(self, script: str) -> tuple[str, str]:
        """Do what a script says on both, and return what they list; the same error is raised if both refuse it."""
        words = ("ip", "netns", "exec", self.linux.name, "nft", "-f", "-")
        done = subprocess.run(words, input=script, capture_output=True, text=True, check=False)
        self.said = done.stderr
        try:
            mine = nft(self.ours.net, script)
        except OSError as error:
            if not done.returncode:
                raise AssertionError(f"only ours refuses it: {error}") from error
            raise
        assert not done.returncode, f"only theirs refuses it: {done.stderr}"
        return done.stdout, mine

    def conntrack(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the connections of both with their timeouts."""
        text = self.linux.inside(lambda: Path("/proc/thread-self/net/nf_conntrack").read_text())
        theirs, mine = text.splitlines(), ct_seq_show(self.ours.net)
        return dict(map(_timeless, theirs)), dict(map(_timeless, mine))

    def send(self, *frames: bytes) -> tuple[list[bytes], list[bytes]]:
        """Let frames arrive at both, and return what they have sent since the last time."""
        for frame in (*frames, _SENTINEL):
            self.linux.receive(frame)
            self.ours.receive(frame)
            self.ours.platform.advance(1_000)
        theirs = self.linux.until(lambda frame: frame[12:14] == b"\x08\x06" and frame[32:38] == _ASKER)
        self.ours.platform.advance(1_000_000)
        sent = self.ours.dev.sent[self._seen :]
        self._seen += len(sent)
        mine = [frame for frame in sent if frame[12:14] != b"\x08\x06" or frame[32:38] != _ASKER]
        return [_normal(frame) for frame in theirs], [_normal(frame) for frame in mine]

    def ports(self) -> set[int]:
        """Return the ports and identifiers of our connections."""
        return {number for ct in self.ours.net.nf.conntrack.conntracks for tuple in ct.tuples for number in tuple[1::2]}

    def check(self, *frames: bytes) -> list[bytes]:
        """Check that both send the same, count the same and know the same connections; return what they sent."""
        theirs, mine = self.send(*frames)
        entries, my_entries = self.conntrack()
        _same("sent", theirs, mine)
        listed, mine_listed = self.nft("list ruleset")
        _same("listed", listed.splitlines(), mine_listed.splitlines())
        _same("connections", sorted(entries), sorted(my_entries))
        late = {key: (entries[key], value) for key, value in my_entries.items() if abs(entries[key] - value) > 1}
        assert not late, f"timeouts, theirs and ours: {late}"
        return mine


def tcp(
    dport: int, flags: int, src: int = PEER, dst: int = FAR, sport: int = 1234, seq: int = 1000, ack: int = 2000
) -> bytes:
    """Return a segment."""
    octets = pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 512, 0, 0)
    check = ~csum_partial(octets, csum_tcpudp_nofold(src, dst, 20, 6)) & 0xFFFF
    return octets[:16] + check.to_bytes(2, "big") + octets[18:]
