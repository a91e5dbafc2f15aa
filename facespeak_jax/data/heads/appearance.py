"""How things look: skin and eyes of a person; clothing, wall, light and camera of a clip.

A `Scene` is drawn from a seed of its own, so that nothing in it tells who the person is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from facespeak_jax.data.heads.identity import Identity, triple
from facespeak_jax.data.heads.mesh import HeadMesh, Part

PAGE = 256
"""Width of the pictures that are not the skin atlas."""

BACKGROUNDS = ("plain", "gradient", "blurred", "stripes", "window")
_NECKLINES = ("crew", "v", "turtleneck", "collar")
_PATTERNS = ("plain", "stripes", "checks", "melange")


@dataclass(frozen=True)
class Scene:
    """One clip's clothing, background, light and camera. Colours are sRGB 0…255, angles degrees."""

    seed: int
    shirt: tuple[float, float, float]
    accent: tuple[float, float, float]
    pattern: str
    neckline: str
    background: str
    wall: tuple[float, float, float]
    wall_second: tuple[float, float, float]
    light_azimuth: float  # > 0: the light stands to the image right
    light_elevation: float
    warmth: float  # −1 cold … 1 warm
    key: float  # strength of the key light
    fill: float  # strength of the light from everywhere
    distance: float  # dm from the camera to the face


def draw_scene(seed: int) -> Scene:
    """The scene of a seed (any non-negative integer)."""
    rng = np.random.default_rng([seed, 2])
    shirt, accent = _cloth(rng), _cloth(rng)
    wall = rng.uniform(30, 235) * np.ones(3) + rng.uniform(-30, 30, 3)
    second = wall * rng.uniform(0.4, 1.3) + rng.uniform(-25, 25, 3)
    return Scene(
        seed=seed,
        shirt=shirt,
        accent=accent,
        pattern=str(rng.choice(_PATTERNS, p=[0.5, 0.2, 0.15, 0.15])),
        neckline=str(rng.choice(_NECKLINES, p=[0.4, 0.2, 0.2, 0.2])),
        background=str(rng.choice(BACKGROUNDS)),
        wall=triple(np.clip(wall, 8, 250)),
        wall_second=triple(np.clip(second, 8, 250)),
        light_azimuth=float(rng.uniform(-60, 60)),
        light_elevation=float(rng.uniform(10, 50)),
        warmth=float(rng.uniform(-1, 1)),
        key=float(rng.uniform(0.6, 1.1)),
        fill=float(rng.uniform(0.38, 0.68)),
        distance=float(rng.uniform(7, 18)),
    )


def _cloth(rng: np.random.Generator) -> tuple[float, float, float]:
    hue, saturation, value = rng.random(), rng.uniform(0, 0.75) ** 1.3, rng.uniform(0.08, 0.95)
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return triple(255 * value * (1 - saturation * (1 - ramp)))


def lattice_noise(
    places: Float[np.ndarray, "n 3"], frequency: float, rng: np.random.Generator
) -> Float[np.ndarray, " n"]:
    """Smooth noise (n,) in [−1, 1] fixed in space: a random periodic lattice, interpolated."""
    lattice = rng.uniform(-1, 1, (32, 32, 32)).astype(np.float32)
    return map_coordinates(
        lattice, (places * frequency).T, order=1, mode="grid-wrap", prefilter=False
    )


def _spot(places, x: float, y: float, z: float, radius: float) -> np.ndarray:
    """A soft spot (n,) on both sides of the face."""
    mirrored = np.abs(places[:, 0]) - x
    square = mirrored**2 + (places[:, 1] - y) ** 2 + (places[:, 2] - z) ** 2
    return np.exp(-square / radius**2)


def _mix(colour: np.ndarray, other, amount: np.ndarray) -> np.ndarray:
    return colour + (np.asarray(other, np.float32) - colour) * amount[:, None]


def paint_skin(mesh: HeadMesh, identity: Identity, scene: Scene) -> UInt8[np.ndarray, "a a 3"]:
    """The skin atlas: complexion, lips, brows, scalp, stubble and the clothing."""
    rng = np.random.default_rng([identity.seed, 3])
    places, mask = mesh.texel_place, mesh.texel_mask
    colour = _complexion(places, mask, identity, rng)
    colour = _paint_lips(colour, places, mask, identity, rng)
    colour = _paint_brows(colour, places, identity, rng)
    colour = _paint_hair_roots(colour, places, mask, identity, rng)
    colour = _paint_clothing(colour, places, scene)
    texels = np.clip(colour, 0, 255).astype(np.uint8)
    return texels[mesh.texel_fill]


