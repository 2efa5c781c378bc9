"""Takes the pictures of docs/images anew, from a real campaign: `python -m tests.browser.screenshots [CAMPAIGN]`.

It copies the campaign folder (default: demo), goes on with it for a few experiments, and takes the live page, light and
dark, while one of them trains. Then it stops the controller and takes what `status` and `log` print. The campaign
itself is not changed. Needs Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.browser.chromium import Page, chromium, find_program, tab
from tests.support.http import free_port
from tests.support.waiting import DeadlineError, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "docs" / "images"
WORK = REPOSITORY / "build" / "screenshots"
PROGRAM = (sys.executable, "-m", "controller.cli")

WIDTH, HEIGHT = 1000, 980
"""Size of the page in CSS pixels: a little wider than GitHub shows a picture in a README."""

SHARPNESS = 1.25
"""Device pixels for each CSS pixel. More makes the files larger than LIMIT_BYTES."""

COLOURS = ("161b22", "ff7b72", "3fb950", "d29922", "58a6ff", "bc8cff", "39c5cf", "b1bac4")
BRIGHT = ("8b949e", "ffa198", "56d364", "e3b341", "79c0ff", "d2a8ff", "56d4dd", "ffffff")
"""The sixteen colours of a dark terminal whose grey can still be read."""

LIMIT_BYTES = 200_000
COLUMNS = 110
PAGE = """<html><body style="margin:0;background:{background}"><pre style="margin:0;padding:16px;display:inline-block;\
color:{foreground};font:14px/1.35 'DejaVu Sans Mono',monospace">{code}</pre></body></html>"""

SHOWN_FROM = 0.3
"""Share of the training budget that has passed in the pictures, so that the bar and the training's line are there."""

PATIENCE_SECONDS = 600.0
"""For the first try to begin training: the data is checked first, and the machine may be busy."""


def main(arguments: list[str]) -> None:
    """Take all pictures; says which files it wrote."""
    program = find_program()
    if program is None:
        sys.exit("screenshots: no Chromium here; install it (Debian: apt-get install chromium)")
    campaign = Path(arguments[0] if arguments else "demo").resolve()
    if not (campaign / "lab.git").is_dir():
        sys.exit(f"screenshots: {campaign} holds no campaign; run `make demo` first, or name another folder")
    copy = copy_campaign(campaign)
    with chromium(program, WORK) as pipe, tab(pipe) as page:
        with served(copy) as address:
            for dark in (False, True):
                take_page(page, address, PICTURES / f"live-{'dark' if dark else 'light'}.png", dark=dark)
        take_terminal(page, copy, PICTURES / "terminal.png")


def copy_campaign(campaign: Path) -> Path:
    """A copy to go on with, whose data is a link to the original's."""
    copy = WORK / campaign.name
    shutil.rmtree(WORK, ignore_errors=True)
    copy.mkdir(parents=True)
    shutil.copy(campaign / "campaign.yaml", copy)
    shutil.copytree(campaign / "lab.git", copy / "lab.git")
    if (campaign / "data").is_dir():
        (copy / "data").symlink_to(campaign / "data")
    return copy


@contextmanager
def served(campaign: Path) -> Iterator[str]:
    """The address of the live page while the campaign goes on, from when its first try trains."""
    port, log = free_port(), WORK / "controller.log"
    flags = ["server.enabled=true", f"server.port={port}", "agent.kind=perturb", "budget.experiments=100000"]
    flags += ["budget.hours=null", "budget.gpu_hours=null", "budget.dollars=null"]
    command = [*PROGRAM, "run", campaign.name, *(word for flag in flags for word in ("--set", flag))]
    with log.open("wb") as output:
        controller = subprocess.Popen(command, cwd=WORK, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_training(address, controller, log)
        yield address
    finally:
        controller.send_signal(signal.SIGTERM)
        controller.wait(timeout=120)


def wait_for_training(address: str, controller: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the page shows a try well into its training."""

    def trains() -> bool:
        if controller.poll() is not None:
            sys.exit(f"screenshots: the controller ended with {controller.returncode}: {log.read_text()[-500:]}")
        try:
            shown = urllib.request.urlopen(f"{address}/", timeout=10).read().decode()
        except OSError:
            return False
        bar = re.search(r'train[^<]*</span><progress[^>]* value="([0-9.]+)"', shown)
        return bar is not None and float(bar[1]) > SHOWN_FROM

    try:
        wait_until(trains, what="a training", seconds=PATIENCE_SECONDS, interval=0.5)
    except DeadlineError as error:
        sys.exit(f"screenshots: {error}: {log.read_text()[-500:]}")


def take_page(page: Page, address: str, picture: Path, *, dark: bool) -> None:
    """The upper part of the live page."""
    page.open(address, width=WIDTH, height=HEIGHT, dark=dark)
    shoot(page, picture, height=HEIGHT)


def take_terminal(page: Page, campaign: Path, picture: Path) -> None:
    """The output of `status` and `log` in colour, as a terminal shows it."""
    blocks = []
    for command in ("status", "log"):
        prompt = Text(f"$ autoresearch {command}", style="bold")
        blocks.append(Text("\n").join([prompt, Text.from_ansi(printed(campaign, command))]))
    console = Console(record=True, file=StringIO(), width=COLUMNS)
    console.print(Text("\n\n").join(blocks))
    theme = TerminalTheme(_colour("0d1117"), _colour("e6edf3"), list(map(_colour, COLOURS)), list(map(_colour, BRIGHT)))
    file = WORK / "terminal.html"
    file.write_text(console.export_html(theme=theme, inline_styles=True, code_format=PAGE), encoding="utf-8")
    page.open(file.as_uri(), width=WIDTH, height=HEIGHT)
    box = page.evaluate("(({width, height}) => [width, height])(document.querySelector('pre').getBoundingClientRect())")
    shoot(page, picture, height=int(box[1]), width=int(box[0]))


def _colour(code: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(code)
    return red, green, blue


def printed(campaign: Path, command: str) -> str:
    """The output of a command on a terminal of COLUMNS columns."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "AUTORESEARCH_CAMPAIGN": campaign.name}
    done = subprocess.run([*PROGRAM, command], cwd=WORK, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def shoot(page: Page, picture: Path, *, height: int, width: int = WIDTH) -> None:
    """Write the picture, and complain when it is too large for the repository."""
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=SHARPNESS,
        mobile=False,
    )
    page.screenshot(picture)
    size = picture.stat().st_size
    print(f"{picture.relative_to(REPOSITORY)}  {size / 1000:.0f} kB")
    if size > LIMIT_BYTES:
        sys.exit(f"screenshots: {picture.name} has {size:,} bytes, more than {LIMIT_BYTES:,}: show less of it")


if __name__ == "__main__":
    main(sys.argv[1:])
