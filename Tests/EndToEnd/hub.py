"""The built hub as a child process."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".build" / "release" / "market-hub"
READY_SECONDS_MOST = 20
STOP_SECONDS_MOST = 15
LOG_LINES_MOST = 100_000


class HubFailure(AssertionError):
    """The hub did not start, or did not end as it should; the message holds the end of its log."""


@dataclass
class Hub:
    """A running hub. `settings` are given by --set; ports not named there are chosen by the kernel."""

    settings: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    program: Path = PROGRAM
    listeners: dict[str, str] = field(default_factory=dict, init=False)
    # Of the hubs that took the place of the first, the newest last.
    successors: list[int] = field(default_factory=list, init=False)
    log: list[str] = field(default_factory=list, init=False)

    def start(self) -> None:
        """Returns when the hub said that it is ready."""
        if not self.program.exists():
            raise HubFailure("the hub is not built: swift build -c release --product market-hub")
        settings = {"listen.port": 0, "admin.port": 0, **self.settings}
        command = [str(self.program), "serve", *self.arguments]
        for key, value in settings.items():
            command += ["--set", f"{key}={setting_text(value)}"]
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**own_environment(), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read_log, daemon=True),
            threading.Thread(target=self._read_output, daemon=True),
        ]
        self._is_ready = threading.Event()
        self._is_ended = False
        for reader in self._readers:
            reader.start()
        deadline = time.monotonic() + READY_SECONDS_MOST
        while not self._is_ready.wait(0.01):
            if self._process.poll() is not None:
                for reader in self._readers:
                    reader.join()
                if self._is_ready.is_set():
                    break
                raise HubFailure(f"the hub ended with status {self._process.returncode} before it was ready\n{self.log_end}")
            if time.monotonic() > deadline:
                self.kill()
                raise HubFailure(f"the hub was not ready within {READY_SECONDS_MOST} s\n{self.log_end}")

    def _read_output(self) -> None:
        """The first line says where it listens, a further one where its successor does; a full pipe would stop the hub."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not self._is_ready.is_set():
                try:
                    event = json.loads(line)
                except ValueError:
                    self.log.append(f"(standard output) {line.rstrip()}")
                    continue
                if event.get("event") == "ready":
                    self.listeners = dict(event["listeners"])
                    self._is_ready.set()
            elif line.startswith('{"event":"ready"'):
                event = json.loads(line)
                self.listeners = dict(event["listeners"])
                self.successors.append(event["pid"])

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if len(self.log) < LOG_LINES_MOST:
                self.log.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self.successors[-1] if self.successors else self._process.pid

    def restart(self) -> None:
        """Puts another process in the hub's place; returns when that one serves and the old one has ended."""
        (old, count) = (self.pid, len(self.successors))
        self.begin_restart()
        deadline = time.monotonic() + READY_SECONDS_MOST
        while len(self.successors) == count:
            if time.monotonic() > deadline:
                raise HubFailure(f"no successor serves within {READY_SECONDS_MOST} s\n{self.log_end}")
            time.sleep(0.005)
        status = self._process.wait(timeout=STOP_SECONDS_MOST) if count == 0 else wait_for_end(old)
        if status != 0:
            raise HubFailure(f"the hub that was replaced ended with {status}\n{self.log_end}")

    @property
    def log_end(self) -> str:
        return "\n".join(self.log[-40:])

    @property
    def log_events(self) -> list[dict[str, Any]]:
        """The log so far; every line is one JSON object."""
        return [json.loads(line) for line in list(self.log)]

    @property
    def legacy_url(self) -> str:
        return f"{self._scheme('ws')}://{self.listeners['web']}/ws"

    @property
    def enhanced_url(self) -> str:
        return f"{self._scheme('ws')}://{self.listeners['web']}/ws/v2"

    @property
    def page_url(self) -> str:
        return f"{self._scheme('http')}://{self.listeners['web']}/"

    @property
    def admin_url(self) -> str:
        return f"http://{self.listeners['admin']}"

    def _scheme(self, plain: str) -> str:
        return plain + "s" if "tls.certificateFile" in self.settings else plain

    def begin_restart(self) -> None:
        """Asks the hub to put another process in its place."""
        # Whose parent ends becomes ours, so that it can be waited for (PR_SET_CHILD_SUBREAPER).
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
        self.send(signal.SIGUSR2)

    def send(self, number: signal.Signals) -> None:
        if self.successors:
            os.kill(self.pid, number)
        else:
            self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks the hub to end, as an operator does, and gives its exit status."""
        if self.successors:
            if not self._is_ended:
                self._is_ended = True
                self.send(number)
                self._status = wait_for_end(self.pid)
            for reader in self._readers:
                reader.join()
            return self._status
        if self._process.poll() is None:
            self.send(number)
        try:
            status = self._process.wait(timeout=STOP_SECONDS_MOST)
        except subprocess.TimeoutExpired:
            self.kill()
            raise HubFailure(f"the hub did not end within {STOP_SECONDS_MOST} s of {number.name}\n{self.log_end}") from None
        for reader in self._readers:
            reader.join()
        return status

    def kill(self) -> None:
        if self.successors and not self._is_ended:
            self._is_ended = True
            os.kill(self.pid, signal.SIGKILL)
            self._status = wait_for_end(self.pid)
        self._process.kill()
        self._process.wait()


def wait_for_end(pid: int) -> int:
    """Of a process that became ours when its parent ended; its exit status, or the signal that ended it as a negative number."""
    deadline = time.monotonic() + STOP_SECONDS_MOST
    while time.monotonic() < deadline:
        # No child of ours before its parent has ended.
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise HubFailure(f"the process {pid} did not end within {STOP_SECONDS_MOST} s")


def setting_text(value: object) -> str:
    """As --set wants it: lists by commas, booleans in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(setting_text(part) for part in value)
    return str(value)


def own_environment() -> dict[str, str]:
    """Without the settings that whoever runs the tests may have for a hub of his own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MARKET_HUB_")}
