import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_mosam.core.prompts.collection import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptError,
    Prompts,
    polygon_mask,
)
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.prompts.tables import CSV_COLUMNS

SHAPE = (4, 20, 30)
FRAME = SHAPE[1:]


def square(y: int = 5, x: int = 7, size: int = 4) -> np.ndarray:
    mask = np.zeros(FRAME, bool)
    mask[y : y + size, x : x + size] = True
    return mask


# --- the three kinds -------------------------------------------------------------------------------------------------


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_a_mask_survives_cropping(mask):
    prompt = MaskPrompt.from_frame(3, 1, mask)
    assert np.array_equal(prompt.to_frame(mask.shape), mask)
    assert prompt.mask.size <= mask.size


def test_a_mask_is_kept_as_the_smallest_crop():
    prompt = MaskPrompt.from_frame(3, 1, square(5, 7, 4))
    assert (prompt.mask.shape, prompt.origin, prompt.frame_shape) == ((4, 4), (5, 7), FRAME)


@pytest.mark.parametrize(
    ("origin", "y", "x"), [((-2, -1), (0, 1), (0, 2)), ((18, 28), (18, 20), (28, 30)), ((40, 2), (0, 0), (0, 0))]
)
def test_a_crop_that_sticks_out_is_cut_off(origin, y, x):
    frame = MaskPrompt(1, 0, np.ones((3, 3), bool), origin).to_frame(FRAME)
    expected = np.zeros(FRAME, bool)
    expected[slice(*y), slice(*x)] = True
    assert np.array_equal(frame, expected)


def test_nan_is_no_pixel_of_a_mask():
    pixels = np.where(square(), 1, np.nan)
    for prompt in (MaskPrompt.from_frame(3, 0, pixels), MaskPrompt(3, 0, pixels, (0, 0))):
        assert np.array_equal(prompt.to_frame(square().shape), square())


@pytest.mark.parametrize("box", [(5, 1, 4, 9), (1, 9, 5, 8)])
def test_a_box_turned_round_is_refused(box):
    with pytest.raises(PromptError, match=r"object 2 on frame 1: box .* is turned round"):
        BoxPrompt(2, 1, box)


def test_a_box_of_one_pixel_is_the_smallest_that_is_allowed():
    pixel = BoxPrompt(2, 1, (4, 4, 4, 4))
    Prompts([pixel]).check(SHAPE)
    assert pixel.box == (4, 4, 4, 4)
    with pytest.raises(PromptError, match="is turned round"):
        BoxPrompt(2, 1, (4, 4, 3.9, 4))


@pytest.mark.parametrize("yx", [(float("nan"), 1.0), (1.0, float("inf")), (1.0,), ("1", 2), (1, (2, 3)), 4, None])
def test_coordinates_must_be_finite(yx):
    with pytest.raises(PromptError, match="give 2 finite numbers"):
        PointPrompt(1, 0, yx)


@pytest.mark.parametrize("given", [1.5, "1", True, None])
def test_ids_and_frames_are_whole_numbers(given):
    for values, name in (((given, 0), "object_id"), ((1, given), "frame")):
        for kind, what in ((PointPrompt, (1, 2)), (BoxPrompt, (1, 2, 3, 4))):
            with pytest.raises(PromptError, match=f"{name} = {given!r} is not possible; allowed: a whole number"):
                kind(*values, what)
        with pytest.raises(PromptError, match=f"{name} = {given!r} is not possible; allowed: a whole number"):
            MaskPrompt.from_frame(*values, square())


def test_prompts_of_numbers_of_numpy_are_those_of_python():
    made = PointPrompt(np.int64(2), np.uint8(3), np.array([1, 2])), BoxPrompt(np.int64(2), np.int64(3), np.arange(4.0))
    assert made == (PointPrompt(2, 3, (1, 2)), BoxPrompt(2, 3, (0, 1, 2, 3)))
    point, box = made
    assert all(type(n) in (int, float) for n in (point.object_id, point.frame, *point.yx, *box.box))


