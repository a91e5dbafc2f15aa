"""Triangles to pixels: a z-buffer rasteriser and a shader, compiled by numba.

No fast-math, no threads: the same input gives the same bytes. Pixel (i, j) is sampled at its centre
(j + 0.5, i + 0.5); a centre on an edge shared by two triangles belongs to exactly one of them.
"""

from typing import no_type_check

import numpy as np
from numba import njit

# Columns of a material row: how far light wraps around the form, strength and exponent of the
# highlight, 1 if the back of a triangle shows too, 1 if it is textured from the skin atlas.
WRAP, SHINE, GLOSS, TWO_SIDED, ATLAS = range(5)

WHITE = 1.6
"""Linear level at the end of the `gamma` table of `shade`; all that is brighter looks like it."""

# Share of the key light that reaches a shadow: no room is so dark that there is none.
_SHADE = 0.2

# Run-time checkers of annotations must not wrap what numba compiles: hence `no_type_check`.
_compiled = njit(cache=True, nogil=True)


@_compiled
@no_type_check
def rasterise(xy, nearness, triangles, two_sided, ids, depth):
    """Write the nearest triangle of every pixel into `ids` and its 1/z into `depth`.

    Args:
      xy: (n, 2) float32, pixels, x to the right and y down.
      nearness: (n,) float32, 1/z of each vertex; a triangle with one at or below 0 is dropped.
      triangles: (m, 3) int32, counter-clockwise as seen from outside (y up).
      two_sided: (m,) bool, draw the back as well.
      ids: (h, w) int32, filled with −1 beforehand.
      depth: (h, w) float32, filled with 0 beforehand.
    """
    height, width = ids.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        na, nb, nc = float(nearness[a]), float(nearness[b]), float(nearness[c])
        if na <= 0 or nb <= 0 or nc <= 0:
            continue
        ax, ay = float(xy[a, 0]), float(xy[a, 1])
        bx, by = float(xy[b, 0]), float(xy[b, 1])
        cx, cy = float(xy[c, 0]), float(xy[c, 1])
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        if area == 0 or (area < 0 and not two_sided[t]):
            continue
        if area < 0:
            bx, by, nb, cx, cy, nc = cx, cy, nc, bx, by, nb
            area = -area
        x0 = max(0, int(np.floor(min(ax, bx, cx) - 0.5)))
        x1 = min(width - 1, int(np.ceil(max(ax, bx, cx) - 0.5)))
        y0 = max(0, int(np.floor(min(ay, by, cy) - 0.5)))
        y1 = min(height - 1, int(np.ceil(max(ay, by, cy) - 0.5)))
        if x0 > x1 or y0 > y1:
            continue
        # Edge functions, positive inside; each is opposite the vertex it is named after.
        ea_x, ea_y = cy - by, bx - cx
        eb_x, eb_y = ay - cy, cx - ax
        ec_x, ec_y = by - ay, ax - bx
        own_a = ea_x > 0 or (ea_x == 0 and ea_y > 0)
        own_b = eb_x > 0 or (eb_x == 0 and eb_y > 0)
        own_c = ec_x > 0 or (ec_x == 0 and ec_y > 0)
        for i in range(y0, y1 + 1):
            py = i + 0.5
            # Each edge function is linear along the row: wa = ra + ea_x·px, and so on.
            ra = (py - by) * ea_y - bx * ea_x
            rb = (py - cy) * eb_y - cx * eb_x
            rc = (py - ay) * ec_y - ax * ec_x
            low, high = _narrow(ea_x, ra, float(x0), float(x1))
            low, high = _narrow(eb_x, rb, low, high)
            low, high = _narrow(ec_x, rc, low, high)
            if low > high:
                continue
            for j in range(int(low), int(high) + 1):
                px = j + 0.5
                wa = (px - bx) * ea_x + (py - by) * ea_y
                wb = (px - cx) * eb_x + (py - cy) * eb_y
                wc = (px - ax) * ec_x + (py - ay) * ec_y
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                near = np.float32((wa * na + wb * nb + wc * nc) / area)
                if near <= depth[i, j]:
                    continue
                if (wa > 0 or own_a) and (wb > 0 or own_b) and (wc > 0 or own_c):
                    depth[i, j] = near
                    ids[i, j] = t


