"""A program in a process of its own, as its simulated host's kernel sees it: its threads, its calls, its sockets."""

import fcntl
import os
import socket
from collections import deque
from collections.abc import Callable
from errno import EBADF, EINTR
from typing import Any

from ...stack.core.platform import WaitQueue
from ...stack.select import Poll
from ...stack.socket import Socket
from ...stack.uapi_options import POLLNVAL
from ..machine import Machine
from ..world import FS_PER_NS, Task
from .calls import ERROR, EXIT, FIRST_FD, INTERRUPTED, OK, TIMED_OUT
from .channel import Channel, channel_pair

__all__ = ["Process"]


class _Thread:
    """A thread of the program.

    Members
    -------
    call : int
        Number of the call that it is in; 0 while it computes.
    real : str
        What of the real machine it waits for as well: "", "own" for what the program itself may write, or "outside".
    """

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.task: Task
        self.call = 0
        self.real = ""


class Process:
    """A program, and what it has open. While it computes, simulated time stands still.

    Parameters
    ----------
    machine : Machine
        Its host.
    name : str
        For messages.
    hello : tuple
        What the program learns of its host: name, addresses by name, time of day at simulated time 0 in ns.
    is_main : bool
        Whether its exit waits for ``end``.

    Members
    -------
    ends : tuple of int
        Descriptors for the program's process to inherit: of its channel, and of its control socket.
    main : Task
        Its main thread, from ``begin`` on; done when the program has ended.
    """

    def __init__(self, machine: Machine, name: str, hello: tuple[Any, ...], *, is_main: bool = False) -> None:
        self.name = name
        self._is_main = is_main
        self._machine = machine
        self._world = machine.world
        self._kernel = machine.kernel
        self._hello = hello
        self._files: dict[int, Socket] = {}
        self._futexes: dict[int, WaitQueue] = {}
        self._new_channels: deque[Channel] = deque()
        self._threads: dict[int, _Thread] = {}
        self._last_thread = 0
        self._exit_call = 0
        self._channel, theirs = channel_pair()
        self.control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs = (theirs, their_control)
        self.ends = (theirs.fileno(), their_control.fileno())
        self.main: Task

    def listen(self) -> None:
        """Let SIGIO tell of what the program says beside its calls, now that a process has its ends."""
        for end in self._theirs:
            end.close()
        fcntl.fcntl(self.control, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self.control, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)

    def begin(self) -> None:
        """Let the program take part."""
        self.main = self._begin_thread(0, Channel(self._channel))

    @property
    def gone(self) -> bool:
        """Whether the process is there no more."""
        try:
            return not self.control.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    @property
    def waits_outside(self) -> bool:
        """Whether it waits for something of the real machine."""
        return any(thread.call and thread.real == "outside" for thread in self._threads.values())

    def look(self) -> None:
        """See what the program says beside its calls: that a call shall end early, or that it has a new thread."""
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self.control, 100, 1)
            except BlockingIOError:
                return
            except ConnectionResetError:
                message = b""
            if not message:  # The process is gone, whatever its threads wait for.
                fcntl.fcntl(self.control, fcntl.F_SETFL, os.O_NONBLOCK)
                self._interrupt_all()
                return
            if fds:
                self._new_channels.append(Channel(socket.socket(fileno=fds[0])))
            else:
                number, call = map(int, message.split())
                thread = self._threads.get(number)
                if thread is not None and thread.call == call:
                    self._interrupt(thread)

    def finish(self, *, main: bool) -> None:
        """Let what the main thread calls, or what all others do, raise SystemExit; later calls are done as ever."""
        for number, thread in self._threads.items():
            if main == (number == 0):
                self._world.throw(thread.task, SystemExit())

    def end(self, status: int) -> None:
        """Let the program end: what it still calls is answered no more. One that waits for that gets the status."""
        main = self._threads.get(0)
        if main is not None and self._exit_call:
            self._answer(main, self._exit_call, OK, status)
        for thread in self._threads.values():
            thread.channel.close()

    # Threads.

    def _begin_thread(self, number: int, channel: Channel) -> Task:
        thread = self._threads[number] = _Thread(number, channel)
        name = f"{self.name}, thread {number}" if number else self.name
        thread.task = self._world.spawn(self._serve, thread, name=name)
        return thread.task

    def _serve(self, thread: _Thread) -> None:
        """Answer a thread's calls until it ends; the world waits while it computes."""
        while True:
            try:
                number, name, *args = thread.channel.receive()
            except EOFError:
                self._stir(thread)
                break
            self._stir(thread)
            if name == "exit":
                self._close_all()  # Other threads that still sleep stay asleep, as when a process is gone.
                if self._is_main:
                    self._exit_call = number
                    return
            thread.call, thread.real = number, ""
            kind, value = self._done(thread, name, args)
            thread.call, thread.task.error = 0, None
            if not self._answer(thread, number, kind, value):
                break
        if thread.number:
            thread.channel.close()
            del self._threads[thread.number]
        else:
            self._close_all()
            self._interrupt_all()

    def _done(self, thread: _Thread, name: str, args: list[Any]) -> tuple[str, Any]:
        """Do a call; return kind and value of the answer."""
        try:
            return OK, _CALLS[name](self, thread, *args)
        except InterruptedError:
            return INTERRUPTED, None
        except SystemExit:
            return EXIT, 0
        except OSError as error:
            return (ERROR, error.errno) if error.errno else (TIMED_OUT, None)
        except _REFUSALS as error:
            return next(kind.__name__ for kind in _REFUSALS if isinstance(error, kind)), str(error)

    def _answer(self, thread: _Thread, number: int, kind: str, value: Any) -> bool:
        try:
            thread.channel.send((number, self._world.now_ns, kind, value))
        except EOFError:
            return False
        return True

    def _close_all(self) -> None:
        for fd in list(self._files):
            self._close(None, fd)

    def _interrupt_all(self) -> None:
        for thread in self._threads.values():
            if thread.call:
                self._interrupt(thread)

    def _interrupt(self, thread: _Thread) -> None:
        self._world.throw(thread.task, InterruptedError(EINTR, os.strerror(EINTR)))

    def _stir(self, caller: _Thread) -> None:
        """Let threads look again that wait for what another one, which has just run, may have written."""
        for thread in self._threads.values():
            if thread.real and thread.call and thread is not caller:
                self._interrupt(thread)

    # Calls.

    def _file(self, fd: int) -> Socket:
        file = self._files.get(fd)
        if file is None:
            raise OSError(EBADF, os.strerror(EBADF))
        return file

    def _install(self, file: Socket) -> int:
        fd = FIRST_FD
        while fd in self._files:
            fd += 1
        self._files[fd] = file
        return fd

    def _begin(self, thread: _Thread) -> Any:
        return None if thread.number else self._hello

    def _exit(self, _: _Thread) -> int:
        return 0

    def _thread(self, _: _Thread) -> int:
        self.look()
        self._last_thread += 1
        self._begin_thread(self._last_thread, self._new_channels.popleft())
        return self._last_thread

    def _sleep(self, _: _Thread, deadline_ns: int) -> None:
        self._world.wait(WaitQueue(), deadline_ns * FS_PER_NS)

    def _futex_wait(self, _: _Thread, key: int, deadline_ns: int | None) -> None:
        queue = self._futexes.setdefault(key, WaitQueue())
        self._world.wait(queue, None if deadline_ns is None else deadline_ns * FS_PER_NS)

    def _futex_wake(self, _: _Thread, key: int) -> None:
        queue = self._futexes.pop(key, None)
        if queue is not None:
            self._world.wake(queue)

    def _socket(self, _: _Thread, family: int, type: int, proto: int) -> int:
        return self._install(self._machine.net.socket(family, type, proto))

    def _accept(self, _: _Thread, fd: int) -> tuple[int, Any]:
        file, address = self._file(fd).accept()
        return self._install(file), address

    def _kind(self, _: _Thread, fd: int) -> tuple[int, int, int]:
        file = self._file(fd)
        return file.family, file.type, file.proto

    def _dup(self, _: _Thread, fd: int) -> int:
        return self._install(self._file(fd))

    def _close(self, _: _Thread | None, fd: int) -> None:
        file = self._file(fd)
        del self._files[fd]
        if not any(other is file for other in self._files.values()):
            file.close()

    def _method(self, _: _Thread, fd: int, name: str, args: tuple[Any, ...]) -> Any:
        return getattr(self._file(fd), name)(*args)

    def _poll(self, thread: _Thread, wanted: list[tuple[int, int]], timeout_ns: int | None, real: str) -> Any:
        found = [(fd, POLLNVAL) for fd, _ in wanted if fd not in self._files]
        poll = Poll(self._kernel)
        events_of: dict[int, int] = {}
        for fd, events in wanted:
            if fd in self._files:
                file = self._files[fd]
                events_of[file.fd] = events_of.get(file.fd, 0) | events
                poll.register(file, events_of[file.fd])
        thread.real = real
        ready = dict(poll.poll(0 if found else None if timeout_ns is None else timeout_ns / 1e6))
        for fd, events in wanted:
            if fd in self._files:
                mask = ready.get(self._files[fd].fd, 0) & (events | _ALWAYS)
                if mask:
                    found.append((fd, mask))
        return found

    def _interfaces(self, _: _Thread) -> list[tuple[int, str]]:
        return [(index, dev.name) for index, dev in self._machine.net.devices.items()]


_ALWAYS = 0x0018  # POLLERR | POLLHUP
_REFUSALS = (TypeError, ValueError, OverflowError)

_CALLS: dict[str, Callable[..., Any]] = {
    "accept": Process._accept,
    "begin": Process._begin,
    "close": Process._close,
    "dup": Process._dup,
    "exit": Process._exit,
    "futex_wait": Process._futex_wait,
    "futex_wake": Process._futex_wake,
    "interfaces": Process._interfaces,
    "kind": Process._kind,
    "method": Process._method,
    "poll": Process._poll,
    "sleep": Process._sleep,
    "socket": Process._socket,
    "thread": Process._thread,
}
