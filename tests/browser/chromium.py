"""A headless Chromium, spoken to over its debugging pipe: real layout, real clicks and keys, every request seen.

Only what the page's tests need of the DevTools protocol; Chromium speaks JSON ended by NUL on two file descriptors.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_S, wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has no other way, and only our own page is opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
MOVE_AND_START = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from descriptor 3 and answers on 4."""

KEYS = {"Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, ""), "Escape": ("Escape", 27, ""), " ": ("Space", 32, " ")}


def find_program() -> Path | None:
    """The Chromium of this machine, or None."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


class Pipe:
    """Commands and their answers; events that arrive meanwhile are kept."""

    def __init__(self, writer: int, reader: int) -> None:
        self._writer, self._reader = writer, reader
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The answer to one command. Fails with Chromium's own words."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while True:
            heard = self._next(until)
            if heard.get("id") == self._number:
                assert "error" not in heard, f"{method}: {heard['error']}"
                return dict(heard["result"])
            self.events.append(heard)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reader], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"Chromium said nothing for {PATIENCE_S:g} s"
            chunk = os.read(self._reader, 1 << 20)
            assert chunk, "Chromium has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))


@dataclass
class Page:
    """One tab."""

    pipe: Pipe
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this tab; what happened meanwhile is taken in."""
        answer = self.pipe.call(method, self.session, **parameters)
        self._take_in()
        return answer

    def open(self, address: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show an address in a window of this size."""
        self.resize(width=width, height=height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, *, width: int, height: int) -> None:
        """Give the window another size; below 600 pixels it is a phone with a touch screen."""
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, *, seconds: float = PATIENCE_S) -> None:
        """Wait until a JavaScript expression is true."""
        wait_until(lambda: bool(self.evaluate(f"Boolean({condition})")), what=condition, seconds=seconds)

    def text(self, selector: str) -> str:
        """Visible text of the first element that matches."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def hover(self, selector: str) -> None:
        """Move the mouse onto the middle of an element, after scrolling it into view."""
        x, y = self._middle(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Press and release the left button on the middle of an element."""
        self.hover(selector)
        x, y = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def leave(self) -> None:
        """Move the mouse away from everything."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)

    def press(self, key: str) -> None:
        """Press and release a key, as a keyboard does."""
        code, number, text = KEYS[key]
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        for event in (down, {"type": "keyUp"}):
            self.call("Input.dispatchKeyEvent", key=key, code=code, windowsVirtualKeyCode=number, **event)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A picture of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _middle(self, selector: str) -> tuple[float, float]:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})")
        box = self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return float(box[0]), float(box[1])

    def _take_in(self) -> None:
        ours = [event for event in self.pipe.events if event.get("sessionId") == self.session]
        self.pipe.events = [event for event in self.pipe.events if event.get("sessionId") != self.session]
        for event in ours:
            said = event["params"]
            match event["method"]:
                case "Network.requestWillBeSent":
                    self.requests.append(said["request"]["url"])
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(said["exceptionDetails"]))
                case "Runtime.consoleAPICalled" if said["type"] in ("error", "warning", "assert"):
                    self.complaints.append(str(said["args"]))
                case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning"):
                    self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")


@contextmanager
def chromium(program: Path, folder: Path) -> Iterator[Pipe]:
    """A running Chromium, ended in the end."""
    to_read, writer = os.pipe()
    reader, to_write = os.pipe()
    command = [str(program), *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-c", MOVE_AND_START, str(to_read), str(to_write), *command],
            pass_fds=(to_read, to_write),
            stdout=log,
            stderr=log,
        )
    os.close(to_read)
    os.close(to_write)
    pipe = Pipe(writer, reader)
    try:
        yield pipe
        pipe.call("Browser.close")
    finally:
        os.close(writer)
        os.close(reader)
        started.wait(timeout=PATIENCE_S)


@contextmanager
def tab(pipe: Pipe) -> Iterator[Page]:
    """A fresh tab with a profile of its own, closed in the end."""
    context = pipe.call("Target.createBrowserContext")["browserContextId"]
    target = pipe.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
    session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    page = Page(pipe, session)
    for domain in ("Page", "Runtime", "Network", "Log"):
        page.call(f"{domain}.enable")
    yield page
    pipe.call("Target.disposeBrowserContext", browserContextId=context)
