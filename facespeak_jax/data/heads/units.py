"""The 52 face units of ARKit, in the one order every record and every viseme table uses."""

_SIDES = ("Left", "Right")


def _both(*stems: str) -> tuple[str, ...]:
    return tuple(stem + side for stem in stems for side in _SIDES)


_EYE = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")

ARKIT: tuple[str, ...] = (
    *(stem + side for side in _SIDES for stem in _EYE),
    *("jawForward", "jawLeft", "jawRight", "jawOpen"),
    *("mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight"),
    *_both("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *_both("mouthPress", "mouthLowerDown", "mouthUpperUp", "browDown"),
    "browInnerUp",
    *_both("browOuterUp"),
    "cheekPuff",
    *_both("cheekSquint", "noseSneer"),
    "tongueOut",
)

UNIT: dict[str, int] = {name: index for index, name in enumerate(ARKIT)}
"""Column of each unit."""
