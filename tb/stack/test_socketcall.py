"""The multiplexed system call: each number reaches the call that it stands for."""

from errno import EAFNOSUPPORT, EBADF, EFAULT, EINVAL, EOPNOTSUPP

import pytest

from hardwire.stack import socket as api
from hardwire.stack import socketcall as sc
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import Pair


@pytest.fixture
def call():
    """Return a function that makes a call on this host; what was sent has arrived at the next one."""
    pair = Pair()
    net = pair.a.net

    def make(number, *args):
        pair.run()
        return sc.sys_socketcall(net, number, args)

    return make


def test_a_conversation_by_numbers_alone(call):
    server, client = (call(sc.SYS_SOCKET, api.AF_INET, api.SOCK_DGRAM, 0) for _ in range(2))
    assert call(sc.SYS_BIND, server, ("127.0.0.1", 9000)) is None
    assert call(sc.SYS_GETSOCKNAME, server) == ("127.0.0.1", 9000)
    assert call(sc.SYS_SENDTO, client, b"one", 0, ("127.0.0.1", 9000)) == 3
    data, back = call(sc.SYS_RECVFROM, server, 100)
    assert data == b"one"
    call(sc.SYS_CONNECT, client, ("127.0.0.1", 9000))
    assert call(sc.SYS_GETPEERNAME, client) == ("127.0.0.1", 9000)
    assert call(sc.SYS_SEND, client, b"two", 0) == 3
    assert call(sc.SYS_RECV, server, 100, 0) == b"two"
    assert call(sc.SYS_SENDMSG, server, [b"th", b"ree"], [], 0, back) == 5
    assert call(sc.SYS_RECVMSG, client, 100)[0] == b"three"
    call(sc.SYS_SETSOCKOPT, client, api.SOL_IP, api.IP_TTL, 7)
    assert call(sc.SYS_GETSOCKOPT, client, api.SOL_IP, api.IP_TTL) == 7
    call(sc.SYS_SHUTDOWN, client, api.SHUT_RDWR)
    with pytest.raises(BrokenPipeError):
        call(sc.SYS_SEND, client, b"four", 0)


@pytest.mark.parametrize(
    ("number", "args", "errno"),
    [
        (0, (), EINVAL),
        (99, (3,), EINVAL),
        (sc.SYS_SOCKET, (api.AF_INET, api.SOCK_DGRAM), EFAULT),
        (sc.SYS_SOCKET, (1, api.SOCK_DGRAM, 0), EAFNOSUPPORT),
        (sc.SYS_BIND, (77, ("127.0.0.1", 1)), EBADF),
        (sc.SYS_BIND, (), EFAULT),
        (sc.SYS_SENDTO, (3, b"x"), EFAULT),
        (sc.SYS_LISTEN, (3, 5), EOPNOTSUPP),
        (sc.SYS_LISTEN, (77, 5), EBADF),
        (sc.SYS_ACCEPT, (3,), EOPNOTSUPP),
        (sc.SYS_SOCKETPAIR, (1, 1, 0), EOPNOTSUPP),
    ],
)
def test_what_cannot_be_has_its_error(call, number, args, errno):
    assert call(sc.SYS_SOCKET, api.AF_INET, api.SOCK_DGRAM, 0) == 3
    with raises(errno):
        call(number, *args)
