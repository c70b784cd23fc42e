"""Previews of a session: of some objects, on top of what was followed, and in nobody's way."""

import threading

import numpy as np
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam import BoxPrompt, EngineConfig, MotionConfig, PointPrompt, Session
from napari_mosam.core.session import work

IMAGES, LABELS = disks([[(20, 20 + t), (44, 40)] for t in range(4)], shape=(64, 64), radius=6)
BOXES = [BoxPrompt(1, 0, (14.0, 14.0, 26.0, 26.0)), BoxPrompt(2, 0, (38.0, 34.0, 50.0, 46.0))]


def session_of(folder, prompts=BOXES):
    return Session(
        IMAGES, prompts, model=FakeSegmenter(), config=EngineConfig(motion=MotionConfig.off()), recent=folder
    )


def test_a_preview_of_some_objects_leaves_half_marks_of_others_alone(tmp_path):
    session = session_of(tmp_path)
    session.set_prompts(type(session.prompts)([*BOXES, PointPrompt(3, 0, (5.0, 5.0), positive=False)]), "half a mark")
    result = session.preview(0, [2])
    assert [item.object_id for item in result.objects] == [2] and set(np.unique(result.labels)) == {0, 2}
    assert session.model_ready and session.result is None and session.history == ("half a mark",)


def test_clicks_on_a_followed_frame_are_on_top_of_its_mask_and_elsewhere_they_are_not(tmp_path):
    session = session_of(tmp_path)
    result = session.run()
    session.mark(PointPrompt(1, 2, (20.0, 22.0)), PointPrompt(2, 0, (44.0, 41.0)))
    click, mask = work.on_masks(session.preview_request(2), 2, result).prompts.at(2)[1]
    assert click == PointPrompt(1, 2, (20.0, 22.0))
    np.testing.assert_array_equal(mask.to_frame((64, 64)), np.asarray(result.labels[2]) == 1)
    request = session.preview_request(0)
    assert work.on_masks(request, 0, result) is request, "there it starts, from its box"


def test_what_changes_the_session_waits_for_a_preview(tmp_path, monkeypatch):
    session = session_of(tmp_path)
    session.run()
    waits, go_on, preview = threading.Event(), threading.Event(), work.preview_frame

    def held(*given):
        waits.set()
        assert go_on.wait(10)
        return preview(*given)

    monkeypatch.setattr(work, "preview_frame", held)
    asked = threading.Thread(target=session.preview, args=(0,))
    asked.start()
    assert waits.wait(10)
    threading.Timer(0.05, go_on.set).start()
    session.lock(1, 2)
    asked.join()
    assert session.result.locked(2) and session.busy == ""
