"""What a call takes at least: counted from the passes that ran, at the peak of the device that is here."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sdaug import run
from sdaug.bench import configurations as configuring
from sdaug.bench import floors
from sdaug.bench.floors import call_floor_s, device_here, record_floor_s
from sdaug.bench.timing import ImpossibleTime
from sdaug.config import ModelSettings, RunSettings
from sdaug.costmodel.calibration import peak_gflops
from sdaug.costmodel.device import device_names, find_device, load_device
from sdaug.measure.passes import passed, passes

FULL = ModelSettings(model_id="random-sd15")


def test_a_device_is_known_by_its_name_and_its_memory(tmp_path, monkeypatch):
    orin = "NVIDIA Jetson AGX Orin Developer Kit"
    modules = {"nvidia,p3701-0004": "orin-agx-32", "nvidia,p3701-0000": "orin-agx-kit-32"}
    assert {module: find_device(f"{orin} {module}", 32.9).name for module in modules} == modules
    assert find_device(orin, 65.9).name == find_device(f"{orin} nvidia,p3701-0005", 65.9).name == "orin-agx-64"
    assert find_device(orin, 32.9) is None, "whether it has the whole GPU is not known"
    assert find_device("NVIDIA H100 80GB HBM3", 85.0).name == "h100-sxm"
    for told, gb in ((orin, 16.0), ("NVIDIA H100 PCIe", 85.0), ("NVIDIA GeForce RTX 4080 SUPER", 16.0), ("Orin", 64.0)):
        assert find_device(told, gb) is None, told
    assert all(load_device(name).known_as for name in device_names())
    board = tmp_path / "tree"
    board.mkdir()
    (board / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    monkeypatch.setattr(floors.psutil, "virtual_memory", lambda: SimpleNamespace(total=8e9))
    assert device_here("cuda", board).name == "orin-nano-8"
    (board / "model").write_bytes(orin.encode() + b"\0")
    (board / "compatible").write_bytes(b"nvidia,p3737-0000+p3701-0000\0nvidia,p3701-0000\0nvidia,tegra234\0")
    monkeypatch.setattr(floors.psutil, "virtual_memory", lambda: SimpleNamespace(total=32.1e9))
    assert device_here("cuda", board).name == "orin-agx-kit-32"
    properties = SimpleNamespace(total_memory=85e9)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert device_here("cuda:0", tmp_path / "none").name == "h100-sxm"


def floor(seen, device="cpu", dtype="float32", levers=(), model=FULL, **more):
    return call_floor_s(seen, model, dict.fromkeys(levers, {}), size=512, dtype=dtype, device=device, **more)


def test_a_processors_floor_is_its_counted_arithmetic_at_its_threads_peak():
    a_step = floor({"unet": 1, "controlnet": 1})
    peak = peak_gflops(torch.get_num_threads())["float32"]
    assert a_step == pytest.approx((803.3 + 283.3 - 14.7) / peak, rel=0.01)
    assert floor({"unet": 20, "controlnet": 20}) == pytest.approx(20 * a_step)
    standard, tiny = (floor({"decode": 1}, vae=vae) for vae in ("standard", "tiny"))
    assert standard / tiny == pytest.approx(2514.5 / 141.4, rel=0.01)
    assert floor({"unet": 1}, model=ModelSettings(model_id="random")) is None, "its networks are not counted"
    assert floor({"unet": 1}, levers=["onnx_engine"]) is None, "onnxruntime has threads of its own"
    assert floor({}) is None


def test_a_gpus_floor_is_its_data_files_and_none_where_there_is_no_file(monkeypatch):
    here = {"cuda": load_device("orin-agx-64"), "cuda:1": load_device("orin-nx-16"), "cuda:2": None}
    monkeypatch.setattr(floors, "device_here", here.get)
    assert floor({"unet": 40}, "cuda", "float16") == pytest.approx(40 * 0.8033 / 42.6, rel=0.01)
    nx = floor({"unet": 40}, "cuda:1", "float16")
    assert nx == pytest.approx(40 * 0.8033 / 15.0 / 1.278, rel=0.01), (
        "in its fastest mode: which one it is in it does not tell"
    )
    assert floor({"unet": 40}, "cuda:2", "float16") is None
    engine = floor({"unet": 40}, "cuda", "float32", levers=["onnx_engine"])
    assert engine == pytest.approx(40 * 0.8033 / 85.2, rel=0.01), "TensorRT may use the fastest units there are"


def test_passes_are_those_of_the_block_alone():
    passed("unet", 1)
    with passes() as outer:
        passed("unet", 2)
        with passes() as inner:
            passed("unet", 5)
        passed("unet", 3)
    assert (outer, inner) == ({"unet": 5}, {"unet": 5})


def test_a_record_tells_its_passes_and_they_are_its_floor(nano_record, warp_record):
    model = ModelSettings(model_id="sdaug-nano", device="cpu")
    seen = nano_record.passes
    assert (
        seen.keys() == {"unet", "controlnet", "decode"} and seen["decode"] >= 5 and seen["unet"] >= 2 * seen["decode"]
    )
    found = record_floor_s(nano_record, model)
    assert 0 < found < nano_record.timings["total_s"]
    ran = nano_record.generator["model"]
    stepped = {**nano_record.generator, "model": {**ran, "resource_steps": ["resolution 384"]}}
    assert record_floor_s(replace(nano_record, generator=stepped), model) is None
    assert record_floor_s(warp_record, model) is None


def cell(tmp_path, monkeypatch, floor_s):
    monkeypatch.setattr(run, "record_floor_s", lambda record, model: floor_s)
    call = {"key": "k", "setting": "s", "person": "p", "photo": "astronaut", "generation": {"num_angles": 1}}
    (result,) = run.run_settings(RunSettings(backend="warp"), [call], tmp_path, repeats=1)
    return result


def test_a_cell_below_its_floor_is_a_failure_and_no_record(tmp_path, monkeypatch):
    impossible = cell(tmp_path, monkeypatch, 1e6)
    assert impossible["status"] == "failed" and impossible["error"].startswith("ImpossibleTime: k: ")
    assert not {"latency_s", "record"} & set(impossible)
    assert cell(tmp_path, monkeypatch, 1e-9)["floor_s"] == 1e-9
    unknown = cell(tmp_path, monkeypatch, None)
    assert unknown["status"] == "finished" and unknown["floor_s"] is None and unknown["schema"] == "sdaug.cell/5"


@pytest.fixture
def one_configuration(astronaut, embedded):
    model = ModelSettings(model_id="sdaug-nano", device="cpu")
    asked = [configuring.Configuration("few", {"tiny_vae": {}}, {"num_inference_steps": 2, "batch_size": 1})]
    return lambda: configuring.bench_configurations(astronaut, embedded, model, asked, images=2, size=128, rounds=2)


def test_a_configuration_keeps_every_time_its_floor_and_its_board(one_configuration):
    (row,) = one_configuration()
    report = row.report()
    times = report["images_s"]
    assert times["n"] == len(times["values"]) == 2 and times["p50_low"] <= times["p50"] <= times["p99"]
    assert 0 < report["floor_s"] < min(times["values"])
    assert {"before", "after", "least", "most", "energy_j"} <= set(report["board"])
    assert "few" in configuring.table([row])


def test_a_tables_peaks_are_of_one_meter_and_it_is_named():
    def row(name, **peak):
        return configuring.Row(configuring.Configuration(name, {}), peak=peak)

    rows = [row("a", cuda_allocated_peak=None, gpu_used_peak=2_000_000_000, resident_peak_sampled=3_000_000_000)]
    assert "2.00" in configuring.table(rows) and "peak GB: gpu_used_peak; all" in configuring.table(rows)
    rows += [row("b", cuda_allocated_peak=10**9, gpu_used_peak=None, resident_peak_sampled=4_000_000_000)]
    shown = configuring.table(rows)
    assert "3.00" in shown and "4.00" in shown and "peak GB: resident_peak_sampled; all" in shown
    assert "peak GB: no meter of it is here" in configuring.table([row("c")])


def test_a_configuration_below_its_floor_is_an_error(one_configuration, monkeypatch, sdaug):
    monkeypatch.setattr(configuring, "call_floor_s", lambda *_, **__: 1e6)
    with pytest.raises(ImpossibleTime, match="few: "):
        one_configuration()
    done = sdaug("bench", "configurations", "--model-id", "sdaug-nano", "--device", "cpu", "--images", 1, "--size", 64)
    assert done.code == 1 and "measured, and its arithmetic takes 1e+06 s" in done.err
