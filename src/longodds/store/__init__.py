"""Append-only run directories: created, resumed after a kill at any byte, read by everything above."""

from __future__ import annotations

from longodds.store.checkpoints import CheckpointRow
from longodds.store.cost import PRICES, cost_document, derive_cost, judging_seconds, money, sampled_tokens, scored_again
from longodds.store.exporting import Exported, export_samples
from longodds.store.importing import Imported, import_samples
from longodds.store.jsonl import JsonlWriter, read_records
from longodds.store.rows import TaskRecord, VerdictRow, owed_indices, sample_id
from longodds.store.rundir import RunDir, refuse_own_file

__all__ = [
    "PRICES",
    "CheckpointRow",
    "Exported",
    "Imported",
    "JsonlWriter",
    "RunDir",
    "TaskRecord",
    "VerdictRow",
    "cost_document",
    "derive_cost",
    "export_samples",
    "import_samples",
    "judging_seconds",
    "money",
    "owed_indices",
    "read_records",
    "refuse_own_file",
    "sample_id",
    "sampled_tokens",
    "scored_again",
]
