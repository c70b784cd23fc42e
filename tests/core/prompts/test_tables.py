"""Tables of prompts as spreadsheets, napari and TrackMate write them."""

import json
import re

import numpy as np
import pytest
import tifffile
from napari.layers import Points, Shapes
from napari_builtins.io import napari_write_points, napari_write_shapes

from napari_mosam.core.config.run import MovieConfig, RunConfig
from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, PromptError, Prompts, polygon_mask
from napari_mosam.core.prompts.files import load_prompts, named_masks
from napari_mosam.core.runs.request import RunRequest

SHAPE = (6, 50, 70)
POINT = PointPrompt(1, 0, (40.5, 60.25))

SPREADSHEETS = {
    "commas": "object,frame,y,x\n1,0,40.5,60.25\n",
    "semicolons and decimal commas": "object;frame;y;x\n1;0;40,5;60,25\n",
    "semicolons": "object;frame;y;x\r\n1;0;40.5;60.25\r\n",
    "tabs": "object\tframe\ty\tx\n1\t0\t40.5\t60.25\n",
    "mark, empty rows, empty cells": "\ufeffobject,frame,y,x,,\r\n1,0,40.5,60.25,,\r\n,,,,,\r\n\r\n",
    "capitals and spaces": "Object, Frame , Y, X\n1, 0, 40.5 , 60.25\n",
    "empty rows and a line of Excel before the names": "\n;;;\r\nsep=;\r\nobject;frame;y;x\r\n1;0;40,5;60,25\r\n",
    "everything in quotes": '"object","frame","y","x"\n"1","0","40.5","60.25"\n',
    "line ends of old Macs": "object,frame,y,x\r1,0,40.5,60.25\r",
    "row numbers": ",object,frame,y,x\n0,1,0,40.5,60.25\n",
    "whole numbers with a point": "object,frame,y,x\n1.0,0.0,40.5,60.25\n",
    "columns that stay empty": "object,frame,y,x,z,y0,positive\n1,0,40.5,60.25,,,\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("kind", SPREADSHEETS)
def test_a_table_is_read_however_a_spreadsheet_saves_it(tmp_path, kind, encoding):
    (tmp_path / "p.csv").write_bytes(SPREADSHEETS[kind].removeprefix("\ufeff").encode(encoding))
    assert load_prompts(tmp_path / "p.csv", SHAPE).items == (POINT,)


def test_records_keep_the_numbers_of_their_rows(tmp_path):
    (tmp_path / "p.csv").write_text("object,frame,y,x\n1,0,1,1\n,,,\n\n1,0,1,far\n")
    with pytest.raises(PromptError, match=r"record 4: 'point' is \[1.0, 'far'\]"):
        load_prompts(tmp_path / "p.csv", SHAPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Object;frame;object;y\n", "the column 'object' stands twice"),
        ("object;frame;size\n1;0;3\n", "record 1: unknown column 'size'; allowed: object,frame,y,x"),
        ("object,frame,y,,x\n1,0,1,9,1\n", "record 1: a cell in a column without a name"),
        ("object,frame,y,x\n1,0,1,1,,7\n", "record 1: more cells than columns"),
        ("object,frame,y,x\n1,0,1,\xe4\n".encode("cp1252"), r"record 1: 'point' is \[1.0, 'ä'\]"),
        ("object,frame,y,x\n1,0,40,5,60\n", "more cells than columns"),
        (b"\xff\xfeo\x00b", r"not text in UTF-8 \(truncated data at byte 4\)"),
    ],
)
def test_what_is_no_table_of_prompts_is_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PromptError, match=message):
        load_prompts(tmp_path / "p.csv", SHAPE)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_mask_is_found_whose_name_a_spreadsheet_saved_in_the_encoding_of_windows(tmp_path, encoding):
    tifffile.imwrite(tmp_path / "Zelle_\u00e4.tif", np.pad(np.ones((3, 3), np.uint8), ((5, 42), (6, 61))))
    (tmp_path / "p.csv").write_bytes("object;frame;mask\n1;0;Zelle_\u00e4.tif\n".encode(encoding))
    assert load_prompts(tmp_path / "p.csv", SHAPE).items[0].origin == (5, 6)
    assert named_masks(tmp_path / "p.csv") == [tmp_path / "Zelle_\u00e4.tif"]


