"""Task -> prompt, completion -> program, program -> digest. Knows neither models nor GPUs."""

from __future__ import annotations

from longodds.prompts.build import FORMS, STYLES, build_prompt
from longodds.prompts.digest import program_digest
from longodds.prompts.extract import extract_program

__all__ = ["FORMS", "STYLES", "build_prompt", "extract_program", "program_digest"]