def test_a_polygon_fills_the_pixels_whose_centres_it_holds():
    mask = polygon_mask([(1.5, 2.5), (1.5, 5.5), (4.5, 5.5), (4.5, 2.5)], FRAME)
    assert np.array_equal(np.argwhere(mask), [(y, x) for y in (2, 3, 4) for x in (3, 4, 5)])


def test_a_polygon_with_two_corners_is_refused():
    with pytest.raises(PromptError, match="at least 3"):
        polygon_mask([(1, 2), (3, 4)], FRAME)


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)), shift=st.integers(0, 3))
def test_masks_are_equal_that_hold_the_same_pixels_however_they_are_cut_out(mask, shift):
    framed = np.pad(mask, shift)
    one, other = MaskPrompt.from_frame(1, 0, framed), MaskPrompt(1, 0, mask.astype(np.uint8) * 255, (shift, shift))
    assert (one == other or not mask.any()) and hash(one) == hash(other)
    assert one != MaskPrompt(1, 0, mask, (shift + 1, shift)) or not mask.any()
    assert one != MaskPrompt(2, 0, one.mask, one.origin) and one != MaskPrompt(1, 1, one.mask, one.origin)
    assert one != mask.tolist()


# --- a collection ----------------------------------------------------------------------------------------------------


def test_prompts_are_equal_that_say_the_same_of_every_object():
    a, b, c = PointPrompt(7, 2, (1, 1)), BoxPrompt(3, 0, (1, 1, 3, 3)), MaskPrompt.from_frame(7, 0, square())
    assert Prompts([a, b, c]) == Prompts([c, b, a]) and hash(Prompts([a, b, c])) == hash(Prompts([c, b, a]))
    assert Prompts([a, b, c]) != Prompts([a, b]) and Prompts([a]) != [a]
    first, second = PointPrompt(1, 0, (1, 1)), PointPrompt(1, 0, (2, 2))
    assert Prompts([first, second]) != Prompts([second, first])  # the model is told of clicks in their order


def test_prompts_of_an_object_and_of_some_frames_are_found():
    a, b, c = PointPrompt(7, 2, (1, 1)), BoxPrompt(3, 0, (1, 1, 3, 3)), PointPrompt(7, 0, (2, 2))
    prompts = Prompts([a, b, c])
    assert list(prompts.of(7).items()) == [(0, [c]), (2, [a])] and prompts.of(1) == {}
    assert prompts.between(1, 3) == Prompts([a]) and prompts.between(0, 3) is prompts


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int64, np.uint64, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 1, 2, 7, 200]),
    )
)
def test_every_id_of_a_label_image_becomes_the_mask_of_its_pixels(labels):
    prompts = Prompts.from_labels(labels, frame=3)
    assert [p.object_id for p in prompts] == [i for i in np.unique(labels).astype(int) if i]
    for p in prompts:
        assert p.frame == 3 and np.array_equal(p.to_frame(labels.shape), labels == p.object_id)
        assert p.tight[0] == p.origin and p.tight[1].shape == p.mask.shape


def test_ids_may_be_any_whole_numbers():
    labels = np.array([[0, 2**31, 2**31], [5, 5, 0]], np.uint64)
    assert [(p.object_id, p.mask.shape) for p in Prompts.from_labels(labels)] == [(5, (1, 2)), (2**31, (1, 2))]
    assert len(Prompts.from_labels(np.zeros((3, 4), int))) == 0


def test_prompts_are_found_by_frame_and_object():
    a, b, c = PointPrompt(7, 2, (1, 1)), BoxPrompt(3, 0, (1, 1, 3, 3)), PointPrompt(7, 0, (2, 2), positive=False)
    prompts = Prompts([a]) + Prompts([b, c])
    assert prompts.object_ids == (3, 7)
    assert prompts.frames == (0, 2)
    assert prompts.at(0) == {3: [b], 7: [c]}
    assert prompts.at(1) == {}
    assert (prompts.first_frame(7), prompts.last_frame(7)) == (0, 2)


