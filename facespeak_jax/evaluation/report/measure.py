"""From what judges saw in the takes of a case to its figures: one number a column and clip.

A figure that two takes or a corpus cannot give is left out, never made up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from facespeak_jax.data.heads import visemes
from facespeak_jax.evaluation.judges import landmarks as face_points
from facespeak_jax.evaluation.metrics import (
    blinks,
    cepstra,
    lips,
    motion,
    pictures,
    pitch,
    similarity,
    sync,
    timing,
    words,
)
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems.rows import SEEDS
from facespeak_jax.evaluation.take import Take
from facespeak_jax.rates import FPS, SAMPLE_RATE

Seen = Mapping[str, np.ndarray]  # what judges observed in a take, by name
LOW_VOICE = 160.0  # hertz: the pitch that parts most men's voices from most women's
_CLOSED = 2  # percentile of the gap: some frames of each sentence have closed lips
_MOUTH_CORNERS = (61, 291)
_MOUTH_HALF = np.array([0.55, 0.42])  # of the eye distance, sideways and upwards


@dataclass
class People:
    """Everybody's voice and face, to compare with: embeddings by speaker and clip."""

    voices: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    faces: dict[str, np.ndarray] = field(default_factory=dict)
    pitches: dict[str, float] = field(default_factory=dict)

    def voice_references(self, case: Case) -> dict[str, np.ndarray]:
        """One embedding a person, this very clip left out."""
        kept = {
            speaker: [voice for name, voice in clips.items() if name != case.name]
            for speaker, clips in self.voices.items()
        }
        return {
            speaker: similarity.centre(np.stack(clips)) for speaker, clips in kept.items() if clips
        }

    @property
    def groups(self) -> dict[str, str]:
        """Low and high voices."""
        known = {name: hertz for name, hertz in self.pitches.items() if np.isfinite(hertz)}
        return {name: "low" if hertz < LOW_VOICE else "high" for name, hertz in known.items()}


@dataclass(frozen=True)
class Pair:
    """A take with what was seen in it, beside the truth of its case."""

    case: Case
    take: Take
    seen: Seen
    truth: Seen
    people: People
    aligned: bool
    itself: bool  # is this the ground truth's own row?


Figure = float | tuple[float, float]  # or what to sum above and below a line


def figures(pair: Pair, groups: frozenset[str]) -> dict[str, Figure]:
    """The figures of one take in the groups asked for, those without a value left out."""
    found: dict[str, Figure] = {}
    for group, measures in _MEASURES.items():
        if group in groups:
            for measure in measures:
                found |= measure(pair)
    return {
        name: value for name, value in found.items() if isinstance(value, tuple) or value == value
    }


def _transcript(pair: Pair) -> dict[str, Figure]:
    if "transcript" not in pair.seen:
        return {}
    heard = str(pair.seen["transcript"])
    word = words.word_errors(pair.take.text, heard)
    letter = words.character_errors(pair.take.text, heard)
    return {
        "wer": (float(word.edits), float(word.length)),
        "cer": (float(letter.edits), float(letter.length)),
    }


def _voice(pair: Pair) -> dict[str, Figure]:
    if "voice" not in pair.seen:
        return {}
    references = pair.people.voice_references(pair.case)
    found = similarity.against(
        pair.seen["voice"], pair.case.speaker, references, pair.people.groups
    )
    return {"c_sim": found.same, "c_sim_others": found.others, "c_sim_group": found.group}


def _quality(pair: Pair) -> dict[str, Figure]:
    return {"dnsmos": float(pair.seen["p808"])} if "p808" in pair.seen else {}


def _prosody(pair: Pair) -> dict[str, Figure]:
    if pair.itself or pair.take.text != pair.case.truth.text:
        return {}
    found: dict[str, Figure] = {}
    if "mel" in pair.seen and "mel" in pair.truth:
        found["mcd"] = cepstra.distortion(pair.seen["mel"], pair.truth["mel"])
        found["f0_rmse"] = pitch.error(
            pair.seen["melody"], pair.truth["melody"], _distances(pair.seen, pair.truth)
        )
    if pair.take.seconds and pair.take.phonemes == pair.case.truth.phonemes:
        found["duration_error"] = timing.duration_error(
            pair.take.durations, pair.case.truth.durations
        )
    return found


def _distances(seen: Seen, truth: Seen) -> Float[np.ndarray, "a b"]:
    one, other = cepstra.cepstrum(seen["mel"]), cepstra.cepstrum(truth["mel"])
    return np.linalg.norm(one[:, None, :] - other[None, :, :], axis=-1)


def _pace(pair: Pair) -> dict[str, Figure]:
    if not pair.take.seconds:
        return {}
    return {"rtf": pair.take.seconds * SAMPLE_RATE / len(pair.take.audio)}