def test_one_record_needs_no_list(tmp_path):
    (tmp_path / "p.json").write_text('{"object": 1, "frame": 0, "point": [40.5, 60.25]}')
    assert load_prompts(tmp_path / "p.json", SHAPE).items == (POINT,)


def test_json_may_be_utf_16_too(tmp_path):
    record = {"object": 1, "frame": 0, "point": [40.5, 60.25]}
    (tmp_path / "p.json").write_text(json.dumps([record]), encoding="utf-16")
    assert load_prompts(tmp_path / "p.json", SHAPE).items == (POINT,)


def test_a_mask_that_was_named_on_windows_is_found_and_never_overwritten(tmp_path):
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "c1.tif", np.pad(np.ones((3, 3), np.uint8), ((5, 42), (6, 61))))
    (tmp_path / "p.json").write_text(r'[{"object": 1, "frame": 0, "mask": "masks\\c1.tif"}]')
    (tmp_path / "p.csv").write_text("object;frame;mask\n1;0;masks\\c1.tif\n")
    for name in ("p.json", "p.csv"):
        assert load_prompts(tmp_path / name, SHAPE).items[0].origin == (5, 6)
        assert named_masks(tmp_path / name) == [tmp_path / "masks" / "c1.tif"]


def test_a_polygon_is_filled(tmp_path):
    corners = [[1.5, 2.5], [1.5, 5.5], [4.5, 5.5], [4.5, 2.5]]
    (tmp_path / "p.json").write_text(json.dumps([{"object": 3, "frame": 2, "polygon": corners}]))
    (prompt,) = load_prompts(tmp_path / "p.json", SHAPE)
    assert (prompt.object_id, prompt.frame) == (3, 2)
    np.testing.assert_array_equal(prompt.to_frame(SHAPE[1:]), polygon_mask(corners, SHAPE[1:]))
    for bad in ([[1, 2], [3]], "round", [[1, 2], [3, 4]], [[1, 2], [3, 4], [5, float("nan")]]):
        (tmp_path / "p.json").write_text(json.dumps([{"object": 3, "frame": 2, "polygon": bad}]))
        with pytest.raises(PromptError, match="record 1: ('polygon' is|a polygon needs at least 3)"):
            load_prompts(tmp_path / "p.json", SHAPE)


# --- napari ----------------------------------------------------------------------------------------------------------


def test_points_that_napari_saved_are_objects_each_which_is_said(tmp_path, caplog):
    path = napari_write_points(str(tmp_path / "p.csv"), np.array([[0, 40.5, 60.25], [2, 9, 10]]), {})
    assert load_prompts(path, SHAPE).items == (POINT, PointPrompt(2, 2, (9, 10)))
    assert caplog.messages == [
        "p.csv does not say whose its points are, so each of the 2 is an object of its own, 1 to 2 in their order; "
        "where some are of one object, add a column 'object_id'"
    ]
    assert named_masks(tmp_path / "p.csv") == [] and len(caplog.messages) == 1


def test_points_of_our_layers_are_known_again(tmp_path, caplog):
    features = {"object_id": np.array([7, 7, 9]), "sign": np.array(["+", "-", "+"], object)}
    data = np.array([[0, 4, 6], [0, 9, 9], [5, 1, 2]], float)
    path = napari_write_points(str(tmp_path / "p.csv"), data, {"properties": features})
    wanted = (PointPrompt(7, 0, (4, 6)), PointPrompt(7, 0, (9, 9), positive=False), PointPrompt(9, 5, (1, 2)))
    assert load_prompts(path, SHAPE).items == wanted and not caplog.messages


