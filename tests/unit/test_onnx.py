"""ONNX engines on the small random model: the same answers, whole folders, and no engine of other weights."""

import json
import shutil
from copy import deepcopy as copy_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from sdaug.cli import main
from sdaug.config import FaceIdSettings, GenerationSettings, ModelSettings
from sdaug.diffusion import engine_build
from sdaug.diffusion.engine_build import build_engine, check_engine, load_on_cpu
from sdaug.diffusion.generator import Job
from sdaug.diffusion.int8_build import CALIBRATION, build_int8_engine
from sdaug.diffusion.load import assemble, load_generator
from sdaug.diffusion.random_model import random_components
from sdaug.engine import attach, session
from sdaug.engine.attach import open_networks
from sdaug.engine.export import export_network
from sdaug.engine.fingerprint import fingerprints, network_sha256
from sdaug.engine.manifest import EngineError, read_engine
from sdaug.engine.network import OnnxUnet
from sdaug.engine.numerics import Case, compare, sound
from sdaug.engine.processor import int8_instructions
from sdaug.engine.quantise import Quantisation, quantise
from sdaug.engine.residuals import residual_shapes
from sdaug.face.photo import read_photo
from sdaug.levers import LeverSkipped
from sdaug.packs import load_pack
from sdaug.photos import photo_path
from sdaug.types import Pose, View

pytestmark = pytest.mark.slow

RANDOM = ModelSettings(model_id="random", device="cpu")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """For the contract test of the levers too, wherever it comes first."""
    folder = tmp_path_factory.getbasetemp() / "engine-float32"
    if not folder.exists():
        build_engine(RANDOM, folder)
    return folder


@pytest.fixture(scope="module")
def networks() -> dict:
    pipeline = load_on_cpu(RANDOM)
    return {"unet": pipeline.unet, "controlnet": pipeline.controlnet}


@pytest.fixture(scope="module")
def opened(built, networks):
    configs = {name: network.config for name, network in networks.items()}
    engines = open_networks(built, read_engine(built), configs, CPU, "cpu")
    yield engines
    for engine in engines.values():
        engine.close()


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def lever(folder: Path, **options) -> dict:
    return {"onnx_engine": {"folder": str(folder), **options}}


# -- the same answers


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 16, 24), (6, 8, 8), (1, 64, 64), (3, 2, 2)])
@pytest.mark.parametrize("controlled", [True, False])
def test_answers_are_pytorchs_to_a_ten_thousandth(networks, opened, batch, height, width, controlled):
    found = compare(networks, opened, [Case(batch, height, width, controlled)])
    assert [each.network for each in found] == (["controlnet", "unet"] if controlled else ["unet"])
    for each in found:
        assert each.max_abs <= 1e-4 and each.largest > 1, each


def test_residuals_and_their_scale_reach_the_answer(networks, opened):
    """What the comparison above rests on: an engine deaf to them would be told from PyTorch."""
    sample, text, hint = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 32), torch.randn(2, 16, 8, 8)
    down, middle = opened["controlnet"](sample, torch.tensor(9), text, hint, conditioning_scale=0.5)
    doubled, _ = opened["controlnet"](sample, torch.tensor(9), text, hint, conditioning_scale=1.0)
    assert all(torch.allclose(2 * a, b, atol=1e-6) for a, b in zip(down, doubled, strict=True))
    (plain,) = opened["unet"](sample, torch.tensor(9), text)
    (steered,) = opened["unet"](
        sample, torch.tensor(9), text, down_block_additional_residuals=down, mid_block_additional_residual=middle
    )
    assert (plain - steered).abs().max() > 0.01


def test_the_residuals_shapes_are_controlnets_own(networks):
    config = networks["controlnet"].config
    with torch.no_grad():
        down, middle = networks["controlnet"](
            torch.randn(1, 4, 8, 12), 1, torch.randn(1, 77, 32), torch.randn(1, 16, 8, 12), return_dict=False
        )
    assert [tuple(part.shape) for part in (*down, middle)] == residual_shapes(config, 1, 8, 12)


