"""Where the command ``mosam`` starts: first of all it learns to be stopped, then it loads the rest."""

import logging
import os
import sys

from napari_mosam.cli.stop_signals import STOPPED, StopSignals

logger = logging.getLogger("napari_mosam")


def main() -> int:
    """Run the command.

    Returns
    -------
    int
        The exit code, see :mod:`napari_mosam.cli.main`.
    """
    stop = StopSignals()
    stop.catch()
    logger.addHandler(_warnings())
    from napari_mosam.cli.main import main as command

    code = command(stop=stop)
    stop.end()
    if code == STOPPED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # threads of what was interrupted neither hold the end up nor have a say in it
    return code


def _warnings() -> logging.Handler:
    """Our warnings look like all that the command says; what other libraries log is not ours to say."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("mosam: %(message)s"))
    return handler


if __name__ == "__main__":
    sys.exit(main())
