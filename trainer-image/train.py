"""The experiment: a small GPT trained from scratch inside a wall-clock budget. Everything here may be changed.

Only two things are fixed, because the exam relies on them: `load_model(artifact_dir)` returns the trained
module, which maps tokens (B, T) to logits (B, T, V), each row and position from its own past alone; and
running this file trains it and leaves the artifact before the budget ends. One code path serves a modern
GPU (five minutes) and two CPU cores (twenty seconds); only the constants below differ.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from prepare import Tokenizer, make_dataloader

# Threads that wait must sleep: spinning beside a busy neighbour makes a step five times slower. Read by torch's import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# ---------------------------------------------------------------------------
# Hyper-parameters. Only the block of the device in use counts; behind each: unit, sensible range or choices.

if DEVICE == "cuda":
    # One modern GPU, 300 seconds.
    # Model
    DEPTH = 8  # layers, 4 to 16
    WIDTH = 512  # channels, a multiple of HEAD_DIM, 256 to 1024
    HEAD_DIM = 128  # channels per attention head, 64 or 128
    MLP_RATIO = 4.0  # hidden channels per channel, 2 to 8
    ACTIVATION = "relu2"  # relu2 | gelu | swiglu
    VALUE_EMBEDDINGS = "alternate"  # none | alternate | all: layers whose values also look up the token itself
    QK_NORM = True  # True | False: queries and keys of unit RMS keep attention logits bounded
    TIE_EMBEDDINGS = False  # True | False
    ROPE_BASE = 10_000.0  # longest wavelength in tokens / 2 pi, 1e3 to 1e6
    LOGIT_SOFTCAP = 15.0  # logits are squashed into +-this, 10 to 50; 0 = off
    # Batch
    SEQUENCE_LENGTH = 2048  # tokens, 512 to 2048
    DEVICE_BATCH_SIZE = 32  # sequences per forward pass, as many as memory holds
    TOTAL_BATCH_SIZE = 262_144  # tokens per optimiser step, 65_536 to 1_048_576
    # Optimiser
    MATRIX_LR = 0.04  # Muon, per step, 0.01 to 0.1
    EMBEDDING_LR = 0.6  # AdamW, 0.1 to 1
    UNEMBEDDING_LR = 0.005  # AdamW, 0.001 to 0.02
    SCALAR_LR = 0.01  # AdamW, residual weights, 0.001 to 0.1
    MATRIX_WEIGHT_DECAY = 0.2  # fraction of the learning rate, 0 to 0.5
    MUON_MOMENTUM = 0.95  # 0.8 to 0.98
    NEWTON_SCHULZ_STEPS = 5  # iterations, 3 to 7
    ADAM_BETA1 = 0.8  # 0.7 to 0.95
    ADAM_BETA2 = 0.95  # 0.9 to 0.999
    GRADIENT_CLIP = 0.0  # largest gradient norm, 0.1 to 10; 0 = off
    # Schedule, as fractions of the training time
    WARMUP_RATIO = 0.0  # 0 to 0.1
    WARMDOWN_RATIO = 0.5  # 0.2 to 0.9
    FINAL_LR_FRACTION = 0.0  # of the peak, 0 to 0.1
    # Numbers and kernels
    PRECISION = "bfloat16"  # bfloat16 | float32: of matrix products; weights stay float32
    COMPILE = True  # True | False: pays for itself within the budget here
else:
    # Two CPU cores, 20 seconds.
    # Model
    DEPTH = 2  # layers, 1 to 6
    WIDTH = 96  # channels, a multiple of HEAD_DIM, 64 to 384
    HEAD_DIM = 32  # channels per attention head, 16 to 64
    MLP_RATIO = 2.0  # hidden channels per channel, 1 to 8
    ACTIVATION = "relu2"  # relu2 | gelu | swiglu
    VALUE_EMBEDDINGS = "all"  # none | alternate | all: layers whose values also look up the token itself
    QK_NORM = True  # True | False: queries and keys of unit RMS keep attention logits bounded
    TIE_EMBEDDINGS = False  # True | False
    ROPE_BASE = 10_000.0  # longest wavelength in tokens / 2 pi, 1e2 to 1e6
    LOGIT_SOFTCAP = 0.0  # logits are squashed into +-this, 10 to 50; 0 = off
    # Batch
    SEQUENCE_LENGTH = 128  # tokens, 64 to 512
    DEVICE_BATCH_SIZE = 16  # sequences per forward pass, 4 to 64
    TOTAL_BATCH_SIZE = 2048  # tokens per optimiser step, a multiple of the forward pass's, 1024 to 16384
    # Optimiser
    MATRIX_LR = 0.04  # Muon, per step, 0.01 to 0.1
    EMBEDDING_LR = 0.8  # AdamW, 0.1 to 3
    UNEMBEDDING_LR = 0.03  # AdamW, 0.003 to 0.1
    SCALAR_LR = 0.05  # AdamW, residual weights, 0.01 to 1
    MATRIX_WEIGHT_DECAY = 0.0  # fraction of the learning rate, 0 to 0.5
    MUON_MOMENTUM = 0.9  # 0.8 to 0.98
    NEWTON_SCHULZ_STEPS = 3  # iterations, 2 to 7
    ADAM_BETA1 = 0.8  # 0.7 to 0.95
    ADAM_BETA2 = 0.95  # 0.9 to 0.999
    GRADIENT_CLIP = 0.0  # largest gradient norm, 0.1 to 10; 0 = off
    # Schedule, as fractions of the training time
    WARMUP_RATIO = 0.0  # 0 to 0.1
    WARMDOWN_RATIO = 0.6  # 0.2 to 0.9
    FINAL_LR_FRACTION = 0.0  # of the peak, 0 to 0.1
    # Numbers and kernels
    PRECISION = "float32"  # bfloat16 | float32: of matrix products; few CPUs multiply bfloat16 faster
    COMPILE = False  # True | False: compiling takes longer than the whole budget


# ---------------------------------------------------------------------------
# Model


@dataclass(frozen=True)
class Config:
    """All that decides the shape of the weights and the forward pass; saved beside the weights."""

    vocabulary_size: int
    depth: int = DEPTH
    width: int = WIDTH
    head_dim: int = HEAD_DIM
    mlp_ratio: float = MLP_RATIO
    activation: str = ACTIVATION
    value_embeddings: str = VALUE_EMBEDDINGS
    qk_norm: bool = QK_NORM
    tie_embeddings: bool = TIE_EMBEDDINGS
    rope_base: float = ROPE_BASE
    logit_softcap: float = LOGIT_SOFTCAP
    precision: str = PRECISION


def norm(x: Tensor) -> Tensor:
    """RMSNorm without learnt gains: the matrices that follow can scale."""
    return F.rms_norm(x, (x.size(-1),))


def rotary_angles(length: int, head_dim: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine (T, head_dim / 2) of every position; made on the fly, so any length can be asked."""
    frequencies = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding of x (B, H, T, head_dim): pairs of channels turn with the position."""
    cosine, sine = rotary[0].to(x.dtype), rotary[1].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine + second * sine, second * cosine - first * sine), dim=-1)


class Attention(nn.Module):
    """Causal self-attention. With a value embedding, values also hold a gated lookup of the token itself."""

    GATE_CHANNELS = 16  # the gate reads the first few channels only, which is enough and cheap

    def __init__(self, config: Config, has_value_embedding: bool) -> None:
        super().__init__()
        self.qk_norm, self.head_dim, self.heads = config.qk_norm, config.head_dim, config.width // config.head_dim
        self.query_key_value = nn.Linear(config.width, 3 * config.width, bias=False)
        self.projection = nn.Linear(config.width, config.width, bias=False)
        self.value_embedding = nn.Embedding(config.vocabulary_size, config.width) if has_value_embedding else None
        self.gate = nn.Linear(self.GATE_CHANNELS, self.heads, bias=False) if has_value_embedding else None
        bound = (3 / config.width) ** 0.5  # a uniform distribution of standard deviation 1 / sqrt(width)
        nn.init.uniform_(self.query_key_value.weight, -bound, bound)
        nn.init.zeros_(self.projection.weight)  # blocks start as the identity
        if self.value_embedding is not None and self.gate is not None:
            nn.init.uniform_(self.value_embedding.weight, -bound, bound)
            nn.init.zeros_(self.gate.weight)

    def forward(self, x: Tensor, tokens: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        B, T, C = x.shape
        parts = self.query_key_value(x).view(B, T, 3, self.heads, self.head_dim)
        query, key, value = parts.unbind(dim=2)
        if self.value_embedding is not None and self.gate is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., : self.GATE_CHANNELS]))  # 1 at the start
            value = value + gate.unsqueeze(-1) * self.value_embedding(tokens).view_as(value).to(value.dtype)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        query, key = rotate(query, rotary), rotate(key, rotary)
        if self.qk_norm:
            query, key = norm(query), norm(key)
        query, key = query.to(value.dtype), key.to(value.dtype)  # autocast norms in float32
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        output: Tensor = self.projection(mixed.transpose(1, 2).reshape(B, T, C))
        return output


class MLP(nn.Module):
    """Two matrices with an activation between; swiglu has a third, and narrower ones to keep the size."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation = config.activation
        if self.activation not in ("relu2", "gelu", "swiglu"):
            raise ValueError(f"ACTIVATION {self.activation!r} is none of relu2, gelu, swiglu")
        gated = self.activation == "swiglu"
        hidden = round(config.mlp_ratio * config.width * (2 / 3 if gated else 1))
        self.expand = nn.Linear(config.width, 2 * hidden if gated else hidden, bias=False)
        self.projection = nn.Linear(hidden, config.width, bias=False)
        bound = (3 / config.width) ** 0.5
        nn.init.uniform_(self.expand.weight, -bound, bound)
        nn.init.zeros_(self.projection.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x)
        if self.activation == "relu2":
            x = F.relu(x).square()
        elif self.activation == "gelu":
            x = F.gelu(x)
        else:
            gate, x = x.chunk(2, dim=-1)
            x = F.silu(gate) * x
        output: Tensor = self.projection(x)
        return output


