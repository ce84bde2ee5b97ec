"""What a Jetson needs, as far as it can be tested without one: its experiment, its pins, its meters."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdaug.cli.plan import settings_in
from sdaug.costmodel.device import load_device
from sdaug.measure.board import energy_j
from sdaug.measure.sysfs import is_tegra, read_sysfs
from sdaug.planning.standard import standard_settings

ROOT = Path(__file__).parents[2]


# -- the experiment


def test_the_experiment_holds_the_settings_that_are_planned_without_one():
    found = settings_in(str(ROOT / "experiments/jetson.yaml"), load_device("orin-agx-64"))
    wanted = standard_settings()
    assert len(found) == len(wanted) == 11
    for ours, theirs in zip(found, wanted, strict=True):
        for part in ("levers", "generation", "model"):
            assert getattr(ours.settings, part) == getattr(theirs.settings, part), (theirs.name, part)
        assert ours.settings.pack == "buffalo_l"


def test_nothing_on_a_board_is_answered_by_something_else():
    assert all(
        one.settings.strict for one in settings_in(str(ROOT / "experiments/jetson.yaml"), load_device("orin-agx-64"))
    )
    (recipe,) = re.findall(r"^jetson: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = recipe.splitlines()
    assert "\t$(SDAUG) doctor --require gpu --require weights" in lines
    assert not [line for line in lines if line.startswith("\t-")], "no failure is passed over"
    assert any("bench predict" in line and "--save" in line and ">" not in line.partition(";")[0] for line in lines), (
        "seen"
    )


def make_jetson(folder, **settings):
    """`make jetson` with nothing installed and a `sdaug` that keeps a log, makes what later steps read, and fails as it
    is told; an earlier run's choice lies there."""
    (folder / "out").mkdir()
    (folder / "out" / "chosen.json").touch()
    stub = folder / "sdaug"
    stub.write_text(
        f'#!/bin/sh\necho "$1 $2" >> {folder}/log\n'
        f'case "$1 $2" in sweep*) test "$CRASH" || touch {folder}/out/chosen.json; exit ${{SWEEP:-0}};;\n'
        f'"bench predict") touch {folder}/out/predicted.json; exit ${{PREDICT:-0}};; esac\n'
    )
    stub.chmod(0o755)
    stamp = folder / "stamp"
    stamp.touch()
    given = [f"SDAUG={stub}", f"JETSON_STAMP={stamp}", f"JETSON_OUT={folder}/out", f"PYTHON={sys.executable}"]
    done = subprocess.run(
        ["make", "jetson", *given], cwd=ROOT, capture_output=True, text=True, env=os.environ | settings
    )
    return done, (folder / "log").read_text().split("\n")


@pytest.mark.parametrize(
    ("settings", "fails", "ends"),
    [
        ({}, False, "verify"),
        ({"SWEEP": "1"}, True, "verify"),
        ({"PREDICT": "1"}, True, "verify"),
        ({"SWEEP": "2"}, True, "sweep"),
        ({"SWEEP": "1", "CRASH": "yes"}, True, "sweep"),
    ],
)
def test_a_failed_cell_or_impossible_time_is_the_status_at_the_end(tmp_path, settings, fails, ends):
    done, log = make_jetson(tmp_path, **settings)
    assert (done.returncode != 0) == fails and log[-2].startswith(ends), done.stderr
    if ends == "verify":
        assert [line.split()[0] for line in log[-5:-1]] == ["bench", "report", "enrol", "verify"]
    if settings == {"SWEEP": "1"}:
        assert "Error 1" in done.stderr


