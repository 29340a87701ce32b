"""What systemd is told, and that telling it neither fails nor waits."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from prx_email_cli.notify_socket import STATUS_LENGTH, Pulse, notify, tell_reloading, tell_status, watchdog_seconds

from ..support.manager import managing


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told_in_one_datagram_whatever_kind_of_socket_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    with managing(tmp_path, abstract=abstract) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        notify("READY=1", "STATUS=at work")
        manager.wait_for(lambda: manager.told)
    assert manager.told == [{"READY": "1", "STATUS": "at work"}]


def test_a_reload_says_when_it_began_by_the_clock_that_systemd_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with managing(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        tell_reloading()
        manager.wait_for(lambda: manager.told)
    (told,) = manager.told
    assert told["RELOADING"] == "1"
    assert before <= int(told["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_is_one_short_line_whatever_a_server_has_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with managing(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        tell_status("550 no\nMAINPID=1\x1b[2J \udce9 " + "x" * 500)
        manager.wait_for(lambda: manager.told)
    (told,) = manager.told
    assert set(told) == {"STATUS"}
    assert told["STATUS"].startswith("550 no MAINPID=1 [2J xxx")
    assert len(told["STATUS"]) == STATUS_LENGTH


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:1234", "/nowhere/at/all", "@nobody-listens", "/" + "x" * 500]
)
def test_nobody_who_could_listen_is_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
    tell_status("at work")
    Pulse(1.0).beat(0.0)


def test_a_listener_that_takes_nothing_costs_a_sign_of_life_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With blocking sockets this test would hang: the queue is full from the first lap on."""
    address = str(tmp_path / "stuck")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        pulse = Pulse(2.0)
        for now in range(3000):
            pulse.beat(float(now))
        tell_status("at work")
        end.setblocking(False)
        heard = 0
        with suppress(BlockingIOError):
            while end.recv(100):
                heard += 1
    assert 0 < heard < 3000


def test_a_sign_of_life_comes_twice_as_often_as_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with managing(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        pulse = Pulse(10.0)
        for tenths in range(1000, 1201):  # 20 seconds: at the first call, then after each 5
            pulse.beat(tenths / 10)
        notify("STOPPING=1")
        manager.wait_for(lambda: manager.count("STOPPING=1"))
    assert manager.count("WATCHDOG=1") == 5


def test_without_a_watchdog_there_is_no_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with managing(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        Pulse(None).beat(1e9)
        notify("STOPPING=1")
        manager.wait_for(lambda: manager.told)
    assert manager.told == [{"STOPPING": "1"}]


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", "", 30.0),
        ("30000000", "own", 30.0),
        ("30000000", "1", None),
        ("0", "", None),
        ("", "", None),
        ("soon", "", None),
        ("\u00b2", "", None),  # a digit to str.isdigit, and no number
    ],
)
def test_the_watchdog_is_asked_for_by_its_variables(
    microseconds: str, pid: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert watchdog_seconds() == seconds
