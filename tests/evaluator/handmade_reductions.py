"""Honest rewrites by hand: norms, reductions, scans and softmax.

Other algebra, other algorithms, weights prepared ahead. Task -> kind -> methods that replace or join those of the
reference's class.
"""

from __future__ import annotations

REWRITES: dict[str, dict[str, str]] = {
    "frozen_batch_statistics": {
        "folded_in_init": """
def __init__(self, channels, eps=1e-5):
    super().__init__()
    self.register_buffer("mean", torch.zeros(channels))
    self.register_buffer("var", torch.ones(channels))
    self.register_buffer("weight", torch.ones(channels))
    self.register_buffer("bias", torch.zeros(channels))
    self.register_buffer("factor", self.weight * torch.rsqrt(self.var + eps))
    self.register_buffer("offset", self.bias - self.mean * self.factor)

def forward(self, x):
    return torch.addcmul(self.offset.view(-1, 1, 1), x, self.factor.view(-1, 1, 1))
""",
        "hook_folds": """
def load_reference(self, state):
    wide = {k: v.double() for k, v in state.items()}
    factor = wide["weight"] / torch.sqrt(wide["var"] + self.eps)
    self.factor = factor.to(state["var"].dtype).view(-1, 1, 1)
    self.offset = (wide["bias"] - wide["mean"] * factor).to(state["var"].dtype).view(-1, 1, 1)

def forward(self, x):
    return x * self.factor + self.offset
""",
    },
    "group_norm_by_reshape": {
        "one_factor_a_channel": """
def forward(self, maps):
    b, c, h, w = maps.shape
    var, mean = torch.var_mean(maps.reshape(b, self.groups, -1), dim=2, unbiased=False)
    factor = torch.rsqrt(var + self.eps).repeat_interleave(c // self.groups, dim=1) * self.weight
    offset = self.bias - mean.repeat_interleave(c // self.groups, dim=1) * factor
    return torch.addcmul(offset[..., None, None], maps, factor[..., None, None])
""",
    },
    "column_standardization": {
        "affine": """
def forward(self, data):
    std, mean = torch.std_mean(data, dim=0)
    factor = 1.0 / (std + self.eps)
    return torch.addcmul(-mean * factor, data, factor)
""",
    },
    "rms_scaled_features": {
        "library": """
def forward(self, hidden_states):
    return nn.functional.rms_norm(hidden_states, self.scale.shape, self.scale, self.eps)
""",
        "dot_with_itself": """
def forward(self, hidden_states):
    power = (hidden_states.unsqueeze(-2) @ hidden_states.unsqueeze(-1)).squeeze(-1) / hidden_states.shape[-1]
    return hidden_states / torch.sqrt(power + self.eps) * self.scale
""",
    },
    "unit_row_scoring": {
        "squares_by_product": """
def forward(self, embeddings):
    squares = (embeddings * embeddings) @ torch.ones(embeddings.shape[1])
    return (embeddings @ self.direction) / squares.sqrt().clamp(min=1e-12)
""",
    },
    "channel_signal_rms": {
        "row_products": """
def forward(self, spectrogram):
    flat = spectrogram.flatten(2)
    return torch.sqrt(torch.einsum("bcn,bcn->bc", flat, flat) / flat.shape[2])
""",
        "frequency_first": """
def forward(self, spectrogram):
    return spectrogram.square().mean(dim=2).mean(dim=2).sqrt()
""",
    },
    "length_masked_mean": {
        "mask_product": """
def forward(self, tokens, lengths):
    mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).to(tokens.dtype)
    return torch.bmm((mask / lengths[:, None]).unsqueeze(1), tokens).squeeze(1)
""",
    },
    "row_mid_range": {
        "sorted_ends": """
def forward(self, table):
    ordered = table.sort(dim=1).values
    return (ordered[:, 0] + ordered[:, -1]) / 2
""",
    },
    "sensor_window_median": {
        "kth_value": """
def forward(self, readings):
    return readings.kthvalue((readings.shape[1] + 1) // 2, dim=1).values
""",
        "sorted_middle": """
def forward(self, readings):
    return readings.sort(dim=1).values[:, (readings.shape[1] - 1) // 2]
""",
    },
    "separable_grid_quadrature": {
        "outer_product_of_weights": """
def forward(self, field):
    return field.flatten(1) @ torch.outer(self.weight_y, self.weight_x).flatten()
""",
        "einsum": """
def forward(self, field):
    return torch.einsum("fyx,y,x->f", field, self.weight_y, self.weight_x)
""",
    },
    "template_match_scores": {
        "convolution": """
def forward(self, patches):
    return torch.conv2d(patches.unsqueeze(1), self.templates.unsqueeze(1)).flatten(1)
""",
        "row_by_row": """
def forward(self, patches):
    total = torch.zeros(patches.shape[0], self.templates.shape[0])
    for row in range(patches.shape[1]):
        total += patches[:, row] @ self.templates[:, row].t()
    return total
""",
    },
    "top_values_mean": {
        "ascending": """
def forward(self, activations):
    return activations.sort(dim=1).values[:, -self.k :].sum(dim=1) / self.k
""",
    },
    "weighted_argmax_votes": {
        "product_with_one_hot": """
def forward(self, scores, weights):
    choice = scores.max(dim=1).indices
    return weights @ F.one_hot(choice, scores.shape[1]).to(weights.dtype)
""",
        "histogram_float32": """
def forward(self, scores, weights):
    return torch.zeros(scores.shape[1]).index_add_(0, scores.argmax(dim=1), weights)
""",
    },
    "discounted_return_targets": {
        "doubling": """
def forward(self, rewards, done):
    value, factor, step = rewards, self.discount * (1.0 - done), 1
    while step < rewards.shape[1]:
        ahead = nn.functional.pad(value[:, step:], (0, step))
        value = value + factor * ahead
        factor = factor * nn.functional.pad(factor[:, step:], (0, step))
        step *= 2
    return value
""",
    },
    "expanding_window_mean": {
        "running_update": """
def forward(self, x):
    mean = torch.zeros_like(x[:, 0])
    out = torch.empty_like(x)
    for t in range(x.shape[1]):
        mean = mean + (x[:, t] - mean) / (t + 1)
        out[:, t] = mean
    return out
""",
        "triangle": """
def forward(self, x):
    n = x.shape[1]
    weights = torch.tril(torch.ones(n, n)) / torch.arange(1, n + 1).unsqueeze(1)
    return weights @ x
""",
    },
    "forget_gate_memory": {
        "doubling": """
def forward(self, gate, content, h):
    f = torch.sigmoid(gate)
    value, step = (1.0 - f) * torch.tanh(content), 1
    value[:, 0] += f[:, 0] * h
    while step < f.shape[1]:
        value = torch.cat([value[:, :step], value[:, step:] + f[:, step:] * value[:, :-step]], dim=1)
        f = torch.cat([f[:, :step], f[:, step:] * f[:, :-step]], dim=1)
        step *= 2
    return value
""",
        "difference_form": """
def forward(self, gate, content, h):
    outputs = []
    for g, c in zip(torch.sigmoid(gate).unbind(1), torch.tanh(content).unbind(1)):
        h = c + g * (h - c)
        outputs.append(h)
    return torch.stack(outputs, dim=1)
""",
    },
    "leaky_integrator_states": {
        "blocks": """
def forward(self, drive):
    block = 32
    t = torch.arange(block)
    lag = (t[:, None] - t[None, :]).clamp(min=0)
    weights = torch.tril((1.0 - self.keep) * self.keep ** lag.to(drive.dtype))
    carry, outs = torch.zeros_like(drive[:, :1]), []
    for part in drive.split(block, dim=1):
        n = part.shape[1]
        out = part @ weights[:n, :n].t() + carry * self.keep ** (t[:n] + 1).to(drive.dtype)
        carry = out[:, -1:]
        outs.append(out)
    return torch.cat(outs, dim=1)
""",
        "difference_form": """
def forward(self, drive):
    state, states = torch.zeros_like(drive[:, 0]), []
    for x in drive.unbind(1):
        state = state + (1.0 - self.keep) * (x - state)
        states.append(state)
    return torch.stack(states, dim=1)
""",
    },
    "prefix_totals_by_ones_matrix": {
        "two_levels": """
def forward(self, table):
    block = 64
    tiles = table.view(-1, block, table.shape[1])
    inside = torch.tril(torch.ones(block, block)) @ tiles
    before = torch.cumsum(inside[:, -1], dim=0) - inside[:, -1]
    return (inside + before.unsqueeze(1)).view_as(table)
""",
        "row_by_row": """
def forward(self, table):
    total, rows = torch.zeros_like(table[0]), []
    for row in table:
        total = total + row
        rows.append(total)
    return torch.stack(rows)
""",
        "doubling": """
def forward(self, table):
    step = 1
    while step < table.shape[0]:
        table = torch.cat([table[:step], table[step:] + table[:-step]])
        step *= 2
    return table
""",
    },
    "running_peak_of_signals": {
        "doubling": """
def forward(self, signal):
    step = 1
    while step < signal.shape[1]:
        signal = torch.cat([signal[:, :step], torch.maximum(signal[:, step:], signal[:, :-step])], dim=1)
        step *= 2
    return signal
""",
    },
    "causal_score_softmax": {
        "multiplied_mask": """
def forward(self, scores):
    keep = torch.ones(scores.shape[-2:]).tril()
    masked = scores.masked_fill(keep == 0, float("-inf"))
    weights = torch.exp(scores.minimum(masked.amax(dim=-1, keepdim=True)) - masked.amax(dim=-1, keepdim=True)) * keep
    return weights / weights.sum(dim=-1, keepdim=True)
""",
    },
    "channel_softmax_planes": {
        "channels_last_rows": """
def forward(self, logits):
    rows = logits.permute(0, 2, 3, 1).contiguous()
    return torch.softmax(rows, dim=-1).permute(0, 3, 1, 2)
""",
    },
    "mixture_of_softmaxes": {
        "log_space": """
def forward(self, prior_logits, component_logits):
    prior = torch.log_softmax(prior_logits, dim=1).unsqueeze(2)
    return torch.logsumexp(prior + torch.log_softmax(component_logits, dim=2), dim=1).exp()
""",
        "one_normaliser": """
def forward(self, prior_logits, component_logits):
    weights = torch.exp(component_logits - component_logits.amax(dim=2, keepdim=True))
    prior = torch.softmax(prior_logits, dim=1) / weights.sum(dim=2)
    return torch.einsum("ek,ekc->ec", prior, weights)
""",
    },
    "row_shift_softmax": {
        "bias_as_factor": """
def forward(self, interaction, user_bias):
    top = (interaction + self.item_bias).amax(dim=1, keepdim=True)
    weights = torch.exp((interaction + self.item_bias - top) / self.temperature)
    return weights / weights.sum(dim=1, keepdim=True)
""",
    },
    "soft_argmax_keypoints": {
        "divide_at_the_end": """
def forward(self, heatmaps):
    weights = torch.exp(heatmaps - heatmaps.amax(dim=(2, 3), keepdim=True))
    total = weights.sum(dim=(2, 3))
    x = torch.einsum("bkhw,w->bk", weights, self.xs) / total
    y = torch.einsum("bkhw,h->bk", weights, self.ys) / total
    return torch.stack([x, y], dim=-1)
""",
    },
    "softmax_entropy_rows": {
        "logsumexp_less_mean": """
def forward(self, logits):
    return torch.logsumexp(logits, dim=-1) - (torch.softmax(logits, dim=-1) * logits).sum(dim=-1)
""",
    },
}
