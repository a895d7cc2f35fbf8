"""no_grad and probe around what can be suspended: nothing of them reaches who runs meanwhile."""

import asyncio
import functools
import inspect
import threading
from typing import Any

import pytest

import normlab as nl


@pytest.fixture(autouse=True)
def recording():
    assert nl.grad_enabled()
    yield
    assert nl.grad_enabled()


X = nl.ones(2, requires_grad=True)


def recorded() -> bool:
    """Whether an operation of now is recorded, and what says so agrees."""
    assert nl.grad_enabled() == (X * 2).requires_grad
    return nl.grad_enabled()


BOTH_FORMS = pytest.mark.parametrize("decorate", [nl.no_grad(), nl.no_grad], ids=["()", "bare"])


# --- generators -------------------------------------------------------------------------------


@BOTH_FORMS
def test_a_decorated_generator_records_nothing_and_its_consumer_does(decorate):
    @decorate
    def steps(n, *, last="end"):
        """Doc."""
        for i in range(n):
            assert not recorded()
            yield i
        return last

    assert inspect.isgeneratorfunction(steps)
    assert (steps.__name__, steps.__doc__) == ("steps", "Doc.")
    seen = []
    for i in steps(3):
        assert recorded()
        seen.append(i)
    assert seen == [0, 1, 2]
    ended = steps(0, last="other")
    with pytest.raises(StopIteration) as stop:
        next(ended)
    assert stop.value.value == "other"


def test_what_is_sent_and_thrown_arrives():
    @nl.no_grad()
    def echo():
        got = []
        while True:
            try:
                got.append((yield len(got)))
            except KeyError as error:
                got.append(error.args)
            except ValueError:
                return got
            assert not recorded()

    generator = echo()
    assert next(generator) == 0
    assert generator.send("a") == 1
    assert generator.throw(KeyError("k")) == 2
    assert recorded()
    with pytest.raises(StopIteration) as stop:
        generator.throw(ValueError())
    assert stop.value.value == ["a", ("k",)]
    with pytest.raises(ZeroDivisionError):
        echo_fails = nl.no_grad(lambda: (1 / 0 for _ in range(1)))()
        next(echo_fails)


def test_closing_runs_the_end_without_recording():
    seen = []

    @nl.no_grad()
    def steps():
        try:
            yield 1
            yield 2
        finally:
            seen.append(recorded())

    generator = steps()
    next(generator)
    generator.close()
    abandoned = steps()
    next(abandoned)
    del abandoned
    assert seen == [False, False]
    generator = steps()
    generator.close()  # before its first step
    assert seen == [False, False]


def test_interleaved_generators_keep_their_own_modes():
    def plain():
        while True:
            yield recorded()

    without, with_it = nl.no_grad(plain)(), plain()
    for _ in range(3):
        assert next(without) is False
        assert next(with_it) is True
        with nl.no_grad():
            assert next(with_it) is False  # the caller's
        assert recorded()


def test_a_decorated_generator_may_go_from_thread_to_thread():
    @nl.no_grad()
    def steps():
        while True:
            yield recorded()

    generator = steps()
    seen = [next(generator)]
    thread = threading.Thread(target=lambda: seen.extend((next(generator), recorded())))
    thread.start()
    thread.join()
    assert [*seen, next(generator)] == [False, False, True, False]


def test_delegation_and_recursion():
    @nl.no_grad
    def inner():
        got = yield recorded()
        return got, recorded()

    def outer():
        result = yield from inner()
        yield result, recorded()

    generator = outer()
    assert next(generator) is False
    assert generator.send("sent") == (("sent", False), True)


# --- coroutines -------------------------------------------------------------------------------


