"""Devices: what is asked for, or an error in words; another one never in silence."""

from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from engine_nets import Conv, complete, contract, conv_onnx, fields, loaded, packed, write

from coupler.engines import devices
from coupler.engines.base import load_engine
from coupler.engines.devices import resolve
from coupler.engines.onnx import Bound, providers
from coupler.errors import HaloclineError

BOTH = ("cuda", "tensorrt")


@pytest.mark.parametrize(
    ("asked", "rank", "kinds", "count", "device"),
    [
        ("cpu", 3, BOTH, 4, "cpu"), ("cuda", 0, BOTH, 4, "cuda:0"), ("cuda", 5, BOTH, 4, "cuda:1"),
        ("CUDA:2", 5, BOTH, 4, "cuda:2"), ("tensorrt", 1, BOTH, 2, "tensorrt:1"), ("tensorrt:0", 1, BOTH, 2, "tensorrt:0"),
        ("auto", 3, BOTH, 2, "cuda:1"), ("auto", 3, (), 2, "cpu"), ("auto", 3, BOTH, 0, "cpu"),
    ],
)  # fmt: skip
def test_ranks_are_spread_over_the_gpus(asked, rank, kinds, count, device):
    found, notes = resolve(asked, rank, kinds, count, "lib 1", "get it")
    assert found == device
    assert bool(notes) == (asked == "auto")
    assert all(device in note for note in notes)


@pytest.mark.parametrize(
    ("asked", "kinds", "count", "words"),
    [
        ("cuda", (), 0, "lib 1 is built for cpu; GPUs here: 0. get it, or set cn_device"),
        ("cuda", ("cuda",), 0, "GPUs here: 0. Check `nvidia-smi`"),
        ("cuda:2", ("cuda",), 2, "GPUs here: 2"),
        ("tensorrt", ("cuda",), 1, "built for cpu, cuda"),
        ("gpu", BOTH, 1, "'gpu' is not known. Allowed: 'cpu', 'cuda'"),
        ("cpu:1", BOTH, 1, "not known"),
    ],
)
def test_absent_devices_are_errors(asked, kinds, count, words):
    with pytest.raises(HaloclineError, match=words):
        resolve(asked, 0, kinds, count, "lib 1", "get it")


@pytest.mark.parametrize(("kind", "words"), [("onnx", "onnxruntime-gpu"), ("pt2", "CUDA build of torch")])
def test_this_machine_says_how_to_get_a_gpu_build(tmp_path, kind, words, monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    if kind == "pt2":
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    path = write(kind, tmp_path / f"net.{kind}")
    with pytest.raises(HaloclineError, match=words):
        load_engine(path, trust=True, device="cuda")
    assert any("'auto' chose cpu" in note for note in load_engine(path, trust=True, device="auto").notes)


def test_onnxruntime_that_falls_back_is_caught(monkeypatch):
    """onnxruntime lists CUDA, cannot start it, and runs on the CPU with one line in its log."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(devices, "gpu_count", lambda: 1)
    session = ort.InferenceSession
    monkeypatch.setattr(ort, "InferenceSession", lambda data, options, providers: session(data, options))
    data = packed(conv_onnx(Conv()), complete(Conv(), contract()))
    with pytest.raises(HaloclineError, match="fell back to CPUExecutionProvider.*cuDNN"):
        loaded(data, device="cuda")


def test_float32_is_float32_on_a_gpu():
    """tf32 is the CUDA provider's own default: it is set off unless asked for."""
    for precision, flag in (("", "0"), ("tf32", "1")):
        (name, switches), cpu = providers("cuda", 3, precision)
        assert (name, cpu) == ("CUDAExecutionProvider", "CPUExecutionProvider")
        assert (switches["device_id"], switches["use_tf32"]) == ("3", flag)
    assert providers("tensorrt", 0, "bf16")[0][1]["trt_bf16_enable"] == "True"
    assert providers("cpu", 0, "") == ["CPUExecutionProvider"]


def test_tensorrt_without_a_precision_is_refused(monkeypatch):
    everything = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    monkeypatch.setattr(devices, "gpu_count", lambda: 1)
    data = packed(conv_onnx(Conv()), complete(Conv(), contract()))
    with pytest.raises(HaloclineError, match="TensorRT computes in tf32 at best.*Set cn_precision"):
        loaded(data, device="tensorrt")


def test_bound_tensors_give_what_a_plain_run_gives():
    """The I/O binding of the GPU path, here with tensors on the CPU: kept per shape, new values each time."""
    engine = loaded(packed(conv_onnx(Conv()), complete(Conv(), contract())))
    bound = Bound(engine._session, ["x"], ["y"], "cpu", 0)
    for seed, shape in ((0, (2, 9, 8)), (1, (2, 9, 8)), (2, (1, 12, 9)), (3, (2, 9, 8))):
        inputs = fields(shape=shape, seed=seed)
        want = engine.run(inputs)
        got = bound.run([np.stack([inputs["u"], inputs["v"]], 1)])[0]
        assert np.array_equal(got[:, 0], want["du"])
        assert np.array_equal(got[:, 1], want["dv"])
    assert len(bound._kept) == 2


def test_gpus_are_counted_by_the_driver(monkeypatch):
    class Driver:
        def cuInit(self, flags):
            return 0

        def cuDeviceGetCount(self, number):
            number._obj.value = 3
            return 0

    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: Driver())
    assert devices.gpu_count() == 3
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: SimpleNamespace(cuInit=lambda flags: 100))
    assert devices.gpu_count() == 0


def test_a_python_file_chooses_its_own_device(tmp_path):
    path = write("py", tmp_path / "net.py")
    with pytest.raises(HaloclineError, match="itself decides where it computes"):
        load_engine(path, python_allow=["net.py"], device="cuda")
