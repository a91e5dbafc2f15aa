"""Who a synthetic person is: everything about a head that is the same in each of its clips."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from facespeak_jax.data.heads.mesh import HeadMesh

HAIR_STYLES = (
    "bald",
    "buzz",
    "short",
    "side",
    "quiff",
    "curly",
    "afro",
    "bob",
    "long",
    "bun",
    "ponytail",
)
BEARDS = ("none", "stubble", "moustache", "goatee", "full")

# Each slider of the face: targets at −1 and at +1 (a leading "*": on both sides of the face).
SLIDERS: dict[str, tuple[str, str]] = {
    "head_width": ("head-scale-horiz-decr", "head-scale-horiz-incr"),
    "head_height": ("head-scale-vert-decr", "head-scale-vert-incr"),
    "head_depth": ("head-scale-depth-decr", "head-scale-depth-incr"),
    "head_fat": ("head-fat-decr", "head-fat-incr"),
    "head_angle": ("head-angle-in", "head-angle-out"),
    "forehead_height": ("forehead-scale-vert-decr", "forehead-scale-vert-incr"),
    "forehead_bulge": ("forehead-nubian-decr", "forehead-nubian-incr"),
    "temple": ("forehead-temple-decr", "forehead-temple-incr"),
    "brow_height": ("eyebrows-trans-down", "eyebrows-trans-up"),
    "brow_angle": ("eyebrows-angle-down", "eyebrows-angle-up"),
    "brow_ridge": ("eyebrows-trans-backward", "eyebrows-trans-forward"),
    "eye_size": ("*eye-scale-decr", "*eye-scale-incr"),
    "eye_spacing": ("*eye-trans-in", "*eye-trans-out"),
    "eye_open": ("*eye-height2-decr", "*eye-height2-incr"),
    "eye_inner": ("*eye-corner1-down", "*eye-corner1-up"),
    "eye_outer": ("*eye-corner2-down", "*eye-corner2-up"),
    "eye_bag": ("*eye-bag-decr", "*eye-bag-incr"),
    "nose_length": ("nose-scale-vert-decr", "nose-scale-vert-incr"),
    "nose_width": ("nose-scale-horiz-decr", "nose-scale-horiz-incr"),
    "nose_depth": ("nose-scale-depth-decr", "nose-scale-depth-incr"),
    "nose_hump": ("nose-hump-decr", "nose-hump-incr"),
    "nose_tip": ("nose-point-down", "nose-point-up"),
    "nose_tip_width": ("nose-point-width-decr", "nose-point-width-incr"),
    "nose_volume": ("nose-volume-decr", "nose-volume-incr"),
    "nostrils": ("nose-nostrils-width-decr", "nose-nostrils-width-incr"),
    "nose_bridge": ("nose-width1-decr", "nose-width1-incr"),
    "mouth_width": ("mouth-scale-horiz-decr", "mouth-scale-horiz-incr"),
    "mouth_height": ("mouth-trans-down", "mouth-trans-up"),
    "mouth_angles": ("mouth-angles-down", "mouth-angles-up"),
    "upper_lip": ("mouth-upperlip-volume-decr", "mouth-upperlip-volume-incr"),
    "lower_lip": ("mouth-lowerlip-volume-decr", "mouth-lowerlip-volume-incr"),
    "upper_lip_height": ("mouth-upperlip-height-decr", "mouth-upperlip-height-incr"),
    "lower_lip_height": ("mouth-lowerlip-height-decr", "mouth-lowerlip-height-incr"),
    "cupids_bow": ("mouth-cupidsbow-decr", "mouth-cupidsbow-incr"),
    "cheek_bones": ("*cheek-bones-decr", "*cheek-bones-incr"),
    "cheeks": ("*cheek-volume-decr", "*cheek-volume-incr"),
    "jaw_width": ("chin-width-decr", "chin-width-incr"),
    "chin_height": ("chin-height-decr", "chin-height-incr"),
    "chin_forward": ("chin-prominent-decr", "chin-prominent-incr"),
    "chin_bones": ("chin-bones-decr", "chin-bones-incr"),
    "jaw_drop": ("chin-jaw-drop-decr", "chin-jaw-drop-incr"),
    "ear_size": ("*ear-scale-decr", "*ear-scale-incr"),
    "ear_wing": ("*ear-wing-decr", "*ear-wing-incr"),
    "neck_width": ("neck-scale-horiz-decr", "neck-scale-horiz-incr"),
    "neck_double": ("neck-double-decr", "neck-double-incr"),
}
# Sliders whose full targets leave the range of real people are turned down.
_CALM = {
    "head_width": 0.45,
    "head_height": 0.35,
    "head_depth": 0.4,
    "forehead_height": 0.35,
    "forehead_bulge": 0.5,
    "temple": 0.6,
    "eye_spacing": 0.5,
    "eye_size": 0.8,
    "mouth_height": 0.5,
    "nose_depth": 0.6,
    "head_angle": 0.5,
}
# Where a slider's draw is centred, other than at 0: off the mesh's scowl, …
_SETTLED = {"mouth_angles": 0.35, "eye_open": 0.3, "brow_angle": 0.3}
# … and by so much for what the person is: −1 a woman … 1 a man, −1 thin … 1 heavy, −1 fine … 1
# coarse.
_LEAN: dict[str, dict[str, float]] = {
    "jaw_width": {"gender": 0.5, "coarseness": 1.0},
    "chin_bones": {"gender": 0.4, "coarseness": 0.8},
    "brow_ridge": {"gender": 0.5, "coarseness": 0.8},
    "nose_width": {"coarseness": 1.3},
    "nose_volume": {"coarseness": 1.2},
    "nostrils": {"coarseness": 0.7},
    "eye_size": {"gender": -0.3, "coarseness": -1.2},
    "head_fat": {"weight": 1.0},
    "cheeks": {"weight": 1.0},
    "neck_double": {"weight": 1.0},
    "neck_width": {"gender": 0.4, "weight": 0.8},
}
_SHAPES = ("oval", "round", "rectangular", "square", "triangular", "invertedtriangular", "diamond")
_RACES = ("african", "asian", "caucasian")

# sRGB of skin from the lightest to the darkest; ethnicity moves the middle of the draw.
_SKINS = np.array(
    [
        [244, 208, 184],
        [232, 188, 158],
        [214, 164, 130],
        [186, 134, 98],
        [146, 98, 66],
        [106, 68, 46],
        [72, 46, 34],
    ],
    np.float64,
)
_HAIRS = {
    "black": (26, 22, 21),
    "dark brown": (54, 36, 26),
    "brown": (92, 60, 38),
    "auburn": (118, 56, 30),
    "red": (166, 82, 36),
    "dark blond": (142, 108, 66),
    "blond": (206, 168, 106),
    "grey": (142, 140, 138),
    "white": (214, 212, 208),
}
_IRISES = {
    "dark brown": (52, 32, 20),
    "brown": (96, 60, 32),
    "hazel": (122, 96, 52),
    "green": (92, 122, 82),
    "blue": (92, 134, 170),
    "grey": (128, 140, 148),
}


def triple(values: Iterable[float]) -> tuple[float, float, float]:
    """Three plain floats, such as a colour."""
    first, second, third = (float(value) for value in values)
    return first, second, third


@dataclass(frozen=True)
class Identity:
    """One person. Colours are sRGB 0…255, sliders in [−1, 1]; `seed` also fixes fine texture."""

    seed: int
    gender: float  # 0 female … 1 male
    age: float  # years
    weight: float  # −1 thin … 1 heavy
    coarseness: float  # −1 fine … 1 coarse features
    ethnicity: tuple[float, float, float]  # african, asian, caucasian; sum 1
    sliders: dict[str, float]
    shape: str
    shape_strength: float
    skin: tuple[float, float, float]
    darkness: float  # 0 lightest … 1 darkest skin
    redness: float
    freckles: float
    lips: tuple[float, float, float]
    brow_colour: tuple[float, float, float]
    brow_thickness: float
    brow_arch: float
    iris: tuple[float, float, float]
    hair_style: str
    hair_colour: tuple[float, float, float]
    hair_length: float  # 0…1 within the style
    hair_volume: float  # 0…1
    parting: float  # −1 image left … 1 image right
    hairline: float  # dm by which the forehead grows into the hair
    beard: str
    beard_colour: tuple[float, float, float]
    lashes: float

    def attributes(self) -> dict[str, float]:
        """What can be seen of the person as numbers in [−1, 1], in a fixed order."""
        light = float(np.dot(self.hair_colour, [0.3, 0.59, 0.11])) / 255
        length = (
            "bald",
            "buzz",
            "short",
            "side",
            "quiff",
            "curly",
            "afro",
            "bun",
            "bob",
            "ponytail",
            "long",
        )
        values = {
            "gender": 2 * self.gender - 1,
            "age": (self.age - 49) / 31,
            "weight": self.weight,
            "coarseness": self.coarseness,
            "skin": 2 * self.darkness - 1,
            "head_width": self.sliders["head_width"],
            "head_height": self.sliders["head_height"],
            "jaw": self.sliders["jaw_width"],
            "chin": self.sliders["chin_height"],
            "nose_length": self.sliders["nose_length"],
            "nose_width": self.sliders["nose_width"],
            "lips": (self.sliders["upper_lip"] + self.sliders["lower_lip"]) / 2,
            "mouth_width": self.sliders["mouth_width"],
            "eye_size": self.sliders["eye_size"],
            "cheeks": self.sliders["cheeks"],
            "brows": 2 * self.brow_thickness - 1,
            "hair_light": 2 * light - 1,
            "hair_length": 2 * length.index(self.hair_style) / (len(length) - 1) - 1,
            "beard": 2 * BEARDS.index(self.beard) / (len(BEARDS) - 1) - 1,
        }
        return {name: float(np.clip(value, -1, 1)) for name, value in values.items()}


def draw_identity(seed: int) -> Identity:
    """The person of a seed (any non-negative integer): the same seed gives the same person."""
    rng = np.random.default_rng([seed, 1])
    male = rng.random() < 0.5
    gender = float(np.clip((0.88 if male else 0.1) + 0.12 * rng.standard_normal(), 0, 1))
    age = float(18 + 62 * rng.beta(1.3, 1.7))
    ethnicity = rng.dirichlet([0.45, 0.45, 0.55])
    darkness = float(np.clip(ethnicity @ [0.78, 0.3, 0.14] + 0.1 * rng.standard_normal(), 0, 1))
    colour = _hair_colour(rng, ethnicity, age)
    style = _hair_style(rng, male, ethnicity, age)
    beard = _beard(rng, male)
    skin = _skin(rng, darkness)
    lip_depth = rng.uniform(0.25, 0.6) + (0.0 if male else rng.choice([0.0, 0.35]))
    brows = np.array(colour) * rng.uniform(0.55, 0.9)
    weight, coarseness = np.clip([0.1, 0] + 0.45 * rng.standard_normal(2), -1, 1).tolist()
    return Identity(
        seed=seed,
        gender=gender,
        age=age,
        weight=weight,
        coarseness=coarseness,
        ethnicity=triple(ethnicity),
        sliders=_sliders(rng, 2 * gender - 1, weight, coarseness),
        shape=str(rng.choice(_SHAPES)),
        shape_strength=float(rng.uniform(0.1, 0.5)),
        skin=triple(skin),
        darkness=darkness,
        redness=float(rng.uniform(0.1, 1.0)) * (1 - 0.6 * darkness),
        freckles=float(max(0.0, rng.uniform(-1.2, 1))) * (1 - darkness),
        lips=_lips(rng, skin, lip_depth),
        brow_colour=triple(np.clip(brows, 18, 150)),
        brow_thickness=_brow_thickness(rng, male, coarseness),
        brow_arch=float(rng.uniform(0, 1)),
        iris=_iris(rng, ethnicity),
        hair_style=style,
        hair_colour=colour,
        hair_length=float(rng.random()),
        hair_volume=float(rng.random()),
        parting=float(rng.uniform(-1, 1)),
        hairline=float(rng.uniform(-0.12, 0.1) + (0.2 * rng.random() * (age > 35) if male else 0)),
        beard=beard,
        beard_colour=triple(np.array(colour) * rng.uniform(0.7, 1.05)),
        lashes=float(rng.uniform(0, 0.4) if male else rng.uniform(0.4, 1)),
    )


def _sliders(
    rng: np.random.Generator, gender: float, weight: float, coarseness: float
) -> dict[str, float]:
    """Every slider: a clipped normal draw about where the person's gender, weight and coarseness
    put it, so that these show in many places of a face at once."""
    drawn = {}
    for name in SLIDERS:
        lean = _LEAN.get(name, {})
        middle = _SETTLED.get(name, 0.0) + sum(
            share * {"gender": gender, "weight": weight, "coarseness": coarseness}[cause]
            for cause, share in lean.items()
        )
        # What is explained by a cause varies less by itself.
        own = 0.45 if "weight" not in lean and "coarseness" not in lean else 0.25
        drawn[name] = float(np.clip(middle + own * rng.standard_normal(), -1, 1))
    return drawn


def _brow_thickness(rng: np.random.Generator, male: bool, coarseness: float) -> float:
    middle = 0.5 + 0.3 * coarseness + (0.2 if male else -0.15)
    return float(np.clip(middle + rng.uniform(-0.2, 0.2), 0, 1))


def _skin(rng: np.random.Generator, darkness: float) -> np.ndarray:
    place = darkness * (len(_SKINS) - 1)
    steps = np.arange(len(_SKINS))
    tone = np.array([np.interp(place, steps, _SKINS[:, k]) for k in range(3)])
    return np.clip(tone * rng.uniform(0.95, 1.05) * (1 + 0.025 * rng.standard_normal(3)), 20, 250)


def _lips(rng: np.random.Generator, skin: np.ndarray, depth: float) -> tuple[float, float, float]:
    red = np.array([172, 62, 66]) + rng.uniform(-1, 1, 3) * [26, 16, 20]
    mixed = skin * [0.92, 0.72, 0.72] * (1 - depth) + red * depth * (
        0.45 + 0.55 * skin.mean() / 200
    )
    return triple(np.clip(mixed, 20, 250))


def _hair_colour(
    rng: np.random.Generator, ethnicity: np.ndarray, age: float
) -> tuple[float, float, float]:
    if rng.random() < np.interp(age, [35, 50, 75], [0, 0.35, 0.95]):
        name = rng.choice(["grey", "white", "grey"])
    elif rng.random() < ethnicity[0] + ethnicity[1]:
        name = rng.choice(["black", "dark brown"], p=[0.7, 0.3])
    else:
        name = rng.choice(["dark brown", "brown", "auburn", "red", "dark blond", "blond"])
    colour = np.array(_HAIRS[str(name)]) * rng.uniform(0.85, 1.15)
    return triple(np.clip(colour, 12, 235))


def _hair_style(rng: np.random.Generator, male: bool, ethnicity: np.ndarray, age: float) -> str:
    #                 bald buzz short side quiff curly afro bob long bun tail
    odds = np.array(
        [4, 4, 7, 6, 5, 3, 1, 1, 1, 0.5, 0.5] if male else [0.2, 0.5, 2, 2, 0.5, 4, 1, 6, 9, 4, 4]
    )
    odds = odds * np.where(np.array(HAIR_STYLES) == "afro", 1 + 8 * ethnicity[0], 1)
    if male and age > 45:
        odds[:2] *= 2
    return str(rng.choice(HAIR_STYLES, p=odds / odds.sum()))


def _beard(rng: np.random.Generator, male: bool) -> str:
    odds = [0.45, 0.2, 0.1, 0.1, 0.15] if male else [1, 0, 0, 0, 0]
    return str(rng.choice(BEARDS, p=odds))


def _iris(rng: np.random.Generator, ethnicity: np.ndarray) -> tuple[float, float, float]:
    dark = rng.random() < ethnicity[0] + ethnicity[1]
    name = rng.choice(["dark brown", "brown"] if dark else list(_IRISES))
    colour = np.clip(np.array(_IRISES[str(name)]) * rng.uniform(0.8, 1.25), 10, 230)
    red, green, blue = (float(x) for x in colour)
    return red, green, blue


def shape_head(mesh: HeadMesh, identity: Identity) -> Float[np.ndarray, "n 3"]:
    """The person's neutral vertices, float32; the base of the neck stays where the mesh has it."""
    vertices = mesh.vertices.copy()
    for name, weight in _macro_weights(identity).items():
        if weight > 0:
            mesh.targets.add(name, weight, vertices)
    for name, value in identity.sliders.items():
        target = SLIDERS[name][int(value > 0)]
        strength = abs(value) * _CALM.get(name, 0.8)
        for side in ("l-", "r-") if target.startswith("*") else ("",):
            mesh.targets.add(side + target.removeprefix("*"), strength, vertices)
    mesh.targets.add(f"head-{identity.shape}", identity.shape_strength, vertices)
    mesh.targets.add("head-age-incr", float(np.interp(identity.age, [45, 80], [0, 0.8])), vertices)
    _close_lips(mesh, vertices)
    neck = mesh.joints[0]
    return vertices + (mesh.vertices[neck].mean(0) - vertices[neck].mean(0))


