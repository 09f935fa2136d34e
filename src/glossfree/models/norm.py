"""BatchNorm over the frames of all processes that train together (section 3.1), on any device.

torch's own SyncBatchNorm knows accelerators only. With one process, and in evaluation, this is torch's BatchNorm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.modules.batchnorm import _BatchNorm


class FrameNorm(_BatchNorm):
    """(N, D) or (N, D, H, W) -> the same, each of D channels with mean 0 and variance 1 over all N of all processes.

    N may differ between processes, and may be 0 in some. All of them must come here equally often.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"(N,D) or (N,D,H,W) expected, got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """(N, D) or (N, D, H, W) -> the same shape."""
        together = self.training and distributed.is_available() and distributed.is_initialized()
        if not together or distributed.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        values, shape = input.float(), [1, -1] + [1] * (input.dim() - 2)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        own_count = values.new_full((1,), input.numel() / self.num_features)
        total = all_sum(torch.cat([values.sum(axes), own_count]))
        mean, count = total[:-1] / total[-1], total[-1]
        centred = values - mean.view(shape)
        variance = all_sum(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach(), float(count.detach()))
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        return (normal * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics, the variance without bias, as torch does."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)


class AllSum(torch.autograd.Function):
    """The same tensor of each process -> their sum. Each process's loss pulls at every summand: so do gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Sum over processes."""
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        """The sum of all processes' gradients, for each of them."""
        total: Tensor = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def all_sum(values: Tensor) -> Tensor:
    """The same tensor of each process -> their sum; gradients flow back to all of them."""
    total: Tensor = AllSum.apply(values)  # type: ignore[no-untyped-call]
    return total