def save(layer, path):
    """By napari's own writer, as its menu does."""
    data, meta, kind = layer.as_layer_data_tuple()
    return {"points": napari_write_points, "shapes": napari_write_shapes}[kind](str(path), data, meta)


@pytest.mark.slow
def test_layers_that_napari_itself_saves_are_read(tmp_path, caplog):
    points = Points([[0, 4, 6], [5, 1, 2]], features={"object_id": [7, 7], "sign": ["+", "-"]})
    path = save(points, tmp_path / "p.csv")
    assert load_prompts(path, SHAPE).items == (PointPrompt(7, 0, (4, 6)), PointPrompt(7, 5, (1, 2), positive=False))
    assert not caplog.messages
    corners = [[1, 4, 6], [1, 4, 16], [1, 14, 16], [1, 14, 6]]
    shapes = Shapes([corners, corners], shape_type=["rectangle", "ellipse"], features={"object_id": [7, 9]})
    path = save(shapes, tmp_path / "s.csv")
    assert load_prompts(path, SHAPE).items == (BoxPrompt(1, 1, (4, 6, 14, 16)), BoxPrompt(2, 1, (4, 6, 14, 16)))
    assert "s.csv does not say whose its shapes are, so each of the 2 is an object" in caplog.text


def test_a_column_that_was_added_says_whose_shapes_are(tmp_path, caplog):
    rows = [f"{i},rectangle,{k},1,{y},{x}" for i in (0, 1) for k, (y, x) in enumerate([(4, 6), (4, 16), (14, 16)])]
    text = "index,shape-type,vertex-index,axis-0,axis-1,axis-2,object_id\n"
    (tmp_path / "s.csv").write_text(text + "".join(f"{row},{7 + 2 * (row[0] == '1')}\n" for row in rows))
    assert load_prompts(tmp_path / "s.csv", SHAPE).items == tuple(BoxPrompt(i, 1, (4, 6, 14, 16)) for i in (7, 9))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("place", "frame"), [((3, 4), 0), ((5, 3, 4), 5), ((4.999, 3, 4), 5), ((5, 1, 3, 4), 5), ((5, 0, 2, 3, 4), 5)]
)
def test_the_first_axis_is_time_and_the_last_two_are_the_place(tmp_path, place, frame):
    path = napari_write_points(str(tmp_path / "p.csv"), np.array([place], float), {})
    assert load_prompts(path, SHAPE).items == (PointPrompt(1, frame, (3, 4)),)


def test_shapes_that_napari_saved_become_boxes_and_masks(tmp_path):
    box = np.array([[1, 4, 6], [1, 4, 16], [1, 14, 16], [1, 14, 6]], float)
    outline = np.array([[2, 20, 20], [2, 20, 30], [2, 33, 25]], float)
    path = napari_write_shapes(
        str(tmp_path / "p.csv"), [box, outline, box], {"shape_type": ["rectangle", "polygon", "ellipse"]}
    )
    first, second, third = load_prompts(path, SHAPE)
    assert first == BoxPrompt(1, 1, (4, 6, 14, 16)) and third == BoxPrompt(3, 1, (4, 6, 14, 16))
    assert (second.object_id, second.frame) == (2, 2)
    np.testing.assert_array_equal(second.to_frame(SHAPE[1:]), polygon_mask(outline[:, 1:], SHAPE[1:]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,axis-0,axis-1,axis-2\n0,0,far,1\n", "record 1: 'axis-1' is 'far'; give a finite number"),
        ("index,axis-0,axis-1,sign\n0,1,1,?\n", "record 1: 'positive' is '\\?'; allowed: true or false"),
        ("index,axis-0,axis-1,axis-2\n0,nan,1,1\n", "record 1: 'axis-0' is nan; give a finite number"),
        ("index,axis-0,axis-1,axis-2,object_id\n0,0,1,1,\n", "record 1: 'object_id' is None; give a finite number"),
        (
            "index,shape-type,vertex-index,axis-0,axis-1\n0,line,0,1,1\n0,line,1,9,9\n",
            "a shape of the type 'line' outlines no object; allowed: rectangle",
        ),
    ],
)
def test_marks_of_napari_that_are_none_are_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(PromptError, match=message):
        load_prompts(tmp_path / "p.csv", SHAPE)


