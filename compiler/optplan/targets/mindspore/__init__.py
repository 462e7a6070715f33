"""MindSpore: the view of a Cell, and a plan's optimizer with its schedules inside.

families  what is known of a Cell by its class      view      Cell -> Network
members   groups -> native optimizers               several   several optimizers behind one
table     curves as float32 tables                  update    what our own optimizers share
bind      plan x Cell -> Compiled                   compiled  what the user holds
checking  whether the Cell can be trained so        native    a plan's optimizer, with what knows its state
state     the state of parameters, as PyTorch's     adding    parameters that come to a run later
reports   what metrics that are reported change     variants  MindSpore's own optimizers, where built differently
scaling   loss scalers and the clip                 step      one training step
managers  loss scale managers for `Model`

The others are PyTorch's formulas as subclasses of `nn.Optimizer`: `adam`, `adaptive`, `adafactor`, `descent`,
`running`, `muon`, `lazy`.
"""
