"""The program's ``_socket``: Python's own ``socket.py`` runs above it, and never learns of the difference."""

import _socket
import os
import select
import warnings
from _operator import index
from collections.abc import Callable, Iterable
from errno import EMSGSIZE
from types import ModuleType
from typing import Any

from .calls import FIRST_FD, call, drop_later, host, nanoseconds
from .names import NAMES, inet_address
from .polling import own_fds, wait
from .stand_in import stand_in

__all__ = ["socket_module"]

_LONGEST_OCTETS = 65_536  # So many go with one call.


def _simulated(method: Callable[..., Any]) -> Any:
    """Leave sockets of the real machine, which are local ones (AF_UNIX), to its own method of that name."""
    real = getattr(_socket.socket, method.__name__)

    receives = method.__name__.startswith("recv")
    at = 1 if method.__name__ in ("recv", "recvfrom") else 2  # Where its flags are.

    def either(self: "_Socket", *args: Any, **kwargs: Any) -> Any:
        if self._fd is not None:
            return method(self, *args, **kwargs)
        if receives and not (len(args) > at and args[at] & _socket.MSG_DONTWAIT):
            self._await_own()
        return real(self, *args, **kwargs)

    either.__name__ = method.__name__
    either.__doc__ = real.__doc__
    return either


def _passed_on(name: str) -> Any:
    """Return a method that the host's socket has just so."""

    def method(self: "_Socket", *args: Any) -> Any:
        return call("method", self._fd, name, args)

    method.__name__ = name
    return _simulated(method)


def _octets(data: Any) -> bytes:
    try:
        return data if type(data) is bytes else bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None


def _room(buffer: Any, nbytes: int, caller: str) -> memoryview:
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise TypeError(f"{caller}() argument 1 must be read-write bytes-like object, not {type(buffer).__name__}")
    if nbytes < 0:
        raise ValueError(f"negative buffersize in {caller}")
    if nbytes > len(view):
        raise ValueError("buffer too small for requested bytes")
    return view[: nbytes or len(view)]


