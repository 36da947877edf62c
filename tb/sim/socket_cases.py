"""Small programs with sockets on 127.0.0.1, unmodified: each returns what it has seen, the same on any Linux host.

As a script it runs all of them and writes what they have seen, one line each.
"""

import array
import contextlib
import fcntl
import os
import select
import selectors
import socket
import socketserver
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

HOST = "127.0.0.1"


def seen(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a call returns, or what it raises."""
    try:
        return function(*args, **kwargs)
    except (OSError, TypeError, ValueError, OverflowError, KeyError) as error:
        return type(error).__name__, str(error), getattr(error, "errno", None)


def udp() -> socket.socket:
    """Return a new socket."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two sockets that are connected to each other."""
    with udp() as a, udp() as b:
        for sock in (a, b):
            sock.bind((HOST, 0))
            sock.settimeout(5)
        a.connect(b.getsockname())
        b.connect(a.getsockname())
        yield a, b


class Cases:
    """The programs, by name."""

    def attributes(self) -> Any:
        with udp() as sock:
            return (
                isinstance(sock, socket.socket),
                sock.family,
                sock.type,
                sock.proto,
                sock.timeout,
                sock.gettimeout(),
                sock.getblocking(),
                sock.getsockname(),
                repr(sock).replace(f"fd={sock.fileno()}", "fd"),
                sock.fileno() > 2,
                sock.get_inheritable() if sock.fileno() < 1 << 20 else False,
            )

    def kinds_of_socket(self) -> Any:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP) as sock:
            kinds = [(sock.type, sock.proto, sock.timeout)]
        kinds += [seen(socket.socket, socket.AF_INET, kind, proto) for kind, proto in ((77, 0), (socket.SOCK_DGRAM, 6))]
        return kinds, seen(socket.socket, 45, socket.SOCK_DGRAM), seen(socket.socket, "x"), seen(socket.socket, 2, "x")

    def closed(self) -> Any:
        sock = udp()
        sock.close()
        sock.close()
        return (
            sock.fileno(),
            seen(sock.sendto, b"x", (HOST, 9)),
            seen(sock.recv, 1),
            seen(sock.getsockname),
            seen(sock.bind, (HOST, 0)),
            seen(sock.settimeout, 1),
            seen(select.select, [sock], [], [], 0),
            repr(sock),
        )

    def addresses_that_are_none(self) -> Any:
        with udp() as sock:
            return [
                seen(sock.sendto, b"x", address)
                for address in (
                    "x",
                    [HOST, 9],
                    (HOST,),
                    (HOST, 9, 0),
                    (HOST, "9"),
                    (HOST, 70000),
                    (HOST, -1),
                    (9, 9),
                    None,
                )
            ]

    def data_that_is_none(self) -> Any:
        with pair() as (a, _):
            return [seen(a.send, data) for data in ("x", 1, None)] + [
                seen(a.sendto, "x", (HOST, 9)),
                seen(a.sendto, b"x"),
            ]

    def buffers(self) -> Any:
        with pair() as (a, b):
            results: list[Any] = []
            for data in (bytearray(b"ab"), memoryview(b"abcdef")[::1], array.array("H", [1, 2])):
                results += [a.send(data), b.recv(100)]
            a.send(b"0123456789")
            buffer = bytearray(6)
            results += [b.recv_into(buffer), bytes(buffer)]
            a.send(b"0123456789")
            results += [b.recv_into(buffer, 3), bytes(buffer)]
            a.send(b"0123456789")
            length, name = b.recvfrom_into(buffer)
            results += [length, name == a.getsockname(), bytes(buffer)]
            results += [seen(b.recv_into, b"abc"), seen(b.recv_into, buffer, 7), seen(b.recv_into, buffer, -1)]
            results += [seen(b.recv, -1), seen(b.recvfrom, -1), seen(b.recv, "x")]
            a.sendmsg([b"ab", b"cd", bytearray(b"ef")])
            parts = [bytearray(2), bytearray(3)]
            length, control, flags, name = b.recvmsg_into(parts)
            results += [length, control, flags, name == a.getsockname(), parts]
            return results

    def flags(self) -> Any:
        with pair() as (a, b):
            a.send(b"0123456789")
            peeked = b.recv(4, socket.MSG_PEEK)
            octets, control, flags, _ = b.recvmsg(4)
            return peeked, octets, control, flags, a.send(b""), b.recv(10)

    def control_messages(self) -> Any:
        with pair() as (a, b):
            b.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            a.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x10)
            a.send(b"x")
            results: list[Any] = [b.recvmsg(10, socket.CMSG_SPACE(1))[1]]
            a.sendmsg([b"y"], [(socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 9))])
            results += [b.recvmsg(10)[:3], seen(a.sendmsg, [b"y"], [(socket.IPPROTO_IP, 999, b"")])]
            return results

    def not_connected(self) -> Any:
        with udp() as sock:
            return (
                seen(sock.send, b"x"),
                seen(sock.getpeername),
                seen(sock.shutdown, socket.SHUT_RDWR),
                seen(sock.listen),
                seen(sock.accept),
                seen(sock.sendto, bytes(70_000), (HOST, 9)),
                seen(sock.sendto, bytes(200_000), (HOST, 9)),
                seen(sock.sendto, bytes(1 << 20), (HOST, 9)),
            )

    def bind(self) -> Any:
        with udp() as a, udp() as b:
            a.bind(("", 0))
            port = a.getsockname()[1]
            return a.getsockname()[0], seen(a.bind, ("", 0)), seen(b.bind, ("", port)), seen(b.bind, ("192.0.2.1", 0))

    def refused(self) -> Any:
        with udp() as gone:
            gone.bind((HOST, 0))
            port = gone.getsockname()[1]
        with udp() as sock:
            sock.settimeout(0.2)
            results: list[Any] = [sock.connect_ex((HOST, port)), sock.send(b"x")]
            time.sleep(0.05)
            return [*results, seen(sock.recv, 10), seen(sock.recv, 10)]

    def timeouts(self) -> Any:
        with udp() as sock:
            sock.bind((HOST, 0))
            results: list[Any] = [seen(sock.settimeout, value) for value in (-1, float("nan"), "x", None, 0, 0.05)]
            began = time.monotonic()
            results += [seen(sock.recv, 10), seen(sock.recvfrom, 10), 0.09 < time.monotonic() - began < 0.9]
            sock.setblocking(False)
            results += [seen(sock.recv, 10), sock.timeout, sock.getblocking()]
            sock.setblocking(True)
            return [*results, sock.timeout]

    def default_timeout(self) -> Any:
        socket.setdefaulttimeout(2.5)
        try:
            with udp() as sock:
                return sock.timeout, socket.getdefaulttimeout()
        finally:
            socket.setdefaulttimeout(None)

    def options(self) -> Any:
        with udp() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, struct.pack("i", 1))
            return (
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 4),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
                sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL),
                seen(sock.setsockopt, socket.SOL_SOCKET, 9999, 1),
                seen(sock.getsockopt, socket.SOL_SOCKET, 9999),
                seen(sock.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR, b""),
                seen(sock.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"none\0"),
            )

    def descriptors(self) -> Any:
        with pair() as (a, b):
            copy = a.dup()
            fd = copy.detach()
            again = socket.socket(fileno=fd)
            results: list[Any] = [
                copy.fileno(),
                again.family,
                again.type,
                again.proto,
                again.getsockname() == a.getsockname(),
            ]
            a.close()
            results += [again.send(b"still open"), b.recv(100)]
            other = socket.fromfd(again.fileno(), socket.AF_INET, socket.SOCK_DGRAM)
            again.close()
            results += [other.send(b"and this"), b.recv(100)]
            socket.close(other.detach())
            return results

    def makefile(self) -> Any:
        with pair() as (a, b):
            with a.makefile("wb", buffering=0) as out, b.makefile("rb", buffering=0) as file:
                return out.write(b"hello"), file.read(100), seen(a.makefile, "x")

    def select(self) -> Any:
        with pair() as (a, b):
            results: list[Any] = [select.select([a, b], [a], [b], 0) == ([], [a], [])]
            a.send(b"x")
            results += [
                select.select([b, a], [], []) == ([b], [], []),
                select.select([b.fileno()], [], [], 1)[0] == [b.fileno()],
            ]
            b.recv(1)
            began = time.monotonic()
            results += [select.select([a, b], [], [], 0.1), 0.09 < time.monotonic() - began < 0.9]
            return [
                *results,
                seen(select.select, [b], [], [], -1),
                seen(select.select, ["x"], [], []),
                seen(select.select, 1, [], []),
            ]

    def poll(self) -> Any:
        with pair() as (a, b):
            poll = select.poll()
            poll.register(a, select.POLLIN)
            poll.register(b, select.POLLIN | select.POLLOUT)
            results: list[Any] = [poll.poll(0) == [(b.fileno(), select.POLLOUT)]]
            poll.modify(b, select.POLLIN)
            results += [poll.poll(10)]
            a.send(b"x")
            results += [
                poll.poll() == [(b.fileno(), select.POLLIN)],
                seen(poll.modify, 999, 0),
                seen(poll.unregister, 999),
            ]
            poll.unregister(b)
            return [*results, poll.poll(1), seen(poll.register, -1)]

    def poll_of_an_error(self) -> Any:
        with udp() as gone:
            gone.bind((HOST, 0))
            port = gone.getsockname()[1]
        with udp() as sock:
            sock.connect((HOST, port))
            sock.send(b"x")
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return (
                [mask for _, mask in poll.poll(5000)],
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
                poll.poll(0),
            )

    def selectors(self) -> Any:
        with pair() as (a, b), selectors.DefaultSelector() as selector:
            selector.register(a, selectors.EVENT_READ | selectors.EVENT_WRITE, "a")
            selector.register(b, selectors.EVENT_READ, "b")
            results: list[Any] = [sorted((key.data, events) for key, events in selector.select(0))]
            a.send(b"x")
            selector.modify(a, selectors.EVENT_READ, "a")
            results += [sorted((key.data, events) for key, events in selector.select())]
            return results

    def real_descriptors_beside(self) -> Any:
        """Wait for a pipe, a local pair and a socket together."""
        reader, writer = os.pipe()
        ours, theirs = socket.socketpair()
        with pair() as (a, b), ours, theirs:
            everything: list[Any] = [reader, ours, b]
            results: list[Any] = [select.select(everything, [], [], 0.01)[0]]
            os.write(writer, b"x")
            results += [select.select(everything, [], [], 5)[0] == [reader], os.read(reader, 1)]
            theirs.send(b"y")
            results += [select.select(everything, [], [], 5)[0] == [ours], ours.recv(1)]
            a.send(b"z")
            results += [select.select(everything, [], [], 5)[0] == [b], b.recv(1), ours.family, theirs.type]
        os.close(reader)
        os.close(writer)
        return results

    def literals(self) -> Any:
        return (
            socket.getaddrinfo(HOST, 53),
            socket.getaddrinfo(HOST, "53", socket.AF_INET, socket.SOCK_DGRAM),
            socket.getaddrinfo(HOST, None, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST),
            socket.getaddrinfo(HOST, 7, type=socket.SOCK_DGRAM, flags=socket.AI_CANONNAME),
            socket.getaddrinfo(None, 53, socket.AF_INET, socket.SOCK_DGRAM),
            socket.getaddrinfo(None, 53, socket.AF_INET, socket.SOCK_DGRAM, 0, socket.AI_PASSIVE),
            socket.getaddrinfo("::1", 53, type=socket.SOCK_DGRAM),
            seen(socket.getaddrinfo, HOST, 53, socket.AF_INET6, socket.SOCK_DGRAM),
            seen(socket.getaddrinfo, HOST, 53, 99),
            seen(socket.getaddrinfo, HOST, "no-such-service"),
            seen(socket.getaddrinfo, 1, 53),
            socket.gethostbyname(HOST),
            socket.gethostbyname("localhost"),
            socket.gethostbyname(""),
            socket.gethostbyname("<broadcast>"),
            socket.gethostbyname("127.1"),
            socket.gethostbyname_ex(HOST),
            socket.gethostbyaddr(HOST)[::2],
            socket.getnameinfo((HOST, 53), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
            seen(socket.getnameinfo, ("x y", 53), 0)[0],
        )

    def functions_of_the_module(self) -> Any:
        return (
            socket.inet_aton("10.1"),
            socket.inet_ntoa(b"\x0a\0\0\1"),
            socket.inet_pton(socket.AF_INET6, "::1"),
            seen(socket.inet_pton, socket.AF_INET, "x"),
            socket.htons(1),
            socket.ntohl(1),
            socket.CMSG_LEN(4),
            socket.if_nametoindex("lo"),
            socket.if_indextoname(1),
            (1, "lo") in socket.if_nameindex(),
            seen(socket.if_nametoindex, "none"),
            seen(socket.if_indextoname, 999),
            socket.error is OSError,
            socket.timeout is TimeoutError,
            issubclass(socket.gaierror, OSError),
        )

    def ioctl(self) -> Any:
        with udp() as sock:
            answer = fcntl.ioctl(sock.fileno(), 0x8915, struct.pack("256s", b"lo"))  # SIOCGIFADDR
            buffer = bytearray(struct.pack("256s", b"lo"))
            result = fcntl.ioctl(sock, 0x8915, buffer)
            return (
                answer[20:24],
                result,
                bytes(buffer[20:24]),
                seen(fcntl.ioctl, sock, 0x8915, struct.pack("256s", b"none")),
            )

    def unclosed(self) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            udp()
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return [(warning.category.__name__, str(warning.message)[:24]) for warning in caught]

    def socketserver(self) -> Any:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                sock.sendto(data.upper(), self.client_address)

        with socketserver.ThreadingUDPServer((HOST, 0), Handler) as server, udp() as client:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            client.settimeout(5)
            answers = []
            for word in (b"one", b"two"):
                client.sendto(word, server.server_address)
                answers.append(client.recv(100))
            server.shutdown()
            thread.join()
            return answers, thread.is_alive()

    def threads(self) -> Any:
        with pair() as (a, b):
            heard: list[bytes] = []
            ready = threading.Event()

            def listen() -> None:
                ready.set()
                heard.append(b.recv(100))

            threads = [threading.Thread(target=listen) for _ in range(3)]
            for thread in threads:
                thread.start()
            results: list[Any] = [ready.wait(5)]
            for octets in (b"1", b"2", b"3"):
                a.send(octets)
            for thread in threads:
                thread.join(5)
            lock = threading.Lock()
            results += [sorted(heard), lock.acquire(), lock.acquire(timeout=0.02), lock.acquire(blocking=False)]
            return [*results, seen(lock.acquire, False, 1), seen(lock.acquire, True, -2), lock.locked()]


if __name__ == "__main__":
    for name in [name for name in vars(Cases) if not name.startswith("_")]:
        print(f"{name}: {getattr(Cases(), name)()!r}")