class GPT(nn.Module):
    """Tokens (B, T) to logits (B, T, V); with targets (B, T), to the mean loss in nats per token."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        layers = range(config.depth)
        embedded = {"none": layers[:0], "alternate": layers[(config.depth - 1) % 2 :: 2], "all": layers}
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.attentions = nn.ModuleList([Attention(config, i in embedded[config.value_embeddings]) for i in layers])
        self.mlps = nn.ModuleList([MLP(config) for _ in layers])
        self.unembedding = nn.Linear(config.width, config.vocabulary_size, bias=False)
        self.residual_weights = nn.Parameter(torch.ones(config.depth))  # of the stream, before each layer
        self.skip_weights = nn.Parameter(torch.full((config.depth,), 0.1))  # of the embedding, mixed in again
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.unembedding.weight, std=0.001)  # the first loss is ln V
        if config.tie_embeddings:
            self.unembedding.weight = self.embedding.weight

    def forward(self, tokens: Tensor, targets: Tensor | None = None) -> Tensor:
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits = self.raw_logits(tokens)
        logits = logits.float()
        if self.config.logit_softcap:
            logits = self.config.logit_softcap * torch.tanh(logits / self.config.logit_softcap)
        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def raw_logits(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) before the cap, in the precision of the matrix products."""
        rotary = rotary_angles(tokens.size(1), self.config.head_dim, self.config.rope_base, tokens.device)
        x = norm(self.embedding(tokens))
        x = start = x.bfloat16() if self.config.precision == "bfloat16" else x
        for layer, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            x = self.residual_weights[layer] * x + self.skip_weights[layer] * start
            x = x + attention(norm(x), tokens, rotary)
            x = x + mlp(norm(x))
        x = norm(x)
        if self.config.tie_embeddings:
            x = x / self.config.width  # or a token's own embedding, of norm sqrt(width), would predict itself
        logits: Tensor = self.unembedding(x)
        return logits

    def tables(self) -> list[Tensor]:
        """The weights of all lookups."""
        return [module.weight for module in self.modules() if isinstance(module, nn.Embedding)]

    def flops_per_token(self, length: int) -> float:
        """Forward and backward, a multiply-add counted as two; lookups are free, attention is not."""
        lookups = sum(table.numel() for table in self.tables())
        if self.config.tie_embeddings:
            lookups -= self.embedding.weight.numel()
        matrices = sum(parameter.numel() for parameter in self.parameters()) - lookups
        return 6 * matrices + 12 * self.config.depth * self.config.width * length


