"""Average of the embedding vectors of the tokens of each document."""

import torch
import torch.nn as nn

SCALE = 1
DOCUMENTS = 1024 * SCALE
TOKENS = 32
VOCABULARY = 4000
WIDTH = 64


class Model(nn.Module):
    """Bag of words: looks up every token and averages over the document."""

    def __init__(self, vocabulary, width):
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocabulary, width))

    def forward(self, tokens):
        vectors = self.table[tokens]
        return vectors.mean(dim=1)


def get_inputs():
    return [torch.randint(0, VOCABULARY, (DOCUMENTS, TOKENS))]


def get_init_inputs():
    return [VOCABULARY, WIDTH]
