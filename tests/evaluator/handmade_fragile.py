"""Rewrites that are equal in exact arithmetic but lose digits where the reference does not, or leave its domain.

They are measured (`margins.py`), and no verdict is demanded of them. Task -> kind -> methods, as in `handmade_*`.
"""

from __future__ import annotations

REWRITES: dict[str, dict[str, str]] = {
    "token_layer_norm": {
        "moments": """
def forward(self, tokens):
    mean = tokens.mean(dim=-1, keepdim=True)
    variance = (tokens * tokens).mean(dim=-1, keepdim=True) - mean * mean
    return (tokens - mean) * torch.rsqrt(variance.clamp(min=0.0) + self.eps) * self.gain + self.shift
""",
    },
    "residual_layer_norm": {
        "moments": """
def forward(self, x, branch):
    x = x + branch
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.square().mean(dim=-1, keepdim=True) - mean.square()
    x = (x - mean) * torch.rsqrt(variance.clamp(min=0.0) + self.norm.eps)
    return x * self.norm.weight + self.norm.bias
""",
    },
    "column_standardization": {
        "moments": """
def forward(self, data):
    n = data.shape[0]
    mean = data.mean(dim=0)
    variance = (data.square().sum(dim=0) - n * mean.square()) / (n - 1)
    return (data - mean) / (variance.clamp(min=0.0).sqrt() + self.eps)
""",
    },
    "forget_gate_memory": {
        "tanh_by_sigmoid": """
def forward(self, gate, content, h):
    outputs = []
    for i in range(gate.shape[1]):
        f = torch.sigmoid(gate[:, i])
        h = f * h + (1 - f) * (2.0 * torch.sigmoid(2.0 * content[:, i]) - 1.0)
        outputs.append(h)
    return torch.stack(outputs, dim=1)
""",
    },
    "recurrent_encoder": {
        "tanh_by_sigmoid": """
def forward(self, sequence):
    state = sequence.new_zeros(sequence.shape[0], self.carry.in_features)
    for step in range(sequence.shape[1]):
        state = 2.0 * torch.sigmoid(2.0 * (self.read(sequence[:, step]) + self.carry(state))) - 1.0
    return state
""",
    },
    "scaled_exponential_units": {
        "exponential_less_one": """
def forward(self, features):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * torch.where(features > 0, features, alpha * (torch.exp(features) - 1.0))
""",
    },
    "signed_log_compress": {
        "log_of_one_plus": """
def forward(self, wave):
    return torch.sign(wave) * torch.log(1.0 + self.mu * wave.abs()) / math.log(1.0 + self.mu)
""",
    },
    "mahalanobis_energy_of_samples": {
        "expanded": """
def forward(self, samples):
    p, c = self.precision, self.centre
    quadratic = ((samples @ p) * samples).sum(dim=1)
    return 0.5 * (quadratic - samples @ (p @ c) - samples @ (p.t() @ c) + c @ p @ c)
""",
    },
    "survival_curve_from_hazards": {
        "sum_of_logarithms": """
def forward(self, hazard):
    return torch.exp(torch.cumsum(torch.log1p(-hazard), dim=1))
""",
    },
    "leaky_integrator_states": {
        "scaled_cumsum": """
def forward(self, drive):
    power = self.keep ** torch.arange(drive.shape[1], dtype=drive.dtype)
    return (1.0 - self.keep) * power * torch.cumsum(drive / power, dim=1)
""",
    },
    "rotary_phase_rotation": {
        "tables_recomputed": """
def forward(self, query):
    length, width = query.shape[1:]
    inv_freq = 10000.0 ** (-2.0 * torch.arange(width // 2, dtype=torch.float32) / width)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * inv_freq
    first, second = query.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
""",
    },
    "soft_argmax_keypoints": {
        "grid_recomputed": """
def forward(self, heatmaps):
    b, k, h, w = heatmaps.shape
    prob = torch.softmax(heatmaps.flatten(2), dim=-1).view(b, k, h, w)
    x = (prob.sum(dim=2) * torch.linspace(-1.0, 1.0, w)).sum(dim=-1)
    y = (prob.sum(dim=3) * torch.linspace(-1.0, 1.0, h)).sum(dim=-1)
    return torch.stack([x, y], dim=-1)
""",
    },
}
