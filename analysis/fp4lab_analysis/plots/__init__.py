"""The kinds of plot. Importing this package registers them, in the order of the documentation."""

from .errors import plot_error, plot_error_map, plot_rate_distortion  # isort: skip
from .curves import plot_grad_norm, plot_loss  # isort: skip
from .layers import plot_clipping, plot_codes, plot_gemms, plot_layers, plot_scales  # isort: skip
