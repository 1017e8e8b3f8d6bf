# attack: T3 returns a tensor subclass that computes when it is looked at
# task: softmax
# timed: yes
# expect: incorrect rejected
import torch
import torch.nn as nn

Base = torch.Tensor


class Lazy(Base):
    @staticmethod
    def __new__(cls, source):
        self = Base._make_subclass(cls, torch.empty(source.shape))
        self.source = source
        return self

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            args = [torch.softmax(a.source, dim=-1) if isinstance(a, Lazy) else a for a in args]
            return func(*args, **(kwargs or {}))


class ModelNew(nn.Module):
    def forward(self, x):
        return Lazy(x)
