"""Pictures of a synthetic person: pose, face units and gaze in, a frame with its truth out."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from facespeak_jax.data.heads import raster
from facespeak_jax.data.heads.appearance import (
    Scene,
    draw_scene,
    paint_background,
    paint_pages,
    paint_skin,
)
from facespeak_jax.data.heads.hair import Growth, grow
from facespeak_jax.data.heads.identity import Identity, draw_identity, shape_head
from facespeak_jax.data.heads.mesh import HeadMesh, Part, load_mesh
from facespeak_jax.data.heads.units import ARKIT, UNIT
from facespeak_jax.face.portrait import canonical_square

_SAMPLES = 2
# The mesh bends behind the spine; a living neck turns about the middle of its width.
_PIVOT_FORWARD = 0.25
_SHADOW, _SHADOW_REACH, _SHADOW_BIAS = 160, 1.7, 0.03
_SHADOW_CENTRE = np.array([0, 0.4, 0.3])
# Degrees an eyeball turns at a full eyeLook unit: sideways, up or down.
_LOOK_SIDE, _LOOK_UP = 30.0, 22.0

_MATERIALS = np.zeros((len(Part), 5), np.float32)
#                          wrap shine gloss two_sided atlas
_MATERIALS[Part.SKIN] = (0.3, 0.07, 14, 0, 1)
_MATERIALS[Part.EYE] = (0.3, 0.9, 90, 0, 0)
_MATERIALS[Part.TEETH] = (0.4, 0.15, 30, 0, 0)
_MATERIALS[Part.TONGUE] = (0.4, 0.08, 20, 0, 0)
_MATERIALS[Part.LASH] = (0.5, 0.0, 1, 1, 0)
_MATERIALS[Part.HAIR] = (0.4, 0.1, 12, 1, 0)
_MATERIALS[Part.BEARD] = (0.4, 0.03, 8, 1, 0)

# Highlights are compressed rather than cut off, as in a photograph.
_KNEE = 0.55
_LEVEL = np.linspace(0, raster.WHITE, 4096)
_ABOVE = np.maximum(_LEVEL - _KNEE, 0)
_TONE = np.minimum(_LEVEL, _KNEE) + (1 - _KNEE) * (1 - np.exp(-_ABOVE / (1 - _KNEE)))
_GAMMA = np.round(255 * np.sqrt(_TONE)).astype(np.uint8)


class Frame(NamedTuple):
    """One picture and what is true of it. Positions are (x, y) in [0, 1] of the frame."""

    image: UInt8[np.ndarray, "size size 3"]
    landmarks: Float[
        np.ndarray, "5 2"
    ]  # left eye, right eye, nose tip, left, right mouth corner as seen
    mouth_box: Float[np.ndarray, " 4"]
    eye_box: Float[np.ndarray, " 4"]
    lip_opening: float


class HeadRenderer:
    """Draws one person in one scene.

    Args:
      identity: who; see `identity.draw_identity`.
      scene: where; see `appearance.draw_scene`.
      size: pixels of the square picture.

    Raises `assets.AssetMissing` when the head mesh cannot be had.
    """

    def __init__(self, identity: Identity, scene: Scene, size: int = 128):
        mesh = load_mesh()
        self._mesh, self._size, self._scene = mesh, size, scene
        neutral = shape_head(mesh, identity)
        growth = grow(mesh, identity, neutral)
        self._rest = np.concatenate([neutral, growth.vertices]).astype(np.float32)
        self._parents = growth.parents
        self._share = np.concatenate([mesh.share, growth.share])
        self._triangles = np.concatenate([mesh.triangles, growth.triangles + len(neutral)])
        self._part = np.concatenate([mesh.part, growth.part])
        self._two_sided = _MATERIALS[self._part, raster.TWO_SIDED] > 0
        self._uv = np.concatenate([_eye_coordinates(mesh), growth.uv])
        self._atlas = paint_skin(mesh, identity, scene)
        self._pages = paint_pages(identity)
        self._unit_offset = _without_eyeballs(mesh)
        self._eye_centres = np.stack([neutral[eye].mean(0) for eye in mesh.eyes])
        self._eye_forward = float((neutral[mesh.eyes[0]] - self._eye_centres[0])[:, 2].max())
        self._pivot = _pivot(mesh, neutral)
        self._tints = _tints(mesh, growth)
        self._background = (paint_background(scene, size) / 255) ** 2
        self._light, self._colours = _light(scene)
        self._camera = np.array([0, self._eye_centres[0, 1], neutral[:, 2].max() + scene.distance])
        self._square = canonical_square(
            self._film(self._landmarks(self._rest, 0.0, np.zeros(3)))[None]
        )
        self._buffers = _Buffers(size * _SAMPLES, len(self._rest))

    def render(
        self,
        pose: Float[np.ndarray, " 3"],
        units: Float[np.ndarray, " units"],
        gaze: tuple[float, float] = (0.0, 0.0),
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Frame:
        """Draw one frame.

        Args:
          pose: degrees of yaw (> 0: to image right), pitch (> 0: looks up), roll (> 0: clockwise).
          units: face units in the order of `units.ARKIT`, mostly in [0, 1].
          gaze: degrees the eyes turn to image right and up, on top of the eyeLook units.
          shift: by which the whole person is moved, to the right and down, in widths of the frame.
        """
        units = np.asarray(units, np.float64)
        if units.shape != (len(ARKIT),):
            raise ValueError(f"units must have shape ({len(ARKIT)},), not {units.shape}")
        buffers = self._buffers
        vertices, angle, axis = self._deform(np.asarray(pose, np.float64), units, gaze)
        raster.vertex_normals(vertices, self._triangles, buffers.normals)
        xy = self._screen(vertices, shift)
        nearness = (1 / (self._camera[2] - vertices[:, 2])).astype(np.float32)
        scaled = (xy * (self._size * _SAMPLES)).astype(np.float32)
        buffers.ids.fill(-1)
        buffers.depth.fill(0)
        raster.rasterise(
            scaled, nearness, self._triangles, self._two_sided, buffers.ids, buffers.depth
        )
        self._cast_shadows(vertices, scaled, nearness)
        image = np.empty((self._size, self._size, 3), np.uint8)
        raster.shade(
            buffers.ids, scaled, nearness, vertices, buffers.normals, self._tints, buffers.shadow,
            self._triangles, self._uv, self._part, self._atlas, self._pages, _MATERIALS,
            self._light, self._colours, self._camera, self._background, _GAMMA, image,
        )  # fmt: skip
        landmarks = self._screen(self._landmarks(vertices, angle, axis), shift).astype(np.float32)
        across = float(np.linalg.norm(self._eye_centres[1] - self._eye_centres[0]))
        return Frame(
            image,
            landmarks,
            _box(xy[self._mesh.lips], 0.35),
            _box(xy[self._mesh.lids], 0.3),
            self._lip_gap(vertices, angle, axis) / across,
        )

    def _deform(self, pose, units, gaze):
        """Vertices (n, 3) of a frame, and the head's rotation as angle (radians) and axis."""
        out, mesh = self._buffers.vertices, self._mesh
        raster.displace(
            self._rest,
            mesh.units.starts,
            mesh.units.index,
            self._unit_offset,
            units,
            self._parents,
            out,
        )
        for number, side in enumerate(("Right", "Left")):
            angle, axis = _rotation(*_gaze_angles(units, gaze, side), 0.0)
            ball = out[mesh.eyes[number]]
            raster.turn(
                ball, self._eye_centres[number], axis, angle, np.ones(len(ball), np.float32)
            )
            out[mesh.eyes[number]] = ball
        angle, axis = _rotation(*pose)
        raster.turn(out, self._pivot, axis, angle, self._share)
        return out, angle, axis

    def _landmarks(self, vertices, angle, axis):
        """The five points in space, (5, 3); an eye is the front of its ball when looking ahead."""
        fronts = (self._eye_centres + np.array([0, 0, self._eye_forward])).astype(np.float32)
        raster.turn(fronts, self._pivot, axis, angle, np.ones(2, np.float32))
        return np.concatenate([fronts, vertices[[self._mesh.nose_tip, *self._mesh.corners]]])

    def _lip_gap(self, vertices, angle, axis) -> float:
        """How far (dm) the upper lip's inner edge is above the lower's, along the head's own up."""
        up = np.array([[0.0, 1.0, 0.0]], np.float32)
        raster.turn(up, np.zeros(3), axis, angle, np.ones(1, np.float32))
        upper, lower = (vertices[k] for k in self._mesh.inner_lips)
        return max(0.0, float((upper - lower) @ up[0]))

    def _film(self, points):
        """Perspective projection (n, 2), y down: a length of 1 at distance 1 is 1 long."""
        away = self._camera[2] - points[:, 2]
        return np.stack([points[:, 0] / away, (self._camera[1] - points[:, 1]) / away], -1)

    def _screen(self, points, shift):
        """Positions (n, 2) in [0, 1] of the frame."""
        corner = np.array([self._square.cx, self._square.cy]) - self._square.side / 2
        return (self._film(points) - corner) / self._square.side + np.asarray(shift)

    def _cast_shadows(self, vertices, scaled, nearness) -> None:
        buffers = self._buffers
        side = np.cross([0.0, 1.0, 0.0], self._light)
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(self._light, side), self._light]).astype(np.float32)
        seen = (vertices - (self._pivot + _SHADOW_CENTRE).astype(np.float32)) @ frame.T
        xy = (seen[:, :2] * [1, -1] / _SHADOW_REACH + 1) * (_SHADOW / 2)
        xy, depth = xy.astype(np.float32), (seen[:, 2] + 10).astype(np.float32)
        buffers.light_ids.fill(-1)
        buffers.light_depth.fill(0)
        raster.rasterise(
            xy, depth, self._triangles, self._two_sided, buffers.light_ids, buffers.light_depth
        )
        raster.shadows(
            buffers.ids, scaled, nearness, vertices, self._triangles, xy, depth, _SHADOW_BIAS,
            buffers.light_depth, buffers.shadow,
        )  # fmt: skip


