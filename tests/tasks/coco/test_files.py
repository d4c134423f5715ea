"""The folder and the annotation file: every layout, every kind of bad entry."""

import json

import numpy as np
import pytest
from coco_data import write_coco

from slrprune.errors import DataError
from slrprune.tasks.coco import Coco
from slrprune.tasks.coco.annotations import read_annotations
from slrprune.tasks.coco.folder import find_files, read_folder
from slrprune.tasks.complaints import Complaints

TRAIN = "annotations/instances_train2017.json"
TEST = "annotations/instances_val2017.json"


def edit(file, change):
    """Lets `change` alter the document of a file."""
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def read(folder, strict=False):
    complaints = Complaints("Coco", strict)
    found = read_annotations(folder / TRAIN, folder / "train2017", complaints)
    return found, complaints.found


def test_boxes_and_categories_are_read_as_they_are(made_coco):
    found, complaints = read(made_coco)
    document = json.loads((made_coco / TRAIN).read_text())
    assert [tuple(category) for category in found.categories] == [(3, "square"), (17, "disc")]
    assert [photo.name for photo in found.photos] == [f"train_{place:03d}.png" for place in range(8)]
    mine = [entry for entry in document["annotations"] if entry["image_id"] == 102]
    photo = found.photos[2]
    assert photo.size == (96, 64)
    assert photo.boxes.tolist() == [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in mine)]
    assert photo.labels.tolist() == [(3, 17).index(entry["category_id"]) for entry in mine]
    assert not photo.crowd.any()
    assert complaints == []


def test_a_part_of_training_is_held_out(made_coco):
    splits = read_folder(made_coco, 0.25, Complaints("Coco", strict=True)).photos
    names = {split: [photo.name[-7:-4] for photo in photos] for split, photos in splits.items()}
    assert names["val"] == ["003", "007"]
    assert names["train"] == ["000", "001", "002", "004", "005", "006"]
    assert len(names["test"]) == 3
    assert "val" not in read_folder(made_coco, 0.0, Complaints("Coco", strict=True)).photos


def test_three_files_make_three_splits(tmp_path):
    write_coco(tmp_path, train=4, val=2, test=3)
    splits = read_folder(tmp_path, 0.5, Complaints("Coco", strict=True)).photos
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 4, "val": 2, "test": 3}
    (tmp_path / "val.json").unlink()
    splits = read_folder(tmp_path, 0.5, Complaints("Coco", strict=True)).photos
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 2, "val": 2, "test": 3}


def test_the_layout_of_2014_and_images_in_a_folder_of_their_own(coco_copy):
    for split in ("train", "val"):
        (coco_copy / f"annotations/instances_{split}2017.json").rename(
            coco_copy / f"annotations/instances_{split}2014.json"
        )
        (coco_copy / "images").mkdir(exist_ok=True)
        (coco_copy / f"{split}2017").rename(coco_copy / "images" / f"{split}2014")
    files = find_files(coco_copy)
    assert files["test"] == (
        coco_copy / "annotations/instances_val2014.json",
        coco_copy / "images/val2014",
    )
    assert len(read_folder(coco_copy, 0.0, Complaints("Coco", strict=True)).photos["train"]) == 8


def test_the_layout_of_roboflow(tmp_path):
    write_coco(tmp_path / "made", train=4, val=2, test=3)
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        (tmp_path / name).mkdir()
        (tmp_path / "made" / f"{split}.json").rename(tmp_path / name / "_annotations.coco.json")
        for image in (tmp_path / "made" / "images").glob(f"{split}_*.png"):
            image.rename(tmp_path / name / image.name)
    splits = read_folder(tmp_path, 0.5, Complaints("Coco", strict=True)).photos
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 4, "val": 2, "test": 3}


def test_a_folder_without_annotations_says_which_file_is_missing(tmp_path):
    expected = (
        rf"Coco: the file {tmp_path / TRAIN} is missing\. Other layouts begin with .*2014\.json or train\.json or"
    )
    with pytest.raises(DataError, match=expected):
        Coco(tmp_path)


@pytest.mark.parametrize("missing", [TEST, "val2017", "train2017"])
def test_what_is_missing_is_named(coco_copy, missing):
    (coco_copy / missing).rename(coco_copy / "elsewhere")
    kind = "file" if missing == TEST else "folder"
    with pytest.raises(DataError, match=rf"Coco: the {kind} {coco_copy / missing} is missing\."):
        Coco(coco_copy)


