"""A user's own file as a task: which class, under what name, with what inputs; every mistake in one line."""

from __future__ import annotations

import math
import types

import pytest
import torch

from longodds.errors import UserError
from longodds.tasks import read_module

LAYERS = '''"""Layers, one called Möbius."""
from __future__ import annotations

import torch
from torch import nn


class Base(nn.Module):
    pass


class Head(Base):
    """A Head; `Head` in text stays."""

    def __init__(self, size, bias=0.0):
        super(Head, self).__init__()
        self.size, self.bias, self.mark = size, bias, "ä"; self.kind = Head

    def forward(self, x, y):
        return x[..., : self.size] + y.sum() + self.bias
'''


def run(source: str):
    space = types.ModuleType("space")
    exec(source, space.__dict__)
    model = space.Model(*space.get_init_inputs())
    inputs = space.get_inputs()
    return space, model, inputs, model(*inputs)


@pytest.fixture
def layers(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text(LAYERS, encoding="utf-8")
    return path


def test_a_named_class_with_expressions(layers):
    task = read_module(layers, class_name="Head", inputs="(torch.ones(2, 8), torch.ones(3))", init_inputs="4")
    space, model, inputs, out = run(task.reference)
    assert type(model).__name__ == "Model"
    assert model.kind is space.Model
    assert [tuple(x.shape) for x in inputs] == [(2, 8), (3,)]
    assert torch.equal(out, torch.full((2, 4), 4.0))
    assert task.id == f"file:{layers}:Head"
    assert task.metadata["name"] == "layers:Head"
    assert "`Head` in text stays" in task.reference


def test_a_single_value_and_a_list(tmp_path):
    path = tmp_path / "one.py"
    path.write_text("import torch\nclass Only(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n")
    for given in ("torch.zeros(3)", "[torch.zeros(3)]", "(torch.zeros(3),)", "[torch.zeros(n) for n in (3,)]"):
        assert torch.equal(run(read_module(path, inputs=given).reference)[3], torch.ones(3))


def test_inputs_from_a_python_file(layers, tmp_path):
    other = tmp_path / "inputs.py"
    other.write_text(
        "from __future__ import annotations\nimport torch\nfrom layers import Head\nSIZE = 6\n\n\n"
        "def get_inputs():\n    return [torch.ones(2, SIZE), torch.zeros(1)]\n\n\n"
        "def get_init_inputs():\n    return [SIZE // 2]\n"
    )
    out = run(read_module(layers, class_name="Head", inputs=str(other)).reference)[3]
    assert torch.equal(out, torch.ones(2, 3))
    other.write_text("class Base:\n    pass\n\n\ndef get_inputs():\n    return []\n")
    with pytest.raises(UserError, match="defines 'Base', and so does"):
        read_module(layers, class_name="Head", inputs=str(other))


def test_a_class_of_the_same_name_makes_room(tmp_path):
    path = tmp_path / "two.py"
    path.write_text(
        "import torch\nfrom torch.nn import Module as Model\n\n\nclass Twice(Model):\n"
        "    def forward(self, x):\n        assert isinstance(self, Model)\n        return 2 * x\n"
    )
    task = read_module(path, class_name="Twice", inputs="torch.ones(2)")
    assert torch.equal(run(task.reference)[3], torch.full((2,), 2.0))


def test_a_file_in_kernelbench_format_is_taken_as_it_is(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
        "def get_inputs():\n    return [torch.ones(1)]\ndef get_init_inputs():\n    return []\n"
    )
    assert read_module(path).reference == path.read_text()
    assert read_module(path).id == f"file:{path}"


def test_tensors_give_shapes_types_and_ranges(layers, tmp_path):
    torch.manual_seed(0)
    held = {
        "x": torch.randn(50, 40, dtype=torch.float64) * 3 + 7,
        "y": torch.randint(5, 9, (1000,), dtype=torch.int32),
    }
    torch.save(held, tmp_path / "d.pt")
    torch.save([held["x"], held["y"]], tmp_path / "l.pt")
    from safetensors.torch import save_file

    save_file(held, tmp_path / "s.safetensors")
    for name in ("d.pt", "l.pt", "s.safetensors"):
        task = read_module(layers, class_name="Head", inputs=str(tmp_path / name), init_inputs="2")
        _, _, (x, y), _ = run(task.reference)
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((50, 40), torch.float64, (1000,), torch.int32)
        assert not torch.equal(x, held["x"])
        assert abs(x.mean() - 7) < 0.5
        assert abs(x.std() - 3) < 0.3
        assert (int(y.min()), int(y.max())) == (5, 8)
    torch.save({"x": held["x"], "z": held["y"]}, tmp_path / "d.pt")
    with pytest.raises(UserError, match=r"names \['z'\]; forward takes x, y"):
        read_module(layers, class_name="Head", inputs=str(tmp_path / "d.pt"))
    torch.save({"y": held["y"]}, tmp_path / "d.pt")
    with pytest.raises(UserError, match="no tensor 'x'"):
        read_module(layers, class_name="Head", inputs=str(tmp_path / "d.pt"))
    (tmp_path / "bad.pt").write_text("text")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    for name in ("bad.pt", "module.pt"):
        with pytest.raises(UserError, match=rf"{name}: is no file of tensors, or holds other objects; save a tensor"):
            read_module(layers, class_name="Head", inputs=str(tmp_path / name))
    torch.save([], tmp_path / "empty.pt")
    with pytest.raises(UserError, match=r"empty\.pt: holds no tensors"):
        read_module(layers, class_name="Head", inputs=str(tmp_path / "empty.pt"))
    for value in (torch.tensor([1.0, math.nan]), math.inf):
        torch.save([value, held["y"]], tmp_path / "nan.pt")
        with pytest.raises(UserError, match=r"nan\.pt: holds NaN or infinite numbers"):
            read_module(layers, class_name="Head", inputs=str(tmp_path / "nan.pt"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["several modules", "--class", "Base, Head"]),
        ({"class_name": "Haed"}, ["no class 'Haed'", "did you mean Head?"]),
        ({"class_name": "Head"}, ["no function get_inputs", "--inputs", "<x>, <y>"]),
        ({"class_name": "Head", "inputs": "[torch.ones(2)]"}, ["Head() needs size", "--init-inputs"]),
        ({"class_name": "Head", "inputs": "torch.ones("}, ["--inputs 'torch.ones('", "neither"]),
        ({"class_name": "Head", "inputs": "none.py"}, ["none.py: no such file"]),
        ({"class_name": "Head", "inputs": "none.pt"}, ["none.pt: no such file"]),
        ({"class_name": "Head", "inputs": "1", "init_inputs": "a b"}, ["--init-inputs 'a b'", "no expression"]),
    ],
)
def test_mistakes(layers, options, words):
    with pytest.raises(UserError) as caught:
        read_module(layers, **options)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_no_module_and_no_python(tmp_path):
    path = tmp_path / "plain.py"
    path.write_text("x = 1\n")
    with pytest.raises(UserError, match=r"defines no nn\.Module"):
        read_module(path)
    path.write_text("def (:\n")
    with pytest.raises(UserError, match=r"plain\.py:1: not valid Python"):
        read_module(path)


def test_a_byte_order_mark_is_no_part_of_a_file(layers):
    layers.write_text("\ufeff" + LAYERS, encoding="utf-8")
    task = read_module(layers, class_name="Head", inputs="(torch.ones(2, 8), torch.ones(3))", init_inputs="4")
    assert run(task.reference)[0].Model


def test_what_only_a_keyword_can_give_is_said(tmp_path):
    path = tmp_path / "k.py"
    text = "def __init__(self, n, *, scale): pass\n    def forward(self, x): return x\n"
    path.write_text(f"from torch import nn\nclass M(nn.Module):\n    {text}")
    with pytest.raises(UserError, match=r"M\(\) takes scale by keyword only.*wrap it in a class Model"):
        read_module(path, class_name="M", inputs="torch.ones(2)")
