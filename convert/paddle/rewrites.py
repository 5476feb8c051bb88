"""Changes to a finished Paddle program that keep what it computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from convert.paddle_internals import remove_operator, set_attribute


def free_batch(program: Any, feeds: Sequence[str]) -> bool:
    """Make the first dimension of every feed dynamic; whether anything had to be changed.

    Reshapes of activations that name a batch of 1 are told to keep the batch instead (Paddle
    reads a 0 in a reshape's target as "this dimension as it was"). Reshapes of parameters,
    such as a PReLU's slopes to (1, C, 1, 1), stay.
    """
    block = program.global_block()
    dependent = set(feeds)
    changed = False
    for name in feeds:
        var = block.var(name)
        if var.shape and var.shape[0] != -1:
            var.desc.set_shape([-1, *var.shape[1:]])
            changed = True
    for operator in block.ops:
        if not dependent.intersection(operator.input_arg_names):
            continue
        dependent.update(operator.output_arg_names)
        if operator.type == "reshape2":
            target = list(operator.attr("shape"))
            if target and target[0] == 1:
                set_attribute(operator, "shape", [0, *target[1:]])
                changed = True
    if changed:
        _infer_shapes(block)
    return changed


def attach_biases(program: Any) -> bool:
    """Add the biases of convolutions along the channel axis; whether there were any to change.

    Paddle's dynamic graph writes a bias as a reshape of the parameter to (1, C, 1, 1) and a
    general addition, which Paddle Inference does not fold into the convolution. An addition of
    the parameter itself along axis 1 it does, which saves a tenth to a fifth of the time.
    """
    block = program.global_block()
    readers = defaultdict(list)
    for operator in block.ops:
        for name in operator.input_arg_names:
            readers[name].append(operator)
    replaced = []
    for operator in block.ops:
        if not _reshapes_to_channels(block, operator):
            continue
        additions = readers[operator.output("Out")[0]]
        if additions and all(_adds_second(op, operator.output("Out")[0]) for op in additions):
            for addition in additions:
                addition.desc.set_input("Y", operator.input("X"))
                set_attribute(addition, "axis", 1)
            replaced.append(operator)
    for operator in replaced:
        place = next(i for i, other in enumerate(block.ops) if other is operator)
        remove_operator(block, place)
    return bool(replaced)


def _reshapes_to_channels(block: Any, operator: Any) -> bool:
    if operator.type != "reshape2" or len(operator.input_arg_names) != 1:
        return False
    source = block.var(operator.input("X")[0])
    if not source.persistable or len(source.shape) != 1:
        return False
    return list(operator.attr("shape")) in ([1, source.shape[0], 1, 1], [1, -1, 1, 1])


def _adds_second(operator: Any, name: str) -> bool:
    """Whether ``operator`` adds the tensor ``name`` to another one of the same rank."""
    return (
        operator.type == "elementwise_add"
        and operator.input("Y") == [name]
        and operator.input("X") != [name]
        and operator.attr("axis") in (-1, 0)
    )


def _infer_shapes(block: Any) -> None:
    for operator in block.ops:
        if operator.type not in ("feed", "fetch"):
            operator.desc.infer_shape(block.desc)