@BOTH_FORMS
def test_a_coroutine_awaits_without_taking_others_along(decorate):
    seen = []

    @decorate
    async def evaluate(n):
        """Doc."""
        for _ in range(n):
            seen.append(recorded())
            await asyncio.sleep(0)
        seen.append(recorded())
        return n

    async def train(n):
        for _ in range(n):
            assert recorded()
            await asyncio.sleep(0)

    async def main():
        return await asyncio.gather(evaluate(3), train(5), evaluate(2), train(1))

    assert inspect.iscoroutinefunction(evaluate) and evaluate.__doc__ == "Doc."
    assert asyncio.run(main()) == [3, None, 2, None]
    assert seen == [False] * 7


def test_a_cancelled_coroutine_ends_without_recording():
    seen = []

    @nl.no_grad()
    async def wait():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append(recorded())
            raise

    async def main():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert recorded()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorded()

    asyncio.run(main())
    assert seen == [False]


def test_errors_come_through_awaits():
    @nl.no_grad()
    async def fail():
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def main():
        with pytest.raises(KeyError, match="mine"):
            await fail()
        assert recorded()

    asyncio.run(main())


@BOTH_FORMS
def test_an_asynchronous_generator(decorate):
    seen = []

    @decorate
    async def steps(n):
        try:
            for i in range(n):
                seen.append(recorded())
                await asyncio.sleep(0)
                try:
                    if sent := (yield i):
                        seen.append(sent)
                except KeyError as error:
                    seen.append(error.args[0])
        finally:
            await asyncio.sleep(0)
            seen.append(recorded())

    async def main():
        assert inspect.isasyncgenfunction(steps)
        async for i in steps(2):
            assert recorded()
            seen.append(i)
        values = steps(9)
        assert await values.asend(None) == 0
        assert await values.asend("sent") == 1
        assert await values.athrow(KeyError("thrown")) == 2
        await values.aclose()
        with pytest.raises(StopAsyncIteration):
            await values.asend(None)
        assert recorded()

    asyncio.run(main())
    assert seen == [
        *(False, 0, False, 1, False),
        *(False, "sent", False, "thrown", False, False),
    ]


# --- what hides its kind ----------------------------------------------------------------------


