"""Photos of every kind are read by one rule, or refused with a reason."""

import cv2
import numpy as np
import pytest
from PIL import Image

from sav.errors import SAVError
from sav.formats.images import list_left_out, read_image_size, read_rgb

from ..fixtures.broken_images import broken_avif, check_claims_take_no_memory

HEIGHT, WIDTH = 30, 40
GREY = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
COLOR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
CORNER = np.zeros((HEIGHT, WIDTH), np.uint8)
CORNER[:10, :15] = 255


def read(path):
    """The pixels; the size that converters see is theirs, too."""
    image = read_rgb(path)
    assert read_image_size(path) == image.shape[1::-1]
    assert (image.dtype, image.shape[2]) == (np.uint8, 3)
    return image


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_are_the_photo_in_eight(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), GREY.astype(np.uint16) * 257)
    assert (read(tmp_path / name) == GREY[..., None]).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_of_colour_are_the_photo_in_eight(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), COLOR[..., ::-1].astype(np.uint16) * 257)
    assert (read(tmp_path / name) == COLOR).all()


def test_sixteen_bits_of_the_other_byte_order(tmp_path):
    image = Image.frombytes("I;16B", (WIDTH, HEIGHT), (GREY.astype(">u2") * 257).tobytes())
    image.save(tmp_path / "a.tif")
    assert (read(tmp_path / "a.tif") == GREY[..., None]).all()


def test_floats_are_shares_or_values(tmp_path):
    values = GREY.astype(np.float32)
    for name, pixels in (("share.tif", values / 255), ("value.tif", values)):
        assert (read(save(tmp_path / name, pixels)) == GREY[..., None]).all()


def with_value(value):
    pixels = GREY.astype(np.float32) / 255
    pixels[3, 3] = value
    return pixels


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (GREY.astype(np.uint16) * 16, "end at 4080 of 65535"),
        (GREY.astype(np.int32) * 1000, "integers run from 0 to 255000"),
        (GREY.astype(np.int32) * 257 - 1, "integers run from -1 to"),
        (with_value(np.nan), "floats run from nan"),
        (with_value(np.inf), "to inf"),
        (with_value(-0.5), "floats run from -0.5"),
        (with_value(256), "to 256"),
    ],
)
def test_pixels_that_no_rule_fits_are_refused_by_all(tmp_path, pixels, reason):
    path = save(tmp_path / "a.tif", pixels)
    with pytest.raises(SAVError, match=rf"a\.tif: .*{reason}"):
        read_rgb(path)
    with pytest.raises(SAVError, match=reason):
        read_image_size(path)


def test_a_black_photo_of_sixteen_bits_is_black(tmp_path):
    assert read(save(tmp_path / "a.png", GREY.astype(np.uint16) * 0)).max() == 0


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_what_is_transparent_is_seen_on_white(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    image = read(save(tmp_path / name, np.dstack([COLOR, CORNER]), **options))
    assert (image[:10, :15] == COLOR[:10, :15]).all()
    assert (image[10:] == 255).all()


def test_grey_and_palettes_may_be_transparent_too(tmp_path):
    image = read(save(tmp_path / "grey.png", np.dstack([GREY, CORNER])))
    assert (image[:10, :15] == GREY[:10, :15, None]).all()
    assert (image[10:] == 255).all()
    palette = Image.fromarray(COLOR).quantize(8)
    palette.save(tmp_path / "palette.png", transparency=3)
    image = read(tmp_path / "palette.png")
    hidden = np.asarray(palette) == 3
    assert (image[hidden] == 255).all()
    assert (image[~hidden] == np.asarray(palette.convert("RGB"))[~hidden]).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGB"])
def test_other_modes_become_rgb(tmp_path, mode):
    image = Image.fromarray(COLOR).convert(mode)
    image.save(tmp_path / "a.tif")
    assert (read(tmp_path / "a.tif") == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.avif", {}),
        ("a.tif", {}),
        ("lzw.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_photos_stand_upright(tmp_path, name, options):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: a quarter turn to the right
    image = read(save(tmp_path / name, CORNER, exif=exif, **options))
    assert image.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(image.astype(int) - np.rot90(CORNER, -1)[..., None]).mean() < 4


def test_the_first_picture_of_several_is_taken(tmp_path):
    first, second = Image.fromarray(COLOR), Image.fromarray(COLOR[::-1].copy())
    for name in ("a.tif", "a.png", "a.webp"):
        options = {"lossless": True} if name == "a.webp" else {}
        first.save(tmp_path / name, save_all=True, append_images=[second], **options)
        assert (read(tmp_path / name) == COLOR).all()


def test_broken_files_are_refused(tmp_path):
    whole = save(tmp_path / "a.png", GREY).read_bytes()
    for name, content in (("half.png", whole[: len(whole) // 2]), ("none.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SAVError, match=rf"{name}: the image cannot be read"):
            read_rgb(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SAVError, match="the image cannot be read"):
        read_rgb(tmp_path / "folder.png")


def test_a_broken_avif_is_refused(tmp_path):
    path = tmp_path / "a.avif"
    path.write_bytes(broken_avif())
    for read in (read_rgb, read_image_size):
        with pytest.raises(SAVError, match=r"the image cannot be read: .*decod"):
            read(path)


def test_a_png_that_claims_gigabytes_takes_no_memory_for_them(tmp_path):
    check_claims_take_no_memory(read_rgb, tmp_path / "a.png")


def test_what_is_left_out_is_named_by_its_ending(tmp_path):
    names = ["a.HEIC", "b.heic", "c.gif", "README"]
    assert list_left_out(map(tmp_path.joinpath, names)) == (
        "4 files left out: .gif, .heic (2), README"
    )
    assert list_left_out([tmp_path / "a.gif"]) == "1 file left out: .gif"
    assert list_left_out([]) == ""


@pytest.mark.parametrize("form", ["EPS", "PDF", "JPEG2000"])
def test_only_formats_of_photos_are_decoded_whatever_the_name(tmp_path, form):
    """PIL gives PostScript to Ghostscript, which is no place for a stranger's file."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(COLOR).save(path, form)
    for reads in (read_rgb, read_image_size):
        with pytest.raises(SAVError, match="of an unknown format"):
            reads(path)
