"""What training has come to, as data: by canonical parameter name and field, whatever framework it is of.

saved      the plain dict of `compiled.state_dict()` <-> Saved, every part held against its type
fields     what state an optimizer has of a parameter, and in which shape
compare    Saved x Plan -> what goes where, and what differs; settings: of these alone
files      Saved <-> one safetensors file, whole or not at all
stock      the state dicts of torch.optim and of torch.distributed.checkpoint <-> Saved
"""
