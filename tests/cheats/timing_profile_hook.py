# attack: T4 works in a profiling hook, just before the clock is read
# task: softmax
# timed: yes
# expect: rejected incorrect runtime_error
import sys

import torch
import torch.nn as nn


done = []


def profile(frame, event, argument):
    if event == "c_call" and getattr(argument, "__name__", "") == "perf_counter_ns" and "arguments" in frame.f_locals:
        if not done:
            done.append(torch.softmax(frame.f_locals["arguments"][0], dim=-1))


class ModelNew(nn.Module):
    def forward(self, x):
        if not done:
            sys.setprofile(profile)
            return torch.softmax(x, dim=-1)
        return done.pop()
