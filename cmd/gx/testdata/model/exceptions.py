# both
# limit: 240
"""Exceptions arrive as what they were raised as, with the traceback of where that was."""

import gx

app = gx.App("exceptions")


class Own(Exception):
    def __init__(self, code, *, detail):
        super().__init__(f"code {code}: {detail}")
        self.code = code
        self.detail = detail


class Unpicklable(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.handle = open("/dev/null")


class BreaksLoading(Exception):
    def __reduce__(self):
        return int, ("no number",)


class BreaksText(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


class Quiet(BaseException):
    pass


@app.function()
def raises(what):
    if what == "own":
        raise Own(7, detail="seven")
    if what == "unpicklable":
        raise Unpicklable("holds a file")
    if what == "breaks loading":
        raise BreaksLoading("what it says")
    if what == "breaks text":
        raise BreaksText()
    if what == "base":
        raise Quiet("not an Exception")
    if what == "chain":
        try:
            try:
                {}["missing"]
            except KeyError as error:
                raise ValueError("in between") from error
        except ValueError:
            raise RuntimeError("at last")
    if what == "large":
        raise ValueError("x" * 100_000_000)
    if what == "huge attribute":
        error = ValueError("short")
        error.data = b"y" * 200_000_000
        raise error
    if what == "cycle":
        a, b = ValueError("a"), ValueError("b")
        a.__cause__, b.__cause__ = b, a
        raise a
    if what == "deep":
        error = ValueError("innermost")
        for i in range(5000):
            outer = ValueError(f"level {i}")
            outer.__cause__ = error
            error = outer
        raise error
    if what == "stop":
        raise StopIteration("not an end")
    if what == "notimplemented":
        return NotImplemented
    return what


@app.function()
def generates(n):
    for i in range(n):
        yield i
    raise Own(n, detail="after items")


@app.function()
async def raises_async():
    raise Own(8, detail="async")


def caught(kind, call, *args):
    try:
        value = call(*args)
    except BaseException as error:
        assert type(error) is kind or kind is not error and isinstance(error, kind), (kind, type(error), str(error)[:500])
        return error
    raise AssertionError(f"{args}: {value!r}")


@app.local_entrypoint()
def main():
    import traceback

    error = caught(Own, raises.remote, "own")
    assert (error.code, error.detail, str(error)) == (7, "seven", "code 7: seven"), error
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert 'raise Own(7, detail="seven")' in shown, shown  # the line in the container
    assert "exceptions.py" in shown and "in raises" in shown, shown

    error = caught(Own, raises_async.remote)
    assert error.code == 8

    execution = gx.exception.ExecutionError
    assert "holds a file" in str(caught(execution, raises.remote, "unpicklable"))
    assert "what it says" in str(caught(execution, raises.remote, "breaks loading"))
    caught(BaseException, raises.remote, "breaks text")
    assert str(caught(Quiet, raises.remote, "base")) == "not an Exception"

    error = caught(RuntimeError, raises.remote, "chain")
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    for part in ("KeyError", "ValueError: in between", "RuntimeError: at last", "direct cause", "During handling"):
        assert part in shown, (part, shown)

    error = caught(BaseException, raises.remote, "large")
    assert "xxxx" in str(error), str(error)[:200]
    assert type(error) in (ValueError, execution), type(error)
    error = caught(BaseException, raises.remote, "huge attribute")
    assert "short" in str(error), str(error)[:200]
    assert str(caught(ValueError, raises.remote, "cycle")) == "a"
    assert "level 4999" in str(caught(BaseException, raises.remote, "deep"))
    caught(BaseException, raises.remote, "stop")

    # An exception that is returned is a value.
    got = list(raises.map(["own", "x"], return_exceptions=True))
    assert isinstance(got[0], Own) and got[1] == "x", got
    assert raises.remote("fine") == "fine"

    # In a map the first exception is raised, where its result would have come.
    got = []
    try:
        for value in raises.map(["a", "own", "b"]):
            got.append(value)
    except Own:
        pass
    assert got == ["a"], got

    got = []
    try:
        for item in generates.remote_gen(3):
            got.append(item)
    except Own as error:
        assert error.code == 3
    assert got == [0, 1, 2], got
    print("ok")