def test_what_at_returns_may_be_changed_without_harm():
    prompts = Prompts([PointPrompt(1, 0, (1, 1))])
    prompts.at(0)[1].clear()
    assert len(prompts.at(0)[1]) == 1


def test_something_else_is_no_prompt():
    with pytest.raises(PromptError, match="tuple .* is no prompt"):
        Prompts([(1, 2)])


@given(labels=hnp.arrays(np.uint16, (3, 6, 5), elements=st.sampled_from([0, 1, 2, 700, 65535])))
def test_labels_become_masks_and_back(labels):
    prompts = Prompts.from_labels(labels)
    painted = np.zeros_like(labels)
    for prompt in prompts:
        painted[prompt.frame][prompt.to_frame((6, 5))] = prompt.object_id
    assert np.array_equal(painted, labels)


def test_a_label_image_may_seed_any_frame():
    assert Prompts.from_labels(square() * 9, frame=3).first_frame(9) == 3


def test_a_label_stack_is_read_frame_by_frame(tmp_path):
    stack = zarr.create_array(tmp_path / "l.zarr", shape=SHAPE, chunks=(1, *FRAME), dtype="u2")
    stack[2] = square() * 5
    assert Prompts.from_labels(stack).frames == (2,)


def test_nan_is_background():
    assert Prompts.from_labels(np.where(square(), 5, np.nan)).object_ids == (5,)


def test_huge_ids_cost_nothing():
    labels = square().astype(np.uint32) * (2**32 - 1)
    assert Prompts.from_labels(labels).object_ids == (2**32 - 1,)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2, 3, 4), int), r"shape \(2, 2, 3, 4\), more than \(T, Y, X\)"),
        (np.full((3, 3), -1), "holds -1"),
        (np.full((3, 3), 0.5), "fractions"),
        (np.full((3, 3), np.inf), "fractions"),
    ],
)
def test_labels_that_hold_no_ids_are_refused(labels, message):
    with pytest.raises(PromptError, match=message):
        Prompts.from_labels(labels)


