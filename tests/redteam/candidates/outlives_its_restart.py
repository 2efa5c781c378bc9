"""Ignores TERM and leaves a daemon, forked twice into a session of its own, that holds the connection. Stopped by:
kill_tree: the restart happens, nothing survives, and an otherwise honest answer is scored."""

import os
import signal
import time

from tiny_model import honest_model


def load_model(artifact):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(60)
        os._exit(0)
    return honest_model(artifact)
