"""The columns of the table: what each is called, who judges it, and which way is better."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """`better` is up, down, near (the ground truth's value is best) or empty (shown beside)."""

    label: str
    group: str
    judge: str
    better: str
    percent: bool = False


COLUMNS: dict[str, Column] = {
    "wer": Column("WER %", "speech", "whisper", "down", percent=True),
    "cer": Column("CER %", "speech", "whisper", "down", percent=True),
    "c_sim": Column("C-SIM", "speech", "resemblyzer", "up"),
    "c_sim_others": Column("C-SIM to others", "speech", "resemblyzer", ""),
    "c_sim_group": Column("C-SIM to others of like pitch", "speech", "resemblyzer", ""),
    "dnsmos": Column("DNSMOS P.808", "speech", "dnsmos", "up"),
    "f0_rmse": Column("F0-RMSE Hz", "speech", "signals", "down"),
    "mcd": Column("MCD dB", "speech", "signals", "down"),
    "duration_error": Column("duration error ms", "speech", "", "down"),
    "rtf": Column("RTF", "speech", "", "down"),
    "id_sim": Column("ID-SIM", "face", "arcface", "up"),
    "id_others": Column("ID-SIM to others", "face", "arcface", ""),
    "l1": Column("L1", "face", "", "down"),
    "ssim": Column("SSIM", "face", "", "up"),
    "sharpness": Column("mouth sharpness", "face", "mediapipe", "near"),
    "fid": Column("FID", "pictures", "inception", "down"),
    "kid": Column("KID", "pictures", "inception", "down"),
    "lse_c": Column("LSE-C", "sync", "sync", "up"),
    "lse_d": Column("LSE-D", "sync", "sync", "down"),
    "av_offset": Column("AV offset frames", "sync", "sync", ""),
    "in_sync": Column("offset ≤ 1 frame %", "sync", "sync", "up", percent=True),
    "shift_rejected": Column("±5 frames rejected %", "sync", "sync", "", percent=True),
    "lip_correlation": Column("lip correlation", "sync", "mediapipe", "up"),
    "closure": Column("p b m closed %", "sync", "mediapipe", "up", percent=True),
    "div": Column("DIV °", "motion", "mediapipe", "near"),
    "yaw_deviation": Column("yaw deviation °", "motion", "mediapipe", "near"),
    "nod": Column("nod on stress °", "motion", "mediapipe", "near"),
    "seed_diversity": Column("diversity over seeds °", "motion", "mediapipe", ""),
    "jitter": Column("jitter", "motion", "mediapipe", "down"),
    "blink_rate": Column("blinks / min", "motion", "mediapipe", "near"),
    "voice_consistency": Column("C-SIM over frames", "probes", "resemblyzer", "up"),
    "voice_others": Column("C-SIM to others", "probes", "resemblyzer", ""),
    "person_found": Column("nearest is the same person %", "probes", "", "", percent=True),
    "yaw_known": Column("R² of yaw", "probes", "", ""),
    "pitch_known": Column("R² of pitch", "probes", "", ""),
    "code_step": Column("step / deviation of α_head", "probes", "", "near"),
    "code_range": Column("range of α_head / ground truth's", "probes", "", "near"),
    "code_diversity": Column("deviation over seeds / ground truth's", "probes", "", ""),
}
GROUPS = ("speech", "face", "pictures", "sync", "motion")
PROBES = "probes"  # of experiments alone


def judges_of(groups: Collection[str]) -> set[str]:
    """Who judges the columns of these groups."""
    return {column.judge for column in COLUMNS.values() if column.group in groups and column.judge}
