"""Root mean square of every channel of a batch of spectrograms, over frequency and time."""

import torch
import torch.nn as nn

SCALE = 1
CLIPS = 9 * SCALE
CHANNELS = 12
BANDS = 96
FRAMES = 180


class Model(nn.Module):
    """(clips, channels, bands, frames) -> (clips, channels)."""

    def __init__(self):
        super().__init__()

    def forward(self, spectrogram):
        power = torch.mean(spectrogram**2, dim=(2, 3))
        return torch.sqrt(power)


def get_inputs():
    return [torch.randn(CLIPS, CHANNELS, BANDS, FRAMES)]


def get_init_inputs():
    return []
