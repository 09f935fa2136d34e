"""BatchNorm over the frames of all processes that train together (section 3.1), on any device.

torch's own SyncBatchNorm runs on accelerators only. In a single process, and in evaluation, this is torch's BatchNorm.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.nn.modules.batchnorm import _BatchNorm


class FrameNorm(_BatchNorm):
    """(N, D) or (N, D, H, W) -> the same, each of D channels with mean 0 and variance 1 over all N of all processes.

    N may differ between processes, and may be 0 in some. All processes must call it the same number of times.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"(N,D) or (N,D,H,W) expected, got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """(N, D) or (N, D, H, W) -> the same shape."""
        is_shared = self.training and distributed.is_available() and distributed.is_initialized()
        if not is_shared or distributed.get_world_size() == 1:
            return super().forward(input)
        from torch.distributed.nn.functional import all_reduce  # only in builds with distributed support

        self._check_input_dim(input)
        values, shape = input.float(), [1, -1] + [1] * (input.dim() - 2)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        own_count = values.new_full((1,), input.numel() / self.num_features)
        total: Tensor = all_reduce(torch.cat([values.sum(axes), own_count]))  # type: ignore[no-untyped-call]
        mean, count = total[:-1] / total[-1], total[-1]
        centred = values - mean.view(shape)
        variance: Tensor = all_reduce(centred.square().sum(axes)) / count  # type: ignore[no-untyped-call]
        self._remember(mean.detach(), variance.detach(), count.detach())
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        return (normal * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics as torch does, with the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count.double() / (count - 1).clamp(min=1)), self.momentum)
