"""TorchEngine: the same protocol as the ONNX engine, on a CPU or a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["TorchEngine"]


class TorchEngine:
    """Run a network: ``maps = engine(batch)``.

    Parameters
    ----------
    module : nn.Module
        Gives logits; put into evaluation mode here.
    device : str
        ``cpu`` or ``cuda``.
    half : bool
        Compute in bfloat16 where the device has it (maps still come back as float32).
    """

    def __init__(self, module: nn.Module, device: str = "cpu", *, half: bool = False) -> None:
        self.device = torch.device(device)
        self.half = half and (self.device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False))
        self.module = module.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the maps, float32 (N, C, H, W) in 0..1."""
        try:
            return self._maps(batch_NCHW)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # gives back the rest of this batch, so that a smaller one fits
            raise

    def _maps(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        x_NCHW = torch.from_numpy(np.ascontiguousarray(batch_NCHW)).to(self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits_NCHW = self.module(x_NCHW.contiguous(memory_format=torch.channels_last))
        return np.ascontiguousarray(torch.sigmoid(logits_NCHW.float()).cpu().numpy())
