import numpy as np
import pytest

from facespeak_jax.data.heads import raster


def draw(xy, triangles, size=64, nearness=None, two_sided=False):
    xy = np.asarray(xy, np.float32)
    triangles = np.asarray(triangles, np.int32)
    nearness = (
        np.ones(len(xy), np.float32) if nearness is None else np.asarray(nearness, np.float32)
    )
    ids = np.full((size, size), -1, np.int32)
    depth = np.zeros((size, size), np.float32)
    raster.rasterise(xy, nearness, triangles, np.full(len(triangles), two_sided), ids, depth)
    return ids, depth


def test_a_right_triangle_covers_the_closed_form_number_of_pixels():
    # Legs of n pixels along the axes: row i holds the centres x + y < n, that is n − 1 − i of them
    # off the hypotenuse and one on it; the hypotenuse belongs to the triangle or to its neighbour.
    n = 40
    ids, _ = draw([(0, 0), (0, n), (n, 0)], [(0, 1, 2)])
    off = n * (n - 1) // 2
    assert (ids == 0).sum() in (off, off + n)
    assert (ids[n:] == -1).all()
    assert (ids[:, n:] == -1).all()


def test_coverage_converges_to_the_area():
    corners = np.array([(3.3, 5.1), (20.7, 58.2), (60.4, 17.9)])
    a, b, c = corners
    area = abs((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]) / 2
    errors = []
    for scale in (1, 4, 16):
        ids, _ = draw(corners * scale, [(0, 1, 2)], size=64 * scale)
        errors.append(abs((ids == 0).sum() / scale**2 - area) / area)
    assert errors[0] < 0.02
    assert errors[2] < 0.001


def test_a_fan_covers_every_pixel_once():
    rng = np.random.default_rng(0)
    rim = np.array([(0, 0), (0, 64), (64, 64), (64, 0)], float)
    for _ in range(20):
        centre = rng.integers(8, 56, 2) + rng.choice([0.0, 0.5])
        xy = np.concatenate([[centre], rim])
        fan = [(0, k + 1, (k + 1) % 4 + 1) for k in range(4)]
        count = sum((draw(xy, [triangle])[0] == 0).astype(int) for triangle in fan)
        assert (count == 1).all()


def test_the_back_is_culled_unless_two_sided():
    corners = [(0, 0), (40, 0), (0, 40)]
    assert (draw(corners, [(0, 1, 2)])[0] == -1).all()
    assert (draw(corners, [(0, 1, 2)], two_sided=True)[0] == 0).any()


def test_the_nearer_triangle_wins_in_either_order():
    xy = [(0, 0), (0, 60), (60, 0)] * 2
    for near in (0, 1):
        nearness = [1.0 + (near == 0)] * 3 + [1.0 + (near == 1)] * 3
        ids, _ = draw(xy, [(0, 1, 2), (3, 4, 5)], nearness=nearness)
        assert set(np.unique(ids)) == {-1, near}


def test_a_vertex_behind_the_camera_drops_the_triangle():
    ids, _ = draw([(0, 0), (0, 60), (60, 0)], [(0, 1, 2)], nearness=[1, 1, -0.1])
    assert (ids == -1).all()


def test_weights_are_perspective_correct():
    # Half way on the screen between a vertex at distance 1 and one at distance 3 lies, in space,
    # the point with the weight 1/1 : 1/3.
    xy = np.array([(0, 0), (10, 0), (0, 10)], np.float32)
    nearness = np.array([1, 1 / 3, 1], np.float32)
    a, b, c = raster.barycentric(5.0, 0.0, xy, nearness, 0, 1, 2)
    assert (a, b, c) == pytest.approx((0.75, 0.25, 0.0), abs=1e-6)


def test_turning_is_the_rotation_matrix_and_scales_with_the_share():
    points = np.array([(1, 2, 3)] * 3, np.float32)
    pivot, axis = np.array([0.5, 0.0, -1.0]), np.array([0.0, 1.0, 0.0])
    angle, shares = 0.8, np.array([0, 0.5, 1], np.float32)
    turned = points.copy()
    raster.turn(turned, pivot, axis, angle, shares)
    for k, share in enumerate(shares):
        c, s = np.cos(angle * share), np.sin(angle * share)
        matrix = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        np.testing.assert_allclose(turned[k], matrix @ (points[k] - pivot) + pivot, atol=1e-5)


def test_normals_of_a_tetrahedron_point_outwards():
    corners = np.array([(1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)], np.float32)
    faces = np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)], np.int32)
    normals = np.empty_like(corners)
    raster.vertex_normals(corners, faces, normals)
    np.testing.assert_allclose(normals, corners / np.sqrt(3), atol=1e-6)


def test_half_of_the_sky_is_open_beside_a_wall():
    wall = np.array([(0, -50, -50), (0, 50, -50), (0, 50, 50), (0, -50, 50)], np.float32)
    points = np.concatenate([wall, np.array([(1e-3, 0, 0)], np.float32)]) - np.float32([0.02, 0, 0])
    normals = np.tile(np.array([0, 0, 1], np.float32), (5, 1))
    points[4, 0] = 0.0
    rng = np.random.default_rng(0)
    rays = rng.standard_normal((4000, 3))
    rays = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    faces = np.array([(0, 1, 2), (0, 2, 3)], np.int32)
    assert raster.open_sky(points, normals, faces, rays, 1e3)[4] == pytest.approx(0.5, abs=0.05)


def test_nothing_drawn_leaves_the_background():
    size = 8
    none = np.zeros((0, 3), np.float32)
    background = np.random.default_rng(0).random((size, size, 3)).astype(np.float32)
    gamma = np.arange(256).astype(np.uint8)  # a straight table up to WHITE
    image = np.zeros((size, size, 3), np.uint8)
    raster.shade(
        np.full((2 * size, 2 * size), -1, np.int32), none[:, :2], none[:, 0], none, none, none,
        np.ones((2 * size, 2 * size), np.float32), np.zeros((0, 3), np.int32),
        np.zeros((0, 3, 2), np.float32), np.zeros(0, np.int8), np.zeros((4, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 5), np.float32), np.array([0.0, 0, 1]),
        np.ones((3, 3)), np.array([0.0, 0, 10]), background, gamma, image,
    )  # fmt: skip
    np.testing.assert_array_equal(image, (background / raster.WHITE * 255).astype(np.uint8))
