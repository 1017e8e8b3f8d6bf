"""The evaluator as a reward function: for trainers that are not ours, in the form that TRL's GRPOTrainer calls.

A data set row is a prompt and a task id (`reward_rows`); the trainer hands back completions with the ids, and gets one
number each. Programs are found in completions, judged and rewarded as in `ttt` and `rlvr`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self, cast

from longodds.config import EvaluationSettings
from longodds.errors import InfraError, UserError
from longodds.prompts import build_prompt, extract_program
from longodds.strategies.opening import open_settings_evaluator
from longodds.strategies.rewards import reward_of
from longodds.tasks import load_task
from longodds.types import Status, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from longodds.strategies.rewards import Reward as Kind
    from longodds.types import Evaluator, Prompt, Verdict

    Text = str | Sequence[Mapping[str, Any]]


def reward(prompts: Sequence[Any], completions: Sequence[Text], **columns: Any) -> list[float]:
    """One reward per completion: 0 unless its program is correct, else its verified speedup (`Reward`, by default).

    columns: `task_id`, one id per completion; further columns of the data set are ignored. Opens an evaluator for this
    call, which takes seconds; keep a `Reward` where many calls follow. Raises as `Reward`.
    """
    with Reward() as function:
        return function(prompts, completions, **columns)


class Reward:
    """A reward function that keeps its evaluator open between calls; a context manager.

    Called as TRL calls one: `(prompts=, completions=, task_id=, ...)`, lists of one length, completions as texts or as
    chat messages, of which the last is the answer. Calls from several threads take turns, since timings don't run side
    by side. `__name__` is what trainers log it under.
    """

    def __init__(
        self,
        settings: EvaluationSettings | None = None,
        *,
        reward: Kind = "verified",
        style: str = "forward-body",
        tasks: Iterable[Task] = (),
        evaluator: Evaluator | None = None,
    ) -> None:
        """settings: of the evaluator, opened at the first call. reward: `verified`, `speedup` or `correct`, which times
        nothing (see `reward_of`). style: what the prompts ask for. tasks: beside those that ids find. evaluator: used
        instead of one that the settings name, and left open.
        """
        self.__name__ = f"longodds_{reward}"
        self._settings = settings or EvaluationSettings()
        self._kind: Kind = reward
        self._style = style
        self._tasks = {t.id: t for t in tasks}
        self._evaluator = evaluator
        self._opened: Any = None
        self._lock = threading.Lock()

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Rewards in the order of the completions. Raises UserError for a column `task_id` that is missing, of another
        length or names no task, InfraError where a program got no verdict, which is never scored as wrong."""
        if "task_id" not in columns:
            raise UserError("reward: the data set has no column 'task_id'; make its rows with longodds.reward_rows")
        ids = columns["task_id"]
        if isinstance(ids, str) or len(ids) != len(completions):
            raise UserError(
                f"reward: column 'task_id' must name one task for each of the {len(completions)} completions"
            )
        return [reward_of(v, self._kind) for v in self.verdicts(ids, completions)]

    def verdicts(self, task_ids: Sequence[str], completions: Sequence[Text]) -> list[Verdict]:
        """The verdict on each completion, equal programs of a task judged once. Raises as a call."""
        by_task: dict[str, list[int]] = {}
        for position, task_id in enumerate(task_ids):
            by_task.setdefault(task_id, []).append(position)
        found: dict[int, Verdict] = {}
        with self._lock:
            evaluator = self._open()
            for task_id, positions in by_task.items():
                task = self._task(task_id)
                programs = [extract_program(text_of(completions[i]), task, self._style) for i in positions]
                for at, verdict in evaluator.evaluate_many(task, programs, timed=self._kind != "correct"):
                    found[positions[at]] = self._settled(evaluator, task, programs[at], verdict)
        return [found[i] for i in range(len(task_ids))]

    def _settled(self, evaluator: Evaluator, task: Task, program: str, verdict: Verdict) -> Verdict:
        """The verdict, had once more where the infrastructure failed."""
        if verdict.status is Status.INFRA_ERROR:
            verdict = evaluator.evaluate(task, program, timed=self._kind != "correct")
        if verdict.status is Status.INFRA_ERROR:
            raise InfraError(f"{task.id}: a program got no verdict, twice: {verdict.message}")
        return verdict

    def _task(self, task_id: str) -> Task:
        if task_id not in self._tasks:
            self._tasks[task_id] = load_task(task_id)
        return self._tasks[task_id]

    def _open(self) -> Evaluator:
        if self._evaluator is None:
            self._evaluator = self._opened = open_settings_evaluator(self._settings)
        return self._evaluator

    def close(self) -> None:
        """Ends the evaluator's processes, if this object opened them."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = self._evaluator = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reward_rows(tasks: Iterable[Task], *, style: str = "forward-body", form: str = "chat") -> list[dict[str, Any]]:
    """Rows of a data set for other trainers, one a task: `prompt` (a text, or chat messages) and `task_id`. Raises
    UserError for an unknown style or form."""
    return [{"prompt": _plain(build_prompt(task, style, form)), "task_id": task.id} for task in tasks]


def _plain(prompt: Prompt) -> str | list[dict[str, str]]:
    if prompt.messages is None:
        return prompt.text or ""
    return [{"role": m.role, "content": m.content} for m in prompt.messages]


def text_of(completion: Text) -> str:
    """The text of a completion: itself, or the content of the last of its messages."""
    if isinstance(completion, str):
        return completion
    last = cast("Mapping[str, Any]", completion[-1]) if len(completion) else {}
    return str(last.get("content") or "")