def test_images_are_the_same_but_for_rounding(built):
    rng = np.random.default_rng(0)
    views = [
        View(Pose(0, 0), image, np.ones((64, 64), np.float32), np.zeros((64, 64), bool), np.zeros((478, 3), np.float32))
        for image in rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    ]
    jobs = [Job(i, view, 255 - view.image) for i, view in enumerate(views)]
    settings = GenerationSettings(
        num_inference_steps=4, strength=0.9, guidance_scale=3.0, guidance_end=0.5, control_guidance_end=0.75, size=64
    )
    made = []
    for levers in ({}, lever(built)):
        generator = load_generator(RANDOM, levers)
        made.append([result.diffused.astype(int) for result in generator.generate(jobs, settings)])
        generator.close()
    for ours, theirs in zip(*made, strict=True):
        assert np.abs(ours - theirs).max() <= 1 and theirs.std() > 10


# -- the folder


def test_the_manifest_names_weights_opset_versions_inputs_and_every_file(built):
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["schema"] == "sdaug.engine/1" and manifest["opset"] == 18 and manifest["precision"] == "float32"
    assert (
        manifest["model"]["model_id"] == "random" and manifest["versions"]["torch"] == torch.__version__.split("+")[0]
    )
    assert manifest["unet"]["inputs"]["sample"] == ["float", "batch", 4, "2*height", "2*width"]
    listed = {name for part in ("unet", "controlnet") for name in manifest[part]["files"]}
    assert listed | {"manifest.json"} == {path.name for path in built.iterdir()}
    assert manifest["unet"]["weights_sha256"] != manifest["controlnet"]["weights_sha256"]


def test_graphs_are_of_the_opset_and_hold_no_path_of_the_machine(built):
    for name in ("unet.onnx", "controlnet.onnx"):
        graph = onnx.load(built / name, load_external_data=False)
        assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 18)]
        assert b".py" not in (built / name).read_bytes()
        onnx.checker.check_model(str(built / name))


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(name, network, folder, *_):
        (folder / "unet.onnx").write_bytes(b"half")
        raise RuntimeError("the exporter gave up")

    monkeypatch.setattr(engine_build, "export_network", fail)
    with pytest.raises(RuntimeError, match="gave up"):
        build_engine(RANDOM, tmp_path / "engine")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_and_a_full_disk_are_refused_before_the_export(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_build, "export_network", lambda *_: pytest.fail("it was exported"))
    (tmp_path / "used").mkdir()
    (tmp_path / "used/notes.txt").write_text("mine")
    with pytest.raises(EngineError, match="used is not free"):
        build_engine(RANDOM, tmp_path / "used")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(engine_build.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(EngineError, match="has 0.0 GB free; the engine needs"):
        build_engine(RANDOM, tmp_path / "engine")


def face_id(unet, dim: int = 512) -> dict[str, torch.Tensor]:
    """The tensors of a FaceID file for `unet`, random: projection, and keys, values and LoRAs of every attention."""
    make, width = torch.Generator().manual_seed(5), unet.config.cross_attention_dim

    def random(*shape):
        return torch.randn(shape, generator=make) / shape[-1] ** 0.5

    tensors = {
        "image_proj.proj.0.weight": random(2 * dim, dim),
        "image_proj.proj.0.bias": random(2 * dim),
        "image_proj.proj.2.weight": random(4 * width, 2 * dim),
        "image_proj.proj.2.bias": random(4 * width),
        "image_proj.norm.weight": 1 + random(width),
        "image_proj.norm.bias": random(width),
    }
    for i, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        layers = {"q": attention.to_q, "k": attention.to_k, "v": attention.to_v, "out": attention.to_out[0]}
        for part, layer in layers.items():
            tensors[f"ip_adapter.{i}.to_{part}_lora.down.weight"] = random(4, layer.in_features)
            tensors[f"ip_adapter.{i}.to_{part}_lora.up.weight"] = random(layer.out_features, 4)
        for part in ("k", "v") if i % 2 else ():
            tensors[f"ip_adapter.{i}.to_{part}_ip.weight"] = random(layers[part].out_features, width)
    return tensors


@pytest.mark.slow
def test_a_face_adapter_and_float16_answer_as_pytorch_does(tmp_path, networks):
    save_file(face_id(random_components().unet), tmp_path / "faceid.safetensors")
    adapter = FaceIdSettings(adapter_id=str(tmp_path / "faceid.safetensors"))
    unet = load_on_cpu(ModelSettings(model_id="random", device="cpu", face_id=adapter)).unet
    assert network_sha256(unet) != network_sha256(networks["unet"])
    graph = export_network("unet", copy_module(unet).half(), tmp_path, fingerprints(unet))
    assert graph.inputs["image_embeds"] == ["float16", "batch", 1, 1, 512]
    engine = OnnxUnet(session.open_session(tmp_path / graph.file, "cpu"), unet.config, CPU)
    for case in (Case(1, 8, 8, controlled=False), Case(6, 4, 8, controlled=False)):
        (found,) = compare({"unet": unet}, {"unet": engine}, [case])
        assert 1e-5 < found.relative < 0.005 and sound(found, "float16"), found
    sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 32)
    with pytest.raises(ValueError, match="was exported with a face embedding"):
        engine(sample, torch.tensor(1), text)
    faces = [torch.nn.functional.normalize(torch.randn(1, 1, 1, 512), dim=-1) for _ in range(2)]
    one, other = (
        engine(sample, torch.tensor(1), text, added_cond_kwargs={"image_embeds": [face]})[0] for face in faces
    )
    assert (one - other).abs().max() > 0.01
    engine.close()


