"""What the first shape needs is there before it is drawn."""

from napari_mosam.widgets.picture import first_use
from napari_mosam.widgets.picture.first_use import FirstUse, shapes_compiled


def test_a_tool_waits_until_it_can_draw_without_a_freeze(qtbot, monkeypatch):
    said, done = [], []
    monkeypatch.setattr(first_use, "shapes_compiled", lambda: False)
    monkeypatch.setattr(first_use, "CODE", "input()")  # ends at once, for it has no input
    use = FirstUse(said.append)
    use.when_ready(lambda: done.append("first"))
    use.when_ready(lambda: done.append("last"))
    assert not done and "only the first time" in said[0]
    use.start()
    qtbot.waitUntil(lambda: use.ready, timeout=60_000)
    assert done == ["last"], "of two tools the one that was asked for last is in hand"
    use.when_ready(lambda: done.append("now"))
    assert done[-1] == "now"


def test_closing_ends_the_child(qtbot, monkeypatch):
    monkeypatch.setattr(first_use, "shapes_compiled", lambda: False)
    monkeypatch.setattr(first_use, "CODE", "import time; time.sleep(60)")
    use = FirstUse(lambda _: None)
    use.start()
    qtbot.waitUntil(lambda: use._child is not None)
    use.close()
    assert use._child.wait(10) != 0


def test_what_was_drawn_once_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setenv("MOSAM_CACHE", str(tmp_path / "ours"))
    assert not shapes_compiled()
    first_use.draw_shapes()
    assert shapes_compiled()
    assert len(list((tmp_path / "ours" / first_use.NOTE).iterdir())) == 1, "nothing of ours lies beside napari"