def _first(document):
    return document["annotations"][0]


NO_AREA = "boxes have no area"

DAMAGES = {
    "no such image": (lambda document: _first(document).update(image_id=5), "annotations name no listed image"),
    "no such category": (
        lambda document: _first(document).update(category_id=99),
        "annotations name no listed category",
    ),
    "not a number": (
        lambda document: _first(document).update(bbox=[1, float("nan"), 9, 9]),
        "boxes are not four finite numbers",
    ),
    "too large for float64": (
        lambda document: _first(document).update(bbox=[1, 2, 10**400, 9]),
        "boxes are not four finite numbers",
    ),
    "three numbers": (lambda document: _first(document).update(bbox=[1, 2, 9]), "boxes are not four finite numbers"),
    "words": (lambda document: _first(document).update(bbox=["1", 2, 9, 9]), "boxes are not four finite numbers"),
    "no box": (lambda document: _first(document).pop("bbox"), "boxes are not four finite numbers"),
    "no area": (lambda document: _first(document).update(bbox=[1, 2, 9, 0]), NO_AREA),
    "no area in floating point": (lambda document: _first(document).update(bbox=[10, 10, 1e-30, 5]), NO_AREA),
    "no area in float32": (lambda document: _first(document).update(bbox=[10, 10, 5, 1e-8]), NO_AREA),
    "negative": (lambda document: _first(document).update(bbox=[20, 2, -9, 9]), NO_AREA),
    "outside": (lambda document: _first(document).update(bbox=[96, 2, 9, 9]), "boxes lie outside the image"),
    "above": (lambda document: _first(document).update(bbox=[5, -9, 9, 9]), "boxes lie outside the image"),
} | {
    f"iscrowd {crowd!r}": (
        lambda document, crowd=crowd: _first(document).update(iscrowd=crowd),
        "annotations have an iscrowd other than 0 and 1",
    )
    for crowd in ("0", "1", "true", "", 2, -1, 0.5, float("nan"), None, [], {})
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_annotation_is_skipped_with_a_count_or_refused_by_its_id(coco_copy, damage):
    change, reason = DAMAGES[damage]
    whole, _ = read(coco_copy)
    edit(coco_copy / TRAIN, change)
    edit(coco_copy / TRAIN, lambda document: document["annotations"].append({**_first(document), "bbox": [1, 1, 9, 9]}))
    found, complaints = read(coco_copy)
    assert complaints[0] == (reason, "instances_train2017.json, annotation 7")
    objects = sum(len(photo.boxes) for photo in found.photos)
    assert objects >= sum(len(photo.boxes) for photo in whole.photos) - 1
    with pytest.raises(
        DataError, match=rf"Coco\(strict=True\): instances_train2017\.json, annotation 7: {reason}\. Mend"
    ):
        read(coco_copy, strict=True)


def test_boxes_that_reach_over_the_border_stay(coco_copy):
    edit(coco_copy / TRAIN, lambda document: _first(document).update(bbox=[80, -5, 40, 20]))
    found, complaints = read(coco_copy)
    assert found.photos[0].boxes[0].tolist() == [80, -5, 120, 15]
    assert complaints == []


IMAGES = {
    "no size": (lambda image: image.pop("width"), "image entries lack an id, a file name or a size", "image 100"),
    "too wide for any file": (
        lambda image: image.update(width=10**400),
        "image entries lack an id, a file name or a size",
        "image 100",
    ),
    "no name": (
        lambda image: image.update(file_name=""),
        "image entries lack an id, a file name or a size",
        "image 100",
    ),
    "same id": (lambda image: image.update(id=101), "image entries repeat an id", "image 101"),
    "escape": (
        lambda image: image.update(file_name="../../secret.png"),
        "annotations name no file inside the folder",
        "../../secret.png",
    ),
    "gone": (lambda image: image.update(file_name="gone.png"), "images are missing or empty", "gone.png"),
    "long name": (lambda image: image.update(file_name="a" * 300), "images are missing or empty", "a" * 300),
}


@pytest.mark.parametrize("damage", IMAGES)
def test_a_bad_image_entry_is_left_out(coco_copy, damage):
    change, reason, name = IMAGES[damage]
    edit(coco_copy / TRAIN, lambda document: change(document["images"][0]))
    found, complaints = read(coco_copy)
    assert len(found.photos) == 7
    where, (reasons, names) = f"instances_train2017.json, {name}", zip(*complaints, strict=True)
    assert reason in reasons
    assert names[reasons.index(reason)] in (name, where)
    with pytest.raises(DataError, match=reason):
        read(coco_copy, strict=True)


def test_images_without_annotations_are_background_those_with_bad_ones_are_not(coco_copy):
    def change(document):
        document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] != 100]
        for entry in document["annotations"]:
            if entry["image_id"] == 101:
                entry["bbox"] = [1, 1, 0, 0]

    edit(coco_copy / TRAIN, change)
    found, complaints = read(coco_copy)
    assert [photo.name for photo in found.photos[:2]] == ["train_000.png", "train_002.png"]
    assert found.photos[0].boxes.shape == (0, 4)
    assert complaints[-1] == ("images have bad annotations only", "instances_train2017.json, image 101")


