"""What a run that revises is asked to do: everything of Best-of-N, and how attempts follow one another."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from longodds.config import MOST, BestOfNSettings


class RefineSettings(BestOfNSettings):
    """Sequential revision: each attempt is told what came of the ones before it."""

    chains: int = Field(default=1, ge=1, le=MOST)
    """Sequences of attempts per task and seed that go on beside each other; K counts the attempts of all."""
    history: int = Field(default=1, ge=1, le=MOST)
    """Earlier attempts of its sequence that an attempt is shown."""
    revise: Literal["last", "best"] = "last"
    """Which ones: the `last`, or the `best` by verdict, the best one nearest to the answer."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens per task and seed, prompts included, instead of --k: attempts go on until they are used up."""
    match: str | None = None
    """RUN of Best-of-N whose tokens are to be matched, task by task, instead of --k."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.tokens is not None and self.match is not None:
            raise ValueError("tokens and match both say when to stop; give one")
        if self.stop_gain is not None:
            raise ValueError("stop_gain is for best-of-n, whose samples are exchangeable; attempts are not")
        if self.time not in ("all", "none"):
            raise ValueError(f"time {self.time}: attempts are judged one after another; give all or none")
        return self