class _Buffers:
    """Arrays written anew in every frame."""

    def __init__(self, samples: int, vertices: int):
        self.ids = np.empty((samples, samples), np.int32)
        self.depth = np.empty((samples, samples), np.float32)
        self.shadow = np.ones((samples, samples), np.float32)
        self.light_ids = np.empty((_SHADOW, _SHADOW), np.int32)
        self.light_depth = np.empty((_SHADOW, _SHADOW), np.float32)
        self.vertices = np.empty((vertices, 3), np.float32)
        self.normals = np.empty((vertices, 3), np.float32)


def _pivot(mesh: HeadMesh, vertices: np.ndarray) -> np.ndarray:
    """What the head turns about: half way up the neck."""
    ends = [vertices[joint].mean(0) for joint in mesh.joints]
    return np.mean(ends, 0) + np.array([0, 0, _PIVOT_FORWARD])


def _rotation(yaw: float, pitch: float, roll: float) -> tuple[float, np.ndarray]:
    """Angle (radians) and unit axis of: first roll, then pitch, then yaw, all in degrees."""
    half = np.radians([yaw, -pitch, -roll]) / 2
    (cy, cx, cz), (sy, sx, sz) = np.cos(half), np.sin(half)
    w = cy * cx * cz + sy * sx * sz
    vector = np.array(
        [cy * sx * cz + sy * cx * sz, sy * cx * cz - cy * sx * sz, cy * cx * sz - sy * sx * cz]
    )
    length = float(np.linalg.norm(vector))
    if length < 1e-12:
        return 0.0, np.array([0.0, 1.0, 0.0])
    return 2 * float(np.arctan2(length, w)), vector / length