@_compiled
@no_type_check
def _narrow(slope, offset, low, high):
    """The columns low … high without those where offset + slope·x is surely negative."""
    if slope > 0:
        low = max(low, np.floor(-offset / slope - 1.5))
    elif slope < 0:
        high = min(high, np.ceil(-offset / slope + 0.5))
    return low, high


@_compiled
@no_type_check
def barycentric(x, y, xy, nearness, a, b, c):
    """Perspective-correct weights of the vertices a, b, c at the pixel position (x, y)."""
    ax, ay = xy[a, 0] - x, xy[a, 1] - y
    bx, by = xy[b, 0] - x, xy[b, 1] - y
    cx, cy = xy[c, 0] - x, xy[c, 1] - y
    wa = (bx * cy - cx * by) * nearness[a]
    wb = (cx * ay - ax * cy) * nearness[b]
    wc = (ax * by - bx * ay) * nearness[c]
    total = wa + wb + wc
    if total == 0:
        return 1.0, 0.0, 0.0
    return wa / total, wb / total, wc / total


@_compiled
@no_type_check
def vertex_normals(vertices, triangles, normals):
    """Area-weighted unit normals, (n, 3) float32, written into `normals`."""
    normals[:] = 0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for k in range(normals.shape[0]):
        length = np.sqrt(normals[k, 0] ** 2 + normals[k, 1] ** 2 + normals[k, 2] ** 2)
        if length > 0:
            normals[k] /= length


@_compiled
@no_type_check
def _sample(texture, u, v, wrap, out):
    """Bilinear texel of a (h, w, 3) uint8 picture at (u, v) in [0, 1], 0…255, into `out`."""
    height, width = texture.shape[0], texture.shape[1]
    x, y = u * width - 0.5, v * height - 0.5
    xf, yf = np.floor(x), np.floor(y)
    fx, fy = x - xf, y - yf
    x0, y0 = int(xf), int(yf)
    x1, y1 = x0 + 1, y0 + 1
    if wrap:
        x0, x1, y0, y1 = x0 % width, x1 % width, y0 % height, y1 % height
    else:
        x0, x1 = min(max(x0, 0), width - 1), min(max(x1, 0), width - 1)
        y0, y1 = min(max(y0, 0), height - 1), min(max(y1, 0), height - 1)
    for k in range(3):
        top = texture[y0, x0, k] * (1 - fx) + texture[y0, x1, k] * fx
        bottom = texture[y1, x0, k] * (1 - fx) + texture[y1, x1, k] * fx
        out[k] = top * (1 - fy) + bottom * fy


