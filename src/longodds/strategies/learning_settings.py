"""What a run that learns is asked to do: everything of Best-of-N, and how to learn from its samples."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from longodds.config import MOST, BestOfNSettings
from longodds.strategies.rewards import Baseline, Reward

Advantage = Literal["global", "group", "loo", "entropic"]


class LearningSettings(BestOfNSettings):
    """Rounds of sampling, judging and learning. One run has one seed and one learning rate."""

    steps: int = Field(default=5, ge=1, le=MOST)
    """Rounds of learning; step 0 is the policy as it was, and the last step is sampled but not learned from."""
    updates: int = Field(default=1, ge=1, le=MOST)
    """Optimiser steps per round, on the same samples."""
    lr: float = Field(default=1e-5, ge=0)
    """Learning rate of Adam; 0 is a control that learns nothing."""
    loss: Literal["importance_sampling", "ppo", "cispo"] = "importance_sampling"
    """Policy-gradient loss, summed over tokens as Tinker defines it; `ppo` and `cispo` take ratios at temperature 1."""
    reward: Reward = "verified"
    """`verified` (the speedup where it is told from 1, else 1), `speedup` (point estimate) or `correct`."""
    rank: int = Field(default=16, ge=1)
    """Rank of a new LoRA adapter."""
    grad_clip: float = Field(default=0.0, ge=0)
    """Largest norm of the gradient; 0 does not clip."""
    max_kl: float = Field(default=0.5, gt=0)
    """Stop learning beyond so many nats per token from step 0."""
    min_entropy: float = Field(default=0.0, ge=0)
    """Stop learning when samples have fewer nats per token."""

    @model_validator(mode="after")
    def _one_trajectory(self) -> Self:
        if len(self.seeds) != 1:
            raise ValueError("a run that learns has one seed; give each seed a RUN of its own")
        if self.stop_gain is not None:
            raise ValueError("stop_gain is for best-of-n; every round draws all its samples")
        if self.temperature == 0:
            raise ValueError("temperature 0 gives equal samples, and nothing can be learned from them")
        if self.time != "all" and self.reward != "correct":
            raise ValueError(f"reward {self.reward} needs timings: leave --time at all, or take --reward correct")
        return self


class RewardedSettings(LearningSettings):
    """Learning from rewards: a sample's tokens share one advantage."""

    advantage: Advantage = "group"
    """`global` (over all samples of a round, the seed release's), `group` (per task), `loo` or `entropic`."""
    baseline: Baseline = "task"
    """What a task's rewards are divided by: `none`, `task` (fixed in its first round) or `running-median`."""
    shuffle_rewards: bool = False
    """A control: rewards change places among the samples of a task."""


class AdaptationSettings(LearningSettings):
    """Learning on the very tasks that are asked for, with Best-of-Adaptation."""

    held_out: int = Field(default=8, ge=0, le=MOST)
    """Samples per task and step that are not learned from: by them the best step is chosen, and they are charged. 0:
    by the rollouts that were learned from (the seed release's way)."""
    stop_at_regression: bool = False
    """Stop at the first step that is worse than the one before it."""


class TTTSettings(AdaptationSettings, RewardedSettings):
    """Test-time training."""


class SDPOSettings(AdaptationSettings):
    """Self-distillation: a teacher, the same model told more, says how likely each token should have been.

    `reward` only names what rounds are compared and guarded by.
    """

    feedback: bool = True
    """Tell the teacher the verdict on the sample. Without (prompt-only) verdicts teach nothing but by `solution`."""
    solution: bool = False
    """Show the teacher another correct program of the task and round: the one verified fastest, else the shortest."""
    teacher: Literal["student", "base", "ema"] = "student"
    """Weights of the teacher: of now (`student`), of step 0 (`base`), or the moving average of the adapters (`ema`)."""
    ema_decay: float = Field(default=0.9, ge=0, lt=1)
    """Share of the average that a step keeps of the one before it, with teacher ema."""
    beta: float = Field(default=1.0, gt=0)
    """Multiplies the advantages."""
    clip_advantage: float = Field(default=5.0, ge=0)
    """Largest size of a token's advantage, nats times beta; 0 does not clip (the seed release's way)."""


class RLVRSettings(RewardedSettings):
    """The outer loop: reinforcement learning on the train half, judged on the other."""

    subset: Literal["train", "eval"] | None = "train"
    """Which half is learned from: `train` alone; the other is judged on."""
    steps: int = Field(default=40, ge=1, le=MOST)
    """Rounds of learning, a batch of tasks each; epochs of the shuffled tasks follow one another."""
    k: int = Field(default=8, ge=1, le=MOST)
    """Samples per task: the size of a group."""
    batch_tasks: int = Field(default=8, ge=1)
    """Tasks per round."""
    eval_every: int = Field(default=10, ge=1)
    """Judge the policy on the eval half every so many steps, and at the first and the last."""
    eval_k: int = Field(default=8, ge=1, le=MOST)
    """Samples per task of these."""
    eval_tasks: int | None = Field(default=None, ge=1)
    """At most so many tasks of the eval half."""

    @model_validator(mode="after")
    def _train_half(self) -> Self:
        if self.subset != "train":
            raise ValueError("subset: rlvr trains on the train half and is judged on the eval half; leave it at train")
        return self