def _complexion(places, mask, identity: Identity, rng: np.random.Generator) -> np.ndarray:
    colour = np.broadcast_to(np.array(identity.skin, np.float32), (len(places), 3)).copy()
    broad, fine = lattice_noise(places, 3.1, rng), lattice_noise(places, 17.3, rng)
    pores = lattice_noise(places, 61.7, rng)
    roughness = 0.5 + 0.5 * np.interp(identity.age, [25, 75], [0, 1])
    colour *= (1 + 0.035 * broad + 0.03 * roughness * fine + 0.05 * roughness * pores)[:, None]
    red = (
        _spot(places, 0.5, 6.95, 1.25, 0.28)
        + 0.9 * _spot(places, 0.0, 6.9, 1.66, 0.17)
        + 0.5 * mask[:, 2]
    )
    red = np.clip(red * (0.8 + 0.5 * broad), 0, 1) * 0.4 * identity.redness
    colour = _mix(colour, np.array(identity.skin) * [1.02, 0.72, 0.68], red)
    under_eye = _spot(places, 0.3, 7.12, 1.4, 0.13) * np.interp(identity.age, [25, 70], [0.12, 0.4])
    colour = _mix(colour, np.array(identity.skin) * [0.74, 0.66, 0.68], under_eye)
    speckle = lattice_noise(places, 23.0, rng)
    face = np.exp(-(((places[:, 1] - 7.0) / 0.35) ** 2)) * (places[:, 2] > 0.9)
    freckles = np.clip((speckle - 0.42) * 6, 0, 1) * face * identity.freckles
    colour = _mix(colour, np.array(identity.skin) * [0.74, 0.58, 0.46], 0.75 * freckles)
    colour *= (1 - _wrinkles(places, broad) * np.interp(identity.age, [38, 72], [0, 0.24]))[:, None]
    spots = np.clip((lattice_noise(places, 9.0, rng) - 0.72) * 8, 0, 1)
    return _mix(
        colour, np.array(identity.skin) * 0.72, spots * np.interp(identity.age, [50, 80], [0, 0.5])
    )


def _wrinkles(places, wave) -> np.ndarray:
    """Lines (0…1) of the forehead, beside the eyes, and from the nose around the mouth."""
    x, y = np.abs(places[:, 0]), places[:, 1]
    forehead = np.clip(3 * np.cos((y + 0.03 * wave - 7.7) * 2 * np.pi / 0.1) - 2, 0, 1)
    forehead *= np.clip(1 - ((y - 7.8) / 0.2) ** 2, 0, 1) * np.clip(1.6 - 2.6 * x, 0, 1)
    fold = np.interp(y, [6.45, 6.65, 6.92], [0.36, 0.34, 0.17])
    mouth = np.exp(-(((x - fold) / 0.03) ** 2)) * (y > 6.45) * (y < 6.95)
    fan = np.clip(3 * np.cos(np.arctan2(y - 7.27, x - 0.38) * 14) - 2, 0, 1)
    eyes = fan * np.clip(1 - np.abs(np.hypot(x - 0.38, y - 7.27) - 0.2) / 0.09, 0, 1) * (x > 0.46)
    return np.clip(forehead + 0.7 * mouth + eyes, 0, 1) * (places[:, 2] > 0.8)


def _paint_lips(colour, places, mask, identity: Identity, rng: np.random.Generator) -> np.ndarray:
    ridges = lattice_noise(places * [3.0, 0.6, 0.6], 14.0, rng)
    lips = np.array(identity.lips, np.float32) * (1 + 0.07 * ridges[:, None])
    # The seam of the lips is darker than their body: wet, and in the shade of both.
    seam = np.exp(-(((places[:, 1] - 6.606) / 0.014) ** 2)) * (np.abs(places[:, 0]) < 0.24)
    lips = lips * (1 - 0.45 * seam[:, None])
    soft = np.clip(1.5 * mask[:, :1], 0, 1) * 0.9
    colour = colour + (lips - colour) * soft
    inside = mask[:, 1]
    return _mix(colour, (70, 24, 24), inside)


def _paint_brows(colour, places, identity: Identity, rng: np.random.Generator) -> np.ndarray:
    x, y = np.abs(places[:, 0]), places[:, 1]
    along = (x - 0.1) / 0.46  # 0 at the inner end, 1 at the tail
    arch = (
        7.5
        + 0.03 * identity.sliders["brow_height"]
        + (0.015 + 0.05 * identity.brow_arch) * np.sin(np.clip(along, 0, 1.15) * 2.6)
    )
    half = (0.026 + 0.034 * identity.brow_thickness) * np.clip(
        1.15 - 0.75 * np.clip(along, 0, 1.2), 0.12, 1
    )
    inside = np.clip(1.4 - 1.4 * np.abs(y - arch) / half, 0, 1)
    ends = np.clip(along * 9 + 0.6, 0, 1) * np.clip((1.06 - along) * 7, 0, 1)
    strands = lattice_noise(
        np.stack([places[:, 0] * 2.4 - y, y * 0.6 + x, places[:, 2]], -1), 26.0, rng
    )
    amount = np.clip(inside * ends * (0.85 + 0.45 * strands), 0, 1) * (places[:, 2] > 0.9)
    return _mix(colour, identity.brow_colour, amount * (0.7 + 0.3 * identity.brow_thickness))


