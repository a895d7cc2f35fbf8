"""What X.__new__(X) makes was never constructed: no class, method, property or function takes it.

Nothing here lists classes or functions: all that is compiled is walked through, with arguments made
from the signatures. It runs in a process of its own, which a use that is not refused may end.
"""

import ast
import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
from test_pickling import classes

import normlab as nl
import normlab._core as core

MODULES = (core, core.nn, core.optim, core.text, core.cuda, core.parse)
REFUSAL = r"call super\(\).__init__\(\) before anything else"
UNTOUCHED = {"__init__", "__setstate__", "__iter__", "__array_ufunc__"}
"""What constructs, and what gives self back without a look at it."""

NAMES = {f"{m.__name__}.{n}": c for m in MODULES for n, c in vars(m).items() if c in classes()}

VALUES: dict[str, Any] = {
    "None": None,
    "bool": True,
    "int": 1,
    "float": 1.0,
    "str": "a",
    "bytes": b"a",
    "os.PathLike": "/nonexistent/x",
    "typing.SupportsInt": 1,
    "typing.SupportsFloat": 1.0,
    "numpy.typing.DTypeLike": "float32",
    "typing.Any": 1,
    "object": 1,
}


class Wanted:
    """Makes arguments; one of them, or something in it, is a shell of a class."""

    def __init__(self, shelled: type | None = None) -> None:
        self.shelled = shelled

    def has(self, node: ast.expr) -> bool:
        """Whether a shell would fit there."""
        names = {ast.unparse(n) for n in ast.walk(node) if isinstance(n, ast.expr)}
        return any(map(self.fits, names))

    def fits(self, name: str) -> bool:
        return self.shelled is not None and issubclass(self.shelled, NAMES.get(name, int))

    def make(self, node: ast.expr) -> Any:
        text = ast.unparse(node)
        if isinstance(node, ast.BinOp):
            return self.make(node.right if self.has(node.right) else node.left)
        if isinstance(node, ast.Subscript):
            return self.container(ast.unparse(node.value).rpartition(".")[2], node.slice)
        if self.shelled and self.fits(text):
            return self.shelled.__new__(self.shelled)
        if text in NAMES:
            return instance(NAMES[text])
        return VALUES.get(text, object())

    def container(self, kind: str, inner: ast.expr) -> Any:
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if kind in ("Mapping", "dict"):
            return {self.make(items[0]): self.make(items[1])} if self.has(inner) else {}
        if kind in ("Callable", "PathLike", "dtype", "ndarray"):
            return VALUES.get(f"os.{kind}", object())
        made = [self.make(item) for item in items] if self.has(inner) or kind == "tuple" else []
        return tuple(made) if kind == "tuple" else made


@lru_cache
def instance(cls: type) -> Any:
    """A constructed object, where a function needs one beside the shell."""
    word = nl.parse.Word("a", upos="DET", head=0, deprel="root")
    sentence = nl.parse.Sentence([word])
    vocabulary = nl.parse.Vocabulary(["a"], ["DET"], ["root"], "root")
    tags = nl.parse.TagVocabulary.of([sentence])
    network = nl.parse.Network(len(vocabulary), vocabulary.transitions.classes)
    model = nl.parse.Model(network, vocabulary)
    classifier = nl.text.Classifier(2, size=4, heads=1, hidden=4, layers=1)
    words = nl.text.Vocabulary(["a"])
    characters = nl.language.Vocabulary("a")
    language = nl.language.LanguageModel(2, 4, size=4, heads=1, hidden=4, layers=1)
    writing = nl.language.Model(language, characters)
    table = nl.ones((5, 2), requires_grad=True)
    nl.embedding(table, nl.tensor([3, 1])).sum().backward()
    with nl.probe() as probe:
        nl.nn.Norm("layernorm", 4)(nl.randn(2, 4))
    weight = nl.nn.Parameter(nl.ones(2))
    made = [
        *(nl.ones(2, 2), table.sparse_grad, core._NoGradGuard(), nl.Generator(1), nl.cuda.Graph()),
        *(probe, probe.records[0], probe.records[0].x, word, sentence, vocabulary, tags, network),
        *(model, nl.parse.Parser(model), vocabulary.transitions, nl.parse.State(1)),
        *(nl.parse.Reader([]), nl.parse.score([sentence], [sentence])),
        *(nl.parse.examples([sentence], vocabulary), nl.parse.tag_examples([sentence], tags)),
        *(words, nl.text.pack([[1]]), classifier, nl.text.Model(classifier, words, ["a", "b"])),
        *(characters, language, writing, nl.language.Writer(writing, "a")),
        *(nl.nn.Module(), nl.nn.Norm("layernorm", 4), nl.nn.Activate("relu"), nl.nn.Sequential()),
        *(nl.optim.SGD([weight], 0.1), nl.optim.Adam([weight]), nl.optim.AdamW([weight])),
    ]
    exact = [one for one in made if type(one) is cls]
    fitting = exact or [one for one in made if isinstance(one, cls)]
    return fitting[0] if fitting else cls(*[1] * len(ones(cls)))