BAD = {
    "nothing": ([], "nothing is marked"),
    "late frame": ([PointPrompt(1, 4, (1, 1))], "frame 4: the movie has 4 frames, so frames 0 to 3"),
    "early frame": ([PointPrompt(1, -1, (1, 1))], "frames 0 to 3"),
    "id 0": ([PointPrompt(0, 0, (1, 1))], "1 or more"),
    "point below": ([PointPrompt(1, 0, (19.5, 1))], "outside the frame of 20 x 30 px"),
    "point left": ([PointPrompt(1, 0, (1, -0.6))], r"point \[1, -0.6\] lies outside the frame of 20 x 30 px"),
    "box right": ([BoxPrompt(1, 0, (1, 30, 5, 35))], r"box \[1, 30, 5, 35\] lies outside the frame"),
    "box above": ([BoxPrompt(1, 0, (-9, 3, -1, 5))], r"box \[-9, 3, -1, 5\] lies outside the frame"),
    "empty mask": ([MaskPrompt.from_frame(1, 0, np.zeros(FRAME, bool))], "mask is empty"),
    "mask of another movie": ([MaskPrompt.from_frame(1, 0, np.ones((9, 9)))], r"\(9, 9\) does not fit .* \(20, 30\)"),
    "crop that sticks out": ([MaskPrompt(1, 0, np.ones((3, 3), bool), (18, 0))], "does not fit"),
    "negative only": ([PointPrompt(1, 0, (1, 1), False), PointPrompt(1, 2, (1, 1), False)], "negative points only"),
    "two masks": ([MaskPrompt.from_frame(1, 0, square())] * 2, "object 1 has 2 masks on frame 0"),
    "two boxes": ([BoxPrompt(1, 0, (1, 1, 3, 3)), BoxPrompt(1, 0, (5, 5, 6, 6))], "2 boxes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused(name):
    items, message = BAD[name]
    with pytest.raises(PromptError, match=message):
        Prompts(items).check(SHAPE)


@pytest.mark.parametrize(
    ("within", "beyond", "said"),
    [
        (PointPrompt(1, 0, (-0.5, -0.5)), PointPrompt(1, 0, (-0.51, -0.5)), r"point \[-0.51, -0.5\] lies outside"),
        (PointPrompt(1, 0, (19.49, 29.49)), PointPrompt(1, 0, (19.49, 29.5)), r"point \[19.49, 29.5\] lies outside"),
        (PointPrompt(1, 3, (1, 1)), PointPrompt(1, 4, (1, 1)), "the movie has 4 frames, so frames 0 to 3"),
        (BoxPrompt(1, 0, (-5, -5, -0.5, -0.5)), BoxPrompt(1, 0, (-5, -5, -0.51, -0.5)), r"-0.51, -0.5\] lies outside"),
        (BoxPrompt(1, 0, (19.49, 29.49, 40, 40)), BoxPrompt(1, 0, (19.49, 29.5, 40, 40)), r"box .* lies outside"),
        (MaskPrompt.from_frame(1, 0, np.ones(FRAME)), MaskPrompt.from_frame(1, 0, np.ones((20, 31))), "does not fit"),
    ],
)
def test_what_lies_at_the_edge_is_allowed_and_what_lies_beyond_is_not(within, beyond, said):
    Prompts([within]).check(SHAPE)
    with pytest.raises(PromptError, match=said):
        Prompts([beyond]).check(SHAPE)


# --- files -----------------------------------------------------------------------------------------------------------


def write_json(folder: Path, records: object) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(records))
    return path


def write_csv(folder: Path, *rows: dict, columns: tuple[str, ...] = CSV_COLUMNS) -> Path:
    path = folder / "prompts.csv"
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.fixture
def mask_file(tmp_path) -> str:
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "a.tif", square().astype(np.uint8) * 255)
    return "masks/a.tif"


def test_json_records(tmp_path, mask_file):
    records = [
        {"object": 3, "frame": 0, "point": [4, 5.5], "positive": False},
        {"object": 3, "frame": 0, "box": [1, 2, 3, 4]},
        {"object": 4, "frame": 2, "mask": mask_file},
        {"object": 5, "frame": 1, "point": [4, 5]},
    ]
    point, box, mask, plain = load_prompts(write_json(tmp_path, records), SHAPE)
    assert point == PointPrompt(3, 0, (4.0, 5.5), positive=False)
    assert box == BoxPrompt(3, 0, (1.0, 2.0, 3.0, 4.0))
    assert (mask.object_id, mask.frame) == (4, 2)
    assert np.array_equal(mask.to_frame(FRAME), square())
    assert plain.positive


def test_csv_rows(tmp_path, mask_file):
    path = write_csv(
        tmp_path,
        {"object": 3, "frame": 0, "y": 4, "x": 5.5, "positive": "False"},
        {"object": "3.0", "frame": 0, "y0": 1, "x0": 2, "y1": 3, "x1": 4, "positive": "true"},
        {"object": 4, "frame": 2, "mask": mask_file},
        {"object": 5, "frame": 1, "y": 4, "x": 5},
    )
    point, box, mask, plain = load_prompts(path, SHAPE)
    assert point == PointPrompt(3, 0, (4.0, 5.5), positive=False)
    assert box == BoxPrompt(3, 0, (1.0, 2.0, 3.0, 4.0))
    assert np.array_equal(mask.to_frame(FRAME), square())
    assert plain == PointPrompt(5, 1, (4.0, 5.0))


