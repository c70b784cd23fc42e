"""A running mean of weights: what is kept of a run."""

import torch
from torch import Tensor, nn


class RunningMean:
    """Exponential moving average of a network's state.

    Parameters
    ----------
    network : Module
        Its present state is where the mean starts.
    """

    def __init__(self, network: nn.Module) -> None:
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        """Move the mean by ``1 - decay`` towards the network's present state; whole numbers are copied."""
        current = network.state_dict()
        smooth = [name for name, value in self.state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in smooth], [current[n] for n in smooth], 1 - decay)
        for name in self.state.keys() - set(smooth):
            self.state[name].copy_(current[name])

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a stored mean."""
        for name, value in self.state.items():
            value.copy_(state[name])
