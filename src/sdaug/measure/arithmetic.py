"""What number formats this processor computes in by itself."""


def has_arithmetic(dtype: str) -> bool:
    """Whether oneDNN, which PyTorch computes with on a CPU, has fast kernels for `dtype` on this one: "float32",
    "bfloat16" or "float16". Without them a convolution takes ten to a hundred times as long as in float32.

    >>> has_arithmetic("float32")
    True
    """
    import torch

    checks = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}
    if dtype == "float32":
        return True
    check = getattr(torch.ops.mkldnn, checks[dtype], None)  # a PyTorch without oneDNN has none
    return check is not None and bool(check())