def test_a_csv_may_leave_columns_out(tmp_path):
    path = write_csv(tmp_path, {"object": 1, "frame": 0, "y": 1, "x": 2}, columns=("object", "frame", "y", "x"))
    assert load_prompts(path, SHAPE).items == (PointPrompt(1, 0, (1.0, 2.0)),)


def test_an_absolute_mask_path_works(tmp_path, mask_file):
    (tmp_path / "elsewhere").mkdir()
    records = [{"object": 1, "frame": 0, "mask": str(tmp_path / mask_file)}]
    assert load_prompts(write_json(tmp_path / "elsewhere", records), SHAPE).object_ids == (1,)


POINT = {"object": 1, "frame": 0, "point": [1, 1]}
BAD_RECORDS = {
    "unknown key": ({**POINT, "pont": 1}, "record 2: unknown key 'pont'; allowed: object, frame"),
    "nothing to prompt": ({"object": 1, "frame": 0}, "record 2: has no point, box or mask"),
    "two kinds": ({**POINT, "box": [1, 1, 2, 2]}, "record 2: has point and box"),
    "no object": ({"frame": 0, "point": [1, 1]}, "record 2: 'object' is missing"),
    "fractional frame": ({**POINT, "frame": 0.5}, "record 2: 'frame' is 0.5; give a whole number"),
    "true as id": ({**POINT, "object": True}, "'object' is True"),
    "text as id": ({**POINT, "object": "1"}, "'object' is '1'"),
    "three coordinates": ({**POINT, "point": [0, 1, 1]}, r"give 2 finite numbers \[y, x\]"),
    "NaN": ({**POINT, "point": [float("nan"), 1]}, "finite"),
    "text sign": ({**POINT, "positive": "no"}, "allowed: true or false"),
    "negative box": ({"object": 1, "frame": 0, "box": [1, 1, 2, 2], "positive": False}, "belongs to a point"),
    "turned box": ({"object": 1, "frame": 0, "box": [5, 1, 2, 2]}, "record 2: object 1 on frame 0: .* turned round"),
    "no record": ([1, 2], r"record 2: \[1, 2\] is no record"),
    "no mask file": ({"object": 1, "frame": 0, "mask": "b.tif"}, "mask 'b.tif' .* check the path"),
    "number as mask": ({"object": 1, "frame": 0, "mask": 3}, "'mask' is 3"),
    "outside": ({**POINT, "frame": 9}, "prompts.json: object 1 on frame 9"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_named_in_one_line(tmp_path, name):
    record, message = BAD_RECORDS[name]
    with pytest.raises(PromptError, match=message) as caught:
        load_prompts(write_json(tmp_path, [POINT, record]), SHAPE)
    assert "\n" not in str(caught.value)


BAD_ROWS = {
    "half a point": ({"object": 1, "frame": 0, "y": 1}, "record 1: 'point' is .* give 2 finite numbers"),
    "text": ({"object": 1, "frame": "first", "y": 1, "x": 1}, "'frame' is 'first'"),
    "odd sign": ({"object": 1, "frame": 0, "y": 1, "x": 1, "positive": "-"}, "allowed: true or false"),
    "nan": ({"object": 1, "frame": 0, "y": "nan", "x": 1}, "finite"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named(tmp_path, name):
    row, message = BAD_ROWS[name]
    with pytest.raises(PromptError, match=message):
        load_prompts(write_csv(tmp_path, row), SHAPE)


def test_an_unknown_column_is_refused(tmp_path):
    path = write_csv(tmp_path, {"object": 1, "frame": 0, "z": 4}, columns=("object", "frame", "z"))
    with pytest.raises(PromptError, match="unknown column 'z'"):
        load_prompts(path, SHAPE)


def test_a_row_that_is_too_long_is_refused(tmp_path):
    (tmp_path / "p.csv").write_text("object,frame,y,x\n1,0,1,1,1\n")
    with pytest.raises(PromptError, match="record 1: more cells than columns"):
        load_prompts(tmp_path / "p.csv", SHAPE)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.json", "[{]", "not valid JSON"),
        ("p.json", "3", "holds a int; give a list"),
        ("p.json", "{}", "record 1: has no point, box or mask"),
        ("p.json", "[]", "nothing is marked"),
        ("p.txt", "", "'.txt' is no kind of prompts file; allowed: .json, .csv, .*.tif"),
        ("p.tif", "nonsense", "cannot be opened: not a TIFF file"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(PromptError, match=message):
        load_prompts(tmp_path / name, SHAPE)


PLACE = '"frame": 0, "point": [1, 2]'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.json", "[" * 10_000 + "]" * 10_000, "nested deeper than 32 levels"),
        ("p.json", "[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("p.json", '[{"object": 1, "frame": 0, "point": ' + "[" * 2000, "nested deeper than 32 levels"),
        ("p.json", '[{"a":' * 10_000, "nested deeper than 32 levels"),
        ("p.json", f'[{{"object": {"9" * 400}, {PLACE}}}]', r"a whole number of 400 digits \(999999999999…\)"),
        ("p.json", f'[{{"object": 1, "frame": -{"9" * 5000}, "point": [1, 2]}}]', "a whole number of 5000 digits"),
        ("p.json", f'[{{"object": 1, "frame": 0, "point": [{"9" * 400}, 2]}}]', "a whole number of 400 digits"),
        ("p.json", '[{"object": 1, "frame": 0, "point": [1e999, 2]}]', "give 2 finite numbers"),
        ("p.json", f'[{{"object": 1, "object": 2, {PLACE}}}]', "the key 'object' stands twice"),
        ("p.json", b'[{"object": 1, "frame": 0, "mask": "\xff.tif"}]', "not text in UTF-8"),
        ("p.json", "[" + " " * 100_000_000, "more than 100,000 kB"),
        ("p.csv", f"object,frame,y,x\n{'9' * 400},0,1,1\n", "give a whole number"),
        ("p.csv", f"object,frame,y,x\n1,0,{'9' * 5000},1\n", "give 2 finite numbers"),
        ("p.csv", "object,frame,y,x,object\n1,0,1,1,2\n", "the column 'object' stands twice"),
        ("p.csv", b"object,frame,y,x\n1,0,1,\xff\n", r"'point' is \[1.0, 'ÿ'\]"),
        ("p.csv", b"object,frame,y,x\n1,0,1,\x81\n", "not text in UTF-8"),
        ("p.csv", "object,frame,y,x\n1,0,1," + "1" * 200_000, "not a valid CSV table"),
        ("p.csv", "object,frame,y,x\n1,0,1,\0\n", "give 2 finite numbers"),
    ],
)
def test_a_file_that_no_parser_should_be_given_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PromptError, match=f"^{name}: .*{message}"):
        load_prompts(tmp_path / name, SHAPE)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "p.json").write_bytes(b"\xef\xbb\xbf" + f'[{{"object": 1, {PLACE}}}]'.encode())
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbfobject,frame,y,x\r\n1,0,1,2\r\n")
    assert list(load_prompts(tmp_path / "p.json", SHAPE)) == list(load_prompts(tmp_path / "p.csv", SHAPE))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PromptError, match="there is no such file"):
        load_prompts(tmp_path / "none.json", SHAPE)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((9, 9), np.uint8), r"'m.tif' has the shape \(1, 9, 9\) \(T, Y, X\); give one of \(20, 30\)"),
        (np.zeros(FRAME, np.uint8), "mask is empty"),
        (np.arange(600, dtype=np.uint16).reshape(FRAME), "599 different values"),
    ],
)
def test_a_mask_file_that_does_not_fit_is_refused(tmp_path, mask, message):
    tifffile.imwrite(tmp_path / "m.tif", mask)
    with pytest.raises(PromptError, match=message):
        load_prompts(write_json(tmp_path, [{"object": 1, "frame": 0, "mask": "m.tif"}]), SHAPE)