# -- what is refused


def test_damaged_or_missing_files_are_refused_by_name(copy):
    with open(copy / "unet.onnx", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(EngineError, match="unet.onnx is damaged or was changed"):
        load_generator(RANDOM, lever(copy))
    (copy / "unet.onnx").unlink()
    with pytest.raises(EngineError, match="unet.onnx is missing"):
        load_generator(RANDOM, lever(copy))


def test_missing_weights_beside_a_graph_are_refused(copy):
    (copy / "controlnet.onnx.data").unlink()
    with pytest.raises(EngineError, match="controlnet.onnx.data is missing"):
        check_engine(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no engine manifest"),
        ('{"schema": "sdaug.engine/0"}', "'sdaug.engine/1' expected"),
        ('{"schema": "sdaug.engine/1"}', "is no engine manifest: KeyError: 'unet'"),
        ("[]", "is no engine manifest"),
    ],
)
def test_a_manifest_that_is_none_is_refused(copy, text, message):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(EngineError, match=message):
        read_engine(copy)


def test_a_manifest_cannot_point_outside_its_folder(copy):
    content = json.loads((copy / "manifest.json").read_text())
    content["unet"]["files"]["../elsewhere.onnx"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(EngineError, match="names of files beside it expected"):
        read_engine(copy)


def test_a_folder_that_is_no_engine_is_refused(tmp_path):
    with pytest.raises(EngineError, match="is no engine folder"):
        load_generator(RANDOM, lever(tmp_path))


def test_an_engine_of_other_weights_is_refused(built):
    other = assemble(random_components(seed=1), CPU)
    with pytest.raises(EngineError, match=r"is an engine of another unet: made from weights .* \(random\)"):
        attach.attach(other, built, "cpu", fp16=False, max_batch=1, max_size=512, cache=None)
    assert {p.device.type for p in other.unet.parameters()} == {"cpu"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_in_half_precision_are_the_same_weights(built, dtype):
    for levers in ({"precision": {"dtype": dtype}} | lever(built), lever(built) | {"precision": {"dtype": dtype}}):
        generator = load_generator(RANDOM, levers)
        half = generator.pipeline.dtype
        sample = torch.randn(1, 4, 8, 8, dtype=half)
        (answer,) = generator.pipeline.unet(sample, torch.tensor(3), torch.randn(1, 77, 32, dtype=half))
        assert answer.dtype is half and generator.pipeline.unet.dtype is torch.float32
        generator.close()


def test_weights_changed_after_reading_are_other_weights(built):
    changed = assemble(random_components(), CPU)
    with torch.no_grad():
        changed.controlnet.conv_in.bias[0] += 1e-3
    with pytest.raises(EngineError, match="of another controlnet"):
        attach.attach(changed, built, "cpu", fp16=False, max_batch=1, max_size=512, cache=None)


def test_a_provider_that_is_not_built_in_is_a_skipped_lever_that_says_what_there_is(built):
    missing = [name for name in session.PROVIDERS if name not in session.available_providers()]
    if not missing:
        pytest.skip("this onnxruntime has every provider")
    with pytest.raises(LeverSkipped, match=r"has no \w+ExecutionProvider .*; it has: .*cpu"):
        load_generator(RANDOM, lever(built, provider=missing[-1]))


def test_no_folder_is_a_skipped_lever_and_a_float_engine_is_not_int8(built):
    with pytest.raises(LeverSkipped, match="no engine folder is named"):
        load_generator(RANDOM, {"onnx_engine": {}})
    with pytest.raises(EngineError, match="is a float32 engine; one that is int8 expected"):
        load_generator(RANDOM, lever(built, int8=True))


def test_inputs_that_the_graph_does_not_take_are_refused(opened):
    sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 32)
    for problem, arguments, more in (
        ("latents of 7 x 8; multiples of 2", (torch.randn(1, 4, 7, 8), 1, text), {}),
        ("one timestep for the whole batch", (sample.repeat(2, 1, 1, 1), torch.tensor([1, 2]), text), {}),
        (r"encoder_hidden_states of \(5, 32\)", (sample, 1, torch.randn(1, 5, 32)), {}),
        ("exported with no face embedding", (sample, 1, text), {"added_cond_kwargs": {"image_embeds": [sample]}}),
    ):
        with pytest.raises(ValueError, match=problem):
            opened["unet"](*arguments, **more)


def test_a_closed_generator_has_closed_its_sessions(built):
    generator = load_generator(RANDOM, lever(built))
    unet = generator.pipeline.unet
    generator.close()
    with pytest.raises(RuntimeError, match="engine is closed"):
        unet(torch.randn(1, 4, 8, 8), 1, torch.randn(1, 77, 32))


# -- int8


@pytest.fixture(scope="module")
def pack():
    loaded = load_pack("embedded")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def int8(built, pack, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "int8"
    settings = CALIBRATION.model_copy(update=dict(num_angles=2, num_inference_steps=4, size=64))
    photos = [read_photo(photo_path("astronaut"))]
    build_int8_engine(RANDOM, folder, photos, pack, exact=built, settings=settings)
    return folder


def test_an_int8_engine_is_smaller_close_and_not_equal(int8, built, networks):
    sizes = [sum(path.stat().st_size for path in folder.glob("*.data")) for folder in (built, int8)]
    assert sizes[1] < 0.4 * sizes[0]
    configs = {name: network.config for name, network in networks.items()}
    engines = open_networks(int8, read_engine(int8), configs, CPU, "cpu")
    for found in compare(networks, engines, [Case(2, 8, 8), Case(6, 8, 16, controlled=False)]):
        assert 1e-3 < found.relative < 0.15, found
    for engine in engines.values():
        engine.close()


def test_int8_is_in_the_graph_where_it_was_asked_for_and_nowhere_else(int8):
    graph = onnx.load(int8 / "unet.onnx").graph
    numbers = {each.name: each for each in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    kept = coarse = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2:
            continue
        weight = made_by.get(node.input[1])
        dequantised = weight is not None and weight.op_type == "DequantizeLinear" and weight.input[0] in numbers
        if any(word in (node.input[1] + node.name) for word in ("conv_in", "conv_out", "time_emb")):
            assert not dequantised, node.name
            kept += 1
        elif dequantised:
            stored = numbers[weight.input[0]]
            assert stored.data_type == onnx.TensorProto.INT8
            scales = onnx.numpy_helper.to_array(numbers[weight.input[1]])
            axis = 1 if node.op_type == "MatMul" else 0
            assert len(scales) == stored.dims[axis] > 1, node.name
            coarse += 1
    assert kept > 5 and coarse > 40
    biases = [node.input[2] for node in graph.node if node.op_type == "Conv" and len(node.input) > 2]
    assert all(numbers[name].data_type == onnx.TensorProto.FLOAT for name in biases)


def test_the_manifest_says_how_int8_was_made_and_what_it_costs(int8):
    found = json.loads((int8 / "manifest.json").read_text())["quantisation"]
    assert found["method"]["activations"] == "int8" and found["calibration"]["views"] == 2
    assert 0.7 < found["int8_share"]["unet"] < 1
    for error in found["cost"]["relative_error"].values():
        assert 1e-3 < error["median"] <= error["worst"] < 0.3
    images = found["cost"]["images"]
    assert 15 < images["diffused"]["psnr_db"]["worst"] < 60
    # Noise has no face: nothing was measured, and nothing is said.
    assert images["diffused"]["similarity"]["dlib_resnet"] == {"n": 0, "median": None, "worst": None}
    assert images["final"]["similarity"]["dlib_resnet"]["n"] == 2


def test_more_of_the_network_left_float_costs_less(built, int8, pack, tmp_path):
    how = Quantisation(operators=("MatMul",))
    settings = CALIBRATION.model_copy(update=dict(num_angles=1, num_inference_steps=2, size=64))
    photos = [read_photo(photo_path("astronaut"))]
    engine = build_int8_engine(RANDOM, tmp_path / "some", photos, pack, exact=built, how=how, settings=settings)
    assert engine.quantisation is not None
    less = engine.quantisation["cost"]["relative_error"]["unet"]["median"]
    assert (
        less
        < json.loads((int8 / "manifest.json").read_text())["quantisation"]["cost"]["relative_error"]["unet"]["median"]
    )


def test_int8_without_photos_or_from_another_engine_or_of_nothing_is_refused(built, int8, pack, tmp_path):
    photos = [read_photo(photo_path("astronaut"))]
    with pytest.raises(EngineError, match="no photo to calibrate with"):
        build_int8_engine(RANDOM, tmp_path / "new", [], pack, exact=built)
    with pytest.raises(EngineError, match="is a int8 engine; int8 is made of a float32 one"):
        build_int8_engine(RANDOM, tmp_path / "new", photos, pack, exact=int8)
    graph = read_engine(built).unet
    with pytest.raises(EngineError, match="nothing in unet.onnx is to be int8"):
        quantise(graph, built, [], tmp_path, Quantisation(operators=("Einsum",)))
    with pytest.raises(EngineError, match="no calibration data"):
        quantise(graph, built, [], tmp_path, Quantisation())
    np.savez(tmp_path / "call.npz", sample=np.zeros(1))
    with pytest.raises(EngineError, match="call.npz lacks the inputs encoder_hidden_states"):
        quantise(graph, built, [tmp_path / "call.npz"], tmp_path, Quantisation())
    assert not (tmp_path / "new").exists() and [path.name for path in tmp_path.iterdir()] == ["call.npz"]


def test_a_cpu_without_int8_instructions_is_known_and_warned_of(int8, tmp_path, monkeypatch, caplog):
    for flags, expected in (
        ("flags\t: fpu avx512_vnni amx_int8", ["avx512_vnni", "amx_int8"]),
        ("flags\t: fpu avx2", []),
        ("Features\t: fp asimddp", ["asimddp"]),
        ("nothing", None),
    ):
        (tmp_path / "cpuinfo").write_text(f"processor: 0\n{flags}\n")
        assert int8_instructions(tmp_path / "cpuinfo") == expected
    assert int8_instructions(tmp_path / "absent") is None
    monkeypatch.setattr(attach, "int8_instructions", list)
    load_generator(RANDOM, lever(int8, int8=True)).close()
    assert "no instruction for int8" in caplog.text


# -- TensorRT's options, as far as they can be known without it


def test_tensorrts_profile_covers_every_open_input_at_three_sizes(built, tmp_path):
    graph = read_engine(built).unet
    options = session.tensorrt_options(
        graph, tmp_path, batches=(1, 2, 6), sides=(8, 32, 64), fp16=True, int8=False, device_id=0
    )
    assert options["trt_fp16_enable"] is True and options["trt_engine_cache_path"] == str(tmp_path)
    for word, batch, side in (("min", 1, 8), ("opt", 2, 32), ("max", 6, 64)):
        shapes = dict(entry.split(":") for entry in options[f"trt_profile_{word}_shapes"].split(","))
        assert set(shapes) == set(graph.inputs) - {"timestep"}
        assert shapes["sample"] == f"{batch}x4x{side}x{side}" and shapes["encoder_hidden_states"] == f"{batch}x77x32"
        assert shapes["residual_mid"] == f"{batch}x32x{side // 2}x{side // 2}"


def test_trtexec_commands_name_both_graphs_and_their_shapes(built):
    run = CliRunner().invoke(main, ["engine", "trtexec", str(built), "--max-batch", "4", "--size", "256"])
    unet, controlnet = run.stdout.splitlines()
    assert unet.startswith(f"trtexec --onnx={built}/unet.onnx ") and "--int8" not in unet
    assert "--maxShapes=sample:4x4x32x32,encoder_hidden_states:4x77x32,residual_00:4x16x32x32" in unet
    assert "--optShapes=sample:2x4x32x32" in controlnet and "controlnet_cond:1x16x32x32" in controlnet


# -- the command


def test_check_says_sound_or_not_and_exits_so(built, copy):
    run = CliRunner().invoke(main, ["engine", "check", str(built), "--json"])
    assert run.exit_code == 0, run.output
    facts = json.loads(run.stdout)
    assert facts["sound"] is True and max(each["max_abs"] for each in facts["differences"]) <= 1e-4
    (copy / "unet.onnx.data").write_bytes(b"")
    run = CliRunner().invoke(main, ["engine", "check", str(copy)])
    assert run.exit_code == 1 and "unet.onnx.data is damaged" in run.output
    assert CliRunner().invoke(main, ["engine", "check", str(copy / "nowhere")]).exit_code == 2


def test_build_refuses_wrong_uses_with_two_and_engines_it_cannot_make_with_one(tmp_path):
    out = ["--out", str(tmp_path / "engine"), "--model-id"]
    settings = tmp_path / "model.yaml"
    settings.write_text("no_such_setting: 1")
    for arguments, status, message in (
        ([*out, "random", "--int8"], 2, "--int8 and --calibration belong together"),
        ([*out, "random", "--calibration", "astronaut"], 2, "belong together"),
        ([*out, "random", "--int8", "--calibration", "nobody.png"], 2, "'nobody.png' does not exist"),
        ([*out, "random", "--int8", "--calibration", "astronaut", "--size", "100"], 2, "no multiple of 64"),
        ([*out, "random", "--model-file", str(settings)], 2, "no_such_setting"),
        ([*out, str(tmp_path / "absent" / "model")], 1, "weights_missing"),
        (["--out", str(Path(__file__).parent), "--model-id", "random"], 1, "is not free"),
    ):
        run = CliRunner().invoke(main, ["engine", "build", *arguments])
        assert run.exit_code == status and message in run.output, (arguments, run.output)
    assert list(tmp_path.iterdir()) == [settings]
