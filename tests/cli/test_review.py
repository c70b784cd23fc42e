"""``mosam review``: what to look at, the worst first, and what an audit said."""

import numpy as np
import pytest
from tests.core.session.test_session import IMAGES, LABELS, QUICK, TWO
from tests.support.fake_model import FakeSegmenter

from napari_mosam import Session, track
from napari_mosam.cli import main as cli


@pytest.fixture
def out(tmp_path):
    """Object 1 is not there on frame 1, object 2 not on frames 2 and 3."""
    images = IMAGES.copy()
    images[1][LABELS[1] != 2] = 0  # nor is anything near that could be taken for it
    images[2:4][LABELS[2:4] == 2] = 0
    np.save(tmp_path / "movie.npy", images)
    return track(tmp_path / "movie.npy", TWO, out=tmp_path / "cells.zarr", model=FakeSegmenter(), config=QUICK).path


def said(capsys, *arguments):
    assert cli.main(["review", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_it_lists_what_is_unsure_and_what_is_more(out, capsys):
    rows = said(capsys, out)
    assert rows[0].split() == ["expected", "IoU", "look", "at", "what"]
    assert [row.split(maxsplit=2)[1:] for row in rows[1:]] == [
        ["2", "object 2, frames 2 to 3: not found"],
        ["1", "object 1, frame 1: not found"],
    ]
    assert said(capsys, out, "--first", 1)[2] == "and 1 more (--first)"


def test_it_tells_of_an_audit_and_whether_masks_changed_since(out, capsys):
    session = Session.open(out, model=FakeSegmenter(), recent=out.parent / "recent")
    for item in session.queue():
        session.approve(item.object_id, item.start, item.stop)
    for place in session.draw_audit(2).places:
        session.judge(*place, "right")
    assert said(capsys, out) == [
        "nothing is left to look at",
        "Of 2 masks drawn at random from 9, 2 were judged correct (100 %; 95 % CI 34-100 %).",
    ]
    session.correct(1, 5, None, follow=False)
    assert said(capsys, out)[-1].endswith("Masks changed since.")
    session.close()


def test_what_cannot_be_is_refused(out, capsys, tmp_path):
    assert cli.main(["review", str(tmp_path / "no.zarr")]) == 2
    with pytest.raises(SystemExit):
        cli.main(["review", str(out), "--first", "0"])
    assert "'0' is no number of rows" in capsys.readouterr().err
