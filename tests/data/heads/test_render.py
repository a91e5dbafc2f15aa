import numpy as np
import pytest

from facespeak_jax.data.heads.appearance import draw_scene
from facespeak_jax.data.heads.identity import draw_identity
from facespeak_jax.data.heads.render import HeadRenderer, _rotation, contact_sheet
from facespeak_jax.data.heads.units import ARKIT, UNIT
from facespeak_jax.face.portrait import DROP, SQUARE, detected_square, find_faces, look_again

REST = np.zeros(3)
NEUTRAL = np.zeros(52)


def units(**values):
    drawn = NEUTRAL.copy()
    for name, value in values.items():
        drawn[UNIT[name]] = value
    return drawn


@pytest.fixture(scope="module")
def heads(mesh):
    return [HeadRenderer(draw_identity(seed), draw_scene(seed + 50), 64) for seed in (0, 1, 2)]


def test_rotation_is_yaw_after_pitch_after_roll():
    def about(axis, degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.eye(3)
        matrix[[i, j], [i, j]], matrix[i, j], matrix[j, i] = c, -s, s
        return matrix

    yaw, pitch, roll = 33.0, -12.0, 21.0
    angle, axis = _rotation(yaw, pitch, roll)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    found = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    np.testing.assert_allclose(
        found, about(1, yaw) @ about(0, -pitch) @ about(2, -roll), atol=1e-12
    )


def test_the_same_seeds_give_the_same_bytes(heads):
    again = HeadRenderer(draw_identity(0), draw_scene(50), 64)
    pose, face = np.array([12.0, -5.0, 4.0]), units(jawOpen=0.4, eyeBlinkLeft=0.3)
    first = heads[0].render(pose, face)
    heads[0].render(REST, NEUTRAL)  # what was drawn before leaves no trace
    for frame in (heads[0].render(pose, face), again.render(pose, face)):
        for one, other in zip(first, frame, strict=True):
            np.testing.assert_array_equal(one, other)


def test_signs_of_the_pose(heads):
    for head in heads:
        rest = head.render(REST, NEUTRAL).landmarks
        yaw = head.render(np.array([20.0, 0, 0]), NEUTRAL).landmarks
        pitch = head.render(np.array([0, 15.0, 0]), NEUTRAL).landmarks
        roll = head.render(np.array([0, 0, 15.0]), NEUTRAL).landmarks
        between = yaw[:2].mean(0) - rest[:2].mean(0)
        assert yaw[2, 0] > rest[2, 0] + 0.05  # the nose goes to image right,
        assert yaw[2, 0] - rest[2, 0] > between[0]  # further than the eyes behind it
        assert pitch[2, 1] < rest[2, 1] - 0.02  # looking up lifts the nose
        assert roll[1, 1] > roll[0, 1] + 0.05  # clockwise: the right eye drops below the left


def test_the_order_of_the_landmarks_is_as_seen(heads):
    for head in heads:
        left, right, nose, left_corner, right_corner = head.render(REST, NEUTRAL).landmarks
        assert left[0] < nose[0] < right[0]
        assert left_corner[0] < nose[0] < right_corner[0]
        assert max(left[1], right[1]) < nose[1] < min(left_corner[1], right_corner[1])


def test_the_crop_is_the_canonical_square_whatever_the_distance(mesh):
    for seed in range(4):
        found = HeadRenderer(draw_identity(3), draw_scene(seed), 32).render(REST, NEUTRAL).landmarks
        eyes, mouth = found[:2].mean(0), found[3:].mean(0)
        unit = max(np.linalg.norm(mouth - eyes), 0.9 * np.linalg.norm(found[1] - found[0]))
        assert unit * SQUARE == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(eyes + DROP * (mouth - eyes), 0.5, atol=1e-4)


def test_the_detector_finds_the_square_that_was_drawn(mesh):
    squares = []
    for seed in range(16):
        image = HeadRenderer(draw_identity(seed), draw_scene(seed), 256).render(REST, NEUTRAL).image
        (face,) = find_faces(image)
        squares.append(detected_square(look_again(image, face).landmarks[None]))
    ratio = np.array([square.side / 256 for square in squares])
    assert ratio.mean() == pytest.approx(1, abs=0.045)
    assert ratio.std() < 0.08
    middle = np.array([(square.cx, square.cy) for square in squares]) / 256
    np.testing.assert_allclose(middle.mean(0), 0.5, atol=0.02)


def test_boxes_hold_their_landmarks(heads):
    for head in heads:
        for pose in (REST, np.array([15.0, 8.0, -10.0])):
            frame = head.render(pose, units(jawOpen=0.4))
            for box, rows in ((frame.eye_box, (0, 1)), (frame.mouth_box, (3, 4))):
                assert box.shape == (4,)
                assert (box[:2] < box[2:]).all()
                for point in frame.landmarks[list(rows)]:
                    assert (box[:2] < point).all()
                    assert (point < box[2:]).all()


def test_lips_close_and_open_with_the_jaw(mesh):
    for seed in range(6):
        head = HeadRenderer(draw_identity(seed), draw_scene(0), 16)
        openings = [head.render(REST, units(jawOpen=j)).lip_opening for j in np.linspace(0, 1, 6)]
        assert openings[0] < 0.005
        assert (np.diff(openings) > 0.03).all()
        sealed = head.render(REST, units(jawOpen=0.4, mouthClose=0.4)).lip_opening
        assert sealed < 0.02


def test_the_opening_does_not_depend_on_the_pose(heads):
    face = units(jawOpen=0.5)
    straight = heads[0].render(REST, face).lip_opening
    turned = heads[0].render(np.array([30.0, -12.0, 9.0]), face).lip_opening
    assert turned == pytest.approx(straight, rel=1e-3)


def test_an_open_mouth_is_dark_inside_and_a_blink_hides_the_iris(mesh):
    head = HeadRenderer(draw_identity(5), draw_scene(1), 128)
    rest = head.render(REST, NEUTRAL)
    wide = head.render(REST, units(jawOpen=0.8))
    shut = head.render(REST, units(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))

    def crop(frame, box):
        x0, y0, x1, y1 = np.round(box * 128).astype(int)
        return frame.image[y0:y1, x0:x1].astype(float)

    dark = [np.percentile(crop(frame, frame.mouth_box).mean(-1), 5) for frame in (rest, wide)]
    assert dark[1] < 0.8 * dark[0]
    x, y = np.round(rest.landmarks[0] * 128).astype(int)
    around = (slice(y - 1, y + 2), slice(x - 1, x + 2))
    assert shut.image[around].mean() > rest.image[around].mean() + 20


def test_the_gaze_moves_the_iris_the_way_the_units_do(mesh):
    head = HeadRenderer(draw_identity(5), draw_scene(1), 96)

    def darkest(**arguments):
        frame = head.render(REST, arguments.pop("face", NEUTRAL), **arguments)
        x, y = np.round(frame.landmarks[1] * 96).astype(int)
        strip = frame.image[y, x - 7 : x + 8].mean(-1)
        return (np.arange(15) * (strip.max() - strip) ** 3).sum() / (
            (strip.max() - strip) ** 3
        ).sum()

    ahead = darkest()
    assert darkest(gaze=(18.0, 0.0)) > ahead + 0.5
    assert darkest(face=units(eyeLookOutLeft=0.6, eyeLookInRight=0.6)) > ahead + 0.5
    assert darkest(gaze=(-18.0, 0.0)) < ahead - 0.5


def test_a_shift_moves_everything_by_itself(heads):
    here = heads[1].render(REST, NEUTRAL)
    there = heads[1].render(REST, NEUTRAL, shift=(0.125, -0.0625))
    np.testing.assert_allclose(there.landmarks - here.landmarks, [[0.125, -0.0625]] * 5, atol=1e-6)


def test_the_shoulders_stay(heads):
    still = heads[1].render(REST, NEUTRAL)
    turned = heads[1].render(np.array([25.0, 0, 0]), NEUTRAL)
    bottom = np.abs(still.image[-3:].astype(float) - turned.image[-3:]).mean(-1)
    face = np.abs(still.image[24:40].astype(float) - turned.image[24:40]).mean(-1)
    assert bottom[:, [2, 3, 60, 61]].mean() < 0.5 * face.mean()


def test_a_wrong_number_of_units_is_refused(heads):
    with pytest.raises(ValueError, match="52"):
        heads[0].render(REST, np.zeros(51))


def test_every_unit_changes_the_picture(mesh):
    head = HeadRenderer(draw_identity(2), draw_scene(3), 128)
    rest = head.render(REST, NEUTRAL).image.astype(int)
    unseen = [
        name
        for name in ARKIT
        if np.abs(head.render(REST, units(**{name: 1.0})).image - rest).max() < 8
    ]
    assert unseen in ([], ["tongueOut"])  # behind closed lips the tongue may stay hidden


def test_people_on_a_sheet_differ(mesh):
    sheet = contact_sheet([0, 1, 2], 32)
    assert sheet.shape == (64, 64, 3)
    cells = [sheet[:32, :32], sheet[:32, 32:], sheet[32:, :32]]
    for k in range(3):
        assert np.abs(cells[k].astype(int) - cells[k - 1]).mean() > 15