# --- TrackMate -------------------------------------------------------------------------------------------------------


SPOTS = (
    "LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME\n"
    "Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame\n"
    "Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame\n"
    ",,,(quality),({unit}),({unit}),({unit}),(sec),\n"
    "ID11,11,0,2.0,60.25,40.5,0.0,0.0,0\n"
    "ID12,12,,2.0,1.0,2.0,0.0,0.0,0\n"
    "ID14,14,None,2.0,1.0,2.0,0.0,0.0,0\n"
    "ID13,13,4,2.0,10.0,9.0,0.0,4.0,2\n"
)


def test_spots_of_trackmate_are_points_of_their_tracks(tmp_path):
    (tmp_path / "spots.csv").write_text(SPOTS.replace("{unit}", "pixel"))
    assert load_prompts(tmp_path / "spots.csv", SHAPE).items == (POINT, PointPrompt(5, 2, (9, 10)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SPOTS.replace("{unit}", "micron"),
            r"the spots are in micron, but prompts are in pixels, and .* \(--pixel-size UM",
        ),
        (
            "TRACK_ID,POSITION_X,POSITION_Y,FRAME\n0,1,1,0\n",
            "in an unknown unit, but prompts are in pixels; in Fiji set",
        ),
        (SPOTS.replace("{unit}", "px") + "ID14,14,4,2.0,20,9,0,4.0,2\n", "track 4 has 2 spots on frame 2, .* XML file"),
        (
            SPOTS.replace("{unit}", "px").replace(",0,2.0", ",,2.0").replace(",4,2.0", ",,2.0"),
            "none of the spots belongs",
        ),
    ],
)
def test_spots_that_are_no_tracks_in_pixels_are_refused_with_the_cure(tmp_path, text, said):
    (tmp_path / "spots.csv").write_text(text)
    with pytest.raises(PromptError, match=said):
        load_prompts(tmp_path / "spots.csv", SHAPE)


@pytest.mark.parametrize(
    ("unit", "pixel_um"), [("micron", (0.5, 0.25)), ("\u00b5m", (0.5, 0.25)), ("nm", (5e-4, 2.5e-4))]
)
def test_spots_in_micrometres_are_brought_to_pixels_of_a_known_size(tmp_path, unit, pixel_um):
    text = SPOTS.replace("{unit}", unit).replace("60.25,40.5", "15.0625,20.25").replace("10.0,9.0", "2.5,4.5")
    (tmp_path / "spots.csv").write_text(text, encoding="utf-8")
    prompts = load_prompts(tmp_path / "spots.csv", SHAPE, pixel_um=pixel_um)
    assert [p.yx for p in prompts] == [(40.5, 60.25), (9, 10)]
    config = RunConfig(movie=MovieConfig(pixel_size=pixel_um[0]))
    request = RunRequest.build(np.zeros(SHAPE, np.uint8), tmp_path / "spots.csv", config)
    assert request.prompts.items[0].yx == pytest.approx((40.5, 30.125))


def trackmate_xml(width: float = 0.5) -> str:
    """Track 0 divides on frame 1 into spots 3 and 4; track 2 is one cell with outlines; track 5 was filtered out."""
    square = " ".join(str(v * width) for v in (-2, -2, 2, -2, 2, 2, -2, 2))
    places = {
        1: (0, 20, 10),
        2: (1, 21, 10),
        3: (2, 18, 11),
        4: (2, 26, 11),
        5: (3, 18, 12),
        6: (0, 40, 30),
        7: (1, 41, 30),
    }
    spots = "".join(
        f'<Spot ID="{i}" FRAME="{t}" POSITION_X="{x * width}" POSITION_Y="{y * width}"'
        + (f' ROI_N_POINTS="4">{square}</Spot>' if i in (6, 7) else " />")
        for i, (t, x, y) in places.items()
    )

    def track(name: int, *edges: tuple[int, int]) -> str:
        told = "".join(f'<Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{b}" />' for a, b in edges)
        return f'<Track TRACK_ID="{name}">{told}</Track>'

    tracks = track(0, (1, 2), (2, 3), (4, 2), (3, 5)) + track(2, (6, 7)) + track(5, (1, 6))
    kept = "".join(f'<TrackID TRACK_ID="{name}" />' for name in (0, 2))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><TrackMate version="7.11.1"><Model spatialunits="micron">'
        f"<AllSpots><SpotsInFrame>{spots}</SpotsInFrame></AllSpots><AllTracks>{tracks}</AllTracks>"
        f"<FilteredTracks>{kept}</FilteredTracks></Model>"
        f'<Settings><ImageData pixelwidth="{width}" pixelheight="{width}" /></Settings></TrackMate>'
    )


