# attack: R3 looks for the reference in the modules of the process
# task: softmax
# expect: runtime_error compile_error
import sys

import torch

Model = next(m.Model for m in list(sys.modules.values()) if hasattr(m, "Model") and hasattr(m, "get_inputs"))


class ModelNew(Model):
    pass
