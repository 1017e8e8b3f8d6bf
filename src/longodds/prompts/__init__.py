"""Task -> prompt, completion -> program, program -> digest. Knows neither models nor GPUs."""

from __future__ import annotations

from longodds.programs import program_digest
from longodds.prompts.build import FORMS, STYLES, build_prompt
from longodds.prompts.extract import Extraction, extract, extract_program

__all__ = ["FORMS", "STYLES", "Extraction", "build_prompt", "extract", "extract_program", "program_digest"]