class _Socket(_socket.socket):
    """A socket of the simulated host; one of family AF_UNIX is the real machine's."""

    __slots__ = ("_family", "_fd", "_proto", "_timeout", "_type")

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None) -> None:
        self._fd: int | None = None
        fd = -1 if fileno is None else index(fileno)
        family = _socket.AF_INET if family == -1 and fileno is None else index(family)
        if family == _socket.AF_UNIX or (fileno is not None and fd < FIRST_FD):
            super().__init__(family, type, proto, fileno)
            return
        flags = 0
        if fileno is None:
            type = _socket.SOCK_STREAM if type == -1 else index(type)
            proto = 0 if proto == -1 else index(proto)
            fd = call("socket", family, type, proto)
            flags = type & (_socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        else:
            kind = call("kind", fd)
            family, type, proto = (
                found if given == -1 else index(given) for given, found in zip((family, type, proto), kind, strict=True)
            )
        self._family, self._type, self._proto = family, type & ~flags, proto
        self._fd = fd
        self._timeout: float | None = None
        self.settimeout(0.0 if flags & _socket.SOCK_NONBLOCK else _socket.getdefaulttimeout())

    def __del__(self) -> None:
        fd = getattr(self, "_fd", None)
        if fd is not None and fd >= 0:
            text = f"unclosed <socket.socket fd={fd}, family={self._family}, type={self._type}, proto={self._proto}>"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            drop_later(fd)

    @property
    def family(self) -> int:
        return super().family if self._fd is None else self._family

    @property
    def type(self) -> int:
        return super().type if self._fd is None else self._type

    @property
    def proto(self) -> int:
        return super().proto if self._fd is None else self._proto

    @property
    def timeout(self) -> float | None:
        timeout: float | None = self.gettimeout()
        return timeout

    @_simulated
    def fileno(self) -> int:
        return self._fd  # type: ignore[return-value]  # Of a simulated one it is a number.

    def close(self) -> None:
        if self._fd is None:
            own_fds.discard(super().fileno())
            super().close()
        elif self._fd >= 0:
            fd, self._fd = self._fd, -1
            if not host.left:
                call("close", fd)

    def _await_own(self) -> None:
        """Let other threads go on until they have written something here, if that is a pair of local sockets."""
        fd, timeout = super().fileno(), super().gettimeout()
        if fd in own_fds and timeout != 0:
            if not wait({fd: select.POLLIN}, None if timeout is None else nanoseconds(timeout)):
                raise TimeoutError("timed out")

    def detach(self) -> int:
        if self._fd is None:
            return super().detach()
        fd, self._fd = self._fd, -1
        return fd

    @_simulated
    def settimeout(self, value: float | None) -> None:
        if value is not None and nanoseconds(value) < 0:
            raise ValueError("Timeout value out of range")
        timeout = None if value is None else float(value)
        if timeout != self._timeout:
            call("method", self._fd, "settimeout", (timeout,))
            self._timeout = timeout

    @_simulated
    def gettimeout(self) -> float | None:
        return self._timeout

    @_simulated
    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    @_simulated
    def getblocking(self) -> bool:
        return self._timeout != 0

    def _address(self, address: Any, caller: str) -> Any:
        return inet_address(address, caller) if self._family == _socket.AF_INET else address

    @_simulated
    def bind(self, address: Any) -> None:
        call("method", self._fd, "bind", (self._address(address, "bind"),))

    @_simulated
    def connect(self, address: Any) -> None:
        call("method", self._fd, "connect", (self._address(address, "connect"),))

    @_simulated
    def connect_ex(self, address: Any) -> int:
        name = self._address(address, "connect_ex")
        try:
            call("method", self._fd, "connect", (name,))
        except OSError as error:
            if error.errno is None:
                raise
            return error.errno
        return 0

    @_simulated
    def listen(self, backlog: int = 128) -> None:
        call("method", self._fd, "listen", (index(backlog),))

    @_simulated
    def _accept(self) -> tuple[int, Any]:
        fd, address = call("accept", self._fd)
        return fd, address

    getsockname = _passed_on("getsockname")
    getpeername = _passed_on("getpeername")

    @_simulated
    def shutdown(self, how: int) -> None:
        call("method", self._fd, "shutdown", (index(how),))

    @_simulated
    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        if value is None:
            value = bytes(optlen or 0)
        value = index(value) if hasattr(value, "__index__") else _octets(value)
        call("method", self._fd, "setsockopt", (index(level), index(optname), value))

    @_simulated
    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        result: int | bytes = call("method", self._fd, "getsockopt", (index(level), index(optname), buflen))
        return result

    def _part(self, data: Any) -> bytes:
        """Return what of the data one call can take."""
        octets = _octets(data)
        if len(octets) <= _LONGEST_OCTETS:
            return octets
        if self._type == _socket.SOCK_STREAM:
            return octets[:_LONGEST_OCTETS]
        raise OSError(EMSGSIZE, os.strerror(EMSGSIZE))

    @_simulated
    def send(self, data: Any, flags: int = 0) -> int:
        sent: int = call("method", self._fd, "send", (self._part(data), index(flags)))
        return sent

    @_simulated
    def sendall(self, data: Any, flags: int = 0) -> None:
        left = memoryview(_octets(data))
        while True:
            left = left[self.send(left, flags) :]
            if not left:
                return

    @_simulated
    def sendto(self, data: Any, *args: Any) -> int:
        if len(args) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(args) + 1} given)")
        octets = self._part(data)
        flags = index(args[0]) if len(args) == 2 else 0
        sent: int = call("method", self._fd, "sendto", (octets, flags, self._address(args[-1], "sendto")))
        return sent

    @_simulated
    def sendmsg(self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None) -> int:
        octets = self._part(b"".join(map(_octets, buffers)))
        control = [(index(level), index(kind), _octets(data)) for level, kind, data in ancdata]
        name = None if address is None else self._address(address, "sendmsg")
        sent: int = call("method", self._fd, "sendmsg", ([octets], control, index(flags), name))
        return sent

    def _receive(self, name: str, bufsize: int, *args: int) -> Any:
        size = min(index(bufsize), _LONGEST_OCTETS)
        if size < 0:
            raise ValueError(f"negative buffersize in {name}")
        numbers = (size, *(index(arg) for arg in args))
        return call("method", self._fd, name, numbers)

    @_simulated
    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        octets: bytes = self._receive("recv", bufsize, flags)
        return octets

    @_simulated
    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        octets, name = self._receive("recvfrom", bufsize, flags)
        return octets, name

    @_simulated
    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> Any:
        return self._receive("recvmsg", bufsize, ancbufsize, flags)

    @_simulated
    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        room = _room(buffer, nbytes, "recv_into")
        octets = self._receive("recv", len(room), flags)
        room[: len(octets)] = octets
        return len(octets)

    @_simulated
    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        room = _room(buffer, nbytes, "recvfrom_into")
        octets, name = self._receive("recvfrom", len(room), flags)
        room[: len(octets)] = octets
        return len(octets), name

    @_simulated
    def recvmsg_into(self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0) -> Any:
        rooms = [_room(buffer, 0, "recvmsg_into") for buffer in buffers]
        octets, *rest = self._receive("recvmsg", sum(map(len, rooms)), ancbufsize, flags)
        left = memoryview(octets)
        for room in rooms:
            part = left[: len(room)]
            room[: len(part)] = part
            left = left[len(part) :]
        return len(octets), *rest


def _close(fd: int) -> None:
    if fd >= FIRST_FD:
        call("close", fd)
    else:
        own_fds.discard(fd)
        _socket.close(fd)


def _dup(fd: int) -> int:
    new: int = call("dup", fd) if fd >= FIRST_FD else _socket.dup(fd)
    if fd in own_fds:
        own_fds.add(new)
    return new


def _socketpair(family: int = _socket.AF_UNIX, type: int = _socket.SOCK_STREAM, proto: int = 0) -> Any:
    pair = tuple(_Socket(fileno=sock.detach()) for sock in _socket.socketpair(family, type, proto))
    own_fds.update(sock.fileno() for sock in pair)
    return pair


def socket_module() -> ModuleType:
    """Return what stands in for ``_socket``."""
    _Socket.__module__, _Socket.__name__, _Socket.__qualname__ = "_socket", "socket", "socket"
    functions = {"socket": _Socket, "SocketType": _Socket, "close": _close, "dup": _dup, "socketpair": _socketpair}
    return stand_in(_socket, {"has_ipv6": False, **functions, **NAMES})