def test_trackmates_file_gives_every_branch_an_object_and_outlines_as_masks(tmp_path):
    (tmp_path / "cells.xml").write_text(trackmate_xml())
    prompts = load_prompts(tmp_path / "cells.xml", SHAPE)
    points = {(p.object_id, p.frame): p.yx for p in prompts if isinstance(p, PointPrompt)}
    assert points == {(1, 0): (10, 20), (1, 1): (10, 21), (7, 2): (11, 18), (7, 3): (12, 18), (8, 2): (11, 26)}
    masks = {(p.object_id, p.frame): p for p in prompts if not isinstance(p, PointPrompt)}
    corners = [(28, 38), (28, 42), (32, 42), (32, 38)]
    assert list(masks) == [(3, 0), (3, 1)]
    np.testing.assert_array_equal(masks[3, 0].to_frame(SHAPE[1:]), polygon_mask(corners, SHAPE[1:]))
    first = load_prompts(tmp_path / "cells.xml", SHAPE, frames="first")
    assert [(p.object_id, p.frame) for p in first] == [(1, 0), (7, 2), (8, 2), (3, 0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<TrackMate><Model>", "is not valid XML"),
        ("<html></html>", "holds <html>, which is no file of TrackMate"),
        ('<!DOCTYPE a [<!ENTITY b "b">]><TrackMate/>', "defines a document type"),
        (trackmate_xml().replace(' FRAME="2"', ""), r"is no whole file of TrackMate \(KeyError: 'FRAME'\)"),
        (trackmate_xml().replace('SOURCE_ID="6"', 'SOURCE_ID="99"'), "is no whole file of TrackMate"),
        (trackmate_xml().replace('width="0.5"', 'width="0"'), "a pixel has the size 0.5 x 0; allowed: above 0"),
        (re.sub("<Settings>.*</Settings>", "", trackmate_xml()), "the spots are in micron"),
        (
            re.sub("<FilteredTracks>.*</FilteredTracks>", "<FilteredTracks/>", trackmate_xml()),
            "none of the spots belongs",
        ),
    ],
)
def test_what_is_no_file_of_trackmate_is_refused(tmp_path, text, said):
    (tmp_path / "cells.xml").write_text(text)
    with pytest.raises(PromptError, match=rf"cells.xml: .*{said}"):
        load_prompts(tmp_path / "cells.xml", SHAPE)


# --- frames that count -----------------------------------------------------------------------------------------------


def test_records_count_on_all_frames_on_the_first_of_each_object_or_on_those_named(tmp_path):
    (tmp_path / "p.csv").write_text("object,frame,y,x\n1,2,1,1\n2,0,1,1\n1,1,3,3\n1,1,4,4\n2,5,1,1\n")

    def places(frames: object) -> list[tuple[int, int]]:
        return [(p.object_id, p.frame) for p in load_prompts(tmp_path / "p.csv", SHAPE, frames=frames)]

    assert places("all") == [(1, 2), (2, 0), (1, 1), (1, 1), (2, 5)]
    assert places("first") == [(2, 0), (1, 1), (1, 1)]
    assert places([5, 2]) == [(1, 2), (2, 5)] and places(2) == [(1, 2)]


