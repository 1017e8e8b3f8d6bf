"""The headers that extensions are compiled with first: small, and of use to whoever includes PyTorch's own as well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig

import pytest
from torch.utils import cpp_extension

from longodds.evaluator.compilers import HEADERS

SOURCE = """
#include <torch/extension.h>
MORE

torch::Tensor run(torch::Tensor x) {
    c10::OptionalDeviceGuard guard(device_of(x));
    TORCH_CHECK(x.is_contiguous() && x.scalar_type() == torch::kFloat32, "a float tensor");
    auto y = torch::zeros({x.size(0), x.size(1)}, torch::TensorOptions().dtype(x.dtype()).device(x.device()));
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "run", [&] { y.data_ptr<scalar_t>()[0] = x.data_ptr<scalar_t>()[0]; });
    return DONE;
}

PYBIND11_MODULE(small, m) { m.def("run", torch::wrap_pybind_function(run), "run"); }
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize(
    ("more", "done"),
    [
        ("#include <c10/core/DeviceGuard.h>", "y"),
        ("#include <ATen/DeviceGuard.h>\n#include <ATen/Context.h>", "at::globalContext().hasCUDA() ? x : y"),
        ("#include <ATen/ATen.h>", "at::cat({x, y})"),
    ],
    ids=["alone", "guard", "all"],
)
def test_an_extension_compiles_with_them(more: str, done: str) -> None:
    folders = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    command = ["g++", "-std=c++20", "-fsyntax-only", "-H", "-x", "c++", "-"]
    command += [part for folder in folders for part in ("-isystem", folder)]
    text = SOURCE.replace("MORE", more).replace("DONE", done)
    result = subprocess.run(
        command, input=text, env=os.environ | {"CPATH": str(HEADERS)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, [line for line in result.stderr.splitlines() if "error" in line]
    included = {line.lstrip(". ") for line in result.stderr.splitlines() if line.startswith(".")}
    assert str(HEADERS / "torch" / "extension.h") in included
    assert any(name.endswith("/ATen/core/IListRef.h") for name in included) == ("<ATen/" in more)  # half of the time