# ---------------------------------------------------------------------------
# Optimisers: Muon for the matrices inside the blocks, AdamW for everything else


def orthogonalise(G: Tensor, steps: int) -> Tensor:
    """The nearest (semi-)orthogonal matrix of each G (N, rows, columns), roughly, by Newton-Schulz iteration.

    Coefficients from Keller Jordan's Muon: singular values end within about 0.7 to 1.2, which is enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    X: Tensor = G.bfloat16() if G.is_cuda else G
    wide = X.size(-2) <= X.size(-1)
    X = X if wide else X.mT  # the smaller side first: its Gram matrix is the smaller one
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    X = X if wide else X.mT
    return X.to(G.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then orthogonalised, so that every direction of a matrix learns at the same pace."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float, steps: int
    ) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.shape, []).append(parameter)
        # One group per shape: its matrices are stacked and orthogonalised together.
        groups = [{"params": matrices} for matrices in by_shape.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": steps})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every matrix by its gradient."""
        for group in self.param_groups:
            matrices, state = group["params"], self.state[group["params"][0]]
            gradients = torch.stack([p.grad for p in matrices])
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(gradients)
            momentum = state["momentum"].lerp_(gradients, 1 - group["momentum"])
            updates = orthogonalise(gradients.lerp_(momentum, group["momentum"]), group["steps"])
            scale = group["lr"] * max(1.0, updates.size(-2) / updates.size(-1)) ** 0.5
            for matrix, update in zip(matrices, updates, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=scale)