def ones(cls: type) -> list[ast.arg]:
    """The arguments of the constructor that have no default."""
    (arguments, *_) = signatures(vars(cls)["__init__"])
    return arguments.args[1 : len(arguments.args) - len(arguments.defaults)]


def signatures(function: Any) -> list[ast.arguments]:
    lines = re.findall(r"^(?:\d+\. )?\w+(\(.*\)) -> ", function.__wrapped__.__doc__, re.M)
    return [ast.parse(f"def f{line}: ...").body[0].args for line in lines]  # type: ignore[attr-defined]


def function_of(member: Any) -> Any:
    function = getattr(member, "__func__", member)
    return function if type(function) is type(nl.relu) else None


def functions() -> Iterator[tuple[str, Any]]:
    """(name, function) of all that is compiled, accessors of properties too."""
    for module in MODULES:
        for name, value in vars(module).items():
            held = vars(value).items() if value in classes() else [("", value)]
            for key, member in held:
                label = f"{module.__name__}.{name}.{key}"
                accessors = [member.fget, member.fset] if isinstance(member, property) else [member]
                for function in filter(None, map(function_of, accessors)):
                    yield label, function


def uses() -> Iterator[tuple[str, Any]]:
    """A name and a call for each place of each function where an object of a class may stand."""
    for label, function in functions():
        for arguments in signatures(function):
            takes = [a for a in [*arguments.args, *arguments.kwonlyargs] if a.annotation]
            own = label.rpartition(".")[2] in UNTOUCHED
            for argument in takes[own:]:
                for text, cls in NAMES.items():
                    wanted = Wanted(cls)
                    if not wanted.has(argument.annotation):
                        continue
                    makers = [wanted if a is argument else Wanted() for a in takes]
                    made = [m.make(a.annotation) for m, a in zip(makers, takes, strict=True)]
                    if own:  # another call of __init__ would do nothing
                        cls_of_self = NAMES[ast.unparse(takes[0].annotation)]
                        made[0] = cls_of_self.__new__(cls_of_self)
                    n = len(takes) - len(arguments.kwonlyargs)
                    named = {a.arg: value for a, value in zip(takes[n:], made[n:], strict=True)}
                    where = f"{argument.arg}: {ast.unparse(argument.annotation)}"
                    yield f"{label}({where}), of {text}", partial(function, *made[:n], **named)


if __name__ == "__main__":
    tried = 0
    for label, use in uses():
        print(label, flush=True)
        try:
            use()
        except nl.ArgumentError as error:
            assert re.search(REFUSAL, str(error)), f"{label}: {error}"
        except Exception as error:
            raise SystemExit(f"{label}: {type(error).__name__}: {error}") from error
        else:
            raise SystemExit(f"{label}: taken")
        tried += 1
    gc.collect()
    print(tried)


def test_nothing_takes_a_shell() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__))], capture_output=True, text=True, timeout=600
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
    assert int(lines[-1]) > 400


def test_a_subclass_that_forgot_is_called_by_its_name() -> None:
    class Net(nl.nn.Module):
        def __init__(self) -> None:
            self.eval()

    class Forgetful(nl.Generator):
        def __init__(self) -> None:
            pass

        def draw(self) -> nl.Tensor:
            return nl.rand(3, generator=self)

    with pytest.raises(nl.ArgumentError, match=f"^Net: {REFUSAL}$"):
        Net()
    with pytest.raises(TypeError, match="__init__"):
        Forgetful()
    with pytest.raises(nl.ArgumentError, match=f"Forgetful: {REFUSAL}$"):
        Forgetful.__new__(Forgetful).draw()


def test_what_belongs_to_another_object_is_no_shell() -> None:
    with nl.probe() as probe:
        nl.nn.Norm("layernorm", 4)(nl.randn(2, 4))
    record = probe.records[0]
    assert record.x.norm > 0 and "RowMoments(" in repr(record.z)
    for model in map(instance, (nl.text.Model, nl.language.Model, nl.parse.Model)):
        assert len(model.vocabulary) > 0
    assert len(instance(nl.parse.Parser).model.vocabulary.labels) == 1


def test_of_two_bases_both_are_constructed() -> None:
    class Both(nl.nn.Linear, nl.Generator):
        def __init__(self, *, both: bool) -> None:
            nl.nn.Linear.__init__(self, 2, 3)
            if both:
                nl.Generator.__init__(self, 7)

    both = Both(both=True)
    assert both(nl.ones(1, 2)).shape == (1, 3) and both.seed == 7
    both.part = nl.nn.ReLU()
    assert [name for name, _ in both.named_modules()] == ["part"]
    gc.collect()
    with pytest.raises(TypeError, match="__init__"):
        Both(both=False)
    half = Both.__new__(Both)
    nl.nn.Linear.__init__(half, 2, 3)
    gc.collect()
    for use in (lambda: half.weight, lambda: half.seed, lambda: nl.rand(2, generator=half)):
        with pytest.raises(nl.ArgumentError, match=REFUSAL):
            use()
