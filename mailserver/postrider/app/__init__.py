"""The composition root: builds and wires the objects of each process; nothing else constructs them."""
