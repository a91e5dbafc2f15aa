import io
import warnings

import numpy as np
import pytest
from PIL import Image

from facespeak_jax import errors
from facespeak_jax.face import portrait
from tests.faces import astronaut

# Left eye, right eye, nose, left and right mouth corner of a made-up frontal face.
FACE = np.array([[80, 100], [120, 100], [100, 120], [85, 140], [115, 140]], np.float32)
# Eyes of the astronaut, marked by hand.
EYES = np.array([[206, 105], [246, 103]])


def test_square_is_centred_on_the_face_axis_and_scales_with_the_face():
    square = portrait.canonical_square(FACE[None])
    assert square == pytest.approx((100, 100 + portrait.DROP * 40, portrait.SQUARE * 40))
    twice = portrait.canonical_square(2 * FACE[None] + [7, -3])
    assert twice == pytest.approx((207, 2 * square.cy - 3, 2 * square.side))


def test_square_keeps_its_size_when_the_head_nods_or_turns():
    side = portrait.canonical_square(FACE[None]).side
    nod = FACE * [1, 0.8] + [0, 20]
    turn = FACE * [0.5, 1] + [50, 0]
    assert portrait.canonical_square(nod[None]).side == pytest.approx(0.9 * side)
    assert portrait.canonical_square(turn[None]).side == pytest.approx(side)


def test_square_of_a_clip_is_that_of_the_median_frame():
    offsets = np.array([[-30, 0], [0, 0], [1, 1], [2, 2], [50, 50]], np.float32)
    square = portrait.canonical_square(FACE[None] + offsets[:, None])
    assert square == pytest.approx(portrait.canonical_square(FACE[None] + 1))


def test_cut_of_aligned_pixels_is_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    crop = portrait.cut(image, portrait.Square(32, 28, 40), 40)
    np.testing.assert_array_equal(crop, image[8:48, 12:52])


def test_cut_continues_the_edge_beyond_the_image():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    crop = portrait.cut(image, portrait.Square(10, 10, 40), 40)
    np.testing.assert_array_equal(crop[10:30, 10:30], image)
    np.testing.assert_array_equal(crop[:10, 10:30], np.repeat(image[:1], 10, axis=0))
    np.testing.assert_array_equal(crop[30:, 30:], np.broadcast_to(image[-1, -1], (10, 10, 3)))


@pytest.mark.parametrize("side", [100, 512, 1600])
def test_astronaut_is_found_at_any_resolution(side):
    image = np.asarray(Image.fromarray(astronaut()).resize((side, side)))
    aligned = portrait.align(image, size=32)
    square = np.array(aligned.square) * 512 / side
    np.testing.assert_allclose(square, [225, 109, 175], atol=4)
    faces = portrait.find_faces(image)
    assert len(faces) == 1
    np.testing.assert_allclose(faces[0].landmarks[:2] * 512 / side, EYES, atol=7)


def test_several_faces_need_a_choice():
    two = np.concatenate([astronaut(), np.ascontiguousarray(astronaut()[:, ::-1])], axis=1)
    with pytest.raises(errors.SeveralFaces, match="2 faces"):
        portrait.align(two, size=64)
    with pytest.raises(errors.SeveralFaces, match="face_index"):
        portrait.align(two, size=64, face_index=2)
    left, right = (portrait.align(two, size=64, face_index=index).square.cx for index in (0, 1))
    assert left == pytest.approx(225, abs=4)
    assert right == pytest.approx(1024 - 225, abs=4)


def test_a_passer_by_is_no_second_face():
    scene = np.full((512, 700, 3), 90, np.uint8)
    scene[:, :512] = astronaut()
    scene[:120, 560:680] = np.asarray(Image.fromarray(astronaut()).resize((120, 120)))
    assert len(portrait.find_faces(scene)) == 1


def test_no_face():
    with pytest.raises(errors.NoFace):
        portrait.align(np.full((200, 300, 3), 128, np.uint8), size=64)


def test_small_face_warns():
    small = Image.fromarray(astronaut()).resize((100, 100))
    with pytest.warns(errors.FaceTooSmall, match="only 3. px"):
        portrait.align(small, size=128)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        portrait.align(small, size=48)


def test_exif_rotation_is_undone():
    image = Image.fromarray(astronaut()).rotate(90, expand=True)
    exif = image.getexif()
    exif[0x0112] = 6  # shown upright after a quarter turn clockwise
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(portrait.read_image(buffer.getvalue()), astronaut())


def test_transparency_becomes_white(tmp_path):
    image = np.zeros((4, 4, 4), np.uint8)
    image[:2] = [200, 10, 10, 255]
    Image.fromarray(image).save(tmp_path / "alpha.png")
    read = portrait.read_image(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read[:2], np.broadcast_to([200, 10, 10], (2, 4, 3)))
    np.testing.assert_array_equal(read[2:], np.full((2, 4, 3), 255))


def test_palette_grey_and_deep_pictures(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(rgb).quantize(256).save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("grey", "palette", "deep"):
        np.testing.assert_array_equal(portrait.read_image(tmp_path / f"{name}.png"), rgb)


def test_what_is_no_picture_is_unreadable(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    truncated = io.BytesIO()
    Image.fromarray(astronaut()).save(truncated, "PNG")
    for source in (
        tmp_path / "missing.png",
        tmp_path / "text.png",
        tmp_path,
        b"",
        truncated.getvalue()[:5000],
        np.zeros((3, 3), np.float32),
        np.zeros((0, 3, 3), np.uint8),
    ):
        with pytest.raises(errors.UnreadableImage):
            portrait.read_image(source)


def test_pasting_back_leaves_everything_outside_untouched():
    aligned = portrait.align(astronaut(), size=64)
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    output = portrait.paste_back(frames, aligned)
    x0, y0 = aligned.square.corner
    rows, columns = np.mgrid[:512, :512] + 0.5
    side = aligned.square.side
    outside = (columns < x0) | (columns > x0 + side) | (rows < y0) | (rows > y0 + side)
    assert output.shape == (2, 512, 512, 3)
    np.testing.assert_array_equal(output[:, outside], np.stack([astronaut()[outside]] * 2))
    centre = output[:, 80:130, 200:250].astype(int) - astronaut()[80:130, 200:250]
    assert np.abs(centre).mean() > 30


def test_pasting_back_the_crop_itself_changes_next_to_nothing():
    aligned = portrait.align(astronaut(), size=256)  # more pixels than the square: nothing is lost
    output = portrait.paste_back(aligned.crop[None], aligned)[0]
    assert np.abs(output.astype(int) - astronaut()).max() < 64
    assert np.abs(output.astype(int) - astronaut()).mean() < 0.15


def test_paste_fades_without_a_step():
    grey = np.full((200, 200, 3), 100, np.uint8)
    aligned = portrait.Aligned(grey[:64, :64], portrait.Square(100, 100, 100.0), grey)
    output = portrait.paste_back(np.full((1, 64, 64, 3), 200, np.uint8), aligned)[0].astype(int)
    assert output[100, 100, 0] == 200
    assert np.abs(np.diff(output[100, :, 0])).max() <= 100 * 1.5 / (100 * portrait.FEATHER) + 1
