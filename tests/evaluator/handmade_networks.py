"""Honest rewrites by hand: attention, convolution, pooling, small networks and pairwise problems.

Other algebra, other algorithms, weights prepared ahead. Task -> kind -> methods that replace or join those of the
reference's class.
"""

from __future__ import annotations

REWRITES: dict[str, dict[str, str]] = {
    "causal_heads_by_hand": {
        "flash_blocks": """
def forward(self, query, key, value):
    length, block = query.shape[-2], 128
    out = torch.empty_like(query)
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    for start in range(0, length, block):
        q = query[..., start : start + block, :]
        peak = torch.full_like(q[..., :1], float("-inf"))
        total, acc = torch.zeros_like(peak), torch.zeros_like(q)
        for left in range(0, start + block, block):
            s = q @ key[..., left : left + block, :].transpose(-1, -2)
            if left == start:
                s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
            new = torch.maximum(peak, s.amax(dim=-1, keepdim=True))
            p = torch.exp(s - new)
            shrink = torch.exp(peak - new)
            total = total * shrink + p.sum(dim=-1, keepdim=True)
            acc = acc * shrink + p @ value[..., left : left + block, :]
            peak = new
        out[..., start : start + block, :] = acc / total
    return out
""",
    },
    "kernelized_attention": {
        "keys_then_values_split": """
def forward(self, q, k, v):
    phi_q, phi_k = F.softplus(q), F.softplus(k)
    extended = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
    both = phi_q @ (phi_k.transpose(1, 2) @ extended)
    return both[..., :-1] / both[..., -1:].clamp(min=1e-6)
""",
    },
    "learned_query_summary": {
        "scale_into_query": """
def forward(self, x):
    direction = self.to_key.weight.t() @ (self.query * self.scale)
    weights = torch.exp((x @ direction) - (x @ direction).amax(dim=1, keepdim=True))
    pooled = torch.einsum("bl,blw->bw", weights, x) / weights.sum(dim=1, keepdim=True)
    return pooled @ self.to_value.weight.t() + self.to_value.bias
""",
        "hook_folds_query": """
def load_reference(self, state):
    direction = state["to_key.weight"].double().t() @ state["query"].double() * self.scale
    self.direction = direction.to(state["query"].dtype)
    self.to_value.load_state_dict({"weight": state["to_value.weight"], "bias": state["to_value.bias"]})

def forward(self, x):
    attention = torch.softmax(x @ self.direction, dim=1)
    return self.to_value(torch.bmm(attention.unsqueeze(1), x).squeeze(1))
""",
    },
    "shared_key_decoding": {
        "grouped_heads": """
def forward(self, query, key, value):
    batch, heads, _, width = query.shape
    grouped = query.view(batch, heads // self.group, self.group, width)
    weights = torch.softmax(grouped @ key.transpose(-1, -2) * width**-0.5, dim=-1)
    return (weights @ value).view(batch, heads, 1, width)
""",
    },
    "windowed_self_attention": {
        "bands": """
def forward(self, q, k, v):
    w, n = self.window, q.shape[1]
    pad = (0, 0, w, w)
    keys = nn.functional.pad(k, pad).unfold(1, 2 * w + 1, 1)
    values = nn.functional.pad(v, pad).unfold(1, 2 * w + 1, 1)
    scores = torch.einsum("bnd,bndw->bnw", q * self.scale, keys)
    place = torch.arange(n)[:, None] + torch.arange(-w, w + 1)
    scores = scores.masked_fill((place < 0) | (place >= n), float("-inf"))
    return torch.einsum("bnw,bndw->bnd", torch.softmax(scores, dim=-1), values)
""",
    },
    "channelwise_blur": {
        "fourier": """
def forward(self, image):
    size, k = image.shape[-1], self.filters.shape[-1]
    n = size + k - 1
    spectrum = torch.fft.rfft2(image, s=(n, n)) * torch.fft.rfft2(self.filters.flip(1, 2), s=(n, n))
    full = torch.fft.irfft2(spectrum, s=(n, n))
    return full[..., self.padding : self.padding + size, self.padding : self.padding + size].contiguous()
""",
    },
    "crossed_kernel_branches": {
        "kernel_in_init": """
def __init__(self, channels):
    super().__init__()
    self.square = nn.Conv2d(channels, channels, kernel_size=(3, 3), padding=(1, 1))
    self.tall = nn.Conv2d(channels, channels, kernel_size=(3, 1), padding=(1, 0))
    self.flat = nn.Conv2d(channels, channels, kernel_size=(1, 3), padding=(0, 1))
    kernel = self.square.weight.detach().clone()
    kernel[..., 1:2] += self.tall.weight.detach()
    kernel[..., 1:2, :] += self.flat.weight.detach()
    self.kernel = kernel
    self.total_bias = (self.square.bias + self.tall.bias + self.flat.bias).detach()

def forward(self, image):
    return nn.functional.conv2d(image, self.kernel, self.total_bias, padding=1)
""",
        "hook_fuses": """
def __init__(self, channels):
    super().__init__()
    self.fused = nn.Conv2d(channels, channels, 3, padding=1)

def load_reference(self, state):
    kernel = state["square.weight"] + nn.functional.pad(state["tall.weight"], (1, 1))
    self.fused.weight.copy_(kernel + nn.functional.pad(state["flat.weight"], (0, 0, 1, 1)))
    self.fused.bias.copy_(state["square.bias"] + state["tall.bias"] + state["flat.bias"])

def forward(self, image):
    return self.fused(image)
""",
    },
    "mean_filter_response": {
        "sums_less_edges": """
def forward(self, images):
    x = images.double()
    h, w = x.shape[2] - 2, x.shape[3] - 2
    table = nn.functional.pad(x.cumsum(2).cumsum(3), (1, 0, 1, 0))
    sums = [
        table[..., i + h, j + w] - table[..., i, j + w] - table[..., i + h, j] + table[..., i, j]
        for i in range(3)
        for j in range(3)
    ]
    means = torch.stack(sums, dim=2).to(images.dtype) / (h * w)
    return means.flatten(1) @ self.bank.weight.flatten(1).t() + self.bank.bias
""",
        "one_row_at_a_time": """
def forward(self, images):
    total = 0.0
    for row in range(images.shape[2] - 2):
        total = total + self.bank(images[:, :, row : row + 3]).sum(dim=(2, 3))
    return total / ((images.shape[2] - 2) * (images.shape[3] - 2))
""",
    },
    "rank_one_filter": {
        "horizontal_first": """
def forward(self, x):
    c, taps = self.vertical.shape
    y = F.conv2d(x, self.horizontal.view(c, 1, 1, taps), padding=(0, taps // 2), groups=c)
    return F.conv2d(y, self.vertical.view(c, 1, taps, 1), padding=(taps // 2, 0), groups=c)
""",
        "band_matrices": """
def forward(self, x):
    n, taps = x.shape[-1], self.vertical.shape[1]
    lag = torch.arange(n)[None, :] - torch.arange(n)[:, None] + taps // 2
    inside = (lag >= 0) & (lag < taps)
    down = torch.where(inside, self.vertical[:, lag.clamp(0, taps - 1)], 0.0)
    across = torch.where(inside, self.horizontal[:, lag.clamp(0, taps - 1)], 0.0)
    return down @ x @ across.transpose(1, 2)
""",
    },
    "strided_feature_stem": {
        "own_temporaries_in_place": """
def forward(self, images):
    features = F.conv2d(images, self.first.weight, None, stride=2, padding=1)
    features.add_(self.first.bias.view(1, -1, 1, 1)).clamp_(min=0.0)
    out = F.conv2d(features, self.second.weight, None, stride=2, padding=1)
    return out.add_(self.second.bias.view(1, -1, 1, 1))
""",
    },
    "widen_then_squeeze": {
        "composed_in_init": """
def __init__(self, channels, hidden):
    super().__init__()
    self.widen = nn.Conv2d(channels, hidden, kernel_size=1)
    self.squeeze = nn.Conv2d(hidden, channels, kernel_size=1)
    second = self.squeeze.weight.detach().flatten(1)
    self.kernel = second @ self.widen.weight.detach().flatten(1)
    self.offset = self.squeeze.bias.detach() + second @ self.widen.bias.detach()

def forward(self, x):
    return torch.einsum("oi,bihw->bohw", self.kernel, x) + self.offset.view(1, -1, 1, 1)
""",
        "hook_composes_in_double": """
def __init__(self, channels, hidden):
    super().__init__()
    self.both = nn.Conv2d(channels, channels, kernel_size=1)

def load_reference(self, state):
    state = {k: v.double() for k, v in state.items()}
    second = state["squeeze.weight"].flatten(1)
    self.both.weight.copy_((second @ state["widen.weight"].flatten(1))[:, :, None, None])
    self.both.bias.copy_(state["squeeze.bias"] + second @ state["widen.bias"])

def forward(self, x):
    return self.both(x)
""",
    },
    "project_then_downsample": {
        "one_strided_convolution": """
def forward(self, x):
    p = self.patch
    kernel = (self.project.weight / (p * p)).expand(-1, -1, p, p).contiguous()
    return F.conv2d(x, kernel, self.project.bias, stride=p)
""",
    },
    "tile_averages": {
        "rows_then_columns": """
def forward(self, x):
    b, c, h, w = x.shape
    rows = x.view(b, c, h, w // self.tile, self.tile).sum(dim=-1)
    return rows.view(b, c, h // self.tile, self.tile, -1).sum(dim=3) / self.tile**2
""",
        "convolution_with_ones": """
def forward(self, x):
    t, c = self.tile, x.shape[1]
    return nn.functional.conv2d(x, torch.full((c, 1, t, t), 1.0 / t**2), stride=t, groups=c)
""",
    },
    "global_descriptor": {
        "rows_then_columns": """
def forward(self, features):
    peak = features.amax(dim=3).amax(dim=2)
    return torch.cat([peak, features.mean(dim=3).mean(dim=2)], dim=1)
""",
    },
    "spatial_pyramid": {
        "rows_then_columns": """
def forward(self, x):
    outs = [x]
    for k in (5, 9, 13):
        tall = F.max_pool2d(x, kernel_size=(k, 1), stride=1, padding=(k // 2, 0))
        outs.append(F.max_pool2d(tall, kernel_size=(1, k), stride=1, padding=(0, k // 2)))
    return torch.cat(outs, dim=1)
""",
    },
    "averaged_linear_heads": {
        "head_by_head": """
def forward(self, features):
    total = torch.zeros(features.shape[0], self.weight.shape[1])
    for w, b in zip(self.weight, self.bias):
        total += features @ w.t() + b
    return total / self.weight.shape[0]
""",
        "mean_in_init": """
def __init__(self, heads, features, classes):
    super().__init__()
    self.weight = nn.Parameter(torch.randn(heads, classes, features))
    self.bias = nn.Parameter(torch.zeros(heads, classes))
    self.mean_weight = self.weight.detach().mean(dim=0).t().contiguous()
    self.mean_bias = self.bias.detach().mean(dim=0)

def forward(self, features):
    return torch.addmm(self.mean_bias, features, self.mean_weight)
""",
    },
    "channel_gate": {
        "rows_then_columns": """
def forward(self, x):
    summary = x.mean(dim=3).mean(dim=2)
    hidden = torch.clamp(summary @ self.reduce.weight.t() + self.reduce.bias, min=0.0)
    gate = 1.0 / (1.0 + torch.exp(-(hidden @ self.restore.weight.t() + self.restore.bias)))
    return torch.einsum("bchw,bc->bchw", x, gate)
""",
    },
    "erf_activation_mlp": {
        "prepared_weights": """
def __init__(self, width, hidden):
    super().__init__()
    self.expand = nn.Linear(width, hidden)
    self.contract = nn.Linear(hidden, width)
    self.first = (self.expand.weight.detach() / math.sqrt(2.0)).t().contiguous()
    self.first_bias = self.expand.bias.detach() / math.sqrt(2.0)
    self.second = (self.contract.weight.detach() * math.sqrt(0.5)).t().contiguous()

def forward(self, x):
    h = torch.addmm(self.first_bias, x, self.first)
    return torch.addmm(self.contract.bias, h * (1.0 + torch.erf(h)), self.second)
""",
        "hidden_in_blocks": """
def forward(self, x):
    out = torch.zeros(x.shape[0], self.contract.out_features)
    for i in range(0, self.expand.out_features, 96):
        h = x @ self.expand.weight[i : i + 96].t() + self.expand.bias[i : i + 96]
        out += torch.nn.functional.gelu(h) @ self.contract.weight[:, i : i + 96].t()
    return out + self.contract.bias
""",
    },
    "recurrent_encoder": {
        "one_product_a_step": """
def __init__(self, width, hidden):
    super().__init__()
    self.read = nn.Linear(width, hidden)
    self.carry = nn.Linear(hidden, hidden, bias=False)
    self.both = torch.cat([self.read.weight, self.carry.weight], dim=1).detach().t().contiguous()

def forward(self, sequence):
    state = sequence.new_zeros(sequence.shape[0], self.carry.in_features)
    for step in sequence.unbind(1):
        state = torch.tanh(torch.addmm(self.read.bias, torch.cat([step, state], dim=1), self.both))
    return state
""",
    },
    "cosine_similarity_table": {
        "normalised_products": """
def forward(self, queries, documents):
    lengths = queries.norm(dim=1)[:, None] * documents.norm(dim=1)[None, :]
    return (queries @ documents.T) / lengths.clamp(min=1e-16)
""",
    },
    "factor_interactions": {
        "square_of_sum": """
def forward(self, x):
    total = (x @ self.factors).square().sum(dim=1)
    return 0.5 * (total - (x.square() @ self.factors.square()).sum(dim=1))
""",
        "field_by_field": """
def forward(self, x):
    so_far = torch.zeros(x.shape[0], self.factors.shape[1])
    out = torch.zeros(x.shape[0])
    for f in range(x.shape[1]):
        embedded = x[:, f : f + 1] * self.factors[f]
        out = out + (so_far * embedded).sum(dim=1)
        so_far = so_far + embedded
    return out
""",
    },
    "gaussian_kernel_matrix": {
        "dimension_by_dimension": """
def forward(self, points):
    total = torch.zeros(points.shape[0], self.centres.shape[0])
    for i, scale in enumerate(self.length_scale):
        total += ((points[:, i, None] - self.centres[:, i]) / scale).square()
    return torch.exp(total * -0.5)
""",
        "expanded_square": """
def forward(self, points):
    left, right = points / self.length_scale, self.centres / self.length_scale
    squares = 0.5 * left.square().sum(dim=1, keepdim=True) + 0.5 * right.square().sum(dim=1)
    return torch.exp((left @ right.T - squares).clamp(max=0.0))
""",
    },
    "manhattan_distances": {
        "dimension_by_dimension": """
def forward(self, a, b):
    total = torch.zeros(a.shape[0], b.shape[0])
    for i in range(a.shape[1]):
        total += (a[:, i, None] - b[:, i]).abs()
    return total
""",
        "larger_less_smaller": """
def forward(self, a, b):
    high = torch.maximum(a[:, None, :], b[None, :, :])
    low = torch.minimum(a[:, None, :], b[None, :, :])
    return (high - low).sum(dim=2)
""",
    },
}