def _gaze_angles(units: np.ndarray, gaze: tuple[float, float], side: str) -> tuple[float, float]:
    """Yaw and pitch in degrees of one eyeball."""
    look = {way: units[UNIT[f"eyeLook{way}{side}"]] for way in ("In", "Out", "Up", "Down")}
    # The person's left is image right: there "out" is to image right, on the other side "in".
    rightwards = look["Out"] - look["In"] if side == "Left" else look["In"] - look["Out"]
    return gaze[0] + _LOOK_SIDE * rightwards, gaze[1] + _LOOK_UP * (look["Up"] - look["Down"])


def _eye_coordinates(mesh: HeadMesh) -> np.ndarray:
    """Texture coordinates with those of the eyes replaced: the eyeball seen from the front."""
    uv = mesh.uv.copy()
    for eye in mesh.eyes:
        local = mesh.vertices[eye] - mesh.vertices[eye].mean(0)
        flat = np.zeros((len(mesh.vertices), 2), np.float32)
        flat[eye] = 0.5 + local[:, :2] * [1, -1] / (2 * np.abs(local[:, :2]).max())
        of_eye = np.isin(mesh.triangles[:, 0], eye)
        uv[of_eye] = flat[mesh.triangles[of_eye]]
    return uv


def _without_eyeballs(mesh: HeadMesh) -> np.ndarray:
    """Offsets of the face units, except that eyeballs turn rigidly and so are not displaced."""
    offset = mesh.units.offset.copy()
    offset[np.isin(mesh.units.index, np.concatenate(mesh.eyes))] = 0
    return offset


