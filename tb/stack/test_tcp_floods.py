"""Sixty seconds under a flood: connections go on, memory stays within its limit, and counters tell (RFC 4987, 5961)."""

import gc
from hashlib import sha256
from struct import Struct

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.skbuff import PAGE_SIZE
from hardwire.stack.core.tcp_states import TCP_ESTABLISHED
from hardwire.stack.iproute import route_add
from hardwire.stack.ipv4.request_sock import TcpRequestSock
from hardwire.stack.ipv4.tcp_sock import TcpSock
from hardwire.stack.sysctl import sysctl
from hardwire.tb.bench import seed
from hardwire.tb.stack.frames import ME, ip
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.tcp_memory import check_tcp_memory, dropped, set_tcp_mem
from hardwire.tb.stack.tcp_oracle import ACK, HEADER, PSH, SYN, checksum
from hardwire.tb.stack.tcp_pair import PORT, TcpPair, seconds

SEED = seed()
DF = 0x4000
FLOOD_NET = 0xC6120000  # 198.18.0.0/15, where the attackers are.
SECONDS = 60
TICKS = 10  # In a second.
CHUNK = 2000

full_rate = pytest.mark.parametrize(
    "rate", [pytest.param(100, id="100/s"), pytest.param(3000, id="3000/s", marks=pytest.mark.soak)]
)