@pytest.mark.parametrize("crowd", [1, True, 1.0])
def test_crowds_are_kept_apart(coco_copy, crowd):
    edit(coco_copy / TRAIN, lambda document: _first(document).update(iscrowd=crowd))
    found, complaints = read(coco_copy)
    assert found.photos[0].crowd.tolist() == [True] + [False] * (len(found.photos[0].boxes) - 1)
    assert complaints == []


@pytest.mark.parametrize("crowd", [0, False, 0.0, "left out"])
def test_single_objects_are_no_crowds(coco_copy, crowd):
    change = {} if crowd == "left out" else {"iscrowd": crowd}
    edit(coco_copy / TRAIN, lambda document: _first(document).pop("iscrowd"))
    edit(coco_copy / TRAIN, lambda document: _first(document).update(change))
    found, complaints = read(coco_copy)
    assert not any(photo.crowd.any() for photo in found.photos)
    assert complaints == []


FILES = {
    "not json": ("{", "is not JSON"),
    "nested too deep": ("[" * 200_000, "is not JSON"),
    "a list": ("[]", "must hold a list 'images' that is not empty"),
    "no annotation": (
        '{"images": [1], "annotations": [], "categories": [1]}',
        "must hold a list 'annotations' that is",
    ),
    "categories": ('{"images": [1], "annotations": [1], "categories": [{"id": "a"}]}', "categories must have an id"),
    "twice": (
        '{"images": [1], "annotations": [1], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
        "two categories have the same id",
    ),
}


@pytest.mark.parametrize("damage", FILES)
def test_a_file_that_is_bad_as_a_whole_is_refused(coco_copy, damage):
    text, problem = FILES[damage]
    (coco_copy / TRAIN).write_text(text)
    with pytest.raises(DataError, match=rf"Coco: {coco_copy / TRAIN}.* {problem}"):
        read(coco_copy)


def test_entries_of_any_other_type_are_left_out(coco_copy):
    def change(document):
        document["images"][:0] = [3, None, {"id": "x"}]
        document["annotations"][:0] = [None, [], {"image_id": {}}]

    edit(coco_copy / TRAIN, change)
    found, complaints = read(coco_copy)
    assert len(found.photos) == 8
    assert len(complaints) == 6
    assert ("annotations name no listed image", "instances_train2017.json, annotation number 2") in complaints


def test_splits_must_agree_about_categories(coco_copy):
    edit(coco_copy / TEST, lambda document: document["categories"][0].update(name="cube"))
    with pytest.raises(DataError, match=r"instances_val2017\.json and .*train2017\.json must list the same categories"):
        read_folder(coco_copy, 0.0, Complaints("Coco", strict=False))


def test_a_split_without_a_usable_image_is_refused(coco_copy):
    edit(coco_copy / TEST, lambda document: [image.update(width=0) for image in document["images"]])
    expected = r"no image of the split 'test' can be used; instances_val2017\.json, annotation"
    with pytest.raises(DataError, match=expected):
        read_folder(coco_copy, 0.0, Complaints("Coco", strict=False))


def test_outlines_are_read_where_they_are_asked_for(coco_copy):
    edit(coco_copy / TRAIN, lambda document: _first(document).pop("segmentation"))
    complaints = Complaints("Coco", strict=False)
    found = read_annotations(coco_copy / TRAIN, coco_copy / "train2017", complaints, shapes=True)
    assert complaints.found[0] == ("objects have no outline", "instances_train2017.json, annotation 7")
    photo = found.photos[-1]
    assert len(photo.shapes) == len(photo.boxes)
    assert np.reshape(photo.shapes[0][0], (-1, 2)).min(0).tolist() == photo.boxes[0, :2].tolist()
