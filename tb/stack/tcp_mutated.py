"""A host under an attacker who knows ports and numbers: connections in every state, and faulty segments to them."""

import random
from collections import Counter
from collections.abc import Callable
from struct import Struct

from hardwire.stack import socket as api
from hardwire.stack.core.sock import lock_sock_nested, release_sock
from hardwire.stack.core.tcp_states import TCP_LISTEN, TCP_SYN_SENT, TCP_TIME_WAIT
from hardwire.stack.ipv4.inet_connection_sock_request import inet_csk_reqsk_queue_drop
from hardwire.stack.ipv4.inet_timewait_sock import InetTimewaitSock
from hardwire.stack.ipv4.request_sock import TcpRequestSock
from hardwire.stack.ipv4.tcp_sock import TcpSock
from hardwire.tb.stack.frames import ME, PEER, ip
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.programs import make_ours
from hardwire.tb.stack.tcp_faults import TEXT, emit, mutated, pseudo, text, usual_flags
from hardwire.tb.stack.tcp_memory import check_queues, check_tcp_memory
from hardwire.tb.stack.tcp_oracle import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Segment,
    contiguous,
    less,
    parse,
    refused,
    view,
)

__all__ = ["STATES", "Attacked"]

PORT = 7000
CLOSED_PORT = 7001
_DF = 0x4000
End = TcpSock | TcpRequestSock | InetTimewaitSock


class Victim:
    """One connection under attack.

    Members
    -------
    end : TcpSock or TcpRequestSock or InetTimewaitSock or None
        It; None: there is none, and none must come to be.
    sock : Socket or None
        What the program has of it.
    port, dport : int
        Of the peer, and of the host.
    seq, ack : int
        What the peer's next segment has.
    tstamp : bool
        It has time stamps.
    forged : list[tuple[int, int]]
        Sequence numbers that a forged segment has had which was acceptable.
    left : int
        How many segments it gets still.
    """

    def __init__(self, state: str, port: int) -> None:
        self.state = state
        self.end: End | None = None
        self.sock: api.Socket | None = None
        self.port, self.dport = port, PORT
        self.seq = self.ack = self.tsval = 0
        self.tstamp = False
        self.cookie: tuple[int, int] | None = None
        self.forged: list[tuple[int, int]] = []
        self.read_seq = 0
        self.left = 0