def test_a_jetpack_without_a_known_index_is_asked_for_one(tmp_path):
    given = ["make", "-n", "jetson", f"JETSON_STAMP={tmp_path}/none", f"PYTHON={sys.executable}"]
    without = subprocess.run([*given, "PY=3.12"], cwd=ROOT, capture_output=True, text=True)
    assert without.returncode == 2 and "name one: make jetson TORCH_INDEX=https://" in without.stderr
    named = subprocess.run([*given, "PY=3.12", "TORCH_INDEX=https://x"], cwd=ROOT, capture_output=True, text=True)
    assert named.returncode == 0 and "--index-url https://x --no-deps triton" in named.stdout
    known = subprocess.run([*given, "PY=3.10"], cwd=ROOT, capture_output=True, text=True)
    assert known.returncode == 0 and "jp6/cu126 --no-deps torch torchvision" in known.stdout


def test_the_missions_four_configurations_come_first():
    four = [one.settings for one in settings_in(str(ROOT / "experiments/jetson.yaml"), load_device("orin-agx-64"))[:4]]
    assert [one.levers["precision"]["dtype"] for one in four] == ["float32", "float16", "float16", "float16"]
    assert [one.generation.num_inference_steps for one in four] == [20, 20, 20, 6]
    assert "attention_slicing" in four[2].levers and "tiny_vae" in four[3].levers


# -- the pins


def resolver():
    spec = importlib.util.spec_from_file_location("jetson_resolve", ROOT / "scripts/jetson_resolve.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up by name.
    sys.modules["jetson_resolve"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("file", "python"), [("jetson-jp61.txt", "3.10"), ("jetson-jp72.txt", "3.12")])
def test_pins_bring_no_torch_and_the_last_mediapipe_for_arm(file, python):
    text = (ROOT / "constraints" / file).read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))
    assert pinned["mediapipe"] == "0.10.18" and f"Python {python}" in text.splitlines()[0]
    cuda = [name for name in pinned if name in ("torch", "torchvision", "triton") or name.startswith("nvidia-")]
    assert cuda == ["nvidia-ml-py"], "which is Python alone"
    shared = (ROOT / "constraints/pins.txt").read_text()
    for name, version, where in re.findall(r"^([a-z-]+)==(\S+)(?: ; python_version (\S+ \S+))?$", shared, re.MULTILINE):
        applies = not where or ("<" in where) == (python == "3.10")
        if applies and name not in ("torch", "torchvision", "mediapipe"):
            assert pinned[name] == version, name


def test_every_dependency_of_ours_is_pinned_but_the_vendors():
    listed = (ROOT / "pyproject.toml").read_text().split("\ndependencies = [\n")[1].split("\n]\n")[0]
    wanted = {name.replace("_", "-") for name in re.findall(r'"([A-Za-z0-9_-]+)', listed)}
    assert len(wanted) > 30
    for file in ("jetson-jp61.txt", "jetson-jp72.txt"):
        text = (ROOT / "constraints" / file).read_text()
        pinned = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        assert wanted - pinned == {"torch", "torchvision"}


def test_the_resolver_says_what_it_cannot_do(capsys, tmp_path, monkeypatch):
    script = resolver()
    assert script.main(["--wrong"]) == 2 and "there are: --check, --overrides" in capsys.readouterr().err
    assert script.main(["--overrides"]) == 0 and "mediapipe==0.10.18" in capsys.readouterr().out
    monkeypatch.setattr(script, "resolve", lambda *arguments: (1, "no wheel for x"))
    assert script.main(["--check"]) == 1 and "no wheel for x" in capsys.readouterr().err
    monkeypatch.setattr(script, "resolve", lambda *arguments: (0, "a==1\n"))
    assert script.main(["--check"]) == 1 and "does not hold all that is needed" in capsys.readouterr().err


# -- the meters. The files are laid out as the kernel's documentation says and as a board shows them in public reports.