def _tints(mesh: HeadMesh, growth: Growth) -> np.ndarray:
    """Colour factor (n, 3) of each vertex: occlusion of the head, roots and tips of the hair."""
    tint = 0.1 + 0.9 * np.sqrt(np.clip(mesh.occlusion / 0.8, 0, 1))
    for kind in (Part.TEETH, Part.TONGUE):
        own = np.unique(mesh.triangles[mesh.part == kind])
        tint[own] = 0.12 + 0.68 * np.clip((mesh.vertices[own, 2] - 1.1) / 0.35, 0, 1)
    for eye in mesh.eyes:
        local = mesh.vertices[eye] - mesh.vertices[eye].mean(0)
        tint[eye] = 1.0 - 2.4 * np.clip(local[:, 1] - 0.02, 0, 0.2)
    tint[mesh.lids] = 1
    tints = np.concatenate([tint, growth.tint])
    # Light that bounces in the creases of skin comes out red.
    redden = np.array([0.8, 1.1, 1.15])
    return (tints[:, None] ** redden).astype(np.float32)


def _light(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Direction towards the key light (3,), linear colours of key, sky and ground (3, 3)."""
    azimuth, elevation = np.radians([scene.light_azimuth, scene.light_elevation])
    direction = [
        np.sin(azimuth) * np.cos(elevation),
        np.sin(elevation),
        np.cos(azimuth) * np.cos(elevation),
    ]
    warm = 1 + 0.1 * scene.warmth * np.array([1, 0, -1])
    key = scene.key * warm
    sky, ground = scene.fill / warm, 0.45 * scene.fill * np.array([1.0, 0.94, 0.88])
    return np.array(direction), np.stack([key, sky, ground])


def _box(points: np.ndarray, margin: float) -> np.ndarray:
    """(x0, y0, x1, y1) float32 around the points, widened by a share of its width."""
    low, high = points.min(0), points.max(0)
    wider = margin * (high[0] - low[0]) * np.array([0.5, 1.0])
    return np.clip(np.concatenate([low - wider, high + wider]), 0, 1).astype(np.float32)


def contact_sheet(seeds: list[int], size: int = 128) -> UInt8[np.ndarray, "h w 3"]:
    """People of these seeds, frontal and at rest, in rows of about √n."""
    columns = int(np.ceil(np.sqrt(len(seeds))))
    pictures = np.zeros((-(-len(seeds) // columns), columns, size, size, 3), np.uint8)
    for k, seed in enumerate(seeds):
        head = HeadRenderer(draw_identity(seed), draw_scene(seed), size)
        pictures[k // columns, k % columns] = head.render(np.zeros(3), np.zeros(len(ARKIT))).image
    return pictures.swapaxes(1, 2).reshape(-1, columns * size, 3)