def make_optimizers(model: GPT) -> list[torch.optim.Optimizer]:
    """Muon and AdamW over disjoint parameters, their peak rates remembered for the schedule."""
    tables, head = model.tables(), [] if model.config.tie_embeddings else [model.unembedding.weight]
    elsewhere = {id(parameter) for parameter in [*tables, *head]}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in elsewhere]
    groups = [
        {"params": tables, "lr": EMBEDDING_LR},
        {"params": head, "lr": UNEMBEDDING_LR},
        {"params": [p for p in model.parameters() if p.ndim == 1], "lr": SCALAR_LR},
    ]
    muon = Muon(
        matrices, lr=MATRIX_LR, momentum=MUON_MOMENTUM, weight_decay=MATRIX_WEIGHT_DECAY, steps=NEWTON_SCHULZ_STEPS
    )
    adamw = torch.optim.AdamW(groups, betas=(ADAM_BETA1, ADAM_BETA2), eps=1e-10, weight_decay=0.0, fused=True)
    for group in [*muon.param_groups, *adamw.param_groups]:
        group["peak_lr"] = group["lr"]
    return [muon, adamw]


def learning_rate_fraction(progress: float) -> float:
    """Fraction of the peak rate when a fraction of the training time has passed: up, flat, down."""
    if progress < WARMUP_RATIO:
        return progress / WARMUP_RATIO
    if progress < 1 - WARMDOWN_RATIO:
        return 1.0
    left = max(0.0, (1 - progress) / WARMDOWN_RATIO)
    return left + (1 - left) * FINAL_LR_FRACTION


# ---------------------------------------------------------------------------
# Memory and the artifact


