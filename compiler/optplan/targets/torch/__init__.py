"""PyTorch: the view of a module, and a plan's optimizer, scheduler and hold on them.

view       module -> Network                    optimizer  several optimizers behind one
schedule   one LRScheduler for every curve      bind       plan x module -> Compiled
compiled   what the user holds
"""
