"""How much memory a fit can still have."""

import psutil


def available_bytes(device: str) -> int:
    """Memory of this device that is free, or can be freed without swapping."""
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