def scalp(places: Float[np.ndarray, "n 3"], hairline: float) -> Float[np.ndarray, " n"]:
    """Height in dm above the hairline of the neutral head; negative on face, ears and neck."""
    angle = np.degrees(np.arctan2(np.abs(places[:, 0]), places[:, 2] - 0.35))
    around = [0, 25, 45, 58, 66, 76, 88, 100, 125, 180]
    height = [8.0, 8.0, 7.95, 7.72, 7.3, 7.02, 7.3, 7.3, 6.75, 6.5]
    recede = np.interp(angle, [0, 30, 50, 70, 180], [1, 1.5, 1, 0, 0]) * hairline
    return places[:, 1] - np.interp(angle, around, height) - recede


def beard_zone(places: Float[np.ndarray, "n 3"], style: str) -> Float[np.ndarray, " n"]:
    """How much (0…1) of a beard of that style grows at each place of the neutral head."""
    x, y, z = np.abs(places[:, 0]), places[:, 1], places[:, 2]
    lip = _spot(places, 0.1, 6.76, 1.55, 0.13) + _spot(places, 0.22, 6.7, 1.45, 0.09)
    lip = lip * np.clip((6.84 - y) * 20, 0, 1)
    chin = np.clip((6.52 - y) * 9, 0, 1) * np.clip((0.34 - x) * 9, 0, 1) * (z > 0.85)
    line = np.interp(x, [0, 0.25, 0.5, 0.7, 0.85], [6.5, 6.62, 6.78, 7.05, 7.2])
    jaw = (
        np.clip((line - y) * 8, 0, 1) * np.clip((y - 6.0) * 8, 0, 1) * np.clip((z - 0.35) * 5, 0, 1)
    )
    under = _spot(places, 0.0, 6.46, 1.5, 0.08)
    zone = {
        "none": np.zeros_like(x),
        "moustache": lip,
        "goatee": lip + chin + under,
        "stubble": lip + jaw + under,
        "full": lip + jaw + under,
    }[style]
    return np.clip(zone * 1.5, 0, 1)


def _paint_hair_roots(
    colour, places, mask, identity: Identity, rng: np.random.Generator
) -> np.ndarray:
    grain = lattice_noise(places, 34.0, rng)
    height = scalp(places, identity.hairline) - 0.05 * lattice_noise(places, 9.0, rng)
    cover = {"bald": 0.0, "buzz": 0.82}.get(identity.hair_style, 0.95)
    if identity.hair_style == "bald" and identity.age < 60:
        cover = 0.18
    roots = np.clip(height / 0.09, 0, 1) * cover * (0.85 + 0.3 * grain) * (1 - mask[:, 2])
    colour = _mix(colour, np.array(identity.hair_colour) * 0.8, np.clip(roots, 0, 1))
    beard = beard_zone(places, identity.beard) * (1 - mask[:, 0]) * (1 - mask[:, 1])
    depth = {"stubble": 0.5, "none": 0.0}.get(identity.beard, 0.85)
    beard = np.clip(beard * depth * (0.75 + 0.5 * grain), 0, 1)
    return _mix(colour, identity.beard_colour, beard)


def _paint_clothing(colour, places, scene: Scene) -> np.ndarray:
    x, y, z = np.abs(places[:, 0]), places[:, 1], places[:, 2]
    front = np.clip((z - 0.1) / 0.6, 0, 1)
    edge = {
        "crew": 5.86 - 0.22 * front,
        "v": 5.9 - front * np.clip(0.75 - 1.6 * x, 0.05, 1),
        "turtleneck": np.full_like(x, 6.12),
        "collar": 5.98 - front * np.clip(0.34 - 0.8 * x, 0, 1),
    }[scene.neckline]
    cloth = np.broadcast_to(np.array(scene.shirt, np.float32), (len(places), 3)).copy()
    rng = np.random.default_rng([scene.seed, 4])
    if scene.pattern == "stripes":
        cloth[np.sin(y * 38) > 0.3] = scene.accent
    elif scene.pattern == "checks":
        cloth[(np.sin(y * 26) > 0) ^ (np.sin(places[:, 0] * 26) > 0)] = scene.accent
    weave = 0.14 if scene.pattern == "melange" else 0.05
    cloth *= (1 + weave * lattice_noise(places, 47.0, rng))[:, None]
    hem = np.exp(-(((y - edge + 0.05) / 0.035) ** 2))
    cloth *= (1 - 0.3 * hem)[:, None]
    return _mix(colour, cloth, np.clip((edge - y) / 0.02, 0, 1))


