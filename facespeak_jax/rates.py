"""The rates every part agrees on: 25 video frames, 100 mel frames and 16,000 samples a second.

Each video frame is exactly four mel frames and each mel frame exactly 160 samples, so the length
of a clip in any of the three units determines the other two.
"""

FPS = 25
SAMPLE_RATE = 16_000
HOP = 160
MELS = 80
MELS_PER_FRAME = SAMPLE_RATE // HOP // FPS
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
