import numpy as np

from facespeak_jax.evaluation.report import drawings


def test_contact_sheets_show_each_row_from_first_to_last_frame():
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    sheet = drawings.contact_sheet({"truth": frames, "ours": frames[::-1]})
    height = drawings._LABEL + 4
    assert sheet.shape[0] == 2 * height
    first, second = sheet[drawings._LABEL], sheet[height + drawings._LABEL]
    assert (first[0, 0], first[4 * drawings.COLUMNS - 1, 0]) == (0, 19)
    assert (second[0, 0], second[4 * drawings.COLUMNS - 1, 0]) == (19, 0)


def test_rows_of_different_lengths_are_filled_with_white():
    rng = np.random.default_rng(0)
    picture = drawings.mel_pair(
        {"truth": rng.normal(size=(90, 80)), "ours": rng.normal(size=(60, 80))}
    )
    assert picture.shape == (2 * (drawings._LABEL + 160), 90, 3)
    assert (picture[-1, 60:] == 255).all()


def test_traces_leave_out_frames_without_a_face():
    pose = np.zeros((30, 3))
    pose[:, 0] = 10.0
    pose[5] = np.nan
    picture = drawings.traces({"ours": pose})
    red = (picture == drawings._COLOURS[0]).all(axis=-1)
    assert set(np.flatnonzero(red.any(axis=1)) - drawings._LABEL) == {30}  # 45 − 45·10/30
