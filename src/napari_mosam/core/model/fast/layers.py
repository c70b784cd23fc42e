"""The layers of the fast path: weights cast and laid out once, and what follows a product computed with it.

Where oneDNN has kernels for it (bfloat16 on a processor), a weight is laid out as its kernels want it, and the
activation or the residual that follows is part of the product. Elsewhere torch's own functions do the same. A residual
in float32 stays so: products are in the type of the weights, and sums in the type of what they are added to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from napari_mosam.core.model.device import has_matrix_unit

Activation = Literal["none", "gelu", "relu"]

MOST_LOGITS = 2**20
"""Of one head and window, up to which they are held: 2 MB in bfloat16, as much as a cache."""

_PLAIN: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": functional.gelu,
    "relu": functional.relu,
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A linear layer and its activation.

    Attributes
    ----------
    weight : Tensor
        Shape (outputs, inputs); opaque where `packed`.
    bias : Tensor, shape (outputs,), or None
    activation : str
    packed : bool
        Whether the weight is laid out for oneDNN.
    """

    weight: Tensor
    bias: Tensor | None
    activation: Activation
    packed: bool

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """The layer on (…, inputs), added to `onto` (…, outputs) in the type of that; (…, outputs)."""
        seen = x.to(self.weight.dtype)
        if onto is not None and self.packed and onto.dtype == seen.dtype:
            return torch.as_tensor(_one_dnn()._linear_pointwise.binary(seen, onto, self.weight, self.bias, "add"))
        y = self._alone(seen)
        return y if onto is None else y.to(onto.dtype).add_(onto)

    def _alone(self, x: Tensor) -> Tensor:
        if not self.packed:
            return _PLAIN[self.activation](functional.linear(x, self.weight, self.bias))
        algorithm = "none" if self.activation == "gelu" else ""
        return torch.as_tensor(_one_dnn()._linear_pointwise(x, self.weight, self.bias, self.activation, [], algorithm))


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """Normalisation of each token over its channels."""

    weight: Tensor
    bias: Tensor
    epsilon: float
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """Of (…, C)."""
        seen = x if x.device.type == "cpu" else x.float()  # cards have no kernel for bfloat16 with weights in float32
        return functional.layer_norm(seen, self.weight.shape, self.weight, self.bias, self.epsilon).to(self.dtype)


def _one_dnn() -> Any:
    """Torch's door to oneDNN's kernels."""
    return torch.ops.mkldnn


Layers = Sequence[Dense]


def through(layers: Layers, x: Tensor) -> Tensor:
    """`x` through one layer after the other."""
    for layer in layers:
        x = layer(x)
    return x


def mixed(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention: a mean of the values for each query, weighed by softmax(q k^T + bias).

    Torch's fused kernel is made for cards, for processors with a matrix unit and for sequences whose logits are too
    many to be held. Other processors are twice as fast with two products; in float32 where the values are narrow.

    Parameters
    ----------
    queries : Tensor, shape (…, N, C)
        Divided by the root of C already.
    keys : Tensor, shape (…, K, C)
    values : Tensor, shape (…, K, M)
        M is C at most.
    bias : Tensor, shape (…, 1, K), or None
        Added to the logits.

    Returns
    -------
    Tensor, shape (…, N, M)
    """
    if _two_products(queries, keys, values):
        logits = queries @ keys.mT
        return (logits if bias is None else logits.add_(bias)).softmax(-1) @ values
    width, n = queries.shape[-1], values.shape[-1]
    padded = functional.pad(values, (0, width - n))  # of another width torch would hold the logits, too
    q, k, v = (_with_heads(x) for x in (queries, keys, padded))
    mask = None if bias is None else _with_heads(bias)
    found = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    return found.reshape(*queries.shape[:-1], width)[..., :n]


def _two_products(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    if queries.device.type != "cpu" or has_matrix_unit() or queries.shape[-2] * keys.shape[-2] > MOST_LOGITS:
        return False
    return queries.dtype == torch.bfloat16 or values.shape[-1] < keys.shape[-1]


def _with_heads(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x[:, None]


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes layers of sam2's modules.

    Attributes
    ----------
    dtype : torch.dtype
        In which is computed.
    device : torch.device
    """

    dtype: torch.dtype
    device: torch.device

    @property
    def packs(self) -> bool:
        """Whether oneDNN lays the weights out."""
        native = self.device.type == "cpu" and self.dtype == torch.bfloat16
        return native and torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")

    def tensor(self, values: Tensor) -> Tensor:
        """Values in the type in which is computed."""
        return values.detach().to(self.device, self.dtype).contiguous()

    def exact(self, values: Tensor) -> Tensor:
        """Values in float32."""
        return values.detach().to(self.device, torch.float32).contiguous()

    def dense(self, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Dense:
        """Of a weight (outputs, inputs), or of one of a 1 x 1 convolution."""
        cast = self.tensor(weight.flatten(1))
        laid_out = torch.ops.mkldnn._reorder_linear_weight(cast, None) if self.packs else cast
        return Dense(laid_out, None if bias is None else self.tensor(bias), activation, self.packs)

    def of(self, module: Any, activation: Activation = "none") -> Dense:
        """Of a linear module or a 1 x 1 convolution."""
        return self.dense(module.weight, module.bias, activation)

    def of_two(self, first: Any, second: Any) -> Dense:
        """Of two linear modules or 1 x 1 convolutions, one after the other, as one layer."""
        # in main memory, since Apple's devices have no double precision
        inner, outer = (layer.weight.detach().cpu().double().flatten(1) for layer in (first, second))
        bias = outer @ first.bias.detach().cpu().double() + second.bias.detach().cpu().double()
        return self.dense((outer @ inner).float(), bias.float())

    def norm(self, module: Any) -> Norm:
        """Of a normalisation over channels."""
        return Norm(self.exact(module.weight), self.exact(module.bias), module.eps, self.dtype)

    def perceptron(self, module: Any) -> list[Dense]:
        """Of sam2's MLP, whose hidden layers have a ReLU."""
        *hidden, last = module.layers
        return [*(self.of(layer, "relu") for layer in hidden), self.of(last)]
