"""Cells that nobody marked: proposed on the frame that is shown, looked through, and accepted."""
