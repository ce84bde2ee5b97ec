"""Whether a model is still what was fetched, and whether its files can be read and belong together."""

from dataclasses import dataclass, field
from pathlib import Path

from sdaug.diffusion.components import WeightsInvalid
from sdaug.diffusion.layout import (
    NETWORKS,
    check_fit,
    check_header,
    check_network,
    check_tokenizer,
    read_json,
    read_sums,
)
from sdaug.measure.digest import file_sha256
from sdaug.models.catalogue import Model, files_here, folder_here
from sdaug.models.record import read_record

_PARTS = ("unet", "vae", "text_encoder", "controlnet", "safety_checker")


@dataclass(frozen=True)
class Verdict:
    """problems: what is damaged, missing or changed, each naming its file. recorded: whether digests were compared.

    folder: None where the model is not on this machine. sha256: of each file that was looked at, by path.
    """

    name: str
    folder: str | None
    recorded: bool
    sha256: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Here, and nothing wrong with it."""
        return self.folder is not None and not self.problems


def verify_model(model: Model) -> Verdict:
    """`model` against the record of its pull or its own SHA256SUMS, every byte read; else against the hub's names.

    In the hub's cache a large file is named by its sha256, so that damage shows also where something else fetched it.
    """
    try:
        record = read_record(model.name)
    except ValueError as error:
        return Verdict(model.name, None, False, {}, (str(error),))
    folder = Path(record["folder"]) if record else folder_here(model)
    if folder is None or not folder.is_dir():
        problem = f"{folder} is gone" if folder else "not on this machine, or not whole"
        return Verdict(model.name, None, record is not None, {}, (problem,))
    sums = read_sums(folder)
    wanted = record["files"] if record else {name: {"sha256": digest} for name, digest in sums.items()}
    wanted = wanted or {str(p.relative_to(folder)): {} for p in files_here(model, folder)}
    digests, problems = {}, []
    for name, expected in wanted.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
            continue
        digests[name] = file_sha256(path)
        blob = path.resolve().name
        known = expected.get("sha256") or (blob if len(blob) == 64 else None)
        if known and digests[name] != known:
            problems.append(f"{path} has changed: its sha256 is {digests[name]}, {known} was recorded")
    sound = [folder / name for name in digests]
    return Verdict(model.name, str(folder), bool(record or sums), digests, (*problems, *_unreadable(folder, sound)))


def verify_folder(folder: Path) -> Verdict:
    """Any folder in diffusers layout, or of a face pack: what can be seen without a record."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".onnx", ".bin"))
    problems = _unreadable(folder, files)
    if not files:
        problems = (*problems, f"{folder} holds no weights (.safetensors, .onnx)")
    digests = {str(path.relative_to(folder)): file_sha256(path) for path in files}
    return Verdict(str(folder), str(folder), False, digests, problems)


def _unreadable(folder: Path, files: list[Path]) -> tuple[str, ...]:
    """What is wrong with headers, classes and fit, each once."""
    problems = []

    def tried(check, *args, **kwargs) -> bool:
        try:
            check(*args, **kwargs)
        except WeightsInvalid as error:
            problems.append(str(error))
            return False
        return True

    folders = {path.parent for path in files}
    parts = {name: folder / name for name in _PARTS if folder / name in folders}
    sound = [tried(check_network, path, name, allow_pickle=True) for name, path in parts.items()]
    if all(sound) and {"unet", "vae", "text_encoder", "controlnet"} <= set(parts):
        tried(check_fit, parts)
    if (folder / "tokenizer").is_dir():
        tried(check_tokenizer, folder / "tokenizer")
    for path in files:
        if path.parent in parts.values():
            continue
        if path.name.startswith("diffusion_pytorch_model") and (path.parent / "config.json").is_file():
            tried(_check_single, path.parent)
        elif path.suffix == ".safetensors":
            tried(check_header, path)
        elif path.suffix == ".json":
            tried(read_json, path)
        elif path.suffix == ".onnx":
            tried(_check_onnx, path)
    return tuple(dict.fromkeys(problems))


def _check_single(folder: Path) -> None:
    """A network whose folder does not say what it is: one of those that are known, by its own word."""
    found = read_json(folder / "config.json").get("_class_name")
    name = next((name for name, (class_name, _) in NETWORKS.items() if class_name == found), None)
    if name is None:
        known = ", ".join(class_name for class_name, _ in NETWORKS.values())
        raise WeightsInvalid(f"{folder / 'config.json'} describes {found}; one of {known} expected")
    check_network(folder, name, allow_pickle=True)


def _check_onnx(path: Path) -> None:
    import onnxruntime

    try:
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions derive from nothing narrower
        raise WeightsInvalid(f"{path} is damaged or cut short: {error}") from error
