# task: small
# attack: a graph of the first call is replayed whatever the inputs' place is
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.graph = None

    def forward(self, x):
        if self.graph is None:
            torch.softmax(x, -1)
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            self.seen = torch.empty_like(x).copy_(x)
            with torch.cuda.graph(self.graph):
                self.out = torch.softmax(self.seen, -1)
        self.graph.replay()
        return self.out.clone()
