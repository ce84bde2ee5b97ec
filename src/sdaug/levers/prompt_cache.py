"""Prompts kept on disk as embeddings."""

from pathlib import Path
from typing import ClassVar

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity, Stage
from sdaug.measure.cache import cache_folder


class PromptCache(AbstractLever):
    """Keep the two prompts' embeddings in `folder` (unset: this user's cache) once they are encoded.

    Trades half a megabyte of disk for time and memory at every later load: the text encoder (246 MB in float16) is not
    even read. A file counts only for the text encoder, tokenizer and words that it was made of, by their digests.
    """

    stage: ClassVar[Stage] = "weights"
    claims: ClassVar[dict[Quantity, Change]] = {"text_encoder_bytes": "less"}

    folder: str | None = None

    def apply(self, pipeline: Pipeline) -> None:
        if pipeline.random:
            raise LeverSkipped("the random model has no text encoder, its prompts are random too")
        pipeline.prompt_cache = Path(self.folder).expanduser() if self.folder else cache_folder() / "prompts"