# --- label images ----------------------------------------------------------------------------------------------------


def write_tif(path: Path, labels: np.ndarray) -> Path:
    tifffile.imwrite(path.with_suffix(".tif"), labels, compression="zlib", photometric="minisblack")
    return path.with_suffix(".tif")


def write_png(path: Path, labels: np.ndarray) -> Path:
    import imageio.v3 as iio

    iio.imwrite(path.with_suffix(".png"), labels)
    return path.with_suffix(".png")


def write_npy(path: Path, labels: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), labels)
    return path.with_suffix(".npy")


def write_zarr(path: Path, labels: np.ndarray) -> Path:
    zarr.save_array(path.with_suffix(".zarr"), labels)
    return path.with_suffix(".zarr")


def write_result(path: Path, labels: np.ndarray) -> Path:
    group = zarr.open_group(path.with_suffix(".zarr"), mode="w")
    group.create_array("labels", data=labels)
    return path.with_suffix(".zarr")


def label_stack() -> np.ndarray:
    stack = np.zeros(SHAPE, np.uint16)
    stack[0][square(1, 1)] = 4
    stack[0][square(8, 8)] = 900
    stack[2][square(3, 3)] = 4
    return stack


WRITERS = {"tif": write_tif, "png": write_png, "npy": write_npy, "zarr": write_zarr, "result": write_result}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_label_image_prompts_frame_0(tmp_path, kind):
    stack = label_stack()
    prompts = load_prompts(WRITERS[kind](tmp_path / "labels", stack[0]), SHAPE)
    assert (prompts.object_ids, prompts.frames) == ((4, 900), (0,))
    assert np.array_equal(prompts.at(0)[900][0].to_frame(FRAME), stack[0] == 900)


