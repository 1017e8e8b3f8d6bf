"""Honest rewrites by hand: elementwise, indexing, losses and products.

Other algebra, other algorithms, weights prepared ahead. Task -> kind -> methods that replace or join those of the
reference's class.
"""

from __future__ import annotations

REWRITES: dict[str, dict[str, str]] = {
    "adam_parameter_step": {
        "scalars_folded": """
def forward(self, weight, grad, exp_avg, exp_avg_sq):
    c1, c2 = 1 - self.beta1**self.step, 1 - self.beta2**self.step
    top = (self.lr * self.beta1 / c1) * exp_avg + (self.lr * (1 - self.beta1) / c1) * grad
    root = torch.sqrt((self.beta2 / c2) * exp_avg_sq + ((1 - self.beta2) / c2) * grad * grad)
    return weight - top / (root + self.eps)
""",
    },
    "layered_alpha_composite": {
        "front_to_back": """
def forward(self, background, layers, alphas):
    out, clear = torch.zeros_like(background), torch.ones_like(alphas[0])
    for layer, alpha in zip(reversed(layers), reversed(alphas)):
        out = out + clear * alpha * layer
        clear = clear * (1.0 - alpha)
    return out + clear * background
""",
        "difference_form": """
def forward(self, background, layers, alphas):
    canvas = background
    for layer, alpha in zip(layers, alphas):
        canvas = canvas + alpha * (layer - canvas)
    return canvas
""",
    },
    "gated_state_update": {
        "difference_form": """
def forward(self, state, proposal, gate_logits):
    return state + (proposal - state) / (1.0 + torch.exp(-gate_logits))
""",
    },
    "power_series_activation": {
        "estrin": """
def forward(self, x):
    a = self.coefficients
    square = x * x
    return (a[0] + a[1] * x) + square * ((a[2] + a[3] * x) + square * (a[4] + a[5] * x))
""",
        "powers_one_by_one": """
def forward(self, x):
    total, power = torch.full_like(x, self.coefficients[0].item()), x
    for c in self.coefficients[1:]:
        total = total + power * c
        power = power * x
    return total
""",
        "highest_first": """
def forward(self, x):
    powers = torch.stack([x**k for k in reversed(range(len(self.coefficients)))], dim=-1)
    return powers @ self.coefficients.flip(0)
""",
    },
    "rank_one_perturbation": {
        "scaled_vector": """
def forward(self, matrix, left, right):
    return torch.addr(matrix, left * self.alpha, right)
""",
    },
    "scaled_exponential_units": {
        "written_out": """
def forward(self, features):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * (features.clamp(min=0.0) + alpha * torch.expm1(features.clamp(max=0.0)))
""",
    },
    "signed_log_compress": {
        "other_base": """
def forward(self, wave):
    return torch.sign(wave) * torch.log1p(self.mu * wave.abs()) * (1.0 / math.log1p(self.mu))
""",
    },
    "tanh_gelu_expanded": {
        "sigmoid_form": """
def forward(self, x):
    return x * torch.sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))
""",
    },
    "candidate_logits": {
        "multiply_and_sum": """
def forward(self, hidden, candidates):
    rows = self.output.weight[candidates]
    return (rows * hidden.unsqueeze(1)).sum(dim=-1) + self.output.bias[candidates]
""",
        "one_candidate_at_a_time": """
def forward(self, hidden, candidates):
    columns = [(hidden * self.output.weight[c]).sum(dim=1) + self.output.bias[c] for c in candidates.unbind(1)]
    return torch.stack(columns, dim=1)
""",
    },
    "keep_top_entries": {
        "kth_value": """
def forward(self, scores):
    threshold = scores.kthvalue(scores.shape[1] - self.keep + 1, dim=1, keepdim=True).values
    return scores * (scores >= threshold)
""",
    },
    "label_histogram": {
        "bincount": """
def forward(self, labels):
    rows = labels.shape[0]
    shifted = labels + self.classes * torch.arange(rows).unsqueeze(1)
    return torch.bincount(shifted.flatten(), minlength=rows * self.classes).view(rows, self.classes)
""",
        "comparisons": """
def forward(self, labels):
    return torch.stack([(labels == c).sum(dim=1) for c in range(self.classes)], dim=1)
""",
    },
    "mean_token_vectors": {
        "counts_times_table": """
def forward(self, tokens):
    counts = torch.zeros(tokens.shape[0], self.table.shape[0])
    counts.scatter_add_(1, tokens, torch.ones(tokens.shape))
    return (counts @ self.table) / tokens.shape[1]
""",
        "token_by_token": """
def forward(self, tokens):
    total = torch.zeros(tokens.shape[0], self.table.shape[1])
    for column in tokens.unbind(1):
        total += self.table[column]
    return total * (1.0 / tokens.shape[1])
""",
    },
    "onehot_codebook_lookup": {
        "embedding": """
def forward(self, codes):
    return F.embedding(codes, self.codebook)
""",
    },
    "segment_peaks": {
        "index_reduce": """
def forward(self, points, group):
    peaks = points.new_full((self.groups, points.shape[1]), self.floor)
    return torch.index_reduce(peaks, 0, group, points, "amax")
""",
        "sorted_groups": """
def forward(self, points, group):
    order = torch.argsort(group)
    sizes = torch.bincount(group, minlength=self.groups).tolist()
    floor = torch.full((1, points.shape[1]), self.floor)
    return torch.stack([torch.cat([floor, p]).amax(dim=0) for p in points[order].split(sizes)])
""",
    },
    "swap_rows_and_scale": {
        "gather_weighted": """
def forward(self, values, order, weight):
    return values[order] * weight[:, None]
""",
        "scatter_back": """
def forward(self, values, order, weight):
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.shape[0])
    out = torch.empty_like(values)
    out[inverse] = values * weight[inverse].unsqueeze(1)
    return out
""",
    },
    "edge_differences": {
        "negated": """
def forward(self, nodes, source, target):
    return (nodes[target] - nodes[source]).neg_()
""",
    },
    "diagonal_gaussian_divergence": {
        "exponent_of_difference": """
def forward(self, q_mean, q_logvar, p_mean, p_logvar):
    ratio = torch.exp(q_logvar - p_logvar)
    offset = (q_mean - p_mean).square() * torch.exp(-p_logvar)
    return 0.5 * (ratio + offset - (q_logvar - p_logvar) - 1.0).sum(dim=1)
""",
        "count_taken_at_once": """
def forward(self, q_mean, q_logvar, p_mean, p_logvar):
    spread = (torch.exp(q_logvar) + (q_mean - p_mean) ** 2) / torch.exp(p_logvar)
    return 0.5 * ((p_logvar - q_logvar).sum(dim=1) + (spread - 1.0).sum(dim=1))
""",
    },
    "mahalanobis_energy_of_samples": {
        "einsum": """
def forward(self, samples):
    offset = samples - self.centre
    return 0.5 * torch.einsum("ni,ij,nj->n", offset, self.precision, offset)
""",
        "symmetric_part": """
def __init__(self, dim):
    super().__init__()
    self.centre = nn.Parameter(torch.randn(dim))
    self.precision = nn.Parameter(torch.eye(dim) + torch.randn(dim, dim) / dim)
    self.half = (0.25 * (self.precision + self.precision.t())).detach()

def forward(self, samples):
    offset = samples - self.centre
    return ((offset @ self.half) * offset).sum(dim=1)
""",
    },
    "one_hot_cross_entropy": {
        "shifted_by_label": """
def forward(self, scores, labels):
    picked = scores.gather(1, labels.unsqueeze(1))
    return torch.logsumexp(scores - picked, dim=1)
""",
    },
    "paired_view_contrastive_loss": {
        "logsumexp_less_diagonal": """
def forward(self, view_a, view_b):
    similarity = (view_a @ view_b.T) / self.temperature
    return torch.logsumexp(similarity, dim=1) - similarity.diagonal()
""",
        "own_products_apart": """
def forward(self, view_a, view_b):
    own = (view_a * view_b).sum(dim=1) / self.temperature
    return torch.logsumexp(view_a @ (view_b / self.temperature).T, dim=1) - own
""",
    },
    "prototype_cosine_loss": {
        "library_cosine": """
def forward(self, features, labels):
    return 1.0 - nn.functional.cosine_similarity(features, self.prototypes[labels], dim=1, eps=0.0)
""",
        "one_division": """
def forward(self, features, labels):
    chosen = self.prototypes[labels]
    lengths = features.square().sum(dim=1) * chosen.square().sum(dim=1)
    return 1.0 - (features * chosen).sum(dim=1) * torch.rsqrt(lengths)
""",
    },
    "robust_regression_huber": {
        "clamped_size": """
def forward(self, predicted, observed):
    size = (predicted - observed).abs()
    inner = size.clamp(max=self.delta)
    return (inner * (size - 0.5 * inner)).mean(dim=1)
""",
        "smooth_l1": """
def forward(self, predicted, observed):
    loss = nn.functional.smooth_l1_loss(predicted, observed, beta=self.delta, reduction="none")
    return self.delta * loss.mean(dim=1)
""",
    },
    "tag_loss_with_positive_weights": {
        "library_loss": """
def forward(self, logits, targets):
    loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.positive_weight, reduction="none")
    return loss.mean(dim=1)
""",
        "softplus_form": """
def forward(self, logits, targets):
    loss = self.positive_weight * targets * F.softplus(-logits) + (1.0 - targets) * F.softplus(logits)
    return loss.sum(dim=1) / logits.shape[1]
""",
    },
    "adapter_merged_linear": {
        "merged_in_init": """
def __init__(self, in_features, out_features, rank, strength):
    super().__init__()
    self.base = nn.Linear(in_features, out_features)
    self.down = nn.Parameter(torch.randn(rank, in_features) / in_features**0.5)
    self.up = nn.Parameter(torch.randn(out_features, rank) / rank**0.5)
    merged = torch.addmm(self.base.weight, self.up, self.down, alpha=strength)
    self.merged = merged.detach().t().contiguous()

def forward(self, x):
    return torch.addmm(self.base.bias, x, self.merged)
""",
        "hook_merges": """
def load_reference(self, state):
    update = self.strength * state["up"].double() @ state["down"].double()
    self.weight = (state["base.weight"] + update).to(state["up"].dtype)
    self.bias = state["base.bias"]

def forward(self, x):
    return F.linear(x, self.weight, self.bias)
""",
    },
    "blended_outer_update": {
        "rank_by_rank": """
def forward(self, memory, keys, values):
    out = memory * self.decay
    for i in range(keys.shape[2]):
        out.addcmul_(keys[:, :, i : i + 1], values[:, i : i + 1], value=self.rate)
    return out
""",
    },
    "projected_sequence_mean": {
        "project_the_mean": """
def forward(self, sequence):
    return self.projection(sequence.mean(dim=1))
""",
        "step_by_step": """
def forward(self, sequence):
    total = torch.zeros(sequence.shape[0], self.projection.out_features)
    for step in sequence.unbind(1):
        total += step @ self.projection.weight.t()
    return total / sequence.shape[1] + self.projection.bias
""",
    },
    "trace_of_matrix_products": {
        "einsum": """
def forward(self, left, right):
    return torch.einsum("bpq,bqp->b", left, right)
""",
        "dot_of_flattened": """
def forward(self, left, right):
    flat = right.transpose(1, 2).flatten(1)
    return torch.bmm(left.flatten(1).unsqueeze(1), flat.unsqueeze(2)).view(-1)
""",
    },
    "transition_power_rollout": {
        "squares_first": """
def forward(self, transition, states):
    square = transition @ transition
    for _ in range(self.steps // 2):
        states = square @ states
    return states
""",
        "cube_twice": """
def forward(self, transition, states):
    cube = transition @ transition @ transition
    return cube @ (cube @ states)
""",
    },
    "diagonal_plus_low_rank_operator": {
        "one_thin_product": """
def forward(self, vectors):
    return vectors * self.diagonal[:, None] + torch.einsum("dr,er,en->dn", self.u, self.v, vectors)
""",
    },
    "grouped_block_diagonal_layer": {
        "einsum": """
def forward(self, tokens):
    groups, width, _ = self.blocks.shape
    return torch.einsum("tgi,gij->tgj", tokens.view(-1, groups, width), self.blocks).flatten(1) + self.bias
""",
        "group_by_group": """
def forward(self, tokens):
    width = self.blocks.shape[1]
    return torch.cat([p @ b for p, b in zip(tokens.split(width, dim=1), self.blocks)], dim=1) + self.bias
""",
    },
    "householder_reflect_columns": {
        "unit_vector": """
def forward(self, v, m):
    u = v / torch.linalg.vector_norm(v)
    return m - 2.0 * u[:, None] * (u @ m)
""",
    },
    "kronecker_operator": {
        "outer_first": """
def forward(self, outer_factor, inner_factor, x):
    a, b = outer_factor.shape[0], inner_factor.shape[0]
    mixed = torch.einsum("ij,jkn->ikn", outer_factor, x.view(a, b, -1))
    return torch.einsum("kl,iln->ikn", inner_factor, mixed).reshape(x.shape)
""",
    },
    "lower_triangular_product": {
        "recursive": """
def forward(self, first, second):
    def product(a, b):
        n = a.shape[0]
        if n <= 112:
            return torch.tril(a) @ torch.tril(b)
        h = n // 2
        out = torch.zeros(n, n)
        out[:h, :h] = product(a[:h, :h], b[:h, :h])
        out[h:, h:] = product(a[h:, h:], b[h:, h:])
        out[h:, :h] = a[h:, :h] @ torch.tril(b[:h, :h]) + torch.tril(a[h:, h:]) @ b[h:, :h]
        return out

    return product(first, second)
""",
    },
    "row_column_rescaling": {
        "outer_product": """
def forward(self, left, matrices, right):
    return matrices * torch.outer(left, right)
""",
    },
    "symmetrised_coupling": {
        "two_products": """
def forward(self, states):
    return 0.5 * (self.coupling @ states) + 0.5 * (self.coupling.T @ states)
""",
        "symmetrised_in_init": """
def __init__(self, sites):
    super().__init__()
    self.coupling = nn.Parameter(torch.randn(sites, sites) / sites**0.5)
    self.symmetric = (0.5 * (self.coupling + self.coupling.T)).detach()

def forward(self, states):
    return self.symmetric @ states
""",
    },
    "toeplitz_from_taps": {
        "fourier": """
def forward(self, taps, signals):
    n = signals.shape[0]
    size = 4 * n
    product = torch.fft.rfft(taps, size)[:, None] * torch.fft.rfft(signals, size, dim=0)
    return torch.fft.irfft(product, size, dim=0)[n - 1 : 2 * n - 1].contiguous()
""",
        "convolution": """
def forward(self, taps, signals):
    n = signals.shape[0]
    padded = torch.nn.functional.pad(signals.t().unsqueeze(1), (n - 1, n - 1))
    return torch.conv1d(padded, taps.flip(0).view(1, 1, -1)).squeeze(1).t()
""",
    },
}
