# attack: R3 inherits from the reference
# task: softmax
# expect: runtime_error compile_error
import torch


class ModelNew(Model):
    pass