@pytest.mark.parametrize("kind", sorted(WRITERS.keys() - {"png"}))
def test_a_label_stack_prompts_every_painted_frame(tmp_path, kind):
    stack = label_stack()
    prompts = load_prompts(WRITERS[kind](tmp_path / "labels", stack), SHAPE)
    assert {(p.object_id, p.frame) for p in prompts} == {(4, 0), (900, 0), (4, 2)}
    assert np.array_equal(prompts.at(2)[4][0].to_frame(FRAME), stack[2] == 4)


def test_axes_of_length_one_do_not_matter(tmp_path):
    prompts = load_prompts(write_zarr(tmp_path / "labels", label_stack()[:, None, None]), SHAPE)
    assert prompts.frames == (0, 2)


@pytest.mark.parametrize("shape", [(9, 9), (5, *FRAME), (4, 9, 9)])
def test_a_label_image_of_another_shape_is_refused(tmp_path, shape):
    with pytest.raises(PromptError, match=r"give \(Y, X\) = \(20, 30\) for frame 0, or \(T, Y, X\) = \(4, 20, 30\)"):
        load_prompts(write_npy(tmp_path / "labels", np.ones(shape, np.uint8)), SHAPE)


def test_an_empty_label_image_is_refused(tmp_path):
    with pytest.raises(PromptError, match="nothing is marked"):
        load_prompts(write_tif(tmp_path / "labels", np.zeros(FRAME, np.uint8)), SHAPE)


def test_a_zarr_group_without_labels_is_refused(tmp_path):
    zarr.open_group(tmp_path / "g.zarr", mode="w")
    with pytest.raises(PromptError, match="without one image in it"):
        load_prompts(tmp_path / "g.zarr", SHAPE)


def test_real_masks_become_prompts(mosam_data):
    folder = mosam_data / "timelapse" / "dic_hela_01"
    with tifffile.TiffFile(folder / "images.tif") as movie:
        shape = movie.series[0].shape
    prompts = load_prompts(folder / "masks.tif", shape)
    assert set(prompts.at(0)) >= {5, 23, 32, 11, 27}
    assert prompts.last_frame(5) == 68
