"""The entry point of `autoresearch` and of `python -m controller.cli`. Ctrl-C ends it quietly while it still loads.

Python turns the signal into an exception, and that into a traceback wherever it happens to be, most likely among the
imports. The system's own way ends the process at once; a campaign that runs puts its handler in this place.
"""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell ignores it for its background
    signal.signal(signal.SIGINT, signal.SIG_DFL)

if not all(os.path.exists(f"/proc/self/fd/{number}") for number in range(3)):  # before others take their places
    from controller.cli.streams import open_what_is_closed

    open_what_is_closed()

from controller.cli.commands import main  # loading it takes most of a second

if __name__ == "__main__":
    main()
