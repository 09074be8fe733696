import struct
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn.functional import interpolate
from torch.testing import assert_close
from torchvision.transforms import v2

from agegender.data import images
from agegender.data.images import decode_image, normalise, sampled, standardise
from agegender.data.manifest import UnreadableFileError


def noise(height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph(side, detail=5):
    """Something as smooth as a photograph: waves of up to ``detail`` cycles from one side to the other."""
    x = np.linspace(0, 1, side)
    waves = [np.sin(2 * np.pi * detail * (a * x[:, None] + b * x)) for a, b in ((0.2, 0.4), (0.6, -0.2), (-0.4, 1))]
    return np.uint8(127 + 100 * np.stack(waves, -1))


def written(path, picture, **options):
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(path, **options)
    return path


def resized_in_a_loop(image, size, has_half_pixels):
    """``resize_images`` of TensorFlow 1, or ``image.resize`` of TensorFlow 2, bilinear; one value after the other."""
    height, width, _ = image.shape
    shift, result = 0.5 if has_half_pixels else 0.0, np.empty((size, size, 3))
    for i in range(size):
        for j in range(size):
            y, x = max((i + shift) * height / size - shift, 0), max((j + shift) * width / size - shift, 0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            for c in range(3):
                upper = image[top, left, c] * (1 - (x - left)) + image[top, right, c] * (x - left)
                lower = image[bottom, left, c] * (1 - (x - left)) + image[bottom, right, c] * (x - left)
                result[i, j, c] = upper * (1 - (y - top)) + lower * (y - top)
    return result


def sampled_alone(image, size, has_half_pixels):
    return sampled(torch.from_numpy(image)[None], size, has_half_pixels)[0].numpy()


def standardised_literally(image, contrast=1.0, brightness=0.0):
    """``random_brightness``, ``random_contrast`` and ``per_image_standardization`` as TensorFlow documents them."""
    x = image.astype(np.float64) / 255 + brightness
    x = (x - x.mean((0, 1))) * contrast + x.mean((0, 1))
    adjusted = max(x.std(), 1 / np.sqrt(x.size))
    return torch.from_numpy((x - x.mean()) / adjusted).permute(2, 0, 1).float()


@pytest.mark.parametrize(("old", "new"), [(9, 7), (8, 5), (7, 11), (4, 8), (10, 5), (5, 1), (1, 4), (6, 6), (13, 4)])
@pytest.mark.parametrize("has_half_pixels", [True, False])
def test_sampling_is_tensorflow_value_by_value_with_and_without_half_pixels(old, new, has_half_pixels):
    image = noise(old, old)
    expected = resized_in_a_loop(image, new, has_half_pixels)
    np.testing.assert_allclose(sampled_alone(image, new, has_half_pixels), expected, atol=0.01)


@pytest.mark.parametrize(("old", "new"), [(51, 16), (16, 51), (256, 227)])
def test_with_half_pixels_it_is_torchs_interpolation_without_antialiasing(old, new):
    image = torch.from_numpy(noise(old, old)).double().permute(2, 0, 1)[None]
    expected = interpolate(image, (new, new), mode="bilinear", align_corners=False, antialias=False)[0].permute(1, 2, 0)
    np.testing.assert_allclose(sampled_alone(noise(old, old), new, True), expected, atol=0.01)  # places in float32


@pytest.mark.parametrize("size", [8, 5, 227])
def test_without_half_pixels_nothing_is_shifted(size):
    """Every second pixel is taken as it is, at any size; with the shift neighbours would be mixed."""
    image = noise(2 * size, 2 * size)
    assert np.array_equal(sampled_alone(image, size, False), image[::2, ::2])
    assert not np.array_equal(sampled_alone(image, size, True), image[::2, ::2])


def test_many_faces_are_sampled_as_each_alone_and_decimals_are_kept():
    faces = np.stack([noise(9, 9, seed) for seed in range(3)])
    together = sampled(torch.from_numpy(faces), 7, False)
    assert np.array_equal(together[1].numpy(), sampled_alone(faces[1], 7, False))
    assert (together % 1 != 0).float().mean() > 0.5


def test_standardising_takes_decimals_and_leaves_its_input_alone():
    face = sampled(torch.from_numpy(photograph(64))[None], 50, False)
    before = face.clone()
    assert_close(standardise(face)[0], standardised_literally(face[0].numpy()), rtol=1e-4, atol=1e-4)
    assert torch.equal(face, before)


RESIZES = pytest.mark.parametrize("resize", ["tensorflow_1", "tensorflow_2", "opencv"])


@RESIZES
def test_published_resizing_reads_two_neighbours_and_the_filter_reads_all(tmp_path, resize):
    """Stripes finer than a pixel of the result: grey for the filter, black or white where only neighbours are read."""
    stripes = np.zeros((816, 816, 3), np.uint8)
    stripes[:, ::2] = 255
    path = written(tmp_path / "stripes.png", stripes)
    assert decode_image(path, 256, resize).std() > 50
    assert decode_image(path, 256)[8:-8, 8:-8].std() < 25


@RESIZES
def test_published_resizing_is_the_formula_then_whole_numbers_and_for_tensorflow_a_jpeg(tmp_path, resize):
    picture = photograph(204)
    exact = resized_in_a_loop(picture, 64, resize != "tensorflow_1")
    found = decode_image(written(tmp_path / "a.png", picture), 64, resize).astype(float)
    if resize == "opencv":
        assert np.abs(found - exact).max() <= 0.501
    else:
        assert -1.5 < (found - exact).mean() < -0.2  # cut and not rounded
        whole = BytesIO()
        Image.fromarray(np.uint8(exact + 1e-4)).save(whole, "JPEG", quality=100)
        assert np.abs(found - np.asarray(Image.open(whole), float)).mean() < 0.05


def test_an_unknown_way_to_resize_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"resize must be one of 'filtered', 'tensorflow_1'.*got 'bilinear'"):
        decode_image(written(tmp_path / "a.png", noise()), 8, "bilinear")


@pytest.mark.parametrize("contrast", [0.2, 0.75, 1.0, 1.8])
@pytest.mark.parametrize("brightness", [0.0, 0.4, -63.0])
def test_standardising_equals_the_formulas_of_tensorflow_and_any_brightness_cancels(contrast, brightness):
    faces = np.stack([noise(20, 20), photograph(20)])
    ours = standardise(torch.from_numpy(faces), torch.full((2,), contrast))
    literally = torch.stack([standardised_literally(face, contrast, brightness) for face in faces])
    assert_close(ours, literally, rtol=1e-4, atol=1e-4)  # sums of 1,200 squares of up to 255 in float32


def test_without_contrast_a_full_face_equals_the_formula():
    face = photograph(227)
    ours = standardise(torch.from_numpy(face[None]))[0]
    assert_close(ours, standardised_literally(face), rtol=1e-4, atol=1e-4)
    assert_close(ours.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    assert_close(ours.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_each_picture_has_its_own_contrast():
    faces = torch.from_numpy(np.stack([noise(), noise(seed=1)]))
    both = standardise(faces, torch.tensor([0.3, 1.7]))
    assert_close(both[:1], standardise(faces[:1], torch.tensor([0.3])))
    assert_close(both[1:], standardise(faces[1:], torch.tensor([1.7])))


def test_standardising_does_not_depend_on_the_other_pictures_of_the_batch():
    faces = torch.from_numpy(np.stack([noise(seed=seed) for seed in range(5)]))
    assert_close(standardise(faces)[3:4], standardise(faces[3:4]))


def test_standardising_leaves_the_pixels_of_the_caller_as_they_were():
    faces = torch.from_numpy(noise()[None].copy())
    before = faces.clone()
    standardise(faces, torch.tensor([0.5]))
    assert torch.equal(faces, before)


def test_the_result_is_channels_first_in_the_channels_last_layout():
    result = standardise(torch.from_numpy(noise(12, 12)[None]))
    assert result.shape == (1, 3, 12, 12)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("value", [0, 93, 255])
@pytest.mark.parametrize("contrast", [0.2, 1.8])
def test_a_picture_of_one_colour_becomes_zero_and_not_nan(value, contrast):
    face = torch.full((1, 227, 227, 3), value, dtype=torch.uint8)
    result = standardise(face, torch.tensor([contrast]))
    assert_close(
        result, torch.zeros(1, 3, 227, 227), atol=2e-3, rtol=0
    )  # 255 / divisor is 393: 24 bits hold 2e-5 of it


def test_the_divisor_is_never_below_one_over_the_root_of_the_number_of_values():
    """One value of 3 * 16 * 16 is one step brighter: the deviation is 255 times smaller than the bound."""
    face = np.zeros((16, 16, 3), dtype=np.uint8)
    face[3, 4, 1] = 1
    result = standardise(torch.from_numpy(face[None]))[0]
    number = 16 * 16 * 3
    assert_close(result[1, 3, 4], torch.tensor((1 - 1 / number) / 255 * number**0.5))
    assert_close(result[0, 0, 0], torch.tensor(-1 / number / 255 * number**0.5))


def test_pictures_of_one_channel_value_are_told_apart_by_their_colour():
    """No deviation within a channel, but one between the channels."""
    face = np.zeros((8, 8, 3), dtype=np.uint8)
    face[..., 0] = 90
    expected = torch.tensor([2**0.5, -(0.5**0.5), -(0.5**0.5)]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    for contrast in (0.2, 1.8):
        assert_close(
            standardise(torch.from_numpy(face[None]), torch.tensor([contrast])), expected, atol=1e-5, rtol=1e-5
        )


def normalised_by_torchvision(faces):
    statistics = v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), statistics]
    return torch.stack([v2.Compose(steps)(np.ascontiguousarray(face)) for face in faces])


def awkward_faces():
    """No square, an odd width, all 256 values, and rows that do not lie one after the other."""
    faces = np.random.default_rng(0).integers(0, 256, (3, 37, 50, 3), dtype=np.uint8)
    faces[0, :, :8] = np.arange(296, dtype=np.int64).reshape(37, 8, 1) % 256
    return faces[:, ::-1][:, 2:, 3:48:2]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_normalising_equals_torchvision_with_the_statistics_in_their_order(order):
    faces = awkward_faces()
    ours = normalise(torch.from_numpy(faces.copy()), order)
    seen = faces if order == "rgb" else faces[..., ::-1]
    assert_close(ours, normalised_by_torchvision(seen), rtol=1e-5, atol=2e-6)


def test_normalised_values_are_the_ones_worked_out_by_hand():
    face = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 1, 1, 3)
    rgb = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    bgr = [(0.2 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert_close(normalise(face).flatten(), torch.tensor(rgb))
    assert_close(normalise(face, "bgr").flatten(), torch.tensor(bgr))


def test_normalising_takes_faces_cut_out_of_larger_ones():
    faces = torch.from_numpy(np.stack([noise(20, 20, seed) for seed in range(4)]))
    for order in ("rgb", "bgr"):
        assert torch.equal(
            normalise(faces[1::2, 3:16, 2:17], order), normalise(faces[1::2, 3:16, 2:17].contiguous(), order)
        )


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_normalised_faces_are_channels_first_in_the_channels_last_layout(order):
    faces = torch.from_numpy(noise(12, 12)[None].copy())
    before = faces.clone()
    result = normalise(faces, order)
    assert result.shape == (1, 3, 12, 12)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(faces, before)


@pytest.mark.parametrize(
    "faces",
    [torch.zeros(1, 8, 8, 3), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, 3, dtype=torch.uint8)],
    ids=["float", "channels first", "one face"],
)
def test_faces_that_are_not_bytes_with_channels_last_are_not_normalised(faces):
    shape = ", ".join(map(str, faces.shape))
    with pytest.raises(ValueError, match=rf"\(batch, height, width, 3\) uint8, got \({shape}\) {faces.dtype}"):
        normalise(faces)


def test_an_unknown_order_of_channels_is_refused():
    with pytest.raises(ValueError, match="order must be 'rgb' or 'bgr', got 'BGR'"):
        normalise(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "BGR")


STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""EXIF orientation -> how an upright picture is stored with that tag."""


@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path, orientation):
    upright = noise()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = written(tmp_path / "a.png", np.ascontiguousarray(STORED[orientation](upright)), exif=exif)
    assert np.array_equal(decode_image(path, 16), upright)


def test_a_turned_jpeg_is_upright_also_when_decoded_at_a_fraction_of_its_size(tmp_path):
    upright = np.zeros((400, 200, 3), dtype=np.uint8)
    upright[:200, :100] = 255  # the upper left is white
    exif = Image.Exif()
    exif[0x0112] = 6
    path = written(tmp_path / "a.jpg", np.ascontiguousarray(np.rot90(upright)), exif=exif)
    small = decode_image(path, 20)
    assert small[2:8, 2:8].min() > 250
    assert small[12:].max() < 5
    assert small[:8, 12:].max() < 5


def test_grey_pictures_have_three_equal_channels(tmp_path):
    grey = noise()[..., 0]
    for name, picture in {
        "8.png": grey,
        "16.png": grey.astype(np.uint16) * 257,
        "16.tif": grey.astype(">u2") * 257,
    }.items():
        decoded = decode_image(written(tmp_path / name, picture), 16)
        assert np.array_equal(decoded, np.stack([grey] * 3, -1)), name


def test_sixteen_bits_are_cut_to_the_upper_eight(tmp_path):
    values = np.array([[0, 255], [256, 65535]], dtype=np.uint16)
    assert decode_image(written(tmp_path / "a.png", values), 2)[..., 0].tolist() == [[0, 0], [1, 255]]


def test_a_palette_gives_its_colours(tmp_path):
    few = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], dtype=np.uint8)[noise()[..., 0] % 3]
    path = written(tmp_path / "a.png", Image.fromarray(few).quantize(3))
    assert Image.open(path).mode == "P"
    assert np.array_equal(decode_image(path, 16), few)


def test_transparency_is_ignored(tmp_path):
    face = noise()
    see_through = np.dstack([face, np.zeros((16, 16), dtype=np.uint8)])
    assert np.array_equal(decode_image(written(tmp_path / "a.png", see_through), 16), face)


def test_cmyk_becomes_red_green_and_blue(tmp_path):
    inks = np.zeros((8, 8, 4), dtype=np.uint8)
    inks[:4, :, 0] = 255  # cyan above, black below
    inks[4:, :, 3] = 255
    decoded = decode_image(written(tmp_path / "a.jpg", Image.fromarray(inks, "CMYK"), quality=100), 8)
    assert np.abs(decoded[0, 0] - np.array([0.0, 255, 255])).max() < 5
    assert decoded[7, 7].max() < 5


def test_one_pixel_fills_the_face(tmp_path):
    path = written(tmp_path / "a.png", np.array([[[9, 8, 7]]], dtype=np.uint8))
    assert np.array_equal(decode_image(path, 5), np.full((5, 5, 3), [9, 8, 7]))


def test_a_picture_that_is_not_square_is_squashed_and_not_cut(tmp_path):
    wide = np.zeros((10, 40, 3), dtype=np.uint8)
    wide[:, 20:] = 255
    decoded = decode_image(written(tmp_path / "a.png", wide), 10)
    assert decoded[:, :4].max() == 0
    assert decoded[:, 6:].min() == 255


def test_what_a_file_is_called_does_not_matter(tmp_path):
    face = noise()
    written(tmp_path / "a.png", face)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(decode_image(tmp_path / "a.jpg", 16), face)


@pytest.mark.parametrize("size", [64, 100, 200, 256, 400])
def test_decoding_at_a_fraction_of_the_size_is_close_to_decoding_all_of_it(tmp_path, size):
    path = written(tmp_path / "a.jpg", photograph(816, detail=size / 10), quality=95)
    with Image.open(path) as image:
        whole = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR), dtype=float)
    difference = np.abs(decode_image(path, size) - whole)
    assert difference.mean() < 3  # of 255 levels; decoded at a fraction too small it would be 10 or more
    assert difference.max() < 20


@pytest.mark.parametrize("size", [7, 16, 50])
def test_a_decoded_face_has_the_size_asked_for(tmp_path, size):
    decoded = decode_image(written(tmp_path / "a.jpg", noise(33, 21)), size)
    assert decoded.shape == (size, size, 3)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("kind", ["jpg", "progressive.jpg", "png", "gif", "bmp", "tif", "webp"])
def test_half_a_file_is_never_taken_for_half_a_picture(tmp_path, kind):
    path = written(tmp_path / f"a.{kind}", photograph(64), **({"progressive": True} if "progressive" in kind else {}))
    content, whole = path.read_bytes(), decode_image(path, 32)
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 23)):
        path.write_bytes(content[:length])
        try:
            assert np.array_equal(decode_image(path, 32), whole), length  # all that was cut off was an end mark
        except UnreadableFileError:
            refused += 1
    assert refused >= 20


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "bmp", "webp"])
def test_a_damaged_file_is_a_picture_or_an_unreadable_image_and_nothing_else(tmp_path, kind):
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = written(
        tmp_path / f"a.{kind}", noise(), **({"exif": exif} if kind in ("jpg", "png", "webp") else {})
    ).read_bytes()
    path, unreadable = tmp_path / "damaged", 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(damaged), 200), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            assert decode_image(path, 8).shape == (8, 8, 3)
        except UnreadableFileError:
            unreadable += 1
    assert unreadable > 0


@pytest.mark.parametrize(
    "error", [RuntimeError("no frame"), struct.error("unpack"), EOFError(), KeyError("x"), MemoryError()]
)
def test_whatever_a_decoder_raises_the_file_is_unreadable(tmp_path, monkeypatch, error):
    def fails(image):
        raise error

    path = written(tmp_path / "a.png", noise())
    monkeypatch.setattr(ImageOps, "exif_transpose", fails)
    with pytest.raises(UnreadableFileError, match=rf"a\.png: ({error}|{type(error).__name__})"):
        decode_image(path, 8)


@pytest.mark.parametrize(
    "content", [b"", b"%PDF-1.4", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"], ids=["empty", "pdf", "jpg", "png"]
)
def test_a_file_that_is_no_picture_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"a\.jpg: (not a picture that can be identified|.*)$"):
        decode_image(tmp_path / "a.jpg", 8)


def test_a_missing_file_and_a_folder_are_refused_with_their_names(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"none\.jpg: no such file$"):
        decode_image(tmp_path / "none.jpg", 8)
    with pytest.raises(UnreadableFileError, match=f"{tmp_path.name}: .*directory"):
        decode_image(tmp_path, 8)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = written(tmp_path / "a.png", noise(20, 10))
    monkeypatch.setattr(images, "MAX_PIXELS", 200)
    assert decode_image(path, 4).shape == (4, 4, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 199)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UnreadableFileError, match=r"a\.png: 10 x 20 pixels, more than 199"):
        decode_image(path, 4)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_without_a_known_range_are_refused(tmp_path, dtype):
    path = written(tmp_path / "a.tif", noise()[..., 0].astype(dtype))
    with pytest.raises(UnreadableFileError, match=r"a\.tif: 32-bit pixels, whose range no one states"):
        decode_image(path, 8)
