"""Runs of the command that are stopped on the way."""

from napari_mosam.cli import main as cli


def stop_at(monkeypatch, n):
    """Ctrl-C after some frames of the next run."""
    progress = cli._Run.progress

    def stopping(run, result, done, total):
        progress(run, result, done, total)
        if done == n:
            monkeypatch.setattr(cli._Run, "progress", progress)
            raise KeyboardInterrupt

    monkeypatch.setattr(cli._Run, "progress", stopping)
