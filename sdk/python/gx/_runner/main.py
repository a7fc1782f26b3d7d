"""Started by the host in a container: ``python main.py``, with the image's own Python.

It is compiled at every start, so it is short: it makes the SDK importable and
goes on in gx._runner.runner. The package ``gx`` itself is not executed before
the host knows that the runner is there.
"""

import sys


def start() -> int:
    """Runs the runner; returns the exit code."""
    sdk, here = __file__.rsplit("/", 3)[0], __file__.rsplit("/", 1)[0]
    if here in sys.path:
        sys.path.remove(here)
    sys.path.insert(0, sdk)
    if sys.flags.no_site:  # started with -S: the image's packages are added here
        import site

        site.main()

    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    spec = PathFinder.find_spec("gx", [sdk])
    assert spec is not None, f"the SDK is not in {sdk}"
    package = sys.modules["gx"] = module_from_spec(spec)
    if sys.argv[1:] == ["template"]:
        from gx._runner.template import main

        del sys.argv[1:]
    else:
        from gx._runner.runner import main

    assert spec.loader is not None  # module_from_spec has seen to that
    execute = spec.loader.exec_module
    # The user's module takes the name __main__ over; this one must outlive that.
    return main(lambda: execute(package), sys.modules["__main__"])


if __name__ == "__main__":
    sys.exit(start())