class Flooded(TcpPair):
    """Connections from a to b over which data goes all the time, and an attacker beside a, whose answers are lost.

    Members
    -------
    answered : dict[tuple[int, int], int]
        How many SYN-ACKs each address and port of the attacker got.
    most_pages : int
        The most memory that all connections of b had.
    """

    def __init__(self, backlog: int = 64) -> None:
        print(f"HARDWIRE_SEED={SEED}")
        super().__init__(SEED)
        self.listening = self.listener(backlog=backlog)
        self.ends = [self.join() for _ in range(3)]
        self.hashes = [(sha256(), sha256()) for _ in range(2 * len(self.ends))]
        self.waiting = [0] * len(self.hashes)
        self.late = [0] * len(self.hashes)
        self.moved = 0
        self.answered: dict[tuple[int, int], int] = {}
        self.most_pages = 0
        route_add(self.b.net, "198.18.0.0/15", via="10.0.0.1")
        self.run(seconds(1))
        self.ba.choose = self.back

    def back(self, frame: bytes) -> list[int]:
        """Count what the attacker is answered."""
        if frame[12:14] == b"\x08\x00" and frame[30:32] == FLOOD_NET.to_bytes(4, "big")[:2]:
            if frame[47] & (SYN | ACK) == SYN | ACK:
                end = int.from_bytes(frame[30:34], "big"), int.from_bytes(frame[36:38], "big")
                self.answered[end] = self.answered.get(end, 0) + 1
            return []
        return [5 * MS]

    def join(self) -> tuple[api.Socket, api.Socket]:
        """Return both ends of a new connection."""
        client = self.a.net.socket(api.AF_INET, api.SOCK_STREAM)
        client.settimeout(10)
        client.connect(("10.0.0.2", PORT))
        self.listening.settimeout(10)
        server, _ = self.listening.accept()
        client.setblocking(False)
        server.setblocking(False)
        return client, server

    def attack(self, saddr: int, sport: int, flags: int, payload: bytes = b"", **numbers: int) -> None:
        """Let a segment of an attacker arrive at b."""
        seq, ack, dport = numbers.get("seq", 0), numbers.get("ack", 0), numbers.get("dport", PORT)
        octets = bytearray(HEADER.pack(sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 60_000, 0, 0))
        octets += payload
        octets[16:18] = checksum(Struct("!IIHH").pack(saddr, ME, 6, len(octets)), bytes(octets)).to_bytes(2, "big")
        self.b.receive(ip(bytes(octets), 6, saddr, frag=DF))

    def attack_with_syns(self, sent: int, count: int) -> int:
        """Let so many SYNs arrive at b, of as many hosts and ports; return how many there were with those before."""
        for number in range(sent + 1, sent + count + 1):
            self.attack(FLOOD_NET + 1 + number // 50_000, 1024 + number % 50_000, SYN, seq=self.random.getrandbits(32))
        return sent + count

    def talk(self) -> None:
        """Let the connections' programs read what there is, and write some more once that has come."""
        for n in range(len(self.hashes)):
            client, server = self.ends[n // 2]
            tx, rx = (client, server) if n & 1 else (server, client)
            try:
                octets = rx.recv(1 << 20)
                self.hashes[n][1].update(octets)
                self.waiting[n] -= len(octets)
                self.moved += len(octets)
            except BlockingIOError:
                pass
            if self.waiting[n]:
                self.late[n] += 1
                assert self.late[n] < 2 * TICKS, f"nothing came for two seconds, way {n}"
                continue
            self.late[n] = 0
            octets = self.random.randbytes(CHUNK)
            taken = tx.send(octets)
            self.hashes[n][0].update(octets[:taken])
            self.waiting[n] += taken

    def tick(self) -> None:
        """Let the programs talk, and a part of a second pass."""
        self.talk()
        self.run(seconds(1) // TICKS)
        self.most_pages = max(self.most_pages, self.b.kernel.proto_memory["TCP"].memory_allocated)
        for host in (self.a, self.b):
            host.dev.sent.clear()

    def finished(self) -> None:
        """Check that all that was sent has come, that it was not little, and that nothing is left of the flood."""
        for _ in range(TICKS):
            self.talk()
            self.run(seconds(1) // TICKS)
        while any(self.waiting):
            for n in range(len(self.hashes)):
                client, server = self.ends[n // 2]
                rx = server if n & 1 else client
                try:
                    octets = rx.recv(1 << 20)
                except BlockingIOError:
                    continue
                self.hashes[n][1].update(octets)
                self.waiting[n] -= len(octets)
            self.run(10 * MS)
        for sent, got in self.hashes:
            assert sent.hexdigest() == got.hexdigest()
        # Without a flood each way moves a chunk every other tick.
        assert self.moved > SECONDS * TICKS * len(self.hashes) * CHUNK // 4
        check_tcp_memory(self.b.kernel)
        self.finish(self.listening, *(sock for end in self.ends for sock in end))
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, TcpRequestSock) and one.net is self.b.net]


def objects(flooded: Flooded, kind: type) -> int:
    """Return how many objects of a kind b has."""
    gc.collect()
    return sum(isinstance(one, kind) and one.net is flooded.b.net for one in gc.get_objects())


@full_rate
def test_a_flood_of_syns_that_are_answered_with_cookies(rate):
    flooded = Flooded()
    before = dict(flooded.b.mib)
    listening = flooded.listening.sk
    sent = joined = 0
    for tick in range(SECONDS * TICKS):
        sent = flooded.attack_with_syns(sent, rate // TICKS)
        flooded.tick()
        assert listening.qlen <= 65
        assert len(flooded.b.net.ipv4.tcp_hashinfo.ehash) <= 65 + len(flooded.ends) + joined
        if tick % (15 * TICKS) == 10 * TICKS:
            for sock in flooded.join():  # Others get through.
                sock.setsockopt(api.SOL_SOCKET, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
            joined += 1
    changed = flooded.b.changed(before)
    assert objects(flooded, TcpRequestSock) <= 65
    assert objects(flooded, TcpSock) <= 20
    cookies = changed["TcpExt:SyncookiesSent"]
    assert changed["TcpExt:TCPReqQFullDoCookies"] == cookies
    assert changed["TcpExt:SyncookiesRecv"] == joined == 4
    assert len(flooded.answered) == sent
    # Each was answered once; what got no cookie was noted, and is answered again while its request lives.
    noted = sum(flooded.answered.values()) - cookies + joined - changed.get("TcpExt:TCPSynRetrans", 0)
    assert cookies + noted == sent + joined
    assert "TcpExt:ListenDrops" not in changed
    assert "TcpExt:ListenOverflows" not in changed
    assert dropped(flooded.b.kernel, "TCP_LISTEN_OVERFLOW") == 0
    assert flooded.most_pages < 100
    flooded.finished()


@full_rate
def test_a_flood_of_syns_that_are_dropped(rate):
    flooded = Flooded()
    sysctl(flooded.b.net, "net.ipv4.tcp_syncookies", 0)
    before = dict(flooded.b.mib)
    sent = 0
    for _ in range(SECONDS * TICKS):
        sent = flooded.attack_with_syns(sent, rate // TICKS)
        flooded.tick()
        assert flooded.listening.sk.qlen <= 65
    changed = flooded.b.changed(before)
    assert objects(flooded, TcpRequestSock) <= 65
    full = changed["TcpExt:TCPReqQFullDrop"]
    assert full == sent - len(flooded.answered) > 0
    assert full == changed["TcpExt:ListenDrops"] == dropped(flooded.b.kernel, "TCP_LISTEN_OVERFLOW")
    assert full == flooded.listening.sk.sk_drops
    flooded.finished()


@full_rate
def test_a_flood_of_acks(rate):
    """To the listener, to nobody, and to connections: beyond their window, and of what they have never sent."""
    flooded = Flooded()
    sysctl(flooded.b.net, "net.ipv4.tcp_syncookies", 2)
    before = dict(flooded.b.mib)
    drops = flooded.b.kernel.drop_counts()
    rng = flooded.random
    counts = [0] * 4
    for tick in range(SECONDS * TICKS):
        for n in range(rate // TICKS):
            saddr, sport = FLOOD_NET + rng.getrandbits(16), rng.randrange(1024, 65536)
            seq, ack = rng.getrandbits(32), rng.getrandbits(32)
            kind = n & 3
            counts[kind] += 1
            if kind == 0:
                flooded.attack(saddr, sport, ACK, seq=seq, ack=ack)
            elif kind == 1:
                flooded.attack(saddr, sport, ACK, seq=seq, ack=ack, dport=9)
            else:
                sk = flooded.ends[tick % 3][1].sk
                peer = sk.inet_daddr, sk.inet_dport
                if kind == 2:
                    flooded.attack(*peer, ACK, seq=sk.rcv_nxt + (1 << 20) + seq % (1 << 30), ack=sk.snd_nxt)
                else:
                    flooded.attack(*peer, ACK | PSH, b"forged", seq=sk.rcv_nxt, ack=sk.snd_nxt + 1 + ack % (1 << 30))
        flooded.tick()
    changed = flooded.b.changed(before)
    now = flooded.b.kernel.drop_counts()
    gone = {reason: number - drops.get(reason, 0) for reason, number in now.items() if number != drops.get(reason, 0)}
    # What the connections themselves have sent twice, to probe, is beside it.
    assert gone.pop("TCP_OLD_DATA", 0) == changed.get("TcpExt:DelayedACKLost", 0)
    assert gone == {
        "TCP_FLAGS": counts[0],
        "NO_SOCKET": counts[1],
        "TCP_INVALID_SEQUENCE": counts[2],
        "TCP_ACK_UNSENT_DATA": counts[3],
    }
    assert changed["TcpExt:SyncookiesFailed"] == counts[0]
    assert changed["Tcp:OutRsts"] == counts[0] + counts[1]
    assert changed["TcpExt:BeyondWindow"] == counts[2]
    assert changed["TcpExt:TCPACKSkippedSeq"] > counts[2] // 2  # At most two in a second are answered.
    assert flooded.answered == {}
    assert objects(flooded, TcpRequestSock) == 0
    assert objects(flooded, TcpSock) <= 10
    assert flooded.most_pages < 100
    assert all(sock.sk.sk_state == TCP_ESTABLISHED for end in flooded.ends for sock in end)
    flooded.finished()


@pytest.mark.parametrize("readers", [pytest.param(60, id="60"), pytest.param(600, id="600", marks=pytest.mark.soak)])
def test_a_flood_of_slow_readers(readers):
    """Each asks for much and reads nothing; a program writes to all of them what it can, and closes them at last."""
    flooded = Flooded(backlog=1000)
    limit = 8 * readers
    set_tcp_mem(flooded.b.net, limit // 2, limit * 2 // 3, limit)
    sysctl(flooded.b.net, "net.ipv4.tcp_max_orphans", 16)
    before = dict(flooded.b.mib)
    slow: list[tuple[api.Socket, api.Socket]] = []
    block = bytes(8192)
    taken = 0
    for tick in range(SECONDS * TICKS):
        if len(slow) < readers and not tick % (10 * TICKS // min(readers, 10 * TICKS)):
            for _ in range(max(readers // (10 * TICKS), 1)):
                slow.append(flooded.join())
        if tick < 50 * TICKS and not tick % (TICKS // 2):
            for _, server in slow:
                try:
                    while True:
                        taken += server.send(block)
                except BlockingIOError:
                    pass
        flooded.tick()
        if tick == 50 * TICKS:
            check_tcp_memory(flooded.b.kernel)
            held = [server.sk.sk_wmem_queued for _, server in slow]
            for _, server in slow:
                server.close()
    assert len(slow) == readers
    changed = flooded.b.changed(before)
    memory = flooded.b.kernel.proto_memory["TCP"]
    print(f"{taken} octets were taken; at most {flooded.most_pages} of {limit} pages; {changed}")
    assert sum(map(bool, held)) > readers // 2
    # Linux lets each socket fill one packet beyond the limit, here up to half the peer's window of 64 KiB.
    # Its 6.1 with a limit of 480 held 1,302 pages for 60 such connections, and 5,479 for 300; both ends were its own.
    assert limit * 2 // 3 < flooded.most_pages <= limit + 8 * readers
    assert changed["TcpExt:TCPMemoryPressures"] >= 1
    assert memory.memory_pressure or changed["TcpExt:TCPMemoryPressuresChrono"] > 10_000
    # Of those that could not send everything as many are left as may be without a program.
    assert changed["TcpExt:TCPAbortOnMemory"] >= sum(map(bool, held)) - 16
    assert flooded.b.net.ipv4.tcp_hashinfo.orphan_count <= 16
    for client, _ in slow:
        client.setsockopt(api.SOL_SOCKET, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    flooded.finished()
    assert memory.memory_allocated == 0


@full_rate
def test_a_flood_of_tiny_segments_to_programs_that_do_not_read(rate):
    """Each takes much more memory than its octet; what there is none for is counted, and may be sent once more."""
    flooded = Flooded(backlog=100)
    limit = 300
    set_tcp_mem(flooded.b.net, limit // 2, limit * 2 // 3, limit)
    b = flooded.b
    ends: list[TcpSock] = []
    for n in range(40):
        b.dev.sent.clear()
        flooded.attack(FLOOD_NET + 1, 2000 + n, SYN, seq=n)
        flooded.run(MS)
        (synack,) = [frame for frame in b.dev.sent if frame[47] & SYN]
        flooded.attack(FLOOD_NET + 1, 2000 + n, ACK, seq=n + 1, ack=int.from_bytes(synack[38:42], "big") + 1)
        flooded.run(MS)
        sk = flooded.listening.accept()[0].sk
        assert isinstance(sk, TcpSock)
        ends.append(sk)
    before, drops = dict(b.mib), b.kernel.drop_counts()
    started = [sk.rcv_nxt for sk in ends]
    sent = early = 0
    for tick in range(SECONDS * TICKS):
        for n in range(rate // TICKS):
            sk = ends[(tick * 7 + n) % len(ends)]
            gap = 2 * flooded.random.randrange(1, 500) if n % 3 == 2 else 0
            sent += not gap
            early += gap > 0
            flooded.attack(FLOOD_NET + 1, sk.inet_dport, ACK | PSH, b"x", seq=sk.rcv_nxt + gap, ack=sk.snd_nxt)
            flooded.run(0)
        flooded.tick()
    changed = b.changed(before)
    gone = {reason: number - drops.get(reason, 0) for reason, number in b.kernel.drop_counts().items()}
    print(f"{sent} in order and {early} early; at most {flooded.most_pages} of {limit} pages; {changed}; {gone}")
    # One packet for each that has nothing to read comes in any case.
    assert flooded.most_pages <= limit + len(ends) + 3
    assert gone["PROTO_MEM"] == changed.get("TcpExt:TCPRcvQDrop", 0) + changed.get("TcpExt:TCPOFODrop", 0) > 0
    assert gone.get("TCP_ZEROWINDOW", 0) == changed.get("TcpExt:TCPZeroWindowDrop", 0)
    assert changed["TcpExt:PruneCalled"] >= changed.get("TcpExt:RcvPruned", 0)
    assert changed["TcpExt:TCPMemoryPressures"] >= 1
    # Octets that were taken in order, or came early and were joined, or wait, or were thrown away: no other.
    joined = sum(sk.rcv_nxt - start & 0xFFFFFFFF for sk, start in zip(ends, started, strict=True))
    waiting = sum(len(sk.out_of_order_queue) for sk in ends)
    thrown = sum(gone.get(reason, 0) for reason in (*_DROPS, "TCP_OFO_QUEUE_PRUNE", "TCP_OFOMERGE", "TCP_OFO_DROP"))
    collapsed = sum(skb.cb.end_seq - skb.cb.seq - 1 & 0xFFFFFFFF for sk in ends for skb in sk.out_of_order_queue)
    assert sent + early == joined + waiting + collapsed + thrown
    check_tcp_memory(b.kernel)
    held = sum(sk.sk_rmem_alloc for sk in ends)
    assert held <= flooded.most_pages * PAGE_SIZE
    for sock in [file for file in b.kernel.files.values() if file.sk in ends]:
        sock.close()
    flooded.finished()


_DROPS = ("PROTO_MEM", "TCP_ZEROWINDOW", "TCP_OVERWINDOW", "TCP_INVALID_SEQUENCE")
