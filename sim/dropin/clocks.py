"""The program's ``time``, and the parts of ``datetime`` that look at a clock: simulated time."""

import time
from types import ModuleType
from typing import Any

from .calls import host, look_at_clock, nanoseconds, sleep
from .stand_in import stand_in

__all__ = ["simulate_datetime", "time_module"]

_OF_DAY = (time.CLOCK_REALTIME, getattr(time, "CLOCK_TAI", time.CLOCK_REALTIME))
_SINCE_START = (time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW, time.CLOCK_BOOTTIME)


def _monotonic() -> float:
    return look_at_clock() / 1e9


def _time_ns() -> int:
    return host.start_ns + look_at_clock()


def _time() -> float:
    return _time_ns() / 1e9


def _sleep(seconds: float, /) -> None:
    duration_ns = nanoseconds(seconds)
    if duration_ns < 0:
        raise ValueError("sleep length must be non-negative")
    sleep(duration_ns)


def _clock_gettime_ns(clock: int, /) -> int:
    if clock in _OF_DAY:
        return _time_ns()
    return look_at_clock() if clock in _SINCE_START else time.clock_gettime_ns(clock)


def _clock_gettime(clock: int, /) -> float:
    return _clock_gettime_ns(clock) / 1e9


def _gmtime(seconds: float | None = None, /) -> time.struct_time:
    return time.gmtime(_time() if seconds is None else seconds)


def _localtime(seconds: float | None = None, /) -> time.struct_time:
    return time.localtime(_time() if seconds is None else seconds)


def _ctime(seconds: float | None = None, /) -> str:
    return time.ctime(_time() if seconds is None else seconds)


def _asctime(when: Any = None, /) -> str:
    return time.asctime(_localtime() if when is None else when)


def _strftime(form: str, when: Any = None, /) -> str:
    return time.strftime(form, _localtime() if when is None else when)


def time_module() -> ModuleType:
    """Return what stands in for ``time``."""
    instead = {
        "time": _time,
        "time_ns": _time_ns,
        "monotonic": _monotonic,
        "monotonic_ns": look_at_clock,
        "perf_counter": _monotonic,
        "perf_counter_ns": look_at_clock,
        "clock_gettime": _clock_gettime,
        "clock_gettime_ns": _clock_gettime_ns,
        "sleep": _sleep,
        "gmtime": _gmtime,
        "localtime": _localtime,
        "ctime": _ctime,
        "asctime": _asctime,
        "strftime": _strftime,
    }
    return stand_in(time, instead)


def simulate_datetime() -> None:
    """Let ``datetime.now()`` and ``date.today()`` tell simulated time; other datetimes stay as they are."""
    import datetime

    real_date, real_datetime = datetime.date, datetime.datetime

    class AnyDate(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real_datetime if cls.__name__ == "datetime" else real_date)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, real_datetime if cls.__name__ == "datetime" else real_date)

    class Date(datetime.date, metaclass=AnyDate):
        __slots__ = ()

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(_time())

    class Datetime(datetime.datetime, metaclass=AnyDate):
        __slots__ = ()

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(_time(), tz)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(_time())

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(_time(), datetime.UTC).replace(tzinfo=None)

    for name, kind in (("date", Date), ("datetime", Datetime)):
        kind.__module__, kind.__name__, kind.__qualname__ = "datetime", name, name
        setattr(datetime, name, kind)
