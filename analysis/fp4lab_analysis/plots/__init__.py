"""The kinds of plot. Importing this package registers them, in the order of the documentation."""

from .errors import plot_error, plot_error_map, plot_rate_distortion  # isort: skip
from .numbers import plot_estimators, plot_transfer  # isort: skip
from .curves import plot_grad_norm, plot_loss  # isort: skip
from .layers import plot_clipping, plot_codes, plot_gemms, plot_layers, plot_scales  # isort: skip
from .compare import plot_effects, plot_final, plot_slots  # isort: skip
from .oscillation import (  # isort: skip
    plot_confidence,
    plot_flips,
    plot_oscillation,
    plot_trajectories,
)
from .arithmetic import plot_accumulator, plot_rounding  # isort: skip
from .attention import plot_attention, plot_router  # isort: skip
