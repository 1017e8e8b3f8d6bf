"""Tasks of every shape that a user may bring: each is judged right, or refused in one clear line.

For each there is the reference itself under the other name, which must be CORRECT, and changes that must not be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator, unchanged
from longodds.evaluator.controller import LocalEvaluator
from longodds.types import Status, Task, digest_text

HEAD = "import math\nimport numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n"


@dataclass(frozen=True)
class Shape:
    """A task: body of `Model`, what get_inputs returns, and changes (old, new) that make it wrong."""

    body: str
    inputs: str
    wrong: tuple[tuple[str, str], ...]
    init: str = "[]"
    labels: tuple[str, ...] = ()
    head: str = ""

    def task(self, name: str) -> Task:
        lines = "\n".join(f"    {line}" for line in self.body.strip("\n").splitlines())
        source = (
            f"{HEAD}{self.head}\n\nclass Model(nn.Module):\n{lines}\n\n\ndef get_inputs():\n    return {self.inputs}\n"
            f"\n\ndef get_init_inputs():\n    return {self.init}\n"
        )
        return Task(f"shapes/{name}", "shapes", source, digest_text(source))


def forward(text: str, args: str = "x", init: str = "") -> str:
    """Body of a class from the lines of its constructor and of its forward."""
    made = "".join(f"    {line}\n" for line in init.splitlines())
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    start = f"def __init__(self):\n    super().__init__()\n{made}\n" if init else ""
    return f"{start}def forward(self, {args}):\n{lines}"


SHAPES: dict[str, Shape] = {
    "convolution": Shape(
        forward(
            "return F.relu(self.bn(self.conv(x)))",
            init="self.conv = nn.Conv2d(3, 8, 3, padding=1)\nself.bn = nn.BatchNorm2d(8)",
        ),
        "[torch.randn(2, 3, 12, 12)]",
        (("F.relu(self.bn(self.conv(x)))", "F.relu(self.conv(x))"), ("padding=1", "padding=1, bias=False")),
    ),
    "batch norm in eval mode": Shape(
        forward("return self.bn(x)", init="self.bn = nn.BatchNorm1d(16)\nself.eval()"),
        "[torch.randn(32, 16)]",
        (("self.bn(x)", "x * self.bn.weight + self.bn.bias"), ("self.eval()", "pass")),
    ),
    "embedding": Shape(
        forward("return self.table(x).sum(1)", init="self.table = nn.Embedding(50, 24, padding_idx=0)"),
        "[torch.randint(0, 50, (16, 9))]",
        (
            (".sum(1)", ".sum(1) - self.table(x[:, :1])[:, 0] * (x[:, :1] == x[:, 1:2])"),
            ("self.table(x)", "self.table(x.clamp(min=1))"),
        ),
    ),
    "int32 inputs and outputs": Shape(
        forward("return torch.cumsum(x, -1, dtype=torch.int32)"),
        "[torch.randint(-5, 9, (12, 33), dtype=torch.int32)]",
        (("torch.cumsum(x", "torch.cumsum(x.abs()"), ("dtype=torch.int32)\n", "dtype=torch.int64)\n")),
    ),
    "bool outputs": Shape(
        forward("return x > x.mean(-1, keepdim=True)"),
        "[torch.randn(24, 31)]",
        (
            ("keepdim=True)", "keepdim=True) + 0.05"),
            ("x > x.mean(-1, keepdim=True)", "(x > x.mean(-1, keepdim=True)).float()"),
        ),
    ),
    "argmax of scores": Shape(
        forward("return (x @ self.w).argmax(-1)", init="self.w = nn.Parameter(torch.randn(24, 40))"),
        "[torch.randn(128, 24)]",
        (("(x @ self.w).argmax(-1)", "(x.half() @ self.w.half()).float().argmax(-1) * 0 + (x @ self.w).argmin(-1)"),),
    ),
    "a mask that is always the same": Shape(
        forward("return torch.softmax(x.masked_fill(~mask, -1e9), -1)", "x, mask"),
        "[torch.randn(2, 16, 16), torch.ones(16, 16, dtype=torch.bool).tril()]",
        (("~mask", "torch.ones_like(mask).triu(1)"),),
    ),
    "an additive mask with infinities": Shape(
        forward("return torch.softmax(x + mask, -1)", "x, mask"),
        "[torch.randn(2, 16, 16), torch.full((16, 16), float('-inf')).triu(1)]",
        (("x + mask", "x + torch.full((16, 16), float('-inf')).triu(1)"),),
    ),
    "positions": Shape(
        forward(
            "return x * torch.cos(p * 0.1)[:, None] + self.table[p]",
            "x, p",
            init="self.table = nn.Parameter(torch.randn(20, 8))",
        ),
        "[torch.randn(20, 8), torch.arange(20)]",
        (("self.table[p]", "self.table"), ("torch.cos(p * 0.1)", "torch.cos(torch.arange(20) * 0.1)")),
    ),
    "segment boundaries": Shape(
        forward("return torch.stack([x[a:b].sum(0) for a, b in zip(o[:-1].tolist(), o[1:].tolist())])", "x, o"),
        "[torch.randn(32, 4), torch.tensor([0, 5, 11, 32])]",
        (("zip(o[:-1].tolist(), o[1:].tolist())", "((0, 5), (5, 11), (11, 32))"),),
    ),
    "a grid that is always the same": Shape(
        forward("return (x * t).sum(-1) * (t[1:] - t[:-1]).mean()", "x, t"),
        "[torch.rand(16, 32), torch.linspace(0, 1, 32)]",
        (("(x * t)", "(x * torch.linspace(0, 1, 32))"),),
    ),
    "an initial state of zeros": Shape(
        forward(
            "out, (h, c) = self.lstm(x, (h0, c0))\nreturn out, {'h': h, 'c': c}",
            "x, h0, c0",
            init="self.lstm = nn.LSTM(6, 8, batch_first=True)",
        ),
        "[torch.randn(4, 7, 6), torch.zeros(1, 4, 8), torch.zeros(1, 4, 8)]",
        (("'h': h, 'c': c", "'h': c, 'c': h"), ("(h0, c0)", "None")),
    ),
    "scalars": Shape(
        forward("y = x * scale + shift\nreturn y.sum() if total else y", "x, scale, shift, total"),
        "[torch.randn(16, 16), 2.5, 0.0, False]",
        (("x * scale", "x * 2.5"), (" + shift", "")),
        labels=("constant_input:3",),
    ),
    "a scalar that is a size": Shape(
        forward("return torch.topk(x, k, dim=-1)", "x, k"),
        "[torch.randn(16, 40), 5]",
        (("torch.topk(x, k, dim=-1)", "torch.topk(-x, k, dim=-1)"),),
        labels=("constant_input:1",),
    ),
    "nested inputs and outputs": Shape(
        forward(
            "a, b = batch['pair']\n"
            "return {'sum': a + b, 'more': [a - b, (a * b, None)], 'n': len(a), 'norm': float(a.norm())}",
            "batch",
        ),
        "[{'pair': (torch.randn(9, 5), torch.randn(9, 5)), 'name': 'x'}]",
        (("a + b", "a + b.abs()"), ("a * b, None", "a * b, 0"), ("float(a.norm())", "float(a.norm()) * 1.001")),
    ),
    "no dimensions": Shape(
        forward("return ((x - y) ** 2).mean() * s", "x, y, s"),
        "[torch.randn(40, 7), torch.randn(40, 7), torch.rand(())]",
        ((" * s", " * s.abs()"), (".mean()", ".mean() * 1.00002")),
    ),
    "empty tensors": Shape(
        forward("return torch.cat([x, y], 0).abs(), y * 2", "x, y"),
        "[torch.randn(5, 3), torch.randn(0, 3)]",
        ((".abs()", ""), ("y * 2", "y[:, :2]")),
    ),
    "strides": Shape(
        forward("return (x.transpose(-1, -2) + y).transpose(0, 1)", "x, y"),
        "[torch.randn(4, 6, 5)[:, ::2], torch.randn(5, 1).expand(5, 3)]",
        ((" + y", " + y[:1]"),),
    ),
    "expanded output": Shape(
        forward("return x.sum(-1, keepdim=True).expand(8, 16)"),
        "[torch.randn(8, 16)]",
        (("x.sum(-1", "x.abs().sum(-1"),),
    ),
    "complex numbers": Shape(
        forward(
            "return torch.fft.fft(x) * self.w", init="self.w = nn.Parameter(torch.randn(32, dtype=torch.complex64))"
        ),
        "[torch.randn(8, 32, dtype=torch.complex64)]",
        (
            (" * self.w", " * self.w.conj()"),
            ("torch.fft.fft(x)", "torch.fft.fft(x.real)"),
            ("torch.fft.fft(x)", "(torch.fft.fft(x) * (1 + 1e-4j))"),
        ),
    ),
    "conjugated output": Shape(
        forward("return x.conj(), x.conj().imag"),
        "[torch.randn(8, 32, dtype=torch.complex64)]",
        (("return x.conj(), x.conj()", "return x.clone(), x.conj()"), ("x.conj().imag", "x.imag * 1")),
    ),
    "complex inside": Shape(
        forward("return torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(k))", "x, k"),
        "[torch.randn(8, 64), torch.randn(64)]",
        (
            ("torch.fft.rfft(k)", "torch.fft.rfft(k).abs()"),
            ("torch.fft.rfft(x)", "torch.fft.rfft(x.bfloat16().float())"),
        ),
    ),
    "float64": Shape(
        forward("return torch.log1p(x * x).sum(-1)"),
        "[torch.randn(16, 50, dtype=torch.float64)]",
        (
            ("torch.log1p(x * x).sum(-1)", "torch.log1p(x * x).float().sum(-1).double()"),
            (".sum(-1)", ".sum(-1) * (1 + 1e-12)"),
        ),
    ),
    "bfloat16": Shape(
        forward("return F.gelu(self.linear(x))", init="self.linear = nn.Linear(32, 24, dtype=torch.bfloat16)"),
        "[torch.randn(64, 32, dtype=torch.bfloat16)]",
        (
            ("F.gelu(self.linear(x))", "F.gelu(F.linear(x, self.linear.weight))"),
            ("self.linear(x)", "self.linear((x * 4).round() / 4)"),
            ("F.gelu", "F.relu"),
        ),
    ),
    "float16": Shape(
        forward("return x.softmax(-1)"),
        "[torch.randn(64, 128, dtype=torch.float16)]",
        (("x.softmax(-1)", "(x.softmax(-1) * 64).round() / 64"), ("x.softmax(-1)", "torch.full_like(x, 1 / 128)")),
    ),
    "half precision inside": Shape(
        forward("return (x.half() @ y.half()).float()", "x, y"),
        "[torch.randn(16, 48), torch.randn(48, 16)]",
        (("x.half() @ y.half()", "x.half() @ y.half().abs()"),),
    ),
    "lists of modules and tied weights": Shape(
        forward(
            "x = self.emb(x)\nfor layer in self.layers:\n    x = x + torch.tanh(layer(x))\nreturn self.head(x)",
            init="self.emb = nn.Embedding(30, 16)\nself.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)])\n"
            "self.head = nn.Linear(16, 30, bias=False)\nself.head.weight = self.emb.weight",
        ),
        "[torch.randint(0, 30, (4, 6))]",
        (("range(3)", "range(2)"), ("x + torch.tanh", "torch.tanh")),
    ),
    "buffers": Shape(
        forward(
            "return (x - self.mean) * self.scale * (self.mask == 0)",
            init="self.register_buffer('mean', torch.zeros(12))\n"
            "self.register_buffer('scale', torch.linspace(1, 2, 12))\n"
            "self.register_buffer('mask', torch.ones(12, 12).triu(1))\nself.register_buffer('steps', torch.tensor(0))",
        ),
        "[torch.randn(12, 12)]",
        (("(x - self.mean)", "x"), (" * self.scale", " * torch.linspace(1, 2, 12)")),
    ),
    "what a constructor derives from weights": Shape(
        forward(
            "return x @ self.turned + self.bias",
            init="self.linear = nn.Linear(16, 8)\nself.bias = nn.Parameter(torch.zeros(8))\n"
            "self.turned = self.linear.weight.detach().t().contiguous()",
        ),
        "[torch.randn(9, 16)]",
        ((" + self.bias", ""),),
    ),
    "weights drawn when constructed": Shape(
        forward(
            "return x @ self.w * self.g.abs()",
            init="w = torch.rand(8, 8)\nself.w = nn.Parameter(w / w.sum(0))\n"
            "self.g = nn.Parameter(torch.rand(8) + 0.5)",
        ),
        "[torch.rand(9, 8)]",
        (("self.w *", "self.w.abs() *"), ("self.g.abs()", "self.g")),
    ),
    "initial inputs of every kind": Shape(
        "def __init__(self, sizes, name, matrix, flag, slope):\n    super().__init__()\n"
        "    self.linear = nn.Linear(*sizes)\n"
        "    self.matrix = matrix\n    self.slope = slope if flag and name == 'leaky' else 0.0\n\n"
        "def forward(self, x):\n    return F.leaky_relu(self.linear(x), self.slope) @ self.matrix\n",
        "[torch.randn(9, 16)]",
        (("self.slope)", "0.0)"), (" @ self.matrix", " @ self.matrix.abs()")),
        init="[(16, 8), 'leaky', torch.randn(8, 8), True, 0.2]",
    ),
    "a gain that starts at one": Shape(
        forward(
            "return F.softplus(self.gain) * x + torch.abs(self.shift)",
            init="self.gain = nn.Parameter(torch.ones(8))\nself.shift = nn.Parameter(torch.ones(8))",
        ),
        "[torch.randn(9, 8)]",
        (("torch.abs(self.shift)", "self.shift"),),
    ),
    "a scale that must be positive": Shape(
        forward(
            "return torch.log(self.scale) + x * self.gain.abs()",
            init="self.scale = nn.Parameter(torch.ones(8))\nself.gain = nn.Parameter(torch.ones(8))",
        ),
        "[torch.randn(9, 8)]",
        (("self.gain.abs()", "self.gain"),),
        labels=("weights:signs-kept",),
    ),
    "a cache that is written in place": Shape(
        forward("cache[:, -1] = x.mean(1)\nreturn cache.sum(1)", "x, cache"),
        "[torch.randn(8, 5, 4), torch.randn(8, 6, 4)]",
        (
            ("cache[:, -1] = x.mean(1)\n", "cache = cache.clone()\n        cache[:, -1] = x.mean(1)\n"),
            ("cache.sum(1)", "cache.sum(1).add_(x[:, 0].mul_(0))"),
        ),
    ),
    "replaces what is not a number": Shape(
        forward("return torch.nan_to_num(x, 0.0, 1.0, -1.0) * 2"),
        "[torch.randn(32, 16)]",
        (("torch.nan_to_num(x, 0.0, 1.0, -1.0)", "x"), ("torch.nan_to_num(x, 0.0, 1.0, -1.0)", "torch.nan_to_num(x)")),
    ),
    "rows of very different size": Shape(
        forward("return x * torch.logspace(0, -5, 16)[:, None]"),
        "[torch.rand(16, 64)]",
        (
            (
                "torch.logspace(0, -5, 16)",
                "torch.where(torch.arange(16) < 12, torch.logspace(0, -5, 16), torch.logspace(0, -5, 16) * 1.001)",
            ),
        ),
    ),
    "inputs by numpy": Shape(
        forward("return x.abs() + y.relu()", "x, y"),
        "[torch.from_numpy(np.random.rand(8, 9)).float(), torch.from_numpy(RNG.random((8, 9), dtype=np.float32))]",
        (("x.abs()", "x"), ("y.relu()", "y")),
        head="RNG = np.random.default_rng(0)\n",
    ),
    "inputs filled in place": Shape(
        forward("return x.abs() + y.relu() + z.abs()", "x, y, z"),
        "[torch.empty(8, 9).uniform_(), torch.zeros(8, 9).exponential_(), torch.normal(torch.full((8, 9), 9.0), 1.0)]",
        (("x.abs()", "x"), ("y.relu()", "y"), ("z.abs()", "z")),
    ),
    "inputs by torch.distributions": Shape(
        forward("return x.abs() + y.abs()", "x, y"),
        "[torch.distributions.Uniform(0.0, 1.0).sample((8, 9)), torch.distributions.Exponential(1.0).sample((8, 9))]",
        (("x.abs()", "x"), ("y.abs()", "y")),
    ),
    "inputs with a seed of their own": Shape(
        forward("return x.abs() * 2"),
        "[torch.rand(8, 9, generator=torch.Generator().manual_seed(0))]",
        (("x.abs() * 2", "torch.rand(8, 9, generator=torch.Generator().manual_seed(0)) * 2"), ("x.abs()", "x")),
    ),
    "a task that seeds": Shape(
        forward("return x.abs() * 2"),
        "[torch.manual_seed(0) and torch.rand(8, 9)]",
        (("x.abs()", "x"),),
    ),
    "multihead attention": Shape(
        forward(
            "return self.attention(x, x, x, need_weights=False)[0]",
            init="self.attention = nn.MultiheadAttention(16, 4, batch_first=True)",
        ),
        "[torch.randn(2, 9, 16)]",
        (("(x, x, x, need", "(x, x, x.abs(), need"),),
    ),
    "an exact output beside others": Shape(
        forward(
            "y = self.l(F.relu(x))\nreturn y, y > y.mean(-1, keepdim=True)",
            init="self.l = nn.Linear(64, 64).to(torch.bfloat16)",
        ),
        "[torch.rand(96, 64).to(torch.bfloat16)]",
        (("F.relu(x)", "x"),),
    ),
    "a parameter that sounds like a variance": Shape(
        forward("return torch.relu(x * self.variant)", init="self.variant = nn.Parameter(torch.randn(64))"),
        "[torch.rand(96, 64)]",
        (("torch.relu(x * self.variant)", "x * self.variant"),),
    ),
    "NaN looked after by comparison": Shape(
        forward("return torch.where(x == x, x, 0).sum(-1)"),
        "[torch.randn(96, 64)]",
        (("torch.where(x == x, x, 0)", "x"),),
    ),
    "rows that may be zero": Shape(
        forward("return F.normalize(x, dim=-1)"),
        "[torch.randn(96, 64)]",
        (("F.normalize(x, dim=-1)", "x / x.norm(dim=-1, keepdim=True)"),),
    ),
    "a dataclass": Shape(
        forward("return x.relu() * self.c.scale", init="self.c = Config()"),
        "[torch.randn(9, 16)]",
        (("x.relu()", "x"),),
        head="import dataclasses\n\n\n@dataclasses.dataclass\nclass Config:\n    scale: float = 2.0\n",
    ),
    "dropout in eval mode": Shape(
        forward("return self.drop(x) * 2", init="self.drop = nn.Dropout(0.5)\nself.eval()"),
        "[torch.randn(9, 16)]",
        (("self.drop(x)", "x * (x.abs() > 0.01)"),),
    ),
}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(import_timeout_s=30, run_timeout_s=20, memory_bytes=3 << 30)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SHAPES))
def test_a_task_is_judged_right(evaluator: LocalEvaluator, name: str) -> None:
    shape = SHAPES[name]
    task = shape.task(name)
    own = evaluator.evaluate(task, unchanged(task), timed=False)
    assert own.status is Status.CORRECT, own.message
    ignored = {"tightened", "yardstick:declared-precision", "laws:ineffective"}
    assert set(own.labels) - ignored == set(shape.labels)
    for old, new in shape.wrong:
        assert old in task.reference
        other = task.reference.replace(old, new)
        verdict = evaluator.evaluate(task, other.replace("class Model(", "class ModelNew("), timed=False)
        assert verdict.status in (Status.INCORRECT, Status.RUNTIME_ERROR), f"{old} -> {new}: {verdict}"
        assert verdict.message


REFUSED: dict[str, tuple[Shape, str]] = {
    "dropout in train mode": (Shape(forward("return F.dropout(x)"), "[torch.randn(9, 16)]", ()), "stochastic"),
    "noise": (Shape(forward("return x + torch.randn_like(x)"), "[torch.randn(9, 16)]", ()), "stochastic"),
    "a count of calls": (
        Shape(forward("self.n += 1\nreturn x * self.n", init="self.n = 0"), "[torch.randn(9, 16)]", ()),
        "stochastic",
    ),
    "random tensors outside its state": (
        Shape(forward("return x @ self.w", init="self.w = torch.randn(8, 8)"), "[torch.randn(9, 8)]", ()),
        "register_buffer",
    ),
    "lazy layers": (
        Shape(forward("return self.l(x)", init="self.l = nn.LazyLinear(8)"), "[torch.randn(9, 8)]", ()),
        "lazy",
    ),
    "sparse inputs": (Shape(forward("return x.to_dense()"), "[torch.randn(9, 8).to_sparse()]", ()), "strided"),
    "objects as inputs": (Shape(forward("return x"), "[object()]", ()), "object"),
    "no outputs": (Shape(forward("return None"), "[torch.randn(9, 8)]", ()), "0 outputs"),
    "a parameter as output": (
        Shape(forward("return self.w", init="self.w = nn.Parameter(torch.ones(3))"), "[torch.randn(9)]", ()),
        "Parameter",
    ),
    "a string of inputs": (Shape(forward("return x"), "torch.randn(9)", ()), "list"),
    "named tuples as inputs": (
        Shape(
            forward("return p.x", "p"),
            "[P(torch.randn(3))]",
            (),
            head="import collections\nP = collections.namedtuple('P', 'x')\n",
        ),
        "plain tuple",
    ),
    "not finite": (Shape(forward("return x / 0"), "[torch.randn(9, 8)]", ()), "not finite"),
    "infinite where it means to be": (
        Shape(forward("return x.masked_fill(x > 0, -math.inf)"), "[torch.randn(9, 8)]", ()),
        "own inputs the reference is not finite",
    ),
    "a file that exits": (
        Shape(forward("return x"), "[torch.randn(3)]", (), head="raise SystemExit(5)\n"),
        "SystemExit: 5",
    ),
    "a file that needs another": (
        Shape(forward("return x"), "[torch.randn(3)]", (), head="from my_layers import f\n"),
        "ModuleNotFoundError.*must be copied into it",
    ),
    "sets as outputs": (Shape(forward("return {1, 2}"), "[torch.randn(9, 8)]", ()), "set"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_task_that_can_not_be_judged_is_refused_in_a_line(evaluator: LocalEvaluator, name: str) -> None:
    shape, word = REFUSED[name]
    with pytest.raises(UserError, match=word) as refused:
        evaluator.describe(shape.task(name))
    assert "\n" not in str(refused.value)
    assert f"shapes/{name}" in str(refused.value)


def test_files_of_the_working_directory_stand_for_no_library(tmp_path, monkeypatch) -> None:
    for name in ("random", "inspect", "queue", "torch"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')\n")
    (tmp_path / "my_layers.py").write_text("f = abs\n")
    monkeypatch.chdir(tmp_path)
    with open_evaluator(EvaluatorSettings(import_timeout_s=30, run_timeout_s=20)) as opened:
        task = SHAPES["a dataclass"].task("here")
        assert opened.evaluate(task, unchanged(task), timed=False).status is Status.CORRECT
        with pytest.raises(UserError, match="ModuleNotFoundError"):
            opened.describe(REFUSED["a file that needs another"][0].task("here"))
