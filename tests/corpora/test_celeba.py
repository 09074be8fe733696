import shutil

import pandas as pd
import pytest

from agegender.corpora import celeba
from agegender.data.manifest import Manifest, TooManyQuarantinedError
from agegender.data.splits import audit
from agegender.miniatures.face_corpora import ATTRIBUTES as NAMES
from agegender.miniatures.face_corpora import write_celeba

FILES = [f"{number:06d}.jpg" for number in range(1, 7)]
MALE, YOUNG = NAMES.index("Male"), NAMES.index("Young")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write_celeba(tmp_path_factory.mktemp("celeba") / "m", num_subjects=12, seed=2, size_px=16)


def row(file, male="1", young="-1", width=40):
    values = ["-1"] * width
    values[MALE], values[YOUNG] = male, young
    return f"{file}  {'  '.join(values)}"


@pytest.fixture
def lists(tmp_path):
    """Write three lists of six images without pictures; each may be replaced by other lines, or left out (``None``)."""

    def write(attributes=None, identities=(), parts=(), number=None, names=NAMES):
        rows = attributes if attributes is not None else [row(file) for file in FILES]
        header = [str(len(rows)) if number is None else number, " ".join(names) + " "]
        (tmp_path / celeba.ATTRIBUTES).write_text("\n".join([*header, *rows]) + "\n")
        for name, lines, default in ((celeba.IDENTITIES, identities, "77"), (celeba.PARTS, parts, "0")):
            if lines is not None:
                (tmp_path / name).write_text("\n".join(lines or [f"{file} {default}" for file in FILES]) + "\n")
        return tmp_path

    return write


def test_labels_identity_and_part_are_those_of_the_image_whatever_the_order_of_the_lists(lists):
    attributes = [row(FILES[2], "1", "1"), row(FILES[0], "-1", "1"), row(FILES[1], "1", "-1")]
    identities = [f"{file} {number}" for number, file in enumerate(FILES[:3], start=10)]
    parts = [f"{FILES[1]} 2", f"{FILES[0]} 0", f"{FILES[2]} 1"]
    manifest = celeba.read(lists(attributes, identities, parts), labels_only=True)
    found = manifest.examples.set_index("path")[["subject", "gender", "young", "published_split"]]
    assert found.to_dict("index") == {
        "img_align_celeba/000001.jpg": {"subject": "10", "gender": "female", "young": True, "published_split": "train"},
        "img_align_celeba/000002.jpg": {"subject": "11", "gender": "male", "young": False, "published_split": "test"},
        "img_align_celeba/000003.jpg": {
            "subject": "12",
            "gender": "male",
            "young": True,
            "published_split": "validation",
        },
    }
    assert manifest.has_identities
    assert manifest.is_aligned


def test_no_age_is_made_of_young(lists):
    manifest = celeba.read(lists(), labels_only=True)
    assert manifest.scheme is None
    assert manifest.examples[["age", "age_group"]].isna().all(axis=None)
    assert str(manifest.examples["young"].dtype) == "boolean"


def test_the_lists_of_a_miniature_say_what_was_drawn_and_every_picture_is_there(miniature):
    manifest = celeba.read(miniature)
    assert len(manifest.quarantine) == 0
    assert all((manifest.root / path).is_file() for path in manifest.examples["path"])
    assert manifest.examples["subject"].nunique() == 12
    assert set(manifest.examples["gender"]) == {"female", "male"}
    assert manifest.hash() == celeba.read(miniature, labels_only=True).hash()