def keep_freed_memory() -> None:
    """Stop glibc from returning big buffers to the kernel, which costs a sixth of every step on a CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent in other C libraries
    if mallopt is not None:
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes: allocate from the heap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes: and never trim it


def save_model(model: GPT, artifact: Path) -> None:
    """Write weights and shape; the weights move into place last, so a kill never leaves half of them."""
    artifact.mkdir(parents=True, exist_ok=True)
    (artifact / "config.json").write_text(json.dumps(asdict(model.config), indent=1))
    torch.save(model.state_dict(), artifact / "weights.pt.part")
    (artifact / "weights.pt.part").rename(artifact / "weights.pt")


def load_model(artifact_dir: str | Path) -> GPT:
    """The trained module in eval mode, on the GPU if there is one: tokens (B, T) to float32 logits (B, T, V)."""
    config = Config(**json.loads(Path(artifact_dir, "config.json").read_text()))
    model = GPT(config)
    model.load_state_dict(torch.load(Path(artifact_dir, "weights.pt"), map_location="cpu", weights_only=True))
    return model.to(DEVICE).eval()


# ---------------------------------------------------------------------------
# Training

SAVE_SECONDS = 3.0 if DEVICE == "cuda" else 0.8  # kept back from the budget to save the artifact and leave
LOSS_LIMIT = 100.0  # nats per token: a uniform guess over 8,192 tokens has 9, so the training has diverged
PEAK_FLOPS = 989e12 if DEVICE == "cuda" else 0.15e12  # of an H100 in bfloat16, of two AVX-512 cores in float32


def seconds_since_start() -> float:
    """Wall-clock seconds since the kernel started this process: interpreter and imports are in the budget too."""
    started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")


def peak_memory_mb() -> float:
    """Peak memory of the GPU, or of this process where there is none, in MiB."""
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def print_summary(model: GPT, *, training_seconds: float, tokens: int, steps: int) -> None:
    """Upstream's block, in upstream's order. No val_bpb: only the exam can see the validation text."""
    flops = model.flops_per_token(SEQUENCE_LENGTH) * tokens
    print("---")
    print(f"training_seconds: {training_seconds:.1f}")
    print(f"total_seconds:    {seconds_since_start():.1f}")
    print(f"peak_vram_mb:     {peak_memory_mb():.1f}")
    print(f"mfu_percent:      {100 * flops / max(training_seconds, 1e-9) / PEAK_FLOPS:.2f}")
    print(f"total_tokens_M:   {tokens / 1e6:.2f}")
    print(f"num_steps:        {steps}")
    print(f"num_params_M:     {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f}")
    print(f"depth:            {model.config.depth}")


def main() -> int:
    """Train until the budget is nearly over, save, and print the summary. Returns the exit code."""
    try:
        data, artifact = Path(os.environ["AUTORESEARCH_DATA"]), Path(os.environ["AUTORESEARCH_ARTIFACT"])
    except KeyError as error:
        print(
            f"train.py: {error.args[0]} is not set: name the folder that prepare.py made and one for the artifact",
            file=sys.stderr,
        )
        return 2
    budget = float(os.environ.get("AUTORESEARCH_TRAIN_SECONDS", "300" if DEVICE == "cuda" else "20"))
    seed = int(os.environ.get("AUTORESEARCH_SEED", "42"))
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")
    keep_freed_memory()

    config = Config(vocabulary_size=Tokenizer.load(data).vocabulary_size)
    model = GPT(config).to(DEVICE)
    optimizers = make_optimizers(model)
    compute_loss = torch.compile(model, dynamic=False) if COMPILE else model
    loader = make_dataloader(
        data, batch_size=DEVICE_BATCH_SIZE, sequence_length=SEQUENCE_LENGTH, seed=seed, device=DEVICE
    )
    accumulation = max(1, TOTAL_BATCH_SIZE // (DEVICE_BATCH_SIZE * SEQUENCE_LENGTH))
    tokens_per_step = accumulation * DEVICE_BATCH_SIZE * SEQUENCE_LENGTH
    gc.disable()  # collections stall a step for up to half a second, and nothing here makes cycles

    training_start, deadline = seconds_since_start(), budget - SAVE_SECONDS
    step, smooth_loss, longest_step = 0, 0.0, 0.0
    now = schedule_start = training_start
    while now + longest_step < deadline or step == 0:
        progress = min(1.0, (now - schedule_start) / max(deadline - schedule_start, 1e-9))
        fraction = learning_rate_fraction(progress)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["peak_lr"] * fraction

        losses = []
        for _ in range(accumulation):
            tokens, targets, epoch = next(loader)
            loss = compute_loss(tokens, targets) / accumulation
            loss.backward()
            losses.append(loss.detach())
        loss_value = torch.stack(losses).sum().item()
        if not math.isfinite(loss_value) or loss_value > LOSS_LIMIT:
            print(f"\nThe training diverged: the loss of step {step + 1} is {loss_value} (limit {LOSS_LIMIT:g}).")
            print("FAIL")
            return 1
        if GRADIENT_CLIP:
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)

        before, now, step = now, seconds_since_start(), step + 1
        if step == 1:
            schedule_start = now  # the first step compiles, for up to a minute: the schedule must not skip ahead
        else:
            longest_step = max(0.9 * longest_step, now - before)  # one stall is soon forgotten
        smooth_loss += (loss_value - smooth_loss) / min(step, 20)
        print(
            f"\rstep {step:05d} ({100 * progress:.1f}%) | loss: {smooth_loss:.6f} | lrm: {fraction:.2f} | "
            f"dt: {1000 * (now - before):.0f}ms | tok/sec: {tokens_per_step / (now - before):,.0f} | "
            f"epoch: {epoch} | remaining: {max(0.0, deadline - now):.0f}s    ",
            end="",
            flush=True,
        )
    print()
    save_model(model, artifact)
    print_summary(model, training_seconds=now - training_start, tokens=step * tokens_per_step, steps=step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