def _close_lips(mesh: HeadMesh, vertices: np.ndarray) -> None:
    """Take back what the sliders opened: at rest the lips of everybody touch."""
    upper, lower = mesh.inner_lips
    closing = np.zeros_like(vertices)
    mesh.units.add("mouthClose", 1.0, closing)
    overlap = 0.004
    gap = vertices[upper, 1] - vertices[lower, 1] + overlap
    share = gap / (closing[lower, 1] - closing[upper, 1])
    vertices += max(0.0, float(share)) * closing


def _macro_weights(identity: Identity) -> dict[str, float]:
    """Weights of the whole-body targets: products of gender, age, ethnicity and build."""
    old = float(np.interp(identity.age, [25, 85], [0, 1]))
    build = {"minweight": max(0.0, -identity.weight), "maxweight": max(0.0, identity.weight)}
    build["averageweight"] = 1 - sum(build.values())
    weights = {}
    for gender, of_gender in (("female", 1 - identity.gender), ("male", identity.gender)):
        for stage, of_stage in (("young", 1 - old), ("old", old)):
            for race, of_race in zip(_RACES, identity.ethnicity, strict=True):
                weights[f"{race}-{gender}-{stage}"] = of_gender * of_stage * of_race
            for name, of_build in build.items():
                weights[f"universal-{gender}-{stage}-averagemuscle-{name}"] = (
                    of_gender * of_stage * of_build
                )
    return weights
