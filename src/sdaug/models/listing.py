"""What the hub has of a model: revision, files, sizes and digests, before anything is fetched."""

import fnmatch
from dataclasses import dataclass

from sdaug.diffusion.layout import stand_ins
from sdaug.models.catalogue import Model
from sdaug.models.reach import ask_hub


class PullError(RuntimeError):
    """A model that was not fetched; the message says why and what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """One file on the hub. size in bytes. sha256: of a large file; git_sha1: of a small one, as git hashes blobs."""

    path: str
    size: int
    sha256: str | None
    git_sha1: str

    @property
    def blob(self) -> str:
        """Its name in the hub's cache."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True)
class Listing:
    """commit: what the revision is now. licence: as the model card on the hub has it, None where it says nothing."""

    commit: str
    licence: str | None
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def list_files(model: Model, *, variant: str | None = None, allow_pickle: bool = False) -> Listing:
    """What is wanted of `model`, as the hub has it. One request, after the hub has shown that it answers at all.

    variant: "fp16" takes a weight file's half-precision twin where there is one. Raises `WeightsMissing` for a hub that
    cannot be reached, and `PullError` for what it refuses, has not, or has only as a pickle that was not allowed.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    ask_hub(model.source)
    try:
        info = HfApi().model_info(model.source, revision=model.revision, files_metadata=True, timeout=30)
    except GatedRepoError as error:
        raise PullError(f"{model.source} is gated: ask for access on its page, then set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise PullError(f"{model.source} has no revision {model.revision} (the pinned one)") from error
    except RepositoryNotFoundError as error:  # the hub says so too where it wants a token
        raise PullError(f"{model.source} is not on the hub, or wants a token (HF_TOKEN)") from error
    except (HfHubHTTPError, OSError) as error:
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise PullError(f"{model.source}: the hub wants a token, or another one (HF_TOKEN)") from error
        raise PullError(f"{model.source}: the hub does not answer as it should: {error}") from error
    there = {}
    for file in info.siblings or []:
        lfs = file.lfs
        there[file.rfilename] = RemoteFile(
            file.rfilename, file.size or 0, lfs.sha256 if lfs is not None else None, file.blob_id or ""
        )
    chosen = {path: there[path] for wanted in model.files for path in _choose(model, wanted, there, variant)}
    pickles = sorted(path for path in chosen if not path.endswith((".safetensors", ".json", ".txt")))
    if pickles and not allow_pickle:
        raise PullError(f"{model.source} has {pickles[0]} only as a pickle, which is fetched only with --allow-pickle")
    card = info.card_data
    return Listing(str(info.sha), card.license if card is not None else None, tuple(chosen.values()))


def _choose(model: Model, wanted: str, there: dict[str, RemoteFile], variant: str | None) -> list[str]:
    names = stand_ins(wanted, allow_pickle=True)
    if variant == "fp16":
        names.sort(key=lambda name: ".fp16." not in name)
    found = next((matches for name in names if (matches := fnmatch.filter(there, name))), [])
    if not found and "*" not in wanted:
        raise PullError(f"{model.source} has no {wanted}; there are: {', '.join(sorted(there)) or 'no files'}")
    return found
