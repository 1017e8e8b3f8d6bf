"""Task -> prompt, completion -> program, verdict -> feedback, program -> digest. Knows neither models nor GPUs."""

from __future__ import annotations

from longodds.programs import program_digest
from longodds.prompts.build import STYLES, build_prompt
from longodds.prompts.extract import extract, extract_program
from longodds.prompts.feedback import feedback
from longodds.prompts.revise import Attempt, revision_prompt, teacher_prompt, written_code

__all__ = [
    "STYLES",
    "Attempt",
    "build_prompt",
    "extract",
    "extract_program",
    "feedback",
    "program_digest",
    "revision_prompt",
    "teacher_prompt",
    "written_code",
]
