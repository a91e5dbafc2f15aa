"""Hair and beards as geometry: a shell over the scalp, and ribbons of hair that grow out of it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8
from scipy.spatial import KDTree

from facespeak_jax.data.heads import raster
from facespeak_jax.data.heads.appearance import beard_zone, lattice_noise, scalp
from facespeak_jax.data.heads.identity import Identity
from facespeak_jax.data.heads.mesh import HeadMesh, Part


class Growth(NamedTuple):
    """Extra geometry of a person. Vertex numbers are its own, beginning at 0."""

    vertices: Float[np.ndarray, "h 3"]
    triangles: Int[np.ndarray, "k 3"]
    uv: Float[np.ndarray, "k 3 2"]
    part: Int8[np.ndarray, " k"]
    parents: Int[np.ndarray, " h"]  # vertex of the head whose face units move it; −1: none
    share: Float[np.ndarray, " h"]  # of the head's rotation
    tint: Float[np.ndarray, " h"]


class Style(NamedTuple):
    """How hair grows. Lengths in dm."""

    top: float  # thickness of the shell on the crown
    side: float  # and around the ears and the neck
    length: float  # of the ribbons
    ribbons: int
    width: float  # of a ribbon
    lift: float  # how much a ribbon stands up at its root
    gravity: float
    curl: float
    comb: str  # where the ribbons are combed: side, back, up, down or out


STYLES: dict[str, Style] = {
    "bald": Style(0, 0, 0, 0, 0, 0, 0, 0, "down"),
    "buzz": Style(0.035, 0.02, 0, 0, 0, 0, 0, 0, "down"),
    "short": Style(0.16, 0.06, 0.38, 420, 0.085, 0.25, 0.1, 0.05, "forward"),
    "side": Style(0.2, 0.07, 0.55, 420, 0.1, 0.35, 0.1, 0.04, "side"),
    "quiff": Style(0.26, 0.05, 0.55, 420, 0.09, 0.7, 0.02, 0.05, "back"),
    "curly": Style(0.28, 0.17, 0.42, 620, 0.09, 0.8, 0.12, 0.6, "out"),
    "afro": Style(0.46, 0.32, 0.2, 700, 0.08, 1.0, 0.0, 0.7, "out"),
    "bob": Style(0.16, 0.15, 1.5, 440, 0.16, 0.2, 0.8, 0.05, "side"),
    "long": Style(0.14, 0.12, 2.4, 480, 0.17, 0.2, 0.8, 0.08, "side"),
    "bun": Style(0.1, 0.07, 0.7, 380, 0.12, 0.1, 0.0, 0.02, "back"),
    "ponytail": Style(0.1, 0.07, 0.7, 380, 0.12, 0.1, 0.0, 0.02, "back"),
}
_SEGMENTS = 6


def grow(mesh: HeadMesh, identity: Identity, vertices: Float[np.ndarray, "n 3"]) -> Growth:
    """The hair and the beard of a person whose neutral head has these vertices."""
    rng = np.random.default_rng([identity.seed, 7])
    normals = np.zeros_like(vertices)
    skin = mesh.triangles[mesh.part == Part.SKIN]
    raster.vertex_normals(vertices, skin, normals)
    pieces = []
    style = STYLES[identity.hair_style]
    if style.top > 0:
        head = _Head(mesh, identity, vertices, normals, skin)
        shell = _shell(head, style, rng)
        pieces.append(shell)
        if style.ribbons:
            pieces.append(_ribbons(head, style, rng))
        if identity.hair_style == "bun":
            pieces.append(_bun(head, rng))
        if identity.hair_style == "ponytail":
            pieces.append(_tail(head, rng))
    if identity.beard in ("full", "goatee", "moustache"):
        pieces.append(_beard(mesh, identity, vertices, normals, skin, rng))
    return _join(pieces)


class _Head:
    """What hair needs to know of the head it grows on."""

    def __init__(self, mesh: HeadMesh, identity: Identity, vertices, normals, skin):
        self.identity, self.vertices, self.normals, self.share = (
            identity,
            vertices,
            normals,
            mesh.share,
        )
        self.height = scalp(mesh.vertices, identity.hairline)
        self.place = mesh.vertices
        grows = (self.height > -0.03) & (mesh.ear < 0.3)
        self.triangles = skin[grows[skin].all(1)]
        outside = np.unique(skin[mesh.occlusion[skin].min(1) > 0.15])
        self.outside, self.tree = outside, KDTree(vertices[outside])
        self.middle = np.array([0, 7.35, 0.3]) + vertices.mean(0) - mesh.vertices.mean(0)
        self.half = float(np.abs(vertices[self.triangles.ravel(), 0]).max())

    def push_out(self, points, margin):
        """The points moved out of the head, at least `margin` above the nearest skin."""
        nearest = self.outside[self.tree.query(points)[1]]
        normal = self.normals[nearest]
        above = ((points - self.vertices[nearest]) * normal).sum(-1)
        return points + normal * np.maximum(0, margin - above)[:, None], normal


def _thickness(place, height, style: Style, volume: float, rng: np.random.Generator) -> np.ndarray:
    """Thickness of the shell (n,) at neutral places that lie `height` above the hairline."""
    crown = np.clip((place[:, 1] - 7.5) / 0.6, 0, 1)
    thick = (style.side + (style.top - style.side) * crown) * (0.7 + 0.6 * volume)
    bumps = lattice_noise(place, 4.0 + 5 * style.curl, rng)
    taper = np.clip(height / 0.3, 0, 1) ** 0.6
    return 0.012 + thick * taper * (1 + (0.12 + 0.4 * style.curl) * bumps)


def _subdivide(triangles: np.ndarray, *columns: np.ndarray):
    """Each triangle cut into four; columns (a row per vertex) are averaged at the midpoints."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    unique, number = np.unique(np.sort(edges, 1), axis=0, return_inverse=True)
    ab, bc, ca = (number.reshape(3, -1) + len(columns[0])).astype(np.int32)
    a, b, c = triangles.T
    fine = np.concatenate(
        [np.stack(t, -1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
    return fine, *(np.concatenate([column, column[unique].mean(1)]) for column in columns)


def _shell(head: _Head, style: Style, rng: np.random.Generator) -> Growth:
    used, compact = np.unique(head.triangles, return_inverse=True)
    triangles = compact.reshape(-1, 3).astype(np.int32)
    columns = [column[used] for column in (head.vertices, head.normals, head.place, head.height)]
    triangles, vertices, normals, place, height = _subdivide(triangles, *columns)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    vertices = (
        vertices
        + normals * _thickness(place, height, style, head.identity.hair_volume, rng)[:, None]
    )
    angle = np.arctan2(np.abs(place[:, 0]), place[:, 2] - 0.3)
    uv = np.stack([angle * 0.9 + 0.35 * place[:, 0], 0.25 * place[:, 1]], -1)[triangles]
    tint = 0.72 + 0.2 * np.clip(height / 0.4, 0, 1) + 0.08 * lattice_noise(place, 9.0, rng)
    return _piece(vertices, triangles, uv, Part.HAIR, tint)


def _piece(vertices, triangles, uv, part: Part, tint, parents=None, share=None) -> Growth:
    count = len(vertices)
    return Growth(
        np.asarray(vertices, np.float32),
        np.asarray(triangles, np.int32),
        np.asarray(uv, np.float32),
        np.full(len(triangles), part, np.int8),
        np.full(count, -1, np.int32) if parents is None else np.asarray(parents, np.int32),
        np.ones(count, np.float32) if share is None else np.asarray(share, np.float32),
        np.asarray(tint, np.float32),
    )


def _roots(head: _Head, count: int, rng: np.random.Generator):
    """Random points of the scalp: place, normal, height above the hairline."""
    corners = head.vertices[head.triangles]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    chosen = head.triangles[rng.choice(len(area), count, p=area / area.sum())]
    weights = rng.dirichlet([1, 1, 1], count)[..., None]
    return [(weights * (c[chosen] if c.ndim > 1 else c[chosen][..., None])).sum(1)
            for c in (head.vertices, head.normals, head.height)]  # fmt: skip


def _combed(points, normal, head: _Head, comb: str) -> np.ndarray:
    """Unit directions (n, 3), along the head, in which hair at these points is combed."""
    x = points[:, 0] - 0.4 * head.identity.parting * head.half
    away = np.stack([np.tanh(x / 0.12), np.full_like(x, -0.25), np.full_like(x, 0.05)], -1)
    fixed = {
        "back": (0, 0.25, -1),
        "forward": (0.25 * head.identity.parting, -0.25, 1),
        "down": (0, -1, 0),
    }
    if comb == "out":
        return normal
    wish = away if comb == "side" else np.broadcast_to(fixed[comb], points.shape)
    along = wish - normal * (wish * normal).sum(-1, keepdims=True)
    return along / (np.linalg.norm(along, axis=-1, keepdims=True) + 1e-6)


def _ribbons(head: _Head, style: Style, rng: np.random.Generator) -> Growth:
    identity = head.identity
    points, normal, height = _roots(head, style.ribbons, rng)
    volume = (0.7 + 0.6 * identity.hair_volume) * np.clip(height[:, 0] / 0.3, 0.1, 1)
    crown = np.clip((points[:, 1] - head.middle[1] - 0.15) / 0.6, 0, 1)
    margin = (
        (style.side + (style.top - style.side) * crown)
        * volume
        * rng.uniform(0.75, 1.15, len(points))
    )
    points, normal = head.push_out(points, margin * 0.8)
    length = style.length * (0.7 + 0.6 * identity.hair_length) * rng.uniform(0.75, 1.1, len(points))
    falls = style.gravity > 0.3
    if not falls:
        length *= 0.45 + 0.55 * crown
    fringe = _fringe(points, height[:, 0], head) & falls
    length[fringe] = rng.uniform(0.42, 0.6, fringe.sum())
    comb = np.where(fringe[:, None], [[0.0, 0.0, 0.7]], 0)
    step = (length / _SEGMENTS)[:, None]
    direction = (
        _combed(points, normal, head, style.comb) * ~fringe[:, None] + comb + style.lift * normal
    )
    line, facing = [points], [normal]
    for _ in range(_SEGMENTS):
        # The comb holds on the crown; below the brows hair falls, and a fringe falls at once.
        held = (
            np.clip((points[:, 1:2] - head.middle[1]) / 0.5, 0, 1) * ~fringe[:, None]
            if falls
            else 1.0
        )
        wish = _combed(points, normal, head, style.comb) * (0.3 if falls else 0.5) * held + [
            0,
            -style.gravity,
            0,
        ]
        direction = (
            direction * (0.4 + 0.6 * held)
            + 0.5 * wish
            + style.curl * rng.standard_normal(points.shape)
        )
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True) + 1e-6
        points, normal = head.push_out(points + direction * step, margin)
        points = np.where(fringe[:, None], points, _beside_the_face(points, head))
        line.append(points)
        facing.append(normal)
    line, facing = np.stack(line, 1), np.stack(facing, 1)
    kept = fringe | ~_in_the_face(line, head).any(1)
    return _strips(line[kept], facing[kept], style.width, head, rng)


def _fringe(points, height, head: _Head) -> np.ndarray:
    """Which roots (n,) bear a fringe: those over the forehead, if the parting is in the middle."""
    x, _, z = (points - head.middle).T
    return (
        (abs(head.identity.parting) < 0.35)
        & (height < 0.5)
        & (np.abs(x) < 0.6 * head.half)
        & (z > 0.45)
    )


def _face_width(y: np.ndarray, head: _Head) -> np.ndarray:
    return np.interp(y, [-1.4, -0.6, 0.0, 0.5], [0.55, 0.68, 0.78, 0.6]) * head.half / 0.8


def _beside_the_face(points, head: _Head) -> np.ndarray:
    """Falling hair slides around the face, no further in a step than it could have grown."""
    x, y, z = (points - head.middle).T
    lacking = np.where((z > 0.25) & (y < 0.55), np.maximum(0, _face_width(y, head) - np.abs(x)), 0)
    lacking = np.minimum(lacking, 0.25)
    return points + np.stack([np.where(x >= 0, lacking, -lacking), 0 * y, -0.8 * lacking], -1)


def _in_the_face(line, head: _Head) -> np.ndarray:
    x, y, z = np.moveaxis(line - head.middle, -1, 0)
    return (z > 0.3) & (y < 0.5) & (np.abs(x) < _face_width(y, head) - 0.08)


def _strips(line, facing, width: float, head: _Head, rng: np.random.Generator) -> Growth:
    """Flat tapering ribbons along the polylines (n, k, 3) that show their face along `facing`."""
    count, knots = line.shape[:2]
    tangent = np.gradient(line, axis=1)
    across = np.cross(tangent, facing)
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-6
    along = np.linspace(0, 1, knots)
    half = (
        0.5
        * width
        * rng.uniform(0.6, 1.3, (count, 1))
        * np.interp(along, [0, 0.5, 1], [0.9, 1, 0.25])
    )
    vertices = np.stack([line - across * half[..., None], line + across * half[..., None]], 2)
    number = np.arange(count * knots * 2, dtype=np.int32).reshape(count, knots, 2)
    a, b, c, d = number[:, :-1, 0], number[:, :-1, 1], number[:, 1:, 0], number[:, 1:, 1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    u = rng.random((count, 1, 1)) + np.array([0, 0.09])
    v = rng.random((count, 1, 1)) + 0.3 * along[:, None]
    uv = np.stack(np.broadcast_arrays(u, v), -1).reshape(-1, 2)
    tint = (
        rng.uniform(0.86, 1.1, (count, 1, 1))
        * np.interp(along, [0, 0.4, 1], [0.72, 1, 1.06])[:, None]
    )
    tint = np.broadcast_to(tint, number.shape).ravel()
    flat = vertices.reshape(-1, 3)
    share = np.interp(flat[:, 1] - head.middle[1], [-2.0, -1.2], [0.45, 1])
    return _piece(flat, triangles, uv[triangles], Part.HAIR, tint, share=share)


def _bun(head: _Head, rng: np.random.Generator) -> Growth:
    """A knot of hair on the crown."""
    rows, columns = 9, 14
    polar, turn = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij"
    )
    ball = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1)
    radius = 0.3 + 0.16 * head.identity.hair_volume
    ball = ball.reshape(-1, 3) * [1.1, 0.85, 1] * radius
    ball *= (1 + 0.12 * lattice_noise(ball + 5, 5.0, rng))[:, None]
    top = head.vertices[head.triangles.ravel(), 1].max()
    number = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    uv = np.stack([polar.ravel() * 0.5, turn.ravel() / 6], -1)[triangles]
    place = ball + np.array([0, top + 0.6 * radius, head.middle[2] - 0.25])
    return _piece(place, triangles, uv, Part.HAIR, 0.85 + 0.8 * ball[:, 1] * 0.3)


def _tail(head: _Head, rng: np.random.Generator) -> Growth:
    """A tail that begins at the back of the head and hangs over one shoulder."""
    side = 1.0 if head.identity.parting > 0 else -1.0
    knots = np.array([[0, 0.5, -1.1], [0.25, 0.45, -1.35], [0.6, -0.1, -1.1], [0.8, -0.8, -0.5],
                      [0.82, -1.3, 0.1], [0.78, -1.9, 0.35]])  # fmt: skip
    path = np.stack(
        [np.interp(np.linspace(0, 5, 12), np.arange(6), knots[:, k]) for k in range(3)], -1
    )
    path = head.middle + path * [side, 1, 1]
    spread = (
        rng.standard_normal((110, 1, 3))
        * 0.11
        * np.interp(np.linspace(0, 1, 12), [0, 0.3, 1], [0.3, 1, 0.7])[:, None]
    )
    line = path + spread
    facing = np.broadcast_to(spread + np.array([0, 0, 0.05]), line.shape)
    return _strips(line, facing, 0.11, head, rng)


def _beard(mesh: HeadMesh, identity: Identity, vertices, normals, skin, rng) -> Growth:
    """A shell over the bearded skin that moves with the skin below it."""
    zone = beard_zone(mesh.vertices, identity.beard)
    zone[mesh.lips] = 0
    zone *= mesh.occlusion > 0.1
    triangles = skin[(zone[skin] > 0.12).all(1)]
    used, compact = np.unique(triangles, return_inverse=True)
    grain = lattice_noise(mesh.vertices[used], 13.0, rng)
    thick = (0.03 + 0.09 * identity.hair_volume) * zone[used] * (1 + 0.5 * grain)
    place = (
        vertices[used] + normals[used] * thick[:, None] + np.outer(zone[used] * thick, [0, -0.5, 0])
    )
    uv = np.stack([mesh.vertices[used, 0] * 1.3, mesh.vertices[used, 1] * 0.8], -1)[
        compact.reshape(-1, 3)
    ]
    tint = 0.85 + 0.2 * grain
    return _piece(
        place, compact.reshape(-1, 3), uv, Part.BEARD, tint, parents=used, share=mesh.share[used]
    )


def _join(pieces: list[Growth]) -> Growth:
    if not pieces:
        none = np.zeros((0, 3), np.float32)
        return _piece(none, none, np.zeros((0, 3, 2)), Part.HAIR, np.zeros(0))
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces[:-1]])
    triangles = [piece.triangles + start for piece, start in zip(pieces, starts, strict=True)]
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    return Growth(*columns)._replace(triangles=np.concatenate(triangles).astype(np.int32))
