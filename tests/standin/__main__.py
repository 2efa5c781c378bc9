"""Serve the stand-in by hand: `python -m tests.standin --port 8801`, then set agent.claude.base_url to it."""

from __future__ import annotations

import argparse
import threading

from tests.standin.server import KEY, StandIn


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8801)
    arguments = parser.parse_args()
    with StandIn(port=arguments.port) as standin:
        print(f"serving {standin.url}; the key is ANTHROPIC_API_KEY={KEY}")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"answered {len(standin.answered)} of {len(standin.journal)} calls")


if __name__ == "__main__":
    main()
