import numpy as np
import pytest
from skimage.transform import SimilarityTransform

from facespeak_jax.evaluation.judges import dnsmos, face, face_plugin, landmarks
from facespeak_jax.evaluation.judges.judge import look_at_each


def test_similarity_equals_skimage():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 5, 2))
    expected = SimilarityTransform.from_estimate(source, target).params[:2]
    np.testing.assert_allclose(face_plugin.similarity(source, target), expected, atol=1e-9)


def test_an_aligned_face_lies_on_the_template():
    frame = np.zeros((96, 96, 3), np.uint8)
    points = face.TEMPLATE * 0.5 + np.array([20.0, 10.0])
    for x, y in points:
        frame[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] = 255
    crop = face_plugin.aligned(frame, points.astype(np.float32), face.TEMPLATE, face.SIZE)
    for x, y in face.TEMPLATE.round().astype(int):
        assert crop[y - 1 : y + 2, x - 1 : x + 2].min() > 128
    assert crop[:30].max() == 0


def test_windows_of_speech():
    short = np.arange(40_000) / 40_000
    (window,) = dnsmos.windows(short)
    assert len(window) == dnsmos.WINDOW
    np.testing.assert_allclose(window[40_000:80_000], short, atol=1e-6)
    assert len(dnsmos.windows(np.zeros(12 * 16_000))) == 3


def mesh(gap=0.0, lids=0.03):
    """A frontal face: eyes 0.2 apart at y = 0.4, the mouth at y = 0.7."""
    points = np.zeros((1, 478, 3))
    points[0, [33, 133, 362, 263], 0] = [0.35, 0.45, 0.55, 0.65]
    points[0, [33, 133, 362, 263, 159, 145, 386, 374], 1] = 0.4
    points[0, [145, 374], 1] += lids
    for upper, lower in ((13, 14), (81, 178), (311, 402)):
        points[0, [upper, lower], :2] = [[0.5, 0.7], [0.5, 0.7 + gap]]
    points[0, 10, :2], points[0, 152, :2] = (0.5, 0.2), (0.5, 0.9)
    points[0, 2, :2] = (0.5, 0.6)
    return points


def test_lips_and_eyes_by_hand():
    assert landmarks.eye_distance(mesh())[0] == pytest.approx(0.2)
    assert landmarks.lip_gap(mesh(gap=0.05))[0] == pytest.approx(0.25)
    assert landmarks.eye_opening(mesh())[0] == pytest.approx(0.3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_head_pose_is_the_turn_given(axis):
    angle = np.radians(20.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = {
        # To image right the nose, at negative depth, moves to larger x.
        0: np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]),
        # Upwards it moves to smaller y.
        1: np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]),
        # Clockwise in the image, where y points down.
        2: np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]),
    }[axis]
    expected = np.zeros(3)
    expected[axis] = 20.0
    turned = mesh() @ turn.T
    np.testing.assert_allclose(landmarks.head_pose(turned)[0], expected, atol=1e-6)
    np.testing.assert_allclose(landmarks.pitch_above_mouth(turned)[0], expected[1], atol=1e-6)


def test_a_jaw_that_drops_is_no_nod():
    agape = mesh()
    agape[0, 152] += [0.0, 0.05, 0.1]  # down, and towards the neck
    assert abs(landmarks.head_pose(agape)[0, 1]) > 5
    assert landmarks.pitch_above_mouth(agape)[0] == pytest.approx(0.0)


def test_a_repeated_frame_is_looked_at_once():
    frames = np.zeros((4, 2, 2, 3), np.uint8)
    frames[2] = 9
    looked = []

    def look(frame):
        looked.append(frame[0, 0, 0])
        return np.array([float(frame.max())])

    np.testing.assert_array_equal(look_at_each(frames, look)[:, 0], [0, 0, 9, 0])
    assert looked == [0, 9, 0]