def test_labels_count_on_all_frames_on_the_first_of_each_object_or_on_those_named(tmp_path):
    stack = np.zeros(SHAPE, np.uint8)
    stack[:, 5:9, 5:9], stack[2:, 20:25, 20:25] = 3, 7
    np.save(tmp_path / "labels.npy", stack)
    np.save(tmp_path / "still.npy", stack[2])

    def places(name: str, frames: object) -> list[tuple[int, int]]:
        return [(p.object_id, p.frame) for p in load_prompts(tmp_path / name, SHAPE, frames=frames)]

    assert len(places("labels.npy", "all")) == 10
    assert places("labels.npy", "first") == [(3, 0), (7, 2)]
    assert places("labels.npy", (0, 4)) == [(3, 0), (3, 4), (7, 4)]
    assert places("still.npy", "first") == [(3, 0), (7, 0)] and places("still.npy", 4) == [(3, 4), (7, 4)]
    assert Prompts.from_labels(stack, frames="first") == load_prompts(tmp_path / "labels.npy", SHAPE, frames="first")
    assert [p.frame for p in Prompts.from_labels(stack[4:], frame=4, frames=[5])] == [5, 5]


@pytest.mark.parametrize(
    ("name", "frames", "said"),
    [
        ("labels.npy", 9, "frame 9 is not in numpy array|frame 9 is not in labels.npy, which has frames 0 to 5"),
        ("still.npy", [1, 2], "still.npy is a single image: name one frame, not 2"),
        ("labels.npy", "frist", "prompt frames 'frist' are not possible; allowed: 'all', 'first'"),
        ("labels.npy", [-1], r"prompt frames \[-1\] are not possible"),
        ("labels.npy", [], r"prompt frames \[\] are not possible"),
        ("labels.npy", 1.5, "prompt frames 1.5 are not possible"),
        (
            "still.npy",
            6,
            "the movie has 6 frames, so frames 0 to 5 are allowed .they count from 0; where yours count from 1",
        ),
    ],
)
def test_frames_that_are_not_there_are_refused(tmp_path, name, frames, said):
    np.save(tmp_path / "labels.npy", np.ones(SHAPE, np.uint8))
    np.save(tmp_path / "still.npy", np.ones(SHAPE[1:], np.uint8))
    with pytest.raises(PromptError, match=said):
        load_prompts(tmp_path / name, SHAPE, frames=frames)


def test_an_image_is_not_taken_for_its_labels(tmp_path):
    r = np.random.default_rng(0)
    noise = r.poisson(90, SHAPE).astype(np.uint8)
    touching = np.arange(25 * 35, dtype=np.uint16).reshape(25, 35).repeat(2, 0).repeat(2, 1)
    np.save(tmp_path / "movie.npy", noise)
    np.save(tmp_path / "labels.npy", touching)
    with pytest.raises(PromptError, match="frame 0 of movie.npy holds .* ids, .* is it an image instead of its labels"):
        load_prompts(tmp_path / "movie.npy", SHAPE)
    assert len(load_prompts(tmp_path / "labels.npy", SHAPE)) == 25 * 35 - 1


def test_damaged_files_of_trackmate_are_read_or_refused_and_nothing_else(tmp_path):
    r, text = np.random.default_rng(0), trackmate_xml()
    numbers = [match.span() for match in re.finditer(r'"[^"]*"', text)]
    outcomes = set()
    for _ in range(150):
        start, stop = numbers[r.integers(len(numbers))] if r.random() < 0.7 else np.sort(r.integers(0, len(text), 2))
        new = r.choice(['"nan"', '"inf"', '"-1"', '"9e999"', '""', f'"{"9" * 5000}"', '"1"', ""])
        (tmp_path / "cells.xml").write_text(text[:start] + str(new) + text[stop:])
        try:
            outcomes.add(len(load_prompts(tmp_path / "cells.xml", SHAPE)))
        except PromptError as error:
            outcomes.add(str(error).partition("(")[0])
    assert len(outcomes) > 10
