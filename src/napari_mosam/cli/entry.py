"""Where the command ``mosam`` starts: first of all it learns to be stopped, then it loads the rest."""

import os
import sys

from napari_mosam.cli.stop_signals import STOPPED, StopSignals


def main() -> int:
    """Run the command.

    Returns
    -------
    int
        The exit code, see :mod:`napari_mosam.cli.main`.
    """
    stop = StopSignals()
    stop.catch()
    from napari_mosam.cli.main import main as command

    code = command(stop=stop)
    stop.end()
    if code == STOPPED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # threads of what was interrupted neither hold the end up nor have a say in it
    return code


if __name__ == "__main__":
    sys.exit(main())
