"""``python -m napari_mosam`` is the command ``mosam``."""

import sys

from napari_mosam.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