@pytest.fixture
def board(tmp_path) -> Path:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n",
        "sys/class/hwmon/hwmon0/name": "tmp451\n",
        "sys/class/hwmon/hwmon1/name": "ina3221\n",
        "sys/class/hwmon/hwmon1/in1_label": "VDD_GPU_SOC\n",
        "sys/class/hwmon/hwmon1/in1_input": "19000\n",
        "sys/class/hwmon/hwmon1/curr1_input": "1000\n",
        "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_CV\n",
        "sys/class/hwmon/hwmon1/in2_input": "19000\n",
        "sys/class/hwmon/hwmon1/curr2_input": "200\n",
        "sys/class/hwmon/hwmon1/in3_label": "VIN_SYS_5V0\n",
        "sys/class/hwmon/hwmon1/in3_input": "5000\n",
        "sys/class/hwmon/hwmon1/curr3_input": "900\n",
        "sys/class/hwmon/hwmon1/in4_label": "Sum of shunt voltages\n",
        "sys/class/devfreq/17000000.gpu/cur_freq": "1300500000\n",
        "sys/class/devfreq/15480000.nvdec/cur_freq": "700000000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2201600\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48062\n",
        "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
        "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
        "sys/class/thermal/cooling_device0/cur_state": "3\n",
        "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0\n",
        "sys/class/thermal/cooling_device1/cur_state": "0\n",
        "var/lib/nvpmodel/status": "pmode:0000 fmode:fanNull\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_a_boards_state_is_read_rail_by_rail(board):
    state = read_sysfs(board)
    assert state.power_mw == {"VDD_GPU_SOC": 19000.0, "VDD_CPU_CV": 3800.0, "VIN_SYS_5V0": 4500.0}
    assert state.total_mw == 27300.0
    assert state.clocks_mhz == {"gpu": 1300.5, "cpu0": 2201.6}
    assert state.temperatures_c == {"cpu": 48.062}, "a zone that is off has no reading, and is none"
    assert (state.throttled, state.power_mode) == ((), "0000")
    assert is_tegra(board) and state.report()["total_mw"] == 27300.0
    assert state.report()["total_of"] == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


def test_a_modules_own_rail_is_its_total_and_the_others_are_parts_of_it(tmp_path):
    """Made up after NVIDIA's documentation of Orin NX and Orin Nano, not recorded on one."""
    rails = {"VDD_IN": (5000, 3000), "VDD_CPU_GPU_CV": (5000, 1400), "VDD_SOC": (5000, 700)}
    monitor = tmp_path / "sys/class/hwmon/hwmon0"
    monitor.mkdir(parents=True)
    (monitor / "name").write_text("ina3221\n")
    for number, (rail, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
        (monitor / f"in{number}_label").write_text(f"{rail}\n")
        (monitor / f"in{number}_input").write_text(f"{millivolts}\n")
        (monitor / f"curr{number}_input").write_text(f"{milliamperes}\n")
    state = read_sysfs(tmp_path)
    assert state.power_mw == {"VDD_IN": 15000.0, "VDD_CPU_GPU_CV": 7000.0, "VDD_SOC": 3500.0}
    assert (state.total_mw, state.total_of) == (15000.0, ("VDD_IN",))


def test_throttling_is_a_cooling_device_that_is_on_and_no_fan(board):
    (board / "sys/class/thermal/cooling_device1/cur_state").write_text("2\n")
    assert read_sysfs(board).throttled == ("cpufreq-cpu0",)


def test_another_machine_tells_nothing_and_is_no_jetson(tmp_path):
    state = read_sysfs(tmp_path)
    assert (state.power_mw, state.clocks_mhz, state.temperatures_c, state.power_mode) == ({}, {}, {}, None)
    assert state.total_mw is None and not is_tegra(tmp_path)
    tree = tmp_path / "proc/device-tree/compatible"
    tree.parent.mkdir(parents=True)
    tree.write_bytes(b"nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0")
    assert is_tegra(tmp_path)


def test_energy_is_the_area_above_idle():
    assert energy_j([0, 2, 3], [10_000, 10_000, 20_000]) == pytest.approx(20 + 15)
    assert energy_j([0, 10], [5_000, 5_000], idle_mw=5_000) == 0
    for seconds, power in (([0.0], [1.0]), ([0.0, 1.0], [1.0]), ([1.0, 1.0], [1.0, 1.0])):
        with pytest.raises(ValueError, match="expected"):
            energy_j(seconds, power)
