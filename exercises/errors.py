"""What torch's and Python's error messages mean, where only one mistake leads to them."""

from __future__ import annotations

import re

WHOLE = "A size or place has to be a whole number: `/` gives 4.0 where `//` gives 4."
# (in the message, in the line of the learner's code, what it means); {0} is the first group found
MEANINGS = (
    (
        r"(list|tuple|dict|OrderedDict|<genexpr>) is not a Module subclass",
        r"",
        "`nn.Sequential` takes the layers one by one, and here it gets all of them in one thing: "
        "write `nn.Sequential(*layers)`, with a star.",
    ),
    (
        r"\b(\w*Tensor|int|float|str|bool) is not a Module subclass",
        r"",
        "Among the layers is something that is no layer, of the type `{0}`.",
    ),
    (
        r"\b([A-Z]\w*) is not a Module subclass",
        r"",
        "`{0}` is a class here; a layer is made by calling it, with brackets: `{0}()`, or through "
        "the argument's name, such as `activation()` and `pooling(2)`.",
    ),
    (
        r"([\w<>]+) is not a Module subclass",
        r"",
        "`{0}` is a function, and among layers there has to be a layer, such as `nn.ReLU()` for "
        "`F.relu`. (A function is called in `forward`.)",
    ),
    (
        r"name '(\w+)' is not defined",
        r"",
        "`{0}` has no value there. Is it spelled as where you made it, and if it belongs to the "
        "object, does it begin with `self.`?",
    ),
    (
        r"cat\(\): argument 'tensors' .* must be tuple of Tensors, not Tensor",
        r"",
        "`torch.cat` takes one list of tensors: `torch.cat([a, b], dim=1)`.",
    ),
    (
        r"\b(cat|concat|stack|hstack)\(\) takes .*positional argument",
        r"",
        "`torch.{0}` takes one list of tensors, with square brackets: `torch.{0}([a, b, …])`.",
    ),
    (
        r"(\w+)\.__init__\(\) missing 1 required positional argument: '(\w+)'",
        r"",
        "A layer is made without one of its arguments: `{0}` needs `{1}` too.",
    ),
    (
        r"running_mean should contain (\d+) elements not (\d+)",
        r"",
        "A batch norm for {1} channels gets maps with {0}.",
    ),
    (
        r"Boolean value of Tensor with more than one value is ambiguous",
        r"",
        "An `if` (or `and`, `or`, `max`, `min`) of Python needs one True or False, and gets a "
        "whole tensor.",
    ),
    (
        r"torch\.return_types\.(\w+)",
        r"",
        "`{0}(dim=…)` of torch gives two things, the values and their places: take `.values`.",
    ),
    (
        r"string index out of range|too many values to unpack",
        r"^.*\bfor\b.* in (?!.*(?:items|values|zip|enumerate)\()",
        "A loop over a dictionary gives its keys; `.values()` gives what is stored, `.items()` "
        "gives both.",
    ),
    (
        r"cannot assign '[^']*' as parameter '(\w+)'",
        r"",
        "A weight of a layer is an `nn.Parameter`, and `=` would put a tensor in its place: write "
        "`layer.{0} = nn.Parameter(…)`, or fill it with `layer.{0}.copy_(…)` inside "
        "`with torch.no_grad():`.",
    ),
    (
        r"a leaf Variable that requires grad.* in-place",
        r"",
        "Weights are filled inside `with torch.no_grad():`, for example by "
        "`layer.weight.copy_(…)`.",
    ),
    (
        r"Dimension out of range \(expected to be in range of \[-\d+, (\d+)\], but got (\d+)\)",
        r"",
        "Axes are counted from 0: this tensor has the axes 0 to {0}, so there is no axis {1}.",
    ),
    (
        r"channels must be divisible by groups",
        r"",
        "Without `groups` every kernel sees all channels. With it the channels are split, and both "
        "numbers of channels have to be multiples of it.",
    ),
    (
        r'Module \[Module(List|Dict)\] is missing the required "forward" function',
        r"",
        "`nn.Module{0}` only keeps layers and cannot be called. `nn.Sequential` calls its layers "
        "one after the other.",
    ),
    (
        r'is missing the required "forward" function',
        r"",
        "The module has no `forward`. Is it missing, spelled otherwise, or indented so that it is "
        "inside `__init__`?",
    ),
    (
        r"unexpected keyword argument '(dims|axes)'|got \(.*\b(dims|axes)=",
        r"",
        "torch calls this argument `dim`, for one axis and for several.",
    ),
    (
        r"'NoneType' object",
        r"\.grad\b",
        "`.grad` is None: either the tensor was made without `requires_grad=True`, or `backward()` "
        "has not run on something computed from it.",
    ),
    (
        r"(max|min)\(\)( arg is an| iterable argument is) empty",
        r"",
        "`{0}` gets nothing to choose from: no entry meets your condition. Compare its numbers "
        "with those in the table, and their units.",
    ),
    (
        r"does not require grad",
        r"",
        "Something cuts the result off from what the gradient is asked for: a tensor without "
        "`requires_grad=True`, `torch.no_grad()`, `.detach()` or `.data`.",
    ),
    (
        r"modified by an inplace operation",
        r"backward",
        "What `backward()` still needs has been changed in place before it: does "
        "`optimizer.step()` (which moves the weights), or something like `+=`, come first?",
    ),
    (
        r"log_softmax_\w+\" not implemented for 'Long'|multi-target not supported",
        r"(?:cross_entropy|CrossEntropyLoss\(\)|nll_loss)\(\s*(?:labels|targets|y)\b",
        "The logits come first, the labels second: `F.cross_entropy(logits, labels)`.",
    ),
    (
        r"log_softmax_\w+\" not implemented for 'Long'",
        r"",
        "`F.cross_entropy` gets whole numbers in the place of the logits. The logits come first, "
        "the labels second, and `argmax` is for counting only.",
    ),
    (
        r"multi-target not supported",
        r"",
        "`F.cross_entropy` gets the labels as they are, one number for each image: they need no "
        "`F.one_hot`.",
    ),
    (
        r"expected target dtype to be Long",
        r"",
        "Labels are whole numbers, as the data gives them; here they have become floats.",
    ),
    (
        r"'Tensor' object has no attribute 'zero_grad'",
        r"",
        "`zero_grad()` belongs to the optimizer: `optimizer.zero_grad()`.",
    ),
    (
        r"'(?:builtin_function_or_method|method)'",
        r"",
        "A method is used without being called: its brackets are missing, as in `x.item()`.",
    ),
    (
        r"'bool' object is not callable",
        r"\.training\(\)",
        "`training` is True or False and no function: write `self.training`, without brackets.",
    ),
    (
        r"floating point type for target",
        r"",
        "`F.cross_entropy` takes the logits themselves, not the class that `argmax` finds.",
    ),
    (
        r"created only for scalar outputs",
        r"",
        "`backward()` needs one number: add up, or take the mean, before it.",
    ),
    (
        r"'(float|int)' object has no attribute 'backward'",
        r"",
        "`.item()` makes a plain number, which remembers nothing of how it was computed; call it "
        "at the end, for the `return`.",
    ),
    (
        r"backward through the graph a second time",
        r"",
        "`backward()` runs twice on the same graph; once is right.",
    ),
    (
        r"but found element of type float|'float' object cannot be interpreted as an integer"
        r"|must be tuple of ints, ?but got float|!tuple of \(float"
        r"|slice indices must be integers|zeros\(\) takes 1 positional argument but 2",
        r"",
        WHOLE,
    ),
    (
        r"expanded size of the tensor \(0\)|shape '\[0",
        r"\[[^\]]*(\w+) ?: ?-\1\b",
        "A slice such as `[p:-p]` is empty where p is 0 (there is no padding then): write "
        "`[p : p + height]`.",
    ),
    (
        r"could not create a primitive descriptor for the convolution",
        r"",
        "A convolution has a size that cannot be, such as a kernel of 0×0.",
    ),
    (
        r"before Module.__init__\(\) call",
        r"",
        "`__init__` has to begin with `super().__init__()`, which prepares a module.",
    ),
    (
        r"Input type \(\w+\) and \w+ type \(\w+\) should be the same"
        r"|must have the same dtype, but got (?:Double|Float)|expected .*(?:Double|Float) but",
        r"",
        "Numbers of 64 bits (float64, double) meet numbers of 32 bits (float32). Layers have and "
        "expect 32 bits: `.float()` makes 32 bits of 64.",
    ),
    (
        r"\(1x(\d+) and (\d+)x\d+\)",
        r"",
        "A matrix product (as in a linear layer) gets one single row, of {0} numbers, and expects "
        "rows of {1}. If this row holds all images, a flatten (or `view(-1)`) took in the axis of "
        "the images too; keep it.",
    ),
    (
        r"\(\d+x1 and (\d+)x\d+\)",
        r"",
        "A matrix product (as in a linear layer) gets rows of one number and expects {0}. If these "
        "are maps of one pixel, flatten them first (`nn.Flatten()`).",
    ),
    (
        r"\(\d+x(\d+) and (\d+)x\d+\)",
        r"",
        "A matrix product (as in a linear layer) gets rows of {0} numbers and expects {1}.",
    ),
    (
        r"expected input\[.*\] to have 1 channels, but got (\d+) channels",
        r"",
        "A convolution for one channel gets maps with {0}.",
    ),
    (
        r"expected input\[.*\] to have (\d+) channels, but got (\d+) channels",
        r"",
        "A convolution for {0} channels gets maps with {1}.",
    ),
    (
        r"argument '\w+' (?:\(position \d+\) )?must be Tensor, not (int|float)\b",
        r"",
        "A function for tensors gets a plain number (`{0}`). Where numbers of channels are handed "
        "in, a module is to be made, and the maps come later, when it is called.",
    ),
    (
        r"maximum recursion depth exceeded",
        r"",
        "Something calls itself again and again, as `self(maps)` would in `forward`.",
    ),
    (
        r"'\w+' object has no attribute '(\w+)'",
        r"\bself\.{0}\b",
        "`self.{0}` does not exist here: no line assigns it, or only one in an `if` or `else` that "
        "does not run for these arguments.",
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        r"",
        "What needs a gradient has to stay a torch tensor: NumPy cannot remember it.",
    ),
)


def meaning(message: str, line: str) -> str:
    """What an error message means, in a sentence, or nothing; `line` is the code that raised it."""
    for pattern, code, words in MEANINGS:
        found = re.search(pattern, message, re.DOTALL)
        if found and re.search(code.replace("{0}", (*found.groups(), "")[0] or ""), line):
            return words.format(*found.groups())
    return ""