@_compiled
@no_type_check
def shade(
    ids, xy, nearness, vertices, normals, tints, shadow, triangles, uv, part,
    atlas, pages, materials, light, colours, eye, background, gamma, image,
):  # fmt: skip
    """Light the visible triangles and average the samples of each pixel into `image`.

    Args:
      ids: (s·h, s·w) int32 from `rasterise`.
      xy, nearness, vertices, normals: as projected, and in space (z towards the camera).
      tints: (n, 3) float32 factor of each vertex's own colour (occlusion, root-to-tip change).
      shadow: (s·h, s·w) float32 share of the key light that arrives.
      triangles, uv, part: (m, 3), (m, 3, 2), (m,) with the row of `materials`.
      atlas: (a, a, 3) uint8 skin atlas; pages: (parts, p, p, 3) uint8 other pictures, tiled.
      light: (3,) unit vector towards the key light.
      colours: (3, 3) linear colour of key, sky and ground light.
      eye: (3,) camera position.
      background: (h, w, 3) float32 linear.
      gamma: (k,) uint8 table from linear [0, WHITE] to the screen.
      image: (h, w, 3) uint8, overwritten.
    """
    height, width = image.shape[0], image.shape[1]
    samples = ids.shape[0] // height
    share = 1.0 / (samples * samples)
    top = gamma.shape[0] - 1
    texel = np.zeros(3, np.float64)
    pixel = np.zeros(3, np.float64)
    for i in range(height):
        for j in range(width):
            pixel[:] = 0
            for s in range(samples * samples):
                row, column = i * samples + s // samples, j * samples + s % samples
                t = ids[row, column]
                if t < 0:
                    for k in range(3):
                        pixel[k] += background[i, j, k]
                    continue
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wa, wb, wc = barycentric(column + 0.5, row + 0.5, xy, nearness, a, b, c)
                nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
                ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
                nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
                length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                ex = eye[0] - (wa * vertices[a, 0] + wb * vertices[b, 0] + wc * vertices[c, 0])
                ey = eye[1] - (wa * vertices[a, 1] + wb * vertices[b, 1] + wc * vertices[c, 1])
                ez = eye[2] - (wa * vertices[a, 2] + wb * vertices[b, 2] + wc * vertices[c, 2])
                far = np.sqrt(ex * ex + ey * ey + ez * ez)
                ex, ey, ez = ex / far, ey / far, ez / far
                material = materials[part[t]]
                if material[TWO_SIDED] > 0 and nx * ex + ny * ey + nz * ez < 0:
                    length = -length
                nx, ny, nz = nx / length, ny / length, nz / length
                u = wa * uv[t, 0, 0] + wb * uv[t, 1, 0] + wc * uv[t, 2, 0]
                v = wa * uv[t, 0, 1] + wb * uv[t, 1, 1] + wc * uv[t, 2, 1]
                if material[ATLAS] > 0:
                    _sample(atlas, u, v, False, texel)
                else:
                    _sample(pages[part[t]], u, v, True, texel)
                arriving = shadow[row, column]
                facing = nx * light[0] + ny * light[1] + nz * light[2]
                wrap = material[WRAP]
                lambert = max(0.0, (facing + wrap) / (1 + wrap)) * arriving
                hx, hy, hz = ex + light[0], ey + light[1], ez + light[2]
                half = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
                aligned = max(0.0, (nx * hx + ny * hy + nz * hz) / half)
                glint = material[SHINE] * aligned ** material[GLOSS] * arriving
                up = 0.5 + 0.5 * ny
                for k in range(3):
                    albedo = texel[k] / 255.0
                    albedo *= albedo
                    fill = colours[1, k] * up + colours[2, k] * (1 - up)
                    tint = wa * tints[a, k] + wb * tints[b, k] + wc * tints[c, k]
                    lit = albedo * (colours[0, k] * lambert + fill) + colours[0, k] * glint
                    pixel[k] += lit * tint
            for k in range(3):
                level = pixel[k] * share / WHITE
                image[i, j, k] = gamma[int(min(max(level, 0.0), 1.0) * top)]


@_compiled
@no_type_check
def shadows(ids, xy, nearness, vertices, triangles, light_xy, light_depth, bias, buffer, out):
    """Share of the key light at every visible sample, from the light's own depth picture.

    `light_xy` (n, 2) and `light_depth` (n,) are the vertices as the light sees them (larger: nearer
    to it), `buffer` (k, k) its depth picture; the texels around a point are compared and averaged.
    """
    height, width = ids.shape
    limit = buffer.shape[0] - 2
    for i in range(height):
        for j in range(width):
            out[i, j] = 1.0
            t = ids[i, j]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wa, wb, wc = barycentric(j + 0.5, i + 0.5, xy, nearness, a, b, c)
            x = wa * light_xy[a, 0] + wb * light_xy[b, 0] + wc * light_xy[c, 0] - 0.5
            y = wa * light_xy[a, 1] + wb * light_xy[b, 1] + wc * light_xy[c, 1] - 0.5
            z = wa * light_depth[a] + wb * light_depth[b] + wc * light_depth[c] + bias
            if x < 1 or y < 1 or x >= limit or y >= limit:
                continue
            x0, y0 = int(x), int(y)
            fx, fy = x - x0, y - y0
            lit = 0.0
            for dy in range(-1, 3):
                wy = (1 - fy) if dy == -1 else (fy if dy == 2 else 1.0)
                for dx in range(-1, 3):
                    wx = (1 - fx) if dx == -1 else (fx if dx == 2 else 1.0)
                    if buffer[y0 + dy, x0 + dx] <= z:
                        lit += wx * wy
            out[i, j] = _SHADE + (1 - _SHADE) * lit / 9.0