def paint_pages(identity: Identity) -> UInt8[np.ndarray, "parts page page 3"]:
    """Pictures of the parts other than the skin: eyes, teeth, tongue, lashes, hair, beard."""
    rng = np.random.default_rng([identity.seed, 5])
    pages = np.zeros((len(Part), PAGE, PAGE, 3), np.float32)
    pages[Part.EYE] = _eye_page(identity, rng)
    pages[Part.TEETH] = np.array([228, 218, 196]) * rng.uniform(0.86, 1.05)
    pages[Part.TONGUE] = (176, 92, 92)
    pages[Part.LASH] = np.array(identity.skin) * 0.42 * (1 - identity.lashes) + 16 * identity.lashes
    pages[Part.HAIR] = _strand_page(identity.hair_colour, rng)
    pages[Part.BEARD] = _strand_page(identity.beard_colour, rng)
    return np.clip(pages, 0, 255).astype(np.uint8)


def _eye_page(identity: Identity, rng: np.random.Generator) -> np.ndarray:
    """The eyeball seen from the front: the picture spans its diameter."""
    y, x = (np.mgrid[:PAGE, :PAGE] + 0.5) / PAGE * 2 - 1
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    iris_radius = 0.47
    spokes: Any = zoom(rng.uniform(-1, 1, 48), 12, order=1, mode="grid-wrap", grid_mode=True)
    fibre = spokes[((angle / (2 * np.pi) + 0.5) * (len(spokes) - 1)).astype(int)]
    white = np.array([244, 238, 232], np.float32) - rng.uniform(0, 10)
    page = np.broadcast_to(white, (PAGE, PAGE, 3)) * (1 - 0.12 * np.clip(radius, 0, 1)[..., None])
    depth = radius / iris_radius
    iris = np.array(identity.iris) * (1.12 + 0.22 * fibre - 0.25 * depth)[..., None]
    iris = iris * (1 - 0.65 * np.clip((depth - 0.8) / 0.2, 0, 1))[..., None]
    page = page + (iris - page) * np.clip((iris_radius - radius) / 0.03 + 0.5, 0, 1)[..., None]
    pupil = np.clip((0.19 - radius) / 0.025 + 0.5, 0, 1)[..., None]
    return page * (1 - pupil) + 12 * pupil


def _strand_page(colour, rng: np.random.Generator) -> np.ndarray:
    """Hair running along v (down the picture): streaks of lighter and darker strands."""
    streaks = gaussian_filter(rng.standard_normal((PAGE, PAGE)), (30, 0.8), mode="wrap")
    locks = gaussian_filter(rng.standard_normal((PAGE, PAGE)), (60, 6), mode="wrap")
    level = 0.13 * streaks / streaks.std() + 0.1 * locks / locks.std()
    return np.array(colour) * np.clip(1 + level, 0.35, 1.8)[..., None]


def paint_background(scene: Scene, size: int) -> Float[np.ndarray, "size size 3"]:
    """The wall behind the person: float32 sRGB 0…255."""
    rng = np.random.default_rng([scene.seed, 6])
    first, second = np.array(scene.wall), np.array(scene.wall_second)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    turn = rng.uniform(0, 2 * np.pi)
    ramp = 0.5 + (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)
    blend: Any  # an array; scipy's functions say no more than that they return some kind of one
    if scene.background == "plain":
        blend = 0.12 * ramp
    elif scene.background == "gradient":
        blend = ramp
    elif scene.background == "stripes":
        blend = np.clip(4 * np.sin(ramp * rng.uniform(12, 40)), -1, 1) * 0.5 + 0.5
    elif scene.background == "window":
        edge = rng.uniform(0.1, 0.9, 4)
        blend = (np.abs(x - edge[0]) < 0.25) * 1.0 + (np.abs(y - edge[1]) < 0.12) * 0.6
        blend = gaussian_filter(blend.clip(0, 1), size * rng.uniform(0.005, 0.05))
    else:
        cells = rng.uniform(0, 1, (6, 6))
        blend = zoom(cells, size / 6, order=3, mode="nearest", grid_mode=True)[:size, :size]
    wall = first + (second - first) * np.clip(blend, 0, 1)[..., None]
    return np.clip(wall + rng.normal(0, 1.5, (size, size, 1)), 0, 255).astype(np.float32)
