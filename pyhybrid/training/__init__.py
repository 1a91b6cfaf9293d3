"""The one training loop of the models that stand on torch.

A model brings its network, its batches, its loss and a figure to stop by; `loop.train` brings the
rest: AdamW, schedule, mixed precision, clipping, early stopping, checkpoints and progress. Torch is
loaded when something is trained, not when this package is imported.
"""

from __future__ import annotations