def _identity(pair: Pair) -> dict[str, Figure]:
    portrait = pair.people.faces.get(pair.case.name)
    if "faces" not in pair.seen or portrait is None:
        return {}
    faces = pair.seen["faces"][1:] if pair.itself else pair.seen["faces"]
    others = [face for name, face in pair.people.faces.items() if name != pair.case.name]
    return {
        "id_sim": _mean(similarity.cosine(faces, portrait[None])),
        "id_others": _mean(
            np.array([_mean(similarity.cosine(faces, other[None])) for other in others])
        ),
    }


def _reconstruction(pair: Pair) -> dict[str, Figure]:
    truth = pair.case.truth.frames
    if not pair.aligned or pair.itself:
        return {}
    each = range(0, len(truth), FPS // 5)
    scores = [pictures.ssim(pair.take.frames[at], truth[at]) for at in each]
    return {"l1": pictures.l1(pair.take.frames, truth), "ssim": float(np.mean(scores))}


def _sharpness(pair: Pair) -> dict[str, Figure]:
    if "landmarks" not in pair.seen or "landmarks" not in pair.truth:
        return {}
    found = mouth_sharpness(pair.take.frames, pair.seen["landmarks"])
    real = mouth_sharpness(pair.case.truth.frames, pair.truth["landmarks"])
    return {"sharpness": found / real}


def mouth_sharpness(frames: np.ndarray, landmarks: Float[np.ndarray, "t 478 3"]) -> float:
    """Mean sharpness of the mouth's box, of the same size in all frames of a clip."""
    half = _MOUTH_HALF * np.nanmedian(face_points.eye_distance(landmarks))
    centres = landmarks[:, list(_MOUTH_CORNERS), :2].mean(axis=1)
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    known = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    return _mean(np.array([pictures.sharpness(frames[at], boxes[at]) for at in known]))


def _lips(pair: Pair) -> dict[str, Figure]:
    if "landmarks" not in pair.seen or not pair.take.phonemes:
        return {}
    gap = filled(face_points.lip_gap(pair.seen["landmarks"]))
    asked = visemes.lip_opening(pair.take.phonemes, pair.take.durations)
    found: dict[str, Figure] = {}
    if gap is not None:
        found["lip_correlation"] = lips.correlation(gap, asked.astype(np.float64))
        found |= _closure(pair, gap)
    return found


def _closure(pair: Pair, gap: Float[np.ndarray, " t"]) -> dict[str, Figure]:
    """The person's own mouth in the truth tells, for every row, what closed and usual are."""
    if "landmarks" not in pair.truth:
        return {}
    real = filled(face_points.lip_gap(pair.truth["landmarks"]))
    if real is None:
        return {}
    closed, usual = np.percentile(real, [_CLOSED, 50]).tolist()
    met = lips.closures(gap, pair.take.phonemes, pair.take.durations, closed, usual)
    return {"closure": (float(met.sum()), float(len(met)))}


def _sync(pair: Pair) -> dict[str, Figure]:
    if "sync_video" not in pair.seen:
        return {}
    video, sound = pair.seen["sync_video"], pair.seen["sync_sound"]
    found = sync.judge(video, sound)
    figures: dict[str, Figure] = {
        "lse_c": found.confidence,
        "lse_d": found.distance,
        "av_offset": float(found.offset),
        "in_sync": float(found.in_sync),
    }
    if pair.itself and len(video) > 2 * sync.SHIFT:
        figures["shift_rejected"] = (float(sync.rejections(video, sound)), 2.0)
    return figures


def _points(pair: Pair) -> dict[str, Figure]:
    if "landmarks" not in pair.seen:
        return {}
    points = pair.seen["landmarks"]
    eyes = filled(face_points.eye_opening(points))
    if eyes is None:
        return {}
    whole = points[np.isfinite(points).all(axis=(1, 2))]
    scale = float(np.median(face_points.eye_distance(whole)))
    pitch = face_points.pitch_above_mouth(points)
    return {
        "nod": _mean(motion.nods(pitch, pair.take.phonemes, pair.take.durations)),
        "yaw_deviation": float(motion.deviation(face_points.head_pose(whole))[0]),
        "jitter": motion.jitter(whole[:, :, :2], scale),
        "blink_rate": blinks.rate(eyes),
    }


def seed_diversity(seen: Seen) -> dict[str, Figure]:
    """Of what is seen in a take of `systems.rows.Seeds`."""
    if "landmarks" not in seen:
        return {}
    poses = face_points.head_pose(seen["landmarks"]).reshape(SEEDS, -1, 3)
    known = np.isfinite(poses).all(axis=(0, 2))
    return {"seed_diversity": motion.seed_diversity(poses[:, known])} if known.any() else {}


def filled(values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"] | None:
    """Gaps bridged by straight lines; None where less than half is known."""
    known = np.isfinite(values)
    if known.mean() < 0.5:
        return None
    at = np.arange(len(values))
    return np.interp(at, at[known], values[known])


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


_MEASURES: dict[str, tuple[Callable[[Pair], dict[str, Figure]], ...]] = {
    "speech": (_transcript, _voice, _quality, _prosody, _pace),
    "face": (_identity, _reconstruction, _sharpness),
    "sync": (_lips, _sync),
    "motion": (_points, _pace),
}