@_compiled
@no_type_check
def displace(rest, starts, index, offset, weights, parents, out):
    """`out` = rest + Σ_u weights[u]·unit u (sparse); vertices past the first len(out)−len(parents)
    rows are carried along by their parent (−1: stay)."""
    out[:] = rest
    own = rest.shape[0] - parents.shape[0]
    for u in range(weights.shape[0]):
        w = weights[u]
        if w != 0:
            for k in range(starts[u], starts[u + 1]):
                for d in range(3):
                    out[index[k], d] += w * offset[k, d]
    for k in range(parents.shape[0]):
        if parents[k] >= 0:
            for d in range(3):
                out[own + k, d] += out[parents[k], d] - rest[parents[k], d]


@_compiled
@no_type_check
def turn(vertices, pivot, axis, angle, share):
    """Turn each vertex about `pivot` by share·angle around the unit `axis`, in place."""
    if angle == 0:
        return
    for k in range(vertices.shape[0]):
        if share[k] <= 0:
            continue
        cosine, sine = np.cos(angle * share[k]), np.sin(angle * share[k])
        x, y, z = vertices[k, 0] - pivot[0], vertices[k, 1] - pivot[1], vertices[k, 2] - pivot[2]
        along = (axis[0] * x + axis[1] * y + axis[2] * z) * (1 - cosine)
        cx = axis[1] * z - axis[2] * y
        cy = axis[2] * x - axis[0] * z
        cz = axis[0] * y - axis[1] * x
        vertices[k, 0] = pivot[0] + x * cosine + cx * sine + axis[0] * along
        vertices[k, 1] = pivot[1] + y * cosine + cy * sine + axis[1] * along
        vertices[k, 2] = pivot[2] + z * cosine + cz * sine + axis[2] * along


@_compiled
@no_type_check
def open_sky(vertices, normals, triangles, rays, reach):
    """Cosine-weighted share (n,) of the `rays` above each vertex that go `reach` unhindered."""
    out = np.ones(vertices.shape[0], np.float32)
    for k in range(vertices.shape[0]):
        free, total = 0.0, 0.0
        for r in range(rays.shape[0]):
            dx, dy, dz = rays[r, 0], rays[r, 1], rays[r, 2]
            weight = dx * normals[k, 0] + dy * normals[k, 1] + dz * normals[k, 2]
            if weight <= 0.05:
                continue
            total += weight
            px = vertices[k, 0] + 0.01 * normals[k, 0]
            py = vertices[k, 1] + 0.01 * normals[k, 1]
            pz = vertices[k, 2] + 0.01 * normals[k, 2]
            if not _hit(px, py, pz, dx, dy, dz, vertices, triangles, reach):
                free += weight
        if total > 0:
            out[k] = free / total
    return out


@_compiled
@no_type_check
def _hit(px, py, pz, dx, dy, dz, vertices, triangles, reach):
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        hx, hy, hz = dy * vz - dz * vy, dz * vx - dx * vz, dx * vy - dy * vx
        det = ux * hx + uy * hy + uz * hz
        if abs(det) < 1e-12:
            continue
        sx, sy, sz = px - vertices[a, 0], py - vertices[a, 1], pz - vertices[a, 2]
        u = (sx * hx + sy * hy + sz * hz) / det
        if u < 0 or u > 1:
            continue
        qx, qy, qz = sy * uz - sz * uy, sz * ux - sx * uz, sx * uy - sy * ux
        v = (dx * qx + dy * qy + dz * qz) / det
        if v < 0 or u + v > 1:
            continue
        distance = (vx * qx + vy * qy + vz * qz) / det
        if 0.003 < distance < reach:
            return True
    return False