def test_published_parts_share_no_subject(miniature):
    examples = celeba.read(miniature).examples
    parts = dict(iter(examples.groupby("published_split")))
    assert set(parts) == {"train", "validation", "test"}
    assert audit(parts)["num_shared"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("top", ["", "celeba", "CelebA"])
@pytest.mark.parametrize("is_flat", [True, False])
def test_every_layout_of_the_release_gives_the_same_manifest(miniature, tmp_path, top, is_flat):
    base = tmp_path / top
    if is_flat:
        base.mkdir(exist_ok=True)
        for path in [*miniature.glob("Anno/*"), *miniature.glob("Eval/*")]:
            shutil.copy(path, base)
        shutil.copytree(miniature / "Img/img_align_celeba", base / "img_align_celeba")
    else:
        shutil.copytree(miniature, base, dirs_exist_ok=True)
    manifest = celeba.read(tmp_path)
    assert manifest.hash() == celeba.read(miniature).hash()
    assert (manifest.root / manifest.examples["path"][0]).is_file()


def test_another_order_of_the_attributes_gives_the_same_manifest(miniature, tmp_path):
    for path in [*miniature.glob("Anno/*"), *miniature.glob("Eval/*")]:
        shutil.copy(path, tmp_path)
    number, header, *rows = (tmp_path / celeba.ATTRIBUTES).read_text().splitlines()
    turned = [" ".join([file, *reversed(values)]) for file, *values in map(str.split, rows)]
    header = " ".join(reversed(header.split()))
    (tmp_path / celeba.ATTRIBUTES).write_text("\n".join([number, header, *turned]) + "\n")
    assert header.startswith("Young ")
    assert celeba.read(tmp_path, labels_only=True).hash() == celeba.read(miniature).hash()


def test_male_is_token_21_of_a_row_of_the_release_and_token_20_is_cheekbones():
    tokens = ["file", *NAMES]
    assert (len(tokens), tokens[20], tokens[21], tokens[40]) == (41, "High_Cheekbones", "Male", "Young")


@pytest.mark.parametrize("end", [" \n", "\r\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_marks_line_ends_and_blank_lines_change_nothing(lists, end, encoding):
    plain = celeba.read(lists(), labels_only=True)
    for path in plain.root.glob("*.txt"):
        path.write_bytes(path.read_text().replace("\n", end).encode(encoding))
    assert celeba.read(plain.root, labels_only=True).hash() == plain.hash()


def test_young_survives_the_disk(lists, tmp_path):
    manifest = celeba.read(lists(), labels_only=True)
    manifest.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(loaded.examples, manifest.examples)
    assert loaded.is_aligned


def test_without_identities_each_picture_is_a_subject_and_a_warning_says_so(lists):
    with pytest.warns(UserWarning, match=r"has no identity_CelebA\.txt: each picture counts as a subject of its own"):
        manifest = celeba.read(lists(identities=None), labels_only=True)
    assert not manifest.has_identities
    assert manifest.examples["subject"].tolist() == FILES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": "7"}, r"list_attr_celeba\.txt, line 1: says 7 images, but 6 rows follow"),
        ({"number": "5"}, r"list_attr_celeba\.txt, line 1: says 5 images, but 6 rows follow"),
        ({"number": "000001.jpg 1"}, r"line 1: expected the number of images, found '000001\.jpg 1'"),
        ({"names": NAMES[:39]}, r"line 2: no attribute 'Young' among '5_o_Clock_Shadow"),
        ({"names": [*NAMES[:39], "Male"]}, r"line 2: the attribute 'Male' stands twice"),
        ({"names": [*NAMES, "Kind"]}, r"line 3: expected a file and 41 values.*found 40 values after '000001\.jpg'"),
        ({"attributes": [row(FILES[0]), row(FILES[1], width=41)]}, r"celeba\.txt, line 4: .* and 40 values.*found 41"),
        ({"attributes": [row(FILES[0]), FILES[1]]}, r"celeba\.txt, line 4: .* and 40 values.*found 0"),
        (
            {"attributes": [row(FILES[0]), row(FILES[1]), row(FILES[0])]},
            r"line 5: 000001\.jpg stands twice, in line 3",
        ),
        ({"attributes": []}, r"list_attr_celeba\.txt lists no image"),
        (
            {"identities": ["000001.jpg 5", "000001.jpg 6"]},
            r"identity_CelebA\.txt, line 2: 000001\.jpg stands twice,",
        ),
        ({"identities": ["000001.jpg"]}, r"identity_CelebA\.txt, line 1: expected a file and one value"),
        ({"parts": ["000001.jpg 0", "000002.jpg 0 1"]}, r"partition\.txt, line 2: .*found '000002\.jpg 0 1'"),
        ({"parts": [" "]}, r"list_eval_partition\.txt lists no image"),
    ],
)
def test_a_list_with_a_fault_in_its_form_is_refused_with_its_line(lists, change, message):
    with pytest.raises(ValueError, match=message):
        celeba.read(lists(**change), labels_only=True)


def test_a_list_that_is_not_text_is_refused(lists):
    root = lists()
    (root / celeba.PARTS).write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(ValueError, match=r"list_eval_partition\.txt is not UTF-8 text"):
        celeba.read(root, labels_only=True)


def fifth(value):
    return [f"{file} {value if file == FILES[4] else 1}" for file in FILES]


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        ({"attributes": [*map(row, FILES[:5]), row(FILES[5], "0")]}, 8, "attribute Male is '0', not 1 or -1"),
        ({"attributes": [*map(row, FILES[:5]), row(FILES[5], young="+1")]}, 8, "attribute Young is '+1', not 1 or -1"),
        ({"attributes": [*map(row, FILES[:5]), row(FILES[5]).replace("-1", "yes", 1)]}, 8, "attribute 5_o_Clock_"),
        ({"parts": fifth("3")}, 7, "part 3 is not 0, 1 or 2"),
        ({"identities": fifth("Ada")}, 7, "identity Ada is not a number"),
        ({"parts": [f"{file} 0" for file in FILES[:5]]}, 8, "not in list_eval_partition.txt"),
        ({"identities": [f"{file} 0" for file in FILES[1:]]}, 3, "not in identity_CelebA.txt"),
        ({"attributes": [*map(row, FILES[:5])]}, 6, "in list_eval_partition.txt but not in list_attr_celeba.txt"),
        ({"identities": [f"{file} 0" for file in [*FILES, "7.jpg"]]}, 7, "in identity_CelebA.txt but not in list_attr"),
        ({"attributes": [*map(row, FILES), row("../7.jpg")]}, 9, "file name is a path"),
    ],
)
def test_a_row_that_cannot_be_used_is_quarantined_with_its_line_and_value(lists, change, line, reason):
    manifest = celeba.read(lists(**change), labels_only=True, max_quarantined_share=0.2)
    assert manifest.quarantine["row"].tolist() == [line]
    assert manifest.quarantine["reason"][0].startswith(reason)
    assert manifest.quarantine["path"][0] not in set(manifest.examples["path"])
    assert len(manifest) in (5, 6)


