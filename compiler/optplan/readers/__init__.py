"""The bytes of a file to what a network's parameters are called and look like.

Takes files from anywhere: their content is untrusted, so nothing in them is ever run, imported or believed.  Gives
names, shapes and dtypes.  Guarantees that no framework is loaded, that tensors' data is not read, that time and memory
stay in proportion to the part that is read, and that whatever is wrong is one `ReadError`.
"""
