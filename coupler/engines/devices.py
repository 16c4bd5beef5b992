"""Which device runs a network: what is asked for, or an error; never another one in silence."""

import ctypes
import re
from types import ModuleType

from coupler.errors import HaloclineError

_ASKED = re.compile(r"(cpu|auto|cuda|tensorrt)(?::(\d+))?")


def resolve(
    asked: str, local_rank: int, kinds: tuple[str, ...], count: int, library: str, remedy: str
) -> tuple[str, tuple[str, ...]]:
    """The device, 'cpu' or KIND:N, and notes for the user.

    asked: 'cpu', 'cuda', 'cuda:N', 'tensorrt', 'tensorrt:N', or 'auto' (a GPU if there is one, and a note says which). A
    GPU without a number is number local_rank % count: the coupler ranks of a node are spread over its GPUs. kinds: GPU
    back ends that `library` was built with; count: GPUs of this machine; remedy: how to get a build that has them.
    HaloclineError if what is asked for is not there.
    """
    found = _ASKED.fullmatch(asked.strip().lower())
    if found is None or (found[1] in ("cpu", "auto") and found[2]):
        raise HaloclineError(
            f"cn_device = '{asked}' is not known. Allowed: 'cpu', 'cuda', 'cuda:N', 'tensorrt', 'tensorrt:N', 'auto'."
        )
    kind, number = found[1], found[2]
    there = f"{library} is built for {', '.join(('cpu', *kinds))}; GPUs here: {count}"
    if kind == "cpu":
        return "cpu", ()
    if kind == "auto":
        chosen = f"cuda:{local_rank % count}" if "cuda" in kinds and count else "cpu"
        return chosen, (f"cn_device = 'auto' chose {chosen} ({there})",)
    if kind not in kinds:
        raise HaloclineError(f"cn_device = '{asked}', but {there}. {remedy}, or set cn_device to 'cpu' or 'auto'.")
    if count == 0 or int(number or 0) >= count:
        raise HaloclineError(
            f"cn_device = '{asked}', but {there}. Check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or set cn_device to 'cpu' or 'auto'."
        )
    return f"{kind}:{local_rank % count if number is None else int(number)}", ()


def split(device: str) -> tuple[str, int]:
    """('cuda', 1) of 'cuda:1'; ('cpu', 0) of 'cpu'."""
    kind, _, number = device.partition(":")
    return kind, int(number or 0)


def torch_device(asked: str, local_rank: int, torch: ModuleType) -> tuple[str, tuple[str, ...]]:
    """`resolve` with what this torch has."""
    built = torch.backends.cuda.is_built()
    return resolve(
        asked,
        local_rank,
        ("cuda",) if built else (),
        torch.cuda.device_count() if built else gpu_count(),
        f"torch {torch.__version__}",
        "Install a CUDA build of torch (pytorch.org, 'Get started'); TensorRT is for .onnx files",
    )


def onnx_device(asked: str, local_rank: int, ort: ModuleType) -> tuple[str, tuple[str, ...]]:
    """`resolve` with what this onnxruntime has."""
    available = ort.get_available_providers()
    return resolve(
        asked,
        local_rank,
        tuple(kind for kind, provider in PROVIDERS.items() if provider in available and kind != "cpu"),
        gpu_count(),
        f"onnxruntime {ort.__version__}",
        "`pip uninstall onnxruntime; pip install onnxruntime-gpu`",
    )


PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def gpu_count() -> int:
    """GPUs that the CUDA driver shows this process (CUDA_VISIBLE_DEVICES counts); 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    number = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(number)) != 0:
        return 0
    return number.value
