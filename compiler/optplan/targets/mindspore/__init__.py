"""MindSpore: the view of a Cell, and a plan's optimizer with its schedules inside.

families  what is known of a Cell by its class      view      Cell -> Network
members   groups -> native optimizers               several   several optimizers behind one
table     curves as float32 tables                  update    what our own optimizers share
bind      plan x Cell -> Compiled                   compiled  what the user holds
reports   what metrics that are reported change
weights   loading weights while training            variants  MindSpore's own optimizers, where built differently

The others are PyTorch's formulas as subclasses of `nn.Optimizer`: `adam`, `adaptive`, `adafactor`, `descent`,
`running`, `muon`, `lazy`.
"""