def test_too_many_unusable_rows_stop_the_reading(lists):
    with pytest.raises(TooManyQuarantinedError, match="6 x attribute Male is '0', not 1 or -1"):
        celeba.read(lists([row(file, "0") for file in FILES]), labels_only=True)


def test_a_missing_picture_is_quarantined_unless_only_labels_are_read(miniature, tmp_path):
    shutil.copytree(miniature, tmp_path, dirs_exist_ok=True)
    (tmp_path / "Img/img_align_celeba/000003.jpg").unlink()
    aside = celeba.read(tmp_path).quarantine
    assert aside.to_dict("list") == {"path": ["img_align_celeba/000003.jpg"], "row": [5], "reason": ["missing file"]}
    assert len(celeba.read(tmp_path, labels_only=True).quarantine) == 0


def test_a_file_in_the_place_of_the_folder_of_pictures_is_not_taken_for_it(lists):
    root = lists()
    (root / "img_align_celeba").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no folder img_align_celeba in"):
        celeba.read(root)


def test_missing_lists_and_pictures_are_named(lists):
    root = lists()
    with pytest.raises(FileNotFoundError, match=r"no folder img_align_celeba in .*unpack img_align_celeba\.zip there"):
        celeba.read(root)
    (root / celeba.PARTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition\.txt is neither in"):
        celeba.read(root, labels_only=True)
    (root / celeba.ATTRIBUTES).unlink()
    with pytest.raises(FileNotFoundError, match=r"list_attr_celeba\.txt is neither in"):
        celeba.read(root, labels_only=True)