def hidden(function):
    """A decorator whose result is a plain function."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def test_a_function_that_returns_what_can_be_suspended():
    @nl.no_grad()
    @hidden
    def generator():
        yield recorded()

    @nl.no_grad()
    @hidden
    async def coroutine():
        await asyncio.sleep(0)
        return recorded()

    @nl.no_grad()
    @hidden
    async def asynchronous():
        await asyncio.sleep(0)
        yield recorded()

    async def main():
        return [await coroutine(), *[value async for value in asynchronous()]]

    assert list(generator()) == [False]
    assert asyncio.run(main()) == [False, False]
    assert list(nl.no_grad(lambda: (recorded() for _ in range(2)))()) == [False, False]
    assert list(nl.no_grad(functools.partial(generator))()) == [False]


def test_methods_of_every_kind():
    class Model(nl.nn.Module):
        @nl.no_grad()
        def steps(self):
            yield self, recorded()

        @nl.no_grad
        @classmethod
        def of_class(cls):
            return cls, recorded()

        @nl.no_grad()
        @staticmethod
        def static():
            yield recorded()

        @classmethod
        @nl.no_grad
        def under(cls):
            yield cls, recorded()

        @property
        @nl.no_grad()
        def value(self):
            return recorded()

    model = Model()
    assert list(model.steps()) == [(model, False)]
    assert model.of_class() == (Model, False)
    assert list(Model.static()) == [False]
    assert list(model.under()) == [(Model, False)]
    assert model.value is False
    linear = nl.no_grad()(nl.nn.Linear(2, 2))
    assert not linear(X).requires_grad


@pytest.mark.parametrize("what", [nl.nn.Linear, property(lambda self: 1), 3, "a"])
def test_only_functions_are_decorated(what):
    with pytest.raises(nl.DtypeError, match="no_grad: takes a function or nothing; got "):
        nl.no_grad()(what)


# --- blocks that end in any order ---------------------------------------------------------------


def test_blocks_of_suspended_generators_end_in_any_order():
    def block(end):
        with nl.no_grad():
            yield recorded()
            if end:
                return
        yield recorded()

    a, b = block(False), block(False)
    assert next(a) is False
    assert next(b) is False
    assert next(a) is False  # b's block goes on
    assert next(b) is True
    a, b = block(True), block(True)
    next(a), next(b)
    a.close()
    assert not recorded()
    b.close()
    assert recorded()


def test_one_object_for_several_threads():
    off = nl.no_grad()
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def other():
        with off:
            inside.set()
            leave.wait()
            seen.append(recorded())
        seen.append(recorded())

    thread = threading.Thread(target=other)
    with off:
        thread.start()
        inside.wait()
        assert not recorded()
    assert recorded()
    leave.set()
    thread.join()
    assert seen == [False, True]


def test_a_block_that_changes_its_thread_ends_where_it_began():
    def block():
        with nl.no_grad():
            yield recorded()
            yield recorded()  # the mode is the first thread's
        yield recorded()

    generator = block()
    seen = [next(generator)]
    thread = threading.Thread(target=lambda: seen.extend((next(generator), next(generator))))
    assert not recorded()
    thread.start()
    thread.join()
    assert seen == [False, True, True]
    assert recorded()


def test_a_block_outlives_its_thread():
    off = nl.no_grad()
    thread = threading.Thread(target=off.__enter__)
    thread.start()
    thread.join()
    assert recorded()
    off.__exit__()
    assert recorded()
    with pytest.raises(nl.GradError, match=r"^no_grad: is left more often than it was entered$"):
        off.__exit__()


# --- probes -----------------------------------------------------------------------------------


def see(probe: Any) -> int:
    return len(probe.records)


def test_probes_end_in_any_order():
    norm = nl.nn.Norm("layernorm", 4)
    x = nl.randn(2, 4)
    a, b = nl.probe(), nl.probe()
    a.__enter__()
    b.__enter__()
    norm(x)
    assert (see(a), see(b)) == (0, 1)
    a.__exit__(None, None, None)
    norm(x)
    assert (see(a), see(b)) == (0, 2)  # b goes on
    b.__exit__(None, None, None)
    with nl.probe() as c:
        norm(x)
    norm(x)
    assert (see(a), see(b), see(c)) == (0, 2, 1)


def test_an_ended_probe_is_not_found_again():
    norm = nl.nn.Norm("layernorm", 4)
    x = nl.randn(2, 4)
    outer, middle, inner = nl.probe(), nl.probe(), nl.probe()
    for probe in (outer, middle, inner):
        probe.__enter__()
    middle.__exit__()
    inner.__exit__()
    norm(x)
    assert (see(outer), see(middle), see(inner)) == (1, 0, 0)
    outer.__exit__()
    norm(x)
    assert see(outer) == 1


def test_a_probe_that_ends_on_another_thread():
    norm = nl.nn.Norm("layernorm", 4)
    x = nl.randn(2, 4)
    probe = nl.probe().__enter__()
    norm(x)
    thread = threading.Thread(target=probe.__exit__)
    thread.start()
    thread.join()
    norm(x)
    assert see(probe) == 1


# --- graphs on a GPU --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.skipif(not nl.cuda.is_available(), reason=nl.cuda.why_not())
def test_a_body_that_can_be_suspended_is_no_body_of_a_cuda_graph():
    x = nl.ones(2, device="cuda")

    def generator():
        yield x + 1

    async def coroutine():
        return x + 1

    async def asynchronous():
        yield x + 1

    graph = nl.cuda.Graph()
    for body in (generator, coroutine, asynchronous):
        with pytest.raises(nl.DtypeError, match=r"^capture: body must be a plain function: "):
            graph.capture(body)
        assert not graph.captured
    y = graph.capture(lambda: x + 1)
    graph.replay()
    assert y.tolist() == [2, 2]