class Attacked:
    """The host, the attacker, and what became of the segments: ``counts``, by state and whether they were refused."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.host = make_ours()
        self.platform, self.net, self.mib = self.host.platform, self.host.net, self.host.mib
        self.platform.random.seed(seed)
        self.platform.advance(1000 * MS)
        self.at_rest = len(self.platform.buffers)
        self.listener = self.net.socket(api.AF_INET, api.SOCK_STREAM)
        self.listener.bind(("10.0.0.2", PORT))
        self.listener.listen(8)
        self.listener.setblocking(False)
        listening = self.listener.sk
        assert isinstance(listening, TcpSock)
        self.listening = listening
        self.next_port = 1024
        self.answers: list[bytes] = []
        self.injected = 0
        self.counts: Counter[tuple[str, bool]] = Counter()
        self.victims: dict[str, Victim] = {}

    # Segments.

    def arrive(self, octets: bytes, tos: int = 0) -> None:
        """Let a segment arrive in an IPv4 packet."""
        self.injected += 1
        self.host.receive(ip(octets, 6, frag=_DF, tos=tos))
        self.platform.advance(0)
        self.answers = self.host.dev.sent[:]
        self.host.dev.sent.clear()

    def fields(self, victim: Victim, flags: int, **more: int) -> dict[str, int]:
        """Return what the header of the peer's next segment has."""
        return {
            "sport": victim.port,
            "dport": victim.dport,
            "seq": victim.seq,
            "ack": victim.ack if flags & ACK else 0,
            "doff": -1,
            "reserved": 0,
            "flags": flags,
            "window": 60_000,
            "urgent": 0,
            **more,
        }

    def stamps(self, victim: Victim) -> bytes:
        """Return the options of a segment of the peer."""
        return b"\1\1\x08\x0a" + Struct("!II").pack(victim.tsval, 0) if victim.tstamp else b""

    def say(self, victim: Victim, flags: int, payload: bytes = b"", **more: int) -> None:
        """Let the peer itself send a segment."""
        victim.tsval = victim.tsval + 1 & 0xFFFFFFFF
        self.arrive(bytes(emit(self.fields(victim, flags, **more), self.stamps(victim), payload)))
        if "seq" not in more:
            victim.seq = victim.seq + len(payload) + (flags & SYN != 0) + (flags & FIN) & 0xFFFFFFFF

    # States.

    def make(self, state: str) -> Victim:
        """Return a connection in a state, which gets some segments."""
        self.next_port = self.next_port + 1 if self.next_port < 60_000 else 1025
        victim = Victim(state, self.next_port)
        victim.seq = self.rng.choice((self.rng.getrandbits(32), 0xFFFFFFFF - self.rng.randrange(3000), 0x7FFFFF00))
        victim.tsval = self.rng.choice((self.rng.getrandbits(32) | 1, 0xFFFFFFF0, 0x7FFFFFF0))
        victim.left = self.rng.randrange(10, 80)
        self.net.ipv4.sysctl_tcp_syncookies = 2 if state == "COOKIE" else 1
        _BUILDERS[state](self, victim)
        return victim

    def syn(self, victim: Victim) -> None:
        """Let the peer send a SYN, with some options or none."""
        kept = self.victims.get("REQUEST")
        for req in list(self.listening.listen_opts.values()):
            if kept is None or req is not kept.end:
                inet_csk_reqsk_queue_drop(self.listening, req)
        while self.listening.icsk_accept_queue:
            self.drop(self.listener.accept()[0])
        options = b"\2\4" + self.rng.choice((536, 1460, 88)).to_bytes(2, "big")
        if self.rng.random() < 0.7:
            victim.tstamp = True
            options += b"\4\2\x08\x0a" + Struct("!II").pack(victim.tsval, 0)
        elif self.rng.random() < 0.5:
            options += b"\1\1\4\2"
        if self.rng.random() < 0.5:
            options += bytes((1, 3, 3, self.rng.randrange(15)))
        self.arrive(bytes(emit(self.fields(victim, SYN), options, b"")))
        victim.seq = victim.seq + 1 & 0xFFFFFFFF

    def lookup(self, victim: Victim) -> End | None:
        """Return what the host has of a connection now."""
        return self.net.ipv4.tcp_hashinfo.ehash.get((PEER, victim.port, ME, victim.dport))

    def request(self, victim: Victim) -> None:
        self.syn(victim)
        victim.end = self.lookup(victim)
        assert isinstance(victim.end, TcpRequestSock)
        victim.ack = victim.end.snt_isn + 1 & 0xFFFFFFFF

    def established(self, victim: Victim) -> TcpSock:
        """Make a connection; some data goes each way, and some is missing."""
        self.request(victim)
        self.say(victim, ACK)
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        sock.setsockopt(api.SOL_SOCKET, api.SO_OOBINLINE, 1)
        sk = sock.sk
        assert isinstance(sk, TcpSock)
        victim.sock, victim.end = sock, sk
        victim.read_seq = victim.seq
        if self.rng.random() < 0.2:
            sock.setsockopt(api.SOL_SOCKET, api.SO_RCVBUF, 4096)
        if self.rng.random() < 0.7:
            sock.send(self.rng.randbytes(self.rng.randrange(1, 20_000)))
            if self.rng.random() < 0.5:
                self.say(victim, ACK, ack=sk.snd_una + min(1000, less(sk.snd_una, sk.snd_nxt)) & 0xFFFFFFFF)
        for _ in range(self.rng.randrange(4)):
            self.say(victim, ACK | PSH, text(victim.seq, 100))
        if self.rng.random() < 0.5:
            at = victim.seq + 50 & 0xFFFFFFFF
            self.say(victim, ACK, text(at, 80), seq=at)
        victim.seq, victim.ack = sk.rcv_nxt, sk.snd_nxt
        return sk

    def shut(self, victim: Victim) -> None:
        """Let the program end sending; sometimes it goes altogether."""
        assert victim.sock is not None
        assert isinstance(victim.end, TcpSock)
        if self.rng.random() < 0.5 or victim.end.out_of_order_queue:
            victim.sock.shutdown(api.SHUT_WR)
        else:
            self.read(victim)
            victim.sock.close()
            victim.sock = None
        self.host.dev.sent.clear()

    def acked(self, victim: Victim) -> None:
        """Let the peer acknowledge everything, until the host has no more to send."""
        sk = victim.end
        assert isinstance(sk, TcpSock)
        for _ in range(200):
            victim.ack = sk.snd_nxt
            self.say(victim, ACK)
            if sk.snd_una == sk.write_seq:
                return

    def finish(self, victim: Victim) -> None:
        """Let the peer say that no more comes, after what is missing."""
        sk = victim.end
        assert isinstance(sk, TcpSock)
        for _ in range(10):
            if not sk.out_of_order_queue:
                break
            self.read(victim)
            self.say(victim, ACK, text(victim.seq, 50))
            victim.seq = sk.rcv_nxt
        self.say(victim, ACK | FIN)

    # The attack.

    def step(self) -> None:
        """Send one segment with faults, and see what it does."""
        state = self.rng.choice(STATES)
        victim = self.victims.get(state)
        if victim is None or victim.left <= 0:
            if victim is not None:
                self.end(victim)
            victim = self.victims[state] = self.make(state)
        victim.left -= 1
        end = victim.end
        if isinstance(end, TcpSock) and end.sk_state != TCP_LISTEN:
            victim.seq, victim.ack = end.rcv_nxt or victim.seq, end.snd_nxt
        fields = self.fields(victim, self.rng.choice(usual_flags(state)))
        self.attack(victim, mutated(self.rng, victim, fields, self.stamps(victim)))
        if self.rng.random() < 0.02:
            self.platform.advance(self.rng.choice((MS, 50 * MS, 700 * MS)))
            self.host.dev.sent.clear()
            if victim.end is not None and self.lookup(victim) is not victim.end and state != "LISTEN":
                victim.left = 0

    def attack(self, victim: Victim, octets: bytes) -> None:
        """Let a segment arrive, and compare what it did with what it may do."""
        self.net.ipv4.sysctl_tcp_syncookies = 2 if victim.state == "COOKIE" else 1
        seg = parse(pseudo(len(octets)), octets)
        for other in self.victims.values():
            if other.state != "LISTEN" and seg is not None and (seg.sport, seg.dport) == (other.port, other.dport):
                victim = other  # Its port was hit by chance, perhaps.
        if victim.end is not None and victim.state != "LISTEN" and self.lookup(victim) is not victim.end:
            victim.left = 0  # Its time is over.
            self.arrive(octets)
            return
        mine = seg is not None and seg.dport == victim.dport and (seg.sport == victim.port or victim.state == "LISTEN")
        end = victim.end
        if victim.state == "LISTEN" and seg is not None:
            # It may be the second one of a connection that is being made.
            end = self.net.ipv4.tcp_hashinfo.ehash.get((PEER, seg.sport, ME, PORT), end)
        if end is None:
            if self.lookup(victim) is not None:
                victim.left = 0  # It has become a connection.
                self.arrive(octets)
                return
            self.arrive(octets)
            self.check_nothing(victim, seg if mine else None)
            return
        no = not mine or refused(end, seg, self.platform.now_ns() // MS)
        before = view(end)
        behind = contiguous(end, seg) if isinstance(end, TcpSock) and seg is not None else set()
        owned = isinstance(end, TcpSock) and self.rng.random() < 0.05
        if owned:
            lock_sock_nested(end)
        self.arrive(octets, self.rng.choice((0, 0, 3)))
        if owned:
            release_sock(end)
            self.host.dev.sent.clear()
        self.counts[victim.state, no] += 1
        if no:
            assert view(end) == before, (victim.state, seg, before, view(end))
            assert self.lookup(victim) is end or victim.state == "LISTEN", (victim.state, seg)
        elif isinstance(end, TcpSock):
            assert seg is not None
            if before[0] == TCP_SYN_SENT:
                victim.read_seq = end.copied_seq  # The stream begins with this SYN.
            else:
                assert end.rcv_nxt in behind, (victim.state, seg, before, behind, view(end))
            if seg.payload != text(seg.seq, len(seg.payload)):
                victim.forged.append((seg.seq, len(seg.payload)))
            if end.sk_state != before[0]:
                victim.left = min(victim.left, 3)
        elif view(end) != before:
            victim.left = 0
        if victim.state != "LISTEN" and self.lookup(victim) is not end:
            victim.left = 0
        if isinstance(end, TcpSock) and not end.destroyed:
            check_queues(end)
        self.read(victim)

    def check_nothing(self, victim: Victim, seg: Segment | None) -> None:
        """Check that a segment to a port without a connection made one only if it has the cookie."""
        there = self.lookup(victim)
        took = False
        if victim.cookie is not None and seg is not None:
            # A cookie says which of four sizes segments have: its neighbours are cookies, too.
            off = less(victim.cookie[1], seg.ack) - less(victim.cookie[0], seg.seq)
            took = -4 < off < 4 and seg.flags & (SYN | ACK | RST) == ACK
        self.counts[victim.state, not took] += 1
        if isinstance(there, TcpSock):
            assert took, (victim.state, seg)
            victim.left = 0
        elif there is not None:
            # Another SYN of the same peer.
            assert seg is not None
            assert (seg.flags & (SYN | ACK | RST | FIN), victim.dport) == (SYN, PORT), seg
            victim.left = 0

    def read(self, victim: Victim) -> None:
        """Let the program read, and compare it with what the peer sends: forged is only what was acceptable."""
        if victim.sock is None or not isinstance(victim.end, TcpSock) or not victim.end.sk_receive_queue:
            return
        try:
            octets = victim.sock.recv(1 << 20)
        except OSError:
            return
        at = victim.read_seq
        victim.read_seq = at + len(octets) & 0xFFFFFFFF
        if octets == text(at, len(octets)):
            return
        for n, octet in enumerate(octets):
            seq = at + n & 0xFFFFFFFF
            if octet != TEXT[seq & 0xFFFF]:
                hit = any(0 <= less(start, seq) < length for start, length in victim.forged)
                assert hit, (victim.state, seq, octet)

    def drop(self, sock) -> None:
        """Close a socket at once."""
        sock.setsockopt(api.SOL_SOCKET, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        self.host.dev.sent.clear()

    def end(self, victim: Victim) -> None:
        """Give a connection up, so that nothing is left of it."""
        self.read(victim)
        if victim.sock is not None:
            self.drop(victim.sock)
        for _ in range(2):
            there = self.lookup(victim)
            if isinstance(there, TcpRequestSock):
                inet_csk_reqsk_queue_drop(there.rsk_listener, there)
            elif there is not None:
                in_wait = isinstance(there, InetTimewaitSock)
                victim.seq = there.tw_rcv_nxt if isinstance(there, InetTimewaitSock) else there.rcv_nxt
                victim.tsval = there.tw_ts_recent if isinstance(there, InetTimewaitSock) else there.rx_opt.ts_recent
                victim.ack = 0 if in_wait else there.snd_nxt
                self.say(victim, RST | ACK)
        assert self.lookup(victim) is None, victim.state

    def check(self) -> None:
        """Check that every segment was counted, and that memory is what the sockets have."""
        assert self.mib["Tcp:InSegs"] == self.injected
        check_tcp_memory(self.host.kernel)
        assert len(self.net.ipv4.tcp_hashinfo.ehash) < 40

    def close(self) -> None:
        """End everything, and check that nothing is left."""
        for victim in self.victims.values():
            self.end(victim)
        self.listener.close()
        self.platform.advance(300_000 * MS)
        self.check()
        assert not self.net.ipv4.tcp_hashinfo.ehash
        assert len(self.platform.buffers) == self.at_rest
        memory = self.host.kernel.proto_memory["TCP"]
        assert memory.memory_allocated == memory.sockets_allocated == 0


def _at(state: str) -> "Callable[[Attacked, Victim], None]":
    """Return how a connection comes into a state."""

    def build(world: Attacked, victim: Victim) -> None:
        world.established(victim)
        if state in ("CLOSE_WAIT", "LAST_ACK"):
            world.finish(victim)
        if state not in ("ESTABLISHED", "CLOSE_WAIT"):
            if state in ("FIN_WAIT2", "TIME_WAIT", "CLOSING"):
                world.acked(victim)
            world.shut(victim)
        if state in ("FIN_WAIT2", "TIME_WAIT"):
            world.acked(victim)
        if state in ("CLOSING", "TIME_WAIT"):
            sk = victim.end
            assert isinstance(sk, TcpSock)
            victim.end = world.lookup(victim)
            if state == "CLOSING":
                victim.ack = sk.snd_una
            if isinstance(victim.end, TcpSock):
                world.finish(victim)
            else:
                world.say(victim, ACK | FIN)
        victim.end = world.lookup(victim)
        if victim.end is None:
            victim.left = 0  # The program went with something unread: the connection was reset.
        elif isinstance(victim.end, InetTimewaitSock):
            assert state in ("FIN_WAIT2", "TIME_WAIT")
            assert victim.end.tw_substate == TCP_TIME_WAIT or state == "FIN_WAIT2"

    return build


def _listen(world: Attacked, victim: Victim) -> None:
    victim.end = world.listening


def _cookie(world: Attacked, victim: Victim) -> None:
    world.syn(victim)
    port = victim.port.to_bytes(2, "big")
    (synack,) = [frame for frame in world.answers if frame[36:38] == port and frame[47] & SYN]
    seq = int.from_bytes(synack[38:42], "big")
    victim.ack = seq + 1 & 0xFFFFFFFF
    victim.cookie = victim.seq, victim.ack


def _syn_sent(world: Attacked, victim: Victim) -> None:
    sock = world.net.socket(api.AF_INET, api.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(api.SOL_SOCKET, api.SO_OOBINLINE, 1)
    sock.bind(("10.0.0.2", 0))
    try:
        sock.connect(("10.0.0.1", victim.port))
    except BlockingIOError:
        pass
    sk = sock.sk
    assert isinstance(sk, TcpSock)
    victim.sock, victim.end = sock, sk
    victim.dport, victim.ack = sk.inet_num, sk.snd_nxt
    victim.read_seq = victim.seq + 1 & 0xFFFFFFFF
    world.host.dev.sent.clear()


def _syn_recv(world: Attacked, victim: Victim) -> None:
    _syn_sent(world, victim)
    victim.tstamp = False
    world.say(victim, SYN)


def _closed(world: Attacked, victim: Victim) -> None:
    victim.dport = CLOSED_PORT


_BUILDERS: "dict[str, Callable[[Attacked, Victim], None]]" = {
    "CLOSED": _closed,
    "LISTEN": _listen,
    "COOKIE": _cookie,
    "REQUEST": lambda world, victim: world.request(victim),
    "SYN_SENT": _syn_sent,
    "SYN_RECV": _syn_recv,
    **{
        state: _at(state)
        for state in ("ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT")
    },
}
STATES = tuple(_BUILDERS)
