"""What runs in a container: it imports the user's code and answers inputs.

``main`` starts it; ``runner`` speaks with the host; ``service`` is the user's
code as call targets and hooks; ``serial``, ``threads`` and ``aio`` are three
ways to run it; ``output`` and ``errors`` say what came of it; ``state`` is what
the rest of the SDK may ask.

Its environment: GX_RUNNER_SOCKET is the host's socket (default
/__gx/run/host.sock), GX_TOKEN tells the host which container this is (the
user's code does not see it), GX_ROOT is the folder of the user's modules
(default /root; the process runtime has another).

Everything here is on the way to the first line of the user's code: modules are
imported when they are needed, and those of the standard library that cost a
millisecond or more only on paths where that does not matter.
"""
