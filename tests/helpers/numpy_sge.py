"""SGE and its gradient in numpy, from the paper's formulas, in float64.

Written group by group and apart from the package, to hold it against.
"""

import numpy as np


def forward(x, weight, bias, groups, eps=1e-5, normalize=True):
    """Return SGE(x) for x of shape (N, C, H, W)."""
    y = np.empty_like(x)
    for index, part in _groups(x, groups):
        g, _, _ = _gate(part, weight, bias, index[1], eps, normalize)
        y[index[0], _channels(x, groups, index[1])] = (part * g).reshape(
            -1, *x.shape[2:]
        )
    return y


def backward(x, weight, bias, grad_y, groups, eps=1e-5, normalize=True):
    """Return the gradients of sum(SGE(x) * grad_y) by x, weight and bias."""
    grad_x = np.empty_like(x)
    grad_w, grad_b = np.zeros(groups), np.zeros(groups)
    for (n, k), part in _groups(x, groups):
        channels = _channels(x, groups, k)
        u = grad_y[n, channels].reshape(part.shape)
        g, t, s = _gate(part, weight, bias, k, eps, normalize)
        q = (u * part).sum(0) * g * (1 - g)
        grad_w[k] += (q * t).sum()
        grad_b[k] += q.sum()
        e = weight.flat[k] * q
        positions = part.shape[1]
        if not normalize:
            f = e
        elif s == 0:
            # One position or a constant map: t is 0 by definition.
            f = np.zeros_like(e)
        else:
            f = (e - e.mean()) / (s + eps) - t * (e * t).sum() / (
                (positions - 1) * s
            )
        m = part.mean(1, keepdims=True)
        total = (f * part).sum(1, keepdims=True)
        grad_x[n, channels] = (g * u + f * m + total / positions).reshape(
            -1, *x.shape[2:]
        )
    return grad_x, grad_w.reshape(1, -1, 1, 1), grad_b.reshape(1, -1, 1, 1)


def _channels(x, groups, k):
    c = x.shape[1] // groups
    return slice(k * c, (k + 1) * c)


def _groups(x, groups):
    for n in range(x.shape[0]):
        for k in range(groups):
            part = x[n, _channels(x, groups, k)]
            yield (n, k), part.reshape(part.shape[0], -1)


def _gate(part, weight, bias, k, eps, normalize):
    d = part.mean(1) @ part
    # A constant map has no spread, whatever rounding leaves of it.
    s = d.std(ddof=1) if len(d) > 1 and np.ptp(part, 1).any() else 0.0
    t = (
        d
        if not normalize
        else ((d - d.mean()) / (s + eps) if s else np.zeros_like(d))
    )
    return 1 / (1 + np.exp(-(weight.flat[k] * t + bias.flat[k]))), t, s
